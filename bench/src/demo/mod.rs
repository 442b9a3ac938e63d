//! The contest in a box, for people: a real Redis, four contestants, one generator, standings that rise.
//!
//! Alice is honest, Bob and Carol are flawed on purpose, the house runs our reference server: if it loses points, the
//! platform did it. `Version` flips at a third of the time and `From` at two thirds. At the end each counter that
//! Redis holds is compared with what the contestant's faults must have made of it, with the generator's own sums, and by
//! an audit with the journal, in which every exchange is judged again.

mod table;

use crate::child::build_folder;
use crate::contest_box::contest::Phase;
use crate::contest_box::target::{Injected, differences};
use crate::contest_box::{Board, ContestFile, Generator, Journal, Outcome, Redis, Target};
use crate::error::{Error, Result};
use flowtest_contract::{Rules, Tally};
use flowtest_scoreboard::standings::Standing;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use table::{Screen, thousands};

/// Name of the contest, and so of its keys in Redis.
const CONTEST: &str = "demo";
/// Who plays, and what goes wrong with them. No `stale_*`: around a deadline that costs nothing, so no count of it
/// says what it cost. Primes where another fault would shadow it: the first listed wins.
const CONTESTANTS: [(&str, &str); 4] = [
    ("alice", "none"),
    ("bob", "wrong_token:5,status:41=503"),
    ("carol", "missing_version:4,missing_from:7,garbage:59,reset:53"),
    ("house", "none"),
];
/// Shorter than the contest's default, so that a short demo has time outside it.
const GRACE: Duration = Duration::from_secs(1);
/// From starting the generator to the first request; everybody knows the deadlines as absolute times.
const LEAD: Duration = Duration::from_secs(3);
/// How often the table is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(500);
/// How long the generator may take to drain and publish after the last phase.
const DRAIN: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How long the contest runs.
    #[arg(long = "for", default_value = "30s", value_parser = length)]
    pub length: Duration,
    /// Requests per second of each contestant.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: u64,
    /// Most connections of each contestant.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,
    /// Keep the folder with Redis's data and the contest file, and say where it is.
    #[arg(long)]
    pub keep: bool,
}

fn length(text: &str) -> std::result::Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| format!("{error}; say 30s or 2m"))?;
    if !(Duration::from_secs(1)..=Duration::from_secs(24 * 3600)).contains(&length) {
        return Err("a demo runs from 1s to 24h".into());
    }
    Ok(length)
}

/// How a demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every number is the computed one.
    Exact,
    /// At least one differs.
    Differs,
    /// Somebody stopped it.
    Stopped,
}

pub fn run(options: &Options, stopped: &dyn Fn() -> bool) -> Result<Verdict> {
    let folder = Folder::new(options.keep)?;
    let mut screen = Screen::new();
    // Dropped in reverse order, whatever happens: the generator, the contestants, Redis.
    let redis_folder = folder.path().join("redis");
    std::fs::create_dir(&redis_folder).map_err(Error::io("making Redis's folder"))?;
    let mut redis = Redis::start(&redis_folder)?;
    println!("Redis for this demo: {} (data in {})", redis.url(), redis_folder.display());
    let plan = Timetable::starting_in(LEAD, options.length);
    let mut targets = start_targets(&plan)?;
    let contest = contest_file(options, &plan, &targets);
    let path = folder.path().join("contest.toml");
    contest.write(&path)?;
    let journal = Journal::in_folder(folder.path());
    let [flag, journal_folder] = journal.flags();
    let flags = ["--quiet", &flag, &journal_folder];
    let mut generator = Generator::run(&path, Some(&redis.url()), folder.path(), &flags)?;
    let rules = rules(&contest);
    let mut board = Board::connect(&redis.url(), CONTEST)?;
    let until = Instant::now() + LEAD + options.length + DRAIN;
    while generator.is_running() && !stopped() && Instant::now() < until {
        all_alive(&mut redis, &mut targets)?;
        // A read that fails shows nothing new; whether Redis lives is asked above.
        if let Ok(standings) = board.standings(&rules) {
            screen.show(&plan.title(), &standings);
        }
        std::thread::sleep(DRAW_EVERY);
    }
    let outcome = generator.wait_while(until.saturating_duration_since(Instant::now()), || !stopped())?;
    let standings = board.standings(&rules)?;
    screen.finish("Final standings, from what Redis holds", &standings);
    if !matches!(outcome.exit_code, Some(0 | 3)) {
        return Err(Error::Other(format!("the generator failed: {}", outcome.said.trim())));
    }
    let mut exact = true;
    for target in &targets {
        exact &= account(&target.name, &target.injected()?, &standings, &rules);
    }
    exact &= same_sums(&outcome, &standings)?;
    exact &= proved(&journal, &redis)?;
    for target in targets {
        target.stop()?;
    }
    redis.stop()?;
    folder.say_if_kept();
    Ok(match (stopped(), exact) {
        (true, _) => Verdict::Stopped,
        (false, true) => Verdict::Exact,
        (false, false) => Verdict::Differs,
    })
}

/// When things happen, as absolute times, so that no two processes differ by how long they took to start.
struct Timetable {
    start: jiff::Timestamp,
    length: Duration,
}

impl Timetable {
    fn starting_in(lead: Duration, length: Duration) -> Timetable {
        Timetable { start: jiff::Timestamp::now() + lead, length }
    }

    fn deadline_of_version(&self) -> Duration {
        self.length / 3
    }

    fn deadline_of_from(&self) -> Duration {
        self.length * 2 / 3
    }

    fn at(&self, after_start: Duration) -> String {
        format!("{:.6}", self.start + after_start)
    }

    fn title(&self) -> String {
        let now = jiff::Timestamp::now().duration_since(self.start).as_secs_f64();
        let length = self.length.as_secs_f64();
        if now < 0.0 {
            return format!("starts in {:.0} s", -now);
        }
        let version = if now < self.deadline_of_version().as_secs_f64() { "v1" } else { "v2" };
        let from = if now < self.deadline_of_from().as_secs_f64() { "EC2" } else { "ECS" };
        format!("{:>4.0} of {length:.0} s, Version {version}, From {from}", now.min(length))
    }
}

fn start_targets(plan: &Timetable) -> Result<Vec<Target>> {
    let version = format!("v1,v2@{}", plan.at(plan.deadline_of_version()));
    let from = format!("EC2,ECS@{}", plan.at(plan.deadline_of_from()));
    CONTESTANTS
        .iter()
        .map(|(name, faults)| Target::start(name, &["--version", &version, "--from", &from, "--faults", faults]))
        .collect()
}

fn contest_file(options: &Options, plan: &Timetable, targets: &[Target]) -> ContestFile {
    let phase = Phase {
        length: options.length,
        rate: Some(options.rate),
        connections: options.connections.into(),
        pipeline: 1,
    };
    let mut contest = ContestFile::new(CONTEST, phase);
    contest.start = plan.at(Duration::ZERO);
    contest.version_deadline = Some(plan.deadline_of_version());
    contest.from_deadline = Some(plan.deadline_of_from());
    contest.grace = GRACE;
    targets.iter().fold(contest, |contest, target| contest.with(&target.name, &target.endpoint))
}

fn rules(contest: &ContestFile) -> Rules {
    Rules {
        timeout_us: contest.timeout.as_micros() as u64,
        grace_us: contest.grace.as_micros() as u64,
        ..Rules::default()
    }
}

fn all_alive(redis: &mut Redis, targets: &mut [Target]) -> Result<()> {
    if !redis.is_running() {
        return Err(Error::Other("redis-server ended in the middle of the contest".into()));
    }
    match targets.iter_mut().find_map(|target| (!target.is_running()).then_some(&*target)) {
        Some(target) => Err(Error::Other(format!(
            "{} ended in the middle of the contest; its last words: {}",
            target.name,
            target.last_words()
        ))),
        None => Ok(()),
    }
}

/// Tells what a contestant's faults cost, and whether Redis agrees to the last counter.
fn account(name: &str, injected: &Injected, standings: &[Standing], rules: &Rules) -> bool {
    let Some(standing) = standings.iter().find(|standing| standing.name == name) else {
        println!("{name:>6}: not in Redis");
        return false;
    };
    let tally = &standing.row.tally;
    let perfect = i128::from(tally.due) * rules.exchange_points();
    let cost = injected.cost(rules);
    let mut wrong = differences(tally, &injected.expected(tally.due));
    if perfect - cost != standing.points {
        wrong.push(format!("the score is {} and should be {}", thousands(standing.points), thousands(perfect - cost)));
    }
    let faults: Vec<String> = injected.0.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let faults = if faults.is_empty() { "no faults".into() } else { faults.join(", ") };
    let word = if wrong.is_empty() { "exact".into() } else { format!("DIFFERS: {}", wrong.join("; ")) };
    println!(
        "{name:>6}: {} requests × {} − {} for {faults} = {}: {word}",
        tally.due,
        rules.exchange_points(),
        thousands(cost),
        thousands(perfect - cost)
    );
    wrong.is_empty()
}

/// Whether Redis holds what the generator itself counted.
fn same_sums(outcome: &Outcome, standings: &[Standing]) -> Result<bool> {
    let counted = outcome.tallies()?;
    let held: BTreeMap<String, Tally> =
        standings.iter().map(|standing| (standing.name.clone(), Tally { sent: 0, ..standing.row.tally })).collect();
    let same = counted == held;
    let word = if same { "equal".into() } else { format!("DIFFERENT: {counted:?} and {held:?}") };
    println!("Redis and the generator's own sums: {word}");
    Ok(same)
}

/// Whether every point can be proved: the audit judges each exchange again and compares with the journal and Redis.
fn proved(journal: &Journal, redis: &Redis) -> Result<bool> {
    let audit = journal.audit_shown(&redis.url())?;
    println!("\nThe audit judges every exchange again, from the journal alone:\n{}", audit.stdout.trim_end());
    if !audit.status.success() {
        println!("{}", audit.stderr.trim_end());
    }
    Ok(audit.status.success())
}

/// Where the demo keeps its files: under the build folder, removed at the end unless somebody wants it.
struct Folder {
    folder: Option<tempfile::TempDir>,
    kept: PathBuf,
}

impl Folder {
    fn new(keep: bool) -> Result<Folder> {
        let parent = build_folder().parent().map_or_else(std::env::temp_dir, |build| build.join("demo"));
        std::fs::create_dir_all(&parent).map_err(Error::io(format!("making {}", parent.display())))?;
        let folder = tempfile::Builder::new()
            .prefix("contest-")
            .tempdir_in(&parent)
            .map_err(Error::io(format!("making a folder in {}", parent.display())))?;
        Ok(if keep {
            Folder { kept: folder.keep(), folder: None }
        } else {
            Folder { kept: folder.path().to_path_buf(), folder: Some(folder) }
        })
    }

    fn path(&self) -> &Path {
        &self.kept
    }

    fn say_if_kept(&self) {
        if self.folder.is_none() {
            println!("kept: {}", self.kept.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_scoreboard::row::Row;
    use flowtest_scoreboard::standings::standings;

    fn board(tally: Tally) -> Vec<Standing> {
        let row = Row { tally, ..Row::default() };
        standings(&BTreeMap::from([("bob".to_owned(), row)]), &Rules::default())
    }

    #[test]
    fn one_point_that_no_fault_explains_is_a_difference() {
        let injected = Injected(BTreeMap::from([("wrong_token".to_owned(), 2)]));
        let exact =
            Tally { due: 9, token_right: 7, token_wrong: 2, version_right: 9, from_right: 9, ..Tally::default() };
        assert!(account("bob", &injected, &board(exact), &Rules::default()));
        let lost = Tally { token_right: 6, token_wrong: 3, ..exact };
        assert!(!account("bob", &injected, &board(lost), &Rules::default()));
        let gained = Tally { token_right: 8, token_wrong: 1, ..exact };
        assert!(!account("bob", &injected, &board(gained), &Rules::default()));
        assert!(!account("carol", &injected, &board(exact), &Rules::default()), "who is not in Redis is not exact");
    }
}
