//! Where a body ends: after a length, after the last chunk, or with the stream. Nothing of a body is kept.

use super::bytes::is_control;
use super::careful::Head;
use super::framing::BodyKind;
use super::malformed::{EXTENSION_BYTES_MAX, Malformed};
use flowtest_contract::Token;
use flowtest_contract::header::BODY_BYTES_MAX;

/// Hex digits of a chunk's size, leading zeros included: as many as 64 bits have.
const SIZE_DIGITS_MAX: u8 = 16;

/// A body that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes are still to come.
    Length(u32),
    Chunked(Chunked),
    /// So many bytes came; the end of the stream is the end of the body.
    UntilClose {
        taken: u32,
    },
}

/// A chunked body (RFC 9112, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunked {
    at: At,
    /// Bytes of data that the chunks so far announced.
    announced: u32,
    /// Bytes of extensions so far.
    extension: u16,
}

/// Where in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the bytes around the data, which are looked at one by one.
    Frame(Frame),
    Data {
        left: u32,
    },
    Trailers,
}

/// What the next byte of the framing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Size {
        digits: u8,
        size: u32,
    },
    /// White space between the size and the semicolon of an extension.
    Blank {
        size: u32,
    },
    Extension {
        quote: Quote,
        size: u32,
    },
    SizeLineFeed {
        size: u32,
    },
    DataCarriageReturn,
    DataLineFeed,
}

/// Where in a quoted string of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quote {
    Outside,
    Inside,
    AfterBackslash,
}

impl Body {
    pub fn new(kind: BodyKind) -> Body {
        match kind {
            BodyKind::Length(left) => Body::Length(left),
            BodyKind::Chunked => Body::Chunked(Chunked::START),
            BodyKind::UntilClose => Body::UntilClose { taken: 0 },
        }
    }

    /// Takes bytes of the body, and says whether it is complete; else all of `bytes` was taken. `head` lends its
    /// line buffer to trailers.
    pub fn read(&mut self, bytes: &mut &[u8], head: &mut Head, expected: &Token) -> Result<bool, Malformed> {
        match self {
            Body::Length(left) => {
                *left = skip(bytes, *left);
                Ok(*left == 0)
            }
            Body::Chunked(chunked) => chunked.read(bytes, head, expected),
            Body::UntilClose { taken } => {
                if bytes.len() > BODY_BYTES_MAX - *taken as usize {
                    return Err(Malformed::BodyTooLarge);
                }
                *taken += bytes.len() as u32;
                *bytes = &[];
                Ok(false)
            }
        }
    }
}

/// Drops up to `count` bytes and returns how many are missing.
fn skip(bytes: &mut &[u8], count: u32) -> u32 {
    let taken = bytes.len().min(count as usize);
    *bytes = &bytes[taken..];
    count - taken as u32
}

impl Chunked {
    const START: Chunked = Chunked { at: At::Frame(Frame::Size { digits: 0, size: 0 }), announced: 0, extension: 0 };

    fn read(&mut self, bytes: &mut &[u8], head: &mut Head, expected: &Token) -> Result<bool, Malformed> {
        loop {
            match &mut self.at {
                At::Frame(frame) => {
                    let frame = *frame;
                    let Some((byte, rest)) = bytes.split_first() else {
                        return Ok(false);
                    };
                    *bytes = rest;
                    self.at = self.after(frame, *byte)?;
                    if self.at == At::Trailers {
                        head.start_trailers();
                    }
                }
                At::Data { left } => {
                    *left = skip(bytes, *left);
                    if *left > 0 {
                        return Ok(false);
                    }
                    self.at = At::Frame(Frame::DataCarriageReturn);
                }
                At::Trailers => return head.read(bytes, expected),
            }
        }
    }

    /// What follows one byte of the framing.
    fn after(&mut self, frame: Frame, byte: u8) -> Result<At, Malformed> {
        match frame {
            Frame::Size { digits, size } => match (byte, char::from(byte).to_digit(16)) {
                (_, Some(digit)) => self.digit(digits + 1, size, digit),
                (b'\r', _) if digits > 0 => Ok(At::Frame(Frame::SizeLineFeed { size })),
                (b';', _) if digits > 0 => self.extension(Quote::Outside, size),
                (b' ' | b'\t', _) if digits > 0 => self.blank(size),
                _ => Err(Malformed::ChunkSize),
            },
            Frame::Blank { size } => match byte {
                b';' => self.extension(Quote::Outside, size),
                b' ' | b'\t' => self.blank(size),
                _ => Err(Malformed::ChunkSize),
            },
            Frame::Extension { quote, size } => match (quote, byte) {
                (Quote::Outside, b'\r') => Ok(At::Frame(Frame::SizeLineFeed { size })),
                (_, byte) if is_control(byte) => Err(Malformed::ChunkExtension),
                (Quote::Outside, b'"') => self.extension(Quote::Inside, size),
                (Quote::Outside, _) => self.extension(Quote::Outside, size),
                (Quote::Inside, b'"') => self.extension(Quote::Outside, size),
                (Quote::Inside, b'\\') => self.extension(Quote::AfterBackslash, size),
                (Quote::Inside | Quote::AfterBackslash, _) => self.extension(Quote::Inside, size),
            },
            Frame::SizeLineFeed { size } => match (byte, size) {
                (b'\n', 0) => Ok(At::Trailers),
                (b'\n', left) => {
                    self.announced += left;
                    Ok(At::Data { left })
                }
                _ => Err(Malformed::ChunkSize),
            },
            Frame::DataCarriageReturn if byte == b'\r' => Ok(At::Frame(Frame::DataLineFeed)),
            Frame::DataLineFeed if byte == b'\n' => Ok(Chunked::START.at),
            Frame::DataCarriageReturn | Frame::DataLineFeed => Err(Malformed::ChunkEnd),
        }
    }

    /// Adds a digit to a chunk's size, which may not exceed what the body has left.
    fn digit(&self, digits: u8, size: u32, digit: u32) -> Result<At, Malformed> {
        let room = BODY_BYTES_MAX as u32 - self.announced;
        match size.checked_mul(16).and_then(|size| size.checked_add(digit)) {
            _ if digits > SIZE_DIGITS_MAX => Err(Malformed::ChunkSize),
            Some(size) if size <= room => Ok(At::Frame(Frame::Size { digits, size })),
            _ => Err(Malformed::BodyTooLarge),
        }
    }

    fn extension(&mut self, quote: Quote, size: u32) -> Result<At, Malformed> {
        self.count_extension()?;
        Ok(At::Frame(Frame::Extension { quote, size }))
    }

    fn blank(&mut self, size: u32) -> Result<At, Malformed> {
        self.count_extension()?;
        Ok(At::Frame(Frame::Blank { size }))
    }

    fn count_extension(&mut self) -> Result<(), Malformed> {
        self.extension += 1;
        if usize::from(self.extension) > EXTENSION_BYTES_MAX {
            return Err(Malformed::ChunkExtensionTooLarge);
        }
        Ok(())
    }
}
