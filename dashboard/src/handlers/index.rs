//! A contestant's own page: endpoint, test, practice, score, what went wrong. An admin may look at anybody's.

use crate::app::App;
use crate::clock::{utc_ms, utc_us};
use crate::control::ChangeError;
use crate::control::asks::{NoAsk, Pending, Write};
use crate::error::Failure;
use crate::handlers::convert::with_line_breaks;
use crate::handlers::frame::{self, done, field, refused, show, show_again};
use crate::handlers::owner::{self, Owner, owner_asked};
use crate::middleware::viewer::Viewer;
use crate::views::index::{EndpointCard, Failure as Failed, IndexPage, PracticeCard, PracticeResult, Probe, ScoreCard};
use crate::views::index::{ScoreLine, ViewAs};
use crate::views::layout::Page;
use crate::views::{Field, advice};
use flowtest_accounts::{Role, User};
use flowtest_scoreboard::practice::{PracticeReport, PracticeState, RATE_MAX, SECONDS_MAX};
use flowtest_scoreboard::{ExplainedError, ProbeAnswer};
use salvo::prelude::*;
use serde_json::json;

const PATH: &str = "/index";

#[handler]
pub async fn show_page(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let mut contestants: Vec<User> = Vec::new();
    if viewer.is_admin() {
        contestants = app.accounts.users().await?;
        contestants.retain(|user| user.role == Role::Staff);
    }
    let user = match owner_asked(req, depot, &app).await? {
        // An admin has no page of its own: it looks at the first contestant's.
        user if user.role == Role::Admin => match contestants.first() {
            Some(first) => first.clone(),
            None => return frame::done(depot, res, "/setting", "There is no contestant yet: invite some first."),
        },
        user => user,
    };
    let mut page = page(depot, &app, &user).await?;
    page.view_as = contestants
        .iter()
        .map(|one| ViewAs { user: one.id.0, shown: one.display_name.clone(), chosen: one.id == user.id })
        .collect();
    show(res, page)
}

async fn page(depot: &mut Depot, app: &App, user: &User) -> Result<IndexPage, Failure> {
    let owner = Owner::of(app, user).await;
    let now = utc_us();
    let endpoint = app.accounts.endpoint_of(user.id).await?;
    let pending = app.organiser.pending(Some(user.id), now);
    let tested = app.organiser.tested(Some(user.id));
    let practised = match &pending.practice {
        Some(id) => app.organiser.practice(id, user, true).await.ok().flatten(),
        None => None,
    };
    let adjustments = app.accounts.adjustments().await?;
    let lines = adjustments
        .into_iter()
        .filter(|one| one.user == user.id && one.withdrawn_at.is_none())
        .map(|one| ScoreLine { label: one.reason, points: one.points });
    let score = ScoreCard {
        points: owner.points,
        rank: owner.rank,
        of: owner.of as u32,
        moved: owner.moved as i32,
        gap_ahead: owner.gaps.0,
        gap_behind: owner.gaps.1,
        frozen: owner.frozen,
        lines: lines.collect(),
    };
    let form = Field::new(endpoint.as_ref().map(|one| one.endpoint.clone()).unwrap_or_default());
    Ok(IndexPage {
        layout: frame::layout(depot, Page::Index, "My server"),
        key: owner.key.clone(),
        shown: user.display_name.clone(),
        view_as: Vec::new(),
        endpoint: EndpointCard {
            set_at_ms: endpoint.as_ref().map(|one| utc_ms(one.at)),
            current: endpoint.map(|one| one.endpoint),
            waiting: None,
            form,
        },
        score,
        headers: owner::headers(&owner),
        failures: owner::failures(&owner),
        errors: owner.errors.as_deref().map(together),
        probe: tested.and_then(|tested| tested.answer).map(probe_view),
        probe_id: pending.probe.clone(),
        practice: PracticeCard {
            refused: practice_refused(app, pending.practice_next_at.is_some()),
            next_at_ms: pending.practice_next_at.map(utc_ms),
            rate: Field::new("100"),
            seconds: Field::new(SECONDS_MAX.to_string()),
            running: running(&pending, practised.as_ref()),
            last: practised.as_ref().filter(|report| is_over(report)).map(practice_result),
        },
        sources: app.sources(),
        advice: advice::ALL.to_vec(),
    })
}

fn practice_refused(app: &App, too_soon: bool) -> Option<String> {
    if app.organiser.is_playing() {
        return Some("A round is on: practise when it is over.".to_owned());
    }
    too_soon.then(|| "You practised a moment ago.".to_owned())
}

/// The practice that is followed. One that no generator has taken is waited for as long as no other may be asked for.
fn running(pending: &Pending, report: Option<&PracticeReport>) -> Option<String> {
    let is_awaited = match report {
        Some(report) => !is_over(report),
        None => pending.practice_next_at.is_some(),
    };
    pending.practice.clone().filter(|_| is_awaited)
}

fn is_over(report: &PracticeReport) -> bool {
    matches!(report.state, PracticeState::Done | PracticeState::Refused)
}

fn practice_result(report: &PracticeReport) -> PracticeResult {
    PracticeResult {
        at_ms: utc_ms(report.at),
        sentence: report.sentence.clone(),
        points: report.points,
        p50_us: report.p50_us,
        p99_us: report.p99_us,
    }
}

fn probe_view(answer: ProbeAnswer) -> Probe {
    Probe {
        at_ms: utc_ms(answer.at),
        generator: answer.generator,
        endpoint: answer.endpoint,
        address: answer.address,
        verdicts: answer.verdicts.map(|verdicts| [verdicts.token, verdicts.version, verdicts.from]),
        latency_us: answer.latency_us,
        sentence: answer.sentence,
        head: with_line_breaks(&answer.head),
    }
}

/// The same failures as one line each, newest first.
fn together(errors: &[ExplainedError]) -> Vec<Failed> {
    let mut lines: Vec<Failed> = Vec::new();
    for error in errors {
        // Each wrong token differs; what is wrong does not.
        let same = |line: &&mut Failed| line.kind == error.kind && line.sentence == error.sentence;
        match lines.iter_mut().find(same) {
            Some(line) => line.count += 1,
            None => lines.push(Failed {
                at_ms: utc_ms(error.at),
                kind: error.kind.clone(),
                sentence: error.sentence.clone(),
                expected: error.expected.clone(),
                received: error.received.clone(),
                request: with_line_breaks(&error.request),
                response: with_line_breaks(&error.response),
                count: 1,
            }),
        }
    }
    lines
}

/// Whoever posts here changes its own; an admin changes others' from the setting page.
fn contestant(depot: &Depot) -> Result<Viewer, Failure> {
    let viewer = Viewer::of(depot)?;
    if viewer.is_admin() {
        return Err(Failure::Forbidden("this is a contestant's own form: change endpoints from the setting page"));
    }
    Ok(viewer.clone())
}

#[handler]
pub async fn set_endpoint(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let viewer = contestant(depot)?;
    let text = field(req, "endpoint").await;
    let now = utc_us();
    let set = app.organiser.set_endpoint(&viewer.user, &text, &viewer.actor, now);
    match app.organiser.paced(viewer.user.id, Write::Endpoint, now, set).await {
        Ok(endpoint) => {
            let told = format!("Your endpoint is {endpoint}. Test it now: it gets traffic after three right answers.");
            done(depot, res, PATH, told)
        }
        Err(ChangeError::Field { sentence, .. }) => {
            let mut page = page(depot, &app, &viewer.user).await?;
            page.endpoint.form = Field::wrong(text, sentence);
            show_again(res, page)
        }
        Err(error) => refused(depot, res, PATH, error.to_string()),
    }
}

#[handler]
pub async fn reset_endpoint(depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let viewer = contestant(depot)?;
    let now = utc_us();
    let reset = app.organiser.reset_endpoint(viewer.user.id, &viewer.actor, now);
    match app.organiser.paced(viewer.user.id, Write::Endpoint, now, reset).await {
        Ok(()) => done(depot, res, PATH, "Your endpoint is taken away."),
        Err(error) => refused(depot, res, PATH, error.to_string()),
    }
}

#[handler]
pub async fn probe(depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let viewer = contestant(depot)?;
    match app.organiser.ask_probe(&viewer.user, utc_us()).await {
        Ok(_) => done(depot, res, PATH, "A generator is asking your endpoint."),
        Err(error) => refused(depot, res, PATH, error.to_string()),
    }
}

/// `{"done": false}` until the answer is there.
#[handler]
pub async fn probe_answer(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let id = req.param::<String>("id").unwrap_or_default();
    let answer = app.organiser.probe(&id, &viewer.user, viewer.is_admin()).await.map_err(no_ask)?;
    let answer = answer.map(probe_view).map(|found| {
        json!({
            "at": found.at_ms, "generator": found.generator, "endpoint": found.endpoint, "address": found.address,
            "verdicts": found.verdicts, "latency_us": found.latency_us, "sentence": found.sentence, "head": found.head,
        })
    });
    res.render(Json(json!({ "done": answer.is_some(), "probe": answer })));
    Ok(())
}

#[handler]
pub async fn practice(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
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
    match app.organiser.ask_practice(&viewer.user, *asked_rate, *asked_seconds, utc_us()).await {
        Ok(_) => done(depot, res, PATH, "Practice is asked for; it begins when a generator is free."),
        Err(error) => refused(depot, res, PATH, error.to_string()),
    }
}

/// How a practice goes; `{"done": true, ...}` when it is over.
#[handler]
pub async fn practice_report(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let id = req.param::<String>("id").unwrap_or_default();
    let report = app.organiser.practice(&id, &viewer.user, viewer.is_admin()).await.map_err(no_ask)?;
    let Some(report) = report else {
        res.render(Json(json!({ "done": false, "state": "asked", "sentence": "No generator has taken it yet." })));
        return Ok(());
    };
    let counted = report.counted().unwrap_or_default();
    let errors: Vec<_> = report
        .errors
        .iter()
        .map(|error| json!({ "kind": error.kind, "sentence": error.sentence, "expected": error.expected, "received": error.received }))
        .collect();
    res.render(Json(json!({
        "done": is_over(&report), "state": report.state, "sentence": report.sentence, "second": report.second,
        "generator": report.generator, "points": report.points, "p50_us": report.p50_us, "p99_us": report.p99_us,
        "answered": counted.tally.responses(), "due": counted.tally.due, "errors": errors,
    })));
    Ok(())
}

fn no_ask(error: NoAsk) -> Failure {
    match error {
        NoAsk::Unknown => Failure::NotFound,
        other => Failure::Unavailable(other.to_string()),
    }
}
