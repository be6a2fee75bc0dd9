//! Operator ids: the 16 bytes by which Flink finds an operator's state again.
//!
//! Flink derives the id from the operator's uid with `MurmurHash3` (128 bits, x64 variant, seed 0,
//! of the UTF-8 bytes) in `StreamGraphHasherV2`. An operator without a uid gets a hash of the
//! topology, which cannot be computed from the outside. Files of Flink before 2.0 hold ids only, so
//! hashing a known list of uids is the way to name their operators.

use std::fmt;
use std::str::FromStr;

/// The id of an operator (`org.apache.flink.runtime.jobgraph.OperatorID`), as its 16 bytes lie in
/// the file.
///
/// `Display` gives 32 lower-case hexadecimal digits, in the order in which Flink's log and REST API
/// print them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperatorId(pub [u8; 16]);

impl OperatorId {
    /// The id that Flink gives an operator with this uid.
    ///
    /// ```
    /// let id = flink_metadata::OperatorId::from_uid("keyed-uid");
    /// assert_eq!(id.to_string(), "0280cff30166c8fe8bb88cc69f845dc0");
    /// ```
    #[must_use]
    pub fn from_uid(uid: &str) -> Self {
        let (first, second) = murmur3_x64_128(uid.as_bytes());
        let mut id = [0; 16];
        id[..8].copy_from_slice(&first.to_le_bytes());
        id[8..].copy_from_slice(&second.to_le_bytes());
        Self(id)
    }
}

impl fmt::Display for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorId({self})")
    }
}

/// A text that is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an operator id is 32 hexadecimal digits")]
pub struct OperatorIdError;

impl FromStr for OperatorId {
    type Err = OperatorIdError;

    /// Reads what `Display` writes; upper-case digits are accepted too.
    fn from_str(text: &str) -> Result<Self, OperatorIdError> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return Err(OperatorIdError);
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Ok(Self(id))
    }
}

fn hex_digit(digit: u8) -> Result<u8, OperatorIdError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(OperatorIdError),
    }
}

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// `MurmurHash3_x64_128` with seed 0, as its author published it into the public domain.
fn murmur3_x64_128(bytes: &[u8]) -> (u64, u64) {
    let (mut h1, mut h2) = (0_u64, 0_u64);
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let (k1, k2) = halves(block);
        h1 ^= mix_k1(k1);
        h1 = h1
            .rotate_left(27)
            .wrapping_add(h2)
            .wrapping_mul(5)
            .wrapping_add(0x52dc_e729);
        h2 ^= mix_k2(k2);
        h2 = h2
            .rotate_left(31)
            .wrapping_add(h1)
            .wrapping_mul(5)
            .wrapping_add(0x3849_5ab5);
    }
    // A tail padded with zeros mixes to the same value as a tail mixed byte by byte: mixing zero
    // gives zero.
    let mut last = [0; 16];
    last[..tail.len()].copy_from_slice(tail);
    let (k1, k2) = halves(&last);
    h1 ^= mix_k1(k1);
    h2 ^= mix_k2(k2);

    h1 ^= bytes.len() as u64;
    h2 ^= bytes.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = avalanche(h1);
    h2 = avalanche(h2);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2)
}

fn halves(block: &[u8; 16]) -> (u64, u64) {
    let (mut low, mut high) = ([0; 8], [0; 8]);
    low.copy_from_slice(&block[..8]);
    high.copy_from_slice(&block[8..]);
    (u64::from_le_bytes(low), u64::from_le_bytes(high))
}

fn mix_k1(k: u64) -> u64 {
    k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mix_k2(k: u64) -> u64 {
    k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn avalanche(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn uids_hash_as_flink_hashed_them() {
        for (uid, id) in [
            ("src-uid", "65eb651c08e51afc6b01b9ec8c609cba"),
            ("keyed-uid", "0280cff30166c8fe8bb88cc69f845dc0"),
        ] {
            assert_eq!(OperatorId::from_uid(uid).to_string(), id);
        }
    }

    #[test]
    fn a_uid_of_several_blocks_hashes_as_the_reference_does() {
        // The reference implementation's own value for this sentence.
        let id = OperatorId::from_uid("The quick brown fox jumps over the lazy dog");
        let (h1, h2) = (0xe34b_bc7b_bc07_1b6c_u64, 0x7a43_3ca9_c49a_9347_u64);
        assert_eq!(id.0[..8], h1.to_le_bytes());
        assert_eq!(id.0[8..], h2.to_le_bytes());
    }

    #[test]
    fn text_and_id_are_inverse() {
        let id = OperatorId::from_uid("src-uid");
        assert_eq!(id.to_string().parse::<OperatorId>().unwrap(), id);
        assert_eq!(
            id.to_string().to_uppercase().parse::<OperatorId>().unwrap(),
            id
        );
        assert_eq!("65eb".parse::<OperatorId>(), Err(OperatorIdError));
        assert_eq!(
            "g5eb651c08e51afc6b01b9ec8c609cba".parse::<OperatorId>(),
            Err(OperatorIdError)
        );
    }
}
