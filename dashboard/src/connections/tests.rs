//! The table of connections, as plain data: who goes, who comes, and how many a second.

use super::*;

const SMALL: Limits = Limits {
    rooms: [(8, 4), (8, 6), (8, 4), (4, 2)],
    burst: 100.0,
    a_second: 10.0,
    known_burst: 150.0,
    known_a_second: 20.0,
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
    // Not for one that comes while all of them are shaking hands.
    assert_eq!(table.on_open(peer(2, 99), now + HANDSHAKE / 2), Step::Refuse);
    assert_eq!(table.rooms[Kind::Silent as usize].count, 5);
    for port in 5..=50 {
        now += HANDSHAKE;
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

#[test]
fn whoever_opens_thousands_where_an_organiser_is_cuts_off_none_that_shakes_hands() {
    let limits = Limits::default();
    let (mut table, start) = (Table::new(limits), Instant::now());
    // Of one address: a contestant who attacks, and an organiser who opens a connection each tenth of a second.
    table.on_open(peer(1, 1), start);
    table.on_request(peer(1, 1), Kind::Contestant, Crowd::Account(7), start);
    let (mut taken, mut done, mut shaking) = (0, 0, BTreeMap::new());
    for ms in 0..10_000_u64 {
        let now = start + Duration::from_millis(ms);
        for one in 0..5 {
            let port = 1_000 + (5 * ms + one) as u16;
            taken += u32::from(table.on_open(peer(1, port), now) != Step::Refuse);
        }
        let organiser = peer(1, 60_000 + (ms / 100) as u16);
        if ms % 100 == 0 && table.on_open(organiser, now) != Step::Refuse {
            shaking.insert(ms + 200, organiser);
        }
        if let Some(organiser) = shaking.remove(&ms) {
            assert!(table.held.contains_key(&organiser), "it is cut off while it shakes hands, at {ms} ms");
            table.on_request(organiser, Kind::Organiser, Crowd::Account(1), now);
            table.on_close(organiser, None);
            done += 1;
        }
    }
    let most = limits.known_burst + 10.0 * limits.known_a_second;
    assert!(f64::from(taken) <= most && done > 0, "{taken} of 50,000 were taken, {done} of an organiser");
    assert!(limits.known_a_second * HANDSHAKE.as_secs_f64() < limits.rooms[0].1 as f64);
    check(&table);
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
