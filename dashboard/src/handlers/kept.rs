//! A form that was sent when its session had ended: what was typed goes along through signing in, and is asked about then.
//! Nothing of it is kept on the server, and no password.

use crate::error::RequestError;
use crate::handlers::form::field;
use crate::handlers::front::page_of;
use crate::views::login::{Kept, KeptField};
use salvo::prelude::*;

/// Longest that is kept, in bytes as a browser sends it.
const KEPT_BYTES_MAX: usize = 16 << 10;
/// What belongs to the session that ended, or says only where whoever pressed the button was.
const LEFT_OUT: [&str; 2] = ["csrf_token", "who"];
/// What a page carries along without showing it.
const CARRIED: [&str; 9] = ["revision", "show", "base", "plan_shown", "confirm", "doubt", "zone", "phases", "next"];

/// What can be done with a form that nobody may send now.
#[derive(Debug)]
pub enum Typed {
    Kept(Kept),
    /// Too much to go along.
    TooLong,
}

/// What was typed into such a form; nothing where it has no fields of its own.
pub async fn of(req: &mut Request) -> Option<Typed> {
    let path = req.uri().path().to_owned();
    page_of(&path)?;
    let body = req.payload().await.ok()?;
    let mut fields = url::form_urlencoded::Serializer::new(String::new());
    let mut is_empty = true;
    for (name, value) in url::form_urlencoded::parse(body) {
        if !LEFT_OUT.contains(&name.as_ref()) && !is_secret(&name) {
            fields.append_pair(&name, &value);
            is_empty = false;
        }
    }
    // A button without fields is pressed again as quickly.
    let fields = fields.finish();
    let typed = if fields.len() <= KEPT_BYTES_MAX { Typed::Kept(Kept { path, fields }) } else { Typed::TooLong };
    (!is_empty).then_some(typed)
}

/// What came along through the form for signing in.
pub async fn along(req: &mut Request) -> Option<Kept> {
    let (path, fields) = (field(req, "kept_path").await, field(req, "kept").await);
    let is_ours = path.len() <= 200 && path.bytes().all(|byte| byte.is_ascii_graphic()) && !path.contains(['?', '#']);
    (is_ours && !fields.is_empty() && fields.len() <= KEPT_BYTES_MAX && page_of(&path).is_some())
        .then_some(Kept { path, fields })
}

/// The fields as the page shows them.
pub fn fields(kept: &Kept) -> Vec<KeptField> {
    let pairs = url::form_urlencoded::parse(kept.fields.as_bytes());
    let typed = pairs.filter(|(name, _)| !LEFT_OUT.contains(&name.as_ref()) && !is_secret(name));
    typed
        .map(|(name, value)| KeptField {
            is_shown: !CARRIED.contains(&name.as_ref()) && !value.is_empty(),
            label: name.replace('_', " "),
            name: name.into_owned(),
            value: value.into_owned(),
        })
        .collect()
}

fn is_secret(name: &str) -> bool {
    name.contains("password") || name == "current"
}

/// The page of the form, where whoever leaves it goes.
pub fn page(kept: &Kept) -> Result<String, RequestError> {
    page_of(&kept.path).ok_or(RequestError::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_tokens_are_not_shown_and_not_sent_again() {
        let fields_typed = "csrf_token=abc&points=500&reason=a+late+start&password=secret&current=secret&revision=17";
        let kept = Kept { path: "/setting/contestant/3/adjust".into(), fields: fields_typed.into() };
        let fields = fields(&kept);
        let (shown, hidden): (Vec<_>, Vec<_>) = fields.iter().partition(|field| field.is_shown);
        let said = |fields: &[&KeptField]| -> Vec<String> {
            fields.iter().map(|field| format!("{}: {}", field.name, field.value)).collect()
        };
        assert_eq!(said(&shown), ["points: 500", "reason: a late start"]);
        assert_eq!(said(&hidden), ["revision: 17"]);
        assert_eq!(page(&kept).ok().as_deref(), Some("/setting?team=3#team-3"));
    }
}
