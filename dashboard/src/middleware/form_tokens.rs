//! The token that every form carries. It is derived from the session, so that it is another one after signing in: a form that
//! was opened as somebody else, or before, does nothing. Who is not signed in has a cookie in its place.
//!
//! The library finds the token in what was sent and refuses the rest; here is what it is compared with.

use crate::app::App;
use crate::error::RequestError;
use crate::middleware::cookies::{Kind, cookie};
use crate::middleware::viewer::{Viewer, session_cookie};
use salvo::http::cookie::time::Duration;
use salvo::http::header;
use salvo::prelude::*;
use salvo_csrf::{Csrf, CsrfCipher, CsrfStore, FormFinder, HeaderFinder};

/// What a key for these tokens is derived by.
const PURPOSE: &str = "Flow Test 2026-11-30 dashboard form token";
/// How long a form may lie open before somebody signs in.
const COOKIE_DAYS: i64 = 1;
/// Digits of what tells browsers apart.
const NONCE_DIGITS: usize = 32;

/// The check that every form passes.
pub fn check(app: &App) -> impl Handler + use<> {
    let derived = Derived::of(app);
    Csrf::new(derived, derived, FormFinder::new("csrf_token")).add_finder(HeaderFinder::new("x-csrf-token"))
}

/// The token of forms of a session, such as one that has just begun.
pub fn for_session(app: &App, secret: &str) -> String {
    Derived::of(app).token(&of_session(secret)).to_string()
}

/// That of a browser in which nobody is signed in, for an answer before which no check was made. It is given a cookie where it
/// has none.
pub fn for_nobody(req: &Request, app: &App, res: &mut Response) -> String {
    let https = app.config.is_https();
    let derived = Derived::of(app);
    let shown = req.cookie(Kind::Form.name(https)).map(|cookie| cookie.value().to_owned());
    if let Some(nonce) = shown.filter(|nonce| is_nonce(nonce)) {
        return derived.token(&of_browser(&nonce)).to_string();
    }
    let (token, nonce) = derived.generate();
    res.add_cookie(cookie(Kind::Form, https, nonce, Duration::days(COOKIE_DAYS)));
    token
}

fn is_nonce(nonce: &str) -> bool {
    nonce.len() == NONCE_DIGITS && nonce.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Refuses bodies of another kind than our forms have, before anybody reads them: files that a stranger uploads would be
/// written to the disk only to look for the token among them.
#[handler]
pub async fn refuse_other_bodies(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
    ctrl: &mut FlowCtrl,
) -> Result<(), RequestError> {
    let is_form = req.headers().get_all(header::CONTENT_TYPE).iter().all(|kind| kind.to_str().is_ok_and(is_form_kind));
    if !req.method().is_safe() && !is_form {
        ctrl.skip_rest();
        return Err(RequestError::Malformed("a form is sent as application/x-www-form-urlencoded"));
    }
    ctrl.call_next(req, depot, res).await;
    Ok(())
}

fn is_form_kind(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// A token is the keyed hash of what the browser shows with the form: the library's "proof".
#[derive(Clone, Copy)]
struct Derived {
    key: [u8; 32],
}

impl Derived {
    fn of(app: &App) -> Derived {
        Derived { key: blake3::derive_key(PURPOSE, &app.csrf_key) }
    }

    fn token(&self, proof: &str) -> blake3::Hash {
        blake3::keyed_hash(&self.key, proof.as_bytes())
    }
}

/// What a form of this session belongs to. Never what a form of a browser does.
fn of_session(secret: &str) -> String {
    format!("session {secret}")
}

fn of_browser(nonce: &str) -> String {
    format!("browser {nonce}")
}

impl CsrfCipher for Derived {
    /// Compared in constant time.
    fn verify(&self, token: &str, proof: &str) -> bool {
        blake3::Hash::from_hex(token).is_ok_and(|token| token == self.token(proof))
    }

    /// For a browser that shows nothing yet.
    fn generate(&self) -> (String, String) {
        let nonce: String = self.random_bytes(NONCE_DIGITS / 2).iter().map(|byte| format!("{byte:02x}")).collect();
        (self.token(&of_browser(&nonce)).to_string(), nonce)
    }
}

impl CsrfStore for Derived {
    type Error = std::convert::Infallible;

    async fn load<C: CsrfCipher>(&self, req: &mut Request, depot: &mut Depot, _: &C) -> Option<(String, String)> {
        let proof = match Viewer::maybe(depot) {
            Some(_) => of_session(&session_cookie(req, depot)?),
            None => {
                let cookie = req.cookie(Kind::Form.name(App::of(depot).config.is_https()))?;
                let nonce = cookie.value();
                is_nonce(nonce).then(|| of_browser(nonce))?
            }
        };
        Some((self.token(&proof).to_string(), proof))
    }

    async fn save(
        &self,
        _req: &mut Request,
        depot: &mut Depot,
        res: &mut Response,
        _token: &str,
        nonce: &str,
    ) -> Result<(), Self::Error> {
        let https = App::of(depot).config.is_https();
        res.add_cookie(cookie(Kind::Form, https, nonce.to_owned(), Duration::days(COOKIE_DAYS)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_key_and_one_session_or_browser() {
        let (ours, theirs) = (Derived { key: [1; 32] }, Derived { key: [2; 32] });
        let token = ours.token(&of_session("a")).to_string();
        assert!(ours.verify(&token, &of_session("a")));
        for (cipher, proof) in [(ours, of_session("b")), (ours, of_browser("a")), (theirs, of_session("a"))] {
            assert!(!cipher.verify(&token, &proof), "{proof}");
        }
        for token in ["", "AAAA", &token[1..], &format!("{token}0"), &"ü".repeat(32)] {
            assert!(!ours.verify(token, &of_session("a")), "{token}");
        }
        let (token, nonce) = ours.generate();
        assert!(ours.verify(&token, &of_browser(&nonce)) && nonce.len() == NONCE_DIGITS);
        assert_ne!(nonce, ours.generate().1);
    }
}
