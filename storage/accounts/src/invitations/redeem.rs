//! Redeeming an invitation: one token becomes one account, or nothing happens.
//!
//! Everything that takes time (the password's hash) comes first; then one immediate transaction inserts the user and
//! marks the token by one conditional update. A token whose redemption failed stays unused.

use crate::Accounts;
use crate::error::Error;
use crate::invitations::invite::{self, InviteStatus, StoredInvite};
use crate::invitations::token::Token;
use crate::log::{Actor, Change};
use crate::people::user::{self, NewUser, PreparedUser, Role, User};
use crate::store::columns::stored;
use crate::store::ids::InviteId;
use crate::store::schema::invites;
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;

/// Why a token was not redeemed.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    #[error("This is no invitation of this contest. Compare it with the slip, digit by digit.")]
    Unknown,
    #[error("This invitation was used already. If that was not you, tell the organiser.")]
    Used,
    #[error("This invitation was revoked. Ask the organiser for another one.")]
    Revoked,
    #[error("This invitation has expired. Ask the organiser for another one.")]
    Expired,
    /// Told only to somebody who holds a token that could be redeemed.
    #[error("The name is taken. Choose another one; the invitation is still good.")]
    NameTaken,
    /// A field of the form: what is wrong with it.
    #[error("{message}")]
    Invalid { field: &'static str, message: String },
    /// Not the visitor's fault.
    #[error(transparent)]
    Other(Error),
}

/// A token that can be redeemed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedeemableInvite {
    pub id: InviteId,
    pub role: Role,
    pub label: String,
    pub expires_at: UtcUs,
}

impl Accounts {
    /// Whether a token could be redeemed now, before the form is filled in. `typed` may be in any case, with or without
    /// hyphens, with O for 0 and I or L for 1.
    ///
    /// # Errors
    /// [`RedeemError::Unknown`], [`RedeemError::Used`], [`RedeemError::Revoked`] or [`RedeemError::Expired`];
    /// [`RedeemError::Other`] as every query.
    pub async fn check_invite(&self, typed: &str, now: UtcUs) -> Result<RedeemableInvite, RedeemError> {
        let digest = Token::read(typed).ok_or(RedeemError::Unknown)?.digest();
        self.store.read(move |conn| find(conn, &digest, now)).await
    }

    /// Makes the account that the token is for. Of several at once exactly one succeeds.
    ///
    /// # Errors
    /// Those of [`Accounts::check_invite`]; besides, [`RedeemError::NameTaken`], [`RedeemError::Invalid`] for a field of the
    /// form, and [`RedeemError::Other`] with [`Error::Overloaded`].
    pub async fn redeem(&self, typed: &str, new: NewUser, by: &Actor, now: UtcUs) -> Result<User, RedeemError> {
        // First, so that only who holds a good token learns what is wrong with the rest, or costs us a hash.
        self.check_invite(typed, now).await?;
        let digest = Token::read(typed).ok_or(RedeemError::Unknown)?.digest();
        let new = self.prepare_user(new).await?;
        let by = by.clone();
        self.store.write(move |conn| redeem(conn, &digest, &new, &by, now)).await
    }
}

fn redeem(
    conn: &mut SqliteConnection,
    digest: &[u8],
    new: &PreparedUser,
    by: &Actor,
    now: UtcUs,
) -> Result<User, RedeemError> {
    let invite = find(conn, digest, now)?;
    let user = user::insert(conn, new, invite.role, now)?;
    let good = invites::used_at.is_null().and(invites::revoked_at.is_null()).and(invites::expires_at.gt(stored(now)));
    let marked = diesel::update(invites::table.filter(invites::token_hash.eq(digest).and(good)))
        .set((invites::used_at.eq(stored(now)), invites::used_by.eq(user.id.0), invites::token.eq(None::<String>)))
        .execute(conn)?;
    if marked != 1 {
        return Err(RedeemError::Used);
    }
    Change::of("invite.redeem", invite::subject(invite.id)).after(user::described(&user)).write(conn, by, now)?;
    Ok(user)
}

/// The invitation, if it can be redeemed.
fn find(conn: &mut SqliteConnection, digest: &[u8], now: UtcUs) -> Result<RedeemableInvite, RedeemError> {
    let row: Option<StoredInvite> = invites::table
        .filter(invites::token_hash.eq(digest))
        .select(StoredInvite::as_select())
        .first(conn)
        .optional()?;
    let row = row.ok_or(RedeemError::Unknown)?;
    match row.status(now) {
        InviteStatus::Unused => {
            Ok(RedeemableInvite { id: row.id, role: row.role, label: row.label, expires_at: row.expires_at })
        }
        InviteStatus::Used => Err(RedeemError::Used),
        InviteStatus::Revoked => Err(RedeemError::Revoked),
        InviteStatus::Expired => Err(RedeemError::Expired),
    }
}

impl From<Error> for RedeemError {
    fn from(error: Error) -> RedeemError {
        match error {
            Error::NameTaken => RedeemError::NameTaken,
            Error::Invalid { field, message } => RedeemError::Invalid { field, message },
            other => RedeemError::Other(other),
        }
    }
}

impl From<diesel::result::Error> for RedeemError {
    fn from(error: diesel::result::Error) -> RedeemError {
        RedeemError::from(Error::from(error))
    }
}
