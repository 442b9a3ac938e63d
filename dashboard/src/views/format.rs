//! How numbers and instants read, on every page. `assets/format.js` says the same in the browser.

pub use crate::live::clock::rfc3339;
use crate::live::{Figures, RevealWait};
use flowtest_accounts::Ruling;
use flowtest_contest::ladder::Unbroken;
use flowtest_contest::{DecidedBy, State};
use flowtest_contract::RoundValidity;
use flowtest_contract::text::{self, grouped, three_digits};
use jiff::Timestamp;

/// The minus sign that is as wide as a plus.
const MINUS: char = '\u{2212}';
/// Said where nothing is known.
const NOTHING: &str = "–";

/// `1,234,567`, `−400`.
pub fn points(points: i64) -> String {
    let digits = grouped(points.unsigned_abs());
    if points < 0 { format!("{MINUS}{digits}") } else { digits }
}

/// `+1,200`, `−400`, `0`.
pub fn signed(points: i64) -> String {
    if points > 0 { format!("+{}", grouped(points.unsigned_abs())) } else { self::points(points) }
}

/// Signed, or a dash.
pub fn signed_or_none(points: Option<i64>) -> String {
    points.map_or_else(|| NOTHING.to_owned(), signed)
}

/// Its first letter is a capital.
pub fn capital(text: &str) -> String {
    let mut letters = text.trim().chars();
    let first: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    first + letters.as_str()
}

/// A message as it stands alone: with a capital and a full stop.
pub fn as_message(text: &str) -> String {
    let text = capital(text);
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    text + stop
}

/// `1,234,567`
pub fn count(count: u64) -> String {
    grouped(count)
}

/// `3`, or a dash before the first points.
pub fn rank(rank: Option<u32>) -> String {
    rank.map_or_else(|| NOTHING.to_owned(), |rank| rank.to_string())
}

/// `1st`, `2nd`, `3rd`, `11th`, `22nd`.
pub fn ordinal(rank: u32) -> String {
    let ending = match (rank % 10, rank % 100) {
        (1, teen) if teen != 11 => "st",
        (2, teen) if teen != 12 => "nd",
        (3, teen) if teen != 13 => "rd",
        _ => "th",
    };
    format!("{rank}{ending}")
}

/// `▲ 3`, `▼ 1`, `=`: the number stands always beside the arrow.
pub fn rank_change(ranks: i64) -> String {
    match ranks {
        0 => "=".to_owned(),
        1.. => format!("▲ {ranks}"),
        _ => format!("▼ {}", ranks.unsigned_abs()),
    }
}

/// What somebody holds in a breakpoint phase: `1,250/s`, or a dash where nothing was tried.
pub fn holds(holds: Option<u64>) -> String {
    holds.map_or_else(|| NOTHING.to_owned(), |holds| format!("{}/s", grouped(holds)))
}

/// What it is asked for now, or why its limit is not known; nothing where it held no breakpoint phase.
pub fn climbing(figures: &Figures) -> String {
    // A climb that does not count is told of while it goes on.
    if let (Some(holds), Some(tries)) = (figures.climb_holds, figures.tries) {
        return if tries < holds { "rests".to_owned() } else { format!("tries {}", grouped(tries)) };
    }
    let Some(holds) = figures.holds else { return String::new() };
    match (figures.unbroken, figures.unbroken_by, figures.tries, figures.breaks_at) {
        (true, unbroken, ..) => unbroken.unwrap_or(Unbroken::Max).mark().to_owned(),
        // Below what it holds a server rests before the next step.
        (false, _, Some(tries), _) if tries < holds => "rests".to_owned(),
        (false, _, Some(tries), _) => format!("tries {}", grouped(tries)),
        (false, _, None, Some(at)) => format!("breaks at {}", grouped(at)),
        (false, _, None, None) => String::new(),
    }
}

/// What is said about a tie; points need no word.
pub fn decided(by: DecidedBy) -> &'static str {
    match by {
        DecidedBy::Points => "",
        DecidedBy::Holds => "holds less",
        DecidedBy::HeldP99 => "holds as much, slower",
        DecidedBy::HeldFirst => "holds as much, later",
        DecidedBy::Failures => "fewer failures above",
        DecidedBy::P99 => "lower p99 above",
        DecidedBy::ReachedFirst => "reached it later",
        DecidedBy::Shared => "shared rank",
        DecidedBy::Absent => "did not play",
    }
}

/// A round's state as the database has it; one that another program wrote may be unknown here.
pub fn round_state(state: Option<State>) -> &'static str {
    state.map_or("unknown", State::as_str)
}

/// How much of a round is valid: `57 of 60 measured seconds are valid, 1,200 of 60,000 requests count for nobody.`
pub fn validity(validity: &RoundValidity) -> String {
    let RoundValidity { seconds, valid_seconds, due, void, .. } = *validity;
    let seconds = match seconds {
        0 => "No generator told its seconds".to_owned(),
        seconds => format!("{} of {} measured seconds are valid", grouped(valid_seconds), grouped(seconds)),
    };
    format!("{seconds}{}, {} of {} requests count for nobody.", late(validity), grouped(void), grouped(due))
}

/// How late all seconds together were, where that decides: one second of sixty may be let pass, and not one that was late all
/// through.
pub fn late(validity: &RoundValidity) -> String {
    match validity.is_late() {
        true => format!(", {} ms of all were late", grouped(validity.late_ms)),
        false => String::new(),
    }
}

/// `valid` or `not valid`; a dash for a round that was sealed before anybody asked.
pub fn is_valid(validity: Option<RoundValidity>) -> &'static str {
    match validity {
        None => NOTHING,
        Some(validity) if validity.is_valid() => "valid",
        Some(_) => "not valid",
    }
}

/// Why nothing is revealed yet.
pub fn hides_result((number, waits): (u32, RevealWait)) -> String {
    match waits {
        RevealWait::Seal => {
            format!(
                "Round {number} is not sealed: its last answers are being counted. Wait for that, then reveal the result."
            )
        }
        RevealWait::Ruling => {
            format!("Round {number} is sealed and not valid: say on Control whether it counts, then reveal the result.")
        }
    }
}

/// That the board is frozen, and why it still is.
pub fn frozen(waits: Option<RevealWait>) -> &'static str {
    match waits {
        None => "board frozen",
        Some(RevealWait::Seal) => "board frozen: the reveal waits until the round is sealed",
        Some(RevealWait::Ruling) => "board frozen: the reveal waits for the word on its validity",
    }
}

/// The same for who can do something about it.
pub fn reveal_waits(waits: RevealWait) -> &'static str {
    match waits {
        RevealWait::Seal => {
            "The instant of the reveal has come, and the round is not sealed: as soon as it is, and is valid, everybody sees the result."
        }
        RevealWait::Ruling => {
            "The instant of the reveal has come, and the round is not valid: as soon as you say whether it counts, everybody sees the result."
        }
    }
}

/// What the organiser said of a round.
pub fn ruling(ruling: Ruling) -> &'static str {
    match ruling {
        Ruling::Count => "counts all the same, by the organiser's ruling",
        Ruling::Void => "voided by the organiser, counts nothing",
        Ruling::Replay => "to be played again, counts nothing",
    }
}

/// Colours that `assets/app.css` has; no picture has more lines.
pub const COLOURS: usize = 12;

/// The CSS classes of a colour, `c0` to `c11`, and of the dash that the second half has, `d1`.
pub fn colour_class(colour: u32) -> String {
    let colour = colour as usize % COLOURS;
    if colour < COLOURS / 2 { format!("c{colour}") } else { format!("c{colour} d1") }
}

/// The class that colours a movement or a difference.
pub fn tone(number: i64) -> &'static str {
    match number {
        1.. => "up",
        0 => "even",
        _ => "down",
    }
}

/// `99.8 %`, `100 %`; a dash without responses. Nothing but 1000 reads as 100.
pub fn permille(permille: Option<u16>) -> String {
    match permille {
        None => NOTHING.to_owned(),
        Some(1_000..) => "100 %".to_owned(),
        Some(part) => format!("{}.{} %", part / 10, part % 10),
    }
}

/// `99.49 %` of a whole, rounded down; a dash of nothing.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { NOTHING.to_owned() } else { text::percent(part, whole) }
}

/// `0.34 %` of a whole, as [`percent`]. What is not quite nothing does not read as 0 either.
pub fn share(part: u64, whole: u64) -> String {
    match part {
        0 if whole > 0 => "0 %".to_owned(),
        1.. if u128::from(part) * 10_000 < u128::from(whole) => "<0.01 %".to_owned(),
        _ => percent(part, whole),
    }
}

/// `820 µs`, `1.24 ms`, `35.1 ms`, `3.00 s`; a dash for what was not measured.
pub fn micros(us: Option<u64>) -> String {
    us.map_or_else(|| NOTHING.to_owned(), text::micros)
}

/// A clock's offset with its sign: `+1.20 ms`.
pub fn micros_signed(us: i64) -> String {
    let sign = if us < 0 { MINUS } else { '+' };
    format!("{sign}{}", micros(Some(us.unsigned_abs())))
}

/// `3 s`, `2.5 s`, `500 ms`.
pub fn millis(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        _ if ms.is_multiple_of(1_000) => format!("{} s", ms / 1_000),
        _ => format!("{:.1} s", ms as f64 / 1_000.0),
    }
}

/// `412 B`, `3.20 GB`, in powers of ten as disks are sold.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut number = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while number >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1_000.0;
        unit += 1;
    }
    format!("{} {}", three_digits(number), UNITS[unit])
}

/// `4:12`, `1:04:12`: a length of time in seconds.
pub fn duration(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// How long until an instant, as [`duration`]; zero when it is over.
pub fn until(at_ms: i64, now_ms: i64) -> String {
    duration(u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0).div_ceil(1_000))
}

/// How much of a span is over, in thousandths; 0 while its ends are not known.
pub fn progress(start_ms: Option<i64>, end_ms: Option<i64>, now_ms: i64) -> u32 {
    let (Some(start), Some(end)) = (start_ms, end_ms) else { return 0 };
    if end <= start {
        return 0;
    }
    let part = (i128::from(now_ms) - i128::from(start)) * 1_000 / (i128::from(end) - i128::from(start));
    part.clamp(0, 1_000) as u32
}

/// `0.9987` as a share that is never rounded up to 1.
pub fn ratio(ratio: Option<f64>) -> String {
    ratio
        .filter(|ratio| ratio.is_finite())
        .map_or_else(|| NOTHING.to_owned(), |ratio| format!("{:.4}", (ratio * 1e4).floor() / 1e4))
}

/// `2 contestants`, `1 contestant`.
pub fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count as u64), if count == 1 { one } else { many })
}

fn timestamp(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

/// `2026-11-23 10:45:00 UTC`, until the script says it in local time.
pub fn utc(ms: i64) -> String {
    timestamp(ms).map_or_else(|| NOTHING.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// `10:45:00 UTC`
pub fn utc_clock(ms: i64) -> String {
    timestamp(ms).map_or_else(|| NOTHING.to_owned(), |at| at.strftime("%H:%M:%S UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stands_alone_whatever_it_was_part_of() {
        let cases =
            [("no answer came ", "No answer came."), ("änderung?", "Änderung?"), ("", "."), ("It is so.", "It is so.")];
        for (text, message) in cases {
            assert_eq!(as_message(text), message);
        }
    }

    #[test]
    fn numbers_are_grouped_and_signed() {
        let cases = [(0, "0", "0"), (999, "999", "+999"), (1_000, "1,000", "+1,000"), (-12_345, "−12,345", "−12,345")];
        for (number, plain, with_sign) in cases {
            assert_eq!((points(number).as_str(), signed(number).as_str()), (plain, with_sign));
        }
        assert_eq!(points(i64::MIN), "−9,223,372,036,854,775,808");
    }

    #[test]
    fn what_is_held_says_what_comes_next_or_what_ended_it() {
        let of = |tries, breaks_at, unbroken_by: Option<Unbroken>| Figures {
            holds: Some(1_250),
            tries,
            breaks_at,
            unbroken: unbroken_by.is_some(),
            unbroken_by,
            ..Figures::default()
        };
        let cases = [
            (of(Some(1_562), None, None), "tries 1,562"),
            (of(Some(625), Some(1_562), None), "rests"),
            (of(None, Some(1_562), None), "breaks at 1,562"),
            (of(None, None, Some(Unbroken::Generator)), "fleet limit"),
            (of(None, Some(1_562), Some(Unbroken::Generator)), "fleet limit"),
            (of(None, None, Some(Unbroken::Connections)), "connection limit"),
            (of(Some(1_562), None, Some(Unbroken::Time)), "time limit"),
            (of(None, None, Some(Unbroken::Max)), "unbroken"),
        ];
        for (figures, said) in cases {
            assert_eq!((holds(figures.holds).as_str(), climbing(&figures).as_str()), ("1,250/s", said));
        }
        let nothing = Figures::default();
        assert_eq!((holds(nothing.holds).as_str(), climbing(&nothing).as_str()), ("–", ""));
    }

    #[test]
    fn ordinals_know_the_teens() {
        let read: Vec<String> = [1, 2, 3, 4, 11, 12, 13, 21, 101, 111, 122].into_iter().map(ordinal).collect();
        assert_eq!(read.join(" "), "1st 2nd 3rd 4th 11th 12th 13th 21st 101st 111th 122nd");
    }

    #[test]
    fn only_a_whole_thousand_reads_as_a_hundred() {
        assert_eq!([Some(1_000), Some(999), Some(5), None].map(permille), ["100 %", "99.9 %", "0.5 %", "–"]);
        assert_eq!(ratio(Some(0.999_99)), "0.9999");
        assert_eq!(
            [(0, 0), (0, 5), (1, 1_000_000), (34, 10_000), (99_996, 100_000), (5, 5)]
                .map(|(part, whole)| share(part, whole)),
            ["–", "0 %", "<0.01 %", "0.34 %", "99.99 %", "100 %"]
        );
    }

    #[test]
    fn measures_keep_three_digits() {
        assert_eq!(
            [Some(0), Some(820), Some(1_240), Some(35_120), Some(350_000), Some(3_000_000), None].map(micros),
            ["0 µs", "820 µs", "1.24 ms", "35.1 ms", "350 ms", "3.00 s", "–"]
        );
        assert_eq!([412, 3_200_000_000, u64::MAX].map(bytes), ["412 B", "3.20 GB", "18.4 EB"]);
        assert_eq!([59, 252, 3_852].map(duration), ["0:59", "4:12", "1:04:12"]);
    }

    #[test]
    fn an_instant_beyond_every_calendar_is_no_panic() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(rfc3339(1_763_892_000_123), "2025-11-23T10:00:00Z");
        assert_eq!((utc(i64::MAX).as_str(), rfc3339(i64::MIN).as_str()), ("–", ""));
    }
}
