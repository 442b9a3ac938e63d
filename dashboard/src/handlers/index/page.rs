//! Everything a contestant's own page shows. An admin may look at anybody's.

use crate::app::App;
use crate::control::readiness::is_heard;
use crate::control::requests::Pending;
use crate::error::RequestError;
use crate::handlers::asked;
use crate::handlers::convert::with_line_breaks;
use crate::handlers::frame::{self, show};
use crate::handlers::owner::{self, Owner};
use crate::live::Audience;
use crate::live::clock::utc_ms;
use crate::middleware::viewer::Viewer;
use crate::views::climb::ClimbCard;
use crate::views::index::ViewAs;
use crate::views::index::{
    EndpointCard, Failure, IndexPage, PracticeCard, PracticeRefused, PracticeResult, Probe, ScoreCard,
};
use crate::views::layout::Page;
use crate::views::{Field, advice};
use flowtest_accounts::{Role, User};
use flowtest_scoreboard::practice::{CLIMB_RATE_MAX, PracticeReport, PracticeState, SECONDS_MAX, TIMEOUT_SECONDS};
use flowtest_scoreboard::{ExplainedError, ProbeAnswer};
use salvo::prelude::*;

#[handler]
pub async fn show_page(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let viewer = Viewer::of(depot)?.clone();
    let mut contestants: Vec<User> = Vec::new();
    if viewer.is_admin() {
        contestants = app.accounts.users().await?;
        contestants.retain(|user| user.role == Role::Staff);
    }
    let user = match asked::contestant(req, depot, &app).await? {
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
        .map(|one| ViewAs { user: one.id.0, display_name: one.display_name.clone(), chosen: one.id == user.id })
        .collect();
    show(res, page)
}

pub(super) async fn page(depot: &mut Depot, app: &App, user: &User) -> Result<IndexPage, RequestError> {
    let viewer = Viewer::of(depot)?.clone();
    let owner = Owner::of(app, user).await;
    let now = app.now();
    let endpoint = app.accounts.endpoint_of(user.id).await?;
    let pending = app.controller.requests().pending(Some(user.id), now);
    let tested = app.controller.requests().tested(Some(user.id));
    let practised = match &pending.practice {
        Some(id) => app.controller.requests().practice(id, user, true).await.ok().flatten(),
        None => None,
    };
    let running = running(&pending, practised.as_ref());
    let before = match running.as_ref().filter(|_| practised.is_none()) {
        Some(id) => app.controller.requests().practices_before(id, now).await.ok().flatten(),
        None => None,
    };
    let ledger = owner::ledger(app, user, &owner, &viewer).await?;
    let others = app.feed.standings(&Audience::Public).lines.into_iter().map(|line| line.contestant);
    let rivals = others.filter(|one| one.id != owner.id).map(|one| (one.id.to_string(), one.display_name));
    let score = ScoreCard {
        points: owner.points,
        rank: owner.rank,
        of: owner.of as u32,
        rank_change: owner.rank_change,
        gap_ahead: owner.gaps.0,
        gap_behind: owner.gaps.1,
        frozen: owner.frozen_at.is_some(),
        beside_practice: owner.beside_practice,
    };
    let form = Field::new(endpoint.as_ref().map(|one| one.endpoint.clone()).unwrap_or_default());
    Ok(IndexPage {
        layout: frame::layout(depot, Page::Index, "My team"),
        id: owner.id.to_string(),
        display_name: user.display_name.clone(),
        view_as: Vec::new(),
        health: owner::health(app, user, &owner, &viewer).await?,
        ledger,
        rivals: rivals.collect(),
        endpoint: EndpointCard {
            coming: app.controller.arrival(user.id, endpoint.is_some(), now),
            set_at_ms: endpoint.as_ref().map(|one| utc_ms(one.at)),
            current: endpoint.map(|one| one.endpoint),
            form,
        },
        score,
        climb: owner.climb.clone(),
        headers: owner::headers(&owner),
        errors: owner.errors.as_deref().map(together),
        probe: tested.and_then(|tested| tested.answer).map(|answer| probe_view(answer, &viewer)),
        probe_id: pending.probe.clone(),
        practice: PracticeCard {
            refused: practice_refused(app, &pending),
            rate: Field::new("100"),
            seconds: Field::new(SECONDS_MAX.to_string()),
            waits: before.map(|before| queue_words(app, before)),
            most: Field::new(CLIMB_RATE_MAX.to_string()),
            running,
            last: practised.as_ref().filter(|report| is_over(report)).map(|report| practice_result(app, report)),
        },
        sources: [app.sources(), app.test_sources()].concat(),
        advice: advice::ALL.to_vec(),
    })
}

/// Why no practice may be asked for now.
pub fn practice_refused(app: &App, pending: &Pending) -> Option<PracticeRefused> {
    if app.controller.is_playing() {
        return Some(PracticeRefused { message: "A round is on: practise when it is over.", again_at_ms: None });
    }
    let again_at_ms = Some(utc_ms(pending.practice_next_at?));
    Some(PracticeRefused { message: "You practised a moment ago.", again_at_ms })
}

/// What is said to who waits for practice behind so many. A generator that plays no rounds is not heard, and may take it all the
/// same.
pub(super) fn queue_words(app: &App, before: usize) -> String {
    let (place, now) = (before + 1, app.now());
    if app.controller.status().generators.iter().any(|seen| is_heard(seen, now)) {
        return format!("You are number {place} in the queue.");
    }
    let minutes = TIMEOUT_SECONDS / 60;
    format!(
        "You are number {place} in the queue, and no generator is heard that could take it: tell the organisers that practice needs \
         one. After {minutes} minutes it is dropped, and you may ask again at once."
    )
}

/// The practice that is followed. One that no generator has taken is waited for as long as no other may be asked for.
fn running(pending: &Pending, report: Option<&PracticeReport>) -> Option<String> {
    let is_awaited = match report {
        Some(report) => !is_over(report),
        None => pending.practice_next_at.is_some(),
    };
    pending.practice.clone().filter(|_| is_awaited)
}

pub(super) fn is_over(report: &PracticeReport) -> bool {
    matches!(report.state, PracticeState::Done | PracticeState::Refused)
}

/// The steps of a practice that climbed, by what a step has to reach.
pub(super) fn practice_climb(app: &App, report: &PracticeReport) -> Option<ClimbCard> {
    let climbed = report.climb.as_ref()?;
    // Who practised by a generator of before says not by what.
    let by_plan = || Some(app.feed.seen().control.as_ref()?.contest.practice_pass());
    Some(ClimbCard::of(climbed, climbed.message(), &climbed.pass.or_else(by_plan)?))
}

fn practice_result(app: &App, report: &PracticeReport) -> PracticeResult {
    PracticeResult {
        at_ms: utc_ms(report.at),
        message: report.message.clone(),
        points: report.points,
        p50_us: report.p50_us,
        p99_us: report.p99_us,
        climb: practice_climb(app, report),
    }
}

pub(super) fn probe_view(answer: ProbeAnswer, reader: &Viewer) -> Probe {
    let answer = if reader.is_admin() { answer } else { answer.for_contestant() };
    Probe {
        at_ms: utc_ms(answer.at),
        generator: answer.generator,
        endpoint: answer.endpoint,
        address: answer.address,
        verdicts: answer.verdicts.map(|verdicts| [verdicts.token, verdicts.version, verdicts.from]),
        latency_us: answer.latency_us,
        message: answer.message,
        head: with_line_breaks(&answer.head),
    }
}

/// The same failures as one line each, newest first.
fn together(errors: &[ExplainedError]) -> Vec<Failure> {
    let mut lines: Vec<Failure> = Vec::new();
    for error in errors {
        // Each wrong token differs; what is wrong does not.
        let same = |line: &&mut Failure| line.kind == error.kind && line.message == error.message;
        match lines.iter_mut().find(same) {
            Some(line) => line.count += 1,
            None => lines.push(Failure {
                at_ms: utc_ms(error.at),
                kind: error.kind.clone(),
                message: error.message.clone(),
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
