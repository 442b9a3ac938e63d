//! Instants on a page. Each is a `<time>` that reads in UTC, and that the script says in the zone of whoever looks. Nothing
//! else writes an instant into a page; paper and files, which nobody's script reads, have them in UTC.

use crate::views::format;
use jiff::Timestamp;
use sailfish::runtime::{Buffer, Render, RenderError, escape};
use std::ops::Range;

/// One instant.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    at_ms: i64,
    style: Style,
    class: &'static str,
}

/// What the script says of it.
#[derive(Clone, Copy, Debug)]
enum Style {
    /// Day and time.
    Full,
    /// The time of day.
    Clock,
    /// How long ago it is.
    Ago,
    /// The time, the day where it is another one, and how far away it is.
    When,
}

/// `2026-11-23 10:45:00 UTC`
pub fn full(at_ms: i64) -> Time {
    Time { at_ms, style: Style::Full, class: "" }
}

/// `10:45:00 UTC`
pub fn clock(at_ms: i64) -> Time {
    Time { at_ms, style: Style::Clock, class: "" }
}

/// `10:45:00 UTC`, and with the script `5 min ago`.
pub fn ago(at_ms: i64) -> Time {
    Time { at_ms, style: Style::Ago, class: "" }
}

impl Time {
    #[must_use]
    pub fn class(mut self, class: &'static str) -> Time {
        self.class = class;
        self
    }

    fn text(&self) -> String {
        match self.style {
            Style::Full | Style::When => format::utc(self.at_ms),
            Style::Clock | Style::Ago => format::utc_clock(self.at_ms),
        }
    }

    /// `text` needs no escape: it is of digits and letters.
    fn write(&self, text: &str, b: &mut Buffer) {
        let class = if self.class.is_empty() { String::new() } else { format!(" class=\"{}\"", self.class) };
        let style = match self.style {
            Style::Full => "",
            Style::Clock => " data-style=\"clock\"",
            Style::Ago => " data-style=\"ago\"",
            Style::When => " data-style=\"when\"",
        };
        let (at_ms, datetime) = (self.at_ms, format::rfc3339(self.at_ms));
        b.push_str(&format!("<time{class} datetime=\"{datetime}\" data-ms=\"{at_ms}\"{style}>{text}</time>"));
    }
}

impl Render for Time {
    fn render(&self, b: &mut Buffer) -> Result<(), RenderError> {
        b.push_str(&self.text());
        Ok(())
    }

    fn render_escaped(&self, b: &mut Buffer) -> Result<(), RenderError> {
        self.write(&self.text(), b);
        Ok(())
    }
}

/// A sentence of ours: each instant of UTC that stands in it is a [`Time`]. What somebody typed is no such sentence, for it is
/// shown as it was typed.
#[derive(Clone, Copy, Debug)]
pub struct Prose<'a>(&'a str);

pub fn said(text: &str) -> Prose<'_> {
    Prose(text)
}

impl Render for Prose<'_> {
    fn render(&self, b: &mut Buffer) -> Result<(), RenderError> {
        b.push_str(self.0);
        Ok(())
    }

    fn render_escaped(&self, b: &mut Buffer) -> Result<(), RenderError> {
        let mut rest = self.0;
        while let Some((place, at_ms)) = first_instant(rest) {
            escape::escape_to_buf(&rest[..place.start], b);
            Time { at_ms, style: Style::When, class: "" }.write(&rest[place.clone()], b);
            rest = &rest[place.end..];
        }
        escape::escape_to_buf(rest, b);
        Ok(())
    }
}

/// A text of a page, by who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// A sentence or a value of ours, shown as [`said`].
    Ours(String),
    /// What somebody typed.
    Typed(String),
}

impl Words {
    pub fn as_str(&self) -> &str {
        match self {
            Words::Ours(text) | Words::Typed(text) => text,
        }
    }
}

impl Render for Words {
    fn render(&self, b: &mut Buffer) -> Result<(), RenderError> {
        self.as_str().render(b)
    }

    fn render_escaped(&self, b: &mut Buffer) -> Result<(), RenderError> {
        match self {
            Words::Ours(text) => said(text).render_escaped(b),
            Words::Typed(text) => text.render_escaped(b),
        }
    }
}

/// How an instant of UTC ends in a sentence of ours, as RFC 3339 has it or in words.
const ENDS: [&str; 2] = ["Z", " UTC"];
/// Without its end: `2026-11-23T10:45:00`, to a fraction as fine as a nanosecond.
const LENGTHS: std::ops::RangeInclusive<usize> = 19..=29;

/// Where the first instant of a text stands, and when it is.
fn first_instant(text: &str) -> Option<(Range<usize>, i64)> {
    let digits = text.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit());
    digits.map(|(from, _)| from).find_map(|from| {
        ENDS.iter().find_map(|end| {
            let length = text[from..].find(end).filter(|length| LENGTHS.contains(length))?;
            let instant: Timestamp = format!("{}Z", &text[from..from + length]).parse().ok()?;
            Some((from..from + length + end.len(), instant.as_millisecond()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn page(of: &impl Render) -> String {
        let mut buffer = Buffer::new();
        of.render_escaped(&mut buffer).expect("it is written");
        buffer.into_string()
    }

    #[test]
    fn an_instant_reads_in_utc_and_says_how_the_script_is_to_say_it() {
        let at = 1_763_894_700_000;
        let known = r#"datetime="2025-11-23T10:45:00Z" data-ms="1763894700000""#;
        assert_eq!(page(&full(at)), format!("<time {known}>2025-11-23 10:45:00 UTC</time>"));
        assert_eq!(page(&clock(at)), format!(r#"<time {known} data-style="clock">10:45:00 UTC</time>"#));
        let ago = page(&ago(at).class("muted small"));
        assert_eq!(ago, format!(r#"<time class="muted small" {known} data-style="ago">10:45:00 UTC</time>"#));
        assert_eq!(page(&full(i64::MAX)), format!(r#"<time datetime="" data-ms="{}">–</time>"#, i64::MAX));
    }

    #[test]
    fn each_instant_of_a_sentence_is_one_and_all_else_is_text() {
        // (sentence, on the page with each instant as its milliseconds)
        let cases = [
            ("<b> & 12 \"ways\"", "&lt;b&gt; &amp; 12 &quot;ways&quot;"),
            ("v1 until 2025-11-23 10:45:00 UTC, then v2", "v1 until [1763894700000], then v2"),
            ("from 2025-11-23T10:45:00Z on", "from [1763894700000] on"),
            ("2025-11-23T10:45:00.25Z → 2025-11-23T10:46:00Z", "[1763894700250] → [1763894760000]"),
            ("round 12 at 10.0.0.1:8080: 2025-11-23 Z, ü 7Z", "round 12 at 10.0.0.1:8080: 2025-11-23 Z, ü 7Z"),
            ("", ""),
        ];
        for (text, expected) in cases {
            let mut page = page(&said(text));
            while let Some(from) = page.find("<time") {
                let to = from + page[from..].find("</time>").expect("it ends") + "</time>".len();
                let ms = page[from..to].split("data-ms=\"").nth(1).and_then(|rest| rest.split('"').next());
                page = format!("{}[{}]{}", &page[..from], ms.expect("an instant"), &page[to..]);
            }
            assert_eq!(page, expected, "{text:?}");
        }
    }

    #[test]
    fn no_template_writes_an_instant_by_itself() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        let mut seen = 0;
        for entry in fs::read_dir(folder).expect("the templates") {
            let path = entry.expect("a template").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            // A file to take away, and paper.
            if ["report.stpl", "slips.stpl"].contains(&name.as_str()) {
                continue;
            }
            let template = fs::read_to_string(&path).expect("a template");
            for own in ["<time", "format::utc", "data-ms=\""] {
                assert!(!template.contains(own), "{name} has {own}: views/time.rs writes instants");
            }
            seen += 1;
        }
        assert!(seen > 40, "{seen} templates");
    }
}
