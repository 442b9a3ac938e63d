//! A browser in which somebody has signed in before: whoever guesses at the account elsewhere does not keep it out.
//!
//! It holds a cookie that names nobody and is signed for one account, and its own attempts are counted by that cookie
//! alone (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"). Who takes the cookie away has five tries a
//! minute, as anybody has from an address of their own.

use crate::app::App;
use crate::error::RequestError;
use crate::middleware::cookies::{Kind, cookie};
use salvo::http::cookie::time::Duration;
use salvo::prelude::*;

/// How long a browser is known.
const COOKIE_DAYS: i64 = 365;
/// Digits of what tells browsers apart.
const NONCE_DIGITS: usize = 32;
/// What a key for these cookies is derived by.
const PURPOSE: &str = "Flow Test 2026-11-30 dashboard device cookie";

/// What the browser of a request is counted by for this account; none if nobody has signed in to it there.
pub fn known(req: &Request, app: &App, account: &str) -> Option<String> {
    let cookie = req.cookie(Kind::Device.name(app.config.is_https()))?;
    let (nonce, mac) = cookie.value().split_once('.')?;
    let is_right =
        nonce.len() == NONCE_DIGITS && sign(&app.csrf_key, account, nonce) == blake3::Hash::from_hex(mac).ok()?;
    is_right.then(|| nonce.to_owned())
}

/// Somebody has signed in to this account. A browser that is known for it keeps its cookie.
pub fn remember(req: &Request, res: &mut Response, app: &App, account: &str) -> Result<(), RequestError> {
    if known(req, app, account).is_some() {
        return Ok(());
    }
    let mut bytes = [0; NONCE_DIGITS / 2];
    getrandom::fill(&mut bytes).map_err(|error| RequestError::Internal(format!("no random bytes: {error}")))?;
    let nonce: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let value = format!("{nonce}.{}", sign(&app.csrf_key, account, &nonce));
    res.add_cookie(cookie(Kind::Device, app.config.is_https(), value, Duration::days(COOKIE_DAYS)));
    Ok(())
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
    fn a_signature_is_for_one_account_one_browser_and_one_key() {
        let right = sign(&[1; 32], "alice", "00");
        assert_eq!(right, sign(&[1; 32], "Alice", "00"));
        assert_ne!(right, sign(&[1; 32], "bob", "00"));
        assert_ne!(right, sign(&[1; 32], "alice", "01"));
        assert_ne!(right, sign(&[2; 32], "alice", "00"));
    }
}
