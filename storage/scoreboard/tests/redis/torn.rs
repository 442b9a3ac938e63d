//! Power cuts tear the end of the append-only file anywhere, also inside a command. Sums must not care.

use crate::stage::{CONTEST, NAMES, Stage, rows, wait_for_put};
use flowtest_contract::Row;
use flowtest_scoreboard::{Publisher, Scoreboard};
use flowtest_testkit::RedisServer;

/// Places at which the file is torn. The full count belongs to the long tests.
const TEARS: usize = 24;

#[test]
fn a_file_torn_anywhere_heals_to_the_same_sums() {
    // A history with changes and whole puts of tallies and histograms, and the library at its start.
    let mut stage = Stage::new();
    let config = stage.config(&NAMES);
    let publisher = Publisher::start(config.clone()).expect("a publisher");
    for seq in 1..=4 {
        publisher.publish(seq, rows(seq * 10));
        wait_for_put(&publisher, seq);
    }
    drop(publisher);
    stage.server.kill();
    let path = stage.server.append_only_file();
    let whole = std::fs::read(&path).expect("the file");
    // From the end backwards, denser there, since that is where files tear; the first one loses the library too.
    let places = (0..TEARS).map(|index| whole.len() - (whole.len() * index * index) / ((TEARS - 1) * (TEARS - 1)));
    for place in places {
        std::fs::write(&path, &whole[..place]).expect("the file is ours");
        stage.server.restart();
        heals(&stage.server, &stage, config.clone(), place);
        stage.server.kill();
    }
}

/// What is left is the past, but one moment of it: all tallies as they were at the number that Redis names, and all
/// histograms as they were at theirs.
fn holds_one_moment(stage: &Stage, place: usize) {
    let Ok(totals) = stage.scoreboard().read_round(CONTEST, &stage.round) else { return };
    let (seq, histograms_seq) = totals.streams.first().map_or((0, 0), |stream| (stream.seq, stream.histograms_seq));
    assert_eq!(totals.junk, Vec::<String>::new(), "torn at byte {place}");
    if seq == 0 {
        assert!(totals.contestants.is_empty(), "torn at byte {place}");
        return;
    }
    for (index, name) in NAMES.iter().enumerate() {
        let (tally, histograms) = (&rows(seq * 10)[index], &rows(histograms_seq * 10)[index]);
        let expected = Row { tally: tally.tally, ..histograms.clone() };
        let found = totals.contestants.get(*name).cloned().unwrap_or_default();
        assert_eq!(found, expected, "{name} at numbers {seq} and {histograms_seq}, torn at byte {place}");
    }
}

/// The same stream goes on publishing: as the process would, which outlives its Redis.
fn heals(server: &RedisServer, stage: &Stage, config: flowtest_scoreboard::PublisherConfig, place: usize) {
    let mut scoreboard = Scoreboard::connect(&server.url()).expect("Redis answers");
    holds_one_moment(stage, place);
    // What the file lost may be the round itself. Its creator outlives Redis as well.
    scoreboard.open_round(CONTEST, &stage.round).expect("a round");
    let publisher = Publisher::start(config).expect("a publisher");
    publisher.publish(5, rows(41));
    wait_for_put(&publisher, 5);
    let totals = scoreboard.read_round(CONTEST, &stage.round).expect("the round");
    for (name, row) in NAMES.iter().zip(rows(41).iter()) {
        assert_eq!(&totals.contestants[*name], row, "{name}, torn at byte {place}");
    }
    assert_eq!(totals.junk, Vec::<String>::new(), "torn at byte {place}");
}
