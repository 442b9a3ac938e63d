//! The fast path: what this contestant's last responses looked like.
//!
//! A response whose head has the same bytes as one that the careful path accepted says the same, so it is enough
//! to compare. Three kinds of bytes are told apart: the token's value, which is compared with the one expected;
//! values of headers that we do not heed and that were seen to change (a request id, Date at low rates), which
//! must only be free of control bytes; and everything else, which must be equal. So the fast path never accepts
//! what the careful one rejects, and never says anything else about it.

use super::bytes::has_control;
use super::careful::{KnownHeader, known_header};
use super::framing::{BodyKind, Response};
use flowtest_contract::Token;
use flowtest_contract::token::TOKEN_LEN;

/// A value that changes again within so many responses is left out of the comparison. One that changes rarely,
/// such as Date at a high rate, stays in it: learning it anew once a second is cheaper than a hole in the bytes.
const OFTEN: u64 = 64;

/// What the responses of one contestant look like; shared by all of its connections in a worker.
#[derive(Debug, Default)]
pub struct Shape {
    /// Responses whose head was known.
    pub fast: u64,
    /// Responses that went through the careful path.
    pub slow: u64,
    newest: Form,
    /// The one before, because contestants stand behind balancers and hosts differ.
    former: Form,
    /// Lines of the head that is being learned; kept for its memory.
    lines: Vec<Line>,
}

/// One head that was accepted.
#[derive(Debug)]
struct Form {
    head: Vec<u8>,
    lines: Vec<Line>,
    /// Parts of the head that must be equal, in order: few and long.
    equal: Vec<Span>,
    /// Parts of the head that may be anything but control bytes.
    free: Vec<Span>,
    /// Where the token's value begins, if there is one Token header with a value of a token's length.
    token_at: Option<usize>,
    /// Bytes of head and body together; a number that no slice reaches while there is no head, and when the
    /// body's end is not told by a length.
    total: usize,
    body: BodyKind,
    /// All but `token_right`.
    response: Response,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    #[inline]
    fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start..self.end]
    }
}

/// One header line of a form.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: usize,
    /// The value, without white space around it.
    value: Span,
    header: Option<KnownHeader>,
    /// The response, counted by the shape, at which the value changed last.
    changed_at: Option<u64>,
    is_free: bool,
}

const NEVER: usize = usize::MAX;

impl Default for Form {
    fn default() -> Form {
        Form {
            head: Vec::new(),
            lines: Vec::new(),
            equal: Vec::new(),
            free: Vec::new(),
            token_at: None,
            total: NEVER,
            body: BodyKind::UntilClose,
            response: Response::NONE,
        }
    }
}

impl Shape {
    pub fn new() -> Shape {
        Shape::default()
    }

    /// Takes a whole response that looks like the last one.
    #[inline]
    pub(super) fn take_response(&mut self, bytes: &mut &[u8], expected: &Token) -> Option<Response> {
        let (message, rest) = bytes.split_at_checked(self.newest.total)?;
        let response = self.newest.accept(message, expected)?;
        *bytes = rest;
        self.fast += 1;
        Some(response)
    }

    /// Takes a head that looks like one of the last ones. The body may be of any kind and not be there yet.
    pub(super) fn take_head(&mut self, bytes: &mut &[u8], expected: &Token) -> Option<(Response, BodyKind)> {
        let response = match self.newest.accept(bytes, expected) {
            Some(response) => response,
            None => {
                let response = self.former.accept(bytes, expected)?;
                std::mem::swap(&mut self.newest, &mut self.former);
                response
            }
        };
        *bytes = &bytes[self.newest.head.len()..];
        self.fast += 1;
        Some((response, self.newest.body))
    }

    /// Learns a head that the careful path accepted.
    pub(super) fn learn(&mut self, head: &[u8], response: Response, body: BodyKind) {
        split_lines(head, &mut self.lines);
        if !self.newest.is_alike(head, &self.lines) {
            std::mem::swap(&mut self.newest, &mut self.former);
            if !self.newest.is_alike(head, &self.lines) {
                std::mem::swap(&mut self.newest.lines, &mut self.lines);
                self.newest.head.clear();
            }
        }
        self.newest.renew(head, response, body, self.fast + self.slow);
    }
}

impl Form {
    /// What the careful path would say of `message`, if it begins with this form's head.
    #[inline]
    fn accept(&self, message: &[u8], expected: &Token) -> Option<Response> {
        let head = &self.head[..];
        let message = message.get(..head.len())?;
        if self.equal.iter().any(|span| span.of(message) != span.of(head)) {
            return None;
        }
        if self.free.iter().any(|span| has_control(span.of(message))) {
            return None;
        }
        let mut response = self.response;
        if let Some(token_at) = self.token_at {
            let value = &message[token_at..token_at + TOKEN_LEN];
            response.observed.token_right = expected.matches(value);
            if !response.observed.token_right && has_control(value) {
                return None;
            }
        }
        (!head.is_empty()).then_some(response)
    }

    /// Whether a head has the same headers, with values of the same lengths.
    fn is_alike(&self, head: &[u8], lines: &[Line]) -> bool {
        self.head.len() == head.len()
            && self.lines.len() == lines.len()
            && self.lines.iter().zip(lines).all(|(ours, theirs)| {
                let name = Span { start: ours.start, end: ours.value.start };
                ours.start == theirs.start && ours.value == theirs.value && name.of(&self.head) == name.of(head)
            })
    }

    /// Takes over the bytes of a head that is alike, or of the first with these lines.
    fn renew(&mut self, head: &[u8], response: Response, body: BodyKind, now: u64) {
        for line in self.lines.iter_mut().filter(|line| line.header.is_none() && !self.head.is_empty()) {
            if line.value.of(&self.head) != line.value.of(head) {
                line.is_free |= line.changed_at.is_some_and(|before| now - before < OFTEN);
                line.changed_at = Some(now);
            }
        }
        self.head.clear();
        self.head.extend_from_slice(head);
        self.response = response;
        self.response.observed.token_right = false;
        self.body = body;
        self.total = match body {
            BodyKind::Length(length) => head.len() + length as usize,
            BodyKind::Chunked | BodyKind::UntilClose => NEVER,
        };
        self.cut();
    }

    /// Cuts the head into what must be equal and what need not.
    fn cut(&mut self) {
        let mut tokens = self.lines.iter().filter(|line| line.header == Some(KnownHeader::Token));
        self.token_at = match (tokens.next(), tokens.next()) {
            (Some(line), None) if line.value.end - line.value.start == TOKEN_LEN => Some(line.value.start),
            _ => None,
        };
        self.equal.clear();
        self.free.clear();
        let mut start = 0;
        for line in &self.lines {
            let is_token = Some(line.value.start) == self.token_at;
            if line.is_free {
                self.free.push(line.value);
            }
            if line.is_free || is_token {
                self.equal.push(Span { start, end: line.value.start });
                start = line.value.end;
            }
        }
        self.equal.push(Span { start, end: self.head.len() });
    }
}

/// The header lines of a head that is known to be legal.
fn split_lines(head: &[u8], lines: &mut Vec<Line>) {
    lines.clear();
    let mut start = 0;
    for line_feed in memchr::memchr_iter(b'\n', head) {
        let text = &head[start..line_feed - 1];
        // The status line has no name; a colon in its reason is none.
        if start > 0
            && let Some(colon) = memchr::memchr(b':', text)
        {
            let raw = &text[colon + 1..];
            let value = super::bytes::trim(raw);
            let blanks = raw.len() - super::bytes::trim_start(raw).len();
            let value_start = start + colon + 1 + blanks;
            lines.push(Line {
                start,
                value: Span { start: value_start, end: value_start + value.len() },
                header: known_header(&text[..colon]),
                changed_at: None,
                is_free: false,
            });
        }
        start = line_feed + 1;
    }
}
