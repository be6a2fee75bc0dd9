//! Flink's own client starts a session cluster in the testbench's Kubernetes, with what Flink really makes.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use testbench::flink::JobSpec;
use testbench::kubernetes::flink::{Session, SessionSpec, VOLUME_PATH, archive};
use testbench::kubernetes::{ASK_IMAGE, Node, Options, PodSecurity, ask_image, left_out};

const LIMIT: Duration = Duration::from_mins(2);

/// One node for both: each needs the processor for itself while it starts.
#[test]
fn native_sessions_take_savepoints_onto_a_volume_and_survive_with_high_availability() -> Result<()>
{
    if left_out("native_sessions_take_savepoints_onto_a_volume_and_survive_with_high_availability")
    {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let ask = folder.path().join("ask.tar");
    ask_image(&ask)?;
    let node = Node::start(&Options {
        containers: true,
        images: vec![archive()?, ask],
        ..Options::default()
    })?;
    node.namespace("streams", PodSecurity::Restricted)?;
    a_job_takes_a_savepoint_onto_the_volume(&node)?;
    a_highly_available_job_outlives_its_job_manager(&node)
}

fn a_job_takes_a_savepoint_onto_the_volume(node: &Node) -> Result<()> {
    let session = Session::start(node, &SessionSpec::named("streams", "plain"))?;
    let labels = "labelSelector=app=plain,component=jobmanager,type=flink-native-kubernetes";
    let deployments = format!("/apis/apps/v1/namespaces/streams/deployments?{labels}");
    let found = node.admin().get(&deployments)?;
    assert_eq!(found["items"][0]["metadata"]["name"], "plain");
    let rest = node
        .admin()
        .get("/api/v1/namespaces/streams/services/plain-rest")?;
    assert_eq!(rest["spec"]["ports"][0]["name"], "rest");

    assert_eq!(
        a_pod_asks(node, "http://plain-rest.streams:8081/jobs")?,
        "200\n{\"jobs\":[]}"
    );

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

    session.delete(node)?;
    node.wait("the garbage collector", LIMIT, |node| {
        let services = node.admin().get("/api/v1/namespaces/streams/services")?;
        Ok((!services.to_string().contains("plain-rest")).then_some(()))
    })
}

/// From one pod through a Service to another: as Lowtide, when it runs in the cluster, reaches Flink.
fn a_pod_asks(node: &Node, url: &str) -> Result<String> {
    node.apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "ask", "namespace": "streams" },
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {
                "runAsNonRoot": true,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "ask",
                "image": ASK_IMAGE,
                "args": [url],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    }))?;
    node.wait("a pod to ask", LIMIT, |node| {
        let pod = node.admin().get("/api/v1/namespaces/streams/pods/ask")?;
        let phase = pod["status"]["phase"].as_str();
        Ok(matches!(phase, Some("Succeeded" | "Failed")).then_some(()))
    })?;
    node.logs("streams", "ask")
}

fn a_highly_available_job_outlives_its_job_manager(node: &Node) -> Result<()> {
    let spec = SessionSpec::named("streams", "kept").high_availability();
    let session = Session::start(node, &spec)?;
    let job = session.submit(&JobSpec::named("orders"))?;
    let before = job.overview()?["start-time"].as_u64();
    session.delete_job_manager_pod(node)?;
    session.wait_ready(node)?;
    job.wait_running()?;
    let after = job.overview()?["start-time"].as_u64();
    assert!(after > before, "{before:?}, then {after:?}");
    session.delete(node)
}
