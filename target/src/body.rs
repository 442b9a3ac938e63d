//! Request bodies: read, counted and dropped, within limits.

use crate::request::{BODY_BYTES_MAX, Framing, Refusal, is_tchar};

/// Size lines of all chunks together, extensions included. A body of single-byte chunks stays below it only while
/// it is small, which is what we want: nobody sends such a thing in earnest.
const CHUNK_LINES_BYTES_MAX: u64 = 64 * 1024;
/// Trailer section after the last chunk.
const TRAILER_BYTES_MAX: u64 = 8 * 1024;

/// What is left of the body of the current request.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    Length(u64),
    Chunked(Chunked),
}

/// The framing of a chunked body (RFC 9112 7.1), read byte by byte but for the data. It is held to the grammar to the
/// letter: what two servers read differently there is how requests are smuggled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunked {
    at: At,
    chunk: u64,
    data: u64,
    lines: u64,
    trailer: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    SizeFirst,
    Size,
    /// White space that only a `;` may end.
    ExtensionSpace,
    ExtensionNameFirst,
    ExtensionName,
    /// White space behind a name: `=` or `;` is next.
    ExtensionNameSpace,
    ExtensionValueFirst,
    ExtensionValue,
    Quoted,
    QuotedPair,
    QuotedEnd,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    TrailerFirst,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    Done,
}

impl Body {
    /// `None` when there is no body to read.
    pub fn new(framing: Framing) -> Option<Body> {
        match framing {
            Framing::Empty => None,
            Framing::Length(length) => Some(Body::Length(length)),
            Framing::Chunked => Some(Body::Chunked(Chunked::default())),
        }
    }

    pub fn is_done(&self) -> bool {
        match self {
            Body::Length(left) => *left == 0,
            Body::Chunked(chunked) => chunked.at == At::Done,
        }
    }

    /// Drops what belongs to the body from the front of `input`; returns how many bytes that were.
    pub fn drop_from(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        match self {
            Body::Length(left) => {
                let dropped = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= dropped as u64;
                Ok(dropped)
            }
            Body::Chunked(chunked) => chunked.drop_from(input),
        }
    }
}

impl Chunked {
    fn drop_from(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut dropped = 0;
        while self.at != At::Done && dropped < input.len() {
            if self.at == At::Data {
                let data = (input.len() - dropped).min(usize::try_from(self.chunk).unwrap_or(usize::MAX));
                self.chunk -= data as u64;
                dropped += data;
                if self.chunk == 0 {
                    self.at = At::DataReturn;
                }
            } else {
                self.on_byte(input[dropped])?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    fn on_byte(&mut self, byte: u8) -> Result<(), Refusal> {
        self.at = match (self.at, byte) {
            (At::SizeFirst | At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.size_digit(byte)?;
                At::Size
            }
            (At::Size | At::ExtensionName | At::ExtensionValue | At::QuotedEnd, b'\r') => At::SizeLineFeed,
            (
                At::Size
                | At::ExtensionSpace
                | At::ExtensionName
                | At::ExtensionNameSpace
                | At::ExtensionValue
                | At::QuotedEnd,
                b';',
            ) => At::ExtensionNameFirst,
            (At::Size | At::ExtensionSpace | At::ExtensionValue | At::QuotedEnd, b' ' | b'\t') => At::ExtensionSpace,
            (At::ExtensionNameFirst, b' ' | b'\t') => At::ExtensionNameFirst,
            (At::ExtensionName | At::ExtensionNameSpace, b' ' | b'\t') => At::ExtensionNameSpace,
            (At::ExtensionName | At::ExtensionNameSpace, b'=') => At::ExtensionValueFirst,
            (At::ExtensionValueFirst, b' ' | b'\t') => At::ExtensionValueFirst,
            (At::ExtensionValueFirst, b'"') => At::Quoted,
            (At::ExtensionNameFirst | At::ExtensionName, byte) if is_tchar(byte) => At::ExtensionName,
            (At::ExtensionValueFirst | At::ExtensionValue, byte) if is_tchar(byte) => At::ExtensionValue,
            (At::Quoted, b'"') => At::QuotedEnd,
            (At::Quoted, b'\\') => At::QuotedPair,
            (At::Quoted | At::QuotedPair, byte) if is_text(byte) => At::Quoted,
            (At::SizeLineFeed, b'\n') if self.chunk == 0 => At::TrailerFirst,
            (At::SizeLineFeed, b'\n') => {
                self.data = self.data.saturating_add(self.chunk);
                if self.data > BODY_BYTES_MAX {
                    return Err(Refusal::ContentTooLarge);
                }
                At::Data
            }
            (At::DataReturn, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::SizeFirst,
            (At::TrailerFirst, b'\r') => At::LastLineFeed,
            (At::LastLineFeed, b'\n') => At::Done,
            (At::TrailerFirst | At::TrailerName, byte) if is_tchar(byte) => At::TrailerName,
            (At::TrailerName, b':') => At::TrailerValue,
            (At::TrailerValue, b'\r') => At::TrailerLineFeed,
            (At::TrailerValue, byte) if is_text(byte) => At::TrailerValue,
            (At::TrailerLineFeed, b'\n') => At::TrailerFirst,
            _ => return Err(Refusal::BadRequest),
        };
        match self.at {
            At::TrailerName | At::TrailerValue => count(&mut self.trailer, TRAILER_BYTES_MAX, Refusal::HeadTooLarge),
            At::SizeLineFeed
            | At::SizeFirst
            | At::Data
            | At::DataReturn
            | At::DataLineFeed
            | At::TrailerFirst
            | At::TrailerLineFeed
            | At::LastLineFeed
            | At::Done => Ok(()),
            _ => count(&mut self.lines, CHUNK_LINES_BYTES_MAX, Refusal::ContentTooLarge),
        }
    }

    fn size_digit(&mut self, byte: u8) -> Result<(), Refusal> {
        if self.at == At::SizeFirst {
            self.chunk = 0;
        }
        let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
        // Beyond the limit the exact size no longer matters, but a further digit must not wrap around.
        self.chunk =
            self.chunk.checked_mul(16).and_then(|size| size.checked_add(digit)).ok_or(Refusal::ContentTooLarge)?;
        Ok(())
    }
}

/// What a quoted string and a field's value are made of (RFC 9110 5.5).
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

fn count(counter: &mut u64, max: u64, refusal: Refusal) -> Result<(), Refusal> {
    *counter += 1;
    if *counter > max { Err(refusal) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes dropped and whether the body is complete, or the refusal.
    type Outcome = Result<(usize, bool), u16>;

    fn drop_all(framing: Framing, pieces: &[&[u8]]) -> Outcome {
        let mut body = Body::new(framing).unwrap();
        let mut dropped = 0;
        for piece in pieces {
            dropped += body.drop_from(piece).map_err(Refusal::code)?;
        }
        Ok((dropped, body.is_done()))
    }

    #[test]
    fn a_length_is_dropped_and_no_byte_more() {
        assert_eq!(drop_all(Framing::Length(5), &[b"he", b"lloGET"]), Ok((5, true)));
        assert_eq!(drop_all(Framing::Length(5), &[b"hell"]), Ok((4, false)));
        assert_eq!(Body::new(Framing::Empty), None);
    }

    #[test]
    fn chunks_are_dropped_or_refused() {
        // (body, what comes of it)
        let cases: [(&[u8], Outcome); 37] = [
            (b"0\r\n\r\nGET", Ok((5, true))),
            (b"5\r\nhello\r\n0\r\n\r\n", Ok((15, true))),
            (b"A;x=y\r\n0123456789\r\n0\r\n\r\n", Ok((24, true))),
            (b"0\r\nTrailer: x\r\n\r\n", Ok((17, true))),
            (b"5\r\nhel", Ok((6, false))),
            (b"\r\n", Err(400)),                  // no size
            (b"x\r\n", Err(400)),                 // no digit
            (b"-1\r\n", Err(400)),                // a sign
            (b"5\nhello", Err(400)),              // bare line feed
            (b"5\r\nhelloX\r\n", Err(400)),       // longer than it said
            (b"0\r\n\n", Err(400)),               // end without its return
            (b"0\r\n folded\r\n\r\n", Err(400)),  // a folded trailer
            (b"10001\r\n", Err(413)),             // one byte above the limit
            (b"fffffffffffffffff\r\n", Err(413)), // more than 64 bits
            (b"1;a\r\nx\r\n0\r\n\r\n", Ok((13, true))),
            (b"1 ; a = b\t;c\r\nx\r\n0\r\n\r\n", Ok((22, true))),
            (b"1;a=\"x ;\\\"\\y\xe9\";b=1\r\nx\r\n0\r\n\r\n", Ok((28, true))),
            (b"0;a\r\nX-y:\r\nZ: \xe9 \r\n\r\n", Ok((20, true))),
            (b"5 x\r\n", Err(400)),               // junk behind white space, without a semicolon
            (b"5x\r\n", Err(400)),                // the same without white space
            (b"5,5\r\n", Err(400)),               // a list
            (b"5 5\r\n", Err(400)),               // two sizes
            (b"5 \r\n", Err(400)),                // white space that no extension follows
            (b"5\t\r\n", Err(400)),               // the same as a tab
            (b"0x5\r\n", Err(400)),               // a prefix
            (b"5;\r\n", Err(400)),                // an extension without a name
            (b"5;;a\r\n", Err(400)),              // the same before another one
            (b"5;=b\r\n", Err(400)),              // a value without a name
            (b"5;a=\r\n", Err(400)),              // a name without its value
            (b"5;a b\r\n", Err(400)),             // two names
            (b"5;a=b c\r\n", Err(400)),           // two values
            (b"5;a=\"b\r\n", Err(400)),           // a quote that does not end
            (b"5;a=\"b\"c\r\n", Err(400)),        // something behind a quote
            (b"5;a\0\r\n", Err(400)),             // NUL
            (b"0\r\nno colon\r\n\r\n", Err(400)), // a trailer without a colon
            (b"0\r\nX : y\r\n\r\n", Err(400)),    // a space before the colon
            (b"0\r\n: y\r\n\r\n", Err(400)),      // a trailer without a name
        ];
        for (body, expected) in cases {
            assert_eq!(drop_all(Framing::Chunked, &[body]), expected, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn many_chunks_count_together() {
        let chunk = [b"8000\r\n".to_vec(), vec![b'x'; 0x8000], b"\r\n".to_vec()].concat();
        assert_eq!(drop_all(Framing::Chunked, &[&chunk, &chunk, b"0\r\n\r\n"]).map(|(_, done)| done), Ok(true));
        assert_eq!(drop_all(Framing::Chunked, &[&chunk, &chunk, b"1\r\n"]), Err(413));
        assert_eq!(drop_all(Framing::Chunked, &[b"1;", &vec![b'e'; 70_000]]), Err(413));
        assert_eq!(drop_all(Framing::Chunked, &[b"0\r\nT: ", &vec![b'e'; 9_000]]), Err(431));
    }

    proptest! {
        #[test]
        fn a_chunked_body_split_anywhere_ends_alike(body in "[0-9a-f;=\"\\\\\r\n xGT:]{0,40}", at in any::<prop::sample::Index>()) {
            let body = body.as_bytes();
            let at = at.index(body.len() + 1);
            prop_assert_eq!(drop_all(Framing::Chunked, &[body]), drop_all(Framing::Chunked, &[&body[..at], &body[at..]]));
        }
    }
}
