//! The check of a whole roster.

use crate::peer::{Peer, Reply, answer, policy, terms};
use flowtest_contest::{Endpoint, Policy};
use flowtest_loadgen::admit::probe::{Candidate, Checked, check};
use flowtest_loadgen::admit::resolve::Names;
use flowtest_testkit::WAIT_MAX;
use std::net::SocketAddr;
use std::time::Duration;

fn names() -> Names {
    Names::new(None, |name| match name {
        "stuck.test" => loop {
            std::thread::park();
        },
        "private.test" => Ok(vec![[127, 0, 0, 1].into(), [192, 168, 0, 7].into()]),
        _ => Err(std::io::Error::other("no such name")),
    })
}

fn check_all(roster: &[(&str, Endpoint)], policy: &Policy, timeout: Duration, patience: Duration) -> Vec<Checked> {
    let candidates: Vec<Candidate<'_>> = roster.iter().map(|(name, endpoint)| Candidate { name, endpoint }).collect();
    check(&candidates, &[], &names(), policy, &terms(timeout), patience)
}

fn parse(text: &str) -> Endpoint {
    text.parse().expect("an endpoint")
}

#[test]
fn each_contestant_gets_its_own_verdict_in_the_order_of_the_roster() {
    let honest = Peer::honest();
    let wrong = Peer::start(|_| Reply::Keep(answer(&[("Version", "v2"), ("From", "ECS")])));
    let roster = [
        ("alice", honest.endpoint()),
        ("bob", wrong.endpoint()),
        ("carol", parse("nobody.test:8080")),
        ("dave", parse("private.test:8080")),
        ("erin", parse("127.0.0.1:22")),
        ("frank", parse("192.168.0.7:8080")),
    ];
    let checked = check_all(&roster, &policy(), WAIT_MAX, WAIT_MAX);
    let says = |index: usize, part: &str| {
        let sentence = checked[index].sentence();
        assert!(sentence.contains(part) && !checked[index].ready(), "{sentence}");
    };
    assert!(checked[0].ready(), "{}", checked[0].sentence());
    assert_eq!(checked[0].addresses, [honest.address]);
    says(1, "token: the Token header must repeat");
    says(2, "nobody.test: the name does not resolve");
    says(3, "192.168.0.7 is private");
    says(4, "port 22");
    says(5, "192.168.0.7 is private");
}

#[test]
fn a_closed_address_gets_no_packet() {
    let peer = Peer::honest();
    let checked = check_all(&[("alice", peer.endpoint())], &Policy::default(), WAIT_MAX, WAIT_MAX);
    assert!(checked[0].sentence().contains("the generator's own machine"), "{}", checked[0].sentence());
    assert_eq!(peer.connections(), 0);
}

#[test]
fn forty_contestants_that_hang_delay_nobody_who_answers() {
    let honest: Vec<Peer> = (0..4).map(|_| Peer::honest()).collect();
    let silent: Vec<Peer> = (0..38).map(|_| Peer::start(|_| Reply::Silence)).collect();
    // All who hang stand first, two of them with a name that never resolves.
    let mut roster: Vec<(&str, Endpoint)> = silent.iter().map(|peer| ("silent", peer.endpoint())).collect();
    roster.extend([("stuck", parse("stuck.test:8080")), ("stuck", parse("stuck.test:8081"))]);
    roster.extend(honest.iter().map(|peer| ("honest", peer.endpoint())));
    // One after the other those who hang would take 38 times the timeout, by sixteen threads three times.
    let patience = Duration::from_secs(10);
    let checked = check_all(&roster, &policy(), WAIT_MAX, patience);
    for (index, checked) in checked.iter().enumerate() {
        assert_eq!(checked.ready(), index >= 40, "{index}: {}", checked.sentence());
    }
    assert!(checked[0].sentence().contains("no whole answer came within"), "{}", checked[0].sentence());
    assert!(checked[38].sentence().contains("no answer yet"), "{}", checked[38].sentence());
}

#[test]
fn a_slow_server_gets_its_full_time_after_the_quick_ones() {
    let peer = Peer::start(|request| {
        std::thread::sleep(Duration::from_millis(1_200));
        Reply::Keep(crate::peer::right(&request.token))
    });
    let checked = check_all(&[("alice", peer.endpoint())], &policy(), WAIT_MAX, WAIT_MAX);
    assert!(checked[0].ready(), "{}", checked[0].sentence());
}

#[test]
fn who_is_not_reached_in_time_is_told_so() {
    let peer = Peer::honest();
    let checked = check_all(&[("alice", peer.endpoint())], &policy(), WAIT_MAX, Duration::ZERO);
    assert!(checked[0].sentence().contains("the time of the check was over"), "{}", checked[0].sentence());
    assert!(check_all(&[], &policy(), WAIT_MAX, WAIT_MAX).is_empty());
}

#[test]
fn two_contestants_with_one_address_are_refused_but_for_the_first() {
    let peer = Peer::honest();
    let roster = [("alice", peer.endpoint()), ("bob", parse(&format!("{}/shop", peer.address)))];
    let checked = check_all(&roster, &policy(), WAIT_MAX, WAIT_MAX);
    assert!(checked[0].ready() && !checked[1].ready());
    assert!(checked[1].sentence().contains("as \"alice\" is"), "{}", checked[1].sentence());
    let shared = Policy { allow_shared: true, ..policy() };
    assert!(check_all(&roster, &shared, WAIT_MAX, WAIT_MAX).iter().all(Checked::ready));
    // The address of somebody who plays already.
    let playing: [(&str, &[SocketAddr]); 1] = [("carol", &[peer.address])];
    let candidates = [Candidate { name: "alice", endpoint: &roster[0].1 }];
    let checked = check(&candidates, &playing, &names(), &policy(), &terms(WAIT_MAX), WAIT_MAX);
    assert!(checked[0].sentence().contains("\"carol\""), "{}", checked[0].sentence());
}
