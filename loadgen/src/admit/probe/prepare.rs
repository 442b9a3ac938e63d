//! The check of a whole roster before a round, and of those that wait for their endpoint to be ready.
//!
//! Every endpoint passes the policy first. A few threads take the contestants in turn; who does not answer quickly goes
//! to the end of the queue and gets its full time there, so that those who hang delay nobody who answers.

use super::{ProbeReport, ProbedExchange, Terms, probe};
use crate::admit::guard::{Denial, admit};
use crate::admit::resolve::ResolveError;
use crate::admit::resolve::names::{Names, STUCK_AFTER};
use flowtest_contest::{Endpoint, Policy, PolicyError};
use flowtest_contract::verdict::Failure;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

/// Contestants that are asked at once.
pub const THREADS_MAX: usize = 16;
/// How long a contestant may take before others have their turn.
const QUICK: Duration = Duration::from_secs(1);

/// Somebody to check.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub name: &'a str,
    pub endpoint: &'a Endpoint,
}

/// What the check of one contestant found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// All addresses of the endpoint, sorted; none when it was refused or did not resolve.
    pub addresses: Vec<SocketAddr>,
    /// Or why it was not asked, or may not play, as a sentence.
    pub outcome: Result<ProbeReport, String>,
}

impl Checked {
    /// It may play: the policy admits it, and every answer was right.
    pub fn ready(&self) -> bool {
        self.outcome.as_ref().is_ok_and(ProbeReport::ready)
    }

    /// What is wrong, or that all is well.
    pub fn sentence(&self) -> String {
        self.outcome.as_ref().map_or_else(String::clone, ProbeReport::sentence)
    }

    fn refused(sentence: &dyn Display) -> Checked {
        Checked { addresses: Vec::new(), outcome: Err(sentence.to_string()) }
    }
}

/// Checks all candidates, and returns within `timeout` and a moment, in their order. Whoever was not reached by then is
/// refused with a sentence. `playing` are contestants that are not checked now, whose addresses are theirs.
pub fn check(
    candidates: &[Candidate<'_>],
    playing: &[(&str, &[SocketAddr])],
    names: &Names,
    policy: &Policy,
    terms: &Terms,
    timeout: Duration,
) -> Vec<Checked> {
    let round = Round {
        candidates,
        names,
        policy,
        terms,
        until: Instant::now() + timeout,
        queue: Mutex::new((0..candidates.len()).map(|index| (index, Turn::Quick)).collect()),
        checked: Mutex::new(vec![None; candidates.len()]),
    };
    thread::scope(|scope| {
        for _ in 1..candidates.len().min(THREADS_MAX) {
            // This thread works as well, so the check only takes longer when there is no other.
            let _ = thread::Builder::new().name("probe".to_owned()).spawn_scoped(scope, || round.work());
        }
        round.work();
    });
    let checked = round.checked.into_inner();
    let mut checked: Vec<Checked> =
        checked.into_iter().map(|checked| checked.unwrap_or_else(|| Checked::refused(&"it was not asked"))).collect();
    if !policy.allow_shared {
        refuse_shared(candidates, playing, &mut checked);
    }
    checked
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Quick,
    Full,
}

struct Round<'a> {
    candidates: &'a [Candidate<'a>],
    names: &'a Names,
    policy: &'a Policy,
    terms: &'a Terms,
    until: Instant,
    queue: Mutex<VecDeque<(usize, Turn)>>,
    checked: Mutex<Vec<Option<Checked>>>,
}

impl Round<'_> {
    /// Until the queue is empty. Who puts somebody back at its end takes it from there itself if nobody else does.
    fn work(&self) {
        loop {
            let next = self.queue.lock().pop_front();
            let Some((index, turn)) = next else { return };
            let left = self.until.saturating_duration_since(Instant::now());
            let (checked, was_slow) = match (left, turn) {
                (Duration::ZERO, Turn::Full) => continue,
                (Duration::ZERO, Turn::Quick) => {
                    let sentence = "it was not asked, for the time of the check was over: check it again";
                    (Checked::refused(&sentence), false)
                }
                (left, Turn::Quick) => self.check_one(index, left.min(QUICK)),
                (left, Turn::Full) => self.check_one(index, left),
            };
            self.checked.lock()[index] = Some(checked);
            if turn == Turn::Quick && was_slow {
                self.queue.lock().push_back((index, Turn::Full));
            }
        }
    }

    /// What was found, and whether more time might change it.
    fn check_one(&self, index: usize, timeout: Duration) -> (Checked, bool) {
        let until = Instant::now() + timeout;
        let endpoint = self.candidates[index].endpoint;
        let addresses = match admit(self.policy, self.names, endpoint, timeout.min(STUCK_AFTER)) {
            Ok(addresses) => addresses,
            Err(denial) => {
                let was_slow = matches!(denial, Denial::Resolve(ResolveError::Stuck { .. }));
                return (Checked::refused(&denial), was_slow);
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        match probe(endpoint, &addresses, self.terms, left) {
            Err(error) => (Checked { addresses, outcome: Err(error.to_string()) }, false),
            Ok(report) => {
                let timed_out = |exchange: &ProbedExchange| exchange.finding.failure() == Some(Failure::Timeout);
                let was_slow = report.unasked > 0 || report.exchanges.iter().any(timed_out);
                (Checked { addresses, outcome: Ok(report) }, was_slow)
            }
        }
    }
}

/// Two contestants with one address and port in common: the earlier one keeps it, those that play before all.
fn refuse_shared(candidates: &[Candidate<'_>], playing: &[(&str, &[SocketAddr])], checked: &mut [Checked]) {
    let key = |address: &SocketAddr| -> (IpAddr, u16) { (address.ip().to_canonical(), address.port()) };
    let mut owners: HashMap<(IpAddr, u16), &str> = HashMap::new();
    for (name, addresses) in playing {
        owners.extend(addresses.iter().map(|address| (key(address), *name)));
    }
    for (candidate, checked) in candidates.iter().zip(checked) {
        let taken = checked.addresses.iter().find_map(|address| {
            owners.get(&key(address)).filter(|name| **name != candidate.name).map(|name| (*address, *name))
        });
        match taken {
            Some((address, first)) => {
                let (first, second) = (first.to_owned(), candidate.name.to_owned());
                *checked = Checked::refused(&PolicyError::Shared { first, second, address });
            }
            None => owners.extend(checked.addresses.iter().map(|address| (key(address), candidate.name))),
        }
    }
}
