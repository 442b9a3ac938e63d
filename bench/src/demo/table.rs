//! The live table: redrawn in place on a terminal, a plain line now and then elsewhere.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use flowtest_contest::standings::Standing;
use flowtest_contract::text::grouped;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a plain line is written where nothing can be redrawn.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// Rows arrive ten times a second, so a rate over less than this would jitter.
const RATE_OVER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
    /// Lines of the table on the screen, to be drawn over.
    lines: usize,
    plain: Option<Instant>,
    /// Answers of each contestant when rates were last measured, and when.
    before: Option<(Instant, BTreeMap<String, u64>)>,
    rates: BTreeMap<String, f64>,
}

impl Screen {
    pub(super) fn new() -> Screen {
        Screen {
            terminal: std::io::stdout().is_terminal(),
            lines: 0,
            plain: None,
            before: None,
            rates: BTreeMap::new(),
        }
    }

    /// Shows the standings. `title` stands above them.
    pub(super) fn show(&mut self, title: &str, standings: &[Standing]) {
        let rates = self.rates(standings);
        let mut out = std::io::stdout().lock();
        if self.terminal {
            let text = format!("{title}\n{}\n", table(standings, &rates));
            // Up to where the last table began, and clear from there.
            let up = if self.lines > 0 { format!("\x1b[{}A\x1b[J", self.lines) } else { String::new() };
            let _ = write!(out, "{up}{text}");
            self.lines = text.lines().count();
        } else if self.plain.is_none_or(|last| last.elapsed() >= PLAIN_EVERY) {
            self.plain = Some(Instant::now());
            let _ = writeln!(out, "{title}{}", plain(standings));
        }
        let _ = out.flush();
    }

    /// The last table, which stays.
    pub(super) fn finish(&mut self, title: &str, standings: &[Standing]) {
        let mut out = std::io::stdout().lock();
        if self.terminal && self.lines > 0 {
            let _ = write!(out, "\x1b[{}A\x1b[J", self.lines);
        }
        self.lines = 0;
        let _ = writeln!(out, "{title}\n{}", table(standings, &BTreeMap::new()));
        let _ = out.flush();
    }

    /// Answers per second of each contestant, measured over at least [`RATE_OVER`].
    fn rates(&mut self, standings: &[Standing]) -> BTreeMap<String, f64> {
        let now = Instant::now();
        let answers = |line: &Standing| (line.name.clone(), line.row.tally.responses());
        let Some((then, before)) = &self.before else {
            self.before = Some((now, standings.iter().map(answers).collect()));
            return self.rates.clone();
        };
        let elapsed = now.duration_since(*then);
        if elapsed >= RATE_OVER {
            let rate = |(name, count): (String, u64)| {
                let grown = count.saturating_sub(before.get(&name).copied().unwrap_or(0));
                (name, grown as f64 / elapsed.as_secs_f64())
            };
            self.rates = standings.iter().map(answers).map(rate).collect();
            self.before = Some((now, standings.iter().map(answers).collect()));
        }
        self.rates.clone()
    }
}

impl Default for Screen {
    fn default() -> Screen {
        Screen::new()
    }
}

fn table(standings: &[Standing], rates: &BTreeMap<String, f64>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    let mut head = vec!["#", "name", "score"];
    if !rates.is_empty() {
        head.push("rate/s");
    }
    // Right/wrong. A narrow terminal folds cells rather than lines, so that the count of lines stays true.
    head.extend(["token ✓/✗", "version ✓/✗", "from ✓/✗", "failed", "p50 ms", "p99 ms"]);
    let columns = head.len();
    table.set_header(head);
    for line in standings {
        let tally = &line.row.tally;
        let mut cells = vec![line.rank.to_string(), line.name.clone(), grouped(line.points)];
        if !rates.is_empty() {
            cells.push(format!("{:.0}", rates.get(&line.name).copied().unwrap_or(0.0)));
        }
        let judged = |right: u64, wrong: u64| format!("{right}/{wrong}");
        let ms =
            |quantile| line.row.latency.quantile(quantile).map_or("-".into(), |us| format!("{:.2}", us as f64 / 1e3));
        cells.extend([
            judged(tally.token_right, tally.token_wrong),
            judged(tally.version_right, tally.version_wrong),
            judged(tally.from_right, tally.from_wrong),
            tally.failures().to_string(),
            ms(0.5),
            ms(0.99),
        ]);
        table.add_row(cells);
    }
    for index in (0..columns).filter(|index| *index != 1) {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

fn plain(standings: &[Standing]) -> String {
    let line = |line: &Standing| format!("  {}. {} {}", line.rank, line.name, grouped(line.points));
    standings.iter().map(line).collect()
}
