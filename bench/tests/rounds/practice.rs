//! Practice beside all rounds: exact, explained, only where it may go, and gone at once when a round is armed.

use crate::addresses::point;
use crate::arena::{Arena, served};
use crate::stage::Stage;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Target};
use flowtest_contest::ladder::Unbroken;
use flowtest_contest::lifecycle::Change;
use flowtest_contract::{Rules, Tally, utc_us};
use flowtest_scoreboard::{PracticeReport, PracticeRequest, PracticeState};
use flowtest_testkit::{WAIT_MAX, wait_until_or};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

impl Arena {
    pub(crate) fn ask(&mut self, id: &str, contestant: &str, endpoint: &str, rate: u64, seconds: u64) {
        self.ask_for(id, contestant, endpoint, (rate, seconds, false));
    }

    fn ask_for(&mut self, id: &str, contestant: &str, endpoint: &str, (rate, seconds, climbs): (u64, u64, bool)) {
        let contest = self.control_store.contest().to_owned();
        let (id, contestant, endpoint) = (id.to_owned(), contestant.to_owned(), endpoint.to_owned());
        let request = PracticeRequest { id, at: utc_us(), contestant, endpoint, rate, seconds, climbs };
        self.control_store.scoreboard().ask_practice(&contest, &request, 10).expect("it is put");
    }

    fn report(&mut self, id: &str) -> Option<PracticeReport> {
        let contest = self.control_store.contest().to_owned();
        self.control_store.scoreboard().read_practice(&contest, id).expect("Redis answers")
    }

    /// Waits until the report is in one of these states.
    fn report_in(&mut self, id: &str, states: &[PracticeState]) -> PracticeReport {
        wait_until_or("the report", || match self.report(id) {
            Some(report) if states.contains(&report.state) => Ok(report),
            other => Err(format!("{other:?}; {}", self.last_words())),
        })
    }

    pub(crate) fn practised(&mut self, id: &str) -> PracticeReport {
        self.report_in(id, &[PracticeState::Done, PracticeState::Refused])
    }
}

pub(crate) fn tally(report: &PracticeReport) -> Tally {
    report.counted().unwrap_or_else(|| panic!("nothing was counted: {report:?}")).tally
}

#[test]
fn practice_is_exact_explained_and_leaves_nothing_behind() {
    let stage =
        Stage::light().contestant("alice", &[]).contestant("bob", &["--faults", "wrong_token:40,status:90=503"]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(4), 100, &["g1"]);
    let (alice, bob) = (arena.stage.target("alice").endpoint.clone(), arena.stage.target("bob").endpoint.clone());
    arena.ask("p1", "alice", &alice, 200, 3);
    arena.ask("p2", "bob", &bob, 100, 2);
    let report = arena.practised("p1");
    assert_eq!((report.state, report.second, report.generator.as_str()), (PracticeState::Done, 3, "g1"), "{report:?}");
    assert_eq!((tally(&report).due, report.points, report.errors.len()), (600, 600 * 200, 0), "{report:?}");
    assert!(report.p50_us.is_some() && report.p50_us <= report.p99_us);

    let report = arena.practised("p2");
    let injected = arena.stage.target("bob").injected().unwrap_or_else(|error| panic!("{error}"));
    let wrong = injected.differences(&tally(&report));
    assert!(wrong.is_empty() && injected.count("wrong_token") > 0, "{injected:?}: {}", wrong.join("; "));
    assert_eq!(tally(&report).due, 200);
    assert_eq!(i128::from(report.points), tally(&report).points(&Rules::default()));
    for kind in ["token", "status"] {
        let error = report.errors.iter().find(|error| error.kind == kind).unwrap_or_else(|| panic!("{report:?}"));
        assert!(!error.message.is_empty() && error.request.starts_with("GET / HTTP/1.1"), "{error:?}");
    }

    // No round, no row, no journal.
    assert_eq!(arena.control_store.control.round, None);
    let folder = arena.journal("g1").folder().to_owned();
    assert!(std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none()), "a journal was begun");
}

#[test]
fn two_practise_side_by_side_where_two_generators_idle() {
    let stage = Stage::light().contestant("alice", &[]).contestant("bob", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(4), 100, &["g1", "g2"]);
    let (alice, bob) = (arena.stage.target("alice").endpoint.clone(), arena.stage.target("bob").endpoint.clone());
    arena.ask("p1", "alice", &alice, 50, 5);
    arena.ask("p2", "bob", &bob, 50, 5);
    let both = wait_until_or("both at once", || {
        let reports = ["p1", "p2"].map(|id| arena.report(id));
        if reports.iter().flatten().filter(|report| report.state == PracticeState::Running).count() == 2 {
            return Ok(reports);
        }
        let is_over = reports.iter().flatten().any(|report| report.state == PracticeState::Done);
        assert!(!is_over, "not at the same time: {reports:?}; {}", arena.last_words());
        Err(format!("{reports:?}; {}", arena.last_words()))
    });
    let mut generators: Vec<String> = both.into_iter().flatten().map(|report| report.generator).collect();
    generators.sort();
    assert_eq!(generators, ["g1", "g2"]);
    for id in ["p1", "p2"] {
        let report = arena.practised(id);
        assert_eq!((report.state, tally(&report).due), (PracticeState::Done, 250), "{report:?}");
    }
}

#[test]
fn who_practises_a_climb_reads_what_its_server_holds_and_why_steps_failed() {
    let stage = Stage::light().contestant("alice", &["--capacity", "320"]).contestant("bob", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(4), 100, &["g1"]);
    let (alice, bob) = (arena.stage.target("alice").endpoint.clone(), arena.stage.target("bob").endpoint.clone());
    arena.ask_for("p1", "alice", &alice, (2_000, 30, true));
    let report = arena.practised("p1");
    let climb = report.climb.clone().unwrap_or_else(|| panic!("{report:?}"));
    assert_eq!(report.state, PracticeState::Done, "{report:?}");
    // Half a minute finds it nearly.
    assert!(climb.holds.abs_diff(320) * 100 <= 320 * 25, "{climb:?}");
    assert!(climb.breaks_at.is_some_and(|at| at > climb.holds) && climb.steps.len() >= 5, "{climb:?}");
    assert!(report.message.contains("It held") && report.second <= 30, "{report:?}");
    // Nothing breaks him below what practice offers, and it ends there.
    arena.ask_for("p2", "bob", &bob, (100, 30, true));
    let report = arena.practised("p2");
    let climb = report.climb.unwrap_or_else(|| panic!("it climbed"));
    assert_eq!((climb.holds, climb.unbroken), (100, Some(Unbroken::Max)), "{climb:?}");
}

#[test]
fn nobody_practises_where_it_may_not_or_on_somebody_else() {
    let stage = Stage::light().contestant("alice", &[]);
    let broken = Target::start("broken", &["--version", "v1"]).unwrap_or_else(|error| panic!("{error}"));
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(4), 100, &["g1"]);
    let alice = arena.stage.target("alice").endpoint.clone();
    // (id, contestant, endpoint, part of the refusal)
    let cases = [
        ("p1", "bob", "10.0.0.1:8080", "10.0.0.1"), // closed by the policy of contest and machine
        ("p2", "bob", "127.0.0.1:22", "port 22"),   // a closed port
        ("p3", "bob", "ftp://example.com", "https"), // no endpoint
        ("p4", "bob", &alice, "another contestant's"), // a rival's server
        ("p5", "bob", &broken.endpoint, "Version: v2"), // it is not ready
    ];
    for (id, contestant, endpoint, part) in cases {
        arena.ask(id, contestant, endpoint, 100, 5);
        let report = arena.practised(id);
        assert!(report.state == PracticeState::Refused && report.message.contains(part), "{id}: {report:?}");
        assert_eq!(report.row, "");
    }
}

/// A server that is nobody's, which says a secret to whoever asks. It lives as long as the test's process.
fn talkative(secret: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]).and_then(|_| stream.write_all(secret.as_bytes()));
        }
    });
    endpoint
}

#[test]
fn neither_practice_nor_a_round_repeats_what_a_closed_server_says() {
    const SECRET: &str = "-ERR password hunter2";
    let inside = talkative("-ERR password hunter2\r\n");
    let stage = Stage::light().contestant("alice", &[]);
    let phase = Phase { length: Duration::from_secs(2), rate: Some(100), connections: 12, pipeline: 1 };
    let alice = stage.target("alice").endpoint.clone();
    let contest = ContestFile::new("arena", phase).with("alice", &alice).with("mallory", &inside);
    let mut arena = Arena::of(stage, &contest, &["g1"]);
    arena.ask("p1", "mallory", &inside, 10, 1);
    let report = arena.practised("p1");
    let told = report.message.clone();
    assert!(report.state == PracticeState::Refused && told.contains("malformed: "), "{report:?}");
    arena.arm(&["g1"]);
    arena.sealed();
    let scoreboard = arena.control_store.scoreboard();
    let errors = scoreboard.read_errors("arena", "mallory").expect("Redis answers");
    let prepared = scoreboard.read_prepared("arena").expect("Redis answers").remove("mallory").expect("it was asked");
    assert!(errors.iter().any(|error| error.kind == "prepare" && error.message.contains("malformed: ")), "{errors:?}");
    assert!(prepared.message.contains("malformed: "), "{prepared:?}");
    for told in [format!("{report:?}"), format!("{errors:?}"), format!("{prepared:?}")] {
        assert!(!told.contains("hunter2"), "{told}");
    }
    // Those who own the machines read it.
    let generator = arena.generators.get_mut("g1").expect("it serves");
    let said = |line: &str| (line.contains("mallory is not ready") && line.contains(SECRET)).then_some(());
    generator.wait_for(SECRET, WAIT_MAX, said).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_name_that_moves_while_it_is_practised_floods_nobody_else() {
    let own = Target::start("own", &[]).unwrap_or_else(|error| panic!("{error}"));
    let port = own.endpoint.rsplit(':').next().expect("a port").to_owned();
    let listen = format!("127.0.0.2:{port}");
    let stranger = Target::start("stranger", &["--listen", &listen]).unwrap_or_else(|error| panic!("{error}"));
    let stage = Stage::light().contestant("alice", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(4), 100, &["g1"]);
    point(&arena, &[("bobby.test", &["127.0.0.1"])]);
    arena.ask("p1", "bobby", &format!("bobby.test:{port}"), 100, 3);
    arena.report_in("p1", &[PracticeState::Running]);
    point(&arena, &[("bobby.test", &["127.0.0.2"])]);
    let report = arena.practised("p1");
    assert_eq!((report.state, tally(&report).due, report.points), (PracticeState::Done, 300, 300 * 200), "{report:?}");
    assert_eq!(served(&stranger), 0, "who is there now has been asked nothing");
    // The next practice asks first, and plays there.
    let before = served(&own);
    arena.ask("p2", "bobby", &format!("bobby.test:{port}"), 10, 1);
    assert_eq!(arena.practised("p2").state, PracticeState::Done);
    assert!(served(&stranger) >= 10 && served(&own) == before, "{} there", served(&stranger));
}

#[test]
fn practice_ends_at_once_when_a_round_is_armed_and_is_refused_while_it_lasts() {
    let stage = Stage::light().contestant("alice", &[]);
    let mut arena = Arena::open(stage, &["alice"], Duration::from_secs(2), 100, &["g1"]);
    let alice = arena.stage.target("alice").endpoint.clone();
    arena.ask("p1", "alice", &alice, 100, 30);
    arena.report_in("p1", &[PracticeState::Running]);
    arena.arm(&["g1"]);
    let report = arena.practised("p1");
    assert!(report.second < 10 && report.message.contains("armed"), "{report:?}");
    arena.ask("p2", "alice", &alice, 100, 5);
    let report = arena.practised("p2");
    assert!(report.state == PracticeState::Refused && report.message.contains("after it"), "{report:?}");
    let tallies = arena.sealed();
    assert_eq!(tallies["alice"].due, 200);
    assert_eq!(tallies["alice"].points(&Rules::default()), 200 * 200, "practice left no mark on the round");
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_contestant_that_stops_answering_right_is_left_alone_after_ten_seconds_and_the_kill_switch_ends_practice() {
    let stage = Stage::light().contestant("alice", &[]).contestant("bob", &[]);
    let (alice, bob) = (stage.target("alice").endpoint.clone(), stage.target("bob").endpoint.clone());
    let mut arena = Arena::open(stage, &["bob"], Duration::from_secs(120), 100, &["g1"]);
    arena.ask("p1", "alice", &alice, 50, 30);
    arena.report_in("p1", &[PracticeState::Running]);
    arena.stage.target("alice").signal(Signal::STOP);
    let report = arena.practised("p1");
    assert!(report.message.contains("ten seconds") && (10..=25).contains(&report.second), "{report:?}");
    arena.stage.target("alice").signal(Signal::CONT);
    arena.ask("p2", "bob", &bob, 50, 30);
    arena.report_in("p2", &[PracticeState::Running]);
    arena.make(Change::Halt { halted: true });
    let report = arena.practised("p2");
    assert!(report.second < 10 && report.message.contains("stopped all traffic"), "{report:?}");
}
