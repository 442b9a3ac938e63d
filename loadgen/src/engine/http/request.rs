//! The bytes of a request, prebuilt; only the token changes.

use flowtest_contract::Token;
use flowtest_contract::header::{TOKEN, USER_AGENT};
use flowtest_contract::token::TOKEN_LEN;
use std::hash::{DefaultHasher, Hasher};

/// A request whose bytes are prebuilt, but for its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTemplate {
    bytes: Box<[u8]>,
    token_at: usize,
    mark: u32,
}

impl RequestTemplate {
    /// `path_and_query` and `host` come out of a URL parser, which leaves nothing in them that could end a line.
    ///
    /// # Panics
    /// If they hold anything but visible ASCII, or the path does not begin with a slash: a request must never
    /// become two.
    pub fn new(path_and_query: &str, host: &str) -> RequestTemplate {
        assert!(path_and_query.starts_with('/'), "the path of a request begins with a slash: {path_and_query:?}");
        for part in [path_and_query, host] {
            let visible = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(visible, "a request is built from visible ASCII: {part:?}");
        }
        let head = format!("GET {path_and_query} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n{TOKEN}: ");
        let mut bytes = head.into_bytes();
        let token_at = bytes.len();
        bytes.extend_from_slice(&[b'0'; TOKEN_LEN]);
        bytes.extend_from_slice(b"\r\n\r\n");
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        RequestTemplate { bytes: bytes.into_boxed_slice(), token_at, mark: hasher.finish() as u32 }
    }

    /// Tells it from the other requests of a contestant whose endpoint moves.
    #[inline]
    pub fn mark(&self) -> u32 {
        self.mark
    }

    /// Bytes of one request.
    #[expect(clippy::len_without_is_empty, reason = "a request is never empty")]
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes as many whole copies as fit, back to back.
    pub fn fill(&self, area: &mut [u8]) {
        for copy in area.chunks_exact_mut(self.bytes.len()) {
            copy.copy_from_slice(&self.bytes);
        }
    }

    /// The request with this token.
    pub fn with(&self, token: &Token) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        self.patch(&mut bytes, 0, token);
        bytes
    }

    /// Writes one request with this token at the beginning of `place`.
    #[inline]
    pub fn write(&self, place: &mut [u8], token: &Token) {
        place[..self.bytes.len()].copy_from_slice(&self.bytes);
        place[self.token_at..self.token_at + TOKEN_LEN].copy_from_slice(&token.0);
    }

    /// Sets the token of the `index`-th copy in an area that was filled.
    #[inline]
    pub fn patch(&self, area: &mut [u8], index: usize, token: &Token) {
        let at = index * self.bytes.len() + self.token_at;
        area[at..at + TOKEN_LEN].copy_from_slice(&token.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_headers_of_the_contract() {
        let template = RequestTemplate::new("/a?b=c", "[::1]:8080");
        let mut area = vec![0; template.len()];
        template.fill(&mut area);
        template.patch(&mut area, 0, &Token(*b"0123456789abcdef0123456789abcdef"));
        let expected = format!(
            "GET /a?b=c HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: {USER_AGENT}\r\nToken: 0123456789abcdef0123456789abcdef\r\n\r\n"
        );
        assert_eq!(String::from_utf8(area).unwrap(), expected);
    }

    #[test]
    fn copies_are_whole_and_patched_apart() {
        let template = RequestTemplate::new("/", "a.example");
        let mut area = vec![0xff; template.len() * 3 + template.len() - 1];
        template.fill(&mut area);
        template.patch(&mut area, 1, &Token([b'a'; TOKEN_LEN]));
        let copies: Vec<&[u8]> = area.chunks(template.len()).collect();
        assert_eq!(copies[0], &template.bytes[..]);
        assert_ne!(copies[1], copies[0]);
        assert_eq!(copies[2], copies[0]);
        assert!(copies[3].iter().all(|byte| *byte == 0xff));
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut request = httparse::Request::new(&mut headers);
        assert_eq!(request.parse(copies[1]).unwrap(), httparse::Status::Complete(template.len()));
        assert_eq!(request.headers.last().unwrap().value, [b'a'; TOKEN_LEN]);
    }

    #[test]
    fn what_could_end_a_line_is_refused() {
        for (path, host) in [("/ ", "a"), ("/\r\n", "a"), ("/", "a\nb"), ("/", "a b"), ("", "a"), ("x", "a"), ("/", "")]
        {
            let refused = std::panic::catch_unwind(|| RequestTemplate::new(path, host)).is_err();
            assert!(refused, "{path:?} {host:?}");
        }
    }
}
