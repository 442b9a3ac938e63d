//! Since when names have had their addresses: whoever was first stays first, and what Redis is told once it keeps.

use crate::stage::CONTEST;
use flowtest_contract::rules::UtcUs;
use flowtest_scoreboard::Named;
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
