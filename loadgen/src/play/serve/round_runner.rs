//! One round as one generator plays it: the journal, the workers, the board, and the document that it follows.

use super::admission::{Admission, Event};
use super::home::Home;
use super::journal_control;
use super::own_stop::OwnStop;
use super::round_end::{FinishedRound, RoundEnds};
use crate::Failed;
use crate::admit::trust::{ContestTrust, Trust};
use crate::engine::clock::RunInstant;
use crate::engine::control::WorkerControl;
use crate::engine::index::{ContestantIndex, Key, Table};
use crate::engine::plan::{ContestantPlan, NS_PER_SECOND, OwnRest, Plan, Target, TrafficMode};
use crate::engine::run::{Clock, Progress};
use crate::engine::schedule::Schedule;
use crate::engine::share::Share;
use crate::journal::folders;
use crate::observe::metrics::Doing;
use crate::observe::title::Title;
use crate::play::driver::Driver;
use crate::play::plan::{Taker, contest_plan, contestant, phases, request, run_clock, schedule};
use crate::record::publish::Board;
use crate::record::recorder::{Recorder, Unmade};
use flowtest_contest::contest::Absent;
use flowtest_contest::endpoint::Endpoint;
use flowtest_contest::lifecycle::follows;
use flowtest_contest::timeline::Split;
use flowtest_contest::{Control, Policy, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Histogram, RoundId, StreamId};
use flowtest_journal::record;
use flowtest_scoreboard::clock::ClockOffset;
use flowtest_scoreboard::{BusyWith, ExplainedError, RoundValidity};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// Between hearing of a change and the instant from which on requests are judged by it: time to tell the workers, also
/// where the machine is busy. Changes are announced a second ahead and heard within a quarter.
const TELLING_US: u64 = 300_000;
/// Figures that are older tell nothing of what is sent now: they come once a second.
const FIGURES_NS_MAX: u64 = 3 * NS_PER_SECOND;
/// Room for the request of an endpoint that a contestant moves to, beside the one that it began with.
const REQUEST_SPARE: usize = 512;

/// Where a contestant is, as far as it was let in.
#[derive(Clone, Debug)]
struct RosterEntry {
    /// As the document has it.
    wanted: Endpoint,
    /// The one that gets traffic, with its addresses; none before it has answered right.
    taken: Option<(Endpoint, Vec<Target>)>,
    /// It was asked, and did not answer right, or may not be there. Before that it is no fault of its that it gets nothing.
    is_absent: bool,
    /// The organiser has closed all its addresses since it was let in: that is no fault of its either.
    is_shut: bool,
    /// Its own servers have said that they are not its, and it was not let in since.
    is_disowned: bool,
}

impl RosterEntry {
    fn new(wanted: Endpoint) -> RosterEntry {
        RosterEntry { wanted, taken: None, is_absent: false, is_shut: false, is_disowned: false }
    }

    /// Lets go of the addresses that the policy closes. Who has none left gets nothing until it is admitted anew.
    fn close(&mut self, policy: &Policy) {
        if let Some((_, addresses)) = &mut self.taken {
            addresses.retain(|target| policy.judge_address(target.address).is_ok());
        }
        self.is_shut |= self.taken.take_if(|(_, addresses)| addresses.is_empty()).is_some();
    }

    /// Whether it pays for what falls due to it while nothing is sent there. Where absence is free that is only who was let in
    /// and is out again by its own doing, or being so would be a way not to play.
    fn is_charged(&self, absent: Absent) -> bool {
        self.is_disowned || (self.is_absent && !self.is_shut && absent == Absent::Charged)
    }

    /// It is at these addresses now; says whether that is another place. What it had keeps what was counted there.
    fn resolve(&mut self, addresses: &[SocketAddr]) -> bool {
        let Some((_, held)) = &mut self.taken else { return false };
        let changed = !held.iter().map(|target| target.address).eq(addresses.iter().copied());
        let target = |address: &SocketAddr| {
            held.iter().find(|target| target.address == *address).cloned().unwrap_or_else(|| Target::new(*address))
        };
        *held = addresses.iter().map(target).collect();
        changed
    }
}

/// The figures of the last second, for the generator's health.
#[derive(Clone, Debug, Default)]
pub struct HealthFigures {
    pub rate: u64,
    /// Of the newest whole second; null in closed phases, and where nothing was due.
    pub rate_ratio: Option<f64>,
    /// Our own send lag; null in closed loop.
    pub lag_p99_us: Option<u64>,
    /// Of each worker.
    pub busy_percent: Vec<u8>,
    at: RunInstant,
    answered: u64,
    lag: Histogram,
    used_us: Vec<u64>,
}

#[derive(Debug)]
pub struct RoundRunner {
    pub id: RoundId,
    pub stream: StreamId,
    /// The newest document that is applied.
    pub control: Control,
    /// Its policy, within our ceiling.
    policy: Policy,
    trust: ContestTrust,
    /// Nothing is sent from here, whatever the document says; and when that is or was so.
    is_stopped_here: bool,
    own_rests: Arc<[OwnRest]>,
    /// The document in Redis, where it is another one than `control`.
    refused: Option<RefusedDocument>,
    /// The newest stop that was taken back: documents up to this one stop nothing here any more.
    lifted: u64,
    /// The organiser gave the round up.
    is_aborted: bool,
    clock: Clock,
    /// Who we are in its splits.
    taker: Taker,
    /// Contestants whom the admission has not asked yet: none where a split named us when the round was armed here.
    unasked: BTreeSet<ContestantIndex>,
    /// The process is to end, and takes no share any more.
    is_leaving: bool,
    roster: Table<ContestantIndex, RosterEntry>,
    pub(super) driver: Driver,
    pub(super) said: SaidHold,
    admission: Admission,
    figures: HealthFigures,
    /// Bytes that a request may have: what the slots have room for.
    longest: usize,
}

/// What Redis has heard from us of the hold that is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SaidHold {
    pub(super) step: u32,
    /// How much was counted.
    pub(super) counted: u64,
    /// No more will be counted.
    pub(super) is_settled: bool,
}

/// What is to be said where workers were told of a revision only after the instant from which it counts.
fn told_late(revision: u64, from: UtcUs, now: UtcUs) -> Option<String> {
    let late_ms = now.saturating_since(from).div_ceil(1_000);
    (late_ms > 0).then(|| {
        format!(
            "this process stood still while it told of revision {revision}: for {late_ms} ms requests may have been judged by the \
             deadlines of before; `audit` says whether one was"
        )
    })
}

/// A document that is not applied. Of what it says one thing holds all the same: that nothing may be sent.
#[derive(Debug)]
struct RefusedDocument {
    revision: u64,
    /// Why, for the organiser.
    message: String,
    halted: bool,
}

impl RoundRunner {
    /// Makes everything ready for an armed round: journal, registration, workers. The roster is let in as it answers. Splits
    /// that begin from `takes_from` on are ours: a round that is played already is joined by the next one that names us.
    /// One whose registration fails is left to `ends`. `unmade`: a journal that waits for its disk since an attempt before.
    pub(super) fn arm(
        home: &Home,
        control: Control,
        offset: ClockOffset,
        takes_from: UtcUs,
        ends: &mut RoundEnds,
        unmade: &mut Option<Unmade>,
    ) -> Result<RoundRunner, Failed> {
        let id = control.round.ok_or_else(|| Failed::Message("the armed round has no id".to_owned()))?;
        let policy = home.policy(&control)?;
        let prepared = home.outputs.prepare_with(home.metrics.clone())?;
        let start = control.timeline.start_at.unwrap_or(UtcUs::EPOCH);
        let clock = Clock::before(start)?;
        let taker = Taker { id: home.id.clone(), takes_from };
        let is_named = |split: &Split| split.from >= takes_from && split.generators.contains(&home.id);
        let is_joining = !control.timeline.splits.last().is_some_and(is_named);
        let phases = phases(&control.contest, Schedule::before_pauses(run_clock(&clock, start)));
        let schedule = schedule(&control, &taker, &clock, None, UtcUs::EPOCH);
        let stream = StreamId::from_bits(crate::play::run::random_bits()?);
        let roster: Table<ContestantIndex, RosterEntry> =
            control.contest.contestants.iter().map(|one| RosterEntry::new(one.endpoint.clone())).collect();
        let contestants = contestants(&control, &roster, home.trust.of(policy.tls), control.halted);
        let plan = contest_plan(control.contest.rules, schedule, &clock, phases, contestants, home.cores.len());
        let armed = control.contest.contestants.len() - control.timeline.joins.len();
        let places = control.contest.places(armed);
        let plan = Arc::new(Plan { places, room: places, request_spare: REQUEST_SPARE, ..plan });
        let start = home.start_record(&control, &plan, offset, &taker);
        let output = prepared.open(&plan, Title::Contest(control.contest.name.clone()))?;
        let recorder = Recorder::create(&home.journal, id, stream, start, home.spare_core(), home.tracing, unmade)?;
        for (at, deadlines) in plan.schedule.all_deadlines().iter().skip(1) {
            recorder.control(journal_control(&control, *at, deadlines));
        }
        // Nobody is let in yet, so that the workers send nothing.
        let driver = Driver::recorded(plan.clone(), clock, &home.cores, recorder, output)?.gated();
        // Only now: a stream that Redis knows of has a journal, and nothing can keep it from its end any more.
        let admission = match Admission::start(home, &control) {
            Ok(admission) => admission,
            Err(error) => {
                driver.worker_control().abort();
                return Err(error);
            }
        };
        let board = match Board::join(&home.redis, &control.contest, id, stream, keys(&control)) {
            Ok(board) => board,
            Err(error) => {
                driver.worker_control().abort();
                // Its journal is to be nobody's when it is looked at.
                drop(driver);
                ends.finish_unarmed(control.contest.name, id, stream);
                return Err(error);
            }
        };
        let longest = plan.contestants.iter().map(|one| one.request.len()).max().unwrap_or(0) + REQUEST_SPARE;
        let unasked = roster.keys().filter(|_| is_joining).collect();
        Ok(RoundRunner {
            longest,
            taker,
            unasked,
            is_leaving: false,
            policy,
            trust: home.trust.clone(),
            id,
            stream,
            is_stopped_here: false,
            own_rests: [].into(),
            refused: None,
            lifted: 0,
            is_aborted: false,
            clock,
            roster,
            driver: driver.publish_on(Some(board)),
            said: SaidHold::default(),
            admission,
            figures: HealthFigures::default(),
            control,
        })
    }

    /// Applies a newer document of the same round, or says why not; then the round goes on as it was, or rests where that one
    /// says so. `policy`: the document's, within our ceiling.
    pub fn apply(&mut self, newer: &Control, policy: Policy) {
        if newer.revision == self.control.revision && *newer == self.control {
            return self.refuse(None);
        }
        let is_ours = newer.round.is_none() || newer.round == Some(self.id);
        let refusal = match follows(&self.control, newer) {
            Ok(()) if is_ours => None,
            Ok(()) => Some("it is of another round".to_owned()),
            Err(refusal) => Some(refusal.to_string()),
        };
        if let Some(refusal) = refusal {
            let message = format!("revision {} of the document is not applied: {refusal}", newer.revision);
            // Also one that is older than ours: whoever stops traffic may have heard of less than we have.
            let halted = newer.halted && newer.revision > self.lifted;
            if newer.round == Some(self.id) && newer.state == State::Aborted {
                self.abort();
            }
            return self.refuse(Some(RefusedDocument { revision: newer.revision, message, halted }));
        }
        if !newer.halted && newer.revision > self.halted_by() {
            self.lifted = self.lifted.max(self.halted_by());
        }
        self.refused = None;
        self.control = newer.clone();
        self.policy = policy;
        // Before anybody of whom it speaks comes.
        self.tell_admission();
        for (index, one) in ContestantIndex::all().zip(&self.control.contest.contestants) {
            let is_new = self.roster.get(index).is_none();
            if is_new {
                self.roster.push(RosterEntry::new(one.endpoint.clone()));
            }
            if is_new || self.roster[index].wanted != one.endpoint {
                self.roster[index].wanted = one.endpoint.clone();
                self.roster[index].is_shut = false;
                self.admission.come(index, one.endpoint.clone());
            }
        }
        // At once, and not when the admission comes to it, who may be waiting for somebody's answer.
        self.roster.iter_mut().for_each(|entry| entry.close(&self.policy));
        self.driver.rename(keys(&self.control));
        self.let_join();
        if self.control.state == State::Aborted {
            self.abort();
        }
        self.change_schedule();
    }

    /// Tells once which document is not applied, and applies its stop for as long as it stands there.
    fn refuse(&mut self, refused: Option<RefusedDocument>) {
        let was_halted = self.is_halted();
        let told = self.refused.as_ref().map(|refused| refused.revision);
        if let Some(refused) = refused.as_ref().filter(|refused| Some(refused.revision) != told) {
            eprintln!("flowtest-loadgen: {}", refused.message);
        }
        self.refused = refused;
        if self.is_halted() != was_halted {
            self.tell_admission();
            self.change_plan(self.driver.plan().schedule.clone());
        }
    }

    fn abort(&mut self) {
        self.is_aborted = true;
        self.driver.worker_control().abort();
    }

    /// Whether nothing may be sent, whoever says so.
    fn is_halted(&self) -> bool {
        self.is_stopped_here || self.control.halted || self.refused.as_ref().is_some_and(|refused| refused.halted)
    }

    /// The revision of the document by which nothing is sent, also where it is not followed otherwise; 0: none says so.
    pub fn halted_by(&self) -> u64 {
        let refused = self.refused.as_ref().filter(|refused| refused.halted).map_or(0, |refused| refused.revision);
        refused.max(super::halted_by(Some(&self.control)))
    }

    /// By what contestants are let in from now on.
    fn tell_admission(&self) {
        let mut control = Control { halted: self.is_halted(), ..self.control.clone() };
        control.contest.policy = self.policy.clone();
        self.admission.document(&control);
    }

    /// Why the round is not played as the document has it.
    pub fn trouble(&self) -> Option<String> {
        self.refused.as_ref().map(|refused| refused.message.clone())
    }

    /// Tells journal and scoreboard of those who have joined since the plan was made.
    fn let_join(&mut self) {
        let joins = &self.control.timeline.joins;
        let armed = self.control.contest.contestants.len() - joins.len();
        let known = self.driver.plan().contestants.len().saturating_sub(armed);
        let joins: Vec<record::Join> = joins[known.min(joins.len())..]
            .iter()
            .map(|join| {
                let at = folders::instant(join.at);
                eprintln!("flowtest-loadgen: {} joins the round, from {at} on", join.contestant);
                record::Join { at: join.at.0, name: join.contestant.clone().into_bytes() }
            })
            .collect();
        if !joins.is_empty() {
            let names: Vec<String> = self.control.contest.contestants.iter().map(|one| one.name.clone()).collect();
            self.driver.join(joins, &names);
        }
    }

    /// Journal and workers are told what counts from an instant that lies a moment ahead. Nothing that may wait stands between
    /// the two: a request sent after that instant, and judged before its worker heard of it, would be judged by what the
    /// journal calls old.
    fn change_schedule(&mut self) {
        let before = self.driver.plan().schedule.clone();
        // By the clock that stamps requests: the system's may have been set meanwhile.
        let from = self.utc_us() + TELLING_US;
        let schedule = schedule(&self.control, &self.taker, &self.clock, Some(&before), from);
        self.follow_share(&before, &schedule);
        // What holds from now on, also where that has not changed: it ends what older revisions said of later instants.
        self.driver.control(journal_control(&self.control, from, schedule.deadlines(from)));
        for (at, deadlines) in schedule.all_deadlines().iter().filter(|(at, _)| *at > from) {
            self.driver.control(journal_control(&self.control, *at, deadlines));
        }
        let moved = schedule.deadlines(from) != before.deadlines(from);
        self.change_plan(Arc::new(schedule));
        if let Some(told) = told_late(self.control.revision, from, self.utc_us()).filter(|_| moved) {
            eprintln!("flowtest-loadgen: {told}");
        }
    }

    /// Sends nothing from here, or goes on, whatever the document says. `again`: the workers may go by another plan than this
    /// round's.
    pub(super) fn stop_here(&mut self, own_stops: &[OwnStop], again: bool) {
        let own_rests: Vec<OwnRest> = own_stops.iter().map(|stop| stop.on(&self.clock)).collect();
        if *self.own_rests == own_rests && !again {
            return;
        }
        let stopped = own_stops.iter().any(OwnStop::lasts);
        (self.is_stopped_here, self.own_rests) = (stopped, own_rests.into());
        self.tell_admission();
        self.change_plan(self.driver.plan().schedule.clone());
    }

    pub fn worker_control(&self) -> Arc<WorkerControl> {
        self.driver.worker_control().clone()
    }

    /// Why Redis does not take what is counted, as long as that lasts.
    pub fn publish_error(&self) -> Option<String> {
        self.driver.publish_error()
    }

    /// For how long nothing has come to the disk, where that is too long, in microseconds.
    pub fn journal_still_us(&self) -> Option<u64> {
        self.driver.journal_still().map(|still| u64::try_from(still.as_micros()).unwrap_or(u64::MAX))
    }

    /// Tells of a share that is another one, and begins with the flood after having had none.
    fn follow_share(&mut self, before: &Schedule, after: &Schedule) {
        let newest = |schedule: &Schedule| schedule.shares().last().map_or(Share::NONE, |(_, share)| *share);
        let (was, is) = (newest(before), newest(after));
        if was == is {
            return;
        }
        if was.is_none() {
            self.roster.keys().for_each(|index| self.driver.restart(index));
        }
        let at = self.control.timeline.splits.last().map_or_else(String::new, |split| folders::instant(split.from));
        let part = if is.is_none() { "no part".to_owned() } else { format!("part {} of {}", is.index + 1, is.of) };
        eprintln!("flowtest-loadgen: from {at} on this generator takes {part} of the requests");
    }

    /// From which instant on splits are ours; none while we take no share: we leave, or have not asked everybody yet.
    pub fn takes_from(&self) -> Option<UtcUs> {
        (!self.is_leaving && self.unasked.is_empty()).then_some(self.taker.takes_from)
    }

    /// Takes no share any more, and plays on by the ones it has.
    pub fn give_away(&mut self) {
        self.is_leaving = true;
    }

    /// Whether requests are ours, now or by what is decided, and there are others who could take them.
    pub fn has_share(&self) -> bool {
        let schedule = &self.driver.plan().schedule;
        let is_ours_now = !schedule.share_at(self.now()).is_none();
        let newest = schedule.shares().last().map_or(Share::NONE, |(_, share)| *share);
        (is_ours_now || !newest.is_none()) && newest != Share::WHOLE
    }

    /// The process is asked to end: what is in flight is finished.
    pub fn leave(&self) {
        self.driver.worker_control().drain();
    }

    /// Somebody asked for the document at this instant, and has had the answer, whether or not it could be read.
    pub fn looked(&self, asked: RunInstant) {
        self.driver.worker_control().look(asked);
    }

    /// Passes on what has happened; `true` when the round is over for us.
    pub fn poll(&mut self) -> bool {
        self.driver.look();
        if let Some(progress) = self.driver.counted() {
            self.figures.beat(progress, self.driver.rate_ratio());
        }
        let mut changed = false;
        for event in self.admission.events() {
            changed |= self.on_event(event);
        }
        if changed {
            self.change_plan(self.driver.plan().schedule.clone());
        }
        self.driver.is_over()
    }

    /// What is done at an instant.
    pub fn doing(&self, now: UtcUs) -> Doing {
        let timeline = &self.control.timeline;
        let is_over = timeline.end_at(&self.control.contest).is_some_and(|end| end <= now);
        match timeline.start_at {
            _ if is_over || self.is_aborted => Doing::Draining,
            Some(start) if now < start => Doing::Armed,
            _ if timeline.pause_at(now).is_some() => Doing::Paused,
            _ => Doing::Running,
        }
    }

    /// How far the system's clock has been set since the round was armed.
    pub fn clock_step_us(&self) -> i64 {
        self.clock.step_us()
    }

    /// How many batches are on disk and not in Redis.
    pub fn backlog(&self) -> u64 {
        self.driver.backlog()
    }

    /// The figures of the last second; none where nothing has been heard of the workers for longer.
    pub fn figures(&self) -> Option<&HealthFigures> {
        self.figures.while_fresh(self.now())
    }

    /// How much of what is scored so far is valid.
    pub fn validity(&self) -> RoundValidity {
        self.driver.validity()
    }

    /// What of our own it was last that made seconds not valid, or requests void.
    pub fn own_fault_cause(&self) -> Option<&'static str> {
        self.driver.own_fault_cause()
    }

    /// Whose exchanges filled the time of workers that never rested.
    pub fn busy_with(&self) -> Option<BusyWith> {
        self.driver.busy_with()
    }

    /// Ends it: what was recorded, and what is left to say to Redis.
    pub fn finish(self) -> FinishedRound {
        let now = self.utc_us();
        let end = self.control.timeline.end_at(&self.control.contest);
        let ended = self.driver.finish(self.control.timeline.stopped_at.is_some() || self.is_aborted);
        FinishedRound {
            id: self.id,
            stream: self.stream,
            contest: self.control.contest.name.clone(),
            ended,
            aborted: self.is_aborted,
            at_its_end: end.is_some_and(|end| now >= end),
        }
    }

    pub fn now(&self) -> RunInstant {
        self.clock.elapsed()
    }

    pub(super) fn utc_us(&self) -> UtcUs {
        self.clock.utc_us(self.now())
    }

    /// Whether what the admission says changes what somebody gets.
    fn on_event(&mut self, event: Event) -> bool {
        match event {
            Event::Admitted(admitted) => {
                self.unasked.remove(&admitted.contestant);
                let longest = self.longest;
                let entry = &mut self.roster[admitted.contestant];
                if admitted.endpoint != entry.wanted {
                    // It has moved on while it was looked at.
                    return false;
                }
                if request(&admitted.endpoint).len() > longest {
                    eprintln!("flowtest-loadgen: {}: its path is too long to move to in mid-round", admitted.endpoint);
                    return false;
                }
                let targets = admitted.addresses.into_iter().map(Target::new).collect();
                entry.taken = Some((admitted.endpoint, targets));
                (entry.is_absent, entry.is_shut, entry.is_disowned) = (false, false, false);
                entry.close(&self.policy);
                self.driver.restart(admitted.contestant);
                true
            }
            Event::Resolved { contestant, addresses } => {
                let entry = &mut self.roster[contestant];
                let changed = entry.resolve(&addresses);
                entry.close(&self.policy);
                changed
            }
            Event::Shut { contestant } => self.roster[contestant].taken.take().is_some(),
            Event::Disowned { contestant } => {
                let entry = &mut self.roster[contestant];
                // Whom the organiser has shut out already is out by that.
                entry.is_disowned = entry.taken.take().is_some();
                entry.is_disowned
            }
            Event::Checked { contestant, prepared } => {
                self.driver.prepared(contestant, prepared);
                false
            }
            Event::Waiting { contestant, message, for_log } => {
                self.unasked.remove(&contestant);
                let name = &self.control.contest.contestants[contestant.index()].name;
                eprintln!("flowtest-loadgen: {name} is not ready: {for_log}");
                self.driver.explain(contestant, not_ready(self.utc_us(), message));
                let entry = &mut self.roster[contestant];
                // Who moves stays where it was until then.
                !std::mem::replace(&mut entry.is_absent, entry.taken.is_none()) && entry.is_absent
            }
        }
    }

    fn change_plan(&mut self, schedule: Arc<Schedule>) {
        let trust = self.trust.of(self.policy.tls);
        let contestants = contestants(&self.control, &self.roster, trust, self.is_halted()).into();
        let own_rests = self.own_rests.clone();
        self.driver.change(Plan { schedule, contestants, own_rests, ..Plan::clone(self.driver.plan()) });
    }
}

/// What the workers get to know of the roster.
fn contestants(control: &Control, roster: &[RosterEntry], trust: &Trust, is_halted: bool) -> Vec<ContestantPlan> {
    let of = |(one, entry): (&flowtest_contest::contest::Contestant, &RosterEntry)| {
        let quiet = is_halted || control.parked.contains(&one.name);
        // Where nobody is trusted any more, for the contest says otherwise since it was let in, nothing is sent: never plainly.
        let taken = entry.taken.as_ref().and_then(|(endpoint, addresses)| {
            let tls = trust.server(endpoint).ok()?;
            Some((endpoint, tls, addresses.clone()))
        });
        // Where this machine can trust nobody that is its own fault, wherever the contestant was before: nobody pays for it, and
        // the seconds are not valid. To whom the organiser has shut the way nothing would be sent in any case.
        let is_ours = !entry.is_shut && trust.server(&entry.wanted).is_err_and(|error| error.is_ours());
        let (endpoint, tls, addresses, traffic) = match taken {
            _ if !quiet && is_ours => (&entry.wanted, None, Vec::new(), TrafficMode::Unable),
            Some((endpoint, tls, addresses)) if !quiet => (endpoint, tls, addresses, TrafficMode::Flood),
            Some((endpoint, tls, addresses)) => (endpoint, tls, addresses, TrafficMode::Halted),
            None if !quiet && entry.is_charged(control.contest.absent) => {
                (&entry.wanted, None, Vec::new(), TrafficMode::Absent)
            }
            None => (&entry.wanted, None, Vec::new(), TrafficMode::Halted),
        };
        contestant(one.name.clone(), endpoint, tls, addresses, traffic)
    };
    control.contest.contestants.iter().zip(roster).map(of).collect()
}

/// Under which names Redis keeps what is the contestants' own.
fn keys(control: &Control) -> Vec<String> {
    let names = control.contest.contestants.iter().map(|contestant| &contestant.name);
    names.map(|name| control.ids.get(name).unwrap_or(name).clone()).collect()
}

/// What a contestant reads that is not admitted yet.
fn not_ready(at: UtcUs, message: String) -> ExplainedError {
    ExplainedError {
        at,
        kind: "prepare".to_owned(),
        message,
        expected: "right answers, before the flood begins".to_owned(),
        received: "see the message".to_owned(),
        ..ExplainedError::default()
    }
}

impl HealthFigures {
    /// Themselves, unless they are too old to say what is sent now: a disk that hangs lets nothing be heard of the workers.
    fn while_fresh(&self, now: RunInstant) -> Option<&HealthFigures> {
        Some(self).filter(|figures| now <= figures.at + FIGURES_NS_MAX)
    }

    /// Takes the sums as they are; once a second the figures are made anew.
    fn beat(&mut self, progress: &Progress, rate_ratio: Option<f64>) {
        let Progress { now, sums, workers, .. } = progress;
        let now = *now;
        if now < self.at + NS_PER_SECOND {
            return;
        }
        let all = sums.scored.iter().chain(&sums.unscored);
        let answered: u64 = all.map(|counts| counts.row.tally.responses()).sum();
        let seconds = (now - self.at) as f64 / NS_PER_SECOND as f64;
        if self.at > RunInstant::START {
            self.rate = ((answered - self.answered) as f64 / seconds) as u64;
            self.rate_ratio = rate_ratio;
            self.lag_p99_us = sums.lag.since(&self.lag).quantile(0.99);
        }
        let used_us: Vec<u64> = workers.iter().map(|worker| worker.user_us + worker.system_us).collect();
        if self.used_us.len() == used_us.len() {
            let busy = used_us.iter().zip(&self.used_us).map(|(now, before)| (now - before) as f64 / seconds / 1e4);
            self.busy_percent = busy.map(|percent| percent.min(100.0) as u8).collect();
        }
        self.used_us = used_us;
        self.lag = sums.lag.clone();
        (self.at, self.answered) = (now, answered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_second_that_is_long_over_say_nothing_of_now() {
        let at = RunInstant::from_ns(5 * NS_PER_SECOND);
        let figures = HealthFigures { at, rate: 115, ..HealthFigures::default() };
        let told = |second: u64| figures.while_fresh(RunInstant::from_ns(second * NS_PER_SECOND)).map(|told| told.rate);
        assert_eq!([told(5), told(8), told(9)], [Some(115), Some(115), None]);
    }

    #[test]
    fn a_process_that_stood_still_while_it_told_of_new_deadlines_says_for_how_long() {
        let (from, at) = (UtcUs(NS_PER_SECOND), |us| UtcUs(NS_PER_SECOND + us));
        assert_eq!([told_late(7, from, UtcUs(0)), told_late(7, from, from)], [None, None], "they knew in time");
        let told = told_late(7, from, at(1_250_001)).expect("it is told");
        assert!(told.contains("stood still while it told of revision 7: for 1251 ms"), "{told}");
        assert!(told.contains("`audit` says whether one was"), "{told}");
    }

    #[test]
    fn who_is_out_by_its_own_doing_pays_also_where_absence_is_free() {
        let entry = |is_absent, is_shut, is_disowned| {
            let wanted = "a.test:8080".parse().expect("an endpoint");
            RosterEntry { is_absent, is_shut, is_disowned, ..RosterEntry::new(wanted) }
        };
        // Not asked yet, never let in, shut out by the organiser, out because its servers say that they are another's.
        let entries = [(false, false, false), (true, false, false), (true, true, false), (true, false, true)];
        let charged = |absent| {
            entries.map(|(is_absent, is_shut, is_disowned)| entry(is_absent, is_shut, is_disowned).is_charged(absent))
        };
        assert_eq!(charged(Absent::Charged), [false, true, false, true]);
        assert_eq!(charged(Absent::Free), [false, false, false, true]);
    }
}
