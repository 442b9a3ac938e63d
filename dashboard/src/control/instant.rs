//! Instants and durations as an organiser types and reads them.
//!
//! It turns text into microseconds of UTC and back, and words what is wrong with the text. It reads no clock.

use crate::live::clock::{self, utc_ms};
use flowtest_contest::contest::When;
use flowtest_contest::timeline::INSTANT_MAX;
use flowtest_contract::rules::UtcUs;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use std::time::Duration;

const HOW_TO: &str = "write a date and time such as 2026-12-01T10:45, or with its offset as 2026-12-01T10:45:00Z, or \
                      +20m to count from the start";
/// As much of what somebody typed as a message repeats.
const SHOWN_CHARS: usize = 60;

/// Reads an instant: RFC 3339, or a date and time in `zone` (`Europe/Berlin`, `+02:00`, `UTC`; empty is UTC), or
/// `+20m`, which counts from whatever the field is about.
pub fn when(text: &str, zone: &str) -> Result<When, String> {
    let text = text.trim();
    if let Some(offset) = text.strip_prefix('+') {
        let duration = humantime::parse_duration(offset.trim())
            .map_err(|_| format!("{:?} is no duration: write it as +90s or +1h 20m", shown(text)))?;
        let us = u64::try_from(duration.as_micros()).ok().filter(|us| *us <= INSTANT_MAX.0);
        return us.map(|us| When::AfterStart { us }).ok_or_else(|| format!("{:?} is too long", shown(text)));
    }
    instant(text, zone).map(When::At)
}

/// The same where only one instant makes sense: what counts from the start counts from `now`.
pub fn at(text: &str, zone: &str, now: UtcUs) -> Result<UtcUs, String> {
    match when(text, zone)? {
        When::At(at) => Ok(at),
        When::AfterStart { us } => {
            Some(now.saturating_add(us)).filter(|at| *at <= INSTANT_MAX).ok_or_else(|| too_far(text))
        }
    }
}

fn instant(text: &str, zone: &str) -> Result<UtcUs, String> {
    if text.is_empty() {
        return Err(format!("it is empty: {HOW_TO}"));
    }
    let timestamp = match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => {
            let local: DateTime = text.parse().map_err(|_| format!("{:?} is no instant: {HOW_TO}", shown(text)))?;
            let zone = time_zone(zone)?;
            // Around the change of clocks an hour comes twice or never: nobody may have to guess which was meant.
            zone.to_ambiguous_timestamp(local).unambiguous().map_err(|_| {
                format!(
                    "{:?} comes twice or never in that zone, for its clocks change then: give it with its offset, such \
                     as 2026-10-25T02:30:00+02:00",
                    shown(text)
                )
            })?
        }
    };
    u64::try_from(timestamp.as_microsecond())
        .ok()
        .filter(|at| *at > 0)
        .map(UtcUs)
        .ok_or_else(|| format!("{:?} lies before 1970: {HOW_TO}", shown(text)))
        .and_then(|at| Some(at).filter(|at| *at <= INSTANT_MAX).ok_or_else(|| too_far(text)))
}

fn too_far(text: &str) -> String {
    format!("{:?} lies beyond the year 2255: set it earlier", shown(text))
}

/// A zone by its IANA name, or a fixed offset. A browser sends one of the two.
fn time_zone(zone: &str) -> Result<TimeZone, String> {
    let zone = zone.trim();
    if zone.is_empty() || zone.eq_ignore_ascii_case("utc") || zone == "Z" {
        return Ok(TimeZone::UTC);
    }
    if let Some(offset) = fixed_offset(zone) {
        return Ok(TimeZone::fixed(offset));
    }
    TimeZone::get(zone).map_err(|_| {
        format!("{:?} is no time zone that this machine knows: write an offset such as +02:00, or UTC", shown(zone))
    })
}

/// `+02:00`, `-0330`.
fn fixed_offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    Some(minutes).filter(|minutes| *minutes < 60)?;
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

/// RFC 3339 in UTC, to the second: for people.
pub fn rfc3339(at: UtcUs) -> String {
    clock::rfc3339(utc_ms(at))
}

/// The same to the microsecond: what is read again means the same instant.
fn exact(at: UtcUs) -> String {
    let at = i64::try_from(at.0).ok().and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
    at.unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// `1m 30s`.
pub fn duration(us: u64) -> String {
    humantime::format_duration(Duration::from_micros(us)).to_string()
}

/// What a field shows of a deadline: nothing, an instant or `+20m`.
pub fn when_text(when: Option<When>) -> String {
    match when {
        None => String::new(),
        Some(When::At(at)) => exact(at),
        Some(When::AfterStart { us }) => format!("+{}", duration(us)),
    }
}

/// A message repeats the beginning of what somebody typed.
pub fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: UtcUs = UtcUs(1_796_126_400_000_000); // 2026-12-01T12:00:00Z

    #[test]
    fn an_instant_is_read_as_people_write_it() {
        // (text, zone, UTC)
        let cases = [
            ("2026-12-01T12:00:00Z", "", "2026-12-01T12:00:00Z"),
            // the offset in the text wins over the zone beside it
            ("2026-12-01T13:00:00+01:00", "America/New_York", "2026-12-01T12:00:00Z"),
            // what a datetime-local field sends
            ("2026-12-01T13:00", "+01:00", "2026-12-01T12:00:00Z"),
            ("2026-12-01 13:00:30", "+0100", "2026-12-01T12:00:30Z"),
            ("2026-12-01T12:00", "", "2026-12-01T12:00:00Z"),
            ("2026-12-01T08:30", "-03:30", "2026-12-01T12:00:00Z"),
            (" 2026-12-01T12:00 ", "UTC", "2026-12-01T12:00:00Z"),
        ];
        for (text, zone, expected) in cases {
            assert_eq!(
                when(text, zone),
                Ok(When::At(UtcUs(expected.parse::<jiff::Timestamp>().expect("an instant").as_microsecond() as u64))),
                "{text:?} in {zone:?}"
            );
        }
        assert_eq!(when("+20m", ""), Ok(When::AfterStart { us: 1_200_000_000 }));
        assert_eq!(at("+30s", "", NOON), Ok(NOON + 30_000_000));
    }

    #[test]
    fn what_is_no_instant_is_told_with_what_to_write() {
        // (text, zone, part of the sentence)
        let cases = [
            ("", "", "is empty"),
            ("soon", "", "is no instant"),
            ("2026-13-01T12:00", "", "is no instant"),
            ("+soon", "", "is no duration"),
            ("2026-12-01T12:00", "Mars/Olympus", "no time zone"),
            ("2026-12-01T12:00", "+99:99", "no time zone"),
            ("1969-12-01T12:00:00Z", "", "before 1970"),
            ("9999-12-01T12:00:00Z", "", "2255"),
        ];
        for (text, zone, part) in cases {
            let error = when(text, zone).expect_err(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_hour_that_comes_twice_must_say_which() {
        // Machines without zone files know no names.
        if TimeZone::get("Europe/Berlin").is_ok() {
            let error = when("2026-10-25T02:30", "Europe/Berlin").expect_err("it comes twice");
            assert!(error.contains("twice"), "{error}");
            assert!(when("2026-10-25T04:30", "Europe/Berlin").is_ok());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_instant_or_a_sentence(text in ".{0,80}", zone in ".{0,20}") {
            if let Err(error) = when(&text, &zone) {
                prop_assert!(error.contains(' '), "{}", error);
            }
        }

        #[test]
        fn what_is_shown_is_read_again(us in 1u64..INSTANT_MAX.0, offset in 1u64..1_000_000_000) {
            for wanted in [When::At(UtcUs(us)), When::AfterStart { us: offset }] {
                prop_assert_eq!(when(&when_text(Some(wanted)), "-05:00"), Ok(wanted));
            }
        }
    }
}
