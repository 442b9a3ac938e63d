//! What a probe found, for people. Everything in it is printable and bounded, whoever wrote it.

use crate::observe::wording::HeaderWords;
use flowtest_contest::text::printable;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::verdict::Failure;
use flowtest_scoreboard::ProbeVerdicts;
use flowtest_scoreboard::probe::{HEAD_BYTES_MAX, is_for_contestants, without_answer};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Everything that was asked of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// Normalised.
    pub endpoint: String,
    /// In the order in which they were sent.
    pub exchanges: Vec<ProbedExchange>,
    /// Addresses that were not asked, for the time was over.
    pub unasked: usize,
}

/// One token and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbedExchange {
    pub address: SocketAddr,
    /// When the request was sent, or was about to be.
    pub sent: UtcUs,
    /// From the send to the whole answer, in microseconds; nothing without one.
    pub latency_us: Option<u64>,
    /// The request went out twice, for the peer had ended the connection that was kept alive.
    pub resent: bool,
    /// Bytes came behind the answer that nobody had asked for. It costs no points, but the connection.
    pub unsolicited: bool,
    /// The first line of the answer, as far as one came.
    pub status_line: Option<String>,
    /// The head of the answer, escaped, at most 1 KiB.
    pub head: String,
    pub finding: Finding,
    /// Whether the answer says whose server it is, where that is asked for.
    pub team: Option<HeaderWords>,
    /// Whose server the answer says it is, asked for or not.
    pub team_seen: Option<String>,
    /// SHA-256 of the certificate that the server showed, in hex; none over http.
    pub certificate: Option<String>,
}

/// What an exchange is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A well-framed 2xx answer: Token, Version, From.
    Answered(Box<[HeaderWords; 3]>),
    Failed {
        failure: Failure,
        message: String,
        expected: String,
        received: String,
    },
}

impl ProbedExchange {
    /// All that was asked for is right.
    pub fn is_verified(&self) -> bool {
        self.finding.is_verified() && self.team.as_ref().is_none_or(|team| team.right)
    }

    /// What is wrong, what was expected and what came.
    pub fn message(&self) -> String {
        let team = self.team.as_ref().filter(|team| !team.right).map(header_message);
        let found = Some(self.finding.message()).filter(|message| !message.is_empty());
        found.into_iter().chain(team).collect::<Vec<_>>().join("; ")
    }

    /// The same for contestants: what came only where they may read it.
    pub fn message_for_contestants(&self) -> String {
        let message = self.message();
        if is_for_contestants(Some(self.address), &self.head) { message } else { without_answer(&message) }
    }
}

fn words(kind: &str, message: &str, expected: &str, received: &str) -> String {
    format!("{kind}: {message} (expected: {expected}; received: {received})")
}

fn header_message(header: &HeaderWords) -> String {
    words(header.kind, &header.message, &header.expected, &header.received)
}

impl Finding {
    pub fn is_verified(&self) -> bool {
        matches!(self, Finding::Answered(headers) if headers.iter().all(|header| header.right))
    }

    pub fn failure(&self) -> Option<Failure> {
        match self {
            Finding::Answered(_) => None,
            Finding::Failed { failure, .. } => Some(*failure),
        }
    }

    /// What is wrong, what was expected and what came.
    fn message(&self) -> String {
        match self {
            Finding::Failed { failure, message, expected, received } => {
                words(failure.name(), message, expected, received)
            }
            Finding::Answered(headers) => {
                headers.iter().filter(|header| !header.right).map(header_message).collect::<Vec<_>>().join("; ")
            }
        }
    }
}

impl ProbeReport {
    /// Everything was asked and every answer was right.
    pub fn ready(&self) -> bool {
        self.unasked == 0 && !self.exchanges.is_empty() && self.exchanges.iter().all(|exchange| exchange.is_verified())
    }

    /// Whether an address gave as many right answers as it was asked for.
    pub fn is_verified_at(&self, address: SocketAddr) -> bool {
        let mut own = self.exchanges.iter().filter(|exchange| exchange.address == address).peekable();
        own.peek().is_some() && own.all(|exchange| exchange.is_verified())
    }

    /// The addresses that gave as many right answers as they were asked for.
    pub fn verified_addresses(&self) -> BTreeSet<SocketAddr> {
        let addresses = self.exchanges.iter().map(|exchange| exchange.address);
        addresses.filter(|address| self.is_verified_at(*address)).collect()
    }

    /// The exchange to show: the first that is not right, or the last.
    pub fn telling(&self) -> Option<&ProbedExchange> {
        self.exchanges.iter().find(|exchange| !exchange.is_verified()).or(self.exchanges.last())
    }

    /// Whose server it says it is; of several that are said the first that is not this contestant.
    pub fn team_seen(&self, contestant: &str) -> Option<&str> {
        let seen = || self.exchanges.iter().filter_map(|exchange| exchange.team_seen.as_deref());
        seen().find(|team| !team.eq_ignore_ascii_case(contestant)).or_else(|| seen().next())
    }

    /// The certificate of a right answer.
    pub fn certificate(&self) -> Option<&str> {
        let mut verified = self.exchanges.iter().filter(|exchange| exchange.is_verified());
        verified.find_map(|exchange| exchange.certificate.as_deref())
    }

    /// The first answer that does not say rightly whose server it is, as a sentence; none where that is not asked for.
    pub fn disowned(&self) -> Option<String> {
        self.exchanges.iter().find_map(|exchange| {
            let team = exchange.team.as_ref().filter(|team| !team.right)?;
            Some(format!("{}: {}", exchange.address, header_message(team)))
        })
    }

    /// The fastest answer, in microseconds.
    pub fn latency_us(&self) -> Option<u64> {
        self.exchanges.iter().filter_map(|exchange| exchange.latency_us).min()
    }

    /// Which of the three headers were right in every answer; nothing without a well-framed 2xx answer. Where each address failed
    /// to answer once, none was: right answers in a row are asked for.
    pub fn verdicts(&self) -> Option<ProbeVerdicts> {
        let has_failed = |exchange: &ProbedExchange| matches!(exchange.finding, Finding::Failed { .. });
        let is_verified = |exchange: &ProbedExchange| self.is_verified_at(exchange.address);
        let is_unsteady = self.exchanges.iter().any(has_failed) && !self.exchanges.iter().any(is_verified);
        self.exchanges
            .iter()
            .filter_map(|exchange| match &exchange.finding {
                Finding::Answered(headers) => {
                    let [token, version, from] = headers.each_ref().map(|header| header.right);
                    Some(ProbeVerdicts { token, version, from })
                }
                Finding::Failed { .. } => None,
            })
            .reduce(|all, one| ProbeVerdicts {
                token: all.token && one.token,
                version: all.version && one.version,
                from: all.from && one.from,
            })
            .map(|all| if is_unsteady { ProbeVerdicts::default() } else { all })
    }

    /// What is wrong, or that all is well.
    pub fn message(&self) -> String {
        self.message_by(ProbedExchange::message)
    }

    /// The same for contestants: what came only where they may read it.
    pub fn message_for_contestants(&self) -> String {
        self.message_by(ProbedExchange::message_for_contestants)
    }

    fn message_by(&self, words: fn(&ProbedExchange) -> String) -> String {
        let wrong = self.exchanges.iter().find(|exchange| !exchange.is_verified());
        match wrong {
            Some(exchange) => match self.addresses() {
                0 | 1 => words(exchange),
                _ => format!("{}: {}", exchange.address, words(exchange)),
            },
            None if self.unasked > 0 => {
                format!("{} of its addresses were not asked, for the time was over: test it again", self.unasked)
            }
            None if self.exchanges.iter().any(|exchange| exchange.unsolicited) => {
                "all three headers are right, but bytes came behind an answer that nobody had asked for: such a \
                 connection is closed; check Content-Length"
                    .to_owned()
            }
            None => match self.exchanges.len() {
                0 => "nothing was asked".to_owned(),
                1 => "all three headers are right".to_owned(),
                count => format!("all three headers are right in all {count} answers"),
            },
        }
    }

    /// Addresses that were asked.
    fn addresses(&self) -> usize {
        let mut addresses: Vec<SocketAddr> = self.exchanges.iter().map(|exchange| exchange.address).collect();
        addresses.dedup();
        addresses.len()
    }
}

/// A head as people may see it.
pub(super) fn head_for_people(head: &[u8]) -> String {
    printable(head, HEAD_BYTES_MAX)
}
