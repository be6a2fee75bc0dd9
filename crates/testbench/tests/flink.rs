//! The testbench starts a real Flink that behaves as the other tests rely on.

use std::time::Duration;

use anyhow::Result;
use testbench::control::Part;
use testbench::flink::{Cluster, JobSpec, Release};

const LIMIT: Duration = Duration::from_secs(60);

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
