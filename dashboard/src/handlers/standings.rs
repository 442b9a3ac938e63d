//! The standings as programs take them: `/api/standings` and the exports.

use crate::app::App;
use crate::handlers::download::text;
use crate::live::clock::{Millis, utc_ms};
use crate::live::{Audience, NotValid, RoundNow, Standing, ValidityNow};
use crate::views::format;
use serde::Serialize;
use serde_json::{Map, Value};

/// The answer of `/api/standings`. Every instant is in milliseconds; other units are in the names.
#[derive(Debug, Serialize)]
pub struct StandingsAnswer {
    contest: String,
    /// When it was asked.
    at_ms: Millis,
    /// Of which instant the standings are; an earlier one while they are frozen.
    of_ms: Millis,
    /// What 0.1 called the two; they go with 0.3.
    at: Millis,
    of: Millis,
    round: Option<RoundNow>,
    /// Null before a generator has said anything.
    validity: Option<ValidityNow>,
    frozen: bool,
    /// Sealed rounds that are not valid, with the organiser's word.
    rounds_not_valid: Vec<NotValid>,
    standings: Vec<Line>,
}

/// One line. Programs of contestants and organisers read these names: the ones that were called otherwise in 0.1 are said
/// under their old names too until 0.3.
#[derive(Debug, Serialize)]
pub struct Line {
    #[serde(flatten)]
    standing: Standing,
    /// `display_name`
    shown: String,
    /// `rank_change`
    moved: i64,
    /// `verified_permille`
    success_permille: Option<u16>,
}

/// The columns of `standings.csv`: those of 0.1 in their places, what was new in 0.2 and the old names, and what came since.
pub const COLUMNS: [&str; 24] = [
    "rank",
    "name",
    "display_name",
    "points",
    "points_last_minute",
    "rate",
    "verified_permille",
    "p50_us",
    "p99_us",
    "failures",
    "decided",
    "id",
    "rank_change",
    "shown",
    "success_permille",
    "void",
    "holds",
    "holds_p99_us",
    "unbroken",
    "category",
    "holds_since",
    "breaks_at",
    "breaks_by",
    "unbroken_by",
];

/// The last column of `standings.csv`: the same in each row, so that no row is taken away without it.
pub const NOT_VALID: &str = "not_valid";

/// What stands in it: which rounds in the points are not valid, with the organiser's word. `now`: of the round that is on.
pub fn not_valid(rounds: &[NotValid], now: Option<&ValidityNow>) -> String {
    let sealed = rounds.iter().map(|NotValid { number, ruling }| {
        format!("round {number}: {}", ruling.map_or("the organiser has said nothing yet", format::ruling))
    });
    let on = now.filter(|now| now.warn && !now.valid).map(|_| "the round that is on: not valid so far".to_owned());
    sealed.chain(on).collect::<Vec<_>>().join("; ")
}

impl StandingsAnswer {
    /// As an audience sees them now; of one category, if that is asked for.
    pub fn of(app: &App, audience: &Audience, category: Option<&str>) -> StandingsAnswer {
        let standings = app.feed.standings(audience).of_category(category);
        let seen = app.feed.seen();
        let facts = app.feed.facts();
        let now = app.now();
        let round = seen.control.as_deref().map(|control| RoundNow::of(control, &facts, now));
        StandingsAnswer {
            contest: app.config.contest.clone(),
            at_ms: utc_ms(now),
            of_ms: utc_ms(standings.at),
            at: utc_ms(now),
            of: utc_ms(standings.at),
            frozen: round.as_ref().is_some_and(|round| round.frozen_at.is_some() && !round.revealed),
            round,
            validity: app.feed.validity(audience),
            rounds_not_valid: facts.not_valid.clone(),
            standings: standings.lines.into_iter().map(Line::from).collect(),
        }
    }
}

impl From<Standing> for Line {
    fn from(standing: Standing) -> Line {
        Line {
            shown: standing.contestant.display_name.clone(),
            moved: standing.rank_change,
            success_permille: standing.figures.verified_permille,
            standing,
        }
    }
}

impl Line {
    /// The cells of its row under [`COLUMNS`].
    pub fn cells(&self) -> Vec<String> {
        let fields = self.fields();
        COLUMNS.iter().map(|column| fields.get(*column).map_or_else(String::new, cell)).collect()
    }

    fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        }
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(value) => text(value),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{Contestant, Figures};

    fn line() -> Line {
        let standing = Standing {
            rank: Some(2),
            contestant: Contestant {
                id: "u3".into(),
                name: "alice".to_owned(),
                display_name: "=Alice".to_owned(),
                category: Some("=student".to_owned()),
                hidden: false,
                disqualified: false,
                absent: false,
            },
            colour: 3,
            figures: Figures { points: -400, verified_permille: Some(998), void: 5, ..Figures::default() },
            rank_change: -1,
            decided: None,
            state: None,
            state_since: None,
        };
        standing.into()
    }

    #[test]
    fn what_changed_its_name_is_said_under_both_for_one_release() {
        let line = serde_json::to_value(line()).expect("JSON");
        for (old, new) in
            [("shown", "display_name"), ("moved", "rank_change"), ("success_permille", "verified_permille")]
        {
            assert!(line[old] == line[new] && !line[new].is_null(), "{old} and {new}: {line}");
        }
    }

    #[test]
    fn every_column_is_a_field() {
        let fields = line().fields();
        assert!(COLUMNS.iter().all(|column| fields.contains_key(*column)), "{fields:?}");
        let row = line().cells().join(",");
        assert_eq!(row, "2,alice,'=Alice,-400,0,0,998,,,0,,u3,-1,'=Alice,998,5,,,false,'=student,,,,");
        assert_eq!(line().cells().len(), COLUMNS.len());
    }
}
