//! Since when names have had their addresses: whoever was first stays first, and what Redis is told once it keeps.

use crate::stage::CONTEST;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::Named;
use flowtest_scoreboard::named::CONTESTANT_FIELDS_MAX;
use flowtest_testkit::RedisServer;

#[test]
fn an_address_is_known_since_it_was_noted_first() {
    let server = RedisServer::start();
    let named = |contestant: &str, host: &str, last: u8| {
        let endpoint = format!("{host}:9001").parse().expect("an endpoint");
        Named::new(contestant, &endpoint, ([127, 0, 0, last], 9001).into())
    };
    let (mut one, mut other) = (server.scoreboard(), server.scoreboard());
    let (bobby, alice) = (named("bobby", "evil.test", 1), named("alice", "a.test", 1));
    assert_eq!(one.note_named(CONTEST, &[], UtcUs(1)).expect("Redis answers"), []);
    assert_eq!(
        one.note_named(CONTEST, std::slice::from_ref(&alice), UtcUs(5)).expect("Redis answers"),
        [Some(UtcUs(5))]
    );
    let both = other.note_named(CONTEST, &[bobby.clone(), alice.clone()], UtcUs(7)).expect("Redis answers");
    assert_eq!(both, [Some(UtcUs(7)), Some(UtcUs(5))]);
    // Another address, and another name, are known from then on.
    let others = [named("bobby", "evil.test", 2), named("bobby", "worse.test", 1), bobby];
    let since = one.note_named(CONTEST, &others, UtcUs(9)).expect("Redis answers");
    assert_eq!(since, [Some(UtcUs(9)), Some(UtcUs(9)), Some(UtcUs(7))]);
    assert_eq!(one.note_named("another", &[alice], UtcUs(9)).expect("Redis answers"), [Some(UtcUs(9))]);
}

#[test]
fn whoever_points_a_name_at_many_addresses_takes_no_room_of_others() {
    let server = RedisServer::start();
    let named = |contestant: &str, part: u8, last: u8| {
        let endpoint = "moving.test:9001".parse().expect("an endpoint");
        Named::new(contestant, &endpoint, ([127, 0, part, last], 9001).into())
    };
    let mut scoreboard = server.scoreboard();
    for part in 0..8 {
        let many: Vec<Named> = (0..64).map(|last| named("mallory", part, last)).collect();
        let since = scoreboard.note_named(CONTEST, &many, UtcUs(5)).expect("Redis answers");
        let expected = if usize::from(part) * 64 < CONTESTANT_FIELDS_MAX { Some(UtcUs(5)) } else { None };
        assert_eq!(since, [expected; 64], "{part}");
    }
    // One by one, and among others.
    assert_eq!(scoreboard.note_named(CONTEST, &[named("mallory", 9, 9)], UtcUs(6)).expect("Redis answers"), [None]);
    let both = [named("mallory", 9, 9), named("alice", 9, 9)];
    assert_eq!(scoreboard.note_named(CONTEST, &both, UtcUs(7)).expect("Redis answers"), [None, Some(UtcUs(7))]);
    // Who only looks notes nothing.
    let others = [named("alice", 9, 9), named("zoe", 9, 9)];
    for _ in 0..2 {
        let since = scoreboard.named_since(CONTEST, &others).expect("Redis answers");
        assert_eq!(since, [Some(UtcUs(7)), None]);
    }
}
