//! The thread that asks Redis: once a second for everything that is shown, and in between for one contestant's errors.
//! It may hang as long as Redis does; whoever listens to its reports goes on without it.

use super::facts::Facts;
use flowtest_contest::breakpoint::Decision;
use flowtest_contest::{Control, State};
use flowtest_contract::RoundId;
use flowtest_scoreboard::{ExplainedError, RedisAddress, RoundTotals, Scoreboard, ScoreboardError, SeenGenerator};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// How often Redis is asked.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Redis may show less of a round than it did, after it lost something and until generators have put their rows again,
/// which takes a second. So many looks in a row are not believed; then it is what there is.
const SHRUNK_LOOKS_MAX: u32 = 10;

/// What one look found.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The newest of Redis's, the saved one, and the one of before.
    pub control: Option<Arc<Control>>,
    /// Of its round. `None` before a generator has joined it.
    pub totals: Option<Arc<RoundTotals>>,
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
    let mut reader = Reader {
        address,
        contest,
        scoreboard: None,
        control: None,
        totals: None,
        shrunk: 0,
        decided: None,
        answers: BTreeMap::new(),
    };
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
    /// The decisions of a round that are known, in order.
    decided: Option<(RoundId, Vec<Arc<Decision>>)>,
    /// What was answered since the last look: nobody makes Redis work twice a second.
    answers: BTreeMap<String, Answer>,
}

impl Reader<'_> {
    fn look(&mut self, saved: Option<Arc<Control>>) -> Result<Reading, Unread> {
        let contest = self.contest;
        let found = self.scoreboard()?.read_control(contest)?.map(Arc::new);
        let known = [self.control.take(), saved, found].into_iter().flatten();
        self.control = known.max_by_key(|control| control.revision);
        let totals = match self.control.clone() {
            Some(control) => self.totals(&control)?,
            None => None,
        };
        let generators = self.scoreboard()?.read_generators(contest)?.into();
        Ok(Reading { control: self.control.clone(), totals, generators })
    }

    fn totals(&mut self, control: &Control) -> Result<Option<Arc<RoundTotals>>, Unread> {
        let Some(round) = control.round.filter(|_| control.state != State::Draft) else { return Ok(None) };
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
