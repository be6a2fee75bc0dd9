//! Reads the `_metadata` file of Apache Flink savepoints and checkpoints.
//!
//! A snapshot of a Flink job is a file named `_metadata` and the files that it refers to. Flink
//! writes `_metadata` last, so it is the snapshot's commit point; and it lists all the rest:
//! operators, parallelism, and every file with its size. This crate turns its bytes into owned
//! structures. It does no I/O, needs no JVM, and depends on no Flink.
//!
//! | to | use |
//! |---|---|
//! | read a file whole | [`parse`] |
//! | pass over a file of a million handles without holding them | [`events`] on bytes, [`EventReader`] on any [`Read`](std::io::Read) |
//! | know which files must be there, and how large | [`Metadata::files`], [`HandleRef::file`] |
//! | find contradictions | [`Metadata::anomalies`] |
//! | know the operator states by name | [`Operator::operator_states`] |
//! | know the keyed states by name and kind | [`keyed_states`], [`HeaderScan`], [`read_keyed_states`] |
//! | know where its bytes lie | [`Operator::bytes_by_kind`], [`Operator::spread_over_subtasks`], [`Operator::spread_over_key_groups`] |
//! | give operators of old files their names | [`OperatorId::from_uid`] |
//!
//! # Example
//!
//! ```
//! use flink_metadata::{FilePath, FileRef, OperatorId, SizeRule, parse};
//!
//! // In practice: the bytes of `<savepoint directory>/_metadata`. Here a file of version 2, made by
//! // hand, with one operator, whose only subtask keeps all four key groups in one file.
//! let mut bytes = vec![0x49, 0x60, 0x67, 0x2d, 0, 0, 0, 2]; // magic number, version
//! bytes.extend(7_i64.to_be_bytes()); // checkpoint id
//! bytes.extend([0, 0, 0, 0, 0, 0, 0, 1]); // no master states, one operator
//! bytes.extend(OperatorId::from_uid("counts").0);
//! bytes.extend([0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1]); // parallelism, maximum, chain length
//! bytes.extend([0, 0, 0, 1, 0, 0, 0, 0]); // one subtask: number 0
//! bytes.extend([0; 12 + 8]); // legacy state, no operator state
//! bytes.extend([3, 0, 0, 0, 0, 0, 0, 0, 4]); // key groups 0 to 3
//! bytes.extend([0; 4 * 8]); // their offsets
//! bytes.extend([6, 0, 4, b'8', b'a', b'1', b'f']); // a relative file
//! bytes.extend(512_i64.to_be_bytes()); // its size
//! bytes.push(0); // no raw keyed state
//!
//! let metadata = parse(&bytes)?;
//! assert_eq!(metadata.checkpoint_id, 7);
//! assert_eq!(metadata.operators[0].id, OperatorId::from_uid("counts"));
//! assert_eq!(metadata.state_bytes(), 512);
//!
//! let files: Vec<FileRef> = metadata.files().collect();
//! assert_eq!(files[0].path, FilePath::Relative("8a1f"));
//! assert_eq!(files[0].size, SizeRule::Exactly(512));
//!
//! // One byte less, and the file is refused.
//! let error = parse(&bytes[..bytes.len() - 1]).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "byte 136, in operator 0 > subtask 0 > raw keyed state: \
//!      the file ends too soon: 1 bytes needed, 0 left"
//! );
//! # Ok::<(), flink_metadata::ParseError>(())
//! ```
//!
//! # Which files can be read
//!
//! | version | written by Flink | holds besides |
//! |---|---|---|
//! | 1 | 1.1, 1.2 | refused, as by Flink itself |
//! | 2 | 1.3 to 1.10 | |
//! | 3 | 1.11 to 1.15 | coordinator state, records in flight, finished subtasks |
//! | 4 | 1.16 to 1.20 | [`Properties`]: what kind of snapshot it is |
//! | 5 | 2.0 | names and uids of operators |
//! | 6 | 2.1 to 2.3 | merged records in flight |
//! | 7 and later | no release up to 2.3 | refused: [`ParseErrorKind::UnsupportedVersion`] |
//!
//! All handles are read: key groups, LSM files, changelogs, merged files, records in flight. One
//! layout is not: Flink 1.14 had a changelog backend of its own encoding, which no released job
//! could use.
//!
//! # What a parsed file proves
//!
//! The grammar ends exactly where the file must, so a file that is cut off at any byte is an error.
//! Every tag, length and count that is changed is an error, an anomaly or a missing file; the tests
//! change each bit of 40 real snapshots. But the format has no checksum: a changed byte inside a
//! name or an offset goes unseen. [`Metadata::anomalies`] finds contradictions; [`Metadata::files`]
//! tells what to look up. Whether a job can use the state, only Flink can tell.
//!
//! Where Flink's reader is lenient, this one is not, and refuses what no release writes: bytes after
//! the end, booleans and presence flags other than 0 and 1, properties of unknown classes.
//!
//! # Files of a million handles
//!
//! [`parse`] keeps everything, in about twice the size of the file. [`EventReader`] takes
//! [`READ_BUFFER_BYTES`] for a file of any size, [`events`] takes no memory at all besides the bytes
//! it is given; both borrow paths and names instead of copying them.
//!
//! ```
//! use flink_metadata::{EventReader, FilePath, ReadError};
//!
//! /// The absolute paths that a snapshot refers to, one after another.
//! fn print_absolute(source: impl std::io::Read) -> Result<(), ReadError> {
//!     let mut reader = EventReader::new(source);
//!     while let Some(event) = reader.next_event()? {
//!         let Some(handle) = event.into_handle() else { continue };
//!         if let Some(FilePath::Absolute(uri)) = handle.file().map(|file| file.path) {
//!             println!("{} needs {uri}", handle.operator);
//!         }
//!     }
//!     Ok(())
//! }
//! # print_absolute(&[&[0x49, 0x60, 0x67, 0x2d, 0, 0, 0, 3][..], &[0; 16]].concat()[..])?;
//! # Ok::<(), ReadError>(())
//! ```
//!
//! # Hostile bytes
//!
//! Counts are checked against the bytes that are left before anything is allocated, lists grow with
//! what is really read, and nesting ends at [`MAX_DEPTH`]. So any input is answered, without a
//! panic, in time proportional to its length and in memory of at most about a hundred times its
//! length. How many bytes to read into memory at all is for the caller to limit.
//!
//! Strings are Java's and may hold half of a surrogate pair, which Rust's cannot: it becomes
//! U+FFFD.
//!
//! # Feature `write`
//!
//! Adds `write`, the inverse of [`parse`], for tests and fuzzing. Off by default.

mod anomaly;
mod error;
mod events;
mod files;
mod handle;
mod java;
mod kind;
mod model;
mod mutf8;
mod operator_id;
mod parse;
mod parse_handle;
mod properties;
mod reader;
mod sizes;
mod spread;
mod states;
#[cfg(feature = "write")]
mod write;

pub use anomaly::{Anomaly, AnomalyKind, MAX_PARALLELISM_LIMIT};
pub use error::{ParseError, ParseErrorKind, Place};
pub use events::{
    Event, EventReader, Events, HandleRef, KeyedStateFormat, OperatorRef, READ_BUFFER_BYTES,
    ReadError, StatePart, StatePlace, StreamRef, events,
};
pub use files::{FilePath, FileRef, SizeRule};
pub use handle::{
    BackendFile, ChangelogDelta, ChangelogHandle, ChangelogStream, Channel, ChannelState,
    FileMerging, IncrementalDetails, IncrementalHandle, KeyGroupRange, KeyGroupsHandle,
    KeyGroupsKind, KeyedStateHandle, OperatorState, OperatorStateHandle, Redistribution, Scope,
    Segment, StateChange, StreamHandle,
};
pub use kind::SnapshotType;
pub use model::{MasterState, Metadata, Operator, Subtask, SubtaskState};
pub use operator_id::{OperatorId, OperatorIdError};
pub use parse::{VERSION_MAX, VERSION_MIN, parse};
pub use properties::{Properties, SavepointFormat, SnapshotKind};
pub use reader::MAX_DEPTH;
pub use sizes::StateBytes;
pub use spread::{OperatorStateSum, Spread};
pub use states::{
    HEADER_BYTES_MAX, HEADER_READ_BYTES, HeaderError, HeaderScan, KeyedState, KeyedStateKind,
    KeyedStates, ReadHeaderError, keyed_states, read_keyed_states,
};
#[cfg(feature = "write")]
pub use write::{WriteError, write};

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
