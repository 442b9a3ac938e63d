//! A text in Redis that is no control document for this program: what it says of all traffic all the same, and how a stop is
//! written into it. A stop waits for nobody who could read the rest.

use super::ControlError;
use crate::contest::DOCUMENT_BYTES_MAX;
use crate::contest::document::parse_json;
use flowtest_contract::row::COUNT_MAX;
use serde_json::{Map, Value};

/// Why a text is no control document, and what of it counts all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct UnreadControl {
    pub cause: ControlError,
    /// Where it says one.
    pub revision: Option<u64>,
    /// Nobody gets traffic.
    pub halted: bool,
}

impl UnreadControl {
    pub fn new(text: &[u8], cause: ControlError) -> UnreadControl {
        let object = object(text).unwrap_or_default();
        let revision = object.get("revision").and_then(Value::as_u64).filter(|revision| *revision <= COUNT_MAX);
        UnreadControl { cause, revision, halted: object.get("halted") == Some(&Value::Bool(true)) }
    }

    /// The revision by which it stops all traffic. None: it does not.
    pub fn halted_by(&self) -> Option<u64> {
        self.revision.filter(|_| self.halted)
    }
}

/// A text that stops all traffic by a revision, and says all else that it said. Of what is no JSON object, or would be too long
/// for its readers, nothing else is left.
pub fn with_halt(text: &[u8], revision: u64) -> String {
    let halted = |mut object: Map<String, Value>| {
        object.insert("revision".to_owned(), revision.into());
        object.insert("halted".to_owned(), true.into());
        Value::Object(object).to_string()
    };
    let whole = object(text).map(halted).filter(|text| text.len() <= DOCUMENT_BYTES_MAX);
    whole.unwrap_or_else(|| halted(Map::new()))
}

fn object(text: &[u8]) -> Option<Map<String, Value>> {
    match parse_json(std::str::from_utf8(text).ok()?).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Control;

    const GOLDEN: &str = include_str!("../../tests/golden/control.json");

    fn unread(text: &str) -> UnreadControl {
        UnreadControl::new(text.as_bytes(), Control::from_json(text).expect_err("nobody reads it"))
    }

    #[test]
    fn a_stop_is_written_into_whatever_nobody_can_read_and_read_there() {
        let mut newer: Value = serde_json::from_str(GOLDEN).expect("JSON");
        newer["dialect"] = 99.into();
        let phase = GOLDEN.replacen("\"rate\": 1000", "\"rate\": \"waves\"", 1);
        let cases = [
            ("a newer program's", newer.to_string()),
            ("an unknown kind of phase", phase),
            ("a broken number", GOLDEN.replacen("\"revision\":", "\"revision\": \"x\", \"was\":", 1)),
            ("an empty object", "{}".to_owned()),
            ("a list", "[1]".to_owned()),
            ("no JSON", "{".to_owned()),
        ];
        for (what, text) in cases {
            assert_eq!(unread(&text).halted_by(), None, "{what}");
            let stopped = with_halt(text.as_bytes(), 70);
            match Control::from_json(&stopped) {
                // The revision was all that was wrong.
                Ok(control) => assert!(control.halted && control.revision == 70 && what == "a broken number", "{what}"),
                Err(cause) => assert_eq!(UnreadControl::new(stopped.as_bytes(), cause).halted_by(), Some(70), "{what}"),
            }
        }
        let stopped: Value = serde_json::from_str(&with_halt(newer.to_string().as_bytes(), 70)).expect("JSON");
        (newer["revision"], newer["halted"]) = (70.into(), true.into());
        assert_eq!(stopped, newer, "whoever can read it finds all else as it was");
    }

    #[test]
    fn what_does_not_say_clearly_that_it_stops_all_traffic_does_not() {
        let texts = [r#"{"halted":"true","revision":1}"#, r#"{"halted":true}"#, r#"{"halted":true,"revision":-1}"#];
        for text in texts {
            assert_eq!(unread(text).halted_by(), None, "{text}");
        }
        assert_eq!(unread(r#"{"halted":true,"revision":3}"#).halted_by(), Some(3));
        let long = format!("{{\"x\":\"{}\"}}", "x".repeat(DOCUMENT_BYTES_MAX - 8));
        assert_eq!(with_halt(long.as_bytes(), 3), r#"{"revision":3,"halted":true}"#);
    }
}
