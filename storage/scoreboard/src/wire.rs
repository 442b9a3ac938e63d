//! Bytes to and from Redis: TCP, TLS or a Unix socket, with a time for every read and write, none of them cut short.
//!
//! The kernel interrupts every read that has a timeout: by a signal, whatever its handler asked for, by a stop of the process
//! that goes on, by what an `io_uring` of the same thread leaves behind (`signal(7)`). The client library gives an answer up
//! then, and cannot be asked for it again. So it makes commands and reads answers here, and the socket is ours.

use redis::{ConnectionAddr, ConnectionLike, ErrorKind, Parser, RedisResult, Value};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long connecting to one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long Redis may be silent in an answer. It answers in microseconds; a longer silence is an outage.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that speaks the protocol and knows nothing of who is at its other end. After an error it is of no use.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    parser: Parser,
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

impl Wire {
    /// Over TLS the server's certificate must be one of this file, or without one be trusted by the system.
    pub(crate) fn connect(address: &ConnectionAddr, trusted: Option<&Path>) -> RedisResult<Wire> {
        let stream: Box<dyn Stream> = match address {
            ConnectionAddr::Tcp(host, port) => Box::new(tcp(host, *port)?),
            ConnectionAddr::TcpTls { host, port, .. } => {
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let tls = ClientConnection::new(Arc::new(trust(trusted)?), name).map_err(io::Error::other)?;
                Box::new(StreamOwned::new(tls, tcp(host, *port)?))
            }
            ConnectionAddr::Unix(path) => Box::new(unix(path)?),
            _ => return Err((ErrorKind::InvalidClientConfig, "this kind of address is not supported").into()),
        };
        Ok(Wire { stream, parser: Parser::new() })
    }

    fn answer(&mut self) -> RedisResult<Value> {
        self.parser.parse_value(&mut self.stream)
    }
}

impl ConnectionLike for Wire {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        self.stream.write_all(command)?;
        self.answer()
    }

    /// The answers from `offset` on: those before it only say that a transaction's commands were taken.
    fn req_packed_commands(&mut self, commands: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        self.stream.write_all(commands)?;
        let mut answers = (0..offset + count).map(|_| self.answer()).collect::<RedisResult<Vec<_>>>()?;
        let wanted = answers.split_off(offset);
        // A command that was not taken says why; that the transaction was not done then follows from it.
        answers.into_iter().try_for_each(|taken| taken.extract_error().map(drop))?;
        Ok(wanted)
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        redis::cmd("PING").exec(self).is_ok()
    }

    fn is_open(&self) -> bool {
        true
    }
}

fn tcp(host: &str, port: u16) -> io::Result<Uninterrupted<TcpStream>> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                // Nagle's algorithm would hold back the last packet of a put until the one before it is acknowledged.
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(SILENCE_TIMEOUT))?;
                stream.set_write_timeout(Some(SILENCE_TIMEOUT))?;
                return Ok(Uninterrupted(stream));
            }
            Err(cause) => error = cause,
        }
    }
    Err(error)
}

fn unix(path: &Path) -> io::Result<Uninterrupted<UnixStream>> {
    let stream = uninterrupted(|| UnixStream::connect(path))?;
    stream.set_read_timeout(Some(SILENCE_TIMEOUT))?;
    stream.set_write_timeout(Some(SILENCE_TIMEOUT))?;
    Ok(Uninterrupted(stream))
}

/// Whoever the file names, or else whoever the system trusts.
fn trust(file: Option<&Path>) -> io::Result<ClientConfig> {
    let roots = match file {
        Some(path) => certificates_of(path)?,
        None => certificates_of_the_system()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The certificates of a file in PEM: at least one.
pub(crate) fn certificates_of(path: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
        roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    if roots.is_empty() {
        return Err(io::Error::other("it holds no certificate"));
    }
    Ok(roots)
}

fn certificates_of_the_system() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let cause = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(io::Error::other(format!(
            "no certificates to trust: {cause}; name a file with Redis's own by --redis-ca"
        )));
    }
    Ok(roots)
}

/// A socket whose reads and writes end by themselves or by their timeout.
struct Uninterrupted<S>(S);

impl<S: Read> Read for Uninterrupted<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.read(into))
    }
}

impl<S: Write> Write for Uninterrupted<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        uninterrupted(|| self.0.flush())
    }
}

fn uninterrupted<T>(mut step: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let until = Instant::now() + SILENCE_TIMEOUT;
    loop {
        // Who was stopped for longer than that finds the answer waiting: there is always one more look.
        let is_last = Instant::now() >= until;
        match step() {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Err(_) if is_last => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => {}
            Ok(done) => return Ok(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_step_is_done_again() {
        let mut left = 3;
        let answer = uninterrupted(|| {
            left -= 1;
            if left > 0 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(left) }
        });
        assert_eq!(answer.expect("in the end"), 0);
        let error = uninterrupted(|| -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) }).expect_err("over");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
