//! What the journal costs, and how fast it is read back.

use super::paired::Sample;
use super::report::Bound;
use super::tools::{Tool, Work, measure};
use super::{Bench, Comparison, PIPELINE};
use crate::child::{self, Child};
use crate::contest_box::contest::Phase;
use crate::contest_box::{ContestFile, Journal, Redis};
use crate::error::{Error, Result};
use std::path::Path;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 64;
/// No audit takes longer.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(600);

/// The same contest with journal, traces and Redis, and without.
pub(super) fn pairs(bench: &mut Bench<'_>) -> Result<()> {
    let target = bench.server(super::Kind::Target, None)?;
    let redis = Redis::start(&bench.scratch.join("redis"))?;
    let journal = Journal::in_folder(bench.scratch);
    for pipeline in [1, PIPELINE] {
        let row = Comparison::ratio(
            format!("verified rate of a contest, {CONNECTIONS} connections, {pipeline} in flight"),
            "journal, traces, Redis",
            "none of them",
            Some(0.95),
        );
        let run = |kept: Option<(&Journal, &Redis)>, bench: &Bench<'_>| {
            contest(&bench.work(&target.url, CONNECTIONS, pipeline), kept, &target.child)
        };
        bench.pair(row, |bench| run(Some((&journal, &redis)), bench), |bench| run(None, bench))?;
    }
    target.child.stop()?;
    redis.stop()?;
    let audits = (0..bench.options.pairs).map(|_| audit(&journal, bench.options.generator_core));
    let audits = audits.collect::<Result<Vec<_>>>()?;
    bench.report.claim(
        "audit of these journals, on one core".to_owned(),
        "traces/s",
        &audits,
        |sample| Some(sample.rate),
        Bound::Min(80e6),
    );
    std::fs::remove_dir_all(journal.folder()).map_err(Error::io("removing the journals"))
}

/// The same contest, all of it kept, by this build and by another one.
pub(super) fn old(bench: &mut Bench<'_>, build: &Path) -> Result<()> {
    let target = bench.server(super::Kind::Target, None)?;
    let redis = Redis::start(&bench.scratch.join("redis-old"))?;
    let journal = Journal::in_folder(bench.scratch);
    for pipeline in [1, PIPELINE] {
        let row = Comparison::ratio(
            format!("journal, traces, Redis: {CONNECTIONS} connections, {pipeline} in flight"),
            Tool::Ours.name(),
            "the old build",
            None,
        );
        let run = |build: Option<&Path>, bench: &Bench<'_>| {
            let work = Work { build, ..bench.work(&target.url, CONNECTIONS, pipeline) };
            contest(&work, Some((&journal, &redis)), &target.child)
        };
        bench.pair(row, |bench| run(None, bench), |bench| run(Some(build), bench))?;
    }
    target.child.stop()?;
    redis.stop()?;
    std::fs::remove_dir_all(journal.folder()).map_err(Error::io("removing the journals"))
}

/// One contest in closed loop.
fn contest(work: &Work<'_>, kept: Option<(&Journal, &Redis)>, server: &Child) -> Result<Sample> {
    let phase = Phase { length: work.duration, rate: None, connections: work.connections, pipeline: work.pipeline };
    let path = work.scratch.join("contest.toml");
    ContestFile::new("bench", phase).with("target", work.url).write(&path)?;
    let mut command = work.generator()?;
    command.arg("run").arg(&path).args(["--quiet", "--json", "-", "--cores", &work.core.to_string()]);
    if let Some((journal, redis)) = kept {
        command.args(journal.flags()).args(["--redis", &redis.url()]);
    }
    measure(Tool::Ours, &command, work, server)
}

/// Traces judged again per second, by the clock, all of it on one core.
fn audit(journal: &Journal, core: usize) -> Result<Sample> {
    let mut command = child::sibling("flowtest-loadgen")?;
    command.arg("audit").args(journal.flags()).args(["--json", "-"]);
    let since = Instant::now();
    let ended = Child::start("flowtest-loadgen", &child::pinned(core, &command)?)?.wait(AUDIT_TIMEOUT)?;
    let elapsed = since.elapsed().as_secs_f64();
    let traces = serde_json::from_str::<serde_json::Value>(&ended.stdout)
        .ok()
        .and_then(|json| json["traces"].as_f64())
        .ok_or_else(|| Error::Other(format!("the audit printed no figures: {}", ended.stderr.trim())))?;
    if !ended.status.success() {
        return Err(Error::Other(format!("the audit found differences: {}", ended.stdout)));
    }
    Ok(Sample { rate: traces / elapsed, ..Sample::default() })
}
