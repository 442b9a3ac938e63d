//! `export`: a journal's records as lines, for other people's tools. Reads only.
//!
//! Instants are microseconds since the Unix epoch. The columns are the keys of the JSON:
//!
//! ```text
//! batches   round stream seq from to contestant scored, the counters of a tally, latency service
//!           (the histograms as `bucket:count` with spaces between, as in Redis)
//! traces    round stream seq worker contestant sent latency_us lag_us outcome token version from scored
//!           (lag_us is empty or null for what was never sent; then `sent` is when it fell due)
//! evidence  round stream seq at sent latency_us worker contestant outcome token version from scored skipped request
//!           response reason (bytes are printable: \n, \r, \t, \\ and \xNN)
//! notices   round stream seq at kind code text (kind is start, control, notice or end)
//! ```

mod line;
mod records;

use crate::journal::flags::{Export, Format};
use crate::observe::results;
use crate::{Failed, journal::folders};
use flowtest_journal::stream;
use line::Line;
use records::Records;
use std::fs::File;
use std::io::{self, BufWriter, Write};

/// Lines are gathered up to this many bytes.
const BUFFER_BYTES: usize = 1 << 20;

/// Runs the command.
pub fn export(flags: &Export) -> Result<u8, Failed> {
    let folders::Found { streams, unlisted: mut lacking, .. } = folders::find(&flags.journals.journal)?;
    let to_stdout = results::is_stdout(&flags.output);
    let out: Box<dyn Write> = if to_stdout {
        Box::new(io::stdout().lock())
    } else {
        Box::new(File::create(&flags.output).map_err(|error| results::unwritable(&flags.output, &error))?)
    };
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, out);
    let bar = folders::bar(streams.iter().map(folders::bytes).sum(), to_stdout);
    let mut line = Line::new(flags.format, records::columns(flags.what));
    let mut written = if flags.format == Format::Csv { line.head(&mut out) } else { Ok(()) };
    for folder in &streams {
        let mut records = Records::new(folder, flags.what);
        // The reader cannot be stopped, so the rest is read for nothing after an error of the output.
        let read = stream::read(folder, |group| {
            if written.is_ok() {
                written = records.group(group, &mut line, &mut out, &|bytes| bar.inc(bytes));
            }
        });
        if written.is_err() {
            break;
        }
        match read {
            Ok(read) if matches!(read.tail, stream::Tail::Damaged { .. }) => {
                lacking.push(format!("stream {} {}", folder.stream, folders::describe(&read.tail)));
            }
            Ok(_) => {}
            Err(error) => lacking.push(format!("stream {} cannot be read: {error}", folder.stream)),
        }
    }
    bar.finish_and_clear();
    let written = written.and_then(|()| out.flush());
    // After an error what is left in the buffer has nowhere to go.
    drop(out.into_parts());
    results::unless_closed(written).map_err(|error| results::unwritable(&flags.output, &error))?;
    match lacking.as_slice() {
        [] => Ok(0),
        _ => Err(Failed::Message(format!("only what lies before the damage was exported: {}", lacking.join("; ")))),
    }
}
