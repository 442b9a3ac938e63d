//! Where contestants' servers are, now and before.
//!
//! The text is opaque here: the dashboard normalised it and asked the policy. No row is changed or deleted.

use crate::Accounts;
use crate::error::Error;
use crate::log::{Actor, Change};
use crate::people::user;
use crate::store::columns::{Utc, stored};
use crate::store::ids::UserId;
use crate::store::schema::endpoints;
use diesel::prelude::*;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use serde_json::json;

/// Longest endpoint, in characters.
const ENDPOINT_MAX: usize = 2048;

/// The endpoint of somebody who has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    pub user: UserId,
    pub endpoint: String,
    /// Since when.
    pub at: UtcUs,
}

/// One line of somebody's endpoint history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Queryable, Selectable)]
#[diesel(table_name = endpoints)]
pub struct EndpointChange {
    /// None: it was taken away.
    pub endpoint: Option<String>,
    /// The login name of whoever changed it.
    pub by_name: String,
    #[diesel(deserialize_as = Utc)]
    pub at: UtcUs,
}

impl Accounts {
    /// Sets or takes away a user's endpoint. Setting the one that is there already changes and logs nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one that is empty or too long, [`Error::Missing`] without such a user, and as every query.
    pub async fn set_endpoint(&self, id: UserId, endpoint: Option<&str>, by: &Actor, now: UtcUs) -> Result<(), Error> {
        let endpoint = endpoint.map(ToOwned::to_owned);
        if endpoint.as_ref().is_some_and(|text| text.is_empty() || text.chars().count() > ENDPOINT_MAX) {
            return Err(Error::invalid("endpoint", format!("An endpoint has 1 to {ENDPOINT_MAX} characters.")));
        }
        let by = by.clone();
        self.store
            .write(move |conn| {
                user::get(conn, id)?;
                let before = current(conn, id)?.map(|found| found.endpoint);
                if before == endpoint {
                    return Ok(());
                }
                diesel::insert_into(endpoints::table)
                    .values((
                        endpoints::user_id.eq(id.0),
                        endpoints::endpoint.eq(&endpoint),
                        endpoints::by_name.eq(&by.name),
                        endpoints::at.eq(stored(now)),
                    ))
                    .execute(conn)?;
                Change::of("endpoint.set", user::subject(id))
                    .before(before.map(|text| json!(text)))
                    .after(endpoint.map(|text| json!(text)))
                    .write(conn, &by, now)
            })
            .await
    }

    /// Where a user's server is now.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn endpoint_of(&self, id: UserId) -> Result<Option<Endpoint>, Error> {
        self.store.read(move |conn| current(conn, id)).await
    }

    /// Everybody who has one, in the order of their ids.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>, Error> {
        self.store
            .read(|conn| {
                // The newest row of each user; none in it means that the endpoint was taken away.
                let newest = diesel::alias!(endpoints as newest);
                let newest_ids = newest
                    .group_by(newest.field(endpoints::user_id))
                    .select(diesel::dsl::max(newest.field(endpoints::id)).assume_not_null());
                let rows: Vec<StoredEndpoint> = endpoints::table
                    .filter(endpoints::id.eq_any(newest_ids))
                    .order(endpoints::user_id)
                    .select((endpoints::user_id, endpoints::endpoint, endpoints::at))
                    .load(conn)?;
                Ok(rows.into_iter().filter_map(present).collect())
            })
            .await
    }

    /// All endpoints that a user ever had, newest first.
    ///
    /// # Errors
    /// As every query: see [`Error`].
    pub async fn endpoint_history(&self, id: UserId) -> Result<Vec<EndpointChange>, Error> {
        self.store
            .read(move |conn| {
                let rows = endpoints::table.filter(endpoints::user_id.eq(id.0)).order(endpoints::id.desc());
                Ok(rows.select(EndpointChange::as_select()).load(conn)?)
            })
            .await
    }
}

fn current(conn: &mut SqliteConnection, id: UserId) -> Result<Option<Endpoint>, Error> {
    let newest: Option<StoredEndpoint> = endpoints::table
        .filter(endpoints::user_id.eq(id.0))
        .order(endpoints::id.desc())
        .select((endpoints::user_id, endpoints::endpoint, endpoints::at))
        .first(conn)
        .optional()?;
    Ok(newest.and_then(present))
}

/// User, endpoint, since when.
type StoredEndpoint = (UserId, Option<String>, Utc);

fn present((user, endpoint, at): StoredEndpoint) -> Option<Endpoint> {
    Some(Endpoint { user, endpoint: endpoint?, at: at.into() })
}
