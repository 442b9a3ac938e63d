//! The organiser's page: is everything ready, what runs, and every lever.

use crate::views::field::Input;
use crate::views::plan::PlanGraph;
use crate::views::tokens::InvitationForm;
use crate::views::{Field, Layout, Level, Role, format};
use flowtest_accounts::Ruling;
use flowtest_contest::State;
use flowtest_contract::RoundValidity;
use sailfish::TemplateSimple;

#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "setting.stpl")]
pub struct SettingPage {
    pub layout: Layout,
    /// Posted back with every change of the contest.
    pub revision: u64,
    pub readiness: Readiness,
    pub round: RoundPanel,
    pub contest: ContestForm,
    /// Of what is typed now.
    pub plan: Option<PlanGraph>,
    /// What saving would change; empty: nothing was posted, or nothing differs.
    pub difference: Vec<Change>,
    pub announce: AnnounceForm,
    pub contestants: Vec<ContestantLine>,
    pub adjustments: Vec<AdjustmentLine>,
    pub users: Vec<UserLine>,
    pub screens: Vec<ScreenLine>,
    pub screen_label: Field,
    /// A screen's address, shown once, right after it was made.
    pub screen_made: Option<String>,
    pub invitations: InvitationForm,
    pub backup: Option<BackupLine>,
}

/// GO or NO-GO.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    /// Redis holds a newer document that can be taken over.
    pub adopt: bool,
    /// What stands in the way, as sentences; empty is GO.
    pub missing: Vec<String>,
    pub contestants: Vec<ContestantCheck>,
    pub generators: Vec<GeneratorCheck>,
    /// Redis, house target, feed, disk: whatever there is one of.
    pub checks: Vec<Check>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Light {
    Good,
    Warn,
    Bad,
    Unknown,
}

impl Light {
    pub fn name(self) -> &'static str {
        match self {
            Light::Good => "good",
            Light::Warn => "warn",
            Light::Bad => "bad",
            Light::Unknown => "unknown",
        }
    }

    /// Said beside the colour, for those who do not see it.
    pub fn sign(self) -> &'static str {
        match self {
            Light::Good => "✓",
            Light::Warn => "!",
            Light::Bad => "✕",
            Light::Unknown => "?",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Check {
    pub name: String,
    pub light: Light,
    pub message: String,
}

#[derive(Clone, Debug)]
pub struct ContestantCheck {
    pub id: String,
    pub display_name: String,
    pub light: Light,
    pub endpoint: Option<String>,
    pub probed_at_ms: Option<i64>,
    /// Of the last probe, or why there is none.
    pub reason: String,
}

#[derive(Clone, Debug)]
pub struct GeneratorCheck {
    pub id: String,
    pub light: Light,
    pub message: String,
    pub beat_ms: i64,
    /// How old all figures are, in seconds.
    pub age_s: u64,
    pub version: String,
    pub cores: u32,
    /// Of its kernel, by name.
    pub features: String,
    pub rate: u64,
    pub clock_offset_us: Option<i64>,
    pub clock_error_us: Option<u64>,
    /// Seconds in which it was itself the limit.
    pub saturated_seconds: u64,
    pub rate_ratio: Option<f64>,
    /// How late its own sends are, where it says so.
    pub lag_p99_us: Option<u64>,
    /// Groups that are not in Redis yet.
    pub backlog: u64,
    pub disk_free_bytes: u64,
    pub busy_percent: Vec<u8>,
}

/// What can be done with the round now; decided by whoever fills the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundAction {
    Arm,
    Pause,
    Resume,
    Stop,
    Abort,
    Seal,
    Next,
}

#[derive(Clone, Debug)]
pub struct RoundPanel {
    pub number: u32,
    pub state: State,
    pub scored: bool,
    pub actions: Vec<RoundAction>,
    pub start: Field,
    pub generators: Vec<GeneratorChoice>,
    /// Who plays the round that is on, and since when.
    pub players: Vec<PlayerLine>,
    /// Streams that registered and have not ended: sealing must name them, with a reason.
    pub missing: Vec<MissingStream>,
    pub seal_reason: Field,
    /// Where a deadline is moved to.
    pub deadline: Field,
    pub halted: bool,
    pub frozen: bool,
    /// The contest is over, by the organiser's word.
    pub over: bool,
    /// The freeze that lies ahead.
    pub freezes_at_ms: Option<i64>,
    /// Where a freeze is planned to be.
    pub freeze: Field,
    /// Posted back with every freeze, unfreeze and reveal.
    pub show_version: u64,
    /// Sealed rounds that are not valid: what the organiser is to say, or has said.
    pub invalid: Vec<InvalidRound>,
    /// Earlier rounds, newest first.
    pub past: Vec<PastRound>,
}

/// A round on which the organiser may rule.
#[derive(Clone, Debug)]
pub struct InvalidRound {
    pub id: String,
    pub number: u32,
    pub validity: RoundValidity,
    /// None: nothing was said, and it counts.
    pub ruling: Option<Ruling>,
}

#[derive(Clone, Debug)]
pub struct GeneratorChoice {
    pub id: String,
    pub chosen: bool,
    pub light: Light,
}

/// One generator in the round that is on.
#[derive(Clone, Debug)]
pub struct PlayerLine {
    pub id: String,
    pub light: Light,
    /// The instant stands behind it.
    pub message: String,
    pub at_ms: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct MissingStream {
    pub id: String,
    pub message: String,
}

#[derive(Clone, Debug)]
pub struct PastRound {
    pub number: u32,
    /// `None`: a word that this program does not know.
    pub state: Option<State>,
    pub scored: bool,
    pub start_at_ms: Option<i64>,
    pub end_at_ms: Option<i64>,
    pub winner: Option<String>,
    /// None: nobody knows.
    pub validity: Option<RoundValidity>,
    pub ruling: Option<Ruling>,
}

/// Fields of `POST /setting/contest`.
#[derive(Clone, Debug, Default)]
pub struct ContestForm {
    pub title: Field,
    pub version_deadline: Field,
    pub from_deadline: Field,
    pub timeout: Field,
    pub grace: Field,
    pub token: Field,
    pub version: Field,
    pub from: Field,
    pub token_required: bool,
    /// The `[[phase]]` part of a contest file.
    pub plan: Field,
    pub allow: Field,
    pub deny: Field,
    pub allow_shared: bool,
    /// The address of the platform's own server.
    pub house: Field,
    /// What is wrong with the whole rather than with one field.
    pub error: Option<String>,
    /// While a round is armed or runs, rules and plan are frozen: why, as a sentence.
    pub frozen: Option<String>,
}

impl ContestForm {
    /// What was typed, by the names of the fields: the form that confirms posts it again. A box that is not ticked is
    /// not posted.
    fn typed(&self) -> Vec<(&'static str, &str)> {
        let mut typed = vec![
            ("title", self.title.value.as_str()),
            ("house", &self.house.value),
            ("version_deadline", &self.version_deadline.value),
            ("from_deadline", &self.from_deadline.value),
            ("timeout", &self.timeout.value),
            ("grace", &self.grace.value),
            ("token", &self.token.value),
            ("version", &self.version.value),
            ("from", &self.from.value),
            ("plan", &self.plan.value),
            ("allow", &self.allow.value),
            ("deny", &self.deny.value),
        ];
        let boxes = [("token_required", self.token_required), ("allow_shared", self.allow_shared)];
        typed.extend(boxes.into_iter().filter(|(_, ticked)| *ticked).map(|(name, _)| (name, "yes")));
        typed
    }
}

#[derive(Clone, Debug)]
pub struct Change {
    pub what: String,
    pub before: String,
    pub after: String,
    /// What follows from it: who is told, when it counts.
    pub effect: Option<String>,
}

#[derive(Clone, Debug)]
pub struct AnnounceForm {
    pub level: Level,
    pub text: Field,
}

#[derive(Clone, Debug)]
pub struct ContestantLine {
    pub id: i64,
    pub name: String,
    pub display_name: String,
    pub endpoint: Option<String>,
    pub points: i64,
    pub parked: bool,
    pub hidden: bool,
    /// The reason.
    pub disqualified: Option<String>,
    pub form: TeamForm,
}

/// What was typed about a team and was wrong.
#[derive(Clone, Debug, Default)]
pub struct TeamForm {
    pub points: Field,
    pub reason: Field,
    pub endpoint: Field,
    pub password: Field,
    pub disqualify: Field,
}

impl TeamForm {
    pub fn is_wrong(&self) -> bool {
        let fields = [&self.points, &self.reason, &self.endpoint, &self.password, &self.disqualify];
        fields.iter().any(|field| field.error.is_some())
    }
}

#[derive(Clone, Debug)]
pub struct AdjustmentLine {
    pub id: i64,
    pub at_ms: i64,
    pub display_name: String,
    pub points: i64,
    pub reason: String,
    pub by: String,
    pub withdrawn: bool,
}

#[derive(Clone, Debug)]
pub struct UserLine {
    pub id: i64,
    pub name: String,
    pub display_name: String,
    pub role: Role,
    pub disabled: bool,
    pub sessions: u32,
    pub login_at_ms: Option<i64>,
    /// The admin who looks: cannot lock themselves out.
    pub me: bool,
}

#[derive(Clone, Debug)]
pub struct ScreenLine {
    pub id: i64,
    pub label: String,
    pub made_at_ms: i64,
    pub seen_at_ms: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct BackupLine {
    pub at_ms: i64,
    pub file: String,
    pub bytes: u64,
}
