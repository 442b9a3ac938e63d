//! Who asks "test my endpoint" through Redis gets an answer here: the policy's refusal, or what a probe found.
//!
//! One thread talks to Redis; each test has a thread of its own, so that a slow endpoint delays nobody. What finds no
//! free one stays in Redis, whose list is bounded and which other generators read too. It writes nothing but answers.

use super::{ProbeReport, Terms, probe};
use crate::admit::guard::admit;
use crate::admit::resolve::Names;
use crate::engine::run::Clock;
use flowtest_contest::{Endpoint, Policy};
use flowtest_contract::rules::{Deadlines, Rules, UtcUs};
use flowtest_scoreboard::keys::PROBE_LIFE_SECONDS;
use flowtest_scoreboard::{ProbeAnswer, ProbeRequest, Scoreboard, ScoreboardError};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Tests at once.
pub const AT_ONCE: usize = 8;
/// Between two tests of one contestant, by each generator.
pub const REST: Duration = Duration::from_secs(10);
/// How long a test may take: somebody looks at a page and waits.
const TIMEOUT: Duration = Duration::from_secs(6);
/// How often Redis is asked for requests.
const LOOK: Duration = Duration::from_millis(250);
/// Requests taken by one look at most: a list full of nonsense must not keep answers waiting.
const TAKEN_MAX: usize = 16;
/// Answers that wait for a Redis that is away.
const WAITING_MAX: usize = 200;

/// What a test is judged by, which changes with the control document.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Within this machine's ceiling.
    pub policy: Policy,
    pub rules: Rules,
    pub deadlines: Deadlines,
    /// All traffic is stopped, that of tests too.
    pub is_stopped: bool,
}

/// The running service; it ends when this is dropped. Tests under way then end by themselves, unanswered.
#[derive(Debug)]
pub struct ProbeService {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    settings: Mutex<Settings>,
    trouble: Mutex<Option<String>>,
    stop: AtomicBool,
}

impl ProbeService {
    /// Takes requests of a contest from now on, over a connection of its own.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(
        scoreboard: Scoreboard,
        contest: String,
        generator: String,
        names: Names,
        settings: Settings,
    ) -> io::Result<ProbeService> {
        let shared = Arc::new(Shared {
            settings: Mutex::new(settings),
            trouble: Mutex::new(None),
            stop: AtomicBool::new(false),
        });
        let (answers, answered) = mpsc::channel();
        let probe_loop = ProbeLoop {
            scoreboard,
            contest,
            generator,
            names,
            shared: shared.clone(),
            answers,
            under_way: 0,
            asked: HashMap::new(),
            outbox: VecDeque::new(),
        };
        let thread =
            thread::Builder::new().name("probe-service".to_owned()).spawn(move || probe_loop.run(&answered))?;
        Ok(ProbeService { shared, thread: Some(thread) })
    }

    /// Tests that begin from now on are judged by these.
    pub fn set(&self, settings: Settings) {
        *self.shared.settings.lock() = settings;
    }

    /// Why requests are not read or answered at the moment.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().clone()
    }
}

impl Drop for ProbeService {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread that talks to Redis.
struct ProbeLoop {
    scoreboard: Scoreboard,
    contest: String,
    generator: String,
    names: Names,
    shared: Arc<Shared>,
    answers: Sender<ProbeAnswer>,
    under_way: usize,
    /// When a contestant's last test began.
    asked: HashMap<String, Instant>,
    outbox: VecDeque<ProbeAnswer>,
}

impl ProbeLoop {
    fn run(mut self, answered: &Receiver<ProbeAnswer>) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let trouble = self.take().and_then(|()| self.put()).err();
            *self.shared.trouble.lock() = trouble.map(|error| error.to_string());
            // An answer that is ready is put at once; otherwise this is the pause between two looks.
            if let Ok(answer) = answered.recv_timeout(LOOK) {
                self.under_way -= 1;
                self.send(answer);
                while let Ok(answer) = answered.try_recv() {
                    self.under_way -= 1;
                    self.send(answer);
                }
            }
        }
    }

    /// Takes requests as long as there is a thread for them.
    fn take(&mut self) -> Result<(), ScoreboardError> {
        self.asked.retain(|_, at| at.elapsed() < REST);
        for _ in 0..TAKEN_MAX {
            if self.under_way >= AT_ONCE || self.outbox.len() >= WAITING_MAX {
                break;
            }
            let Some(request) = self.scoreboard.take_probe(&self.contest, now())? else { break };
            self.accept(&request);
        }
        Ok(())
    }

    fn accept(&mut self, request: &ProbeRequest) {
        if let Some(at) = self.asked.get(&request.contestant) {
            let wait = REST.saturating_sub(at.elapsed()).as_secs() + 1;
            let sentence = format!("this endpoint was tested a moment ago: test it again in {wait} s");
            return self.refuse(request, &sentence);
        }
        let endpoint: Endpoint = match request.endpoint.parse() {
            Ok(endpoint) => endpoint,
            Err(error) => return self.refuse(request, &error),
        };
        if self.shared.settings.lock().is_stopped {
            return self.refuse(request, &"the organisers have stopped all traffic: test it when they allow it again");
        }
        self.asked.insert(request.contestant.clone(), Instant::now());
        let (names, settings) = (self.names.clone(), self.shared.settings.lock().clone());
        let (answers, generator, id) = (self.answers.clone(), self.generator.clone(), request.id.clone());
        let test = move || {
            let found = look(&endpoint, &names, &settings);
            // Nobody listens any more after the end.
            let _ = answers.send(answer(id, generator, endpoint.to_string(), found));
        };
        match thread::Builder::new().name("probe".to_owned()).spawn(test) {
            Ok(_) => self.under_way += 1,
            Err(error) => {
                self.refuse(request, &format!("the generator has no thread for this test ({error}): try it later"));
            }
        }
    }

    fn refuse(&mut self, request: &ProbeRequest, sentence: &dyn Display) {
        let (id, generator) = (request.id.clone(), self.generator.clone());
        self.send(answer(id, generator, request.endpoint.clone(), Err(sentence.to_string())));
    }

    fn send(&mut self, answer: ProbeAnswer) {
        self.outbox.push_back(answer);
    }

    /// Puts what waits. What Redis does not take now is tried again as long as somebody may wait for it.
    fn put(&mut self) -> Result<(), ScoreboardError> {
        let oldest = now().saturating_sub(PROBE_LIFE_SECONDS * 1_000_000);
        while let Some(answer) = self.outbox.front() {
            match self.scoreboard.answer_probe(&self.contest, answer) {
                Err(error) if answer.at >= oldest => return Err(error),
                _ => drop(self.outbox.pop_front()),
            }
        }
        Ok(())
    }
}

/// One test: the policy first.
fn look(endpoint: &Endpoint, names: &Names, settings: &Settings) -> Result<ProbeReport, String> {
    let until = Instant::now() + TIMEOUT;
    // The hosts file may have changed since; what is wrong with it is told by whoever follows the roster.
    let _ = names.refresh();
    let addresses = admit(&settings.policy, names, endpoint, TIMEOUT).map_err(|denial| denial.to_string())?;
    let terms = Terms::new(settings.rules, settings.deadlines);
    probe(endpoint, &addresses, &terms, until.saturating_duration_since(Instant::now()))
        .map_err(|error| error.to_string())
}

fn answer(id: String, generator: String, endpoint: String, found: Result<ProbeReport, String>) -> ProbeAnswer {
    let blank = ProbeAnswer {
        id,
        at: now(),
        generator,
        endpoint,
        address: None,
        verdicts: None,
        latency_us: None,
        message: String::new(),
        head: String::new(),
    };
    match found {
        Err(message) => ProbeAnswer { message, ..blank },
        Ok(report) => {
            let telling = report.telling();
            let address = telling.map(|exchange| exchange.address).as_ref().map(SocketAddr::to_string);
            ProbeAnswer {
                address,
                verdicts: report.verdicts(),
                latency_us: telling.and_then(|exchange| exchange.latency_us),
                message: report.sentence(),
                head: telling.map_or_else(String::new, |exchange| exchange.head.clone()),
                ..blank
            }
        }
    }
}

fn now() -> UtcUs {
    Clock::now().utc_base
}
