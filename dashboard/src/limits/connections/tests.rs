//! The table of connections, as plain data: who goes, who comes, and how many a second.

use super::*;

const SMALL: Limits = Limits {
    rooms: [(8, 4), (8, 6), (8, 4), (4, 2)],
    new: Rate { burst: 100.0, a_second: 10.0 },
    known: Rate { burst: 150.0, a_second: 20.0 },
};

fn peer(network: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, network], port))
}

fn pushed_out(step: Step) -> Option<SocketAddr> {
    match step {
        Step::Take { pushed_out, .. } => pushed_out,
        Step::Refuse => panic!("it is taken"),
    }
}

/// What the counts say is what is held.
fn check(table: &Table) {
    for kind in KINDS {
        let room = &table.rooms[kind as usize];
        let held: Vec<_> = table.held.iter().filter(|(_, held)| held.kind == kind).collect();
        assert_eq!(room.count, held.len(), "{kind:?}");
        for crowds in [&room.crowds, &room.sites] {
            assert_eq!(crowds.sizes.len(), crowds.held.len(), "{kind:?}");
        }
        for (peer, held) in held {
            assert_eq!(room.crowds.held[&held.crowd].get(&held.order), Some(peer), "{kind:?}");
            assert_eq!(room.sites.held[&held.crowd.site()].get(&held.order), Some(peer), "{kind:?}");
        }
    }
}

#[test]
fn whoever_opens_many_pushes_out_its_own_oldest_and_nobody_elses() {
    let (mut table, mut now) = (Table::new(SMALL), Instant::now());
    assert_eq!(pushed_out(table.on_open(peer(1, 1), now)), None);
    for port in 1..=4 {
        assert_eq!(pushed_out(table.on_open(peer(2, port), now)), None);
    }
    // None that is shaking hands goes, and what is refused is none that was opened.
    let left = table.arrivals.0[&peer(2, 0).ip()].left;
    assert_eq!(table.on_open(peer(2, 99), now + HANDSHAKE_NEAR / 2), Step::Refuse);
    assert_eq!(table.rooms[Kind::Silent as usize].count, 5);
    assert!(table.arrivals.0[&peer(2, 0).ip()].left >= left);
    // From farther away it may take longer: then it is one by chance.
    for port in 5..=50 {
        now += HANDSHAKE_NEAR;
        let gone = pushed_out(table.on_open(peer(2, port), now)).expect("one goes");
        assert!(gone.ip() == peer(2, 0).ip() && gone.port() < port, "{gone}");
        check(&table);
    }
    for port in 51..=54 {
        table.on_open(peer(2, port), now + 2 * HANDSHAKE);
    }
    for port in 55..=100 {
        now += 3 * HANDSHAKE;
        assert_eq!(pushed_out(table.on_open(peer(2, port), now)), Some(peer(2, port - 4)));
        check(&table);
    }
    assert!(table.held.contains_key(&peer(1, 1)));
}

#[test]
fn of_many_networks_the_largest_crowd_makes_room_and_then_who_waits_longest() {
    let (mut table, now) = (Table::new(SMALL), Instant::now());
    for port in 1..=3 {
        table.on_open(peer(2, port), now);
    }
    for network in 10..15 {
        assert_eq!(pushed_out(table.on_open(peer(network, 1), now)), None);
    }
    assert_eq!(pushed_out(table.on_open(peer(1, 1), now)), Some(peer(2, 1)));
    assert_eq!(pushed_out(table.on_open(peer(3, 1), now)), Some(peer(2, 2)));
    // All have one now: the newest is never the one who goes.
    assert_eq!(pushed_out(table.on_open(peer(4, 1), now)), Some(peer(2, 3)));
    assert_eq!(pushed_out(table.on_open(peer(5, 1), now)), Some(peer(10, 1)));
    check(&table);
}

/// An address in a part of a /48.
fn part_of(site: u16, part: u16) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, site, part, 0, 0, 0, 1], 1))
}

#[test]
fn whoever_has_a_large_network_pushes_out_its_own_in_whatever_part_of_it() {
    let (mut table, now) = (Table::new(SMALL), Instant::now());
    let (one, other) = (peer(1, 1), part_of(9, 0));
    assert_eq!(pushed_out(table.on_open(one, now)), None);
    assert_eq!(pushed_out(table.on_open(other, now)), None);
    for part in 0..200 {
        let gone = pushed_out(table.on_open(part_of(7, part), now));
        assert_eq!(gone, part.checked_sub(6).map(|oldest| part_of(7, oldest)));
        check(&table);
    }
    // As strangers, too.
    for part in 0..200 {
        let crowd = Crowd::Network(network(part_of(7, part).ip()));
        table.on_open(part_of(7, part), now);
        table.on_request(part_of(7, part), Kind::Stranger, crowd, now);
    }
    table.on_request(one, Kind::Stranger, Crowd::Network(one.ip()), now);
    assert!(table.held.contains_key(&one) && table.held.contains_key(&other));
    check(&table);
}

#[test]
fn a_large_network_opens_so_many_a_second_in_all_its_parts() {
    let (mut table, now) = (Table::new(SMALL), Instant::now());
    let taken = |table: &mut Table, now: Instant| {
        (0..1_000).filter(|part| table.on_open(part_of(7, *part), now) != Step::Refuse).count()
    };
    assert_eq!(taken(&mut table, now), 400);
    assert_eq!(taken(&mut table, now + Duration::from_secs(1)), 40);
    assert!(table.arrivals.0.len() <= 440, "what is refused is not remembered");
    assert_ne!(table.on_open(part_of(8, 0), now), Step::Refuse, "elsewhere");
    // Where somebody is signed in, nobody is kept out by the others around.
    let here = part_of(7, 2_000);
    table.note_signed_in(network(here.ip()), now);
    assert_ne!(table.on_open(here, now + Duration::from_secs(1)), Step::Refuse);
}

#[test]
fn an_account_in_every_part_of_a_large_network_makes_no_network_of_each() {
    let (mut table, now) = (Table::new(Limits { rooms: Limits::default().rooms, ..SMALL }), Instant::now());
    for part in 0..20 {
        table.on_open(part_of(7, part), now);
        table.on_request(part_of(7, part), Kind::Contestant, Crowd::Account(7), now);
    }
    let taken = |table: &mut Table, site: u16, now: Instant| {
        let all = (0..200).flat_map(|port| (0..20).map(move |part| (port, part)));
        let opened = all.filter(|(port, part)| {
            let peer = SocketAddr::new(part_of(site, *part).ip(), 1_000 + port);
            table.on_open(peer, now) != Step::Refuse
        });
        opened.count()
    };
    assert_eq!(taken(&mut table, 7, now), 600, "as many as four networks");
    assert_eq!(taken(&mut table, 7, now + Duration::from_secs(1)), 80);
    table.note_signed_in(network(part_of(8, 0).ip()), now);
    assert_ne!(table.on_open(part_of(8, 0), now + Duration::from_secs(1)), Step::Refuse, "elsewhere");
    check(&table);
}

#[test]
fn organisers_and_contestants_have_room_of_their_own() {
    let (mut table, now) = (Table::new(SMALL), Instant::now());
    table.on_open(peer(1, 1), now);
    assert_eq!(table.on_request(peer(1, 1), Kind::Organiser, Crowd::Account(1), now), None);
    table.on_open(peer(1, 2), now);
    assert_eq!(table.on_request(peer(1, 2), Kind::Contestant, Crowd::Account(7), now), None);
    for network in 10..60 {
        for port in 1..=4 {
            table.on_open(peer(network, port), now);
            table.on_request(peer(network, port), Kind::Stranger, Crowd::Network(peer(network, 0).ip()), now);
        }
    }
    assert!(table.held.contains_key(&peer(1, 1)) && table.held.contains_key(&peer(1, 2)));
    assert_eq!(table.rooms[Kind::Stranger as usize].count, 8);
    // One team that opens many pushes out its own, and not those of another.
    for port in 100..120 {
        table.on_open(peer(9, port), now);
        let gone = table.on_request(peer(9, port), Kind::Contestant, Crowd::Account(8), now);
        assert!(gone.is_none_or(|gone| gone.ip() == peer(9, 0).ip()), "{gone:?}");
    }
    // Who has asked as an organiser is one, whatever it asks next by the same connection.
    table.on_request(peer(1, 1), Kind::Stranger, Crowd::Network(peer(1, 0).ip()), now);
    assert_eq!(table.held[&peer(1, 1)].kind, Kind::Organiser);
    check(&table);
    for (peer, number) in table.held.iter().map(|(peer, held)| (*peer, held.number)).collect::<Vec<_>>() {
        table.on_close(peer, Some(number + 1));
        assert!(table.held.contains_key(&peer), "another one of the same address");
        table.on_close(peer, Some(number));
    }
    assert!(table.held.is_empty());
    check(&table);
}

#[test]
fn a_network_opens_so_many_a_second_and_more_where_somebody_is_signed_in() {
    let limits = Limits { rooms: Limits::default().rooms, ..SMALL };
    let (mut table, now) = (Table::new(limits), Instant::now());
    let taken = |table: &mut Table, network: u8, now: Instant| {
        (1..=200).filter(|port| table.on_open(peer(network, *port), now) != Step::Refuse).count()
    };
    assert_eq!(taken(&mut table, 2, now), 100);
    assert_eq!(taken(&mut table, 2, now + Duration::from_secs(1)), 10);
    assert_eq!(taken(&mut table, 3, now), 100, "elsewhere");
    table.on_request(peer(2, 110), Kind::Contestant, Crowd::Account(7), now);
    assert_eq!(taken(&mut table, 2, now + Duration::from_secs(1)), 150);
    table.on_request(peer(2, 110), Kind::Contestant, Crowd::Account(7), now + Duration::from_secs(1));
    assert_eq!(taken(&mut table, 2, now + Duration::from_secs(2)), 20, "a request more gives no more of them");
    assert_eq!(taken(&mut table, 2, now + SIGNED_IN_LIFE * 2), 100);
}

/// Of one address: a contestant who opens `a_ms` connections a millisecond for ten seconds, and an organiser who opens one each
/// twenty milliseconds and needs `handshake_ms`. How many of the organiser's five hundred ask something.
fn done_beside(a_ms: f64, handshake_ms: u64) -> usize {
    let limits = Limits::default();
    let (mut table, start) = (Table::new(limits), Instant::now());
    table.on_open(peer(1, 1), start);
    table.on_request(peer(1, 1), Kind::Contestant, Crowd::Account(7), start);
    let (mut taken, mut done, mut shaking, chance) = (0, 0, BTreeMap::new(), RandomState::new());
    // They come in no step with one another.
    let drawn_us = |of: (u32, u64)| chance.hash_one(of) % 1_000;
    let (mut next_us, mut port, mut attempts) = (0, 0_u64, 0);
    for ms in 0..10_000_u64 {
        let own_us = 1_000 * ms + drawn_us((1, ms));
        let mut open = |table: &mut Table, peer: SocketAddr, at_us: u64| {
            let is_taken = table.on_open(peer, start + Duration::from_micros(at_us)) != Step::Refuse;
            taken += u32::from(is_taken);
            is_taken
        };
        let mut is_own_due = ms % 20 == 0;
        while next_us < 1_000 * (ms + 1) || is_own_due {
            if is_own_due && own_us <= next_us {
                (is_own_due, attempts) = (false, attempts + 1);
                let own = peer(1, 60_000 + (ms / 20) as u16);
                if open(&mut table, own, own_us) {
                    shaking.insert(own_us + 1_000 * handshake_ms, own);
                }
                continue;
            }
            open(&mut table, peer(1, 1_000 + (port % 50_000) as u16), next_us);
            port += 1;
            next_us += (2.0 * drawn_us((2, port)) as f64 / a_ms) as u64;
        }
        while let Some((&at_us, &own)) = shaking.first_key_value().filter(|(at_us, _)| **at_us <= next_us) {
            shaking.remove(&at_us);
            if table.held.get(&own).is_some_and(|held| held.kind == Kind::Silent) {
                table.on_request(own, Kind::Organiser, Crowd::Account(1), start + Duration::from_micros(at_us));
                table.on_close(own, None);
                done += 1;
            }
        }
    }
    let most = limits.known.burst + 10.1 * limits.known.a_second;
    assert!(f64::from(taken) <= most, "{taken} were taken");
    assert_eq!(attempts, 500);
    check(&table);
    done
}

#[test]
fn whoever_opens_thousands_where_an_organiser_is_leaves_it_its_share_of_new_ones() {
    // As many as the network may open in that time, of fifty thousand: all are taken alike.
    for (handshake_ms, least) in [(5, 85), (50, 85), (200, 50)] {
        let done = done_beside(5.0, handshake_ms);
        eprintln!("beside 5,000 a second: {done} of 500 that shake hands for {handshake_ms} ms");
        assert!(done >= least, "{done} of 500 that shake hands for {handshake_ms} ms");
        let done = done_beside(0.6, handshake_ms);
        assert!(done >= 485, "{done} of 500 beside 600 a second, {handshake_ms} ms");
    }
    let limits = Limits::default();
    assert!(limits.known.a_second * HANDSHAKE.as_secs_f64() < limits.rooms[0].1 as f64);
    assert!(limits.known.burst * HANDSHAKE_NEAR.as_secs_f64() < limits.rooms[0].1 as f64);
}

#[test]
fn where_many_are_silent_nobody_may_be_for_long() {
    let (mut table, now) = (Table::new(SMALL), Instant::now());
    let timeout = |step: Step| match step {
        Step::Take { head_timeout, .. } => head_timeout,
        Step::Refuse => panic!("it is taken"),
    };
    for network in 1..=4 {
        assert_eq!(timeout(table.on_open(peer(network, 1), now)), HEAD_TIMEOUT);
    }
    assert_eq!(timeout(table.on_open(peer(5, 1), now)), HEAD_TIMEOUT_IN_A_CROWD);
    for network in 1..=5 {
        table.on_request(peer(network, 1), Kind::Stranger, Crowd::Network(peer(network, 0).ip()), now);
    }
    assert_eq!(timeout(table.on_open(peer(6, 1), now)), HEAD_TIMEOUT);
}

#[test]
fn few_descriptors_make_every_part_smaller_and_none_vanish() {
    let few = Limits::default().within(435);
    assert!(few.total() <= 440, "{few:?}");
    assert!(few.rooms.iter().all(|(most, of_crowd)| *most >= 4 && of_crowd <= most), "{few:?}");
    assert_eq!(Limits::default().within(100_000), Limits::default());
}
