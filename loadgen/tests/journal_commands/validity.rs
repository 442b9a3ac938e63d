//! Whether `audit` finds what a generator says of its seconds that cannot be so.

use crate::played::{BASE, Exchange, Interval, Played, ROUND, STREAM, failed, right};
use crate::rebuilding::Stage;
use flowtest_contest::Contest;
use flowtest_contract::{Failure, Rules};
use flowtest_journal::record::LateCause;
use flowtest_scoreboard::keys;

const SECONDS: u64 = 4;
const MS: u64 = 1_000;

/// Four seconds with 200 requests each. `gaps`: when the worker stood still, from and to in ms.
fn played(phase: &str, gaps: &[(u64, u64)]) -> Played {
    played_for(SECONDS, phase, gaps, 5, 100)
}

/// So many seconds with a request every so many ms, in batches of so many ms.
fn played_for(seconds: u64, phase: &str, gaps: &[(u64, u64)], every_ms: usize, batch_ms: u64) -> Played {
    let text = format!(
        "name = \"finals\"\n[[phase]]\nfor = \"{seconds}s\"\n{phase}\n[[contestant]]\nname = \"alice\"\nendpoint = \"10.0.0.1\"\n"
    );
    let contest = Contest::from_toml(&text).expect("a contest");
    let mut intervals = vec![Interval::default(); (seconds * 1_000 / batch_ms + 1) as usize];
    for (from, to) in gaps {
        intervals[(to / batch_ms) as usize].windows.push((from * MS, to * MS, LateCause::Gap));
    }
    for due in (0..seconds * 1_000).step_by(every_ms) {
        let gap = gaps.iter().find(|(from, to)| (*from..*to).contains(&due));
        let sent = gap.map_or(due, |(_, to)| *to);
        let lag_us = ((sent - due) * MS) as u32 + 50;
        let exchange = right(0, (sent * MS + 50) as i32);
        intervals[(sent / batch_ms) as usize].exchanges.push(Exchange {
            lag_us,
            latency_us: lag_us + 1_000,
            ..exchange
        });
    }
    Played {
        program: format!("{{\"starts_at\":{BASE},\"cores\":[0]}}"),
        document: contest.to_json().to_string(),
        interval_us: batch_ms * MS,
        ..Played::of(intervals)
    }
}

const OPEN: &str = "rate = 200\nconnections = 9";
const CLOSED: &str = "connections = 9";
const GAPS: [(u64, u64); 3] = [(300, 600), (1_300, 1_600), (2_300, 2_600)];

/// What an audit says where Redis holds these counts: seconds, valid ones, due, void, and for how long they were late, which older
/// generators do not say.
#[track_caller]
fn audits(stage: &Stage, word: &str, code: i32, part: &str) {
    let field = format!("v:{STREAM}");
    stage.server.command(&["HSET", &stage.key(), &field, word]);
    stage.run("audit", &[]).exits(code).says(part);
}

#[test]
fn a_generator_that_calls_seconds_valid_in_which_it_stood_still_is_found() {
    for phase in [OPEN, CLOSED] {
        let stage = Stage::new([played(phase, &GAPS)]);
        stage.run("rebuild", &[]).exits(0);
        stage.run("audit", &[]).exits(0);
        audits(
            &stage,
            "4 1 800 0",
            0,
            "1 of 4 scored seconds are valid; by its late windows and traces 3 to 4 are not",
        );
        audits(&stage, "4 4 800 0", 4, "4 of 4 scored seconds are valid: 3 of them were not");
        audits(&stage, "8 4 800 0", 4, "it counts 8 scored seconds, and its plan has 4");
        audits(&stage, "4 5 800 0", 4, "5 of 4 scored seconds are valid: more than there were");
        // For how long they were late, where it is said: three gaps of 300 ms, and no more than 10 ms of a second that is valid.
        audits(&stage, "4 1 800 0 3000", 0, "1 of 4 scored seconds are valid");
        audits(&stage, "4 1 800 0 900", 0, "1 of 4 scored seconds are valid");
        for late_ms in [0, 600, 999_999] {
            audits(&stage, &format!("4 1 800 0 {late_ms}"), 4, &format!("it says that {late_ms} ms of them were late"));
        }
        audits(&stage, "4 1 800", 4, "is no five counts");
        let report = stage.run("audit", &["--json", "-"]).exits(4).json();
        let stream = &report["rounds"][0]["streams"][0];
        assert_eq!((&stream["seconds"], &stream["invalid_least"]), (&SECONDS.into(), &3.into()), "{stream}");
    }
}

#[test]
fn what_no_window_bears_is_found_and_so_is_what_the_batches_count_otherwise() {
    let mut flawed = played(OPEN, &[]);
    // One is void, and its worker says so.
    flawed.intervals[20].exchanges[3] = failed(0, 2_015_000, Failure::OwnFault);
    for (played, void) in [(played(OPEN, &[]), 0), (flawed, 1)] {
        let stage = Stage::new([played]);
        stage.run("rebuild", &[]).exits(0);
        audits(&stage, &format!("4 4 800 {void}"), 0, "EQUAL");
        if void == 0 {
            audits(&stage, "4 4 800 0 40", 0, "EQUAL");
            audits(
                &stage,
                "4 4 800 0 41",
                4,
                "41 ms of them were late, and by its late windows and traces it was 0 to 40",
            );
        }
        audits(&stage, "4 4 800 7", 4, &format!("7 that are void, and its batches 800 and {void}"));
        audits(&stage, &format!("4 4 900 {void}"), 4, "it counts 900 requests that fell due");
        if void == 0 {
            audits(&stage, "4 0 800 0", 4, "0 of 4 scored seconds are valid: no more than 0 lie near a late window");
        } else {
            audits(&stage, "4 4 800 0", 4, "and 0 that are void, and its batches 800 and 1");
            // As when its journal was published without it.
            audits(&stage, "3 3 600 0", 0, "3 of 3 scored seconds are valid, before it ended");
        }
    }
}

#[test]
fn a_disk_that_takes_seconds_for_a_batch_makes_no_second_certainly_late() {
    // A few of 500 are late in two of the seconds in which no batch has its middle.
    let gaps = [(2_402, 2_417), (4_402, 4_417)];
    let stage = Stage::new([played_for(8, "rate = 500\nconnections = 9", &gaps, 2, 2_000)]);
    stage.run("rebuild", &[]).exits(0);
    audits(&stage, "8 8 4000 0", 0, "EQUAL");
}

#[test]
fn what_a_pause_of_ours_made_void_may_end_a_timeout_later() {
    let one = played_for(40, OPEN, &[(300, 600)], 5, 100);
    for (timeout_us, code, part) in
        [(3_000_000, 4, "no more than 7 lie near a late window"), (30_000_000, 0, "10 of 40 scored seconds are valid")]
    {
        let rules = Rules { timeout_us, ..Rules::default() };
        let stage = Stage::new([Played { rules, ..one.clone() }]);
        stage.run("rebuild", &[]).exits(0);
        audits(&stage, "40 10 8000 0", code, part);
    }
}

#[test]
fn where_nobody_says_when_a_stream_began_nothing_is_held_against_its_word() {
    let old = Played { program: "{}".to_owned(), ..played(OPEN, &GAPS) };
    let stage = Stage::new([old]);
    stage.run("rebuild", &[]).exits(0);
    assert_eq!(stage.key(), keys::round("finals", &ROUND));
    audits(&stage, "4 4 800 0", 0, "EQUAL");
}
