//! The thread that asks Redis: once a second for everything that is shown, and in between for one contestant's errors.
//! It may hang as long as Redis does; whoever listens to its reports goes on without it.

use super::facts::Facts;
use flowtest_contest::breakpoint::Decision;
use flowtest_contest::{Control, State};
use flowtest_contract::{RoundId, StreamId};
use flowtest_scoreboard::{ExplainedError, RedisAddress, RoundTotals, Scoreboard, ScoreboardError, SeenGenerator};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// How often Redis is asked.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Redis may show less of a round than it did, after it lost something and until generators have put their rows again,
/// which takes a second. So many looks in a row are not believed; then it is what there is, and what is missing is told.
const SHRUNK_LOOKS_MAX: u32 = 10;

/// What one look found.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The newest of Redis's, the saved one, and the one of before.
    pub control: Option<Arc<Control>>,
    /// Of its round. `None` before a generator has joined it.
    pub totals: Option<Arc<RoundTotals>>,
    /// What of the round Redis has lost and nobody has put back, as a sentence.
    pub lost: Option<String>,
    pub generators: Arc<[SeenGenerator]>,
}

/// What the thread says after each look.
pub type LookResult = Result<Reading, String>;

/// The explained failures of a contestant, newest first, or why they cannot be read.
type Answer = Result<Vec<ExplainedError>, String>;

/// A question in between: the explained failures of a contestant, by its id in the control document, or its name.
#[derive(Debug)]
pub struct Ask {
    pub contestant: String,
    pub reply: oneshot::Sender<Answer>,
}

/// Asks until nobody listens, or nobody can ask any more.
pub fn run(
    address: &RedisAddress,
    contest: &str,
    facts: &watch::Receiver<Arc<Facts>>,
    asks: &Receiver<Ask>,
    reports: &SyncSender<LookResult>,
) {
    let mut reader = Reader::new(address, contest);
    loop {
        let next = Instant::now() + LOOK_INTERVAL;
        let saved = facts.borrow().control.clone();
        if reports.send(reader.look(saved).map_err(|error| error.to_string())).is_err() {
            return;
        }
        reader.answers.clear();
        // The board comes first: however many ask, the next look is in time.
        while Instant::now() < next {
            match asks.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(ask) => reader.answer(ask),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

struct Reader<'a> {
    address: &'a RedisAddress,
    contest: &'a str,
    scoreboard: Option<Scoreboard>,
    control: Option<Arc<Control>>,
    /// The last believed ones.
    totals: Option<(RoundId, Arc<RoundTotals>)>,
    shrunk: u32,
    streams: Option<(RoundId, Streams)>,
    /// The decisions of a round that are known, in order.
    decided: Option<(RoundId, Vec<Arc<Decision>>)>,
    /// What was answered since the last look: nobody makes Redis work twice a second.
    answers: BTreeMap<String, Answer>,
}

impl<'a> Reader<'a> {
    fn new(address: &'a RedisAddress, contest: &'a str) -> Reader<'a> {
        Reader {
            address,
            contest,
            scoreboard: None,
            control: None,
            totals: None,
            shrunk: 0,
            streams: None,
            decided: None,
            answers: BTreeMap::new(),
        }
    }

    fn look(&mut self, saved: Option<Arc<Control>>) -> Result<Reading, Unread> {
        let contest = self.contest;
        let found = self.scoreboard()?.read_control(contest)?.map(Arc::new);
        let known = [self.control.take(), saved, found].into_iter().flatten();
        self.control = known.max_by_key(|control| control.revision);
        let generators: Arc<[SeenGenerator]> = self.scoreboard()?.read_generators(contest)?.into();
        let totals = match self.control.clone() {
            Some(control) => self.totals(&control, &generators)?,
            None => None,
        };
        let lost = self.streams.as_ref().and_then(|(_, streams)| streams.lost());
        Ok(Reading { control: self.control.clone(), totals, lost, generators })
    }

    fn totals(&mut self, control: &Control, generators: &[SeenGenerator]) -> Result<Option<Arc<RoundTotals>>, Unread> {
        let Some(round) = control.round.filter(|_| control.state != State::Draft) else {
            self.streams = None;
            return Ok(None);
        };
        let roster: BTreeSet<&str> = control.contest.contestants.iter().map(|one| one.name.as_str()).collect();
        let contest = self.contest;
        let mut found = match self.scoreboard()?.read_round_of(contest, &round, &roster) {
            Ok(totals) => Some(totals),
            Err(ScoreboardError::RoundUnknown(_)) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(totals) = found.as_mut() {
            totals.decisions = self.decisions(control, round)?;
        }
        let known = self.streams.take().filter(|(of, _)| *of == round);
        let mut streams = known.map_or_else(Streams::default, |(_, streams)| streams);
        streams.look(found.as_ref(), generators);
        self.streams = Some((round, streams));
        let before = self.totals.as_ref().filter(|(of, _)| *of == round).map(|(_, totals)| settled(totals));
        let now = found.as_ref().map(settled);
        if before > now && self.shrunk < SHRUNK_LOOKS_MAX {
            self.shrunk += 1;
            return Err(match control.state {
                State::Draft | State::Armed | State::Running | State::Paused => Unread::Shrunk,
                State::Draining | State::Sealed | State::Aborted => Unread::ShrunkForGood,
            });
        }
        self.shrunk = 0;
        let totals = found.map(Arc::new);
        self.totals = totals.clone().map(|totals| (round, totals));
        Ok(totals)
    }

    /// What was decided of the steps of a round. What was read once is known: nothing of it ever changes, also where Redis
    /// forgets it.
    fn decisions(&mut self, control: &Control, round: RoundId) -> Result<Vec<Arc<Decision>>, Unread> {
        let (_, mut decided) = self.decided.take().filter(|(of, _)| *of == round).unwrap_or((round, Vec::new()));
        let steps = control.contest.steps();
        if steps > 0 {
            let (contest, known) = (self.contest, decided.last().map_or(0, |decision: &Arc<Decision>| decision.step));
            let read = self.scoreboard()?.read_steps(contest, &round, known, steps);
            decided.extend(read.iter().flatten().cloned().map(Arc::new));
            self.decided = Some((round, decided.clone()));
            read?;
        }
        Ok(decided)
    }

    fn answer(&mut self, ask: Ask) {
        let answer = match self.answers.get(&ask.contestant) {
            Some(known) => known.clone(),
            None => {
                let contest = self.contest;
                let errors = self.scoreboard().and_then(|scoreboard| scoreboard.read_errors(contest, &ask.contestant));
                let answer = errors.map_err(|error| error.to_string());
                self.answers.insert(ask.contestant, answer.clone());
                answer
            }
        };
        // Whoever asked may have gone.
        let _ = ask.reply.send(answer);
    }

    /// The connection; it mends itself once it was made.
    fn scoreboard(&mut self) -> Result<&mut Scoreboard, ScoreboardError> {
        match &mut self.scoreboard {
            Some(scoreboard) => Ok(scoreboard),
            none => Ok(none.insert(Scoreboard::open(self.address.clone())?)),
        }
    }
}

/// How far Redis was with each stream of a round, and for how many looks it has been behind that.
#[derive(Debug, Default)]
struct Streams(BTreeMap<StreamId, (u64, u32)>);

impl Streams {
    /// One that is registered, has no rows and is played by nobody was named by its peers after Redis had lost it.
    fn look(&mut self, totals: Option<&RoundTotals>, generators: &[SeenGenerator]) {
        let states = totals.map_or(&[][..], |totals| &totals.streams);
        for state in states {
            self.0.entry(state.id).or_default();
        }
        let is_played = |id: StreamId| {
            generators.iter().filter_map(|seen| seen.health.as_ref()).any(|health| health.stream == Some(id))
        };
        for (id, (newest, looks)) in &mut self.0 {
            let state = states.iter().find(|state| state.id == *id);
            let (seq, is_final) = state.map_or((0, false), |state| (state.seq, state.ended || state.abandoned));
            let is_behind = seq < *newest || (seq == 0 && !is_final && !is_played(*id));
            (*newest, *looks) = (seq.max(*newest), if is_behind { looks.saturating_add(1) } else { 0 });
        }
    }

    /// Those that have been behind for long, in words.
    fn lost(&self) -> Option<String> {
        let behind = |is_known: bool| -> Vec<String> {
            let those =
                self.0.iter().filter(|(_, (newest, looks))| *looks > SHRUNK_LOOKS_MAX && (*newest > 0) == is_known);
            those.map(|(id, _)| id.to_string()).collect()
        };
        let (lost, empty) = (behind(true), behind(false));
        let told = match (lost.is_empty(), empty.is_empty()) {
            (true, true) => return None,
            (true, false) => format!("Redis has nothing of these streams, which nobody plays: {}", empty.join(", ")),
            (false, _) => {
                let all = [lost, empty].concat().join(", ");
                format!("Redis has lost what streams of this round had counted, and nobody has put it back: {all}")
            }
        };
        Some(format!(
            "{told}. Run `flowtest-loadgen rebuild --journal DIR --redis URL` where their journals are; until then what they \
             have counted is missing here"
        ))
    }
}

/// Why a look brought nothing.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("{0}")]
    Redis(#[from] ScoreboardError),
    #[error("Redis has lost a part of the round: its generators put it back within some seconds")]
    Shrunk,
    #[error(
        "Redis has lost a part of a round whose generators have ended, and they put nothing back: run `flowtest-loadgen rebuild \
         --journal DIR --redis URL` where their journals are"
    )]
    ShrunkForGood,
}

/// All outcomes of a round. They only grow.
fn settled(totals: &RoundTotals) -> u128 {
    totals.contestants.values().map(|row| u128::from(row.tally.settled())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::Contest;
    use flowtest_contract::rules::UtcUs;
    use flowtest_contract::{Row, Tally};
    use flowtest_scoreboard::keys;
    use flowtest_testkit::RedisServer;
    use flowtest_testkit::documents::generator_health;

    /// The fields of a stream of which Redis has `right` answers of alice.
    fn stream(id: StreamId, seq: u64, right: u64) -> Vec<(String, Vec<u8>)> {
        let tally = Tally { due: right, sent: right, token_right: right, ..Tally::default() };
        let row = Row { tally, ..Row::default() }.encode().into_bytes();
        vec![(format!("q:{id}"), seq.to_string().into_bytes()), (format!("t:{id}:alice"), row)]
    }

    #[test]
    fn what_redis_has_lost_is_told_until_it_is_back_also_when_the_board_shows_what_is_left() {
        let server = RedisServer::start();
        let contest = "name = \"cup\"\n[[phase]]\nfor = \"60s\"\nrate = 5\nconnections = 1\n[[contestant]]\nname = \"alice\"\n\
                       endpoint = \"127.0.0.1\"\n";
        let mut control = Control::new(Contest::from_toml(contest).expect("a contest"));
        (control.round, control.state) = (Some(RoundId::from_bits(7)), State::Running);
        let mut board = server.scoreboard();
        board.write_control(&control).expect("it is written");
        let mut health = generator_health("g1", UtcUs(1));
        let (first, third) = (StreamId::from_bits(1), StreamId::from_bits(3));
        health.stream = Some(first);
        board.write_health("cup", &health).expect("it is written");
        let key = keys::round("cup", &RoundId::from_bits(7));
        let put = |fields: Vec<(String, Vec<u8>)>| {
            for (field, value) in fields {
                let value = String::from_utf8(value).expect("rows are text");
                server.command(&["HSET", &key, &field, &value]);
            }
        };
        let opened = || {
            let streams = format!("{first} {third}").into_bytes();
            put(vec![("state".to_owned(), b"running".to_vec()), ("streams".to_owned(), streams)]);
        };
        let address = RedisAddress::new(&server.url()).expect("an address");
        let mut reader = Reader::new(&address, "cup");
        let mut look = || reader.look(None).map_err(|error| error.to_string());
        opened();
        put(stream(first, 5, 20));
        put(stream(third, 5, 10));
        assert_eq!(look().expect("it is there").lost, None);
        // Redis forgets all; g1, which is heard, puts back what is its own, and names its peer.
        server.command(&["DEL", &key]);
        opened();
        put(stream(first, 6, 21));
        put(vec![(format!("q:{third}"), b"0".to_vec())]);
        for _ in 0..SHRUNK_LOOKS_MAX {
            assert!(look().expect_err("it is not believed yet").contains("put it back within some seconds"));
        }
        let told = |reading: Reading| {
            let lost = reading.lost.expect("it is told");
            assert!(lost.contains(&third.to_string()) && !lost.contains(&first.to_string()), "{lost}");
            assert!(lost.contains("flowtest-loadgen rebuild"), "{lost}");
            reading.totals.expect("what is left is shown").contestants["alice"].tally.token_right
        };
        assert_eq!(told(look().expect("it is believed")), 21);
        // However much g1 counts meanwhile.
        put(stream(first, 99, 4_000));
        assert_eq!((0..5).map(|_| told(look().expect("it is read"))).max(), Some(4_000));
        // A dashboard that begins now is told by the empty stream.
        let mut fresh = Reader::new(&address, "cup");
        let looks = (0..=SHRUNK_LOOKS_MAX).map(|_| fresh.look(None).expect("it is read"));
        let mut readings: Vec<Reading> = looks.collect();
        assert!(readings[0].lost.is_none(), "it may be about to put its first row");
        told(readings.pop().expect("many looks"));
        // As `rebuild` does.
        put(stream(third, 5, 10));
        assert_eq!(look().expect("it is read").lost, None);
        // After the seal nobody puts anything back; with the next round it is over.
        server.command(&["DEL", &key]);
        (control.state, control.revision) = (State::Sealed, 2);
        board.write_control(&control).expect("it is written");
        let mut errors = (0..SHRUNK_LOOKS_MAX).map(|_| look().expect_err("it is not believed yet"));
        assert!(errors.all(|error| error.contains("flowtest-loadgen rebuild")));
        let lost = look().expect("it is believed").lost.expect("it is told");
        assert!(lost.contains(&first.to_string()) && lost.contains(&third.to_string()), "{lost}");
        (control.state, control.revision) = (State::Draft, 3);
        board.write_control(&control).expect("it is written");
        assert_eq!(look().expect("it is read").lost, None);
    }
}
