//! Certificates of servers, made for a test, and what a server shows them by.
#![allow(dead_code, reason = "each test program uses its own part of this")]

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// A certificate by an authority of its own.
pub(crate) struct Identity {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

/// A key of RSA with 2048 bits: making one takes its time.
pub(crate) fn rsa() -> rcgen::KeyPair {
    rcgen::KeyPair::from_pem(include_str!("rsa.pem")).expect("a key")
}

impl Identity {
    pub(crate) fn new(names: &[&str], change: impl FnOnce(&mut rcgen::CertificateParams)) -> Identity {
        Identity::with_key(&rcgen::KeyPair::generate().expect("a key"), names, change)
    }

    pub(crate) fn with_key(
        key: &rcgen::KeyPair,
        names: &[&str],
        change: impl FnOnce(&mut rcgen::CertificateParams),
    ) -> Identity {
        let folder = tempfile::tempdir().expect("a folder");
        let mut authority = rcgen::CertificateParams::new(Vec::new()).expect("no names");
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority of the test");
        let authority_key = rcgen::KeyPair::generate().expect("a key");
        let authority_certificate = authority.self_signed(&authority_key).expect("an authority");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).expect("names");
        change(&mut params);
        let issuer = rcgen::Issuer::from_params(&authority, &authority_key);
        let certificate = params.signed_by(key, &issuer).expect("a certificate");
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("written");
        write("ca.pem", authority_certificate.pem());
        write("cert.pem", certificate.pem());
        write("key.pem", key.serialize_pem());
        Identity { chain: vec![certificate.der().clone()], key: key.serialize_der(), folder }
    }

    pub(crate) fn honest() -> Identity {
        Identity::new(&["localhost", "127.0.0.1"], |_| {})
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn config(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        configured(self.chain.clone(), &self.key, versions)
    }
}

/// A server that shows this chain, and signs by this key whether or not it is the chain's.
pub(crate) fn configured(
    chain: Vec<CertificateDer<'static>>,
    key: &[u8],
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = rustls::crypto::ring::default_provider();
    let key = rustls::crypto::ring::sign::any_supported_type(&PrivatePkcs8KeyDer::from(key.to_vec()).into());
    let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key.expect("a key")));
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    Arc::new(config)
}

/// A server over TLS on a free port whose answers end with the connection; `says_so`: by close_notify before that.
pub(crate) fn serve_until_close(config: Arc<ServerConfig>, says_so: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a configuration");
            let mut stream = StreamOwned::new(connection, stream);
            std::thread::spawn(move || {
                let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
                while !seen.ends_with(b"\r\n\r\n") {
                    let count = stream.read(&mut bytes)?;
                    seen.extend_from_slice(&bytes[..count]);
                }
                let head = String::from_utf8_lossy(&seen);
                let token = head.split("\r\n").find_map(|line| line.strip_prefix("Token: ")).unwrap_or("none");
                let answer = format!("HTTP/1.0 200 OK\r\nToken: {token}\r\nVersion: v2\r\nFrom: ECS\r\n\r\nok");
                stream.write_all(answer.as_bytes())?;
                if says_so {
                    stream.conn.send_close_notify();
                }
                stream.flush()?;
                stream.sock.shutdown(std::net::Shutdown::Write)?;
                // Its end is no reset: all that came is read.
                while stream.sock.read(&mut bytes)? > 0 {}
                Ok::<(), std::io::Error>(())
            });
        }
    });
    address
}

/// A server over TLS on a free port, which closes each connection after so many answers; 0: never.
pub(crate) fn serve(config: Arc<ServerConfig>, answers_each: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has one");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a configuration");
            std::thread::spawn(move || answer(StreamOwned::new(connection, stream), answers_each));
        }
    });
    address
}

fn answer(mut stream: StreamOwned<ServerConnection, TcpStream>, answers_each: usize) -> std::io::Result<()> {
    let (mut seen, mut bytes, mut answered) = (Vec::new(), [0; 4096], 0);
    loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        seen.extend_from_slice(&bytes[..count]);
        while let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            seen.drain(..end + 4);
            answered += 1;
            let is_last = answers_each > 0 && answered == answers_each;
            let token = head.split("\r\n").find_map(|line| line.strip_prefix("Token: ")).unwrap_or("none");
            let close = if is_last { "Connection: close\r\n" } else { "" };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nToken: {token}\r\nVersion: v2\r\nFrom: ECS\r\n{close}\r\nok"
            );
            stream.write_all(answer.as_bytes())?;
            if is_last {
                stream.conn.send_close_notify();
                stream.flush()?;
                return stream.sock.shutdown(std::net::Shutdown::Write);
            }
        }
        stream.flush()?;
    }
}
