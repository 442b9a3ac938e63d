//! One request: what its head says, and the one place that decides about framing, persistence and refusal.
//!
//! Both parsers hand their header lines to [`Fields::on_header`] and end in [`Fields::decide`], so they cannot
//! disagree about anything but syntax.

use flowtest_contract::token::TOKEN_LEN;

/// A request head, request line to blank line, in bytes.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header lines of one request.
pub const HEADERS_MAX: usize = 64;
/// A request body, in bytes, after removing the chunked framing. It is read and dropped.
pub const BODY_BYTES_MAX: u64 = 64 * 1024;

/// The digits of a token, already checked.
pub type Digits = [u8; TOKEN_LEN];

/// Why a request is not answered with the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a request by RFC 9112, or a token that is none.
    BadRequest,
    MethodNotAllowed,
    /// Not complete in time.
    RequestTimeout,
    ContentTooLarge,
    ExpectationFailed,
    HeadTooLarge,
    /// A transfer coding other than chunked.
    NotImplemented,
    VersionNotSupported,
}

impl Refusal {
    pub fn code(self) -> u16 {
        match self {
            Refusal::BadRequest => 400,
            Refusal::MethodNotAllowed => 405,
            Refusal::RequestTimeout => 408,
            Refusal::ContentTooLarge => 413,
            Refusal::ExpectationFailed => 417,
            Refusal::HeadTooLarge => 431,
            Refusal::NotImplemented => 501,
            Refusal::VersionNotSupported => 505,
        }
    }
}

/// What becomes of the connection after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// HTTP/1.1 says nothing: the connection stays.
    Keep,
    /// HTTP/1.0 asked for keep-alive and is told so.
    KeepAlive,
    Close,
}

/// How long the body of the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Empty,
    Length(u64),
    Chunked,
}

/// What the request is answered with, once its body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Page,
    Health,
    Refusal(Refusal),
}

/// All that matters of one request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub answer: Answer,
    pub token: Option<Digits>,
    /// HEAD: the response has no body.
    pub head_only: bool,
    pub persistence: Persistence,
    pub framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    pub waits_for_continue: bool,
}

/// The minor version of HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minor {
    Zero,
    One,
}

/// What the header lines said so far. The first refusal stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields {
    host: bool,
    token: Option<Digits>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    waits_for_continue: bool,
    refusal: Option<Refusal>,
}

impl Fields {
    /// Takes one header line: name as sent, value without the spaces around it.
    #[inline]
    pub fn on_header(&mut self, name: &[u8], value: &[u8]) {
        // Five lengths matter; most header lines end here.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.on_host(),
            5 if name.eq_ignore_ascii_case(b"token") => self.on_token(value),
            6 if name.eq_ignore_ascii_case(b"expect") => self.on_expect(value),
            10 if name.eq_ignore_ascii_case(b"connection") => self.on_connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.on_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.on_coding(value),
            _ => {}
        }
    }

    /// Host must be there once, or a cache in front of us could be led astray (RFC 9112 3.2).
    #[inline]
    fn on_host(&mut self) {
        if std::mem::replace(&mut self.host, true) {
            self.refuse(Refusal::BadRequest);
        }
    }

    #[inline]
    fn on_token(&mut self, value: &[u8]) {
        match token(value) {
            Some(digits) if self.token.is_none() => self.token = Some(digits),
            _ => self.refuse(Refusal::BadRequest),
        }
    }

    fn on_expect(&mut self, value: &[u8]) {
        if value.eq_ignore_ascii_case(b"100-continue") {
            self.waits_for_continue = true;
        } else {
            self.refuse(Refusal::ExpectationFailed);
        }
    }

    fn on_connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// One length, digits only; even an equal repetition is refused.
    fn on_length(&mut self, value: &[u8]) {
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        if !digits || self.length.is_some() || self.chunked {
            return self.refuse(Refusal::BadRequest);
        }
        // More digits than a u64 has are merely too many bytes.
        let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
        self.length = Some(length);
        if length > BODY_BYTES_MAX {
            self.refuse(Refusal::ContentTooLarge);
        }
    }

    /// Chunked, once, and never beside a length: that is how requests are smuggled (RFC 9112 6.1).
    fn on_coding(&mut self, value: &[u8]) {
        if self.chunked || self.length.is_some() {
            return self.refuse(Refusal::BadRequest);
        }
        self.chunked = true;
        if !value.eq_ignore_ascii_case(b"chunked") {
            self.refuse(Refusal::NotImplemented);
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    /// The whole head is read: what now? An error means that the framing cannot be trusted or the rest is not
    /// worth reading, so the connection ends with it.
    #[inline]
    pub fn decide(mut self, method: &[u8], target: &[u8], minor: Minor) -> Result<Request, Refusal> {
        let known = matches!(method, b"GET" | b"HEAD" | b"POST");
        if minor == Minor::Zero && self.chunked {
            self.refuse(Refusal::BadRequest);
        }
        if minor == Minor::One && !self.host {
            self.refuse(Refusal::BadRequest);
        }
        let path = path(target);
        if path.is_none() && known {
            self.refuse(Refusal::BadRequest);
        }
        if method == b"CONNECT" {
            // What follows would be a tunnel's bytes, not a request.
            self.refuse(Refusal::MethodNotAllowed);
        }
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let answer = match path {
            _ if !known => Answer::Refusal(Refusal::MethodNotAllowed),
            Some(b"/healthz") => Answer::Health,
            _ => Answer::Page,
        };
        let persistence = match minor {
            _ if self.close => Persistence::Close,
            Minor::One => Persistence::Keep,
            Minor::Zero if self.keep_alive => Persistence::KeepAlive,
            Minor::Zero => Persistence::Close,
        };
        let framing = match self.length {
            _ if self.chunked => Framing::Chunked,
            Some(0) | None => Framing::Empty,
            Some(length) => Framing::Length(length),
        };
        // HTTP/1.0 knows no interim responses (RFC 9110 10.1.1).
        let waits_for_continue = self.waits_for_continue && minor == Minor::One && framing != Framing::Empty;
        let head_only = method == b"HEAD";
        Ok(Request { answer, token: self.token, head_only, persistence, framing, waits_for_continue })
    }
}

/// The path of a target in origin form (`/a?b`) or absolute form (`http://host/a?b`), without its query.
fn path(target: &[u8]) -> Option<&[u8]> {
    let origin = if target.first() == Some(&b'/') {
        target
    } else {
        let scheme = target.get(..7)?;
        if !scheme.eq_ignore_ascii_case(b"http://") {
            return None;
        }
        let rest = &target[7..];
        let authority = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        if authority == 0 {
            return None;
        }
        &rest[authority..]
    };
    let end = memchr::memchr(b'?', origin).unwrap_or(origin.len());
    Some(&origin[..end])
}

/// Exactly what [`flowtest_contract::Token::from_wire`] accepts, without a branch per digit.
#[inline]
pub fn token(value: &[u8]) -> Option<Digits> {
    let digits: Digits = value.try_into().ok()?;
    // No early exit, so that the compiler checks all digits with a few vector instructions.
    let mut right = true;
    for digit in digits {
        right &= digit.wrapping_sub(b'0') < 10 || digit.wrapping_sub(b'a') < 6;
    }
    right.then_some(digits)
}

/// tchar of RFC 9110 5.6.2.
pub(crate) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::Token;
    use proptest::prelude::*;

    #[test]
    fn paths_are_found_in_both_forms() {
        let cases: [(&[u8], Option<&[u8]>); 10] = [
            (b"/", Some(b"/")),
            (b"/a?b=/c", Some(b"/a")),
            (b"//x", Some(b"//x")),
            (b"http://h/healthz?x", Some(b"/healthz")),
            (b"HTTP://h", Some(b"")),
            (b"http://h?/x", Some(b"")),
            (b"http:///x", None),
            (b"https://h/", None),
            (b"*", None),
            (b"h:80", None),
        ];
        for (target, expected) in cases {
            assert_eq!(path(target), expected, "{}", target.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn a_token_is_what_the_contract_says(value in proptest::collection::vec(any::<u8>(), 31..34)) {
            prop_assert_eq!(token(&value), Token::from_wire(&value).map(|token| token.0));
        }

        #[test]
        fn one_byte_of_a_token_makes_no_difference_between_us_and_the_contract(at in 0usize..32, byte in any::<u8>()) {
            let mut value = *b"0123456789abcdef0123456789abcdef";
            value[at] = byte;
            prop_assert_eq!(token(&value), Token::from_wire(&value).map(|token| token.0));
        }
    }
}
