//! What is different where a connection speaks TLS: handshakes, a few in a turn, and records in both directions.
//!
//! Plain http never comes here.

use super::Worker;
use crate::engine::contestant::OutcomeRecorder;
use crate::engine::cost::{RECORD_AS_BYTES, bytes_ns, receive_ns, records_ns};
use crate::engine::index::{ContestantIndex, LocalSlot, RingSlot};
use crate::engine::ring::{Buffer, Kernel};
use crate::engine::sizes::BUFFERS;
use crate::engine::step::Step;
use crate::engine::timeouts::LATE_NS;
use crate::engine::tls::{Allowance, Handshake, Opened, SHORT_BYTES, TlsReason};
use crate::engine::wheel::Sleeper;
use flowtest_contract::verdict::Failure;

/// What steps of handshakes may take of one turn at least, in nanoseconds, over all contestants that want some, each of which has
/// an equal part: after that no other one is begun. It is all that they may take of turns of 6.8 to 10 ms. One takes a tenth of a millisecond or two, where the server wants it some.
const SHAKING_NS: u64 = 1_200_000;
/// Turns are long where many connections are made already: handshakes take this part of what all else took, or the more
/// connections there are the longer a new one would wait. Of that part each contestant has an equal one, whoever wants it: what
/// many handshakes of one take stays small beside what all else does.
const SHAKING_PART: u64 = 2;
/// What a turn that is not late without handshakes may take with them: short of [`LATE_NS`], for the last step may take longer.
const TURN_NS: u64 = LATE_NS * 8 / 10;
/// What a step is taken to have cost its contestant at the most: it is measured, and may have been interrupted.
const STEP_NS_MAX: u64 = 4_000_000;
/// Into so many parts at the most, so that one among many contestants has a step in each turn or two.
const PARTS_MAX: u64 = 16;

/// What a worker looks at in a turn of what comes after handshakes: so much for whoever comes first, as an honest server's answers after
/// a pause are, and beyond that as much again, of which each contestant has an equal part that nobody takes from it.
#[derive(Clone, Copy, Debug)]
struct Shared(u32);

/// Records of a few bytes, and what has waited. What is left waits for the next turn, in which it comes first.
const SHORT_RECORDS: Shared = Shared(448);
/// Tickets, and updates of keys.
const MESSAGES: Shared = Shared(48);
/// What an update takes where ours is changed with it, both 2.4 µs; a ticket takes 1.1 µs (BENCHMARKS.md).
const MESSAGE_NS: u64 = 5_000;

/// Of the shortest of longer records in so many buffers of so many bytes.
const fn received_ns((buffers, bytes): (u16, usize)) -> u64 {
    buffers as u64 * receive_ns(bytes) + records_ns(buffers as usize * bytes / SHORT_BYTES)
}

// Between two looks at the clock lie the end of a turn, with what it has received, and the begin of the next, with handshakes and what
// has waited. All that may be looked at in both makes no turn late, also where all buffers hold the shortest of longer records.
const _: () = {
    let short = SHORT_RECORDS.most() as usize;
    let looked_at_ns = records_ns(short) + bytes_ns(short * SHORT_BYTES) + MESSAGES.most() as u64 * MESSAGE_NS;
    let [one, more] = BUFFERS;
    assert!(2 * looked_at_ns + received_ns(one) + SHAKING_NS < LATE_NS);
    assert!(2 * looked_at_ns + received_ns(more) + SHAKING_NS < LATE_NS);
};

impl Shared {
    const fn most(self) -> u32 {
        2 * self.0
    }

    /// How much a contestant may still have looked at, where so much was of all in this turn, and so much of it.
    fn left(self, of_all: u32, its: u32, contestants: u32) -> u32 {
        // Nobody else wants a part of it.
        if contestants == 1 {
            return self.most().saturating_sub(of_all);
        }
        let part = (self.0 / contestants).max(1);
        self.0.saturating_sub(of_all).max(part.saturating_sub(its))
    }
}

/// What steps of handshakes may take of a turn, where all else took so long of late.
pub(super) fn shaking_ns(work_ns: u64) -> u64 {
    let part = work_ns / SHAKING_PART;
    let is_late_anyway = work_ns >= LATE_NS;
    let most = if is_late_anyway { part } else { part.min(TURN_NS.saturating_sub(work_ns)) };
    most.max(SHAKING_NS)
}

/// The part of one contestant, of so many of whom so many want one now.
fn part_ns(shaking_ns: u64, contestants: u64, shakers: u64) -> u64 {
    (shaking_ns / contestants.min(PARTS_MAX)).max(SHAKING_NS / shakers.clamp(1, PARTS_MAX))
}

impl<K: Kernel> Worker<K> {
    pub(super) fn speaks_tls(&self, slot: RingSlot) -> bool {
        let contestant = &self.contestants[self.owner[slot]];
        contestant.has_tls && contestant.tls[contestant.local(slot)].is_some()
    }

    /// Whether records wait to be sent that are no requests.
    #[inline]
    pub(super) fn has_outgoing(&self, slot: RingSlot) -> bool {
        let contestant = &self.contestants[self.owner[slot]];
        contestant.has_tls
            && contestant.tls[contestant.local(slot)].as_ref().is_some_and(|tls| !tls.outgoing().is_empty())
    }

    /// Bytes of a connection that speaks TLS.
    pub(super) fn on_sealed(&mut self, slot: RingSlot, buffer: Buffer) {
        let index = self.owner[slot];
        let local = self.contestants[index].local(slot);
        let opened = self.open_records(index, local, Some(buffer));
        self.ring.recycle(buffer);
        let contestant = &mut self.contestants[index];
        if contestant.received(self.turn) > self.bytes_per_turn || contestant.is_behind(local) {
            self.ring.pause(slot);
        }
        self.on_opened(slot, opened);
    }

    /// Opens what waited for this turn, and tells of the end of the connection that came behind it.
    pub(super) fn catch_up(&mut self, slot: RingSlot) {
        let index = self.owner[slot];
        let local = self.contestants[index].local(slot);
        // What has begun meanwhile has its time, although it is not sent yet.
        if let Some(at) = self.contestants[index].connections[local].wake_at(&self.timeouts) {
            self.wheel.insert(Sleeper::Slot(slot), at);
        }
        let opened = self.open_records(index, local, None);
        self.on_opened(slot, opened);
        let tls = self.contestants[index].tls[local].as_mut();
        if opened == Opened::Plain(Step::Go)
            && let Some(failure) = tls.and_then(|tls| tls.take_end())
        {
            self.on_cut(slot, failure);
        }
    }

    /// Opens the records in a buffer, and gives what is in them to who reads it.
    fn open_records(&mut self, index: ContestantIndex, local: LocalSlot, buffer: Option<Buffer>) -> Opened {
        let contestants = self.contestants.len() as u32;
        let contestant = &mut self.contestants[index];
        let mut outcomes = OutcomeRecorder::new(&self.plan, &mut self.block, &self.timeouts, index, self.now);
        let (of_all, its) = (self.looked_at, *contestant.looked_at(self.turn));
        let allowance = Allowance {
            messages: MESSAGES.left(of_all.messages, its.messages, contestants),
            short_records: SHORT_RECORDS.left(of_all.short_records, its.short_records, contestants),
        };
        let (connection, shape) = (&mut contestant.connections[local], &mut contestant.shape);
        let (timeouts, now) = (&self.timeouts, self.now);
        let tls = contestant.tls[local].as_mut().expect("its connection speaks TLS");
        tls.allow(allowance);
        let bytes = buffer.map_or(&mut [][..], |buffer| self.ring.bytes_mut(buffer));
        let opened = tls.on_bytes(bytes, |plain| connection.on_bytes(plain, now, shape, timeouts, &mut outcomes));
        let (left, records, is_behind) = (tls.allowance(), tls.take_records(), tls.is_behind());
        let (settled, took_us) = (outcomes.settled, outcomes.took_us);
        self.looked_at.add(allowance, left);
        contestant.looked_at(self.turn).add(allowance, left);
        contestant.on_received(self.turn, records * RECORD_AS_BYTES);
        contestant.on_settled(local, settled, took_us);
        let keeps_too_much = contestant.count_kept(local);
        if self.activity.is_closed_loop() {
            self.quantum.on_records(index, records);
        } else if records > 0 {
            self.costs.on_records(index, records);
        }
        if !keeps_too_much {
            return opened;
        }
        self.contestants[index].keep_nothing(local);
        Opened::Failed(if is_behind { TlsReason::ShortRecords } else { TlsReason::Kept })
    }

    fn on_opened(&mut self, slot: RingSlot, opened: Opened) {
        match opened {
            Opened::Plain(step) => self.apply(slot, self.owner[slot], step),
            Opened::Handshake => self.look_at(slot),
            Opened::Ended => {
                self.settle(slot, |connection, timeouts, outcomes| connection.on_end(outcomes.now, timeouts, outcomes));
            }
            Opened::Failed(reason) => self.on_tls_failed(slot, reason),
        }
    }

    fn on_tls_failed(&mut self, slot: RingSlot, reason: TlsReason) {
        self.settle(slot, |connection, timeouts, outcomes| connection.on_tls_failed(reason, timeouts, outcomes));
    }

    /// The connection ended without a word of TLS: in the handshake that fails it, and later it is the end of no answer.
    pub(super) fn on_cut(&mut self, slot: RingSlot, failure: Failure) {
        let contestant = &mut self.contestants[self.owner[slot]];
        let local = contestant.local(slot);
        let tls = contestant.tls[local].as_mut().expect("its connection speaks TLS");
        if tls.is_behind() {
            return tls.end_behind(failure);
        }
        if tls.is_established() || failure != Failure::Reset {
            let is_established = tls.is_established();
            tls.end();
            return self.settle(slot, |connection, timeouts, outcomes| match is_established {
                true => connection.on_cut(failure, timeouts, outcomes),
                // As a connection that was never made: a handshake is a part of that.
                false => connection.on_unconnected(failure, timeouts, outcomes),
            });
        }
        // It costs as much as any other step of a handshake, and waits for a turn that has time for it.
        if tls.on_cut() {
            return self.look_at(slot);
        }
        self.on_tls_failed(slot, TlsReason::Closed);
    }

    /// Before the connection is closed the peer is told, where it can be: that we say no more, or what was wrong.
    pub(super) fn part(&mut self, slot: RingSlot) {
        let contestant = &mut self.contestants[self.owner[slot]];
        let local = contestant.local(slot);
        if !contestant.has_tls || !self.ring.can_send(slot) {
            return;
        }
        if let Some(tls) = &mut contestant.tls[local] {
            tls.part();
            self.send_outgoing(slot);
        }
    }

    /// Goes on with the handshake of a slot whose connection is made, as far as this turn has time for it.
    pub(super) fn shake(&mut self, slot: RingSlot) {
        if !self.ring.is_connected(slot) {
            return;
        }
        let index = self.owner[slot];
        let contestants = self.contestants.len() as u64;
        let has_rivals = contestants > 1;
        let contestant = &mut self.contestants[index];
        let local = contestant.local(slot);
        if !contestant.tls[local].as_ref().is_some_and(|tls| tls.wants_handshake()) {
            return self.send_outgoing(slot);
        }
        if has_rivals && let Some(at) = contestant.shakes_at(self.now) {
            if !std::mem::replace(&mut self.queued[slot], true) {
                self.resting.push(slot);
                self.rested_at = self.rested_at.min(at);
            }
            return;
        }
        self.shakers[0] += u64::from(contestant.wants_to_shake(self.turn));
        let [now, before] = self.shakers;
        let part_ns = part_ns(self.shaking_ns, contestants, now.max(before));
        if self.shaken_ns >= self.shaking_ns || !contestant.may_shake(self.turn, part_ns) {
            contestant.on_held(self.turn);
            if !std::mem::replace(&mut self.queued[slot], true) {
                self.held.push(slot);
            }
            return;
        }
        let began = self.ring.now();
        let tls = contestant.tls[local].as_mut().expect("its connection speaks TLS");
        let opened = tls.handshake();
        let took_ns = self.ring.now() - began;
        self.shaken_ns += took_ns;
        let keeps_too_much = contestant.count_kept(local);
        contestant.on_shaken(took_ns.min(STEP_NS_MAX), took_ns, self.now);
        if self.activity.is_closed_loop() {
            self.quantum.on_handshake(index, took_ns);
        } else {
            self.costs.on_handshake(index, took_ns);
        }
        match opened {
            Handshake::Waits => self.send_outgoing(slot),
            Handshake::Failed(reason) => self.on_tls_failed(slot, reason),
            // A session that is resumed brings its chain without a byte of it.
            Handshake::Done if keeps_too_much => {
                contestant.keep_nothing(local);
                self.on_tls_failed(slot, TlsReason::Kept);
            }
            Handshake::Done => {
                contestant.connections[local].on_connected();
                // What came behind the handshake.
                let opened = self.open_records(index, local, None);
                self.on_opened(slot, opened);
            }
        }
    }

    /// Sends what stands before any request, as much as the area holds; the rest follows.
    pub(super) fn send_outgoing(&mut self, slot: RingSlot) {
        if !self.ring.can_send(slot) {
            return;
        }
        let contestant = &mut self.contestants[self.owner[slot]];
        let local = contestant.local(slot);
        let Some(tls) = &mut contestant.tls[local] else { return };
        let area = self.ring.area(slot);
        let len = tls.outgoing().len().min(area.len());
        if len > 0 {
            area[..len].copy_from_slice(&tls.outgoing()[..len]);
            tls.on_taken(len);
            self.ring.send(slot, len);
        }
    }

    /// The end of `send` over TLS: what is ready goes in as few records as hold it, behind what stands before any request.
    pub(super) fn send_sealed(&mut self, index: ContestantIndex, slot: RingSlot, local: LocalSlot) {
        let contestant = &mut self.contestants[index];
        let connection = &mut contestant.connections[local];
        let request = &self.plan.contestants[index].request;
        let (mint, block) = (&self.mint, &mut self.block);
        let tls = contestant.tls[local].as_mut().expect("its connection speaks TLS");
        let area = self.ring.area(slot);
        let before = tls.outgoing().len();
        let Some(layout) = tls.layout(before, request.len()) else { return };
        if before > 0 && layout.fits(area.len()) < connection.unsent() {
            return self.send_outgoing(slot);
        }
        let written = connection.send(self.now, |outgoing| {
            let token = mint.token(slot.number(), outgoing.counter);
            request.write(&mut area[layout.at(outgoing.index)..], &token);
            block.count_sent(index, outgoing.scored, outgoing.is_first);
            token
        });
        area[..before].copy_from_slice(tls.outgoing());
        tls.on_taken(before);
        let Some(len) = tls.seal(area, &layout, written) else {
            return self.on_tls_failed(slot, TlsReason::Protocol);
        };
        if tls.is_worn_out() {
            contestant.wear_out(local);
        }
        if len > 0 {
            self.ring.send(slot, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_handshakes_is_for_whoever_comes_first_and_beyond_that_each_has_its_part() {
        // (of all, of it, contestants, how much it still may)
        for (of_all, its, contestants, may) in [
            (0, 0, 2, 100),
            (90, 90, 2, 10),
            (99, 99, 2, 1),
            (100, 100, 2, 0),
            // Alone it has all.
            (0, 0, 1, 200),
            (199, 199, 1, 1),
            (200, 200, 1, 0),
            // Whoever has taken all of the first has taken nothing of its rivals' parts.
            (100, 100, 20, 0),
            (100, 0, 20, 5),
            (105, 5, 20, 0),
            (199, 2, 20, 3),
            (999, 0, 999, 1),
        ] {
            assert_eq!(Shared(100).left(of_all, its, contestants), may, "{of_all} {its} {contestants}");
        }
    }

    #[test]
    fn handshakes_have_their_part_of_a_turn_however_long_it_is_and_make_none_late() {
        // (what all else took, what handshakes may take), in tenths of a millisecond
        for (work, part) in [(0, 12), (20, 12), (40, 20), (60, 20), (75, 12), (99, 12), (100, 50), (770, 385)] {
            assert_eq!(shaking_ns(work * 100_000), part * 100_000, "{work}");
        }
    }

    #[test]
    fn what_others_do_not_want_of_the_least_part_goes_to_those_that_do() {
        let ten_us = |part: u64| part * 10_000;
        // (what handshakes may take, contestants, those that want some, the part of one), in hundredths of a millisecond
        for (shaking, contestants, shakers, part) in [
            (120, 16, 1, 120),
            (120, 16, 2, 60),
            (120, 40, 0, 120),
            (480, 2, 2, 240),
            (1920, 16, 1, 120),
            (3840, 16, 16, 240),
        ] {
            assert_eq!(part_ns(ten_us(shaking), contestants, shakers), ten_us(part), "{contestants} {shakers}");
        }
    }
}
