//! GO or NO-GO: whether a round could be armed now, as a list of checks with a sentence each.
//!
//! A function of facts. It warns of what costs one contestant something and says no to what would spoil the round.

use super::instant;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::clock::OFFSET_MAX_US;
use flowtest_scoreboard::contest::{Load, Phase};
use flowtest_scoreboard::{Contest, GeneratorHealth, ProbeAnswer, SeenGenerator, State};

/// A probe older than this says little, in microseconds.
const PROBE_OLD_US: u64 = 15 * 60 * 1_000_000;
/// A generator not heard for longer is gone, in microseconds: eight beats.
const SILENT_US: u64 = 2_000_000;
/// Batches that wait for Redis: a second of them is no trouble.
const BACKLOG_WARN: u64 = 10;
/// A worker this busy before a round has no room for one.
const BUSY_WARN_PERCENT: u8 = 50;
/// Free disk below which a generator gives up evidence, with room for a long round.
const DISK_WARN_BYTES: u64 = 2 << 30;
const DISK_NO_BYTES: u64 = 256 << 20;
/// Requests a second of one generator core that it surely keeps up with.
const CORE_RATE: u64 = 100_000;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Go,
    /// It can be armed, and somebody should look.
    Warn,
    /// It must not be armed.
    No,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: a contestant, a generator, `Redis`, ...
    pub what: String,
    pub group: Group,
    pub mark: Mark,
    /// What was found, and the next step.
    pub sentence: String,
}

/// Where a check stands on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Platform,
    Generator,
    Contestant,
}

/// Everything that is looked at.
#[derive(Clone, Debug, Default)]
pub struct Situation {
    pub now: UtcUs,
    /// The sentence of what is wrong with Redis, when something is.
    pub redis: Option<String>,
    /// What is wrong between our document and the one in Redis.
    pub conflict: Option<String>,
    pub state: State,
    pub halted: bool,
    /// The next round's contest. Nothing while nobody can play.
    pub contest: Option<Contest>,
    pub house: House,
    pub contestants: Vec<Player>,
    pub generators: Vec<SeenGenerator>,
}

/// The platform's own server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum House {
    #[default]
    Unset,
    LeftOut(String),
    Set(Option<Tested>),
}

/// A contestant's account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Player {
    pub name: String,
    pub disabled: bool,
    pub disqualified: bool,
    pub parked: bool,
    pub endpoint: Option<String>,
    /// Why it cannot play with that endpoint.
    pub left_out: Option<String>,
    /// The last test of its endpoint.
    pub tested: Option<Tested>,
}

/// A test and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// When it was asked for.
    pub at: UtcUs,
    /// The endpoint as it was then.
    pub endpoint: String,
    /// Nothing while no generator has answered.
    pub answer: Option<ProbeAnswer>,
}

/// The worst of all.
pub fn verdict(checks: &[Check]) -> Mark {
    checks.iter().map(|check| check.mark).max().unwrap_or(Mark::No)
}

/// All checks: the platform, then each generator, then each contestant.
pub fn checks(situation: &Situation) -> Vec<Check> {
    let mut list = List(Vec::new());
    redis(&mut list, situation);
    round(&mut list, situation);
    plan(&mut list, situation);
    house(&mut list, situation);
    generators(&mut list, situation);
    contestants(&mut list, situation);
    list.0
}

struct List(Vec<Check>);

impl List {
    fn add(&mut self, group: Group, what: &str, mark: Mark, sentence: impl Into<String>) {
        self.0.push(Check { what: what.to_owned(), group, mark, sentence: sentence.into() });
    }
}

fn redis(list: &mut List, situation: &Situation) {
    match (&situation.redis, &situation.conflict) {
        (Some(error), _) => list.add(Group::Platform, "Redis", Mark::No, error),
        (None, Some(conflict)) => list.add(Group::Platform, "Redis", Mark::No, conflict),
        (None, None) => list.add(Group::Platform, "Redis", Mark::Go, "Redis answers and holds our document."),
    }
}

fn round(list: &mut List, situation: &Situation) {
    let (mark, sentence) = match situation.state {
        _ if situation.halted => (Mark::No, "All traffic is stopped: release the red switch first.".to_owned()),
        State::Draft => (Mark::Go, "No round is in the way.".to_owned()),
        State::Sealed | State::Aborted => {
            (Mark::No, format!("The last round is {}: prepare the next one.", situation.state))
        }
        state => (Mark::No, format!("A round is {state}: wait until it is sealed, or abort it.")),
    };
    list.add(Group::Platform, "Round", mark, sentence);
}

fn plan(list: &mut List, situation: &Situation) {
    let Some(contest) = &situation.contest else {
        return list.add(
            Group::Platform,
            "Plan",
            Mark::No,
            "Nobody can play yet: contestants set their endpoints first.",
        );
    };
    let length = instant::duration(contest.duration_us());
    let asked = peak(&contest.phases).saturating_mul(contest.contestants.len() as u64);
    let cores: u64 = heard(situation).map(|health| u64::from(health.cores)).sum();
    if !contest.phases.iter().any(|phase| phase.scored) {
        return list.add(
            Group::Platform,
            "Plan",
            Mark::Warn,
            "No phase of the plan is scored: all points stay as they are.",
        );
    }
    let count = contest.contestants.len();
    let all = format!("{length} for {count} contestants, at most {asked} requests a second in all");
    if cores > 0 && asked > cores.saturating_mul(CORE_RATE) {
        return list.add(
            Group::Platform,
            "Plan",
            Mark::Warn,
            format!("{all}: that is much for {cores} generator cores; add generators, or lower the rate."),
        );
    }
    list.add(Group::Platform, "Plan", Mark::Go, format!("{all}."));
}

fn peak(phases: &[Phase]) -> u64 {
    let rates = phases.iter().map(|phase| match phase.load {
        Load::Open { from, to } => from.max(to),
        Load::Closed { .. } => 0,
    });
    rates.max().unwrap_or(0)
}

fn house(list: &mut List, situation: &Situation) {
    let (mark, sentence) = match &situation.house {
        House::Unset => (
            Mark::Warn,
            "No house target is set: if all contestants lose points together, nobody can tell whose fault it was."
                .to_owned(),
        ),
        House::LeftOut(reason) => (Mark::No, format!("The house target cannot play: {reason}.")),
        House::Set(tested) => tested_mark(tested.as_ref(), situation.now),
    };
    // What the house loses, the platform lost: a wrong answer of it is never a contestant's own trouble.
    let wrong = matches!(&situation.house, House::Set(Some(Tested { answer: Some(answer), .. })) if !is_right(answer));
    list.add(Group::Platform, "House target", if wrong { Mark::No } else { mark }, sentence);
}

/// Whether a generator was heard a moment ago.
pub fn is_heard(seen: &SeenGenerator, now: UtcUs) -> bool {
    seen.health.is_some() && now.saturating_sub(seen.beat) <= SILENT_US
}

fn heard(situation: &Situation) -> impl Iterator<Item = &GeneratorHealth> {
    let fresh = |seen: &&SeenGenerator| is_heard(seen, situation.now);
    situation.generators.iter().filter(fresh).filter_map(|seen| seen.health.as_ref())
}

fn generators(list: &mut List, situation: &Situation) {
    if heard(situation).next().is_none() {
        list.add(
            Group::Platform,
            "Generators",
            Mark::No,
            "No generator is heard: start one with flowtest-loadgen serve, for this contest and this Redis.",
        );
    }
    for seen in &situation.generators {
        let silent_us = situation.now.saturating_sub(seen.beat);
        match &seen.health {
            Some(health) if is_heard(seen, situation.now) => {
                let (mark, sentence) = generator(health);
                list.add(Group::Generator, &seen.id, mark, sentence);
            }
            // Generators of yesterday are nobody's trouble.
            _ => list.add(
                Group::Generator,
                &seen.id,
                Mark::Warn,
                format!(
                    "Silent for {}: start it again, or go without it.",
                    instant::duration(silent_us / 1_000_000 * 1_000_000)
                ),
            ),
        }
    }
}

/// The worst thing about a generator.
pub fn generator(health: &GeneratorHealth) -> (Mark, String) {
    let busy = health.busy_percent.iter().copied().max().unwrap_or(0);
    let cores = match health.cores {
        1 => "1 core".to_owned(),
        cores => format!("{cores} cores"),
    };
    let fine = format!("{cores}, {}", health.tier);
    let gib = health.disk_free_bytes >> 30;
    match health.clock() {
        None => return (Mark::No, "Its clock was not measured against Redis yet: wait a moment.".to_owned()),
        Some(clock) if !clock.is_fit() => {
            let sentence = format!(
                "Its clock is {} ms off (± {} ms), more than {} ms: set it, as with chrony.",
                clock.offset_us / 1000,
                clock.error_us.div_ceil(1000),
                OFFSET_MAX_US / 1000
            );
            return (Mark::No, sentence);
        }
        Some(_) => {}
    }
    if health.disk_free_bytes < DISK_NO_BYTES {
        let mib = health.disk_free_bytes >> 20;
        return (Mark::No, format!("{mib} MiB are free on its disk: make room for its journal."));
    }
    if health.round.is_some() {
        return (Mark::Warn, format!("{fine}. It is still busy with a round: wait until that is sealed."));
    }
    if health.backlog > BACKLOG_WARN {
        return (Mark::Warn, format!("{} batches of it wait for Redis: wait until they are there.", health.backlog));
    }
    if health.disk_free_bytes < DISK_WARN_BYTES {
        return (Mark::Warn, format!("{fine}. {gib} GiB are free on its disk: enough for a short round only."));
    }
    if busy >= BUSY_WARN_PERCENT {
        return (Mark::Warn, format!("{fine}. A worker is {busy} % busy before the round: see what else runs there."));
    }
    if health.rate_ratio.is_some_and(|ratio| ratio < 0.99) {
        return (Mark::Warn, format!("{fine}. It does not keep up with what it should send: add cores or generators."));
    }
    (Mark::Go, format!("{fine}, {gib} GiB free."))
}

fn contestants(list: &mut List, situation: &Situation) {
    for player in &situation.contestants {
        let (mark, sentence) = contestant(player, situation.now);
        list.add(Group::Contestant, &player.name, mark, sentence);
    }
}

/// A contestant's troubles are its own: they warn and keep nobody else from playing.
pub fn contestant(player: &Player, now: UtcUs) -> (Mark, String) {
    let warn = |sentence: &str| (Mark::Warn, sentence.to_owned());
    if player.disabled {
        return warn("Its account is disabled, so it does not play.");
    }
    if player.disqualified {
        return warn("It is disqualified, so it does not play.");
    }
    if let Some(reason) = &player.left_out {
        return (Mark::Warn, format!("It cannot play: {reason}."));
    }
    if player.endpoint.is_none() {
        return warn("It has registered and set no endpoint yet.");
    }
    if player.parked {
        return warn("It is parked and gets no traffic: resume it when its server is ready.");
    }
    match &player.tested {
        Some(tested) if Some(&tested.endpoint) != player.endpoint.as_ref() => {
            warn("Its endpoint was not tested since it changed: test it.")
        }
        tested => tested_mark(tested.as_ref(), now),
    }
}

fn tested_mark(tested: Option<&Tested>, now: UtcUs) -> (Mark, String) {
    let Some(tested) = tested else { return (Mark::Warn, "It was not tested yet: test it.".to_owned()) };
    let Some(answer) = &tested.answer else {
        return (Mark::Warn, "Its test has no answer yet: a generator must run.".to_owned());
    };
    let age_us = now.saturating_sub(answer.at);
    let age = instant::duration(age_us / 1_000_000 * 1_000_000);
    if !is_right(answer) {
        return (Mark::Warn, format!("{} (tested {age} ago)", answer.sentence));
    }
    if age_us > PROBE_OLD_US {
        return (Mark::Warn, format!("All three were right, {age} ago: test it again."));
    }
    (Mark::Go, format!("All three right, tested {age} ago."))
}

fn is_right(answer: &ProbeAnswer) -> bool {
    answer.verdicts.is_some_and(|verdicts| verdicts.token && verdicts.version && verdicts.from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_scoreboard::{ProbeVerdicts, RoundId};
    use flowtest_testkit::documents::generator_health;

    const NOW: UtcUs = 1_796_119_200_000_000;
    const SECOND: u64 = 1_000_000;

    fn health() -> GeneratorHealth {
        generator_health("g1", NOW)
    }

    fn answer(right: bool, at: UtcUs) -> ProbeAnswer {
        ProbeAnswer {
            id: "p".to_owned(),
            at,
            generator: "g1".to_owned(),
            endpoint: "http://10.0.0.1/".to_owned(),
            address: None,
            verdicts: Some(ProbeVerdicts { token: true, version: right, from: true }),
            latency_us: Some(500),
            sentence: "Version is v1 and should be v2.".to_owned(),
            head: String::new(),
        }
    }

    fn tested(right: bool, at: UtcUs) -> Tested {
        Tested { at, endpoint: "http://10.0.0.1/".to_owned(), answer: Some(answer(right, at)) }
    }

    fn player() -> Player {
        Player {
            name: "alice".to_owned(),
            endpoint: Some("http://10.0.0.1/".to_owned()),
            tested: Some(tested(true, NOW - SECOND)),
            ..Player::default()
        }
    }

    fn situation() -> Situation {
        let contest = Contest::from_toml(
            "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 500\nconnections = 8\n[policy]\nallow = [\"10.0.0.0/8\"]\n\
             [[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n",
        );
        Situation {
            now: NOW,
            contest: Some(contest.expect("a contest")),
            house: House::Set(Some(tested(true, NOW - SECOND))),
            contestants: vec![player()],
            generators: vec![SeenGenerator { id: "g1".to_owned(), beat: NOW - SECOND / 4, health: Some(health()) }],
            ..Situation::default()
        }
    }

    #[test]
    fn when_all_is_well_it_is_a_go() {
        let checks = checks(&situation());
        assert_eq!(verdict(&checks), Mark::Go, "{checks:#?}");
        assert_eq!(checks.len(), 6);
    }

    #[test]
    fn each_trouble_has_its_mark_and_its_sentence() {
        // (what is broken, whom the check is about, its mark, part of the sentence)
        type Case = (fn(&mut Situation), &'static str, Mark, &'static str);
        let cases: [Case; 29] = [
            (|s| s.redis = Some("no Redis answers".into()), "Redis", Mark::No, "no Redis answers"),
            (|s| s.conflict = Some("a newer document".into()), "Redis", Mark::No, "newer"),
            (|s| s.state = State::Running, "Round", Mark::No, "running"),
            (|s| s.state = State::Sealed, "Round", Mark::No, "prepare the next"),
            (|s| s.halted = true, "Round", Mark::No, "red switch"),
            (|s| s.contest = None, "Plan", Mark::No, "Nobody can play"),
            (|s| s.contest.as_mut().expect("one").phases[0].scored = false, "Plan", Mark::Warn, "No phase"),
            (
                |s| s.contest.as_mut().expect("one").phases[0].load = Load::Open { from: 1, to: 900_000 },
                "Plan",
                Mark::Warn,
                "add generators",
            ),
            (|s| s.house = House::Unset, "House target", Mark::Warn, "No house target"),
            (|s| s.house = House::LeftOut("closed".into()), "House target", Mark::No, "closed"),
            (|s| s.house = House::Set(None), "House target", Mark::Warn, "not tested"),
            // the platform's own server answers wrongly: the flip or the network is ours to mend
            (|s| s.house = House::Set(Some(tested(false, NOW))), "House target", Mark::No, "Version is v1"),
            (|s| s.generators.clear(), "Generators", Mark::No, "No generator"),
            (|s| s.generators[0].beat = NOW - 3 * SECOND, "Generators", Mark::No, "No generator"),
            (|s| s.generators[0].health = None, "g1", Mark::Warn, "Silent"),
            (|s| edit(s).clock_offset_us = None, "g1", Mark::No, "not measured"),
            (|s| edit(s).clock_offset_us = Some(21_000), "g1", Mark::No, "21 ms off"),
            (|s| edit(s).disk_free_bytes = 1 << 20, "g1", Mark::No, "1 MiB"),
            (|s| edit(s).disk_free_bytes = 1 << 30, "g1", Mark::Warn, "short round"),
            (|s| edit(s).backlog = 500, "g1", Mark::Warn, "500 batches"),
            (|s| edit(s).busy_percent = vec![1, 90], "g1", Mark::Warn, "90 % busy"),
            (|s| edit(s).rate_ratio = Some(0.5), "g1", Mark::Warn, "keep up"),
            (|s| edit(s).round = Some(RoundId::from_bits(1)), "g1", Mark::Warn, "still busy"),
            (|s| s.contestants[0].endpoint = None, "alice", Mark::Warn, "no endpoint"),
            (|s| s.contestants[0].left_out = Some("closed".into()), "alice", Mark::Warn, "cannot play"),
            (|s| s.contestants[0].tested = None, "alice", Mark::Warn, "not tested"),
            (|s| s.contestants[0].tested = Some(tested(false, NOW)), "alice", Mark::Warn, "Version is v1"),
            (|s| s.contestants[0].tested = Some(tested(true, NOW - 3600 * SECOND)), "alice", Mark::Warn, "again"),
            (|s| s.contestants[0].endpoint = Some("http://10.0.0.2/".into()), "alice", Mark::Warn, "since it changed"),
        ];
        for (spoil, what, mark, part) in cases {
            let mut situation = situation();
            spoil(&mut situation);
            let checks = checks(&situation);
            let check = checks.iter().find(|check| check.what == what).unwrap_or_else(|| panic!("{what}: {checks:#?}"));
            assert!(check.mark == mark && check.sentence.contains(part), "{part:?}: {check:?}");
            assert!(verdict(&checks) >= mark, "{part:?}");
        }
    }

    fn edit(situation: &mut Situation) -> &mut GeneratorHealth {
        situation.generators[0].health.as_mut().expect("it is heard")
    }

    #[test]
    fn parked_disabled_and_disqualified_contestants_are_told_and_do_not_stop_the_others() {
        type Case = (fn(&mut Player), &'static str);
        let cases: [Case; 3] = [
            (|player| player.parked = true, "parked"),
            (|player| player.disabled = true, "disabled"),
            (|player| player.disqualified = true, "disqualified"),
        ];
        for (spoil, part) in cases {
            let mut player = player();
            spoil(&mut player);
            let (mark, sentence) = contestant(&player, NOW);
            assert!(mark == Mark::Warn && sentence.contains(part), "{sentence}");
        }
    }
}
