//! Fresh savepoints of running jobs, compared with what the very release that wrote them reads: every
//! field, down to the kind and size of each handle.
//!
//! The fixtures cover more releases and kinds of snapshots, but only as they once were; here Flink's own
//! `Checkpoints.loadCheckpointMetadata` is run.

#![allow(clippy::unwrap_used)]

mod describe;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use describe::{describe_whole, sort_streams};
use flink_metadata::{Metadata, OperatorId, SavepointFormat, parse};
use serde_json::Value;
use testbench::flink::{Backend, Cluster, JobHandle, JobSpec, Release, dump_metadata};
use testbench::http::until;

const LIMIT: Duration = Duration::from_mins(1);

/// With this many bytes per key a subtask's state is larger than what Flink keeps inside `_metadata`
/// (`state.storage.fs.memory-threshold`, 20 KB) as soon as it has seen one record.
const VALUE_BYTES: u32 = 32 << 10;

const PARALLELISM: u32 = 2;

/// What the job registers, and Flink's redistribution modes of it.
const OPERATOR_STATES: [(&str, &str, &str); 4] = [
    ("gate", "seen", "SPLIT_DISTRIBUTE"),
    ("gate", "counts", "UNION"),
    ("judge", "rules", "BROADCAST"),
    ("events", "SourceReaderState", "SPLIT_DISTRIBUTE"),
];

#[test]
fn flink_1_15_reads_the_same() {
    compare(Release::V1_15, 3);
}

#[test]
fn flink_1_17_reads_the_same() {
    compare(Release::V1_17, 4);
}

#[test]
fn flink_1_20_reads_the_same() {
    compare(Release::V1_20, 4);
}

#[test]
fn flink_2_3_reads_the_same() {
    compare(Release::V2_3, 6);
}

fn compare(release: Release, version: u32) {
    let cluster = Cluster::builder(release).start().unwrap();
    let mut files = Vec::new();
    for backend in [Backend::HashMap, Backend::RocksDb] {
        let spec = JobSpec {
            parallelism: PARALLELISM,
            value_bytes: VALUE_BYTES,
            keys: 8,
            backend,
            // Without it RocksDB writes a native savepoint as one stream of key groups in 1.15, as files
            // of its own from 1.17 on.
            config: vec![("state.backend.incremental".into(), "true".into())],
            ..JobSpec::named(format!("{backend:?}"))
        };
        let job = cluster.submit(&spec).unwrap();
        for format in ["CANONICAL", "NATIVE"] {
            files.push((backend, format, savepoint(&job, format)));
        }
        job.cancel().unwrap();
    }
    let paths: Vec<&Path> = files.iter().map(|(_, _, path)| path.as_path()).collect();
    let dumps = dump_metadata(release, &paths).unwrap();
    let mut kinds = BTreeSet::new();
    for ((backend, format, path), mut flinks) in files.iter().zip(dumps) {
        let what = format!("{} {backend:?} {format}", release.version());
        let metadata = read(path);
        let mut ours = describe_whole(path.to_str().unwrap(), &metadata);
        sort_streams(&mut flinks);
        sort_streams(&mut ours);
        assert_eq!(ours, flinks, "{what}");
        assert_eq!(metadata.version, version, "{what}");
        holds_all_kinds_of_state(&flinks, &what);
        assert_eq!(metadata.anomalies(), [], "{what}");
        kinds.insert(keyed_kind(&flinks));
        // Version 3 does not say what it is, and a native savepoint of that time looks like a checkpoint.
        if version > 3 {
            let expected = match *format {
                "CANONICAL" => SavepointFormat::Canonical,
                _ => SavepointFormat::Native,
            };
            let told = metadata.properties.as_ref().unwrap().format;
            assert_eq!(told, Some(expected), "{what}");
        }
    }
    let expected = [
        "IncrementalRemoteKeyedStateHandle",
        "KeyGroupsSavepointStateHandle",
        "KeyGroupsStateHandle",
    ];
    assert_eq!(kinds.iter().collect::<Vec<_>>(), expected, "{release:?}");
}

/// Takes savepoints until both subtasks of the keyed operator have files of their own in one: the first may
/// come before the first record of a subtask.
fn savepoint(job: &JobHandle, format: &str) -> PathBuf {
    until("a savepoint with files", LIMIT, || {
        let trigger = job.trigger_savepoint(format)?;
        let operation = job.wait_savepoint(&trigger, LIMIT)?;
        let location = operation["location"].as_str().unwrap_or_default();
        let path = Path::new(location.trim_start_matches("file:")).join("_metadata");
        let accounts = OperatorId::from_uid("accounts");
        let metadata = read(&path);
        let referred = metadata.files().filter(|file| file.operator == accounts);
        Ok((referred.count() >= PARALLELISM as usize).then_some(path))
    })
    .unwrap()
}

fn read(path: &Path) -> Metadata {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The comparison must be about something: all the kinds of state of the job are in it.
fn holds_all_kinds_of_state(dump: &Value, what: &str) {
    for (uid, state, mode) in OPERATOR_STATES {
        let handles = handles(dump, uid);
        let told = handles
            .iter()
            .filter(|handle| handle["states"][state]["mode"] == mode);
        assert_eq!(told.count(), PARALLELISM as usize, "{what}: {uid} {state}");
    }
    let keyed = handles(dump, "accounts");
    assert_eq!(keyed.len(), PARALLELISM as usize, "{what}");
    for handle in keyed {
        assert_eq!(handle["place"], "managedKeyed", "{what}");
    }
}

fn keyed_kind(dump: &Value) -> String {
    handles(dump, "accounts")[0]["kind"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// All handles of one operator's subtasks.
fn handles<'a>(dump: &'a Value, uid: &str) -> Vec<&'a Value> {
    let id = OperatorId::from_uid(uid).to_string();
    let operators = dump["operators"].as_array().unwrap().iter();
    let operator = operators
        .clone()
        .find(|operator| operator["id"] == id.as_str())
        .unwrap();
    let states = operator["states"].as_array().unwrap().iter();
    states
        .flat_map(|state| state["handles"].as_array().unwrap())
        .collect()
}
