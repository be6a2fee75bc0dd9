//! What `flink-metadata` reads, beside what Flink reads: the release that wrote it, and the newest.

use std::path::PathBuf;

use lowtide_core::flink_metadata::{Metadata, SavepointFormat, SnapshotKind};
use serde_json::Value;
use testbench::flink::{Release, dump_metadata};

use crate::describe::{describe, sort_streams};
use crate::level_1;
use crate::take::{Kind, Setup, Snapshot};

/// Compares all snapshots of one release, which writes this version, and finds each of them whole.
pub fn as_flink_reads(release: Release, version: u32, snapshots: &[Snapshot]) {
    let paths: Vec<PathBuf> = snapshots.iter().map(Snapshot::metadata_path).collect();
    for reader in [release, Release::V2_3] {
        let dumps = dump_metadata(reader, &paths).unwrap();
        for (snapshot, mut flinks) in snapshots.iter().zip(dumps) {
            let mut ours = describe(
                snapshot.metadata_path().to_str().unwrap(),
                &snapshot.metadata(),
            );
            sort_streams(&mut flinks);
            sort_streams(&mut ours);
            let differences = differences("", &ours, &flinks);
            assert_eq!(
                differences,
                [""; 0],
                "{snapshot} as {} reads it",
                reader.version()
            );
            is_about_something(snapshot, &flinks);
        }
    }
    for snapshot in snapshots {
        let metadata = snapshot.metadata();
        assert_eq!(metadata.version, version, "{snapshot}");
        assert_eq!(metadata.anomalies(), [], "{snapshot}");
        is_of_its_kind(snapshot, &metadata);
        is_whole(snapshot);
    }
}

/// Where two values differ: a whole snapshot is more than one wants to read.
fn differences(place: &str, ours: &Value, flinks: &Value) -> Vec<String> {
    match (ours, flinks) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            pairs
                .flat_map(|(index, (a, b))| differences(&format!("{place}/{index}"), a, b))
                .collect()
        }
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            let pairs = a.iter().zip(b.values());
            pairs
                .flat_map(|((key, a), b)| differences(&format!("{place}/{key}"), a, b))
                .collect()
        }
        _ if ours == flinks => Vec::new(),
        _ => vec![format!("{place}: ours {ours}, Flink's {flinks}")],
    }
}

/// Version 3 does not say what it is.
fn is_of_its_kind(snapshot: &Snapshot, metadata: &Metadata) {
    let Some(properties) = &metadata.properties else {
        assert_eq!(metadata.version, 3, "{snapshot}");
        return;
    };
    let (kind, format) = match snapshot.kind {
        Kind::Canonical => (SnapshotKind::Savepoint, Some(SavepointFormat::Canonical)),
        Kind::Native => (SnapshotKind::Savepoint, Some(SavepointFormat::Native)),
        Kind::Suspend => (
            SnapshotKind::SuspendSavepoint,
            Some(SavepointFormat::Canonical),
        ),
        Kind::Terminate => (
            SnapshotKind::TerminateSavepoint,
            Some(SavepointFormat::Canonical),
        ),
        Kind::Checkpoint => (SnapshotKind::Checkpoint, None),
    };
    assert_eq!(
        (properties.kind, properties.format),
        (kind, format),
        "{snapshot}"
    );
}

fn is_whole(snapshot: &Snapshot) {
    let reading = level_1::read(&snapshot.directory).unwrap();
    assert_eq!(level_1::findings(&reading), [""; 0], "{snapshot}");
    assert!(!reading.files.is_empty(), "{snapshot} has no files");
    if snapshot.kind != Kind::Checkpoint {
        assert_eq!(reading.extra, [""; 0], "{snapshot}");
    }
}

/// The setups differ in what is written: else they would not be worth their time.
fn is_about_something(snapshot: &Snapshot, dump: &Value) {
    let told = dump.to_string();
    for class in expected(snapshot) {
        let kind = format!("\"kind\":\"{class}\"");
        assert!(told.contains(&kind), "{snapshot} has no {class}: {told}");
    }
    for mode in ["SPLIT_DISTRIBUTE", "UNION", "BROADCAST"] {
        assert!(told.contains(mode), "{snapshot} has no {mode} state");
    }
}

/// Some of the classes that a snapshot's handles are of.
fn expected(snapshot: &Snapshot) -> &'static [&'static str] {
    match (snapshot.kind, snapshot.setup) {
        (Kind::Canonical | Kind::Suspend | Kind::Terminate, _) => &[
            "KeyGroupsSavepointStateHandle",
            "ByteStreamStateHandle",
            "RelativeFileStateHandle",
        ],
        (_, Setup::HashMap) | (Kind::Native, Setup::Unaligned) => &["KeyGroupsStateHandle"],
        // Without incremental checkpoints 1.15 writes a native savepoint just as a canonical one, and a
        // checkpoint as one stream too.
        (Kind::Native, Setup::RocksDb) if snapshot.release == Release::V1_15 => {
            &["KeyGroupsSavepointStateHandle"]
        }
        (_, Setup::RocksDb) if snapshot.release == Release::V1_15 => &["KeyGroupsStateHandle"],
        (_, Setup::RocksDb | Setup::Incremental) | (Kind::Native, Setup::Merged) => {
            &["IncrementalRemoteKeyedStateHandle"]
        }
        (Kind::Checkpoint, Setup::Merged) => &[
            "IncrementalRemoteKeyedStateHandle",
            "SegmentFileStateHandle",
            "FileMergingOperatorStreamStateHandle",
        ],
        (Kind::Checkpoint, Setup::Unaligned) if snapshot.release == Release::V2_3 => &[
            "MergedInputChannelStateHandle",
            "MergedResultSubpartitionStateHandle",
        ],
        (Kind::Checkpoint, Setup::Unaligned) => {
            &["InputChannelStateHandle", "ResultSubpartitionStateHandle"]
        }
        (Kind::Native, Setup::Changelog) => &["ChangelogStateBackendHandleImpl"],
        (Kind::Checkpoint, Setup::Changelog) => &[
            "ChangelogStateBackendHandleImpl",
            "IncrementalRemoteKeyedStateHandle",
            "ChangelogStateHandleStreamImpl",
        ],
    }
}
