//! httparse as an oracle: another reading of the same RFC, whose differences from ours are known by name.
//!
//! Documented differences. httparse accepts, and we refuse: empty lines before the status line, a bare LF as the
//! end of a line, a folded line of white space alone, codes below 100 and above 599, more than 8 KiB, and everything that is framing. httparse refuses early, in the middle of a line, where we wait for
//! the end of the line. It never refuses a head that we accept.

use flowtest_contract::Token;
use flowtest_contract::header::HEADERS_MAX;
use flowtest_loadgen::engine::http::Malformed;
use flowtest_loadgen::engine::http::careful::Head;
use httparse::Status;

/// Compares the first head of a stream, and words a difference that is not documented.
pub(crate) fn compare_with_httparse(stream: &[u8]) -> Result<(), String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut theirs = httparse::Response::new(&mut headers);
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let parsed = config.parse_response(&mut theirs, stream);
    let mut head = Head::default();
    head.start();
    let mut rest = stream;
    let ours = head.read(&mut rest, &Token([b'0'; 32]));
    let agree = match (ours, parsed) {
        (Ok(true), Ok(Status::Complete(length))) => {
            length == stream.len() - rest.len() && theirs.code == Some(head.facts.status)
        }
        (Ok(true), _) => false,
        (Ok(false), Ok(Status::Partial)) => true,
        // They are early; we hold an unfinished line.
        (Ok(false), Err(_)) => stream.last() != Some(&b'\n'),
        (Ok(false), Ok(Status::Complete(_))) => false,
        (Err(_), Err(_)) => true,
        (Err(Malformed::NotHttp), Ok(_)) => matches!(stream.first(), Some(b'\r' | b'\n')),
        (Err(Malformed::StatusLine | Malformed::BareLf | Malformed::Folded | Malformed::HeadTooLarge), Ok(_)) => true,
        // We are early: they have read an end of the head by bare LF, or wait, before what we refuse.
        (Err(Malformed::BareCr | Malformed::ControlByte(_)), Ok(Status::Partial)) => true,
        (Err(_), Ok(_)) => false,
    };
    if agree { Ok(()) } else { Err(format!("we say {ours:?}, httparse {parsed:?}")) }
}
