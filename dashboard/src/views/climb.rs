//! A contestant's climb in a breakpoint phase, as its own page tells it: how it fares, and of each step whether it passed or why
//! it failed, with the figures. Pure.

use flowtest_contest::climbed::{Climbed, JudgedStep};
use flowtest_contest::ladder::{HoldVerdict, Pass};
use flowtest_contract::text::{micros, percent_of_one};
use serde::Serialize;

/// Steps that are told at most: a page is read by people.
const STEPS_MAX: usize = 60;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClimbCard {
    /// What it holds, what became of the last step, and what comes next.
    pub message: String,
    /// Requests a second; 0: none.
    pub holds: u64,
    /// What a step has to reach.
    pub terms: String,
    /// Newest first.
    pub steps: Vec<StepLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepLine {
    /// From 1, over all breakpoint phases of the round.
    pub step: u32,
    /// Requests a second.
    pub tried: u64,
    pub tone: StepTone,
    /// In a word or two.
    pub word: &'static str,
    /// Verified ones of those that count, such as `99.20 %`.
    pub verified: String,
    /// From the intended instant.
    pub p99_us: Option<u64>,
    /// The same as a sentence, with what was asked.
    pub message: String,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepTone {
    Good,
    Bad,
    /// It judges nobody.
    None,
}

impl StepTone {
    pub fn as_str(self) -> &'static str {
        match self {
            StepTone::Good => "good",
            StepTone::Bad => "bad",
            StepTone::None => "none",
        }
    }
}

impl ClimbCard {
    pub fn of(climbed: &Climbed, message: String, pass: &Pass) -> ClimbCard {
        let terms = format!(
            "A step passes with {} of the answers verified, at a p99 of {} at the most.",
            percent_of_one(pass.verified),
            micros(pass.p99_us)
        );
        let steps = climbed.steps.iter().rev().take(STEPS_MAX).filter_map(|step| line(step, pass));
        ClimbCard { message, holds: climbed.holds, terms, steps: steps.collect() }
    }

    /// Whether the newest failure is one of answers: what was wrong with them stands among the errors.
    pub fn has_wrong_answers(&self) -> bool {
        self.steps.iter().find(|step| step.tone == StepTone::Bad).is_some_and(|step| step.word == TOO_FEW)
    }
}

const TOO_FEW: &str = "too few verified";

fn line(judged: &JudgedStep, pass: &Pass) -> Option<StepLine> {
    let (tone, word) = match judged.verdict? {
        HoldVerdict::Passed => (StepTone::Good, "passed"),
        HoldVerdict::FailedByVerified => (StepTone::Bad, TOO_FEW),
        HoldVerdict::FailedByP99 => (StepTone::Bad, "too slow"),
        HoldVerdict::NotValid => (StepTone::None, "our side, again"),
        HoldVerdict::Rested => (StepTone::None, "a rest"),
    };
    Some(StepLine {
        step: judged.step + 1,
        tried: judged.tried,
        tone,
        word,
        verified: super::format::percent(judged.sums.verified, judged.counted()),
        p99_us: judged.sums.p99_us,
        message: judged.message(pass),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::breakpoint::HoldSums;

    #[test]
    fn each_step_says_whether_it_passed_or_why_not() {
        let step = |step, tried, verdict, verified, p99_us| JudgedStep {
            step,
            tried,
            verdict,
            sums: HoldSums { due: 1_000, verified, p99_us: Some(p99_us), ..HoldSums::default() },
        };
        let steps = vec![
            step(0, 500, Some(HoldVerdict::Passed), 1_000, 900),
            step(1, 625, Some(HoldVerdict::FailedByP99), 1_000, 311_000),
            step(2, 250, None, 0, 0),
            step(3, 562, Some(HoldVerdict::FailedByVerified), 640, 900),
        ];
        let climbed = Climbed { holds: 500, steps, ..Climbed::default() };
        let card = ClimbCard::of(&climbed, "said".to_owned(), &Pass { verified: 0.995, p99_us: 250_000 });
        let lines: Vec<_> = card.steps.iter().map(|line| (line.step, line.tried, line.tone, line.word)).collect();
        assert_eq!(
            lines,
            [
                (4, 562, StepTone::Bad, "too few verified"),
                (2, 625, StepTone::Bad, "too slow"),
                (1, 500, StepTone::Good, "passed")
            ]
        );
        assert_eq!(card.steps[0].verified, "64.00 %");
        assert!(card.steps[0].message.contains("64.00 %") && card.steps[0].message.contains("99.5 % must be"));
        assert!(card.terms.contains("with 99.5 % of the answers verified, at a p99 of 250 ms"), "{}", card.terms);
        let sums = HoldSums { due: 100_000, verified: 99_499, ..HoldSums::default() };
        let few = JudgedStep { step: 0, tried: 20_000, verdict: Some(HoldVerdict::FailedByVerified), sums };
        let few = line(&few, &Pass { verified: 0.995, p99_us: 250_000 }).expect("it was judged");
        assert_eq!(few.verified, "99.49 %", "it failed, and 99.5 % must be");
        assert!(card.has_wrong_answers());
    }
}
