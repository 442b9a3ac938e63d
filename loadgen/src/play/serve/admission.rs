//! Who is let in: each endpoint of the roster is held against the policy and asked for right answers, before its first
//! request of the flood and again when it moves. Names are resolved again while the round runs.
//!
//! A thread of its own, so that no slow endpoint delays the clock of the round.

use super::Home;
use crate::Failed;
use crate::admit::probe::{Candidate, Checked, ProbeReport, Terms, check};
use crate::admit::resolve::names::Names;
use crate::admit::resolver::{self, Followed, News, Resolver};
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::run::Clock;
use flowtest_contest::endpoint::Endpoint;
use flowtest_contest::{Control, Policy};
use flowtest_scoreboard::Prepared;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How often a contestant that is not ready is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a check of all who wait may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(4);

/// A contestant that is let in, at an endpoint with all its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) contestant: ContestantIndex,
    pub(super) endpoint: Endpoint,
    pub(super) addresses: Vec<SocketAddr>,
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
    /// Not ready, and why.
    Waiting {
        contestant: ContestantIndex,
        sentence: String,
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
            ceiling: home.ceiling.clone(),
            policy,
            control: control.clone(),
            resolver,
            inside: BTreeMap::new(),
            outside: ContestantIndex::all()
                .zip(control.contest.contestants.iter().map(|one| one.endpoint.clone()))
                .collect(),
            told: HashMap::new(),
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
    ceiling: Option<Policy>,
    policy: Policy,
    control: Control,
    resolver: Resolver,
    /// Who plays where.
    inside: BTreeMap<ContestantIndex, Admitted>,
    /// Who waits for which place.
    outside: HashMap<ContestantIndex, Endpoint>,
    /// What was told of each check last.
    told: HashMap<ContestantIndex, Prepared>,
    /// Our name among the generators.
    id: String,
    tell: Sender<Event>,
}

impl AdmissionLoop {
    /// Until the round lets go of the other end.
    fn keep(&mut self, inbox: &Receiver<Command>, news: &Receiver<News>) {
        /// How often the resolver's news is passed on.
        const LOOK: Duration = Duration::from_millis(250);
        let mut check_at = Instant::now();
        loop {
            // All traffic is that of checks too.
            if !self.control.halted && !self.outside.is_empty() && Instant::now() >= check_at {
                self.check();
                check_at = Instant::now() + AGAIN;
            }
            news.try_iter().for_each(|news| self.pass_on(news));
            match inbox.recv_timeout(LOOK) {
                Ok(Command::Come(contestant, endpoint)) => {
                    self.outside.insert(contestant, endpoint);
                    check_at = Instant::now();
                }
                Ok(Command::Document(control)) => {
                    // A policy wider than our ceiling was refused before the document was applied.
                    if let Ok(policy) = within(&control.contest.policy, self.ceiling.as_ref()) {
                        // Whom the old one kept out may be let in by this one.
                        if policy != self.policy {
                            check_at = Instant::now();
                        }
                        self.resolver.set_policy(policy.clone());
                        self.policy = policy;
                    }
                    self.control = *control;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Asks everybody who waits.
    fn check(&mut self) {
        let waiting: Vec<(ContestantIndex, Endpoint)> =
            self.outside.iter().map(|(contestant, endpoint)| (*contestant, endpoint.clone())).collect();
        let name = |contestant: ContestantIndex| self.control.contest.contestants[contestant.index()].name.as_str();
        let candidates: Vec<Candidate<'_>> =
            waiting.iter().map(|(contestant, endpoint)| Candidate { name: name(*contestant), endpoint }).collect();
        let playing: Vec<(&str, &[SocketAddr])> = self
            .inside
            .values()
            .filter(|inside| !self.outside.contains_key(&inside.contestant))
            .map(|inside| (name(inside.contestant), inside.addresses.as_slice()))
            .collect();
        let now = Clock::now().utc_base;
        let deadlines = self.control.timeline.deadlines_at(&self.control.contest, now);
        let terms = Terms::new(self.control.contest.rules, deadlines);
        let checked = check(&candidates, &playing, &self.names, &self.policy, &terms, CHECK_TIMEOUT);
        for ((contestant, endpoint), checked) in waiting.into_iter().zip(checked) {
            self.on_checked(contestant, endpoint, checked);
        }
    }

    fn on_checked(&mut self, contestant: ContestantIndex, endpoint: Endpoint, checked: Checked) {
        self.tell_checked(contestant, &endpoint, &checked);
        if !checked.ready() {
            let _ = self.tell.send(Event::Waiting { contestant, sentence: checked.sentence() });
            return;
        }
        let name = self.control.contest.contestants[contestant.index()].name.clone();
        let admitted = Admitted { contestant, endpoint: endpoint.clone(), addresses: checked.addresses.clone() };
        self.resolver.follow(contestant.index(), Followed { name, endpoint, addresses: checked.addresses });
        self.outside.remove(&contestant);
        self.inside.insert(contestant, admitted.clone());
        let _ = self.tell.send(Event::Admitted(admitted));
    }

    fn tell_checked(&mut self, contestant: ContestantIndex, endpoint: &Endpoint, checked: &Checked) {
        let prepared = Prepared {
            at: Clock::now().utc_base,
            generator: self.id.clone(),
            ready: checked.ready(),
            verdicts: checked.outcome.as_ref().ok().and_then(ProbeReport::verdicts),
            message: self.prepared_message(checked),
            endpoint: endpoint.to_string(),
            addresses: checked.addresses.iter().map(SocketAddr::to_string).collect(),
        };
        if self.told.get(&contestant).is_none_or(|told| !told.says_the_same(&prepared)) {
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
                checked.sentence(),
                latency_us.div_ceil(1_000)
            ),
            _ => checked.sentence(),
        }
    }

    fn pass_on(&mut self, news: News) {
        match news {
            News::Resolved(resolved) => {
                let contestant = ContestantIndex::from_index(resolved.contestant);
                if let Some(inside) = self.inside.get_mut(&contestant) {
                    inside.addresses.clone_from(&resolved.addresses);
                }
                let _ = self.tell.send(Event::Resolved { contestant, addresses: resolved.addresses });
            }
            News::Closed { contestant } => {
                self.resolver.forget(contestant);
                let contestant = ContestantIndex::from_index(contestant);
                if let Some(inside) = self.inside.remove(&contestant) {
                    // Where it waits for another endpoint already, that one stays the one to check.
                    self.outside.entry(contestant).or_insert(inside.endpoint);
                }
                let _ = self.tell.send(Event::Shut { contestant });
            }
            News::Refused { sentence, .. } | News::Stale { sentence, .. } | News::Hosts { sentence } => {
                eprintln!("flowtest-loadgen: {sentence}");
            }
            News::Fresh { .. } => {}
        }
    }
}

/// The document's policy, if our own ceiling allows it.
pub(super) fn within(
    policy: &Policy,
    ceiling: Option<&Policy>,
) -> Result<Policy, flowtest_contest::policy::PolicyError> {
    ceiling.map_or_else(|| Ok(policy.clone()), |ceiling| policy.within(ceiling))
}
