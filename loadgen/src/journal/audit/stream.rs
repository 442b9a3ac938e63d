//! One stream, read from its first record to its last: sums of its batches, its traces judged again, and how it stands.
//!
//! A deadline that was moved may be told before or behind the traces that it concerns, so such a stream is read twice: once
//! to learn which deadlines were in force when, and once to judge by them.

use super::beginning::{self, Beginning};
use super::decided::Decided;
use super::in_force::{InForce, Since};
use super::late::CUT_US;
use super::redis::{Board, HeldUpTo};
use super::shares::{Held, Shares};
use super::traces::{Counted, Timed};
use super::validity::{ProvedSeconds, Seconds};
use super::void::Void;
use super::what_if::{Answer, WhatIf};
use crate::journal::folders;
use flowtest_contract::row::COUNT_MAX;
use flowtest_contract::rules::{Deadlines, Rules, UtcUs};
use flowtest_contract::{Deadline, Row, Tally};
use flowtest_journal::JournalError;
use flowtest_journal::record::{
    ArchivedBatch, ArchivedControl, ArchivedFurther, ArchivedJoin, ArchivedStart, ArchivedTerms, ArchivedTrace,
    EndCode, unbucket,
};
use flowtest_journal::stream::{self, Found, Group, Record, StreamFolder, Tail};
use std::collections::BTreeMap;

/// How a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStanding {
    /// Its writer ended it when nothing was in flight any more.
    Ended,
    /// Its writer is gone. With an end marker (`closed`), somebody has found it since and ended it.
    Killed { closed: bool },
    /// It is being written.
    Live,
    /// Its writer died before the first group of records was synced.
    NeverBegan,
}

/// Sums of one contestant, of phases that do not count and of those that do.
pub type Halves = [Row; 2];

/// Sums of all contestants, by their numbers. Who counted nothing costs no memory: a roster may be long.
pub type Sums = Vec<Option<Box<Halves>>>;

/// Batches up to one sequence number, scored ones only.
pub type Snapshot = Vec<Option<Box<Row>>>;

/// A stream, audited by itself.
#[derive(Debug)]
pub struct Stream {
    pub folder: StreamFolder,
    pub standing: StreamStanding,
    pub found: Found,
    /// `None` when it never began, or is damaged at its first record.
    pub beginning: Option<Beginning>,
    /// Which deadlines were in force when: the changes in order, the first from 0 on. Empty when it never began.
    pub in_force: Vec<Since>,
    /// Which share of the requests it held when. Empty where it does not say.
    pub shares: Vec<Held>,
    /// What its records say of how many of its seconds are valid; `None` where they do not say it.
    pub seconds: Option<ProvedSeconds>,
    /// What it heard of the steps of breakpoint phases.
    pub decisions: Vec<Decided>,
    pub batches: Sums,
    pub traces: Sums,
    /// The answer to `--with`.
    pub what_if: Option<Answer>,
    /// Batches as far as Redis has their tallies, when it has not all.
    pub at_redis: Option<Snapshot>,
    /// The same as far as it has their histograms.
    pub at_redis_histograms: Option<Snapshot>,
    /// The number of the last group that counted anything.
    pub last_counted: u64,
    /// Traces that were read, and those that the batches say there are.
    pub traced: u64,
    pub traced_said: u64,
    /// Outcomes without a trace, as the batches say.
    pub untraced: u64,
    /// Until when the batches count.
    pub proved_until: Option<UtcUs>,
    /// What makes no sense in itself, each as a sentence.
    pub oddities: Vec<String>,
}

/// What is asked about a stream besides itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Questions<'a> {
    pub board: Option<&'a Board>,
    pub what_if: Option<&'a WhatIf>,
}

/// A live stream may move a deadline, or grow, while it is read once more.
const READINGS_MAX: usize = 3;

/// Reads and judges one stream. `progress` is told bytes as they are read, about.
pub fn audit(folder: &StreamFolder, questions: Questions<'_>, progress: &dyn Fn(u64)) -> Result<Stream, JournalError> {
    // Looked at first: a writer that ends meanwhile leaves an end marker behind.
    let live = stream::is_live(folder)?;
    let mut reading = Reading::new(folder, questions, Vec::new());
    let mut found = stream::read(folder, |group| reading.group(group, progress))?;
    for turn in 0..READINGS_MAX {
        // Redis may have been asked after our look at a file that grows, or that somebody else has just ended: what it counts
        // is on disk by now.
        let is_outrun = reading.redis.is_some_and(|held| held.newest() > found.last_seq) && (live || turn == 0);
        let in_force = reading.in_force();
        if in_force == reading.judged_by && !is_outrun {
            break;
        }
        reading = Reading::new(folder, questions, in_force);
        found = stream::read(folder, |group| reading.group(group, &|_| ()))?;
    }
    let abandoned = reading.end == Some(EndCode::Abandoned as u16);
    let standing = match &found.tail {
        Tail::Ended if abandoned => StreamStanding::Killed { closed: true },
        Tail::Ended => StreamStanding::Ended,
        _ if live => StreamStanding::Live,
        _ if found.last_seq == 0 && !matches!(found.tail, Tail::Damaged { .. }) => StreamStanding::NeverBegan,
        _ => StreamStanding::Killed { closed: false },
    };
    Ok(reading.finish(standing, found))
}

/// What is known so far.
struct Reading<'a> {
    folder: &'a StreamFolder,
    questions: Questions<'a>,
    /// The numbers up to which Redis has the stream.
    redis: Option<HeldUpTo>,
    /// What traces are judged by: what the start says, or on a second reading all that is known.
    judged_by: Vec<Since>,
    beginning: Option<Beginning>,
    /// What the records say so far.
    told: Option<InForce>,
    counted: Option<Timed>,
    what_if: Option<Counted>,
    batches: Sums,
    at_redis: Option<Snapshot>,
    at_redis_histograms: Option<Snapshot>,
    last_counted: u64,
    traced_said: u64,
    untraced: u64,
    until: Option<UtcUs>,
    end: Option<u16>,
    void: Void,
    seconds: Seconds,
    /// Traces from before their contestant joined.
    early: u64,
    shares: Shares,
    decisions: Vec<Decided>,
    oddities: Vec<String>,
}

/// Contestants times stretches of time with deadlines of their own: each takes 26 KB once it has a trace.
const PLACES_MAX: usize = 1 << 18;

/// Senseless things that are told one by one.
const ODDITIES_MAX: usize = 20;

impl<'a> Reading<'a> {
    fn new(folder: &'a StreamFolder, questions: Questions<'a>, judged_by: Vec<Since>) -> Reading<'a> {
        Reading {
            folder,
            questions,
            redis: None,
            judged_by,
            beginning: None,
            told: None,
            counted: None,
            what_if: None,
            batches: Vec::new(),
            at_redis: None,
            at_redis_histograms: None,
            last_counted: 0,
            traced_said: 0,
            untraced: 0,
            until: None,
            end: None,
            void: Void::default(),
            seconds: Seconds::default(),
            early: 0,
            shares: Shares::default(),
            decisions: Vec::new(),
            oddities: Vec::new(),
        }
    }

    fn group(&mut self, group: &Group<'_>, progress: &dyn Fn(u64)) {
        if let Some(held) = self.redis {
            let snapshot = |batches: &Sums| -> Snapshot {
                let scored = |halves: &Halves| Box::new(halves[1].clone());
                batches.iter().map(|halves| halves.as_deref().map(scored)).collect()
            };
            if group.seq > held.tallies && self.at_redis.is_none() {
                self.at_redis = Some(snapshot(&self.batches));
            }
            if group.seq > held.histograms && self.at_redis_histograms.is_none() {
                self.at_redis_histograms = Some(snapshot(&self.batches));
            }
        }
        let mut bytes = 0;
        for record in &group.records {
            match record {
                Record::Start(start) => {
                    self.shares.start(start);
                    self.start(start);
                }
                Record::Batch(batch) => self.batch(group.seq, batch),
                Record::Further(further) => self.further(group.seq, further),
                Record::Traces(block) => {
                    bytes += size_of_val(block.traces.as_slice()) as u64;
                    let (base, traces) = (UtcUs(block.base.to_native()), block.traces.as_slice());
                    self.early += self.before_joining(base, traces);
                    if let Some(counted) = &mut self.counted {
                        counted.add(base, traces);
                    }
                    if let Some(counted) = &mut self.what_if {
                        counted.add(base, traces);
                    }
                }
                Record::Control(control) => {
                    self.shares.control(control);
                    self.control(control);
                }
                Record::Join(join) => self.join(join),
                Record::Decision(decision) => self.decisions.push(Decided::new(decision)),
                Record::Evidence(_) | Record::Notice(_) | Record::Late(_) => {}
                Record::End(end) => self.end = Some(end.code.to_native()),
            }
        }
        self.void.group(group);
        self.seconds.group(group);
        progress(bytes);
    }

    fn start(&mut self, start: &ArchivedStart) {
        let (contest, names) = folders::names(start);
        let (rules, deadlines) = terms(&start.terms);
        // Who began later, or again, found those in the roster that had joined by then.
        let joined = beginning::control(start.document.as_slice()).map_or(0, |control| control.timeline.joins.len());
        let beginning = Beginning {
            armed: names.len().saturating_sub(joined),
            contest,
            names,
            joined: BTreeMap::new(),
            at: UtcUs(start.at.to_native()),
            rules,
            deadlines,
            document: start.document.as_slice().to_vec(),
        };
        let contestants = beginning.names.len();
        let told = InForce::new(deadlines);
        if self.judged_by.is_empty() {
            self.judged_by = told.changes();
        }
        self.told = Some(told);
        let most = (PLACES_MAX / contestants.max(1)).max(1);
        if self.judged_by.len() > most {
            odd(&mut self.oddities, || {
                format!(
                    "deadlines move more often than {most} times for {contestants} contestants; the rest is not followed"
                )
            });
        }
        let windows = &self.judged_by[..self.judged_by.len().min(most)];
        self.counted = Some(Timed::new(rules, windows, contestants));
        self.what_if = self.questions.what_if.map(|what_if| Counted::new(what_if.judge(&beginning), contestants));
        let StreamFolder { round, stream, .. } = self.folder;
        self.redis = self.questions.board.map(|board| board.up_to(&beginning.contest, *round, *stream));
        self.batches = vec![None; contestants];
        self.beginning = Some(beginning);
    }

    /// Its contestant is the last of the roster from here on.
    fn join(&mut self, join: &ArchivedJoin) {
        let Some(beginning) = &mut self.beginning else { return };
        beginning.joined.insert(beginning.names.len(), UtcUs(join.at.to_native()));
        beginning.names.push(folders::joined(join));
        self.batches.push(None);
        if let Some(counted) = &mut self.counted {
            counted.join();
        }
        if let Some(counted) = &mut self.what_if {
            counted.join();
        }
    }

    /// Traces of requests that fell due before their contestant had joined.
    fn before_joining(&self, base: UtcUs, traces: &[ArchivedTrace]) -> u64 {
        let Some(joined) =
            self.beginning.as_ref().map(|beginning| &beginning.joined).filter(|joined| !joined.is_empty())
        else {
            return 0;
        };
        let is_early = |trace: &&ArchivedTrace| {
            let Some(at) = joined.get(&usize::from(trace.contestant.to_native())) else { return false };
            trace.intended(base) + CUT_US < *at
        };
        traces.iter().filter(is_early).count() as u64
    }

    fn batch(&mut self, seq: u64, batch: &ArchivedBatch) {
        self.traced_said = self.traced_said.saturating_add(batch.traced.to_native());
        self.untraced = self.untraced.saturating_add(batch.untraced.to_native());
        self.until = Some(UtcUs(batch.to.to_native()));
        if !batch.entries.is_empty() {
            self.last_counted = seq;
        }
        let mut buckets = batch.buckets.iter().map(|packed| unbucket(packed.to_native()));
        for entry in batch.entries.iter() {
            let contestant = usize::from(entry.contestant.to_native());
            let latency = buckets.by_ref().take(usize::from(entry.latency.to_native()));
            let Some(halves) = self.batches.get_mut(contestant) else {
                latency.for_each(drop);
                buckets.by_ref().take(usize::from(entry.service.to_native())).for_each(drop);
                odd(&mut self.oddities, || {
                    format!("group {seq} counts for a contestant {contestant} who does not play")
                });
                continue;
            };
            let row = &mut halves.get_or_insert_default()[usize::from(entry.scored != 0)];
            let mut fits = latency.fold(true, |fits, (index, count)| row.latency.add_bucket(index, count) && fits);
            let service = buckets.by_ref().take(usize::from(entry.service.to_native()));
            fits = service.fold(fits, |fits, (index, count)| row.service.add_bucket(index, count) && fits);
            let mut counters = row.tally.to_array();
            for (sum, count) in counters.iter_mut().zip(&entry.counters) {
                // Above the largest number that Redis and its readers hold, no total can be right.
                let added = sum.checked_add(count.to_native()).filter(|sum| *sum <= COUNT_MAX);
                fits &= added.is_some();
                *sum = added.unwrap_or(*sum);
            }
            row.tally = Tally::from_array(counters);
            if !fits {
                odd(&mut self.oddities, || {
                    format!("group {seq} counts more than can be added for contestant {contestant}")
                });
            }
        }
    }

    /// Counters that the batch of this group has no room for.
    fn further(&mut self, seq: u64, further: &ArchivedFurther) {
        for entry in further.entries.iter() {
            let contestant = usize::from(entry.contestant.to_native());
            let Some(halves) = self.batches.get_mut(contestant) else {
                odd(&mut self.oddities, || {
                    format!("group {seq} counts for a contestant {contestant} who does not play")
                });
                continue;
            };
            let tally = &mut halves.get_or_insert_default()[usize::from(entry.scored != 0)].tally;
            if !entry.add_to(tally) || tally.to_array().iter().any(|count| *count > COUNT_MAX) {
                odd(&mut self.oddities, || {
                    format!("group {seq} counts more than can be added for contestant {contestant}")
                });
            }
        }
    }

    fn control(&mut self, control: &ArchivedControl) {
        let Some(beginning) = &self.beginning else { return };
        let (rules, deadlines) = terms(&control.terms);
        let (at, revision) = (UtcUs(control.at.to_native()), control.revision.to_native());
        if rules != beginning.rules {
            odd(&mut self.oddities, || {
                format!(
                    "revision {revision} at {} changed rules that were frozen; they are not used",
                    folders::instant(at)
                )
            });
        }
        let Some(told) = &mut self.told else { return };
        let before = told.at(at);
        if !told.hear(revision, Since { at, deadlines }) {
            odd(&mut self.oddities, || format!("revision {revision} is one of too many that move deadlines"));
        }
        let over = |deadline: Deadline| deadline.0.saturating_add(rules.grace_us) < at;
        for (name, old, new) in [("version", before.version, deadlines.version), ("from", before.from, deadlines.from)]
        {
            // Until the grace is over either value is right, so that one who heard late took no points from anybody.
            if old != new && (over(old) || over(new)) {
                odd(&mut self.oddities, || late_move(name, old, new, at));
            }
        }
    }

    /// All that the records say of deadlines.
    fn in_force(&self) -> Vec<Since> {
        self.told.as_ref().map(InForce::changes).unwrap_or_default()
    }

    fn finish(mut self, standing: StreamStanding, found: Found) -> Stream {
        let contestants = self.batches.len();
        let mut traces = Vec::with_capacity(contestants);
        if let Some(counted) = &self.counted {
            traces.extend((0..contestants).map(|index| counted.halves(index)));
            let senseless = counted.senseless();
            if senseless > 0 {
                odd(&mut self.oddities, || format!("{senseless} traces say what nobody can observe"));
            }
        }
        let early = self.early;
        if early > 0 {
            odd(&mut self.oddities, || {
                format!("{early} exchanges are of requests that fell due before their contestant had joined")
            });
        }
        // FORMAT 1 says nothing of lateness.
        let Void { outside, contradicted, .. } = self.void;
        if found.format >= 2 && outside > 0 {
            odd(&mut self.oddities, || {
                format!("{outside} exchanges count for nobody, and their worker was not late while they lived")
            });
        }
        if contradicted > 0 {
            odd(&mut self.oddities, || {
                format!("a worker says that it was late, and {contradicted} instants of its traces say that it was not")
            });
        }
        let what_if = self.what_if.as_ref().zip(self.questions.what_if).map(|(counted, what_if)| {
            let tallies: Vec<Tally> = (0..contestants).map(|index| counted.row(index, true).tally).collect();
            what_if.answer(&tallies)
        });
        let until = self.until.unwrap_or(UtcUs::EPOCH);
        let shares = self.shares.held(until);
        Stream {
            folder: self.folder.clone(),
            standing,
            in_force: self.in_force(),
            seconds: self.seconds.proved(&shares, until).filter(|_| found.format >= 2),
            found,
            shares,
            decisions: self.decisions,
            batches: self.batches,
            traces,
            what_if,
            at_redis: self.at_redis,
            at_redis_histograms: self.at_redis_histograms,
            last_counted: self.last_counted,
            traced: self.counted.as_ref().map_or(0, Timed::total),
            traced_said: self.traced_said,
            untraced: self.untraced,
            proved_until: self.until.or(self.beginning.as_ref().map(|beginning| beginning.at)),
            beginning: self.beginning,
            oddities: self.oddities,
        }
    }
}

fn odd(oddities: &mut Vec<String>, message: impl FnOnce() -> String) {
    match oddities.len() {
        0..ODDITIES_MAX => oddities.push(message()),
        ODDITIES_MAX => oddities.push("and more of that kind".to_owned()),
        _ => {}
    }
}

fn late_move(name: &str, old: Deadline, new: Deadline, at: UtcUs) -> String {
    format!(
        "the {name} deadline was moved at {} from {} to {}: one that has passed does not move",
        folders::instant(at),
        folders::deadline(old),
        folders::deadline(new)
    )
}

fn terms(terms: &ArchivedTerms) -> (Rules, Deadlines) {
    let rules = Rules {
        timeout_us: terms.timeout_us.to_native(),
        grace_us: terms.grace_us.to_native(),
        token: terms.token.to_native(),
        version: terms.version.to_native(),
        from: terms.from.to_native(),
        token_required: terms.token_required != 0,
    };
    let deadlines = Deadlines {
        version: Deadline(UtcUs(terms.version_deadline.to_native())),
        from: Deadline(UtcUs(terms.from_deadline.to_native())),
    };
    (rules, deadlines)
}
