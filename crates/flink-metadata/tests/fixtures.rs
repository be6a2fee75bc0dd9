//! Real snapshots, compared with what Flink 2.3.0's own `Checkpoints.loadCheckpointMetadata` read
//! from them.

#![allow(clippy::unwrap_used)]

mod common;
mod describe;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use common::{fixtures, root};
use describe::describe;
use flink_metadata::{
    AnomalyKind, FilePath, KeyedStateHandle, Metadata, OperatorId, SavepointFormat, SizeRule,
    SnapshotType, StreamHandle, keyed_states, parse, write,
};
use serde_json::Value;

fn expectations() -> BTreeMap<String, Value> {
    let lines = fs::read_to_string(root().join("expected-by-flink-2.3.0.jsonl")).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|expected| (expected["file"].as_str().unwrap().to_owned(), expected))
        .collect()
}

#[test]
fn every_field_is_what_flink_read() {
    let mut expectations = expectations();
    for fixture in fixtures() {
        let metadata =
            parse(&fixture.bytes).unwrap_or_else(|error| panic!("{}: {error}", fixture.name));
        let expected = expectations.remove(&fixture.name).unwrap();
        assert_eq!(describe(&fixture.name, &metadata), expected);
    }
    assert!(
        expectations.is_empty(),
        "no snapshot for {:?}",
        expectations.keys()
    );
}

#[test]
fn every_snapshot_is_written_again_byte_for_byte() {
    for fixture in fixtures() {
        let metadata = parse(&fixture.bytes).unwrap();
        assert_eq!(write(&metadata).unwrap(), fixture.bytes, "{}", fixture.name);
    }
}

#[test]
fn the_files_of_each_directory_are_those_that_the_metadata_refers_to() {
    for fixture in fixtures() {
        let metadata = parse(&fixture.bytes).unwrap();
        let present: BTreeMap<String, u64> = fixture.files().into_iter().collect();
        let mut referred = BTreeSet::new();
        for file in metadata.files() {
            let FilePath::Relative(path) = file.path else {
                continue;
            };
            let size = present
                .get(path)
                .unwrap_or_else(|| panic!("{}: no {path}", fixture.name));
            assert!(
                file.size.allows(*size),
                "{}: {path} has {size}, not {:?}",
                fixture.name,
                file.size
            );
            referred.insert(path.to_owned());
        }
        assert_eq!(referred, present.into_keys().collect(), "{}", fixture.name);
    }
}

/// Level 1 against a directory: what is missing or has the wrong size below it.
fn wrong_files(directory: &Path, metadata: &Metadata) -> BTreeSet<String> {
    let mut wrong = BTreeSet::new();
    for file in metadata.files() {
        // Absolute files lay on another machine.
        let FilePath::Relative(path) = file.path else {
            continue;
        };
        let found = fs::metadata(directory.join(path));
        if !found.is_ok_and(|found| file.size.allows(found.len())) {
            wrong.insert(path.to_owned());
        }
    }
    wrong
}

#[test]
fn snapshots_with_sparse_files_are_whole_until_one_is_removed_or_shortened() {
    for fixture in fixtures() {
        let metadata = parse(&fixture.bytes).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let files = fixture.files();
        let make = |name: &str, size: u64| {
            let file = File::create(directory.path().join(name)).unwrap();
            file.set_len(size).unwrap();
        };
        for (name, size) in &files {
            make(name, *size);
        }
        assert_eq!(wrong_files(directory.path(), &metadata), BTreeSet::new());
        for (name, size) in &files {
            let only = BTreeSet::from([name.clone()]);
            fs::remove_file(directory.path().join(name)).unwrap();
            assert_eq!(
                wrong_files(directory.path(), &metadata),
                only,
                "{}",
                fixture.name
            );
            make(name, size - 1);
            assert_eq!(
                wrong_files(directory.path(), &metadata),
                only,
                "{}",
                fixture.name
            );
            make(name, *size);
        }
    }
}

#[test]
fn absolute_files_of_checkpoints_are_told_as_they_are() {
    for fixture in fixtures() {
        for file in parse(&fixture.bytes).unwrap().files() {
            if let FilePath::Absolute(uri) = file.path {
                assert!(
                    uri.starts_with("file:/srv/flink-st"),
                    "{}: {uri}",
                    fixture.name
                );
            }
        }
    }
}

/// The seeds of the fuzz targets: whole, and all kinds of old and rare handles are among them.
#[test]
fn the_seeds_of_the_fuzzer_are_read_and_written_back() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut versions = BTreeSet::new();
    for target in ["parse", "events"] {
        for seed in fs::read_dir(corpus.join(target)).unwrap() {
            let path = seed.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let metadata =
                parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(write(&metadata).unwrap(), bytes, "{}", path.display());
            versions.insert(metadata.version);
        }
    }
    assert_eq!(Vec::from_iter(versions), [2, 3, 4, 6]);
    for seed in fs::read_dir(corpus.join("states")).unwrap() {
        let path = seed.unwrap().path();
        let found = keyed_states(&fs::read(&path).unwrap());
        assert!(!found.unwrap().states.is_empty(), "{}", path.display());
    }
}

#[test]
fn savepoints_refer_to_no_file_elsewhere_and_say_their_sizes() {
    let mut savepoints = 0;
    for fixture in fixtures() {
        if fixture.name.contains("-chk-") {
            continue;
        }
        savepoints += 1;
        for file in parse(&fixture.bytes).unwrap().files() {
            assert!(
                matches!(file.path, FilePath::Relative(_)),
                "{}: {file:?}",
                fixture.name
            );
            assert!(
                matches!(file.size, SizeRule::Exactly(_)),
                "{}: {file:?}",
                fixture.name
            );
        }
    }
    assert_eq!(savepoints, 30);
}

#[test]
fn changelogs_need_to_exist_and_segments_to_reach_their_end() {
    let rules = |name: &str| {
        let fixture = fixtures()
            .into_iter()
            .find(|fixture| fixture.name == name)
            .unwrap();
        let metadata = parse(&fixture.bytes).unwrap();
        let rules: Vec<SizeRule> = metadata
            .files()
            .filter(|file| matches!(file.path, FilePath::Absolute(_)))
            .map(|file| file.size)
            .collect();
        rules
    };
    assert!(rules("2.3.0/chlog-chk-1").contains(&SizeRule::Exists));
    let merged = rules("2.3.0/merge-chk-2");
    assert!(
        merged
            .iter()
            .any(|rule| matches!(rule, SizeRule::AtLeast(end) if *end > 0))
    );
    assert!(merged.iter().all(|rule| !matches!(rule, SizeRule::Exists)));
}

#[test]
fn no_real_snapshot_has_an_anomaly() {
    for fixture in fixtures() {
        assert_eq!(
            parse(&fixture.bytes).unwrap().anomalies(),
            [],
            "{}",
            fixture.name
        );
    }
}

#[test]
fn a_missing_subtask_is_an_anomaly_of_each_snapshot_with_keyed_state() {
    let keyed_id = OperatorId::from_uid("keyed-uid");
    let mut checked = 0;
    for fixture in fixtures() {
        let mut metadata = parse(&fixture.bytes).unwrap();
        let keyed = metadata
            .operators
            .iter_mut()
            .find(|operator| operator.id == keyed_id);
        let Some(keyed) = keyed.filter(|operator| !operator.subtasks.is_empty()) else {
            continue;
        };
        keyed.subtasks.pop();
        let anomalies = metadata.anomalies();
        assert!(
            anomalies.iter().any(|anomaly| anomaly.operator == keyed_id
                && matches!(anomaly.kind, AnomalyKind::KeyGroupsMissing { .. })),
            "{}: {anomalies:?}",
            fixture.name
        );
        checked += 1;
    }
    assert_eq!(checked, 40);
}

#[test]
fn the_type_is_known_from_version_4_on_and_guessed_before() {
    for fixture in fixtures() {
        let mut metadata = parse(&fixture.bytes).unwrap();
        let is_checkpoint = fixture.name.contains("-chk-");
        assert_eq!(
            metadata.is_savepoint(),
            Some(!is_checkpoint),
            "{}",
            fixture.name
        );
        let told = metadata.snapshot_type();
        metadata.properties = None;
        let guessed = metadata.snapshot_type();
        assert!(
            guessed == told || guessed == SnapshotType::Unknown,
            "{}: {guessed:?}",
            fixture.name
        );
        if metadata.version < 4 || told == SnapshotType::Savepoint(SavepointFormat::Canonical) {
            assert_eq!(guessed, told, "{}", fixture.name);
        }
    }
}

#[test]
fn uids_hash_to_the_ids_beside_them() {
    let mut hashed = 0;
    for fixture in fixtures() {
        for operator in parse(&fixture.bytes).unwrap().operators {
            if let Some(uid) = &operator.uid {
                assert_eq!(OperatorId::from_uid(uid), operator.id, "{uid}");
                hashed += 1;
            }
        }
    }
    assert!(hashed >= 60, "only {hashed} uids");
}

/// The fixtures must exercise what the tests above claim to compare.
#[test]
fn the_snapshots_hold_all_kinds_of_handles_of_today() {
    let mut kinds = BTreeSet::new();
    for fixture in fixtures() {
        for operator in parse(&fixture.bytes).unwrap().operators {
            for state in operator
                .subtasks
                .iter()
                .filter_map(|subtask| subtask.state.as_deref())
            {
                kinds.extend(state.managed_keyed.as_ref().map(|handle| match handle {
                    KeyedStateHandle::KeyGroups(_) => "key groups",
                    KeyedStateHandle::Incremental(_) => "incremental",
                    KeyedStateHandle::Changelog(handle) if handle.delta.is_empty() => "base",
                    KeyedStateHandle::Changelog(_) => "changes",
                    KeyedStateHandle::Delta(_) => "delta",
                }));
                kinds.extend(
                    state
                        .managed_operator
                        .as_ref()
                        .map(|handle| match handle.stream {
                            StreamHandle::Segment(_) => "operator state in a segment",
                            _ => "operator state",
                        }),
                );
                kinds.extend(state.output_channels.first().map(|_| "output channels"));
                kinds.extend(state.input_channels.first().map(|_| "input channels"));
            }
        }
    }
    let expected = [
        "base",
        "changes",
        "incremental",
        "input channels",
        "key groups",
        "operator state",
        "operator state in a segment",
        "output channels",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
}
