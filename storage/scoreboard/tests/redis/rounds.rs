//! Rounds from start to seal, as generators and a dashboard live through them.

use crate::stage::{CONTEST, NAMES, Stage, random_bits, rows, wait_for_put};
use flowtest_contest::{Control, State, standings};
use flowtest_contract::{RoundId, Row, Rules, StreamId, Tally};
use flowtest_scoreboard::{Publisher, PublisherConfig, ScoreboardError};
use flowtest_testkit::{WAIT_MAX, wait_until};
use redis::Value;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn what_is_published_is_what_is_read() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    for seq in 1..=20 {
        publisher.publish(seq, rows(seq * 7));
    }
    wait_for_put(&publisher, 20);
    stage.assert_totals(&rows(140));
    publisher.publish(21, rows(141));
    wait_for_put(&publisher, 21);
    stage.assert_totals(&rows(141));
    publisher.finish(22, rows(150), WAIT_MAX).expect("sealed");
    stage.assert_totals(&rows(150));
    let totals = stage.totals();
    assert_eq!(totals.state, State::Sealed);
    assert_eq!((totals.streams.len(), totals.streams[0].seq, totals.streams[0].ended), (1, 22, true));
    let lines = standings(&totals.contestants, &Rules::default());
    assert_eq!(lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), NAMES);
}

#[test]
fn the_end_may_repeat_the_newest_number() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(5, rows(9));
    wait_for_put(&publisher, 5);
    publisher.finish(5, rows(9), WAIT_MAX).expect("sealed");
    stage.assert_totals(&rows(9));
}

#[test]
fn what_is_written_is_bounded_by_what_changes() {
    // Rows of a long round: 300 buckets of each histogram are not empty.
    let long = |answers: u64| -> Arc<[Row]> {
        let mut row = Row { tally: Tally { due: answers, ..Tally::default() }, ..Row::default() };
        (200..500).for_each(|bucket| {
            row.latency.add_bucket(bucket, 100_000 + u64::from(bucket == 300) * answers);
            row.service.add_bucket(bucket, 100_000);
        });
        vec![row; NAMES.len()].into()
    };
    let stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, long(1));
    wait_for_put(&publisher, 1);
    let file = stage.server.append_only_file();
    let written = || std::fs::metadata(&file).expect("the file").len();
    let (before, whole) = (written(), long(1)[0].encode().len() as u64 * NAMES.len() as u64);
    let puts = stage.server.calls("fcall");
    for seq in 2..=15 {
        publisher.publish(seq, long(seq));
        wait_until("the tallies", || (publisher.health().put_seq >= seq).then_some(()));
    }
    // Most puts carry tallies alone, and those of histograms the one span of eleven in which something was counted.
    let (puts, written) = (stage.server.calls("fcall") - puts, written() - before);
    let row = long(15)[0].encode_tally().len() as u64 + 200;
    assert!(
        written < puts * NAMES.len() as u64 * row + 2 * whole,
        "{written} bytes in {puts} calls; all rows have {whole}"
    );
    publisher.finish(16, long(16), WAIT_MAX).expect("sealed");
    stage.assert_totals(&long(16));
}

#[test]
fn older_rows_do_not_replace_newer_ones() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(7, rows(70));
    publisher.publish(6, rows(60));
    wait_for_put(&publisher, 7);
    stage.assert_totals(&rows(70));
}

#[test]
fn a_generator_that_never_got_rows_still_ends() {
    let stage = Stage::new();
    stage.publisher().finish(0, rows(0), WAIT_MAX).expect("sealed");
    stage.assert_totals(&rows(0));
}

#[test]
fn two_streams_sum_and_the_seal_waits_for_both() {
    let stage = Stage::new();
    let (first, second) = (stage.publisher(), stage.publisher());
    let mut alone = stage.config(&["late", "alice"]);
    alone.contestants = vec!["late".to_owned()];
    first.publish(1, rows(10));
    second.publish(1, rows(20));
    wait_for_put(&first, 1);
    wait_for_put(&second, 1);
    let mut sum: Vec<Row> = rows(10).to_vec();
    sum.iter_mut().zip(rows(20).iter()).for_each(|(ours, theirs)| ours.merge(theirs).expect("small"));
    stage.assert_totals(&sum);

    let error = first.finish(2, rows(10), Duration::from_millis(300)).expect_err("the other one still runs");
    let ScoreboardError::Missing { missing, .. } = &error else { panic!("{error}") };
    let ended: Vec<bool> = stage.totals().streams.iter().map(|stream| stream.ended).collect();
    let open: Vec<_> = stage.totals().streams.into_iter().filter(|stream| !stream.ended).map(|s| s.id).collect();
    assert_eq!((missing, ended.len()), (&open, 2));
    assert!(error.to_string().contains(&open[0].to_string()), "{error}");
    assert_eq!(stage.totals().state, State::Draining);

    let error = Publisher::start(alone).expect_err("the round drains");
    assert!(matches!(error, ScoreboardError::RoundClosed(_)), "{error}");

    second.finish(2, rows(20), WAIT_MAX).expect("sealed");
    stage.assert_totals(&sum);
    assert_eq!(stage.totals().state, State::Sealed);
}

#[test]
fn a_generator_that_leaves_does_not_end_the_round_of_the_others() {
    let stage = Stage::new();
    let (leaving, staying) = (stage.publisher(), stage.publisher());
    leaving.end(1, rows(0), WAIT_MAX).expect("ended");
    assert_eq!(stage.totals().state, State::Running);
    staying.finish(1, rows(7), WAIT_MAX).expect("sealed");
    stage.assert_totals(&rows(7));
}

/// Two have joined; the first went without its end, the second has put rows.
fn one_of_two_is_gone(stage: &Stage) -> (StreamId, Publisher) {
    let gone = stage.config(&NAMES);
    let stream = gone.stream;
    drop(Publisher::start(gone).expect("a publisher"));
    let publisher = stage.publisher();
    publisher.publish(1, rows(8));
    wait_for_put(&publisher, 1);
    (stream, publisher)
}

#[test]
fn after_a_wipe_nobody_seals_before_the_others_are_back() {
    let stage = Stage::new();
    let (stream, publisher) = one_of_two_is_gone(&stage);
    stage.server.command(&["FLUSHALL"]);
    let error = publisher.finish(2, rows(9), Duration::from_millis(300)).expect_err("the other one is not back");
    let ScoreboardError::Missing { missing, .. } = &error else { panic!("{error}") };
    assert_eq!(missing, &[stream]);
    stage.assert_totals(&rows(9));
}

#[test]
fn after_a_rollback_nobody_seals_without_those_who_joined_since() {
    let stage = Stage::new();
    let (stream, publisher) = one_of_two_is_gone(&stage);
    // Redis is as it was when only this publisher had joined.
    stage.server.command(&["HDEL", &stage.key(), &format!("q:{stream}")]);
    let error = publisher.finish(2, rows(9), Duration::from_millis(300)).expect_err("the other one has not ended");
    let ScoreboardError::Missing { missing, .. } = &error else { panic!("{error}") };
    assert_eq!(missing, &[stream]);
    assert_eq!(stage.totals().state, State::Draining);
}

#[test]
fn two_generators_that_end_together_both_see_the_seal() {
    let stage = Stage::new();
    let publishers = [stage.publisher(), stage.publisher()];
    let ends = publishers.map(|publisher| std::thread::spawn(move || publisher.finish(1, rows(5), WAIT_MAX)));
    for end in ends {
        end.join().expect("no panic").expect("sealed");
    }
    assert_eq!(stage.totals().state, State::Sealed);
}

#[test]
fn a_stream_that_never_returns_is_abandoned_by_name() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, rows(30));
    wait_for_put(&publisher, 1);
    drop(publisher);
    let mut scoreboard = stage.scoreboard();
    scoreboard.drain_round(CONTEST, &stage.round).expect("it drains");
    let error = scoreboard.seal_round(CONTEST, &stage.round, &[]).expect_err("one is missing");
    let ScoreboardError::Missing { missing, .. } = error else { panic!("{error}") };
    scoreboard.seal_round(CONTEST, &stage.round, &missing).expect("sealed");
    let totals = stage.totals();
    assert_eq!((totals.state, totals.streams[0].abandoned, totals.streams[0].ended), (State::Sealed, true, false));
    stage.assert_totals(&rows(30));
}

#[test]
fn a_publisher_learns_that_its_round_was_sealed_without_it() {
    let stage = Stage::new();
    let config = stage.config(&NAMES);
    let stream = config.stream;
    let publisher = Publisher::start(config).expect("a publisher");
    publisher.publish(1, rows(3));
    wait_for_put(&publisher, 1);
    stage.scoreboard().seal_round(CONTEST, &stage.round, &[stream]).expect("sealed");
    let error = publisher.finish(2, rows(6), WAIT_MAX).expect_err("too late");
    assert!(matches!(error, ScoreboardError::RoundClosed(_)), "{error}");
    stage.assert_totals(&rows(3));
}

#[test]
fn a_round_that_nobody_created_is_refused() {
    let stage = Stage::new();
    let mut config = stage.config(&NAMES);
    config.round = RoundId::from_bits(random_bits());
    let error = Publisher::start(config).expect_err("no such round");
    assert!(matches!(error, ScoreboardError::RoundUnknown(_)), "{error}");
    let unknown = RoundId::from_bits(random_bits());
    assert!(matches!(stage.scoreboard().read_round(CONTEST, &unknown), Err(ScoreboardError::RoundUnknown(_))));
}

/// More contestants than one call carries.
const MANY: usize = 4_500;

fn many_names() -> Vec<String> {
    (0..MANY).map(|index| format!("c{index}")).collect()
}

fn many(count: u64) -> Arc<[Row]> {
    let rows = (0..MANY as u64).map(|index| {
        let mut row = Row::default();
        row.tally.due = count + index;
        row
    });
    rows.collect()
}

fn assert_many(stage: &Stage, count: u64) {
    let totals = stage.totals();
    assert_eq!(totals.contestants.len(), MANY);
    for (index, name) in many_names().iter().enumerate() {
        assert_eq!(totals.contestants[name].tally.due, count + index as u64, "{name}");
    }
}

#[test]
fn a_roster_too_long_for_one_call_arrives_whole() {
    let stage = Stage::new();
    let publisher =
        Publisher::start(PublisherConfig { contestants: many_names(), ..stage.config(&[]) }).expect("a publisher");
    publisher.publish(1, many(1));
    wait_for_put(&publisher, 1);
    publisher.publish(2, many(2));
    wait_for_put(&publisher, 2);
    publisher.finish(2, many(2), WAIT_MAX).expect("sealed");
    assert_many(&stage, 2);
}

#[test]
fn no_stale_row_is_sealed_when_a_connection_breaks_between_two_parts() {
    let stage = Stage::new();
    let config = PublisherConfig { contestants: many_names(), ..stage.config(&[]) };
    let stream = config.stream;
    let publisher = Publisher::start(config).expect("a publisher");
    publisher.publish(1, many(1));
    wait_for_put(&publisher, 1);
    // The first part of what changed had arrived when the connection broke. Redis has lost a row since, which was not in it.
    let (key, stream, names, rows) = (stage.key(), stream.to_string(), many_names(), many(2));
    let texts: Vec<String> = rows.iter().map(Row::encode).collect();
    let mut words = vec!["FCALL", "flowtest_put", "1", &key, &stream, "2", "1", "1", "3", "more"];
    let changed = names.iter().zip(&texts).filter(|(name, _)| *name != "c7").take(2_000);
    words.extend(changed.flat_map(|(name, text)| [name.as_str(), text.as_str()]));
    assert_eq!(stage.server.command(&words), Value::Okay);
    stage.server.command(&["HSET", &key, &format!("t:{stream}:c7"), &Row::default().encode()]);
    publisher.finish(2, many(2), WAIT_MAX).expect("sealed");
    assert_many(&stage, 2);
}

#[test]
fn junk_in_a_round_is_named_and_not_counted() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, rows(12));
    wait_for_put(&publisher, 1);
    drop(publisher);
    let stream = stage.totals().streams[0].id;
    let key = stage.key();
    stage.server.command(&["HSET", &key, &format!("t:{stream}:mallory"), "1 2 3;;"]);
    stage.server.command(&["HSET", &key, "surprise", "x"]);
    stage.server.command(&["HSET", &key, "q:nobody", "1"]);
    let totals = stage.totals();
    assert_eq!(totals.junk.len(), 3, "{:?}", totals.junk);
    assert!(
        totals.junk.iter().any(|line| line.contains("mallory") && line.contains("18 to 19 counters")),
        "{:?}",
        totals.junk
    );
    assert_eq!(totals.contestants["alice"], rows(12)[0]);
    assert!(!totals.contestants.contains_key("mallory"));
}

#[test]
fn the_control_document_goes_through_redis() {
    let stage = Stage::new();
    let mut scoreboard = stage.scoreboard();
    assert_eq!(scoreboard.read_control(CONTEST).expect("Redis answers"), None);
    let control =
        Control::from_json(include_str!("../../../contest/tests/golden/control.json")).expect("the golden file");
    scoreboard.write_control(&control).expect("written");
    assert_eq!(scoreboard.read_control(CONTEST).expect("Redis answers"), Some(control));
    stage.server.command(&["SET", "flowtest:{finals}:control", "{\"name\":1}"]);
    let error = scoreboard.read_control(CONTEST).expect_err("junk");
    assert!(matches!(error, ScoreboardError::Control(_)), "{error}");
}

#[test]
fn who_brings_back_the_control_document_never_replaces_a_newer_one() {
    let stage = Stage::new();
    let mut scoreboard = stage.scoreboard();
    let at = |revision| {
        let golden = include_str!("../../../contest/tests/golden/control.json");
        Control { revision, ..Control::from_json(golden).expect("the golden file") }
    };
    let held = || stage.scoreboard().read_control(CONTEST).expect("Redis answers").map(|control| control.revision);
    // (whose is brought back, whether it is taken, what Redis holds then)
    assert!(scoreboard.keep_control(&at(5)).expect("there is none"));
    assert!(!scoreboard.keep_control(&at(4)).expect("an older one"));
    assert!(!scoreboard.keep_control(&at(5)).expect("the same"));
    assert_eq!(held(), Some(5));
    assert!(scoreboard.keep_control(&at(7)).expect("a newer one"));
    assert_eq!(held(), Some(7));
    // Only whoever steers takes a stop back.
    let halted = |revision| Control { halted: true, ..at(revision) };
    assert!(scoreboard.keep_control(&halted(8)).expect("a stop"));
    assert!(!scoreboard.keep_control(&at(9)).expect("one that knows no stop"));
    assert_eq!(held(), Some(8));
    assert!(scoreboard.keep_control(&halted(9)).expect("a newer stop"));
    // What we cannot read may be of a newer program.
    for strange in ["", "{", "[]", "{\"revision\":\"x\"}", "{\"revision\":null}"] {
        stage.server.command(&["SET", "flowtest:{finals}:control", strange]);
        assert!(!scoreboard.keep_control(&at(9)).expect("an answer"), "{strange:?}");
    }
}

#[test]
fn rows_of_names_that_are_nobody_are_not_read() {
    let stage = Stage::new();
    let publisher = stage.publisher();
    publisher.publish(1, rows(3));
    wait_for_put(&publisher, 1);
    let stream = stage.totals().streams[0].id;
    let fields: Vec<String> =
        (0..500).flat_map(|index| [format!("t:{stream}:ghost{index}"), Row::default().encode()]).collect();
    let key = stage.key();
    let words: Vec<&str> = ["HSET", &key].into_iter().chain(fields.iter().map(String::as_str)).collect();
    stage.server.command(&words);
    assert_eq!(stage.totals().contestants.len(), 503, "whoever asks for all gets all");
    let totals = stage.scoreboard().read_round_of(CONTEST, &stage.round, &NAMES.into()).expect("the round");
    assert_eq!(totals.contestants.keys().collect::<Vec<_>>(), NAMES);
    assert_eq!(totals.junk.len(), 100, "as many are named as make sense");
    assert!(totals.junk[0].contains("no contestant has this name"), "{}", totals.junk[0]);
}
