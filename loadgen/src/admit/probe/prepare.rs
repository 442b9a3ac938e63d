//! The check of a whole roster before a round, and of those that wait for their endpoint to be ready.
//!
//! Every endpoint passes the policy first, and every address is let in by right answers of its own. Of several contestants
//! that name one address the house has it, then who proves it where proof is asked for, or else who has had it longest; of
//! two who have had it equally long who plays there. A few threads take the contestants in turn; who does not answer quickly
//! goes to the end of the queue and gets its full time there, so that those who hang delay nobody who answers.

use super::{ASK, ProbeReport, ProbedExchange, Team, Terms, not_now, probe};
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
    /// Since when it has named this server: no address has been its for longer.
    pub typed_at: UtcUs,
}

impl<'a> Candidate<'a> {
    /// Whose server the answers have to name by a policy. The platform's own server has none to take it for another.
    pub fn team(policy: &Policy, name: &'a str) -> Option<Team<'a>> {
        (policy.ownership.is_asked_for() && name != HOUSE).then_some(Team(name))
    }

    /// Who was not asked before, at all addresses of its endpoint.
    pub fn new(name: &'a str, endpoint: &'a Endpoint) -> Candidate<'a> {
        Candidate { name, endpoint, only: None, team: None, known: &[], typed_at: UtcUs::EPOCH }
    }
}

/// Somebody who plays, where it does so, and since when it has had each of these.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    pub name: &'a str,
    pub held: &'a [(SocketAddr, UtcUs)],
}

/// An address that a candidate names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its place among the candidates.
    pub place: usize,
    pub address: SocketAddr,
    /// It has answered right there.
    pub is_verified: bool,
}

/// What the check of one contestant found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The addresses of the endpoint, sorted; none when it was refused or did not resolve.
    pub addresses: Vec<SocketAddr>,
    /// Those of them that another contestant has.
    pub taken: Vec<Taken>,
    /// Those that are its, as far as anybody has more right to them, with since when.
    pub held: Vec<(SocketAddr, UtcUs)>,
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
        addresses.filter(|address| is_free(address) && report.is_verified_at(*address)).collect()
    }

    /// What is wrong, or that all is well, for contestants. It names no other contestant, and repeats no answer that they may not
    /// read.
    pub fn message(&self) -> String {
        self.message_with(self.admitted().len(), self.addresses.len())
    }

    /// The same of a contestant that plays: `ready` of all its addresses get traffic.
    pub fn message_with(&self, ready: usize, all: usize) -> String {
        let Ok(report) = &self.outcome else { return self.outcome.clone().err().unwrap_or_default() };
        let found = match self.taken.first() {
            None => report.message_for_contestants(),
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

    /// What is wrong, for the log: whatever came.
    pub fn message_for_log(&self) -> String {
        match &self.outcome {
            Ok(report) if self.taken.is_empty() => report.message(),
            _ => self.message(),
        }
    }

    fn refused(message: &dyn Display) -> Checked {
        let outcome = Err(message.to_string());
        Checked { addresses: Vec::new(), taken: Vec::new(), held: Vec::new(), unused: None, outcome }
    }
}

/// Since when candidates have had addresses, in the order of the claims.
pub type Since<'a> = dyn FnMut(&[Claim]) -> Vec<UtcUs> + 'a;

/// What candidates are checked by.
#[derive(Clone, Copy, Debug)]
pub struct CheckedBy<'a> {
    pub names: &'a Names,
    pub policy: &'a Policy,
    pub trust: &'a ContestTrust,
    pub terms: &'a Terms,
}

/// Checks all candidates, who stand in the order in which they named their servers, and returns within `timeout` and a
/// moment, in their order. Whoever was not reached by then is refused with a sentence. Of an address that several name the
/// first in their order has it.
pub fn check(candidates: &[Candidate<'_>], by: CheckedBy<'_>, timeout: Duration) -> Vec<Checked> {
    check_since(candidates, &[], by, timeout, &mut |named| vec![UtcUs::EPOCH; named.len()])
}

/// The same beside those who play; an address that several name is theirs who have had it longest.
pub fn check_since(
    candidates: &[Candidate<'_>],
    playing: &[Holder<'_>],
    by: CheckedBy<'_>,
    timeout: Duration,
    since: &mut Since<'_>,
) -> Vec<Checked> {
    let playing = if by.policy.allow_shared { &[] } else { playing };
    let round = Round {
        candidates,
        playing: &Holders::new(playing),
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
        note_taken(candidates, playing, &mut checked, since);
    }
    checked
}

/// How good somebody's right to an address is; the least is the best. The house before all, then who has had it longest, then who
/// plays there, then who comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Precedence {
    is_guest: bool,
    since: UtcUs,
    is_candidate: bool,
    place: usize,
}

impl Precedence {
    fn of_holder(name: &str, since: UtcUs) -> Precedence {
        Precedence { is_guest: name != HOUSE, since, is_candidate: false, place: 0 }
    }

    fn of_candidate(name: &str, since: UtcUs, place: usize) -> Precedence {
        Precedence { is_guest: name != HOUSE, since, is_candidate: true, place }
    }
}

/// Who plays at an address, in whatever form it is written.
#[derive(Debug)]
struct Holders<'a>(HashMap<SocketAddr, (&'a str, UtcUs)>);

impl<'a> Holders<'a> {
    fn new(playing: &[Holder<'a>]) -> Holders<'a> {
        let held = playing.iter().flat_map(|holder| holder.held.iter().map(|held| (holder.name, held)));
        Holders(held.map(|(name, (address, since))| (comparable(*address), (name, *since))).collect())
    }

    /// Whether a candidate may turn out to have the best right to an address.
    fn leave(&self, candidate: &Candidate<'_>, address: SocketAddr) -> bool {
        self.0.get(&comparable(address)).is_none_or(|(name, since)| {
            let its = Precedence::of_candidate(candidate.name, candidate.typed_at, 0);
            *name == candidate.name || its < Precedence::of_holder(name, *since)
        })
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
    playing: &'a Holders<'a>,
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
        // Where another plays who has had it longer nobody is asked for this one.
        let free: Vec<SocketAddr> =
            addresses.iter().copied().filter(|address| self.playing.leave(candidate, *address)).collect();
        let found = |outcome| Checked { addresses, taken: Vec::new(), held: Vec::new(), unused, outcome };
        if free.is_empty() {
            let report = ProbeReport { endpoint: candidate.endpoint.to_string(), exchanges: Vec::new(), unasked: 0 };
            return Try::last(found(Ok(report)));
        }
        let tls = match self.by.trust.of(self.by.policy.tls).server(candidate.endpoint) {
            Ok(tls) => tls,
            Err(error) => return Try::last(Checked::refused(&error.for_contestants())),
        };
        let left = until.saturating_duration_since(Instant::now());
        let probed = probe(candidate.endpoint, tls.as_ref(), &free, self.by.terms, candidate.team, left);
        let timed_out = |exchange: &ProbedExchange| exchange.finding.failure() == Some(Failure::Timeout);
        let was_slow = probed.as_ref().is_ok_and(|report| report.unasked > 0 || report.exchanges.iter().any(timed_out));
        Try { checked: found(probed.map_err(|error| not_now(ASK, &error))), was_slow }
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

/// Of an address that several name, those have it who have the best right to it.
fn note_taken(candidates: &[Candidate<'_>], playing: &[Holder<'_>], checked: &mut [Checked], since: &mut Since<'_>) {
    let mut claims: Vec<Claim> = Vec::new();
    for (place, (candidate, checked)) in candidates.iter().zip(&*checked).enumerate() {
        let named = if checked.addresses.is_empty() { candidate.known } else { &checked.addresses };
        let is_verified = |address| checked.outcome.as_ref().is_ok_and(|report| report.is_verified_at(address));
        let named = named.iter().map(|address| Claim { place, address: *address, is_verified: is_verified(*address) });
        // Where proof is asked for nobody has what he cannot prove.
        claims.extend(named.filter(|claim| candidate.team.is_none() || claim.is_verified));
    }
    let since = since(&claims);
    let claims = claims.into_iter().zip(since).map(|(Claim { place, address, .. }, since)| {
        let name = candidates[place].name;
        (Precedence::of_candidate(name, since, place), name, address)
    });
    let holders = playing.iter().flat_map(|Holder { name, held }| {
        held.iter().map(|(address, since)| (Precedence::of_holder(name, *since), *name, *address))
    });
    let mut ranked: Vec<(Precedence, &str, SocketAddr)> = holders.chain(claims).collect();
    ranked.sort_unstable();
    let mut owners: HashMap<SocketAddr, (&str, UtcUs)> = HashMap::new();
    for (precedence, name, address) in ranked {
        owners.entry(comparable(address)).or_insert((name, precedence.since));
    }
    for (candidate, checked) in candidates.iter().zip(checked) {
        for address in &checked.addresses {
            match owners.get(&comparable(*address)) {
                Some((name, since)) if *name == candidate.name => checked.held.push((*address, *since)),
                Some((name, _)) => checked.taken.push(Taken { address: *address, owner: (*name).to_owned() }),
                None => {}
            }
        }
    }
}
