//! The process is stopped and goes on in the middle of what it says to Redis. A program of its own, for it stops itself.

use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{ExplainedError, RedisAddress, Scoreboard};
use flowtest_testkit::{Child, RedisServer, scratch};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Each way: long enough for several stops while an answer is awaited.
const DISTANCE: Duration = Duration::from_millis(15);

/// The same server, further away.
fn at_a_distance(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for peer in listener.incoming() {
            let near = peer.expect("somebody comes");
            let far = TcpStream::connect(server).expect("the server listens");
            let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
            for (from, to) in [(copy(&near), copy(&far)), (far, near)] {
                thread::spawn(move || carry(from, to));
            }
        }
    });
    address
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        thread::sleep(DISTANCE);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Stops this process and lets it go on, every few milliseconds.
struct Stops {
    shell: Child,
    /// As long as it is there. Who kills the shell instead may do so while we are stopped.
    flag: PathBuf,
}

impl Stops {
    fn begin(flag: PathBuf) -> Stops {
        std::fs::write(&flag, "").expect("a file");
        let script = r#"while [ -e "$1" ]; do kill -STOP "$2"; kill -CONT "$2"; echo stopped; sleep 0.003; done"#;
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(&flag).arg(std::process::id().to_string());
        let mut shell = Child::start(&command);
        assert_eq!(shell.line().as_deref(), Some("stopped"));
        Stops { shell, flag }
    }
}

impl Drop for Stops {
    fn drop(&mut self) {
        std::fs::remove_file(&self.flag).expect("it is there");
        while self.shell.line().is_some() {}
    }
}

#[test]
fn a_stop_of_the_process_cuts_neither_the_handshake_nor_an_answer_short() {
    let folder = scratch::folder();
    let server = RedisServer::start_tcp(&["--requirepass", "secret"]);
    let near = server.url().trim_start_matches("redis://").parse().expect("an address");
    let url = format!("redis://{}/3", at_a_distance(near));
    let address = RedisAddress::new(&url).expect("an address").with_password("secret");
    let stops = Stops::begin(folder.path().join("flag"));
    for round in 0..5 {
        let mut scoreboard = Scoreboard::open(address.clone()).expect("it answers");
        let error = ExplainedError { at: UtcUs(round), ..ExplainedError::default() };
        scoreboard.push_errors("finals", "alice", &[error]).expect("a transaction");
        let told = scoreboard.read_errors("finals", "alice").expect("an answer");
        assert_eq!(told.iter().map(|error| error.at.0).collect::<Vec<_>>(), (0..=round).rev().collect::<Vec<_>>());
    }
    drop(stops);
}
