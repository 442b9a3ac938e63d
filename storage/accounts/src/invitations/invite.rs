//! Invitations: made in batches, handed out on paper, each good for one account.
//!
//! Owns their making, listing and end; redeeming is in `redeem`. The clear text is kept only while it can be redeemed.

use crate::Accounts;
use crate::error::Error;
use crate::invitations::token::Token;
use crate::log::{Actor, Change};
use crate::people::secret::Secret;
use crate::people::user::Role;
use crate::store::columns::{OptionUtc, Utc, last_id, stored, word_enum};
use crate::store::ids::{InviteId, UserId};
use crate::store::schema::{invites, users};
use crate::text;
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use serde_json::json;

/// Most invitations of one batch.
pub const BATCH_MAX: u32 = 1000;

word_enum! {
    /// Where an invitation stands.
    InviteStatus {
        Unused = "unused",
        Used = "used",
        Expired = "expired",
        Revoked = "revoked",
    }
}

/// A batch to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInvites {
    /// 1 to 1000.
    pub count: u32,
    /// What the batch is for; at most 80 characters, may be empty.
    pub label: String,
    /// What whoever redeems one will be.
    pub role: Role,
    pub expires_at: UtcUs,
}

/// An invitation as the organiser sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    pub id: InviteId,
    /// In groups of five; none once it was used, revoked, or expired and purged.
    pub token: Option<Secret>,
    pub label: String,
    pub role: Role,
    pub status: InviteStatus,
    /// The login name of whoever made it.
    pub created_by: String,
    pub created_at: UtcUs,
    pub expires_at: UtcUs,
    pub revoked_at: Option<UtcUs>,
    pub used: Option<InviteUse>,
}

/// Who became somebody by an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InviteUse {
    pub user: UserId,
    pub name: String,
    pub at: UtcUs,
}

impl Accounts {
    /// Makes a batch; all of it or nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a count, a label or an end that cannot be, and as every query.
    pub async fn create_invites(&self, new: NewInvites, by: &Actor, now: UtcUs) -> Result<Vec<Invite>, Error> {
        let label = text::label(&new.label)?;
        if new.count == 0 || new.count > BATCH_MAX {
            return Err(Error::invalid("count", format!("A batch has 1 to {BATCH_MAX} invitations.")));
        }
        if new.expires_at <= now {
            return Err(Error::invalid("expires_at", "The end lies in the past. Choose a later one."));
        }
        let tokens: Vec<Token> = (0..new.count).map(|_| Token::draw()).collect::<Result<_, _>>()?;
        let by = by.clone();
        self.store
            .write(move |conn| {
                let made: Vec<Invite> = tokens
                    .iter()
                    .map(|token| insert(conn, token, &label, new.role, new.expires_at, &by, now))
                    .collect::<Result<_, Error>>()?;
                let (first, last) = (made.first().map(|invite| invite.id), made.last().map(|invite| invite.id));
                Change::of("invite.create", "invites")
                    .after(json!({
                        "first": first, "last": last, "label": label, "role": new.role, "expires_at": new.expires_at,
                    }))
                    .write(conn, &by, now)?;
                Ok(made)
            })
            .await
    }

    /// All of them, in the order they were made.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn invites(&self, now: UtcUs) -> Result<Vec<Invite>, Error> {
        self.store
            .read(move |conn| {
                let rows: Vec<(StoredInvite, Option<String>)> = invites::table
                    .left_join(users::table)
                    .order(invites::id)
                    .select((StoredInvite::as_select(), users::name.nullable()))
                    .load(conn)?;
                Ok(rows.into_iter().map(|(row, name)| row.invite(name, now)).collect())
            })
            .await
    }

    /// Revokes those of them that can still be redeemed. Returns how many that were.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn revoke_invites(&self, ids: &[InviteId], by: &Actor, now: UtcUs) -> Result<usize, Error> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let by = by.clone();
        self.store
            .write(move |conn| {
                let mut revoked = Vec::new();
                for id in ids {
                    let live = invites::used_at.is_null().and(invites::revoked_at.is_null());
                    let changed = diesel::update(invites::table.find(id).filter(live))
                        .set((invites::revoked_at.eq(stored(now)), invites::token.eq(None::<String>)))
                        .execute(conn)?;
                    if changed == 1 {
                        revoked.push(id);
                    }
                }
                let count = revoked.len();
                Change::of("invite.revoke", "invites").after(json!({ "revoked": revoked })).write(conn, &by, now)?;
                Ok(count)
            })
            .await
    }

    /// Forgets the clear text of invitations that expired. Housekeeping: the log does not tell it. Returns how many.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn purge_invites(&self, now: UtcUs) -> Result<usize, Error> {
        self.store
            .write(move |conn| {
                let over = invites::token.is_not_null().and(invites::expires_at.le(stored(now)));
                Ok(diesel::update(invites::table.filter(over)).set(invites::token.eq(None::<String>)).execute(conn)?)
            })
            .await
    }
}

pub(crate) fn subject(id: InviteId) -> String {
    format!("invite:{id}")
}

fn insert(
    conn: &mut SqliteConnection,
    token: &Token,
    label: &str,
    role: Role,
    expires_at: UtcUs,
    by: &Actor,
    now: UtcUs,
) -> Result<Invite, Error> {
    diesel::insert_into(invites::table)
        .values((
            invites::token_hash.eq(token.digest()),
            invites::token.eq(token.printed().reveal()),
            invites::label.eq(label),
            invites::role.eq(role),
            invites::created_by.eq(&by.name),
            invites::created_at.eq(stored(now)),
            invites::expires_at.eq(stored(expires_at)),
        ))
        .execute(conn)?;
    let id = last_id(conn)?;
    let row: StoredInvite = invites::table.find(id).select(StoredInvite::as_select()).first(conn)?;
    Ok(row.invite(None, now))
}

/// An invitation as the table holds it.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = invites)]
pub(crate) struct StoredInvite {
    pub(crate) id: InviteId,
    token: Option<String>,
    pub(crate) label: String,
    pub(crate) role: Role,
    created_by: String,
    #[diesel(deserialize_as = Utc)]
    created_at: UtcUs,
    #[diesel(deserialize_as = Utc)]
    pub(crate) expires_at: UtcUs,
    #[diesel(deserialize_as = OptionUtc)]
    revoked_at: Option<UtcUs>,
    #[diesel(deserialize_as = OptionUtc)]
    used_at: Option<UtcUs>,
    used_by: Option<UserId>,
}

impl StoredInvite {
    /// Where the invitation stands, by its instants.
    pub(crate) fn status(&self, now: UtcUs) -> InviteStatus {
        if self.used_at.is_some() {
            InviteStatus::Used
        } else if self.revoked_at.is_some() {
            InviteStatus::Revoked
        } else if self.expires_at <= now {
            InviteStatus::Expired
        } else {
            InviteStatus::Unused
        }
    }

    fn invite(self, name: Option<String>, now: UtcUs) -> Invite {
        let used = self.used_by.zip(self.used_at).zip(name);
        Invite {
            id: self.id,
            status: self.status(now),
            token: self.token.map(Secret::from_text),
            label: self.label,
            role: self.role,
            created_by: self.created_by,
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            used: used.map(|((user, at), name)| InviteUse { user, name, at }),
        }
    }
}
