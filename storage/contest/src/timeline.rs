//! A round on the clock: when it starts, pauses, goes on and ends, which deadlines were moved, and who sends what.
//!
//! All instants are absolute, so that every generator that has read a timeline does the same at the same instant,
//! alone. It is arithmetic on whole microseconds and knows no clock; which timelines are legal is
//! [`lifecycle`](crate::lifecycle)'s question.

use crate::contest::Contest;
use flowtest_contract::row::COUNT_MAX;
use flowtest_contract::rules::{Deadline, Deadlines, UtcUs};
use std::fmt;
use std::str::FromStr;

/// Pauses at most, and moved deadlines at most, and splits that are made without a pause.
pub const EVENTS_MAX: usize = 1_000;
/// Generators of one round at most: far more than anybody has.
pub const GENERATORS_MAX: usize = 1_000;

/// A start, the end of a pause, a moved deadline and the instant at which somebody joins lie at least so far ahead, in microseconds: time to connect, and
/// for contestants to see it coming.
pub const LEAD_US: u64 = 5_000_000;
/// From when on a change counts, in microseconds after it was made: four looks at the document.
pub const NOTICE_US: u64 = 1_000_000;
/// A split in mid-round lies at least so far ahead, in microseconds: eight looks at the document.
pub const SPLIT_LEAD_US: u64 = 2_000_000;
/// The last instant that a document may name, in the year 2255: every reader holds it exactly.
pub const INSTANT_MAX: UtcUs = UtcUs(COUNT_MAX);

const _: () = assert!(NOTICE_US < SPLIT_LEAD_US && SPLIT_LEAD_US < LEAD_US);

/// What happened to a round so far. Empty before it is armed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// When the first phase starts.
    pub start_at: Option<UtcUs>,
    /// In order, none within another.
    pub pauses: Vec<Pause>,
    /// In the order in which they were moved.
    pub moved: Vec<Moved>,
    /// Who sends what, in order: one split from the start on, one from the end of each pause on, and others between. Of two
    /// that begin at one instant the later one counts.
    pub splits: Vec<Split>,
    /// Who joined after the arming, in order: they are the last of the roster.
    pub joins: Vec<Join>,
    /// The organiser's end before the end of the plan.
    pub stopped_at: Option<UtcUs>,
}

/// Nothing falls due from `from` on until `to`, which itself is played again. Without `to` it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    pub from: UtcUs,
    pub to: Option<UtcUs>,
}

/// A deadline that was moved. Requests sent from `at` on are judged by the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    pub deadline: DeadlineName,
    pub at: UtcUs,
    pub to: UtcUs,
}

/// From `from` on, request k of a contestant belongs to generator k mod n.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pub from: UtcUs,
    pub generators: Vec<String>,
}

/// A contestant that came when the round was armed or being played: what falls due from `at` on is its, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    pub contestant: String,
    pub at: UtcUs,
}

/// One of the two deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlineName {
    Version,
    From,
}

impl DeadlineName {
    pub fn as_str(self) -> &'static str {
        match self {
            DeadlineName::Version => "version",
            DeadlineName::From => "from",
        }
    }
}

impl fmt::Display for DeadlineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeadlineName {
    type Err = ();

    fn from_str(text: &str) -> Result<DeadlineName, ()> {
        [DeadlineName::Version, DeadlineName::From].into_iter().find(|name| name.as_str() == text).ok_or(())
    }
}

impl Timeline {
    /// How much of the plan has been played at an instant, pauses left out. Nothing before the start; past the end
    /// of the plan it goes on counting.
    pub fn elapsed_us(&self, at: UtcUs) -> u64 {
        let Some(start) = self.start_at else { return 0 };
        let paused: u64 =
            self.pauses.iter().map(|pause| pause.to.map_or(at, |to| to.min(at)).saturating_since(pause.from)).sum();
        at.saturating_since(start).saturating_sub(paused)
    }

    /// When a moment of the plan is played. `None` while nobody knows: before the round is armed, or behind a pause
    /// that lasts. What would fall on the first instant of a pause comes after it.
    pub fn instant_of(&self, elapsed_us: u64) -> Option<UtcUs> {
        let mut at = self.start_at?.saturating_add(elapsed_us);
        for pause in &self.pauses {
            if at < pause.from {
                break;
            }
            at = at.saturating_add(pause.to?.saturating_since(pause.from));
        }
        Some(at)
    }

    /// When the last phase ends, or ended by the organiser's word. `None` as for [`Timeline::instant_of`].
    pub fn end_at(&self, contest: &Contest) -> Option<UtcUs> {
        match (self.stopped_at, self.instant_of(contest.duration_us())) {
            (Some(stopped), Some(planned)) => Some(stopped.min(planned)),
            (stopped, planned) => stopped.or(planned),
        }
    }

    /// Whether requests fall due at an instant.
    pub fn is_playing(&self, contest: &Contest, at: UtcUs) -> bool {
        self.start_at.is_some_and(|start| start <= at)
            && self.pause_at(at).is_none()
            && self.end_at(contest).is_none_or(|end| at < end)
    }

    /// The pause that an instant falls into.
    pub fn pause_at(&self, at: UtcUs) -> Option<&Pause> {
        self.pauses.iter().find(|pause| pause.from <= at && pause.to.is_none_or(|to| at < to))
    }

    /// When a contestant joined the round; `None` for those that were there when it was armed.
    pub fn joined_at(&self, contestant: &str) -> Option<UtcUs> {
        self.joins.iter().find(|join| join.contestant == contestant).map(|join| join.at)
    }

    /// The split that counts at an instant. `None` before the start.
    pub fn split_at(&self, at: UtcUs) -> Option<&Split> {
        self.splits.iter().rev().find(|split| split.from <= at)
    }

    /// The split that counts at an instant with the instant since which a generator has had a part in all splits. `None` when
    /// it has none.
    pub fn plays_since(&self, generator: &str, at: UtcUs) -> Option<(&Split, UtcUs)> {
        let begun = self.splits.partition_point(|split| split.from <= at);
        let names = |split: &&Split| split.generators.iter().any(|name| name == generator);
        let mut since: Option<(&Split, UtcUs)> = None;
        for split in self.splits[..begun].iter().rev() {
            // One whose place another has taken never counted.
            let (now, from) = since.unwrap_or((split, UtcUs::MAX));
            if split.from == from {
                continue;
            }
            if !names(&split) {
                break;
            }
            since = Some((now, split.from));
        }
        since
    }

    /// For how long all shares of the requests together were to be played in scored phases until an instant, in microseconds:
    /// of *n* generators each second counts *n* times.
    pub fn shared_us(&self, contest: &Contest, until: UtcUs) -> u64 {
        let until = self.end_at(contest).map_or(until, |end| end.min(until));
        let scored = |at: UtcUs| contest.scored_us(self.elapsed_us(at.min(until)));
        let ends = self.splits.iter().skip(1).map(|next| next.from).chain([until]);
        let shared = self.splits.iter().zip(ends).map(|(split, to)| {
            scored(to).saturating_sub(scored(split.from)).saturating_mul(split.generators.len() as u64)
        });
        shared.fold(0, u64::saturating_add)
    }

    /// The deadlines by which a request sent at an instant is judged: what was decided for later does not count yet.
    /// A deadline that a lasting pause holds back is [`Deadline::NEVER`].
    pub fn deadlines_at(&self, contest: &Contest, at: UtcUs) -> Deadlines {
        // Before a round is armed there is no start to count from.
        let mut deadlines = contest.deadlines(self.start_at.unwrap_or(UtcUs::MAX));
        let mut pauses = self.pauses.iter().take_while(|pause| pause.from <= at).peekable();
        for moved in self.moved.iter().take_while(|moved| moved.at <= at) {
            while let Some(pause) = pauses.next_if(|pause| pause.from <= moved.at) {
                shift(&mut deadlines, pause);
            }
            match moved.deadline {
                DeadlineName::Version => deadlines.version = Deadline(moved.to),
                DeadlineName::From => deadlines.from = Deadline(moved.to),
            }
        }
        pauses.for_each(|pause| shift(&mut deadlines, pause));
        deadlines
    }

    /// One of them.
    pub fn deadline_at(&self, contest: &Contest, deadline: DeadlineName, at: UtcUs) -> Deadline {
        let deadlines = self.deadlines_at(contest, at);
        match deadline {
            DeadlineName::Version => deadlines.version,
            DeadlineName::From => deadlines.from,
        }
    }
}

/// A pause moves what was still to come when it began.
fn shift(deadlines: &mut Deadlines, pause: &Pause) {
    for deadline in [&mut deadlines.version, &mut deadlines.from] {
        if deadline.0 > pause.from {
            *deadline = match pause.to {
                Some(to) => Deadline(deadline.0.saturating_add(to.saturating_since(pause.from))),
                None => Deadline::NEVER,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn contest() -> Contest {
        let text = "name = \"x\"\n[deadlines]\nversion = \"+20s\"\nfrom = \"+40s\"\n[[phase]]\nfor = \"60s\"\nrate = 1\n\
                    connections = 1\n[[contestant]]\nname = \"a\"\nendpoint = \"127.0.0.1:8081\"\n";
        Contest::from_toml(text).expect("a contest")
    }

    fn timeline(pauses: &[(u64, Option<u64>)]) -> Timeline {
        let second = |second: u64| UtcUs(second * SECOND);
        Timeline {
            start_at: Some(second(1000)),
            pauses: pauses.iter().map(|(from, to)| Pause { from: second(*from), to: to.map(second) }).collect(),
            ..Timeline::default()
        }
    }

    #[test]
    fn a_pause_shifts_the_end_and_what_was_still_to_come() {
        let (contest, timeline) = (contest(), timeline(&[(1030, Some(1130)), (1131, Some(1132))]));
        assert_eq!(timeline.end_at(&contest), Some(UtcUs(1161 * SECOND)));
        let deadlines = timeline.deadlines_at(&contest, UtcUs::MAX - 1);
        assert_eq!(deadlines.version, Deadline(UtcUs(1020 * SECOND)), "it had passed");
        assert_eq!(deadlines.from, Deadline(UtcUs(1141 * SECOND)));
        // Who sent before the pause was judged by what held then.
        assert_eq!(timeline.deadlines_at(&contest, UtcUs(1030 * SECOND - 1)).from, Deadline(UtcUs(1040 * SECOND)));
        assert_eq!(timeline.elapsed_us(UtcUs(1029 * SECOND)), 29 * SECOND);
        assert_eq!(timeline.elapsed_us(UtcUs(1100 * SECOND)), 30 * SECOND);
        assert_eq!(timeline.elapsed_us(UtcUs(1131 * SECOND + 7)), 31 * SECOND);
        assert_eq!(timeline.instant_of(30 * SECOND), Some(UtcUs(1130 * SECOND)));
        assert_eq!(timeline.instant_of(30 * SECOND - 1), Some(UtcUs(1030 * SECOND - 1)));
        let playing = [999, 1000, 1029, 1030, 1129, 1130, 1131, 1132, 1160, 1161]
            .map(|s| timeline.is_playing(&contest, UtcUs(s * SECOND)));
        assert_eq!(playing, [false, true, true, false, false, true, false, true, true, false]);
    }

    #[test]
    fn behind_a_pause_that_lasts_nobody_knows() {
        let (contest, timeline) = (contest(), timeline(&[(1010, None)]));
        assert_eq!(timeline.end_at(&contest), None);
        assert_eq!(timeline.instant_of(10 * SECOND), None);
        assert_eq!(timeline.instant_of(10 * SECOND - 1), Some(UtcUs(1010 * SECOND - 1)));
        assert_eq!(timeline.deadlines_at(&contest, UtcUs(2000 * SECOND)).version, Deadline::NEVER);
        assert!(!timeline.is_playing(&contest, UtcUs(9000 * SECOND)));
    }

    #[test]
    fn a_moved_deadline_counts_from_its_instant_on_and_later_pauses_shift_it() {
        let contest = contest();
        let mut timeline = timeline(&[(1030, Some(1130))]);
        let moved = |deadline, at: u64, to: u64| Moved { deadline, at: UtcUs(at * SECOND), to: UtcUs(to * SECOND) };
        timeline.moved = vec![moved(DeadlineName::Version, 1010, 1035), moved(DeadlineName::From, 1131, 1150)];
        let at = |second: u64| timeline.deadlines_at(&contest, UtcUs(second * SECOND));
        let version = [1009, 1010, 1029, 1130].map(|second| at(second).version.0.0 / SECOND);
        assert_eq!(version, [1020, 1035, 1035, 1135]);
        let from = [1029, 1130, 1131].map(|second| at(second).from.0.0 / SECOND);
        assert_eq!(from, [1040, 1140, 1150]);
    }

    #[test]
    fn a_split_counts_from_its_instant_on() {
        let split = |from, name: &str| Split { from: UtcUs(from), generators: vec![name.to_owned()] };
        let timeline = Timeline { splits: vec![split(10, "g1"), split(20, "g2")], ..Timeline::default() };
        let at = |at| timeline.split_at(UtcUs(at)).map(|split| split.generators[0].as_str());
        assert_eq!([at(9), at(10), at(19), at(20)], [None, Some("g1"), Some("g1"), Some("g2")]);
    }

    #[test]
    fn each_share_is_to_be_played_in_scored_phases_and_in_no_pause() {
        let text = "name = \"x\"\n[[phase]]\nfor = \"10s\"\nrate = 1\nconnections = 1\nscored = false\n[[phase]]\nfor = \"60s\"\n\
                    rate = 1\nconnections = 1\n[[contestant]]\nname = \"a\"\nendpoint = \"127.0.0.1:8081\"\n";
        let contest = Contest::from_toml(text).expect("a contest");
        let split = |from: u64, names: &[&str]| Split {
            from: UtcUs(from * SECOND),
            generators: names.iter().map(|&name| name.to_owned()).collect(),
        };
        // Two from the start, one from 1,020 on, then a pause of 100 s and three behind it.
        let splits = vec![
            split(1000, &["g1", "g2"]),
            split(1020, &["g1"]),
            split(1130, &["g1", "g2", "g3"]),
            split(1130, &["g1", "g2"]),
        ];
        let timeline = Timeline { splits, ..timeline(&[(1030, Some(1130))]) };
        let shared = |at: u64| timeline.shared_us(&contest, UtcUs(at * SECOND)) / SECOND;
        assert_eq!([999, 1010, 1020, 1030, 1129].map(shared), [0, 0, 20, 30, 30]);
        assert_eq!([1131, 1170, 9999].map(shared), [32, 110, 110], "the plan ends at 1,170");
        let stopped = Timeline { stopped_at: Some(UtcUs(1025 * SECOND)), ..timeline };
        assert_eq!(stopped.shared_us(&contest, UtcUs(9999 * SECOND)) / SECOND, 25);
    }

    #[test]
    fn a_generator_plays_since_the_first_of_the_splits_that_name_it_one_after_the_other() {
        let split = |from, names: &[&str]| Split {
            from: UtcUs(from),
            generators: names.iter().map(|&name| name.to_owned()).collect(),
        };
        let splits = vec![
            split(10, &["g1", "g2"]),
            split(20, &["g1"]),
            split(30, &["g1", "g3"]),
            split(40, &["g1"]),
            // the place of the one before it
            split(40, &["g1", "g3"]),
        ];
        let timeline = Timeline { splits, ..Timeline::default() };
        let since =
            |name, at| timeline.plays_since(name, UtcUs(at)).map(|(split, since)| (split.generators.len(), since.0));
        // (who, when, how many share and since when)
        let cases = [
            ("g1", 9, None),
            ("g1", 10, Some((2, 10))),
            ("g1", 50, Some((2, 10))),
            ("g2", 15, Some((2, 10))),
            ("g2", 20, None),
            ("g3", 29, None),
            ("g3", 35, Some((2, 30))),
            ("g3", 40, Some((2, 30))),
        ];
        for (name, at, expected) in cases {
            assert_eq!(since(name, at), expected, "{name} at {at}");
        }
    }

    #[test]
    fn nonsense_does_not_overflow() {
        let contest = contest();
        let nonsense = Timeline {
            start_at: Some(UtcUs::MAX),
            pauses: vec![
                Pause { from: UtcUs::MAX, to: Some(UtcUs::EPOCH) },
                Pause { from: UtcUs::EPOCH, to: Some(UtcUs::MAX - 1) },
            ],
            moved: vec![Moved { deadline: DeadlineName::From, at: UtcUs::EPOCH, to: UtcUs::MAX }],
            splits: Vec::new(),
            stopped_at: Some(UtcUs::EPOCH),
            joins: Vec::new(),
        };
        for at in [UtcUs::EPOCH, UtcUs(1), UtcUs::MAX] {
            let _ = (nonsense.elapsed_us(at), nonsense.instant_of(at.0), nonsense.deadlines_at(&contest, at));
            assert!(!nonsense.is_playing(&contest, at));
        }
    }
}
