//! Which revision of the document generators have had time to follow. Pure.

use flowtest_contract::rules::UtcUs;
use std::collections::VecDeque;

/// So long after it was published every generator that plays follows a revision, in microseconds: eight looks of it.
const FOLLOWED_US: u64 = 2_000_000;

/// The revisions that were published last, and since when.
#[derive(Clone, Debug, Default)]
pub(super) struct Revisions(VecDeque<(u64, UtcUs)>);

impl Revisions {
    /// Redis holds this revision of ours now; none where it holds another document, or nobody knows.
    pub(super) fn look(&mut self, published: Option<u64>, now: UtcUs) {
        match published {
            None => self.0.clear(),
            Some(revision) if self.0.back().is_some_and(|(newest, _)| *newest == revision) => {}
            Some(revision) => self.0.push_back((revision, now)),
        }
        // The newest that is due, and those behind it.
        while self.0.get(1).is_some_and(|(_, since)| now.saturating_since(*since) >= FOLLOWED_US) {
            self.0.pop_front();
        }
    }

    /// What whoever plays follows by now, or a newer one; 0 where nothing can be said.
    pub(super) fn due(&self, now: UtcUs) -> u64 {
        let is_due = |since: UtcUs| now.saturating_since(since) >= FOLLOWED_US;
        self.0.front().filter(|(_, since)| is_due(*since)).map_or(0, |(revision, _)| *revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_due_two_seconds_after_it_was_published() {
        let at = |ms: u64| UtcUs(1_796_119_200_000_000 + ms * 1_000);
        let mut revisions = Revisions::default();
        // (at, what Redis holds, what is due)
        let cases = [
            (0, Some(7), 0),
            (1_900, Some(7), 0),
            (2_000, Some(7), 7),
            // However often it changes meanwhile.
            (2_500, Some(8), 7),
            (3_000, Some(9), 7),
            (4_500, Some(9), 8),
            (5_000, Some(10), 9),
            // Somebody else's, or an outage: nobody knows what generators could read.
            (5_500, None, 0),
            (9_000, Some(10), 0),
            (11_000, Some(10), 10),
        ];
        for (ms, published, due) in cases {
            revisions.look(published, at(ms));
            assert_eq!(revisions.due(at(ms)), due, "at {ms} ms");
        }
    }
}
