//! The names of everything in Redis. Tools outside the project depend on them.
//!
//! The braces are literal: they are Redis's hash tag, so all keys of one contest live in one slot of a cluster.

use flowtest_contract::id::{RoundId, StreamId};
use flowtest_contract::row::parse_count;
use flowtest_contract::span::SPANS;
use std::fmt;

/// String, JSON: the control document.
pub fn control(contest: &str) -> String {
    format!("flowtest:{{{contest}}}:control")
}

/// Hash: state, rows, sequence numbers and end markers of one round.
pub fn round(contest: &str, round: &RoundId) -> String {
    format!("flowtest:{{{contest}}}:round:{round}")
}

/// What the key of each round of each contest is like, as Redis searches for keys.
pub fn any_round() -> String {
    "flowtest:{*}:round:*".to_owned()
}

/// The contest and the round of a key that [`round`] made.
pub fn round_of(key: &str) -> Option<(&str, RoundId)> {
    let (contest, rest) = key.strip_prefix("flowtest:{")?.split_once('}')?;
    Some((contest, rest.strip_prefix(":round:")?.parse().ok()?))
}

/// String, JSON, lives [`GENERATOR_LIFE_SECONDS`]: one generator's health.
pub fn generator(contest: &str, generator: &str) -> String {
    format!("flowtest:{{{contest}}}:generator:{generator}")
}

/// String, an id, lives [`GENERATOR_LIFE_SECONDS`]: which process plays under a generator's name.
pub fn lease(contest: &str, generator: &str) -> String {
    format!("flowtest:{{{contest}}}:lease:{generator}")
}

/// String, lives [`WAITING_LIFE_SECONDS`]: which other process wants a generator's name. Names have no colon.
pub fn waiting(contest: &str, generator: &str) -> String {
    format!("flowtest:{{{contest}}}:lease:{generator}:waits")
}

/// How long a process that wants another's name is believed to: a service that is refused is started again sooner.
pub const WAITING_LIFE_SECONDS: u64 = 10;

/// String, an id, lives [`STEERING_LIFE_SECONDS`]: whose database steers the contest.
pub fn steering(contest: &str) -> String {
    format!("flowtest:{{{contest}}}:steering")
}

/// For how long after its last word a database steers.
pub const STEERING_LIFE_SECONDS: u64 = 10;

/// String, an id, lives [`KEEPER_LIFE_MS`]: which process gives the shares of generators that die to others.
pub fn keeper(contest: &str) -> String {
    format!("flowtest:{{{contest}}}:keeper")
}

/// How long the keeper's lease lasts: four looks of a dashboard.
pub const KEEPER_LIFE_MS: u64 = 2_000;

/// Sorted set: the ids of all generators by their last beat, microseconds since 1970.
pub fn generators(contest: &str) -> String {
    format!("flowtest:{{{contest}}}:generators")
}

/// How long a generator's health is believed.
pub const GENERATOR_LIFE_SECONDS: u64 = 5;

/// List, at most [`ERRORS_MAX`]: a contestant's newest explained failures.
pub fn errors(contest: &str, contestant: &str) -> String {
    format!("flowtest:{{{contest}}}:errors:{contestant}")
}

/// Explained failures kept per contestant.
pub const ERRORS_MAX: usize = 50;

/// List: requests to test an endpoint.
pub fn probes(contest: &str) -> String {
    format!("flowtest:{{{contest}}}:probe")
}

/// String, JSON, lives [`PROBE_LIFE_SECONDS`]: the answer to one such request.
pub fn probe(contest: &str, probe: &str) -> String {
    format!("flowtest:{{{contest}}}:probe:{probe}")
}

/// How long an answer to a probe is kept.
pub const PROBE_LIFE_SECONDS: u64 = 60;

/// Hash, lives [`NAMED_LIFE_SECONDS`] after it grew last: since when names of servers have had their addresses.
pub fn named(contest: &str) -> String {
    format!("flowtest:{{{contest}}}:named")
}

/// How long it is kept that a name had an address.
pub const NAMED_LIFE_SECONDS: i64 = 30 * 24 * 3_600;

/// List: requests for practice.
pub fn practices(contest: &str) -> String {
    format!("flowtest:{{{contest}}}:practice")
}

/// String, JSON, lives [`PRACTICE_LIFE_SECONDS`]: how one practice run goes.
pub fn practice(contest: &str, practice: &str) -> String {
    format!("flowtest:{{{contest}}}:practice:{practice}")
}

/// How long the report of a practice run is kept.
pub const PRACTICE_LIFE_SECONDS: u64 = 600;

/// Hash: what the newest prepare check of each contestant found, as JSON.
pub fn prepared(contest: &str) -> String {
    format!("flowtest:{{{contest}}}:prepared")
}

/// Hash, lives a week: what each stream of a round has counted in the hold of a breakpoint phase that is judged, JSON by stream.
pub fn holds(contest: &str, round: &RoundId) -> String {
    format!("flowtest:{{{contest}}}:breakpoint:{round}:holds")
}

/// String, JSON, lives a week: what was decided of a step of a breakpoint phase. Put once.
pub fn step(contest: &str, round: &RoundId, step: u32) -> String {
    format!("flowtest:{{{contest}}}:breakpoint:{round}:step:{step}")
}

/// String, JSON, lives a week: what was decided last in a round.
pub fn newest_step(contest: &str, round: &RoundId) -> String {
    format!("flowtest:{{{contest}}}:breakpoint:{round}:newest")
}

/// What a field of a round's hash is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundField<'a> {
    /// `running`, `draining`, `sealed`, ...
    State,
    /// The ids of all streams that joined.
    Streams,
    /// The sequence number of the newest rows of a stream.
    Seq(StreamId),
    /// The part that was taken last of a roster too long for one HSET: `<seq>.<part>.<parts>.<base>.<mark>.<rows>.<last name>`.
    Part(StreamId),
    /// The end marker of a stream: its last sequence number.
    End(StreamId),
    /// A stream that will never end, by the organiser's word.
    Abandoned(StreamId),
    /// The row of a contestant. Its histograms are its own, or where it has none those beside it.
    Row(StreamId, &'a str),
    /// The sequence number of the newest histograms of a stream that puts them beside its rows.
    HistogramSeq(StreamId),
    /// As `Part`, of histograms.
    HistogramPart(StreamId),
    /// How much of what a stream scored is valid.
    Validity(StreamId),
    /// A span of a contestant's histograms, by its number.
    Span(StreamId, usize, &'a str),
}

/// The name of the field: what [`RoundField::parse`] reads.
impl fmt::Display for RoundField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoundField::State => f.write_str("state"),
            RoundField::Streams => f.write_str("streams"),
            RoundField::Seq(stream) => write!(f, "q:{stream}"),
            RoundField::Part(stream) => write!(f, "p:{stream}"),
            RoundField::End(stream) => write!(f, "e:{stream}"),
            RoundField::Abandoned(stream) => write!(f, "a:{stream}"),
            RoundField::Row(stream, contestant) => write!(f, "t:{stream}:{contestant}"),
            RoundField::HistogramSeq(stream) => write!(f, "hq:{stream}"),
            RoundField::HistogramPart(stream) => write!(f, "hp:{stream}"),
            RoundField::Validity(stream) => write!(f, "v:{stream}"),
            RoundField::Span(stream, span, contestant) => write!(f, "h:{stream}:{span}:{contestant}"),
        }
    }
}

impl<'a> RoundField<'a> {
    /// What a hash says of a stream itself, apart from its rows and what puts of several calls leave.
    pub fn of_stream(stream: StreamId) -> [RoundField<'a>; 5] {
        [
            RoundField::Seq(stream),
            RoundField::HistogramSeq(stream),
            RoundField::End(stream),
            RoundField::Abandoned(stream),
            RoundField::Validity(stream),
        ]
    }

    /// `None` for fields that this version does not know.
    pub fn parse(field: &'a str) -> Option<RoundField<'a>> {
        if field == "state" {
            return Some(RoundField::State);
        }
        if field == "streams" {
            return Some(RoundField::Streams);
        }
        let (kind, rest) = field.split_once(':')?;
        if kind == "t" {
            let (stream, contestant) = rest.split_once(':')?;
            return Some(RoundField::Row(stream.parse().ok()?, contestant));
        }
        if kind == "h" {
            let (stream, span) = rest.split_once(':')?;
            let (span, contestant) = span.split_once(':')?;
            let span = usize::try_from(parse_count(span)?).ok().filter(|span| *span < SPANS)?;
            return Some(RoundField::Span(stream.parse().ok()?, span, contestant));
        }
        let stream = rest.parse().ok()?;
        match kind {
            "q" => Some(RoundField::Seq(stream)),
            "p" => Some(RoundField::Part(stream)),
            "e" => Some(RoundField::End(stream)),
            "a" => Some(RoundField::Abandoned(stream)),
            "v" => Some(RoundField::Validity(stream)),
            "hq" => Some(RoundField::HistogramSeq(stream)),
            "hp" => Some(RoundField::HistogramPart(stream)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_agreed() {
        let id: RoundId = "0123456789abcdef0123456789abcdef".parse().expect("an id");
        assert_eq!(control("finals"), "flowtest:{finals}:control");
        assert_eq!(round("finals", &id), "flowtest:{finals}:round:0123456789abcdef0123456789abcdef");
        assert_eq!(round_of(&round("finals", &id)), Some(("finals", id)));
        for other in [generator("finals", "g1"), holds("finals", &id), round("finals", &id) + "0"] {
            assert_eq!(round_of(&other), None, "{other}");
        }
        assert_eq!(generator("finals", "g1"), "flowtest:{finals}:generator:g1");
        assert_eq!(generators("finals"), "flowtest:{finals}:generators");
        assert_eq!(steering("finals"), "flowtest:{finals}:steering");
        assert_eq!(keeper("finals"), "flowtest:{finals}:keeper");
        assert_eq!(errors("finals", "alice"), "flowtest:{finals}:errors:alice");
        assert_eq!(probes("finals"), "flowtest:{finals}:probe");
        assert_eq!(probe("finals", "p1"), "flowtest:{finals}:probe:p1");
        assert_eq!(practices("finals"), "flowtest:{finals}:practice");
        assert_eq!(practice("finals", "p1"), "flowtest:{finals}:practice:p1");
        assert_eq!(prepared("finals"), "flowtest:{finals}:prepared");
        let of_round = "flowtest:{finals}:breakpoint:0123456789abcdef0123456789abcdef";
        assert_eq!(holds("finals", &id), format!("{of_round}:holds"));
        assert_eq!(step("finals", &id, 12), format!("{of_round}:step:12"));
        assert_eq!(newest_step("finals", &id), format!("{of_round}:newest"));
    }

    #[test]
    fn fields_of_a_round_are_told_apart() {
        let text = "0123456789abcdef0123456789abcdef";
        let stream: StreamId = text.parse().expect("an id");
        let fields = [
            ("state", RoundField::State),
            ("streams", RoundField::Streams),
            ("q:ID", RoundField::Seq(stream)),
            ("p:ID", RoundField::Part(stream)),
            ("e:ID", RoundField::End(stream)),
            ("a:ID", RoundField::Abandoned(stream)),
            ("t:ID:al ice", RoundField::Row(stream, "al ice")),
            ("v:ID", RoundField::Validity(stream)),
            ("hq:ID", RoundField::HistogramSeq(stream)),
            ("hp:ID", RoundField::HistogramPart(stream)),
            ("h:ID:10:al ice", RoundField::Span(stream, 10, "al ice")),
        ];
        for (name, field) in fields {
            let name = name.replace("ID", text);
            assert_eq!((RoundField::parse(&name), field.to_string()), (Some(field), name.clone()));
        }
        for unknown in ["", "t", "t:", "t:short:alice", "q:", "x:0123456789abcdef0123456789abcdef", "states", "h:"] {
            assert_eq!(RoundField::parse(unknown), None, "{unknown:?}");
        }
        for rest in ["", ":", ":11:alice", ":01:alice", ":x:alice", ":1"] {
            assert_eq!(RoundField::parse(&format!("h:{text}{rest}")), None, "{rest:?}");
        }
    }
}
