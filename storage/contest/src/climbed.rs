//! What a contestant's climb came to: the rate that it holds, and every step that was judged. Results keep it, so that it can be
//! read when Redis has forgotten the decisions. Pure.

use crate::breakpoint::{Climber, Decision, HoldSums};
use crate::ladder::{HoldVerdict, LadderTerms, Pass, Unbroken};
use flowtest_contract::text::{grouped, micros, percent, percent_of_one};
use serde::{Deserialize, Serialize};

/// Of one contestant in one round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Climbed {
    /// Requests a second; 0: none. With the latency at which it does, in µs, and since which step.
    pub holds: u64,
    pub holds_p99_us: Option<u64>,
    pub holds_since: Option<u32>,
    /// The lowest rate that failed, and by what.
    pub breaks_at: Option<u64>,
    pub breaks_by: Option<HoldVerdict>,
    /// Beside a break: what lies between that and what it holds was not tried.
    pub unbroken: Option<Unbroken>,
    /// Its limit was still looked for when nothing was judged any more: it lies between what it holds and what broke it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// What its steps had to reach, where whoever made it said so: the plan of today may be another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<Pass>,
    /// In the order of time. One of which nobody decided is not among them.
    pub steps: Vec<JudgedStep>,
}

/// One step that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedStep {
    pub step: u32,
    /// Requests a second.
    pub tried: u64,
    /// None: nothing of it is known.
    pub verdict: Option<HoldVerdict>,
    #[serde(flatten)]
    pub sums: HoldSums,
}

impl Climbed {
    /// By the decisions of a round, in their order. `None`: it is in none of them.
    pub fn of<'a>(contestant: &str, decisions: impl IntoIterator<Item = &'a Decision>) -> Option<Climbed> {
        let mut climbed: Option<Climbed> = None;
        for decision in decisions {
            let Some(climber) = decision.climbers.iter().find(|climber| climber.contestant == contestant) else {
                continue;
            };
            let mut steps = climbed.map(|climbed| climbed.steps).unwrap_or_default();
            let (tried, verdict, sums) = (climber.tried, climber.verdict, climber.sums);
            steps.push(JudgedStep { step: decision.judged, tried, verdict, sums });
            climbed = Some(Climbed {
                holds: climber.holds,
                holds_p99_us: climber.holds_p99_us,
                holds_since: climber.holds_since,
                breaks_at: climber.breaks_at,
                breaks_by: climber.breaks_by,
                unbroken: climber.unbroken,
                cut: climber.breaks_at.is_some() && climber.is_searched,
                pass: None,
                steps,
            });
        }
        climbed
    }

    /// What came of it, when nothing of it goes on.
    pub fn message(&self) -> String {
        let holds = match self.holds {
            0 => "It held no step".to_owned(),
            holds => format!("It held {} requests a second{}", grouped(holds), at_a_p99(self.holds_p99_us)),
        };
        let by = if self.breaks_by == Some(HoldVerdict::FailedByP99) { "its p99" } else { "its answers" };
        let end = match (self.unbroken, self.breaks_at.map(grouped)) {
            (Some(unbroken), Some(at)) => {
                format!(
                    ", and failed at {at}/s by {by}; what lies {} was not tried: {}.",
                    untried(self.holds),
                    unbroken.reason()
                )
            }
            (None, Some(at)) => format!(", and broke at {at}/s by {by}."),
            (unbroken, None) => {
                format!(", and nothing broke it: {}.", unbroken.unwrap_or(Unbroken::Time).reason())
            }
        };
        let cut = if self.cut { " The time was over before that was found more closely." } else { "" };
        holds + &end + cut
    }
}

impl JudgedStep {
    /// What became of it, with the figures that say why.
    pub fn message(&self, pass: &Pass) -> String {
        let tried = grouped(self.tried);
        let p99 = latency(self.sums.p99_us);
        match self.verdict {
            Some(HoldVerdict::Passed) => format!("{tried}/s passed, at a p99 of {p99}."),
            Some(HoldVerdict::FailedByVerified) => {
                let verified = percent(self.sums.verified, self.counted());
                let needed = percent_of_one(pass.verified);
                format!("{tried}/s failed: {verified} of the answers were verified, and {needed} must be.")
            }
            Some(HoldVerdict::FailedByP99) => {
                format!("{tried}/s failed: its p99 was {p99}, and it may be {}.", micros(pass.p99_us))
            }
            Some(HoldVerdict::NotValid) => format!("{tried}/s judged nobody: our own side was not valid."),
            Some(HoldVerdict::Rested) => "It rested for a step.".to_owned(),
            None => "Nothing is known of the last step, or nothing fell due in it.".to_owned(),
        }
    }

    /// Requests that count: what fell due, without what our own side is at fault for.
    pub fn counted(&self) -> u64 {
        self.sums.due.saturating_sub(self.sums.own_fault)
    }
}

impl Climber {
    /// How it fares, for whoever owns the server: what it holds, and what became of the last step, with the figures.
    pub fn message(&self, terms: &LadderTerms) -> String {
        let mut text = match self.holds {
            0 => "It holds no step yet.".to_owned(),
            holds => format!("It holds {} requests a second{}.", grouped(holds), at_a_p99(self.holds_p99_us)),
        };
        // The step's number is not in its message.
        let judged = JudgedStep { step: 0, tried: self.tried, verdict: self.verdict, sums: self.sums };
        text.push_str(match self.verdict {
            Some(HoldVerdict::Rested) | None => " ",
            Some(_) => " The step of ",
        });
        text.push_str(&judged.message(&terms.pass));
        match (self.trial, self.unbroken) {
            (_, Some(unbroken)) => text.push_str(&match self.breaks_at.map(grouped) {
                Some(at) => {
                    let untried = untried(self.holds);
                    format!(" It failed at {at}/s, and what lies {untried} was not tried: {}.", unbroken.reason())
                }
                None => format!(" Nothing broke it: {}.", unbroken.reason()),
            }),
            (None, None) if self.rate > self.holds => {
                let rate = grouped(self.rate);
                text.push_str(&format!(" It does not hold any more what it held, and is asked for {rate}/s."));
            }
            (Some(_), None) => text.push_str(&format!(" Now it is asked for {}/s.", grouped(self.rate))),
            (None, None) => text.push_str(" That is its limit, and it must hold it to the end."),
        }
        text
    }
}

/// Where the rates lie that were not tried, of a climb that failed and was ended by our side.
fn untried(holds: u64) -> &'static str {
    if holds == 0 { "below" } else { "between" }
}

/// Nothing where the rate is below what was held, since that slipped, and no latency is known of it yet.
fn at_a_p99(us: Option<u64>) -> String {
    us.map_or_else(String::new, |us| format!(" at a p99 of {}", micros(us)))
}

fn latency(us: Option<u64>) -> String {
    us.map_or_else(|| "no answer".to_owned(), micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breakpoint::{Breakpoint, Climbs};
    use crate::ladder::Step;
    use flowtest_contract::rules::UtcUs;

    fn breakpoint(start: u64, times: f64) -> Breakpoint {
        let pass = Pass { verified: 0.995, p99_us: 50_000 };
        let ladder = LadderTerms { start, step: Step::Times(times), max: 10_000, pass };
        Breakpoint { ladder, hold_us: 5_000_000, fleet_max: None }
    }

    #[test]
    fn who_failed_reads_why_with_the_figures() {
        let breakpoint = breakpoint(500, 2.0);
        let mut climbs = Climbs::new(breakpoint, 0);
        let mut decide = |step, sums| {
            let decision = climbs.decide(step, (UtcUs(1), UtcUs(2)), [("a".to_owned(), sums)]);
            decision.climbers[0].message(&breakpoint.ladder)
        };
        let sums = |due, verified, p99_us| HoldSums { due, verified, p99_us: Some(p99_us), ..HoldSums::default() };
        assert_eq!(
            decide(1, sums(2_000, 2_000, 1_300)),
            "It holds 500 requests a second at a p99 of 1.30 ms. The step of 500/s passed, at a p99 of 1.30 ms. Now it is asked for \
             1,000/s."
        );
        let failed = decide(2, sums(4_000, 4_000, 311_000));
        assert!(
            failed.contains("1,000/s failed: its p99 was 311 ms, and it may be 50.0 ms. Now it is asked for 250/s"),
            "{failed}"
        );
        assert!(decide(3, sums(1_000, 1_000, 1_000)).contains("It rested for a step"));
        let unknown = decide(4, HoldSums::default());
        assert!(unknown.contains(" Nothing is known of the last step, or nothing fell due in it. Now"), "{unknown}");
        let failed = decide(5, sums(3_000, 1_500, 1_000));
        assert!(failed.contains("750/s failed: 50.00 % of the answers were verified, and 99.5 % must be"), "{failed}");
    }

    #[test]
    fn who_failed_by_few_is_not_told_that_it_reached_what_it_had_to() {
        let told = |verified, of: f64| {
            let sums = HoldSums { due: 100_010, own_fault: 10, verified, ..HoldSums::default() };
            let verdict = Some(HoldVerdict::FailedByVerified);
            JudgedStep { step: 0, tried: 20_000, verdict, sums }.message(&Pass { verified: of, p99_us: 50_000 })
        };
        assert_eq!(told(99_499, 0.995), "20,000/s failed: 99.49 % of the answers were verified, and 99.5 % must be.");
        assert_eq!(told(99_996, 1.0), "20,000/s failed: 99.99 % of the answers were verified, and 100 % must be.");
    }

    #[test]
    fn whom_our_own_side_ends_is_not_told_that_it_is_held_again() {
        let breakpoint = breakpoint(500, 2.0);
        let mut climbs = Climbs::new(breakpoint, 0);
        let mut decide = |step, due, own_fault| {
            let sums =
                HoldSums { due, verified: due - own_fault, own_fault, p99_us: Some(1_000), ..HoldSums::default() };
            climbs.decide(step, (UtcUs(1), UtcUs(2)), [("a".to_owned(), sums)]).climbers.remove(0)
        };
        assert_eq!(decide(1, 2_000, 0).unbroken, None);
        let told: Vec<String> = (2..5).map(|step| decide(step, 4_000, 400).message(&breakpoint.ladder)).collect();
        assert!(
            told[0].contains("1,000/s judged nobody: our own side was not valid. Now it is asked for 1,000/s."),
            "{told:?}"
        );
        let end = "1,000/s judged nobody: our own side was not valid. Nothing broke it: the generators gave no more.";
        assert!(told[2].ends_with(end), "{told:?}");
    }

    #[test]
    fn what_was_decided_of_somebody_is_put_together() {
        let breakpoint = breakpoint(500, 2.0);
        let mut climbs = Climbs::new(breakpoint, 0);
        let mut decide = |step, due, p99_us| {
            let sums = HoldSums { due, verified: due, p99_us: Some(p99_us), ..HoldSums::default() };
            climbs.decide(step, (UtcUs(1), UtcUs(2)), [("a".to_owned(), sums)])
        };
        let decisions = [decide(1, 2_000, 1_300), decide(2, 4_000, 311_000)];
        let climbed = Climbed::of("a", &decisions).expect("it is in them");
        assert_eq!((climbed.holds, climbed.breaks_at, climbed.steps.len()), (500, Some(1_000), 2));
        let broke = climbed.steps[1];
        assert_eq!((broke.step, broke.tried, broke.sums.p99_us), (1, 1_000, Some(311_000)));
        assert_eq!(
            broke.message(&breakpoint.ladder.pass),
            "1,000/s failed: its p99 was 311 ms, and it may be 50.0 ms."
        );
        assert_eq!(
            climbed.message(),
            "It held 500 requests a second at a p99 of 1.30 ms, and broke at 1,000/s by its p99. The time was over before that was \
             found more closely."
        );
        assert!(climbed.cut, "it rests before the first halving");
        let slipped = Climbed { holds: 485, holds_p99_us: None, ..climbed.clone() };
        assert!(slipped.message().starts_with("It held 485 requests a second, and broke"), "{}", slipped.message());
        assert_eq!(Climbed::of("b", &decisions), None);
        let early = Climbed::of("a", &decisions[..1]).expect("it is in it");
        assert!(early.message().ends_with(", and nothing broke it: the time was over."), "{}", early.message());
        let cut = [&decisions[..], &[decide(3, 1_000, 1_000)]].concat();
        let cut = Climbed::of("a", &cut).expect("it is in them").message();
        assert!(cut.ends_with("The time was over before that was found more closely."), "{cut}");
        // Our own side ends it in there: it is not broken.
        let ended = Climbed { cut: false, unbroken: Some(Unbroken::Generator), ..climbed.clone() };
        let told = |ended: &Climbed| ended.message().split_once(", and ").map(|(_, end)| end.to_owned());
        assert_eq!(
            told(&ended).as_deref(),
            Some("failed at 1,000/s by its p99; what lies between was not tried: the generators gave no more.")
        );
        let nothing = Climbed { holds: 0, ..ended };
        assert!(nothing.message().contains("what lies below was not tried"), "{}", nothing.message());
        for pass in [None, Some(breakpoint.ladder.pass)] {
            let climbed = Climbed { pass, ..climbed.clone() };
            let text = serde_json::to_string(&climbed).expect("JSON");
            assert_eq!(text.contains("pass\":{"), pass.is_some(), "what was written before has none: {text}");
            assert_eq!(serde_json::from_str::<Climbed>(&text).expect("what was written"), climbed);
        }
    }
}
