//! What is recorded: fixed-width integers and lists of them, archived by rkyv, so that they are read in place.
//!
//! No strings, maps or enums with data stand in an archived type; text is bytes. The layout of these types is the format
//! of the disk: whoever changes one raises [`FORMAT`] and keeps the old one beside it for reading
//! (`tests/golden` has a file of each version).
//!
//! Instants are microseconds since the Unix epoch, UTC, unless a name says otherwise.

use flowtest_contract::rules::{Deadline, Deadlines, Rules, UtcUs};
use flowtest_contract::verdict::{Failure, Outcome};
use flowtest_contract::{Histogram, Observed, Platform, Seen, Tally, Version};
use rkyv::{Archive, Deserialize, Serialize};

/// Version of the types in here. Version 4 had no [`Decision`], version 3 [`Further`] and no failure `tls` either, version 2 no
/// [`Join`] either, version 1 no [`Late`] either, and everything else as it is.
pub const FORMAT: u32 = 5;

/// What a record is. The number stands in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// [`Start`]: the first record of a stream.
    Start = 1,
    /// [`Batch`]
    Batch = 2,
    /// [`Traces`]
    Traces = 3,
    /// [`Evidence`]
    Evidence = 4,
    /// [`Control`]
    Control = 5,
    /// [`Notice`]
    Notice = 6,
    /// [`End`]: the last record of a stream.
    End = 7,
    /// [`Late`]
    Late = 8,
    /// [`Join`]
    Join = 9,
    /// [`Further`]
    Further = 10,
    /// [`Decision`]
    Decision = 11,
}

impl Kind {
    pub const ALL: [Kind; 11] = [
        Kind::Start,
        Kind::Batch,
        Kind::Traces,
        Kind::Evidence,
        Kind::Control,
        Kind::Notice,
        Kind::End,
        Kind::Late,
        Kind::Join,
        Kind::Further,
        Kind::Decision,
    ];

    pub fn from_code(code: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == code)
    }
}

/// One exchange that has its outcome: what was observed, not what it was worth, so that it can be judged again.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
#[repr(C)]
pub struct Trace {
    /// When it was sent, counted from the base of its block; when it fell due, if it was never sent.
    pub sent_us: i32,
    /// From the intended instant to the outcome.
    pub latency_us: u32,
    /// How much of that had passed before it was sent, so that `latency_us - lag_us` is its service time;
    /// [`NEVER_SENT`] if it was not.
    pub lag_us: u32,
    /// Its place in the roster.
    pub contestant: u16,
    /// [`Observation`], packed.
    pub observed: u16,
}

/// [`Trace::lag_us`] of a request that was never sent.
pub const NEVER_SENT: u32 = u32::MAX;

impl Trace {
    /// When it was sent, by the base of its block; when it fell due, if it was never sent.
    #[inline]
    pub fn sent(&self, base: UtcUs) -> UtcUs {
        base.saturating_add_signed(i64::from(self.sent_us))
    }

    /// When it fell due.
    #[inline]
    pub fn intended(&self, base: UtcUs) -> UtcUs {
        fell_due(self.sent(base), self.lag_us)
    }
}

impl ArchivedTrace {
    /// See [`Trace::sent`].
    #[inline]
    pub fn sent(&self, base: UtcUs) -> UtcUs {
        base.saturating_add_signed(i64::from(self.sent_us.to_native()))
    }

    /// See [`Trace::intended`].
    #[inline]
    pub fn intended(&self, base: UtcUs) -> UtcUs {
        fell_due(self.sent(base), self.lag_us.to_native())
    }
}

#[inline]
fn fell_due(sent: UtcUs, lag_us: u32) -> UtcUs {
    if lag_us == NEVER_SENT { sent } else { sent.saturating_sub(u64::from(lag_us)) }
}

const _: () = assert!(size_of::<ArchivedTrace>() == 16 && align_of::<ArchivedTrace>() == 4);

/// What [`Trace::observed`] says. From the lowest bit: 4 bits outcome (0 answered, then [`Failure::ALL`] from 1), 1 bit
/// token right, 2 bits version and 2 bits platform (0 missing, 1 other, 2 before, 3 after), 1 bit scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    pub outcome: Outcome,
    /// Its phase counts.
    pub scored: bool,
}

const TOKEN_BIT: u16 = 1 << 4;
const VERSION_SHIFT: u16 = 5;
const FROM_SHIFT: u16 = 7;
const SCORED_BIT: u16 = 1 << 9;
const OBSERVATION_BITS: u16 = (1 << 10) - 1;

impl Observation {
    #[inline]
    pub fn pack(self) -> u16 {
        let seen = |code: u16, shift: u16| code << shift;
        let outcome = match self.outcome {
            Outcome::Answered(observed) => {
                let version = match observed.version {
                    Seen::Missing => 0,
                    Seen::Other => 1,
                    Seen::Value(Version::V1) => 2,
                    Seen::Value(Version::V2) => 3,
                };
                let from = match observed.from {
                    Seen::Missing => 0,
                    Seen::Other => 1,
                    Seen::Value(Platform::Ec2) => 2,
                    Seen::Value(Platform::Ecs) => 3,
                };
                (if observed.token_right { TOKEN_BIT } else { 0 })
                    | seen(version, VERSION_SHIFT)
                    | seen(from, FROM_SHIFT)
            }
            Outcome::Failed(failure) => match failure {
                Failure::Timeout => 1,
                Failure::Refused => 2,
                Failure::Reset => 3,
                Failure::Malformed => 4,
                Failure::Status => 5,
                Failure::Missed => 6,
                Failure::OwnFault => 7,
                Failure::Tls => 8,
            },
        };
        outcome | if self.scored { SCORED_BIT } else { 0 }
    }

    /// `None` for bits that no version up to this one writes.
    pub fn unpack(bits: u16) -> Option<Observation> {
        if bits & !OBSERVATION_BITS != 0 {
            return None;
        }
        let scored = bits & SCORED_BIT != 0;
        let outcome = match usize::from(bits & 15) {
            0 => Outcome::Answered(Observed {
                token_right: bits & TOKEN_BIT != 0,
                version: match (bits >> VERSION_SHIFT) & 3 {
                    0 => Seen::Missing,
                    1 => Seen::Other,
                    2 => Seen::Value(Version::V1),
                    _ => Seen::Value(Version::V2),
                },
                from: match (bits >> FROM_SHIFT) & 3 {
                    0 => Seen::Missing,
                    1 => Seen::Other,
                    2 => Seen::Value(Platform::Ec2),
                    _ => Seen::Value(Platform::Ecs),
                },
            }),
            _ if bits & (OBSERVATION_BITS & !SCORED_BIT & !15) != 0 => return None,
            code => Outcome::Failed(*Failure::ALL.get(code - 1)?),
        };
        Some(Observation { outcome, scored })
    }
}

/// A block of traces, of one worker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Traces {
    /// What [`Trace::sent_us`] counts from.
    pub base: u64,
    pub worker: u16,
    pub traces: Vec<Trace>,
}

/// What one interval counted. The traces in the same group of records are of the same outcomes.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Batch {
    /// The interval, `from` excluded.
    pub from: u64,
    pub to: u64,
    /// Traces in this group.
    pub traced: u64,
    /// Outcomes of this interval that left no trace: traces were off, or came faster than the disk.
    pub untraced: u64,
    /// Who had anything to count, by roster number, scored before unscored.
    pub entries: Vec<Entry>,
    /// The buckets of all entries, in their order: latency first, then service. See [`bucket`].
    pub buckets: Vec<u64>,
}

/// What one contestant added in an interval.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Entry {
    /// In the order of [`Tally::FIELDS`]; those that came later stand in a [`Further`].
    pub counters: [u64; Tally::LEN_FIRST],
    pub contestant: u16,
    /// 1 in phases that count.
    pub scored: u8,
    /// How many of [`Batch::buckets`] are its latencies.
    pub latency: u16,
    /// How many are its service times.
    pub service: u16,
}

/// Counters of the batch in the same group that it has no room for: those that came later than the first. Only what is not
/// zero is written.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Further {
    pub entries: Vec<FurtherEntry>,
}

/// One such counter of one contestant.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct FurtherEntry {
    pub count: u64,
    pub contestant: u16,
    /// 1 in phases that count.
    pub scored: u8,
    /// Its place in [`Tally::FIELDS`].
    pub counter: u8,
}

impl Further {
    /// Adds what a contestant counted.
    pub fn push(&mut self, contestant: u16, scored: bool, tally: &Tally) {
        for (counter, count) in tally.to_array().into_iter().enumerate().skip(Tally::LEN_FIRST) {
            if count > 0 {
                self.entries.push(FurtherEntry { count, contestant, scored: u8::from(scored), counter: counter as u8 });
            }
        }
    }
}

impl ArchivedFurtherEntry {
    /// Adds it to a tally. `false`: a counter that this version does not know.
    #[must_use]
    pub fn add_to(&self, tally: &mut Tally) -> bool {
        let mut counters = tally.to_array();
        let Some(counter) = counters.get_mut(usize::from(self.counter)) else { return false };
        *counter = counter.saturating_add(self.count.to_native());
        *tally = Tally::from_array(counters);
        true
    }
}

/// A record from before the later counters says 0 of them.
pub fn tally_of(counters: [u64; Tally::LEN_FIRST]) -> Tally {
    let mut all = [0; Tally::LEN];
    all[..Tally::LEN_FIRST].copy_from_slice(&counters);
    Tally::from_array(all)
}

/// A bucket of a histogram with its count, in 16 and 48 bits.
pub fn bucket(index: usize, count: u64) -> u64 {
    ((index as u64) << 48) | count.min(BUCKET_COUNT_MAX)
}

/// The bucket's number and its count.
pub fn unbucket(packed: u64) -> (usize, u64) {
    ((packed >> 48) as usize, packed & BUCKET_COUNT_MAX)
}

/// What a bucket of one interval can count: ten million requests a second for 300 days.
pub const BUCKET_COUNT_MAX: u64 = (1 << 48) - 1;

impl Batch {
    /// Adds what a contestant counted. Nothing is written for one who counted nothing.
    pub fn push(&mut self, contestant: u16, scored: bool, tally: &Tally, latency: &Histogram, service: &Histogram) {
        if *tally == Tally::default() {
            return;
        }
        let before = self.buckets.len();
        self.buckets.extend(latency.sparse().map(|(index, count)| bucket(index, count)));
        let between = self.buckets.len();
        self.buckets.extend(service.sparse().map(|(index, count)| bucket(index, count)));
        self.entries.push(Entry {
            counters: *tally.to_array().first_chunk().expect("there are more counters than those"),
            contestant,
            scored: u8::from(scored),
            latency: (between - before) as u16,
            service: (self.buckets.len() - between) as u16,
        });
    }
}

/// A failing exchange with its bytes: a sample, a few a second of each contestant and kind.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Evidence {
    /// When it had its outcome.
    pub at: u64,
    pub sent: u64,
    pub latency_us: u32,
    pub contestant: u16,
    pub worker: u16,
    /// [`Observation`], packed.
    pub observed: u16,
    /// Bytes of the response that came before the ones that are kept.
    pub skipped: u32,
    /// The request as it was sent.
    pub request: Vec<u8>,
    /// What came back, cut to a bounded length.
    pub response: Vec<u8>,
    /// Why an answer is malformed, as a sentence; otherwise empty.
    pub reason: Vec<u8>,
}

/// Rules and deadlines as they were in force.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Terms {
    pub timeout_us: u64,
    pub grace_us: u64,
    /// 0 has passed from the start, the largest number never comes.
    pub version_deadline: u64,
    pub from_deadline: u64,
    pub token: u32,
    pub version: u32,
    pub from: u32,
    pub token_required: u8,
}

impl Terms {
    pub fn new(rules: &Rules, deadlines: &Deadlines) -> Terms {
        Terms {
            timeout_us: rules.timeout_us,
            grace_us: rules.grace_us,
            version_deadline: deadlines.version.0.0,
            from_deadline: deadlines.from.0.0,
            token: rules.token,
            version: rules.version,
            from: rules.from,
            token_required: u8::from(rules.token_required),
        }
    }

    pub fn rules(&self) -> Rules {
        Rules {
            timeout_us: self.timeout_us,
            grace_us: self.grace_us,
            token: self.token,
            version: self.version,
            from: self.from,
            token_required: self.token_required != 0,
        }
    }

    pub fn deadlines(&self) -> Deadlines {
        Deadlines { version: Deadline(UtcUs(self.version_deadline)), from: Deadline(UtcUs(self.from_deadline)) }
    }
}

/// The first record of a stream.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Start {
    pub at: u64,
    /// The generator's clock less Redis's, as far as it is known, and how wrong that may be.
    pub clock_offset_us: i64,
    pub clock_error_us: u64,
    pub terms: Terms,
    /// The contest's name, UTF-8.
    pub contest: Vec<u8>,
    /// The contestants' names one after the other, UTF-8, in the order of their numbers.
    pub names: Vec<u8>,
    /// How many bytes each of them has.
    pub name_lens: Vec<u16>,
    /// The whole contest as JSON.
    pub document: Vec<u8>,
    /// The program that writes, and on what machine, as JSON.
    pub program: Vec<u8>,
}

impl Start {
    /// Writes the roster.
    pub fn set_names<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        (self.names, self.name_lens) = (Vec::new(), Vec::new());
        for name in names {
            self.names.extend_from_slice(name.as_bytes());
            self.name_lens.push(name.len() as u16);
        }
    }

    /// Reads the roster. `None` when it is no roster.
    pub fn names(&self) -> Option<Vec<String>> {
        let mut rest = self.names.as_slice();
        let mut names = Vec::with_capacity(self.name_lens.len());
        for len in &self.name_lens {
            let (name, after) = rest.split_at_checked(usize::from(*len))?;
            names.push(std::str::from_utf8(name).ok()?.to_owned());
            rest = after;
        }
        rest.is_empty().then_some(names)
    }
}

/// The contest was changed. A generator that hears of a change writes first what holds from its hearing on, and then, under
/// the same revision, what the change says of later instants.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Control {
    /// From when on `terms` are in force: they judge the requests that are *sent* from this instant on, whether their traces
    /// stand before or behind this record. What an earlier revision said of this instant or later ones is void, and of two
    /// records with one instant the later counts. Before the first of these instants the start's terms are in force,
    /// from the beginning of time on. Another generator may have heard of the same change at another instant.
    pub at: u64,
    pub revision: u64,
    pub terms: Terms,
    /// The control document as JSON.
    pub document: Vec<u8>,
}

/// A contestant joined the round: behind this record the roster is longer by one. Nothing of it stands before.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Join {
    /// What falls due from here on is its, too.
    pub at: u64,
    /// Its name, UTF-8.
    pub name: Vec<u8>,
}

/// What was decided of a step of a breakpoint phase, as this stream heard it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Decision {
    /// When it was heard.
    pub at: u64,
    /// It counts from this step of the plan on.
    pub step: u32,
    /// The step whose hold was judged, and when: requests with intended instants from `from` on, and before `to`.
    pub judged: u32,
    pub from: u64,
    pub to: u64,
    /// In the order of the roster.
    pub entries: Vec<DecisionEntry>,
}

/// What was decided of one contestant: what was counted of it in the hold, by all generators, and what follows.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct DecisionEntry {
    /// Requests a second that were due in the hold.
    pub tried: u64,
    /// Requests that have their outcome; those wholly right; those that count for nobody; those that we came to late.
    pub due: u64,
    pub right: u64,
    pub own_fault: u64,
    pub late: u64,
    /// [`NOTHING_ANSWERED`], [`UNSETTLED`], or the latency at the 99th percentile.
    pub p99_us: u64,
    /// Requests a second in the step; in later ones of which nobody decides; and what it holds as far as is known.
    pub rate: u64,
    pub rest: u64,
    pub holds: u64,
    pub contestant: u16,
}

/// [`DecisionEntry::p99_us`] where nothing was answered.
pub const NOTHING_ANSWERED: u64 = u64::MAX;
/// [`DecisionEntry::p99_us`] of figures that were not known to be whole: they have judged nobody.
pub const UNSETTLED: u64 = u64::MAX - 1;

/// Something that the reader of a journal should know.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Notice {
    pub at: u64,
    /// [`NoticeCode`].
    pub code: u16,
    /// UTF-8, for a person to read.
    pub text: Vec<u8>,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum NoticeCode {
    /// The disk fills: from here on no evidence.
    EvidenceOff = 1,
    /// The disk fills: from here on no traces.
    TracesOff = 2,
    /// The disk fills: batches come once a second.
    BatchesSlow = 3,
    /// The disk is full: load pauses.
    LoadPaused = 4,
    /// There is room again for everything.
    RoomAgain = 5,
}

/// When a worker was late, or something else was our own fault. An exchange that counts for nobody (`own_fault`) lived in one
/// of these at least, which stands in the same group or in an earlier one.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Late {
    pub worker: u16,
    pub windows: Vec<LateWindow>,
}

/// A stretch of time of a worker.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct LateWindow {
    pub from: u64,
    /// Not before `from`; the same where it was an instant.
    pub to: u64,
    /// [`LateCause`].
    pub cause: u16,
}

/// Why something counts for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum LateCause {
    /// A turn of the worker came more than 10 ms late: between the two instants it did nothing.
    Gap = 1,
    /// The worker never rested in an open phase: it looks at answers late, and connections seem busy.
    Busy = 2,
    /// Load was paused, since the journal could not be written.
    Journal = 3,
    /// The plan was changed, or the run ended: what waited was taken away, or cut off.
    Control = 4,
    /// The machine had no descriptor, memory or port for it.
    Resources = 5,
}

impl LateCause {
    pub const ALL: [LateCause; 5] =
        [LateCause::Gap, LateCause::Busy, LateCause::Journal, LateCause::Control, LateCause::Resources];

    pub fn from_code(code: u16) -> Option<LateCause> {
        LateCause::ALL.into_iter().find(|cause| *cause as u16 == code)
    }

    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            LateCause::Gap => "a turn came late",
            LateCause::Busy => "the worker never rested",
            LateCause::Journal => "the journal could not be written",
            LateCause::Control => "the plan was changed or ended",
            LateCause::Resources => "the machine was short of descriptors, memory or ports",
        }
    }
}

/// The last record of a stream.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct End {
    pub at: u64,
    /// [`EndCode`].
    pub code: u16,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum EndCode {
    /// The plan was over.
    Finished = 1,
    /// Somebody stopped the run.
    Stopped = 2,
    /// The process was gone; whoever found the journal wrote this. What it had not synced is lost.
    Abandoned = 3,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_observation_survives_its_bits_and_no_other_bits_are_one() {
        let mut known = 0;
        for bits in 0..=u16::MAX {
            if let Some(observation) = Observation::unpack(bits) {
                assert_eq!(observation.pack(), bits);
                known += 1;
            }
        }
        // scored or not: 2 tokens x 4 versions x 4 platforms, and 8 failures
        assert_eq!(known, 2 * (2 * 4 * 4 + 8));
    }

    #[test]
    fn a_roster_survives_its_bytes() {
        let mut start = Start {
            at: 0,
            clock_offset_us: 0,
            clock_error_us: 0,
            terms: Terms::new(&Rules::default(), &Deadlines::default()),
            contest: Vec::new(),
            names: Vec::new(),
            name_lens: Vec::new(),
            document: Vec::new(),
            program: Vec::new(),
        };
        start.set_names(["alice", "", "Zoë"]);
        assert_eq!(start.names(), Some(vec!["alice".to_owned(), String::new(), "Zoë".to_owned()]));
        start.name_lens.push(1);
        assert_eq!(start.names(), None);
    }

    #[test]
    fn buckets_keep_number_and_count() {
        assert_eq!(unbucket(bucket(703, 1 << 40)), (703, 1 << 40));
        assert_eq!(unbucket(bucket(1, u64::MAX)), (1, BUCKET_COUNT_MAX));
    }
}
