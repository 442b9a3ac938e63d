//! The same load for one contestant and for many: what a place in the roster costs, and what its length does.
//!
//! A p99 of some hundred requests is the second to fifth slowest of them, so that tenths of a roster differ by chance alone.
//! So the plays are laid together first, contestant by contestant, and beside what the tenths come to stands what they come to
//! with the places dealt anew: a place that costs something shows as a difference between the two.

use super::Bench;
use super::report::Bound;
use crate::child::{self, Child};
use crate::contest_box::Target;
use crate::error::{Error, Result};
use serde_json::Value;
use std::fmt::Write;
use std::time::Duration;

/// (contestants, requests a second of each).
const SHAPES: [(usize, u64); 6] = [(1, 20_000), (10, 2_000), (100, 200), (20, 500), (200, 50), (1_000, 20)];
/// Divided among all: 2 to 64 for each.
const CONNECTIONS: usize = 1_000;
/// Not counted: everybody is connected in it.
const WARM_UP_S: u64 = 2;
/// A contestant of the longest roster shall have some hundreds of requests.
const LENGTHS: u32 = 5;
/// Parts of the roster, from its top to its end.
const PARTS: usize = 10;
/// How often the places are dealt anew.
const SHUFFLES: usize = 200;
const TIMEOUT: Duration = Duration::from_secs(600);

/// What one play of a shape came to.
struct Play {
    p50_us: f64,
    /// User and system: by itself the first is a guess from where ticks fell, and these fall beside the same requests.
    cpu_us: f64,
    /// Of each contestant, by its place in the roster.
    p50s_us: Vec<f64>,
    p99s_us: Vec<f64>,
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
        for (quantile, value) in
            [("p50", (|play| &play.p50s_us) as fn(&Play) -> &Vec<f64>), ("p99", |play| &play.p99s_us)]
        {
            let together = mean_of_each(of(contestants).map(value));
            let what =
                format!("{quantile} of the slowest tenth of the roster over the fastest, {contestants} contestants");
            let dealt = format!("{what}, places dealt anew");
            report.claim_values(what, "times", spread_of_tenths(&together), Bound::Max(1.05));
            report.claim_values(dealt, "times", spreads_by_chance(&together), Bound::None);
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
    let of_each =
        |quantile: &str| each.iter().map(|one| one["latency_us"][quantile].as_f64()).collect::<Option<Vec<f64>>>();
    Some(Play {
        p50_us: figures["latency_us"]["p50"].as_f64()?,
        cpu_us: figures["cpu"]["user_us_per_request"].as_f64()? + figures["cpu"]["system_us_per_request"].as_f64()?,
        p50s_us: of_each("p50")?,
        p99s_us: of_each("p99")?,
    })
}

/// What each contestant came to in all plays together.
fn mean_of_each<'a>(plays: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let mut sums: Vec<f64> = Vec::new();
    let mut count = 0.0;
    for play in plays {
        sums.resize(play.len(), 0.0);
        sums.iter_mut().zip(play).for_each(|(sum, value)| *sum += value);
        count += 1.0;
    }
    sums.into_iter().map(|sum| sum / count).collect()
}

/// The greatest mean of a tenth over the least; `None` with fewer than ten contestants.
fn spread_of_tenths(each: &[f64]) -> Option<f64> {
    if each.len() < PARTS {
        return None;
    }
    let tenth = |part: usize| &each[each.len() * part / PARTS..each.len() * (part + 1) / PARTS];
    let means = (0..PARTS).map(|part| tenth(part).iter().sum::<f64>() / tenth(part).len() as f64);
    let (least, most) = means.fold((f64::MAX, 0.0_f64), |(least, most), mean| (least.min(mean), most.max(mean)));
    Some(most / least)
}

/// The same with the places dealt anew, many times.
fn spreads_by_chance(each: &[f64]) -> Vec<f64> {
    let mut dealt = each.to_vec();
    // Any sequence will do that is the same each time.
    let mut state = 1_u64;
    let mut below = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % most
    };
    (0..SHUFFLES)
        .filter_map(|_| {
            (1..dealt.len()).rev().for_each(|place| dealt.swap(place, below(place + 1)));
            spread_of_tenths(&dealt)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_by_places() {
        let one = |p50: u64| serde_json::json!({"latency_us": {"p50": p50, "p99": 2 * p50}});
        let figures = serde_json::json!({
            "contestants": [one(100), one(110)], "latency_us": {"p50": 100},
            "cpu": {"user_us_per_request": 1.5, "system_us_per_request": 5.5},
        });
        let play = read(&figures).expect("all is there");
        assert_eq!((play.p50_us, play.cpu_us), (100.0, 7.0));
        assert_eq!((play.p50s_us, play.p99s_us), (vec![100.0, 110.0], vec![200.0, 220.0]));
    }

    #[test]
    fn a_place_that_costs_something_shows_and_chance_does_not() {
        // Two plays; each contestant is slow in one of them.
        let plays: [Vec<f64>; 2] =
            [0, 1].map(|play| (0..20).map(|place| if place % 2 == play { 90.0 } else { 110.0 }).collect());
        assert_eq!(spread_of_tenths(&mean_of_each(plays.iter())), Some(1.0));
        let mut each = vec![100.0; 20];
        (each[18], each[19]) = (110.0, 130.0);
        assert_eq!(spread_of_tenths(&each), Some(1.2));
        assert_eq!(spread_of_tenths(&each[..9]), None);
        // The last two are beside each other by chance once in nineteen.
        let mut chance = spreads_by_chance(&each);
        chance.sort_unstable_by(f64::total_cmp);
        assert!((1.14..1.16).contains(&chance[SHUFFLES / 2]), "{chance:?}");
    }
}
