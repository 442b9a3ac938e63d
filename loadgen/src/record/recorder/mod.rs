//! The recorder: a thread on glommio that takes what the workers counted, writes it to the journal, and says what is on
//! disk. Only that may be published.
//!
//! It never holds a worker up: while the disk is slow the counts stay in the workers' blocks, and when those are full of
//! traces, outcomes leave none and are counted as untraced.

pub mod explain;
mod interval;
mod recording;
pub mod requests;
pub mod room;

use flowtest_contract::rules::UtcUs;
pub use recording::{Finished, Recording};

use crate::Failed;
use crate::engine::control::{GoOn, WorkerControl};
use crate::engine::plan::Plan;
use crate::engine::run::{Collector, Progress};
use crate::engine::trace::Tracing;
use crate::record::standstill::TELL_AFTER;
use explain::Explained;
use flowtest_contract::text::shown;
use flowtest_contract::{RoundId, Row, StreamId, utc_us};
use flowtest_journal::record::{Control, Decision, End, EndCode, Join, Notice, NoticeCode, Start};
use flowtest_journal::writer::{self, Writer};
use flowtest_journal::{JournalError, free_bytes};
use glommio::timer::sleep;
use interval::Interval;
use parking_lot::Mutex;
use requests::Requests;
use room::Level;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often the workers' queues are looked at.
const TICK: Duration = Duration::from_millis(20);
/// A group is committed before its time when it has grown to so many bytes.
const GROUP_BYTES: usize = 16 << 20;
/// What does not fit a group of so many bytes leaves no trace: a group never straddles two segments.
const GROUP_BYTES_MAX: usize = 48 << 20;
/// How often the free room of the disk is looked at.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);
/// After so long without a successful write load pauses.
const PAUSE_AFTER: Duration = Duration::from_secs(2);
/// A write or sync that has not come back for so long is stuck; a batch comes at least once a second.
const STUCK_AFTER: Duration = Duration::from_secs(4);
/// Between two attempts to write.
const RETRY: Duration = Duration::from_millis(200);
/// Explained failures that wait to be shown; more are not worth anybody's reading.
const EXPLAINED_MAX: usize = 500;

/// What others may know while it records.
#[derive(Debug, Default)]
struct News {
    shown: Option<Progress>,
    durable: Option<(u64, Arc<[Row]>)>,
    explained: Vec<Explained>,
    /// Revisions that are to be recorded before anything that is judged by them.
    controls: Vec<Control>,
    /// Who joins, in order, to be recorded before anything of theirs.
    joins: Vec<Join>,
    /// What was decided of steps, to be recorded before anything falls due in them.
    decisions: Vec<Decision>,
}

/// What happened since the last look.
#[derive(Debug, Default)]
pub struct Fresh {
    /// Rows that are on disk, with the number of their group.
    pub durable: Option<(u64, Arc<[Row]>)>,
    pub explained: Vec<Explained>,
    /// A copy of all that has been counted.
    pub shown: Option<Progress>,
}

#[derive(Debug, Default)]
struct Shared {
    news: Mutex<News>,
    /// Nothing can be written and nobody waits any longer.
    give_up: AtomicBool,
    /// When something came to the disk last.
    durable_at: Mutex<Option<Instant>>,
    /// The thread has ended, well or not.
    over: AtomicBool,
}

/// Says so when the thread ends, also by a panic.
struct OverOnDrop(Arc<Shared>);

impl Drop for OverOnDrop {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// What the thread gets when the workers are about to start.
struct Task {
    plan: Arc<Plan>,
    collector: Collector,
    worker_control: Arc<WorkerControl>,
}

/// What was recorded, to its end.
#[derive(Debug)]
pub struct Recorded {
    pub progress: Progress,
    /// The number of the last group, which has the end.
    pub seq: u64,
    /// All that is on disk of what counts.
    pub rows: Arc<[Row]>,
}

/// A journal that the disk has not made in time: its thread waits for the disk, and no other is begun meanwhile.
#[derive(Debug)]
pub struct Unmade(Arc<Shared>);

impl Unmade {
    fn is_waited_for(&self) -> bool {
        !self.0.over.load(Ordering::Relaxed)
    }
}

/// How long a journal may take to be made before that is told, and before nobody waits for it any more.
#[derive(Clone, Copy, Debug)]
struct CreateLimits {
    told_after: Duration,
    left_after: Duration,
}

const CREATE_LIMITS: CreateLimits = CreateLimits { told_after: TELL_AFTER, left_after: STUCK_AFTER };
const _: () = assert!(TELL_AFTER.as_nanos() < STUCK_AFTER.as_nanos());

#[derive(Debug)]
pub struct Recorder {
    thread: writer::Handle<Result<Recorded, Failed>>,
    shared: Arc<Shared>,
    task: mpsc::SyncSender<Task>,
    tracing: Tracing,
    dir: PathBuf,
}

impl Recorder {
    /// Makes the journal and writes its start. `core`: one that no worker uses. Where the disk does not answer nobody waits for
    /// long: `unmade` remembers what does, and until that is over this is an error at once.
    pub fn create(
        dir: &Path,
        round: RoundId,
        stream: StreamId,
        start: Start,
        core: Option<usize>,
        tracing: Tracing,
        unmade: &mut Option<Unmade>,
    ) -> Result<Recorder, Failed> {
        if unmade.as_ref().is_some_and(Unmade::is_waited_for) {
            return Err(unanswered(dir));
        }
        let folder = dir.to_owned();
        // Without a core of its own the recorder must not poll for its writes.
        let make = async move || match core {
            Some(_) => Writer::create(&folder, round, stream, &start).await,
            None => Writer::create_cached(&folder, round, stream, &start).await,
        };
        Recorder::made_by(make, dir, core, tracing, CREATE_LIMITS, unmade)
    }

    fn made_by(
        make: impl AsyncFnOnce() -> Result<Writer, JournalError> + Send + 'static,
        dir: &Path,
        core: Option<usize>,
        tracing: Tracing,
        limits: CreateLimits,
        unmade: &mut Option<Unmade>,
    ) -> Result<Recorder, Failed> {
        let shared = Arc::new(Shared::default());
        let (task, tasks) = mpsc::sync_channel(1);
        let (ready, created) = mpsc::sync_channel(1);
        let thread = writer::spawn(core, {
            let (dir, shared) = (dir.to_owned(), shared.clone());
            move || async move {
                let _over = OverOnDrop(shared.clone());
                let writer = match make().await {
                    Ok(writer) => writer,
                    Err(error) => {
                        let _ = ready.send(Some(error));
                        return Err(idle());
                    }
                };
                let direct = writer.is_direct();
                let _ = ready.send(None);
                if core.is_some() && !direct {
                    eprintln!(
                        "flowtest-loadgen: {} has no direct I/O: the journal goes through the page cache",
                        shown(&dir)
                    );
                }
                // Nothing else runs on this executor, so waiting for the task holds nobody up.
                match tasks.recv() {
                    Ok(task) => Ok(Record::new(writer, dir, task, shared).run().await?),
                    Err(mpsc::RecvError) => {
                        end_at_once(writer).await?;
                        Err(idle())
                    }
                }
            }
        })?;
        let mut answer = created.recv_timeout(limits.told_after);
        if matches!(answer, Err(RecvTimeoutError::Timeout)) {
            eprintln!(
                "flowtest-loadgen: journal {}: the disk has not made it for two seconds: nothing begins without it; look at the disk",
                shown(dir)
            );
            answer = created.recv_timeout(limits.left_after - limits.told_after);
        }
        match answer {
            Ok(None) => Ok(Recorder { thread, shared, task, tracing, dir: dir.to_owned() }),
            Ok(Some(error)) => Err(error.into()),
            Err(RecvTimeoutError::Disconnected) => Err(thread.join().map_or_else(Failed::from, |_| idle())),
            Err(RecvTimeoutError::Timeout) => {
                // When the disk has made it after all the thread ends its stream: there is nobody to send it anything.
                *unmade = Some(Unmade(shared));
                Err(unanswered(dir))
            }
        }
    }

    pub fn tracing(&self) -> Tracing {
        self.tracing
    }

    /// The workers start: from now on their counts are taken.
    pub fn record(&self, plan: Arc<Plan>, collector: Collector, worker_control: Arc<WorkerControl>) {
        // Fails only when the thread has ended, which `join` tells.
        let _ = self.task.send(Task { plan, collector, worker_control });
    }

    /// Takes what happened since the last call.
    pub fn take(&self) -> Fresh {
        let mut news = self.shared.news.lock();
        Fresh { durable: news.durable.take(), explained: std::mem::take(&mut news.explained), shown: news.shown.take() }
    }

    /// Records a revision of the contest. Called before the workers hear of it.
    pub fn control(&self, control: Control) {
        self.shared.news.lock().controls.push(control);
    }

    /// Records who joins. Called before the workers hear of it.
    pub fn join_round(&self, joins: Vec<Join>) {
        self.shared.news.lock().joins.extend(joins);
    }

    /// Records what was decided of a step. Called before the workers hear of it.
    pub fn decision(&self, decision: Decision) {
        self.shared.news.lock().decisions.push(decision);
    }

    pub fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Relaxed)
    }

    /// When something came to the disk last; nothing before the workers begin.
    pub fn durable_at(&self) -> Option<Instant> {
        *self.shared.durable_at.lock()
    }

    /// The disk neither takes anything nor says why: load should pause. The recorder itself sees only errors.
    pub fn is_stuck(&self) -> bool {
        !self.is_over() && self.durable_at().is_some_and(|at| at.elapsed() >= STUCK_AFTER)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whatever cannot be written now will not be.
    pub fn give_up(&self) {
        self.shared.give_up.store(true, Ordering::Relaxed);
    }

    pub fn join(self) -> Result<Recorded, Failed> {
        drop(self.task);
        self.thread.join()?
    }
}

/// Nothing was played: the stream says so, or it would be taken for one that was killed.
async fn end_at_once(mut writer: Writer) -> Result<(), JournalError> {
    writer.append_end(&End { at: utc_us().0, code: EndCode::Stopped as u16 })?;
    writer.commit().await?;
    writer.close().await
}

fn unanswered(dir: &Path) -> Failed {
    Failed::Message(format!(
        "the journal in {} is not made, for the disk does not answer: look at it and at dmesg, or name a folder on another by --journal",
        shown(dir)
    ))
}

fn idle() -> Failed {
    Failed::Message("the recorder ended before the workers began".to_owned())
}

/// The loop's state.
struct Record {
    writer: Writer,
    dir: PathBuf,
    task: Task,
    shared: Arc<Shared>,
    interval: Interval,
    level: Level,
    room_at: Instant,
    batch_at: Instant,
    rows: Arc<[Row]>,
    /// Of the plan that is followed.
    version: u64,
    requests: Requests,
}

impl Record {
    fn new(writer: Writer, dir: PathBuf, task: Task, shared: Arc<Shared>) -> Record {
        let now = Instant::now();
        let contestants = task.plan.contestants.len();
        *shared.durable_at.lock() = Some(now);
        Record {
            writer,
            dir,
            shared,
            interval: Interval::new(contestants, task.plan.utc_us(task.collector.progress().now)),
            level: Level::All,
            room_at: now,
            batch_at: now,
            rows: vec![Row::default(); contestants].into(),
            version: 0,
            requests: Requests::new(task.plan.clone()),
            task,
        }
    }

    async fn run(mut self) -> Result<Recorded, JournalError> {
        loop {
            sleep(TICK).await;
            let ended = self.collect();
            let due = self.batch_at.elapsed() >= self.level.interval() || self.writer.open_bytes() > GROUP_BYTES;
            if ended || due {
                self.look_at_room();
                self.close_batch(ended)?;
                self.commit(ended).await?;
                self.tell();
            }
            if ended {
                break;
            }
        }
        let seq = self.writer.seq();
        // All that counts is on disk; this only gives back what the last segment did not need.
        if let Err(error) = self.writer.close().await {
            eprintln!("flowtest-loadgen: {error}");
        }
        let progress = self.task.collector.into_progress();
        Ok(Recorded { progress, seq, rows: self.rows })
    }

    /// Takes what the workers have handed over; `true` when they have ended.
    fn collect(&mut self) -> bool {
        if self.task.worker_control.version() != self.version {
            self.version = self.task.worker_control.version();
            self.task.plan = self.task.worker_control.plan();
            self.requests.follow(self.task.plan.clone());
        }
        let shared = &self.shared;
        let (interval, writer, plan) = (&mut self.interval, &mut self.writer, &self.task.plan);
        let requests = &self.requests;
        let (keeps_traces, keeps_evidence) = (self.level.keeps_traces(), self.level.keeps_evidence());
        self.task.collector.collect(|worker, block| {
            // Looked at for each block: what a worker judged by a revision comes after it, and what is counted of who joined.
            let (controls, joins, decisions) = {
                let mut news = shared.news.lock();
                let news = &mut *news;
                (
                    std::mem::take(&mut news.controls),
                    std::mem::take(&mut news.joins),
                    std::mem::take(&mut news.decisions),
                )
            };
            for (place, join) in joins.iter().enumerate() {
                if let Err(error) = writer.append_join(join) {
                    // A group that is full is written soon, and nothing is due to it for seconds.
                    shared.news.lock().joins.splice(0..0, joins[place..].iter().cloned());
                    eprintln!("flowtest-loadgen: that a contestant joins is not in the journal yet: {error}");
                    break;
                }
            }
            for control in controls {
                if let Err(error) = writer.append_control(&control) {
                    eprintln!("flowtest-loadgen: revision {} is not in the journal: {error}", control.revision);
                }
            }
            for decision in decisions {
                if let Err(error) = writer.append_decision(&decision) {
                    eprintln!(
                        "flowtest-loadgen: step {} of the breakpoint is not in the journal: {error}",
                        decision.step
                    );
                }
            }
            interval.add(block);
            // Before the traces that it voids. Without room for it there is none for these either.
            if let Some(late) = interval::late(plan, worker, block)
                && let Err(error) = writer.append_late(&late)
            {
                eprintln!("flowtest-loadgen: lateness of worker {worker} is not in the journal: {error}");
            }
            let traces = block.traces.as_slice();
            let room = writer.open_bytes() + size_of_val(traces) < GROUP_BYTES_MAX;
            if !keeps_traces || !room {
                interval.untraced += traces.len() as u64;
            } else if !traces.is_empty() {
                match writer.append_traces(worker, block.traces.base.0, traces) {
                    Ok(()) => interval.traced += traces.len() as u64,
                    Err(_) => interval.untraced += traces.len() as u64,
                }
            }
            for sample in block.samples.as_slice() {
                if interval.admits(sample, plan) {
                    interval.explained.extend(explain::explain(requests, sample));
                    // Evidence explains and does not count: what finds no room is left out.
                    if keeps_evidence && room {
                        let _ = writer.append_evidence(&interval::evidence(requests, worker, sample));
                    }
                }
            }
        })
    }

    /// Decides what there is room for, and tells workers and readers when that changes.
    fn look_at_room(&mut self) {
        if self.room_at.elapsed() < ROOM_INTERVAL {
            return;
        }
        self.room_at = Instant::now();
        // Where the system does not say what is free, a write will.
        let Ok(free) = free_bytes(&self.dir) else { return };
        let level = self.level.next(free);
        if level == self.level {
            return;
        }
        let (code, text) = match level {
            Level::All => (NoticeCode::RoomAgain, "there is room again for everything"),
            Level::NoEvidence => (NoticeCode::EvidenceOff, "the disk fills: no evidence"),
            Level::NoTraces => (NoticeCode::TracesOff, "the disk fills: no evidence and no traces"),
            Level::SlowBatches => {
                (NoticeCode::BatchesSlow, "the disk is nearly full: one batch a second and nothing else")
            }
        };
        let text = format!("{text} ({} MiB are free)", free >> 20);
        eprintln!("flowtest-loadgen: journal {}: {text}", shown(&self.dir));
        self.task.worker_control.trace(level.keeps_traces());
        self.level = level;
        self.notice(code, text);
    }

    /// Something that the reader should know; it counts for nothing, so that a full group is no reason to stop.
    fn notice(&mut self, code: NoticeCode, text: String) {
        let at = self.now();
        let _ = self.writer.append_notice(&Notice { at: at.0, code: code as u16, text: text.into_bytes() });
    }

    /// Puts the interval's batch into the open group, if there is anything to say.
    fn close_batch(&mut self, ended: bool) -> Result<(), JournalError> {
        self.batch_at = Instant::now();
        let at = self.now();
        if let Some((batch, further)) = self.interval.close(at, ended) {
            self.writer.append_batch(&batch)?;
            if let Some(further) = further {
                self.writer.append_further(&further)?;
            }
        }
        if ended {
            let code = if self.task.worker_control.go_on() == GoOn::Run { EndCode::Finished } else { EndCode::Stopped };
            self.writer.append_end(&End { at: at.0, code: code as u16 })?;
        }
        Ok(())
    }

    /// Writes and syncs, as often as it takes. Meanwhile the counts stay with the workers.
    async fn commit(&mut self, ended: bool) -> Result<(), JournalError> {
        let (since, mut told) = (Instant::now(), false);
        loop {
            match self.writer.commit().await {
                Ok(_) => break,
                Err(error) if self.shared.give_up.load(Ordering::Relaxed) => return Err(error),
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        eprintln!("flowtest-loadgen: {error}; it is tried again");
                    }
                    if !ended && since.elapsed() >= PAUSE_AFTER && !self.task.worker_control.is_paused() {
                        eprintln!("flowtest-loadgen: load pauses until the journal can be written");
                        self.task.worker_control.pause(true);
                    }
                    sleep(RETRY).await;
                }
            }
        }
        if self.task.worker_control.is_paused() {
            self.task.worker_control.pause(false);
            if !ended {
                let waited = since.elapsed().as_millis();
                let text = format!("load paused: the journal could not be written for {waited} ms");
                self.notice(NoticeCode::LoadPaused, text);
            }
        }
        Ok(())
    }

    /// What is on disk may be known.
    fn tell(&mut self) {
        let progress = self.task.collector.progress();
        self.rows = progress.rows();
        *self.shared.durable_at.lock() = Some(Instant::now());
        let mut news = self.shared.news.lock();
        news.durable = Some((self.writer.seq(), self.rows.clone()));
        // A copy of megabytes where many play, so only when somebody took the last one.
        if news.shown.is_none() {
            news.shown = Some(progress.clone());
        }
        let room = EXPLAINED_MAX.saturating_sub(news.explained.len());
        self.interval.explained.truncate(room);
        news.explained.append(&mut self.interval.explained);
        self.interval.explained.clear();
    }

    fn now(&self) -> UtcUs {
        self.task.plan.utc_us(self.task.collector.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::rules::{Deadlines, Rules};
    use flowtest_journal::record::Terms;
    use flowtest_journal::stream;
    use flowtest_testkit::wait_until;

    fn start() -> Start {
        Start {
            at: utc_us().0,
            clock_offset_us: 0,
            clock_error_us: 0,
            terms: Terms::new(&Rules::default(), &Deadlines::default()),
            contest: "finals".into(),
            names: Vec::new(),
            name_lens: Vec::new(),
            document: "{}".into(),
            program: "{}".into(),
        }
    }

    #[test]
    fn a_disk_that_does_not_make_a_journal_is_left_and_nobody_else_waits_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (dir, round) = (folder.path(), RoundId::from_bits(7));
        let create = |stream, unmade: &mut Option<Unmade>| {
            Recorder::create(dir, round, StreamId::from_bits(stream), start(), None, Tracing::Off, unmade)
        };
        let is_silent = |made: Result<Recorder, Failed>| {
            made.expect_err("the disk does not answer").to_string().contains("the disk does not answer")
        };
        let (answer, answered) = mpsc::channel::<()>();
        let late = dir.to_owned();
        let make = async move || {
            let _ = answered.recv();
            Writer::create_cached(&late, round, StreamId::from_bits(8), &start()).await
        };
        let at_once = CreateLimits { told_after: Duration::ZERO, left_after: Duration::ZERO };
        let mut unmade = None;
        assert!(is_silent(Recorder::made_by(make, dir, None, Tracing::Off, at_once, &mut unmade)));
        assert!(is_silent(create(9, &mut unmade)));
        drop(answer);
        wait_until("the late journal", || unmade.as_ref().is_none_or(|unmade| !unmade.is_waited_for()).then_some(()));
        let found = stream::find(dir).expect("a journal");
        assert!(found.len() == 1 && stream::seems_ended(&found[0]).expect("it is read"), "{found:?}");
        create(10, &mut unmade).expect("the disk answers");
    }
}
