//! Generators that die, come back, come late and leave, as the keeper of the split sees them; by a clock that tests move.

use flowtest_contest::lifecycle::{Change, change};
use flowtest_contest::{Contest, Control};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{GeneratorHealth, Resplit, SeenGenerator, SplitKeeper};
use flowtest_testkit::documents::generator_health;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000;
const NOW: UtcUs = UtcUs(1_796_119_200 * SECOND);
const START: UtcUs = NOW.saturating_add(10 * SECOND);
const ROUND: RoundId = RoundId::from_bits(7);
/// How often it looks.
const LOOK: u64 = SECOND / 4;

/// A round of a minute, a keeper, and generators that beat four times a second while they are up.
struct Script {
    control: Control,
    keeper: SplitKeeper,
    now: UtcUs,
    /// The newest of each; those that are down do not beat any more.
    generators: Vec<SeenGenerator>,
    down: Vec<String>,
    made: Vec<Resplit>,
    /// How long before it counts the last of them was made.
    heard_ahead: u64,
}

impl Script {
    /// Of a round that these were armed for.
    fn new(names: &[&str]) -> Script {
        let contest = Contest::from_toml(
            "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 5\nconnections = 9\n[policy]\nallow = [\"10.0.0.0/8\"]\n\
             [[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n",
        )
        .expect("a contest");
        let generators = names.iter().map(|name| (*name).to_owned()).collect();
        let arm = Change::Arm { round: ROUND, start_at: START, scored: true, generators };
        let control = change(&Control::new(contest), arm, NOW).expect("armed");
        let mut script = Script {
            control,
            keeper: SplitKeeper::default(),
            now: NOW,
            generators: Vec::new(),
            down: Vec::new(),
            made: Vec::new(),
            heard_ahead: 0,
        };
        names.iter().for_each(|name| script.up(name, NOW));
        script
    }

    /// One that takes splits from then on.
    fn up(&mut self, id: &str, takes_from: UtcUs) {
        let mut health = generator_health(id, self.now);
        (health.round, health.takes_from) = (Some(ROUND), Some(takes_from));
        self.down.retain(|down| down != id);
        self.generators.retain(|seen| seen.id != id);
        self.generators.push(SeenGenerator { id: id.to_owned(), beat: self.now, health: Some(health), waiting: None });
    }

    fn down(&mut self, id: &str) {
        self.down.push(id.to_owned());
    }

    fn says(&mut self, id: &str, change: impl FnOnce(&mut GeneratorHealth)) {
        let seen = self.generators.iter_mut().find(|seen| seen.id == id).expect("it is known");
        change(seen.health.as_mut().expect("it is heard"));
    }

    fn beat(&mut self) {
        for seen in self.generators.iter_mut().filter(|seen| !self.down.contains(&seen.id)) {
            seen.beat = self.now;
        }
        for seen in &mut self.generators {
            if self.now - seen.beat > 5 * SECOND {
                seen.health = None;
            }
        }
    }

    /// Looks until then, and makes what is asked for.
    fn until(&mut self, second: u64) -> &mut Script {
        while self.now < NOW + second * SECOND {
            self.now += LOOK;
            self.beat();
            self.look();
        }
        self
    }

    /// Looks, and makes what is asked for.
    fn look(&mut self) {
        if let Some(resplit) = self.keeper.look(&self.control, &self.generators, self.now) {
            self.heard_ahead = resplit.at - self.now;
            self.control = change(&self.control, resplit.change(), self.now).expect("it is legal");
            self.made.push(resplit);
        }
    }

    /// The splits that were made: at which second, and between whom.
    fn splits(&self) -> Vec<(f64, String)> {
        let second = |at: UtcUs| (at - NOW) as f64 / SECOND as f64;
        self.made.iter().map(|made| (second(made.at), made.generators.join(" "))).collect()
    }
}

#[test]
fn a_death_gives_its_share_to_the_others_within_five_seconds_and_a_return_gives_it_back() {
    let mut script = Script::new(&["g1", "g2", "g3"]);
    script.until(20).down("g1");
    script.until(30);
    assert_eq!(script.splits(), [(24.25, "g2 g3".to_owned())]);
    assert_eq!((script.made[0].gone.as_slice(), script.made[0].back.len()), (&["g1".to_owned()][..], 0));
    let text = script.made[0].message();
    assert!(text.contains("without g1") && text.contains("g2, g3"), "{text}");
    let (now, takes_from) = (script.now, script.now + SECOND);
    script.up("g1", takes_from);
    script.until(45);
    assert_eq!(script.made[1].generators, ["g2", "g3", "g1"]);
    assert!(script.made[1].at <= now + 5 * SECOND, "{:?}", script.made);
    assert_eq!(script.made.len(), 2);
}

#[test]
fn a_redis_that_answers_slowly_takes_nobodys_share_and_a_death_is_still_seen() {
    let mut script = Script::new(&["g1", "g2"]);
    script.until(15);
    // Ten of our usual looks pass between two of g1's, who beats as often, and eleven between two beats of g2; then all is as it was.
    let crawl = |script: &mut Script, second: u64| {
        let mut steps = 0;
        while script.now < NOW + second * SECOND {
            script.now += LOOK;
            steps += 1;
            if steps % 11 == 0 {
                script.beat();
            }
            if steps % 10 == 0 {
                script.generators[0].beat = script.now;
                script.look();
            }
        }
    };
    crawl(&mut script, 40);
    for _ in 0..10 {
        script.now += LOOK;
        script.generators[0].beat = script.now;
        script.look();
    }
    script.until(45);
    assert_eq!(script.splits(), []);
    script.down("g2");
    script.until(60);
    assert_eq!(script.made.len(), 1, "{:?}", script.splits());
    // One that dies while it is slow: whoever is left has heard of the split before it counts.
    let mut script = Script::new(&["g1", "g2"]);
    script.until(15);
    script.down("g2");
    crawl(&mut script, 30);
    let [(at, who)] = script.splits().try_into().expect("one split");
    assert!(who == "g1" && (at - 15.0) <= 12.5, "{at} {who}");
    assert!(script.heard_ahead >= 5 * SECOND, "{}", script.heard_ahead);
}

#[test]
fn one_hang_of_redis_takes_nobodys_share_and_is_soon_forgotten() {
    let mut script = Script::new(&["g1", "g2"]);
    script.until(15);
    script.now += 4 * SECOND;
    script.look();
    script.until(24).down("g2");
    script.until(40);
    let [(at, who)] = script.splits().try_into().expect("one split");
    assert!(who == "g1" && at <= 29.0, "{at} {who}");
}

#[test]
fn who_starts_late_comes_in_before_the_start_and_after_it() {
    let mut script = Script::new(&["g1"]);
    script.until(2).up("g2", NOW);
    script.until(15).up("g3", NOW + 16 * SECOND);
    script.until(30);
    assert_eq!(script.splits(), [(10.0, "g1 g2".to_owned()), (18.25, "g1 g2 g3".to_owned())]);
    assert_eq!(script.control.timeline.splits[1].from, START, "it takes the place of the first");
}

#[test]
fn another_process_of_the_name_plays_nothing_of_a_split_that_began_before_it() {
    let mut script = Script::new(&["g1", "g2"]);
    script.until(20).up("g1", NOW + 21 * SECOND);
    script.until(40);
    let generators: Vec<String> = script.splits().into_iter().map(|(_, names)| names).collect();
    assert_eq!(generators, ["g2", "g2 g1"]);
    assert!(script.made[0].at <= NOW + 23 * SECOND, "{:?}", script.made);
}

#[test]
fn the_only_one_comes_back_to_its_own_share_also_before_anybody_has_missed_it() {
    for returns in [21, 29] {
        let mut script = Script::new(&["g1"]);
        script.until(20).down("g1");
        script.until(returns);
        assert!(script.made.is_empty(), "there is nobody to give it to");
        let back = script.now;
        script.up("g1", back);
        script.until(returns + 5);
        let [split] = script.made.as_slice() else { panic!("{:?}", script.made) };
        assert!(split.at > back && split.at <= back + 5 * SECOND, "{split:?}");
        assert_eq!((&split.generators, &split.gone), (&vec!["g1".to_owned()], &Vec::new()));
        // And is left alone then.
        assert_eq!(script.until(returns + 25).made.len(), 1);
    }
}

#[test]
fn one_that_leaves_gives_its_share_away_before_it_goes() {
    let mut script = Script::new(&["g1", "g2"]);
    script.until(20).says("g2", |health| health.takes_from = None);
    script.until(30);
    assert_eq!(script.splits(), [(22.25, "g1".to_owned())]);
}

#[test]
fn one_that_is_not_armed_shortly_before_the_start_is_left_out_and_comes_when_it_is() {
    let mut script = Script::new(&["g1", "g2"]);
    script.says("g2", |health| (health.round, health.takes_from) = (None, None));
    script.until(7);
    assert_eq!(script.splits(), []);
    script.until(9);
    assert_eq!(script.splits(), [(10.0, "g1".to_owned())]);
    script.up("g2", NOW + 12 * SECOND);
    script.until(30);
    assert_eq!(script.made[1].generators, ["g1", "g2"]);
}

#[test]
fn one_that_nobody_ever_heard_is_left_out_before_the_start_also_by_a_keeper_that_has_just_begun() {
    let mut script = Script::new(&["g1", "g2"]);
    script.generators.retain(|seen| seen.id == "g1");
    script.now = NOW + 6 * SECOND;
    script.until(9);
    assert_eq!(script.splits(), [(10.0, "g1".to_owned())]);
}

#[test]
fn what_the_organiser_does_is_not_undone() {
    let mut script = Script::new(&["g1", "g2"]);
    script.control.left_out.insert("g9".to_owned());
    script.until(12).up("g9", NOW);
    script.until(20);
    assert_eq!(script.splits(), [], "it was left out");
    script.control = change(&script.control, Change::Begin, script.now).expect("it runs");
    script.control = change(&script.control, Change::Pause, script.now).expect("paused");
    script.down("g2");
    script.until(40);
    assert_eq!(script.splits(), [], "in a pause nobody sends");
    let generators = vec!["g1".to_owned(), "g2".to_owned()];
    let resume = Change::Resume { at: script.now + 6 * SECOND, generators };
    script.control = change(&script.control, resume, script.now).expect("it goes on");
    script.until(50);
    // It takes the place of the split of the resume.
    assert_eq!(script.splits(), [(46.0, "g1".to_owned())]);
}

#[test]
fn nobody_is_gone_while_nothing_can_be_read_and_for_a_while_after() {
    let mut script = Script::new(&["g1", "g2"]);
    script.until(20);
    // Nobody can write either. g1 is back four seconds after Redis is.
    script.keeper.lost();
    script.now += 8 * SECOND;
    script.generators.iter_mut().for_each(|seen| seen.health = None);
    script.down("g1");
    let health = generator_health("g2", script.now);
    script.generators[1].health = Some(GeneratorHealth { round: Some(ROUND), takes_from: Some(NOW), ..health });
    script.until(32).up("g1", NOW);
    script.until(45);
    assert_eq!(script.splits(), []);
    // All are gone: there is nobody to give it to.
    script.down("g1");
    script.down("g2");
    script.until(55);
    assert_eq!(script.splits(), []);
}

#[test]
fn with_an_older_generator_in_it_the_split_stays() {
    let mut script = Script::new(&["g1", "g2"]);
    script.says("g2", |health| health.takes_from = Some(UtcUs::EPOCH));
    script.until(20).down("g1");
    script.until(40);
    assert_eq!(script.splits(), []);
}

proptest! {
    /// Whatever generators do: splits are legal, and who stays as it is ends up where it belongs.
    #[test]
    fn the_split_comes_to_be_of_those_who_play(
        script in proptest::collection::vec((0u64..12, 0usize..4, any::<bool>()), 0..20),
    ) {
        let names = ["g1", "g2", "g3", "g4"];
        let mut round = Script::new(&names[..2]);
        let mut is_up = [true, true, false, false];
        // The first one stays, and the round is long.
        round.control.contest.phases[0].duration_us = 3_600 * SECOND;
        for (later, which, up) in script {
            let second = (round.now - NOW) / SECOND + later;
            round.until(second);
            if which > 0 {
                is_up[which] = up;
                if up { round.up(names[which], round.now + SECOND) } else { round.down(names[which]) }
            }
        }
        let second = (round.now - NOW) / SECOND + 75;
        round.until(second);
        let mut playing = round.control.split.clone();
        playing.sort();
        let expected: Vec<&str> = names.into_iter().zip(is_up).filter(|(_, up)| *up).map(|(name, _)| name).collect();
        prop_assert_eq!(playing, expected, "{:?}", round.made);
    }
}
