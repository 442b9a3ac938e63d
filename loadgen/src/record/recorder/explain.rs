//! A failing exchange as a contestant gets to read it: what was expected, what came, why it is wrong. Pure.

use crate::engine::index::ContestantIndex;
use crate::engine::plan::Plan;
use crate::engine::tls::TlsReason;
use crate::engine::trace::Sample;
use crate::observe::wording;
use crate::record::recorder::requests::Requests;
use flowtest_contest::text::printable;
use flowtest_contract::Observed;
use flowtest_contract::verdict::{Failure, Outcome};
use flowtest_journal::record::Observation;
use flowtest_scoreboard::ExplainedError;

/// Longest side of an exchange that people get to see, in bytes.
const EXCHANGE_BYTES_MAX: usize = 1024;

/// A failure in words, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub contestant: ContestantIndex,
    pub error: ExplainedError,
}

/// Explains a sample: one for each wrong header, or one for the failure.
pub fn explain(requests: &Requests, sample: &Sample) -> Vec<Explained> {
    let Some(observation) = Observation::unpack(sample.observed) else { return Vec::new() };
    let plan = requests.plan();
    let request = printable(&requests.sent(sample), EXCHANGE_BYTES_MAX);
    let response = printable(sample.answer(), EXCHANGE_BYTES_MAX);
    let in_words = |(kind, message, expected, received): (&str, String, String, String)| Explained {
        contestant: sample.contestant,
        error: ExplainedError {
            at: sample.sent,
            ended: Some(sample.at),
            kind: kind.to_owned(),
            message,
            expected,
            received,
            request: request.clone(),
            response: response.clone(),
        },
    };
    let reasons = match observation.outcome {
        Outcome::Failed(failure) => {
            let timeout_us = plan.rules.timeout_us;
            let (message, expected) = match (sample.missed, sample.tls, sample.own) {
                (Some(why), ..) => wording::missed(why, timeout_us),
                (None, Some(why), own)
                    if failure == Failure::Tls || (own.is_none() && why == TlsReason::NoCloseNotify) =>
                {
                    wording::tls(why)
                }
                (None, _, Some(cause)) => wording::own_fault(cause),
                (None, ..) => wording::failed(failure, sample.malformed, timeout_us),
            };
            vec![(failure.name(), message, expected, received(sample))]
        }
        Outcome::Answered(observed) => wrong_headers(plan, sample, observed),
    };
    reasons.into_iter().map(in_words).collect()
}

/// Kind, message, what was expected and what came, of each header that is wrong.
fn wrong_headers(plan: &Plan, sample: &Sample, observed: Observed) -> Vec<(&'static str, String, String, String)> {
    let shown = |name: &str| lines(sample, name);
    wording::headers(observed, &plan.rules, plan.schedule.deadlines(sample.sent), sample.sent, &sample.token, shown)
        .into_iter()
        .filter(|header| !header.right)
        .map(|header| (header.kind, header.message, header.expected, header.received))
        .collect()
}

/// What came, for failures that have no header to show.
fn received(sample: &Sample) -> String {
    let answer = sample.answer();
    if let Some(line) = wording::first_line(answer).filter(|_| sample.skipped == 0) {
        return line;
    }
    match (sample.never_sent, u64::from(sample.skipped) + answer.len() as u64) {
        (true, _) => "the request was never sent".to_owned(),
        (false, 0) => "not a byte".to_owned(),
        (false, bytes) => format!("{bytes} bytes of an answer"),
    }
}

/// The lines of a header as they came.
fn lines(sample: &Sample, name: &str) -> String {
    wording::header_lines(sample.answer(), name).unwrap_or_else(|| match sample.skipped {
        0 => wording::no_header(name),
        _ => "the answer came in several parts, of which the first was not kept".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::causes::OwnCause;
    use crate::engine::http::Malformed;
    use crate::engine::schedule::Schedule;
    use crate::engine::trace::{ResponseBytes, Samples, Tracing};
    use flowtest_contract::rules::{Deadline, Deadlines, UtcUs};
    use flowtest_contract::{Platform, Seen, Token, Version};
    use std::sync::Arc;

    fn requests() -> Requests {
        Requests::new(Arc::new(Plan {
            schedule: Arc::new(Schedule::steady(Deadlines {
                version: Deadline(UtcUs(100_000_000)),
                from: Deadline::NEVER,
            })),
            ..Plan::default()
        }))
    }

    fn sample(outcome: Outcome, sent: UtcUs, answer: &[u8], malformed: Option<Malformed>) -> Sample {
        let mut samples = Samples::new(Tracing::On);
        samples.push(&ResponseBytes { bytes: answer, malformed, ..ResponseBytes::NOTHING }, |sample| {
            sample.sent = sent;
            sample.token = Token(*b"0123456789abcdef0123456789abcdef");
            sample.observed = Observation { outcome, scored: true }.pack();
        });
        samples.as_slice()[0].clone()
    }

    fn words(explained: &[Explained]) -> Vec<String> {
        explained
            .iter()
            .map(|Explained { error, .. }| {
                format!("{}: {} | {} | {}", error.kind, error.message, error.expected, error.received)
            })
            .collect()
    }

    #[test]
    fn each_wrong_header_has_its_sentence() {
        let observed = Observed { token_right: false, version: Seen::Value(Version::V1), from: Seen::Missing };
        let answer = b"HTTP/1.1 200 OK\r\ntoken: \x1b[31mred\r\nVersion: v1\r\n\r\n";
        let explained = explain(&requests(), &sample(Outcome::Answered(observed), UtcUs(200_000_000), answer, None));
        assert_eq!(
            words(&explained),
            [
                "token: the Token header must repeat the token of the same request, exactly once | Token: 0123456789abcdef0123456789abcdef | token: \\x1b[31mred",
                "version: v1 was right before the deadline, which has passed | Version: v2 | Version: v1",
                "from: there is no From header | From: EC2 | no From header",
            ]
        );
    }

    #[test]
    fn a_value_that_comes_too_early_is_told_when_it_is_right() {
        let observed =
            Observed { token_right: true, version: Seen::Value(Version::V2), from: Seen::Value(Platform::Ec2) };
        let answer = b"HTTP/1.1 200 OK\r\nVersion: v2\r\n\r\n";
        let early = explain(&requests(), &sample(Outcome::Answered(observed), UtcUs(1), answer, None));
        assert_eq!(words(&early), ["version: v2 is right only from the deadline on | Version: v1 | Version: v2"]);
        // Within the grace of the deadline nothing is wrong, and there is nothing to explain.
        assert_eq!(explain(&requests(), &sample(Outcome::Answered(observed), UtcUs(99_000_000), answer, None)), []);
    }

    #[test]
    fn what_failed_is_of_the_second_in_which_it_is_counted() {
        let mut sample = sample(Outcome::Failed(Failure::Timeout), UtcUs(1_000_000), b"", None);
        sample.at = UtcUs(4_000_000);
        let error = &explain(&requests(), &sample)[0].error;
        assert_eq!((error.at, error.ended), (UtcUs(1_000_000), Some(UtcUs(4_000_000))));
    }

    #[test]
    fn our_own_fault_says_what_it_was() {
        let mut sample = sample(Outcome::Failed(Failure::OwnFault), UtcUs(1), b"", None);
        sample.own = Some(OwnCause::Ports);
        let explained = explain(&requests(), &sample);
        let message =
            "the generator's own fault, which costs nothing: no local port was left for connections to a server";
        assert_eq!((explained.len(), explained[0].error.message.as_str()), (1, message));
        // Also of an answer that lacked its end: nobody has to mend anything for it.
        sample.tls = Some(TlsReason::NoCloseNotify);
        let explained = explain(&requests(), &sample);
        assert_eq!(explained[0].error.message, message);
    }

    #[test]
    fn every_failure_has_its_sentence() {
        for failure in Failure::ALL {
            let explained = explain(&requests(), &sample(Outcome::Failed(failure), UtcUs(1), b"", None));
            assert_eq!(explained.len(), 1);
            let error = &explained[0].error;
            assert_eq!(error.kind, failure.name());
            assert!(error.message.len() > 20 && error.received == "not a byte", "{error:?}");
        }
        let status = explain(
            &requests(),
            &sample(Outcome::Failed(Failure::Status), UtcUs(1), b"HTTP/1.1 503 Busy\r\n\r\n", None),
        );
        assert_eq!(status[0].error.received, "HTTP/1.1 503 Busy");
        let malformed = sample(Outcome::Failed(Failure::Malformed), UtcUs(1), b"junk\n", Some(Malformed::NotHttp));
        let malformed = explain(&requests(), &malformed);
        assert!(malformed[0].error.message.starts_with("the response does not begin with"), "{malformed:?}");
    }
}
