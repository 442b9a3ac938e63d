//! Whose an address is, and which of a name's addresses get the flood.

use crate::arena::{Arena, SECOND, served, sleep_until};
use crate::stage::Stage;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Target};
use flowtest_contest::lifecycle::Change;
use flowtest_contract::Tally;
use flowtest_contract::UtcUs;
use flowtest_scoreboard::Prepared;
use flowtest_testkit::{WAIT_MAX, wait_until_or};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::Duration;

fn phase(seconds: u64, rate: u64) -> Phase {
    Phase { length: Duration::from_secs(seconds), rate: Some(rate), connections: 12, pipeline: 1 }
}

fn start(name: &str, flags: &[&str]) -> Target {
    Target::start(name, flags).unwrap_or_else(|error| panic!("{error}"))
}

fn port(target: &Target) -> &str {
    target.endpoint.rsplit(':').next().expect("a port")
}

/// A hosts file in which a name has these addresses.
pub(crate) fn point(arena: &Arena, lines: &[(&str, &[&str])]) {
    let lines = lines.iter().flat_map(|(name, addresses)| addresses.iter().map(move |address| (name, address)));
    let text: String = lines.map(|(name, address)| format!("{address} {name}\n")).collect();
    // Written beside and moved over: nobody reads half a file.
    let beside = arena.hosts.with_extension("new");
    std::fs::write(&beside, text).expect("it is written");
    std::fs::rename(&beside, &arena.hosts).expect("it is moved");
}

impl Arena {
    fn prepared(&mut self, name: &str, is_it: impl Fn(&Prepared) -> bool) -> Prepared {
        wait_until_or(&format!("what {name} waits for"), || {
            match self.control_store.scoreboard().read_prepared("arena").expect("Redis answers").remove(name) {
                Some(found) if is_it(&found) => Ok(found),
                other => Err(format!("{other:?}; {}", self.last_words())),
            }
        })
    }
}

/// All that fell due was answered right, but for what was our own fault.
#[track_caller]
pub(crate) fn lost_nothing(tallies: &BTreeMap<String, Tally>, names: &[&str], due: u64) {
    for name in names {
        let tally = &tallies[*name];
        assert_eq!(tally.due, due, "{name}: {tally:?}");
        for right in [tally.token_right, tally.version_right, tally.from_right] {
            assert_eq!(right + tally.own_fault, due, "{name}: {tally:?}");
        }
    }
}

/// Nothing of the flood was sent to it.
fn got_nothing(tallies: &BTreeMap<String, Tally>, name: &str) {
    let tally = tallies.get(name).copied().unwrap_or_default();
    assert_eq!((tally.sent, tally.token_right), (0, 0), "{name}: {tally:?}");
}

#[test]
fn who_names_the_server_of_another_gets_nothing_and_the_other_keeps_all() {
    let stage = Stage::light().contestant("alice", &[]).contestant("house", &[]);
    let (alice, house) = (stage.target("alice").endpoint.clone(), stage.target("house").endpoint.clone());
    let at = |host: &str, endpoint: &str| format!("{host}:{}", endpoint.rsplit(':').next().expect("a port"));
    // Those without a server stand first in the roster.
    let contest = ContestFile::new("arena", phase(8, 200))
        .with("bobby", &at("bobby.test", &alice))
        .with("mallory", &at("mallory.test", &house))
        .with("alice", &alice)
        .with("house", &house);
    let mut arena = Arena::of(stage, &contest, &[]);
    let names: [(&str, &[&str]); 2] =
        [("bobby.test", &["127.0.0.1", "64:ff9b::127.0.0.1"]), ("mallory.test", &["::ffff:127.0.0.1"])];
    point(&arena, &names);
    // They typed their names before, which says nothing about where these point.
    let since = [("mallory", 1), ("bobby", 1), ("alice", 2), ("house", 4)];
    arena.control_store.control.since = since.map(|(name, at)| (name.to_owned(), UtcUs(at))).into();
    arena.control_store.publish().unwrap_or_else(|error| panic!("{error}"));
    for generator in ["g1", "g2"] {
        arena.serve(generator);
    }
    arena.arm(&["g1", "g2"]);
    let tallies = arena.sealed();
    lost_nothing(&tallies, &["alice", "house"], 1600);
    for name in ["bobby", "mallory"] {
        got_nothing(&tallies, name);
        let told = arena.prepared(name, |_| true);
        assert!(!told.ready && told.message.contains("another contestant's, who named it first"), "{told:?}");
        assert!(
            !told.message.contains("alice") && !told.message.contains("house"),
            "whose it is stays secret: {told:?}"
        );
    }
    // Whose it is organisers may read.
    let message = format!("bobby gets nothing at {alice}, which is alice's");
    let said = |line: &str| line.contains(&message).then_some(());
    let generator = arena.generators.get_mut("g1").expect("it serves");
    generator.wait_for(&message, WAIT_MAX, said).unwrap_or_else(|error| panic!("{error}"));
    arena.assert_proved(&["g1", "g2"]);
}

#[test]
fn a_contestant_that_moves_keeps_its_present_server_until_it_has_moved() {
    let (here, there) = (start("here", &[]), start("there", &["--faults", "status:1=503"]));
    let contest = ContestFile::new("arena", phase(26, 100))
        .with("alice", &here.endpoint)
        .with("bobby", &format!("bobby.test:{}", port(&here)));
    let mut arena = Arena::of(Stage::light(), &contest, &[]);
    point(&arena, &[("bobby.test", &["127.0.0.7"])]);
    arena.serve("g1");
    let start = arena.arm(&["g1"]);
    sleep_until(start + SECOND);
    // She names a server that is not ready, and he points his name at the one where she still is.
    let endpoint = there.endpoint.parse().expect("an endpoint");
    arena.make(Change::Endpoint { contestant: "alice".to_owned(), endpoint });
    point(&arena, &[("bobby.test", &["127.0.0.1"])]);
    let told = arena.prepared("bobby", |told| told.message.contains("another contestant's"));
    assert!(!told.ready, "{told:?}");
    let tallies = arena.sealed();
    lost_nothing(&tallies, &["alice"], 2600);
    got_nothing(&tallies, "bobby");
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_name_that_points_at_strangers_after_its_admission_floods_none_of_them() {
    let stage = Stage::light().contestant("alice", &[]);
    let own = start("own", &[]);
    let hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
    let strangers =
        hosts.map(|host| start(host, &["--listen", &format!("{host}:{}", port(&own)), "--faults", "status:1=500"]));
    let contest = ContestFile::new("arena", phase(36, 200))
        .with("alice", &stage.target("alice").endpoint)
        .with("bobby", &format!("bobby.test:{}", port(&own)));
    let mut arena = Arena::of(stage, &contest, &[]);
    point(&arena, &[("bobby.test", &["127.0.0.1"])]);
    arena.serve("g1");
    let start = arena.arm(&["g1"]);
    sleep_until(start + SECOND);
    let all = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
    point(&arena, &[("bobby.test", &all)]);
    // Names are asked for every ten seconds.
    sleep_until(start + 13 * SECOND);
    let told = arena.prepared("bobby", |_| true);
    // And then at nobody else.
    point(&arena, &[("bobby.test", &hosts)]);
    sleep_until(start + 30 * SECOND);
    let asked = strangers.each_ref().map(served);
    println!("strangers got {asked:?} requests; {}", told.message);
    let tallies = arena.sealed();
    // Three tokens, every five seconds.
    assert!(asked.iter().all(|asked| (1..40).contains(asked)), "{asked:?}; {}", arena.last_words());
    assert!(told.ready && told.message.starts_with("1 of its 5 addresses get traffic; 127.0.0."), "{told:?}");
    lost_nothing(&tallies, &["alice", "bobby"], 7200);
    arena.assert_proved(&["g1"]);
}

#[test]
fn an_address_that_falls_silent_loses_its_part_alone_and_gets_it_back() {
    let first = start("first", &[]);
    let second = start("second", &["--listen", &format!("127.0.0.2:{}", port(&first))]);
    let contest = ContestFile::new("arena", phase(40, 100)).with("team", &format!("team.test:{}", port(&first)));
    let mut arena = Arena::of(Stage::light(), &contest, &[]);
    point(&arena, &[("team.test", &["127.0.0.1", "127.0.0.2"])]);
    arena.serve("g1");
    let start = arena.arm(&["g1"]);
    sleep_until(start + 3 * SECOND);
    assert!(served(&second) > 50, "{}", served(&second));
    second.signal(Signal::STOP);
    let silent = format!("team: {} gave no answer with the right token for ten seconds", second.endpoint);
    let back = format!("team: {} gave three answers with the right token", second.endpoint);
    let says = |arena: &mut Arena, message: &str| {
        let said = |line: &str| line.contains(message).then_some(());
        let generator = arena.generators.get_mut("g1").expect("it serves");
        generator.wait_for(message, WAIT_MAX, said).unwrap_or_else(|error| panic!("{error}"));
    };
    says(&mut arena, &silent);
    // What was under way there fails within its timeout; from then on the other one answers everything.
    std::thread::sleep(Duration::from_secs(5));
    let failures = |arena: &mut Arena| arena.read().expect("it is there").contestants["team"].tally.failures();
    let failed = failures(&mut arena);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(failures(&mut arena), failed, "the silent one costs nothing any more");
    assert!(failed > 0, "it was asked until then");
    second.signal(Signal::CONT);
    says(&mut arena, &back);
    let again = served(&second);
    let tallies = arena.sealed();
    assert_eq!(tallies["team"].failures(), failed, "{:?}", tallies["team"]);
    assert!(served(&second) > again + 20, "it has its part again: {again}, {}", served(&second));
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_second_address_of_a_rivals_server_gets_nothing_where_servers_have_to_say_whose_they_are() {
    let own = start("alice", &["--listen", "0.0.0.0:0", "--team", "alice"]);
    let port = port(&own).to_owned();
    let carols = |team: &str| start("carol", &["--listen", "127.0.0.1:0", "--team", team]);
    let carol = carols("Carol");
    let contest = ContestFile { ownership: true, ..ContestFile::new("arena", phase(40, 100)) }
        .with("bobby", &format!("127.0.0.2:{port}"))
        .with("alice", &format!("127.0.0.1:{port}"))
        .with("carol", &carol.endpoint);
    let mut arena = Arena::of(Stage::light(), &contest, &["g1"]);
    let start_at = arena.arm(&["g1"]);
    sleep_until(start_at + SECOND);
    let told = arena.prepared("bobby", |_| true);
    assert!(!told.ready && told.message.contains("expected: Team: bobby; received: Team: alice"), "{told:?}");
    sleep_until(start_at + 5 * SECOND);
    assert!(served(&carol) > 300, "she says whose server it is: {}", served(&carol));
    // After her admission she puts another's in its place, as a relay would.
    let place = carol.endpoint.clone();
    carol.stop().unwrap_or_else(|error| panic!("{error}"));
    let relay = start("relay", &["--listen", &place, "--team", "alice"]);
    let generator = arena.generators.get_mut("g1").expect("it serves");
    let said = |line: &str| (line.contains("carol is not ready") && line.contains("team: ")).then_some(());
    generator.wait_for("carol is not ready", WAIT_MAX, said).unwrap_or_else(|error| panic!("{error}"));
    std::thread::sleep(Duration::from_secs(2));
    let lost = served(&relay);
    std::thread::sleep(Duration::from_secs(8));
    let asked = served(&relay) - lost;
    let tallies = arena.sealed();
    assert!(asked <= 10, "it is asked every five seconds and not flooded: {asked}");
    got_nothing(&tallies, "bobby");
    lost_nothing(&tallies, &["alice"], 4000);
    arena.assert_proved(&["g1"]);
}

#[test]
fn a_name_that_is_pointed_at_a_newcomers_server_before_she_has_joined_takes_nothing_of_it() {
    let zoe = start("zoe", &[]);
    let bobs = start("bob", &["--listen", &format!("127.0.0.2:{}", port(&zoe))]);
    let contest = ContestFile::new("arena", phase(32, 100)).with("bobby", &format!("bobby.test:{}", port(&zoe)));
    let mut arena = Arena::of(Stage::light(), &contest, &[]);
    point(&arena, &[("bobby.test", &["127.0.0.2"])]);
    arena.serve("g1");
    let start = arena.arm(&["g1"]);
    sleep_until(start + SECOND);
    // She has typed it, and he points his name there while she is on her way in.
    let since = start + SECOND;
    point(&arena, &[("bobby.test", &["127.0.0.1"])]);
    arena.prepared("bobby", |told| told.admitted == [zoe.endpoint.clone()]);
    let at = start + 24 * SECOND;
    let endpoint = zoe.endpoint.parse().expect("an endpoint");
    arena.make(Change::Join { contestant: "zoe".to_owned(), id: None, endpoint, since, at });
    let told = arena.prepared("bobby", |told| !told.ready);
    assert!(told.message.contains("another contestant's, who named it first"), "{told:?}");
    assert!(arena.prepared("zoe", |told| told.ready).admitted == [zoe.endpoint.clone()]);
    sleep_until(at);
    let before = served(&bobs);
    let tallies = arena.sealed();
    lost_nothing(&tallies, &["zoe"], 800);
    assert_eq!(served(&bobs), before, "nor does he go back to where his name does not lead");
    arena.assert_proved(&["g1"]);
}

#[test]
fn practice_a_new_address_and_a_moved_endpoint_have_to_say_whose_they_are_too() {
    let alices = start("alice", &["--team", "alice"]);
    let bobs = start("bobby", &["--listen", &format!("127.0.0.2:{}", port(&alices)), "--team", "bobby"]);
    // Another address of hers, which she does not name.
    let others = start("other", &["--listen", &format!("127.0.0.3:{}", port(&alices)), "--team", "alice"]);
    let contest = ContestFile { ownership: true, ..ContestFile::new("arena", phase(30, 100)) }
        .with("alice", &alices.endpoint)
        .with("bobby", &format!("bobby.test:{}", port(&alices)));
    let mut arena = Arena::of(Stage::light(), &contest, &[]);
    point(&arena, &[("bobby.test", &["127.0.0.2"])]);
    arena.serve("g1");
    let refusal = "expected: Team: bobby; received: Team: alice";
    arena.ask("p1", "bobby", &others.endpoint, 50, 2);
    let practised = arena.practised("p1");
    assert!(practised.message.contains(refusal), "{practised:?}");
    let start = arena.arm(&["g1"]);
    sleep_until(start + SECOND);
    point(&arena, &[("bobby.test", &["127.0.0.2", "127.0.0.3"])]);
    let told = arena.prepared("bobby", |told| told.message.contains(refusal));
    assert!(told.ready && told.admitted == [bobs.endpoint.clone()], "{told:?}");
    let endpoint = others.endpoint.parse().expect("an endpoint");
    arena.make(Change::Endpoint { contestant: "bobby".to_owned(), endpoint });
    let told = arena.prepared("bobby", |told| told.endpoint.contains(&others.endpoint));
    assert!(!told.ready && told.message.contains(refusal), "{told:?}");
    let tallies = arena.sealed();
    lost_nothing(&tallies, &["alice", "bobby"], 3000);
    assert!(served(&others) < 100, "it is asked and not flooded: {}", served(&others));
    arena.assert_proved(&["g1"]);
}
