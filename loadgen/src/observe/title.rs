//! What a run is called, and when it began, as files and pages say it.

use flowtest_contract::rules::UtcUs;

/// What is run.
#[derive(Clone, Debug)]
pub enum Title {
    /// `stress`, of the plan's URLs.
    Stress,
    /// A contest of this name.
    Contest(String),
}

impl Title {
    pub fn name(&self) -> &str {
        match self {
            Title::Stress => "stress",
            Title::Contest(name) => name,
        }
    }
}

/// An instant as people and programs read it, to the millisecond.
pub fn rfc3339(at: UtcUs) -> String {
    i64::try_from(at.ms())
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "-".to_owned(), |instant| instant.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_rfc_3339() {
        assert_eq!(rfc3339(UtcUs(1_700_000_000_123_456)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(UtcUs::MAX), "-");
    }
}
