//! The publisher's side of the protocol: what Redis holds of our rows, and what to do when it holds something else.
//!
//! It keeps one invariant: changes are put only upon rows that Redis is known to hold, and Redis refuses them
//! (`GAP`) when it holds others. So `q:<stream>` = n means that every tally is as it was at n, and `hq:<stream>` = n that
//! every histogram is, whatever was lost in between.

use super::{
    Batch, CHANGES_INTERVAL, Goal, HISTOGRAMS_INTERVAL, HISTOGRAMS_WHOLE_INTERVAL, PublisherConfig, WHOLE_INTERVAL,
};
use crate::connection::Connection;
use crate::error::ScoreboardError;
use crate::keys;
use crate::library::{Answer, ROWS_MAX};
use crate::reader;
use flowtest_contract::RoundValidity;
use flowtest_contract::id::StreamId;
use flowtest_contract::span::SPANS;
use redis::FromRedisValue;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// One call carries at most so many bytes of rows: Redis serves nobody else meanwhile.
const PART_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a Redis that is reading its files is waited for at the start.
const LOADING_TIMEOUT: Duration = Duration::from_secs(30);
/// Turns of registering and putting again before it counts as an outage. Each answer leads to the next step; more
/// turns mean that somebody deletes what we put.
const TURNS_MAX: usize = 4;

/// Generators that take part in one round at most: far more than anybody has.
const PEERS_MAX: usize = 1_000;

const _: () = assert!(PEERS_MAX + 2 < ROWS_MAX);

/// Whether Redis should know us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    New,
    Again,
}

/// How a stream comes in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry<'a> {
    New,
    /// It was registered before, beside these.
    Again(&'a [StreamId]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    More,
    /// The last tallies of the stream, whose histograms are all there.
    Close,
}

/// What is put apart from each other: tallies are small and everybody watches them, histograms are neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tallies,
    Histograms,
}

/// What Redis acknowledged of a kind on this connection.
#[derive(Clone, Debug, Default)]
struct Told {
    held: Option<Batch>,
    at: Option<Instant>,
    /// When everything was put last.
    whole_at: Option<Instant>,
}

impl Told {
    /// Whether this batch is to be put now, and then whether as a whole.
    fn due(&self, kind: Kind, newest: &Batch) -> Option<bool> {
        let (interval, whole_interval) = match kind {
            Kind::Tallies => (CHANGES_INTERVAL, WHOLE_INTERVAL),
            Kind::Histograms => (HISTOGRAMS_INTERVAL, HISTOGRAMS_WHOLE_INTERVAL),
        };
        // Asked at each tick: what is due by half a tick from now is due now.
        let is_over =
            |at: Option<Instant>, length: Duration| at.is_none_or(|at| at.elapsed() + CHANGES_INTERVAL / 2 >= length);
        let whole = is_over(self.whole_at, whole_interval);
        let changed = self.held.as_ref().is_none_or(|held| held.seq != newest.seq) && is_over(self.at, interval);
        (whole || changed).then_some(whole)
    }
}

pub(super) struct Session {
    config: PublisherConfig,
    /// The round's hash.
    key: String,
    connection: Option<Connection>,
    /// Other streams that Redis named, so that one that lost them can be told.
    peers: BTreeSet<StreamId>,
    tallies: Told,
    histograms: Told,
    /// How much of what is scored so far is valid; none before the first word.
    validity: Option<RoundValidity>,
    /// Whether the stream is in the round, so that a Redis which we reach again is to be told who plays.
    has_joined: bool,
    put_seq: u64,
    histograms_seq: u64,
    connects: u64,
}

impl Session {
    /// Connects and registers the stream.
    pub(super) fn start(config: PublisherConfig, entry: Entry<'_>) -> Result<Session, ScoreboardError> {
        let key = keys::round(&config.contest, &config.round);
        let mut session = Session {
            config,
            key,
            connection: None,
            peers: BTreeSet::new(),
            tallies: Told::default(),
            histograms: Told::default(),
            validity: None,
            has_joined: false,
            put_seq: 0,
            histograms_seq: 0,
            connects: 0,
        };
        let give_up = Instant::now() + LOADING_TIMEOUT;
        while let Err(error) = session.connect() {
            if !matches!(error, ScoreboardError::Loading { .. }) || Instant::now() >= give_up {
                return Err(error);
            }
            std::thread::sleep(super::RETRY_MAX);
        }
        let join = match entry {
            Entry::New => Join::New,
            Entry::Again(peers) => {
                let others = peers.iter().filter(|peer| **peer != session.config.stream);
                session.peers.extend(others.take(PEERS_MAX));
                Join::Again
            }
        };
        match session.join(join)? {
            Answer::Ok | Answer::Dup => {
                session.has_joined = true;
                Ok(session)
            }
            Answer::Unknown | Answer::Gap => Err(ScoreboardError::RoundUnknown(session.config.round)),
            Answer::Closed => Err(ScoreboardError::RoundClosed(session.config.round)),
        }
    }

    /// Registers and learns who else plays. An answer that was lost, also to a signal, is asked for again: who has joined
    /// already hears `DUP`.
    fn join(&mut self, join: Join) -> Result<Answer, ScoreboardError> {
        let mut tries = 1;
        loop {
            let joined = self.connect().and_then(|()| self.register(join)).and_then(|answer| {
                if matches!(answer, Answer::Ok | Answer::Dup) {
                    self.meet()?;
                }
                Ok(answer)
            });
            match joined {
                Err(ScoreboardError::Lost { .. }) if tries < TURNS_MAX => self.connection = None,
                done => return done,
            }
            tries += 1;
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    pub(super) fn put_seq(&self) -> u64 {
        self.put_seq
    }

    pub(super) fn histograms_seq(&self) -> u64 {
        self.histograms_seq
    }

    pub(super) fn reconnects(&self) -> u64 {
        self.connects.saturating_sub(1)
    }

    /// One tick: puts what changed, or everything when that is due.
    pub(super) fn publish(&mut self, newest: Option<&Batch>) -> Result<(), ScoreboardError> {
        self.guarded(|session| {
            let Some(newest) = newest else { return Ok(()) };
            for kind in [Kind::Histograms, Kind::Tallies] {
                if let Some(whole) = session.told(kind).due(kind, newest) {
                    session.put(kind, newest, whole, Mark::More)?;
                    if whole && kind == Kind::Tallies {
                        session.put_validity()?;
                    }
                }
            }
            Ok(())
        })
    }

    pub(super) fn note_validity(&mut self, validity: Option<RoundValidity>) {
        self.validity = validity;
    }

    /// Behind rows that Redis has just taken, so that it knows us. Where it has forgotten us since, or takes nothing any more,
    /// the next rows are told so.
    fn put_validity(&mut self) -> Result<(), ScoreboardError> {
        let Some(RoundValidity { seconds, valid_seconds, due, void, late_ms }) = self.validity else { return Ok(()) };
        let mut call = redis::cmd("FCALL");
        call.arg("flowtest_put_validity").arg(1).arg(&self.key).arg(self.config.stream.to_string());
        call.arg(seconds).arg(valid_seconds).arg(due).arg(void);
        let older = call.clone();
        let told = match self.call::<Answer>("say how much is valid", call.arg(late_ms)) {
            // Functions of an older release know no fifth count, and serve until its dashboard has been replaced.
            Err(ScoreboardError::Redis { .. }) => self.call("say how much is valid", &older),
            told => told,
        };
        told.map(drop)
    }

    /// Puts the final rows with the end marker, and seals the round if that is the goal. May be called again after
    /// any error.
    pub(super) fn finish(&mut self, last: &Batch, goal: Goal) -> Result<(), ScoreboardError> {
        self.guarded(|session| {
            for _ in 0..TURNS_MAX {
                session.put(Kind::Histograms, last, true, Mark::More)?;
                session.put_validity()?;
                session.put(Kind::Tallies, last, true, Mark::Close)?;
                // A Redis that was thrown back may have lost others and still have us: it must not seal without them.
                session.register(Join::Again)?;
                if goal == Goal::Ended {
                    return Ok(());
                }
                let mut drain = redis::cmd("FCALL");
                drain.arg("flowtest_drain").arg(1).arg(&session.key);
                if session.call::<Answer>("drain a round", &drain)? == Answer::Unknown {
                    continue;
                }
                let connection = session.connection.as_mut().expect("guarded");
                match reader::seal(connection, &session.config.contest, &session.config.round, &[]) {
                    // Wiped between the calls: put all of it again.
                    Err(ScoreboardError::RoundUnknown(_) | ScoreboardError::RoundEmpty(_)) => {}
                    done => return done,
                }
            }
            Err(forgetful())
        })
    }

    /// Runs with a connection; after an error that a new connection may cure, drops it.
    fn guarded(
        &mut self,
        step: impl FnOnce(&mut Session) -> Result<(), ScoreboardError>,
    ) -> Result<(), ScoreboardError> {
        let outcome = self.connect().and_then(|()| step(self));
        match &outcome {
            Ok(()) | Err(ScoreboardError::RoundClosed(_) | ScoreboardError::Missing { .. }) => {}
            Err(_) => self.connection = None,
        }
        outcome
    }

    fn connect(&mut self) -> Result<(), ScoreboardError> {
        if self.connection.is_none() {
            // Another server may answer now, or the same with fewer memories.
            (self.tallies, self.histograms) = (Told::default(), Told::default());
            self.connection = Some(Connection::open(&self.config.address)?);
            self.connects += 1;
            if self.has_joined {
                // Whether the round still takes anything is the next put's to learn.
                let told = self.register(Join::Again);
                if told.is_err() {
                    self.connection = None;
                }
                told?;
            }
        }
        Ok(())
    }

    fn register(&mut self, join: Join) -> Result<Answer, ScoreboardError> {
        let mut call = redis::cmd("FCALL");
        call.arg("flowtest_register").arg(1).arg(&self.key).arg(self.config.stream.to_string());
        match join {
            Join::New => call.arg("new"),
            Join::Again => self.peers.iter().fold(call.arg("again"), |call, peer| call.arg(peer.to_string())),
        };
        self.call("join a round", &call)
    }

    /// Learns who else plays.
    fn meet(&mut self) -> Result<(), ScoreboardError> {
        let mut call = redis::cmd("FCALL");
        call.arg("flowtest_streams").arg(1).arg(&self.key);
        let streams: Vec<String> = self.call("ask who else plays", &call)?;
        for peer in streams.iter().filter_map(|stream| stream.parse::<StreamId>().ok()) {
            if peer != self.config.stream && self.peers.len() < PEERS_MAX {
                self.peers.insert(peer);
            }
        }
        Ok(())
    }

    fn told(&mut self, kind: Kind) -> &mut Told {
        match kind {
            Kind::Tallies => &mut self.tallies,
            Kind::Histograms => &mut self.histograms,
        }
    }

    /// Puts a batch's tallies or histograms until Redis has them, whatever it has lost. All tallies follow all histograms, so
    /// that rows beside which there are none are known to hold their own.
    fn put(&mut self, kind: Kind, batch: &Batch, whole: bool, mark: Mark) -> Result<(), ScoreboardError> {
        let mut whole = whole;
        for _ in 0..TURNS_MAX {
            let base = if whole { None } else { self.told(kind).held.clone() };
            let answer = self.put_parts(kind, batch, base.as_ref(), mark)?;
            if answer == Answer::Dup {
                self.check_held(kind, batch)?;
            }
            match answer {
                Answer::Ok | Answer::Dup => return self.took(kind, batch, base.is_none()),
                Answer::Gap => {}
                Answer::Unknown => {
                    if self.register(Join::Again)? == Answer::Closed {
                        return Err(ScoreboardError::RoundClosed(self.config.round));
                    }
                }
                Answer::Closed => return Err(ScoreboardError::RoundClosed(self.config.round)),
            }
            whole = true;
            if kind == Kind::Tallies {
                self.put(Kind::Histograms, batch, true, Mark::More)?;
            }
        }
        Err(forgetful())
    }

    fn took(&mut self, kind: Kind, batch: &Batch, whole: bool) -> Result<(), ScoreboardError> {
        let (now, told) = (Instant::now(), self.told(kind));
        (told.held, told.at) = (Some(batch.clone()), Some(now));
        if whole {
            told.whole_at = Some(now);
        }
        match kind {
            Kind::Tallies => self.put_seq = batch.seq,
            Kind::Histograms => self.histograms_seq = batch.seq,
        }
        if whole && kind == Kind::Tallies { self.meet() } else { Ok(()) }
    }

    /// Puts everything of a kind, or what differs from `base`, in as many calls as that needs.
    fn put_parts(
        &mut self,
        kind: Kind,
        batch: &Batch,
        base: Option<&Batch>,
        mark: Mark,
    ) -> Result<Answer, ScoreboardError> {
        let fields = match kind {
            Kind::Tallies => self.tallies_since(batch, base),
            Kind::Histograms => self.histograms_since(batch, base),
        };
        let parts = split(&fields);
        let base = base.map_or_else(|| "*".to_owned(), |base| base.seq.to_string());
        let (function, doing) = match kind {
            Kind::Tallies => ("flowtest_put", "put our rows"),
            Kind::Histograms => ("flowtest_put_histograms", "put our histograms"),
        };
        let mut last = Answer::Ok;
        for (index, part) in parts.iter().enumerate() {
            let mut call = redis::cmd("FCALL");
            call.arg(function)
                .arg(1)
                .arg(&self.key)
                .arg(self.config.stream.to_string())
                .arg(batch.seq)
                .arg(&base)
                .arg(index + 1)
                .arg(parts.len())
                .arg(if mark == Mark::Close { "close" } else { "more" });
            for (name, value) in *part {
                call.arg(name).arg(value);
            }
            last = self.call(doing, &call)?;
            if !matches!(last, Answer::Ok | Answer::Dup) {
                break;
            }
        }
        Ok(last)
    }

    /// Redis says that it has had this before. It has, when its answer was lost; otherwise somebody else wrote a number there,
    /// and it would take nothing of us any more.
    fn check_held(&mut self, kind: Kind, batch: &Batch) -> Result<(), ScoreboardError> {
        let stream = self.config.stream;
        let mut ask = redis::cmd("HGET");
        let field = if kind == Kind::Tallies { "q" } else { "hq" };
        ask.arg(&self.key).arg(format!("{field}:{stream}"));
        let connection = self.connection.as_mut().expect("every step runs guarded, with a connection");
        let held: Option<String> = connection.command("ask what it holds of us", &ask)?;
        match held {
            Some(held) if held != batch.seq.to_string() => {
                let held = held.chars().take(20).collect();
                Err(ScoreboardError::Ahead { stream, held, ours: batch.seq })
            }
            // Lost since: the next put says so.
            _ => Ok(()),
        }
    }

    /// Who has joined stands behind the others.
    pub(super) fn set_contestants(&mut self, contestants: &[String]) {
        self.config.contestants = contestants.to_vec();
    }

    fn tallies_since(&self, batch: &Batch, base: Option<&Batch>) -> Vec<Field> {
        let rows = self.config.contestants.iter().zip(batch.rows.iter()).enumerate();
        rows.filter(|(index, (_, row))| {
            base.and_then(|base| base.rows.get(*index)).is_none_or(|base| base.tally != row.tally)
        })
        .map(|(_, (name, row))| (name.clone(), row.encode_tally().into_bytes()))
        .collect()
    }

    /// They only grow, so that no span becomes an empty one, which has no bytes.
    fn histograms_since(&self, batch: &Batch, base: Option<&Batch>) -> Vec<Field> {
        let rows = self.config.contestants.iter().zip(batch.rows.iter()).enumerate();
        rows.flat_map(|(index, (name, row))| {
            let base = base.and_then(|base| base.rows.get(index));
            (0..SPANS)
                .filter(move |span| base.is_none_or(|base| !row.has_same_span(base, *span)))
                .filter_map(move |span| Some((format!("{span}:{name}"), row.encode_span(span)?)))
        })
        .collect()
    }

    fn call<T: FromRedisValue>(&mut self, doing: &'static str, call: &redis::Cmd) -> Result<T, ScoreboardError> {
        let connection = self.connection.as_mut().expect("every step runs guarded, with a connection");
        connection.call(doing, call)
    }
}

fn forgetful() -> ScoreboardError {
    ScoreboardError::Redis { doing: "keep our rows", cause: "it forgets them while we put them".to_owned() }
}

/// What a put names, and its value.
type Field = (String, Vec<u8>);

/// Cuts fields into parts that one call can carry. Always at least one part: an empty one moves the number on.
fn split(fields: &[Field]) -> Vec<&[Field]> {
    let mut parts = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    for (index, (_, value)) in fields.iter().enumerate() {
        if index > first && (index - first == ROWS_MAX || bytes + value.len() > PART_BYTES_MAX) {
            parts.push(&fields[first..index]);
            (first, bytes) = (index, 0);
        }
        bytes += value.len();
    }
    parts.push(&fields[first..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_row_once_and_none_is_too_large() {
        // (rows, bytes of each, parts)
        let cases = [
            (0, 0, 1),
            (1, 5 * 1024 * 1024, 1), // one row is never cut
            (ROWS_MAX, 10, 1),
            (ROWS_MAX + 1, 10, 2),
            (3, 3 * 1024 * 1024, 3),
        ];
        for (count, bytes, expected) in cases {
            let rows: Vec<Field> = (0..count).map(|index| (index.to_string(), vec![b'x'; bytes])).collect();
            let parts = split(&rows);
            assert_eq!(parts.len(), expected, "{count} rows of {bytes} bytes");
            assert_eq!(parts.concat(), rows);
            assert!(parts.iter().all(|part| part.len() <= ROWS_MAX));
        }
    }
}
