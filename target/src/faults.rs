//! What goes wrong on purpose at every k-th request, so that the judge can be judged.
//!
//! `RULE[,RULE...]` with `RULE = NAME:K[=VALUE]`: every K-th request that carries a token, counted by one counter
//! for the whole process, `/healthz` and `/metrics` excepted. When several rules are due at one request, **the first listed
//! wins** and only it is counted. A request that the server never came to (it stood behind one that ended its
//! connection) is not counted at all. Rules whose names begin with `tls_` are about every K-th handshake of the TLS port,
//! counted from its first byte by another such counter.
//!
//! | name | what the client gets | worth to the judge |
//! |---|---|---|
//! | `wrong_token:K` | a token that differs in its first digit | token wrong |
//! | `missing_token:K`, `missing_version:K`, `missing_from:K` | the header left out | that header wrong |
//! | `stale_version:K`, `stale_from:K` | the value that is *not* due by our own schedule | that header wrong (outside the grace) |
//! | `delay:K=200ms` | the right answer, that much later; what is pipelined behind waits | nothing, or `timeout` |
//! | `reset:K` | part of a head, then RST; never before the first byte, so it cannot be sent again | `reset`, exactly one, with one request in flight |
//! | `silence:K` | nothing any more on this connection, held open for 30 s | `timeout`; so is all behind it |
//! | `garbage:K` | bytes that are no HTTP, then the end | `malformed`, exactly one, with one request in flight |
//! | `status:K[=503]` | a well-framed answer that is not 2xx (500), right headers | `status` |
//! | `tls_expired:K` | in the handshake a certificate that expired years ago | `tls` |
//! | `tls_reset:K` | RST instead of an answer to its hello | `tls` |
//! | `tls_slow:K=200ms` | the answer to its hello that much later | nothing, or `timeout` |
//! | `endless_head:K` | header lines, up to 64 KiB of them, then the end | `malformed`, exactly one, with one request in flight |
//!
//! With several in flight, a fault that ends the connection takes along those that stand behind it and were not
//! answered yet: the judge sends again only what is known to be unprocessed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One thing that goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    WrongToken,
    MissingToken,
    StaleVersion,
    MissingVersion,
    StaleFrom,
    MissingFrom,
    Delay(Duration),
    Reset,
    Silence,
    Garbage,
    Status(u16),
    EndlessHead,
}

impl Fault {
    fn index(self) -> usize {
        match self {
            Fault::WrongToken => 0,
            Fault::MissingToken => 1,
            Fault::StaleVersion => 2,
            Fault::MissingVersion => 3,
            Fault::StaleFrom => 4,
            Fault::MissingFrom => 5,
            Fault::Delay(_) => 6,
            Fault::Reset => 7,
            Fault::Silence => 8,
            Fault::Garbage => 9,
            Fault::Status(_) => 10,
            Fault::EndlessHead => 11,
        }
    }

    pub fn name(self) -> &'static str {
        NAMES[self.index()]
    }
}

/// One thing that goes wrong with a handshake of the TLS port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFault {
    Expired,
    Reset,
    Slow(Duration),
}

impl HandshakeFault {
    fn index(self) -> usize {
        match self {
            HandshakeFault::Expired => 12,
            HandshakeFault::Reset => 13,
            HandshakeFault::Slow(_) => 14,
        }
    }
}

/// Names in the flag, in `/healthz` and in the summary, in one fixed order.
pub const NAMES: [&str; 15] = [
    "wrong_token",
    "missing_token",
    "stale_version",
    "missing_version",
    "stale_from",
    "missing_from",
    "delay",
    "reset",
    "silence",
    "garbage",
    "status",
    "endless_head",
    "tls_expired",
    "tls_reset",
    "tls_slow",
];

/// The longest delay that makes sense: far above any timeout of a judge.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// Every so often, this; and how often it was asked.
#[derive(Debug)]
struct Rules<F> {
    rules: Vec<(u64, F)>,
    asked: AtomicU64,
}

impl<F> Default for Rules<F> {
    fn default() -> Rules<F> {
        Rules { rules: Vec::new(), asked: AtomicU64::new(0) }
    }
}

impl<F: Copy> Rules<F> {
    fn next(&self) -> Option<F> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        self.rules.iter().find(|(every, _)| number.is_multiple_of(*every)).map(|(_, fault)| *fault)
    }
}

/// All rules and the counters of what they did. One for the whole process.
#[derive(Debug, Default)]
pub struct Faults {
    requests: Rules<Fault>,
    handshakes: Rules<HandshakeFault>,
    injected: [AtomicU64; NAMES.len()],
}

/// Why a specification was not understood. Each says what to write instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FaultsError {
    #[error("\"{rule}\" is no fault; write NAME:K for every K-th request, as in wrong_token:10, or none")]
    NoCount { rule: String },
    #[error("\"{name}\" is no known fault; known are {}", NAMES.join(", "))]
    UnknownName { name: String },
    #[error("\"{count}\" in \"{rule}\" is no count; write a whole number from 1 on: every K-th request")]
    BadCount { rule: String, count: String },
    #[error("\"{rule}\" has a wrong value; {hint}")]
    BadValue { rule: String, hint: &'static str },
    #[error("\"{name}\" is listed twice; keep one of the two")]
    Twice { name: &'static str },
}

impl Faults {
    pub fn parse(spec: &str) -> Result<Faults, FaultsError> {
        let mut faults = Faults::default();
        if spec == "none" {
            return Ok(faults);
        }
        let mut known = [false; NAMES.len()];
        for rule in spec.split(',') {
            let (every, fault) = parse_rule(rule.trim())?;
            let index = match fault {
                Parsed::Request(fault) => fault.index(),
                Parsed::Handshake(fault) => fault.index(),
            };
            if known[index] {
                return Err(FaultsError::Twice { name: NAMES[index] });
            }
            known[index] = true;
            match fault {
                Parsed::Request(fault) => faults.requests.rules.push((every, fault)),
                Parsed::Handshake(fault) => faults.handshakes.rules.push((every, fault)),
            }
        }
        Ok(faults)
    }

    /// Whether nothing goes wrong with requests.
    pub fn is_none(&self) -> bool {
        self.requests.rules.is_empty()
    }

    /// Whether something goes wrong with handshakes.
    pub fn has_handshakes(&self) -> bool {
        !self.handshakes.rules.is_empty()
    }

    /// Whether a certificate that has expired is to be shown.
    pub fn expires(&self) -> bool {
        self.handshakes.rules.iter().any(|(_, fault)| *fault == HandshakeFault::Expired)
    }

    /// Whether connections need a second handle to be reset by.
    pub fn resets(&self) -> bool {
        self.requests.rules.iter().any(|(_, fault)| *fault == Fault::Reset)
            || self.handshakes.rules.iter().any(|(_, fault)| *fault == HandshakeFault::Reset)
    }

    /// Counts one request and says what goes wrong with it.
    pub fn next(&self) -> Option<Fault> {
        self.requests.next().inspect(|due| self.count(due.index()))
    }

    /// Counts one handshake and says what goes wrong with it.
    pub fn next_handshake(&self) -> Option<HandshakeFault> {
        self.handshakes.next().inspect(|due| self.count(due.index()))
    }

    fn count(&self, index: usize) {
        self.injected[index].fetch_add(1, Ordering::Relaxed);
    }

    /// Name and count of each fault, in the fixed order of [`NAMES`].
    pub fn injected(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.into_iter().zip(self.injected.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

enum Parsed {
    Request(Fault),
    Handshake(HandshakeFault),
}

fn parse_rule(rule: &str) -> Result<(u64, Parsed), FaultsError> {
    let (name, rest) = rule.split_once(':').ok_or_else(|| FaultsError::NoCount { rule: rule.to_owned() })?;
    let (count, value) = match rest.split_once('=') {
        Some((count, value)) => (count, Some(value)),
        None => (rest, None),
    };
    let every = count
        .parse()
        .ok()
        .filter(|every| *every > 0)
        .ok_or_else(|| FaultsError::BadCount { rule: rule.to_owned(), count: count.to_owned() })?;
    let bad_value = |hint| FaultsError::BadValue { rule: rule.to_owned(), hint };
    let delay = |value| {
        humantime::parse_duration(value)
            .ok()
            .filter(|delay| *delay <= DELAY_MAX)
            .ok_or_else(|| bad_value("write a duration up to 10m, as in delay:50=200ms"))
    };
    let fault = match (name, value) {
        ("tls_expired", None) => return Ok((every, Parsed::Handshake(HandshakeFault::Expired))),
        ("tls_reset", None) => return Ok((every, Parsed::Handshake(HandshakeFault::Reset))),
        ("tls_slow", Some(value)) => return Ok((every, Parsed::Handshake(HandshakeFault::Slow(delay(value)?)))),
        ("delay", Some(value)) => Fault::Delay(delay(value)?),
        ("delay" | "tls_slow", None) => return Err(bad_value("say how long, as in delay:50=200ms")),
        ("status", None) => Fault::Status(500),
        ("status", Some(value)) => value
            .parse()
            .ok()
            .filter(|code| (400..=599).contains(code))
            .map(Fault::Status)
            .ok_or_else(|| bad_value("write a status from 400 to 599, as in status:25=503"))?,
        (_, Some(_)) => return Err(bad_value("only delay, tls_slow and status take one")),
        ("wrong_token", None) => Fault::WrongToken,
        ("missing_token", None) => Fault::MissingToken,
        ("stale_version", None) => Fault::StaleVersion,
        ("missing_version", None) => Fault::MissingVersion,
        ("stale_from", None) => Fault::StaleFrom,
        ("missing_from", None) => Fault::MissingFrom,
        ("reset", None) => Fault::Reset,
        ("silence", None) => Fault::Silence,
        ("garbage", None) => Fault::Garbage,
        ("endless_head", None) => Fault::EndlessHead,
        _ => return Err(FaultsError::UnknownName { name: name.to_owned() }),
    };
    Ok((every, Parsed::Request(fault)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(faults: &Faults, name: &str) -> u64 {
        faults.injected().find(|(known, _)| *known == name).unwrap().1
    }

    #[test]
    fn every_name_is_understood_and_found_again() {
        for (index, name) in NAMES.into_iter().enumerate() {
            let value = if matches!(name, "delay" | "tls_slow") { "=5ms" } else { "" };
            let faults = Faults::parse(&format!("{name}:2{value}")).unwrap();
            let next = || {
                let of_handshake = faults.next_handshake().map(HandshakeFault::index);
                of_handshake.or(faults.next().map(Fault::index))
            };
            assert_eq!(next(), None);
            assert_eq!(next(), Some(index));
            assert_eq!(count(&faults, name), 1);
        }
    }

    #[test]
    fn the_first_listed_wins_and_only_it_is_counted() {
        let faults = Faults::parse("missing_from:3,wrong_token:2,status:6=503").unwrap();
        let due: Vec<_> = (0..6).map(|_| faults.next().map(Fault::name)).collect();
        let (token, from) = (Some("wrong_token"), Some("missing_from"));
        assert_eq!(due, [None, token, from, token, None, from]);
        assert_eq!(
            (count(&faults, "wrong_token"), count(&faults, "missing_from"), count(&faults, "status")),
            (2, 2, 0)
        );
    }

    #[test]
    fn none_is_no_fault() {
        let faults = Faults::parse("none").unwrap();
        assert!(faults.is_none() && !faults.resets());
        assert_eq!(faults.next(), None);
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        let cases = [
            ("", "write NAME:K"),
            ("wrong_token", "write NAME:K"),
            ("wrong:3", "known are wrong_token"),
            ("wrong_token:0", "from 1 on"),
            ("wrong_token:-1", "from 1 on"),
            ("wrong_token:99999999999999999999999", "from 1 on"),
            ("wrong_token:3=4", "only delay, tls_slow and status"),
            ("delay:3", "say how long"),
            ("tls_slow:3", "say how long"),
            ("tls_expired:3=4", "only delay"),
            ("tls_reset:3,tls_reset:4", "listed twice"),
            ("delay:3=long", "write a duration"),
            ("delay:3=2h", "up to 10m"),
            ("status:3=200", "from 400 to 599"),
            ("reset:3,,garbage:2", "write NAME:K"),
            ("reset:3,reset:4", "listed twice"),
        ];
        for (spec, hint) in cases {
            let error = Faults::parse(spec).unwrap_err().to_string();
            assert!(error.contains(hint), "{spec}: {error}");
        }
    }
}
