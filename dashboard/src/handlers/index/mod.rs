//! A contestant's own page: endpoint, test, practice, score, what went wrong.
//!
//! | module | noun |
//! |---|---|
//! | `page` | everything the page shows |
//! | `answers` | what it asks for while a test or a practice runs |
//!
//! Here are its forms.

mod answers;
mod page;

pub use answers::{practice_report, probe_answer};
pub use page::show_page;

use crate::app::App;
use crate::control::ChangeError;
use crate::control::requests::Write;
use crate::error::RequestError;
use crate::handlers::form::field;
use crate::handlers::frame::{done, refused, show_again};
use crate::middleware::viewer::Viewer;
use crate::views::Field;
use flowtest_scoreboard::practice::{RATE_MAX, SECONDS_MAX};
use page::page;
use salvo::prelude::*;

const PATH: &str = "/index";

/// Whoever posts here changes its own; an admin changes others' from the setting page.
fn contestant(depot: &Depot) -> Result<Viewer, RequestError> {
    let viewer = Viewer::of(depot)?;
    if viewer.is_admin() {
        return Err(RequestError::Forbidden("this is a contestant's own form: change endpoints from the setting page"));
    }
    Ok(viewer.clone())
}

/// What is wrong with our own machines is told without what an organiser would do about it.
fn for_contestant(error: &ChangeError) -> String {
    use flowtest_accounts::Error::{Busy, Failed, Full, ReadOnly};
    match error {
        ChangeError::Accounts(Busy | Failed(_) | Full | ReadOnly) | ChangeError::Elsewhere(_) => {
            "Nothing was saved, for something of ours is away. Try again in a minute; if it stays, tell the organisers."
                .to_owned()
        }
        ChangeError::Redis(_) => {
            "No generator can be asked now, for something of ours is away. Try again in a minute; if it stays, tell the \
             organisers."
                .to_owned()
        }
        other => other.to_string(),
    }
}

#[handler]
pub async fn set_endpoint(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = contestant(depot)?;
    let text = field(req, "endpoint").await;
    let now = app.now();
    let set = app.controller.set_endpoint(&viewer.user, &text, &viewer.actor, now);
    match app.controller.requests().paced(viewer.user.id, Write::Endpoint, now, set).await {
        Ok(endpoint) => {
            let told = format!("Your endpoint is {endpoint}. Test it now: it gets traffic after three right answers.");
            done(depot, res, PATH, told)
        }
        Err(ChangeError::Field { message, .. }) => {
            let mut page = page(depot, &app, &viewer.user).await?;
            page.endpoint.form = Field::wrong(text, message);
            show_again(res, page)
        }
        Err(error) => refused(depot, res, PATH, for_contestant(&error)),
    }
}

#[handler]
pub async fn reset_endpoint(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = contestant(depot)?;
    let now = app.now();
    let reset = app.controller.reset_endpoint(viewer.user.id, &viewer.actor, now);
    match app.controller.requests().paced(viewer.user.id, Write::Endpoint, now, reset).await {
        Ok(()) => done(depot, res, PATH, "Your endpoint is taken away."),
        Err(error) => refused(depot, res, PATH, for_contestant(&error)),
    }
}

#[handler]
pub async fn probe(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = contestant(depot)?;
    match app.controller.requests().ask_probe(&viewer.user, app.now()).await {
        Ok(_) => done(depot, res, PATH, "A generator is asking your endpoint."),
        Err(error) => refused(depot, res, PATH, for_contestant(&error)),
    }
}

#[handler]
pub async fn practice(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = contestant(depot)?;
    let (rate, seconds) = (field(req, "rate").await, field(req, "seconds").await);
    let number = |text: &str, max: u64, what: &str| match text.parse::<u64>() {
        Ok(value) if (1..=max).contains(&value) => Ok(value),
        _ => Err(format!("Write a whole number of {what} from 1 to {max}.")),
    };
    let (asked_rate, asked_seconds) =
        (number(&rate, RATE_MAX, "requests per second"), number(&seconds, SECONDS_MAX, "seconds"));
    let (Ok(asked_rate), Ok(asked_seconds)) = (&asked_rate, &asked_seconds) else {
        let mut page = page(depot, &app, &viewer.user).await?;
        page.practice.rate = Field { value: rate, error: asked_rate.err() };
        page.practice.seconds = Field { value: seconds, error: asked_seconds.err() };
        return show_again(res, page);
    };
    match app.controller.requests().ask_practice(&viewer.user, *asked_rate, *asked_seconds, app.now()).await {
        Ok(_) => done(depot, res, PATH, "Practice is asked for; it begins when a generator is free."),
        Err(error) => refused(depot, res, PATH, for_contestant(&error)),
    }
}
