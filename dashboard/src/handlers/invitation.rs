//! Invitations: made, listed live, revoked, exported and printed.

use crate::app::App;
use crate::control::instant;
use crate::error::RequestError;
use crate::handlers::download::{self, Table, note, text};
use crate::handlers::form::{field, list};
use crate::handlers::frame::{self, show as send, show_again};
use crate::handlers::site::Site;
use crate::middleware::viewer::Viewer;
use crate::views::format;
use crate::views::layout::Page;
use crate::views::qr::Qr;
use crate::views::tokens::{InvitationForm, Slip, TokenLine};
use crate::views::{Field, Role, SlipsPage, TokensPage};
use flowtest_accounts::{BATCH_MAX, Error, InviteId, NewInvites};
use flowtest_contract::utc_us;
use salvo::prelude::*;

const PATH: &str = "/setting-token";
/// How long an invitation lives when nothing is said, in microseconds: a year.
const LIFE_US: u64 = 365 * 24 * 3_600 * 1_000_000;

#[handler]
pub async fn show_page(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let page = page(depot, InvitationForm::default()).await?;
    send(res, page)
}

async fn page(depot: &mut Depot, form: InvitationForm) -> Result<TokensPage, RequestError> {
    let app = App::of(depot).clone();
    let rows = TokenLine::list(app.accounts.invites(utc_us()).await?);
    Ok(TokensPage { layout: frame::layout(depot, Page::Tokens, "Invitations"), rows, form })
}

#[handler]
pub async fn create(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let (count, label) = (field(req, "count").await, field(req, "label").await);
    let (expires, zone) = (field(req, "expires").await, field(req, "zone").await);
    let role = match field(req, "role").await.as_str() {
        "admin" => Role::Admin,
        "staff" | "" => Role::Staff,
        other => return Err(RequestError::Unprocessable(format!("{other:?} is no role: it is admin or staff"))),
    };
    let now = utc_us();
    let mut form =
        InvitationForm { count: Field::new(&count), label: Field::new(&label), expires: Field::new(&expires), role };
    let made = count.parse::<u32>().ok().filter(|count| (1..=BATCH_MAX).contains(count));
    let until = match expires.as_str() {
        "" => Ok(now.saturating_add(LIFE_US)),
        typed => instant::at(typed, &zone, now).and_then(|at| match at > now {
            true => Ok(at),
            false => Err("it lies in the past: nobody could use them".to_owned()),
        }),
    };
    if made.is_none() {
        form.count.error = Some(format!("Write a whole number from 1 to {BATCH_MAX}."));
    }
    form.expires.error = until.as_ref().err().cloned();
    let (Some(count), Ok(expires_at)) = (made, until) else {
        return show_again(res, page(depot, form).await?);
    };
    match app.accounts.create_invites(NewInvites { count, label, role, expires_at }, &actor, now).await {
        Ok(invites) => {
            app.people_changed();
            let made = format::plural(invites.len(), "invitation is", "invitations are");
            frame::done(depot, res, PATH, format!("{made} made."))
        }
        Err(Error::Invalid { field, message }) => {
            match field {
                "label" => form.label.error = Some(message),
                "expires_at" => form.expires.error = Some(message),
                _ => form.count.error = Some(message),
            }
            show_again(res, page(depot, form).await?)
        }
        Err(error) => Err(error.into()),
    }
}

#[handler]
pub async fn revoke(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let mut ids = Vec::new();
    for typed in list(req, "id").await {
        ids.push(InviteId(
            typed
                .parse()
                .map_err(|_| RequestError::Unprocessable(format!("{typed:?} is no number of an invitation")))?,
        ));
    }
    if ids.is_empty() {
        return frame::refused(depot, res, PATH, "None was chosen: tick those that are to be revoked.");
    }
    let revoked = app.accounts.revoke_invites(&ids, &actor, utc_us()).await?;
    app.people_changed();
    frame::done(depot, res, PATH, format!("{revoked} of {} can be used no more.", ids.len()))
}

/// Everything as a table. It holds unused tokens, so that taking it stands in the audit log.
#[handler]
pub async fn export_csv(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let head = ["index", "token", "label", "role", "status", "used_by", "used_at", "expires_at", "created_at"];
    let mut table = Table::new(&head);
    for line in TokenLine::list(app.accounts.invites(utc_us()).await?) {
        table.row(&[
            line.index.to_string(),
            line.clear.clone().unwrap_or_default(),
            text(&line.label),
            line.role.as_str().to_owned(),
            line.status.as_str().to_owned(),
            text(line.used_by.as_deref().unwrap_or_default()),
            download::instant(line.used_at_ms),
            download::instant(line.expires_at_ms),
            download::instant(line.created_at_ms),
        ]);
    }
    note(&app, depot, "invitations").await?;
    table.send(res, "invitations.csv")
}

/// A card for each unused invitation, to cut out.
#[handler]
pub async fn print_slips(depot: &mut Depot, res: &mut Response) -> Result<(), RequestError> {
    let app = App::of(depot).clone();
    let site = Site::of(&app);
    let (address, doubt) = (site.link("/register"), site.doubt());
    let slip = |line: TokenLine| {
        let clear = line.clear?;
        let code = |url: String| Qr::of(&url, format!("The address of invitation {}", line.index));
        let qr = site.url(&format!("/register#t={clear}")).and_then(code);
        Some(Slip { index: line.index, label: line.label, clear, expires_at_ms: line.expires_at_ms, qr })
    };
    let slips = TokenLine::list(app.accounts.invites(utc_us()).await?).into_iter().filter_map(slip).collect();
    send(res, SlipsPage { layout: frame::layout(depot, Page::Tokens, "Invitations to print"), slips, address, doubt })
}
