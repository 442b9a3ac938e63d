//! The outcomes alone, over the pretended kernel: what closing and pausing do whatever is in flight.

use super::pretend::{Character, Mischief, Pretend};
use super::tag::Kind;
use super::{Event, Kernel, Ring, Sizes, Tag, Uring};
use crate::engine::index::RingSlot;
use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::Instant;

const SLOT: RingSlot = RingSlot::from_number(0);
const SIZES: Sizes = Sizes { slots: 2, area_bytes: 64, buffers: 8, buffer_bytes: 8192 };
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nToken: 0\r\n\r\n";
/// No turn waits longer, in virtual nanoseconds.
const WAIT_NS: u64 = 10_000_000;
const TURNS_MAX: usize = 200;
/// A kernel that comes late also misses what it should cancel.
const LATE: Mischief = Mischief { delay: 100_000, duplicates: false, cuts: false };
const SEEDS: std::ops::Range<u64> = 1..200;

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1000))
}

fn ring(character: Character, mischief: Mischief, seed: u64) -> Ring<Pretend> {
    let servers = HashMap::from([(address(), character)]);
    Ring::new(Pretend::new(SIZES, servers, mischief, seed), SIZES)
}

/// Turns until an event is the awaited one; buffers go straight back.
fn wait_for(ring: &mut Ring<Pretend>, awaited: impl Fn(Event) -> bool) {
    for _ in 0..TURNS_MAX {
        ring.turn(1, WAIT_NS).unwrap();
        let mut found = false;
        while let Some(event) = ring.event() {
            if let Event::Received { buffer, .. } = event {
                ring.recycle(buffer);
            }
            found |= awaited(event);
        }
        if found {
            return;
        }
    }
    panic!("it never came");
}

fn send(ring: &mut Ring<Pretend>) {
    ring.area(SLOT)[..REQUEST.len()].copy_from_slice(REQUEST);
    ring.send(SLOT, REQUEST.len());
}

/// Closes the slot and opens it again, which the pretended kernel allows only when nothing is in flight.
fn close_and_reopen(ring: &mut Ring<Pretend>) {
    ring.close(SLOT);
    wait_for(ring, |event| event == Event::Closed { slot: SLOT });
    ring.open(SLOT, address()).unwrap();
}

#[test]
fn a_connect_that_nobody_answers_is_cancelled() {
    for seed in SEEDS {
        let mut ring = ring(Character::Unreachable, LATE, seed);
        ring.open(SLOT, address()).unwrap();
        ring.turn(1, WAIT_NS).unwrap();
        assert_eq!(ring.event(), None);
        close_and_reopen(&mut ring);
    }
}

#[test]
fn a_receive_that_nothing_comes_for_is_cancelled() {
    for seed in SEEDS {
        let mut ring = ring(Character::Silent, LATE, seed);
        ring.open(SLOT, address()).unwrap();
        wait_for(&mut ring, |event| event == Event::Connected { slot: SLOT });
        send(&mut ring);
        wait_for(&mut ring, |event| event == Event::Sent { slot: SLOT });
        close_and_reopen(&mut ring);
    }
}

#[test]
fn a_send_that_nobody_reads_is_cancelled() {
    for seed in SEEDS {
        let mut ring = ring(Character::StopsReading { after: 0 }, LATE, seed);
        ring.open(SLOT, address()).unwrap();
        wait_for(&mut ring, |event| event == Event::Connected { slot: SLOT });
        send(&mut ring);
        wait_for(&mut ring, |event| matches!(event, Event::Received { .. }));
        assert!(!ring.can_send(SLOT));
        close_and_reopen(&mut ring);
    }
}

#[test]
fn a_buffer_in_hand_stays_there_whatever_a_duplicate_says_of_it() {
    let twice = Mischief { duplicates: true, ..LATE };
    for seed in SEEDS {
        let mut ring = ring(Character::Honest { delay: 1_000 }, twice, seed);
        ring.open(SLOT, address()).unwrap();
        wait_for(&mut ring, |event| event == Event::Connected { slot: SLOT });
        // Those of the turns before, but for the last ones that there are.
        let mut held = VecDeque::new();
        for turn in 0..TURNS_MAX {
            // A duplicate comes while nothing is sent that it could be taken for.
            if turn % 8 == 0 && ring.can_send(SLOT) {
                send(&mut ring);
            }
            ring.turn(1, WAIT_NS).unwrap();
            while let Some(event) = ring.event() {
                if let Event::Received { buffer, .. } = event {
                    held.push_back(buffer);
                }
            }
            while held.len() > SIZES.buffers as usize / 2 {
                held.drain(..1).for_each(|buffer| ring.recycle(buffer));
            }
        }
        assert!(held.len() > 1, "{}", held.len());
    }
}

#[test]
fn what_was_asked_for_in_the_turn_of_the_close_is_cancelled_too() {
    for seed in SEEDS {
        let mut ring = ring(Character::Honest { delay: 1_000 }, LATE, seed);
        ring.open(SLOT, address()).unwrap();
        // Its connect, its receive, its send: each is in flight for the first time.
        close_and_reopen(&mut ring);
        wait_for(&mut ring, |event| event == Event::Connected { slot: SLOT });
        close_and_reopen(&mut ring);
        wait_for(&mut ring, |event| event == Event::Connected { slot: SLOT });
        send(&mut ring);
        close_and_reopen(&mut ring);
    }
}

#[test]
fn a_pause_that_was_missed_may_be_asked_for_again() {
    let mut missed = 0;
    for seed in SEEDS {
        let mut ring = ring(Character::Flooding, LATE, seed);
        ring.open(SLOT, address()).unwrap();
        wait_for(&mut ring, |event| event == Event::Connected { slot: SLOT });
        for request in 1..=20 {
            send(&mut ring);
            let before = ring.counters().pauses;
            // Enough for the flood, for the end of the pause, and for the receive after it.
            for _ in 0..10 {
                ring.turn(1, WAIT_NS).unwrap();
                while let Some(event) = ring.event() {
                    match event {
                        Event::Received { buffer, .. } => {
                            ring.recycle(buffer);
                            ring.pause(SLOT);
                        }
                        Event::Sent { .. } => {}
                        other => panic!("seed {seed}: {other:?}"),
                    }
                }
            }
            assert!(ring.counters().pauses > before, "seed {seed}: flood {request} could not be paused");
        }
        let counters = ring.counters();
        missed += counters.pauses.saturating_sub(counters.rearms);
        close_and_reopen(&mut ring);
    }
    assert!(missed > 0, "no cancel missed its receive in {SEEDS:?}");
}

#[test]
#[should_panic(expected = "cancels what it has not in flight")]
fn a_cancel_of_an_earlier_connection_is_caught() {
    let mut ring = ring(Character::Silent, Mischief::default(), 1);
    ring.open(SLOT, address()).unwrap();
    let stale = Tag::new(Kind::Connect, 0, SLOT);
    ring.kernel_mut().cancel(stale, Tag::new(Kind::CancelConnect, 0, SLOT));
}

#[test]
#[should_panic(expected = "closed while receiving")]
fn a_close_before_the_receive_is_collected_is_caught() {
    let mut ring = ring(Character::Silent, Mischief::default(), 1);
    ring.open(SLOT, address()).unwrap();
    wait_for(&mut ring, |event| event == Event::Connected { slot: SLOT });
    let receive = Tag::new(Kind::Receive, 1, SLOT);
    ring.kernel_mut().cancel(receive, Tag::new(Kind::CancelReceive, 1, SLOT));
    ring.kernel_mut().close(SLOT);
}

/// What a ring over the real kernel tells of a connection whose server answers, goes away and is sent one request more.
fn tells_of_a_server_that_went(go: impl FnOnce(std::net::TcpStream) + Send + 'static) -> (Vec<u8>, Vec<Event>) {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let mut ring = Ring::new(Uring::new(SIZES, Instant::now()).expect("a ring"), SIZES);
    let turn_until = |ring: &mut Ring<Uring>, awaited: fn(Event) -> bool| {
        for _ in 0..TURNS_MAX {
            ring.turn(1, WAIT_NS).expect("a turn");
            if std::iter::from_fn(|| ring.event()).any(awaited) {
                return;
            }
        }
        panic!("it never came");
    };
    ring.open(SLOT, address).expect("a socket");
    turn_until(&mut ring, |event| matches!(event, Event::Connected { .. }));
    let put = |ring: &mut Ring<Uring>| {
        ring.area(SLOT)[..REQUEST.len()].copy_from_slice(REQUEST);
        ring.send(SLOT, REQUEST.len());
    };
    put(&mut ring);
    turn_until(&mut ring, |event| matches!(event, Event::Sent { .. }));
    // Not a turn passes from the request to its answer and the end of the connection.
    let server = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("somebody comes");
        // A byte stays unread: what is closed with something unread is reset.
        let mut request = [0; REQUEST.len() - 1];
        peer.read_exact(&mut request).expect("the request");
        peer.write_all(ANSWER).expect("the answer");
        go(peer);
    });
    server.join().expect("no panic");
    put(&mut ring);
    let (mut bytes, mut told) = (Vec::new(), Vec::new());
    for _ in 0..TURNS_MAX {
        ring.turn(1, WAIT_NS).expect("a turn");
        while let Some(event) = ring.event() {
            if let Event::Received { buffer, .. } = event {
                bytes.extend_from_slice(ring.bytes(buffer));
                ring.recycle(buffer);
            }
            told.push(event);
        }
        if told.iter().any(|event| matches!(event, Event::Ended { .. } | Event::Broken { .. })) {
            break;
        }
    }
    assert!(matches!(told[0], Event::Received { .. }), "{told:?}");
    assert!(!ring.can_send(SLOT), "nothing more goes to who is gone");
    ring.close(SLOT);
    turn_until(&mut ring, |event| event == Event::Closed { slot: SLOT });
    assert_eq!(bytes, ANSWER, "{told:?}");
    (bytes, told)
}

#[test]
fn an_answer_that_has_come_is_told_before_a_send_that_fails() {
    // Reset: the answer, then the break, though the send took the error.
    let (_, told) = tells_of_a_server_that_went(drop);
    assert!(matches!(told[..], [Event::Received { .. }, Event::Broken { errno: libc::ECONNRESET, .. }]), "{told:?}");
    // FIN, then reset: the answer, then its end.
    let (_, told) = tells_of_a_server_that_went(|peer| {
        peer.shutdown(Shutdown::Write).expect("FIN");
        drop(peer);
    });
    assert!(matches!(told[..], [Event::Received { .. }, Event::Ended { .. }]), "{told:?}");
}
