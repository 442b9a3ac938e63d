//! What a child says, kept line by line.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Lines of one stream that are kept; a child that talks more loses its oldest words.
const LINES_MAX: usize = 20_000;

/// One output stream, read by a thread so that the child never waits for us.
#[derive(Debug)]
pub(super) struct Stream {
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    pub(super) fn read(source: impl Read + Send + 'static) -> Stream {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut bytes = Vec::new();
            while matches!(source.read_until(b'\n', &mut bytes), Ok(count) if count > 0) {
                let line = String::from_utf8_lossy(&bytes).trim_end().to_string();
                bytes.clear();
                let mut lines = sink.lock().expect("no reader panics");
                if lines.len() == LINES_MAX {
                    lines.remove(0);
                }
                lines.push(line);
            }
        });
        Stream { lines, reader: Some(reader) }
    }

    pub(super) fn find<T>(&self, found: &impl Fn(&str) -> Option<T>) -> Option<T> {
        self.lines.lock().expect("no reader panics").iter().find_map(|line| found(line))
    }

    pub(super) fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lines.lock().expect("no reader panics");
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    pub(super) fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.lines.lock().expect("no reader panics").join("\n")
    }
}
