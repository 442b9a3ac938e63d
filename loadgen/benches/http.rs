//! What one exchange costs the load generator outside the kernel: token, request, response, verdict.
//!
//! `cargo bench --bench http` measures; `cargo test --benches` runs each once, so that they cannot rot.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flowtest_contract::rules::{Deadlines, UtcUs};
use flowtest_contract::{Histogram, Observed, Platform, Rules, Seen, Tally, Token, TokenMint, Version, judge};
use flowtest_loadgen::engine::http::careful::Head;
use flowtest_loadgen::engine::http::framing::frame;
use flowtest_loadgen::engine::http::{Read, Reader, RequestTemplate, Shape};
use std::hint::black_box;

const TOKEN: Token = Token(*b"0123456789abcdef0123456789abcdef");
/// Requests in flight on one connection in the pipelined cases.
const PIPELINE: usize = 16;

/// A response as the reference target and most servers send it, of about 200 bytes.
fn response(token: &Token, date: &str, body: &str) -> Vec<u8> {
    let token = std::str::from_utf8(&token.0).expect("hex digits");
    format!(
        "HTTP/1.1 200 OK\r\nToken: {token}\r\nVersion: v2\r\nFrom: ECS\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Date: {date}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

const DATE: &str = "Mon, 23 Nov 2026 10:00:00 GMT";

fn read_all(reader: &mut Reader, mut bytes: &[u8], expected: &Token, shape: &mut Shape) -> u32 {
    let mut responses = 0;
    while !bytes.is_empty() {
        match reader.read(&mut bytes, expected, shape) {
            Read::Response(response) => responses += u32::from(response.observed.token_right),
            other => panic!("{other:?}"),
        }
    }
    responses
}

fn reading(criterion: &mut Criterion) {
    let bytes = response(&TOKEN, DATE, "Hello, Flow Test!");
    let mut group = criterion.benchmark_group("response");
    group.throughput(Throughput::Bytes(bytes.len() as u64));

    let (mut reader, mut shape) = (Reader::new(), Shape::new());
    group.bench_function("fast", |bencher| {
        bencher.iter(|| read_all(&mut reader, black_box(&bytes), black_box(&TOKEN), &mut shape));
    });

    let head_and_part = bytes.len() - 5;
    group.bench_function("fast, body in two parts", |bencher| {
        bencher.iter(|| {
            let (mut first, second) = black_box(&bytes).split_at(head_and_part);
            assert_eq!(reader.read(&mut first, &TOKEN, &mut shape), Read::Partial);
            read_all(&mut reader, second, black_box(&TOKEN), &mut shape)
        });
    });

    // Two responses whose Date differs every time: after three of them Date is left out of the comparison.
    let dates = [&bytes, &response(&TOKEN, "Mon, 23 Nov 2026 10:00:01 GMT", "Hello, Flow Test!")];
    let mut turn = 0;
    group.bench_function("fast, a value that changes", |bencher| {
        bencher.iter(|| {
            turn ^= 1;
            read_all(&mut reader, black_box(dates[turn]), black_box(&TOKEN), &mut shape)
        });
    });

    // A head that was cut in its last line cannot be compared, nor learned.
    let cut = bytes.len() - "Hello, Flow Test!".len() - 3;
    group.bench_function("careful, head in two parts", |bencher| {
        bencher.iter(|| {
            let (mut first, second) = black_box(&bytes).split_at(cut);
            assert_eq!(reader.read(&mut first, &TOKEN, &mut shape), Read::Partial);
            read_all(&mut reader, second, black_box(&TOKEN), &mut shape)
        });
    });

    // Three kinds of responses in turn, where two are remembered: the careful path and learning, each time.
    let kinds = ["a", "bb", "ccc"].map(|body| response(&TOKEN, &format!("{DATE}{body}"), body));
    group.bench_function("careful and learned", |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % kinds.len();
            read_all(&mut reader, black_box(&kinds[turn]), black_box(&TOKEN), &mut shape)
        });
    });

    let mut head = Head::default();
    group.bench_function("careful, head alone", |bencher| {
        bencher.iter(|| {
            head.start();
            assert_eq!(head.read(&mut black_box(&bytes[..]), black_box(&TOKEN)), Ok(true));
            frame(&head.facts)
        });
    });

    // httparse on the same head, for comparison: it frames nothing and finds no header.
    group.bench_function("httparse, head alone", |bencher| {
        bencher.iter(|| {
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut parsed = httparse::Response::new(&mut headers);
            parsed.parse(black_box(&bytes)).expect("legal").unwrap()
        });
    });
    group.finish();

    let mint = TokenMint::new([7; 16], 0);
    let tokens: Vec<Token> = (0..PIPELINE as u64).map(|counter| mint.token(0, counter)).collect();
    let pipelined: Vec<u8> = tokens.iter().flat_map(|token| response(token, DATE, "Hello, Flow Test!")).collect();
    let mut group = criterion.benchmark_group("16 responses");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    group.bench_function("fast", |bencher| {
        bencher.iter(|| {
            let mut bytes = black_box(&pipelined[..]);
            let right = tokens.iter().filter(|token| match reader.read(&mut bytes, token, &mut shape) {
                Read::Response(response) => response.observed.token_right,
                _ => false,
            });
            assert_eq!(right.count(), PIPELINE);
        });
    });
    group.finish();
}

fn asking(criterion: &mut Criterion) {
    let mint = TokenMint::new([7; 16], 0);
    let mut counter = 0;
    criterion.bench_function("token", |bencher| {
        bencher.iter(|| {
            counter += 1;
            mint.token(black_box(3), counter)
        });
    });
    let template = RequestTemplate::new("/", "127.0.0.1:8080");
    let mut area = vec![0; template.len() * PIPELINE];
    template.fill(&mut area);
    criterion.bench_function("request: patch the token", |bencher| {
        let mut index = 0;
        bencher.iter(|| {
            index = (index + 1) % PIPELINE;
            template.patch(black_box(&mut area), index, black_box(&TOKEN));
        });
    });
}

fn judging(criterion: &mut Criterion) {
    let (rules, deadlines) = (Rules::default(), Deadlines::default());
    let (mut tally, mut latency) = (Tally::default(), Histogram::default());
    let observed = Observed { token_right: true, version: Seen::Value(Version::V2), from: Seen::Value(Platform::Ecs) };
    let mut latency_us = 0;
    criterion.bench_function("judge, tally, histogram", |bencher| {
        bencher.iter(|| {
            latency_us = (latency_us + 37) & 0xffff;
            tally.answered(judge(black_box(observed), &rules, &deadlines, black_box(UtcUs(1))));
            latency.record(latency_us);
        });
    });
    black_box((tally, latency));
}

criterion_group!(benches, reading, asking, judging);
criterion_main!(benches);
