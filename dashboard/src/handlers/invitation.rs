//! Invitations: made, listed live, revoked, exported and printed.

use crate::app::App;
use crate::clock::{utc_ms, utc_us};
use crate::control::instant;
use crate::error::Failure;
use crate::handlers::export::text;
use crate::handlers::frame::{self, field, show as send, show_again};
use crate::handlers::setting::invitation_form;
use crate::handlers::site;
use crate::live::Hub;
use crate::middleware::viewer::Viewer;
use crate::views::layout::Page;
use crate::views::qr::Qr;
use crate::views::tokens::{InvitationForm, Slip, TokenLine, TokenStatus};
use crate::views::{Field, Role, SlipsPage, TokensPage};
use flowtest_accounts::{Accounts, BATCH_MAX, Error, Invite, InviteId, InviteStatus, NewInvites};
use flowtest_contract::rules::UtcUs;
use salvo::http::{HeaderValue, header};
use salvo::prelude::*;
use serde_json::json;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

const PATH: &str = "/setting-token";
/// How long an invitation lives when nothing is said, in microseconds: a year.
const LIFE_US: u64 = 365 * 24 * 3_600 * 1_000_000;
/// How often the list is looked at for those who watch it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Characters of a token that a masked one shows.
const SHOWN_CHARS: usize = 5;

#[handler]
pub async fn show_page(depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let page = page(depot, invitation_form()).await?;
    send(res, page)
}

async fn page(depot: &mut Depot, form: InvitationForm) -> Result<TokensPage, Failure> {
    let app = App::of(depot).clone();
    let rows = lines(app.accounts.invites(utc_us()).await?);
    Ok(TokensPage { layout: frame::layout(depot, Page::Tokens, "Invitations"), rows, form })
}

/// The list as pages and the live feed show it, in the order in which they were made.
fn lines(invites: Vec<Invite>) -> Vec<TokenLine> {
    let lines = invites.into_iter().zip(1..).map(|(invite, index)| {
        let clear = invite.token.as_ref().map(|token| token.reveal().to_owned());
        TokenLine {
            index,
            id: invite.id.0,
            label: invite.label,
            status: status(invite.status),
            role: role(invite.role),
            masked: clear.as_deref().map_or_else(|| "–".to_owned(), masked),
            clear: clear.filter(|_| invite.status == InviteStatus::Unused),
            used_by: invite.used.as_ref().map(|used| used.name.clone()),
            used_at_ms: invite.used.as_ref().map(|used| utc_ms(used.at)),
            expires_at_ms: Some(utc_ms(invite.expires_at)),
            created_at_ms: utc_ms(invite.created_at),
        }
    });
    lines.collect()
}

/// The first group and as many dots as there are more.
fn masked(token: &str) -> String {
    let shown: String = token.chars().take(SHOWN_CHARS).collect();
    let groups = token.split('-').count().saturating_sub(1);
    format!("{shown}{}", "-…".repeat(groups))
}

fn status(status: InviteStatus) -> TokenStatus {
    match status {
        InviteStatus::Unused => TokenStatus::Unused,
        InviteStatus::Used => TokenStatus::Used,
        InviteStatus::Expired => TokenStatus::Expired,
        InviteStatus::Revoked => TokenStatus::Revoked,
    }
}

fn role(role: flowtest_accounts::Role) -> Role {
    match role {
        flowtest_accounts::Role::Admin => Role::Admin,
        flowtest_accounts::Role::Staff => Role::Staff,
    }
}

/// Shows whoever watches `/live?of=tokens` the list whenever it changes, until it is stopped.
pub async fn keep_live(accounts: Accounts, hub: Hub, stop: CancellationToken) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        match live_text(&accounts, utc_us()).await {
            Ok(text) => hub.publish_tokens(text),
            Err(error) => tracing::warn!(%error, "the list of invitations cannot be read"),
        }
    }
}

/// What `/live?of=tokens` sends, whole each time. No clear text is in it: pages ask for that.
async fn live_text(accounts: &Accounts, now: UtcUs) -> Result<String, Error> {
    let rows: Vec<_> = lines(accounts.invites(now).await?)
        .into_iter()
        .map(|line| {
            json!({
                "index": line.index,
                "id": line.id,
                "label": line.label,
                "status": line.status.name(),
                "role": line.role.name(),
                "masked": line.masked,
                "used_by": line.used_by,
                "used_at": line.used_at_ms,
                "expires_at": line.expires_at_ms,
                "created_at": line.created_at_ms,
            })
        })
        .collect();
    Ok(json!({ "kind": "tokens", "rows": rows }).to_string())
}

#[handler]
pub async fn create(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let (count, label) = (field(req, "count").await, field(req, "label").await);
    let (expires, zone) = (field(req, "expires").await, field(req, "zone").await);
    let role = match field(req, "role").await.as_str() {
        "admin" => Role::Admin,
        _ => Role::Staff,
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
    let role = match role {
        Role::Admin => flowtest_accounts::Role::Admin,
        Role::Staff => flowtest_accounts::Role::Staff,
    };
    match app.accounts.create_invites(NewInvites { count, label, role, expires_at }, &actor, now).await {
        Ok(invites) => {
            app.people_changed();
            frame::done(depot, res, PATH, format!("{} invitations are made.", invites.len()))
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
pub async fn revoke(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let mut ids = Vec::new();
    for typed in crate::handlers::setting::list(req, "id").await {
        ids.push(InviteId(
            typed.parse().map_err(|_| Failure::Unprocessable(format!("{typed:?} is no number of an invitation")))?,
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
pub async fn export_csv(depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let actor = Viewer::of(depot)?.actor.clone();
    let now = utc_us();
    let mut table = csv::Writer::from_writer(Vec::new());
    let broken = |error: csv::Error| Failure::Internal(format!("a table: {error}"));
    let head = ["index", "token", "label", "role", "status", "used_by", "used_at", "expires_at", "created_at"];
    table.write_record(head).map_err(broken)?;
    for line in lines(app.accounts.invites(now).await?) {
        let instant = |ms: Option<i64>| ms.and_then(|ms| u64::try_from(ms).ok()).map(|ms| instant::utc(ms * 1_000));
        table
            .write_record([
                line.index.to_string(),
                line.clear.clone().unwrap_or_default(),
                text(&line.label),
                line.role.name().to_owned(),
                line.status.name().to_owned(),
                text(line.used_by.as_deref().unwrap_or_default()),
                instant(line.used_at_ms).unwrap_or_default(),
                instant(line.expires_at_ms).unwrap_or_default(),
                instant(Some(line.created_at_ms)).unwrap_or_default(),
            ])
            .map_err(broken)?;
    }
    let bytes = table.into_inner().map_err(|error| Failure::Internal(format!("a table: {error}")))?;
    app.accounts.note("export", "invitations", None, &actor, now).await?;
    let headers = res.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"invitations.csv\""));
    res.body(salvo::http::ResBody::Once(bytes.into()));
    Ok(())
}

/// A card for each unused invitation, to cut out.
#[handler]
pub async fn print_slips(req: &mut Request, depot: &mut Depot, res: &mut Response) -> Result<(), Failure> {
    let app = App::of(depot).clone();
    let address = format!("{}/register", site(req, &app));
    let slip = |line: TokenLine| {
        let clear = line.clear?;
        let qr = Qr::of(&format!("{address}#t={clear}"), format!("The address of invitation {}", line.index));
        Some(Slip { index: line.index, label: line.label, clear, expires_at_ms: line.expires_at_ms, qr })
    };
    let slips = lines(app.accounts.invites(utc_us()).await?).into_iter().filter_map(slip).collect();
    send(res, SlipsPage { layout: frame::layout(depot, Page::Tokens, "Invitations to print"), slips, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_token_shows_its_first_group_only() {
        assert_eq!(masked("7KQ4X-ABCDE-FGHJK-MNPQR-STVWX-Y"), "7KQ4X-…-…-…-…-…");
    }
}
