//! The check of a whole roster before a round, and of those that wait for their endpoint to be ready.
//!
//! Every endpoint passes the policy first, and every address is let in by right answers of its own. Of several contestants that
//! name one address who plays there has it, then the house, then who proves it where proof is asked for, or else who had it
//! first. A few threads take the contestants in turn; who does not answer quickly goes to the end of the queue and gets its full
//! time there, so that those who hang delay nobody who answers.

use super::{ProbeReport, ProbedExchange, Team, Terms, probe};
use crate::admit::guard::{Denial, Found, admit};
use crate::admit::resolve::names::{Names, STUCK_AFTER};
use crate::admit::resolve::{ResolveError, too_many};
use crate::admit::trust::ContestTrust;
use flowtest_contest::address::comparable;
use flowtest_contest::names::HOUSE;
use flowtest_contest::{Endpoint, Policy};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::verdict::Failure;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::net::SocketAddr;
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
    /// Those of its addresses that are asked: the ones that its name has got since it plays. None: all that it has now.
    pub only: Option<&'a [SocketAddr]>,
    /// Whose server each answer has to name, where proof of that is asked for.
    pub team: Option<Team<'a>>,
    /// Where it was when it was asked last: named by it also while its name does not resolve.
    pub known: &'a [SocketAddr],
}

impl<'a> Candidate<'a> {
    /// Whose server the answers have to name by a policy. The platform's own server has none to take it for another.
    pub fn team(policy: &Policy, name: &'a str) -> Option<Team<'a>> {
        (policy.ownership.is_asked_for() && name != HOUSE).then_some(Team(name))
    }

    /// Who was not asked before, at all addresses of its endpoint.
    pub fn new(name: &'a str, endpoint: &'a Endpoint) -> Candidate<'a> {
        Candidate { name, endpoint, only: None, team: None, known: &[] }
    }
}

/// What the check of one contestant found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The addresses of the endpoint, sorted; none when it was refused or did not resolve.
    pub addresses: Vec<SocketAddr>,
    /// Those of them that another contestant has.
    pub taken: Vec<Taken>,
    /// Why not all of a name's addresses are among them.
    pub unused: Option<String>,
    /// Or why it was not asked, or may not play, as a sentence.
    pub outcome: Result<ProbeReport, String>,
}

/// An address that is another contestant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub address: SocketAddr,
    /// Whose it is: for organisers, and never for contestants.
    pub owner: String,
}

impl Checked {
    /// It may play: the policy admits it, and at one address at least every answer was right.
    pub fn ready(&self) -> bool {
        !self.admitted().is_empty()
    }

    /// The addresses that may be flooded: nobody else's, and each answered right itself.
    pub fn admitted(&self) -> Vec<SocketAddr> {
        let Ok(report) = &self.outcome else { return Vec::new() };
        let is_free = |address: &SocketAddr| self.taken.iter().all(|taken| taken.address != *address);
        let addresses = self.addresses.iter().copied();
        addresses.filter(|address| is_free(address) && report.is_right_at(*address)).collect()
    }

    /// What is wrong, or that all is well. It names no other contestant.
    pub fn message(&self) -> String {
        self.message_with(self.admitted().len(), self.addresses.len())
    }

    /// The same of a contestant that plays: `ready` of all its addresses get traffic.
    pub fn message_with(&self, ready: usize, all: usize) -> String {
        let Ok(report) = &self.outcome else { return self.outcome.clone().err().unwrap_or_default() };
        let found = match self.taken.first() {
            None => report.message(),
            Some(Taken { address, .. }) => format!(
                "{address} is another contestant's, who named it first: give your own server; if it is yours, tell the \
                 organisers"
            ),
        };
        let found = match ready {
            ready if ready > 0 && ready < all => format!("{ready} of its {all} addresses get traffic; {found}"),
            _ => found,
        };
        self.unused.as_ref().map_or(found.clone(), |unused| format!("{found}; {unused}"))
    }

    fn refused(message: &dyn Display) -> Checked {
        Checked { addresses: Vec::new(), taken: Vec::new(), unused: None, outcome: Err(message.to_string()) }
    }
}

/// Since when candidates have had addresses, each of one by its place.
pub type Since<'a> = dyn FnMut(&[(usize, SocketAddr)]) -> Vec<UtcUs> + 'a;

/// What candidates are checked by.
#[derive(Clone, Copy, Debug)]
pub struct CheckedBy<'a> {
    pub names: &'a Names,
    pub policy: &'a Policy,
    pub trust: &'a ContestTrust,
    pub terms: &'a Terms,
}

/// Checks all candidates, who stand in the order in which they named their servers, and returns within `timeout` and a
/// moment, in their order. Whoever was not reached by then is refused with a sentence. `playing` are contestants at the
/// addresses where they play: these are theirs. Of an address that several name the first in their order has it.
pub fn check(
    candidates: &[Candidate<'_>],
    playing: &[(&str, &[SocketAddr])],
    by: CheckedBy<'_>,
    timeout: Duration,
) -> Vec<Checked> {
    check_since(candidates, playing, by, timeout, &mut |named| vec![UtcUs::EPOCH; named.len()])
}

/// The same; of an address that several name it is theirs who have had it longest.
pub fn check_since(
    candidates: &[Candidate<'_>],
    playing: &[(&str, &[SocketAddr])],
    by: CheckedBy<'_>,
    timeout: Duration,
    since: &mut Since<'_>,
) -> Vec<Checked> {
    let mut owners = Owners::default();
    if !by.policy.allow_shared {
        playing.iter().for_each(|(name, addresses)| owners.give(name, addresses));
    }
    let round = Round {
        candidates,
        owners: &owners,
        by,
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
    if !by.policy.allow_shared {
        note_taken(candidates, owners, &mut checked, since);
    }
    checked
}

/// Whose an address is, in whatever form it is written.
#[derive(Debug, Default)]
struct Owners<'a>(HashMap<SocketAddr, &'a str>);

impl<'a> Owners<'a> {
    /// What is nobody's yet is this contestant's from now on.
    fn give(&mut self, name: &'a str, addresses: &[SocketAddr]) {
        for address in addresses {
            self.0.entry(comparable(*address)).or_insert(name);
        }
    }

    /// Whose it is, when not this contestant's own.
    fn other(&self, name: &str, address: SocketAddr) -> Option<&'a str> {
        self.0.get(&comparable(address)).copied().filter(|owner| *owner != name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Quick,
    Full,
}

/// What one turn of a candidate came to.
struct Try {
    checked: Checked,
    /// More time might change it.
    was_slow: bool,
}

impl Try {
    fn last(checked: Checked) -> Try {
        Try { checked, was_slow: false }
    }
}

struct Round<'a> {
    candidates: &'a [Candidate<'a>],
    /// Of the addresses where somebody plays.
    owners: &'a Owners<'a>,
    by: CheckedBy<'a>,
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
            let Try { checked, was_slow } = match (left, turn) {
                (Duration::ZERO, Turn::Full) => continue,
                (Duration::ZERO, Turn::Quick) => {
                    let message = "it was not asked, for the time of the check was over: check it again";
                    Try::last(Checked::refused(&message))
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

    fn check_one(&self, index: usize, timeout: Duration) -> Try {
        let until = Instant::now() + timeout;
        let candidate = &self.candidates[index];
        let found = match self.find(candidate, timeout) {
            Ok(found) => found,
            Err(denial) => {
                let was_slow = matches!(denial, Denial::Resolve(ResolveError::Stuck { .. }));
                return Try { checked: Checked::refused(&denial.for_contestants()), was_slow };
            }
        };
        let unused = (found.unused > 0).then(|| too_many(&candidate.endpoint.host, found.unused));
        let addresses = found.addresses;
        // Where another plays nobody is asked for this one.
        let is_free = |address: &SocketAddr| self.owners.other(candidate.name, *address).is_none();
        let free: Vec<SocketAddr> = addresses.iter().copied().filter(is_free).collect();
        if free.is_empty() {
            let report = ProbeReport { endpoint: candidate.endpoint.to_string(), exchanges: Vec::new(), unasked: 0 };
            return Try::last(Checked { addresses, taken: Vec::new(), unused, outcome: Ok(report) });
        }
        let tls = match self.by.trust.of(self.by.policy.tls).server(candidate.endpoint) {
            Ok(tls) => tls,
            Err(error) => return Try::last(Checked::refused(&error.for_contestants())),
        };
        let left = until.saturating_duration_since(Instant::now());
        let probed = probe(candidate.endpoint, tls.as_ref(), &free, self.by.terms, candidate.team, left);
        let timed_out = |exchange: &ProbedExchange| exchange.finding.failure() == Some(Failure::Timeout);
        let was_slow = probed.as_ref().is_ok_and(|report| report.unasked > 0 || report.exchanges.iter().any(timed_out));
        let outcome = probed.map_err(|error| error.to_string());
        Try { checked: Checked { addresses, taken: Vec::new(), unused, outcome }, was_slow }
    }

    /// Where a candidate is now.
    fn find(&self, candidate: &Candidate<'_>, timeout: Duration) -> Result<Found, Denial> {
        let Some(only) = candidate.only else {
            return admit(self.by.policy, self.by.names, candidate.endpoint, timeout.min(STUCK_AFTER));
        };
        let denied = |error| Denial::Policy { endpoint: candidate.endpoint.to_string(), error };
        self.by.policy.judge_resolved(candidate.endpoint, only).map_err(denied)?;
        Ok(Found { addresses: only.to_vec(), unused: 0 })
    }
}

/// Of an address that several name, those who play there have it, then those who have more right to it.
fn note_taken<'a>(
    candidates: &'a [Candidate<'a>],
    mut owners: Owners<'a>,
    checked: &mut [Checked],
    since: &mut Since<'_>,
) {
    let mut claims: Vec<(usize, SocketAddr)> = Vec::new();
    for (place, (candidate, checked)) in candidates.iter().zip(&*checked).enumerate() {
        let named = if checked.addresses.is_empty() { candidate.known } else { &checked.addresses };
        // Where proof is asked for nobody has what he cannot prove.
        let is_proved = |address: &SocketAddr| {
            candidate.team.is_none() || checked.outcome.as_ref().is_ok_and(|report| report.is_right_at(*address))
        };
        claims.extend(named.iter().filter(|address| is_proved(address)).map(|address| (place, *address)));
    }
    let since = since(&claims);
    let mut claims: Vec<((bool, UtcUs, usize), SocketAddr)> = claims
        .into_iter()
        .zip(since)
        .map(|((place, address), since)| ((candidates[place].name != HOUSE, since, place), address))
        .collect();
    claims.sort_unstable();
    for ((_, _, place), address) in claims {
        owners.give(candidates[place].name, &[address]);
    }
    for (candidate, checked) in candidates.iter().zip(checked) {
        let taken = checked.addresses.iter().filter_map(|address| {
            let owner = owners.other(candidate.name, *address)?.to_owned();
            Some(Taken { address: *address, owner })
        });
        checked.taken = taken.collect();
    }
}
