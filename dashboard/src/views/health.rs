//! The one thing a team wants to know first: does its server score at this moment, and if not, why and what to do. Pure.

use crate::live::TeamState;
use crate::views::advice;
use crate::views::format::{as_message, capital};
use flowtest_contest::State;
use serde::Serialize;

/// A test older than this says little, in seconds.
const TEST_OLD_S: u64 = 120;

/// How loud the banner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    Good,
    #[default]
    Calm,
    Warn,
    Bad,
}

impl Tone {
    pub fn as_str(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Calm => "calm",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
        }
    }
}

/// What stands at the top of a team's page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    pub tone: Tone,
    /// Two or three words, for the browser's tab too.
    pub title: String,
    /// The reason and the next step.
    pub message: String,
    /// Since when, where that matters.
    pub since_ms: Option<i64>,
}

/// How the last test of an endpoint ended.
#[derive(Clone, Copy, Debug)]
pub enum LastTest<'a> {
    Verified,
    /// With the message that said why.
    Failed(&'a str),
}

/// What is known of a team and of the round.
#[derive(Clone, Debug, Default)]
pub struct Known<'a> {
    pub has_endpoint: bool,
    /// Of the round that is armed, played or was the last.
    pub round: Option<State>,
    pub team: Option<TeamState>,
    pub since_ms: Option<i64>,
    /// The newest failure: its kind and its message.
    pub newest: Option<(&'a str, &'a str)>,
    pub tested: Option<LastTest<'a>>,
    /// How long ago that was.
    pub tested_s: u64,
    pub disqualified: Option<&'a str>,
    /// Nobody gets any traffic.
    pub halted: bool,
    /// It gets none, in this round and in those that follow.
    pub is_parked: bool,
    /// Who parked it, for whoever may know.
    pub parked_by: Option<&'a str>,
    /// Our own machines are late, or none of them is heard.
    pub is_late: bool,
    /// No round will follow.
    pub is_over: bool,
    /// Our scores stand still since.
    pub stale_since_ms: Option<i64>,
}

impl Health {
    pub fn of(known: &Known<'_>) -> Health {
        let say = |tone, title: &str, message: String| Health { tone, title: title.into(), message, since_ms: None };
        if let Some(reason) = known.disqualified {
            return say(Tone::Bad, "Disqualified", format!("By the organisers: {reason}"));
        }
        if known.is_over {
            return say(Tone::Calm, "The contest is over", "Nothing more is asked of your server: it may rest.".into());
        }
        let is_on = known.round == Some(State::Running);
        if let Some(since) = known.stale_since_ms.filter(|_| is_on) {
            let text = "Something of ours is away, and the scores stand still here. Nothing is lost: go on answering.";
            return Health { since_ms: Some(since), ..say(Tone::Warn, "Our fault", text.into()) };
        }
        // Whoever is asked nothing then is not at fault.
        if is_on && known.is_late && known.team == Some(TeamState::Waiting) {
            let text =
                "Our own machine is late, or away, and asks you nothing. What is lost by it counts for nobody: go on.";
            return say(Tone::Warn, "Our fault", text.into());
        }
        if !known.has_endpoint && known.team.is_none_or(|team| team == TeamState::Absent) {
            let text = "Write your server's address below: without one you do not play, and stand behind all who do.";
            return say(Tone::Bad, "No endpoint", text.into());
        }
        // What an organiser stopped stays so between rounds, whatever a test finds.
        let stopped = (known.is_parked || known.halted).then_some(TeamState::Parked);
        match known.team.filter(|_| is_on).or(stopped) {
            Some(team) => Health { since_ms: known.since_ms, ..known.during(team) },
            None => known.before(),
        }
    }
}

impl Known<'_> {
    fn during(&self, team: TeamState) -> Health {
        let say = |tone, title: &str, message: String| Health { tone, title: title.into(), message, since_ms: None };
        match team {
            TeamState::Playing => say(Tone::Good, "Playing", "Right answers come.".into()),
            TeamState::WrongVersion | TeamState::WrongFrom | TeamState::WrongBoth => {
                let title = capital(team.words());
                let (what, how) = match self.newest {
                    Some((kind, message)) => (message.to_owned(), advice::of(kind).map_or("", |advice| advice.text)),
                    None => (format!("every answer has a {}", team.words()), "Rules say what is right from when on."),
                };
                say(Tone::Bad, &title, format!("Your server answers with the right token, but {what}. {how}"))
            }
            TeamState::Failing => {
                let (what, how) = match self.newest {
                    Some((kind, message)) => (message.to_owned(), advice::of(kind).map(|advice| advice.text)),
                    None => ("No answer is right.".to_owned(), None),
                };
                let how = how.unwrap_or("Press Test now: it says what a generator gets from your server.");
                say(Tone::Bad, "Failing", format!("{} {how}", as_message(&what)))
            }
            TeamState::Waiting => {
                let why = match (self.newest, self.tested) {
                    (Some(("prepare", message)), _) => as_message(message),
                    (_, Some(LastTest::Failed(message))) if self.tested_s < TEST_OLD_S => as_message(message),
                    _ => "A generator asks your server, and three right answers let you in.".to_owned(),
                };
                let again = "It is asked again by itself; Test now shows what it gets.";
                say(Tone::Warn, "Not admitted", format!("{why} {again}"))
            }
            TeamState::Parked if self.halted => say(
                Tone::Warn,
                "All traffic is stopped",
                "The organisers have stopped it for everybody, and nothing falls due to you meanwhile.".into(),
            ),
            TeamState::Parked => {
                let by = self.parked_by.unwrap_or("an organiser");
                let text = "You get no traffic, and nothing falls due to you: ask why, and when it goes on.";
                say(Tone::Warn, &format!("Parked by {by}"), text.into())
            }
            TeamState::Disqualified => say(Tone::Bad, "Disqualified", "By the organisers: ask them why.".into()),
            TeamState::Absent => {
                let text = "You had no endpoint when it was armed. What lets you in now stands at Endpoint, below.";
                say(Tone::Bad, "Not in this round", text.into())
            }
        }
    }

    fn before(&self) -> Health {
        let say = |tone, title: &str, message: String| Health { tone, title: title.into(), message, since_ms: None };
        match (self.round, self.tested) {
            (Some(State::Running), _) => say(Tone::Calm, "Running", "The first seconds are being counted.".into()),
            (Some(State::Paused), _) => {
                say(Tone::Warn, "Paused", "The organisers paused the round; the deadlines wait as well.".into())
            }
            (Some(State::Draining), _) => say(Tone::Calm, "Ending", "The last answers are being counted.".into()),
            (_, None) => say(Tone::Warn, "Not tested", "Press Test now before the round does it.".into()),
            (_, Some(LastTest::Failed(message))) if self.tested_s >= TEST_OLD_S => {
                let minutes = self.tested_s / 60;
                let text = format!("{} That says little of now: press Test now.", as_message(message));
                say(Tone::Warn, &format!("Test failed {minutes} min ago"), text)
            }
            (_, Some(LastTest::Failed(message))) => {
                let text = format!("{} Mend it and press Test now.", as_message(message));
                say(Tone::Bad, "Test failed", text)
            }
            (_, Some(LastTest::Verified)) if self.tested_s >= TEST_OLD_S => {
                let text = format!(
                    "All three headers were right {} min ago, which says little of now: press Test now before the round.",
                    self.tested_s / 60
                );
                say(Tone::Calm, "Ready, as far as known", text)
            }
            (_, Some(LastTest::Verified)) => {
                say(Tone::Good, "Ready", "All three headers were right at the last test.".into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_server_is_told_first_with_the_reason_and_the_next_step() {
        let known = Known {
            has_endpoint: true,
            round: Some(State::Running),
            team: Some(TeamState::Failing),
            since_ms: Some(7),
            newest: Some(("refused", "nobody listens at 10.0.0.1:80")),
            // An old test says nothing of now.
            tested: Some(LastTest::Verified),
            ..Known::default()
        };
        let health = Health::of(&known);
        assert_eq!((health.tone, health.title.as_str(), health.since_ms), (Tone::Bad, "Failing", Some(7)));
        assert!(
            health.message.starts_with("Nobody listens at 10.0.0.1:80.") && health.message.contains("security group")
        );
    }

    #[test]
    fn whoever_missed_a_deadline_is_told_which_and_not_that_its_server_is_dead() {
        let known = Known {
            has_endpoint: true,
            round: Some(State::Running),
            team: Some(TeamState::WrongVersion),
            since_ms: Some(7),
            newest: Some(("version", "v1 was right before the deadline, which has passed")),
            ..Known::default()
        };
        let health = Health::of(&known);
        assert_eq!((health.tone, health.title.as_str(), health.since_ms), (Tone::Bad, "Wrong Version", Some(7)));
        assert!(
            health.message.contains("the right token, but v1 was right before the deadline, which has passed. Send")
        );
        let unexplained = Health::of(&Known { team: Some(TeamState::WrongBoth), newest: None, ..known });
        assert_eq!(unexplained.title, "Wrong Version and From");
        assert!(unexplained.message.contains("every answer has a wrong Version and From"), "{}", unexplained.message);
    }

    #[test]
    fn each_state_has_its_words() {
        use TeamState::{Absent, Parked, Playing, Waiting};
        let refused = Some(LastTest::Failed("refused"));
        // (has an endpoint, round, team, last test, tone, title)
        let cases = [
            (false, None, None, None, Tone::Bad, "No endpoint"),
            (true, None, None, None, Tone::Warn, "Not tested"),
            (true, Some(State::Armed), None, refused, Tone::Bad, "Test failed"),
            (true, Some(State::Sealed), None, Some(LastTest::Verified), Tone::Good, "Ready"),
            (true, Some(State::Running), None, refused, Tone::Calm, "Running"),
            (true, Some(State::Running), Some(Playing), refused, Tone::Good, "Playing"),
            (true, Some(State::Running), Some(Waiting), refused, Tone::Warn, "Not admitted"),
            (true, Some(State::Running), Some(Parked), None, Tone::Warn, "Parked by an organiser"),
            (true, Some(State::Running), Some(Absent), None, Tone::Bad, "Not in this round"),
            (true, Some(State::Paused), Some(Playing), None, Tone::Warn, "Paused"),
        ];
        for (has_endpoint, round, team, tested, tone, title) in cases {
            let health = Health::of(&Known { has_endpoint, round, team, tested, ..Known::default() });
            assert_eq!((health.tone, health.title.as_str()), (tone, title), "{round:?} {team:?}");
        }
    }

    #[test]
    fn after_the_contest_nobody_is_asked_to_test_a_server() {
        for tested in [None, Some(LastTest::Failed("refused")), Some(LastTest::Verified)] {
            for has_endpoint in [false, true] {
                let round = Some(State::Sealed);
                let over = Known { has_endpoint, round, tested, is_over: true, ..Known::default() };
                let health = Health::of(&over);
                assert_eq!((health.tone, health.title.as_str()), (Tone::Calm, "The contest is over"), "{over:?}");
            }
        }
        let out = Health::of(&Known { disqualified: Some("cheated"), is_over: true, ..Known::default() });
        assert_eq!(out.title, "Disqualified");
    }

    #[test]
    fn nobody_without_an_endpoint_is_told_that_requests_are_missed_and_who_comes_late_is_told_how() {
        let none = Health::of(&Known { round: Some(State::Armed), ..Known::default() });
        assert!(none.message.contains("you do not play"), "{}", none.message);
        let (round, team) = (Some(State::Running), Some(TeamState::Absent));
        let late = Health::of(&Known { has_endpoint: true, round, team, ..Known::default() });
        assert!(late.message.contains("lets you in now"), "{}", late.message);
    }

    #[test]
    fn who_is_not_admitted_reads_what_its_server_answered_when_it_was_asked_last() {
        let team = Some(TeamState::Waiting);
        let known = Known { has_endpoint: true, round: Some(State::Running), team, ..Known::default() };
        let said = |known: &Known<'_>| Health::of(known).message;
        assert!(said(&known).starts_with("A generator asks your server"), "{}", said(&known));
        let tested = Known { tested: Some(LastTest::Failed("the token is wrong")), ..known.clone() };
        assert!(said(&tested).starts_with("The token is wrong."), "{}", said(&tested));
        let old = Known { tested_s: 3_600, ..tested.clone() };
        assert!(said(&old).starts_with("A generator asks your server"), "{}", said(&old));
        let asked = Known { newest: Some(("prepare", "nobody listens there")), ..tested };
        assert!(said(&asked).starts_with("Nobody listens there."), "{}", said(&asked));
    }

    #[test]
    fn whoever_may_know_is_told_who_parked_a_team_and_a_stop_for_all_is_none_of_its_own() {
        let (round, team) = (Some(State::Running), Some(TeamState::Parked));
        let parked = Known { has_endpoint: true, round, team, parked_by: Some("Olivia"), ..Known::default() };
        assert_eq!(Health::of(&parked).title, "Parked by Olivia");
        assert_eq!(Health::of(&Known { halted: true, ..parked }).title, "All traffic is stopped");
    }

    #[test]
    fn whoever_is_parked_is_not_ready_between_rounds() {
        let tested = Some(LastTest::Verified);
        for round in [None, Some(State::Draft), Some(State::Armed), Some(State::Paused), Some(State::Sealed)] {
            let known = Known { has_endpoint: true, round, tested, ..Known::default() };
            let parked = Health::of(&Known { is_parked: true, ..known.clone() });
            assert_eq!((parked.tone, parked.title.as_str()), (Tone::Warn, "Parked by an organiser"), "{round:?}");
            assert_eq!(Health::of(&Known { halted: true, ..known }).title, "All traffic is stopped", "{round:?}");
        }
    }

    #[test]
    fn a_test_of_a_while_ago_is_no_promise() {
        let tested = Some(LastTest::Verified);
        let known = Known { has_endpoint: true, round: Some(State::Draft), tested, tested_s: 119, ..Known::default() };
        assert_eq!(Health::of(&known).tone, Tone::Good);
        let old = Health::of(&Known { tested_s: 720, ..known });
        assert!(old.tone == Tone::Calm && old.message.contains("12 min ago"), "{old:?}");
        // Nor is one that failed the state of things.
        let failed = Health::of(&Known { tested_s: 720, tested: Some(LastTest::Failed("no answer")), ..known });
        assert_eq!((failed.tone, failed.title.as_str()), (Tone::Warn, "Test failed 12 min ago"));
    }

    #[test]
    fn what_is_our_fault_is_said_to_be_ours() {
        let known =
            Known { has_endpoint: true, round: Some(State::Running), stale_since_ms: Some(9), ..Known::default() };
        let health = Health::of(&known);
        assert_eq!((health.tone, health.title.as_str(), health.since_ms), (Tone::Warn, "Our fault", Some(9)));
        // A generator that is late asks nobody anything: no server is refused by that.
        let late = Known { stale_since_ms: None, is_late: true, team: Some(TeamState::Waiting), ..known };
        assert_eq!(Health::of(&late).title, "Our fault");
        assert_eq!(Health::of(&Known { team: Some(TeamState::Failing), ..late }).title, "Failing");
    }
}
