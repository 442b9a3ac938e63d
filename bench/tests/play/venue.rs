//! A venue behind one address: everybody arrives at once, and nobody is sent away.

use crate::stage::Stage;
use flowtest_bench::contest_box::people::sign_in;
use flowtest_bench::contest_box::{Dashboard, Redis, Team};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const REGISTRATIONS: usize = 100;
const LOGINS: usize = 200;
const WITHIN: Duration = Duration::from_secs(60);
/// How many people press a button at the same moment.
const HANDS: usize = 16;
const PASSWORD: &str = "seven green lanterns";

/// Does everything once, with many hands, and returns what went wrong.
fn with_many_hands<T: Sync>(work: &[T], act: impl Fn(&T) -> flowtest_bench::error::Result<()> + Sync) -> Vec<String> {
    let (next, refused) = (Mutex::new(work.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..HANDS {
            scope.spawn(|| {
                loop {
                    let Some(one) = next.lock().expect("no hand panics").next() else { return };
                    if let Err(error) = act(one) {
                        refused.lock().expect("no hand panics").push(error.to_string());
                    }
                }
            });
        }
    });
    refused.into_inner().expect("no hand panicked")
}

#[test]
fn a_hundred_teams_register_and_two_hundred_sign_in_from_one_address_within_a_minute() {
    let stage = Stage::new();
    let redis = Redis::start(&stage.folder().join("redis")).unwrap_or_else(|error| panic!("{error}"));
    let started = Dashboard::start(stage.folder(), &redis.url(), "venue");
    let mut dashboard = started.unwrap_or_else(|error| panic!("{error}"));
    let invitations = dashboard.invite(REGISTRATIONS).unwrap_or_else(|error| panic!("{error}"));
    let people: Vec<(String, String)> =
        invitations.into_iter().enumerate().map(|(index, token)| (format!("team-{index}"), token)).collect();

    let start = Instant::now();
    let refused = with_many_hands(&people, |(name, token)| {
        Team::register(dashboard.visitor(), token, name, &format!("Team {name}"), PASSWORD).map(drop)
    });
    assert_eq!(refused, Vec::<String>::new(), "of {REGISTRATIONS} registrations");
    let logins: Vec<&String> = people.iter().map(|(name, _)| name).cycle().take(LOGINS).collect();
    let refused = with_many_hands(&logins, |name| sign_in(&dashboard.visitor(), name, PASSWORD).map(drop));
    assert_eq!(refused, Vec::<String>::new(), "of {LOGINS} logins");
    assert!(start.elapsed() < WITHIN, "it took {:?}", start.elapsed());
    dashboard.stop().unwrap_or_else(|error| panic!("{error}"));
    redis.stop().unwrap_or_else(|error| panic!("{error}"));
}
