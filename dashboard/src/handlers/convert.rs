//! From what the live feed knows to what pages show. One place, so that all pages say the same.

use crate::live::clock::{Millis, utc_ms};
use crate::live::frame::Link;
use crate::live::{Due, Facts, RoundNow, Seen, ValidityNow};
use crate::views::layout::ContestHead;
use crate::views::plan::{PlanLoad, PlanPhase};
use flowtest_accounts::Round;
use flowtest_contest::State;
use flowtest_contest::contest::{Load, Phase};
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::ExplainedError;
use serde::Serialize;

/// Where the contest stands, at the head of every page.
pub fn head(seen: &Seen, facts: &Facts, validity: Option<ValidityNow>, now: UtcUs) -> ContestHead {
    let control = seen.control.as_deref();
    ContestHead {
        round: control.map(|control| RoundNow::of(control, facts, now)),
        due: control.map(|control| Due::of(Some(control), now)),
        validity,
        stale_since: match seen.link {
            Link::Live => None,
            Link::Stale { since } => Some(utc_ms(since)),
        },
        ended: facts.ended,
    }
}

/// The state that the database has of a round. `None`: another program wrote a word that this one does not know.
pub fn round_state(round: &Round) -> Option<State> {
    round.state.parse().ok()
}

/// The traffic plan as its picture needs it.
pub fn plan(phases: &[Phase]) -> Vec<PlanPhase> {
    let one = |phase: &Phase| PlanPhase {
        seconds: phase.duration_us as f64 / 1e6,
        load: match phase.load {
            Load::Open { from, to } => PlanLoad::Open { from, to },
            Load::Closed { pipeline } => PlanLoad::Closed { pipeline },
            Load::Breakpoint(climb) => PlanLoad::Climb(climb),
        },
        connections: phase.connections,
        scored: phase.scored,
    };
    phases.iter().map(one).collect()
}

/// A failure with its explanation, as scripts get it.
#[derive(Debug, Serialize)]
pub struct ErrorAnswer {
    at_ms: Millis,
    /// When it had its outcome: the second in which it is counted.
    ended_at_ms: Millis,
    /// What 0.1 called `at_ms`; it goes with 0.3.
    at: Millis,
    kind: String,
    message: String,
    /// What 0.1 called `message`; it goes with 0.3.
    sentence: String,
    expected: String,
    received: String,
    request: String,
    response: String,
}

impl From<&ExplainedError> for ErrorAnswer {
    fn from(error: &ExplainedError) -> ErrorAnswer {
        ErrorAnswer {
            at_ms: utc_ms(error.at),
            ended_at_ms: utc_ms(error.ended.unwrap_or(error.at)),
            at: utc_ms(error.at),
            kind: error.kind.clone(),
            message: error.message.clone(),
            sentence: error.message.clone(),
            expected: error.expected.clone(),
            received: error.received.clone(),
            request: with_line_breaks(&error.request),
            response: with_line_breaks(&error.response),
        }
    }
}

/// What the network sent, as it was made printable, with the line breaks it had: the four characters of an escaped CRLF
/// become one line break.
pub fn with_line_breaks(printable: &str) -> String {
    let mut text = String::with_capacity(printable.len());
    let mut rest = printable;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        // A backslash that was sent stands there twice, and begins nothing.
        let (shown, taken) = if rest.starts_with(r"\\") {
            (r"\\", 2)
        } else if rest.starts_with(r"\r\n") {
            ("\n", 4)
        } else {
            (r"\", 1)
        };
        text.push_str(shown);
        rest = &rest[taken..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_line_breaks_that_were_sent_are_shown_as_such() {
        let cases = [
            (r"HTTP/1.1 200 OK\r\nToken: a\r\n", "HTTP/1.1 200 OK\nToken: a\n"),
            // somebody sent a backslash, an r, a backslash and an n
            (r"a\\r\\n", r"a\\r\\n"),
            (r"\x1b[2J\r", r"\x1b[2J\r"),
            ("", ""),
        ];
        for (printable, shown) in cases {
            assert_eq!(with_line_breaks(printable), shown);
        }
    }
}
