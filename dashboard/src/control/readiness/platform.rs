//! What there is one of: Redis, the round, the plan, the house target.

use super::check::{Group, List, Mark};
use super::contestant::{judge_contestant, judge_test};
use super::generator::heard;
use super::situation::{Contestant, House, Situation, Tested, Unsaved};
use crate::control::instant;
use flowtest_contest::breakpoint::Breakpoint;
use flowtest_contest::contest::{Load, Phase};
use flowtest_contest::policy::TlsTrust;
use flowtest_contest::{Contest, State};

/// Requests a second of one generator core that it surely keeps up with.
pub const CORE_RATE: u64 = 100_000;

/// About what one exchange takes in both directions: a request with its headers, an answer of the reference server.
pub const EXCHANGE_BYTES: u64 = 500;

/// Room on the disk below which somebody should look, and below which a write may fail any minute.
const DISK_WARN_BYTES: u64 = 1 << 30;
const DISK_NO_BYTES: u64 = 64 << 20;
/// A clock that is further off than this shows another time in the audit log than people's watches do.
const CLOCK_WARN_US: u64 = 2_000_000;

pub(super) fn steering(list: &mut List, situation: &Situation) {
    if let Some(why) = &situation.steered_elsewhere {
        list.add(Group::Platform, "Steering", Mark::No, format!("Steered elsewhere: {why}."));
    }
}

/// That certificates are not looked at is the organiser's to know; that they are is what everybody expects.
pub(super) fn certificates(list: &mut List, situation: &Situation) {
    if situation.contest.as_ref().is_some_and(|contest| contest.policy.tls == TlsTrust::Any) {
        let message = "Over https any certificate will do, also one that a contestant has signed itself.";
        list.add(Group::Platform, "Certificates", Mark::Go, message);
    }
}

pub(super) fn database(list: &mut List, situation: &Situation) {
    let free_mib = situation.database.free_bytes.map(|bytes| bytes >> 20);
    let room = free_mib.map_or_else(String::new, |mib| format!(" {mib} MiB are free on its disk."));
    let unsaved = match situation.unsaved {
        Unsaved::Nothing => "",
        Unsaved::Change => " A change is in force that it does not hold yet.",
        Unsaved::UntoldStop => {
            " A stop is in force that neither it nor Redis holds yet: a restart of this dashboard would lose it."
        }
    };
    let (mark, message) = match (&situation.database.trouble, situation.database.free_bytes) {
        (Some(trouble), _) => (Mark::No, format!("{trouble}{unsaved}")),
        (None, _) if situation.unsaved == Unsaved::UntoldStop => (Mark::No, unsaved.trim_start().to_owned()),
        (None, Some(bytes)) if bytes < DISK_NO_BYTES => (Mark::No, format!("It is about to be full:{room} Make room.")),
        (None, Some(bytes)) if bytes < DISK_WARN_BYTES => (Mark::Warn, format!("It takes writes.{room} Make room.")),
        (None, _) if situation.unsaved == Unsaved::Change => (Mark::Warn, format!("It takes writes.{unsaved}")),
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
    let trouble = [&situation.redis, &situation.conflict, &situation.unread].into_iter().flatten().next();
    match trouble {
        Some(trouble) => list.add(Group::Platform, "Redis", Mark::No, trouble),
        None if situation.steered_elsewhere.is_some() => {
            list.add(
                Group::Platform,
                "Redis",
                Mark::Go,
                "Redis answers, takes writes and holds another dashboard's document.",
            );
        }
        None => list.add(Group::Platform, "Redis", Mark::Go, "Redis answers, takes writes and holds our document."),
    }
}

/// What happens by itself, where it does not.
pub(super) fn due(list: &mut List, situation: &Situation) {
    let no = |trouble: &Option<String>| trouble.clone().map(|trouble| (Mark::No, trouble));
    let told = [
        ("Stop", no(&situation.untold)),
        ("Control", no(&situation.trouble)),
        ("Play", no(&situation.unplayed)),
        ("Seal", situation.unsealed.clone()),
    ];
    for (what, (mark, message)) in told.into_iter().filter_map(|(what, told)| Some((what, told?))) {
        list.add(Group::Platform, what, mark, message);
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
    let count = contest.contestants.len();
    let all = format!(
        "{length} for {count} contestants, {}",
        rate_message(&contest.phases, count as u64, |rate| rate.to_string())
    );
    let (mark, message) = if let Some(beyond) = contest.beyond_fleet() {
        (Mark::No, format!("{all}: {beyond}."))
    } else if !contest.phases.iter().any(|phase| phase.scored) {
        (Mark::Warn, "No phase of the plan is scored: all points stay as they are.".to_owned())
    } else if cores > 0 && asked > cores.saturating_mul(CORE_RATE) {
        let much = format!("{all}: that is much for {cores} generator cores; add generators, or lower the rate.");
        (Mark::Warn, much)
    } else {
        (Mark::Go, format!("{all}."))
    };
    let climbs = [step_limit(contest), fleet_limit(contest, cores), network_need(contest), connection_limit(contest)];
    let pipelined = if is_pipelined(contest) { PIPELINED } else { "" };
    list.add(Group::Platform, "Plan", mark, format!("{message}{}{pipelined}", climbs.concat()));
}

/// The phases in which contestants climb, with what they ask and how far their steps lead at the most.
fn climbs(contest: &Contest) -> impl Iterator<Item = (&Phase, Breakpoint, u64)> {
    contest.phases.iter().filter_map(|phase| match phase.load {
        Load::Breakpoint(climb) => {
            let steps = climb.clock(phase.duration_us, contest.rules.timeout_us).count;
            Some((phase, climb, climb.leads_to(steps).0))
        }
        Load::Open { .. } | Load::Closed { .. } => None,
    })
}

/// How far the steps of a climb lead, where that is not to its `max`, or leaves no time to search what breaks below it.
fn step_limit(contest: &Contest) -> String {
    let told = contest.phases.iter().filter_map(|phase| match phase.load {
        Load::Breakpoint(climb) => step_message(&climb, phase.duration_us, contest.rules.timeout_us),
        Load::Open { .. } | Load::Closed { .. } => None,
    });
    told.map(|message| format!(" {message}")).collect()
}

/// The same of one phase; nothing where there is time for everything.
pub fn step_message(climb: &Breakpoint, duration_us: u64, timeout_us: u64) -> Option<String> {
    let steps = climb.clock(duration_us, timeout_us).count;
    let (highest, searched) = climb.leads_to(steps);
    let max = climb.ladder.max;
    (searched < max).then(|| {
        let end = if highest < max { format!(": whoever holds that ends at a \"time limit\" below max, {max}/s") } else { String::new() };
        format!("The {steps} steps of its climb lead up to {highest}/s{end}; a break is searched to its end up to {searched}/s.")
    })
}

/// Up to which rate of a climb no server is held back by the number of connections; nothing where it ends below it, or there
/// is none.
fn connection_limit(contest: &Contest) -> String {
    let carried = climbs(contest).map(|(phase, climb, most)| {
        let connections = phase.connections;
        (connections, climb.ladder.pass.carried(connections), most)
    });
    let few = carried.filter(|(_, carried, most)| most > carried).min_by_key(|(_, carried, _)| *carried);
    few.map_or_else(String::new, |(connections, carried, _)| {
        format!(
            " Its {connections} connections are enough for every server up to {carried}/s: above that, one whose answers take long \
             for the way can break by them."
        )
    })
}

/// Who fails a pipelined phase, whatever it answers.
const PIPELINED: &str = " A phase has several requests in flight on a connection: a server that closes when two come together, as PHP's \
                         own does, fails it by nature.";

fn is_pipelined(contest: &Contest) -> bool {
    contest.phases.iter().any(|phase| matches!(phase.load, Load::Closed { pipeline, .. } if pipeline > 1))
}

/// How far contestants can climb before the generators are the limit; nothing where the ladders end below it, or there are none.
fn fleet_limit(contest: &Contest, cores: u64) -> String {
    let count = contest.contestants.len() as u64;
    let told = climbs(contest).filter_map(|(_, climb, most)| fleet_message(&climb, most, count, cores));
    told.map(|message| format!(" {message}")).collect()
}

/// The same of one phase, whose steps lead so far at the most. `cores`: of the generators that are heard, 0 where none is.
pub fn fleet_message(climb: &Breakpoint, most: u64, contestants: u64, cores: u64) -> Option<String> {
    let contestants = contestants.max(1);
    // Who cannot begin to climb is told that, and not how far it leads.
    if climb.is_beyond_fleet(contestants) {
        return None;
    }
    let carried = Some(cores.saturating_mul(CORE_RATE) / contestants).filter(|_| cores > 0);
    let said = climb.fleet_max.map(|all| all / contestants);
    let each = carried.into_iter().chain(said).min().filter(|each| *each < most)?;
    let limit = match climb.fleet_max {
        Some(all) if said == Some(each) => format!("its fleet_max of {all}/s for all is"),
        _ => "these cores carry about".to_owned(),
    };
    Some(format!(
        "The climb goes up to {most} a second for each, and {limit} {each} for each when all climb alike: whoever holds that ends \
         as \"fleet limit\", unbroken."
    ))
}

/// What a climb takes of the network at its highest rate, when all climb alike: a full link of ours makes all of them slow.
fn network_need(contest: &Contest) -> String {
    let count = contest.contestants.len() as u64;
    let together = climbs(contest).map(|(_, climb, most)| rate_together(&climb, most, count)).max();
    let Some((all, each)) = together else { return String::new() };
    format!(
        " At {each}/s for each a climb takes about {} MB a second of the network, in both directions together, by small answers: no \
         link of ours may be narrower.",
        all.saturating_mul(EXCHANGE_BYTES).div_ceil(1_000_000)
    )
}

/// The most that a climb asks of the fleet in all, where its steps lead so far at the most, and of that for each.
pub fn rate_together(climb: &Breakpoint, most: u64, contestants: u64) -> (u64, u64) {
    let contestants = contestants.max(1);
    let first = climb.ladder.start.saturating_mul(contestants);
    let all = most.saturating_mul(contestants).min(climb.fleet_max.unwrap_or(u64::MAX)).max(first);
    (all, all / contestants)
}

/// Who plays and whose server answers right. A round with some of them goes; one with none would measure nothing.
pub(super) fn teams(list: &mut List, situation: &Situation) {
    let plays = |contestant: &&Contestant| {
        let Contestant { disabled, disqualified, parked, endpoint, left_out, .. } = contestant;
        !disabled && !disqualified && !parked && endpoint.is_some() && left_out.is_none()
    };
    let playing: Vec<&Contestant> = situation.contestants.iter().filter(plays).collect();
    let ready = playing.iter().filter(|one| judge_contestant(one, situation).0 == Mark::Go).count();
    let of = playing.len();
    let (mark, message) = match ready {
        // The plan says so already.
        _ if of == 0 => return,
        0 => (Mark::No, format!("None of {of} is ready: test all, and see below what each lacks.")),
        ready if ready < of => (Mark::Warn, format!("{ready} of {of} are ready: see below what the others lack.")),
        ready => (Mark::Go, format!("{ready} of {of} are ready.")),
    };
    list.add(Group::Platform, "Teams", mark, message);
}

/// The most requests a second of one contestant, as far as a plan says so.
pub fn peak(phases: &[Phase]) -> u64 {
    let Peaks { open, climb } = Peaks::of(phases);
    open.max(climb.unwrap_or(0))
}

/// The same of all together, in words. `count`: how a number is written.
pub fn rate_message(phases: &[Phase], contestants: u64, count: impl Fn(u64) -> String) -> String {
    let all = |rate: u64| count(rate.saturating_mul(contestants.max(1)));
    match Peaks::of(phases) {
        Peaks { open, climb: None } => format!("at most {} requests a second in all", all(open)),
        Peaks { open: 0, climb: Some(start) } => format!("a climb begins with {} requests a second in all", all(start)),
        Peaks { open, climb: Some(start) } => {
            format!("at most {} requests a second in all, and a climb begins with {}", all(open), all(start))
        }
    }
}

/// Requests a second of one contestant.
struct Peaks {
    /// The most of open phases.
    open: u64,
    /// The most with which a climb begins, where there is one: it goes on as far as the generators can.
    climb: Option<u64>,
}

impl Peaks {
    fn of(phases: &[Phase]) -> Peaks {
        let open = phases.iter().map(|phase| match phase.load {
            Load::Open { from, to } => from.max(to),
            Load::Breakpoint(_) | Load::Closed { .. } => 0,
        });
        let climb = phases.iter().filter_map(|phase| match phase.load {
            Load::Breakpoint(climb) => Some(climb.ladder.start),
            Load::Open { .. } | Load::Closed { .. } => None,
        });
        Peaks { open: open.max().unwrap_or(0), climb: climb.max() }
    }
}

pub(super) fn house(list: &mut List, situation: &Situation) {
    let (mark, message) = match &situation.house {
        House::Unset => (
            Mark::Warn,
            "No house target is set: if all contestants lose points together, nobody can tell whose fault it was."
                .to_owned(),
        ),
        House::LeftOut(reason) => (Mark::No, format!("The house target cannot play: {reason}.")),
        House::Set(tested) => judge_test(tested.as_ref(), situation),
    };
    // What the house loses, the platform lost: a wrong answer of it is never a contestant's own trouble.
    let wrong = match &situation.house {
        House::Set(Some(tested @ Tested { answer: Some(answer), .. })) => {
            !answer.is_verified() && !answer.not_made && tested.expects_as(situation.deadlines, situation.now)
        }
        _ => false,
    };
    list.add(Group::Platform, "House target", if wrong { Mark::No } else { mark }, message);
}
