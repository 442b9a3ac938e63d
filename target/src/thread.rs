//! A worker's thread, on one core unless a quota shares the cores: accepts, serves its connections, keeps time, drains. It
//! shares nothing with the others but counters that only it writes.

use crate::certificates::Certificates;
use crate::config::{DriverKind, Limits};
use crate::deadlines::{Deadlines, Evict, WaitsFor};
use crate::io::{self, Port};
use crate::responder::Responder;
use crate::worker::Worker;
use flowtest_contract::utc_us;
use monoio::net::{TcpListener, TcpStream};
use monoio::{FusionDriver, LegacyDriver, RuntimeBuilder};
use std::cell::RefCell;
use std::future::Future;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often time limits, Date and the wish to stop are looked at.
const TICK: Duration = Duration::from_millis(100);
/// The same while draining, so that stopping takes no longer than its connections do.
const TICK_DRAINING: Duration = Duration::from_millis(10);
/// While draining, how long an idle connection may still send a request and be told to close, instead of being
/// closed in its face.
const DRAIN_IDLE: Duration = Duration::from_secs(1);
/// How long draining takes at most.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Connections accepted in one go. Somebody who connects as fast as we accept must not keep the others waiting.
const ACCEPTS_MAX: usize = 256;
/// Pause after so many: the shortest that a timer of monoio knows, in which everything else gets its turn.
const ACCEPT_YIELD: Duration = Duration::from_millis(1);
/// Pause after accepting failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Entries of the ring: two operations per connection for two thousand connections in one turn; above that a turn
/// takes more than one system call.
const RING_ENTRIES: u32 = 4096;

/// All that a worker thread is started with.
pub(crate) struct WorkerPlan {
    pub(crate) responder: Responder,
    pub(crate) listener: std::net::TcpListener,
    pub(crate) tls: Option<(std::net::TcpListener, Arc<Certificates>)>,
    pub(crate) limits: Limits,
    pub(crate) driver: DriverKind,
    pub(crate) resets: bool,
    pub(crate) stop: Arc<AtomicBool>,
}

/// Runs a worker on the calling thread until it is told to stop and has drained. `ready` is told, once, whether
/// the kernel gave it a runtime.
pub(crate) fn run(plan: WorkerPlan, ready: impl FnOnce(std::io::Result<()>)) {
    match plan.driver {
        DriverKind::IoUring => {
            // FusionDriver probes the kernel again and comes to io_uring, as the configuration did.
            let with = |ring: &io_uring_06::Builder| {
                let builder = RuntimeBuilder::<FusionDriver>::new();
                builder.uring_builder(ring.clone()).with_entries(RING_ENTRIES).enable_timer().build()
            };
            let plain = io_uring_06::IoUring::builder();
            let runtime = with(&deferred(&plain)).or_else(|_| with(&plain));
            drive(runtime, |runtime, main| runtime.block_on(main), plan, ready);
        }
        DriverKind::Epoll => {
            let builder = RuntimeBuilder::<LegacyDriver>::new().enable_timer();
            drive(builder.build(), |runtime, main| runtime.block_on(main), plan, ready);
        }
    }
}

/// Completions are worked off when the worker asks for them, not by interrupting it: Linux 6.1; older kernels
/// refuse the flags and get a plain ring. Safe with monoio 0.2.4, which enters from one thread only and always
/// waits for at least one completion once no task is ready.
fn deferred(plain: &io_uring_06::Builder) -> io_uring_06::Builder {
    let mut ring = plain.clone();
    ring.setup_single_issuer().setup_defer_taskrun();
    ring
}

fn drive<R>(
    runtime: std::io::Result<R>,
    block_on: impl FnOnce(&mut R, std::pin::Pin<Box<dyn Future<Output = ()>>>),
    plan: WorkerPlan,
    ready: impl FnOnce(std::io::Result<()>),
) {
    match runtime {
        Ok(mut runtime) => {
            ready(Ok(()));
            block_on(&mut runtime, Box::pin(work(plan)));
            // monoio 0.2.4 frees the buffers of operations in flight when a runtime is dropped, without waiting
            // for the kernel to be done with them. The process ends soon; until then they stay.
            std::mem::forget(runtime);
        }
        Err(error) => ready(Err(error)),
    }
}

async fn work(plan: WorkerPlan) {
    let WorkerPlan { responder, listener, tls, limits, driver, resets, stop } = plan;
    let deadlines = Rc::new(Deadlines::default());
    let (listener_tls, certificates) = tls.unzip();
    let worker =
        Rc::new(Worker { responder: RefCell::new(responder), deadlines, limits, certificates, driver, resets });
    monoio::spawn(accept(Rc::clone(&worker), listener, Port::Plain));
    if let Some(listener) = listener_tls {
        monoio::spawn(accept(Rc::clone(&worker), listener, Port::Tls));
    }
    keep_time(&worker, &stop).await;
    worker.responder.borrow().publish();
}

/// Accepts until the server stops; what waits in the backlog then is still taken.
async fn accept(worker: Rc<Worker>, listener: std::net::TcpListener, port: Port) {
    let deadline = worker.deadlines.register(WaitsFor::Clients).await;
    // monoio tells when there is something to accept; accepting itself is the plain call, which leaves a handle
    // of the standard library to set options on.
    let Ok(readiness) = listener.try_clone().and_then(TcpListener::from_std) else { return };
    loop {
        let stopping = deadline.within(readiness.readable(false)).await.is_err();
        let pause = accept_waiting(&worker, &listener, port);
        if stopping {
            return;
        }
        if let Some(pause) = pause {
            monoio::time::sleep(pause).await;
        }
    }
}

/// Accepts what waits, up to a limit. Returns how long to leave the worker to its connections before the next look.
fn accept_waiting(worker: &Rc<Worker>, listener: &std::net::TcpListener, port: Port) -> Option<Duration> {
    for _ in 0..ACCEPTS_MAX {
        match listener.accept() {
            Ok((stream, _)) => serve_accepted(worker, stream, port),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            // No descriptor or no memory left, now: clients wait in the backlog.
            Err(_) => return Some(ACCEPT_PAUSE),
        }
    }
    Some(ACCEPT_YIELD)
}

fn serve_accepted(worker: &Rc<Worker>, stream: std::net::TcpStream, port: Port) {
    // A client that is gone already makes these fail; then there is nobody to serve.
    let prepared = stream.set_nodelay(true).and_then(|()| match worker.driver {
        // io_uring answers EAGAIN on a nonblocking socket instead of waiting.
        DriverKind::IoUring => Ok(()),
        DriverKind::Epoll => stream.set_nonblocking(true),
    });
    let handle = if worker.resets { stream.try_clone().ok() } else { None };
    if prepared.is_ok()
        && let Ok(stream) = TcpStream::from_std(stream)
    {
        monoio::spawn(io::serve(Rc::clone(worker), stream, handle, port));
    }
}

/// The worker's clock: Date, flips, time limits and the wish to stop. Returns when the worker has drained.
async fn keep_time(worker: &Worker, stop: &AtomicBool) {
    let started = Instant::now();
    let mut draining_since = None;
    loop {
        let now = utc_us();
        let elapsed = started.elapsed();
        if draining_since.is_none() && stop.load(Ordering::Relaxed) {
            draining_since = Some(elapsed);
            worker.responder.borrow_mut().draining = true;
        }
        worker.responder.borrow_mut().refresh(now);
        let drained_for = draining_since.map(|since| elapsed.saturating_sub(since));
        let evict = match drained_for {
            None => Evict::Late,
            Some(drained_for) if drained_for < DRAIN_IDLE => Evict::Accepting,
            Some(drained_for) if drained_for < DRAIN_MAX => Evict::Idle,
            Some(_) => Evict::All,
        };
        worker.deadlines.tick(elapsed.as_millis() as u64, evict);
        if drained_for.is_some_and(|drained_for| worker.deadlines.count() == 0 || drained_for > DRAIN_MAX + TICK) {
            return;
        }
        let until_flip = worker.responder.borrow().schedules().change_in(now).map(Duration::from_micros);
        let tick = if draining_since.is_some() { TICK_DRAINING } else { TICK };
        monoio::time::sleep(tick.min(until_flip.unwrap_or(tick))).await;
    }
}
