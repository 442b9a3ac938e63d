//! Everything the organiser's page shows: read once, decided here, and filled into the view.

use super::contest_panel::{change, contest_form};
use super::people_panel::{adjustments, backup, contestants, screens, user_lines};
use super::ready_panel::readiness;
use super::round_panel::{past, round};
use crate::app::App;
use crate::control::difference::Changed;
use crate::control::form::{FieldError, SettingsForm};
use crate::control::settings::plan;
use crate::error::RequestError;
use crate::handlers::convert;
use crate::handlers::frame::{self, show as send};
use crate::middleware::viewer::Viewer;
use crate::views::Field;
use crate::views::layout::{Level, Page};
use crate::views::plan::PlanGraph;
use crate::views::setting::{AnnounceForm, RoundPanel, SettingPage, TeamForm};
use crate::views::tokens::InvitationForm;
use flowtest_accounts::UserId;
use salvo::prelude::*;

/// What was typed into a form that goes back to whoever typed it.
#[derive(Default)]
pub(super) struct Typed {
    pub(super) contest: Option<(SettingsForm, Vec<FieldError>)>,
    /// What the page had shown on which it was typed: the next form is still about that.
    pub(super) revision: Option<u64>,
    /// What saving that would change.
    pub(super) changes: Vec<Changed>,
    /// Start, whether it is scored, which generators.
    pub(super) arm: Option<(Field, bool, Vec<String>)>,
    pub(super) deadline: Option<Field>,
    pub(super) freeze: Option<Field>,
    pub(super) seal_reason: Option<Field>,
    pub(super) announce: Option<(Level, Field)>,
    pub(super) screen_label: Option<Field>,
    pub(super) screen_made: Option<String>,
    pub(super) team: Option<(UserId, TeamForm)>,
}

#[handler]
pub async fn show_page(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let page = page(depot, Typed::default()).await?;
    send(res, page)
}

/// The page, with what was typed.
pub(super) async fn page(depot: &mut Depot, typed: Typed) -> Result<SettingPage, RequestError> {
    let app = App::of(depot).clone();
    let me = Viewer::of(depot)?.user.id;
    let now = app.now();
    let situation = app.controller.situation(now).await?;
    let (status, control) = (app.controller.status(), app.controller.control());
    let rounds = app.accounts.rounds().await?;
    let users = app.accounts.users().await?;
    let (form, errors) = typed.contest.unwrap_or_else(|| (SettingsForm::of(&app.controller.settings()), Vec::new()));
    let phases = plan(&form.plan).ok();
    let (level, text) = typed.announce.unwrap_or((Level::Info, Field::default()));
    Ok(SettingPage {
        layout: frame::layout(depot, Page::Setting, "Control"),
        revision: typed.revision.unwrap_or_else(|| control.as_ref().map_or(0, |control| control.revision)),
        readiness: readiness(&situation, &status, control.as_deref(), &users),
        round: RoundPanel {
            deadline: typed.deadline.unwrap_or_default(),
            freeze: typed.freeze.unwrap_or_default(),
            seal_reason: typed.seal_reason.unwrap_or_default(),
            past: past(&app, &rounds, &users, control.as_deref()).await?,
            ..round(&app, control.as_deref(), &status, &rounds, typed.arm, now)
        },
        contest: contest_form(form, &errors, control.as_deref()),
        plan: phases.map(|phases| PlanGraph::of(convert::plan(&phases))),
        difference: typed.changes.into_iter().map(change).collect(),
        announce: AnnounceForm { level, text },
        contestants: contestants(&app, &users, &situation, typed.team),
        adjustments: adjustments(&app, &users).await?,
        users: user_lines(&app, &users, me, now).await?,
        screens: screens(&app).await?,
        screen_label: typed.screen_label.unwrap_or_default(),
        screen_made: typed.screen_made,
        invitations: InvitationForm::default(),
        backup: backup(&app).await?,
    })
}
