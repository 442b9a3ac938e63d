//! The check of a whole roster.

use crate::peer::{Peer, Reply, answer, policy, terms, trust};
use flowtest_contest::{Endpoint, Policy};
use flowtest_contract::rules::UtcUs;
use flowtest_loadgen::admit::probe::{self, Candidate, Checked, CheckedBy, Claim, Holder, Team, Terms, check_since};
use flowtest_loadgen::admit::resolve::Names;
use flowtest_loadgen::admit::trust::ContestTrust;
use flowtest_testkit::WAIT_MAX;
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

fn check(
    candidates: &[Candidate<'_>],
    names: &Names,
    policy: &Policy,
    trust: &ContestTrust,
    terms: &Terms,
    whole: Duration,
) -> Vec<Checked> {
    probe::check(candidates, CheckedBy { names, policy, trust, terms }, whole)
}

/// Beside those who play; whoever is asked has had its addresses since it typed them.
fn check_beside(candidates: &[Candidate<'_>], playing: &[Holder<'_>]) -> Vec<Checked> {
    let (names, policy, trust, terms) = (names(), policy(), trust(), terms(WAIT_MAX));
    let by = CheckedBy { names: &names, policy: &policy, trust: &trust, terms: &terms };
    let mut since = |claims: &[Claim]| claims.iter().map(|claim| candidates[claim.place].typed_at).collect();
    check_since(candidates, playing, by, WAIT_MAX, &mut since)
}

fn check_all(roster: &[(&str, Endpoint)], policy: &Policy, timeout: Duration, whole: Duration) -> Vec<Checked> {
    let candidates: Vec<Candidate<'_>> = roster.iter().map(|(name, endpoint)| Candidate::new(name, endpoint)).collect();
    check(&candidates, &names(), policy, &trust(), &terms(timeout), whole)
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
        let message = checked[index].message();
        assert!(message.contains(part) && !checked[index].ready(), "{message}");
    };
    assert!(checked[0].ready(), "{}", checked[0].message());
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
    assert!(checked[0].message().contains("the generator's own machine"), "{}", checked[0].message());
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
    let whole = Duration::from_secs(10);
    let checked = check_all(&roster, &policy(), WAIT_MAX, whole);
    for (index, checked) in checked.iter().enumerate() {
        assert_eq!(checked.ready(), index >= 40, "{index}: {}", checked.message());
    }
    assert!(checked[0].message().contains("no whole answer came within"), "{}", checked[0].message());
    assert!(checked[38].message().contains("no answer yet"), "{}", checked[38].message());
}

#[test]
fn a_slow_server_gets_its_full_time_after_the_quick_ones() {
    let peer = Peer::start(|request| {
        std::thread::sleep(Duration::from_millis(1_200));
        Reply::Keep(crate::peer::right(&request.token))
    });
    let checked = check_all(&[("alice", peer.endpoint())], &policy(), WAIT_MAX, WAIT_MAX);
    assert!(checked[0].ready(), "{}", checked[0].message());
}

#[test]
fn who_is_not_reached_in_time_is_told_so() {
    let peer = Peer::honest();
    let checked = check_all(&[("alice", peer.endpoint())], &policy(), WAIT_MAX, Duration::ZERO);
    assert!(checked[0].message().contains("the time of the check was over"), "{}", checked[0].message());
    assert!(check_all(&[], &policy(), WAIT_MAX, WAIT_MAX).is_empty());
}

#[test]
fn two_contestants_with_one_address_are_refused_but_for_the_first() {
    let peer = Peer::honest();
    let roster = [("alice", peer.endpoint()), ("bob", parse(&format!("{}/shop", peer.address)))];
    let checked = check_all(&roster, &policy(), WAIT_MAX, WAIT_MAX);
    assert!(checked[0].ready() && !checked[1].ready());
    let message = checked[1].message();
    assert!(message.contains("another contestant's, who named it first") && !message.contains("alice"), "{message}");
    assert_eq!((checked[1].taken[0].owner.as_str(), checked[1].taken[0].address), ("alice", peer.address));
    let shared = Policy { allow_shared: true, ..policy() };
    assert!(check_all(&roster, &shared, WAIT_MAX, WAIT_MAX).iter().all(Checked::ready));
}

#[test]
fn who_plays_at_an_address_keeps_it_from_all_who_have_not_had_it_longer() {
    let peer = Peer::honest();
    let endpoint = peer.endpoint();
    let held = [(peer.address, UtcUs(5))];
    let candidate = |name, at| Candidate { typed_at: UtcUs(at), ..Candidate::new(name, &endpoint) };
    let owner = |holder, name, at| {
        let checked = check_beside(&[candidate(name, at)], &[Holder { name: holder, held: &held }]);
        checked[0].taken.first().map_or_else(|| name.to_owned(), |taken| taken.owner.clone())
    };
    // No packet is sent there for another.
    for (holder, name, at) in [("carol", "alice", 5), ("carol", "alice", 9), ("house", "alice", 1)] {
        assert_eq!(owner(holder, name, at), holder, "{name} {at}");
    }
    assert_eq!(peer.connections(), 0);
    // A name was pointed at her server, where she has been longer; and the house is before all.
    for (holder, name, at) in [("carol", "alice", 4), ("carol", "house", 9)] {
        assert_eq!(owner(holder, name, at), name);
    }
    let checked = check_beside(&[candidate("alice", 4)], &[Holder { name: "carol", held: &held }]);
    assert_eq!((checked[0].admitted(), &checked[0].held), (vec![peer.address], &vec![(peer.address, UtcUs(4))]));
    // Whoever has had it longer and does not answer right there has it, and gets nothing.
    let silent = Peer::start(|_| Reply::Silence);
    let endpoint = silent.endpoint();
    let held = [(silent.address, UtcUs(5))];
    let first = Candidate { typed_at: UtcUs(4), ..Candidate::new("alice", &endpoint) };
    let (names, policy, trust, terms) = (self::names(), policy(), trust(), terms(Duration::from_secs(1)));
    let by = CheckedBy { names: &names, policy: &policy, trust: &trust, terms: &terms };
    let mut is_verified = Vec::new();
    let mut since = |claims: &[Claim]| {
        is_verified.extend(claims.iter().map(|claim| claim.is_verified));
        vec![UtcUs(4); claims.len()]
    };
    let holder = Holder { name: "carol", held: &held };
    let checked = check_since(&[first], &[holder], by, Duration::from_secs(2), &mut since);
    assert!(!checked[0].ready() && checked[0].taken.is_empty() && is_verified == [false], "{checked:?}");
}

#[test]
fn an_address_that_a_name_resolves_to_is_its_who_named_it_first_whether_or_not_it_answers() {
    let victim = Peer::start(|_| Reply::Silence);
    let port = victim.address.port();
    let names = Names::new(None, |_| Ok(vec!["64:ff9b::127.0.0.1".parse().expect("one"), [127, 0, 0, 1].into()]));
    let (first, second) = (parse(&format!("127.0.0.1:{port}")), parse(&format!("bobby.test:{port}")));
    let candidates = [Candidate::new("alice", &first), Candidate::new("bobby", &second)];
    let whole = Duration::from_secs(2);
    let checked = check(&candidates, &names, &policy(), &trust(), &terms(whole), whole);
    assert!(checked.iter().all(|checked| !checked.ready()));
    assert!(checked[0].taken.is_empty() && checked[1].taken[0].owner == "alice", "{checked:?}");
    // Also while the first one's name does not resolve for a moment.
    let lost = parse(&format!("lost.test:{port}"));
    let names = Names::new(None, |name| match name {
        "bobby.test" => Ok(vec![[127, 0, 0, 1].into()]),
        _ => Err(std::io::Error::other("no such name")),
    });
    let known = [victim.address];
    let candidates = [Candidate { known: &known, ..Candidate::new("alice", &lost) }, Candidate::new("bobby", &second)];
    let checked = check(&candidates, &names, &policy(), &trust(), &terms(whole), whole);
    assert_eq!(checked[1].taken[0].owner, "alice");
}

#[test]
fn an_address_is_whose_name_has_had_it_longest_whoever_typed_first() {
    let peer = Peer::honest();
    let port = peer.address.port();
    let names = Names::new(None, |_| Ok(vec![[127, 0, 0, 1].into()]));
    let (name, typed) = (parse(&format!("bobby.test:{port}")), parse(&format!("127.0.0.1:{port}")));
    let candidates = [Candidate::new("bobby", &name), Candidate::new("alice", &typed)];
    let owner = |bobby: u64, alice: u64| {
        let mut since = |claims: &[Claim]| {
            assert!(claims.iter().all(|claim| claim.address == peer.address && claim.is_verified), "{claims:?}");
            claims.iter().map(|claim| UtcUs([bobby, alice][claim.place])).collect()
        };
        let terms = terms(WAIT_MAX);
        let (policy, trust) = (policy(), trust());
        let by = CheckedBy { names: &names, policy: &policy, trust: &trust, terms: &terms };
        let checked = check_since(&candidates, &[], by, WAIT_MAX, &mut since);
        let taken: Vec<String> = checked.iter().flat_map(|one| &one.taken).map(|taken| taken.owner.clone()).collect();
        (taken, [checked[0].ready(), checked[1].ready()])
    };
    assert_eq!(owner(9, 2), (vec!["alice".to_owned()], [false, true]), "he pointed his name there later");
    assert_eq!(owner(1, 2), (vec!["bobby".to_owned()], [true, false]));
    assert_eq!(owner(2, 2), (vec!["bobby".to_owned()], [true, false]), "then by their order");
}

#[test]
fn where_proof_is_asked_for_nobody_has_what_he_cannot_prove() {
    let hers = Peer::start(|request| {
        let headers = [("Token", request.token.as_str()), ("Version", "v2"), ("From", "ECS"), ("Team", "alice")];
        Reply::Keep(answer(&headers))
    });
    let roster = [("bobby", hers.endpoint()), ("alice", hers.endpoint())];
    let candidates: Vec<Candidate<'_>> = roster
        .iter()
        .map(|(name, endpoint)| Candidate { team: Some(Team(name)), ..Candidate::new(name, endpoint) })
        .collect();
    let checked = check(&candidates, &names(), &policy(), &trust(), &terms(WAIT_MAX), WAIT_MAX);
    assert!(!checked[0].ready() && checked[1].ready() && checked[1].taken.is_empty(), "{checked:?}");
    assert!(!checked[0].message().contains("alice") || checked[0].message().contains("Team"), "{checked:?}");
    // Nor does anybody whose server says nothing.
    let nobodys = Peer::honest();
    let endpoint = nobodys.endpoint();
    let candidate = Candidate { team: Some(Team("bobby")), ..Candidate::new("bobby", &endpoint) };
    let without = [candidate, Candidate::new("alice", &endpoint)];
    let checked = check(&without, &names(), &policy(), &trust(), &terms(WAIT_MAX), WAIT_MAX);
    assert!(!checked[0].ready() && checked[1].ready(), "{checked:?}");
}

#[test]
fn each_address_is_let_in_by_right_answers_of_its_own() {
    let honest = Peer::honest();
    let port = honest.address.port();
    let wrong = Peer::start_at([127, 0, 0, 2].into(), port, |_| Reply::Keep(answer(&[("Version", "v2")])));
    let wrong = wrong.expect("the port is free at 127.0.0.2");
    let names = Names::new(None, |_| Ok(vec![[127, 0, 0, 1].into(), [127, 0, 0, 2].into()]));
    let endpoint = parse(&format!("alice.test:{port}"));
    let checked = check(&[Candidate::new("alice", &endpoint)], &names, &policy(), &trust(), &terms(WAIT_MAX), WAIT_MAX);
    assert_eq!((checked[0].admitted(), checked[0].addresses.len()), (vec![honest.address], 2));
    let message = checked[0].message();
    assert!(checked[0].ready() && message.starts_with("1 of its 2 addresses get traffic; 127.0.0.2:"), "{message}");
    // One that plays has others beside those that were asked now.
    let told = checked[0].message_with(2, 3);
    assert!(told.starts_with("2 of its 3 addresses get traffic; 127.0.0.2:"), "{told}");
    // Only the one that its name has got since.
    let only = [wrong.address];
    let candidate = Candidate { only: Some(&only), ..Candidate::new("alice", &endpoint) };
    let asked = honest.connections();
    let checked = check(&[candidate], &names, &policy(), &trust(), &terms(WAIT_MAX), WAIT_MAX);
    assert!(!checked[0].ready());
    assert_eq!(honest.connections(), asked);
}
