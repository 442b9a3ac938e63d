//! Whoever follows deltas sees what whoever comes now sees; and the numbers are the right ones.

use crate::round::{DID, Did, IDLE, NOW, SECOND, World, all_points, contestant, key, name, points};
use crate::viewer::{Page, picture};
use flowtest_accounts::Level;
use flowtest_contest::breakpoint::{Breakpoint, Climbs, HoldSums};
use flowtest_contest::climbed::Climbed;
use flowtest_contest::ladder::{self, HoldVerdict, LadderTerms, Pass};
use flowtest_contest::{Contest, Control, DecidedBy, State};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, Row, StreamId, Tally};
use flowtest_dashboard::live::frame::{Class, FrameBuilder, Link};
use flowtest_dashboard::live::history;
use flowtest_dashboard::live::past::seconds_of;
use flowtest_dashboard::live::{Audience, Freeze, Notice, PlayedRound, TeamState};
use flowtest_dashboard::views::format::climbing;
use flowtest_dashboard::views::ledger::{self, Ledger, LedgerRound};
use flowtest_scoreboard::SeenGenerator;
use flowtest_testkit::documents::generator_health;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const CONTESTANTS: usize = 5;

pub(crate) fn did() -> impl Strategy<Value = Did> {
    (0u64..50, 0u64..3, 0u64..3, 100u64..5_000).prop_map(|(right, wrong, timeouts, latency_us)| Did {
        right,
        wrong,
        timeouts,
        latency_us,
    })
}

/// What may happen beside the traffic.
#[derive(Clone, Debug)]
enum Event {
    Nothing,
    Hide(usize, bool),
    Disqualify(usize, bool),
    Rename(usize, String),
    Adjust(usize, i64),
    Freeze(bool),
    Reveal,
    Announce(String),
    Outage,
}

fn events() -> impl Strategy<Value = Event> {
    let who = 0..CONTESTANTS;
    prop_oneof![
        8 => Just(Event::Nothing),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, hidden)| Event::Hide(who, hidden)),
        1 => (who.clone(), any::<bool>()).prop_map(|(who, out)| Event::Disqualify(who, out)),
        1 => (who.clone(), ".{1,9}").prop_map(|(who, shown)| Event::Rename(who, shown)),
        1 => (who, -500i64..500).prop_map(|(who, points)| Event::Adjust(who, points)),
        1 => any::<bool>().prop_map(Event::Freeze),
        1 => Just(Event::Reveal),
        1 => ".{0,9}".prop_map(Event::Announce),
        1 => Just(Event::Outage),
    ]
}

fn happen(world: &mut World, event: &Event) {
    let facts = &mut world.facts;
    match event {
        Event::Nothing | Event::Outage => {}
        Event::Hide(who, hidden) => facts.contestants[*who].hidden = *hidden,
        Event::Disqualify(who, out) => facts.contestants[*who].disqualified = *out,
        Event::Rename(who, name) => facts.contestants[*who].display_name = name.clone(),
        Event::Adjust(who, points) => drop(facts.adjustments.insert(key(*who), *points)),
        Event::Freeze(on) => facts.freeze = Freeze { at: on.then_some(world.now), ..Freeze::default() },
        Event::Reveal => facts.freeze.revealed = true,
        Event::Announce(text) => {
            facts.notices.push(Notice { id: 1, level: Level::Warn, text: text.clone(), at: world.now, until: None });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(8_192) / 4, ..ProptestConfig::default() })]
    #[test]
    fn deltas_lead_to_what_a_snapshot_shows(
        seconds in vec((vec(did(), CONTESTANTS), events(), any::<[bool; 2]>()), 1..40)
    ) {
        let mut world = World::new(CONTESTANTS);
        let mut builder = FrameBuilder::default();
        // Two that look now and then, and two that never miss a frame.
        let mut pages = [Class::Public, Class::Admin].map(|class| (class, [Page::default(), Page::default()]));
        for (did, event, looks) in &seconds {
            happen(&mut world, event);
            let link = if matches!(event, Event::Outage) {
                world.now += SECOND;
                world.look(false);
                Link::Stale { since: world.now - SECOND }
            } else {
                world.second(did);
                Link::Live
            };
            let frames = builder.build(&world.board, link, world.now);
            for (class, [steady, lazy]) in &mut pages {
                let snapshot = picture(frames.text(*class, None).expect("a snapshot"));
                steady.take(frames.text(*class, steady.seq).expect("something new"));
                prop_assert_eq!(&steady.picture, &snapshot);
                if looks[0] && looks[1] {
                    lazy.take(frames.text(*class, lazy.seq).expect("something new"));
                    prop_assert_eq!(&lazy.picture, &snapshot);
                }
                prop_assert!(frames.text(*class, Some(frames.seq)).is_none(), "nothing is sent twice");
            }
        }
        let (_, [steady, _]) = &pages[0];
        prop_assert!(steady.snapshots >= 1 && steady.snapshots + steady.deltas == seconds.len());
    }

    #[test]
    fn points_are_the_counters_by_the_rules_plus_adjustments(
        seconds in vec(vec(did(), CONTESTANTS), 1..10), adjusted in vec(-5_000i64..5_000, CONTESTANTS)
    ) {
        let mut world = World::new(CONTESTANTS);
        world.facts.adjustments = adjusted.iter().enumerate().map(|(index, points)| (key(index), *points)).collect();
        for did in &seconds {
            world.second(did);
        }
        let standings = world.board.standings(&Audience::Public, world.now);
        for (index, adjusted) in adjusted.iter().enumerate() {
            let contestant = contestant(index);
            let line = standings.of(&contestant.id).expect("a line");
            prop_assert_eq!(line.figures.points, all_points(&world.totals)[contestant.name.as_str()] + adjusted);
            let better = standings.lines.iter().filter(|other| other.figures.points > line.figures.points).count();
            prop_assert!(line.rank.expect("a rank") as usize > better);
        }
    }
}

#[test]
fn a_minute_is_counted_by_its_points_ranks_rate_and_success() {
    let mut world = World::new(2);
    let (slow, fast) = (
        Did { right: 10, wrong: 0, timeouts: 0, latency_us: 900 },
        Did { right: 30, wrong: 10, timeouts: 0, latency_us: 100 },
    );
    // For 90 s the first is ahead, then the second overtakes.
    for _ in 0..90 {
        world.second(&[fast, slow]);
    }
    for _ in 0..58 {
        world.second(&[Did { right: 0, ..slow }, Did { right: 100, ..slow }]);
    }
    let standings = world.board.standings(&Audience::Public, world.now);
    let line = standings.of(&key(1)).expect("a line");
    assert_eq!((line.rank, line.rank_change, line.decided), (Some(1), 1, None));
    assert_eq!(line.figures.points_last_minute, 58 * 100 * 200 + 2 * 10 * 200);
    assert_eq!((line.figures.rate, line.figures.verified_permille), (100, Some(1_000)));
    let line = standings.of(&key(0)).expect("a line");
    assert_eq!((line.rank, line.rank_change, line.decided), (Some(2), -1, Some(DecidedBy::Points)));
    assert_eq!((line.figures.rate, line.figures.verified_permille), (0, None), "nothing happened in the last seconds");
    let p99 = world.totals.contestants["c0"].latency.quantile(0.99);
    assert_eq!((line.figures.p99_us, line.figures.failures), (p99, 0));
}

#[test]
fn equal_points_are_decided_by_who_came_there_first() {
    let mut world = World::new(2);
    world.second(&[IDLE, DID]);
    world.second(&[DID, IDLE]);
    world.second(&[IDLE, IDLE]);
    let standings = world.board.standings(&Audience::Public, world.now);
    let summary: Vec<_> =
        standings.lines.iter().map(|line| (line.contestant.name.as_str(), line.rank, line.decided)).collect();
    assert_eq!(summary, [("c1", Some(1), None), ("c0", Some(2), Some(DecidedBy::ReachedFirst))]);
}

#[test]
fn who_misses_a_deadline_is_alive_and_told_which_and_its_strip_shows_when() {
    let mut world = World::new(1);
    let mut rows = Vec::new();
    let mut second = |world: &mut World, version: bool, from: bool| {
        let row = world.totals.contestants.entry(name(0)).or_default();
        let count = |is: bool| if is { 5 } else { 0 };
        row.tally.merge(&Tally {
            due: 5,
            sent: 5,
            token_right: 5,
            version_right: count(version),
            version_wrong: count(!version),
            from_right: count(from),
            from_wrong: count(!from),
            ..Tally::default()
        });
        world.second(&[]);
        rows.push(world.board.archive().expect("a second"));
        let line = world.board.standings(&Audience::Public, world.now).of(&key(0)).cloned().expect("a line");
        (line.state, line.figures.verified_permille)
    };
    // Ten good seconds, the version's deadline is missed for twelve, mended, and then the platform's.
    let said: Vec<_> = [(true, true), (false, true), (true, true), (true, false)]
        .into_iter()
        .map(|(version, from)| {
            let all: Vec<_> = (0..12).map(|_| second(&mut world, version, from)).collect();
            *all.last().expect("twelve")
        })
        .collect();
    let (good, half) = ((Some(TeamState::Playing), Some(1_000)), |state| (Some(state), Some(0)));
    assert_eq!(said, [good, half(TeamState::WrongVersion), good, half(TeamState::WrongFrom)]);
    // Each second is as it was, whatever was wrong before it.
    let strip: Vec<(u64, u64)> = seconds_of(None, &rows, &key(0)).iter().map(|one| (one.verified, one.wrong)).collect();
    let expected: Vec<(u64, u64)> =
        [(5, 0), (0, 5), (5, 0), (0, 5)].into_iter().flat_map(|one| std::iter::repeat_n(one, 12)).collect();
    assert_eq!(strip, expected);
}

#[test]
fn how_somebody_fared_is_known_after_a_stop_and_belongs_to_its_round() {
    let mut world = World::new(2);
    let right = Did { right: 5, wrong: 0, timeouts: 0, latency_us: 100 };
    let dead = Did { right: 0, wrong: 0, timeouts: 5, latency_us: 100 };
    (0..12).for_each(|_| world.second(&[right, dead]));
    let fared = |world: &World| [0, 1].map(|index| world.board.fared().get(&key(index)).map(|fared| fared.state));
    let known = [Some(TeamState::Playing), Some(TeamState::Failing)];
    assert_eq!(fared(&world), known);
    let set = |world: &mut World, change: &dyn Fn(&mut Control)| change(Arc::make_mut(&mut world.control));
    // The red switch stops all, and says nothing of anybody; nor does a pause.
    set(&mut world, &|control| control.halted = true);
    world.second(&[]);
    assert_eq!(fared(&world), known);
    set(&mut world, &|control| (control.halted, control.state) = (false, State::Paused));
    (0..90).for_each(|_| world.second(&[]));
    let line = world.board.standings(&Audience::Admin, world.now).of(&key(1)).cloned().expect("a line");
    assert_eq!((fared(&world), line.state), (known, None));
    // Another round is armed.
    set(&mut world, &|control| (control.round, control.state) = (Some(RoundId::from_bits(8)), State::Armed));
    world.second(&[]);
    assert_eq!(fared(&world), [None, None]);
}

#[test]
fn sealed_rounds_are_carried_and_a_round_is_never_counted_twice() {
    let mut world = World::new(2);
    let did = Did { right: 5, wrong: 0, timeouts: 1, latency_us: 100 };
    world.second(&[did, did]);
    let shown =
        |world: &World| world.board.standings(&Audience::Public, world.now).of(&key(0)).cloned().expect("a line");
    let of_round = points(&world.totals.contestants["c0"]);
    assert_eq!(shown(&world).figures.points, of_round);
    // An earlier round adds to it, failures and latencies too.
    let mut row = Row::default();
    crate::round::add(&mut row, Did { right: 10, wrong: 0, timeouts: 3, latency_us: 100_000 });
    world.facts.carried.add(RoundId::from_bits(1), key(0), 1_234, &row);
    world.second(&[]);
    let line = shown(&world);
    assert_eq!((line.figures.points, line.figures.failures), (of_round + 1_234, 4));
    assert!(line.figures.p99_us >= Some(100_000), "{line:?}");
    // This one is sealed and copied: Redis's word is not added to its result.
    world.facts.carried.add(RoundId::from_bits(7), key(0), of_round, &world.totals.contestants["c0"]);
    world.second(&[]);
    assert_eq!(shown(&world).figures.points, of_round + 1_234);
}

#[test]
fn what_is_held_counts_once_and_is_shown_when_redis_is_gone() {
    let mut world = World::new(2);
    let mut control = (*world.control).clone();
    control.contest.breakpoint_points = 3;
    world.control = Arc::new(control);
    let ladder = LadderTerms {
        start: 100,
        step: ladder::Step::Times(2.0),
        max: 9_000,
        pass: Pass { verified: 0.99, p99_us: 250_000 },
    };
    let mut climbs = Climbs::new(Breakpoint { ladder, hold_us: 3_000_000, fleet_max: None }, 0);
    for (step, broken) in [(1, false), (2, true)] {
        let measured = |index: usize, broken: bool| {
            let due = climbs.expected(index);
            (
                format!("c{index}"),
                HoldSums { due, verified: if broken { 0 } else { due }, p99_us: Some(900), ..HoldSums::default() },
            )
        };
        let measured = [measured(0, false), measured(1, broken)];
        let decision = climbs.decide(step, (UtcUs(1), UtcUs(2)), measured);
        world.totals.decisions.push(Arc::new(decision));
    }
    world.second(&[DID, DID]);
    let shown = |world: &World, index: usize| {
        world.board.standings(&Audience::Public, world.now).of(&key(index)).expect("a line").figures
    };
    let [climbing, broken] = [shown(&world, 0), shown(&world, 1)];
    assert_eq!((climbing.holds, climbing.tries, climbing.points), (Some(200), Some(400), 1_000 + 600));
    assert_eq!((broken.holds, broken.breaks_at, broken.tries), (Some(100), Some(200), Some(50)));
    assert_eq!((broken.tried, broken.step_verdict), (Some(200), Some(HoldVerdict::FailedByVerified)));
    // The round is sealed and copied, and Redis has forgotten it.
    for (index, holds) in [(0, 200), (1, 100)] {
        let points = 1_000 + 3 * holds as i64;
        world.facts.carried.add(
            RoundId::from_bits(7),
            key(index),
            points,
            &world.totals.contestants[&format!("c{index}")],
        );
        let climbed = Climbed::of(&format!("c{index}"), world.totals.decisions.iter().map(|decision| &**decision));
        world.facts.carried.add_climb(key(index), climbed.expect("it climbed"));
    }
    world.totals.decisions.clear();
    world.second(&[]);
    assert_eq!((shown(&world, 0).holds, shown(&world, 0).points), (Some(200), 1_600));
    assert_eq!((shown(&world, 1).holds, shown(&world, 1).points), (Some(100), 1_300));
    assert_eq!((shown(&world, 0).tries, shown(&world, 1).breaks_at), (None, Some(200)));
}

/// The contestant passes the step before this one.
fn pass_step(world: &mut World, climbs: &mut Climbs, step: u32) {
    let due = climbs.expected(0);
    let sums = HoldSums { due, verified: due, p99_us: Some(900), ..HoldSums::default() };
    let decision = climbs.decide(step, (UtcUs(1), UtcUs(2)), [("c0".to_owned(), sums)]);
    world.totals.decisions.push(Arc::new(decision));
}

/// The contestant passes the first step of this phase, two where it is the contest's first; then a second goes by.
fn pass_steps(world: &mut World, breakpoint: Breakpoint, first: u32) {
    let mut climbs = Climbs::new(breakpoint, first);
    for step in 1..=(if first == 0 { 2 } else { 1 }) {
        pass_step(world, &mut climbs, first + step);
    }
    world.second(&[DID]);
}

/// Two climbs of this length, of which the first counts.
fn two_climbs(length: &str) -> Contest {
    let climb = |scored: bool| {
        format!(
            "[[phase]]\nkind = \"breakpoint\"\nfor = \"{length}\"\nstart = 100\nstep = \"x2\"\nhold = \"5s\"\nconnections = 64\n\
             pass = {{ verified = 0.99, p99 = \"250ms\" }}\nmax = 9000\nscored = {scored}\n"
        )
    };
    let text = format!(
        "name = \"cup\"\n[rules]\ntimeout = \"1s\"\n{}{}[policy]\nallow = [\"127.0.0.0/8\"]\n[[contestant]]\nname = \"c0\"\nendpoint = \"127.0.0.1:1\"\n",
        climb(true),
        climb(false)
    );
    Contest::from_toml(&text).expect("a contest")
}

#[test]
fn a_climb_that_does_not_count_pays_nothing_and_takes_nothing_away() {
    let contest = two_climbs("2m");
    let mut world = World::new(1);
    let mut control = (*world.control).clone();
    (control.contest.breakpoint_points, control.contest.phases) = (3, contest.phases.clone());
    control.contest.rules.timeout_us = contest.rules.timeout_us;
    world.control = Arc::new(control);
    let (mut shown, mut running) = (Vec::new(), Vec::new());
    for (first, breakpoint) in contest.breakpoints() {
        pass_steps(&mut world, breakpoint, first);
        let figures = world.board.standings(&Audience::Public, world.now).of(&key(0)).expect("a line").figures;
        shown.push((figures.holds, figures.tries, figures.points));
        running.push((figures.climb_holds, climbing(&figures)));
    }
    let points = shown[0].2;
    assert_eq!(shown[0], (Some(200), Some(400), points));
    assert_eq!(
        (shown[1].0, shown[1].1),
        (Some(200), Some(200)),
        "the climb that runs is shown, and what counts stands"
    );
    assert!(points >= 600 && shown[1].2 >= points, "{shown:?}");
    // Who holds more in what counts does not rest in what runs.
    assert_eq!(running, [(None, "tries 400".to_owned()), (Some(100), "tries 200".to_owned())]);
}

#[test]
fn a_climb_that_is_over_tries_nothing_and_shows_nothing_in_the_first_step_of_the_next() {
    // Three steps of nine seconds each.
    let contest = two_climbs("27s");
    let mut world = World::new(1);
    let control = Arc::make_mut(&mut world.control);
    (control.contest.phases, control.contest.rules.timeout_us) = (contest.phases.clone(), contest.rules.timeout_us);
    let shown = |world: &mut World, second: u64| {
        world.now = NOW + (second - 1) * SECOND;
        world.second(&[DID]);
        world.board.standings(&Audience::Public, world.now).of(&key(0)).expect("a line").figures
    };
    let (first, breakpoint, bounds) = contest.bounded_breakpoints()[0];
    let mut climbs = Climbs::new(breakpoint, first).within(bounds);
    let mut tried = Vec::new();
    for step in 1..=3 {
        pass_step(&mut world, &mut climbs, step);
        tried.push(shown(&mut world, u64::from(step) * 9 - 1).tries);
    }
    assert_eq!(tried, [Some(200), Some(400), None], "nobody judges what comes behind the last step");
    let next = shown(&mut world, 28);
    assert_eq!((next.holds, next.tries, next.tried, next.climb_holds), (Some(400), None, None, None));
    // Nobody could decide of its last step, and its phase is over.
    world.totals.decisions.pop();
    assert_eq!((shown(&mut world, 29).tried, shown(&mut world, 56).tries), (None, None));
}

#[test]
fn a_practice_round_stands_alone_and_the_contest_comes_back_after_it() {
    let mut world = World::new(2);
    world.facts.carried.add(RoundId::from_bits(1), key(0), 1_234, &Row::default());
    world.facts.adjustments.insert(key(1), 77);
    let contest = Arc::clone(&world.control);
    world.control = Arc::new(crate::round::running(2, RoundId::from_bits(9), false, NOW));
    world.second(&[DID, DID]);
    let shown = |world: &World, index: usize| {
        world.board.standings(&Audience::Public, world.now).of(&key(index)).expect("a line").figures.points
    };
    assert_eq!([shown(&world, 0), shown(&world, 1)], [1_000, 1_000]);
    world.control = contest;
    world.totals.contestants.clear();
    world.second(&[DID, DID]);
    assert_eq!([shown(&world, 0), shown(&world, 1)], [2_234, 1_077]);
}

#[test]
fn a_practice_round_leaves_the_contests_curve_and_who_got_there_first() {
    let mut world = World::new(2);
    world.second(&[IDLE, DID]);
    world.second(&[DID, IDLE]);
    let curve = |world: &World| {
        let body = history::write(&world.board, &Audience::Public, world.now, UtcUs::EPOCH, 1);
        serde_json::from_slice::<serde_json::Value>(&body).expect("JSON")["points"]["u0"].clone()
    };
    assert_eq!(curve(&world), serde_json::json!([0, 1_000]));
    let (contest, totals) = (Arc::clone(&world.control), world.totals.clone());
    world.control = Arc::new(crate::round::running(2, RoundId::from_bits(9), false, NOW));
    world.totals.contestants.clear();
    for _ in 0..3 {
        world.second(&[DID, IDLE]);
    }
    assert_eq!(curve(&world), serde_json::json!([1_000, 2_000, 3_000]), "practice points stand alone");
    (world.control, world.totals) = (contest, totals);
    world.second(&[IDLE, IDLE]);
    assert_eq!(curve(&world), serde_json::json!([0, 1_000, 1_000]));
    let standings = world.board.standings(&Audience::Public, world.now);
    let first = (standings.lines[0].contestant.name.as_str(), standings.lines[1].decided);
    assert_eq!(first, ("c1", Some(DecidedBy::ReachedFirst)));
}

/// Bytes that a viewer may be sent for each of 200 contestants who are all busy: once, and each second after that.
const SNAPSHOT_BYTES_EACH: usize = 345;
const DELTA_BYTES_EACH: usize = 130;

#[test]
fn a_frame_of_200_contestants_stays_small() {
    const MANY: usize = 200;
    let mut world = World::new(MANY);
    let mut builder = FrameBuilder::default();
    let mut second = |world: &mut World, second: usize| {
        let busy = |index: usize| Did {
            right: 900 + (index * 37 + second * 101) as u64 % 200,
            wrong: (index * second) as u64 % 3,
            timeouts: (index + second) as u64 % 2,
            latency_us: 700 + (index * 13 + second * 7) as u64 % 900,
        };
        world.second(&(0..MANY).map(busy).collect::<Vec<_>>());
        builder.build(&world.board, Link::Live, world.now)
    };
    let mut frames = second(&mut world, 0);
    for now in 1..70 {
        frames = second(&mut world, now);
    }
    let [snapshot, delta] =
        [None, Some(frames.seq - 1)].map(|seen| frames.text(Class::Public, seen).expect("something new").len());
    assert!(snapshot <= MANY * SNAPSHOT_BYTES_EACH, "a snapshot of {snapshot} bytes");
    assert!(delta <= MANY * DELTA_BYTES_EACH, "a delta of {delta} bytes");
}

#[test]
fn a_second_that_is_not_valid_is_in_frames_and_in_the_curve_for_everybody_and_its_cause_for_organisers() {
    let mut world = World::new(1);
    let mut builder = FrameBuilder::default();
    let mut health = generator_health("g1", world.now);
    health.stream = Some(StreamId::from_bits(1));
    health.round = world.control.round;
    let mut invalid_at = Vec::new();
    for (second, valid) in [true, true, false, true, true, false].into_iter().enumerate() {
        health.validity.seconds += 1;
        health.validity.valid_seconds += u64::from(valid);
        let seen = SeenGenerator { id: "g1".to_owned(), beat: world.now, health: Some(health.clone()), waiting: None };
        // It is gone for one look: its figures stay, and it is late for nothing when it is back.
        world.generators = if second == 3 { Vec::new() } else { vec![seen] };
        world.second(&[DID]);
        if !valid {
            invalid_at.push(json!(world.now.ms()));
        }
    }
    let frames = builder.build(&world.board, Link::Live, world.now);
    let frame =
        |class| -> Value { serde_json::from_str(frames.text(class, None).expect("a frame").as_str()).expect("JSON") };
    let (public, admin) = (frame(Class::Public), frame(Class::Admin));
    for (field, value) in
        [("valid", json!(false)), ("seconds", json!(6)), ("valid_seconds", json!(4)), ("warn", json!(true))]
    {
        assert!(public["validity"][field] == value && admin["validity"][field] == value, "{field}: {public}");
    }
    assert_eq!(
        (&public["validity"]["late_generators"], &admin["validity"]["late_generators"][0]),
        (&Value::Null, &json!("g1"))
    );
    let body = history::write(&world.board, &Audience::Public, world.now, UtcUs::EPOCH, 1);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["invalid"], Value::Array(invalid_at));
}

#[test]
fn the_ledger_adds_up_to_what_the_board_shows_also_with_two_climbs_and_in_practice() {
    let climb = |scored: bool| {
        format!(
            "[[phase]]\nkind = \"breakpoint\"\nfor = \"2m\"\nstart = 100\nstep = \"x2\"\nhold = \"5s\"\nconnections = 64\n\
             pass = {{ verified = 0.99, p99 = \"250ms\" }}\nmax = 9000\nscored = {scored}\n"
        )
    };
    // (which climb counts, the round is scored, its climb before it was voided)
    let cases = [(0, true, false), (1, true, false), (0, true, true), (0, false, false), (1, false, true)];
    for (which, scored, voided) in cases {
        let text = format!(
            "name = \"cup\"\n[rules]\ntimeout = \"1s\"\n{}{}[policy]\nallow = [\"127.0.0.0/8\"]\n[[contestant]]\nname = \"c0\"\nendpoint = \"127.0.0.1:1\"\n",
            climb(which == 0),
            climb(which == 1)
        );
        let contest = Contest::from_toml(&text).expect("a contest");
        let mut world = World::new(1);
        let mut control = crate::round::running(1, RoundId::from_bits(7), scored, NOW);
        (control.contest.breakpoint_points, control.contest.phases) = (3, contest.phases.clone());
        control.contest.rules.timeout_us = contest.rules.timeout_us;
        world.control = Arc::new(control);
        let past = [(1, 1_234, true), (2, 99, !voided)];
        for (round, points, counts) in past {
            let round = RoundId::from_bits(round);
            if counts {
                world.facts.carried.add(round, key(0), points, &Row::default());
            } else {
                world.facts.carried.add_voided(round);
            }
        }
        world.facts.adjustments.insert(key(0), -500);
        for (first, breakpoint) in contest.breakpoints() {
            pass_steps(&mut world, breakpoint, first);
            let holds = ledger::holds(Some(&world.control), Some(&world.totals), "c0");
            let row = &world.totals.contestants["c0"];
            let sealed = |(number, points, counts): (u128, i64, bool)| LedgerRound {
                number: number as u32,
                points,
                counts,
                is_sealed: true,
                ..LedgerRound::default()
            };
            let now = ledger::played(&world.control, &world.facts, row, holds).expect("it is played");
            let practised = now.points;
            let rounds = past.into_iter().map(sealed).chain([now]).collect();
            let ledger = Ledger::of(rounds, vec![("late".to_owned(), -500)], String::new());
            let shown = world.board.standings(&Audience::Owner(key(0)), world.now);
            let points = shown.of(&key(0)).expect("a line").figures.points;
            let beside = ledger::beside_practice(Some(&world.control), &world.facts, &key(0));
            let wanted = if scored { (ledger.total, None) } else { (practised, Some(ledger.total)) };
            assert_eq!((points, beside), wanted, "case {which} {scored} {voided} after the climb from {first}");
        }
        // Sealed, its results are among those of the past: it does not come twice.
        let (start_at, end_at) = (NOW, world.now);
        let (id, settled_at, marks) = (RoundId::from_bits(7), end_at, [].into());
        world.facts.rounds.push(PlayedRound { id, number: 3, scored, start_at, end_at, settled_at, marks });
        assert_eq!(ledger::played(&world.control, &world.facts, &Row::default(), None), None);
    }
}

#[test]
fn the_marks_of_a_round_outlast_it() {
    let mut world = World::new(1);
    world.second(&[DID]);
    let marks = |world: &World| {
        let body = history::write(&world.board, &Audience::Public, world.now, UtcUs::EPOCH, 1);
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let kinds = body["marks"].as_array().expect("a list").iter().map(|mark| mark["kind"].clone());
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(marks(&world), ["phase"]);
    // Sealed, and the next one is a draft already.
    let marked = flowtest_dashboard::live::marks::of_round(&world.control, world.now).into();
    let (start_at, end_at, settled_at) = (NOW, world.now, world.now);
    let id = RoundId::from_bits(7);
    world.facts.rounds.push(PlayedRound { id, number: 1, scored: true, start_at, end_at, settled_at, marks: marked });
    world.look(true);
    assert_eq!(marks(&world), ["phase"], "once");
    world.control = Arc::new(crate::round::draft(1));
    world.look(true);
    assert_eq!(marks(&world), ["phase"]);
}
