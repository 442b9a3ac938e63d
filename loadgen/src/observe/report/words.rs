//! Figures and settings as a reader wants them.

use crate::engine::plan::{Load, Phase};
use crate::observe::title::rfc3339;
use flowtest_contract::rules::{Deadline, Rules};
use flowtest_contract::text::grouped;

/// A count beside an axis.
pub(super) fn short(value: f64) -> String {
    let trimmed = |value: f64, unit: &str| {
        let text = format!("{value:.2}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match value {
        _ if value >= 1e6 => trimmed(value / 1e6, " M"),
        _ if value >= 1e4 => trimmed(value / 1e3, " k"),
        _ if value >= 10.0 => grouped(value.round() as u64),
        _ => trimmed(value, ""),
    }
}

/// A round duration beside an axis.
pub(super) fn round_micros(us: f64) -> String {
    match us {
        _ if us >= 1e6 => format!("{} s", us / 1e6),
        _ if us >= 1e3 => format!("{} ms", us / 1e3),
        _ => format!("{us} µs"),
    }
}

/// A phase in the words of the contest file, by its number there.
pub(super) fn phase(number: usize, phase: &Phase) -> String {
    let load = match phase.load {
        Load::Open(ramp) if ramp.from == ramp.to => format!("{}/s", short(ramp.ends()[0])),
        Load::Open(ramp) => format!("{} to {}/s", short(ramp.ends()[0]), short(ramp.ends()[1])),
        Load::Step(_) => "breakpoint".to_owned(),
        Load::Closed { pipeline: 1 } => format!("{} connections", phase.connections),
        Load::Closed { pipeline } => format!("{} × {pipeline} in flight", phase.connections),
    };
    format!("{number} · {load}{}", if phase.scored { "" } else { ", not scored" })
}

/// Label and value of each rule.
pub(super) fn rules(rules: &Rules, version: Deadline, from: Deadline) -> Vec<(&'static str, String)> {
    let seconds = |us: u64| format!("{} s", short(us as f64 / 1e6));
    let side = |deadline: Deadline, before: &str, after: &str| match deadline {
        Deadline::PASSED => format!("{after}, from the start"),
        Deadline::NEVER => format!("{before}, all the time"),
        Deadline(at) => format!("{before}, then {after} from {}", rfc3339(at)),
    };
    let mut lines = vec![
        ("Token", format!("right +{0}, wrong −{0}", rules.token)),
        ("Version", format!("{}; right +{1}, wrong −{1}", side(version, "v1", "v2"), rules.version)),
        ("From", format!("{}; right +{1}, wrong −{1}", side(from, "EC2", "ECS"), rules.from)),
        ("A failed exchange", format!("−{}", rules.exchange_points())),
        ("Timeout", seconds(rules.timeout_us)),
        ("Grace around a deadline", seconds(rules.grace_us)),
    ];
    if rules.token_required {
        lines.push(("A wrong token", "makes all three wrong".to_owned()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short() {
        let table = [
            (0.0, "0"),
            (0.25, "0.25"),
            (2.5, "2.5"),
            (400.0, "400"),
            (7_500.0, "7,500"),
            (12_500.0, "12.5 k"),
            (2e6, "2 M"),
        ];
        for (value, text) in table {
            assert_eq!(short(value), text);
        }
        assert_eq!([1.0, 500.0, 20_000.0, 1e7].map(round_micros), ["1 µs", "500 µs", "20 ms", "10 s"]);
    }
}
