//! What is wrong with an answer, in the words that a contestant reads: the message, what was expected, what came.
//!
//! The explainer of failing exchanges and the probe both ask here, so that nobody reads two texts about one mistake.
//! Pure; it judges by [`judge`] and never by itself.

use crate::engine::causes::OwnCause;
use crate::engine::http::Malformed;
use crate::engine::tls::TlsReason;
use crate::engine::trace::Missed;
use flowtest_contest::ladder::carried_rate;
use flowtest_contest::text::printable;
use flowtest_contract::header::{self, Flip, TEAM};
use flowtest_contract::rules::{Deadline, Deadlines, Rules, UtcUs};
use flowtest_contract::verdict::Failure;
use flowtest_contract::{Observed, Seen, Token, judge};
use flowtest_journal::record::LateCause;
use flowtest_scoreboard::BusyWith;

/// What a contestant is expected to do whose requests find no connection.
const FAST_ENOUGH: &str = "answers fast enough for the rate";

/// Longest header line that people get to see, in bytes.
pub const VALUE_BYTES_MAX: usize = 200;

/// How one of the three scored headers, or `Team`, was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderWords {
    /// `token`, `version`, `from` or `team`.
    pub kind: &'static str,
    pub right: bool,
    /// What is wrong and what is right; empty when nothing is wrong.
    pub message: String,
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
    let words = |name: &str, kind, right, expected: String, message: String| HeaderWords {
        kind,
        right,
        message: if right { String::new() } else { message },
        expected: format!("{name}: {expected}"),
        received: lines(name),
    };
    let token_message = "the Token header must repeat the token of the same request, exactly once".to_owned();
    let version = flipped(header::VERSION, deadlines.version, rules.grace_us, sent, observed.version);
    let from = flipped(header::FROM, deadlines.from, rules.grace_us, sent, observed.from);
    [
        words(header::TOKEN, "token", verdict.token, String::from_utf8_lossy(&token.0).into_owned(), token_message),
        words(header::VERSION, "version", verdict.version, version.0, version.1),
        words(header::FROM, "from", verdict.from, from.0, from.1),
    ]
}

/// The right value or values of a header with two settings, and the message for what was seen instead.
fn flipped<T: Flip>(name: &str, deadline: Deadline, grace_us: u64, sent: UtcUs, seen: Seen<T>) -> (String, String) {
    let right: Vec<&str> = [T::BEFORE, T::AFTER]
        .into_iter()
        .filter(|value| deadline.accepts(*value, sent, grace_us))
        .map(Flip::as_str)
        .collect();
    let message = match seen {
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
    (right.join(" or "), message)
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
        Failure::Tls => (
            "a connection before it broke TLS".to_owned(),
            "TLS 1.2 or 1.3 with a certificate that is trusted".to_owned(),
        ),
        Failure::OwnFault => ("the generator's own fault: it costs nothing".to_owned(), answer),
    }
}

/// What of our own it was. People read it behind a colon.
pub fn own_cause(cause: OwnCause) -> &'static str {
    match cause {
        OwnCause::Late(LateCause::Gap) => "a worker stood still, for its machine gave it no time",
        OwnCause::Late(LateCause::Busy) => "a worker never rested, for more is asked of its core than it can do",
        OwnCause::Late(LateCause::Journal) => "the journal could not be written",
        OwnCause::Late(LateCause::Control) => "the plan was changed or ended while requests waited",
        OwnCause::Late(LateCause::Resources) => "the machine was short of descriptors, memory or ports",
        OwnCause::Ports => "no local port was left for connections to a server",
        OwnCause::Descriptors => "no file descriptor was left for another connection",
        OwnCause::Memory => "the kernel had no memory for a connection",
        OwnCause::Forbidden => "a firewall of the generator's own machine forbade it",
        OwnCause::Route => "the generator's own machine had no route to a server",
        OwnCause::Trust => "the generator's own machine knows no authority by which it could trust a server over https",
    }
}

/// The same with whose exchanges filled the time of workers that never rested, where some did not.
pub fn with_who(cause: &str, busy_with: Option<&BusyWith>) -> String {
    busy_with.map_or_else(|| cause.to_owned(), |busy_with| format!("{cause}; {busy_with}"))
}

/// Why an exchange is void, and what was expected instead.
pub fn own_fault(cause: OwnCause) -> (String, String) {
    let (_, expected) = failed(Failure::OwnFault, None, 0);
    (format!("the generator's own fault, which costs nothing: {}", own_cause(cause)), expected)
}

/// Why TLS failed, and what was expected instead.
pub fn tls(why: TlsReason) -> (String, String) {
    let failure = if why == TlsReason::NoCloseNotify { Failure::Reset } else { Failure::Tls };
    (why.to_string(), failed(failure, None, 0).1)
}

/// Why a request was missed, and what was expected instead. `allowed_us` is how long it could have waited.
pub fn missed(why: Missed, allowed_us: u64) -> (String, String) {
    match why {
        Missed::NotAdmitted => (
            "nothing was sent, for this endpoint is not admitted: it has not given three right answers since the round was armed \
             or it moved; what falls due in scored phases is missed until it has"
                .to_owned(),
            "three right answers, which are asked for every few seconds".to_owned(),
        ),
        Missed::Probed { since } => {
            let since = jiff::Timestamp::from_microsecond(since.0 as i64)
                .map_or_else(|_| "then".to_owned(), |at| at.strftime("%H:%M:%S UTC").to_string());
            (
                format!(
                    "only one request a second was sent since {since}, for ten seconds had brought no answer with the \
                     right token; what else falls due is missed until three answers have it again"
                ),
                "a 2xx answer with the right Token".to_owned(),
            )
        }
        Missed::NoConnection { connections, rate, round_trip_us, answer_us } => {
            // What the distance alone lets through, however fast the server answers.
            let carries = carried_rate(connections, u64::from(round_trip_us));
            if round_trip_us > 0 && carries < rate {
                let message = format!(
                    "the server is far away: there and back takes {} ms, so that the {connections} connections of this \
                     phase carry {carries} requests a second, and {rate} are due",
                    f64::from(round_trip_us) / 1e3
                );
                return (message, "a server that is nearer, or a phase with more connections".to_owned());
            }
            let (message, expected) = failed(Failure::Missed, None, allowed_us);
            let taken = format!("{message}: all {connections} that the phase allows were waiting for answers");
            if answer_us == 0 || rate == 0 {
                return (taken, expected);
            }
            // So long may an answer take if all connections together are to carry the rate.
            let most_us = f64::from(connections) * 1e6 / rate as f64;
            if f64::from(answer_us) <= most_us {
                return (format!("{taken}, which come late or not at all"), expected);
            }
            let took = format!(
                "{taken}, which take {} ms of late; {rate} requests a second are due, for which each may take {} ms",
                f64::from(answer_us / 100) / 10.0,
                (most_us / 100.0).floor() / 10.0,
            );
            (took, expected)
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

/// The value of a header that is there exactly once, without spaces around it, for people.
pub fn header_value(bytes: &[u8], name: &str) -> Option<String> {
    let mut values = values(bytes, name);
    let value = values.next().filter(|_| values.next().is_none())?;
    Some(printable(value, VALUE_BYTES_MAX))
}

fn values<'a>(bytes: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    bytes.split(|byte| *byte == b'\n').filter_map(move |line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    })
}

/// Whether an answer with this head says once, and rightly, whose server it is.
pub fn team(head: &[u8], name: &str) -> HeaderWords {
    let values: Vec<&[u8]> = values(head, TEAM).collect();
    let right = matches!(values[..], [value] if value.eq_ignore_ascii_case(name.as_bytes()));
    let message = match values.len() {
        _ if right => "",
        0 => "each answer has to say whose server it is; send your login name in Team",
        1 => "the server says that it is another's; name your own, or send your login name in Team",
        _ => "Team is there more than once; send it once",
    };
    HeaderWords {
        kind: "team",
        right,
        message: message.to_owned(),
        expected: format!("{TEAM}: {name}"),
        received: header_lines(head, TEAM).unwrap_or_else(|| no_header(TEAM)),
    }
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
    fn a_server_says_once_whose_it_is() {
        let head = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        // (lines, whether it is alice's, what is read, part of the sentence)
        let cases = [
            ("Team: alice\r\n", true, Some("alice"), ""),
            ("team:  ALICE \r\n", true, Some("ALICE"), ""),
            ("X: y\r\n", false, None, "send your login name"),
            ("Team: bobby\r\n", false, Some("bobby"), "another's"),
            ("Team: alice\r\nTeam: alice\r\n", false, None, "more than once"),
            ("Teams: alice\r\n", false, None, "send your login name"),
        ];
        for (lines, right, value, part) in cases {
            let (head, lines) = (head(lines), lines.escape_debug());
            let words = team(head.as_bytes(), "alice");
            assert_eq!((words.right, words.message.is_empty()), (right, right), "{lines}");
            assert!(words.message.contains(part) && words.expected == "Team: alice", "{lines}: {words:?}");
            assert_eq!(header_value(head.as_bytes(), "Team").as_deref(), value, "{lines}");
        }
    }

    #[test]
    fn a_header_is_found_in_any_case_and_shown_escaped() {
        let head = b"HTTP/1.1 200 OK\r\ntoken: \x1b[31mred\r\nX: y\r\nTOKEN: two\r\n\r\n";
        assert_eq!(header_lines(head, "Token").as_deref(), Some("token: \\x1b[31mred, TOKEN: two"));
        assert_eq!(header_lines(head, "From"), None);
        assert_eq!(first_line(head).as_deref(), Some("HTTP/1.1 200 OK"));
        assert_eq!(first_line(b""), None);
    }

    #[test]
    fn missed_says_whether_the_answers_were_slow_or_the_server_is_far() {
        let why = |round_trip_us, answer_us| {
            missed(Missed::NoConnection { connections: 4, rate: 200, round_trip_us, answer_us }, 1_000_000).0
        };
        let slow = why(300, 180_340);
        assert!(
            slow.contains("waiting for answers, which take 180.3 ms of late") && slow.contains("may take 20 ms"),
            "{slow}"
        );
        let far = why(100_000, 101_000);
        assert!(far.contains("far away") && far.contains("takes 100 ms") && far.contains("carry 40"), "{far}");
        let hangs = why(300, 1_000);
        assert!(hangs.ends_with("which come late or not at all"), "its answers were fast while they came: {hangs}");
        let silent = why(300, 0);
        assert!(silent.ends_with("were waiting for answers"), "{silent}");
    }

    #[test]
    fn each_cause_of_our_own_has_words_of_its_own() {
        let late = LateCause::ALL.map(OwnCause::Late);
        let short = [libc::EADDRNOTAVAIL, libc::EMFILE, libc::ENOBUFS, libc::EPERM].map(OwnCause::of_errno);
        let words: std::collections::BTreeSet<&str> = late.into_iter().chain(short).map(own_cause).collect();
        assert_eq!(words.len(), late.len() + short.len(), "{words:?}");
        assert!(own_cause(OwnCause::of_errno(libc::EADDRNOTAVAIL)).contains("local port"));
    }

    #[test]
    fn every_failure_has_a_sentence_and_says_what_was_expected() {
        for failure in Failure::ALL {
            let (message, expected) = failed(failure, None, 1_500_000);
            assert!(message.len() > 20 && !expected.is_empty(), "{failure:?}");
        }
        assert!(failed(Failure::Timeout, None, 1_500_000).0.contains("1.5 s"));
    }
}
