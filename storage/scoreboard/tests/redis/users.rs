//! The users that `ansible/` makes: what a generator's may say, and that it steers nothing, on a live server with the very rules
//! of the templates.

use crate::stage::{CONTEST, NAMES, control, random_bits, rows, wait_for_put};
use flowtest_contest::breakpoint::Decision;
use flowtest_contract::{RoundId, StreamId, UtcUs};
use flowtest_scoreboard::{
    HoldReport, Lease, Named, Publisher, PublisherConfig, RedisAddress, Scoreboard, ScoreboardError, keys, library,
};
use flowtest_testkit::RedisServer;
use flowtest_testkit::documents::{RIGHT, generator_health, probe_answer};
use std::collections::BTreeMap;

const USERS: &str = include_str!("../../../../ansible/roles/redis/templates/users.acl.j2");
const VARIABLES: &str = include_str!("../../../../ansible/roles/redis/vars/main.yml");

/// A server that knows the users of the templates, and the default one for the test itself.
fn server() -> RedisServer {
    let server = RedisServer::start_tcp(&[]);
    for user in ["generator", "dashboard"] {
        let rules = rules_of(user);
        let words: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(rules.split_whitespace()).collect();
        server.command(&words);
    }
    server
}

/// The name of a user and its rules, as Ansible writes them for this contest.
fn rules_of(user: &str) -> String {
    let line = USERS.lines().find_map(|line| line.strip_prefix("user ").filter(|line| line.starts_with(user)));
    let mut rules = line.expect("the template has this user").to_owned();
    let variables = variables();
    let filled = |text: &str| {
        let password = format!("#{{{{ redis_password_{user} | hash('sha256') }}}}");
        text.replace(&password, &format!(">{user}-secret")).replace("{{ redis_contest }}", CONTEST)
    };
    // Variables stand in variables.
    for _ in 0..variables.len() {
        for (name, value) in &variables {
            rules = rules.replace(&format!("{{{{ {name} }}}}"), value);
        }
    }
    let rules = filled(&rules).replace("{{ '{' }}", "{").replace("{{ '}' }}", "}");
    assert!(!rules.contains("{{") && !rules.contains(" | ") && rules.contains('>'), "not understood: {rules}");
    rules
}

/// The variables of the role, folded as YAML does.
fn variables() -> BTreeMap<&'static str, String> {
    let mut variables: BTreeMap<&str, String> = BTreeMap::new();
    let mut name = "";
    for line in VARIABLES.lines().filter(|line| !line.starts_with(['#', '-'])) {
        match line.strip_prefix("  ") {
            Some(more) => {
                let value = variables.get_mut(name).expect("a name comes first");
                value.push_str(more);
                value.push(' ');
            }
            None => {
                let (found, value) = line.split_once(": ").expect("a name and a value");
                name = found;
                variables.insert(name, value.trim_start_matches(">-").trim_matches('"').to_owned());
            }
        }
    }
    variables
}

fn address(server: &RedisServer, user: &str) -> RedisAddress {
    let url = server.url().replace("redis://", &format!("redis://{user}@"));
    RedisAddress::new(&url).expect("an address").with_password(&format!("{user}-secret"))
}

fn board(server: &RedisServer, user: &str) -> Scoreboard {
    Scoreboard::open(address(server, user)).expect("it lets us in")
}

/// Whether the server refuses a command to the generator's user.
fn is_forbidden(server: &RedisServer, words: &[&str]) -> bool {
    let url = server.url().replace("redis://", "redis://generator:generator-secret@");
    let mut connection = redis::Client::open(url).and_then(|client| client.get_connection()).expect("it lets us in");
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    match command.query::<redis::Value>(&mut connection) {
        // From inside a function the refusal comes as the function's.
        Err(error) => {
            error.code() == Some("NOPERM") || error.to_string().contains("NOPERM") || {
                error.to_string().contains("ACL failure")
            }
        }
        Ok(_) => false,
    }
}

fn assert_forbidden<T: std::fmt::Debug>(what: &str, answer: &Result<T, ScoreboardError>) {
    assert!(matches!(answer, Err(ScoreboardError::Permission { .. })), "{what}: {answer:?}");
}

#[test]
fn a_generators_user_says_all_that_a_generator_has_to_say() {
    let server = server();
    let round = RoundId::from_bits(random_bits());
    let mut dashboard = board(&server, "dashboard");
    dashboard.write_control(&control()).expect("the document is the dashboard's");
    dashboard.open_round(CONTEST, &round).expect("a round");
    let mut generator = board(&server, "generator");
    assert_eq!(generator.read_control(CONTEST).expect("it reads"), Some(control()));
    let process = StreamId::from_bits(random_bits());
    assert_eq!(generator.hold_lease(CONTEST, "one", process).expect("its name"), Lease::Ours);
    generator.write_health(CONTEST, &generator_health("one", UtcUs(1))).expect("its health");
    generator.say_waiting(CONTEST, "one", "another").expect("that it waits for a name");
    generator.end_waiting(CONTEST, "one").expect("that it waits no more");
    generator.has_keeper(CONTEST).expect("it looks for a keeper");
    generator.measure_clock().expect("the clock");
    generator.push_errors(CONTEST, "alice", &[]).expect("errors");
    generator.take_probe(CONTEST, UtcUs(1)).expect("tests");
    generator.take_practice(CONTEST, UtcUs(1)).expect("practice");
    let endpoint = "a.test".parse().expect("an endpoint");
    let named = Named::new("alice", &endpoint, ([192, 0, 2, 1], 80).into());
    generator.note_named(CONTEST, &[named], UtcUs(1)).expect("where a name points");
    let config = PublisherConfig {
        address: address(&server, "generator"),
        contest: CONTEST.to_owned(),
        round,
        stream: StreamId::from_bits(random_bits()),
        contestants: NAMES.iter().map(|name| (*name).to_owned()).collect(),
    };
    let publisher = Publisher::start(config).expect("a publisher");
    publisher.publish(1, rows(30));
    wait_for_put(&publisher, 1);
    assert_eq!(dashboard.read_round(CONTEST, &round).expect("the round").contestants.len(), NAMES.len());
    // What is decided of a step is put once: the first has decided.
    let report = HoldReport { step: 3, ..HoldReport::default() };
    generator.write_hold(CONTEST, &round, process, &report).expect("what it counted");
    assert_eq!(generator.read_holds(CONTEST, &round, 3).expect("all that was counted"), [report]);
    let decision = |to| Decision { step: 4, judged: 3, from: UtcUs(1), to: UtcUs(to), climbers: Vec::new() };
    assert!(generator.put_step(CONTEST, &round, &decision(2)).expect("a decision"));
    assert!(!generator.put_step(CONTEST, &round, &decision(9)).expect("another one"));
    // One that comes when its step has begun is none: by Redis's clock, however long it was on its way.
    let late = |step, before| (Decision { step, ..decision(2) }, before);
    for ((decision, before), is_put) in [(late(5, UtcUs(1)), false), (late(3, UtcUs(u64::MAX >> 11)), true)] {
        let put = generator.put_step_before(CONTEST, &round, &decision, before).expect("Redis answers");
        assert_eq!(put, is_put, "{decision:?}");
        assert_eq!(generator.read_step(CONTEST, &round, decision.step).expect("Redis answers").is_some(), is_put);
    }
    assert_eq!(generator.read_step(CONTEST, &round, 4).expect("it stands"), Some(decision(2)));
    assert_eq!(dashboard.read_newest_step(CONTEST, &round).expect("it stands"), Some(decision(2)));
    // Where the newest is lost, what stands is, whoever says it again.
    server.command(&["DEL", &keys::newest_step(CONTEST, &round)]);
    assert!(!generator.put_step(CONTEST, &round, &decision(9)).expect("it stands already"));
    assert_eq!(dashboard.read_newest_step(CONTEST, &round).expect("it stands"), Some(decision(2)));
    assert!(!generator.put_step(CONTEST, &round, &late(3, UtcUs(0)).0).expect("an older one"));
    assert_eq!(dashboard.read_newest_step(CONTEST, &round).expect("it stands"), Some(decision(2)));
    // One that nobody can read is no decision, and is told; what else was decided is heard.
    server.command(&["SET", &keys::step(CONTEST, &round, 3), "{"]);
    let unread = generator.read_step(CONTEST, &round, 3).expect_err("it is no decision").to_string();
    assert!(unread.contains("step 3") && unread.contains("cannot read"), "{unread}");
    let steps = dashboard.read_steps(CONTEST, &round, 2, 9).expect("it stands");
    assert_eq!(steps, [decision(2)]);
    // What `verify.yml` plays on a generator's host is its own contest, document and all.
    let mut verify = control();
    verify.contest.name = "verify".to_owned();
    generator.write_control(&verify).expect("a contest of its own");
}

#[test]
fn a_generators_user_steers_nothing() {
    let server = server();
    let mut dashboard = board(&server, "dashboard");
    dashboard.write_control(&control()).expect("the document is the dashboard's");
    let mut generator = board(&server, "generator");
    let process = StreamId::from_bits(random_bits());
    let newer = flowtest_contest::Control { revision: 99, ..control() };
    assert_forbidden("write", &generator.write_control(&newer));
    assert_forbidden("bring back", &generator.keep_control(&newer));
    assert_forbidden("replace", &generator.replace_control(&control(), &newer));
    assert_forbidden("stop", &generator.stop_traffic(CONTEST));
    assert_forbidden("steer", &generator.hold_steering(CONTEST, process));
    assert_forbidden("keep the split", &generator.take_keeper(CONTEST, process));
    let key = keys::control(CONTEST);
    let evil = library::CODE.replace("redis.register_function('flowtest_open', open)", "");
    // (what is tried, by hand)
    let tries: [&[&str]; 13] = [
        &["SET", &key, "{}"],
        &["SETEX", &key, "1", "{}"],
        &["EXPIRE", &key, "0"],
        &["LPUSH", &key, "x"],
        &["DEL", &key],
        &["RENAME", &key, "flowtest:{finals}:probe"],
        &["COPY", "flowtest:{finals}:probe", &key],
        &["EVAL", "return redis.call('SET', KEYS[1], '{}')", "1", &key],
        &["FCALL", "flowtest_keep_control", "1", &key, "99", "{}"],
        &["FCALL", "flowtest_open", "1", &key],
        &["FCALL", "flowtest_lease", "1", &keys::steering(CONTEST), "00000000000000000000000000000007", "1000"],
        // Functions run with the rights of whoever calls them: the dashboard would run these.
        &["FUNCTION", "LOAD", "REPLACE", &evil],
        &["ACL", "SETUSER", "generator", "allkeys"],
    ];
    for words in tries {
        assert!(is_forbidden(&server, words), "{words:?}");
    }
    assert_eq!(dashboard.read_control(CONTEST).expect("it is there"), Some(control()), "nobody has touched it");
    // Other contests are nobody's business.
    assert!(is_forbidden(&server, &["GET", "flowtest:{other}:control"]));
    // What an audit on a generator's machine asks for: which rounds there are, and what was decided of steps.
    let step = keys::step(CONTEST, &RoundId::from_bits(1), 1);
    for words in [&["SCAN", "0", "MATCH", "flowtest:*:round:*"][..], &["MGET", &step]] {
        assert!(!is_forbidden(&server, words), "{words:?}");
    }
}

#[test]
fn a_generators_user_waits_for_whoever_may_load_the_functions() {
    let server = server();
    let refused = Scoreboard::open(address(&server, "generator")).map(drop);
    assert!(matches!(refused, Err(ScoreboardError::Functions { .. })), "{refused:?}");
    assert!(refused.expect_err("refused").to_string().contains("start the dashboard"));
    let mut dashboard = board(&server, "dashboard");
    let mut generator = board(&server, "generator");
    // Lost while it is connected, and there again.
    server.command(&["FUNCTION", "FLUSH"]);
    let round = RoundId::from_bits(random_bits());
    let refused = generator.open_round(CONTEST, &round);
    assert!(matches!(refused, Err(ScoreboardError::Functions { .. })), "{refused:?}");
    dashboard.open_round(CONTEST, &round).expect("it loads them");
    generator.open_round(CONTEST, &round).expect("they are there");
    // Those of an older release serve until its dashboard has been replaced.
    let older = library::CODE.replace(&format!("-- library version {}", library::VERSION), "-- library version 5");
    server.command(&["FUNCTION", "LOAD", "REPLACE", &older]);
    board(&server, "generator").open_round(CONTEST, &round).expect("they do");
}

#[test]
fn an_answer_to_a_test_is_the_generators_to_give() {
    let server = server();
    let mut dashboard = board(&server, "dashboard");
    let answer = probe_answer("7", "http://127.0.0.1:1/", UtcUs(1), RIGHT);
    board(&server, "generator").answer_probe(CONTEST, &answer).expect("its answer");
    assert_eq!(dashboard.read_probe(CONTEST, "7").expect("it is there"), Some(answer));
}
