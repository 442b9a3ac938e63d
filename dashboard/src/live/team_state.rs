//! How a contestant fares at this moment, in one word for board and wall: a server that died is seen at once, whatever
//! points it has. Pure.

use super::facts::Contestant;
use super::window::Count;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TeamState {
    /// Right answers come.
    Playing,
    /// It was asked nothing: not admitted yet, or nothing is due.
    Waiting,
    /// It was asked, and no answer had the right token: dead, or broken.
    Failing,
    /// It answers with the right token, and with a value that is not right any more, or not yet, in every answer: it missed a
    /// deadline.
    WrongVersion,
    WrongFrom,
    WrongBoth,
    /// It gets no traffic, by an organiser's word.
    Parked,
    Disqualified,
    /// It has no endpoint in this round.
    Absent,
}

impl TeamState {
    pub fn as_str(self) -> &'static str {
        match self {
            TeamState::Playing => "playing",
            TeamState::Waiting => "waiting",
            TeamState::Failing => "failing",
            TeamState::WrongVersion => "wrong_version",
            TeamState::WrongFrom => "wrong_from",
            TeamState::WrongBoth => "wrong_both",
            TeamState::Parked => "parked",
            TeamState::Disqualified => "disqualified",
            TeamState::Absent => "absent",
        }
    }

    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            TeamState::WrongVersion => "wrong Version",
            TeamState::WrongFrom => "wrong From",
            TeamState::WrongBoth => "wrong Version and From",
            other => other.as_str(),
        }
    }

    /// Whether it missed a deadline: it is alive, and some of what it answers counts.
    pub fn is_wrong(self) -> bool {
        matches!(self, TeamState::WrongVersion | TeamState::WrongFrom | TeamState::WrongBoth)
    }

    /// The state of a contestant by its counters of now and of some seconds before; `plays`: it is on the round's roster.
    /// `None` while no round is on, and before there are such counters.
    pub fn of(
        control: &Control,
        contestant: &Contestant,
        plays: bool,
        now: Option<Count>,
        before: Option<Count>,
    ) -> Option<TeamState> {
        if control.state != State::Running {
            return None;
        }
        if contestant.disqualified {
            return Some(TeamState::Disqualified);
        }
        if control.halted || control.parked.contains(&contestant.name) {
            return Some(TeamState::Parked);
        }
        if !plays {
            return Some(TeamState::Absent);
        }
        let before = before?;
        Some(match now.unwrap_or_default().since(before) {
            Count { judged: 0, .. } => TeamState::Waiting,
            Count { token: 0, .. } => TeamState::Failing,
            Count { version: 0, from: 0, .. } => TeamState::WrongBoth,
            Count { version: 0, .. } => TeamState::WrongVersion,
            Count { from: 0, .. } => TeamState::WrongFrom,
            _ => TeamState::Playing,
        })
    }
}

/// A state and since when it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSince {
    pub state: TeamState,
    pub since: UtcUs,
}

impl StateSince {
    /// The state from now on, or since when it has been the same.
    pub fn next(before: Option<StateSince>, state: TeamState, now: UtcUs) -> StateSince {
        before.filter(|before| before.state == state).unwrap_or(StateSince { state, since: now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::Contest;

    fn contestant(disqualified: bool) -> Contestant {
        let (name, display_name) = ("a".to_owned(), "A".to_owned());
        Contestant { id: "a".into(), name, display_name, category: None, hidden: false, disqualified, absent: false }
    }

    fn running() -> Control {
        let text = "name = \"x\"\n[[phase]]\nfor = \"30s\"\nrate = 1\nconnections = 1\n[[contestant]]\nname = \"a\"\n\
                    endpoint = \"10.0.0.1\"\n[policy]\nallow = [\"10.0.0.0/8\"]\n";
        Control { state: State::Running, ..Control::new(Contest::from_toml(text).expect("a contest")) }
    }

    #[test]
    fn a_word_is_told_by_the_counters_of_the_last_seconds() {
        let count = |right, judged| Some(Count { responses: right, token: right, version: right, from: right, judged });
        // What a round had brought before: five of a hundred versions were right, and all platforms.
        let before = Count { responses: 100, token: 100, version: 5, from: 100, judged: 100 };
        let after = |token, version, from| {
            let Count { responses, judged, .. } = before;
            let (token, version, from) = (before.token + token, before.version + version, before.from + from);
            Some(Count { responses: responses + 10, token, version, from, judged: judged + 10 })
        };
        // (counters now, before, the word)
        let cases = [
            (count(90, 100), count(80, 90), Some(TeamState::Playing)),
            // asked ten times, nothing right
            (count(80, 100), count(80, 90), Some(TeamState::Failing)),
            (count(80, 90), count(80, 90), Some(TeamState::Waiting)),
            // no row at all
            (None, count(0, 0), Some(TeamState::Waiting)),
            // a right token, and a version that is not right any more
            (after(10, 0, 10), Some(before), Some(TeamState::WrongVersion)),
            // the version is mended, and the platform is missed
            (after(10, 10, 0), Some(before), Some(TeamState::WrongFrom)),
            (after(10, 0, 0), Some(before), Some(TeamState::WrongBoth)),
            // one instance of ten was moved
            (after(10, 1, 10), Some(before), Some(TeamState::Playing)),
            // somebody else's tokens
            (after(0, 10, 10), Some(before), Some(TeamState::Failing)),
            // too early to say
            (count(80, 90), None, None),
        ];
        for (now, before, word) in cases {
            assert_eq!(
                TeamState::of(&running(), &contestant(false), true, now, before),
                word,
                "{now:?} after {before:?}"
            );
        }
    }

    #[test]
    fn what_an_organiser_did_goes_before_what_was_counted() {
        let (now, before) = (Some(Count::default()), Some(Count::default()));
        let state = |control: &Control, plays, disqualified| {
            TeamState::of(control, &contestant(disqualified), plays, now, before)
        };
        assert_eq!(state(&running(), false, false), Some(TeamState::Absent));
        assert_eq!(state(&running(), true, true), Some(TeamState::Disqualified));
        let parked = Control { parked: ["a".to_owned()].into(), ..running() };
        assert_eq!(state(&parked, true, false), Some(TeamState::Parked));
        assert_eq!(state(&Control { state: State::Paused, ..running() }, true, false), None);
    }

    #[test]
    fn a_state_holds_since_it_began() {
        let first = StateSince::next(None, TeamState::Failing, UtcUs(5));
        assert_eq!(StateSince::next(Some(first), TeamState::Failing, UtcUs(9)), first);
        assert_eq!(StateSince::next(Some(first), TeamState::Playing, UtcUs(9)).since, UtcUs(9));
    }
}
