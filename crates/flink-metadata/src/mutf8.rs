//! Java's modified UTF-8, as `java.io.DataOutput.writeUTF` writes it.
//!
//! It differs from UTF-8 in two points: U+0000 is two bytes, and a character above U+FFFF is its
//! two UTF-16 surrogates of three bytes each. A Java string may also hold a surrogate without its
//! other half, which no Rust string can; it becomes U+FFFD here, the one thing that is not kept.

use std::borrow::Cow;

/// The text, or `None` where `readUTF` would throw `UTFDataFormatException`.
///
/// Like Java, it accepts characters in more bytes than they need. ASCII, which nearly all names and
/// paths are, is borrowed.
pub(crate) fn decode(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if is_ascii(bytes) {
        return str::from_utf8(bytes).ok().map(Cow::Borrowed);
    }
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let (unit, left) = match first {
            0x00..=0x7f => (u16::from(*first), after),
            0xc0..=0xdf => {
                let [second, left @ ..] = after else {
                    return None;
                };
                (u16::from(first & 0x1f) << 6 | continuation(*second)?, left)
            }
            0xe0..=0xef => {
                let [second, third, left @ ..] = after else {
                    return None;
                };
                let low = continuation(*second)? << 6 | continuation(*third)?;
                (u16::from(first & 0x0f) << 12 | low, left)
            }
            _ => return None,
        };
        units.push(unit);
        rest = left;
    }
    Some(Cow::Owned(String::from_utf16_lossy(&units)))
}

/// As `is_ascii` of the standard library, a third of its time for names and paths: sixteen bytes at a time,
/// the last once more where they overlap, and one branch at the end.
fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH_BITS: u128 = u128::from_ne_bytes([0x80; 16]);
    if let Some(last) = bytes.last_chunk::<16>() {
        let (chunks, _) = bytes.as_chunks::<16>();
        let last = u128::from_ne_bytes(*last);
        let chunks = chunks.iter().map(|chunk| u128::from_ne_bytes(*chunk));
        return chunks.fold(last, |all, chunk| all | chunk) & HIGH_BITS == 0;
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let all = u64::from_ne_bytes(*first) | u64::from_ne_bytes(*last);
        return all & u64::from_ne_bytes([0x80; 8]) == 0;
    }
    bytes.is_ascii()
}

fn continuation(byte: u8) -> Option<u16> {
    (byte & 0xc0 == 0x80).then_some(u16::from(byte & 0x3f))
}

/// The bytes that `writeUTF` writes after the length.
#[cfg(feature = "write")]
pub(crate) fn encode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        let [high, low] = unit.to_be_bytes();
        match unit {
            0x0001..=0x007f => bytes.push(low),
            0x0000 | 0x0080..=0x07ff => {
                bytes.extend([0xc0 | high << 2 | low >> 6, 0x80 | low & 0x3f]);
            }
            _ => bytes.extend([
                0xe0 | high >> 4,
                0x80 | (high << 2 | low >> 6) & 0x3f,
                0x80 | low & 0x3f,
            ]),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{decode, is_ascii};

    #[test]
    fn one_byte_that_is_not_ascii_is_seen_wherever_it_is() {
        for length in 0..70 {
            let mut bytes = vec![b'a'; length];
            assert!(is_ascii(&bytes));
            for at in 0..length {
                bytes[at] = 0x80;
                assert!(!is_ascii(&bytes), "{at} of {length}");
                bytes[at] = 0x7f;
            }
        }
    }

    #[test]
    fn characters_of_each_length_are_read() {
        assert_eq!(decode(b"keyed-uid").as_deref(), Some("keyed-uid"));
        assert_eq!(decode(&[0xc0, 0x80]).as_deref(), Some("\0"));
        assert_eq!(decode(&[0xc3, 0xbc]).as_deref(), Some("ü"));
        assert_eq!(decode(&[0xe2, 0x82, 0xac]).as_deref(), Some("€"));
        assert_eq!(
            decode(&[0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]).as_deref(),
            Some("😀")
        );
    }

    #[test]
    fn long_text_is_read_whole() {
        let text = "ü".repeat(5000);
        assert_eq!(decode(text.as_bytes()).as_deref(), Some(text.as_str()));
    }

    #[test]
    fn a_lone_surrogate_becomes_the_replacement_character() {
        assert_eq!(
            decode(&[b'a', 0xed, 0xa0, 0xbd, b'b']).as_deref(),
            Some("a\u{fffd}b")
        );
        assert_eq!(decode(&[0xed, 0xb8, 0x80]).as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn what_java_refuses_is_refused() {
        for bad in [
            &[0xf0, 0x9f, 0x98, 0x80][..],
            &[0x80],
            &[0xc3],
            &[0xe2, 0x82],
            &[0xc3, 0x28],
            &[0xff],
        ] {
            assert_eq!(decode(bad), None, "{bad:x?}");
        }
    }

    #[cfg(feature = "write")]
    #[test]
    fn written_text_is_read_back() {
        for text in ["", "plain", "\0", "ü", "€", "😀", "a\0ü€😀\u{ffff}"] {
            assert_eq!(decode(&super::encode(text)).as_deref(), Some(text));
        }
        assert_eq!(
            super::encode("\0😀"),
            [0xc0, 0x80, 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]
        );
    }
}
