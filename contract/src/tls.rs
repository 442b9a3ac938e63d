//! What both sides ask of TLS where it is spoken.

/// The one protocol that is spoken in it (RFC 7301).
pub const ALPN: &[u8] = b"http/1.1";

/// Numbers of cipher suites at IANA.
const TLS_AES_128_GCM_SHA256: u16 = 0x1301;
const TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: u16 = 0xc02b;
const TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: u16 = 0xc02f;

/// Whether a cipher suite, by its number at IANA, comes before the others: one with AES-128 is as good as any for a contest, and
/// the cheapest for both sides.
pub fn is_preferred_suite(suite: u16) -> bool {
    matches!(
        suite,
        TLS_AES_128_GCM_SHA256 | TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 | TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}
