//! Climbs against servers whose capacity is known.

use super::*;
use crate::ladder::Step;
use proptest::prelude::*;

const PASS: Pass = Pass { verified: 0.995, p99_us: 50_000 };

fn breakpoint(start: u64, times: f64) -> Breakpoint {
    let ladder = LadderTerms { start, step: Step::Times(times), max: 1_000_000, pass: PASS };
    Breakpoint { ladder, hold_us: 5_000_000, fleet_max: None }
}

/// A queue in front of a server that takes so many a second.
fn queue(capacity: f64, rate: u64, due: u64) -> HoldSums {
    let load = rate as f64 / capacity;
    let p99_us = if load < 1.0 { 1_000.0 + 400.0 * load / (1.0 - load) } else { 3_000_000.0 };
    let verified = if load <= 1.0 { due } else { (due as f64 / load) as u64 };
    HoldSums { due, verified, p99_us: Some(p99_us as u64), ..HoldSums::default() }
}

#[test]
fn nonsense_of_others_judges_and_breaks_nothing() {
    let most =
        HoldSums { due: u64::MAX, verified: u64::MAX, own_fault: u64::MAX, late: u64::MAX, ..HoldSums::default() };
    let most = HoldSums { p99_us: Some(u64::MAX), ..most };
    let mut sum = HoldCounts { due: u64::MAX, late: u64::MAX, own_fault: 1, ..HoldCounts::default() };
    sum.merge(&sum.clone());
    assert_eq!((sum.due, sum.own_fault, sum.late), (u64::MAX, 2, u64::MAX));
    let mut climbs = Climbs::new(breakpoint(100, 1.25), 0);
    for (step, sums) in (1..).zip([most, sum.sums(), HoldSums { own_fault: u64::MAX, ..HoldSums::default() }]) {
        let decision = climbs.decide(step, (UtcUs(0), UtcUs(1)), [("alice".to_owned(), sums)]);
        assert_eq!((decision.climbers[0].holds, decision.climbers[0].rate), (0, 100), "{decision:?}");
    }
}

#[test]
fn what_nobody_can_have_decided_is_told_apart() {
    let breakpoint = breakpoint(100, 1.25);
    let max = breakpoint.ladder.max;
    let mut climbs = Climbs::new(breakpoint, 0);
    let made = climbs.clone().decide(1, (UtcUs(0), UtcUs(1)), [("alice".to_owned(), queue(1e9, 100, 100))]);
    assert!(climbs.is_possible(&made));
    for rate in [0, max + 1, 1 << 63, u64::MAX] {
        for is_rest in [false, true] {
            let mut forged = made.clone();
            *if is_rest { &mut forged.climbers[0].rest } else { &mut forged.climbers[0].rate } = rate;
            assert!(!climbs.is_possible(&forged), "{forged:?}");
        }
    }
    assert!(!climbs.is_possible(&Decision { climbers: Vec::new(), ..made }));
    // Whoever holds nothing and is asked for next to nothing is possible.
    for step in 1..30 {
        let decision = climbs.decide(step, (UtcUs(0), UtcUs(1)), [("alice".to_owned(), queue(0.1, 100, 100))]);
        assert!(climbs.is_possible(&decision), "{decision:?}");
    }
}

/// Plays so many steps against servers; the last decision, and all of them.
fn play(
    breakpoint: Breakpoint,
    contestants: usize,
    steps: u32,
    mut server: impl FnMut(u32, usize, u64, u64) -> HoldSums,
) -> Vec<Decision> {
    let mut climbs = Climbs::new(breakpoint, 7);
    let mut rates = vec![breakpoint.ladder.start; contestants];
    let mut follower = climbs.clone();
    let mut decisions = Vec::new();
    for step in 8..8 + steps {
        let measured = (0..contestants).map(|place| {
            let due = climbs.expected(place);
            assert_eq!(due, breakpoint.judged_due(rates[place]), "all know at which rate each is");
            (format!("c{place}"), server(step, place, rates[place], due))
        });
        let measured: Vec<_> = measured.collect();
        let decision = climbs.decide(step, (UtcUs(1), UtcUs(2)), measured);
        assert_eq!((decision.judged, climbs.tried()), (step - 1, step));
        let text = serde_json::to_string(&decision).expect("JSON");
        let heard: Decision = serde_json::from_str(&text).expect("what was written");
        assert_eq!(follower.follow(&heard), decision, "whoever hears of it comes to the same");
        rates = decision.climbers.iter().map(|climber| climber.rate).collect();
        decisions.push(decision);
    }
    decisions
}

/// The same, late by us in a twentieth of it.
fn late(sums: HoldSums) -> HoldSums {
    HoldSums { late: sums.due / 20, ..sums }
}

fn last(decisions: &[Decision]) -> &[Climber] {
    &decisions.last().expect("some steps").climbers
}

#[test]
fn each_finds_its_own_and_stays_there() {
    let capacities = [900.0, 2_100.0, 7_000.0];
    let decisions = play(breakpoint(500, 1.25), 3, 60, |_, place, rate, due| queue(capacities[place], rate, due));
    for (climber, capacity) in last(&decisions).iter().zip(capacities) {
        let holds = climber.holds as f64;
        assert!(holds >= capacity * 0.95 && holds <= capacity, "{climber:?}");
        assert_eq!((climber.trial, climber.rate, climber.unbroken), (None, climber.holds, None));
        assert!(climber.holds_p99_us.is_some_and(|p99_us| p99_us <= PASS.p99_us) && climber.breaks_at.is_some());
    }
}

#[test]
fn a_strong_climber_ends_no_weak_one_where_all_are_late_all_the_time() {
    // All figures are late: whoever passes does so in spite of it. The strong one climbs far above the others' capacities.
    let capacities = [1e9, 1_200.0, 3_000.0];
    let decisions = play(breakpoint(500, 1.25), 3, 60, |_, place, rate, due| late(queue(capacities[place], rate, due)));
    for (climber, capacity) in last(&decisions).iter().zip(capacities).skip(1) {
        let holds = climber.holds as f64;
        assert!(holds >= capacity * 0.95 && holds <= capacity && climber.unbroken.is_none(), "{climber:?}");
        assert!(climber.breaks_at.is_some(), "{climber:?}");
    }
    // The same where the strong one has a limit of its own, and so rests and fails now and then, and two holds of three are late.
    for first_late in 0..3 {
        let capacities = [9_000.0, 1_200.0, 3_000.0];
        let decisions = play(breakpoint(500, 1.25), 3, 80, |step, place, rate, due| {
            let sums = queue(capacities[place], rate, due);
            if (step + first_late) % 3 == 0 { sums } else { late(sums) }
        });
        for (climber, capacity) in last(&decisions).iter().zip(capacities).skip(1) {
            let holds = climber.holds as f64;
            assert!(holds >= capacity * 0.95 && holds <= capacity && climber.unbroken.is_none(), "{climber:?}");
        }
    }
    // Or where it shows something in every other hold alone, from the weak one's limit on.
    for parity in 0..2 {
        let decisions = play(breakpoint(500, 1.25), 2, 80, |step, place, rate, due| {
            let sums = late(queue([1e9, 1_200.0][place], rate, due));
            let void = if place == 0 && step >= 12 && step % 2 == parity { due / 10 } else { 0 };
            HoldSums { own_fault: void, verified: sums.verified.saturating_sub(void), ..sums }
        });
        let weak = &last(&decisions)[1];
        assert!((1_140..=1_200).contains(&weak.holds) && weak.unbroken.is_none(), "{weak:?}");
    }
    // Of two alike nobody shows more than the other: nothing says whose failure it is.
    let decisions = play(breakpoint(500, 1.25), 2, 60, |_, _, rate, due| late(queue(1_200.0, rate, due)));
    for climber in last(&decisions) {
        assert_eq!((climber.holds, climber.unbroken), (976, Some(Unbroken::Generator)), "{climber:?}");
    }
}

#[test]
fn all_who_are_too_slow_at_once_are_held_again_once() {
    // In one hold everybody's answers come slowly: a cable, and none of the servers.
    let slow = |sums: HoldSums, is_slow| HoldSums { p99_us: if is_slow { Some(60_000) } else { sums.p99_us }, ..sums };
    let capacities = [900.0, 2_100.0, 7_000.0];
    let server = |from: u32| {
        move |step: u32, place: usize, rate: u64, due: u64| {
            slow(queue(capacities[place], rate, due), (10..from).contains(&step))
        }
    };
    let once = play(breakpoint(500, 1.25), 3, 60, server(11));
    assert!(once[2].climbers.iter().all(|climber| climber.verdict == Some(HoldVerdict::NotValid)), "{:?}", once[2]);
    assert_eq!(once[3].climbers[2].verdict, Some(HoldVerdict::Passed));
    let twice = play(breakpoint(500, 1.25), 3, 60, server(12));
    assert!(
        twice[3].climbers.iter().all(|climber| climber.verdict == Some(HoldVerdict::FailedByP99)),
        "{:?}",
        twice[3]
    );
}

/// Plays to the end of a phase, which is known; all decisions.
fn play_to(end: u32, contestants: usize, mut server: impl FnMut(u32, usize, u64, u64) -> HoldSums) -> Vec<Decision> {
    let mut climbs = Climbs::new(breakpoint(500, 1.25), 0).within(Bounds { end, ..Bounds::NONE });
    let mut rates = vec![500; contestants];
    let decisions = (1..=end).map(|step| {
        let measured = (0..contestants)
            .map(|place| (format!("c{place}"), server(step, place, rates[place], climbs.expected(place))));
        let measured: Vec<_> = measured.collect();
        let decision = climbs.decide(step, (UtcUs(1), UtcUs(2)), measured);
        rates = decision.climbers.iter().map(|climber| climber.rate).collect();
        decision
    });
    decisions.collect()
}

#[test]
fn when_all_fail_at_once_near_the_end_what_was_shown_stands() {
    let capacities = [900.0, 2_100.0, 7_000.0];
    let end = 60;
    // Which holds a switch of ours fails in, counted from the end, which is 0: in those nobody's answer comes, or half of them.
    let failing: [&[u32]; 6] = [&[0], &[1, 0], &[2, 1], &[2, 1, 0], &[6, 5, 4, 3, 2, 1, 0], &[3, 1]];
    for (contestants, failing, share) in [2, 3]
        .into_iter()
        .flat_map(|contestants| failing.map(|failing| (contestants, failing)))
        .flat_map(|(contestants, failing)| [0, 1].map(|share| (contestants, failing, share)))
    {
        let decisions = play_to(end, contestants, |step, place, rate, due| {
            let sums = queue(capacities[place], rate, due);
            let down = HoldSums { verified: share * due / 2, p99_us: Some(500_000), ..sums };
            if failing.contains(&(end - step)) { down } else { sums }
        });
        let holds: Vec<u64> = last(&decisions).iter().map(|climber| climber.holds).collect();
        let are_near = holds.iter().zip(capacities).all(|(holds, capacity)| *holds as f64 >= capacity * 0.95);
        assert!(are_near, "{contestants} contestants, {failing:?} from the end: {holds:?}");
    }
    // Where somebody else passes our side was well.
    let decisions = play_to(end, 3, |step, place, rate, due| {
        let sums = queue(capacities[place], rate, due);
        if place < 2 && step == end { HoldSums { verified: 0, p99_us: Some(500_000), ..sums } } else { sums }
    });
    let holds: Vec<u64> = last(&decisions).iter().map(|climber| climber.holds).collect();
    assert!(holds[..2] == [0, 0] && holds[2] >= 6_650, "{holds:?}");
}

#[test]
fn what_is_not_known_in_time_ends_nobody_however_often_it_is_so_in_a_row() {
    let capacities = [900.0, 2_100.0, 50_000.0];
    let unsettled = |steps: std::ops::Range<u32>| {
        play_to(90, 3, move |step, place, rate, due| HoldSums {
            unsettled: steps.contains(&step),
            ..queue(capacities[place], rate, due)
        })
    };
    let decisions = unsettled(6..11);
    for (climber, capacity) in last(&decisions).iter().zip(capacities) {
        assert!(climber.holds as f64 >= capacity * 0.95 && climber.unbroken.is_none(), "{climber:?}");
    }
    // Where it never ends the highest ask for too much, as with anything else that does not end.
    let decisions = unsettled(6..90);
    assert_eq!(last(&decisions)[2].unbroken, Some(Unbroken::Generator), "{:?}", last(&decisions));
}

#[test]
fn who_is_far_too_slow_at_the_end_holds_what_has_passed_and_a_failure_raises_nothing() {
    // All answers are right, and come seconds late: in the last hold, and then for three.
    for slow_from in [60, 58] {
        let decisions = play_to(60, 1, |step, _, rate, due| match step {
            step if step >= slow_from => {
                HoldSums { p99_us: Some(4_000_000), verified: due, ..queue(2_100.0, rate, due) }
            }
            _ => queue(2_100.0, rate, due),
        });
        let passed = |decision: &&Decision| decision.climbers[0].verdict == Some(HoldVerdict::Passed);
        let passed: Vec<u64> = decisions.iter().filter(passed).map(|decision| decision.climbers[0].tried).collect();
        let climber = &last(&decisions)[0];
        assert!(passed.contains(&climber.holds) && climber.holds < 2_025, "{climber:?}");
    }
    // A little too slow: a little less.
    let decisions = play_to(60, 1, |step, _, rate, due| match step {
        60 => HoldSums { p99_us: Some(60_000), ..queue(2_100.0, rate, due) },
        _ => queue(2_100.0, rate, due),
    });
    assert_eq!(last(&decisions)[0].holds, 1_965);
    // Half of it is right; then, a rest later, all of it, and a little too slow.
    let decisions = play_to(60, 1, |step, _, rate, due| match step {
        58 => HoldSums { verified: due / 2, ..queue(2_100.0, rate, due) },
        60 => HoldSums { p99_us: Some(60_000), ..queue(2_100.0, rate, due) },
        _ => queue(2_100.0, rate, due),
    });
    let holds = |from_end: usize| decisions[decisions.len() - 1 - from_end].climbers[0].holds;
    assert!(holds(2) == 1_012 && holds(0) <= 1_012, "{} and then {}", holds(2), holds(0));
}

#[test]
fn who_is_far_away_is_not_failed_by_lateness_that_a_near_one_passes_with() {
    // Both are late by us alike, by 12 ms at the 99th percentile. One has room for that, the other is 42 ms away.
    let far_away = |distance_us: u64| {
        play(breakpoint(500, 1.25), 2, 30, move |step, place, _, due| {
            let is_late = step >= 16;
            let p99_us = [1_000, distance_us][place] + if is_late { 12_000 } else { 0 };
            HoldSums {
                due,
                verified: due,
                p99_us: Some(p99_us),
                late: if is_late { due / 50 } else { 0 },
                unsettled: false,
                own_fault: 0,
            }
        })
    };
    let decisions = far_away(42_000);
    let far = &last(&decisions)[1];
    assert!(far.holds >= 2_000 && far.breaks_at.is_none() && far.unbroken.is_none(), "{far:?}");
    // It stands still to the end, and that is no lack of time.
    let decisions = play_to(30, 2, |step, place, _, due| {
        let late = if step >= 9 { due / 50 } else { 0 };
        let p99_us = [1_000, 42_000][place] + if late > 0 { 12_000 } else { 0 };
        HoldSums { due, verified: due, p99_us: Some(p99_us), late, ..HoldSums::default() }
    });
    let unbroken = last(&decisions).iter().map(|climber| climber.unbroken);
    let reasons: Vec<_> = unbroken.collect();
    assert_eq!(reasons, [Some(Unbroken::Time), Some(Unbroken::Generator)], "{:?}", last(&decisions));
    // Who is too slow by itself as well is told so in the second such hold.
    let slow = play(breakpoint(500, 1.25), 2, 30, |step, place, rate, due| {
        let sums = queue([1e9, 2_100.0][place], rate, due);
        if step >= 12 { late(sums) } else { sums }
    });
    assert!(last(&slow)[1].breaks_at.is_some() && last(&slow)[1].holds <= 2_100, "{:?}", last(&slow));
}

#[test]
fn who_breaks_by_our_connections_is_unbroken() {
    // A long way: 40 ms that nothing makes shorter. A thousand connections carry 25,000 a second, and no more.
    let far = |rate: u64, due: u64| {
        let verified = if rate > 25_000 { due * 25_000 / rate } else { due };
        HoldSums { due, verified, p99_us: Some(if rate > 25_000 { 900_000 } else { 40_000 }), ..HoldSums::default() }
    };
    let decide_all = |bounds: Bounds, server: &dyn Fn(u64, u64) -> HoldSums| {
        let mut climbs = Climbs::new(breakpoint(5_000, 1.25), 0).within(bounds);
        let mut rate = 5_000;
        let decisions = (1..40).map(|step| {
            let sums = server(rate, climbs.expected(0));
            let decision = climbs.decide(step, (UtcUs(1), UtcUs(2)), [("a".to_owned(), sums)]);
            rate = decision.climbers[0].rate;
            decision
        });
        decisions.collect::<Vec<_>>()
    };
    let bounds = Bounds { connections: 1_000, end: 40 };
    let decisions = decide_all(bounds, &far);
    let climber = &last(&decisions)[0];
    assert!((23_750..=25_000).contains(&climber.holds), "{climber:?}");
    assert_eq!((climber.breaks_at, climber.unbroken), (None, Some(Unbroken::Connections)), "{climber:?}");
    // Who is near and breaks there breaks by itself: what its queue makes of its latency says nothing.
    let near = decide_all(bounds, &|rate, due| queue(25_000.0, rate, due));
    assert!(last(&near)[0].breaks_at.is_some() && last(&near)[0].unbroken.is_none(), "{:?}", last(&near));
}

#[test]
fn who_still_climbs_when_the_phase_ends_is_unbroken_by_time() {
    let mut climbs = Climbs::new(breakpoint(500, 1.25), 0).within(Bounds { end: 3, ..Bounds::NONE });
    let mut rates = [500; 2];
    let reasons = (1..4).map(|step| {
        let measured: Vec<_> = (0..2)
            .map(|place| (format!("c{place}"), queue([1e9, 700.0][place], rates[place], climbs.expected(place))))
            .collect();
        let decision = climbs.decide(step, (UtcUs(1), UtcUs(2)), measured);
        rates = [decision.climbers[0].rate, decision.climbers[1].rate];
        [decision.climbers[0].unbroken, decision.climbers[1].unbroken]
    });
    let reasons: Vec<_> = reasons.collect();
    assert_eq!(reasons, [[None; 2], [None; 2], [Some(Unbroken::Time), None]], "the other one broke");
}

#[test]
fn who_fails_at_the_end_holds_what_it_still_shows_and_not_a_little_less() {
    let of = |step: u32, capacity: f64| {
        let from = 68 - step;
        let decisions = play(breakpoint(500, 1.25), 1, 60, |now, _, rate, due| {
            queue(if now >= from { capacity } else { 2_100.0 }, rate, due)
        });
        last(&decisions)[0].clone()
    };
    // Dead in the last hold, or for longer: it holds nothing.
    for steps in [1, 2, 3, 6] {
        assert_eq!(of(steps, 1e-9).holds, 0, "dead for {steps} steps");
    }
    // It does half of it, and holds that.
    let half = of(1, 1_050.0);
    assert!((900..=1_050).contains(&half.holds), "{half:?}");
    // Too slow by a little in the last hold: a little less.
    let slow = of(1, 2_020.0);
    assert!((1_900..2_030).contains(&slow.holds), "{slow:?}");
    // A hold later it rests, and another later it has shown a little less.
    let little_less = of(3, 2_030.0);
    assert_eq!((little_less.holds, little_less.breaks_at), (1_965, Some(2_025)), "{little_less:?}");
}

#[test]
fn what_does_not_hold_to_the_end_slips() {
    let decisions = play(breakpoint(500, 1.25), 1, 60, |step, _, rate, due| {
        queue(if step < 50 { 2_100.0 } else { 1_500.0 }, rate, due)
    });
    let before = decisions[40].climbers[0].holds;
    assert!(before >= 1_995 && last(&decisions)[0].holds <= 1_500, "{before} {:?}", last(&decisions));
    assert_eq!(last(&decisions)[0].breaks_by, Some(HoldVerdict::FailedByVerified));
}

#[test]
fn a_weak_fleet_ends_whoever_asks_most_of_it_as_unbroken_and_nobody_else() {
    // Two without a limit, one with its own; the generators carry 20,000/s in all, and void everybody's beyond it.
    let mut rates = [0; 3];
    let decisions = play(breakpoint(500, 1.25), 3, 90, |_, place, rate, due| {
        rates[place] = rate;
        let void = if rates.iter().sum::<u64>() > 20_000 { due / 10 } else { 0 };
        let sums = queue([1e9, 1e9, 3_000.0][place], rate, due);
        HoldSums { own_fault: void, verified: sums.verified.saturating_sub(void), ..sums }
    });
    let climbers = last(&decisions);
    for climber in &climbers[..2] {
        assert_eq!(climber.unbroken, Some(Unbroken::Generator), "{climber:?}");
        assert!(climber.holds >= 6_000 && climber.breaks_at.is_none(), "{climber:?}");
    }
    assert!((2_850..=3_000).contains(&climbers[2].holds) && climbers[2].unbroken.is_none(), "{climbers:?}");
}

#[test]
fn whose_search_the_generators_end_between_what_it_holds_and_what_failed_is_not_beaten() {
    // It fails at 2,382, and what lies halfway to 1,906 the generators never send as they should.
    let decisions = play(breakpoint(500, 1.25), 1, 20, |_, _, rate, due| {
        let sums = queue(2_100.0, rate, due);
        let void = if rate == 2_144 { due / 10 } else { 0 };
        HoldSums { own_fault: void, verified: sums.verified.saturating_sub(void), ..sums }
    });
    let climber = &last(&decisions)[0];
    let found = (climber.holds, climber.breaks_at, climber.unbroken, climber.trial);
    assert_eq!(found, (1_906, Some(2_382), Some(Unbroken::Generator), None), "{climber:?}");
    let told = climber.message(&breakpoint(500, 1.25).ladder);
    assert!(
        told.ends_with("It failed at 2,382/s, and what lies between was not tried: the generators gave no more."),
        "{told}"
    );
}

#[test]
fn what_the_links_carry_in_all_is_nobodys_limit_but_that_of_who_asks_most_of_them() {
    // Two without a limit, one with its own; the links carry 20,000/s in all, as is said, and nothing is ever late or void.
    let said = Breakpoint { fleet_max: Some(20_000), ..breakpoint(500, 1.25) };
    let mut rates = [500; 3];
    let decisions = play(said, 3, 60, |_, place, rate, due| {
        rates[place] = rate;
        assert!(place < 2 || rates.iter().sum::<u64>() <= 20_000, "{rates:?}");
        queue([1e9, 1e9, 3_000.0][place], rate, due)
    });
    let climbers = last(&decisions);
    for climber in &climbers[..2] {
        assert_eq!((climber.unbroken, climber.breaks_at), (Some(Unbroken::Generator), None), "{climber:?}");
        assert!(climber.holds >= 6_000, "{climber:?}");
    }
    assert!((2_850..=3_000).contains(&climbers[2].holds) && climbers[2].unbroken.is_none(), "{climbers:?}");
}

#[test]
fn who_rests_keeps_its_part_of_what_the_links_carry() {
    // (how far a step goes, what the weak ones take, how many there are, what the links carry); the last one has no limit.
    for (times, capacity, weak, most) in [(1.25, 1_050.0, 2, 4_250), (2.0, 1_100.0, 9, 22_000)] {
        let said = Breakpoint { fleet_max: Some(most), ..breakpoint(1_000, times) };
        let decisions =
            play(said, weak + 1, 60, |_, place, rate, due| queue(if place < weak { capacity } else { 1e9 }, rate, due));
        for decision in &decisions {
            let sum: u64 = decision.climbers.iter().map(|climber| climber.rate).sum();
            assert!(sum <= most, "{sum}/s in step {}: {:?}", decision.step, decision.climbers);
        }
        let climbers = last(&decisions);
        for climber in &climbers[..weak] {
            // Searched to its end: the gap of a step is halved three times.
            let (holds, least) = (climber.holds as f64, capacity * (0.97 - (times - 1.0) / 8.0));
            assert!(holds >= least && holds <= capacity && climber.unbroken.is_none(), "{climber:?}");
        }
        assert_eq!(climbers[weak].unbroken, Some(Unbroken::Generator), "{:?}", climbers[weak]);
    }
}

#[test]
fn who_holds_nothing_and_is_late_ends_nobody_as_the_limit_of_the_fleet() {
    // One never holds anything, and all it fails in comes late; the other is late once.
    let decisions = play(breakpoint(500, 1.25), 2, 60, |step, place, rate, due| match (place, step) {
        (0, _) => HoldSums { verified: 0, late: due / 20, ..queue(1e9, rate, due) },
        (_, 11) => HoldSums { p99_us: Some(90_000), late: due / 20, ..queue(1e9, rate, due) },
        _ => queue(2_100.0, rate, due),
    });
    let other = &last(&decisions)[1];
    assert!((1_995..=2_100).contains(&other.holds) && other.unbroken.is_none(), "{other:?}");
}

#[test]
fn figures_that_are_not_whole_judge_nobody() {
    let clean = play(breakpoint(500, 1.25), 1, 60, |_, _, rate, due| queue(2_100.0, rate, due));
    let holed = play(breakpoint(500, 1.25), 1, 90, |step, _, rate, due| match step % 5 {
        // Nothing is known, half is missing, it was slow and too much of it was late.
        0 => HoldSums::default(),
        1 => queue(2_100.0, rate, due / 2),
        2 => HoldSums { late: due / 20, p99_us: Some(90_000), ..queue(2_100.0, rate, due) },
        _ => queue(2_100.0, rate, due),
    });
    assert_eq!(last(&clean)[0].holds, last(&holed)[0].holds);
    assert_eq!(last(&holed)[0].unbroken, None);
}

#[test]
fn lateness_of_ours_fails_nobody_and_keeps_nobody_from_passing() {
    let mut climbs = Climbs::new(breakpoint(500, 2.0), 0);
    let mut decide =
        |step, sums| climbs.decide(step, (UtcUs(1), UtcUs(2)), [("a".to_owned(), sums)]).climbers[0].clone();
    let late =
        |p99_us| HoldSums { due: 2_000, verified: 2_000, late: 300, p99_us: Some(p99_us), ..HoldSums::default() };
    for step in 1..6 {
        let climber = decide(step, late(90_000));
        assert_eq!((climber.verdict, climber.rate, climber.unbroken), (Some(HoldVerdict::NotValid), 500, None));
    }
    assert_eq!(decide(6, late(40_000)).verdict, Some(HoldVerdict::Passed));
}

#[test]
fn figures_that_look_whole_and_are_not_known_to_be_judge_nobody() {
    let mut climbs = Climbs::new(breakpoint(500, 2.0), 0);
    let mut decide =
        |step, sums| climbs.decide(step, (UtcUs(1), UtcUs(2)), [("a".to_owned(), sums)]).climbers[0].clone();
    let heard = |verified, p99_us| HoldSums { due: 1_999, verified, p99_us: Some(p99_us), ..HoldSums::default() };
    for (step, sums) in (1..).zip([heard(1_999, 1_000), heard(0, 1_000), heard(1_999, 900_000)]) {
        let climber = decide(step, HoldSums { unsettled: true, ..sums });
        assert_eq!((climber.verdict, climber.rate), (Some(HoldVerdict::NotValid), 500), "{climber:?}");
    }
    assert_eq!(decide(4, heard(1_999, 1_000)).verdict, Some(HoldVerdict::Passed));
}

#[test]
fn who_joins_begins_at_the_start() {
    let mut climbs = Climbs::new(breakpoint(500, 2.0), 0);
    let one = |name: &str, rate: u64, due| (name.to_owned(), queue(1e9, rate, due));
    climbs.decide(1, (UtcUs(1), UtcUs(2)), [one("a", 500, 2_000)]);
    let decision = climbs.decide(2, (UtcUs(3), UtcUs(4)), [one("a", 1_000, 4_000), one("b", 500, 700)]);
    let told: Vec<_> = decision.climbers.iter().map(|climber| (climber.tried, climber.verdict, climber.rate)).collect();
    assert_eq!(
        told,
        [(1_000, Some(HoldVerdict::Passed), 2_000), (500, Some(HoldVerdict::NotValid), 500)],
        "a part of a hold judges nobody"
    );
}

#[test]
fn steps_and_connections_are_reckoned() {
    let breakpoint = breakpoint(500, 1.25);
    let clock = breakpoint.clock(65_000_000, 1_000_000);
    assert_eq!((clock.step_us, clock.count), (9_000_000, 7));
    let at = |rate| breakpoint.connections(rate, 8_192);
    assert_eq!((at(10), at(500), at(20_000), at(1_000_000)), (16, 25, 1_000, 8_192));
    assert_eq!((PASS.carried(1_000), PASS.carried(8_192)), (20_000, 163_840));
    assert_eq!(breakpoint.judged_due(500), 2_000);
    // Seven steps of the usual terms lead to 1,906, and there is no time to search anything; 37 do, up to 400,000.
    assert_eq!(breakpoint.leads_to(7), (1_906, 500));
    assert!(breakpoint.leads_to(37).1 > 200_000, "{:?}", breakpoint.leads_to(37));
}

/// A server on a clock: a queue in front of what it can do at each instant.
struct Server {
    /// Requests a second at so many seconds of the play and of the step.
    capacity: Box<dyn Fn(f64, f64) -> f64>,
    /// Beyond its capacity nothing is right any more.
    has_cliff: bool,
    queue: f64,
    seconds: f64,
}

impl Server {
    fn new(capacity: impl Fn(f64, f64) -> f64 + 'static) -> Server {
        Server { capacity: Box::new(capacity), has_cliff: false, queue: 0.0, seconds: 0.0 }
    }

    /// A whole step at a rate, by hundredths of a second; what is counted of its hold.
    fn step(&mut self, rate: u64, breakpoint: &Breakpoint) -> HoldCounts {
        const TICK: f64 = 0.01;
        const TIMEOUT: f64 = 1.0;
        let mut counts = HoldCounts::default();
        let (mut due, mut counted) = (0.0, 0u64);
        let ticks = breakpoint.clock(0, (TIMEOUT * 1e6) as u64).step_us / 10_000;
        for tick in 0..ticks {
            let at = tick as f64 * TICK;
            let capacity = (self.capacity)(self.seconds + at, at);
            let wait = self.queue / capacity;
            let is_over = rate as f64 > capacity && self.has_cliff;
            // Who would wait longer than the timeout leaves.
            self.queue = (self.queue + (rate as f64 - capacity) * TICK).clamp(0.0, capacity * TIMEOUT);
            if (SETTLE_US..breakpoint.hold_us).contains(&(tick * 10_000)) {
                due += rate as f64 * TICK;
                while (counted as f64) < due.floor() {
                    counted += 1;
                    counts.due += 1;
                    counts.verified += u64::from(wait < TIMEOUT && !is_over);
                    counts.latency.record(1_000 + (wait * 1e6) as u64);
                }
            }
        }
        self.seconds += ticks as f64 * TICK;
        counts
    }
}

#[test]
fn whatever_the_server_is_like_its_capacity_is_found_within_five_percent() {
    let cliff = |capacity: f64| Server { has_cliff: true, ..Server::new(move |_, _| capacity) };
    let noisy = |capacity: f64| {
        // SplitMix64 of the hundredth of a second, from -1 to 1.
        let noise = |seconds: f64| {
            let mut bits = ((seconds * 100.0).round() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        };
        Server::new(move |seconds, _| capacity * (1.0 + 0.02 * noise(seconds)))
    };
    // Cold it does not even hold the start.
    let warming_up = |capacity: f64| Server::new(move |seconds, _| if seconds < 40.0 { 250.0 } else { capacity });
    // For one hold it does nothing, in mid-climb.
    let pausing =
        |capacity: f64| Server::new(move |seconds, _| if (20.0..23.0).contains(&seconds) { 1.0 } else { capacity });
    // It does what it is asked at the ends of steps and of holds, and else what it can.
    let cheating = |capacity: f64| Server::new(move |_, at| if !(1.2..4.2).contains(&at) { 1e9 } else { capacity });
    let steady = |capacity: f64| Server::new(move |_, _| capacity);
    let kinds: [(&str, &dyn Fn(f64) -> Server); 6] = [
        ("steady", &steady),
        ("cliff", &cliff),
        ("noisy", &noisy),
        ("warming up", &warming_up),
        ("pausing", &pausing),
        ("cheating", &cheating),
    ];
    let breakpoint = breakpoint(300, 1.2);
    for (kind, server) in kinds {
        for capacity in [1_100.0, 3_750.0] {
            let mut server = server(capacity);
            let decisions = play(breakpoint, 1, 60, |_, _, rate, _| server.step(rate, &breakpoint).sums());
            let holds = last(&decisions)[0].holds as f64;
            assert!((holds - capacity).abs() <= 0.05 * capacity, "{kind}: holds {holds} of {capacity}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_capacity_is_found_within_five_percent_and_equal_ones_are_equal(
        capacity in 300.0f64..50_000.0, start in 50u64..2_000, times in 110u32..126, others in 1usize..5,
        generators in 1u64..6,
    ) {
        let breakpoint = breakpoint(start, f64::from(times) / 100.0);
        // Two equal ones at the ends of the roster, others between. Its parts are the generators': their sum is one.
        let decisions = play(breakpoint, others + 2, 110, |_, place, rate, due| {
            let capacity = if place == 0 || place == others + 1 { capacity } else { capacity * (1.5 + place as f64) };
            let whole = queue(capacity, rate, due);
            let mut sums = HoldCounts::default();
            for generator in 0..generators {
                let part = |of: u64| of / generators + u64::from(generator < of % generators);
                let mut part = HoldCounts { due: part(whole.due), verified: part(whole.verified), ..HoldCounts::default() };
                (0..part.due.min(200)).for_each(|_| part.latency.record(whole.p99_us.expect("answered")));
                sums.merge(&part);
            }
            sums.sums()
        });
        let climbers = last(&decisions);
        let (one, other) = (climbers[0].holds as f64, climbers[others + 1].holds as f64);
        prop_assert!(one <= capacity && one >= capacity * 0.95 - 1.0, "{capacity}: {climbers:?}");
        prop_assert!((one - other).abs() <= one * 0.03);
    }
}
