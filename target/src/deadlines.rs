//! Time limits of a worker's connections, without a timer or a clock reading per request.
//!
//! Each connection has one [`Deadline`], which it moves whenever it begins to wait; the worker's tick looks at all of
//! them ten times a second and wakes those that have passed. Moving one is one store, and it is kept to a tenth of a
//! second.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// All deadlines of one worker.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
    count: Cell<usize>,
    /// Milliseconds since the worker's start, as of the last tick.
    now_ms: Cell<u64>,
}

#[derive(Debug, Default)]
struct Slot {
    deadline_ms: u64,
    waits: WaitsFor,
    expired: bool,
    /// `None` in a free slot.
    waker: Option<Waker>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// Another connection: not needed any more as soon as the server stops.
    Clients,
    /// The first byte of a request: waiting for it may end when the server stops.
    #[default]
    Idle,
    /// The rest of a request, or the end of a response.
    Busy,
}

/// Whose waiting a tick ends, besides those whose deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evict {
    Late,
    Accepting,
    Idle,
    All,
}

/// The deadline of one connection; its slot is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Deadline {
    deadlines: Rc<Deadlines>,
    index: usize,
}

/// The deadline has passed, or the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired;

impl Deadlines {
    /// The deadline of the task that calls this. It lies infinitely far ahead until [`Deadline::limit`] moves it.
    pub(crate) async fn register(self: &Rc<Deadlines>, waits: WaitsFor) -> Deadline {
        let waker = poll_fn(|context| Poll::Ready(context.waker().clone())).await;
        let slot = Slot { deadline_ms: u64::MAX, waits, expired: false, waker: Some(waker) };
        let mut slots = self.slots.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(Slot::default());
            slots.len() - 1
        });
        slots[index] = slot;
        self.count.set(self.count.get() + 1);
        Deadline { deadlines: Rc::clone(self), index }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// Takes note of the time and wakes whoever waited long enough.
    pub(crate) fn tick(&self, now_ms: u64, evict: Evict) {
        self.now_ms.set(now_ms);
        for slot in self.slots.borrow_mut().iter_mut() {
            let Some(waker) = &slot.waker else { continue };
            let over = slot.deadline_ms <= now_ms
                || match evict {
                    Evict::Late => false,
                    Evict::Accepting => slot.waits == WaitsFor::Clients,
                    Evict::Idle => slot.waits != WaitsFor::Busy,
                    Evict::All => true,
                };
            if over && !slot.expired {
                slot.expired = true;
                // Only queues the task, so that borrowing the slots meanwhile is fine.
                waker.wake_by_ref();
            }
        }
    }
}

impl Deadline {
    /// From now on this connection may wait for `limit`.
    #[inline]
    pub(crate) fn limit(&self, limit: Duration, waits: WaitsFor) {
        let mut slots = self.deadlines.slots.borrow_mut();
        let slot = &mut slots[self.index];
        slot.waits = waits;
        slot.deadline_ms = self.deadlines.now_ms.get().saturating_add(limit.as_millis() as u64);
    }

    /// The same, for one that has expired and still has something to finish.
    pub(crate) fn last_limit(&self, limit: Duration) {
        self.deadlines.slots.borrow_mut()[self.index].expired = false;
        self.limit(limit, WaitsFor::Busy);
    }

    #[inline]
    fn expired(&self) -> bool {
        self.deadlines.slots.borrow()[self.index].expired
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

impl Drop for Deadline {
    fn drop(&mut self) {
        self.deadlines.slots.borrow_mut()[self.index] = Slot::default();
        self.deadlines.free.borrow_mut().push(self.index);
        self.deadlines.count.set(self.deadlines.count.get() - 1);
    }
}
