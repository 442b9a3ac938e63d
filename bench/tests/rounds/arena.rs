//! Where rounds on a clock are played: a Redis, generators that serve, and who organises, so that a play is a script.

use crate::stage::Stage;
use flowtest_bench::child::{self, Child, Ended};
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::control_store::ControlStore;
use flowtest_bench::contest_box::people::Arming;
use flowtest_bench::contest_box::{Admin, ContestFile, Dashboard, Journal, Redis, Target, Team};
use flowtest_bench::error::Error;
use flowtest_contest::State;
use flowtest_contest::lifecycle::Change;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Rules, Tally, utc_us};
use flowtest_scoreboard::reader::RoundTotals;
use flowtest_testkit::{WAIT_MAX, wait_until_or};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

pub(crate) const SECOND: u64 = 1_000_000;
/// From arming to the start: the least that is allowed, and some time to get there.
pub(crate) const LEAD_US: u64 = 5_500_000;

/// Redis, generators that serve, and who organises.
pub(crate) struct Arena {
    pub(crate) stage: Stage,
    pub(crate) redis: Redis,
    pub(crate) control_store: ControlStore,
    pub(crate) generators: BTreeMap<String, Child>,
    pub(crate) hosts: PathBuf,
}

/// Of everybody whom a dashboard of an arena knows.
pub(crate) const PASSWORD: &str = "seven green lanterns";

impl Arena {
    /// From here on the document is a dashboard's, where alice plays at this endpoint; a scored round is armed for in a moment.
    pub(crate) fn hand_over(&mut self, phase: Phase, endpoint: &str) -> (Dashboard, Admin) {
        let mut connection =
            redis::Client::open(self.redis.url()).and_then(|client| client.get_connection()).expect("Redis is there");
        redis::cmd("DEL").arg("flowtest:{arena}:control").exec(&mut connection).expect("it is gone");
        self.control_store.control.revision = 0;
        let prepared = || {
            let dashboard = Dashboard::start(self.stage.folder(), &self.redis.url(), "arena")?;
            dashboard.create_admin("ada", PASSWORD)?;
            let admin = Admin::sign_in(dashboard.visitor(), "ada", PASSWORD)?;
            admin.save(&ContestFile::new("arena", phase), None)?;
            let invitation = dashboard.invite(1)?.remove(0);
            Team::register(dashboard.visitor(), &invitation, "alice", "Alice", PASSWORD)?.set_endpoint(endpoint)?;
            admin.arm(&Arming { start: "+8s", scored: true })?;
            Ok::<_, Error>((dashboard, admin))
        };
        prepared().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Opens a contest of one open phase; `generators` serve it.
    pub(crate) fn open(stage: Stage, names: &[&str], length: Duration, rate: u64, generators: &[&str]) -> Arena {
        let endpoints: Vec<(&str, String)> =
            names.iter().map(|name| (*name, stage.target(name).endpoint.clone())).collect();
        let phase = Phase { length, rate: Some(rate), connections: 12, pipeline: 1 };
        let contest = endpoints
            .iter()
            .fold(ContestFile::new("arena", phase), |contest, (name, endpoint)| contest.with(name, endpoint));
        Arena::of(stage, &contest, generators)
    }

    pub(crate) fn of(stage: Stage, contest: &ContestFile, generators: &[&str]) -> Arena {
        let redis = Redis::start(&stage.folder().join("redis")).unwrap_or_else(|error| panic!("{error}"));
        let control_store = ControlStore::open(&redis.url(), contest).unwrap_or_else(|error| panic!("{error}"));
        let hosts = stage.folder().join("hosts");
        std::fs::write(&hosts, "").expect("it is written");
        let mut arena = Arena { stage, redis, control_store, generators: BTreeMap::new(), hosts };
        for generator in generators {
            arena.serve(generator);
        }
        arena
    }

    pub(crate) fn journal(&self, generator: &str) -> Journal {
        Journal::in_folder(&self.stage.folder().join(generator))
    }

    pub(crate) fn serve(&mut self, generator: &str) {
        self.serve_with(generator, &[]);
    }

    /// A process that serves under a name, with a folder of its own for journals.
    pub(crate) fn process(&self, generator: &str, folder: &str, flags: &[&str]) -> Child {
        let command = self.command(&self.redis.url(), generator, folder, flags);
        Child::start(generator, &command).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What starts it, with this Redis.
    pub(crate) fn command(&self, redis: &str, generator: &str, folder: &str, flags: &[&str]) -> Command {
        std::fs::create_dir_all(self.stage.folder().join(folder)).expect("a folder");
        let mut command = child::sibling("flowtest-loadgen").unwrap_or_else(|error| panic!("{error}"));
        command.args(["serve", "--contest", "arena", "--redis", redis, "--id", generator]);
        command.args(self.journal(folder).flags()).arg("--hosts").arg(&self.hosts);
        let ceiling = self.stage.folder().join("ceiling.toml");
        std::fs::write(&ceiling, "[policy]\nallow = [\"127.0.0.0/8\"]\n").expect("it is written");
        command.arg("--policy").arg(ceiling).args(flags);
        command
    }

    pub(crate) fn serve_with(&mut self, generator: &str, flags: &[&str]) {
        self.serves(generator, self.process(generator, generator, flags));
    }

    /// Waits until it serves.
    pub(crate) fn serves(&mut self, generator: &str, mut child: Child) {
        child
            .wait_for("serves", WAIT_MAX, |line| line.contains("serves").then_some(()))
            .unwrap_or_else(|error| panic!("{error}"));
        self.generators.insert(generator.to_owned(), child);
    }

    pub(crate) fn arm(&mut self, generators: &[&str]) -> UtcUs {
        let start = utc_us() + LEAD_US;
        self.control_store.arm(start, generators).unwrap_or_else(|error| panic!("{error}"));
        start
    }

    pub(crate) fn make(&mut self, change: Change) {
        self.control_store.make(change).unwrap_or_else(|error| panic!("{error}"));
    }

    /// What Redis holds of the round; nothing before the first generator has joined it.
    pub(crate) fn read(&mut self) -> Option<RoundTotals> {
        let (contest, round) =
            (self.control_store.contest().to_owned(), self.control_store.control.round.expect("a round"));
        self.control_store.scoreboard().read_round(&contest, &round).ok()
    }

    /// Waits until Redis has sealed the round.
    pub(crate) fn sealed(&mut self) -> BTreeMap<String, Tally> {
        let totals = wait_until_or("the seal", || match self.read() {
            Some(totals) if totals.state == State::Sealed => Ok(totals),
            other => Err(format!("{other:?}; {}", self.last_words())),
        });
        assert_eq!(totals.junk, Vec::<String>::new());
        totals.contestants.into_iter().map(|(name, row)| (name, row.tally)).collect()
    }

    pub(crate) fn last_words(&self) -> String {
        self.generators.iter().map(|(name, child)| format!("{name}: {}\n", child.last_words())).collect()
    }

    /// What all of them said on their logs so far.
    pub(crate) fn logs(&self) -> String {
        self.generators.iter().map(|(name, child)| format!("{name}: {}\n", child.log())).collect()
    }

    /// The audit of all journals together finds nothing.
    pub(crate) fn assert_proved(&self, generators: &[&str]) {
        let audit = self.journals("audit", generators);
        assert_eq!(audit.status.code(), Some(0), "{}\n{}", audit.stdout, audit.stderr);
    }

    /// What `audit` or `rebuild` says of the journals of these.
    pub(crate) fn journals(&self, doing: &str, generators: &[&str]) -> Ended {
        let mut command = child::sibling("flowtest-loadgen").unwrap_or_else(|error| panic!("{error}"));
        command.arg(doing).args(["--redis", &self.redis.url(), "--journal"]);
        command.args(generators.iter().map(|generator| self.journal(generator).folder().to_owned()));
        let audit = Child::start(doing, &command).and_then(|child| child.wait(WAIT_MAX));
        audit.unwrap_or_else(|error| panic!("{error}"))
    }
}

pub(crate) fn sleep_until(utc: UtcUs) {
    std::thread::sleep(Duration::from_micros(utc.saturating_since(utc_us())));
}

/// How many requests with a token a target has got.
pub(crate) fn served(target: &Target) -> u64 {
    let health = target.healthz().unwrap_or_else(|error| panic!("{error}"));
    health["tokens"].as_u64().unwrap_or_else(|| panic!("no count in {health}"))
}

pub(crate) fn perfect(tallies: &BTreeMap<String, Tally>, due: u64) {
    for (name, tally) in tallies {
        assert_eq!(tally.due, due, "{name}: {tally:?}");
        assert_eq!(tally.points(&Rules::default()), i128::from(due) * 200, "{name}: {tally:?}");
    }
}
