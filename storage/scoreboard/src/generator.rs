//! What a generator says about itself four times a second, so that the organiser sees who plays and whether their
//! measurements are valid.
//!
//! Each one's health lives a few seconds under its own key. A sorted set of all ids, by their last beat, tells readers
//! whom to ask: a split names only those that play, a search over all keys costs as much as Redis holds, and the beat
//! tells how long somebody has been silent whose health is gone.

use crate::clock::ClockOffset;
use crate::error::ScoreboardError;
use crate::keys;
use crate::reader::Scoreboard;
use flowtest_contest::names;
use flowtest_contest::text::bounded;
use flowtest_contest::timeline::GENERATORS_MAX;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, RoundValidity, StreamId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// Whatever a generator writes is shorter; a longer text is somebody else's and is not parsed.
const HEALTH_BYTES_MAX: usize = 24 * 1024;
/// Longest text inside, in bytes.
const TEXT_BYTES_MAX: usize = 200;
/// Longest message inside, in bytes.
const MESSAGE_BYTES_MAX: usize = 400;
/// Kernel features at most.
const FEATURES_MAX: usize = 16;
const HOLD_NAME: &str = "hold a generator's name";
/// Workers and source addresses at most.
const LIST_MAX: usize = 256;

/// One generator, as it sees itself. The keys of the JSON are the names of the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratorHealth {
    /// Its name in splits.
    pub id: String,
    /// When it said this.
    pub beat: UtcUs,
    /// Of the program.
    pub version: String,
    /// Cores with a worker.
    pub cores: u32,
    /// Kernel features that the ring uses, by name. A generator of 0.1 names none.
    #[serde(default)]
    pub features: Vec<String>,
    /// What 0.1 said instead, a letter; nobody here reads it. Goes with 0.3.
    #[serde(default)]
    pub tier: String,
    /// The stream and round it plays, when it plays.
    #[serde(default)]
    pub stream: Option<StreamId>,
    #[serde(default)]
    pub round: Option<RoundId>,
    /// The newest control revision that it applies.
    #[serde(default)]
    pub revision: u64,
    /// The revision of the document by which it sends nothing, also where it does not follow the rest of that; 0: none says so.
    /// None: an older program, which says no more than what it follows.
    #[serde(default)]
    pub halted_by: Option<u64>,
    /// Requests per second over the last second.
    pub rate: u64,
    /// Of the newest whole second; nothing in closed phases.
    pub rate_ratio: Option<f64>,
    /// How late it sent by its own fault, p99 of the last second in microseconds; nothing in closed loop.
    #[serde(default)]
    pub lag_p99_us: Option<u64>,
    /// The seconds of `validity` that are not valid, for dashboards of before 0.3, which hear nobody who does not say it.
    #[serde(default)]
    pub saturated_seconds: u64,
    /// Of what this round has scored so far.
    #[serde(default)]
    pub validity: RoundValidity,
    /// What of its own it was last that made seconds not valid or requests void, in words; nothing where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_fault_cause: Option<String>,
    /// Whose exchanges filled the time of its workers while they never rested; nothing where they rested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_with: Option<BusyWith>,
    /// Against Redis, in microseconds; nothing before it was measured.
    pub clock_offset_us: Option<i64>,
    pub clock_error_us: Option<u64>,
    /// How far this machine's clock has been set since the round was armed, in microseconds; nothing while it plays none. Its
    /// requests are stamped by the clock as it was then.
    #[serde(default)]
    pub clock_step_us: Option<i64>,
    /// Batches that the journal holds and Redis does not.
    pub backlog: u64,
    /// Why Redis does not take its rows, as long as that lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_error: Option<String>,
    /// For how long nothing has come to the disk of its journal, in microseconds, where that is longer than it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_still_us: Option<u64>,
    /// Why it sends nothing by itself, whatever the document says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    pub disk_free_bytes: u64,
    /// Of each worker over the last second, 0 to 100.
    pub busy_percent: Vec<u8>,
    /// Where its requests come from.
    pub source_addresses: Vec<IpAddr>,
    /// Splits of its round that begin from this instant on are its. None: it takes no share, as it leaves or is not ready.
    /// 0: an older program, which knows no split but those of a start and of the end of a pause.
    #[serde(default = "knows_no_splits")]
    pub takes_from: Option<UtcUs>,
    /// Why it does not play the round that is armed or running, or not as the document has it, for the organiser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What does not work here beside the round, for the organiser: tests of endpoints, practice, looking after the split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside_trouble: Option<String>,
    /// Why it can verify no server over https: those of contestants get nothing from it, where the contest asks for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_trouble: Option<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "it is the default of an optional field")]
fn knows_no_splits() -> Option<UtcUs> {
    Some(UtcUs::EPOCH)
}

/// Whose exchanges filled the time of workers that never rested in an open phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusyWith {
    pub contestant: String,
    /// Its part of what all exchanges took then, and of the requests.
    pub time_percent: u8,
    pub requests_percent: u8,
}

impl fmt::Display for BusyWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BusyWith { contestant, time_percent, requests_percent } = self;
        write!(
            f,
            "while a worker never rested, {time_percent} % of its time went to {contestant}, for {requests_percent} % of the \
             requests"
        )
    }
}

/// A generator that Redis knows of.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenGenerator {
    pub id: String,
    /// Its last beat.
    pub beat: UtcUs,
    /// Nothing when it has been silent for longer than
    /// [`GENERATOR_LIFE_SECONDS`](keys::GENERATOR_LIFE_SECONDS).
    pub health: Option<GeneratorHealth>,
    /// Which other process wants its name, and gets none: it takes no part.
    pub waiting: Option<String>,
}

impl GeneratorHealth {
    /// The offset of its clock, when it was measured.
    pub fn clock(&self) -> Option<ClockOffset> {
        Some(ClockOffset { offset_us: self.clock_offset_us?, error_us: self.clock_error_us? })
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&self.clone().within_bounds()).expect("texts and numbers are always JSON")
    }

    /// `None` for what no generator of this name wrote.
    pub(crate) fn from_json(text: &[u8], id: &str) -> Option<GeneratorHealth> {
        if text.len() > HEALTH_BYTES_MAX {
            return None;
        }
        let health: GeneratorHealth = serde_json::from_slice(text).ok()?;
        Some(health.within_bounds()).filter(|health| health.id == id)
    }

    fn within_bounds(mut self) -> GeneratorHealth {
        for text in [&mut self.id, &mut self.version, &mut self.tier].into_iter().chain(&mut self.features) {
            *text = bounded(text, TEXT_BYTES_MAX);
        }
        let faults = [&mut self.own_fault_cause, &mut self.publish_error, &mut self.stopped];
        let troubles = [&mut self.trouble, &mut self.beside_trouble, &mut self.tls_trouble];
        for text in faults.into_iter().chain(troubles).flatten() {
            *text = bounded(text, MESSAGE_BYTES_MAX);
        }
        if let Some(busy_with) = &mut self.busy_with {
            busy_with.contestant = bounded(&busy_with.contestant, TEXT_BYTES_MAX);
        }
        self.features.truncate(FEATURES_MAX);
        self.busy_percent.truncate(LIST_MAX);
        self.source_addresses.truncate(LIST_MAX);
        // JSON has no word for the others.
        self.rate_ratio = self.rate_ratio.filter(|ratio| ratio.is_finite());
        self
    }
}

/// Whose a generator's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Ours, for [`keys::GENERATOR_LIFE_SECONDS`] from now on.
    Ours,
    /// Another process plays under it.
    Others,
}

impl Scoreboard {
    /// Takes or renews the lease of a generator's name for the process that drew this id. Two processes under one name would
    /// take the same share of the requests, and everybody would get them twice.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn hold_lease(&mut self, contest: &str, generator: &str, holder: StreamId) -> Result<Lease, ScoreboardError> {
        self.hold(&keys::lease(contest, generator), holder, keys::GENERATOR_LIFE_SECONDS * 1_000, HOLD_NAME)
    }

    /// Gives a lease back, so that the next process need not wait for its end.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn release_lease(&mut self, contest: &str, generator: &str, holder: StreamId) -> Result<(), ScoreboardError> {
        self.hold(&keys::lease(contest, generator), holder, 1, HOLD_NAME).map(drop)
    }

    /// Says who wants the name that another process holds; believed for [`keys::WAITING_LIFE_SECONDS`].
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn say_waiting(&mut self, contest: &str, generator: &str, who: &str) -> Result<(), ScoreboardError> {
        let mut command = redis::cmd("SETEX");
        let key = keys::waiting(contest, generator);
        command.arg(key).arg(keys::WAITING_LIFE_SECONDS).arg(bounded(who, TEXT_BYTES_MAX));
        self.run(|connection| connection.command("say who waits for a generator's name", &command))
    }

    /// Nobody waits for the name any more.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn end_waiting(&mut self, contest: &str, generator: &str) -> Result<(), ScoreboardError> {
        let mut command = redis::cmd("SET");
        command.arg(keys::waiting(contest, generator)).arg("").arg("PX").arg(1);
        self.run(|connection| connection.command("wait no more for a generator's name", &command))
    }

    pub(crate) fn hold(
        &mut self,
        key: &str,
        holder: StreamId,
        milliseconds: u64,
        doing: &'static str,
    ) -> Result<Lease, ScoreboardError> {
        let mut call = redis::cmd("FCALL");
        call.arg("flowtest_lease").arg(1).arg(key).arg(holder.to_string()).arg(milliseconds);
        let answer: String = self.run(|connection| connection.call(doing, &call))?;
        Ok(if answer == "HELD" { Lease::Others } else { Lease::Ours })
    }

    /// Says how a generator is; believed for [`keys::GENERATOR_LIFE_SECONDS`].
    ///
    /// # Errors
    /// [`ScoreboardError::Config`] for an id that cannot be a name, and what is wrong with Redis.
    pub fn write_health(&mut self, contest: &str, health: &GeneratorHealth) -> Result<(), ScoreboardError> {
        if !names::is_name(&health.id) {
            return Err(ScoreboardError::Config(format!(
                "{:?} cannot be a generator's name: write 1 to {} characters without braces, colons and control \
                 characters",
                bounded(&health.id, TEXT_BYTES_MAX),
                names::NAME_CHARS_MAX
            )));
        }
        let (key, all) = (keys::generator(contest, &health.id), keys::generators(contest));
        let mut pipeline = redis::pipe();
        pipeline
            .set_ex(key, health.to_json(), keys::GENERATOR_LIFE_SECONDS)
            .zadd(&all, &health.id, health.beat.0)
            // By number and not by age: whose clock is wrong must not remove the others.
            .zremrangebyrank(&all, 0, -(GENERATORS_MAX as isize) - 1);
        self.run(|connection| connection.pipeline("write a generator's health", &pipeline))
    }

    /// All generators that Redis knows of, who was heard last first.
    ///
    /// # Errors
    /// What is wrong with Redis.
    pub fn read_generators(&mut self, contest: &str) -> Result<Vec<SeenGenerator>, ScoreboardError> {
        const DOING: &str = "read the generators";
        let mut command = redis::cmd("ZRANGE");
        command.arg(keys::generators(contest)).arg(0).arg(GENERATORS_MAX - 1).arg("REV").arg("WITHSCORES");
        let known: Vec<(Vec<u8>, f64)> = self.run(|connection| connection.command(DOING, &command))?;
        let known: Vec<(String, UtcUs)> = known
            .into_iter()
            .filter_map(|(id, beat)| {
                Some((String::from_utf8(id).ok().filter(|id| names::is_name(id))?, UtcUs(beat as u64)))
            })
            .collect();
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for (id, _) in &known {
            // No more of somebody else's text than one of ours would have.
            pipeline.getrange(keys::generator(contest, id), 0, HEALTH_BYTES_MAX as isize);
            pipeline.getrange(keys::waiting(contest, id), 0, TEXT_BYTES_MAX as isize);
        }
        let texts: Vec<Vec<u8>> = self.run(|connection| connection.pipeline(DOING, &pipeline))?;
        let seen = known.into_iter().zip(texts.chunks(2)).map(|((id, beat), texts)| {
            let health = GeneratorHealth::from_json(&texts[0], &id);
            let waiting = bounded(&String::from_utf8_lossy(&texts[1]), TEXT_BYTES_MAX);
            SeenGenerator { id, beat, health, waiting: Some(waiting).filter(|text| !text.is_empty()) }
        });
        Ok(seen.collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a generator in a round writes, and what one of before 0.3 wrote.
    const GOLDEN: &str = include_str!("../tests/golden/generator-2.json");
    const OLDER: &str = include_str!("../tests/golden/generator-1.json");

    pub(crate) fn health(id: &str, beat: UtcUs) -> GeneratorHealth {
        let health = GeneratorHealth::from_json(GOLDEN.as_bytes(), "g1").expect("it is read");
        GeneratorHealth { id: id.to_owned(), beat, ..health }
    }

    #[test]
    fn what_generators_write_stays_as_it_is() {
        let newest = health("g1", UtcUs(5));
        assert_eq!(newest.to_json(), GOLDEN.trim_end());
        // No figure is what it would be where nobody read it.
        let busy_with = BusyWith { contestant: "alice".to_owned(), time_percent: 72, requests_percent: 5 };
        assert_eq!((newest.validity.late_ms, newest.busy_with.as_ref()), (420, Some(&busy_with)));
        // An older one says neither.
        let older = GeneratorHealth::from_json(OLDER.as_bytes(), "g1").expect("it is read");
        let validity = RoundValidity { late_ms: 0, ..newest.validity };
        assert_eq!(older, GeneratorHealth { validity, busy_with: None, ..newest });
    }

    #[test]
    fn the_keys_are_as_documented() {
        let mut troubled = health("g1", UtcUs(5));
        (troubled.publish_error, troubled.journal_still_us) = (Some("it is full".to_owned()), Some(3_000_000));
        (troubled.stopped, troubled.trouble) = (Some("by a signal".to_owned()), Some("no disk".to_owned()));
        troubled.own_fault_cause = Some("it stood still".to_owned());
        troubled.busy_with = Some(BusyWith { contestant: "alice".to_owned(), time_percent: 72, requests_percent: 5 });
        troubled.beside_trouble = Some("no tests".to_owned());
        troubled.tls_trouble = Some("no authorities".to_owned());
        let json: serde_json::Value = serde_json::from_str(&troubled.to_json()).expect("JSON");
        let keys: Vec<&String> = json.as_object().expect("an object").keys().collect();
        let documented = "id beat version cores features tier stream round revision halted_by rate rate_ratio lag_p99_us \
                          saturated_seconds validity own_fault_cause busy_with clock_offset_us clock_error_us clock_step_us backlog publish_error \
                          journal_still_us stopped disk_free_bytes busy_percent source_addresses takes_from trouble beside_trouble \
                          tls_trouble";
        assert_eq!(keys, documented.split(' ').collect::<Vec<_>>());
    }

    #[test]
    fn the_largest_health_is_read_and_nonsense_is_not() {
        let mut large = health(&"\u{1b}".repeat(999), UtcUs(u64::MAX));
        large.features = vec!["\u{1b}".repeat(999); 999];
        large.busy_percent = vec![100; 9_999];
        large.source_addresses = vec!["2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().expect("an address"); 999];
        large.rate_ratio = Some(f64::NAN);
        (large.publish_error, large.stopped) = (Some("\u{1b}".repeat(999)), Some("\u{1b}".repeat(999)));
        (large.trouble, large.own_fault_cause) = (Some("\u{1b}".repeat(999)), Some("\u{1b}".repeat(999)));
        large.busy_with = Some(BusyWith { contestant: "\u{1b}".repeat(999), time_percent: 255, requests_percent: 255 });
        large.beside_trouble = Some("\u{1b}".repeat(999));
        large.tls_trouble = Some("\u{1b}".repeat(999));
        let text = large.to_json();
        assert!(text.len() <= HEALTH_BYTES_MAX, "{}", text.len());
        let text = health("g1", UtcUs(5)).to_json();
        assert_eq!(GeneratorHealth::from_json(text.as_bytes(), "g1"), Some(health("g1", UtcUs(5))));
        assert_eq!(GeneratorHealth::from_json(text.as_bytes(), "g2"), None);
        assert_eq!(GeneratorHealth::from_json(b"{\"id\": \"g1\"}", "g1"), None);
    }

    #[test]
    fn a_generator_of_0_1_is_heard_and_so_is_one_of_0_3() {
        let written = health("g1", UtcUs(5)).to_json();
        let without = |keys: &[&str]| {
            let mut json: serde_json::Value = serde_json::from_str(&written).expect("JSON");
            keys.iter().for_each(|key| drop(json.as_object_mut().expect("an object").remove(*key)));
            GeneratorHealth::from_json(json.to_string().as_bytes(), "g1").expect("it is heard")
        };
        assert_eq!(without(&["saturated_seconds"]).saturated_seconds, 0);
        assert_eq!(without(&["features"]).features, Vec::<String>::new());
        assert_eq!(without(&["tier"]).features, ["recv_multishot"]);
        assert_eq!(without(&["takes_from"]).takes_from, Some(UtcUs::EPOCH));
    }
}
