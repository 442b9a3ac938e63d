//! One second of the scores as a row of SQLite, as JSON that people can read too. What does not read is left out, never
//! believed: somebody may have changed the file.
//!
//! `{"v":2,"round":null,"columns":["id","points","rate",..],"rows":[["u3",9000,820,..],..]}`: the names of the fields
//! stand once and not 200 times, in any order, and are those of [`Figures`]; `reached_at` is in µs. `round` is that of a
//! practice round, whose points are its own, and null where the points are the contest's. `invalid_seconds` counts those of
//! the round until then; `state`, what answers of the round were and `part` came with 0.3; `gap_from` stands where the seconds before are not known. Version 1 had no names: `V1_COLUMNS` are its order.

use super::facts::UserKey;
use super::standings::{Answers, Figures, Participation, Score, Scores};
use super::team_state::StateSince;
use flowtest_contest::contest::RankBy;
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const VERSION: u32 = 2;

/// The fields of a row before 0.2.0.
const V1_COLUMNS: [&str; 9] =
    ["id", "points", "points_last_minute", "rate", "verified_permille", "p50_us", "p99_us", "failures", "reached_at"];

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
    #[serde(default)]
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    #[serde(default)]
    invalid_seconds: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap_from: Option<UtcUs>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rank_by: Option<String>,
}

/// What is kept of a score.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: UserKey,
    #[serde(flatten)]
    figures: Figures,
    reached_at: Option<UtcUs>,
    #[serde(default)]
    state: Option<StateSince>,
    #[serde(flatten)]
    answers: Answers,
    #[serde(default, rename = "part")]
    participation: Option<Participation>,
}

/// The row of an instant.
pub fn write(basis: Basis, scores: &Scores) -> Vec<u8> {
    let mut columns = Vec::new();
    let mut rows = Vec::with_capacity(scores.lines.len());
    for Score { id, figures, reached_at, state, answers, participation, .. } in &scores.lines {
        let (id, figures, reached_at) = (id.clone(), *figures, *reached_at);
        let kept = Kept { id, figures, reached_at, state: *state, answers: *answers, participation: *participation };
        // The fields of every row come in the same order.
        let Ok(Value::Object(fields)) = serde_json::to_value(kept) else { unreachable!("a struct is an object") };
        if columns.is_empty() {
            columns = fields.keys().cloned().collect();
        }
        rows.push(fields.into_iter().map(|(_, value)| value).collect());
    }
    let round = match basis {
        Basis::Contest => None,
        Basis::Practice(round) => Some(round),
    };
    let Scores { invalid_seconds, gap_from, rank_by, .. } = *scores;
    let rank_by = (rank_by != RankBy::default()).then(|| rank_by.as_str().to_owned());
    let document = Document { v: VERSION, round, columns, rows, invalid_seconds, gap_from, rank_by };
    serde_json::to_vec(&document).expect("texts and numbers are always JSON")
}

/// What such a row says. `None` for what neither this version nor the one before wrote.
pub fn read(at: UtcUs, payload: &[u8]) -> Option<(Basis, Scores)> {
    let mut document: Document = serde_json::from_slice(payload).ok()?;
    match document.v {
        VERSION => {}
        1 => document.columns = V1_COLUMNS.map(str::to_owned).into(),
        _ => return None,
    }
    let columns = document.columns;
    let score = |row: Vec<Value>| {
        if row.len() != columns.len() {
            return None;
        }
        let fields: Map<String, Value> = columns.iter().cloned().zip(row).collect();
        let Kept { id, figures, reached_at, state, answers, participation } =
            serde_json::from_value(Value::Object(fields)).ok()?;
        Some(Score { id, figures, reached_at, rank_before: None, state, answers, participation })
    };
    let basis = document.round.map_or(Basis::Contest, Basis::Practice);
    let lines = document.rows.into_iter().map(score).collect::<Option<_>>()?;
    let rank_by = document.rank_by.and_then(|by| by.parse().ok()).unwrap_or_default();
    let (invalid_seconds, gap_from) = (document.invalid_seconds, document.gap_from);
    Some((basis, Scores { at, lines, invalid_seconds, gap_from, rank_by }))
}

/// What a row says of one contestant: its answers, without reading the others'. `None` where it has no line or the row is not
/// of this version.
pub fn read_one(payload: &[u8], id: &UserKey) -> Option<Answers> {
    let text = std::str::from_utf8(payload).ok()?;
    let columns = between(text, "\"columns\":", ']')?;
    let columns: Vec<String> = serde_json::from_str(columns).ok()?;
    let rows = text.find("\"rows\":")?;
    // An id is the only text in a row that holds letters of its own.
    let name = serde_json::to_string(id).ok()?;
    let at = rows + text[rows..].find(&name)?;
    let row = text[..at].rfind('[')?;
    let row = &text[row..row + text[row..].find(']')? + 1];
    let values: Vec<Value> = serde_json::from_str(row).ok()?;
    if values.len() != columns.len() {
        return None;
    }
    let fields: Map<String, Value> = columns.into_iter().zip(values).collect();
    let Kept { id: found, answers, .. } = serde_json::from_value(Value::Object(fields)).ok()?;
    (found == *id).then_some(answers)
}

/// From behind a mark to the first closing bracket, which is included.
fn between<'a>(text: &'a str, mark: &str, close: char) -> Option<&'a str> {
    let start = text.find(mark)? + mark.len();
    let end = start + text[start..].find(close)? + close.len_utf8();
    Some(&text[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::TeamState;
    use flowtest_contest::ladder::HoldVerdict;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_second_survives_its_row(
            points: i64, rate: u64, verified_permille: Option<u16>, p99_us: Option<u64>, reached_at: Option<u64>
        ) {
            let reached_at = reached_at.map(UtcUs);
            let points_last_minute = -points.saturating_abs();
            let figures = Figures {
                points, points_last_minute, rate, verified_permille, p50_us: p99_us, p99_us, failures: rate,
                void: rate,
                holds: Some(rate),
                unbroken: true,
                ..Figures::default()
            };
            let state = reached_at.map(|since| StateSince { state: TeamState::Failing, since });
            let answers = Answers { verified: rate, wrong: 1, failed: 2, second_p50_us: p99_us, second_p99_us: None };
            let participation = state.map(|_| Participation::Disqualified);
            let score = Score { id: "u\"3\u{202e}".into(), figures, reached_at, rank_before: None, state, answers, participation };
            let scores = Scores { at: UtcUs(5), lines: vec![score], invalid_seconds: rate, gap_from: reached_at, ..Scores::default() };
            for basis in [Basis::Contest, Basis::Practice(RoundId::from_bits(7))] {
                prop_assert_eq!(read(UtcUs(5), &write(basis, &scores)), Some((basis, scores.clone())));
            }
        }

        #[test]
        fn any_bytes_are_a_row_or_nothing(bytes: Vec<u8>) {
            let _ = read(UtcUs(1), &bytes);
        }
    }

    #[test]
    fn the_row_is_as_documented_and_a_newer_one_is_left_out() {
        let scores = Scores {
            at: UtcUs(5),
            lines: vec![Score::of_points("u3".into(), 7)],
            invalid_seconds: 3,
            ..Scores::default()
        };
        let text = String::from_utf8(write(Basis::Contest, &scores)).expect("JSON");
        let document: Document = serde_json::from_str(&text).expect("as it was written");
        assert_eq!((document.v, document.round, document.invalid_seconds), (2, None, 3));
        let row: BTreeMap<_, _> = document.columns.into_iter().zip(document.rows[0].clone()).collect();
        let expected = json!({
            "id": "u3", "points": 7, "points_last_minute": 0, "rate": 0, "verified_permille": null, "p50_us": null,
            "p99_us": null, "failures": 0, "void": 0, "holds": null, "holds_p99_us": null, "holds_since": null,
            "tries": null, "unbroken": false, "unbroken_by": null, "breaks_at": null, "breaks_by": null,
            "tried": null, "step_verdict": null, "climb_holds": null, "climb_breaks_at": null, "climb_breaks_by": null,
            "climb_unbroken_by": null, "reached_at": null, "state": null, "right": 0, "wrong": 0,
            "failed": 0, "second_p50_us": null, "second_p99_us": null, "part": null,
        });
        assert_eq!(json!(row), expected);
        assert_eq!(read(UtcUs(5), text.replace("\"v\":2", "\"v\":3").as_bytes()), None);
        let one_less = |row: &mut Vec<Value>| row.truncate(row.len() - 1);
        let mut short: Document = serde_json::from_str(&text).expect("as it was written");
        short.rows.iter_mut().for_each(one_less);
        assert_eq!(read(UtcUs(5), &serde_json::to_vec(&short).expect("JSON")), None, "a value is missing");
    }

    #[test]
    fn one_line_is_read_without_the_others() {
        let answers = |verified| Answers { verified, failed: 2, ..Answers::default() };
        let line = |id: &str, right| {
            let state = Some(StateSince { state: TeamState::Playing, since: UtcUs(right) });
            Score { state, answers: answers(right), ..Score::of_points(id.into(), 1) }
        };
        let lines = vec![line("u12", 12), line("u1", 1), line("a \"name\" [x]", 5), line("u2", 2)];
        let payload = write(Basis::Contest, &Scores { at: UtcUs(5), lines, ..Scores::default() });
        for (id, right) in [("u1", 1), ("u12", 12), ("u2", 2)] {
            assert_eq!(read_one(&payload, &id.into()), Some(answers(right)), "{id}");
        }
        assert_eq!(read_one(&payload, &"u3".into()), None);
        assert_eq!(read_one(b"{}", &"u3".into()), None);
    }

    #[test]
    fn a_row_of_before_void_exchanges_were_kept_is_read() {
        let text = r#"{"v":2,"round":null,"columns":["id","points","points_last_minute","rate","verified_permille","p50_us",
            "p99_us","failures","reached_at"],"rows":[["u3",7,0,0,null,null,null,2,null]]}"#;
        let (_, scores) = read(UtcUs(5), text.as_bytes()).expect("it reads");
        assert_eq!((scores.lines[0].figures.failures, scores.lines[0].figures.void, scores.invalid_seconds), (2, 0, 0));
    }

    #[test]
    fn a_row_of_when_verified_was_right_is_read() {
        let text = r#"{"v":2,"round":null,"columns":["id","points","points_last_minute","rate","verified_permille","p50_us",
            "p99_us","failures","reached_at","step_verdict"],"rows":[["u3",7,0,0,null,null,null,2,null,"failed_by_right"]]}"#;
        let (_, scores) = read(UtcUs(5), text.as_bytes()).expect("it reads");
        assert_eq!(scores.lines[0].figures.step_verdict, Some(HoldVerdict::FailedByVerified));
    }

    #[test]
    fn a_row_of_the_version_before_is_read() {
        let text = r#"{"v":1,"round":null,"rows":[["u3",7,1,9,998,820,1240,2,1763892600123456]]}"#;
        let (basis, scores) = read(UtcUs(5), text.as_bytes()).expect("it reads");
        let figures = Figures {
            points: 7,
            points_last_minute: 1,
            rate: 9,
            verified_permille: Some(998),
            p50_us: Some(820),
            p99_us: Some(1_240),
            failures: 2,
            void: 0,
            ..Figures::default()
        };
        let reached_at = Some(UtcUs(1_763_892_600_123_456));
        assert_eq!(scores.lines, [Score { figures, reached_at, ..Score::of_points("u3".into(), 7) }]);
        assert_eq!(basis, Basis::Contest);
    }
}
