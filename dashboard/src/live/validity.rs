//! How much of the round is valid, summed over the generators that play it, and whether pages say so. Pure.
//!
//! Generators say of which seconds they are sure. What none of them says is held against the document: a share that a split
//! gave to somebody, and that nobody has played, is as many seconds that are not valid.

use super::audience::Audience;
use flowtest_contest::timeline::Timeline;
use flowtest_contest::{Contest, Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, RoundValidity, StreamId};
use flowtest_scoreboard::{RoundTotals, SeenGenerator};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A second that is not valid is told for so long: whoever looks up now has not missed it.
const TOLD_US: u64 = 10_000_000;
/// What was played is heard within so long: a second is over when its answers are, is put once a second and read as often.
const HEARD_US: u64 = 4_000_000;
const SECOND_US: u64 = 1_000_000;
/// A stream that has put so many rows, which takes five seconds, and has not said how much of it is valid, will never do so.
const TOLD_BY_SEQ: u64 = 50;
/// In place of the name of a generator that is gone.
const GONE: &str = "one that is gone";

/// What each generator said last of one round. One that is gone keeps its figures until another round is followed.
#[derive(Clone, Debug, Default)]
pub struct HeardValidity {
    round: Option<RoundId>,
    /// By stream: a generator that was started again has another one and counts from nothing.
    heard: BTreeMap<StreamId, Heard>,
    /// Seconds of shares that nobody has played.
    unplayed_seconds: u64,
    /// One that plays tells no seconds, for it is of an older version.
    is_untold: bool,
    /// When a second was last found that is not valid.
    late_at: Option<UtcUs>,
    /// Until then nothing is held against shares: Redis was away, and whoever played on has not been heard yet.
    quiet_until: UtcUs,
}

/// Of one stream.
#[derive(Clone, Debug, Default)]
struct Heard {
    /// None of one that has been gone for as long as we have been here: Redis knows its rows and not its name.
    generator: Option<String>,
    validity: RoundValidity,
    /// What of its own it was last.
    cause: Option<String>,
}

impl HeardValidity {
    /// Takes what generators say of the document's round, and what Redis keeps of those that are gone. `totals`: of this round.
    pub fn look(
        &mut self,
        control: Option<&Control>,
        generators: &[SeenGenerator],
        totals: Option<&RoundTotals>,
        now: UtcUs,
    ) {
        let control = control.filter(|control| control.state != State::Draft);
        let round = control.and_then(|control| control.round);
        if self.round != round {
            *self = HeardValidity { round, quiet_until: self.quiet_until, ..HeardValidity::default() };
        }
        let before = self.sum();
        let streams = totals.map_or(&[][..], |totals| &totals.streams);
        self.is_untold |= streams.iter().any(|stream| stream.validity.is_none() && stream.seq > TOLD_BY_SEQ);
        for health in generators.iter().filter_map(|seen| seen.health.as_ref()) {
            if let Some(stream) = health.stream.filter(|_| round.is_some() && health.round == round) {
                let heard = self.heard.entry(stream).or_default();
                heard.take(Some(&health.id), health.validity);
                heard.cause = health.own_fault_cause.clone().or(heard.cause.take());
                self.is_untold |= health.takes_from == Some(UtcUs::EPOCH);
            }
        }
        for (stream, validity) in totals.filter(|_| round.is_some()).into_iter().flat_map(RoundTotals::validity) {
            self.heard.entry(stream).or_default().take(None, validity);
        }
        if let Some(control) = control.filter(|_| now >= self.quiet_until) {
            self.expect(control, now.saturating_sub(HEARD_US));
        }
        // What was so before we came is no news.
        let late = |sum: Option<RoundValidity>| sum.map(|sum| sum.invalid_seconds());
        if before.is_some() && late(self.sum()) > late(before) {
            self.late_at = Some(now);
        }
    }

    /// Redis does not answer: once it does, generators need a moment until what they played meanwhile is heard.
    pub fn heard_nothing(&mut self, now: UtcUs) {
        self.quiet_until = now.saturating_add(HEARD_US);
    }

    /// Holds what was said against the shares that were given until an instant.
    pub fn expect(&mut self, control: &Control, until: UtcUs) {
        if self.round.is_none() || self.round != control.round || self.is_untold {
            return;
        }
        let (contest, timeline) = (&control.contest, &control.timeline);
        let played: u64 = self.heard.values().map(|heard| heard.validity.seconds).fold(0, u64::saturating_add);
        let missing = shared_seconds(contest, timeline, until).saturating_sub(played);
        self.unplayed_seconds = if missing > slack(contest, timeline, until) { missing } else { 0 };
    }

    /// Of all together. None: nobody has said anything, and nobody was to.
    pub fn sum(&self) -> Option<RoundValidity> {
        let told = self.heard.values().map(|heard| heard.validity);
        let unplayed = RoundValidity::unplayed(self.unplayed_seconds);
        told.chain((self.unplayed_seconds > 0).then_some(unplayed)).reduce(|mut sum, one| {
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
        let is_recent = self.late_at.is_some_and(|at| now.saturating_since(at) < TOLD_US);
        let causes = || Causes { late_generators: self.late_generators(), house_failures };
        Some(ValidityNow {
            valid,
            figures,
            warn: is_on && (!valid || is_recent),
            unplayed_seconds: self.unplayed_seconds,
            cause: self.cause(),
            causes: (*audience == Audience::Admin).then(causes),
        })
    }

    /// What of ours it was, in words: of whoever has most seconds that are not valid.
    fn cause(&self) -> Option<String> {
        let told = self.heard.values().filter_map(|heard| Some((heard.validity, heard.cause.as_ref()?)));
        let worst = told.max_by_key(|(validity, _)| (validity.invalid_seconds(), validity.void));
        let gone = || (self.unplayed_seconds > 0).then(|| "a generator that was to play was not there".to_owned());
        let is_less = |(validity, _): &(RoundValidity, &String)| validity.invalid_seconds() < self.unplayed_seconds;
        worst.filter(|worst| !is_less(worst)).map(|(_, cause)| cause.clone()).or_else(gone)
    }

    /// Those with seconds that are not valid, worst first; with exchanges that are void where no whole second is not valid.
    fn late_generators(&self) -> Vec<String> {
        let mut by_id: BTreeMap<&str, RoundValidity> = BTreeMap::new();
        for Heard { generator, validity, .. } in self.heard.values() {
            by_id.entry(generator.as_deref().unwrap_or(GONE)).or_default().add(*validity);
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

/// How many seconds all shares together have until an instant. Behind the end its second is one for each of those who play then, or
/// for nobody: generators count a second by what its middle is.
fn shared_seconds(contest: &Contest, timeline: &Timeline, until: UtcUs) -> u64 {
    let shared_us = |until| timeline.shared_us(contest, until);
    let Some((start, end)) = timeline.start_at.zip(ended(contest, timeline, until)) else {
        return shared_us(until) / SECOND_US;
    };
    let begun = UtcUs(end.0 - end.saturating_since(start) % SECOND_US);
    let middle = begun.saturating_add(SECOND_US / 2);
    let playing = shared_us(middle.saturating_add(1)) - shared_us(middle);
    shared_us(begun) / SECOND_US + playing
}

/// When a round ended that is over at an instant.
fn ended(contest: &Contest, timeline: &Timeline, until: UtcUs) -> Option<UtcUs> {
    timeline.end_at(contest).filter(|end| *end <= until)
}

/// By how many seconds all counts together may differ from the length of the shares: one that begins or ends within a second
/// has it or has it not, so that each edge is half a second. The first shares begin with the seconds themselves, and the end of the
/// round is counted as they count it, where phases before the last are whole seconds. The two edges of a pause are the same for all
/// generators, and those of many pauses take as often as they give: together they differ by the root of their number (the deviation
/// of one pause is the root of 1/6 of a second; this is more than three of them).
fn slack(contest: &Contest, timeline: &Timeline, until: UtcUs) -> u64 {
    let begun = || timeline.splits.iter().take_while(|split| split.from < until).map(|split| &split.generators[..]);
    let changes = begun().zip(begun().skip(1)).map(|(before, after)| {
        let gone = before.iter().filter(|id| !after.contains(id)).count();
        gone + after.iter().filter(|id| !before.contains(id)).count()
    });
    let mut before_last = contest.phases.iter().rev().skip(1);
    let is_whole = before_last.all(|phase| phase.duration_us.is_multiple_of(SECOND_US));
    let is_exact = is_whole && ended(contest, timeline, until).is_some();
    let ends = if is_exact { 0 } else { begun().last().map_or(0, <[String]>::len) };
    let pauses = timeline.pauses.len();
    let paused = pauses.min((2 * pauses).isqrt() + 1) * begun().map(<[String]>::len).max().unwrap_or(0);
    ((changes.sum::<usize>() + ends).div_ceil(2) + paused) as u64
}

impl Heard {
    /// Counts only grow, and of two words the later one is not always the newer.
    fn take(&mut self, generator: Option<&str>, validity: RoundValidity) {
        self.generator = self.generator.take().or(generator.map(str::to_owned));
        if validity.due >= self.validity.due && validity.seconds >= self.validity.seconds {
            self.validity = validity;
        }
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
    /// Those of the seconds in which a share of the requests was nobody's: a generator was not there.
    pub unplayed_seconds: u64,
    /// What of ours it was last, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
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
    use flowtest_contest::timeline::{Pause, Split};
    use flowtest_scoreboard::StreamState;
    use flowtest_testkit::documents::generator_health;
    use serde_json::json;

    const ROUND: RoundId = RoundId::from_bits(7);
    const SECOND: u64 = 1_000_000;

    /// A round of one minute that `generators` share from second 10 on.
    fn control(round: RoundId, generators: &[&str]) -> Control {
        let contest = Contest::from_toml(
            "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 5\nconnections = 9\n[policy]\nallow = [\"10.0.0.0/8\"]\n\
             [[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n",
        )
        .expect("a contest");
        let start_at = UtcUs(10 * SECOND);
        let split = Split { from: start_at, generators: generators.iter().map(|&name| name.to_owned()).collect() };
        let timeline = Timeline { start_at: Some(start_at), splits: vec![split], ..Timeline::default() };
        Control { round: Some(round), state: State::Running, timeline, ..Control::new(contest) }
    }

    fn alone(round: RoundId) -> Control {
        control(round, &["g1"])
    }

    fn validity(seconds: u64, valid_seconds: u64) -> RoundValidity {
        let invalid = seconds - valid_seconds;
        RoundValidity { seconds, valid_seconds, due: 1_000 * seconds, void: 10 * invalid, late_ms: 20 * invalid }
    }

    fn and_missing(played: RoundValidity, missing: u64) -> RoundValidity {
        RoundValidity { seconds: played.seconds + missing, late_ms: played.late_ms + 1_000 * missing, ..played }
    }

    fn plays(id: &str, stream: u128, validity: RoundValidity) -> SeenGenerator {
        let mut health = generator_health(id, UtcUs(1));
        (health.round, health.stream, health.validity) = (Some(ROUND), Some(StreamId::from_bits(stream)), validity);
        SeenGenerator { id: id.to_owned(), beat: UtcUs(1), health: Some(health), waiting: None }
    }

    #[test]
    fn generators_are_summed_and_one_that_is_gone_or_starts_again_keeps_its_figures() {
        let mut heard = HeardValidity::default();
        let mut idle = plays("g3", 3, validity(99, 0));
        idle.health.as_mut().expect("a health").round = Some(RoundId::from_bits(6));
        heard.look(
            Some(&alone(ROUND)),
            &[plays("g1", 1, validity(10, 10)), plays("g2", 2, validity(10, 8)), idle],
            None,
            UtcUs::EPOCH,
        );
        assert_eq!(
            heard.sum(),
            Some(RoundValidity { seconds: 20, valid_seconds: 18, due: 20_000, void: 20, late_ms: 40 })
        );
        // One is silent, the other was killed and has a new stream.
        let silent = SeenGenerator { id: "g2".to_owned(), beat: UtcUs(1), health: None, waiting: None };
        heard.look(Some(&alone(ROUND)), &[plays("g1", 4, validity(3, 2)), silent], None, UtcUs::EPOCH);
        assert_eq!(
            heard.of(ROUND),
            Some(RoundValidity { seconds: 23, valid_seconds: 20, due: 23_000, void: 30, late_ms: 60 })
        );
        assert_eq!(heard.of(RoundId::from_bits(8)), None);
        heard.look(Some(&alone(RoundId::from_bits(8))), &[plays("g1", 4, validity(3, 2))], None, UtcUs::EPOCH);
        assert_eq!(heard.sum(), None, "another round begins at nothing");
    }

    #[test]
    fn what_redis_keeps_of_generators_that_are_gone_counts_for_who_comes_later() {
        let stream = |id, validity| {
            let id = StreamId::from_bits(id);
            StreamState { id, seq: 9, histograms_seq: 9, ended: false, abandoned: false, validity }
        };
        let streams = vec![stream(1, Some(validity(7, 7))), stream(2, Some(validity(10, 6))), stream(3, None)];
        let totals = RoundTotals { streams, ..RoundTotals::default() };
        let mut heard = HeardValidity::default();
        // The first one is newer than its word in Redis, the second is gone, the third is of an older version.
        heard.look(Some(&alone(ROUND)), &[plays("g1", 1, validity(9, 8))], Some(&totals), UtcUs(SECOND));
        assert_eq!(
            heard.sum(),
            Some(RoundValidity { seconds: 19, valid_seconds: 14, due: 19_000, void: 50, late_ms: 100 })
        );
        let told = heard.now(&Audience::Admin, true, None, UtcUs(2 * SECOND)).expect("something was heard");
        assert_eq!(told.causes.expect("an organiser").late_generators, [GONE, "g1"]);
        // What was so before we came is no news.
        assert_eq!(heard.late_at, None);
        heard.look(Some(&alone(RoundId::from_bits(8))), &[], None, UtcUs(SECOND));
        assert_eq!(heard.sum(), None);
    }

    #[test]
    fn pages_say_it_while_the_round_is_not_valid_and_for_a_moment_after_a_second() {
        let mut heard = HeardValidity::default();
        let warn = |heard: &HeardValidity, is_on, at| heard.now(&Audience::Public, is_on, None, at).map(|now| now.warn);
        assert_eq!(warn(&heard, true, UtcUs::EPOCH), None);
        // One of many: the round stays valid.
        heard.look(Some(&alone(ROUND)), &[plays("g1", 1, validity(200, 200))], None, UtcUs::EPOCH);
        assert_eq!(warn(&heard, true, UtcUs::EPOCH), Some(false));
        heard.look(Some(&alone(ROUND)), &[plays("g1", 1, validity(201, 200))], None, UtcUs(SECOND));
        assert_eq!(warn(&heard, true, UtcUs(2 * SECOND)), Some(true));
        assert_eq!(warn(&heard, false, UtcUs(2 * SECOND)), Some(false), "not of a round that is over");
        assert_eq!(warn(&heard, true, UtcUs(11 * SECOND)), Some(false));
        heard.look(Some(&alone(ROUND)), &[plays("g1", 1, validity(205, 200))], None, UtcUs(12 * SECOND));
        assert_eq!(warn(&heard, true, UtcUs(99 * SECOND)), Some(true), "it is not valid any more");
    }

    #[test]
    fn who_played_on_while_redis_was_away_was_there() {
        let at = |second: u64| UtcUs(second * SECOND);
        let (mut heard, one) = (HeardValidity::default(), alone(ROUND));
        let told =
            |heard: &HeardValidity, second| heard.now(&Audience::Public, true, None, at(second)).expect("it plays");
        heard.look(Some(&one), &[plays("g1", 1, validity(10, 10))], None, at(21));
        (22..35).for_each(|second| heard.heard_nothing(at(second)));
        // Redis is back, and has not heard of the generator yet.
        heard.look(Some(&one), &[], None, at(35));
        assert!(!told(&heard, 35).warn && heard.unplayed_seconds == 0, "{heard:?}");
        let mut back = heard.clone();
        back.look(Some(&one), &[plays("g1", 1, validity(25, 25))], None, at(36));
        (37..40).for_each(|second| {
            back.look(Some(&one), &[plays("g1", 1, validity(second - 11, second - 11))], None, at(second));
        });
        assert!(!told(&back, 40).warn && back.sum() == Some(validity(28, 28)), "{back:?}");
        // One that does not come back was not there.
        heard.look(Some(&one), &[], None, at(39));
        assert!(told(&heard, 39).warn && heard.unplayed_seconds > 10, "{heard:?}");
    }

    #[test]
    fn a_share_that_nobody_plays_is_so_many_seconds_that_are_not_valid() {
        let at = |second: u64| UtcUs(second * SECOND);
        let look = |heard: &mut HeardValidity, control: &Control, generators: &[SeenGenerator], second| {
            heard.look(Some(control), generators, None, at(second));
            heard.sum()
        };
        // The only one played for 20 s, and is gone.
        let (mut heard, one) = (HeardValidity::default(), alone(ROUND));
        look(&mut heard, &one, &[plays("g1", 1, validity(20, 20))], 30);
        assert_eq!(
            (heard.sum(), heard.unplayed_seconds),
            (Some(validity(20, 20)), 0),
            "what was played is heard later"
        );
        let mut missing = |second| look(&mut heard, &one, &[], second).map(|sum| (sum.seconds, sum.valid_seconds));
        assert_eq!([missing(35), missing(40), missing(999)], [Some((20, 20)), Some((26, 20)), Some((60, 20))]);
        let told = heard.now(&Audience::Public, true, None, at(70)).expect("it is told");
        assert!(!told.valid && told.warn && told.unplayed_seconds == 40, "{told:?}");
        assert!(told.cause.is_some_and(|cause| cause.contains("was not there")));
        // It comes back, and plays the rest.
        assert_eq!(
            look(&mut heard, &one, &[plays("g1", 2, validity(35, 35))], 999),
            Some(and_missing(validity(55, 55), 5))
        );
        // The seal looks at all of it.
        let mut ended = HeardValidity::default();
        look(&mut ended, &one, &[plays("g1", 1, validity(56, 56))], 70);
        assert_eq!(ended.unplayed_seconds, 0);
        ended.expect(&one, at(70));
        assert_eq!(ended.unplayed_seconds, 4);
        // Nobody ever came.
        let mut nobody = HeardValidity::default();
        assert_eq!(look(&mut nobody, &one, &[], 13), None);
        assert_eq!(look(&mut nobody, &one, &[], 44).map(|sum| (sum.seconds, sum.valid_seconds)), Some((30, 0)));
        // Of two one is gone after half of the round: a quarter of all shares.
        let (mut heard, two) = (HeardValidity::default(), control(ROUND, &["g1", "g2"]));
        let both = [plays("g1", 1, validity(60, 60)), plays("g2", 2, validity(30, 30))];
        assert_eq!(look(&mut heard, &two, &both, 999), Some(and_missing(validity(90, 90), 30)));
        // Of three one is gone for four seconds: it comes back, and the round is not valid all the same.
        let mut three = control(ROUND, &["g1", "g2", "g3"]);
        let split = |from, generators: &[&str]| Split {
            from,
            generators: generators.iter().map(|&id| id.to_owned()).collect(),
        };
        let start = three.timeline.splits[0].from;
        let (gone, back) = (split(start + 12 * SECOND, &["g1", "g2"]), split(start + 20 * SECOND, &["g1", "g2", "g3"]));
        three.timeline.splits.extend([gone, back]);
        let shared = three.timeline.shared_us(&three.contest, at(999)) / SECOND;
        let mut heard = HeardValidity::default();
        look(&mut heard, &three, &[plays("g1", 1, validity(shared - 4, shared - 4))], 999);
        assert_eq!(heard.unplayed_seconds, 4);
        // Many short pauses hide no share: of two, one was not there for half of the minute.
        let mut paused = control(ROUND, &["g1", "g2"]);
        let pause = |number: u64| Pause { from: at(12 + 2 * number), to: Some(at(12 + 2 * number) + SECOND / 2) };
        paused.timeline.pauses = (0..30).map(pause).collect();
        let shared = paused.timeline.shared_us(&paused.contest, at(999)) / SECOND;
        let mut heard = HeardValidity::default();
        look(
            &mut heard,
            &paused,
            &[plays("g1", 1, validity(shared / 2, shared / 2)), plays("g2", 2, validity(30, 30))],
            999,
        );
        assert_eq!(heard.unplayed_seconds, shared - shared / 2 - 30);
        // What their edges make of it is not held against anybody.
        let mut heard = HeardValidity::default();
        look(&mut heard, &paused, &[plays("g1", 1, validity(shared - 16, shared - 16))], 999);
        assert_eq!(heard.unplayed_seconds, 0);
        // One that died before it could say anything has played nothing that is known.
        let stream = |seq, histograms_seq| {
            let id = StreamId::from_bits(9);
            StreamState { id, seq, histograms_seq, ended: true, abandoned: false, validity: None }
        };
        let look_at = |seq| {
            let mut heard = HeardValidity::default();
            let totals = RoundTotals { streams: vec![stream(seq, seq)], ..RoundTotals::default() };
            heard.look(Some(&one), &[], Some(&totals), at(999));
            heard.sum().map(|sum| sum.seconds)
        };
        assert_eq!([look_at(7), look_at(600)], [Some(60), None], "and one that never says it is of an older version");
        // So is a generator that knows no shares; nothing is held against it.
        let mut old = plays("g1", 1, RoundValidity::default());
        old.health.as_mut().expect("a health").takes_from = Some(UtcUs::EPOCH);
        assert_eq!(look(&mut HeardValidity::default(), &one, &[old], 999), Some(RoundValidity::default()));
    }

    #[test]
    fn at_the_end_of_a_round_one_second_that_nobody_played_is_found() {
        let unplayed = |control: &Control, seconds, until| {
            let mut heard = HeardValidity::default();
            heard.look(Some(control), &[plays("g1", 1, validity(seconds, seconds))], None, UtcUs::EPOCH);
            heard.expect(control, until);
            let valid = heard.sum().is_some_and(|sum| sum.is_valid());
            (heard.unplayed_seconds, valid)
        };
        let at = |ms: u64| UtcUs(10 * SECOND + ms * 1_000);
        let (one, five) = (alone(ROUND), control(ROUND, &["g1", "g2", "g3", "g4", "g5"]));
        // Killed in the last second, and one of five three seconds before the end.
        assert_eq!(unplayed(&one, 59, at(60_000)), (1, false));
        assert_eq!(unplayed(&one, 60, at(60_000)), (0, true));
        assert_eq!(unplayed(&five, 297, at(60_000)).0, 3);
        // While it is played the newest second of each may be told or not.
        assert_eq!([27, 26].map(|seconds| unplayed(&five, 5 * seconds + 2, at(27_999)).0), [0, 7]);
        // Ended by a word: what is less than half of a second is none, and what is more is one.
        let ended = |ms, seconds| {
            let mut ended = five.clone();
            ended.timeline.stopped_at = Some(at(ms));
            unplayed(&ended, seconds, at(60_000)).0
        };
        assert_eq!([ended(10_400, 50), ended(10_400, 49), ended(10_600, 55), ended(10_600, 54)], [0, 1, 0, 1]);
        // Where a warm-up ends within a second, each of them has it or has it not.
        let mut warm = five.clone();
        warm.contest.phases.insert(0, warm.contest.phases[0]);
        (warm.contest.phases[0].duration_us, warm.contest.phases[0].scored) = (10_400_000, false);
        assert_eq!([295, 294].map(|seconds| unplayed(&warm, seconds, at(70_400)).0), [0, 4]);
    }

    #[test]
    fn what_of_ours_it_was_is_told_to_everybody() {
        let mut late = plays("g2", 2, validity(20, 15));
        late.health.as_mut().expect("a health").own_fault_cause = Some("no local port was left".to_owned());
        let mut heard = HeardValidity::default();
        let two = control(ROUND, &["g1", "g2"]);
        heard.look(Some(&two), &[plays("g1", 1, validity(20, 20)), late], None, UtcUs(30 * SECOND));
        let cause = |heard: &HeardValidity, audience| {
            heard.now(&audience, true, None, UtcUs(30 * SECOND)).and_then(|now| now.cause)
        };
        for audience in [Audience::Public, Audience::Admin, Audience::Owner("u3".into())] {
            assert_eq!(cause(&heard, audience).as_deref(), Some("no local port was left"));
        }
        // It is gone, and its cause stays with its figures.
        heard.look(Some(&two), &[], None, UtcUs(31 * SECOND));
        assert!(cause(&heard, Audience::Public).is_some());
    }

    #[test]
    fn only_organisers_are_told_whose_fault_it_is() {
        let mut heard = HeardValidity::default();
        heard.look(
            Some(&alone(ROUND)),
            &[plays("g1", 1, validity(10, 9)), plays("g2", 2, validity(10, 5))],
            None,
            UtcUs::EPOCH,
        );
        let told = |audience| serde_json::to_value(heard.now(&audience, true, Some(4), UtcUs::EPOCH)).expect("JSON");
        let public = json!({ "valid": false, "seconds": 20, "valid_seconds": 14, "due": 20_000, "void": 60, "late_ms": 120, "unplayed_seconds": 0,
                    "warn": true });
        assert_eq!(told(Audience::Public), public);
        assert_eq!(told(Audience::Owner("u3".into())), public);
        let admin = told(Audience::Admin);
        assert_eq!(admin["late_generators"], json!(["g2", "g1"]));
        assert_eq!((&admin["house_failures"], &admin["warn"]), (&json!(4), &json!(true)));
    }
}
