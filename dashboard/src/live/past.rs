//! The contest at an instant that is over, from what SQLite kept: the frame as it was, and the lines of a whole round. Pure;
//! whoever asks has read the rows and the document of then.

use super::archive;
use super::audience::Visibility;
use super::board::contestants;
use super::facts::{Contestant, Facts, PlayedRound, UserKey};
use super::frame::{self, PastStandings};
use super::marks::{Mark, marks};
use super::standings::{Answers, Participation, Scores, Standings, rank};
use crate::live::clock::{Millis, utc_ms};
use flowtest_contest::Control;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What was kept of one instant.
pub type KeptRow = (UtcUs, Vec<u8>);

/// The frame of an instant, as JSON. `visibility` is that of then: who saw the standings of a freeze gets those again. `row` is
/// the newest row that is not later than what was seen, `before` the same a minute before; in one of `gaps` nobody wrote down
/// what was, and the frame says since when.
pub fn frame(
    at: UtcUs,
    control: Option<&Control>,
    facts: &Facts,
    visibility: &Visibility,
    row: Option<KeptRow>,
    before: Option<KeptRow>,
    gaps: &[(UtcUs, UtcUs)],
) -> String {
    let now = contestants(control, facts);
    let mut scores = read(row).unwrap_or_default();
    let before = before.and_then(|row| read(Some(row))).unwrap_or_default();
    let ranks: BTreeMap<UserKey, u32> = rank(&before, &then(&now, &before))
        .lines
        .into_iter()
        .filter_map(|line| Some((line.contestant.id, line.rank?)))
        .collect();
    for score in &mut scores.lines {
        score.rank_before = ranks.get(&score.id).copied();
    }
    let mut standings: Standings = rank(&scores, &then(&now, &scores));
    // Whoever was hidden then was on no board, and whoever is hidden now stands on none any more.
    standings.lines.retain(|line| {
        visibility.sees(&line.contestant)
            && now.get(&line.contestant.id).is_some_and(|contestant| visibility.sees(contestant))
    });
    let frozen_at = visibility.until().filter(|until| *until < at);
    if frozen_at.is_some() {
        standings.lines.iter_mut().for_each(|line| (line.state, line.state_since) = (None, None));
    }
    let seen_at = frozen_at.unwrap_or(at);
    let gap = gaps.iter().find(|(from, to)| (*from..*to).contains(&seen_at)).map(|(from, _)| *from);
    frame::past(control, facts, &standings, at, PastStandings { frozen_at, unknown_since: gap })
}

/// The contestants as they were in the competition when a row was written.
fn then(now: &BTreeMap<UserKey, Contestant>, row: &Scores) -> BTreeMap<UserKey, Contestant> {
    let mut contestants = now.clone();
    for score in &row.lines {
        if let (Some(contestant), Some(participation)) = (contestants.get_mut(&score.id), score.participation) {
            contestant.hidden = participation == Participation::Hidden;
            contestant.disqualified = participation == Participation::Disqualified;
        }
    }
    contestants
}

/// The standings that everybody saw at an instant, from the row that was kept of it.
pub fn public_standings(control: Option<&Control>, facts: &Facts, row: Option<KeptRow>) -> Standings {
    let mut standings = rank(&read(row).unwrap_or_default(), &contestants(control, facts));
    standings.lines.retain(|line| !line.contestant.hidden);
    standings
}

fn read(row: Option<KeptRow>) -> Option<Scores> {
    let (at, payload) = row?;
    Some(archive::read(at, &payload)?.1)
}

/// The body of `/api/history` for one round, from its rows, oldest first. `control` is the document at the round's end.
pub fn history(
    rows: Vec<KeptRow>,
    step_s: u64,
    control: Option<&Control>,
    facts: &Facts,
    visibility: &Visibility,
    round: &PlayedRound,
    gaps: &[(UtcUs, UtcUs)],
) -> String {
    let contestants: BTreeMap<UserKey, Contestant> =
        contestants(control, facts).into_iter().filter(|(_, contestant)| visibility.sees(contestant)).collect();
    let shown = |at: UtcUs| visibility.until().is_none_or(|until| at <= until);
    let rows: Vec<Scores> = rows.into_iter().filter(|(at, _)| shown(*at)).filter_map(|row| read(Some(row))).collect();
    let mut points: BTreeMap<&UserKey, Vec<Option<i64>>> =
        contestants.keys().map(|id| (id, vec![None; rows.len()])).collect();
    for (index, row) in rows.iter().enumerate() {
        for score in &row.lines {
            if let Some(line) = points.get_mut(&score.id) {
                line[index] = Some(score.figures.points);
            }
        }
    }
    let invalid: Vec<i64> = rows
        .windows(2)
        .filter(|pair| pair[1].invalid_seconds > pair[0].invalid_seconds)
        .map(|pair| utc_ms(pair[1].at))
        .collect();
    let points: Map<String, Value> = points.into_iter().map(|(id, line)| (id.to_string(), json!(line))).collect();
    // Those that rows tell of, and those that the board knows: of a step one row alone is read.
    let told = rows.iter().filter_map(|row| Some((row.gap_from?, row.at)));
    let within = |(from, to): &(UtcUs, UtcUs)| shown(*to) && *from >= round.start_at && *to <= round.settled_at;
    let all: BTreeMap<UtcUs, UtcUs> = told.chain(gaps.iter().copied()).filter(within).collect();
    let freezes = facts.freezes().filter(|at| round.start_at <= *at);
    let mut marks = marks(control, freezes, round.end_at);
    marks.extend(all.into_iter().map(|(from, to)| Mark::of_gap(from, to)));
    marks.sort_by_key(|mark| (mark.at, mark.kind));
    let body = json!({
        "step": step_s,
        "t": rows.iter().map(|row| utc_ms(row.at)).collect::<Vec<_>>(),
        "invalid": invalid,
        "points": points,
        "marks": marks,
        "rounds": [round],
    });
    body.to_string()
}

/// Whole seconds of one contestant: a window of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Window {
    /// Of the round; its end is now while it is played.
    pub start_at_ms: Millis,
    pub end_at_ms: Millis,
    /// Of the window.
    pub from_ms: Millis,
    pub until_ms: Millis,
    pub seconds: Vec<Second>,
}

/// What came to a contestant between one row of the history and the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Second {
    /// The end of it.
    pub at_ms: Millis,
    pub verified: u64,
    pub wrong: u64,
    pub failed: u64,
    /// Of the last second of it, in µs; null without an answer.
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
}

/// The seconds of one contestant in one round, from its rows, oldest first: nobody else's line is read. `before`: the row before
/// these, where they do not begin with the round.
pub fn seconds_of(before: Option<&KeptRow>, rows: &[KeptRow], id: &UserKey) -> Vec<Second> {
    let mut then = before.and_then(|(_, payload)| archive::read_one(payload, id)).unwrap_or_default();
    let answers = rows.iter().filter_map(|(at, payload)| Some((*at, archive::read_one(payload, id)?)));
    answers.map(|(at, now)| second(at, std::mem::replace(&mut then, now), now)).collect()
}

fn second(at: UtcUs, then: Answers, now: Answers) -> Second {
    Second {
        at_ms: utc_ms(at),
        verified: now.verified.saturating_sub(then.verified),
        wrong: now.wrong.saturating_sub(then.wrong),
        failed: now.failed.saturating_sub(then.failed),
        p50_us: now.second_p50_us,
        p99_us: now.second_p99_us,
    }
}

/// The seconds of everybody in one round, from its rows, oldest first.
pub fn seconds(rows: Vec<KeptRow>) -> BTreeMap<UserKey, Vec<Second>> {
    let mut before: BTreeMap<UserKey, Answers> = BTreeMap::new();
    let mut seconds: BTreeMap<UserKey, Vec<Second>> = BTreeMap::new();
    for scores in rows.into_iter().filter_map(|row| read(Some(row))) {
        for score in scores.lines {
            let now = score.answers;
            let then = before.insert(score.id.clone(), now).unwrap_or_default();
            seconds.entry(score.id).or_default().push(second(scores.at, then, now));
        }
    }
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::archive::Basis;
    use crate::live::standings::Score;
    use crate::live::team_state::StateSince;
    use crate::live::{Audience, Freeze, TeamState, audience};

    fn contestant(id: &str, hidden: bool) -> Contestant {
        let (name, display_name) = (id.to_owned(), id.to_owned());
        Contestant { id: id.into(), name, display_name, category: None, hidden, disqualified: false, absent: false }
    }

    #[test]
    fn keys_of_seconds_say_that_instants_are_in_milliseconds() {
        let said =
            serde_json::to_value(Window { seconds: vec![Second::default()], ..Window::default() }).expect("JSON");
        let keys: Vec<&String> = said.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["start_at_ms", "end_at_ms", "from_ms", "until_ms", "seconds"]);
        assert_eq!(said["seconds"][0]["at_ms"], 0, "{said}");
    }

    /// Points of earlier rounds give everybody a line.
    fn facts() -> Facts {
        let contestants = vec![contestant("a", false), contestant("b", false), contestant("ghost", true)];
        let adjustments = ["a", "b", "ghost"].map(|id| (id.into(), 1)).into();
        Facts { contestants, adjustments, ..Facts::default() }
    }

    fn row(at: u64, points: [i64; 3]) -> KeptRow {
        let lines = ["a", "b", "ghost"].iter().zip(points).map(|(id, points)| Score::of_points((*id).into(), points));
        (
            UtcUs(at),
            archive::write(Basis::Contest, &Scores { at: UtcUs(at), lines: lines.collect(), ..Scores::default() }),
        )
    }

    fn see(audience: &Audience, freeze: Freeze) -> Visibility {
        audience::visibility(audience, &freeze, UtcUs(1_000_000_000))
    }

    #[test]
    fn the_frame_of_an_instant_has_its_points_and_its_movement_and_nobody_hidden() {
        let public = see(&Audience::Public, Freeze::default());
        let text = frame(
            UtcUs(90_000_000),
            None,
            &facts(),
            &public,
            Some(row(90_000_000, [9, 5, 7])),
            Some(row(30, [1, 5, 0])),
            &[],
        );
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        let lines: Vec<_> = frame["standings"].as_array().expect("a list").iter().collect();
        let of = |index: usize, field: &str| lines[index][field].clone();
        assert_eq!(
            (lines.len(), of(0, "id"), of(0, "points"), of(0, "rank_change")),
            (2, json!("a"), json!(9), json!(1))
        );
        assert_eq!((frame["kind"].clone(), frame["at"].clone()), (json!("past"), json!(90_000)));
        let admin = see(&Audience::Admin, Freeze::default());
        assert!(super::frame(UtcUs(1), None, &facts(), &admin, Some(row(1, [1, 2, 3])), None, &[]).contains("ghost"));
    }

    #[test]
    fn an_instant_of_a_freeze_says_of_when_its_standings_are_and_how_nobody_fared() {
        let freeze = Freeze { at: Some(UtcUs(60_000_000)), ..Freeze::default() };
        let row = || {
            let state = Some(StateSince { state: TeamState::Failing, since: UtcUs(1_000_000) });
            let lines = vec![Score { state, ..Score::of_points("a".into(), 9) }];
            let scores = Scores { at: UtcUs(60_000_000), lines, ..Scores::default() };
            Some((UtcUs(60_000_000), archive::write(Basis::Contest, &scores)))
        };
        let ask = |audience: Audience, at: u64| -> Value {
            let then = audience::visibility(&audience, &freeze, UtcUs(at));
            let text = frame(UtcUs(at), None, &facts(), &then, row(), None, &[]);
            serde_json::from_str(&text).expect("JSON")
        };
        let said = |frame: &Value| {
            (frame["at"].clone(), frame["standings_at"].clone(), frame["standings"][0]["state"].clone())
        };
        let frozen = ask(Audience::Public, 90_000_000);
        assert_eq!(said(&frozen), (json!(90_000), json!(60_000), Value::Null));
        assert_eq!(said(&ask(Audience::Public, 60_000_000)).1, Value::Null, "its first instant");
        let admin = said(&ask(Audience::Admin, 90_000_000));
        assert!(admin.1.is_null() && !admin.2.is_null(), "{admin:?}");
    }

    #[test]
    fn an_instant_shows_who_was_out_of_the_competition_then() {
        let part = |part| {
            let lines = [("a", 9, part), ("b", 5, Participation::Ranked), ("ghost", 7, Participation::Hidden)];
            let lines = lines
                .map(|(id, points, part)| Score { participation: Some(part), ..Score::of_points(id.into(), points) });
            let scores = Scores { at: UtcUs(1), lines: lines.to_vec(), ..Scores::default() };
            Some((UtcUs(1), archive::write(Basis::Contest, &scores)))
        };
        let mut facts = facts();
        let ranks = |facts: &Facts, row| {
            let public = see(&Audience::Public, Freeze::default());
            let frame: Value =
                serde_json::from_str(&super::frame(UtcUs(1), None, facts, &public, row, None, &[])).expect("JSON");
            let lines = frame["standings"].as_array().expect("a list").clone();
            lines.iter().map(|line| (line["id"].clone(), line["rank"].clone())).collect::<Vec<_>>()
        };
        let first = [(json!("a"), json!(1)), (json!("b"), json!(2))];
        facts.contestants[0].disqualified = true;
        assert_eq!(ranks(&facts, part(Participation::Ranked)), first, "disqualified afterwards");
        facts.contestants[0].disqualified = false;
        let out = ranks(&facts, part(Participation::Disqualified));
        assert_eq!(out, [(json!("b"), json!(1)), (json!("a"), Value::Null)], "back in since then");
        facts.contestants[0].hidden = true;
        assert_eq!(ranks(&facts, part(Participation::Ranked)), first[1..], "hidden since then: nobody else moves up");
    }

    #[test]
    fn an_instant_that_nobody_wrote_down_says_since_when() {
        let public = see(&Audience::Public, Freeze::default());
        let gap = (UtcUs(1_000_000), UtcUs(4_000_000));
        let ask = |at| -> Value {
            let row = Some(row(1_000_000, [1, 2, 3]));
            serde_json::from_str(&frame(UtcUs(at), None, &facts(), &public, row, None, &[gap])).expect("JSON")
        };
        assert_eq!((&ask(2_000_000)["link"], &ask(2_000_000)["stale_since"]), (&json!("stale"), &json!(1_000)));
        assert_eq!(ask(4_000_000)["link"], "live");
    }

    #[test]
    fn seconds_are_what_came_since_the_row_before() {
        let row = |at: u64, verified, failed| {
            let answers = Answers { verified, failed, second_p99_us: Some(7), ..Answers::default() };
            let lines = vec![Score { answers, ..Score::of_points("a".into(), 1) }];
            (UtcUs(at), archive::write(Basis::Contest, &Scores { at: UtcUs(at), lines, ..Scores::default() }))
        };
        let rows = vec![row(1_000_000, 10, 0), row(2_000_000, 25, 3)];
        let own = seconds_of(None, &rows, &"a".into());
        assert_eq!(seconds_of(rows.first(), &rows[1..], &"a".into()), own[1..]);
        let seconds =
            seconds(vec![row(1_000_000, 10, 0), row(2_000_000, 25, 3), (UtcUs(3_000_000), b"no row".to_vec())]);
        let said: Vec<_> =
            seconds[&UserKey::from("a")].iter().map(|one| (one.at_ms, one.verified, one.failed)).collect();
        assert_eq!(said, [(1_000, 10, 0), (2_000, 15, 3)]);
        assert_eq!(own, seconds[&UserKey::from("a")]);
    }

    #[test]
    fn lines_of_a_round_end_at_the_freeze_for_the_public() {
        let round = PlayedRound {
            id: flowtest_contract::RoundId::from_bits(1),
            number: 1,
            scored: true,
            start_at: UtcUs::EPOCH,
            end_at: UtcUs(8_000_000),
            settled_at: UtcUs(9_000_000),
            marks: [].into(),
        };
        let rows = || vec![row(1_000_000, [1, 2, 3]), row(2_000_000, [4, 5, 6])];
        let freeze = Freeze { at: Some(UtcUs(1_500_000)), ..Freeze::default() };
        let gaps = [(UtcUs(1_100_000), UtcUs(1_400_000)), (UtcUs(1_600_000), UtcUs(1_900_000))];
        // One of another round, one of this round that is over, and the one that holds.
        let past = [500, 1_200_000].map(|at| Freeze { at: Some(UtcUs(at)), ..Freeze::default() });
        let round = PlayedRound { start_at: UtcUs(1_000), ..round };
        let facts = Facts { freeze, past_freezes: past.into(), ..facts() };
        let ask = |audience| {
            let text = history(rows(), 1, None, &facts, &see(audience, freeze), &round, &gaps);
            serde_json::from_str::<Value>(&text).expect("JSON")
        };
        assert_eq!(ask(&Audience::Public)["points"], json!({ "a": [1], "b": [2] }));
        let marked = |audience, kind: &str| {
            let marks = ask(audience)["marks"].as_array().expect("a list").clone();
            marks.iter().filter(|mark| mark["kind"] == kind).count()
        };
        let gaps = [&Audience::Public, &Audience::Admin].map(|audience| marked(audience, "gap"));
        assert_eq!(
            (gaps, marked(&Audience::Public, "freeze")),
            ([1, 2], 2),
            "gaps of what is seen, freezes of the round"
        );
        assert_eq!(ask(&Audience::Admin)["points"], json!({ "a": [1, 4], "b": [2, 5], "ghost": [3, 6] }));
    }
}
