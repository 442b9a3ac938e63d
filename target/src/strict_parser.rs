//! The parser for every request: httparse for the syntax, and around it what httparse leaves open.
//!
//! Stricter than httparse: lines end with CR LF (a bare LF is how two servers come to see two different requests),
//! the target is ASCII (RFC 3986 2), and the head has a limit in bytes. Bytes past the limit are never looked at, so that a head is judged alike
//! however it arrives.

use crate::request::{Fields, HEAD_BYTES_MAX, HEADERS_MAX, Minor, Refusal, Request};

/// What the bytes at the front of the buffer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a head; more bytes can help.
    Partial,
    /// A head of this many bytes.
    Head(Request, usize),
    /// Not a request that we take; the connection ends with this.
    Refused(Refusal),
}

pub fn parse(input: &[u8]) -> Parsed {
    let input = &input[..input.len().min(HEAD_BYTES_MAX)];
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head_len = match request.parse(input) {
        Ok(httparse::Status::Complete(head_len)) => head_len,
        Ok(httparse::Status::Partial) if has_bare_line_feed(input) => return Parsed::Refused(Refusal::BadRequest),
        Ok(httparse::Status::Partial) if input.len() == HEAD_BYTES_MAX => {
            return Parsed::Refused(Refusal::HeadTooLarge);
        }
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Refused(Refusal::HeadTooLarge),
        Err(httparse::Error::Version) => return refused_version(input),
        Err(_) => return Parsed::Refused(Refusal::BadRequest),
    };
    if has_bare_line_feed(&input[..head_len]) {
        return Parsed::Refused(Refusal::BadRequest);
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Parsed::Refused(Refusal::BadRequest);
    };
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Parsed::Refused(Refusal::BadRequest);
    }
    let minor = if version == 0 { Minor::Zero } else { Minor::One };
    let mut fields = Fields::default();
    for header in request.headers.iter() {
        fields.on_header(header.name.as_bytes(), header.value.trim_ascii());
    }
    match fields.decide(method.as_bytes(), target.as_bytes(), minor) {
        Ok(request) => Parsed::Head(request, head_len),
        Err(refusal) => Parsed::Refused(refusal),
    }
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

/// `HTTP/2.0` is a version that we do not speak, `HTTQ/1.1` is no version, and `HTTP/2` can still become either:
/// httparse refuses it before it is complete.
fn refused_version(input: &[u8]) -> Parsed {
    let start = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(0);
    let line = input[start..].split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    // Refused already when it arrives byte by byte, so refused alike when it arrives whole.
    if has_bare_line_feed(&input[..start]) {
        return Parsed::Refused(Refusal::BadRequest);
    }
    let version = line.splitn(3, |byte| *byte == b' ').nth(2).unwrap_or_default();
    let known = b"HTTP/0.0".iter().zip(version).all(|(pattern, byte)| match pattern {
        b'0' => byte.is_ascii_digit(),
        _ => byte == pattern,
    });
    let line_goes_on = start + line.len() == input.len();
    match version.len() {
        _ if !known => Parsed::Refused(Refusal::BadRequest),
        8.. => Parsed::Refused(Refusal::VersionNotSupported),
        _ if input.len() == HEAD_BYTES_MAX => Parsed::Refused(Refusal::HeadTooLarge),
        _ if line_goes_on => Parsed::Partial,
        _ => Parsed::Refused(Refusal::BadRequest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(input: &[u8]) -> Option<u16> {
        match parse(input) {
            Parsed::Refused(refusal) => Some(refusal.code()),
            Parsed::Partial | Parsed::Head(..) => None,
        }
    }

    #[test]
    fn a_head_up_to_the_limit_is_read_and_one_byte_more_is_not() {
        let head = |len: usize| {
            let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
            head.resize(len - 4, b'x');
            head.extend_from_slice(b"\r\n\r\n");
            head
        };
        assert!(matches!(parse(&head(HEAD_BYTES_MAX)), Parsed::Head(_, HEAD_BYTES_MAX)));
        assert_eq!(refused(&head(HEAD_BYTES_MAX + 1)), Some(431));
        assert_eq!(parse(&head(HEAD_BYTES_MAX)[..HEAD_BYTES_MAX - 1]), Parsed::Partial);
    }

    #[test]
    fn header_lines_up_to_the_limit_are_read_and_one_more_is_not() {
        let head = |lines: usize| {
            [b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec(), b"X: 1\r\n".repeat(lines - 1), b"\r\n".to_vec()].concat()
        };
        assert!(matches!(parse(&head(HEADERS_MAX)), Parsed::Head(..)));
        assert_eq!(refused(&head(HEADERS_MAX + 1)), Some(431));
    }

    #[test]
    fn foreign_versions_are_told_from_nonsense() {
        assert_eq!(refused(b"GET / HTTP/2.0\r\n\r\n"), Some(505));
        assert_eq!(refused(b"GET / HTTP/1.2\r\n\r\n"), Some(505));
        assert_eq!(refused(b"GET / HTTP/x.y\r\n\r\n"), Some(400));
        assert_eq!(refused(b"GET / HTTQ/1.1\r\n\r\n"), Some(400));
        assert_eq!(refused(b"GET / HTTP/2\r\n\r\n"), Some(400));
        assert_eq!(parse(b"GET / HTTP/2"), Parsed::Partial);
    }

    #[test]
    fn a_bare_line_feed_is_refused_wherever_it_stands() {
        assert_eq!(refused(b"GET / HTTP/1.1\nHost: a\r\n\r\n"), Some(400));
        assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: a\n\r\n"), Some(400));
        assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: a\r\n\n"), Some(400));
        assert_eq!(refused(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), Some(400));
        assert_eq!(refused(b"\nGET / HTTP/2.0\r\n\r\n"), Some(400));
        assert_eq!(refused(b"\r\nGET / HTTP/2.0\r\n\r\n"), Some(505));
    }
}
