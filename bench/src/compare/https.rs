//! Over https: our generator, which verifies, against load tools that take any certificate; what TLS costs beside plain
//! http; handshakes; and what ten thousand connections hold.
//!
//! ECDSA on P-256, TLS 1.3, AES-128-GCM on both sides of each pair.

use super::report::{Bound, Comparison};
use super::servers::{self, KEPT, Kind, NginxOptions, NginxTls, Server};
use super::tools::{self, Tool, Work};
use super::{Bench, CROWD, PIPELINE, handshakes};
use crate::contest_box::certificate::Dates;
use crate::contest_box::{Certificate, Target};
use crate::error::{Error, Result};

/// The tools that speak it.
const PEERS: [Tool; 3] = [Tool::Wrk, Tool::H2load, Tool::Oha];
/// Connections of a row.
const CONNECTIONS: usize = 64;

pub(super) fn rows(bench: &mut Bench<'_>) -> Result<()> {
    let certificate = Certificate::make(bench.scratch, "compare", &["127.0.0.1"], Dates::Now)?;
    let core = bench.options.server_core;
    let target = Server::target_over_tls(core, &certificate)?;
    for (pipeline, must) in [(1, at_least_times as fn(Tool) -> Option<f64>), (PIPELINE, at_least_times_in_flight)] {
        rates(bench, &target, &certificate, pipeline, must)?;
    }
    beside_plain(bench, &target, &certificate)?;
    crowd(bench, core, &certificate)?;
    target.child.stop()?;
    if !Kind::Nginx.is_installed() {
        bench.leave_out("nginx over https", "not installed");
        return Ok(());
    }
    let tls = Some(NginxTls { certificate: &certificate, resumes: true });
    let server = servers::nginx(core, bench.scratch, None, &NginxOptions { keepalive_requests: Some(KEPT), tls })?;
    // No tool that looks at nothing is to be faster.
    rates(bench, &server, &certificate, 1, |_| Some(1.0))?;
    server.child.stop()?;
    handshakes::rows(bench, &certificate)
}

/// Ours against each tool that is there.
fn rates(
    bench: &mut Bench<'_>,
    server: &Server,
    certificate: &Certificate,
    pipeline: usize,
    must: fn(Tool) -> Option<f64>,
) -> Result<()> {
    for peer in PEERS.into_iter().filter(|tool| tool.is_installed() && (pipeline == 1 || tool.pipelines())) {
        let what = format!("https to {}, {CONNECTIONS} connections, {pipeline} in flight", server.kind.name());
        pair(bench, server, certificate, peer, pipeline, &what, must(peer))?;
    }
    Ok(())
}

fn pair(
    bench: &mut Bench<'_>,
    server: &Server,
    certificate: &Certificate,
    peer: Tool,
    pipeline: usize,
    what: &str,
    must: Option<f64>,
) -> Result<()> {
    let ca = certificate.path();
    let run = |tool: Tool, bench: &Bench<'_>| {
        let work = Work { ca: Some(&ca), ..bench.work(&server.url, CONNECTIONS, pipeline) };
        tools::run(tool, &work, &server.child)
    };
    let row = Comparison::ratio(what.to_owned(), Tool::Ours.name(), peer.name(), must);
    bench.pair(row, |bench| run(Tool::Ours, bench), |bench| run(peer, bench)).map(drop)
}

/// The same with and without TLS.
fn beside_plain(bench: &mut Bench<'_>, sealed: &Server, certificate: &Certificate) -> Result<()> {
    let plain = bench.server(Kind::Target, None)?;
    let ca = certificate.path();
    for (pipeline, most) in [(1, Bound::None), (PIPELINE, Bound::Max(0.6))] {
        let what = format!("{CONNECTIONS} connections, {pipeline} in flight");
        let row = Comparison::ratio(format!("verified rate, {what}"), "https", "http", None);
        let run = |server: &Server, bench: &Bench<'_>| {
            let work = Work { ca: Some(&ca), ..bench.work(&server.url, CONNECTIONS, pipeline) };
            tools::run(Tool::Ours, &work, &server.child)
        };
        let Some(pairs) = bench.pair(row, |bench| run(sealed, bench), |bench| run(&plain, bench))? else { continue };
        let both = pairs.ours.iter().zip(&pairs.theirs);
        let above = both.map(|(sealed, plain)| sealed.generator_user_us - plain.generator_user_us);
        bench.report.claim_values(format!("user CPU above plain http per verified request, {what}"), "µs", above, most);
        if pipeline > 1 {
            let what = format!("verified rate over https, {what}");
            bench.report.claim(what, "requests/s", &pairs.ours, |sample| Some(sample.rate), Bound::None);
        }
    }
    plain.child.stop().map(drop)
}

fn crowd(bench: &mut Bench<'_>, core: usize, certificate: &Certificate) -> Result<()> {
    let (ca, cores) = (certificate.path(), core.to_string());
    let flags = certificate.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(["--version", "v2", "--from", "ECS"]).collect();
    let target = Target::start(Kind::Target.name(), &[flags.as_slice(), &["--cores", &cores]].concat())?;
    let url = target.url();
    let row = Comparison::ratio(
        format!("verified rate over https, {CROWD} connections versus 256"),
        &format!("{CROWD} connections"),
        "256 connections",
        None,
    );
    let run = |connections: usize, bench: &Bench<'_>| {
        let work = Work { ca: Some(&ca), ..bench.work(&url, connections, 1) };
        let before = target.handshakes()?;
        let sample = tools::run(Tool::Ours, &work, target.child())?;
        // What is claimed of so many was measured with so many: none is closed before the end.
        match target.handshakes()? - before {
            made if made == connections as u64 => Ok(sample),
            made => Err(Error::Other(format!(
                "{made} connections over TLS were made and {connections} were asked for: give them a longer warm-up"
            ))),
        }
    };
    if let Some(pairs) = bench.pair(row, |bench| run(CROWD, bench), |bench| run(256, bench))? {
        let mib = |sample: &super::Sample| Some(sample.generator_rss_kib as f64 / 1024.0);
        bench.report.claim(format!("memory with {CROWD} TLS connections"), "MiB", &pairs.ours, mib, Bound::Max(400.0));
    }
    target.stop().map(drop)
}

fn at_least_times(peer: Tool) -> Option<f64> {
    match peer {
        Tool::Wrk | Tool::H2load => Some(1.3),
        Tool::Oha => Some(1.8),
        Tool::Shb | Tool::OpenSsl | Tool::Gcannon | Tool::LoadgenRs | Tool::Wrk2 | Tool::Ours => None,
    }
}

/// With several requests in flight on each connection.
fn at_least_times_in_flight(peer: Tool) -> Option<f64> {
    (peer == Tool::H2load).then_some(1.5)
}
