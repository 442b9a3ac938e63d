//! One line, as CSV or as a JSON object, in one buffer that is used again.
//!
//! CSV is that of RFC 4180. Names and evidence come from strangers, so no cell is one that a spreadsheet would run.

use crate::journal::flags::Format;
use flowtest_contract::text::inert;
use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

/// A line being made: cells come in the order of the columns.
#[derive(Debug)]
pub(super) struct Line {
    format: Format,
    columns: Vec<&'static str>,
    bytes: Vec<u8>,
    cells: usize,
}

impl Line {
    pub(super) fn new(format: Format, columns: Vec<&'static str>) -> Line {
        Line { format, columns, bytes: Vec::with_capacity(1024), cells: 0 }
    }

    /// The names of the columns, as CSV.
    pub(super) fn head(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(self.columns.join(",").as_bytes())?;
        out.write_all(b"\r\n")
    }

    /// A number, or another word of ours that needs no quotes in CSV.
    pub(super) fn number(&mut self, value: impl Display) {
        self.begin();
        write!(self.bytes, "{value}").expect("writing to memory does not fail");
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.number(value);
    }

    /// Nothing: an empty cell, or null.
    pub(super) fn nothing(&mut self) {
        self.begin();
        if self.format == Format::Ndjson {
            self.bytes.extend_from_slice(b"null");
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.begin();
        match self.format {
            Format::Csv => csv(&mut self.bytes, text),
            Format::Ndjson => {
                serde_json::to_writer(&mut self.bytes, text).expect("a text is written to memory");
            }
        }
    }

    /// Ends the line and writes it.
    pub(super) fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        assert_eq!(self.cells, self.columns.len(), "a cell for each column");
        self.bytes.extend_from_slice(match self.format {
            Format::Csv => b"\r\n",
            Format::Ndjson => b"}\n",
        });
        let written = out.write_all(&self.bytes);
        self.bytes.clear();
        self.cells = 0;
        written
    }

    fn begin(&mut self) {
        match self.format {
            Format::Csv if self.cells > 0 => self.bytes.push(b','),
            Format::Csv => {}
            Format::Ndjson => {
                let before: &[u8] = if self.cells > 0 { b",\"" } else { b"{\"" };
                self.bytes.extend_from_slice(before);
                self.bytes.extend_from_slice(self.columns[self.cells].as_bytes());
                self.bytes.extend_from_slice(b"\":");
            }
        }
        self.cells += 1;
    }
}

fn csv(bytes: &mut Vec<u8>, text: &str) {
    let cell = inert(text);
    if matches!(cell, Cow::Borrowed(_)) && !text.contains([',', '"', '\r', '\n']) {
        bytes.extend_from_slice(text.as_bytes());
        return;
    }
    bytes.push(b'"');
    bytes.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
    bytes.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: Format, text: &str) -> String {
        let mut line = Line::new(format, vec!["name", "count", "lag"]);
        let mut out = Vec::new();
        line.text(text);
        line.number(7);
        line.nothing();
        line.end(&mut out).expect("memory");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn cells_are_quoted_where_they_must_be_and_formulas_are_inert() {
        // (text, its cell)
        let cases = [
            ("alice", "alice"),
            ("house of cards", "house of cards"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "\"'=1+1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\tx", "\"'\tx\""),
            ("\rx", "\"'\rx\""),
            ("a=1", "a=1"),
            ("", ""),
        ];
        for (text, cell) in cases {
            assert_eq!(line(Format::Csv, text), format!("{cell},7,\r\n"), "{text:?}");
        }
    }

    #[test]
    fn a_json_line_has_the_same_keys() {
        assert_eq!(line(Format::Ndjson, "a\"b\n"), "{\"name\":\"a\\\"b\\n\",\"count\":7,\"lag\":null}\n");
    }
}
