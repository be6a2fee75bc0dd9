//! Where savepoints are to go, and formats that cannot be written.

use std::fs;

use testbench::flink::{Backend, Cluster, JobSpec, Release};
use testbench::small_fs::SmallFs;

use crate::bench::{Job, Lowtide, begun, cluster, restarts, restarts_from};

/// A directory, an empty file of Flink's and a small `_metadata` fit in; a subtask's state does not.
const SMALL_BYTES: u64 = 64 << 10;

#[test]
fn without_a_savepoint_directory_it_fails_at_once() {
    let cluster = Cluster::builder(Release::V2_3)
        .config("execution.checkpointing.savepoint-dir", "")
        .start()
        .unwrap();
    let job = Job::named(&cluster, "homeless");
    let lowtide = Lowtide::on(cluster.url()).application("homeless");
    lowtide
        .take("homeless")
        .failed("no-savepoint-directory")
        .because("the cluster has no savepoint directory")
        .hints("set `target:`")
        .attempts(0);
    let checked = lowtide.run(&["check", "--online"]);
    assert_eq!(checked.code, 1, "{checked:#?}");
    checked.says("hint: set `target:`");
    assert_eq!(begun(&cluster, &job), 0);
    let target = cluster.scratch().join("elsewhere");
    fs::create_dir(&target).unwrap();
    let target = target.to_str().unwrap();
    let told = Lowtide::on(cluster.url())
        .application("homeless")
        .rule("target", target)
        .take("homeless");
    told.kept();
    assert!(
        told.run["location"].as_str().unwrap().contains(target),
        "{told:#?}"
    );
}

#[test]
fn a_target_that_the_job_manager_cannot_write() {
    let cluster = cluster();
    let job = Job::named(&cluster, "walled");
    // Tests run as root, whom no permission stops; a file in the way does.
    let wall = cluster.scratch().join("wall");
    fs::write(&wall, "").unwrap();
    let lowtide = Lowtide::on(cluster.url())
        .application("walled")
        .rule("target", wall.to_str().unwrap());
    let told = lowtide.rule("attempts", "2").take("walled");
    told.failed("target")
        .because(wall.to_str().unwrap())
        .hints("can the JobManager write to the target directory?")
        .attempts(2);
    // Flink calls such an operation COMPLETED, with a failure cause.
    let trigger = told.run["attempts"][0]["trigger_id"].as_str().unwrap();
    let operation = cluster
        .get(&format!("/jobs/{}/savepoints/{trigger}", job.id))
        .unwrap();
    assert_eq!(operation["status"]["id"], "COMPLETED");
    assert!(operation["operation"]["failure-cause"].is_object());
    assert_eq!(restarts(&cluster, &job), 0);
}

#[test]
fn a_scheme_that_the_cluster_does_not_know() {
    let cluster = cluster();
    let job = Job::named(&cluster, "cloudy");
    let told = Lowtide::on(cluster.url())
        .application("cloudy")
        .rule("target", "s3://bucket/savepoints")
        .rule("attempts", "1")
        .take("cloudy");
    told.failed("target")
        .because("s3")
        .hints("the cluster has no file system for this scheme");
    assert_eq!(restarts(&cluster, &job), 0);
}

#[test]
fn a_target_that_only_the_task_manager_cannot_write() {
    let cluster = cluster();
    for (name, tolerable_failures, attempts) in
        [("cramped", None, 1), ("cramped-but-tolerant", Some(9), 2)]
    {
        let small = SmallFs::mount(SMALL_BYTES).unwrap();
        let spec = JobSpec {
            tolerable_failures,
            ..JobSpec::named(name)
        };
        let job = Job::with_files(&cluster, spec);
        let lowtide = Lowtide::on(cluster.url()).application(name);
        let told = lowtide
            .rule("target", small.path().to_str().unwrap())
            .take(name);
        told.failed("task-failed")
            .because("No space left on device")
            .hints("can every TaskManager write to the target directory, and is there room?")
            .attempts(attempts);
        // A job that tolerates nothing was restarted by the savepoint, and not a second time.
        let expected = u64::from(tolerable_failures.is_none());
        let seen = restarts_from(&cluster, &job, expected);
        assert_eq!(seen, expected, "{name}");
        job.wait_running().unwrap();
    }
}

#[test]
fn canonical_savepoints_of_forst_are_refused_and_native_ones_taken() {
    let cluster = cluster();
    let spec = JobSpec {
        backend: Backend::ForSt,
        ..JobSpec::named("forest")
    };
    let job = Job::submit(&cluster, &spec);
    let lowtide = Lowtide::on(cluster.url()).application("forest");
    lowtide
        .take("forest")
        .failed("unsupported-format")
        .because("ForSt, cannot write canonical savepoints")
        .hints("set `format: native`")
        .attempts(0);
    assert_eq!(begun(&cluster, &job), 0);
    lowtide.rule("format", "native").take("forest").kept();
    assert_eq!(restarts(&cluster, &job), 0);
}
