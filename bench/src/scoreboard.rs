//! What the rows of a fleet cost Redis: a real redis-server with an append-only file, for each generator the real publisher
//! with rows of a long round that change ten times a second, and one who reads everything once a second, as a dashboard does.
//! At the end Redis must hold exactly what the generators counted.

mod fleet;

use crate::contest_box::Redis;
use crate::error::{Error, Result};
use crate::machine::Machine;
use fleet::Fleet;
use flowtest_contract::RoundId;
use flowtest_scoreboard::Scoreboard;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

const CONTEST: &str = "fleet";
/// As often as a dashboard asks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// From the first rows to the measurement: everything has been put as a whole by then.
const SETTLE: Duration = Duration::from_secs(3);
/// Until Redis listens to somebody who only wants to know how it fares.
const INFO_TIMEOUT: Duration = Duration::from_secs(10);
/// BENCHMARKS.md, "Bounds": contestants, generators, percent of a core, MB/s that come in.
const BOUNDS: [(Size, f64, f64); 2] = [
    (Size { contestants: 200, generators: 8 }, 15.0, 8.0),
    (Size { contestants: 1_000, generators: 4 }, 40.0, f64::MAX),
];
/// How old rows may be when they are read.
const AGE_MS_MAX: u64 = 1_000;

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Contestants and generators, as `200x8`; may come several times.
    #[arg(long = "size", default_values = ["200x8", "1000x4"])]
    pub sizes: Vec<Size>,
    /// Requests per second of each contestant at each generator.
    #[arg(long, default_value_t = 125, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// How long is measured.
    #[arg(long = "for", default_value = "20s", value_parser = humantime::parse_duration)]
    pub length: Duration,
    /// Where to write the result as JSON; `-` is standard output instead of the table.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    pub contestants: u32,
    pub generators: u32,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Size, String> {
        let read = |text: &str, most: u32| text.parse().ok().filter(|count| (1..=most).contains(count));
        let size = text.split_once('x').and_then(|(contestants, generators)| {
            Some(Size { contestants: read(contestants, 20_000)?, generators: read(generators, 100)? })
        });
        size.ok_or_else(|| "it is contestants x generators, as 200x8".to_owned())
    }
}

#[derive(Debug, Serialize)]
pub struct ScoreboardReport {
    pub machine: Machine,
    pub rate: u32,
    pub fleets: Vec<Measured>,
}

/// What one fleet cost.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub size: Size,
    pub seconds: f64,
    /// Bytes of a row as one text, at the beginning.
    pub row_text_bytes: usize,
    /// Of redis-server, with what it forks to rewrite its file.
    pub cpu_percent_of_a_core: f64,
    pub bytes_in_per_second: f64,
    pub bytes_out_per_second: f64,
    /// How much the append-only file grew.
    pub file_bytes_per_second: f64,
    pub rewrites: u64,
    pub fields: u64,
    pub looks: u64,
    /// How old the oldest stream's rows were when they had been read, at the worst look.
    pub age_ms_max: u64,
    pub histograms_age_ms_max: u64,
}

/// Runs all sizes one after the other.
///
/// # Errors
/// What keeps Redis or a publisher from running, and sums in Redis that are not those of the generators.
pub fn run(options: &Options) -> Result<ScoreboardReport> {
    let fleets = options.sizes.iter().map(|size| measure(*size, options)).collect::<Result<_>>()?;
    Ok(ScoreboardReport { machine: Machine::here(), rate: options.rate, fleets })
}

fn measure(size: Size, options: &Options) -> Result<Measured> {
    let folder = tempfile::tempdir().map_err(Error::io("making a folder"))?;
    let redis = Redis::start(&folder.path().join("redis"))?;
    let round = RoundId::from_bits(u128::from(flowtest_contract::utc_us().0) << 64 | u128::from(std::process::id()));
    let mut scoreboard = Scoreboard::connect(&redis.url()).map_err(scoreboard_error)?;
    scoreboard.open_round(CONTEST, &round).map_err(scoreboard_error)?;
    let fleet = Fleet::start(&redis.url(), CONTEST, round, size, options.rate)?;
    std::thread::sleep(SETTLE);
    let (begun, before) = (Instant::now(), Info::of(&redis)?);
    let (mut looks, mut age_ms_max, mut histograms_age_ms_max) = (0, 0, 0);
    let (mut file_bytes, mut file_before) = (0, before.number("aof_current_size")?);
    while begun.elapsed() < options.length {
        let totals = scoreboard.read_round(CONTEST, &round).map_err(scoreboard_error)?;
        let now = fleet.elapsed_ms();
        for stream in &totals.streams {
            age_ms_max = age_ms_max.max(now.saturating_sub(stream.seq));
            histograms_age_ms_max = histograms_age_ms_max.max(now.saturating_sub(stream.histograms_seq));
        }
        looks += 1;
        let file = Info::of(&redis)?.number("aof_current_size")?;
        // It shrinks when it has been rewritten; what was added in that second is not known.
        file_bytes += file.saturating_sub(file_before);
        file_before = file;
        let next = LOOK_INTERVAL * looks;
        std::thread::sleep(next.saturating_sub(begun.elapsed()));
    }
    let (seconds, after) = (begun.elapsed().as_secs_f64(), Info::of(&redis)?);
    let fields = scoreboard.count_fields(CONTEST, &round).map_err(scoreboard_error)?;
    let row_text_bytes = fleet.row_text_bytes();
    let counted = fleet.finish()?;
    let held = scoreboard.read_round(CONTEST, &round).map_err(scoreboard_error)?;
    if held.contestants != counted || !held.junk.is_empty() {
        return Err(Error::Other("the sums in Redis are not those that were counted".into()));
    }
    redis.stop()?;
    let grown = |key: &str| Ok(after.number(key)?.saturating_sub(before.number(key)?));
    let used = |key: &str| -> Result<f64> { Ok(after.seconds(key)? - before.seconds(key)?) };
    let mut cpu = 0.0;
    for key in ["used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children"] {
        cpu += used(key)?;
    }
    Ok(Measured {
        size,
        seconds,
        row_text_bytes,
        cpu_percent_of_a_core: cpu / seconds * 100.0,
        bytes_in_per_second: grown("total_net_input_bytes")? as f64 / seconds,
        bytes_out_per_second: grown("total_net_output_bytes")? as f64 / seconds,
        file_bytes_per_second: file_bytes as f64 / seconds,
        rewrites: grown("aof_rewrites")?,
        fields,
        looks: u64::from(looks),
        age_ms_max,
        histograms_age_ms_max,
    })
}

/// What Redis says of itself.
struct Info(BTreeMap<String, String>);

impl Info {
    fn of(redis: &Redis) -> Result<Info> {
        let text = redis.info(INFO_TIMEOUT)?;
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Ok(Info(fields.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()))
    }

    fn number(&self, key: &str) -> Result<u64> {
        self.read(key)
    }

    fn seconds(&self, key: &str) -> Result<f64> {
        self.read(key)
    }

    fn read<T: FromStr>(&self, key: &str) -> Result<T> {
        let value = self.0.get(key).and_then(|value| value.parse().ok());
        value.ok_or_else(|| Error::Other(format!("Redis does not tell {key}")))
    }
}

impl Measured {
    /// Whether it reaches what it must; `None` for a size that has no bound.
    pub fn is_enough(&self) -> Option<bool> {
        let (_, cpu_percent, megabytes) = BOUNDS.into_iter().find(|(size, ..)| *size == self.size)?;
        let is_young = self.age_ms_max.max(self.histograms_age_ms_max) <= AGE_MS_MAX;
        Some(self.cpu_percent_of_a_core < cpu_percent && self.bytes_in_per_second < megabytes * 1e6 && is_young)
    }
}

impl ScoreboardReport {
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "{}\n\n| contestants × generators | Redis, % of a core | MB/s in | MB/s into its file | MB/s out | rewrites | fields | \
             age of tallies, histograms at most, ms | must |\n|---:|---:|---:|---:|---:|---:|---:|---:|---|\n",
            self.machine.to_markdown()
        );
        for fleet in &self.fleets {
            let megabytes = |bytes: f64| format!("{:.1}", bytes / 1e6);
            let must = match fleet.is_enough() {
                None => "",
                Some(true) => "reached",
                Some(false) => "**missed**",
            };
            text.push_str(&format!(
                "| {} × {} | {:.1} | {} | {} | {} | {} | {} | {}, {} | {must} |\n",
                fleet.size.contestants,
                fleet.size.generators,
                fleet.cpu_percent_of_a_core,
                megabytes(fleet.bytes_in_per_second),
                megabytes(fleet.file_bytes_per_second),
                megabytes(fleet.bytes_out_per_second),
                fleet.rewrites,
                fleet.fields,
                fleet.age_ms_max,
                fleet.histograms_age_ms_max,
            ));
        }
        let rate = self.rate;
        text.push_str(&format!(
            "\nEach contestant has {rate} requests/s at each generator; its rows are those of an hour, {} bytes as one text. Redis \
             holds to the bucket what was counted.\n",
            self.fleets.first().map_or(0, |fleet| fleet.row_text_bytes)
        ));
        text
    }
}

fn scoreboard_error(error: impl std::fmt::Display) -> Error {
    Error::Other(format!("the scoreboard: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_two_numbers() {
        assert_eq!("200x8".parse(), Ok(Size { contestants: 200, generators: 8 }));
        for nothing in ["", "200", "0x8", "200x0", "x", "200x8x1", "99999999x1"] {
            assert!(nothing.parse::<Size>().is_err(), "{nothing}");
        }
    }
}
