//! The settings of the contest: validated together, shown as a difference, then saved.

use super::page::{self, Typed};
use super::{PATH, as_sentence, declined, told};
use crate::app::App;
use crate::control::difference::{announcement, difference};
use crate::control::form::SettingsForm;
use crate::error::RequestError;
use crate::handlers::form::{field, is_ticked, revision};
use crate::handlers::frame::{self, show, show_again};
use crate::middleware::viewer::Viewer;
use flowtest_accounts::{ANNOUNCEMENT_MAX, Level};
use salvo::prelude::*;

#[handler]
pub async fn save_contest(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let (seen, confirmed) = (revision(req).await, is_ticked(req, "confirm").await);
    let form = read(req, &SettingsForm::of(&app.controller.settings())).await;
    let settings = match form.read() {
        Ok(settings) => settings,
        Err(errors) => {
            let typed = Typed { contest: Some((form, errors)), revision: seen, ..Typed::default() };
            return show_again(res, page::page(depot, typed).await?);
        }
    };
    // Beside what somebody else saved meanwhile, the difference would take that back without saying so.
    if let Err(error) = app.controller.check_fresh(seen).await {
        return declined(depot, res, &error);
    }
    let changes = difference(&app.controller.settings(), &settings);
    if changes.is_empty() {
        return frame::done(depot, res, PATH, "Nothing differs from what is saved.");
    }
    if !confirmed {
        let typed = Typed { contest: Some((form, Vec::new())), changes, revision: seen, ..Typed::default() };
        return show(res, page::page(depot, typed).await?);
    }
    let now = app.now();
    let made = match app.controller.save_settings(seen, settings, &viewer.actor, now).await {
        Ok(made) => made,
        Err(error) => return declined(depot, res, &error),
    };
    if let Some(text) = announcement(&changes) {
        let text: String = text.chars().take(ANNOUNCEMENT_MAX).collect();
        app.accounts.announce(Level::Info, &text, &viewer.actor, now).await?;
    }
    app.people_changed();
    let unpublished = made
        .and_then(|made| made.unpublished)
        .map(|why| format!(" Generators do not know of it yet: {}", as_sentence(&why)));
    frame::done(depot, res, PATH, format!("The settings are saved.{}", unpublished.unwrap_or_default()))
}

/// What was typed; a field that the page does not have stays as it is.
async fn read(req: &mut Request, saved: &SettingsForm) -> SettingsForm {
    let title = match req.form::<String>("title").await {
        Some(title) => title.trim().to_owned(),
        None => saved.title.clone(),
    };
    let house = match req.form::<String>("house").await {
        Some(house) => house.trim().to_owned(),
        None => saved.house.clone(),
    };
    SettingsForm {
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
        plan: field(req, "plan").await,
        allow: field(req, "allow").await,
        deny: field(req, "deny").await,
        allow_shared: is_ticked(req, "allow_shared").await,
        house,
    }
}

/// Takes over the newer document that Redis holds.
#[handler]
pub async fn adopt(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let made = app.controller.adopt(&actor, app.now()).await;
    told(depot, res, made, "What Redis holds is taken over.")
}
