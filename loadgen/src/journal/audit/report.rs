//! What an audit amounts to, as JSON and for people, made from the same figures.
//!
//! The JSON is stable. Instants are microseconds since the Unix epoch; points are integers; a part that is proved is in
//! percent, `null` where there is nothing to prove:
//!
//! ```text
//! equal                 no finding is a difference
//! proved                of all scored outcomes, in percent
//! traces                judged again
//! rounds[]              round, contest, state (in Redis; null without --redis), outcomes, traced, points, points_traced,
//!   contestants[]       name, points, points_traced, points_redis, points_what_if, outcomes, traced, proved, differences[]
//!   streams[]           stream, folder, standing, tail, last_seq, chain, segments, bytes, proved_until, traced, untraced,
//!                       in_flight, seconds (scored; null where the plan is not known), invalid_least, invalid_most (how many of
//!                       them are not valid, by the journal alone), redis_seq, redis_ended, redis_seconds, redis_valid_seconds
//! findings[]            see `finding.rs`
//! ```

use super::finding::{Finding, Kind};
use super::redis::HeldRound;
use super::round;
use super::stream::{Stream, StreamStanding, Sums};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use flowtest_contract::RoundId;
use flowtest_contract::rules::UtcUs;
use flowtest_contract::text::{grouped, percent};
use flowtest_journal::JournalError;
use flowtest_journal::stream::{StreamFolder, Tail};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Serialize)]
pub struct AuditReport {
    pub equal: bool,
    pub proved: Option<f64>,
    pub traces: u64,
    pub rounds: Vec<Round>,
    pub findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
pub struct Round {
    pub round: String,
    pub contest: Option<String>,
    pub state: Option<&'static str>,
    pub outcomes: u64,
    pub traced: u64,
    pub points: i128,
    pub points_traced: i128,
    pub contestants: Vec<Contestant>,
    pub streams: Vec<StreamLine>,
}

#[derive(Debug, Default, Serialize)]
pub struct Contestant {
    pub name: String,
    /// Counters of the batches × rules.
    pub points: i128,
    /// The same from the traces alone.
    pub points_traced: i128,
    /// `null` without `--redis`.
    pub points_redis: Option<i128>,
    /// `null` without `--with`.
    pub points_what_if: Option<i128>,
    /// Scored requests that have an outcome.
    pub outcomes: u64,
    /// Of these, the ones with a trace.
    pub traced: u64,
    pub proved: Option<f64>,
    /// Fields in which somebody disagrees with the batches.
    pub differences: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct StreamLine {
    pub stream: String,
    pub folder: String,
    /// `ended`, `killed`, `live`, `never_began`.
    pub standing: &'static str,
    /// `ended`, `open`, `torn`, `damaged`.
    pub tail: &'static str,
    pub last_seq: u64,
    pub chain: String,
    pub segments: u32,
    pub bytes: u64,
    pub proved_until: Option<UtcUs>,
    pub traced: u64,
    pub untraced: u64,
    pub in_flight: u64,
    /// Scored, and how many of them are not valid, by the journal alone; `null` where its plan is not known.
    pub seconds: Option<u64>,
    pub invalid_least: Option<u64>,
    pub invalid_most: Option<u64>,
    /// `null` without `--redis` and when Redis does not know it.
    pub redis_seq: Option<u64>,
    pub redis_ended: Option<bool>,
    /// As its generator says.
    pub redis_seconds: Option<u64>,
    pub redis_valid_seconds: Option<u64>,
}

impl AuditReport {
    /// `streams` lie in the order of their rounds.
    pub fn new(streams: &[Stream], held: Option<&BTreeMap<RoundId, HeldRound>>) -> AuditReport {
        let mut report = AuditReport { equal: true, proved: None, traces: 0, rounds: Vec::new(), findings: Vec::new() };
        for streams in streams.chunk_by(|a, b| a.folder.round == b.folder.round) {
            let id = streams[0].folder.round;
            let held = held.and_then(|held| held.get(&id));
            let findings = round::findings(id, streams, held);
            report.rounds.push(Round::new(id, streams, held, &findings));
            report.findings.extend(findings);
        }
        let others = held.into_iter().flatten();
        let (elsewhere, others): (Vec<_>, Vec<_>) = others.partition(|(_, held)| held.is_elsewhere);
        report.findings.extend(round::elsewhere(elsewhere.into_iter(), streams));
        // Rounds that have a folder, and nothing of a stream in it.
        for (id, held) in others {
            if streams.iter().all(|stream| stream.folder.round != *id) {
                report.findings.extend(round::without_streams(*id, held));
            }
        }
        report.equal = report.findings.iter().all(|finding| !finding.difference);
        report.traces = streams.iter().map(|stream| stream.traced).sum();
        let (traced, outcomes) = report
            .rounds
            .iter()
            .fold((0, 0), |(traced, outcomes), round| (traced + round.traced, outcomes + round.outcomes));
        report.proved = part(traced, outcomes);
        report
    }

    /// Nobody knows what lies in a folder that cannot be listed.
    pub fn add_unlisted(&mut self, unlisted: &[String]) {
        self.equal &= unlisted.is_empty();
        self.findings.extend(unlisted.iter().map(|why| Finding::of_all(Kind::Unreadable, true, why.clone())));
    }

    /// What cannot be read is not proved.
    pub fn add_unreadable(&mut self, unreadable: &[(&StreamFolder, JournalError)]) {
        self.equal &= unreadable.is_empty();
        self.findings.extend(unreadable.iter().map(|(folder, error)| Finding {
            kind: Kind::Unreadable,
            difference: true,
            round: Some(folder.round.to_string()),
            stream: Some(folder.stream.to_string()),
            contestant: None,
            field: None,
            journal: None,
            other: None,
            text: format!("nothing of it can be read: {error}"),
        }));
    }

    pub fn differences(&self) -> usize {
        self.findings.iter().filter(|finding| finding.difference).count()
    }
}

impl Round {
    fn new(id: RoundId, streams: &[Stream], held: Option<&HeldRound>, findings: &[Finding]) -> Round {
        let mut contestants: BTreeMap<&str, Contestant> = BTreeMap::new();
        for stream in streams {
            add(stream, held, &mut contestants);
        }
        for finding in findings.iter().filter(|finding| finding.difference) {
            if let (Some(name), Some(field)) = (&finding.contestant, &finding.field)
                && let Some(contestant) = contestants.get_mut(name.as_str())
                && !contestant.differences.contains(field)
            {
                contestant.differences.push(field.clone());
            }
        }
        let mut contestants: Vec<Contestant> = contestants.into_values().collect();
        // What is wrong with the round as a whole, such as that Redis has lost it, shows in each line that it makes wrong.
        let is_wrong = findings.iter().any(|finding| finding.difference && finding.contestant.is_none());
        for contestant in &mut contestants {
            let is_other = contestant.points_redis.is_some_and(|held| held != contestant.points);
            if is_wrong && is_other && contestant.differences.is_empty() {
                contestant.differences.push("points".into());
            }
            contestant.proved = part(contestant.traced, contestant.outcomes);
        }
        contestants.sort_by(|a, b| b.points.cmp(&a.points).then_with(|| a.name.cmp(&b.name)));
        Round {
            round: id.to_string(),
            contest: streams.iter().find_map(|stream| stream.beginning.as_ref().map(|first| first.contest.clone())),
            state: held.and_then(|held| held.state).map(|state| state.as_str()),
            outcomes: contestants.iter().map(|contestant| contestant.outcomes).sum(),
            traced: contestants.iter().map(|contestant| contestant.traced).sum(),
            points: contestants.iter().map(|contestant| contestant.points).sum(),
            points_traced: contestants.iter().map(|contestant| contestant.points_traced).sum(),
            contestants,
            streams: streams.iter().map(|stream| StreamLine::new(stream, held)).collect(),
        }
    }
}

fn add<'a>(stream: &'a Stream, held: Option<&HeldRound>, contestants: &mut BTreeMap<&'a str, Contestant>) {
    let Some(beginning) = &stream.beginning else { return };
    let rows = held.map(|held| held.streams.get(&stream.folder.stream).map(|stream| &stream.rows));
    for (index, name) in beginning.names.iter().enumerate() {
        let contestant =
            contestants.entry(name).or_insert_with(|| Contestant { name: name.clone(), ..Contestant::default() });
        let scored = |sums: &Sums| sums[index].as_ref().map(|halves| halves[1].tally).unwrap_or_default();
        let (batches, traces) = (scored(&stream.batches), scored(&stream.traces));
        contestant.points += batches.points(&beginning.rules);
        contestant.points_traced += traces.points(&beginning.rules);
        contestant.outcomes += batches.settled();
        contestant.traced += traces.settled();
        if let Some(rows) = rows {
            let row = rows.and_then(|rows| rows.get(name));
            let points = row.map_or(0, |row| row.tally.points(&beginning.rules));
            *contestant.points_redis.get_or_insert(0) += points;
        }
        if let Some(what_if) = &stream.what_if {
            *contestant.points_what_if.get_or_insert(0) += what_if.points[index];
        }
    }
}

impl StreamLine {
    fn new(stream: &Stream, held: Option<&HeldRound>) -> StreamLine {
        let in_redis = held.and_then(|held| held.streams.get(&stream.folder.stream));
        StreamLine {
            stream: stream.folder.stream.to_string(),
            folder: stream.folder.path.display().to_string(),
            standing: match stream.standing {
                StreamStanding::Ended => "ended",
                StreamStanding::Killed { .. } => "killed",
                StreamStanding::Live => "live",
                StreamStanding::NeverBegan => "never_began",
            },
            tail: match stream.found.tail {
                Tail::Ended => "ended",
                Tail::Open => "open",
                Tail::Torn { .. } => "torn",
                Tail::Damaged { .. } => "damaged",
            },
            last_seq: stream.found.last_seq,
            chain: stream.found.chain.iter().map(|byte| format!("{byte:02x}")).collect(),
            segments: stream.found.segments,
            bytes: stream.found.bytes,
            proved_until: stream.proved_until,
            traced: stream.traced,
            untraced: stream.untraced,
            in_flight: round::in_flight(stream),
            seconds: stream.seconds.map(|proved| proved.seconds),
            invalid_least: stream.seconds.map(|proved| proved.invalid_least),
            invalid_most: stream.seconds.map(|proved| proved.invalid_most.min(proved.seconds)),
            redis_seq: in_redis.and_then(|held| held.seq),
            redis_ended: in_redis.map(|held| held.end.is_some()),
            redis_seconds: in_redis.and_then(|held| held.validity).map(|word| word.counts.seconds),
            redis_valid_seconds: in_redis.and_then(|held| held.validity).map(|word| word.counts.valid_seconds),
        }
    }
}

fn part(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for round in &self.rounds {
            let contest = round.contest.as_deref().unwrap_or("(unknown)");
            let streams = round.streams.len();
            let plural = if streams == 1 { "" } else { "s" };
            writeln!(f, "round {} of {contest}, {streams} stream{plural}", round.round)?;
            writeln!(f, "{}", table(round))?;
        }
        let (differences, remarks): (Vec<&Finding>, Vec<&Finding>) =
            self.findings.iter().partition(|finding| finding.difference);
        for remark in remarks {
            writeln!(f, "  {}", remark.text)?;
        }
        for difference in &differences {
            writeln!(f, "  DIFFERENCE: {}", difference.text)?;
        }
        let (traced, outcomes) = self
            .rounds
            .iter()
            .fold((0, 0), |(traced, outcomes), round| (traced + round.traced, outcomes + round.outcomes));
        let (traces, proved) = (grouped(self.traces), percent(traced, outcomes));
        match differences.len() {
            0 => {
                write!(f, "\x1b[32mEQUAL\x1b[0m: {traces} traces judged again, {proved} of the score proved from them")
            }
            1 => write!(f, "\x1b[31mDIFFERENT\x1b[0m: 1 difference; {traces} traces judged again, {proved} proved"),
            count => write!(
                f,
                "\x1b[31mDIFFERENT\x1b[0m: {count} differences; {traces} traces judged again, {proved} proved"
            ),
        }
    }
}

fn table(round: &Round) -> Table {
    let redis = round.contestants.iter().any(|contestant| contestant.points_redis.is_some());
    let what_if = round.contestants.iter().any(|contestant| contestant.points_what_if.is_some());
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    let mut head = vec!["contestant", "points", "by traces", "proved"];
    head.extend(redis.then_some("in Redis"));
    head.extend(what_if.then_some("what if"));
    head.push("difference");
    let columns = head.len();
    table.set_header(head);
    for contestant in &round.contestants {
        let mut cells = vec![
            contestant.name.clone(),
            grouped(contestant.points),
            grouped(contestant.points_traced),
            percent(contestant.traced, contestant.outcomes),
        ];
        let maybe = |value: Option<i128>| value.map_or_else(|| "-".to_owned(), grouped);
        cells.extend(redis.then(|| maybe(contestant.points_redis)));
        cells.extend(what_if.then(|| maybe(contestant.points_what_if)));
        cells.push(match contestant.differences.as_slice() {
            [] => "none".to_owned(),
            fields => fields.join(", "),
        });
        table.add_row(cells);
    }
    for index in 1..columns - 1 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
