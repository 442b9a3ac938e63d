//! How many may watch: a real Redis whose scores change all the time, the dashboard's live feed as a program of its own, and
//! a crowd of WebSockets that asks how old each frame is when it arrives. One of the crowd never reads.

mod crowd;
pub mod show;

use crate::contest_box::{Admin, Dashboard, Redis};
use crate::error::{Error, Result};
use crate::machine::Machine;
use crowd::Crowd;
use serde::Serialize;
use show::Show;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Who may do everything.
const ADMIN: &str = "boss";
const PASSWORD: &str = "many eyes watch the same board";
/// From the last viewer's first frame to the measurement.
const SETTLE: Duration = Duration::from_secs(3);
/// The dashboard's own default.
const ROOM_MIN: u32 = 2_000;
/// BENCHMARKS.md, "Bounds": up to [`VIEWERS_USUAL`] viewers, and above.
const CPU_PERCENT_MAX: f64 = 15.0;
const CPU_PERCENT_MAX_OF_MANY: f64 = 25.0;
const VIEWERS_USUAL: u32 = 500;
const AGE_P99_MS_MAX: f64 = 500.0;

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many watch; one of them never reads.
    #[arg(long, default_value_t = VIEWERS_USUAL, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    pub viewers: u32,
    /// How many play; the scores of all change all the time.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub contestants: u32,
    /// How long is measured.
    #[arg(long = "for", default_value = "20s", value_parser = humantime::parse_duration)]
    pub length: Duration,
    /// Where to write the result as JSON; `-` is standard output instead of the table.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub struct ViewersReport {
    pub machine: Machine,
    pub viewers: u32,
    pub contestants: u32,
    pub seconds: f64,
    pub frames: u64,
    /// Frames that a viewer did not get because it was late; nobody should be.
    pub skipped: u64,
    /// Viewers that were sent away before the end, the one that never reads left out.
    pub lost: u64,
    /// From the instant in the frame to its arrival, over all viewers and frames.
    pub age_ms: Age,
    pub cpu_percent_of_a_core: f64,
    pub kib_before: u64,
    pub kib_with_all: u64,
    pub kib_per_viewer: f64,
    pub bytes_per_viewer_per_second: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Age {
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

pub fn run(options: &Options) -> Result<ViewersReport> {
    let folder = tempfile::tempdir().map_err(Error::io("making a folder"))?;
    let redis = Redis::start(&folder.path().join("redis"))?;
    let show = Show::open(&redis.url(), options.contestants)?;
    // All of the crowd come by one link, which takes half of the room at most.
    let room = (2 * options.viewers + 2).max(ROOM_MIN);
    let mut dashboard = Dashboard::start_for(folder.path(), &redis.url(), show::CONTEST, Some(room))?;
    dashboard.create_admin(ADMIN, PASSWORD)?;
    // A room of projectors: they need no account each, and see what the public sees.
    let screen = Admin::sign_in(dashboard.visitor(), ADMIN, PASSWORD)?.screen("the crowd")?;
    let port = port_in(dashboard.url()).ok_or_else(|| Error::Other(format!("{} has no port", dashboard.url())))?;
    let path = format!("/live?screen={screen}");
    // A frame has passed before anybody watches, so that what is measured per viewer is the viewer.
    std::thread::sleep(SETTLE);
    let kib_before = dashboard.memory_kib()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("starting a runtime"))?;
    let crowd = runtime.block_on(Crowd::gather(port, &path, options.viewers))?;
    // They read meanwhile.
    runtime.block_on(async { tokio::time::sleep(SETTLE).await });
    let (before, begun) = (dashboard.usage(), Instant::now());
    let (watched, open) = runtime.block_on(crowd.watch(options.length))?;
    let seconds = begun.elapsed().as_secs_f64();
    let used = dashboard.usage().since(before);
    let kib_with_all = dashboard.memory_kib()?;
    drop(open);
    show.close();
    dashboard.stop()?;
    redis.stop()?;
    let readers = f64::from(options.viewers - 1);
    Ok(ViewersReport {
        machine: Machine::here(),
        viewers: options.viewers,
        contestants: options.contestants,
        seconds,
        frames: watched.frames,
        skipped: watched.skipped,
        lost: watched.lost,
        age_ms: watched.age().ok_or_else(|| Error::Other("no frame came at all".into()))?,
        cpu_percent_of_a_core: used.total_us() as f64 / (seconds * 10_000.0),
        kib_before,
        kib_with_all,
        kib_per_viewer: kib_with_all.saturating_sub(kib_before) as f64 / f64::from(options.viewers),
        bytes_per_viewer_per_second: watched.bytes as f64 / (readers * seconds),
    })
}

/// The port of an address of this machine.
fn port_in(line: &str) -> Option<u16> {
    let digits = line.split_once("127.0.0.1:")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok().filter(|port| *port > 0)
}

impl ViewersReport {
    fn cpu_percent_max(&self) -> f64 {
        if self.viewers <= VIEWERS_USUAL { CPU_PERCENT_MAX } else { CPU_PERCENT_MAX_OF_MANY }
    }

    /// Whether it reaches what it must.
    pub fn is_enough(&self) -> bool {
        self.cpu_percent_of_a_core < self.cpu_percent_max()
            && (self.age_ms.p99 as f64) < AGE_P99_MS_MAX
            && self.lost == 0
    }

    pub fn to_markdown(&self) -> String {
        format!(
            "{}\n\n| viewers | contestants | frame age p50 / p99 / max, ms | CPU, % of a core | KiB per viewer | bytes/s per viewer | \
             frames | skipped | lost |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n\
             | {} | {} | {} / {} / {} | {:.1} | {:.0} | {:.0} | {} | {} | {} |\n\n\
             One viewer never reads. Must be: below {} % of a core and p99 below {AGE_P99_MS_MAX} ms, nobody \
             lost: {}.\n",
            self.machine.to_markdown(),
            self.viewers,
            self.contestants,
            self.age_ms.p50,
            self.age_ms.p99,
            self.age_ms.max,
            self.cpu_percent_of_a_core,
            self.kib_per_viewer,
            self.bytes_per_viewer_per_second,
            self.frames,
            self.skipped,
            self.lost,
            self.cpu_percent_max(),
            if self.is_enough() { "reached" } else { "missed" },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_in_whatever_says_it() {
        assert_eq!(port_in("listening on http://127.0.0.1:8123/"), Some(8123));
        assert_eq!(port_in("{\"address\":\"127.0.0.1:65535\"}"), Some(65_535));
        for nothing in ["listening", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999"] {
            assert_eq!(port_in(nothing), None, "{nothing}");
        }
    }
}
