//! People. An account is a team: several browsers may be logged in at once. Nobody is ever deleted.
//!
//! Owns names, roles and marks (disabled, hidden, disqualified), and that one enabled admin always remains.

use crate::Accounts;
use crate::error::{Error, is_duplicate};
use crate::log::{Actor, Change};
use crate::store::columns::{OptionUtc, Utc, last_id, stored, word_enum};
use crate::store::ids::UserId;
use crate::store::schema::{sessions, users};
use crate::text;
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};
use serde_json::json;

word_enum! {
    /// What somebody may see and do.
    Role {
        /// The organiser: everything.
        Admin = "admin",
        /// A contestant: index, chart, the own account.
        Staff = "staff",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct User {
    pub id: UserId,
    /// The login name: 3 to 30 of `A-Z a-z 0-9 _ -`, unique in any case.
    pub name: String,
    /// The display name: 1 to 40 visible characters, among them a letter or digit. No two look alike.
    pub display_name: String,
    pub role: Role,
    /// May not log in, and is logged out.
    pub disabled: bool,
    /// Stands in no public table.
    pub hidden: bool,
    /// Why, if so.
    pub disqualified: Option<String>,
    #[diesel(deserialize_as = Utc)]
    pub created_at: UtcUs,
    #[diesel(deserialize_as = OptionUtc)]
    pub last_login_at: Option<UtcUs>,
    /// In which it competes, such as `student`; shown beside its name.
    pub category: Option<String>,
    /// How its people are reached. Only for organisers.
    pub contact: Option<String>,
}

impl Actor {
    /// Somebody who is logged in.
    pub fn user(user: &User, address: impl Into<String>) -> Actor {
        Actor { user: Some(user.id), name: user.name.clone(), address: address.into() }
    }
}

/// Somebody who is about to get an account.
#[derive(Clone, PartialEq, Eq)]
pub struct NewUser {
    pub name: String,
    pub display_name: String,
    /// Clear text; kept only as its hash.
    pub password: String,
}

impl std::fmt::Debug for NewUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewUser")
            .field("name", &self.name)
            .field("display_name", &self.display_name)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// Makes an admin: the first one comes from the command line, for there is no default password.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name, display name or password that cannot be, [`Error::NameTaken`],
    /// [`Error::Overloaded`], and as every query.
    pub async fn create_admin(&self, new: NewUser, by: &Actor, now: UtcUs) -> Result<User, Error> {
        let new = self.prepare_user(new).await?;
        let by = by.clone();
        self.store
            .write(move |conn| {
                let user = insert(conn, &new, Role::Admin, now)?;
                Change::of("user.create", subject(user.id)).after(described(&user)).write(conn, &by, now)?;
                Ok(user)
            })
            .await
    }

    /// Everybody, in the order of their ids.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        self.store.read(|conn| Ok(users::table.order(users::id).select(User::as_select()).load(conn)?)).await
    }

    /// A user by id.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn user(&self, id: UserId) -> Result<Option<User>, Error> {
        self.store.read(move |conn| Ok(users::table.find(id.0).select(User::as_select()).first(conn).optional()?)).await
    }

    /// By the login name, in any case.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn user_named(&self, name: &str) -> Result<Option<User>, Error> {
        let name = name.to_owned();
        self.store
            .read(move |conn| {
                Ok(users::table.filter(users::name.eq(name)).select(User::as_select()).first(conn).optional()?)
            })
            .await
    }

    /// Makes a user an admin or a contestant.
    ///
    /// # Errors
    /// [`Error::Missing`] without such a user, [`Error::LastAdmin`] if nobody could run the contest then, and as every query.
    pub async fn set_role(&self, id: UserId, role: Role, by: &Actor, now: UtcUs) -> Result<User, Error> {
        self.change_user("user.role", id, by, now, move |conn, user| {
            if role != Role::Admin {
                keep_an_admin(conn, user)?;
            }
            diesel::update(users::table.find(id.0)).set(users::role.eq(role)).execute(conn)?;
            Ok(())
        })
        .await
    }

    /// Disabling ends all sessions.
    ///
    /// # Errors
    /// [`Error::Missing`] without such a user, [`Error::LastAdmin`] if nobody could run the contest then, and as every query.
    pub async fn set_disabled(&self, id: UserId, disabled: bool, by: &Actor, now: UtcUs) -> Result<User, Error> {
        let action = if disabled { "user.disable" } else { "user.enable" };
        self.change_user(action, id, by, now, move |conn, user| {
            if disabled {
                keep_an_admin(conn, user)?;
                diesel::delete(sessions::table.filter(sessions::user_id.eq(id.0))).execute(conn)?;
            }
            diesel::update(users::table.find(id.0)).set(users::disabled.eq(disabled)).execute(conn)?;
            Ok(())
        })
        .await
    }

    /// Sets the display name.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that cannot be or looks like another's, [`Error::Missing`] without such a user, and as every
    /// query.
    pub async fn set_display_name(
        &self,
        id: UserId,
        display_name: &str,
        by: &Actor,
        now: UtcUs,
    ) -> Result<User, Error> {
        let display_name = text::display_name(display_name)?;
        self.change_user("user.shown", id, by, now, move |conn, user| {
            check_display_name(conn, &display_name, user.role, Some(id))?;
            diesel::update(users::table.find(id.0)).set(users::display_name.eq(display_name)).execute(conn)?;
            Ok(())
        })
        .await
    }

    /// Takes a user out of all public tables, or puts it back.
    ///
    /// # Errors
    /// [`Error::Missing`] without such a user, and as every query.
    pub async fn set_hidden(&self, id: UserId, hidden: bool, by: &Actor, now: UtcUs) -> Result<User, Error> {
        let action = if hidden { "user.hide" } else { "user.unhide" };
        self.change_user(action, id, by, now, move |conn, _| {
            diesel::update(users::table.find(id.0)).set(users::hidden.eq(hidden)).execute(conn)?;
            Ok(())
        })
        .await
    }

    /// Puts a team into a category, or with an empty text into none.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is too long, [`Error::Missing`] without such a user, and as every query.
    pub async fn set_category(&self, id: UserId, category: &str, by: &Actor, now: UtcUs) -> Result<User, Error> {
        let category = text::category(category)?;
        self.change_user("user.category", id, by, now, move |conn, _| {
            diesel::update(users::table.find(id.0)).set(users::category.eq(category)).execute(conn)?;
            Ok(())
        })
        .await
    }

    /// Notes how a team is reached; an empty text takes that away.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that is too long, [`Error::Missing`] without such a user, and as every query.
    pub async fn set_contact(&self, id: UserId, contact: &str, by: &Actor, now: UtcUs) -> Result<User, Error> {
        let contact = text::contact(contact)?;
        self.change_user("user.contact", id, by, now, move |conn, _| {
            diesel::update(users::table.find(id.0)).set(users::contact.eq(contact)).execute(conn)?;
            Ok(())
        })
        .await
    }

    /// Everything that is wrong with the names of somebody who is about to get an account, by field. Only for who may get one:
    /// it tells which names are taken.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn check_names(
        &self,
        name: &str,
        display_name: &str,
        role: Role,
    ) -> Result<Vec<(&'static str, String)>, Error> {
        let (name, display_name) = (name.to_owned(), display_name.to_owned());
        let found = self.store.read(move |conn| {
            let taken = |conn: &mut SqliteConnection| -> Result<(), Error> {
                text::name(&name)?;
                let taken = users::table.filter(users::name.eq(&name)).select(users::id).first::<i64>(conn);
                if taken.optional()?.is_some() { Err(Error::NameTaken) } else { Ok(()) }
            };
            let display_name_taken = |conn: &mut SqliteConnection| -> Result<(), Error> {
                check_display_name(conn, &text::display_name(&display_name)?, role, None)
            };
            Ok::<_, Error>([taken(conn), display_name_taken(conn)])
        });
        let mut wrong = Vec::new();
        for judged in found.await? {
            match judged {
                Ok(()) => {}
                Err(error @ Error::NameTaken) => wrong.push(("name", error.to_string())),
                Err(Error::Invalid { field, message }) => wrong.push((field, message)),
                Err(error) => return Err(error),
            }
        }
        Ok(wrong)
    }

    /// Marks a user as disqualified; the results stay as they are.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a reason that is empty or too long, [`Error::Missing`] without such a user, and as every query.
    pub async fn disqualify(&self, id: UserId, reason: &str, by: &Actor, now: UtcUs) -> Result<User, Error> {
        let reason = text::reason(reason)?;
        self.change_user("user.disqualify", id, by, now, move |conn, _| {
            diesel::update(users::table.find(id.0)).set(users::disqualified.eq(Some(reason))).execute(conn)?;
            Ok(())
        })
        .await
    }

    /// Takes the mark of [`Accounts::disqualify`] away.
    ///
    /// # Errors
    /// [`Error::Missing`] without such a user, and as every query.
    pub async fn requalify(&self, id: UserId, by: &Actor, now: UtcUs) -> Result<User, Error> {
        self.change_user("user.requalify", id, by, now, move |conn, _| {
            diesel::update(users::table.find(id.0)).set(users::disqualified.eq(None::<String>)).execute(conn)?;
            Ok(())
        })
        .await
    }

    /// Checks what was typed and hashes the password, before any transaction.
    pub(crate) async fn prepare_user(&self, new: NewUser) -> Result<PreparedUser, Error> {
        text::name(&new.name)?;
        let display_name = text::display_name(&new.display_name)?;
        let password_hash = self.passwords.hash(&new.password).await?;
        Ok(PreparedUser { name: new.name, display_name, password_hash })
    }

    /// One change of one user with its line in the log.
    async fn change_user(
        &self,
        action: &'static str,
        id: UserId,
        by: &Actor,
        now: UtcUs,
        change: impl FnOnce(&mut SqliteConnection, &User) -> Result<(), Error> + Send + 'static,
    ) -> Result<User, Error> {
        let by = by.clone();
        self.store
            .write(move |conn| {
                let before = get(conn, id)?;
                change(conn, &before)?;
                let after = get(conn, id)?;
                Change::of(action, subject(id))
                    .before(described(&before))
                    .after(described(&after))
                    .write(conn, &by, now)?;
                Ok(after)
            })
            .await
    }
}

/// A user whose names are checked and whose password is hashed.
#[derive(Debug)]
pub(crate) struct PreparedUser {
    pub(crate) name: String,
    display_name: String,
    password_hash: String,
}

pub(crate) fn insert(conn: &mut SqliteConnection, new: &PreparedUser, role: Role, now: UtcUs) -> Result<User, Error> {
    // Whoever takes a name that is there is told that, and not what it looks like.
    let taken = users::table.filter(users::name.eq(&new.name)).select(users::id).first::<i64>(conn).optional()?;
    if taken.is_some() {
        return Err(Error::NameTaken);
    }
    check_display_name(conn, &new.display_name, role, None)?;
    diesel::insert_into(users::table)
        .values((
            users::name.eq(&new.name),
            users::display_name.eq(&new.display_name),
            users::role.eq(role),
            users::password_hash.eq(&new.password_hash),
            users::created_at.eq(stored(now)),
        ))
        .execute(conn)
        .map_err(|error| if is_duplicate(&error) { Error::NameTaken } else { error.into() })?;
    let id = last_id(conn)?;
    get(conn, UserId(id))
}

/// Whether a display name may stand beside those of all others, on a wall that people read from ten metres.
fn check_display_name(
    conn: &mut SqliteConnection,
    display_name: &str,
    role: Role,
    own: Option<UserId>,
) -> Result<(), Error> {
    if role == Role::Staff && text::is_reserved(display_name) {
        return Err(Error::invalid("display_name", "This name belongs to the platform. Choose another one."));
    }
    let wanted = text::skeleton(display_name);
    let others = users::table.filter(users::id.ne(own.map_or(0, |id| id.0))).select((users::display_name, users::name));
    let others: Vec<(String, String)> = others.load(conn)?;
    if others
        .iter()
        .any(|(display_name, name)| text::skeleton(display_name) == wanted || text::skeleton(name) == wanted)
    {
        return Err(Error::invalid("display_name", "This name looks like that of another team. Choose another one."));
    }
    Ok(())
}

pub(crate) fn get(conn: &mut SqliteConnection, id: UserId) -> Result<User, Error> {
    users::table.find(id.0).select(User::as_select()).first(conn).optional()?.ok_or(Error::Missing("user"))
}

pub(crate) fn subject(id: UserId) -> String {
    format!("user:{id}")
}

/// A user as the log tells it.
pub(crate) fn described(user: &User) -> serde_json::Value {
    json!({
        "name": user.name,
        "shown": user.display_name,
        "role": user.role,
        "disabled": user.disabled,
        "hidden": user.hidden,
        "disqualified": user.disqualified,
        "category": user.category,
        "contact": user.contact,
    })
}

/// Refuses what would leave the contest without an admin who can log in.
fn keep_an_admin(conn: &mut SqliteConnection, user: &User) -> Result<(), Error> {
    let others: i64 = users::table
        .filter(users::role.eq(Role::Admin).and(users::disabled.eq(false)).and(users::id.ne(user.id.0)))
        .count()
        .get_result(conn)?;
    let is_one = user.role == Role::Admin && !user.disabled;
    if is_one && others == 0 { Err(Error::LastAdmin) } else { Ok(()) }
}
