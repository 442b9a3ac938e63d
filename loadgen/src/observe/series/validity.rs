//! Whether what was counted is what the plan asked for, or what our own machine could do. Pure.
//!
//! In open phases it is the share of requests that fell due and that we sent in time; in closed phases the share of time in
//! which no turn of a worker came late. A second, and a run, is valid from [`RATE_RATIO_MIN`] on, in both.

use super::{Entry, State};
use crate::engine::block::{Meter, RATE_RATIO_MIN, rate_ratio};
use flowtest_contract::RoundValidity;
use flowtest_contract::text::grouped;
use serde::Serialize;

const US_PER_MS: u64 = 1_000;
const SECOND_US: u64 = 1_000_000;

/// What is scored of a run, or of some seconds of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// Seconds that are over, and those of them that are valid.
    pub seconds: u64,
    pub valid_seconds: u64,
    /// What fell due, in open phases and in closed ones.
    pub due: u64,
    /// Of this, what counts for nobody.
    pub void: u64,
    open_due: u64,
    open_void: u64,
    open_meter: Meter,
    /// Time of closed phases, and how long turns came late in it, in microseconds.
    closed_us: u64,
    closed_late_us: u64,
    /// For how long all seconds together were not on plan, each by its own requests or turns.
    late_us: u64,
    /// What came last, which what comes behind it may belong to.
    last: Option<Judged>,
}

/// A second, or what came after the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Judged {
    state: State,
    entry: Entry,
    length_us: u64,
    /// How long its turns came late, for each worker.
    late_us: u64,
}

impl Judged {
    fn is_valid(&self) -> bool {
        is_valid(self.state, &self.entry, self.length_us, self.late_us)
    }

    /// Which part of so long was not on plan. What counts as a second weighs as much as one, however short it was.
    fn off_plan_us(&self, weight_us: u64) -> u64 {
        let ratio = if self.state.open { self.entry.rate_ratio() } else { closed_ratio(self.length_us, self.late_us) };
        ratio.map_or(0, |ratio| ((1.0 - ratio) * weight_us as f64).round() as u64)
    }
}

impl Validity {
    /// Adds a second, or what came after the last one. `late_us`: how long its turns came late, for each worker.
    pub(super) fn add(&mut self, state: State, entry: &Entry, length_us: u64, late_us: u64, is_second: bool) {
        // In a closed phase nothing is late by the clock: the open one before it had let it fall due.
        if !state.open && entry.late > 0 {
            self.amend(&Entry { late: entry.late, ..Entry::default() }, 0);
        }
        self.due += u64::from(entry.due);
        self.void += u64::from(entry.own_fault);
        let judged = Judged { state, entry: *entry, length_us, late_us: late_us.min(length_us) };
        if is_second {
            self.seconds += 1;
            self.valid_seconds += u64::from(judged.is_valid());
        } else if self.last.is_some_and(|last| last.state.open == state.open) {
            // What is left of a second at the end belongs to the one before it.
            self.closed_us += if state.open { 0 } else { length_us };
            self.amend(entry, late_us);
            return;
        }
        if state.open {
            self.add_open(entry);
        } else {
            self.closed_us += length_us;
            self.closed_late_us += judged.late_us;
        }
        self.late_us += judged.off_plan_us(if is_second { SECOND_US } else { length_us });
        self.last = Some(judged).filter(|_| is_second);
    }

    /// Adds what came when nothing was to fall due any more, or for a while. Whether the second before it is not valid by that.
    pub(super) fn add_rest(&mut self, entry: &Entry, late_us: u64) -> bool {
        self.due += u64::from(entry.due);
        self.void += u64::from(entry.own_fault);
        self.amend(entry, late_us)
    }

    /// The last second had this as well. Whether it is not valid any more.
    fn amend(&mut self, more: &Entry, late_us: u64) -> bool {
        let Some(mut last) = self.last else { return false };
        let (was_valid, off_plan_us) = (last.is_valid(), last.off_plan_us(SECOND_US));
        let late_us = late_us.min(last.length_us - last.late_us);
        if last.state.open {
            last.entry.add_counts(more);
            self.add_open(more);
        } else {
            last.late_us += late_us;
            self.closed_late_us += late_us;
        }
        self.late_us = self.late_us - off_plan_us + last.off_plan_us(SECOND_US);
        self.last = Some(last);
        let is_spoiled = was_valid && !last.is_valid();
        self.valid_seconds -= u64::from(is_spoiled);
        is_spoiled
    }

    fn add_open(&mut self, entry: &Entry) {
        self.open_due += u64::from(entry.due);
        self.open_void += u64::from(entry.own_fault);
        self.open_meter.add(&entry.meter());
    }

    /// As pages and Redis are told it.
    pub fn counts(&self) -> RoundValidity {
        let Validity { seconds, valid_seconds, due, void, late_us, .. } = *self;
        RoundValidity { seconds, valid_seconds, due, void, late_ms: late_us / US_PER_MS }
    }

    /// Whether all of it together was what the plan asked for, weighed by requests and by time: of a run beside its seconds, and of
    /// steps, which are too short to be judged by theirs.
    pub fn is_on_plan(&self) -> bool {
        suffices(self.rate_ratio()) && suffices(self.closed_ratio())
    }

    /// Of open phases; `None` where nothing fell due in any.
    pub fn rate_ratio(&self) -> Option<f64> {
        rate_ratio(self.open_due, self.open_void, &self.open_meter)
    }

    /// Of closed phases; `None` without any.
    pub fn closed_ratio(&self) -> Option<f64> {
        closed_ratio(self.closed_us, self.closed_late_us)
    }
}

/// Whether a second is valid.
pub(super) fn is_valid(state: State, entry: &Entry, length_us: u64, late_us: u64) -> bool {
    let ratio = if state.open { entry.rate_ratio() } else { closed_ratio(length_us, late_us.min(length_us)) };
    suffices(ratio)
}

/// Nothing that was asked for can be invalid.
fn suffices(ratio: Option<f64>) -> bool {
    ratio.is_none_or(|ratio| ratio >= RATE_RATIO_MIN)
}

fn closed_ratio(length_us: u64, late_us: u64) -> Option<f64> {
    (length_us > 0).then(|| (length_us - late_us) as f64 / length_us as f64)
}

/// As the results tell it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ValidityFigures {
    /// Whether the run is valid: by its seconds, as a round is, and by both ratios, so that none below 0.99 is told beside it. Seconds
    /// alone would let a short phase be lost beside a long one, and a peak beside hours of little.
    pub valid: bool,
    /// The share of time of closed phases in which no turn came late; null without any.
    pub closed_ratio: Option<f64>,
    /// Scored seconds, and those of them that are valid.
    pub seconds: u64,
    pub valid_seconds: u64,
    /// For how long all those seconds were not on plan.
    pub late_ms: u64,
}

impl ValidityFigures {
    pub fn new(validity: &Validity) -> ValidityFigures {
        let counts = validity.counts();
        ValidityFigures {
            valid: counts.is_valid() && validity.is_on_plan(),
            closed_ratio: validity.closed_ratio(),
            seconds: counts.seconds,
            valid_seconds: counts.valid_seconds,
            late_ms: counts.late_ms,
        }
    }

    /// How many seconds are scored, and for how long they were late, in words.
    pub fn scored(&self) -> String {
        let late = match self.late_ms {
            0 => String::new(),
            late_ms => format!(", which were late for {} ms in all", grouped(late_ms)),
        };
        format!("{} scored seconds{late}", grouped(self.seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::series::RoundPart;

    fn state(open: bool) -> State {
        State { part: RoundPart::Phase(0), scored: true, open }
    }

    fn entry(due: u32, own_fault: u32, late: u32) -> Entry {
        Entry { due, own_fault, late, ..Entry::default() }
    }

    #[test]
    fn an_open_second_is_judged_by_what_was_sent_in_time_and_a_closed_one_by_its_turns() {
        let mut validity = Validity::default();
        validity.add(state(true), &entry(1_000, 0, 9), SECOND_US, 900_000, true);
        validity.add(state(true), &entry(1_000, 6, 6), SECOND_US, 0, true);
        validity.add(state(false), &entry(1_000, 500, 0), SECOND_US, 9_000, true);
        validity.add(state(false), &entry(1_000, 0, 0), SECOND_US, 500_000, true);
        assert_eq!((validity.seconds, validity.valid_seconds), (4, 2));
        assert_eq!(validity.rate_ratio(), Some(1.0 - 21.0 / 2_000.0));
        assert_eq!(validity.closed_ratio(), Some(1.0 - 509.0 / 2_000.0));
        assert_eq!((validity.due, validity.void), (4_000, 506));
    }

    #[test]
    fn what_comes_behind_a_second_that_was_late_belongs_to_it() {
        let late = |late| entry(0, 0, late);
        let counts = |validity: Validity| (validity.seconds, validity.valid_seconds);
        // In the drain, in a pause: a little is no fault, more makes the second not valid, once.
        let mut validity = Validity::default();
        validity.add(state(true), &entry(1_000, 0, 0), SECOND_US, 0, true);
        validity.add(state(true), &entry(700, 0, 0), SECOND_US, 0, true);
        assert!(!validity.add_rest(&entry(0, 1, 5), 0));
        assert!(validity.add_rest(&entry(300, 0, 300), 0) && !validity.add_rest(&late(1), 0));
        assert_eq!((counts(validity), validity.due, validity.void), ((2, 1), 2_000, 1));
        assert_eq!(validity.rate_ratio(), Some(1.0 - 307.0 / 2_000.0));
        // What turns out to be void was late already.
        validity.add_rest(&Entry { own_fault: 300, late_void: 300, ..Entry::default() }, 0);
        assert_eq!((validity.rate_ratio(), validity.void), (Some(1.0 - 307.0 / 2_000.0), 301));
        // In a closed phase behind an open one, which has a validity of its own.
        let mut validity = Validity::default();
        validity.add(state(true), &entry(1_000, 0, 0), SECOND_US, 0, true);
        validity.add(state(false), &entry(500, 0, 100), SECOND_US, 0, true);
        assert_eq!((counts(validity), validity.rate_ratio()), ((2, 1), Some(0.9)));
        // A turn that came late over the end of a closed phase: no more than all of its last second.
        assert!(validity.add_rest(&late(0), 400_000) && !validity.add_rest(&late(0), 200_000));
        assert_eq!((counts(validity), validity.closed_ratio()), ((2, 0), Some(0.4)));
        validity.add(state(false), &entry(500, 0, 0), SECOND_US, 0, true);
        assert!(validity.add_rest(&late(0), 5 * SECOND_US));
        assert_eq!(validity.closed_ratio(), Some(0.2));
        // Before the first second there is nothing that it could belong to.
        assert!(!Validity::default().add_rest(&late(9), 9));
    }

    #[test]
    fn a_run_is_valid_by_its_seconds_by_what_is_void_and_as_a_whole() {
        let judged = |seconds: &[(bool, Entry, u64)]| {
            let mut validity = Validity::default();
            seconds.iter().for_each(|(open, entry, late_us)| {
                validity.add(state(*open), entry, SECOND_US, *late_us, true);
            });
            (ValidityFigures::new(&validity).valid, validity.counts().is_valid())
        };
        let of = |seconds: &[(bool, Entry, u64)]| {
            // Where all seconds are alike, what pages and rulings say by the counts is what the command says.
            let (valid, by_counts) = judged(seconds);
            assert_eq!(valid, by_counts);
            valid
        };
        let (good, late) = ((true, entry(1_000, 0, 0), 0), (true, entry(1_000, 0, 20), 0));
        assert!(of(&[]), "nothing was asked for");
        // Ten seconds of six hundred, each of which was a little late.
        assert!(!of(&[vec![good; 590], vec![late; 10]].concat()));
        // A gap of 21 ms in ten seconds, of an open phase and of a closed one, is let pass; nine tenths of a second are not.
        assert!(of(&[vec![good; 9], vec![late]].concat()));
        let (quiet, gap) = ((false, entry(1_000, 0, 0), 0), |late_us| (false, entry(1_000, 0, 0), late_us));
        assert!(of(&[vec![quiet; 9], vec![gap(21_000)]].concat()));
        assert!(!of(&[vec![quiet; 9], vec![gap(900_000)]].concat()));
        assert!(!of(&[vec![good; 9], vec![(true, entry(1_000, 0, 900), 0)]].concat()));
        // One of sixty, and of two hundred, that was wholly late.
        let lost = (true, entry(1_000, 0, 1_000), 0);
        assert!(!of(&[vec![good; 59], vec![lost]].concat()));
        assert!(of(&[vec![good; 199], vec![lost]].concat()));
        // A closed phase, whose turns were on time, of which a tenth is void; and one whose turns were not.
        assert!(!of(&[(false, entry(1_000, 100, 0), 0); 10]));
        assert!(!of(&[(false, entry(1_000, 0, 0), 20_000); 10]));
        // A hundredth of the seconds was lost, and it was all of the open phase, or nearly all of the requests.
        assert_eq!(judged(&[vec![quiet; 600], vec![lost; 6]].concat()), (false, true));
        let (few, peak) = ((true, entry(100, 0, 0), 0), (true, entry(100_000, 0, 100_000), 0));
        assert_eq!(judged(&[vec![few; 990], vec![peak; 10]].concat()), (false, true));
        // All of the closed phase, whose turns all came late.
        assert_eq!(judged(&[vec![good; 600], vec![gap(1_000_000); 6]].concat()), (false, true));
    }

    #[test]
    fn what_counts_as_a_second_weighs_as_one_however_short_it_was() {
        for (open, entry, late_us) in [(true, entry(1_000, 0, 25), 0), (false, entry(1_000, 0, 0), 10_000)] {
            let mut validity = Validity::default();
            validity.add(state(open), &entry, 400_000, late_us, true);
            assert_eq!((validity.counts().late_ms, validity.counts().is_valid()), (25, false), "{open}");
            // What comes behind it belongs to it.
            validity.add_rest(&Entry { late: 25, ..Entry::default() }, 10_000);
            assert_eq!(validity.counts().late_ms, 50, "{open}");
        }
    }

    #[test]
    fn what_is_left_of_a_second_at_the_end_belongs_to_the_one_before_it() {
        for (open, late_us) in [(true, 0), (false, 30_000)] {
            let mut validity = Validity::default();
            validity.add(state(open), &entry(1_000, 0, 0), SECOND_US, 0, true);
            validity.add(state(open), &entry(400, 0, 400), 400_000, late_us, false);
            assert_eq!((validity.seconds, validity.valid_seconds, validity.due), (1, 0, 1_400), "{open}");
        }
    }
}
