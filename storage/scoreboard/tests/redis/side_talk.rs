//! What generator and dashboard tell each other beside the scores, through a real Redis.

use crate::stage::CONTEST;
use flowtest_contest::{Contest, Control};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Row, StreamId};
use flowtest_scoreboard::practice::Asked;
use flowtest_scoreboard::{
    ExplainedError, GeneratorHealth, Lease, PracticeReport, PracticeRequest, PracticeState, Prepared, ProbeAnswer,
    ProbeRequest, ProbeVerdicts, Scoreboard, ScoreboardError, keys,
};
use flowtest_testkit::RedisServer;
use flowtest_testkit::documents::{RIGHT, generator_health, probe_answer};

fn board(server: &RedisServer) -> Scoreboard {
    Scoreboard::connect(&server.url()).expect("Redis answers")
}

fn failure(at: u64) -> ExplainedError {
    ExplainedError {
        at: UtcUs(at),
        ended: Some(UtcUs(at + 1)),
        kind: "token".to_owned(),
        message: "the Token is not the one of the request: send it back as it came".to_owned(),
        expected: "0123".to_owned(),
        received: "3210".to_owned(),
        request: "GET / HTTP/1.1\\r\\n".to_owned(),
        response: "HTTP/1.1 200 OK\\r\\n".to_owned(),
    }
}

#[test]
fn the_newest_fifty_explained_failures_are_read_newest_first() {
    let server = RedisServer::start();
    let mut board = board(&server);
    assert_eq!(board.read_errors(CONTEST, "alice").expect("nothing yet"), []);
    board.push_errors(CONTEST, "alice", &[]).expect("nothing to push");
    let all: Vec<ExplainedError> = (0..130).map(failure).collect();
    board.push_errors(CONTEST, "alice", &all[..7]).expect("pushed");
    board.push_errors(CONTEST, "alice", &all[7..]).expect("more than are kept, at once");
    let read = board.read_errors(CONTEST, "alice").expect("read");
    let newest: Vec<ExplainedError> = (80..130).rev().map(failure).collect();
    assert_eq!(read, newest);
    assert_eq!(board.read_errors(CONTEST, "bob").expect("read"), []);
    assert_eq!(server.command(&["LLEN", &keys::errors(CONTEST, "alice")]), redis::Value::Int(50));
}

#[test]
fn failures_that_somebody_else_wrote_are_left_out() {
    let server = RedisServer::start();
    let mut board = board(&server);
    let key = keys::errors(CONTEST, "alice");
    board.push_errors(CONTEST, "alice", &[failure(1)]).expect("pushed");
    let huge = "x".repeat(1 << 20);
    server.command(&["LPUSH", &key, "junk", "{}", "\u{1b}", &huge]);
    assert_eq!(board.read_errors(CONTEST, "alice").expect("read"), [failure(1)]);
    server.command(&["DEL", &key]);
    server.command(&["SET", &key, "no list"]);
    let error = board.push_errors(CONTEST, "alice", &[failure(2)]).expect_err("no list").to_string();
    assert!(error.contains("push explained failures"), "{error}");
}

fn health(id: &str, beat: UtcUs) -> GeneratorHealth {
    GeneratorHealth {
        rate: 1_000,
        rate_ratio: Some(0.999),
        source_addresses: vec!["127.0.0.1".parse().expect("an address")],
        ..generator_health(id, beat)
    }
}

#[test]
fn generators_are_seen_while_they_beat_and_named_when_they_are_silent() {
    let server = RedisServer::start();
    let mut board = board(&server);
    assert_eq!(board.read_generators(CONTEST).expect("nobody yet"), []);
    for (id, beat) in [("g1", 1_796_119_200_000_001), ("g2", 1_796_119_200_000_003), ("g1", 1_796_119_200_000_007)] {
        board.write_health(CONTEST, &health(id, UtcUs(beat))).expect("written");
    }
    let seen = board.read_generators(CONTEST).expect("read");
    let ids: Vec<(&str, u64)> = seen.iter().map(|one| (one.id.as_str(), one.beat.0)).collect();
    assert_eq!(ids, [("g1", 1_796_119_200_000_007), ("g2", 1_796_119_200_000_003)]);
    assert_eq!(seen[0].health, Some(health("g1", UtcUs(1_796_119_200_000_007))));
    let life = server.command(&["TTL", &keys::generator(CONTEST, "g1")]);
    assert!(matches!(life, redis::Value::Int(1..=5)), "{life:?}");
}

#[test]
fn what_somebody_else_says_about_generators_is_not_believed() {
    let server = RedisServer::start();
    let mut board = board(&server);
    for id in ["g1", "g2"] {
        board.write_health(CONTEST, &health(id, UtcUs(5))).expect("written");
    }
    server.command(&["DEL", &keys::generator(CONTEST, "g1")]);
    server.command(&["SET", &keys::generator(CONTEST, "g2"), &"[".repeat(1 << 20)]);
    let all = keys::generators(CONTEST);
    server.command(&["ZADD", &all, "1", "\u{1b}[2J", "2", "x:y", "inf", "g9", "-inf", "g8"]);
    let seen = board.read_generators(CONTEST).expect("read");
    let ids: Vec<(&str, u64, bool)> =
        seen.iter().map(|one| (one.id.as_str(), one.beat.0, one.health.is_some())).collect();
    assert_eq!(ids, [("g9", u64::MAX, false), ("g2", 5, false), ("g1", 5, false), ("g8", 0, false)]);
    for bad in ["", "a:b", "{g}", "g\n"] {
        let error = board.write_health(CONTEST, &health(bad, UtcUs(1))).expect_err("no name").to_string();
        assert!(error.contains("cannot be a generator's name"), "{error}");
    }
    // A thousand are known at most; the longest silent is forgotten first.
    let many: Vec<String> = (0..1_100).flat_map(|beat| [(beat + 10).to_string(), format!("n{beat}")]).collect();
    let words: Vec<&str> = ["ZADD", &all].into_iter().chain(many.iter().map(String::as_str)).collect();
    server.command(&words);
    board.write_health(CONTEST, &health("g1", UtcUs(5_000))).expect("written");
    let seen = board.read_generators(CONTEST).expect("read");
    assert_eq!(seen.len(), 1_000);
    assert_eq!((seen[1].id.as_str(), seen[1].health.is_some()), ("g1", true));
}

fn request(id: &str, at: UtcUs) -> ProbeRequest {
    ProbeRequest {
        id: id.to_owned(),
        at,
        contestant: "alice".to_owned(),
        endpoint: "10.0.0.1:8080/shop".to_owned(),
        automatic: false,
        deadlines: None,
    }
}

const MINUTE: u64 = 60_000_000;

#[test]
fn a_test_of_an_endpoint_is_taken_once_and_answered() {
    let server = RedisServer::start();
    let (mut dashboard, mut generator) = (board(&server), board(&server));
    let now = UtcUs(10 * MINUTE);
    assert_eq!(generator.take_probe(CONTEST, now).expect("nothing waits"), None);
    dashboard.ask_probe(CONTEST, &request("p0", now - 2 * MINUTE - 1)).expect("put, but long ago");
    server.command(&["RPUSH", &keys::probes(CONTEST), "junk", "{}", &"x".repeat(1 << 20)]);
    dashboard.ask_probe(CONTEST, &request("p1", now)).expect("put");
    dashboard.ask_probe(CONTEST, &request("p2", now)).expect("put");
    assert_eq!(generator.take_probe(CONTEST, now).expect("taken"), Some(request("p1", now)));
    assert_eq!(generator.take_probe(CONTEST, now).expect("taken"), Some(request("p2", now)));
    assert_eq!(generator.take_probe(CONTEST, now).expect("nothing left"), None);
    assert_eq!(dashboard.read_probe(CONTEST, "p1").expect("no answer yet"), None);
    let answer = ProbeAnswer {
        address: Some("10.0.0.1:8080".to_owned()),
        head: "HTTP/1.1 200 OK\\r\\n".to_owned(),
        ..probe_answer("p1", "http://10.0.0.1:8080/shop", now, ProbeVerdicts { version: false, ..RIGHT })
    };
    generator.answer_probe(CONTEST, &answer).expect("answered");
    assert_eq!(dashboard.read_probe(CONTEST, "p1").expect("read"), Some(answer));
    let life = server.command(&["TTL", &keys::probe(CONTEST, "p1")]);
    assert!(matches!(life, redis::Value::Int(1..=60)), "{life:?}");
    let error = dashboard.read_probe(CONTEST, "a:b").expect_err("no id").to_string();
    assert!(error.contains("no id of a probe"), "{error}");
}

#[test]
fn requests_that_nobody_takes_do_not_pile_up() {
    let server = RedisServer::start();
    let mut board = board(&server);
    for index in 0..250 {
        board.ask_probe(CONTEST, &request(&format!("p{index}"), UtcUs(MINUTE))).expect("put");
    }
    assert_eq!(server.command(&["LLEN", &keys::probes(CONTEST)]), redis::Value::Int(200));
    assert_eq!(board.take_probe(CONTEST, UtcUs(MINUTE)).expect("taken"), Some(request("p50", UtcUs(MINUTE))));
}

#[test]
fn the_clock_of_the_same_machine_is_near() {
    let server = RedisServer::start();
    let offset = board(&server).measure_clock().expect("measured");
    // Redis asks the same clock: whatever the offset is, the error bound covers it.
    assert!(offset.offset_us.unsigned_abs() <= offset.error_us, "{offset:?}");
}

#[test]
fn a_control_document_larger_than_any_of_ours_is_not_even_fetched() {
    let server = RedisServer::start();
    let mut board = board(&server);
    let key = keys::control(CONTEST);
    assert_eq!(board.read_control(CONTEST).expect("there is none"), None);
    server.command(&["SETRANGE", &key, &(100 << 20).to_string(), "x"]);
    let error = board.read_control(CONTEST).expect_err("too long");
    assert!(matches!(error, ScoreboardError::Control(_)), "{error}");
    assert!(error.to_string().contains("at most 16777216"), "{error}");
    server.command(&["SET", &key, "junk"]);
    assert!(board.read_control(CONTEST).is_err());
    let text = "name = \"finals\"\n[[phase]]\nfor = \"1s\"\nrate = 1\nconnections = 1\n\
                [[contestant]]\nname = \"a\"\nendpoint = \"10.0.0.1\"\n";
    let control = Control::new(Contest::from_toml(text).expect("a contest"));
    board.write_control(&control).expect("written");
    assert_eq!(board.read_control(CONTEST).expect("read"), Some(control));
}

#[test]
fn practice_is_taken_once_and_its_report_is_rewritten() {
    let server = RedisServer::start();
    let (mut dashboard, mut generator) = (board(&server), board(&server));
    let now = UtcUs(10 * MINUTE);
    let request = |id: &str, at: UtcUs| PracticeRequest {
        id: id.to_owned(),
        at,
        contestant: "alice".to_owned(),
        endpoint: "10.0.0.1:8080/shop".to_owned(),
        rate: 500,
        seconds: 30,
        climbs: false,
    };
    dashboard.ask_practice(CONTEST, &request("p0", now - 2 * MINUTE - 1), 10).expect("put, but long ago");
    server.command(&["RPUSH", &keys::practices(CONTEST), "junk", "{}", &"x".repeat(1 << 20)]);
    dashboard.ask_practice(CONTEST, &request("p1", now), 10).expect("put");
    assert_eq!(generator.take_practice(CONTEST, now).expect("taken"), Some(request("p1", now)));
    assert_eq!(generator.take_practice(CONTEST, now).expect("once"), None);
    let too_much = PracticeRequest { rate: 501, ..request("p2", now) };
    let error = dashboard.ask_practice(CONTEST, &too_much, 10).expect_err("too much").to_string();
    assert!(error.contains("1 to 500 requests per second"), "{error}");

    assert_eq!(dashboard.read_practice(CONTEST, "p1").expect("read"), None);
    let mut report = PracticeReport {
        id: "p1".to_owned(),
        at: now,
        generator: "g1".to_owned(),
        state: PracticeState::Running,
        message: "practice runs".to_owned(),
        second: 1,
        row: Row::default().encode(),
        points: -200,
        p50_us: Some(300),
        p99_us: Some(400),
        errors: vec![failure(now.0)],
        climb: None,
    };
    generator.answer_practice(CONTEST, &report).expect("said");
    report.second = 2;
    generator.answer_practice(CONTEST, &report).expect("said again");
    assert_eq!(dashboard.read_practice(CONTEST, "p1").expect("read"), Some(report));
    let life = server.command(&["TTL", &keys::practice(CONTEST, "p1")]);
    assert!(matches!(life, redis::Value::Int(590..=600)), "{life:?}");
    assert!(dashboard.read_practice(CONTEST, "{x}").is_err());
}

#[test]
fn practice_is_taken_in_turn_or_refused_with_its_place() {
    let server = RedisServer::start();
    let (mut dashboard, mut one, mut other) = (board(&server), board(&server), board(&server));
    let now = UtcUs(10 * MINUTE);
    let request = |id: &str, at: UtcUs| PracticeRequest {
        id: id.to_owned(),
        at,
        contestant: "alice".to_owned(),
        endpoint: "10.0.0.1".to_owned(),
        rate: 5,
        seconds: 5,
        climbs: false,
    };
    let old = dashboard.ask_practice(CONTEST, &request("p0", now - 2 * MINUTE - 1), 3).expect("put");
    assert_eq!(old, Asked::Waits { before: 0 });
    for (index, id) in ["p1", "p2", "p3"].into_iter().enumerate() {
        let asked = dashboard.ask_practice(CONTEST, &request(id, now), 3).expect("put");
        assert_eq!(asked, Asked::Waits { before: index }, "nobody takes the old one");
    }
    let full = dashboard.ask_practice(CONTEST, &request("p4", now), 3).expect("it is told");
    assert_eq!(full, Asked::Full { waiting: 3 });
    assert_eq!(dashboard.waiting_practices(CONTEST, now).expect("a list"), ["p1", "p2", "p3"]);
    // Two that are idle take two at once, and the third is the next.
    let taken = [&mut one, &mut other].map(|generator| generator.take_practice(CONTEST, now).expect("taken"));
    assert_eq!(taken.map(|request| request.expect("one").id), ["p1", "p2"]);
    assert_eq!(dashboard.waiting_practices(CONTEST, now).expect("a list"), ["p3"]);
    assert_eq!(dashboard.waiting_practices(CONTEST, now + 2 * MINUTE + 1).expect("a list"), Vec::<String>::new());
}

#[test]
fn who_wants_a_name_that_is_anothers_is_seen_with_it() {
    let server = RedisServer::start();
    let mut board = board(&server);
    board.write_health(CONTEST, &health("g1", UtcUs(5))).expect("written");
    let mut waiting = || board.read_generators(CONTEST).expect("read").remove(0).waiting;
    assert_eq!(waiting(), None);
    let mut other = self::board(&server);
    other.say_waiting(CONTEST, "g1", "clone-2, process 7\u{1b}[2J").expect("said");
    assert_eq!(waiting().as_deref(), Some("clone-2, process 7\\u{1b}[2J"));
    let life = server.command(&["TTL", &keys::waiting(CONTEST, "g1")]);
    assert!(matches!(life, redis::Value::Int(1..=10)), "{life:?}");
    other.end_waiting(CONTEST, "g1").expect("said");
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(waiting(), None);
}

#[test]
fn a_generators_name_is_one_processs_until_it_gives_it_back_or_dies() {
    let server = RedisServer::start();
    let (mut one, mut other) = (board(&server), board(&server));
    let (first, second) = (StreamId::from_bits(1), StreamId::from_bits(2));
    let take = |board: &mut Scoreboard, holder| board.hold_lease(CONTEST, "g1", holder).expect("asked");
    assert_eq!(take(&mut one, first), Lease::Ours);
    assert_eq!(take(&mut other, second), Lease::Others);
    assert_eq!(take(&mut one, first), Lease::Ours, "renewed");
    let life = server.command(&["PTTL", &keys::lease(CONTEST, "g1")]);
    assert!(matches!(life, redis::Value::Int(1..=5_000)), "{life:?}");
    other.release_lease(CONTEST, "g1", second).expect("nothing of its own to give back");
    assert_eq!(take(&mut other, second), Lease::Others);
    one.release_lease(CONTEST, "g1", first).expect("given back");
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(take(&mut other, second), Lease::Ours);
    assert_eq!(take(&mut one, first), Lease::Others);
    // Dead: nobody renews it.
    server.command(&["PEXPIRE", &keys::lease(CONTEST, "g1"), "1"]);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(take(&mut one, first), Lease::Ours);
}

#[test]
fn what_the_prepare_check_found_is_read_of_everybody_and_nonsense_is_left_out() {
    let server = RedisServer::start();
    let (mut dashboard, mut generator) = (board(&server), board(&server));
    assert!(dashboard.read_prepared(CONTEST).expect("nothing yet").is_empty());
    let prepared = |ready: bool| Prepared {
        at: UtcUs(7),
        generator: "g1".to_owned(),
        ready,
        verdicts: Some(ProbeVerdicts { token: true, version: ready, from: true }),
        message: "all three headers are right".to_owned(),
        endpoint: "http://10.0.0.1/".to_owned(),
        addresses: vec!["10.0.0.1:80".to_owned()],
        admitted: if ready { vec!["10.0.0.1:80".to_owned()] } else { Vec::new() },
    };
    let found = [("alice".to_owned(), prepared(true)), ("bob".to_owned(), prepared(false))].into();
    generator.write_prepared(CONTEST, &found).expect("written");
    generator.write_prepared(CONTEST, &[("bob".to_owned(), prepared(true))].into()).expect("written again");
    let key = keys::prepared(CONTEST);
    server.command(&["HSET", &key, "junk", "{}", "long", &"[".repeat(1 << 20), "a:b", "{}"]);
    let read = dashboard.read_prepared(CONTEST).expect("read");
    assert_eq!(read, [("alice".to_owned(), prepared(true)), ("bob".to_owned(), prepared(true))].into());
    assert!(prepared(true).says_the_same(&Prepared { at: UtcUs(9), ..prepared(true) }));
    assert!(!prepared(true).says_the_same(&prepared(false)));
}
