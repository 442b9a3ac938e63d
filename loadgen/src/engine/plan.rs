//! The immutable, already valid plan of a run: what every worker gets, and all it gets.

use crate::engine::clock::{PlanInstant, RunInstant};
use crate::engine::http::RequestTemplate;
use crate::engine::index::{ContestantIndex, Table};
use crate::engine::ring::Features;
use crate::engine::schedule::{Schedule, Step};
use flowtest_contest::breakpoint::SETTLE_US;
use flowtest_contract::rules::{Deadlines, Rules, UtcUs};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds per microsecond, of which the contract counts its times.
pub const NS_PER_US: u64 = 1_000;
pub const NS_PER_SECOND: u64 = 1_000_000_000;

/// A rate in requests per contestant, from the start of a phase to its end. Equal ends are a constant rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    pub from: u64,
    pub to: u64,
    /// In so many seconds: whole numbers, so that also a request in five seconds comes at its nanosecond.
    pub seconds: u64,
}

impl Ramp {
    /// In requests per second.
    pub const fn per_second(from: u64, to: u64) -> Ramp {
        Ramp { from, to, seconds: 1 }
    }

    /// Both ends in requests per second.
    pub fn ends(&self) -> [f64; 2] {
        [self.from, self.to].map(|end| end as f64 / self.seconds as f64)
    }

    /// The higher of both in requests per second, rounded up.
    pub fn highest(&self) -> u64 {
        self.from.max(self.to).div_ceil(self.seconds)
    }
}

/// What a phase asks of each contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Requests fall due by the clock, whether or not earlier ones were answered.
    Open(Ramp),
    /// Each connection keeps so many requests in flight, as fast as answers come.
    Closed { pipeline: u32 },
    /// As open, at a rate of each contestant's own, which the schedule tells.
    Step(Step),
}

impl Load {
    /// Whether requests fall due by the clock.
    pub fn is_open(&self) -> bool {
        matches!(self, Load::Open(_) | Load::Step(_))
    }
}

/// When the hold of a step is judged: requests whose intended instants lie in it, `to` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldWindow {
    pub step: u32,
    pub from: UtcUs,
    pub to: UtcUs,
}

/// One step of the traffic plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    pub start: PlanInstant,
    pub end: PlanInstant,
    pub load: Load,
    /// Most connections per contestant.
    pub connections: u32,
    pub scored: bool,
}

/// Where a phase stands in the contest file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenPhase {
    /// From 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// Of a breakpoint phase, from 1.
    pub step: Option<u32>,
}

/// One contestant as the workers see it.
#[derive(Clone, Debug)]
pub struct ContestantPlan {
    pub name: String,
    /// The endpoint as people read it.
    pub endpoint: String,
    /// All addresses of the endpoint that it was let in at; connections are spread evenly over those that answer.
    pub addresses: Vec<Target>,
    pub request: RequestTemplate,
    /// Whom its connections speak TLS with; none: plain http.
    pub tls: Option<TlsServer>,
    pub traffic: TrafficMode,
}

/// A server that TLS is spoken with: the name that it must prove, and how.
#[derive(Clone, Debug)]
pub struct TlsServer {
    pub name: ServerName<'static>,
    pub config: Arc<ClientConfig>,
    /// Who looks at certificates by that configuration; none: any is taken.
    pub verifier: Option<Arc<dyn ServerCertVerifier>>,
}

/// Two are the same where a connection to one is as good as one to the other.
impl PartialEq for TlsServer {
    fn eq(&self, other: &TlsServer) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.config, &other.config)
    }
}

/// An address of a contestant. Two are the same where the same is sent there.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    /// It gave no answer with the right token for long: nothing of the flood goes there while another address of the contestant answers.
    pub is_silent: bool,
    /// What is counted there, by all workers, for as long as the contestant has it.
    pub meter: Arc<AddressMeter>,
}

impl Target {
    pub fn new(address: SocketAddr) -> Target {
        Target { address, is_silent: false, meter: Arc::default() }
    }
}

impl PartialEq for Target {
    fn eq(&self, other: &Target) -> bool {
        (self.address, self.is_silent) == (other.address, other.is_silent)
    }
}

/// What has been counted at an address. Workers add to it when they hand over, and the health gate reads it.
#[derive(Debug, Default)]
pub struct AddressMeter {
    asked: AtomicU64,
    alive: AtomicU64,
    own: AtomicU64,
}

/// How often an address was asked, and how often it answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressCounts {
    /// Outcomes of requests, those to which no connection could be made among them. What was our own fault asked nothing.
    pub asked: u64,
    /// Well-framed 2xx answers with the right token.
    pub alive: u64,
    /// Outcomes that were our own fault.
    pub own: u64,
}

impl AddressMeter {
    pub fn add(&self, counts: AddressCounts) {
        self.asked.fetch_add(counts.asked, Ordering::Relaxed);
        self.alive.fetch_add(counts.alive, Ordering::Relaxed);
        self.own.fetch_add(counts.own, Ordering::Relaxed);
    }

    pub fn counts(&self) -> AddressCounts {
        // Answers first: whoever adds between the two looks asked once more, and not alive without having been asked.
        let alive = self.alive.load(Ordering::Relaxed);
        AddressCounts { asked: self.asked.load(Ordering::Relaxed), alive, own: self.own.load(Ordering::Relaxed) }
    }
}

impl ContestantPlan {
    /// Addresses that get the flood: those that answer, or all of them while none does.
    pub fn spread(&self) -> usize {
        let answering = self.addresses.iter().filter(|target| !target.is_silent).count();
        if answering > 0 { answering } else { self.addresses.len() }
    }
}

/// What a contestant gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficMode {
    #[default]
    Flood,
    /// Nothing is sent, for it is not admitted: what falls due in scored phases is missed.
    Absent,
    /// Nothing is sent, by a fault of our own machine, which is that of what falls due in scored phases.
    Unable,
    /// One request a second, since this instant, until it answers again; the rest of what is due counts as missed.
    Probe { since: RunInstant },
    /// Nothing: nothing falls due, and its connections are closed at once.
    Halted,
}

/// The whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rules: Rules,
    pub schedule: Arc<Schedule>,
    /// UTC at instant 0 of the run clock.
    pub utc_base: UtcUs,
    pub phases: Arc<[Phase]>,
    /// Those of its steps, in order, as the schedule has them now; see [`Plan::with_holds`].
    pub holds: Arc<[HoldWindow]>,
    pub contestants: Table<ContestantIndex, ContestantPlan>,
    /// A connection is retired after so many nanoseconds; 0 = never.
    pub connection_life: u64,
    /// In closed phases that are scored: so many requests per contestant and no more.
    pub requests: Option<u64>,
    pub workers: u32,
    /// Contestants that it may come to have, by the contest; fewer than it has: no more than these.
    pub places: usize,
    /// The same, as far as this machine keeps connections for them.
    pub room: usize,
    /// Bytes that a contestant's request may be longer than the longest of the beginning, when it moves.
    pub request_spare: usize,
    /// When nothing is or was sent from here by this process's own decision: what was its share was nobody's meanwhile.
    pub own_rests: Arc<[OwnRest]>,
    /// Features of the kernel that the rings leave unused, for comparison.
    pub unused: Features,
}

/// A stretch in which a process sends nothing by its own decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnRest {
    pub from: RunInstant,
    /// [`RunInstant::NEVER`] as long as it lasts.
    pub to: RunInstant,
}

/// Nothing to play, by one worker: a plan names what it has, and takes the rest from here.
impl Default for Plan {
    fn default() -> Plan {
        Plan {
            rules: Rules::default(),
            schedule: Arc::new(Schedule::steady(Deadlines::default())),
            utc_base: UtcUs::EPOCH,
            phases: [].into(),
            holds: [].into(),
            contestants: Table::default(),
            connection_life: 0,
            requests: None,
            workers: 1,
            places: 0,
            room: 0,
            request_spare: 0,
            own_rests: [].into(),
            unused: Features::default(),
        }
    }
}

impl TrafficMode {
    /// Whether requests are sent, all that are due or some of them.
    pub fn sends(self) -> bool {
        matches!(self, TrafficMode::Flood | TrafficMode::Probe { .. })
    }
}

impl Plan {
    pub fn timeout(&self) -> u64 {
        self.rules.timeout_us * NS_PER_US
    }

    /// Contestants that it may come to have, or has.
    pub fn places(&self) -> usize {
        self.places.max(self.contestants.len())
    }

    /// When the first phase begins.
    pub fn start(&self) -> PlanInstant {
        self.phases.first().map_or(PlanInstant::START, |phase| phase.start)
    }

    /// When the last phase ends.
    pub fn end(&self) -> PlanInstant {
        self.phases.last().map_or(PlanInstant::START, |phase| phase.end)
    }

    /// Where a phase stands in the contest file, in which the steps of a breakpoint are one phase.
    pub fn written(&self, index: usize) -> WrittenPhase {
        let is_begun = |index: &usize| {
            let first_step = |phase: &Phase| if let Load::Step(step) = phase.load { Some(step.first) } else { None };
            let before = index.checked_sub(1).and_then(|before| first_step(&self.phases[before]));
            before.is_none() || before != first_step(&self.phases[*index])
        };
        let number = (0..=index).filter(is_begun).count();
        let of = number + (index + 1..self.phases.len()).filter(is_begun).count();
        let step = match self.phases[index].load {
            Load::Step(step) => Some(step.number - step.first + 1),
            Load::Open(_) | Load::Closed { .. } => None,
        };
        WrittenPhase { number, of, step }
    }

    /// Whether this process sent nothing at an instant by its own decision.
    pub fn rested_here(&self, instant: RunInstant) -> bool {
        self.own_rests.iter().any(|rest| rest.from <= instant && instant < rest.to)
    }

    pub fn utc_us(&self, instant: RunInstant) -> UtcUs {
        self.utc_base + instant.ns() / NS_PER_US
    }

    /// The same with the windows of its holds as its schedule has them.
    #[must_use]
    pub fn with_holds(self) -> Plan {
        let windows = self.phases.iter().filter_map(|phase| self.hold_window(phase));
        let holds: Arc<[HoldWindow]> = windows.collect();
        Plan { holds, ..self }
    }

    /// `None`: it is no step that is judged, or nobody knows when that will be.
    fn hold_window(&self, phase: &Phase) -> Option<HoldWindow> {
        let Load::Step(step) = phase.load else { return None };
        let at = |us: u64| self.schedule.run_clock(phase.start + us * NS_PER_US);
        let (from, to) = (at(SETTLE_US), at(step.terms.hold_us));
        let is_known = step.is_judged && from != RunInstant::NEVER && to != RunInstant::NEVER;
        is_known.then(|| HoldWindow { step: step.number, from: self.utc_us(from), to: self.utc_us(to) })
    }

    /// The step whose hold a request counts in that falls due at this instant.
    pub fn hold_at(&self, intended: UtcUs) -> Option<u32> {
        let begun = self.holds.partition_point(|window| window.from <= intended);
        let window = self.holds.get(begun.checked_sub(1)?)?;
        (intended < window.to).then_some(window.step)
    }

    /// Whether TLS is spoken, or may be before the end: endpoints move only where there is room for their requests.
    pub fn may_speak_tls(&self) -> bool {
        self.request_spare > 0 || self.contestants.iter().any(|contestant| contestant.tls.is_some())
    }

    /// Whether our own machine can send nothing to one of the contestants.
    pub fn is_unable(&self) -> bool {
        self.contestants.iter().any(|contestant| contestant.traffic == TrafficMode::Unable)
    }

    /// Most requests in flight on one connection.
    pub fn pipeline_max(&self) -> u32 {
        self.phases
            .iter()
            .map(|phase| match phase.load {
                Load::Open(_) | Load::Step(_) => 1,
                Load::Closed { pipeline } => pipeline,
            })
            .max()
            .unwrap_or(1)
    }

    /// Most connections of one contestant.
    pub fn connections_max(&self) -> u32 {
        self.phases.iter().map(|phase| phase.connections).max().unwrap_or(0)
    }
}
