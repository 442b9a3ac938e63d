//! What a server has sent of its handshake, until rustls has taken it: shown record by record, and kept within bounds.
//!
//! rustls goes on through all that it is shown, also beyond the end of the handshake, and takes every ticket that stands there.
//! And it changes what it was shown where it lies, so that where a record ends is read before that.

use super::records::HEADER;
use super::{HANDSHAKE_BYTES_MAX, HANDSHAKE_RECORDS_MAX, Opened, TlsReason};

/// Bytes of a handshake.
#[derive(Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    /// Bytes that rustls has taken. Of these it holds a copy, the chain among them, for as long as the handshake lasts.
    taken: usize,
    /// Records that have begun, and where the next one does.
    records: usize,
    next: usize,
    /// Where the first record begins that was not shown whole.
    shown: usize,
}

impl Incoming {
    /// More of them, which the handshake may go on with, unless they are more than any has.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Opened {
        if self.kept() + bytes.len() > HANDSHAKE_BYTES_MAX {
            return Opened::Failed(TlsReason::TooLong);
        }
        self.bytes.extend_from_slice(bytes);
        while let Some(end) = self.end(self.next) {
            self.next = end;
            self.records += 1;
        }
        if self.records > HANDSHAKE_RECORDS_MAX { Opened::Failed(TlsReason::TooLong) } else { Opened::Handshake }
    }

    /// Bytes that nobody has taken.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All bytes of the handshake, which are kept here or by rustls.
    pub(super) fn kept(&self) -> usize {
        self.taken + self.bytes.len()
    }

    /// How far whole records were shown.
    pub(super) fn shown(&self) -> usize {
        self.shown
    }

    /// Shows one record more, or what has come of it. How far that is.
    pub(super) fn show_next(&mut self) -> usize {
        match self.end(self.shown) {
            Some(end) if end <= self.bytes.len() => {
                self.shown = end;
                end
            }
            _ => self.bytes.len(),
        }
    }

    /// What is shown.
    pub(super) fn between(&mut self, from: usize, to: usize) -> &mut [u8] {
        &mut self.bytes[from..to]
    }

    /// So many bytes were taken, whole records that were shown.
    pub(super) fn take(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.taken += count;
        self.next = self.next.saturating_sub(count);
        self.shown = self.shown.saturating_sub(count);
    }

    /// What nobody has taken.
    pub(super) fn into_rest(self) -> Vec<u8> {
        self.bytes
    }

    /// Where the record ends that begins there, by its header.
    fn end(&self, begin: usize) -> Option<usize> {
        let &[_, _, _, a, b] = self.bytes.get(begin..)?.first_chunk::<HEADER>()?;
        Some(begin + HEADER + usize::from(u16::from_be_bytes([a, b])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_shown_one_by_one_and_the_last_one_as_far_as_it_has_come() {
        let mut incoming = Incoming::default();
        assert_eq!((incoming.shown(), incoming.show_next()), (0, 0));
        assert_eq!(incoming.keep(b"\x16\x03\x03\x00\x02ab\x16\x03\x03\x00\x01c\x16\x03"), Opened::Handshake);
        assert_eq!([(); 3].map(|()| incoming.show_next()), [7, 13, 15]);
        assert_eq!(incoming.shown(), 13);
        // Whoever was shown the first has changed it, and what it has not taken is shown again.
        incoming.between(0, 7).fill(0xff);
        incoming.take(7);
        assert_eq!(incoming.keep(b"\x03\x00\x03de"), Opened::Handshake);
        assert_eq!((incoming.shown(), incoming.show_next(), incoming.shown()), (6, 13, 6));
        assert_eq!(incoming.keep(b"f\x17\x03\x03\x00\x00"), Opened::Handshake);
        assert_eq!([(); 3].map(|()| incoming.show_next()), [14, 19, 19]);
        incoming.take(14);
        // What was taken is kept elsewhere.
        assert_eq!((incoming.len(), incoming.kept()), (5, 26));
        let rest = HANDSHAKE_BYTES_MAX - 26;
        assert_eq!(incoming.keep(&vec![0; rest + 1]), Opened::Failed(TlsReason::TooLong));
        assert_eq!(incoming.into_rest(), b"\x17\x03\x03\x00\x00");
    }
}
