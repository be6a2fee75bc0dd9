//! Which header of which state file tells the names of an operator's keyed states.
//!
//! Names of keyed states are not in `_metadata` but at the beginning of each stream of keyed state
//! ([`KeyedStateHandle::header_streams`]). Every subtask writes them all, so one header an operator
//! suffices: that of the subtask with the most state. A subtask of the heap backend writes only the
//! states that it has registered, and one that registers them with its first record may have none
//! yet; the largest had records.

use std::cmp::Reverse;
use std::ops::Range;

use flink_metadata::{FilePath, KeyedStateHandle, Metadata, Operator, OperatorId, StreamHandle};

use crate::name::Location;
use crate::verify::location_of;

/// The header of one operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// The operator.
    pub operator: OperatorId,
    /// Where the stream lies that it begins.
    pub lies: Lies<'a>,
}

/// Where a stream lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lies<'a> {
    /// In the metadata itself.
    Here(&'a [u8]),
    /// In a file.
    There {
        /// The file.
        location: Location,
        /// The stream's bytes of it. It may end sooner, where its length was not recorded.
        bytes: Range<u64>,
    },
    /// Nowhere: of a changelog without a base there are only changes.
    Nowhere,
}

/// The header to read for each operator with managed keyed state, the largest first.
///
/// `directory` is where the `_metadata` lies, as for [`wanted`](crate::verify::wanted).
pub fn headers<'a>(metadata: &'a Metadata, directory: &Location) -> Vec<Header<'a>> {
    let mut keyed: Vec<(u64, Header<'a>)> = metadata
        .operators
        .iter()
        .filter_map(|operator| {
            let largest = largest(operator)?;
            let streams = largest.header_streams();
            let lies = streams
                .first()
                .map_or(Lies::Nowhere, |it| lies(it, directory));
            let header = Header {
                operator: operator.id,
                lies,
            };
            Some((keyed_bytes(operator), header))
        })
        .collect();
    keyed.sort_by_key(|(bytes, _)| Reverse(*bytes));
    keyed.into_iter().map(|(_, header)| header).collect()
}

/// Bytes of the managed keyed state of all subtasks.
fn keyed_bytes(operator: &Operator) -> u64 {
    let states = operator
        .subtasks
        .iter()
        .filter_map(|it| it.state.as_deref());
    let handles = states.filter_map(|state| state.managed_keyed.as_ref());
    let bytes = handles.map(KeyedStateHandle::state_bytes);
    bytes.fold(0, u64::saturating_add)
}

/// The managed keyed state of the subtask with the most of it that has a header; if none has one,
/// any.
fn largest(operator: &Operator) -> Option<&KeyedStateHandle> {
    let states = operator
        .subtasks
        .iter()
        .filter_map(|it| it.state.as_deref());
    let handles = states.filter_map(|state| state.managed_keyed.as_ref());
    handles.max_by_key(|handle| (!handle.header_streams().is_empty(), handle.state_bytes()))
}

fn lies<'a>(stream: &'a StreamHandle, directory: &Location) -> Lies<'a> {
    let (path, start, size) = match stream {
        StreamHandle::Inline { bytes, .. } => return Lies::Here(bytes),
        StreamHandle::File { path, size } => (FilePath::Absolute(path), 0, *size),
        StreamHandle::Relative { path, size } => (FilePath::Relative(path), 0, *size),
        StreamHandle::Segment(it) => (FilePath::Absolute(&it.path), it.start, Some(it.size)),
        StreamHandle::KeyGroups { stream, .. } => return lies(stream, directory),
        StreamHandle::EmptySegment => return Lies::Nowhere,
    };
    let end = size.map_or(u64::MAX, |size| start.saturating_add(size));
    Lies::There {
        location: location_of(path, directory),
        bytes: start..end,
    }
}

#[cfg(test)]
mod tests {
    use flink_metadata::{
        ChangelogHandle, KeyGroupRange, KeyGroupsHandle, KeyGroupsKind, Segment, Subtask,
        SubtaskState,
    };

    use super::*;

    const RANGE: KeyGroupRange = KeyGroupRange { start: 0, count: 1 };

    fn key_groups(stream: StreamHandle) -> KeyedStateHandle {
        KeyedStateHandle::KeyGroups(KeyGroupsHandle {
            kind: KeyGroupsKind::Savepoint,
            range: RANGE,
            offsets: vec![100],
            stream,
        })
    }

    fn file(name: &str, size: u64) -> KeyedStateHandle {
        key_groups(StreamHandle::Relative {
            path: name.to_owned(),
            size: Some(size),
        })
    }

    /// Changes on top of these bases.
    fn changelog(materialized: Vec<KeyedStateHandle>) -> KeyedStateHandle {
        KeyedStateHandle::Changelog(ChangelogHandle {
            range: RANGE,
            checkpointed_bytes: None,
            materialized,
            delta: Vec::new(),
            materialization_id: 0,
            checkpoint_id: Some(1),
            state_handle_id: String::new(),
        })
    }

    fn operator(id: u8, handles: Vec<KeyedStateHandle>) -> Operator {
        let subtasks = (0..).zip(handles).map(|(index, handle)| Subtask {
            index,
            state: Some(Box::new(SubtaskState {
                managed_keyed: Some(handle),
                ..SubtaskState::default()
            })),
        });
        Operator {
            name: None,
            uid: None,
            id: OperatorId([id; 16]),
            parallelism: 4,
            max_parallelism: 128,
            coordinator: None,
            fully_finished: false,
            subtasks: subtasks.collect(),
        }
    }

    /// Where the headers lie, in order.
    fn found(operators: Vec<Operator>) -> Vec<(u8, String)> {
        let metadata = Metadata {
            version: 4,
            checkpoint_id: 1,
            master_states: Vec::new(),
            operators,
            properties: None,
        };
        headers(&metadata, &Location::new("s3://b/sp"))
            .into_iter()
            .map(|header| {
                let lies = match header.lies {
                    Lies::Here(bytes) => format!("{} bytes here", bytes.len()),
                    Lies::There { location, bytes } => format!("{location} {bytes:?}"),
                    Lies::Nowhere => "nowhere".to_owned(),
                };
                (header.operator.0[0], lies)
            })
            .collect()
    }

    #[test]
    fn the_largest_subtask_of_the_largest_operator_comes_first() {
        let found = found(vec![
            operator(1, vec![file("small", 10), file("less", 9)]),
            operator(2, vec![file("a", 700), file("b", 900)]),
            operator(3, vec![]),
        ]);
        let expected = [(2, "s3://b/sp/b 0..900"), (1, "s3://b/sp/small 0..10")];
        assert_eq!(found, expected.map(|(id, at)| (id, at.to_owned())));
    }

    #[test]
    fn a_stream_is_found_wherever_it_lies() {
        let inline = StreamHandle::Inline {
            name: "x".to_owned(),
            bytes: vec![0; 7],
        };
        let segment = StreamHandle::Segment(Box::new(Segment {
            start: 64,
            size: 36,
            scope: flink_metadata::Scope::Shared,
            path: "file:/state/merged".to_owned(),
            logical_file_id: String::new(),
        }));
        let unknown = StreamHandle::File {
            path: "s3://elsewhere/x".to_owned(),
            size: None,
        };
        for (handle, at) in [
            (key_groups(inline), "7 bytes here"),
            (key_groups(segment), "file:/state/merged 64..100"),
            (
                key_groups(unknown),
                "s3://elsewhere/x 0..18446744073709551615",
            ),
            (key_groups(StreamHandle::EmptySegment), "nowhere"),
            (changelog(vec![file("base", 5)]), "s3://b/sp/base 0..5"),
            (changelog(vec![]), "nowhere"),
        ] {
            assert_eq!(found(vec![operator(1, vec![handle])]), [(1, at.to_owned())]);
        }
    }

    #[test]
    fn changes_alone_are_asked_only_where_there_is_nothing_else() {
        let handles = vec![changelog(vec![]), changelog(vec![file("base", 5)])];
        let expected = [(1, "s3://b/sp/base 0..5".to_owned())];
        assert_eq!(found(vec![operator(1, handles)]), expected);
    }
}
