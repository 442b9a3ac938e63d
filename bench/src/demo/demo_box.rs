//! The demo's box: every process of it, and the people who use the dashboard.

use super::Options;
use crate::contest_box::certificate::Dates;
use crate::contest_box::contest::Phase;
use crate::contest_box::people::Arming;
use crate::contest_box::target::Injected;
use crate::contest_box::{
    Admin, Certificate, ContestFile, Dashboard, Generator, Journal, Outcome, Redis, Target, Team,
};
use crate::error::{Error, Result};
use flowtest_contest::names::HOUSE;
use flowtest_contract::Rules;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Name of the contest, and so of its keys in Redis.
pub(super) const CONTEST: &str = "demo";
/// From the last preparation to the first request: a round is armed at least 5 s ahead, and settings, endpoints and
/// arming take their time before that.
pub(super) const LEAD: Duration = Duration::from_secs(10);
/// Shorter than the contest's default, so that a short demo has time outside it.
const GRACE: Duration = Duration::from_secs(1);
/// The organiser's account.
const ADMIN: &str = "organiser";
/// Who plays, as the board shows them, and what goes wrong with them. No `stale_*`: around a deadline that costs nothing,
/// so no count of it says what it cost. Primes where another fault would shadow it: the first listed wins.
const TEAMS: [(&str, &str, &str); 3] = [
    ("alice", "Alice & Co", "none"),
    ("bob", "Bob's Burgers", "wrong_token:5,status:41=503"),
    ("carol", "Carol <3", "missing_version:4,missing_from:7,garbage:59,reset:53"),
];
/// Who plays over https.
const OVER_TLS: &str = "bob";
/// How the generator calls itself.
const GENERATOR: &str = "box";
/// How often it is looked whether the round is sealed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The processes, in the order in which they end.
#[derive(Debug)]
pub(super) struct DemoBox {
    generator: Option<Generator>,
    targets: Vec<Target>,
    /// Of whoever plays over https; the generator trusts it.
    certificate: Certificate,
    dashboard: Dashboard,
    redis: Redis,
    pub(super) journal: Journal,
    admin: Admin,
    teams: Vec<Team>,
    password: String,
    contest: ContestFile,
    timetable: Timetable,
    data: PathBuf,
}

impl DemoBox {
    /// Redis, dashboard and generator run; an organiser and three teams have accounts.
    pub(super) fn open(folder: &Path) -> Result<DemoBox> {
        let data = folder.join("redis");
        let redis = Redis::start(&data)?;
        let dashboard = Dashboard::start(folder, &redis.url(), CONTEST)?;
        let journal = Journal::in_folder(folder);
        let certificate = Certificate::make(folder, OVER_TLS, &["127.0.0.1", "localhost"], Dates::Now)?;
        let trusted = ["--ca", &certificate.path()];
        let generator = Generator::serve(CONTEST, &redis.url(), GENERATOR, &journal, folder, &trusted)?;
        let password = draw_password()?;
        dashboard.create_admin(ADMIN, &password)?;
        let invitations = dashboard.invite(TEAMS.len())?;
        let admin = Admin::sign_in(dashboard.visitor(), ADMIN, &password)?;
        let teams = TEAMS.iter().zip(&invitations).map(|((name, display_name, _), invitation)| {
            Team::register(dashboard.visitor(), invitation, name, display_name, &password)
        });
        let teams = teams.collect::<Result<Vec<Team>>>()?;
        let phase = Phase { length: Duration::ZERO, rate: None, connections: 1, pipeline: 1 };
        Ok(DemoBox {
            generator: Some(generator),
            targets: Vec::new(),
            certificate,
            dashboard,
            redis,
            journal,
            admin,
            teams,
            password,
            contest: ContestFile::new(CONTEST, phase),
            timetable: Timetable::starting_in(LEAD, Duration::ZERO),
            data,
        })
    }

    /// What there is to look at, and how to sign in.
    pub(super) fn welcome(&self) -> String {
        let teams: Vec<&str> = TEAMS.iter().map(|(name, _, _)| *name).collect();
        format!(
            "\n  Look at it while it runs:  {}\n\n    organiser  {ADMIN}\n    teams      {}\n    password   {}  (for all of them)\n\n\
             Redis for this demo: {} (data in {})",
            self.dashboard.url(),
            teams.join(", "),
            self.password,
            self.redis.url(),
            self.data.display()
        )
    }

    /// Contestants start and register where they are; the organiser saves the settings and arms the round.
    pub(super) fn arm(&mut self, options: &Options) -> Result<()> {
        self.timetable = Timetable::starting_in(LEAD, options.length);
        self.start_targets()?;
        let phase = Phase {
            length: options.length,
            rate: Some(options.rate),
            connections: options.connections.into(),
            pipeline: 1,
        };
        let mut contest = ContestFile::new(CONTEST, phase);
        contest.version_deadline = Some(self.timetable.deadline_of_version());
        contest.from_deadline = Some(self.timetable.deadline_of_from());
        contest.grace = GRACE;
        self.admin.save(&contest, Some(&self.endpoint_of(HOUSE)))?;
        for team in &self.teams {
            team.set_endpoint(&self.endpoint_of(&team.name))?;
        }
        self.contest = contest;
        self.admin.arm(&Arming { start: &self.timetable.at(Duration::ZERO), scored: true })
    }

    fn start_targets(&mut self) -> Result<()> {
        let version = format!("v1,v2@{}", self.timetable.at(self.timetable.deadline_of_version()));
        let from = format!("EC2,ECS@{}", self.timetable.at(self.timetable.deadline_of_from()));
        let everybody = TEAMS.iter().map(|(name, _, faults)| (*name, *faults)).chain([(HOUSE, "none")]);
        let sealed = self.certificate.flags();
        let targets = everybody.map(|(name, faults)| {
            let mut flags = vec!["--version", &version, "--from", &from, "--faults", faults];
            if name == OVER_TLS {
                flags.extend(sealed.iter().map(String::as_str));
            }
            Target::start(name, &flags)
        });
        self.targets = targets.collect::<Result<Vec<Target>>>()?;
        Ok(())
    }

    fn endpoint_of(&self, name: &str) -> String {
        let target = self.targets.iter().find(|target| target.name == name);
        target.map(|target| target.endpoint.clone()).expect("everybody has a target")
    }

    pub(super) fn redis_url(&self) -> String {
        self.redis.url()
    }

    pub(super) fn dashboard_url(&self) -> &str {
        self.dashboard.url()
    }

    pub(super) fn title(&self) -> String {
        self.timetable.title()
    }

    pub(super) fn rules(&self) -> Rules {
        Rules {
            timeout_us: self.contest.timeout.as_micros() as u64,
            grace_us: self.contest.grace.as_micros() as u64,
            ..Rules::default()
        }
    }

    /// An error that names whoever has ended.
    pub(super) fn all_alive(&mut self) -> Result<()> {
        let ended = |name: &str, words: &str| {
            Err(Error::Other(format!("{name} ended in the middle of the contest; its last words: {words}")))
        };
        if !self.redis.is_running() {
            return ended("redis-server", "(none)");
        }
        if !self.dashboard.is_running() {
            return ended("the dashboard", &self.dashboard.last_words());
        }
        if let Some(generator) = &mut self.generator
            && !generator.is_running()
        {
            return ended("the generator", &generator.last_words());
        }
        match self.targets.iter_mut().find_map(|target| (!target.is_running()).then_some(&*target)) {
            Some(target) => ended(&target.name, &target.last_words()),
            None => Ok(()),
        }
    }

    pub(super) fn last_words(&self) -> String {
        let generator = self.generator.as_ref().map_or_else(String::new, Generator::last_words);
        format!("generator: {generator}; dashboard: {}", self.dashboard.last_words())
    }

    /// Stops the generator in order, and says what it counted.
    pub(super) fn end_generator(&mut self) -> Result<Outcome> {
        let outcome = self.generator.take().expect("it is ended once").stop()?;
        if !outcome.is_whole() {
            return Err(Error::Other(format!("the generator failed: {}", outcome.said.trim())));
        }
        Ok(outcome)
    }

    /// How many of each fault every contestant injected. Ask when nothing is in flight.
    pub(super) fn injected(&self) -> Result<Vec<(String, Injected)>> {
        self.targets.iter().map(|target| Ok((target.name.clone(), target.injected()?))).collect()
    }

    /// The points that the dashboard shows of the sealed round, by name. Its page may be a moment behind Redis.
    pub(super) fn sealed_pages(&self, within: Duration) -> Result<BTreeMap<String, i128>> {
        let until = Instant::now() + within;
        loop {
            let page = self.admin.visitor.json("/api/standings")?;
            if page["round"]["state"] == "sealed" {
                let lines = page["standings"].as_array().into_iter().flatten();
                let points = lines
                    .filter_map(|line| Some((line["name"].as_str()?.to_owned(), i128::from(line["points"].as_i64()?))));
                return Ok(points.collect());
            }
            if Instant::now() >= until {
                return Err(Error::Other(format!("the dashboard did not seal the round: {}", page["round"])));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Stops everything in order.
    pub(super) fn close(mut self) -> Result<()> {
        for target in self.targets {
            target.stop()?;
        }
        self.dashboard.stop()?;
        self.redis.stop()
    }
}

/// A password that nobody else knows and everybody can type.
fn draw_password() -> Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| Error::Other(format!("no random bytes: {error}")))?;
    let letters: Vec<char> = bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    Ok(letters.chunks(4).map(String::from_iter).collect::<Vec<_>>().join("-"))
}

/// When things happen, as absolute times, so that no two processes differ by how long they took to start.
#[derive(Debug)]
struct Timetable {
    start: jiff::Timestamp,
    length: Duration,
}

impl Timetable {
    fn starting_in(lead: Duration, length: Duration) -> Timetable {
        Timetable { start: jiff::Timestamp::now() + lead, length }
    }

    fn deadline_of_version(&self) -> Duration {
        whole_ms(self.length / 3)
    }

    fn deadline_of_from(&self) -> Duration {
        whole_ms(self.length * 2 / 3)
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

/// The settings count deadlines in milliseconds after the start, and so do the contestants.
fn whole_ms(time: Duration) -> Duration {
    Duration::from_millis(time.as_millis() as u64)
}
