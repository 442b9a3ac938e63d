//! A contestant: the reference server as a child, honest or with faults that it counts.

use crate::child::{self, Child, listening_on, listening_on_tls};
use crate::error::{Error, Result};
use flowtest_contract::Tally;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long it may take until it listens, and to answer one question.
const START: Duration = Duration::from_secs(10);

/// More void requests than one in so many prove nothing about the others.
const MOST_VOID: u64 = 10;

#[derive(Debug)]
pub struct Target {
    pub name: String,
    /// `127.0.0.1:PORT`, or `https://127.0.0.1:PORT` of one that shows a certificate, as a contest file wants it.
    pub endpoint: String,
    /// Where it speaks plain http.
    plain: String,
    child: Child,
}

/// How many of each fault a target injected, by the names of `--faults`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Injected(pub BTreeMap<String, u64>);

impl Target {
    /// Starts one with these flags, on a free port of 127.0.0.1 unless they say where.
    pub fn start(name: &str, flags: &[&str]) -> Result<Target> {
        let mut command = child::sibling("flowtest-target")?;
        if !flags.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(flags);
        let mut child = Child::start(name, &command)?;
        let both = |line: &str| Some((listening_on(line)?, listening_on_tls(line)));
        let (url, sealed) = child.wait_for("listening on http://", START, both)?;
        let plain = url.trim_start_matches("http://").trim_end_matches('/').to_string();
        let endpoint = sealed.map_or_else(|| plain.clone(), |url| url.trim_end_matches('/').to_owned());
        Ok(Target { name: name.into(), endpoint, plain, child })
    }

    /// As a stress names it.
    pub fn url(&self) -> String {
        let scheme = if self.endpoint.starts_with("https://") { "" } else { "http://" };
        format!("{scheme}{}/", self.endpoint)
    }

    /// Where it speaks plain http, also if it shows a certificate elsewhere.
    pub fn plain(&self) -> &str {
        &self.plain
    }

    /// Its process.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Handshakes of TLS that it has ended well so far.
    pub fn handshakes(&self) -> Result<u64> {
        let health = self.healthz()?;
        Ok(["full", "resumed"].iter().filter_map(|kind| health["tls_handshakes"][kind].as_u64()).sum())
    }

    pub fn is_running(&mut self) -> bool {
        self.child.is_running()
    }

    pub fn last_words(&self) -> String {
        self.child.last_words()
    }

    /// What it says about itself.
    pub fn healthz(&self) -> Result<Value> {
        let said = |source| Error::Io { what: format!("asking {} for its health", self.name), source };
        let mut stream = TcpStream::connect(&self.plain).map_err(said)?;
        stream.set_read_timeout(Some(START)).map_err(said)?;
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n").map_err(said)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(said)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body)
            .map_err(|_| Error::Other(format!("{} answered /healthz with no JSON: {answer}", self.name)))
    }

    /// The faults that it has injected so far. Ask when nothing is in flight.
    pub fn injected(&self) -> Result<Injected> {
        let health = self.healthz()?;
        Injected::from_health(&health)
            .ok_or_else(|| Error::Other(format!("{} tells no faults in /healthz: {health}", self.name)))
    }

    /// Stops it in order and returns all it said.
    pub fn stop(self) -> Result<child::Ended> {
        self.child.stop()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        self.child.signal(signal);
    }
}

impl Injected {
    fn from_health(health: &Value) -> Option<Injected> {
        let faults = health.get("faults")?.as_object()?;
        let counts = faults.iter().filter_map(|(name, count)| Some((name.clone(), count.as_u64()?)));
        Some(Injected(counts.filter(|(_, count)| *count > 0).collect()))
    }

    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// What the counters of an otherwise perfect contestant must be after `due` requests, as `(counter, value)`.
    ///
    /// `delay` costs nothing as long as it is shorter than the timeout, and a stale value only outside a grace.
    pub fn expected(&self, due: u64) -> Vec<(&'static str, u64)> {
        let timeout = self.count("silence");
        let reset = self.count("reset");
        let malformed = self.count("garbage") + self.count("endless_head");
        let status = self.count("status");
        // With one request in flight on a connection: all that wait for a handshake fail with it.
        let tls = self.count("tls_expired") + self.count("tls_reset");
        let answered = due.saturating_sub(timeout + reset + malformed + status + tls);
        let wrong =
            |header: &str, how: &str| self.count(&format!("{how}_{header}")) + self.count(&format!("missing_{header}"));
        let (token, version, from) = (wrong("token", "wrong"), wrong("version", "stale"), wrong("from", "stale"));
        vec![
            ("token_right", answered.saturating_sub(token)),
            ("token_wrong", token),
            ("version_right", answered.saturating_sub(version)),
            ("version_wrong", version),
            ("from_right", answered.saturating_sub(from)),
            ("from_wrong", from),
            ("timeout", timeout),
            ("refused", 0),
            ("reset", reset),
            ("malformed", malformed),
            ("status", status),
            ("missed", 0),
            ("own_fault", 0),
            ("tls", tls),
        ]
    }

    /// Whether the generator itself was late for so much that nothing can be said.
    pub fn is_void(tally: &Tally) -> bool {
        tally.own_fault * MOST_VOID > tally.due
    }

    /// Where a tally is not what these faults make of an otherwise perfect contestant, as sentences. Empty: it is exact.
    ///
    /// A failure counts for nobody where the generator itself was late. So many of each kind may be missing, which the sum
    /// of all kinds then holds to; nothing may be there that no fault explains.
    pub fn differences(&self, tally: &Tally) -> Vec<String> {
        let void = tally.own_fault;
        let counters: BTreeMap<_, _> = Tally::FIELDS.iter().copied().zip(tally.to_array()).collect();
        let mut wrong: Vec<String> = (self.expected(tally.due).into_iter())
            .filter(|(name, _)| *name != "own_fault")
            .filter(|(name, value)| !(value.saturating_sub(void)..=*value).contains(&counters[name]))
            .map(|(name, value)| format!("{name} is {} and should be {value}", counters[name]))
            .collect();
        if !tally.is_partition() {
            wrong.push(format!("its counters do not add up to {} requests", tally.due));
        }
        if Injected::is_void(tally) {
            wrong.push(format!("{void} of {} requests are void, too many to say anything", tally.due));
        }
        if !wrong.is_empty() && void > 0 {
            wrong.push(format!("{void} requests are void"));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::Rules;

    fn injected(counts: &[(&str, u64)]) -> Injected {
        Injected(counts.iter().map(|(name, count)| (name.to_string(), *count)).collect())
    }

    /// Points that faults cost, against a perfect contestant.
    fn cost(counts: &[(&str, u64)]) -> i128 {
        let due = counts.iter().map(|(_, count)| count).sum();
        let expected: BTreeMap<_, _> = injected(counts).expected(due).into_iter().collect();
        let value = |index: usize| expected.get(Tally::FIELDS[index]).copied().unwrap_or(0);
        let tally = Tally::from_array(std::array::from_fn(value));
        i128::from(due) * Rules::default().exchange_points() - tally.points(&Rules::default())
    }

    #[test]
    fn each_fault_costs_what_the_rules_say() {
        let cases = [
            ("wrong_token", 200), // +100 becomes -100
            ("missing_token", 200),
            ("stale_version", 100),
            ("missing_version", 100),
            ("stale_from", 100),
            ("missing_from", 100),
            ("delay", 0),
            ("reset", 400), // +200 becomes -200
            ("silence", 400),
            ("garbage", 400),
            ("status", 400),
            ("endless_head", 400),
            ("tls_expired", 400),
            ("tls_reset", 400),
            ("tls_slow", 0),
        ];
        for (fault, points) in cases {
            assert_eq!(cost(&[(fault, 1)]), points, "{fault}");
            assert_eq!(cost(&[(fault, 7)]), points * 7, "{fault}");
        }
        assert_eq!(cost(&[("wrong_token", 2), ("reset", 1)]), 800);
    }

    /// 100 requests, of which two had a wrong token and one a wrong status.
    fn exact() -> (Injected, Tally) {
        let answers = Tally { token_right: 97, token_wrong: 2, version_right: 99, from_right: 99, ..Tally::default() };
        (injected(&[("wrong_token", 2), ("status", 1)]), Tally { due: 100, status: 1, ..answers })
    }

    #[test]
    fn a_tally_is_exact_or_says_where_it_is_not() {
        let (injected, tally) = exact();
        assert_eq!(injected.differences(&tally), Vec::<String>::new());
        let other = Tally { status: 0, timeout: 1, ..tally };
        assert_eq!(injected.differences(&other), ["timeout is 1 and should be 0", "status is 0 and should be 1"]);
        let lost = Tally { status: 0, ..tally };
        assert_eq!(
            injected.differences(&lost),
            ["status is 0 and should be 1", "its counters do not add up to 100 requests"]
        );
    }

    #[test]
    fn what_is_void_may_be_missing_and_nothing_else() {
        let (injected, tally) = exact();
        let void = Tally { status: 0, own_fault: 1, ..tally };
        assert_eq!(injected.differences(&void), Vec::<String>::new());
        // One void request does not explain two, nor one of another kind.
        let charged = Tally { token_right: 96, version_right: 98, from_right: 98, timeout: 1, ..void };
        assert_eq!(injected.differences(&charged)[0], "timeout is 1 and should be 0");
        let right = |right| Tally { token_right: right, version_right: right + 2, from_right: right + 2, ..tally };
        assert_eq!(injected.differences(&Tally { own_fault: 10, ..right(87) }), Vec::<String>::new());
        assert!(injected.differences(&Tally { own_fault: 11, ..right(86) })[0].contains("too many"));
    }
}
