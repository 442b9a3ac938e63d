//! Invitations: the live list, and slips to print.

use crate::views::field::Input;
use crate::views::qr::Qr;
use crate::views::{Field, Layout, Role, format};
use sailfish::TemplateSimple;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    Unused,
    Used,
    Expired,
    Revoked,
}

impl TokenStatus {
    pub fn name(self) -> &'static str {
        match self {
            TokenStatus::Unused => "unused",
            TokenStatus::Used => "used",
            TokenStatus::Expired => "expired",
            TokenStatus::Revoked => "revoked",
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

impl TokensPage {
    /// How many rows have this status.
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
