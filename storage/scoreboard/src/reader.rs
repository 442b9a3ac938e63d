//! The reading side: the control document and the sums of a round.
//!
//! It also writes the little that does not belong to a stream: the control document and the state of a round.

use crate::address::RedisAddress;
use crate::connection::Connection;
use crate::error::ScoreboardError;
use crate::keys::{self, RoundField};
use crate::library::Answer;
use flowtest_contest::State;
use flowtest_contest::breakpoint::{Climber, Decision};
use flowtest_contest::contest::{CONTESTANTS_MAX, DOCUMENT_BYTES_MAX};
use flowtest_contest::control::{Control, ControlError, UnreadControl};
use flowtest_contract::id::{RoundId, StreamId};
use flowtest_contract::{RoundValidity, Row, row};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Display;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

/// Wrong fields that are named; a hash full of junk must not fill our memory with messages about it.
const JUNK_NAMED_MAX: usize = 100;
/// Old or senseless requests thrown away by one look at most.
const TAKEN_MAX: usize = 16;

/// What Redis holds of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundTotals {
    pub state: State,
    /// In the order of their ids.
    pub streams: Vec<StreamState>,
    /// Summed over all streams, by name.
    pub contestants: BTreeMap<String, Row>,
    /// Fields that make no sense, each as a sentence. What they say is not in the sums.
    pub junk: Vec<String>,
    /// What was decided of steps of breakpoint phases, in order; whoever wants it reads it beside the hash.
    pub decisions: Vec<Arc<Decision>>,
}

/// What Redis holds of rounds, as far as that is known.
pub type RoundStreams = BTreeMap<RoundId, Vec<StreamState>>;

/// One writer of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    pub id: StreamId,
    /// The sequence number of the newest rows; 0 before the first.
    pub seq: u64,
    /// The sequence number of the newest histograms; 0 before the first, and where rows hold their own.
    pub histograms_seq: u64,
    /// Whether it put its end marker.
    pub ended: bool,
    /// Whether the organiser gave it up.
    pub abandoned: bool,
    /// How much of what it scored is valid; none where it has not said so, as older generators never do.
    pub validity: Option<RoundValidity>,
}

impl StreamState {
    /// Of one that has joined and said nothing.
    fn unheard(id: StreamId) -> StreamState {
        StreamState { id, seq: 0, histograms_seq: 0, ended: false, abandoned: false, validity: None }
    }
}

impl RoundTotals {
    /// What was decided last of each contestant.
    pub fn climbers(&self) -> &[Climber] {
        self.decisions.last().map_or(&[], |decision| &decision.climbers)
    }

    /// The same by the steps that make the result, which the newest decision need not be one of; by the newest where the plan
    /// has none.
    pub fn counted_climbers(&self, counted: &Range<u32>) -> &[Climber] {
        let counts = |decision: &&Arc<Decision>| counted.is_empty() || counted.contains(&decision.judged);
        self.decisions.iter().rev().find(counts).map_or(&[], |decision| &decision.climbers)
    }

    /// How much of the round is valid, by each stream that has said so.
    pub fn validity(&self) -> impl Iterator<Item = (StreamId, RoundValidity)> {
        self.streams.iter().filter_map(|stream| Some((stream.id, stream.validity?)))
    }

    /// Sums the fields of a round's hash, of a roster when there is one. `None` when there is no such round.
    pub fn from_fields<'a>(
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        roster: Option<&BTreeSet<&str>>,
    ) -> Option<RoundTotals> {
        let mut reading = Reading { roster, ..Reading::default() };
        for (field, value) in fields {
            let read = reading.field(field, value);
            reading.note(read);
        }
        for (stream, span, contestant, value) in std::mem::take(&mut reading.spans) {
            let read = reading.span(stream, span, contestant, value);
            reading.note(read);
        }
        let Reading { state, streams, contestants, mut junk, .. } = reading;
        junk.sort();
        Some(RoundTotals {
            state: state?,
            streams: streams.into_values().collect(),
            contestants,
            junk,
            decisions: Vec::new(),
        })
    }
}

/// What the fields have said so far.
#[derive(Default)]
struct Reading<'a, 'r> {
    roster: Option<&'r BTreeSet<&'r str>>,
    state: Option<State>,
    streams: BTreeMap<StreamId, StreamState>,
    contestants: BTreeMap<String, Row>,
    junk: Vec<String>,
    /// They count when all rows are known.
    spans: Vec<(StreamId, usize, &'a str, &'a [u8])>,
    /// Rows that hold no histograms. Older generators' hold them, and what lies beside one of these does not count; nor does
    /// what lies beside none, which comes again together with it.
    bare: HashSet<(StreamId, &'a str)>,
}

impl<'a> Reading<'a, '_> {
    fn note(&mut self, read: Result<(), String>) {
        if let Err(message) = read
            && self.junk.len() < JUNK_NAMED_MAX
        {
            self.junk.push(message);
        }
    }

    fn field(&mut self, field: &'a [u8], value: &'a [u8]) -> Result<(), String> {
        let wrong = |cause: &dyn Display| not_counted(&String::from_utf8_lossy(field), cause);
        let known = std::str::from_utf8(field).ok().and_then(RoundField::parse);
        if let Some(RoundField::Span(stream, span, contestant)) = known {
            self.spans.push((stream, span, contestant, value));
            return Ok(());
        }
        let text = std::str::from_utf8(value).map_err(|_| wrong(&"its value is no UTF-8"))?;
        let number = || row::parse_count(text).ok_or_else(|| wrong(&"it is no sequence number"));
        match known {
            None => return Err(wrong(&"no such field is known")),
            Some(RoundField::State) => {
                self.state = Some(text.parse().map_err(|()| wrong(&"no such state is known"))?);
            }
            Some(RoundField::Seq(id)) => self.stream(id).seq = number()?,
            Some(RoundField::HistogramSeq(id)) => self.stream(id).histograms_seq = number()?,
            Some(RoundField::End(id)) => {
                number()?;
                self.stream(id).ended = true;
            }
            Some(RoundField::Abandoned(id)) => self.stream(id).abandoned = true,
            Some(RoundField::Validity(id)) => {
                let said = read_validity(text).ok_or_else(|| wrong(&"it is no five counts"))?;
                self.stream(id).validity = Some(said.counts);
            }
            Some(RoundField::Streams | RoundField::Part(_) | RoundField::HistogramPart(_) | RoundField::Span(..)) => {}
            Some(RoundField::Row(stream, contestant)) => {
                self.admits(contestant).map_err(|cause| wrong(&cause))?;
                let row = Row::decode(text).map_err(|error| wrong(&error))?;
                if !row.has_histograms() {
                    self.bare.insert((stream, contestant));
                }
                self.sum(contestant).merge(&row).map_err(|error| wrong(&error))?;
            }
        }
        Ok(())
    }

    fn span(&mut self, stream: StreamId, span: usize, contestant: &str, bytes: &[u8]) -> Result<(), String> {
        let wrong = |cause: &dyn Display| not_counted(&RoundField::Span(stream, span, contestant).to_string(), cause);
        self.admits(contestant).map_err(|cause| wrong(&cause))?;
        if !self.bare.contains(&(stream, contestant)) {
            return Ok(());
        }
        self.sum(contestant).merge_span(span, bytes).map_err(|error| wrong(&error))
    }

    /// Most of a row's 11 KB are empty buckets, so a short text of junk would cost a lot.
    fn admits(&self, contestant: &str) -> Result<(), &'static str> {
        match self.roster {
            Some(roster) if !roster.contains(contestant) => Err("no contestant has this name"),
            None if self.contestants.len() >= CONTESTANTS_MAX && !self.contestants.contains_key(contestant) => {
                Err("there are more names than contestants may be")
            }
            _ => Ok(()),
        }
    }

    fn sum(&mut self, contestant: &str) -> &mut Row {
        if !self.contestants.contains_key(contestant) {
            self.contestants.insert(contestant.to_owned(), Row::default());
        }
        self.contestants.get_mut(contestant).expect("it was put there")
    }

    fn stream(&mut self, id: StreamId) -> &mut StreamState {
        self.streams.entry(id).or_insert_with(|| StreamState::unheard(id))
    }
}

/// How much of a stream is valid, as its generator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaidValidity {
    pub counts: RoundValidity,
    /// For how long its seconds were late; `None` of a generator, or functions, of before 0.3, whose counts have 0 of it.
    pub late_ms: Option<u64>,
}

/// The same as its field in Redis has it: seconds, valid ones, due, void, and how long was late, which may be left out. None: it is no
/// such text.
pub fn read_validity(text: &str) -> Option<SaidValidity> {
    let counts: Option<Vec<u64>> = text.split(' ').map(row::parse_count).collect();
    let (seconds, valid_seconds, due, void, late_ms) = match counts?[..] {
        [seconds, valid_seconds, due, void] => (seconds, valid_seconds, due, void, None),
        [seconds, valid_seconds, due, void, late_ms] => (seconds, valid_seconds, due, void, Some(late_ms)),
        _ => return None,
    };
    let counts = RoundValidity { seconds, valid_seconds, due, void, late_ms: late_ms.unwrap_or_default() };
    Some(SaidValidity { counts, late_ms })
}

fn not_counted(field: &str, cause: &dyn Display) -> String {
    format!("field {:?} is not counted: {cause}", field.chars().take(120).collect::<String>())
}

/// A blocking connection for whoever reads totals or steers a contest. It connects again by itself: a call after
/// an outage works again.
#[derive(Debug)]
pub struct Scoreboard {
    address: RedisAddress,
    connection: Option<Connection>,
}

impl Scoreboard {
    /// Connects to the Redis of a URL.
    ///
    /// # Errors
    /// [`ScoreboardError::Url`] for what is no address, and all errors of [`Connection::open`].
    pub fn connect(url: &str) -> Result<Scoreboard, ScoreboardError> {
        Scoreboard::open(RedisAddress::new(url)?)
    }

    /// Connects, and checks that the server at the other end will do.
    ///
    /// # Errors
    /// All errors of [`Connection::open`].
    pub fn open(address: RedisAddress) -> Result<Scoreboard, ScoreboardError> {
        let connection = Connection::open(&address)?;
        Ok(Scoreboard { address, connection: Some(connection) })
    }

    /// The control document of a contest. `None` when there is none.
    ///
    /// # Errors
    /// [`ScoreboardError::Control`] for a document that we cannot read, and what is wrong with Redis.
    pub fn read_control(&mut self, contest: &str) -> Result<Option<Control>, ScoreboardError> {
        self.run(|connection| document(connection, contest))
    }

    /// Puts the control document of a contest.
    ///
    /// # Errors
    /// [`ScoreboardError::Config`] for a document that is too long for its readers, and what is wrong with Redis.
    pub fn write_control(&mut self, control: &Control) -> Result<(), ScoreboardError> {
        let text = encoded(control)?;
        let mut command = redis::cmd("SET");
        command.arg(keys::control(&control.contest.name)).arg(text);
        self.run(|connection| connection.command("write the control document", &command))
    }

    /// Puts the control document of a contest unless there is one that is as new or newer, or none that we can read: for
    /// those who bring back what Redis has lost, and may have heard of less than others. Whether it was put.
    ///
    /// # Errors
    /// As [`Scoreboard::write_control`].
    pub fn keep_control(&mut self, control: &Control) -> Result<bool, ScoreboardError> {
        let mut call = redis::cmd("FCALL");
        call.arg("flowtest_keep_control").arg(1).arg(keys::control(&control.contest.name));
        call.arg(control.revision).arg(encoded(control)?);
        let answer: Answer = self.run(|connection| connection.call("bring back the control document", &call))?;
        Ok(answer == Answer::Ok)
    }

    /// Creates a round, running. A round that exists stays as it is.
    ///
    /// # Errors
    /// [`ScoreboardError::RoundClosed`] for a round that is over, and what is wrong with Redis.
    pub fn open_round(&mut self, contest: &str, round: &RoundId) -> Result<(), ScoreboardError> {
        self.answer("flowtest_open", "create a round", contest, round)
    }

    /// No stream may join any more.
    ///
    /// # Errors
    /// [`ScoreboardError::RoundUnknown`] and [`ScoreboardError::RoundClosed`], and what is wrong with Redis.
    pub fn drain_round(&mut self, contest: &str, round: &RoundId) -> Result<(), ScoreboardError> {
        self.answer("flowtest_drain", "drain a round", contest, round)
    }

    /// Seals a round once every stream has ended or is named here.
    ///
    /// # Errors
    /// [`ScoreboardError::Missing`] names the streams that did not end, [`ScoreboardError::RoundEmpty`] says that none ever
    /// joined, [`ScoreboardError::RoundUnknown`] and [`ScoreboardError::RoundClosed`] that there is nothing to seal; and what is
    /// wrong with Redis.
    pub fn seal_round(
        &mut self,
        contest: &str,
        round: &RoundId,
        abandoned: &[StreamId],
    ) -> Result<(), ScoreboardError> {
        self.run(|connection| seal(connection, contest, round, abandoned))
    }

    /// What Redis holds of a round, of whomever it names.
    ///
    /// # Errors
    /// [`ScoreboardError::RoundUnknown`], and what is wrong with Redis. Fields that make no sense are no error:
    /// [`RoundTotals::junk`] names them.
    pub fn read_round(&mut self, contest: &str, round: &RoundId) -> Result<RoundTotals, ScoreboardError> {
        self.totals(contest, round, None)
    }

    /// What Redis holds of the contestants of a roster: what somebody else wrote there costs no memory.
    ///
    /// # Errors
    /// As [`Scoreboard::read_round`].
    pub fn read_round_of(
        &mut self,
        contest: &str,
        round: &RoundId,
        roster: &BTreeSet<&str>,
    ) -> Result<RoundTotals, ScoreboardError> {
        self.totals(contest, round, Some(roster))
    }

    /// Who has joined a round, and how far each is: a few fields of a hash that may be large. `None` when there is no such round.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn read_streams(
        &mut self,
        contest: &str,
        round: &RoundId,
    ) -> Result<Option<Vec<StreamState>>, ScoreboardError> {
        const DOING: &str = "read who has joined a round";
        let key = keys::round(contest, round);
        let mut call = redis::cmd("FCALL");
        call.arg("flowtest_streams").arg(1).arg(&key);
        self.run(|connection| {
            let joined: Vec<String> = connection.call(DOING, &call)?;
            let joined: BTreeSet<StreamId> = joined.iter().filter_map(|id| id.parse().ok()).collect();
            let of_streams = joined.iter().flat_map(|id| RoundField::of_stream(*id));
            let fields: Vec<String> =
                iter::once(RoundField::State).chain(of_streams).map(|one| one.to_string()).collect();
            let mut read = redis::cmd("HMGET");
            read.arg(&key).arg(&fields);
            let values: Vec<Option<Vec<u8>>> = connection.command(DOING, &read)?;
            let held =
                fields.iter().zip(&values).filter_map(|(field, value)| Some((field.as_bytes(), value.as_deref()?)));
            let Some(totals) = RoundTotals::from_fields(held, None) else { return Ok(None) };
            let mut streams: BTreeMap<_, _> = joined.into_iter().map(|id| (id, StreamState::unheard(id))).collect();
            streams.extend(totals.streams.into_iter().map(|stream| (stream.id, stream)));
            Ok(Some(streams.into_values().collect()))
        })
    }

    /// [`Scoreboard::read_streams`] of several rounds. One that Redis does not have has no streams.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn read_streams_of(
        &mut self,
        contest: &str,
        rounds: &BTreeSet<RoundId>,
    ) -> Result<RoundStreams, ScoreboardError> {
        rounds.iter().map(|round| Ok((*round, self.read_streams(contest, round)?.unwrap_or_default()))).collect()
    }

    /// How many fields Redis keeps of a round.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn count_fields(&mut self, contest: &str, round: &RoundId) -> Result<u64, ScoreboardError> {
        let mut command = redis::cmd("HLEN");
        command.arg(keys::round(contest, round));
        self.run(|connection| connection.command("count a round's fields", &command))
    }

    fn totals(
        &mut self,
        contest: &str,
        round: &RoundId,
        roster: Option<&BTreeSet<&str>>,
    ) -> Result<RoundTotals, ScoreboardError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(keys::round(contest, round));
        let fields: Vec<(Vec<u8>, Vec<u8>)> = self.run(|connection| connection.command("read a round", &command))?;
        let fields = fields.iter().map(|(field, value)| (field.as_slice(), value.as_slice()));
        RoundTotals::from_fields(fields, roster).ok_or(ScoreboardError::RoundUnknown(*round))
    }

    fn answer(
        &mut self,
        function: &'static str,
        doing: &'static str,
        contest: &str,
        round: &RoundId,
    ) -> Result<(), ScoreboardError> {
        let mut call = redis::cmd("FCALL");
        call.arg(function).arg(1).arg(keys::round(contest, round));
        match self.run(|connection| connection.call(doing, &call))? {
            Answer::Ok | Answer::Dup => Ok(()),
            Answer::Unknown | Answer::Gap => Err(ScoreboardError::RoundUnknown(*round)),
            Answer::Closed => Err(ScoreboardError::RoundClosed(*round)),
        }
    }

    /// Takes the oldest entry of a list that is a request. What is none is thrown away, a few at a time.
    pub(crate) fn take<T>(
        &mut self,
        what: &'static str,
        key: &str,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, ScoreboardError> {
        let mut command = redis::cmd("LPOP");
        command.arg(key).arg(1);
        for _ in 0..TAKEN_MAX {
            let taken: Option<Vec<Vec<u8>>> = self.run(|connection| connection.command(what, &command))?;
            let Some(text) = taken.and_then(|mut taken| taken.pop()) else { return Ok(None) };
            if let Some(request) = read(&text) {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }

    /// Runs on the connection; one that broke is replaced at once, and the call is made again.
    pub(crate) fn run<T>(
        &mut self,
        mut call: impl FnMut(&mut Connection) -> Result<T, ScoreboardError>,
    ) -> Result<T, ScoreboardError> {
        if let Some(connection) = &mut self.connection {
            match call(connection) {
                Err(ScoreboardError::Lost { .. }) => self.connection = None,
                done => return done,
            }
        }
        let connection = self.connection.insert(Connection::open(&self.address)?);
        call(connection)
    }
}

/// The control document of a contest. `None` when there is none.
pub(crate) fn document(connection: &mut Connection, contest: &str) -> Result<Option<Control>, ScoreboardError> {
    Ok(read_document(&document_text(connection, contest)?)?)
}

/// What stands in its place, as far as one may be long.
pub(crate) fn document_text(connection: &mut Connection, contest: &str) -> Result<Vec<u8>, ScoreboardError> {
    // One byte more than there may be says that it is too long, and no more is fetched.
    let mut command = redis::cmd("GETRANGE");
    command.arg(keys::control(contest)).arg(0).arg(DOCUMENT_BYTES_MAX);
    match connection.command("read the control document", &command) {
        // What is no text is no document either.
        Err(ScoreboardError::Redis { cause, .. }) if cause.contains("WRONGTYPE") => Ok(b"[]".to_vec()),
        text => text,
    }
}

pub(crate) fn read_document(text: &[u8]) -> Result<Option<Control>, Box<UnreadControl>> {
    if text.is_empty() {
        return Ok(None);
    }
    let utf8 = std::str::from_utf8(text).map_err(|_| ControlError::Json("it is no UTF-8".to_owned()));
    utf8.and_then(Control::from_json).map(Some).map_err(|cause| Box::new(UnreadControl::new(text, cause)))
}

/// The text of a control document, unless it is too long for its readers.
pub(crate) fn encoded(control: &Control) -> Result<String, ScoreboardError> {
    let text = control.to_json();
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(ScoreboardError::Config(format!(
            "the control document is {} bytes long and readers take {DOCUMENT_BYTES_MAX}: split the contest",
            text.len()
        )));
    }
    Ok(text)
}

/// Seals a round, or says who is missing.
pub(crate) fn seal(
    connection: &mut Connection,
    contest: &str,
    round: &RoundId,
    abandoned: &[StreamId],
) -> Result<(), ScoreboardError> {
    let mut call = redis::cmd("FCALL");
    call.arg("flowtest_seal").arg(1).arg(keys::round(contest, round));
    for stream in abandoned {
        call.arg(stream.to_string());
    }
    let answer: Vec<String> = connection.call("seal a round", &call)?;
    match answer.first().map(String::as_str) {
        Some("OK" | "DUP") => Ok(()),
        Some("CLOSED") => Err(ScoreboardError::RoundClosed(*round)),
        Some("EMPTY") => Err(ScoreboardError::RoundEmpty(*round)),
        Some("MISSING") => Err(ScoreboardError::Missing {
            round: *round,
            missing: answer[1..].iter().filter_map(|stream| stream.parse().ok()).collect(),
        }),
        _ => Err(ScoreboardError::RoundUnknown(*round)),
    }
}
