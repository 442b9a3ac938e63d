//! `run CONTEST.toml`: a whole round by a file, published as it goes when a Redis is named.

use crate::Failed;
use crate::admit::guard::{Denial, admit};
use crate::admit::resolve::Names;
use crate::admit::resolve::names::STUCK_AFTER;
use crate::engine::plan::{ContestantPlan, NS_PER_US, Plan, TrafficMode};
use crate::engine::run::{Clock, Progress, Run, RunError, usable_cores};
use crate::engine::schedule::Schedule;
use crate::engine::trace::Tracing;
use crate::journal::rebuild::{Action, finish_orphans};
use crate::observe::output::{Closed, Output, Prepared, Title, cpu_us};
use crate::observe::series::Look;
use crate::play::flags::RunContest;
use crate::play::health_gate::GatedPlan;
use crate::play::plan::{CONNECTION_LIFE_NS, contestant as contestant_plan, phases};
use crate::record::publish::Board;
use crate::record::recorder::{Finished, Fresh, Recorder, Recording, Shown, room};
use flowtest_contest::Contest;
use flowtest_contest::contest::Start;
use flowtest_contract::{RoundId, Row, StreamId};
use flowtest_journal::free_bytes;
use flowtest_journal::record::{self, Terms};
use flowtest_scoreboard::RedisAddress;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How often what the recorder says is passed on.
const FOLLOW: Duration = Duration::from_millis(50);
/// From making the plan to its start: workers make rings and arenas in it, the recorder its first segment.
const HEAD_START: Duration = Duration::from_millis(50);
const JOURNAL_HEAD_START: Duration = Duration::from_secs(1);

/// Runs the command; the exit code says whether the result is valid.
pub fn run(flags: &RunContest, stop: &AtomicBool) -> Result<u8, Failed> {
    let path = flags.file.display();
    let text = std::fs::read_to_string(&flags.file)
        .map_err(|error| Failed::Usage(format!("{path}: the contest file cannot be read ({error})")))?;
    let contest = Contest::from_toml(&text).map_err(|error| Failed::Usage(format!("{path}: {error}")))?;
    let cores = flags.cores.choose()?;
    let contestants = admitted(&contest)?;
    let prepared = flags.outputs.prepare()?;
    // Whatever is wrong with the plan shall show before Redis or the disk hear of a round.
    let plan = make_plan(&contest, contestants.clone(), cores.len() as u32, Clock::now(), flags.head_start())?;
    if let Some(dir) = &flags.journal {
        check_room(dir, &plan, flags.trace.tracing())?;
    }
    let redis = match &flags.redis {
        Some(url) => Some(flags.redis_flags.address(url)?),
        None => None,
    };
    let (round, stream) = (RoundId::from_bits(random_bits()?), StreamId::from_bits(random_bits()?));
    if let (Some(dir), Some(redis)) = (&flags.journal, &redis) {
        finish_others(dir, redis);
    }
    let round = Round { contest: &contest, id: round, stream, contestants, cores: &cores };
    let (played, board) = round.play(flags, prepared, redis.as_ref(), stop)?;
    let sealed = board.map_or(Ok(()), |board| board.finish(played.seq, played.rows));
    let is_valid = played.closed.summary.is_valid();
    played.closed.write()?;
    sealed?;
    match played.broken {
        Some(broken) => Err(broken.into()),
        None => Ok(if is_valid { 0 } else { 3 }),
    }
}

/// One round of a contest, about to be played.
struct Round<'a> {
    contest: &'a Contest,
    id: RoundId,
    stream: StreamId,
    contestants: Vec<ContestantPlan>,
    cores: &'a [usize],
}

/// What came of it.
struct Played {
    closed: Closed,
    /// The number of the last rows, and these.
    seq: u64,
    rows: Arc<[Row]>,
    broken: Option<RunError>,
}

impl Round<'_> {
    fn play(
        self,
        flags: &RunContest,
        prepared: Prepared,
        redis: Option<&RedisAddress>,
        stop: &AtomicBool,
    ) -> Result<(Played, Option<Board>), Failed> {
        let clock = Clock::now();
        let workers = self.cores.len() as u32;
        let plan = Arc::new(make_plan(self.contest, self.contestants.clone(), workers, clock, flags.head_start())?);
        let recorder = match &flags.journal {
            Some(dir) => {
                let start = start_record(self.contest, &plan, self.cores);
                let spare = usable_cores().into_iter().find(|core| !self.cores.contains(core));
                Some(Recorder::create(dir, self.id, self.stream, start, spare, flags.trace.tracing())?)
            }
            None => None,
        };
        // Only now: a stream that Redis knows of has a journal.
        let open = |redis| Board::open(redis, self.contest, self.id, self.stream);
        let board = redis.map(open).transpose()?;
        let played = self.flood(prepared, &plan, clock, recorder, board.as_ref(), stop);
        match played {
            Ok(played) => Ok((played, board)),
            Err(error) => {
                // This error is the one to tell; that the round could not be called aborted is less, or follows from it.
                let _ = board.map(Board::abort);
                Err(error)
            }
        }
    }

    fn flood(
        &self,
        prepared: Prepared,
        plan: &Arc<Plan>,
        clock: Clock,
        recorder: Option<Recorder>,
        board: Option<&Board>,
        stop: &AtomicBool,
    ) -> Result<Played, Failed> {
        let tracing = recorder.as_ref().map_or(Tracing::Off, Recorder::tracing);
        let run = Run::start(plan, clock, self.cores, tracing)?;
        let mut output = prepared.open(plan, Title::Contest(self.contest.name.clone()))?;
        let (progress, seq, rows) = match recorder {
            None => follow(run, plan, &mut output, board, stop),
            Some(recorder) => follow_recorded(run, plan, &mut output, recorder, board, stop)?,
        };
        let closed = output.close(plan, &progress, stop.load(Ordering::Relaxed));
        Ok(Played { closed, seq, rows, broken: progress.broken })
    }
}

/// Without a journal what is published is what is in memory.
fn follow(
    run: Run,
    plan: &Arc<Plan>,
    output: &mut Output,
    board: Option<&Board>,
    stop: &AtomicBool,
) -> (Progress, u64, Arc<[Row]>) {
    let mut seq = 0;
    let (mut gated, control) = (GatedPlan::new(plan.clone()), run.workers.worker_control().clone());
    let progress = run.follow(stop, |progress| {
        gated.look(progress.now, &progress.sums, &control);
        output.show(plan, Look { now: progress.now, sums: &progress.sums, cpu_us: Some(cpu_us(&progress.workers)) });
        if let Some(board) = board {
            seq += 1;
            board.publish(seq, progress.rows());
        }
    });
    let rows = progress.rows();
    (progress, seq + 1, rows)
}

/// With a journal what is published is what is on disk.
fn follow_recorded(
    run: Run,
    plan: &Arc<Plan>,
    output: &mut Output,
    recorder: Recorder,
    board: Option<&Board>,
    stop: &AtomicBool,
) -> Result<(Progress, u64, Arc<[Row]>), Failed> {
    let mut recording = Recording::begin(run, plan, recorder);
    let (mut gated, control) = (GatedPlan::new(plan.clone()), recording.worker_control().clone());
    let mut durable_seq = 0;
    let mut pass_on = |fresh: Fresh| {
        durable_seq = fresh.durable.as_ref().map_or(durable_seq, |(seq, _)| *seq);
        if let Some(Shown { now, sums, workers }) = &fresh.shown {
            gated.look(*now, sums, &control);
            output.note_backlog(board.map(|board| durable_seq.saturating_sub(board.put_seq())));
            output.show(plan, Look { now: *now, sums, cpu_us: Some(cpu_us(workers)) });
        }
        if let Some(board) = board {
            board.pass_on(fresh, |contestant| plan.contestants[contestant].name.clone());
        }
    };
    while !recording.is_over() {
        thread::sleep(FOLLOW);
        if stop.load(Ordering::Relaxed) {
            recording.worker_control().drain();
        }
        pass_on(recording.look());
    }
    let Finished { fresh, recorded, broken } = recording.finish();
    pass_on(fresh);
    let recorded = recorded?;
    Ok((Progress { broken, ..recorded.progress }, recorded.seq, recorded.rows))
}

/// Ends and publishes what a generator that is gone has left in the folder. Whatever is wrong with it is no reason not to
/// play.
pub(crate) fn finish_others(dir: &Path, redis: &RedisAddress) {
    match finish_orphans(dir, redis) {
        Ok(report) => {
            for stream in report.streams.iter().filter(|stream| stream.action != Action::None) {
                eprintln!("flowtest-loadgen: {}", stream.text);
            }
        }
        Err(error) => eprintln!("flowtest-loadgen: older journals in {}: {error}", dir.display()),
    }
}

/// Refuses a plan whose journal would not fit.
fn check_room(dir: &Path, plan: &Plan, tracing: Tracing) -> Result<(), Failed> {
    // The folder may not be there yet; it will lie on the file system of the one above it.
    let there = dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let free = free_bytes(if there.as_os_str().is_empty() { Path::new(".") } else { there })?;
    let needed = room::needed(plan, tracing == Tracing::On);
    if room::wanted(needed) <= free {
        return Ok(());
    }
    let mib = |bytes: u64| (bytes >> 20).max(1);
    let without = match tracing {
        Tracing::On => format!("; without traces (--no-trace) it is {} MiB", mib(room::needed(plan, false))),
        Tracing::Off => String::new(),
    };
    Err(Failed::Message(format!(
        "{}: this contest writes up to {} MiB of journal, and one and a half times that shall be free, but {} MiB are: \
         free some, or name a folder on another disk{without}",
        dir.display(),
        mib(needed),
        free >> 20
    )))
}

/// The first record of a stream: whatever is needed to judge its traces again.
pub(crate) fn start_record(contest: &Contest, plan: &Plan, cores: &[usize]) -> record::Start {
    let program = serde_json::json!({
        "program": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "host": rustix::system::uname().nodename().to_string_lossy(),
        "kernel": rustix::system::uname().release().to_string_lossy(),
        "cores": cores,
    });
    let mut start = record::Start {
        at: Clock::now().utc_base,
        clock_offset_us: 0,
        clock_error_us: 0,
        terms: Terms::new(&plan.rules, plan.schedule.deadlines(0)),
        contest: contest.name.clone().into_bytes(),
        names: Vec::new(),
        name_lens: Vec::new(),
        document: contest.to_json().to_string().into_bytes(),
        program: program.to_string().into_bytes(),
    };
    start.set_names(contest.contestants.iter().map(|contestant| contestant.name.as_str()));
    start
}

impl RunContest {
    fn head_start(&self) -> Duration {
        if self.journal.is_some() { JOURNAL_HEAD_START } else { HEAD_START }
    }
}

/// Bits of an id that nobody had before.
pub(crate) fn random_bits() -> Result<u128, Failed> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failed::Message(format!("no random id for the round ({error})")))?;
    Ok(u128::from_be_bytes(bytes))
}

/// The roster at its addresses, by the same policy as in a round that is served.
fn admitted(contest: &Contest) -> Result<Vec<ContestantPlan>, Failed> {
    let names = Names::system(None);
    let admitted = contest.contestants.iter().map(|contestant| {
        let endpoint = &contestant.endpoint;
        let addresses = admit(&contest.policy, &names, endpoint, STUCK_AFTER)
            .map_err(|denial| refused(&contestant.name, &denial))?;
        Ok(contestant_plan(contestant.name.clone(), endpoint, addresses, TrafficMode::Flood))
    });
    let admitted = admitted.collect::<Result<Vec<_>, Failed>>()?;
    let theirs = admitted.iter().map(|one| (one.name.as_str(), one.addresses.as_slice()));
    contest.policy.judge_shared(theirs).map_err(|error| Failed::Usage(error.to_string()))?;
    Ok(admitted)
}

/// A name that does not resolve now is no fault of the file.
fn refused(name: &str, denial: &Denial) -> Failed {
    let sentence = format!("{name}: {denial}");
    if matches!(denial, Denial::Resolve(_)) { Failed::Message(sentence) } else { Failed::Usage(sentence) }
}

/// When the first phase starts, on the run clock.
fn start(contest: &Contest, clock: Clock, head_start: Duration) -> Result<u64, Failed> {
    let earliest = clock.after(head_start);
    let Start::At(utc) = contest.start else { return Ok(earliest) };
    utc.checked_sub(clock.utc_base).and_then(|us| us.checked_mul(NS_PER_US)).filter(|at| *at >= earliest).ok_or_else(
        || Failed::Usage("the contest's start has passed: write a later one, or start = \"now\"".to_owned()),
    )
}

fn make_plan(
    contest: &Contest,
    contestants: Vec<ContestantPlan>,
    workers: u32,
    clock: Clock,
    head_start: Duration,
) -> Result<Plan, Failed> {
    let start = start(contest, clock, head_start)?;
    Ok(Plan {
        rules: contest.rules,
        schedule: Arc::new(Schedule::steady(contest.deadlines(clock.utc_base + start / NS_PER_US))),
        utc_base: clock.utc_base,
        phases: phases(contest, start),
        contestants,
        connection_life: CONNECTION_LIFE_NS,
        requests: None,
        workers,
        request_spare: 0,
    })
}
