//! What viewers get once a second: one snapshot and one delta per class of audience, written once and shared by all.
//! Pure. A delta holds the fields that changed since the frame before; who missed one gets a snapshot.
//!
//! Both are objects with named fields, and every instant in them is in milliseconds of UTC:
//! `{"seq":7,"at":MS,"kind":"delta","link":"live","stale_since":null,"round":{..},"due":{..},"validity":{..},"notices":[],
//! "ended":false,"standings":[{"id":"u3","points":9000,"points_last_minute":1200},..]}`. In a snapshot each standing is whole; in a delta
//! it has its `id` and what is new, or is whole where its contestant is new.

use super::Audience;
use super::board::Board;
use super::facts::{Facts, Notice, UserKey};
use super::round_now::{Due, RoundNow};
use super::standings::{Standing, Standings};
use super::validity::ValidityNow;
use crate::live::clock::{Millis, utc_ms};
use flowtest_contest::Control;
use flowtest_contract::rules::UtcUs;
use serde::Serialize;
use serde_json::{Map, Value};
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
    /// Absent where a delta cannot say what changed: somebody left.
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

/// Writes frames, and remembers what the last one said.
#[derive(Debug, Default)]
pub struct FrameBuilder {
    seq: u64,
    public: Last,
    admin: Last,
}

/// The fields of a standing by name.
type Fields = Map<String, Value>;

/// What the last frame of a class said.
#[derive(Debug, Default)]
struct Last {
    standings: BTreeMap<UserKey, Fields>,
}

impl FrameBuilder {
    /// The next frame.
    pub fn build(&mut self, board: &Board, link: Link, now: UtcUs) -> Arc<Frames> {
        self.seq += 1;
        let control = board.control().map(|control| &**control);
        let head = Head {
            seq: self.seq,
            now,
            link,
            standings_at: None,
            round: control.map(|control| RoundNow::of(control, board.facts(), now)),
            due: Due::of(control, now),
            notices: &board.facts().notices.iter().filter(|notice| notice.is_shown(now)).cloned().collect::<Vec<_>>(),
            ended: board.facts().ended,
        };
        let standings = |class: Class| board.standings(&class.audience(), now);
        let validity = |class: Class| board.validity(&class.audience(), now);
        let public = self.public.next(&head, validity(Class::Public).as_ref(), &standings(Class::Public));
        let admin = self.admin.next(&head, validity(Class::Admin).as_ref(), &standings(Class::Admin));
        Arc::new(Frames { seq: self.seq, public, admin })
    }
}

/// What frames of all classes begin with.
struct Head<'a> {
    seq: u64,
    now: UtcUs,
    link: Link,
    /// Of an instant that is over, in which they were frozen: since when.
    standings_at: Option<UtcUs>,
    round: Option<RoundNow>,
    due: Due,
    notices: &'a [Notice],
    ended: bool,
}

impl Last {
    fn next(&mut self, head: &Head<'_>, validity: Option<&ValidityNow>, standings: &Standings) -> Texts {
        let now: BTreeMap<UserKey, Fields> =
            standings.lines.iter().map(|line| (line.contestant.id.clone(), fields(line))).collect();
        let snapshot = head.frame("snapshot", validity, &whole(standings));
        let all_stayed = self.standings.keys().all(|id| now.contains_key(id));
        let delta = all_stayed.then(|| {
            let changes = now.iter().filter_map(|(id, fields)| change(self.standings.get(id), fields));
            head.frame("delta", validity, &changes.collect::<Vec<Fields>>())
        });
        self.standings = now;
        Texts { snapshot, delta }
    }
}

fn fields(standing: &Standing) -> Fields {
    match serde_json::to_value(standing).expect("texts and numbers are always JSON") {
        Value::Object(fields) => fields,
        _ => unreachable!("a struct is an object"),
    }
}

/// What few contests have: a line that is whole and has none of it leaves it out.
const RARE: [&str; 15] = [
    "category",
    "holds",
    "holds_p99_us",
    "holds_since",
    "tries",
    "unbroken",
    "unbroken_by",
    "breaks_at",
    "breaks_by",
    "tried",
    "step_verdict",
    "climb_holds",
    "climb_breaks_at",
    "climb_breaks_by",
    "climb_unbroken_by",
];

/// All lines, as a snapshot has them.
fn whole(standings: &Standings) -> Vec<Fields> {
    standings.lines.iter().map(|standing| without_rare(fields(standing))).collect()
}

fn without_rare(mut line: Fields) -> Fields {
    let is_none = |value: &Value| value.is_null() || *value == Value::Bool(false);
    line.retain(|name, value| !(RARE.contains(&name.as_str()) && is_none(value)));
    line
}

/// The id and the fields that changed; nothing when none has.
fn change(before: Option<&Fields>, now: &Fields) -> Option<Fields> {
    let Some(before) = before else { return Some(without_rare(now.clone())) };
    let changed = now.iter().filter(|(name, value)| before.get(*name) != Some(value));
    let mut changed: Fields = changed.map(|(name, value)| (name.clone(), value.clone())).collect();
    if changed.is_empty() {
        return None;
    }
    changed.insert(ID.to_owned(), now[ID].clone());
    Some(changed)
}

/// Of which instant the standings are that somebody saw at another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct PastStandings {
    /// They were frozen then, since this one.
    pub(super) frozen_at: Option<UtcUs>,
    /// Nobody wrote down what was from this one on, and they are those of before.
    pub(super) unknown_since: Option<UtcUs>,
}

/// The frame of an instant that is over, as [`past`](super::past) puts it together: a snapshot that belongs to no sequence.
pub(super) fn past(
    control: Option<&Control>,
    facts: &Facts,
    standings: &Standings,
    at: UtcUs,
    seen: PastStandings,
) -> String {
    let head = Head {
        seq: 0,
        now: at,
        link: seen.unknown_since.map_or(Link::Live, |since| Link::Stale { since }),
        standings_at: seen.frozen_at,
        round: control.map(|control| RoundNow::of(control, facts, at)),
        due: Due::of(control, at),
        notices: &[],
        ended: false,
    };
    head.frame("past", None, &whole(standings)).as_str().to_owned()
}

/// The field by which a delta says whose fields changed.
const ID: &str = "id";

impl Head<'_> {
    fn frame(&self, kind: &'static str, validity: Option<&ValidityNow>, standings: &[impl Serialize]) -> Utf8Bytes {
        let (link, stale_since) = match self.link {
            Link::Live => ("live", None),
            Link::Stale { since } => ("stale", Some(utc_ms(since))),
        };
        let frame = Frame {
            seq: self.seq,
            at: utc_ms(self.now),
            kind,
            link,
            stale_since,
            standings_at: self.standings_at.map(utc_ms),
            round: self.round.as_ref(),
            due: &self.due,
            validity,
            notices: self.notices,
            ended: self.ended,
            standings,
        };
        serde_json::to_string(&frame).expect("texts and numbers are always JSON").into()
    }
}

#[derive(Serialize)]
struct Frame<'a, S> {
    seq: u64,
    at: Millis,
    kind: &'static str,
    link: &'static str,
    stale_since: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    standings_at: Option<Millis>,
    round: Option<&'a RoundNow>,
    due: &'a Due,
    validity: Option<&'a ValidityNow>,
    notices: &'a [Notice],
    ended: bool,
    standings: &'a [S],
}
