//! What came of one request, however the bytes were cut. No I/O.
//!
//! The reader of the flood decides what the bytes are, and its limits bound how many there can be. This keeps the heads
//! beside it, for people.

use crate::engine::http::{End, Malformed, Read, Reader, Response, Shape};
use flowtest_contract::Token;
use flowtest_contract::header::{HEAD_BYTES_MAX, INTERIM_MAX};

/// All heads of one answer fit.
const SEEN_BYTES_MAX: usize = (INTERIM_MAX + 1) * HEAD_BYTES_MAX;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// What an answer turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBytes {
    /// `unsolicited`: bytes came behind it that nobody had asked for.
    Response {
        response: Response,
        unsolicited: bool,
    },
    Malformed(Malformed),
    /// The stream ended within the answer.
    Cut,
    /// The stream ended before its first byte.
    Nothing,
}

/// The answer to one request.
#[derive(Debug)]
pub struct Answer {
    token: Token,
    reader: Reader,
    shape: Shape,
    /// The first bytes.
    seen: Vec<u8>,
    count: u64,
}

impl Answer {
    pub fn new(token: Token) -> Answer {
        Answer { token, reader: Reader::new(), shape: Shape::new(), seen: Vec::new(), count: 0 }
    }

    /// Takes bytes of the peer; says what they are once that is known. Then no more may be given.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Option<ResponseBytes> {
        let room = SEEN_BYTES_MAX - self.seen.len();
        self.seen.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.count += bytes.len() as u64;
        let mut rest = bytes;
        match self.reader.read(&mut rest, &self.token, &mut self.shape) {
            Read::Partial => None,
            Read::Response(response) => Some(ResponseBytes::Response { response, unsolicited: !rest.is_empty() }),
            Read::Malformed(why) => Some(ResponseBytes::Malformed(why)),
        }
    }

    /// The peer ended the stream.
    pub fn on_end(&mut self) -> ResponseBytes {
        match self.reader.on_end() {
            End::Response(response) => ResponseBytes::Response { response, unsolicited: false },
            End::Incomplete => ResponseBytes::Cut,
            End::Nothing => ResponseBytes::Nothing,
        }
    }

    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Bytes that came.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The final head, as far as it came; an interim one when nothing came behind it.
    pub fn head(&self) -> &[u8] {
        final_head(&self.seen)
    }
}

/// The first head that is not interim, blank line included, or the last that there is, whole or not.
fn final_head(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    for _ in 0..=INTERIM_MAX {
        let Some(end) = memchr::memmem::find(rest, HEAD_END) else { return rest };
        let (head, behind) = rest.split_at(end + HEAD_END.len());
        // `HTTP/1.1 1xx`
        let is_interim = head.starts_with(b"HTTP/1.") && head.get(8..10) == Some(b" 1");
        if !is_interim || behind.is_empty() {
            return head;
        }
        rest = behind;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOKEN: Token = Token(*b"0123456789abcdef0123456789abcdef");
    const RIGHT: &[u8] = b"HTTP/1.1 200 OK\r\nToken: 0123456789abcdef0123456789abcdef\r\nVersion: v2\r\nFrom: ECS\r\nContent-Length: 2\r\n\r\nhi";

    fn read(bytes: &[u8], cut: usize) -> (Option<ResponseBytes>, Answer) {
        let mut answer = Answer::new(TOKEN);
        for piece in bytes.chunks(cut.max(1)) {
            if let Some(received) = answer.on_bytes(piece) {
                return (Some(received), answer);
            }
        }
        (None, answer)
    }

    #[test]
    fn a_right_answer_is_read_however_it_is_cut() {
        for cut in 1..=RIGHT.len() {
            let (received, answer) = read(RIGHT, cut);
            let Some(ResponseBytes::Response { response, unsolicited: false }) = received else {
                panic!("{received:?}")
            };
            assert!(response.observed.token_right && response.keep_alive);
            assert!(answer.head().ends_with(b"Content-Length: 2\r\n\r\n"));
        }
    }

    #[test]
    fn the_head_that_is_shown_is_the_final_one() {
        let bytes = [b"HTTP/1.1 100 Continue\r\n\r\n", RIGHT].concat();
        let (received, answer) = read(&bytes, 7);
        assert!(matches!(received, Some(ResponseBytes::Response { .. })));
        assert!(answer.head().starts_with(b"HTTP/1.1 200 OK"));
        assert_eq!(final_head(b"HTTP/1.1 103 Early\r\n\r\n"), b"HTTP/1.1 103 Early\r\n\r\n");
        assert_eq!(final_head(b"junk"), b"junk");
    }

    #[test]
    fn bytes_behind_an_answer_and_ends_within_it_are_told_apart() {
        let (received, _) = read(&[RIGHT, b"HTTP/1.1"].concat(), 1_000);
        assert!(matches!(received, Some(ResponseBytes::Response { unsolicited: true, .. })));
        let (_, mut answer) = read(&RIGHT[..40], 9);
        assert_eq!(answer.on_end(), ResponseBytes::Cut);
        assert_eq!(Answer::new(TOKEN).on_end(), ResponseBytes::Nothing);
        let (_, mut answer) = read(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 5);
        assert!(matches!(answer.on_end(), ResponseBytes::Response { .. }));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic_and_never_fill_memory(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
            good in any::<bool>(),
        ) {
            let mut answer = Answer::new(TOKEN);
            let start: &[u8] = if good { b"HTTP/1.1 200 OK\r\nX: " } else { b"" };
            let mut received = answer.on_bytes(start);
            for piece in &pieces {
                if received.is_some() {
                    break;
                }
                received = answer.on_bytes(piece);
            }
            prop_assert!(answer.head().len() <= SEEN_BYTES_MAX);
            if received.is_none() {
                answer.on_end();
            }
        }

        #[test]
        fn a_right_answer_with_a_wrong_byte_is_read_alike_however_it_is_cut(
            at in 0..RIGHT.len(), byte in any::<u8>(), cut in 1usize..50,
        ) {
            let mut bytes = RIGHT.to_vec();
            bytes[at] = byte;
            let whole = read(&bytes, bytes.len()).0;
            let pieces = read(&bytes, cut).0;
            // How much came behind an answer that is shorter now depends on the cut; nothing else does.
            let core = |received: Option<ResponseBytes>| match received {
                Some(ResponseBytes::Response { response, .. }) => Some(Ok(response)),
                Some(ResponseBytes::Malformed(why)) => Some(Err(why)),
                _ => None,
            };
            prop_assert_eq!(core(whole), core(pieces));
        }
    }
}
