//! What people may type: login names, display names, labels, reasons.
//!
//! Pure. Says what is wrong in a sentence meant for the form's field; the database has CHECKs behind it.

use crate::error::Error;
use flowtest_contract::text::is_hidden;

/// Lengths of a login name, in characters; all of them are ASCII.
pub const NAME_LENGTH: std::ops::RangeInclusive<usize> = 3..=30;
/// Lengths of a display name, in characters.
pub const DISPLAY_NAME_LENGTH: std::ops::RangeInclusive<usize> = 1..=40;
/// Longest label of invitations, rounds and screens, in characters.
pub const LABEL_MAX: usize = 80;
/// Longest reason, in characters.
pub const REASON_MAX: usize = 200;
/// Longest announcement, in characters.
pub const ANNOUNCEMENT_MAX: usize = 500;

/// A login name: it stands in keys, file names and URLs, so it is plain ASCII.
pub(crate) fn name(text: &str) -> Result<(), Error> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if plain && NAME_LENGTH.contains(&text.len()) {
        return Ok(());
    }
    Err(Error::invalid("name", "A name has 3 to 30 characters: letters A-Z, digits, _ and -."))
}

/// A display name, with what stands around it trimmed.
pub(crate) fn display_name(text: &str) -> Result<String, Error> {
    line("display_name", "A display name", text, *DISPLAY_NAME_LENGTH.start(), *DISPLAY_NAME_LENGTH.end())
}

/// A label may be empty.
pub(crate) fn label(text: &str) -> Result<String, Error> {
    line("label", "A label", text, 0, LABEL_MAX)
}

pub(crate) fn reason(text: &str) -> Result<String, Error> {
    line("reason", "A reason", text, 1, REASON_MAX)
}

pub(crate) fn announcement(text: &str) -> Result<String, Error> {
    line("text", "An announcement", text, 1, ANNOUNCEMENT_MAX)
}

/// One line of visible text of `least` to `most` characters, trimmed.
fn line(field: &'static str, what: &str, text: &str, least: usize, most: usize) -> Result<String, Error> {
    let text = text.trim();
    let length = text.chars().count();
    if length < least || length > most {
        let least = if least == 0 { String::new() } else { format!("{least} to ") };
        return Err(Error::invalid(field, format!("{what} has {least}{most} characters; this has {length}.")));
    }
    if let Some(hidden) = text.chars().find(|&symbol| is_hidden(symbol)) {
        let code = u32::from(hidden);
        return Err(Error::invalid(
            field,
            format!("{what} is one line of visible text; remove the invisible character U+{code:04X}."),
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_3_to_30_plain_characters() {
        for good in ["bob", "Team_7", "a-b", &"x".repeat(30)] {
            assert!(name(good).is_ok(), "{good:?}");
        }
        // too short, too long, a space, not ASCII, a path, nothing
        for bad in ["ab", &"x".repeat(31), "a b c", "bøb", "../etc", ""] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn display_names_are_visible_text() {
        for (typed, kept) in
            [("  Ünïcode & <Friends>  ", "Ünïcode & <Friends>"), ("赤い彗星", "赤い彗星"), ("❤\u{fe0f}", "❤\u{fe0f}")]
        {
            assert_eq!(display_name(typed).expect("a display name"), kept);
        }
        // empty, blank, too long, newline, escape, zero width, right-to-left override, isolate, filler, tag
        let too_long = "x".repeat(41);
        for bad in [
            "",
            "   ",
            &too_long,
            "a\nb",
            "a\u{1b}[31m",
            "a\u{200b}b",
            "a\u{202e}b",
            "a\u{2066}b",
            "\u{3164}",
            "a\u{e0041}",
        ] {
            assert!(display_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_message_tells_what_would_be_right() {
        let error = display_name("a\u{202e}b").expect_err("it turns text around").to_string();
        assert!(error.contains("U+202E"), "{error}");
        assert!(reason("").expect_err("empty").to_string().contains("1 to 200"));
    }

    proptest! {
        #[test]
        fn what_passes_has_no_control_character_and_fits(text in any::<String>()) {
            if let Ok(kept) = display_name(&text) {
                prop_assert!(!kept.chars().any(char::is_control));
                prop_assert!((1..=40).contains(&kept.chars().count()));
                prop_assert_eq!(kept.trim(), &kept);
            }
        }
    }
}
