//! The function library that runs inside Redis, and how it gets there.

use redis::{ConnectionLike, ErrorKind, RedisError, RedisResult, Value};

/// The Lua text.
pub const CODE: &str = include_str!("library.lua");

/// Raised with every change of the text. Functions only gain abilities: an older client works with a newer library.
pub const VERSION: u32 = 10;

/// Rows, or spans of histograms, of one call at most. The Lua text says why.
pub const ROWS_MAX: usize = 2_000;

/// The name under which Redis keeps it.
const NAME: &str = "flowtest";

/// What became of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// Redis has this library, a newer one, or one that we may not replace: then whoever may does it.
    Ready,
    /// Redis has none, and this user may not load ours: functions run with the rights of whoever calls them, so a
    /// generator's user is not let near them.
    Forbidden,
}

/// Loads the library unless Redis has this one or a newer one: every load is a write that Redis keeps.
///
/// # Errors
/// What the client says: no connection, or a server that takes no functions.
pub(crate) fn load(connection: &mut dyn ConnectionLike) -> RedisResult<Loaded> {
    let listed: Value =
        redis::cmd("FUNCTION").arg("LIST").arg("LIBRARYNAME").arg(NAME).arg("WITHCODE").query(connection)?;
    let installed = find_code(&listed);
    if installed.is_some_and(|code| code == CODE || version(code) > Some(VERSION)) {
        return Ok(Loaded::Ready);
    }
    match redis::cmd("FUNCTION").arg("LOAD").arg("REPLACE").arg(CODE).exec(connection) {
        Err(error) if error.code() == Some("NOPERM") => {
            Ok(if installed.is_some() { Loaded::Ready } else { Loaded::Forbidden })
        }
        loaded => loaded.map(|()| Loaded::Ready),
    }
}

/// Whether a call failed because Redis does not have the library (any more).
pub fn is_absent(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
        && error.detail().is_some_and(|detail| detail.to_ascii_lowercase().contains("function not found"))
}

/// The answer is a list of maps; the shape of a map differs between versions of the protocol.
fn find_code(value: &Value) -> Option<&str> {
    let text = |value: &Value| matches!(value, Value::BulkString(bytes) if bytes.as_slice() == b"library_code");
    match value {
        Value::Array(items) => {
            let code = items.windows(2).find(|pair| text(&pair[0])).map(|pair| &pair[1]);
            match code {
                Some(Value::BulkString(bytes)) => std::str::from_utf8(bytes).ok(),
                _ => items.iter().find_map(find_code),
            }
        }
        Value::Map(pairs) => pairs.iter().find(|(key, _)| text(key)).and_then(|(_, code)| match code {
            Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }),
        _ => None,
    }
}

fn version(code: &str) -> Option<u32> {
    code.lines().find_map(|line| line.strip_prefix("-- library version "))?.trim().parse().ok()
}

/// An answer of one of the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Ok,
    /// Already so.
    Dup,
    /// The changes build on rows that Redis does not hold: put all of them.
    Gap,
    /// No such round, or no such stream in it.
    Unknown,
    /// The round takes no more of this.
    Closed,
}

impl redis::FromRedisValue for Answer {
    fn from_redis_value(value: Value) -> Result<Answer, redis::ParsingError> {
        let text: String = redis::from_redis_value(value)?;
        match text.as_str() {
            "OK" => Ok(Answer::Ok),
            "DUP" => Ok(Answer::Dup),
            "GAP" => Ok(Answer::Gap),
            "UNKNOWN" => Ok(Answer::Unknown),
            "CLOSED" => Ok(Answer::Closed),
            _ => Err(redis::ParsingError::from(format!("no answer of our library: {text}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::span::SPAN_BYTES_MAX;

    #[test]
    fn text_and_program_agree() {
        assert_eq!(version(CODE), Some(VERSION));
        assert!(CODE.starts_with(&format!("#!lua name={NAME}\n")));
        assert!(CODE.contains(&format!("local ROWS_MAX = {ROWS_MAX}\n")));
        assert!(CODE.contains(&format!("local SPAN_BYTES_MIN, SPAN_BYTES_MAX = 17, {SPAN_BYTES_MAX}\n")));
    }

    #[test]
    fn the_installed_text_is_found_in_either_shape_of_the_answer() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let flat = Value::Array(vec![text("library_name"), text("flowtest"), text("library_code"), text("x")]);
        assert_eq!(find_code(&Value::Array(vec![flat])), Some("x"));
        let map = Value::Map(vec![(text("library_code"), text("x"))]);
        assert_eq!(find_code(&Value::Array(vec![map])), Some("x"));
        assert_eq!(find_code(&Value::Array(vec![])), None);
    }
}
