//! How much of a stream is valid, by its own records, and whether what its generator says of that can be so.
//!
//! A generator says how many of its scored seconds are valid, and how much of what fell due is void. It counts by looks, which may
//! spread what lies at the edge of a second over two, so its word is held against bounds: a second is *certainly* not valid where
//! far more than is let pass was late within it, and *may* not be where a late window is near. A request was late that fell due
//! in a turn which came late, and is taken away like one that is void for another reason; in a closed phase it is the time of
//! such turns. What is due and void stands in the batches exactly, but for seconds beside those that are not scored.

use super::beginning::{contest, control};
use super::late::{self, CUT_US, LATE_US};
use super::shares::Held;
use super::traces::OUTCOME_BITS;
use super::void::OWN_FAULT;
use flowtest_contest::contest::Load;
use flowtest_contest::timeline::Timeline;
use flowtest_contest::{Contest, Control};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundValidity, Tally};
use flowtest_journal::record::{
    ArchivedBatch, ArchivedEntry, ArchivedLate, ArchivedStart, ArchivedTraces, LateCause, tally_of,
};
use flowtest_journal::stream::{Group, Record};
use flowtest_scoreboard::reader::SaidValidity;
use serde::Deserialize;
use std::collections::BTreeMap;

const SECOND_US: u64 = 1_000_000;
/// Behind a wait of at most as long a turn comes late by more than [`LATE_US`].
const WAIT_US: u64 = 10_000;
/// A second of which more than this was taken away, in thousandths, is certainly not valid: five times of what is let pass.
const CERTAIN_PERMILLE: u64 = 50;
/// For so long a second may be late that is valid.
const LATE_MS_VALID: u64 = 1_000 - RoundValidity::PERMILLE_MIN;
/// What lies nearer than this to an end of its second may have been counted in the one beside it.
const MARGIN_US: u64 = 200_000;
/// So many seconds around a late window may not be valid by it, and those of a timeout behind it, in which what it made void ends:
/// the generator's looks are as far apart as its disk is slow.
const NEAR_S: u64 = 3;
/// Seconds that are looked at: three days.
const SECONDS_MAX: u64 = 3 * 24 * 3_600;
/// No more of a turn that came late is looked at: an hour.
const GAP_US_MAX: u64 = 3_600 * SECOND_US;
/// A window is remembered for so many timeouts: a life, with the waits before it.
const KEPT_TIMEOUTS: u64 = 4;

/// What a program says about itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Program {
    /// When the first phase starts. Older programs do not say it: then the document does.
    starts_at: Option<UtcUs>,
    /// One worker has each.
    cores: Vec<usize>,
}

/// One second of the clock from the start of the first phase on.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// What fell due, of all phases and of those that count, and what is void.
    due: [u64; 2],
    void: [u64; 2],
    /// Requests that certainly were late, or void for another reason.
    taken: u64,
    /// For how long turns came late, over all workers.
    late_us: u64,
}

/// A stretch of time in which a worker was late.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: UtcUs,
    to: UtcUs,
    /// A turn came late, and nothing else is known to have kept it.
    is_gap: bool,
}

/// What the records of one stream say of its seconds.
#[derive(Debug, Default)]
pub(super) struct Seconds {
    start: Option<UtcUs>,
    workers: u64,
    timeout_us: u64,
    seconds: BTreeMap<u64, Second>,
    /// First and last seconds around late windows.
    near: Vec<(u64, u64)>,
    /// The newest windows of each worker that have a length, but for those in which it was busy.
    windows: BTreeMap<u16, Vec<Window>>,
    /// The newest document; empty where it was too long to be recorded.
    document: Vec<u8>,
    /// Something lies outside all seconds that are looked at.
    is_beyond: bool,
}

/// What can be said of a stream's seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProvedSeconds {
    /// Scored seconds, at the most.
    pub seconds: u64,
    /// By so many more seconds the generator may have counted: at the edges of its shares.
    slack: u64,
    /// How many of them are not valid, at the least and at the most.
    pub invalid_least: u64,
    pub invalid_most: u64,
    /// For how long those were late that certainly are not valid, at the least.
    late_ms_least: u64,
    /// What fell due and what is void, at the least and at the most.
    pub due: (u64, u64),
    pub void: (u64, u64),
}

impl Seconds {
    pub(super) fn group(&mut self, group: &Group<'_>) {
        let batches = group.records.iter().filter_map(|record| match record {
            Record::Batch(batch) => Some(batch),
            _ => None,
        });
        let has_void = batches.flat_map(|batch| batch.entries.iter()).any(|entry| tally(entry).own_fault > 0);
        for record in &group.records {
            match record {
                Record::Start(start) => self.start(start),
                Record::Control(control) => {
                    self.document.clear();
                    self.document.extend_from_slice(control.document.as_slice());
                }
                Record::Late(late) => self.late(late),
                Record::Batch(batch) => self.batch(batch),
                Record::Traces(block) => self.traces(block, has_void),
                _ => {}
            }
        }
    }

    fn batch(&mut self, batch: &ArchivedBatch) {
        let (mut due, mut void) = ([0_u64; 2], [0_u64; 2]);
        for entry in batch.entries.iter() {
            let (tally, scored) = (tally(entry), usize::from(entry.scored != 0));
            due[scored] = due[scored].saturating_add(tally.due);
            void[scored] = void[scored].saturating_add(tally.own_fault);
        }
        let (from, to) = (batch.from.to_native(), batch.to.to_native());
        // One that reaches over the start has counted what came behind it.
        let middle = UtcUs(from + to.saturating_sub(from) / 2).max(self.start.unwrap_or(UtcUs::MAX));
        if due == [0; 2] && void == [0; 2] {
            return;
        }
        let Some(second) = self.at(middle) else { return };
        for (sum, more) in second.due.iter_mut().zip(due).chain(second.void.iter_mut().zip(void)) {
            *sum = sum.saturating_add(more);
        }
    }

    fn traces(&mut self, block: &ArchivedTraces, has_void: bool) {
        let (base, worker) = (UtcUs(block.base.to_native()), block.worker.to_native());
        let kept_us = self.timeout_us.saturating_mul(KEPT_TIMEOUTS).saturating_add(SECOND_US);
        let windows = self.windows.entry(worker).or_default();
        windows.retain(|window| window.to.saturating_add(kept_us) >= base);
        if self.start.is_none() || (windows.is_empty() && !has_void) {
            return;
        }
        let windows = std::mem::take(windows);
        for trace in block.traces.iter() {
            let intended = trace.intended(base);
            let is_void = trace.observed.to_native() & OUTCOME_BITS == OWN_FAULT;
            match lateness(&windows, intended) {
                Lateness::Certain => self.take(intended),
                Lateness::None if is_void => self.take(intended.saturating_add(trace.latency_us.to_native().into())),
                Lateness::None | Lateness::Perhaps => {}
            }
        }
        self.windows.insert(worker, windows);
    }

    fn start(&mut self, start: &ArchivedStart) {
        let program: Program = serde_json::from_slice(start.program.as_slice()).unwrap_or_default();
        let document = start.document.as_slice();
        let planned = || control(document).and_then(|control| control.timeline.start_at);
        self.start = program.starts_at.or_else(planned);
        self.workers = program.cores.len() as u64;
        self.timeout_us = start.terms.timeout_us.to_native();
        self.document = document.to_vec();
    }

    fn late(&mut self, late: &ArchivedLate) {
        for window in late.windows.iter() {
            let (from, to) = (UtcUs(window.from.to_native()), UtcUs(window.to.to_native()));
            let Some(start) = self.start.filter(|start| to >= *start) else { continue };
            let number = |at: UtcUs| at.saturating_since(start) / SECOND_US;
            let (first, last) =
                (number(from).saturating_sub(NEAR_S), number(to.saturating_add(self.timeout_us)) + NEAR_S);
            match self.near.last_mut() {
                Some(near) if near.0 <= first && first <= near.1 => near.1 = near.1.max(last),
                _ => self.near.push((first, last)),
            }
            let cause = window.cause.to_native();
            if from < to && cause != LateCause::Busy as u16 {
                let is_gap = cause == LateCause::Gap as u16;
                self.windows.entry(late.worker.to_native()).or_default().push(Window { from, to, is_gap });
                if is_gap {
                    self.late_time(from.saturating_add(WAIT_US + LATE_US), to.min(from.saturating_add(GAP_US_MAX)));
                }
            }
        }
    }

    /// Turns came late from then until then.
    fn late_time(&mut self, from: UtcUs, to: UtcUs) {
        let Some(start) = self.start else { return };
        let mut at = from;
        while at < to {
            let number = at.saturating_since(start) / SECOND_US;
            let begun = start.saturating_add(number * SECOND_US);
            let (first, last) = (begun.saturating_add(MARGIN_US), begun.saturating_add(SECOND_US - MARGIN_US));
            let late_us = to.min(last).saturating_since(at.max(first));
            if let Some(second) = self.at(at) {
                second.late_us = second.late_us.saturating_add(late_us);
            } else if number > SECONDS_MAX {
                return;
            }
            at = begun.saturating_add(SECOND_US);
        }
    }

    /// A request is taken away that belongs to this instant, where it is surely of this second.
    fn take(&mut self, at: UtcUs) {
        let Some(start) = self.start else { return };
        let within = at.saturating_since(start) % SECOND_US;
        if (MARGIN_US..SECOND_US - MARGIN_US).contains(&within)
            && let Some(second) = self.at(at)
        {
            second.taken += 1;
        }
    }

    /// The second of an instant; `None` before the start.
    fn at(&mut self, at: UtcUs) -> Option<&mut Second> {
        let start = self.start.filter(|start| at >= *start)?;
        let number = at.saturating_since(start) / SECOND_US;
        if number > SECONDS_MAX {
            self.is_beyond = true;
            return None;
        }
        Some(self.seconds.entry(number).or_default())
    }

    /// What all that amounts to for a stream whose batches count until then. `None` where its plan is not known, or too long.
    pub(super) fn proved(&self, held: &[Held], until: UtcUs) -> Option<ProvedSeconds> {
        let start = self.start.filter(|_| !self.is_beyond)?;
        let (contest, timeline) = plan(&self.document, start)?;
        let end = (until.saturating_since(start) / SECOND_US).min(SECONDS_MAX);
        let load = |number: u64| {
            let middle = start.saturating_add(number * SECOND_US + SECOND_US / 2);
            let is_held = held.is_empty() || held.iter().any(|held| held.from <= middle && middle < held.to);
            let is_playing = timeline.is_playing(&contest, middle);
            load_at(&contest, timeline.elapsed_us(middle)).filter(|_| is_playing && is_held)
        };
        let slack = 1 + 2 * held.len().saturating_sub(1) as u64;
        let mut proved = ProvedSeconds { slack, ..ProvedSeconds::default() };
        // The last one may be half a second.
        let loads: Vec<_> = (0..=end).map(load).collect();
        let is_beside_unscored = |number: u64| {
            let (from, to) = (number.saturating_sub(NEAR_S), (number + NEAR_S + 1).min(loads.len() as u64));
            loads.get(from as usize..to as usize).is_some_and(|near| near.iter().flatten().any(|load| !load.is_scored))
        };
        for (number, load) in (0..).zip(&loads) {
            let second = self.seconds.get(&number).copied().unwrap_or_default();
            // Whoever hears of a pause too late plays on.
            let is_scored = load.is_some_and(|load| load.is_scored) || second.due[1] > 0;
            proved.seconds += u64::from(is_scored);
            let Some(load) = load.filter(|load| load.is_scored) else { continue };
            let (late, of) = match load.is_open {
                true => (second.taken, self.due_near(number).unwrap_or_default()),
                false => (second.late_us, self.workers * SECOND_US),
            };
            let late_permille = late.saturating_mul(1_000).checked_div(of).unwrap_or_default().min(1_000);
            if late_permille > CERTAIN_PERMILLE {
                proved.invalid_least += 1;
                // A thousandth of a second.
                proved.late_ms_least += late_permille;
            }
        }
        proved.invalid_most = self.near_seconds();
        for (number, second) in &self.seconds {
            let is_sure = !is_beside_unscored(*number);
            for (bounds, counts) in [(&mut proved.due, second.due), (&mut proved.void, second.void)] {
                bounds.0 = bounds.0.saturating_add(if is_sure { counts[1] } else { 0 });
                bounds.1 = bounds.1.saturating_add(counts[0]).saturating_add(counts[1]);
            }
        }
        Some(proved)
    }

    /// What fell due in a second, at the most. A batch counts in the second of its middle, and is as long as the disk is slow: then the
    /// seconds beside that have none. `None`: no batch is near.
    fn due_near(&self, number: u64) -> Option<u64> {
        let near = self.seconds.range(number.saturating_sub(NEAR_S)..=number + NEAR_S);
        near.map(|(_, second)| second.due[0].saturating_add(second.due[1])).max().filter(|due| *due > 0)
    }

    /// How many seconds lie near late windows.
    fn near_seconds(&self) -> u64 {
        let mut near = self.near.clone();
        near.sort_unstable();
        let (mut count, mut next) = (0, 0);
        for (first, last) in near {
            count += (last + 1).saturating_sub(first.max(next));
            next = next.max(last + 1);
        }
        count
    }
}

impl ProvedSeconds {
    /// What of a generator's word cannot be so, each as a clause. `is_whole`: its word is of all that the stream has counted, and
    /// no late window is missing.
    pub(super) fn wrong(&self, said: SaidValidity, is_whole: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        let word = said.counts;
        let RoundValidity { seconds, valid_seconds, due, void, .. } = word;
        if valid_seconds > seconds {
            wrong.push("more than there were".to_owned());
        }
        if seconds > self.seconds + self.slack {
            wrong.push(format!("it counts {seconds} scored seconds, and its plan has {}", self.seconds));
        }
        // Looks that are far apart may have made one of two seconds.
        let but_tenth = |count: u64| count - count / 10;
        if valid_seconds + but_tenth(self.invalid_least) > self.seconds + self.slack {
            wrong
                .push(format!("{} of them were not, by its late windows and traces, at the least", self.invalid_least));
        }
        if is_whole && word.invalid_seconds() > self.invalid_most {
            wrong.push(format!("no more than {} lie near a late window", self.invalid_most));
        }
        if let Some(late_ms) = said.late_ms.filter(|_| is_whole) {
            let least = if self.is_of_all(word) { but_tenth(self.late_ms_least) } else { 0 };
            let most = (self.invalid_most.saturating_mul(1_000)).saturating_add(seconds.saturating_mul(LATE_MS_VALID));
            if late_ms < least || late_ms > most {
                wrong.push(format!(
                    "it says that {late_ms} ms of them were late, and by its late windows and traces it was {least} to {most}"
                ));
            }
        }
        let range =
            |(least, most): (u64, u64)| if least == most { most.to_string() } else { format!("{least} to {most}") };
        if due > self.due.1 || void > self.void.1 || (is_whole && self.is_of_all(word) && void < self.void.0) {
            let (due_here, void_here) = (range(self.due), range(self.void));
            wrong.push(format!(
                "it counts {due} requests that fell due and {void} that are void, and its batches {due_here} and {void_here}"
            ));
        }
        wrong
    }

    /// Whether a word is of all that was counted, and not of a time before: a journal may be published without its generator.
    pub(super) fn is_of_all(&self, word: RoundValidity) -> bool {
        word.due >= self.due.0
    }
}

/// Whether we came late to what fell due at an instant.
enum Lateness {
    None,
    Perhaps,
    Certain,
}

fn lateness(windows: &[Window], intended: UtcUs) -> Lateness {
    let mut lateness = Lateness::None;
    let ended = windows.partition_point(|window| window.to.saturating_add(CUT_US) < intended);
    let near = windows[ended..].iter().take_while(|window| window.from.saturating_sub(LATE_US) <= intended);
    for &Window { from, to, is_gap } in near {
        if is_gap && late::is_certain(from, to, intended) {
            return Lateness::Certain;
        }
        // What fell due in the turn before may wait, too.
        lateness = Lateness::Perhaps;
    }
    lateness
}

fn tally(entry: &ArchivedEntry) -> Tally {
    tally_of(entry.counters.map(|count| count.to_native()))
}

/// What the plan asks for at a moment.
#[derive(Clone, Copy, Debug)]
struct LoadAt {
    is_open: bool,
    is_scored: bool,
}

fn load_at(contest: &Contest, elapsed_us: u64) -> Option<LoadAt> {
    let mut left = elapsed_us;
    let phase = contest.phases.iter().find(|phase| {
        let is_here = left < phase.duration_us;
        left = left.saturating_sub(phase.duration_us);
        is_here
    })?;
    Some(LoadAt { is_open: !matches!(phase.load, Load::Closed { .. }), is_scored: phase.scored })
}

/// The contest and when it is played, by a control document or a contest alone.
fn plan(document: &[u8], start: UtcUs) -> Option<(Contest, Timeline)> {
    if let Some(Control { contest, timeline, .. }) = control(document).filter(|it| it.timeline.start_at.is_some()) {
        return Some((contest, timeline));
    }
    Some((contest(document)?, Timeline { start_at: Some(start), ..Timeline::default() }))
}
