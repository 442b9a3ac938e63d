//! Why bytes are not a response. The text goes to the contestant as evidence: what was wrong, and what is right.

use flowtest_contract::header::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, INTERIM_MAX};
use thiserror::Error;

/// Bytes of chunk extensions in one body. Nobody needs them; an endless one must end.
pub(super) const EXTENSION_BYTES_MAX: usize = 256;

/// The first thing that was wrong, the same however the bytes were cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Malformed {
    #[error(
        "the response does not begin with `HTTP/1.`; answer with HTTP/1.1 or HTTP/1.0, and where the server speaks TLS give an \
         https:// address"
    )]
    NotHttp,
    #[error(
        "the status line is not `HTTP/1.1 <three digits, 100 to 599> <reason>`; the reason may be left out, with its space"
    )]
    StatusLine,
    #[error("a line ends with a line feed alone; end each line with CR LF")]
    BareLf,
    #[error("a carriage return stands inside a line; it may only stand before the line feed")]
    BareCr,
    #[error("a line has the control byte 0x{0:02x}; a header may have tabs and no other control byte")]
    ControlByte(u8),
    #[error(
        "a line of the head begins with a space or tab and goes on with no header; begin each header with its name"
    )]
    Folded,
    #[error("a header line is not `Name: value`; a name has letters, digits and !#$%&'*+-.^_`|~ and ends at its colon")]
    HeaderName,
    #[error("the head is longer than {HEAD_BYTES_MAX} bytes; send fewer or shorter headers")]
    HeadTooLarge,
    #[error("the head has more than {HEADERS_MAX} headers; send fewer")]
    TooManyHeaders,
    #[error("more than {INTERIM_MAX} interim (1xx) responses came before the final one; send fewer")]
    TooManyInterim,
    #[error("the status is 101, but nobody asked to switch protocols; answer with a final status")]
    SwitchingProtocols,
    #[error("Content-Length is not a row of digits; send the body's length in bytes, once")]
    LengthInvalid,
    #[error("Content-Length is there more than once; send it once")]
    LengthRepeated,
    #[error("Transfer-Encoding is not `chunked` alone; send `chunked` or Content-Length")]
    CodingUnknown,
    #[error("Transfer-Encoding is there more than once; send it once")]
    CodingRepeated,
    #[error("Transfer-Encoding and Content-Length are both there; send one of them")]
    LengthAndCoding,
    #[error("Transfer-Encoding is in an HTTP/1.0 response; send Content-Length or answer with HTTP/1.1")]
    CodingInHttp10,
    #[error("the body is longer than {BODY_BYTES_MAX} bytes; send a shorter one")]
    BodyTooLarge,
    #[error("a chunk does not begin with its size in hex digits; end the size with CR LF")]
    ChunkSize,
    #[error("a chunk's extension has a control byte or a quote that does not close; send none")]
    ChunkExtension,
    #[error("the chunks of a body have more than {EXTENSION_BYTES_MAX} bytes of extensions; send none")]
    ChunkExtensionTooLarge,
    #[error("a chunk's data is not followed by CR LF; its size may be wrong")]
    ChunkEnd,
    #[error("the trailer section is longer than {HEAD_BYTES_MAX} bytes; send fewer or shorter trailers")]
    TrailerTooLarge,
    #[error("the trailer section has more than {HEADERS_MAX} lines; send fewer")]
    TooManyTrailers,
}
