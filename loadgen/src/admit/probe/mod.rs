//! A few tokens to an endpoint, beside the flood: is it ready, and if not, what is wrong.
//!
//! | module | noun |
//! |---|---|
//! | [`exchange`] | one token over one socket, plain or by TLS, by the bytes and the reader of the flood |
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

pub use prepare::{Candidate, Checked, CheckedBy, Claim, Holder, Taken, check, check_since};
pub use report::{Finding, ProbeReport, ProbedExchange};
pub use service::{ProbeService, Settings};

use crate::admit::resolve::ADDRESSES_MAX;
use crate::engine::http::RequestTemplate;
use crate::engine::plan::TlsServer;
use exchange::Line;
use flowtest_contest::Endpoint;
use flowtest_contract::TokenMint;
use flowtest_contract::rules::{Deadlines, Rules};
use flowtest_contract::verdict::Failure;
use parking_lot::Mutex;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Tokens that each address has to echo to be ready.
pub const TOKENS: usize = 3;
/// Addresses of one endpoint that are asked at once.
const AT_ONCE: usize = 8;

/// Whose server it is to be, by the name that each answer has to carry in `Team`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Team<'a>(pub &'a str);

/// How a probe asks and judges.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub rules: Rules,
    /// Those by which an answer of this moment is judged.
    pub deadlines: Deadlines,
    /// Requests to each address.
    pub tokens: usize,
    /// Each of the first [`ADDRESSES_MAX`] addresses is asked, as the flood will ask all of them; else the first alone.
    pub every_address: bool,
}

impl Terms {
    /// [`TOKENS`] requests to every address.
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

/// What cannot be done where [`not_now`] says so.
pub(crate) const ASK: &str = "ask any server";

/// What a contestant reads where the fault is the generator's; the cause is for its log.
pub(crate) fn not_now(deed: &str, cause: &dyn Display) -> String {
    eprintln!("flowtest-loadgen: this generator cannot {deed} now: {cause}");
    format!("the generator cannot {deed} now: try it later, and tell the organisers if it stays so")
}

/// Sends fresh tokens to addresses that the policy has admitted, and judges the answers. Some addresses are asked at once;
/// to one address goes one request after the other.
///
/// Where `tls` is given, that is spoken, and what is wrong with it is a failure of its own. Each exchange may take as long
/// as the rules say, all of them together `timeout`. Requests to one address share a connection as long as it is kept
/// alive. What stays silent, refuses or fails at TLS is not asked again. With a `team` each answer has to say that it is its.
pub fn probe(
    endpoint: &Endpoint,
    tls: Option<&TlsServer>,
    addresses: &[SocketAddr],
    terms: &Terms,
    team: Option<Team<'_>>,
    timeout: Duration,
) -> Result<ProbeReport, ProbeError> {
    let until = Instant::now() + timeout;
    let asked = &addresses[..addresses.len().min(if terms.every_address { ADDRESSES_MAX } else { 1 })];
    if asked.is_empty() {
        return Err(ProbeError::NoAddress);
    }
    let mint = mint()?;
    let request = RequestTemplate::new(&endpoint.path_and_query, &endpoint.host_header());
    let (next, found) = (AtomicUsize::new(0), Mutex::new(vec![Vec::new(); asked.len()]));
    let ask = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(address) = asked.get(index) else { return };
            if Instant::now() < until {
                let mut line = Line::new(*address, index as u32, &request, tls, &mint);
                let exchanges = ask_address(&mut line, terms, team, until);
                found.lock()[index] = exchanges;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..asked.len().min(AT_ONCE) {
            // This thread asks as well, so it only takes longer when there is no other.
            let _ = thread::Builder::new().name("probe".to_owned()).spawn_scoped(scope, ask);
        }
        ask();
    });
    let found = found.into_inner();
    let unasked = found.iter().filter(|exchanges| exchanges.is_empty()).count();
    let exchanges = found.into_iter().flatten().collect();
    Ok(ProbeReport { endpoint: endpoint.to_string(), exchanges, unasked })
}

fn ask_address(line: &mut Line<'_>, terms: &Terms, team: Option<Team<'_>>, until: Instant) -> Vec<ProbedExchange> {
    let mut exchanges = Vec::with_capacity(terms.tokens);
    for _ in 0..terms.tokens {
        let exchange = line.exchange(terms, team, until);
        let gives_up = matches!(exchange.finding.failure(), Some(Failure::Timeout | Failure::Refused | Failure::Tls));
        exchanges.push(exchange);
        if gives_up {
            break;
        }
    }
    exchanges
}

/// Sends one fresh token to an address that the policy has admitted.
pub fn probe_once(
    address: SocketAddr,
    request: &RequestTemplate,
    tls: Option<&TlsServer>,
    terms: &Terms,
) -> Result<ProbedExchange, ProbeError> {
    let mint = mint()?;
    let until = Instant::now() + Duration::from_micros(terms.rules.timeout_us);
    Ok(Line::new(address, 0, request, tls, &mint).exchange(terms, None, until))
}

fn mint() -> Result<TokenMint, ProbeError> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|error| ProbeError::Random(error.to_string()))?;
    Ok(TokenMint::new(key, 0))
}
