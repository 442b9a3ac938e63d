//! How much of the round is valid, summed over the generators that play it, and whether pages say so. Pure.

use super::audience::Audience;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, RoundValidity, StreamId};
use flowtest_scoreboard::SeenGenerator;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A second that is not valid is told for so long: whoever looks up now has not missed it.
const TOLD_US: u64 = 10_000_000;

/// What each generator said last of one round. One that is gone keeps its figures until another round is followed.
#[derive(Clone, Debug, Default)]
pub struct HeardValidity {
    round: Option<RoundId>,
    /// By generator and stream: one that was started again counts from nothing.
    heard: BTreeMap<(String, Option<StreamId>), RoundValidity>,
    /// When a second was last found that is not valid.
    late_at: Option<UtcUs>,
}

impl HeardValidity {
    /// Takes what generators say of a round.
    pub fn look(&mut self, round: Option<RoundId>, generators: &[SeenGenerator], now: UtcUs) {
        if self.round != round {
            *self = HeardValidity { round, ..HeardValidity::default() };
        }
        let before = self.sum().unwrap_or_default().invalid_seconds();
        for health in generators.iter().filter_map(|seen| seen.health.as_ref()) {
            if round.is_some() && health.round == round {
                self.heard.insert((health.id.clone(), health.stream), health.validity);
            }
        }
        if self.sum().unwrap_or_default().invalid_seconds() > before {
            self.late_at = Some(now);
        }
    }

    /// Of all together. None: nobody has said anything.
    pub fn sum(&self) -> Option<RoundValidity> {
        self.heard.values().copied().reduce(|mut sum, one| {
            sum.add(one);
            sum
        })
    }

    /// The same, if it is of this round.
    pub fn of(&self, round: RoundId) -> Option<RoundValidity> {
        self.sum().filter(|_| self.round == Some(round))
    }

    /// As an audience is told it. `is_on`: the round is played; `house_failures`: what the house lost.
    pub fn now(
        &self,
        audience: &Audience,
        is_on: bool,
        house_failures: Option<u64>,
        now: UtcUs,
    ) -> Option<ValidityNow> {
        let figures = self.sum()?;
        let valid = figures.is_valid();
        let is_recent = self.late_at.is_some_and(|at| now.saturating_sub(at) < TOLD_US);
        let causes = || Causes { late_generators: self.late_generators(), house_failures };
        Some(ValidityNow {
            valid,
            figures,
            warn: is_on && (!valid || is_recent),
            causes: (*audience == Audience::Admin).then(causes),
        })
    }

    /// Those with seconds that are not valid, worst first; with exchanges that are void where no whole second is not valid.
    fn late_generators(&self) -> Vec<String> {
        let mut by_id: BTreeMap<&str, RoundValidity> = BTreeMap::new();
        for ((id, _), validity) in &self.heard {
            by_id.entry(id).or_default().add(*validity);
        }
        let late = |with: fn(&RoundValidity) -> u64| {
            let mut late: Vec<(u64, &str)> = by_id.iter().map(|(id, validity)| (with(validity), *id)).collect();
            late.retain(|(count, _)| *count > 0);
            late.sort_by_key(|(count, _)| Reverse(*count));
            late.into_iter().map(|(_, id)| id.to_owned()).collect::<Vec<_>>()
        };
        let by_seconds = late(RoundValidity::invalid_seconds);
        if by_seconds.is_empty() { late(|validity| validity.void) } else { by_seconds }
    }
}

/// How much of the round is valid, as frames, `/api/standings` and pages tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ValidityNow {
    /// Whether the round is, so far.
    pub valid: bool,
    #[serde(flatten)]
    pub figures: RoundValidity,
    /// Whether pages say so now: the round is played, and is not valid or had a second that is not a moment ago.
    pub warn: bool,
    /// For organisers alone.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub causes: Option<Causes>,
}

/// Whose fault it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Causes {
    /// Worst first.
    pub late_generators: Vec<String>,
    /// What the platform's own contestant lost; none without one.
    pub house_failures: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_testkit::documents::generator_health;
    use serde_json::json;

    const ROUND: RoundId = RoundId::from_bits(7);
    const SECOND: u64 = 1_000_000;

    fn validity(seconds: u64, valid_seconds: u64) -> RoundValidity {
        RoundValidity { seconds, valid_seconds, due: 1_000 * seconds, void: 10 * (seconds - valid_seconds) }
    }

    fn plays(id: &str, stream: u128, validity: RoundValidity) -> SeenGenerator {
        let mut health = generator_health(id, 1);
        (health.round, health.stream, health.validity) = (Some(ROUND), Some(StreamId::from_bits(stream)), validity);
        SeenGenerator { id: id.to_owned(), beat: 1, health: Some(health) }
    }

    #[test]
    fn generators_are_summed_and_one_that_is_gone_or_starts_again_keeps_its_figures() {
        let mut heard = HeardValidity::default();
        let mut idle = plays("g3", 3, validity(99, 0));
        idle.health.as_mut().expect("a health").round = Some(RoundId::from_bits(6));
        heard.look(Some(ROUND), &[plays("g1", 1, validity(10, 10)), plays("g2", 2, validity(10, 8)), idle], 0);
        assert_eq!(heard.sum(), Some(RoundValidity { seconds: 20, valid_seconds: 18, due: 20_000, void: 20 }));
        // One is silent, the other was killed and has a new stream.
        let silent = SeenGenerator { id: "g2".to_owned(), beat: 1, health: None };
        heard.look(Some(ROUND), &[plays("g1", 4, validity(3, 2)), silent], 0);
        assert_eq!(heard.of(ROUND), Some(RoundValidity { seconds: 23, valid_seconds: 20, due: 23_000, void: 30 }));
        assert_eq!(heard.of(RoundId::from_bits(8)), None);
        heard.look(Some(RoundId::from_bits(8)), &[plays("g1", 4, validity(3, 2))], 0);
        assert_eq!(heard.sum(), None, "another round begins at nothing");
    }

    #[test]
    fn pages_say_it_while_the_round_is_not_valid_and_for_a_moment_after_a_second() {
        let mut heard = HeardValidity::default();
        let warn = |heard: &HeardValidity, is_on, at| heard.now(&Audience::Public, is_on, None, at).map(|now| now.warn);
        assert_eq!(warn(&heard, true, 0), None);
        // One of many: the round stays valid.
        heard.look(Some(ROUND), &[plays("g1", 1, validity(200, 200))], 0);
        assert_eq!(warn(&heard, true, 0), Some(false));
        heard.look(Some(ROUND), &[plays("g1", 1, validity(201, 200))], SECOND);
        assert_eq!(warn(&heard, true, 2 * SECOND), Some(true));
        assert_eq!(warn(&heard, false, 2 * SECOND), Some(false), "not of a round that is over");
        assert_eq!(warn(&heard, true, 11 * SECOND), Some(false));
        heard.look(Some(ROUND), &[plays("g1", 1, validity(205, 200))], 12 * SECOND);
        assert_eq!(warn(&heard, true, 99 * SECOND), Some(true), "it is not valid any more");
    }

    #[test]
    fn only_organisers_are_told_whose_fault_it_is() {
        let mut heard = HeardValidity::default();
        heard.look(Some(ROUND), &[plays("g1", 1, validity(10, 9)), plays("g2", 2, validity(10, 5))], 0);
        let told = |audience| serde_json::to_value(heard.now(&audience, true, Some(4), 0)).expect("JSON");
        let public =
            json!({ "valid": false, "seconds": 20, "valid_seconds": 14, "due": 20_000, "void": 60, "warn": true });
        assert_eq!(told(Audience::Public), public);
        assert_eq!(told(Audience::Owner("u3".into())), public);
        let admin = told(Audience::Admin);
        assert_eq!(admin["late_generators"], json!(["g2", "g1"]));
        assert_eq!((&admin["house_failures"], &admin["warn"]), (&json!(4), &json!(true)));
    }
}
