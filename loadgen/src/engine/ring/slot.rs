//! What the kernel has of a slot.

use super::tag::Kind;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    pub(super) generation: u32,
    pub(super) life: Life,
    pub(super) connecting: bool,
    pub(super) sending: bool,
    pub(super) receiving: bool,
    pub(super) cancels: u8,
    pub(super) pausing: bool,
    /// A send failed since the peer has closed: nothing more is sent, and the receive tells what came before that.
    pub(super) send_errno: Option<i32>,
    /// The rest of the send in flight.
    pub(super) send_from: u32,
    pub(super) send_to: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    #[default]
    Free,
    Open,
    Closing,
}

impl Slot {
    /// Whether an operation of this kind is in flight; of a cancel it is only known that there is one.
    pub(super) fn is_in_flight(&self, kind: Kind) -> bool {
        match kind {
            Kind::Connect => self.connecting,
            Kind::Send => self.sending,
            Kind::Receive => self.receiving,
            Kind::CancelConnect | Kind::CancelSend | Kind::CancelReceive => self.cancels > 0,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.connecting && !self.sending && !self.receiving && self.cancels == 0
    }
}
