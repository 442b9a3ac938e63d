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
pub use page::{practice_refused, show_page};

use crate::app::App;
use crate::control::ChangeError;
use crate::control::contestants::EndpointSet;
use crate::control::readiness::is_heard;
use crate::control::requests::{Practice, Write};
use crate::error::RequestError;
use crate::handlers::form::field;
use crate::handlers::frame::{done, refused, show_again};
use crate::limits::address::client_address;
use crate::limits::throttle::Attempt;
use crate::middleware::viewer::Viewer;
use crate::views::Field;
use flowtest_contract::utc_us;
use flowtest_scoreboard::practice::{CLIMB_RATE_MAX, RATE_MAX, SECONDS_MAX};
use page::{page, queue_words};
use salvo::prelude::*;

const PATH: &str = "/index";

/// Of an endpoint that is saved, and that generators do not know of.
const NOT_YET: &str = "It is saved, and no requests go there yet: leave your last server as it is until they come. If it stays so, \
                       tell the organisers.";

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
    use flowtest_accounts::Error::{Busy, Failed, Full, Gone, ReadOnly};
    match error {
        ChangeError::Accounts(Busy | Failed(_) | Full | Gone | ReadOnly) => {
            "Nothing was saved, for something of ours is away. Try again in a minute; if it stays, tell the organisers."
                .to_owned()
        }
        ChangeError::Elsewhere(_) => {
            "Nothing was done, for the contest is steered from another site. Ask the organisers which one it is.".to_owned()
        }
        // Who changed what, and the policy, are the organisers'.
        ChangeError::Stale { .. } | ChangeError::Refused(_) => {
            "It could not be done at this moment. Try again; if it stays, tell the organisers.".to_owned()
        }
        ChangeError::Redis(_) => {
            "No generator can be asked now, for something of ours is away. Try again in a minute; if it stays, tell the \
             organisers."
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// A generator asks an endpoint: so often for one network, and otherwise what to tell.
fn at_test<'a>(req: &Request, app: &'a App) -> Result<Attempt<'a>, String> {
    let attempt = app.failures.at_test(client_address(req, &app.config.proxies), utc_us());
    attempt.map_err(|wait_s| {
        format!("Many tests and practices were asked for from your network: wait {wait_s} s and send it again.")
    })
}

#[handler]
pub async fn set_endpoint(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = contestant(depot)?;
    let text = field(req, "endpoint").await;
    let now = app.now();
    let attempt = match app.controller.tests_what_is_set().then(|| at_test(req, &app)).transpose() {
        Ok(attempt) => attempt,
        Err(told) => return refused(depot, res, PATH, told),
    };
    let set = app.controller.set_endpoint(&viewer.user, &text, &viewer.actor, now);
    let set = app.controller.requests().paced(viewer.user.id, Write::Endpoint, now, set).await;
    if let Some(attempt) = attempt.filter(|_| set.is_err()) {
        attempt.take_back();
    }
    match set {
        Ok(EndpointSet { endpoint, untold }) => {
            // A nudge: whoever comes while a round is on is asked at once.
            app.controller.automation().people_changed();
            let coming = app.controller.arrival(viewer.user.id, true, now);
            let coming = coming.unwrap_or_else(|| "Traffic moves there after three right answers.".to_owned());
            match untold {
                None => done(depot, res, PATH, format!("Your endpoint is {endpoint}. Test it now. {coming}")),
                Some(_) => refused(depot, res, PATH, format!("Your endpoint is {endpoint}. {NOT_YET}")),
            }
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
pub async fn probe(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = contestant(depot)?;
    let attempt = match at_test(req, &app) {
        Ok(attempt) => attempt,
        Err(told) => return refused(depot, res, PATH, told),
    };
    match app.controller.requests().ask_probe(&viewer.user, app.now()).await {
        Ok(_) => done(depot, res, PATH, "A generator is asking your endpoint."),
        Err(error) => {
            attempt.take_back();
            refused(depot, res, PATH, for_contestant(&error))
        }
    }
}

#[handler]
pub async fn practice(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = contestant(depot)?;
    let (rate, seconds) = (field(req, "rate").await, field(req, "seconds").await);
    let (asked_rate, asked_seconds) =
        (number(&rate, RATE_MAX, "requests per second"), number(&seconds, SECONDS_MAX, "seconds"));
    let (Ok(asked_rate), Ok(asked_seconds)) = (&asked_rate, &asked_seconds) else {
        let mut page = page(depot, &app, &viewer.user).await?;
        page.practice.rate = Field { value: rate, error: asked_rate.err() };
        page.practice.seconds = Field { value: seconds, error: asked_seconds.err() };
        return show_again(res, page);
    };
    let wanted = Practice::Hold { rate: *asked_rate, seconds: *asked_seconds };
    ask_practice(&app, &viewer, wanted, req, depot, res).await
}

/// Practice that climbs until the server breaks.
#[handler]
pub async fn climb(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = contestant(depot)?;
    let most = field(req, "most").await;
    match number(&most, CLIMB_RATE_MAX, "requests per second") {
        Ok(most) => ask_practice(&app, &viewer, Practice::Climb { most }, req, depot, res).await,
        Err(message) => {
            let mut page = page(depot, &app, &viewer.user).await?;
            page.practice.most = Field::wrong(most, message);
            show_again(res, page)
        }
    }
}

fn number(text: &str, max: u64, what: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(value) if (1..=max).contains(&value) => Ok(value),
        _ => Err(format!("Write a whole number of {what} from 1 to {max}.")),
    }
}

async fn ask_practice(
    app: &App,
    viewer: &Viewer,
    wanted: Practice,
    req: &Request,
    depot: &mut Depot,
    res: &mut Response,
) -> Result<(), RequestError> {
    // It begins as a test does.
    let attempt = match at_test(req, app) {
        Ok(attempt) => attempt,
        Err(told) => return refused(depot, res, PATH, told),
    };
    let now = app.now();
    let generators = app.controller.status().generators.iter().filter(|seen| is_heard(seen, now)).count();
    match app.controller.requests().ask_practice(&viewer.user, wanted, generators, now).await {
        Ok((_, before)) => done(depot, res, PATH, format!("Practice is asked for. {}", queue_words(app, before))),
        Err(error) => {
            attempt.take_back();
            refused(depot, res, PATH, for_contestant(&error))
        }
    }
}
