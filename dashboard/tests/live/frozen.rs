//! The freeze: nothing of after it reaches the public, by any output. Two worlds are the same up to the freeze and differ
//! after it in everything that scores are made of; what the public gets of both must be the same, byte for byte.

use crate::following::did;
use crate::round::{DID, Did, World, key};
use flowtest_contract::rules::UtcUs;
use flowtest_contract::{RoundId, Row};
use flowtest_dashboard::live::board::Board;
use flowtest_dashboard::live::frame::{Class, FrameBuilder, Frames, Link};
use flowtest_dashboard::live::history;
use flowtest_dashboard::live::{Audience, Facts, Freeze};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

const CONTESTANTS: usize = 4;
/// Does the same in both worlds, and looks at itself.
const OWN: usize = 0;

/// What differs between the worlds in one second after the freeze.
#[derive(Clone, Debug)]
struct After {
    did: Vec<Did>,
    adjusted: Vec<i64>,
    carried: Option<i64>,
}

fn afters() -> impl Strategy<Value = After> {
    (vec(did(), CONTESTANTS), vec(-900i64..900, CONTESTANTS), proptest::option::weighted(0.1, 1i64..900))
        .prop_map(|(did, adjusted, carried)| After { did, adjusted, carried })
}

fn live(world: &mut World, after: &After, own: Did) {
    let mut did = after.did.clone();
    did[OWN] = own;
    for (index, adjusted) in after.adjusted.iter().enumerate().filter(|(index, _)| *index != OWN) {
        world.facts.adjustments.insert(key(index), *adjusted);
    }
    if let Some(points) = after.carried {
        world.facts.carried.add(RoundId::from_bits(1), key(1), points, &Row::default());
    }
    world.second(&did);
}

/// Everything that somebody who is not the admin can get.
fn outputs(world: &World, frames: &Frames, seen: Option<u64>) -> Vec<(String, String)> {
    let mut outputs = Vec::new();
    let mut add = |what: String, text: String| outputs.push((what, text));
    for seen in [None, seen] {
        add(
            format!("frame for {seen:?}"),
            frames.text(Class::Public, seen).map(ToString::to_string).unwrap_or_default(),
        );
    }
    for audience in [Audience::Public, Audience::Owner(key(OWN)), Audience::Owner("u99".into())] {
        add(format!("standings for {audience:?}"), format!("{:?}", world.board.standings(&audience, world.now)));
        for (step, since) in [(1, UtcUs::EPOCH), (5, UtcUs::EPOCH), (30, UtcUs::EPOCH), (1, world.now - 3_000_000)] {
            let body = history::write(&world.board, &audience, world.now, since, step);
            add(format!("history by {step} for {audience:?}"), String::from_utf8(body.to_vec()).expect("UTF-8"));
        }
    }
    outputs
}

fn freeze(at: UtcUs) -> Freeze {
    Freeze { at: Some(at), ..Freeze::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(2_048) / 4, ..ProptestConfig::default() })]
    #[test]
    fn nothing_of_after_the_freeze_leaks(
        before in vec(vec(did(), CONTESTANTS), 0..70),
        after in vec((did(), afters(), afters()), 1..12),
        hidden in any::<[bool; CONTESTANTS]>(),
        // planned long ago, or told up to a second after its instant
        (planned, late_us) in (any::<bool>(), 0u64..1_000_000),
    ) {
        let mut worlds = [World::new(CONTESTANTS), World::new(CONTESTANTS)];
        let mut builders = [FrameBuilder::default(), FrameBuilder::default()];
        let mut frames: [Option<Arc<Frames>>; 2] = [None, None];
        let at = worlds[0].now + before.len() as u64 * 1_000_000 + late_us;
        for (world, builder) in worlds.iter_mut().zip(&mut builders) {
            for (contestant, hidden) in world.facts.contestants.iter_mut().zip(hidden) {
                contestant.hidden = hidden;
            }
            if planned {
                world.facts.freeze = freeze(at);
            }
            for did in &before {
                world.second(did);
                builder.build(&world.board, Link::Live, world.now);
            }
            world.facts.freeze = freeze(at);
        }
        for (own, one, other) in &after {
            let mut shown = Vec::new();
            for (((world, builder), frames), after) in
                worlds.iter_mut().zip(&mut builders).zip(&mut frames).zip([one, other])
            {
                live(world, after, *own);
                let seen = frames.as_ref().map(|frames| frames.seq);
                let printed = builder.build(&world.board, Link::Live, world.now);
                shown.push(outputs(world, &printed, seen));
                *frames = Some(printed);
            }
            for (one, other) in shown[0].iter().zip(&shown[1]) {
                prop_assert_eq!(one, other);
            }
        }
        // The worlds do differ, and who may see it does.
        let [one, other] = &worlds;
        let differ = one.totals != other.totals || one.facts.adjustments != other.facts.adjustments;
        let admin = |world: &World| world.board.standings(&Audience::Admin, world.now);
        prop_assert_eq!(differ && admin(one) == admin(other), false);
    }
}

#[test]
fn an_owner_sees_its_own_points_go_on_without_a_rank() {
    let mut world = World::new(3);
    world.second(&[DID; 3]);
    world.facts.freeze = freeze(world.now);
    world.second(&[DID; 3]);
    world.second(&[DID; 3]);
    let shown = world.board.standings(&Audience::Owner(key(1)), world.now);
    let points = |index: usize| shown.of(&key(index)).expect("a line").figures.points;
    assert_eq!([points(0), points(1), points(2)], [1_000, 3_000, 1_000]);
    let own = shown.of(&key(1)).expect("a line");
    assert_eq!((own.rank, own.rank_change, own.decided), (None, 0, None));
    assert_eq!(shown.gaps(&key(1)), (None, None));
    let body = history::write(&world.board, &Audience::Owner(key(1)), world.now, UtcUs::EPOCH, 1);
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["points"]["u1"], serde_json::json!([1_000, 2_000, 3_000]));
    assert_eq!(body["points"]["u0"], serde_json::json!([1_000, null, null]));
    assert_eq!(body["marks"].as_array().expect("a list").last().expect("a mark")["kind"], "freeze");
    // Lifted, everybody sees everything.
    world.facts.freeze.revealed = true;
    world.look(true);
    let shown = world.board.standings(&Audience::Public, world.now);
    assert!(shown.lines.iter().all(|line| line.figures.points == 3_000 && line.rank == Some(1)), "{shown:?}");
}

#[test]
fn a_freeze_of_an_hour_ago_shows_the_points_of_then() {
    let mut world = World::new(2);
    let did = Did { right: 1, wrong: 0, timeouts: 0, latency_us: 100 };
    for _ in 0..300 {
        world.second(&[did, did]);
    }
    world.facts.freeze = freeze(world.now - 200 * 1_000_000);
    world.second(&[did, did]);
    let shown = world.board.standings(&Audience::Public, world.now);
    assert_eq!(shown.of(&key(0)).expect("a line").figures.points, 100 * 200);
}

#[test]
fn a_board_that_starts_within_a_freeze_shows_what_was_kept_of_before_it() {
    let mut world = World::new(2);
    let mut kept = Vec::new();
    for second in 0..6 {
        if second == 3 {
            world.facts.freeze = freeze(world.now);
        }
        world.second(&[DID, DID]);
        kept.extend(world.board.archive());
    }
    let shown = |world: &World| world.board.standings(&Audience::Public, world.now);
    let before = shown(&world);
    assert_eq!(before.lines[0].figures.points, 3_000);
    let again = Board::restored(kept, &world.facts.freeze);
    world.board = again;
    world.second(&[DID, DID]);
    let after = shown(&world);
    assert_eq!(after.lines.iter().map(|line| line.figures.points).collect::<Vec<_>>(), [3_000, 3_000]);
    // Without anything kept, it is nothing rather than too much.
    world.board = Board::default();
    world.second(&[DID, DID]);
    assert_eq!(shown(&world).lines, []);
    assert_eq!(world.board.standings(&Audience::Admin, world.now).lines[0].figures.points, 8_000);
}

#[test]
fn a_practice_round_after_the_contest_was_frozen_is_not_shown_as_the_contest() {
    let mut world = World::new(2);
    let mut kept = Vec::new();
    let mut second = |world: &mut World| {
        world.second(&[DID, DID]);
        kept.extend(world.board.archive());
    };
    second(&mut world);
    second(&mut world);
    let contest = Arc::clone(&world.control);
    let practice = RoundId::from_bits(9);
    world.control = Arc::new(crate::round::running(2, practice, false, world.now));
    world.totals.contestants.clear();
    second(&mut world);
    world.facts.freeze = freeze(world.now);
    second(&mut world);
    let shown = |world: &World| {
        let standings = world.board.standings(&Audience::Public, world.now);
        standings.lines.iter().map(|line| line.figures.points).collect::<Vec<_>>()
    };
    // The freeze came while it was played: that is what the board showed.
    assert_eq!(shown(&world), [1_000, 1_000]);
    let restored = || Board::restored(kept.clone(), &world.facts.freeze);
    let mut practised = World { board: restored(), control: Arc::clone(&world.control), ..World::new(2) };
    practised.facts = world.facts.clone();
    practised.now = world.now;
    practised.second(&[DID, DID]);
    assert_eq!(shown(&practised), [1_000, 1_000], "after a restart too");
    // The contest goes on: what is frozen is the contest's, with and without a restart.
    let mut again = World { board: restored(), ..World::new(2) };
    again.facts = world.facts.clone();
    again.now = world.now;
    for world in [&mut world, &mut again] {
        world.control = Arc::clone(&contest);
        world.second(&[DID, DID]);
        assert_eq!(shown(world), [2_000, 2_000]);
    }
}

#[test]
fn facts_without_a_freeze_hide_nobody_but_the_hidden() {
    let mut world = World::new(2);
    world.facts = Facts { contestants: world.facts.contestants, ..Facts::default() };
    world.facts.contestants[1].hidden = true;
    world.second(&[]);
    let names = |audience: Audience| {
        let lines = world.board.standings(&audience, world.now).lines;
        lines.into_iter().map(|line| line.contestant.name).collect::<Vec<_>>()
    };
    assert_eq!(names(Audience::Public), ["c0"]);
    assert_eq!(names(Audience::Owner(key(1))), ["c0", "c1"]);
    assert_eq!(names(Audience::Admin), ["c0", "c1"]);
}

#[test]
fn frames_of_organisers_say_who_is_hidden_and_those_of_the_public_know_nobody_who_is() {
    let mut world = World::new(2);
    world.facts.contestants[1].hidden = true;
    world.second(&[]);
    let frames = FrameBuilder::default().build(&world.board, Link::Live, world.now);
    let standings = |class: Class| {
        let text = frames.text(class, None).expect("a snapshot");
        serde_json::from_str::<serde_json::Value>(text).expect("JSON")["standings"].clone()
    };
    let hidden = |standings: serde_json::Value| {
        let lines = standings.as_array().expect("a list").clone();
        lines.iter().map(|line| (line["id"].clone(), line["hidden"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(hidden(standings(Class::Admin)), [("u0".into(), false.into()), ("u1".into(), true.into())]);
    assert_eq!(hidden(standings(Class::Public)), [("u0".into(), false.into())]);
}
