//! `run CONTEST.toml`: a whole round by a file, published as it goes when a Redis is named.

use crate::block::Counts;
use crate::cli::RunContest;
use crate::guard::permits;
use crate::http::RequestTemplate;
use crate::plan::{self, NS_PER_US, Plan, Ramp};
use crate::progress::Bar;
use crate::resolve::resolve;
use crate::run::{Clock, Progress, Run, choose_cores};
use crate::summary::Summary;
use crate::{Failed, output};
use flowtest_scoreboard::connection::Address;
use flowtest_scoreboard::contest::{Contestant, Load, Policy, Start};
use flowtest_scoreboard::{
    Contest, Control, Publisher, PublisherConfig, RoundId, Row, Scoreboard, ScoreboardError, State, StreamId,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A connection lives so long in a contest, so that instances added behind a name get their share.
const CONNECTION_LIFE_NS: u64 = 10 * plan::NS_PER_SECOND;
/// How long the final rows may take to reach a Redis that is away.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the control document is looked after.
const CONTROL_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the command; the exit code says whether the result is valid.
pub fn run(flags: &RunContest, stop: &AtomicBool) -> Result<u8, Failed> {
    let path = flags.file.display();
    let text = std::fs::read_to_string(&flags.file)
        .map_err(|error| Failed::Usage(format!("{path}: the contest file cannot be read ({error})")))?;
    let contest = Contest::from_toml(&text).map_err(|error| Failed::Usage(format!("{path}: {error}")))?;
    let cores = choose_cores(flags.cores.asked())?;
    let contestants = contest
        .contestants
        .iter()
        .map(|contestant| resolved(contestant, &contest.policy))
        .collect::<Result<Vec<_>, _>>()?;
    output::prepare(flags.json.as_deref())?;
    // Whatever is wrong with the plan shall show before Redis hears of a round.
    start(&contest, Clock::now())?;
    let mut board = flags.redis.as_deref().map(|url| Board::open(url, password(flags)?, &contest)).transpose()?;
    let played = play(flags, &contest, contestants, &cores, board.as_mut(), stop);
    let (summary, mut progress) = match played {
        Ok(played) => played,
        Err(error) => {
            // This error is the one to tell; that the round could not be called aborted is less, or follows from it.
            let _ = board.map(Board::abort);
            return Err(error);
        }
    };
    let broken = progress.broken.take();
    let sealed = board.map_or(Ok(()), |board| board.finish(&progress));
    output::write(&summary, flags.json.as_deref(), flags.quiet)?;
    sealed?;
    match broken {
        Some(broken) => Err(broken.into()),
        None => Ok(if summary.is_valid() { 0 } else { 3 }),
    }
}

fn play(
    flags: &RunContest,
    contest: &Contest,
    contestants: Vec<plan::Contestant>,
    cores: &[usize],
    mut board: Option<&mut Board>,
    stop: &AtomicBool,
) -> Result<(Summary, Progress), Failed> {
    let clock = Clock::now();
    let plan = Arc::new(make_plan(contest, contestants, cores.len() as u32, clock)?);
    let run = Run::start(&plan, clock, cores)?;
    let bar = Bar::new(&plan, flags.quiet);
    let progress = run.follow(stop, |progress| {
        bar.show(&plan, progress);
        if let Some(board) = &mut board {
            board.publish(progress);
        }
    });
    bar.finish();
    Ok((Summary::of(&plan, &progress, stop.load(Ordering::Relaxed)), progress))
}

/// The password that stands in a file, so that no list of processes shows it.
fn password(flags: &RunContest) -> Result<Option<String>, Failed> {
    let Some(path) = &flags.redis_password_file else { return Ok(None) };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(error) => Err(Failed::Usage(format!("{}: the password file cannot be read ({error})", path.display()))),
    }
}

fn resolved(contestant: &Contestant, policy: &Policy) -> Result<plan::Contestant, Failed> {
    let endpoint = &contestant.endpoint;
    let addresses = resolve(endpoint)?;
    if let Some(closed) = addresses.iter().find(|address| !permits(policy, address.ip())) {
        return Err(Failed::Usage(format!(
            "{}: {endpoint} is at {}, an address that contests do not flood: add its network to allow in [policy] if \
             it is yours, as in allow = [\"10.0.0.0/8\"]",
            contestant.name,
            closed.ip()
        )));
    }
    Ok(plan::Contestant {
        name: contestant.name.clone(),
        endpoint: endpoint.to_string(),
        addresses,
        request: RequestTemplate::new(&endpoint.path_and_query, &endpoint.host_header()),
    })
}

/// When the first phase starts, on the run clock.
fn start(contest: &Contest, clock: Clock) -> Result<u64, Failed> {
    let earliest = clock.earliest_start();
    let Start::At(utc) = contest.start else { return Ok(earliest) };
    utc.checked_sub(clock.utc_base).and_then(|us| us.checked_mul(NS_PER_US)).filter(|at| *at >= earliest).ok_or_else(
        || Failed::Usage("the contest's start has passed: write a later one, or start = \"now\"".to_owned()),
    )
}

fn make_plan(
    contest: &Contest,
    contestants: Vec<plan::Contestant>,
    workers: u32,
    clock: Clock,
) -> Result<Plan, Failed> {
    let start = start(contest, clock)?;
    let mut at = start;
    let mut phases = Vec::with_capacity(contest.phases.len());
    for phase in &contest.phases {
        let end = at + phase.duration_us * NS_PER_US;
        let load = match phase.load {
            Load::Open { from, to } => plan::Load::Open(Ramp { from, to }),
            Load::Closed { pipeline } => plan::Load::Closed { pipeline },
        };
        phases.push(plan::Phase { start: at, end, load, connections: phase.connections, scored: phase.scored });
        at = end;
    }
    Ok(Plan {
        rules: contest.rules,
        deadlines: contest.deadlines(clock.utc_base + start / NS_PER_US),
        utc_base: clock.utc_base,
        phases: phases.into(),
        contestants,
        connection_life: CONNECTION_LIFE_NS,
        requests: None,
        workers,
    })
}

/// Bits of an id that nobody had before.
fn random_bits() -> Result<u128, Failed> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failed::Message(format!("no random id for the round ({error})")))?;
    Ok(u128::from_be_bytes(bytes))
}

/// The scoreboard's side of a run: rows go to the publisher, the control document says which round it is.
struct Board {
    publisher: Publisher,
    steward: Steward,
    seq: u64,
}

impl Board {
    fn open(url: &str, password: Option<String>, contest: &Contest) -> Result<Board, Failed> {
        let (round, stream) = (RoundId::from_bits(random_bits()?), StreamId::from_bits(random_bits()?));
        let mut control = Control::new(contest.clone());
        control.round = Some(round);
        control.state = State::Running;
        control.split = vec![stream.to_string()];
        let mut scoreboard = Scoreboard::open(Address::new(url, password.as_deref(), false)?)?;
        scoreboard.open_round(&contest.name, &round)?;
        let publisher = Publisher::start(PublisherConfig {
            url: url.to_owned(),
            password,
            contest: contest.name.clone(),
            round,
            stream,
            contestants: contest.contestants.iter().map(|contestant| contestant.name.clone()).collect(),
            allow_volatile: false,
        })?;
        scoreboard.write_control(&control)?;
        let steward = Steward::start(scoreboard, control)?;
        Ok(Board { publisher, steward, seq: 0 })
    }

    fn publish(&mut self, progress: &Progress) {
        self.seq += 1;
        self.publisher.publish(self.seq, rows(progress));
    }

    /// The last rows, the end marker, the seal; then the control document says so.
    fn finish(self, progress: &Progress) -> Result<(), Failed> {
        self.publisher.finish(self.seq + 1, rows(progress), PATIENCE)?;
        self.steward.finish(State::Sealed)?;
        Ok(())
    }

    /// The round was not played to its end.
    fn abort(self) -> Result<(), Failed> {
        self.steward.finish(State::Aborted)?;
        Ok(())
    }
}

fn rows(progress: &Progress) -> Arc<[Row]> {
    progress.sums.scored.iter().map(|Counts { row, .. }| row.clone()).collect()
}

/// Keeps the control document in a Redis that may be wiped. A thread of its own: no outage reaches the run.
struct Steward {
    end: mpsc::Sender<State>,
    thread: JoinHandle<Result<(), ScoreboardError>>,
}

impl Steward {
    fn start(mut scoreboard: Scoreboard, mut control: Control) -> Result<Steward, Failed> {
        let (end, ended) = mpsc::channel();
        let watch = move || loop {
            match ended.recv_timeout(CONTROL_INTERVAL) {
                Ok(state) => {
                    control.state = state;
                    control.revision += 1;
                    return scoreboard.write_control(&control);
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
                // An outage is no error here; the next look comes in a second.
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if let Ok(None) = scoreboard.read_control(&control.contest.name) {
                        let _ = scoreboard.write_control(&control);
                    }
                }
            }
        };
        let thread = thread::Builder::new()
            .name("steward".to_owned())
            .spawn(watch)
            .map_err(|error| Failed::Message(format!("no thread for the control document ({error})")))?;
        Ok(Steward { end, thread })
    }

    fn finish(self, state: State) -> Result<(), ScoreboardError> {
        // Fails only when the thread has ended, whose result says why.
        let _ = self.end.send(state);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
