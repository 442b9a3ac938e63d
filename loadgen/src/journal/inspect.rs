//! `inspect`: what journals hold and in which state they are, without judging anything. Reads only.
//!
//! The JSON has one object per stream; instants are microseconds since the Unix epoch:
//!
//! ```text
//! streams[]   round, stream, folder, state (live, ended, killed, torn, damaged, never_began, unreadable), tail (a clause), segments,
//!             bytes (that count), file_bytes (of all files), groups, last_seq, chain, contest, program, contestants[],
//!             terms, started, until, ending, records{start,batch,traces,evidence,control,notice,late,further,decision,end}, traces, untraced, late_us,
//!             notices[]{at,code,text}
//! ```

use crate::journal::flags::Inspect;
use crate::observe::results;
use crate::{Failed, journal::folders};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use flowtest_contract::rules::{Deadline, UtcUs};
use flowtest_contract::text::{grouped, micros};
use flowtest_journal::JournalError;
use flowtest_journal::record::ArchivedTerms;
use flowtest_journal::stream::{self, Group, Record, StreamFolder, Tail};
use serde::Serialize;
use std::fmt;

/// All that was found.
#[derive(Debug, Serialize)]
pub struct Inspected {
    pub streams: Vec<Stream>,
}

#[derive(Debug, Default, Serialize)]
pub struct Stream {
    pub round: String,
    pub stream: String,
    pub folder: String,
    pub state: &'static str,
    pub tail: String,
    pub segments: u32,
    pub bytes: u64,
    pub file_bytes: u64,
    pub groups: u64,
    pub last_seq: u64,
    pub chain: String,
    pub contest: Option<String>,
    pub program: Option<String>,
    pub contestants: Vec<String>,
    /// The last that were in force.
    pub terms: Option<Terms>,
    pub started: Option<UtcUs>,
    /// The end of the last batch.
    pub until: Option<UtcUs>,
    pub ending: Option<&'static str>,
    pub records: Records,
    pub traces: u64,
    pub untraced: u64,
    /// How long its workers were late, one after the other.
    pub late_us: u64,
    pub notices: Vec<Notice>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Terms {
    pub timeout_us: u64,
    pub grace_us: u64,
    pub version_deadline: UtcUs,
    pub from_deadline: UtcUs,
    pub token: u32,
    pub version: u32,
    pub from: u32,
    pub token_required: bool,
}

/// How many records of each kind.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Records {
    pub start: u64,
    pub batch: u64,
    pub traces: u64,
    pub evidence: u64,
    pub control: u64,
    pub notice: u64,
    pub late: u64,
    pub join: u64,
    pub further: u64,
    pub decision: u64,
    pub end: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Notice {
    pub at: UtcUs,
    pub code: u16,
    pub text: String,
}

/// Notices that are kept of one stream.
const NOTICES_MAX: usize = 1_000;

/// The state of a stream of which nothing can be read.
const UNREADABLE: &str = "unreadable";
const DAMAGED: &str = "damaged";

/// Runs the command.
pub fn inspect(flags: &Inspect) -> Result<u8, Failed> {
    let found = folders::find(&flags.journals.journal)?;
    results::prepare(flags.json.as_deref())?;
    let bar = folders::bar(found.streams.iter().map(folders::bytes).sum(), false);
    let read = |folder| Stream::read(folder, &|bytes| bar.inc(bytes));
    let streams =
        found.streams.iter().map(|folder| read(folder).unwrap_or_else(|error| Stream::unreadable(folder, &error)));
    let inspected = Inspected { streams: streams.collect() };
    bar.finish_and_clear();
    if let Some(path) = &flags.json {
        results::write_json(path, &inspected)?;
    }
    if !flags.json.as_deref().is_some_and(results::is_stdout) {
        results::print(&inspected)?;
    }
    let has_nothing = |stream: &Stream| stream.state == UNREADABLE || (stream.state == DAMAGED && stream.last_seq == 0);
    found.unlisted.iter().for_each(|why| eprintln!("flowtest-loadgen: {why}"));
    let is_whole = found.unlisted.is_empty() && !inspected.streams.iter().any(has_nothing);
    Ok(if is_whole { 0 } else { 1 })
}

impl Stream {
    fn of(folder: &StreamFolder) -> Stream {
        Stream {
            round: folder.round.to_string(),
            stream: folder.stream.to_string(),
            folder: folder.path.display().to_string(),
            file_bytes: folders::bytes(folder),
            ..Stream::default()
        }
    }

    /// What is wrong with one stream hides no other.
    fn unreadable(folder: &StreamFolder, error: &JournalError) -> Stream {
        Stream { state: UNREADABLE, tail: format!("cannot be read: {error}"), ..Stream::of(folder) }
    }

    fn read(folder: &StreamFolder, progress: &dyn Fn(u64)) -> Result<Stream, JournalError> {
        let live = stream::is_live(folder)?;
        let mut seen = Stream::of(folder);
        let found = stream::read(folder, |group| seen.group(group, progress))?;
        seen.state = match found.tail {
            Tail::Damaged { .. } => DAMAGED,
            _ if live => "live",
            Tail::Ended => "ended",
            _ if found.last_seq == 0 => "never_began",
            Tail::Torn { .. } => "torn",
            Tail::Open => "killed",
        };
        seen.tail = folders::describe(&found.tail);
        (seen.segments, seen.bytes, seen.last_seq) = (found.segments, found.bytes, found.last_seq);
        seen.chain = found.chain.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(seen)
    }

    fn group(&mut self, group: &Group<'_>, progress: &dyn Fn(u64)) {
        self.groups += 1;
        for record in &group.records {
            match record {
                Record::Start(start) => {
                    self.records.start += 1;
                    let (contest, names) = folders::names(start);
                    (self.contest, self.contestants) = (Some(contest), names);
                    self.program = Some(folders::text(start.program.as_slice()));
                    self.terms = Some(Terms::new(&start.terms));
                    self.started = Some(UtcUs(start.at.to_native()));
                }
                Record::Batch(batch) => {
                    self.records.batch += 1;
                    self.untraced = self.untraced.saturating_add(batch.untraced.to_native());
                    self.until = Some(UtcUs(batch.to.to_native()));
                }
                Record::Further(_) => self.records.further += 1,
                Record::Decision(_) => self.records.decision += 1,
                Record::Traces(block) => {
                    self.records.traces += 1;
                    self.traces += block.traces.len() as u64;
                    progress(size_of_val(block.traces.as_slice()) as u64);
                }
                Record::Evidence(_) => self.records.evidence += 1,
                Record::Control(control) => {
                    self.records.control += 1;
                    self.terms = Some(Terms::new(&control.terms));
                }
                Record::Notice(notice) => {
                    self.records.notice += 1;
                    if self.notices.len() < NOTICES_MAX {
                        self.notices.push(Notice {
                            at: UtcUs(notice.at.to_native()),
                            code: notice.code.to_native(),
                            text: folders::text(notice.text.as_slice()),
                        });
                    }
                }
                Record::Late(late) => {
                    self.records.late += 1;
                    for window in late.windows.iter() {
                        self.late_us =
                            self.late_us.saturating_add(window.to.to_native().saturating_sub(window.from.to_native()));
                    }
                }
                Record::Join(join) => {
                    self.records.join += 1;
                    self.contestants.push(folders::joined(join));
                }
                Record::End(end) => {
                    self.records.end += 1;
                    self.ending = Some(folders::ending(end.code.to_native()));
                }
            }
        }
    }
}

impl Terms {
    fn new(terms: &ArchivedTerms) -> Terms {
        Terms {
            timeout_us: terms.timeout_us.to_native(),
            grace_us: terms.grace_us.to_native(),
            version_deadline: UtcUs(terms.version_deadline.to_native()),
            from_deadline: UtcUs(terms.from_deadline.to_native()),
            token: terms.token.to_native(),
            version: terms.version.to_native(),
            from: terms.from.to_native(),
            token_required: terms.token_required != 0,
        }
    }
}

impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for streams in self.streams.chunk_by(|a, b| a.round == b.round) {
            let contest = streams.iter().find_map(|stream| stream.contest.as_deref()).unwrap_or("(unknown)");
            writeln!(f, "round {} of {contest}", streams[0].round)?;
            writeln!(f, "{}", table(streams))?;
            for stream in streams {
                write!(f, "{stream}")?;
            }
        }
        Ok(())
    }
}

fn table(streams: &[Stream]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["stream", "state", "segments", "bytes", "groups", "batches", "traces", "evidence", "notices"]);
    for stream in streams {
        let counts = [
            u64::from(stream.segments),
            stream.bytes,
            stream.groups,
            stream.records.batch,
            stream.traces,
            stream.records.evidence,
            stream.records.notice,
        ];
        let words = [stream.stream.clone(), stream.state.to_owned()];
        table.add_row(words.into_iter().chain(counts.map(grouped)));
    }
    for index in 2..9 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = |at: Option<UtcUs>| at.map_or_else(|| "-".to_owned(), folders::instant);
        write!(f, "  stream {} {}", self.stream, self.tail)?;
        if let Some(ending) = self.ending {
            write!(f, " ({ending})")?;
        }
        writeln!(f, "; from {} to {}", instant(self.started), instant(self.until))?;
        if let Some(terms) = &self.terms {
            let required = if terms.token_required { ", a right token required" } else { "" };
            writeln!(
                f,
                "    token {}, version {} from {}, from {} from {}; timeout {}, grace {}{required}",
                terms.token,
                terms.version,
                folders::deadline(Deadline(terms.version_deadline)),
                terms.from,
                folders::deadline(Deadline(terms.from_deadline)),
                micros(terms.timeout_us),
                micros(terms.grace_us),
            )?;
            let names: Vec<&str> = self.contestants.iter().take(NAMES_SHOWN).map(String::as_str).collect();
            let more = self.contestants.len() - names.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(f, "    contestants: {}{more}", names.join(", "))?;
        }
        if let Some(program) = self.program.as_deref().filter(|program| !program.is_empty()) {
            writeln!(f, "    written by {program}")?;
        }
        if self.late_us > 0 {
            writeln!(f, "    workers were late for {:.3} s", self.late_us as f64 / 1e6)?;
        }
        if self.untraced > 0 {
            writeln!(f, "    {} outcomes left no trace", grouped(self.untraced))?;
        }
        for notice in &self.notices {
            writeln!(f, "    {}: {}", folders::instant(notice.at), notice.text)?;
        }
        Ok(())
    }
}

/// Contestants that are named for people; the JSON has all.
const NAMES_SHOWN: usize = 20;
