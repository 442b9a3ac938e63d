//! The immutable, already valid plan of a run: what every worker gets, and all it gets.

use crate::engine::clock::{PlanInstant, RunInstant};
use crate::engine::http::RequestTemplate;
use crate::engine::index::{ContestantIndex, Table};
use crate::engine::schedule::Schedule;
use flowtest_contract::rules::{Deadlines, Rules, UtcUs};
use std::net::SocketAddr;
use std::sync::Arc;

/// Nanoseconds per microsecond, of which the contract counts its times.
pub const NS_PER_US: u64 = 1_000;
pub const NS_PER_SECOND: u64 = 1_000_000_000;

/// A rate in requests per second per contestant, from the start of a phase to its end. Equal ends are a constant rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    pub from: u64,
    pub to: u64,
}

/// What a phase asks of each contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Requests fall due by the clock, whether or not earlier ones were answered.
    Open(Ramp),
    /// Each connection keeps so many requests in flight, as fast as answers come.
    Closed { pipeline: u32 },
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

/// One contestant as the workers see it.
#[derive(Clone, Debug)]
pub struct ContestantPlan {
    pub name: String,
    /// The endpoint as people read it.
    pub endpoint: String,
    /// All addresses of the endpoint; connections are spread evenly over them.
    pub addresses: Vec<SocketAddr>,
    pub request: RequestTemplate,
    pub traffic: TrafficMode,
}

/// What a contestant gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficMode {
    #[default]
    Flood,
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
    pub contestants: Table<ContestantIndex, ContestantPlan>,
    /// A connection is retired after so many nanoseconds; 0 = never.
    pub connection_life: u64,
    /// In closed phases that are scored: so many requests per contestant and no more.
    pub requests: Option<u64>,
    pub workers: u32,
    /// Bytes that a contestant's request may be longer than the longest of the beginning, when it moves.
    pub request_spare: usize,
}

/// Nothing to play, by one worker: a plan names what it has, and takes the rest from here.
impl Default for Plan {
    fn default() -> Plan {
        Plan {
            rules: Rules::default(),
            schedule: Arc::new(Schedule::steady(Deadlines::default())),
            utc_base: 0,
            phases: [].into(),
            contestants: Table::default(),
            connection_life: 0,
            requests: None,
            workers: 1,
            request_spare: 0,
        }
    }
}

impl Plan {
    pub fn timeout(&self) -> u64 {
        self.rules.timeout_us * NS_PER_US
    }

    /// When the first phase begins.
    pub fn start(&self) -> PlanInstant {
        self.phases.first().map_or(PlanInstant::START, |phase| phase.start)
    }

    /// When the last phase ends.
    pub fn end(&self) -> PlanInstant {
        self.phases.last().map_or(PlanInstant::START, |phase| phase.end)
    }

    pub fn utc_us(&self, instant: RunInstant) -> UtcUs {
        self.utc_base + instant.ns() / NS_PER_US
    }

    /// Most requests in flight on one connection.
    pub fn pipeline_max(&self) -> u32 {
        self.phases
            .iter()
            .map(|phase| match phase.load {
                Load::Open(_) => 1,
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
