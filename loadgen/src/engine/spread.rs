//! Whose turn is when inside the interval of a request. Pure.
//!
//! With *n* contestants an interval has *n* places, one for each. Were a contestant's place always the same, whatever comes at
//! a steady pace, such as the timer of the kernel, would meet the same contestants for ever: at 500/s every request of one of
//! them would stand beside a tick of 4 ms. So all move on, a sixteenth of the interval for each request, up to its end, and
//! back from there, as bells are rung in a plain hunt:
//!
//! ```text
//!     number      0     1     2     3     4     5          n = 4, of contestants 0 to 3
//!     place 0     0     3     3     2     2     1
//!     place 1     3     0     2     3     1     2          0: up, up, up, stays, down, ..
//!     place 2     1     2     0     1     3     0
//!     place 3     2     1     1     0     0     3
//! ```
//!
//! Each is in every place equally often, and from one of its requests to the next it is the interval, give or take a sixteenth
//! (with fewer than 16 contestants: one place, every so many intervals).
//!
//! By arithmetic: contestants stand on a circle of 2n points, on every second one, and the circle turns. The points 0 to n - 1
//! are the places on the way up, 2n - 1 down to n the same places on the way back; no two are ever in one.
//!
//! Whoever stands side by side meets the same stall of the machine. So neighbours in the roster do not: they are shuffled,
//! contestant *i* to *a i* modulo *n* on the circle, with *a* next to the golden section of *n*, which spreads every stretch of
//! the roster over the whole interval. The drawing is of the shuffled.

use crate::engine::index::{ContestantIndex, Key};

/// Of an interval, how much everybody moves on from a request to the next: one part of so many.
const PARTS: u64 = 16;
const GOLDEN_RATIO: f64 = 1.618_033_988_749_895;

/// Who stands where.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    contestants: u64,
    /// Points of the circle that are turned at once; no divisor in common with it, so that all points are visited.
    stride: u64,
    /// It is turned after so many requests.
    every: u64,
    /// Times the index of a contestant, modulo n: where it is shuffled to. And its inverse.
    shuffle: u64,
    unshuffle: u64,
}

/// One number's turn of the circle: who is shuffled to *i* is at the point 2 (i + half mod n) + odd.
#[derive(Clone, Copy)]
struct Turn {
    half: u64,
    odd: u64,
}

/// Those that are shuffled to `residue` modulo `of`.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    pub residue: u64,
    pub of: u64,
}

impl Spread {
    pub fn new(contestants: u64) -> Spread {
        let is_fit = |stride: &u64| stride % 2 == 1 && greatest_common_divisor(*stride, contestants) == 1;
        let stride = (contestants / PARTS..).find(is_fit).unwrap_or(1);
        let is_coprime = |factor: &u64| greatest_common_divisor(*factor, contestants) == 1;
        let golden = (contestants as f64 / GOLDEN_RATIO).round() as u64;
        let nearest = (0..=golden).flat_map(|away| [golden + away, golden - away]);
        let shuffle = nearest.filter(|factor| *factor > 0).find(is_coprime).unwrap_or(1);
        let unshuffle = inverse(shuffle, contestants);
        Spread { contestants, stride, every: PARTS.div_ceil(contestants.max(1)), shuffle, unshuffle }
    }

    /// Where a contestant stands among the others, whatever the number; from 0.
    #[inline]
    pub fn shuffled(&self, contestant: ContestantIndex) -> u64 {
        contestant.index() as u64 * self.shuffle % self.contestants.max(1)
    }

    fn turn(&self, number: u64) -> Turn {
        let circle = 2 * self.contestants.max(1);
        let turned = number / self.every % circle * self.stride % circle;
        Turn { half: turned / 2, odd: turned % 2 }
    }

    /// The place of a contestant's request, from 0.
    pub fn place(&self, contestant: ContestantIndex, number: u64) -> u64 {
        let Turn { half, odd } = self.turn(number);
        let rotated = self.shuffled(contestant) + half;
        let rotated = if rotated >= self.contestants { rotated - self.contestants } else { rotated };
        let point = 2 * rotated + odd;
        if point < self.contestants { point } else { 2 * self.contestants - 1 - point }
    }

    /// The first contestant of a class at this place or a later one, among those of the same number.
    pub fn first_from(&self, number: u64, place: u64, class: Class) -> Option<ContestantIndex> {
        if place >= self.contestants {
            return None;
        }
        let turn = self.turn(number);
        let up = self.first_up(turn, place, class);
        let down = self.first_down(turn, place, class);
        let shuffled = match (up, down) {
            (Some((a, up)), Some((b, down))) => {
                if a < b {
                    up
                } else {
                    down
                }
            }
            (one, other) => one.or(other)?.1,
        };
        Some(ContestantIndex::from_index((shuffled * self.unshuffle % self.contestants) as usize))
    }

    /// On the way up places rise with the rotated index; (place, shuffled index).
    fn first_up(&self, Turn { half, odd }: Turn, place: u64, class: Class) -> Option<(u64, u64)> {
        let end = (self.contestants + 1 - odd) / 2;
        let mut rotated = (place + 1).saturating_sub(odd) / 2;
        let mut shuffled = rotated.wrapping_sub(half);
        if rotated < half {
            shuffled = rotated + self.contestants - half;
            let step = class.up_to(shuffled);
            (rotated, shuffled) = if rotated + step < half { (rotated + step, shuffled + step) } else { (half, 0) };
        }
        // Behind the wrap; before it nothing is missing any more.
        let step = class.up_to(shuffled);
        rotated += step;
        (rotated < end).then(|| (2 * rotated + odd, shuffled + step))
    }

    /// On the way back they fall with it.
    fn first_down(&self, Turn { half, odd }: Turn, place: u64, class: Class) -> Option<(u64, u64)> {
        let end = (self.contestants + 1 - odd) / 2;
        let mut rotated = (2 * self.contestants - 1 - odd - place) / 2;
        if rotated >= self.contestants {
            rotated = self.contestants - 1;
        }
        if rotated >= half {
            let shuffled = rotated - half;
            match class.down_to(shuffled) {
                Some(step) => {
                    rotated -= step;
                    return (rotated >= end).then(|| (2 * self.contestants - 1 - 2 * rotated - odd, shuffled - step));
                }
                None => rotated = half.checked_sub(1)?,
            }
        }
        let shuffled = rotated + self.contestants - half;
        let step = class.down_to(shuffled)?;
        rotated = rotated.checked_sub(step)?;
        (rotated >= end).then(|| (2 * self.contestants - 1 - 2 * rotated - odd, shuffled - step))
    }
}

impl Class {
    /// How far it is from an index up to the next one of the class.
    fn up_to(self, index: u64) -> u64 {
        (self.residue + self.of - index % self.of) % self.of
    }

    /// How far it is down to the last one of the class.
    fn down_to(self, index: u64) -> Option<u64> {
        let step = (index % self.of + self.of - self.residue) % self.of;
        (step <= index).then_some(step)
    }
}

/// The number by which `factor` is to be multiplied to give 1 modulo `of`; they have no divisor in common.
fn inverse(factor: u64, of: u64) -> u64 {
    (1..of).find(|inverse| factor % of * inverse % of == 1).unwrap_or(1)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Class = Class { residue: 0, of: 1 };

    fn nth(index: u64) -> ContestantIndex {
        ContestantIndex::from_index(index as usize)
    }

    fn everybody(contestants: u64) -> impl Iterator<Item = ContestantIndex> {
        ContestantIndex::all().take(contestants as usize)
    }

    #[test]
    fn the_drawing_is_what_happens() {
        let spread = Spread { contestants: 4, stride: 1, every: 1, shuffle: 1, unshuffle: 1 };
        let places =
            |number| [0, 1, 2, 3].map(|place| spread.first_from(number, place, ALL).expect("somebody").index());
        assert_eq!(
            [0, 1, 2, 3, 4, 5].map(places),
            [[0, 3, 1, 2], [3, 0, 2, 1], [3, 2, 0, 1], [2, 3, 1, 0], [2, 1, 3, 0], [1, 2, 0, 3]]
        );
    }

    proptest! {
        #[test]
        fn everybody_has_a_place_and_is_in_each_equally_often(contestants in 1u64..200, from in 0u64..1 << 40) {
            let spread = Spread::new(contestants);
            // Once round the circle, from anywhere.
            let (first, numbers) = (from * spread.every, 2 * contestants * spread.every);
            let mut visits = vec![0u64; contestants as usize];
            for number in first..first + numbers {
                let mut places: Vec<u64> = everybody(contestants).map(|one| spread.place(one, number)).collect();
                visits[places[0] as usize] += 1;
                places.sort_unstable();
                prop_assert!(places.into_iter().eq(0..contestants), "two have one place");
            }
            prop_assert!(visits.iter().all(|count| *count == 2 * spread.every), "{visits:?}");
        }

        #[test]
        fn nobody_moves_further_than_a_sixteenth_or_a_place(
            contestants in 1u64..3_000, number in 0u64..1 << 40, index in 0u64..3_000,
        ) {
            let spread = Spread::new(contestants);
            let index = nth(index % contestants);
            let moved = spread.place(index, number).abs_diff(spread.place(index, number + 1));
            prop_assert!(moved <= spread.stride);
            prop_assert!(spread.stride == 1 || spread.stride < contestants / PARTS + 32, "{spread:?}");
        }

        #[test]
        fn every_stretch_of_the_roster_stands_all_over_the_interval(contestants in 40u64..3_000, number in 0u64..1 << 40) {
            let spread = Spread::new(contestants);
            // A tenth of the roster has in each quarter of the interval a quarter of its requests, give or take half of these.
            let tenth = contestants / 10;
            for first in (0..10).map(|index| index * tenth) {
                let mut quarters = [0u64; 4];
                for index in first..first + tenth {
                    quarters[(spread.place(nth(index), number) * 4 / contestants) as usize] += 1;
                }
                prop_assert!(quarters.iter().all(|count| (count * 4).abs_diff(tenth) <= 16 + tenth / 2), "{spread:?}: {quarters:?}");
            }
        }

        #[test]
        fn a_class_is_found_in_order_of_its_places(
            contestants in 1u64..60, number in 0u64..1 << 40, of in 1u64..9, residue in 0u64..9, from in 0u64..70,
        ) {
            let (spread, class) = (Spread::new(contestants), Class { residue: residue % of, of });
            let places = everybody(contestants).filter(|one| spread.shuffled(*one) % of == class.residue);
            let first = places.map(|index| (spread.place(index, number), index)).filter(|(place, _)| *place >= from).min();
            prop_assert_eq!(spread.first_from(number, from, class), first.map(|(_, index)| index));
        }
    }
}
