//! Invitations: the live list, and slips to print.

use crate::live::clock::utc_ms;
use crate::views::field::Input;
use crate::views::qr::Qr;
use crate::views::{Field, Layout, Role, format, time};
use flowtest_accounts::Invite;
pub use flowtest_accounts::InviteStatus as TokenStatus;
use sailfish::TemplateSimple;
use serde_json::json;

/// Characters of a token that a masked one shows.
const SHOWN_CHARS: usize = 5;

/// `GET /setting-token`.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "tokens.stpl")]
pub struct TokensPage {
    pub layout: Layout,
    pub rows: Vec<TokenLine>,
    pub form: InvitationForm,
}

/// Fields of `POST /setting/invitations`.
#[derive(Clone, Debug)]
pub struct InvitationForm {
    pub count: Field,
    pub label: Field,
    pub expires: Field,
    pub role: Role,
}

impl Default for InvitationForm {
    /// With what most people want.
    fn default() -> InvitationForm {
        InvitationForm {
            count: Field::new("10"),
            label: Field::default(),
            expires: Field::new("+7d"),
            role: Role::Staff,
        }
    }
}

#[derive(Clone, Debug)]
pub struct TokenLine {
    /// From 1, as printed on the slip.
    pub index: u64,
    pub id: i64,
    pub label: String,
    pub status: TokenStatus,
    pub role: Role,
    /// `7KQ4X-…-…-…`
    pub masked: String,
    /// As long as it can be used.
    pub clear: Option<String>,
    pub used_by: Option<String>,
    pub used_at_ms: Option<i64>,
    pub expires_at_ms: Option<i64>,
    pub created_at_ms: i64,
}

impl TokenLine {
    /// The list as pages and the live feed show it, in the order in which they were made.
    pub fn list(invites: Vec<Invite>) -> Vec<TokenLine> {
        let lines = invites.into_iter().zip(1..).map(|(invite, index)| {
            let clear = invite.token.as_ref().map(|token| token.reveal().to_owned());
            TokenLine {
                index,
                id: invite.id.0,
                label: invite.label,
                status: invite.status,
                role: invite.role,
                masked: clear.as_deref().map_or_else(|| "–".to_owned(), masked),
                clear: clear.filter(|_| invite.status == TokenStatus::Unused),
                used_by: invite.used.as_ref().map(|used| used.name.clone()),
                used_at_ms: invite.used.as_ref().map(|used| utc_ms(used.at)),
                expires_at_ms: Some(utc_ms(invite.expires_at)),
                created_at_ms: utc_ms(invite.created_at),
            }
        });
        lines.collect()
    }
}

/// The first group and as many dots as there are more.
fn masked(token: &str) -> String {
    let shown: String = token.chars().take(SHOWN_CHARS).collect();
    let groups = token.split('-').count().saturating_sub(1);
    format!("{shown}{}", "-…".repeat(groups))
}

impl TokensPage {
    /// What `/live?of=tokens` sends, whole each time. No clear text is in it: pages ask for that.
    pub fn live_text(invites: Vec<Invite>) -> String {
        let row = |line: TokenLine| {
            json!({
                "index": line.index,
                "id": line.id,
                "label": line.label,
                "status": line.status.as_str(),
                "role": line.role.as_str(),
                "masked": line.masked,
                "used_by": line.used_by,
                "used_at": line.used_at_ms,
                "expires_at": line.expires_at_ms,
                "created_at": line.created_at_ms,
            })
        };
        let rows: Vec<_> = TokenLine::list(invites).into_iter().map(row).collect();
        json!({ "kind": "tokens", "rows": rows }).to_string()
    }

    pub fn count(rows: &[TokenLine], status: TokenStatus) -> usize {
        rows.iter().filter(|row| row.status == status).count()
    }
}

/// `GET /setting-token/slips`: one card per unused invitation, to cut out.
#[derive(Clone, Debug, TemplateSimple)]
#[template(path = "slips.stpl")]
pub struct SlipsPage {
    pub layout: Layout,
    pub slips: Vec<Slip>,
    /// Where to register, as a person types it.
    pub address: String,
    /// What an organiser has to know of that before anything is printed.
    pub doubt: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub struct Slip {
    pub index: u64,
    pub label: String,
    pub clear: String,
    pub expires_at_ms: Option<i64>,
    /// Of the address with `#t=<token>`.
    pub qr: Option<Qr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_token_shows_its_first_group_only() {
        assert_eq!(masked("7KQ4X-ABCDE-FGHJK-MNPQR-STVWX-Y"), "7KQ4X-…-…-…-…-…");
    }
}
