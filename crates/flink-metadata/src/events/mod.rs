//! What a file says, one thing after another, for files too large to be held as a whole.
//!
//! [`parse`](crate::parse) keeps everything. The snapshot of a large job refers to a million files, and who
//! only wants to look each of them up needs one at a time: [`events`] reads bytes that are in memory and
//! borrows every string from them, [`EventReader`] reads any [`Read`](std::io::Read) through a buffer of fixed
//! size. Both follow the grammar to the end of the file, and refuse what `parse` refuses.

mod read;
mod walk;

use std::borrow::Cow;

use crate::error::ParseError;
use crate::files::{FilePath, FileRef, SizeRule};
use crate::handle::{KeyGroupRange, Redistribution, Scope};
use crate::operator_id::OperatorId;
use crate::properties::Properties;
use crate::reader::Reader;

pub use read::{EventReader, READ_BUFFER_BYTES, ReadError};

use walk::Walk;

/// The next thing in a `_metadata` file.
///
/// They come in the order of the file: [`Begin`](Self::Begin), master states, then each operator with its
/// subtasks and all they hold, and [`End`](Self::End).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The header (`CheckpointMetadata`).
    Begin {
        /// Version of the format: 2 to 6.
        version: u32,
        /// Number of the checkpoint or savepoint in its job.
        checkpoint_id: u64,
    },
    /// State of a hook on the `JobManager` (`org.apache.flink.runtime.checkpoint.MasterState`).
    MasterState {
        /// Name of the hook.
        name: Cow<'a, str>,
        /// Length of its state in bytes.
        bytes: u64,
    },
    /// An operator begins; what follows is its own until the next.
    Operator(OperatorRef<'a>),
    /// A subtask of the operator begins; what follows is its own until the next.
    Subtask {
        /// Number of the subtask, from 0.
        index: u32,
        /// It had reached the end of its input. It holds nothing then.
        is_finished: bool,
    },
    /// A named list, union or broadcast state of the subtask (`OperatorStateHandle.StateMetaInfo`). The handle
    /// of the stream that holds it follows after all states of that stream.
    OperatorState {
        /// Name, as the program or the operator registered it.
        name: Cow<'a, str>,
        /// How it is spread when the parallelism changes.
        mode: Redistribution,
        /// How many items it has.
        items: u32,
    },
    /// Keyed state of the subtask begins; the handles of its streams follow. One inside a changelog comes
    /// after that of the changelog.
    KeyedState {
        /// How it is written.
        kind: KeyedStateFormat,
        /// The key groups.
        range: KeyGroupRange,
    },
    /// A stream of bytes: in the file itself, or in another.
    Handle(HandleRef<'a>),
    /// The end: what kind of snapshot it is, from version 4 on. Nothing comes after it, and the file was read
    /// to its last byte.
    End(Option<Properties>),
}

impl<'a> Event<'a> {
    /// The handle, if the event is one.
    #[must_use]
    pub fn into_handle(self) -> Option<HandleRef<'a>> {
        match self {
            Self::Handle(handle) => Some(handle),
            _ => None,
        }
    }
}

/// The beginning of an operator (`org.apache.flink.runtime.checkpoint.OperatorState`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRef<'a> {
    /// Name as in the job graph. From version 5 on (Flink 2.0).
    pub name: Option<Cow<'a, str>>,
    /// The uid that the program gave it, if it gave one. From version 5 on (Flink 2.0).
    pub uid: Option<Cow<'a, str>>,
    /// The id by which Flink matches the operator when it restores.
    pub id: OperatorId,
    /// Number of parallel subtasks when the snapshot was taken.
    pub parallelism: u32,
    /// Number of key groups, and so the upper bound of the parallelism.
    pub max_parallelism: u32,
}

/// How keyed state is written: which class of `KeyedStateHandle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyedStateFormat {
    /// One stream with all key groups, of the heap backend (`KeyGroupsStateHandle`).
    KeyGroups,
    /// One stream with all key groups, in a canonical savepoint (`KeyGroupsSavepointStateHandle`).
    SavepointKeyGroups,
    /// Files of an LSM tree (`IncrementalRemoteKeyedStateHandle`).
    Incremental,
    /// A base and the changes since (`ChangelogStateBackendHandleImpl`).
    Changelog,
    /// Changes in the metadata itself (`InMemoryChangelogStateHandle`).
    ChangesInMemory,
    /// Changes in files (`ChangelogStateHandleStreamImpl`).
    Changes,
}

/// A stream of bytes that a snapshot needs, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandleRef<'a> {
    /// The operator whose state it holds.
    pub operator: OperatorId,
    /// The subtask whose state it holds; `None` for the coordinator's.
    pub subtask: Option<u32>,
    /// Which state of the subtask.
    pub place: StatePlace,
    /// Which part of that state.
    pub part: StatePart<'a>,
    /// Where the bytes are.
    pub stream: StreamRef<'a>,
}

/// Which state of an operator or subtask (the fields of `OperatorSubtaskState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatePlace {
    /// Of the operator's coordinator on the `JobManager`.
    Coordinator,
    /// List, union and broadcast state that Flink serializes.
    ManagedOperator,
    /// Operator state that the operator wrote as bytes of its own.
    RawOperator,
    /// State of the keyed state backend, timers included.
    ManagedKeyed,
    /// Keyed state that the operator wrote as bytes of its own.
    RawKeyed,
    /// Records in flight on an input.
    InputChannel,
    /// Records in flight on an output.
    OutputChannel,
}

/// Which part of a state a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePart<'a> {
    /// All of it.
    Whole,
    /// The names and serializers of the states of an LSM tree.
    LsmMeta,
    /// An immutable file of an LSM tree, which other checkpoints may use too.
    LsmShared {
        /// Its name in the state backend's local directory, such as `000012.sst`. Empty for a stream inside
        /// [`StreamRef::KeyGroups`], which has told it.
        local_path: Cow<'a, str>,
    },
    /// A file of an LSM tree of this snapshot alone.
    LsmPrivate {
        /// Its name in the state backend's local directory, such as `MANIFEST-000004`. Empty for a stream
        /// inside [`StreamRef::KeyGroups`], which has told it.
        local_path: Cow<'a, str>,
    },
    /// A piece of a changelog. The size that its stream records is not the length of the file.
    Changes {
        /// Where the piece begins in the stream, in bytes before compression.
        offset: i64,
    },
}

/// Where bytes are, borrowed: see [`StreamHandle`](crate::StreamHandle) for what each is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamRef<'a> {
    /// In the metadata itself (`ByteStreamStateHandle`).
    Inline {
        /// A label that looks like a path. No such file exists.
        name: Cow<'a, str>,
        /// How many bytes.
        size: u64,
    },
    /// A file by its absolute URI (`FileStateHandle`).
    File {
        /// Absolute URI.
        path: Cow<'a, str>,
        /// Length of the file in bytes. `None` if the file system could not tell.
        size: Option<u64>,
    },
    /// A file in the directory of this `_metadata` (`RelativeFileStateHandle`).
    Relative {
        /// Path below the directory.
        path: Cow<'a, str>,
        /// Length of the file in bytes. `None` if the file system could not tell.
        size: Option<u64>,
    },
    /// A directory of key groups around the stream that is the next event (`KeyGroupsStateHandle` as a
    /// stream). Old.
    KeyGroups {
        /// The key groups.
        range: KeyGroupRange,
    },
    /// A piece of a file that several subtasks share (`SegmentFileStateHandle`).
    Segment {
        /// Where the piece begins in the file, in bytes.
        start: u64,
        /// Length of the piece in bytes.
        size: u64,
        /// Who may use the file.
        scope: Scope,
        /// Absolute URI of the merged file.
        path: Cow<'a, str>,
        /// Name of the piece (`LogicalFile.LogicalFileId`).
        logical_file_id: Cow<'a, str>,
    },
    /// No bytes at all (`EmptySegmentFileStateHandle`).
    EmptySegment,
}

impl HandleRef<'_> {
    /// The file that must be there, and how large; `None` if the bytes lie in the metadata, or there are none.
    ///
    /// These are the files of [`Metadata::files`](crate::Metadata::files), in the same order.
    #[must_use]
    pub fn file(&self) -> Option<FileRef<'_>> {
        let (path, size) = match &self.stream {
            StreamRef::Inline { .. } | StreamRef::EmptySegment | StreamRef::KeyGroups { .. } => {
                return None;
            }
            StreamRef::File { path, size } => (FilePath::Absolute(path), SizeRule::of_file(*size)),
            StreamRef::Relative { path, size } => {
                (FilePath::Relative(path), SizeRule::of_file(*size))
            }
            StreamRef::Segment {
                start, size, path, ..
            } => (
                FilePath::Absolute(path),
                SizeRule::of_segment(*start, *size),
            ),
        };
        let size = match self.part {
            StatePart::Changes { .. } => SizeRule::Exists,
            _ => size,
        };
        Some(FileRef {
            path,
            size,
            operator: self.operator,
        })
    }
}

/// What a file says, one thing after another, without holding any of it.
///
/// Besides the bytes it takes a few hundred bytes of memory, whatever they are. After an error it ends.
///
/// # Example
///
/// ```
/// use flink_metadata::{Event, events};
///
/// // Version 3, checkpoint 7, no master states, no operators.
/// let bytes = [
///     &[0x49, 0x60, 0x67, 0x2d, 0, 0, 0, 3][..],
///     &[0, 0, 0, 0, 0, 0, 0, 7],
///     &[0; 8],
/// ]
/// .concat();
/// let found: Vec<Event> = events(&bytes).collect::<Result<_, _>>()?;
/// assert_eq!(
///     found,
///     [Event::Begin { version: 3, checkpoint_id: 7 }, Event::End(None)]
/// );
///
/// // The files that it refers to:
/// let mut files = 0;
/// for event in events(&bytes) {
///     if let Some(handle) = event?.into_handle() {
///         files += usize::from(handle.file().is_some());
///     }
/// }
/// assert_eq!(files, 0);
/// # Ok::<(), flink_metadata::ParseError>(())
/// ```
#[must_use]
pub fn events(bytes: &[u8]) -> Events<'_> {
    Events {
        reader: Reader::new(bytes),
        walk: Walk::new(),
    }
}

/// The iterator that [`events`] gives.
#[derive(Debug, Clone)]
pub struct Events<'a> {
    reader: Reader<'a>,
    walk: Walk,
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.walk.quiet_step(&mut self.reader) {
                Ok(true) => {}
                Ok(false) => return self.walk.event(&mut self.reader).transpose(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
