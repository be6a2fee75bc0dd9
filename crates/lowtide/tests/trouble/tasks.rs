//! Tasks that fail, or are too slow, while their savepoint is being taken.

use std::time::Duration;

use testbench::control::Part;
use testbench::flink::JobSpec;

use crate::bench::{Job, LIMIT, Lowtide, begun, cluster, restarts};

#[test]
fn a_failure_on_the_task_thread_is_tried_once_more_where_failures_are_tolerated() {
    fails(Part::Sync, "told to fail in the sync part");
}

#[test]
fn a_failure_while_writing_is_tried_once_more_where_failures_are_tolerated() {
    fails(Part::Async, "told to fail in the async part");
}

fn fails(part: Part, text: &str) {
    let cluster = cluster();
    let part_name = format!("{part:?}").to_lowercase();
    for (tolerable_failures, attempts) in [(0, 1), (9, 2)] {
        let name = format!("{part_name}-{tolerable_failures}");
        let spec = JobSpec {
            tolerable_failures: Some(tolerable_failures),
            ..JobSpec::named(&name)
        };
        let job = Job::submit(&cluster, &spec);
        job.control.fail(part).unwrap();
        let lowtide = Lowtide::on(cluster.url()).application(&name);
        let told = lowtide.take(&name);
        told.failed("task-failed")
            .because(text)
            .hints("exceptions")
            .attempts(attempts);
        assert_eq!(begun(&cluster, &job), attempts, "{told:#?}");
        let attempt = &told.run["attempts"][0];
        assert_eq!(attempt["end"], "failed", "{told:#?}");
        // Healed, the same job gets its savepoint from the next request.
        job.control.heal().unwrap();
        job.wait_running().unwrap();
        lowtide.take(&name).kept().attempts(1);
    }
}

#[test]
fn one_failure_is_made_good_by_one_more_attempt() {
    let cluster = cluster();
    let spec = JobSpec {
        tolerable_failures: Some(9),
        ..JobSpec::named("stumbling")
    };
    let job = Job::submit(&cluster, &spec);
    job.control.fail(Part::Async).unwrap();
    let lowtide = Lowtide::on(cluster.url()).application("stumbling");
    // The gate is closed after the failure, and heals the job before it opens again.
    let told = lowtide.meanwhile(&["take", "stumbling"], || {
        lowtide.wait_until("the first attempt to fail", "stumbling", |run| {
            run["attempts"][0]["end"] == "failed"
        });
        job.control.heal().unwrap();
    });
    told.kept().attempts(2);
    assert_eq!(begun(&cluster, &job), 2);
    assert_eq!(restarts(&cluster, &job), 0);
}

#[test]
fn a_savepoint_that_takes_longer_than_the_job_allows() {
    let cluster = cluster();
    let spec = JobSpec {
        checkpoint_timeout: Some(Duration::from_secs(1)),
        ..JobSpec::named("slow")
    };
    let job = Job::submit(&cluster, &spec);
    job.control.block(Part::Async).unwrap();
    let lowtide = Lowtide::on(cluster.url())
        .application("slow")
        .rule("attempts", "1");
    lowtide
        .take("slow")
        .failed("expired")
        .because("Checkpoint expired before completing")
        .hints("raise `execution.checkpointing.timeout`")
        .attempts(1);
    assert_eq!(begun(&cluster, &job), 1);
}

#[test]
fn a_job_that_is_cancelled_during_its_savepoint() {
    let cluster = cluster();
    let job = Job::named(&cluster, "doomed");
    job.control.block(Part::Async).unwrap();
    let lowtide = Lowtide::on(cluster.url()).application("doomed");
    let told = lowtide.meanwhile(&["take", "doomed"], || {
        job.control.wait_blocked(1, LIMIT).unwrap();
        job.cancel().unwrap();
    });
    told.failed("not-running")
        .because(&job.id)
        .because("cancelled")
        .hints("start it again")
        .attempts(1);
    assert_eq!(begun(&cluster, &job), 1);
}
