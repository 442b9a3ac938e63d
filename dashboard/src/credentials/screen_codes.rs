//! Short codes by which a machine at a wall becomes a screen, and when each screen was last seen. In memory: a code lives for
//! half an hour, and whoever restarts the dashboard makes another.
//!
//! A code is typed by hand, so it is shorter than the link's secret that it stands for, and long enough that nobody guesses it
//! in its half an hour, however many try: a right one opens whatever others have typed.

use flowtest_accounts::ScreenId;
use flowtest_contract::rules::UtcUs;
use parking_lot::Mutex;
use std::collections::HashMap;

/// How long a code is good.
pub const CODE_LIFE_US: u64 = 30 * 60 * 1_000_000;
/// No letter that is taken for another one, no vowel that makes words.
const LETTERS: &[u8; 28] = b"23456789BCDFGHJKLMNPQRSTVWXZ";
/// Letters of a code, of 28: 2^48 codes. Who asked 20,000 times a second, which is more than we answer, would find one of ten in
/// half an hour once in 800,000 times.
const LENGTH: usize = 10;

/// The codes that are good, and who was seen.
#[derive(Debug, Default)]
pub struct ScreenCodes {
    codes: Mutex<HashMap<String, Offered>>,
    seen: Mutex<HashMap<ScreenId, UtcUs>>,
}

#[derive(Debug)]
struct Offered {
    screen: ScreenId,
    secret: String,
    until: UtcUs,
}

impl ScreenCodes {
    /// A code for a screen's secret. It is written with a dash in its middle.
    pub fn offer(&self, screen: ScreenId, secret: &str, now: UtcUs) -> Result<String, String> {
        let code = draw()?;
        let until = now.saturating_add(CODE_LIFE_US);
        let mut codes = self.codes.lock();
        codes.retain(|_, offered| offered.until > now);
        codes.insert(code.clone(), Offered { screen, secret: secret.to_owned(), until });
        Ok(format!("{}-{}", &code[..LENGTH / 2], &code[LENGTH / 2..]))
    }

    /// The secret behind a code, in whatever case and with whatever between its letters.
    pub fn redeem(&self, typed: &str, now: UtcUs) -> Option<String> {
        let code: String = typed.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
        let codes = self.codes.lock();
        codes.get(&code).filter(|offered| offered.until > now).map(|offered| offered.secret.clone())
    }

    /// A link that was revoked opens nothing by its code either.
    pub fn forget(&self, screen: ScreenId) {
        self.codes.lock().retain(|_, offered| offered.screen != screen);
    }

    pub fn note_seen(&self, screen: ScreenId, now: UtcUs) {
        self.seen.lock().insert(screen, now);
    }

    /// Since this dashboard started.
    pub fn seen_at(&self, screen: ScreenId) -> Option<UtcUs> {
        self.seen.lock().get(&screen).copied()
    }
}

fn draw() -> Result<String, String> {
    let mut code = String::with_capacity(LENGTH);
    while code.len() < LENGTH {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| format!("no random bytes: {error}"))?;
        // What is beyond the letters is drawn again, so that all come equally often.
        let drawn = bytes.iter().filter_map(|byte| LETTERS.get(usize::from(byte & 31)));
        code.extend(drawn.map(|letter| char::from(*letter)).take(LENGTH - code.len()));
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_opens_until_it_is_old_or_its_link_is_revoked() {
        let codes = ScreenCodes::default();
        let code = codes.offer(ScreenId(7), "secret", UtcUs(100)).expect("random bytes");
        assert!(code.len() == LENGTH + 1 && code.as_bytes()[LENGTH / 2] == b'-', "{code}");
        assert_eq!(codes.redeem(&code, UtcUs(200)).as_deref(), Some("secret"));
        assert_eq!(
            codes.redeem(&format!(" {} ", code.to_lowercase().replace('-', " ")), UtcUs(200)).as_deref(),
            Some("secret")
        );
        assert_eq!(codes.redeem(&code, UtcUs(100) + CODE_LIFE_US), None);
        assert_eq!(codes.redeem("", UtcUs(200)), None);
        codes.forget(ScreenId(7));
        assert_eq!(codes.redeem(&code, UtcUs(200)), None);
    }
}
