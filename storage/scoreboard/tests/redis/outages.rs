//! Whatever happens to Redis, it ends up with the points that the process counted.

use crate::stage::{CONTEST, Stage, control, rows, wait_for_put};
use flowtest_contest::State;
use flowtest_contract::RoundValidity;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::{GeneratorHealth, Publisher, ScoreboardError, library};
use flowtest_testkit::RedisServer;
use flowtest_testkit::WAIT_MAX;
use flowtest_testkit::documents::generator_health;
use flowtest_testkit::wait_until;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Publishes, lets `harm` happen, publishes on, and looks at the sums before and after the end.
fn survives(mut stage: Stage, harm: impl FnOnce(&mut Stage)) {
    let publisher = stage.publisher();
    publisher.publish(1, rows(40));
    wait_for_put(&publisher, 1);
    harm(&mut stage);
    publisher.publish(2, rows(41));
    wait_for_put(&publisher, 2);
    stage.assert_totals(&rows(41));
    publisher.finish(3, rows(50), WAIT_MAX).expect("sealed");
    stage.assert_totals(&rows(50));
    assert_eq!(stage.totals().state, State::Sealed);
}

#[test]
fn flushed() {
    survives(Stage::new(), |stage| {
        stage.server.command(&["FLUSHALL"]);
    });
}

#[test]
fn flushed_while_nothing_new_is_counted() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, rows(40));
    wait_for_put(&publisher, 1);
    stage.server.command(&["FLUSHALL"]);
    let mut scoreboard = stage.scoreboard();
    wait_until("the round", || scoreboard.read_round(CONTEST, &stage.round).ok().filter(|t| t.contestants.len() == 3));
    stage.assert_totals(&rows(40));
    drop(publisher);
}

#[test]
fn how_much_is_valid_stays_when_its_generator_is_gone_and_comes_back_after_a_flush() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    let said = RoundValidity { seconds: 10, valid_seconds: 9, due: 1_000, void: 3, late_ms: 21 };
    publisher.publish(1, rows(40));
    wait_for_put(&publisher, 1);
    assert_eq!(stage.totals().validity().next(), None, "nothing was said");
    publisher.note_validity(said);
    let mut scoreboard = stage.scoreboard();
    let mut held =
        || scoreboard.read_round(CONTEST, &stage.round).ok()?.validity().next().map(|(_, validity)| validity);
    wait_until("the word", || held().filter(|held| *held == said));
    stage.server.command(&["FLUSHALL"]);
    wait_until("the word again", || held().filter(|held| *held == said));
    // A library of before 0.3 takes four counts.
    let older = library::CODE
        .replace(&format!("-- library version {}", library::VERSION), "-- library version 8")
        .replace(" and #args ~= 6", "");
    stage.server.command(&["FUNCTION", "LOAD", "REPLACE", &older]);
    publisher.note_validity(RoundValidity { seconds: 12, ..said });
    wait_until("four of them", || held().filter(|held| *held == RoundValidity { seconds: 12, late_ms: 0, ..said }));
    stage.server.command(&["FUNCTION", "LOAD", "REPLACE", library::CODE]);
    let last = RoundValidity { seconds: 13, ..said };
    publisher.note_validity(last);
    publisher.end(2, rows(41), WAIT_MAX).expect("ended");
    assert_eq!(held(), Some(last), "the last word comes with the end");
}

#[test]
fn killed_and_restarted() {
    survives(Stage::new(), |stage| stage.server.restart());
}

#[test]
fn killed_and_restarted_on_a_port() {
    survives(Stage::on(RedisServer::start_tcp(&[])), |stage| stage.server.restart());
}

#[test]
fn wiped_and_restarted() {
    survives(Stage::new(), |stage| {
        stage.server.wipe();
        stage.server.restart();
    });
}

#[test]
fn gone_for_a_while() {
    survives(Stage::new(), |stage| {
        stage.server.kill();
        std::thread::sleep(Duration::from_millis(1500));
        stage.server.restart();
    });
}

#[test]
fn paused_for_longer_than_the_timeout_with_an_answer() {
    survives(Stage::new(), |stage| {
        stage.server.pause();
        std::thread::sleep(Duration::from_secs(3));
        stage.server.resume();
    });
}

#[test]
fn disconnected() {
    survives(Stage::new(), |stage| {
        stage.server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    });
}

#[test]
fn without_its_functions() {
    survives(Stage::new(), |stage| {
        stage.server.command(&["FUNCTION", "FLUSH"]);
    });
}

#[test]
fn thrown_back_to_an_older_state() {
    survives(Stage::new(), |stage| {
        let stream = stage.totals().streams[0].id;
        let key = stage.key();
        // As a failover to a replica that was behind: an older number, and an older row of somebody whose row the
        // next change does not touch.
        let (number, row) = (format!("q:{stream}"), format!("t:{stream}:alice"));
        stage.server.command(&["HSET", &key, &number, "0", &row, &rows(3)[0].encode()]);
    });
}

#[test]
fn one_row_changed_by_hand() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, rows(40));
    wait_for_put(&publisher, 1);
    let stream = stage.totals().streams[0].id;
    stage.server.command(&["HDEL", &stage.key(), &format!("t:{stream}:bob")]);
    // Changes of others alone would not bring it back; everything is put once a second.
    let mut seq = 1;
    wait_until("the row", || {
        seq += 1;
        publisher.publish(seq, rows(40));
        stage.totals().contestants.get("bob").map(|row| assert_eq!(row, &rows(40)[1]))
    });
}

#[test]
fn histograms_that_somebody_deleted_are_there_at_the_end() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, rows(40));
    wait_for_put(&publisher, 1);
    let stream = stage.totals().streams[0].id;
    stage.server.command(&["HDEL", &stage.key(), &format!("h:{stream}:0:bob")]);
    publisher.finish(1, rows(40), WAIT_MAX).expect("sealed");
    stage.assert_totals(&rows(40));
}

#[test]
fn thrown_back_to_a_time_before_the_newest_histograms() {
    survives(Stage::new(), |stage| {
        let stream = stage.totals().streams[0].id;
        let key = stage.key();
        // A replica that was behind: what changed since is not there, and changes upon it are refused.
        stage.server.command(&["HSET", &key, &format!("hq:{stream}"), "0"]);
        stage.server.command(&["HDEL", &key, &format!("h:{stream}:0:alice"), &format!("h:{stream}:3:bob")]);
    });
}

#[test]
fn finishing_outlasts_an_outage() {
    let mut stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, rows(40));
    wait_for_put(&publisher, 1);
    stage.server.wipe();
    let end = std::thread::spawn(move || publisher.finish(2, rows(44), WAIT_MAX));
    std::thread::sleep(Duration::from_millis(500));
    stage.server.restart();
    end.join().expect("no panic").expect("sealed");
    stage.assert_totals(&rows(44));
}

#[test]
fn finishing_ends_when_its_time_does() {
    let mut stage = Stage::new();
    let publisher = stage.publisher();
    stage.server.kill();
    let error = publisher.finish(1, rows(1), Duration::from_millis(100)).expect_err("nobody is there");
    assert!(matches!(error, ScoreboardError::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("no Redis answers"), "{error}");
}

#[test]
fn health_tells_of_an_outage_and_its_end() {
    let mut stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, rows(1));
    let health = wait_for_put(&publisher, 1);
    assert_eq!((health.last_error, health.reconnects), (None, 0));
    stage.server.kill();
    publisher.publish(2, rows(2));
    let health = wait_until("the outage", || Some(publisher.health()).filter(|health| !health.connected));
    assert_eq!(health.put_seq, 1);
    assert!(health.last_error.is_some());
    stage.server.restart();
    let health = wait_for_put(&publisher, 2);
    assert_eq!(health.reconnects, 1);
    assert!(health.last_error.is_some(), "what happened stays known");
}

#[test]
fn a_reader_goes_on_after_an_outage() {
    let mut stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, rows(5));
    wait_for_put(&publisher, 1);
    let mut scoreboard = stage.scoreboard();
    stage.server.kill();
    let error = scoreboard.read_round(CONTEST, &stage.round).expect_err("nobody is there");
    assert!(matches!(error, ScoreboardError::Unreachable { .. }), "{error}");
    stage.server.restart();
    scoreboard.read_round(CONTEST, &stage.round).expect("it answers again");
}

#[test]
fn dropping_a_publisher_leaves_the_stream_open() {
    let stage = Stage::new();
    let publisher: Publisher = stage.publisher();
    publisher.publish(1, rows(2));
    wait_for_put(&publisher, 1);
    drop(publisher);
    assert!(!stage.totals().streams[0].ended);
}

#[test]
fn counting_goes_on_through_one_outage_after_another() {
    let mut stage = Stage::new();
    let publisher = Arc::new(stage.publisher());
    let over = Arc::new(AtomicBool::new(false));
    let counting = std::thread::spawn({
        let (publisher, over) = (Arc::clone(&publisher), Arc::clone(&over));
        move || {
            let mut seq = 0;
            while !over.load(Ordering::Relaxed) {
                seq += 1;
                publisher.publish(seq, rows(seq));
                std::thread::sleep(Duration::from_millis(3));
            }
            seq
        }
    });
    for turn in 0..8 {
        let seq = publisher.health().put_seq;
        wait_for_put(&publisher, seq + 1);
        match turn % 4 {
            0 => stage.server.restart(),
            1 => drop(stage.server.command(&["FLUSHALL"])),
            2 => {
                stage.server.wipe();
                stage.server.restart();
            }
            _ => {
                stage.server.pause();
                std::thread::sleep(Duration::from_millis(200));
                stage.server.resume();
            }
        }
    }
    over.store(true, Ordering::Relaxed);
    let seq = counting.join().expect("no panic");
    let publisher = Arc::into_inner(publisher).expect("the counting thread is over");
    publisher.finish(seq, rows(seq), WAIT_MAX).expect("sealed");
    stage.assert_totals(&rows(seq));
}

#[test]
fn a_redis_that_takes_no_writes_says_why_and_gets_everything_when_it_does_again() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, rows(40));
    wait_for_put(&publisher, 1);
    let control = control();
    stage.scoreboard().write_control(&control).expect("written");
    let mut reader = stage.scoreboard();
    // (what spoils it, what mends it, the next step)
    let cases: [(&[&str], &[&str], &str); 2] = [
        (&["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"], "raise maxmemory"),
        (
            &["CONFIG", "SET", "min-replicas-to-write", "3"],
            &["CONFIG", "SET", "min-replicas-to-write", "0"],
            "replicas",
        ),
    ];
    for (seq, (spoil, mend, part)) in (2..).zip(cases) {
        stage.server.command(spoil);
        publisher.publish(seq, rows(40 + seq));
        let says = |error: &str| error.contains("takes no writes") && error.contains(part);
        wait_until("the publisher's word", || publisher.health().last_error.filter(|error| says(error)));
        let errors = [
            reader.write_control(&control).expect_err("refused"),
            reader.hold_steering(CONTEST, stage.round_as_id()).expect_err("refused"),
            // Several commands at once.
            reader.write_health(CONTEST, &generator_health("g1", UtcUs(1))).expect_err("refused"),
        ];
        for error in errors {
            assert!(matches!(error, ScoreboardError::NoWrites { .. }) && says(&error.to_string()), "{error}");
        }
        assert_eq!(reader.read_control(CONTEST).expect("reading goes on").as_ref(), Some(&control));
        stage.server.command(mend);
        wait_for_put(&publisher, seq);
        stage.assert_totals(&rows(40 + seq));
    }
}

#[test]
fn a_number_that_somebody_else_wrote_is_no_success_and_is_told() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, rows(40));
    wait_for_put(&publisher, 1);
    let totals = stage.totals();
    let field = format!("q:{}", totals.streams[0].id);
    stage.server.command(&["HSET", &stage.key(), &field, "1000000"]);
    publisher.publish(2, rows(41));
    let told = wait_until("the publisher's word", || {
        publisher.health().last_error.filter(|error| error.contains("number 1000000"))
    });
    assert!(told.contains(&field) && publisher.health().put_seq == 1, "{told}");
    // The next step that it names works.
    stage.server.command(&["HDEL", &stage.key(), &field]);
    wait_for_put(&publisher, 2);
    stage.assert_totals(&rows(41));
    publisher.finish(3, rows(50), WAIT_MAX).expect("sealed");
}

#[test]
fn a_document_is_put_only_where_what_was_looked_at_still_stands() {
    use flowtest_scoreboard::{ControlEdit, Stopped};
    let stage = Stage::new();
    let mut control = control();
    let name = control.contest.name.clone();
    let mut scoreboard = stage.scoreboard();
    assert_eq!(scoreboard.stop_traffic(&name).expect("it answers"), Stopped::NoContest);
    scoreboard.write_control(&control).expect("written");
    let mut tries = 0;
    let tries = std::cell::RefCell::new(&mut tries);
    scoreboard
        .edit_control(&name, |found| {
            let mut found = found?.expect("a document");
            **tries.borrow_mut() += 1;
            if found.revision == 1 {
                // Somebody is faster.
                let stopped = stage.scoreboard().stop_traffic(&name).expect("it answers");
                assert_eq!(stopped, Stopped::Now(2));
            }
            found.revision += 10;
            Ok(ControlEdit::Put(Box::new(found), ()))
        })
        .expect("the second time");
    assert_eq!(**tries.borrow(), 2);
    (control.revision, control.halted) = (12, true);
    assert_eq!(scoreboard.read_control(&name).expect("it answers"), Some(control));
    assert_eq!(scoreboard.stop_traffic(&name).expect("it answers"), Stopped::Before(12));
}

#[test]
fn a_stop_is_written_into_whatever_stands_in_the_place_of_the_document() {
    use flowtest_scoreboard::Stopped;
    let stage = Stage::new();
    let mut scoreboard = stage.scoreboard();
    let key = flowtest_scoreboard::keys::control(CONTEST);
    let golden = control().to_json();
    let cases = [
        ("a newer program's", golden.replacen("\"dialect\":1", "\"dialect\":99", 1)),
        ("an unknown kind of phase", golden.replacen("\"rate\":5", "\"rate\":\"waves\"", 1)),
        ("a broken number", golden.replacen("\"connections\":", "\"connections\":1e999,\"was\":", 1)),
        ("no JSON", "{".to_owned()),
    ];
    let unread = |what: &str| match stage.scoreboard().read_control(CONTEST) {
        Err(ScoreboardError::Control(unread)) => unread,
        other => panic!("{what}: {other:?}"),
    };
    // Generators may follow more than Redis holds.
    let health = GeneratorHealth { revision: 70, ..generator_health("g1", UtcUs(1)) };
    for (what, text) in cases {
        stage.server.command(&["SET", &key, &text]);
        assert_eq!(unread(what).halted_by(), None, "{what}");
        scoreboard.write_health(CONTEST, &health).expect("it is heard");
        assert_eq!(scoreboard.stop_traffic(CONTEST).expect(what), Stopped::Now(71), "{what}");
        assert_eq!(unread(what).halted_by(), Some(71), "{what}");
        assert_eq!(scoreboard.stop_traffic(CONTEST).expect(what), Stopped::Before(71), "{what}");
    }
    stage.server.command(&["DEL", &key]);
    stage.server.command(&["LPUSH", &key, "no text at all"]);
    assert_eq!(scoreboard.stop_traffic(CONTEST).expect("a list"), Stopped::Now(71));
    // Somebody was heard of the contest, and goes on by what it knows.
    stage.server.command(&["DEL", &key]);
    assert_eq!(scoreboard.stop_traffic(CONTEST).expect("nothing"), Stopped::Now(71));
    assert_eq!(unread("nothing").halted_by(), Some(71));
}
