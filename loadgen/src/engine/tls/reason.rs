//! Why a connection over TLS failed, as a contestant can mend it.

use super::{HANDSHAKE_BYTES_MAX, HANDSHAKE_RECORDS_MAX, KEPT_BEYOND_MAX, KEPT_USUAL, MESSAGE_BYTES_MAX, UPDATES_MAX};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use std::fmt;

/// What our verifiers call a handshake that is not signed by its certificate's key, where rustls has one error for that and for a
/// certificate that is signed wrongly. The server hears `decrypt_error` of it (RFC 8446 4.4.3), and webpki calls nothing so any more.
#[expect(deprecated, reason = "the only other error whose alert that is, and made by nobody else")]
pub const NOT_SIGNED_BY_ITS_KEY: CertificateError = CertificateError::UnsupportedSignatureAlgorithm;

/// What was wrong with a handshake, a certificate or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsReason {
    /// Since then, in seconds since the Unix epoch, where that is known.
    Expired(Option<u64>),
    NotYetValid,
    WrongName,
    UnknownAuthority,
    /// An authority of that name is trusted, or stands in the chain, and has not signed it.
    Issuer,
    /// The server shows an authority's own certificate, which is not one that is trusted itself.
    Authority,
    /// The certificate is for other purposes than a server's.
    Purpose,
    /// An authority of the chain may not have signed it.
    Chain,
    /// More certificates than a chain has.
    TooMany,
    /// It was signed in a way that nobody takes any more.
    Signature,
    /// The handshake is not signed by the certificate's key, or that is one that nobody takes.
    Key,
    /// Anything else about the certificate.
    Certificate,
    /// More bytes or records than a handshake has, or a message has.
    TooLong,
    /// Too much is kept of this connection, and of all of its contestant together.
    Kept,
    /// Messages after the handshake without end.
    Messages,
    /// No version, cipher or protocol in common, or bytes that TLS does not allow.
    Protocol,
    /// What came does not begin like TLS.
    NotTls,
    /// The server said so, by this alert.
    Alert(u8),
    /// The server ended the connection in the middle of the handshake.
    Closed,
    /// It ended it where only that ends the answer, and did not say before that it has said all.
    NoCloseNotify,
    /// More records of a few bytes than there is time to open.
    ShortRecords,
}

impl TlsReason {
    pub fn of(error: &Error) -> TlsReason {
        match error {
            Error::InvalidCertificate(why) => TlsReason::of_certificate(why),
            Error::NoCertificatesPresented | Error::UnsupportedNameType => TlsReason::Certificate,
            Error::AlertReceived(alert) => TlsReason::Alert(u8::from(*alert)),
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                TlsReason::NotTls
            }
            Error::InvalidMessage(
                InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge,
            ) => TlsReason::TooLong,
            _ => TlsReason::Protocol,
        }
    }

    fn of_certificate(why: &CertificateError) -> TlsReason {
        match why {
            CertificateError::ExpiredContext { not_after, .. } => TlsReason::Expired(Some(not_after.as_secs())),
            CertificateError::Expired => TlsReason::Expired(None),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsReason::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsReason::WrongName,
            CertificateError::UnknownIssuer => TlsReason::UnknownAuthority,
            CertificateError::BadSignature => TlsReason::Issuer,
            why if *why == NOT_SIGNED_BY_ITS_KEY => TlsReason::Key,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => TlsReason::Purpose,
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => TlsReason::Signature,
            CertificateError::Other(other) => match other.0.downcast_ref() {
                Some(webpki::Error::CaUsedAsEndEntity) => TlsReason::Authority,
                Some(
                    webpki::Error::EndEntityUsedAsCa
                    | webpki::Error::NameConstraintViolation
                    | webpki::Error::PathLenConstraintViolated,
                ) => TlsReason::Chain,
                Some(
                    webpki::Error::MaximumPathDepthExceeded
                    | webpki::Error::MaximumPathBuildCallsExceeded
                    | webpki::Error::MaximumSignatureChecksExceeded
                    | webpki::Error::MaximumNameConstraintComparisonsExceeded,
                ) => TlsReason::TooMany,
                _ => TlsReason::Certificate,
            },
            _ => TlsReason::Certificate,
        }
    }
}

impl fmt::Display for TlsReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsReason::Expired(since) => {
                let since = since.and_then(|since| jiff::Timestamp::from_second(since.try_into().ok()?).ok());
                let since = since.map(|since| since.strftime(" on %Y-%m-%d at %H:%M:%S UTC").to_string());
                write!(f, "the certificate has expired{}: renew it", since.unwrap_or_default())
            }
            TlsReason::NotYetValid => f.write_str("the certificate is not valid yet: look at the server's dates"),
            TlsReason::WrongName => f.write_str(
                "the certificate is for another name: it must hold the host of the endpoint among its alternative names",
            ),
            TlsReason::UnknownAuthority => f.write_str(
                "nobody trusted has signed the certificate: send the whole chain, from an authority that browsers trust",
            ),
            TlsReason::Issuer => f.write_str(
                "the certificate, or one of its chain, is not signed by the authority that it names, or was changed since: an \
                 authority of that name is known, with another key; show the chain that came with the certificate",
            ),
            TlsReason::Authority => f.write_str(
                "the certificate is an authority's own (CA:TRUE, as `openssl req -x509` makes it) and not one that is trusted \
                 itself: show one that is the server's (CA:FALSE), signed by an authority that browsers trust",
            ),
            TlsReason::Purpose => f.write_str(
                "the certificate is not one for servers: its extended key usage must hold server authentication (serverAuth)",
            ),
            TlsReason::Chain => f.write_str(
                "a certificate of the chain may not sign the one below it (no authority, or one for other names or fewer \
                 levels): send the chain that came with the certificate",
            ),
            TlsReason::TooMany => f.write_str(
                "the server sends more certificates than a chain has: send the chain that came with the certificate",
            ),
            TlsReason::Signature => f.write_str(
                "the certificate, or one of its chain, is signed in a way that is not taken any more, such as SHA-1: have it \
                 signed anew, with SHA-256",
            ),
            TlsReason::Key => f.write_str(
                "the server has not signed the handshake by the key of its certificate, or that is one that is not taken: use the \
                 certificate's own, of ECDSA (P-256), or of RSA with 2048 to 8192 bits",
            ),
            TlsReason::Certificate => f.write_str(
                "the certificate is not one that a browser accepts: look at it by `openssl x509 -text`, and have another made",
            ),
            TlsReason::TooLong => write!(
                f,
                "the server's handshake is longer than {HANDSHAKE_BYTES_MAX} bytes, or comes in more than {HANDSHAKE_RECORDS_MAX} \
                 records, or a message of it is longer than 65535 bytes, or one after it than {MESSAGE_BYTES_MAX}: show the chain \
                 that leads to an authority and nothing else",
            ),
            TlsReason::Kept => write!(
                f,
                "connections to this server hold handshakes and certificates of more than {KEPT_USUAL} bytes, and together more than \
                 {KEPT_BEYOND_MAX} bytes beyond that: show a shorter chain, and let no handshake wait",
            ),
            TlsReason::Messages => write!(
                f,
                "the server changes its keys, warns or asks for another handshake more than {UPDATES_MAX} times on a connection: let \
                 it do so only when its keys are used up",
            ),
            TlsReason::Protocol => {
                f.write_str("the server breaks TLS, or has no version, cipher or protocol in common: it needs TLS 1.2 or 1.3")
            }
            TlsReason::NotTls => f.write_str("the server does not answer in TLS: the port is one for http"),
            TlsReason::Alert(code) => {
                let alert = AlertDescription::from(*code);
                write!(f, "the server refused with the TLS alert {alert:?}{}", advice(alert))
            }
            TlsReason::Closed => f.write_str("the server ended the connection in the middle of the handshake"),
            TlsReason::NoCloseNotify => f.write_str(
                "the answer ended by the end of the connection, without TLS's close_notify, so that nobody can tell whether it is \
                 whole: send Content-Length, or close_notify before you close",
            ),
            TlsReason::ShortRecords => f.write_str(
                "the server sends records of a few bytes faster than they can be opened: write an answer in one piece",
            ),
        }
    }
}

/// What to do about an alert, where that is known.
fn advice(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::HandshakeFailure
        | AlertDescription::ProtocolVersion
        | AlertDescription::InsufficientSecurity => ": it needs TLS 1.2 with ECDHE and AES-GCM, or 1.3",
        AlertDescription::NoApplicationProtocol => ": it must offer http/1.1 (ALPN)",
        AlertDescription::CertificateRequired => ": it must not ask for a client's certificate",
        AlertDescription::UnrecognisedName => ": it knows no such host (SNI); it must know that of the endpoint",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_says_what_to_do_where_that_is_known() {
        for (code, advice) in [
            (40, "TLS 1.2 with ECDHE and AES-GCM, or 1.3"),
            (70, "TLS 1.2 with ECDHE and AES-GCM, or 1.3"),
            (71, "TLS 1.2 with ECDHE and AES-GCM, or 1.3"),
            (112, "no such host (SNI)"),
            (116, "must not ask for a client's certificate"),
            (120, "offer http/1.1 (ALPN)"),
        ] {
            let said = TlsReason::Alert(code).to_string();
            assert!(said.contains(advice), "{code}: {said}");
        }
        assert_eq!(TlsReason::Alert(80).to_string(), "the server refused with the TLS alert InternalError");
    }
}
