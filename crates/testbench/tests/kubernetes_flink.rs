//! Flink's own client starts a session cluster in the testbench's Kubernetes, with what Flink really makes.

use std::time::Duration;

use anyhow::Result;
use testbench::flink::JobSpec;
use testbench::kubernetes::flink::{Session, SessionSpec, VOLUME_PATH, archive};
use testbench::kubernetes::{Node, Options, PodSecurity, left_out};

const LIMIT: Duration = Duration::from_mins(1);

#[test]
fn a_job_in_a_native_session_takes_a_savepoint_onto_the_volume() -> Result<()> {
    if left_out("a_job_in_a_native_session_takes_a_savepoint_onto_the_volume") {
        return Ok(());
    }
    let node = Node::start(&Options {
        containers: true,
        images: vec![archive()?],
        ..Options::default()
    })?;
    node.namespace("streams", PodSecurity::Restricted)?;
    let session = Session::start(&node, &SessionSpec::named("streams", "lt-session"))?;

    let labels = "labelSelector=app=lt-session,component=jobmanager,type=flink-native-kubernetes";
    let deployments = format!("/apis/apps/v1/namespaces/streams/deployments?{labels}");
    let found = node.admin().get(&deployments)?;
    assert_eq!(found["items"][0]["metadata"]["name"], "lt-session");
    let rest = node
        .admin()
        .get("/api/v1/namespaces/streams/services/lt-session-rest")?;
    assert_eq!(rest["spec"]["ports"][0]["name"], "rest");

    let job = session.submit(&JobSpec::named("orders"))?;
    let trigger = job.trigger_savepoint("CANONICAL")?;
    let operation = job.wait_savepoint(&trigger, LIMIT)?;
    let location = operation["location"].as_str().unwrap_or_default();
    let inner = location.strip_prefix(&format!("file:{VOLUME_PATH}/"));
    let inner = inner.unwrap_or_else(|| panic!("{operation}"));
    assert!(
        session.data().join(inner).join("_metadata").is_file(),
        "{location}"
    );
    assert_eq!(session.savepoint_directories()?.len(), 1);

    session.delete(&node)?;
    let services = node.admin().get("/api/v1/namespaces/streams/services")?;
    assert!(
        !services.to_string().contains("lt-session-rest"),
        "{services}"
    );
    Ok(())
}
