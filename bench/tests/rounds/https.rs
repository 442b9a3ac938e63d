//! Contestants over https beside those over http: exact, proved, kept out where nobody trusts them, and moving in mid-round.

use crate::addresses::{lost_nothing, point};
use crate::arena::{Arena, SECOND, served, sleep_until};
use crate::practice::tally;
use crate::stage::Stage;
use flowtest_bench::child::Child;
use flowtest_bench::contest_box::certificate::Dates;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{Certificate, ContestFile, Generator, Journal, Target};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::policy::TlsTrust;
use flowtest_contract::{Rules, Tally, utc_us};
use flowtest_scoreboard::{PracticeState, ProbeAnswer, ProbeRequest};
use flowtest_testkit::{WAIT_MAX, wait_until_or};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

/// A certificate for this machine, in the stage's folder.
fn certificate(stage: &Stage, name: &str, hosts: &[&str], dates: Dates) -> Certificate {
    Certificate::make(stage.folder(), name, hosts, dates).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn honest(stage: &Stage) -> Certificate {
    certificate(stage, "honest", &["127.0.0.1", "localhost", "shop.test"], Dates::Now)
}

/// The flags of a target that shows a certificate.
fn shows(certificate: &Certificate, more: &[&str]) -> Vec<String> {
    certificate.flags().into_iter().chain(more.iter().map(|flag| (*flag).to_owned())).collect()
}

fn over_tls(stage: Stage, name: &str, certificate: &Certificate, more: &[&str]) -> Stage {
    let flags = shows(certificate, more);
    stage.contestant(name, &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

fn with_all(contest: ContestFile, stage: &Stage, names: &[&str]) -> ContestFile {
    names.iter().fold(contest, |contest, name| contest.with(name, &stage.target(name).endpoint))
}

impl Arena {
    /// "Test my endpoint", as the dashboard asks.
    fn tested(&mut self, contestant: &str, endpoint: &str) -> ProbeAnswer {
        let (id, contestant, endpoint) = (contestant.to_owned(), contestant.to_owned(), endpoint.to_owned());
        let request =
            ProbeRequest { id: id.clone(), at: utc_us(), contestant, endpoint, automatic: false, deadlines: None };
        self.control_store.scoreboard().ask_probe("arena", &request).expect("it is put");
        wait_until_or("the answer", || {
            let answer = self.control_store.scoreboard().read_probe("arena", &id).expect("Redis answers");
            answer.ok_or_else(|| self.last_words())
        })
    }
}

/// The contest is played from its file by a generator that trusts this certificate: its journal, and what was counted.
fn run_from_file(stage: &Stage, contest: &ContestFile, trusted: &Certificate) -> (Journal, BTreeMap<String, Tally>) {
    let path = stage.folder().join("contest.toml");
    contest.write(&path).expect("it is written");
    let journal = Journal::in_folder(stage.folder());
    let [journal_flag, folder] = journal.flags();
    let flags = ["--quiet", &journal_flag, &folder, "--ca", &trusted.path()];
    let generator = Generator::run(&path, None, stage.folder(), &flags);
    let outcome = generator.and_then(|generator| generator.wait(WAIT_MAX)).unwrap_or_else(|error| panic!("{error}"));
    assert!(outcome.is_whole(), "{}", outcome.said);
    (journal, outcome.tallies().unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn a_contest_from_a_file_is_exact_with_http_and_https_side_by_side_and_its_audit_is_equal() {
    let stage = Stage::light();
    let honest = honest(&stage);
    let faults = "wrong_token:5,status:41=503,garbage:59,reset:53,tls_expired:7,tls_reset:11";
    let stage = stage.contestant("alice", &[]).contestant("bob", &["--faults", "missing_version:4,reset:31"]);
    let stage = over_tls(over_tls(stage, "carol", &honest, &[]), "dave", &honest, &["--faults", faults]);
    // More connections than are needed: one rests after two failures in a row, and nothing shall be missed.
    let phase = Phase { length: Duration::from_secs(4), rate: Some(300), connections: 64, pipeline: 1 };
    let names = ["alice", "bob", "carol", "dave"];
    let contest = with_all(ContestFile::new("sealed", phase), &stage, &names);
    let (journal, tallies) = run_from_file(&stage, &contest, &honest);
    for name in names {
        let tally = &tallies[name];
        println!("{name}: {tally:?}");
        assert_eq!(tally.due, 1200, "{name}");
        stage.assert_exact(name, tally);
    }
    let injected = stage.target("dave").injected().unwrap_or_else(|error| panic!("{error}"));
    assert!(["tls_expired", "tls_reset", "reset"].iter().all(|fault| injected.count(fault) > 0), "{injected:?}");
    let audit = journal.audit(None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(audit.exit_code, Some(0), "{}", audit.text);
}

#[test]
fn a_round_that_is_served_is_exact_over_https_by_names_too_and_proved() {
    let stage = Stage::light();
    let honest = honest(&stage);
    let stage = stage.contestant("alice", &[]);
    let stage = over_tls(stage, "bob", &honest, &["--faults", "wrong_token:30,reset:47"]);
    let stage = over_tls(stage, "carol", &honest, &[]);
    let phase = Phase { length: Duration::from_secs(12), rate: Some(200), connections: 12, pipeline: 1 };
    let port = stage.target("carol").endpoint.rsplit(':').next().expect("a port").to_owned();
    let contest = with_all(ContestFile::new("arena", phase), &stage, &["alice", "bob"])
        .with("carol", &format!("https://shop.test:{port}/a?b=c"));
    let mut arena = Arena::of(stage, &contest, &[]);
    point(&arena, &[("shop.test", &["127.0.0.1"])]);
    for generator in ["g1", "g2"] {
        arena.serve_with(generator, &["--ca", &honest.path()]);
    }
    arena.arm(&["g1", "g2"]);
    let tallies = arena.sealed();
    for name in ["alice", "bob", "carol"] {
        assert_eq!(tallies[name].due, 2400, "{name}: {}", arena.last_words());
        // The faults of the checks before the round are the target's too, so that only what is exact is compared.
        let tally = &tallies[name];
        assert!(tally.is_partition() && tally.tls == 0 && tally.missed == 0, "{name}: {tally:?}");
    }
    lost_nothing(&tallies, &["alice", "carol"], 2400);
    let bob = tallies["bob"];
    assert!(bob.token_wrong > 50 && bob.reset > 30 && bob.failures() == bob.reset, "{bob:?}");
    arena.assert_proved(&["g1", "g2"]);
}

/// The arena's Redis, which shows this certificate on a port of its own from here on.
fn redis_over_tls(arena: &Arena, certificate: &Certificate) -> String {
    let mut connection =
        redis::Client::open(arena.redis.url()).and_then(|client| client.get_connection()).expect("Redis is there");
    let probe = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let port = probe.local_addr().expect("it is bound").port();
    drop(probe);
    let mut command = redis::cmd("CONFIG");
    command.arg("SET").arg("tls-port").arg(port).arg("tls-auth-clients").arg("no");
    command.arg("tls-cert-file").arg(certificate.path()).arg("tls-key-file").arg(certificate.key_path());
    command.exec(&mut connection).expect("it speaks TLS");
    format!("rediss://127.0.0.1:{port}/")
}

/// As Ansible sets it up: Redis shows a certificate that it has signed itself, and contestants those of the system's authorities.
#[test]
fn whom_redis_is_trusted_by_says_nothing_about_contestants_and_the_other_way_round() {
    let stage = Stage::light();
    let (honest, own) = (honest(&stage), certificate(&stage, "redis", &["127.0.0.1"], Dates::Now));
    let stage = over_tls(over_tls(stage, "alice", &honest, &[]), "bob", &own, &[]);
    let phase = Phase { length: Duration::from_secs(2), rate: Some(200), connections: 12, pipeline: 1 };
    let contest = with_all(ContestFile::new("arena", phase), &stage, &["alice", "bob"]);
    let mut arena = Arena::of(stage, &contest, &[]);
    let redis = redis_over_tls(&arena, &own);
    let mut command = arena.command(&redis, "g1", "g1", &["--redis-ca", &own.path()]);
    // The system's authorities are those of this file.
    let child =
        Child::start("g1", command.env("SSL_CERT_FILE", honest.path())).unwrap_or_else(|error| panic!("{error}"));
    arena.serves("g1", child);
    arena.arm(&["g1"]);
    let tallies = arena.sealed();
    lost_nothing(&tallies, &["alice"], 400);
    // Nobody is trusted because Redis is.
    assert_eq!((tallies["bob"].missed, served(arena.stage.target("bob"))), (400, 0), "{}", arena.last_words());
    // Nor the other way round.
    let mut command = arena.command(&redis, "g2", "g2", &["--ca", &own.path()]);
    let child = Child::start("g2", command.env("SSL_CERT_FILE", honest.path()));
    let ended = child.and_then(|child| child.wait(WAIT_MAX)).unwrap_or_else(|error| panic!("{error}"));
    assert!(!ended.status.success() && ended.stderr.contains("certificate"), "{}", ended.stderr);
}

#[test]
fn a_machine_without_authorities_says_so_and_charges_nobody_for_it() {
    let stage = Stage::light();
    let honest = honest(&stage);
    let stage = over_tls(stage.contestant("alice", &[]), "bob", &honest, &[]);
    let stage = over_tls(stage, "carol", &honest, &[]);
    let (plain, sealed) = (stage.target("carol").plain().to_owned(), stage.target("carol").endpoint.clone());
    let phase = Phase { length: Duration::from_secs(4), rate: Some(100), connections: 12, pipeline: 1 };
    let mut contest = with_all(ContestFile::new("arena", phase), &stage, &["alice", "bob"]).with("carol", &plain);
    // Nothing falls due in a closed phase to whom nothing can be sent.
    contest.phases.push(Phase { length: Duration::from_secs(2), rate: None, ..phase });
    let mut arena = Arena::of(stage, &contest, &[]);
    let (file, folder) = (arena.stage.folder().join("no.pem"), arena.stage.folder().join("none"));
    std::fs::write(&file, "").and_then(|()| std::fs::create_dir(&folder)).expect("they are made");
    let mut command = arena.command(&arena.redis.url(), "g1", "g1", &[]);
    command.env("SSL_CERT_FILE", &file).env("SSL_CERT_DIR", &folder);
    let child = Child::start("g1", &command).unwrap_or_else(|error| panic!("{error}"));
    arena.serves("g1", child);
    let trouble = arena.health("g1").tls_trouble.unwrap_or_default();
    assert!(trouble.contains("install the system's authorities"), "{trouble:?}");
    let start = arena.arm(&["g1"]);
    sleep_until(start + SECOND);
    // Nobody moves there without its old server being shut.
    let endpoint = sealed.parse().expect("an endpoint");
    arena.make(Change::Endpoint { contestant: "carol".to_owned(), endpoint });
    sleep_until(start + 2 * SECOND);
    arena.stage.target("carol").signal(Signal::STOP);
    let tallies = arena.sealed();
    arena.stage.target("carol").signal(Signal::CONT);
    let due = tallies["alice"].due;
    assert!(due > 400, "{due}");
    lost_nothing(&tallies, &["alice"], due);
    // It is our own fault, by which the seconds are not valid.
    let validity: Vec<_> = arena.read().expect("the round").validity().collect();
    let [(_, validity)] = validity[..] else { panic!("one generator: {validity:?}") };
    assert_eq!((validity.seconds, validity.valid_seconds), (6, 0), "{}", arena.last_words());
    let [bob, carol] = ["bob", "carol"].map(|name| tallies[name]);
    assert_eq!((bob.due, bob.own_fault), (400, 400), "{}", arena.last_words());
    let paid = 200 * i128::from(carol.token_right) - carol.points(&Rules::default());
    assert!(carol.due == 400 && carol.own_fault >= 200 && paid == 0, "{carol:?}; {}", arena.last_words());
    let errors = arena.control_store.scoreboard().read_errors("arena", "bob").expect("Redis is there");
    let is_told = errors.iter().any(|error| error.message.contains("no authority by which it could trust"));
    assert!(is_told, "{errors:?}; {}", arena.last_words());
}

#[test]
fn nobody_is_let_in_by_a_certificate_that_is_not_trusted_until_the_contest_takes_any() {
    let stage = Stage::light();
    let honest = honest(&stage);
    let expired = certificate(&stage, "expired", &["127.0.0.1"], Dates::Expired);
    let other = certificate(&stage, "other", &["other.test", "127.0.0.9"], Dates::Now);
    let alone = certificate(&stage, "alone", &["127.0.0.1"], Dates::Now);
    let stage = stage.contestant("alice", &[]);
    let stage = [("bob", &honest), ("expired", &expired), ("other", &other), ("alone", &alone)]
        .into_iter()
        .fold(stage, |stage, (name, certificate)| over_tls(stage, name, certificate, &[]));
    let names = ["alice", "bob", "expired", "other", "alone"];
    let phase = Phase { length: Duration::from_secs(16), rate: Some(50), connections: 4, pipeline: 1 };
    let contest = with_all(ContestFile::new("arena", phase), &stage, &names);
    let mut arena = Arena::of(stage, &contest, &[]);
    let trusted = [&honest, &expired, &other].map(Certificate::path).join(",");
    arena.serve_with("g1", &["--ca", &trusted]);
    let start = arena.arm(&["g1"]);
    sleep_until(start + 3 * SECOND);
    // (who, why it gets nothing)
    let kept_out =
        [("expired", "expired on 2021-01-01"), ("other", "for another name"), ("alone", "nobody trusted has signed")];
    for (name, why) in kept_out {
        assert_eq!(served(arena.stage.target(name)), 0, "{name}");
        let errors = arena.control_store.scoreboard().read_errors("arena", name).expect("Redis is there");
        let is_told = errors.iter().any(|error| error.kind == "prepare" && error.message.contains(why));
        assert!(is_told, "{name}: {errors:?}; {}", arena.last_words());
    }
    let mut policy = arena.control_store.control.contest.policy.clone();
    policy.tls = TlsTrust::Any;
    arena.make(Change::Policy(policy));
    let mut tallies = arena.sealed();
    for (name, _) in kept_out {
        let tally = tallies.remove(name).expect("it plays");
        assert!(served(arena.stage.target(name)) > 300, "{name}: {tally:?}; {}", arena.last_words());
        assert!(tally.due == 800 && tally.missed > 100, "{name}: {tally:?}");
        assert_eq!(tally.failures(), tally.missed, "{name}: {tally:?}");
    }
    lost_nothing(&tallies, &["alice", "bob"], 800);
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_move_from_http_to_https_and_back_in_mid_round_loses_nothing() {
    let stage = Stage::light();
    let honest = honest(&stage);
    let stage = over_tls(stage.contestant("alice", &[]), "bob", &honest, &[]);
    let (plain, sealed) = (stage.target("bob").plain().to_owned(), stage.target("bob").endpoint.clone());
    let phase = Phase { length: Duration::from_secs(10), rate: Some(200), connections: 12, pipeline: 1 };
    let contest = with_all(ContestFile::new("arena", phase), &stage, &["alice"]).with("bob", &plain);
    let mut arena = Arena::of(stage, &contest, &[]);
    arena.serve_with("g1", &["--ca", &honest.path()]);
    let start = arena.arm(&["g1"]);
    let handshakes = |arena: &Arena| arena.stage.target("bob").handshakes().unwrap_or_else(|error| panic!("{error}"));
    sleep_until(start + 2 * SECOND);
    assert_eq!(handshakes(&arena), 0, "plain at first");
    let go = |arena: &mut Arena, endpoint: &str| {
        let endpoint = endpoint.parse().expect("an endpoint");
        arena.make(Change::Endpoint { contestant: "bob".to_owned(), endpoint });
    };
    go(&mut arena, &sealed);
    sleep_until(start + 6 * SECOND);
    let shaken = handshakes(&arena);
    assert!(shaken > 0, "{}", arena.last_words());
    go(&mut arena, &plain);
    let tallies = arena.sealed();
    lost_nothing(&tallies, &["alice", "bob"], 2000);
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_certificate_that_expires_in_mid_round_costs_what_any_failure_does_and_says_since_when() {
    let stage = Stage::light();
    let shown = certificate(&stage, "shown", &["127.0.0.1"], Dates::Now);
    // Connections end after a while, so that new ones are made under what is shown then.
    let stage = over_tls(stage.contestant("alice", &[]), "bob", &shown, &["--faults", "reset:5"]);
    let phase = Phase { length: Duration::from_secs(8), rate: Some(50), connections: 4, pipeline: 1 };
    let contest = with_all(ContestFile::new("arena", phase), &stage, &["alice", "bob"]);
    let mut arena = Arena::of(stage, &contest, &[]);
    // Whoever trusts the one trusts the other, and has nothing against it but its date.
    let trusted = arena.stage.folder().join("trusted.pem");
    let now = std::fs::read_to_string(shown.path()).expect("it was made");
    let over = certificate(&arena.stage, "shown", &["127.0.0.1"], Dates::Expired);
    std::fs::write(&trusted, now + &std::fs::read_to_string(over.path()).expect("it was made")).expect("written");
    arena.serve_with("g1", &["--ca", trusted.to_str().expect("text")]);
    let start = arena.arm(&["g1"]);
    sleep_until(start + 4 * SECOND);
    // Its files are others by now; a reload shows them.
    arena.stage.target("bob").signal(Signal::HUP);
    let mut tallies = arena.sealed();
    let bob: Tally = tallies.remove("bob").expect("it plays");
    assert!(bob.is_partition() && bob.due == 400 && bob.tls > 3 && bob.token_right > 50, "{bob:?}");
    // Of the second half hardly anything is answered: within a second every connection was reset once.
    assert!(bob.tls + bob.missed > 100, "{bob:?}");
    // A connection rests after two failures in a row, and with all of them at rest what falls due is missed.
    assert_eq!(bob.failures(), bob.tls + bob.reset + bob.missed, "{bob:?}");
    assert_eq!(bob.points(&Rules::default()), 200 * i128::from(bob.token_right) - 200 * i128::from(bob.failures()));
    let errors = arena.control_store.scoreboard().read_errors("arena", "bob").expect("Redis is there");
    let is_told = errors.iter().any(|error| error.kind == "tls" && error.message.contains("expired on 2021-01-01"));
    assert!(is_told, "{errors:?}");
    lost_nothing(&tallies, &["alice"], 400);
    arena.assert_proved(&["g1"]);
}

#[test]
fn sessions_are_not_resumed_beyond_their_certificate() {
    let stage = Stage::light();
    let brief = certificate(&stage, "brief", &["127.0.0.1"], Dates::For(Duration::from_secs(10)));
    // Connections end all the time, and their sessions are resumed. Nobody shows another certificate.
    let stage = over_tls(stage.contestant("alice", &[]), "bob", &brief, &["--faults", "reset:5"]);
    let phase = Phase { length: Duration::from_secs(16), rate: Some(50), connections: 4, pipeline: 1 };
    let contest = with_all(ContestFile::new("brief", phase), &stage, &["alice", "bob"]);
    let (journal, tallies) = run_from_file(&stage, &contest, &brief);
    let (health, bob) = (stage.target("bob").healthz().unwrap_or_else(|error| panic!("{error}")), &tallies["bob"]);
    println!("{bob:?} {}", health["tls_handshakes"]);
    assert!(health["tls_handshakes"]["resumed"].as_u64().is_some_and(|resumed| resumed > 10), "{health}");
    assert!(bob.is_partition() && bob.due == 800 && bob.token_right > 50, "{bob:?}");
    assert!(bob.tls > 3 && bob.tls + bob.missed > 100, "{bob:?}");
    assert_eq!(bob.failures(), bob.tls + bob.reset + bob.missed, "{bob:?}");
    lost_nothing(&tallies, &["alice"], 800);
    let audit = journal.audit(None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(audit.exit_code, Some(0), "{}", audit.text);
}

#[test]
fn tests_of_endpoints_and_practice_are_over_https_as_the_round_is() {
    let stage = Stage::light();
    let honest = honest(&stage);
    let expired = certificate(&stage, "expired", &["127.0.0.1"], Dates::Expired);
    let stage = over_tls(stage.contestant("alice", &[]), "bob", &honest, &["--faults", "wrong_token:40,reset:30"]);
    let stage = over_tls(stage, "carol", &expired, &[]);
    let (bob, carol) = (stage.target("bob").endpoint.clone(), stage.target("carol").endpoint.clone());
    let phase = Phase { length: Duration::from_secs(2), rate: Some(100), connections: 4, pipeline: 1 };
    let contest = with_all(ContestFile::new("arena", phase), &stage, &["alice"]);
    let mut arena = Arena::of(stage, &contest, &[]);
    arena.serve_with("g1", &["--ca", &[honest.path(), expired.path()].join(",")]);
    let answer = arena.tested("bob", &bob);
    assert!(answer.message.contains("all three headers are right") && answer.verdicts.is_some(), "{answer:?}");
    assert_eq!(answer.endpoint, format!("{bob}/"));
    let answer = arena.tested("carol", &carol);
    assert!(answer.message.contains("tls: the certificate has expired on 2021-01-01"), "{answer:?}");
    assert!(answer.verdicts.is_none(), "{answer:?}");
    arena.ask("p1", "bob", &bob, 100, 3);
    let report = arena.practised("p1");
    let counted = tally(&report);
    assert_eq!((report.state, counted.due), (PracticeState::Done, 300), "{report:?}");
    let injected = arena.stage.target("bob").injected().unwrap_or_else(|error| panic!("{error}"));
    let wrong = injected.differences(&counted);
    assert!(wrong.is_empty() && counted.reset > 0, "{injected:?}: {}", wrong.join("; "));
    arena.ask("p2", "carol", &carol, 100, 3);
    let report = arena.practised("p2");
    assert!(report.state == PracticeState::Refused && report.message.contains("expired on 2021-01-01"), "{report:?}");
}

#[test]
fn an_address_that_fell_silent_is_asked_over_https_and_gets_its_part_again() {
    let stage = Stage::light();
    let honest = honest(&stage);
    let first = over_tls_at(&honest, "127.0.0.1:0");
    let port = first.endpoint.rsplit(':').next().expect("a port").to_owned();
    let second = over_tls_at(&honest, &format!("127.0.0.2:{port}"));
    // So slow that the other one's connections alone are too few: the silent one goes on being asked.
    let phase = Phase { length: Duration::from_secs(32), rate: Some(250), connections: 12, pipeline: 1 };
    let mut contest = ContestFile::new("arena", phase).with("shop", &format!("https://shop.test:{port}"));
    contest.timeout = Duration::from_secs(1);
    let mut arena = Arena::of(stage, &contest, &[]);
    point(&arena, &[("shop.test", &["127.0.0.1", "127.0.0.2"])]);
    arena.serve_with("g1", &["--ca", &honest.path()]);
    let start = arena.arm(&["g1"]);
    sleep_until(start + 2 * SECOND);
    assert!(served(&second) > 50, "{}", arena.last_words());
    second.signal(Signal::STOP);
    let generator = arena.generators.get_mut("g1").expect("it serves");
    let told = |part: &'static str| move |line: &str| line.contains(part).then_some(());
    let quiet = "gets one probe a second";
    generator.wait_for(quiet, WAIT_MAX, told(quiet)).unwrap_or_else(|error| panic!("{error}"));
    second.signal(Signal::CONT);
    let again = "gets its part of the requests again";
    generator.wait_for(again, WAIT_MAX, told(again)).unwrap_or_else(|error| panic!("{error}"));
    let before = served(&second);
    let tally = arena.sealed()["shop"];
    assert!(served(&second) > before + 50, "{tally:?}; {}", arena.last_words());
    assert!(tally.is_partition() && tally.tls == 0, "{tally:?}");
    arena.assert_proved(&["g1"]);
}

/// A target whose TLS port is at this address.
fn over_tls_at(certificate: &Certificate, address: &str) -> Target {
    let mut flags = certificate.flags().map(|flag| flag.replace("127.0.0.1:0", address)).to_vec();
    flags.extend(["--listen", "127.0.0.1:0", "--faults", "delay:1=25ms"].map(str::to_owned));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Target::start("shop", &flags).unwrap_or_else(|error| panic!("{error}"))
}
