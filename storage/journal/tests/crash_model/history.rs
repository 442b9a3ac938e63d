//! One history of a round: processes that write a stream, publish it and die, until somebody ends and seals it.

use super::disk::Disk;
use super::redis::{Answer, Put, Redis, Rows};
use crate::common::{self, Owned, Rng};
use flowtest_contract::{RoundId, StreamId};
use flowtest_journal::log::{Log, Step};
use flowtest_journal::record::{End, EndCode};
use flowtest_journal::stream::{StreamFolder, Tail};
use std::path::{Path, PathBuf};

const ROUND: RoundId = RoundId::from_bits(77);
const CONTESTANTS: u16 = 3;

/// How often something happened, so that a model in which nothing can go wrong is noticed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    histories: u64,
    groups: u64,
    crashes: u64,
    kills: u64,
    torn: u64,
    failed_commits: u64,
    unacknowledged_kept: u64,
    streams: u64,
    segments: u64,
    late_puts: u64,
    losses_of_redis: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Seen) {
        self.histories += 1;
        self.groups += other.groups;
        self.crashes += other.crashes;
        self.kills += other.kills;
        self.torn += other.torn;
        self.failed_commits += other.failed_commits;
        self.unacknowledged_kept += other.unacknowledged_kept;
        self.streams += other.streams;
        self.segments += other.segments;
        self.late_puts += other.late_puts;
        self.losses_of_redis += other.losses_of_redis;
    }

    pub(crate) fn assert_everything_happened(&self) {
        for (what, count) in [
            ("groups", self.groups),
            ("crashes", self.crashes),
            ("kills", self.kills),
            ("torn tails", self.torn),
            ("failed commits", self.failed_commits),
            ("groups that were kept without being acknowledged", self.unacknowledged_kept),
            ("streams", self.streams),
            ("segments", self.segments),
            ("late puts", self.late_puts),
            ("losses of Redis", self.losses_of_redis),
        ] {
            assert!(count >= self.histories / 10, "only {count} {what} in {} histories", self.histories);
        }
    }
}

pub(crate) struct History {
    rng: Rng,
    dir: PathBuf,
    redis: Redis,
    /// What Redis may fall back to.
    snapshot: Redis,
    /// Deliveries that may arrive again.
    sent: Vec<Put>,
    /// Streams that have their end, with what they count.
    ended: Vec<Stream>,
    seen: Seen,
}

/// A stream as its writers know it.
struct Stream {
    id: StreamId,
    disk: Disk,
    /// What must be there: acknowledged, or found by an adopter.
    kept: Vec<Vec<Owned>>,
    /// What the group after those may be: the open one, each time that it was written without success.
    tried: Vec<Vec<Owned>>,
}

/// How a process went.
enum Death {
    /// It is gone, and what it wrote is still to be seen.
    Killed,
    /// The whole machine went.
    Crashed,
    /// It put the end into its stream.
    Ended,
}

impl History {
    pub(crate) fn new(rng: Rng, dir: &Path) -> History {
        History {
            rng,
            dir: dir.to_owned(),
            redis: Redis::default(),
            snapshot: Redis::default(),
            sent: Vec::new(),
            ended: Vec::new(),
            seen: Seen::default(),
        }
    }

    pub(crate) fn run(mut self) -> Seen {
        let mut open: Option<Stream> = None;
        let lives = 1 + self.rng.below(5);
        for life in 0..lives {
            let is_last = life + 1 == lives;
            let (mut stream, mut log) = match open.take().map(|stream| self.adopt(stream)) {
                Some(Some((stream, log))) => (stream, log),
                // Nothing, or nothing that counts: a stream that never began is registered nowhere.
                None | Some(None) => self.begin(),
            };
            match self.live(&mut stream, &mut log, is_last) {
                Death::Ended => self.ended.push(stream),
                Death::Killed => {
                    self.seen.kills += 1;
                    open = Some(stream);
                }
                Death::Crashed => {
                    self.seen.crashes += 1;
                    stream.disk.crash(&mut self.rng);
                    for ended in &mut self.ended {
                        ended.disk.crash(&mut self.rng);
                    }
                    open = Some(stream);
                }
            }
            self.disturb();
        }
        assert!(open.is_none(), "the last life ends its stream");
        self.seal();
        self.seen
    }

    fn begin(&mut self) -> (Stream, Log) {
        self.seen.streams += 1;
        let id = StreamId::from_bits(u128::from(self.rng.next()));
        let mut log = Log::begin(ROUND, id);
        let start = Owned::Start(common::start(["alice", "bob", "carol"]));
        common::append(&mut log, &start).expect("a start");
        let stream = Stream { id, disk: Disk::default(), kept: Vec::new(), tried: vec![vec![start]] };
        (stream, log)
    }

    /// Opens a stream whose writer is gone. `None` if nothing of it counts.
    fn adopt(&mut self, mut stream: Stream) -> Option<(Stream, Log)> {
        stream.disk.settle();
        let tail = self.check(&mut stream);
        if matches!(tail, Tail::Torn { .. }) {
            self.seen.torn += 1;
        }
        let folder = self.folder(&stream);
        let (_, found) = common::read_all(&folder);
        self.seen.segments += u64::from(found.segments);
        if stream.kept.is_empty() {
            assert!(Log::go_on(&folder, &found).is_err(), "it never began");
            return None;
        }
        let log = match Log::go_on(&folder, &found) {
            Ok(log) => log,
            // Its end was written, and not acknowledged.
            Err(error) => {
                assert_eq!(tail, Tail::Ended, "{error}");
                self.publish(&stream, true);
                self.ended.push(stream);
                return None;
            }
        };
        self.publish(&stream, false);
        Some((stream, log))
    }

    /// Reads the stream: it is what its writers were told, and perhaps the group that was being written.
    fn check(&mut self, stream: &mut Stream) -> Tail {
        let folder = self.folder(stream);
        stream.disk.show(&folder.path);
        let (groups, found) = common::read_all(&folder);
        assert!(!matches!(found.tail, Tail::Damaged { .. }), "{:?}", found.tail);
        let (known, more) = groups.split_at(stream.kept.len().min(groups.len()));
        assert!(known == stream.kept, "an acknowledged group is missing or changed");
        match more {
            [] => {}
            [one] => {
                assert!(stream.tried.contains(one), "a group that nobody wrote");
                self.seen.unacknowledged_kept += 1;
                stream.kept.push(one.clone());
            }
            _ => panic!("{} groups more than were acknowledged", more.len()),
        }
        stream.tried.clear();
        found.tail
    }

    /// A process: appends, commits, publishes, until it dies or ends its stream.
    fn live(&mut self, stream: &mut Stream, log: &mut Log, is_last: bool) -> Death {
        // The start of a new stream is in the open group.
        let mut open: Vec<Owned> = stream.tried.pop().unwrap_or_default();
        let intervals = self.rng.below(8);
        let ends = is_last || self.rng.one_in(3);
        for interval in 0..=intervals {
            if log.seq() > 0 || open.is_empty() {
                self.append(log, &mut open, interval);
            }
            if ends && interval == intervals && log.seq() > 0 {
                let end = Owned::End(End { at: interval, code: EndCode::Finished as u16 });
                common::append(log, &end).expect("an end");
                open.push(end);
            }
            let mut committed = self.commit(stream, log, &mut open, !is_last);
            while is_last && committed == Commit::Failed {
                committed = self.commit(stream, log, &mut open, false);
            }
            match committed {
                Commit::Done => {
                    let is_end = log.is_ended();
                    self.publish(stream, is_end);
                    if is_end {
                        return Death::Ended;
                    }
                }
                Commit::Failed => {}
                Commit::Died => return if self.rng.one_in(2) { Death::Killed } else { Death::Crashed },
            }
        }
        if is_last {
            return self.live(stream, log, true);
        }
        if self.rng.one_in(2) { Death::Killed } else { Death::Crashed }
    }

    fn append(&mut self, log: &mut Log, open: &mut Vec<Owned>, interval: u64) {
        // A start that failed to be written stands alone in its group.
        if log.seq() == 0 || log.is_ended() {
            return;
        }
        for record in common::interval(&mut self.rng, CONTESTANTS, interval) {
            common::append(log, &record).expect("a record");
            open.push(record);
        }
    }

    fn commit(&mut self, stream: &mut Stream, log: &mut Log, open: &mut Vec<Owned>, may_fail: bool) -> Commit {
        let size = 4096 * (2 + self.rng.below(6));
        stream.tried.push(open.clone());
        log.plan(size).expect("a group");
        let steps = log.steps();
        for step in &steps {
            // What is written and not synced is what a crash can tear.
            let risk = if matches!(step, Step::Sync { .. }) { 4 } else { 20 };
            if may_fail && self.rng.one_in(risk) {
                return Commit::Died;
            }
            let fails = may_fail && self.rng.one_in(8 * steps.len() as u64);
            if stream.disk.run(step, fails, &mut self.rng).is_err() {
                self.seen.failed_commits += 1;
                if let Some(index) = log.failed().filter(|_| self.rng.one_in(2)) {
                    stream.disk.remove(index);
                }
                return Commit::Failed;
            }
        }
        assert_eq!(log.committed(), stream.kept.len() as u64 + 1);
        self.seen.groups += 1;
        stream.kept.push(std::mem::take(open));
        stream.tried.clear();
        Commit::Done
    }

    /// Puts the newest rows that are on disk, as often as Redis says that it knows nothing of the stream.
    fn publish(&mut self, stream: &Stream, is_end: bool) {
        let put = Put { stream: stream.id, seq: stream.kept.len() as u64, rows: common::totals(&stream.kept), is_end };
        self.sent.push(put.clone());
        if stream.kept.len() == 1 {
            self.redis.register(stream.id);
        }
        // Some never arrive; the next one has all they had.
        if !is_end && self.rng.one_in(4) {
            return;
        }
        if self.redis.put(&put) == Answer::Unknown {
            self.redis.register(stream.id);
            assert_ne!(self.redis.put(&put), Answer::Unknown);
        }
    }

    /// Late deliveries, and a Redis that loses what it was told.
    fn disturb(&mut self) {
        while self.rng.one_in(2) && !self.sent.is_empty() {
            let late = self.rng.below(self.sent.len() as u64) as usize;
            self.redis.put(&self.sent[late]);
            self.seen.late_puts += 1;
        }
        match self.rng.below(6) {
            0 => self.redis = Redis::default(),
            1 => self.redis = self.snapshot.clone(),
            2 | 3 => self.snapshot = self.redis.clone(),
            _ => return,
        }
        self.seen.losses_of_redis += 1;
    }

    /// Every stream of the round is read once more, published, and the round sealed.
    fn seal(&mut self) {
        let mut expected: Vec<Vec<Owned>> = Vec::new();
        for mut stream in std::mem::take(&mut self.ended) {
            assert_eq!(self.check(&mut stream), Tail::Ended);
            self.publish(&stream, true);
            self.publish(&stream, true);
            expected.append(&mut stream.kept);
        }
        assert!(self.redis.seal(), "every stream has its end");
        assert_eq!(self.redis.totals(), common::totals(&expected) as Rows);
        for late in &self.sent {
            assert_ne!(self.redis.put(late), Answer::Ok, "nothing counts in a sealed round");
        }
    }

    fn folder(&self, stream: &Stream) -> StreamFolder {
        common::folder(&self.dir.join("stream"), ROUND, stream.id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commit {
    Done,
    Failed,
    Died,
}
