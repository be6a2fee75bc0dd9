//! Names and kinds of the states of an operator.
//!
//! Those of operator state are in the metadata. Those of keyed state are not: they are in a header at the
//! beginning of each stream with key groups, and in the `meta` stream of an LSM tree
//! (`KeyedBackendSerializationProxy`): version, compression, the serializer of keys, and for each state its
//! name, its kind and its serializers (`StateMetaInfoSnapshotReadersWriters`). Serializers lie there in an
//! encoding that only their own class knows, without a length. So the states are found by what surrounds them:
//! the fixed texts after a name and its kind, and the length before it. The number of states in front of the
//! first tells when all are found.
//!
//! This crate does no I/O: whoever has the bytes gives them to [`keyed_states`], and who reads them from far
//! away lets [`read_keyed_states`] or [`HeaderScan`] say which.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::handle::{KeyedStateHandle, Redistribution, StreamHandle};
use crate::model::Operator;
use crate::mutf8;

/// How many bytes are asked for first: most headers are shorter, and a store answers 16 KiB as fast as one
/// byte.
pub const HEADER_READ_BYTES: usize = 16 << 10;
/// How many bytes are looked at in all. A header holds the schemas of its serializers, so a job with hundreds
/// of states has one of some 100 KiB.
pub const HEADER_BYTES_MAX: usize = 1 << 20;

/// `KeyedBackendSerializationProxy.VERSION` since Flink 1.7, and what it reads besides with the same layout.
const HEADER_VERSIONS: std::ops::RangeInclusive<u32> = 4..=6;
/// Version, compression.
const HEADER_START_BYTES: usize = 4 + 1;
/// `TypeSerializerSnapshotSerializationUtil`: a class name and what the class wrote.
const SERIALIZER_SNAPSHOT_VERSION: u32 = 2;
/// Follows the name of a state of the program: one option, and which
/// (`StateMetaInfoSnapshot.CommonOptionsKeys`).
const KEY_VALUE_MARK: &[u8] = b"\0\0\0\x01\0\x10KEYED_STATE_TYPE";
/// Follows the name of timers: no options, one serializer, and which
/// (`StateMetaInfoSnapshot.CommonSerializerKeys`).
const QUEUE_MARK: &[u8] = b"\0\0\0\0\0\0\0\x01\0\x10VALUE_SERIALIZER";
/// `StateMetaInfoSnapshot.BackendStateType`, as its number in the file.
mod backend_state_type {
    pub(super) const KEY_VALUE: [u8; 4] = [0, 0, 0, 0];
    pub(super) const PRIORITY_QUEUE: [u8; 4] = [0, 0, 0, 3];
    pub(super) const KEY_VALUE_V2: [u8; 4] = [0, 0, 0, 4];
}

/// What the header of a stream with keyed state tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedStates {
    /// The class that serialized the serializer of keys (a `TypeSerializerSnapshot`), if it is told.
    pub key_serializer: Option<String>,
    /// Key groups are compressed (`execution.checkpointing.snapshot-compression`).
    pub is_compressed: bool,
    /// The states, in the order of the header.
    pub states: Vec<KeyedState>,
}

/// One keyed state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyedState {
    /// Name, as in its `StateDescriptor`; that of timers begins with `_timer_state/`.
    pub name: String,
    /// What it is.
    pub kind: KeyedStateKind,
}

/// The kind of a keyed state (`StateDescriptor.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyedStateKind {
    /// One value per key (`ValueState`).
    Value,
    /// A list per key (`ListState`).
    List,
    /// A map per key (`MapState`).
    Map,
    /// A value per key that is reduced (`ReducingState`).
    Reducing,
    /// A value per key that is aggregated (`AggregatingState`).
    Aggregating,
    /// A value per key that is folded (`FoldingState`, up to Flink 1.8).
    Folding,
    /// Timers, or another queue that Flink itself keeps (`BackendStateType.PRIORITY_QUEUE`).
    Timers,
    /// A kind that the backend did not tell (`UNKNOWN`).
    Unknown,
}

impl KeyedStateKind {
    /// Its name in lower case, such as `value`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::List => "list",
            Self::Map => "map",
            Self::Reducing => "reducing",
            Self::Aggregating => "aggregating",
            Self::Folding => "folding",
            Self::Timers => "timers",
            Self::Unknown => "unknown",
        }
    }

    fn from_java(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"VALUE" => Self::Value,
            b"LIST" => Self::List,
            b"MAP" => Self::Map,
            b"REDUCING" => Self::Reducing,
            b"AGGREGATING" => Self::Aggregating,
            b"FOLDING" => Self::Folding,
            b"UNKNOWN" => Self::Unknown,
            _ => return None,
        })
    }
}

/// Why bytes are not, or not yet, the header of a stream with keyed state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The header goes on after the bytes that were given.
    #[error("the header goes on after {given} bytes: {found} states found so far")]
    NeedsMore {
        /// How many bytes were given.
        given: usize,
        /// How many states they hold.
        found: usize,
    },
    /// It does not begin as Flink 1.7 and later begin it (`KeyedBackendSerializationProxy`).
    #[error("no header of keyed state: it begins with {found:#010x}")]
    NotAHeader {
        /// The first four bytes, big endian.
        found: u32,
    },
    /// The stream ends, or [`HEADER_BYTES_MAX`] were read, before all states were found.
    #[error("the header names {found} states in {bytes} bytes, and not all that it announces")]
    Incomplete {
        /// How many states were found.
        found: usize,
        /// How many bytes were looked at.
        bytes: usize,
    },
}

/// Finds the keyed states in the header at the beginning of a stream.
///
/// # Errors
///
/// [`HeaderError::NeedsMore`] if the header is longer than what was given: ask again with more.
///
/// # Example
///
/// ```
/// use flink_metadata::{HeaderError, KeyedStateKind, keyed_states};
///
/// let mut header = vec![0, 0, 0, 6, 0]; // version, not compressed
/// header.extend([0, 0, 0, 2, 0, 1, b'K', 0, 0, 0, 1]); // the key's serializer
/// header.extend([0, 1]); // one state
/// header.extend(b"\0\x05count\0\0\0\0\0\0\0\x01\0\x10KEYED_STATE_TYPE\0\x05VALUE");
///
/// let found = keyed_states(&header)?;
/// assert_eq!(found.key_serializer.as_deref(), Some("K"));
/// assert_eq!(found.states[0].name, "count");
/// assert_eq!(found.states[0].kind, KeyedStateKind::Value);
///
/// let more = keyed_states(&header[..20]);
/// assert!(matches!(more, Err(HeaderError::NeedsMore { .. })));
/// # Ok::<(), HeaderError>(())
/// ```
pub fn keyed_states(header: &[u8]) -> Result<KeyedStates, HeaderError> {
    let needs_more = |found| HeaderError::NeedsMore {
        given: header.len(),
        found,
    };
    let Some((start, rest)) = header.split_at_checked(HEADER_START_BYTES) else {
        return Err(needs_more(0));
    };
    let version = u32::from_be_bytes([start[0], start[1], start[2], start[3]]);
    if !HEADER_VERSIONS.contains(&version) || start[4] > 1 {
        return Err(HeaderError::NotAHeader { found: version });
    }
    let mut told = KeyedStates {
        key_serializer: None,
        is_compressed: start[4] == 1,
        states: Vec::new(),
    };
    let mut announced = None;
    for at in 0..rest.len() {
        let Some((name_at, state)) = state_before(rest, at) else {
            continue;
        };
        if told.states.is_empty() {
            announced = number_before(rest, name_at);
            // What lies behind the first name is not of the key's serializer, whatever length it claims.
            told.key_serializer = class_name(&rest[..name_at]);
        }
        told.states.push(state);
        if announced == Some(told.states.len()) {
            return Ok(told);
        }
    }
    // An operator may have registered no state at all. Then nothing but the key's serializer is there, and how
    // long that is only its class knows: it looks as if more were needed.
    Err(needs_more(told.states.len()))
}

/// The state whose mark is at this place, and where the length of its name is.
fn state_before(bytes: &[u8], mark_at: usize) -> Option<(usize, KeyedState)> {
    use backend_state_type::{KEY_VALUE, KEY_VALUE_V2, PRIORITY_QUEUE};
    let (before, mark) = bytes.split_at(mark_at);
    let (before, backend_type) = before.split_last_chunk::<4>()?;
    let kind = if mark.starts_with(KEY_VALUE_MARK) {
        let is_right = [KEY_VALUE, KEY_VALUE_V2].contains(backend_type);
        let kind = text_at(&mark[KEY_VALUE_MARK.len()..]).filter(|_| is_right)?;
        KeyedStateKind::from_java(kind)?
    } else if mark.starts_with(QUEUE_MARK) && *backend_type == PRIORITY_QUEUE {
        KeyedStateKind::Timers
    } else {
        return None;
    };
    let (name_at, name) = text_that_ends(before)?;
    Some((name_at, KeyedState { name, kind }))
}

/// The text with its length in front that ends where the bytes do. Names hold no control characters, so the
/// length, whose first byte is 0 up to 255 bytes, ends the search.
fn text_that_ends(bytes: &[u8]) -> Option<(usize, String)> {
    for length in 0..=usize::from(u16::MAX) {
        let at = bytes.len().checked_sub(length + 2)?;
        let name = &bytes[at + 2..];
        if name.first().is_some_and(u8::is_ascii_control) {
            return None;
        }
        if number_at(bytes, at) == Some(length) {
            return mutf8::decode(name).map(|name| (at, name.into_owned()));
        }
    }
    None
}

fn number_at(bytes: &[u8], at: usize) -> Option<usize> {
    let (number, _) = bytes.get(at..)?.split_first_chunk::<2>()?;
    Some(usize::from(u16::from_be_bytes(*number)))
}

fn number_before(bytes: &[u8], at: usize) -> Option<usize> {
    number_at(bytes, at.checked_sub(2)?)
}

fn text_at(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(2..2 + number_at(bytes, 0)?)
}

/// The class in a serializer's snapshot.
fn class_name(snapshot: &[u8]) -> Option<String> {
    let (version, rest) = snapshot.split_first_chunk::<4>()?;
    let is_known = u32::from_be_bytes(*version) == SERIALIZER_SNAPSHOT_VERSION;
    let name = text_at(rest).filter(|_| is_known)?;
    mutf8::decode(name).map(std::borrow::Cow::into_owned)
}

/// Reads a header in small requests, where someone else does the reading: for asynchronous stores.
///
/// # Example
///
/// ```
/// use flink_metadata::HeaderScan;
///
/// let file = b"\0\0\0\x06\0\0\0\0\x02\0\x01K\0\x01\0\x01a\0\0\0\0\0\0\0\x01\0\x10KEYED_STATE_TYPE\0\x03MAP";
/// // The stream is the file from byte 0 on.
/// let mut scan = HeaderScan::new(0..file.len() as u64);
/// let states = loop {
///     let wanted = scan.wants();
///     let bytes = &file[wanted.start as usize..wanted.end as usize];
///     if let Some(found) = scan.feed(bytes)? {
///         break found.states;
///     }
/// };
/// assert_eq!(states[0].name, "a");
/// # Ok::<(), flink_metadata::HeaderError>(())
/// ```
#[derive(Debug, Clone)]
pub struct HeaderScan {
    stream: Range<u64>,
    read: Vec<u8>,
}

impl HeaderScan {
    /// For the stream that is this range of bytes of its file: of a segment from its start, otherwise from 0.
    #[must_use]
    pub fn new(stream: Range<u64>) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Which bytes of the file to read next: as many as all before together, from 16 KiB on.
    #[must_use]
    pub fn wants(&self) -> Range<u64> {
        let read = self.read.len();
        let next = read.max(HEADER_READ_BYTES).min(HEADER_BYTES_MAX - read);
        let start = self.stream.start.saturating_add(read as u64);
        let end = start.saturating_add(next as u64);
        start..end.min(self.stream.end).max(start)
    }

    /// Takes the bytes that were wanted; fewer mean that the file ends there. Gives the states when all are
    /// found, and `None` if more bytes are wanted.
    ///
    /// # Errors
    ///
    /// It is no header, or not all states were found in the whole stream.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<KeyedStates>, HeaderError> {
        let wanted = self.wants();
        self.read.extend(bytes);
        match keyed_states(&self.read) {
            Ok(found) => Ok(Some(found)),
            Err(HeaderError::NeedsMore { found, given }) => {
                let is_short = (bytes.len() as u64) < wanted.end - wanted.start;
                if is_short || self.wants().is_empty() {
                    let bytes = given;
                    return Err(HeaderError::Incomplete { found, bytes });
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Why [`read_keyed_states`] found nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadHeaderError<E> {
    /// The bytes cannot be read.
    #[error("the header of keyed state cannot be read")]
    Read(#[source] E),
    /// They are no header.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// Reads the header of the stream that is this range of bytes of its file.
///
/// `read_at(offset, bytes)` gives that many bytes of the file from the offset on, or fewer if it ends before.
///
/// # Errors
///
/// Reading fails; or as [`HeaderScan::feed`].
///
/// # Example
///
/// ```
/// use std::convert::Infallible;
/// use flink_metadata::read_keyed_states;
///
/// let file = b"\0\0\0\x06\0\0\0\0\x02\0\x01K\0\x01\0\x01a\0\0\0\0\0\0\0\x01\0\x10KEYED_STATE_TYPE\0\x03MAP";
/// let read_at = |offset: u64, bytes: usize| {
///     let from = &file[offset as usize..];
///     Ok::<_, Infallible>(from[..bytes.min(from.len())].to_vec())
/// };
/// let found = read_keyed_states(0..file.len() as u64, read_at).unwrap();
/// assert_eq!(found.states.len(), 1);
/// ```
pub fn read_keyed_states<E>(
    stream: Range<u64>,
    mut read_at: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
) -> Result<KeyedStates, ReadHeaderError<E>> {
    let mut scan = HeaderScan::new(stream);
    loop {
        let wanted = scan.wants();
        let bytes = usize::try_from(wanted.end - wanted.start).unwrap_or(HEADER_BYTES_MAX);
        let read = read_at(wanted.start, bytes).map_err(ReadHeaderError::Read)?;
        if let Some(found) = scan.feed(&read)? {
            return Ok(found);
        }
    }
}

impl KeyedStateHandle {
    /// The streams that begin with a header for [`keyed_states`]: that of the key groups, the `meta` stream of
    /// an LSM tree, or those of the base of a changelog. Changes have none.
    ///
    /// Only of managed keyed state: what an operator wrote itself is in no form that Flink knows.
    #[must_use]
    pub fn header_streams(&self) -> Vec<&StreamHandle> {
        match self {
            Self::KeyGroups(handle) => vec![&handle.stream],
            Self::Incremental(handle) => vec![&handle.meta],
            Self::Changelog(handle) => {
                let bases = handle.materialized.iter();
                bases.flat_map(Self::header_streams).collect()
            }
            Self::Delta(_) => Vec::new(),
        }
    }
}

impl Operator {
    /// Names of the managed operator states of all subtasks, and how each is spread when the parallelism
    /// changes.
    #[must_use]
    pub fn operator_states(&self) -> BTreeMap<&str, Redistribution> {
        let states = self.subtasks.iter().filter_map(|it| it.state.as_deref());
        let handles = states.filter_map(|state| state.managed_operator.as_ref());
        let states = handles.flat_map(|handle| &handle.states);
        states.map(|it| (it.name.as_str(), it.mode)).collect()
    }
}
