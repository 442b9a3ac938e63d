//! A generator that our own machine starves costs nobody a point and gives nobody one: whatever it cannot judge counts for
//! nobody, alike for all, and the journal proves it.

use crate::stage::Stage;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::{ContestFile, Generator, Journal};
use flowtest_testkit::is_long;
use rustix::process::Signal;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(120);
const CONTESTANTS: u64 = 100;
const RATE: u64 = 100;
const CONNECTIONS: usize = 4;
const LENGTH: Duration = Duration::from_secs(4);
/// The plan begins a second after the program, so that its journal is there.
const BEGINS: Duration = Duration::from_millis(1_600);

/// How the generator is starved.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    /// Its control group gets so many milliseconds in so many.
    Quota(u32, u32),
    /// So many others spin on its core.
    Spinners(u32),
    /// Stopped for so many milliseconds, then let go on for so many, and again.
    Train(u64, u64),
    /// Stopped once, for so many milliseconds.
    Stop(u64),
    /// Moved to another core every so many milliseconds.
    Swap(u64),
}

const PATTERNS: [Pattern; 10] = [
    Pattern::Quota(2, 40),
    Pattern::Stop(4_000),
    Pattern::Train(200, 800),
    Pattern::Quota(1, 20),
    Pattern::Quota(10, 100),
    Pattern::Spinners(15),
    Pattern::Spinners(3),
    Pattern::Train(30, 10),
    Pattern::Stop(1_600),
    Pattern::Swap(300),
];
/// So many of them in every test run: many short absences, and a long one.
const FEW: usize = 2;

/// What the pattern holds while the generator plays.
struct Starving {
    spinners: Vec<Child>,
    group: Option<PathBuf>,
}

impl Drop for Starving {
    fn drop(&mut self) {
        for spinner in &mut self.spinners {
            let _ = spinner.kill();
            let _ = spinner.wait();
        }
        if let Some(group) = &self.group {
            let _ = std::fs::remove_dir(group);
        }
    }
}

impl Pattern {
    /// `None`: this machine cannot do that to it.
    fn begin(self, generator: &Generator) -> Option<Starving> {
        let mut starving = Starving { spinners: Vec::new(), group: None };
        match self {
            Pattern::Quota(ms, of_ms) => {
                // Where there are no groups it is stopped and let go on instead.
                starving.group = [Groups::V1, Groups::V2].iter().find_map(|groups| groups.limit(generator, ms, of_ms));
            }
            Pattern::Spinners(count) => {
                for _ in 0..count {
                    let spin = ["-c", "0", "sh", "-c", "while :; do :; done"];
                    let spinner = Command::new("taskset").args(spin).stdout(Stdio::null()).spawn().ok()?;
                    starving.spinners.push(spinner);
                }
            }
            Pattern::Train(..) | Pattern::Stop(_) | Pattern::Swap(_) => {}
        }
        Some(starving)
    }

    /// What is done to it again and again until it ends.
    fn go_on(self, generator: &mut Generator, starving: &Starving) {
        std::thread::sleep(BEGINS);
        let mut core = 1;
        let stop = |generator: &Generator, ms: u64| {
            generator.signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(ms));
            generator.signal(Signal::CONT);
        };
        match self {
            Pattern::Stop(ms) => stop(generator, ms),
            Pattern::Train(ms, pause_ms) => {
                while generator.is_running() {
                    stop(generator, ms);
                    std::thread::sleep(Duration::from_millis(pause_ms));
                }
            }
            Pattern::Swap(ms) => {
                while generator.is_running() {
                    let to = [String::from("-acp"), core.to_string(), generator.id().to_string()];
                    let _ = Command::new("taskset").args(to).stdout(Stdio::null()).stderr(Stdio::null()).status();
                    core = 1 - core;
                    std::thread::sleep(Duration::from_millis(ms));
                }
            }
            Pattern::Quota(ms, of_ms) if starving.group.is_none() => {
                println!("{self:?}: without control groups, by stopping it");
                while generator.is_running() {
                    stop(generator, u64::from(of_ms - ms));
                    std::thread::sleep(Duration::from_millis(ms.into()));
                }
            }
            Pattern::Quota(..) | Pattern::Spinners(_) => {}
        }
    }

    /// Seconds of four that cannot be valid by it, at least.
    fn spoils(self) -> u64 {
        match self {
            Pattern::Quota(..) | Pattern::Train(..) | Pattern::Stop(4_000..) => 3,
            Pattern::Stop(_) => 2,
            // What that does to it is the machine's to say.
            Pattern::Spinners(_) | Pattern::Swap(_) => 0,
        }
    }
}

/// The control groups of a kernel.
#[derive(Clone, Copy, Debug)]
enum Groups {
    V1,
    V2,
}

impl Groups {
    /// Puts the generator into a group of its own that has so much of a core; where that is. `None`: it cannot be done here.
    fn limit(self, generator: &Generator, ms: u32, of_ms: u32) -> Option<PathBuf> {
        let root = match self {
            Groups::V1 => "/sys/fs/cgroup/cpu",
            Groups::V2 => "/sys/fs/cgroup",
        };
        let (quota, period) = (ms * 1_000, of_ms * 1_000);
        let limits = match self {
            Groups::V1 => vec![("cpu.cfs_period_us", period.to_string()), ("cpu.cfs_quota_us", quota.to_string())],
            Groups::V2 => vec![("cpu.max", format!("{quota} {period}"))],
        };
        let group = PathBuf::from(root).join(format!("flowtest-starved-{}", generator.id()));
        std::fs::create_dir(&group).ok()?;
        let set = |file: &str, value: &str| std::fs::write(group.join(file), value).is_ok();
        let is_limited = limits.iter().all(|(file, value)| group.join(file).exists() && set(file, value));
        if is_limited && set("cgroup.procs", &generator.id().to_string()) {
            return Some(group);
        }
        let _ = std::fs::remove_dir(&group);
        None
    }
}

fn count(figures: &Value, path: &str) -> u64 {
    figures.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {figures}"))
}

/// Plays a hundred honest contestants; all of them are one target of ours, under addresses of their own.
fn play(pattern: Pattern) {
    let stage = Stage::new().contestant("honest", &["--listen", "0.0.0.0:0", "--cores", "1"]);
    let port = stage.target("honest").endpoint.rsplit(':').next().expect("a port").to_owned();
    let phase = Phase { length: LENGTH, rate: Some(RATE), connections: CONNECTIONS, pipeline: 1 };
    let contest = (0..CONTESTANTS).fold(ContestFile::new("starved", phase), |contest, number| {
        contest.with(&format!("c{number:03}"), &format!("127.0.7.{}:{port}", number + 1))
    });
    let path = stage.folder().join("contest.toml");
    contest.write(&path).expect("it is written");
    let journal = Journal::in_folder(stage.folder());
    let [flag, folder] = journal.flags();
    let flags = ["--quiet", "--cores", "0", &flag, &folder];
    let mut generator = Generator::run(&path, None, stage.folder(), &flags).unwrap_or_else(|error| panic!("{error}"));
    let Some(starving) = pattern.begin(&generator) else {
        println!("{pattern:?}: skipped, this machine cannot do it");
        return;
    };
    pattern.go_on(&mut generator, &starving);
    let outcome = generator.wait(TIMEOUT).unwrap_or_else(|error| panic!("{error}"));
    drop(starving);
    let figures = &outcome.json;
    let (due, void) = (count(figures, "/requests"), count(figures, "/failed/own_fault"));
    assert_eq!(due, CONTESTANTS * RATE * LENGTH.as_secs(), "{pattern:?}: {figures}");
    let (seconds, valid) = (count(figures, "/seconds"), count(figures, "/valid_seconds"));
    assert_eq!(seconds, LENGTH.as_secs(), "{pattern:?}: {figures}");
    assert!(seconds - valid >= pattern.spoils(), "{pattern:?}: {valid} of {seconds} are valid: {figures}");
    assert_eq!(figures["valid"], outcome.exit_code == Some(0), "{pattern:?}: {figures}");
    let points = figures["points"].as_i64().expect("points");
    assert_eq!(points, 200 * (due - void) as i64, "{pattern:?} cost somebody points: {figures}");
    let each: Vec<u64> = figures["contestants"]
        .as_array()
        .expect("contestants")
        .iter()
        .map(|contestant| count(contestant, "/failed/own_fault"))
        .collect();
    let (least, most) = (each.iter().min().expect("a hundred"), each.iter().max().expect("a hundred"));
    assert!(most - least <= 5 + most / 20, "{pattern:?} is not alike for all: {each:?}");
    println!("{pattern:?}: {due} due, {void} void, {least} to {most} each, rate_ratio {}", figures["rate_ratio"]);
    let said = journal.audit(None).unwrap_or_else(|error| panic!("{pattern:?}: {error}"));
    assert_eq!(said.exit_code, Some(0), "{pattern:?}: {}", said.text);
    assert_eq!(said.json["proved"], 100.0, "{pattern:?}: {}", said.text);
}

#[test]
fn whoever_starves_the_generator_costs_nobody_a_point() {
    PATTERNS.into_iter().take(if is_long() { PATTERNS.len() } else { FEW }).for_each(play);
}
