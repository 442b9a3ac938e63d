//! What generator and dashboard tell each other beside the scores, through a real Redis.

use crate::server::RedisServer;
use crate::stage::CONTEST;
use flowtest_scoreboard::{ExplainedError, Scoreboard, keys};

fn board(server: &RedisServer) -> Scoreboard {
    Scoreboard::connect(&server.url()).expect("Redis answers")
}

fn failure(at: u64) -> ExplainedError {
    ExplainedError {
        at,
        kind: "token".to_owned(),
        sentence: "the Token is not the one of the request: send it back as it came".to_owned(),
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
