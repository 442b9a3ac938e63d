//! A run second by second: what curves, live view, metrics and tools show of it. Pure.
//!
//! Snapshots of the cumulative sums come in, ten a second; one entry per second of the run comes out, for each contestant
//! and for all together. Seconds are counted from the start of the first phase. A snapshot that reaches over the end of a
//! second is split in proportion to time of load, so that curves show the traffic and not the moments at which we looked; the
//! seconds of a run add up to its sums exactly. This is for reading: the journal has the truth.
//!
//! **Memory.** An entry is 92 bytes and holds no histogram; an hour of one contestant by seconds would be 323 KiB. There
//! are never more than [`ENTRIES_MAX`] of them: a longer run is kept in pairs of seconds, then in fours, and so on, so
//! that a contestant costs no more than 162 KiB however long it is, and 17 KiB for what its open second needs.

mod entry;
mod validity;

pub use entry::{Entry, Latency, Moment, RoundPart, State, thinned};
pub use validity::{Validity, ValidityFigures};

use crate::engine::block::Block;
use crate::engine::clock::RunInstant;
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{NS_PER_SECOND, NS_PER_US};
use crate::engine::run::Progress;
use entry::{COUNTERS, counters, merged};
use flowtest_contract::Histogram;
use validity::is_valid;

/// Most entries per contestant. Half an hour by seconds, an hour by pairs.
pub const ENTRIES_MAX: usize = 1_800;
/// What is left of a second at the end of a run is an entry of its own from here on; less is added to the one before. It is
/// shown all the same, for that one has been shown already.
const TAIL_NS: u64 = NS_PER_SECOND / 5;
const NS_PER_MS: u64 = 1_000_000;
/// A worker that has told nothing for so long stands still; so many seconds of it are looked at.
const STANDS_NS: u64 = NS_PER_SECOND;
const STANDS_SECONDS_MAX: u64 = 3_600;

const _: () = assert!(ENTRIES_MAX.is_multiple_of(2), "pairs are merged");

/// One second that is over.
#[derive(Debug)]
pub struct Second<'a> {
    /// From 0, since the start of the first phase.
    pub number: u64,
    pub moment: Moment,
    pub all: &'a Entry,
    /// By contestant.
    pub each: &'a [Entry],
}

/// What is known of a run at an instant.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    pub now: RunInstant,
    /// Until here all is counted that fell due.
    pub until: RunInstant,
    /// Since when workers have been listened to without a break.
    pub attended: RunInstant,
    pub sums: &'a Block,
    /// User and system time of all workers since their start, in µs; `None`: not known.
    pub cpu_us: Option<u64>,
    /// How long turns of all workers came late since their start, in µs.
    pub late_us: u64,
}

impl Look<'_> {
    pub fn of(progress: &Progress) -> Look<'_> {
        let workers = || progress.workers.iter();
        Look {
            now: progress.now,
            until: progress.until,
            attended: progress.attended,
            sums: &progress.sums,
            cpu_us: Some(workers().map(|worker| worker.user_us + worker.system_us).sum()),
            late_us: workers().map(|worker| worker.counters.late_us).sum(),
        }
    }
}

/// The open second of one contestant, and where the sums stood.
#[derive(Clone, Debug)]
struct Open {
    /// Counted in this second.
    counts: [u64; COUNTERS],
    /// The sums that have been taken into account.
    taken: [u64; COUNTERS],
    /// All latencies up to the second's start.
    latency: Histogram,
}

/// All seconds of a run.
#[derive(Clone, Debug)]
pub struct Series {
    start: RunInstant,
    workers: u32,
    /// Seconds that are over.
    seconds: u64,
    /// Up to here all is taken into account.
    at: RunInstant,
    /// When it was looked at last.
    looked_at: RunInstant,
    /// Since when workers have been listened to.
    attended: RunInstant,
    open: Vec<Open>,
    lag: Histogram,
    cpu_us: Option<u64>,
    /// How long turns came late in this second, and what of the sums has been taken into account.
    late_us: u64,
    taken_late_us: u64,
    /// Of what is scored.
    validity: Validity,
    /// Seconds per entry.
    width: u32,
    /// Seconds in the newest entry.
    filled: u32,
    moments: Vec<Moment>,
    all: Vec<Entry>,
    each: Vec<Vec<Entry>>,
    /// Scored seconds that are not valid, by contestant.
    invalid_each: Vec<u64>,
}

impl Series {
    /// `start`: that of the first phase.
    pub fn new(start: RunInstant, contestants: usize, workers: u32) -> Series {
        let open = Open { counts: [0; COUNTERS], taken: [0; COUNTERS], latency: Histogram::default() };
        Series {
            start,
            workers: workers.max(1),
            seconds: 0,
            at: start,
            looked_at: start,
            attended: start,
            open: vec![open; contestants],
            lag: Histogram::default(),
            cpu_us: Some(0),
            late_us: 0,
            taken_late_us: 0,
            validity: Validity::default(),
            width: 1,
            filled: 0,
            moments: Vec::new(),
            all: Vec::new(),
            each: vec![Vec::new(); contestants],
            invalid_each: vec![0; contestants],
        }
    }

    /// Takes a snapshot, and shows each second that is over by it. `state` says what an instant is.
    pub fn observe(&mut self, look: Look<'_>, state: impl Fn(RunInstant) -> State, mut done: impl FnMut(&Second<'_>)) {
        self.grow(look.sums.scored.len());
        // What falls due while a worker stands still comes to us when it goes on, and belongs to the seconds in which it stood:
        // they stay open until then.
        let at = look.until.max(self.at);
        self.looked_at = look.now.max(at);
        self.attended = look.attended;
        let load = |from: RunInstant, to: RunInstant, middle: RunInstant| {
            let is_load = matches!(state(middle).part, RoundPart::Phase(_));
            if is_load { to - from } else { 0 }
        };
        let mut left = if at >= self.boundary() { self.load_until(at, &load) } else { 0 };
        while at >= self.boundary() {
            let boundary = self.boundary();
            if left == 0 {
                self.take(look, boundary - self.at, at - self.at);
            } else {
                let here = load(self.at, boundary, self.begun() + NS_PER_SECOND / 2);
                self.take(look, here, left);
                left -= here;
            }
            self.at = boundary;
            self.close(look, NS_PER_SECOND, state(self.begun() + NS_PER_SECOND / 2), &mut done);
        }
        self.take(look, 1, 1);
        self.at = at;
    }

    /// How much of the time from here on is load: nothing falls due in a pause, or between phases.
    fn load_until(&self, at: RunInstant, load: &impl Fn(RunInstant, RunInstant, RunInstant) -> u64) -> u64 {
        let (mut from, mut begun, mut sum) = (self.at, self.begun(), 0);
        while from < at {
            let to = (begun + NS_PER_SECOND).min(at);
            sum += load(from, to, begun + NS_PER_SECOND / 2);
            (from, begun) = (to, begun + NS_PER_SECOND);
        }
        sum
    }

    /// Whoever has joined has counted nothing before.
    fn grow(&mut self, contestants: usize) {
        if contestants <= self.open.len() {
            return;
        }
        let open = Open { counts: [0; COUNTERS], taken: [0; COUNTERS], latency: Histogram::default() };
        self.open.resize(contestants, open);
        self.each.resize(contestants, vec![Entry::default(); self.moments.len()]);
        self.invalid_each.resize(contestants, 0);
    }

    /// The run is over: what has come since the last whole second.
    pub fn finish(&mut self, look: Look<'_>, state: impl Fn(RunInstant) -> State, mut done: impl FnMut(&Second<'_>)) {
        self.observe(look, &state, &mut done);
        let begun = self.begun();
        let length = self.at - begun;
        if length >= TAIL_NS || self.moments.is_empty() {
            self.close(look, length, state(begun + length / 2), &mut done);
            return;
        }
        let state = state(begun);
        let late_us = self.take_late_us();
        let (moment, all, each) = self.end_second(look, length, state);
        if state.scored {
            self.validity.add(state, &all, length / NS_PER_US, late_us, false);
        }
        self.add_rest(state, &all, late_us);
        if all != Entry::of([0; COUNTERS], all.latency) {
            done(&Second { number: self.seconds, moment, all: &all, each: &each });
        }
        let Some(moment) = self.moments.last_mut() else { return };
        // While a phase runs, time passes for its rate; afterwards late answers come in.
        if state.part != RoundPart::Draining {
            moment.length_ms += (length / NS_PER_MS) as u32;
        }
        let rests = std::iter::once(&all).chain(&each);
        for (entries, rest) in std::iter::once(&mut self.all).chain(&mut self.each).zip(rests) {
            entries.last_mut().expect("as many entries as moments").add_counts(rest);
        }
    }

    /// The start of the open second.
    fn begun(&self) -> RunInstant {
        self.start + self.seconds * NS_PER_SECOND
    }

    /// Its end.
    fn boundary(&self) -> RunInstant {
        self.begun() + NS_PER_SECOND
    }

    /// Takes so many parts `of` what has come into the open second.
    fn take(&mut self, look: Look<'_>, part: u64, of: u64) {
        let take = |count: &mut u64, taken: &mut u64, now: u64| {
            let come = now.saturating_sub(*taken);
            let share = if part == of { come } else { (u128::from(come) * u128::from(part) / u128::from(of)) as u64 };
            *count += share;
            *taken += share;
        };
        take(&mut self.late_us, &mut self.taken_late_us, look.late_us);
        for (open, now) in self.open.iter_mut().zip(cumulative(look.sums)) {
            for ((count, taken), now) in open.counts.iter_mut().zip(&mut open.taken).zip(now) {
                take(count, taken, now);
            }
        }
    }

    fn close(&mut self, look: Look<'_>, length: u64, state: State, done: &mut impl FnMut(&Second<'_>)) {
        let late_us = self.take_late_us();
        let (moment, all, each) = self.end_second(look, length, state);
        let judged = |entry| judged(entry, state, length, late_us);
        let (all, each) = (judged(all), each.into_iter().map(judged).collect::<Vec<_>>());
        if state.scored {
            // The first is one however short it is: a run of less than a second is valid or not, too.
            let is_second = length >= NS_PER_SECOND / 2 || self.validity.seconds == 0;
            self.validity.add(state, &all, length / NS_PER_US, late_us, is_second);
            for (sum, entry) in self.invalid_each.iter_mut().zip(&each) {
                *sum += u64::from(entry.invalid);
            }
        }
        self.add_rest(state, &all, late_us);
        done(&Second { number: self.seconds, moment, all: &all, each: &each });
        self.seconds += 1;
        self.keep(moment, &all, &each);
    }

    /// What comes while nothing is to fall due here belongs to the scored second before it: a worker that was late at its end tells of
    /// it now.
    fn add_rest(&mut self, state: State, all: &Entry, late_us: u64) {
        // Turns that come late while others play are nobody's matter.
        let late_us = if state.part == RoundPart::NoShare { 0 } else { late_us };
        let is_rest = matches!(state.part, RoundPart::Paused | RoundPart::NoShare | RoundPart::Draining);
        if is_rest {
            self.validity.add_rest(all, late_us);
        }
    }

    /// How long turns came late in this second, for each worker.
    fn take_late_us(&mut self) -> u64 {
        std::mem::take(&mut self.late_us) / u64::from(self.workers)
    }

    /// What has come into the open second: of all together and of each, not judged yet.
    fn end_second(&mut self, look: Look<'_>, length: u64, state: State) -> (Moment, Entry, Vec<Entry>) {
        let mut all = Histogram::default();
        let mut counts = [0; COUNTERS];
        let mut each = Vec::with_capacity(self.open.len());
        for (contestant, open) in ContestantIndex::all().zip(&mut self.open) {
            let [scored, unscored] = look.sums.of(contestant);
            let mut latency = scored.row.latency.clone();
            latency.merge(&unscored.row.latency);
            let fresh = latency.since(&open.latency);
            open.latency = latency;
            all.merge(&fresh);
            for (sum, count) in counts.iter_mut().zip(open.counts) {
                *sum += count;
            }
            each.push(Entry::of(std::mem::take(&mut open.counts), Latency::of(&fresh)));
        }
        let moment = Moment {
            start_ms: u32::try_from(self.seconds * 1_000).unwrap_or(u32::MAX),
            length_ms: (length / NS_PER_MS) as u32,
            state,
            lag_us: look.sums.lag.since(&self.lag).quantile(0.99).map(|us| us as u32),
            busy: self.busy(look.cpu_us, length),
        };
        self.lag = look.sums.lag.clone();
        (moment, Entry::of(counts, Latency::of(&all)), each)
    }

    fn busy(&mut self, cpu_us: Option<u64>, length: u64) -> Option<u16> {
        let before = std::mem::replace(&mut self.cpu_us, cpu_us);
        let used_ns = u128::from(cpu_us?.saturating_sub(before?)) * 1_000;
        let had_ns = u128::from(length.max(1)) * u128::from(self.workers);
        Some((used_ns * 1_000 / had_ns).min(1_000) as u16)
    }

    fn keep(&mut self, moment: Moment, all: &Entry, each: &[Entry]) {
        let lists = || std::iter::once(all).chain(each);
        if let Some(newest) = self.moments.last_mut()
            && self.filled < self.width
        {
            newest.merge(&moment);
            for (entries, entry) in std::iter::once(&mut self.all).chain(&mut self.each).zip(lists()) {
                entries.last_mut().expect("as many entries as moments").merge(entry);
            }
            self.filled += 1;
            return;
        }
        if self.moments.len() == ENTRIES_MAX {
            pair(&mut self.moments, Moment::merge);
            std::iter::once(&mut self.all).chain(&mut self.each).for_each(|entries| pair(entries, Entry::merge));
            self.width *= 2;
        }
        self.moments.push(moment);
        for (entries, entry) in std::iter::once(&mut self.all).chain(&mut self.each).zip(lists()) {
            entries.push(*entry);
        }
        self.filled = 1;
    }

    /// What each entry is about.
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// All contestants together, an entry per moment.
    pub fn all(&self) -> &[Entry] {
        &self.all
    }

    /// One contestant, an entry per moment.
    pub fn of(&self, contestant: ContestantIndex) -> &[Entry] {
        &self.each[contestant.index()]
    }

    /// Seconds per entry: 1, and twice as many each time that a long run was merged.
    pub fn width_s(&self) -> u32 {
        self.width
    }

    /// Of all that is scored so far.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Scored seconds that are over and still open, for a worker has stood still in them. They are to be told as not valid
    /// before it goes on. What is unknown only because we did not listen, as while the disk is slow, is none of them.
    pub fn standing(&self, state: impl Fn(RunInstant) -> State) -> u64 {
        if self.looked_at.saturating_since(self.at.max(self.attended)) < STANDS_NS {
            return 0;
        }
        let over = ((self.looked_at - self.begun()) / NS_PER_SECOND).min(STANDS_SECONDS_MAX);
        let is_scored = |second: &u64| state(self.begun() + *second * NS_PER_SECOND + NS_PER_SECOND / 2).scored;
        (0..over).filter(is_scored).count() as u64
    }

    /// Scored seconds that are not valid: this generator was too slow for its plan in them.
    pub fn invalid_s(&self) -> u64 {
        self.validity.counts().invalid_seconds()
    }

    /// The same for what one contestant was to get.
    pub fn invalid_of(&self, contestant: ContestantIndex) -> u64 {
        self.invalid_each[contestant.index()]
    }
}

fn pair<T: Copy>(list: &mut Vec<T>, merge: impl Fn(&mut T, &T)) {
    *list = list.chunks(2).map(|two| merged(two, &merge)).collect();
}

fn judged(mut entry: Entry, state: State, length: u64, late_us: u64) -> Entry {
    let is_load = matches!(state.part, RoundPart::Phase(_));
    entry.invalid = u32::from(is_load && !is_valid(state, &entry, length / NS_PER_US, late_us));
    entry
}

/// The sums of each contestant, scored or not.
fn cumulative(sums: &Block) -> impl Iterator<Item = [u64; COUNTERS]> + '_ {
    sums.scored.iter().zip(&sums.unscored).map(|(scored, unscored)| {
        let mut sum = counters(scored);
        for (sum, more) in sum.iter_mut().zip(counters(unscored)) {
            *sum += more;
        }
        sum
    })
}

#[cfg(test)]
mod tests;
