//! Who applies a stop of all traffic, by what generators say of themselves, and who cannot be asked. Pure.

use crate::generator::{GeneratorHealth, SeenGenerator};
use crate::reader::{RoundStreams, StreamState};
use flowtest_contest::control::EarlierRound;
use flowtest_contest::{Control, State};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopStatus {
    /// They send nothing, by their own word.
    pub applied: Vec<String>,
    /// They are heard, and have not said so.
    pub going_on: Vec<String>,
    /// They are not heard, and may play a round by what they know.
    pub silent: Vec<MayPlay>,
}

/// One that is not heard, and may play a round: whoever does not reach Redis plays on by what it knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MayPlay {
    /// The generator; of a round that a `run` plays alone, its stream.
    pub id: String,
    pub round: RoundId,
    /// The end of the round's plan. None: the document has no clock, as that of a `run`.
    pub until: Option<UtcUs>,
}

impl StopStatus {
    /// Whether everybody who may send something has said that it sends nothing.
    pub fn is_whole(&self) -> bool {
        self.going_on.is_empty() && self.silent.is_empty()
    }

    /// Holds a stop against what generators say. `revision`: that of the stop, or 1 where any will do. `streams`: as for
    /// [`may_play`].
    pub fn of(
        control: &Control,
        revision: u64,
        seen: &[SeenGenerator],
        streams: &RoundStreams,
        now: UtcUs,
    ) -> StopStatus {
        StopStatus {
            silent: may_play(control, seen, streams, now),
            ..StopStatus::of_heard(revision.max(1), control.revision, seen)
        }
    }

    /// The same of those who are heard, where nobody can read who else may play. `newest`: the document's own revision.
    pub fn of_heard(revision: u64, newest: u64, seen: &[SeenGenerator]) -> StopStatus {
        let mut found = StopStatus::default();
        for health in seen.iter().filter_map(|seen| seen.health.as_ref()) {
            match applies(health, revision, newest) {
                Some(true) => found.applied.push(health.id.clone()),
                Some(false) => found.going_on.push(health.id.clone()),
                None => {}
            }
        }
        found
    }
}

/// Who is not heard and may play the round of a document, or one before it that was left before its time; each once, with the
/// round that it may play longest. `streams`: what Redis holds of these rounds, as far as that is known.
pub fn may_play(control: &Control, seen: &[SeenGenerator], streams: &RoundStreams, now: UtcUs) -> Vec<MayPlay> {
    let of = |round: &RoundId| streams.get(round).map(Vec::as_slice);
    let mut found = BTreeMap::new();
    let earlier = control.earlier.iter().map(Played::earlier);
    for played in earlier.chain(Played::newest(control, of)).filter(|played| now < played.until) {
        let (round, until) = (played.round, Some(played.until));
        for id in played.by_silent(seen, of(&round).unwrap_or_default()) {
            let longest = found.get(id).is_some_and(|known: &MayPlay| known.until > until);
            if !longest {
                found.insert(id, MayPlay { id: id.clone(), round, until });
            }
        }
    }
    let runs = runs(control, seen, of)
        .into_iter()
        .flat_map(|round| control.split.iter().map(move |id| MayPlay { id: id.clone(), round, until: None }));
    found.into_values().chain(runs).collect()
}

/// A `run` keeps a document without a clock, names its stream in it and says nothing of itself: it plays until that has ended.
fn runs<'a>(
    control: &Control,
    seen: &[SeenGenerator],
    streams: impl Fn(&RoundId) -> Option<&'a [StreamState]>,
) -> Option<RoundId> {
    let round = control.round.filter(|_| control.timeline.start_at.is_none() && control.state == State::Running)?;
    let is_heard = control.split.iter().any(|id| seen.iter().any(|seen| seen.id == *id && seen.health.is_some()));
    let streams = streams(&round).unwrap_or_default();
    let has_ended = !streams.is_empty() && streams.iter().all(|stream| stream.ended);
    (!is_heard && !has_ended).then_some(round)
}

/// A round that somebody may play.
struct Played<'a> {
    round: RoundId,
    until: UtcUs,
    generators: BTreeSet<&'a String>,
    /// Where a share may be younger than the document that Redis holds: the start.
    joined_from: Option<UtcUs>,
    /// Nobody begins it any more, and who has heard of its end has ended its stream.
    is_over: bool,
}

impl<'a> Played<'a> {
    fn earlier(earlier: &'a EarlierRound) -> Played<'a> {
        let generators = earlier.generators.iter().collect();
        Played { round: earlier.round, until: earlier.until, generators, joined_from: None, is_over: true }
    }

    /// The round of the document itself.
    fn newest<'s>(control: &'a Control, streams: impl Fn(&RoundId) -> Option<&'s [StreamState]>) -> Option<Played<'a>> {
        let (round, start_at) = (control.round?, control.timeline.start_at?);
        // A stream that was given up has no end of its own.
        let is_given_up = || streams(&round).unwrap_or_default().iter().any(|stream| stream.abandoned);
        if control.state == State::Sealed && streams(&round).is_some() && !is_given_up() {
            return None;
        }
        let is_over = matches!(control.state, State::Draining | State::Sealed | State::Aborted);
        let (until, generators) = (control.played_until()?, control.shared_by());
        Some(Played { round, until, generators, joined_from: Some(start_at), is_over })
    }

    /// Who of it is not heard, unless all of their streams have ended.
    fn by_silent(&self, seen: &'a [SeenGenerator], streams: &[StreamState]) -> BTreeSet<&'a String> {
        let is_heard = |id: &str| seen.iter().any(|seen| seen.id == id && seen.health.is_some());
        let named: BTreeSet<&String> = self.generators.iter().copied().filter(|id| !is_heard(id)).collect();
        if self.have_ended(&named, seen, streams) {
            return BTreeSet::new();
        }
        let joined = seen.iter().filter(|seen| self.joined_from.is_some_and(|from| from <= seen.beat));
        named.into_iter().chain(joined.map(|seen| &seen.id).filter(|id| !is_heard(id))).collect()
    }

    /// Whether all streams but those of generators that are heard and play have ended, and none of a silent one can be missing.
    /// Redis does not say whose a stream was. There is one at least for each who is silent, and when the round is over one of
    /// everybody; or Redis knows each who is silent by a beat. Then it has lost nothing of before that, and whoever had come to
    /// play has its stream here: who has none never began, as one that could not be armed.
    fn have_ended(&self, silent: &BTreeSet<&String>, seen: &[SeenGenerator], streams: &[StreamState]) -> bool {
        let is_played = |stream: &&StreamState| {
            seen.iter().filter_map(|seen| seen.health.as_ref()).any(|health| health.stream == Some(stream.id))
        };
        let others: Vec<&StreamState> = streams.iter().filter(|stream| !is_played(stream)).collect();
        let is_one_of_each = match self.is_over {
            true => streams.len() >= self.generators.len(),
            false => others.len() >= silent.len(),
        };
        let are_known = || silent.iter().all(|id| seen.iter().any(|seen| seen.id == **id));
        let are_all =
            if others.is_empty() { !streams.is_empty() && are_known() } else { is_one_of_each || are_known() };
        are_all && others.iter().all(|stream| stream.ended)
    }
}

/// An older program does not say what halts it: it applies the stop when it follows the whole document, `newest`. None: it plays nothing.
fn applies(health: &GeneratorHealth, revision: u64, newest: u64) -> Option<bool> {
    match health.halted_by {
        Some(by) => Some(by >= revision),
        None => health.round.map(|_| health.revision >= newest.max(revision)),
    }
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

    fn unknown() -> RoundStreams {
        RoundStreams::new()
    }

    fn of_round(bits: u128, streams: &[StreamState]) -> RoundStreams {
        [(RoundId::from_bits(bits), streams.to_vec())].into()
    }

    fn names(found: &[MayPlay]) -> Vec<String> {
        found.iter().map(|one| one.id.clone()).collect()
    }

    #[test]
    fn who_has_had_a_share_and_is_not_heard_may_play_on() {
        let (control, at) = (halted(), |second| NOW + second * SECOND);
        let revision = control.revision;
        let gone = |id: &str, beat| SeenGenerator { id: id.to_owned(), beat, health: None, waiting: None };
        // g2 follows more than was stopped, and says that nothing halts it; g9 came later than the document.
        let all =
            [seen("g1", Some(revision), 1), seen("g2", Some(0), revision + 4), gone("g3", NOW), gone("g9", at(1))];
        let silent = |seen: &[SeenGenerator], at| names(&may_play(&control, seen, &unknown(), at));
        let found = StopStatus::of(&control, revision, &all, &unknown(), at(10));
        assert_eq!((found.applied, found.going_on), (vec!["g1".to_owned()], vec!["g2".to_owned()]));
        let until = Some(at(60));
        let expected = ["g3", "g9"].map(|id| MayPlay { id: id.to_owned(), round: RoundId::from_bits(7), until });
        assert_eq!(found.silent, expected);
        // Whom Redis does not know at all, the split does; who was there before the round is of yesterday.
        assert_eq!(silent(&all[..2], at(10)), ["g3"]);
        let yesterday = [gone("g8", UtcUs(NOW.0 - SECOND))];
        assert_eq!(silent(&yesterday, at(10)), ["g1", "g2", "g3"]);
        // By the plan it is over, whoever has heard of what.
        assert!(silent(&all, at(61)).is_empty());
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
        let silent = |streams: &[StreamState]| names(&may_play(&control, &all, &of_round(7, streams), at));
        assert!(silent(&[stream(1, false), stream(2, true), stream(3, true)]).is_empty());
        assert_eq!(silent(&[stream(1, false), stream(2, true), stream(3, false)]), ["g2", "g3", "g9"]);
        assert_eq!(silent(&[stream(1, false), stream(2, true)]), ["g2", "g3", "g9"], "one that Redis has lost");
    }

    #[test]
    fn one_that_could_never_be_armed_holds_up_nothing_that_the_others_have_ended() {
        let running = halted();
        let aborted = change(&running, Change::Abort, NOW + 10 * SECOND).expect("aborted");
        let gone = |id: &str| SeenGenerator { id: id.to_owned(), beat: NOW - 5 * SECOND, health: None, waiting: None };
        let mut plays = seen("g1", Some(running.revision), running.revision);
        plays.health.as_mut().expect("it is heard").stream = Some(StreamId::from_bits(1));
        let ended = seen("g1", Some(aborted.revision), aborted.revision);
        let [known, unknown] = [vec![gone("g2"), gone("g3")], vec![gone("g2")]];
        let silent = |control: &Control, g1: &SeenGenerator, gone: &[SeenGenerator], streams: &[StreamState]| {
            let all: Vec<SeenGenerator> = gone.iter().chain([g1]).cloned().collect();
            names(&may_play(control, &all, &of_round(7, streams), NOW + 12 * SECOND))
        };
        // (what is so, the document, g1, who else Redis knows, the streams, who may play)
        let cases = [
            ("g1 alone has begun", &running, &plays, &known, vec![stream(1, false)], &[][..]),
            ("g2 has ended", &running, &plays, &known, vec![stream(1, false), stream(2, true)], &[]),
            ("g2 has not", &running, &plays, &known, vec![stream(1, false), stream(2, false)], &["g2", "g3"]),
            ("Redis may have lost g3", &running, &plays, &unknown, vec![stream(1, false)], &["g2", "g3"]),
            ("nobody has begun here", &running, &plays, &known, vec![], &["g2", "g3"]),
            ("the round is over", &aborted, &ended, &known, vec![stream(1, true)], &[]),
            ("g2 does not know", &aborted, &ended, &known, vec![stream(1, true), stream(2, false)], &["g2", "g3"]),
            ("over, and Redis may have lost g3", &aborted, &ended, &unknown, vec![stream(1, true)], &["g2", "g3"]),
        ];
        for (what, control, g1, gone, streams, expected) in cases {
            assert_eq!(silent(control, g1, gone, &streams), expected, "{what}");
        }
    }

    #[test]
    fn a_round_that_is_sealed_is_played_by_nobody_and_a_pause_that_lasts_ends_with_the_plan() {
        let halted = halted();
        let make = |control: &Control, wanted, second| {
            change(control, wanted, UtcUs(NOW.0 + second * SECOND)).expect("it is made")
        };
        let silent = |control: &Control, streams: &[StreamState], second| {
            may_play(control, &[], &of_round(7, streams), UtcUs(NOW.0 + second * SECOND)).len()
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
        assert_eq!(may_play(&sealed, &[], &unknown(), NOW + 25 * SECOND).len(), 3, "nobody has looked yet");
    }

    #[test]
    fn who_has_not_heard_of_the_end_of_an_earlier_round_may_play_it_beside_the_next() {
        let make =
            |control: &Control, wanted, second| change(control, wanted, NOW + second * SECOND).expect("it is made");
        // Nobody has heard of g3 since the fifth second; the round is aborted, and the next one armed and played.
        let aborted = make(&make(&halted(), Change::Halt { halted: false }, 1), Change::Abort, 10);
        let draft = make(&aborted, Change::Draft, 12);
        let generators = ["g1", "g2"].map(str::to_owned).to_vec();
        let start_at = NOW + 20 * SECOND;
        let armed = make(&draft, Change::Arm { round: RoundId::from_bits(8), start_at, scored: true, generators }, 13);
        let heard = ["g1", "g2"].map(|id| seen(id, Some(0), 9));
        let streams = [stream(1, true), stream(2, true), stream(3, false)];
        let expected = [MayPlay { id: "g3".to_owned(), round: RoundId::from_bits(7), until: Some(NOW + 60 * SECOND) }];
        for (control, second) in [(&aborted, 11), (&draft, 12), (&armed, 13), (&armed, 59)] {
            let now = NOW + second * SECOND;
            assert_eq!(may_play(control, &heard, &of_round(7, &streams), now), expected, "{:?}", control.state);
            assert_eq!(may_play(control, &heard, &unknown(), now), expected, "{:?}", control.state);
        }
        assert_eq!(may_play(&armed, &heard, &of_round(7, &streams), NOW + 60 * SECOND), [], "its plan is over");
        let ended = [stream(1, true), stream(2, true), stream(3, true)];
        assert_eq!(may_play(&draft, &heard, &of_round(7, &ended), NOW + 12 * SECOND), [], "rebuild has ended it");
        assert_eq!(names(&may_play(&draft, &heard, &of_round(7, &ended[..2]), NOW + 12 * SECOND)), ["g3"]);
        let back = ["g1", "g2", "g3"].map(|id| seen(id, Some(0), 9));
        assert_eq!(may_play(&draft, &back, &of_round(7, &streams), NOW + 12 * SECOND), [], "it is heard");
        // It has a share of the next one as well: the longer of the two is told.
        let again = make(&armed, Change::Split { at: start_at, generators: vec!["g3".to_owned()] }, 14);
        let told = may_play(&again, &heard, &unknown(), NOW + 30 * SECOND);
        assert_eq!(
            told,
            [MayPlay { until: Some(start_at + 60 * SECOND), round: RoundId::from_bits(8), ..expected[0].clone() }]
        );
    }

    #[test]
    fn a_run_plays_until_its_stream_has_ended() {
        let id = StreamId::from_bits(4);
        let split = vec![id.to_string()];
        let round = Some(RoundId::from_bits(9));
        let draft = Control::new(halted().contest);
        let control = Control { state: State::Running, round, split, halted: true, ..draft };
        let plays = |control: &Control, streams: &RoundStreams| names(&may_play(control, &[], streams, NOW));
        assert_eq!(plays(&control, &unknown()), [id.to_string()]);
        assert_eq!(plays(&control, &of_round(9, &[stream(4, false)])), [id.to_string()]);
        assert!(plays(&control, &of_round(9, &[stream(4, true)])).is_empty());
        assert!(plays(&Control { state: State::Sealed, ..control }, &unknown()).is_empty());
    }

    #[test]
    fn an_older_program_obeys_what_it_follows() {
        let control = halted();
        let revision = control.revision;
        let of = |one: SeenGenerator| {
            let found = StopStatus::of(&control, revision, &[one], &unknown(), NOW + 61 * SECOND);
            (found.applied.len(), found.going_on.len())
        };
        assert_eq!(of(seen("g1", None, revision)), (1, 0));
        assert_eq!(of(seen("g1", None, revision - 1)), (0, 1));
        let any = StopStatus::of(&control, 1, &[seen("g1", None, revision - 1)], &unknown(), NOW + 61 * SECOND);
        assert_eq!(any.going_on, ["g1"], "what it follows is older than the stop");
        let mut idle = seen("g1", None, 0);
        idle.health.as_mut().expect("it is heard").round = None;
        assert_eq!(of(idle), (0, 0));
    }
}
