//! The same load for one contestant and for many: what a place in the roster costs, and what its length does.

use super::Bench;
use super::report::Bound;
use crate::child::{self, Child};
use crate::contest_box::Target;
use crate::error::{Error, Result};
use serde_json::Value;
use std::fmt::Write;
use std::time::Duration;

/// (contestants, requests a second of each).
const SHAPES: [(usize, u64); 5] = [(1, 20_000), (10, 2_000), (20, 500), (200, 50), (1_000, 20)];
/// Connections of all together.
const CONNECTIONS: usize = 1_000;
/// Not counted: everybody is connected in it.
const WARM_UP_S: u64 = 2;
/// A contestant of the longest roster shall have some hundreds of requests.
const LENGTHS: u32 = 5;
/// Parts of the roster, from its top to its end.
const PARTS: usize = 10;
const TIMEOUT: Duration = Duration::from_secs(600);

/// What one play of a shape came to.
struct Play {
    p50_us: f64,
    /// User and system: by itself the first is a guess from where ticks fell, and these fall beside the same requests.
    cpu_us: f64,
    /// The greatest mean of a tenth of the roster over the least, at two quantiles.
    tenths: Option<(f64, f64)>,
}

/// Plays every shape in turn, as often as pairs are asked for.
pub(super) fn rows(bench: &mut Bench<'_>) -> Result<()> {
    let core = bench.options.server_core.to_string();
    let target = Target::start("target", &["--listen", "0.0.0.0:0", "--cores", &core])?;
    let port = target.endpoint.rsplit(':').next().unwrap_or_default().to_owned();
    let mut plays: Vec<Vec<Play>> = SHAPES.iter().map(|_| Vec::new()).collect();
    for _ in 0..bench.options.pairs {
        for ((contestants, rate), plays) in SHAPES.into_iter().zip(&mut plays) {
            if (bench.stopped)() {
                return Err(Error::Other("stopped before the table was complete".into()));
            }
            anstream::eprintln!("compare: {contestants} contestants, {rate}/s each");
            plays.push(play(bench, &port, contestants, rate)?);
        }
    }
    target.stop()?;
    let of = |contestants: usize| {
        let place = SHAPES.iter().position(|(count, _)| *count == contestants).expect("one of the shapes");
        plays[place].iter()
    };
    let ratios = |long: usize, short: usize, value: fn(&Play) -> f64| -> Vec<f64> {
        of(long).zip(of(short)).map(|(long, short)| value(long) / value(short)).collect()
    };
    let report = &mut bench.report;
    for (contestants, _) in SHAPES {
        let what = format!("latency p50, {contestants} contestants, {} requests/s each", rate_of(contestants));
        report.claim_values(what, "µs", of(contestants).map(|play| play.p50_us), Bound::None);
    }
    report.claim_values(
        "latency p50, 1,000 contestants at 20/s over one at 20,000/s".into(),
        "times",
        ratios(1_000, 1, |play| play.p50_us),
        Bound::Max(2.0),
    );
    report.claim_values(
        "CPU of a request, 1,000 contestants over 10".into(),
        "times",
        ratios(1_000, 10, |play| play.cpu_us),
        Bound::Max(1.3),
    );
    for contestants in [20, 200, 1_000] {
        for (quantile, value) in [("p50", (|play| play.0) as fn(&(f64, f64)) -> f64), ("p99", |play| play.1)] {
            report.claim_values(
                format!("{quantile} of the slowest tenth of the roster over the fastest, {contestants} contestants"),
                "times",
                of(contestants).filter_map(|play| play.tenths.as_ref().map(value)),
                Bound::Max(1.05),
            );
        }
    }
    Ok(())
}

fn rate_of(contestants: usize) -> u64 {
    SHAPES.iter().find(|(count, _)| *count == contestants).map_or(0, |(_, rate)| *rate)
}

/// One contest: everybody is the same target, under an address of its own.
fn play(bench: &Bench<'_>, port: &str, contestants: usize, rate: u64) -> Result<Play> {
    let length = (bench.options.each * LENGTHS).as_secs();
    let connections = (CONNECTIONS / contestants).clamp(2, 64);
    let mut contest = String::from("name = \"contestants\"\n[policy]\nallow = [\"127.0.0.0/8\"]\n");
    for (seconds, scored) in [(WARM_UP_S, false), (length, true)] {
        let _ = writeln!(
            contest,
            "[[phase]]\nfor = \"{seconds}s\"\nrate = {rate}\nconnections = {connections}\nscored = {scored}"
        );
    }
    for number in 0..contestants {
        let (third, fourth) = (number / 250, number % 250 + 1);
        let _ =
            writeln!(contest, "[[contestant]]\nname = \"c{number:04}\"\nendpoint = \"127.0.{third}.{fourth}:{port}\"");
    }
    let path = bench.scratch.join("contestants.toml");
    std::fs::write(&path, contest).map_err(Error::io(format!("writing {}", path.display())))?;
    let mut command = child::sibling("flowtest-loadgen")?;
    let core = bench.options.generator_core.to_string();
    // A thousand contestants are more than a child may say.
    let json = bench.scratch.join("contestants.json");
    command.arg("run").arg(&path).args(["--quiet", "--cores", &core]).arg("--json").arg(&json);
    let ended = Child::start("flowtest-loadgen", &command)?.wait(TIMEOUT)?;
    let text = std::fs::read_to_string(&json).map_err(Error::io(format!("reading {}", json.display())))?;
    let figures: Value = serde_json::from_str(&text)
        .map_err(|_| Error::Other(format!("the generator wrote no figures: {}", ended.stderr.trim())))?;
    read(&figures).ok_or_else(|| Error::Other(format!("the generator's figures lack a latency: {figures}")))
}

fn read(figures: &Value) -> Option<Play> {
    let each = figures["contestants"].as_array()?;
    let mean = |part: &[Value], quantile: &str| -> Option<f64> {
        let values = part.iter().map(|one| one["latency_us"][quantile].as_f64()).collect::<Option<Vec<f64>>>()?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    };
    let spread = |quantile: &str| -> Option<f64> {
        let parts = (0..PARTS).map(|part| &each[each.len() * part / PARTS..each.len() * (part + 1) / PARTS]);
        let means = parts.map(|part| mean(part, quantile)).collect::<Option<Vec<f64>>>()?;
        Some(means.iter().copied().fold(0.0, f64::max) / means.iter().copied().fold(f64::MAX, f64::min))
    };
    let tenths = if each.len() >= PARTS { Some((spread("p50")?, spread("p99")?)) } else { None };
    Some(Play {
        p50_us: figures["latency_us"]["p50"].as_f64()?,
        cpu_us: figures["cpu"]["user_us_per_request"].as_f64()? + figures["cpu"]["system_us_per_request"].as_f64()?,
        tenths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_of_a_roster_are_compared_by_their_means() {
        let one = |p50: u64| serde_json::json!({"latency_us": {"p50": p50, "p99": 2 * p50}});
        let mut each: Vec<Value> = (0..20).map(|_| one(100)).collect();
        (each[18], each[19]) = (one(110), one(130));
        let figures = serde_json::json!({
            "contestants": each, "latency_us": {"p50": 100}, "cpu": {"user_us_per_request": 1.5, "system_us_per_request": 5.5},
        });
        let play = read(&figures).expect("all is there");
        assert_eq!((play.p50_us, play.cpu_us, play.tenths), (100.0, 7.0, Some((1.2, 1.2))));
    }
}
