//! The careful path: a head, line by line, each byte looked at once however the bytes are cut.
//!
//! A line is read when its line feed is there; until then it waits in a buffer that keeps its memory. What is
//! wrong is found at the same byte and named alike for every cut: an unfinished line is refused as soon as no
//! further byte could make it legal.

use super::bytes::{NAME, first_control, has_control, is_blank, trim};
use super::framing::{Coding, Facts, Length, Protocol, TokenSeen};
use super::malformed::Malformed;
use flowtest_contract::header::{FROM, Flip, HEAD_BYTES_MAX, HEADERS_MAX, TOKEN, VERSION};
use flowtest_contract::{Seen, Token};

const STATUS_LINE_START: &[u8] = b"HTTP/1.";

/// What the lines are, which decides how they are read and which limit they break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    StatusLine,
    Headers,
    /// The same lines behind a chunked body. What they say does not count.
    Trailers,
}

/// A header line, for what a line that is folded into it makes of its value.
#[derive(Clone, Copy, Debug)]
struct Last {
    header: KnownHeader,
    /// There was none of this name before.
    is_first: bool,
    /// It has no value so far.
    is_empty: bool,
}

/// A head (or trailer section) that is being read.
#[derive(Debug)]
pub struct Head {
    pub facts: Facts,
    part: Part,
    /// The header line before, if it is a known one.
    last: Option<Last>,
    /// A line was folded: rare, and not to be learned.
    pub is_folded: bool,
    /// Header lines so far.
    headers: u32,
    /// Bytes so far, those in `line` included.
    taken: u32,
    /// So many bytes of `line` have no control byte.
    checked: u32,
    /// The beginning of a line whose line feed has not come.
    line: Vec<u8>,
}

impl Default for Head {
    fn default() -> Head {
        Head {
            facts: Facts::NONE,
            part: Part::StatusLine,
            last: None,
            is_folded: false,
            headers: 0,
            taken: 0,
            checked: 0,
            line: Vec::new(),
        }
    }
}

impl Head {
    /// Ready for a status line.
    pub fn start(&mut self) {
        self.facts = Facts::NONE;
        self.begin(Part::StatusLine);
    }

    /// Ready for the lines behind the last chunk.
    pub fn start_trailers(&mut self) {
        self.begin(Part::Trailers);
    }

    fn begin(&mut self, part: Part) {
        self.part = part;
        (self.last, self.is_folded) = (None, false);
        self.headers = 0;
        self.taken = 0;
        self.line.clear();
        self.checked = 0;
    }

    /// Takes lines up to the empty one, and says whether it was there; else all of `bytes` was taken.
    pub fn read(&mut self, bytes: &mut &[u8], expected: &Token) -> Result<bool, Malformed> {
        loop {
            let room = HEAD_BYTES_MAX - self.taken as usize;
            let window = &bytes[..bytes.len().min(room)];
            let Some(line_feed) = memchr::memchr(b'\n', window) else {
                self.keep(window)?;
                *bytes = &bytes[window.len()..];
                return if self.taken as usize == HEAD_BYTES_MAX { Err(self.too_large()) } else { Ok(false) };
            };
            let (end, rest) = bytes.split_at(line_feed + 1);
            *bytes = rest;
            self.taken += end.len() as u32;
            let is_last = if self.line.is_empty() {
                self.take_line(end, expected)?
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(end);
                let is_last = self.take_line(&line, expected);
                line.clear();
                self.line = line;
                self.checked = 0;
                is_last?
            };
            if is_last {
                return Ok(true);
            }
            if self.taken as usize == HEAD_BYTES_MAX {
                return Err(self.too_large());
            }
        }
    }

    /// Keeps the beginning of a line, if a legal line can still become of it.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.line.extend_from_slice(bytes);
        self.taken += bytes.len() as u32;
        if self.part == Part::StatusLine && !starts_alike(&self.line) {
            return Err(Malformed::NotHttp);
        }
        // A carriage return at the very end may still be followed by its line feed.
        let text = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if let Some((_, byte)) = first_control(&text[text.len().min(self.checked as usize)..]) {
            return Err(control(byte));
        }
        self.checked = text.len() as u32;
        Ok(())
    }

    /// Reads one whole line, line feed included, and says whether it was the empty one.
    #[inline]
    fn take_line(&mut self, line: &[u8], expected: &Token) -> Result<bool, Malformed> {
        let Some(text) = line.strip_suffix(b"\r\n") else {
            return Err(self.cause(line, Malformed::BareLf));
        };
        match self.part {
            Part::StatusLine => match status_line(text) {
                Some((protocol, status)) => {
                    self.facts.protocol = protocol;
                    self.facts.status = status;
                    self.part = Part::Headers;
                }
                None => return Err(self.cause(line, Malformed::StatusLine)),
            },
            Part::Headers | Part::Trailers => {
                if text.is_empty() {
                    return Ok(true);
                }
                if is_blank(text[0]) {
                    return self.fold(line, trim(text), expected).map(|()| false);
                }
                let Some((name, value)) = field(text) else {
                    return Err(self.cause(line, Malformed::HeaderName));
                };
                self.headers += 1;
                if self.headers as usize > HEADERS_MAX {
                    return Err(self.too_many());
                }
                if self.part == Part::Headers {
                    self.last = known_header(name).map(|header| note(&mut self.facts, header, value, expected));
                }
            }
        }
        Ok(false)
    }

    /// A line that begins with white space goes on with the value of the line before, as behind a space (RFC 9112, 5.2). One of
    /// white space alone might be taken for the empty line: that is not forgiven.
    #[cold]
    fn fold(&mut self, line: &[u8], value: &[u8], expected: &Token) -> Result<(), Malformed> {
        if self.headers == 0 || value.is_empty() || has_control(value) {
            return Err(self.cause(line, Malformed::Folded));
        }
        self.is_folded = true;
        if let Some(last) = &mut self.last {
            go_on(&mut self.facts, last, value, expected);
        }
        Ok(())
    }

    /// Names what is wrong with a line in the control in which its bytes show it.
    #[cold]
    fn cause(&self, line: &[u8], otherwise: Malformed) -> Malformed {
        if self.part == Part::StatusLine && !starts_alike(line) {
            return Malformed::NotHttp;
        }
        let text = &line[..line.len() - 1];
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match first_control(text) {
            Some((_, byte)) => control(byte),
            None => otherwise,
        }
    }

    fn too_large(&self) -> Malformed {
        if self.part == Part::Trailers { Malformed::TrailerTooLarge } else { Malformed::HeadTooLarge }
    }

    fn too_many(&self) -> Malformed {
        if self.part == Part::Trailers { Malformed::TooManyTrailers } else { Malformed::TooManyHeaders }
    }
}

fn control(byte: u8) -> Malformed {
    if byte == b'\r' { Malformed::BareCr } else { Malformed::ControlByte(byte) }
}

/// Whether the beginning of a status line is right so far.
fn starts_alike(line: &[u8]) -> bool {
    let length = line.len().min(STATUS_LINE_START.len());
    line[..length] == STATUS_LINE_START[..length]
}

/// `HTTP/1.x SP 3DIGIT SP reason`, and without a reason also without its space: many servers leave out both, and where the
/// line ends is as clear (RFC 9112, 4 asks for the space).
#[inline]
fn status_line(text: &[u8]) -> Option<(Protocol, u16)> {
    let (version, rest) = text.strip_prefix(STATUS_LINE_START)?.split_first()?;
    let protocol = match version {
        b'0' => Protocol::Http10,
        b'1' => Protocol::Http11,
        _ => return None,
    };
    let ([b' ', digits @ ..], reason) = rest.split_first_chunk::<4>()? else {
        return None;
    };
    if !digits.iter().all(u8::is_ascii_digit) || reason.first().is_some_and(|byte| *byte != b' ') {
        return None;
    }
    let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    ((100..=599).contains(&status) && !has_control(reason)).then_some((protocol, status))
}

/// Splits `Name: value`, the value trimmed. `None` when the name or a byte is illegal.
#[inline]
fn field(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = text.iter().position(|byte| !NAME[usize::from(*byte)])?;
    if colon == 0 || text[colon] != b':' {
        return None;
    }
    let value = &text[colon + 1..];
    (!has_control(value)).then(|| (&text[..colon], trim(value)))
}

/// The headers that mean something to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownHeader {
    Token,
    Version,
    From,
    ContentLength,
    TransferEncoding,
    Connection,
}

/// Which of the known headers a name is, if any.
#[inline]
pub fn known_header(name: &[u8]) -> Option<KnownHeader> {
    let is = |known: &str| name == known.as_bytes() || name.eq_ignore_ascii_case(known.as_bytes());
    match name.len() {
        4 => is(FROM).then_some(KnownHeader::From),
        5 => is(TOKEN).then_some(KnownHeader::Token),
        7 => is(VERSION).then_some(KnownHeader::Version),
        10 => is("Connection").then_some(KnownHeader::Connection),
        14 => is("Content-Length").then_some(KnownHeader::ContentLength),
        17 => is("Transfer-Encoding").then_some(KnownHeader::TransferEncoding),
        _ => None,
    }
}

const _: () = assert!(FROM.len() == 4 && TOKEN.len() == 5 && VERSION.len() == 7);

#[inline]
fn note(facts: &mut Facts, header: KnownHeader, value: &[u8], expected: &Token) -> Last {
    let mut is_empty = value.is_empty();
    let is_first = match header {
        KnownHeader::Token => {
            let is_first = facts.token == TokenSeen::Missing;
            let right = is_first && expected.matches(value);
            facts.token = if right { TokenSeen::Right } else { TokenSeen::Other };
            is_first
        }
        KnownHeader::Version => {
            let before = facts.version;
            facts.version = seen(before, value);
            before == Seen::Missing
        }
        KnownHeader::From => {
            let before = facts.from;
            facts.from = seen(before, value);
            before == Seen::Missing
        }
        KnownHeader::ContentLength => {
            let is_first = facts.length == Length::Missing;
            facts.length = if is_first { length(value) } else { Length::Repeated };
            is_first
        }
        KnownHeader::TransferEncoding => {
            let is_first = facts.coding == Coding::Missing;
            facts.coding = if is_first { coding(value) } else { Coding::Repeated };
            is_empty = elements(value).next().is_none();
            is_first
        }
        KnownHeader::Connection => {
            for option in elements(value) {
                facts.close |= option.eq_ignore_ascii_case(b"close");
                facts.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
            true
        }
    };
    Last { header, is_first, is_empty }
}

/// The value of the header line before goes on. A value that has one already has a space in it now, which none of ours may.
fn go_on(facts: &mut Facts, last: &mut Last, value: &[u8], expected: &Token) {
    let is_list = last.header == KnownHeader::TransferEncoding;
    // The second of its name is as wrong as it was.
    if !last.is_first || is_list && elements(value).next().is_none() {
        return;
    }
    match (last.header, last.is_empty) {
        (KnownHeader::Token, true) if expected.matches(value) => facts.token = TokenSeen::Right,
        (KnownHeader::Token, _) => facts.token = TokenSeen::Other,
        (KnownHeader::Version, true) => facts.version = seen(Seen::Missing, value),
        (KnownHeader::Version, false) => facts.version = Seen::Other,
        (KnownHeader::From, true) => facts.from = seen(Seen::Missing, value),
        (KnownHeader::From, false) => facts.from = Seen::Other,
        (KnownHeader::ContentLength, true) => facts.length = length(value),
        (KnownHeader::ContentLength, false) => facts.length = Length::Invalid,
        (KnownHeader::TransferEncoding, true) => facts.coding = coding(value),
        (KnownHeader::TransferEncoding, false) => facts.coding = Coding::Unknown,
        (KnownHeader::Connection, _) => drop(note(facts, KnownHeader::Connection, value, expected)),
    }
    last.is_empty = false;
}

/// The elements of a list; empty ones are none (RFC 9110, 5.6.1).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

fn coding(value: &[u8]) -> Coding {
    let mut elements = elements(value);
    match (elements.next(), elements.next()) {
        (Some(only), None) if only.eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
        _ => Coding::Unknown,
    }
}

#[inline]
fn seen<T: Flip>(before: Seen<T>, value: &[u8]) -> Seen<T> {
    match (before, T::from_wire(value)) {
        (Seen::Missing, Some(known)) => Seen::Value(known),
        _ => Seen::Other,
    }
}

/// One digit or more and nothing else: no sign, no space, no list.
fn length(value: &[u8]) -> Length {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Length::Invalid;
    }
    Length::Bytes(value.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}
