//! HTTP/1.1 as the load generator speaks it: prebuilt requests out, responses in, no I/O and no allocation.
//!
//! | module | noun |
//! |---|---|
//! | [`request`] | the bytes of a request, in which only the token changes |
//! | [`reader`] | one connection's responses, however the bytes are cut |
//! | [`shape`] | the fast path: what this contestant's last response looked like |
//! | [`careful`] | the careful path: a head, line by line, each byte looked at |
//! | [`framing`] | what a head says about its body and the connection, decided in one place |
//! | [`body`] | where a body ends: length, chunks or the end of the stream |
//! | [`malformed`] | why bytes are not a response |
//!
//! Strict where RFC 9112 leaves a choice: a line ends with CR LF, lengths are digits, and two opinions on a body's length are
//! one too many. Lenient where that cannot move the end of a message: a status line without a reason, folded headers, empty
//! elements of lists. The contestant's contract says so.

pub mod body;
mod bytes;
pub mod careful;
pub mod framing;
pub mod malformed;
pub mod reader;
pub mod request;
pub mod shape;

pub use framing::Response;
pub use malformed::Malformed;
pub use reader::{End, Read, Reader};
pub use request::RequestTemplate;
pub use shape::Shape;
