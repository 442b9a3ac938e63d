//! What a worker notes of single exchanges, beside the counts: a trace of each, and of some failing ones a sample with
//! the bytes that came.
//!
//! Both have their room from the start and never grow. What finds no room is counted, not written.

use crate::engine::causes::OwnCause;
use crate::engine::http::Malformed;
use crate::engine::index::ContestantIndex;
use crate::engine::tls::TlsReason;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::token::{TOKEN_LEN, Token};
use flowtest_journal::record::Trace;

/// Traces that a block holds when they are kept: 100 ms at more than a million requests a second and core.
pub const TRACES: usize = 1 << 17;
/// Samples that a block holds.
pub const SAMPLES: usize = 64;
/// Bytes of an answer that a sample keeps.
pub const ANSWER_BYTES_MAX: usize = 1024;

/// Whether each exchange leaves a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// Nobody reads them.
    Off,
    /// Only some failing exchanges are kept, with their bytes.
    Samples,
    On,
}

impl Tracing {
    pub fn room(self) -> usize {
        match self {
            Tracing::Off | Tracing::Samples => 0,
            Tracing::On => TRACES,
        }
    }
}

/// Traces in the control of their outcomes.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    /// What [`Trace::sent_us`] counts from.
    pub base: UtcUs,
    items: Box<[Trace]>,
    len: usize,
    /// How many may be written: none while the disk has no room for them.
    limit: usize,
    /// Outcomes that left none.
    pub untraced: u64,
}

impl Traces {
    pub fn new(tracing: Tracing) -> Traces {
        let items = vec![Trace::default(); tracing.room()].into_boxed_slice();
        Traces { base: UtcUs::EPOCH, len: 0, limit: items.len(), items, untraced: 0 }
    }

    /// Begins anew, at this instant.
    pub fn open(&mut self, base: UtcUs, wanted: bool) {
        self.base = base;
        self.len = 0;
        self.untraced = 0;
        self.limit = if wanted { self.items.len() } else { 0 };
    }

    #[inline]
    pub fn push(&mut self, trace: Trace) {
        // The limit is never above the length; the second look lets the compiler leave its own out.
        if self.len < self.limit && self.len < self.items.len() {
            self.items[self.len] = trace;
            self.len += 1;
        } else {
            self.untraced += 1;
        }
    }

    /// Little room is left: the block should be handed over before its time.
    #[inline]
    pub fn is_nearly_full(&self) -> bool {
        self.limit > 0 && self.len > self.limit - self.limit / 4
    }

    pub fn as_slice(&self) -> &[Trace] {
        &self.items[..self.len]
    }
}

/// What had come of an answer when its exchange was settled.
#[derive(Clone, Copy, Debug)]
pub struct ResponseBytes<'a> {
    /// The bytes at hand: the whole answer, or its last part when it came in several.
    pub bytes: &'a [u8],
    /// Bytes of the answer that came before these.
    pub skipped: u32,
    /// Why it is malformed, if it is.
    pub malformed: Option<Malformed>,
    /// The status of a whole answer; 0 of anything else.
    pub status: u16,
    /// What was wrong with TLS, if something was.
    pub tls: Option<TlsReason>,
}

impl ResponseBytes<'_> {
    /// No byte.
    pub const NOTHING: ResponseBytes<'static> =
        ResponseBytes { bytes: &[], skipped: 0, malformed: None, status: 0, tls: None };
}

/// Why a request that fell due was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// We never came to it, or might not send it.
    OwnFault,
    Missed(Missed),
}

/// Why a request was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// All connections of its contestant were taken.
    NoConnection {
        /// All that the phase allows, of all generators.
        connections: u32,
        /// Requests a second that were due when it was, of all generators.
        rate: u64,
        /// The shortest time that a connection took to be made; zero while none was.
        round_trip_us: u32,
        /// How long its answers take of late; zero while none has come.
        answer_us: u32,
    },
    /// Its contestant has not given the right answers yet that let it in.
    NotAdmitted,
    /// Its contestant gets one request a second since this instant.
    Probed { since: UtcUs },
}

/// A failing exchange with its bytes.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it had its outcome.
    pub at: UtcUs,
    /// As in a trace.
    pub sent: UtcUs,
    pub latency_us: u32,
    pub contestant: ContestantIndex,
    /// As in a trace.
    pub observed: u16,
    pub never_sent: bool,
    /// If it was missed: why.
    pub missed: Option<Missed>,
    /// If it is void: what of our own it was.
    pub own: Option<OwnCause>,
    /// The token of its request, from which the request can be written again.
    pub token: Token,
    /// Which request of its contestant it was; the endpoint may have moved since.
    pub request_mark: u32,
    pub skipped: u32,
    pub malformed: Option<Malformed>,
    pub tls: Option<TlsReason>,
    answer_len: u16,
    answer: [u8; ANSWER_BYTES_MAX],
}

impl Default for Sample {
    fn default() -> Sample {
        Sample {
            at: UtcUs::EPOCH,
            sent: UtcUs::EPOCH,
            latency_us: 0,
            contestant: ContestantIndex::FIRST,
            observed: 0,
            never_sent: false,
            missed: None,
            own: None,
            token: Token([0; TOKEN_LEN]),
            request_mark: 0,
            skipped: 0,
            malformed: None,
            tls: None,
            answer_len: 0,
            answer: [0; ANSWER_BYTES_MAX],
        }
    }
}

impl Sample {
    pub fn answer(&self) -> &[u8] {
        &self.answer[..usize::from(self.answer_len)]
    }

    fn keep(&mut self, received: &ResponseBytes<'_>) {
        let len = received.bytes.len().min(ANSWER_BYTES_MAX);
        self.answer[..len].copy_from_slice(&received.bytes[..len]);
        self.answer_len = len as u16;
        self.skipped = received.skipped;
        self.malformed = received.malformed;
        self.tls = received.tls;
    }
}

/// The samples of a block.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    items: Box<[Sample]>,
    len: usize,
}

impl Samples {
    pub fn new(tracing: Tracing) -> Samples {
        let room = if tracing == Tracing::Off { 0 } else { SAMPLES };
        Samples { items: vec![Sample::default(); room].into_boxed_slice(), len: 0 }
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Writes the next one by `write`, with the bytes that came.
    pub fn push(&mut self, received: &ResponseBytes<'_>, write: impl FnOnce(&mut Sample)) {
        if let Some(sample) = self.items.get_mut(self.len) {
            write(sample);
            sample.keep(received);
            self.len += 1;
        }
    }

    pub fn as_slice(&self) -> &[Sample] {
        &self.items[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut traces = Traces::new(Tracing::On);
        traces.open(UtcUs(7), true);
        for _ in 0..TRACES + 3 {
            traces.push(Trace::default());
        }
        assert!(traces.is_nearly_full());
        assert_eq!((traces.as_slice().len(), traces.untraced), (TRACES, 3));
        traces.open(UtcUs(8), false);
        traces.push(Trace::default());
        assert_eq!((traces.as_slice().len(), traces.untraced, traces.base), (0, 1, UtcUs(8)));
        assert!(!traces.is_nearly_full());
        let mut off = Traces::new(Tracing::Off);
        off.open(UtcUs::EPOCH, true);
        off.push(Trace::default());
        assert_eq!((off.as_slice().len(), off.untraced), (0, 1));
    }

    #[test]
    fn a_sample_keeps_the_first_bytes_at_hand() {
        let mut samples = Samples::new(Tracing::On);
        let long = vec![b'x'; ANSWER_BYTES_MAX + 5];
        for _ in 0..SAMPLES + 2 {
            let received = ResponseBytes {
                bytes: &long,
                skipped: 3,
                malformed: Some(Malformed::BareLf),
                ..ResponseBytes::NOTHING
            };
            samples.push(&received, |sample| sample.at = UtcUs(9));
        }
        assert_eq!(samples.as_slice().len(), SAMPLES);
        let first = &samples.as_slice()[0];
        assert_eq!((first.answer(), first.skipped, first.at), (&long[..ANSWER_BYTES_MAX], 3, UtcUs(9)));
        assert_eq!(first.malformed, Some(Malformed::BareLf));
        samples.clear();
        assert!(samples.as_slice().is_empty());
    }
}
