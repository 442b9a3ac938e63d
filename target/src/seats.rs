//! Time limits of a worker's connections, without a timer or a clock reading per request.
//!
//! A connection notes in its seat until when it may wait; the worker's tick looks at all seats ten times a second
//! and wakes those that waited too long. Noting is one store, and a limit is kept to a tenth of a second.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// All seats of one worker.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
    taken: Cell<usize>,
    /// Milliseconds since the worker's start, as of the last tick.
    now_ms: Cell<u64>,
}

#[derive(Debug, Default)]
struct Slot {
    deadline_ms: u64,
    waits: Waits,
    expired: bool,
    /// `None` in a free seat.
    waker: Option<Waker>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Another connection: not needed any more as soon as the server stops.
    Clients,
    /// The first byte of a request: may be sent home when the server stops.
    #[default]
    Idle,
    /// The rest of a request, or the end of a response.
    Busy,
}

/// Which seats a tick sends home besides those that are too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evict {
    Late,
    Accepting,
    Idle,
    All,
}

/// The seat of one connection; free again when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Rc<Seats>,
    index: usize,
}

/// Waited too long, or sent home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired;

impl Seats {
    /// Takes a seat for the task that calls this. A seat that is never told a limit has none.
    pub(crate) async fn sit(self: &Rc<Seats>, waits: Waits) -> Seat {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let slot = Slot { deadline_ms: u64::MAX, waits, expired: false, waker: Some(waker) };
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(Slot::default());
            slots.len() - 1
        });
        slots[index] = slot;
        self.taken.set(self.taken.get() + 1);
        Seat { seats: Rc::clone(self), index }
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Takes note of the time and wakes whoever has to go.
    pub(crate) fn tick(&self, now_ms: u64, evict: Evict) {
        self.now_ms.set(now_ms);
        for slot in self.slots.borrow_mut().iter_mut() {
            let Some(waker) = &slot.waker else { continue };
            let goes = slot.deadline_ms <= now_ms
                || match evict {
                    Evict::Late => false,
                    Evict::Accepting => slot.waits == Waits::Clients,
                    Evict::Idle => slot.waits != Waits::Busy,
                    Evict::All => true,
                };
            if goes && !slot.expired {
                slot.expired = true;
                // Only queues the task, so that borrowing the slots meanwhile is fine.
                waker.wake_by_ref();
            }
        }
    }
}

impl Seat {
    /// From now on this connection may wait for `limit`.
    #[inline]
    pub(crate) fn limit(&self, limit: Duration, waits: Waits) {
        let mut slots = self.seats.slots.borrow_mut();
        let slot = &mut slots[self.index];
        slot.waits = waits;
        slot.deadline_ms = self.seats.now_ms.get().saturating_add(limit.as_millis() as u64);
    }

    /// The same, for one that was sent home and still has something to finish.
    pub(crate) fn last_limit(&self, limit: Duration) {
        self.seats.slots.borrow_mut()[self.index].expired = false;
        self.limit(limit, Waits::Busy);
    }

    #[inline]
    fn expired(&self) -> bool {
        self.seats.slots.borrow()[self.index].expired
    }

    /// Waits for a future as long as the limit allows. What is given up is dropped, and so cancelled.
    #[inline]
    pub(crate) async fn within<F: Future>(&self, future: F) -> Result<F::Output, Expired> {
        let mut future = pin!(future);
        poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.expired() => Poll::Ready(Err(Expired)),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.slots.borrow_mut()[self.index] = Slot::default();
        self.seats.free.borrow_mut().push(self.index);
        self.seats.taken.set(self.seats.taken.get() - 1);
    }
}
