//! Level 2's knowledge of what state files look like inside: enough to notice, while every byte
//! passes by, that a file of the right size is not what Flink wrote.
//!
//! Two forms are known. A table file of `RocksDB` (and of `ForSt`, which writes the same) ends with
//! a footer whose last eight bytes are a magic number. The stream of a canonical savepoint is a row
//! of key groups, each beginning at an offset that the metadata names, and each a row of keys and
//! values with their lengths, which must end exactly where an end mark stands
//! (`FullSnapshotAsyncWriter`, read back by `FullSnapshotRestoreOperation`). Everything else is
//! opaque: user code wrote it.
//!
//! Nothing is held but a few numbers, however long a file is.

use std::collections::BTreeMap;

use flink_metadata::{
    ChangelogDelta, FilePath, IncrementalHandle, KeyGroupsHandle, KeyGroupsKind, KeyedStateHandle,
    Metadata, StreamHandle,
};

use crate::name::Location;
use crate::verify::location_of;

/// How the names of table files end in a state backend's directory.
const TABLE_SUFFIX: &str = ".sst";
/// `RocksDB`'s `kBlockBasedTableMagicNumber`, and what it was before format version 1.
const TABLE_MAGIC: [u64; 2] = [0x88e2_41b7_85f4_cff7, 0xdb47_7524_8b80_fb57];
/// Bytes of the magic number at the end of a footer.
const MAGIC_BYTES: u64 = 8;
/// Where a canonical stream says whether its key groups are compressed: after the version of its
/// header (`KeyedBackendSerializationProxy`).
const COMPRESSED_AT: u64 = 4;
/// What stands in place of the next state's number at the end of a key group
/// (`FullSnapshotUtil.END_OF_KEY_GROUP_MARK`).
const END_OF_KEY_GROUP: u16 = 0xffff;
/// The bit of a key's first byte that says that a number follows the value
/// (`FullSnapshotUtil.FIRST_BIT_IN_BYTE_MASK`).
const NUMBER_FOLLOWS: u8 = 0x80;

/// A piece of a file whose form is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins in the file, in bytes.
    pub start: u64,
    /// Where it ends in the file, in bytes.
    pub end: u64,
    /// What it is.
    pub form: Form,
}

/// What a piece of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A table file of `RocksDB`.
    Table,
    /// A canonical stream, with the offsets of its key groups from the beginning of the piece,
    /// sorted; those of empty key groups left out.
    KeyGroups(Vec<u64>),
}

/// The pieces of each file whose form is known, sorted by where they begin.
///
/// `directory` is where the `_metadata` lies, as for [`wanted`](crate::verify::wanted).
pub fn pieces(metadata: &Metadata, directory: &Location) -> BTreeMap<Location, Vec<Piece>> {
    let mut found = Pieces {
        directory,
        files: BTreeMap::new(),
    };
    let subtasks = metadata.operators.iter().flat_map(|it| &it.subtasks);
    for state in subtasks.filter_map(|subtask| subtask.state.as_deref()) {
        // Raw keyed state is the operator's own.
        if let Some(handle) = &state.managed_keyed {
            found.keyed(handle);
        }
    }
    for pieces in found.files.values_mut() {
        pieces.sort_by_key(|piece| (piece.start, piece.end));
        pieces.dedup();
    }
    found.files
}

struct Pieces<'a> {
    directory: &'a Location,
    files: BTreeMap<Location, Vec<Piece>>,
}

impl Pieces<'_> {
    fn keyed(&mut self, handle: &KeyedStateHandle) {
        match handle {
            KeyedStateHandle::KeyGroups(handle) => self.key_groups(handle),
            KeyedStateHandle::Incremental(handle) => self.tables(handle),
            KeyedStateHandle::Changelog(handle) => {
                for base in &handle.materialized {
                    self.keyed(base);
                }
            }
            KeyedStateHandle::Delta(
                ChangelogDelta::InMemory { .. } | ChangelogDelta::Streams { .. },
            ) => {}
        }
    }

    fn key_groups(&mut self, handle: &KeyGroupsHandle) {
        // The heap backend's own format has no lengths in it.
        if !matches!(handle.kind, KeyGroupsKind::Savepoint) {
            return;
        }
        let offsets = handle.offsets.iter();
        let mut offsets: Vec<u64> = offsets
            .filter_map(|offset| u64::try_from(*offset).ok())
            .filter(|offset| *offset > 0)
            .collect();
        offsets.sort_unstable();
        offsets.dedup();
        self.piece(&handle.stream, Form::KeyGroups(offsets));
    }

    fn tables(&mut self, handle: &IncrementalHandle) {
        for file in handle.shared.iter().chain(&handle.private) {
            if file.local_path.ends_with(TABLE_SUFFIX) {
                self.piece(&file.stream, Form::Table);
            }
        }
    }

    fn piece(&mut self, stream: &StreamHandle, form: Form) {
        let (path, start, size) = match stream {
            StreamHandle::File { path, size } => (FilePath::Absolute(path), 0, *size),
            StreamHandle::Relative { path, size } => (FilePath::Relative(path), 0, *size),
            StreamHandle::Segment(segment) => {
                let path = FilePath::Absolute(&segment.path);
                (path, segment.start, Some(segment.size))
            }
            StreamHandle::KeyGroups { stream, .. } => return self.piece(stream, form),
            StreamHandle::Inline { .. } | StreamHandle::EmptySegment => return,
        };
        let Some(size) = size else {
            return;
        };
        let location = location_of(path, self.directory);
        self.files.entry(location).or_default().push(Piece {
            start,
            end: start.saturating_add(size),
            form,
        });
    }
}

/// Looks at a file as it passes by, from its first byte to its last.
#[derive(Debug)]
pub struct Watcher {
    /// How many bytes have passed.
    at: u64,
    eyes: Vec<Eye>,
}

/// What looks at one piece.
#[derive(Debug)]
struct Eye {
    start: u64,
    end: u64,
    sight: Sight,
}

#[derive(Debug)]
enum Sight {
    /// The last eight bytes so far.
    Table { tail: u64 },
    /// Where in a canonical stream it is.
    KeyGroups(KeyGroups),
    /// Nothing more to see: either there was something wrong, told once, or nothing can be.
    Done(Option<String>),
}

impl Watcher {
    /// For a file with these pieces.
    pub fn new(pieces: &[Piece]) -> Self {
        let eyes = pieces.iter().map(|piece| Eye {
            start: piece.start,
            end: piece.end,
            sight: match &piece.form {
                Form::Table => Sight::Table { tail: 0 },
                Form::KeyGroups(offsets) => Sight::KeyGroups(KeyGroups::new(offsets.clone())),
            },
        });
        Self {
            at: 0,
            eyes: eyes.collect(),
        }
    }

    /// The next bytes of the file.
    pub fn see(&mut self, bytes: &[u8]) {
        let from = self.at;
        self.at += bytes.len() as u64;
        for eye in &mut self.eyes {
            let (start, end) = (eye.start.max(from), eye.end.min(self.at));
            if start >= end {
                continue;
            }
            // Both lie within `bytes`, which is in memory.
            let within = |at: u64| usize::try_from(at - from).unwrap_or(usize::MAX);
            eye.see(&bytes[within(start)..within(end)]);
        }
    }

    /// What was wrong, once the file has passed.
    pub fn findings(self) -> Vec<String> {
        let eyes = self.eyes.into_iter();
        eyes.filter_map(Eye::finding).collect()
    }
}

impl Eye {
    fn see(&mut self, bytes: &[u8]) {
        match &mut self.sight {
            Sight::Table { tail } => {
                let last = bytes.len().saturating_sub(8);
                for byte in &bytes[last..] {
                    *tail = (*tail >> 8) | (u64::from(*byte) << 56);
                }
            }
            Sight::KeyGroups(walk) => {
                if let Err(ended) = walk.see(bytes) {
                    self.sight = Sight::Done(ended);
                }
            }
            Sight::Done(_) => {}
        }
    }

    fn finding(self) -> Option<String> {
        let size = self.end - self.start;
        match self.sight {
            Sight::Table { tail } => {
                let whole = size >= MAGIC_BYTES && TABLE_MAGIC.contains(&tail);
                (!whole).then(|| {
                    format!(
                        "byte {}: no footer of a RocksDB table",
                        self.end.saturating_sub(MAGIC_BYTES)
                    )
                })
            }
            Sight::KeyGroups(walk) => walk.end(size),
            Sight::Done(finding) => finding,
        }
        .map(|text| match self.start {
            0 => text,
            start => format!("{text} (in the piece that begins at byte {start})"),
        })
    }
}

/// A walk through a canonical stream.
#[derive(Debug)]
struct KeyGroups {
    /// Where key groups begin; what is still to come, the next one last.
    offsets: Vec<u64>,
    at: u64,
    step: Step,
}

/// What comes next in a canonical stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The header, up to the first key group.
    Header,
    /// The number of a state, or the end mark.
    Number(Bytes),
    /// How long a key is.
    KeyLength(Bytes),
    /// The rest of a key; whether a number follows its value, once its first byte has passed.
    Key { left: u32, number: Option<bool> },
    /// How long a value is.
    ValueLength { so_far: Bytes, number: bool },
    /// The rest of a value.
    Value { left: u32, number: bool },
    /// A key group has ended.
    Ended,
}

/// A big-endian number of which some bytes have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Bytes {
    value: u32,
    count: u8,
}

impl Bytes {
    /// The number, once it has `wanted` bytes.
    fn push(&mut self, byte: u8, wanted: u8) -> Option<u32> {
        self.value = (self.value << 8) | u32::from(byte);
        self.count += 1;
        (self.count == wanted).then_some(self.value)
    }
}

impl KeyGroups {
    fn new(mut offsets: Vec<u64>) -> Self {
        offsets.reverse();
        Self {
            offsets,
            at: 0,
            step: Step::Header,
        }
    }

    /// The next bytes; an error ends the walk, with what is wrong, or without where nothing can be
    /// seen.
    fn see(&mut self, mut bytes: &[u8]) -> Result<(), Option<String>> {
        while let Some(byte) = bytes.first() {
            let skipped = self.skip(bytes.len());
            if skipped > 0 {
                bytes = &bytes[skipped..];
                continue;
            }
            self.byte(*byte)?;
            self.at += 1;
            bytes = &bytes[1..];
        }
        Ok(())
    }

    /// Passes what needs no look, at most `most` bytes of it.
    fn skip(&mut self, most: usize) -> usize {
        let left = match &self.step {
            Step::Key {
                left,
                number: Some(_),
            }
            | Step::Value { left, .. } => *left,
            _ => return 0,
        };
        let skipped = most.min(left as usize);
        self.at += skipped as u64;
        // `skipped` is at most `left`.
        let rest = left - u32::try_from(skipped).unwrap_or(left);
        self.step = match self.step {
            Step::Key { number, .. } => after_key(rest, number),
            Step::Value { number, .. } => after_value(rest, number),
            other => other,
        };
        skipped
    }

    fn byte(&mut self, byte: u8) -> Result<(), Option<String>> {
        if self.at == COMPRESSED_AT && byte != 0 {
            // What is inside has other lengths.
            return Err(None);
        }
        if self.offsets.last() == Some(&self.at) {
            if !matches!(self.step, Step::Header | Step::Ended) {
                return Err(Some(format!(
                    "byte {}: a key group begins here, but the one before has not ended",
                    self.at
                )));
            }
            self.offsets.pop();
            self.step = Step::Number(Bytes::default());
        }
        let at = self.at;
        let negative = |what: &str| {
            Some(format!(
                "byte {at}: {what} of negative length in a key group"
            ))
        };
        self.step = match self.step {
            Step::Header => Step::Header,
            Step::Number(mut so_far) => match so_far.push(byte, 2) {
                None => Step::Number(so_far),
                Some(mark) if mark == u32::from(END_OF_KEY_GROUP) => Step::Ended,
                Some(_) => Step::KeyLength(Bytes::default()),
            },
            Step::KeyLength(mut so_far) => match so_far.push(byte, 4) {
                None => Step::KeyLength(so_far),
                Some(0) => return Err(Some(format!("byte {at}: an empty key in a key group"))),
                Some(length) if i32::try_from(length).is_err() => return Err(negative("a key")),
                Some(left) => Step::Key { left, number: None },
            },
            Step::Key { left, .. } => {
                let number = byte & NUMBER_FOLLOWS != 0;
                after_key(left - 1, Some(number))
            }
            Step::ValueLength { mut so_far, number } => match so_far.push(byte, 4) {
                None => Step::ValueLength { so_far, number },
                Some(length) if i32::try_from(length).is_err() => return Err(negative("a value")),
                Some(left) => after_value(left, number),
            },
            // Passed by `skip`.
            step @ Step::Value { .. } => step,
            Step::Ended => {
                return Err(Some(format!(
                    "byte {at}: bytes between two key groups that belong to neither"
                )));
            }
        };
        Ok(())
    }

    /// What is wrong at the end of a stream of `size` bytes.
    fn end(self, size: u64) -> Option<String> {
        if let Some(offset) = self.offsets.last() {
            return Some(format!(
                "byte {offset}: a key group is to begin here, but the stream has {size} bytes"
            ));
        }
        let whole = matches!(self.step, Step::Header | Step::Ended);
        (!whole).then(|| format!("byte {size}: the stream ends within a key group"))
    }
}

fn after_key(left: u32, number: Option<bool>) -> Step {
    match (left, number) {
        (0, Some(number)) => Step::ValueLength {
            so_far: Bytes::default(),
            number,
        },
        (left, number) => Step::Key { left, number },
    }
}

fn after_value(left: u32, number: bool) -> Step {
    match (left, number) {
        (0, true) => Step::Number(Bytes::default()),
        (0, false) => Step::KeyLength(Bytes::default()),
        (left, number) => Step::Value { left, number },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys and values of one state.
    type State = &'static [(&'static [u8], &'static [u8])];

    /// A canonical stream: a header, then these key groups, each of states with keys and values.
    fn stream(groups: &[&[State]]) -> (Vec<u8>, Vec<u64>) {
        let mut bytes = vec![0, 0, 0, 6, 0, 9, 9];
        let mut offsets = Vec::new();
        for group in groups {
            offsets.push(bytes.len() as u64);
            for (state, entries) in group.iter().enumerate() {
                bytes.extend(u16::try_from(state).expect("few").to_be_bytes());
                for (number, (key, value)) in entries.iter().enumerate() {
                    let mut key = key.to_vec();
                    if number + 1 == entries.len() {
                        key[0] |= NUMBER_FOLLOWS;
                    }
                    for part in [key.as_slice(), value] {
                        let length = u32::try_from(part.len()).expect("short");
                        bytes.extend(length.to_be_bytes());
                        bytes.extend(part);
                    }
                }
            }
            bytes.extend(END_OF_KEY_GROUP.to_be_bytes());
        }
        (bytes, offsets)
    }

    fn sample() -> (Vec<u8>, Vec<u64>) {
        stream(&[
            &[
                &[(b"\x01ab", b"value"), (b"\x01c", b"")],
                &[(b"\x01d", b"x")],
            ],
            &[&[(b"\x02e", b"y")]],
        ])
    }

    fn look(bytes: &[u8], form: &Form, at_once: usize) -> Vec<String> {
        let mut watcher = Watcher::new(&[Piece {
            start: 0,
            end: bytes.len() as u64,
            form: form.clone(),
        }]);
        bytes.chunks(at_once).for_each(|part| watcher.see(part));
        watcher.findings()
    }

    #[test]
    fn a_whole_stream_is_whole_however_it_is_cut() {
        let (bytes, offsets) = sample();
        for at_once in 1..=bytes.len() {
            let found = look(&bytes, &Form::KeyGroups(offsets.clone()), at_once);
            assert_eq!(found, [""; 0], "{at_once} at once");
        }
    }

    #[test]
    fn every_damaged_length_and_mark_is_told() {
        let (bytes, offsets) = sample();
        let form = Form::KeyGroups(offsets.clone());
        // The lengths and the end mark of the second key group, in which nothing else is hidden.
        let second = usize::try_from(offsets[1]).expect("short");
        for at in [second + 2, second + 5, second + 11, bytes.len() - 1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x81;
            assert_eq!(look(&damaged, &form, 7).len(), 1, "byte {at}");
        }
        for end in second..bytes.len() {
            assert_eq!(look(&bytes[..end], &form, 7).len(), 1, "cut at {end}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(look(&longer, &form, 7).len(), 1);
    }

    #[test]
    fn what_is_compressed_is_not_looked_into() {
        let (mut bytes, offsets) = sample();
        bytes[4] = 1;
        bytes[10..].fill(0xee);
        assert_eq!(look(&bytes, &Form::KeyGroups(offsets), 5), [""; 0]);
    }

    #[test]
    fn a_table_ends_with_its_magic_number() {
        for magic in TABLE_MAGIC {
            let mut bytes = vec![1; 50];
            bytes.extend(magic.to_le_bytes());
            for at_once in [1, 3, 8, 100] {
                assert_eq!(look(&bytes, &Form::Table, at_once), [""; 0]);
            }
            bytes[55] ^= 1;
            assert_eq!(
                look(&bytes, &Form::Table, 3),
                ["byte 50: no footer of a RocksDB table"]
            );
        }
        assert_eq!(look(b"abc", &Form::Table, 3).len(), 1);
    }

    #[test]
    fn pieces_of_one_file_are_looked_at_each_in_its_place() {
        let (stream, offsets) = sample();
        let mut table = vec![1; 20];
        table.extend(TABLE_MAGIC[0].to_le_bytes());
        let mut bytes = b"before".to_vec();
        let piece = |start: usize, length: usize, form: Form| Piece {
            start: start as u64,
            end: (start + length) as u64,
            form,
        };
        let pieces = [
            piece(6, table.len(), Form::Table),
            piece(6 + table.len(), stream.len(), Form::KeyGroups(offsets)),
        ];
        bytes.extend(&table);
        bytes.extend(&stream);
        bytes.extend(b"after");
        let findings = |bytes: &[u8]| {
            let mut watcher = Watcher::new(&pieces);
            bytes.chunks(5).for_each(|part| watcher.see(part));
            watcher.findings()
        };
        assert_eq!(findings(&bytes), [""; 0]);
        bytes[6 + table.len() - 1] ^= 1;
        let last = bytes.len() - 6;
        bytes[last] ^= 1;
        let found = findings(&bytes);
        assert_eq!(found.len(), 2);
        assert!(found[1].contains("piece that begins at byte"), "{found:?}");
    }
}
