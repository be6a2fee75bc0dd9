//! The grammar as a stack of what is still to be read, so that reading can stop after any event.
//!
//! A step reads one thing of bounded length: at most three strings and some numbers. Offsets and inline bytes
//! are passed over as far as they are there. So a reader with a buffer of [`STEP_BYTES_MAX`] never meets a
//! step it cannot do, and the stack is never deeper than the nesting that the grammar allows.

use std::borrow::Cow;

use crate::error::{ParseError, ParseErrorKind, Within};
use crate::handle::KeyGroupRange;
use crate::operator_id::OperatorId;
use crate::parse::{
    CHANNEL_BYTES_MIN, INPUT_TAGS, MASTER_STATE_BYTES_MIN, OPERATOR_BYTES_MIN, OUTPUT_TAGS,
    SUBTASK_BYTES_MIN, VERSION_WITH_CHANNEL_TAGS, VERSION_WITH_COORDINATORS, VERSION_WITH_NAMES,
    VERSION_WITH_PROPERTIES, finished_mark, header, master_magic, next_is_negative,
    skip_legacy_state,
};
use crate::parse_handle::{
    BACKEND_FILE_BYTES_MIN, CHANGE_BYTES_MIN, CHANGELOG_STREAM_BYTES_MIN, DELTA_BYTES_MIN,
    KEYED_STATE_BYTES_MIN, OPERATOR_STATE_BYTES_MIN, is_present, range, redistribution, scope, tag,
    unknown_tag,
};
use crate::properties;
use crate::reader::{MAX_DEPTH, Reader};

use super::{Event, HandleRef, KeyedStateFormat, OperatorRef, StatePart, StatePlace, StreamRef};

/// The longest step: three strings of at most 65,535 bytes with their lengths (an LSM file in a segment), and
/// the numbers among them.
pub(super) const STEP_BYTES_MAX: usize = 3 * (2 + 65_535) + 128;

/// The next event. An event is 150 bytes long: that all steps give it in the same form saves copies, which
/// would take as long as reading it.
type Next<'a> = Result<Option<Event<'a>>, ParseError>;

/// Something that is still to be read. Those with a count are lists.
#[derive(Debug, Clone, Copy)]
enum Task {
    Header,
    MasterStates(u32),
    OperatorCount,
    Operators(u32),
    Coordinator,
    SubtaskCount,
    Subtasks(u32),
    OperatorState(StatePlace),
    OperatorStates(u32),
    Merging,
    /// What follows is here.
    Place(StatePlace),
    Keyed {
        nested: usize,
    },
    Materialized {
        left: u32,
        nested: usize,
    },
    DeltaCount {
        nested: usize,
    },
    Deltas {
        left: u32,
        nested: usize,
    },
    ChangelogTail {
        v2: bool,
    },
    Changes(u32),
    Pieces {
        left: u32,
        nested: usize,
    },
    PiecesTail {
        v2: bool,
    },
    Stream {
        part: PlainPart,
        nested: usize,
    },
    FileCount {
        shared: bool,
        nested: usize,
    },
    Files {
        left: u32,
        shared: bool,
        nested: usize,
    },
    ChannelCount(StatePlace),
    Channels(u32),
    ChannelTail,
    Blob,
    Text,
    Skip(u64),
    Properties,
}

/// A stream that holds all of a state, and lies in nothing else.
const WHOLE_STREAM: Task = Task::Stream {
    part: PlainPart::Whole,
    nested: 0,
};

/// A [`StatePart`] without its string.
#[derive(Debug, Clone, Copy)]
enum PlainPart {
    Whole,
    LsmMeta,
    LsmFile { shared: bool },
    Changes { offset: i64 },
}

impl PlainPart {
    fn of(part: &StatePart<'_>) -> Self {
        match part {
            StatePart::Whole => Self::Whole,
            StatePart::LsmMeta => Self::LsmMeta,
            StatePart::LsmShared { .. } => Self::LsmFile { shared: true },
            StatePart::LsmPrivate { .. } => Self::LsmFile { shared: false },
            StatePart::Changes { offset } => Self::Changes { offset: *offset },
        }
    }

    /// The part, without a name.
    fn nameless(self) -> StatePart<'static> {
        let local_path = Cow::Borrowed("");
        match self {
            Self::Whole => StatePart::Whole,
            Self::LsmMeta => StatePart::LsmMeta,
            Self::LsmFile { shared: true } => StatePart::LsmShared { local_path },
            Self::LsmFile { shared: false } => StatePart::LsmPrivate { local_path },
            Self::Changes { offset } => StatePart::Changes { offset },
        }
    }
}

/// Where in the file the reading is, and what comes next.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    tasks: Vec<Task>,
    version: u32,
    /// How many operators and, in the current one, subtasks began.
    operators: usize,
    subtasks: usize,
    operator: OperatorId,
    subtask: Option<u32>,
    place: StatePlace,
    has_coordinator: bool,
}

impl Walk {
    pub(super) fn new() -> Self {
        Self {
            tasks: vec![Task::Header],
            version: 0,
            operators: 0,
            subtasks: 0,
            operator: OperatorId([0; 16]),
            subtask: None,
            place: StatePlace::Coordinator,
            has_coordinator: false,
        }
    }

    /// Whether the end was reached, or an error.
    pub(super) fn is_over(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Does the next step, if it is one without an event; says whether it was.
    #[inline]
    pub(super) fn quiet_step(&mut self, reader: &mut Reader<'_>) -> Result<bool, ParseError> {
        let Some(task) = self.tasks.last().copied() else {
            return Ok(false);
        };
        if is_loud(task, reader) {
            return Ok(false);
        }
        self.tasks.pop();
        let mut done = self.quiet(task, reader);
        if let Err(error) = &mut done {
            self.fail(error);
        }
        done.map(|()| true)
    }

    /// Does the next step, which is one with an event; `None` at the end.
    pub(super) fn event<'a>(&mut self, reader: &mut Reader<'a>) -> Next<'a> {
        let Some(task) = self.tasks.pop() else {
            return Ok(None);
        };
        let mut next = self.loud(task, reader);
        if let Err(error) = &mut next {
            self.fail(error);
        }
        next
    }

    /// Ends the walk, and adds to an error where it was.
    fn fail(&mut self, error: &mut ParseError) {
        self.tasks.clear();
        if let Some(subtask) = self.subtasks.checked_sub(1) {
            error.inside(self.place.name(), None);
            error.inside("subtask", Some(subtask));
        }
        if let Some(operator) = self.operators.checked_sub(1) {
            error.inside("operator", Some(operator));
        }
    }

    fn push<const N: usize>(&mut self, in_order: [Task; N]) {
        self.tasks.extend(in_order.into_iter().rev());
    }
}

/// Whether the step gives an event.
#[inline]
fn is_loud(task: Task, reader: &Reader<'_>) -> bool {
    match task {
        Task::Header | Task::Stream { .. } | Task::Properties => true,
        Task::MasterStates(left)
        | Task::Operators(left)
        | Task::Subtasks(left)
        | Task::OperatorStates(left)
        | Task::Files { left, .. }
        | Task::Deltas { left, .. }
        | Task::Pieces { left, .. } => left > 0,
        Task::Coordinator | Task::Keyed { .. } => {
            reader.clone().u8().is_ok_and(|tag| tag != tag::NULL)
        }
        _ => false,
    }
}

impl StatePlace {
    fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator state",
            Self::ManagedOperator => "managed operator state",
            Self::RawOperator => "raw operator state",
            Self::ManagedKeyed => "managed keyed state",
            Self::RawKeyed => "raw keyed state",
            Self::InputChannel => "input channel",
            Self::OutputChannel => "output channel",
        }
    }
}

/// Steps without an event.
impl Walk {
    fn quiet(&mut self, task: Task, reader: &mut Reader<'_>) -> Result<(), ParseError> {
        match task {
            Task::OperatorCount => {
                let count = count(reader, "operator", OPERATOR_BYTES_MIN)?;
                self.push([Task::Operators(count)]);
            }
            // Only the lists that ended come here, and a coordinator without state.
            Task::Operators(_) => {
                (self.operators, self.subtasks) = (0, 0);
                self.push([Task::Properties]);
            }
            Task::Coordinator => {
                reader.u8()?;
            }
            Task::SubtaskCount => self.subtask_count(reader)?,
            Task::OperatorState(place) => self.operator_state(place, reader)?,
            Task::Merging => {
                reader.text()?;
                reader.text()?;
                reader.bool()?;
            }
            Task::Keyed { nested } => {
                too_deep(nested, reader)?;
                reader.u8()?;
            }
            Task::Materialized { left, nested } => self.materialized(left, nested),
            Task::Place(place) => self.place = place,
            Task::DeltaCount { nested } => {
                let left = count(reader, "delta", DELTA_BYTES_MIN)?;
                self.push([Task::Deltas { left, nested }]);
            }
            Task::Changes(left) => self.change(left, reader)?,
            Task::ChangelogTail { v2 } => {
                reader.i64()?;
                if v2 {
                    reader.i64()?;
                }
                reader.text()?;
            }
            Task::PiecesTail { v2 } => {
                reader.u64("changelog size")?;
                reader.size("checkpointed size")?;
                reader.text()?;
                if v2 {
                    reader.text()?;
                }
            }
            Task::FileCount { shared, nested } => {
                let what = if shared {
                    "shared file"
                } else {
                    "private file"
                };
                let left = count(reader, what, BACKEND_FILE_BYTES_MIN)?;
                self.push([Task::Files {
                    left,
                    shared,
                    nested,
                }]);
            }
            Task::ChannelCount(place) => {
                self.place = place;
                let count = count(reader, place.name(), CHANNEL_BYTES_MIN)?;
                self.push([Task::Channels(count)]);
            }
            Task::Channels(left) => self.channel(left, reader)?,
            Task::ChannelTail => {
                reader.i64()?;
            }
            Task::Blob => {
                let count = count(reader, "bytes", 1)?;
                self.push([Task::Skip(count.into())]);
            }
            Task::Text => {
                reader.text()?;
            }
            Task::Skip(bytes) => self.skip(bytes, reader)?,
            // Lists that ended.
            Task::MasterStates(_)
            | Task::Subtasks(_)
            | Task::OperatorStates(_)
            | Task::Deltas { .. }
            | Task::Pieces { .. }
            | Task::Files { .. } => {}
            Task::Header | Task::Stream { .. } | Task::Properties => {
                unreachable!("these give an event")
            }
        }
        Ok(())
    }

    fn subtask_count(&mut self, reader: &mut Reader<'_>) -> Result<(), ParseError> {
        if self.version >= VERSION_WITH_COORDINATORS && next_is_negative(reader) {
            finished_mark(reader)?;
            if self.has_coordinator {
                return Err(reader.error(ParseErrorKind::FinishedWithCoordinator));
            }
            return Ok(());
        }
        let count = count(reader, "subtask", SUBTASK_BYTES_MIN)?;
        self.push([Task::Subtasks(count)]);
        Ok(())
    }

    fn operator_state(
        &mut self,
        place: StatePlace,
        reader: &mut Reader<'_>,
    ) -> Result<(), ParseError> {
        self.place = place;
        if !is_present(reader)? {
            return Ok(());
        }
        let stream = WHOLE_STREAM;
        let merges = match reader.u8()? {
            tag::NULL => return Ok(()),
            tag::OPERATOR_STATE => false,
            tag::MERGING_OPERATOR_STATE => true,
            other => return unknown_tag(reader, "operator state", other),
        };
        let count = count(reader, "state", OPERATOR_STATE_BYTES_MIN)?;
        if merges {
            self.push([Task::OperatorStates(count), Task::Merging, stream]);
        } else {
            self.push([Task::OperatorStates(count), stream]);
        }
        Ok(())
    }

    fn materialized(&mut self, left: u32, nested: usize) {
        if left > 0 {
            let left = left - 1;
            self.push([Task::Keyed { nested }, Task::Materialized { left, nested }]);
        }
    }

    fn change(&mut self, left: u32, reader: &mut Reader<'_>) -> Result<(), ParseError> {
        if left > 0 {
            reader.i32()?;
            self.push([Task::Blob, Task::Changes(left - 1)]);
        }
        Ok(())
    }

    fn channel(&mut self, left: u32, reader: &mut Reader<'_>) -> Result<(), ParseError> {
        if left == 0 {
            return Ok(());
        }
        let tags = match self.place {
            StatePlace::InputChannel => INPUT_TAGS,
            _ => OUTPUT_TAGS,
        };
        let is_merged = self.version >= VERSION_WITH_CHANNEL_TAGS
            && match reader.u8()? {
                tag if tag == tags[0] => false,
                tag if tag == tags[1] => true,
                other => return unknown_tag(reader, "channel state", other),
            };
        reader.i32()?;
        let stream = WHOLE_STREAM;
        let next = Task::Channels(left - 1);
        if is_merged {
            reader.i64()?;
            self.push([stream, Task::Blob, next]);
            return Ok(());
        }
        reader.i32()?;
        reader.i32()?;
        let offsets = reader.u32("number of offsets")?;
        self.push([longs(offsets, reader)?, Task::ChannelTail, stream, next]);
        Ok(())
    }

    /// Passes over bytes as far as they are there.
    fn skip(&mut self, bytes: u64, reader: &mut Reader<'_>) -> Result<(), ParseError> {
        let left = reader.left();
        let now = usize::try_from(bytes).unwrap_or(usize::MAX);
        if now <= left || reader.is_last() {
            return reader.bytes(now).map(drop);
        }
        reader.bytes(left)?;
        self.push([Task::Skip(bytes - left as u64)]);
        Ok(())
    }
}

/// Steps with an event.
impl Walk {
    fn loud<'a>(&mut self, task: Task, reader: &mut Reader<'a>) -> Next<'a> {
        match task {
            Task::Header => self.begin(reader),
            Task::MasterStates(left) => self.master_state(left, reader),
            Task::Operators(left) => self.operator(left, reader),
            Task::Coordinator => self.coordinator(reader),
            Task::Subtasks(left) => self.subtask(left, reader),
            Task::OperatorStates(left) => self.one_operator_state(left, reader),
            Task::Keyed { nested } => self.keyed(nested, reader),
            Task::Deltas { left, nested } => {
                let left = left - 1;
                self.push([Task::Deltas { left, nested }]);
                let tag = reader.u8()?;
                self.delta(tag, "changelog delta", nested, reader)
            }
            Task::Pieces { left, nested } => {
                let left = left - 1;
                self.push([Task::Pieces { left, nested }]);
                let offset = reader.i64()?;
                self.stream(StatePart::Changes { offset }, nested, reader)
            }
            Task::Files {
                left,
                shared,
                nested,
            } => {
                let left = left - 1;
                self.push([Task::Files {
                    left,
                    shared,
                    nested,
                }]);
                self.backend_file(shared, nested, reader)
            }
            Task::Stream { part, nested } => self.stream(part.nameless(), nested, reader),
            Task::Properties => self.end(reader),
            other => unreachable!("{other:?} gives no event"),
        }
    }

    fn begin<'a>(&mut self, reader: &mut Reader<'a>) -> Next<'a> {
        self.version = header(reader)?;
        let checkpoint_id = reader.u64("checkpoint id")?;
        let masters = count(reader, "master state", MASTER_STATE_BYTES_MIN)?;
        self.push([Task::MasterStates(masters), Task::OperatorCount]);
        Ok(Some(Event::Begin {
            version: self.version,
            checkpoint_id,
        }))
    }

    fn master_state<'a>(&mut self, left: u32, reader: &mut Reader<'a>) -> Next<'a> {
        master_magic(reader)?;
        let framed_at = reader.at();
        let framed = count(reader, "bytes of master state", 1)? as usize;
        let begin = reader.at();
        reader.i32()?;
        let name = reader.text()?;
        let bytes = count(reader, "bytes", 1)?;
        let content = (reader.at() - begin).saturating_add(bytes as usize);
        if content != framed {
            let kind = ParseErrorKind::MasterStateLength { framed, content };
            return Err(ParseError::new(framed_at, kind));
        }
        let bytes = u64::from(bytes);
        self.push([Task::Skip(bytes), Task::MasterStates(left - 1)]);
        Ok(Some(Event::MasterState { name, bytes }))
    }

    fn operator<'a>(&mut self, left: u32, reader: &mut Reader<'a>) -> Next<'a> {
        (self.operators, self.subtasks) = (self.operators + 1, 0);
        self.push([Task::SubtaskCount, Task::Operators(left - 1)]);
        let (mut name, mut uid) = (None, None);
        if self.version >= VERSION_WITH_NAMES {
            let is_there = |text: &Cow<'_, str>| !text.is_empty();
            name = Some(reader.text().within("name")?).filter(is_there);
            uid = Some(reader.text().within("uid")?).filter(is_there);
        }
        let id = OperatorId(reader.array()?);
        (self.operator, self.subtask, self.has_coordinator) = (id, None, false);
        self.place = StatePlace::Coordinator;
        let parallelism = reader.u32("parallelism")?;
        let max_parallelism = reader.u32("maximum parallelism")?;
        if self.version >= VERSION_WITH_COORDINATORS {
            self.push([Task::Coordinator]);
        } else {
            let _chain_length = reader.i32()?;
        }
        Ok(Some(Event::Operator(OperatorRef {
            name,
            uid,
            id,
            parallelism,
            max_parallelism,
        })))
    }

    /// A coordinator's state is bytes, where there is any.
    fn coordinator<'a>(&mut self, reader: &mut Reader<'a>) -> Next<'a> {
        self.has_coordinator = true;
        let mut peek = reader.clone();
        match peek.u8()? {
            tag::BYTE_STREAM => self.stream(StatePart::Whole, 0, reader),
            other => unknown_tag(&peek, "stream", other),
        }
        .within("coordinator state")
    }

    fn subtask<'a>(&mut self, left: u32, reader: &mut Reader<'a>) -> Next<'a> {
        self.subtasks += 1;
        self.place = StatePlace::ManagedOperator;
        self.push([Task::Subtasks(left - 1)]);
        let is_finished = self.version >= VERSION_WITH_COORDINATORS && next_is_negative(reader);
        let index = if is_finished {
            !reader.u32_bits()?
        } else {
            reader.u32("subtask index")?
        };
        self.subtask = Some(index);
        if is_finished {
            return Ok(Some(Event::Subtask { index, is_finished }));
        }
        if self.version >= VERSION_WITH_COORDINATORS {
            self.push([
                Task::ChannelCount(StatePlace::InputChannel),
                Task::ChannelCount(StatePlace::OutputChannel),
            ]);
        } else {
            skip_legacy_state(reader)?;
        }
        self.push([
            Task::OperatorState(StatePlace::ManagedOperator),
            Task::OperatorState(StatePlace::RawOperator),
            Task::Place(StatePlace::ManagedKeyed),
            Task::Keyed { nested: 0 },
            Task::Place(StatePlace::RawKeyed),
            Task::Keyed { nested: 0 },
        ]);
        Ok(Some(Event::Subtask { index, is_finished }))
    }

    fn one_operator_state<'a>(&mut self, left: u32, reader: &mut Reader<'a>) -> Next<'a> {
        let name = reader.text()?;
        let mode = redistribution(reader)?;
        let items = reader.u32("number of offsets")?;
        self.push([longs(items, reader)?, Task::OperatorStates(left - 1)]);
        Ok(Some(Event::OperatorState { name, mode, items }))
    }

    fn keyed<'a>(&mut self, nested: usize, reader: &mut Reader<'a>) -> Next<'a> {
        too_deep(nested, reader)?;
        let tag = reader.u8()?;
        let (kind, range) = match tag {
            tag::KEY_GROUPS | tag::KEY_GROUPS_V2 | tag::SAVEPOINT_KEY_GROUPS => {
                let range = range(reader)?;
                let stream = Task::Stream {
                    part: PlainPart::Whole,
                    nested: nested + 1,
                };
                if tag == tag::KEY_GROUPS_V2 {
                    self.push([Task::Text]);
                }
                self.push([longs(range.count, reader)?, stream]);
                let kind = match tag {
                    tag::SAVEPOINT_KEY_GROUPS => KeyedStateFormat::SavepointKeyGroups,
                    _ => KeyedStateFormat::KeyGroups,
                };
                (kind, range)
            }
            tag::INCREMENTAL | tag::INCREMENTAL_V2 => {
                let range = self.incremental(tag == tag::INCREMENTAL_V2, nested + 1, reader)?;
                (KeyedStateFormat::Incremental, range)
            }
            tag::CHANGELOG | tag::CHANGELOG_V2 => {
                let range = range(reader)?;
                reader.size("checkpointed size")?;
                let left = count(reader, "materialized", KEYED_STATE_BYTES_MIN)?;
                let v2 = tag == tag::CHANGELOG_V2;
                let nested = nested + 1;
                self.push([
                    Task::Materialized { left, nested },
                    Task::DeltaCount { nested },
                    Task::ChangelogTail { v2 },
                ]);
                (KeyedStateFormat::Changelog, range)
            }
            other => return self.delta(other, "keyed state", nested + 1, reader),
        };
        Ok(Some(Event::KeyedState { kind, range }))
    }

    fn incremental(
        &mut self,
        v2: bool,
        nested: usize,
        reader: &mut Reader<'_>,
    ) -> Result<KeyGroupRange, ParseError> {
        reader.i64()?;
        reader.text()?;
        let range = range(reader)?;
        if v2 {
            reader.size("checkpointed size")?;
            self.push([Task::Text]);
        }
        self.push([
            Task::Stream {
                part: PlainPart::LsmMeta,
                nested,
            },
            Task::FileCount {
                shared: true,
                nested,
            },
            Task::FileCount {
                shared: false,
                nested,
            },
        ]);
        Ok(range)
    }

    fn backend_file<'a>(
        &mut self,
        shared: bool,
        nested: usize,
        reader: &mut Reader<'a>,
    ) -> Next<'a> {
        let local_path = reader.text()?;
        let part = if shared {
            StatePart::LsmShared { local_path }
        } else {
            StatePart::LsmPrivate { local_path }
        };
        self.stream(part, nested, reader)
    }

    fn delta<'a>(
        &mut self,
        tag: u8,
        what: &'static str,
        nested: usize,
        reader: &mut Reader<'a>,
    ) -> Next<'a> {
        let v2 = match tag {
            tag::CHANGELOG_IN_MEMORY => {
                let range = range(reader)?;
                reader.i64()?;
                reader.i64()?;
                let changes = count(reader, "change", CHANGE_BYTES_MIN)?;
                self.push([Task::Changes(changes), Task::Text]);
                let kind = KeyedStateFormat::ChangesInMemory;
                return Ok(Some(Event::KeyedState { kind, range }));
            }
            tag::CHANGELOG_STREAMS => false,
            tag::CHANGELOG_STREAMS_V2 => true,
            other => return unknown_tag(reader, what, other),
        };
        let range = range(reader)?;
        let left = count(reader, "stream", CHANGELOG_STREAM_BYTES_MIN)?;
        self.push([Task::Pieces { left, nested }, Task::PiecesTail { v2 }]);
        let kind = KeyedStateFormat::Changes;
        Ok(Some(Event::KeyedState { kind, range }))
    }

    fn stream<'a>(
        &mut self,
        part: StatePart<'a>,
        nested: usize,
        reader: &mut Reader<'a>,
    ) -> Next<'a> {
        too_deep(nested, reader)?;
        let at = reader.at();
        let stream = match reader.u8()? {
            tag::NULL => {
                let what = "stream";
                return Err(ParseError::new(at, ParseErrorKind::NullHandle { what }));
            }
            tag::BYTE_STREAM => {
                let name = reader.text()?;
                let size = count(reader, "bytes", 1)?.into();
                self.push([Task::Skip(size)]);
                StreamRef::Inline { name, size }
            }
            tag::FILE => {
                let size = reader.size("file size")?;
                let path = reader.text()?;
                StreamRef::File { path, size }
            }
            tag::RELATIVE => StreamRef::Relative {
                path: reader.text()?,
                size: reader.size("file size")?,
            },
            tag::KEY_GROUPS => {
                let range = range(reader)?;
                let inner = Task::Stream {
                    part: PlainPart::of(&part),
                    nested: nested + 1,
                };
                self.push([longs(range.count, reader)?, inner]);
                StreamRef::KeyGroups { range }
            }
            tag::SEGMENT => StreamRef::Segment {
                start: reader.u64("start of a segment")?,
                size: reader.u64("size of a segment")?,
                scope: scope(reader)?,
                path: reader.text()?,
                logical_file_id: reader.text()?,
            },
            tag::EMPTY_SEGMENT => StreamRef::EmptySegment,
            other => return unknown_tag(reader, "stream", other),
        };
        Ok(Some(Event::Handle(HandleRef {
            operator: self.operator,
            subtask: self.subtask,
            place: self.place,
            part,
            stream,
        })))
    }

    fn end<'a>(&mut self, reader: &mut Reader<'a>) -> Next<'a> {
        let properties = if self.version >= VERSION_WITH_PROPERTIES {
            properties::read(reader)?
        } else {
            None
        };
        match reader.left() {
            0 => Ok(Some(Event::End(properties))),
            count => Err(reader.error(ParseErrorKind::TrailingBytes { count })),
        }
    }
}

/// A count of items of at least so many bytes each, which fits into the file if its length is known.
fn count(reader: &mut Reader<'_>, what: &'static str, bytes_min: usize) -> Result<u32, ParseError> {
    let at = reader.at();
    let count = reader.u32(what)?;
    reader.fits(at, what, count, bytes_min)?;
    Ok(count)
}

/// Passes over as many `long`s.
fn longs(count: u32, reader: &Reader<'_>) -> Result<Task, ParseError> {
    reader.fits(reader.at(), "offsets", count, 8)?;
    Ok(Task::Skip(8 * u64::from(count)))
}

fn too_deep(nested: usize, reader: &Reader<'_>) -> Result<(), ParseError> {
    if nested >= MAX_DEPTH {
        return Err(reader.error(ParseErrorKind::TooDeep { max: MAX_DEPTH }));
    }
    Ok(())
}
