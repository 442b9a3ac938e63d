//! The organiser's page: is everything ready, what runs, and every lever.

use crate::live::{Notice, RevealWait, TeamState, ValidityNow};
use crate::views::audit::Told;
use crate::views::field::Input;
use crate::views::screen::ScreenMade;
use crate::views::strip::{self, Strip};
use crate::views::time::{self, Words};
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
    pub guide: Guide,
    pub readiness: Readiness,
    pub round: RoundPanel,
    /// What is played, a sentence each.
    pub summary: Vec<String>,
    pub announce: AnnounceForm,
    pub teams: TeamsPanel,
    pub adjustments: Vec<AdjustmentLine>,
    pub people: PeoplePanel,
    pub screens: Vec<ScreenLine>,
    pub screen_label: Field,
    /// Shown once, right after it was made.
    pub screen_made: Option<ScreenMade>,
    /// What is to be known of that link.
    pub screen_doubt: Option<&'static str>,
    pub invitations: InvitationForm,
    pub backup: Option<BackupLine>,
}

/// What of the page changes by itself: it is fetched again while somebody looks.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "setting-live.stpl")]
pub struct SettingLive {
    pub csrf: String,
    pub revision: u64,
    pub guide: Guide,
    pub readiness: Readiness,
    pub round: RoundPanel,
    pub notices: Vec<Notice>,
    pub teams: TeamsPanel,
}

/// From nothing to the first round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guide {
    /// It is GO: nothing of what is left is needed.
    pub can_play: bool,
    /// All that a first round needs while that is not there; then what is left. Empty: nobody needs a guide any more.
    pub steps: Vec<GuideStep>,
}

/// One thing that a first round needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuideStep {
    pub done: bool,
    pub title: &'static str,
    /// What is there, or what to do next.
    pub text: String,
    /// To be typed on a machine of the platform.
    pub command: Option<String>,
    /// Where it is done: the path, and what the button says.
    pub link: Option<(String, &'static str)>,
}

/// What the page is for at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Face {
    /// Before a round: whether it may be armed.
    #[default]
    Prepare,
    /// From the arming to the seal: what needs attention.
    Live,
    /// The last round is over.
    After,
}

/// GO or NO-GO before a round, and what is wrong during one.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    pub face: Face,
    /// Redis holds a newer document that can be taken over.
    pub adopt: bool,
    /// Of the round that is on or was the last. None before a generator has said anything.
    pub validity: Option<ValidityNow>,
    /// While a round is on: what somebody should look at, as sentences.
    pub warnings: Vec<String>,
    /// What stands in the way, as sentences; empty is GO.
    pub missing: Vec<String>,
    pub contestants: Vec<ContestantCheck>,
    pub generators: Vec<GeneratorCheck>,
    /// Redis, house target, feed, disk: whatever there is one of.
    pub checks: Vec<Check>,
}

/// How late one generator is itself, or the worst of many.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lag {
    who: String,
    lag_p99_us: Option<u64>,
    /// Some of its seconds are not valid, or some of what it sent is void.
    is_late: bool,
}

/// More generators than this are one figure: the worst.
const LAGS_MAX: usize = 4;

impl Readiness {
    fn lags(&self) -> Vec<Lag> {
        let late = self.validity.as_ref().and_then(|validity| validity.causes.as_ref()).map(|it| &it.late_generators);
        let is_late = |id: &String| late.is_some_and(|late| late.contains(id));
        if self.generators.len() <= LAGS_MAX {
            let of = |one: &GeneratorCheck| Lag {
                who: one.id.clone(),
                lag_p99_us: one.lag_p99_us,
                is_late: is_late(&one.id),
            };
            return self.generators.iter().map(of).collect();
        }
        let worst = self.generators.iter().filter_map(|one| one.lag_p99_us).max();
        let who = format!("worst of {}", self.generators.len());
        vec![Lag { who, lag_p99_us: worst, is_late: late.is_some_and(|late| !late.is_empty()) }]
    }

    /// Teams that are.
    fn ready(&self) -> usize {
        self.contestants.iter().filter(|one| one.light == Light::Good).count()
    }
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
    /// Empty: nothing is known of it any more but when it was heard last.
    pub version: String,
    pub cores: u32,
    /// Of its kernel, by name.
    pub features: String,
    pub rate: u64,
    pub clock_offset_us: Option<i64>,
    pub clock_error_us: Option<u64>,
    /// Scored seconds that are not valid.
    pub invalid_seconds: u64,
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

/// A reason against arming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Posted back with the confirmation: which reason was read, whatever its numbers are by then.
    pub key: String,
    /// As a sentence.
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct RoundPanel {
    pub number: u32,
    pub state: State,
    pub scored: bool,
    pub actions: Vec<RoundAction>,
    /// Why it is asked once more whether to arm.
    pub doubts: Vec<Doubt>,
    pub start: Field,
    pub generators: Vec<GeneratorChoice>,
    /// Which generators have a share of the round that is on, and since when.
    pub shares: Vec<ShareLine>,
    /// Streams that registered and have not ended: sealing must name them, with a reason.
    pub missing: Vec<MissingStream>,
    /// Why it cannot be sealed, where that is no stream's doing.
    pub unsealed: Option<String>,
    pub seal_reason: Field,
    /// Where a deadline is moved to.
    pub deadline: Field,
    pub halted: bool,
    /// Why that may not be so everywhere, as sentences.
    pub unapplied: Vec<String>,
    pub frozen: bool,
    /// The contest is over, by the organiser's word.
    pub over: bool,
    /// The freeze that lies ahead.
    pub freezes_at_ms: Option<i64>,
    /// When what is frozen is shown by itself.
    pub reveals_at_ms: Option<i64>,
    /// Why it is not, though that has come.
    pub reveal_waits: Option<RevealWait>,
    /// Why the result is shown to nobody yet, as a sentence.
    pub hides: Option<String>,
    /// Where that is planned to be.
    pub reveal: Field,
    /// Where a freeze is planned to be.
    pub freeze: Field,
    /// Posted back with every freeze, unfreeze and reveal.
    pub show_version: u64,
    /// Sealed rounds that are not valid: what the organiser is to say, or has said.
    pub invalid: Vec<InvalidRound>,
    /// Earlier rounds, newest first.
    pub past: Vec<PastRound>,
}

impl RoundPanel {
    /// Whether a deadline may be moved in this state.
    fn moves_deadlines(&self) -> bool {
        matches!(self.state, State::Armed | State::Running | State::Paused)
    }
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
pub struct ShareLine {
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
    /// In which zone they are meant where they have no offset: the browser says it.
    pub zone: String,
    pub timeout: Field,
    pub grace: Field,
    pub token: Field,
    pub version: Field,
    pub from: Field,
    pub token_required: bool,
    pub absent_free: bool,
    /// The `[[phase]]` part of a contest file.
    pub plan: Field,
    pub holds_first: bool,
    pub breakpoint_points: Field,
    pub allow: Field,
    pub deny: Field,
    pub allow_shared: bool,
    /// Each server has to say whose it is.
    pub ownership: bool,
    /// Servers over https may show any certificate.
    pub tls_any: bool,
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
    pub(crate) fn typed(&self) -> Vec<(&'static str, &str)> {
        let mut typed = vec![
            ("title", self.title.value.as_str()),
            ("house", &self.house.value),
            ("version_deadline", &self.version_deadline.value),
            ("from_deadline", &self.from_deadline.value),
            ("zone", &self.zone),
            ("timeout", &self.timeout.value),
            ("grace", &self.grace.value),
            ("token", &self.token.value),
            ("version", &self.version.value),
            ("from", &self.from.value),
            ("plan", &self.plan.value),
            ("breakpoint_points", &self.breakpoint_points.value),
            ("allow", &self.allow.value),
            ("deny", &self.deny.value),
        ];
        let boxes = [
            ("token_required", self.token_required),
            ("absent_free", self.absent_free),
            ("holds_first", self.holds_first),
            ("allow_shared", self.allow_shared),
            ("ownership", self.ownership),
            ("tls_any", self.tls_any),
        ];
        typed.extend(boxes.into_iter().filter(|(_, ticked)| *ticked).map(|(name, _)| (name, "yes")));
        typed
    }
}

#[derive(Clone, Debug)]
pub struct Change {
    pub what: String,
    pub before: Words,
    pub after: Words,
    /// What follows from it: who is told, when it counts.
    pub effect: Option<String>,
}

/// How a round was to be armed, as it was typed.
#[derive(Clone, Debug)]
pub struct ArmForm {
    pub start: Field,
    pub scored: bool,
    /// The ids of those that are to play.
    pub generators: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct AnnounceForm {
    pub level: Level,
    pub text: Field,
}

/// All teams, the one that needs attention most first.
#[derive(Clone, Debug, Default)]
pub struct TeamsPanel {
    pub lines: Vec<TeamLine>,
    /// The one that is looked at.
    pub open: Option<TeamDetail>,
}

/// How a team fares, as its line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TeamLineState {
    /// At this moment.
    Now(TeamState),
    /// When it was seen last in the round that rests or is over.
    Was(TeamState),
    /// Before a round: it could play, or could not.
    Ready,
    NotReady,
    /// Its account is.
    Disabled,
    /// Nothing was seen of it in the round.
    NotSeen,
    /// The roster does not know it.
    Unknown,
}

impl TeamLineState {
    /// As people read it.
    pub fn words(self) -> String {
        match self {
            TeamLineState::Now(state) => state.words().to_owned(),
            TeamLineState::Was(state) => format!("was {}", state.words()),
            TeamLineState::Ready => "ready".to_owned(),
            TeamLineState::NotReady => "not ready".to_owned(),
            TeamLineState::Disabled => "disabled".to_owned(),
            TeamLineState::NotSeen => "–".to_owned(),
            TeamLineState::Unknown => "unknown".to_owned(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct TeamLine {
    pub id: i64,
    pub name: String,
    pub display_name: String,
    pub category: Option<String>,
    pub light: Light,
    pub state: TeamLineState,
    /// Since when it is so, where that is known.
    pub since_ms: Option<i64>,
    /// Why, where the word does not say it; may be empty.
    pub note: String,
    pub rate: u64,
    pub verified_permille: Option<u16>,
    pub p99_us: Option<u64>,
    pub points: i64,
    pub hidden: bool,
    /// When it joined the round that is on, when it came after the arming.
    pub joined_at_ms: Option<i64>,
}

/// Who took a team's traffic away.
#[derive(Clone, Debug)]
pub struct Parked {
    pub who: String,
    /// `None`: nobody wrote it down.
    pub at_ms: Option<i64>,
}

/// What an organiser knows of one team, and does to it.
#[derive(Clone, Debug)]
pub struct TeamDetail {
    pub id: i64,
    pub endpoint: Option<String>,
    /// What its last test found, or why there is none.
    pub tested: String,
    pub parked: Option<Parked>,
    pub hidden: bool,
    /// The reason.
    pub disqualified: Option<String>,
    /// Newest first, of a kind one.
    pub failures: Vec<TeamFailure>,
    /// Of the newest round; `None` without a second.
    pub seconds: Option<Strip>,
    /// What was done to it, newest first.
    pub history: Vec<TeamHistory>,
    pub form: TeamForm,
}

#[derive(Clone, Debug)]
pub struct TeamFailure {
    pub at_ms: i64,
    pub kind: String,
    pub message: String,
    pub count: u64,
}

#[derive(Clone, Debug)]
pub struct TeamHistory {
    pub at_ms: i64,
    pub who: String,
    pub told: Told,
}

/// One team alone: what the script puts below its line.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "setting-team.stpl")]
pub struct SettingTeam {
    pub csrf: String,
    pub team: TeamDetail,
}

/// What was typed about a team and was wrong.
#[derive(Clone, Debug, Default)]
pub struct TeamForm {
    pub points: Field,
    pub reason: Field,
    pub endpoint: Field,
    pub password: Field,
    pub disqualify: Field,
    pub category: Field,
    pub contact: Field,
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

/// Accounts: admins and those that were searched for.
#[derive(Clone, Debug, Default)]
pub struct PeoplePanel {
    pub lines: Vec<UserLine>,
    /// What was searched for.
    pub query: String,
    /// How many accounts there are, and how many were found.
    pub all: usize,
    pub found: usize,
}

#[derive(Clone, Debug)]
pub struct UserLine {
    pub id: i64,
    pub name: String,
    pub display_name: String,
    pub role: Role,
    /// How its people are reached.
    pub contact: Option<String>,
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
