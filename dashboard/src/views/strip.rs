//! A team's seconds as one strip: of each span how much was verified, wrong and failed, as three SVG paths of numbers.

use std::fmt::Write as _;

/// The drawing's own units.
pub const WIDTH: usize = 600;
pub const HEIGHT: usize = 20;

/// What came in one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub verified: u64,
    pub wrong: u64,
    pub failed: u64,
}

/// The three paths; an empty one has nothing to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strip {
    pub verified: String,
    pub wrong: String,
    pub failed: String,
}

impl Strip {
    /// Spans from left to right. One in which nothing came stays blank.
    pub fn of(spans: &[Span]) -> Strip {
        let mut strip = Strip::default();
        let place = |index: usize| index * WIDTH / spans.len().max(1);
        let mut index = 0;
        while index < spans.len() {
            let heights = heights(spans[index]);
            // Equal ones beside each other are one piece.
            let next = spans[index..].iter().position(|span| self::heights(*span) != heights);
            let next = next.map_or(spans.len(), |count| index + count);
            let (x, width) = (place(index), place(next) - place(index));
            let [verified, wrong, failed] = heights;
            for (path, top, height) in [
                (&mut strip.verified, HEIGHT - verified, verified),
                (&mut strip.wrong, HEIGHT - verified - wrong, wrong),
                (&mut strip.failed, 0, failed),
            ] {
                if height > 0 && width > 0 {
                    let _ = write!(path, "M{x} {top}h{width}v{height}h-{width}z");
                }
            }
            index = next;
        }
        strip
    }
}

/// What failed is seen however little it is.
fn heights(span: Span) -> [usize; 3] {
    let Span { verified, wrong, failed } = span;
    let all = u128::from(verified) + u128::from(wrong) + u128::from(failed);
    if all == 0 {
        return [0; 3];
    }
    let part = |count: u64| (u128::from(count) * HEIGHT as u128).div_ceil(all) as usize;
    let failed = part(failed);
    let wrong = part(wrong).min(HEIGHT - failed);
    [HEIGHT - failed - wrong, wrong, failed]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_stand_in_their_places_and_one_failure_is_seen() {
        let span = |verified, wrong, failed| Span { verified, wrong, failed };
        let strip = Strip::of(&[span(9, 0, 0), span(9, 0, 0), span(0, 0, 0), span(9_999, 0, 1)]);
        assert_eq!(strip.verified, "M0 0h300v20h-300zM450 1h150v19h-150z");
        assert_eq!((strip.wrong.as_str(), strip.failed.as_str()), ("", "M450 0h150v1h-150z"));
        assert_eq!(Strip::of(&[]), Strip::default());
        assert_eq!(Strip::of(&[span(0, 0, u64::MAX)]).failed, "M0 0h600v20h-600z");
    }
}
