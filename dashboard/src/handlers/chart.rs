//! The standings with their chart, for people and for the room's projector.

use crate::app::App;
use crate::error::RequestError;
use crate::handlers::frame::{self, show};
use crate::handlers::site::Site;
use crate::live::Audience;
use crate::middleware::guard::Screen;
use crate::middleware::screen_cookie;
use crate::middleware::viewer::Viewer;
use crate::views::chart::ProjectorPage;
use crate::views::format::hides_result;
use crate::views::layout::Page;
use crate::views::qr::Qr;
use crate::views::{ChartPage, ChartView};
use salvo::prelude::*;

#[handler]
pub async fn show_page(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    if let Some(secret) = req.query::<String>("screen") {
        return without_secret(req, depot, res, &secret);
    }
    let view = match req.query::<String>("view").as_deref() {
        Some("projector") => ChartView::Projector,
        Some("ticker") => ChartView::Ticker,
        Some("reveal") => ChartView::Reveal,
        // A screen link opens nothing else.
        _ if Screen::is_shown(depot) => ChartView::Projector,
        _ => ChartView::Page,
    };
    let is_admin = Viewer::maybe(depot).is_some_and(Viewer::is_admin);
    if view == ChartView::Reveal && !is_admin {
        return Err(RequestError::Forbidden("the reveal is started by an organiser"));
    }
    let app = App::of(depot).clone();
    let is_reveal = view == ChartView::Reveal;
    let hides = if is_reveal { app.controller.hides_result().await? } else { None };
    if let Some(round) = hides {
        return Err(RequestError::Conflict(hides_result(round)));
    }
    if view == ChartView::Page {
        // What frames tell, the page and its history tell too: a team's own points during a freeze are on its own page.
        let (audience, history) = match is_admin {
            true => (Audience::Admin, "/api/history"),
            false => (Audience::Public, "/api/history?as=public"),
        };
        let standings = app.feed.standings(&audience);
        let categories = standings.categories();
        let category = req.query::<String>("category").filter(|category| categories.contains(category));
        let page = ChartPage {
            layout: frame::layout(depot, Page::Chart, "Standings"),
            standings: standings.of_category(category.as_deref()).lines,
            categories,
            category,
            live: "/live".to_owned(),
            history: history.to_owned(),
        };
        return show(res, page);
    }
    // What is thrown on a wall is for everybody in the room, whoever is signed in at the projector. The reveal asks for each
    // step when it comes, and has no row before.
    let standings = match is_reveal {
        true => Vec::new(),
        false => app.feed.standings(&Audience::Public).lines,
    };
    let for_all = |path: &str| format!("{path}?as=public");
    let site = Site::of(&app);
    let page = ProjectorPage {
        layout: frame::layout(depot, Page::Chart, "Standings"),
        view,
        standings,
        live: for_all("/live"),
        history: for_all("/api/history"),
        qr: site.url("").and_then(|url| Qr::of(&url, "the address of this site")),
        site: site.typed().unwrap_or_default().to_owned(),
    };
    show(res, page)
}

/// The same page with the link's secret in a cookie: an address bar on a wall is read by the whole room.
fn without_secret(req: &Request, depot: &Depot, res: &mut Response, secret: &str) -> Result<(), RequestError> {
    if Screen::is_shown(depot) {
        screen_cookie::give(res, App::of(depot).config.is_https(), secret);
    }
    let rest = req.queries().iter().filter(|(name, _)| *name != "screen");
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(rest);
    res.render(Redirect::other(format!("/chart?{}", query.finish())));
    Ok(())
}
