//! The ring's outcomes: which operation of which slot is in flight, who owns which buffer, when a slot may be reused.
//!
//! [`Ring`] stands between the worker and a [`Kernel`]. It turns completions into [`Event`]s of the slot's present
//! connection and lets none of the rules of the ring (CONTRIBUTING.md) be broken, whatever control completions come in:
//!
//! - a completion of an older generation is counted, its buffer recycled, and dropped (rule 2);
//! - closing is a sequence - stop, cancel, collect, close - and a slot is free only at its end; each operation is
//!   cancelled by its tag, which the kernel looks up in a hash, however many connections there are (rule 3);
//! - one send in flight per slot; the rest of a short send follows by itself (rule 4);
//! - a multishot receive that ends is armed again; without buffers it waits for the next turn (rule 5);
//! - a connection whose peer has closed ends when its receive says so, whatever a send says before: the answers that came
//!   first are told first.

mod counters;
#[expect(unsafe_code, reason = "the kernel is given memory and must be; nowhere else of ours")]
mod kernel;
#[cfg(test)]
pub(crate) mod pretend;
mod slot;
mod tag;
#[cfg(test)]
mod tests;

pub use counters::Counters;
pub use kernel::{Features, RingError, Uring, thread_cpu_us};

pub use tag::Tag;

use crate::engine::clock::RunInstant;
use crate::engine::index::{RingSlot, Table};
use crate::engine::occupied::Occupancy;
use slot::{Life, Slot};
use std::io;
use std::net::SocketAddr;
use tag::{GENERATION_MASK, Kind};

/// What a ring is made for.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Connections at once.
    pub slots: u32,
    /// Room of one slot for requests on their way, in bytes.
    pub area_bytes: usize,
    /// Receive buffers, a power of two.
    pub buffers: u16,
    pub buffer_bytes: usize,
}

/// One completion as the kernel gave it.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    pub tag: Tag,
    /// Bytes, or a negated errno.
    pub result: i32,
    /// The operation goes on and will complete again.
    pub more: bool,
    /// The receive buffer that the kernel filled, now ours.
    pub buffer: Option<u16>,
}

/// What the outcomes ask of a kernel, the real one or a pretended one.
pub trait Kernel {
    /// A fresh socket for the slot, to be connected to `address`. Errors are our own process's.
    fn socket(&mut self, slot: RingSlot, address: SocketAddr) -> io::Result<()>;
    fn connect(&mut self, slot: RingSlot, tag: Tag);
    /// Sends bytes `from..to` of the slot's area.
    fn send(&mut self, slot: RingSlot, from: usize, to: usize, tag: Tag);
    /// Arms a multishot receive.
    fn receive(&mut self, slot: RingSlot, tag: Tag);
    /// Cancels one operation. `ENOENT`: it has completed already, or the kernel did not find it.
    fn cancel(&mut self, operation: Tag, tag: Tag);
    /// Closes the slot's socket, on which nothing is in flight.
    fn close(&mut self, slot: RingSlot);
    /// Where the slot's requests are written.
    fn area(&mut self, slot: RingSlot) -> &mut [u8];
    fn buffer(&self, buffer: u16, len: usize) -> &[u8];
    /// The same, to be changed where it lies.
    fn buffer_mut(&mut self, buffer: u16, len: usize) -> &mut [u8];
    /// Gives a buffer back; the kernel sees it at the next enter.
    fn recycle(&mut self, buffer: u16);
    /// Submits, and waits for `want` completions or until `wait_ns` have passed.
    fn enter(&mut self, want: u32, wait_ns: u64) -> io::Result<()>;
    fn completion(&mut self) -> Option<Completion>;
    fn now(&self) -> RunInstant;
    fn counters(&self) -> Counters;
    /// How much of its time this thread has not rested.
    fn occupancy(&mut self) -> Occupancy;
    /// Whether our own machine has a way to an address. It sends nothing.
    fn has_route(&self, address: SocketAddr) -> bool;
}

/// What happened on the present connection of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Connected {
        slot: RingSlot,
    },
    /// Connecting failed with this errno.
    Unconnected {
        slot: RingSlot,
        errno: i32,
    },
    /// The whole of the last send is with the kernel.
    Sent {
        slot: RingSlot,
    },
    /// Bytes: look at them with [`Ring::bytes`], then give the buffer back with [`Ring::recycle`].
    Received {
        slot: RingSlot,
        buffer: Buffer,
    },
    /// The peer sent FIN.
    Ended {
        slot: RingSlot,
    },
    /// The connection broke with this errno.
    Broken {
        slot: RingSlot,
        errno: i32,
    },
    /// Closing is complete: the slot is free.
    Closed {
        slot: RingSlot,
    },
}

/// A filled receive buffer in our hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    id: u16,
    len: u32,
}

impl Buffer {
    #[inline]
    pub fn len(self) -> usize {
        self.len as usize
    }

    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// The outcomes over a kernel.
#[derive(Debug)]
pub struct Ring<K> {
    kernel: K,
    slots: Table<RingSlot, Slot>,
    /// Buffers in our hands: each is either the kernel's or ours.
    ours: Vec<bool>,
    /// Receives to arm before the next enter.
    rearm: Vec<RingSlot>,
    /// Slots that became free without a completion to tell it.
    closed: Vec<RingSlot>,
    counters: Counters,
}

impl<K: Kernel> Ring<K> {
    pub fn new(kernel: K, sizes: Sizes) -> Ring<K> {
        Ring {
            kernel,
            slots: Table::filled(Slot::default(), sizes.slots as usize),
            ours: vec![false; sizes.buffers as usize],
            rearm: Vec::with_capacity(sizes.slots as usize),
            closed: Vec::with_capacity(sizes.slots as usize),
            counters: Counters::default(),
        }
    }

    /// Begins a connection on a free slot. An error is our own process's and leaves the slot free.
    pub fn open(&mut self, slot: RingSlot, address: SocketAddr) -> io::Result<()> {
        let state = &mut self.slots[slot];
        assert_eq!(state.life, Life::Free, "slot {slot} is not free");
        self.kernel.socket(slot, address)?;
        *state = Slot {
            generation: (state.generation + 1) & GENERATION_MASK,
            life: Life::Open,
            connecting: true,
            ..Slot::default()
        };
        self.kernel.connect(slot, Tag::new(Kind::Connect, state.generation, slot));
        self.counters.connects += 1;
        Ok(())
    }

    /// Where the next send's bytes are written. Never while a send of this slot is in flight.
    #[inline]
    pub fn area(&mut self, slot: RingSlot) -> &mut [u8] {
        let state = &self.slots[slot];
        assert!(!state.sending && !matches!(state.life, Life::Closing), "slot {slot} is sending");
        self.kernel.area(slot)
    }

    #[inline]
    pub fn can_send(&self, slot: RingSlot) -> bool {
        let state = &self.slots[slot];
        state.life == Life::Open && !state.connecting && !state.sending && state.send_errno.is_none()
    }

    /// Whether the slot's connection is made, and not being closed.
    #[inline]
    pub fn is_connected(&self, slot: RingSlot) -> bool {
        let state = &self.slots[slot];
        state.life == Life::Open && !state.connecting
    }

    /// Sends the first `len` bytes of the slot's area.
    #[inline]
    pub fn send(&mut self, slot: RingSlot, len: usize) {
        assert!(self.can_send(slot) && len > 0);
        let state = &mut self.slots[slot];
        state.sending = true;
        (state.send_from, state.send_to) = (0, len as u32);
        self.kernel.send(slot, 0, len, Tag::new(Kind::Send, state.generation, slot));
    }

    /// Stops receiving until the next turn: the contestant has had its share of this one.
    pub fn pause(&mut self, slot: RingSlot) {
        let state = &mut self.slots[slot];
        if state.life != Life::Open || !state.receiving || state.pausing {
            return;
        }
        state.pausing = true;
        self.counters.pauses += 1;
        self.cancel(slot, Kind::Receive);
    }

    /// Begins to close; [`Event::Closed`] tells the end.
    pub fn close(&mut self, slot: RingSlot) {
        let state = &mut self.slots[slot];
        if state.life != Life::Open {
            return;
        }
        state.life = Life::Closing;
        // Not all of the descriptor at once: for that the kernel walks every request of the ring.
        for kind in [Kind::Connect, Kind::Send, Kind::Receive] {
            if self.slots[slot].is_in_flight(kind) {
                self.cancel(slot, kind);
            }
        }
        if self.finish_close(slot) {
            self.closed.push(slot);
        }
    }

    /// Submits all that was asked for and waits for at most `wait_ns`.
    #[inline]
    pub fn turn(&mut self, want: u32, wait_ns: u64) -> io::Result<()> {
        for index in 0..self.rearm.len() {
            let slot = self.rearm[index];
            let state = &mut self.slots[slot];
            if state.life == Life::Open && !state.receiving && !state.connecting {
                state.receiving = true;
                self.counters.rearms += 1;
                self.kernel.receive(slot, Tag::new(Kind::Receive, state.generation, slot));
            }
        }
        self.rearm.clear();
        let wait_ns = if self.closed.is_empty() { wait_ns } else { 0 };
        self.counters.turns += 1;
        self.kernel.enter(want, wait_ns)
    }

    /// The next thing that happened in this turn.
    #[inline]
    pub fn event(&mut self) -> Option<Event> {
        if let Some(slot) = self.closed.pop() {
            return Some(Event::Closed { slot });
        }
        loop {
            let completion = self.kernel.completion()?;
            if let Some(event) = self.on_completion(completion) {
                return Some(event);
            }
        }
    }

    #[inline]
    pub fn bytes(&self, buffer: Buffer) -> &[u8] {
        debug_assert!(self.ours[buffer.id as usize]);
        self.kernel.buffer(buffer.id, buffer.len as usize)
    }

    /// The same, to be changed where they lie.
    #[inline]
    pub fn bytes_mut(&mut self, buffer: Buffer) -> &mut [u8] {
        debug_assert!(self.ours[buffer.id as usize]);
        self.kernel.buffer_mut(buffer.id, buffer.len as usize)
    }

    #[inline]
    pub fn recycle(&mut self, buffer: Buffer) {
        let ours = &mut self.ours[buffer.id as usize];
        assert!(*ours, "buffer {} is recycled twice", buffer.id);
        *ours = false;
        self.kernel.recycle(buffer.id);
    }

    #[inline]
    pub fn now(&self) -> RunInstant {
        self.kernel.now()
    }

    pub fn occupancy(&mut self) -> Occupancy {
        self.kernel.occupancy()
    }

    pub fn has_route(&self, address: SocketAddr) -> bool {
        self.kernel.has_route(address)
    }

    pub fn counters(&self) -> Counters {
        let mut sum = self.kernel.counters();
        sum.merge(&self.counters);
        sum
    }

    #[cfg(test)]
    pub(crate) fn kernel_mut(&mut self) -> &mut K {
        &mut self.kernel
    }

    #[inline]
    fn on_completion(&mut self, completion: Completion) -> Option<Event> {
        let slot = completion.tag.slot();
        let known = self
            .slots
            .get(slot)
            .is_some_and(|state| state.life != Life::Free && state.generation == completion.tag.generation());
        let Some(kind) = completion.tag.kind().filter(|_| known) else {
            return self.drop_stale(completion);
        };
        match kind {
            Kind::Receive => self.on_receive(slot, completion),
            Kind::Send => self.on_send(slot, completion),
            Kind::Connect => self.on_connect(slot, completion),
            Kind::CancelConnect => self.on_cancel(slot, Kind::Connect, completion),
            Kind::CancelSend => self.on_cancel(slot, Kind::Send, completion),
            Kind::CancelReceive => self.on_cancel(slot, Kind::Receive, completion),
        }
    }

    #[inline]
    fn on_receive(&mut self, slot: RingSlot, completion: Completion) -> Option<Event> {
        let state = &mut self.slots[slot];
        if !state.receiving {
            return self.drop_stale(completion);
        }
        state.receiving = completion.more;
        if matches!(state.life, Life::Closing) {
            self.take_back(completion);
            return self.collected(slot);
        }
        if completion.result > 0 {
            let Some(id) = completion.buffer else {
                debug_assert!(false, "bytes without a buffer");
                return Some(Event::Broken { slot, errno: libc::EIO });
            };
            if !self.take(id) {
                return None;
            }
            if !completion.more {
                self.rearm_later(slot);
            }
            let buffer = Buffer { id, len: completion.result as u32 };
            return Some(Event::Received { slot, buffer });
        }
        self.take_back(completion);
        match -completion.result {
            // The send took the error, and what looks like an end is none. After EPIPE it is one: the FIN came first.
            0 => match self.slots[slot].send_errno.filter(|errno| *errno != libc::EPIPE) {
                Some(errno) => Some(Event::Broken { slot, errno }),
                None => Some(Event::Ended { slot }),
            },
            libc::ENOBUFS => {
                self.counters.enobufs += 1;
                self.rearm_later(slot);
                None
            }
            // Only a pause cancels the receive of an open slot.
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => {
                self.rearm_later(slot);
                None
            }
            errno => Some(Event::Broken { slot, errno }),
        }
    }

    #[inline]
    fn on_send(&mut self, slot: RingSlot, completion: Completion) -> Option<Event> {
        let state = &mut self.slots[slot];
        if !state.sending {
            return self.drop_stale(completion);
        }
        if matches!(state.life, Life::Closing) {
            state.sending = false;
            return self.collected(slot);
        }
        let tag = completion.tag;
        match completion.result {
            // The kernel took a part: the rest follows, from the patched bytes.
            taken @ 1.. if (taken as u32) < state.send_to - state.send_from => {
                state.send_from += taken as u32;
                let (from, to) = (state.send_from as usize, state.send_to as usize);
                self.counters.short_sends += 1;
                self.kernel.send(slot, from, to, tag);
                None
            }
            1.. => {
                state.sending = false;
                Some(Event::Sent { slot })
            }
            error if matches!(-error, libc::EINTR | libc::EAGAIN) => {
                let (from, to) = (state.send_from as usize, state.send_to as usize);
                self.kernel.send(slot, from, to, tag);
                None
            }
            error => {
                state.sending = false;
                // A send fails while it is submitted, and a receive tells later of answers that had come before: they count.
                if matches!(-error, libc::EPIPE | libc::ECONNRESET) {
                    state.send_errno = Some(-error);
                    return None;
                }
                Some(Event::Broken { slot, errno: -error })
            }
        }
    }

    fn on_connect(&mut self, slot: RingSlot, completion: Completion) -> Option<Event> {
        let state = &mut self.slots[slot];
        if !state.connecting {
            return self.drop_stale(completion);
        }
        state.connecting = false;
        if matches!(state.life, Life::Closing) {
            return self.collected(slot);
        }
        if completion.result < 0 {
            return Some(Event::Unconnected { slot, errno: -completion.result });
        }
        state.receiving = true;
        self.kernel.receive(slot, Tag::new(Kind::Receive, state.generation, slot));
        Some(Event::Connected { slot })
    }

    /// What was cancelled completes by itself. What was not found has completed before this, or the kernel was just
    /// handing it from one of its queues to another.
    fn on_cancel(&mut self, slot: RingSlot, kind: Kind, completion: Completion) -> Option<Event> {
        let state = &mut self.slots[slot];
        if state.cancels == 0 {
            return self.drop_stale(completion);
        }
        state.cancels -= 1;
        let missed = completion.result == -libc::ENOENT && state.is_in_flight(kind);
        if missed && state.life == Life::Closing {
            self.cancel(slot, kind);
            return None;
        }
        // The receive goes on, and may be paused again.
        state.pausing &= !missed;
        self.collected(slot)
    }

    fn cancel(&mut self, slot: RingSlot, kind: Kind) {
        let state = &mut self.slots[slot];
        state.cancels += 1;
        self.kernel.cancel(Tag::new(kind, state.generation, slot), Tag::new(kind.cancel(), state.generation, slot));
    }

    /// Arms a receive before the next enter, when the buffers of this turn are back.
    fn rearm_later(&mut self, slot: RingSlot) {
        self.slots[slot].pausing = false;
        self.rearm.push(slot);
    }

    /// One operation less of a closing slot.
    fn collected(&mut self, slot: RingSlot) -> Option<Event> {
        self.finish_close(slot).then_some(Event::Closed { slot })
    }

    fn finish_close(&mut self, slot: RingSlot) -> bool {
        let state = &mut self.slots[slot];
        if state.life != Life::Closing || !state.is_idle() {
            return false;
        }
        state.life = Life::Free;
        self.kernel.close(slot);
        true
    }

    fn drop_stale(&mut self, completion: Completion) -> Option<Event> {
        self.counters.stale += 1;
        self.take_back(completion);
        None
    }

    /// A buffer that came with a completion nobody wants goes straight back.
    fn take_back(&mut self, completion: Completion) {
        if let Some(id) = completion.buffer
            && self.take(id)
        {
            self.recycle(Buffer { id, len: 0 });
        }
    }

    /// A buffer passes from the kernel to us, once.
    #[inline]
    fn take(&mut self, id: u16) -> bool {
        match self.ours.get_mut(id as usize) {
            Some(ours) if !*ours => {
                *ours = true;
                true
            }
            _ => {
                self.counters.stale += 1;
                false
            }
        }
    }
}
