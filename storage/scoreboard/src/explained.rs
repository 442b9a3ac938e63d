//! One failure that a contestant can learn from: what was expected, what came, and both sides of the exchange.
//!
//! The newest [`keys::ERRORS_MAX`] of each contestant are kept in Redis. They explain and
//! do not count: the journal is the truth.

use crate::error::ScoreboardError;
use crate::keys;
use crate::reader::Scoreboard;
use flowtest_contest::text::bounded;
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};

/// Longest kind, message, value and side of an exchange, in bytes. Fifty of them per contestant are 150 KB.
const KIND_BYTES_MAX: usize = 32;
const MESSAGE_BYTES_MAX: usize = 400;
const VALUE_BYTES_MAX: usize = 200;
const EXCHANGE_BYTES_MAX: usize = 1024;
/// Whatever we wrote is shorter; a longer text is somebody else's and is not parsed.
const JSON_BYTES_MAX: usize = 16 * 1024;

/// A failure with its explanation. All texts are meant for people; what the network sent is escaped before, by
/// [`text::printable`](flowtest_contest::text::printable).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedError {
    /// When the request was sent.
    pub at: UtcUs,
    /// When it had its outcome, which is when it is counted. `None` where that is not known: of what older builds wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<UtcUs>,
    /// `token`, `version`, `from`, or the name of the failure, such as `timeout`.
    pub kind: String,
    /// The cause and the next step.
    #[serde(flatten, with = "crate::message")]
    pub message: String,
    /// What a right answer had held.
    pub expected: String,
    /// What this one held.
    pub received: String,
    /// The head of the request.
    pub request: String,
    /// The beginning of the response.
    pub response: String,
}

impl ExplainedError {
    /// The text in Redis: control and hidden characters escaped, every part cut to its bound.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&self.clone().within_bounds()).expect("texts and a number are always JSON")
    }

    /// `None` for what we did not write.
    pub(crate) fn from_json(text: &[u8]) -> Option<ExplainedError> {
        if text.len() > JSON_BYTES_MAX {
            return None;
        }
        // Bounded again: somebody else may have written it, and it goes to a page.
        serde_json::from_slice(text).ok().map(ExplainedError::within_bounds)
    }

    pub(crate) fn within_bounds(self) -> ExplainedError {
        ExplainedError {
            at: self.at,
            ended: self.ended,
            kind: bounded(&self.kind, KIND_BYTES_MAX),
            message: bounded(&self.message, MESSAGE_BYTES_MAX),
            expected: bounded(&self.expected, VALUE_BYTES_MAX),
            received: bounded(&self.received, VALUE_BYTES_MAX),
            request: bounded(&self.request, EXCHANGE_BYTES_MAX),
            response: bounded(&self.response, EXCHANGE_BYTES_MAX),
        }
    }
}

impl Scoreboard {
    /// Adds explained failures of a contestant, oldest first; the newest [`keys::ERRORS_MAX`] are kept.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn push_errors(
        &mut self,
        contest: &str,
        contestant: &str,
        errors: &[ExplainedError],
    ) -> Result<(), ScoreboardError> {
        let newest = &errors[errors.len().saturating_sub(keys::ERRORS_MAX)..];
        if newest.is_empty() {
            return Ok(());
        }
        let texts: Vec<String> = newest.iter().map(ExplainedError::to_json).collect();
        let key = keys::errors(contest, contestant);
        let mut pipeline = redis::pipe();
        // In one transaction, so that no reader ever sees a list that is too long.
        pipeline.lpush(&key, texts).ltrim(&key, 0, keys::ERRORS_MAX as isize - 1);
        self.run(|connection| connection.pipeline("push explained failures", &pipeline))
    }

    /// The explained failures of a contestant, newest first. What we did not write is left out.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn read_errors(&mut self, contest: &str, contestant: &str) -> Result<Vec<ExplainedError>, ScoreboardError> {
        let mut command = redis::cmd("LRANGE");
        command.arg(keys::errors(contest, contestant)).arg(0).arg(keys::ERRORS_MAX - 1);
        let texts: Vec<Vec<u8>> = self.run(|connection| connection.command("read explained failures", &command))?;
        Ok(texts.iter().filter_map(|text| ExplainedError::from_json(text)).collect())
    }
}

#[cfg(test)]
impl ExplainedError {
    /// One whose every text is this one.
    pub(crate) fn of_texts(text: &str) -> ExplainedError {
        let text = || text.to_owned();
        let (kind, message, expected, received) = (text(), text(), text(), text());
        ExplainedError {
            at: UtcUs(7),
            ended: Some(UtcUs(9)),
            kind,
            message,
            expected,
            received,
            request: text(),
            response: text(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_is_bounded_and_holds_nothing_that_a_page_would_obey() {
        let hostile = "\u{1b}[2J\u{0}\"é\u{202e}".repeat(10_000);
        let error = ExplainedError::of_texts(&hostile);
        let text = error.to_json();
        assert!(text.len() < JSON_BYTES_MAX, "{}", text.len());
        let read = ExplainedError::from_json(text.as_bytes()).expect("readable");
        assert_eq!(read, error.within_bounds());
        assert!(!read.response.chars().any(char::is_control));
    }

    #[test]
    fn the_message_is_written_under_both_its_names_and_read_under_either() {
        let told = |text: &str| ExplainedError::from_json(text.as_bytes()).map(|error| error.message);
        let rest = r#""at":7,"kind":"token","expected":"a","received":"b","request":"c","response":"d""#;
        let cases = [
            (r#""sentence":"as 0.1 wrote it""#, Some("as 0.1 wrote it")),
            (r#""message":"as 0.3 writes it""#, Some("as 0.3 writes it")),
            (r#""message":"new","sentence":"old""#, Some("new")),
            (r#""says":"neither""#, None),
        ];
        for (text, expected) in cases {
            assert_eq!(told(&format!("{{{text},{rest}}}")).as_deref(), expected, "{text}");
        }
        // A dashboard of 0.1 wants `sentence`.
        let written = ExplainedError { message: "what is wrong".into(), ..ExplainedError::default() }.to_json();
        let written: serde_json::Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!((&written["message"], &written["sentence"]), (&"what is wrong".into(), &"what is wrong".into()));
    }

    #[test]
    fn what_somebody_else_wrote_is_no_explanation() {
        for junk in ["", "{}", "[1]", "{\"at\": -1}", &format!("[{}]", "1,".repeat(10_000))] {
            assert_eq!(ExplainedError::from_json(junk.as_bytes()), None, "{junk:.20}");
        }
    }
}
