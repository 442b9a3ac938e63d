//! A contestant's server that answers as a test says, on a free port of the loopback; it ends when dropped.

use flowtest_testkit::WAIT_MAX;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use flowtest_contest::{Endpoint, Policy};
use flowtest_contract::rules::{Deadlines, Rules};
use flowtest_loadgen::admit::probe::Terms;
use flowtest_loadgen::admit::trust::ContestTrust;

/// Between two bytes of a drip.
const DRIP: Duration = Duration::from_millis(5);

/// What a peer does with a request.
pub(crate) enum Reply {
    /// These bytes, and then the next request of the connection.
    Keep(Vec<u8>),
    /// These bytes, and the end of the connection.
    Close(Vec<u8>),
    /// These bytes one by one, with a pause before each, until the other side gives up.
    Drip(Vec<u8>),
    /// Nothing, until the other side gives up.
    Silence,
}

/// One request: its number on its connection, its token, and all its bytes.
pub(crate) struct Request {
    pub(crate) number: usize,
    pub(crate) token: String,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    pub(crate) fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Peer {
        Peer::start_at("127.0.0.1".parse().expect("an address"), 0, script).expect("the loopback has a free port")
    }

    /// Version v2, From ECS and the right token, as the default deadlines ask.
    pub(crate) fn honest() -> Peer {
        Peer::start(|request| Reply::Keep(right(&request.token)))
    }

    pub(crate) fn start_at(
        address: IpAddr,
        port: u16,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> std::io::Result<Peer> {
        let listener = TcpListener::bind((address, port))?;
        let address = listener.local_addr()?;
        let (stop, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count, script) = (stop.clone(), connections.clone(), Arc::new(script));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                let script = script.clone();
                thread::spawn(move || serve(stream, &*script));
            }
        });
        Ok(Peer { address, connections, stop, thread: Some(thread) })
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.address.to_string().parse().expect("an endpoint")
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener up.
        let _ = TcpStream::connect_timeout(&self.address, WAIT_MAX);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, script: &dyn Fn(&Request) -> Reply) {
    let _ = stream.set_read_timeout(Some(WAIT_MAX));
    for number in 0.. {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                _ => return,
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let token = text.lines().find_map(|line| line.strip_prefix("Token: ")).expect("every request has a token");
        let request = Request { number, token: token.to_owned(), bytes: bytes.clone() };
        match script(&request) {
            Reply::Keep(answer) => drop(stream.write_all(&answer)),
            Reply::Close(answer) => return drop(stream.write_all(&answer)),
            Reply::Drip(answer) => {
                for byte in answer {
                    thread::sleep(DRIP);
                    if stream.write_all(&[byte]).is_err() {
                        return;
                    }
                }
            }
            Reply::Silence => {
                let _ = stream.read(&mut [0]);
                return;
            }
        }
    }
}

/// A right answer under the default deadlines.
pub(crate) fn right(token: &str) -> Vec<u8> {
    answer(&[("Token", token), ("Version", "v2"), ("From", "ECS")])
}

/// A 200 with these headers.
pub(crate) fn answer(headers: &[(&str, &str)]) -> Vec<u8> {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nhi").into_bytes()
}

/// The default rules with this timeout.
pub(crate) fn terms(timeout: Duration) -> Terms {
    let rules = Rules { timeout_us: timeout.as_micros() as u64, ..Rules::default() };
    Terms::new(rules, Deadlines::default())
}

/// The system's authorities.
pub(crate) fn trust() -> ContestTrust {
    ContestTrust::new(&[]).expect("no file is named")
}

/// The loopback is open, as in the demo.
pub(crate) fn policy() -> Policy {
    Policy { allow: vec!["127.0.0.0/8".parse().expect("a network")], ..Policy::default() }
}

/// Everything that was noted, for closures that may be called from several threads.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, note: &str) {
        self.0.lock().expect("nobody panics with it").push(note.to_owned());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics with it").clone()
    }
}
