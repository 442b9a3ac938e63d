//! What there is one of: Redis, the round, the plan, the house target.

use super::check::{Group, List, Mark};
use super::contestant::{all_right, judge_test};
use super::generator::heard;
use super::situation::{House, Situation, Tested};
use crate::control::instant;
use flowtest_contest::State;
use flowtest_contest::contest::{Load, Phase};

/// Requests a second of one generator core that it surely keeps up with.
const CORE_RATE: u64 = 100_000;

/// Room on the disk below which somebody should look, and below which a write may fail any minute.
const DISK_WARN_BYTES: u64 = 1 << 30;
const DISK_NO_BYTES: u64 = 64 << 20;
/// A clock that is further off than this shows another time in the audit log than people's watches do.
const CLOCK_WARN_US: u64 = 2_000_000;

pub(super) fn steering(list: &mut List, situation: &Situation) {
    if let Some(sentence) = &situation.steered_elsewhere {
        list.add(Group::Platform, "Steering", Mark::No, format!("Steered elsewhere: {sentence}."));
    }
}

pub(super) fn database(list: &mut List, situation: &Situation) {
    let free_mib = situation.database.free_bytes.map(|bytes| bytes >> 20);
    let room = free_mib.map_or_else(String::new, |mib| format!(" {mib} MiB are free on its disk."));
    let (mark, message) = match (&situation.database.trouble, situation.database.free_bytes) {
        (Some(trouble), _) if situation.is_unsaved => {
            (Mark::No, format!("{trouble} A stop is in force that it does not hold yet."))
        }
        (Some(trouble), _) => (Mark::No, trouble.clone()),
        (None, Some(bytes)) if bytes < DISK_NO_BYTES => (Mark::No, format!("It is about to be full:{room} Make room.")),
        (None, Some(bytes)) if bytes < DISK_WARN_BYTES => (Mark::Warn, format!("It takes writes.{room} Make room.")),
        (None, _) => (Mark::Go, format!("It takes writes.{room}")),
    };
    list.add(Group::Platform, "Database", mark, message);
}

pub(super) fn clock(list: &mut List, situation: &Situation) {
    let off_us = situation.clock_ahead_us;
    if off_us.unsigned_abs() > CLOCK_WARN_US {
        let (by, which) = (
            instant::duration(off_us.unsigned_abs() / 1_000_000 * 1_000_000),
            if off_us > 0 { "ahead of" } else { "behind" },
        );
        let message = format!(
            "This machine's clock is {by} {which} Redis's. The contest goes by Redis's; sessions and the audit log go by this \
             one: set it, as with chrony."
        );
        list.add(Group::Platform, "Clock", Mark::Warn, message);
    }
}

pub(super) fn redis(list: &mut List, situation: &Situation) {
    match (&situation.redis, &situation.conflict) {
        (Some(error), _) => list.add(Group::Platform, "Redis", Mark::No, error),
        (None, Some(conflict)) => list.add(Group::Platform, "Redis", Mark::No, conflict),
        (None, None) => {
            list.add(Group::Platform, "Redis", Mark::Go, "Redis answers, takes writes and holds our document.");
        }
    }
}

pub(super) fn round(list: &mut List, situation: &Situation) {
    let (mark, message) = match situation.state {
        _ if situation.halted => (Mark::No, "All traffic is stopped: release the red switch first.".to_owned()),
        State::Draft => (Mark::Go, "No round is in the way.".to_owned()),
        State::Sealed | State::Aborted => {
            (Mark::No, format!("The last round is {}: prepare the next one.", situation.state))
        }
        state => (Mark::No, format!("A round is {state}: wait until it is sealed, or abort it.")),
    };
    list.add(Group::Platform, "Round", mark, message);
}

pub(super) fn plan(list: &mut List, situation: &Situation) {
    let Some(contest) = &situation.contest else {
        return list.add(
            Group::Platform,
            "Plan",
            Mark::No,
            "Nobody can play yet: contestants set their endpoints first.",
        );
    };
    let length = instant::duration(contest.duration_us());
    let asked = peak(&contest.phases).saturating_mul(contest.contestants.len() as u64);
    let cores: u64 = heard(situation).map(|health| u64::from(health.cores)).sum();
    if !contest.phases.iter().any(|phase| phase.scored) {
        return list.add(
            Group::Platform,
            "Plan",
            Mark::Warn,
            "No phase of the plan is scored: all points stay as they are.",
        );
    }
    let count = contest.contestants.len();
    let all = format!("{length} for {count} contestants, at most {asked} requests a second in all");
    if cores > 0 && asked > cores.saturating_mul(CORE_RATE) {
        return list.add(
            Group::Platform,
            "Plan",
            Mark::Warn,
            format!("{all}: that is much for {cores} generator cores; add generators, or lower the rate."),
        );
    }
    list.add(Group::Platform, "Plan", Mark::Go, format!("{all}."));
}

fn peak(phases: &[Phase]) -> u64 {
    let rates = phases.iter().map(|phase| match phase.load {
        Load::Open { from, to } => from.max(to),
        Load::Closed { .. } => 0,
    });
    rates.max().unwrap_or(0)
}

pub(super) fn house(list: &mut List, situation: &Situation) {
    let (mark, message) = match &situation.house {
        House::Unset => (
            Mark::Warn,
            "No house target is set: if all contestants lose points together, nobody can tell whose fault it was."
                .to_owned(),
        ),
        House::LeftOut(reason) => (Mark::No, format!("The house target cannot play: {reason}.")),
        House::Set(tested) => judge_test(tested.as_ref(), situation.now),
    };
    // What the house loses, the platform lost: a wrong answer of it is never a contestant's own trouble.
    let wrong = matches!(&situation.house, House::Set(Some(Tested { answer: Some(answer), .. })) if !all_right(answer));
    list.add(Group::Platform, "House target", if wrong { Mark::No } else { mark }, message);
}
