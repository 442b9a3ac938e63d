//! TLS from outside: a server's bytes, mangled in every way, end a connection at the most.

mod mangled;

use mangled::is_survived;
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_bytes_are_survived(cut: u8, bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        is_survived(&[&[cut, 9], &bytes[..]].concat());
    }

    #[test]
    fn a_server_of_which_some_bytes_are_changed_is_survived(
        cut: u8,
        version in 0u8..2,
        changes in proptest::collection::vec((0u16..1400, 1u8..=255), 0..4),
    ) {
        let mut places = changes;
        places.sort_unstable();
        let changes: Vec<u8> = places.iter().flat_map(|(at, by)| [at.to_be_bytes()[0], at.to_be_bytes()[1], *by]).collect();
        is_survived(&[&[cut, version], &changes[..]].concat());
    }
}

#[test]
fn records_of_every_kind_and_length_are_survived() {
    for kind in [0, 20, 21, 22, 23, 24, 255] {
        for len in [0u16, 1, 2, 4, 5, 40, 600, 16_384, 16_640, 18_432, 18_433, 65_535] {
            let record = [&[kind, 3, 3], &len.to_be_bytes()[..], &vec![kind; usize::from(len)]].concat();
            for cut in [0, 4, 255] {
                is_survived(&[&[cut, 9], &record[..]].concat());
            }
        }
    }
}

#[test]
fn what_the_fuzzer_begins_with_is_survived() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/tls");
    let seeds: Vec<_> = std::fs::read_dir(folder).expect("seeds").map(|seed| seed.expect("a seed").path()).collect();
    assert!(seeds.len() >= 4, "{seeds:?}");
    seeds.iter().for_each(|seed| is_survived(&std::fs::read(seed).expect("a seed")));
}
