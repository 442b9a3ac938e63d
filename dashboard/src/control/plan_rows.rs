//! The traffic plan as rows of a form, and read phase by phase, so that a page shows each phase or says what is wrong with it.
//! Pure.

use super::settings;
use flowtest_contest::contest::Phase;
use std::fmt::Write;

/// Rows of a form at most: longer plans are edited as text.
pub const ROWS_MAX: usize = 60;

/// One phase as somebody types it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanRow {
    /// `30s`
    pub length: String,
    /// `500`, `100..2000` for a ramp, or nothing for a sprint.
    pub rate: String,
    pub connections: String,
    /// Of a sprint.
    pub pipeline: String,
    pub scored: bool,
    /// Keys that have no field of their own, as they stand in the text.
    pub more: String,
}

impl PlanRow {
    /// Nothing was typed into it, or it was cleared: it is no phase.
    pub fn is_empty(&self) -> bool {
        [&self.length, &self.rate, &self.connections, &self.pipeline].iter().all(|field| field.trim().is_empty())
    }

    /// Its `[[phase]]` block.
    fn text(&self) -> String {
        let mut text = String::from("[[phase]]\n");
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                writeln!(text, "{key} = {value}").expect("writing to a String does not fail");
            }
        };
        put("for", &quoted(self.length.trim()));
        put("rate", &number(&self.rate.split_whitespace().collect::<String>()));
        put("connections", &number(self.connections.trim()));
        put("pipeline", &number(self.pipeline.trim()));
        if !self.scored {
            put("scored", "false");
        }
        text.push_str(&self.more);
        text
    }
}

fn quoted(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

/// A number as it is; what is none as text, so that the contest's own parser says what is wrong with it.
fn number(value: &str) -> String {
    let is_number = !value.is_empty() && value.bytes().all(|digit| digit.is_ascii_digit() || digit == b'_');
    let is_plain = is_number && value.parse::<toml::Value>().is_ok_and(|read| read.is_integer());
    if is_plain || value.is_empty() { value.to_owned() } else { quoted(value) }
}

/// The text of all rows that are none empty.
pub fn text_of(rows: &[PlanRow]) -> String {
    rows.iter().filter(|row| !row.is_empty()).map(PlanRow::text).collect::<Vec<String>>().join("\n")
}

/// The rows of a text; nothing where rows cannot say what it says: comments, or what is no phase.
pub fn rows_of(text: &str) -> Option<Vec<PlanRow>> {
    let table: toml::Table = text.parse().ok()?;
    let phases = match table.get("phase") {
        None => return table.is_empty().then(Vec::new),
        Some(phases) if table.len() == 1 => phases.as_array()?,
        Some(_) => return None,
    };
    // A comment would be lost.
    if text.contains('#') || phases.len() > ROWS_MAX {
        return None;
    }
    phases.iter().map(|phase| Some(row_of(phase.as_table()?))).collect()
}

fn row_of(phase: &toml::Table) -> PlanRow {
    let mut row = PlanRow { scored: true, ..PlanRow::default() };
    for (key, value) in phase {
        let text = match value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match (key.as_str(), value) {
            ("for", _) => row.length = text,
            ("rate", _) => row.rate = text,
            ("connections", _) => row.connections = text,
            ("pipeline", _) => row.pipeline = text,
            ("scored", toml::Value::Boolean(scored)) => row.scored = *scored,
            _ => writeln!(row.more, "{key} = {value}").expect("writing to a String does not fail"),
        }
    }
    row
}

/// Each phase of a text, or what is wrong with it. What stands before the first one and is no phase is an error of its own.
pub fn read_each(text: &str, timeout_us: u64) -> Vec<Result<Phase, String>> {
    let mut found = Vec::new();
    for (line, block) in blocks(text) {
        let is_phase = block.trim_start().starts_with("[[phase]]");
        let is_blank = block.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if !is_phase && is_blank {
            continue;
        }
        // Lines are counted from the text's first, not from the block's.
        let moved = "\n".repeat(line);
        match settings::plan(&format!("{moved}{block}"), timeout_us) {
            Ok(phases) => found.extend(phases.into_iter().map(Ok)),
            Err(message) => found.push(Err(message)),
        }
    }
    found
}

/// The text cut before each `[[phase]]`, with the number of lines before each piece.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = vec![(0, String::new())];
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("[[phase]]") {
            blocks.push((index, String::new()));
        }
        let (_, block) = blocks.last_mut().expect("there is always one");
        block.push_str(line);
        block.push('\n');
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::{TIMEOUT_US, settings};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_plan_survives_its_rows(settings in settings()) {
            let text = settings::plan_text(&settings.phases);
            let rows = rows_of(&text).expect("rows");
            prop_assert_eq!(settings::plan(&text_of(&rows), settings.rules.timeout_us), Ok(settings.phases.clone()));
            let each: Vec<Phase> = read_each(&text, settings.rules.timeout_us).into_iter().collect::<Result<_, _>>().expect("phases");
            prop_assert_eq!(each, settings.phases);
        }

        #[test]
        fn any_text_is_read_and_any_row_is_text(text in ".{0,200}", field in ".{0,40}") {
            let _ = (rows_of(&text), read_each(&text, TIMEOUT_US));
            let row = PlanRow { length: field.clone(), rate: field.clone(), connections: field, ..PlanRow::default() };
            // Whatever is typed stays inside its field: it is one phase or an error, and never another key.
            prop_assert!(row.is_empty() || read_each(&text_of(&[row]), TIMEOUT_US).len() == 1);
        }
    }

    #[test]
    fn each_phase_is_read_alone_and_a_wrong_one_says_where_and_what() {
        let text = "[[phase]]\nfor = \"30s\"\nrate = 5\n\n[[phase]]\nfor = \"30s\"\nrate = 5\nconnection = 8\n\n\
                    [[phase]]\nfor = \"1m\"\nrate = \"1..9\"\n";
        let each = read_each(text, TIMEOUT_US);
        assert_eq!(each.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        let message = each[1].as_ref().expect_err("a wrong key");
        assert!(message.contains("line 8") && message.contains("did you mean `connections`?"), "{message}");
        let stray = read_each("rate = 5\n[[phase]]\nfor = \"30s\"\nrate = 5\n", TIMEOUT_US);
        assert!(stray[0].is_err() && stray[1].is_ok(), "{stray:?}");
    }

    #[test]
    fn rows_keep_what_they_have_no_field_for() {
        let text = "[[phase]]\nfor = \"30s\"\nrate = 5\nladder = [1, 2]\n";
        let rows = rows_of(text).expect("rows");
        assert_eq!(rows[0].more, "ladder = [1, 2]\n");
        assert_eq!(rows_of(&text_of(&rows)), Some(rows));
        // Rows would lose these.
        for text in ["# a comment\n[[phase]]\nfor = \"30s\"\n", "x = 1\n", "[[phase]\n", "phase = 5\n"] {
            assert_eq!(rows_of(text), None, "{text}");
        }
        assert_eq!(rows_of(""), Some(vec![]));
    }

    #[test]
    fn what_is_typed_into_a_row_is_a_phase_or_a_sentence() {
        let row = |rate: &str, connections: &str| PlanRow {
            length: " 30s ".into(),
            rate: rate.into(),
            connections: connections.into(),
            scored: true,
            ..PlanRow::default()
        };
        for (rate, connections, fine) in [
            ("500", "", true),
            ("100 .. 2000", "8", true),
            ("", "8", true),
            ("", "", false),
            ("many", "8", false),
            ("5", "8\nscored = false", false),
        ] {
            assert_eq!(
                read_each(&text_of(&[row(rate, connections)]), TIMEOUT_US)[0].is_ok(),
                fine,
                "{rate:?} {connections:?}"
            );
        }
    }
}
