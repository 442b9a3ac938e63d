//! From what the live feed knows to what pages show. One place, so that all pages say the same.

use crate::app::App;
use crate::clock::{utc_ms, utc_us};
use crate::error::RequestError;
use crate::live::frame::{Link, decided as rule_name};
use crate::live::round_now::{Due as DueNow, RoundNow};
use crate::live::{Audience, Facts, Line, Seen, Standings};
use crate::views::layout::{Due, Notice, RoundHead, RoundState, Stage};
use crate::views::plan::{PlanLoad, PlanPhase};
use crate::views::{Decided, StandingRow};
use flowtest_accounts::Round;
use flowtest_contest::DecidedBy;
use flowtest_contest::contest::{Load, Phase};
use flowtest_contract::rules::UtcUs;
use serde_json::{Value, json};

pub fn standing_rows(standings: &Standings) -> Vec<StandingRow> {
    standings.lines.iter().map(standing_row).collect()
}

fn standing_row(line: &Line) -> StandingRow {
    StandingRow {
        key: line.person.key.to_string(),
        name: line.person.name.clone(),
        shown: line.person.shown.clone(),
        colour: line.person.key.colour() as u8,
        rank: line.rank,
        moved: line.gained.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32,
        points: line.score.points,
        minute: line.score.minute,
        rate: line.score.rate,
        success_permille: line.score.success,
        p50_us: line.score.p50_us,
        p99_us: line.score.p99_us,
        failures: line.score.failures,
        decided: line.decided.map(decided),
    }
}

fn decided(by: DecidedBy) -> Decided {
    match by {
        DecidedBy::Points => Decided::Points,
        DecidedBy::Failures => Decided::Failures,
        DecidedBy::P99 => Decided::P99,
        DecidedBy::ReachedFirst => Decided::Reached,
        DecidedBy::Shared => Decided::Shared,
    }
}

pub fn notices(facts: &Facts) -> Vec<Notice> {
    let one = |notice: &crate::live::Notice| Notice {
        id: notice.id,
        level: notice.level,
        text: notice.text.clone(),
        at_ms: utc_ms(notice.at),
    };
    facts.notices.iter().map(one).collect()
}

/// The standings as programs read them. Units are in the names; `at` and `of` are the older ones of `at_ms`, `of_ms`.
pub fn standings_json(app: &App, audience: &Audience) -> Value {
    let standings = app.feed.standings(audience);
    let seen = app.feed.seen();
    let facts = app.feed.facts();
    let now = utc_us();
    let round = seen.control.as_deref().map(|control| RoundNow::of(control, &facts, now));
    let lines: Vec<Value> = standings
        .lines
        .iter()
        .map(|line| {
            json!({
                "id": line.person.key, "name": line.person.name, "shown": line.person.shown, "rank": line.rank,
                "moved": line.gained, "points": line.score.points, "points_last_minute": line.score.minute,
                "rate": line.score.rate, "success_permille": line.score.success, "p50_us": line.score.p50_us,
                "p99_us": line.score.p99_us, "failures": line.score.failures, "decided": line.decided.map(rule_name),
            })
        })
        .collect();
    json!({
        "contest": app.config.contest, "at_ms": utc_ms(now), "of_ms": utc_ms(standings.at), "round": round,
        "at": utc_ms(now), "of": utc_ms(standings.at),
        "frozen": round.as_ref().is_some_and(|round| round.frozen_at.is_some() && !round.revealed),
        "standings": lines,
    })
}

/// Where the contest stands, at the head of every page.
pub fn stage(seen: &Seen, facts: &Facts, now: UtcUs) -> Stage {
    let control = seen.control.as_deref();
    Stage {
        round: control.map(|control| round_head(&RoundNow::of(control, facts, now))),
        due: control.map(|control| due(&DueNow::of(Some(control), now))),
        stale_since_ms: match seen.link {
            Link::Live => None,
            Link::Stale { since } => Some(utc_ms(since)),
        },
        ended: facts.ended,
    }
}

fn round_head(round: &RoundNow) -> RoundHead {
    let ms = |at: Option<u64>| at.map(|at| at as i64);
    RoundHead {
        number: round.number,
        state: round.state,
        scored: round.scored,
        start_at_ms: ms(round.start_at),
        end_at_ms: ms(round.end_at),
        phase: round.phase.map(|phase| phase as u32),
        phases: round.phases as u32,
        frozen_at_ms: ms(round.frozen_at),
        revealed: round.revealed,
    }
}

/// The traffic plan as its picture needs it.
pub fn plan(phases: &[Phase]) -> Vec<PlanPhase> {
    let one = |phase: &Phase| PlanPhase {
        seconds: phase.duration_us as f64 / 1e6,
        load: match phase.load {
            Load::Open { from, to } => PlanLoad::Open { from, to },
            Load::Closed { pipeline } => PlanLoad::Closed { pipeline },
        },
        connections: phase.connections,
        scored: phase.scored,
    };
    phases.iter().map(one).collect()
}

/// What the network sent, as it was made printable, with the line breaks it had: the four characters of an escaped CRLF
/// become one line break.
pub fn with_line_breaks(printable: &str) -> String {
    let mut text = String::with_capacity(printable.len());
    let mut rest = printable;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        // A backslash that was sent stands there twice, and begins nothing.
        let (shown, taken) = if rest.starts_with(r"\\") {
            (r"\\", 2)
        } else if rest.starts_with(r"\r\n") {
            ("\n", 4)
        } else {
            (r"\", 1)
        };
        text.push_str(shown);
        rest = &rest[taken..];
    }
    text.push_str(rest);
    text
}

/// The state that the table of rounds holds, which is a word there.
pub fn round_state(round: &Round) -> Result<RoundState, RequestError> {
    let unknown =
        || format!("round {} has the state {:?}, which this program does not know", round.number, round.state);
    round.state.parse().map_err(|()| RequestError::Internal(unknown()))
}

fn due(due: &DueNow) -> Due {
    Due {
        version: due.version.to_owned(),
        from: due.from.to_owned(),
        version_at_ms: due.version_at.map(|at| at as i64),
        from_at_ms: due.from_at.map(|at| at as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_line_breaks_that_were_sent_are_shown_as_such() {
        let cases = [
            (r"HTTP/1.1 200 OK\r\nToken: a\r\n", "HTTP/1.1 200 OK\nToken: a\n"),
            // somebody sent a backslash, an r, a backslash and an n
            (r"a\\r\\n", r"a\\r\\n"),
            (r"\x1b[2J\r", r"\x1b[2J\r"),
            ("", ""),
        ];
        for (printable, shown) in cases {
            assert_eq!(with_line_breaks(printable), shown);
        }
    }
}
