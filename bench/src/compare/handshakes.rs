//! Handshakes a second: nginx ends each connection with its answer, so that every request costs one, whole or resumed.
//!
//! No two tools do that alike. wrk keeps 64 connections busy, as ours does. h2load 1.52 does not end where a server closes
//! under it, so that each of its connections is asked once and all are opened at its start; it resumes nothing. `openssl
//! s_time` makes one after another, and ours against it as well.

use super::report::{Bound, Comparison};
use super::servers::{self, NginxOptions, NginxTls};
use super::tools::{self, Tool, Work};
use super::{Bench, CROWD, Sample};
use crate::contest_box::Certificate;
use crate::error::Result;

/// Handshakes that h2load makes for each second that a side runs: about what a core does in it.
const EACH_SECOND: usize = 4_000;
/// All at once: they must fit into the descriptors of both.
const AT_ONCE_MAX: usize = 8_000;
const _: () = assert!(AT_ONCE_MAX <= CROWD);
/// Connections of those that keep as many busy.
const CONNECTIONS: usize = 64;

/// Whether sessions are resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Full,
    Resumed,
}

pub(super) fn rows(bench: &mut Bench<'_>, certificate: &Certificate) -> Result<()> {
    for kind in [Kind::Full, Kind::Resumed] {
        let tls = Some(NginxTls { certificate, resumes: kind == Kind::Resumed });
        let options = NginxOptions { keepalive_requests: Some(1), tls };
        let server = servers::nginx(bench.options.server_core, bench.scratch, None, &options)?;
        let mut ours = Vec::new();
        for peer in [Tool::Wrk, Tool::H2load, Tool::OpenSsl] {
            // h2load begins every session anew.
            if !peer.is_installed() || (kind == Kind::Resumed && peer == Tool::H2load) {
                continue;
            }
            let connections = if peer == Tool::OpenSsl { 1 } else { CONNECTIONS };
            let many = if connections == 1 { "one at a time" } else { "64 connections" };
            let word = if kind == Kind::Full { "full" } else { "resumed" };
            // Against h2load, which resumes nothing, so that resumed ones are held against who does.
            let must = match (kind, peer) {
                (Kind::Full, Tool::H2load) | (Kind::Resumed, Tool::Wrk) => Some(1.2),
                _ => None,
            };
            let row = Comparison::ratio(format!("handshakes, {word}, {many}"), Tool::Ours.name(), peer.name(), must);
            let ca = certificate.path();
            let run = |tool: Tool, bench: &Bench<'_>| {
                let once = (EACH_SECOND * bench.options.each.as_secs() as usize).min(AT_ONCE_MAX);
                let once = (tool == Tool::H2load).then_some(once);
                let work = Work {
                    ca: Some(&ca),
                    once,
                    resumes: kind == Kind::Resumed,
                    ..bench.work(&server.url, connections, 1)
                };
                tools::run(tool, &work, &server.child)
            };
            let pairs = bench.pair(row, |bench| run(Tool::Ours, bench), |bench| run(peer, bench))?;
            if let Some(pairs) = pairs.filter(|_| connections > 1) {
                ours.extend(pairs.ours);
            }
        }
        let what = match kind {
            Kind::Full => "CPU of a request with a full handshake, user and system",
            Kind::Resumed => "CPU of a request with a resumed handshake, user and system",
        };
        let cpu_us = |sample: &Sample| Some(sample.generator_user_us + sample.generator_system_us);
        bench.report.claim(what.into(), "µs", &ours, cpu_us, Bound::None);
        server.child.stop()?;
    }
    Ok(())
}
