//! A controller over a real database and a real Redis, with a clock that tests move by hand, so that a test's body is a script.

use crate::people;
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use flowtest_accounts::{Accounts, Actor, User};
use flowtest_contest::lifecycle::Change;
use flowtest_contest::{Control, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::utc_us;
use flowtest_contract::{RoundId, Row, StreamId, Tally};
use flowtest_dashboard::control::form::SettingsForm;
use flowtest_dashboard::control::settings::Settings;
use flowtest_dashboard::control::{Controller, Link, Made};
use flowtest_dashboard::live::clock::ContestClock;
use flowtest_scoreboard::{GeneratorHealth, Publisher, PublisherConfig, RedisAddress};
use flowtest_testkit::RedisServer;
use flowtest_testkit::documents::generator_health;
use std::sync::Arc;

pub(crate) const CONTEST: &str = "finals";
pub(crate) const SECOND: u64 = 1_000_000;

pub(crate) struct Stage {
    pub(crate) redis: RedisServer,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) controller: Controller,
    pub(crate) ada: User,
    pub(crate) bea: User,
    /// The clock of the test.
    pub(crate) now: UtcUs,
}

impl Stage {
    /// A controller with the admins ada and bea, a minute's plan, and leave for loopback addresses.
    pub(crate) async fn new() -> Stage {
        Stage::new_in(tempfile::tempdir().expect("a private folder")).await
    }

    /// The same with the database in this folder.
    pub(crate) async fn new_in(folder: tempfile::TempDir) -> Stage {
        let redis = RedisServer::start();
        let accounts = Accounts::open(folder.path().join("flowtest.db")).await.expect("a database");
        let now = utc_us();
        let (ada, bea) = (people::admin(&accounts, "ada", now).await, people::admin(&accounts, "bea", now).await);
        let controller = open(accounts.clone(), &redis).await;
        let stage = Stage { redis, folder, controller, ada, bea, now };
        let typed = SettingsForm { allow: "127.0.0.0/8".into(), ..SettingsForm::of(&Settings::default()) };
        let settings = typed.read().expect("settings");
        stage.controller.save_settings(None, settings, &stage.by(&stage.ada), now).await.expect("saved");
        stage
    }

    pub(crate) fn by(&self, user: &User) -> Actor {
        Actor::user(user, "127.0.0.1")
    }

    /// As after kill -9 and a start: nothing but the database and Redis is left.
    pub(crate) async fn reopen(&mut self) {
        let accounts = Accounts::open(self.folder.path().join("flowtest.db")).await.expect("the database");
        self.controller = open(accounts, &self.redis).await;
        self.turn().await;
    }

    /// A second dashboard on the same database.
    pub(crate) async fn second_controller(&self) -> Controller {
        let accounts = Accounts::open(self.folder.path().join("flowtest.db")).await.expect("the database");
        open(accounts, &self.redis).await
    }

    /// A dashboard on the same Redis whose database is another one.
    pub(crate) async fn with_another_database(&self) -> Controller {
        let accounts = Accounts::open(self.folder.path().join("another.db")).await.expect("a database");
        open(accounts, &self.redis).await
    }

    /// A dashboard on the same Redis whose database is a copy of ours, as of a machine that was cloned.
    pub(crate) async fn with_a_copy_of_the_database(&self) -> Controller {
        let path = self.folder.path().join("copy.db");
        let mut ours = SqliteConnection::establish(self.folder.path().join("flowtest.db").to_str().expect("a path"))
            .expect("the database");
        ours.batch_execute(&format!("VACUUM INTO '{}'", path.display())).expect("it is copied");
        open(Accounts::open(path).await.expect("a database"), &self.redis).await
    }

    /// As [`Stage::reopen`], on a machine with another address of its own; nothing has been done since the start.
    pub(crate) async fn reopen_at(&mut self, own: &str) {
        let accounts = Accounts::open(self.folder.path().join("flowtest.db")).await.expect("the database");
        let address = RedisAddress::new(&self.redis.url()).expect("an address");
        let (link, own) = (Link::start(address).expect("a thread"), vec![own.parse().expect("an address")]);
        let opened = Controller::open_beside(own, ContestClock::default(), CONTEST, accounts, link).await;
        self.controller = opened.expect("a controller");
    }

    /// Somebody else writes to the database, until what is returned is dropped.
    pub(crate) fn lock_database(&self) -> SqliteConnection {
        let path = self.folder.path().join("flowtest.db");
        let mut other = SqliteConnection::establish(path.to_str().expect("a path")).expect("the database");
        other.batch_execute("BEGIN IMMEDIATE").expect("the lock is free");
        other
    }

    /// A contestant with a server at a port of loopback.
    pub(crate) async fn contestant(&self, name: &str, port: u16) -> User {
        let user = people::contestant(self.controller.accounts(), name, self.now).await;
        if port > 0 {
            let by = self.by(&user);
            self.controller
                .set_endpoint(&user, &format!("127.0.0.1:{port}"), &by, self.now)
                .await
                .expect("an endpoint");
        }
        user
    }

    /// Redis forgets everything.
    pub(crate) fn flush(&self) {
        self.redis.command(&["FLUSHALL"]);
    }

    /// One full turn of the controller at the test's clock.
    pub(crate) async fn turn(&self) {
        self.controller.automation().turn(0, false, self.now).await;
    }

    pub(crate) async fn turn_at(&mut self, now: UtcUs) {
        self.now = now;
        self.turn().await;
    }

    pub(crate) fn control(&self) -> Arc<Control> {
        self.controller.control().expect("a document")
    }

    pub(crate) fn published(&self) -> Option<Control> {
        self.redis.scoreboard().read_control(CONTEST).expect("Redis answers")
    }

    pub(crate) async fn change(&self, change: Change) -> Made {
        self.controller.change(None, change, "A test.", &self.by(&self.ada), self.now).await.expect("it is changed")
    }

    /// A generator that is heard now.
    pub(crate) fn beat(&self, id: &str, change: impl FnOnce(&mut GeneratorHealth)) {
        let mut health = generator_health(id, self.now);
        change(&mut health);
        self.redis.scoreboard().write_health(CONTEST, &health).expect("Redis answers");
    }

    /// Arms a round that starts in ten seconds, with one generator.
    pub(crate) async fn arm(&self) -> RoundId {
        self.beat("g1", |_| ());
        let start = self.now + 10 * SECOND;
        let made =
            self.controller.arm(None, start, true, Vec::new(), &self.by(&self.ada), self.now).await.expect("armed");
        assert_eq!(made.control.split, ["g1"]);
        made.control.round.expect("a round")
    }

    /// What a generator does when a round starts.
    pub(crate) fn join(&self, round: RoundId, names: &[&str]) -> Publisher {
        self.redis.scoreboard().open_round(CONTEST, &round).expect("a round");
        let config = PublisherConfig {
            address: RedisAddress::new(&self.redis.url()).expect("an address"),
            contest: CONTEST.to_owned(),
            round,
            stream: StreamId::from_bits(u128::from(self.now.0) << 32 | u128::from(std::process::id())),
            contestants: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        Publisher::start(config).expect("a publisher")
    }

    /// Arms and plays a round until it drains: alice with 10 right answers, bob with 7.
    pub(crate) async fn play(&mut self) -> (RoundId, Publisher) {
        let round = self.arm().await;
        self.turn_at(self.now + 10 * SECOND).await;
        assert_eq!(self.control().state, State::Running);
        let publisher = self.join(round, &["alice", "bob"]);
        publisher.publish(1, rows(&[10, 7]));
        self.turn_at(self.now + 60 * SECOND).await;
        assert_eq!(self.control().state, State::Draining);
        (round, publisher)
    }

    /// The actions in the audit log, newest first.
    pub(crate) async fn audited(&self) -> Vec<(String, String)> {
        let lines = self.controller.accounts().audit_page(None, 100, Default::default()).await.expect("the log");
        lines.into_iter().map(|line| (line.by.name, line.action)).collect()
    }
}

/// As in [`Stage::new`], with the clock that it goes by.
pub(crate) async fn open_by(clock: ContestClock, accounts: Accounts, redis: &RedisServer) -> Controller {
    let address = RedisAddress::new(&redis.url()).expect("an address");
    let link = Link::start(address).expect("a thread");
    Controller::open_by(clock, CONTEST, accounts, link).await.expect("a controller")
}

async fn open(accounts: Accounts, redis: &RedisServer) -> Controller {
    let address = RedisAddress::new(&redis.url()).expect("an address");
    Controller::open(CONTEST, accounts, Link::start(address).expect("a thread")).await.expect("a controller")
}

/// Cumulative rows of contestants with so many right answers.
pub(crate) fn rows(right: &[u64]) -> Arc<[Row]> {
    right
        .iter()
        .map(|right| {
            let tally = Tally {
                due: *right,
                sent: *right,
                token_right: *right,
                version_right: *right,
                from_right: *right,
                ..Tally::default()
            };
            let mut row = Row { tally, ..Row::default() };
            (0..*right).for_each(|_| row.latency.record(100));
            row
        })
        .collect()
}
