//! One request: what its head says, and the one place that decides about framing, persistence and refusal.
//!
//! Both parsers hand their header lines to [`Fields::on_header`] and end in [`Fields::decide`], so they cannot
//! disagree about anything but syntax.

use flowtest_contract::token::TOKEN_LEN;
use std::net::Ipv6Addr;

/// A request head, request line to blank line, in bytes.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header lines of one request.
pub const HEADERS_MAX: usize = 64;
/// A request body, in bytes, after removing the chunked framing. It is read and dropped.
pub const BODY_BYTES_MAX: u64 = 64 * 1024;

/// The longest token that is echoed, in bytes.
pub const TOKEN_BYTES_MAX: usize = 128;

/// A token, already checked: 1 to [`TOKEN_BYTES_MAX`] visible characters. The contract's are 32 hex digits; a client of
/// another kind may have UUIDs or numbers, and gets back what it sent as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// As long as the contract's, which prebuilt pages have a place for.
    Usual([u8; TOKEN_LEN]),
    /// Of any other length.
    Other(Box<[u8]>),
}

impl Token {
    #[inline]
    pub fn read(value: &[u8]) -> Option<Token> {
        let Ok(usual) = <[u8; TOKEN_LEN]>::try_from(value) else { return Token::read_other(value) };
        // Eight at a time and without an early exit: the high bit of a byte that is beyond ASCII, or is DEL, or is not
        // above the space. A carry out of a byte beyond ASCII changes nothing, since that one is wrong already.
        const ONES: u64 = u64::MAX / 255;
        let (mut high, mut above) = (0, u64::MAX);
        for bytes in usual.as_chunks::<8>().0 {
            let bytes = u64::from_le_bytes(*bytes);
            high |= bytes | bytes.wrapping_add(ONES);
            above &= bytes.wrapping_add(ONES * (0x7f - 0x20));
        }
        ((high | !above) & (ONES << 7) == 0).then_some(Token::Usual(usual))
    }

    #[cold]
    fn read_other(value: &[u8]) -> Option<Token> {
        let right = (1..=TOKEN_BYTES_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
        right.then(|| Token::Other(value.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Token::Usual(bytes) => bytes,
            Token::Other(bytes) => bytes,
        }
    }
}

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
    /// A method or a transfer coding that we have never heard of.
    NotImplemented,
    /// More requests than `--capacity` allows, and the queue is full.
    OverCapacity,
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
            Refusal::OverCapacity => 503,
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
    Metrics,
    Refusal(Refusal),
}

/// All that matters of one request head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub answer: Answer,
    pub token: Option<Token>,
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

/// The transfer codings named so far, over all lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    #[default]
    Absent,
    /// Chunked is still to come: without it nobody knows where the body ends.
    Unended,
    Chunked,
    /// Chunked outside, and inside a coding that we do not know.
    ForeignChunked,
}

/// What the header lines said so far. The first refusal stays.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    host: bool,
    token: Option<Token>,
    length: Option<u64>,
    coding: Coding,
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
            4 if name.eq_ignore_ascii_case(b"host") => self.on_host(value),
            5 if name.eq_ignore_ascii_case(b"token") => self.on_token(value),
            6 if name.eq_ignore_ascii_case(b"expect") => self.on_expect(value),
            10 if name.eq_ignore_ascii_case(b"connection") => self.on_connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.on_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.on_coding(value),
            _ => {}
        }
    }

    /// Host must be there once, and be one, or a cache in front of us could be led astray (RFC 9112 3.2).
    #[inline]
    fn on_host(&mut self, value: &[u8]) {
        if std::mem::replace(&mut self.host, true) || !is_host(value) {
            self.refuse(Refusal::BadRequest);
        }
    }

    #[inline]
    fn on_token(&mut self, value: &[u8]) {
        match Token::read(value) {
            Some(token) if self.token.is_none() => self.token = Some(token),
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
        if !digits || self.length.is_some() || self.coding != Coding::Absent {
            return self.refuse(Refusal::BadRequest);
        }
        // More digits than a u64 has are merely too many bytes.
        let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
        self.length = Some(length);
        if length > BODY_BYTES_MAX {
            self.refuse(Refusal::ContentTooLarge);
        }
    }

    /// Chunked, once, last, and never beside a length: that is how requests are smuggled (RFC 9112 6.1 and 6.3). The
    /// lines make one list, whose empty elements count for nothing (RFC 9110 5.6.1).
    fn on_coding(&mut self, value: &[u8]) {
        if self.length.is_some() {
            return self.refuse(Refusal::BadRequest);
        }
        let mut coding = if self.coding == Coding::Absent { None } else { Some(self.coding) };
        for name in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
            coding = match (coding, name.eq_ignore_ascii_case(b"chunked")) {
                (None, true) => Some(Coding::Chunked),
                (None | Some(Coding::Unended), false) => Some(Coding::Unended),
                (Some(Coding::Unended), true) => Some(Coding::ForeignChunked),
                (Some(_), _) => return self.refuse(Refusal::BadRequest),
            };
        }
        self.coding = coding.unwrap_or(Coding::Unended);
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal);
    }

    /// The whole head is read: what now? An error means that the framing cannot be trusted or the rest is not
    /// worth reading, so the connection ends with it.
    #[inline]
    pub fn decide(mut self, method: &[u8], target: &[u8], minor: Minor) -> Result<Request, Refusal> {
        let taken = matches!(method, b"GET" | b"HEAD" | b"POST");
        match self.coding {
            Coding::Absent => {}
            Coding::Unended => self.refuse(Refusal::BadRequest),
            // HTTP/1.0 has no transfer codings (RFC 9112 6.1).
            Coding::Chunked | Coding::ForeignChunked if minor == Minor::Zero => self.refuse(Refusal::BadRequest),
            Coding::ForeignChunked => self.refuse(Refusal::NotImplemented),
            Coding::Chunked => {}
        }
        if minor == Minor::One && !self.host {
            self.refuse(Refusal::BadRequest);
        }
        let path = path(target);
        if path.is_none() && taken {
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
            // Known to everybody and not taken here, or known to nobody (RFC 9110 9.1).
            _ if !taken => Answer::Refusal(match method {
                b"PUT" | b"DELETE" | b"OPTIONS" | b"TRACE" | b"PATCH" => Refusal::MethodNotAllowed,
                _ => Refusal::NotImplemented,
            }),
            Some(b"/healthz") => Answer::Health,
            Some(b"/metrics") => Answer::Metrics,
            _ => Answer::Page,
        };
        let persistence = match minor {
            _ if self.close => Persistence::Close,
            Minor::One => Persistence::Keep,
            Minor::Zero if self.keep_alive => Persistence::KeepAlive,
            Minor::Zero => Persistence::Close,
        };
        let framing = match self.length {
            _ if self.coding == Coding::Chunked => Framing::Chunked,
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
        if matches!(rest[..authority], [] | [b':', ..]) || !is_host(&rest[..authority]) {
            return None;
        }
        &rest[authority..]
    };
    let end = memchr::memchr(b'?', origin).unwrap_or(origin.len());
    Some(&origin[..end])
}

/// `uri-host [":" port]` of RFC 9110 7.2: a name, an IPv4 address or an IPv6 address in brackets, without a user. A
/// client that has none sends an empty one.
fn is_host(value: &[u8]) -> bool {
    let (right, rest) = if value.first() == Some(&b'[') {
        let Some(end) = memchr::memchr(b']', value) else { return false };
        let address = std::str::from_utf8(&value[1..end]).unwrap_or_default();
        (address.parse::<Ipv6Addr>().is_ok(), &value[end + 1..])
    } else {
        let end = memchr::memchr(b':', value).unwrap_or(value.len());
        (is_reg_name(&value[..end]), &value[end..])
    };
    right && rest.strip_prefix(b":").map_or(rest.is_empty(), |port| port.iter().all(u8::is_ascii_digit))
}

/// reg-name of RFC 3986 3.2.2.
fn is_reg_name(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        let right = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(u8::is_ascii_hexdigit)),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte),
        };
        if !right {
            return false;
        }
    }
    true
}

/// tchar of RFC 9110 5.6.2.
pub(crate) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_found_in_both_forms() {
        let cases: [(&[u8], Option<&[u8]>); 15] = [
            (b"/", Some(b"/")),
            (b"/a?b=/c", Some(b"/a")),
            (b"//x", Some(b"//x")),
            (b"http://h/healthz?x", Some(b"/healthz")),
            (b"HTTP://h", Some(b"")),
            (b"http://h?/x", Some(b"")),
            (b"http://h:80/x", Some(b"/x")),
            (b"http://[::1]:80/x", Some(b"/x")),
            (b"http://:80/x", None),
            (b"http://u@h/x", None),
            (b"http://h:x/", None),
            (b"http:///x", None),
            (b"https://h/", None),
            (b"*", None),
            (b"h:80", None),
        ];
        for (target, expected) in cases {
            assert_eq!(path(target), expected, "{}", target.escape_ascii());
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        let right =
            ["", "h", "h:80", "h:", "a-b_c.example.", "127.0.0.1:8080", "[::1]", "[2001:db8::1]:443", "%C3%A9", "a,b"];
        for host in right {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        let wrong = [
            "user@h", "a b", "h/path", "h?q", "h#f", "h:80:80", "h:x", "h:8 0", "[::1", "::1", "[h]", "[::1]x", "[]",
            "%", "%4", "%zz", "h\\x", "h\"", "\u{e9}", "h\t",
        ];
        for host in wrong {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn transfer_codings_make_one_list_that_ends_in_chunked() {
        // (values of the lines, what comes of them)
        let cases: [(&[&str], Result<Framing, u16>); 13] = [
            (&[], Ok(Framing::Empty)),
            (&["chunked"], Ok(Framing::Chunked)),
            (&["Chunked"], Ok(Framing::Chunked)),
            (&[", chunked ,"], Ok(Framing::Chunked)),
            (&["gzip, chunked"], Err(501)),
            (&["gzip", "chunked"], Err(501)),
            (&["chunked, gzip"], Err(400)),
            (&["chunked", "gzip"], Err(400)),
            (&["chunked, chunked"], Err(400)),
            (&["gzip, chunked, gzip"], Err(400)),
            (&["gzip"], Err(400)),
            (&["chunked;q=1"], Err(400)),
            (&[" , "], Err(400)),
        ];
        for (lines, expected) in cases {
            let mut fields = Fields::default();
            fields.on_header(b"Host", b"h");
            for line in lines {
                fields.on_header(b"Transfer-Encoding", line.as_bytes());
            }
            let framing =
                fields.decide(b"POST", b"/", Minor::One).map(|request| request.framing).map_err(Refusal::code);
            assert_eq!(framing, expected, "{lines:?}");
        }
    }

    #[test]
    fn a_method_is_taken_or_known_or_neither() {
        for (method, expected) in [
            ("GET", None),
            ("HEAD", None),
            ("POST", None),
            ("PUT", Some(405)),
            ("PATCH", Some(405)),
            ("TRACE", Some(405)),
        ]
        .into_iter()
        .chain([("get", Some(501)), ("BREW", Some(501)), ("PROPFIND", Some(501))])
        {
            let mut fields = Fields::default();
            fields.on_header(b"Host", b"h");
            let answer = fields.decide(method.as_bytes(), b"/", Minor::One).unwrap().answer;
            let code = if let Answer::Refusal(refusal) = answer { Some(refusal.code()) } else { None };
            assert_eq!(code, expected, "{method}");
        }
    }

    #[test]
    fn tokens_have_1_to_128_visible_characters() {
        let long = "x".repeat(TOKEN_BYTES_MAX);
        for right in ["1", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "0123456789ABCDEF0123456789abcde!", "~:;\"", &long] {
            assert_eq!(Token::read(right.as_bytes()).unwrap().as_bytes(), right.as_bytes());
        }
        let longer = "x".repeat(TOKEN_BYTES_MAX + 1);
        for wrong in ["", "a b", "\u{e9}", "a\t", "0123456789abcdef 123456789abcdef", "\u{7f}", &longer] {
            assert_eq!(Token::read(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_token_of_the_contract_is_one(value in "[0-9a-f]{32}") {
            prop_assert!(flowtest_contract::Token::from_wire(value.as_bytes()).is_some());
            prop_assert_eq!(Token::read(value.as_bytes()), Some(Token::Usual(value.as_bytes().try_into().unwrap())));
        }

        #[test]
        fn both_lengths_take_the_same_characters(at in 0usize..32, byte in any::<u8>()) {
            let mut value = *b"0123456789abcdef0123456789abcdef0";
            value[at] = byte;
            prop_assert_eq!(Token::read(&value).is_some(), byte.is_ascii_graphic());
            prop_assert_eq!(Token::read(&value[..TOKEN_LEN]).is_some(), byte.is_ascii_graphic());
        }
    }
}
