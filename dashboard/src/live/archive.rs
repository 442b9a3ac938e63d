//! One second of the scores as a row of SQLite, as JSON that people can read too. What does not read is left out, never
//! believed: somebody may have changed the file.
//!
//! `{"v":1,"round":null,"rows":[["u3",points,minute,rate,success,p50,p99,failures,reached],..]}`; `round` is that of a
//! practice round, whose points are its own, and null where the points are the contest's.

use super::facts::UserKey;
use super::standings::{Score, Scores};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

/// What points are counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// All scored rounds, with adjustments.
    #[default]
    Contest,
    /// This practice round alone.
    Practice(RoundId),
}

#[derive(Serialize, Deserialize)]
struct Document {
    v: u32,
    round: Option<RoundId>,
    rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Row(String, i64, i64, u64, Option<u16>, Option<u64>, Option<u64>, u64, Option<UtcUs>);

/// The row of an instant.
pub fn write(basis: Basis, scores: &Scores) -> Vec<u8> {
    let row = |score: &Score| {
        Row(
            score.key.to_string(),
            score.points,
            score.minute,
            score.rate,
            score.success,
            score.p50_us,
            score.p99_us,
            score.failures,
            score.reached,
        )
    };
    let round = match basis {
        Basis::Contest => None,
        Basis::Practice(round) => Some(round),
    };
    let document = Document { v: VERSION, round, rows: scores.lines.iter().map(row).collect() };
    serde_json::to_vec(&document).expect("texts and numbers are always JSON")
}

/// What such a row says. `None` for what this version did not write.
pub fn read(at: UtcUs, payload: &[u8]) -> Option<(Basis, Scores)> {
    let document: Document = serde_json::from_slice(payload).ok()?;
    if document.v != VERSION {
        return None;
    }
    let score = |row: Row| {
        let Row(key, points, minute, rate, success, p50_us, p99_us, failures, reached) = row;
        let key = UserKey::from(key.as_str());
        Score { key, points, minute, rate, success, p50_us, p99_us, failures, reached, rank_before: None }
    };
    let basis = document.round.map_or(Basis::Contest, Basis::Practice);
    Some((basis, Scores { at, lines: document.rows.into_iter().map(score).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_second_survives_its_row(points: i64, rate: u64, success: Option<u16>, p99: Option<u64>, reached: Option<u64>) {
            let score = Score {
                key: "u\"3\u{202e}".into(), points, minute: -points.saturating_abs(), rate, success,
                p50_us: p99, p99_us: p99, failures: rate, reached, rank_before: None,
            };
            let scores = Scores { at: 5, lines: vec![score] };
            for basis in [Basis::Contest, Basis::Practice(RoundId::from_bits(7))] {
                prop_assert_eq!(read(5, &write(basis, &scores)), Some((basis, scores.clone())));
            }
        }

        #[test]
        fn any_bytes_are_a_row_or_nothing(bytes: Vec<u8>) {
            let _ = read(1, &bytes);
        }
    }

    #[test]
    fn the_row_is_as_documented_and_a_newer_one_is_left_out() {
        let scores = Scores { at: 5, lines: Vec::new() };
        let text = String::from_utf8(write(Basis::Contest, &scores)).expect("JSON");
        assert_eq!(text, r#"{"v":1,"round":null,"rows":[]}"#);
        assert_eq!(read(5, text.replace("\"v\":1", "\"v\":2").as_bytes()), None);
    }
}
