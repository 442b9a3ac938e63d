//! The functions inside Redis, called as anybody could call them.

use crate::stage::{CONTEST, Stage};
use flowtest_contract::{Row, Tally};
use flowtest_testkit::RedisServer;
use redis::Value;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn row(due: u64) -> String {
    Row { tally: Tally { due, ..Tally::default() }, ..Row::default() }.encode()
}

impl Stage {
    fn call(&self, function: &str, arguments: &[&str]) -> String {
        let key = self.key();
        let mut words = vec!["FCALL", function, "1", key.as_str()];
        words.extend(arguments);
        match self.server.command(&words) {
            Value::SimpleString(answer) => answer,
            Value::Okay => "OK".to_owned(),
            Value::Array(answers) => answers
                .into_iter()
                .map(|answer| redis::from_redis_value::<String>(answer).expect("a text"))
                .collect::<Vec<_>>()
                .join(" "),
            other => panic!("{function}: {other:?}"),
        }
    }

    /// Puts one row of `alice`.
    fn put(&self, stream: &str, seq: &str, base: &str, mark: &str, due: u64) -> String {
        self.call("flowtest_put", &[stream, seq, base, "1", "1", mark, "alice", &row(due)])
    }

    fn due(&self) -> u64 {
        self.totals().contestants.get("alice").map_or(0, |row| row.tally.due)
    }
}

#[test]
fn a_put_is_taken_once_and_in_order() {
    let stage = Stage::new();
    // (what is put, the answer, what Redis holds then)
    assert_eq!(stage.put(A, "1", "*", "more", 1), "UNKNOWN");
    assert_eq!(stage.call("flowtest_register", &[A, "new"]), "OK");
    assert_eq!(stage.call("flowtest_register", &[A, "new"]), "DUP");
    assert_eq!((stage.put(A, "1", "*", "more", 10).as_str(), stage.due()), ("OK", 10));
    assert_eq!((stage.put(A, "1", "*", "more", 11).as_str(), stage.due()), ("DUP", 10));
    assert_eq!((stage.put(A, "3", "1", "more", 30).as_str(), stage.due()), ("OK", 30));
    // late, from a connection that was slow
    assert_eq!((stage.put(A, "2", "1", "more", 20).as_str(), stage.due()), ("DUP", 30));
    // built on what Redis does not hold
    assert_eq!((stage.put(A, "5", "4", "more", 50).as_str(), stage.due()), ("GAP", 30));
    assert_eq!((stage.put(A, "5", "*", "more", 50).as_str(), stage.due()), ("OK", 50));
    // the end may repeat the newest number, and then nothing follows
    assert_eq!((stage.put(A, "5", "*", "end", 55).as_str(), stage.due()), ("OK", 55));
    assert_eq!((stage.put(A, "5", "*", "end", 56).as_str(), stage.due()), ("DUP", 55));
    assert_eq!((stage.put(A, "6", "*", "more", 60).as_str(), stage.due()), ("CLOSED", 55));
}

#[test]
fn numbers_are_compared_as_numbers() {
    let stage = Stage::new();
    stage.call("flowtest_register", &[A, "new"]);
    assert_eq!(stage.put(A, "9", "*", "more", 9), "OK");
    assert_eq!(stage.put(A, "10", "9", "more", 10), "OK");
    assert_eq!(stage.put(A, "9007199254740991", "10", "more", 11), "OK");
    assert_eq!(stage.put(A, "9007199254740990", "*", "more", 12), "DUP");
}

#[test]
fn a_roster_in_parts_counts_when_its_last_part_is_there() {
    let stage = Stage::new();
    stage.call("flowtest_register", &[A, "new"]);
    let part = |seq: &str, part: &str, name: &str, due: u64| {
        stage.call("flowtest_put", &[A, seq, "*", part, "2", "more", name, &row(due)])
    };
    let seq = || stage.totals().streams[0].seq;
    // a part whose first one a wipe took with it
    assert_eq!((part("1", "2", "bob", 9).as_str(), seq()), ("GAP", 0));
    assert_eq!((part("1", "1", "alice", 1).as_str(), seq()), ("OK", 0));
    assert_eq!((part("1", "1", "alice", 2).as_str(), seq()), ("DUP", 0));
    assert_eq!((part("2", "1", "alice", 3).as_str(), seq()), ("OK", 0));
    // of an older put, and late
    assert_eq!((part("1", "2", "bob", 4).as_str(), seq()), ("DUP", 0));
    assert_eq!((part("2", "2", "bob", 5).as_str(), seq()), ("OK", 2));
    assert_eq!((part("2", "2", "bob", 6).as_str(), seq()), ("DUP", 2));
    let totals = stage.totals();
    assert_eq!((totals.contestants["alice"].tally.due, totals.contestants["bob"].tally.due), (3, 5));
}

#[test]
fn a_part_of_one_put_is_no_part_of_another() {
    let stage = Stage::new();
    stage.call("flowtest_register", &[A, "new"]);
    let put = |seq: &str, base: &str, part: &str, mark: &str, due: &[(&str, u64)]| {
        let rows: Vec<String> = due.iter().flat_map(|(name, due)| [(*name).to_owned(), row(*due)]).collect();
        let mut words = vec![A, seq, base, part, "2", mark];
        words.extend(rows.iter().map(String::as_str));
        stage.call("flowtest_put", &words)
    };
    assert_eq!(put("1", "*", "1", "more", &[("alice", 1), ("bob", 1)]), "OK");
    assert_eq!(put("1", "*", "2", "more", &[("carol", 1)]), "OK");
    // changes, of which bob has none; then the connection breaks, and Redis has an older row of bob's
    assert_eq!(put("2", "1", "1", "more", &[("alice", 2)]), "OK");
    stage.server.command(&["HSET", &stage.key(), &format!("t:{A}:bob"), &row(0)]);
    // all rows, of the same number: its first part has bob
    assert_eq!(put("2", "*", "2", "more", &[("carol", 2)]), "GAP", "it follows another put's part");
    assert_eq!(put("2", "*", "1", "more", &[("alice", 2), ("bob", 1)]), "OK");
    assert_eq!(put("2", "*", "1", "more", &[("alice", 2), ("bob", 1)]), "DUP", "the very part that was taken last");
    // late, from the connection that broke: nothing of it is new, and what was begun since begins again
    assert_eq!(put("2", "1", "1", "more", &[("alice", 2)]), "OK");
    assert_eq!(put("2", "*", "2", "more", &[("carol", 2)]), "GAP");
    assert_eq!(put("2", "*", "1", "end", &[("alice", 2), ("bob", 1)]), "OK");
    assert_eq!(put("2", "*", "2", "more", &[("carol", 2)]), "GAP", "the end is another put");
    assert_eq!(put("2", "*", "2", "end", &[("carol", 2)]), "OK");
    let due = |name: &str| stage.totals().contestants[name].tally.due;
    assert_eq!((due("alice"), due("bob"), due("carol")), (2, 1, 2));
}

#[test]
fn a_put_that_was_begun_by_an_older_library_begins_again() {
    let stage = Stage::new();
    stage.call("flowtest_register", &[A, "new"]);
    let part = |part: &str, name: &str| stage.call("flowtest_put", &[A, "1", "*", part, "2", "more", name, &row(1)]);
    stage.server.command(&["HSET", &stage.key(), &format!("p:{A}"), "1.1"]);
    assert_eq!(part("2", "bob"), "GAP");
    assert_eq!(part("1", "alice"), "OK");
    assert_eq!(part("2", "bob"), "OK");
    // one that was left unfinished is no put any more when a shorter one has come through
    stage.server.command(&["HSET", &stage.key(), &format!("p:{A}"), "2.1"]);
    assert_eq!(stage.put(A, "2", "1", "more", 2), "OK");
    let fields = stage.server.hash(&stage.key());
    assert!(fields.iter().find(|(field, _)| field.starts_with("p:")).expect("it is there").1.is_empty());
}

/// The only span of a row that counted one fast answer, by the name it is put under.
fn span(count: u64) -> (String, Vec<u8>) {
    let mut row = Row::default();
    row.latency.add_bucket(9, count);
    ("0:alice".to_owned(), row.encode_span(0).expect("it is not empty"))
}

impl Stage {
    /// Puts one span of `alice`'s.
    fn put_histograms(&self, stream: &str, seq: &str, base: &str, part: [&str; 2], count: u64) -> String {
        let (name, bytes) = span(count);
        let mut call = redis::cmd("FCALL");
        call.arg("flowtest_put_histograms").arg(1).arg(self.key()).arg(stream).arg(seq).arg(base);
        call.arg(&part).arg("more").arg(name).arg(bytes);
        let client = redis::Client::open(self.server.url()).expect("an address");
        call.query(&mut client.get_connection().expect("it answers")).expect("an answer")
    }

    /// What is counted in the histograms of `alice`.
    fn measured(&self) -> u64 {
        self.totals().contestants.get("alice").map_or(0, |row| row.latency.count())
    }
}

#[test]
fn histograms_have_a_number_of_their_own() {
    let stage = Stage::new();
    let whole = ["1", "1"];
    assert_eq!(stage.put_histograms(A, "1", "*", whole, 1), "UNKNOWN");
    stage.call("flowtest_register", &[A, "new"]);
    assert_eq!(stage.put(A, "1", "*", "more", 1), "OK");
    assert_eq!((stage.put_histograms(A, "3", "*", whole, 3).as_str(), stage.measured()), ("OK", 3));
    assert_eq!((stage.put_histograms(A, "3", "3", whole, 9).as_str(), stage.measured()), ("DUP", 3));
    assert_eq!((stage.put_histograms(A, "2", "*", whole, 2).as_str(), stage.measured()), ("DUP", 3));
    assert_eq!((stage.put_histograms(A, "5", "4", whole, 5).as_str(), stage.measured()), ("GAP", 3));
    assert_eq!((stage.put_histograms(A, "5", "3", whole, 5).as_str(), stage.measured()), ("OK", 5));
    // all of them at the same number are taken again: the end comes without them
    assert_eq!((stage.put_histograms(A, "5", "*", whole, 6).as_str(), stage.measured()), ("OK", 6));
    let stream = stage.totals().streams[0];
    assert_eq!((stream.seq, stream.histograms_seq, stream.ended), (1, 5, false));
    // tallies go on by themselves
    assert_eq!((stage.put(A, "7", "*", "more", 7).as_str(), stage.due(), stage.measured()), ("OK", 7, 6));
}

#[test]
fn a_stream_closes_when_all_its_histograms_are_there() {
    let stage = Stage::new();
    stage.call("flowtest_register", &[A, "new"]);
    assert_eq!(stage.put(A, "4", "*", "close", 4), "GAP", "none were put");
    assert_eq!(stage.put_histograms(A, "3", "*", ["1", "1"], 3), "OK");
    assert_eq!(stage.put(A, "4", "*", "close", 4), "GAP", "those of 3 are not those of 4");
    assert_eq!(stage.put_histograms(A, "4", "*", ["1", "2"], 4), "OK");
    assert_eq!(stage.put(A, "4", "*", "close", 4), "GAP", "a part is not all");
    assert_eq!(stage.put_histograms(A, "4", "3", ["2", "2"], 4), "GAP", "of another put");
    assert_eq!(stage.put_histograms(A, "4", "*", ["2", "2"], 4), "OK");
    assert_eq!(stage.put(A, "4", "*", "close", 4), "OK");
    assert_eq!(stage.put_histograms(A, "4", "*", ["1", "1"], 9), "DUP");
    assert_eq!(stage.put_histograms(A, "5", "*", ["1", "1"], 9), "CLOSED");
    assert_eq!((stage.due(), stage.measured()), (4, 4));
    assert!(stage.totals().streams[0].ended);
}

#[test]
fn rows_that_hold_their_histograms_are_all_there_is_of_them() {
    let stage = Stage::new();
    stage.call("flowtest_register", &[A, "new"]);
    stage.put_histograms(A, "1", "*", ["1", "1"], 5);
    // an older program publishes the same stream, and ends it as it always did
    let mut old = Row { tally: Tally { due: 2, ..Tally::default() }, ..Row::default() };
    old.latency.add_bucket(9, 2);
    assert_eq!(stage.call("flowtest_put", &[A, "2", "*", "1", "1", "end", "alice", &old.encode()]), "OK");
    assert_eq!((stage.due(), stage.measured()), (2, 2));
    assert_eq!(stage.totals().junk, Vec::<String>::new());
}

#[test]
fn the_streams_of_a_round_of_an_older_library_are_found() {
    let stage = Stage::new();
    stage.call("flowtest_register", &[A, "new"]);
    stage.server.command(&["HDEL", &stage.key(), "streams"]);
    assert_eq!(stage.call("flowtest_streams", &[]), A);
    assert_eq!(stage.call("flowtest_register", &[B, "new"]), "OK");
    assert_eq!(stage.call("flowtest_streams", &[]), format!("{A} {B}"));
}

#[test]
fn nobody_joins_a_round_that_drains_and_nothing_moves_in_a_sealed_one() {
    let stage = Stage::new();
    assert_eq!(stage.call("flowtest_seal", &[]), "EMPTY");
    stage.call("flowtest_register", &[A, "new"]);
    assert_eq!(stage.put(A, "1", "*", "more", 10), "OK");
    assert_eq!(stage.call("flowtest_drain", &[]), "OK");
    assert_eq!(stage.call("flowtest_drain", &[]), "DUP");
    assert_eq!(stage.call("flowtest_register", &[B, "new"]), "CLOSED");
    assert_eq!(stage.put(A, "2", "1", "more", 20), "OK", "what is in flight may land");
    assert_eq!(stage.call("flowtest_seal", &[]), format!("MISSING {A}"));
    assert_eq!(stage.put(A, "3", "*", "end", 30), "OK");
    assert_eq!(stage.call("flowtest_seal", &[]), "OK");
    assert_eq!(stage.call("flowtest_seal", &[]), "DUP");
    let sealed = stage.totals();
    assert_eq!(stage.put(A, "4", "*", "more", 40), "CLOSED");
    assert_eq!(stage.put(A, "3", "*", "end", 31), "DUP", "an answer that was lost may be asked for again");
    assert_eq!(stage.call("flowtest_register", &[B, "again"]), "CLOSED");
    assert_eq!(stage.call("flowtest_drain", &[]), "CLOSED");
    assert_eq!(stage.call("flowtest_open", &[]), "DUP");
    assert_eq!(stage.totals(), sealed);
}

#[test]
fn a_stream_that_redis_lost_may_come_back_while_the_round_drains() {
    let stage = Stage::new();
    stage.call("flowtest_register", &[A, "new"]);
    stage.call("flowtest_drain", &[]);
    assert_eq!(stage.call("flowtest_register", &[B, "again"]), "OK");
    stage.server.command(&["FLUSHALL"]);
    assert_eq!(stage.call("flowtest_register", &[A, "new"]), "UNKNOWN");
    assert_eq!(stage.call("flowtest_register", &[A, "again"]), "OK");
    assert_eq!(stage.totals().state.as_str(), "running");
}

#[test]
fn who_comes_back_first_brings_back_the_others() {
    let stage = Stage::new();
    stage.server.command(&["FLUSHALL"]);
    assert_eq!(stage.call("flowtest_register", &[A, "again", A, B]), "OK");
    assert_eq!(stage.call("flowtest_streams", &[]).split(' ').count(), 2);
    assert_eq!(stage.put(B, "1", "*", "end", 1), "OK", "the other needs no registration");
    // thrown back to a time before the other had joined, also while the round drains
    stage.server.command(&["HDEL", &stage.key(), &format!("q:{B}"), &format!("e:{B}")]);
    assert_eq!(stage.call("flowtest_drain", &[]), "OK");
    assert_eq!(stage.call("flowtest_register", &[A, "again", A, B]), "OK");
    assert_eq!(stage.call("flowtest_register", &[A, "again", A, B]), "DUP");
    assert_eq!(stage.put(B, "1", "*", "end", 1), "OK");
    // who knows less or comes later takes nothing away
    assert_eq!(stage.call("flowtest_register", &[B, "again"]), "DUP");
    assert_eq!(stage.call("flowtest_seal", &[]), format!("MISSING {A}"));
    assert_eq!(stage.put(A, "1", "*", "end", 1), "OK");
    assert_eq!(stage.call("flowtest_seal", &[]), "OK");
}

#[test]
fn whatever_is_malformed_is_refused_before_anything_is_written() {
    let stage = Stage::new();
    stage.call("flowtest_register", &[A, "new"]);
    let before = stage.totals();
    let good = row(1);
    let long = "1 ".repeat(40_000);
    let cases: &[(&str, &[&str])] = &[
        ("flowtest_put", &[]),
        ("flowtest_put", &["short", "1", "*", "1", "1", "more"]),
        ("flowtest_put", &[A, "-1", "*", "1", "1", "more"]),
        ("flowtest_put", &[A, "1e3", "*", "1", "1", "more"]),
        ("flowtest_put", &[A, "9007199254740992", "*", "1", "1", "more"]),
        ("flowtest_put", &[A, "1", "x", "1", "1", "more"]),
        ("flowtest_put", &[A, "1", "*", "2", "1", "more"]),
        ("flowtest_put", &[A, "1", "*", "0", "1", "more"]),
        ("flowtest_put", &[A, "1", "*", "1", "1", "maybe"]),
        ("flowtest_put", &[A, "1", "0", "1", "1", "end"]),
        // a name without a row, no name, a name twice
        ("flowtest_put", &[A, "1", "*", "1", "1", "more", "alice"]),
        ("flowtest_put", &[A, "1", "*", "1", "1", "more", "", &good]),
        ("flowtest_put", &[A, "1", "*", "1", "1", "more", "alice", &good, "alice", &good]),
        // the last of several rows is junk: the good ones before it must not land
        ("flowtest_put", &[A, "1", "*", "1", "1", "more", "alice", &good, "bob", "junk"]),
        ("flowtest_put", &[A, "1", "*", "1", "1", "more", "alice", &long]),
        // histograms: a span that is none, no name, too few bytes, an end
        ("flowtest_put_histograms", &[A, "1", "*", "1", "1", "more", "x:alice", "12345678901234567"]),
        ("flowtest_put_histograms", &[A, "1", "*", "1", "1", "more", "0:", "12345678901234567"]),
        ("flowtest_put_histograms", &[A, "1", "*", "1", "1", "more", "0:alice", "1234567890123456"]),
        ("flowtest_put_histograms", &[A, "1", "*", "1", "1", "more", "0:alice", &long]),
        ("flowtest_put_histograms", &[A, "1", "*", "1", "1", "close"]),
        ("flowtest_register", &[A]),
        ("flowtest_register", &["short", "new"]),
        ("flowtest_register", &[B, "maybe"]),
        ("flowtest_register", &[B, "new", A]),
        ("flowtest_register", &[B, "again", "short"]),
        ("flowtest_streams", &["x"]),
        ("flowtest_keep_control", &["1"]),
        ("flowtest_keep_control", &["x", "{}"]),
        ("flowtest_seal", &["short"]),
        ("flowtest_open", &["x"]),
        ("flowtest_drain", &["x"]),
    ];
    let client = redis::Client::open(stage.server.url()).expect("an address");
    let mut connection = client.get_connection().expect("it answers");
    for (function, arguments) in cases {
        let answer = redis::cmd("FCALL").arg(function).arg(1).arg(stage.key()).arg(*arguments).exec(&mut connection);
        let error = answer.expect_err(function);
        assert_eq!(error.code(), Some("FLOWTEST"), "{function} {arguments:?}: {error}");
        assert_eq!(stage.totals(), before, "{function} {arguments:?}");
    }
}

#[test]
fn redis_keeps_each_put_as_one_command() {
    let stage = Stage::new();
    stage.call("flowtest_register", &[A, "new"]);
    stage.put(A, "1", "*", "more", 1);
    stage.call("flowtest_put", &[A, "2", "*", "1", "1", "end", "alice", &row(2), "bob", &row(3)]);
    stage.call("flowtest_drain", &[]);
    stage.call("flowtest_seal", &[]);
    let file = String::from_utf8_lossy(&std::fs::read(stage.server.append_only_file()).expect("the file")).into_owned();
    let commands = |name: &str| file.matches(&format!("\r\n{name}\r\n")).count();
    // open, register, two puts, drain, seal
    assert_eq!(commands("HSET"), 6, "{file}");
    assert_eq!((commands("MULTI"), commands("EXEC"), commands("HMSET")), (0, 0, 0), "{file}");
}

#[test]
fn the_library_is_loaded_once_and_kept_when_it_is_newer() {
    let stage = Stage::new();
    let loads = || {
        let file = std::fs::read(stage.server.append_only_file()).expect("the file");
        String::from_utf8_lossy(&file).matches("#!lua name=flowtest").count()
    };
    stage.scoreboard();
    assert_eq!(loads(), 1, "the second connection found it");
    let newer = "#!lua name=flowtest\n-- library version 1000\nredis.register_function('flowtest_open', function() return redis.status_reply('OK') end)";
    stage.server.command(&["FUNCTION", "LOAD", "REPLACE", newer]);
    stage.scoreboard();
    assert_eq!(loads(), 2, "a newer one stays");
    let older = newer.replace("1000", "0");
    stage.server.command(&["FUNCTION", "LOAD", "REPLACE", &older]);
    stage.scoreboard().open_round(CONTEST, &stage.round).expect("ours is back");
    assert_eq!(loads(), 4, "an older one is replaced");
}

#[test]
fn the_library_comes_back_when_somebody_deletes_it() {
    let stage = Stage::on(RedisServer::start());
    let mut scoreboard = stage.scoreboard();
    stage.server.command(&["FUNCTION", "FLUSH"]);
    scoreboard.drain_round(CONTEST, &stage.round).expect("loaded again");
    assert_eq!(stage.totals().state.as_str(), "draining");
}
