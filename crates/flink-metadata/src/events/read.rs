//! Events from anything that can be read, through a buffer of fixed size.

use std::io::{self, ErrorKind, Read};

use super::Event;
use super::walk::{STEP_BYTES_MAX, Walk};
use crate::error::ParseError;
use crate::reader::Reader;

/// How many bytes an [`EventReader`] holds at a time: five of the longest steps of the grammar, so that moving
/// what is left of one to the front costs little beside reading.
pub const READ_BUFFER_BYTES: usize = 1 << 20;

/// Reads a `_metadata` file of any length in [`READ_BUFFER_BYTES`] of memory.
///
/// It reads large pieces, so a [`File`](std::fs::File) needs no `BufReader` around it.
///
/// The properties at the end must fit into the buffer, which holds a thousand times what Flink writes there.
///
/// # Example
///
/// ```
/// use flink_metadata::EventReader;
///
/// fn count_files(source: impl std::io::Read) -> Result<u64, flink_metadata::ReadError> {
///     let mut reader = EventReader::new(source);
///     let mut files = 0;
///     while let Some(event) = reader.next_event()? {
///         if event.into_handle().is_some_and(|handle| handle.file().is_some()) {
///             files += 1;
///         }
///     }
///     Ok(files)
/// }
///
/// let bytes = [&[0x49, 0x60, 0x67, 0x2d, 0, 0, 0, 3][..], &[0; 16]].concat();
/// assert_eq!(count_files(&bytes[..])?, 0);
/// assert!(count_files(&bytes[..20]).is_err());
/// # Ok::<(), flink_metadata::ReadError>(())
/// ```
#[derive(Debug)]
pub struct EventReader<R> {
    source: R,
    buffer: Vec<u8>,
    /// What was read and not yet used: from here
    start: usize,
    /// to here.
    end: usize,
    /// Offset in the file of the first byte of the buffer.
    base: usize,
    /// The source has ended.
    is_last: bool,
    walk: Walk,
}

/// Why an [`EventReader`] stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source cannot be read.
    #[error("the metadata cannot be read")]
    Io(#[source] io::Error),
    /// The bytes leave the grammar.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

impl<R: Read> EventReader<R> {
    /// Reads from the beginning of a `_metadata` file.
    pub fn new(source: R) -> Self {
        Self {
            source,
            buffer: vec![0; READ_BUFFER_BYTES],
            start: 0,
            end: 0,
            base: 0,
            is_last: false,
            walk: Walk::new(),
        }
    }

    /// The next event, which borrows its strings from the buffer; `None` after [`Event::End`] and after an
    /// error.
    ///
    /// # Errors
    ///
    /// The source fails, or where the bytes leave the grammar; as [`parse`](crate::parse) otherwise.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, ReadError> {
        while !self.quiet_steps()? {}
        let mut reader = Self::reader(&self.buffer, self.start, self.end, self.base, self.is_last);
        let event = self.walk.event(&mut reader)?;
        self.start = reader.at() - self.base;
        Ok(event)
    }

    /// Does steps without an event as far as the buffer reaches; says whether the next has one and can be
    /// done.
    fn quiet_steps(&mut self) -> Result<bool, ReadError> {
        if self.walk.is_over() {
            return Ok(true);
        }
        self.fill()?;
        let mut reader = Self::reader(&self.buffer, self.start, self.end, self.base, self.is_last);
        let mut is_loud = false;
        while !is_loud && (self.is_last || reader.left() >= STEP_BYTES_MAX) {
            is_loud = !self.walk.quiet_step(&mut reader)?;
        }
        self.start = reader.at() - self.base;
        Ok(is_loud)
    }

    fn reader(buffer: &[u8], start: usize, end: usize, base: usize, is_last: bool) -> Reader<'_> {
        Reader::of_part(&buffer[start..end], base + start, is_last)
    }

    /// Reads until the longest step can be done, or the source ends.
    fn fill(&mut self) -> Result<(), ReadError> {
        if self.is_last || self.end - self.start >= STEP_BYTES_MAX {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start;
        (self.start, self.end) = (0, self.end - self.start);
        while !self.is_last && self.end < STEP_BYTES_MAX {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.is_last = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Io(error)),
            }
        }
        Ok(())
    }
}
