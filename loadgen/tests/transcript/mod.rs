//! What a reader makes of a stream that is cut at given places: the common yardstick of corpus, properties and
//! fuzz targets.

use flowtest_contract::token::TOKEN_LEN;
use flowtest_contract::{Token, TokenMint};
use flowtest_loadgen::engine::http::{End, Malformed, Read, Reader, Response, Shape};

/// How the peer leaves the stream behind its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eof {
    Fin,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Response(Response),
    /// Bytes behind the last response that was asked for, or behind one that does not keep the connection.
    Unsolicited,
    Malformed(Malformed),
    End(End),
    /// The peer is silent and the stream open.
    Silent {
        between: bool,
    },
}

/// Reads one stream in pieces, as the answers to requests with these tokens.
pub(crate) fn transcript<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    eof: Eof,
    tokens: &[Token],
    reader: &mut Reader,
    shape: &mut Shape,
) -> Vec<Event> {
    reader.reset();
    let mut events = Vec::new();
    let mut tokens = tokens.iter();
    let mut asked = tokens.next();
    for mut bytes in pieces {
        while !bytes.is_empty() {
            let Some(token) = asked else {
                events.push(Event::Unsolicited);
                return events;
            };
            let before = bytes.len();
            match reader.read(&mut bytes, token, shape) {
                Read::Partial => {
                    assert!(bytes.is_empty(), "`Partial` leaves no byte");
                    assert!(!reader.is_between_responses(), "`Partial` is within a response");
                }
                Read::Response(response) => {
                    assert!(bytes.len() <= before);
                    assert!(reader.is_between_responses(), "a response is over");
                    events.push(Event::Response(response));
                    asked = if response.keep_alive { tokens.next() } else { None };
                }
                Read::Malformed(malformed) => {
                    let mut more: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    let again = reader.read(&mut more, token, shape);
                    assert_eq!(again, Read::Malformed(malformed), "a broken stream stays broken");
                    assert_eq!(reader.on_end(), End::Incomplete);
                    events.push(Event::Malformed(malformed));
                    return events;
                }
            }
        }
    }
    events.push(match eof {
        Eof::Fin => Event::End(reader.on_end()),
        Eof::None => Event::Silent { between: reader.is_between_responses() },
    });
    events
}

/// The careful path alone: a byte at a time, a head is never whole and never compared with a shape.
pub(crate) fn carefully(stream: &[u8], eof: Eof, tokens: &[Token]) -> Vec<Event> {
    let mut shape = Shape::new();
    let events = transcript(stream.chunks(1), eof, tokens, &mut Reader::new(), &mut shape);
    assert_eq!(shape.fast, 0, "byte by byte there is nothing to compare");
    events
}

/// The whole stream at once.
pub(crate) fn at_once(stream: &[u8], eof: Eof, tokens: &[Token], reader: &mut Reader, shape: &mut Shape) -> Vec<Event> {
    transcript([stream], eof, tokens, reader, shape)
}

/// Bytes of an input of [`agree`] before its stream.
pub(crate) const CONTROLS: usize = 4;

/// Fast path, careful path and a cut stream say the same of any bytes, whatever was learned before.
///
/// The input: [`CONTROLS`] bytes, which say what is learned, changed and cut, then the stream. Runs of 32 zeros in
/// it become tokens of the requests, so that right ones are found.
pub(crate) fn agree(input: &[u8]) {
    let Some((&[flags, one, two, byte], stream)) = input.split_first_chunk::<CONTROLS>() else {
        return;
    };
    let mint = TokenMint::new([1; 16], 0);
    let tokens: Vec<Token> = (0..6).map(|counter| mint.token(0, counter)).collect();
    let (asked, former) = tokens.split_at(3);
    let eof = if flags & 1 == 0 { Eof::None } else { Eof::Fin };

    let (mut reader, mut shape) = (Reader::new(), Shape::new());
    let earlier = with_tokens(stream, former);
    for _ in 0..flags >> 1 & 3 {
        at_once(&earlier, eof, former, &mut reader, &mut shape);
    }
    // One byte differs from what was learned, so that the fast path is tempted.
    let mut stream = with_tokens(stream, asked);
    if flags & 8 != 0
        && let Some(place) = stream.get_mut(usize::from(one) << 8 | usize::from(two))
    {
        *place = byte;
    }

    let expected = carefully(&stream, eof, asked);
    assert_eq!(at_once(&stream, eof, asked, &mut reader, &mut shape), expected, "at once");
    let (first, rest) = stream.split_at(usize::from(one).min(stream.len()));
    let (second, third) = rest.split_at(usize::from(two).min(rest.len()));
    assert_eq!(transcript([first, second, third], eof, asked, &mut reader, &mut shape), expected, "in three pieces");
    assert_eq!(at_once(&stream, eof, asked, &mut reader, &mut shape), expected, "learned");
}

/// The stream with its runs of 32 zeros replaced, first come, first served.
fn with_tokens(stream: &[u8], tokens: &[Token]) -> Vec<u8> {
    let mut bytes = stream.to_vec();
    let mut from = 0;
    for token in tokens {
        let zeros = [b'0'; TOKEN_LEN];
        let Some(found) = bytes[from..].windows(TOKEN_LEN).position(|window| window == zeros) else { break };
        from += found + TOKEN_LEN;
        bytes[from - TOKEN_LEN..from].copy_from_slice(&token.0);
    }
    bytes
}
