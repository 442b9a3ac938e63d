//! How good a new password is. How it is kept is the accounts' business.

use crate::error::RequestError;
use flowtest_accounts::PASSWORD_LENGTH;
use zxcvbn::{Score, zxcvbn};

/// What [`weakness`] says, on a thread where it keeps no request waiting: it takes milliseconds.
pub async fn weakness_of<const N: usize>(password: String, about: [String; N]) -> Result<Option<String>, RequestError> {
    let scored = tokio::task::spawn_blocking(move || {
        let about: Vec<&str> = about.iter().map(String::as_str).collect();
        weakness(&password, &about)
    });
    scored.await.map_err(|error| RequestError::Internal(format!("a password was not scored: {error}")))
}

/// What is wrong with a new password, as a sentence. `about` are words that somebody who guesses would try first.
pub fn weakness(password: &str, about: &[&str]) -> Option<String> {
    let length = password.chars().count();
    if !PASSWORD_LENGTH.contains(&length) {
        let (min, max) = (PASSWORD_LENGTH.start(), PASSWORD_LENGTH.end());
        return Some(format!("A password has {min} to {max} characters, this has {length}."));
    }
    let estimate = zxcvbn(password, about);
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
}
