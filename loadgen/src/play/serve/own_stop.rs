//! Why a generator sends nothing by itself, whatever the document says: somebody said so on its machine, or nobody could read
//! the document for longer than a setting allows.
//!
//! SIGUSR1 stops all traffic of the process and SIGUSR2 lets it go on; SIGTERM and SIGINT end it. A thread of its own passes
//! them on to the workers, and looks how old the document is, so that no stop waits for a Redis that hangs.

use super::HAND_OVER;
use crate::Failed;
use crate::engine::clock::RunInstant;
use crate::engine::control::WorkerControl;
use crate::engine::plan::{OwnRest, Plan, TrafficMode};
use crate::engine::run::Clock;
use parking_lot::Mutex;
use signal_hook::consts::{SIGUSR1, SIGUSR2};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often signals are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Own stops that are kept: more than any round has.
const STOPS_MAX: usize = 1_000;

/// The signals, and the workers that they are for.
#[derive(Debug, Default)]
pub(super) struct Signals {
    stop: Arc<AtomicBool>,
    go_on: Arc<AtomicBool>,
    is_stopped: AtomicBool,
    /// When nothing was sent, in order; the last one may last.
    stops: Mutex<Vec<OwnStop>>,
    /// Others get our share when we end, and until they have it we play on.
    hands_over: AtomicBool,
    /// The workers' plan was changed from here: whoever steers the round is to change it again.
    changed_plan: AtomicBool,
    workers: Mutex<Option<Arc<WorkerControl>>>,
}

impl Signals {
    pub(super) fn register() -> Result<Signals, Failed> {
        let signals = Signals::default();
        for (signal, flag) in [(SIGUSR1, &signals.stop), (SIGUSR2, &signals.go_on)] {
            signal_hook::flag::register(signal, Arc::clone(flag))
                .map_err(|error| Failed::Message(format!("no handler for signals ({error})")))?;
        }
        Ok(signals)
    }

    /// Passes signals on, and what the document's age asks for, until `over`. `end`: the process is asked to end.
    pub(super) fn watch(&self, readings: &Readings, end: &AtomicBool, over: &AtomicBool) {
        let mut end_at = None;
        while !over.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
            self.take();
            let workers = self.workers.lock();
            let Some(workers) = &*workers else { continue };
            if end.load(Ordering::Relaxed) {
                let end_at = *end_at.get_or_insert_with(Instant::now);
                // Whoever hands over ends in time by itself, unless it waits for a Redis that hangs.
                if !self.hands_over.load(Ordering::Relaxed) || end_at.elapsed() >= HAND_OVER {
                    workers.drain();
                }
            }
            // Whoever steers the round changes the plan as well, as soon as Redis lets it look; a stop waits for nobody.
            if self.rest(readings).is_some()
                && workers.plan().contestants.iter().any(|one| one.traffic != TrafficMode::Halted)
            {
                let mut plan = Plan::clone(&workers.plan());
                plan.contestants.iter_mut().for_each(|one| one.traffic = TrafficMode::Halted);
                workers.change(Arc::new(plan));
                self.changed_plan.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Does as signals have asked since the last look. Of two within one nobody knows which came last: then it stops.
    fn take(&self) {
        if self.go_on.swap(false, Ordering::Relaxed) {
            self.is_stopped.store(false, Ordering::Relaxed);
        }
        if self.stop.swap(false, Ordering::Relaxed) {
            self.is_stopped.store(true, Ordering::Relaxed);
        }
    }

    /// Why nothing is to be sent; told when that begins, by whoever sees it first.
    pub(super) fn rest(&self, readings: &Readings) -> Option<String> {
        let by_signal = || "SIGUSR1 on its machine, until SIGUSR2".to_owned();
        let why = self.is_stopped.load(Ordering::Relaxed).then(by_signal).or_else(|| readings.too_old())?;
        let is_news = {
            let mut stops = self.stops.lock();
            match stops.last_mut().filter(|stop| stop.lasts()) {
                Some(stop) => std::mem::replace(&mut stop.why, why.clone()) != why,
                None => {
                    stops.push(OwnStop { from: Instant::now(), to: None, why: why.clone() });
                    true
                }
            }
        };
        if is_news {
            eprintln!("flowtest-loadgen: all traffic from here is stopped: {why}");
        }
        Some(why)
    }

    /// The workers are told to go on, where they rested. That may have been over before whoever steers the round could look, and is
    /// told all the same.
    pub(super) fn end_rest(&self) {
        let ended = {
            let mut stops = self.stops.lock();
            let surplus = stops.len().saturating_sub(STOPS_MAX);
            stops.drain(..surplus);
            stops.last_mut().filter(|stop| stop.lasts()).map(|stop| {
                stop.to = Some(Instant::now());
                (stop.from.elapsed().as_secs_f64(), stop.why.clone())
            })
        };
        if let Some((length, why)) = ended {
            eprintln!("flowtest-loadgen: traffic from here goes on, after {length:.1} s without any: {why}");
        }
    }

    /// When nothing was sent since the process began, as far as that is kept.
    pub(super) fn stops(&self) -> Vec<OwnStop> {
        self.stops.lock().clone()
    }

    /// Whether others would get our share, and time to take it.
    pub(super) fn set_hands_over(&self, hands_over: bool) {
        self.hands_over.store(hands_over, Ordering::Relaxed);
    }

    /// Whether the workers' plan was changed from here since this was asked last.
    pub(super) fn take_changed_plan(&self) -> bool {
        self.changed_plan.swap(false, Ordering::Relaxed)
    }

    /// Whom they are for from now on.
    pub(super) fn set_workers(&self, workers: Option<Arc<WorkerControl>>) {
        *self.workers.lock() = workers;
    }
}

/// A stretch in which nothing is sent by the process's own decision.
#[derive(Clone, Debug)]
pub(super) struct OwnStop {
    from: Instant,
    /// None: it lasts.
    to: Option<Instant>,
    why: String,
}

impl OwnStop {
    pub(super) fn lasts(&self) -> bool {
        self.to.is_none()
    }

    pub(super) fn on(&self, clock: &Clock) -> OwnRest {
        OwnRest { from: clock.at(self.from), to: self.to.map_or(RunInstant::NEVER, |to| clock.at(to)) }
    }
}

/// How long ago a control document was read. Whoever reads it notes it; its copies are told.
#[derive(Clone, Debug)]
pub(super) struct Readings {
    /// None: the round goes on however long there is none.
    limit: Option<Duration>,
    newest: Arc<Mutex<Instant>>,
}

impl Readings {
    pub(super) fn new(limit: Option<Duration>) -> Readings {
        Readings { limit, newest: Arc::new(Mutex::new(Instant::now())) }
    }

    pub(super) fn note(&self) {
        *self.newest.lock() = Instant::now();
    }

    /// Why nothing is sent, where it was too long ago.
    pub(super) fn too_old(&self) -> Option<String> {
        let limit = self.limit.filter(|limit| self.newest.lock().elapsed() >= *limit)?;
        Some(format!("no control document could be read for {}", humantime::format_duration(limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_stop_and_a_go_on_within_one_look_the_stop_counts() {
        let signals = Signals::default();
        let asked = |stop: bool, go_on: bool| {
            signals.stop.store(stop, Ordering::Relaxed);
            signals.go_on.store(go_on, Ordering::Relaxed);
            signals.take();
            signals.is_stopped.load(Ordering::Relaxed)
        };
        assert_eq!([asked(true, true), asked(false, false), asked(false, true)], [true, true, false]);
    }

    #[test]
    fn a_stop_that_is_over_before_anybody_looks_is_known_with_its_length() {
        let (signals, clock) = (Signals::default(), Clock::now());
        let readings = Readings::new(Some(Duration::from_millis(20)));
        assert_eq!(signals.rest(&readings), None);
        signals.end_rest();
        assert!(signals.stops().is_empty());
        // Nobody reads a document, and only the thread of the signals looks.
        thread::sleep(Duration::from_millis(30));
        let stopped_at = clock.elapsed();
        assert!(signals.rest(&readings).is_some_and(|why| why.contains("no control document")));
        assert!(signals.rest(&readings).is_some(), "once it lasts it is told no more");
        thread::sleep(Duration::from_millis(30));
        readings.note();
        assert_eq!(signals.rest(&readings), None);
        assert!(signals.stops()[0].lasts(), "the workers rest until they are told");
        signals.end_rest();
        let stops = signals.stops();
        let rest = stops[0].on(&clock);
        assert_eq!((stops.len(), stops[0].lasts()), (1, false));
        assert!(stopped_at <= rest.from && rest.from + 30_000_000 <= rest.to && rest.to <= clock.elapsed(), "{rest:?}");
        // Another one, for another reason.
        signals.is_stopped.store(true, Ordering::Relaxed);
        assert!(signals.rest(&readings).is_some_and(|why| why.contains("SIGUSR1")));
        assert_eq!(signals.stops().last().map(|stop| stop.on(&clock).to), Some(RunInstant::NEVER));
    }
}
