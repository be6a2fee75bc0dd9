//! The files that a snapshot consists of besides its `_metadata`, and how large each must be.
//!
//! The rules come from comparing real snapshots with their directories: for ordinary files the
//! recorded size is exactly the file's; a segment needs the file to reach its end; and of a
//! changelog only the existence can be checked, because Flink counts its bytes before compression
//! and without a flag byte.

use crate::handle::{ChangelogDelta, ChannelState, KeyedStateHandle, StreamHandle};
use crate::model::{Metadata, Operator, SubtaskState};
use crate::operator_id::OperatorId;

/// A reference from the metadata to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRef<'a> {
    /// Where the file is.
    pub path: FilePath<'a>,
    /// How large it must be.
    pub size: SizeRule,
    /// The operator whose state is in it.
    pub operator: OperatorId,
}

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FilePath<'a> {
    /// Below the directory that holds the `_metadata`.
    Relative(&'a str),
    /// An absolute URI, such as `s3://bucket/key` or `file:/a/b`.
    Absolute(&'a str),
}

/// How large a file must be, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeRule {
    /// This large.
    Exactly(u64),
    /// This large or larger.
    AtLeast(u64),
    /// The metadata does not say. The file must exist.
    Exists,
}

impl SizeRule {
    /// For a file of a recorded length; `None` if the file system could not tell it.
    pub(crate) fn of_file(size: Option<u64>) -> Self {
        size.map_or(Self::Exists, Self::Exactly)
    }

    /// For a file that holds a piece: it must reach the piece's end.
    pub(crate) fn of_segment(start: u64, size: u64) -> Self {
        Self::AtLeast(start.saturating_add(size))
    }

    /// Whether a file of `bytes` bytes follows the rule.
    ///
    /// ```
    /// use flink_metadata::SizeRule;
    ///
    /// assert!(SizeRule::AtLeast(10).allows(11));
    /// assert!(!SizeRule::Exactly(10).allows(11));
    /// ```
    #[must_use]
    pub fn allows(self, bytes: u64) -> bool {
        match self {
            Self::Exactly(size) => bytes == size,
            Self::AtLeast(size) => bytes >= size,
            Self::Exists => true,
        }
    }
}

impl Metadata {
    /// Every reference to a file, in the order of the metadata.
    ///
    /// A file comes as often as it is referred to: subtasks share segments and channel state. State
    /// that lies in the metadata itself gives none, so a small job's savepoint may have no files at
    /// all.
    ///
    /// A relative path is data, not something to trust: it may hold `..`.
    pub fn files(&self) -> impl Iterator<Item = FileRef<'_>> {
        self.operators.iter().flat_map(operator_files)
    }
}

fn operator_files(operator: &Operator) -> impl Iterator<Item = FileRef<'_>> {
    let mut found = Collector {
        operator: operator.id,
        files: Vec::new(),
    };
    if let Some(stream) = &operator.coordinator {
        found.stream(stream);
    }
    for state in operator
        .subtasks
        .iter()
        .filter_map(|subtask| subtask.state.as_deref())
    {
        found.subtask(state);
    }
    found.files.into_iter()
}

impl SubtaskState {
    /// Every stream of the subtask, in the order of the metadata.
    pub(crate) fn streams(&self) -> Vec<&StreamHandle> {
        let operator = [&self.managed_operator, &self.raw_operator];
        let mut streams: Vec<_> = operator
            .into_iter()
            .flatten()
            .map(|it| &it.stream)
            .collect();
        for handle in [&self.managed_keyed, &self.raw_keyed].into_iter().flatten() {
            handle.push_streams(&mut streams);
        }
        let channels = self.input_channels.iter().chain(&self.output_channels);
        streams.extend(channels.map(
            |(ChannelState::Single { stream, .. } | ChannelState::Merged { stream, .. })| stream,
        ));
        streams
    }
}

impl KeyedStateHandle {
    fn push_streams<'a>(&'a self, streams: &mut Vec<&'a StreamHandle>) {
        match self {
            Self::KeyGroups(handle) => streams.push(&handle.stream),
            Self::Incremental(handle) => {
                streams.push(&handle.meta);
                let files = handle.shared.iter().chain(&handle.private);
                streams.extend(files.map(|file| &file.stream));
            }
            Self::Changelog(handle) => {
                for base in &handle.materialized {
                    base.push_streams(streams);
                }
                for delta in &handle.delta {
                    delta.push_streams(streams);
                }
            }
            Self::Delta(delta) => delta.push_streams(streams),
        }
    }
}

impl ChangelogDelta {
    fn push_streams<'a>(&'a self, found: &mut Vec<&'a StreamHandle>) {
        if let Self::Streams { streams, .. } = self {
            found.extend(streams.iter().map(|piece| &piece.stream));
        }
    }
}

struct Collector<'a> {
    operator: OperatorId,
    files: Vec<FileRef<'a>>,
}

impl<'a> Collector<'a> {
    fn subtask(&mut self, state: &'a SubtaskState) {
        for handle in [&state.managed_operator, &state.raw_operator]
            .into_iter()
            .flatten()
        {
            self.stream(&handle.stream);
        }
        for handle in [&state.managed_keyed, &state.raw_keyed]
            .into_iter()
            .flatten()
        {
            self.keyed(handle);
        }
        for channel in state.input_channels.iter().chain(&state.output_channels) {
            let (ChannelState::Single { stream, .. } | ChannelState::Merged { stream, .. }) =
                channel;
            self.stream(stream);
        }
    }

    fn keyed(&mut self, handle: &'a KeyedStateHandle) {
        match handle {
            KeyedStateHandle::KeyGroups(handle) => self.stream(&handle.stream),
            KeyedStateHandle::Incremental(handle) => {
                self.stream(&handle.meta);
                for file in handle.shared.iter().chain(&handle.private) {
                    self.stream(&file.stream);
                }
            }
            KeyedStateHandle::Changelog(handle) => {
                for base in &handle.materialized {
                    self.keyed(base);
                }
                for delta in &handle.delta {
                    self.delta(delta);
                }
            }
            KeyedStateHandle::Delta(delta) => self.delta(delta),
        }
    }

    fn delta(&mut self, delta: &'a ChangelogDelta) {
        let ChangelogDelta::Streams { streams, .. } = delta else {
            return;
        };
        let first = self.files.len();
        for piece in streams {
            self.stream(&piece.stream);
        }
        for file in &mut self.files[first..] {
            file.size = SizeRule::Exists;
        }
    }

    fn stream(&mut self, stream: &'a StreamHandle) {
        let (path, size) = match stream {
            StreamHandle::Inline { .. } | StreamHandle::EmptySegment => return,
            StreamHandle::KeyGroups { stream, .. } => return self.stream(stream),
            StreamHandle::File { path, size } => {
                (FilePath::Absolute(path), SizeRule::of_file(*size))
            }
            StreamHandle::Relative { path, size } => {
                (FilePath::Relative(path), SizeRule::of_file(*size))
            }
            StreamHandle::Segment(segment) => (
                FilePath::Absolute(&segment.path),
                SizeRule::of_segment(segment.start, segment.size),
            ),
        };
        self.files.push(FileRef {
            path,
            size,
            operator: self.operator,
        });
    }
}
