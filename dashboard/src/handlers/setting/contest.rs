//! The settings of the contest: validated together, shown as a difference, then saved. What somebody else saved meanwhile is
//! put together with what was typed.

use super::contest_panel::{change, conflict, contest_form};
use super::plan_panel::{self, Fleet};
use super::{declined, told, told_at};
use crate::app::App;
use crate::control::difference::{Changed, announcement, difference};
use crate::control::form::{FieldError, SettingsForm};
use crate::control::merge::{Conflict, Merged, merge};
use crate::control::plan_rows::{PlanRow, ROWS_MAX, rows_of, text_of};
use crate::control::readiness;
use crate::control::settings::Settings;
use crate::control::{ChangeError, Made};
use crate::error::RequestError;
use crate::handlers::form::{field, is_ticked, revision};
use crate::handlers::frame::{self, show, show_again};
use crate::middleware::viewer::Viewer;
use crate::views::SettingsPage;
use crate::views::layout::Page;
use crate::views::settings::PlanFragment;
use flowtest_accounts::{ANNOUNCEMENT_MAX, Level};
use flowtest_contest::State;
use flowtest_contract::Row;
use salvo::prelude::*;

/// Where the form of the settings goes, and the page it stands on.
const PATH: &str = "/setting/contest";
/// Tries to save upon what somebody saves in the same moment.
const TRIES: usize = 3;

/// What was typed, as it goes back to whoever typed it.
#[derive(Default)]
struct Typed {
    form: SettingsForm,
    errors: Vec<FieldError>,
    changes: Vec<Changed>,
    conflicts: Vec<Conflict>,
    /// What the form goes on from; nothing: from what is saved now.
    base: Option<SettingsForm>,
    revision: Option<u64>,
}

#[handler]
pub async fn show_contest(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let form = SettingsForm::of(&App::of(depot).controller.settings());
    let page = page(depot, Typed { form, ..Typed::default() }).await?;
    show(res, page)
}

/// The page with the preview of what is typed; with `?part` the rows and the preview alone.
#[handler]
pub async fn preview_contest(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let (seen, base) = (revision(req).await, base(req).await);
    let (form, errors) = read(req, &SettingsForm::of(&app.controller.settings())).await;
    if req.query::<String>("part").is_some() {
        let plan = plan_panel::editor(&form.plan, form.timeout_us(), deadlines(&form), &form.zone, fleet(&app).await?);
        return show(res, PlanFragment { plan });
    }
    let page = page(depot, Typed { form, errors, base, revision: seen, ..Typed::default() }).await?;
    show(res, page)
}

#[handler]
pub async fn save_contest(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let (seen, confirmed, shown) = (revision(req).await, is_ticked(req, "confirm").await, base(req).await);
    let (typed, mut wrong) = read(req, &SettingsForm::of(&app.controller.settings())).await;
    for _ in 0..TRIES {
        let now_at = app.controller.control().map(|control| control.revision);
        let saved = app.controller.settings();
        // A form that says what it goes on from is put together with what was saved since; without that the difference would
        // take it back without saying so.
        let (form, conflicts) = match &shown {
            Some(base) => {
                let Merged { form, conflicts } = merge(base, &typed, &SettingsForm::of(&saved));
                (form, conflicts)
            }
            None => (typed.clone(), Vec::new()),
        };
        let base = shown.as_ref().map(|_| SettingsForm::of(&saved));
        let revision = if shown.is_some() { now_at } else { seen };
        if !conflicts.is_empty() {
            let page = page(depot, Typed { form, conflicts, base, revision, ..Typed::default() }).await?;
            return show_again(res, page);
        }
        let settings = match form.read() {
            Ok(settings) if wrong.is_empty() => settings,
            read => {
                wrong.extend(read.err().unwrap_or_default());
                let page = page(depot, Typed { form, errors: wrong, base, revision, ..Typed::default() }).await?;
                return show_again(res, page);
            }
        };
        if let Err(error) = app.controller.check_fresh(revision).await {
            return declined(depot, res, &error);
        }
        let changes = difference(&saved, &settings);
        if changes.is_empty() {
            return frame::done(depot, res, PATH, "Nothing differs from what is saved.");
        }
        if !confirmed {
            let page = page(depot, Typed { form, changes, base, revision, ..Typed::default() }).await?;
            return show(res, page);
        }
        match save(&app, &viewer, revision, settings, &changes).await {
            // In this very moment somebody else saved: once more, upon that.
            Err(ChangeError::Stale { .. }) if shown.is_some() => {}
            Err(error) => return declined(depot, res, &error),
            Ok((made, done)) => {
                return match made {
                    Some(made) => told_at(depot, res, PATH, Ok(made), &done),
                    None => frame::done(depot, res, PATH, done),
                };
            }
        }
    }
    frame::refused(depot, res, PATH, "Others save all the time: wait a moment, and save again.")
}

async fn save(
    app: &App,
    viewer: &Viewer,
    revision: Option<u64>,
    settings: Settings,
    changes: &[Changed],
) -> Result<(Option<Made>, String), ChangeError> {
    let now = app.now();
    let round = next_round(app);
    let made = app.controller.save_settings(revision, settings, &viewer.actor, now).await?;
    if let Some(text) = announcement(changes, round) {
        let text: String = text.chars().take(ANNOUNCEMENT_MAX).collect();
        // Not shown on every page: it stands in the log of changes, on the rules page.
        app.accounts.announce_until(Level::Info, &text, Some(now), &viewer.actor, now).await?;
    }
    app.people_changed();
    let from = round.map(|round| format!(" Rules, deadlines and plan count from round {round} on."));
    Ok((made, format!("The settings are saved.{}", from.unwrap_or_default())))
}

/// The number of the round from which on a change counts, while one is on for which it comes too late.
fn next_round(app: &App) -> Option<u32> {
    let control = app.controller.control()?;
    let playing = !matches!(control.state, State::Draft | State::Sealed | State::Aborted);
    let number = app.feed.facts().numbers.get(&control.round?).copied()?;
    playing.then(|| number.saturating_add(1))
}

async fn page(depot: &mut Depot, typed: Typed) -> Result<SettingsPage, RequestError> {
    let app = App::of(depot).clone();
    let control = app.controller.control();
    let Typed { form, errors, changes, conflicts, base, revision } = typed;
    let base = base.unwrap_or_else(|| SettingsForm::of(&app.controller.settings()));
    let plan = plan_panel::editor(&form.plan, form.timeout_us(), deadlines(&form), &form.zone, fleet(&app).await?);
    let round = next_round(&app);
    Ok(SettingsPage {
        layout: frame::layout(depot, Page::Settings, "Settings"),
        revision: revision.unwrap_or_else(|| control.as_ref().map_or(0, |control| control.revision)),
        base: serde_json::to_string(&base).map_err(|error| RequestError::Internal(error.to_string()))?,
        contest: contest_form(form, &errors, control.as_deref(), round),
        plan,
        difference: changes.into_iter().map(|changed| change(changed, round)).collect(),
        conflicts: conflicts.into_iter().map(conflict).collect(),
    })
}

fn deadlines(form: &SettingsForm) -> [(&str, &str, &str); 2] {
    [("Version", "v2", &form.version_deadline), ("From", "ECS", &form.from_deadline)]
}

/// Who would play the next round, on which machines.
pub(super) async fn fleet(app: &App) -> Result<Fleet, RequestError> {
    let (status, now) = (app.controller.status(), app.now());
    let heard = status.generators.iter().filter(|seen| readiness::is_heard(seen, now));
    let cores: Vec<u64> = heard.filter_map(|seen| Some(u64::from(seen.health.as_ref()?.cores))).collect();
    let rounds = app.accounts.rounds().await?;
    let results = match rounds.iter().rev().find(|round| round.finished_at.is_some()) {
        Some(last) => app.accounts.results_of(last.id).await?,
        None => Vec::new(),
    };
    let tallies: Vec<_> = results.iter().filter_map(|result| Some(Row::decode(&result.row).ok()?.tally)).collect();
    let (bytes, sent) = tallies.iter().fold((0u64, 0u64), |(bytes, sent), tally| {
        (bytes.saturating_add(tally.bytes), sent.saturating_add(tally.sent))
    });
    Ok(Fleet {
        contestants: status.roster.contestants.len() as u64,
        generators: cores.len() as u64,
        cores: cores.iter().sum(),
        // Counted are the answers' bytes; a request takes about as much as its head.
        exchange_bytes: bytes.checked_div(sent).map(|answer| answer.saturating_add(REQUEST_BYTES)),
    })
}

/// A request of ours with its four headers, about.
const REQUEST_BYTES: u64 = 150;

/// What the page showed on which this was typed. A form of another program says nothing of it.
async fn base(req: &mut Request) -> Option<SettingsForm> {
    serde_json::from_str(&field(req, "base").await).ok()
}

/// What was typed, and what no field alone can say is wrong with it. A field that the page does not have stays as it is.
async fn read(req: &mut Request, saved: &SettingsForm) -> (SettingsForm, Vec<FieldError>) {
    let title = match req.form::<String>("title").await {
        Some(title) => title.trim().to_owned(),
        None => saved.title.clone(),
    };
    let house = match req.form::<String>("house").await {
        Some(house) => house.trim().to_owned(),
        None => saved.house.clone(),
    };
    let (plan, wrong) = read_plan(req).await;
    let form = SettingsForm {
        title,
        version_deadline: field(req, "version_deadline").await,
        from_deadline: field(req, "from_deadline").await,
        zone: field(req, "zone").await,
        timeout: field(req, "timeout").await,
        grace: field(req, "grace").await,
        token: field(req, "token").await,
        version: field(req, "version").await,
        from: field(req, "from").await,
        token_required: is_ticked(req, "token_required").await,
        absent_free: is_ticked(req, "absent_free").await,
        holds_first: is_ticked(req, "holds_first").await,
        breakpoint_points: field(req, "breakpoint_points").await,
        plan,
        allow: text(req, "allow").await,
        deny: text(req, "deny").await,
        allow_shared: is_ticked(req, "allow_shared").await,
        ownership: is_ticked(req, "ownership").await,
        tls_any: is_ticked(req, "tls_any").await,
        house,
    };
    (form, wrong.into_iter().collect())
}

/// A text of several lines, which browsers send with the line breaks of the mail.
async fn text(req: &mut Request, name: &str) -> String {
    field(req, name).await.replace("\r\n", "\n")
}

/// The plan of the rows, or its text where that was changed.
async fn read_plan(req: &mut Request) -> (String, Option<FieldError>) {
    let (typed, shown) = (text(req, "plan").await, text(req, "plan_shown").await);
    let rows = rows(req).await;
    if rows.is_empty() {
        return (typed, None);
    }
    let from_rows = text_of(&rows).trim().to_owned();
    if typed == shown {
        // Written as it was where the rows say the same, so that nothing seems to be changed.
        return (if same(&shown, &from_rows) { typed } else { from_rows }, None);
    }
    let is_changed = !same(&shown, &from_rows) && !same(&typed, &from_rows);
    let message = "rows and text were both changed: this is the text; change one of the two, and the other follows";
    (typed, is_changed.then(|| FieldError { field: "plan", message: message.to_owned() }))
}

fn same(one: &str, other: &str) -> bool {
    rows_of(one).is_some_and(|one| rows_of(other).is_some_and(|other| one == other))
}

async fn rows(req: &mut Request) -> Vec<PlanRow> {
    let count = req.form::<usize>("phases").await.unwrap_or(0).min(ROWS_MAX);
    let mut rows = Vec::with_capacity(count);
    for index in 0..count {
        rows.push(PlanRow {
            length: field(req, &format!("phase_{index}_for")).await,
            rate: field(req, &format!("phase_{index}_rate")).await,
            connections: field(req, &format!("phase_{index}_connections")).await,
            pipeline: field(req, &format!("phase_{index}_pipeline")).await,
            scored: field(req, &format!("phase_{index}_scored")).await != "no",
            more: text(req, &format!("phase_{index}_more")).await,
        });
    }
    rows
}

/// Takes over the newer document that Redis holds.
#[handler]
pub async fn adopt(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let made = app.controller.adopt(&actor, app.now()).await;
    told(depot, res, made, "What Redis holds is taken over.")
}
