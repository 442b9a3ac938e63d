//! How good a new password is. How it is kept is the accounts' business.

use flowtest_accounts::{Accounts, Error, PASSWORD_LENGTH};
use zxcvbn::{Score, zxcvbn};

/// Characters that are scored: the effort grows with the square of the length and more, and what is good in so many is good.
const SCORED_CHARS: usize = 64;

/// What [`weakness`] says, where passwords are hashed: it takes milliseconds of a core, and a stranger says when.
///
/// # Errors
/// [`Error::Overloaded`].
pub async fn weakness_of<const N: usize>(
    accounts: &Accounts,
    password: String,
    about: [String; N],
) -> Result<Option<String>, Error> {
    let score = move || {
        let about: Vec<&str> = about.iter().map(String::as_str).collect();
        weakness(&password, &about)
    };
    accounts.on_a_core(score).await
}

/// Its first characters.
fn beginning(text: &str) -> &str {
    text.char_indices().nth(SCORED_CHARS).map_or(text, |(end, _)| &text[..end])
}

/// What is wrong with a new password, as a sentence. `about` are words that somebody who guesses would try first.
pub fn weakness(password: &str, about: &[&str]) -> Option<String> {
    let length = password.chars().count();
    if !PASSWORD_LENGTH.contains(&length) {
        let (min, max) = (PASSWORD_LENGTH.start(), PASSWORD_LENGTH.end());
        return Some(format!("A password has {min} to {max} characters, this has {length}."));
    }
    let about: Vec<&str> = about.iter().map(|word| beginning(word)).collect();
    let estimate = zxcvbn(beginning(password), &about);
    if estimate.score() >= Score::Two {
        return None;
    }
    let feedback = estimate.feedback();
    let warning = feedback.and_then(|feedback| feedback.warning()).map(|warning| format!(" {warning}"));
    Some(format!("This password is guessed quickly.{} Take a few unrelated words.", warning.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_told_why() {
        for weak in ["short", "password1", "12345678", "qwertyuiop", "alice-team"] {
            assert!(weakness(weak, &["alice-team"]).is_some(), "{weak}");
        }
        for good in ["correct horse battery staple", "tr0ub4dor&3-xyz", "wolken Teppich 17 laufen"] {
            assert_eq!(weakness(good, &["alice"]), None, "{good}");
        }
        assert!(weakness(&"x7#q".repeat(40), &[]).is_some(), "too long");
    }

    #[test]
    fn a_long_password_is_scored_by_its_beginning() {
        let long = format!("{}{}", "wolken Teppich 17 laufen ".repeat(2), "ä".repeat(78));
        assert_eq!((long.chars().count(), beginning(&long).chars().count()), (128, SCORED_CHARS));
        assert_eq!(weakness(&long, &[&"x".repeat(100_000)]), None);
        assert!(weakness(&"a".repeat(128), &[]).is_some());
    }
}
