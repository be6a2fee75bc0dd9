//! Each contradiction, made in metadata that has none.

#![allow(clippy::unwrap_used)]

use flink_metadata::{
    AnomalyKind, KeyGroupRange, KeyGroupsHandle, KeyGroupsKind, KeyedStateHandle,
    MAX_PARALLELISM_LIMIT, Metadata, Operator, OperatorId, OperatorState, OperatorStateHandle,
    Properties, Redistribution, SavepointFormat, SnapshotKind, StreamHandle, Subtask, SubtaskState,
};

const STREAM_BYTES: u64 = 100;

fn stream() -> StreamHandle {
    StreamHandle::Relative {
        path: "x".to_owned(),
        size: Some(STREAM_BYTES),
    }
}

fn keyed(start: u32, offsets: &[i64]) -> KeyedStateHandle {
    let count = u32::try_from(offsets.len()).unwrap();
    KeyedStateHandle::KeyGroups(KeyGroupsHandle {
        kind: KeyGroupsKind::Savepoint,
        range: KeyGroupRange { start, count },
        offsets: offsets.to_vec(),
        stream: stream(),
    })
}

fn subtask(index: u32, managed_keyed: Option<KeyedStateHandle>) -> Subtask {
    let state = SubtaskState {
        managed_keyed,
        ..SubtaskState::default()
    };
    Subtask {
        index,
        state: Some(Box::new(state)),
    }
}

/// Parallelism 3, 10 key groups, divided as Flink divides them: 0 to 3, 4 to 6, 7 to 9.
fn sound() -> Metadata {
    let operator = Operator {
        name: None,
        uid: None,
        id: OperatorId([7; 16]),
        parallelism: 3,
        max_parallelism: 10,
        coordinator: None,
        fully_finished: false,
        subtasks: vec![
            subtask(2, Some(keyed(7, &[0, 100, 50]))),
            subtask(0, Some(keyed(0, &[0, 1, 2, 3]))),
            subtask(1, Some(keyed(4, &[0, 0, 9]))),
        ],
    };
    Metadata {
        version: 3,
        checkpoint_id: 1,
        master_states: Vec::new(),
        operators: vec![operator],
        properties: None,
    }
}

#[track_caller]
fn found(change: impl FnOnce(&mut Operator)) -> Vec<AnomalyKind> {
    let mut metadata = sound();
    change(&mut metadata.operators[0]);
    metadata
        .anomalies()
        .into_iter()
        .map(|anomaly| anomaly.kind)
        .collect()
}

fn state(operator: &mut Operator, position: usize) -> &mut SubtaskState {
    operator.subtasks[position].state.as_mut().unwrap()
}

#[test]
fn sound_metadata_has_none() {
    assert_eq!(found(|_| ()), []);
    assert_eq!(found(|operator| operator.subtasks.clear()), []);
}

#[test]
fn an_operator_twice() {
    let mut metadata = sound();
    metadata.operators.push(metadata.operators[0].clone());
    let anomalies = metadata.anomalies();
    assert_eq!(anomalies.len(), 1);
    assert_eq!(anomalies[0].kind, AnomalyKind::DuplicateOperator);
    assert_eq!(
        anomalies[0].to_string(),
        "operator 07070707070707070707070707070707: listed twice"
    );
}

/// The managed keyed state of a subtask, in another encoding.
fn encode(metadata: &mut Metadata, position: usize, encoding: KeyGroupsKind) {
    let state = state(&mut metadata.operators[0], position);
    let Some(KeyedStateHandle::KeyGroups(handle)) = &mut state.managed_keyed else {
        panic!("it has key groups")
    };
    handle.kind = encoding;
}

fn kinds(metadata: &Metadata) -> Vec<AnomalyKind> {
    let anomalies = metadata.anomalies().into_iter();
    anomalies.map(|anomaly| anomaly.kind).collect()
}

/// As Flink 1.16 and later write it.
fn of_kind(kind: SnapshotKind, format: Option<SavepointFormat>) -> Metadata {
    let mut metadata = sound();
    metadata.version = 4;
    metadata.properties = Some(Properties {
        kind,
        format,
        forced: false,
        discard_cancelled: false,
        discard_failed: false,
        discard_finished: false,
        discard_subsumed: false,
        discard_suspended: false,
        unclaimed: false,
    });
    metadata
}

#[test]
fn an_encoding_of_another_kind_of_snapshot() {
    let v2 = || KeyGroupsKind::V2 {
        state_handle_id: "id".to_owned(),
    };
    let canonical = Some(SavepointFormat::Canonical);
    let mut metadata = of_kind(SnapshotKind::Savepoint, canonical);
    assert_eq!(kinds(&metadata), []);
    encode(&mut metadata, 1, v2());
    assert_eq!(kinds(&metadata), [AnomalyKind::NotCanonical { subtask: 0 }]);

    // A native savepoint may hold either: RocksDB writes whole streams as canonical savepoints have them.
    let mut metadata = of_kind(SnapshotKind::Savepoint, Some(SavepointFormat::Native));
    encode(&mut metadata, 1, v2());
    assert_eq!(kinds(&metadata), []);

    // Before version 4 nothing says which; they must be alike.
    let mut metadata = sound();
    encode(&mut metadata, 1, KeyGroupsKind::V1);
    let mixed = AnomalyKind::MixedEncodings { subtask: 0 };
    assert!(!mixed.is_certain());
    assert_eq!(kinds(&metadata), [mixed]);
    (0..3).for_each(|position| encode(&mut metadata, position, KeyGroupsKind::V1));
    assert_eq!(kinds(&metadata), []);
}

#[test]
fn an_encoding_that_is_older_than_the_metadata() {
    let mut metadata = of_kind(SnapshotKind::Checkpoint, None);
    (0..3).for_each(|position| encode(&mut metadata, position, KeyGroupsKind::V1));
    let expected = [2, 0, 1].map(|subtask| AnomalyKind::OutdatedEncoding { subtask });
    assert_eq!(kinds(&metadata), expected);
}

#[test]
fn a_path_with_nul() {
    let nul = || StreamHandle::Inline {
        name: "a\0b".to_owned(),
        bytes: Vec::new(),
    };
    let subtask = |subtask| vec![AnomalyKind::NulInPath { subtask }];
    assert_eq!(
        found(|operator| operator.coordinator = Some(nul())),
        subtask(None)
    );
    let raw = OperatorStateHandle {
        states: Vec::new(),
        stream: nul(),
        merging: None,
    };
    let change = |operator: &mut Operator| state(operator, 1).raw_operator = Some(raw);
    assert_eq!(found(change), subtask(Some(0)));
}

#[test]
fn parallelism_out_of_range() {
    assert_eq!(
        found(|operator| (operator.parallelism, operator.subtasks) = (11, Vec::new())),
        [AnomalyKind::ParallelismAboveMax {
            parallelism: 11,
            max_parallelism: 10
        }]
    );
    let max_parallelism = MAX_PARALLELISM_LIMIT + 1;
    assert_eq!(
        found(|operator| {
            (operator.max_parallelism, operator.subtasks) = (max_parallelism, Vec::new());
        }),
        [AnomalyKind::MaxParallelismOutOfRange { max_parallelism }]
    );
    assert_eq!(
        found(|operator| {
            (operator.parallelism, operator.max_parallelism) = (0, 0);
            operator.subtasks.clear();
        }),
        [AnomalyKind::MaxParallelismOutOfRange { max_parallelism: 0 }]
    );
}

#[test]
fn subtasks_out_of_range_or_twice() {
    assert_eq!(
        found(|operator| operator.subtasks[0].index = 3),
        [AnomalyKind::SubtaskOutOfRange {
            subtask: 3,
            parallelism: 3
        }]
    );
    assert_eq!(
        found(|operator| operator.subtasks[0].index = 0),
        [AnomalyKind::DuplicateSubtask { subtask: 0 }]
    );
}

#[test]
fn key_groups_that_do_not_tile() {
    let missing = |start, count| AnomalyKind::KeyGroupsMissing {
        range: KeyGroupRange { start, count },
    };
    assert_eq!(
        found(|operator| drop(operator.subtasks.remove(0))),
        [missing(7, 3)]
    );
    assert_eq!(
        found(|operator| drop(operator.subtasks.remove(1))),
        [missing(0, 4)]
    );
    assert_eq!(
        found(|operator| drop(operator.subtasks.remove(2))),
        [missing(4, 3)]
    );
    assert_eq!(
        found(|operator| state(operator, 2).managed_keyed = None),
        [missing(4, 3)]
    );
    assert!(!missing(4, 3).is_certain());

    let overlap = KeyGroupRange { start: 3, count: 1 };
    assert_eq!(
        found(|operator| state(operator, 2).managed_keyed = Some(keyed(3, &[0; 4]))),
        [AnomalyKind::KeyGroupsOverlap { range: overlap }]
    );
    let overlap = |start, count| AnomalyKind::KeyGroupsOverlap {
        range: KeyGroupRange { start, count },
    };
    let around = |operator: &mut Operator| {
        state(operator, 1).managed_keyed = Some(keyed(0, &[0; 10]));
    };
    assert_eq!(found(around), [overlap(4, 3), overlap(7, 3)]);
    let range = KeyGroupRange { start: 7, count: 4 };
    assert_eq!(
        found(|operator| state(operator, 0).managed_keyed = Some(keyed(7, &[0; 4]))),
        [AnomalyKind::KeyGroupsOutOfRange { subtask: 2, range }]
    );
}

#[test]
fn one_key_group_is_enough_to_see_that_another_is_missing() {
    let one_each = |operator: &mut Operator| {
        (operator.parallelism, operator.max_parallelism) = (2, 2);
        operator.subtasks = vec![subtask(0, Some(keyed(0, &[0])))];
    };
    let range = KeyGroupRange { start: 1, count: 1 };
    assert_eq!(found(one_each), [AnomalyKind::KeyGroupsMissing { range }]);
    assert_eq!(range.to_string(), "key group 1");
}

#[test]
fn key_groups_of_finished_subtasks_may_be_missing() {
    for position in 0..3 {
        assert_eq!(
            found(|operator| operator.subtasks[position].state = None),
            []
        );
    }
}

#[test]
fn offsets_outside_their_stream() {
    let outside = |subtask, offset| AnomalyKind::OffsetOutOfStream {
        subtask,
        offset,
        size: STREAM_BYTES,
    };
    for bad in [101, -1, i64::MIN, i64::MAX] {
        assert_eq!(
            found(|operator| state(operator, 2).managed_keyed = Some(keyed(4, &[0, bad, 0]))),
            [outside(1, bad)]
        );
    }
    // In raw keyed state -1 stands for a key group without bytes.
    assert_eq!(
        found(|operator| state(operator, 2).raw_keyed = Some(keyed(4, &[0, -1, 0]))),
        []
    );
    assert_eq!(
        found(|operator| state(operator, 2).raw_keyed = Some(keyed(4, &[-2]))),
        [outside(1, -2)]
    );
    let state_of = |offset, size| {
        let states = vec![OperatorState {
            name: "list".to_owned(),
            mode: Redistribution::Union,
            offsets: vec![0, offset],
        }];
        let stream = StreamHandle::File {
            path: "s3://b/f".to_owned(),
            size,
        };
        Some(OperatorStateHandle {
            states,
            stream,
            merging: None,
        })
    };
    let with = |handle| found(|operator| state(operator, 0).managed_operator = handle);
    assert_eq!(with(state_of(100, Some(STREAM_BYTES))), []);
    assert_eq!(with(state_of(101, Some(STREAM_BYTES))), [outside(2, 101)]);
    assert_eq!(with(state_of(101, None)), []);
}
