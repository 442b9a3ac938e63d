//! From what the live feed knows to what pages show. One place, so that all pages say the same.

use crate::clock::utc_ms;
use crate::live::facts::NoticeLevel;
use crate::live::round_now::{Due as DueNow, RoundNow};
use crate::live::{Facts, Line, Standings};
use crate::views::layout::{Due, Level, Notice, RoundHead, RoundState};
use crate::views::{Decided, StandingRow};
use flowtest_scoreboard::DecidedBy;

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
        level: match notice.level {
            NoticeLevel::Info => Level::Info,
            NoticeLevel::Warn => Level::Warn,
        },
        text: notice.text.clone(),
        at_ms: utc_ms(notice.at),
    };
    facts.notices.iter().map(one).collect()
}

pub fn round_head(round: &RoundNow) -> RoundHead {
    let ms = |at: Option<u64>| at.map(|at| at as i64);
    RoundHead {
        number: round.number,
        state: round_state(round.state),
        scored: round.scored,
        start_at_ms: ms(round.start_at),
        end_at_ms: ms(round.end_at),
        phase: round.phase.map(|phase| phase as u32),
        phases: round.phases as u32,
        frozen_at_ms: ms(round.frozen_at),
        revealed: round.revealed,
    }
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

/// From the name of a state to the page's.
pub fn round_state(name: &str) -> RoundState {
    match name {
        "armed" => RoundState::Armed,
        "running" => RoundState::Running,
        "paused" => RoundState::Paused,
        "draining" => RoundState::Draining,
        "sealed" => RoundState::Sealed,
        "aborted" => RoundState::Aborted,
        _ => RoundState::Draft,
    }
}

pub fn due(due: &DueNow) -> Due {
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
