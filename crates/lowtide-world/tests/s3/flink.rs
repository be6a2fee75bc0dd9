//! What a real Flink writes to S3 by its own plugin: read there, moved, restored from where it was moved to.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use lowtide_core::baseline::{self, Baseline, Digest};
use lowtide_core::name::Location;
use lowtide_core::verify;
use lowtide_world::store::deep::Pace;
use serde_json::{Value, json};
use testbench::flink::{Backend, Cluster, JobHandle, JobSpec, Release};
use testbench::http;

use super::shared::{read, read_deep, server, settings};

type Digests = BTreeMap<Location, Digest>;

/// For a savepoint of a small job over HTTP, on a busy machine.
const LIMIT: Duration = Duration::from_mins(4);

#[test]
fn savepoints_verify_where_they_were_written_and_restore_where_they_were_moved() -> Result<()> {
    let server = server();
    server.create_bucket("state")?;
    server.create_bucket("archive")?;
    let cluster = Cluster::builder(Release::V2_3)
        .s3(server)
        .state_in_files()
        .savepoints_in("s3://state/savepoints")
        .config("s3.entropy.key", "_entropy_")
        .config("s3.entropy.length", "4")
        .start()?;
    for (backend, format) in [
        (Backend::HashMap, "CANONICAL"),
        (Backend::RocksDb, "NATIVE"),
    ] {
        let job = submit(&cluster, backend, None)?;
        let location = taken(&job, format)?;
        ensure!(
            location.starts_with("s3://state/savepoints/savepoint-"),
            "{location}"
        );
        whole(&location)?;
        let checksums = deep(&location)?;
        let prefix = location.strip_prefix("s3://state/").unwrap_or_default();
        server.copy_all("state", &format!("{prefix}/"), "archive")?;
        // Only what was moved is left, so that nothing else can have been read.
        for key in server.keys("state", &format!("{prefix}/"))? {
            server.remove("state", &key)?;
        }
        let moved = location.replacen("s3://state/", "s3://archive/", 1);
        whole(&moved)?;
        let relative = |all: Digests, root: &str| -> Vec<_> {
            let sums = all.into_iter();
            sums.map(|(file, it)| (file.as_str().replace(root, ""), it.sha256))
                .collect()
        };
        let same = relative(checksums, &location) == relative(deep(&moved)?, &moved);
        ensure!(same, "the copy reads otherwise");
        damage_is_told(&moved, format)?;
        job.cancel()?;
        let restored = submit(&cluster, backend, Some(moved.clone()))?;
        ensure!(
            restored_from(&cluster, &restored)? == moved,
            "restored from elsewhere"
        );
        restored.cancel()?;
    }
    with_entropy(&cluster)
}

/// Data files under prefixes of their own, `_metadata` where the entropy is left out.
fn with_entropy(cluster: &Cluster) -> Result<()> {
    let job = submit(cluster, Backend::HashMap, None)?;
    let path = format!("/jobs/{}/savepoints", job.id);
    let request = json!({ "target-directory": "s3://state/_entropy_/spread" });
    let answer = http::send(cluster.url(), "POST", &path, &request)?;
    let trigger = answer["request-id"].as_str().context("request-id")?;
    let location = location(&job.wait_savepoint(trigger, LIMIT)?)?;
    ensure!(location.starts_with("s3://state/spread/"), "{location}");
    let reading = whole(&location)?;
    let apart = |file: &verify::FileSeen| !file.location.as_str().starts_with(&location);
    ensure!(reading.files.iter().all(apart), "Flink wrote no entropy");
    job.cancel()
}

fn submit(cluster: &Cluster, backend: Backend, restore: Option<String>) -> Result<JobHandle> {
    cluster.submit(&JobSpec {
        parallelism: 2,
        backend,
        restore,
        ..JobSpec::named(format!("orders-{backend:?}"))
    })
}

fn taken(job: &JobHandle, format: &str) -> Result<String> {
    let trigger = job.trigger_savepoint(format)?;
    location(&job.wait_savepoint(&trigger, LIMIT)?)
}

fn location(operation: &Value) -> Result<String> {
    let location = operation["location"].as_str();
    location.map(str::to_owned).with_context(|| {
        format!(
            "no savepoint: {}",
            operation["failure-cause"]["stack-trace"]
        )
    })
}

fn whole(location: &str) -> Result<verify::Reading> {
    let reading = read(location, settings(server().url()))?;
    let report = verify::judge(&reading, None);
    ensure!(report.is_whole(), "{location}: {:?}", report.findings);
    ensure!(report.files > 0, "{location} has no files of its own");
    ensure!(reading.extra.is_empty(), "strangers: {:?}", reading.extra);
    Ok(reading)
}

/// Every byte, by level 2; nothing of what Flink wrote may look damaged.
fn deep(location: &str) -> Result<Digests> {
    let pace = Pace::new(None);
    let deep = read_deep(location, settings(server().url()), &pace)?;
    ensure!(deep.findings.is_empty(), "{:?}", deep.findings);
    let total: u64 = deep.digests.values().map(|it| it.bytes).sum();
    ensure!(
        pace.read_bytes.load(Ordering::Relaxed) == total,
        "not every byte was counted"
    );
    Ok(deep.digests)
}

/// Level 1 cannot see a flipped byte; level 2 sees it in the structure, and before there are checksums by the
/// listing that level 1 left: the server calls other content by another `ETag`.
fn damage_is_told(location: &str, format: &str) -> Result<()> {
    let server = server();
    let prefix = location.strip_prefix("s3://archive/").unwrap_or_default();
    let keys = server.keys("archive", &format!("{prefix}/"))?;
    let listing = Baseline::of_listing(&whole(location)?, Timestamp::now());
    let listing = listing.context("the server tells nothing of its files")?;
    let mut told = 0;
    for key in keys.iter().filter(|key| !key.ends_with("/_metadata")) {
        let bytes = server.get("archive", key)?;
        // The end of the last key group, or of the table's footer.
        let mut damaged = bytes.clone();
        *damaged.last_mut().context("an empty file")? ^= 0x10;
        server.put("archive", key, damaged)?;
        let reading = whole(location)?;
        let pace = Pace::new(None);
        let deep = read_deep(location, settings(server.url()), &pace)?;
        let report = verify::judge(&reading, None);
        let judged = baseline::judge(report, &reading, &deep, Some(&listing), Timestamp::now());
        let replaced = format!("replaced: s3://archive/{key} was written again ");
        let findings = &judged.report.findings;
        ensure!(
            findings.iter().any(|it| it.starts_with(&replaced)),
            "{key}: {findings:?}"
        );
        told += deep
            .findings
            .iter()
            .filter(|text| text.contains(key.as_str()))
            .count();
        server.put("archive", key, bytes)?;
    }
    // Two subtasks have keyed state each; operator state has no form that is known.
    ensure!(told >= 2, "{format}: damage was told of {told} files");
    Ok(())
}

fn restored_from(cluster: &Cluster, job: &JobHandle) -> Result<String> {
    let checkpoints = cluster.get(&format!("/jobs/{}/checkpoints", job.id))?;
    let path = checkpoints["latest"]["restored"]["external_path"].as_str();
    Ok(path.context("nothing was restored")?.to_owned())
}
