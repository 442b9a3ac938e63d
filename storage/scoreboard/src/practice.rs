//! Practice: a contestant asks for half a minute of load on its own endpoint, beside all rounds, and reads how it went. It may
//! be open load, or a climb that finds what the server holds.
//!
//! It counts nowhere: no row, no journal, no round. Who may ask and how often is decided by whoever puts the request;
//! the bounds of the load hold here, for writer and reader.

use crate::error::ScoreboardError;
use crate::explained::ExplainedError;
use crate::keys;
use crate::reader::Scoreboard;
use flowtest_contest::climbed::Climbed;
use flowtest_contest::names::{is_id, is_name};
use flowtest_contest::text::bounded;
use flowtest_contract::Row;
use flowtest_contract::rules::UtcUs;
use serde::{Deserialize, Serialize};

/// Requests per second at most.
pub const RATE_MAX: u64 = 500;
/// The same where a climb is asked for: no step of it is higher.
pub const CLIMB_RATE_MAX: u64 = 2_000;
/// Seconds of load at most.
pub const SECONDS_MAX: u64 = 30;
/// Steps of a report at most: more do not fit into the seconds.
const STEPS_MAX: usize = 40;
/// Explained failures in a report at most.
pub const ERRORS_MAX: usize = 10;
/// Requests that wait at most.
pub const WAITING_MAX: usize = 200;
/// How long a request waits for a free generator before nobody takes it any more: somebody looks at a page and waits.
pub const TIMEOUT_SECONDS: u64 = 120;
/// Requests that wait for each generator at most: it comes to as many in that time, with the three right answers before each.
pub const WAITING_EACH: usize = 3;

const _: () = assert!(WAITING_EACH as u64 * (SECONDS_MAX + 8) <= TIMEOUT_SECONDS);
const TEXT_BYTES_MAX: usize = 400;
/// Ten explained failures, whose texts JSON may double, with a row.
const JSON_BYTES_MAX: usize = 128 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PracticeRequest {
    /// Random: it is part of the answer's key. 1 to 64 letters, digits and hyphens.
    pub id: String,
    /// When it was put.
    pub at: UtcUs,
    /// Whose endpoint it is.
    pub contestant: String,
    /// As registered or typed; it passes the same policy as in a round.
    pub endpoint: String,
    /// Requests per second, 1 to [`RATE_MAX`]; of a climb at the most, 1 to [`CLIMB_RATE_MAX`].
    pub rate: u64,
    /// Seconds of load, 1 to [`SECONDS_MAX`].
    pub seconds: u64,
    /// The rate climbs step by step until it breaks. A generator of before refuses a rate that only a climb may have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub climbs: bool,
}

/// What became of asking for practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It waits, behind so many.
    Waits { before: usize },
    /// It was not put: too many wait already.
    Full { waiting: usize },
}

/// How far a practice run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PracticeState {
    /// Taken: the endpoint is being asked for three right answers.
    Waiting,
    Running,
    /// Over, at its end or before; the message says which.
    Done,
    /// Nothing was sent but at most the three tokens of the check; the message says why.
    Refused,
}

/// How a practice run goes, rewritten once a second while it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PracticeReport {
    pub id: String,
    /// When this was said.
    pub at: UtcUs,
    /// Who floods.
    pub generator: String,
    pub state: PracticeState,
    /// What is going on, what is wrong, or what to do next.
    #[serde(flatten, with = "crate::message")]
    pub message: String,
    /// Seconds of load so far.
    pub second: u64,
    /// All that was counted so far, in the text of [`Row`]: the integers of the tally in their published order, then
    /// the two histograms. Empty before the first count; see [`PracticeReport::counted`].
    pub row: String,
    /// By the rules of the contest. They count nowhere.
    pub points: i64,
    /// Of the time from the intended instant to the whole answer, in microseconds; nothing before the first.
    pub p50_us: Option<u64>,
    pub p99_us: Option<u64>,
    /// The newest, at most [`ERRORS_MAX`].
    pub errors: Vec<ExplainedError>,
    /// Of a climb: what was tried so far, and what the server holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub climb: Option<Climbed>,
}

impl PracticeRequest {
    /// Whether it may be put and taken.
    ///
    /// # Errors
    /// A sentence that says what is out of bounds.
    pub fn check(&self) -> Result<(), String> {
        if !is_id(&self.id) {
            return Err(wrong_id(&self.id));
        }
        if !is_name(&self.contestant) {
            return Err(format!("{:?} is no contestant's name", bounded(&self.contestant, TEXT_BYTES_MAX)));
        }
        let within = |what: &str, value: u64, max: u64| match value {
            1.. if value <= max => Ok(()),
            _ => Err(format!("practice has 1 to {max} {what}, not {value}: choose a number between them")),
        };
        within("requests per second", self.rate, if self.climbs { CLIMB_RATE_MAX } else { RATE_MAX })?;
        within("seconds", self.seconds, SECONDS_MAX)
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are always JSON")
    }

    fn from_json(text: &[u8]) -> Option<PracticeRequest> {
        parse::<PracticeRequest>(text).filter(|request| is_id(&request.id))
    }
}

impl PracticeReport {
    /// What was counted so far; nothing before the first count, and for a text that is no row.
    pub fn counted(&self) -> Option<Row> {
        Row::decode(&self.row).ok()
    }

    fn to_json(&self) -> String {
        serde_json::to_string(&self.clone().within_bounds()).expect("texts and numbers are always JSON")
    }

    fn from_json(text: &[u8]) -> Option<PracticeReport> {
        parse(text).map(PracticeReport::within_bounds)
    }

    fn within_bounds(mut self) -> PracticeReport {
        for text in [&mut self.id, &mut self.generator, &mut self.message] {
            *text = bounded(text, TEXT_BYTES_MAX);
        }
        if self.counted().is_none() {
            self.row.clear();
        }
        self.climb.iter_mut().for_each(|climb| climb.steps.truncate(STEPS_MAX));
        self.errors.truncate(ERRORS_MAX);
        self.errors = self.errors.into_iter().map(ExplainedError::within_bounds).collect();
        self
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    if text.len() > JSON_BYTES_MAX { None } else { serde_json::from_slice(text).ok() }
}

impl Scoreboard {
    /// Puts a request behind those that wait, where they are fewer than `most`; some generator that plays no round takes it.
    /// Says how many waited before it.
    ///
    /// # Errors
    /// A request out of bounds, and what is wrong with Redis.
    pub fn ask_practice(
        &mut self,
        contest: &str,
        request: &PracticeRequest,
        most: usize,
    ) -> Result<Asked, ScoreboardError> {
        request.check().map_err(ScoreboardError::Config)?;
        let text = request.to_json();
        if text.len() > JSON_BYTES_MAX {
            return Err(ScoreboardError::Config("the endpoint to practise on is too long: shorten it".to_owned()));
        }
        let key = keys::practices(contest);
        let waiting = self.waiting_practices(contest, request.at)?.len();
        if waiting >= most.min(WAITING_MAX) {
            return Ok(Asked::Full { waiting });
        }
        let mut pipeline = redis::pipe();
        pipeline.rpush(&key, text).ltrim(&key, -(WAITING_MAX as isize), -1);
        self.run(|connection| connection.pipeline::<()>("ask for practice", &pipeline))?;
        Ok(Asked::Waits { before: waiting })
    }

    /// The ids of requests that wait at `now`, in the order in which they are taken.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn waiting_practices(&mut self, contest: &str, now: UtcUs) -> Result<Vec<String>, ScoreboardError> {
        let mut command = redis::cmd("LRANGE");
        command.arg(keys::practices(contest)).arg(0).arg(WAITING_MAX);
        let texts: Vec<Vec<u8>> = self.run(|connection| connection.command("look who waits for practice", &command))?;
        // What is no request, or too old, is thrown away when its turn comes.
        let oldest = now.saturating_sub(TIMEOUT_SECONDS * 1_000_000);
        let requests = texts.iter().filter_map(|text| PracticeRequest::from_json(text));
        Ok(requests.filter(|request| request.at >= oldest).map(|request| request.id).collect())
    }

    /// Takes the oldest request that is at most [`TIMEOUT_SECONDS`] old at `now`. Its bounds are still to be checked,
    /// so that who asked is told. What is no request is thrown away, a few at a time.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn take_practice(&mut self, contest: &str, now: UtcUs) -> Result<Option<PracticeRequest>, ScoreboardError> {
        let oldest = now.saturating_sub(TIMEOUT_SECONDS * 1_000_000);
        self.take("take a request for practice", &keys::practices(contest), |text| {
            PracticeRequest::from_json(text).filter(|request| request.at >= oldest)
        })
    }

    /// Puts how it goes; it lives [`keys::PRACTICE_LIFE_SECONDS`].
    ///
    /// # Errors
    /// [`ScoreboardError::Config`] for an id that no request has, and what is wrong with Redis.
    pub fn answer_practice(&mut self, contest: &str, report: &PracticeReport) -> Result<(), ScoreboardError> {
        let key = answer_key(contest, &report.id)?;
        let mut command = redis::cmd("SET");
        command.arg(key).arg(report.to_json()).arg("EX").arg(keys::PRACTICE_LIFE_SECONDS);
        self.run(|connection| connection.command("say how practice goes", &command))
    }

    /// How it goes; nothing before a generator has taken the request, and after [`keys::PRACTICE_LIFE_SECONDS`].
    ///
    /// # Errors
    /// [`ScoreboardError::Config`] for an id that no request has, and what is wrong with Redis.
    pub fn read_practice(&mut self, contest: &str, id: &str) -> Result<Option<PracticeReport>, ScoreboardError> {
        let mut command = redis::cmd("GETRANGE");
        command.arg(answer_key(contest, id)?).arg(0).arg(JSON_BYTES_MAX);
        let text: Vec<u8> = self.run(|connection| connection.command("read how practice goes", &command))?;
        Ok(PracticeReport::from_json(&text))
    }
}

fn answer_key(contest: &str, id: &str) -> Result<String, ScoreboardError> {
    if is_id(id) { Ok(keys::practice(contest, id)) } else { Err(ScoreboardError::Config(wrong_id(id))) }
}

fn wrong_id(id: &str) -> String {
    let shown = bounded(id, TEXT_BYTES_MAX);
    format!("{shown:?} is no id of a practice run: draw 1 to 64 letters, digits and hyphens")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contest::breakpoint::HoldSums;
    use flowtest_contest::climbed::JudgedStep;

    fn request(rate: u64, seconds: u64) -> PracticeRequest {
        let (id, contestant, endpoint) = ("p-1".into(), "alice".into(), "10.0.0.1".into());
        PracticeRequest { id, at: UtcUs(1), contestant, endpoint, rate, seconds, climbs: false }
    }

    #[test]
    fn a_request_out_of_bounds_is_refused_with_the_bound() {
        assert_eq!(request(RATE_MAX, SECONDS_MAX).check(), Ok(()));
        for (rate, seconds, bound) in [(0, 5, "1 to 500"), (501, 5, "1 to 500"), (5, 0, "1 to 30"), (5, 31, "1 to 30")]
        {
            assert!(request(rate, seconds).check().unwrap_err().contains(bound), "{rate} {seconds}");
        }
        let climb = |rate| PracticeRequest { climbs: true, ..request(rate, SECONDS_MAX) };
        assert_eq!(climb(CLIMB_RATE_MAX).check(), Ok(()));
        assert!(climb(CLIMB_RATE_MAX + 1).check().unwrap_err().contains("1 to 2000"));
        // What was put before climbs were there is none.
        let text = request(5, 5).to_json();
        assert!(!text.contains("climbs") && !PracticeRequest::from_json(text.as_bytes()).expect("it reads").climbs);
        for id in ["", "a:b", "{x}", "a b", &"x".repeat(65)] {
            let request = PracticeRequest { id: id.to_owned(), ..request(1, 1) };
            assert!(request.check().is_err() && PracticeRequest::from_json(request.to_json().as_bytes()).is_none());
        }
    }

    #[test]
    fn the_largest_report_is_read_and_holds_nothing_that_a_page_would_obey() {
        let hostile = "\u{1b}[2J\\\"\u{202e}".repeat(2_000);
        let error = ExplainedError::of_texts(&hostile);
        let step = JudgedStep { step: u32::MAX, tried: u64::MAX, verdict: None, sums: HoldSums::default() };
        let report = PracticeReport {
            id: "p-1".into(),
            at: UtcUs(2),
            generator: hostile.clone(),
            state: PracticeState::Done,
            message: hostile,
            second: 30,
            row: Row::default().encode(),
            points: -7,
            p50_us: None,
            p99_us: Some(9),
            errors: vec![error; 50],
            climb: Some(Climbed { steps: vec![step; 90], ..Climbed::default() }),
        };
        let text = report.to_json();
        assert!(text.len() <= JSON_BYTES_MAX, "{}", text.len());
        let read = PracticeReport::from_json(text.as_bytes()).expect("readable");
        assert_eq!((read.errors.len(), read.counted()), (ERRORS_MAX, Some(Row::default())));
        assert_eq!(read.climb.as_ref().map(|climb| climb.steps.len()), Some(STEPS_MAX));
        assert!(!read.message.contains('\u{1b}') && text.contains("\"state\":\"done\""));
        let junk = PracticeReport { row: "0 0".into(), ..read };
        assert_eq!(PracticeReport::from_json(junk.to_json().as_bytes()).expect("readable").row, "");
    }
}
