//! What is done to one contestant.

use super::page::{self, Typed};
use super::{as_message, told_at};
use crate::app::App;
use crate::control::ChangeError;
use crate::control::contestants::EndpointSet;
use crate::error::RequestError;
use crate::handlers::form::field;
use crate::handlers::frame::{self, show_again};
use crate::middleware::viewer::Viewer;
use crate::views::Field;
use crate::views::setting::TeamForm;
use flowtest_accounts::{AdjustmentId, Error, Role, User, UserId};
use salvo::prelude::*;

#[handler]
pub async fn change_contestant(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let id = UserId(req.param::<i64>("id").ok_or(RequestError::NotFound)?);
    let action = req.param::<String>("action").ok_or(RequestError::NotFound)?;
    let user = app.accounts.user(id).await?.filter(|user| user.role == Role::Staff).ok_or(RequestError::NotFound)?;
    let (now, name, back) = (app.now(), user.name.clone(), team_path(id));
    let outcome = match action.as_str() {
        "park" | "unpark" => {
            let parked = action == "park";
            let made = app.controller.park(&user, parked, &actor, now).await;
            let done = if parked { "gets no traffic any more" } else { "gets traffic again" };
            return told_at(depot, res, &back, made, &format!("{name} {done}."));
        }
        "hide" | "show" => {
            let hidden = action == "hide";
            let changed = app.accounts.set_hidden(id, hidden, &actor, now).await;
            let done = if hidden { "stands on no board any more" } else { "stands on the board again" };
            changed.map(|_| format!("{name} {done}.")).map_err(ChangeError::from)
        }
        "disqualify" | "requalify" => {
            let reason = field(req, "reason").await;
            let (changed, done) = match action.as_str() {
                "disqualify" => {
                    let changed = app.controller.disqualify(&user, &reason, &actor, now).await;
                    (changed, format!("{name} is disqualified, and gets no traffic any more."))
                }
                _ => (app.controller.requalify(&user, &actor, now).await, format!("{name} plays again.")),
            };
            match changed {
                Ok(Some(made)) => {
                    app.people_changed();
                    return told_at(depot, res, &back, Ok(made), &done);
                }
                changed => changed.map(|_| done),
            }
        }
        "category" => {
            let category = field(req, "category").await;
            let changed = app.accounts.set_category(id, &category, &actor, now).await.map_err(ChangeError::from);
            changed.map(|user| match user.category {
                Some(category) => format!("{name} competes in {category}."),
                None => format!("{name} competes in no category."),
            })
        }
        "contact" => {
            let contact = field(req, "contact").await;
            let changed = app.accounts.set_contact(id, &contact, &actor, now).await.map_err(ChangeError::from);
            changed.map(|_| format!("How {name} is reached is noted."))
        }
        "adjust" => adjust(req, depot, &user).await?,
        "password" => password(req, depot, &user).await?,
        "endpoint" => {
            let text = field(req, "endpoint").await;
            let changed = app.controller.set_endpoint(&user, &text, &actor, now).await;
            match changed {
                Ok(EndpointSet { endpoint, untold: Some(why) }) => {
                    app.people_changed();
                    let text = format!(
                        "{name} is at {endpoint}. It is saved, and generators do not know of it yet: {}",
                        as_message(&why)
                    );
                    return frame::refused(depot, res, &back, text);
                }
                changed => changed.map(|set| format!("{name} is at {}.", set.endpoint)),
            }
        }
        "probe" => {
            let asked = app.controller.requests().ask_probe(&user, now).await;
            asked.map(|_| format!("The endpoint of {name} is being tested: look again in some seconds."))
        }
        _ => return Err(RequestError::NotFound),
    };
    match outcome {
        Ok(done) => {
            app.people_changed();
            frame::done(depot, res, &back, done)
        }
        Err(ChangeError::Accounts(Error::Invalid { field, message }) | ChangeError::Field { field, message }) => {
            let form = wrong(req, &action, field, as_message(&message)).await;
            let typed = Typed { team: Some((id, form)), ..Typed::default() };
            show_again(res, page::page(depot, typed).await?)
        }
        Err(error) => frame::refused(depot, res, &back, as_message(&error.to_string())),
    }
}

/// The page with this team opened, where whoever acted on it was.
fn team_path(id: UserId) -> String {
    format!("/setting?team={id}#team-{id}")
}

/// What was typed, with what is wrong where it was typed. Passwords are not written back.
async fn wrong(req: &mut Request, action: &str, wrong: &str, message: String) -> TeamForm {
    let mut form = TeamForm::default();
    let reason = field(req, "reason").await;
    match action {
        "adjust" => {
            form.points = Field::new(field(req, "points").await);
            form.reason = Field::new(reason);
            let field = if wrong == "reason" { &mut form.reason } else { &mut form.points };
            field.error = Some(message);
        }
        "disqualify" => form.disqualify = Field::wrong(reason, message),
        "category" => form.category = Field::wrong(field(req, "category").await, message),
        "contact" => form.contact = Field::wrong(field(req, "contact").await, message),
        "password" => form.password = Field::wrong("", message),
        _ => form.endpoint = Field::wrong(field(req, "endpoint").await, message),
    }
    form
}

async fn adjust(req: &mut Request, depot: &Depot, user: &User) -> Result<Result<String, ChangeError>, RequestError> {
    let (app, actor) = (App::of(depot), &Viewer::of(depot)?.actor);
    let (typed, reason) = (field(req, "points").await, field(req, "reason").await);
    let Ok(points) = typed.trim_start_matches('+').parse::<i64>() else {
        let message = "points are a whole number, such as 500 or -500".to_owned();
        return Ok(Err(ChangeError::Field { field: "points", message }));
    };
    let adjusted = app.accounts.adjust(user.id, points, &reason, actor, app.now()).await;
    Ok(adjusted.map(|line| format!("{} gets {:+} points.", user.name, line.points)).map_err(ChangeError::from))
}

async fn password(req: &mut Request, depot: &Depot, user: &User) -> Result<Result<String, ChangeError>, RequestError> {
    let (app, actor) = (App::of(depot), &Viewer::of(depot)?.actor);
    let password = req.form::<String>("password").await.unwrap_or_default();
    let about = [user.name.clone(), user.display_name.clone(), app.config.contest.clone()];
    if let Some(message) = crate::credentials::password::weakness_of(&app.accounts, password.clone(), about).await? {
        return Ok(Err(ChangeError::Field { field: "password", message }));
    }
    let set = app.accounts.set_password(user.id, &password, None, actor, app.now()).await;
    app.close_sessions_of(user.id, None);
    Ok(set
        .map(|_| format!("The password of {} is set; its sessions have ended.", user.name))
        .map_err(ChangeError::from))
}

#[handler]
pub async fn withdraw_adjustment(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let id = AdjustmentId(req.param::<i64>("id").ok_or(RequestError::NotFound)?);
    let line = app.accounts.withdraw_adjustment(id, &actor, app.now()).await?;
    app.people_changed();
    frame::done(depot, res, &team_path(line.user), format!("The adjustment by {:+} points is withdrawn.", line.points))
}
