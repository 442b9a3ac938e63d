//! A browser without a screen: cookies, forms with their token, pages as text.

use crate::people;
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use flowtest_accounts::{Actor, User};
use flowtest_contract::utc_us;
use flowtest_dashboard::app::App;
use flowtest_dashboard::config::Config;
use flowtest_dashboard::middleware::cookies::Kind;
use flowtest_dashboard::routes;
use flowtest_scoreboard::RedisAddress;
use flowtest_testkit::RedisServer;
use flowtest_testkit::visitor::{Cookies, cookie_header, hidden_field, keep_cookie};
use salvo::Service;
use salvo::http::StatusCode;
use salvo::prelude::*;
use salvo::test::{ResponseExt, TestClient};
use std::sync::Arc;

/// In the folder of a site.
pub(crate) const DATABASE: &str = "flowtest.db";
const SITE: &str = "http://127.0.0.1:5800";
const HOST: &str = "127.0.0.1:5800";

/// A dashboard as it is served, without a socket.
pub(crate) struct Site {
    pub(crate) app: Arc<App>,
    service: Service,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) redis: RedisServer,
}

impl Site {
    pub(crate) async fn open() -> Site {
        Site::open_in(tempfile::tempdir().expect("a private folder")).await
    }

    /// Opens one whose database may be there already.
    pub(crate) async fn open_in(folder: tempfile::TempDir) -> Site {
        Site::open_with(folder, 0).await
    }

    /// The same on a machine whose clock is off.
    pub(crate) async fn open_with(folder: tempfile::TempDir, clock_shift_us: i64) -> Site {
        let redis = RedisServer::start();
        let config = Config {
            listen: "127.0.0.1:0".parse().expect("an address"),
            database: folder.path().join(DATABASE),
            redis: RedisAddress::new(&redis.url()).expect("an address"),
            redis_read: RedisAddress::new(&redis.url()).expect("an address").for_reading(),
            contest: "finals".to_owned(),
            metrics: None,
            public_url: None,
            kit_url: None,
            test_sources: Vec::new(),
            proxies: Vec::new(),
            tls: None,
            viewers_max: 10,
            clock_shift_us,
        };
        let app = App::start(config).await.expect("it starts");
        app.listens_at("192.0.2.1:8000".parse().expect("an address"));
        Site { service: routes::service(&app), app, folder, redis }
    }

    /// A site with one contestant in the draft. No generator runs, so nobody ever asks for its name.
    pub(crate) async fn with_alice() -> (Site, User) {
        let site = Site::open().await;
        let alice = site.contestant("alice").await;
        let controller = &site.app.controller;
        controller.set_endpoint(&alice, "alice.test", &Actor::program(), utc_us()).await.expect("an endpoint");
        (site, alice)
    }

    /// Somebody else's connection to the database.
    pub(crate) fn database(&self) -> SqliteConnection {
        let path = self.folder.path().join(DATABASE);
        SqliteConnection::establish(path.to_str().expect("a path")).expect("the database")
    }

    /// Somebody else writes to the database, until what is returned is dropped.
    pub(crate) fn lock_database(&self) -> SqliteConnection {
        let mut other = self.database();
        // The program writes too.
        other.batch_execute("PRAGMA busy_timeout = 5000").expect("it is set");
        other.batch_execute("BEGIN IMMEDIATE").expect("the lock is free");
        other
    }

    /// A new admin who is signed in.
    pub(crate) async fn admin(&self, name: &str) -> Browser<'_> {
        self.sign_in(people::admin(&self.app.accounts, name, utc_us()).await).await
    }

    /// A contestant's account.
    pub(crate) async fn contestant(&self, name: &str) -> User {
        people::contestant(&self.app.accounts, name, utc_us()).await
    }

    pub(crate) async fn sign_in(&self, user: User) -> Browser<'_> {
        let accounts = &self.app.accounts;
        let secret = accounts.start_session(user.id, "127.0.0.1", "test", utc_us()).await.expect("a session");
        let cookies = Cookies::from([(Kind::Session.name(false).to_owned(), secret.reveal().to_owned())]);
        Browser { site: self, cookies, user }
    }

    /// The actions in the audit log with their actors, newest first.
    pub(crate) async fn audited(&self) -> Vec<(String, String)> {
        let lines = self.app.accounts.audit_page(None, 200, Default::default()).await.expect("the log");
        lines.into_iter().map(|line| (line.by.name, line.action)).collect()
    }
}

/// Somebody who is signed in.
pub(crate) struct Browser<'a> {
    site: &'a Site,
    cookies: Cookies,
    pub(crate) user: User,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) to: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn says(&self, part: &str) -> &Answer {
        assert!(self.body.contains(part), "{part:?} is missing in {}: {}", self.status, self.body);
        self
    }
}

impl Answer {
    /// The fields of a form as they stand, as a browser sends them.
    pub(crate) fn form(&self, action: &str) -> Vec<(&'static str, String)> {
        let start = self
            .body
            .rfind(&format!("action=\"{action}\""))
            .unwrap_or_else(|| panic!("no form {action}: {}", self.body));
        let form = self.body[start..].split("</form>").next().unwrap_or_default();
        let mut fields = Vec::new();
        for (tag, rest) in form.split('<').filter_map(|piece| piece.split_once('>')) {
            let attribute = |name: &str| {
                let value = tag.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?;
                Some(unescaped(value))
            };
            let Some(name) = attribute("name") else { continue };
            // Test names live as long as the tests.
            let name: &'static str = name.leak();
            let ticked = tag.contains(" checked");
            match tag.split_whitespace().next() {
                Some("input") if tag.contains("type=\"checkbox\"") && !ticked => {}
                Some("input") => fields.push((name, attribute("value").unwrap_or_default())),
                Some("textarea") => fields.push((name, unescaped(rest.trim_start_matches('\n')))),
                Some("select") => {
                    let options = form[form.find(&format!("<{tag}>")).unwrap_or(0)..]
                        .split("</select>")
                        .next()
                        .unwrap_or_default();
                    let chosen = options.split("<option value=\"").skip(1).find(|option| option.contains("selected"));
                    fields.push((
                        name,
                        chosen.and_then(|option| option.split('"').next()).unwrap_or_default().to_owned(),
                    ));
                }
                _ => {}
            }
        }
        fields
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#039;", "'").replace("&amp;", "&")
}

impl<'a> Browser<'a> {
    /// One in which nobody is signed in.
    pub(crate) fn nobody(&self) -> Browser<'a> {
        Browser { site: self.site, cookies: Cookies::new(), user: self.user.clone() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = TestClient::get(format!("{SITE}{path}")).add_header("host", HOST, true);
        let request = request.add_header("cookie", self.cookie(), true);
        let answer = request.add_header("accept", "text/html", true).send(&self.site.service).await;
        self.take(answer).await
    }

    /// Loads the page of a form, fills the form in and sends it.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let pages = ["/setting-token", "/index", "/screen"];
        let page = pages.into_iter().find(|page| path.starts_with(page)).unwrap_or("/setting");
        let page = self.get(page).await;
        self.post_from(&page, path, fields).await
    }

    /// Fills in a form of a page that was loaded before, with the versions that it showed.
    pub(crate) async fn post_from(&mut self, page: &Answer, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = value_of(&page.body, "csrf_token");
        let mut form = vec![("csrf_token", token.as_str())];
        let is_shown = |name: &&str| page.body.contains(&format!("name=\"{name}\""));
        let versions: Vec<(&str, String)> =
            ["revision", "show"].into_iter().filter(is_shown).map(|name| (name, value_of(&page.body, name))).collect();
        form.extend(versions.iter().map(|(name, value)| (*name, value.as_str())));
        form.extend_from_slice(fields);
        let request = TestClient::post(format!("{SITE}{path}")).add_header("host", HOST, true);
        let request = request.add_header("cookie", self.cookie(), true);
        let answer = request.add_header("accept", "text/html", true).form(&form).send(&self.site.service).await;
        self.take(answer).await
    }

    /// Sends a form with exactly these fields.
    pub(crate) async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = TestClient::post(format!("{SITE}{path}")).add_header("host", HOST, true);
        let request = request.add_header("cookie", self.cookie(), true);
        let answer = request.add_header("accept", "text/html", true).form(&fields).send(&self.site.service).await;
        self.take(answer).await
    }

    /// Sends a form and looks at the page that it goes back to.
    pub(crate) async fn follow(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let answer = self.post(path, fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        let to = answer.to.expect("a page to go back to");
        self.get(&to).await
    }

    fn cookie(&self) -> String {
        cookie_header(&self.cookies)
    }

    async fn take(&mut self, mut answer: Response) -> Answer {
        // As it stands in the header: browsers give back what they were sent, and decode nothing.
        let set: Vec<String> = answer.cookies().iter().map(|cookie| cookie.encoded().to_string()).collect();
        set.iter().for_each(|said| keep_cookie(&mut self.cookies, said));
        let to = answer.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
        Answer {
            status: answer.status_code.unwrap_or(StatusCode::OK),
            to,
            body: answer.take_string().await.unwrap_or_default(),
        }
    }
}

/// The value of the first hidden field of this name.
fn value_of(page: &str, name: &str) -> String {
    hidden_field(page, name).unwrap_or_else(|| panic!("no field {name}: {page}"))
}
