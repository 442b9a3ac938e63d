//! Servers that will not do are named at once, in a sentence with the next step.

use crate::stage::{NAMES, Stage, refusal};
use flowtest_contest::{Contest, Control};
use flowtest_scoreboard::{Publisher, RedisAddress, Scoreboard, ScoreboardError};
use flowtest_testkit::RedisServer;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// A server that gives the same answer to whatever comes first, once. `None`: accepts and says nothing.
fn pretender(answer: Option<String>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("somebody comes");
        let Some(answer) = answer else {
            // Until the other side gives up.
            return while matches!(peer.read(&mut [0; 1024]), Ok(1..)) {};
        };
        let _ = peer.read(&mut [0; 1024]);
        let _ = peer.write_all(answer.as_bytes());
    });
    format!("redis://{address}")
}

fn info(text: &str) -> Option<String> {
    Some(format!("${}\r\n{text}\r\n", text.len()))
}

fn assert_says(error: &ScoreboardError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn nobody_listens() {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port").local_addr().expect("bound");
    let error = refusal(&format!("redis://{free}"), None);
    assert!(matches!(error, ScoreboardError::Unreachable { .. }), "{error:?}");
    assert_says(&error, &["no Redis answers at redis://127.0.0.1:", "refused", "start it"]);
    let error = refusal("unix:///nowhere/redis.sock", None);
    assert_says(&error, &["no Redis answers at unix:///nowhere/redis.sock"]);
}

#[test]
fn somebody_listens_and_says_nothing() {
    let error = refusal(&pretender(None), None);
    assert_says(&error, &["no Redis answers at", "too long"]);
}

#[test]
fn somebody_hangs_up() {
    let error = refusal(&pretender(Some(String::new())), None);
    assert!(matches!(error, ScoreboardError::Unreachable { .. }), "{error:?}");
}

#[test]
fn a_web_server_answers() {
    let error = refusal(&pretender(Some("HTTP/1.1 400 Bad Request\r\n\r\n".to_owned())), None);
    assert!(matches!(error, ScoreboardError::UnknownServer { .. }), "{error:?}");
    assert_says(&error, &["no Redis that we know"]);
}

#[test]
fn a_number_is_no_information() {
    let error = refusal(&pretender(Some(":7\r\n".to_owned())), None);
    assert!(matches!(error, ScoreboardError::UnknownServer { .. }), "{error:?}");
}

#[test]
fn redis_6() {
    let error = refusal(&pretender(info("redis_version:6.2.14\r\naof_enabled:1\r\n")), None);
    assert_says(&error, &["Redis 6.2.14", "needs Redis 7.0 or Valkey 7.2"]);
}

#[test]
fn something_else_that_speaks_the_protocol() {
    let error = refusal(&pretender(info("redis_version:7.4.0\r\ndragonfly_version:df-1\r\n")), None);
    assert_says(&error, &["dragonfly_version:df-1"]);
    let error = refusal(&pretender(info("hello:1\r\n")), None);
    assert_says(&error, &["tells no redis_version"]);
}

#[test]
fn a_wrong_password_a_missing_one_and_the_right_one() {
    let server = RedisServer::start_tcp(&["--requirepass", "secret"]);
    for password in [Some("secret but wrong"), None] {
        let error = refusal(&server.url(), password);
        assert!(matches!(error, ScoreboardError::Password { .. }), "{error:?}");
        assert_says(&error, &["refuses our password", "give the right one"]);
    }
    let address = RedisAddress::new(&server.url()).expect("an address").with_password("secret");
    Scoreboard::open(address).expect("it lets us in");
    let within = server.url().replace("redis://", "redis://:secret@");
    Scoreboard::connect(&within).expect("it lets us in");
}

#[test]
fn a_password_for_a_server_that_asks_for_none() {
    let server = RedisServer::start();
    let error = refusal(&server.url(), Some("secret"));
    assert!(matches!(error, ScoreboardError::Password { .. }), "{error:?}");
}

#[test]
fn a_user_who_may_not_call_functions() {
    let server = RedisServer::start();
    server.command(&["ACL", "SETUSER", "default", "-@all", "+info"]);
    let error = refusal(&server.url(), None);
    assert!(matches!(error, ScoreboardError::Permission { .. }), "{error:?}");
    assert_says(&error, &["forbids us a command", "widen the access list"]);
}

#[test]
fn a_server_that_forgets_is_refused_unless_asked_for() {
    // (how it runs, the next step)
    let cases: [(&[&str], &str); 2] = [
        (&["--appendonly", "no"], "set `appendonly yes`"),
        (&["--maxmemory-policy", "allkeys-lru"], "set `maxmemory-policy noeviction`"),
    ];
    for (arguments, step) in cases {
        let server = RedisServer::start_with(arguments);
        let error = refusal(&server.url(), None);
        assert!(matches!(error, ScoreboardError::Volatile { .. }), "{error:?}");
        assert_says(&error, &[step]);
        let address = RedisAddress::new(&server.url()).expect("an address").allow_volatile(true);
        Scoreboard::open(address).expect("asked for");
    }
}

#[test]
fn a_replica() {
    let server = RedisServer::start_with(&["--replicaof", "127.0.0.1 1"]);
    assert_says(&refusal(&server.url(), None), &["is a replica", "its primary"]);
}

#[test]
fn who_only_reads_is_served_by_a_replica_too() {
    let primary = RedisServer::start_tcp(&[]);
    let port = primary.url().rsplit(':').next().expect("a port").to_owned();
    let replica = RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {port}")]);
    let control = Control::new(Contest::from_toml(CONTEST).expect("a contest"));
    Scoreboard::connect(&primary.url()).expect("the primary").write_control(&control).expect("written");
    let address = RedisAddress::new(&replica.url()).expect("an address").for_reading();
    let mut reader = Scoreboard::open(address).expect("a replica is enough to read");
    let arrived = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        reader.read_control("cup").is_ok_and(|found| found.as_ref() == Some(&control))
    });
    assert!(arrived, "what the primary was told is read from the replica");
    assert!(reader.write_control(&control).is_err(), "it takes nothing");
}

const CONTEST: &str = "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 1\nconnections = 1\n[[contestant]]\nname = \"a\"\n\
                       endpoint = \"93.184.216.34\"\n";

#[test]
fn what_is_no_address() {
    for url in ["", "redis", "http://127.0.0.1", "redis://:secret@", "rediss://127.0.0.1:1", "redis://127.0.0.1:99999"]
    {
        let error = RedisAddress::new(url).and_then(Scoreboard::open).expect_err("it is refused");
        assert!(matches!(error, ScoreboardError::Url { .. } | ScoreboardError::Unreachable { .. }), "{url}: {error:?}");
        assert_says(&error, &[]);
    }
}

#[test]
fn a_publisher_names_the_same_troubles() {
    let stage = Stage::new();
    let mut config = stage.config(&NAMES);
    let address = RedisAddress::new("unix:///nowhere/redis.sock?pass=secret").expect("an address");
    config.address = address.with_password("secret");
    assert!(!format!("{config:?}").contains("secret"));
    let error = Publisher::start(config).expect_err("nobody is there");
    assert_says(&error, &["no Redis answers"]);
    let mut config = stage.config(&NAMES);
    config.contestants[1] = "alice".to_owned();
    assert_says(&Publisher::start(config).expect_err("twice the same name"), &["each needs its own name"]);
}

#[test]
fn an_answer_that_goes_on_for_ever_is_given_up() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let (mut peer, _): (TcpStream, _) = listener.accept().expect("somebody comes");
        // A bulk string that claims more than anybody has, then a few bytes and silence.
        let _ = peer.write_all(b"$999999999999\r\nredis_version:7.0.0\r\n");
        while matches!(peer.read(&mut [0; 1024]), Ok(1..)) {}
    });
    let error = refusal(&format!("redis://{address}"), None);
    assert!(!error.to_string().is_empty());
}
