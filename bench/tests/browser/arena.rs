//! What the browsers look at: the real dashboard with a real Redis, a generator that serves, honest contestants.
//!
//! An admin and teams without a browser do what a play does not look at.

use crate::browser::Browser;
use flowtest_bench::contest_box::contest::Phase;
use flowtest_bench::contest_box::people::Arming;
use flowtest_bench::contest_box::{Admin, Board, ContestFile, Dashboard, Generator, Journal, Redis, Target, Team};
use flowtest_bench::error::Result;
use flowtest_contest::names::HOUSE;
use flowtest_testkit::wait_until_or;
use serde_json::Value;
use std::time::Duration;

pub(crate) const CONTEST: &str = "arena";
pub(crate) const ADMIN: &str = "organiser";
pub(crate) const PASSWORD: &str = "seven green lanterns";

pub(crate) struct Arena {
    pub(crate) generator: Generator,
    pub(crate) targets: Vec<Target>,
    pub(crate) dashboard: Dashboard,
    pub(crate) redis: Redis,
    pub(crate) admin: Admin,
    _folder: tempfile::TempDir,
}

/// A thing of the box that must work; its sentence when it does not.
pub(crate) fn must<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

impl Arena {
    /// Redis, dashboard and generator run; loopback is allowed and the house plays.
    pub(crate) fn open(phase: Phase) -> Arena {
        let folder = tempfile::tempdir().expect("a folder of its own");
        let redis = must(Redis::start(&folder.path().join("redis")));
        let dashboard = must(Dashboard::start(folder.path(), &redis.url(), CONTEST));
        let journal = Journal::in_folder(folder.path());
        let generator = must(Generator::serve(CONTEST, &redis.url(), "box", &journal, folder.path(), &[]));
        must(dashboard.create_admin(ADMIN, PASSWORD));
        let admin = must(Admin::sign_in(dashboard.visitor(), ADMIN, PASSWORD));
        let house = must(Target::start(HOUSE, &[]));
        let mut contest = ContestFile::new(CONTEST, phase);
        contest.grace = Duration::from_secs(1);
        must(admin.save(&contest, Some(&house.endpoint)));
        Arena { generator, targets: vec![house], dashboard, redis, admin, _folder: folder }
    }

    /// A short round of an easy flood.
    pub(crate) fn short() -> Arena {
        Arena::open(phase(20))
    }

    /// Whoever holds more stands first, in phases as a contest file has them.
    pub(crate) fn climbs(&self, plan: &str) {
        let form = must(self.admin.visitor.open("/setting/contest").and_then(|page| page.form("/setting/contest")));
        let form = form.with("plan", plan).with("holds_first", "yes");
        let asked = must(self.admin.visitor.send(&form));
        let confirm = must(asked.form("/setting/contest")).with("confirm", "yes");
        must(self.admin.visitor.send(&confirm).and_then(|page| page.fine()));
    }

    /// Starts an honest server for somebody who registers elsewhere, and returns its endpoint.
    pub(crate) fn server(&mut self, name: &str, flags: &[&str]) -> String {
        let target = must(Target::start(name, flags));
        let endpoint = target.endpoint.clone();
        self.targets.push(target);
        endpoint
    }

    pub(crate) fn invitation(&self) -> String {
        must(self.dashboard.invite(1)).remove(0)
    }

    /// A team that is registered, and whose server runs with these flags.
    pub(crate) fn team(&mut self, name: &str, display_name: &str, flags: &[&str]) -> Team {
        let invitation = self.invitation();
        let team = must(Team::register(self.dashboard.visitor(), &invitation, name, display_name, PASSWORD));
        must(team.set_endpoint(&self.server(name, flags)));
        team
    }

    /// Arms a round that starts in some seconds.
    pub(crate) fn arm(&self, start: &str) {
        must(self.admin.arm(&Arming { start, scored: true }));
    }

    /// Sends a form of Control as it stands.
    pub(crate) fn press(&self, action: &str) {
        let form = must(self.admin.visitor.open("/setting").and_then(|page| page.form(action)));
        must(self.admin.visitor.send(&form).and_then(|page| page.fine()));
    }

    /// The number of the account of somebody who is on the board.
    fn account(&self, name: &str) -> String {
        let standings = self.standings();
        let lines = standings["standings"].as_array().into_iter().flatten();
        let line = lines.clone().find(|line| line["name"] == name).expect("it is on the board");
        line["id"].as_str().and_then(|id| id.strip_prefix('u')).expect("an account").to_owned()
    }

    /// Signs somebody out, everywhere.
    pub(crate) fn end_sessions(&self, name: &str) {
        let id = self.account(name);
        let page = must(self.admin.visitor.open(&format!("/setting?who={name}")));
        let form = must(page.form(&format!("/setting/user/{id}/end-sessions")));
        must(self.admin.visitor.send(&form).and_then(|page| page.fine()));
    }

    /// Adjusts the points of somebody.
    pub(crate) fn adjust(&self, name: &str, points: &str, reason: &str) {
        let id = self.account(name);
        let page = must(self.admin.visitor.open(&format!("/setting?team={id}")));
        let form = must(page.form(&format!("/setting/contestant/{id}/adjust")));
        let form = form.with("points", points).with("reason", reason);
        must(self.admin.visitor.send(&form).and_then(|page| page.fine()));
    }

    /// Sets the endpoint of an account in its place.
    pub(crate) fn set_endpoint(&self, id: &str, endpoint: &str) {
        let page = must(self.admin.visitor.open(&format!("/setting?team={id}")));
        let form = must(page.form(&format!("/setting/contestant/{id}/endpoint"))).with("endpoint", endpoint);
        must(self.admin.visitor.send(&form).and_then(|page| page.fine()));
    }

    pub(crate) fn standings(&self) -> Value {
        must(self.admin.visitor.json("/api/standings"))
    }

    /// Waits until the dashboard says that the round is in this state.
    pub(crate) fn until_state(&self, state: &str) {
        wait_until_or(state, || {
            let standings = self.standings();
            let round = &standings["round"];
            let is_so = round["state"] == state;
            is_so.then_some(()).ok_or_else(|| format!("{round}; {}", self.generator.last_words()))
        });
    }

    /// The round is sealed, and counts: on a machine with other work it may not be valid, and then it waits for a word.
    pub(crate) fn until_it_counts(&self) {
        self.until_state("sealed");
        let page = must(self.admin.visitor.open("/setting"));
        if let Ok(ruling) = page.form("/setting/round/ruling") {
            must(self.admin.visitor.send(&ruling.with("ruling", "count")).and_then(|page| page.fine()));
        }
    }

    /// What Redis holds of somebody's points.
    pub(crate) fn points(&self, name: &str) -> i128 {
        let mut board = must(Board::connect(&self.redis.url(), CONTEST));
        let standings = must(board.standings(&flowtest_contract::Rules::default()));
        standings.iter().find(|standing| standing.name == name).map_or(0, |standing| standing.points)
    }

    pub(crate) async fn browser(&self) -> Browser {
        Browser::open(self.dashboard.url()).await
    }

    /// A browser in which the admin is signed in.
    pub(crate) async fn admin_browser(&self) -> Browser {
        let browser = self.browser().await;
        browser.sign_in(ADMIN, PASSWORD).await;
        browser
    }

    /// The same, in which all moves that is made to.
    pub(crate) async fn admin_browser_with_motion(&self) -> Browser {
        let browser = Browser::with_motion(self.dashboard.url()).await;
        browser.sign_in(ADMIN, PASSWORD).await;
        browser
    }
}

/// An open phase that leaves the machine room for browsers.
pub(crate) fn phase(seconds: u64) -> Phase {
    Phase { length: Duration::from_secs(seconds), rate: Some(200), connections: 8, pipeline: 1 }
}
