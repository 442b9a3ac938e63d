//! What an operation is called while the kernel has it.

use crate::engine::index::RingSlot;

/// `kind:8 | generation:24 | slot:32`, carried through the kernel by every operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Connect = 1,
    Send = 2,
    Receive = 3,
    CancelConnect = 4,
    CancelSend = 5,
    CancelReceive = 6,
}

impl Kind {
    /// The cancel of an operation of this kind.
    pub(super) fn cancel(self) -> Kind {
        match self {
            Kind::Connect => Kind::CancelConnect,
            Kind::Send => Kind::CancelSend,
            Kind::Receive => Kind::CancelReceive,
            cancel => unreachable!("nobody cancels a {cancel:?}"),
        }
    }
}

pub(super) const GENERATION_MASK: u32 = (1 << 24) - 1;

impl Tag {
    #[inline]
    pub(super) fn new(kind: Kind, generation: u32, slot: RingSlot) -> Tag {
        debug_assert!(generation <= GENERATION_MASK);
        Tag((kind as u64) << 56 | u64::from(generation) << 32 | u64::from(slot.number()))
    }

    #[inline]
    pub(super) fn slot(self) -> RingSlot {
        RingSlot::from_number(self.0 as u32)
    }

    #[inline]
    pub(super) fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & GENERATION_MASK
    }

    #[inline]
    pub(super) fn kind(self) -> Option<Kind> {
        match (self.0 >> 56) as u8 {
            1 => Some(Kind::Connect),
            2 => Some(Kind::Send),
            3 => Some(Kind::Receive),
            4 => Some(Kind::CancelConnect),
            5 => Some(Kind::CancelSend),
            6 => Some(Kind::CancelReceive),
            _ => None,
        }
    }
}
