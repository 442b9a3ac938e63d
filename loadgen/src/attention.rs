//! Who is worth a flood: a contestant that gave no right answer for a while gets one probe a second until it does again,
//! so that nobody floods a stranger or a dead host. Pure.

use crate::plan::Traffic;

/// Without a right answer for so long, in nanoseconds, a contestant falls to probes.
const SILENCE_NS: u64 = 10_000_000_000;
/// Right answers that bring the flood back.
const RIGHT_AGAIN: u64 = 3;

/// What is known of one contestant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Regard {
    /// Right answers at the last look.
    verified: u64,
    /// Since when it owes one: when it was first asked, or last right.
    since: Option<u64>,
    /// Right answers when it fell to probes.
    fell_at: Option<u64>,
}

/// All contestants.
#[derive(Clone, Debug)]
pub struct Attention(Vec<Regard>);

impl Attention {
    pub fn new(contestants: usize) -> Attention {
        Attention(vec![Regard::default(); contestants])
    }

    /// Looks at a contestant that has come to so many outcomes and right answers so far; says what it gets.
    pub fn look(&mut self, contestant: usize, now: u64, settled: u64, verified: u64) -> Traffic {
        let regard = &mut self.0[contestant];
        if verified > regard.verified || settled == 0 {
            regard.since = None;
            regard.verified = verified;
        } else {
            regard.since.get_or_insert(now);
        }
        match regard.fell_at {
            Some(fell_at) if verified >= fell_at + RIGHT_AGAIN => regard.fell_at = None,
            None if regard.since.is_some_and(|since| now >= since + SILENCE_NS) => regard.fell_at = Some(verified),
            Some(_) | None => {}
        }
        if regard.fell_at.is_some() { Traffic::Probe } else { Traffic::Flood }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn ten_seconds_without_a_right_answer_are_enough_and_three_right_ones_bring_it_back() {
        let mut attention = Attention::new(1);
        // (second, outcomes, right answers, what it gets)
        let looks = [
            (0, 0, 0, Traffic::Flood),
            (5, 0, 0, Traffic::Flood), // nobody asked it anything yet
            (6, 10, 4, Traffic::Flood),
            (15, 900, 4, Traffic::Flood), // the first look without a new one
            (24, 1800, 4, Traffic::Flood),
            (25, 1900, 4, Traffic::Probe),
            (26, 1901, 5, Traffic::Probe),
            (27, 1902, 6, Traffic::Probe),
            (28, 1903, 7, Traffic::Flood),
            (29, 2903, 7, Traffic::Flood),
        ];
        for (second, settled, verified, traffic) in looks {
            assert_eq!(attention.look(0, second * SECOND, settled, verified), traffic, "at {second} s");
        }
    }
}
