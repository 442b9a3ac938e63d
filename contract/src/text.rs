//! Text that people read and may have written: numbers in groups, parts in percent, characters that nobody sees, cells that a spreadsheet
//! would run.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

/// Digits in groups of three, for people: `1,234,567`, `-400`. The comma and the minus are ASCII, so that what a terminal
/// shows can be searched and copied. `dashboard/assets/format.js` says the same in the browser; what programs read (JSON,
/// CSV, metrics) has plain digits.
pub fn grouped(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(1 + digits.len() + digits.len() / 3);
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A part of a whole in percent, for people: `99.99 %`, `100 %`; a dash of nothing. It is rounded down, so that what is not quite
/// all never reads as all.
pub fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        _ if part == whole => "100 %".to_owned(),
        _ => {
            let hundredths = (u128::from(part) * 10_000 / u128::from(whole)).min(9_999);
            format!("{}.{:02} %", hundredths / 100, hundredths % 100)
        }
    }
}

/// A part of 1 in percent, as whoever set it wrote it: 0.995 is `99.5 %`, and 0.55 is no `55.00000000000001 %`.
pub fn percent_of_one(part: f64) -> String {
    format!("{} %", (part * 1e6).round() / 1e4)
}

/// A length of time with three digits: `820 µs`, `1.24 ms`, `35.1 ms`, `3.00 s`.
pub fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", three_digits(us as f64 / 1_000.0)),
        _ => format!("{} s", three_digits(us as f64 / 1_000_000.0)),
    }
}

/// `1.24`, `35.1`, `311`.
pub fn three_digits(number: f64) -> String {
    match number {
        ..10.0 => format!("{number:.2}"),
        10.0..100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// Characters that are not seen, or that turn around what stands beside them: with those a name could pass for another.
///
/// Control characters, the Unicode category Cf, line and paragraph separators, fillers that look like nothing, and
/// variation selectors except the one that makes an emoji colourful.
pub fn is_hidden(symbol: char) -> bool {
    symbol.is_control()
        || matches!(symbol,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}'
            | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Text with its control and hidden characters escaped, so that no terminal obeys it: a line end is `\u{a}`.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for symbol in text.chars() {
        if is_hidden(symbol) {
            write!(escaped, "\\u{{{:x}}}", u32::from(symbol)).expect("writing to a String does not fail");
        } else {
            escaped.push(symbol);
        }
    }
    escaped
}

/// A path as messages print it: whoever names a file may not write on the reader's terminal.
pub fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

/// Text of people as a cell of a table. Spreadsheets run what begins like a formula, so that gets an apostrophe before it.
pub fn inert(cell: &str) -> Cow<'_, str> {
    let is_formula = cell.trim_start().starts_with(['=', '+', '-', '@']) || cell.starts_with(['\t', '\r', '\n']);
    if is_formula { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_cell_is_run() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\tx", " =1", "\r=1", "\nx"] {
            assert_eq!(inert(formula), format!("'{formula}"));
        }
        for plain in ["alice", "a=b", "1-2", ""] {
            assert_eq!(inert(plain), plain);
        }
    }

    #[test]
    fn what_nobody_sees_is_hidden_and_what_somebody_writes_is_not() {
        // newline, escape, soft hyphen, zero width, right-to-left override, isolate, filler, tag
        let hidden = "\n\u{1b}\u{ad}\u{200b}\u{202e}\u{2066}\u{3164}\u{e0041}";
        assert!(hidden.chars().all(is_hidden));
        assert!(!"Ünïcode & <Friends> 赤い彗星 ❤\u{fe0f}".chars().any(is_hidden));
    }

    #[test]
    fn a_path_is_printed_without_what_a_terminal_obeys() {
        assert_eq!(shown(Path::new("/a b/\u{1b}[31m\n\u{202e}x é")), "/a b/\\u{1b}[31m\\u{a}\\u{202e}x é");
    }

    #[test]
    fn one_of_a_million_less_is_not_100_percent() {
        // (part, whole, what people read)
        let cases = [
            (0, 0, "-"),
            (0, 9, "0.00 %"),
            (1, 3, "33.33 %"),
            (999_960, 1_000_000, "99.99 %"),
            (999_999, 1_000_000, "99.99 %"),
            (1_000_000, 1_000_000, "100 %"),
            (u64::MAX - 1, u64::MAX, "99.99 %"),
        ];
        for (part, whole, text) in cases {
            assert_eq!(percent(part, whole), text, "{part} of {whole}");
        }
    }

    #[test]
    fn a_part_of_one_reads_as_it_was_written() {
        let parts = [0.55, 0.995, 0.999_9, 0.57, 1.0, 0.000_1];
        assert_eq!(parts.map(percent_of_one), ["55 %", "99.5 %", "99.99 %", "57 %", "100 %", "0.01 %"]);
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        let cases: [(i128, &str); 8] = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
            (-100, "-100"),
            (-1_000, "-1,000"),
            (i64::MIN.into(), "-9,223,372,036,854,775,808"),
            (i128::MIN, "-170,141,183,460,469,231,731,687,303,715,884,105,728"),
        ];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }
}
