//! Somebody opens connection after connection and says nothing, from many addresses: those who have something to do get in.

use crate::stage::{PASSWORD, Stage, connect, exchange, status};
use flowtest_scoreboard::Scoreboard;
use flowtest_testkit::RedisServer;
use flowtest_testkit::wait::wait_until_async;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinHandle, JoinSet};

/// Connections that the attacker opens at once, more than any part of the listener's room; the addresses it has; and how many
/// it opens anew in a hundredth of a second: 600 a second, as was measured.
const AT_ONCE: usize = 5_400;
/// So many have been taken, or wait in the kernel, where all places of the listener are taken.
const FULL: usize = 4_600;
const ADDRESSES: usize = 90;
const ANEW: usize = 6;
const EVERY: Duration = Duration::from_millis(10);
/// How long it holds each, where nobody ends it.
const HOLD: Duration = Duration::from_secs(9);
/// An attempt under attack may take so many times as long as one without. A listener that is full makes everybody wait until
/// heads have taken the ten seconds that they may: forty times and more on a quiet machine.
const TIMES_MAX: u32 = 6;
const ATTEMPTS: usize = 5;

/// Opens and holds, until it is stopped.
struct Attack {
    stop: Arc<AtomicBool>,
    opened: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Attack {
    /// Begins, and waits until the listener is as full as it gets.
    async fn begin(to: SocketAddr) -> Attack {
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        let (stop, opened) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (stop.clone(), opened.clone());
        let task = tokio::spawn(async move {
            let mut every = tokio::time::interval(EVERY);
            let mut number = 0;
            let mut silent = JoinSet::new();
            while !stopped.load(Ordering::Relaxed) {
                let more = if number < AT_ONCE { 20 * ANEW } else { ANEW };
                for _ in 0..more {
                    number += 1;
                    let from = IpAddr::from([127, 0, 0, 2 + (number % ADDRESSES) as u8]);
                    silent.spawn(hold_one(to, from, count.clone()));
                }
                while silent.try_join_next().is_some() {}
                every.tick().await;
            }
        });
        wait_until_async("the crowd", || (opened.load(Ordering::Relaxed) > FULL).then_some(())).await;
        Attack { stop, opened, task }
    }

    /// How many it has opened, those included that had to wait.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("it does not panic");
        self.opened.load(Ordering::Relaxed)
    }
}

async fn hold_one(to: SocketAddr, from: IpAddr, opened: Arc<AtomicUsize>) {
    let hold = async {
        let mut stream = connect(to, from).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await?;
        opened.fetch_add(1, Ordering::Relaxed);
        // Until the other side ends it.
        stream.read(&mut [0; 1]).await
    };
    let _ = tokio::time::timeout(HOLD, hold).await;
}

/// How long some whole sign-ins take, one after the other.
async fn sign_in_time(stage: &Stage) -> Duration {
    let begun = Instant::now();
    for _ in 0..ATTEMPTS {
        let answer = stage.browser().sign_in("boss", PASSWORD).await;
        assert_eq!(status(&answer), 303, "{answer}");
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_connections_and_says_nothing_keeps_nobody_out() {
    let redis = RedisServer::start();
    let stage = Stage::open(Some(&redis.url()), &[]).await;
    stage.contestant("alice", "http://9.9.9.9/").await;
    let mut boss = stage.browser();
    assert_eq!(status(&boss.sign_in("boss", PASSWORD).await), 303);
    let mut scoreboard = redis.scoreboard();
    let is_halted = |scoreboard: &mut Scoreboard| scoreboard.read_control("cup").ok().flatten().map(|it| it.halted);
    wait_until_async("the document", || is_halted(&mut scoreboard)).await;
    let without = sign_in_time(&stage).await;
    let attack = Attack::begin(stage.address).await;
    let within = sign_in_time(&stage).await;
    // Who steers gets through the same door.
    let page = boss.get("/setting").await;
    assert_eq!(status(&page), 200);
    assert_eq!(status(&boss.send("/setting/halt", &[("halted", "yes")]).await), 303);
    wait_until_async("the stop", || is_halted(&mut scoreboard).filter(|halted| *halted)).await;
    let opened = attack.end().await;
    eprintln!("{ATTEMPTS} sign-ins take {without:?}, and {within:?} in a crowd that opened {opened}");
    assert!(within < TIMES_MAX * without, "{within:?} in the crowd, {without:?} without it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_says_nothing_ends_no_connection_that_has_asked() {
    let stage = Stage::open(None, &[]).await;
    // It asks once and stays, as browsers do.
    let mut polite = connect(stage.address, IpAddr::from([127, 0, 0, 200])).await.expect("it listens");
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", stage.address);
    polite.write_all(request.as_bytes()).await.expect("it reads");
    read_head(&mut polite).await;
    let attack = Attack::begin(stage.address).await;
    polite.write_all(request.as_bytes()).await.expect("it is still there");
    read_head(&mut polite).await;
    attack.end().await;
    assert_eq!(
        status(
            &exchange(
                stage.address,
                crate::stage::HERE,
                request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()
            )
            .await
        ),
        200
    );
}

async fn read_head(stream: &mut tokio::net::TcpStream) {
    let mut answer = Vec::new();
    let mut part = [0; 4_096];
    while !String::from_utf8_lossy(&answer).contains("\r\n\r\n") {
        let read = tokio::time::timeout(crate::stage::TIMEOUT, stream.read(&mut part)).await.expect("it answers");
        let count = read.expect("it is open");
        assert!(count > 0, "it was closed");
        answer.extend_from_slice(&part[..count]);
    }
}
