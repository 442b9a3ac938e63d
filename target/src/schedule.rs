//! Which value a scored header has at an instant: one value for ever, or a second one from a time on.

use flowtest_contract::header::Flip;
use flowtest_contract::rules::UtcUs;

/// One value, or `BEFORE` until an instant and `AFTER` from it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule<T> {
    Always(T),
    FlipsAt(UtcUs),
}

/// Why a schedule was not understood. Each says what to write instead.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScheduleError {
    #[error("\"{spec}\" is no known value; write {before}, {after}, or {before},{after}@TIME")]
    UnknownValue { spec: String, before: &'static str, after: &'static str },
    #[error("\"{time}\" is no time; write an instant such as 2026-12-01T10:45:00Z, or +20s counted from the start")]
    BadTime { time: String },
}

impl<T: Flip> Schedule<T> {
    /// Reads `v1`, `v2` or `v1,v2@TIME` (and likewise for platforms); TIME is RFC 3339, or `+20s` after `start`.
    pub fn parse(spec: &str, start: UtcUs) -> Result<Schedule<T>, ScheduleError> {
        let (before, after) = (T::BEFORE.as_str(), T::AFTER.as_str());
        if let Some(value) = T::from_wire(spec.as_bytes()) {
            return Ok(Schedule::Always(value));
        }
        spec.strip_prefix(before)
            .and_then(|rest| rest.strip_prefix(','))
            .and_then(|rest| rest.strip_prefix(after))
            .and_then(|rest| rest.strip_prefix('@'))
            .ok_or_else(|| ScheduleError::UnknownValue { spec: spec.to_owned(), before, after })
            .and_then(|time| instant(time, start))
            .map(Schedule::FlipsAt)
    }

    pub fn at(&self, now: UtcUs) -> T {
        match *self {
            Schedule::Always(value) => value,
            Schedule::FlipsAt(instant) if now < instant => T::BEFORE,
            Schedule::FlipsAt(_) => T::AFTER,
        }
    }

    /// Microseconds until the value changes; `None` when it will not.
    pub fn changes_in(&self, now: UtcUs) -> Option<u64> {
        match *self {
            Schedule::FlipsAt(instant) if now < instant => Some(instant - now),
            Schedule::FlipsAt(_) | Schedule::Always(_) => None,
        }
    }
}

fn instant(time: &str, start: UtcUs) -> Result<UtcUs, ScheduleError> {
    let bad = || ScheduleError::BadTime { time: time.to_owned() };
    if let Some(offset) = time.strip_prefix('+') {
        let offset = humantime::parse_duration(offset).map_err(|_| bad())?;
        let offset = u64::try_from(offset.as_micros()).map_err(|_| bad())?;
        return start.0.checked_add(offset).map(UtcUs).ok_or_else(bad);
    }
    let instant: jiff::Timestamp = time.parse().map_err(|_| bad())?;
    // An instant before 1970 is as passed as any other.
    Ok(UtcUs(u64::try_from(instant.as_microsecond()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowtest_contract::{Platform, Version};

    const START: UtcUs = UtcUs(1_000_000_000);

    #[test]
    fn one_value_stays() {
        assert_eq!(Schedule::parse("v2", START), Ok(Schedule::Always(Version::V2)));
        assert_eq!(Schedule::parse("EC2", START), Ok(Schedule::Always(Platform::Ec2)));
        assert_eq!(Schedule::Always(Version::V1).changes_in(UtcUs::EPOCH), None);
    }

    #[test]
    fn the_value_flips_exactly_at_its_instant() {
        let schedule = Schedule::<Version>::parse("v1,v2@+20s", START).unwrap();
        assert_eq!(schedule, Schedule::FlipsAt(START + 20_000_000));
        assert_eq!(schedule.at(START + 19_999_999), Version::V1);
        assert_eq!(schedule.changes_in(START + 19_999_999), Some(1));
        assert_eq!(schedule.at(START + 20_000_000), Version::V2);
        assert_eq!(schedule.changes_in(START + 20_000_000), None);
    }

    #[test]
    fn instants_are_rfc_3339() {
        let schedule = Schedule::<Platform>::parse("EC2,ECS@2026-12-01T10:45:00Z", START).unwrap();
        assert_eq!(schedule, Schedule::FlipsAt(UtcUs(1_796_121_900_000_000)));
        assert_eq!(
            Schedule::<Platform>::parse("EC2,ECS@1969-01-01T00:00:00Z", START),
            Ok(Schedule::FlipsAt(UtcUs::EPOCH))
        );
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for spec in ["", "v3", "V1", "v2,v1@+1s", "v1,v2", "v1,v2@", "v1,v2@+", "v1,v2@soon", "v1,v2@+99999999999999y"]
        {
            let error = Schedule::<Version>::parse(spec, START).unwrap_err().to_string();
            assert!(error.contains("; write "), "{spec}: {error}");
        }
    }
}
