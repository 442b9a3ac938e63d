//! Stops: what a document says when traffic has been ended, which of that nobody has been told of, and whether another document
//! is nothing but a stop. Pure.

use flowtest_contest::lifecycle::{self, Change};
use flowtest_contest::{Control, Refusal, State};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};

/// Traffic that was ended here. It is kept until Redis has been told of it, also in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stop {
    /// That of everybody.
    Halt,
    /// That of a round, which may go on.
    Pause(RoundId),
    /// The same before the end of its plan. It counts.
    End(RoundId),
    /// The same, and it does not count.
    Abort(RoundId),
    /// That of a contestant.
    Park(String),
}

impl Stop {
    /// What is stopped in a document and was not in the one before it.
    pub(super) fn between(before: &Control, next: &Control) -> Vec<Stop> {
        let is_same_round = before.round == next.round;
        let comes_to = |state| next.state == state && !(is_same_round && before.state == state);
        let of_round = |is_so: bool, stop: fn(RoundId) -> Stop| next.round.filter(|_| is_so).map(stop);
        let ends = next.timeline.stopped_at.is_some() && !(is_same_round && before.timeline.stopped_at.is_some());
        let halts = (next.halted && !before.halted).then_some(Stop::Halt);
        let of_all = [
            halts,
            of_round(comes_to(State::Paused), Stop::Pause),
            of_round(ends, Stop::End),
            of_round(comes_to(State::Aborted), Stop::Abort),
        ];
        let parked = next.parked.difference(&before.parked).cloned().map(Stop::Park);
        of_all.into_iter().flatten().chain(parked).collect()
    }

    /// Whether it holds in our document, and traffic goes on in another one.
    pub(super) fn is_due(&self, ours: &Control, found: &Control) -> bool {
        use State::{Aborted, Armed, Draft, Draining, Paused, Running, Sealed};
        // A round that was ended is never played again, also where ours has left it behind.
        let holds = |round: &RoundId, states: &[State]| ours.round != Some(*round) || states.contains(&ours.state);
        let goes_on = |round: &RoundId, states: &[State]| found.round == Some(*round) && states.contains(&found.state);
        match self {
            Stop::Halt => ours.halted && !found.halted,
            Stop::Pause(round) => {
                ours.round == Some(*round) && ours.state == Paused && goes_on(round, &[Armed, Running])
            }
            Stop::End(round) => {
                holds(round, &[Draining, Sealed, Aborted, Draft]) && goes_on(round, &[Armed, Running, Paused])
            }
            Stop::Abort(round) => {
                holds(round, &[Aborted, Draft]) && goes_on(round, &[Armed, Running, Paused, Draining])
            }
            // The same name may be another account's there.
            Stop::Park(name) => {
                let plays = found.contest.contestants.iter().any(|one| one.name == *name);
                plays
                    && ours.parked.contains(name)
                    && !found.parked.contains(name)
                    && ours.ids.get(name) == found.ids.get(name)
            }
        }
    }

    fn change(&self) -> Change {
        match self {
            Stop::Halt => Change::Halt { halted: true },
            Stop::Pause(_) => Change::Pause,
            Stop::End(_) => Change::Stop,
            Stop::Abort(_) => Change::Abort,
            Stop::Park(name) => Change::Park { contestant: name.clone(), parked: true },
        }
    }
}

/// The document after an urgent change. A start that could not be saved yet does not keep a round from being paused, or ended.
pub(super) fn urgently(control: &Control, urgent: &Change, now: UtcUs) -> Result<Control, Refusal> {
    let has_begun = control.timeline.start_at.is_some_and(|start| start <= now);
    if matches!(urgent, Change::Pause | Change::Stop) && control.state == State::Armed && has_begun {
        let begun = lifecycle::change(control, Change::Begin, now)?;
        return lifecycle::change(&begun, urgent.clone(), now);
    }
    lifecycle::change(control, urgent.clone(), now)
}

/// Why stops of ours that are due upon somebody else's document cannot be put upon it yet.
pub(super) fn refusals(ours: &Control, untold: &[Stop], found: &Control, now: UtcUs) -> Vec<String> {
    let due = untold.iter().filter(|stop| stop.is_due(ours, found));
    due.filter_map(|stop| urgently(found, &stop.change(), now).err()).map(|refusal| refusal.to_string()).collect()
}

/// Somebody else's document with what was stopped in ours while nobody could be told: `untold`. Above both, so that generators
/// apply it. None: it stops as much already, ours does not any more, or its lifecycle refuses that now.
pub(super) fn stopped_as(ours: &Control, untold: &[Stop], found: &Control, now: UtcUs) -> Option<Control> {
    let due = untold.iter().filter(|stop| stop.is_due(ours, found));
    let stopped = due.fold(None, |stopped: Option<Control>, stop| {
        urgently(stopped.as_ref().unwrap_or(found), &stop.change(), now).ok().or(stopped)
    });
    stopped.map(|stopped| Control { revision: stopped.revision.max(ours.revision.saturating_add(1)), ..stopped })
}

/// Whether a document is another one with all traffic stopped, by a later revision, and nothing else.
pub(super) fn is_stop_of(ours: &Control, found: &Control) -> bool {
    let stopped = || Control { halted: true, revision: found.revision, ..ours.clone() };
    found.halted && found.revision > ours.revision && *found == stopped()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::Contest;

    const SECOND: u64 = 1_000_000;
    const NOW: UtcUs = UtcUs(1_796_119_200 * SECOND);
    const ROUND: RoundId = RoundId::from_bits(7);

    fn made(control: &Control, changes: impl IntoIterator<Item = Change>, second: u64) -> Control {
        let now = NOW + second * SECOND;
        let next = |control: Control, change| lifecycle::change(&control, change, now).expect("it is made");
        changes.into_iter().fold(control.clone(), next)
    }

    fn arm(round: RoundId, second: u64) -> Change {
        Change::Arm { round, start_at: NOW + second * SECOND, scored: true, generators: vec!["g1".to_owned()] }
    }

    fn running() -> Control {
        let contest = Contest::from_toml(
            "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 5\nconnections = 1\n[policy]\nallow = [\"10.0.0.0/8\"]\n\
             [[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n",
        );
        let armed = made(&Control::new(contest.expect("a contest")), [arm(ROUND, 10)], 0);
        made(&armed, [Change::Begin], 10)
    }

    fn park() -> Change {
        Change::Park { contestant: "alice".to_owned(), parked: true }
    }

    #[test]
    fn what_is_stopped_is_what_was_not_before() {
        let before = running();
        let stops = |changes: &[Change]| Stop::between(&before, &made(&before, changes.to_vec(), 20));
        let of_all = [Change::Halt { halted: true }, Change::Pause, park()];
        assert_eq!(stops(&of_all), [Stop::Halt, Stop::Pause(ROUND), Stop::Park("alice".to_owned())]);
        assert_eq!(stops(&[Change::Stop]), [Stop::End(ROUND)]);
        assert_eq!(stops(&[Change::Abort]), [Stop::Abort(ROUND)]);
        let stopped = made(&before, of_all, 20);
        assert_eq!(Stop::between(&stopped, &stopped), []);
        assert_eq!(Stop::between(&stopped, &before), []);
    }

    #[test]
    fn a_round_that_was_aborted_and_left_behind_is_aborted_wherever_it_is_played() {
        let theirs = running();
        let left = made(&theirs, [Change::Abort, Change::Draft], 20);
        let next = made(&left, [arm(RoundId::from_bits(8), 40)], 20);
        for ours in [&left, &next] {
            let stopped = stopped_as(ours, &[Stop::Abort(ROUND)], &theirs, NOW + 21 * SECOND).expect("it is due");
            assert_eq!((stopped.state, stopped.round), (State::Aborted, Some(ROUND)));
            assert!(stopped.revision > ours.revision.max(theirs.revision));
            assert_eq!(stopped_as(ours, &[Stop::Abort(ROUND)], &stopped, NOW + 22 * SECOND), None, "once");
        }
        assert_eq!(stopped_as(&theirs, &[Stop::Abort(ROUND)], &theirs, NOW + 21 * SECOND), None, "it was not done");
    }

    #[test]
    fn a_name_that_is_another_account_there_is_not_parked() {
        let theirs = running();
        let mut ours = made(&theirs, [park()], 20);
        let is_due = |ours: &Control| stopped_as(ours, &[Stop::Park("alice".to_owned())], &theirs, NOW).is_some();
        assert!(is_due(&ours));
        ours.ids.insert("alice".to_owned(), "2".to_owned());
        assert!(!is_due(&ours));
    }

    #[test]
    fn the_database_has_them_in_these_words() {
        let all =
            [Stop::Halt, Stop::Pause(ROUND), Stop::End(ROUND), Stop::Abort(ROUND), Stop::Park("alice".to_owned())];
        let text = r#"["halt",{"pause":"ID"},{"end":"ID"},{"abort":"ID"},{"park":"alice"}]"#;
        let text = text.replace("ID", &ROUND.to_string());
        assert_eq!(serde_json::to_string(&all).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<Vec<Stop>>(&text).expect("stops"), all);
    }
}
