//! The ring on this machine's kernel: whatever is in flight when a connection is closed, its slot is free again soon.

use flowtest_loadgen::engine::index::RingSlot;
use flowtest_loadgen::engine::ring::{Event, Ring, Sizes, Uring};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

const SLOT: RingSlot = RingSlot::from_number(0);
const AREA_BYTES: usize = 8 << 20;
const SIZES: Sizes = Sizes { slots: 2, area_bytes: AREA_BYTES, buffers: 16, buffer_bytes: 4096 };
const WAIT_NS: u64 = 50_000_000;
/// What takes longer hangs.
const WAIT_MAX: Duration = Duration::from_secs(20);

fn ring(sizes: Sizes) -> Ring<Uring> {
    Ring::new(Uring::new(sizes, Instant::now()).unwrap_or_else(|error| panic!("{error}")), sizes)
}

/// Turns until an event makes something; buffers go straight back.
#[track_caller]
fn wait_for<T>(ring: &mut Ring<Uring>, mut found: impl FnMut(&mut Ring<Uring>, Event) -> Option<T>) -> T {
    let give_up = Instant::now() + WAIT_MAX;
    while Instant::now() < give_up {
        ring.turn(1, WAIT_NS).unwrap();
        while let Some(event) = ring.event() {
            if let Event::Received { buffer, .. } = event {
                ring.recycle(buffer);
            }
            if let Some(found) = found(ring, event) {
                return found;
            }
        }
    }
    panic!("it did not come within {WAIT_MAX:?}");
}

#[track_caller]
fn connect(ring: &mut Ring<Uring>, address: SocketAddr) {
    ring.open(SLOT, address).unwrap();
    wait_for(ring, |_, event| (event == Event::Connected { slot: SLOT }).then_some(()));
}

#[track_caller]
fn close(ring: &mut Ring<Uring>) {
    ring.close(SLOT);
    wait_for(ring, |_, event| (event == Event::Closed { slot: SLOT }).then_some(()));
}

/// The slot serves: a connection on it sends and receives.
#[track_caller]
fn assert_serves(ring: &mut Ring<Uring>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        // Until the other end has closed.
        let _ = stream.read(&mut bytes);
    });
    connect(ring, address);
    ring.area(SLOT)[..4].copy_from_slice(b"ping");
    ring.send(SLOT, 4);
    wait_for(ring, |_, event| matches!(event, Event::Received { buffer, .. } if buffer.len() == 4).then_some(()));
    close(ring);
    echo.join().unwrap();
}

#[test]
fn a_slot_whose_connect_is_not_answered_is_free_again() {
    // One connection fills the queue of this listener; the kernel drops the SYN of whoever comes then.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let _first = TcpStream::connect(address).unwrap();
    let mut ring = ring(SIZES);
    ring.open(SLOT, address).unwrap();
    ring.turn(1, WAIT_NS).unwrap();
    assert_eq!(ring.event(), None, "the connect is in progress");
    close(&mut ring);
    assert_serves(&mut ring);
}

#[test]
fn a_slot_that_waits_for_an_answer_is_free_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ring = ring(SIZES);
    connect(&mut ring, listener.local_addr().unwrap());
    close(&mut ring);
    // The receive is asked for, and not yet with the kernel.
    ring.open(SLOT, listener.local_addr().unwrap()).unwrap();
    wait_for(&mut ring, |ring, event| (event == Event::Connected { slot: SLOT }).then(|| ring.close(SLOT)));
    wait_for(&mut ring, |_, event| (event == Event::Closed { slot: SLOT }).then_some(()));
    assert_serves(&mut ring);
}

#[test]
fn a_slot_whose_peer_reads_nothing_is_free_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ring = ring(SIZES);
    connect(&mut ring, listener.local_addr().unwrap());
    // More than both ends' buffers hold: a part is taken, and the rest stays in flight.
    ring.send(SLOT, AREA_BYTES);
    for _ in 0..10 {
        ring.turn(1, 1_000_000).unwrap();
        assert_eq!(ring.event(), None, "nothing ends");
    }
    assert!(ring.counters().short_sends > 0 && !ring.can_send(SLOT));
    close(&mut ring);
    assert_serves(&mut ring);
}

#[test]
fn a_paused_slot_receives_again_and_is_free_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ring = ring(SIZES);
    connect(&mut ring, listener.local_addr().unwrap());
    let (mut stream, _) = listener.accept().unwrap();
    const ROUNDS: u64 = 20;
    for round in 1..=ROUNDS {
        stream.write_all(b"x").unwrap();
        wait_for(&mut ring, |ring, event| {
            assert!(matches!(event, Event::Received { .. }), "{event:?}");
            ring.pause(SLOT);
            Some(())
        });
        assert_eq!(ring.counters().pauses, round);
    }
    // Paused when it is closed.
    close(&mut ring);
    assert_serves(&mut ring);
}

#[test]
fn the_table_of_descriptors_is_grown_before_the_first_connection() {
    const SLOTS: u32 = 3_000;
    // As the product does it before it makes its rings.
    let limit = getrlimit(Resource::Nofile);
    let needed = u64::from(SLOTS) + 64;
    if limit.current.is_some_and(|soft| soft < needed) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum }).unwrap();
    }
    let _ring = ring(Sizes { slots: SLOTS, area_bytes: 64, ..SIZES });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
    assert!(size.trim().parse::<u32>().unwrap() >= SLOTS, "the table has room for {size}");
}
