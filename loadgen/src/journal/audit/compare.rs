//! Two rows, field by field.

use super::traces::BATCH_ONLY;
use flowtest_contract::{Histogram, Row, Tally};

/// A field in which two rows are not as they should be to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// A counter, or a histogram with its first wrong bucket, as in `latency[31]`.
    pub field: String,
    pub ours: u64,
    pub theirs: u64,
}

/// What a field of `ours` must be to the same field of `theirs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Must {
    Equal,
    /// Not smaller.
    Cover,
}

impl Must {
    fn holds(self, ours: u64, theirs: u64) -> bool {
        match self {
            Must::Equal => ours == theirs,
            Must::Cover => ours >= theirs,
        }
    }
}

/// Compares what batches say with what traces say. What traces cannot say is left out.
pub fn with_traces(batches: &Row, traces: &Row, untraced: bool, in_flight: bool) -> Vec<Difference> {
    let rest = if untraced { Must::Cover } else { Must::Equal };
    rows(batches, traces, |field| match field {
        _ if BATCH_ONLY.contains(&field) => None,
        // Counted before there is an outcome.
        "due" | "sent" if in_flight => Some(Must::Cover),
        _ => Some(rest),
    })
}

/// Compares rows that must be the same.
pub fn equal(ours: &Row, theirs: &Row) -> Vec<Difference> {
    rows(ours, theirs, |_| Some(Must::Equal))
}

fn rows(ours: &Row, theirs: &Row, must: impl Fn(&str) -> Option<Must>) -> Vec<Difference> {
    let mut differences = Vec::new();
    let counters = ours.tally.to_array().into_iter().zip(theirs.tally.to_array());
    for (field, (a, b)) in Tally::FIELDS.iter().zip(counters) {
        if must(field).is_some_and(|must| !must.holds(a, b)) {
            differences.push(Difference { field: (*field).to_owned(), ours: a, theirs: b });
        }
    }
    for (field, a, b) in [("latency", &ours.latency, &theirs.latency), ("service", &ours.service, &theirs.service)] {
        differences.extend(must(field).and_then(|must| histograms(field, a, b, must)));
    }
    differences
}

/// The first bucket that is wrong: where one is, hundreds may be.
fn histograms(field: &str, ours: &Histogram, theirs: &Histogram, must: Must) -> Option<Difference> {
    if ours == theirs {
        return None;
    }
    let dense = |histogram: &Histogram| {
        let mut counts = [0; flowtest_contract::histogram::BUCKETS];
        histogram.sparse().for_each(|(index, count)| counts[index] = count);
        counts
    };
    let both = dense(ours).into_iter().zip(dense(theirs));
    let wrong = both.enumerate().find(|(_, (a, b))| !must.holds(*a, *b));
    wrong.map(|(index, (ours, theirs))| Difference { field: format!("{field}[{index}]"), ours, theirs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(due: u64, sent: u64, bytes: u64, latency: u64) -> Row {
        let mut row = Row { tally: Tally { due, sent, bytes, ..Tally::default() }, ..Row::default() };
        row.latency.add_bucket(31, latency);
        row
    }

    fn fields(differences: &[Difference]) -> Vec<&str> {
        differences.iter().map(|difference| difference.field.as_str()).collect()
    }

    #[test]
    fn every_field_counts_where_all_is_traced_and_nothing_in_flight() {
        assert_eq!(fields(&with_traces(&row(2, 2, 9, 1), &row(2, 2, 0, 1), false, false)), [""; 0]);
        assert_eq!(
            fields(&with_traces(&row(2, 2, 9, 1), &row(1, 1, 0, 2), false, false)),
            ["due", "sent", "latency[31]"]
        );
    }

    #[test]
    fn what_is_in_flight_is_due_and_sent_but_nothing_else() {
        assert_eq!(fields(&with_traces(&row(2, 2, 9, 1), &row(1, 1, 0, 1), false, true)), [""; 0]);
        assert_eq!(fields(&with_traces(&row(1, 1, 9, 1), &row(2, 1, 0, 2), false, true)), ["due", "latency[31]"]);
    }

    #[test]
    fn some_traces_never_say_more_than_the_batches() {
        assert_eq!(fields(&with_traces(&row(5, 5, 9, 5), &row(1, 1, 0, 1), true, false)), [""; 0]);
        assert_eq!(fields(&with_traces(&row(5, 5, 9, 5), &row(1, 6, 0, 1), true, false)), ["sent"]);
    }

    #[test]
    fn rows_in_redis_must_agree_in_bytes_too() {
        assert_eq!(fields(&equal(&row(1, 1, 9, 1), &row(1, 1, 8, 1))), ["bytes"]);
    }
}
