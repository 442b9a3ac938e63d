//! Everything a contestant's own page shows. An admin may look at anybody's.

use crate::app::App;
use crate::clock::utc_ms;
use crate::control::requests::Pending;
use crate::error::RequestError;
use crate::handlers::asked;
use crate::handlers::convert::with_line_breaks;
use crate::handlers::frame::{self, show};
use crate::handlers::owner::{self, Owner};
use crate::middleware::viewer::Viewer;
use crate::views::index::{EndpointCard, Failure, IndexPage, PracticeCard, PracticeResult, Probe, ScoreCard};
use crate::views::index::{ScoreLine, ViewAs};
use crate::views::layout::Page;
use crate::views::{Field, advice};
use flowtest_accounts::{Role, User};
use flowtest_scoreboard::practice::{PracticeReport, PracticeState, SECONDS_MAX};
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
    let owner = Owner::of(app, user).await;
    let now = app.now();
    let endpoint = app.accounts.endpoint_of(user.id).await?;
    let pending = app.controller.requests().pending(Some(user.id), now);
    let tested = app.controller.requests().tested(Some(user.id));
    let practised = match &pending.practice {
        Some(id) => app.controller.requests().practice(id, user, true).await.ok().flatten(),
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
        rank_change: owner.rank_change,
        gap_ahead: owner.gaps.0,
        gap_behind: owner.gaps.1,
        frozen: owner.frozen,
        lines: lines.collect(),
    };
    let form = Field::new(endpoint.as_ref().map(|one| one.endpoint.clone()).unwrap_or_default());
    Ok(IndexPage {
        layout: frame::layout(depot, Page::Index, "My server"),
        id: owner.id.to_string(),
        display_name: user.display_name.clone(),
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
    if app.controller.is_playing() {
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

pub(super) fn is_over(report: &PracticeReport) -> bool {
    matches!(report.state, PracticeState::Done | PracticeState::Refused)
}

fn practice_result(report: &PracticeReport) -> PracticeResult {
    PracticeResult {
        at_ms: utc_ms(report.at),
        message: report.message.clone(),
        points: report.points,
        p50_us: report.p50_us,
        p99_us: report.p99_us,
    }
}

pub(super) fn probe_view(answer: ProbeAnswer) -> Probe {
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
