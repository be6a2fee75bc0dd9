//! A baseline as bytes: one value for each savepoint, as small as what is in it.
//!
//! A savepoint has up to some hundred thousand files, and a checksum has no pattern: nearly all of a
//! baseline is 32 bytes a file that nothing can make smaller. What can be left out is what the names
//! share, so each name stands as the length of what it shares with the one before, and the rest. What
//! follows is Flink's UUID, 36 characters of 16 random bytes. Of a hundred thousand files that is
//! 7.0 MB; a row for each file takes 9.0 MB, and deflate would make it 6.1 MB, for a dependency.
//!
//! Numbers are LEB128, as `WebAssembly` and Protocol Buffers have them; signed ones zigzag.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Baseline, Digest, Listed};
use crate::name::Location;

/// The first byte: this layout, of what level 1 saw.
const LISTED: u8 = 1;
/// The first byte: this layout, of checksums.
const READ: u8 = 2;
/// Bits of a file's first byte after its name: what was told of it.
const HAS_ETAG: u64 = 1;
/// The same, for the time of modification.
const HAS_MODIFIED: u64 = 2;

/// Bytes that are no baseline, or one of a later release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} of a stored baseline is not what this release writes")]
pub struct DecodeError {
    /// Where.
    pub at: usize,
}

impl Baseline {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Out::default();
        match self {
            Self::Listed { at, files } => {
                out.head(LISTED, *at, files.len());
                for (location, it) in files {
                    out.name(location);
                    out.listed(it);
                }
            }
            Self::Read { at, files } => {
                out.head(READ, *at, files.len());
                for (location, it) in files {
                    out.name(location);
                    out.number(it.bytes);
                    out.bytes.extend_from_slice(&it.sha256);
                }
            }
        }
        out.bytes
    }

    /// From bytes.
    ///
    /// # Errors
    /// [`DecodeError`], where they are anything else than [`Baseline::encode`] gives.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut read = In {
            bytes,
            at: 0,
            name: String::new(),
        };
        let kind = read.take(1)?[0];
        let at = read.instant()?;
        let count = read.number()?;
        let baseline = match kind {
            LISTED => Self::Listed {
                at,
                files: read.files(count, In::listed)?,
            },
            READ => Self::Read {
                at,
                files: read.files(count, In::digest)?,
            },
            _ => return Err(DecodeError { at: 0 }),
        };
        if read.at == bytes.len() {
            Ok(baseline)
        } else {
            Err(read.wrong())
        }
    }
}

#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    name: String,
}

impl Out {
    fn head(&mut self, kind: u8, at: Timestamp, files: usize) {
        self.bytes.push(kind);
        self.signed(at.as_second());
        self.signed(at.subsec_nanosecond().into());
        self.number(files as u64);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }

    fn signed(&mut self, number: i64) {
        self.number((number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn name(&mut self, location: &Location) {
        let name = location.as_str();
        let pairs = self.name.char_indices().zip(name.chars());
        let differs = |((_, a), b): &((usize, char), char)| a != b;
        let shared = pairs
            .clone()
            .find(differs)
            .map_or_else(|| self.name.len().min(name.len()), |((at, _), _)| at);
        self.number(shared as u64);
        self.text(&name[shared..]);
        name.clone_into(&mut self.name);
    }

    fn listed(&mut self, it: &Listed) {
        let etag = it.etag.as_ref().map_or(0, |_| HAS_ETAG);
        let modified = it.modified_ms.map_or(0, |_| HAS_MODIFIED);
        self.number(etag | modified);
        self.number(it.bytes);
        if let Some(etag) = &it.etag {
            self.text(etag);
        }
        if let Some(modified_ms) = it.modified_ms {
            self.signed(modified_ms);
        }
    }
}

struct In<'a> {
    bytes: &'a [u8],
    at: usize,
    name: String,
}

impl<'a> In<'a> {
    fn wrong(&self) -> DecodeError {
        DecodeError { at: self.at }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or_else(|| self.wrong())?;
        self.at += count;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let part = u64::from(byte & 0x7f);
            // What does not fit, and what could be written shorter, was never written.
            if part << shift >> shift != part || (byte == 0 && shift > 0) {
                return Err(self.wrong());
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.wrong())
    }

    fn signed(&mut self) -> Result<i64, DecodeError> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn instant(&mut self) -> Result<Timestamp, DecodeError> {
        let (second, nanosecond) = (self.signed()?, self.signed()?);
        let nanosecond = i32::try_from(nanosecond).map_err(|_| self.wrong())?;
        Timestamp::new(second, nanosecond).map_err(|_| self.wrong())
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = usize::try_from(self.number()?).map_err(|_| self.wrong())?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.wrong())
    }

    fn name(&mut self) -> Result<Location, DecodeError> {
        let shared = usize::try_from(self.number()?).map_err(|_| self.wrong())?;
        if !self.name.is_char_boundary(shared) {
            return Err(self.wrong());
        }
        let rest = self.text()?;
        self.name.truncate(shared);
        self.name.push_str(rest);
        Ok(Location::new(&self.name))
    }

    fn listed(&mut self) -> Result<Listed, DecodeError> {
        let told = self.number()?;
        if told > HAS_ETAG | HAS_MODIFIED {
            return Err(self.wrong());
        }
        let bytes = self.number()?;
        let etag = match told & HAS_ETAG {
            0 => None,
            _ => Some(self.text()?.to_owned()),
        };
        let modified_ms = match told & HAS_MODIFIED {
            0 => None,
            _ => Some(self.signed()?),
        };
        Ok(Listed {
            bytes,
            etag,
            modified_ms,
        })
    }

    fn digest(&mut self) -> Result<Digest, DecodeError> {
        let bytes = self.number()?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.take(32)?);
        Ok(Digest { bytes, sha256 })
    }

    /// Nothing is allocated for files that are not there: a count may be any number.
    fn files<T>(
        &mut self,
        count: u64,
        one: impl Fn(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<BTreeMap<Location, T>, DecodeError> {
        let mut files = BTreeMap::new();
        for _ in 0..count {
            let location = self.name()?;
            let it = one(self)?;
            if files.insert(location, it).is_some() {
                return Err(self.wrong());
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn location() -> impl Strategy<Value = Location> {
        "(s3://b|/sp)/[a-c]{0,3}/?[a-cäö]{1,4}".prop_map(Location::new)
    }

    fn instant() -> impl Strategy<Value = Timestamp> {
        (-2_000_000_000..4_000_000_000_i64, 0..1_000_000_000)
            .prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap())
    }

    fn baseline() -> impl Strategy<Value = Baseline> {
        let listed = (
            any::<u64>(),
            proptest::option::of("\"?[a-f0-9ü-]{0,40}\"?"),
            proptest::option::of(any::<i64>()),
        )
            .prop_map(|(bytes, etag, modified_ms)| Listed {
                bytes,
                etag,
                modified_ms,
            });
        let digest =
            (any::<u64>(), any::<[u8; 32]>()).prop_map(|(bytes, sha256)| Digest { bytes, sha256 });
        let listed = proptest::collection::btree_map(location(), listed, 0..20);
        let digests = proptest::collection::btree_map(location(), digest, 0..20);
        prop_oneof![
            (instant(), listed).prop_map(|(at, files)| Baseline::Listed { at, files }),
            (instant(), digests).prop_map(|(at, files)| Baseline::Read { at, files }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(baseline in baseline()) {
            prop_assert_eq!(Baseline::decode(&baseline.encode()), Ok(baseline));
        }

        #[test]
        fn what_is_cut_off_or_too_long_is_refused(baseline in baseline(), more in any::<u8>()) {
            let mut bytes = baseline.encode();
            for length in 0..bytes.len() {
                prop_assert!(Baseline::decode(&bytes[..length]).is_err());
            }
            bytes.push(more);
            prop_assert!(Baseline::decode(&bytes).is_err());
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Baseline::decode(&bytes);
        }
    }

    /// As Flink names files in a savepoint, and S3 their contents.
    #[test]
    fn a_hundred_thousand_files_are_a_few_megabytes() {
        const FILES: u64 = 100_000;
        let number = |file: u64| file.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = |file: u64| {
            let hex = format!("{:016x}{:016x}", number(file), number(file + FILES));
            let uuid = [0..8, 8..12, 12..16, 16..20, 20..32].map(|digits| &hex[digits]);
            let directory = "s3://state/savepoints/orders/20261122T010000Z-1/savepoint-aeb210-3f00";
            Location::new(directory).join(&uuid.join("-"))
        };
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let listed = Baseline::Listed {
            at,
            files: (0..FILES)
                .map(|file| {
                    let listed = Listed {
                        bytes: number(file) >> 40,
                        etag: Some(format!("\"{:032x}\"", number(file))),
                        modified_ms: Some(1_800_000_000_000),
                    };
                    (place(file), listed)
                })
                .collect(),
        };
        let read = Baseline::Read {
            at,
            files: (0..FILES)
                .map(|file| {
                    let mut sha256 = [0; 32];
                    sha256[..8].copy_from_slice(&number(file).to_le_bytes());
                    let bytes = number(file) >> 40;
                    (place(file), Digest { bytes, sha256 })
                })
                .collect(),
        };
        // 33 digits that no other name has, lengths, and what was told.
        for (baseline, bytes_a_file_max) in [(listed, 85), (read, 75)] {
            let bytes = baseline.encode();
            let a_file = bytes.len() as u64 / FILES;
            assert!(a_file <= bytes_a_file_max, "{a_file} bytes a file");
            assert_eq!(Baseline::decode(&bytes).as_ref(), Ok(&baseline));
        }
    }
}
