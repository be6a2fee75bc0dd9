//! FLINK-39964: a snapshot that Flink calls complete, and cannot restore.
//!
//! A job that claims a native `RocksDB` savepoint goes on using its files. Releases up to 2.3.0 write them into
//! the next checkpoint as relative handles, as if they lay in the checkpoint's own directory.

use std::time::Duration;

use testbench::flink::{Backend, Cluster, JobSpec, Release};
use testbench::http::until;

use crate::level_1;

const LIMIT: Duration = Duration::from_mins(3);

#[test]
fn level_1_names_the_file_that_flink_fails_on_after_a_claim() {
    let cluster = Cluster::builder(Release::V2_3)
        .state_in_files()
        .start()
        .unwrap();
    let job = cluster.submit(&spec("first")).unwrap();
    let trigger = job.trigger_savepoint("NATIVE").unwrap();
    let operation = job.wait_savepoint(&trigger, LIMIT).unwrap();
    let savepoint = operation["location"].as_str().unwrap().to_owned();
    job.cancel().unwrap();

    let claiming = cluster
        .submit(&JobSpec {
            restore: Some(savepoint),
            claim: true,
            ..spec("claiming")
        })
        .unwrap();
    claiming.checkpoint(LIMIT).unwrap();
    claiming.cancel().unwrap();
    let checkpoint = cluster.retained_checkpoints(&claiming.id).unwrap().pop();
    let checkpoint = checkpoint.expect("Flink says that it is complete, and retains it");

    let findings = level_1::findings(&level_1::read(&checkpoint).unwrap());
    let missing: Vec<&str> = findings
        .iter()
        .filter_map(|line| line.strip_prefix("missing: file:"))
        .collect();
    assert!(!missing.is_empty(), "{findings:?}");

    let failing = cluster
        .submit_without_waiting(&JobSpec {
            restore: Some(format!("file:{}", checkpoint.display())),
            ..spec("failing")
        })
        .unwrap();
    until("the job to fail", LIMIT, || {
        Ok((failing.state()? == "FAILED").then_some(()))
    })
    .unwrap();
    let failure = failing.last_failure();
    assert!(failure.contains("FileNotFoundException"), "{failure}");
    let named = missing.iter().filter(|file| failure.contains(**file));
    assert_eq!(named.count(), 1, "{missing:?}\n{failure}");
}

fn spec(name: &str) -> JobSpec {
    let keys = [
        ("state.backend.incremental", "true"),
        (
            "execution.checkpointing.externalized-checkpoint-retention",
            "RETAIN_ON_CANCELLATION",
        ),
        // Files are read one after the other. Where several are read at a time, the first that is missing ends
        // the others, and Flink may name one of those as the cause (`RocksDBStateDownloader`).
        ("state.backend.rocksdb.checkpoint.transfer.thread.num", "1"),
    ];
    JobSpec {
        backend: Backend::RocksDb,
        checkpoint_interval: Some(Duration::from_hours(1)),
        restarts: 0,
        config: keys
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..JobSpec::named(name)
    }
}
