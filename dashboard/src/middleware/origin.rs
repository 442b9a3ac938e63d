//! Requests that another site made a browser send are refused before anything is read of them.
//!
//! Browsers say where a request comes from: by `Sec-Fetch-Site` on trustworthy origins, and by `Origin` also on plain
//! http. What says neither is no browser of today, and is left to the token that every form carries.

use crate::app::App;
use crate::error::RequestError;
use salvo::http::header;
use salvo::prelude::*;

/// Refuses unsafe requests of other sites.
#[handler]
pub async fn refuse_other_sites(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
    ctrl: &mut FlowCtrl,
) -> Result<(), RequestError> {
    if !req.method().is_safe() {
        let text = |name: &str| req.headers().get(name).map(|value| value.to_str().unwrap_or("?").to_owned());
        let public = App::of(depot).config.public_url.clone();
        let host = text(header::HOST.as_str()).unwrap_or_default();
        if !is_ours(text("sec-fetch-site").as_deref(), text("origin").as_deref(), &host, public.as_deref()) {
            ctrl.skip_rest();
            return Err(RequestError::Forbidden(
                "this form was sent by another site: open the page here and try again",
            ));
        }
    }
    ctrl.call_next(req, depot, res).await;
    Ok(())
}

/// Whether an unsafe request comes from one of our own pages, or does not say.
pub fn is_ours(site: Option<&str>, origin: Option<&str>, host: &str, public: Option<&str>) -> bool {
    match (site, origin) {
        (Some("same-origin" | "none"), _) => true,
        // A proxy may have changed `Host`: then the operator has said what our origin is.
        (_, Some(origin)) if public.is_some_and(|public| public.eq_ignore_ascii_case(origin)) => true,
        (Some(_), _) => false,
        (None, Some(origin)) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some_and(|authority| !host.is_empty() && authority.eq_ignore_ascii_case(host))
        }
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_other_sites_are_told_apart() {
        let public = Some("https://scores.example.org");
        // (Sec-Fetch-Site, Origin, Host, our public URL, whether it is ours)
        let cases = [
            (Some("same-origin"), None, "h:1", None, true),
            (Some("none"), None, "h:1", None, true),
            (Some("cross-site"), Some("http://evil"), "h:1", None, false),
            // a sibling under the same domain is another site too
            (Some("same-site"), Some("http://other.h"), "h", None, false),
            (None, Some("http://h:1"), "h:1", None, true),
            (None, Some("http://H:1"), "h:1", None, true),
            (None, Some("http://h:2"), "h:1", None, false),
            // sandboxed frames say null
            (None, Some("null"), "h:1", None, false),
            (None, Some("https://scores.example.org"), "127.0.0.1:8000", public, true),
            (None, Some("https://evil"), "127.0.0.1:8000", public, false),
            (None, None, "h:1", None, true),
            (None, Some("http://"), "", None, false),
        ];
        for (site, origin, host, public, ours) in cases {
            assert_eq!(is_ours(site, origin, host, public), ours, "{site:?} {origin:?} {host}");
        }
    }
}
