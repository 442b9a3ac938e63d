//! The contest file: who plays, by which rules, under which traffic.
//!
//! Whatever reads as a [`Contest`] is wholly valid; whatever does not is named by key, line, cause and next step.

pub(crate) mod document;
mod reading;
mod writing;

pub use crate::policy::{Network, NetworkError, Policy};
pub use document::DOCUMENT_BYTES_MAX;
pub(crate) use writing::instant;

use crate::breakpoint::{Bounds, Breakpoint};
use crate::endpoint::Endpoint;
use crate::ladder::{Pass, carried_rate};
use document::UnknownKeys;
use flowtest_contract::Rules;
use flowtest_contract::rules::{Deadline, Deadlines, UtcUs};
use std::ops::Range;

/// Contestants at most: a trace in the journal numbers them with 16 bits.
pub const CONTESTANTS_MAX: usize = 65_535;
/// Phases at most.
pub const PHASES_MAX: usize = 1_000;
/// Connections of one contestant at most: beyond it one source address runs out of ports.
pub const CONNECTIONS_MAX: u32 = 60_000;
/// Connections of a contestant where a phase does not say how many: so many local ports has a system towards one address.
pub const CONNECTIONS_BY_RATE_MAX: u32 = 28_000;
/// And of all contestants together.
pub const CONNECTIONS_ALL_MAX: u64 = 100_000;
/// Points of one header, or of a request a second: far above every sensible rule, far below what could overflow a sum.
pub const POINTS_MAX: u32 = 1_000_000;
/// Requests in flight on one connection at most.
pub const PIPELINE_MAX: u32 = 1_024;
/// Contestants that may join a round after its arming, at least, where there are connections for them.
const ROOM_MIN: usize = 32;
/// Requests per second of one contestant at most: more than any one machine answers.
pub const RATE_MAX: Rate = 10_000_000;

/// Requests per second of one contestant.
pub type Rate = u64;

/// A whole contest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contest {
    pub name: String,
    pub start: Start,
    pub deadlines: DeadlineSpec,
    pub rules: Rules,
    /// What is due to a contestant that is not admitted.
    pub absent: Absent,
    /// What puts one contestant before another.
    pub rank_by: RankBy,
    /// Points for each request a second that a contestant holds in a breakpoint phase.
    pub breakpoint_points: u32,
    /// In order, without gaps between them. At least one.
    pub phases: Vec<Phase>,
    /// At least one; no two of one name. In a file no two are at one endpoint, unless its policy allows it; in a document they may
    /// be, since the policy of a contest that is on may change.
    pub contestants: Vec<Contestant>,
    pub policy: Policy,
}

/// What becomes of what is due in scored phases to a contestant whose endpoint was never ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absent {
    /// It is missed: whoever is never ready stands no better than whoever was ready and fell silent.
    #[default]
    Charged,
    /// Nothing falls due to it until it is admitted.
    Free,
}

impl Absent {
    pub const ALL: [Absent; 2] = [Absent::Charged, Absent::Free];

    pub fn as_str(self) -> &'static str {
        match self {
            Absent::Charged => "charged",
            Absent::Free => "free",
        }
    }
}

impl std::str::FromStr for Absent {
    type Err = ();

    fn from_str(text: &str) -> Result<Absent, ()> {
        Absent::ALL.into_iter().find(|absent| absent.as_str() == text).ok_or(())
    }
}

/// What puts one contestant before another; what decides between equal ones is the standings' to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RankBy {
    #[default]
    Points,
    /// The rate that it holds in a breakpoint phase, and then points.
    Holds,
}

impl RankBy {
    pub const ALL: [RankBy; 2] = [RankBy::Points, RankBy::Holds];

    pub fn as_str(self) -> &'static str {
        match self {
            RankBy::Points => "points",
            RankBy::Holds => "holds",
        }
    }
}

impl std::str::FromStr for RankBy {
    type Err = ();

    fn from_str(text: &str) -> Result<RankBy, ()> {
        RankBy::ALL.into_iter().find(|by| by.as_str() == text).ok_or(())
    }
}

/// When the first phase starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Now,
    At(UtcUs),
}

/// When the scored headers flip. Absent: from the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeadlineSpec {
    pub version: Option<When>,
    pub from: Option<When>,
}

/// An instant, absolute or counted from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    At(UtcUs),
    AfterStart { us: u64 },
}

/// One step of the traffic plan, the same for every contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    pub duration_us: u64,
    pub load: Load,
    /// Most connections per contestant.
    pub connections: u32,
    pub scored: bool,
}

/// What a phase asks of each contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Requests fall due by the clock, from one rate to another over the phase; constant when they are equal.
    Open { from: Rate, to: Rate },
    /// Each connection keeps so many requests in flight, as fast as answers come.
    Closed { pipeline: u32 },
    /// Requests fall due by the clock, at a rate of each contestant's own that climbs until it breaks.
    Breakpoint(Breakpoint),
}

impl Load {
    /// The most requests a second of each contestant; 0 in closed loop.
    pub fn rate_max(self) -> Rate {
        match self {
            Load::Open { from, to } => from.max(to),
            Load::Closed { .. } => 0,
            Load::Breakpoint(breakpoint) => breakpoint.ladder.max,
        }
    }
}

/// A phase with too few connections for the distance of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// From 1.
    pub phase: usize,
    pub connections: u32,
    /// Requests a second that they carry, and those that are due.
    pub carries: Rate,
    pub rate: Rate,
}

impl Contest {
    /// The open phase in which a server whose answers take so long gets the smallest part of what is due, if any: with
    /// every connection in use, connections / latency requests a second can be sent. A breakpoint phase promises no rate.
    pub fn too_few_connections(&self, latency_us: u64) -> Option<TooFew> {
        let phases = self.phases.iter().enumerate().filter_map(|(index, phase)| {
            let promised = !matches!(phase.load, Load::Breakpoint(_));
            let (connections, rate) = (phase.connections, if promised { phase.load.rate_max() } else { 0 });
            let carries = carried_rate(connections, latency_us);
            (carries < rate).then_some(TooFew { phase: index + 1, connections, carries, rate })
        });
        phases.min_by_key(|few| few.carries * 1_000 / few.rate.max(1))
    }
}

/// Why so many contestants cannot begin to climb, if so: [`Breakpoint::is_beyond_fleet`].
pub fn beyond_fleet(phases: &[Phase], contestants: u64) -> Option<String> {
    phases.iter().enumerate().find_map(|(index, phase)| match phase.load {
        Load::Breakpoint(climb @ Breakpoint { ladder, fleet_max: Some(most), .. })
            if climb.is_beyond_fleet(contestants) =>
        {
            Some(format!(
                "phase {} starts at {}/s for each of {contestants} contestants, and its `fleet_max` is {most}/s for all of them: \
                 lower `start`, or raise `fleet_max` to what the generators and their links carry",
                index + 1,
                ladder.start
            ))
        }
        Load::Open { .. } | Load::Closed { .. } | Load::Breakpoint(_) => None,
    })
}

impl std::fmt::Display for TooFew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TooFew { phase, connections, carries, rate } = self;
        write!(f, "the {connections} connections of phase {phase} carry {carries}/s of {rate}/s")
    }
}

/// Who plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contestant {
    pub name: String,
    pub endpoint: Endpoint,
}

/// What is wrong with a contest, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContestError {
    /// The line of the file, from 1, where the dialect has lines.
    pub line: Option<usize>,
    /// The key, as people write it: `phase[2].rate`.
    pub key: Option<String>,
    /// The cause and the next step.
    pub message: String,
}

impl std::error::Error for ContestError {}

impl std::fmt::Display for ContestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "`{}` ", document::shorten(key))?;
        }
        f.write_str(&self.message)
    }
}

impl Contest {
    /// Reads a contest file.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and key: no TOML, a key that nobody knows, a value out of bounds, or parts
    /// that do not fit each other.
    pub fn from_toml(text: &str) -> Result<Contest, ContestError> {
        let mut document = document::from_toml(text)?;
        let contest = reading::contest(&mut document)?;
        document.finish()?;
        Ok(contest)
    }

    /// The same of those who play. A file is refused by it, and a round is not armed; who joins a round that is on is let in.
    pub fn beyond_fleet(&self) -> Option<String> {
        beyond_fleet(&self.phases, self.contestants.len() as u64)
    }

    /// Reads the JSON dialect of the same. Keys that this version does not know are ignored: a newer program may
    /// have written them.
    ///
    /// # Errors
    /// The first thing that is wrong, with its key.
    pub fn from_json(value: serde_json::Value) -> Result<Contest, ContestError> {
        let mut document = document::from_json(value, UnknownKeys::Ignore).ok_or_else(|| ContestError {
            line: None,
            key: None,
            message: "the contest is no JSON object: publish it again".to_owned(),
        })?;
        Contest::from_document(&mut document)
    }

    /// Takes the keys of a contest out of a document that holds more.
    pub(crate) fn from_document(document: &mut document::Section) -> Result<Contest, ContestError> {
        reading::contest(document)
    }

    /// The JSON dialect: the same keys and values as in the file.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Object(writing::contest(self))
    }

    /// The deadlines of a round that starts at `start`.
    pub fn deadlines(&self, start: UtcUs) -> Deadlines {
        let resolve = |when: Option<When>| match when {
            None => Deadline::PASSED,
            Some(When::At(instant)) => Deadline(instant),
            Some(When::AfterStart { us }) => Deadline(start.saturating_add(us)),
        };
        Deadlines { version: resolve(self.deadlines.version), from: resolve(self.deadlines.from) }
    }

    /// The breakpoint phases, each with the number of its first step: steps are numbered from 0, over all of them.
    pub fn breakpoints(&self) -> Vec<(u32, Breakpoint)> {
        self.bounded_breakpoints().into_iter().map(|(first, breakpoint, _)| (first, breakpoint)).collect()
    }

    /// The same, with what else bounds their climbs.
    pub fn bounded_breakpoints(&self) -> Vec<(u32, Breakpoint, Bounds)> {
        let (mut next, timeout_us) = (0, self.rules.timeout_us);
        let numbered = self.climbs().map(|(phase, breakpoint)| {
            let first = next;
            next += breakpoint.steps(phase.duration_us, timeout_us);
            let end = first + breakpoint.clock(phase.duration_us, timeout_us).count;
            (first, breakpoint, Bounds { connections: phase.connections, end })
        });
        numbered.collect()
    }

    /// The breakpoint phase in which a step is judged: all its steps that are, and what it asks.
    pub fn breakpoint_of(&self, step: u32) -> Option<(Range<u32>, Breakpoint)> {
        let phases = self.bounded_breakpoints().into_iter();
        let mut judged = phases.map(|(first, breakpoint, bounds)| (first..bounds.end, breakpoint));
        judged.find(|(steps, _)| steps.contains(&step))
    }

    /// The steps whose decisions make the result: of the breakpoint phase that is scored, or of the last where none is.
    pub fn counted_steps(&self) -> Range<u32> {
        self.counted_breakpoint().map_or(0..0, |(steps, _)| steps)
    }

    /// What a step has to reach in that phase.
    pub fn counted_pass(&self) -> Option<Pass> {
        self.counted_breakpoint().map(|(_, breakpoint)| breakpoint.ladder.pass)
    }

    /// What a step has to reach where somebody practises: as in that phase, or as is usual where there is none.
    pub fn practice_pass(&self) -> Pass {
        self.counted_pass().unwrap_or_else(|| Pass::usual_within(self.rules.timeout_us))
    }

    fn counted_breakpoint(&self) -> Option<(Range<u32>, Breakpoint)> {
        let steps = self.bounded_breakpoints().into_iter().zip(self.climbs());
        let counted = steps.max_by_key(|((first, ..), (phase, _))| (phase.scored, *first));
        counted.map(|((first, breakpoint, bounds), _)| (first..bounds.end, breakpoint))
    }

    /// How many steps all breakpoint phases have together.
    pub fn steps(&self) -> u32 {
        let steps = self.climbs().map(|(phase, breakpoint)| breakpoint.steps(phase.duration_us, self.rules.timeout_us));
        steps.fold(0, u32::saturating_add)
    }

    /// The breakpoint phases, each with what it asks.
    fn climbs(&self) -> impl Iterator<Item = (&Phase, Breakpoint)> {
        self.phases.iter().filter_map(|phase| match phase.load {
            Load::Breakpoint(breakpoint) => Some((phase, breakpoint)),
            Load::Open { .. } | Load::Closed { .. } => None,
        })
    }

    /// Most connections of one contestant.
    pub fn connections_max(&self) -> u32 {
        self.phases.iter().map(|phase| phase.connections).max().unwrap_or(0)
    }

    /// How many contestants a round holds that is armed with so many: as many again, and 32 in any case, where there are
    /// connections for them.
    pub fn places(&self, armed: usize) -> usize {
        let wanted = armed.saturating_add(armed.max(ROOM_MIN));
        let each = u64::from(self.connections_max().max(1));
        let connected = usize::try_from(2 * CONNECTIONS_ALL_MAX / each).unwrap_or(usize::MAX);
        wanted.min(connected).min(CONTESTANTS_MAX).max(armed)
    }

    /// How long all phases take together.
    pub fn duration_us(&self) -> u64 {
        self.phases.iter().map(|phase| phase.duration_us).sum()
    }

    /// How much of the first so many microseconds of the plan is scored.
    pub fn scored_us(&self, elapsed_us: u64) -> u64 {
        let mut left = elapsed_us;
        let scored = self.phases.iter().map(|phase| {
            let played = phase.duration_us.min(left);
            left -= played;
            if phase.scored { played } else { 0 }
        });
        scored.sum()
    }
}

impl Policy {
    /// Reads a generator's own policy file: the `[policy]` of a contest file, and nothing else.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and key.
    pub fn ceiling(text: &str) -> Result<Policy, ContestError> {
        let mut document = document::from_toml(text)?;
        let policy = reading::ceiling(&mut document)?;
        document.finish()?;
        Ok(policy)
    }
}
