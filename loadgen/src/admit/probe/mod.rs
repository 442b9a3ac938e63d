//! A few tokens to an endpoint, beside the flood: is it ready, and if not, what is wrong.
//!
//! | module | noun |
//! |---|---|
//! | [`exchange`] | one token over one plain socket, by the bytes and the reader of the flood |
//! | [`answer`] | what came of one request, as bytes; no I/O |
//! | [`report`] | what a probe found, for people |
//! | [`prepare`] | a whole roster before a round, and those that wait |
//! | [`service`] | who asks "test my endpoint" through Redis |
//!
//! A probe judges as the flood does and never adds to a tally. Whom it may ask is decided before, by
//! [`guard::admit`](crate::admit::guard::admit).

pub mod answer;
pub mod exchange;
pub mod prepare;
pub mod report;
pub mod service;

pub use prepare::{Candidate, Checked, check};
pub use report::{Finding, ProbeReport, ProbedExchange};
pub use service::{ProbeService, Settings};

use crate::engine::http::RequestTemplate;
use exchange::Line;
use flowtest_contest::Endpoint;
use flowtest_contract::TokenMint;
use flowtest_contract::rules::{Deadlines, Rules};
use flowtest_contract::verdict::Failure;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Tokens that a contestant has to echo to be ready.
pub const TOKENS: usize = 3;
/// Addresses of one name that are asked; the flood goes to all of them, and a name rarely has more than eight.
pub const ADDRESSES_MAX: usize = 32;

/// How a probe asks and judges.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub rules: Rules,
    /// Those by which an answer of this moment is judged.
    pub deadlines: Deadlines,
    /// Requests at least; one more for each further address.
    pub tokens: usize,
    /// Each of the first [`ADDRESSES_MAX`] addresses is asked, as the flood will ask all of them; else the first alone.
    pub every_address: bool,
}

impl Terms {
    /// [`TOKENS`] requests over every address.
    pub fn new(rules: Rules, deadlines: Deadlines) -> Terms {
        Terms { rules, deadlines, tokens: TOKENS, every_address: true }
    }
}

/// Why nothing was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    #[error("there is no address to ask: resolve the name first")]
    NoAddress,
    #[error("no random key for the tokens ({0}): look at this machine's kernel")]
    Random(String),
}

/// Sends fresh tokens to addresses that the policy has admitted, one request after the other, and judges the answers.
///
/// Each exchange may take as long as the rules say, all of them together `timeout`. Requests to one address share a
/// connection as long as it is kept alive. What stays silent or refuses is not asked again.
pub fn probe(
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    terms: &Terms,
    timeout: Duration,
) -> Result<ProbeReport, ProbeError> {
    let until = Instant::now() + timeout;
    let asked = &addresses[..addresses.len().min(if terms.every_address { ADDRESSES_MAX } else { 1 })];
    if asked.is_empty() {
        return Err(ProbeError::NoAddress);
    }
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| ProbeError::Random(error.to_string()))?;
    let mint = TokenMint::new(key, 0);
    let request = RequestTemplate::new(&endpoint.path_and_query, &endpoint.host_header());
    let mut report = ProbeReport { endpoint: endpoint.to_string(), exchanges: Vec::new(), unasked: 0 };
    let requests = terms.tokens.max(asked.len());
    for (index, address) in asked.iter().enumerate() {
        if Instant::now() >= until {
            report.unasked += 1;
            continue;
        }
        let mut line = Line::new(*address, index as u32, &request, &mint);
        for _ in 0..requests / asked.len() + usize::from(index < requests % asked.len()) {
            let exchange = line.exchange(terms, until);
            let gives_up = matches!(exchange.finding.failure(), Some(Failure::Timeout | Failure::Refused));
            report.exchanges.push(exchange);
            if gives_up {
                break;
            }
        }
    }
    Ok(report)
}
