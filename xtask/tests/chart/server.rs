//! A real API server takes what the chart renders: every object by server-side dry run, with no unknown field, and
//! the pods in a namespace that enforces the `restricted` Pod Security Standard.

use serde_json::{Value, json};
use testbench::kubernetes::{Node, Options, PodSecurity};

use crate::helm::{matrix, objects, of_kind};

/// Asks the server to do everything but keep the object.
fn dry_run(node: &Node, object: &Value) -> (u16, Value) {
    let admin = node.admin();
    let path = admin.path_of(object).unwrap();
    let query = "fieldManager=chart-test&force=true&dryRun=All&fieldValidation=Strict";
    let content = "application/apply-patch+yaml";
    admin
        .send_as("PATCH", &format!("{path}?{query}"), content, Some(object))
        .unwrap()
}

/// The pod that a `CronJob` or a `Deployment` would make.
fn pod_of(template: &Value, namespace: &str) -> Value {
    let mut pod = template.clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("lowtide-made-of-the-template");
    pod["metadata"]["namespace"] = json!(namespace);
    pod
}

fn pods(objects: &[Value], namespace: &str) -> Vec<Value> {
    let cronjobs = of_kind(objects, "CronJob").into_iter();
    let jobs = cronjobs.map(|it| &it["spec"]["jobTemplate"]["spec"]["template"]);
    let deployments = of_kind(objects, "Deployment").into_iter();
    let templates = jobs.chain(deployments.map(|it| &it["spec"]["template"]));
    let tests = of_kind(objects, "Pod").into_iter().cloned();
    templates
        .map(|it| pod_of(it, namespace))
        .chain(tests)
        .collect()
}

#[test]
fn a_real_api_server_takes_every_rendered_object() {
    let node = Node::start(&Options::default()).unwrap();
    // What values files of the matrix name and do not make.
    let low = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": { "name": "low" }, "value": -10,
    });
    node.apply(&low).unwrap();
    node.namespace("flink", PodSecurity::Restricted).unwrap();
    for (name, values) in matrix() {
        let namespace = format!("chart-{name}");
        node.namespace(&namespace, PodSecurity::Restricted).unwrap();
        let objects = objects(&namespace, &values, &[]);
        // Pods are admitted only where their account is there.
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": "savepoints", "namespace": namespace },
        });
        node.apply(&account).unwrap();
        for account in of_kind(&objects, "ServiceAccount") {
            node.apply(account).unwrap();
        }
        let pods = pods(&objects, &namespace);
        assert_eq!(
            pods.len(),
            2,
            "{name}: the release's own pod and the test's"
        );
        for object in objects.iter().chain(&pods) {
            let (status, said) = dry_run(&node, object);
            assert!(
                status == 200 || status == 201,
                "{name}, {} {}: {status} {said}",
                object["kind"],
                object["metadata"]["name"]
            );
        }
    }
}

/// The server would say so: the test above can fail.
#[test]
fn a_real_api_server_refuses_what_is_not_restricted_and_what_it_does_not_know() {
    let node = Node::start(&Options::default()).unwrap();
    node.namespace("chart", PodSecurity::Restricted).unwrap();
    let (_, values) = matrix()
        .into_iter()
        .find(|(name, _)| name == "first-users")
        .unwrap();
    let loose = objects(
        "chart",
        &values,
        &["securityContext.allowPrivilegeEscalation=true"],
    );
    for account in of_kind(&loose, "ServiceAccount") {
        node.apply(account).unwrap();
    }
    for pod in pods(&loose, "chart") {
        let (status, said) = dry_run(&node, &pod);
        assert_eq!(status, 403, "{said}");
        assert!(
            said.to_string().contains("allowPrivilegeEscalation"),
            "{said}"
        );
    }
    let mut unknown = of_kind(&loose, "ConfigMap")[0].clone();
    unknown["dota"] = json!({});
    let (status, said) = dry_run(&node, &unknown);
    assert!(
        status >= 400 && said.to_string().contains("dota"),
        "{status} {said}"
    );
}
