//! The grammar of handles (`MetadataV2V3SerializerBase`, `ChannelStateHandleSerializer`).
//!
//! The type bytes are one space, but each production takes only its own. Any other is an error,
//! never a guess.

use crate::error::{ParseError, ParseErrorKind, Within};
use crate::handle::{
    BackendFile, ChangelogDelta, ChangelogHandle, ChangelogStream, Channel, ChannelState,
    FileMerging, IncrementalDetails, IncrementalHandle, KeyGroupRange, KeyGroupsHandle,
    KeyGroupsKind, KeyedStateHandle, OperatorState, OperatorStateHandle, Redistribution, Scope,
    Segment, StateChange, StreamHandle,
};
use crate::reader::Reader;

/// `MetadataV2V3SerializerBase`'s type bytes.
pub(crate) mod tag {
    pub(crate) const NULL: u8 = 0;
    pub(crate) const BYTE_STREAM: u8 = 1;
    pub(crate) const FILE: u8 = 2;
    pub(crate) const KEY_GROUPS: u8 = 3;
    pub(crate) const OPERATOR_STATE: u8 = 4;
    pub(crate) const INCREMENTAL: u8 = 5;
    pub(crate) const RELATIVE: u8 = 6;
    pub(crate) const SAVEPOINT_KEY_GROUPS: u8 = 7;
    pub(crate) const CHANGELOG: u8 = 8;
    pub(crate) const CHANGELOG_IN_MEMORY: u8 = 9;
    pub(crate) const CHANGELOG_STREAMS: u8 = 10;
    pub(crate) const INCREMENTAL_V2: u8 = 11;
    pub(crate) const KEY_GROUPS_V2: u8 = 12;
    pub(crate) const CHANGELOG_STREAMS_V2: u8 = 13;
    pub(crate) const CHANGELOG_V2: u8 = 14;
    pub(crate) const SEGMENT: u8 = 15;
    pub(crate) const EMPTY_SEGMENT: u8 = 16;
    pub(crate) const MERGING_OPERATOR_STATE: u8 = 17;
}

/// Name, mode, count of offsets.
pub(crate) const OPERATOR_STATE_BYTES_MIN: usize = 2 + 1 + 4;
/// Name and stream.
pub(crate) const BACKEND_FILE_BYTES_MIN: usize = 2 + 1;
/// A null takes one byte.
pub(crate) const KEYED_STATE_BYTES_MIN: usize = 1;
/// Tag, key groups, count, id.
pub(crate) const DELTA_BYTES_MIN: usize = 1 + 8 + 4 + 2;
/// Key group and length.
pub(crate) const CHANGE_BYTES_MIN: usize = 4 + 4;
/// Offset and stream.
pub(crate) const CHANGELOG_STREAM_BYTES_MIN: usize = 8 + 1;

pub(crate) fn unknown_tag<T>(
    reader: &Reader<'_>,
    what: &'static str,
    tag: u8,
) -> Result<T, ParseError> {
    Err(ParseError::new(
        reader.at() - 1,
        ParseErrorKind::UnknownTag { what, tag },
    ))
}

/// A stream that must be there.
pub(crate) fn stream(reader: &mut Reader<'_>) -> Result<StreamHandle, ParseError> {
    let at = reader.at();
    let null = ParseErrorKind::NullHandle { what: "stream" };
    stream_or_null(reader)?.ok_or(ParseError::new(at, null))
}

pub(crate) fn stream_or_null(reader: &mut Reader<'_>) -> Result<Option<StreamHandle>, ParseError> {
    reader.deeper(|reader| {
        Ok(Some(match reader.u8()? {
            tag::NULL => return Ok(None),
            tag::BYTE_STREAM => StreamHandle::Inline {
                name: reader.string()?,
                bytes: reader.blob("bytes")?,
            },
            tag::FILE => {
                let size = reader.size("file size")?;
                StreamHandle::File {
                    path: reader.string()?,
                    size,
                }
            }
            tag::RELATIVE => StreamHandle::Relative {
                path: reader.string()?,
                size: reader.size("file size")?,
            },
            tag::KEY_GROUPS => {
                let (range, offsets) = key_groups(reader)?;
                StreamHandle::KeyGroups {
                    range,
                    offsets,
                    stream: Box::new(stream(reader)?),
                }
            }
            tag::SEGMENT => StreamHandle::Segment(Box::new(segment(reader)?)),
            tag::EMPTY_SEGMENT => StreamHandle::EmptySegment,
            other => return unknown_tag(reader, "stream", other),
        }))
    })
}

fn segment(reader: &mut Reader<'_>) -> Result<Segment, ParseError> {
    let start = reader.u64("start of a segment")?;
    let size = reader.u64("size of a segment")?;
    Ok(Segment {
        start,
        size,
        scope: scope(reader)?,
        path: reader.string()?,
        logical_file_id: reader.string()?,
    })
}

pub(crate) fn scope(reader: &mut Reader<'_>) -> Result<Scope, ParseError> {
    let at = reader.at();
    match reader.i32()? {
        0 => Ok(Scope::Exclusive),
        1 => Ok(Scope::Shared),
        found => {
            let kind = ParseErrorKind::BadValue {
                what: "scope",
                found: found.into(),
            };
            Err(ParseError::new(at, kind))
        }
    }
}

pub(crate) fn range(reader: &mut Reader<'_>) -> Result<KeyGroupRange, ParseError> {
    Ok(KeyGroupRange {
        start: reader.u32("first key group")?,
        count: reader.u32("number of key groups")?,
    })
}

/// A range, and an offset for each of its key groups.
fn key_groups(reader: &mut Reader<'_>) -> Result<(KeyGroupRange, Vec<i64>), ParseError> {
    let range = range(reader)?;
    let offsets = reader.longs(range.count)?;
    Ok((range, offsets))
}

/// Whether a handle follows, as an `int`: 0 or 1. Flink takes any number but 0 for 1, but writes no other.
pub(crate) fn is_present(reader: &mut Reader<'_>) -> Result<bool, ParseError> {
    let at = reader.at();
    match reader.i32()? {
        0 => Ok(false),
        1 => Ok(true),
        found => {
            let (what, found) = ("the number of handles", found.into());
            Err(ParseError::new(
                at,
                ParseErrorKind::BadValue { what, found },
            ))
        }
    }
}

/// Operator state, if it is present; the handle may still be null.
pub(crate) fn opt_operator_state(
    reader: &mut Reader<'_>,
) -> Result<Option<OperatorStateHandle>, ParseError> {
    if !is_present(reader)? {
        return Ok(None);
    }
    let merges = match reader.u8()? {
        tag::NULL => return Ok(None),
        tag::OPERATOR_STATE => false,
        tag::MERGING_OPERATOR_STATE => true,
        other => return unknown_tag(reader, "operator state", other),
    };
    let states = reader.list("state", OPERATOR_STATE_BYTES_MIN, operator_state)?;
    let merging = if merges {
        Some(file_merging(reader)?)
    } else {
        None
    };
    Ok(Some(OperatorStateHandle {
        states,
        merging,
        stream: stream(reader)?,
    }))
}

fn operator_state(reader: &mut Reader<'_>) -> Result<OperatorState, ParseError> {
    let name = reader.string()?;
    let mode = redistribution(reader)?;
    let count = reader.u32("number of offsets")?;
    Ok(OperatorState {
        name,
        mode,
        offsets: reader.longs(count)?,
    })
}

pub(crate) fn redistribution(reader: &mut Reader<'_>) -> Result<Redistribution, ParseError> {
    match reader.u8()? {
        0 => Ok(Redistribution::SplitDistribute),
        1 => Ok(Redistribution::Union),
        2 => Ok(Redistribution::Broadcast),
        other => unknown_tag(reader, "redistribution", other),
    }
}

fn file_merging(reader: &mut Reader<'_>) -> Result<FileMerging, ParseError> {
    Ok(FileMerging {
        task_owned_dir: reader.string()?,
        shared_dir: reader.string()?,
        is_empty: reader.bool()?,
    })
}

/// Keyed state or null.
pub(crate) fn keyed_state(reader: &mut Reader<'_>) -> Result<Option<KeyedStateHandle>, ParseError> {
    reader.deeper(|reader| {
        Ok(Some(match reader.u8()? {
            tag::NULL => return Ok(None),
            tag @ (tag::KEY_GROUPS | tag::KEY_GROUPS_V2 | tag::SAVEPOINT_KEY_GROUPS) => {
                KeyedStateHandle::KeyGroups(key_groups_handle(reader, tag)?)
            }
            tag @ (tag::INCREMENTAL | tag::INCREMENTAL_V2) => {
                KeyedStateHandle::Incremental(incremental(reader, tag == tag::INCREMENTAL_V2)?)
            }
            tag @ (tag::CHANGELOG | tag::CHANGELOG_V2) => {
                KeyedStateHandle::Changelog(changelog(reader, tag == tag::CHANGELOG_V2)?)
            }
            tag => KeyedStateHandle::Delta(delta(reader, tag, "keyed state")?),
        }))
    })
}

fn key_groups_handle(reader: &mut Reader<'_>, tag: u8) -> Result<KeyGroupsHandle, ParseError> {
    let (range, offsets) = key_groups(reader)?;
    let stream = stream(reader)?;
    let kind = match tag {
        tag::KEY_GROUPS_V2 => KeyGroupsKind::V2 {
            state_handle_id: reader.string()?,
        },
        tag::SAVEPOINT_KEY_GROUPS => KeyGroupsKind::Savepoint,
        _ => KeyGroupsKind::V1,
    };
    Ok(KeyGroupsHandle {
        kind,
        range,
        offsets,
        stream,
    })
}

fn incremental(reader: &mut Reader<'_>, v2: bool) -> Result<IncrementalHandle, ParseError> {
    let checkpoint_id = reader.i64()?;
    let backend_id = reader.string()?;
    let range = range(reader)?;
    let checkpointed_bytes = if v2 {
        reader.size("checkpointed size")?
    } else {
        None
    };
    let meta = stream(reader).within("meta")?;
    let shared = reader.list("shared file", BACKEND_FILE_BYTES_MIN, backend_file)?;
    let private = reader.list("private file", BACKEND_FILE_BYTES_MIN, backend_file)?;
    let details = if v2 {
        Some(IncrementalDetails {
            checkpointed_bytes,
            state_handle_id: reader.string()?,
        })
    } else {
        None
    };
    Ok(IncrementalHandle {
        checkpoint_id,
        backend_id,
        range,
        meta,
        shared,
        private,
        details,
    })
}

fn backend_file(reader: &mut Reader<'_>) -> Result<BackendFile, ParseError> {
    Ok(BackendFile {
        local_path: reader.string()?,
        stream: stream(reader)?,
    })
}

fn changelog(reader: &mut Reader<'_>, v2: bool) -> Result<ChangelogHandle, ParseError> {
    let range = range(reader)?;
    let checkpointed_bytes = reader.size("checkpointed size")?;
    let materialized = materialized(reader)?;
    let delta = reader.list("delta", DELTA_BYTES_MIN, |reader| {
        let tag = reader.u8()?;
        delta(reader, tag, "changelog delta")
    })?;
    Ok(ChangelogHandle {
        range,
        checkpointed_bytes,
        materialized,
        delta,
        materialization_id: reader.i64()?,
        checkpoint_id: if v2 { Some(reader.i64()?) } else { None },
        state_handle_id: reader.string()?,
    })
}

/// Flink skips nulls among the materialized handles, with a warning.
fn materialized(reader: &mut Reader<'_>) -> Result<Vec<KeyedStateHandle>, ParseError> {
    const NAME: &str = "materialized";
    let mut handles = Vec::new();
    for index in 0..reader.count(NAME, KEYED_STATE_BYTES_MIN)? {
        handles.extend(keyed_state(reader).within_item(NAME, index)?);
    }
    Ok(handles)
}

/// Changes, after their tag.
fn delta(
    reader: &mut Reader<'_>,
    tag: u8,
    what: &'static str,
) -> Result<ChangelogDelta, ParseError> {
    match tag {
        tag::CHANGELOG_IN_MEMORY => delta_in_memory(reader),
        tag::CHANGELOG_STREAMS => delta_streams(reader, false),
        tag::CHANGELOG_STREAMS_V2 => delta_streams(reader, true),
        other => unknown_tag(reader, what, other),
    }
}

fn delta_in_memory(reader: &mut Reader<'_>) -> Result<ChangelogDelta, ParseError> {
    Ok(ChangelogDelta::InMemory {
        range: range(reader)?,
        from: reader.i64()?,
        to: reader.i64()?,
        changes: reader.list("change", CHANGE_BYTES_MIN, |reader| {
            Ok(StateChange {
                key_group: reader.i32()?,
                bytes: reader.blob("bytes")?,
            })
        })?,
        state_handle_id: reader.string()?,
    })
}

fn delta_streams(reader: &mut Reader<'_>, v2: bool) -> Result<ChangelogDelta, ParseError> {
    Ok(ChangelogDelta::Streams {
        range: range(reader)?,
        streams: reader.list("stream", CHANGELOG_STREAM_BYTES_MIN, |reader| {
            Ok(ChangelogStream {
                offset: reader.i64()?,
                stream: stream(reader)?,
            })
        })?,
        size: reader.u64("changelog size")?,
        checkpointed_bytes: reader.size("checkpointed size")?,
        state_handle_id: reader.string()?,
        storage_identifier: if v2 { Some(reader.string()?) } else { None },
    })
}

/// State of one channel, or of merged channels where there are tags (one channel, merged).
pub(crate) fn channel_state(
    reader: &mut Reader<'_>,
    tags: Option<[u8; 2]>,
) -> Result<ChannelState, ParseError> {
    let Some([single, merged]) = tags else {
        return single_channel(reader);
    };
    match reader.u8()? {
        tag if tag == single => single_channel(reader),
        tag if tag == merged => merged_channels(reader),
        other => unknown_tag(reader, "channel state", other),
    }
}

fn single_channel(reader: &mut Reader<'_>) -> Result<ChannelState, ParseError> {
    let subtask = reader.i32()?;
    let channel = Channel {
        gate: reader.i32()?,
        index: reader.i32()?,
    };
    let count = reader.u32("number of offsets")?;
    Ok(ChannelState::Single {
        subtask,
        channel,
        offsets: reader.longs(count)?,
        size: reader.i64()?,
        stream: stream(reader)?,
    })
}

fn merged_channels(reader: &mut Reader<'_>) -> Result<ChannelState, ParseError> {
    Ok(ChannelState::Merged {
        subtask: reader.i32()?,
        size: reader.i64()?,
        stream: stream(reader)?,
        offsets: reader.blob("bytes of offsets")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Operator, Subtask, SubtaskState};

    /// A list that is full moves to one twice as large, so for a moment an item takes three times
    /// its size. Against the fewest bytes that make one, that is the factor by which hostile bytes
    /// can grow.
    #[test]
    fn no_item_takes_a_hundred_times_its_bytes() {
        let key_groups_of_nothing = 1 + 8 + 1;
        let subtask_of_nothing = 4 + 4 + 4 + 1 + 1 + 4 + 4;
        for (bytes, bytes_min) in [
            (size_of::<BackendFile>(), BACKEND_FILE_BYTES_MIN),
            (size_of::<KeyedStateHandle>(), key_groups_of_nothing),
            (size_of::<ChangelogDelta>(), DELTA_BYTES_MIN),
            (size_of::<StateChange>(), CHANGE_BYTES_MIN),
            (size_of::<ChangelogStream>(), CHANGELOG_STREAM_BYTES_MIN),
            (size_of::<OperatorState>(), OPERATOR_STATE_BYTES_MIN),
            (size_of::<ChannelState>(), 4 + 8 + 1 + 4),
            (size_of::<Subtask>(), 4),
            (size_of::<Operator>(), 16 + 4 + 4 + 4),
        ] {
            assert!(
                3 * bytes <= 100 * bytes_min,
                "{bytes} bytes for {bytes_min}"
            );
        }
        let boxed = size_of::<SubtaskState>() + 3 * size_of::<Subtask>();
        assert!(boxed <= 100 * subtask_of_nothing, "{boxed}");
    }
}
