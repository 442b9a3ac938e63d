//! Responses, built before they are needed.
//!
//! The usual answer is one prebuilt block of bytes, `head | token | rest of head | body`; answering copies it and
//! patches the 32 characters. It is built anew when a value flips, and its Date is patched once a second.

use crate::faults::Fault;
use crate::request::{Persistence, Refusal, Request, Token};
use flowtest_contract::header::{self, Flip, Platform, Version};
use flowtest_contract::token::TOKEN_LEN;
use sailfish::TemplateSimple;
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes of an IMF-fixdate, `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const DATE_LEN: usize = 29;
pub type Date = [u8; DATE_LEN];

/// The header of `--team`: who answers here.
pub use flowtest_contract::header::TEAM;

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
pub const JSON: &str = "application/json";
/// The text format of Prometheus.
pub const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Stands where a prebuilt response gets its token. It never leaves the process: a page with a place for a token
/// is only sent with a token.
const PLACE: [u8; TOKEN_LEN] = [b'0'; TOKEN_LEN];

#[derive(TemplateSimple)]
#[template(path = "page.stpl")]
struct Page<'a> {
    version: &'a str,
    from: &'a str,
}

/// The HTML of every combination of values, rendered once at start.
#[derive(Clone, Debug)]
pub struct Bodies([[String; 2]; 2]);

impl Bodies {
    pub fn render() -> Result<Bodies, sailfish::RenderError> {
        let render =
            |version: Version, from: Platform| Page { version: version.as_str(), from: from.as_str() }.render_once();
        Ok(Bodies([
            [render(Version::V1, Platform::Ec2)?, render(Version::V1, Platform::Ecs)?],
            [render(Version::V2, Platform::Ec2)?, render(Version::V2, Platform::Ecs)?],
        ]))
    }

    fn of(&self, version: Version, from: Platform) -> &str {
        &self.0[usize::from(version == Version::V2)][usize::from(from == Platform::Ecs)]
    }
}

/// One response whose token is still to be filled in.
#[derive(Clone, Debug, Default)]
struct Prebuilt {
    bytes: Vec<u8>,
    head_len: usize,
    date_at: usize,
    token_at: usize,
}

/// All that one worker answers with, as of now.
#[derive(Debug)]
pub struct Pages {
    bodies: Bodies,
    date: Date,
    version: Version,
    from: Platform,
    /// What each answer says in `Team`, if anything.
    team: Option<Arc<str>>,
    /// By persistence, without and with a token.
    prebuilt: [[Prebuilt; 2]; 3],
}

impl Pages {
    pub fn new(bodies: Bodies, date: Date, version: Version, from: Platform, team: Option<Arc<str>>) -> Pages {
        let mut pages = Pages { bodies, date, version, from, team, prebuilt: Default::default() };
        pages.build();
        pages
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn from(&self) -> Platform {
        self.from
    }

    /// Brings date and values up to now. Cheap when nothing changed.
    pub fn refresh(&mut self, date: Date, version: Version, from: Platform) {
        if (version, from) != (self.version, self.from) {
            (self.version, self.from, self.date) = (version, from, date);
            self.build();
        } else if date != self.date {
            self.date = date;
            for prebuilt in self.prebuilt.as_flattened_mut() {
                prebuilt.bytes[prebuilt.date_at..][..DATE_LEN].copy_from_slice(&date);
            }
        }
    }

    /// The page for a request, with its own token or with none.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, request: &Request) {
        let prebuilt = &self.prebuilt[request.persistence as usize][usize::from(request.token.is_some())];
        let bytes = if request.head_only { &prebuilt.bytes[..prebuilt.head_len] } else { &prebuilt.bytes[..] };
        let start = out.len();
        match &request.token {
            None => out.extend_from_slice(bytes),
            Some(Token::Usual(token)) => {
                out.extend_from_slice(bytes);
                out[start + prebuilt.token_at..][..TOKEN_LEN].copy_from_slice(token);
            }
            Some(Token::Other(token)) => {
                out.extend_from_slice(&bytes[..prebuilt.token_at]);
                out.extend_from_slice(token);
                out.extend_from_slice(&bytes[prebuilt.token_at + TOKEN_LEN..]);
            }
        }
    }

    /// A response to a request that something goes wrong with, as far as it is about bytes.
    pub fn write_faulty(&self, out: &mut Vec<u8>, request: &Request, fault: Fault) {
        let mut head = Head {
            code: 200,
            kind: HTML,
            version: Some(self.version),
            from: Some(self.from),
            token: request.token.as_ref().map(|token| Cow::Borrowed(token.as_bytes())),
            team: self.team.as_deref(),
            persistence: request.persistence,
        };
        let mut body = self.bodies.of(self.version, self.from);
        match fault {
            Fault::WrongToken => {
                if let Some(first) = head.token.as_mut().and_then(|token| token.to_mut().first_mut()) {
                    *first = if *first == b'0' { b'1' } else { b'0' };
                }
            }
            Fault::MissingToken => head.token = None,
            Fault::StaleVersion => head.version = Some(other(self.version)),
            Fault::MissingVersion => head.version = None,
            Fault::StaleFrom => head.from = Some(other(self.from)),
            Fault::MissingFrom => head.from = None,
            Fault::Status(code) => {
                (head.code, head.kind, body) = (code, TEXT, "Injected by --faults status.\n");
            }
            // Part of a head: more than a byte, so that the request counts as begun to be answered.
            Fault::Reset | Fault::EndlessHead => {
                out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n");
                return;
            }
            Fault::Garbage => {
                out.extend_from_slice(b"\x16\x03\x01 these bytes are no HTTP, injected by --faults garbage\r\n\r\n");
                return;
            }
            Fault::Silence => return,
            Fault::Delay(_) => {}
        }
        head.write(out, &self.date, body.as_bytes(), request.head_only);
    }

    /// A response that refuses a request, and says why to a person.
    pub fn write_refusal(&self, out: &mut Vec<u8>, refusal: Refusal, persistence: Persistence, head_only: bool) {
        let (code, team) = (refusal.code(), self.team.as_deref());
        let head = Head { code, kind: TEXT, version: None, from: None, token: None, team, persistence };
        head.write(out, &self.date, explanation(refusal).as_bytes(), head_only);
    }

    /// What the server says about itself.
    pub fn write_report(&self, out: &mut Vec<u8>, kind: &'static str, body: &str, request: &Request) {
        let (persistence, team) = (request.persistence, self.team.as_deref());
        let head = Head { code: 200, kind, version: None, from: None, token: None, team, persistence };
        head.write(out, &self.date, body.as_bytes(), request.head_only);
    }

    fn build(&mut self) {
        let body = self.bodies.of(self.version, self.from).as_bytes();
        for persistence in [Persistence::Keep, Persistence::KeepAlive, Persistence::Close] {
            for token in [None, Some(Cow::Borrowed(PLACE.as_slice()))] {
                let (version, from, team) = (Some(self.version), Some(self.from), self.team.as_deref());
                let has_token = token.is_some();
                let head = Head { code: 200, kind: HTML, version, from, token, team, persistence };
                let prebuilt = &mut self.prebuilt[persistence as usize][usize::from(has_token)];
                prebuilt.bytes.clear();
                head.write(&mut prebuilt.bytes, &self.date, body, false);
                prebuilt.head_len = prebuilt.bytes.len() - body.len();
                prebuilt.date_at = place_of(&prebuilt.bytes, b"\r\nDate: ");
                prebuilt.token_at = if has_token { place_of(&prebuilt.bytes, b"\r\nToken: ") } else { 0 };
            }
        }
    }
}

/// Where the value behind a header's name starts.
fn place_of(bytes: &[u8], name: &[u8]) -> usize {
    memchr::memmem::find(bytes, name).map_or(0, |at| at + name.len())
}

fn other<T: Flip>(value: T) -> T {
    if value == T::BEFORE { T::AFTER } else { T::BEFORE }
}

/// A response head, written in one order everywhere.
struct Head<'a> {
    code: u16,
    kind: &'static str,
    version: Option<Version>,
    from: Option<Platform>,
    token: Option<Cow<'a, [u8]>>,
    team: Option<&'a str>,
    persistence: Persistence,
}

impl Head<'_> {
    fn write(&self, out: &mut Vec<u8>, date: &Date, body: &[u8], head_only: bool) {
        let line = |out: &mut Vec<u8>, name: &str, value: &[u8]| {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        };
        out.extend_from_slice(format!("HTTP/1.1 {} {}\r\n", self.code, reason(self.code)).as_bytes());
        line(out, "Date", date);
        line(out, "Content-Type", self.kind.as_bytes());
        line(out, "Content-Length", body.len().to_string().as_bytes());
        if let Some(version) = self.version {
            line(out, header::VERSION, version.as_str().as_bytes());
        }
        if let Some(from) = self.from {
            line(out, header::FROM, from.as_str().as_bytes());
        }
        if let Some(token) = &self.token {
            line(out, header::TOKEN, token);
        }
        if let Some(team) = self.team {
            line(out, TEAM, team.as_bytes());
        }
        if self.code == Refusal::MethodNotAllowed.code() {
            line(out, "Allow", b"GET, HEAD, POST");
        }
        match self.persistence {
            Persistence::Keep => {}
            Persistence::KeepAlive => line(out, "Connection", b"keep-alive"),
            Persistence::Close => line(out, "Connection", b"close"),
        }
        out.extend_from_slice(b"\r\n");
        if !head_only {
            out.extend_from_slice(body);
        }
    }
}

fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Injected",
    }
}

fn explanation(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::BadRequest => {
            "Not a request by RFC 9112, or a Token header that is not 1 to 128 visible characters, once.\n"
        }
        Refusal::MethodNotAllowed => "Send GET, HEAD or POST.\n",
        Refusal::RequestTimeout => "The request was not complete in time.\n",
        Refusal::ContentTooLarge => "The body is above 64 KiB.\n",
        Refusal::ExpectationFailed => "The only known expectation is 100-continue.\n",
        Refusal::HeadTooLarge => "The head is above 8 KiB or 64 header lines.\n",
        Refusal::NotImplemented => {
            "The known methods are GET, HEAD and POST, and the only known transfer coding is chunked.\n"
        }
        Refusal::OverCapacity => "More requests than --capacity allows, and the queue is full.\n",
        Refusal::VersionNotSupported => "Speak HTTP/1.1 or HTTP/1.0.\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Answer, Framing};

    const DATE: Date = *b"Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: Date = *b"Sun, 06 Nov 1994 08:49:38 GMT";
    const TOKEN: [u8; TOKEN_LEN] = *b"0123456789abcdef0123456789abcdef";

    fn pages() -> Pages {
        Pages::new(Bodies::render().unwrap(), DATE, Version::V1, Platform::Ec2, None)
    }

    fn request(token: Option<[u8; TOKEN_LEN]>, persistence: Persistence, head_only: bool) -> Request {
        let (framing, token) = (Framing::Empty, token.map(Token::Usual));
        Request { answer: Answer::Page, token, head_only, persistence, framing, waits_for_continue: false }
    }

    fn text(pages: &Pages, request: &Request) -> String {
        let mut out = Vec::new();
        pages.write(&mut out, request);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_page_says_all_that_the_contract_asks_for() {
        let text = text(&pages(), &request(Some(TOKEN), Persistence::Keep, false));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let expected = format!(
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\nVersion: v1\r\nFrom: EC2\r\nToken: 0123456789abcdef0123456789abcdef",
            body.len()
        );
        assert_eq!(head, expected);
        assert!(body.contains("version v1, on EC2"), "{body}");
    }

    #[test]
    fn a_token_of_any_length_stands_in_the_same_place() {
        let pages = pages();
        let usual = request(Some(TOKEN), Persistence::Close, false);
        for other in ["1", "f47ac10b-58cc-4372-a567-0e02b2c3d479", &"x".repeat(128)] {
            for head_only in [false, true] {
                let expected = text(&pages, &Request { head_only, ..usual.clone() })
                    .replace("0123456789abcdef0123456789abcdef", other);
                let token = Token::read(other.as_bytes());
                assert_eq!(text(&pages, &Request { token, head_only, ..usual.clone() }), expected);
            }
        }
    }

    #[test]
    fn a_team_stands_in_every_answer_and_moves_nothing_else() {
        // A name that looks like what the places are found by.
        let team = Some(Arc::from("Token: Date: x"));
        let pages = Pages::new(Bodies::render().unwrap(), DATE, Version::V1, Platform::Ec2, team);
        let get = request(Some(TOKEN), Persistence::Keep, false);
        let said = text(&pages, &get);
        assert_eq!(said.replace("Team: Token: Date: x\r\n", ""), text(&self::pages(), &get));
        let mut others = vec![Vec::new(), Vec::new(), Vec::new()];
        pages.write_refusal(&mut others[0], Refusal::BadRequest, Persistence::Close, false);
        pages.write_report(&mut others[1], JSON, "{}", &get);
        pages.write_faulty(&mut others[2], &get, Fault::WrongToken);
        for other in [said.into_bytes()].iter().chain(&others) {
            assert_eq!(memchr::memmem::find_iter(other, "\r\nTeam: Token: Date: x\r\n").count(), 1);
        }
    }

    #[test]
    fn without_a_token_there_is_no_token_and_the_place_never_shows() {
        for persistence in [Persistence::Keep, Persistence::KeepAlive, Persistence::Close] {
            let text = text(&pages(), &request(None, persistence, false));
            assert!(!text.contains("Token") && !text.contains("0000"), "{text}");
        }
    }

    #[test]
    fn head_is_the_same_head_without_the_body() {
        let (pages, get) = (pages(), request(Some(TOKEN), Persistence::Close, false));
        let head = text(&pages, &Request { head_only: true, ..get.clone() });
        assert!(head.ends_with("Connection: close\r\n\r\n"));
        assert!(text(&pages, &get).starts_with(&head));
    }

    #[test]
    fn refreshing_patches_the_date_and_flips_the_values() {
        let mut pages = pages();
        let get = request(Some(TOKEN), Persistence::Keep, false);
        let before = text(&pages, &get);
        pages.refresh(LATER, Version::V1, Platform::Ec2);
        assert_eq!(text(&pages, &get), before.replace("08:49:37", "08:49:38"));
        pages.refresh(LATER, Version::V2, Platform::Ecs);
        assert_eq!(
            text(&pages, &get),
            before.replace("08:49:37", "08:49:38").replace("v1", "v2").replace("EC2", "ECS")
        );
    }

    #[test]
    fn each_fault_changes_only_what_it_names() {
        let pages = pages();
        let get = request(Some(TOKEN), Persistence::Keep, false);
        let right = text(&pages, &get);
        let faulty = |fault| {
            let mut out = Vec::new();
            pages.write_faulty(&mut out, &get, fault);
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(faulty(Fault::WrongToken), right.replace("Token: 0", "Token: 1"));
        assert_eq!(faulty(Fault::MissingToken), right.replace("Token: 0123456789abcdef0123456789abcdef\r\n", ""));
        assert_eq!(faulty(Fault::StaleVersion), right.replace("Version: v1", "Version: v2"));
        assert_eq!(faulty(Fault::MissingVersion), right.replace("Version: v1\r\n", ""));
        assert_eq!(faulty(Fault::StaleFrom), right.replace("From: EC2", "From: ECS"));
        assert_eq!(faulty(Fault::MissingFrom), right.replace("From: EC2\r\n", ""));
        assert!(faulty(Fault::Status(503)).starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(faulty(Fault::Status(503)).contains("Token: 0123456789abcdef0123456789abcdef\r\n"));
        assert!(!faulty(Fault::Reset).contains("\r\n\r\n") && !faulty(Fault::Garbage).starts_with("HTTP"));
    }
}
