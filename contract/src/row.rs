//! What one stream counted for one contestant since its start, and its text in Redis.
//!
//! The text is the integers of the tally in their published order, then the two histograms, each a list of
//! `bucket:count` in rising order, parted by semicolons:
//!
//! ```text
//! 3 3 0 3 0 3 0 3 0 0 0 0 0 0 0 0 0 681;31:2 40:1;31:3
//! ```
//!
//! Counters that came later than the first 18 are left out from the last one on that is not zero, so that a row without
//! them is the row that it was before there were any.
//!
//! There is exactly one text for each row, and whatever else arrives is an error that names what is wrong.
//!
//! Rows in Redis leave the two lists empty: their histograms stand beside them, in [spans](crate::span). One whose lists are
//! not empty is of an older generator, and all there is of it.

use crate::{Histogram, Tally};
use std::fmt::Write;

/// No counter is larger, alone or summed: every reader, JavaScript included, holds it exactly, and no sum of the
/// counters of a tally overflows.
pub const COUNT_MAX: u64 = (1 << 53) - 1;

const _: () = assert!((COUNT_MAX as u128) * (Tally::LEN as u128) < u64::MAX as u128);

/// Cumulative counters of one contestant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub tally: Tally,
    /// From the intended instant to the whole answer.
    pub latency: Histogram,
    /// From the actual send to the whole answer.
    pub service: Histogram,
}

/// Text that is no row, or rows whose sum is too large.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    #[error("a row has 3 parts divided by semicolons, this one has {0}")]
    Parts(usize),
    #[error("a row has {first} to {all} counters, this one has {0}", first = Tally::LEN_FIRST, all = Tally::LEN)]
    Counters(usize),
    #[error("the last of more than {first} counters is not zero, or it is left out", first = Tally::LEN_FIRST)]
    Trailing,
    #[error("{0:?} is no counter: digits only, no leading zero, at most {COUNT_MAX}")]
    Counter(String),
    #[error("{0:?} is no bucket: `number:count`, count at least 1, numbers rising, below {buckets}", buckets = crate::histogram::BUCKETS)]
    Bucket(String),
    #[error("a span of histograms makes no sense: {0}")]
    Span(&'static str),
    #[error("the counters are too large to add: a sum is at most {COUNT_MAX}")]
    Sum,
}

impl Row {
    /// The text of this row without its histograms.
    pub fn encode_tally(&self) -> String {
        let mut text = self.encode_counters();
        text.push_str(";;");
        text
    }

    fn encode_counters(&self) -> String {
        let mut text = String::with_capacity(128);
        let counters = self.tally.to_array();
        let later = &counters[Tally::LEN_FIRST..];
        let len = Tally::LEN_FIRST + later.iter().rposition(|value| *value > 0).map_or(0, |last| last + 1);
        for (index, value) in counters[..len].iter().copied().enumerate() {
            if index > 0 {
                text.push(' ');
            }
            push_number(&mut text, value);
        }
        text
    }

    /// The text that stands for this row where it stands alone.
    pub fn encode(&self) -> String {
        let mut text = self.encode_counters();
        for histogram in [&self.latency, &self.service] {
            text.push(';');
            for (index, (bucket, count)) in histogram.sparse().enumerate() {
                if index > 0 {
                    text.push(' ');
                }
                push_number(&mut text, bucket as u64);
                text.push(':');
                push_number(&mut text, count);
            }
        }
        text
    }

    /// Reads what [`Row::encode`] or [`Row::encode_tally`] wrote, and nothing else.
    ///
    /// # Errors
    /// A [`RowError`] that names the part which is wrong. There is one text for each row, so a text with a leading zero or an
    /// empty bucket is none.
    pub fn decode(text: &str) -> Result<Row, RowError> {
        let mut parts = text.split(';');
        let (Some(counters), Some(latency), Some(service), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(RowError::Parts(text.split(';').count()));
        };
        let mut values = [0u64; Tally::LEN];
        let found = counters.split(' ').count();
        if !(Tally::LEN_FIRST..=Tally::LEN).contains(&found) {
            return Err(RowError::Counters(found));
        }
        for (value, text) in values.iter_mut().zip(counters.split(' ')) {
            *value = parse_count(text).ok_or_else(|| RowError::Counter(excerpt(text)))?;
        }
        if found > Tally::LEN_FIRST && values[found - 1] == 0 {
            return Err(RowError::Trailing);
        }
        Ok(Row {
            tally: Tally::from_array(values),
            latency: decode_histogram(latency)?,
            service: decode_histogram(service)?,
        })
    }

    /// Whether anything is in its histograms.
    pub fn has_histograms(&self) -> bool {
        self.latency.sparse().next().is_some() || self.service.sparse().next().is_some()
    }

    /// Adds another row to this one. When a sum would be too large, this row stays as it was.
    ///
    /// # Errors
    /// [`RowError::Sum`] when a counter, or all of a histogram, would pass [`COUNT_MAX`].
    pub fn merge(&mut self, other: &Row) -> Result<(), RowError> {
        let fits = |ours: u64, theirs: u64| ours.checked_add(theirs).is_some_and(|sum| sum <= COUNT_MAX);
        let counters_fit = self.tally.to_array().into_iter().zip(other.tally.to_array()).all(|(a, b)| fits(a, b));
        if !counters_fit
            || !fits(self.latency.count(), other.latency.count())
            || !fits(self.service.count(), other.service.count())
        {
            return Err(RowError::Sum);
        }
        self.tally.merge(&other.tally);
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        Ok(())
    }
}

fn push_number(text: &mut String, value: u64) {
    write!(text, "{value}").expect("writing to a String does not fail");
}

fn decode_histogram(text: &str) -> Result<Histogram, RowError> {
    let mut histogram = Histogram::default();
    if text.is_empty() {
        return Ok(histogram);
    }
    let mut next = 0;
    let mut total = 0u64;
    for pair in text.split(' ') {
        let wrong = || RowError::Bucket(excerpt(pair));
        let (bucket, count) = pair.split_once(':').ok_or_else(wrong)?;
        let (bucket, count) = (parse_count(bucket).ok_or_else(wrong)?, parse_count(count).ok_or_else(wrong)?);
        let index = usize::try_from(bucket).map_err(|_| wrong())?;
        if index < next || count == 0 || !histogram.add_bucket(index, count) {
            return Err(wrong());
        }
        next = index + 1;
        // At most COUNT_MAX per bucket and 704 buckets: the sum fits in 64 bits.
        total += count;
    }
    if total > COUNT_MAX { Err(RowError::Sum) } else { Ok(histogram) }
}

/// A canonical decimal number up to [`COUNT_MAX`].
pub fn parse_count(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    // `parse` refuses the empty text and what overflows.
    canonical.then(|| text.parse().ok()).flatten().filter(|value| *value <= COUNT_MAX)
}

fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::BUCKETS;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    fn histograms() -> impl Strategy<Value = Histogram> {
        btree_map(0..BUCKETS, 1u64..1 << 40, 0..40).prop_map(|buckets| {
            let mut histogram = Histogram::default();
            for (bucket, count) in buckets {
                assert!(histogram.add_bucket(bucket, count));
            }
            histogram
        })
    }

    fn rows() -> impl Strategy<Value = Row> {
        (vec(0..=COUNT_MAX / 4, Tally::LEN), histograms(), histograms()).prop_map(|(values, latency, service)| Row {
            tally: Tally::from_array(values.try_into().expect("as many as fields")),
            latency,
            service,
        })
    }

    fn example() -> Row {
        let mut row = Row::default();
        row.tally = Tally { due: 3, sent: 3, token_right: 3, version_right: 3, from_right: 3, bytes: 681, ..row.tally };
        row.latency.add_bucket(31, 2);
        row.latency.add_bucket(40, 1);
        row.service.add_bucket(31, 3);
        row
    }

    const EXAMPLE: &str = "3 3 0 3 0 3 0 3 0 0 0 0 0 0 0 0 0 681;31:2 40:1;31:3";

    #[test]
    fn the_text_is_as_published() {
        assert_eq!(example().encode(), EXAMPLE);
        assert_eq!(Row::decode(EXAMPLE), Ok(example()));
        assert_eq!(Row::decode(&Row::default().encode()), Ok(Row::default()));
    }

    #[test]
    fn junk_is_an_error_that_names_what_is_wrong() {
        let zeros = |count: usize| vec!["0"; count].join(" ");
        let counters = &zeros(Tally::LEN_FIRST);
        let cases = [
            (String::new(), RowError::Parts(1)),
            (format!("{counters};;;"), RowError::Parts(4)),
            (format!("{};;", zeros(17)), RowError::Counters(17)),
            (format!("{};;", zeros(20)), RowError::Counters(20)),
            (format!("{counters} 0;;"), RowError::Trailing),
            (format!("{} -1;;", zeros(17)), RowError::Counter("-1".into())),
            (format!("{} +1;;", zeros(17)), RowError::Counter("+1".into())),
            (format!("{} 01;;", zeros(17)), RowError::Counter("01".into())),
            (format!("{} 1e3;;", zeros(17)), RowError::Counter("1e3".into())),
            (format!("{} ;;", zeros(17)), RowError::Counter(String::new())),
            // one above the largest, and far beyond 64 bits
            (format!("{} 9007199254740992;;", zeros(17)), RowError::Counter("9007199254740992".into())),
            (format!("{} {};;", zeros(17), "9".repeat(30)), RowError::Counter("9".repeat(30))),
            (format!("{counters};704:1;"), RowError::Bucket("704:1".into())),
            (format!("{counters};5:0;"), RowError::Bucket("5:0".into())),
            (format!("{counters};5;"), RowError::Bucket("5".into())),
            // twice, and falling
            (format!("{counters};5:1 5:1;"), RowError::Bucket("5:1".into())),
            (format!("{counters};6:1 5:1;"), RowError::Bucket("5:1".into())),
            (format!("{counters};;5:1 "), RowError::Bucket(String::new())),
            (format!("{counters};;5:9007199254740991 6:1"), RowError::Sum),
        ];
        for (text, error) in cases {
            assert_eq!(Row::decode(&text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_counter_that_came_later_is_there_when_it_counts() {
        let row = Row { tally: Tally { tls: 7, ..example().tally }, ..example() };
        let text = EXAMPLE.replace("681;", "681 7;");
        assert_eq!((row.encode(), Row::decode(&text)), (text.clone(), Ok(row)));
    }

    #[test]
    fn a_sum_that_is_too_large_changes_nothing() {
        let mut row = Row::default();
        row.tally.due = COUNT_MAX;
        let before = row.clone();
        let one = Row { tally: Tally { due: 1, ..Tally::default() }, ..Row::default() };
        assert_eq!(row.merge(&one), Err(RowError::Sum));
        assert_eq!(row, before);
    }

    proptest! {
        #[test]
        fn a_row_survives_its_text(row in rows()) {
            prop_assert_eq!(Row::decode(&row.encode()), Ok(row));
        }

        #[test]
        fn there_is_one_text_for_each_row(text in "[0-9:; ]{0,80}") {
            // The alphabet of rows finds the corners that random text does not.
            for text in [text.clone(), format!("{}{text}", &EXAMPLE[..EXAMPLE.len() - 10])] {
                if let Ok(row) = Row::decode(&text) {
                    prop_assert_eq!(row.encode(), text);
                }
            }
        }

        #[test]
        fn any_text_is_a_row_or_an_error(text in ".{0,200}") {
            let _ = Row::decode(&text);
        }

        #[test]
        fn merging_is_the_same_in_any_order(a in rows(), b in rows(), c in rows()) {
            let sum = |rows: [&Row; 3]| {
                let mut sum = Row::default();
                rows.iter().for_each(|row| sum.merge(row).expect("small enough"));
                sum
            };
            prop_assert_eq!(sum([&a, &b, &c]), sum([&c, &a, &b]));
        }
    }
}
