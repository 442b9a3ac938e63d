//! What every page shares: the frame around it, what the last form did, and the way back after a form.

use crate::app::App;
use crate::error::RequestError;
use crate::handlers::assets::BUILD;
use crate::handlers::convert;
use crate::live::Audience;
use crate::live::clock::utc_ms;
use crate::middleware::viewer::Viewer;
use crate::views::layout::{self, Flash, Layout, Page};
use sailfish::TemplateSimple;
use salvo::http::StatusCode;
use salvo::prelude::*;
use salvo_csrf::CsrfDepotExt;
use salvo_flash::{FlashDepotExt, FlashLevel};

/// The frame of a page for whoever asks, with what the last form did.
pub fn layout(depot: &mut Depot, page: Page, title: &str) -> Layout {
    let flash = depot.incoming_flash().and_then(|flash| flash.last().cloned());
    let flash = flash.map(|message| Flash { good: message.level <= FlashLevel::Success, text: message.value });
    Layout { flash, ..bare_layout(depot, page, title) }
}

/// The same where a form cannot have done anything.
pub fn bare_layout(depot: &Depot, page: Page, title: &str) -> Layout {
    let app = App::of(depot);
    let (facts, now) = (app.feed.facts(), app.now());
    let is_admin = Viewer::maybe(depot).is_some_and(Viewer::is_admin);
    let audience = if is_admin { Audience::Admin } else { Audience::Public };
    let viewer = Viewer::maybe(depot).map(|viewer| layout::Viewer {
        user: viewer.user.id.0,
        name: viewer.user.name.clone(),
        display_name: viewer.user.display_name.clone(),
        role: viewer.user.role,
    });
    Layout {
        title: title.to_owned(),
        page,
        contest: app.title(),
        viewer,
        csrf: depot.csrf_token().unwrap_or_default().to_owned(),
        build: BUILD.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        request_id: None,
        now_ms: utc_ms(now),
        head: convert::head(&app.feed.seen(), &facts, app.feed.validity(&audience), now),
        notices: facts.notices.iter().filter(|notice| notice.is_shown(now)).cloned().collect(),
        flash: None,
    }
}

/// Sends a page.
pub fn show(res: &mut Response, page: impl TemplateSimple) -> Result<(), RequestError> {
    let html =
        page.render_once().map_err(|error| RequestError::Internal(format!("a page cannot be rendered: {error}")))?;
    res.render(Text::Html(html));
    Ok(())
}

/// Sends a form again, with what is wrong in it.
pub fn show_again(res: &mut Response, page: impl TemplateSimple) -> Result<(), RequestError> {
    res.status_code(StatusCode::UNPROCESSABLE_ENTITY);
    show(res, page)
}

/// Goes back to a page after a form did what it should, and says so there.
pub fn done(depot: &mut Depot, res: &mut Response, path: &str, text: impl Into<String>) -> Result<(), RequestError> {
    if let Some(flash) = depot.try_outgoing_flash_mut() {
        flash.success(text);
    }
    res.render(Redirect::other(path));
    Ok(())
}

/// Goes back to a page after a form that was refused, and says why there.
pub fn refused(depot: &mut Depot, res: &mut Response, path: &str, why: impl Into<String>) -> Result<(), RequestError> {
    if let Some(flash) = depot.try_outgoing_flash_mut() {
        flash.error(why);
    }
    res.render(Redirect::other(path));
    Ok(())
}
