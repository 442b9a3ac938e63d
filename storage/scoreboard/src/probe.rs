//! "Test my endpoint": a request that anybody of the platform may put, and the answer of the generator that took it.

use crate::error::ScoreboardError;
use crate::keys;
use crate::reader::Scoreboard;
use flowtest_contest::Policy;
use flowtest_contest::address::comparable;
use flowtest_contest::names::is_id;
use flowtest_contest::text::bounded;
use flowtest_contract::header;
use flowtest_contract::rules::{Deadlines, UtcUs};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Requests that wait at most: older ones are dropped, for nobody waits so long.
pub const WAITING_MAX: usize = 200;
/// Longest head of a response that is shown, in bytes.
pub const HEAD_BYTES_MAX: usize = 1024;
const TEXT_BYTES_MAX: usize = 400;
/// Addresses that are told: as many of a name are used.
const ADDRESSES_MAX: usize = 64;
/// An address of IPv6 with its zone and port.
const ADDRESS_BYTES_MAX: usize = 80;
/// An endpoint as long as endpoints may be, and the rest.
const JSON_BYTES_MAX: usize = 16 * 1024;

/// A request to test an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// Random: it is part of the answer's key.
    pub id: String,
    /// When it was put.
    pub at: UtcUs,
    /// Whose endpoint it is.
    pub contestant: String,
    /// As typed, so that the answer names what is wrong with it.
    pub endpoint: String,
    /// Nobody asked: the dashboard looks by itself, and the contestant's own next test is not kept waiting by it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// By which the answers are judged: whoever takes the request may not have read yet that one was moved. None: an older
    /// dashboard leaves it to the generator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
}

/// What a test of an endpoint found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    pub id: String,
    /// When the answer came.
    pub at: UtcUs,
    /// Who asked.
    pub generator: String,
    /// The endpoint, normalised, or as typed when it is none.
    pub endpoint: String,
    /// The address that was asked, when one was.
    pub address: Option<String>,
    /// All that answered: a name has several. None: an older generator tells the one above alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Nothing when no well-framed 2xx answer came.
    pub verdicts: Option<ProbeVerdicts>,
    /// The server was not asked, for a reason of ours, so nothing is known of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_made: bool,
    /// From the send to the whole answer, in microseconds.
    pub latency_us: Option<u64>,
    /// What to do next, or that all is well.
    #[serde(flatten, with = "crate::message")]
    pub message: String,
    /// The head of the response, escaped by [`text::printable`](flowtest_contest::text::printable), at most
    /// [`HEAD_BYTES_MAX`].
    pub head: String,
    /// Whose server the answers say it is, in `Team`; nothing when they do not say it once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// SHA-256 of the certificate that it showed, in hex; nothing over http, or where it gave no right answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// The three that are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeVerdicts {
    pub token: bool,
    pub version: bool,
    pub from: bool,
}

impl ProbeRequest {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are always JSON")
    }

    pub(crate) fn from_json(text: &[u8]) -> Option<ProbeRequest> {
        let request: ProbeRequest = parse(text)?;
        is_id(&request.id).then_some(request)
    }
}

impl ProbeAnswer {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&self.clone().within_bounds()).expect("texts and numbers are always JSON")
    }

    pub(crate) fn from_json(text: &[u8]) -> Option<ProbeAnswer> {
        parse(text).map(ProbeAnswer::within_bounds)
    }

    /// What a contestant may read of it. A test asks whatever the policy opens, and what is not public may be a machine that
    /// the network lets nobody else ask: its words are shown only where it speaks as a contestant's server does.
    #[must_use]
    pub fn for_contestant(self) -> ProbeAnswer {
        let address = self.address.as_deref().and_then(|address| address.parse().ok());
        if is_for_contestants(address, &self.head) {
            return self;
        }
        ProbeAnswer { message: without_answer(&self.message), head: String::new(), ..self }
    }

    /// Whether all three headers were right.
    pub fn is_verified(&self) -> bool {
        self.verdicts.is_some_and(|verdicts| verdicts.token && verdicts.version && verdicts.from)
    }

    /// All that answered, each in the form in which addresses are compared.
    pub fn answered_at(&self) -> Vec<SocketAddr> {
        let told = match &self.addresses[..] {
            [] => self.address.as_slice(),
            told => told,
        };
        told.iter().filter_map(|address| Some(comparable(address.parse().ok()?))).collect()
    }

    fn within_bounds(mut self) -> ProbeAnswer {
        for text in [&mut self.id, &mut self.generator, &mut self.endpoint, &mut self.message] {
            *text = bounded(text, TEXT_BYTES_MAX);
        }
        self.address = self.address.map(|address| bounded(&address, TEXT_BYTES_MAX));
        self.addresses.truncate(ADDRESSES_MAX);
        self.addresses.iter_mut().for_each(|address| *address = bounded(address, ADDRESS_BYTES_MAX));
        self.head = bounded(&self.head, HEAD_BYTES_MAX);
        self.team = self.team.map(|team| bounded(&team, TEXT_BYTES_MAX));
        self.certificate = self.certificate.map(|certificate| bounded(&certificate, TEXT_BYTES_MAX));
        self
    }
}

/// Whether a contestant may read what an address answered, by the head as it is shown: where nothing came, where it has the
/// three headers of the contract, and where anybody could ask the same.
pub fn is_for_contestants(address: Option<SocketAddr>, head: &str) -> bool {
    let is_public = |address: SocketAddr| Policy::default().judge_ip(address.ip()).is_ok();
    head.is_empty() || has_contract(head) || address.is_some_and(is_public)
}

/// What stands in place of an answer that contestants may not read.
pub const ANSWER_WITHHELD: &str =
    "What it answers is shown where the headers Token, Version and From are there, whatever they say.";

/// What is wrong with an answer, without the answer.
pub fn without_answer(message: &str) -> String {
    // What came stands behind what was expected.
    let said = message.split(" (expected:").next().unwrap_or_default();
    format!("{said}. {ANSWER_WITHHELD}")
}

/// Whether the head of an answer, as it is shown, has the three headers of the contract.
fn has_contract(head: &str) -> bool {
    let names: Vec<&str> = head.split("\\r\\n").skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
    [header::TOKEN, header::VERSION, header::FROM]
        .iter()
        .all(|wanted| names.iter().any(|name| name.eq_ignore_ascii_case(wanted)))
}

fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    if text.len() > JSON_BYTES_MAX { None } else { serde_json::from_slice(text).ok() }
}

impl Scoreboard {
    /// Puts a request; some generator takes it.
    ///
    /// # Errors
    /// [`ScoreboardError::Config`] for an id that no request may have or an endpoint that is too long, and what is wrong with
    /// Redis.
    pub fn ask_probe(&mut self, contest: &str, request: &ProbeRequest) -> Result<(), ScoreboardError> {
        if !is_id(&request.id) {
            return Err(wrong_id(&request.id));
        }
        let text = request.to_json();
        if text.len() > JSON_BYTES_MAX {
            return Err(ScoreboardError::Config("the endpoint to test is too long: shorten it".to_owned()));
        }
        let key = keys::probes(contest);
        let mut pipeline = redis::pipe();
        pipeline.rpush(&key, text).ltrim(&key, -(WAITING_MAX as isize), -1);
        self.run(|connection| connection.pipeline("ask for a test of an endpoint", &pipeline))
    }

    /// Takes the oldest request that is not older than its answer would live at `now`. What is no request is thrown
    /// away, a few at a time.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn take_probe(&mut self, contest: &str, now: UtcUs) -> Result<Option<ProbeRequest>, ScoreboardError> {
        let oldest = now.saturating_sub(keys::PROBE_LIFE_SECONDS * 1_000_000);
        self.take("take a test of an endpoint", &keys::probes(contest), |text| {
            ProbeRequest::from_json(text).filter(|request| request.at >= oldest)
        })
    }

    /// Puts the answer; it lives [`keys::PROBE_LIFE_SECONDS`].
    ///
    /// # Errors
    /// [`ScoreboardError::Config`] for an id that no request has, and what is wrong with Redis.
    pub fn answer_probe(&mut self, contest: &str, answer: &ProbeAnswer) -> Result<(), ScoreboardError> {
        if !is_id(&answer.id) {
            return Err(wrong_id(&answer.id));
        }
        let mut command = redis::cmd("SET");
        command.arg(keys::probe(contest, &answer.id)).arg(answer.to_json()).arg("EX").arg(keys::PROBE_LIFE_SECONDS);
        self.run(|connection| connection.command("answer a test of an endpoint", &command))
    }

    /// The answer, when there is one yet.
    ///
    /// # Errors
    /// [`ScoreboardError::Config`] for an id that no request has, and what is wrong with Redis.
    pub fn read_probe(&mut self, contest: &str, id: &str) -> Result<Option<ProbeAnswer>, ScoreboardError> {
        if !is_id(id) {
            return Err(wrong_id(id));
        }
        let mut command = redis::cmd("GETRANGE");
        command.arg(keys::probe(contest, id)).arg(0).arg(JSON_BYTES_MAX);
        let text: Vec<u8> =
            self.run(|connection| connection.command("read the answer to a test of an endpoint", &command))?;
        Ok(ProbeAnswer::from_json(&text))
    }
}

fn wrong_id(id: &str) -> ScoreboardError {
    ScoreboardError::Config(format!(
        "{:?} is no id of a probe: draw 1 to 64 letters, digits and hyphens",
        bounded(id, TEXT_BYTES_MAX)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_probe_is_left_out() {
        let request = |id: &str| ProbeRequest {
            id: id.into(),
            at: UtcUs(1),
            contestant: "alice".into(),
            endpoint: "a".into(),
            automatic: false,
            deadlines: Some(Deadlines::default()),
        };
        assert_eq!(ProbeRequest::from_json(request("p-1").to_json().as_bytes()), Some(request("p-1")));
        for bad in ["", "a:b", "{x}", "a b", &"x".repeat(65)] {
            assert_eq!(ProbeRequest::from_json(request(bad).to_json().as_bytes()), None, "{bad:?}");
        }
        assert_eq!(ProbeRequest::from_json(&vec![b'['; JSON_BYTES_MAX + 1]), None);
    }

    #[test]
    fn an_answer_shows_a_kilobyte_of_head_and_no_control_characters() {
        let answer = ProbeAnswer {
            id: "p1".into(),
            at: UtcUs(2),
            generator: "g1".into(),
            endpoint: "http://10.0.0.1/".into(),
            address: Some("10.0.0.1:80".into()),
            addresses: Vec::new(),
            not_made: false,
            verdicts: Some(ProbeVerdicts { token: true, version: false, from: true }),
            latency_us: Some(900),
            message: "Version is v1 and should be v2".into(),
            head: "\u{1b}[2J".repeat(9_999),
            team: None,
            certificate: None,
        };
        let read = ProbeAnswer::from_json(answer.to_json().as_bytes()).expect("readable");
        assert!(read.head.len() <= HEAD_BYTES_MAX && !read.head.contains('\u{1b}'));
        assert_eq!(read.verdicts, answer.verdicts);
    }

    #[test]
    fn what_is_inside_and_no_contestants_server_is_not_read_out() {
        let contract = r"HTTP/1.1 200 OK\r\nTOKEN: x\r\nversion:v1\r\nFrom: EC2\r\n\r\n";
        let inside = r"HTTP/1.1 200 OK\r\nServer: consul\r\nToken: x\r\nSecret: s3cret\r\n\r\n";
        // (address, head, whether it is shown)
        let cases = [
            ("10.0.0.7:8500", inside, false),
            ("127.0.0.1:6379", "-ERR unknown command", false),
            // the carrier of a private one
            ("[64:ff9b::a00:7]:8500", inside, false),
            ("10.0.0.7:8500", contract, true),
            ("192.0.2.1:80", inside, false),
            ("9.9.9.9:80", inside, true),
            // nobody knows who said it
            ("", inside, false),
        ];
        for (address, head, shown) in cases {
            let answer = ProbeAnswer {
                id: "p1".into(),
                at: UtcUs(2),
                generator: "g1".into(),
                endpoint: "http://inside/".into(),
                address: Some(address.to_owned()),
                addresses: Vec::new(),
                verdicts: None,
                not_made: false,
                team: None,
                certificate: None,
                latency_us: None,
                message: "malformed: no status line (expected: HTTP/1.1; received: s3cret)".into(),
                head: head.to_owned(),
            };
            let read = answer.clone().for_contestant();
            assert_eq!(read == answer, shown, "{address} {head}: {read:?}");
            assert!(shown || !format!("{read:?}").contains("s3cret"), "{read:?}");
            assert!(read.message.starts_with("malformed: no status line"), "{read:?}");
        }
    }
}
