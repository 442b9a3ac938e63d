//! Who is to send what when generators die and come back: a function of what they say, of the document and of the clock.
//! Whoever owns the control document calls [`SplitKeeper::look`] some times a second, and makes the change that it asks for;
//! [`SplitKeeper::lost`] when Redis could not be read.

use crate::generator::{GeneratorHealth, SeenGenerator};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::timeline::{SPLIT_LEAD_US, Split};
use flowtest_contest::{Control, State};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use std::collections::BTreeMap;

/// Not heard for longer, a generator is gone, in microseconds: eight beats, at the usual pace. With the lead of a split it leaves
/// less than five seconds of a share to nobody.
const SILENT_US: u64 = 2_000_000;
/// For so long after nothing could be read nobody is gone: generators may have been as far from Redis as we.
const GRACE_US: u64 = 5_000_000;
/// Looks further apart than this are as if nothing could be read between them.
const LOOK_US_MAX: u64 = 5_000_000;
/// A generator that a split ahead names and that is not in the round so long before it comes too late for it.
const ARMING_US: u64 = SPLIT_LEAD_US + 500_000;
/// Where Redis answers slowly, looks are far apart, and so are the beats of others: that is no silence, for so much more than two
/// looks. How far apart two of them in a row were is remembered for eight times as long; one alone is a hang, after which nobody
/// is gone for as long.
const JITTER_US: u64 = 500_000;
const REMEMBERED: u64 = 8;
/// How long a generator must be ready before it comes in: at first, and after it fell out once, twice, or more often.
const STEADY_US: [u64; 4] = [1_000_000, 2_000_000, 15_000_000, 60_000_000];

const _: () = assert!(SILENT_US + SPLIT_LEAD_US < 5_000_000);

/// What is remembered of the generators of a round. Nothing in it is needed after a restart.
#[derive(Clone, Debug, Default)]
pub struct SplitKeeper {
    round: Option<RoundId>,
    looked_at: Option<UtcUs>,
    /// How far apart the last two looks were, and what two in a row were at the least, of late.
    last_apart_us: u64,
    looks_apart_us: u64,
    /// Nobody is gone before.
    grace_until: UtcUs,
    generators: BTreeMap<String, Heard>,
}

/// What is remembered of one.
#[derive(Clone, Debug, Default)]
struct Heard {
    /// As it was read last: by the generator's clock, so that it is only compared with itself.
    beat: UtcUs,
    /// When it was found to be another one, by our clock.
    heard_at: UtcUs,
    /// From when on its process takes splits, and since when it could at each look.
    takes_from: Option<UtcUs>,
    ready_since: Option<UtcUs>,
    /// How often it fell out of the split.
    fell_out: usize,
}

/// Another split, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resplit {
    pub at: UtcUs,
    /// In the order of their shares.
    pub generators: Vec<String>,
    /// Whose share the others take.
    pub gone: Vec<String>,
    /// Who gets a share.
    pub back: Vec<String>,
}

impl Resplit {
    pub fn change(&self) -> Change {
        Change::Split { at: self.at, generators: self.generators.clone() }
    }

    /// What happens, for the log.
    pub fn message(&self) -> String {
        let list = |names: &[String]| names.join(", ");
        let mut parts = Vec::new();
        if !self.gone.is_empty() {
            parts.push(format!("without {}, not heard or not able to play", list(&self.gone)));
        }
        if !self.back.is_empty() {
            parts.push(format!("with {}, ready to play", list(&self.back)));
        }
        format!("The requests are split anew {}: {}.", parts.join(" and "), list(&self.generators))
    }
}

impl SplitKeeper {
    /// Redis could not be read: nothing is known of anybody.
    pub fn lost(&mut self) {
        self.looked_at = None;
    }

    /// Looks at what generators say, without a word about it: for whoever may have to decide later. `now` is the clock of
    /// whoever owns the document.
    pub fn hear(&mut self, control: &Control, generators: &[SeenGenerator], now: UtcUs) {
        let playing = matches!(control.state, State::Armed | State::Running | State::Paused);
        let round = control.round.filter(|_| playing);
        if std::mem::replace(&mut self.round, round) != round {
            // Who was heard a moment ago is heard in the next round too.
            for heard in self.generators.values_mut() {
                (heard.takes_from, heard.ready_since, heard.fell_out) = (None, None, 0);
            }
        }
        let apart_us = self.looked_at.filter(|last| *last <= now).map(|last| now - last);
        self.looked_at = Some(now);
        match apart_us.filter(|apart_us| *apart_us <= LOOK_US_MAX) {
            Some(apart_us) => {
                let twice = apart_us.min(std::mem::replace(&mut self.last_apart_us, apart_us));
                self.looks_apart_us = twice.max(self.looks_apart_us.saturating_sub(apart_us / REMEMBERED));
                if apart_us > SILENT_US && twice <= SILENT_US {
                    self.grace_until = self.grace_until.max(now.saturating_add(apart_us));
                }
            }
            None => self.grace_until = now.saturating_add(GRACE_US),
        }
        for seen in generators {
            self.hear_one(seen, now);
        }
    }

    /// The same, and another split if the newest is not of those who play.
    pub fn look(&mut self, control: &Control, generators: &[SeenGenerator], now: UtcUs) -> Option<Resplit> {
        self.hear(control, generators, now);
        let round = self.round?;
        let newest = control.timeline.splits.last().filter(|_| control.state != State::Paused)?;
        let health = |id: &str| generators.iter().find(|seen| seen.id == id).and_then(|seen| seen.health.as_ref());
        // An older program follows no such split.
        if newest.generators.iter().any(|id| health(id).is_some_and(|health| health.takes_from == Some(UtcUs::EPOCH))) {
            return None;
        }
        let is_playing = |id: &String| {
            let is_known = self.generators.contains_key(id);
            !self.is_silent(id, now) && plays(health(id), is_known, round, newest, now)
        };
        let (mut playing, fell_out): (Vec<String>, Vec<String>) =
            newest.generators.iter().cloned().partition(is_playing);
        // Whoever is named and has begun anew comes back like any other.
        let is_back = |id: &str| !playing.iter().any(|held| held == id) && !control.left_out.contains(id);
        let ready = generators.iter().filter(|seen| is_back(&seen.id) && self.is_steady(&seen.id, now));
        let mut back: Vec<String> = ready.map(|seen| seen.id.clone()).collect();
        back.sort();
        let gone: Vec<String> = fell_out.iter().filter(|id| !back.contains(id)).cloned().collect();
        playing.extend(back.iter().cloned());
        if (gone.is_empty() && back.is_empty()) || playing.is_empty() {
            return None;
        }
        // Everybody has looked once more by then.
        let at = now.saturating_add(SPLIT_LEAD_US.max(2 * self.looks_apart_us)).max(newest.from);
        if control.timeline.end_at(&control.contest).is_none_or(|end| at >= end) {
            return None;
        }
        for id in &fell_out {
            self.generators.entry(id.clone()).or_default().fell_out += 1;
        }
        Some(Resplit { at, generators: playing, gone, back })
    }

    fn hear_one(&mut self, seen: &SeenGenerator, now: UtcUs) {
        let (round, silent_us) = (self.round, self.silent_us());
        let heard = self.generators.entry(seen.id.clone()).or_default();
        if heard.beat != seen.beat || heard.heard_at == UtcUs::EPOCH {
            (heard.beat, heard.heard_at) = (seen.beat, now);
        }
        let of_round = seen.health.as_ref().filter(|health| health.round == round);
        let takes_from = of_round.and_then(|health| health.takes_from).filter(|from| *from > UtcUs::EPOCH);
        let is_same = std::mem::replace(&mut heard.takes_from, takes_from) == takes_from;
        let is_ready = takes_from.is_some() && now.saturating_since(heard.heard_at) <= silent_us;
        heard.ready_since = heard.ready_since.filter(|_| is_same).or(Some(now)).filter(|_| is_ready);
    }

    /// Not heard for longer, a generator is gone.
    fn silent_us(&self) -> u64 {
        SILENT_US.max(2 * self.looks_apart_us + JITTER_US)
    }

    fn is_silent(&self, id: &str, now: UtcUs) -> bool {
        let heard_at = self.generators.get(id).map_or(UtcUs::EPOCH, |heard| heard.heard_at);
        now >= self.grace_until && now.saturating_since(heard_at) > self.silent_us()
    }

    fn is_steady(&self, id: &str, now: UtcUs) -> bool {
        self.generators.get(id).is_some_and(|heard| {
            let wanted = STEADY_US[heard.fell_out.min(STEADY_US.len() - 1)];
            heard.ready_since.is_some_and(|since| now.saturating_since(since) >= wanted)
        })
    }
}

/// Whether a generator that a split names, and that is heard, plays by it or will.
fn plays(health: Option<&GeneratorHealth>, is_known: bool, round: RoundId, split: &Split, now: UtcUs) -> bool {
    // It has until shortly before the split to come into the round.
    let may_come = now.saturating_add(ARMING_US) < split.from;
    match health {
        Some(health) if health.round == Some(round) => health.takes_from.is_some_and(|from| from <= split.from),
        Some(_) => may_come,
        // What was said is gone after an outage; of one that nobody ever heard there is nothing to wait for.
        None => is_known || may_come,
    }
}
