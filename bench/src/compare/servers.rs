//! Servers that answer the same bytes on one core: the reference contestant, and those it is compared with.

use crate::child::{self, Child, listening_on, listening_on_tls};
use crate::contest_box::Certificate;
use crate::error::{Error, Result};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Answers on one connection, where none is to be closed.
pub(super) const KEPT: u64 = 1_000_000_000;
/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Target,
    Nginx,
    Statico,
    Monoio,
    Glommio,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Target => "flowtest-target",
            Kind::Nginx => "nginx",
            Kind::Statico => "statico (monoio)",
            Kind::Monoio => "monoio, fixed answer",
            Kind::Glommio => "glommio, fixed answer",
        }
    }

    pub fn is_installed(self) -> bool {
        match self {
            Kind::Nginx => child::find_program("nginx").is_some(),
            Kind::Statico => child::find_program("statico").is_some(),
            Kind::Target | Kind::Monoio | Kind::Glommio => true,
        }
    }
}

/// One answer of the reference contestant, for the others to repeat.
#[derive(Clone, Debug)]
pub struct Answer {
    pub head: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub bytes: Vec<u8>,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    pub kind: Kind,
    pub url: String,
    pub child: Child,
}

impl Server {
    /// Starts a server on `core`. Its files go into `scratch`; `answer` is what it repeats.
    pub fn start(kind: Kind, core: usize, scratch: &Path, answer: Option<&Answer>) -> Result<Server> {
        match kind {
            Kind::Target => {
                let mut command = child::sibling("flowtest-target")?;
                command.args(["--listen", "127.0.0.1:0", "--version", "v2", "--from", "ECS"]);
                command.args(["--cores", &core.to_string()]);
                Server::that_tells(kind, &command)
            }
            Kind::Monoio | Kind::Glommio => {
                let mut command = child::sibling("flowtest-bench")?;
                let runtime = if kind == Kind::Monoio { "monoio" } else { "glommio" };
                command.args(["fixed", "--runtime", runtime, "--core", &core.to_string()]);
                if let Some(answer) = answer {
                    let path = scratch.join("answer.http");
                    std::fs::write(&path, &answer.bytes).map_err(Error::io("writing the fixed answer"))?;
                    command.arg("--answer").arg(path);
                }
                Server::that_tells(kind, &command)
            }
            Kind::Nginx => nginx(core, scratch, answer, &NginxOptions { keepalive_requests: Some(KEPT), tls: None }),
            Kind::Statico => statico(core, scratch, answer),
        }
    }

    /// Our target over https, on `core`.
    pub fn target_over_tls(core: usize, certificate: &Certificate) -> Result<Server> {
        let mut command = child::sibling("flowtest-target")?;
        command.args(["--listen", "127.0.0.1:0", "--version", "v2", "--from", "ECS", "--cores", &core.to_string()]);
        command.args(certificate.flags());
        let mut child = Child::start(Kind::Target.name(), &command)?;
        let url = child.wait_for("listening on http://", START, listening_on_tls)?;
        Ok(Server { kind: Kind::Target, url, child })
    }

    /// A server that prints the address that it listens on.
    fn that_tells(kind: Kind, command: &Command) -> Result<Server> {
        let mut child = Child::start(kind.name(), command)?;
        let url = child.wait_for("listening on http://", START, listening_on)?;
        Ok(Server { kind, url, child })
    }

    /// A server that has to be told its port.
    fn that_is_told(kind: Kind, command: &Command, address: SocketAddr) -> Result<Server> {
        let mut child = Child::start(kind.name(), command)?;
        let until = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            if !child.is_running() || Instant::now() > until {
                return Err(Error::Ended {
                    name: kind.name().into(),
                    status: "not listening".into(),
                    last_words: child.last_words(),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Server { kind, url: format!("http://{address}/"), child })
    }

    pub fn address(&self) -> Result<SocketAddr> {
        let host = self.url.trim_start_matches("http://").trim_end_matches('/');
        host.parse().map_err(|_| Error::Other(format!("{} is no address of this machine", self.url)))
    }

    /// Asks once, and returns the answer as it came.
    pub fn answer(&self) -> Result<Answer> {
        let said = |source| Error::Io { what: format!("asking {}", self.url), source };
        let mut stream = TcpStream::connect(self.address()?).map_err(said)?;
        stream.set_read_timeout(Some(START)).map_err(said)?;
        let token = "0123456789abcdef0123456789abcdef";
        write!(stream, "GET / HTTP/1.1\r\nHost: bench\r\nToken: {token}\r\n\r\n").map_err(said)?;
        let mut bytes = Vec::new();
        let mut chunk = [0u8; 4096];
        loop {
            if let Some(answer) = parse_answer(&bytes) {
                return Ok(answer);
            }
            match stream.read(&mut chunk).map_err(said)? {
                0 => return Err(Error::Other(format!("{} closed in the middle of an answer", self.url))),
                count => bytes.extend_from_slice(&chunk[..count]),
            }
        }
    }
}

fn parse_answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let head: Vec<(String, String)> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_string(), value.trim().to_string()))
        .collect();
    let length = head.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?.1.parse::<usize>().ok()?;
    let body = bytes.get(end..end.checked_add(length)?)?.to_vec();
    Some(Answer { head, body, bytes: bytes[..end + length].to_vec() })
}

/// A port that was free a moment ago, for servers that cannot choose one themselves.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("looking for a free port"))?;
    listener.local_addr().map_err(Error::io("looking for a free port"))
}

/// What differs between nginx as a peer and nginx as a contestant.
#[derive(Clone, Copy, Debug, Default)]
pub struct NginxOptions<'a> {
    /// Requests until nginx closes a connection; its own default (1,000) without a value.
    pub keepalive_requests: Option<u64>,
    /// None: plain http.
    pub tls: Option<NginxTls<'a>>,
}

/// nginx over https: TLS 1.3 with AES-128-GCM.
#[derive(Clone, Copy, Debug)]
pub struct NginxTls<'a> {
    pub certificate: &'a Certificate,
    /// Whether it gives tickets, by which a handshake may be resumed.
    pub resumes: bool,
}

/// nginx in a folder of its own: one process, no logs, echoing the token, with our body.
pub fn nginx(core: usize, scratch: &Path, answer: Option<&Answer>, options: &NginxOptions<'_>) -> Result<Server> {
    let program = child::find_program("nginx")
        .ok_or_else(|| Error::NotInstalled { program: "nginx".into(), make: "make bench (or make test)" })?;
    let address = free_address()?;
    let prefix = scratch.join(format!("nginx-{}", address.port()));
    std::fs::create_dir_all(prefix.join("temp")).map_err(Error::io("making nginx's folder"))?;
    let body = answer.map_or_else(|| b"<p>hello</p>\n".to_vec(), |answer| answer.body.clone());
    std::fs::write(prefix.join("index.html"), body).map_err(Error::io("writing nginx's page"))?;
    std::fs::write(prefix.join("nginx.conf"), nginx_configuration(address, options))
        .map_err(Error::io("writing nginx's configuration"))?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&prefix).args(["-c", "nginx.conf", "-e", "error.log"]);
    let server = Server::that_is_told(Kind::Nginx, &child::pinned(core, &command)?, address)?;
    Ok(if options.tls.is_some() { Server { url: format!("https://{address}/"), ..server } } else { server })
}

fn nginx_configuration(address: SocketAddr, options: &NginxOptions<'_>) -> String {
    let keepalive = options.keepalive_requests.map_or(String::new(), |count| format!("keepalive_requests {count};"));
    let (ssl, tls) = options.tls.map_or_else(Default::default, |NginxTls { certificate, resumes }| {
        let (chain, key, tickets) = (certificate.path(), certificate.key_path(), if resumes { "on" } else { "off" });
        let lines = format!(
            "    ssl_certificate {chain};\n    ssl_certificate_key {key};\n    ssl_protocols TLSv1.3;\n    \
             ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n    ssl_session_cache off;\n    \
             ssl_session_tickets {tickets};\n"
        );
        (" ssl", lines)
    });
    // One process: no worker that could outlive its master. Root would hand files to `nobody` otherwise.
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid nginx.pid;\nerror_log error.log crit;\n\
         worker_rlimit_nofile 20000;\nevents {{ worker_connections 16384; }}\nhttp {{\n  access_log off;\n  \
         client_body_temp_path temp;\n  proxy_temp_path temp;\n  fastcgi_temp_path temp;\n  uwsgi_temp_path temp;\n  \
         scgi_temp_path temp;\n  open_file_cache max=10 inactive=1h;\n  open_file_cache_valid 1h;\n  etag off;\n  \
         if_modified_since off;\n  {keepalive}\n  keepalive_timeout 1h;\n  default_type text/html;\n  \
         server {{\n    listen {address} backlog=16384{ssl};\n{tls}    root .;\n    add_header Token $http_token;\n    \
         add_header Version v2;\n    add_header From ECS;\n    add_header Last-Modified \"\";\n    \
         location / {{ try_files /index.html =404; }}\n  }}\n}}\n"
    )
}

fn statico(core: usize, scratch: &Path, answer: Option<&Answer>) -> Result<Server> {
    let program = child::find_program("statico")
        .ok_or_else(|| Error::NotInstalled { program: "statico".into(), make: "make bench" })?;
    let address = free_address()?;
    let mut command = Command::new(program);
    command.args(["--runtime", "monoio", "--threads", "1", "--address", "127.0.0.1"]);
    command.args(["--ports", &address.port().to_string(), "--tcp-nodelay"]);
    if let Some(answer) = answer {
        let path = scratch.join("statico.html");
        std::fs::write(&path, &answer.body).map_err(Error::io("writing statico's page"))?;
        command.arg("--body").arg(format!("@{}", path.display()));
        for (name, value) in &answer.head {
            // It frames its answer itself.
            if !name.eq_ignore_ascii_case("content-length") && !name.eq_ignore_ascii_case("connection") {
                command.args(["--header", &format!("{name}: {value}")]);
            }
        }
    }
    Server::that_is_told(Kind::Statico, &child::pinned(core, &command)?, address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_none() {
        let bytes = crate::fixed::default_answer();
        let answer = parse_answer(&bytes).expect("it is whole");
        assert_eq!((answer.body.len(), answer.bytes == bytes), (128, true));
        for end in 0..bytes.len() {
            assert!(parse_answer(&bytes[..end]).is_none(), "cut at {end}");
        }
    }
}
