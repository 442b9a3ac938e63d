//! `rebuild` and the Redis side of `audit`, on a real redis-server.

use crate::played::{CONTEST, Interval, OTHER, Played, ROUND, STREAM, interval, right};
use crate::program::{Said, run};
use flowtest_contest::State;
use flowtest_contract::span::SPANS;
use flowtest_contract::{Row, StreamId};
use flowtest_journal::writer::{self, Writer};
use flowtest_loadgen::journal::rebuild::{Action, finish_orphans};
use flowtest_scoreboard::{RedisAddress, Scoreboard, keys};
use flowtest_testkit::RedisServer;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// A Redis and a folder of journals.
pub(crate) struct Stage {
    pub(crate) server: RedisServer,
    pub(crate) dir: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new(streams: impl IntoIterator<Item = Played>) -> Stage {
        let stage = Stage { server: RedisServer::start(), dir: tempfile::tempdir().expect("a folder") };
        for stream in streams {
            stream.write(stage.dir.path());
        }
        stage
    }

    pub(crate) fn run(&self, command: &str, words: &[&str]) -> Said {
        let url = self.server.url();
        let dir = self.dir.path().to_str().expect("UTF-8");
        run(&[&[command, "--journal", dir, "--redis", &url], words].concat())
    }

    pub(crate) fn key(&self) -> String {
        keys::round(CONTEST, &ROUND)
    }

    fn state(&self) -> State {
        let mut scoreboard = Scoreboard::connect(&self.server.url()).expect("Redis answers");
        scoreboard.read_round(CONTEST, &ROUND).expect("the round").state
    }

    /// Changes a byte in the second of a stream's groups.
    fn damage(&self, stream: StreamId) {
        let path: PathBuf = [&ROUND.to_string(), &stream.to_string(), "000000.ftj"]
            .iter()
            .fold(self.dir.path().to_owned(), |path, name| path.join(name));
        let mut bytes = std::fs::read(&path).expect("a segment");
        bytes[2 * 4096 + 100] ^= 1;
        std::fs::write(&path, bytes).expect("a segment");
    }

    fn redis(&self) -> RedisAddress {
        RedisAddress::new(&self.server.url()).expect("an address")
    }
}

/// Two generators' journals: one ended, one killed with requests in flight.
fn two() -> [Played; 2] {
    let mut killed = Played { stream: OTHER, end: None, ..Played::usual() };
    killed.intervals[2].started = vec![0];
    [Played::usual(), killed]
}

#[test]
fn a_wiped_redis_comes_back_and_a_second_time_nothing_is_missing() {
    let stage = Stage::new(two());
    stage.run("audit", &[]).exits(4).says("Redis does not know round").says("`rebuild` publishes it");
    let said = stage.run("rebuild", &["--dry-run"]).exits(4);
    said.says("2 of 2 streams are missing in Redis; nothing was changed");
    assert_eq!(stage.server.hash(&stage.key()), []);

    let said = stage.run("rebuild", &[]).exits(0).says("published 2 of 2 streams");
    said.says("its process is gone without an end marker: published");
    let said = stage.run("audit", &[]).exits(0).says("EQUAL: 26 traces").says("cut off and given its end marker later");
    said.says("is running, not sealed in Redis").says("1,200");
    let before = stage.server.hash(&stage.key());
    stage.run("rebuild", &[]).exits(0).says("nothing was missing");
    assert_eq!(stage.server.hash(&stage.key()), before);

    stage.server.command(&["FLUSHALL"]);
    stage.run("rebuild", &["--seal"]).exits(0).says("published 2 of 2 streams").says(": sealed");
    assert_eq!(stage.state(), State::Sealed);
    stage.run("audit", &[]).exits(0).says("is sealed in Redis");
    stage.run("rebuild", &["--seal"]).exits(0).says("nothing was missing").says("was sealed before");
}

#[test]
fn a_redis_that_was_rolled_back_is_brought_up_to_date() {
    let stage = Stage::new([Played::of([interval(&[right(0, 0)])])]);
    stage.run("rebuild", &[]).exits(0);
    // As after the loss of the last second: the stream's first groups only.
    let old: Vec<(String, Vec<u8>)> = stage
        .server
        .hash(&stage.key())
        .into_iter()
        .filter(|(field, _)| !field.starts_with("e:"))
        .map(|(field, value)| if field.contains("q:") { (field, b"1".to_vec()) } else { (field, value) })
        .filter(|(field, _)| !field.starts_with("t:") && !field.starts_with("h:"))
        .collect();
    stage.server.set_hash(&stage.key(), &old);
    let said = stage.run("audit", &[]).exits(4).says("only up to group 1 of 3: `rebuild` publishes what is missing");
    said.says("DIFFERENT: 1 difference");
    stage.run("rebuild", &[]).exits(0).says("Redis holds it up to group 1 of 3: published");
    stage.run("audit", &[]).exits(0);
}

#[test]
fn a_redis_that_has_tallies_without_their_histograms_is_brought_up_to_date() {
    let stage = Stage::new([Played::usual()]);
    stage.run("rebuild", &[]).exits(0);
    // As when a generator was killed between a put of tallies and the next one of histograms.
    let old: Vec<(String, Vec<u8>)> = stage
        .server
        .hash(&stage.key())
        .into_iter()
        .filter(|(field, _)| !field.starts_with("e:") && !field.starts_with("h:"))
        .map(|(field, value)| if field.starts_with("hq:") { (field, b"1".to_vec()) } else { (field, value) })
        .collect();
    stage.server.set_hash(&stage.key(), &old);
    stage.run("audit", &[]).exits(4).says("only up to group 1 of 5").says("DIFFERENT: 1 difference");
    stage.run("rebuild", &[]).exits(0).says(": published");
    stage.run("audit", &[]).exits(0);
    // Of an end all histograms are there, whatever number they have.
    stage.server.command(&["HDEL", &stage.key(), &format!("hq:{STREAM}")]);
    let spans = stage.server.hash(&stage.key()).into_iter().filter(|(field, _)| field.starts_with("h:"));
    spans.for_each(|(field, _)| drop(stage.server.command(&["HDEL", &stage.key(), &field])));
    stage.run("audit", &[]).exits(4).says("latency[");
}

#[test]
fn rows_that_an_older_generator_put_are_audited_and_are_whole() {
    let stage = Stage::new(two());
    stage.run("rebuild", &["--seal"]).exits(0);
    // One text for each row, its histograms in it, and nothing that the older ones did not know.
    let fields = stage.server.hash(&stage.key());
    let old = fields.iter().filter(|(field, _)| !["h:", "hq:", "streams"].iter().any(|new| field.starts_with(new)));
    let old: Vec<(String, Vec<u8>)> = old
        .map(|(field, value)| {
            let Some(row) = field.strip_prefix("t:") else { return (field.clone(), value.clone()) };
            let (stream, name) = row.split_once(':').expect("a stream and a contestant");
            let mut row = Row::decode(std::str::from_utf8(value).expect("a text")).expect("a row");
            for span in 0..SPANS {
                let beside = format!("h:{stream}:{span}:{name}");
                if let Some((_, bytes)) = fields.iter().find(|(field, _)| *field == beside) {
                    row.merge_span(span, bytes).expect("a span");
                }
            }
            (field.clone(), row.encode().into_bytes())
        })
        .collect();
    assert!(old.len() + 4 < fields.len(), "there were histograms");
    stage.server.set_hash(&stage.key(), &old);
    stage.run("audit", &[]).exits(0).says("EQUAL");
    stage.run("rebuild", &["--seal"]).exits(0).says("nothing was missing");
}

#[test]
fn a_row_that_somebody_changed_is_named_with_contestant_and_field() {
    let stage = Stage::new([Played::usual()]);
    stage.run("rebuild", &[]).exits(0);
    let field = format!("t:{STREAM}:alice");
    let row = stage.server.hash(&stage.key()).into_iter().find(|(name, _)| *name == field).expect("a row").1;
    let row = String::from_utf8(row).expect("a text");
    // "due sent resent token_right ...": three right tokens become four.
    let forged = row.replacen("3 3 0 3", "3 3 0 4", 1);
    stage.server.command(&["HSET", &stage.key(), &field, &forged]);
    let said = stage.run("audit", &[]).exits(4);
    said.says("alice: the journal says token_right 3 at group 5, and Redis 4").says("┆ token_right │");
    // What is not newer is not taken, so publishing mends nothing here, and it says so.
    let said = stage.run("rebuild", &[]).exits(4);
    said.says("Redis says that it has all of it, but its row of alice is another");
}

#[test]
fn a_journal_that_lost_what_redis_counts_is_refused() {
    let stage = Stage::new([Played::usual()]);
    stage.run("rebuild", &[]).exits(0);
    let field = format!("q:{STREAM}");
    stage.server.command(&["HSET", &stage.key(), &field, "99"]);
    stage.run("audit", &[]).exits(4).says("up to group 99, and its journal ends at 5");
    stage.run("rebuild", &["--seal"]).exits(4).says("it has lost what Redis counts").says("not sealed");
}

#[test]
fn a_stream_without_a_journal_keeps_a_round_open_and_an_audit_different() {
    let stage = Stage::new([Played::usual()]);
    let stranger = StreamId::from_bits(7);
    stage.server.command(&["HSET", &stage.key(), "state", "running", &format!("q:{stranger}"), "4"]);
    stage.run("rebuild", &["--seal"]).exits(4).says("published 1 of 1").says(&format!("stream {stranger} did not end"));
    stage.run("audit", &[]).exits(4).says(&format!("counts stream {stranger} but its journal is not here"));
}

#[test]
fn a_sealed_round_is_only_compared() {
    let stage = Stage::new([Played::usual()]);
    stage.run("rebuild", &["--seal"]).exits(0);
    Played { stream: OTHER, ..Played::usual() }.write(stage.dir.path());
    let before = stage.server.hash(&stage.key());
    stage.run("rebuild", &[]).exits(4).says("the round takes no more points");
    assert_eq!(stage.server.hash(&stage.key()), before);
    stage.run("audit", &[]).exits(4).says("the round is sealed and does not change any more");
}

#[test]
fn damaged_streams_are_refused_and_the_others_go_on() {
    let stage = Stage::new(two());
    stage.damage(STREAM);
    let said = stage.run("rebuild", &["--seal"]).exits(4).says("refused: it is damaged at byte 8192");
    said.says("1 of 2 streams were refused, 1 were published").says("not sealed");
}

#[test]
fn a_stream_that_is_being_written_is_left_alone() {
    let stage = Stage::new([]);
    let (go, wait) = mpsc::channel::<()>();
    let (ready, started) = mpsc::channel();
    let dir = stage.dir.path().to_owned();
    let write = async move || {
        let played = Played::usual();
        let writer = Writer::create(&dir, ROUND, STREAM, &played.start()).await.expect("a stream");
        ready.send(()).expect("the test waits");
        let _ = wait.recv();
        drop(writer);
    };
    let live = std::thread::spawn(move || writer::spawn(None, write).expect("an executor").join());
    started.recv().expect("it has begun");
    stage.run("rebuild", &[]).exits(0).says("left alone: its generator lives");
    stage.run("audit", &[]).exits(0).says("is being written");
    // A roster too long for one command: some rows are newer than the number says.
    let fields = [format!("q:{STREAM}"), format!("p:{STREAM}"), format!("t:{STREAM}:alice")];
    let row = "1 1 0 1 0 1 0 1 0 0 0 0 0 0 0 0 0 200;192:1;190:1";
    let words = ["HSET", &stage.key(), "state", "running", &fields[0], "1", &fields[1], "2.1", &fields[2], row];
    stage.server.command(&words);
    stage.run("audit", &[]).exits(0).says("in parts just now; its rows there are not compared");
    stage.server.command(&["HSET", &stage.key(), &fields[1], ""]);
    stage.run("audit", &[]).exits(4).says("alice: the journal says due 0 at group 1, and Redis 1");
    stage.server.command(&["FLUSHALL"]);
    let report = finish_orphans(stage.dir.path(), &stage.redis()).expect("Redis answers");
    assert_eq!((report.complete, report.streams[0].action), (true, Action::Skipped));
    drop(go);
    live.join().expect("no panic").expect("it ends");
    // Its process is gone now.
    let report = finish_orphans(stage.dir.path(), &stage.redis()).expect("Redis answers");
    assert_eq!((report.complete, report.streams[0].action, report.streams[0].closed), (true, Action::Published, true));
    stage.run("audit", &[]).exits(0);
}

#[test]
fn a_folder_without_journals_has_no_orphans() {
    let stage = Stage::new([]);
    for dir in [stage.dir.path(), Path::new("/nowhere/at/all")] {
        assert!(finish_orphans(dir, &stage.redis()).expect("nothing to do").streams.is_empty());
    }
}

#[test]
fn a_stream_that_never_counted_needs_no_journal() {
    let stage = Stage::new([Played::usual()]);
    stage.run("rebuild", &[]).exits(0);
    stage.server.command(&["HSET", &stage.key(), &format!("q:{}", StreamId::from_bits(7)), "0"]);
    stage.run("audit", &[]).exits(0).says("which never counted anything; its journal is not here");
}

#[test]
fn a_journal_of_which_nothing_can_be_read_is_a_difference_while_redis_counts_it() {
    type Spoil = fn(&Path);
    let ways: [(&str, Spoil); 4] = [
        ("emptied", |segment| std::fs::write(segment, b"").expect("written")),
        ("removed", |segment| std::fs::remove_file(segment).expect("removed")),
        ("noise", |segment| {
            let len = std::fs::metadata(segment).expect("it is there").len();
            let noise: Vec<u8> = (0..len).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8 | 1).collect();
            std::fs::write(segment, noise).expect("written");
        }),
        ("without heads", |segment| {
            let mut bytes = std::fs::read(segment).expect("a segment");
            bytes.chunks_mut(4096).for_each(|block| block[..48].fill(0xff));
            std::fs::write(segment, bytes).expect("written");
        }),
    ];
    for (way, spoil) in ways {
        let stage = Stage::new([Played::usual()]);
        stage.run("rebuild", &["--seal"]).exits(0);
        stage.run("audit", &[]).exits(0);
        let segment = stage.dir.path().join(ROUND.to_string()).join(STREAM.to_string()).join("000000.ftj");
        spoil(&segment);
        for named in [&[][..], &["--contest", CONTEST]] {
            println!("{way}, {named:?}");
            stage.run("audit", named).exits(4).says("the journal has lost what Redis counts");
        }
    }
}

#[test]
fn a_journal_that_is_gone_is_a_difference_also_where_another_contest_is_named_and_where_its_folder_is_empty() {
    let stage = Stage::new([Played::usual()]);
    stage.run("rebuild", &["--seal"]).exits(0);
    let stream = stage.dir.path().join(ROUND.to_string()).join(STREAM.to_string());
    std::fs::write(stream.join("000000.ftj"), b"").expect("written");
    let said = stage.run("audit", &["--contest", "typed-wrong"]).exits(4);
    said.says("the journal has lost what Redis counts").says("and \"typed-wrong\" was named");
    // Nothing of it is left but the round's folder, beside another round.
    std::fs::remove_dir_all(&stream).expect("removed");
    let other = stage.dir.path().join(flowtest_contract::RoundId::from_bits(0xbeef).to_string());
    let unused = other.join(flowtest_contract::StreamId::from_bits(1).to_string());
    std::fs::create_dir_all(&unused).expect("a folder");
    std::fs::write(unused.join("000000.ftj"), b"").expect("written");
    let counted = format!("Redis counts stream {STREAM} but its journal is not here");
    stage.run("audit", &[]).exits(4).says(&counted);
    stage.run("audit", &["--contest", CONTEST]).exits(4).says(&counted);
}

#[test]
fn nothing_is_left_of_a_stream_and_nothing_is_sealed_without_it() {
    for alone in [true, false] {
        let stage = if alone { Stage::new([Played::usual()]) } else { Stage::new(two()) };
        let segment = stage.dir.path().join(ROUND.to_string()).join(STREAM.to_string()).join("000000.ftj");
        stage.run("rebuild", &[]).exits(0);
        std::fs::write(&segment, b"").expect("written");
        for words in [&[][..], &["--dry-run"], &["--seal"]] {
            println!("alone: {alone}, {words:?}");
            stage.run("rebuild", words).exits(4).says("it has lost what Redis counts");
        }
        assert_ne!(stage.state(), State::Sealed);
    }
    // Redis has forgotten it as well: nobody can say whether it ever began.
    let stage = Stage::new(two());
    let segment = stage.dir.path().join(ROUND.to_string()).join(STREAM.to_string()).join("000000.ftj");
    std::fs::write(&segment, b"").expect("written");
    let without = format!("--without {STREAM}");
    stage.run("rebuild", &["--seal"]).exits(4).says("nothing is left of stream").says(&without);
    assert_ne!(stage.state(), State::Sealed);
    stage.run("rebuild", &["--seal", "--without", &STREAM.to_string()]).exits(0).says(": sealed");
    assert_eq!(stage.state(), State::Sealed);
}

#[test]
fn an_end_in_redis_at_another_group_is_found() {
    let stage = Stage::new([Played::usual()]);
    stage.run("rebuild", &[]).exits(0);
    stage.server.command(&["HSET", &stage.key(), &format!("e:{STREAM}"), "4"]);
    let said = stage.run("audit", &[]).exits(4);
    said.says(&format!("Redis has the end of stream {STREAM} at group 4, and its journal ends at 5"));
}

#[test]
fn sums_that_redis_cannot_hold_are_refused() {
    let much = Interval { bytes: (1 << 53) - 1, ..interval(&[right(0, 0)]) };
    let stage = Stage::new([Played::of([much])]);
    stage.run("audit", &[]).exits(4).says("counts more than can be added for contestant 0");
    stage.run("rebuild", &[]).exits(4).says("refused: its sums are larger than Redis can hold");
}

#[test]
fn one_stream_that_redis_does_not_take_stops_no_other() {
    let twice = Played { names: vec!["alice", "alice"], ..Played::usual() };
    let stage = Stage::new([twice, Played { stream: OTHER, ..Played::usual() }]);
    let said = stage.run("rebuild", &[]).exits(4).says("refused: it did not reach Redis: the contestants cannot be");
    said.says("1 of 2 streams were refused, 1 were published");
}

#[test]
fn a_start_reads_nothing_of_what_redis_has_to_its_end() {
    let stage = Stage::new(two());
    stage.run("rebuild", &[]).exits(0);
    // Whoever reads it would complain.
    stage.damage(STREAM);
    for seal in [false, true] {
        if seal {
            Scoreboard::connect(&stage.server.url())
                .and_then(|mut redis| redis.seal_round(CONTEST, &ROUND, &[]))
                .expect("sealed");
        }
        let report = finish_orphans(stage.dir.path(), &stage.redis()).expect("Redis answers");
        let actions: Vec<Action> = report.streams.iter().map(|stream| stream.action).collect();
        assert_eq!((report.complete, actions), (true, vec![Action::None; 2]));
    }
    stage.run("rebuild", &[]).exits(4).says("refused: it is damaged");
}

#[test]
fn a_start_does_not_bring_back_a_round_that_was_over() {
    let stage = Stage::new([Played::usual(), Played { stream: OTHER, ..Played::usual() }]);
    let report = finish_orphans(stage.dir.path(), &stage.redis()).expect("Redis answers");
    assert_eq!(report.streams.iter().map(|stream| stream.action).collect::<Vec<_>>(), [Action::Skipped; 2]);
    assert!(report.streams[0].text.contains("`rebuild` brings it back"), "{}", report.streams[0].text);
    assert_eq!(stage.server.hash(&stage.key()), []);
    // Also when its start is too long for the first look at it.
    let long = Stage::new([Played { names: vec!["x"; 60_000], ..Played::usual() }]);
    let report = finish_orphans(long.dir.path(), &long.redis()).expect("Redis answers");
    assert_eq!(report.streams[0].action, Action::Skipped);
    // Where somebody was cut off the round is not over.
    let cut = Played { stream: StreamId::from_bits(7), end: None, ..Played::usual() };
    cut.write(stage.dir.path());
    let report = finish_orphans(stage.dir.path(), &stage.redis()).expect("Redis answers");
    assert_eq!((report.complete, report.count(Action::Published)), (true, 3));
    stage.run("audit", &[]).exits(0);
}

#[test]
fn two_that_find_the_same_orphans_do_not_hinder_each_other() {
    for _ in 0..5 {
        let stage = Stage::new(two());
        let reports: Vec<_> = std::thread::scope(|scope| {
            let finish = || finish_orphans(stage.dir.path(), &stage.redis()).expect("Redis answers");
            let both = [scope.spawn(finish), scope.spawn(finish)];
            both.map(|one| one.join().expect("no panic")).into()
        });
        assert_eq!(reports.iter().map(|report| report.count(Action::Refused)).sum::<usize>(), 0, "{reports:?}");
        stage.run("audit", &[]).exits(0).says("EQUAL: 26 traces");
    }
}

#[test]
fn the_chain_has_no_key_and_what_has_left_the_machine_tells_that_a_journal_was_written_anew() {
    let stage = Stage::new([Played::usual()]);
    stage.run("rebuild", &["--seal"]).exits(0);
    let audit = |code| {
        let report = stage.run("audit", &["--json", "-"]).exits(code).json();
        report["rounds"][0]["streams"][0]["chain"].as_str().expect("it is told").to_owned()
    };
    let before = audit(0);
    assert_eq!(audit(0), before);
    // Whoever may write there writes the same stream with one answer more, and digests that fit.
    std::fs::remove_dir_all(stage.dir.path().join(ROUND.to_string())).expect("it is ours");
    let mut forged = Played::usual();
    forged.intervals.push(interval(&[right(0, 320_000)]));
    forged.write(stage.dir.path());
    let dir = stage.dir.path().to_str().expect("UTF-8");
    run(&["audit", "--journal", dir]).exits(0).says("EQUAL: 14 traces");
    assert_ne!(audit(4), before, "and the sums in Redis differ");
}
