//! How large the ring of a worker is: for its part of the plan.

use crate::engine::index::{ContestantIndex, Key};
use crate::engine::plan::Plan;
use crate::engine::ring::Sizes;
use crate::engine::split::slots_of;
use crate::engine::spread::Spread;
use crate::engine::tls;

/// Room for what a handshake sends at once, most often: a hello with a ticket.
const TLS_AREA_BYTES_MIN: usize = 1024;

/// Receive buffers of a worker, and how long each is. One in flight: an answer fits a small buffer, and all of them fit the L2 cache.
/// More in flight come in bursts.
const FOR_ONE: (u16, usize) = (512, 2048);
const FOR_MORE: (u16, usize) = (256, 8192);
pub const BUFFERS: [(u16, usize); 2] = [FOR_ONE, FOR_MORE];

/// How many slots a worker needs, and how large.
pub fn sizes(plan: &Plan, worker: u32) -> Sizes {
    let spread = Spread::new(plan.places() as u64);
    let slots = |index| slots_of(plan, &spread, worker, index);
    let slots = ContestantIndex::all().take(plan.room.max(plan.contestants.len())).map(slots).sum::<u32>().max(1);
    let request = plan.contestants.iter().map(|contestant| contestant.request.len()).max().unwrap_or(0);
    let request = request + plan.request_spare;
    let pipeline = plan.pipeline_max() as usize;
    let (buffers, buffer_bytes) = if pipeline == 1 { FOR_ONE } else { FOR_MORE };
    let area_bytes = if plan.may_speak_tls() {
        tls::Layout::room(request.max(1), pipeline).max(TLS_AREA_BYTES_MIN)
    } else {
        request * pipeline
    };
    // A multiple of the cache line, so that no two slots share one.
    Sizes { slots, area_bytes: area_bytes.next_multiple_of(64), buffers, buffer_bytes }
}
