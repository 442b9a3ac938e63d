//! What an audit has to say: differences, which decide its verdict, and remarks, which do not.

use serde::Serialize;

/// One sentence with what it is about. `kind` is stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// One of [`Kind`], in snake case.
    pub kind: Kind,
    /// Whether it makes the verdict different.
    pub difference: bool,
    /// `null` when it is about all rounds.
    pub round: Option<String>,
    /// `null` when it is about the whole round.
    pub stream: Option<String>,
    pub contestant: Option<String>,
    /// A counter, or a histogram with its bucket, as in `latency[31]`.
    pub field: Option<String>,
    /// What the journal's batches say.
    pub journal: Option<u64>,
    /// What the other side says: traces or Redis.
    pub other: Option<u64>,
    pub text: String,
}

impl Finding {
    /// One that is about no round alone.
    pub fn of_all(kind: Kind, difference: bool, text: String) -> Finding {
        let (round, stream, contestant, field) = (None, None, None, None);
        Finding { kind, difference, round, stream, contestant, field, journal: None, other: None, text }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file was changed after it was written, or lost a part.
    Damaged,
    /// The last writes of a process that died. They never counted.
    Torn,
    /// The writer is gone.
    Killed,
    /// The stream is being written.
    Live,
    NeverBegan,
    /// Nothing of a stream can be read.
    Unreadable,
    /// Something in the journal contradicts itself.
    Odd,
    /// Batches and traces do not say the same.
    Traces,
    /// Some outcomes left no trace.
    Untraced,
    /// Counters of a contestant are no partition of what came due.
    Partition,
    /// Streams of one round disagree about contest, roster or rules.
    Terms,
    /// Two streams held one share of the requests at one time, and both sent.
    ShareTwice,
    /// What a generator says of its valid seconds, held against its journal: what cannot be so is a difference.
    Validity,
    /// Steps of a breakpoint phase were decided again: a wrong one is a difference.
    Steps,
    RedisBehind,
    RedisAhead,
    RedisDifferent,
    /// Redis knows a stream whose journal is not here.
    NoJournal,
    /// Redis does not know a stream or round of these journals.
    NotInRedis,
    /// What Redis says makes no sense.
    RedisOdd,
    /// Whether the round is sealed.
    RedisState,
    /// About the question of `--with`.
    WhatIf,
}
