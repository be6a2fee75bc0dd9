//! `diff` from outside: on savepoints that real releases of Flink wrote, and on made ones where a
//! header tells names of keyed states.
#![allow(clippy::unwrap_used)]

mod shared;

use std::fs;
use std::path::Path;

use flink_metadata::{
    KeyGroupRange, KeyGroupsHandle, KeyGroupsKind, KeyedStateHandle, Metadata, Operator,
    OperatorId, OperatorState, OperatorStateHandle, Redistribution, StreamHandle, Subtask,
    SubtaskState, write,
};
use shared::Place;

/// Lays a fixture out under a name of its own.
fn fixture(place: &Place, fixture: &str, name: &str) {
    let directory = place.savepoint(fixture);
    fs::rename(directory, place.path(name)).unwrap();
}

/// The header of a stream of keyed state, with these states (name and kind).
fn header(states: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        [&length, text.as_bytes()].concat()
    };
    let mut bytes = vec![0, 0, 0, 6, 0]; // version, not compressed
    bytes.extend([0, 0, 0, 2]); // a serializer's snapshot
    bytes.extend(text("org.example.LongSerializerSnapshot"));
    bytes.extend([0, 0, 0, 1]);
    bytes.extend(u16::try_from(states.len()).unwrap().to_be_bytes());
    for (name, kind) in states {
        bytes.extend(text(name));
        bytes.extend([0; 4]); // a state of the program
        bytes.extend([0, 0, 0, 1]); // one option
        bytes.extend(text("KEYED_STATE_TYPE"));
        bytes.extend(text(kind));
    }
    bytes
}

/// An operator of a made savepoint.
struct Made<'a> {
    uid: &'a str,
    parallelism: u32,
    max_parallelism: u32,
    keyed: &'a [(&'a str, &'a str)],
    lists: &'a [(&'a str, Redistribution)],
    /// Bytes that pad its keyed state.
    padding: usize,
}

const PLAIN: Made<'static> = Made {
    uid: "",
    parallelism: 2,
    max_parallelism: 128,
    keyed: &[],
    lists: &[],
    padding: 0,
};

impl Made<'_> {
    /// Writes the file of its keyed state, and returns the operator.
    fn operator(&self, directory: &Path) -> Operator {
        let managed_keyed = (!self.keyed.is_empty()).then(|| {
            let mut bytes = header(self.keyed);
            bytes.resize(bytes.len() + self.padding, 0);
            fs::write(directory.join(self.uid), &bytes).unwrap();
            KeyedStateHandle::KeyGroups(KeyGroupsHandle {
                kind: KeyGroupsKind::Savepoint,
                range: KeyGroupRange { start: 0, count: 1 },
                offsets: vec![0],
                stream: StreamHandle::Relative {
                    path: self.uid.to_owned(),
                    size: Some(bytes.len() as u64),
                },
            })
        });
        let managed_operator = (!self.lists.is_empty()).then(|| OperatorStateHandle {
            states: self
                .lists
                .iter()
                .map(|(name, mode)| OperatorState {
                    name: (*name).to_owned(),
                    mode: *mode,
                    offsets: vec![0],
                })
                .collect(),
            stream: StreamHandle::Inline {
                name: "lists".to_owned(),
                bytes: vec![0; 640],
            },
            merging: None,
        });
        Operator {
            name: None,
            uid: Some(self.uid.to_owned()),
            id: OperatorId::from_uid(self.uid),
            parallelism: self.parallelism,
            max_parallelism: self.max_parallelism,
            coordinator: None,
            fully_finished: false,
            subtasks: vec![Subtask {
                index: 0,
                state: Some(Box::new(SubtaskState {
                    managed_keyed,
                    managed_operator,
                    ..SubtaskState::default()
                })),
            }],
        }
    }
}

fn savepoint(place: &Place, name: &str, operators: &[Made<'_>]) {
    let directory = place.path(name);
    fs::create_dir(&directory).unwrap();
    let operators = operators.iter().map(|made| made.operator(&directory));
    let metadata = Metadata {
        version: 5,
        checkpoint_id: 1,
        master_states: Vec::new(),
        operators: operators.collect(),
        properties: Some(properties()),
    };
    fs::write(directory.join("_metadata"), write(&metadata).unwrap()).unwrap();
}

fn properties() -> flink_metadata::Properties {
    flink_metadata::Properties {
        kind: flink_metadata::SnapshotKind::Savepoint,
        format: Some(flink_metadata::SavepointFormat::Canonical),
        forced: true,
        discard_cancelled: false,
        discard_failed: false,
        discard_finished: false,
        discard_subsumed: false,
        discard_suspended: false,
        unclaimed: false,
    }
}

/// Before and after a release of an application.
fn release(place: &Place) {
    let source = || Made {
        uid: "events",
        lists: &[("SourceReaderState", Redistribution::SplitDistribute)],
        ..PLAIN
    };
    let totals = || Made {
        uid: "totals",
        keyed: &[("total", "REDUCING")],
        ..PLAIN
    };
    savepoint(
        place,
        "before",
        &[
            source(),
            totals(),
            Made {
                uid: "accounts",
                keyed: &[("balance", "VALUE"), ("recent", "LIST")],
                padding: 150_000,
                ..PLAIN
            },
            Made {
                uid: "fraud-rules",
                lists: &[("rules", Redistribution::Broadcast)],
                ..PLAIN
            },
        ],
    );
    savepoint(
        place,
        "after",
        &[
            source(),
            totals(),
            Made {
                uid: "accounts",
                parallelism: 4,
                keyed: &[("balance", "VALUE"), ("recent", "MAP"), ("limits", "VALUE")],
                padding: 180_000,
                ..PLAIN
            },
            Made {
                uid: "rules",
                lists: &[("rules", Redistribution::Broadcast)],
                ..PLAIN
            },
        ],
    );
}

#[test]
fn a_release_that_cannot_go_on_reads_well() {
    let place = Place::new("");
    release(&place);
    let ended = place.run(&["diff", "before", "after"]);
    insta::assert_snapshot!(place.text(&ended));
}

#[test]
fn it_is_stable_for_programs() {
    let place = Place::new("");
    release(&place);
    let allowed = [
        "diff",
        "before",
        "after",
        "--allow-non-restored-state",
        "-o",
        "json",
    ];
    let ended = place.run(&allowed);
    insta::assert_snapshot!(place.text(&ended));
}

#[test]
fn what_would_be_dropped_is_shown_and_is_no_failure_once_allowed() {
    let place = Place::new("");
    let gone = Made {
        uid: "gone",
        lists: &[("x", Redistribution::Union)],
        ..PLAIN
    };
    savepoint(&place, "a", &[gone]);
    savepoint(&place, "b", &[]);
    let refused = place.run(&["diff", "a", "b"]);
    assert_eq!(refused.code, 1, "{}", refused.text());
    let dropped = place.run(&["diff", "a", "b", "--allow-non-restored-state"]);
    assert_eq!(dropped.code, 0, "{}", dropped.text());
    assert!(
        dropped.stdout.contains("drops state") && dropped.stdout.contains("gone: B lacks it"),
        "{}",
        dropped.text()
    );
    let back = place.run(&["diff", "b", "a"]);
    assert_eq!(back.code, 0, "{}", back.text());
}

#[test]
fn a_savepoint_is_the_same_as_itself_in_every_release() {
    for name in [
        "1.16.3/hashmap-canonical",
        "1.20.5/hashmap-native",
        "2.3.0/rocks-native",
    ] {
        let place = Place::new("");
        fixture(&place, name, "a");
        let metadata = fs::read(place.path("a/_metadata")).unwrap();
        let operators = flink_metadata::parse(&metadata).unwrap().operators.len();
        let ended = place.run(&["diff", "a", "a", "-o", "json"]);
        let told = ended.json();
        assert_eq!(
            told["operators"],
            serde_json::json!([]),
            "{name}: {}",
            ended.text()
        );
        assert_eq!(
            told["same_operators"],
            operators,
            "{name}: {}",
            ended.text()
        );
    }
}

#[test]
fn other_programs_are_told_apart() {
    let place = Place::new("");
    fixture(&place, "2.3.0/hashmap-finished", "finished");
    fixture(&place, "2.3.0/hashmap-canonical", "usual");
    let ended = place.run(&["diff", "finished", "usual", "-o", "json"]);
    assert_eq!(ended.code, 1, "{}", ended.text());
    let told = ended.json();
    assert_eq!(told["verdict"], "refused");
    let reasons = told["reasons"].as_array().unwrap();
    let rules: Vec<_> = reasons
        .iter()
        .map(|it| it["rule"].as_str().unwrap())
        .collect();
    assert!(
        rules.contains(&"operator-missing") && rules.contains(&"finished-other-operators"),
        "{}",
        ended.text()
    );
}

#[test]
fn what_has_lost_a_file_is_refused_as_a_and_compared_as_b() {
    let place = Place::new("");
    release(&place);
    fs::remove_file(place.path("before/totals")).unwrap();
    let ended = place.run(&["diff", "before", "before", "-o", "json"]);
    assert_eq!(ended.code, 1, "{}", ended.text());
    assert_eq!(ended.json()["reasons"][0]["rule"], "broken");
    let ended = place.run(&["diff", "after", "before", "-o", "json"]);
    let told = ended.json();
    let reasons = told["reasons"].as_array().unwrap();
    assert!(
        reasons.iter().all(|it| it["rule"] != "broken"),
        "{}",
        ended.text()
    );
}

#[test]
fn what_cannot_be_compared_says_why() {
    let place = Place::new("");
    savepoint(&place, "a", &[]);
    let ended = place.run(&["diff", "a", "nowhere"]);
    assert_eq!(ended.code, 4, "{}", ended.text());
    fs::create_dir(place.path("cut")).unwrap();
    fs::write(place.path("cut/_metadata"), [0x49, 0x60]).unwrap();
    let ended = place.run(&["diff", "cut", "a"]);
    assert_eq!(ended.code, 1, "{}", ended.text());
    assert!(
        ended.stderr.contains("cut is broken: `_metadata`"),
        "{}",
        ended.text()
    );
    for usage in [
        &["diff", "a"][..],
        &["diff", "a", "a", "--against-job", "orders"],
    ] {
        let ended = place.run(usage);
        assert_eq!(ended.code, 2, "{}", ended.text());
    }
}

#[test]
fn a_job_that_cannot_be_asked_is_told() {
    let place = Place::new(shared::TWO);
    savepoint(&place, "a", &[]);
    let ended = place.run(&["diff", "a", "--against-job", "orders"]);
    assert_eq!(ended.code, 4, "{}", ended.text());
    assert!(
        ended
            .stderr
            .contains("cannot read the plan of the job of `session/orders`"),
        "{}",
        ended.text()
    );
    let ended = place.run(&["diff", "a", "--against-job", "order"]);
    assert_eq!(ended.code, 2, "{}", ended.text());
    assert!(
        ended.stderr.contains("did you mean `orders`"),
        "{}",
        ended.text()
    );
}
