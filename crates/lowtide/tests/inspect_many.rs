//! `inspect` of a savepoint with 200 operators, as one of a large job would be: something one wants to
//! read.
#![allow(clippy::unwrap_used)]

mod shared;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use flink_metadata::{
    KeyGroupRange, KeyGroupsHandle, KeyGroupsKind, KeyedStateHandle, Metadata, Operator,
    OperatorId, OperatorState, OperatorStateHandle, Properties, Redistribution, SavepointFormat,
    SnapshotKind, StreamHandle, Subtask, SubtaskState, write,
};
use shared::Place;

/// Kinds of events, and where they happen: forty pipelines of five operators each.
const TOPICS: [&str; 8] = [
    "orders", "payments", "clicks", "carts", "views", "stock", "prices", "refunds",
];
const REGIONS: [&str; 5] = ["eu", "us", "ap", "la", "me"];
const MAX_PARALLELISM: u32 = 128;
/// Bytes in front of the first key group.
const HEADER_BYTES: usize = 1 << 10;
/// The states of a join, and those of windows, by the number of their kind and its name.
const JOIN: [(&str, &str); 3] = [
    ("last-seen", "VALUE"),
    ("open-by-id", "MAP"),
    ("_timer_state/event_user-timers", ""),
];
const WINDOW: [(&str, &str); 3] = [
    ("window-contents", "LIST"),
    ("_timer_state/event_window-timers", ""),
    ("_timer_state/processing_window-timers", ""),
];

/// A savepoint's directory and the operators in it so far.
struct Savepoint<'a> {
    directory: &'a Path,
    operators: Vec<Operator>,
    files: u32,
}

impl Savepoint<'_> {
    /// A file of this size that begins with these bytes, and no others: it takes no room.
    fn file(&mut self, start: &[u8], bytes: u64) -> StreamHandle {
        self.files += 1;
        let name = format!("{:08x}", self.files);
        let mut file = File::create(self.directory.join(&name)).unwrap();
        file.write_all(start).unwrap();
        file.set_len(bytes).unwrap();
        StreamHandle::Relative {
            path: name,
            size: Some(bytes),
        }
    }

    fn operator(&mut self, uid: &str, parallelism: u32, states: Vec<SubtaskState>) {
        let subtasks = (0..).zip(states).map(|(index, state)| Subtask {
            index,
            state: Some(Box::new(state)),
        });
        self.operators.push(Operator {
            name: Some(uid.replace('-', " ")),
            uid: (!uid.starts_with("refunds-me")).then(|| uid.to_owned()),
            id: OperatorId::from_uid(uid),
            parallelism,
            max_parallelism: MAX_PARALLELISM,
            coordinator: None,
            fully_finished: false,
            subtasks: subtasks.collect(),
        });
    }

    /// An operator with keyed state, so many bytes in each key group.
    fn keyed(&mut self, uid: &str, parallelism: u32, header: &[u8], bytes_of: impl Fn(u32) -> u64) {
        let each = MAX_PARALLELISM / parallelism;
        let states = (0..parallelism).map(|subtask| {
            let range = KeyGroupRange {
                start: subtask * each,
                count: each,
            };
            let mut end = HEADER_BYTES as u64;
            let groups = range.start..range.start + each;
            let offsets = groups.map(|group| {
                let begin = i64::try_from(end).unwrap();
                end += bytes_of(group);
                begin
            });
            let offsets = offsets.collect();
            let handle = KeyGroupsHandle {
                kind: KeyGroupsKind::Savepoint,
                range,
                offsets,
                stream: self.file(header, end),
            };
            SubtaskState {
                managed_keyed: Some(KeyedStateHandle::KeyGroups(handle)),
                ..SubtaskState::default()
            }
        });
        let states = states.collect();
        self.operator(uid, parallelism, states);
    }

    /// An operator with operator state, so many items in each subtask.
    fn listing(&mut self, uid: &str, state: &str, mode: Redistribution, items: u32, bytes: u64) {
        let states = (0..2).map(|_| {
            let offsets = (0..items).map(|item| i64::from(item) * 64 + 100);
            let state = OperatorState {
                name: state.to_owned(),
                mode,
                offsets: offsets.collect(),
            };
            let handle = OperatorStateHandle {
                states: vec![state],
                stream: self.file(&[], bytes),
                merging: None,
            };
            SubtaskState {
                managed_operator: Some(handle),
                ..SubtaskState::default()
            }
        });
        let states = states.collect();
        self.operator(uid, 2, states);
    }

    fn finish(self) {
        let metadata = Metadata {
            version: 6,
            checkpoint_id: 4_711,
            master_states: Vec::new(),
            operators: self.operators,
            properties: Some(Properties {
                kind: SnapshotKind::SuspendSavepoint,
                format: Some(SavepointFormat::Canonical),
                forced: true,
                discard_cancelled: false,
                discard_failed: false,
                discard_finished: false,
                discard_subsumed: false,
                discard_suspended: false,
                unclaimed: false,
            }),
        };
        fs::write(self.directory.join("_metadata"), write(&metadata).unwrap()).unwrap();
    }
}

/// What a stream of keyed state begins with (`KeyedBackendSerializationProxy`), the serializers of
/// states left out.
fn header(states: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        [&length[..], text.as_bytes()].concat()
    };
    let key =
        "org.apache.flink.api.common.typeutils.base.StringSerializer$StringSerializerSnapshot";
    let mut bytes = vec![0, 0, 0, 6, 0, 0, 0, 0, 2];
    bytes.extend(text(key));
    bytes.extend(u16::try_from(states.len()).unwrap().to_be_bytes());
    for (name, kind) in states {
        bytes.extend(text(name));
        if kind.is_empty() {
            bytes.extend([0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1]);
            bytes.extend(text("VALUE_SERIALIZER"));
        } else {
            bytes.extend([0, 0, 0, 0, 0, 0, 0, 1]);
            bytes.extend(text("KEYED_STATE_TYPE"));
            bytes.extend(text(kind));
        }
    }
    assert!(bytes.len() < HEADER_BYTES);
    bytes
}

/// 200 operators; of each pipeline a source, a parser, a join, windows and a sink.
fn savepoint(directory: &Path) {
    fs::create_dir(directory).unwrap();
    let mut savepoint = Savepoint {
        directory,
        operators: Vec::new(),
        files: 0,
    };
    let names = TOPICS
        .iter()
        .flat_map(|topic| REGIONS.map(|region| format!("{topic}-{region}")));
    for (rank, name) in (1..).zip(names) {
        let source = format!("{name}-source");
        let split = Redistribution::SplitDistribute;
        savepoint.listing(&source, "SourceReaderState", split, 12, 900);
        savepoint.operator(&format!("{name}-parse"), 4, Vec::new());
        let joined = (3 << 30) / (rank * rank);
        savepoint.keyed(&format!("{name}-join"), 4, &header(&JOIN), |group| {
            joined + u64::from(group) * 1_000
        });
        // One customer pays more than all others.
        let in_windows = |group| match group {
            77 if name == "payments-eu" => 12 << 30,
            _ => (1 << 30) / (rank * rank),
        };
        // Somebody overwrote one file.
        let windows = match name.as_str() {
            "orders-ap" => b"not Flink's".to_vec(),
            _ => header(&WINDOW),
        };
        let parallelism = if name == "clicks-eu" { 128 } else { 8 };
        savepoint.keyed(
            &format!("{name}-windows"),
            parallelism,
            &windows,
            in_windows,
        );
        let union = Redistribution::Union;
        savepoint.listing(&format!("{name}-sink"), "writer-state", union, 1, 200);
    }
    assert_eq!(savepoint.operators.len(), 200);
    savepoint.finish();
}

#[test]
fn a_savepoint_of_200_operators_is_something_one_wants_to_read() {
    let place = Place::new("");
    savepoint(&place.path("savepoint-0102"));
    let ended = place.run(&["inspect", "savepoint-0102"]);
    assert_eq!(ended.code, 0, "{}", ended.text());
    assert!(ended.stdout.lines().count() <= 80, "{}", ended.stdout);
    for line in ended.stdout.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    insta::assert_snapshot!(place.text(&ended));
    let one = place.run(&[
        "inspect",
        "savepoint-0102",
        "--operator",
        "payments-eu-windows",
    ]);
    insta::assert_snapshot!("one_of_200_operators", place.text(&one));
}

#[test]
fn all_means_all() {
    let place = Place::new("");
    savepoint(&place.path("savepoint-0102"));
    let ended = place.run(&["inspect", "savepoint-0102", "--all"]);
    let rows = ended.stdout.lines().filter(|line| line.contains(" of 128"));
    assert_eq!(rows.count(), 200, "{}", ended.stdout);
    // For programs they always are, in the order of the file, and each name is known but of one.
    let json = place
        .run(&["inspect", "savepoint-0102", "-o", "json"])
        .json();
    let operators = json["operators"].as_array().unwrap();
    assert_eq!(operators.len(), 200);
    assert_eq!(operators[2]["keyed_states"][0]["name"], "last-seen");
    let unknown = operators.iter().filter(|it| it["keyed_states"].is_null());
    let unknown: Vec<_> = unknown.map(|it| it["uid"].as_str().unwrap()).collect();
    assert_eq!(unknown, ["orders-ap-windows"]);
    let total: u64 = operators
        .iter()
        .map(|it| it["state_bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(json["state_bytes"], total);
}
