//! Writes a `_metadata` file, the inverse of [`parse`](crate::parse). For tests and fuzzing.
//!
//! What Flink wrote and `parse` read comes out byte for byte the same, the Java-serialized
//! properties included: all releases from 1.16 on serialize them alike.

use crate::handle::{
    BackendFile, ChangelogDelta, ChangelogHandle, ChannelState, IncrementalHandle, KeyGroupRange,
    KeyGroupsHandle, KeyGroupsKind, KeyedStateHandle, OperatorState, OperatorStateHandle,
    Redistribution, Scope, StreamHandle,
};
use crate::model::{MasterState, Metadata, Operator, Subtask, SubtaskState};
use crate::mutf8;
use crate::parse::{
    INPUT_TAGS, MAGIC, MASTER_STATE_MAGIC, OUTPUT_TAGS, VERSION_MAX, VERSION_MIN,
    VERSION_WITH_CHANNEL_TAGS, VERSION_WITH_COORDINATORS, VERSION_WITH_NAMES,
    VERSION_WITH_PROPERTIES,
};
use crate::parse_handle::tag;
use crate::properties::{
    ACTION_CLASS, CHECKPOINT_TYPE_CLASS, CHECKPOINT_TYPE_SERIAL_VERSION, ENUM_CLASS, FORMAT_CLASS,
    PROPERTIES_CLASS, PROPERTIES_SERIAL_VERSION, Properties, SAVEPOINT_TYPE_CLASS,
    SAVEPOINT_TYPE_SERIAL_VERSION, SNAPSHOT_TYPE_SIGNATURE, STRATEGY_CLASS, SavepointFormat,
};
use crate::{java, reader::MAX_DEPTH};

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The version is none of 2 to 6.
    #[error("version {0} of the metadata format cannot be written")]
    UnsupportedVersion(u32),
    /// The version has no place for something that is there.
    #[error("version {version} has no {what}")]
    NotInVersion {
        /// The version.
        version: u32,
        /// What it has no place for.
        what: &'static str,
    },
    /// A string is longer than Java's `writeUTF` can write.
    #[error("a string of {bytes} bytes; at most 65535 can be written")]
    StringTooLong {
        /// Its length in modified UTF-8.
        bytes: usize,
    },
    /// A number or a count is larger than Java's signed types hold.
    #[error("{0} does not fit into a Java number")]
    NumberTooLarge(u64),
    /// Key groups whose number differs from that of their offsets.
    #[error("{key_groups} key groups with {offsets} offsets")]
    OffsetCount {
        /// The number of key groups.
        key_groups: u32,
        /// The number of offsets.
        offsets: usize,
    },
    /// A savepoint without a format, or a checkpoint with one.
    #[error("savepoints have a format, checkpoints have none")]
    Format,
    /// A coordinator's state that is not inline, or that of a finished operator; or a finished
    /// operator with subtasks.
    #[error("{0}")]
    Operator(&'static str),
    /// Handles nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// Writes the metadata as Flink would.
///
/// # Errors
///
/// Where the value is one that [`parse`](crate::parse) cannot give.
pub fn write(metadata: &Metadata) -> Result<Vec<u8>, WriteError> {
    let version = metadata.version;
    if !(VERSION_MIN..=VERSION_MAX).contains(&version) {
        return Err(WriteError::UnsupportedVersion(version));
    }
    let mut writer = Writer {
        bytes: Vec::new(),
        version,
        depth: 0,
    };
    writer.u32_bits(MAGIC);
    writer.u32(version)?;
    writer.u64(metadata.checkpoint_id)?;
    writer.list(&metadata.master_states, Writer::master_state)?;
    writer.list(&metadata.operators, Writer::operator)?;
    writer.properties(metadata.properties.as_ref())?;
    Ok(writer.bytes)
}

type Written = Result<(), WriteError>;

struct Writer {
    bytes: Vec<u8>,
    version: u32,
    depth: usize,
}

impl Writer {
    fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    fn i32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.bytes.extend(value.to_be_bytes());
    }

    fn u32_bits(&mut self, value: u32) {
        self.bytes.extend(value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) -> Written {
        let too_large = WriteError::NumberTooLarge(value.into());
        self.i32(i32::try_from(value).map_err(|_| too_large)?);
        Ok(())
    }

    fn u64(&mut self, value: u64) -> Written {
        self.i64(i64::try_from(value).map_err(|_| WriteError::NumberTooLarge(value))?);
        Ok(())
    }

    fn size(&mut self, value: Option<u64>) -> Written {
        if let Some(size) = value {
            return self.u64(size);
        }
        self.i64(-1);
        Ok(())
    }

    fn count(&mut self, count: usize) -> Written {
        let too_large = WriteError::NumberTooLarge(count as u64);
        self.u32(u32::try_from(count).map_err(|_| too_large)?)
    }

    fn string(&mut self, text: &str) -> Written {
        let bytes = mutf8::encode(text);
        let too_long = WriteError::StringTooLong { bytes: bytes.len() };
        let length = u16::try_from(bytes.len()).map_err(|_| too_long)?;
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(bytes);
        Ok(())
    }

    fn blob(&mut self, bytes: &[u8]) -> Written {
        self.count(bytes.len())?;
        self.bytes.extend(bytes);
        Ok(())
    }

    fn list<T>(&mut self, items: &[T], item: impl Fn(&mut Self, &T) -> Written) -> Written {
        self.count(items.len())?;
        items.iter().try_for_each(|value| item(self, value))
    }

    fn longs(&mut self, values: &[i64]) {
        self.bytes
            .extend(values.iter().flat_map(|value| value.to_be_bytes()));
    }

    fn require(&self, version_min: u32, is_absent: bool, what: &'static str) -> Written {
        if is_absent || self.version >= version_min {
            return Ok(());
        }
        Err(WriteError::NotInVersion {
            version: self.version,
            what,
        })
    }

    fn deeper(&mut self, write: impl FnOnce(&mut Self) -> Written) -> Written {
        if self.depth == MAX_DEPTH {
            return Err(WriteError::TooDeep);
        }
        self.depth += 1;
        let written = write(self);
        self.depth -= 1;
        written
    }

    fn master_state(&mut self, state: &MasterState) -> Written {
        self.u32_bits(MASTER_STATE_MAGIC);
        let bytes = Vec::new();
        let mut frame = Self {
            bytes,
            version: self.version,
            depth: self.depth,
        };
        frame.i32(state.version);
        frame.string(&state.name)?;
        frame.blob(&state.bytes)?;
        self.blob(&frame.bytes)
    }

    fn operator(&mut self, operator: &Operator) -> Written {
        let nameless = operator.name.is_none() && operator.uid.is_none();
        self.require(VERSION_WITH_NAMES, nameless, "operator names")?;
        if self.version >= VERSION_WITH_NAMES {
            self.string(operator.name.as_deref().unwrap_or(""))?;
            self.string(operator.uid.as_deref().unwrap_or(""))?;
        }
        self.bytes.extend(operator.id.0);
        self.u32(operator.parallelism)?;
        self.u32(operator.max_parallelism)?;
        self.coordinator(operator)?;
        if !operator.fully_finished {
            return self.list(&operator.subtasks, Self::subtask);
        }
        self.require(VERSION_WITH_COORDINATORS, false, "finished operators")?;
        if !operator.subtasks.is_empty() {
            return Err(WriteError::Operator("a finished operator has no subtasks"));
        }
        self.i32(-1);
        Ok(())
    }

    fn coordinator(&mut self, operator: &Operator) -> Written {
        let coordinator = operator.coordinator.as_ref();
        self.require(
            VERSION_WITH_COORDINATORS,
            coordinator.is_none(),
            "coordinator state",
        )?;
        if self.version < VERSION_WITH_COORDINATORS {
            const CHAIN_LENGTH: i32 = 1;
            self.i32(CHAIN_LENGTH);
            return Ok(());
        }
        match coordinator {
            None => {
                self.u8(tag::NULL);
                Ok(())
            }
            Some(_) if operator.fully_finished => Err(WriteError::Operator(
                "a finished operator has no coordinator state",
            )),
            Some(inline @ StreamHandle::Inline { .. }) => self.stream(inline),
            Some(_) => Err(WriteError::Operator("coordinator state is inline")),
        }
    }

    fn subtask(&mut self, subtask: &Subtask) -> Written {
        let Some(state) = &subtask.state else {
            self.require(VERSION_WITH_COORDINATORS, false, "finished subtasks")?;
            if i32::try_from(subtask.index).is_err() {
                return Err(WriteError::NumberTooLarge(subtask.index.into()));
            }
            self.u32_bits(!subtask.index);
            return Ok(());
        };
        self.u32(subtask.index)?;
        if self.version < VERSION_WITH_COORDINATORS {
            // A duration, and no states from before Flink 1.2.
            self.i64(0);
            self.i32(0);
        }
        self.subtask_state(state)
    }

    fn subtask_state(&mut self, state: &SubtaskState) -> Written {
        self.opt_operator_state(state.managed_operator.as_ref())?;
        self.opt_operator_state(state.raw_operator.as_ref())?;
        self.opt_keyed(state.managed_keyed.as_ref())?;
        self.opt_keyed(state.raw_keyed.as_ref())?;
        let (inputs, outputs) = (&state.input_channels, &state.output_channels);
        let without = inputs.is_empty() && outputs.is_empty();
        self.require(VERSION_WITH_COORDINATORS, without, "channel state")?;
        if self.version < VERSION_WITH_COORDINATORS {
            return Ok(());
        }
        self.list(inputs, |writer, state| writer.channel(state, INPUT_TAGS))?;
        self.list(outputs, |writer, state| writer.channel(state, OUTPUT_TAGS))
    }

    fn channel(&mut self, state: &ChannelState, [single, merged]: [u8; 2]) -> Written {
        let tagged = self.version >= VERSION_WITH_CHANNEL_TAGS;
        match state {
            ChannelState::Single {
                subtask,
                channel,
                offsets,
                size,
                stream,
            } => {
                if tagged {
                    self.u8(single);
                }
                self.i32(*subtask);
                self.i32(channel.gate);
                self.i32(channel.index);
                self.count(offsets.len())?;
                self.longs(offsets);
                self.i64(*size);
                self.stream(stream)
            }
            ChannelState::Merged {
                subtask,
                size,
                stream,
                offsets,
            } => {
                self.require(VERSION_WITH_CHANNEL_TAGS, false, "merged channel state")?;
                self.u8(merged);
                self.i32(*subtask);
                self.i64(*size);
                self.stream(stream)?;
                self.blob(offsets)
            }
        }
    }

    fn opt_operator_state(&mut self, handle: Option<&OperatorStateHandle>) -> Written {
        let Some(handle) = handle else {
            self.i32(0);
            return Ok(());
        };
        self.i32(1);
        self.u8(match handle.merging {
            None => tag::OPERATOR_STATE,
            Some(_) => tag::MERGING_OPERATOR_STATE,
        });
        self.list(&handle.states, Self::operator_state)?;
        if let Some(merging) = &handle.merging {
            self.string(&merging.task_owned_dir)?;
            self.string(&merging.shared_dir)?;
            self.bool(merging.is_empty);
        }
        self.stream(&handle.stream)
    }

    fn operator_state(&mut self, state: &OperatorState) -> Written {
        self.string(&state.name)?;
        self.u8(match state.mode {
            Redistribution::SplitDistribute => 0,
            Redistribution::Union => 1,
            Redistribution::Broadcast => 2,
        });
        self.count(state.offsets.len())?;
        self.longs(&state.offsets);
        Ok(())
    }

    fn range(&mut self, range: KeyGroupRange) -> Written {
        self.u32(range.start)?;
        self.u32(range.count)
    }

    fn key_groups(&mut self, range: KeyGroupRange, offsets: &[i64]) -> Written {
        if usize::try_from(range.count) != Ok(offsets.len()) {
            let (key_groups, offsets) = (range.count, offsets.len());
            return Err(WriteError::OffsetCount {
                key_groups,
                offsets,
            });
        }
        self.range(range)?;
        self.longs(offsets);
        Ok(())
    }

    fn opt_keyed(&mut self, handle: Option<&KeyedStateHandle>) -> Written {
        if let Some(handle) = handle {
            return self.keyed(handle);
        }
        self.u8(tag::NULL);
        Ok(())
    }

    fn keyed(&mut self, handle: &KeyedStateHandle) -> Written {
        self.deeper(|writer| match handle {
            KeyedStateHandle::KeyGroups(handle) => writer.key_groups_handle(handle),
            KeyedStateHandle::Incremental(handle) => writer.incremental(handle),
            KeyedStateHandle::Changelog(handle) => writer.changelog(handle),
            KeyedStateHandle::Delta(delta) => writer.delta(delta),
        })
    }

    fn key_groups_handle(&mut self, handle: &KeyGroupsHandle) -> Written {
        self.u8(match handle.kind {
            KeyGroupsKind::V1 => tag::KEY_GROUPS,
            KeyGroupsKind::V2 { .. } => tag::KEY_GROUPS_V2,
            KeyGroupsKind::Savepoint => tag::SAVEPOINT_KEY_GROUPS,
        });
        self.key_groups(handle.range, &handle.offsets)?;
        self.stream(&handle.stream)?;
        match &handle.kind {
            KeyGroupsKind::V2 { state_handle_id } => self.string(state_handle_id),
            KeyGroupsKind::V1 | KeyGroupsKind::Savepoint => Ok(()),
        }
    }

    fn incremental(&mut self, handle: &IncrementalHandle) -> Written {
        self.u8(match handle.details {
            None => tag::INCREMENTAL,
            Some(_) => tag::INCREMENTAL_V2,
        });
        self.i64(handle.checkpoint_id);
        self.string(&handle.backend_id)?;
        self.range(handle.range)?;
        if let Some(details) = &handle.details {
            self.size(details.checkpointed_bytes)?;
        }
        self.stream(&handle.meta)?;
        self.list(&handle.shared, Self::backend_file)?;
        self.list(&handle.private, Self::backend_file)?;
        match &handle.details {
            Some(details) => self.string(&details.state_handle_id),
            None => Ok(()),
        }
    }

    fn backend_file(&mut self, file: &BackendFile) -> Written {
        self.string(&file.local_path)?;
        self.stream(&file.stream)
    }

    fn changelog(&mut self, handle: &ChangelogHandle) -> Written {
        self.u8(match handle.checkpoint_id {
            None => tag::CHANGELOG,
            Some(_) => tag::CHANGELOG_V2,
        });
        self.range(handle.range)?;
        self.size(handle.checkpointed_bytes)?;
        self.list(&handle.materialized, Self::keyed)?;
        self.list(&handle.delta, Self::delta)?;
        self.i64(handle.materialization_id);
        if let Some(checkpoint_id) = handle.checkpoint_id {
            self.i64(checkpoint_id);
        }
        self.string(&handle.state_handle_id)
    }

    fn delta(&mut self, delta: &ChangelogDelta) -> Written {
        match delta {
            ChangelogDelta::InMemory {
                range,
                from,
                to,
                changes,
                state_handle_id,
            } => {
                self.u8(tag::CHANGELOG_IN_MEMORY);
                self.range(*range)?;
                self.i64(*from);
                self.i64(*to);
                self.list(changes, |writer, change| {
                    writer.i32(change.key_group);
                    writer.blob(&change.bytes)
                })?;
                self.string(state_handle_id)
            }
            ChangelogDelta::Streams {
                range,
                streams,
                size,
                checkpointed_bytes,
                state_handle_id,
                storage_identifier,
            } => {
                self.u8(match storage_identifier {
                    None => tag::CHANGELOG_STREAMS,
                    Some(_) => tag::CHANGELOG_STREAMS_V2,
                });
                self.range(*range)?;
                self.list(streams, |writer, piece| {
                    writer.i64(piece.offset);
                    writer.stream(&piece.stream)
                })?;
                self.u64(*size)?;
                self.size(*checkpointed_bytes)?;
                self.string(state_handle_id)?;
                storage_identifier
                    .as_ref()
                    .map_or(Ok(()), |identifier| self.string(identifier))
            }
        }
    }

    fn stream(&mut self, stream: &StreamHandle) -> Written {
        self.deeper(|writer| writer.stream_here(stream))
    }

    fn stream_here(&mut self, stream: &StreamHandle) -> Written {
        match stream {
            StreamHandle::Inline { name, bytes } => {
                self.u8(tag::BYTE_STREAM);
                self.string(name)?;
                self.blob(bytes)
            }
            StreamHandle::File { path, size } => {
                self.u8(tag::FILE);
                self.size(*size)?;
                self.string(path)
            }
            StreamHandle::Relative { path, size } => {
                self.u8(tag::RELATIVE);
                self.string(path)?;
                self.size(*size)
            }
            StreamHandle::KeyGroups {
                range,
                offsets,
                stream,
            } => {
                self.u8(tag::KEY_GROUPS);
                self.key_groups(*range, offsets)?;
                self.stream(stream)
            }
            StreamHandle::Segment(segment) => {
                self.u8(tag::SEGMENT);
                self.u64(segment.start)?;
                self.u64(segment.size)?;
                self.i32(match segment.scope {
                    Scope::Exclusive => 0,
                    Scope::Shared => 1,
                });
                self.string(&segment.path)?;
                self.string(&segment.logical_file_id)
            }
            StreamHandle::EmptySegment => {
                self.u8(tag::EMPTY_SEGMENT);
                Ok(())
            }
        }
    }

    fn properties(&mut self, properties: Option<&Properties>) -> Written {
        self.require(VERSION_WITH_PROPERTIES, properties.is_none(), "properties")?;
        if self.version < VERSION_WITH_PROPERTIES {
            return Ok(());
        }
        self.bytes.extend(java::STREAM_HEADER);
        if let Some(properties) = properties {
            return self.java_properties(properties);
        }
        self.u8(java::TC_NULL);
        Ok(())
    }

    fn java_properties(&mut self, properties: &Properties) -> Written {
        let flags = [
            ("discardCancelled", properties.discard_cancelled),
            ("discardFailed", properties.discard_failed),
            ("discardFinished", properties.discard_finished),
            ("discardSubsumed", properties.discard_subsumed),
            ("discardSuspended", properties.discard_suspended),
            ("forced", properties.forced),
            ("unclaimed", properties.unclaimed),
        ];
        self.u8(java::TC_OBJECT);
        self.java_class(
            PROPERTIES_CLASS,
            PROPERTIES_SERIAL_VERSION,
            java::SC_SERIALIZABLE,
        )?;
        self.java_field_count(flags.len() + 1)?;
        for (name, _) in flags {
            self.u8(b'Z');
            self.string(name)?;
        }
        self.java_object_field("checkpointType")?;
        self.java_string(SNAPSHOT_TYPE_SIGNATURE)?;
        self.java_class_end();
        for (_, flag) in flags {
            self.bool(flag);
        }
        match properties.format {
            Some(format) if properties.kind.is_savepoint() => {
                self.java_savepoint_type(properties, format)
            }
            None if !properties.kind.is_savepoint() => self.java_checkpoint_type(properties),
            _ => Err(WriteError::Format),
        }
    }

    fn java_savepoint_type(&mut self, properties: &Properties, format: SavepointFormat) -> Written {
        // The superclass of the format: after two classes, their field types, two objects and the format
        // itself.
        const ENUM_HANDLE: u32 = java::BASE_HANDLE + 9;
        self.u8(java::TC_OBJECT);
        self.java_class(
            SAVEPOINT_TYPE_CLASS,
            SAVEPOINT_TYPE_SERIAL_VERSION,
            java::SC_SERIALIZABLE,
        )?;
        self.java_field_count(3)?;
        self.java_object_field("formatType")?;
        self.java_string(&type_of(FORMAT_CLASS))?;
        self.java_object_field("name")?;
        self.java_string(&type_of("java.lang.String"))?;
        self.java_object_field("postCheckpointAction")?;
        self.java_string(&type_of(ACTION_CLASS))?;
        self.java_class_end();
        self.u8(java::TC_ENUM);
        self.java_enum_class(FORMAT_CLASS)?;
        self.java_enum_superclass()?;
        self.java_string(format.name())?;
        self.java_string(properties.kind.name())?;
        self.u8(java::TC_ENUM);
        self.java_enum_class(ACTION_CLASS)?;
        self.java_reference(ENUM_HANDLE);
        self.java_string(properties.kind.constant())
    }

    fn java_checkpoint_type(&mut self, properties: &Properties) -> Written {
        self.u8(java::TC_OBJECT);
        self.java_class(
            CHECKPOINT_TYPE_CLASS,
            CHECKPOINT_TYPE_SERIAL_VERSION,
            java::SC_SERIALIZABLE,
        )?;
        self.java_field_count(2)?;
        self.java_object_field("name")?;
        self.java_string(&type_of("java.lang.String"))?;
        self.java_object_field("sharingFilesStrategy")?;
        self.java_string(&type_of(STRATEGY_CLASS))?;
        self.java_class_end();
        self.java_string(properties.kind.name())?;
        self.u8(java::TC_ENUM);
        self.java_enum_class(STRATEGY_CLASS)?;
        self.java_enum_superclass()?;
        self.java_string(properties.kind.constant())
    }

    fn java_class(&mut self, name: &str, serial_version: i64, flags: u8) -> Written {
        self.u8(java::TC_CLASSDESC);
        self.string(name)?;
        self.i64(serial_version);
        self.u8(flags);
        Ok(())
    }

    fn java_field_count(&mut self, count: usize) -> Written {
        let too_large = WriteError::NumberTooLarge(count as u64);
        self.bytes
            .extend(u16::try_from(count).map_err(|_| too_large)?.to_be_bytes());
        Ok(())
    }

    fn java_object_field(&mut self, name: &str) -> Written {
        self.u8(b'L');
        self.string(name)
    }

    /// No annotations, no superclass.
    fn java_class_end(&mut self) {
        self.u8(java::TC_ENDBLOCKDATA);
        self.u8(java::TC_NULL);
    }

    /// The description of an enum up to its superclass. Enums have serial version 0.
    fn java_enum_class(&mut self, name: &str) -> Written {
        self.java_class(name, 0, java::SC_SERIALIZABLE | java::SC_ENUM)?;
        self.java_field_count(0)?;
        self.u8(java::TC_ENDBLOCKDATA);
        Ok(())
    }

    fn java_enum_superclass(&mut self) -> Written {
        self.java_enum_class(ENUM_CLASS)?;
        self.u8(java::TC_NULL);
        Ok(())
    }

    fn java_string(&mut self, text: &str) -> Written {
        self.u8(java::TC_STRING);
        self.string(text)
    }

    fn java_reference(&mut self, handle: u32) {
        self.u8(java::TC_REFERENCE);
        self.u32_bits(handle);
    }
}

/// A class in the notation of field types.
fn type_of(class: &str) -> String {
    format!("L{};", class.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator_id::OperatorId;

    fn empty(version: u32) -> Metadata {
        let (master_states, operators) = (Vec::new(), Vec::new());
        Metadata {
            version,
            checkpoint_id: 1,
            master_states,
            operators,
            properties: None,
        }
    }

    fn operator() -> Operator {
        Operator {
            name: None,
            uid: None,
            id: OperatorId([0; 16]),
            parallelism: 1,
            max_parallelism: 1,
            coordinator: None,
            fully_finished: false,
            subtasks: Vec::new(),
        }
    }

    fn refused(version: u32, change: impl FnOnce(&mut Operator)) -> Option<WriteError> {
        let mut metadata = empty(version);
        metadata.operators.push(operator());
        change(&mut metadata.operators[0]);
        write(&metadata).err()
    }

    #[test]
    fn what_a_version_cannot_hold_is_refused() {
        let not_in = |version, what| Some(WriteError::NotInVersion { version, what });
        let named = |operator: &mut Operator| operator.name = Some("name".to_owned());
        assert_eq!(refused(4, named), not_in(4, "operator names"));
        assert_eq!(refused(5, named), None);
        let finished = |operator: &mut Operator| operator.fully_finished = true;
        assert_eq!(refused(2, finished), not_in(2, "finished operators"));
        assert_eq!(refused(3, finished), None);
        assert_eq!(write(&empty(7)), Err(WriteError::UnsupportedVersion(7)));
        assert_eq!(write(&empty(1)), Err(WriteError::UnsupportedVersion(1)));
    }

    #[test]
    fn what_java_cannot_hold_is_refused() {
        let long = |operator: &mut Operator| operator.uid = Some("ü".repeat(32_768));
        assert_eq!(
            refused(6, long),
            Some(WriteError::StringTooLong { bytes: 65_536 })
        );
        let wide = |operator: &mut Operator| operator.parallelism = 1 << 31;
        assert_eq!(refused(6, wide), Some(WriteError::NumberTooLarge(1 << 31)));
    }
}
