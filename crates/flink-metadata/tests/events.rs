//! Events say what `parse` says, and refuse what it refuses.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{self, Read};

use common::arbitrary::metadata;
use common::fixtures;
use flink_metadata::{
    Event, EventReader, KeyedStateFormat, Metadata, ParseError, Properties, READ_BUFFER_BYTES,
    ReadError, StatePart, StatePlace, StreamRef, events, parse, write,
};
use proptest::prelude::*;
use proptest::sample::Index;

/// What both readings tell.
#[derive(Debug, PartialEq, Eq, Default)]
struct Told {
    version: u32,
    checkpoint_id: u64,
    masters: Vec<String>,
    operators: Vec<String>,
    subtasks: Vec<(u32, bool)>,
    states: Vec<(String, String, usize)>,
    files: Vec<String>,
    properties: Option<Properties>,
}

fn by_parse(metadata: &Metadata) -> Told {
    let mut told = Told {
        version: metadata.version,
        checkpoint_id: metadata.checkpoint_id,
        properties: metadata.properties.clone(),
        files: metadata.files().map(|file| format!("{file:?}")).collect(),
        ..Told::default()
    };
    for master in &metadata.master_states {
        told.masters
            .push(format!("{} {}", master.name, master.bytes.len()));
    }
    for operator in &metadata.operators {
        told.operators.push(format!(
            "{:?} {:?} {} {} {}",
            operator.name,
            operator.uid,
            operator.id,
            operator.parallelism,
            operator.max_parallelism
        ));
        for subtask in &operator.subtasks {
            told.subtasks.push((subtask.index, subtask.is_finished()));
            let Some(state) = &subtask.state else {
                continue;
            };
            let handles = [&state.managed_operator, &state.raw_operator];
            for state in handles.into_iter().flatten().flat_map(|it| &it.states) {
                let mode = format!("{:?}", state.mode);
                told.states
                    .push((state.name.clone(), mode, state.offsets.len()));
            }
        }
    }
    told
}

impl Told {
    fn add(&mut self, event: Event<'_>) {
        match event {
            Event::Begin {
                version,
                checkpoint_id,
            } => (self.version, self.checkpoint_id) = (version, checkpoint_id),
            Event::MasterState { name, bytes } => self.masters.push(format!("{name} {bytes}")),
            Event::Operator(operator) => self.operators.push(format!(
                "{:?} {:?} {} {} {}",
                operator.name,
                operator.uid,
                operator.id,
                operator.parallelism,
                operator.max_parallelism
            )),
            Event::Subtask { index, is_finished } => self.subtasks.push((index, is_finished)),
            Event::OperatorState { name, mode, items } => {
                self.states
                    .push((name.into(), format!("{mode:?}"), items as usize));
            }
            Event::Handle(handle) => {
                let file = handle.file().map(|file| format!("{file:?}"));
                self.files.extend(file);
            }
            Event::End(properties) => self.properties = properties,
            _ => {}
        }
    }
}

fn by_events(bytes: &[u8]) -> Result<Told, ParseError> {
    let mut told = Told::default();
    for event in events(bytes) {
        told.add(event?);
    }
    Ok(told)
}

/// A source that gives a few bytes at a time.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(buffer.len());
        self.0.read(&mut buffer[..count])
    }
}

fn by_reader(source: impl Read) -> Result<Told, ParseError> {
    let mut reader = EventReader::new(source);
    let mut told = Told::default();
    loop {
        match reader.next_event() {
            Ok(Some(event)) => told.add(event),
            Ok(None) => return Ok(told),
            Err(ReadError::Parse(error)) => return Err(error),
            Err(ReadError::Io(error)) => panic!("{error}"),
        }
    }
}

#[test]
fn events_tell_what_parse_tells_of_every_snapshot() {
    for fixture in fixtures() {
        let expected = by_parse(&parse(&fixture.bytes).unwrap());
        assert_eq!(
            by_events(&fixture.bytes).unwrap(),
            expected,
            "{}",
            fixture.name
        );
        let read = by_reader(Slow(&fixture.bytes, 4096)).unwrap();
        assert_eq!(read, expected, "{}", fixture.name);
    }
}

#[test]
fn every_snapshot_cut_off_at_any_byte_is_refused_at_the_same_byte() {
    for fixture in fixtures() {
        for end in 0..fixture.bytes.len() {
            let cut = &fixture.bytes[..end];
            let expected = parse(cut).unwrap_err();
            let error = by_events(cut).unwrap_err();
            assert_eq!(
                error.at, expected.at,
                "{} cut at {end}: {error}",
                fixture.name
            );
        }
    }
}

#[test]
fn an_error_ends_the_events_and_says_where() {
    let fixture = &fixtures()[0];
    let cut = &fixture.bytes[..fixture.bytes.len() - 30];
    let expected = parse(cut).unwrap_err();
    let mut events = events(cut);
    let error = events.find_map(Result::err).unwrap();
    assert_eq!(error.to_string(), expected.to_string());
    assert!(events.next().is_none());
    let mut reader = EventReader::new(cut);
    let error = loop {
        if let Err(error) = reader.next_event() {
            break error;
        }
    };
    assert_eq!(error.to_string(), expected.to_string());
    assert!(reader.next_event().unwrap().is_none());
}

#[test]
fn a_source_that_fails_is_told() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let mut reader = EventReader::new(Failing);
    assert!(matches!(reader.next_event(), Err(ReadError::Io(_))));
}

/// A file of `files` handles that is never in memory as a whole: one operator, one subtask on `RocksDB`.
struct Large {
    head: Vec<u8>,
    tail: Vec<u8>,
    files: u32,
    given: u32,
}

impl Large {
    fn new(files: u32) -> Self {
        let mut head = vec![0x49, 0x60, 0x67, 0x2d, 0, 0, 0, 3];
        head.extend(1_i64.to_be_bytes());
        head.extend([0, 0, 0, 0, 0, 0, 0, 1]);
        head.extend([7; 16]);
        head.extend([0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        head.extend([0; 8]);
        // Incremental: checkpoint, backend, key groups, an empty stream as meta, shared files.
        head.push(5);
        head.extend([0; 8 + 2]);
        head.extend([0, 0, 0, 0, 0, 0, 0, 8, 16]);
        head.extend(files.to_be_bytes());
        // No private files, no raw keyed state, no channels.
        let tail = vec![0; 4 + 1 + 8];
        Self {
            head,
            tail,
            files,
            given: 0,
        }
    }

    fn file(number: u32) -> Vec<u8> {
        let mut bytes = vec![0, 10];
        bytes.extend(format!("{number:06}.sst").bytes());
        bytes.push(2);
        bytes.extend(i64::from(number).to_be_bytes());
        bytes.extend([0, 16]);
        bytes.extend(format!("s3://bucket/{number:04}").bytes().take(16));
        bytes
    }
}

impl Read for Large {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let next = if !self.head.is_empty() {
            std::mem::take(&mut self.head)
        } else if self.given < self.files {
            self.given += 1;
            Self::file(self.given % 10_000)
        } else {
            std::mem::take(&mut self.tail)
        };
        buffer[..next.len()].copy_from_slice(&next);
        Ok(next.len())
    }
}

#[test]
fn a_million_handles_pass_through_the_buffer() {
    const FILES: u32 = 1_000_000;
    let mut reader = EventReader::new(Large::new(FILES));
    let (mut files, mut bytes) = (0, 0);
    let mut formats = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            Event::KeyedState { kind, .. } => formats.push(kind),
            Event::Handle(handle) => {
                assert_eq!(handle.place, StatePlace::ManagedKeyed);
                assert_eq!(handle.subtask, Some(0));
                if let (StatePart::LsmShared { .. }, StreamRef::File { size, .. }) =
                    (&handle.part, &handle.stream)
                {
                    files += 1;
                    bytes += size.unwrap();
                }
            }
            _ => {}
        }
    }
    assert_eq!(formats, [KeyedStateFormat::Incremental]);
    assert_eq!((files, bytes), (FILES, 100 * (0..10_000_u64).sum::<u64>()));
    let in_all = Large::file(1).len() * FILES as usize;
    assert!(in_all > 30 * READ_BUFFER_BYTES, "{in_all}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn events_tell_what_parse_tells(written in metadata(), piece in 1..300_usize) {
        let bytes = write(&written).unwrap();
        let expected = by_parse(&written);
        prop_assert_eq!(&by_events(&bytes).unwrap(), &expected);
        prop_assert_eq!(&by_reader(Slow(&bytes, piece)).unwrap(), &expected);
    }

    #[test]
    fn events_refuse_what_parse_refuses(
        written in metadata(),
        flips in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = write(&written).unwrap();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        let expected = parse(&bytes);
        match (&expected, by_events(&bytes)) {
            (Ok(metadata), Ok(told)) => prop_assert_eq!(by_parse(metadata), told),
            (Err(expected), Err(error)) => {
                prop_assert_eq!(expected.at, error.at, "{} {}", expected, error);
            }
            (expected, told) => prop_assert!(false, "{expected:?} {told:?}"),
        }
        prop_assert_eq!(expected.is_ok(), by_reader(&bytes[..]).is_ok());
    }
}
