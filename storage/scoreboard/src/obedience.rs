//! Who obeys a stop of all traffic, by what generators say of themselves, and who cannot be asked. Pure.

use crate::generator::{GeneratorHealth, SeenGenerator};
use crate::reader::StreamState;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use std::collections::BTreeSet;

/// What is known of a stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obedience {
    /// They send nothing, by their own word.
    pub obeying: Vec<String>,
    /// They are heard, and have not said so.
    pub going_on: Vec<String>,
    /// They have had a share of the round and are not heard: whoever does not reach Redis plays on by what it knows.
    pub silent: Vec<String>,
}

impl Obedience {
    /// Whether everybody who may send something has said that it sends nothing.
    pub fn is_whole(&self) -> bool {
        self.going_on.is_empty() && self.silent.is_empty()
    }

    /// Holds a stop against what generators say. `revision`: that of the stop, or 1 where any will do. `streams`: what Redis
    /// holds of the round, as far as that is known.
    pub fn of(
        control: &Control,
        revision: u64,
        seen: &[SeenGenerator],
        streams: &[StreamState],
        now: UtcUs,
    ) -> Obedience {
        let mut found = Obedience::default();
        for health in seen.iter().filter_map(|seen| seen.health.as_ref()) {
            match obeys(health, revision.max(1), control.revision) {
                Some(true) => found.obeying.push(health.id.clone()),
                Some(false) => found.going_on.push(health.id.clone()),
                None => {}
            }
        }
        if let Some(start) = control.timeline.start_at.filter(|_| may_be_played(control, streams, now)) {
            let is_heard = |id: &str| seen.iter().any(|seen| seen.id == id && seen.health.is_some());
            let named = control.timeline.splits.iter().flat_map(|split| &split.generators).chain(&control.split);
            let named: BTreeSet<&String> = named.filter(|id| !is_heard(id)).collect();
            if have_ended(named.len(), seen, streams) {
                return found;
            }
            // A share may be younger than the document that Redis holds.
            let came = seen.iter().filter(|seen| seen.beat >= start).map(|seen| &seen.id);
            let silent: BTreeSet<&String> = named.into_iter().chain(came.filter(|id| !is_heard(id))).collect();
            found.silent = silent.into_iter().cloned().collect();
        }
        found
    }
}

/// An older program does not say what halts it: it obeys when it follows the whole document, `newest`. None: it plays nothing.
fn obeys(health: &GeneratorHealth, revision: u64, newest: u64) -> Option<bool> {
    match health.halted_by {
        Some(by) => Some(by >= revision),
        None => health.round.map(|_| health.revision >= newest.max(revision)),
    }
}

/// Whether somebody may play the round who has not heard of its end. Whoever has not heard of that goes by the plan, nor does
/// it know of a pause that lasts.
fn may_be_played(control: &Control, streams: &[StreamState], now: UtcUs) -> bool {
    // A stream that was given up has no end of its own.
    if control.state == State::Sealed && !streams.iter().any(|stream| stream.abandoned) {
        return false;
    }
    let mut planned = control.timeline.clone();
    planned.pauses.retain(|pause| pause.to.is_some());
    planned.instant_of(control.contest.duration_us()).is_none_or(|end| now < end)
}

/// Whether all streams but those of generators that are heard have ended, one at least for each who is silent. Redis does not
/// say whose a stream was.
fn have_ended(silent: usize, seen: &[SeenGenerator], streams: &[StreamState]) -> bool {
    let of_others = |stream: &&StreamState| {
        seen.iter().filter_map(|seen| seen.health.as_ref()).all(|health| health.stream != Some(stream.id))
    };
    let mut others = streams.iter().filter(of_others).peekable();
    others.peek().is_some() && others.clone().all(|stream| stream.ended) && others.count() >= silent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::tests::health;
    use flowtest_contest::lifecycle::{Change, change};
    use flowtest_contract::RoundId;
    use flowtest_contract::StreamId;

    const SECOND: u64 = 1_000_000;
    const NOW: UtcUs = UtcUs(1_796_119_200 * SECOND);

    fn halted() -> Control {
        let contest = flowtest_contest::Contest::from_toml(
            "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 5\nconnections = 1\n[policy]\nallow = [\"10.0.0.0/8\"]\n\
             [[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n",
        );
        let draft = Control::new(contest.expect("a contest"));
        let generators = ["g1", "g2", "g3"].map(str::to_owned).to_vec();
        let arm = Change::Arm { round: RoundId::from_bits(7), start_at: NOW, scored: true, generators };
        let armed = change(&draft, arm, UtcUs(NOW.0 - 10 * SECOND)).expect("armed");
        change(&armed, Change::Halt { halted: true }, NOW).expect("halted")
    }

    fn seen(id: &str, halted_by: Option<u64>, revision: u64) -> SeenGenerator {
        let health = GeneratorHealth { halted_by, revision, ..health(id, NOW) };
        SeenGenerator { id: id.to_owned(), beat: NOW, health: Some(health), waiting: None }
    }

    #[test]
    fn who_has_had_a_share_and_is_not_heard_may_play_on() {
        let (control, at) = (halted(), |second| NOW + second * SECOND);
        let revision = control.revision;
        let gone = |id: &str, beat| SeenGenerator { id: id.to_owned(), beat, health: None, waiting: None };
        // g2 follows more than was stopped, and says that nothing halts it; g9 came later than the document.
        let all =
            [seen("g1", Some(revision), 1), seen("g2", Some(0), revision + 4), gone("g3", NOW), gone("g9", at(1))];
        let found = Obedience::of(&control, revision, &all, &[], at(10));
        assert_eq!((found.obeying, found.going_on), (vec!["g1".to_owned()], vec!["g2".to_owned()]));
        assert_eq!(found.silent, ["g3", "g9"]);
        // Whom Redis does not know at all, the split does; who was there before the round is of yesterday.
        assert_eq!(Obedience::of(&control, revision, &all[..2], &[], at(10)).silent, ["g3"]);
        let yesterday = [gone("g8", UtcUs(NOW.0 - SECOND))];
        assert_eq!(Obedience::of(&control, revision, &yesterday, &[], at(10)).silent, ["g1", "g2", "g3"]);
        // By the plan it is over, whoever has heard of what.
        assert!(Obedience::of(&control, revision, &all, &[], at(61)).silent.is_empty());
    }

    fn stream(bits: u128, ended: bool) -> StreamState {
        let id = StreamId::from_bits(bits);
        StreamState { id, seq: 9, histograms_seq: 9, ended, abandoned: false, validity: None }
    }

    #[test]
    fn who_has_ended_its_stream_plays_nothing_any_more() {
        let (control, at) = (halted(), NOW + 10 * SECOND);
        let mut plays = seen("g1", Some(control.revision), control.revision);
        plays.health.as_mut().expect("it is heard").stream = Some(StreamId::from_bits(1));
        // It came after the start, idled and was ended.
        let idle = SeenGenerator { id: "g9".to_owned(), beat: NOW, health: None, waiting: None };
        let all = [plays, idle];
        let silent = |streams: &[StreamState]| Obedience::of(&control, control.revision, &all, streams, at).silent;
        assert!(silent(&[stream(1, false), stream(2, true), stream(3, true)]).is_empty());
        assert_eq!(silent(&[stream(1, false), stream(2, true), stream(3, false)]), ["g2", "g3", "g9"]);
        assert_eq!(silent(&[stream(1, false), stream(2, true)]), ["g2", "g3", "g9"], "one that Redis has lost");
    }

    #[test]
    fn a_round_that_is_sealed_is_played_by_nobody_and_a_pause_that_lasts_ends_with_the_plan() {
        let halted = halted();
        let make = |control: &Control, wanted, second| {
            change(control, wanted, UtcUs(NOW.0 + second * SECOND)).expect("it is made")
        };
        let silent = |control: &Control, streams: &[StreamState], second| {
            Obedience::of(control, 1, &[], streams, UtcUs(NOW.0 + second * SECOND)).silent.len()
        };
        let paused = make(&make(&halted, Change::Begin, 1), Change::Pause, 5);
        let stopped = make(&paused, Change::Stop, 12);
        let aborted = make(&paused, Change::Abort, 12);
        for control in [&paused, &stopped, &aborted] {
            assert_eq!([20, 61].map(|second| silent(control, &[], second)), [3, 0], "{:?}", control.state);
        }
        let sealed = make(&stopped, Change::Seal, 20);
        assert_eq!(silent(&sealed, &[], 25), 0);
        let given_up = StreamState { abandoned: true, ..stream(3, false) };
        assert_eq!(silent(&sealed, &[given_up], 25), 3, "it may play on");
    }

    #[test]
    fn an_older_program_obeys_what_it_follows() {
        let control = halted();
        let revision = control.revision;
        let of = |one: SeenGenerator| {
            let found = Obedience::of(&control, revision, &[one], &[], NOW + 61 * SECOND);
            (found.obeying.len(), found.going_on.len())
        };
        assert_eq!(of(seen("g1", None, revision)), (1, 0));
        assert_eq!(of(seen("g1", None, revision - 1)), (0, 1));
        let any = Obedience::of(&control, 1, &[seen("g1", None, revision - 1)], &[], NOW + 61 * SECOND);
        assert_eq!(any.going_on, ["g1"], "what it follows is older than the stop");
        let mut idle = seen("g1", None, 0);
        idle.health.as_mut().expect("it is heard").round = None;
        assert_eq!(of(idle), (0, 0));
    }
}
