//! `serve`: a generator that follows the control document through whole rounds, alone or as one of several.
//!
//! | module | noun |
//! |---|---|
//! | `home` | what a generator is and where it belongs |
//! | `health` | what it says about itself |
//! | [`round_runner`] | one round as it is played here |
//! | `admission` | who is let in, and where names point now |
//! | `climbing` | breakpoint phases among several generators |
//! | `practice_scheduler` | practice between rounds |
//! | `own_stop` | why it sends nothing by itself, whatever the document says |
//! | `round_end` | the end of a round: last rows, end marker, seal |
//! | `attempt` | why a round is not played here, and when that is tried again |
//! | `keeping` | the split, where this generator keeps it |
//! | `beside` | what Redis refuses of all that is no round |
//!
//! The document is looked at four times a second and applied if it may follow the one before it. When it or Redis is gone,
//! the round goes on by what is known.

mod admission;
mod attempt;
mod beside;
mod climbing;
mod health;
mod home;
mod keeping;
mod own_stop;
mod practice_scheduler;
mod round_end;
pub mod round_runner;

use crate::Failed;
use crate::admit::probe::{ProbeService, Settings};
use crate::observe::metrics::Doing;
use crate::play::flags::Serve;
use crate::play::run::finish_others;
use crate::record::recorder::Unmade;
use attempt::Attempt;
use beside::Beside;
use flowtest_contest::control::UnreadControl;
use flowtest_contest::{Control, Policy, State};
use flowtest_contract::rules::{Deadlines, UtcUs};
use flowtest_contract::{RoundId, utc_us};
use flowtest_journal::record::{self, Terms};
use flowtest_scoreboard::clock::{ClockOffset, OFFSET_MAX_US};
use flowtest_scoreboard::{Lease, Scoreboard, ScoreboardError};
use home::Home;
use keeping::Keeping;
use own_stop::{Readings, Signals};
use practice_scheduler::PracticeScheduler;
use round_end::RoundEnds;
use round_runner::RoundRunner;
use sd_notify::NotifyState;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often the document is looked at and our health is written.
const LOOK: Duration = Duration::from_millis(250);
/// How often what the recorder says is passed on.
const POLL: Duration = Duration::from_millis(50);
/// How often our clock is compared with Redis's.
const CLOCK_EVERY: Duration = Duration::from_secs(10);
/// A split that begins sooner is not joined: there would be no time to get ready.
const READY_US: u64 = 1_000_000;
/// How long a process that is to end waits for others to take its share: a keeper's look, the lead of a split, and as much
/// again.
const HAND_OVER: Duration = Duration::from_secs(6);

/// A revision as the journal keeps it: what counts for requests sent from `at` on.
fn journal_control(control: &Control, at: UtcUs, deadlines: &Deadlines) -> record::Control {
    /// A longer document is left out: the terms are what counts, and a group of records has its limit.
    const DOCUMENT_BYTES_MAX: usize = 1 << 20;
    let document = Some(control.to_json().into_bytes()).filter(|document| document.len() <= DOCUMENT_BYTES_MAX);
    let terms = Terms::new(&control.contest.rules, deadlines);
    record::Control { at: at.0, revision: control.revision, terms, document: document.unwrap_or_default() }
}

/// The revision of a document that stops all traffic; else 0.
fn halted_by(control: Option<&Control>) -> u64 {
    control.filter(|control| control.halted).map_or(0, |control| control.revision)
}

/// Runs the command until it is told to stop.
pub fn serve(flags: &Serve, stop: &AtomicBool) -> Result<u8, Failed> {
    let home = Home::new(flags)?;
    home.outputs.prepare_with(None)?;
    let signals = Arc::new(Signals::register()?);
    let readings = Readings::new(flags.stop_without_control);
    let mut controller = Controller::open(home, flags.outputs.quiet, signals.clone(), readings.clone(), stop)?;
    // To systemd, when it asked for it; it starts a generator anew that says nothing any more.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| signals.watch(&readings, stop, &over));
        // Also when this thread panics.
        let _over = OverOnDrop(&over);
        while !stop.load(Ordering::Relaxed) {
            controller.turn();
            thread::sleep(POLL);
        }
        controller.leave()
    })
}

/// Says at the end that it is over.
struct OverOnDrop<'a>(&'a AtomicBool);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The control thread's state.
struct Controller {
    home: Home,
    scoreboard: Scoreboard,
    /// The newest document that made sense.
    control: Option<Control>,
    /// By which we flood: its policy, as far as our ceiling goes.
    policy: Option<Policy>,
    /// Why that is not the document's own.
    policy_trouble: Option<String>,
    runner: Option<RoundRunner>,
    practice_scheduler: PracticeScheduler,
    round_ends: RoundEnds,
    /// The round that is over here.
    past: Option<RoundId>,
    attempt: Attempt,
    /// The journal of an attempt whose disk did not answer.
    unmade: Option<Unmade>,
    keeping: Keeping,
    /// Somebody gives shares to whoever joins in mid-round.
    is_kept: bool,
    is_leaving: bool,
    clock: Option<ClockOffset>,
    clock_at: Instant,
    source_addresses: Vec<IpAddr>,
    look_at: Instant,
    /// Whether our name is ours.
    lease: Lease,
    /// The last complaint, so that each is told once.
    complaint: Option<String>,
    /// What is wrong with Redis, as it was told.
    redis_trouble: Option<String>,
    /// Why what Redis holds is no document.
    unread: Option<String>,
    /// The newest revision of such a one that stops all traffic; 0: there was none.
    halted_unread: u64,
    signals: Arc<Signals>,
    readings: Readings,
    /// Why nothing is sent from here, whatever the document says.
    own_stop: Option<String>,
    quiet: bool,
    /// Answers to "test my endpoint", as soon as there is a document to judge by.
    probes: Option<ProbeService>,
    beside: Beside,
}

impl Controller {
    fn open(
        home: Home,
        quiet: bool,
        signals: Arc<Signals>,
        readings: Readings,
        stop: &AtomicBool,
    ) -> Result<Controller, Failed> {
        let mut scoreboard = home.scoreboard()?;
        home.take_name(&mut scoreboard, stop)?;
        finish_others(&home.journal, &home.redis);
        let clock = home.measure_clock(&mut scoreboard)?;
        let now = Instant::now();
        if !quiet {
            eprintln!("flowtest-loadgen: generator {} serves {}, cores {:?}", home.id, home.contest, home.cores);
        }
        if let Some(trouble) = home.trust.trouble() {
            eprintln!("flowtest-loadgen: servers over https cannot be verified here: {trouble}");
        }
        if let Some(metrics) = &home.metrics {
            metrics.say(Doing::Idle);
        }
        Ok(Controller {
            source_addresses: home.source_addresses(),
            practice_scheduler: PracticeScheduler::default(),
            round_ends: RoundEnds::new(&home),
            home,
            scoreboard,
            control: None,
            policy: None,
            policy_trouble: None,
            runner: None,
            past: None,
            attempt: Attempt::default(),
            unmade: None,
            keeping: Keeping::default(),
            is_kept: false,
            is_leaving: false,
            clock: Some(clock),
            clock_at: now + CLOCK_EVERY,
            look_at: now,
            lease: Lease::Ours,
            complaint: None,
            redis_trouble: None,
            unread: None,
            halted_unread: 0,
            signals,
            readings,
            own_stop: None,
            quiet,
            probes: None,
            beside: Beside::default(),
        })
    }

    fn turn(&mut self) {
        if Instant::now() >= self.look_at {
            self.look_at = Instant::now() + LOOK;
            self.look();
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
        if self.runner.as_mut().is_some_and(RoundRunner::poll) {
            self.end_round();
        }
        self.signals.set_hands_over(self.hands_over());
        self.round_ends.look();
    }

    /// Whether somebody gives our share to others when we end.
    fn hands_over(&self) -> bool {
        self.is_kept && self.runner.as_ref().is_some_and(RoundRunner::has_share)
    }

    /// Our name stays ours as long as we say so. Who lost it while Redis was away, to a process that took it meanwhile, leaves
    /// the round: the other has its share.
    fn renew_lease(&mut self) -> Result<(), ScoreboardError> {
        if self.home.practice_only {
            return Ok(());
        }
        // Nobody else can take the name in an outage.
        let lease = self.scoreboard.hold_lease(&self.home.contest, &self.home.id, self.home.process)?;
        if lease == Lease::Others {
            self.home.say_waiting(&mut self.scoreboard);
        }
        if lease == Lease::Others && self.lease == Lease::Ours {
            self.complain(&self.home.name_is_taken());
            if let Some(runner) = &self.runner {
                runner.leave();
            }
        }
        self.lease = lease;
        Ok(())
    }

    /// Looks at the document and does what it says. Of a Redis that does not answer one thing is asked and no more: it is told, and
    /// all else here goes on, after one wait.
    fn look(&mut self) {
        // Whoever stands still behind the answer has not seen what became of the document meanwhile.
        let asked = self.runner.as_ref().map(RoundRunner::now);
        let trouble = match self.renew_lease() {
            Err(error) if error.is_outage() => {
                self.keeping.lost();
                Some(error)
            }
            // What else is wrong shows in what follows.
            Ok(()) | Err(_) => self.look_at_document(),
        };
        let now = utc_us();
        self.look_at_own_stop(now);
        if let Some((runner, asked)) = self.runner.as_ref().zip(asked) {
            runner.looked(asked);
        }
        let trouble = match trouble {
            Some(error) if error.is_outage() => Some(error),
            trouble => {
                self.look_beside(now);
                // Last of all, so that it says what has been looked at. Reading alone proves nothing: a Redis that is full
                // answers.
                let unheard = self.beat().err();
                trouble.or(unheard)
            }
        };
        self.tell_redis_trouble(trouble.map(|error| error.to_string()));
    }

    fn look_at_document(&mut self) -> Option<ScoreboardError> {
        let read = self.scoreboard.read_control(&self.home.contest);
        let now = utc_us();
        let trouble = match read {
            Ok(Some(control)) => {
                self.readings.note();
                let trouble = self.bring_back(Some(&control)).err();
                self.keep_split(&control, now);
                self.on_control(control, now);
                trouble
            }
            Ok(None) => self.bring_back(None).err(),
            Err(error) => {
                self.keeping.lost();
                if let ScoreboardError::Control(unread) = &error {
                    self.unread = Some(format!("the control document in Redis cannot be read: {unread}"));
                    self.on_unread(unread, now);
                }
                return Some(error);
            }
        };
        self.unread = None;
        trouble.or(self.climb().err())
    }

    /// Of a document that nobody here can read one thing counts all the same: that all traffic is stopped. Only one that can be
    /// read takes that back.
    fn on_unread(&mut self, unread: &UnreadControl, now: UtcUs) {
        let Some(revision) = unread.halted_by() else { return };
        self.halted_unread = revision;
        if let Some(control) = &self.control {
            self.on_control(Control { halted: true, revision, ..control.clone() }, now);
        }
    }

    /// Requests for practice, and now and then the clock.
    fn look_beside(&mut self, now: UtcUs) {
        if let Some(control) = self.control.as_ref().filter(|_| self.own_stop.is_none()) {
            let playing = self.runner.is_some();
            let looked = self.practice_scheduler.look(&self.home, &mut self.scoreboard, control, playing, now);
            // An outage is told by the next look at the document.
            let refused = looked.err().filter(|error| !error.is_outage());
            self.beside.practice = refused.map(|error| error.to_string());
        }
        self.beside.tests = self.probes.as_ref().and_then(ProbeService::trouble);
        if let Some(news) = self.beside.news() {
            eprintln!("flowtest-loadgen: {news}");
        }
        if Instant::now() >= self.clock_at {
            self.clock_at = Instant::now() + CLOCK_EVERY;
            self.clock = self.home.measure_clock(&mut self.scoreboard).ok().or(self.clock);
            self.source_addresses = self.home.source_addresses();
        }
    }

    /// Goes on with a breakpoint phase, where one is played.
    fn climb(&mut self) -> Result<(), ScoreboardError> {
        match &mut self.runner {
            Some(runner) => runner.climb(&self.home, &mut self.scoreboard),
            None => Ok(()),
        }
    }

    /// Says once what is wrong with Redis, and once that it is over.
    fn tell_redis_trouble(&mut self, trouble: Option<String>) {
        match &trouble {
            Some(message) if self.redis_trouble.as_ref() != Some(message) => {
                eprintln!("flowtest-loadgen: {message}");
            }
            None if self.redis_trouble.is_some() => eprintln!("flowtest-loadgen: Redis is as it should be again"),
            _ => {}
        }
        self.redis_trouble = trouble;
    }

    /// Stops what is sent from here, or lets it go on.
    fn look_at_own_stop(&mut self, now: UtcUs) {
        let why = self.signals.rest(&self.readings);
        if why.is_none() {
            self.signals.end_rest();
        }
        if why != self.own_stop {
            self.own_stop = why;
            if let Some(control) = self.control.clone() {
                self.tell_probes(&control, now);
            }
        }
        let is_stopped = self.own_stop.is_some();
        if let Some(runner) = &mut self.runner {
            runner.stop_here(&self.signals.stops(), self.signals.take_changed_plan());
        }
        if let Some(control) = self.control.as_ref().filter(|_| is_stopped) {
            let halted = Control { halted: true, ..control.clone() };
            self.practice_scheduler.apply(&halted, self.runner.is_some(), now);
        }
    }

    /// Redis has lost the document, or has one back from somebody who had heard of less: whoever plays brings back what it
    /// plays by, and the newest wins.
    fn bring_back(&mut self, held: Option<&Control>) -> Result<(), ScoreboardError> {
        let Some(ours) = self.runner.as_ref().map(|runner| &runner.control) else { return Ok(()) };
        // Only whoever steers takes a stop back.
        let is_stopped = held.is_some_and(|held| held.halted) && !ours.halted;
        let is_older = |held: &Control| held.round == ours.round && held.revision < ours.revision;
        if held.is_none_or(is_older) && !is_stopped {
            match self.scoreboard.keep_control(ours) {
                // Where users are told apart the document is the dashboard's alone, and it brings it back.
                Ok(_) | Err(ScoreboardError::Permission { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn on_control(&mut self, control: Control, now: UtcUs) {
        // Before a round is armed here: nothing else shall run on its cores.
        self.practice_scheduler.apply(&control, self.runner.is_some(), now);
        self.take_policy(&control);
        if let Some(runner) = &mut self.runner {
            let policy = self.policy.clone().expect("no round is armed here before a policy is within the ceiling");
            runner.apply(&control, policy);
        } else if let Some(round) = control.round.filter(|_| self.is_for_us(&control, now)) {
            self.arm(round, control.clone(), now);
        }
        if self.control.as_ref() != Some(&control) {
            self.tell_probes(&control, now);
        }
        self.control = Some(control);
    }

    /// A policy that is wider than our ceiling opens nothing here. All else that its document says is followed: a stop above all.
    fn take_policy(&mut self, control: &Control) {
        let trouble = match self.home.policy(control) {
            Ok(policy) => {
                self.policy = Some(policy);
                None
            }
            Err(error) => {
                self.policy = self.policy.take().map(|held| held.narrowed_by(&control.contest.policy));
                Some(format!("{error}; until then only what was open before is flooded from here"))
            }
        };
        if let Some(message) = trouble.as_ref().filter(|_| trouble != self.policy_trouble) {
            eprintln!("flowtest-loadgen: {message}");
        }
        self.policy_trouble = trouble;
    }

    /// Tests of endpoints are judged by the newest document.
    fn tell_probes(&mut self, control: &Control, now: UtcUs) {
        let Some(policy) = self.policy.clone() else { return };
        let deadlines = control.timeline.deadlines_at(&control.contest, now);
        let is_stopped = control.halted || self.own_stop.is_some();
        let settings =
            Settings { policy, trust: self.home.trust.clone(), rules: control.contest.rules, deadlines, is_stopped };
        if let Some(probes) = &self.probes {
            return probes.set(settings);
        }
        let (contest, id, names) = (self.home.contest.clone(), self.home.id.clone(), self.home.names.clone());
        let started = self.home.scoreboard().map_err(|error| error.to_string()).and_then(|scoreboard| {
            ProbeService::start(scoreboard, contest, id, names, settings).map_err(|error| error.to_string())
        });
        match started {
            Ok(probes) => self.probes = Some(probes),
            Err(error) => self.complain(&format!("endpoints cannot be tested from here: {error}")),
        }
    }

    /// Whether the document names us in a split that is still to come, or somebody gives us a share when we are ready.
    fn is_for_us(&self, control: &Control, now: UtcUs) -> bool {
        let Some(round) = control.round else { return false };
        let ready_at = now.saturating_add(READY_US);
        let next = control.timeline.splits.last();
        let is_named = next.is_some_and(|split| split.generators.contains(&self.home.id) && split.from > ready_at);
        let may_join = self.is_kept && !control.left_out.contains(&self.home.id);
        !self.home.practice_only
            && !self.is_leaving
            && self.lease == Lease::Ours
            && matches!(control.state, State::Armed | State::Running | State::Paused)
            && (is_named || may_join)
            && control.timeline.end_at(&control.contest).is_none_or(|end| ready_at < end)
            && self.past != Some(round)
            && self.attempt.may_try(round)
            && !self.round_ends.is_busy_with(control.round)
    }

    /// What fails is tried again while there is time: the cause may be gone by then.
    fn arm(&mut self, round: RoundId, control: Control, now: UtcUs) {
        match self.try_to_arm(control, now) {
            Ok(runner) => {
                if !self.quiet {
                    eprintln!("flowtest-loadgen: round {} is armed here, stream {}", runner.id, runner.stream);
                }
                self.signals.set_workers(Some(runner.worker_control()));
                self.attempt = Attempt::default();
                self.complaint = None;
                self.runner = Some(runner);
            }
            Err(error) => {
                let message = format!("the round cannot be played here: {error}");
                if self.attempt.failed(round, message.clone()) {
                    eprintln!("flowtest-loadgen: {message}; it is tried again while there is time");
                }
            }
        }
    }

    fn try_to_arm(&mut self, control: Control, now: UtcUs) -> Result<RoundRunner, Failed> {
        let offset = match self.clock.filter(ClockOffset::is_fit) {
            Some(offset) => offset,
            // It may have been set since it was measured.
            None => self.home.measure_clock(&mut self.scoreboard)?,
        };
        self.clock = Some(offset);
        if !offset.is_fit() {
            return Err(Failed::Message(format!(
                "this machine's clock is {} µs (± {}) off from Redis's, and more than 20 ms are too many to play: set it by \
                 chrony or ntp",
                offset.offset_us, offset.error_us
            )));
        }
        let takes_from = now.saturating_add(READY_US);
        RoundRunner::arm(&self.home, control, offset, takes_from, &mut self.round_ends, &mut self.unmade)
    }

    fn end_round(&mut self) {
        let Some(runner) = self.runner.take() else { return };
        self.signals.set_workers(None);
        let over = runner.finish();
        if !self.quiet {
            eprintln!("flowtest-loadgen: round {} is over here", over.id);
        }
        if over.at_its_end || over.aborted {
            self.past = Some(over.id);
        } else {
            self.attempt.failed(over.id, "it was left before its end; the generator's log says why".to_owned());
        }
        self.round_ends.finish(over);
    }

    /// Says how we are. The error is what keeps Redis from being told.
    fn beat(&mut self) -> Result<(), ScoreboardError> {
        let health = self.health();
        if let Some(step_us) = health.clock_step_us.filter(|step_us| step_us.unsigned_abs() > OFFSET_MAX_US) {
            self.complain(&format!(
                "this machine's clock was set by {} ms after the round was armed: the round goes on by the clock as it was; leave \
                 it alone until the round is over",
                step_us / 10_000 * 10
            ));
        }
        if let Some(metrics) = &self.home.metrics {
            metrics.say(self.runner.as_ref().map_or(Doing::Idle, |runner| runner.doing(health.beat)));
        }
        // Whoever is not heard is put into no split; whose name is another's does not speak for it.
        if self.home.practice_only || self.lease == Lease::Others {
            return Ok(());
        }
        self.scoreboard.write_health(&self.home.contest, &health)
    }

    /// By which document nothing is sent while no round is played. Who never had one to go by sends nothing anyway.
    fn halted_by(&self) -> u64 {
        if self.control.is_none() { self.halted_unread } else { halted_by(self.control.as_ref()) }
    }

    fn complain(&mut self, text: &str) {
        if self.complaint.as_deref() != Some(text) {
            eprintln!("flowtest-loadgen: {text}");
            self.complaint = Some(text.to_owned());
        }
    }

    /// Why the round that is on is not played here, or not as the document has it.
    fn trouble(&self) -> Option<String> {
        if self.unread.is_some() {
            return self.unread.clone();
        }
        if let Some(runner) = &self.runner {
            return runner.trouble().or_else(|| self.policy_trouble.clone());
        }
        let control = self.control.as_ref()?;
        let round = control.round.filter(|_| matches!(control.state, State::Armed | State::Running | State::Paused))?;
        self.attempt.trouble(round)
    }

    /// The process ends: others get its share where somebody sees to that, what is in flight is finished, and Redis gets the
    /// last rows. Code 1: it has not got them.
    fn leave(mut self) -> Result<u8, Failed> {
        self.is_leaving = true;
        self.round_ends.leave();
        if let Some(runner) = &mut self.runner {
            runner.give_away();
        }
        let until = Instant::now() + HAND_OVER;
        while self.hands_over() && Instant::now() < until {
            self.turn();
            thread::sleep(POLL);
        }
        if let Some(runner) = &self.runner {
            runner.leave();
        }
        while self.runner.is_some() {
            self.turn();
            thread::sleep(POLL);
        }
        let has_all = self.round_ends.wait();
        // What cannot be given back ends by itself, and an outage is not waited for.
        if self.redis_trouble.is_none() && !self.home.practice_only {
            self.keeping.release(&self.home, &mut self.scoreboard);
            let _ = self.scoreboard.release_lease(&self.home.contest, &self.home.id, self.home.process);
        }
        Ok(u8::from(!has_all))
    }
}
