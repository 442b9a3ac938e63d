//! Who may practise now: takes requests for practice from Redis, one at a time, and ends practice when a round comes.
//!
//! It never waits for a practice run. A request that finds this generator busy stays in Redis, whose list is bounded and
//! which other generators read too.

use super::home::Home;
use crate::admit::probe::not_now;
use crate::play::practice::{PRACTISE, Practice, PracticeConfig, refusal};
use flowtest_contest::{Control, Policy, State};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::practice::PracticeRequest;
use flowtest_scoreboard::{Scoreboard, ScoreboardError};

/// Requests refused by one look at most.
const REFUSED_MAX: usize = 16;
/// So long after its end a round is still being settled, in microseconds beyond its timeout.
const SETTLING_US: u64 = 5_000_000;

#[derive(Debug, Default)]
pub(super) struct PracticeScheduler {
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    practice: Practice,
    contestant: String,
    policy: Policy,
}

impl PracticeScheduler {
    /// Ends the practice that may not go on by this document.
    pub(super) fn apply(&mut self, control: &Control, playing: bool, now: UtcUs) {
        let Some(UnderWay { practice, contestant, policy }) = &self.under_way else { return };
        if let Some(message) = forbidden(control, playing, contestant, now) {
            practice.stop(&format!("it ended before its time, for {message}"));
        } else if control.contest.policy != *policy {
            practice.stop("it ended before its time, for the organiser changed which addresses may be flooded");
        }
        self.under_way.take_if(|under_way| under_way.practice.is_over());
    }

    /// Takes what may begin now, and refuses what may not.
    pub(super) fn look(
        &mut self,
        home: &Home,
        scoreboard: &mut Scoreboard,
        control: &Control,
        playing: bool,
        now: UtcUs,
    ) -> Result<(), ScoreboardError> {
        self.under_way.take_if(|under_way| under_way.practice.is_over());
        for _ in 0..REFUSED_MAX {
            if self.under_way.is_some() {
                break;
            }
            let Some(request) = scoreboard.take_practice(&home.contest, now)? else { break };
            let begun = match forbidden(control, playing, &request.contestant, now) {
                Some(message) => Err(message),
                None => begin(home, control, &request, now),
            };
            match begun {
                Ok(under_way) => self.under_way = Some(under_way),
                Err(message) => scoreboard.answer_practice(&home.contest, &refusal(&request, &home.id, message))?,
            }
        }
        Ok(())
    }
}

fn begin(home: &Home, control: &Control, request: &PracticeRequest, now: UtcUs) -> Result<UnderWay, String> {
    request.check()?;
    let contest = &control.contest;
    let config = PracticeConfig {
        contest: home.contest.clone(),
        generator: home.id.clone(),
        core: *home.cores.last().ok_or_else(|| not_now(PRACTISE, &"it has no core to practise on"))?,
        names: home.names.clone(),
        policy: home.policy(control).map_err(|error| not_now(PRACTISE, &error))?,
        trust: home.trust.clone(),
        rules: contest.rules,
        pass: contest.practice_pass(),
        deadlines: control.timeline.deadlines_at(contest, now),
        roster: control
            .precedence()
            .into_iter()
            .map(|place| &contest.contestants[place])
            .map(|one| {
                let since = control.since.get(&one.name).copied().unwrap_or(UtcUs::EPOCH);
                (one.name.clone(), one.endpoint.clone(), since)
            })
            .collect(),
        redis: home.redis.clone(),
    };
    let scoreboard = home.scoreboard().map_err(|error| not_now(PRACTISE, &error))?;
    let practice = Practice::start(scoreboard, config, request.clone()).map_err(|error| not_now(PRACTISE, &error))?;
    Ok(UnderWay { practice, contestant: request.contestant.clone(), policy: contest.policy.clone() })
}

/// Why a contestant may not practise now. `playing`: this generator is in a round.
fn forbidden(control: &Control, playing: bool, contestant: &str, now: UtcUs) -> Option<String> {
    if playing || is_round_on(control, now) {
        return Some("a round is armed or being played: practise after it".to_owned());
    }
    if control.halted {
        return Some("the organiser has stopped all traffic: practise when it is released".to_owned());
    }
    control
        .parked
        .contains(contestant)
        .then(|| "the organiser has parked this contestant: practise when it is resumed".to_owned())
}

/// Whoever should write that a round is sealed may be gone, so its own end counts as well.
fn is_round_on(control: &Control, now: UtcUs) -> bool {
    let settled = control.contest.rules.timeout_us + SETTLING_US;
    matches!(control.state, State::Armed | State::Running | State::Paused | State::Draining)
        && control.timeline.end_at(&control.contest).is_none_or(|end| now < end.saturating_add(settled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::Contest;
    use flowtest_contest::lifecycle::{Change, change};
    use flowtest_contract::RoundId;

    const SECOND: u64 = 1_000_000;
    const NOW: UtcUs = UtcUs(1_796_119_200 * SECOND);

    #[test]
    fn nobody_practises_from_the_arming_of_a_round_to_its_end() {
        let contest = Contest::from_toml(
            "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 5\nconnections = 1\n[policy]\nallow = [\"127.0.0.0/8\"]\n\
             [[contestant]]\nname = \"a\"\nendpoint = \"127.0.0.1:8081\"\n",
        )
        .unwrap();
        let draft = Control::new(contest);
        let arm = Change::Arm {
            round: RoundId::from_bits(7),
            start_at: NOW + 10 * SECOND,
            scored: false,
            generators: vec!["g1".to_owned()],
        };
        let armed = change(&draft, arm, NOW).unwrap();
        let paused =
            change(&change(&armed, Change::Begin, NOW + 10 * SECOND).unwrap(), Change::Pause, NOW + 20 * SECOND);
        let paused = paused.unwrap();
        let sealed = Control { state: State::Sealed, ..armed.clone() };
        let halted = Control { halted: true, ..draft.clone() };
        let parked = Control { parked: ["a".to_owned()].into(), ..draft.clone() };
        let may = |control: &Control, second: u64| forbidden(control, false, "a", NOW + second * SECOND).is_none();
        // (document, second, whether it may be practised)
        let cases = [
            (&draft, 0, true),
            (&armed, 0, false),
            (&armed, 75, false),     // its last answers may still come
            (&armed, 80, true),      // nobody said that it is sealed
            (&paused, 9_000, false), // a pause that lasts has no end
            (&sealed, 30, true),
            (&halted, 0, false),
            (&parked, 0, false),
        ];
        for (index, (control, second, expected)) in cases.into_iter().enumerate() {
            assert_eq!(may(control, second), expected, "case {index}");
        }
        assert!(forbidden(&draft, true, "a", NOW).is_some(), "we are in a round that the document has left");
        assert!(forbidden(&parked, false, "b", NOW).is_none());
    }
}
