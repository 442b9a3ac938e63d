//! The standings with their chart, for people and for the room's projector.

use crate::app::App;
use crate::error::RequestError;
use crate::handlers::asked::site;
use crate::handlers::frame::{self, show};
use crate::live::Audience;
use crate::middleware::guard::Screen;
use crate::middleware::viewer::Viewer;
use crate::views::chart::ProjectorPage;
use crate::views::layout::Page;
use crate::views::qr::Qr;
use crate::views::{ChartPage, ChartView};
use salvo::prelude::*;

#[handler]
pub async fn show_page(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
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
    if view == ChartView::Page {
        // What frames tell, the page and its history tell too: a team's own points during a freeze are on its own page.
        let (audience, history) = match is_admin {
            true => (Audience::Admin, "/api/history"),
            false => (Audience::Public, "/api/history?as=public"),
        };
        let standings = app.feed.standings(&audience).lines;
        let layout = frame::layout(depot, Page::Chart, "Standings");
        return show(res, ChartPage { layout, standings, live: "/live".to_owned(), history: history.to_owned() });
    }
    // What is thrown on a wall is for everybody in the room, whoever is signed in at the projector. The reveal alone knows
    // the end before everybody else does: veiled, and so without rows before its script can veil them.
    let is_reveal = view == ChartView::Reveal;
    let standings = match is_reveal {
        true => Vec::new(),
        false => app.feed.standings(&Audience::Public).lines,
    };
    let screen = req.query::<String>("screen").filter(|_| Screen::is_shown(depot));
    let with_screen = |path: &str| match &screen {
        _ if is_reveal => path.to_owned(),
        Some(secret) => format!("{path}?screen={secret}"),
        None => format!("{path}?as=public"),
    };
    let site = site(req, &app);
    let page = ProjectorPage {
        layout: frame::layout(depot, Page::Chart, "Standings"),
        view,
        standings,
        live: with_screen("/live"),
        history: with_screen("/api/history"),
        qr: Qr::of(&site, "the address of this site"),
        site: site.split_once("://").map_or(site.clone(), |(_, rest)| rest.to_owned()),
    };
    show(res, page)
}
