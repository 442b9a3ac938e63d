//! What viewers get once a second: one snapshot and one delta per class of audience, written once and shared by all.
//! Pure. A delta is what changed since the frame before; who missed one gets a snapshot.

use super::Audience;
use super::board::Board;
use super::facts::{Notice, Person, UserKey};
use super::round_now::{Due, Millis, RoundNow, millis};
use super::standings::{Line, Standings};
use flowtest_contest::DecidedBy;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Who shares a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Contestants too: their own points during a freeze come from elsewhere, for one at a time.
    Public,
    Admin,
}

impl Class {
    pub fn of(audience: &Audience) -> Class {
        match audience {
            Audience::Public | Audience::Owner(_) => Class::Public,
            Audience::Admin => Class::Admin,
        }
    }

    fn audience(self) -> Audience {
        match self {
            Class::Public => Audience::Public,
            Class::Admin => Audience::Admin,
        }
    }
}

/// Whether the scores are those of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Live,
    /// Redis has not answered since this instant.
    Stale {
        since: UtcUs,
    },
}

/// The frame of one second.
#[derive(Clone, Debug)]
pub struct Frames {
    /// From 1; 0 before the first.
    pub seq: u64,
    public: Texts,
    admin: Texts,
}

#[derive(Clone, Debug)]
struct Texts {
    snapshot: Utf8Bytes,
    /// Absent where a delta cannot say what changed: somebody left, or people changed.
    delta: Option<Utf8Bytes>,
}

impl Frames {
    /// Before the first look at Redis.
    pub fn none() -> Frames {
        let none = Texts { snapshot: Utf8Bytes::from_static(""), delta: None };
        Frames { seq: 0, public: none.clone(), admin: none }
    }

    /// The text for a viewer whose last frame was `seen`. `None` when there is nothing new.
    pub fn text(&self, class: Class, seen: Option<u64>) -> Option<&Utf8Bytes> {
        let texts = match class {
            Class::Public => &self.public,
            Class::Admin => &self.admin,
        };
        match seen {
            _ if self.seq == 0 => None,
            Some(seen) if seen == self.seq => None,
            Some(seen) if seen + 1 == self.seq => Some(texts.delta.as_ref().unwrap_or(&texts.snapshot)),
            _ => Some(&texts.snapshot),
        }
    }
}

/// Writes frames, and remembers the last one.
#[derive(Debug, Default)]
pub struct Press {
    seq: u64,
    public: Last,
    admin: Last,
}

/// What the last frame of a class said.
#[derive(Debug, Default)]
struct Last {
    who: BTreeMap<UserKey, Who>,
    rows: BTreeMap<UserKey, Row>,
}

impl Press {
    /// The next frame.
    pub fn print(&mut self, board: &Board, link: Link, now: UtcUs) -> Arc<Frames> {
        self.seq += 1;
        let control = board.control().map(|control| &**control);
        let head = Head {
            seq: self.seq,
            now,
            link,
            round: control.map(|control| RoundNow::of(control, board.facts(), now)),
            due: Due::of(control, now),
            notices: &board.facts().notices,
            ended: board.facts().ended,
        };
        let standings = |class: Class| board.standings(&class.audience(), now);
        let public = self.public.print(&head, &standings(Class::Public));
        let admin = self.admin.print(&head, &standings(Class::Admin));
        Arc::new(Frames { seq: self.seq, public, admin })
    }
}

/// What frames of all classes begin with.
struct Head<'a> {
    seq: u64,
    now: UtcUs,
    link: Link,
    round: Option<RoundNow>,
    due: Due,
    notices: &'a [Notice],
    ended: bool,
}

impl Last {
    fn print(&mut self, head: &Head<'_>, standings: &Standings) -> Texts {
        let who: BTreeMap<UserKey, Who> =
            standings.lines.iter().map(|line| (line.person.key.clone(), Who::of(&line.person))).collect();
        let rows: Vec<Row> = standings.lines.iter().map(Row::of).collect();
        let snapshot = head.frame("snapshot", Some(&who), rows.iter().collect());
        let delta = (who == self.who).then(|| {
            let changed = rows.iter().filter(|row| self.rows.get(&row.0) != Some(row));
            head.frame("delta", None, changed.collect())
        });
        self.who = who;
        self.rows = rows.into_iter().map(|row| (row.0.clone(), row)).collect();
        Texts { snapshot, delta }
    }
}

impl Head<'_> {
    fn frame(&self, kind: &'static str, who: Option<&BTreeMap<UserKey, Who>>, rows: Vec<&Row>) -> Utf8Bytes {
        let (link, since) = match self.link {
            Link::Live => ("live", None),
            Link::Stale { since } => ("stale", Some(millis(since))),
        };
        let frame = Frame {
            q: self.seq,
            t: millis(self.now),
            kind,
            link,
            since,
            round: self.round.as_ref(),
            due: &self.due,
            notices: self.notices,
            ended: self.ended,
            who,
            rows,
        };
        serde_json::to_string(&frame).expect("texts and numbers are always JSON").into()
    }
}

#[derive(Serialize)]
struct Frame<'a> {
    q: u64,
    t: Millis,
    kind: &'static str,
    link: &'static str,
    since: Option<Millis>,
    round: Option<&'a RoundNow>,
    due: &'a Due,
    notices: &'a [Notice],
    ended: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<&'a BTreeMap<UserKey, Who>>,
    rows: Vec<&'a Row>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Who {
    name: String,
    shown: String,
    colour: u32,
    /// Absent for the public, as they are themselves.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hidden: bool,
}

impl Who {
    fn of(person: &Person) -> Who {
        Who {
            name: person.name.clone(),
            shown: person.shown.clone(),
            colour: person.key.colour(),
            hidden: person.hidden,
        }
    }
}

/// Key, rank, move, points, minute, rate, success, p50, p99, failures, decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row(UserKey, Option<u32>, i64, i64, i64, u64, Option<u16>, Option<u64>, Option<u64>, u64, Option<&'static str>);

impl Row {
    fn of(line: &Line) -> Row {
        let score = &line.score;
        Row(
            score.key.clone(),
            line.rank,
            line.gained,
            score.points,
            score.minute,
            score.rate,
            score.success,
            score.p50_us,
            score.p99_us,
            score.failures,
            line.decided.map(decided),
        )
    }
}

/// The word for a rule in frames and exports.
pub fn decided(by: DecidedBy) -> &'static str {
    match by {
        DecidedBy::Points => "points",
        DecidedBy::Failures => "failures",
        DecidedBy::P99 => "p99",
        DecidedBy::ReachedFirst => "reached",
        DecidedBy::Shared => "shared",
    }
}
