//! How our types are stored: instants and counts as integers, words as text.
//!
//! Owns the macros that make such types and the few queries diesel has no words for. Knows no table.

use crate::error::Error;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::Sqlite;
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;

/// An enum stored, shown and sent as one word per variant.
macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[derive(serde::Serialize, serde::Deserialize, diesel::AsExpression, diesel::FromSqlRow)]
        #[diesel(sql_type = diesel::sql_types::Text)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// The word that is stored.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<$name, String> {
                match text {
                    $($word => Ok($name::$variant),)+
                    other => Err(format!(
                        "{:?} is none of {}",
                        other.chars().take(40).collect::<String>(),
                        [$($word),+].join(", "),
                    )),
                }
            }
        }

        impl diesel::serialize::ToSql<diesel::sql_types::Text, diesel::sqlite::Sqlite> for $name {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, diesel::sqlite::Sqlite>,
            ) -> diesel::serialize::Result {
                out.set_value(self.as_str());
                Ok(diesel::serialize::IsNull::No)
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::sqlite::Sqlite> for $name {
            fn from_sql(
                bytes: <diesel::sqlite::Sqlite as diesel::backend::Backend>::RawValue<'_>,
            ) -> diesel::deserialize::Result<Self> {
                let text =
                    <String as diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::sqlite::Sqlite>>::from_sql(
                        bytes,
                    )?;
                Ok(text.parse::<$name>()?)
            }
        }
    };
}

pub(crate) use word_enum;

/// A column whose type here differs from the one stored, for `#[diesel(deserialize_as = ..)]`.
macro_rules! stored_as {
    ($name:ident: $sql:ty as $row:ty => $ours:ty, $read:expr) => {
        #[derive(Debug)]
        pub struct $name($ours);

        impl Queryable<$sql, Sqlite> for $name {
            type Row = $row;

            fn build(row: $row) -> diesel::deserialize::Result<Self> {
                let read: fn($row) -> diesel::deserialize::Result<$ours> = $read;
                read(row).map($name)
            }
        }

        impl From<$name> for $ours {
            fn from(stored: $name) -> $ours {
                stored.0
            }
        }
    };
}

stored_as!(U64: BigInt as i64 => u64, |row| Ok(u64::try_from(row)?));
stored_as!(OptionU64: Nullable<BigInt> as Option<i64> => Option<u64>, |row| Ok(row.map(u64::try_from).transpose()?));
stored_as!(Utc: BigInt as i64 => UtcUs, |row| Ok(UtcUs(u64::try_from(row)?)));
stored_as!(OptionUtc: Nullable<BigInt> as Option<i64> => Option<UtcUs>, |row| Ok(row.map(u64::try_from).transpose()?.map(UtcUs)));
stored_as!(U32: BigInt as i64 => u32, |row| Ok(u32::try_from(row)?));
stored_as!(RoundText: Text as String => RoundId, |row| Ok(row.parse::<RoundId>()?));

/// An instant as SQLite stores it. What lies beyond the year 294,000 is as good as that.
pub(crate) fn stored(at: UtcUs) -> i64 {
    stored_count(at.0)
}

/// The same of a count, or of a length of time in microseconds.
pub(crate) fn stored_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The number of the row that this connection inserted last.
pub(crate) fn last_id(conn: &mut SqliteConnection) -> Result<i64, Error> {
    Ok(diesel::select(diesel::dsl::sql::<BigInt>("last_insert_rowid()")).get_result(conn)?)
}
