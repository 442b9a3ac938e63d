//! Rounds, and what is decided in them, in Redis as this program and those before it put them: whatever was put once is read the same for ever.
//!
//! A line of a golden file is a field of the round's hash and its value, in hexadecimal digits where the field is one of
//! histograms. The files are never changed; a new form gets a new one.

use flowtest_contest::State;
use flowtest_contest::breakpoint::{Climber, Decision, HoldSums};
use flowtest_contest::ladder::{HoldVerdict, Trial};
use flowtest_contract::row::Row;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::span::SPANS;
use flowtest_contract::{StreamId, Tally};
use flowtest_scoreboard::{RoundTotals, RoundValidity};

const STREAM: &str = "0123456789abcdef0123456789abcdef";

/// What both files say.
fn alice() -> Row {
    let mut row = Row::default();
    row.tally = Tally {
        due: 1000,
        sent: 999,
        resent: 2,
        token_right: 990,
        token_wrong: 5,
        version_right: 995,
        from_right: 900,
        from_wrong: 95,
        timeout: 3,
        missed: 1,
        own_fault: 1,
        bytes: 225_865,
        ..row.tally
    };
    [(0, 1), (63, 2), (64, 127), (127, 128), (300, 9_007_199_254_000_000), (703, 3)]
        .iter()
        .for_each(|(bucket, count)| assert!(row.latency.add_bucket(*bucket, *count)));
    row.service.add_bucket(65, 999);
    row
}

fn fields(golden: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let hex = |text: &str| -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
        (0..text.len()).step_by(2).map(byte).collect()
    };
    let field = |line: &str| {
        let (field, value) = line.split_once('=').expect("a field and its value");
        let value = if field.starts_with("h:") { hex(value) } else { value.as_bytes().to_vec() };
        (field.as_bytes().to_vec(), value)
    };
    golden.lines().map(field).collect()
}

fn totals(golden: &str) -> RoundTotals {
    let fields = fields(golden);
    let fields = fields.iter().map(|(field, value)| (field.as_slice(), value.as_slice()));
    RoundTotals::from_fields(fields, None).expect("a round")
}

#[test]
fn rows_with_their_histograms_are_read_as_ever() {
    let totals = totals(include_str!("golden/round-1.txt"));
    assert_eq!((totals.state, totals.junk.as_slice()), (State::Sealed, &[][..]));
    let stream: StreamId = STREAM.parse().expect("an id");
    assert_eq!((totals.streams[0].id, totals.streams[0].seq, totals.streams[0].ended), (stream, 42, true));
    assert_eq!(totals.contestants["alice"], alice());
    assert_eq!(totals.contestants["bob"], Row::default());
}

#[test]
fn rows_with_histograms_beside_them_are_read_as_ever() {
    let totals = totals(include_str!("golden/round-2.txt"));
    assert_eq!((totals.state, totals.junk.as_slice()), (State::Sealed, &[][..]));
    let stream = totals.streams[0];
    assert_eq!((stream.seq, stream.histograms_seq, stream.ended), (42, 42, true));
    assert_eq!(totals.contestants["alice"], alice());
    assert_eq!(totals.contestants["bob"], Row::default());
}

#[test]
fn how_much_is_valid_is_read_as_ever_and_with_how_long_was_late() {
    let said = RoundValidity { seconds: 60, valid_seconds: 59, due: 6_000, void: 7, late_ms: 0 };
    for (golden, late_ms) in [(include_str!("golden/round-3.txt"), 0), (include_str!("golden/round-4.txt"), 420)] {
        let totals = totals(golden);
        assert!(totals.junk.is_empty(), "{:?}", totals.junk);
        assert_eq!(totals.streams[0].validity, Some(RoundValidity { late_ms, ..said }));
    }
}

#[test]
fn what_is_put_is_as_published() {
    let fields = fields(include_str!("golden/round-2.txt"));
    let value =
        |name: &str| fields.iter().find(|(field, _)| field == name.as_bytes()).map(|(_, value)| value.as_slice());
    assert_eq!(value(&format!("t:{STREAM}:alice")), Some(alice().encode_tally().as_bytes()));
    for span in 0..SPANS {
        assert_eq!(value(&format!("h:{STREAM}:{span}:alice")), alice().encode_span(span).as_deref(), "{span}");
    }
}

#[test]
fn a_decision_is_put_as_published_and_that_of_before_is_read() {
    let failed = HoldVerdict::FailedByVerified;
    let sums = HoldSums { due: 5_625, verified: 5_000, own_fault: 1, late: 2, p99_us: Some(9_000), unsettled: false };
    let climber = Climber {
        contestant: "alice".to_owned(),
        tried: 625,
        sums,
        verdict: Some(failed),
        rate: 250,
        trial: Some(Trial::Rest),
        rest: 250,
        holds: 500,
        holds_p99_us: Some(1_200),
        holds_since: Some(6),
        breaks_at: Some(625),
        breaks_by: Some(failed),
        unbroken: None,
        is_searched: true,
    };
    let (from, to) = (UtcUs(1_796_119_200_000_000), UtcUs(1_796_119_209_000_000));
    let decision = Decision { step: 8, judged: 7, from, to, climbers: vec![climber] };
    let golden = include_str!("golden/decision-2.json");
    assert_eq!(serde_json::to_value(&decision).ok(), serde_json::from_str(golden).ok());
    for golden in [include_str!("golden/decision-1.json"), golden] {
        assert_eq!(serde_json::from_str::<Decision>(golden).ok().as_ref(), Some(&decision));
    }
}
