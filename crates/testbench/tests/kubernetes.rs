//! The testbench starts a real Kubernetes that behaves as the other tests rely on.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use testbench::kubernetes::{Node, Options, PodSecurity, VERSION};

const LIMIT: Duration = Duration::from_mins(1);

#[test]
fn a_control_plane_alone_answers_audits_and_survives_a_killed_api_server() -> Result<()> {
    let node = Node::start(&Options::default())?;
    let version = node.admin().get("/version")?;
    assert_eq!(version["gitVersion"], format!("v{VERSION}"));
    node.namespace("team", PodSecurity::Restricted)?;

    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "one", "namespace": "team" },
        "spec": { "containers": [{ "name": "it", "image": "none:1" }] },
    });
    let refused = node.apply(&pod).unwrap_err().to_string();
    assert!(refused.contains("violates PodSecurity"), "{refused}");

    let account = node.as_service_account("team", "default")?;
    let path = "/api/v1/namespaces/team/pods?limit=500";
    assert_eq!(account.send("GET", path, None)?.0, 403);
    let seen = node.wait("the account's request in the audit log", LIMIT, |node| {
        let events = node.audit()?.into_iter();
        let mut its = events.filter(|it| it.user == "system:serviceaccount:team:default");
        Ok(its.next())
    })?;
    assert_eq!(
        (&*seen.verb, &*seen.resource, &*seen.namespace, seen.code),
        ("list", "pods", "team", 403)
    );

    node.kill_api_server()?;
    assert!(node.api("GET", "/version", None).is_err());
    node.start_api_server()?;
    assert_eq!(node.api("GET", "/api/v1/namespaces/team", None)?.0, 200);
    Ok(())
}
