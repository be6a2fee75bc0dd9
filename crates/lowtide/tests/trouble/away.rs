//! A cluster that nobody sees any more: how long that is borne.

use std::time::Duration;

use testbench::control::Part;
use testbench::flink::JobSpec;
use testbench::proxy::{Proxy, Rule};

use crate::bench::{Job, LIMIT, Lowtide, begun, cluster};

/// The job's own timeout of checkpoints, after which Flink itself gives up.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(10);
/// What product's follow deadline adds to that.
const MARGIN: Duration = Duration::from_mins(5);

/// This takes the five minutes that Lowtide waits: no configuration makes them shorter.
#[test]
fn a_savepoint_that_nobody_sees_to_its_end() {
    let cluster = cluster();
    let spec = JobSpec {
        checkpoint_timeout: Some(CHECKPOINT_TIMEOUT),
        ..JobSpec::named("out-of-sight")
    };
    let job = Job::submit(&cluster, &spec);
    job.control.block(Part::Async).unwrap();
    let proxy = Proxy::start(cluster.url()).unwrap();
    let lowtide = Lowtide::on(proxy.url()).application("out-of-sight");
    let told = lowtide.meanwhile(&["take", "out-of-sight"], || {
        job.control.wait_blocked(1, LIMIT).unwrap();
        proxy.rule(Rule::always().bad_gateway());
        let seen = lowtide.wait_until("sight to be lost", "out-of-sight", |run| {
            run["unknown"].is_object()
        });
        assert!(seen["outcome"].is_null(), "unknown is no outcome: {seen:#}");
    });
    told.failed("lost-sight")
        .because("502 Bad Gateway")
        .hints("if a savepoint appears in the attempt's directory later, it will be listed as late")
        .attempts(1);
    assert!(told.took() >= CHECKPOINT_TIMEOUT + MARGIN, "{told:#?}");
    let posts = proxy.count("POST", "/jobs/*/savepoints");
    assert_eq!((posts, begun(&cluster, &job)), (1, 1), "{told:#?}");
}
