//! Every range of the table at its edges, in all ways of writing; deny over allow; ceilings.

use super::special::{Opens, RANGES};
use super::*;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn policy(keys: &str) -> Policy {
    Policy::ceiling(&format!("[policy]\n{keys}")).unwrap_or_else(|error| panic!("{error}"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// First, last, and what stands before and behind, where there is such.
fn edges(network: &Network) -> Vec<IpAddr> {
    let (first, most) = match network.address() {
        IpAddr::V4(first) => (first.to_bits().into(), u32::MAX.into()),
        IpAddr::V6(first) => (first.to_bits(), u128::MAX),
    };
    let last = first | most.checked_shr(network.prefix().into()).unwrap_or(0);
    let next = |bits: u128| bits.checked_add(1).filter(|bits| *bits <= most);
    let all = [first.checked_sub(1), Some(first), next(first), last.checked_sub(1), Some(last), next(last)];
    let address = |bits: u128| match network.address() {
        IpAddr::V4(_) => Ipv4Addr::from_bits(bits.try_into().expect("32 bits")).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    };
    all.into_iter().flatten().map(address).collect()
}

/// What the table says by plain arithmetic: the narrowest range that holds the address, but never before all else.
fn expected(address: IpAddr) -> Option<Opens> {
    let holding = || RANGES.iter().filter(|range| range.network.contains(address));
    if holding().any(|range| range.opens == Opens::Never) {
        return Some(Opens::Never);
    }
    let narrowest = holding().max_by_key(|range| range.network.prefix()).map(|range| range.opens);
    let is_unassigned = matches!(address, IpAddr::V6(address) if address.segments()[0] >> 13 != 1);
    narrowest.or(is_unassigned.then_some(Opens::ByAny))
}

#[test]
fn every_range_begins_and_ends_where_it_should() {
    let (nothing, everything) = (policy(""), policy("allow = [\"0.0.0.0/0\", \"::/0\"]"));
    let itself = policy("allow = [\"127.0.0.0/8\", \"::1/128\"]");
    let mut judged = 0;
    for address in RANGES.iter().flat_map(|range| edges(&range.network)) {
        if unmapped(address) != address || special::embedded(address).next().is_some() {
            // What is inside decides as well; the next test is about that.
            continue;
        }
        let open = [&nothing, &everything, &itself].map(|policy| policy.judge_ip(address).is_ok());
        let right = match expected(address) {
            None => [true, true, true],
            Some(Opens::ByAny) => [false, true, false],
            Some(Opens::ByItself) => [false, false, true],
            Some(Opens::Never) => [false, false, false],
        };
        assert_eq!(open, right, "{address}");
        judged += 1;
    }
    assert!(judged > 150, "{judged}");
}

#[test]
fn an_ipv4_address_is_the_same_in_all_ways_of_writing() {
    let policies = [
        policy(""),
        policy("allow = [\"0.0.0.0/0\", \"::/0\"]"),
        policy("allow = [\"10.0.0.0/8\", \"127.0.0.0/8\"]"),
        policy("allow = [\"0.0.0.0/0\", \"::/0\"]\ndeny = [\"10.0.0.0/8\", \"8.8.8.8\"]"),
    ];
    let ranges = RANGES.iter().map(|range| range.network).filter(|network| network.address().is_ipv4());
    let mut addresses: Vec<IpAddr> = ranges.flat_map(|network| edges(&network)).collect();
    addresses.push(ip("8.8.8.8"));
    for address in addresses {
        let IpAddr::V4(v4) = address else { continue };
        let bits = u128::from(v4.to_bits());
        let dressed = |high: u128, shift: u32| IpAddr::V6(Ipv6Addr::from_bits(high | bits << shift));
        // Clothes that change nothing.
        let thin = [dressed(0xffff << 32, 0), dressed(0x0064_ff9b << 96, 0)];
        // Clothes that are closed themselves until opened.
        let thick = [
            dressed(0, 0),                                                                             // compatible
            dressed(0xffff << 48, 0),                                                                  // translated
            dressed(0x2002 << 112, 80),                                                                // 6to4
            dressed(0x2001 << 112 | u128::from(!0x0808_0808_u32), 64), // Teredo's server, with a public client
            IpAddr::V6(Ipv6Addr::from_bits(0x2001 << 112 | 0x0808_0808 << 64 | (bits ^ 0xffff_ffff))), // its client
            dressed(0x2606_4700 << 96 | 0x5efe << 32, 0),              // ISATAP
        ];
        for policy in &policies {
            let bare = policy.judge_ip(address);
            for written in thin {
                assert_eq!(policy.judge_ip(written).is_ok(), bare.is_ok(), "{address} as {written} by {policy:?}");
            }
            for written in thick {
                assert!(bare.is_ok() || policy.judge_ip(written).is_err(), "{address} as {written} by {policy:?}");
            }
        }
        let local = dressed(0x0064_ff9b_0001 << 80, 0);
        assert!(policies.iter().all(|policy| policy.judge_ip(local).is_err()), "{local}");
    }
}

#[test]
fn deny_wins_over_allow() {
    let policy = policy(
        "allow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.3.0/24\", \"10.0.4.1\", \"10.0.5.1:8080\", \"8.8.8.0/24\", \
         \"[2606:4700::1]:8080\"]",
    );
    let judge =
        |address: &str| policy.judge_address(address.parse().expect("an address")).map_err(|error| error.to_string());
    for open in ["10.0.2.1:80", "10.0.4.2:80", "10.0.5.1:8081", "8.8.9.1:80", "[2606:4700::1]:8081"] {
        assert_eq!(judge(open), Ok(()), "{open}");
    }
    for closed in
        ["10.0.3.255:80", "10.0.4.1:80", "10.0.5.1:8080", "8.8.8.8:80", "[::ffff:8.8.8.8]:80", "[2606:4700::1]:8080"]
    {
        assert!(judge(closed).is_err_and(|error| error.contains("wins over allow")), "{closed}");
    }
    assert_eq!(
        judge("10.0.5.1:8080").expect_err("denied"),
        "10.0.5.1 is closed by 10.0.5.1:8080 of deny in [policy], which wins over allow: give another address"
    );
}

#[test]
fn all_addresses_of_a_name_must_pass() {
    let (policy, endpoint) = (policy(""), "shop.example:8080".parse().expect("an endpoint"));
    let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    assert_eq!(policy.judge_resolved(&endpoint, &[at("8.8.8.8:8080"), at("[2606:4700::1]:8080")]), Ok(()));
    let error =
        policy.judge_resolved(&endpoint, &[at("8.8.8.8:8080"), at("10.0.0.1:8080")]).expect_err("one is private");
    assert_eq!(
        error.to_string(),
        "10.0.0.1 is private (RFC 1918), an address that contests do not flood: add its network to allow in [policy] if \
         it is yours, as in allow = [\"10.0.0.0/8\"]"
    );
    assert!(matches!(policy.judge_resolved(&endpoint, &[]), Err(PolicyError::Nowhere(_))));
    let redis = "shop.example:6379".parse().expect("an endpoint");
    assert!(matches!(policy.judge_endpoint(&redis), Err(PolicyError::ServicePort { port: 6379, .. })));
}

#[test]
fn two_contestants_have_no_address_in_common() {
    let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    let alice = [at("8.8.8.8:80"), at("8.8.8.8:80"), at("[2606:4700::1]:80")];
    let bob = [at("8.8.8.8:81"), at("8.8.4.4:80")];
    let carol = [at("8.8.4.5:80"), at("[::ffff:8.8.8.8]:80")];
    let shared =
        |policy: &Policy| policy.judge_shared([("alice", &alice[..]), ("bob", &bob[..]), ("carol", &carol[..])]);
    assert_eq!(policy("").judge_shared([("alice", &alice[..]), ("bob", &bob[..])]), Ok(()));
    let error = shared(&policy("")).expect_err("carol is alice, written otherwise").to_string();
    assert!(error.starts_with("\"carol\" is at 8.8.8.8:80, as \"alice\" is: "), "{error}");
    assert_eq!(shared(&policy("allow_shared = true")), Ok(()));
    for form in ["[64:ff9b::8.8.8.8]:80", "[2002:808:808::1]:80"] {
        let carol = [at(form)];
        let judged = policy("").judge_shared([("alice", &alice[..]), ("carol", &carol[..])]);
        assert!(matches!(judged, Err(PolicyError::Shared { .. })), "{form}");
    }
}

#[test]
fn an_entry_of_deny_closes_its_address_in_all_forms() {
    let policy =
        policy("allow = [\"0.0.0.0/0\", \"::/0\"]\ndeny = [\"64:ff9b::10.0.0.7\", \"[::ffff:10.0.0.8]:8080\"]");
    let judge = |address: &str| policy.judge_address(address.parse().expect("an address")).is_ok();
    for closed in
        ["10.0.0.7:80", "[::ffff:10.0.0.7]:80", "[2002:a00:7::]:80", "10.0.0.8:8080", "[64:ff9b::10.0.0.8]:8080"]
    {
        assert!(!judge(closed), "{closed}");
    }
    assert!(judge("10.0.0.9:80") && judge("10.0.0.8:8081"));
}

#[test]
fn proof_that_either_asks_for_is_asked_for() {
    let [off, header] = ["", "ownership = \"header\""].map(policy);
    assert_eq!((off.ownership, header.ownership), (Ownership::Off, Ownership::Header));
    for (below, ceiling, asked) in [(&off, &off, false), (&header, &off, true), (&off, &header, true)] {
        assert_eq!(below.within(ceiling).expect("no wider").ownership.is_asked_for(), asked);
    }
    let error = Policy::ceiling("[policy]\nownership = \"file\"\n").expect_err("no such proof").to_string();
    assert!(error.contains("`policy.ownership`") && error.contains("\"header\""), "{error}");
}

#[test]
fn a_wider_policy_than_the_ceiling_is_refused_by_name() {
    let ceiling = policy("allow = [\"10.0.0.0/8\", \"0.0.0.0/0\"]\ndeny = [\"10.0.9.0/24\"]");
    let narrow = policy("allow = [\"10.1.0.0/16\", \"192.168.0.0/16\"]\ndeny = [\"10.1.1.1\"]");
    let both = narrow.within(&ceiling).expect("it is narrower");
    assert_eq!(both, policy("allow = [\"10.1.0.0/16\", \"192.168.0.0/16\"]\ndeny = [\"10.1.1.1\", \"10.0.9.0/24\"]"));
    for (wider, name) in [
        ("allow = [\"fd00::/8\"]", "fd00::/8"),
        // 0.0.0.0/0 does not open loopback, so nobody may open it below.
        ("allow = [\"127.0.0.0/8\"]", "127.0.0.0/8"),
        ("allow_shared = true", "allow_shared"),
    ] {
        let error = policy(wider).within(&ceiling).expect_err(wider).to_string();
        assert!(error.contains(name) && error.contains("this generator's own policy file"), "{error}");
    }
    assert_eq!(policy("").within(&policy("")), Ok(Policy::default()));
}

#[test]
fn what_a_policy_that_is_not_followed_closes_is_closed_and_what_it_opens_is_not() {
    let held = policy("allow = [\"10.1.0.0/16\", \"127.0.0.0/8\"]\ndeny = [\"10.1.9.9\"]");
    // A wider network beside a narrower one that is gone, and an address that is denied.
    let newer = policy("allow = [\"10.0.0.0/8\"]\ndeny = [\"10.1.1.1\"]\nallow_shared = true\nownership = \"header\"");
    let expected = "allow = [\"10.1.0.0/16\"]\ndeny = [\"10.1.1.1\", \"10.1.9.9\"]\nownership = \"header\"";
    let narrowed = held.narrowed_by(&newer);
    assert_eq!(narrowed, policy(expected));
    assert_eq!(narrowed.narrowed_by(&newer), narrowed, "however often");
}

#[test]
fn a_policy_file_is_the_policy_of_a_contest_and_nothing_else() {
    let error = |text: &str| Policy::ceiling(text).expect_err(text).to_string();
    assert_eq!(error("allow = []"), "line 1: `allow` is no key that the top knows: it takes policy");
    assert!(error("[policy]\nallow = [1]").contains("`policy.allow[1]` is a number"));
    assert!(error("[policy]\ndeny = [\"x\"]").contains("no block of addresses"));
    let many = format!("[policy]\ndeny = [{}]", "\"10.0.0.1\",".repeat(ENTRIES_MAX + 1));
    assert!(error(&many).contains("at most 1000"));
}

prop_compose! {
    fn policies()(
        allow in proptest::collection::vec(networks(), 0..4),
        deny in proptest::collection::vec(networks(), 0..3),
        allow_shared: bool,
    ) -> Policy {
        Policy { allow, deny: deny.into_iter().map(|network| Denied { network, port: None }).collect(), allow_shared, ..Policy::default() }
    }
}

fn networks() -> impl Strategy<Value = Network> {
    let all = [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3/32",
        "127.0.0.0/8",
        "127.0.0.1/32",
        "::/0",
        "fd00::/8",
        "2002::/16",
        "::1/128",
        "192.168.0.0/16",
    ];
    proptest::sample::select(all.to_vec()).prop_map(|text| text.parse().expect("a network"))
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        proptest::sample::select(vec![
            "10.1.2.3",
            "10.2.0.1",
            "127.0.0.1",
            "::1",
            "fd00::1",
            "2002:a01:203::1",
            "192.168.1.1",
            "8.8.8.8",
            "::ffff:10.1.2.3"
        ])
        .prop_map(ip),
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
    ]
}

#[test]
fn a_port_of_this_machine_is_closed_at_all_its_names() {
    let policy = Policy {
        allow: vec!["127.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("a network")],
        deny: vec!["127.0.0.1:8321".parse().expect("an entry")],
        ..Policy::default()
    };
    let judge = |text: &str| policy.judge_address(text.parse().expect("an address")).is_ok();
    for closed in ["127.0.0.1:8321", "127.0.0.2:8321", "127.9.9.9:8321", "[::1]:8321", "[::ffff:127.0.0.1]:8321"] {
        assert!(!judge(closed), "{closed}");
    }
    assert!(judge("127.0.0.1:8081") && judge("127.0.0.2:8081"));
    // Elsewhere one address is one address.
    let elsewhere = Policy { deny: vec!["10.0.0.7:8081".parse().expect("an entry")], ..policy };
    assert!(elsewhere.judge_address("127.0.0.1:8081".parse().expect("an address")).is_ok());
}

proptest! {
    #[test]
    fn what_is_within_a_ceiling_opens_nothing_that_the_ceiling_closes(
        below in policies(),
        ceiling in policies(),
        address in addresses(),
    ) {
        if let Ok(both) = below.within(&ceiling)
            && both.judge_ip(address).is_ok()
        {
            prop_assert_eq!(below.judge_ip(address), Ok(()));
            prop_assert_eq!(ceiling.judge_ip(address), Ok(()));
        }
    }

    #[test]
    fn what_is_denied_is_closed(mut policy in policies(), address in addresses()) {
        policy.deny.push(Denied { network: Network::of(address), port: None });
        prop_assert!(policy.judge_ip(address).is_err());
    }
}
