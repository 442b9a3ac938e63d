//! What was synced, as it is read: records in place, in their groups.

use crate::record::{
    ArchivedBatch, ArchivedControl, ArchivedDecision, ArchivedEnd, ArchivedEvidence, ArchivedFurther, ArchivedJoin,
    ArchivedLate, ArchivedNotice, ArchivedStart, ArchivedTraces,
};

/// One record in place, validated.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    Start(&'a ArchivedStart),
    Batch(&'a ArchivedBatch),
    Traces(&'a ArchivedTraces),
    Evidence(&'a ArchivedEvidence),
    Control(&'a ArchivedControl),
    Notice(&'a ArchivedNotice),
    Late(&'a ArchivedLate),
    Join(&'a ArchivedJoin),
    Further(&'a ArchivedFurther),
    Decision(&'a ArchivedDecision),
    End(&'a ArchivedEnd),
}

/// The records that were synced together.
#[derive(Debug)]
pub struct Group<'a> {
    /// 1 for the first, which holds the start alone.
    pub seq: u64,
    pub records: Vec<Record<'a>>,
}
