//! Who is let in: each endpoint of the roster is held against the policy and asked for right answers, before its first
//! request of the flood and again when it moves. Names are resolved again while the round runs.
//!
//! Each address is let in by three right answers of its own, and is the contestant's who proves it, or has had it longest:
//! document and Redis say since when, so that it is the same on all generators. Whoever plays there loses it to one who has had
//! it longer, as soon as that one answers right.
//!
//! A thread of its own, so that no slow endpoint delays the clock of the round.

use super::home::{Home, within};
use crate::Failed;
use crate::admit::probe::{
    Candidate, Checked, CheckedBy, Claim, Holder, ProbeReport, ProbedExchange, Taken, Terms, check, check_since,
};
use crate::admit::resolve::names::Names;
use crate::admit::resolver::{self, Followed, News, Resolved, Resolver};
use crate::admit::trust::ContestTrust;
use crate::engine::index::{ContestantIndex, Key};
use crate::play::claims::{Claims, Naming};
use flowtest_contest::address::comparable;
use flowtest_contest::endpoint::Endpoint;
use flowtest_contest::names::HOUSE;
use flowtest_contest::{Control, Policy};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use flowtest_scoreboard::Prepared;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How often a contestant that is not ready is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often those who play are asked whose servers they are, where proof of that is asked for.
const SAMPLE: Duration = Duration::from_secs(10);
/// How long a check of all who wait may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(4);

/// A contestant that is let in, at an endpoint with all its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) contestant: ContestantIndex,
    pub(super) endpoint: Endpoint,
    /// Those that have answered right.
    pub(super) addresses: Vec<SocketAddr>,
}

/// Where a contestant plays, and where its name points now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Inside {
    endpoint: Endpoint,
    /// Let in, each by right answers of its own.
    addresses: Vec<SocketAddr>,
    /// Since when it has had each of these.
    since: HashMap<SocketAddr, UtcUs>,
    /// All that the name has now.
    found: Vec<SocketAddr>,
}

impl Inside {
    /// What the name has got since, and has not answered right yet.
    fn waiting(&self) -> Vec<SocketAddr> {
        self.found.iter().copied().filter(|address| !self.addresses.contains(address)).collect()
    }

    /// The name has these addresses now; says whether it plays at others. One that has moved as a whole stays where it is until
    /// one of the new addresses is let in.
    fn on_found(&mut self, found: Vec<SocketAddr>) -> bool {
        self.found = found;
        let stays: Vec<SocketAddr> =
            self.addresses.iter().copied().filter(|address| self.found.contains(address)).collect();
        if stays.is_empty() || stays == self.addresses {
            return false;
        }
        self.addresses = stays;
        true
    }

    /// These of its waiting addresses are let in.
    fn on_admitted(&mut self, admitted: Vec<SocketAddr>, since: HashMap<SocketAddr, UtcUs>) {
        self.addresses.retain(|address| self.found.contains(address));
        self.addresses.extend(admitted);
        self.addresses.sort_unstable();
        self.since.extend(since);
        self.since.retain(|address, _| self.addresses.contains(address));
    }

    /// Where it plays, and since when it has had each address.
    fn held(&self) -> Vec<(SocketAddr, UtcUs)> {
        let since = |address| self.since.get(address).copied().unwrap_or(UtcUs::EPOCH);
        self.addresses.iter().map(|address| (*address, since(address))).collect()
    }

    /// Loses an address, in whatever form it is written; says whether it was there.
    fn lose(&mut self, lost: SocketAddr) -> bool {
        let count = self.addresses.len();
        self.addresses.retain(|address| comparable(*address) != comparable(lost));
        self.addresses.len() < count
    }

    /// Lets go of what a policy closes; says whether it can still play.
    fn close(&mut self, policy: &Policy) -> bool {
        for addresses in [&mut self.addresses, &mut self.found] {
            addresses.retain(|address| policy.judge_address(*address).is_ok());
        }
        !self.addresses.is_empty()
    }
}

/// Something that the round gets to know.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Admitted(Admitted),
    /// A name has other addresses now.
    Resolved {
        contestant: ContestantIndex,
        addresses: Vec<SocketAddr>,
    },
    /// It has no address left that may be flooded: it gets nothing until it is admitted anew.
    Shut {
        contestant: ContestantIndex,
    },
    /// The same, for no server there says any more that it is its: its own doing, for which it pays until then.
    Disowned {
        contestant: ContestantIndex,
    },
    /// Not ready, and why: for the contestant, and with whatever its server said.
    Waiting {
        contestant: ContestantIndex,
        message: String,
        for_log: String,
    },
    /// The check found something else than the one before it.
    Checked {
        contestant: ContestantIndex,
        prepared: Prepared,
    },
}

/// The thread that admits, as the round sees it.
#[derive(Debug)]
pub(super) struct Admission {
    commands: Sender<Command>,
    events: Receiver<Event>,
}

enum Command {
    /// A contestant wants to be at an endpoint.
    Come(ContestantIndex, Endpoint),
    /// The document changed: another policy, other deadlines.
    Document(Box<Control>),
}

impl Admission {
    /// Begins with the whole roster.
    pub(super) fn start(home: &Home, control: &Control) -> Result<Admission, Failed> {
        let (commands, inbox) = mpsc::channel();
        let (tell, events) = mpsc::channel();
        let policy = home.policy(control)?;
        let (resolver, news) = Resolver::start(home.names.clone(), policy.clone(), Vec::new(), resolver::EVERY)
            .map_err(|error| Failed::Message(format!("no thread for the names ({error})")))?;
        let mut admission = AdmissionLoop {
            names: home.names.clone(),
            trust: home.trust.clone(),
            ceiling: home.ceiling.clone(),
            policy,
            control: control.clone(),
            resolver,
            inside: BTreeMap::new(),
            outside: ContestantIndex::all()
                .zip(control.contest.contestants.iter().map(|one| one.endpoint.clone()))
                .collect(),
            known: HashMap::new(),
            told: HashMap::new(),
            claims: Claims::new(home.redis.clone(), home.contest.clone()),
            id: home.id.clone(),
            tell,
        };
        thread::Builder::new()
            .name("admission".to_owned())
            .spawn(move || admission.keep(&inbox, &news))
            .map_err(|error| Failed::Message(format!("no thread for the roster ({error})")))?;
        Ok(Admission { commands, events })
    }

    /// A contestant wants to be elsewhere. It stays where it is until the new place has answered right.
    pub(super) fn come(&self, contestant: ContestantIndex, endpoint: Endpoint) {
        // Fails only when the thread has ended, and with it the round.
        let _ = self.commands.send(Command::Come(contestant, endpoint));
    }

    pub(super) fn document(&self, control: &Control) {
        let _ = self.commands.send(Command::Document(Box::new(control.clone())));
    }

    /// What happened since the last call.
    pub(super) fn events(&self) -> Vec<Event> {
        self.events.try_iter().collect()
    }
}

/// The thread's state.
struct AdmissionLoop {
    names: Names,
    trust: ContestTrust,
    ceiling: Option<Policy>,
    policy: Policy,
    control: Control,
    resolver: Resolver,
    /// Who plays where.
    inside: BTreeMap<ContestantIndex, Inside>,
    /// Who waits for which place.
    outside: HashMap<ContestantIndex, Endpoint>,
    /// Where those who wait were when they were asked last.
    known: HashMap<ContestantIndex, Vec<SocketAddr>>,
    /// What was told of each check last.
    told: HashMap<ContestantIndex, Prepared>,
    claims: Claims,
    /// Our name among the generators.
    id: String,
    tell: Sender<Event>,
}

impl AdmissionLoop {
    /// Until the round lets go of the other end.
    fn keep(&mut self, inbox: &Receiver<Command>, news: &Receiver<News>) {
        /// How often the resolver's news is passed on.
        const LOOK: Duration = Duration::from_millis(250);
        let (mut check_at, mut sample_at) = (Instant::now(), Instant::now() + SAMPLE);
        loop {
            if Instant::now() >= sample_at {
                self.sample();
                sample_at = Instant::now() + SAMPLE;
            }
            // All traffic is that of checks too.
            let somebody_waits =
                || !self.outside.is_empty() || self.inside.values().any(|inside| !inside.waiting().is_empty());
            if !self.control.halted && Instant::now() >= check_at && somebody_waits() {
                self.check();
                check_at = Instant::now() + AGAIN;
            }
            for news in news.try_iter() {
                // An address that is new is asked at once.
                if matches!(news, News::Resolved(_)) {
                    check_at = Instant::now();
                }
                self.pass_on(news);
            }
            match inbox.recv_timeout(LOOK) {
                Ok(Command::Come(contestant, endpoint)) => {
                    self.known.remove(&contestant);
                    self.outside.insert(contestant, endpoint);
                    check_at = Instant::now();
                }
                Ok(Command::Document(control)) => {
                    // The round gives us no policy that is wider than our ceiling.
                    if let Ok(policy) = within(&control.contest.policy, self.ceiling.as_ref()) {
                        // Whom the old one kept out may be let in by this one.
                        if policy != self.policy {
                            check_at = Instant::now();
                        }
                        self.resolver.set_policy(policy.clone());
                        self.set_policy(policy);
                    }
                    self.control = *control;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// From now on by another policy. Who can play no more waits to be let in anew.
    fn set_policy(&mut self, policy: Policy) {
        let closed: Vec<ContestantIndex> = self
            .inside
            .iter_mut()
            .filter_map(|(contestant, inside)| (!inside.close(&policy)).then_some(*contestant))
            .collect();
        closed.into_iter().for_each(|contestant| self.shut(contestant, Event::Shut { contestant }));
        self.policy = policy;
    }

    /// A contestant has no address left, as is told.
    fn shut(&mut self, contestant: ContestantIndex, told: Event) {
        self.resolver.forget(contestant);
        if let Some(inside) = self.inside.remove(&contestant) {
            // Where it waits for another endpoint already, that one stays the one to check.
            self.outside.entry(contestant).or_insert(inside.endpoint);
        }
        let _ = self.tell.send(told);
    }

    /// Asks everybody who waits, and those who play at the addresses that their names have got since.
    fn check(&mut self) {
        let waiting = self.waiting();
        let contestants = &self.control.contest.contestants;
        let name = |contestant: ContestantIndex| contestants[contestant.index()].name.as_str();
        let candidates: Vec<Candidate<'_>> = waiting
            .iter()
            .map(|(contestant, endpoint, only)| Candidate {
                typed_at: typed_at(&self.control, name(*contestant)),
                only: only.as_deref(),
                known: self.known.get(contestant).map_or(&[], Vec::as_slice),
                team: Candidate::team(&self.policy, name(*contestant)),
                ..Candidate::new(name(*contestant), endpoint)
            })
            .collect();
        // Also of those who move: where they are is theirs until they are gone.
        let held: Vec<(&str, Vec<(SocketAddr, UtcUs)>)> =
            self.inside.iter().map(|(contestant, inside)| (name(*contestant), inside.held())).collect();
        let playing: Vec<Holder<'_>> = held.iter().map(|(name, held)| Holder { name, held }).collect();
        let now = utc_us();
        let deadlines = self.control.timeline.deadlines_at(&self.control.contest, now);
        let terms = Terms::new(self.control.contest.rules, deadlines);
        let claims = &mut self.claims;
        let mut since = |claimed: &[Claim]| {
            let of = |Claim { place, address, is_verified }: &Claim| {
                let Candidate { name, endpoint, typed_at, .. } = candidates[*place];
                Naming { name, endpoint, typed_at, address: *address, is_verified: *is_verified }
            };
            claims.since(&claimed.iter().map(of).collect::<Vec<_>>(), now)
        };
        let by = CheckedBy { names: &self.names, policy: &self.policy, trust: &self.trust, terms: &terms };
        let checked = check_since(&candidates, &playing, by, CHECK_TIMEOUT, &mut since);
        let waiting: Vec<_> = waiting.into_iter().zip(checked).collect();
        if !self.policy.allow_shared {
            // Before anybody else gets traffic there.
            for ((contestant, ..), checked) in &waiting {
                checked.admitted().into_iter().for_each(|address| self.give_over(*contestant, address));
            }
        }
        for ((contestant, endpoint, only), checked) in waiting {
            match only {
                None => self.on_checked(contestant, endpoint, checked),
                Some(_) => self.on_checked_inside(contestant, &checked),
            }
        }
    }

    /// An address is this contestant's, who has had it longer than whoever plays there.
    fn give_over(&mut self, owner: ContestantIndex, address: SocketAddr) {
        let losers: Vec<ContestantIndex> = self
            .inside
            .iter_mut()
            .filter_map(|(contestant, inside)| (*contestant != owner && inside.lose(address)).then_some(*contestant))
            .collect();
        let message = format!(
            "{address} is another contestant's, who named it first: give your own server; if it is yours, tell the organisers"
        );
        losers.into_iter().for_each(|contestant| self.on_lost(contestant, message.clone(), message.clone()));
    }

    /// Asks those who play, beside the flood and as it asks, whose servers they are: a server may be exchanged for another's
    /// after it was let in. An address that says another name, or none, waits to be let in anew.
    fn sample(&mut self) {
        let control = &self.control;
        let now = utc_us();
        let is_played =
            control.timeline.start_at.is_some_and(|start| start <= now) && control.timeline.pause_at(now).is_none();
        if control.halted || !is_played || !self.policy.ownership.is_asked_for() {
            return;
        }
        let contestants = &control.contest.contestants;
        let name = |contestant: ContestantIndex| contestants[contestant.index()].name.as_str();
        let sampled: Vec<(ContestantIndex, &Inside)> = self
            .inside
            .iter()
            .filter(|(contestant, _)| !control.parked.contains(name(**contestant)))
            .map(|(contestant, inside)| (*contestant, inside))
            .collect();
        let candidates: Vec<Candidate<'_>> = sampled
            .iter()
            .map(|(contestant, inside)| Candidate {
                only: Some(&inside.addresses),
                team: Candidate::team(&self.policy, name(*contestant)),
                ..Candidate::new(name(*contestant), &inside.endpoint)
            })
            .filter(|candidate| candidate.team.is_some())
            .collect();
        let deadlines = control.timeline.deadlines_at(&control.contest, now);
        let terms = Terms { tokens: 1, ..Terms::new(control.contest.rules, deadlines) };
        let by = CheckedBy { names: &self.names, policy: &self.policy, trust: &self.trust, terms: &terms };
        let checked = check(&candidates, by, CHECK_TIMEOUT);
        let asked = sampled.iter().map(|(contestant, _)| *contestant).filter(|contestant| name(*contestant) != HOUSE);
        let disowned: Vec<(ContestantIndex, ProbedExchange)> = asked
            .zip(checked)
            .flat_map(|(contestant, checked)| {
                let exchanges = checked.outcome.map(|report| report.exchanges).unwrap_or_default();
                let says_another = |exchange: &ProbedExchange| exchange.team.as_ref().is_some_and(|team| !team.right);
                exchanges.into_iter().filter(says_another).map(move |exchange| (contestant, exchange))
            })
            .collect();
        disowned.into_iter().for_each(|(contestant, exchange)| self.on_disowned(contestant, &exchange));
    }

    /// An address where a contestant plays does not say that it is its.
    fn on_disowned(&mut self, contestant: ContestantIndex, exchange: &ProbedExchange) {
        let Some(inside) = self.inside.get_mut(&contestant) else { return };
        inside.lose(exchange.address);
        let address = exchange.address;
        let message = format!("{address}: {}", exchange.message_for_contestants());
        self.on_lost(contestant, message, format!("{address}: {}", exchange.message()));
    }

    /// A contestant has lost an address where it played.
    fn on_lost(&mut self, contestant: ContestantIndex, message: String, for_log: String) {
        let Some(inside) = self.inside.get(&contestant) else { return };
        let addresses = inside.addresses.clone();
        if addresses.is_empty() {
            self.shut(contestant, Event::Disowned { contestant });
        } else {
            let _ = self.tell.send(Event::Resolved { contestant, addresses });
            self.tell_moved(contestant);
        }
        let _ = self.tell.send(Event::Waiting { contestant, message, for_log });
    }

    /// Who is to be asked, in the order in which they named their servers: whoever waits for an endpoint, and whose name has
    /// addresses that wait.
    fn waiting(&self) -> Vec<(ContestantIndex, Endpoint, Option<Vec<SocketAddr>>)> {
        let places = self.control.precedence();
        let waiting = places.into_iter().filter_map(|place| {
            let contestant = ContestantIndex::from_index(place);
            if let Some(endpoint) = self.outside.get(&contestant) {
                return Some((contestant, endpoint.clone(), None));
            }
            let inside = self.inside.get(&contestant)?;
            let waiting = Some(inside.waiting()).filter(|waiting| !waiting.is_empty())?;
            Some((contestant, inside.endpoint.clone(), Some(waiting)))
        });
        waiting.collect()
    }

    fn on_checked(&mut self, contestant: ContestantIndex, endpoint: Endpoint, checked: Checked) {
        let addresses = checked.admitted();
        if addresses.is_empty() {
            self.tell_checked(contestant, &endpoint, &checked);
            let (message, for_log) = (checked.message(), checked.message_for_log());
            let _ = self.tell.send(Event::Waiting { contestant, message, for_log });
            if !checked.addresses.is_empty() {
                self.known.insert(contestant, checked.addresses);
            }
            return;
        }
        let name = self.control.contest.contestants[contestant.index()].name.clone();
        let followed = Followed { name, endpoint: endpoint.clone(), addresses: checked.addresses.clone() };
        self.resolver.follow(contestant, followed);
        self.outside.remove(&contestant);
        self.known.remove(&contestant);
        let found = checked.addresses.clone();
        let since = since_of(&checked);
        let inside = Inside { endpoint: endpoint.clone(), addresses: addresses.clone(), since, found };
        self.inside.insert(contestant, inside);
        self.tell_checked(contestant, &endpoint, &checked);
        let _ = self.tell.send(Event::Admitted(Admitted { contestant, endpoint, addresses }));
    }

    /// The addresses that a name has got since its contestant plays.
    fn on_checked_inside(&mut self, contestant: ContestantIndex, checked: &Checked) {
        let Some(inside) = self.inside.get_mut(&contestant) else { return };
        let admitted = checked.admitted();
        if !admitted.is_empty() {
            inside.on_admitted(admitted, since_of(checked));
            let _ = self.tell.send(Event::Resolved { contestant, addresses: inside.addresses.clone() });
        }
        let (ready, all) = (inside.addresses.len(), inside.found.len());
        let (endpoint, found) = (inside.endpoint.clone(), inside.found.clone());
        let message = checked.message_with(ready, all);
        self.tell_prepared(contestant, &endpoint, &found, checked, true, message);
    }

    fn tell_checked(&mut self, contestant: ContestantIndex, endpoint: &Endpoint, checked: &Checked) {
        let message = self.prepared_message(checked);
        self.tell_prepared(contestant, endpoint, &checked.addresses, checked, checked.ready(), message);
    }

    /// Tells what is not told yet.
    fn tell_prepared(
        &mut self,
        contestant: ContestantIndex,
        endpoint: &Endpoint,
        addresses: &[SocketAddr],
        checked: &Checked,
        ready: bool,
        message: String,
    ) {
        let prepared = Prepared {
            at: utc_us(),
            generator: self.id.clone(),
            ready,
            verdicts: checked.outcome.as_ref().ok().and_then(ProbeReport::verdicts),
            message,
            endpoint: endpoint.to_string(),
            addresses: addresses.iter().map(SocketAddr::to_string).collect(),
            admitted: self.plays_at(contestant, endpoint),
        };
        if self.told.get(&contestant).is_some_and(|told| told.says_the_same(&prepared)) {
            return;
        }
        // Whose an address is organisers may know.
        for Taken { address, owner } in &checked.taken {
            let name = &self.control.contest.contestants[contestant.index()].name;
            eprintln!("flowtest-loadgen: {name} gets nothing at {address}, which is {owner}'s, who named it first");
        }
        self.told.insert(contestant, prepared.clone());
        let _ = self.tell.send(Event::Checked { contestant, prepared });
    }

    /// Where somebody plays at this endpoint.
    fn plays_at(&self, contestant: ContestantIndex, endpoint: &Endpoint) -> Vec<String> {
        let inside = self.inside.get(&contestant).filter(|inside| inside.endpoint == *endpoint);
        inside.iter().flat_map(|inside| &inside.addresses).map(SocketAddr::to_string).collect()
    }

    /// A contestant's addresses have changed, and where it plays with them.
    fn tell_moved(&mut self, contestant: ContestantIndex) {
        let Some(told) = self.told.get(&contestant) else { return };
        let Some(inside) = self.inside.get(&contestant) else { return };
        // Who moves is told of the place that it moves to.
        if told.endpoint != inside.endpoint.to_string() {
            return;
        }
        let prepared = Prepared {
            at: utc_us(),
            addresses: inside.found.iter().map(SocketAddr::to_string).collect(),
            admitted: self.plays_at(contestant, &inside.endpoint),
            ..told.clone()
        };
        if !told.says_the_same(&prepared) {
            self.told.insert(contestant, prepared.clone());
            let _ = self.tell.send(Event::Checked { contestant, prepared });
        }
    }

    /// What the check found, and whether the plan's connections suffice for the distance.
    fn prepared_message(&self, checked: &Checked) -> String {
        let latency_us = checked.outcome.as_ref().ok().and_then(ProbeReport::latency_us);
        let few = latency_us.and_then(|latency_us| self.control.contest.too_few_connections(latency_us));
        match (few, latency_us) {
            (Some(few), Some(latency_us)) if checked.ready() => format!(
                "{}; but it answers in {} ms, so that {few}, and the rest is missed: a server that is nearer gets all",
                checked.message(),
                latency_us.div_ceil(1_000)
            ),
            _ => checked.message(),
        }
    }

    fn pass_on(&mut self, news: News) {
        match news {
            News::Resolved(Resolved { contestant, addresses }) => {
                if let Some(inside) = self.inside.get_mut(&contestant)
                    && inside.on_found(addresses)
                {
                    let _ = self.tell.send(Event::Resolved { contestant, addresses: inside.addresses.clone() });
                    self.tell_moved(contestant);
                }
            }
            News::Closed { contestant } => {
                // Where the policy left it something it plays on there.
                if self.inside.get(&contestant).is_some_and(|inside| inside.addresses.is_empty()) {
                    self.shut(contestant, Event::Shut { contestant });
                }
            }
            News::Refused { message, .. }
            | News::Unused { message, .. }
            | News::Stale { message, .. }
            | News::Hosts { message } => {
                eprintln!("flowtest-loadgen: {message}");
            }
            News::Fresh { .. } => {}
        }
    }
}

/// Since when somebody has named its server.
fn typed_at(control: &Control, name: &str) -> UtcUs {
    control.since.get(name).copied().unwrap_or(UtcUs::EPOCH)
}

/// Since when whoever was let in has had its addresses: where Redis does not say it, since now.
fn since_of(checked: &Checked) -> HashMap<SocketAddr, UtcUs> {
    let now = utc_us();
    checked.held.iter().map(|(address, since)| (*address, (*since).min(now))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: &[u8]) -> Vec<SocketAddr> {
        last.iter().map(|last| SocketAddr::from(([127, 0, 0, *last], 8080))).collect()
    }

    fn inside(addresses: &[u8], found: &[u8]) -> Inside {
        let endpoint = "a.test:8080".parse().expect("an endpoint");
        Inside { endpoint, addresses: at(addresses), since: HashMap::new(), found: at(found) }
    }

    #[test]
    fn an_address_that_a_name_gets_waits_until_it_is_let_in() {
        let mut it = inside(&[1, 2], &[1, 2]);
        assert!(it.on_found(at(&[1, 3])), "one has left");
        assert_eq!((&it.addresses, it.waiting()), (&at(&[1]), at(&[3])));
        assert!(!it.on_found(at(&[1, 3, 4])), "what comes changes nothing yet");
        assert_eq!((&it.addresses, it.waiting()), (&at(&[1]), at(&[3, 4])));
        it.on_admitted(at(&[4]), at(&[4]).into_iter().map(|address| (address, UtcUs(7))).collect());
        assert_eq!((&it.addresses, it.waiting()), (&at(&[1, 4]), at(&[3])));
        assert_eq!(it.held(), [(at(&[1])[0], UtcUs::EPOCH), (at(&[4])[0], UtcUs(7))]);
        assert!(it.lose("[64:ff9b::127.0.0.1]:8080".parse().expect("an address")), "however it is written");
        assert!(!it.lose(at(&[3])[0]) && it.addresses == at(&[4]));
    }

    #[test]
    fn a_name_that_moves_keeps_what_it_has_until_one_of_the_new_is_let_in() {
        let mut it = inside(&[1, 2], &[1, 2]);
        assert!(!it.on_found(at(&[5, 6])));
        assert_eq!((&it.addresses, it.waiting()), (&at(&[1, 2]), at(&[5, 6])));
        it.on_admitted(at(&[6]), HashMap::new());
        assert_eq!((&it.addresses, it.waiting()), (&at(&[6]), at(&[5])));
    }

    #[test]
    fn what_a_policy_closes_is_neither_played_nor_asked() {
        let mut it = inside(&[1, 2], &[1, 2, 3]);
        let policy = |deny: &[&str]| Policy {
            allow: vec!["127.0.0.0/8".parse().expect("a network")],
            deny: deny.iter().map(|entry| entry.parse().expect("an entry")).collect(),
            ..Policy::default()
        };
        assert!(it.close(&policy(&["127.0.0.2", "127.0.0.3"])));
        assert_eq!((&it.addresses, it.waiting()), (&at(&[1]), at(&[])));
        assert!(!it.close(&policy(&["127.0.0.0/8"])));
    }
}
