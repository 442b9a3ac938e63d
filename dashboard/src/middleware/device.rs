//! A browser in which somebody has signed in before: whoever guesses at the account elsewhere does not keep it out.
//!
//! It holds a cookie that names nobody, with a mark for each of the last accounts, which is signed for that account alone. Its own
//! attempts are counted by the mark (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"). Who takes the cookie away
//! has five tries a minute, as anybody has from an address of their own.

use crate::app::App;
use crate::error::RequestError;
use crate::middleware::cookies::{Kind, cookie};
use salvo::http::cookie::time::Duration;
use salvo::prelude::*;

/// How long a browser is known.
const COOKIE_DAYS: i64 = 365;
/// Digits of what tells browsers apart.
const NONCE_DIGITS: usize = 32;
/// The nonce, a dot and the digits of its signature.
const MARK_BYTES: usize = NONCE_DIGITS + 1 + 2 * blake3::OUT_LEN;
/// Accounts that one browser is known for: a desk's, and some that were tried there. The one that was used longest ago goes first.
const ACCOUNTS_MAX: usize = 4;
/// What a key for these cookies is derived by.
const PURPOSE: &str = "Flow Test 2026-11-30 dashboard device cookie";

/// What the browser of a request is counted by for this account; none if nobody has signed in to it there.
pub fn known(req: &Request, app: &App, account: &str) -> Option<String> {
    let cookie = req.cookie(Kind::Device.name(app.config.is_https()))?;
    marks(cookie.value()).find_map(|mark| Some(nonce_of(mark, &app.csrf_key, account)?.to_owned()))
}

/// The marks of a cookie, the newest first.
fn marks(cookie: &str) -> impl Iterator<Item = &str> {
    cookie.split('-').take(ACCOUNTS_MAX)
}

/// What tells browsers apart, if this mark is the account's.
fn nonce_of<'a>(mark: &'a str, key: &[u8; 32], account: &str) -> Option<&'a str> {
    let (nonce, mac) = mark.split_once('.')?;
    let is_right = nonce.len() == NONCE_DIGITS && sign(key, account, nonce) == blake3::Hash::from_hex(mac).ok()?;
    is_right.then_some(nonce)
}

/// Somebody has signed in to this account. A browser that is known for it keeps its mark.
pub fn remember(req: &Request, res: &mut Response, app: &App, account: &str) -> Result<(), RequestError> {
    let old = req.cookie(Kind::Device.name(app.config.is_https())).map(|cookie| cookie.value().to_owned());
    let mut bytes = [0; NONCE_DIGITS / 2];
    getrandom::fill(&mut bytes).map_err(|error| RequestError::Internal(format!("no random bytes: {error}")))?;
    let nonce: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let value = with_account(old.as_deref().unwrap_or_default(), &app.csrf_key, account, &nonce);
    if old.as_deref() == Some(&value) {
        return Ok(());
    }
    res.add_cookie(cookie(Kind::Device, app.config.is_https(), value, Duration::days(COOKIE_DAYS)));
    Ok(())
}

/// The cookie in which this account comes first: with the mark that it has, or a new one of this nonce.
fn with_account(cookie: &str, key: &[u8; 32], account: &str, nonce: &str) -> String {
    let of_account = |mark: &&str| nonce_of(mark, key, account).is_some();
    let own = marks(cookie).find(of_account).map_or_else(|| mark(key, account, nonce), str::to_owned);
    let others = marks(cookie).filter(|mark| mark.len() == MARK_BYTES && !of_account(mark)).map(str::to_owned);
    std::iter::once(own).chain(others).take(ACCOUNTS_MAX).collect::<Vec<_>>().join("-")
}

fn mark(key: &[u8; 32], account: &str, nonce: &str) -> String {
    format!("{nonce}.{}", sign(key, account, nonce))
}

/// Compared in constant time.
fn sign(key: &[u8; 32], account: &str, nonce: &str) -> blake3::Hash {
    let key = blake3::derive_key(PURPOSE, key);
    blake3::keyed_hash(&key, format!("{nonce} {}", account.to_lowercase()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_known_for_the_accounts_that_were_used_last_in_it() {
        let key = [1; 32];
        let is_known = |cookie: &str, account| marks(cookie).any(|mark| nonce_of(mark, &key, account).is_some());
        // As 0.1 wrote it: of one account.
        let old = mark(&key, "boss", &"0".repeat(NONCE_DIGITS));
        let used = |cookie: &str, account: &str, at: usize| with_account(cookie, &key, account, &format!("{at:032x}"));
        let both = used(&old, "alice", 1);
        assert!(is_known(&both, "Boss") && is_known(&both, "alice") && !is_known(&both, "bob"));
        assert_eq!(used(&both, "alice", 2), both, "it has its mark");
        let again = used(&both, "boss", 3);
        assert!(again.starts_with(&old) && again.len() == both.len(), "the one that was used last comes first");
        let many = ["carol", "dave", "erin"].iter().fold(again, |cookie, account| used(&cookie, account, 4));
        assert!(is_known(&many, "boss") && is_known(&many, "erin") && !is_known(&many, "alice"));
        assert!(many.len() < 400, "a header holds it");
        assert_eq!(with_account("", &key, "boss", &"0".repeat(NONCE_DIGITS)), old);
        assert!(!is_known("x-.-y.z", "boss") && marks(&"a-".repeat(10_000)).count() == ACCOUNTS_MAX);
    }

    #[test]
    fn a_signature_is_for_one_account_one_browser_and_one_key() {
        let right = sign(&[1; 32], "alice", "00");
        assert_eq!(right, sign(&[1; 32], "Alice", "00"));
        assert_ne!(right, sign(&[1; 32], "bob", "00"));
        assert_ne!(right, sign(&[1; 32], "alice", "01"));
        assert_ne!(right, sign(&[2; 32], "alice", "00"));
    }
}
