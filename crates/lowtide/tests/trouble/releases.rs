//! Every release that we claim, in both formats: taken, proven, found again.

use testbench::flink::{Cluster, JobSpec, Release};

use crate::bench::{Job, Lowtide, begun, cluster};

#[test]
fn flink_1_15() {
    both_formats(&Cluster::builder(Release::V1_15).start().unwrap());
}

#[test]
fn flink_1_17() {
    both_formats(&Cluster::builder(Release::V1_17).start().unwrap());
}

#[test]
fn flink_1_20() {
    both_formats(&Cluster::builder(Release::V1_20).start().unwrap());
}

#[test]
fn flink_2_3() {
    both_formats(&cluster());
}

fn both_formats(cluster: &Cluster) {
    let spec = JobSpec {
        parallelism: 2,
        ..JobSpec::named("orders")
    };
    let job = Job::with_files(cluster, spec);
    let before = begun(cluster, &job);
    for (format, count) in [("canonical", 1), ("native", 2)] {
        let lowtide = Lowtide::on(cluster.url())
            .application("orders")
            .rule("format", format);
        let told = lowtide.take("orders");
        told.kept().attempts(1);
        let savepoint = &told.run["savepoints"][0];
        assert_eq!(savepoint["format"], format, "{told:#?}");
        assert!(savepoint["report"]["files"].as_u64() > Some(0), "{told:#?}");
        assert!(
            savepoint["report"]["operators"].as_array().unwrap().len() >= 4,
            "{told:#?}"
        );
        assert_eq!(begun(cluster, &job), before + count);
        // Other tests take savepoints on this cluster meanwhile: only this job's count.
        let mut triggers = cluster.savepoint_triggers().unwrap();
        triggers.retain(|it| it.job_id == job.id);
        let kind = &triggers.last().unwrap().kind;
        assert!(kind.contains(&format.to_uppercase()), "{kind}");
        let location = told.run["location"].as_str().unwrap();
        let latest = lowtide.run(&["latest", "orders"]);
        assert_eq!(
            (latest.code, latest.stdout.trim()),
            (0, location),
            "{latest:#?}"
        );
        assert_eq!(lowtide.run(&["inspect", location]).code, 0);
    }
}
