//! The levers of a round, and the red switch.

use super::page::{self, Typed};
use super::{PATH, as_message, declined, how_it_went, told};
use crate::app::App;
use crate::control::readiness::{self, Contestant, Mark};
use crate::control::{ChangeError, Sealing, instant};
use crate::error::RequestError;
use crate::handlers::form::{field, is_ticked, list, revision};
use crate::handlers::frame::{self, show_again};
use crate::middleware::viewer::{FromMemory, Viewer};
use crate::views::setting::{ArmForm, Doubt};
use crate::views::{ErrorPage, Field, Page};
use flowtest_accounts::Ruling;
use flowtest_contest::lifecycle::Change;
use flowtest_contest::timeline::DeadlineName;
use flowtest_contract::rules::UtcUs;
use salvo::prelude::*;

#[handler]
pub async fn arm_round(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let (seen, typed, zone) = (revision(req).await, field(req, "start").await, field(req, "zone").await);
    let (scored, generators, now) = (is_ticked(req, "scored").await, list(req, "generators").await, app.now());
    let start_at = match instant::at(&typed, &zone, now) {
        Ok(start_at) => start_at,
        Err(message) => return again(depot, res, typed, scored, generators, message).await,
    };
    let doubts = doubts(&app, now).await?;
    let is_sure = is_ticked(req, "confirm").await && {
        // A program that says yes beforehand names none, and means all.
        let read = list(req, "doubt").await;
        read.is_empty() || doubts.iter().all(|doubt| read.contains(&doubt.key))
    };
    if !doubts.is_empty() && !is_sure {
        let arm = Some(ArmForm { start: Field::new(typed), scored, generators });
        return show_again(res, page::page(depot, Typed { arm, doubts, ..Typed::default() }).await?);
    }
    match app.controller.arm(seen, start_at, scored, generators.clone(), &actor, now).await {
        Err(ChangeError::Refused(refusal)) => again(depot, res, typed, scored, generators, refusal.to_string()).await,
        made => {
            let done = format!("The round is armed and starts at {}.", instant::rfc3339(start_at));
            told(depot, res, made, &done)
        }
    }
}

/// What says NO-GO.
async fn doubts(app: &App, now: UtcUs) -> Result<Vec<Doubt>, RequestError> {
    let checks = app.controller.readiness(now).await?.into_iter().filter(|check| check.mark == Mark::No);
    Ok(checks.map(|check| Doubt::of(&check.what, &check.message)).collect())
}

impl Doubt {
    /// How many and how long ago changes by itself, and is the same reason.
    fn of(what: &str, message: &str) -> Doubt {
        let text = format!("{what}: {message}");
        let is_number =
            |word: &&str| word.trim_start_matches(['-', '+', '−', '(']).starts_with(|one: char| one.is_ascii_digit());
        let words = text.split_whitespace().filter(|word| !is_number(word));
        Doubt { key: words.collect::<Vec<_>>().join(" "), text }
    }
}

/// Every contestant's server is looked at, at once.
#[handler]
pub async fn test_all(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    app.controller.requests().test_all(app.now());
    frame::done(depot, res, PATH, "All endpoints are tested now: the results come in within seconds.")
}

/// How a reminder begins.
const REMINDER: &str = "Not ready yet: ";
/// How long one is shown: whoever is ready by then is named no longer.
const REMINDER_SHOWN_US: u64 = 5 * 60 * 1_000_000;

/// Tells those who are not ready, by name: the others see why they wait. What each of them lacks stands on its own page. A new
/// reminder takes the place of the last one, and none outlasts the start.
#[handler]
pub async fn remind(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let situation = app.controller.situation(app.now()).await?;
    let users = app.accounts.users().await?;
    let lacks = |contestant: &&Contestant| {
        let plays = !contestant.disabled && !contestant.disqualified && !contestant.parked;
        plays && readiness::judge_contestant(contestant, &situation).0 != Mark::Go
    };
    let name = |contestant: &Contestant| {
        let user = users.iter().find(|user| user.name == contestant.name);
        user.map_or_else(|| contestant.name.clone(), |user| user.display_name.clone())
    };
    let names: Vec<String> = situation.contestants.iter().filter(lacks).map(name).collect();
    for last in app.accounts.active_announcements(app.now()).await? {
        if last.text.starts_with(REMINDER) {
            app.accounts.end_announcement(last.id, &actor, app.now()).await?;
        }
    }
    app.people_changed();
    if names.is_empty() {
        return frame::done(depot, res, PATH, "Everybody is ready: nobody is reminded.");
    }
    let all = match names.len() {
        len @ 11.. => format!("{} and {} more", names[..10].join(", "), len - 10),
        _ => names.join(", "),
    };
    let text = format!("{REMINDER}{all}. Test your endpoint on My team; it says what is missing.");
    let later = app.now().saturating_add(REMINDER_SHOWN_US);
    let start = app.controller.control().and_then(|control| control.timeline.start_at).filter(|at| *at > app.now());
    let until = Some(start.map_or(later, |start| start.min(later)));
    app.accounts.announce_until(flowtest_accounts::Level::Warn, &text, until, &actor, app.now()).await?;
    app.people_changed();
    frame::done(depot, res, PATH, "Those who are not ready are reminded, by an announcement.")
}

async fn again(
    depot: &mut Depot,
    res: &mut Response,
    start: String,
    scored: bool,
    generators: Vec<String>,
    message: String,
) -> Result<(), RequestError> {
    let arm = Some(ArmForm { start: Field::wrong(start, as_message(&message)), scored, generators });
    show_again(res, page::page(depot, Typed { arm, ..Typed::default() }).await?)
}

/// Makes a change that needs nothing but its button.
async fn pull(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
    change: Change,
    done: &str,
) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let seen = revision(req).await;
    let made = app.controller.change(seen, change, done, &actor, app.now()).await;
    told(depot, res, made, done)
}

/// It asks for no revision, and waits for no database: whoever wants traffic to stop is always right.
#[handler]
pub async fn pause_round(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    stop_at_once(depot, res, Change::Pause, "The round is paused.").await
}

async fn stop_at_once(depot: &mut Depot, res: &mut Response, stop: Change, done: &str) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let made = app.controller.change_at_once(stop, done, &actor, app.now()).await;
    match made {
        // The page that it would go back to cannot be read now.
        Ok(made) if depot.get_typed::<FromMemory>().is_ok() => {
            let layout = frame::bare_layout(depot, Page::Setting, done);
            let (title, message) = (done.to_owned(), how_it_went(&made));
            frame::show(res, ErrorPage { layout, status: 200, title, message, retry_after_seconds: None })
        }
        made => told(depot, res, made, done),
    }
}

#[handler]
pub async fn stop_round(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    pull(req, depot, res, Change::Stop, "The round is stopped, and keeps its points.").await
}

#[handler]
pub async fn abort_round(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    pull(req, depot, res, Change::Abort, "The round is aborted, and counts for nothing.").await
}

#[handler]
pub async fn next_round(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    pull(req, depot, res, Change::Draft, "The next round is being prepared.").await?;
    app.people_changed();
    Ok(())
}

#[handler]
pub async fn resume_round(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let (seen, generators) = (revision(req).await, list(req, "generators").await);
    let made = app.controller.resume(seen, None, generators, &actor, app.now()).await;
    told(depot, res, made, "The round goes on in a few seconds.")
}

/// The red switch. It stops traffic as a pause does; a release is saved first, as all other changes are.
#[handler]
pub async fn halt_traffic(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    // What is not clearly a release is a stop.
    if field(req, "halted").await != "no" {
        return stop_at_once(depot, res, Change::Halt { halted: true }, "All traffic is stopped.").await;
    }
    let done = "Traffic is allowed again.";
    let made = app.controller.change(None, Change::Halt { halted: false }, done, &actor, app.now()).await;
    told(depot, res, made, done)
}

/// How long everybody is told of a deadline that was moved; the countdown goes on saying it.
const MOVED_SHOWN_US: u64 = 10 * 60 * 1_000_000;

#[handler]
pub async fn move_deadline(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let name = field(req, "deadline").await;
    let deadline: DeadlineName = name
        .parse()
        .map_err(|()| RequestError::Unprocessable(format!("{name:?} is no deadline: it is version or from")))?;
    let app = App::of(depot).clone();
    let (typed, zone) = (field(req, "to").await, field(req, "zone").await);
    match instant::at(&typed, &zone, app.now()) {
        Ok(to) => {
            let actor = Viewer::of(depot)?.actor.clone();
            let seen = revision(req).await;
            let done = format!("The {deadline} deadline is moved to {}.", instant::rfc3339(to));
            match app.controller.change(seen, Change::MoveDeadline { deadline, to }, &done, &actor, app.now()).await {
                Err(ChangeError::Refused(refusal)) => moved_wrongly(depot, res, typed, refusal.to_string()).await,
                made => {
                    if made.is_ok() {
                        let until = Some(app.now().saturating_add(MOVED_SHOWN_US));
                        let level = flowtest_accounts::Level::Warn;
                        app.accounts.announce_until(level, &done, until, &actor, app.now()).await?;
                        app.people_changed();
                    }
                    told(depot, res, made, &done)
                }
            }
        }
        Err(message) => moved_wrongly(depot, res, typed, message).await,
    }
}

async fn moved_wrongly(
    depot: &mut Depot,
    res: &mut Response,
    typed: String,
    message: String,
) -> Result<(), RequestError> {
    let deadline = Some(Field::wrong(typed, as_message(&message)));
    show_again(res, page::page(depot, Typed { deadline, ..Typed::default() }).await?)
}

/// The organiser's word on a round that is not valid.
#[handler]
pub async fn rule_round(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let (seen, round, ruling) = (revision(req).await, field(req, "round").await, field(req, "ruling").await);
    let reason = field(req, "reason").await;
    let round = round.parse().map_err(|error| RequestError::Unprocessable(format!("{error}")))?;
    let ruling: Ruling = ruling.parse().map_err(RequestError::Unprocessable)?;
    match app.controller.rule(seen, round, ruling, &reason, &actor, app.now()).await {
        Ok(round) => {
            let what = match ruling {
                Ruling::Count => "counts all the same",
                Ruling::Void => "is void: it stays in the record and counts nothing",
                Ruling::Replay => "counts nothing, and the same plan can be armed again",
            };
            frame::done(depot, res, PATH, format!("Round {} {what}.", round.number))
        }
        Err(error) => declined(depot, res, &error),
    }
}

/// Seals without streams that will never end.
#[handler]
pub async fn seal_round(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let (named, reason) = (list(req, "abandon").await, field(req, "reason").await);
    let mut streams = Vec::new();
    for stream in &named {
        streams.push(stream.parse().map_err(|error| RequestError::Unprocessable(format!("{error}")))?);
    }
    if streams.is_empty() {
        let message = match app.controller.status().sealing {
            Sealing::Fine => "The round is sealed by itself as soon as all streams have ended.".to_owned(),
            Sealing::Missing(missing) => {
                format!("{} of its streams did not end: name those that never will.", missing.len())
            }
            Sealing::Returning(message) | Sealing::Trouble(message) => as_message(&message),
        };
        return frame::refused(depot, res, PATH, message);
    }
    match app.controller.automation().abandon(streams, &reason, &actor, app.now()).await {
        Ok(Sealing::Fine) => frame::done(depot, res, PATH, "The round is sealed."),
        Ok(Sealing::Missing(missing)) => {
            let text = format!(
                "They are given up. {} further streams did not end: wait for them, or name them too.",
                missing.len()
            );
            frame::refused(depot, res, PATH, text)
        }
        Ok(Sealing::Returning(message) | Sealing::Trouble(message)) => {
            frame::refused(depot, res, PATH, as_message(&message))
        }
        Err(ChangeError::Field { message, .. }) => {
            let seal_reason = Some(Field::wrong(reason, as_message(&message)));
            show_again(res, page::page(depot, Typed { seal_reason, ..Typed::default() }).await?)
        }
        Err(error) => declined(depot, res, &error),
    }
}
