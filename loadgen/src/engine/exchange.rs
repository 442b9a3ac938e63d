//! One request from the moment it takes a slot until its outcome.

use crate::engine::clock::RunInstant;
use crate::engine::pacer::Due;
use flowtest_contract::token::{TOKEN_LEN, Token};

/// A request from the moment it takes a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When the plan wanted it sent.
    pub intended: RunInstant,
    /// When it took the slot: its timeout counts from here.
    pub started: RunInstant,
    /// When it was handed to the kernel, the last time. [`Exchange::NOT_SENT`] before.
    pub sent: RunInstant,
    /// The token that it carries now. Kept, not computed again: an AES block costs more than the whole fast path of the
    /// parser, and 32 bytes beside the other fields cost nothing (docs/decisions/0002-token-kept.md).
    pub(crate) token: Token,
    /// Which request of its contestant it was sent as: [`RequestTemplate::mark`](crate::engine::http::RequestTemplate::mark).
    pub(crate) request_mark: u32,
    /// Its phase counts.
    pub scored: bool,
    /// It was sent once more by the keep-alive rule.
    pub resent: bool,
}

impl Exchange {
    /// Nothing is sent at the clock's beginning: a plan starts after it.
    pub const NOT_SENT: RunInstant = RunInstant::START;

    pub fn new(due: Due, started: RunInstant) -> Exchange {
        let Due { intended, scored } = due;
        Exchange {
            intended,
            started,
            sent: Exchange::NOT_SENT,
            token: Token([0; TOKEN_LEN]),
            request_mark: 0,
            scored,
            resent: false,
        }
    }
}
