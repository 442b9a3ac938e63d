//! Who asks "test my endpoint" through Redis gets an answer here: the policy's refusal, or what a probe found.
//!
//! One thread talks to Redis; each test has a thread of its own, so that a slow endpoint delays nobody. What finds no
//! free one stays in Redis, whose list is bounded and which other generators read too. It writes nothing but answers.

use super::{ASK, Candidate, ProbeReport, Terms, not_now, probe};
use crate::admit::guard::admit;
use crate::admit::resolve::Names;
use crate::admit::trust::ContestTrust;
use flowtest_contest::endpoint::Host;
use flowtest_contest::{Endpoint, Policy};
use flowtest_contract::rules::{Deadlines, Rules};
use flowtest_contract::utc_us;
use flowtest_scoreboard::keys::PROBE_LIFE_SECONDS;
use flowtest_scoreboard::{Named, ProbeAnswer, ProbeRequest, Scoreboard, ScoreboardError};
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
    pub trust: ContestTrust,
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

    /// Why Redis lets requests not be read or answered, though it is there.
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
    answers: Sender<Tested>,
    under_way: usize,
    /// When a contestant's last test began.
    asked: HashMap<String, Instant>,
    outbox: VecDeque<ProbeAnswer>,
}

/// What a test found, and where the contestant's name has given right answers.
struct Tested {
    answer: ProbeAnswer,
    named: Vec<Named>,
}

impl ProbeLoop {
    fn run(mut self, answered: &Receiver<Tested>) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let trouble = self.take().and_then(|()| self.put()).err();
            // Whoever follows the document tells an outage.
            *self.shared.trouble.lock() = trouble.filter(|error| !error.is_outage()).map(|error| error.to_string());
            // An answer that is ready is put at once; otherwise this is the pause between two looks.
            if let Ok(tested) = answered.recv_timeout(LOOK) {
                self.on_tested(tested);
                while let Ok(tested) = answered.try_recv() {
                    self.on_tested(tested);
                }
            }
        }
    }

    fn on_tested(&mut self, tested: Tested) {
        self.under_way -= 1;
        // Redis may be away: the next test notes it.
        let _ = self.scoreboard.note_named(&self.contest, &tested.named, utc_us());
        self.send(tested.answer);
    }

    /// Takes requests as long as there is a thread for them.
    fn take(&mut self) -> Result<(), ScoreboardError> {
        self.asked.retain(|_, at| at.elapsed() < REST);
        for _ in 0..TAKEN_MAX {
            if self.under_way >= AT_ONCE || self.outbox.len() >= WAITING_MAX {
                break;
            }
            let Some(request) = self.scoreboard.take_probe(&self.contest, utc_us())? else { break };
            self.accept(&request);
        }
        Ok(())
    }

    fn accept(&mut self, request: &ProbeRequest) {
        if let Some(at) = self.asked.get(&request.contestant).filter(|_| !request.automatic) {
            let wait = REST.saturating_sub(at.elapsed()).as_secs() + 1;
            let message = format!("this endpoint was tested a moment ago: test it again in {wait} s");
            return self.refuse(request, &message);
        }
        let endpoint: Endpoint = match request.endpoint.parse() {
            Ok(endpoint) => endpoint,
            // Nobody has to be asked to know that this is none.
            Err(error) => return self.send(self.answer(request, Err(error.to_string()))),
        };
        if self.shared.settings.lock().is_stopped {
            return self.refuse(request, &"the organisers have stopped all traffic: test it when they allow it again");
        }
        if !request.automatic {
            self.asked.insert(request.contestant.clone(), Instant::now());
        }
        let (names, mut settings) = (self.names.clone(), self.shared.settings.lock().clone());
        settings.deadlines = request.deadlines.unwrap_or(settings.deadlines);
        let (answers, generator, id) = (self.answers.clone(), self.generator.clone(), request.id.clone());
        let contestant = request.contestant.clone();
        let test = move || {
            let found = look(&contestant, &endpoint, &names, &settings);
            let is_name = matches!(endpoint.host, Host::Name(_));
            let verified = found.as_ref().map(ProbeReport::verified_addresses).unwrap_or_default();
            let verified = verified.into_iter().filter(|_| is_name);
            let named = verified.map(|address| Named::new(&contestant, &endpoint, address)).collect();
            // Nobody listens any more after the end.
            let _ =
                answers.send(Tested { answer: answer(&contestant, id, generator, endpoint.to_string(), found), named });
        };
        match thread::Builder::new().name("probe".to_owned()).spawn(test) {
            Ok(_) => self.under_way += 1,
            Err(error) => self.refuse(request, &not_now(ASK, &error)),
        }
    }

    /// Says why the server is not asked now.
    fn refuse(&mut self, request: &ProbeRequest, message: &dyn Display) {
        let refused = self.answer(request, Err(message.to_string()));
        self.send(ProbeAnswer { not_made: true, ..refused });
    }

    fn answer(&self, request: &ProbeRequest, found: Result<ProbeReport, String>) -> ProbeAnswer {
        answer(&request.contestant, request.id.clone(), self.generator.clone(), request.endpoint.clone(), found)
    }

    fn send(&mut self, answer: ProbeAnswer) {
        self.outbox.push_back(answer);
    }

    /// Puts what waits. What Redis does not take now is tried again as long as somebody may wait for it.
    fn put(&mut self) -> Result<(), ScoreboardError> {
        let oldest = utc_us().saturating_sub(PROBE_LIFE_SECONDS * 1_000_000);
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
fn look(contestant: &str, endpoint: &Endpoint, names: &Names, settings: &Settings) -> Result<ProbeReport, String> {
    let until = Instant::now() + TIMEOUT;
    // The hosts file may have changed since; what is wrong with it is told by whoever follows the roster.
    let _ = names.refresh();
    let found = admit(&settings.policy, names, endpoint, TIMEOUT).map_err(|denial| denial.for_contestants())?;
    let tls = settings.trust.of(settings.policy.tls).server(endpoint).map_err(|error| error.for_contestants())?;
    let terms = Terms::new(settings.rules, settings.deadlines);
    let team = Candidate::team(&settings.policy, contestant);
    let left = until.saturating_duration_since(Instant::now());
    probe(endpoint, tls.as_ref(), &found.addresses, &terms, team, left).map_err(|error| not_now(ASK, &error))
}

fn answer(
    contestant: &str,
    id: String,
    generator: String,
    endpoint: String,
    found: Result<ProbeReport, String>,
) -> ProbeAnswer {
    let blank = ProbeAnswer { id, at: utc_us(), generator, endpoint, ..ProbeAnswer::default() };
    match found {
        Err(message) => ProbeAnswer { message, ..blank },
        Ok(report) => {
            let telling = report.telling();
            let address = telling.map(|exchange| exchange.address).as_ref().map(SocketAddr::to_string);
            // Where anything else answers, somebody else may be about to play.
            ProbeAnswer {
                address,
                addresses: report.verified_addresses().iter().map(SocketAddr::to_string).collect(),
                // Three right headers of somebody else's server are nobody's: whoever reads this counts them as none.
                verdicts: report.verdicts().filter(|_| report.disowned().is_none()),
                latency_us: telling.and_then(|exchange| exchange.latency_us),
                message: report.message(),
                team: report.team_seen(contestant).map(str::to_owned),
                certificate: report.certificate().map(str::to_owned),
                head: telling.map_or_else(String::new, |exchange| exchange.head.clone()),
                ..blank
            }
        }
    }
}
