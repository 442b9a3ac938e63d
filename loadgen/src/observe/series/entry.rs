//! What is kept of one second, or of several that were merged: counts, quantiles, and what the plan says of it. Pure.

use crate::engine::block::{Counts, Meter, rate_ratio};
use crate::engine::clock::RunInstant;
use crate::engine::plan::Plan;
use flowtest_contract::Histogram;

const _: () = assert!(size_of::<Entry>() == 92);

/// In which part of a round a second lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundPart {
    /// The phase of this number, from 0.
    Phase(u16),
    Paused,
    /// This generator has no share of the requests, or plays none: whoever plays says whether the second is valid, and where
    /// nobody does it is not.
    NoShare,
    /// Nothing more falls due; what is in flight comes to its end.
    Draining,
}

/// What a second is by the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub part: RoundPart,
    pub scored: bool,
    /// Requests fall due by the clock: only then there is a `rate_ratio`.
    pub open: bool,
}

impl State {
    pub const DRAINING: State = State { part: RoundPart::Draining, scored: false, open: false };

    /// What the plan says of an instant.
    pub fn at(plan: &Plan, instant: RunInstant) -> State {
        if plan.schedule.is_paused(instant) {
            return State { part: RoundPart::Paused, scored: false, open: false };
        }
        let planned = plan.schedule.plan_clock(instant);
        let found = plan.phases.iter().position(|phase| phase.start <= planned && planned < phase.end);
        let Some(index) = found.filter(|_| !plan.schedule.is_stopped(instant)) else { return State::DRAINING };
        if plan.rested_here(instant) || plan.schedule.share_at(instant).is_none() {
            return State { part: RoundPart::NoShare, scored: false, open: false };
        }
        let phase = &plan.phases[index];
        State { part: RoundPart::Phase(index as u16), scored: phase.scored, open: phase.load.is_open() }
    }
}

macro_rules! entry {
    ($($(#[$doc:meta])* $field:ident = $value:expr),+ $(,)?) => {
        /// What was counted in one or more seconds. A request counts as due in one second and gets its outcome in the
        /// same or a later one.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Entry {
            $($(#[$doc])* pub $field: u32,)+
            pub latency: Latency,
            /// Seconds that are not valid: this generator was too slow for its plan in them.
            pub invalid: u32,
        }

        /// Cumulative sums, in the order of the fields.
        pub(super) const COUNTERS: usize = [$(stringify!($field)),+].len();

        pub(super) fn counters(counts: &Counts) -> [u64; COUNTERS] {
            let (tally, meter) = (&counts.row.tally, &counts.meter);
            [$({ let read: fn(&flowtest_contract::Tally, &crate::engine::block::Meter) -> u64 = $value; read(tally, meter) }),+]
        }

        impl Entry {
            pub(super) fn of(values: [u64; COUNTERS], latency: Latency) -> Entry {
                let [$($field),+] = values.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
                Entry { $($field,)+ latency, invalid: 0 }
            }

            /// Adds another second's counts, without its latencies.
            pub(super) fn add_counts(&mut self, other: &Entry) {
                $(self.$field = self.$field.saturating_add(other.$field);)+
                self.invalid += other.invalid;
            }
        }
    };
}

entry! {
    due = |tally, _| tally.due,
    sent = |tally, _| tally.sent,
    /// Well-framed 2xx answers.
    answered = |tally, _| tally.responses(),
    /// Of these, with all three headers right.
    verified = |_, meter| meter.verified,
    token_wrong = |tally, _| tally.token_wrong,
    version_wrong = |tally, _| tally.version_wrong,
    from_wrong = |tally, _| tally.from_wrong,
    timeout = |tally, _| tally.timeout,
    refused = |tally, _| tally.refused,
    reset = |tally, _| tally.reset,
    malformed = |tally, _| tally.malformed,
    status = |tally, _| tally.status,
    missed = |tally, _| tally.missed,
    own_fault = |tally, _| tally.own_fault,
    tls = |tally, _| tally.tls,
    /// Fell due more than 10 ms before we came to it.
    late = |_, meter| meter.late,
    /// Of what came late, in this second or before, what has turned out to be void.
    late_void = |_, meter| meter.late_void,
}

/// Quantiles of a second's latencies from the intended instant, in µs. Of merged seconds each is the worst one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency([u32; 5]);

impl Default for Latency {
    fn default() -> Latency {
        Latency([Latency::NONE; 5])
    }
}

impl Latency {
    const NONE: u32 = u32::MAX;

    pub(super) fn of(histogram: &Histogram) -> Latency {
        let quantiles = [0.5, 0.9, 0.99, 0.999].map(|quantile| histogram.quantile(quantile));
        let [p50, p90, p99, p999] = quantiles;
        // The histogram ends at 2^26 µs, so each fits.
        Latency([p50, p90, p99, p999, histogram.max()].map(|us| us.map_or(Latency::NONE, |us| us as u32)))
    }

    fn get(self, index: usize) -> Option<u64> {
        Some(u64::from(self.0[index])).filter(|us| *us != u64::from(Latency::NONE))
    }

    pub fn p50(self) -> Option<u64> {
        self.get(0)
    }

    pub fn p90(self) -> Option<u64> {
        self.get(1)
    }

    pub fn p99(self) -> Option<u64> {
        self.get(2)
    }

    pub fn p999(self) -> Option<u64> {
        self.get(3)
    }

    pub fn max(self) -> Option<u64> {
        self.get(4)
    }

    fn merge(&mut self, other: Latency) {
        for (ours, theirs) in self.0.iter_mut().zip(other.0) {
            if *ours == Latency::NONE || (theirs != Latency::NONE && theirs > *ours) {
                *ours = theirs;
            }
        }
    }
}

impl Entry {
    /// Answered, and at least one header was wrong.
    pub fn wrong(&self) -> u32 {
        self.answered.saturating_sub(self.verified)
    }

    /// Exchanges that failed by the contestant's doing, without the missed ones.
    pub fn failed(&self) -> u32 {
        [self.refused, self.reset, self.malformed, self.status, self.tls]
            .iter()
            .fold(self.timeout, |sum, n| sum.saturating_add(*n))
    }

    /// The part of what was due that we sent in time. `None`: nothing was due.
    pub fn rate_ratio(&self) -> Option<f64> {
        rate_ratio(self.due.into(), self.own_fault.into(), &self.meter())
    }

    pub(super) fn meter(&self) -> Meter {
        let [verified, late, late_void] = [self.verified, self.late, self.late_void].map(u64::from);
        Meter { verified, late, late_void, ..Meter::default() }
    }

    pub(super) fn merge(&mut self, other: &Entry) {
        self.add_counts(other);
        self.latency.merge(other.latency);
    }
}

/// What is true of an entry for all contestants alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the start of the first phase.
    pub start_ms: u32,
    /// As a rule 1,000 times the seconds per entry; the last one of a run is as long as it lasted.
    pub length_ms: u32,
    /// Of merged seconds that of the first one.
    pub state: State,
    /// Our own send lag in µs, 99 of 100 below; `None` in closed loop. Of merged seconds the worst one.
    pub lag_us: Option<u32>,
    /// How busy the workers' cores were with this, in thousandths; `None`: not known.
    pub busy: Option<u16>,
}

impl Moment {
    pub fn start_s(&self) -> f64 {
        f64::from(self.start_ms) / 1e3
    }

    pub fn end_s(&self) -> f64 {
        f64::from(self.start_ms + self.length_ms) / 1e3
    }

    /// So many of these in one second.
    pub fn per_second(&self, count: u32) -> f64 {
        f64::from(count) * 1e3 / f64::from(self.length_ms.max(1))
    }

    pub(super) fn merge(&mut self, other: &Moment) {
        let length = self.length_ms + other.length_ms;
        self.busy = match (self.busy, other.busy) {
            (Some(ours), Some(theirs)) => {
                let sum = u64::from(ours) * u64::from(self.length_ms) + u64::from(theirs) * u64::from(other.length_ms);
                Some((sum / u64::from(length.max(1))) as u16)
            }
            (ours, theirs) => ours.or(theirs),
        };
        self.lag_us = self.lag_us.max(other.lag_us);
        self.length_ms = length;
    }
}

/// Merges moments and their entries into no more than `most`, for a curve or a table.
pub fn thinned(moments: &[Moment], entries: &[Entry], most: usize) -> (Vec<Moment>, Vec<Entry>) {
    let group = moments.len().div_ceil(most.max(1)).max(1);
    let moments = moments.chunks(group).map(|chunk| merged(chunk, Moment::merge)).collect();
    let entries = entries.chunks(group).map(|chunk| merged(chunk, Entry::merge)).collect();
    (moments, entries)
}

pub(super) fn merged<T: Copy>(chunk: &[T], merge: impl Fn(&mut T, &T)) -> T {
    let mut first = chunk[0];
    chunk[1..].iter().for_each(|next| merge(&mut first, next));
    first
}
