//! What a small, quick, loopback-only cluster is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::Release;

/// Flat keys and values.
pub(super) type Keys = BTreeMap<String, String>;

/// Keys that every cluster has; `scratch` is its folder.
///
/// Heartbeats: a killed process is noticed by refused connections within two intervals, so the interval is
/// short, while the timeout stays long: on a busy two-core machine a JVM can stall for seconds, and a false
/// alarm would restart jobs under the test.
pub(super) fn common(release: Release, scratch: &Path, rest_port: u16, rpc_port: u16) -> Keys {
    let at = |name: &str| format!("file://{}", scratch.join(name).display());
    let (backend, checkpoints) = match release {
        Release::V1_15 => ("state.backend", "state.checkpoints.dir"),
        Release::V1_17 | Release::V1_20 => ("state.backend.type", "state.checkpoints.dir"),
        Release::V2_0 | Release::V2_3 => ("state.backend.type", "execution.checkpointing.dir"),
    };
    [
        ("jobmanager.rpc.address", "127.0.0.1".into()),
        ("jobmanager.bind-host", "127.0.0.1".into()),
        ("jobmanager.rpc.port", rpc_port.to_string()),
        ("jobmanager.retrieve-taskmanager-hostname", "false".into()),
        ("rest.address", "127.0.0.1".into()),
        ("rest.bind-address", "127.0.0.1".into()),
        ("rest.port", rest_port.to_string()),
        ("rest.bind-port", rest_port.to_string()),
        ("taskmanager.host", "127.0.0.1".into()),
        ("taskmanager.bind-host", "127.0.0.1".into()),
        ("io.tmp.dirs", scratch.join("tmp").display().to_string()),
        (
            "web.upload.dir",
            scratch.join("upload").display().to_string(),
        ),
        (backend, "hashmap".into()),
        (savepoint_directory_key(release), at("savepoints")),
        (checkpoints, at("checkpoints")),
        // The keys were renamed in 1.18. A JVM that shares two slow cores with forty others has needed more than
        // the ten seconds of an answer that are the default, and more than a minute to start.
        ("akka.startup-timeout", "5 min".into()),
        ("pekko.startup-timeout", "5 min".into()),
        ("akka.ask.timeout", "60 s".into()),
        ("pekko.ask.timeout", "60 s".into()),
        ("heartbeat.interval", "1000".into()),
        ("heartbeat.timeout", "60000".into()),
        ("cluster.registration.initial-timeout", "200".into()),
        ("cluster.registration.max-timeout", "2000".into()),
        ("cluster.registration.error-delay", "300".into()),
        (
            "cluster.registration.refused-registration-delay",
            "500".into(),
        ),
        ("taskmanager.network.request-backoff.max", "5000".into()),
        ("taskmanager.cpu.cores", "2".into()),
        ("taskmanager.memory.task.heap.size", "96m".into()),
        ("taskmanager.memory.task.off-heap.size", "0m".into()),
        ("taskmanager.memory.framework.heap.size", "64m".into()),
        ("taskmanager.memory.framework.off-heap.size", "48m".into()),
        ("taskmanager.memory.network.min", "32m".into()),
        ("taskmanager.memory.network.max", "32m".into()),
        ("taskmanager.memory.managed.size", "32m".into()),
        ("taskmanager.memory.jvm-metaspace.size", "128m".into()),
        ("taskmanager.memory.jvm-overhead.min", "64m".into()),
        ("taskmanager.memory.jvm-overhead.max", "64m".into()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// The key of the default savepoint directory: renamed in 2.0.
pub(super) fn savepoint_directory_key(release: Release) -> &'static str {
    match release {
        Release::V1_15 | Release::V1_17 | Release::V1_20 => "state.savepoints.dir",
        Release::V2_0 | Release::V2_3 => "execution.checkpointing.savepoint-dir",
    }
}

/// The key of the size below which state is kept in `_metadata`: renamed in 1.20, gone by its old name in 2.0.
pub(super) fn inline_threshold_key(release: Release) -> &'static str {
    match release {
        Release::V1_15 | Release::V1_17 => "state.storage.fs.memory-threshold",
        Release::V1_20 | Release::V2_0 | Release::V2_3 => {
            "execution.checkpointing.data-inline-threshold"
        }
    }
}

/// Keys of a changelog in files below `scratch`. 1.20 renamed them, and knows these still.
pub(super) fn changelog(scratch: &Path) -> Keys {
    let folder = format!("file://{}", scratch.join("changelog").display());
    [
        ("state.backend.changelog.storage", "filesystem".to_owned()),
        ("dstl.dfs.base-path", folder),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The JVM flags of a JobManager: its web parts and jobs' `main` methods need little.
pub(super) const JOB_MANAGER_MEMORY: [&str; 4] = [
    "-Xms96m",
    "-Xmx320m",
    "-XX:MaxMetaspaceSize=224m",
    "-Xss512k",
];

/// The JVM flags of a TaskManager, equal to what [`common`] tells it: 96 + 64 MB of heap, 48 + 32 MB direct.
pub(super) const TASK_MANAGER_MEMORY: [&str; 5] = [
    "-Xms64m",
    "-Xmx160m",
    "-XX:MaxDirectMemorySize=80m",
    "-XX:MaxMetaspaceSize=128m",
    "-Xss512k",
];

/// Writes `keys` and the logging configuration into `folder`, under the names that `release` reads.
pub(super) fn write(release: Release, folder: &Path, keys: &Keys) -> Result<()> {
    let mut text = String::new();
    for (key, value) in keys {
        // From 2.0 the file is real YAML, and a value such as `*` must be quoted; before, quotes would
        // become part of the value.
        let line = match release {
            Release::V2_0 | Release::V2_3 => format!("{key}: '{}'", value.replace('\'', "''")),
            _ => format!("{key}: {value}"),
        };
        writeln!(text, "{line}").expect("writing to a string cannot fail");
    }
    let name = match release {
        Release::V2_0 | Release::V2_3 => "config.yaml",
        Release::V1_15 | Release::V1_17 | Release::V1_20 => "flink-conf.yaml",
    };
    fs::create_dir_all(folder)?;
    fs::write(folder.join(name), text).with_context(|| format!("write {name}"))?;
    fs::write(folder.join("log4j.properties"), LOGGING).context("write log4j.properties")?;
    Ok(())
}

/// Each line is flushed when written: what a killed JobManager had logged must be in the file.
pub(super) const LOGGING: &str = "
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = File
appender.file.name = File
appender.file.type = File
appender.file.append = true
appender.file.immediateFlush = true
appender.file.fileName = ${sys:log.file}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n
";
