//! Practice: half a minute of load on one contestant's own endpoint, beside all rounds, and a report of it in Redis. It is open
//! load at one rate, or a climb (`climb`).
//!
//! One thread with one worker. It passes the same policy and the same three right answers as in a round, and is judged by
//! the same worker, rules and deadlines. Nothing of it is journalled, nothing counts, and it ends at once when it is told.

mod climb;

use crate::Failed;
use crate::admit::probe::{Candidate, CheckedBy, Claim, Holder, Terms, check_since, not_now};
use crate::admit::resolve::Names;
use crate::admit::trust::ContestTrust;
use crate::engine::clock::RunInstant;
use crate::engine::control::WorkerControl;
use crate::engine::index::ContestantIndex;
use crate::engine::plan::{Load, NS_PER_SECOND, Phase, Plan, Ramp, Target, TrafficMode};
use crate::engine::run::{Clock, Progress, RunError};
use crate::engine::schedule::Schedule;
use crate::engine::trace::Tracing;
use crate::observe::output::Outputs;
use crate::observe::title::Title;
use crate::play::claims::{Claims, Naming};
use crate::play::driver::{Driver, Ended, LOOK};
use crate::play::plan::{HEAD_START, contest_plan, contestant};
use flowtest_contest::ladder::Pass;
use flowtest_contest::{Endpoint, Policy};
use flowtest_contract::rules::{Deadlines, Rules, UtcUs};
use flowtest_contract::{Row, utc_us};
use flowtest_scoreboard::practice::{ERRORS_MAX, PracticeReport, PracticeRequest, PracticeState};
use flowtest_scoreboard::{ExplainedError, RedisAddress, Scoreboard};
use parking_lot::Mutex;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Connections at most.
pub const CONNECTIONS_MAX: u64 = 64;
/// How long the check before it may take, and the look at where the others are.
const CHECK_TIMEOUT: Duration = Duration::from_secs(6);
const RIVALS_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the report is rewritten.
const REPORT: Duration = Duration::from_secs(1);
/// How long the last report may take to reach a Redis that is away.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Where and how it is practised; the same for whoever asks.
#[derive(Clone, Debug)]
pub struct PracticeConfig {
    pub contest: String,
    /// Our name.
    pub generator: String,
    /// Where the worker runs.
    pub core: usize,
    pub names: Names,
    /// Within this machine's ceiling.
    pub policy: Policy,
    pub trust: ContestTrust,
    pub rules: Rules,
    pub deadlines: Deadlines,
    /// What a step of a climb has to reach.
    pub pass: Pass,
    /// Everybody of the contest in the order in which they named their servers, and when: nobody practises on somebody else's.
    pub roster: Vec<(String, Endpoint, UtcUs)>,
    /// What says since when names have had their addresses.
    pub redis: RedisAddress,
}

/// A practice run under way. It is told to end, and waited for, when this is dropped.
#[derive(Debug)]
pub struct Practice {
    stop_handle: Arc<StopHandle>,
    thread: Option<JoinHandle<()>>,
}

/// How a running practice is stopped from outside.
#[derive(Debug, Default)]
struct StopHandle(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// Why it ends before its time.
    reason: Option<String>,
    worker_control: Option<Arc<WorkerControl>>,
}

impl StopHandle {
    fn reason(&self) -> Option<String> {
        self.0.lock().reason.clone()
    }

    fn stop(&self, reason: &str) {
        let mut held = self.0.lock();
        held.reason.get_or_insert_with(|| reason.to_owned());
        if let Some(worker_control) = &held.worker_control {
            worker_control.abort();
        }
    }

    /// From now on a stop reaches the worker; also one that came before.
    fn take(&self, worker_control: Arc<WorkerControl>) {
        let mut held = self.0.lock();
        if held.reason.is_some() {
            worker_control.abort();
        }
        held.worker_control = Some(worker_control);
    }
}

impl Practice {
    /// Begins, with a connection to Redis of its own.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(scoreboard: Scoreboard, config: PracticeConfig, request: PracticeRequest) -> io::Result<Practice> {
        let stop_handle = Arc::new(StopHandle::default());
        let session = Session::new(scoreboard, config, request, stop_handle.clone());
        let thread = thread::Builder::new().name("practice".to_owned()).spawn(move || session.play())?;
        Ok(Practice { stop_handle, thread: Some(thread) })
    }

    /// Ends it at once. What is in flight costs nobody anything.
    pub fn stop(&self, reason: &str) {
        self.stop_handle.stop(reason);
    }

    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Practice {
    fn drop(&mut self) {
        self.stop("the generator was ended: practise again");
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What cannot be done where [`not_now`] says so.
pub(crate) const PRACTISE: &str = "practise";

/// What a request is told that is not even begun.
pub fn refusal(request: &PracticeRequest, generator: &str, message: String) -> PracticeReport {
    PracticeReport {
        id: request.id.clone(),
        at: utc_us(),
        generator: generator.to_owned(),
        state: PracticeState::Refused,
        message,
        second: 0,
        row: String::new(),
        points: 0,
        p50_us: None,
        p99_us: None,
        errors: Vec::new(),
        climb: None,
    }
}

/// The thread's state.
struct Session {
    scoreboard: Scoreboard,
    config: PracticeConfig,
    request: PracticeRequest,
    stop_handle: Arc<StopHandle>,
    report: PracticeReport,
}

impl Session {
    fn new(
        scoreboard: Scoreboard,
        config: PracticeConfig,
        request: PracticeRequest,
        stop_handle: Arc<StopHandle>,
    ) -> Session {
        let report = refusal(&request, &config.generator, String::new());
        Session { scoreboard, config, request, stop_handle, report }
    }

    fn play(mut self) {
        self.say(PracticeState::Waiting, "the endpoint is asked for three right answers".to_owned());
        let end = match self.prepare() {
            Err(message) => (PracticeState::Refused, message),
            Ok((endpoint, addresses)) => match self.flood(&endpoint, &addresses) {
                Err(error) => (PracticeState::Refused, not_now(PRACTISE, &error)),
                Ok(message) => (PracticeState::Done, message),
            },
        };
        let until = Instant::now() + LAST_WORD;
        while !self.say(end.0, end.1.clone()) && Instant::now() < until {
            thread::sleep(REPORT / 4);
        }
    }

    /// Puts the report; whether Redis took it.
    fn say(&mut self, state: PracticeState, message: String) -> bool {
        (self.report.state, self.report.message, self.report.at) = (state, message, utc_us());
        self.scoreboard.answer_practice(&self.config.contest, &self.report).is_ok()
    }

    /// The addresses to flood: all of an endpoint's, which the policy admits, which are nobody else's, and which answer.
    fn prepare(&self) -> Result<(Endpoint, Vec<SocketAddr>), String> {
        self.request.check()?;
        let PracticeConfig { names, policy, trust, roster, .. } = &self.config;
        let endpoint: Endpoint =
            self.request.endpoint.parse().map_err(|error: flowtest_contest::EndpointError| error.to_string())?;
        // The hosts file may have changed since; what is wrong with it is told by whoever follows the roster.
        let _ = names.refresh();
        let now = utc_us();
        let mut claims = Claims::new(self.config.redis.clone(), self.config.contest.clone());
        let contestant = &self.request.contestant;
        // Who asks for practice at a server that the document does not know of it has named it just now.
        let is_own =
            |(name, named, _): &(String, Endpoint, UtcUs)| *name == *contestant && named.server() == endpoint.server();
        let own = roster.iter().position(is_own);
        let typed_at = own.map_or(now, |place| roster[place].2);
        let held = self.rivals(own.unwrap_or(roster.len()), &mut claims, now);
        let rivals: Vec<Holder<'_>> = held.iter().map(|(name, held)| Holder { name, held }).collect();
        let team = Candidate::team(policy, contestant);
        let candidate = Candidate { team, typed_at, ..Candidate::new(contestant, &endpoint) };
        let terms = Terms::new(self.config.rules, self.config.deadlines);
        let by = CheckedBy { names, policy, trust, terms: &terms };
        let mut since = |claimed: &[Claim]| {
            let naming = |claim: &Claim| Naming {
                name: contestant,
                endpoint: &endpoint,
                typed_at,
                address: claim.address,
                is_verified: claim.is_verified,
            };
            claims.since(&claimed.iter().map(naming).collect::<Vec<_>>(), now)
        };
        let checked = check_since(&[candidate], &rivals, by, CHECK_TIMEOUT, &mut since).swap_remove(0);
        match self.stop_handle.reason() {
            Some(reason) => Err(reason),
            None if checked.ready() => Ok((endpoint, checked.admitted())),
            None => {
                eprintln!("flowtest-loadgen: {contestant} does not practise: {}", checked.message_for_log());
                Err(format!("practice begins with three right answers: {}", checked.message()))
            }
        }
    }

    /// Where the others' servers are, and since when. `own`: the place in the roster of who practises; of those who have had an
    /// address equally long the first in the roster has it.
    fn rivals(&self, own: usize, claims: &mut Claims, now: UtcUs) -> Vec<(&str, Vec<(SocketAddr, UtcUs)>)> {
        let PracticeConfig { names, policy, roster, .. } = &self.config;
        // Where a server says whose it is, who named it first has no right to it.
        if policy.ownership.is_asked_for() {
            return Vec::new();
        }
        let until = Instant::now() + RIVALS_TIMEOUT;
        let others = roster.iter().enumerate().filter(|(_, (name, ..))| *name != self.request.contestant);
        let found = others.filter_map(|(place, (name, endpoint, typed_at))| {
            let addresses = names.addresses(endpoint, until.saturating_duration_since(Instant::now())).ok()?;
            let naming = |address| Naming { name, endpoint, typed_at: *typed_at, address, is_verified: false };
            let named: Vec<Naming<'_>> = addresses.into_iter().map(naming).collect();
            let since = claims.since(&named, now);
            let after = u64::from(place > own);
            let held = named.iter().zip(since).map(|(named, since)| (named.address, since.saturating_add(after)));
            Some((name.as_str(), held.collect()))
        });
        found.collect()
    }

    /// The load, to its end or before; says how it ended.
    fn flood(&mut self, endpoint: &Endpoint, addresses: &[SocketAddr]) -> Result<String, Failed> {
        if self.request.climbs { self.climb(endpoint, addresses) } else { self.hold(endpoint, addresses) }
    }

    /// One rate, for as long as was asked.
    fn hold(&mut self, endpoint: &Endpoint, addresses: &[SocketAddr]) -> Result<String, Failed> {
        let (clock, rate) = (Clock::now(), self.request.rate);
        let start = Schedule::before_pauses(clock.after(HEAD_START));
        let phase = Phase {
            start,
            end: start + self.request.seconds * NS_PER_SECOND,
            load: Load::Open(Ramp::per_second(rate, rate)),
            connections: rate.min(CONNECTIONS_MAX) as u32,
            scored: true,
        };
        let plan = Arc::new(self.plan(endpoint, addresses, clock, [phase].into())?);
        let start = plan.schedule.run_clock(plan.start());
        let mut driver = self.driver(plan, clock)?.gated();
        let (mut errors, mut is_silent) = (Newest::default(), false);
        let mut report_at = Instant::now() + REPORT;
        while !driver.is_over() {
            thread::sleep(LOOK);
            driver.look().into_iter().for_each(|explained| errors.note(explained.error));
            if driver.traffic(ContestantIndex::FIRST) != TrafficMode::Flood {
                is_silent = true;
                driver.worker_control().drain();
            }
            if Instant::now() >= report_at {
                report_at += REPORT;
                if let Some(Progress { now, sums, .. }) = driver.counted() {
                    self.count(*now, &sums.scored[0].row, start, &errors);
                }
                self.say(PracticeState::Running, "practice runs".to_owned());
            }
        }
        let Ended { result, broken, .. } = driver.finish(false);
        let Progress { now, sums, .. } = result?.progress;
        let counts = &sums.scored[0];
        self.count(now, &counts.row, start, &errors);
        if let Some(broken) = broken {
            return Ok(cut_short(&broken));
        }
        Ok(match self.stop_handle.reason() {
            Some(reason) => reason,
            None if is_silent => {
                "it ended before its time, for no answer had the right token for ten seconds: see the errors".to_owned()
            }
            None => over(counts.row.tally.due, counts.meter.verified),
        })
    }

    /// Workers that a stop reaches. Their samples are what errors are explained from.
    fn driver(&self, plan: Arc<Plan>, clock: Clock) -> Result<Driver, Failed> {
        let output = Outputs { quiet: true, ..Outputs::default() }.prepare_with(None)?;
        let output = output.open(&plan, Title::Contest(self.config.contest.clone()))?;
        let driver = Driver::in_memory(plan, clock, &[self.config.core], Tracing::On, output)?;
        self.stop_handle.take(driver.worker_control().clone());
        Ok(driver)
    }

    fn plan(
        &self,
        endpoint: &Endpoint,
        addresses: &[SocketAddr],
        clock: Clock,
        phases: Arc<[Phase]>,
    ) -> Result<Plan, Failed> {
        let tls = self.config.trust.of(self.config.policy.tls).server(endpoint)?;
        let targets = addresses.iter().copied().map(Target::new).collect();
        let contestant = contestant(self.request.contestant.clone(), endpoint, tls, targets, TrafficMode::Flood);
        let schedule = Schedule::steady(self.config.deadlines);
        Ok(contest_plan(self.config.rules, schedule, &clock, phases, vec![contestant], 1))
    }

    /// Takes over what was counted.
    fn count(&mut self, now: RunInstant, row: &Row, start: RunInstant, errors: &Newest) {
        let report = &mut self.report;
        report.second = (now.saturating_since(start) / NS_PER_SECOND).min(self.request.seconds);
        report.row = row.encode();
        // Fifteen thousand requests at most.
        report.points = row.tally.points(&self.config.rules) as i64;
        (report.p50_us, report.p99_us) = (row.latency.quantile(0.5), row.latency.quantile(0.99));
        report.errors.clone_from(&errors.0);
    }
}

/// What a contestant reads of practice that the generator's own fault has ended.
fn cut_short(broken: &RunError) -> String {
    format!("it ended before its time: {}", not_now(PRACTISE, broken))
}

fn over(due: u64, verified: u64) -> String {
    match due - verified.min(due) {
        0 => format!("practice is over: all {due} requests were answered right"),
        wrong => format!("practice is over: {wrong} of {due} requests were not answered right: see the errors"),
    }
}

/// The newest explained failures, newest first, of as many kinds as there are.
#[derive(Debug, Default)]
struct Newest(Vec<ExplainedError>);

impl Newest {
    fn note(&mut self, error: ExplainedError) {
        self.0.insert(0, error);
        if self.0.len() <= ERRORS_MAX {
            return;
        }
        // Who is there most often loses its oldest, so that a frequent failure does not hide a rare one.
        let count = |kind: &str| self.0.iter().filter(|error| error.kind == kind).count();
        let most = self.0.iter().map(|error| count(&error.kind)).max().unwrap_or(0);
        if let Some(oldest) = self.0.iter().rposition(|error| count(&error.kind) == most) {
            self.0.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::control::GoOn;
    use flowtest_contract::rules::UtcUs;

    #[test]
    fn a_frequent_failure_does_not_hide_a_rare_one() {
        let error = |kind: &str, at| ExplainedError { at, kind: kind.to_owned(), ..ExplainedError::default() };
        let mut newest = Newest::default();
        newest.note(error("reset", UtcUs::EPOCH));
        (1..100).for_each(|at| newest.note(error("token", UtcUs(at))));
        assert_eq!(newest.0.len(), ERRORS_MAX);
        assert_eq!((newest.0[0].at, newest.0[8].at, newest.0[9].kind.as_str()), (UtcUs(99), UtcUs(91), "reset"));
    }

    #[test]
    fn what_breaks_in_the_generator_is_for_its_log() {
        let broken = RunError::Broken { core: 3, error: io::Error::from_raw_os_error(5) };
        assert_eq!(
            cut_short(&broken),
            "it ended before its time: the generator cannot practise now: try it later, and tell the organisers if it stays so"
        );
    }

    #[test]
    fn a_stop_that_comes_before_the_worker_reaches_it_all_the_same() {
        let (stop_handle, worker_control) =
            (StopHandle::default(), Arc::new(WorkerControl::new(Arc::new(Plan::default()))));
        stop_handle.stop("first");
        stop_handle.stop("second");
        assert_eq!((worker_control.go_on(), stop_handle.reason().as_deref()), (GoOn::Run, Some("first")));
        stop_handle.take(worker_control.clone());
        assert_eq!(worker_control.go_on(), GoOn::Stop);
    }
}
