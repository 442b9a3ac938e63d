//! Invitations: made in batches, handed out on paper, each good for one account.
//!
//! Owns their making, listing and end; redeeming is in `redeem`. The clear text is kept only while it can be redeemed.

use crate::Accounts;
use crate::error::Error;
use crate::invitations::token::Token;
use crate::log::{Actor, Change};
use crate::people::secret::Secret;
use crate::people::user::{Role, UserId};
use crate::store::columns::{MaybeWhole, Whole, last_id, row_id, stored, word_enum};
use crate::store::schema::{invites, users};
use crate::text;
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use serde_json::json;

/// Most invitations of one batch.
pub const BATCH_MAX: u32 = 1000;

row_id! {
    /// An invitation's number as it is shown, from 1.
    InviteId
}

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
    pub async fn invites(&self, now: UtcUs) -> Result<Vec<Invite>, Error> {
        self.store
            .read(move |conn| {
                let rows: Vec<(Row, Option<String>)> = invites::table
                    .left_join(users::table)
                    .order(invites::id)
                    .select((Row::as_select(), users::name.nullable()))
                    .load(conn)?;
                Ok(rows.into_iter().map(|(row, name)| row.invite(name, now)).collect())
            })
            .await
    }

    /// Revokes those of them that can still be redeemed. Returns how many that were.
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
    pub async fn purge_invites(&self, now: UtcUs) -> Result<usize, Error> {
        self.store
            .write(move |conn| {
                let over = invites::token.is_not_null().and(invites::expires_at.le(stored(now)));
                Ok(diesel::update(invites::table.filter(over)).set(invites::token.eq(None::<String>)).execute(conn)?)
            })
            .await
    }
}

/// Where an invitation stands, by its instants.
pub(crate) fn status(used: bool, revoked: bool, expires_at: UtcUs, now: UtcUs) -> InviteStatus {
    if used {
        InviteStatus::Used
    } else if revoked {
        InviteStatus::Revoked
    } else if expires_at <= now {
        InviteStatus::Expired
    } else {
        InviteStatus::Unused
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
    let row: Row = invites::table.find(id).select(Row::as_select()).first(conn)?;
    Ok(row.invite(None, now))
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = invites)]
struct Row {
    id: InviteId,
    token: Option<String>,
    label: String,
    role: Role,
    created_by: String,
    #[diesel(deserialize_as = Whole)]
    created_at: UtcUs,
    #[diesel(deserialize_as = Whole)]
    expires_at: UtcUs,
    #[diesel(deserialize_as = MaybeWhole)]
    revoked_at: Option<UtcUs>,
    #[diesel(deserialize_as = MaybeWhole)]
    used_at: Option<UtcUs>,
    used_by: Option<UserId>,
}

impl Row {
    fn invite(self, name: Option<String>, now: UtcUs) -> Invite {
        let used = self.used_by.zip(self.used_at).zip(name);
        Invite {
            id: self.id,
            status: status(self.used_at.is_some(), self.revoked_at.is_some(), self.expires_at, now),
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
