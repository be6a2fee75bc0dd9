//! What kind of snapshot it is: Flink's `CheckpointProperties`, which lie Java-serialized at the
//! end of the file.

use std::fmt;

use crate::error::{ParseError, ParseErrorKind, Within};
use crate::java::{self, Known, Objects, SC_ENUM, SC_SERIALIZABLE, Value};
use crate::reader::Reader;

/// What kind of snapshot it is and what Flink does with it
/// (`org.apache.flink.runtime.checkpoint.CheckpointProperties`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are Flink's flags, one each"
)]
pub struct Properties {
    /// The kind of snapshot.
    pub kind: SnapshotKind,
    /// How the keyed state is written. `None` for checkpoints.
    pub format: Option<SavepointFormat>,
    /// Triggered at once, whatever other checkpoints were running.
    pub forced: bool,
    /// Flink deletes it when the job is cancelled.
    pub discard_cancelled: bool,
    /// Flink deletes it when the job fails.
    pub discard_failed: bool,
    /// Flink deletes it when the job finishes.
    pub discard_finished: bool,
    /// Flink deletes it when a newer one takes its place.
    pub discard_subsumed: bool,
    /// Flink deletes it when the job is suspended.
    pub discard_suspended: bool,
    /// A job was restored from it without claiming it (`CheckpointProperties.isUnclaimed`).
    pub unclaimed: bool,
}

/// The kind of a snapshot (`SavepointType`, `CheckpointType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SnapshotKind {
    /// A savepoint of a job that went on.
    Savepoint,
    /// A savepoint with which the job was stopped, to go on later.
    SuspendSavepoint,
    /// A savepoint with which the job was stopped for good (drained).
    TerminateSavepoint,
    /// A checkpoint, which may share files with earlier ones.
    Checkpoint,
    /// A checkpoint that shares no files with earlier ones.
    FullCheckpoint,
}

impl SnapshotKind {
    /// Whether it is one of the savepoints.
    #[must_use]
    pub fn is_savepoint(self) -> bool {
        matches!(
            self,
            Self::Savepoint | Self::SuspendSavepoint | Self::TerminateSavepoint
        )
    }

    /// Flink's own name for it, such as `Suspend Savepoint`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Savepoint => "Savepoint",
            Self::SuspendSavepoint => "Suspend Savepoint",
            Self::TerminateSavepoint => "Terminate Savepoint",
            Self::Checkpoint => "Checkpoint",
            Self::FullCheckpoint => "Full Checkpoint",
        }
    }

    /// The enum constant beside the name: `postCheckpointAction` or `sharingFilesStrategy`.
    pub(crate) fn constant(self) -> &'static str {
        match self {
            Self::Savepoint => "NONE",
            Self::SuspendSavepoint => "SUSPEND",
            Self::TerminateSavepoint => "TERMINATE",
            Self::Checkpoint => "FORWARD_BACKWARD",
            Self::FullCheckpoint => "FORWARD",
        }
    }
}

impl fmt::Display for SnapshotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a savepoint's keyed state is written
/// (`org.apache.flink.core.execution.SavepointFormatType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SavepointFormat {
    /// The same for all state backends, so that the job may change backends.
    Canonical,
    /// The state backend's own; faster for large state.
    Native,
}

impl SavepointFormat {
    /// Flink's own name for it, as its REST API takes it: `CANONICAL` or `NATIVE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Canonical => "CANONICAL",
            Self::Native => "NATIVE",
        }
    }
}

impl fmt::Display for SavepointFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

pub(crate) const PROPERTIES_CLASS: &str =
    "org.apache.flink.runtime.checkpoint.CheckpointProperties";
pub(crate) const SAVEPOINT_TYPE_CLASS: &str = "org.apache.flink.runtime.checkpoint.SavepointType";
pub(crate) const CHECKPOINT_TYPE_CLASS: &str = "org.apache.flink.runtime.checkpoint.CheckpointType";

pub(crate) const PROPERTIES_SERIAL_VERSION: i64 = 2;
pub(crate) const SAVEPOINT_TYPE_SERIAL_VERSION: i64 = 0xa087_d308_a458_14b8_u64.cast_signed();
pub(crate) const CHECKPOINT_TYPE_SERIAL_VERSION: i64 = 0xd6de_4f03_05ae_1d3a_u64.cast_signed();
pub(crate) const FORMAT_CLASS: &str = "org.apache.flink.core.execution.SavepointFormatType";
pub(crate) const ACTION_CLASS: &str =
    "org.apache.flink.runtime.checkpoint.SavepointType$PostCheckpointAction";
pub(crate) const STRATEGY_CLASS: &str =
    "org.apache.flink.runtime.checkpoint.SnapshotType$SharingFilesStrategy";
pub(crate) const ENUM_CLASS: &str = "java.lang.Enum";
pub(crate) const SNAPSHOT_TYPE_SIGNATURE: &str =
    "Lorg/apache/flink/runtime/checkpoint/SnapshotType;";

/// The classes in the stream, alike from Flink 1.16 to 2.3. Java checks their names and serial versions, and
/// the classes of their fields.
const CLASSES: [Known; 7] = [
    Known {
        name: PROPERTIES_CLASS,
        serial_version: PROPERTIES_SERIAL_VERSION,
        flags: SC_SERIALIZABLE,
        objects: &[("checkpointType", SNAPSHOT_TYPE_SIGNATURE)],
        superclass: None,
    },
    Known {
        name: SAVEPOINT_TYPE_CLASS,
        serial_version: SAVEPOINT_TYPE_SERIAL_VERSION,
        flags: SC_SERIALIZABLE,
        objects: &[
            (
                "formatType",
                "Lorg/apache/flink/core/execution/SavepointFormatType;",
            ),
            ("name", "Ljava/lang/String;"),
            (
                "postCheckpointAction",
                "Lorg/apache/flink/runtime/checkpoint/SavepointType$PostCheckpointAction;",
            ),
        ],
        superclass: None,
    },
    Known {
        name: CHECKPOINT_TYPE_CLASS,
        serial_version: CHECKPOINT_TYPE_SERIAL_VERSION,
        flags: SC_SERIALIZABLE,
        objects: &[
            ("name", "Ljava/lang/String;"),
            (
                "sharingFilesStrategy",
                "Lorg/apache/flink/runtime/checkpoint/SnapshotType$SharingFilesStrategy;",
            ),
        ],
        superclass: None,
    },
    known_enum(FORMAT_CLASS, Some(ENUM_CLASS)),
    known_enum(ACTION_CLASS, Some(ENUM_CLASS)),
    known_enum(STRATEGY_CLASS, Some(ENUM_CLASS)),
    known_enum(ENUM_CLASS, None),
];

const fn known_enum(name: &'static str, superclass: Option<&'static str>) -> Known {
    Known {
        name,
        serial_version: 0,
        flags: SC_SERIALIZABLE | SC_ENUM,
        objects: &[],
        superclass,
    }
}

/// Reads the properties, or `None` for Java's null.
pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Option<Properties>, ParseError> {
    let at = reader.at();
    let (objects, root) = java::read(reader).within("checkpoint properties")?;
    if root == Value::Null {
        return Ok(None);
    }
    interpret(&objects, root)
        .map(Some)
        .map_err(|reason| ParseError::new(at, ParseErrorKind::BadProperties(reason)))
        .within("checkpoint properties")
}

fn interpret(objects: &Objects<'_>, root: Value) -> Result<Properties, &'static str> {
    if objects.class_of(root) != Some(PROPERTIES_CLASS) {
        return Err("not an object of CheckpointProperties");
    }
    if !objects.are_known(&CLASSES) {
        return Err("a class that no release of Flink writes");
    }
    let flag = |name| objects.bool_field(root, name).ok_or("a flag is missing");
    let snapshot_type = objects
        .field(root, "checkpointType")
        .ok_or("no checkpointType")?;
    let (kind, format) = interpret_type(objects, snapshot_type)?;
    Ok(Properties {
        kind,
        format,
        forced: flag("forced")?,
        discard_cancelled: flag("discardCancelled")?,
        discard_failed: flag("discardFailed")?,
        discard_finished: flag("discardFinished")?,
        discard_subsumed: flag("discardSubsumed")?,
        discard_suspended: flag("discardSuspended")?,
        unclaimed: flag("unclaimed")?,
    })
}

fn interpret_type(
    objects: &Objects<'_>,
    object: Value,
) -> Result<(SnapshotKind, Option<SavepointFormat>), &'static str> {
    use SnapshotKind::{
        Checkpoint, FullCheckpoint, Savepoint, SuspendSavepoint, TerminateSavepoint,
    };
    match objects.class_of(object) {
        Some(SAVEPOINT_TYPE_CLASS) => {
            let kinds = [Savepoint, SuspendSavepoint, TerminateSavepoint];
            let kind = one_of(
                &kinds,
                objects,
                object,
                ("postCheckpointAction", ACTION_CLASS),
            )?;
            let formats = [SavepointFormat::Canonical, SavepointFormat::Native];
            let name = objects.enum_field(object, "formatType", FORMAT_CLASS);
            let format = formats
                .into_iter()
                .find(|format| Some(format.name()) == name);
            let format = format.ok_or("unknown formatType")?;
            Ok((kind, Some(format)))
        }
        Some(CHECKPOINT_TYPE_CLASS) => {
            let kinds = [Checkpoint, FullCheckpoint];
            Ok((
                one_of(
                    &kinds,
                    objects,
                    object,
                    ("sharingFilesStrategy", STRATEGY_CLASS),
                )?,
                None,
            ))
        }
        _ => Err("checkpointType is neither a SavepointType nor a CheckpointType"),
    }
}

/// The kind whose name and constant are both those of the object.
fn one_of(
    kinds: &[SnapshotKind],
    objects: &Objects<'_>,
    object: Value,
    (constant, class): (&str, &str),
) -> Result<SnapshotKind, &'static str> {
    let name = objects
        .string_field(object, "name")
        .ok_or("the type has no name")?;
    let constant = objects
        .enum_field(object, constant, class)
        .ok_or("the type lacks a field")?;
    kinds
        .iter()
        .copied()
        .find(|kind| kind.name() == name && kind.constant() == constant)
        .ok_or("a type that no release of Flink writes")
}
