//! What a stream says of itself at its beginning: whose round it is, by which rules.

use flowtest_contest::{Contest, Control};
use flowtest_contract::Rules;
use flowtest_contract::rules::{Deadlines, UtcUs};
use std::collections::BTreeMap;

/// What stands at the beginning.
#[derive(Clone, Debug)]
pub struct Beginning {
    pub contest: String,
    /// In the order of their numbers, those who joined behind those of the start.
    pub names: Vec<String>,
    /// How many of them there were when the round was armed.
    pub armed: usize,
    /// Since when those play that joined in this journal, by their numbers.
    pub joined: BTreeMap<usize, UtcUs>,
    pub at: UtcUs,
    pub rules: Rules,
    pub deadlines: Deadlines,
    /// The contest as JSON.
    pub document: Vec<u8>,
}

/// The contest of a document as a stream has it.
pub(in crate::journal) fn contest(document: &[u8]) -> Option<Contest> {
    serde_json::from_slice(document).ok().and_then(|document| Contest::from_json(document).ok())
}

/// The control document that it is, where it is one.
pub(super) fn control(document: &[u8]) -> Option<Control> {
    std::str::from_utf8(document).ok().and_then(|document| Control::from_json(document).ok())
}
