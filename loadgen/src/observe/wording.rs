//! What is wrong with an answer, in the words that a contestant reads: the sentence, what was expected, what came.
//!
//! The explainer of failing exchanges and the probe both ask here, so that nobody reads two texts about one mistake.
//! Pure; it judges by [`judge`] and never by itself.

use crate::engine::http::Malformed;
use crate::engine::trace::Missed;
use flowtest_contest::contest::carried_rate;
use flowtest_contest::text::printable;
use flowtest_contract::header::{self, Flip};
use flowtest_contract::rules::{Deadline, Deadlines, Rules, UtcUs};
use flowtest_contract::verdict::Failure;
use flowtest_contract::{Observed, Seen, Token, judge};

/// What a contestant is expected to do whose requests find no connection.
const FAST_ENOUGH: &str = "answers fast enough for the rate";

/// Longest header line that people get to see, in bytes.
pub const VALUE_BYTES_MAX: usize = 200;

/// How one of the three scored headers was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderWords {
    /// `token`, `version` or `from`.
    pub kind: &'static str,
    pub right: bool,
    /// What is wrong and what is right; empty when nothing is wrong.
    pub sentence: String,
    /// The header line that would have been right.
    pub expected: String,
    /// The lines of this header as they came, escaped; `no Token header` without one.
    pub received: String,
}

/// The three headers of an answer to the request with this token, sent at `sent`: Token, Version, From. `lines` shows
/// the lines of a header as they came.
pub fn headers(
    observed: Observed,
    rules: &Rules,
    deadlines: &Deadlines,
    sent: UtcUs,
    token: &Token,
    lines: impl Fn(&str) -> String,
) -> [HeaderWords; 3] {
    let verdict = judge(observed, rules, deadlines, sent);
    let words = |name: &str, kind, right, expected: String, sentence: String| HeaderWords {
        kind,
        right,
        sentence: if right { String::new() } else { sentence },
        expected: format!("{name}: {expected}"),
        received: lines(name),
    };
    let token_sentence = "the Token header must repeat the token of the same request, exactly once".to_owned();
    let version = flipped(header::VERSION, deadlines.version, rules.grace_us, sent, observed.version);
    let from = flipped(header::FROM, deadlines.from, rules.grace_us, sent, observed.from);
    [
        words(header::TOKEN, "token", verdict.token, String::from_utf8_lossy(&token.0).into_owned(), token_sentence),
        words(header::VERSION, "version", verdict.version, version.0, version.1),
        words(header::FROM, "from", verdict.from, from.0, from.1),
    ]
}

/// The right value or values of a header with two settings, and the sentence for what was seen instead.
fn flipped<T: Flip>(name: &str, deadline: Deadline, grace_us: u64, sent: UtcUs, seen: Seen<T>) -> (String, String) {
    let right: Vec<&str> = [T::BEFORE, T::AFTER]
        .into_iter()
        .filter(|value| deadline.accepts(*value, sent, grace_us))
        .map(Flip::as_str)
        .collect();
    let sentence = match seen {
        Seen::Missing => format!("there is no {name} header"),
        Seen::Other => format!(
            "the {name} header is there more than once, or its value is neither {} nor {}",
            T::BEFORE.as_str(),
            T::AFTER.as_str()
        ),
        Seen::Value(value) if right.contains(&value.as_str()) => {
            format!("{} is right, but counts only together with the right token", value.as_str())
        }
        Seen::Value(value) if value == T::BEFORE => {
            format!("{} was right before the deadline, which has passed", value.as_str())
        }
        Seen::Value(value) => format!("{} is right only from the deadline on", value.as_str()),
    };
    (right.join(" or "), sentence)
}

/// Why an exchange failed, and what was expected instead. `allowed_us` is how long it could have taken.
pub fn failed(failure: Failure, malformed: Option<Malformed>, allowed_us: u64) -> (String, String) {
    let timeout = format!("{} s", allowed_us as f64 / 1e6);
    let answer = "a whole answer with a 2xx status".to_owned();
    match failure {
        Failure::Timeout => (format!("no whole answer came within {timeout}"), answer),
        Failure::Refused => (
            "the connection was not made: nothing listens there, a firewall is in the way, or the listener's queue is full"
                .to_owned(),
            "a connection".to_owned(),
        ),
        Failure::Reset => ("the connection ended before the answer was complete".to_owned(), answer),
        Failure::Malformed => {
            let why = malformed.map_or_else(
                || "an answer before it on the same connection was malformed".to_owned(),
                |why| why.to_string(),
            );
            (why, "an HTTP/1.1 or HTTP/1.0 response".to_owned())
        }
        Failure::Status => ("the status is not 2xx; redirects are not followed".to_owned(), "a 2xx status".to_owned()),
        Failure::Missed => (format!("no connection became free within {timeout}"), FAST_ENOUGH.to_owned()),
        Failure::OwnFault => ("the generator's own fault: it costs nothing".to_owned(), answer),
    }
}

/// Why a request was missed, and what was expected instead. `allowed_us` is how long it could have waited.
pub fn missed(why: Missed, allowed_us: u64) -> (String, String) {
    match why {
        Missed::Probed { since } => {
            let since = jiff::Timestamp::from_microsecond(since as i64)
                .map_or_else(|_| "then".to_owned(), |at| at.strftime("%H:%M:%S UTC").to_string());
            (
                format!(
                    "only one request a second was sent since {since}, for ten seconds had brought no answer with the \
                     right token; what else falls due is missed until three answers have it again"
                ),
                "a 2xx answer with the right Token".to_owned(),
            )
        }
        Missed::NoConnection { connections, rate, round_trip_us } => {
            // What the distance alone lets through, however fast the server answers.
            let carries = carried_rate(connections, u64::from(round_trip_us));
            if round_trip_us > 0 && carries < rate {
                let sentence = format!(
                    "the server is far away: there and back takes {} ms, so that the {connections} connections of this \
                     phase carry {carries} requests a second, and {rate} are due",
                    f64::from(round_trip_us) / 1e3
                );
                return (sentence, "a server that is nearer, or a phase with more connections".to_owned());
            }
            let (sentence, expected) = failed(Failure::Missed, None, allowed_us);
            (format!("{sentence}: all {connections} that the phase allows were waiting for answers"), expected)
        }
    }
}

/// The lines of a header in these bytes as they came, for people: the judge has read them its own way. `None` when
/// there is none.
pub fn header_lines(bytes: &[u8], name: &str) -> Option<String> {
    let mut found = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if line[..colon].eq_ignore_ascii_case(name.as_bytes()) {
            found.push(printable(line, VALUE_BYTES_MAX));
        }
    }
    (!found.is_empty()).then(|| found.join(", "))
}

/// What is said of a header that is not there.
pub fn no_header(name: &str) -> String {
    format!("no {name} header")
}

/// The first line of an answer, for people. `None` when it is empty.
pub fn first_line(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|byte| *byte == b'\n').next().filter(|line| !line.is_empty())?;
    Some(printable(line.strip_suffix(b"\r").unwrap_or(line), VALUE_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_in_any_case_and_shown_escaped() {
        let head = b"HTTP/1.1 200 OK\r\ntoken: \x1b[31mred\r\nX: y\r\nTOKEN: two\r\n\r\n";
        assert_eq!(header_lines(head, "Token").as_deref(), Some("token: \\x1b[31mred, TOKEN: two"));
        assert_eq!(header_lines(head, "From"), None);
        assert_eq!(first_line(head).as_deref(), Some("HTTP/1.1 200 OK"));
        assert_eq!(first_line(b""), None);
    }

    #[test]
    fn every_failure_has_a_sentence_and_says_what_was_expected() {
        for failure in Failure::ALL {
            let (sentence, expected) = failed(failure, None, 1_500_000);
            assert!(sentence.len() > 20 && !expected.is_empty(), "{failure:?}");
        }
        assert!(failed(Failure::Timeout, None, 1_500_000).0.contains("1.5 s"));
    }
}
