//! The parser for the usual GET, and a cache of the last head that it read.
//!
//! A generator sends the same head over and over; only the characters of the token differ. So a worker remembers
//! the last plain head that it read and where its token stood: a head equal to it but for those characters means
//! the same request with another token, which two comparisons and a check of the characters prove. Whatever differs goes to
//! [`parse`], and what that declines to [`strict_parser::parse`]. Neither ever accepts what the strict parser refuses.

use crate::request::{Answer, Fields, Framing, HEAD_BYTES_MAX, HEADERS_MAX, Minor, Request, Token};
use crate::strict_parser::{self, Parsed};
use std::ops::Range;

/// Heads longer than this are not remembered: comparing them costs as much as parsing a usual one.
const CACHED_BYTES_MAX: usize = 1024;

/// The last plain head, and what it meant.
#[derive(Debug, Default)]
pub struct HeadCache {
    head: Vec<u8>,
    /// Where the token stands in `head`. Empty when it has none.
    token: Range<usize>,
    /// Without its token, which each head has its own of.
    request: Option<Request>,
}

impl HeadCache {
    /// Reads the request at the front of `input`, the cheapest way that is certain.
    #[inline]
    pub fn parse(&mut self, input: &[u8]) -> Parsed {
        // The usual end of a batch: everything that was read is answered.
        if input.is_empty() {
            return Parsed::Partial;
        }
        match self.look_up(input) {
            Some(request) => Parsed::Head(request, self.head.len()),
            None => self.parse_and_remember(input),
        }
    }

    #[inline]
    fn look_up(&self, input: &[u8]) -> Option<Request> {
        let request = self.request.as_ref()?;
        let head = input.get(..self.head.len())?;
        if self.token.is_empty() {
            return (head == self.head).then_some(Request { token: None, ..*request });
        }
        let Range { start, end } = self.token;
        if head[..start] != self.head[..start] || head[end..] != self.head[end..] {
            return None;
        }
        Some(Request { token: Some(Token::read(&head[start..end])?), ..*request })
    }

    #[cold]
    fn parse_and_remember(&mut self, input: &[u8]) -> Parsed {
        let Some((request, head_len, token)) = parse(input) else {
            return strict_parser::parse(input);
        };
        if request.answer == Answer::Page && request.framing == Framing::Empty && head_len <= CACHED_BYTES_MAX {
            self.head.clear();
            self.head.extend_from_slice(&input[..head_len]);
            self.token = token;
            self.request = Some(Request { token: None, ..request });
        }
        Parsed::Head(request, head_len)
    }
}

/// Reads a whole GET of plain ASCII with CR LF line ends and nothing to refuse; declines everything else.
/// Returns the request, the length of its head and where its token stands.
pub fn parse(input: &[u8]) -> Option<(Request, usize, Range<usize>)> {
    let input = &input[..input.len().min(HEAD_BYTES_MAX)];
    let mut fields = Fields::default();
    let mut token = 0..0;

    let (line, mut at) = line_at(input, 0)?;
    let target = line.strip_prefix(b"GET ")?.strip_suffix(b" HTTP/1.1")?;
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    for _ in 0..=HEADERS_MAX {
        let start = at;
        let (line, next) = line_at(input, at)?;
        at = next;
        if line.is_empty() {
            let request = fields.decide(b"GET", target, Minor::One).ok()?;
            return Some((request, at, token));
        }
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty()
            || !name.iter().all(|byte| is_token_byte(*byte))
            || !value.iter().all(|byte| is_value_byte(*byte))
        {
            return None;
        }
        let trimmed = value.trim_ascii();
        fields.on_header(name, trimmed);
        if name.eq_ignore_ascii_case(b"token") {
            let at = start + colon + 1 + (value.len() - value.trim_ascii_start().len());
            token = at..at + trimmed.len();
        }
    }
    None
}

/// The line that starts at `at`, without its CR LF, and where the next one starts.
fn line_at(input: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = &input[at..];
    let end = memchr::memchr(b'\n', rest)?;
    Some((rest[..end].strip_suffix(b"\r")?, at + end + 1))
}

/// tchar of RFC 9110 5.6.2, without the ones that no usual header name has.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || byte == b' ' || byte.is_ascii_graphic()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn token_at(input: &[u8], at: &Range<usize>) -> Option<Token> {
        Token::read(&input[at.clone()])
    }

    const PLAIN: &[u8] =
        b"GET /a?b HTTP/1.1\r\nHost: h\r\nUser-Agent: FlowTest/1\r\nToken: 0123456789abcdef0123456789abcdef\r\n\r\n";

    /// Heads that are nearly usual: pieces that parsers like to disagree about.
    fn heads() -> impl Strategy<Value = Vec<u8>> {
        const FIRST: &[&str] = &[
            "GET /healthz HTTP/1.1\r\n",
            "GET /metrics HTTP/1.1\r\n",
            "GET http://h/x HTTP/1.1\r\n",
            "GET http://u@h/x HTTP/1.1\r\n",
            "POST / HTTP/1.1\r\n",
            "BREW / HTTP/1.1\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            "GET / HTTP/1.0\r\n",
            "GET /\u{e9} HTTP/1.1\r\n",
            "GET / x HTTP/1.1\r\n",
            "GET * HTTP/1.1\r\n",
            "\r\nGET / HTTP/1.1\r\n",
            "GET  HTTP/1.1\r\n",
            "GET / HTTP/1.1\n",
        ];
        const LINE: &[&str] = &[
            "token:\t 0123456789abcdef0123456789abcdef \r\n",
            "Token: 0123456789ABCDEF0123456789abcdef\r\n",
            "Token: 1\r\n",
            "Token: f47ac10b-58cc-4372-a567-0e02b2c3d479\r\n",
            "Token: a b\r\n",
            "Token:\r\n",
            "Host: u@h\r\n",
            "Transfer-Encoding: chunked, gzip\r\n",
            "X: y\r\n",
            "X:\r\n",
            ": y\r\n",
            "X : y\r\n",
            " folded\r\n",
            "X: a\rb\r\n",
            "X: a\nY: b\r\n",
            "X: \u{e9}\r\n",
            "X: \u{7f}\r\n",
            "X: \0\r\n",
            "X!: y\r\n",
            "X(: y\r\n",
            "no colon\r\n",
            "Content-Length: 0\r\n",
            "Content-Length: 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 999999\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Connection: close\r\n",
            "Connection: a, Keep-Alive\r\n",
            "Expect: 100-continue\r\n",
            "Expect: x\r\n",
            "\r\n",
        ];
        let first = prop_oneof![3 => Just("GET / HTTP/1.1\r\n"), 1 => select(FIRST)];
        let line = prop_oneof![
            2 => Just("Host: h\r\n"),
            1 => Just("Token: 0123456789abcdef0123456789abcdef\r\n"),
            2 => select(LINE),
        ];
        (first, proptest::collection::vec(line, 0..7))
            .prop_map(|(first, lines)| format!("{first}{}\r\n", lines.concat()).into_bytes())
    }

    fn mutated() -> impl Strategy<Value = Vec<u8>> {
        (heads(), any::<prop::sample::Index>(), any::<u8>(), 0..3u8).prop_map(|(mut head, at, byte, times)| {
            if times == 0 {
                let at = at.index(head.len());
                head[at] = byte;
            }
            head
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn what_the_fast_parser_accepts_the_strict_one_reads_alike(head in mutated()) {
            if let Some((request, head_len, token)) = parse(&head) {
                prop_assert_eq!(&token_at(&head, &token), &request.token);
                prop_assert_eq!(strict_parser::parse(&head), Parsed::Head(request, head_len));
            }
        }

        #[test]
        fn a_cached_head_changes_no_answer(heads in proptest::collection::vec(mutated(), 1..5)) {
            let mut head_cache = HeadCache::default();
            for head in &heads {
                prop_assert_eq!(head_cache.parse(head), strict_parser::parse(head));
                prop_assert_eq!(head_cache.parse(head), strict_parser::parse(head));
            }
        }

        #[test]
        fn a_cached_head_with_one_byte_changed_is_read_anew(at in 0..PLAIN.len(), byte in any::<u8>()) {
            let mut head_cache = HeadCache::default();
            head_cache.parse(PLAIN);
            let mut head = PLAIN.to_vec();
            head[at] = byte;
            prop_assert_eq!(head_cache.parse(&head), strict_parser::parse(&head));
        }

        #[test]
        fn arbitrary_bytes_are_read_alike_and_never_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(HeadCache::default().parse(&input), strict_parser::parse(&input));
        }
    }

    #[test]
    fn the_usual_get_takes_the_fast_way() {
        let (request, head_len, token) = parse(PLAIN).unwrap();
        assert_eq!(head_len, PLAIN.len());
        assert_eq!(token_at(PLAIN, &token), Some(Token::Usual(*b"0123456789abcdef0123456789abcdef")));
        assert_eq!(request.answer, Answer::Page);
    }

    #[test]
    fn a_look_upd_head_has_its_own_token() {
        let mut head_cache = HeadCache::default();
        head_cache.parse(PLAIN);
        let other = PLAIN.to_vec().iter().map(|byte| if *byte == b'0' { b'f' } else { *byte }).collect::<Vec<_>>();
        assert_eq!(
            head_cache.look_up(&other).and_then(|request| request.token),
            Some(Token::Usual(*b"f123456789abcdeff123456789abcdef"))
        );
    }

    #[test]
    fn tokens_of_another_length_take_the_fast_way_too() {
        const UUID: &str = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
        let head = |token: &str| format!("GET / HTTP/1.1\r\nHost: h\r\nToken: {token}\r\nX: y\r\n\r\n").into_bytes();
        let mut head_cache = HeadCache::default();
        head_cache.parse(&head(UUID));
        let other = UUID.replace('f', "A");
        let looked_up = head_cache.look_up(&head(&other)).unwrap();
        assert_eq!(looked_up.token.unwrap().as_bytes(), other.as_bytes());
        // Neither a shorter one nor one with a space is the same head.
        assert_eq!(head_cache.look_up(&head(&UUID[1..])), None);
        assert_eq!(head_cache.look_up(&head(&UUID.replace('-', " "))), None);
    }

    #[test]
    fn a_head_split_anywhere_is_partial() {
        let mut head_cache = HeadCache::default();
        head_cache.parse(PLAIN);
        for len in 0..PLAIN.len() {
            assert_eq!(head_cache.parse(&PLAIN[..len]), Parsed::Partial, "{len}");
        }
    }
}
