//! `run CONTEST.toml`: a whole round by a file, published as it goes when a Redis is named.

use crate::Failed;
use crate::admit::guard::{Denial, Found, admit};
use crate::admit::probe::{Candidate, CheckedBy, Terms, check};
use crate::admit::resolve::names::STUCK_AFTER;
use crate::admit::resolve::{Names, left_out, silent, too_many};
use crate::admit::trust::ContestTrust;
use crate::engine::clock::RunInstant;
use crate::engine::plan::{ContestantPlan, NS_PER_US, Plan, Target, TrafficMode};
use crate::engine::run::{Clock, RunError, usable_cores};
use crate::engine::schedule::Schedule;
use crate::engine::trace::Tracing;
use crate::journal::rebuild::{Action, finish_orphans};
use crate::observe::output::Prepared;
use crate::observe::title::Title;
use crate::play::driver::{Driver, Ended, Totals};
use crate::play::flags::RunContest;
use crate::play::plan::{HEAD_START, JOURNAL_HEAD_START, Taker, contest_plan, contestant as contestant_plan, phases};
use crate::record::publish::Board;
use crate::record::recorder::{Recorder, room};
use crate::signals::Stop;
use flowtest_contest::Contest;
use flowtest_contest::contest::{Contestant, Start};
use flowtest_contract::rules::{Deadlines, UtcUs};
use flowtest_contract::text::shown;
use flowtest_contract::{RoundId, StreamId, utc_us};
use flowtest_journal::free_bytes;
use flowtest_journal::record;
use flowtest_scoreboard::{RedisAddress, ScoreboardError};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long all servers may take to say whose they are.
const PROOF_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the command; the exit code says whether the result is valid.
pub fn run(flags: &RunContest, stop: &Stop) -> Result<u8, Failed> {
    let path = shown(&flags.file);
    let text = std::fs::read_to_string(&flags.file)
        .map_err(|error| Failed::Usage(format!("{path}: the contest file cannot be read ({error})")))?;
    let contest = Contest::from_toml(&text).map_err(|error| Failed::Usage(format!("{path}: {error}")))?;
    let cores = flags.cores.choose()?;
    let contestants = admitted(&contest, &flags.hosts.names()?, &flags.authorities.contest_trust()?)?;
    let prepared = flags.outputs.prepare()?;
    // Whatever is wrong with the plan shall show before Redis or the disk hear of a round.
    let plan = make_plan(&contest, contestants.clone(), cores.len(), Clock::now(), flags.head_start())?;
    if let Some(dir) = &flags.journal {
        check_room(dir, &plan, flags.trace.tracing())?;
    }
    let redis = flags.redis.address()?;
    let (round, stream) = (RoundId::from_bits(random_bits()?), StreamId::from_bits(random_bits()?));
    if let (Some(dir), Some(redis)) = (&flags.journal, &redis) {
        finish_others(dir, redis);
    }
    stop.catch_signals();
    let round = Round { contest: &contest, id: round, stream, contestants, cores: &cores };
    let (totals, board, broken) = round.play(flags, prepared, redis.as_ref(), stop)?;
    let is_valid = totals.closed.summary.is_valid();
    // Before the wait for Redis, which may be long.
    let written = totals.closed.write();
    if let (Some(board), Some(redis)) = (board, &redis) {
        board.finish(totals.seq, totals.rows, stop.flag()).map_err(|error| unpublished(error, flags, redis))?;
    }
    written?;
    match broken {
        Some(broken) => Err(broken.into()),
        None => Ok(if is_valid { 0 } else { 3 }),
    }
}

/// Where the points are that Redis did not take.
fn unpublished(error: ScoreboardError, flags: &RunContest, redis: &RedisAddress) -> Failed {
    if !matches!(error, ScoreboardError::Timeout { .. }) {
        return error.into();
    }
    Failed::Message(match &flags.journal {
        Some(dir) => format!(
            "{error}; all points are in the journal: when Redis answers again, publish them by flowtest-loadgen rebuild \
             --seal --journal {} --redis {redis}",
            shown(dir)
        ),
        None => format!(
            "{error}; there is no journal to publish them from later (--journal), so only the summary has all of them"
        ),
    })
}

/// One round of a contest, about to be played.
struct Round<'a> {
    contest: &'a Contest,
    id: RoundId,
    stream: StreamId,
    contestants: Vec<ContestantPlan>,
    cores: &'a [usize],
}

impl Round<'_> {
    fn play(
        self,
        flags: &RunContest,
        prepared: Prepared,
        redis: Option<&RedisAddress>,
        stop: &Stop,
    ) -> Result<(Totals, Option<Board>, Option<RunError>), Failed> {
        let clock = Clock::now();
        let plan = make_plan(self.contest, self.contestants.clone(), self.cores.len(), clock, flags.head_start())?;
        let plan = Arc::new(plan);
        let recorder = match &flags.journal {
            Some(dir) => {
                let start = start_record(self.contest, &plan, self.cores, None);
                let spare = usable_cores().into_iter().find(|core| !self.cores.contains(core));
                Some(Recorder::create(dir, self.id, self.stream, start, spare, flags.trace.tracing(), &mut None)?)
            }
            None => None,
        };
        // Only now: a stream that Redis knows of has a journal.
        let open = |redis| Board::open(redis, self.contest, self.id, self.stream);
        let board = redis.map(open).transpose()?;
        let driver = prepared.open(&plan, Title::Contest(self.contest.name.clone())).and_then(|output| {
            Ok(match recorder {
                Some(recorder) => Driver::recorded(plan, clock, self.cores, recorder, output)?,
                None => Driver::in_memory(plan, clock, self.cores, Tracing::Off, output)?,
            })
        });
        let ended = match driver {
            Ok(driver) => {
                let mut driver = driver.gated().publish_on(board);
                let is_cut = driver.play_out(stop.flag());
                driver.finish(is_cut)
            }
            Err(error) => Ended { result: Err(error), board, broken: None },
        };
        match ended.result {
            Ok(totals) => Ok((totals, ended.board, ended.broken)),
            Err(error) => {
                // This error is the one to tell; that the round could not be called aborted is less, or follows from it.
                let _ = ended.board.map(Board::abort);
                Err(error)
            }
        }
    }
}

/// Ends and publishes what a generator that is gone has left in the folder. Whatever is wrong with it is no reason not to
/// play.
pub(crate) fn finish_others(dir: &Path, redis: &RedisAddress) {
    match finish_orphans(dir, redis) {
        Ok(report) => {
            for stream in report.streams.iter().filter(|stream| stream.action != Action::None) {
                eprintln!("flowtest-loadgen: {}", stream.text);
            }
            for why in &report.unlisted {
                eprintln!("flowtest-loadgen: older journals stay as they are: {why}");
            }
        }
        Err(error) => eprintln!("flowtest-loadgen: older journals in {}: {error}", shown(dir)),
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
        Tracing::Off | Tracing::Samples => String::new(),
    };
    Err(Failed::Message(format!(
        "{}: this contest writes up to {} MiB of journal, and one and a half times that shall be free, but {} MiB are: \
         free some, or name a folder on another disk{without}",
        shown(dir),
        mib(needed),
        free >> 20
    )))
}

/// The first record of a stream: whatever is needed to judge its traces again.
pub(crate) fn start_record(contest: &Contest, plan: &Plan, cores: &[usize], taker: Option<&Taker>) -> record::Start {
    let mut program = serde_json::json!({
        "program": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "host": rustix::system::uname().nodename().to_string_lossy(),
        "kernel": rustix::system::uname().release().to_string_lossy(),
        "cores": cores,
        // From here on seconds are counted.
        "starts_at": plan.utc_us(plan.schedule.run_clock(plan.start())).0,
    });
    // By these the audit finds in the document which share the stream had.
    if let Some(Taker { id, takes_from }) = taker {
        program["generator"] = id.as_str().into();
        program["takes_from"] = takes_from.0.into();
    }
    let mut start = record::Start {
        at: utc_us().0,
        clock_offset_us: 0,
        clock_error_us: 0,
        terms: record::Terms::new(&plan.rules, plan.schedule.deadlines(UtcUs::EPOCH)),
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

/// The roster at its addresses, by the same policy as in a round that is served. Of a name with several those where nobody listens
/// are silent ones.
fn admitted(contest: &Contest, names: &Names, trust: &ContestTrust) -> Result<Vec<ContestantPlan>, Failed> {
    let mut found: Vec<Vec<SocketAddr>> = Vec::with_capacity(contest.contestants.len());
    for Contestant { name, endpoint } in &contest.contestants {
        let Found { addresses, unused } =
            admit(&contest.policy, names, endpoint, STUCK_AFTER).map_err(|denial| refused(name, &denial))?;
        if unused > 0 {
            eprintln!("flowtest-loadgen: {name}: {}", too_many(&endpoint.host, unused));
        }
        found.push(addresses);
    }
    let theirs = contest.contestants.iter().zip(&found);
    let theirs = theirs.map(|(one, addresses)| (one.name.as_str(), addresses.as_slice()));
    contest.policy.judge_shared(theirs).map_err(|error| Failed::Usage(error.to_string()))?;
    proved(contest, names, trust)?;
    let several = found.iter().filter(|addresses| addresses.len() > 1).flatten().copied();
    let silent = silent(&several.collect::<Vec<_>>());
    let plan = |(one, addresses): (&Contestant, Vec<SocketAddr>)| {
        let Contestant { name, endpoint } = one;
        let (left_out, told) = left_out(endpoint, &addresses, &silent);
        // Nobody there says whose they are.
        let is_unproved = contest.policy.ownership.is_asked_for();
        if let Some(told) = told {
            let then = match is_unproved {
                true => "these get no request, since whose they are can be asked nobody there",
                false => {
                    "each gets one probe a second, and its part of the requests after three answers with the right token"
                }
            };
            eprintln!("flowtest-loadgen: {name}: {told}: {then}");
        }
        let tls = trust.of(contest.policy.tls).server(endpoint)?;
        let target = |address| Target { is_silent: left_out.contains(&address), ..Target::new(address) };
        let targets = addresses.into_iter().map(target).filter(|target| !(is_unproved && target.is_silent)).collect();
        Ok(contestant_plan(name.clone(), endpoint, tls, targets, TrafficMode::Flood))
    };
    contest.contestants.iter().zip(found).map(plan).collect()
}

/// Refuses a contest that asks for proof when a server says that it is another's, or nobody's.
fn proved(contest: &Contest, names: &Names, trust: &ContestTrust) -> Result<(), Failed> {
    if !contest.policy.ownership.is_asked_for() {
        return Ok(());
    }
    let candidates: Vec<Candidate<'_>> = contest
        .contestants
        .iter()
        .map(|Contestant { name, endpoint }| Candidate {
            team: Candidate::team(&contest.policy, name),
            ..Candidate::new(name, endpoint)
        })
        .collect();
    // Whose it is is asked, and nothing else: what its answers are worth is the round's matter.
    let terms = Terms { tokens: 1, ..Terms::new(contest.rules, Deadlines::default()) };
    let by = CheckedBy { names, policy: &contest.policy, trust, terms: &terms };
    let checked = check(&candidates, by, PROOF_TIMEOUT);
    for (candidate, checked) in candidates.iter().zip(checked) {
        if let Some(message) = checked.outcome.ok().and_then(|report| report.disowned()) {
            return Err(Failed::Message(format!("{}: {message}", candidate.name)));
        }
    }
    Ok(())
}

/// A name that does not resolve now is no fault of the file.
fn refused(name: &str, denial: &Denial) -> Failed {
    let message = format!("{name}: {denial}");
    if matches!(denial, Denial::Resolve(_)) { Failed::Message(message) } else { Failed::Usage(message) }
}

/// When the first phase starts.
fn start(contest: &Contest, clock: Clock, head_start: Duration) -> Result<RunInstant, Failed> {
    let earliest = clock.after(head_start);
    let Start::At(utc) = contest.start else { return Ok(earliest) };
    let ns = utc.checked_since(clock.utc_base).and_then(|us| us.checked_mul(NS_PER_US));
    ns.map(RunInstant::from_ns).filter(|at| *at >= earliest).ok_or_else(|| {
        Failed::Usage("the contest's start has passed: write a later one, or start = \"now\"".to_owned())
    })
}

fn make_plan(
    contest: &Contest,
    contestants: Vec<ContestantPlan>,
    workers: usize,
    clock: Clock,
    head_start: Duration,
) -> Result<Plan, Failed> {
    let start = start(contest, clock, head_start)?;
    let schedule = Schedule::steady(contest.deadlines(clock.utc_us(start)));
    let phases = phases(contest, Schedule::before_pauses(start));
    Ok(contest_plan(contest.rules, schedule, &clock, phases, contestants, workers))
}
