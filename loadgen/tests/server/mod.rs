//! A server of threads that answers right, or wrong on purpose, for as long as the test runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is answered to the request of a number, from 1 on, with this token.
type Answer = Arc<dyn Fn(u64, &str) -> String + Send + Sync>;

/// On a free port of a host, or on the one that it names. Each `wrong`-th From is not right; 0: all are. Returns its
/// address, and how many requests it has seen.
pub(crate) fn serve(host: &str, wrong: u64) -> (SocketAddr, Arc<AtomicU64>) {
    serve_with(host, move |number, token| {
        let from = if wrong > 0 && number.is_multiple_of(wrong) { "EC2" } else { "ECS" };
        format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nToken: {token}\r\nVersion: v2\r\nFrom: {from}\r\n\r\nok")
    })
}

/// The same with answers of any kind.
pub(crate) fn serve_with(
    host: &str,
    answers: impl Fn(u64, &str) -> String + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicU64>) {
    let answers: Answer = Arc::new(answers);
    let listener = host.parse::<SocketAddr>().map_or_else(|_| TcpListener::bind((host, 0)), TcpListener::bind);
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("it has one");
    let requests = Arc::new(AtomicU64::new(0));
    let count = requests.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (count, answers) = (count.clone(), answers.clone());
            std::thread::spawn(move || answer(stream, &answers, &count));
        }
    });
    (address, requests)
}

fn answer(mut stream: TcpStream, answers: &Answer, requests: &AtomicU64) -> std::io::Result<()> {
    let mut seen = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        seen.extend_from_slice(&bytes[..count]);
        let mut out = Vec::new();
        while let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            seen.drain(..end + 4);
            let token = head.split("\r\n").find_map(|line| line.strip_prefix("Token: ")).unwrap_or("none");
            let number = requests.fetch_add(1, Ordering::Relaxed) + 1;
            out.extend_from_slice(answers(number, token).as_bytes());
        }
        stream.write_all(&out)?;
    }
}
