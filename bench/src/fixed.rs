//! Servers that send one fixed answer: what a runtime costs without a server in it.
//!
//! They do not look at requests. Each connection learns the length of its first one and then counts bytes, which is
//! right for every load tool that repeats a request, ours included: a token never changes its length. Under our judge
//! they earn wrong tokens, so only their rate counts.

use crate::child::{self, Child, listening_on};
use crate::error::{Error, Result};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// How long one may take until it listens.
const START: Duration = Duration::from_secs(10);
/// Answers that one write may carry.
const ANSWERS_MAX: usize = 512;
/// Bytes of requests that one read may bring.
const READ_BYTES: usize = 16 * 1024;
/// A first request longer than this is none that a load tool sends.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Runtime {
    /// io_uring by monoio: the smallest honest ring server that can be written without `unsafe`.
    Monoio,
    Glommio,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[arg(long, value_enum)]
    pub runtime: Runtime,
    /// The core to run on.
    #[arg(long, default_value_t = 1)]
    pub core: usize,
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// A file with the bytes of the answer, head and body; a small one of our own without it.
    #[arg(long)]
    pub answer: Option<std::path::PathBuf>,
}

/// As long as a small page with the three headers of the contract.
pub fn default_answer() -> Vec<u8> {
    let body = "x".repeat(128);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nVersion: v2\r\nFrom: ECS\r\n\
         Token: 00000000000000000000000000000000\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Starts one on monoio, on this core, and returns its address.
pub fn start(name: &str, core: usize) -> Result<(Child, SocketAddr)> {
    let mut command = child::sibling("flowtest-bench")?;
    command.args(["fixed", "--runtime", "monoio", "--core", &core.to_string()]);
    let mut server = Child::start(name, &command)?;
    let url = server.wait_for("listening on http://", START, listening_on)?;
    let address = url.trim_start_matches("http://").trim_end_matches('/').parse();
    Ok((server, address.map_err(|_| Error::Other(format!("{url} is no address")))?))
}

/// Serves until the process is stopped. Tells its address on standard output.
pub fn serve(options: &Options) -> Result<()> {
    // glommio pins by itself, and panics over a core that is not there.
    child::pin_this_thread(options.core)?;
    let answer = match &options.answer {
        Some(path) => std::fs::read(path).map_err(Error::io(path.display().to_string()))?,
        None => default_answer(),
    };
    let len = answer.len();
    // Lives as long as the process; the kernel may read it at any time.
    let answers: &'static [u8] = answer.repeat(ANSWERS_MAX).leak();
    let answers = Answers { bytes: answers, len };
    let listener = TcpListener::bind(options.listen).map_err(Error::io(format!("listening on {}", options.listen)))?;
    let address = listener.local_addr().map_err(Error::io("the listener's address"))?;
    match options.runtime {
        Runtime::Monoio => {
            println!("listening on http://{address}");
            monoio_serve(listener, answers)
        }
        Runtime::Glommio => {
            // glommio binds by itself, with SO_REUSEADDR; the port that we found free stays ours for a moment.
            drop(listener);
            glommio_serve(options.core, address, answers)
        }
    }
}

#[derive(Clone, Copy)]
struct Answers {
    bytes: &'static [u8],
    len: usize,
}

impl Answers {
    fn of(self, count: usize) -> &'static [u8] {
        &self.bytes[..count.min(ANSWERS_MAX) * self.len]
    }
}

/// How many requests have come, by their bytes.
#[derive(Debug, Default)]
struct Requests {
    first: Vec<u8>,
    len: Option<usize>,
    bytes: usize,
}

impl Requests {
    /// Takes what was read and returns how many requests are whole and unanswered. `None`: not a request.
    fn take(&mut self, bytes: &[u8]) -> Option<usize> {
        self.bytes += bytes.len();
        let len = match self.len {
            Some(len) => len,
            None => {
                self.first.extend_from_slice(bytes);
                match self.first.windows(4).position(|window| window == b"\r\n\r\n") {
                    Some(end) => *self.len.insert(end + 4),
                    None => return (self.first.len() <= REQUEST_BYTES_MAX).then_some(0),
                }
            }
        };
        let whole = self.bytes / len;
        self.bytes %= len;
        Some(whole)
    }
}

fn monoio_serve(listener: TcpListener, answers: Answers) -> Result<()> {
    let mut runtime = monoio::RuntimeBuilder::<monoio::FusionDriver>::new()
        .with_entries(4096)
        .build()
        .map_err(Error::io("starting monoio"))?;
    runtime.block_on(async move {
        let listener = monoio::net::TcpListener::from_std(listener).map_err(Error::io("listening"))?;
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            monoio::spawn(monoio_connection(stream, answers));
        }
    })
}

async fn monoio_connection(mut stream: monoio::net::TcpStream, answers: Answers) {
    let _ = stream.set_nodelay(true);
    let mut requests = Requests::default();
    let mut buffer = vec![0u8; READ_BYTES];
    loop {
        let (result, filled) = stream.read(buffer).await;
        buffer = filled;
        let count = match result {
            Ok(count) if count > 0 => count,
            _ => return,
        };
        let Some(mut whole) = requests.take(&buffer[..count]) else { return };
        while whole > 0 {
            let batch = whole.min(ANSWERS_MAX);
            if stream.write_all(answers.of(batch)).await.0.is_err() {
                return;
            }
            whole -= batch;
        }
    }
}

fn glommio_serve(core: usize, address: SocketAddr, answers: Answers) -> Result<()> {
    let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Fixed(core));
    let executor = builder.make().map_err(|error| Error::Other(format!("starting glommio: {error}")))?;
    executor.run(async move {
        let listener = glommio::net::TcpListener::bind(address)
            .map_err(|error| Error::Other(format!("listening on {address} by glommio: {error}")))?;
        println!("listening on http://{address}");
        loop {
            let Ok(stream) = listener.accept().await else { continue };
            glommio::spawn_local(glommio_connection(stream, answers)).detach();
        }
    })
}

async fn glommio_connection(mut stream: glommio::net::TcpStream, answers: Answers) {
    let _ = stream.set_nodelay(true);
    let mut requests = Requests::default();
    let mut buffer = vec![0u8; READ_BYTES];
    loop {
        let count = match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => count,
            _ => return,
        };
        let Some(mut whole) = requests.take(&buffer[..count]) else { return };
        while whole > 0 {
            let batch = whole.min(ANSWERS_MAX);
            if stream.write_all(answers.of(batch)).await.is_err() {
                return;
            }
            whole -= batch;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_however_they_are_cut() {
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let stream = request.repeat(7);
        for cut in 1..stream.len() {
            let mut requests = Requests::default();
            let counted: usize = stream.chunks(cut).map(|chunk| requests.take(chunk).expect("a request")).sum();
            assert_eq!(counted, 7, "cut every {cut} bytes");
        }
    }

    #[test]
    fn an_endless_head_is_no_request() {
        let mut requests = Requests::default();
        let taken: Vec<_> = (0..3).map(|_| requests.take(&[b'a'; 4096])).collect();
        assert_eq!(taken, [Some(0), Some(0), None]);
    }
}
