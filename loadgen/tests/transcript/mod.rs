//! What a reader makes of a stream that is cut at given places: the common yardstick of corpus, properties and
//! fuzz targets.

use flowtest_contract::Token;
use flowtest_loadgen::http::{End, Malformed, Read, Reader, Response, Shape};

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
