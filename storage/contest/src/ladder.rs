//! The ladder of a breakpoint test: which rate is tried next, by what came of the last one. Pure.
//!
//! It climbs step by step as long as a step passes. After one that fails it rests at the last that passed, so that the server
//! gets rid of what waits, and halves the gap between the two: three times, and more often where the gap is more than a third of
//! what passed, until what is left is a few hundredths of it. Where the first step failed already, it descends by halves until one
//! passes. What is found is held once more: where it does not hold, the gap below it is halved in the same way, and where nothing
//! lower passed it descends.
//!
//! One failure may be chance, or a server that was not warm yet: what broke is tried once more, and where it passes it climbs on
//! from there, a few times at most.
//!
//! ```text
//!   rate |         x 2440
//!        |             x 2196                  x fails
//!        |                   x 2135  x         o passes, or is held for a rest
//!        |                 o 2074  o 2074
//!        |       o   o   o       o             the last ones: 2074, once more, and 2135, which fails again
//!        |     o
//!        |   o
//!        | o 1000
//!        +--------------------------------> holds, one after another
//! ```
//!
//! A hold in which our own side was not valid says nothing about the server: the same rate is held again, and after three of
//! them in a row the ladder ends: as unbroken, where nothing broke before, or what lies between is still to be tried.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// How often the gap between the highest rate that passed and the lowest that failed is halved at most: the first, where that
/// leaves no more than so many hundredths of what passed, as it does behind a step of a third and less.
const HALVINGS: RangeInclusive<u32> = 3..=8;
const LEFT_PERCENT: u64 = 4;
/// No search takes more holds.
pub(crate) const SEARCH_STEPS_MAX: u32 = search_steps(*HALVINGS.end());
/// How often what broke is tried once more in a climb, each time after what was found was held again.
const RETRIES_MAX: u32 = 3;
/// A gap that is smaller than this part of the rate is not halved any more.
const GAP_PERMILLE: u64 = 20;
/// Holds in a row in which our own side was not valid, until it is taken for the limit.
pub(crate) const NOT_VALID_MAX: u32 = 3;
/// Connections of a step at the least.
const CONNECTIONS_MIN: u64 = 16;
/// The factor by which a step may be higher than the one before.
const TIMES_MAX: f64 = 10.0;

/// From one step to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// So many times as much: `x1.25`.
    Times(f64),
    /// So many requests a second more: `+500`.
    Plus(u64),
}

impl Step {
    pub(crate) fn after(self, rate: u64) -> u64 {
        match self {
            Step::Times(times) => ((rate as f64 * times) as u64).max(rate + 1),
            Step::Plus(more) => rate.saturating_add(more),
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Step, String> {
        let step = match (text.strip_prefix('x'), text.strip_prefix('+')) {
            (Some(times), _) => times.parse().ok().filter(|times| *times > 1.0 && *times <= TIMES_MAX).map(Step::Times),
            (_, Some(more)) => more.parse().ok().filter(|more| *more > 0).map(Step::Plus),
            _ => None,
        };
        step.ok_or_else(|| {
            format!("'{text}' is no step: write how many times as much, as in x1.25 (x{TIMES_MAX} at most), or how many more, as in +500")
        })
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Times(times) => write!(f, "x{times}"),
            Step::Plus(more) => write!(f, "+{more}"),
        }
    }
}

// Neither of its numbers is ever NaN: reading refuses it.
impl Eq for Step {}

/// What a ladder is climbed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LadderTerms {
    /// Requests a second of the first step.
    pub start: u64,
    pub step: Step,
    /// No step is higher.
    pub max: u64,
    pub pass: Pass,
}

/// What a step has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pass {
    /// The least part of all requests that fell due that were verified.
    #[serde(alias = "right")]
    pub verified: f64,
    /// The longest latency at the 99th percentile, from the intended instant, in microseconds.
    pub p99_us: u64,
}

// As of a step: its part lies between 0 and 1.
impl Eq for Pass {}

/// What was measured in one hold, without its settling second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Requests that fell due, and those of them that were verified.
    pub due: u64,
    pub verified: u64,
    /// `None` where nothing was answered.
    pub p99_us: Option<u64>,
    /// Our own side kept to its plan.
    pub valid: bool,
}

/// Why a rate is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// One step higher.
    Climb,
    /// Lower, as nothing has passed yet.
    Descend,
    /// Between what passed and what failed.
    Halve,
    /// After a failure: it is not judged.
    Rest,
    /// What was found, once more.
    Confirm,
    /// What broke, once more.
    Retry,
}

/// A rate to be held now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Requests a second.
    pub rate: u64,
    pub trial: Trial,
}

impl Hold {
    /// What is sent. Who rests gets half of what it holds: at the whole of it a server that is nearly full would not get rid of
    /// what waits.
    pub fn sent(self) -> u64 {
        if self.trial == Trial::Rest { (self.rate / 2).max(1) } else { self.rate }
    }
}

impl Measured {
    /// The same, of which so many more count for nobody. Too many of these judge nothing; what else our own side did makes a server
    /// look slower, so that a step may pass in spite of it.
    pub fn beside(self, own_fault: u64, pass: &Pass) -> Measured {
        let is_whole = own_fault.saturating_mul(100) <= self.due.saturating_add(own_fault);
        let has_passed = pass.judge(Measured { valid: true, ..self }) == HoldVerdict::Passed;
        Measured { valid: is_whole && (self.valid || has_passed), ..self }
    }
}

/// What came of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldVerdict {
    Passed,
    /// Too few were verified.
    #[serde(alias = "failed_by_right")]
    FailedByVerified,
    /// Too slow at the 99th percentile.
    FailedByP99,
    /// Our own side was not valid: the same again.
    NotValid,
    Rested,
}

/// Why a ladder ended without a break, or before what lies below one was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unbroken {
    /// The highest step passed.
    Max,
    /// Our own side could not keep to its plan.
    Generator,
    /// All connections of a contestant, at the lowest latency that it has shown, carry no more.
    Connections,
    /// The phase was over.
    Time,
}

impl Unbroken {
    /// As a mark on a page.
    pub fn mark(self) -> &'static str {
        match self {
            Unbroken::Max => "unbroken",
            Unbroken::Generator => "fleet limit",
            Unbroken::Connections => "connection limit",
            Unbroken::Time => "time limit",
        }
    }

    /// As the end of a sentence.
    pub fn reason(self) -> &'static str {
        match self {
            Unbroken::Max => "no step is higher",
            Unbroken::Generator => "the generators gave no more",
            Unbroken::Connections => "its connections carried no more",
            Unbroken::Time => "the time was over",
        }
    }
}

/// Requests a second that connections carry whose answers take so long, one in flight on each.
pub fn carried_rate(connections: u32, latency_us: u64) -> u64 {
    u64::from(connections) * 1_000_000 / latency_us.max(1)
}

/// What a ladder has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The highest rate that was held, and held again where there was time for that; 0: none.
    pub holds: u64,
    /// The lowest rate that failed, and by what.
    pub broke: Option<(u64, HoldVerdict)>,
    pub unbroken: Option<Unbroken>,
}

impl Found {
    /// The same of one that had so many connections at the most: a break above what these carry, at the lowest latency that it has
    /// shown, is theirs, which is said once it `is_over`: until then it may show a lower one.
    pub fn over(self, connections: u32, lowest_us: Option<u64>, is_over: bool) -> Found {
        match (self.broke, lowest_us) {
            (Some((rate, _)), Some(us)) if rate > carried_rate(connections, us) => {
                Found { broke: None, unbroken: is_over.then_some(Unbroken::Connections), ..self }
            }
            _ => self,
        }
    }
}

/// One climb.
#[derive(Clone, Debug)]
pub struct Ladder {
    terms: LadderTerms,
    /// Rates that passed, rising.
    passed: Vec<u64>,
    /// The lowest that failed, until it passes after all.
    broke: Option<(u64, HoldVerdict)>,
    /// All that failed above what has passed, falling.
    failed: Vec<(u64, HoldVerdict)>,
    /// How often the gap may still be halved.
    halvings_left: u32,
    retries_left: u32,
    not_valid: u32,
    /// The hold that our own side could not judge, where that ended it.
    unjudged: Option<Hold>,
    /// What is held now; `None` once it is over.
    now: Option<Hold>,
    unbroken: Option<Unbroken>,
}

impl Ladder {
    /// # Errors
    /// A sentence for terms that contradict each other.
    pub fn new(terms: LadderTerms) -> Result<Ladder, String> {
        let LadderTerms { start, max, pass, .. } = terms;
        if start == 0 {
            return Err("a ladder starts at 1 request a second at the least: write a higher start".to_owned());
        }
        if start > max {
            return Err(format!(
                "the ladder starts at {start}/s and may not go above {max}/s: lower the start or raise the most"
            ));
        }
        if !(pass.verified > 0.0 && pass.verified <= 1.0) {
            return Err("the part of verified answers that a step needs lies between 0 and 1".to_owned());
        }
        if pass.p99_us == 0 {
            return Err("no server answers within 0 s: write a longer p99".to_owned());
        }
        let now = Some(Hold { rate: start, trial: Trial::Climb });
        Ok(Ladder {
            terms,
            passed: Vec::new(),
            broke: None,
            failed: Vec::new(),
            halvings_left: 0,
            retries_left: RETRIES_MAX,
            not_valid: 0,
            unjudged: None,
            now,
            unbroken: None,
        })
    }

    /// What a step has to reach.
    pub fn pass(&self) -> &Pass {
        &self.terms.pass
    }

    /// What is to be held now; `None`: it is over.
    pub fn now(&self) -> Option<Hold> {
        self.now
    }

    /// What it has found so far; final once it is over. While it climbs on from what passed after all, it has broken at what
    /// failed above that.
    pub fn found(&self) -> Found {
        let broke = self.broke.or_else(|| self.failed.last().copied());
        Found { holds: self.held(), broke, unbroken: self.unbroken }
    }

    /// Whether what lies between what passed and what failed is still to be tried.
    pub fn is_searched(&self) -> bool {
        self.now.is_some_and(|hold| match hold.trial {
            Trial::Descend | Trial::Halve => true,
            Trial::Rest => self.between().is_some_and(|next| next.trial == Trial::Halve),
            Trial::Climb | Trial::Confirm | Trial::Retry => false,
        })
    }

    /// Takes what was measured while the rate was held, and goes on.
    pub fn take(&mut self, measured: Measured) -> HoldVerdict {
        let Some(Hold { rate, trial }) = self.now else { return HoldVerdict::Rested };
        if trial == Trial::Rest {
            self.now = self.between();
            return HoldVerdict::Rested;
        }
        let verdict = self.terms.pass.judge(measured);
        self.not_valid = if verdict == HoldVerdict::NotValid { self.not_valid + 1 } else { 0 };
        self.now = match verdict {
            HoldVerdict::NotValid if self.not_valid == NOT_VALID_MAX => {
                self.unjudged = self.now;
                self.end_unbroken();
                None
            }
            HoldVerdict::NotValid => self.now,
            HoldVerdict::Passed => self.after_pass(rate, trial),
            _ => self.after_failure(rate, trial, verdict),
        };
        verdict
    }

    /// Our own side is the limit: it ends here, with what it has found. Whom something broke before stays broken, unless what lies
    /// between was still to be tried: where in there its limit is, nobody knows.
    pub fn end_unbroken(&mut self) {
        let is_cut = self.is_searched();
        self.unbroken = (self.broke.is_none() || is_cut).then_some(Unbroken::Generator);
        self.now = None;
    }

    /// The highest rate up to this one that has passed; 0: none.
    pub fn passed_within(&self, most: u64) -> u64 {
        self.passed.iter().copied().filter(|rate| *rate <= most).max().unwrap_or(0)
    }

    /// What ended it: the hold that our own side could not judge, or what broke it, to be tried once more. `None`: nothing did, or it
    /// is not over.
    pub fn ended_by(&self) -> Option<Hold> {
        match self.unbroken {
            _ if self.now.is_some() => None,
            None => self.broke.map(|(rate, _)| Hold { rate, trial: Trial::Retry }),
            Some(Unbroken::Generator) => self.unjudged,
            Some(Unbroken::Max | Unbroken::Connections | Unbroken::Time) => None,
        }
    }

    /// Tries once more what ended it, for whoever has something else to try there.
    pub fn try_again(&mut self) {
        if let Some(hold) = self.ended_by() {
            (self.now, self.unbroken, self.unjudged, self.not_valid) = (Some(hold), None, None, 0);
        }
    }

    /// A rate that was found does not hold any more, and so much of it was shown. It was over.
    pub fn slip(&mut self, rate: u64, verdict: HoldVerdict, shown: u64) {
        (self.broke, self.unbroken) = (Some((rate, verdict)), None);
        self.passed.retain(|passed| *passed < shown);
        if shown > 0 {
            self.passed.push(shown);
        }
    }

    /// What it has slipped to is held. It was over.
    pub fn hold(&mut self, rate: u64) {
        self.passed.retain(|passed| *passed < rate);
        self.passed.push(rate);
    }

    fn held(&self) -> u64 {
        self.passed.last().copied().unwrap_or(0)
    }

    fn after_pass(&mut self, rate: u64, trial: Trial) -> Option<Hold> {
        if trial == Trial::Confirm {
            return self.retry();
        }
        self.passed.push(rate);
        self.failed.retain(|(failed, _)| *failed > rate);
        if trial == Trial::Retry {
            self.broke = None;
        }
        if self.broke.is_some() {
            match trial {
                Trial::Halve => self.halvings_left -= 1,
                Trial::Descend => self.halvings_left = self.halvings(),
                Trial::Climb | Trial::Rest | Trial::Confirm | Trial::Retry => {}
            }
            return self.between();
        }
        if rate == self.terms.max {
            self.unbroken = Some(Unbroken::Max);
            return None;
        }
        Some(Hold { rate: self.terms.step.after(rate).min(self.terms.max), trial: Trial::Climb })
    }

    fn after_failure(&mut self, rate: u64, trial: Trial, verdict: HoldVerdict) -> Option<Hold> {
        self.broke = Some((rate, verdict));
        self.failed.retain(|(failed, _)| *failed > rate);
        self.failed.push((rate, verdict));
        match trial {
            // It passed by luck, so that the gap begins below it, and may be as wide as a step again.
            Trial::Confirm => {
                self.passed.pop();
                self.halvings_left = self.halvings();
            }
            Trial::Halve => self.halvings_left -= 1,
            // It failed twice, and that is believed.
            Trial::Retry => return None,
            Trial::Climb => self.halvings_left = self.halvings(),
            Trial::Descend | Trial::Rest => {}
        }
        match self.held() {
            0 if rate == 1 => None,
            0 => Some(Hold { rate: rate / 2, trial: Trial::Descend }),
            held => Some(Hold { rate: held, trial: Trial::Rest }),
        }
    }

    /// What broke, now that what was found was held again.
    fn retry(&mut self) -> Option<Hold> {
        self.retries_left = self.retries_left.checked_sub(1)?;
        self.broke.map(|(rate, _)| Hold { rate, trial: Trial::Retry })
    }

    /// How often the gap may be halved.
    fn halvings(&self) -> u32 {
        halvings(self.held(), self.broke.map_or(0, |(rate, _)| rate))
    }

    /// In the middle of the gap, or what was found once more where the gap is small enough.
    fn between(&self) -> Option<Hold> {
        let (held, broke) = (self.held(), self.broke.map_or(0, |(rate, _)| rate));
        let gap = broke.saturating_sub(held);
        if self.halvings_left > 0 && gap > 1 && gap.saturating_mul(1_000) > held.saturating_mul(GAP_PERMILLE) {
            return Some(Hold { rate: held + gap / 2, trial: Trial::Halve });
        }
        Some(Hold { rate: held, trial: Trial::Confirm })
    }
}

fn halvings(held: u64, broke: u64) -> u32 {
    let gap = broke.saturating_sub(held);
    let is_enough = |times: &u32| (gap >> times).saturating_mul(100) <= held.saturating_mul(LEFT_PERCENT);
    HALVINGS.into_iter().find(is_enough).unwrap_or(*HALVINGS.end())
}

impl LadderTerms {
    /// How many holds follow a break above this rate at most: a rest, halvings, each with a rest, what was found once more, and what
    /// broke once more.
    pub(crate) fn search_steps(&self, held: u64) -> u32 {
        search_steps(halvings(held, self.step.after(held)))
    }
}

const fn search_steps(halvings: u32) -> u32 {
    2 * halvings + 3
}

impl Pass {
    /// What is asked where nobody says it; as in the guide to contest files.
    pub const USUAL: Pass = Pass { verified: 0.995, p99_us: 250_000 };

    /// The same within a timeout: what takes longer is no answer, so that no p99 is longer.
    pub fn usual_within(timeout_us: u64) -> Pass {
        Pass { p99_us: Pass::USUAL.p99_us.min(timeout_us), ..Pass::USUAL }
    }

    /// Connections follow the rate: as many as it needs when answers take as long as they may, and `most` at the most.
    pub fn connections(&self, rate: u64, most: u32) -> u32 {
        let needed = u128::from(rate) * u128::from(self.p99_us) / 1_000_000;
        u64::try_from(needed).unwrap_or(u64::MAX).max(CONNECTIONS_MIN).min(u64::from(most)) as u32
    }

    /// Up to this rate so many connections are enough for every server that passes. Above it a slow one that is not at its
    /// limit yet may find all of them busy.
    pub fn carried(&self, connections: u32) -> u64 {
        carried_rate(connections, self.p99_us)
    }

    /// A hold by its figures.
    pub fn judge(&self, measured: Measured) -> HoldVerdict {
        let Measured { due, verified, p99_us, valid } = measured;
        if !valid || due == 0 {
            return HoldVerdict::NotValid;
        }
        if (verified as f64) < self.verified * due as f64 {
            return HoldVerdict::FailedByVerified;
        }
        if p99_us.is_none_or(|p99_us| p99_us > self.p99_us) {
            return HoldVerdict::FailedByP99;
        }
        HoldVerdict::Passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASS: Pass = Pass { verified: 0.995, p99_us: 50_000 };

    fn terms(start: u64, step: &str, max: u64) -> LadderTerms {
        LadderTerms { start, step: step.parse().expect("a step"), max, pass: PASS }
    }

    /// Climbs against a server; what it found, and every hold.
    fn climb(terms: LadderTerms, mut server: impl FnMut(Hold, usize) -> Measured) -> (Found, Vec<(Hold, HoldVerdict)>) {
        let mut ladder = Ladder::new(terms).expect("terms that fit");
        let mut holds = Vec::new();
        while let Some(hold) = ladder.now() {
            assert!(holds.len() < 200, "it ends: {holds:?}");
            let measured = server(hold, holds.len());
            holds.push((hold, ladder.take(measured)));
        }
        (ladder.found(), holds)
    }

    /// A queue in front of a server that takes so many a second.
    fn queue(capacity: u64, rate: u64) -> Measured {
        let load = rate as f64 / capacity as f64;
        let p99_us = if load < 1.0 { 1_000.0 + 400.0 * load / (1.0 - load) } else { 3_000_000.0 };
        let verified = if load <= 1.0 { rate } else { capacity };
        Measured { due: rate, verified, p99_us: Some(p99_us as u64), valid: true }
    }

    #[test]
    fn a_break_above_what_connections_carry_is_theirs() {
        let broke = |rate| Found { holds: 1_600, broke: Some((rate, HoldVerdict::FailedByP99)), unbroken: None };
        // 2,000 of them carry 1,666/s where answers take 1.2 s.
        let over = |rate, us| broke(rate).over(2_000, us, true);
        assert_eq!(over(1_666, Some(1_200_000)), broke(1_666));
        let theirs = Found { holds: 1_600, broke: None, unbroken: Some(Unbroken::Connections) };
        assert_eq!(over(1_667, Some(1_200_000)), theirs);
        assert_eq!(over(2_000, None), broke(2_000), "nothing passed");
        let found = broke(1_667).over(2_000, Some(1_200_000), false);
        assert_eq!(found, Found { unbroken: None, ..theirs }, "it may show a lower one");
    }

    #[test]
    fn the_drawing_is_what_happens() {
        let (found, holds) = climb(terms(1_000, "x1.25", 100_000), |hold, _| queue(2_100, hold.rate));
        let told: Vec<(u64, Trial)> = holds.iter().map(|(hold, _)| (hold.rate, hold.trial)).collect();
        assert_eq!(
            told,
            [
                (1_000, Trial::Climb),
                (1_250, Trial::Climb),
                (1_562, Trial::Climb),
                (1_952, Trial::Climb),
                (2_440, Trial::Climb),
                (1_952, Trial::Rest),
                (2_196, Trial::Halve),
                (1_952, Trial::Rest),
                (2_074, Trial::Halve),
                (2_135, Trial::Halve),
                (2_074, Trial::Rest),
                (2_074, Trial::Confirm),
                (2_135, Trial::Retry),
            ]
        );
        assert_eq!(found, Found { holds: 2_074, broke: Some((2_135, HoldVerdict::FailedByVerified)), unbroken: None });
    }

    #[test]
    fn an_unlimited_server_ends_at_the_most_and_a_weak_generator_is_never_its_fault() {
        let (found, _) = climb(terms(1_000, "+5000", 20_000), |hold, _| queue(u64::MAX, hold.rate));
        assert_eq!(found, Found { holds: 20_000, broke: None, unbroken: Some(Unbroken::Max) });
        let (found, holds) = climb(terms(1_000, "x2", 1_000_000), |hold, _| Measured {
            valid: hold.rate <= 8_000,
            ..queue(u64::MAX, hold.rate)
        });
        assert_eq!(found, Found { holds: 8_000, broke: None, unbroken: Some(Unbroken::Generator) });
        assert_eq!(holds.iter().filter(|(_, verdict)| *verdict == HoldVerdict::NotValid).count(), 3);
    }

    #[test]
    fn a_hold_that_was_not_valid_is_held_again_and_costs_nothing() {
        let (clean, _) = climb(terms(1_000, "x1.25", 100_000), |hold, _| queue(7_000, hold.rate));
        let (found, _) = climb(terms(1_000, "x1.25", 100_000), |hold, nth| Measured {
            valid: nth % 3 != 1,
            ..queue(7_000, hold.rate)
        });
        assert_eq!(found, clean);
    }

    #[test]
    fn what_is_good_only_once_slips() {
        // At 2,440 it shines for one hold and never again.
        let mut shone = false;
        let (found, _) = climb(terms(1_000, "x1.25", 100_000), |hold, _| match hold.rate {
            2_300.. if !shone => {
                shone = true;
                queue(u64::MAX, hold.rate)
            }
            rate => queue(2_000, rate),
        });
        // Between 1,952, which it holds, and what it shone at nothing else was tried until then.
        assert!((1_952..=2_000).contains(&found.holds), "{found:?}");
    }

    #[test]
    fn what_passed_by_luck_is_searched_below_as_closely_as_a_step() {
        // It saves up for a burst, by which it holds a little more than its capacity, once.
        let mut lucky = true;
        let (found, holds) = climb(terms(190, "x1.25", 20_000), |hold, _| match hold.rate {
            260..=270 if std::mem::take(&mut lucky) => queue(u64::MAX, hold.rate),
            rate => queue(260, rate),
        });
        assert!(
            holds.iter().any(|(hold, verdict)| (hold.trial, *verdict) == (Trial::Confirm, HoldVerdict::FailedByP99)
                || hold.trial == Trial::Confirm && *verdict == HoldVerdict::FailedByVerified),
            "{holds:?}"
        );
        assert!((247..=260).contains(&found.holds), "{found:?}: {holds:?}");
    }

    #[test]
    fn one_failure_is_no_lid_and_what_broke_is_tried_a_few_times_at_most() {
        // Of a server that holds 50,000 one hold at 1,952 is spoilt; then three, each far above the one before.
        for spoilt in [&[4][..], &[4, 20, 36]] {
            let (found, holds) = climb(terms(1_000, "x1.25", 1_000_000), |hold, nth| {
                queue(if spoilt.contains(&nth) { 1 } else { 50_000 }, hold.rate)
            });
            assert!((47_500..=50_000).contains(&found.holds), "{found:?}: {holds:?}");
        }
        // One that fails each rate when it is new, and holds it ever after, is not climbed for ever.
        let mut seen = std::collections::BTreeSet::new();
        let (found, holds) = climb(terms(1_000, "x1.25", 1_000_000), |hold, _| {
            queue(if seen.insert(hold.rate) { 1 } else { 50_000 }, hold.rate)
        });
        let retries = holds.iter().filter(|(hold, _)| hold.trial == Trial::Retry).count();
        assert!(retries <= RETRIES_MAX as usize, "{found:?}: {holds:?}");
    }

    #[test]
    fn who_climbs_on_from_what_passed_after_all_has_broken_at_what_failed_above_it() {
        // It holds 2,160, and one hold at 2,135 is spoilt.
        let mut ladder = Ladder::new(terms(1_000, "x1.25", 100_000)).expect("terms that fit");
        let mut spoilt = true;
        while let Some(hold) = ladder.now().filter(|hold| hold.rate < 2_500) {
            let capacity = if hold.rate == 2_135 && std::mem::take(&mut spoilt) { 1 } else { 2_160 };
            ladder.take(queue(capacity, hold.rate));
        }
        let climbs_on = Hold { rate: 2_668, trial: Trial::Climb };
        assert_eq!((ladder.now(), ladder.found().holds), (Some(climbs_on), 2_135));
        assert_eq!(ladder.found().broke.map(|(at, _)| at), Some(2_196));
    }

    #[test]
    fn a_step_passes_in_spite_of_our_lateness_and_not_in_spite_of_what_is_void() {
        let of = |p99_us, own_fault| {
            let measured =
                Measured { due: 1_000 - own_fault, verified: 1_000 - own_fault, p99_us: Some(p99_us), valid: false };
            PASS.judge(measured.beside(own_fault, &PASS))
        };
        assert_eq!(
            [of(1_000, 0), of(90_000, 0), of(1_000, 20)],
            [HoldVerdict::Passed, HoldVerdict::NotValid, HoldVerdict::NotValid]
        );
    }

    #[test]
    fn what_our_own_side_cuts_off_is_not_broken_and_what_was_found_stays_so() {
        // It is our fault from this hold on.
        let cut_from = |start: u64, capacity: u64, from: fn(Hold, usize) -> bool| {
            let (found, _) = climb(terms(start, "x1.25", 100_000), |hold, nth| Measured {
                valid: !from(hold, nth),
                ..queue(capacity, hold.rate)
            });
            (found.holds, found.broke.map(|(at, _)| at), found.unbroken)
        };
        // Between 1,250, which it holds, and 1,562 nothing was tried.
        assert_eq!(cut_from(1_000, 1_300, |_, nth| nth > 3), (1_250, Some(1_562), Some(Unbroken::Generator)));
        // It fails at 500, and of what lies below that nothing is known.
        assert_eq!(cut_from(500, 300, |_, nth| nth > 0), (0, Some(500), Some(Unbroken::Generator)));
        // It passes below the start, and what lies between is not tried.
        assert_eq!(cut_from(500, 300, |_, nth| nth > 1), (250, Some(500), Some(Unbroken::Generator)));
        // All between was tried: what is held once more, and what broke, changes nothing of that.
        let is_again = |hold: Hold, _: usize| matches!(hold.trial, Trial::Confirm | Trial::Retry);
        assert_eq!(cut_from(1_000, 2_100, is_again), (2_074, Some(2_135), None));
    }

    #[test]
    fn a_server_that_holds_less_than_the_start_is_found_below_it() {
        let (found, _) = climb(terms(1_000, "x1.25", 100_000), |hold, _| queue(90, hold.rate));
        assert!((80..=90).contains(&found.holds), "{found:?}");
        let (found, _) = climb(terms(1_000, "x1.25", 100_000), |hold, _| queue(0, hold.rate));
        assert_eq!((found.holds, found.unbroken), (0, None));
    }

    #[test]
    fn whose_only_step_does_not_hold_is_found_below_it() {
        // It holds 500 once by luck, and 490 always.
        let mut passed = false;
        let (found, _) = climb(terms(500, "x1.25", 100_000), |hold, _| {
            let is_lucky = hold.rate == 500 && !std::mem::replace(&mut passed, true);
            queue(if is_lucky { u64::MAX } else { 490 }, hold.rate)
        });
        assert!((460..=490).contains(&found.holds), "{found:?}");
    }

    #[test]
    fn who_fails_the_first_step_is_found_as_closely_as_others() {
        let (found, _) = climb(terms(718, "x1.05", 100_000), |hold, _| queue(451, hold.rate));
        assert!((430..=451).contains(&found.holds), "{found:?}");
    }

    #[test]
    fn a_wide_step_is_searched_as_closely_as_a_narrow_one() {
        for (start, step, capacity) in
            [(500, "+500", 560), (1_000, "x2", 1_950), (1_000, "x10", 2_100), (16, "+5000", 3_000)]
        {
            let (found, holds) = climb(terms(start, step, 1_000_000), |hold, _| queue(capacity, hold.rate));
            assert!(found.holds <= capacity && found.holds * 100 >= capacity * 93, "{step}: {found:?}: {holds:?}");
        }
    }

    #[test]
    fn contradictions_are_told() {
        for (text, part) in [
            ("x1", "x1.25"),
            ("x0.5", "x1.25"),
            ("x11", "at most"),
            ("+0", "+500"),
            ("500", "no step"),
            ("xNaN", "no step"),
        ] {
            let error = text.parse::<Step>().expect_err(text);
            assert!(error.contains(part), "{error}");
        }
        assert_eq!("x1.25".parse::<Step>().expect("a step").to_string(), "x1.25");
        assert!(Ladder::new(terms(0, "x2", 10)).is_err() && Ladder::new(terms(11, "x2", 10)).is_err());
        assert!(Ladder::new(LadderTerms { pass: Pass { verified: 0.0, ..PASS }, ..terms(1, "x2", 10) }).is_err());
        assert!(Ladder::new(LadderTerms { pass: Pass { p99_us: 0, ..PASS }, ..terms(1, "x2", 10) }).is_err());
    }

    /// A step is a part of the rate, up to five times as much, or so many more.
    fn capacities_and_steps() -> impl Strategy<Value = (u64, Step)> {
        let times = (200u64..200_000, 105u64..500)
            .prop_map(|(capacity, hundredths)| (capacity, Step::Times(hundredths as f64 / 100.0)));
        let plus = (200u64..200_000, 1u64..100).prop_map(|(capacity, steps)| (capacity, Step::Plus(capacity / steps)));
        prop_oneof![times, plus]
    }

    proptest! {
        #[test]
        fn a_capacity_is_found_within_a_few_percent(
            (capacity, step) in capacities_and_steps(), start in 1u64..5_000,
        ) {
            let (found, _) = climb(LadderTerms { step, ..terms(start, "x2", 10_000_000) }, |hold, _| queue(capacity, hold.rate));
            // What it can hold at this latency is a little less than what it takes.
            let (least, left) = (capacity as f64 * 0.97, 1.0 - LEFT_PERCENT as f64 / 100.0);
            let least = least * left;
            prop_assert!(found.holds as f64 >= least.floor() - 1.0 && found.holds <= capacity, "{capacity}: {found:?}");
        }

        #[test]
        fn it_ends_and_never_holds_what_failed_last(answers in proptest::collection::vec((any::<bool>(), any::<bool>()), 200)) {
            let (found, holds) = climb(terms(100, "x1.5", 1_000_000), |hold, nth| {
                let (good, valid) = answers[nth];
                Measured { valid, ..queue(if good { u64::MAX } else { 1 }, hold.rate) }
            });
            if found.unbroken.is_none() && found.holds > 0 {
                let judges = |verdict| !matches!(verdict, HoldVerdict::Rested | HoldVerdict::NotValid);
                let last = holds.iter().rev().find(|(hold, verdict)| hold.rate == found.holds && judges(*verdict));
                prop_assert_eq!(last.map(|(_, verdict)| *verdict), Some(HoldVerdict::Passed));
            }
        }
    }
}
