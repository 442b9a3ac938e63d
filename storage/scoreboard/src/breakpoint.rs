//! Breakpoint phases in Redis: what each stream has counted in the hold that is judged, and what was decided of each step.
//!
//! A decision is put once and never changed: of two who decide of one step, the first has decided. Which is all that it takes
//! for one generator to go on where another one died.

use crate::error::ScoreboardError;
use crate::keys;
use crate::library::Answer;
use crate::reader::Scoreboard;
use flowtest_contest::breakpoint::{Decision, HoldCounts};
use flowtest_contest::contest::CONTESTANTS_MAX;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{Histogram, RoundId, StreamId};
use serde::{Deserialize, Serialize};

/// Longest text of a hold or a decision, in bytes: of a full roster.
const JSON_BYTES_MAX: usize = 32 << 20;
/// How long what concerns a round is kept: a decision, from when it is put.
pub const LIFE_SECONDS: u64 = 7 * 24 * 3_600;

/// What one stream has counted in the hold of a step, cumulative and on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldReport {
    pub step: u32,
    /// Each request of the hold that was the stream's has its outcome, and is counted here.
    pub is_settled: bool,
    /// In the order of the roster.
    pub counts: Vec<HoldCounts>,
}

/// The same as JSON: only buckets that are not empty.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Text {
    step: u32,
    #[serde(default)]
    settled: bool,
    counts: Vec<TextCounts>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct TextCounts {
    due: u64,
    #[serde(alias = "right")]
    verified: u64,
    own_fault: u64,
    late: u64,
    latency: Vec<(usize, u64)>,
}

impl HoldReport {
    fn to_json(&self) -> String {
        let counts = self.counts.iter().map(|counts| TextCounts {
            due: counts.due,
            verified: counts.verified,
            own_fault: counts.own_fault,
            late: counts.late,
            latency: counts.latency.sparse().collect(),
        });
        let text = Text { step: self.step, settled: self.is_settled, counts: counts.collect() };
        serde_json::to_string(&text).expect("numbers are always JSON")
    }

    fn from_json(text: &[u8]) -> Option<HoldReport> {
        let Text { step, settled, counts } = parsed(text)?;
        if counts.len() > CONTESTANTS_MAX {
            return None;
        }
        let counts = counts.into_iter().map(|TextCounts { due, verified, own_fault, late, latency }| {
            let mut histogram = Histogram::default();
            let fits = latency.into_iter().all(|(index, count)| histogram.add_bucket(index, count));
            fits.then_some(HoldCounts { due, verified, own_fault, late, latency: histogram })
        });
        Some(HoldReport { step, is_settled: settled, counts: counts.collect::<Option<_>>()? })
    }
}

fn parsed<T: for<'a> Deserialize<'a>>(text: &[u8]) -> Option<T> {
    if text.len() > JSON_BYTES_MAX { None } else { serde_json::from_slice(text).ok() }
}

impl Scoreboard {
    /// Says what a stream has counted in a hold.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn write_hold(
        &mut self,
        contest: &str,
        round: &RoundId,
        stream: StreamId,
        report: &HoldReport,
    ) -> Result<(), ScoreboardError> {
        let key = keys::holds(contest, round);
        let mut pipeline = redis::pipe();
        pipeline.hset(&key, stream.to_string(), report.to_json()).ignore();
        pipeline.expire(&key, LIFE_SECONDS as i64).ignore();
        self.run(|connection| connection.pipeline("say what was counted in a hold", &pipeline))
    }

    /// What all streams have counted in the hold of a step. What makes no sense is nobody's.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn read_holds(
        &mut self,
        contest: &str,
        round: &RoundId,
        step: u32,
    ) -> Result<Vec<HoldReport>, ScoreboardError> {
        let mut command = redis::cmd("HGETALL");
        command.arg(keys::holds(contest, round));
        let fields: Vec<(Vec<u8>, Vec<u8>)> =
            self.run(|connection| connection.command("read what was counted in a hold", &command))?;
        let reports = fields.iter().filter_map(|(_, text)| HoldReport::from_json(text));
        Ok(reports.filter(|report| report.step == step).collect())
    }

    /// Puts what was decided of a step, where it is not too late. `false`: somebody else was faster, and that counts, or it is
    /// `before` already by Redis's clock.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn put_step_before(
        &mut self,
        contest: &str,
        round: &RoundId,
        decision: &Decision,
        before: UtcUs,
    ) -> Result<bool, ScoreboardError> {
        let text = serde_json::to_string(decision).expect("numbers and names are always JSON");
        let mut call = redis::cmd("FCALL");
        call.arg("flowtest_put_step").arg(2);
        call.arg(keys::step(contest, round, decision.step)).arg(keys::newest_step(contest, round));
        call.arg(decision.step).arg(&text).arg(LIFE_SECONDS).arg(before.0);
        let answer: Answer = self.run(|connection| connection.call("say what was decided of a step", &call))?;
        Ok(answer == Answer::Ok)
    }

    /// The same at any time.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn put_step(&mut self, contest: &str, round: &RoundId, decision: &Decision) -> Result<bool, ScoreboardError> {
        self.put_step_before(contest, round, decision, UtcUs::EPOCH)
    }

    /// What was decided of a step. `None`: nothing.
    ///
    /// # Errors
    /// [`ScoreboardError::Decision`] for one that makes no sense, and what is wrong with Redis.
    pub fn read_step(
        &mut self,
        contest: &str,
        round: &RoundId,
        step: u32,
    ) -> Result<Option<Decision>, ScoreboardError> {
        let text = self.decided(&keys::step(contest, round, step))?;
        text.map(|text| parsed(&text).ok_or(ScoreboardError::Decision { step })).transpose()
    }

    /// What was decided last in a round. `None`: nothing.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn read_newest_step(&mut self, contest: &str, round: &RoundId) -> Result<Option<Decision>, ScoreboardError> {
        let text = self.decided(&keys::newest_step(contest, round))?;
        Ok(text.and_then(|text| parsed(&text)))
    }

    /// What was decided of the steps of a round behind one that is known, in order. Steps of which nobody decided are not among
    /// them. `last`: the last step that there is.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn read_steps(
        &mut self,
        contest: &str,
        round: &RoundId,
        known: u32,
        last: u32,
    ) -> Result<Vec<Decision>, ScoreboardError> {
        let newest = self.read_newest_step(contest, round)?;
        let Some(newest) = newest.filter(|newest| newest.step > known && newest.step <= last) else {
            return Ok(Vec::new());
        };
        let mut steps = Vec::new();
        for step in known + 1..newest.step {
            let text = self.decided(&keys::step(contest, round, step))?;
            steps.extend(text.and_then(|text| parsed(&text)).filter(|decision: &Decision| decision.step == step));
        }
        steps.push(newest);
        Ok(steps)
    }

    fn decided(&mut self, key: &str) -> Result<Option<Vec<u8>>, ScoreboardError> {
        let mut command = redis::cmd("GET");
        command.arg(key);
        self.run(|connection| connection.command("read what was decided of a step", &command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_survives_its_text_and_nonsense_is_none() {
        let mut counts = HoldCounts { due: 9, verified: 7, own_fault: 1, late: 2, ..HoldCounts::default() };
        [5, 5, 60].into_iter().for_each(|us| counts.latency.record(us));
        let report = HoldReport { step: 7, is_settled: true, counts: vec![counts, HoldCounts::default()] };
        let text = "{\"step\":7,\"settled\":true,\"counts\":[{\"due\":9,\"verified\":7,\"own_fault\":1,\"late\":2,\
                    \"latency\":[[5,2],[60,1]]},{\"due\":0,\"verified\":0,\"own_fault\":0,\"late\":0,\"latency\":[]}]}";
        assert_eq!(report.to_json(), text);
        for text in [text, &text.replace("verified", "right")] {
            assert_eq!(HoldReport::from_json(text.as_bytes()).as_ref(), Some(&report), "{text}");
        }
        let older = HoldReport::from_json(b"{\"step\":1,\"counts\":[]}").expect("a hold");
        assert!(!older.is_settled, "who does not say so has not settled");
        let bucket =
            "{\"step\":1,\"counts\":[{\"due\":1,\"right\":1,\"own_fault\":0,\"late\":0,\"latency\":[[704,1]]}]}";
        for text in ["", "{}", "{\"step\":-1,\"counts\":[]}", bucket] {
            assert_eq!(HoldReport::from_json(text.as_bytes()), None, "{text}");
        }
    }
}
