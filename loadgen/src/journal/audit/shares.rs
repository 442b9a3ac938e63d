//! Which share of the requests each stream held when, as its records tell it, and whether two held one at once.
//!
//! Request k of a contestant belongs to the generator whose place in the split is k modulo n. A stream goes by the newest
//! document that it has heard; what splits that began before it took any gave to its name was another process's.

use super::late::CUT_US;
use flowtest_contract::rules::UtcUs;
use flowtest_journal::record::{ArchivedControl, ArchivedStart, ArchivedTraces, NEVER_SENT};
use flowtest_journal::stream::{self, Record, StreamFolder};
use serde::Deserialize;

/// A control counts so long after it was heard; from its hearing on its splits do.
const TELLING_US: u64 = 300_000;

/// Every `of`'th request from `index` on, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub from: UtcUs,
    /// Excluded.
    pub to: UtcUs,
    pub index: u64,
    pub of: u64,
}

/// What is read of a control document, and of what a program says about itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    splits: Vec<Split>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Split {
    from: UtcUs,
    generators: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Program {
    generator: String,
    takes_from: UtcUs,
}

/// What one stream says of its share. Streams of older programs, and those of `run`, say nothing.
#[derive(Debug, Default)]
pub(super) struct Shares {
    program: Option<Program>,
    revision: u64,
    /// What each document said, and since when it was heard.
    heard: Vec<(UtcUs, Vec<Split>)>,
}

impl Shares {
    pub(super) fn start(&mut self, start: &ArchivedStart) {
        self.program = serde_json::from_slice(start.program.as_slice()).ok();
        self.hear(UtcUs::EPOCH, start.document.as_slice());
    }

    pub(super) fn control(&mut self, control: &ArchivedControl) {
        // One revision may have several records: the first is that of its hearing.
        let revision = control.revision.to_native();
        if std::mem::replace(&mut self.revision, revision) != revision {
            self.hear(UtcUs(control.at.to_native()).saturating_sub(TELLING_US), control.document.as_slice());
        }
    }

    fn hear(&mut self, at: UtcUs, document: &[u8]) {
        let Ok(Document { splits }) = serde_json::from_slice(document) else { return };
        if self.heard.last().is_none_or(|(_, held)| *held != splits) {
            self.heard.push((at, splits));
        }
    }

    /// All shares up to an instant, in order.
    pub(super) fn held(&self, until: UtcUs) -> Vec<Held> {
        let Some(Program { generator, takes_from }) = &self.program else { return Vec::new() };
        let mut held: Vec<Held> = Vec::new();
        for (place, (from, splits)) in self.heard.iter().enumerate() {
            let heard_until = self.heard.get(place + 1).map_or(until, |(next, _)| *next).min(until);
            for (place, split) in splits.iter().enumerate().filter(|(_, split)| split.from >= *takes_from) {
                let next = splits.get(place + 1).map_or(until, |next| next.from);
                let (from, to) = (split.from.max(*from), next.min(heard_until));
                let index = split.generators.iter().position(|name| name == generator);
                let Some(index) = index.filter(|_| from < to) else { continue };
                let (index, of) = (index as u64, split.generators.len() as u64);
                match held.last_mut() {
                    Some(last) if (last.to, last.index, last.of) == (from, index, of) => last.to = to,
                    _ => held.push(Held { from, to, index, of }),
                }
            }
        }
        held
    }
}

/// When two streams held a request in common: from, to (excluded).
pub(super) fn in_common(ours: &[Held], theirs: &[Held]) -> Vec<(UtcUs, UtcUs)> {
    let pairs = ours.iter().flat_map(|one| theirs.iter().map(move |other| (one, other)));
    let common = pairs.filter(|(one, other)| {
        let step = gcd(one.of, other.of);
        one.index % step == other.index % step
    });
    let times = common.map(|(one, other)| (one.from.max(other.from), one.to.min(other.to)));
    times.filter(|(from, to)| from < to).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Whether a stream sent anything that fell due in a stretch of time. Reads its traces once more; what cannot be read was told.
pub(super) fn sends_within(folder: &StreamFolder, from: UtcUs, to: UtcUs) -> bool {
    let mut sends = false;
    let read = stream::read(folder, |group| {
        let blocks = group.records.iter().filter_map(|record| match record {
            Record::Traces(block) => Some(block),
            _ => None,
        });
        sends = sends || blocks.into_iter().any(|block| is_within(block, from, to));
    });
    read.is_ok() && sends
}

fn is_within(block: &ArchivedTraces, from: UtcUs, to: UtcUs) -> bool {
    block.traces.iter().filter(|trace| trace.lag_us.to_native() != NEVER_SENT).any(|trace| {
        let due = trace.intended(UtcUs(block.base.to_native()));
        from.saturating_add(CUT_US) < due && due.saturating_add(CUT_US) < to
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From when on, between whom.
    type Told = (u64, &'static [&'static str]);
    /// When a document was heard, and its splits.
    type Hearing = (u64, &'static [Told]);

    fn shares(generator: &str, takes_from: u64, heard: &[Hearing]) -> Vec<Held> {
        let split = |(from, names): &Told| Split {
            from: UtcUs(*from),
            generators: names.iter().map(|&name| name.to_owned()).collect(),
        };
        let heard = heard.iter().map(|(at, splits)| (UtcUs(*at), splits.iter().map(split).collect())).collect();
        let program = Some(Program { generator: generator.to_owned(), takes_from: UtcUs(takes_from) });
        Shares { program, revision: 0, heard }.held(UtcUs(100))
    }

    fn held(from: u64, to: u64, index: u64, of: u64) -> Held {
        Held { from: UtcUs(from), to: UtcUs(to), index, of }
    }

    const FIRST: Told = (10, &["g1", "g2", "g3"]);
    const SECOND: Told = (30, &["g2", "g3"]);
    const THIRD: Told = (50, &["g2", "g3", "g1"]);

    #[test]
    fn a_stream_holds_what_the_newest_document_that_it_has_heard_gives_it() {
        let told: &[Hearing] = &[(0, &[FIRST]), (28, &[FIRST, SECOND]), (48, &[FIRST, SECOND, THIRD])];
        assert_eq!(shares("g2", 1, told), [held(10, 30, 1, 3), held(30, 50, 0, 2), held(50, 100, 0, 3)]);
        assert_eq!(shares("g1", 1, told), [held(10, 30, 0, 3), held(50, 100, 2, 3)]);
        // Another process of the name.
        assert_eq!(shares("g1", 45, told), [held(50, 100, 2, 3)]);
        assert_eq!(shares("g9", 1, told), []);
        // Heard at 40: the old share went on.
        let late: &[Hearing] = &[(0, &[FIRST]), (40, &[FIRST, SECOND])];
        assert_eq!(shares("g1", 1, late), [held(10, 40, 0, 3)]);
        // Of two splits of one instant the later one counts.
        let again: &[Hearing] = &[(0, &[FIRST, (10, &["g2", "g1"])])];
        assert_eq!(shares("g1", 1, again), [held(10, 100, 1, 2)]);
    }

    #[test]
    fn shares_that_have_a_request_in_common_are_found() {
        // (ours, theirs, in common)
        let cases = [
            (held(0, 9, 0, 3), held(0, 9, 1, 3), None),
            (held(0, 9, 0, 3), held(5, 20, 0, 3), Some((5, 9))),
            // 6 is 0 modulo 3 and 0 modulo 2
            (held(0, 9, 0, 3), held(4, 8, 0, 2), Some((4, 8))),
            (held(0, 9, 1, 4), held(0, 9, 0, 2), None),
            (held(0, 9, 2, 4), held(0, 9, 0, 2), Some((0, 9))),
            (held(0, 9, 0, 1), held(8, 12, 3, 5), Some((8, 9))),
            (held(0, 9, 0, 1), held(9, 12, 0, 1), None),
        ];
        for (ours, theirs, expected) in cases {
            let expected = expected.map(|(from, to)| (UtcUs(from), UtcUs(to)));
            assert_eq!(in_common(&[ours], &[theirs]).first().copied(), expected, "{ours:?} {theirs:?}");
        }
    }
}
