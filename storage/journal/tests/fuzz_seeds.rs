//! The fuzzers' properties, on the inputs that are worth keeping and on all that a few changes make of them.

mod common;
mod harness;

use common::Rng;
use std::path::PathBuf;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let list = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    list.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("reads")).collect()
}

#[test]
fn kept_inputs_hold() {
    let (segments, records) = (seeds("segment"), seeds("records"));
    assert!(segments.len() + records.len() >= 4, "the seeds are there");
    segments.iter().for_each(|input| harness::segment(input));
    for input in &records {
        harness::records(input);
    }
}

#[test]
fn records_with_valid_checksums_are_given_or_damage() {
    let inputs = harness::golden_inputs();
    assert!(inputs.len() >= 3);
    let mut rng = Rng(8);
    for input in &inputs {
        assert!(harness::records(input), "what was written is given");
        for _ in 0..500 {
            let mut changed = input.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(changed.len() as u64) as usize;
                changed[at] = rng.next() as u8;
            }
            harness::records(&changed);
        }
    }
}

#[test]
fn a_record_of_a_kind_to_come_is_damage() {
    assert!(!harness::records(&[250, 4, 0, 1, 2, 3, 4]));
}

#[test]
#[ignore = "writes the first inputs of the fuzzers"]
fn make_the_first_inputs() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (number, input) in harness::golden_inputs().iter().enumerate() {
        std::fs::create_dir_all(dir.join("records")).expect("a folder");
        std::fs::write(dir.join(format!("records/golden-{number}")), input).expect("writes");
    }
    let golden = dir.join("../../tests/golden/v1/0123456789abcdef0123456789abcdef/fedcba9876543210fedcba9876543210");
    std::fs::create_dir_all(dir.join("segment")).expect("a folder");
    for index in 0..2 {
        std::fs::copy(golden.join(format!("{index:06}.ftj")), dir.join(format!("segment/golden-{index}")))
            .expect("copies");
    }
}
