//! Requests that do not say which host they mean, or say it twice: two readers of one request would take it for two
//! (RFC 9112, section 3.2). A proxy that believes the first `Host` and a cache that believes the second are how pages are
//! poisoned.

use crate::error::RequestError;
use salvo::http::{HeaderMap, Version, header};
use salvo::prelude::*;

/// Refuses them.
#[handler]
pub async fn refuse_unclear_host(
    req: &mut Request,
    depot: &mut Depot,
    res: &mut Response,
    ctrl: &mut FlowCtrl,
) -> Result<(), RequestError> {
    if !is_clear(req.version(), req.headers()) {
        ctrl.skip_rest();
        return Err(RequestError::Malformed("a request names one host in one Host header"));
    }
    ctrl.call_next(req, depot, res).await;
    Ok(())
}

/// Exactly one, and an address; HTTP/1.0 knows requests without.
fn is_clear(version: Version, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => host.to_str().is_ok_and(is_address),
        (Some(_), Some(_)) => false,
    }
}

/// A name or an address, and a port, as far as no reader takes it for something else.
fn is_address(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~%:[]".contains(&byte);
    !host.is_empty() && host.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_is_named() {
        // (the Host headers, whether they are clear in HTTP/1.1)
        let cases: [(&[&str], bool); 10] = [
            (&["scores.example.org"], true),
            (&["127.0.0.1:8000"], true),
            (&["[::1]:8000"], true),
            (&[], false),
            (&[""], false),
            // two, also where they say the same
            (&["a", "b"], false),
            (&["a", "a"], false),
            // what some take for the part before the @, and some for the one behind it
            (&["user@host"], false),
            (&["a b"], false),
            (&["host/path"], false),
        ];
        for (hosts, clear) in cases {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().expect("a value"));
            }
            assert_eq!(is_clear(Version::HTTP_11, &headers), clear, "{hosts:?}");
        }
        assert!(is_clear(Version::HTTP_10, &HeaderMap::new()));
    }
}
