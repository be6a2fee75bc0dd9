//! Files made by hand from Flink's serializers, for what no fixture holds: the old versions and
//! handles, states of hooks, merged channels. The writer takes no part in making them, so it cannot
//! share an error with the reader; it must then write the same bytes.

#![allow(clippy::unwrap_used)]
#![allow(clippy::needless_pass_by_value)] // chains of calls read better without `&`

use flink_metadata::{
    BackendFile, ChangelogDelta, ChangelogHandle, ChangelogStream, Channel, ChannelState,
    FileMerging, FilePath, FileRef, IncrementalDetails, IncrementalHandle, KeyGroupRange,
    KeyGroupsHandle, KeyGroupsKind, KeyedStateHandle, MasterState, Metadata, Operator, OperatorId,
    OperatorState, OperatorStateHandle, ParseErrorKind, Redistribution, SavepointFormat, Scope,
    Segment, SizeRule, SnapshotType, StateChange, StreamHandle, Subtask, SubtaskState, parse,
    write,
};

const ID: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// What `java.io.DataOutputStream` would write.
#[derive(Default, Clone)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn file(version: i32) -> Self {
        Self::default().raw(&[0x49, 0x60, 0x67, 0x2d]).i32(version)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn u8(self, value: u8) -> Self {
        self.raw(&[value])
    }

    fn i32(self, value: i32) -> Self {
        self.raw(&value.to_be_bytes())
    }

    fn i64(self, value: i64) -> Self {
        self.raw(&value.to_be_bytes())
    }

    fn utf(self, text: &str) -> Self {
        assert!(text.is_ascii());
        let length = u16::try_from(text.len()).unwrap();
        self.raw(&length.to_be_bytes()).raw(text.as_bytes())
    }

    /// Version 3, one operator with one subtask, up to its managed operator state.
    fn one_subtask() -> Self {
        Self::file(3)
            .i64(1)
            .i32(0)
            .i32(1)
            .raw(&ID)
            .i32(1)
            .i32(4)
            .u8(0)
            .i32(1)
            .i32(0)
    }

    /// ... with this managed keyed state and nothing else.
    fn keyed(handle: Self) -> Self {
        Self::one_subtask()
            .i32(0)
            .i32(0)
            .raw(&handle.0)
            .u8(0)
            .i32(0)
            .i32(0)
    }

    /// ... with this managed operator state and nothing else.
    fn operator_state(handle: Self) -> Self {
        Self::one_subtask()
            .i32(1)
            .raw(&handle.0)
            .i32(0)
            .u8(0)
            .u8(0)
            .i32(0)
            .i32(0)
    }

    /// A relative file `x` of 9 bytes.
    fn x(self) -> Self {
        self.u8(6).utf("x").i64(9)
    }
}

fn x() -> StreamHandle {
    StreamHandle::Relative {
        path: "x".to_owned(),
        size: Some(9),
    }
}

fn operator(state: SubtaskState) -> Operator {
    Operator {
        name: None,
        uid: None,
        id: OperatorId(ID),
        parallelism: 1,
        max_parallelism: 4,
        coordinator: None,
        fully_finished: false,
        subtasks: vec![Subtask {
            index: 0,
            state: Some(Box::new(state)),
        }],
    }
}

fn snapshot(version: u32, operators: Vec<Operator>) -> Metadata {
    Metadata {
        version,
        checkpoint_id: 1,
        master_states: Vec::new(),
        operators,
        properties: None,
    }
}

/// Reads the bytes, compares, and writes them again.
#[track_caller]
fn same(bytes: &Bytes, expected: &Metadata) {
    assert_eq!(&parse(&bytes.0).unwrap(), expected);
    assert_eq!(write(expected).unwrap(), bytes.0);
}

#[track_caller]
fn same_keyed(handle: Bytes, expected: KeyedStateHandle) {
    let state = SubtaskState {
        managed_keyed: Some(expected),
        ..SubtaskState::default()
    };
    same(&Bytes::keyed(handle), &snapshot(3, vec![operator(state)]));
}

fn files(metadata: &Metadata) -> Vec<(FilePath<'_>, SizeRule)> {
    metadata
        .files()
        .map(|FileRef { path, size, .. }| (path, size))
        .collect()
}

#[test]
fn version_2_has_chain_lengths_and_durations_and_no_channels() {
    let bytes = Bytes::file(2)
        .i64(1)
        .i32(0)
        .i32(1)
        .raw(&ID)
        .i32(1)
        .i32(4)
        .i32(1)
        .i32(1);
    let bytes = bytes.i32(0).i64(0).i32(0).i32(0).i32(0).u8(0).u8(0);
    same(
        &bytes,
        &snapshot(2, vec![operator(SubtaskState::default())]),
    );
}

#[test]
fn version_2_with_state_from_before_flink_1_2_is_refused() {
    let bytes = Bytes::file(2)
        .i64(1)
        .i32(0)
        .i32(1)
        .raw(&ID)
        .i32(1)
        .i32(4)
        .i32(1)
        .i32(1);
    let bytes = bytes.i32(0).i64(0).i32(1).i32(0).i32(0).u8(0).u8(0);
    let error = parse(&bytes.0).unwrap_err();
    assert_eq!(error.path.to_string(), "operator 0 > subtask 0");
    assert!(
        matches!(error.kind, ParseErrorKind::BadValue { found: 1, .. }),
        "{error}"
    );
}

#[test]
fn hooks_of_the_job_manager_are_framed() {
    let frame = Bytes::default().i32(7).utf("hook").i32(3).raw(b"abc");
    let length = i32::try_from(frame.0.len()).unwrap();
    let file = |length: i32| {
        let magic = [0xc9, 0x6b, 0x16, 0x96];
        Bytes::file(3)
            .i64(1)
            .i32(1)
            .raw(&magic)
            .i32(length)
            .raw(&frame.0)
            .i32(0)
    };
    let hook = MasterState {
        version: 7,
        name: "hook".to_owned(),
        bytes: b"abc".to_vec(),
    };
    same(
        &file(length),
        &Metadata {
            master_states: vec![hook],
            ..snapshot(3, Vec::new())
        },
    );

    let error = parse(&file(length + 1).0).unwrap_err();
    let kind = ParseErrorKind::MasterStateLength {
        framed: 18,
        content: 17,
    };
    assert_eq!((error.kind, error.at), (kind, 24));
}

#[test]
fn finished_operators_and_subtasks_are_negative_numbers() {
    let head = Bytes::file(3).i64(1).i32(0).i32(2);
    let finished = head.raw(&ID).i32(1).i32(4).u8(0).i32(-1);
    let bytes = finished.raw(&ID).i32(1).i32(4).u8(0).i32(2).i32(-1).i32(-4);
    let all = Operator {
        fully_finished: true,
        subtasks: Vec::new(),
        ..operator(SubtaskState::default())
    };
    let subtask = |index| Subtask { index, state: None };
    let some = Operator {
        fully_finished: false,
        subtasks: vec![subtask(0), subtask(3)],
        ..all.clone()
    };
    same(&bytes, &snapshot(3, vec![all, some]));
}

#[test]
fn a_finished_operator_with_coordinator_state_is_refused() {
    let head = Bytes::file(3).i64(1).i32(0).i32(1).raw(&ID).i32(1).i32(4);
    let error = parse(&head.u8(1).utf("label").i32(0).i32(-1).0).unwrap_err();
    assert_eq!(error.kind, ParseErrorKind::FinishedWithCoordinator);
}

#[test]
fn coordinator_state_is_inline() {
    let head = || Bytes::file(3).i64(1).i32(0).i32(1).raw(&ID).i32(1).i32(4);
    let inline = StreamHandle::Inline {
        name: "label".to_owned(),
        bytes: vec![5, 6],
    };
    let expected = Operator {
        coordinator: Some(inline),
        subtasks: Vec::new(),
        ..operator(SubtaskState::default())
    };
    same(
        &head().u8(1).utf("label").i32(2).raw(&[5, 6]).i32(0),
        &snapshot(3, vec![expected]),
    );

    let error = parse(&head().x().i32(0).0).unwrap_err();
    assert_eq!(
        error.kind,
        ParseErrorKind::UnknownTag {
            what: "stream",
            tag: 6
        }
    );
    assert_eq!(error.path.to_string(), "operator 0 > coordinator state");
}

#[test]
fn key_groups_have_three_encodings() {
    let body = |tag: u8| Bytes::default().u8(tag).i32(1).i32(2).i64(0).i64(5).x();
    let expected = |kind| {
        let range = KeyGroupRange { start: 1, count: 2 };
        let handle = KeyGroupsHandle {
            kind,
            range,
            offsets: vec![0, 5],
            stream: x(),
        };
        KeyedStateHandle::KeyGroups(handle)
    };
    same_keyed(body(3), expected(KeyGroupsKind::V1));
    same_keyed(body(7), expected(KeyGroupsKind::Savepoint));
    let state_handle_id = "id".to_owned();
    same_keyed(
        body(12).utf("id"),
        expected(KeyGroupsKind::V2 { state_handle_id }),
    );
}

#[test]
fn incremental_handles_have_two_encodings() {
    let files = |bytes: Bytes| bytes.i32(1).utf("1.sst").x().i32(1).utf("CURRENT").u8(16);
    let v1 = Bytes::default().u8(5).i64(8).utf("uuid").i32(0).i32(4).x();
    let v2 = Bytes::default()
        .u8(11)
        .i64(8)
        .utf("uuid")
        .i32(0)
        .i32(4)
        .i64(77)
        .x();
    let file = |local_path: &str, stream| BackendFile {
        local_path: local_path.to_owned(),
        stream,
    };
    let expected = |details| {
        KeyedStateHandle::Incremental(IncrementalHandle {
            checkpoint_id: 8,
            backend_id: "uuid".to_owned(),
            range: KeyGroupRange { start: 0, count: 4 },
            meta: x(),
            shared: vec![file("1.sst", x())],
            private: vec![file("CURRENT", StreamHandle::EmptySegment)],
            details,
        })
    };
    same_keyed(files(v1), expected(None));
    let details = |checkpointed_bytes| IncrementalDetails {
        checkpointed_bytes,
        state_handle_id: "id".to_owned(),
    };
    same_keyed(files(v2).utf("id"), expected(Some(details(Some(77)))));
    assert_eq!(expected(None).checkpointed_bytes(), 18);
    assert_eq!(expected(Some(details(Some(77)))).checkpointed_bytes(), 77);
    assert_eq!(expected(Some(details(None))).checkpointed_bytes(), 18);
}

#[test]
fn changelogs_have_two_encodings() {
    let range = KeyGroupRange { start: 0, count: 4 };
    let in_memory = |bytes: Bytes| {
        bytes
            .u8(9)
            .i32(0)
            .i32(4)
            .i64(3)
            .i64(5)
            .i32(1)
            .i32(-1)
            .i32(2)
            .raw(&[8, 9])
            .utf("m")
    };
    let streams = |bytes: Bytes, tag| {
        bytes
            .u8(tag)
            .i32(0)
            .i32(4)
            .i32(1)
            .i64(4)
            .x()
            .i64(50)
            .i64(40)
            .utf("s")
    };
    let delta_of = |storage_identifier: Option<&str>| {
        let change = StateChange {
            key_group: -1,
            bytes: vec![8, 9],
        };
        let in_memory = ChangelogDelta::InMemory {
            range,
            from: 3,
            to: 5,
            changes: vec![change],
            state_handle_id: "m".to_owned(),
        };
        let streams = ChangelogDelta::Streams {
            range,
            streams: vec![ChangelogStream {
                offset: 4,
                stream: x(),
            }],
            size: 50,
            checkpointed_bytes: Some(40),
            state_handle_id: "s".to_owned(),
            storage_identifier: storage_identifier.map(str::to_owned),
        };
        vec![in_memory, streams]
    };
    let expected = |delta, checkpoint_id| {
        KeyedStateHandle::Changelog(ChangelogHandle {
            range,
            checkpointed_bytes: Some(60),
            materialized: Vec::new(),
            delta,
            materialization_id: 2,
            checkpoint_id,
            state_handle_id: "c".to_owned(),
        })
    };
    let head = |tag| Bytes::default().u8(tag).i32(0).i32(4).i64(60).i32(0).i32(2);
    let v1 = streams(in_memory(head(8)), 10).i64(2).utf("c");
    same_keyed(v1, expected(delta_of(None), None));
    let v2 = streams(in_memory(head(14)), 13)
        .utf("fs")
        .i64(2)
        .i64(11)
        .utf("c");
    same_keyed(v2, expected(delta_of(Some("fs")), Some(11)));

    let handle = expected(delta_of(None), None);
    assert_eq!(
        (handle.state_bytes(), handle.checkpointed_bytes()),
        (52, 60)
    );
    let state = SubtaskState {
        managed_keyed: Some(handle),
        ..SubtaskState::default()
    };
    let metadata = snapshot(3, vec![operator(state)]);
    assert_eq!(
        files(&metadata),
        [(FilePath::Relative("x"), SizeRule::Exists)]
    );
    assert_eq!(metadata.snapshot_type(), SnapshotType::Checkpoint);
}

#[test]
fn nulls_among_materialized_handles_are_skipped_as_flink_does() {
    let bytes = Bytes::default().u8(8).i32(0).i32(4).i64(-1).i32(2).u8(0);
    let bytes = bytes.u8(3).i32(0).i32(0).x().i32(0).i64(2).utf("c");
    let metadata = parse(&Bytes::keyed(bytes).0).unwrap();
    let state = metadata.operators[0].subtasks[0].state.as_ref().unwrap();
    let Some(KeyedStateHandle::Changelog(handle)) = &state.managed_keyed else {
        panic!()
    };
    assert_eq!(handle.materialized.len(), 1);
    assert_eq!(handle.checkpointed_bytes, None);
}

#[test]
fn operator_state_has_two_encodings_and_each_stream_its_file() {
    let states = |bytes: Bytes| {
        bytes
            .i32(3)
            .utf("a")
            .u8(0)
            .i32(2)
            .i64(0)
            .i64(4)
            .utf("b")
            .u8(1)
            .i32(0)
            .utf("c")
            .u8(2)
            .i32(0)
    };
    let merged = |bytes: Bytes| bytes.utf("/owned").utf("/shared").u8(1);
    let segment = |bytes: Bytes| {
        bytes
            .u8(15)
            .i64(10)
            .i64(20)
            .i32(1)
            .utf("s3://b/f")
            .utf("log")
    };
    let state = |name: &str, mode, offsets: &[i64]| OperatorState {
        name: name.to_owned(),
        mode,
        offsets: offsets.to_vec(),
    };
    let expected = |stream, merging| {
        let states = vec![
            state("a", Redistribution::SplitDistribute, &[0, 4]),
            state("b", Redistribution::Union, &[]),
            state("c", Redistribution::Broadcast, &[]),
        ];
        let handle = OperatorStateHandle {
            states,
            stream,
            merging,
        };
        let state = SubtaskState {
            managed_operator: Some(handle),
            ..SubtaskState::default()
        };
        snapshot(3, vec![operator(state)])
    };
    let file = || StreamHandle::File {
        path: "s3://b/f".to_owned(),
        size: None,
    };
    let plain = states(Bytes::default().u8(4)).u8(2).i64(-1).utf("s3://b/f");
    same(&Bytes::operator_state(plain), &expected(file(), None));
    let absolute = FilePath::Absolute("s3://b/f");
    assert_eq!(
        files(&expected(file(), None)),
        [(absolute, SizeRule::Exists)]
    );

    let merging = FileMerging {
        task_owned_dir: "/owned".to_owned(),
        shared_dir: "/shared".to_owned(),
        is_empty: true,
    };
    let piece = StreamHandle::Segment(Box::new(Segment {
        start: 10,
        size: 20,
        scope: Scope::Shared,
        path: "s3://b/f".to_owned(),
        logical_file_id: "log".to_owned(),
    }));
    let with_segment = expected(piece, Some(merging));
    same(
        &Bytes::operator_state(segment(merged(states(Bytes::default().u8(17))))),
        &with_segment,
    );
    assert_eq!(files(&with_segment), [(absolute, SizeRule::AtLeast(30))]);
    assert_eq!(with_segment.state_bytes(), 20);

    let wrapped = StreamHandle::KeyGroups {
        range: KeyGroupRange { start: 2, count: 1 },
        offsets: vec![3],
        stream: Box::new(x()),
    };
    let wrapped = expected(wrapped, None);
    let bytes = states(Bytes::default().u8(4))
        .u8(3)
        .i32(2)
        .i32(1)
        .i64(3)
        .x();
    same(&Bytes::operator_state(bytes), &wrapped);
    assert_eq!(
        files(&wrapped),
        [(FilePath::Relative("x"), SizeRule::Exactly(9))]
    );
}

#[test]
fn channels_have_a_tag_from_version_6_on() {
    let single = |bytes: Bytes, first| bytes.i32(first).i32(1).i32(2).i32(1).i64(6).i64(7).x();
    let channel = Channel { gate: 1, index: 2 };
    let expected = |subtask| ChannelState::Single {
        subtask,
        channel,
        offsets: vec![6],
        size: 7,
        stream: x(),
    };
    let bytes = Bytes::one_subtask().i32(0).i32(0).u8(0).u8(0);
    let bytes = single(single(bytes.i32(1), 8).i32(1), 9);
    let state = SubtaskState {
        input_channels: vec![expected(8)],
        output_channels: vec![expected(9)],
        ..SubtaskState::default()
    };
    let untagged = snapshot(3, vec![operator(state.clone())]);
    same(&bytes, &untagged);
    assert_eq!((untagged.state_bytes(), files(&untagged).len()), (14, 2));

    let merged = |bytes: Bytes| bytes.i32(4).i64(70).x().i32(2).raw(&[1, 2]);
    let merged_state = || ChannelState::Merged {
        subtask: 4,
        size: 70,
        stream: x(),
        offsets: vec![1, 2],
    };
    let head = Bytes::file(6).i64(1).i32(0).i32(1).utf("name").utf("");
    let head = head
        .raw(&ID)
        .i32(1)
        .i32(4)
        .u8(0)
        .i32(1)
        .i32(0)
        .i32(0)
        .i32(0)
        .u8(0)
        .u8(0);
    let bytes = merged(single(head.i32(2).u8(1), 8).u8(3));
    let bytes = merged(single(bytes.i32(2).u8(2), 9).u8(4));
    let bytes = bytes.raw(&[0xac, 0xed, 0x00, 0x05, 0x70]);
    let state = SubtaskState {
        input_channels: vec![expected(8), merged_state()],
        output_channels: vec![expected(9), merged_state()],
        ..SubtaskState::default()
    };
    let named = Operator {
        name: Some("name".to_owned()),
        ..operator(state)
    };
    same(&bytes, &snapshot(6, vec![named]));
}

#[test]
fn other_versions_are_refused_by_name() {
    for (version, releases) in [
        (1, "Flink 1.1 or 1.2"),
        (7, "development branch"),
        (i32::MAX, "newer than Flink 2.3"),
        (0, "no release"),
        (-1, "no release"),
    ] {
        let error = parse(&Bytes::file(version).i64(1).0).unwrap_err();
        assert_eq!(error.kind, ParseErrorKind::UnsupportedVersion { version });
        assert_eq!(error.at, 4);
        let text = error.to_string();
        assert!(
            text.contains("unsupported version") && text.contains(releases),
            "{text}"
        );
        assert!(
            text.contains("2 (Flink 1.3) to 6 (Flink 2.1 to 2.3)"),
            "{text}"
        );
    }
}

#[test]
fn errors_say_where() {
    let keyed = Bytes::default().u8(99);
    let bytes = Bytes::keyed(keyed).0;
    let error = parse(&bytes).unwrap_err();
    assert_eq!(bytes[error.at], 99);
    assert_eq!(
        error.to_string(),
        format!(
            "byte {}, in operator 0 > subtask 0 > managed keyed state: unknown type 99 of keyed state",
            error.at
        )
    );
    assert_eq!(
        parse(b"PK\x03\x04").unwrap_err().to_string(),
        "byte 0, in header: not a Flink metadata file: it begins with 0x504b0304, not with 0x4960672d"
    );
    let error = parse(&Bytes::file(3).i64(1).i32(0).i32(0).u8(0).0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "byte 24: bytes after the end of the metadata: 1"
    );
}

#[test]
fn values_that_cannot_be_are_refused() {
    let kind = |bytes: &Bytes| parse(&bytes.0).unwrap_err().kind;
    let unknown = |what, tag| ParseErrorKind::UnknownTag { what, tag };
    let bad = |what, found| ParseErrorKind::BadValue { what, found };
    let keyed = |handle| kind(&Bytes::keyed(handle));
    let tag = |tag| Bytes::default().u8(tag);
    assert_eq!(kind(&Bytes::file(3).i64(-1)), bad("checkpoint id", -1));
    assert_eq!(
        keyed(tag(7).i32(0).i32(0).u8(0)),
        ParseErrorKind::NullHandle { what: "stream" }
    );
    assert_eq!(keyed(tag(7).i32(0).i32(0).u8(99)), unknown("stream", 99));
    assert_eq!(keyed(tag(7).i32(-1).i32(0).x()), bad("first key group", -1));
    assert_eq!(
        keyed(tag(7).i32(0).i32(0).u8(6).utf("x").i64(-2)),
        bad("file size", -2)
    );
    let segment = tag(7).i32(0).i32(0).u8(15).i64(0).i64(0).i32(2);
    assert_eq!(keyed(segment), bad("scope", 2));
    let delta = tag(14).i32(0).i32(0).i64(0).i32(0).i32(1);
    assert_eq!(
        keyed(delta.u8(12).i64(0).i64(0)),
        unknown("changelog delta", 12)
    );
    let mode = tag(4).i32(1).utf("a").u8(3).i32(0);
    assert_eq!(
        kind(&Bytes::operator_state(mode)),
        unknown("redistribution", 3)
    );
    let text = tag(7).i32(0).i32(0).u8(6).raw(&[0, 1, 0xff]).i64(0);
    assert_eq!(keyed(text), ParseErrorKind::BadString);
    // Flink reads these as 1, true and finished, but writes only 1, 1 and -1.
    let presence = Bytes::one_subtask().i32(2).u8(0);
    assert_eq!(kind(&presence), bad("the number of handles", 2));
    let merged = tag(17).i32(0).utf("").utf("").u8(2).u8(16);
    assert_eq!(kind(&Bytes::operator_state(merged)), bad("a boolean", 2));
    let finished = Bytes::file(3).i64(1).i32(0).i32(1).raw(&ID).i32(1).i32(4);
    let finished = finished.u8(0).i32(-2);
    assert_eq!(kind(&finished), bad("the number of subtasks", -2));
    let count = tag(7).i32(0).i32(i32::MAX).x();
    assert!(matches!(
        keyed(count),
        ParseErrorKind::CountTooLarge {
            count: 0x7fff_ffff,
            ..
        }
    ));
}

#[test]
fn handles_inside_handles_end_somewhere() {
    let mut bytes = Bytes::default().u8(7).i32(0).i32(0);
    for _ in 0..100_000 {
        bytes = bytes.u8(3).i32(0).i32(0);
    }
    let error = parse(&Bytes::keyed(bytes).0).unwrap_err();
    assert_eq!(
        error.kind,
        ParseErrorKind::TooDeep {
            max: flink_metadata::MAX_DEPTH
        }
    );
}

#[test]
fn before_version_4_the_type_is_guessed_from_what_only_one_has() {
    let absolute = || StreamHandle::File {
        path: "s3://b/f".to_owned(),
        size: Some(1),
    };
    let guess = |handle| {
        let state = SubtaskState {
            managed_keyed: Some(handle),
            ..SubtaskState::default()
        };
        let metadata = snapshot(3, vec![operator(state)]);
        (metadata.snapshot_type(), metadata.is_savepoint())
    };
    let key_groups = |kind| {
        let range = KeyGroupRange { start: 0, count: 1 };
        let offsets = vec![0];
        KeyedStateHandle::KeyGroups(KeyGroupsHandle {
            kind,
            range,
            offsets,
            stream: absolute(),
        })
    };
    let canonical = SnapshotType::Savepoint(SavepointFormat::Canonical);
    assert_eq!(
        guess(key_groups(KeyGroupsKind::Savepoint)),
        (canonical, Some(true))
    );
    assert_eq!(
        guess(key_groups(KeyGroupsKind::V1)),
        (SnapshotType::Unknown, None)
    );

    let files = |meta, shared| {
        KeyedStateHandle::Incremental(IncrementalHandle {
            checkpoint_id: 1,
            backend_id: "uuid".to_owned(),
            range: KeyGroupRange { start: 0, count: 4 },
            meta,
            shared: vec![BackendFile {
                local_path: "1.sst".to_owned(),
                stream: shared,
            }],
            private: Vec::new(),
            details: None,
        })
    };
    assert_eq!(
        guess(files(x(), absolute())),
        (SnapshotType::Checkpoint, Some(false))
    );
    // A native savepoint of Flink 1.15, or a first checkpoint.
    assert_eq!(guess(files(x(), x())), (SnapshotType::Unknown, None));
    // Either, with entropy in the paths.
    assert_eq!(
        guess(files(absolute(), absolute())),
        (SnapshotType::Unknown, None)
    );
}

#[test]
fn raw_state_follows_managed_state_and_counts_like_it() {
    let file = |name: &str, size: i64| Bytes::default().u8(6).utf(name).i64(size);
    let list = |name: &str, size| {
        Bytes::default()
            .i32(1)
            .u8(4)
            .i32(0)
            .raw(&file(name, size).0)
    };
    let groups = |name: &str, size| {
        Bytes::default()
            .u8(3)
            .i32(0)
            .i32(0)
            .raw(&file(name, size).0)
    };
    let bytes = Bytes::one_subtask()
        .raw(&list("a", 1).0)
        .raw(&list("b", 20).0)
        .raw(&groups("c", 300).0)
        .raw(&groups("d", 4000).0)
        .i32(0)
        .i32(0);
    let stream = |path: &str, size| StreamHandle::Relative {
        path: path.to_owned(),
        size,
    };
    let operator_handle = |path, size| OperatorStateHandle {
        states: Vec::new(),
        stream: stream(path, Some(size)),
        merging: None,
    };
    let keyed_handle = |path, size| {
        KeyedStateHandle::KeyGroups(KeyGroupsHandle {
            kind: KeyGroupsKind::V1,
            range: KeyGroupRange { start: 0, count: 0 },
            offsets: Vec::new(),
            stream: stream(path, Some(size)),
        })
    };
    let metadata = snapshot(
        3,
        vec![operator(SubtaskState {
            managed_operator: Some(operator_handle("a", 1)),
            raw_operator: Some(operator_handle("b", 20)),
            managed_keyed: Some(keyed_handle("c", 300)),
            raw_keyed: Some(keyed_handle("d", 4000)),
            ..SubtaskState::default()
        })],
    );
    same(&bytes, &metadata);
    assert_eq!(
        (metadata.state_bytes(), metadata.checkpointed_bytes()),
        (4321, 4321)
    );
    let paths: Vec<_> = metadata.files().map(|file| file.path).collect();
    assert_eq!(paths, ["a", "b", "c", "d"].map(FilePath::Relative));
    // A handle without key groups says nothing about how they are divided.
    assert_eq!(metadata.anomalies(), []);
}
