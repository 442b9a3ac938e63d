//! The kernel's side of the ring: io_uring itself.
//!
//! The only file of ours with `unsafe`. It owns every byte that the kernel may read or write: sockets' addresses, send
//! areas, receive buffers. All of it is allocated at start, never moved, and freed only after the ring is gone, so no
//! completion can ever point into freed memory (CONTRIBUTING.md, rule 1 of the ring). It keeps no outcomes: which operation is in flight is
//! `super::Ring`'s knowledge, and so is every promise about when an area may be written.
//!
//! Needs Linux 6.1 (`DEFER_TASKRUN`); everything newer is probed, never guessed from a version.

use super::{Completion, Counters, Kernel, Sizes, Tag};
use crate::engine::clock::RunInstant;
use crate::engine::index::{Key, RingSlot, Table};
use crate::engine::occupied::{Occupancy, Occupied};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// The one group of provided buffers of a ring.
const BUFFER_GROUP: u16 = 0;
/// The kernel wants the ring of provided buffers aligned to a page.
const PAGE: usize = 4096;
/// How long an enter that wants a batch waits for all of it; then one completion is enough. Measured with 256
/// connections: 50 µs gave a tenth more answers, 100 µs no more than that.
const BATCH_WAIT_US: u32 = 50;
/// More submissions than this in one turn cost an extra enter, fewer keep the queue inside the L1 cache.
const SUBMISSIONS_MAX: u32 = 4096;
/// Descriptors that the process's table has room for from the start, where its limit allows so many: half a MiB.
const DESCRIPTORS: u64 = 65_536;

/// What the kernel of this machine offers beyond what every ring of ours needs, by probing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Linux 6.6: no indirection array in the submission queue.
    pub no_sqarray: bool,
    /// Linux 6.12: an enter may wait for a batch for a bounded time.
    pub min_wait: bool,
}

impl Features {
    /// What a ring may leave unused, by name.
    ///
    /// # Errors
    /// The names there are.
    pub fn named(name: &str) -> Result<Features, String> {
        match name {
            "no_sqarray" => Ok(Features { no_sqarray: true, ..Features::default() }),
            "min_wait" => Ok(Features { min_wait: true, ..Features::default() }),
            _ => Err("write no_sqarray or min_wait: every ring needs the others".to_owned()),
        }
    }

    /// These and those.
    pub fn and(self, other: Features) -> Features {
        Features { no_sqarray: self.no_sqarray || other.no_sqarray, min_wait: self.min_wait || other.min_wait }
    }

    /// The features in use, by name: what every ring of ours needs, then what this kernel has beyond it.
    pub fn names(&self) -> Vec<&'static str> {
        let beyond = [(self.no_sqarray, "no_sqarray"), (self.min_wait, "min_wait")];
        let beyond = beyond.into_iter().filter(|(has, _)| *has).map(|(_, name)| name);
        ["recv_multishot", "buf_ring", "defer_taskrun"].into_iter().chain(beyond).collect()
    }

    /// What 0.1 said instead, in JSON only and until 0.3: `A` (all that is used), `C` (Linux 6.6), `D` (Linux 6.1).
    pub fn letter(&self) -> &'static str {
        match (self.min_wait, self.no_sqarray) {
            (true, _) => "A",
            (false, true) => "C",
            (false, false) => "D",
        }
    }
}

/// Why there is no ring. Each text names the cause and the next step.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    #[error(
        "the kernel denies io_uring to this process ({0}): set sysctl kernel.io_uring_disabled=0, and in a container \
         allow the io_uring system calls in its seccomp profile"
    )]
    Denied(io::Error),
    #[error(
        "this kernel has no io_uring that the load generator can use ({0}): use Linux 6.1 or newer, and in a \
         container allow the io_uring system calls in its seccomp profile"
    )]
    TooOld(io::Error),
    #[error("no memory for the ring ({0}): raise the limit of locked memory (ulimit -l) or ask for fewer connections")]
    Memory(io::Error),
    #[error("the thread could not be pinned: choose another core by --cores")]
    Pin,
    #[error("the ring could not be made: {0}")]
    Other(io::Error),
}

impl RingError {
    fn of(error: io::Error) -> RingError {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => RingError::Denied(error),
            Some(libc::ENOSYS | libc::EINVAL) => RingError::TooOld(error),
            Some(libc::ENOMEM | libc::EAGAIN) => RingError::Memory(error),
            _ => RingError::Other(error),
        }
    }
}

/// io_uring, its sockets and all memory that the kernel may touch.
///
/// Fields are dropped in order: the ring first, the memory after it.
pub struct Uring {
    ring: IoUring,
    sockets: Table<RingSlot, Option<Socket>>,
    addresses: Table<RingSlot, SockAddr>,
    areas: Memory,
    area_bytes: usize,
    buffers: Memory,
    buffer_bytes: usize,
    entries: Memory,
    entries_mask: u16,
    /// Our copy of the buffer ring's tail; published once per enter.
    tail: u16,
    /// Submissions that found the queue full and the kernel busy.
    backlog: VecDeque<squeue::Entry>,
    base: Instant,
    occupied: Occupied,
    features: Features,
    counters: Counters,
}

impl Uring {
    /// Makes the ring on the thread that will use it. `base` is the instant that the run clock counts from.
    pub fn new(sizes: Sizes, base: Instant) -> Result<Uring, RingError> {
        Uring::without(Features::default(), sizes, base)
    }

    /// The same, with these features unused even where the kernel has them: for comparison.
    pub fn without(unused: Features, sizes: Sizes, base: Instant) -> Result<Uring, RingError> {
        assert!(sizes.buffers.is_power_of_two() && sizes.buffers <= 32_768, "buffer ring of {}", sizes.buffers);
        let (ring, features) = build(sizes.slots, unused)?;
        grow_descriptor_table(&ring, sizes.slots);
        let areas = Memory::new(sizes.slots as usize * sizes.area_bytes);
        let buffers = Memory::new(sizes.buffers as usize * sizes.buffer_bytes);
        let entries = Memory::new(sizes.buffers as usize * size_of::<types::BufRingEntry>());
        let unspecified = SockAddr::from(SocketAddr::from(([0, 0, 0, 0], 0)));
        let mut kernel = Uring {
            ring,
            sockets: (0..sizes.slots).map(|_| None).collect(),
            addresses: Table::filled(unspecified, sizes.slots as usize),
            areas,
            area_bytes: sizes.area_bytes,
            buffers,
            buffer_bytes: sizes.buffer_bytes,
            entries,
            entries_mask: sizes.buffers - 1,
            tail: 0,
            backlog: VecDeque::with_capacity(sizes.slots as usize * 3),
            base,
            occupied: Occupied::of_this_thread(),
            features,
            counters: Counters::default(),
        };
        // SAFETY: `entries` is page-aligned, holds `sizes.buffers` entries and outlives the ring (field control).
        unsafe {
            kernel
                .ring
                .submitter()
                .register_buf_ring_with_flags(kernel.entries.address(), sizes.buffers, BUFFER_GROUP, 0)
                .map_err(RingError::of)?;
        }
        for buffer in 0..sizes.buffers {
            kernel.recycle(buffer);
        }
        kernel.publish_buffers();
        Ok(kernel)
    }

    pub fn features(&self) -> Features {
        self.features
    }

    fn fd(&self, slot: RingSlot) -> types::Fd {
        let socket = self.sockets[slot].as_ref().expect("an operation needs the slot's socket");
        types::Fd(socket.as_raw_fd())
    }

    fn push(&mut self, entry: squeue::Entry, tag: Tag) {
        let entry = entry.user_data(tag.0);
        self.counters.submissions += 1;
        if !self.backlog.is_empty() || !self.try_push(&entry) {
            // An error leaves the entries where they are; the next enter submits them.
            let _ = self.ring.submit();
            self.counters.enters += 1;
            self.backlog.push_back(entry);
            self.drain_backlog();
        }
    }

    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: what the entry points to lives in `addresses`, `areas` or `buffers`, which outlive the ring, and
        // `super::Ring` lets nobody write an area while its send is in flight.
        unsafe { self.ring.submission().push(entry).is_ok() }
    }

    fn drain_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if !self.try_push(&entry) {
                self.backlog.push_front(entry);
                break;
            }
        }
    }

    /// Makes the buffers that were recycled since the last enter visible to the kernel.
    fn publish_buffers(&mut self) {
        let base = self.entries.pointer().cast::<types::BufRingEntry>().cast_const();
        // SAFETY: `base` is the registered ring's first entry, whose reserved field is the tail by the kernel's
        // interface; the kernel reads it with acquire control, so entries are written before it.
        unsafe {
            let tail = types::BufRingEntry::tail(base).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

fn build(slots: u32, unused: Features) -> Result<(IoUring, Features), RingError> {
    let submissions = (slots.saturating_mul(2)).next_power_of_two().clamp(256, SUBMISSIONS_MAX);
    let completions = (slots.saturating_mul(4)).next_power_of_two().clamp(4096, 65_536);
    let builder = |no_sqarray: bool| {
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(completions);
        if no_sqarray {
            builder.setup_no_sqarray();
        }
        builder.build(submissions)
    };
    let (ring, no_sqarray) = match builder(!unused.no_sqarray) {
        Ok(ring) => (ring, !unused.no_sqarray),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => (builder(false).map_err(RingError::of)?, false),
        Err(error) => return Err(RingError::of(error)),
    };
    let min_wait = ring.params().is_feature_min_timeout() && !unused.min_wait;
    let features = Features { no_sqarray, min_wait };
    Ok((ring, features))
}

/// The kernel doubles a full table of descriptors, and in a process of several threads each time waits until no processor
/// looks at the old one: measured 3 to 20 ms, six times on the way to 10,000 connections (Linux 6.18). It never shrinks
/// the table, so this is done before anything is due.
fn grow_descriptor_table(ring: &IoUring, slots: u32) {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let last = limit.min(DESCRIPTORS.max(u64::from(slots))).saturating_sub(1);
    // SAFETY: the ring lives longer than this borrow of its descriptor.
    let ring = unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) };
    // Without the memory for it the table grows later, by what it must.
    let _ = i32::try_from(last).map(|last| fcntl_dupfd_cloexec(ring, last));
}

impl Kernel for Uring {
    fn socket(&mut self, slot: RingSlot, address: SocketAddr) -> io::Result<()> {
        assert!(self.sockets[slot].is_none(), "slot {slot} still has a socket");
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        // Pacing by the sender's congestion control (bbr is a default on some machines) would shape the load we
        // were asked for. Where reno is not allowed the default stays.
        let _ = socket.set_tcp_congestion(b"reno");
        self.addresses[slot] = SockAddr::from(address);
        self.sockets[slot] = Some(socket);
        Ok(())
    }

    fn connect(&mut self, slot: RingSlot, tag: Tag) {
        let address = &self.addresses[slot];
        let entry = opcode::Connect::new(self.fd(slot), address.as_ptr().cast(), address.len()).build();
        self.push(entry, tag);
    }

    #[inline]
    fn send(&mut self, slot: RingSlot, from: usize, to: usize, tag: Tag) {
        let bytes = &self.area(slot)[from..to];
        let (pointer, len) = (bytes.as_ptr(), bytes.len() as u32);
        let entry = opcode::Send::new(self.fd(slot), pointer, len).flags(libc::MSG_NOSIGNAL).build();
        self.push(entry, tag);
    }

    fn receive(&mut self, slot: RingSlot, tag: Tag) {
        let entry = opcode::RecvMulti::new(self.fd(slot), BUFFER_GROUP).build();
        self.push(entry, tag);
    }

    fn cancel(&mut self, operation: Tag, tag: Tag) {
        let entry = opcode::AsyncCancel::new(operation.0).build();
        self.push(entry, tag);
    }

    fn close(&mut self, slot: RingSlot) {
        let socket = self.sockets[slot].take().expect("only an open socket is closed");
        // RST instead of FIN: no TIME_WAIT on our side, so neither a peer that makes us reconnect nor our own retiring
        // of connections eats our ports. Nothing is in flight that it could destroy.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }

    #[inline]
    fn area(&mut self, slot: RingSlot) -> &mut [u8] {
        let from = slot.index() * self.area_bytes;
        self.areas.slice_mut(from, self.area_bytes)
    }

    #[inline]
    fn buffer(&self, buffer: u16, len: usize) -> &[u8] {
        assert!(len <= self.buffer_bytes);
        self.buffers.slice(buffer as usize * self.buffer_bytes, len)
    }

    #[inline]
    fn buffer_mut(&mut self, buffer: u16, len: usize) -> &mut [u8] {
        assert!(len <= self.buffer_bytes);
        self.buffers.slice_mut(buffer as usize * self.buffer_bytes, len)
    }

    #[inline]
    fn recycle(&mut self, buffer: u16) {
        assert!(buffer <= self.entries_mask);
        let index = self.tail & self.entries_mask;
        let address = self.buffers.address() + buffer as u64 * self.buffer_bytes as u64;
        // SAFETY: `index` is below the number of entries; the kernel does not read this entry before the tail moves
        // past it. `BufRingEntry` is plain integers, so the zeroed memory is a valid value. The tail, which lies in
        // the first entry's reserved field, is left alone by the setters.
        let entry = unsafe { &mut *self.entries.pointer().cast::<types::BufRingEntry>().add(index as usize) };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    #[inline]
    fn enter(&mut self, want: u32, wait_ns: u64) -> io::Result<()> {
        self.publish_buffers();
        self.drain_backlog();
        let timespec = types::Timespec::new().sec(wait_ns / 1_000_000_000).nsec((wait_ns % 1_000_000_000) as u32);
        let mut args = types::SubmitArgs::new().timespec(&timespec);
        // A batch is waited for only where the kernel ends that wait by itself.
        let want = if self.features.min_wait { want } else { 1 };
        if want > 1 {
            args = args.min_wait_usec(BATCH_WAIT_US);
        }
        self.counters.enters += 1;
        match self.ring.submitter().submit_with_args(want as usize, &args) {
            Ok(_) => Ok(()),
            // ETIME is the wait's end; the others are back-pressure: reap, then try again (rule 6).
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    #[inline]
    fn completion(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        self.counters.completions += 1;
        let flags = entry.flags();
        Some(Completion {
            tag: Tag(entry.user_data()),
            result: entry.result(),
            more: cqueue::more(flags),
            buffer: cqueue::buffer_select(flags),
        })
    }

    fn now(&self) -> RunInstant {
        RunInstant::since(self.base)
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn occupancy(&mut self) -> Occupancy {
        // A kernel without the account says only how long the thread ran.
        self.occupied.look().unwrap_or_else(|| {
            let (user, system) = thread_cpu_us();
            Occupancy { ran_ns: (user + system) * 1_000, waited_ns: 0 }
        })
    }

    fn has_route(&self, address: SocketAddr) -> bool {
        // A datagram socket that is connected has looked for a route and sent nothing.
        let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let looked = UdpSocket::bind(SocketAddr::new(any, 0)).and_then(|socket| socket.connect(address));
        !looked.is_err_and(|error| error.raw_os_error() == Some(libc::ENETUNREACH))
    }
}

impl std::fmt::Debug for Uring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uring").field("features", &self.features).finish_non_exhaustive()
    }
}

/// User and system time of the calling thread, in microseconds.
pub fn thread_cpu_us() -> (u64, u64) {
    // SAFETY: `rusage` is plain integers; getrusage fills it and RUSAGE_THREAD is known since Linux 2.6.26.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    let us = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    (us(usage.ru_utime), us(usage.ru_stime))
}

/// Zeroed, page-aligned memory of fixed size and address.
struct Memory {
    pointer: NonNull<u8>,
    layout: Layout,
}

impl Memory {
    fn new(bytes: usize) -> Memory {
        let layout = Layout::from_size_align(bytes.max(PAGE), PAGE).expect("sizes are bounded by the plan");
        // SAFETY: the layout is not empty.
        let pointer = unsafe { alloc_zeroed(layout) };
        let Some(pointer) = NonNull::new(pointer) else { handle_alloc_error(layout) };
        Memory { pointer, layout }
    }

    fn pointer(&self) -> *mut u8 {
        self.pointer.as_ptr()
    }

    fn address(&self) -> u64 {
        self.pointer() as u64
    }

    #[inline]
    fn slice(&self, from: usize, len: usize) -> &[u8] {
        assert!(from.checked_add(len).is_some_and(|end| end <= self.layout.size()));
        // SAFETY: within the allocation, which is zeroed and freed only in drop. A receive buffer is read only between
        // its completion and its recycling, when the kernel does not write it (`super::Ring` keeps that book).
        unsafe { std::slice::from_raw_parts(self.pointer().add(from), len) }
    }

    #[inline]
    fn slice_mut(&mut self, from: usize, len: usize) -> &mut [u8] {
        assert!(from.checked_add(len).is_some_and(|end| end <= self.layout.size()));
        // SAFETY: as above; `&mut self` makes us the only writer. The kernel only reads a send area, and not while
        // `super::Ring` lets it be written; a receive buffer is ours alone between its completion and its recycling.
        unsafe { std::slice::from_raw_parts_mut(self.pointer().add(from), len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.pointer(), self.layout) }
    }
}
