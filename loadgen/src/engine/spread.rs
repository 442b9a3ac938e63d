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

/// Of an interval, how much everybody moves on from a request to the next: one part of so many.
const PARTS: u64 = 16;

/// Who stands where.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    contestants: u64,
    /// Points of the circle that are turned at once; no divisor in common with it, so that all points are visited.
    stride: u64,
    /// It is turned after so many requests.
    every: u64,
}

/// One number's turn of the circle: contestant *i* is at the point 2 (i + half mod n) + odd.
#[derive(Clone, Copy)]
struct Turn {
    half: u64,
    odd: u64,
}

/// The contestants whose index is `residue` modulo `of`.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    pub residue: u64,
    pub of: u64,
}

impl Spread {
    pub fn new(contestants: u64) -> Spread {
        let is_fit = |stride: &u64| stride % 2 == 1 && greatest_common_divisor(*stride, contestants) == 1;
        let stride = (contestants / PARTS..).find(is_fit).unwrap_or(1);
        Spread { contestants, stride, every: PARTS.div_ceil(contestants.max(1)) }
    }

    fn turn(&self, number: u64) -> Turn {
        let circle = 2 * self.contestants.max(1);
        let turned = number / self.every % circle * self.stride % circle;
        Turn { half: turned / 2, odd: turned % 2 }
    }

    /// The place of a contestant's request, from 0.
    pub fn place(&self, contestant: u64, number: u64) -> u64 {
        let Turn { half, odd } = self.turn(number);
        let rotated = contestant + half;
        let rotated = if rotated >= self.contestants { rotated - self.contestants } else { rotated };
        let point = 2 * rotated + odd;
        if point < self.contestants { point } else { 2 * self.contestants - 1 - point }
    }

    /// The first contestant of a class at this place or a later one, among those of the same number.
    pub fn first_from(&self, number: u64, place: u64, class: Class) -> Option<u64> {
        if place >= self.contestants {
            return None;
        }
        let turn = self.turn(number);
        let up = self.first_up(turn, place, class);
        let down = self.first_down(turn, place, class);
        match (up, down) {
            (Some((a, up)), Some((b, down))) => Some(if a < b { up } else { down }),
            (one, other) => one.or(other).map(|(_, contestant)| contestant),
        }
    }

    /// On the way up places rise with the rotated index; (place, contestant).
    fn first_up(&self, Turn { half, odd }: Turn, place: u64, class: Class) -> Option<(u64, u64)> {
        let end = (self.contestants + 1 - odd) / 2;
        let mut rotated = (place + 1).saturating_sub(odd) / 2;
        let mut contestant = rotated.wrapping_sub(half);
        if rotated < half {
            contestant = rotated + self.contestants - half;
            let step = class.up_to(contestant);
            (rotated, contestant) = if rotated + step < half { (rotated + step, contestant + step) } else { (half, 0) };
        }
        // Behind the wrap; before it nothing is missing any more.
        let step = class.up_to(contestant);
        rotated += step;
        (rotated < end).then(|| (2 * rotated + odd, contestant + step))
    }

    /// On the way back they fall with it.
    fn first_down(&self, Turn { half, odd }: Turn, place: u64, class: Class) -> Option<(u64, u64)> {
        let end = (self.contestants + 1 - odd) / 2;
        let mut rotated = (2 * self.contestants - 1 - odd - place) / 2;
        if rotated >= self.contestants {
            rotated = self.contestants - 1;
        }
        if rotated >= half {
            let contestant = rotated - half;
            match class.down_to(contestant) {
                Some(step) => {
                    rotated -= step;
                    return (rotated >= end).then(|| (2 * self.contestants - 1 - 2 * rotated - odd, contestant - step));
                }
                None => rotated = half.checked_sub(1)?,
            }
        }
        let contestant = rotated + self.contestants - half;
        let step = class.down_to(contestant)?;
        rotated = rotated.checked_sub(step)?;
        (rotated >= end).then(|| (2 * self.contestants - 1 - 2 * rotated - odd, contestant - step))
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

    #[test]
    fn the_drawing_is_what_happens() {
        let spread = Spread { contestants: 4, stride: 1, every: 1 };
        let places = |number| [0, 1, 2, 3].map(|place| spread.first_from(number, place, ALL).expect("somebody"));
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
                let mut places: Vec<u64> = (0..contestants).map(|i| spread.place(i, number)).collect();
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
            let index = index % contestants;
            let moved = spread.place(index, number).abs_diff(spread.place(index, number + 1));
            prop_assert!(moved <= spread.stride);
            prop_assert!(spread.stride == 1 || spread.stride < contestants / PARTS + 32, "{spread:?}");
        }

        #[test]
        fn a_class_is_found_in_order_of_its_places(
            contestants in 1u64..60, number in 0u64..1 << 40, of in 1u64..9, residue in 0u64..9, from in 0u64..70,
        ) {
            let (spread, class) = (Spread::new(contestants), Class { residue: residue % of, of });
            let places = (0..contestants).filter(|index| index % of == class.residue);
            let first = places.map(|index| (spread.place(index, number), index)).filter(|(place, _)| *place >= from).min();
            prop_assert_eq!(spread.first_from(number, from, class), first.map(|(_, index)| index));
        }
    }
}
