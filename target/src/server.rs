//! All workers together: bind, start, stop, count.

use crate::capacity::Capacity;
use crate::certificates::{CertificateError, Certificates};
use crate::config::{Config, DriverKind, Limits, Workers};
use crate::counters::{Counters, TlsCounts};
use crate::page::Bodies;
use crate::responder::{Common, Responder, Schedules};
use crate::thread::{self, WorkerPlan};
use core_affinity::CoreId;
use flowtest_contract::utc_us;
use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Connections that may wait to be accepted, per worker; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// Why the server did not start: exit code 1. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "no permission to listen on {address}: ports below 1024 belong to root; run it with sudo, give it the right \
         with `setcap cap_net_bind_service=+ep flowtest-target`, or choose another port with {flag} 0.0.0.0:8080"
    )]
    NoPermission { flag: &'static str, address: SocketAddr },
    #[error(
        "{address} is in use: another server listens there; stop it (`ss -ltnp` names it), or choose another port \
         with {flag}"
    )]
    InUse { flag: &'static str, address: SocketAddr },
    #[error("{address} is no address of this machine; choose one of `ip address`, or 0.0.0.0, with {flag}")]
    NotOurs { flag: &'static str, address: SocketAddr },
    #[error("cannot listen on {address}: {source}; choose another address with {flag}")]
    Listen { flag: &'static str, address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("the page was not rendered: {0}; this is a fault of the program, please report it")]
    Page(#[from] sailfish::RenderError),
    #[error(
        "a worker did not start: {0}; raise the limits of memory and descriptors (ulimit -l, ulimit -n), or use --driver epoll"
    )]
    Worker(std::io::Error),
    #[error("core {0} refused the worker; choose others with --cores")]
    Pin(usize),
}

/// The running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    tls: Option<TlsPort>,
    driver: DriverKind,
    workers: Workers,
    schedules: Schedules,
    counters: Arc<Counters>,
    running: Running,
    /// Why the better driver was not taken.
    fallback: Option<StartError>,
}

/// The port that speaks TLS.
#[derive(Debug)]
struct TlsPort {
    address: SocketAddr,
    certificates: Arc<Certificates>,
}

impl Server {
    /// Binds and starts the workers. All of them are ready when this returns.
    pub fn start(config: Config) -> Result<Server, StartError> {
        raise_descriptor_limit();
        let Config { listen, tls, schedules, workers, capacity, team, faults, drivers, limits, json: _ } = config;
        let cores = workers.cores();
        let (address, listeners) = bind("--listen", listen, cores.len())?;
        let mut listeners_tls = Vec::new();
        let tls = match tls {
            None => None,
            Some(tls) => {
                let certificates = Arc::new(Certificates::load(tls.source, faults.expires())?);
                let (address, listeners) = bind("--listen-tls", tls.listen, cores.len())?;
                listeners_tls = listeners;
                Some(TlsPort { address, certificates })
            }
        };
        let resets = faults.resets();
        let capacity = capacity.map(|per_second| Arc::new(Capacity::new(per_second)));
        let counters = Arc::new(Counters::new(
            cores.len(),
            Arc::new(faults),
            capacity,
            tls.as_ref().map(|_| TlsCounts::default()),
        ));
        let common = Common { bodies: Bodies::render()?, schedules, team, counters: Arc::clone(&counters) };
        let mut fallback = None;
        let mut drivers = drivers.into_iter().peekable();
        loop {
            let driver = drivers.next().expect("a configuration has a driver");
            let start = Start {
                common: &common,
                cores: &cores,
                listeners: &listeners,
                listeners_tls: &listeners_tls,
                certificates: tls.as_ref().map(|tls| &tls.certificates),
                limits,
                driver,
                resets,
            };
            match start.run() {
                Ok(running) => {
                    return Ok(Server { address, tls, driver, workers, schedules, counters, running, fallback });
                }
                Err(error @ StartError::Worker(_)) if drivers.peek().is_some() => fallback = Some(error),
                Err(error) => return Err(error),
            }
        }
    }

    /// Why a worse way to speak to the kernel was taken than the configuration's first.
    pub fn fallback(&self) -> Option<String> {
        let StartError::Worker(source) = self.fallback.as_ref()? else { return None };
        Some(format!(
            "io_uring was refused ({source}), so it is {}; for io_uring raise the limit of locked memory (ulimit -l)",
            self.driver.name()
        ))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where TLS is spoken.
    pub fn address_tls(&self) -> Option<SocketAddr> {
        self.tls.as_ref().map(|tls| tls.address)
    }

    /// What the TLS port shows: what a handler of SIGHUP reloads.
    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        self.tls.as_ref().map(|tls| Arc::clone(&tls.certificates))
    }

    /// The flag that makes the server drain and stop when it becomes true: what a signal handler needs.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.running.stop)
    }

    pub fn stop(&self) {
        self.running.stop.store(true, Ordering::Relaxed);
    }

    /// Waits until all workers have drained after [`Server::stop`], and returns what was counted.
    pub fn join(self) -> Stopped {
        self.running.join();
        Stopped { counters: self.counters, schedules: self.schedules }
    }

    /// `listening on http://... (io_uring, cores 0 1, ...)`.
    pub fn to_text(&self) -> String {
        let workers = match &self.workers {
            Workers::Pinned(cores) => {
                format!("cores {}", cores.iter().map(|core| core.id.to_string()).collect::<Vec<_>>().join(" "))
            }
            Workers::Unpinned(count) => format!("CPU quota: {count} on any core"),
        };
        let now = utc_us();
        let capacity = self.counters.capacity.as_ref();
        format!(
            "listening on http://{}{} ({}, {workers}, version {}, from {}{})",
            self.address,
            self.tls.as_ref().map(|tls| format!(" and https://{}", tls.address)).unwrap_or_default(),
            self.driver.name(),
            self.schedules.version.at(now),
            self.schedules.from.at(now),
            capacity.map(|capacity| format!(", capacity {}/s", capacity.per_second)).unwrap_or_default()
        )
    }

    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "event": "listening",
            "url": format!("http://{}", self.address),
            "address": self.address.to_string(),
            "port": self.address.port(),
            "driver": self.driver.name(),
            "workers": self.workers.cores().len(),
            // Empty when they are not pinned.
            "cores": self.workers.cores().iter().flatten().map(|core| core.id).collect::<Vec<_>>(),
        });
        if let Some(TlsPort { address, certificates }) = &self.tls {
            json["tls"] = json!({
                "url": format!("https://{address}"),
                "address": address.to_string(),
                "port": address.port(),
                // Whom clients are to trust; null where the certificate came from a file.
                "certificate": certificates.made(),
            });
        }
        json
    }
}

/// The workers of one start.
#[derive(Debug)]
struct Running {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

impl Running {
    fn join(self) {
        for worker in self.workers {
            // A worker that panicked has said so; the others' counts still stand.
            let _ = worker.join();
        }
    }
}

/// All that workers are started with, which another start may need again.
struct Start<'a> {
    common: &'a Common,
    cores: &'a [Option<CoreId>],
    listeners: &'a [TcpListener],
    /// As many as there are listeners, or none.
    listeners_tls: &'a [TcpListener],
    certificates: Option<&'a Arc<Certificates>>,
    limits: Limits,
    driver: DriverKind,
    resets: bool,
}

impl Start<'_> {
    /// Starts one worker for each core and listener; after an error none is left.
    fn run(self) -> Result<Running, StartError> {
        let mut running = Running { stop: Arc::new(AtomicBool::new(false)), workers: Vec::new() };
        let result = self.run_each(&mut running);
        if let Err(error) = result {
            running.stop.store(true, Ordering::Relaxed);
            running.join();
            return Err(error);
        }
        Ok(running)
    }

    fn run_each(self, running: &mut Running) -> Result<(), StartError> {
        let Start { common, cores, listeners, listeners_tls, certificates, limits, driver, resets } = self;
        let (ready, readiness) = mpsc::channel();
        for (index, (core, listener)) in cores.iter().copied().zip(listeners).enumerate() {
            let responder = Responder::new(common.clone(), index, utc_us());
            let listener = listener.try_clone().map_err(StartError::Worker)?;
            let tls = match listeners_tls.get(index).zip(certificates) {
                None => None,
                Some((listener, certificates)) => {
                    Some((listener.try_clone().map_err(StartError::Worker)?, Arc::clone(certificates)))
                }
            };
            let plan = WorkerPlan { responder, listener, tls, limits, driver, resets, stop: Arc::clone(&running.stop) };
            let ready = ready.clone();
            let work = move || match core {
                Some(core) if !core_affinity::set_for_current(core) => {
                    drop(ready.send(Err(StartError::Pin(core.id))));
                }
                // The receiver is gone only when another worker failed already.
                _ => thread::run(plan, |result| drop(ready.send(result.map_err(StartError::Worker)))),
            };
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            running.workers.push(thread.spawn(work).map_err(StartError::Worker)?);
        }
        drop(ready);
        readiness.iter().take(cores.len()).collect()
    }
}

/// What remains of a server that stopped.
#[derive(Debug)]
pub struct Stopped {
    counters: Arc<Counters>,
    schedules: Schedules,
}

impl Stopped {
    pub fn to_text(&self) -> String {
        self.counters.to_text()
    }

    /// The object of `/healthz`, with `status` `stopped`.
    pub fn to_json(&self) -> Value {
        let now = utc_us();
        let (version, from) = (self.schedules.version.at(now).to_string(), self.schedules.from.at(now).to_string());
        self.counters.to_json("stopped", &version, &from)
    }
}

/// One listener per worker, all on one port; the kernel spreads connections over them. With the address, its port known.
fn bind(flag: &'static str, address: SocketAddr, count: usize) -> Result<(SocketAddr, Vec<TcpListener>), StartError> {
    let said = |source| cannot_listen(flag, address, source);
    // SO_REUSEPORT would let us in beside another target of the same user, and share its traffic. So the port is
    // first tried without it.
    let alone = socket(address, false).map_err(said)?;
    drop(alone);
    let mut listeners = Vec::with_capacity(count);
    let mut address = address;
    for _ in 0..count {
        let listener: TcpListener = socket(address, true).map_err(said)?.into();
        address = listener.local_addr().map_err(said)?;
        listeners.push(listener);
    }
    Ok((address, listeners))
}

fn cannot_listen(flag: &'static str, address: SocketAddr, source: std::io::Error) -> StartError {
    match source.kind() {
        ErrorKind::PermissionDenied => StartError::NoPermission { flag, address },
        ErrorKind::AddrInUse => StartError::InUse { flag, address },
        ErrorKind::AddrNotAvailable => StartError::NotOurs { flag, address },
        _ => StartError::Listen { flag, address, source },
    }
}

fn socket(address: SocketAddr, shared: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // A server that was just stopped leaves connections in TIME_WAIT; they are no reason to refuse.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    // Accepted sockets inherit it. Answers of one segment never grow a window, and BBR, where that is the machine's
    // default, arms a pacing timer for each. A kernel without reno keeps its default.
    let _ = socket.set_tcp_congestion(b"reno");
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

/// Each connection is a descriptor; the default soft limit of 1024 is far below what a generator opens.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    // What is refused here shows up later as connections that wait; it is no reason not to start.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn what_the_kernel_says_to_listening_becomes_a_sentence() {
        let address = "127.0.0.1:80".parse().expect("an address");
        let cases = [
            (Errno::ACCESS, "no permission to listen on 127.0.0.1:80: ports below 1024 belong to root"),
            (Errno::PERM, "no permission to listen on 127.0.0.1:80"),
            (Errno::ADDRINUSE, "127.0.0.1:80 is in use"),
            (Errno::ADDRNOTAVAIL, "127.0.0.1:80 is no address of this machine"),
            (Errno::AFNOSUPPORT, "cannot listen on 127.0.0.1:80: Address family not supported"),
        ];
        for (errno, beginning) in cases {
            let said = cannot_listen("--listen", address, errno.into()).to_string();
            assert!(said.starts_with(beginning) && said.contains("--listen"), "{errno:?}: {said}");
        }
    }
}
