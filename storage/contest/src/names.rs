//! What may be a name: of a contest, a contestant or a generator. Names are parts of keys in Redis, stand in tables and
//! on pages, and are compared by people.

use flowtest_contract::text::is_hidden;

/// Names that are part of keys may not hold these: braces would move the hash tag, the colon separates.
pub const FORBIDDEN_IN_NAMES: [char; 3] = ['{', '}', ':'];
/// Characters of a contest's or contestant's name at most.
pub const NAME_CHARS_MAX: usize = 64;

/// The name of the platform's own contestant: our reference server, flipping on time. What it loses, the platform has
/// lost, not a contestant.
pub const HOUSE: &str = "house";

/// Whether a text may be a name in keys, tables and pages.
pub fn is_name(text: &str) -> bool {
    let fine = |c: char| !is_hidden(c) && !FORBIDDEN_IN_NAMES.contains(&c);
    !text.is_empty() && text.chars().count() <= NAME_CHARS_MAX && text.trim() == text && text.chars().all(fine)
}

/// Whether a text may be part of a key as the id of a request: 1 to 64 letters, digits and hyphens.
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
