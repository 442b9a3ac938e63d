//! The whole program on a port of its own, and clients that write what they like.

use crate::people;
use flowtest_accounts::{Accounts, Actor, User};
use flowtest_contract::utc_us;
use flowtest_testkit::visitor::{Cookies, cookie_header, hidden_field, keep_cookie};
use flowtest_testkit::{Child, program};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub(crate) use crate::people::PASSWORD;
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Longer than anything takes that is not stuck.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) child: Child,
    pub(crate) accounts: Accounts,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// A dashboard with an admin "boss".
    pub(crate) async fn open(redis: Option<&str>, flags: &[&str]) -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("flowtest.db");
        let accounts = Accounts::open(&database).await.expect("a database");
        people::admin(&accounts, "boss", utc_us()).await;
        let nobody = format!("unix://{}", folder.path().join("nobody.sock").display());
        let mut command = program(env!("CARGO_BIN_EXE_flowtest-dashboard"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--contest", "cup", "--redis", redis.unwrap_or(&nobody)]);
        command.arg("--database").arg(&database).args(flags);
        let mut child = Child::start(&command);
        let address = child.wait_for_line("its address", |line| {
            line.strip_prefix("flowtest-dashboard: http://")?.split(' ').next()?.parse().ok()
        });
        Stage { address, child, accounts, _folder: folder }
    }

    /// A contestant with a server that nobody asks, for there is no generator.
    pub(crate) async fn contestant(&self, name: &str, endpoint: &str) -> User {
        let now = utc_us();
        let user = people::contestant(&self.accounts, name, now).await;
        self.accounts.set_endpoint(user.id, Some(endpoint), &Actor::program(), now).await.expect("an endpoint");
        user
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser { address: self.address, from: HERE, cookies: Cookies::new(), forwarded: None }
    }
}

/// Connects from an address of this machine.
pub(crate) async fn connect(to: SocketAddr, from: IpAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// Writes some bytes and reads until the other side ends.
pub(crate) async fn exchange(to: SocketAddr, from: IpAddr, bytes: &[u8]) -> String {
    let whole = async {
        let mut stream = connect(to, from).await.expect("it listens");
        // It may have answered and ended before all was written.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(TIMEOUT, whole).await.expect("it answers")
}

/// The status of an answer; 0 for none.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Keeps cookies, and opens a connection for each request.
#[derive(Clone)]
pub(crate) struct Browser {
    address: SocketAddr,
    pub(crate) from: IpAddr,
    cookies: Cookies,
    /// What a proxy would say of it.
    pub(crate) forwarded: Option<IpAddr>,
}

impl Browser {
    pub(crate) async fn get(&mut self, path: &str) -> String {
        self.ask("GET", path, None).await
    }

    /// Fetches a page for its token, then sends the form.
    pub(crate) async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> String {
        let page = self.get("/logout").await;
        let token = hidden_field(&page, "csrf_token").unwrap_or_else(|| panic!("no token in {page}"));
        let mut fields = fields.to_vec();
        fields.push(("csrf_token", &token));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
        self.ask("POST", path, Some(&body)).await
    }

    pub(crate) async fn sign_in(&mut self, name: &str, password: &str) -> String {
        self.send("/login", &[("name", name), ("password", password)]).await
    }

    async fn ask(&mut self, method: &str, path: &str, form: Option<&str>) -> String {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if !self.cookies.is_empty() {
            request.push_str(&format!("Cookie: {}\r\n", cookie_header(&self.cookies)));
        }
        if let Some(address) = self.forwarded {
            request.push_str(&format!("X-Forwarded-For: {address}\r\n"));
        }
        match form {
            Some(body) => request.push_str(&format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )),
            None => request.push_str("\r\n"),
        }
        let answer = exchange(self.address, self.from, request.as_bytes()).await;
        let head = answer.split("\r\n\r\n").next().unwrap_or_default();
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
            .for_each(|(_, said)| keep_cookie(&mut self.cookies, said));
        answer
    }
}
