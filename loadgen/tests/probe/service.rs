//! "Test my endpoint" through a real redis-server.

use crate::peer::{Peer, Reply, answer, policy, right, terms, trust};
use flowtest_contest::Policy;
use flowtest_contest::policy::Ownership;
use flowtest_contract::rules::{Deadline, Deadlines, UtcUs};
use flowtest_contract::utc_us;
use flowtest_loadgen::admit::probe::{ProbeService, Settings};
use flowtest_loadgen::admit::resolve::Names;
use flowtest_scoreboard::{ProbeAnswer, ProbeRequest, Scoreboard};
use flowtest_testkit::{RedisServer, WAIT_MAX, wait_until_or};

const CONTEST: &str = "finals";

struct Stage {
    board: Scoreboard,
    service: ProbeService,
    _server: RedisServer,
}

impl Stage {
    fn new(policy: Policy) -> Stage {
        let server = RedisServer::start();
        let (board, theirs) = (server.scoreboard(), server.scoreboard());
        let names = Names::new(None, |_| Err(std::io::Error::other("no such name")));
        let service = ProbeService::start(theirs, CONTEST.to_owned(), "g1".to_owned(), names, settings(policy))
            .expect("a thread");
        Stage { board, service, _server: server }
    }

    fn ask(&mut self, id: &str, contestant: &str, endpoint: &str) {
        self.ask_by(id, contestant, endpoint, None);
    }

    fn ask_by(&mut self, id: &str, contestant: &str, endpoint: &str, deadlines: Option<Deadlines>) {
        let (id, contestant, endpoint) = (id.to_owned(), contestant.to_owned(), endpoint.to_owned());
        let request = ProbeRequest { id, at: utc_us(), contestant, endpoint, automatic: false, deadlines };
        self.board.ask_probe(CONTEST, &request).expect("put");
    }

    fn answer(&mut self, id: &str) -> ProbeAnswer {
        wait_until_or(id, || {
            let answer = self.board.read_probe(CONTEST, id).expect("Redis answers");
            answer.ok_or_else(|| format!("{:?}", self.service.trouble()))
        })
    }

    fn has_answer(&mut self, id: &str) -> bool {
        self.board.read_probe(CONTEST, id).expect("Redis answers").is_some()
    }
}

fn settings(policy: Policy) -> Settings {
    let terms = terms(WAIT_MAX);
    Settings { policy, trust: trust(), rules: terms.rules, deadlines: terms.deadlines, is_stopped: false }
}

#[test]
fn an_endpoint_is_tested_and_the_answer_says_what_to_do() {
    let peer =
        Peer::start(|request| Reply::Keep(answer(&[("Token", &request.token), ("Version", "v1"), ("From", "ECS")])));
    let mut stage = Stage::new(policy());
    stage.ask("p1", "alice", &peer.address.to_string());
    let found = stage.answer("p1");
    assert_eq!((found.generator.as_str(), found.endpoint), ("g1", format!("http://{}/", peer.address)));
    assert_eq!(found.address, Some(peer.address.to_string()));
    let verdicts = found.verdicts.expect("it answered");
    assert!(verdicts.token && !verdicts.version && verdicts.from && found.latency_us.is_some());
    assert!(found.message.contains("expected: Version: v2; received: Version: v1"), "{}", found.message);
    assert!(found.head.starts_with("HTTP/1.1 200 OK\\r\\n"), "{}", found.head);
}

#[test]
fn the_deadlines_are_those_of_who_asks() {
    let peer = Peer::honest();
    let mut stage = Stage::new(policy());
    // Moved a moment ago: the generator has not read it yet.
    let moved = Deadlines { version: Deadline(UtcUs(u64::MAX)), ..Deadlines::default() };
    // (by which, whether v2 is right)
    for (id, deadlines, right) in [("before", None, true), ("moved", Some(moved), false)] {
        stage.ask_by(id, id, &peer.address.to_string(), deadlines);
        assert_eq!(stage.answer(id).is_verified(), right, "{id}");
    }
}

#[test]
fn three_right_headers_of_anothers_server_are_none() {
    let lines = |token: &str| answer(&[("Token", token), ("Version", "v2"), ("From", "ECS"), ("Team", "alice")]);
    let peer = Peer::start(move |request| Reply::Keep(lines(&request.token)));
    let mut stage = Stage::new(Policy { ownership: Ownership::Header, ..policy() });
    // (who names the server, whether it is theirs)
    for (name, own) in [("alice", true), ("bobby", false)] {
        stage.ask(name, name, &peer.address.to_string());
        let found = stage.answer(name);
        assert_eq!((found.verdicts.is_some(), found.team.as_deref()), (own, Some("alice")), "{found:?}");
        assert_eq!(found.message.contains("expected: Team: bobby; received: Team: alice"), !own, "{}", found.message);
    }
}

#[test]
fn what_may_not_be_asked_is_refused_with_a_sentence() {
    let mut stage = Stage::new(policy());
    let cases = [
        ("p1", "127.0.0.1:22", "port 22"),
        ("p2", "192.168.0.7", "192.168.0.7 is private"),
        ("p3", "ftp://example.com", "https"),
        ("p4", "nobody.test", "does not resolve"),
    ];
    for (id, endpoint, part) in cases {
        stage.ask(id, id, endpoint);
        let found = stage.answer(id);
        assert!(found.message.contains(part) && found.verdicts.is_none(), "{found:?}");
        // What only operators can do is not for contestants.
        assert!(!found.message.contains("[policy]") && !found.message.contains("this machine"), "{found:?}");
    }
    let peer = Peer::honest();
    stage.service.set(settings(Policy::default()));
    stage.ask("p5", "p5", &peer.address.to_string());
    assert!(stage.answer("p5").message.contains("own machine"));
    // All traffic is stopped: so is that of tests.
    stage.service.set(Settings { is_stopped: true, ..settings(policy()) });
    stage.ask("p6", "p6", &peer.address.to_string());
    assert!(stage.answer("p6").message.contains("stopped all traffic"));
    assert_eq!(peer.connections(), 0);
}

#[test]
fn one_test_in_ten_seconds_for_each_contestant() {
    let peer = Peer::honest();
    let mut stage = Stage::new(policy());
    for (id, contestant) in [("p1", "alice"), ("p2", "alice"), ("p3", "bob")] {
        stage.ask(id, contestant, &peer.address.to_string());
    }
    assert_eq!(stage.answer("p1").message, "all three headers are right in all 3 answers");
    assert!(stage.answer("p2").message.contains("tested a moment ago"));
    assert!(stage.answer("p3").verdicts.is_some());
}

#[test]
fn a_slow_endpoint_delays_nobody() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let slow = Peer::start(move |request| {
        let _ = wait.lock().expect("one request at a time").recv();
        Reply::Keep(right(&request.token))
    });
    let quick = Peer::honest();
    let mut stage = Stage::new(policy());
    stage.ask("p1", "alice", &slow.address.to_string());
    stage.ask("p2", "bob", &quick.address.to_string());
    assert!(stage.answer("p2").verdicts.is_some());
    assert!(!stage.has_answer("p1"));
    drop(go);
    stage.answer("p1");
}
