//! Whether a JPEG stream has its end.
//!
//! The JPEG decoder fills what is missing with grey and reports success; Pillow refuses such a file. Only the
//! marker structure is read here, no pixel.

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Whether an end-of-image marker closes the picture (one inside an EXIF thumbnail does not count).
pub(super) fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    let mut in_scan = false;
    while let Some(&[first, code]) = bytes.get(at..at + 2).and_then(|pair| pair.first_chunk()) {
        match (first, code) {
            (0xff, EOI) => return true,
            // Fill bytes, stuffed zeros and restarts carry no length; nor does anything between markers.
            (0xff, 0xff) => at += 1,
            (0xff, 0 | 0x01 | SOI | 0xd0..=0xd7) => at += 2,
            (0xff, _) => {
                let Some(length) = bytes.get(at + 2..at + 4).and_then(|pair| pair.first_chunk()) else {
                    return false;
                };
                at += 2 + usize::from(u16::from_be_bytes(*length));
                in_scan |= code == SOS;
            }
            _ if in_scan => at += next_marker(&bytes[at..]),
            _ => at += 1,
        }
    }
    false
}

/// Bytes to the next `0xff`, at least one.
fn next_marker(bytes: &[u8]) -> usize {
    bytes.iter().skip(1).position(|&byte| byte == 0xff).map_or(bytes.len(), |found| found + 1)
}
