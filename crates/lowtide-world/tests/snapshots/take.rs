//! Every kind of snapshot of every setup, from one cluster.
//!
//! Each setup runs two jobs at a time: one that gives savepoints and is then cancelled, so that Flink retains
//! its last checkpoint, and one that is stopped with a savepoint. Flink deletes the checkpoints of a job that
//! it stopped.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lowtide_core::flink_metadata::{KeyedStateHandle, Metadata, OperatorId, SubtaskState, parse};
use testbench::flink::{Backend, Cluster, JobHandle, JobSpec, Release};
use testbench::http::until;

/// A snapshot takes a fraction of a second; a busy machine of two cores may need many.
const LIMIT: Duration = Duration::from_mins(4);
const PARALLELISM: u32 = 2;
/// Few, so that tables of offsets do not make up most of each `_metadata`: every byte of it is damaged.
const MAX_PARALLELISM: u32 = 8;
/// State that is larger goes to files, so that every `_metadata` refers to files and holds state as well.
const INLINE_KILOBYTES: u32 = 1;
/// Flink 1.15 takes no checkpoint on demand.
const INTERVAL_1_15: Duration = Duration::from_millis(700);
/// A checkpoint that never comes by itself; and none during a savepoint.
const INTERVAL: Duration = Duration::from_hours(1);
/// Records arrive faster than this, so what is in front of the operator fills up.
const SLOW_RECORD: Duration = Duration::from_millis(20);

/// What a job is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setup {
    /// State on the heap.
    HashMap,
    /// `RocksDB`, every checkpoint whole.
    RocksDb,
    /// `RocksDB`, checkpoints share files.
    Incremental,
    /// The same, with several pieces of state in one file; from 1.20 on.
    Merged,
    /// Checkpoints with records in flight, under back-pressure.
    Unaligned,
    /// `RocksDB` with a changelog.
    Changelog,
}

/// How a snapshot was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A canonical savepoint.
    Canonical,
    /// A native savepoint.
    Native,
    /// A savepoint with which the job was stopped, to go on later.
    Suspend,
    /// A savepoint with which the job was drained.
    Terminate,
    /// A checkpoint that Flink retains.
    Checkpoint,
}

/// One snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub release: Release,
    pub setup: Setup,
    pub kind: Kind,
    /// The directory that holds its `_metadata`.
    pub directory: PathBuf,
}

impl Snapshot {
    pub fn metadata_path(&self) -> PathBuf {
        self.directory.join("_metadata")
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.metadata_path()).unwrap_or_else(|error| panic!("{self}: {error}"))
    }

    pub fn metadata(&self) -> Metadata {
        parse(&self.bytes()).unwrap_or_else(|error| panic!("{self}: {error}"))
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.release.version();
        write!(f, "{version} {:?} {:?}", self.setup, self.kind)
    }
}

/// A cluster that can take them all.
pub fn cluster(release: Release) -> Cluster {
    Cluster::builder(release)
        .slots(2 * PARALLELISM as usize)
        .state_in_files_from(INLINE_KILOBYTES)
        // Small buffers are full soon.
        .config("taskmanager.memory.segment-size", "4 kb")
        .changelog_in_files()
        .start()
        .unwrap()
}

/// Takes every kind of snapshot of every setup that the release has.
pub fn take_all(cluster: &Cluster) -> Vec<Snapshot> {
    let release = cluster.release();
    let mut setups = vec![
        Setup::HashMap,
        Setup::RocksDb,
        Setup::Incremental,
        Setup::Unaligned,
        Setup::Changelog,
    ];
    if release >= Release::V1_20 {
        setups.push(Setup::Merged);
    }
    setups
        .into_iter()
        .flat_map(|setup| take(cluster, setup))
        .collect()
}

fn take(cluster: &Cluster, setup: Setup) -> Vec<Snapshot> {
    let release = cluster.release();
    let stopped = cluster
        .submit_without_waiting(&spec(release, setup, "stopped"))
        .unwrap();
    let job = cluster.submit(&spec(release, setup, "retained")).unwrap();
    let canonical = canonical(cluster, setup, &job);
    if setup == Setup::Changelog {
        // Before the native savepoint: after it, 2.3 never made a base again. The savepoint takes the number of
        // the next one ("materialization:1 not confirmed or failed or cancelled, skip trigger new one").
        checkpoint_like(cluster, &job, "a base and changes", has_base_and_changes);
    }
    let native = has_native(release, setup).then(|| savepoint(cluster, setup, &job, "NATIVE"));
    stopped.wait_running().unwrap();
    // A drained job ends for good; one setup is enough to see what Flink calls that.
    let drain = setup == Setup::HashMap;
    let trigger = stopped.trigger_stop("CANONICAL", drain).unwrap();
    let checkpoint = checkpoint(cluster, setup, &job);
    let stop = wait(&stopped, &trigger);
    let stop_kind = if drain {
        Kind::Terminate
    } else {
        Kind::Suspend
    };
    let found = [
        (Kind::Canonical, Some(canonical)),
        (Kind::Native, native),
        (stop_kind, Some(stop)),
        (Kind::Checkpoint, Some(checkpoint)),
    ];
    let found = found.into_iter().filter_map(|(kind, directory)| {
        Some(Snapshot {
            release,
            setup,
            kind,
            directory: directory?,
        })
    });
    found.collect()
}

/// Up to 1.17 (1.18 and 1.19 were not tried) a job with a changelog fails when it is asked for a native
/// savepoint: its backend "does not support NATIVE savepoints" (`StreamTask.checkForcedFullSnapshotSupport`).
fn has_native(release: Release, setup: Setup) -> bool {
    setup != Setup::Changelog || release >= Release::V1_20
}

fn spec(release: Release, setup: Setup, name: &str) -> JobSpec {
    let on = |key: &str| (key.to_owned(), "true".to_owned());
    let off = |key: &str| (key.to_owned(), "false".to_owned());
    let incremental = "state.backend.incremental";
    let (backend, more) = match setup {
        Setup::HashMap => (Backend::HashMap, vec![]),
        Setup::RocksDb => (Backend::RocksDb, vec![off(incremental)]),
        Setup::Incremental => (Backend::RocksDb, vec![on(incremental)]),
        Setup::Merged => {
            let merging = "execution.checkpointing.file-merging.enabled";
            (Backend::RocksDb, vec![on(incremental), on(merging)])
        }
        Setup::Unaligned => {
            let unaligned = "execution.checkpointing.unaligned";
            (Backend::HashMap, vec![on(unaligned)])
        }
        Setup::Changelog => {
            let interval = "state.backend.changelog.periodic-materialize.interval";
            (
                Backend::RocksDb,
                vec![
                    on(incremental),
                    on("state.backend.changelog.enabled"),
                    (interval.to_owned(), "500 ms".to_owned()),
                ],
            )
        }
    };
    let common = [
        (
            "execution.checkpointing.externalized-checkpoint-retention",
            "RETAIN_ON_CANCELLATION".to_owned(),
        ),
        ("pipeline.max-parallelism", MAX_PARALLELISM.to_string()),
    ];
    let common = common.map(|(key, value)| (key.to_owned(), value));
    JobSpec {
        rate: if setup == Setup::Unaligned {
            2_000
        } else {
            100
        },
        parallelism: PARALLELISM,
        checkpoint_interval: Some(match release {
            Release::V1_15 => INTERVAL_1_15,
            _ => INTERVAL,
        }),
        restarts: 0,
        backend,
        keys: 16,
        value_bytes: 512,
        config: common.into_iter().chain(more).collect(),
        ..JobSpec::named(format!("{setup:?}-{name}"))
    }
}

/// Takes canonical savepoints until all subtasks of the keyed operator have a file: the first may come before
/// the first record.
fn canonical(cluster: &Cluster, setup: Setup, job: &JobHandle) -> PathBuf {
    until("a savepoint with files", LIMIT, || {
        let directory = savepoint(cluster, setup, job, "CANONICAL");
        let metadata = metadata_in(&directory).expect("savepoints stay");
        let accounts = OperatorId::from_uid("accounts");
        let files = metadata.files().filter(|file| file.operator == accounts);
        Ok((files.count() >= PARALLELISM as usize).then_some(directory))
    })
    .unwrap()
}

/// One savepoint; asked for under back-pressure where the setup is about that.
fn savepoint(cluster: &Cluster, setup: Setup, job: &JobHandle, format: &str) -> PathBuf {
    if setup == Setup::Unaligned {
        press(cluster, job);
    }
    let trigger = job.trigger_savepoint(format).unwrap();
    // A savepoint waits for every record in front of it.
    job.control.heal().unwrap();
    wait(job, &trigger)
}

/// The checkpoint that Flink retains when the job is cancelled.
fn checkpoint(cluster: &Cluster, setup: Setup, job: &JobHandle) -> PathBuf {
    match setup {
        Setup::Unaligned => press(cluster, job),
        Setup::Changelog => {
            checkpoint_like(cluster, job, "a base and changes", has_base_and_changes);
        }
        // The second refers to what the first wrote, where it may.
        _ => {
            let first = checkpoint_like(cluster, job, "a checkpoint", |_| true);
            checkpoint_like(cluster, job, "a second checkpoint", |second| {
                first.checkpoint_id < second.checkpoint_id
            });
        }
    }
    job.cancel().unwrap();
    let mut retained = cluster.retained_checkpoints(&job.id).unwrap();
    assert_eq!(retained.len(), 1, "{retained:?}");
    retained.pop().unwrap()
}

fn has_base_and_changes(metadata: &Metadata) -> bool {
    states(metadata).any(|state| {
        let Some(KeyedStateHandle::Changelog(handle)) = &state.managed_keyed else {
            return false;
        };
        !handle.materialized.is_empty() && !handle.delta.is_empty()
    })
}

fn states(metadata: &Metadata) -> impl Iterator<Item = &SubtaskState> {
    let operators = metadata.operators.iter();
    operators
        .flat_map(|operator| &operator.subtasks)
        .filter_map(|subtask| subtask.state.as_deref())
}

/// Makes the job slow, and waits until a checkpoint holds records in flight, in front of tasks and behind
/// them.
fn press(cluster: &Cluster, job: &JobHandle) {
    job.control.slow_records(SLOW_RECORD).unwrap();
    checkpoint_like(cluster, job, "back-pressure", |metadata| {
        states(metadata).any(|state| !state.input_channels.is_empty())
            && states(metadata).any(|state| !state.output_channels.is_empty())
    });
}

/// Takes checkpoints until one is as wanted.
fn checkpoint_like(
    cluster: &Cluster,
    job: &JobHandle,
    what: &str,
    is_wanted: impl Fn(&Metadata) -> bool,
) -> Metadata {
    until(what, LIMIT, || {
        if cluster.release() > Release::V1_15 {
            job.checkpoint(LIMIT)?;
        }
        Ok(newest(cluster, job).filter(&is_wanted))
    })
    .unwrap()
}

/// The newest checkpoint of a running job; `None` also if it was just replaced.
fn newest(cluster: &Cluster, job: &JobHandle) -> Option<Metadata> {
    let newest = cluster.retained_checkpoints(&job.id).ok()?.pop()?;
    metadata_in(&newest)
}

fn metadata_in(directory: &Path) -> Option<Metadata> {
    let bytes = fs::read(directory.join("_metadata")).ok()?;
    Some(parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", directory.display())))
}

fn wait(job: &JobHandle, trigger: &str) -> PathBuf {
    let operation = job.wait_savepoint(trigger, LIMIT).unwrap();
    let location = operation["location"].as_str();
    let location = location.unwrap_or_else(|| {
        let cause = operation["failure-cause"]["stack-trace"].as_str();
        panic!("{}: {cause:?}\n{}", job.name, job.last_failure())
    });
    PathBuf::from(location.trim_start_matches("file:"))
}
