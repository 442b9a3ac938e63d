//! A real target process, and a client that believes nothing.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use flowtest_testkit::{Child, program, wait_until};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Both ways to speak to the kernel; auto is io_uring wherever that is allowed.
pub const DRIVERS: [&str; 2] = ["auto", "epoll"];
/// Nothing here takes that long; it only keeps a broken server from hanging the tests.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A flowtest-target on a free port of loopback, killed when dropped.
pub struct Target {
    child: Child,
    pub address: SocketAddr,
    /// What it said when it was ready.
    pub listening: Value,
}

impl Target {
    pub fn start(flags: &[&str]) -> Target {
        Target::start_as(&command(flags))
    }

    /// The same by a command of one's own, which says `--json`.
    pub fn start_as(command: &Command) -> Target {
        let mut child = Child::start(command);
        let listening = json_line(&mut child);
        assert_eq!(listening["event"], "listening");
        let address = listening["address"].as_str().expect("address").parse().expect("a socket address");
        Target { child, address, listening }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it, and returns what it wrote to its standard error.
    pub fn complaints(mut self) -> String {
        self.signal_stop();
        self.child.wait();
        self.child.complaints()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Where it speaks TLS.
    pub fn address_tls(&self) -> SocketAddr {
        self.listening["tls"]["address"].as_str().expect("a TLS port").parse().expect("a socket address")
    }

    /// A client on the TLS port, its handshake done.
    pub fn client_tls(&self, config: &Arc<ClientConfig>) -> std::io::Result<Client> {
        Client::connect_tls(self.address_tls(), config, "localhost")
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        self.child.signal(signal);
    }

    pub fn health(&self) -> Value {
        let mut client = self.client();
        client.send(b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\n");
        let response = client.response(false).expect("healthz answers");
        assert_eq!(response.status, 200);
        serde_json::from_slice(&response.body).expect("healthz is JSON")
    }

    /// Waits until `/healthz` says so.
    pub fn wait_for(&self, what: &str, reached: impl Fn(&Value) -> bool) -> Value {
        wait_until(what, || Some(self.health()).filter(&reached))
    }

    pub fn signal_stop(&self) {
        self.child.signal(rustix::process::Signal::TERM);
    }

    /// SIGTERM, the last line, and the exit code, which must be 0.
    pub fn stop(self) -> Value {
        self.signal_stop();
        self.stopped()
    }

    /// The same, when SIGTERM was sent already: a second one would end the process at once.
    pub fn stopped(mut self) -> Value {
        let summary = json_line(&mut self.child);
        assert_eq!(self.child.wait().code(), Some(0));
        assert_eq!(summary["status"], "stopped");
        summary
    }
}

pub fn command(flags: &[&str]) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_flowtest-target"));
    command.args(["--listen", "127.0.0.1:0", "--json"]).args(flags);
    command
}

fn json_line(child: &mut Child) -> Value {
    let line = child.line().unwrap_or_else(|| panic!("it said nothing more: {}", child.complaints()));
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

/// One response, its header names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header that is there exactly once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} is there twice");
        value
    }

    pub fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

/// Why there was no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection ended before the first byte.
    Closed,
    /// The connection ended, by FIN or by RST, in the middle.
    Cut,
    Reset,
    Malformed,
    TooLong,
    Timeout,
}

pub struct Client {
    stream: Stream,
    buffer: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(TIMEOUT)).expect("timeout");
        Client { stream: Stream::Plain(stream), buffer: Vec::new() }
    }

    /// The same over TLS, to a server of this name, or why not.
    pub fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>, name: &'static str) -> std::io::Result<Client> {
        let mut client = Client::connect(address);
        let Stream::Plain(mut socket) = client.stream else { unreachable!("just connected") };
        let name = ServerName::try_from(name).expect("a name");
        let mut connection = ClientConnection::new(Arc::clone(config), name).expect("a configuration");
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        client.stream = Stream::Tls(Box::new(StreamOwned::new(connection, socket)));
        Ok(client)
    }

    /// What TLS knows of the connection.
    pub fn tls(&mut self) -> &mut ClientConnection {
        match &mut self.stream {
            Stream::Plain(_) => panic!("this client speaks no TLS"),
            Stream::Tls(stream) => &mut stream.conn,
        }
    }

    /// Says that it says no more.
    pub fn close_notify(&mut self) {
        self.tls().send_close_notify();
        if let Stream::Tls(stream) = &mut self.stream {
            stream.flush().expect("sent");
        }
    }

    /// Whether the other side says close_notify before it ends the connection.
    pub fn is_closed_in_order(&mut self) -> bool {
        match &mut self.stream {
            Stream::Plain(_) => panic!("this client speaks no TLS"),
            Stream::Tls(stream) => self.buffer.is_empty() && matches!(stream.read(&mut [0]), Ok(0)),
        }
    }

    pub fn read_timeout(&self, timeout: Duration) {
        self.stream.socket().set_read_timeout(Some(timeout)).expect("timeout");
    }

    /// Sends as much as the other side takes: it may have closed in the middle.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
    }

    pub fn finish_sending(&self) {
        let _ = self.stream.socket().shutdown(std::net::Shutdown::Write);
    }

    pub fn get(&mut self, token: &str) -> Result<Response, Failure> {
        self.send(get(token).as_bytes());
        self.response(false)
    }

    /// Reads exactly one response; what follows stays.
    pub fn response(&mut self, head_only: bool) -> Result<Response, Failure> {
        let head_len = loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            match httparse::Response::new(&mut headers).parse(&self.buffer) {
                Ok(httparse::Status::Complete(head_len)) => break head_len,
                Ok(httparse::Status::Partial) if self.buffer.len() > 8192 => return Err(Failure::TooLong),
                Ok(httparse::Status::Partial) => self.read()?,
                Err(httparse::Error::TooManyHeaders) => return Err(Failure::TooLong),
                Err(_) => return Err(Failure::Malformed),
            }
        };
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut headers);
        parsed.parse(&self.buffer).expect("parsed before");
        let status = parsed.code.expect("a status");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers: Vec<_> =
            parsed.headers.iter().map(|header| (header.name.to_ascii_lowercase(), text(header.value))).collect();
        let mut response = Response { status, headers, body: Vec::new() };
        let length = match response.header("content-length") {
            Some(length) => length.parse().expect("a length"),
            None => 0,
        };
        self.buffer.drain(..head_len);
        if !head_only && status >= 200 {
            while self.buffer.len() < length {
                self.read()?;
            }
            response.body = self.buffer.drain(..length).collect();
        }
        Ok(response)
    }

    /// Whether the other side closes without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && matches!(self.read(), Err(Failure::Closed | Failure::Cut | Failure::Reset))
    }

    /// How many bytes one read of the socket gets.
    pub fn read_once(&mut self) -> usize {
        let before = self.buffer.len();
        let _ = self.read();
        self.buffer.len() - before
    }

    fn read(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; 65536];
        let read = match &mut self.stream {
            Stream::Plain(socket) => socket.read(&mut bytes),
            Stream::Tls(stream) => stream.read(&mut bytes),
        };
        match read {
            Ok(0) if self.buffer.is_empty() => Err(Failure::Closed),
            Ok(0) => Err(Failure::Cut),
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(Failure::Timeout),
            // TLS: FIN without close_notify.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Failure::Cut),
            Err(_) => Err(Failure::Reset),
        }
    }
}

pub fn get(token: &str) -> String {
    format!("GET /?q=1 HTTP/1.1\r\nHost: t\r\nUser-Agent: test\r\nToken: {token}\r\n\r\n")
}

/// The n-th token: no two are equal.
pub fn token(number: u64) -> String {
    format!("{:016x}{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number)
}
