//! No contestant can make our worker late: among all who try, nothing is void.
//!
//! The generator runs at real-time priority on a core of its own and in a network of its own, so that nothing else that runs here
//! can make it late; what the machine below us does is told by a control. That takes root; without it the play says that it was
//! left out.

use crate::stage::{Stage, next_token};
use flowtest_bench::child::{find_program, pin_this_thread};
use flowtest_bench::compare::raise_descriptors;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Generator};
use flowtest_contract::Rules;
use flowtest_testkit::is_long;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fmt::Write;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

const TIMEOUT: Duration = Duration::from_secs(120);
const RATE: u64 = 300;
const CONNECTIONS: usize = 16;
/// Addresses of a name, as many as are used of one.
const ADDRESSES: u8 = 64;
const BODY: usize = 64 * 1024;

/// What a server does with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Character {
    Honest,
    /// The largest body that is read.
    Large,
    /// As many interim answers as are allowed, then the right one.
    Interim,
    /// A byte of the right answer in each packet, at once.
    Bytewise,
    /// A byte of the right answer now and then.
    Dripping,
    Resetting,
    Silent,
    /// The right answer, and its half of the connection closed.
    HalfClosed,
    /// The right answer, and the connection closed.
    Closing,
    /// Bytes that nobody asked for, without end.
    Flooding,
    /// The right answer, from a name with the most addresses.
    Everywhere,
}

impl Character {
    /// Whether it earns all points, if its server gets the time for it: before what the machine and the others do.
    fn is_right(self) -> bool {
        !matches!(self, Character::Dripping | Character::Resetting | Character::Silent | Character::Flooding)
    }
}

const CAST: [(&str, Character); 14] = [
    ("alice", Character::Honest),
    ("large", Character::Large),
    ("interim", Character::Interim),
    ("bytewise", Character::Bytewise),
    ("bob", Character::Honest),
    ("dripping", Character::Dripping),
    ("resetting", Character::Resetting),
    ("silent", Character::Silent),
    ("half-closed", Character::HalfClosed),
    ("carol", Character::Honest),
    ("closing", Character::Closing),
    ("flooding", Character::Flooding),
    ("everywhere", Character::Everywhere),
    ("dave", Character::Honest),
];

/// How many pairs are played at most for the sake of our lag: one with the hostile, one with honest ones in their place. The
/// machine below us takes its cores away for 10 ms and more, whatever our priority: that makes us late in either.
const PAIRS: usize = 5;
/// From here on something is void, less what lies between two requests.
const LATE_US: u64 = 9_000;

#[test]
fn nobody_makes_us_late_whatever_it_does() {
    let Some(network) = Network::make() else { return };
    raise_descriptors(4 * 1024).unwrap_or_else(|error| panic!("{error}"));
    let mut lags = Vec::new();
    let (mut least, mut most_of_control) = (u64::MAX, 0);
    for _ in 0..PAIRS {
        let among_hostile = play_all(&network, true);
        if among_hostile.void == 0 {
            return;
        }
        least = least.min(among_hostile.most_lag_us);
        let among_honest = play_all(&network, false);
        most_of_control = most_of_control.max(among_honest.most_lag_us);
        if least <= most_of_control {
            return;
        }
        lags.push((among_hostile, among_honest));
    }
    panic!("we were late among the hostile in each play, and later than among the honest: {lags:?}");
}

/// How late we were in a play.
#[derive(Debug)]
struct Lag {
    /// What counts for nobody by it.
    void: u64,
    most_lag_us: u64,
}

/// Plays it once; scores are exact in every play.
fn play_all(network: &Network, hostile: bool) -> Lag {
    let stage = Stage::new();
    let length = Duration::from_secs(if is_long() { 60 } else { 4 });
    let phase = Phase { length, rate: Some(RATE), connections: CONNECTIONS, pipeline: 1 };
    let cast = CAST.map(|(name, character)| (name, if hostile { character } else { Character::Honest }));
    let mut contest = cast.iter().fold(ContestFile::new("hostile", phase), |contest, (name, character)| {
        let port = network.serve(*character);
        let host = if *character == Character::Everywhere { NAME } else { SERVER };
        contest.with(name, &format!("{host}:{port}"))
    });
    contest.allow = NETWORK.into();
    contest.timeout = Duration::from_millis(500);
    let path = stage.folder().join("contest.toml");
    contest.write(&path).expect("it is written");
    let under = ["ip", "netns", "exec", &network.ours, "chrt", "--fifo", "40"];
    let generator = Generator::run_under(&under, &path, stage.folder(), &["--quiet", "--cores", "0"]);
    let outcome = generator.and_then(|generator| generator.wait(TIMEOUT)).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    let tallies = outcome.tallies().expect("it tells");
    println!("own lag: {}, CPU: {}", outcome.json["lag_us"], outcome.json["cpu"]);
    let due = RATE * length.as_secs();
    let mut void = 0;
    for (name, character) in cast {
        let tally = &tallies[name];
        println!("{name:>12}: {tally:?}");
        assert!(tally.is_partition() && tally.due == due, "{name}: {tally:?}");
        void += tally.own_fault;
        if character.is_right() {
            let perfect = i128::from(due) * Rules::default().exchange_points();
            assert_eq!(tally.points(&Rules::default()), perfect, "{name}: {tally:?}");
        }
    }
    let most_lag_us = outcome.json["lag_us"]["max"].as_u64().expect("microseconds");
    assert!(void == 0 || most_lag_us >= LATE_US, "{void} void, and we were in time: {}", outcome.json["lag_us"]);
    Lag { void, most_lag_us }
}

const NETWORK: &str = "10.77.0.0/16";
const GENERATOR: &str = "10.77.0.1";
const SERVER: &str = "10.77.0.2";
/// A name, and where its addresses are: 10.77.1.1 and so on.
const NAME: &str = "everywhere.test";

/// Two network namespaces with a cable between them, gone when this is dropped.
struct Network {
    ours: String,
    theirs: String,
}

impl Network {
    /// `None`, and it says so: this is not root, or there is no `ip` or `chrt`.
    fn make() -> Option<Network> {
        let missing = ["ip", "chrt"].into_iter().find(|program| find_program(program).is_none());
        if !rustix::process::geteuid().is_root() || missing.is_some() {
            println!("left out: network namespaces need root, ip and chrt");
            return None;
        }
        let name = |side: &str| format!("flowtest-{side}-{}", std::process::id());
        let network = Network { ours: name("ours"), theirs: name("theirs") };
        let (ours, theirs) = (network.ours.as_str(), network.theirs.as_str());
        ip(&format!("netns add {ours}"));
        ip(&format!("netns add {theirs}"));
        ip(&format!("link add cable netns {ours} type veth peer name cable netns {theirs}"));
        ip(&format!("-n {ours} address add {GENERATOR}/16 dev cable"));
        ip(&format!("-n {theirs} address add {SERVER}/16 dev cable"));
        let mut hosts = String::from("127.0.0.1 localhost\n");
        for number in 1..=ADDRESSES {
            ip(&format!("-n {theirs} address add 10.77.1.{number}/16 dev cable"));
            let _ = writeln!(hosts, "10.77.1.{number} {NAME}");
        }
        for side in [ours, theirs] {
            ip(&format!("-n {side} link set lo up"));
            ip(&format!("-n {side} link set cable up"));
        }
        // What `ip netns exec` shows as /etc/hosts.
        std::fs::create_dir_all(network.files()).expect("root may");
        std::fs::write(network.files().join("hosts"), hosts).expect("root may");
        Some(network)
    }

    fn files(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.ours)
    }

    /// A server on all addresses of their side; its port. It ends with the test's process.
    fn serve(&self, character: Character) -> u16 {
        let space = File::open(format!("/run/netns/{}", self.theirs)).expect("it was made");
        let (port_in, port_out) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may");
            // Where there is no second core they share that of the generator.
            let _ = pin_this_thread(1);
            if character.is_right() {
                let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
                let status = Command::new("chrt").args(["--fifo", "--pid", "20", &thread]).status();
                assert!(status.is_ok_and(|status| status.success()), "root may");
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 0))).await.expect("a free port");
                port_in.send(listener.local_addr().expect("it has one").port()).expect("somebody waits");
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    tokio::spawn(play(stream, character));
                }
            });
        });
        port_out.recv_timeout(TIMEOUT).expect("it listens")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for side in [&self.ours, &self.theirs] {
            let _ = Command::new("ip").args(["netns", "delete", side]).status();
        }
        let _ = std::fs::remove_dir_all(self.files());
    }
}

fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().expect("it was found");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn play(mut stream: TcpStream, character: Character) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(token) = next_token(&mut stream).await? {
        let body = if character == Character::Large { BODY } else { 2 };
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\nToken: {token}\r\nVersion: v2\r\nFrom: ECS\r\n\r\n")
                .into_bytes();
        answer.resize(answer.len() + body, b'x');
        match character {
            Character::Honest | Character::Large | Character::Everywhere => stream.write_all(&answer).await?,
            Character::Interim => {
                stream.write_all(&[b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(4), answer].concat()).await?;
            }
            Character::Bytewise => {
                for byte in answer {
                    stream.write_all(&[byte]).await?;
                }
            }
            Character::Dripping => {
                for byte in answer {
                    stream.write_all(&[byte]).await?;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Character::Resetting => {
                stream.set_zero_linger()?;
                return Ok(());
            }
            Character::Silent => {}
            Character::HalfClosed => {
                stream.write_all(&answer).await?;
                stream.shutdown().await?;
            }
            Character::Closing => return stream.write_all(&answer).await,
            Character::Flooding => loop {
                stream.write_all(&answer.repeat(64)).await?;
            },
        }
    }
    Ok(())
}
