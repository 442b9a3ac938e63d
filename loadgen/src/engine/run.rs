//! A run: starts the workers on their cores, collects what they count, ends when the plan does.

use crate::engine::block::{self, Block, Receiver, Sender};
use crate::engine::clock::RunInstant;
use crate::engine::connection::Connection;
use crate::engine::control::WorkerControl;
use crate::engine::exchange::Exchange;
use crate::engine::plan::{Load, NS_PER_US, Phase, Plan};
use crate::engine::ring::{Counters, Features, RingError, Sizes, Uring};
use crate::engine::sizes::sizes;
use crate::engine::split::slots_of;
use crate::engine::spread::Spread;
use crate::engine::tls::RECORD_MAX;
use crate::engine::trace::Tracing;
use crate::engine::worker::Worker;
use core_affinity::CoreId;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Row, utc_us};
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Why a run did not begin or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("core {core} does not exist here or is not ours to use; cores that can be used: {usable}")]
    NoSuchCore { core: usize, usable: String },
    #[error("the system does not say which cores this process may use: choose them by --cores")]
    NoCores,
    #[error("worker on core {core}: {error}")]
    Ring { core: usize, error: RingError },
    #[error(
        "worker on core {core}: the ring failed while running ({error}): run it again, and report this with the kernel's version"
    )]
    Broken { core: usize, error: io::Error },
    #[error(
        "{needed} file descriptors are needed and the limit is {limit}: ask for fewer connections or raise the hard \
         limit (ulimit -Hn)"
    )]
    Descriptors { needed: u64, limit: u64 },
    #[error(
        "{needed_mib} MiB are needed for requests in flight and {available_mib} MiB are free: ask for fewer connections \
         or a smaller pipeline"
    )]
    Memory { needed_mib: u64, available_mib: u64 },
    #[error(
        "{contestant} gets {needed} connections to one address, and this machine has {ports} local ports for them \
         (net.ipv4.ip_local_port_range, less ip_local_reserved_ports): ask for fewer connections, or widen the range"
    )]
    Ports { contestant: String, needed: u64, ports: u64 },
    #[error(
        "{rate} requests a second for each of {contestants} on {workers} cores are more than {REQUESTS_PER_CORE_MAX} a second \
         for a core, which is more than any can send: ask for a lower rate, or for more cores (--cores)"
    )]
    Rate { rate: u64, contestants: usize, workers: u32 },
    #[error("no thread for a worker: {0}")]
    Thread(io::Error),
    #[error("the round began before this machine did: set its clock")]
    Clock,
    #[error("no random key for the tokens: {0}")]
    Random(getrandom::Error),
}

impl From<RunError> for crate::Failed {
    fn from(error: RunError) -> crate::Failed {
        crate::Failed::Message(error.to_string())
    }
}

/// Where instant 0 of the run clock is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub base: Instant,
    pub utc_base: UtcUs,
}

impl Clock {
    /// Both clocks read as close together as a process can.
    pub fn now() -> Clock {
        let base = Instant::now();
        Clock { base, utc_base: utc_us() }
    }

    /// A clock that began before an instant of UTC, so that the instant lies on it.
    pub fn before(utc: UtcUs) -> Result<Clock, RunError> {
        let now = Clock::now();
        let back_us = now.utc_base.saturating_since(utc).saturating_add(1_000_000);
        let base = now.base.checked_sub(Duration::from_micros(back_us)).ok_or(RunError::Clock)?;
        Ok(Clock { base, utc_base: now.utc_base - back_us })
    }

    /// Now, on the run clock.
    pub fn elapsed(&self) -> RunInstant {
        RunInstant::since(self.base)
    }

    /// An instant on the run clock; what was before it is its beginning.
    pub fn at(&self, instant: Instant) -> RunInstant {
        RunInstant::from_ns(instant.saturating_duration_since(self.base).as_nanos() as u64)
    }

    pub fn utc_us(&self, instant: RunInstant) -> UtcUs {
        self.utc_base + instant.ns() / NS_PER_US
    }

    /// How far the system's clock has been set since this one began, in microseconds: forward is more than 0. Instants of this
    /// one do not follow.
    pub fn step_us(&self) -> i64 {
        utc_us().signed_since(self.utc_us(self.elapsed()))
    }

    /// So long after now.
    pub fn after(&self, delay: Duration) -> RunInstant {
        self.elapsed() + delay.as_nanos() as u64
    }
}

/// Cores that workers may be pinned to.
pub fn usable_cores() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// The cores asked for, checked; none asked for: all but one when there are more than two, which the recorder takes.
pub fn choose_cores(asked: Option<&[usize]>) -> Result<Vec<usize>, RunError> {
    let usable = usable_cores();
    let Some(asked) = asked else {
        let take = if usable.len() > 2 { usable.len() - 1 } else { usable.len() };
        return if take == 0 { Err(RunError::NoCores) } else { Ok(usable[usable.len() - take..].to_vec()) };
    };
    match asked.iter().find(|core| !usable.contains(core)) {
        Some(core) => Err(RunError::NoSuchCore {
            core: *core,
            usable: usable.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
        }),
        None => Ok(asked.to_vec()),
    }
}

/// Which kernel features a ring on this machine uses. Makes a small one and lets it go.
///
/// # Errors
/// Why there can be none, before anybody relies on it.
pub fn probe_ring(core: usize) -> Result<Features, RunError> {
    const SMALL: Sizes = Sizes { slots: 1, area_bytes: 64, buffers: 2, buffer_bytes: 64 };
    // On a thread of its own: the exit work of a ring that is let go interrupts the next blocking call of its thread.
    let probe = || Uring::new(SMALL, Instant::now()).map(|uring| uring.features());
    let probed = thread::scope(|scope| scope.spawn(probe).join());
    probed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(|error| RunError::Ring { core, error })
}

/// Whether this machine has what a plan needs, before anything of it is played.
///
/// # Errors
/// What is missing.
pub fn reserve(plan: &Plan) -> Result<(), RunError> {
    check_memory(plan)?;
    reserve_descriptors(plan)?;
    // Where the system does not say how many ports there are, they are asked for and seen.
    local_ports().map_or(Ok(()), |ports| check_ports(plan, ports))
}

/// Raises the soft limit of descriptors to what the plan needs.
pub fn reserve_descriptors(plan: &Plan) -> Result<(), RunError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// Rings, standard streams, Redis, files of reports.
    const OTHERS: u64 = 64;
    let connections = (0..plan.workers).map(|worker| u64::from(sizes(plan, worker).slots)).sum::<u64>();
    let needed = connections + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    let Some(soft) = limit.current.filter(|soft| *soft < needed) else { return Ok(()) };
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if hard < needed || setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum }).is_err() {
        return Err(RunError::Descriptors { needed, limit: soft.max(hard) });
    }
    Ok(())
}

/// Whether what the plan keeps in flight fits the memory that is free. Without this the kernel would end the process.
fn check_memory(plan: &Plan) -> Result<(), RunError> {
    const MIB: u64 = 1 << 20;
    let needed = in_flight_bytes(plan);
    // Where the system does not say what is free, it is asked for and seen.
    let Some(available) = available_memory() else { return Ok(()) };
    if needed <= available {
        Ok(())
    } else {
        Err(RunError::Memory { needed_mib: needed / MIB, available_mib: available / MIB })
    }
}

/// Bytes that all connections of the plan take at the most.
fn in_flight_bytes(plan: &Plan) -> u64 {
    /// Of a connection over TLS: its keys, and small answers.
    const TLS_BYTES: u64 = 8 << 10;
    let pipeline = u64::from(plan.pipeline_max()).next_power_of_two();
    let spread = Spread::new(plan.places() as u64);
    let of_worker = |worker| {
        let sizes = sizes(plan, worker);
        let slot = sizes.area_bytes as u64 + pipeline * size_of::<Exchange>() as u64 + size_of::<Connection>() as u64;
        let slot = slot + if plan.may_speak_tls() { TLS_BYTES } else { 0 };
        // The record that has come in part. Those who speak TLS have it; others may come to, and most never do.
        let over_tls = plan.contestants.keys().filter(|index| plan.contestants[*index].tls.is_some());
        let over_tls = over_tls.map(|index| u64::from(slots_of(plan, &spread, worker, index))).sum::<u64>();
        u64::from(sizes.slots) * slot + over_tls * RECORD_MAX as u64
    };
    (0..plan.workers).map(of_worker).sum()
}

/// The plan with room for those who may join; without it where this machine has not so much memory or so many descriptors.
fn with_room(plan: &Arc<Plan>) -> Arc<Plan> {
    if plan.room <= plan.contestants.len() {
        return plan.clone();
    }
    let Err(error) = check_memory(plan).and_then(|()| reserve_descriptors(plan)) else { return plan.clone() };
    eprintln!(
        "flowtest-loadgen: there is no room here for contestants that join the round, and what falls due to them is our own fault: \
         {error}"
    );
    Arc::new(Plan { room: 0, ..Plan::clone(plan) })
}

/// Requests a second that may fall due on one core. It can send a fifth of that; what it cannot send costs it 0.2 µs to give
/// up, and where that alone takes longer than a second for each second, it does not come to its end any more.
pub const REQUESTS_PER_CORE_MAX: u64 = 2_000_000;

/// Whether the workers can at least let fall due what the plan asks for.
fn check_rate(plan: &Plan) -> Result<(), RunError> {
    let shares = plan.schedule.shares();
    let contestants = plan.contestants.len();
    let peak = |phase: &Phase| match phase.load {
        Load::Open(ramp) => ramp.highest(),
        // It climbs no further than the generators can.
        Load::Step(step) => step.terms.ladder.start,
        Load::Closed { .. } => 0,
    };
    let rate = plan.phases.iter().map(peak).max().unwrap_or(0);
    let most = u128::from(REQUESTS_PER_CORE_MAX) * u128::from(plan.workers);
    let taken = shares.iter().map(|(_, share)| share.take(rate)).max().unwrap_or(0);
    if u128::from(taken) * contestants as u128 <= most {
        Ok(())
    } else {
        Err(RunError::Rate { rate, contestants, workers: plan.workers })
    }
}

/// Whether this machine has a local port for each connection that it takes. A port can be had again for another address, so
/// the largest number of connections to one address counts.
fn check_ports(plan: &Plan, ports: u64) -> Result<(), RunError> {
    let shares = plan.schedule.shares();
    let taken = |phase: &Phase| shares.iter().map(|(_, share)| share.take(u64::from(phase.connections))).max();
    let connections = plan.phases.iter().filter_map(taken).max().unwrap_or(0);
    for contestant in plan.contestants.iter() {
        let needed = connections.div_ceil(contestant.spread().max(1) as u64);
        if needed > ports {
            return Err(RunError::Ports { contestant: contestant.name.clone(), needed, ports });
        }
    }
    Ok(())
}

/// Ports that the kernel gives to connections, of this network namespace. `None`: it does not say.
fn local_ports() -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok();
    ports_of(&read("ip_local_port_range")?, &read("ip_local_reserved_ports").unwrap_or_default())
}

/// Of a range `first last` without those that are reserved: `a,b-c,..`.
fn ports_of(range: &str, reserved: &str) -> Option<u64> {
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    let taken: u64 = (reserved.split(',').map(str::trim))
        .filter_map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (from.parse::<u64>().ok()?.max(first), to.parse::<u64>().ok()?.min(last));
            Some((to + 1).saturating_sub(from))
        })
        .sum();
    Some((last + 1).saturating_sub(first).saturating_sub(taken))
}

/// Bytes that the kernel thinks can be had without swapping (`MemAvailable`).
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Counters and times of one worker.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct WorkerReport {
    pub core: usize,
    #[serde(flatten)]
    pub counters: Counters,
    pub user_us: u64,
    pub system_us: u64,
}

/// What has been counted so far.
#[derive(Clone, Debug)]
pub struct Progress {
    pub now: RunInstant,
    /// Until here every worker has told what fell due. It stays behind while one of them stands still.
    pub until: RunInstant,
    /// Since when it was looked at without a break: who was away knows nothing of how workers stand.
    pub attended: RunInstant,
    /// The sums over all workers.
    pub sums: Block,
    pub workers: Vec<WorkerReport>,
    pub features: Features,
}

impl Progress {
    /// What counts, by contestant.
    pub fn rows(&self) -> Arc<[Row]> {
        self.sums.scored.iter().map(|counts| counts.row.clone()).collect()
    }
}

/// A collector that has not come for so long was away, as while the journal's disk is slow: workers keep what they have to tell.
const AWAY_NS: u64 = 500_000_000;

/// Workers that run a plan, and what collects their counts.
#[derive(Debug)]
pub struct Run {
    pub workers: Workers,
    pub collector: Collector,
}

/// The threads, and their control.
#[derive(Debug)]
pub struct Workers {
    control: Arc<WorkerControl>,
    threads: Vec<(usize, JoinHandle<io::Result<()>>)>,
}

/// The other end of the workers' queues, and the sums of all that came out of them.
#[derive(Debug)]
pub struct Collector {
    clock: Clock,
    receivers: Vec<Receiver>,
    told: Vec<ToldUntil>,
    progress: Progress,
}

/// How far one worker has told what fell due.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ToldUntil {
    pub(crate) until: RunInstant,
    /// It tells nothing more.
    pub(crate) has_ended: bool,
}

impl Run {
    /// Starts one worker per core. The plan's instants count from `clock`.
    pub fn start(plan: &Arc<Plan>, clock: Clock, cores: &[usize], tracing: Tracing) -> Result<Run, RunError> {
        assert_eq!(plan.workers as usize, cores.len(), "one core per worker");
        check_rate(plan)?;
        let plan = &with_room(plan);
        reserve(plan)?;
        let control = Arc::new(WorkerControl::new(plan.clone()));
        let mut threads = Vec::new();
        let mut receivers = Vec::new();
        let mut features = None;
        let mut workers = Vec::new();
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(RunError::Random)?;
        for (number, core) in cores.iter().copied().enumerate() {
            let (sender, receiver) = block::channel(plan.contestants.len(), tracing);
            let (ready_in, ready_out) = mpsc::sync_channel(1);
            let (plan, worker_control) = (plan.clone(), control.clone());
            let post = WorkerSetup { number: number as u32, core, clock, key, tracing };
            let thread = match thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || work(&post, &plan, &worker_control, sender, &ready_in))
            {
                Ok(thread) => thread,
                Err(error) => {
                    control.abort();
                    return Err(RunError::Thread(error));
                }
            };
            threads.push((core, thread));
            receivers.push(receiver);
            workers.push(WorkerReport { core, counters: Counters::default(), user_us: 0, system_us: 0 });
            match ready_out.recv() {
                Ok(Ok(found)) => features = Some(found),
                Ok(Err(error)) => {
                    control.abort();
                    return Err(RunError::Ring { core, error });
                }
                Err(mpsc::RecvError) => {
                    control.abort();
                    return Err(RunError::Thread(io::Error::other("the worker ended at once")));
                }
            }
        }
        let sums = Block::new(plan.contestants.len(), Tracing::Off);
        let features = features.ok_or(RunError::NoCores)?;
        let start = RunInstant::START;
        let progress = Progress { now: start, until: start, attended: start, sums, workers, features };
        let told = vec![ToldUntil::default(); receivers.len()];
        Ok(Run { workers: Workers { control, threads }, collector: Collector { clock, receivers, told, progress } })
    }
}

impl Workers {
    pub fn worker_control(&self) -> &Arc<WorkerControl> {
        &self.control
    }

    /// Whether no thread runs any more.
    pub fn are_done(&self) -> bool {
        self.threads.iter().all(|(_, thread)| thread.is_finished())
    }

    /// Lets go of threads that need too long to end: they end with the process, and what they have not handed over is lost.
    pub fn leave(&mut self) {
        self.control.abort();
        self.threads.clear();
    }

    /// Waits for the end of all threads, which comes when the last blocks are collected. Some error: a ring failed.
    pub fn join(self) -> Option<RunError> {
        let mut broken = None;
        for (core, thread) in self.threads {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => broken = Some(RunError::Broken { core, error }),
                // A panic is a bug of ours: it goes on as what it is.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        broken
    }
}

impl Collector {
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    pub fn into_progress(self) -> Progress {
        self.progress
    }

    pub fn now(&self) -> RunInstant {
        self.clock.elapsed()
    }

    /// Reads what has come, and shows each block with the number of its worker; `true` when every worker has ended.
    pub fn collect(&mut self, mut look: impl FnMut(u16, &Block)) -> bool {
        let now = self.now();
        let progress = &mut self.progress;
        let workers = self.receivers.iter_mut().zip(&mut self.told).zip(&mut progress.workers);
        for (number, ((receiver, told), worker)) in workers.enumerate() {
            told.has_ended = receiver.drain(|block| {
                progress.sums.merge(block);
                told.until = block.until;
                worker.counters = block.counters;
                (worker.user_us, worker.system_us) = block.cpu_us;
                look(number as u16, block);
            });
        }
        progress.until = progress.until.max(told_by_all(&self.told));
        progress.attended = attended(progress.attended, progress.now, now);
        progress.now = now;
        self.told.iter().all(|told| told.has_ended)
    }
}

/// Since when it is looked at without a break, by the look before and this one.
pub(crate) fn attended(attended: RunInstant, before: RunInstant, now: RunInstant) -> RunInstant {
    if now.saturating_since(before) > AWAY_NS { now } else { attended }
}

/// Until when all have told that still play, or did when all have ended.
pub(crate) fn told_by_all(told: &[ToldUntil]) -> RunInstant {
    let playing = told.iter().filter(|told| !told.has_ended).map(|told| told.until).min();
    let ended = || told.iter().map(|told| told.until).max();
    playing.or_else(ended).unwrap_or(RunInstant::START)
}

/// A worker that panics takes what it counted with it: the run ends as one that was stopped, not as one that finished.
struct DrainOnPanic<'a>(&'a WorkerControl);

impl Drop for DrainOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.drain();
        }
    }
}

/// Where a worker stands and what it starts with.
struct WorkerSetup {
    number: u32,
    core: usize,
    clock: Clock,
    key: [u8; 16],
    tracing: Tracing,
}

fn work(
    post: &WorkerSetup,
    plan: &Arc<Plan>,
    control: &WorkerControl,
    mut sender: Sender,
    ready: &mpsc::SyncSender<Result<Features, RingError>>,
) -> io::Result<()> {
    let _alarm = DrainOnPanic(control);
    if !core_affinity::set_for_current(CoreId { id: post.core }) {
        let _ = ready.send(Err(RingError::Pin));
        return Ok(());
    }
    // Without this the kernel may wake us 50 µs late, to save power.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let uring = match Uring::without(plan.unused, sizes(plan, post.number), post.clock.base) {
        Ok(uring) => uring,
        Err(error) => {
            let _ = ready.send(Err(error));
            return Ok(());
        }
    };
    let _ = ready.send(Ok(uring.features()));
    let mut worker = Worker::new(uring, plan.clone(), post.number, post.key, post.tracing);
    let result = worker.run(control, &mut sender);
    sender.finish(worker.into_block());
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clock::PlanInstant;
    use crate::engine::http::RequestTemplate;
    use crate::engine::index::ContestantIndex;
    use crate::engine::plan::{ContestantPlan, Target, TlsServer, TrafficMode};
    use crate::engine::schedule::Schedule;
    use crate::engine::share::Share;
    use crate::engine::tls::tests as tls;
    use flowtest_contract::rules::Deadlines;

    #[test]
    fn looking_for_a_ring_interrupts_nothing_that_this_thread_waits_for_afterwards() {
        use std::io::{ErrorKind, Read};
        let (mut here, _there) = std::os::unix::net::UnixStream::pair().expect("a pair");
        here.set_read_timeout(Some(std::time::Duration::from_millis(20))).expect("it can be set");
        for _ in 0..20 {
            probe_ring(0).expect("this machine has rings");
            let waited = here.read(&mut [0]).expect_err("nobody says anything");
            assert_eq!(waited.kind(), ErrorKind::WouldBlock, "{waited}");
        }
    }

    #[test]
    fn ports_are_the_range_without_those_that_are_reserved() {
        assert_eq!(ports_of("32768\t60999\n", "\n"), Some(28_232));
        assert_eq!(ports_of("1000 1009", "80,1000-1002,1009,2000-3000"), Some(6));
        assert_eq!(ports_of("1000 1009", "900-1100"), Some(0));
        assert_eq!((ports_of("", ""), ports_of("all of them", "")), (None, None));
    }

    /// Alice's connections to so many addresses, spread over so many generators.
    fn plan(connections: u32, addresses: usize, generators: u64) -> Plan {
        let end = PlanInstant::START + 1_000;
        let load = Load::Closed { pipeline: 1 };
        let share = Share { index: 0, of: generators };
        let shares = vec![(RunInstant::START, share)];
        let addresses = (0..addresses).map(|index| Target::new(([127, 0, 0, index as u8], 80).into())).collect();
        let alice = ContestantPlan {
            name: "alice".into(),
            endpoint: "alice:80".into(),
            addresses,
            request: RequestTemplate::new("/", "alice"),
            tls: None,
            traffic: TrafficMode::Flood,
        };
        Plan {
            schedule: Arc::new(Schedule::new(
                vec![(UtcUs::EPOCH, Deadlines::default())],
                Vec::new(),
                RunInstant::NEVER,
                shares,
            )),
            phases: [Phase { start: PlanInstant::START, end, load, connections, scored: true }].into(),
            contestants: vec![alice].into(),
            ..Plan::default()
        }
    }

    #[test]
    fn whoever_speaks_tls_takes_the_memory_of_a_record_for_each_connection() {
        let over_tls = |mut plan: Plan| {
            let server = TlsServer {
                name: tls::NAME.try_into().expect("a name"),
                config: tls::ends(tls::Version::Tls13).0,
                verifier: None,
            };
            plan.contestants[ContestantIndex::FIRST].tls = Some(server);
            plan
        };
        // Room for those who may join is room for TLS, too.
        let with_room = |connections, workers| Plan { room: 3, request_spare: 100, workers, ..plan(connections, 1, 1) };
        for (connections, workers) in [(1, 1), (10, 1), (10, 4), (3, 4)] {
            let plain = in_flight_bytes(&with_room(connections, workers));
            let sealed = in_flight_bytes(&over_tls(with_room(connections, workers)));
            assert_eq!(sealed - plain, u64::from(connections) * RECORD_MAX as u64, "{connections} on {workers}");
        }
    }

    #[test]
    fn more_connections_to_one_address_than_ports_are_refused_before_the_start() {
        assert!(check_ports(&plan(100, 1, 1), 100).is_ok());
        let refused = check_ports(&plan(101, 1, 1), 100).expect_err("a port is missing").to_string();
        assert!(
            refused.starts_with("alice gets 101 connections to one address, and this machine has 100"),
            "{refused}"
        );
        // Spread over addresses, and over generators.
        assert!(check_ports(&plan(200, 2, 1), 100).is_ok() && check_ports(&plan(201, 2, 1), 100).is_err());
        assert!(check_ports(&plan(400, 2, 2), 100).is_ok());
        // Where one is silent the other has them all.
        let mut silent = plan(101, 2, 1);
        silent.contestants[ContestantIndex::FIRST].addresses[1].is_silent = true;
        assert!(check_ports(&silent, 100).is_err());
    }

    #[test]
    fn a_clock_that_was_set_since_is_told_by_how_much() {
        // As if the system's clock had been an hour behind when this one began, and five seconds ahead.
        for set_us in [3_600_000_000, -5_000_000i64] {
            let now = Clock::now();
            let clock = Clock { utc_base: now.utc_base.saturating_add_signed(-set_us), ..now };
            assert!((clock.step_us() - set_us).abs() < 1_000_000, "{} and not {set_us}", clock.step_us());
        }
        let before = Clock::before(utc_us() + 60_000_000).expect("a clock");
        assert!(before.step_us().abs() < 1_000_000);
    }
}
