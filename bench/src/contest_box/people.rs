//! What people do on the dashboard's own pages, as a script says it: teams register and set their endpoint, an organiser
//! saves settings and arms rounds. Everything goes through the forms that stand on the pages.

use super::contest::ContestFile;
use super::visitor::{Form, Page, Visitor};
use crate::error::{Error, Result};
use std::time::{Duration, Instant};

/// How long a generator may take to be heard, or somebody else to leave the settings.
const ARMING: Duration = Duration::from_secs(15);
/// How soon it is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// A contestant: an account that is signed in.
#[derive(Debug)]
pub struct Team {
    pub name: String,
    pub visitor: Visitor,
}

/// An admin who is signed in.
#[derive(Debug)]
pub struct Admin {
    pub visitor: Visitor,
}

/// When and how a round is armed.
#[derive(Clone, Debug)]
pub struct Arming<'a> {
    /// RFC 3339, or `+30s` from now.
    pub start: &'a str,
    pub scored: bool,
}

/// Signs somebody in, and returns the page that follows.
pub fn sign_in(visitor: &Visitor, name: &str, password: &str) -> Result<Page> {
    let form = visitor.open("/login")?.fine()?.form("/login")?;
    let page = visitor.send(&form.with("name", name).with("password", password))?.fine()?;
    if page.path.starts_with("/login") {
        return Err(Error::Other(format!("{name} was sent back to the login")));
    }
    Ok(page)
}

impl Team {
    /// Registers with an invitation, which signs in as well.
    pub fn register(
        visitor: Visitor,
        invitation: &str,
        name: &str,
        display_name: &str,
        password: &str,
    ) -> Result<Team> {
        let form = visitor.open("/register")?.fine()?.form("/register")?;
        let form = form
            .with("token", invitation)
            .with("name", name)
            .with("display_name", display_name)
            .with("password", password);
        let page = visitor.send(&form)?.fine()?;
        if page.path != "/index" {
            return Err(Error::Other(format!("registering {name} ended at {} instead of /index", page.path)));
        }
        Ok(Team { name: name.to_owned(), visitor })
    }

    /// Sets its endpoint; a refusal is an error in the page's words.
    pub fn set_endpoint(&self, endpoint: &str) -> Result<()> {
        let form = self.visitor.open("/index")?.fine()?.form("/index/endpoint")?;
        self.visitor.send(&form.with("endpoint", endpoint))?.fine().map(drop)
    }
}

impl Admin {
    pub fn sign_in(visitor: Visitor, name: &str, password: &str) -> Result<Admin> {
        sign_in(&visitor, name, password)?;
        Ok(Admin { visitor })
    }

    /// Makes a screen link, and returns its secret.
    pub fn screen(&self, label: &str) -> Result<String> {
        let page = self.visitor.send(&self.setting("/setting/screen")?.with("label", label))?.fine()?;
        let found = page.text.split_once("screen=").map(|(_, rest)| rest);
        let secret: String = found.into_iter().flat_map(str::chars).take_while(char::is_ascii_hexdigit).collect();
        if secret.is_empty() { Err(Error::Other("the page shows no screen link".into())) } else { Ok(secret) }
    }

    fn setting(&self, action: &str) -> Result<Form> {
        self.visitor.open("/setting")?.fine()?.form(action)
    }

    /// Saves the settings of a contest as /setting has them: first the difference is shown, then it is confirmed.
    pub fn save(&self, contest: &ContestFile, house: Option<&str>) -> Result<()> {
        let after_start =
            |deadline: Option<Duration>| deadline.map_or_else(String::new, |at| format!("+{}ms", at.as_millis()));
        let form = self
            .visitor
            .open("/setting/contest")?
            .fine()?
            .form("/setting/contest")?
            .with("version_deadline", &after_start(contest.version_deadline))
            .with("from_deadline", &after_start(contest.from_deadline))
            .with("timeout", &format!("{}ms", contest.timeout.as_millis()))
            .with("grace", &format!("{}ms", contest.grace.as_millis()))
            .with("plan", &contest.plan())
            .with("allow", "127.0.0.0/8")
            .with("house", house.unwrap_or_default());
        let asked = self.visitor.send(&form)?;
        let confirm = asked.form("/setting/contest")?.with("confirm", "yes");
        self.visitor.send(&confirm)?.fine().map(drop)
    }

    /// Pauses the round.
    pub fn pause(&self) -> Result<()> {
        self.visitor.send(&self.setting("/setting/round/pause")?)?.fine().map(drop)
    }

    /// Arms a round for every generator that is heard, as soon as one is.
    pub fn arm(&self, arming: &Arming<'_>) -> Result<()> {
        let until = Instant::now() + ARMING;
        loop {
            let form = self.setting("/setting/round/arm")?.with("start", arming.start).with("confirm", "yes");
            let form = if arming.scored { form.with("scored", "yes") } else { form.without("scored") };
            match self.visitor.send(&form)?.fine() {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => std::thread::sleep(AGAIN),
            }
        }
    }
}
