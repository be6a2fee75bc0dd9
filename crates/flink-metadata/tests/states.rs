//! Names and kinds of states, from the headers that real snapshots hold.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::convert::Infallible;

use common::fixtures;
use flink_metadata::{
    HEADER_BYTES_MAX, HEADER_READ_BYTES, HeaderError, HeaderScan, KeyedStateKind, Metadata,
    ReadHeaderError, StreamHandle, keyed_states, parse, read_keyed_states,
};
use proptest::prelude::*;

/// The keyed states of the job that wrote the snapshots, and the release whose file is too old for timers.
const KEYED: [(&str, KeyedStateKind); 4] = [
    ("_timer_state/event_user-timers", KeyedStateKind::Timers),
    (
        "_timer_state/processing_user-timers",
        KeyedStateKind::Timers,
    ),
    ("cnt", KeyedStateKind::Value),
    ("seen", KeyedStateKind::Map),
];

/// Every header that lies in the metadata itself.
fn inline_headers(metadata: &Metadata) -> Vec<&[u8]> {
    let subtasks = metadata.operators.iter().flat_map(|it| &it.subtasks);
    let states = subtasks.filter_map(|it| it.state.as_deref()?.managed_keyed.as_ref());
    let streams = states.flat_map(flink_metadata::KeyedStateHandle::header_streams);
    streams
        .filter_map(|stream| match stream {
            StreamHandle::Inline { bytes, .. } => Some(bytes.as_slice()),
            _ => None,
        })
        .collect()
}

#[test]
fn keyed_states_are_found_in_the_headers_of_real_snapshots() {
    let mut snapshots = BTreeSet::new();
    for fixture in fixtures() {
        let metadata = parse(&fixture.bytes).unwrap();
        for header in inline_headers(&metadata) {
            let found =
                keyed_states(header).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
            let mut states: Vec<_> = found
                .states
                .iter()
                .map(|state| (state.name.as_str(), state.kind))
                .collect();
            states.sort_unstable();
            assert_eq!(states, KEYED, "{}", fixture.name);
            let serializer = found.key_serializer.unwrap();
            assert!(
                serializer.ends_with("LongSerializerSnapshot"),
                "{serializer}"
            );
            assert!(!found.is_compressed);
            snapshots.insert(fixture.name.clone());
        }
    }
    let expected = [
        "1.16.3/hashmap-finished",
        "2.3.0/chlog-chk-2",
        "2.3.0/chlog-native",
        "2.3.0/forst-native",
        "2.3.0/hashmap-finished",
        "2.3.0/rocks-native",
    ];
    assert_eq!(Vec::from_iter(snapshots), expected);
}

/// Found by fuzzing: with more bytes after the states, such a length reached into them.
#[test]
fn the_keys_serializer_ends_before_the_first_state() {
    let mut header = b"\0\0\0\x06\0\0\0\0\x02\0\xff".to_vec();
    header.extend(b"\0\x01\0\x01a\0\0\0\0\0\0\0\x01\0\x10KEYED_STATE_TYPE\0\x03MAP");
    let short = keyed_states(&header).unwrap();
    header.resize(1 << 10, b'x');
    let long = keyed_states(&header).unwrap();
    assert_eq!(short, long);
    assert_eq!(long.key_serializer, None);
    assert_eq!(long.states.len(), 1);
}

#[test]
fn a_header_cut_off_anywhere_needs_more() {
    let fixture = fixtures()
        .into_iter()
        .find(|it| it.name == "2.3.0/rocks-native")
        .unwrap();
    let metadata = parse(&fixture.bytes).unwrap();
    let header = inline_headers(&metadata)[0];
    let whole = keyed_states(header).unwrap();
    for end in 0..header.len() {
        match keyed_states(&header[..end]) {
            Ok(found) => {
                assert_eq!(found, whole);
                assert!(header[..end].ends_with(b"KEYED_STATE_TYPE\0\x03MAP"));
                return;
            }
            Err(HeaderError::NeedsMore { given, found }) => assert!(given == end && found < 4),
            Err(error) => panic!("{end}: {error}"),
        }
    }
    panic!("the header is as long as its stream");
}

#[test]
fn operator_states_are_in_the_metadata() {
    let mut told = BTreeSet::new();
    for fixture in fixtures() {
        for operator in parse(&fixture.bytes).unwrap().operators {
            let states = operator.operator_states().into_iter();
            told.extend(states.map(|(name, mode)| format!("{name} {mode:?}")));
        }
    }
    let expected = [
        "SourceReaderState SplitDistribute",
        "bcast Broadcast",
        "split-list SplitDistribute",
        "union-list Union",
    ];
    assert_eq!(Vec::from_iter(told), expected);
}

/// A header with one state behind so many bytes of serializers.
fn header_of(serializer_bytes: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 6, 1, 0, 0, 0, 2, 0, 1, b'K'];
    bytes.extend(std::iter::repeat_n(b'x', serializer_bytes));
    bytes.extend(b"\0\x01\0\x04list\0\0\0\x04\0\0\0\x01\0\x10KEYED_STATE_TYPE\0\x04LIST");
    bytes
}

#[test]
fn a_long_header_is_read_in_requests_that_double() {
    let file = [vec![7; 100], header_of(50_000)].concat();
    let mut requests = Vec::new();
    let found = read_keyed_states(100..file.len() as u64, |offset, bytes| {
        requests.push((offset, bytes));
        let from = &file[usize::try_from(offset).unwrap()..];
        Ok::<_, Infallible>(from[..bytes.min(from.len())].to_vec())
    });
    let found = found.unwrap();
    assert_eq!(found.states[0].name, "list");
    assert_eq!(found.states[0].kind, KeyedStateKind::List);
    assert!(found.is_compressed);
    let rest = file.len() - 100 - 2 * HEADER_READ_BYTES;
    let first = HEADER_READ_BYTES as u64;
    assert_eq!(
        requests,
        [
            (100, HEADER_READ_BYTES),
            (100 + first, HEADER_READ_BYTES),
            (100 + 2 * first, rest.min(2 * HEADER_READ_BYTES)),
        ]
    );
}

#[test]
fn a_header_without_end_is_given_up() {
    let error = read_keyed_states(0..u64::MAX, |offset, bytes| {
        let mut read = vec![0x78; bytes];
        if offset == 0 {
            read[..5].copy_from_slice(&[0, 0, 0, 6, 0]);
        }
        Ok::<_, Infallible>(read)
    });
    let expected = HeaderError::Incomplete {
        found: 0,
        bytes: HEADER_BYTES_MAX,
    };
    assert!(matches!(error, Err(ReadHeaderError::Header(error)) if error == expected));
    let error = keyed_states(b"\x28\xb5\x2f\xfd\0").unwrap_err();
    assert_eq!(error, HeaderError::NotAHeader { found: 0x28b5_2ffd });
    let mut scan = HeaderScan::new(0..10);
    assert_eq!(scan.wants(), 0..10);
    let short = scan.feed(&[0, 0, 0, 6, 0]).unwrap_err();
    assert_eq!(short, HeaderError::Incomplete { found: 0, bytes: 5 });
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut header = vec![0, 0, 0, 6, 0];
        header.extend(&bytes);
        let _ = (keyed_states(&bytes), keyed_states(&header));
    }
}
