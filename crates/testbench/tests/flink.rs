//! The testbench starts a real Flink that behaves as the other tests rely on.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use testbench::control::Part;
use testbench::flink::{Cluster, JobSpec, Release, ZooKeeper, dump_metadata};
use testbench::small_fs::SmallFs;

const LIMIT: Duration = Duration::from_mins(3);

#[test]
fn a_savepoint_can_be_held_in_both_parts() -> Result<()> {
    let cluster = Cluster::builder(Release::V2_3).start()?;
    let job = cluster.submit(&JobSpec {
        parallelism: 2,
        ..JobSpec::named("orders")
    })?;
    for part in [Part::Sync, Part::Async] {
        job.control.block(part)?;
        let trigger = job.trigger_savepoint("CANONICAL")?;
        let id = job.control.wait_blocked(2, LIMIT)?;
        assert_eq!(
            cluster
                .savepoint_triggers()?
                .last()
                .map(|seen| seen.checkpoint_id),
            Some(id)
        );
        assert!(
            cluster
                .savepoint_directories()?
                .iter()
                .any(|found| !found.has_metadata)
        );
        job.control.unblock()?;
        let operation = job.wait_savepoint(&trigger, LIMIT)?;
        assert!(operation["location"].is_string(), "{operation}");
    }
    assert_eq!(
        cluster
            .savepoint_directories()?
            .iter()
            .filter(|it| it.has_metadata)
            .count(),
        2
    );
    assert_eq!(cluster.savepoint_triggers()?.len(), 2);
    Ok(())
}

#[test]
fn without_high_availability_a_killed_job_manager_forgets_its_jobs() -> Result<()> {
    let cluster = Cluster::builder(Release::V2_3).start()?;
    let job = cluster.submit(&JobSpec::named("orders"))?;
    job.control.block(Part::Async)?;
    job.trigger_savepoint("CANONICAL")?;
    job.control.wait_blocked(1, LIMIT)?;
    cluster.kill_job_manager()?;
    job.control.unblock()?;
    cluster.start_job_manager()?;
    cluster.wait_ready()?;
    assert_eq!(
        cluster.get("/jobs/overview")?["jobs"]
            .as_array()
            .map(Vec::len),
        Some(0)
    );
    let again = cluster.submit(&JobSpec::named("orders"))?;
    assert_ne!(again.id, job.id);
    // What the first JobManager did is still known after it is gone.
    assert_eq!(cluster.savepoint_triggers()?.len(), 1);
    let left = cluster.savepoint_directories()?;
    assert!(left.len() == 1 && !left[0].has_metadata, "{left:?}");
    Ok(())
}

#[test]
fn with_high_availability_a_job_keeps_its_id_and_starts_anew() -> Result<()> {
    let zookeeper = ZooKeeper::start(Release::V2_3)?;
    let cluster = Cluster::builder(Release::V2_3)
        .high_availability(&zookeeper)
        .start()?;
    let job = cluster.submit(&JobSpec::named("orders"))?;
    let first = job.overview()?["start-time"].as_u64();
    cluster.kill_job_manager()?;
    cluster.start_job_manager()?;
    cluster.wait_ready()?;
    job.wait_running()?;
    let second = job.overview()?["start-time"].as_u64();
    assert!(second > first, "start-time {first:?}, then {second:?}");
    Ok(())
}

#[test]
fn flinks_own_reader_and_command_line_agree_on_a_savepoint() -> Result<()> {
    let cluster = Cluster::builder(Release::V2_3).start()?;
    let job = cluster.submit(&JobSpec::named("orders"))?;
    let (_, printed) = cluster.cli_savepoint(&job.id, &cluster.savepoint_root().join("cli"))?;
    let found = cluster.savepoint_directories()?;
    assert!(
        found.len() == 1 && printed.contains(&*found[0].path.to_string_lossy()),
        "{printed}"
    );
    let dumps = dump_metadata(Release::V2_3, &[found[0].path.join("_metadata")])?;
    let names: Vec<_> = dumps[0]["operators"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    assert!(
        names.iter().any(|operator| operator["uid"] == "accounts"),
        "{names:?}"
    );
    Ok(())
}

#[test]
fn a_full_disk_fails_the_task_manager_and_not_the_job_manager() -> Result<()> {
    // Room for a directory, not for state.
    let small = SmallFs::mount(8 << 10)?;
    let cluster = Cluster::builder(Release::V2_3).state_in_files().start()?;
    let job = cluster.submit(&JobSpec::named("orders"))?;
    let body = json!({ "target-directory": small.path() });
    let path = format!("/jobs/{}/savepoints", job.id);
    let answer = testbench::http::send(cluster.url(), "POST", &path, &body)?;
    let trigger = answer["request-id"].as_str().unwrap_or_default();
    let operation = job.wait_savepoint(trigger, LIMIT)?;
    let cause = operation["failure-cause"]["stack-trace"]
        .as_str()
        .unwrap_or_default();
    assert!(cause.contains("No space left on device"), "{cause}");
    Ok(())
}
