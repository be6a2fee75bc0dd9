//! A cursor over the bytes: the primitives of `java.io.DataInput`, with every length checked before
//! it is used.
//!
//! No count from the file is believed: it must fit into the bytes that are left, and lists grow
//! only as their items are really read. So the memory used is bounded by the size of the input,
//! whatever the bytes say.

use std::borrow::Cow;

use crate::error::{ParseError, ParseErrorKind, Within};
use crate::mutf8;

/// How deep handles, and objects of the Java-serialized properties, may lie in one another.
///
/// Flink nests three levels (changelog, key groups, stream); its Java objects nest four. The limit
/// keeps hostile bytes from exhausting the stack.
pub const MAX_DEPTH: usize = 16;

#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    /// Where `bytes` begin in the file.
    base: usize,
    /// Whether the file ends where `bytes` do.
    is_last: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            depth: 0,
            base: 0,
            is_last: true,
        }
    }

    /// Over a part of a file, which begins at `base`.
    pub(crate) fn of_part(bytes: &'a [u8], base: usize, is_last: bool) -> Self {
        Self {
            base,
            is_last,
            ..Self::new(bytes)
        }
    }

    /// Offset in the file.
    pub(crate) fn at(&self) -> usize {
        self.base + self.at
    }

    /// Whether the file ends where the bytes do.
    pub(crate) fn is_last(&self) -> bool {
        self.is_last
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], ParseError> {
        let left = self.left();
        let Some(found) = self.bytes[self.at..].get(..count) else {
            return Err(self.error(ParseErrorKind::Truncated {
                needed: count,
                left,
            }));
        };
        self.at += count;
        Ok(found)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ParseError> {
        self.array().map(|[byte]| byte)
    }

    /// What `writeBoolean` writes. `readBoolean` takes any byte but zero for true, but nothing writes those.
    pub(crate) fn bool(&mut self) -> Result<bool, ParseError> {
        let at = self.at();
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            found => {
                let (what, found) = ("a boolean", found.into());
                Err(ParseError::new(
                    at,
                    ParseErrorKind::BadValue { what, found },
                ))
            }
        }
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ParseError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, ParseError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn u32_bits(&mut self) -> Result<u32, ParseError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, ParseError> {
        self.array().map(i64::from_be_bytes)
    }

    /// An `int` that must not be negative.
    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, ParseError> {
        let at = self.at();
        let found = self.i32()?;
        u32::try_from(found).map_err(|_| {
            ParseError::new(
                at,
                ParseErrorKind::BadValue {
                    what,
                    found: found.into(),
                },
            )
        })
    }

    /// A `long` that must not be negative.
    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, ParseError> {
        let at = self.at();
        let found = self.i64()?;
        u64::try_from(found)
            .map_err(|_| ParseError::new(at, ParseErrorKind::BadValue { what, found }))
    }

    /// A size in bytes, where -1 stands for unknown.
    pub(crate) fn size(&mut self, what: &'static str) -> Result<Option<u64>, ParseError> {
        if self.bytes[self.at..].starts_with(&(-1_i64).to_be_bytes()) {
            self.at += 8;
            return Ok(None);
        }
        self.u64(what).map(Some)
    }

    pub(crate) fn string(&mut self) -> Result<String, ParseError> {
        self.text().map(Cow::into_owned)
    }

    /// A string, borrowed where its bytes are those of Rust's.
    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>, ParseError> {
        let at = self.at();
        let length = usize::from(self.u16()?);
        let bytes = self.bytes(length)?;
        mutf8::decode(bytes).ok_or_else(|| ParseError::new(at, ParseErrorKind::BadString))
    }

    /// `int` length, then that many bytes.
    pub(crate) fn blob(&mut self, what: &'static str) -> Result<Vec<u8>, ParseError> {
        let count = self.count(what, 1)?;
        Ok(self.bytes(count)?.to_vec())
    }

    /// The number of items that follow, each of which takes at least `bytes_min` bytes.
    pub(crate) fn count(
        &mut self,
        what: &'static str,
        bytes_min: usize,
    ) -> Result<usize, ParseError> {
        let at = self.at();
        let count = self.u32(what)?;
        self.fits(at, what, count, bytes_min)
    }

    /// Refuses a count of items of at least `bytes_min` bytes each that cannot fit into what is
    /// left of the file, if that is known.
    pub(crate) fn fits(
        &self,
        at: usize,
        what: &'static str,
        count: u32,
        bytes_min: usize,
    ) -> Result<usize, ParseError> {
        let left = self.left();
        match usize::try_from(count) {
            Ok(items) if !self.is_last || items <= left / bytes_min => Ok(items),
            _ => Err(ParseError::new(
                at,
                ParseErrorKind::CountTooLarge { what, count, left },
            )),
        }
    }

    /// `int` count, then that many items of at least `bytes_min` bytes each.
    pub(crate) fn list<T>(
        &mut self,
        item_name: &'static str,
        bytes_min: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let count = self.count(item_name, bytes_min)?;
        let mut items = Vec::new();
        for index in 0..count {
            items.push(item(self).within_item(item_name, index)?);
        }
        Ok(items)
    }

    /// As many `long`s as said, which must fit.
    pub(crate) fn longs(&mut self, count: u32) -> Result<Vec<i64>, ParseError> {
        let count = self.fits(self.at(), "offsets", count, 8)?;
        (0..count).map(|_| self.i64()).collect()
    }

    /// Reads one level deeper, up to [`MAX_DEPTH`].
    pub(crate) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(ParseErrorKind::TooDeep { max: MAX_DEPTH }));
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }

    pub(crate) fn error(&self, kind: ParseErrorKind) -> ParseError {
        ParseError::new(self.at(), kind)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_count_that_cannot_fit_is_refused_before_the_items() {
        let bytes = [0x7f, 0xff, 0xff, 0xff, 1, 2, 3];
        let mut reader = Reader::new(&bytes);
        let error = reader.list("items", 1, |_| -> Result<(), ParseError> {
            panic!("an item was read")
        });
        assert_eq!(
            error.unwrap_err().kind,
            ParseErrorKind::CountTooLarge {
                what: "items",
                count: 0x7fff_ffff,
                left: 3
            }
        );
    }

    #[test]
    fn a_count_must_fit_with_the_size_of_its_items() {
        let bytes = [0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(Reader::new(&bytes).count("items", 4).unwrap(), 2);
        assert!(Reader::new(&bytes).count("items", 5).is_err());
        assert!(Reader::new(&bytes[..11]).count("items", 4).is_err());
    }

    #[test]
    fn depth_is_bounded() {
        fn descend(reader: &mut Reader<'_>, reached: &mut usize) -> Result<(), ParseError> {
            reader.deeper(|reader| {
                *reached += 1;
                descend(reader, reached)
            })
        }
        let mut reached = 0;
        let kind = descend(&mut Reader::new(&[]), &mut reached)
            .unwrap_err()
            .kind;
        assert_eq!(kind, ParseErrorKind::TooDeep { max: MAX_DEPTH });
        assert_eq!(reached, MAX_DEPTH);
    }

    #[test]
    fn minus_one_is_an_unknown_size_and_other_negatives_are_wrong() {
        assert_eq!(
            Reader::new(&(-1_i64).to_be_bytes()).size("size").unwrap(),
            None
        );
        assert_eq!(
            Reader::new(&7_i64.to_be_bytes()).size("size").unwrap(),
            Some(7)
        );
        let kind = Reader::new(&(-2_i64).to_be_bytes())
            .size("size")
            .unwrap_err()
            .kind;
        assert_eq!(
            kind,
            ParseErrorKind::BadValue {
                what: "size",
                found: -2
            }
        );
    }
}
