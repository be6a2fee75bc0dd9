//! The grammar of the file as a whole: header, master states, operators, subtasks, properties.
//!
//! It follows `MetadataV2Serializer` to `MetadataV6Serializer` and their bases. Where Flink leaves
//! bytes unread at the end, this refuses them: all files that Flink wrote end exactly where the
//! grammar does, so a difference means that something is cut off, appended or misread.

use crate::error::{ParseError, ParseErrorKind, Within};
use crate::handle::StreamHandle;
use crate::model::{MasterState, Metadata, Operator, Subtask, SubtaskState};
use crate::operator_id::OperatorId;
use crate::parse_handle::{channel_state, keyed_state, opt_operator_state, stream_or_null};
use crate::properties;
use crate::reader::Reader;

/// `Checkpoints.HEADER_MAGIC_NUMBER`.
pub(crate) const MAGIC: u32 = 0x4960_672d;
/// `MetadataV2V3SerializerBase.MASTER_STATE_MAGIC_NUMBER`.
pub(crate) const MASTER_STATE_MAGIC: u32 = 0xc96b_1696;
/// The oldest version that is read. Version 1 is refused by Flink, too.
pub const VERSION_MIN: u32 = 2;
/// The newest version that is read: that of Flink 2.1 to 2.3.
pub const VERSION_MAX: u32 = 6;
/// The first version with coordinator state, channel state and finished subtasks.
pub(crate) const VERSION_WITH_COORDINATORS: u32 = 3;
/// The first version with properties at the end.
pub(crate) const VERSION_WITH_PROPERTIES: u32 = 4;
/// The first version with names and uids.
pub(crate) const VERSION_WITH_NAMES: u32 = 5;
/// The first version with a type byte before each channel's state.
pub(crate) const VERSION_WITH_CHANNEL_TAGS: u32 = 6;

/// Magic number, length, version, name and byte count.
pub(crate) const MASTER_STATE_BYTES_MIN: usize = 4 + 4 + 4 + 2 + 4;
/// Id, parallelism, maximum parallelism, count of subtasks.
pub(crate) const OPERATOR_BYTES_MIN: usize = 16 + 4 + 4 + 4;
/// A finished subtask is its number alone.
pub(crate) const SUBTASK_BYTES_MIN: usize = 4;
/// Three numbers, count of offsets, size, stream; or three numbers and a stream.
pub(crate) const CHANNEL_BYTES_MIN: usize = 4 + 8 + 1 + 4;

/// Reads a `_metadata` file.
///
/// The file must be whole: bytes that are missing or left over at the end are errors. Nothing is
/// looked up on any file system. For any bytes it returns, without panicking, in time and memory
/// proportional to their number.
///
/// # Errors
///
/// Where the bytes leave the grammar; [`ParseErrorKind::UnsupportedVersion`] for versions 1 and
/// from 7 on.
///
/// # Example
///
/// ```
/// use flink_metadata::{ParseErrorKind, parse};
///
/// let error = parse(b"PK\x03\x04").unwrap_err();
/// assert!(matches!(error.kind, ParseErrorKind::NotMetadata { .. }));
/// ```
pub fn parse(bytes: &[u8]) -> Result<Metadata, ParseError> {
    let mut reader = Reader::new(bytes);
    let version = header(&mut reader)?;
    let metadata = body(&mut reader, version)?;
    match reader.left() {
        0 => Ok(metadata),
        count => Err(reader.error(ParseErrorKind::TrailingBytes { count })),
    }
}

/// Checks the magic number and gives the version.
pub(crate) fn header(reader: &mut Reader<'_>) -> Result<u32, ParseError> {
    let found = reader.u32_bits().within("header")?;
    if found != MAGIC {
        return Err(ParseError::new(0, ParseErrorKind::NotMetadata { found })).within("header");
    }
    let at = reader.at();
    let version = reader.i32().within("header")?;
    u32::try_from(version)
        .ok()
        .filter(|supported| (VERSION_MIN..=VERSION_MAX).contains(supported))
        .ok_or_else(|| ParseError::new(at, ParseErrorKind::UnsupportedVersion { version }))
        .within("header")
}

fn body(reader: &mut Reader<'_>, version: u32) -> Result<Metadata, ParseError> {
    let checkpoint_id = reader.u64("checkpoint id")?;
    let master_states = reader.list("master state", MASTER_STATE_BYTES_MIN, master_state)?;
    let operators = reader.list("operator", OPERATOR_BYTES_MIN, |reader| {
        operator(reader, version)
    })?;
    let properties = if version >= VERSION_WITH_PROPERTIES {
        properties::read(reader)?
    } else {
        None
    };
    Ok(Metadata {
        version,
        checkpoint_id,
        master_states,
        operators,
        properties,
    })
}

fn master_state(reader: &mut Reader<'_>) -> Result<MasterState, ParseError> {
    master_magic(reader)?;
    let framed_at = reader.at();
    let framed = reader.count("bytes of master state", 1)?;
    let begin = reader.at();
    let version = reader.i32()?;
    let name = reader.string()?;
    let bytes = reader.blob("bytes")?;
    let content = reader.at() - begin;
    if content != framed {
        let kind = ParseErrorKind::MasterStateLength { framed, content };
        return Err(ParseError::new(framed_at, kind));
    }
    Ok(MasterState {
        version,
        name,
        bytes,
    })
}

pub(crate) fn master_magic(reader: &mut Reader<'_>) -> Result<(), ParseError> {
    let at = reader.at();
    let magic = reader.u32_bits()?;
    if magic == MASTER_STATE_MAGIC {
        return Ok(());
    }
    let found = i64::from(magic);
    let what = "the magic number of a master state";
    Err(ParseError::new(
        at,
        ParseErrorKind::BadValue { what, found },
    ))
}

fn operator(reader: &mut Reader<'_>, version: u32) -> Result<Operator, ParseError> {
    let (mut name, mut uid) = (None, None);
    if version >= VERSION_WITH_NAMES {
        name = non_empty(reader.string().within("name")?);
        uid = non_empty(reader.string().within("uid")?);
    }
    let id = OperatorId(reader.array()?);
    let parallelism = reader.u32("parallelism")?;
    let max_parallelism = reader.u32("maximum parallelism")?;
    let mut coordinator = None;
    if version >= VERSION_WITH_COORDINATORS {
        coordinator = coordinator_state(reader).within("coordinator state")?;
    } else {
        let _chain_length = reader.i32()?;
    }
    let fully_finished = version >= VERSION_WITH_COORDINATORS && next_is_negative(reader);
    let subtasks = if fully_finished {
        finished_mark(reader)?;
        if coordinator.is_some() {
            return Err(reader.error(ParseErrorKind::FinishedWithCoordinator));
        }
        Vec::new()
    } else {
        reader.list("subtask", SUBTASK_BYTES_MIN, |reader| {
            subtask(reader, version)
        })?
    };
    Ok(Operator {
        name,
        uid,
        id,
        parallelism,
        max_parallelism,
        coordinator,
        fully_finished,
        subtasks,
    })
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Whether the next `int` is there and negative.
pub(crate) fn next_is_negative(reader: &Reader<'_>) -> bool {
    reader.clone().i32().is_ok_and(i32::is_negative)
}

/// Where an operator is finished, its count of subtasks is -1. Flink takes any negative number for that, but
/// writes no other.
pub(crate) fn finished_mark(reader: &mut Reader<'_>) -> Result<(), ParseError> {
    let at = reader.at();
    match reader.i32()? {
        -1 => Ok(()),
        found => {
            let (what, found) = ("the number of subtasks", found.into());
            Err(ParseError::new(
                at,
                ParseErrorKind::BadValue { what, found },
            ))
        }
    }
}

/// A coordinator's state is bytes or nothing (`deserializeAndCheckByteStreamStateHandle`).
fn coordinator_state(reader: &mut Reader<'_>) -> Result<Option<StreamHandle>, ParseError> {
    let at = reader.at();
    let mut peek = reader.clone();
    match peek.u8()? {
        0 | 1 => stream_or_null(reader),
        tag => Err(ParseError::new(
            at,
            ParseErrorKind::UnknownTag {
                what: "stream",
                tag,
            },
        )),
    }
}

fn subtask(reader: &mut Reader<'_>, version: u32) -> Result<Subtask, ParseError> {
    if version >= VERSION_WITH_COORDINATORS && next_is_negative(reader) {
        // -(index + 1), which is the complement of the index.
        let index = !reader.u32_bits()?;
        return Ok(Subtask { index, state: None });
    }
    let index = reader.u32("subtask index")?;
    if version < VERSION_WITH_COORDINATORS {
        skip_legacy_state(reader)?;
    }
    let mut state = SubtaskState {
        managed_operator: opt_operator_state(reader).within("managed operator state")?,
        raw_operator: opt_operator_state(reader).within("raw operator state")?,
        managed_keyed: keyed_state(reader).within("managed keyed state")?,
        raw_keyed: keyed_state(reader).within("raw keyed state")?,
        ..SubtaskState::default()
    };
    if version >= VERSION_WITH_COORDINATORS {
        let tagged = version >= VERSION_WITH_CHANNEL_TAGS;
        state.input_channels = reader.list("input channel", CHANNEL_BYTES_MIN, |reader| {
            channel_state(reader, tagged.then_some(INPUT_TAGS))
        })?;
        state.output_channels = reader.list("output channel", CHANNEL_BYTES_MIN, |reader| {
            channel_state(reader, tagged.then_some(OUTPUT_TAGS))
        })?;
    }
    Ok(Subtask {
        index,
        state: Some(Box::new(state)),
    })
}

/// Tags of one and of merged input channels (`ChannelStateHandleSerializerV2`).
pub(crate) const INPUT_TAGS: [u8; 2] = [1, 3];
/// Tags of one and of merged output channels.
pub(crate) const OUTPUT_TAGS: [u8; 2] = [2, 4];

/// A duration, and the count of states from before Flink 1.2, which must be none.
pub(crate) fn skip_legacy_state(reader: &mut Reader<'_>) -> Result<(), ParseError> {
    let _duration = reader.i64()?;
    let at = reader.at();
    match reader.i32()? {
        0 => Ok(()),
        found => {
            let what = "the count of states from before Flink 1.2";
            let found = found.into();
            Err(ParseError::new(
                at,
                ParseErrorKind::BadValue { what, found },
            ))
        }
    }
}
