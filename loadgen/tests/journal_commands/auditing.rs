//! What an audit finds, and what it does not mind.

use crate::played::{
    BASE, CONTEST, Exchange, Interval, NAMES, OTHER, Played, ROUND, STREAM, after, answered, interval, right,
};
use crate::program::{on, run};
use flowtest_contract::rules::{Deadlines, Rules, UtcUs};
use flowtest_contract::{Deadline, Failure, Observed, Outcome, Platform, Seen, Version};
use flowtest_journal::record::{EndCode, Trace};
use flowtest_loadgen::journal::audit::stream::{Questions, audit};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn an_honest_journal_is_equal_and_wholly_proved() {
    let dir = folder();
    Played::usual().write(dir.path());
    let said = on("audit", dir.path(), &[]).exits(0);
    let expected = "\
round 0000000000000000000000000000aaaa of finals, 1 stream
┌────────────────┬────────┬───────────┬────────┬────────────┐
│ contestant     ┆ points ┆ by traces ┆ proved ┆ difference │
╞════════════════╪════════╪═══════════╪════════╪════════════╡
│ alice          ┆    600 ┆       600 ┆  100 % ┆ none       │
│ house of cards ┆ -1,100 ┆    -1,100 ┆  100 % ┆ none       │
└────────────────┴────────┴───────────┴────────┴────────────┘
EQUAL: 13 traces judged again, 100 % of the score proved from them
";
    assert_eq!(said.out, expected);
    assert_eq!(on("audit", dir.path(), &["--quiet"]).exits(0).out, "");
}

#[test]
fn the_json_has_the_same_figures() {
    let dir = folder();
    Played::usual().write(dir.path());
    let report = on("audit", dir.path(), &["--json", "-"]).exits(0).json();
    assert_eq!((&report["equal"], &report["proved"], &report["traces"]), (&true.into(), &100.0.into(), &13.into()));
    assert_eq!(report["findings"], serde_json::json!([]));
    let round = &report["rounds"][0];
    assert_eq!((&round["round"], &round["contest"]), (&ROUND.to_string().into(), &CONTEST.into()));
    assert_eq!(
        round["contestants"][1],
        serde_json::json!({
            "name": NAMES[1], "points": -1100, "points_traced": -1100, "points_redis": null, "points_what_if": null,
            "outcomes": 9, "traced": 9, "proved": 100.0, "differences": []
        })
    );
    let stream = &round["streams"][0];
    assert_eq!((&stream["stream"], &stream["standing"]), (&STREAM.to_string().into(), &"ended".into()));
    assert_eq!((&stream["last_seq"], &stream["in_flight"]), (&5.into(), &0.into()));
}

/// A wrong token becomes a right one: the batch does not know of it.
fn favour(traces: &mut [Trace]) {
    traces[1].observed |= 1 << 4;
}

#[test]
fn a_verdict_that_the_observation_does_not_bear_is_found() {
    let dir = folder();
    let mut played = Played::usual();
    played.intervals[1].forge = Some(favour);
    played.write(dir.path());
    let said = on("audit", dir.path(), &[]).exits(4);
    let said = said.says("house of cards: the batches say token_right 1, and the traces 2");
    said.says("token_wrong 1, and the traces 0").says("┆ token_right, token_wrong │").says("DIFFERENT: 2 differences");
    let report = on("audit", dir.path(), &["--json", "-"]).exits(4).json();
    let finding = &report["findings"][0];
    assert_eq!((&finding["kind"], &finding["difference"]), (&"traces".into(), &true.into()));
    assert_eq!((&finding["contestant"], &finding["field"]), (&NAMES[1].into(), &"token_right".into()));
    assert_eq!((&finding["journal"], &finding["other"]), (&1.into(), &2.into()));
}

#[test]
fn what_counts_for_nobody_while_its_worker_was_not_late_is_found() {
    let dir = folder();
    let mut played = Played::usual();
    played.intervals[2].unexcused = true;
    played.write(dir.path());
    let said = on("audit", dir.path(), &[]).exits(4);
    said.says("1 exchanges count for nobody, and their worker was not late while they lived");
}

/// Carol joins 100 ms after the round began.
fn joined(exchanges: &[Exchange]) -> Played {
    let mut second = interval(exchanges);
    second.joins = vec![("carol", 100_000)];
    Played::of([interval(&[right(0, 10_000), right(1, 10_100)]), second, interval(&[right(2, 210_000)])])
}

#[test]
fn who_joins_is_counted_from_then_on_by_every_command() {
    let dir = folder();
    joined(&[right(0, 110_000), right(2, 110_100)]).write(dir.path());
    let said = on("audit", dir.path(), &[]).exits(0);
    said.says("│ carol          ┆    400 ┆       400 ┆  100 % ┆ none       │").says("EQUAL: 5 traces judged again");
    let what_if = dir.path().join("other.toml");
    let phase = "name = \"finals\"\n[rules]\ntoken = 1\nversion = 0\nfrom = 0\n[[phase]]\nfor = \"1s\"\nrate = 1\n";
    std::fs::write(&what_if, format!("{phase}[[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n"))
        .expect("written");
    let report = on("audit", dir.path(), &["--json", "-", "--with", what_if.to_str().expect("a path")]).exits(0).json();
    let carol = &report["rounds"][0]["contestants"][1];
    assert_eq!((&carol["name"], &carol["points_what_if"]), (&"carol".into(), &2.into()));
    let notices = on("export", dir.path(), &["--what", "notices"]).exits(0);
    notices.says("carol joins the round");
    on("export", dir.path(), &["--what", "traces"]).exits(0).says("carol");
    let inspected = on("inspect", dir.path(), &["--json", "-"]).exits(0).json();
    assert_eq!(inspected["streams"][0]["contestants"], serde_json::json!([NAMES[0], NAMES[1], "carol"]));
    assert_eq!(inspected["streams"][0]["records"]["join"], 1);
}

#[test]
fn what_fell_due_before_its_contestant_had_joined_is_found() {
    let dir = folder();
    // Sent after her instant, and due before it.
    let mut early = right(2, 100_020);
    (early.lag_us, early.latency_us) = (50, 1_050);
    joined(&[early]).write(dir.path());
    on("audit", dir.path(), &[])
        .exits(4)
        .says("1 exchanges are of requests that fell due before their contestant had joined");
}

#[test]
fn streams_that_heard_of_different_joins_agree_and_those_of_another_instant_do_not() {
    let dir = folder();
    joined(&[right(2, 110_000)]).write(dir.path());
    // One that was killed before she came.
    let killed = Played { stream: OTHER, end: None, ..Played::of([interval(&[right(1, 10_000)])]) };
    killed.write(dir.path());
    on("audit", dir.path(), &[]).exits(0);
    let dir = folder();
    joined(&[right(2, 110_000)]).write(dir.path());
    let mut other = Played { stream: OTHER, ..joined(&[right(2, 120_000)]) };
    other.intervals[1].joins = vec![("carol", 100_001)];
    other.write(dir.path());
    on("audit", dir.path(), &[]).exits(4).says("disagree about the roster");
}

/// An answer came later than the batch says.
fn slow(traces: &mut [Trace]) {
    traces[0].latency_us += 1_000;
}

#[test]
fn a_latency_in_another_bucket_is_found() {
    let dir = folder();
    let mut played = Played::usual();
    played.intervals[1].forge = Some(slow);
    played.write(dir.path());
    on("audit", dir.path(), &[]).exits(4).says("alice: the batches say latency[").says("service[");
}

#[test]
fn what_left_no_trace_is_counted_and_not_called_proved() {
    let dir = folder();
    let mut played = Played::usual();
    played.intervals[1].traceless = true;
    played.write(dir.path());
    let said = on("audit", dir.path(), &[]).exits(0);
    let said = said.says("6 of 13 outcomes left no trace, so that only 53.84 % of its score is proved");
    said.says("66.66 %").says("EQUAL: 7 traces judged again, 50.00 % of the score proved");

    let dir = folder();
    let mut played = Played::usual();
    played.intervals.iter_mut().for_each(|interval| interval.traceless = true);
    played.write(dir.path());
    on("audit", dir.path(), &[]).exits(0).says("EQUAL: 0 traces judged again, 0.00 % of the score");
}

/// One trace is given to the rival.
fn give_away(traces: &mut [Trace]) {
    traces[0].contestant = 1;
}

#[test]
fn traces_never_say_more_than_batches_even_where_some_are_missing() {
    let dir = folder();
    let mut played = Played::of([interval(&[right(0, 1)]), interval(&[right(0, 100_000), right(1, 100_000)])]);
    played.intervals[0].forge = Some(give_away);
    played.intervals[1].traceless = true;
    played.clone().write(dir.path());
    // alice has two, one of them untraced; the rival has one, which is untraced, and a trace that is not his.
    on("audit", dir.path(), &[]).exits(0);
    played.intervals[1].exchanges.pop();
    let dir = folder();
    played.write(dir.path());
    on("audit", dir.path(), &[]).exits(4).says("house of cards: the batches say due 0, and the traces 1");
}

#[test]
fn requests_in_flight_when_the_process_died_are_said_and_no_difference() {
    let dir = folder();
    let mut played = Played::usual();
    played.intervals[2].started = vec![0, 0, 1];
    played.end = None;
    played.clone().write(dir.path());
    let said = on("audit", dir.path(), &[]).exits(0).says("was cut off: it is proved until 2026-11-23T");
    said.says("at most 100 ms), and 3 requests were in flight then");
    // Given its end later it is the same, but one who ended in order may not leave any.
    let again = folder();
    played.end = Some(EndCode::Abandoned);
    played.clone().write(again.path());
    on("audit", again.path(), &[]).exits(0).says("cut off and given its end marker later");
    let wrong = folder();
    played.end = Some(EndCode::Finished);
    played.write(wrong.path());
    on("audit", wrong.path(), &[]).exits(4).says("alice: 5 came due, 3 have an outcome");
}

#[test]
fn what_was_in_flight_in_one_interval_has_its_outcome_in_another() {
    let dir = folder();
    let one = Interval { started: vec![0, 1], ..interval(&[right(0, 0)]) };
    let two = Interval { late: true, ..interval(&[right(0, 50_000), right(1, 50_000)]) };
    Played::of([one, two]).write(dir.path());
    on("audit", dir.path(), &[]).exits(0).says("EQUAL: 3 traces");
}

/// v1 is right until a deadline 10 s after the start.
fn with_deadline(intervals: Vec<Interval>) -> Played {
    let mut played = Played::of(intervals);
    played.deadlines = Deadlines { version: after(10_000_000), from: Deadline::PASSED };
    played
}

fn v1(sent_us: i32) -> Exchange {
    answered(0, sent_us, true, Version::V1, Platform::Ecs)
}

fn version_at(us: u64) -> Deadlines {
    Deadlines { version: after(us), from: Deadline::PASSED }
}

fn heard(revision: u64, told: &[(u64, Deadlines)]) -> Interval {
    Interval { control: Some((revision, told.to_vec())), ..Interval::default() }
}

/// Points of the first contestant, of a journal that must be equal.
fn points_of(played: Played) -> serde_json::Value {
    let dir = folder();
    played.write(dir.path());
    let report = on("audit", dir.path(), &["--json", "-"]).exits(0).json();
    report["rounds"][0]["contestants"][0]["points"].clone()
}

#[test]
fn a_moved_deadline_counts_for_what_is_sent_from_its_instant_on() {
    // v1 is right at 1 s, at 20 s by the moved deadline only, and at 36 s no more.
    let moved = heard(2, &[(2_000_000, version_at(30_000_000))]);
    let played = with_deadline(vec![interval(&[v1(1_000_000)]), moved, interval(&[v1(20_000_000), v1(36_000_000)])]);
    assert_eq!(points_of(played), 200 + 200 + 100);
    // What was sent before that instant is judged by what held then, also where its trace stands behind the record: at 16 s
    // v1 was wrong, and from 17 s on, when the generator heard of the move, it is right again.
    let late = heard(2, &[(17_000_000, version_at(30_000_000))]);
    let both = [v1(16_000_000), v1(18_000_000)];
    for intervals in [vec![interval(&both), late.clone()], vec![late, interval(&both)]] {
        let dir = folder();
        with_deadline(intervals).write(dir.path());
        // It had passed for longer than the grace: that is told, and the sums agree.
        let said = on("audit", dir.path(), &["--json", "-"]).exits(4).json();
        assert_eq!(said["findings"].as_array().map(Vec::len), Some(1), "{said}");
        assert_eq!(said["findings"][0]["kind"], "odd");
        let contestant = &said["rounds"][0]["contestants"][0];
        assert_eq!((&contestant["points"], &contestant["points_traced"]), (&300.into(), &300.into()));
    }
}

#[test]
fn what_a_newer_revision_took_back_never_comes_into_force() {
    let (first, second) = (version_at(10_000_000), version_at(60_000_000));
    // It was to be moved to 60 s from 8 s on; before that it was told that all stays as it is until 9 s.
    let told = heard(2, &[(1_000_000, first), (8_000_000, second)]);
    let taken_back = heard(3, &[(7_000_000, first), (9_000_000, version_at(12_000_000))]);
    let sent = interval(&[v1(8_500_000), v1(16_900_000), v1(17_100_000)]);
    assert_eq!(points_of(with_deadline(vec![told, taken_back, sent])), 200 + 200 + 100);
}

#[test]
fn a_deadline_that_passed_long_ago_may_not_move() {
    let dir = folder();
    let back = Deadlines { version: Deadline::NEVER, from: Deadline::PASSED };
    let mut played = Played::of([interval(&[right(0, 0)]), heard(2, &[(6_000_000, back)])]);
    played.deadlines = Deadlines { version: Deadline(UtcUs(BASE)), from: Deadline::PASSED };
    played.clone().write(dir.path());
    on("audit", dir.path(), &[])
        .exits(4)
        .says("the version deadline was moved at")
        .says("one that has passed does not move");
    // Within the grace either value is right, so that hearing late took nothing from anybody.
    let dir = folder();
    played.intervals[1] = heard(2, &[(4_000_000, back)]);
    played.write(dir.path());
    on("audit", dir.path(), &[]).exits(0);
}

#[test]
fn generators_hear_of_a_move_at_different_instants_and_agree() {
    let move_at = |at| heard(2, &[(at, version_at(30_000_000))]);
    let reaching = |mut played: Played, intervals: usize| {
        played.intervals.resize_with(intervals, Interval::default);
        played
    };
    let audit = |one: Played, two: Played| {
        let dir = folder();
        one.write(dir.path());
        Played { stream: OTHER, ..two }.write(dir.path());
        on("audit", dir.path(), &[])
    };
    let played = |intervals| with_deadline(intervals);
    audit(played(vec![move_at(100_000)]), played(vec![move_at(150_000)])).exits(0);
    // One ended before it could hear of it, or hardly after.
    audit(reaching(played(vec![move_at(100_000)]), 30), reaching(played(vec![]), 10)).exits(0);
    // Both play on for long, and only one has heard.
    audit(reaching(played(vec![move_at(100_000)]), 30), reaching(played(vec![]), 30))
        .exits(4)
        .says("disagree about the deadlines");
    // They never began with the same ones.
    let other = Played { deadlines: version_at(11_000_000), ..Played::default() };
    audit(played(vec![]), other).exits(4).says("disagree about the deadlines");
}

#[test]
fn the_streams_of_a_round_are_summed_and_must_agree() {
    let dirs = [folder(), folder()];
    Played::usual().write(dirs[0].path());
    Played { stream: OTHER, ..Played::usual() }.write(dirs[1].path());
    let both: Vec<&str> = dirs.iter().map(|dir| dir.path().to_str().expect("UTF-8")).collect();
    let words = ["audit", "--journal", both[0], both[1]];
    run(&words).exits(0).says("2 streams").says("1,200").says("EQUAL: 26 traces");

    let dir = folder();
    let rules = Rules { token: 101, ..Rules::default() };
    Played { stream: OTHER, rules, ..Played::usual() }.write(dir.path());
    let words = ["audit", "--journal", both[0], dir.path().to_str().expect("UTF-8")];
    run(&words).exits(4).says("disagree about the rules");
}

/// A document with these splits: at which instant (after [`BASE`]), and between whom.
fn splits(splits: &[(u64, &[&str])]) -> String {
    let split =
        |(from, generators): &(u64, &[&str])| serde_json::json!({"from": BASE + from, "generators": generators});
    serde_json::json!({ "splits": splits.iter().map(split).collect::<Vec<_>>() }).to_string()
}

/// Three intervals of a generator that takes splits from an instant on: whether it sent anything in each.
fn of_generator(id: &str, takes_from: u64, document: &str, sends: [bool; 3]) -> Played {
    let intervals = sends.iter().zip(0..).map(|(sends, index)| {
        let at = index * 100_000;
        if *sends { interval(&[right(0, at + 20_000), right(1, at + 80_000)]) } else { interval(&[]) }
    });
    let program = serde_json::json!({"generator": id, "takes_from": BASE + takes_from}).to_string();
    Played { program, document: document.to_owned(), ..Played::of(intervals) }
}

#[test]
fn two_streams_that_held_one_share_at_one_time_are_found_and_those_that_took_turns_are_not() {
    let both = splits(&[(1, &["g1", "g2"])]);
    let then_one = splits(&[(1, &["g1", "g2"]), (100_000, &["g2"])]);
    let and_back = splits(&[(1, &["g1", "g2"]), (100_000, &["g2"]), (200_000, &["g1", "g2"])]);
    let all = [true; 3];
    let other = |played: Played| Played { stream: OTHER, ..played };
    // Heard 300 ms before it counts.
    let hears = |document: &str, played: &Played, index: usize, at: u64| {
        let mut played = played.clone();
        played.intervals[index].control = Some((2, vec![(at + 300_000, Deadlines::default())]));
        played.intervals[index].document = document.to_owned();
        played
    };
    let first = of_generator("g1", 0, &both, all);
    let second = hears(&then_one, &of_generator("g2", 0, &both, all), 0, 50_000);
    let without = |count: usize| {
        let mut sends = all;
        sends[3 - count..].fill(false);
        hears(&then_one, &of_generator("g1", 0, &both, sends), 0, 60_000)
    };
    // (what they are, the streams, whether it is found)
    let cases = [
        ("a share each", first.clone(), other(of_generator("g2", 0, &both, all)), false),
        ("two processes of one name", first.clone(), other(first.clone()), true),
        ("one that has not heard that its share is another's", first.clone(), other(second.clone()), true),
        ("one that has heard of it", without(2), other(second.clone()), false),
        (
            "one that stood still, and heard late",
            hears(&then_one, &of_generator("g1", 0, &both, [true, false, false]), 2, 210_000),
            other(second),
            false,
        ),
        (
            "one that was killed and begins anew",
            Played { end: None, ..of_generator("g1", 0, &both, [true, false, false]) },
            other(of_generator("g1", 150_000, &and_back, [false, false, true])),
            false,
        ),
    ];
    for (what, one, two, is_found) in cases {
        let dir = folder();
        one.write(dir.path());
        two.write(dir.path());
        let said = on("audit", dir.path(), &["--json", "-"]).exits(if is_found { 4 } else { 0 });
        let found =
            said.json()["findings"].as_array().expect("findings").iter().any(|one| one["kind"] == "share_twice");
        assert_eq!(found, is_found, "{what}: {}", said.out);
    }
}

#[test]
fn what_if_shows_other_rules_beside_the_official_points() {
    let dir = folder();
    Played::usual().write(dir.path());
    let file = dir.path().join("contest.toml");
    let contest = "name = \"finals\"\n[rules]\ntoken = 10\ntoken_required = true\ntimeout = \"1s\"\n[deadlines]\nfrom = \"+1h\"\n\
                   [[phase]]\nfor = \"1s\"\nconnections = 1\n[[contestant]]\nname = \"alice\"\nendpoint = \"127.0.0.1:1\"\n\
                   [policy]\nallow = [\"127.0.0.0/8\"]\n";
    std::fs::write(&file, contest).expect("a file");
    let words = ["--with", file.to_str().expect("UTF-8"), "--json", "-"];
    let report = on("audit", dir.path(), &words).exits(0).json();
    // alice: three tokens and versions right, and three platforms wrong, since EC2 would be right for another hour.
    assert_eq!(report["rounds"][0]["contestants"][0]["points_what_if"], 3 * (10 + 50 - 50));
    assert_eq!(report["rounds"][0]["contestants"][0]["points"], 600);
    assert_eq!(report["findings"][0]["kind"], "what_if");
    assert!(report["findings"][0]["text"].as_str().expect("a text").contains("timeout"));
    std::fs::write(&file, "name = 1").expect("a file");
    on("audit", dir.path(), &words).exits(2).complains("contest.toml");
}

#[test]
fn what_cannot_be_read_is_a_sentence_and_an_exit_code() {
    let dir = folder();
    let missing = dir.path().join("nowhere");
    on("audit", &missing, &[]).exits(1).complains("does not exist");
    for command in ["audit", "export", "inspect"] {
        on(command, dir.path(), &[]).exits(1).complains("journal");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0, "nothing was written");
    Played::usual().write(dir.path());
    on("audit", dir.path(), &["--contest", "other"]).exits(1).complains("is of contest \"finals\", not of \"other\"");
    on("audit", dir.path(), &["--contest", CONTEST]).exits(0);
    on("audit", dir.path(), &["--redis", "unix:///nowhere/redis.sock"]).exits(1).complains("no Redis answers");
    run(&["audit"]).exits(2);
    let copy = folder();
    Played::usual().write(copy.path());
    let [one, two] = [dir.path(), copy.path()].map(|path| path.to_str().expect("UTF-8"));
    run(&["audit", "--journal", one, two]).exits(1).complains("name only the folder whose copy is whole");
    run(&["audit", "--journal", one, one]).exits(0);
}

#[test]
fn a_long_roster_of_whom_nobody_counts_costs_nothing() {
    let dir = folder();
    let mut played = Played::of([interval(&[right(1, 0)])]);
    played.names = vec!["x"; 60_000];
    played.write(dir.path());
    let found = flowtest_journal::stream::find(dir.path()).expect("a stream");
    let stream = audit(&found[0], Questions::default(), &|_| ()).expect("it is read");
    assert_eq!((stream.batches.len(), stream.batches.iter().flatten().count()), (60_000, 1));
    assert_eq!((stream.traces.len(), stream.traces.iter().flatten().count()), (60_000, 1));
}

fn exchanges() -> impl Strategy<Value = Exchange> {
    let version = prop_oneof![
        Just(Seen::Missing),
        Just(Seen::Other),
        Just(Seen::Value(Version::V1)),
        Just(Seen::Value(Version::V2))
    ];
    let from = prop_oneof![
        Just(Seen::Missing),
        Just(Seen::Other),
        Just(Seen::Value(Platform::Ec2)),
        Just(Seen::Value(Platform::Ecs))
    ];
    let outcome = prop_oneof![
        3 => (any::<bool>(), version, from).prop_map(|(token_right, version, from)| {
            Outcome::Answered(Observed { token_right, version, from })
        }),
        1 => proptest::sample::select(&Failure::ALL[..]).prop_map(Outcome::Failed),
    ];
    (0u16..2, any::<bool>(), 0i32..40_000_000, 0u32..1 << 27, 0u32..2_000_000, outcome).prop_map(
        |(contestant, scored, sent_us, service_us, lag_us, outcome)| {
            let never = matches!(outcome, Outcome::Failed(Failure::Missed | Failure::OwnFault));
            let lag_us = if never { flowtest_journal::record::NEVER_SENT } else { lag_us };
            let latency_us = if never { service_us } else { service_us + lag_us };
            Exchange { contestant, scored, sent_us, latency_us, lag_us, outcome }
        },
    )
}

#[test]
fn whatever_a_generator_counts_the_audit_counts_from_traces() {
    // A process may have 1,024 files open, usually, and glommio keeps one of each executor that it made. Not by the macro,
    // where PROPTEST_CASES would win.
    let cases = ProptestConfig::default().cases.min(800);
    let instants = || 0u64..40_000_000;
    let played =
        (vec(vec(exchanges(), 0..60), 1..4), instants(), proptest::option::of(instants()), instants(), any::<bool>());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(cases));
    let run = runner.run(&played, |(intervals, version, moved, taken_back, token_required)| {
        let rules = Rules { token_required, ..Rules::default() };
        let mut played = Played::of(intervals.iter().map(|exchanges| interval(exchanges)));
        (played.rules, played.deadlines) = (rules, Deadlines { version: after(version), from: after(20_000_000) });
        if let Some(moved) = moved {
            let to = |version| Deadlines { version: after(version), from: after(20_000_000) };
            let (first, later) = (moved.min(taken_back), moved.max(taken_back) + 1);
            played.intervals.insert(0, heard(2, &[(first, to(version)), (later, to(moved))]));
            played.intervals.push(heard(3, &[(taken_back, to(moved)), (later + 5, to(taken_back))]));
        }
        let dir = folder();
        played.write(dir.path());
        let found = flowtest_journal::stream::find(dir.path()).expect("a stream");
        let stream = audit(&found[0], Questions::default(), &|_| ()).expect("it is read");
        for (batches, traces) in stream.batches.iter().zip(&stream.traces) {
            let mut expected = batches.clone();
            expected.iter_mut().flat_map(|halves| halves.iter_mut()).for_each(|row| row.tally.bytes = 0);
            prop_assert_eq!(&expected, traces);
        }
        Ok(())
    });
    run.unwrap_or_else(|found| panic!("{found}"));
}
