//! A span: 64 neighbouring buckets of both histograms of a row, and the bytes that stand for them in Redis.
//!
//! Rows are put several times a second, and of a long round's 704 buckets few change in that time. So the tally of a row
//! stands alone, and each span that is not empty beside it, cumulative like everything else:
//!
//! ```text
//! which buckets of the latencies are not empty   8 bytes, little-endian; bit 0 is the span's first bucket
//! which of the service times                     8 bytes
//! their counts, latencies first                  each in 7 bits a byte, the least first, the top bit says that more follow
//! ```
//!
//! There is exactly one text of bytes for each span, and whatever else arrives is an error that names what is wrong.

use crate::Histogram;
use crate::histogram::BUCKETS;
use crate::row::{COUNT_MAX, Row, RowError};

/// Buckets of one span: two powers of two. Smaller ones have more name than bytes, larger ones more that did not change.
pub const SPAN_BUCKETS: usize = 64;
/// Spans of a row.
pub const SPANS: usize = BUCKETS / SPAN_BUCKETS;
/// No span has more bytes: two maps, and counts of at most 53 bits.
pub const SPAN_BYTES_MAX: usize = 2 * MAP_BYTES + 2 * SPAN_BUCKETS * 53usize.div_ceil(7);

const MAP_BYTES: usize = 8;

const _: () = assert!(SPANS * SPAN_BUCKETS == BUCKETS);
const _: () = assert!(SPAN_BUCKETS == 8 * MAP_BYTES);

impl Row {
    /// Whether both rows have the same counts in a span.
    ///
    /// # Panics
    /// Where there is no such span.
    pub fn has_same_span(&self, other: &Row, span: usize) -> bool {
        buckets(&self.latency, span) == buckets(&other.latency, span)
            && buckets(&self.service, span) == buckets(&other.service, span)
    }

    /// The bytes of a span; `None` when nothing was counted in it.
    ///
    /// # Panics
    /// Where there is no such span.
    pub fn encode_span(&self, span: usize) -> Option<Vec<u8>> {
        let both = [buckets(&self.latency, span), buckets(&self.service, span)];
        let maps = both
            .map(|counts| counts.iter().enumerate().fold(0u64, |map, (bit, count)| map | u64::from(*count > 0) << bit));
        if maps == [0, 0] {
            return None;
        }
        let mut bytes = Vec::with_capacity(256);
        maps.iter().for_each(|map| bytes.extend_from_slice(&map.to_le_bytes()));
        both.into_iter().flatten().filter(|count| **count > 0).for_each(|count| push_count(&mut bytes, *count));
        Some(bytes)
    }

    /// Adds a span, as [`Row::encode_span`] wrote it, to this row's histograms. After an error they are as they were.
    ///
    /// # Errors
    /// [`RowError::Span`] says what makes no sense, [`RowError::Sum`] that all of a histogram would pass [`COUNT_MAX`].
    pub fn merge_span(&mut self, span: usize, bytes: &[u8]) -> Result<(), RowError> {
        if span >= SPANS {
            return Err(RowError::Span("there is none of this number"));
        }
        let [latency, service] = decode(bytes)?;
        for (histogram, counts) in [(&self.latency, &latency), (&self.service, &service)] {
            // At most 64 counts of 53 bits, and a histogram saturates: no sum overflows.
            let sum = counts.iter().fold(histogram.count(), |sum, count| sum.saturating_add(*count));
            if sum > COUNT_MAX {
                return Err(RowError::Sum);
            }
        }
        for (histogram, counts) in [(&mut self.latency, latency), (&mut self.service, service)] {
            for (index, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                let added = histogram.add_bucket(span * SPAN_BUCKETS + index, count);
                debug_assert!(added, "the sum of all was small enough");
            }
        }
        Ok(())
    }
}

fn buckets(histogram: &Histogram, span: usize) -> &[u64] {
    &histogram.counts()[span * SPAN_BUCKETS..(span + 1) * SPAN_BUCKETS]
}

fn push_count(bytes: &mut Vec<u8>, mut count: u64) {
    while count >= 0x80 {
        bytes.push(count as u8 | 0x80);
        count >>= 7;
    }
    bytes.push(count as u8);
}

/// The counts of both histograms.
fn decode(bytes: &[u8]) -> Result<[[u64; SPAN_BUCKETS]; 2], RowError> {
    const SHORT: RowError = RowError::Span("it ends too early");
    let (latency, rest) = bytes.split_first_chunk::<MAP_BYTES>().ok_or(SHORT)?;
    let (service, mut rest) = rest.split_first_chunk::<MAP_BYTES>().ok_or(SHORT)?;
    let maps = [u64::from_le_bytes(*latency), u64::from_le_bytes(*service)];
    if maps == [0, 0] {
        return Err(RowError::Span("it is empty"));
    }
    let mut both = [[0; SPAN_BUCKETS]; 2];
    for (counts, map) in both.iter_mut().zip(maps) {
        for (bit, count) in counts.iter_mut().enumerate() {
            if map >> bit & 1 == 1 {
                (*count, rest) = take_count(rest)?;
            }
        }
    }
    if rest.is_empty() { Ok(both) } else { Err(RowError::Span("it has bytes behind its last count")) }
}

/// The first count of these bytes, and what follows it.
fn take_count(bytes: &[u8]) -> Result<(u64, &[u8]), RowError> {
    let mut count = 0u64;
    for (index, byte) in bytes.iter().enumerate() {
        let shift = 7 * index as u32;
        if shift >= u64::BITS - 8 {
            break;
        }
        count |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // A last byte of nothing is one too many, or a count of nothing.
            return if *byte == 0 {
                Err(RowError::Span("a count is zero or written too long"))
            } else if count > COUNT_MAX {
                Err(RowError::Span("a count is too large"))
            } else {
                Ok((count, &bytes[index + 1..]))
            };
        }
    }
    Err(RowError::Span("a count does not end"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Row> {
        let histogram = || {
            btree_map(0..BUCKETS, 1u64..1 << 44, 0..200).prop_map(|buckets| {
                let mut histogram = Histogram::default();
                buckets.into_iter().for_each(|(bucket, count)| assert!(histogram.add_bucket(bucket, count)));
                histogram
            })
        };
        (histogram(), histogram()).prop_map(|(latency, service)| Row { latency, service, ..Row::default() })
    }

    fn example() -> Row {
        let mut row = Row::default();
        row.latency.add_bucket(64, 2);
        row.latency.add_bucket(127, 300);
        row.service.add_bucket(65, COUNT_MAX / 2);
        row
    }

    const EXAMPLE: [u8; 27] = [
        1, 0, 0, 0, 0, 0, 0, 0x80, // latencies: the first and the last bucket
        2, 0, 0, 0, 0, 0, 0, 0, // service times: the second
        2, 0xac, 2, // 2 and 300
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x07, // 52 bits
    ];

    #[test]
    fn the_bytes_are_as_published() {
        assert_eq!(example().encode_span(1).as_deref(), Some(&EXAMPLE[..]));
        let others = (0..SPANS).filter(|span| *span != 1);
        assert!(others.into_iter().all(|span| example().encode_span(span).is_none()));
        let mut row = Row::default();
        row.merge_span(1, &EXAMPLE).expect("a span");
        assert_eq!(row, example());
    }

    #[test]
    fn junk_is_an_error_that_names_what_is_wrong() {
        let maps = |latency: u8, service: u8| -> Vec<u8> {
            [[latency, 0, 0, 0, 0, 0, 0, 0], [service, 0, 0, 0, 0, 0, 0, 0]].concat()
        };
        let with = |counts: &[u8]| [maps(1, 0).as_slice(), counts].concat();
        // (bytes, what is wrong)
        let cases = [
            (vec![], "it ends too early"),
            (maps(1, 0)[..15].to_vec(), "it ends too early"),
            (maps(0, 0), "it is empty"),
            (maps(1, 0), "a count does not end"),
            (with(&[0x80]), "a count does not end"),
            (with(&[0xff; 12]), "a count does not end"),
            (with(&[0]), "a count is zero or written too long"),
            (with(&[0x81, 0]), "a count is zero or written too long"),
            // 2^53
            (with(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]), "a count is too large"),
            (with(&[1, 1]), "it has bytes behind its last count"),
        ];
        for (bytes, wrong) in cases {
            let mut row = example();
            assert_eq!(row.merge_span(0, &bytes), Err(RowError::Span(wrong)), "{bytes:?}");
            assert_eq!(row, example());
        }
        assert_eq!(Row::default().merge_span(SPANS, &EXAMPLE), Err(RowError::Span("there is none of this number")));
    }

    #[test]
    fn a_sum_that_is_too_large_changes_nothing() {
        let mut row = Row::default();
        row.service.add_bucket(700, COUNT_MAX / 2 + 2);
        let before = row.clone();
        assert_eq!(row.merge_span(1, &EXAMPLE), Err(RowError::Sum));
        assert_eq!(row, before);
    }

    proptest! {
        #[test]
        fn a_row_is_its_tally_and_its_spans(row in rows()) {
            let mut read = Row::decode(&row.encode_tally()).expect("a row");
            for span in 0..SPANS {
                if let Some(bytes) = row.encode_span(span) {
                    prop_assert!(bytes.len() <= SPAN_BYTES_MAX);
                    read.merge_span(span, &bytes).expect("a span");
                }
                prop_assert!(row.has_same_span(&read, span));
            }
            prop_assert_eq!(read, row);
        }

        #[test]
        fn there_is_one_text_of_bytes_for_each_span(latency in any::<u8>(), service in any::<u8>(), counts in vec(any::<u8>(), 0..24)) {
            let bytes = [&[0, latency, 0, 0, 0, 0, 0, 0][..], &[service, 0, 0, 0, 0, 0, 0, 0], &counts].concat();
            let mut row = Row::default();
            if row.merge_span(3, &bytes).is_ok() {
                prop_assert_eq!(row.encode_span(3), Some(bytes));
            }
        }
    }
}
