//! From JSON to a control document that makes sense.

use super::{Control, ControlError, DIALECT, EARLIER_MAX, EarlierRound};
use crate::contest::document::{self, Entry, Section, UnknownKeys};
use crate::contest::{CONTESTANTS_MAX, Contest, ContestError};
use crate::state::State;
use crate::timeline::{EVENTS_MAX, GENERATORS_MAX, INSTANT_MAX, Join, Moved, Pause, Split, Timeline};
use flowtest_contract::RoundId;
use flowtest_contract::row::COUNT_MAX;
use flowtest_contract::rules::UtcUs;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn control(text: &str) -> Result<Control, ControlError> {
    let json = document::parse_json(text).map_err(ControlError::Json)?;
    let mut document =
        document::from_json(json, UnknownKeys::Ignore).ok_or_else(|| ControlError::Json("not an object".to_owned()))?;
    if let Some(entry) = document.take("dialect") {
        let dialect = entry.integer(1, u64::MAX, "dialects")?;
        if dialect > DIALECT {
            return Err(ControlError::Dialect(dialect));
        }
    }
    let revision = document.need("revision", "1")?.integer(0, COUNT_MAX, "revisions")?;
    let round = document.take("round").map(|entry| round_id(&entry)).transpose()?;
    let state = document.take("state").map_or(Ok(State::Draft), |entry| state(&entry))?;
    let contest = Contest::from_document(&mut document)?;
    let names: BTreeSet<&str> = contest.contestants.iter().map(|contestant| contestant.name.as_str()).collect();
    let ids = ids(document.section("ids")?, &names)?;
    let since = since(document.section("since")?, &names)?;
    let split = texts(&mut document, "split", GENERATORS_MAX)?;
    let parked = parked(&mut document, &names)?;
    let scored = document.take("scored").map_or(Ok(true), |entry| entry.boolean())?;
    let halted = document.take("halted").map_or(Ok(false), |entry| entry.boolean())?;
    let left_out = texts(&mut document, "left_out", GENERATORS_MAX)?.into_iter().collect();
    let timeline = timeline(&mut document)?;
    let earlier = list(&mut document, "earlier", EARLIER_MAX, |earlier| {
        Ok(EarlierRound {
            round: round_id(&earlier.need("round", "\"0123456789abcdef0123456789abcdef\"")?)?,
            until: instant(earlier, "until")?,
            generators: texts(earlier, "generators", GENERATORS_MAX)?,
        })
    })?;
    let control = Control {
        contest,
        revision,
        round,
        state,
        ids,
        since,
        split,
        scored,
        timeline,
        parked,
        halted,
        left_out,
        earlier,
    };
    control.check()?;
    Ok(control)
}

fn round_id(entry: &Entry) -> Result<RoundId, ContestError> {
    entry.text()?.parse().map_err(|error| entry.wrong(format!("is wrong: {error}")))
}

fn state(entry: &Entry) -> Result<State, ContestError> {
    entry.text()?.parse().map_err(|()| {
        let known: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
        entry.wrong(format!("is no state: it is one of {}", known.join(", ")))
    })
}

fn ids(section: Section, names: &BTreeSet<&str>) -> Result<BTreeMap<String, String>, ContestError> {
    let (mut ids, mut taken) = (BTreeMap::new(), BTreeSet::new());
    for entry in section.into_texts() {
        let (name, entry) = entry?;
        let id = entry.text()?.to_owned();
        if !names.contains(name.as_str()) {
            return Err(entry.wrong("is the id of nobody: no contestant has this name"));
        }
        if id.is_empty() || !taken.insert(id.clone()) {
            return Err(entry.wrong("is empty or somebody else's: give each contestant its own id"));
        }
        ids.insert(name, id);
    }
    Ok(ids)
}

fn since(section: Section, names: &BTreeSet<&str>) -> Result<BTreeMap<String, UtcUs>, ContestError> {
    let since = section.into_entries().map(|(name, entry)| {
        if !names.contains(name.as_str()) {
            return Err(entry.wrong("is nobody's instant: no contestant has this name"));
        }
        Ok((name, UtcUs(entry.integer(0, INSTANT_MAX.0, "microseconds since 1970")?)))
    });
    since.collect()
}

fn parked(document: &mut Section, names: &BTreeSet<&str>) -> Result<BTreeSet<String>, ContestError> {
    let Some(entry) = document.take("parked") else { return Ok(BTreeSet::new()) };
    let parked = entry.into_texts(CONTESTANTS_MAX)?.map(|item| {
        let item = item?;
        let name = item.text()?;
        if !names.contains(name) {
            return Err(item.wrong("is nobody: no contestant has this name"));
        }
        Ok(name.to_owned())
    });
    parked.collect()
}

fn texts(document: &mut Section, key: &'static str, max: usize) -> Result<Vec<String>, ContestError> {
    let Some(entry) = document.take(key) else { return Ok(Vec::new()) };
    entry.into_texts(max)?.map(|item| Ok(item?.text()?.to_owned())).collect()
}

/// Entries of a list of what happened, at most.
const EVENTS: usize = 2 * EVENTS_MAX + 1;

fn timeline(document: &mut Section) -> Result<Timeline, ContestError> {
    Ok(Timeline {
        start_at: maybe_instant(document, "start_at")?,
        pauses: list(document, "pauses", EVENTS, |pause| {
            Ok(Pause { from: instant(pause, "from")?, to: maybe_instant(pause, "to")? })
        })?,
        moved: list(document, "moved", EVENTS, |moved| {
            let name = moved.need("deadline", "\"version\"")?;
            let deadline =
                name.text()?.parse().map_err(|()| name.wrong("is no deadline: it is one of version, from"))?;
            Ok(Moved { deadline, at: instant(moved, "at")?, to: instant(moved, "to")? })
        })?,
        splits: list(document, "splits", EVENTS, |split| {
            Ok(Split { from: instant(split, "from")?, generators: texts(split, "generators", GENERATORS_MAX)? })
        })?,
        joins: list(document, "joins", CONTESTANTS_MAX, |join| {
            let contestant = join.need("contestant", "\"alice\"")?.text()?.to_owned();
            Ok(Join { contestant, at: instant(join, "at")? })
        })?,
        stopped_at: maybe_instant(document, "stopped_at")?,
    })
}

/// What happened, in order. There is a split for the start, for each pause, and others.
fn list<T>(
    document: &mut Section,
    key: &'static str,
    most: usize,
    read: impl Fn(&mut Section) -> Result<T, ContestError>,
) -> Result<Vec<T>, ContestError> {
    let sections = document.sections(key)?;
    if sections.len() > most {
        return Err(document.wrong(format!("`{key}` has {} entries: at most {most}", sections.len())));
    }
    sections.into_sections().map(|section| read(&mut section?)).collect()
}

fn instant(section: &mut Section, key: &'static str) -> Result<UtcUs, ContestError> {
    read_instant(&section.need(key, "1796119200000000")?)
}

fn maybe_instant(section: &mut Section, key: &'static str) -> Result<Option<UtcUs>, ContestError> {
    section.take(key).map(|entry| read_instant(&entry)).transpose()
}

fn read_instant(entry: &Entry) -> Result<UtcUs, ContestError> {
    entry.integer(1, INSTANT_MAX.0, "microseconds since 1970").map(UtcUs)
}
