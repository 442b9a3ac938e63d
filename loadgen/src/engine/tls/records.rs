//! Records of one direction, sealed and opened where they lie: no copy, no allocation.
//!
//! rustls does the handshake and everything that is decided in it; the keys that come out of it are used here, by the same
//! cryptography. Its own record layer makes a buffer for each record in each direction. RFC 8446 5.2 and RFC 5246 6.2.3.3
//! with RFC 5288 and RFC 7905.

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ProtocolVersion};
use std::ops::Range;

/// Content type, legacy version, length.
pub(super) const HEADER: usize = 5;
pub(super) const TAG: usize = 16;
/// Of GCM in TLS 1.2, in front of the ciphertext.
const EXPLICIT_NONCE: usize = 8;
/// The most plaintext of a record.
pub(super) const PLAINTEXT_MAX: usize = 1 << 14;
/// What a record is longer than its plaintext, at most.
pub(super) const OVERHEAD: usize = HEADER + EXPLICIT_NONCE + 1 + TAG;
/// What TLS 1.3 and 1.2 let a record be longer than [`PLAINTEXT_MAX`].
const EXPANSION_13: usize = 256;
const EXPANSION_12: usize = 2048;
/// The longest record, its header included.
pub const RECORD_MAX: usize = HEADER + PLAINTEXT_MAX + EXPANSION_12;

/// Records under one key before it must be changed: what AES-GCM stands, RFC 8446 5.5.
pub(super) const RECORDS_MAX: u64 = 1 << 24;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Alert,
    Handshake,
    ApplicationData,
}

impl Content {
    fn code(self) -> u8 {
        match self {
            Content::Alert => 21,
            Content::Handshake => 22,
            Content::ApplicationData => 23,
        }
    }

    fn of(code: u8) -> Option<Content> {
        [Content::Alert, Content::Handshake, Content::ApplicationData].into_iter().find(|known| known.code() == code)
    }
}

/// How records look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// TLS 1.3: the content type stands encrypted behind the plaintext.
    Tls13,
    /// TLS 1.2 with GCM: a part of the nonce stands before the ciphertext.
    Tls12Gcm,
    /// TLS 1.2 with ChaCha20-Poly1305.
    Tls12,
}

impl Shape {
    fn explicit_nonce(self) -> usize {
        if self == Shape::Tls12Gcm { EXPLICIT_NONCE } else { 0 }
    }
}

/// The key of one direction, and how many records it was used for.
struct Key {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    shape: Shape,
    sequence: u64,
}

impl Key {
    fn new(sequence: u64, secrets: &ConnectionTrafficSecrets, version: ProtocolVersion) -> Option<Key> {
        let is_13 = match version {
            ProtocolVersion::TLSv1_3 => true,
            ProtocolVersion::TLSv1_2 => false,
            _ => return None,
        };
        let (algorithm, key, iv, is_gcm) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, true),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, true),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv, false),
            _ => return None,
        };
        let shape = match (is_13, is_gcm) {
            (true, _) => Shape::Tls13,
            (false, true) => Shape::Tls12Gcm,
            (false, false) => Shape::Tls12,
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).ok()?);
        Some(Key { key, iv: iv.as_ref().try_into().ok()?, shape, sequence })
    }

    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        for (byte, sequence) in nonce[NONCE_LEN - 8..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= sequence;
        }
        nonce
    }

    /// What TLS 1.2 authenticates beside the plaintext.
    fn aad_12(&self, content: u8, len: usize) -> [u8; 13] {
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&self.sequence.to_be_bytes());
        aad[8] = content;
        aad[9..11].copy_from_slice(&VERSION);
        aad[11..].copy_from_slice(&(len as u16).to_be_bytes());
        aad
    }
}

/// What every record says of its version.
const VERSION: [u8; 2] = [3, 3];

/// Seals records.
pub(super) struct Sealer(Key);

impl Sealer {
    pub(super) fn new(sequence: u64, secrets: &ConnectionTrafficSecrets, version: ProtocolVersion) -> Option<Sealer> {
        Key::new(sequence, secrets, version).map(Sealer)
    }

    /// Where the plaintext of a record begins.
    #[inline]
    pub(super) fn plaintext_at(&self) -> usize {
        HEADER + self.0.shape.explicit_nonce()
    }

    /// How long a record is with so much plaintext.
    #[inline]
    pub(super) fn record_len(&self, plaintext: usize) -> usize {
        self.plaintext_at() + plaintext + usize::from(self.0.shape == Shape::Tls13) + TAG
    }

    /// As if so many records had been sealed.
    #[cfg(test)]
    pub(super) fn skip_to(&mut self, sequence: u64) {
        self.0.sequence = sequence;
    }

    /// Records sealed with this key.
    #[inline]
    pub(super) fn sealed(&self) -> u64 {
        self.0.sequence
    }

    /// Makes a record of the plaintext that stands at [`Sealer::plaintext_at`] of `record`, which is as long as
    /// [`Sealer::record_len`] says. `false`: the cryptography refused, which it does for lengths that no record has.
    #[inline]
    #[must_use]
    pub(super) fn seal(&mut self, content: Content, record: &mut [u8]) -> bool {
        self.seal_with(content.code(), record)
    }

    /// The same with any content type, in TLS 1.3 the one that is encrypted.
    #[inline]
    #[must_use]
    pub(super) fn seal_with(&mut self, content: u8, record: &mut [u8]) -> bool {
        let key = &mut self.0;
        let at = HEADER + key.shape.explicit_nonce();
        let body = record.len() - HEADER;
        let nonce = key.nonce();
        record[0] = if key.shape == Shape::Tls13 { Content::ApplicationData.code() } else { content };
        record[1..3].copy_from_slice(&VERSION);
        record[3..5].copy_from_slice(&(body as u16).to_be_bytes());
        let header: [u8; HEADER] = record[..HEADER].try_into().expect("of this length");
        if key.shape == Shape::Tls12Gcm {
            record[HEADER..at].copy_from_slice(&nonce[NONCE_LEN - EXPLICIT_NONCE..]);
        }
        let tag_at = record.len() - TAG;
        if key.shape == Shape::Tls13 {
            record[tag_at - 1] = content;
        }
        let (plain, tag) = record[at..].split_at_mut(tag_at - at);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = match key.shape {
            Shape::Tls13 => key.key.seal_in_place_separate_tag(nonce, Aad::from(header), plain),
            Shape::Tls12Gcm | Shape::Tls12 => {
                let aad = key.aad_12(content, plain.len());
                key.key.seal_in_place_separate_tag(nonce, Aad::from(aad), plain)
            }
        };
        key.sequence += 1;
        match sealed {
            Ok(sum) => {
                tag.copy_from_slice(sum.as_ref());
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
thread_local! {
    /// Records that this thread has tried to open: a pretended kernel lets them take their time.
    pub(in crate::engine) static OPENED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Opens records.
pub(super) struct Opener(Key);

/// A record that is none: what its connection ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRecord;

impl Opener {
    pub(super) fn new(sequence: u64, secrets: &ConnectionTrafficSecrets, version: ProtocolVersion) -> Option<Opener> {
        Key::new(sequence, secrets, version).map(Opener)
    }

    /// How long the record is that begins with these bytes, its header included. `None`: its header has not come.
    ///
    /// # Errors
    /// A header that no record of this version has.
    #[inline]
    pub(super) fn record_len(&self, bytes: &[u8]) -> Result<Option<usize>, NoRecord> {
        let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
        let body = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let expansion = if self.0.shape == Shape::Tls13 { EXPANSION_13 } else { EXPANSION_12 };
        let is_known = if self.0.shape == Shape::Tls13 {
            header[0] == Content::ApplicationData.code()
        } else {
            Content::of(header[0]).is_some()
        };
        if !is_known || header[1] != VERSION[0] || body > PLAINTEXT_MAX + expansion {
            return Err(NoRecord);
        }
        Ok(Some(HEADER + body))
    }

    /// Opens a whole record. Says what it holds, and where in `record` that stands now.
    ///
    /// # Errors
    /// Bytes that the peer did not seal, or sealed wrongly.
    #[inline]
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<(Content, Range<usize>), NoRecord> {
        #[cfg(test)]
        OPENED.set(OPENED.get() + 1);
        let key = &mut self.0;
        let at = HEADER + key.shape.explicit_nonce();
        let header: [u8; HEADER] = *record.first_chunk().ok_or(NoRecord)?;
        let mut nonce = key.nonce();
        if key.shape == Shape::Tls12Gcm {
            nonce[NONCE_LEN - EXPLICIT_NONCE..].copy_from_slice(record.get(HEADER..at).ok_or(NoRecord)?);
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = record.get_mut(at..).ok_or(NoRecord)?;
        let len = sealed.len().checked_sub(TAG).ok_or(NoRecord)?;
        let opened = match key.shape {
            Shape::Tls13 => key.key.open_in_place(nonce, Aad::from(header), sealed),
            Shape::Tls12Gcm | Shape::Tls12 => {
                let aad = key.aad_12(header[0], len);
                key.key.open_in_place(nonce, Aad::from(aad), sealed)
            }
        };
        let plain = opened.map_err(|_| NoRecord)?;
        key.sequence += 1;
        let (content, len) = match key.shape {
            // Zeros behind the content type are padding.
            Shape::Tls13 => {
                let last = plain.iter().rposition(|byte| *byte != 0).ok_or(NoRecord)?;
                (plain[last], last)
            }
            Shape::Tls12Gcm | Shape::Tls12 => (header[0], plain.len()),
        };
        if len > PLAINTEXT_MAX {
            return Err(NoRecord);
        }
        Ok((Content::of(content).ok_or(NoRecord)?, at..at + len))
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("sequence", &self.0.sequence).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("sequence", &self.0.sequence).finish_non_exhaustive()
    }
}
