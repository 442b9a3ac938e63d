//! What no reader would take is not written: the writer asks the reader's questions first.

mod common;

use common::Owned;
use flowtest_contract::{RoundId, StreamId, Tally};
use flowtest_journal::JournalError;
use flowtest_journal::log::Log;
use flowtest_journal::record::{Batch, End, Entry, Evidence, Join, Start, Terms, Trace, Traces, bucket};

fn new_log() -> Log {
    Log::begin(RoundId::from_bits(1), StreamId::from_bits(2))
}

/// A stream of two contestants whose start is written.
fn log_of_two() -> Log {
    let mut log = new_log();
    log.append_start(&common::start(["alice", "bob"])).expect("a start");
    log.plan(0).expect("a group");
    log.committed();
    log
}

fn entry(contestant: u16, scored: u8, latency: u16) -> Entry {
    Entry { counters: [1; Tally::LEN_FIRST], contestant, scored, latency, service: 0 }
}

fn batch(entries: Vec<Entry>, buckets: Vec<u64>) -> Owned {
    Owned::Batch(Batch { from: 1, to: 2, entries, buckets, ..Batch::default() })
}

fn trace(contestant: u16, observed: u16) -> Owned {
    Owned::Traces(Traces { base: 0, worker: 0, traces: vec![Trace { contestant, observed, ..Trace::default() }] })
}

#[test]
fn what_makes_sense_is_taken() {
    let good = [
        batch(vec![], vec![]),
        batch(vec![entry(0, 1, 0), entry(0, 0, 0), entry(1, 0, 0)], vec![]),
        batch(vec![entry(0, 1, 2), entry(1, 1, 1)], vec![bucket(0, 1), bucket(703, 5), bucket(9, 1)]),
        trace(1, common::answered()),
        Owned::Evidence(Evidence { contestant: 1, ..Evidence::default() }),
    ];
    let mut log = log_of_two();
    for record in good {
        common::append(&mut log, &record).unwrap_or_else(|error| panic!("{record:?}: {error}"));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let unreal = 1 << 15;
    let wrong = [
        // a contestant who is not in the roster
        batch(vec![entry(2, 1, 0)], vec![]),
        trace(2, common::answered()),
        Owned::Evidence(Evidence { contestant: 2, ..Evidence::default() }),
        // twice, and out of order: by contestant, scored before unscored
        batch(vec![entry(0, 1, 0), entry(0, 1, 0)], vec![]),
        batch(vec![entry(1, 1, 0), entry(0, 1, 0)], vec![]),
        batch(vec![entry(0, 0, 0), entry(0, 1, 0)], vec![]),
        // neither yes nor no
        batch(vec![entry(0, 2, 0)], vec![]),
        // fewer buckets than the entries say, and more
        batch(vec![entry(0, 1, 2)], vec![bucket(0, 1)]),
        batch(vec![entry(0, 1, 0)], vec![bucket(0, 1)]),
        // a bucket twice, out of order, that does not exist, that is empty
        batch(vec![entry(0, 1, 2)], vec![bucket(1, 1), bucket(1, 1)]),
        batch(vec![entry(0, 1, 2)], vec![bucket(2, 1), bucket(1, 1)]),
        batch(vec![entry(0, 1, 1)], vec![bucket(704, 1)]),
        batch(vec![entry(0, 1, 1)], vec![bucket(1, 0)]),
        // time runs backwards
        Owned::Batch(Batch { from: 2, to: 1, ..Batch::default() }),
        // bits that no version up to this one writes
        trace(0, unreal),
        Owned::Evidence(Evidence { observed: unreal, ..Evidence::default() }),
        // a second start
        Owned::Start(common::start(["alice", "bob"])),
    ];
    let mut log = log_of_two();
    for record in wrong {
        let error = common::append(&mut log, &record).expect_err("no reader would take it");
        assert!(matches!(error, JournalError::Refused { .. }), "{record:?}: {error}");
        assert_eq!(log.open_bytes(), 0, "{record:?}");
    }
}

#[test]
fn who_has_joined_is_in_the_roster_from_then_on() {
    let mut log = log_of_two();
    let of_the_third = batch(vec![entry(2, 1, 0)], vec![]);
    assert!(matches!(common::append(&mut log, &of_the_third), Err(JournalError::Refused { .. })));
    let nameless = Owned::Join(Join { at: 1, name: vec![0xff] });
    assert!(matches!(common::append(&mut log, &nameless), Err(JournalError::Refused { .. })), "no UTF-8");
    common::append(&mut log, &Owned::Join(Join { at: 1, name: b"carol".to_vec() })).expect("she joins");
    common::append(&mut log, &of_the_third).expect("she counts");
    common::append(&mut log, &trace(3, common::answered())).expect_err("nobody else does");
}

#[test]
fn a_stream_begins_with_one_start_that_is_one() {
    let refused = |start: &Start| matches!(new_log().append_start(start), Err(JournalError::Refused { .. }));
    let good = common::start(["alice"]);
    assert!(!refused(&good));
    assert!(refused(&Start { name_lens: vec![6], ..good.clone() }), "a name is cut short");
    assert!(refused(&Start { name_lens: vec![4], ..good.clone() }), "bytes are left over");
    assert!(refused(&Start { names: vec![0xff; 5], ..good.clone() }), "no UTF-8");
    assert!(refused(&Start { terms: Terms { token_required: 2, ..good.terms }, ..good.clone() }));
    assert!(matches!(new_log().append_end(&End { at: 1, code: 1 }), Err(JournalError::Refused { .. })));
    let mut log = new_log();
    log.append_start(&good).expect("a start");
    log.append_end(&End { at: 1, code: 1 }).expect("seen only when the group is closed");
    assert!(matches!(log.plan(0), Err(JournalError::Refused { .. })), "the start stands alone in its group");
}

#[test]
fn nothing_stands_behind_the_end() {
    let mut log = log_of_two();
    log.append_end(&End { at: 1, code: 1 }).expect("an end");
    assert!(matches!(common::append(&mut log, &batch(vec![], vec![])), Err(JournalError::Refused { .. })));
    log.plan(0).expect("a group");
    log.committed();
    assert!(log.is_ended());
    assert!(matches!(common::append(&mut log, &batch(vec![], vec![])), Err(JournalError::Refused { .. })));
}
