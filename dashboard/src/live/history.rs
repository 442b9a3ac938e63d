//! The body of `/api/history`: `{"step":5,"t":[MS..],"invalid":[MS..],"points":{"u3":[..]},"marks":[..],"rounds":[..]}`, cut to what an
//! audience may see, and the cache that keeps bodies for a crowd that comes back all at once. `invalid` are those of `t` before
//! which there was a second that is not valid.

use super::Audience;
use super::audience::Visibility;
use super::board::Board;
use super::facts::{Contestant, Facts, PlayedRound};
use super::marks::{Mark, marks};
use super::series;
use crate::live::clock::utc_ms;
use bytes::Bytes;
use flowtest_contest::{Control, State};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use parking_lot::{Mutex, RwLock};
use std::io::Write;

/// Everybody who asks within one of these gets the same body.
const SHARED_US: u64 = 1_000_000;
/// Starts are rounded down to this, so that those who lost their connection together ask for one body.
const SINCE_US: u64 = 60_000_000;
/// Bodies kept. A crowd asks for a few; a contestant whose own points are not public has its own.
const BODIES_MAX: usize = 32;
/// Bytes of all bodies together: a day of 200 contestants is 4 MB.
const BYTES_MAX: usize = 64 << 20;

/// Writes the body. `wanted_s` is the finest step that is asked for.
pub fn write(board: &Board, audience: &Audience, now: UtcUs, since: UtcUs, wanted_s: u64) -> Bytes {
    let visibility = board.visibility(audience, now);
    let series = board.series();
    let step = series.step_s(since, wanted_s);
    let seen = |contestant: &Contestant, at: UtcUs| visibility.sees_at(contestant, at);
    let contestants: Vec<(&Contestant, usize)> = series
        .slots()
        .filter_map(|(user, slot)| Some((board.contestants().get(user)?, slot)))
        .filter(|(contestant, _)| visibility.sees(contestant))
        .collect();
    // An instant of which this audience sees nobody would tell that there was one.
    let any = |at: UtcUs| contestants.iter().any(|(contestant, _)| seen(contestant, at));
    let rows: Vec<(UtcUs, &[i64])> = series.rows(step, since).filter(|(at, _)| any(*at)).collect();
    let mut body = Vec::with_capacity(4096);
    let text = "writing to memory does not fail";
    write!(body, "{{\"step\":{step},\"t\":").expect(text);
    list(&mut body, rows.iter().map(|(at, _)| Some(utc_ms(*at))));
    body.extend_from_slice(b",\"invalid\":");
    list(&mut body, series.invalid(step, since).filter(|at| any(*at)).map(|at| Some(utc_ms(at))));
    body.extend_from_slice(b",\"points\":{");
    for (index, (contestant, slot)) in contestants.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        serde_json::to_writer(&mut body, &contestant.id).expect(text);
        body.push(b':');
        list(&mut body, rows.iter().map(|(at, row)| series::points(row, *slot).filter(|_| seen(contestant, *at))));
    }
    body.extend_from_slice(b"},\"marks\":");
    let control = board.control().map(|control| &**control);
    let facts = board.facts();
    // Each round has those of its own document: the next draft takes none of them away.
    let is_over = |round: RoundId| facts.rounds.iter().any(|one| one.id == round);
    let mut all = marks(control.filter(|control| !control.round.is_some_and(is_over)), facts.freezes(), now);
    all.extend(facts.rounds.iter().flat_map(|round| round.marks.iter().cloned()));
    all.extend(board.gaps().iter().filter(|(_, to)| any(*to)).map(|(from, to)| Mark::of_gap(*from, *to)));
    all.sort_by_key(|mark| (mark.at, mark.kind));
    serde_json::to_writer(&mut body, &all).expect(text);
    body.extend_from_slice(b",\"rounds\":");
    serde_json::to_writer(&mut body, &rounds(board, control)).expect(text);
    body.push(b'}');
    body.into()
}

/// The spans of all rounds that were or are played, oldest first.
fn rounds(board: &Board, control: Option<&Control>) -> Vec<PlayedRound> {
    let facts = board.facts();
    let mut rounds = facts.rounds.clone();
    rounds.extend(control.and_then(|control| now_played(control, facts)));
    rounds
}

/// The one of the document, unless it is among those that have ended.
fn now_played(control: &Control, facts: &Facts) -> Option<PlayedRound> {
    let id =
        control.round.filter(|id| control.state != State::Draft && facts.rounds.iter().all(|one| one.id != *id))?;
    let start_at = control.timeline.start_at?;
    let planned = control.contest.phases.iter().map(|phase| phase.duration_us).fold(0, u64::saturating_add);
    // A pause has no end yet: it ends no earlier than planned.
    let end_at = control.timeline.end_at(&control.contest).unwrap_or_else(|| start_at.saturating_add(planned));
    let number = facts.numbers.get(&id).copied().unwrap_or(1);
    Some(PlayedRound { id, number, scored: control.scored, start_at, end_at, settled_at: end_at, marks: [].into() })
}

fn list(body: &mut Vec<u8>, values: impl Iterator<Item = Option<i64>>) {
    body.push(b'[');
    for (index, value) in values.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match value {
            Some(value) => write!(body, "{value}").expect("writing to memory does not fail"),
            None => body.extend_from_slice(b"null"),
        }
    }
    body.push(b']');
}

/// Bodies of the last second.
#[derive(Debug, Default)]
pub struct HistoryCache {
    kept: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    visibility: Visibility,
    since: UtcUs,
    wanted_s: u64,
    second: UtcUs,
    body: Bytes,
}

impl HistoryCache {
    /// The body, written now or less than a second ago. Those who ask meanwhile wait for the one who writes it. It may
    /// begin up to a minute before `since`.
    pub fn get(&self, board: &RwLock<Board>, audience: &Audience, now: UtcUs, since: UtcUs, wanted_s: u64) -> Bytes {
        // The cache first: of many who wait for bodies, one at a time keeps the board from its next second.
        let mut kept = self.kept.lock();
        let board = board.read();
        let contestant = match audience {
            Audience::Owner(user) => board.contestants().get(user),
            Audience::Public | Audience::Admin => None,
        };
        let public = board.visibility(audience, now).is_public(contestant);
        let audience = if public { &Audience::Public } else { audience };
        let visibility = board.visibility(audience, now);
        let (since, second) = (since.floor(SINCE_US), now.floor(SHARED_US));
        let wanted_s = series::step_at_least(wanted_s);
        kept.retain(|one| one.second == second);
        let same = |one: &&Kept| one.visibility == visibility && one.since == since && one.wanted_s == wanted_s;
        if let Some(found) = kept.iter().find(same) {
            return found.body.clone();
        }
        let body = write(&board, audience, now, since, wanted_s);
        let bytes: usize = kept.iter().map(|one| one.body.len()).sum();
        if kept.len() < BODIES_MAX && bytes + body.len() <= BYTES_MAX {
            kept.push(Kept { visibility, since, wanted_s, second, body: body.clone() });
        }
        body
    }
}
