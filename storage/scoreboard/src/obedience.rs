//! Who obeys a stop of all traffic, by what generators say of themselves, and who cannot be asked. Pure.

use crate::generator::{GeneratorHealth, SeenGenerator};
use flowtest_contest::Control;
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

    /// Holds a stop against what generators say. `revision`: that of the stop, or 1 where any will do.
    pub fn of(control: &Control, revision: u64, seen: &[SeenGenerator], now: UtcUs) -> Obedience {
        let mut found = Obedience::default();
        for health in seen.iter().filter_map(|seen| seen.health.as_ref()) {
            match obeys(health, revision.max(1)) {
                Some(true) => found.obeying.push(health.id.clone()),
                Some(false) => found.going_on.push(health.id.clone()),
                None => {}
            }
        }
        if let Some(start) = control.timeline.start_at.filter(|_| may_be_played(control, now)) {
            let is_heard = |id: &str| seen.iter().any(|seen| seen.id == id && seen.health.is_some());
            let named = control.timeline.splits.iter().flat_map(|split| &split.generators).chain(&control.split);
            // A share may be younger than the document that Redis holds.
            let came = seen.iter().filter(|seen| seen.beat >= start).map(|seen| &seen.id);
            let silent: BTreeSet<&String> = named.chain(came).filter(|id| !is_heard(id)).collect();
            found.silent = silent.into_iter().cloned().collect();
        }
        found
    }
}

/// None: an older program that plays nothing and so says nothing.
fn obeys(health: &GeneratorHealth, revision: u64) -> Option<bool> {
    match health.halted_by {
        Some(by) => Some(by >= revision),
        None => health.round.map(|_| health.revision >= revision),
    }
}

/// Whether somebody may play the round who has not heard of its end: by the plan alone it is not over.
fn may_be_played(control: &Control, now: UtcUs) -> bool {
    control.timeline.instant_of(control.contest.duration_us()).is_none_or(|end| now < end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::tests::health;
    use flowtest_contest::lifecycle::{Change, change};
    use flowtest_contract::RoundId;

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
        let found = Obedience::of(&control, revision, &all, at(10));
        assert_eq!((found.obeying, found.going_on), (vec!["g1".to_owned()], vec!["g2".to_owned()]));
        assert_eq!(found.silent, ["g3", "g9"]);
        // Whom Redis does not know at all, the split does; who was there before the round is of yesterday.
        assert_eq!(Obedience::of(&control, revision, &all[..2], at(10)).silent, ["g3"]);
        let yesterday = [gone("g8", UtcUs(NOW.0 - SECOND))];
        assert_eq!(Obedience::of(&control, revision, &yesterday, at(10)).silent, ["g1", "g2", "g3"]);
        // By the plan it is over, whoever has heard of what.
        assert!(Obedience::of(&control, revision, &all, at(61)).silent.is_empty());
    }

    #[test]
    fn an_older_program_obeys_what_it_follows() {
        let control = halted();
        let revision = control.revision;
        let of = |one: SeenGenerator| {
            let found = Obedience::of(&control, revision, &[one], NOW + 61 * SECOND);
            (found.obeying.len(), found.going_on.len())
        };
        assert_eq!(of(seen("g1", None, revision)), (1, 0));
        assert_eq!(of(seen("g1", None, revision - 1)), (0, 1));
        let mut idle = seen("g1", None, 0);
        idle.health.as_mut().expect("it is heard").round = None;
        assert_eq!(of(idle), (0, 0));
    }
}
