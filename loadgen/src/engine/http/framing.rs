//! What a head says about its body and about the connection, decided in one place (RFC 9112, 6 and 9.3).
//!
//! Both paths of the reader and all tests go through [`frame`]; the fast path keeps its result in the shape.

use super::malformed::Malformed;
use flowtest_contract::header::BODY_BYTES_MAX;
use flowtest_contract::{Observed, Platform, Seen, Version};

/// The two versions of HTTP that a contestant may answer with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    Http10,
    #[default]
    Http11,
}

/// What the Content-Length headers said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Length {
    #[default]
    Missing,
    /// Saturated: a row of digits that does not fit is too long, not illegal.
    Bytes(u64),
    Invalid,
    Repeated,
}

/// What the Transfer-Encoding headers said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    #[default]
    Missing,
    Chunked,
    Unknown,
    Repeated,
}

/// Whether the Token header was the request's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenSeen {
    #[default]
    Missing,
    Right,
    /// Another value, or the header more than once.
    Other,
}

/// All that one head said and we heed. Other headers leave no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub protocol: Protocol,
    pub status: u16,
    pub length: Length,
    pub coding: Coding,
    /// `close` is in a Connection header.
    pub close: bool,
    /// `keep-alive` is in a Connection header.
    pub keep_alive: bool,
    pub token: TokenSeen,
    pub version: Seen<Version>,
    pub from: Seen<Platform>,
}

impl Facts {
    pub const NONE: Facts = Facts {
        protocol: Protocol::Http11,
        status: 0,
        length: Length::Missing,
        coding: Coding::Missing,
        close: false,
        keep_alive: false,
        token: TokenSeen::Missing,
        version: Seen::Missing,
        from: Seen::Missing,
    };

    pub fn observed(&self) -> Observed {
        Observed { token_right: self.token == TokenSeen::Right, version: self.version, from: self.from }
    }
}

/// One complete, well-framed response of any final status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub observed: Observed,
    /// The connection may carry another exchange.
    pub keep_alive: bool,
}

impl Response {
    /// What a shape holds before it has learned one.
    pub(super) const NONE: Response = Response {
        status: 0,
        observed: Observed { token_right: false, version: Seen::Missing, from: Seen::Missing },
        keep_alive: false,
    };

    pub(super) fn new(facts: &Facts, keep_alive: bool) -> Response {
        Response { status: facts.status, observed: facts.observed(), keep_alive }
    }
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// An interim response: the final one is still to come.
    Interim,
    /// A final response with this body. `keep_alive`: the connection may carry another exchange.
    Final { body: BodyKind, keep_alive: bool },
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// This many bytes, possibly none.
    Length(u32),
    Chunked,
    UntilClose,
}

const _: () = assert!(BODY_BYTES_MAX <= u32::MAX as usize);

/// The framing of the response to a GET request, or why it has none.
pub fn frame(facts: &Facts) -> Result<Framing, Malformed> {
    // Two opinions on the length of a message are how responses get smuggled: none is forgiven, not even where
    // the status says that there is no body (RFC 9112, 6.3: "ought to be handled as an error").
    match (facts.coding, facts.length) {
        (Coding::Repeated, _) => return Err(Malformed::CodingRepeated),
        (Coding::Unknown, _) => return Err(Malformed::CodingUnknown),
        (_, Length::Repeated) => return Err(Malformed::LengthRepeated),
        (_, Length::Invalid) => return Err(Malformed::LengthInvalid),
        (Coding::Chunked, Length::Bytes(_)) => return Err(Malformed::LengthAndCoding),
        (Coding::Chunked, Length::Missing) if facts.protocol == Protocol::Http10 => {
            return Err(Malformed::CodingInHttp10);
        }
        (Coding::Chunked | Coding::Missing, Length::Missing) | (Coding::Missing, Length::Bytes(_)) => {}
    }
    let body = match (facts.status, facts.coding, facts.length) {
        (101, ..) => return Err(Malformed::SwitchingProtocols),
        (100..=199, ..) => return Ok(Framing::Interim),
        (204 | 304, ..) => BodyKind::Length(0),
        (_, Coding::Chunked, _) => BodyKind::Chunked,
        (_, _, Length::Bytes(bytes)) => match u32::try_from(bytes) {
            Ok(bytes) if bytes as usize <= BODY_BYTES_MAX => BodyKind::Length(bytes),
            _ => return Err(Malformed::BodyTooLarge),
        },
        _ => BodyKind::UntilClose,
    };
    let persistent = match facts.protocol {
        Protocol::Http11 => true,
        Protocol::Http10 => facts.keep_alive,
    };
    Ok(Framing::Final { body, keep_alive: persistent && !facts.close && body != BodyKind::UntilClose })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(status: u16, length: Length, coding: Coding) -> Facts {
        Facts { status, length, coding, ..Facts::NONE }
    }

    fn body(facts: &Facts) -> Result<Option<BodyKind>, Malformed> {
        frame(facts).map(|framing| match framing {
            Framing::Interim => None,
            Framing::Final { body, .. } => Some(body),
        })
    }

    #[test]
    fn a_body_ends_as_status_coding_and_length_say_in_this_order() {
        const MAX: u64 = BODY_BYTES_MAX as u64;
        let cases = [
            (200, Length::Missing, Coding::Missing, Ok(Some(BodyKind::UntilClose))),
            (200, Length::Bytes(0), Coding::Missing, Ok(Some(BodyKind::Length(0)))),
            (200, Length::Bytes(MAX), Coding::Missing, Ok(Some(BodyKind::Length(MAX as u32)))),
            (200, Length::Bytes(MAX + 1), Coding::Missing, Err(Malformed::BodyTooLarge)),
            (200, Length::Bytes(u64::MAX), Coding::Missing, Err(Malformed::BodyTooLarge)),
            (200, Length::Missing, Coding::Chunked, Ok(Some(BodyKind::Chunked))),
            (200, Length::Bytes(0), Coding::Chunked, Err(Malformed::LengthAndCoding)),
            (200, Length::Invalid, Coding::Missing, Err(Malformed::LengthInvalid)),
            (200, Length::Repeated, Coding::Missing, Err(Malformed::LengthRepeated)),
            (200, Length::Missing, Coding::Unknown, Err(Malformed::CodingUnknown)),
            (200, Length::Missing, Coding::Repeated, Err(Malformed::CodingRepeated)),
            // no body, whatever the length says, as long as it says it legally
            (204, Length::Bytes(9), Coding::Missing, Ok(Some(BodyKind::Length(0)))),
            (304, Length::Bytes(u64::MAX), Coding::Missing, Ok(Some(BodyKind::Length(0)))),
            (304, Length::Missing, Coding::Chunked, Ok(Some(BodyKind::Length(0)))),
            (304, Length::Invalid, Coding::Missing, Err(Malformed::LengthInvalid)),
            // the final response is still to come
            (100, Length::Missing, Coding::Missing, Ok(None)),
            (199, Length::Bytes(3), Coding::Missing, Ok(None)),
            (101, Length::Missing, Coding::Missing, Err(Malformed::SwitchingProtocols)),
            (100, Length::Repeated, Coding::Missing, Err(Malformed::LengthRepeated)),
        ];
        for (status, length, coding, expected) in cases {
            assert_eq!(body(&facts(status, length, coding)), expected, "{status} {length:?} {coding:?}");
        }
    }

    #[test]
    fn chunks_are_not_for_http_1_0() {
        let facts = Facts { protocol: Protocol::Http10, ..facts(200, Length::Missing, Coding::Chunked) };
        assert_eq!(frame(&facts), Err(Malformed::CodingInHttp10));
    }

    #[test]
    fn a_connection_is_kept_by_version_and_option() {
        // protocol, close, keep-alive, kept
        let cases = [
            (Protocol::Http11, false, false, true),
            (Protocol::Http11, false, true, true),
            (Protocol::Http11, true, false, false),
            (Protocol::Http11, true, true, false), // close wins
            (Protocol::Http10, false, false, false),
            (Protocol::Http10, false, true, true),
            (Protocol::Http10, true, true, false),
        ];
        for (protocol, close, keep_alive, kept) in cases {
            for (length, kept) in [(Length::Bytes(1), kept), (Length::Missing, false)] {
                let facts = Facts { protocol, close, keep_alive, ..facts(200, length, Coding::Missing) };
                let Ok(Framing::Final { keep_alive: found, .. }) = frame(&facts) else { panic!("{facts:?}") };
                assert_eq!(found, kept, "{facts:?}");
            }
        }
    }
}
