//! `message`, which 0.1 called `sentence`. Generators and dashboards are not updated in one instant, so for one release both
//! names are written and either is read. With 0.3 this file goes, and the fields stand as they are.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize)]
struct Both<'a> {
    message: &'a str,
    sentence: &'a str,
}

#[derive(Deserialize)]
struct Either {
    message: Option<String>,
    sentence: Option<String>,
}

pub(crate) fn serialize<S: Serializer>(message: &str, serializer: S) -> Result<S::Ok, S::Error> {
    Both { message, sentence: message }.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let either = Either::deserialize(deserializer)?;
    either.message.or(either.sentence).ok_or_else(|| D::Error::missing_field("message"))
}
