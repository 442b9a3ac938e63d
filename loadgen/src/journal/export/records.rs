//! Which cells a record has.

use super::line::Line;
use crate::journal::flags::What;
use crate::journal::folders;
use flowtest_contest::text::printable;
use flowtest_contract::header::Flip;
use flowtest_contract::verdict::Outcome;
use flowtest_contract::{Seen, Tally};
use flowtest_journal::record::{
    ArchivedBatch, ArchivedEntry, ArchivedEvidence, ArchivedFurtherEntry, ArchivedTraces, NEVER_SENT, Observation,
    unbucket,
};
use flowtest_journal::stream::{Group, Record, StreamFolder};
use std::fmt::Write as _;
use std::io::{self, Write};

const IN_EVERY_LINE: [&str; 3] = ["round", "stream", "seq"];

/// The names of the columns.
pub(super) fn columns(what: What) -> Vec<&'static str> {
    let observed = ["outcome", "token", "version", "from", "scored"];
    let mut columns = IN_EVERY_LINE.to_vec();
    match what {
        What::Batches => {
            columns.extend(["from", "to", "contestant", "scored"]);
            let (first, further) = Tally::FIELDS.split_at(Tally::LEN_FIRST);
            columns.extend(first);
            columns.extend(["latency", "service"]);
            columns.extend(further);
        }
        What::Traces => {
            columns.extend(["worker", "contestant", "sent", "latency_us", "lag_us"]);
            columns.extend(observed);
        }
        What::Evidence => {
            columns.extend(["at", "sent", "latency_us", "worker", "contestant"]);
            columns.extend(observed);
            columns.extend(["skipped", "request", "response", "reason"]);
        }
        What::Notices => columns.extend(["at", "kind", "code", "text"]),
    }
    columns
}

/// The records of one stream.
pub(super) struct Records {
    what: What,
    round: String,
    stream: String,
    names: Vec<String>,
    /// The text of a histogram.
    text: String,
}

impl Records {
    pub(super) fn new(folder: &StreamFolder, what: What) -> Records {
        Records {
            what,
            round: folder.round.to_string(),
            stream: folder.stream.to_string(),
            names: Vec::new(),
            text: String::new(),
        }
    }

    /// Writes a line for each record of the group that was asked for.
    pub(super) fn group(
        &mut self,
        group: &Group<'_>,
        line: &mut Line,
        out: &mut impl Write,
        progress: &dyn Fn(u64),
    ) -> io::Result<()> {
        let seq = group.seq;
        for record in &group.records {
            match (record, self.what) {
                (Record::Start(start), what) => {
                    let (contest, names) = folders::names(start);
                    self.names = names;
                    if what == What::Notices {
                        let text = format!("contest {contest}, {} contestants", self.names.len());
                        self.notice(line, out, seq, start.at.to_native(), ("start", 0), &text)?;
                    }
                }
                (Record::Join(join), what) => {
                    self.names.push(folders::joined(join));
                    if what == What::Notices {
                        let (at, name) = (join.at.to_native(), folders::joined(join));
                        self.notice(line, out, seq, at, ("join", 0), &format!("{name} joins the round"))?;
                    }
                }
                (Record::Batch(batch), What::Batches) => self.batch(line, out, group, batch)?,
                (Record::Traces(block), what) => {
                    progress(size_of_val(block.traces.as_slice()) as u64);
                    if what == What::Traces {
                        self.traces(line, out, seq, block)?;
                    }
                }
                (Record::Evidence(evidence), What::Evidence) => self.evidence(line, out, seq, evidence)?,
                (Record::Control(control), What::Notices) => {
                    let text = format!("revision {}", control.revision.to_native());
                    self.notice(line, out, seq, control.at.to_native(), ("control", 0), &text)?;
                }
                (Record::Notice(notice), What::Notices) => {
                    let text = printable(notice.text.as_slice(), usize::MAX);
                    let code = notice.code.to_native();
                    self.notice(line, out, seq, notice.at.to_native(), ("notice", code), &text)?;
                }
                (Record::Late(late), What::Notices) => {
                    for window in late.windows.iter() {
                        let (from, to, cause) =
                            (window.from.to_native(), window.to.to_native(), window.cause.to_native());
                        let worker = late.worker.to_native();
                        let text =
                            format!("worker {worker}, {} µs: {}", to.saturating_sub(from), folders::cause(cause));
                        self.notice(line, out, seq, from, ("late", cause), &text)?;
                    }
                }
                (Record::Decision(decision), What::Notices) => {
                    let (step, judged) = (decision.step.to_native(), decision.judged.to_native());
                    let text = format!("step {step} is decided, by the hold of step {judged}");
                    self.notice(line, out, seq, decision.at.to_native(), ("decision", 0), &text)?;
                }
                (Record::End(end), What::Notices) => {
                    let code = end.code.to_native();
                    self.notice(line, out, seq, end.at.to_native(), ("end", code), folders::ending(code))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn begin(&self, line: &mut Line, seq: u64) {
        line.text(&self.round);
        line.text(&self.stream);
        line.number(seq);
    }

    fn name(&self, line: &mut Line, contestant: u16) {
        line.text(self.names.get(usize::from(contestant)).map_or("", String::as_str));
    }

    fn notice(
        &self,
        line: &mut Line,
        out: &mut impl Write,
        seq: u64,
        at: u64,
        (kind, code): (&str, u16),
        text: &str,
    ) -> io::Result<()> {
        self.begin(line, seq);
        line.number(at);
        line.text(kind);
        line.number(code);
        line.text(text);
        line.end(out)
    }

    fn batch(
        &mut self,
        line: &mut Line,
        out: &mut impl Write,
        group: &Group<'_>,
        batch: &ArchivedBatch,
    ) -> io::Result<()> {
        let seq = group.seq;
        let mut buckets = batch.buckets.iter().map(|packed| unbucket(packed.to_native()));
        for entry in batch.entries.iter() {
            self.begin(line, seq);
            line.number(batch.from.to_native());
            line.number(batch.to.to_native());
            self.name(line, entry.contestant.to_native());
            line.flag(entry.scored != 0);
            for count in &entry.counters {
                line.number(count.to_native());
            }
            for len in [entry.latency.to_native(), entry.service.to_native()] {
                self.text.clear();
                for (index, count) in buckets.by_ref().take(usize::from(len)) {
                    let space = if self.text.is_empty() { "" } else { " " };
                    write!(self.text, "{space}{index}:{count}").expect("writing to a String does not fail");
                }
                line.text(&self.text);
            }
            for count in further(group, entry) {
                line.number(count);
            }
            line.end(out)?;
        }
        Ok(())
    }

    fn traces(&self, line: &mut Line, out: &mut impl Write, seq: u64, block: &ArchivedTraces) -> io::Result<()> {
        let (base, worker) = (block.base.to_native(), block.worker.to_native());
        for trace in block.traces.iter() {
            self.begin(line, seq);
            line.number(worker);
            self.name(line, trace.contestant.to_native());
            line.number(base.saturating_add_signed(i64::from(trace.sent_us.to_native())));
            line.number(trace.latency_us.to_native());
            match trace.lag_us.to_native() {
                NEVER_SENT => line.nothing(),
                lag_us => line.number(lag_us),
            }
            observation(line, trace.observed.to_native());
            line.end(out)?;
        }
        Ok(())
    }

    fn evidence(&self, line: &mut Line, out: &mut impl Write, seq: u64, evidence: &ArchivedEvidence) -> io::Result<()> {
        self.begin(line, seq);
        line.number(evidence.at.to_native());
        line.number(evidence.sent.to_native());
        line.number(evidence.latency_us.to_native());
        line.number(evidence.worker.to_native());
        self.name(line, evidence.contestant.to_native());
        observation(line, evidence.observed.to_native());
        line.number(evidence.skipped.to_native());
        for bytes in [&evidence.request, &evidence.response, &evidence.reason] {
            line.text(&printable(bytes.as_slice(), usize::MAX));
        }
        line.end(out)
    }
}

/// Outcome, token, version, platform, and whether it counts. What an exchange without an answer did not show is nothing.
fn observation(line: &mut Line, bits: u16) {
    let Some(observation) = Observation::unpack(bits) else {
        line.text("unknown");
        (0..4).for_each(|_| line.nothing());
        return;
    };
    match observation.outcome {
        Outcome::Failed(failure) => {
            line.text(failure.name());
            (0..3).for_each(|_| line.nothing());
        }
        Outcome::Answered(observed) => {
            line.text("answered");
            line.text(if observed.token_right { "right" } else { "wrong" });
            line.text(seen(observed.version));
            line.text(seen(observed.from));
        }
    }
    line.flag(observation.scored);
}

fn seen<T: Flip>(seen: Seen<T>) -> &'static str {
    match seen {
        Seen::Missing => "missing",
        Seen::Other => "other",
        Seen::Value(value) => value.as_str(),
    }
}

/// The counters of an entry that its batch has no room for.
fn further(group: &Group<'_>, entry: &ArchivedEntry) -> [u64; Tally::LEN - Tally::LEN_FIRST] {
    let mut tally = Tally::default();
    for record in &group.records {
        let Record::Further(further) = record else { continue };
        let of_entry = |one: &&ArchivedFurtherEntry| one.contestant == entry.contestant && one.scored == entry.scored;
        for one in further.entries.iter().filter(of_entry) {
            // What this version does not know has no column either.
            let _ = one.add_to(&mut tally);
        }
    }
    *tally.to_array().last_chunk().expect("the counters behind the first")
}
