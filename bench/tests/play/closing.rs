//! A contestant whose server closes each connection costs its rivals nothing, however many connections are open.

use crate::stage::{Stage, next_token};
use flowtest_bench::child::pin_this_thread;
use flowtest_bench::close;
use flowtest_bench::compare::raise_descriptors;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Generator};
use flowtest_bench::machine::Cores;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

const TIMEOUT: Duration = Duration::from_secs(120);
/// Requests per second of each contestant, and how far away it is: 3,600 connections are busy at each.
const RATE: u64 = 9_000;
const DELAY: Duration = Duration::from_millis(400);
const CONNECTIONS: usize = 4_000;
const LENGTH: Duration = Duration::from_secs(4);
/// Our own descriptors beside the servers' ends of the connections.
const DESCRIPTORS_SPARE: u64 = 400;
/// So many pairs of a play and its control are lost at the most: a machine that takes the core away spoils one of them.
const PAIRS: usize = 2;
/// What the rival must keep of the points that it has beside one that keeps its connections.
const KEPT: f64 = 0.97;
/// The most that a close may cost in the crowd against one beside few; by walking all requests of the ring it is 10 times.
const RATIO_MAX: f64 = 3.0;
const CROWD: u32 = 5_000;

#[test]
fn closing_costs_the_same_whatever_else_is_open() {
    let _stage = Stage::new();
    let options =
        close::Options { connections: CROWD, pairs: 3, cores: Cores { client_core: 0, server_core: 1 }, json: None };
    // On a thread of its own, which is held to a core until its end.
    let report = std::thread::spawn(move || close::run(&options)).join().expect("it does not panic");
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    println!("{}", report.to_markdown());
    for row in report.rows {
        assert!(row.ratio.median < RATIO_MAX, "{}: {:?}", row.what, row.ratio);
    }
}

#[test]
fn who_closes_after_each_answer_costs_its_rival_nothing() {
    let mut lost = Vec::new();
    while lost.len() < PAIRS {
        let control = rival_points(false);
        let points = rival_points(true);
        if points >= KEPT * control {
            return;
        }
        lost.push((points, control));
    }
    panic!("the rival's points beside one that closes, and beside one that does not: {lost:?}");
}

/// Plays it once: what a perfect contestant earns beside one that closes each connection or keeps it.
fn rival_points(closes: bool) -> f64 {
    let stage = Stage::new();
    raise_descriptors(2 * CONNECTIONS as u64 + DESCRIPTORS_SPARE).unwrap_or_else(|error| panic!("{error}"));
    let phase = Phase { length: LENGTH, rate: Some(RATE), connections: CONNECTIONS, pipeline: 1 };
    let contest = ContestFile::new("closing", phase)
        .with("rival", &serve(false).to_string())
        .with("closing", &serve(closes).to_string());
    let path = stage.folder().join("contest.toml");
    contest.write(&path).expect("it is written");
    let generator = Generator::run(&path, None, stage.folder(), &["--quiet", "--cores", "0"]);
    let outcome = generator.and_then(|generator| generator.wait(TIMEOUT)).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    let points = outcome.points();
    println!("closes: {closes}, points: {points:?}");
    points["rival"] as f64
}

/// A contestant that is always right, far away, and perhaps says `Connection: close` each time. Ends with the test's
/// process.
fn serve(closes: bool) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("it may");
    let address = listener.local_addr().expect("it has one");
    std::thread::spawn(move || {
        // Where there is no second core they share that of the generator.
        let _ = pin_this_thread(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).expect("it listens");
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                tokio::spawn(answer(stream, closes));
            }
        });
    });
    address
}

async fn answer(mut stream: TcpStream, closes: bool) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(token) = next_token(&mut stream).await? {
        let last = if closes { "Connection: close\r\n" } else { "" };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nToken: {token}\r\nVersion: v2\r\nFrom: ECS\r\n{last}\r\nok"
        );
        tokio::time::sleep(DELAY).await;
        stream.write_all(answer.as_bytes()).await?;
        if closes {
            break;
        }
    }
    Ok(())
}
