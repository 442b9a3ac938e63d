//! Classes of bytes, eight at a time.

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
const LANE: usize = 8;

/// Legal in a header name (RFC 9110, 5.6.2: tchar).
pub(super) const NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

/// A control byte, which no line may have: below 0x20 or 0x7f, but for the tab.
#[inline]
pub(super) fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// Space or tab: optional white space around a value.
#[inline]
pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Whether there is a control byte. Bytes from 0x80 on are legal in values (RFC 9110, 5.5: obs-text).
#[inline]
pub(super) fn has_control(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<LANE>() else {
        return bytes.iter().any(|byte| is_control(*byte));
    };
    // No early exit: values are short and legal. The last lane overlaps its neighbour, so that no byte is alone.
    let (lanes, _) = bytes.as_chunks::<LANE>();
    let found = lanes.iter().fold(suspicious(last), |found, lane| found | suspicious(lane));
    // A tab is suspicious, and legal.
    found != 0 && bytes.iter().any(|byte| is_control(*byte))
}

/// Not zero when one of eight bytes is below 0x20 or 0x7f: control bytes and tabs.
#[inline]
fn suspicious(lane: &[u8; LANE]) -> u64 {
    let lane = u64::from_le_bytes(*lane);
    let below_space = lane.wrapping_sub(ONES * 0x20) & !lane;
    let delete = lane ^ (ONES * 0x7f);
    let is_delete = delete.wrapping_sub(ONES) & !delete;
    (below_space | is_delete) & HIGHS
}

/// Where the first control byte stands, and which it is.
pub(super) fn first_control(bytes: &[u8]) -> Option<(usize, u8)> {
    bytes.iter().copied().enumerate().find(|(_, byte)| is_control(*byte))
}

/// Without spaces and tabs at the start.
#[inline]
pub(super) fn trim_start(mut value: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_blank(*first)
    {
        value = rest;
    }
    value
}

/// Without spaces and tabs at both ends.
#[inline]
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let mut value = trim_start(value);
    while let [rest @ .., last] = value
        && is_blank(*last)
    {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_byte_at_each_place_is_found() {
        for length in 1..40 {
            for place in 0..length {
                for byte in 0..=255u8 {
                    let mut bytes = vec![b'x'; length];
                    bytes[place] = byte;
                    assert_eq!(has_control(&bytes), is_control(byte), "{byte:#x} at {place} of {length}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn lanes_agree_with_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(has_control(&bytes), bytes.iter().any(|byte| is_control(*byte)));
            prop_assert_eq!(has_control(&bytes), first_control(&bytes).is_some());
        }
    }

    #[test]
    fn trimming_takes_spaces_and_tabs_only() {
        assert_eq!(trim(b" \tv1\t "), b"v1");
        assert_eq!(trim(b"\xa0v1"), b"\xa0v1");
        assert_eq!(trim(b" \t "), b"");
    }
}
