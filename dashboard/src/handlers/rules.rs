//! What a contestant's server must do, with the rules in force. Public.

use crate::app::App;
use crate::error::RequestError;
use crate::handlers::convert;
use crate::handlers::frame::{self, show};
use crate::live::clock::utc_ms;
use crate::views::RulesPage;
use crate::views::layout::Page;
use crate::views::plan::PlanGraph;
use crate::views::rules::{ChangeLine, Flip};
use flowtest_contest::contest::When;
use flowtest_contract::rules::UtcUs;
use salvo::prelude::*;

/// Lines of the log of changes.
const CHANGES_MAX: usize = 100;

#[handler]
pub async fn show_page(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let settings = app.controller.settings();
    // A round that is over keeps its instants, and who copied them would be judged by others: then the settings say when.
    let played = app.controller.control().filter(|_| app.controller.is_playing());
    let known = played.map(|control| {
        let deadlines = control.timeline.deadlines_at(&control.contest, app.now());
        (deadlines.version.0, deadlines.from.0)
    });
    let (version_at, from_at) = known.unwrap_or_default();
    let said = app.accounts.announcements().await?;
    let changes = said.into_iter().take(CHANGES_MAX).map(|one| ChangeLine { at_ms: utc_ms(one.at), text: one.text });
    let page = RulesPage {
        layout: frame::layout(depot, Page::Rules, "Rules"),
        rules: settings.rules,
        absent: settings.absent,
        rank_by: settings.rank_by,
        breakpoint_points: settings.breakpoint_points,
        version: flip(settings.deadlines.version, version_at),
        from: flip(settings.deadlines.from, from_at),
        plan: Some(PlanGraph::of(convert::plan(&settings.phases))),
        sources: app.sources(),
        test_sources: app.test_sources(),
        kit_url: app.config.kit_url.clone(),
        ownership: settings.policy.ownership.is_asked_for(),
        tls: settings.policy.tls,
        changes: changes.collect(),
    };
    show(res, page)
}

/// A deadline as the page says it: the instant once it is known, before that how long after the start.
fn flip(when: Option<When>, known: UtcUs) -> Flip {
    let is_known = known > UtcUs::EPOCH && known < UtcUs::MAX;
    match when {
        None => Flip::FromStart,
        Some(_) if is_known => Flip::At { ms: utc_ms(known) },
        Some(When::At(at)) => Flip::At { ms: utc_ms(at) },
        Some(When::AfterStart { us }) => Flip::AfterStart { seconds: us / 1_000_000 },
    }
}
