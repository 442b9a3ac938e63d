//! Properties that both paths of the reader hold, and limits at their edges.
//!
//! The yardstick is the careful path fed byte by byte. Whatever is cut, mutated, learned or pipelined: the same
//! events must come out.

mod oracle;
mod transcript;

use flowtest_contract::header::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, INTERIM_MAX};
use flowtest_contract::{Platform, Seen, Token, TokenMint, Version};
use flowtest_loadgen::engine::http::careful::Head;
use flowtest_loadgen::engine::http::{Malformed, Reader, Shape};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use transcript::{Eof, Event, at_once, carefully, transcript};

fn tokens(count: usize) -> Vec<Token> {
    let mint = TokenMint::new([3; 16], 1);
    (0..count as u64).map(|counter| mint.token(5, counter)).collect()
}

/// How a response in a stream is made. Most are right, so that mutations have something to break.
#[derive(Clone, Debug)]
struct Plan {
    status: &'static str,
    headers: Vec<&'static str>,
    /// Replaces the token of the request by another value.
    token: Option<&'static str>,
    body: Body,
    interim: usize,
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Length(usize),
    Chunked(usize),
    UntilClose,
}

const SCORED: [&str; 3] = ["Token: {T}", "Version: v2", "From: ECS"];

fn plans() -> impl Strategy<Value = Plan> {
    let status = prop_oneof![
        8 => Just("HTTP/1.1 200 OK"),
        2 => select(vec!["HTTP/1.0 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 404 Not Found", "HTTP/1.1 299 "]),
    ];
    let further = select(vec![
        "Date: Mon, 23 Nov 2026 10:00:00 GMT",
        "Date: Tue, 24 Nov 2026 11:22:33 GMT",
        "X-Request-Id: 8c5d1f",
        "X-Request-Id: 00ff\t7",
        "Server:",
        "Content-Type: text/html; charset=utf-8",
        "Connection: keep-alive",
        "Connection: close",
        "Version: v1",
        "from:\tEC2 ",
        "Token: {T}",
        "X: \u{e9}",
    ]);
    let body = prop_oneof![
        6 => (0usize..40).prop_map(Body::Length),
        3 => (0usize..40).prop_map(Body::Chunked),
        1 => Just(Body::UntilClose),
    ];
    let token = prop_oneof![
        6 => Just(None),
        1 => select(vec![
            Some("0123456789abcdef0123456789abcdef"),
            Some(" 123456789abcdef0123456789abcde "),
            Some("short"),
            Some("0123456789abcdef0123456789\tbcdef"),
            Some("0123456789abcdef0123456789\u{1}bcdef"),
        ]),
    ];
    let headers = proptest::collection::vec(further, 0..4).prop_map(|further| [&SCORED[..], &further].concat());
    let interim = prop_oneof![9 => Just(0usize), 1 => 1usize..6];
    (status, headers.prop_shuffle(), token, body, interim).prop_map(|(status, headers, token, body, interim)| Plan {
        status,
        headers,
        token,
        body,
        interim,
    })
}

impl Plan {
    fn bytes(&self, token: &Token) -> Vec<u8> {
        let token = self.token.unwrap_or(std::str::from_utf8(&token.0).expect("hex digits"));
        let mut text = "HTTP/1.1 103 Early Hints\r\nToken: x\r\n\r\n".repeat(self.interim);
        text += &format!("{}\r\n", self.status);
        for header in &self.headers {
            text += &format!("{}\r\n", header.replace("{T}", token));
        }
        let data = |length: usize| "b\r\n0"[..].chars().cycle().take(length).collect::<String>();
        match self.body {
            _ if self.status.contains("204") => text += "\r\n",
            Body::Length(length) => text += &format!("Content-Length: {length}\r\n\r\n{}", data(length)),
            Body::Chunked(length) => {
                text += "Transfer-Encoding: chunked\r\n\r\n";
                if length > 0 {
                    text += &format!("{length:x};x=\"y\"\r\n{}\r\n", data(length));
                }
                text += "0\r\nToken: x\r\n\r\n";
            }
            Body::UntilClose => text += "\r\nto the end",
        }
        text.into_bytes()
    }
}

/// One change to a stream of bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index),
    Truncate(Index),
    /// Exchanges two lines.
    Swap(Index, Index),
    /// Writes a line once more.
    Repeat(Index),
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let byte = prop_oneof![select(b"\r\n \t:\x00\x7f;,0915afAF".to_vec()), any::<u8>()];
    let piece = prop_oneof![
        proptest::collection::vec(byte.clone(), 1..4),
        select(vec![b"\r\n".to_vec(), b"\r\n\r\n".to_vec(), b"\r\n ".to_vec(), b"HTTP/1.1 200 OK\r\n".to_vec()]),
    ];
    prop_oneof![
        (any::<Index>(), byte).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (any::<Index>(), piece).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        any::<Index>().prop_map(Mutation::Remove),
        any::<Index>().prop_map(Mutation::Truncate),
        (any::<Index>(), any::<Index>()).prop_map(|(one, other)| Mutation::Swap(one, other)),
        any::<Index>().prop_map(Mutation::Repeat),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    match mutation {
        Mutation::Set(at, byte) => bytes[at.index(length)] = *byte,
        Mutation::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        Mutation::Insert(at, piece) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, piece.iter().copied());
        }
        Mutation::Remove(at) => {
            bytes.remove(at.index(bytes.len()));
        }
        Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
        Mutation::Swap(one, other) => {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            lines.swap(one, other);
            *bytes = lines.concat();
        }
        Mutation::Repeat(at) => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at].clone());
            *bytes = lines.concat();
        }
    }
}

/// A shape that has seen these responses.
fn learned(plans: &[Plan], rounds: usize) -> Shape {
    let mut shape = Shape::new();
    for token in tokens(rounds) {
        for plan in plans {
            at_once(&plan.bytes(&token), Eof::Fin, &[token], &mut Reader::new(), &mut shape);
        }
    }
    shape
}

fn eofs() -> impl Strategy<Value = Eof> {
    select(vec![Eof::Fin, Eof::None])
}

/// Cuts a stream at these places.
fn cut<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn pipelined_responses_read_alike_however_they_are_cut(
        plans in proptest::collection::vec(plans(), 1..5),
        cuts in proptest::collection::vec(any::<Index>(), 0..6),
        eof in eofs(),
        rounds in 0usize..4,
    ) {
        let tokens = tokens(plans.len());
        let stream: Vec<u8> = plans.iter().zip(&tokens).flat_map(|(plan, token)| plan.bytes(token)).collect();
        let expected = carefully(&stream, eof, &tokens);
        let mut shape = learned(&plans, rounds);
        let mut reader = Reader::new();
        prop_assert_eq!(&at_once(&stream, eof, &tokens, &mut reader, &mut shape), &expected);
        prop_assert_eq!(&transcript(cut(&stream, &cuts), eof, &tokens, &mut reader, &mut shape), &expected);
        prop_assert_eq!(&at_once(&stream, eof, &tokens, &mut reader, &mut shape), &expected);
    }

    #[test]
    fn a_mutated_response_reads_alike_on_both_paths(
        plan in plans(),
        mutations in proptest::collection::vec(mutations(), 1..4),
        cuts in proptest::collection::vec(any::<Index>(), 0..3),
        eof in eofs(),
        rounds in 1usize..4,
    ) {
        let tokens = tokens(2);
        let original = [plan.bytes(&tokens[0]), plan.bytes(&tokens[1])].concat();
        let mut stream = original.clone();
        mutations.iter().for_each(|mutation| mutate(&mut stream, mutation));
        let expected = carefully(&stream, eof, &tokens);
        let mut shape = learned(std::slice::from_ref(&plan), rounds);
        let mut reader = Reader::new();
        prop_assert_eq!(&at_once(&stream, eof, &tokens, &mut reader, &mut shape), &expected);
        prop_assert_eq!(&transcript(cut(&stream, &cuts), eof, &tokens, &mut reader, &mut shape), &expected);
        // What was learned from it spoils nothing.
        prop_assert_eq!(&at_once(&original, eof, &tokens, &mut reader, &mut shape), &carefully(&original, eof, &tokens));
        prop_assert_eq!(&at_once(&stream, eof, &tokens, &mut reader, &mut shape), &expected);
    }

    #[test]
    fn one_changed_byte_is_never_missed_by_the_fast_path(plan in plans(), at: Index, byte: u8) {
        let token = tokens(1);
        let mut shape = learned(std::slice::from_ref(&plan), 3);
        let mut stream = plan.bytes(&token[0]);
        let at = at.index(stream.len());
        stream[at] = byte;
        let expected = carefully(&stream, Eof::Fin, &token);
        prop_assert_eq!(at_once(&stream, Eof::Fin, &token, &mut Reader::new(), &mut shape), expected);
    }

    #[test]
    fn random_bytes_never_panic_and_read_alike(
        prefix in select(vec![&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]),
        noise in proptest::collection::vec(prop_oneof![any::<u8>(), select(b"\r\n\r\n:0123af;\"\\ ".to_vec())], 0..200),
        cuts in proptest::collection::vec(any::<Index>(), 0..4),
        eof in eofs(),
    ) {
        let stream = [prefix, &noise].concat();
        let tokens = tokens(3);
        let expected = carefully(&stream, eof, &tokens);
        let mut shape = Shape::new();
        prop_assert_eq!(&at_once(&stream, eof, &tokens, &mut Reader::new(), &mut shape), &expected);
        prop_assert_eq!(&transcript(cut(&stream, &cuts), eof, &tokens, &mut Reader::new(), &mut shape), &expected);
        transcript::agree(&stream);
    }

    #[test]
    fn httparse_differs_in_the_documented_way_only(
        plan in plans(),
        mutations in proptest::collection::vec(mutations(), 0..4),
    ) {
        let mut stream = plan.bytes(&tokens(1)[0]);
        mutations.iter().for_each(|mutation| mutate(&mut stream, mutation));
        if let Err(difference) = oracle::compare_with_httparse(&stream) {
            prop_assert!(false, "{difference}: {}", stream.escape_ascii());
        }
    }
}

fn only_event(stream: &[u8]) -> Event {
    let token = tokens(1);
    let expected = carefully(stream, Eof::None, &token);
    assert_eq!(at_once(stream, Eof::None, &token, &mut Reader::new(), &mut Shape::new()), expected);
    match &expected[..] {
        [event] | [event, Event::Silent { between: true }] => event.clone(),
        more => panic!("{more:?}"),
    }
}

/// A head of exactly `length` bytes with an empty body.
fn head_of(length: usize) -> Vec<u8> {
    let (start, end) = ("HTTP/1.1 200 OK\r\nX: ", "\r\nContent-Length: 0\r\n\r\n");
    format!("{start}{}{end}", "x".repeat(length - start.len() - end.len())).into_bytes()
}

#[test]
fn the_head_may_be_as_long_as_its_limit() {
    for length in [HEAD_BYTES_MAX - 1, HEAD_BYTES_MAX] {
        assert!(matches!(only_event(&head_of(length)), Event::Response(_)), "{length}");
    }
    assert_eq!(only_event(&head_of(HEAD_BYTES_MAX + 1)), Event::Malformed(Malformed::HeadTooLarge));
}

#[test]
fn a_long_head_is_refused_at_the_limit_and_not_later() {
    let head = &head_of(HEAD_BYTES_MAX + 1)[..HEAD_BYTES_MAX];
    assert_eq!(only_event(head), Event::Malformed(Malformed::HeadTooLarge));
    assert!(matches!(only_event(&head[..HEAD_BYTES_MAX - 1]), Event::Silent { between: false }));
}

#[test]
fn headers_may_be_as_many_as_their_limit() {
    let head = |count: usize| format!("HTTP/1.1 204 X\r\n{}\r\n", "X: y\r\n".repeat(count)).into_bytes();
    for count in [0, HEADERS_MAX - 1, HEADERS_MAX] {
        assert!(matches!(only_event(&head(count)), Event::Response(_)), "{count}");
    }
    assert_eq!(only_event(&head(HEADERS_MAX + 1)), Event::Malformed(Malformed::TooManyHeaders));
}

#[test]
fn a_body_may_be_as_long_as_its_limit() {
    let plain = |length: usize| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "b".repeat(length)).into_bytes()
    };
    let chunked = |length: usize| {
        let (first, second) = ("b".repeat(length - 1), "b");
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{:x}\r\n{first}\r\n1\r\n{second}\r\n0\r\n\r\n", first.len()).into_bytes()
    };
    for body in [&plain as &dyn Fn(usize) -> Vec<u8>, &chunked] {
        for length in [BODY_BYTES_MAX - 1, BODY_BYTES_MAX] {
            assert!(matches!(only_event(&body(length)), Event::Response(_)), "{length}");
        }
        assert_eq!(only_event(&body(BODY_BYTES_MAX + 1)), Event::Malformed(Malformed::BodyTooLarge));
    }
}

#[test]
fn interim_responses_may_be_as_many_as_their_limit() {
    let stream =
        |count: usize| format!("{}HTTP/1.1 204 X\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n".repeat(count)).into_bytes();
    for count in [INTERIM_MAX - 1, INTERIM_MAX] {
        assert!(matches!(only_event(&stream(count)), Event::Response(_)), "{count}");
    }
    assert_eq!(only_event(&stream(INTERIM_MAX + 1)), Event::Malformed(Malformed::TooManyInterim));
}

/// Responses that differ in nothing but their tokens, and what a closure makes of the k-th one.
fn run(count: usize, response: impl Fn(usize, &str) -> String) -> (Vec<Event>, Shape) {
    let tokens = tokens(count);
    let text = |(index, token): (usize, &Token)| response(index, std::str::from_utf8(&token.0).expect("hex digits"));
    let stream: String = tokens.iter().enumerate().map(text).collect();
    let mut shape = Shape::new();
    let events = at_once(stream.as_bytes(), Eof::None, &tokens, &mut Reader::new(), &mut shape);
    assert_eq!(events, carefully(stream.as_bytes(), Eof::None, &tokens));
    (events, shape)
}

fn right_ones(events: &[Event]) -> usize {
    let right = |event: &&Event| match event {
        Event::Response(response) => {
            let observed = response.observed;
            observed.token_right
                && observed.version == Seen::Value(Version::V2)
                && observed.from == Seen::Value(Platform::Ecs)
        }
        _ => false,
    };
    events.iter().filter(right).count()
}

const REST: &str = "Version: v2\r\nFrom: ECS\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn responses_that_differ_in_their_token_alone_are_read_fast() {
    let (events, shape) = run(100, |_, token| format!("HTTP/1.1 200 OK\r\nToken: {token}\r\n{REST}"));
    assert_eq!(right_ones(&events), 100);
    assert_eq!((shape.fast, shape.slow), (99, 1));
}

#[test]
fn a_value_that_changes_with_each_response_is_read_fast_from_the_fourth_on() {
    let (events, shape) =
        run(100, |index, token| format!("HTTP/1.1 200 OK\r\nX-Request-Id: {index:08}\r\nToken: {token}\r\n{REST}"));
    assert_eq!(right_ones(&events), 100);
    assert_eq!((shape.fast, shape.slow), (97, 3));
}

#[test]
fn a_value_that_changes_rarely_is_learned_each_time() {
    let (events, shape) = run(1000, |index, token| {
        format!("HTTP/1.1 200 OK\r\nDate: 10:00:{:02}\r\nToken: {token}\r\n{REST}", index / 100)
    });
    assert_eq!(right_ones(&events), 1000);
    assert_eq!((shape.fast, shape.slow), (990, 10));
}

#[test]
fn two_kinds_of_responses_in_turn_are_both_read_fast() {
    let (events, shape) = run(100, |index, token| match index % 2 {
        0 => format!("HTTP/1.1 200 OK\r\nServer: a\r\nToken: {token}\r\n{REST}"),
        _ => format!("HTTP/1.1 200 OK\r\ntoken: {token}\r\n{REST}"),
    });
    assert_eq!(right_ones(&events), 100);
    assert_eq!((shape.fast, shape.slow), (98, 2));
}

#[test]
fn a_wrong_token_is_seen_by_the_fast_path_and_spoils_nothing() {
    let (events, shape) = run(100, |index, token| {
        let token = if index == 50 { "0123456789abcdef0123456789abcdef" } else { token };
        format!("HTTP/1.1 200 OK\r\nToken: {token}\r\n{REST}")
    });
    assert_eq!(right_ones(&events), 99);
    assert_eq!((shape.fast, shape.slow), (99, 1));
}

#[test]
fn the_token_of_another_response_is_wrong_for_both() {
    let tokens = tokens(2);
    let swapped = [tokens[1], tokens[0]];
    let stream: Vec<u8> = swapped
        .iter()
        .flat_map(|token| [b"HTTP/1.1 200 OK\r\nToken: ", &token.0[..], b"\r\n", REST.as_bytes()].concat())
        .collect();
    let events = at_once(&stream, Eof::None, &tokens, &mut Reader::new(), &mut Shape::new());
    assert_eq!(events.len(), 3);
    assert_eq!(right_ones(&events), 0);
}

#[test]
fn chunked_and_empty_bodies_are_read_fast_too() {
    let (events, shape) = run(100, |index, token| {
        let chunk = if index % 3 == 0 { "" } else { "2\r\nok\r\n" };
        format!(
            "HTTP/1.1 200 OK\r\nToken: {token}\r\nVersion: v2\r\nFrom: ECS\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
        )
    });
    assert_eq!(right_ones(&events), 100);
    assert_eq!((shape.fast, shape.slow), (99, 1));
}

#[test]
fn the_longest_head_may_drip_in() {
    let stream = head_of(HEAD_BYTES_MAX);
    let mut head = Head::default();
    head.start();
    for (index, byte) in stream.iter().enumerate() {
        let ended = head.read(&mut &[*byte][..], &tokens(1)[0]).expect("legal");
        assert_eq!(ended, index + 1 == stream.len());
    }
}

#[test]
fn every_cause_is_a_sentence_with_a_next_step() {
    for cause in [Malformed::NotHttp, Malformed::ControlByte(0), Malformed::BodyTooLarge, Malformed::ChunkEnd] {
        let text = cause.to_string();
        assert!(text.contains([';', ',']) && text.len() > 40, "{text}");
    }
}
