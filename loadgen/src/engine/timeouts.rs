//! How long an exchange may take, and what our own lateness changes about that. Pure.
//!
//! Our lateness may cost nobody a point and give nobody one. It can move an outcome by the time that we were late during the
//! exchange's life and by no more, so with *L* that time:
//!
//! | what happens | what it counts for |
//! |---|---|
//! | a right or wrong answer within the timeout | what it is worth: it came in spite of us |
//! | an answer after the timeout, within *L* more | nobody: it may have been there in time |
//! | no answer, or no connection, by the timeout and *L* | the contestant: on time it would have failed, too |
//! | the same, where *L* is half the timeout or more | nobody: what we cannot see for so long we cannot judge |
//! | a failing answer to a request that fell due while we were late: it came with others in a burst of ours | nobody |
//! | a connection that breaks, found in a turn that came late | nobody |
//! | a header that is wrong by the turn's clock, and right by an instant at which we may have sent the request | nobody |
//!
//! What waits for a connection behind others that wait waits for them too, and so for our lateness since the first of them found
//! none: it has so much longer for it. Nobody carries more by that than without us, and what we have held up is sent.
//!
//! What counts for nobody is `own_fault`: no points, right or wrong alike.

use crate::engine::causes::OwnCause;
use crate::engine::clock::RunInstant;
use flowtest_contract::Failure;
use flowtest_journal::record::LateCause;
use std::collections::VecDeque;

/// Lateness beyond this is noted: a turn that came so much later than it was to come, a request that was begun so much after
/// its instant.
pub const LATE_NS: u64 = 10_000_000;
/// Windows and late turns that are remembered. Each lies more than [`LATE_NS`] behind the one before, so these are minutes; what
/// waits in a queue that we hold up lives for as long as we do so, and no number of timeouts bounds that.
const REMEMBERED: usize = 1 << 14;

/// A stretch of time in which a worker was late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateWindow {
    pub from: RunInstant,
    pub to: RunInstant,
    pub cause: LateCause,
}

impl LateWindow {
    /// Whether the next window is the same one, told further. Two gaps in a row are two: between them the worker was at work;
    /// and so are two busy intervals, each of which is measured.
    pub fn goes_on_in(&self, next: &LateWindow) -> bool {
        self.cause == next.cause && !matches!(self.cause, LateCause::Gap | LateCause::Busy) && next.from <= self.to
    }
}

/// What one turn came to late, of all contestants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LateTurn {
    /// The first and the last instant at which it fell due.
    from: RunInstant,
    to: RunInstant,
    turn: RunInstant,
}

/// How long an exchange may take, and when we were late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub timeout: u64,
    /// Rising, none within another, with the lateness before each.
    windows: VecDeque<(LateWindow, u64)>,
    /// All lateness so far.
    total: u64,
    /// When the turn that runs began.
    now: RunInstant,
    /// What we came to late of what fell due, rising.
    late_turns: VecDeque<LateTurn>,
    /// What voids something beside lateness, and in which turn.
    noted: Option<(RunInstant, OwnCause)>,
}

impl Timeouts {
    pub fn new(timeout: u64) -> Timeouts {
        Timeouts {
            timeout,
            windows: VecDeque::with_capacity(REMEMBERED),
            total: 0,
            now: RunInstant::START,
            late_turns: VecDeque::with_capacity(REMEMBERED),
            noted: None,
        }
    }

    /// Our worker was late from `from` until `to`, which is now.
    pub fn on_late(&mut self, window: LateWindow) {
        let LateWindow { from, to, cause } = window;
        // What is already known to be late is late once. One that was known within this one is a part of it.
        while let Some((_, before)) = self.windows.pop_back_if(|(last, _)| last.from >= from) {
            self.total = before;
        }
        let from = self.windows.back().map_or(from, |(last, _)| from.max(last.to));
        if from >= to {
            return;
        }
        // A pause is told turn by turn and is one window, or short turns would push older ones out.
        if let Some((last, _)) = self.windows.back_mut().filter(|(last, _)| last.goes_on_in(&window)) {
            last.to = to;
            self.total += to - from;
            return;
        }
        if self.windows.len() == REMEMBERED {
            self.windows.pop_front();
        }
        self.windows.push_back((LateWindow { from, to, cause }, self.total));
        self.total += to - from;
    }

    /// In this turn we come to what fell due at this instant, in the order of instants. What we come to later than its timeout
    /// is void by that. `may_send`: it need not wait for our own journal. Whether we come to it late.
    #[inline]
    pub fn on_due(&mut self, intended: RunInstant, may_send: bool) -> bool {
        let lag = self.now.saturating_since(intended);
        let is_late = (lag > LATE_NS || !may_send) && lag <= self.timeout;
        if is_late {
            self.on_due_late(intended);
        }
        is_late
    }

    #[cold]
    fn on_due_late(&mut self, intended: RunInstant) {
        // While our journal stands still, all that falls due is late: turns without number are one.
        let still = self.windows.back().filter(|(window, _)| window.cause == LateCause::Journal);
        let is_still = |since| still.is_some_and(|(window, _)| window.from <= since && intended <= window.to);
        let is_same = |last: &&mut LateTurn| last.turn == self.now || is_still(last.to);
        if let Some(last) = self.late_turns.back_mut().filter(is_same) {
            (last.to, last.turn) = (intended, self.now);
            return;
        }
        if self.late_turns.len() == REMEMBERED {
            self.late_turns.pop_front();
        }
        self.late_turns.push_back(LateTurn { from: intended, to: intended, turn: self.now });
    }

    /// Whether we came late to what fell due at this instant.
    #[inline]
    pub fn was_late_for(&self, intended: RunInstant) -> bool {
        self.late_turns.back().is_some_and(|last| intended <= last.to) && self.is_among_late(intended)
    }

    #[cold]
    fn is_among_late(&self, intended: RunInstant) -> bool {
        let first = self.late_turns.partition_point(|late| late.to < intended);
        self.late_turns.get(first).is_some_and(|late| late.from <= intended)
    }

    /// Something beside lateness voids what is settled in this turn.
    pub fn note(&mut self, cause: OwnCause) {
        self.noted = Some((self.now, cause));
    }

    /// What of our own it is that voids something in this turn.
    pub fn own_cause(&self) -> Option<OwnCause> {
        let noted = self.noted.filter(|(at, _)| *at == self.now || self.windows.is_empty());
        let late = || self.windows.back().map(|(window, _)| OwnCause::Late(window.cause));
        noted.map(|(_, cause)| cause).or_else(late)
    }

    /// A turn begins.
    pub fn on_turn(&mut self, now: RunInstant) {
        self.now = now;
    }

    /// Whether the turn that runs now came late.
    fn is_late_now(&self) -> bool {
        self.windows.back().is_some_and(|(window, _)| window.to >= self.now)
    }

    /// How long we were late since this instant.
    fn late_since(&self, instant: RunInstant) -> u64 {
        let first = self.windows.partition_point(|(window, _)| window.to <= instant);
        self.windows
            .get(first)
            .map_or(0, |(window, before)| self.total - before - instant.saturating_since(window.from))
    }

    /// All lateness until this instant, for [`Timeouts::late_after`].
    pub fn late_until(&self, instant: RunInstant) -> u64 {
        self.total - self.late_since(instant)
    }

    /// How long we were late beyond so much of all lateness.
    pub fn late_after(&self, before: u64) -> u64 {
        // What is known to be late all through takes the place of its parts, before and after which it may begin and end.
        self.total.saturating_sub(before)
    }

    /// So late during a life, we can say nothing about it.
    fn is_blind(&self, late: u64) -> bool {
        late > 0 && late >= self.timeout / 2
    }

    /// The window in which something fell due, so that we came to it late, and to others with it.
    fn window_of(&self, intended: RunInstant) -> Option<&LateWindow> {
        let first = self.windows.partition_point(|(window, _)| window.to <= intended);
        self.windows.get(first).map(|(window, _)| window).filter(|window| window.from < intended)
    }

    /// Until when a request may have left us that has the stamp `sent`: a turn is stamped at its beginning, and hands over what it
    /// sends at its end.
    pub fn left_by(&self, sent: RunInstant) -> RunInstant {
        let first = self.windows.partition_point(|(window, _)| window.to <= sent);
        self.windows.get(first).filter(|(window, _)| window.from <= sent).map_or(sent, |(window, _)| window.to)
    }

    /// How long we were late with something that has waited since `since`: in its wait, and in coming to it.
    fn late(&self, intended: RunInstant, since: RunInstant) -> u64 {
        let coming =
            self.window_of(intended).filter(|window| window.to <= since).map_or(0, |window| window.to - intended);
        coming + self.late_since(since)
    }

    /// Whether the time is up of something that has waited since `since` and fell due at `intended`.
    #[inline]
    pub fn is_up(&self, intended: RunInstant, since: RunInstant, now: RunInstant) -> bool {
        now > since + self.timeout && {
            let late = self.late(intended, since);
            self.is_blind(late) || now > since + self.timeout + late
        }
    }

    /// How long we were late with a request that waits behind others. `held_up`: our lateness since the first of them did. Where
    /// that gives it more time, what happens then makes us no blinder.
    fn late_in_queue(&self, oldest: RunInstant, held_up: u64) -> u64 {
        let late = self.late_since(oldest);
        if held_up <= late { late } else { late - self.late_since(oldest + self.timeout) }
    }

    /// Whether the time is up of a request that waits for a connection since `oldest`, behind others that we have held up.
    pub fn is_up_in_queue(&self, oldest: RunInstant, held_up: u64, now: RunInstant) -> bool {
        now > oldest + self.timeout && {
            let late = self.late_in_queue(oldest, held_up);
            self.is_blind(late) || now > oldest + self.timeout + late.max(held_up)
        }
    }

    /// What it is called then.
    pub fn missed_in_queue(&self, oldest: RunInstant, held_up: u64) -> Failure {
        if self.is_blind(self.late_in_queue(oldest, held_up)) { Failure::OwnFault } else { Failure::Missed }
    }

    /// A connection, or an answer, comes after the time for it; `None`: it comes in time.
    #[inline]
    pub fn too_late(&self, intended: RunInstant, since: RunInstant, now: RunInstant) -> Option<Failure> {
        if now <= since + self.timeout {
            return None;
        }
        let is_ours = now <= since + self.timeout + self.late(intended, since);
        Some(if is_ours { Failure::OwnFault } else { Failure::Timeout })
    }

    /// What a failure is called of something that has waited since `since` and fell due at `intended`.
    pub fn failure(&self, intended: RunInstant, since: RunInstant, failure: Failure) -> Failure {
        let is_ours = match failure {
            Failure::Timeout | Failure::Missed => self.is_blind(self.late(intended, since)),
            // The turn that finds it broken came late, or the request came late and with others.
            Failure::Reset | Failure::Tls => self.window_of(intended).is_some() || self.is_late_now(),
            // Answers, of the server or of its machine.
            Failure::Refused | Failure::Malformed | Failure::Status => self.window_of(intended).is_some(),
            Failure::OwnFault => true,
        };
        if is_ours { Failure::OwnFault } else { failure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_000;

    fn at(ns: u64) -> RunInstant {
        RunInstant::from_ns(ns)
    }

    fn late(windows: &[(u64, u64)]) -> Timeouts {
        let mut timeouts = Timeouts::new(T);
        windows.iter().for_each(|(from, to)| {
            timeouts.on_late(LateWindow { from: at(*from), to: at(*to), cause: LateCause::Gap });
        });
        timeouts
    }

    #[test]
    fn lateness_is_what_lies_after_an_instant_and_counts_once() {
        let timeouts = late(&[(100, 200), (150, 250), (400, 500), (420, 480)]);
        assert_eq!(
            [0, 100, 130, 250, 300, 450, 500].map(|instant| timeouts.late_since(at(instant))),
            [250, 250, 220, 100, 100, 50, 0]
        );
    }

    #[test]
    fn what_would_have_failed_without_us_is_charged_and_what_may_have_come_in_time_is_void() {
        let timeouts = late(&[(500, 600)]);
        // It began at 0: its time is up at 1,000, and for an answer that we may have overlooked at 1,100.
        let (answered, is_up) =
            (|now| timeouts.too_late(at(0), at(0), at(now)), |now| timeouts.is_up(at(0), at(0), at(now)));
        assert_eq!([1_000, 1_050, 1_150].map(answered), [None, Some(Failure::OwnFault), Some(Failure::Timeout)]);
        assert_eq!([1_000, 1_001, 1_100, 1_101].map(is_up), [false, false, false, true]);
        assert_eq!(timeouts.failure(at(0), at(0), Failure::Timeout), Failure::Timeout);
        // Whoever began after it has nothing to do with it.
        assert_eq!(timeouts.too_late(at(600), at(600), at(1_650)), Some(Failure::Timeout));
        // What fell due meanwhile was sent with others at once, and may be answered so much later.
        assert_eq!(timeouts.too_late(at(550), at(600), at(1_640)), Some(Failure::OwnFault));
        assert_eq!(timeouts.too_late(at(550), at(600), at(1_660)), Some(Failure::Timeout));
    }

    #[test]
    fn what_we_sent_in_a_burst_or_broke_while_we_were_late_is_void() {
        let timeouts = late(&[(500, 600)]);
        assert_eq!(
            [500, 550, 600].map(|due| timeouts.failure(at(due), at(due.max(500)), Failure::Status)),
            [Failure::Status, Failure::OwnFault, Failure::Status]
        );
        let broken =
            |timeouts: &Timeouts| [0, 550, 600].map(|due| timeouts.failure(at(due), at(due.max(500)), Failure::Reset));
        // In the turn that came late, and in one behind it: by then it has nothing to do with us.
        let mut timeouts = timeouts;
        timeouts.on_turn(at(600));
        assert_eq!(broken(&timeouts), [Failure::OwnFault; 3]);
        timeouts.on_turn(at(601));
        assert_eq!(broken(&timeouts), [Failure::Reset, Failure::OwnFault, Failure::Reset]);
    }

    #[test]
    fn what_was_stamped_in_a_window_may_have_left_until_its_end() {
        let timeouts = late(&[(500, 600), (800, 900)]);
        assert_eq!(
            [400, 500, 599, 600, 800, 950].map(|sent| timeouts.left_by(at(sent)).ns()),
            [400, 600, 600, 600, 900, 950]
        );
    }

    #[test]
    fn whoever_is_blind_for_half_the_timeout_judges_nothing() {
        let timeouts = late(&[(100, 400), (500, 750)]);
        assert!(timeouts.is_up(at(0), at(0), at(1_001)) && !timeouts.is_up(at(0), at(0), at(1_000)));
        assert_eq!(timeouts.failure(at(0), at(0), Failure::Missed), Failure::OwnFault);
        assert_eq!(timeouts.failure(at(450), at(450), Failure::Missed), Failure::Missed);
    }

    #[test]
    fn what_waits_behind_others_waits_for_what_we_held_up_too() {
        let timeouts = late(&[(0, 300), (1_000, 1_300), (2_000, 2_300)]);
        // The queue is there since 200.
        let before = timeouts.late_until(at(200));
        assert_eq!((before, timeouts.late_after(before)), (200, 700));
        let is_up = |now| timeouts.is_up_in_queue(at(1_300), 700, at(now));
        assert_eq!([2_300, 2_301, 3_000, 3_001].map(is_up), [false, false, false, true]);
        assert_eq!(timeouts.missed_in_queue(at(1_300), 700), Failure::Missed);
        // Half of its own time is ours, and nobody was held up before it.
        let timeouts = late(&[(1_500, 2_100)]);
        assert!(timeouts.is_up_in_queue(at(1_400), 600, at(2_401)));
        assert_eq!(timeouts.missed_in_queue(at(1_400), 600), Failure::OwnFault);
        // More than half, but not of the time that it has anyway.
        let timeouts = late(&[(0, 400), (1_000, 1_300), (1_450, 1_800)]);
        assert_eq!(timeouts.missed_in_queue(at(400), 1_050), Failure::Missed);
    }

    #[test]
    fn a_window_that_holds_others_is_late_in_all_of_it() {
        // A gap is known at once; that the worker never rested around it, at the end of the block.
        let timeouts = late(&[(10, 20), (885, 896), (0, 1_000)]);
        assert_eq!([0, 500, 890, 1_000].map(|at| timeouts.late_since(RunInstant::from_ns(at))), [1_000, 500, 110, 0]);
        let timeouts = late(&[(100, 200), (150, 300)]);
        assert_eq!(timeouts.late_since(RunInstant::from_ns(0)), 200);
    }

    #[test]
    fn what_fell_due_late_is_remembered_by_its_instants() {
        let mut timeouts = Timeouts::new(1_000 * LATE_NS);
        let late_turn = |timeouts: &mut Timeouts, turn: u64, due: &[u64]| {
            timeouts.on_turn(at(turn * LATE_NS));
            due.iter().filter(|due| timeouts.on_due(at(*due * LATE_NS), true)).count()
        };
        assert_eq!(late_turn(&mut timeouts, 10, &[5, 6, 8, 9, 10]), 3);
        assert_eq!(late_turn(&mut timeouts, 20, &[20]), 0);
        assert_eq!(late_turn(&mut timeouts, 30, &[25]), 1);
        let late: Vec<u64> = (0..40).filter(|due| timeouts.was_late_for(at(due * LATE_NS))).collect();
        // What the first turn came to between its first and its last late one was late, too; the one at its own 9 was not.
        assert_eq!(late, [5, 6, 7, 8, 25]);
        // Later than the timeout it is void, and not late as well.
        assert_eq!(late_turn(&mut timeouts, 2_000, &[900]), 0);
        assert!(!timeouts.was_late_for(at(900 * LATE_NS)));
        for turn in 3_000..1_000_000 {
            late_turn(&mut timeouts, turn, &[turn - 2]);
        }
        assert!(timeouts.late_turns.len() <= REMEMBERED, "nothing is allocated in a loop");
    }

    #[test]
    fn what_we_hold_up_in_a_queue_is_late_and_void_however_long_it_lives() {
        let mut timeouts = Timeouts::new(100 * LATE_NS);
        // A gap of six tenths of the timeout in the first one of its life; then we are late in every other turn.
        timeouts.on_turn(at(80 * LATE_NS));
        timeouts.on_late(LateWindow { from: at(20 * LATE_NS), to: at(80 * LATE_NS), cause: LateCause::Gap });
        assert!(timeouts.on_due(at(30 * LATE_NS), true));
        for turn in (200..1_000).step_by(4) {
            timeouts.on_turn(at(turn * LATE_NS));
            timeouts.on_late(LateWindow {
                from: at((turn - 2) * LATE_NS),
                to: at(turn * LATE_NS),
                cause: LateCause::Gap,
            });
            assert!(timeouts.on_due(at((turn - 2) * LATE_NS), true));
        }
        assert!(timeouts.was_late_for(at(30 * LATE_NS)), "nine timeouts later");
        let held_up = timeouts.late_after(0);
        assert_eq!(timeouts.missed_in_queue(at(30 * LATE_NS), held_up), Failure::OwnFault);
    }

    #[test]
    fn what_voids_is_told_with_its_cause() {
        let mut timeouts = late(&[(100, 200)]);
        timeouts.on_turn(at(200));
        assert_eq!(timeouts.own_cause(), Some(OwnCause::Late(LateCause::Gap)));
        timeouts.on_turn(at(300));
        timeouts.note(OwnCause::Ports);
        assert_eq!(timeouts.own_cause(), Some(OwnCause::Ports));
        // A turn later it is the lateness again.
        timeouts.on_turn(at(301));
        assert_eq!(timeouts.own_cause(), Some(OwnCause::Late(LateCause::Gap)));
        assert_eq!(Timeouts::new(T).own_cause(), None);
    }

    #[test]
    fn a_pause_is_one_window_however_short_its_turns_are() {
        let mut timeouts = late(&[(100, 200)]);
        let turn = |from: u64, to| LateWindow { from: at(from), to: at(to), cause: LateCause::Journal };
        (300..500).for_each(|from| timeouts.on_late(turn(from, from + 1)));
        assert_eq!(timeouts.windows.len(), 2);
        assert_eq!([0, 150, 400].map(|since| timeouts.late_since(at(since))), [300, 250, 100]);
    }

    #[test]
    fn what_was_in_time_behind_a_pause_is_not_late_by_what_comes_later() {
        let ms = |ms: u64| at(ms * 1_000_000);
        let mut timeouts = Timeouts::new(1_000_000_000);
        for now in 101..200 {
            timeouts.on_turn(ms(now));
            timeouts.on_late(LateWindow { from: ms(now - 1), to: ms(now), cause: LateCause::Journal });
            assert!(timeouts.on_due(ms(now), false));
        }
        timeouts.on_turn(ms(210));
        assert!(!timeouts.on_due(ms(210), true));
        timeouts.on_turn(ms(240));
        assert!(timeouts.on_due(ms(220), true));
        assert_eq!([150, 210, 220].map(|intended| timeouts.was_late_for(ms(intended))), [true, false, true]);
    }

    #[test]
    fn a_timeout_of_a_minute_remembers_all_its_stalls() {
        let (second, stalls) = (1_000_000_000, 1_500);
        let mut timeouts = Timeouts::new(60 * second);
        for number in 0..stalls {
            let from = at(second + number * 40_000_000);
            timeouts.on_late(LateWindow { from, to: from + 11_000_000, cause: LateCause::Gap });
        }
        // All of them lie in the life of a request of the first second, and it is void up to so much after its time.
        assert_eq!(timeouts.late_since(at(0)), stalls * 11_000_000);
        let after = |late: u64| timeouts.too_late(at(0), at(0), at(60 * second + late));
        assert_eq!(after(stalls * 11_000_000), Some(Failure::OwnFault));
        assert_eq!(after(stalls * 11_000_000 + 1), Some(Failure::Timeout));
    }

    #[test]
    fn what_is_too_old_to_matter_is_forgotten() {
        let mut timeouts = Timeouts::new(60_000_000_000);
        let room = timeouts.windows.capacity();
        for number in 0..100_000 {
            let from = at(number * 20_000_000);
            timeouts.on_late(LateWindow { from, to: from + 11_000_000, cause: LateCause::Busy });
        }
        assert_eq!(timeouts.windows.capacity(), room, "nothing is allocated in a loop");
        assert!(timeouts.windows.len() <= REMEMBERED);
    }
}
