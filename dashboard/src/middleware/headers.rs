//! Security headers of every answer, and how long it may be kept.

use salvo::http::{HeaderValue, header};
use salvo::prelude::*;

/// Nothing but what this server sends is loaded, run or framed; no inline script or style.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A year, in seconds.
const HSTS: &str = "max-age=31536000";

/// Adds the headers, whatever the answer is.
#[derive(Clone, Copy, Debug)]
pub struct SecurityHeaders {
    /// Whether browsers reach us by TLS.
    pub https: bool,
}

#[async_trait]
impl Handler for SecurityHeaders {
    async fn handle(&self, req: &mut Request, depot: &mut Depot, res: &mut Response, ctrl: &mut FlowCtrl) {
        ctrl.call_next(req, depot, res).await;
        let headers = res.headers_mut();
        let mut set = |name: header::HeaderName, value: &'static str| {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        };
        set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(header::X_FRAME_OPTIONS, "DENY");
        set(header::REFERRER_POLICY, "no-referrer");
        set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
        set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
        set(
            header::HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
        );
        // Pages tell what their reader may see; the next one at this browser may be somebody else.
        set(header::CACHE_CONTROL, "no-store");
        if self.https {
            set(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
    }
}
