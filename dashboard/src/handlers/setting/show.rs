//! What everybody sees: freeze and reveal, the end of the contest, announcements, links for screens.

use super::page::{self, Typed};
use super::{PATH, as_message, declined};
use crate::app::App;
use crate::control::instant;
use crate::control::show::Show;
use crate::error::RequestError;
use crate::handlers::form::field;
use crate::handlers::frame::{self, show, show_again};
use crate::handlers::site::Site;
use crate::middleware::viewer::Viewer;
use crate::views::format::hides_result;
use crate::views::qr::Qr;
use crate::views::screen::ScreenMade;
use crate::views::{Field, Level};
use flowtest_accounts::{AnnouncementId, Error, ScreenId};
use flowtest_contract::utc_us;
use salvo::prelude::*;

/// Longest that an announcement may be set to stand: a day.
const MINUTES_MAX: u64 = 24 * 60;
const MINUTE_US: u64 = 60_000_000;

async fn set(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
    wanted: impl FnOnce(Show) -> Result<Show, String> + Send,
    done: &str,
) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let seen = req.form::<u64>("show").await;
    match app.controller.set_show(seen, wanted, &actor, app.now()).await {
        Ok(_) => frame::done(depot, res, PATH, done),
        Err(error) => declined(depot, res, &error),
    }
}

/// Whether what was set to be revealed by now waits for a round.
fn waits(app: &App) -> bool {
    app.feed.facts().freeze.reveal_waits(app.now()).is_some()
}

/// Freezes now, or at the instant of the field `at`.
#[handler]
pub async fn freeze_board(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let (typed, zone, now) = (field(req, "at").await, field(req, "zone").await, App::of(depot).now());
    let waits = waits(App::of(depot));
    if typed.is_empty() {
        let freeze = |show: Show| show.waiting(waits).freeze(now, now);
        return set(req, depot, res, freeze, "The board is frozen for everybody else.").await;
    }
    let wanted = match instant::at(&typed, &zone, now) {
        Ok(at) if at <= now => Err("that is over: press Freeze the board to freeze it now".to_owned()),
        wanted => wanted,
    };
    match wanted {
        Ok(at) => {
            let done = format!("The board freezes at {}.", instant::rfc3339(at));
            set(req, depot, res, |show| show.waiting(waits).freeze(at, now), &done).await
        }
        Err(message) => {
            let freeze = Some(Field::wrong(typed, as_message(&message)));
            show_again(res, page::page(depot, Typed { freeze, ..Typed::default() }).await?)
        }
    }
}

#[handler]
pub async fn unfreeze_board(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot);
    // A freeze that lies ahead hides nothing yet.
    let is_frozen = app.controller.show().waiting(waits(app)).frozen_at(app.now()).is_some();
    if is_frozen && let Some(round) = app.controller.hides_result().await? {
        return frame::refused(depot, res, PATH, hides_result(round));
    }
    set(req, depot, res, |show| Ok(show.unfreeze()), "Everybody sees the board as it is.").await
}

#[handler]
pub async fn reveal_board(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    if let Some(round) = App::of(depot).controller.hides_result().await? {
        return frame::refused(depot, res, PATH, hides_result(round));
    }
    let (now, waits) = (App::of(depot).now(), waits(App::of(depot)));
    set(req, depot, res, |show| show.waiting(waits).reveal(now), "Everybody sees the result.").await
}

/// Shows by itself what is frozen, at the instant of the field `at`; left empty, not by itself.
#[handler]
pub async fn time_reveal(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let (typed, zone, now) = (field(req, "at").await, field(req, "zone").await, App::of(depot).now());
    if typed.is_empty() {
        let done = "The board is not revealed by itself.";
        return set(req, depot, res, |show| show.reveal_later(None, now), done).await;
    }
    let show_now = App::of(depot).controller.show();
    match instant::at(&typed, &zone, now).and_then(|at| show_now.reveal_later(Some(at), now).map(|_| at)) {
        Ok(at) => {
            let done = format!("The board is revealed at {}.", instant::rfc3339(at));
            set(req, depot, res, |show| show.reveal_later(Some(at), now), &done).await
        }
        Err(message) => {
            let reveal = Some(Field::wrong(typed, as_message(&message)));
            show_again(res, page::page(depot, Typed { reveal, ..Typed::default() }).await?)
        }
    }
}

/// Says that no round will follow, or takes that back.
#[handler]
pub async fn end_contest(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let (over, playing) = (field(req, "over").await == "yes", App::of(depot).controller.is_playing());
    let wanted = |show: Show| match over && playing {
        true => Err("a round is on: the contest is over when it is sealed".to_owned()),
        false => Ok(Show { over, ..show }),
    };
    let done = if over { "The contest is over, and every page says so." } else { "The contest goes on." };
    set(req, depot, res, wanted, done).await
}

#[handler]
pub async fn make_announcement(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let (level, text) = (field(req, "level").await, field(req, "text").await);
    // A form without the field says nothing of an end.
    let minutes = field(req, "minutes").await.parse::<u64>().ok().filter(|minutes| *minutes <= MINUTES_MAX);
    let until = minutes.map(|minutes| app.now().saturating_add(minutes * MINUTE_US));
    // What is no warning is said quietly.
    let level = level.parse().unwrap_or(Level::Info);
    match app.accounts.announce_until(level, &text, until, &actor, app.now()).await {
        Ok(_) => {
            app.people_changed();
            frame::done(depot, res, PATH, "Everybody is told.")
        }
        Err(Error::Invalid { message, .. }) => {
            let announce = Some((level, Field::wrong(text, message)));
            show_again(res, page::page(depot, Typed { announce, ..Typed::default() }).await?)
        }
        Err(error) => Err(error.into()),
    }
}

#[handler]
pub async fn end_announcement(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let id = AnnouncementId(req.param::<i64>("id").ok_or(RequestError::NotFound)?);
    app.accounts.end_announcement(id, &actor, app.now()).await?;
    app.people_changed();
    frame::done(depot, res, PATH, "The announcement is taken down.")
}

/// Makes a link for a screen. Its code and its secret are shown on the page that answers, and never again.
#[handler]
pub async fn make_screen(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let label = field(req, "label").await;
    if label.is_empty() {
        let screen_label = Some(Field::wrong(label, "Say where it hangs, so that the right one is revoked later."));
        return show_again(res, page::page(depot, Typed { screen_label, ..Typed::default() }).await?);
    }
    match app.accounts.create_screen(&label, &actor, app.now()).await {
        Ok((screen, secret)) => {
            let site = Site::of(&app);
            let code = app.screens.offer(screen.id, secret.reveal(), utc_us()).map_err(RequestError::Internal)?;
            let made = ScreenMade {
                address: site.link("/screen"),
                qr: site.url(&format!("/screen/{code}")).and_then(|url| Qr::of(&url, "the address of the board")),
                link: site.link(&format!("/chart?view=projector&screen={}", secret.reveal())),
                code,
            };
            let typed = Typed { screen_made: Some(made), ..Typed::default() };
            show(res, page::page(depot, typed).await?)
        }
        Err(Error::Invalid { message, .. }) => {
            let screen_label = Some(Field::wrong(label, message));
            show_again(res, page::page(depot, Typed { screen_label, ..Typed::default() }).await?)
        }
        Err(error) => Err(error.into()),
    }
}

#[handler]
pub async fn revoke_screen(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let id = ScreenId(req.param::<i64>("id").ok_or(RequestError::NotFound)?);
    app.accounts.revoke_screen(id, &actor, app.now()).await?;
    app.close_screen(id);
    frame::done(depot, res, PATH, "That link shows nothing any more.")
}
