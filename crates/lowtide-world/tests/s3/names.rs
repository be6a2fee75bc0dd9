//! Names of keyed states from headers in S3: small ranges, one file an operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flink_metadata::{
    HEADER_READ_BYTES, KeyGroupRange, KeyGroupsHandle, KeyGroupsKind, KeyedStateHandle, Metadata,
    Operator, OperatorId, Scope, Segment, StreamHandle, Subtask, SubtaskState,
};
use lowtide_core::name::Location;
use lowtide_world::store::headers::{NamesUnknown, StateNames};
use testbench::proxy::{Proxy, Rule};

use super::metadata::file;
use super::shared::{server, settings, stores, wait};

/// Much longer than a header.
const FILE_BYTES: usize = 300 << 10;

/// A file that begins with the header of one state of this name, after so many bytes of serializers.
fn content(state: &str, serializer_bytes: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 6, 0, 0, 0, 0, 2, 0, 1, b'K'];
    bytes.extend(std::iter::repeat_n(b'x', serializer_bytes));
    bytes.extend([0, 1, 0, u8::try_from(state.len()).unwrap()]);
    bytes.extend(state.as_bytes());
    bytes.extend(b"\0\0\0\0\0\0\0\x01\0\x10KEYED_STATE_TYPE\0\x05VALUE");
    bytes.resize(FILE_BYTES, b'd');
    bytes
}

fn operator(number: u8, streams: Vec<StreamHandle>) -> Operator {
    let subtasks = (0..).zip(streams).map(|(index, stream)| {
        let handle = KeyGroupsHandle {
            kind: KeyGroupsKind::Savepoint,
            range: KeyGroupRange { start: 0, count: 0 },
            offsets: Vec::new(),
            stream,
        };
        let state = SubtaskState {
            managed_keyed: Some(KeyedStateHandle::KeyGroups(handle)),
            ..SubtaskState::default()
        };
        Subtask {
            index,
            state: Some(Box::new(state)),
        }
    });
    Operator {
        name: None,
        uid: None,
        id: OperatorId([number; 16]),
        parallelism: 2,
        max_parallelism: 128,
        coordinator: None,
        fully_finished: false,
        subtasks: subtasks.collect(),
    }
}

fn names(operators: Vec<Operator>, url: &str) -> StateNames {
    let metadata = Metadata {
        version: 4,
        checkpoint_id: 1,
        master_states: Vec::new(),
        operators,
        properties: None,
    };
    let location = Location::new("s3://names/sp");
    wait(lowtide_world::keyed_states(
        &location,
        &metadata,
        stores(settings(url)),
    ))
}

fn name(names: &StateNames, number: u8) -> &str {
    let told = names[&OperatorId([number; 16])].as_ref().unwrap();
    assert_eq!(told.states.len(), 1);
    &told.states[0].name
}

#[test]
fn headers_are_read_in_small_requests_one_file_an_operator() {
    let server = server();
    server.create_bucket("names").unwrap();
    let large = FILE_BYTES as u64;
    let mut operators = Vec::new();
    let mut objects = Vec::new();
    for number in 0..40_u8 {
        // The smaller file is not asked for.
        let key = |part: &str| format!("{number}-{part}");
        let streams = vec![file(&key("small"), large - 1), file(&key("large"), large)];
        operators.push(operator(number, streams));
        let content = content(&format!("state-{number}"), 0);
        objects.push((format!("sp/{}", key("large")), content));
    }
    // A header longer than the first request, and one in the middle of a merged file.
    operators.push(operator(100, vec![file("long", large)]));
    objects.push((
        "sp/long".to_owned(),
        content("long-one", HEADER_READ_BYTES + 10),
    ));
    let segment = StreamHandle::Segment(Box::new(Segment {
        start: 5_000,
        size: large,
        scope: Scope::Shared,
        path: "s3://names/shared/merged".to_owned(),
        logical_file_id: String::new(),
    }));
    operators.push(operator(101, vec![segment]));
    let merged = [vec![b'm'; 5_000], content("in-a-segment", 0)].concat();
    objects.push(("shared/merged".to_owned(), merged));
    // And two that cannot be read, which harms no other.
    operators.push(operator(102, vec![file("missing", large)]));
    operators.push(operator(103, vec![file("garbage", large)]));
    objects.push(("sp/garbage".to_owned(), vec![b'g'; FILE_BYTES]));
    server.put_all("names", objects).unwrap();

    let proxy = Proxy::builder(server.url()).signed().start().unwrap();
    let sent_bytes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent_bytes);
    proxy.rule(Rule::always().after(move |_, reply| {
        counted.fetch_add(reply.body.len() as u64, Ordering::Relaxed);
    }));
    let names = names(operators, proxy.url());
    assert_eq!(names.len(), 44);
    for number in 0..40_u8 {
        assert_eq!(name(&names, number), format!("state-{number}"));
    }
    assert_eq!(name(&names, 100), "long-one");
    assert_eq!(name(&names, 101), "in-a-segment");
    let why = |number: u8| names[&OperatorId([number; 16])].as_ref().unwrap_err();
    assert!(
        matches!(why(102), NamesUnknown::Unreadable(_)),
        "{}",
        why(102)
    );
    assert!(why(102).to_string().contains("s3://names/sp/missing"));
    assert!(matches!(why(103), NamesUnknown::Header(_)), "{}", why(103));
    // One request each, and a second for the long one.
    assert_eq!(proxy.requests().len(), 45);
    let sent = sent_bytes.load(Ordering::Relaxed);
    let each = HEADER_READ_BYTES as u64;
    assert!(sent >= 44 * each && sent < 46 * each, "{sent} bytes");
}

#[test]
fn a_store_that_cannot_be_reached_fails_nothing() {
    let operators = vec![operator(1, vec![file("a", 10)])];
    let names = names(operators, "http://127.0.0.1:1");
    let why = names[&OperatorId([1; 16])].as_ref().unwrap_err();
    assert!(matches!(why, NamesUnknown::Unreadable(_)), "{why}");
}
