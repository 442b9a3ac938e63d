//! A whole dashboard in memory of this process, on a real database, and browsers that keep their cookies.

use crate::people;
use flowtest_accounts::Accounts;
use flowtest_contract::utc_us;
use flowtest_dashboard::app::App;
use flowtest_dashboard::cli::{Cli, Command};
use flowtest_dashboard::config::Config;
use flowtest_dashboard::routes;
use flowtest_testkit::visitor::{Cookies, cookie_header, hidden_field, keep_cookie};
use salvo::http::{Method, header};
use salvo::prelude::*;
use salvo::test::{RequestBuilder, ResponseExt};
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) use crate::people::PASSWORD;
/// What pages and browsers agree that this site is called.
pub(crate) const SITE: &str = "http://scores.test";

pub(crate) struct Stage {
    pub(crate) app: Arc<App>,
    service: Arc<Service>,
    _folder: TempDir,
}

impl Stage {
    /// A dashboard without Redis: nothing here needs it.
    pub(crate) async fn open(flags: &[&str]) -> Stage {
        use clap::Parser;
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let mut arguments = vec!["flowtest-dashboard".to_owned(), "serve".to_owned()];
        arguments.extend(["--contest".to_owned(), "cup".to_owned()]);
        if !flags.contains(&"--database") {
            arguments.extend(["--database".to_owned(), path("flowtest.db")]);
        }
        arguments.extend(["--redis".to_owned(), format!("unix://{}", path("nobody.sock"))]);
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let Command::Serve(flags) = Cli::parse_from(arguments).command else { panic!("not serve") };
        let app = App::start(Config::new(&flags).expect("a configuration")).await.expect("a dashboard");
        let service = Arc::new(routes::service(&app));
        Stage { app, service, _folder: folder }
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.app.accounts
    }

    pub(crate) async fn admin(&self, name: &str) -> Browser {
        people::admin(self.accounts(), name, utc_us()).await;
        self.signed_in(name).await
    }

    /// Somebody who registered by an invitation, through the page.
    pub(crate) async fn contestant(&self, name: &str, display_name: &str) -> Browser {
        let token = self.invitation().await;
        let mut browser = self.browser();
        let form = [("token", token.as_str()), ("name", name), ("display_name", display_name), ("password", PASSWORD)];
        let answer = browser.send("/register", &form).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        browser
    }

    pub(crate) async fn invitation(&self) -> String {
        people::invitation(self.accounts(), utc_us()).await
    }

    pub(crate) async fn signed_in(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        let answer = browser.sign_in(name, PASSWORD).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        browser
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser { service: self.service.clone(), cookies: Cookies::new(), site: SITE.to_owned() }
    }

    pub(crate) async fn close(self) {
        self.app.stop().await;
    }
}

/// Keeps cookies, and sends forms as pages do.
#[derive(Clone)]
pub(crate) struct Browser {
    service: Arc<Service>,
    pub(crate) cookies: Cookies,
    pub(crate) site: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The token that the page's forms carry.
    pub(crate) fn csrf(&self) -> Option<String> {
        hidden_field(&self.body, "csrf_token")
    }
}

impl Browser {
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], None).await
    }

    /// Fetches a page for its token, then sends the form.
    pub(crate) async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token().await;
        let mut fields = fields.to_vec();
        fields.push(("csrf_token", &token));
        self.ask(Method::POST, path, &[], Some(&fields)).await
    }

    /// A token that this browser may send.
    pub(crate) async fn token(&mut self) -> String {
        self.get("/logout").await.csrf().expect("every form has a token")
    }

    pub(crate) async fn sign_in(&mut self, name: &str, password: &str) -> Answer {
        self.send("/login", &[("name", name), ("password", password)]).await
    }

    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: Option<&[(&str, &str)]>,
    ) -> Answer {
        let mut request = RequestBuilder::new(format!("{}{path}", self.site), method).add_header(
            header::HOST,
            self.site.split("://").nth(1).expect("a host"),
            true,
        );
        if !self.cookies.is_empty() {
            request = request.add_header(header::COOKIE, cookie_header(&self.cookies), true);
        }
        for (name, value) in headers {
            let name: salvo::http::header::HeaderName = name.parse().expect("a header");
            request = request.add_header(name, *value, true);
        }
        if let Some(fields) = form {
            let mut body = url::form_urlencoded::Serializer::new(String::new());
            body.extend_pairs(fields);
            request = request.raw_form(body.finish());
        }
        let mut response = request.send(&*self.service).await;
        let body = response.take_string().await.unwrap_or_default();
        // As it goes on the wire, cookies included.
        let sent = response.into_hyper();
        let set = sent.headers().get_all(header::SET_COOKIE).iter().filter_map(|said| said.to_str().ok());
        set.for_each(|said| keep_cookie(&mut self.cookies, said));
        let status = sent.status().as_u16();
        let headers: Vec<(String, String)> = sent
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or("?").to_owned()))
            .collect();
        let location = sent.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default();
        Answer { status, location: location.to_owned(), headers, body }
    }
}
