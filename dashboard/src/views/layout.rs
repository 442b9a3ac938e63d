//! What every page shares: who looks, where the contest stands, what is announced, where the assets are.
//! It is data; the frame around a page is drawn by `templates/_top.stpl` and `templates/_bottom.stpl`.

use crate::live::clock::Millis;
use crate::live::{Due, Notice, RoundNow, ValidityNow};
pub use flowtest_accounts::{Level, Role};

/// The frame of a page. All instants are UTC milliseconds of the server.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// What stands in the browser's tab, before the name of the contest.
    pub title: String,
    pub page: Page,
    pub contest: String,
    /// Nobody is signed in: `None`.
    pub viewer: Option<Viewer>,
    /// What every form posts as `csrf_token`.
    pub csrf: String,
    /// Hash of the build, part of every address under `/static`.
    pub build: String,
    pub version: String,
    /// Shown on the error page, so that it can be found in the log.
    pub request_id: Option<String>,
    pub now_ms: i64,
    pub head: ContestHead,
    pub notices: Vec<Notice>,
    pub flash: Option<Flash>,
}

impl Layout {
    /// The address of an asset: `layout.asset("app.css")`.
    pub fn asset(&self, name: &str) -> String {
        format!("/static/{}/{name}", self.build)
    }

    pub fn is_admin(&self) -> bool {
        self.viewer.as_ref().is_some_and(|viewer| viewer.role == Role::Admin)
    }

    /// Who looks, as standings name them: `u3`; empty for nobody.
    pub fn me(&self) -> String {
        self.viewer.as_ref().map(Viewer::key).unwrap_or_default()
    }
}

/// Which page this is: marks the entry of the menu and chooses the scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    Login,
    Logout,
    Register,
    Rules,
    Index,
    Chart,
    Account,
    Setting,
    Settings,
    Tokens,
    Audit,
    Screen,
    #[default]
    Error,
}

impl Page {
    /// The name in the page's `data-page`.
    pub fn name(self) -> &'static str {
        match self {
            Page::Login => "login",
            Page::Logout => "logout",
            Page::Register => "register",
            Page::Rules => "rules",
            Page::Index => "index",
            Page::Chart => "chart",
            Page::Account => "account",
            Page::Setting => "setting",
            Page::Settings => "settings",
            Page::Tokens => "tokens",
            Page::Audit => "audit",
            Page::Screen => "screen",
            Page::Error => "error",
        }
    }
}

/// Who is signed in.
#[derive(Clone, Debug)]
pub struct Viewer {
    pub user: i64,
    pub name: String,
    pub display_name: String,
    pub role: Role,
}

impl Viewer {
    /// As standings and the live feed name a contestant: `u3`.
    pub fn key(&self) -> String {
        format!("u{}", self.user)
    }
}

/// Where the contest stands, as the live feed tells it too.
#[derive(Clone, Debug, Default)]
pub struct ContestHead {
    pub round: Option<RoundNow>,
    pub due: Option<Due>,
    /// None before a generator has said anything.
    pub validity: Option<ValidityNow>,
    /// The last frame is older than it should be: since when.
    pub stale_since: Option<Millis>,
    pub ended: bool,
}

/// What came of the form that was just posted; shown once.
#[derive(Clone, Debug)]
pub struct Flash {
    pub good: bool,
    pub text: String,
}
