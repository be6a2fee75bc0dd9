//! What can be wrong with the bytes, and where.

use std::fmt;

/// Why a file could not be read: what is wrong, at which byte, and in which part of the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}{}{path}: {kind}", if path.is_top() { "" } else { ", in " })]
pub struct ParseError {
    /// Offset in bytes, from the beginning of the file, of the value that is wrong.
    pub at: usize,
    /// The part of the file that was being read.
    pub path: Place,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

impl ParseError {
    pub(crate) fn new(at: usize, kind: ParseErrorKind) -> Self {
        Self {
            at,
            path: Place::default(),
            kind,
        }
    }
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The first four bytes are not Flink's magic number (`Checkpoints.HEADER_MAGIC_NUMBER`).
    #[error("not a Flink metadata file: it begins with {found:#010x}, not with 0x4960672d")]
    NotMetadata {
        /// The first four bytes, big endian.
        found: u32,
    },
    /// A version that this crate does not read. Nothing after the version number was looked at.
    #[error(
        "unsupported version {version} of the metadata format, {}; \
         versions 2 (Flink 1.3) to 6 (Flink 2.1 to 2.3) are supported",
        explain_version(*version)
    )]
    UnsupportedVersion {
        /// The version number in the file.
        version: i32,
    },
    /// The file ends inside a value.
    #[error("the file ends too soon: {needed} bytes needed, {left} left")]
    Truncated {
        /// How many bytes the value needs.
        needed: usize,
        /// How many bytes there are.
        left: usize,
    },
    /// Bytes follow where the file must end.
    #[error("bytes after the end of the metadata: {count}")]
    TrailingBytes {
        /// How many bytes follow.
        count: usize,
    },
    /// A number that cannot be what it stands for.
    #[error("{what} cannot be {found}")]
    BadValue {
        /// What the number stands for.
        what: &'static str,
        /// The number in the file.
        found: i64,
    },
    /// A count of items or bytes that cannot fit into what is left of the file. Refused before
    /// anything is allocated.
    #[error("{count} {what} cannot fit into the {left} bytes that are left")]
    CountTooLarge {
        /// What is counted.
        what: &'static str,
        /// The count in the file.
        count: u32,
        /// How many bytes are left.
        left: usize,
    },
    /// A type tag that does not belong here: corrupt, or written by a newer Flink.
    #[error("unknown type {tag} of {what}")]
    UnknownTag {
        /// What the tag is the type of.
        what: &'static str,
        /// The tag in the file.
        tag: u8,
    },
    /// A null handle where Flink needs a stream.
    #[error("no {what} where there must be one")]
    NullHandle {
        /// What is missing.
        what: &'static str,
    },
    /// A string that is not Java's modified UTF-8 (`java.io.DataInput.readUTF`).
    #[error("not a string in Java's modified UTF-8")]
    BadString,
    /// The framed length of a master hook's state and the length of its content differ.
    #[error("the master state is {content} bytes long and says {framed}")]
    MasterStateLength {
        /// The length that the frame says, in bytes.
        framed: usize,
        /// The length of the content, in bytes.
        content: usize,
    },
    /// An operator that is finished in all its subtasks and yet has coordinator state.
    #[error("a finished operator has coordinator state")]
    FinishedWithCoordinator,
    /// Handles or Java objects nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error("nested deeper than {max} levels")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// The checkpoint properties are Java-serialized in a way that Flink does not write.
    #[error("checkpoint properties: {0}")]
    BadProperties(&'static str),
}

fn explain_version(version: i32) -> &'static str {
    match version {
        1 => "written by Flink 1.1 or 1.2, which Flink itself reads no longer",
        7 => "which is newer than Flink 2.3: no release wrote it, its development branch does",
        8.. => "which is newer than Flink 2.3",
        _ => "which no release of Flink wrote",
    }
}

/// A place in the grammar of the file, such as `operator 3 > subtask 1 > managed keyed state`.
///
/// The numbers count from 0, in the order of the file. Use `Display` to print it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place(Vec<Step>);

impl Place {
    /// Whether it is the file itself, in none of its parts.
    #[must_use]
    pub fn is_top(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().rev().enumerate() {
            if position > 0 {
                f.write_str(" > ")?;
            }
            f.write_str(step.name)?;
            if let Some(index) = step.index {
                write!(f, " {index}")?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    name: &'static str,
    index: Option<usize>,
}

/// Adds the place to an error on its way up, so that reading without errors pays nothing for it.
pub(crate) trait Within {
    fn within(self, name: &'static str) -> Self;
    fn within_item(self, name: &'static str, index: usize) -> Self;
}

impl<T> Within for Result<T, ParseError> {
    fn within(self, name: &'static str) -> Self {
        self.map_err(|mut error| {
            error.inside(name, None);
            error
        })
    }

    fn within_item(self, name: &'static str, index: usize) -> Self {
        self.map_err(|mut error| {
            error.inside(name, Some(index));
            error
        })
    }
}

impl ParseError {
    /// Adds a place around those that it has.
    pub(crate) fn inside(&mut self, name: &'static str, index: Option<usize>) {
        self.path.0.push(Step { name, index });
    }
}
