//! What Redis holds of one round, stream by stream. Reads only; that Redis has our functions afterwards is the doing of
//! every connection.

use flowtest_contest::State;
use flowtest_contest::breakpoint::Decision;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, Row, StreamId};
use flowtest_journal::stream::StreamFolder;
use flowtest_scoreboard::connection::Connection;
use flowtest_scoreboard::keys::{self, RoundField};
use flowtest_scoreboard::reader::{SaidValidity, read_validity};
use flowtest_scoreboard::{RedisAddress, ScoreboardError};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// A round in Redis.
#[derive(Clone, Debug, Default)]
pub struct HeldRound {
    /// `None` when Redis does not know the round.
    pub state: Option<State>,
    pub streams: BTreeMap<StreamId, HeldStream>,
    /// Fields that make no sense, each as a sentence.
    pub junk: Vec<String>,
    /// No folder of it was named.
    pub is_elsewhere: bool,
    /// See [`Board::read_steps`].
    pub steps: HeldSteps,
}

/// What was decided of the steps of breakpoint phases, as Redis has it.
#[derive(Clone, Debug, Default)]
pub struct HeldSteps {
    /// In order.
    pub steps: Vec<Decision>,
    pub newest: Option<Decision>,
    /// When that was read, by Redis's clock.
    pub at: UtcUs,
}

/// A stream in Redis.
#[derive(Clone, Debug, Default)]
pub struct HeldStream {
    /// `None` when rows are there but no number.
    pub seq: Option<u64>,
    /// The number at its end marker.
    pub end: Option<u64>,
    pub abandoned: bool,
    /// Its journal is there, and was not when the folders were listed; see [`HeldRound::note_begun`].
    pub is_new: bool,
    /// The number of its histograms, where they are put beside its rows.
    histograms: Option<u64>,
    /// Rows, or histograms, too many for one command are being put just now.
    pub in_parts: bool,
    /// How much of what it scored is valid, as its generator says.
    pub validity: Option<SaidValidity>,
    pub rows: BTreeMap<String, Row>,
    /// Histograms beside the rows, as they were found.
    spans: Vec<(String, usize, Vec<u8>)>,
}

/// The numbers up to which Redis has a stream; 0 when it has nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldUpTo {
    pub tallies: u64,
    pub histograms: u64,
}

impl HeldUpTo {
    pub fn newest(self) -> u64 {
        self.tallies.max(self.histograms)
    }
}

impl HeldStream {
    /// Whether Redis counts anything of it.
    pub fn counts(&self) -> bool {
        self.seq.unwrap_or(0) > 0 || !self.rows.is_empty()
    }

    pub fn up_to(&self) -> HeldUpTo {
        let tallies = self.seq.unwrap_or(0);
        // An end is put when all histograms are there; without a number of theirs the rows hold them.
        HeldUpTo { tallies, histograms: self.end.or(self.histograms).unwrap_or(tallies) }
    }

    /// Up to which number it has a stream whole.
    pub fn whole_up_to(&self) -> u64 {
        let HeldUpTo { tallies, histograms } = self.up_to();
        tallies.min(histograms)
    }

    /// Adds the histograms beside the rows to them.
    fn join(&mut self) -> Result<(), String> {
        let own = self.rows.iter().filter(|(_, row)| row.has_histograms());
        let whole: BTreeSet<String> = own.map(|(contestant, _)| contestant.clone()).collect();
        let mut joined = Ok(());
        for (contestant, span, bytes) in std::mem::take(&mut self.spans) {
            // Older generators' rows hold their histograms, and are all there is of them.
            let row = self.rows.get_mut(&contestant).filter(|_| !whole.contains(&contestant));
            if let Some(Err(error)) = row.map(|row| row.merge_span(span, &bytes)) {
                joined = Err(format!("histograms {span} of {contestant}: {error}"));
            }
        }
        joined
    }
}

/// Keys that Redis looks at in one step of a search.
const SCAN_COUNT: u32 = 1_000;
/// Decisions that are read by one command: each is some hundred bytes for a contestant.
const STEPS_AT_ONCE: usize = 50;
/// Senseless fields that are told.
const JUNK_MAX: usize = 20;

/// A connection that reads each round once, when the first of its streams says which contest it is of.
///
/// That is before the stream's batches are read, so whatever Redis counts by then is on disk.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: RedisAddress,
    connection: Connection,
    rounds: BTreeMap<RoundId, HeldRound>,
    failed: Option<ScoreboardError>,
}

impl Board {
    /// An audit needs no promise from Redis, so one that would forget is read as well.
    pub fn open(redis: &RedisAddress) -> Result<Board, ScoreboardError> {
        let address = redis.clone().allow_volatile(true);
        let connection = Connection::open(&address)?;
        Ok(Board { inner: Mutex::new(Inner { address, connection, rounds: BTreeMap::new(), failed: None }) })
    }

    /// The numbers up to which Redis has a stream.
    pub fn up_to(&self, contest: &str, round: RoundId, stream: StreamId) -> HeldUpTo {
        let mut inner = self.inner.lock();
        if !inner.rounds.contains_key(&round) && inner.failed.is_none() {
            match inner.read(contest, round) {
                Ok(held) => _ = inner.rounds.insert(round, held),
                Err(error) => inner.failed = Some(error),
            }
        }
        let held = inner.rounds.get(&round).and_then(|held| held.streams.get(&stream));
        held.map(HeldStream::up_to).unwrap_or_default()
    }

    /// Reads a round of which no stream says of what contest it is: by the contest that is named, or else by the round's id
    /// under whatever contest Redis has it. What cannot be read must not hide what Redis counts.
    pub fn look_for(&self, contest: Option<&str>, round: RoundId) -> Result<(), ScoreboardError> {
        let mut inner = self.inner.lock();
        let is_known = |held: &HeldRound| contest.is_none() || held.state.is_some() || !held.streams.is_empty();
        let found = inner.rounds.get(&round).is_some_and(is_known);
        if found || inner.failed.is_some() {
            return Ok(());
        }
        if let Some(contest) = contest {
            let held = inner.read(contest, round)?;
            let is_there = held.state.is_some() || !held.streams.is_empty();
            inner.rounds.insert(round, held);
            if is_there {
                return Ok(());
            }
        }
        for found in inner.contests_with(round)? {
            let mut held = inner.read(&found, round)?;
            if let Some(named) = contest {
                held.junk.push(format!("it is of contest {found:?}, and {named:?} was named"));
            }
            inner.rounds.insert(round, held);
        }
        Ok(())
    }

    /// Reads all rounds that Redis has of these contests, also those of which no folder is left.
    pub fn look_for_all(&self, contests: &BTreeSet<&str>) -> Result<(), ScoreboardError> {
        let mut inner = self.inner.lock();
        for key in inner.keys(&keys::any_round())? {
            let Some((contest, round)) = keys::round_of(&key) else { continue };
            if contests.contains(contest) && !inner.rounds.contains_key(&round) {
                let held = inner.read(contest, round)?;
                inner.rounds.insert(round, HeldRound { is_elsewhere: true, ..held });
            }
        }
        Ok(())
    }

    /// Reads also what was decided of the steps of a round, which are so many.
    pub fn read_steps(&self, contest: &str, round: RoundId, steps: u32) -> Result<(), ScoreboardError> {
        let mut inner = self.inner.lock();
        let held = inner.steps(contest, round, steps)?;
        if let Some(round) = inner.rounds.get_mut(&round) {
            round.steps = held;
        }
        Ok(())
    }

    /// What Redis holds of a round under whatever contest, when nothing else says of which it is.
    pub fn found(&self, round: RoundId) -> Result<Option<HeldRound>, ScoreboardError> {
        self.look_for(None, round)?;
        Ok(self.inner.lock().rounds.remove(&round))
    }

    /// What Redis holds of a round now.
    pub fn round(&self, contest: &str, round: RoundId) -> Result<HeldRound, ScoreboardError> {
        self.inner.lock().read(contest, round)
    }

    /// All rounds that were asked for.
    pub fn finish(self) -> Result<BTreeMap<RoundId, HeldRound>, ScoreboardError> {
        let inner = self.inner.into_inner();
        inner.failed.map_or(Ok(inner.rounds), Err)
    }
}

impl Inner {
    /// The contests under which Redis has a round of this id, which is as a rule one.
    fn contests_with(&mut self, round: RoundId) -> Result<Vec<String>, ScoreboardError> {
        let found = self.keys(&keys::round("*", &round))?;
        Ok(found.iter().filter_map(|key| keys::round_of(key)).map(|(contest, _)| contest.to_owned()).collect())
    }

    fn keys(&mut self, pattern: &str) -> Result<Vec<String>, ScoreboardError> {
        let mut keys = Vec::new();
        let mut cursor = String::from("0");
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCAN_COUNT);
            let (next, found): (String, Vec<String>) = self.connection.command("look for rounds", &command)?;
            keys.extend(found);
            if next == "0" {
                return Ok(keys);
            }
            cursor = next;
        }
    }

    fn steps(&mut self, contest: &str, round: RoundId, steps: u32) -> Result<HeldSteps, ScoreboardError> {
        const DOING: &str = "read what was decided of steps";
        let numbers: Vec<u32> = (1..=steps).collect();
        let mut held = HeldSteps::default();
        for numbers in numbers.chunks(STEPS_AT_ONCE) {
            let mut command = redis::cmd("MGET");
            numbers.iter().for_each(|number| _ = command.arg(keys::step(contest, &round, *number)));
            let texts: Vec<Option<Vec<u8>>> = self.connection.command(DOING, &command)?;
            held.steps.extend(texts.iter().flatten().filter_map(|text| serde_json::from_slice(text).ok()));
        }
        let mut command = redis::cmd("GET");
        command.arg(keys::newest_step(contest, &round));
        let newest: Option<Vec<u8>> = self.connection.command(DOING, &command)?;
        held.newest = newest.and_then(|text| serde_json::from_slice(&text).ok());
        let (seconds, us): (u64, u64) = self.connection.command(DOING, &redis::cmd("TIME"))?;
        held.at = UtcUs(seconds.saturating_mul(1_000_000).saturating_add(us));
        Ok(held)
    }

    fn read(&mut self, contest: &str, round: RoundId) -> Result<HeldRound, ScoreboardError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(keys::round(contest, &round));
        let fields: Result<Vec<(Vec<u8>, Vec<u8>)>, _> = self.connection.command("read a round", &command);
        let fields = match fields {
            // An answer may be lost to a signal, or to a Redis that was started again since.
            Err(ScoreboardError::Lost { .. }) => {
                self.connection = Connection::open(&self.address)?;
                self.connection.command("read a round", &command)?
            }
            done => done?,
        };
        Ok(HeldRound::from_fields(&fields))
    }
}

impl HeldRound {
    /// Streams whose journals are there now and were not when the folders were listed. Redis was asked after that, and whatever
    /// it counts was on disk by then, so that only what is still not there is missing.
    pub fn note_begun<'a>(rounds: &mut BTreeMap<RoundId, HeldRound>, begun: impl Iterator<Item = &'a StreamFolder>) {
        for folder in begun {
            let stream = rounds.get_mut(&folder.round).and_then(|round| round.streams.get_mut(&folder.stream));
            if let Some(stream) = stream {
                stream.is_new = true;
            }
        }
    }

    fn from_fields(fields: &[(Vec<u8>, Vec<u8>)]) -> HeldRound {
        let mut held = HeldRound::default();
        for (field, value) in fields {
            if let Err(cause) = held.take(field, value)
                && held.junk.len() < JUNK_MAX
            {
                let field: String = String::from_utf8_lossy(field).chars().take(120).collect();
                held.junk.push(format!("field {field:?}: {cause}"));
            }
        }
        for (id, stream) in &mut held.streams {
            if let Err(cause) = stream.join() {
                held.junk.push(format!("stream {id}: {cause}"));
            }
        }
        held.junk.sort();
        held
    }

    fn take(&mut self, field: &[u8], value: &[u8]) -> Result<(), String> {
        let no_text = |_| "it is no UTF-8".to_owned();
        let field = std::str::from_utf8(field).map_err(no_text)?;
        let field = RoundField::parse(field).ok_or("no such field is known")?;
        if let RoundField::Span(id, span, contestant) = field {
            self.stream(id).spans.push((contestant.to_owned(), span, value.to_vec()));
            return Ok(());
        }
        let text = std::str::from_utf8(value).map_err(no_text)?;
        let number =
            || text.parse::<u64>().map_err(|_| format!("{:?} is no number", text.chars().take(40).collect::<String>()));
        match field {
            RoundField::State => self.state = Some(text.parse().map_err(|()| "no such state is known")?),
            RoundField::Seq(id) => self.stream(id).seq = Some(number()?),
            RoundField::End(id) => self.stream(id).end = Some(number()?),
            RoundField::Abandoned(id) => self.stream(id).abandoned = true,
            RoundField::HistogramSeq(id) => self.stream(id).histograms = Some(number()?),
            RoundField::Part(id) | RoundField::HistogramPart(id) => self.stream(id).in_parts |= !text.is_empty(),
            RoundField::Row(id, contestant) => {
                let row = Row::decode(text).map_err(|error| error.to_string())?;
                self.stream(id).rows.insert(contestant.to_owned(), row);
            }
            RoundField::Validity(id) => {
                let validity = read_validity(text)
                    .ok_or_else(|| format!("{:?} is no five counts", text.chars().take(40).collect::<String>()))?;
                self.stream(id).validity = Some(validity);
            }
            RoundField::Streams | RoundField::Span(..) => {}
        }
        Ok(())
    }

    fn stream(&mut self, id: StreamId) -> &mut HeldStream {
        self.streams.entry(id).or_default()
    }
}
