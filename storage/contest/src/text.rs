//! Text that came from somewhere else, made fit for a terminal, a page and a line of JSON.
//!
//! It never fails and never grows past its bound, whatever the bytes were.

use flowtest_contract::text::is_hidden;
use std::fmt::Write;

/// Bytes as printable ASCII: `\r`, `\n`, `\t`, `\\`, and `\x1b` for what has no character of its own. At most
/// `bytes_max` bytes come out; an ellipsis of three dots says that something was cut.
pub fn printable(bytes: &[u8], bytes_max: usize) -> String {
    let mut text = String::with_capacity(bytes.len().min(bytes_max));
    for byte in bytes {
        let before = text.len();
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => write!(text, "\\x{other:02x}").expect("writing to a String does not fail"),
        }
        if text.len() > bytes_max {
            text.truncate(before);
            return cut(text, bytes_max);
        }
    }
    text
}

/// Text with its control and hidden characters escaped, at most `bytes_max` bytes long. What is printable already
/// stays as it is, so that doing it twice changes nothing.
pub fn bounded(text: &str, bytes_max: usize) -> String {
    let mut bounded = String::with_capacity(text.len().min(bytes_max));
    for c in text.chars() {
        let before = bounded.len();
        if is_hidden(c) {
            write!(bounded, "\\u{{{:x}}}", u32::from(c)).expect("writing to a String does not fail");
        } else {
            bounded.push(c);
        }
        if bounded.len() > bytes_max {
            bounded.truncate(before);
            return cut(bounded, bytes_max);
        }
    }
    bounded
}

/// Says that something is missing, without growing past the bound.
fn cut(mut text: String, bytes_max: usize) -> String {
    const MARK: &str = "...";
    let mut keep = text.len().min(bytes_max.saturating_sub(MARK.len()));
    while !text.is_char_boundary(keep) {
        keep -= 1;
    }
    text.truncate(keep);
    text.push_str(&MARK[..MARK.len().min(bytes_max)]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_shown_as_people_write_them() {
        assert_eq!(
            printable(b"GET / HTTP/1.1\r\nX: \\\t\x1b[2J\xff", 100),
            "GET / HTTP/1.1\\r\\nX: \\\\\\t\\x1b[2J\\xff"
        );
        assert_eq!(printable(b"abcdefgh", 6), "abc...");
        assert_eq!(printable(b"abcdef", 6), "abcdef");
        assert_eq!(bounded("a\u{202e}b\u{7}", 100), "a\\u{202e}b\\u{7}");
    }

    #[test]
    fn every_byte_is_printable_and_told_apart() {
        let all: Vec<u8> = (0..=255).collect();
        let single: std::collections::HashSet<String> = all.iter().map(|byte| printable(&[*byte], 9)).collect();
        assert_eq!(single.len(), 256);
    }

    proptest! {
        #[test]
        fn nothing_grows_past_its_bound(bytes in proptest::collection::vec(any::<u8>(), 0..80), max in 0usize..60) {
            let text = printable(&bytes, max);
            prop_assert!(text.len() <= max && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let text = bounded(&String::from_utf8_lossy(&bytes), max);
            prop_assert!(text.len() <= max && !text.chars().any(is_hidden));
            prop_assert_eq!(&bounded(&text, max), &text);
        }
    }
}
