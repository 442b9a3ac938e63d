//! What a worker hands over ten times a second: everything it counted since the last time.
//!
//! A block is the worker's accumulator itself. Handing over is swapping boxes through two bounded queues, so nothing is
//! copied, allocated or locked in the loop; when no empty block is at hand the worker goes on with the one it has, and
//! nothing is lost.

use crate::engine::causes::{Causes, OwnTrouble};
use crate::engine::clock::RunInstant;
use crate::engine::cost::{Cost, Costliest};
use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::{NS_PER_SECOND, Plan};
use crate::engine::ring::Counters;
use crate::engine::timeouts::LateWindow;
use crate::engine::trace::{Samples, Traces, Tracing};
use flowtest_contest::breakpoint::HoldCounts;
use flowtest_contract::{Histogram, RoundValidity, Row};
use flowtest_journal::record::LateCause;

/// Counters of one contestant that are not part of its score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// All three headers right.
    pub verified: u64,
    /// We came to it more than 10 ms after its intended instant, or had to let it wait for our journal: known when it falls due.
    pub late: u64,
    /// Of these, what counts for nobody: known when it has its outcome. It is among `own_fault` too.
    pub late_void: u64,
    /// What it took of workers while they never rested, of late.
    pub busy: Cost,
}

impl Meter {
    pub fn add(&mut self, other: &Meter) {
        self.verified += other.verified;
        self.late += other.late;
        self.late_void += other.late_void;
        self.busy.add(other.busy);
    }
}

/// Below this a run, or a second of one, is not valid: the generator did not keep to its plan.
pub const RATE_RATIO_MIN: f64 = RoundValidity::RATIO_MIN;

/// The part of what fell due that we sent in time and could judge; `None` where nothing did. `own_fault` is all that is void; what
/// is void and late is taken away once.
pub fn rate_ratio(due: u64, own_fault: u64, meter: &Meter) -> Option<f64> {
    let void = own_fault.saturating_sub(meter.late_void);
    (due > 0).then(|| due.saturating_sub(void).saturating_sub(meter.late) as f64 / due as f64)
}

/// The counts of one contestant.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub row: Row,
    pub meter: Meter,
    /// The kinds of failure, as bits, that have left a sample in this block.
    pub sampled: u16,
}

impl Counts {
    pub fn merge(&mut self, other: &Counts) {
        if other.is_empty() {
            return;
        }
        self.row.tally.merge(&other.row.tally);
        self.row.latency.merge(&other.row.latency);
        self.row.service.merge(&other.row.service);
        self.meter.add(&other.meter);
    }

    /// Nothing was counted: then the histograms are empty as well.
    pub fn is_empty(&self) -> bool {
        self.row.tally == flowtest_contract::Tally::default() && self.meter == Meter::default()
    }

    pub fn clear(&mut self) {
        if self.is_empty() {
            return;
        }
        self.row.tally = flowtest_contract::Tally::default();
        self.row.latency.clear();
        self.row.service.clear();
        self.meter = Meter::default();
        self.sampled = 0;
    }
}

/// Trouble that comes so long after a worker has rested again has nothing to do with what filled its time.
const NEAR_NS: u64 = 10 * NS_PER_SECOND;

/// Windows of lateness that a block holds; what comes then lengthens the last.
const WINDOWS: usize = 64;

/// The windows of a block. Their room is there from the start and never grows.
#[derive(Clone, Debug, Default)]
pub struct Lateness {
    windows: Vec<LateWindow>,
}

impl Lateness {
    pub fn note(&mut self, window: LateWindow) {
        let is_full = self.windows.len() == WINDOWS;
        match self.windows.last_mut() {
            // Nobody has taken the block for a long time.
            Some(last) if is_full => *last = LateWindow { from: last.from, to: window.to, cause: LateCause::Journal },
            Some(last) if last.goes_on_in(&window) => last.to = last.to.max(window.to),
            _ => self.windows.push(window),
        }
    }

    pub fn as_slice(&self) -> &[LateWindow] {
        &self.windows
    }
}

/// What one generator has counted in a hold, of all its workers.
#[derive(Clone, Copy, Debug)]
pub struct CountedHold<'a> {
    /// By contestant.
    pub counts: &'a [HoldCounts],
    /// Nothing is missing from it any more.
    pub is_settled: bool,
}

/// What was counted in the hold of one step of a breakpoint phase. Holds lie seconds apart: there is one at a time.
#[derive(Clone, Debug, Default)]
pub struct Hold {
    pub step: u32,
    /// Workers of whose requests in the hold each has its outcome, counted here or before.
    pub settled: u32,
    /// By contestant. Empty where no plan has such phases.
    counts: Vec<HoldCounts>,
}

impl Hold {
    pub fn counts(&self) -> &[HoldCounts] {
        &self.counts
    }

    /// Of a generator as a whole.
    pub fn report(&self, plan: &Plan) -> CountedHold<'_> {
        CountedHold { counts: &self.counts, is_settled: self.settled == plan.workers }
    }

    /// Where a contestant's outcome in the hold of a step is counted. `None`: that step is over for us.
    #[inline]
    pub fn of(&mut self, step: u32, contestant: ContestantIndex) -> Option<&mut HoldCounts> {
        self.enter(step);
        if step < self.step { None } else { self.counts.get_mut(contestant.index()) }
    }

    /// So many workers have settled all that was theirs in the hold of a step.
    pub fn settle(&mut self, step: u32, workers: u32) {
        self.enter(step);
        if step == self.step {
            self.settled += workers;
        }
    }

    #[inline]
    fn enter(&mut self, step: u32) {
        if step > self.step {
            self.clear();
            self.step = step;
        }
    }

    fn clear(&mut self) {
        self.counts.iter_mut().for_each(HoldCounts::clear);
        self.settled = 0;
    }

    /// Has places for so many contestants at least.
    pub fn grow(&mut self, contestants: usize) {
        self.counts.resize(contestants.max(self.counts.len()), HoldCounts::default());
    }

    fn merge(&mut self, other: &Hold) {
        if other.settled == 0 && other.counts.iter().all(HoldCounts::is_empty) {
            return;
        }
        self.settle(other.step, other.settled);
        self.grow(other.counts.len());
        for (index, theirs) in ContestantIndex::all().zip(&other.counts).filter(|(_, theirs)| !theirs.is_empty()) {
            if let Some(ours) = self.of(other.step, index) {
                ours.merge(theirs);
            }
        }
    }
}

/// Everything that a worker counted in an interval.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Scored phases, by contestant.
    pub scored: Vec<Counts>,
    /// Phases that do not count: warm-up and practice.
    pub unscored: Vec<Counts>,
    /// Of breakpoint phases.
    pub hold: Hold,
    /// A trace of each outcome that this block counts.
    pub traces: Traces,
    pub samples: Samples,
    /// Why scored exchanges failed.
    pub causes: Causes,
    /// Our own send lag in open phases, in µs.
    pub lag: Histogram,
    /// When the worker was late, and instants at which something else voided exchanges, rising.
    pub late: Lateness,
    /// What was the matter with us last.
    pub trouble: Option<OwnTrouble>,
    /// Until when exchanges filled the time of a worker that never rested.
    pub busy_until: RunInstant,
    /// The last instant at which an exchange was settled.
    pub last: RunInstant,
    /// All that fell due until here has been come to, in this block or before.
    pub until: RunInstant,
    /// The worker's counters since its start (not since the last block).
    pub counters: Counters,
    /// User and system time of the worker's thread since its start, in µs.
    pub cpu_us: (u64, u64),
}

impl Block {
    pub fn new(contestants: usize, tracing: Tracing) -> Block {
        Block {
            scored: vec![Counts::default(); contestants],
            unscored: vec![Counts::default(); contestants],
            traces: Traces::new(tracing),
            samples: Samples::new(tracing),
            causes: Causes::with_room(),
            late: Lateness { windows: Vec::with_capacity(WINDOWS) },
            ..Block::default()
        }
    }

    #[inline]
    pub fn counts(&mut self, contestant: ContestantIndex, scored: bool) -> &mut Counts {
        let counts = if scored { &mut self.scored } else { &mut self.unscored };
        &mut counts[contestant.index()]
    }

    /// A request is handed to the kernel, for the first time or once more.
    #[inline]
    pub fn count_sent(&mut self, contestant: ContestantIndex, scored: bool, first_time: bool) {
        let tally = &mut self.counts(contestant, scored).row.tally;
        tally.sent += u64::from(first_time);
        tally.resent += u64::from(!first_time);
    }

    /// All that was counted of a contestant: what is scored, and what is not.
    pub fn of(&self, contestant: ContestantIndex) -> [&Counts; 2] {
        [&self.scored[contestant.index()], &self.unscored[contestant.index()]]
    }

    /// Whose exchanges took most of the time of workers that never rested, the last time that they did so. `None`: what was the matter
    /// with us since is something else.
    pub fn costliest(&self) -> Option<Costliest> {
        if self.trouble.is_some_and(|trouble| trouble.at > self.busy_until + NEAR_NS) {
            return None;
        }
        let each = self.scored.iter().zip(&self.unscored).map(|(scored, unscored)| {
            let mut cost = scored.meter.busy;
            cost.add(unscored.meter.busy);
            cost
        });
        Costliest::of(ContestantIndex::all().zip(each))
    }

    /// Has places for so many contestants at least.
    pub fn grow(&mut self, contestants: usize) {
        for counts in [&mut self.scored, &mut self.unscored] {
            counts.resize(contestants.max(counts.len()), Counts::default());
        }
    }

    /// Adds what a worker counted. Counters, traces and samples are the worker's own and are not merged here.
    pub fn merge(&mut self, other: &Block) {
        self.grow(other.scored.len());
        if other.scored.iter().chain(&other.unscored).any(|counts| counts.meter.busy.ns > 0) {
            self.scored.iter_mut().chain(&mut self.unscored).for_each(|counts| counts.meter.busy.fade());
            self.busy_until = self.busy_until.max(other.until);
        }
        for (ours, theirs) in self.scored.iter_mut().zip(&other.scored) {
            ours.merge(theirs);
        }
        for (ours, theirs) in self.unscored.iter_mut().zip(&other.unscored) {
            ours.merge(theirs);
        }
        self.hold.merge(&other.hold);
        self.causes.merge(&other.causes);
        self.lag.merge(&other.lag);
        self.note_trouble(other.trouble);
        self.last = self.last.max(other.last);
    }

    /// Something was the matter with us.
    pub fn note_trouble(&mut self, trouble: Option<OwnTrouble>) {
        self.trouble = OwnTrouble::newer(self.trouble, trouble);
    }

    pub fn clear(&mut self) {
        self.trouble = None;
        self.scored.iter_mut().chain(&mut self.unscored).for_each(Counts::clear);
        self.hold.clear();
        self.causes.clear();
        self.lag.clear();
        self.late.windows.clear();
        self.samples.clear();
        // The traces are opened anew by the worker, which knows the instant.
    }
}

/// Blocks under way at once per worker: one being filled, one being read, and room for a collector that comes late.
const BLOCKS: usize = 4;

/// The worker's end.
#[derive(Debug)]
pub struct Sender {
    full: rtrb::Producer<Box<Block>>,
    empty: rtrb::Consumer<Box<Block>>,
}

/// The collector's end.
#[derive(Debug)]
pub struct Receiver {
    full: rtrb::Consumer<Box<Block>>,
    empty: rtrb::Producer<Box<Block>>,
}

/// Two queues between a worker and the collector.
pub fn channel(contestants: usize, tracing: Tracing) -> (Sender, Receiver) {
    let (full_in, full_out) = rtrb::RingBuffer::new(BLOCKS);
    let (mut empty_in, empty_out) = rtrb::RingBuffer::new(BLOCKS);
    for _ in 1..BLOCKS {
        empty_in.push(Box::new(Block::new(contestants, tracing))).expect("the queue has room for all blocks");
    }
    (Sender { full: full_in, empty: empty_out }, Receiver { full: full_out, empty: empty_in })
}

impl Sender {
    /// Hands over `block` and puts an empty one in its place. `false`: none is at hand, `block` goes on filling.
    pub fn hand_off(&mut self, block: &mut Box<Block>) -> bool {
        let Ok(empty) = self.empty.pop() else { return false };
        let full = std::mem::replace(block, empty);
        self.full.push(full).expect("there are no more blocks than places");
        true
    }

    /// The worker ends. There are as many places as blocks, so the last one has its place even when nobody collects.
    pub fn finish(mut self, block: Box<Block>) {
        self.full.push(block).expect("there are no more blocks than places");
    }
}

impl Receiver {
    /// Reads every block that has come; `true` when the worker has ended and nothing is left.
    pub fn drain(&mut self, mut read: impl FnMut(&Block)) -> bool {
        let ended = self.full.is_abandoned();
        while let Ok(mut block) = self.full.pop() {
            read(&block);
            block.clear();
            // Fails only when the worker has gone; the block is not needed then.
            let _ = self.empty.push(block);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::causes::OwnCause;

    #[test]
    fn nothing_is_lost_when_the_collector_comes_late() {
        let (mut sender, mut receiver) = channel(1, Tracing::Off);
        let mut block = Box::new(Block::new(1, Tracing::Off));
        for _ in 0..100 {
            block.scored[0].row.tally.due += 1;
            sender.hand_off(&mut block);
        }
        let mut sum = Block::new(1, Tracing::Off);
        assert!(!receiver.drain(|block| sum.merge(block)));
        let last = std::thread::spawn(move || sender.finish(block));
        while !receiver.drain(|block| sum.merge(block)) {
            std::thread::yield_now();
        }
        receiver.drain(|block| sum.merge(block));
        last.join().unwrap();
        assert_eq!(sum.scored[0].row.tally.due, 100);
    }

    #[test]
    fn whoever_filled_a_workers_time_last_is_named_and_nobody_for_what_came_much_later() {
        const SECOND: u64 = NS_PER_SECOND;
        let at = |ns: u64| RunInstant::from_ns(ns);
        let mut sum = Block::new(2, Tracing::Off);
        // In a second of ten intervals somebody takes all of a worker's time.
        let fill = |sum: &mut Block, second: u64, who: usize, ns: u64| {
            for interval in 1..=10 {
                let mut block = Block::new(2, Tracing::Off);
                block.until = at(second * SECOND + interval * SECOND / 10);
                block.scored[who].meter.busy = Cost { ns, requests: 10 };
                block.note_trouble(Some(OwnTrouble {
                    is_void: true,
                    at: block.until,
                    cause: OwnCause::Late(LateCause::Busy),
                }));
                sum.merge(&block);
            }
        };
        let told = |sum: &Block| sum.costliest().map(|most| (most.contestant.index(), most.time_percent));
        for second in 0..60 {
            fill(&mut sum, second, 0, 90_000_000);
        }
        assert_eq!(told(&sum), Some((0, 100)));
        fill(&mut sum, 100, 1, 90_000_000);
        fill(&mut sum, 101, 1, 90_000_000);
        assert!(told(&sum).is_some_and(|(who, percent)| who == 1 && percent > 60), "{:?}", told(&sum));
        // A worker stood still, which is no fault of theirs.
        let mut block = Block::new(2, Tracing::Off);
        for (second, is_told) in [(111, true), (113, false)] {
            let cause = OwnCause::Late(LateCause::Gap);
            block.note_trouble(Some(OwnTrouble { is_void: true, at: at(second * SECOND), cause }));
            sum.merge(&block);
            assert_eq!(sum.costliest().is_some(), is_told, "{second}");
        }
    }
}
