//! Everything the organiser's page shows: read once, decided here, and filled into the view.

use super::contest::fleet;
use super::guide::{self, Known};
use super::people_panel::{adjustments, backup, people, screens};
use super::plan_panel::totals;
use super::ready_panel::{readiness, warnings};
use super::round_panel::{past, round};
use super::team_panel::{self, teams};
use crate::app::App;
use crate::control::difference::deadline_consequence;
use crate::control::readiness::Situation;
use crate::control::settings::Settings;
use crate::error::RequestError;
use crate::handlers::frame::{self, show as send};
use crate::handlers::site::Site;
use crate::live::Audience;
use crate::middleware::viewer::Viewer;
use crate::views::Field;
use crate::views::layout::{Level, Page};
use crate::views::screen::ScreenMade;
use crate::views::setting::{
    AnnounceForm, ArmForm, Doubt, Guide, Readiness, RoundPanel, SettingLive, SettingPage, SettingTeam, TeamForm,
    TeamsPanel,
};
use crate::views::tokens::InvitationForm;
use flowtest_accounts::{InviteStatus, User, UserId};
use flowtest_contract::rules::UtcUs;
use salvo::prelude::*;

/// What was typed into a form that goes back to whoever typed it, and what was asked for.
#[derive(Default)]
pub(super) struct Typed {
    pub(super) arm: Option<ArmForm>,
    /// Why arming is asked for once more.
    pub(super) doubts: Vec<Doubt>,
    pub(super) deadline: Option<Field>,
    pub(super) freeze: Option<Field>,
    pub(super) reveal: Option<Field>,
    pub(super) seal_reason: Option<Field>,
    pub(super) announce: Option<(Level, Field)>,
    pub(super) screen_label: Option<Field>,
    pub(super) screen_made: Option<ScreenMade>,
    /// The team that is looked at.
    pub(super) team: Option<(UserId, TeamForm)>,
    /// Who is searched for.
    pub(super) who: String,
}

/// Letters that are searched for at most.
const QUERY_CHARS: usize = 60;

/// The team of `?team=`.
fn team_asked(req: &mut Request) -> Option<(UserId, TeamForm)> {
    req.query::<i64>("team").map(|id| (UserId(id), TeamForm::default()))
}

#[handler]
pub async fn show_page(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let who: String = req.query::<String>("who").unwrap_or_default().trim().chars().take(QUERY_CHARS).collect();
    let page = page(depot, Typed { team: team_asked(req), who, ..Typed::default() }).await?;
    send(res, page)
}

#[handler]
pub async fn show_live(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let now = app.now();
    app.controller.requests().watch(now);
    let users = app.accounts.users().await?;
    let situation = app.controller.situation(now).await?;
    let Levers { revision, guide, readiness, round, teams } =
        levers(&app, &situation, &users, None, team_asked(req), now).await?;
    let layout = frame::layout(depot, Page::Setting, "Control");
    let (csrf, notices) = (layout.csrf, layout.notices);
    send(res, SettingLive { csrf, revision, guide, readiness, round, notices, teams })
}

/// One team alone, for the script that opens it in its place.
#[handler]
pub async fn show_team(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let id = UserId(req.param::<i64>("id").ok_or(RequestError::NotFound)?);
    let users = app.accounts.users().await?;
    let situation = app.controller.situation(app.now()).await?;
    let team = team_panel::detail(&app, &users, &situation, id, TeamForm::default()).await?;
    let csrf = frame::layout(depot, Page::Setting, "Control").csrf;
    send(res, SettingTeam { csrf, team: team.ok_or(RequestError::NotFound)? })
}

/// What of the page changes by itself.
struct Levers {
    revision: u64,
    guide: Guide,
    readiness: Readiness,
    round: RoundPanel,
    teams: TeamsPanel,
}

/// `typed`: how a round was to be armed. `open`: the team that is looked at.
async fn levers(
    app: &App,
    situation: &Situation,
    users: &[User],
    typed: Option<ArmForm>,
    open: Option<(UserId, TeamForm)>,
    now: UtcUs,
) -> Result<Levers, RequestError> {
    let (status, control) = (app.controller.status(), app.controller.control());
    let (control, rounds) = (control.as_deref(), app.accounts.rounds().await?);
    let redis = app.config.redis.to_string();
    let invites = app.accounts.invites(now).await?;
    let teams = teams(app, users, situation, open).await?;
    let mut readiness = readiness(situation, &status, control, users);
    let known = Known {
        contest: &app.config.contest,
        redis: &redis,
        unused: invites.iter().filter(|invite| invite.status == InviteStatus::Unused).count(),
        allows_private: !app.controller.settings().policy.allow.is_empty(),
        is_set_up: *app.controller.settings() != Settings::default(),
        has_played: !rounds.is_empty(),
        is_go: readiness.missing.is_empty(),
    };
    readiness.validity = app.feed.validity(&Audience::Admin);
    readiness.warnings = warnings(&readiness, situation.state, &teams.lines);
    Ok(Levers {
        revision: control.map_or(0, |control| control.revision),
        guide: guide::guide(situation, known),
        readiness,
        round: RoundPanel {
            past: past(app, &rounds, users, control).await?,
            ..round(app, control, &status, &rounds, typed, situation)
        },
        teams,
    })
}

/// What is played, a sentence each.
async fn summary(app: &App) -> Result<Vec<String>, RequestError> {
    let settings = app.controller.settings();
    let mut said = totals(&settings.phases, settings.rules.timeout_us, fleet(app).await?);
    for (name, value, when) in [("Version", "v2", settings.deadlines.version), ("From", "ECS", settings.deadlines.from)]
    {
        said.push(format!("{name}: {}", deadline_consequence(value, when)));
    }
    Ok(said)
}

/// The page, with what was typed.
pub(super) async fn page(depot: &mut Depot, typed: Typed) -> Result<SettingPage, RequestError> {
    let app = App::of(depot).clone();
    let me = Viewer::of(depot)?.user.id;
    let now = app.now();
    let situation = app.controller.situation(now).await?;
    let users = app.accounts.users().await?;
    let Levers { revision, guide, readiness, round, teams } =
        levers(&app, &situation, &users, typed.arm, typed.team, now).await?;
    let (level, text) = typed.announce.unwrap_or((Level::Info, Field::default()));
    Ok(SettingPage {
        layout: frame::layout(depot, Page::Setting, "Control"),
        revision,
        guide,
        readiness,
        round: RoundPanel {
            deadline: typed.deadline.unwrap_or_default(),
            freeze: typed.freeze.unwrap_or_default(),
            reveal: typed.reveal.unwrap_or_default(),
            seal_reason: typed.seal_reason.unwrap_or_default(),
            doubts: typed.doubts,
            ..round
        },
        summary: summary(&app).await?,
        announce: AnnounceForm { level, text },
        teams,
        adjustments: adjustments(&app, &users).await?,
        people: people(&app, &users, me, &typed.who, now).await?,
        screens: screens(&app).await?,
        screen_label: typed.screen_label.unwrap_or_default(),
        screen_made: typed.screen_made,
        screen_doubt: Site::of(&app).doubt(),
        invitations: InvitationForm::default(),
        backup: backup(&app).await?,
    })
}
