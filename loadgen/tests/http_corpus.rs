//! The table of hostile and legal responses, each read whole, byte by byte and cut at every place, without a
//! shape and with shapes that were learned from this and from other responses.

mod oracle;
mod transcript;

use flowtest_contract::rules::{Deadlines, UtcUs};
use flowtest_contract::{Rules, Token, judge};
use flowtest_loadgen::engine::http::{End, Reader, Shape};
use serde::Deserialize;
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use transcript::{CONTROLS, Eof, Event, agree, at_once, carefully, transcript};

const TOKEN: Token = Token(*b"0123456789abcdef0123456789abcdef");
const OTHER: Token = Token(*b"fedcba9876543210fedcba9876543210");

/// Streams longer than this are cut at some places, not at each.
const EVERY_CUT_MAX: usize = 2048;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    rfc: String,
    wire: String,
    eof: String,
    outcome: String,
    conn: String,
    cause: Option<String>,
    wrong: Option<String>,
}

fn corpus() -> Vec<Case> {
    toml::from_str::<Corpus>(include_str!("corpus/responses.toml")).expect("the corpus is TOML").case
}

impl Case {
    fn eof(&self) -> Eof {
        match self.eof.as_str() {
            "fin" => Eof::Fin,
            "none" => Eof::None,
            other => panic!("{}: eof is fin or none, not {other}", self.id),
        }
    }

    /// What the table says, in the words of `words`.
    fn expected(&self) -> String {
        let detail = match (&self.cause, &self.wrong) {
            (Some(detail), None) | (None, Some(detail)) => format!(" {detail}"),
            (None, None) => String::new(),
            (Some(_), Some(_)) => panic!("{}: malformed or fail, not both", self.id),
        };
        format!("{}{detail}, {}", self.outcome, self.conn)
    }
}

/// The bytes that a `wire` stands for, in answer to a request with this token.
fn bytes_of(wire: &str, token: &Token, other: &Token) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = wire;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '\\' => {
                let escape = rest.chars().next().expect("something behind a backslash");
                rest = &rest[1..];
                match escape {
                    'r' => bytes.push(b'\r'),
                    'n' => bytes.push(b'\n'),
                    't' => bytes.push(b'\t'),
                    '\\' => bytes.push(b'\\'),
                    'x' => {
                        bytes.push(u8::from_str_radix(&rest[..2], 16).expect("two hex digits"));
                        rest = &rest[2..];
                    }
                    other => panic!("no such escape: \\{other}"),
                }
            }
            '{' => {
                let end = closing(rest);
                let inside = &rest[..end];
                rest = &rest[end + 1..];
                match (inside, inside.rsplit_once('*')) {
                    ("T", _) => bytes.extend_from_slice(&token.0),
                    ("U", _) => bytes.extend_from_slice(&other.0),
                    ("H", _) => {
                        bytes.extend(bytes_of("Token: {T}\\r\\nVersion: v2\\r\\nFrom: ECS\\r\\n", token, other));
                    }
                    ("R", _) => {
                        let wire = "HTTP/1.1 200 OK\\r\\n{H}Content-Length: 2\\r\\n\\r\\nok";
                        bytes.extend(bytes_of(wire, token, other));
                    }
                    (_, Some((text, count))) => {
                        let count = count.parse().expect("a count behind the star");
                        bytes.extend(bytes_of(text, token, other).repeat(count));
                    }
                    (unknown, None) => panic!("no such abbreviation: {{{unknown}}}"),
                }
            }
            plain => bytes.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Where the brace closes whose opening one was just read.
fn closing(text: &str) -> usize {
    let mut depth = 1;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index;
        }
    }
    panic!("a brace does not close: {text}");
}

/// Events in the words of the table.
fn words(events: &[Event]) -> String {
    let (rules, deadlines) = (Rules::default(), Deadlines::default());
    match events {
        [Event::Response(_), Event::Unsolicited] => "unsolicited, close".to_owned(),
        [Event::Response(response), ..] | [Event::End(End::Response(response))] => {
            let verdict = judge(response.observed, &rules, &deadlines, UtcUs(1));
            let wrong: Vec<&str> = [("token", verdict.token), ("version", verdict.version), ("from", verdict.from)]
                .into_iter()
                .filter_map(|(name, right)| (!right).then_some(name))
                .collect();
            let conn = if response.keep_alive { "keep" } else { "close" };
            match response.status {
                200..=299 if wrong.is_empty() => format!("ok, {conn}"),
                200..=299 => format!("fail {}, {conn}", wrong.join(" ")),
                _ => format!("status, {conn}"),
            }
        }
        [Event::Malformed(cause)] => format!("malformed {cause:?}, close"),
        [Event::End(End::Incomplete)] => "incomplete, close".to_owned(),
        [Event::End(End::Nothing)] => "nothing, close".to_owned(),
        [Event::Silent { .. }] => "waiting, close".to_owned(),
        other => panic!("no words for {other:?}"),
    }
}

/// Shapes as they are after this case, after a plain response, and after others.
fn shapes(case: &Case) -> Vec<(&'static str, Shape)> {
    let wires = [("of the same", case.wire.as_str()), ("of a plain one", "{R}")];
    let mut shapes = vec![("none", Shape::new())];
    for (name, wire) in wires {
        let mut shape = Shape::new();
        for token in [OTHER, TOKEN, OTHER] {
            let earlier = bytes_of(wire, &token, &Token([b'5'; 32]));
            at_once(&earlier, case.eof(), &[token], &mut Reader::new(), &mut shape);
        }
        shapes.push((name, shape));
    }
    shapes
}

#[test]
fn the_corpus_is_large_and_its_names_are_unique() {
    let cases = corpus();
    assert!(cases.len() >= 250, "{} cases", cases.len());
    let names: HashSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(names.len(), cases.len());
    assert!(cases.iter().all(|case| !case.rfc.is_empty()));
}

#[test]
fn each_response_has_the_verdict_of_the_table_byte_by_byte() {
    for case in corpus() {
        let bytes = bytes_of(&case.wire, &TOKEN, &OTHER);
        assert_eq!(words(&carefully(&bytes, case.eof(), &[TOKEN])), case.expected(), "{}", case.id);
    }
}

#[test]
fn each_response_has_the_verdict_of_the_table_at_once_and_with_any_shape() {
    for case in corpus() {
        let bytes = bytes_of(&case.wire, &TOKEN, &OTHER);
        for (name, mut shape) in shapes(&case) {
            for turn in 0..3 {
                let events = at_once(&bytes, case.eof(), &[TOKEN], &mut Reader::new(), &mut shape);
                assert_eq!(words(&events), case.expected(), "{}, shape: {name}, turn {turn}", case.id);
            }
        }
    }
}

#[test]
fn each_response_has_the_verdict_of_the_table_wherever_it_is_cut() {
    for case in corpus() {
        let bytes = bytes_of(&case.wire, &TOKEN, &OTHER);
        let step = bytes.len().div_ceil(EVERY_CUT_MAX).max(1);
        for (name, mut shape) in shapes(&case) {
            let mut reader = Reader::new();
            for cut in (0..=bytes.len()).step_by(step) {
                let (first, second) = bytes.split_at(cut);
                let events = transcript([first, second], case.eof(), &[TOKEN], &mut reader, &mut shape);
                assert_eq!(words(&events), case.expected(), "{}, shape: {name}, cut at {cut}", case.id);
            }
        }
    }
}

/// Inputs of a fuzz target: what the fuzzer found worth keeping.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let files = fs::read_dir(&folder).expect("the folder of seeds");
    let seeds: Vec<Vec<u8>> = files.map(|file| fs::read(file.expect("a seed").path()).expect("a seed")).collect();
    assert!(!seeds.is_empty(), "{} has seeds", folder.display());
    seeds
}

/// The wires of the corpus, with zeros where the fuzz targets put tokens.
fn wires() -> impl Iterator<Item = (String, Vec<u8>)> {
    let zeros = Token([b'0'; 32]);
    corpus().into_iter().map(move |case| {
        let bytes = bytes_of(&case.wire, &zeros, &OTHER);
        (case.id, bytes)
    })
}

#[test]
fn what_the_fuzzers_kept_and_the_corpus_hold_on_stable() {
    seeds("response").iter().for_each(|seed| agree(seed));
    for (_, wire) in wires() {
        for controls in [[0, 0, 0, 0], [1, 30, 3, 0], [6, 40, 1, 0], [14, 0, 60, b'\r'], [15, 0, 20, b' ']] {
            agree(&[&controls[..], &wire].concat());
        }
    }
}

#[test]
fn httparse_differs_in_the_documented_way_only_on_seeds_and_corpus() {
    let seeds = seeds("differential").into_iter().map(|seed| ("seed".to_owned(), seed));
    for (id, wire) in seeds.chain(wires()) {
        if let Err(difference) = oracle::compare_with_httparse(&wire) {
            panic!("{id}: {difference}: {}", wire.escape_ascii());
        }
    }
}

/// Before fuzzing: `cargo test --test http_corpus -- --ignored`.
#[test]
#[ignore = "writes files: the corpus as first inputs of the fuzz targets"]
fn write_the_corpus_for_the_fuzzers() {
    for (target, controls) in [("response", CONTROLS), ("differential", 0)] {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        fs::create_dir_all(&folder).expect("a folder for the fuzzer");
        for (id, wire) in wires().filter(|(_, wire)| wire.len() < 10_000) {
            fs::write(folder.join(id), [&[6, 20, 3, 0][..controls], &wire].concat()).expect("a file for the fuzzer");
        }
    }
}
