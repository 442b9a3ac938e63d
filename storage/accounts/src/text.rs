//! What people may type: login names, display names, labels, reasons.
//!
//! Pure. Says what is wrong in a sentence meant for the form's field; the database has CHECKs behind it.

use crate::error::Error;
use flowtest_contract::text::is_hidden;
use unicode_normalization::UnicodeNormalization;

/// Lengths of a login name, in characters; all of them are ASCII.
pub const NAME_LENGTH: std::ops::RangeInclusive<usize> = 3..=30;
/// Lengths of a display name, in characters.
pub const DISPLAY_NAME_LENGTH: std::ops::RangeInclusive<usize> = 1..=40;
/// Longest label of invitations, rounds and screens, in characters.
pub const LABEL_MAX: usize = 80;
/// Longest reason, in characters.
pub const REASON_MAX: usize = 200;
/// Longest category of teams, in characters: it is a mark beside a name.
pub const CATEGORY_MAX: usize = 30;
/// Longest line that says how a team is reached, in characters.
pub const CONTACT_MAX: usize = 200;
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

/// Names that belong to the platform, as their skeletons say them.
const RESERVED: [&str; 8] =
    ["house", "organiser", "organisers", "organizer", "organizers", "admin", "administrator", "flowtest"];

/// A display name, with what stands around it trimmed.
pub(crate) fn display_name(text: &str) -> Result<String, Error> {
    let (least, most) = (*DISPLAY_NAME_LENGTH.start(), *DISPLAY_NAME_LENGTH.end());
    let name = line("display_name", "A display name", text, least, most)?;
    if !name.chars().any(char::is_alphanumeric) {
        return Err(Error::invalid("display_name", "A display name has at least one letter or digit."));
    }
    Ok(name)
}

/// Whether a display name would speak for the platform: with whatever signs in it, with a number, or an article.
pub(crate) fn is_reserved(display_name: &str) -> bool {
    let name = display_name.trim_end_matches(|symbol: char| symbol.is_numeric() || !symbol.is_alphanumeric());
    let letters = |text: &str| -> String { skeleton(text).chars().filter(|symbol| symbol.is_alphanumeric()).collect() };
    // A digit may stand for a letter as well.
    [name, display_name].into_iter().map(letters).any(|name| {
        let bare = name.strip_prefix("the").unwrap_or(&name);
        RESERVED.iter().map(|reserved| letters(reserved)).any(|reserved| reserved == name || reserved == bare)
    })
}

/// What display names are told apart by: those of one skeleton look alike (UTS 39, section 4). Case, white space, forms of
/// one character (NFKC) and what joins characters make no difference either. A capital I looks as a small L does, and case makes
/// no difference, so that i and l are one.
pub(crate) fn skeleton(display_name: &str) -> String {
    let plain = |text: &str| -> String {
        let letters = text.nfkc().flat_map(char::to_lowercase);
        letters.filter(|symbol| !symbol.is_whitespace() && !is_hidden(*symbol) && *symbol != '\u{fe0f}').collect()
    };
    // Once more, for some skeletons are capital letters: that of 0 is O.
    plain(&unicode_security::skeleton(&plain(display_name)).collect::<String>()).replace('i', "l")
}

/// The first character that nobody sees, unless it joins what stands beside it: emoji of several, letters of Persian.
fn hidden_in(text: &str) -> Option<char> {
    let symbols: Vec<char> = text.chars().collect();
    let beside = |index: usize| Some((*symbols.get(index.checked_sub(1)?)?, *symbols.get(index + 1)?));
    let joins = |index: usize| match (symbols[index], beside(index)) {
        ('\u{200d}', Some((before, after))) => is_of_emoji(before) && is_of_emoji(after),
        ('\u{200c}', Some((before, after))) => is_arabic(before) && is_arabic(after),
        _ => false,
    };
    (0..symbols.len()).find(|&index| is_hidden(symbols[index]) && !joins(index)).map(|index| symbols[index])
}

/// Pictures, their skin tones, and the selector that makes a sign a picture.
fn is_of_emoji(symbol: char) -> bool {
    matches!(symbol, '\u{2190}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}')
}

fn is_arabic(symbol: char) -> bool {
    matches!(symbol, '\u{620}'..='\u{64a}' | '\u{66e}'..='\u{6d3}' | '\u{750}'..='\u{77f}' | '\u{8a0}'..='\u{8c9}')
}

/// A label may be empty.
pub(crate) fn label(text: &str) -> Result<String, Error> {
    line("label", "A label", text, 0, LABEL_MAX)
}

pub(crate) fn reason(text: &str) -> Result<String, Error> {
    line("reason", "A reason", text, 1, REASON_MAX)
}

/// None: it is in no category.
pub(crate) fn category(text: &str) -> Result<Option<String>, Error> {
    line("category", "A category", text, 0, CATEGORY_MAX).map(|text| Some(text).filter(|text| !text.is_empty()))
}

/// None: nobody said how.
pub(crate) fn contact(text: &str) -> Result<Option<String>, Error> {
    line("contact", "A contact line", text, 0, CONTACT_MAX).map(|text| Some(text).filter(|text| !text.is_empty()))
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
    if let Some(hidden) = hidden_in(text) {
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
        for (typed, kept) in [
            ("  Ünïcode & <Friends>  ", "Ünïcode & <Friends>"),
            ("赤い彗星", "赤い彗星"),
            ("Team ❤\u{fe0f}", "Team ❤\u{fe0f}"),
            ("Team 👩\u{200d}💻", "Team 👩\u{200d}💻"),
            ("Team 🏳\u{fe0f}\u{200d}🌈", "Team 🏳\u{fe0f}\u{200d}🌈"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        ] {
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
            // joiners that join nothing, and names without a letter or digit
            "a\u{200d}b",
            "Team \u{200c}",
            "👩\u{200d}",
            "❤\u{fe0f}",
            "!!!",
            "\u{300}",
        ] {
            assert!(display_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        // Cyrillic, full width, ligature, digits for letters, case, spaces, a joiner, a colour.
        for (one, other) in [
            ("alice", "аlісе"),
            ("Team Red", "ＴＥＡＭ ＲＥＤ"),
            ("office", "oﬃce"),
            ("Oslo", "0s1o"),
            ("Alice", "AIice"),
            ("ALICE", "Alice"),
            ("Modern", "modem"),
            ("a b", "A  B"),
            ("می\u{200c}خواهم", "میخواهم"),
            ("x❤\u{fe0f}", "x❤"),
        ] {
            assert_eq!(skeleton(one), skeleton(other), "{one:?} {other:?}");
        }
        for (one, other) in [("alice", "alicia"), ("Team 1", "Team 2"), ("Müller", "Muller"), ("赤い彗星", "青い彗星")]
        {
            assert_ne!(skeleton(one), skeleton(other), "{one:?} {other:?}");
        }
        for reserved in [
            "House",
            "HОUSE",
            "Flow Test",
            "flow-test",
            "FIow Test",
            "0rganiser",
            "Admin",
            "Admin 1",
            "The organisers",
            "H0use!",
        ] {
            assert!(is_reserved(reserved), "{reserved:?}");
        }
        for free in ["House of Cards", "Adam", "Admins anonymous", "Theodora", "The A Team", "42"] {
            assert!(!is_reserved(free), "{free:?}");
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
