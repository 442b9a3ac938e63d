use super::*;
use flowtest_contest::contest::Load;
use flowtest_contest::{Contest, State};
use flowtest_contract::RoundId;
use flowtest_contract::rules::{Deadline, Deadlines, UtcUs};
use flowtest_scoreboard::ProbeVerdicts;
use flowtest_scoreboard::{BusyWith, GeneratorHealth, MayPlay, ProbeAnswer, SeenGenerator};
use flowtest_testkit::documents::{RIGHT, generator_health, probe_answer};

const NOW: UtcUs = UtcUs(1_796_119_200_000_000);
const SECOND: u64 = 1_000_000;

fn health() -> GeneratorHealth {
    generator_health("g1", NOW)
}

fn busy_with(contestant: &str) -> BusyWith {
    BusyWith { contestant: contestant.to_owned(), time_percent: 72, requests_percent: 5 }
}

fn answer(right: bool, at: UtcUs) -> ProbeAnswer {
    probe_answer("p", "http://10.0.0.1/", at, ProbeVerdicts { version: right, ..RIGHT })
}

fn tested(right: bool, at: UtcUs) -> Tested {
    let (endpoint, deadlines) = ("http://10.0.0.1/".to_owned(), Deadlines::default());
    Tested { at, endpoint, deadlines, answer: Some(answer(right, at)) }
}

fn alice() -> Contestant {
    Contestant {
        name: "alice".to_owned(),
        endpoint: Some("http://10.0.0.1/".to_owned()),
        tested: Some(tested(true, NOW - SECOND)),
        ..Contestant::default()
    }
}

fn situation() -> Situation {
    let contest = Contest::from_toml(
        "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 500\nconnections = 8\n[policy]\nallow = [\"10.0.0.0/8\"]\n\
         ownership = \"header\"\n\
         [[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n",
    );
    Situation {
        now: NOW,
        contest: Some(contest.expect("a contest")),
        house: House::Set(Some(tested(true, NOW - SECOND))),
        contestants: vec![alice()],
        generators: vec![SeenGenerator {
            id: "g1".to_owned(),
            beat: NOW - SECOND / 4,
            health: Some(health()),
            waiting: None,
        }],
        ..Situation::default()
    }
}

#[test]
fn who_seems_to_play_with_anothers_server_is_named() {
    let ownership = |situation: &Situation| -> Vec<(Mark, String)> {
        let checks = checks(situation).into_iter().filter(|check| check.what == "Ownership");
        checks.map(|check| (check.mark, check.message)).collect()
    };
    let contestant = |name: &str, address: &str, team: Option<&str>| {
        let mut tested = tested(true, NOW - SECOND);
        let answer = tested.answer.as_mut().expect("it is answered");
        (answer.address, answer.team) = (Some(address.to_owned()), team.map(str::to_owned));
        Contestant { name: name.to_owned(), tested: Some(tested), ..alice() }
    };
    let mut one = situation();
    assert_eq!(ownership(&one), [(Mark::Go, "Each server has to say whose it is.".to_owned())]);
    one.contest.as_mut().expect("a contest").policy.ownership = flowtest_contest::policy::Ownership::Off;
    let told = ownership(&one);
    assert!(told.len() == 1 && told[0].0 == Mark::Warn && told[0].1.contains("second address"), "{told:?}");
    one.contestants = vec![
        contestant("alice", "10.0.0.1:80", Some("Alice")),
        contestant("bobby", "[64:ff9b::10.0.0.1]:80", Some("alice")),
        contestant("carol", "[::ffff:10.0.0.1]:81", None),
        contestant("dave", "10.0.0.4:80", None),
    ];
    let told: Vec<String> = ownership(&one).into_iter().skip(1).map(|(_, message)| message).collect();
    let expected = [
        "alice and bobby have one server, 10.0.0.1:80",
        "alice, bobby and carol answer from one machine, 10.0.0.1, at ports 80, 81",
        "The server of bobby says that it is alice's",
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    assert!(told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected)), "{told:?}");
    // Of a name with several addresses each is looked at, not the one alone that the test shows.
    one.contestants = vec![contestant("alice", "10.0.0.1:80", None), contestant("bobby", "10.0.0.9:80", None)];
    assert_eq!(ownership(&one).len(), 1);
    let answer = one.contestants[1].tested.as_mut().and_then(|tested| tested.answer.as_mut()).expect("an answer");
    answer.addresses = ["10.0.0.9:80", "[::ffff:10.0.0.1]:80"].map(str::to_owned).to_vec();
    let told: Vec<String> = ownership(&one).into_iter().skip(1).map(|(_, message)| message).collect();
    assert!(told.len() == 1 && told[0].starts_with("alice and bobby have one server, 10.0.0.1:80"), "{told:?}");
    // Over https a server is known at whatever address it answers.
    one.contestants = vec![contestant("alice", "10.0.0.1:443", None), contestant("bobby", "10.0.0.9:443", None)];
    for contestant in &mut one.contestants {
        let answer = contestant.tested.as_mut().and_then(|tested| tested.answer.as_mut()).expect("an answer");
        answer.certificate = Some("0123456789abcdef".repeat(4));
    }
    let told: Vec<String> = ownership(&one).into_iter().skip(1).map(|(_, message)| message).collect();
    let expected = "alice and bobby show one certificate (SHA-256 0123456789abcdef...): ask whose server it is.";
    assert_eq!(told, [expected]);
    // A crowd behind one address is one sentence, not one for each two.
    one.contestants = (0..200)
        .map(|index| contestant(&format!("t{index:03}"), &format!("10.0.0.1:{}", 8000 + index), None))
        .collect();
    let told = ownership(&one);
    assert!(told.len() == 2 && told[1].1.contains("t007 and 192 more answer from one machine"), "{told:?}");
}

#[test]
fn a_second_process_of_one_name_is_named() {
    let generator = |situation: &Situation| {
        let check = checks(situation).into_iter().find(|check| check.what == "g1").expect("it is listed");
        (check.mark, check.message)
    };
    let mut two = situation();
    assert_eq!(generator(&two).0, Mark::Go);
    two.generators[0].waiting = Some("clone-2, process 4711".to_owned());
    let (mark, message) = generator(&two);
    assert!(mark == Mark::Warn && message.contains("takes no part (clone-2, process 4711)"), "{message}");
    assert!(message.contains("--id") && message.contains("2 cores"), "{message}");
}

#[test]
fn that_any_certificate_will_do_is_said() {
    let certificates = |situation: &Situation| {
        checks(situation)
            .into_iter()
            .find(|check| check.what == "Certificates")
            .map(|check| (check.mark, check.message))
    };
    let mut any = situation();
    assert_eq!(certificates(&any), None);
    any.contest.as_mut().expect("a contest").policy.tls = flowtest_contest::policy::TlsTrust::Any;
    let (mark, message) = certificates(&any).expect("it is said");
    assert!(mark == Mark::Go && message.contains("any certificate will do"), "{message}");
}

#[test]
fn a_generator_that_can_trust_nobody_is_a_no_where_somebody_plays_over_https() {
    let told = |spoil: fn(&mut Situation)| {
        let mut situation = situation();
        edit(&mut situation).tls_trouble = Some("install the system's authorities".to_owned());
        spoil(&mut situation);
        let check = checks(&situation).into_iter().find(|check| check.what == "g1").expect("it is listed");
        (check.mark, check.message.contains("install the system's authorities"))
    };
    let over_https = |situation: &mut Situation| {
        let contest = situation.contest.as_mut().expect("a contest");
        contest.contestants[0].endpoint = "https://10.0.0.1".parse().expect("an endpoint");
    };
    // Somebody may move to https.
    assert_eq!(told(|_| {}), (Mark::Warn, true));
    assert_eq!(told(over_https), (Mark::No, true));
    let any = |situation: &mut Situation| {
        let contest = situation.contest.as_mut().expect("a contest");
        contest.contestants[0].endpoint = "https://10.0.0.1".parse().expect("an endpoint");
        contest.policy.tls = flowtest_contest::policy::TlsTrust::Any;
    };
    assert_eq!(told(any), (Mark::Go, false));
    // What was asked for is there.
    assert_eq!(told(|situation| edit(situation).tls_trouble = None), (Mark::Go, false));
}

#[test]
fn who_fails_a_pipelined_phase_is_said() {
    let plan = |situation: &Situation| {
        let plan = checks(situation).into_iter().find(|check| check.what == "Plan").expect("the plan");
        (plan.mark, plan.message.contains("closes when two come together"))
    };
    let mut one = situation();
    for (pipeline, told) in [(1, false), (2, true)] {
        one.contest.as_mut().expect("a contest").phases[0].load = Load::Closed { pipeline };
        assert_eq!(plan(&one), (Mark::Go, told));
    }
}

#[test]
fn how_far_the_fleet_lets_them_climb_is_said_before_the_round() {
    let plan_with = |length: &str, most: u64, more: &str| {
        let mut situation = situation();
        let text = format!(
            "name = \"cup\"\n[[phase]]\nkind = \"breakpoint\"\nfor = \"{length}\"\nstart = 500\nstep = \"x2\"\nhold = \"10s\"\n\
             pass = {{ verified = 0.995, p99 = \"250ms\" }}\nmax = {most}\nconnections = 60000\n{more}[policy]\n\
             allow = [\"10.0.0.0/8\"]\n[[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n"
        );
        situation.contest = Some(Contest::from_toml(&text).expect("a contest"));
        let plan = checks(&situation).into_iter().find(|check| check.what == "Plan").expect("it is looked at");
        (plan.mark, plan.message)
    };
    let plan_for = |length: &str, most: u64| plan_with(length, most, "");
    let plan = |most: u64| plan_for("10m", most);
    let cores = u64::from(health().cores);
    let (mark, message) = plan(cores * 100_000 * 2);
    assert!(mark == Mark::Go && message.contains("ends as \"fleet limit\""), "{message}");
    assert!(message.contains(&format!("about {} for each", cores * 100_000)), "{message}");
    assert!(!plan(5_000).1.contains("fleet limit"));
    // 37 steps of 16 s, of which nine are left for a search where it breaks.
    assert!(!plan(5_000).1.contains("steps of its climb"), "{}", plan(5_000).1);
    let hasty = plan_for("2m", 100_000).1;
    assert!(
        hasty.contains("The 7 steps of its climb lead up to 32000/s: whoever holds that ends at a \"time limit\""),
        "{hasty}"
    );
    assert!(hasty.contains("searched to its end up to 500/s"), "{hasty}");
    assert!(hasty.contains("At 32000/s for each a climb takes about 16 MB a second of the network"), "{hasty}");
    // Within a quarter of a second an answer may take, 60,000 connections carry 240,000 a second.
    assert!(plan(1_000_000).1.contains("60000 connections are enough for every server up to 240000/s"));
    assert!(!plan(240_000).1.contains("connections"));
    // What the fleet is said to carry counts where it is less than what its cores do.
    let (_, said) = plan_with("10m", 100_000, "fleet_max = 40000\n");
    assert!(said.contains("its fleet_max of 40000/s for all is 40000 for each when all climb alike"), "{said}");
    assert!(said.contains("At 40000/s for each a climb takes about 20 MB a second of the network"), "{said}");
    let (_, said) = plan_with("10m", cores * 100_000 * 2, &format!("fleet_max = {}\n", cores * 150_000));
    assert!(said.contains(&format!("these cores carry about {} for each", cores * 100_000)), "{said}");
    // All of it is said of a climb that does not count, too.
    let (mark, free) = plan_with("2m", 100_000, "scored = false\nfleet_max = 20000\n");
    assert!(mark == Mark::Warn && free.starts_with("No phase of the plan is scored"), "{free}");
    for part in ["lead up to 32000/s", "its fleet_max of 20000/s for all is 20000", "about 10 MB a second"] {
        assert!(free.contains(part), "{part}: {free}");
    }
    // It goes on from what it begins with, and that alone is known.
    assert!(said.contains("for 1 contestants, a climb begins with 500 requests a second in all"), "{said}");
}

#[test]
fn a_climb_that_begins_with_more_than_the_fleet_carries_is_a_no() {
    let mut situation = situation();
    let text = "name = \"cup\"\n[[phase]]\nkind = \"breakpoint\"\nfor = \"10m\"\nstart = 500\nstep = \"x2\"\nhold = \"10s\"\n\
                pass = { verified = 0.995, p99 = \"250ms\" }\nmax = 20000\nfleet_max = 999\n[policy]\nallow = [\"10.0.0.0/8\"]\n\
                [[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n";
    let mut contest = Contest::from_toml(text).expect("a contest");
    let mut plan = |contest: &Contest| {
        situation.contest = Some(contest.clone());
        let plan = checks(&situation).into_iter().find(|check| check.what == "Plan").expect("it is looked at");
        (plan.mark, plan.message)
    };
    assert_eq!(plan(&contest).0, Mark::Go);
    let bob = flowtest_contest::contest::Contestant { name: "bob".into(), ..contest.contestants[0].clone() };
    contest.contestants.push(bob);
    let (mark, message) = plan(&contest);
    assert!(mark == Mark::No && message.contains(&contest.beyond_fleet().expect("1,000/s")), "{message}");
    assert!(!message.contains("fleet limit") && message.contains("At 500/s for each a climb takes"), "{message}");
}

#[test]
fn when_all_is_well_it_is_a_go() {
    let checks = checks(&situation());
    assert_eq!(verdict(&checks), Mark::Go, "{checks:#?}");
    assert_eq!(checks.len(), 10);
}

#[test]
fn each_trouble_has_its_mark_and_its_sentence() {
    // (what is broken, whom the check is about, its mark, part of the sentence)
    type Case = (fn(&mut Situation), &'static str, Mark, &'static str);
    let cases: [Case; 60] = [
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
        // What our own throttle refused says nothing of the server, nor does a test by the deadlines of before.
        (|s| of_house(s).not_made = true, "House target", Mark::Warn, "not known"),
        (|s| by_other_deadlines(s), "House target", Mark::Warn, "other deadlines"),
        (|s| by_other_deadlines(s), "alice", Mark::Warn, "other deadlines"),
        (|s| s.contestants[0].tested = None, "Teams", Mark::No, "None of 1 is ready"),
        (|s| s.contestants.push(untested()), "Teams", Mark::Warn, "1 of 2 are ready"),
        (|s| s.contestants[0].tested = Some(tested(true, NOW - 130 * SECOND)), "Teams", Mark::No, "None of 1"),
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
        (
            |s| edit(s).busy_with = Some(busy_with("alice")),
            "g1",
            Mark::Warn,
            "72 % of its time went to alice, for 5 % of the requests. Add cores or generators, or park whom that names.",
        ),
        (|s| edit(s).journal_still_us = Some(7_300_000), "g1", Mark::No, "journal's disk for 7s"),
        (|s| edit(s).stopped = Some("SIGUSR1".into()), "g1", Mark::No, "sends nothing: SIGUSR1"),
        (|s| edit(s).publish_error = Some("it is full".into()), "g1", Mark::No, "does not take its points: it is full"),
        (|s| s.database.trouble = Some("It is locked.".into()), "Database", Mark::No, "locked"),
        (|s| s.database.free_bytes = Some(1 << 20), "Database", Mark::No, "about to be full: 1 MiB"),
        (|s| s.database.free_bytes = Some(1 << 29), "Database", Mark::Warn, "Make room"),
        (
            |s| s.unsaved = Unsaved::UntoldStop,
            "Database",
            Mark::No,
            "A stop is in force that neither it nor Redis holds",
        ),
        (|s| s.unsaved = Unsaved::Change, "Database", Mark::Warn, "A change is in force that it does not hold yet"),
        (|s| s.trouble = Some("it is locked".into()), "Control", Mark::No, "locked"),
        (|s| s.untold = Some("it was paused".into()), "Stop", Mark::No, "it was paused"),
        (|s| s.unplayed = Some("nobody plays".into()), "Play", Mark::No, "nobody plays"),
        (|s| s.unsealed = Some((Mark::No, "run rebuild".into())), "Seal", Mark::No, "run rebuild"),
        (|s| s.unsealed = Some((Mark::Warn, "it is put back".into())), "Seal", Mark::Warn, "put back"),
        (|s| s.clock_ahead_us = -600_000_000, "Clock", Mark::Warn, "behind Redis's"),
        (|s| s.steered_elsewhere = Some("another steers".into()), "Steering", Mark::No, "another steers"),
        (|s| edit(s).round = Some(RoundId::from_bits(1)), "g1", Mark::Warn, "still busy"),
        (|s| edit(s).beside_trouble = Some("no tests".into()), "g1", Mark::Warn, "needs beside a round: no tests"),
        (|s| plays(s).revision = 7, "g1", Mark::No, "follows revision 7 of the document, and 9 has been there"),
        (
            |s| plays(s).clock_step_us = Some(-45_000),
            "g1",
            Mark::Warn,
            "clock was set by -45 ms after the round was armed",
        ),
        // What is worse than a clock that was set is not hidden by it; that it is off since is no reason to set it again.
        (
            |s| (plays(s).clock_step_us, edit(s).journal_still_us) = (Some(45_000), Some(7_300_000)),
            "g1",
            Mark::No,
            "journal's disk for 7s",
        ),
        (
            |s| (plays(s).clock_step_us, edit(s).clock_offset_us) = (Some(45_000), Some(45_000)),
            "g1",
            Mark::Warn,
            "Leave it alone until the round is over",
        ),
        // Nor is what costs points hidden by what lasts as long as the round.
        (
            |s| (plays(s).clock_step_us, edit(s).rate_ratio) = (Some(45_000), Some(0.5)),
            "g1",
            Mark::Warn,
            "not keep up with what it should send: add cores or generators. Its clock was set by 45 ms",
        ),
        (
            |s| (edit(s).beside_trouble, edit(s).backlog) = (Some("no tests".into()), 500),
            "g1",
            Mark::Warn,
            "500 batches of it wait for Redis: wait until they are there. Redis refuses what it needs beside a round",
        ),
        (
            |s| s.may_play = vec![plays_on("g3")],
            "g3",
            Mark::No,
            "not heard, and may play a round that is over here until",
        ),
        (|s| plays(s).trouble = Some("too wide".into()), "g1", Mark::Warn, "not play as the document says: too wide"),
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
        assert!(check.mark == mark && check.message.contains(part), "{part:?}: {check:?}");
        assert!(verdict(&checks) >= mark, "{part:?}");
    }
}

fn plays_on(id: &str) -> MayPlay {
    MayPlay { id: id.to_owned(), round: RoundId::from_bits(1), until: Some(NOW + 60 * SECOND) }
}

fn of_house(situation: &mut Situation) -> &mut ProbeAnswer {
    situation.house = House::Set(Some(tested(false, NOW - SECOND)));
    let House::Set(Some(Tested { answer: Some(answer), .. })) = &mut situation.house else { unreachable!() };
    answer
}

/// A test that failed while the first values were expected, which they are no longer.
fn by_other_deadlines(situation: &mut Situation) {
    let by_first = Tested {
        deadlines: Deadlines { version: Deadline::NEVER, from: Deadline::NEVER },
        ..tested(false, NOW - SECOND)
    };
    situation.contestants[0].tested = Some(by_first.clone());
    situation.house = House::Set(Some(by_first));
}

fn untested() -> Contestant {
    Contestant { name: "bobby".to_owned(), tested: None, ..alice() }
}

fn edit(situation: &mut Situation) -> &mut GeneratorHealth {
    situation.generators[0].health.as_mut().expect("it is heard")
}

/// A generator in a round whose newest revision is 9.
fn plays(situation: &mut Situation) -> &mut GeneratorHealth {
    situation.due_revision = 9;
    let health = edit(situation);
    (health.round, health.revision) = (Some(RoundId::from_bits(1)), 9);
    health
}

#[test]
fn parked_disabled_and_disqualified_contestants_are_told_and_do_not_stop_the_others() {
    type Case = (fn(&mut Contestant), &'static str);
    let cases: [Case; 3] = [
        (|contestant| contestant.parked = true, "parked"),
        (|contestant| contestant.disabled = true, "disabled"),
        (|contestant| contestant.disqualified = true, "disqualified"),
    ];
    for (spoil, part) in cases {
        let mut contestant = alice();
        spoil(&mut contestant);
        let (mark, message) = judge_contestant(&contestant, &situation());
        assert!(mark == Mark::Warn && message.contains(part), "{message}");
    }
}

#[test]
fn who_is_far_away_is_told_how_much_the_connections_carry() {
    // 8 connections, 500/s: at 16 ms they carry just that.
    let judged = |latency_us| {
        let mut situation = situation();
        let answer = situation.contestants[0].tested.as_mut().and_then(|tested| tested.answer.as_mut());
        answer.expect("she is tested").latency_us = Some(latency_us);
        judge_contestant(&situation.contestants[0], &situation)
    };
    assert_eq!(judged(16_000).0, Mark::Go);
    let (mark, message) = judged(100_000);
    assert_eq!(mark, Mark::Warn);
    assert!(
        message.contains("100 ms") && message.contains("8 connections of phase 1 carry 80/s of 500/s"),
        "{message}"
    );
}
