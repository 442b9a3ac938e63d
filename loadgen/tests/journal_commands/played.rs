//! A round that was never played: exchanges as a test wants them, counted as a generator counts them, written by the real
//! writer.
//!
//! Counts are made here with the contract's own judge, so that the audit is compared with something it does not share.

use flowtest_contract::rules::{Deadlines, Rules, UtcUs};
use flowtest_contract::{
    Deadline, Failure, Histogram, Observed, Outcome, Platform, RoundId, Seen, StreamId, Tally, Version, judge,
};
use flowtest_journal::record::{
    Batch, Control, End, EndCode, Evidence, Further, Join, Late, LateCause, LateWindow, NEVER_SENT, Notice,
    Observation, Start, Terms, Trace,
};
use flowtest_journal::writer::{self, Writer};
use std::path::{Path, PathBuf};

pub(crate) const CONTEST: &str = "finals";
pub(crate) const ROUND: RoundId = RoundId::from_bits(0xaaaa);
pub(crate) const STREAM: StreamId = StreamId::from_bits(0x1111);
pub(crate) const OTHER: StreamId = StreamId::from_bits(0x2222);
pub(crate) const NAMES: [&str; 2] = ["alice", "house of cards"];
/// 2026-11-23 10:00 UTC in microseconds.
pub(crate) const BASE: u64 = 1_795_428_000_000_000;
/// How long an interval usually is.
const INTERVAL_US: u64 = 100_000;

/// One exchange with its outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) contestant: u16,
    pub(crate) scored: bool,
    /// After [`BASE`].
    pub(crate) sent_us: i32,
    pub(crate) latency_us: u32,
    pub(crate) lag_us: u32,
    pub(crate) outcome: Outcome,
}

/// Everything right, a millisecond after it was sent.
pub(crate) fn right(contestant: u16, sent_us: i32) -> Exchange {
    answered(contestant, sent_us, true, Version::V2, Platform::Ecs)
}

pub(crate) fn answered(contestant: u16, sent_us: i32, token_right: bool, version: Version, from: Platform) -> Exchange {
    let observed = Observed { token_right, version: Seen::Value(version), from: Seen::Value(from) };
    Exchange { contestant, scored: true, sent_us, latency_us: 1_050, lag_us: 50, outcome: Outcome::Answered(observed) }
}

pub(crate) fn failed(contestant: u16, sent_us: i32, failure: Failure) -> Exchange {
    let sent = !matches!(failure, Failure::Missed | Failure::OwnFault);
    Exchange {
        contestant,
        scored: true,
        sent_us,
        latency_us: 3_000_100,
        lag_us: if sent { 100 } else { NEVER_SENT },
        outcome: Outcome::Failed(failure),
    }
}

/// What one group of records holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interval {
    pub(crate) exchanges: Vec<Exchange>,
    /// Exchanges that have come due, were sent, and have no outcome yet.
    pub(crate) started: Vec<u16>,
    /// These were started in an interval before.
    pub(crate) late: bool,
    /// Bytes of the first contestant beside those of its exchanges.
    pub(crate) bytes: u64,
    pub(crate) traceless: bool,
    /// A document that was heard: its revision, and deadlines by the instants (after [`BASE`]) from which on they count.
    /// The first of them is that of the hearing.
    pub(crate) control: Option<(u64, Vec<(u64, Deadlines)>)>,
    /// What it said, as JSON.
    pub(crate) document: String,
    /// Who joins before anything of this is counted, and so long after [`BASE`].
    pub(crate) joins: Vec<(&'static str, u64)>,
    pub(crate) notice: Option<&'static str>,
    pub(crate) evidence: Vec<Evidence>,
    /// When the worker was late besides, from and to after [`BASE`], and why.
    pub(crate) windows: Vec<(u64, u64, LateCause)>,
    /// The worker says nothing of what voided exchanges.
    pub(crate) unexcused: bool,
    /// Changes the traces after the batch was counted.
    pub(crate) forge: Option<fn(&mut [Trace])>,
}

impl Interval {
    fn told(&self) -> impl Iterator<Item = (u64, u64, Deadlines)> {
        let all = self.control.iter().flat_map(|(revision, told)| told.iter().map(|(at, to)| (*revision, *at, *to)));
        all.collect::<Vec<_>>().into_iter()
    }
}

pub(crate) fn interval(exchanges: &[Exchange]) -> Interval {
    Interval { exchanges: exchanges.to_vec(), ..Interval::default() }
}

/// A stream as it is to be written.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    pub(crate) round: RoundId,
    pub(crate) stream: StreamId,
    pub(crate) contest: &'static str,
    pub(crate) names: Vec<&'static str>,
    pub(crate) rules: Rules,
    pub(crate) deadlines: Deadlines,
    pub(crate) intervals: Vec<Interval>,
    pub(crate) interval_us: u64,
    /// The program that writes, and the document at the start, as JSON.
    pub(crate) program: String,
    pub(crate) document: String,
    /// `None`: its process is killed.
    pub(crate) end: Option<EndCode>,
}

impl Default for Played {
    fn default() -> Played {
        Played {
            round: ROUND,
            stream: STREAM,
            contest: CONTEST,
            names: NAMES.to_vec(),
            rules: Rules::default(),
            deadlines: Deadlines::default(),
            intervals: Vec::new(),
            interval_us: INTERVAL_US,
            program: r#"{"name":"flowtest-loadgen"}"#.to_owned(),
            document: "{}".to_owned(),
            end: Some(EndCode::Finished),
        }
    }
}

impl Played {
    pub(crate) fn of(intervals: impl IntoIterator<Item = Interval>) -> Played {
        Played { intervals: intervals.into_iter().collect(), ..Played::default() }
    }

    /// Two contestants, three intervals, of every kind of outcome one; 13 outcomes, of which 12 count.
    pub(crate) fn usual() -> Played {
        let mut unscored = right(0, 5_000);
        unscored.scored = false;
        let mut one = interval(&[unscored, right(0, 10_000), right(1, 10_500), failed(1, 10_600, Failure::Timeout)]);
        one.evidence.push(evidence());
        let two = interval(&[
            right(0, 120_000),
            answered(1, 120_100, false, Version::V2, Platform::Ec2),
            failed(1, 120_200, Failure::Refused),
            failed(1, 120_300, Failure::Reset),
            failed(1, 120_400, Failure::Malformed),
            failed(1, 120_500, Failure::Status),
        ]);
        let mut three =
            interval(&[right(0, 220_000), failed(1, 220_100, Failure::Missed), failed(1, 220_200, Failure::OwnFault)]);
        three.notice = Some("the disk fills: no evidence");
        Played::of([one, two, three])
    }

    pub(crate) fn start(&self) -> Start {
        let mut start = Start {
            at: BASE,
            clock_offset_us: 0,
            clock_error_us: 0,
            terms: Terms::new(&self.rules, &self.deadlines),
            contest: self.contest.as_bytes().to_vec(),
            names: Vec::new(),
            name_lens: Vec::new(),
            document: self.document.clone().into_bytes(),
            program: self.program.clone().into_bytes(),
        };
        start.set_names(self.names.iter().copied());
        start
    }

    /// Writes it under `dir` and returns its folder.
    pub(crate) fn write(self, dir: &Path) -> PathBuf {
        let path = dir.join(self.round.to_string()).join(self.stream.to_string());
        let dir = dir.to_owned();
        let play = async move || {
            let mut writer = Writer::create(&dir, self.round, self.stream, &self.start()).await.expect("a stream");
            for (index, interval) in self.intervals.iter().enumerate() {
                self.append(&mut writer, index as u64, interval);
                writer.commit().await.expect("it is synced");
            }
            if let Some(code) = self.end {
                let at = BASE + self.intervals.len() as u64 * self.interval_us;
                writer.append_end(&End { at, code: code as u16 }).expect("the end");
                writer.commit().await.expect("it is synced");
            }
            writer.close().await.expect("it closes");
        };
        // On a thread of its own: when its ring goes, the kernel interrupts what the caller waits for.
        let work = move || writer::spawn(None, play).expect("an executor").join().expect("it is written");
        std::thread::spawn(work).join().expect("it is written");
        path
    }

    fn append(&self, writer: &mut Writer, index: u64, interval: &Interval) {
        let (from, to) = (BASE + index * self.interval_us, BASE + (index + 1) * self.interval_us);
        for (revision, at, deadlines) in interval.told() {
            let terms = Terms::new(&self.rules, &deadlines);
            writer
                .append_control(&Control {
                    at: BASE + at,
                    revision,
                    terms,
                    document: interval.document.clone().into_bytes(),
                })
                .expect("a revision");
        }
        for (name, at) in &interval.joins {
            writer.append_join(&Join { at: BASE + at, name: name.as_bytes().to_vec() }).expect("a join");
        }
        let mut traces: Vec<Trace> = interval.exchanges.iter().map(trace).collect();
        if let Some(forge) = interval.forge {
            forge(&mut traces);
        }
        let all = traces.len() as u64;
        let (traced, untraced) = if interval.traceless { (0, all) } else { (all, 0) };
        let told = interval.windows.iter().map(|(from, to, cause)| LateWindow {
            from: BASE + from,
            to: BASE + to,
            cause: *cause as u16,
        });
        let windows: Vec<LateWindow> = told.chain(interval.exchanges.iter().filter_map(excuse)).collect();
        if !windows.is_empty() && !interval.unexcused {
            writer.append_late(&Late { worker: 0, windows }).expect("lateness");
        }
        if traced > 0 {
            writer.append_traces(0, BASE, &traces).expect("traces");
        }
        let mut further = Further::default();
        let mut batch = Batch { from, to, traced, untraced, ..Batch::default() };
        let joined: usize = self.intervals[..=index as usize].iter().map(|interval| interval.joins.len()).sum();
        for contestant in 0..(self.names.len() + joined) as u16 {
            for scored in [true, false] {
                let (tally, latency, service) = self.count(index as usize, contestant, scored);
                batch.push(contestant, scored, &tally, &latency, &service);
                further.push(contestant, scored, &tally);
            }
        }
        writer.append_batch(&batch).expect("a batch");
        if !further.entries.is_empty() {
            writer.append_further(&further).expect("its further counters");
        }
        for evidence in &interval.evidence {
            writer.append_evidence(evidence).expect("evidence");
        }
        if let Some(text) = interval.notice {
            writer.append_notice(&Notice { at: to, code: 1, text: text.into() }).expect("a notice");
        }
    }

    /// What a generator judges by that heard these documents: from each hearing on all is as the newest one says.
    fn deadlines_at(&self, sent: u64) -> Deadlines {
        let mut held = vec![(0, self.deadlines)];
        for (_, told) in self.intervals.iter().filter_map(|interval| interval.control.as_ref()) {
            held.retain(|(at, _)| *at < BASE + told[0].0);
            held.extend(told.iter().map(|(at, deadlines)| (BASE + at, *deadlines)));
        }
        held.iter().rev().find(|(at, _)| *at <= sent).map_or(self.deadlines, |(_, deadlines)| *deadlines)
    }

    /// What a generator counts in one interval.
    pub(crate) fn count(&self, index: usize, contestant: u16, scored: bool) -> (Tally, Histogram, Histogram) {
        let interval = &self.intervals[index];
        let (mut tally, mut latency, mut service) = (Tally::default(), Histogram::default(), Histogram::default());
        for exchange in
            interval.exchanges.iter().filter(|exchange| exchange.contestant == contestant && exchange.scored == scored)
        {
            tally.due += u64::from(!interval.late);
            tally.sent += u64::from(!interval.late && exchange.lag_us != NEVER_SENT);
            let (whole, own) =
                (u64::from(exchange.latency_us), u64::from(exchange.latency_us.wrapping_sub(exchange.lag_us)));
            match exchange.outcome {
                Outcome::Answered(observed) => {
                    let sent = BASE.saturating_add_signed(i64::from(exchange.sent_us));
                    tally.answered(judge(observed, &self.rules, &self.deadlines_at(sent), UtcUs(sent)));
                    tally.bytes += 200;
                    latency.record(whole);
                    service.record(own);
                }
                Outcome::Failed(failure) => {
                    tally.failed(failure);
                    match failure {
                        Failure::Timeout => {
                            latency.record(self.rules.timeout_us);
                            service.record(self.rules.timeout_us);
                        }
                        Failure::Missed => latency.record(self.rules.timeout_us),
                        Failure::Status => {
                            latency.record(whole);
                            service.record(own);
                        }
                        _ => {}
                    }
                }
            }
        }
        let started = if scored { interval.started.iter().filter(|who| **who == contestant).count() as u64 } else { 0 };
        tally.bytes += if (contestant, scored) == (0, true) { interval.bytes } else { 0 };
        tally.due += started;
        tally.sent += started;
        (tally, latency, service)
    }
}

fn trace(exchange: &Exchange) -> Trace {
    Trace {
        sent_us: exchange.sent_us,
        latency_us: exchange.latency_us,
        lag_us: exchange.lag_us,
        contestant: exchange.contestant,
        observed: Observation { outcome: exchange.outcome, scored: exchange.scored }.pack(),
    }
}

/// What a worker says of an exchange that counts for nobody, at the instant of its outcome.
fn excuse(exchange: &Exchange) -> Option<LateWindow> {
    let lag = if exchange.lag_us == NEVER_SENT { 0 } else { exchange.lag_us };
    let at = BASE.saturating_add_signed(i64::from(exchange.sent_us)) - u64::from(lag) + u64::from(exchange.latency_us);
    let is_void = exchange.outcome == Outcome::Failed(Failure::OwnFault);
    is_void.then_some(LateWindow { from: at, to: at, cause: LateCause::Control as u16 })
}

fn evidence() -> Evidence {
    Evidence {
        at: BASE + 90_000,
        sent: BASE + 10_600,
        latency_us: 3_000_100,
        contestant: 1,
        worker: 0,
        observed: Observation { outcome: Outcome::Failed(Failure::Timeout), scored: true }.pack(),
        skipped: 0,
        request: b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        response: b"=cmd|'/c calc'\x1b[31m\xff".to_vec(),
        reason: Vec::new(),
    }
}

/// A deadline so long after [`BASE`].
pub(crate) fn after(us: u64) -> Deadline {
    Deadline(UtcUs(BASE + us))
}
