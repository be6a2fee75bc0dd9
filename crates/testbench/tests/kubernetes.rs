//! The testbench starts a real Kubernetes that behaves as the other tests rely on.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use testbench::http::until;
use testbench::kubernetes::{
    ASK_IMAGE, Api, Node, Options, PAUSE_IMAGE, PodSecurity, VERSION, ask_image, left_out,
};

const LIMIT: Duration = Duration::from_mins(2);

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

    // One connection, many requests.
    let mut connection = node.admin().connection()?;
    for index in 0..20 {
        let object = json!({ "metadata": { "name": format!("note-{index}") } });
        let path = "/api/v1/namespaces/team/configmaps";
        assert_eq!(connection.send("POST", path, Some(&object))?.0, 201);
    }

    node.kill_api_server()?;
    assert!(connection.send("GET", "/version", None).is_err());
    assert!(node.api("GET", "/version", None).is_err());
    node.start_api_server()?;
    let path = "/api/v1/namespaces/team/configmaps?limit=5";
    assert!(node.admin().get(path)?["metadata"]["continue"].is_string());
    Ok(())
}

/// A Job whose pod passes the restricted standard and asks `url`.
fn asking_job(name: &str, url: &str) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": name, "namespace": "team" },
        "spec": {
            "backoffLimit": 0,
            "template": { "spec": {
                "restartPolicy": "Never",
                "serviceAccountName": "asker",
                "securityContext": {
                    "runAsNonRoot": true,
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "volumes": [{ "name": "kept", "persistentVolumeClaim": { "claimName": "kept" }}],
                "containers": [{
                    "name": "ask",
                    "image": ASK_IMAGE,
                    "args": [url],
                    "volumeMounts": [{ "name": "kept", "mountPath": "/kept" }],
                    "terminationMessagePath": "/kept/message",
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "readOnlyRootFilesystem": true,
                        "capabilities": { "drop": ["ALL"] },
                    },
                }],
            }},
        },
    })
}

/// Waits for a Job to end and returns what its pod printed.
fn printed(node: &Node, job: &str) -> Result<String> {
    let path = format!("/apis/batch/v1/namespaces/team/jobs/{job}");
    let pods =
        format!("/api/v1/namespaces/team/pods?labelSelector=batch.kubernetes.io/job-name={job}");
    node.wait(&format!("job {job}"), LIMIT, |node| {
        let status = &node.admin().get(&path)?["status"];
        let ended = status["succeeded"] == 1 || status["failed"] == 1;
        Ok(ended.then_some(()))
    })?;
    let found = node.admin().get(&pods)?;
    let pod = found["items"][0]["metadata"]["name"]
        .as_str()
        .unwrap_or_default();
    node.logs("team", pod)
}

#[test]
fn a_restricted_pod_reaches_the_api_a_service_by_name_and_the_test_itself() -> Result<()> {
    if left_out("a_restricted_pod_reaches_the_api_a_service_by_name_and_the_test_itself") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("ask.tar");
    ask_image(&image)?;
    let node = Node::start(&Options {
        containers: true,
        images: vec![image],
        ..Options::default()
    })?;
    node.namespace("team", PodSecurity::Restricted)?;
    node.apply(&json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": "asker", "namespace": "team" },
    }))?;
    node.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": "asker", "namespace": "team" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view" },
        "subjects": [{ "kind": "ServiceAccount", "name": "asker" }],
    }))?;
    node.claimed_volume("team", "kept", &folder.path().join("kept"))?;

    // The API server by its Service's name, with the account's token.
    let path = "/api/v1/namespaces/team/pods?limit=7";
    node.apply(&asking_job(
        "by-name",
        &format!("https://kubernetes.default.svc{path}"),
    ))?;
    let said = printed(&node, "by-name")?;
    assert!(
        said.starts_with("200\n") && said.contains("PodList"),
        "{said}"
    );
    let seen = node.wait("the pod's request in the audit log", LIMIT, |node| {
        Ok(node.audit()?.into_iter().find(|it| it.uri == path))
    })?;
    assert_eq!(
        (&*seen.user, &*seen.verb, seen.code),
        ("system:serviceaccount:team:asker", "list", 200)
    );

    // A server of this test, on loopback out here.
    let server = TcpListener::bind("127.0.0.1:0")?;
    let exposed = node.expose(server.local_addr()?.port())?;
    let serving = std::thread::spawn(move || -> Result<String> {
        let (mut stream, _) = server.accept()?;
        let mut request = [0; 1024];
        let count = stream.read(&mut request)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")?;
        Ok(String::from_utf8_lossy(&request[..count]).into_owned())
    });
    node.apply(&asking_job(
        "outwards",
        &format!("http://{}/door", exposed.addr),
    ))?;
    assert_eq!(printed(&node, "outwards")?, "200\nhello");
    let request = serving.join().expect("it does not panic")?;
    assert!(request.starts_with("GET /door "), "{request}");
    assert!(folder.path().join("kept").is_dir());
    Ok(())
}

/// Processes of this machine that belong to the node with this scratch folder: its name is in the command line
/// of every part, and in the control group of every pod's process.
fn processes_of(name: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let folder = entry?.path();
        let read = |file: &str| {
            // It may end while we look.
            let bytes = fs::read(folder.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        if read("cmdline").contains(name) || read("cgroup").contains(name) {
            found.push(read("cmdline"));
        }
    }
    Ok(found)
}

#[test]
fn a_killed_holder_leaves_no_process() -> Result<()> {
    if left_out("a_killed_holder_leaves_no_process") {
        return Ok(());
    }
    let mut holder = Command::new(env!("CARGO_BIN_EXE_node"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut kubeconfig = String::new();
    BufReader::new(holder.stdout.take().expect("it is piped")).read_line(&mut kubeconfig)?;
    let kubeconfig = Path::new(kubeconfig.trim_end());
    let scratch = kubeconfig
        .ancestors()
        .nth(2)
        .expect("it lies in a folder of the scratch");
    let name = scratch
        .file_name()
        .expect("it has a name")
        .to_string_lossy();

    let api = Api::from_kubeconfig(kubeconfig)?;
    until("the default account", LIMIT, || {
        let path = "/api/v1/namespaces/default/serviceaccounts/default";
        Ok((api.send("GET", path, None)?.0 == 200).then_some(()))
    })?;
    api.apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "endless" },
        "spec": { "containers": [{
            "name": "it", "image": PAUSE_IMAGE, "imagePullPolicy": "Never",
        }]},
    }))?;
    until("the pod to run", LIMIT, || {
        let pod = api.get("/api/v1/namespaces/default/pods/endless")?;
        Ok((pod["status"]["phase"] == "Running").then_some(()))
    })?;
    let running = processes_of(&name)?;
    // The pod and its sandbox.
    assert_eq!(
        running.iter().filter(|it| it.starts_with("/pause")).count(),
        2,
        "{running:?}"
    );
    for part in ["etcd", "kube-apiserver", "containerd", "kubelet", "coredns"] {
        assert!(
            running.iter().any(|it| it.contains(part)),
            "{part}: {running:?}"
        );
    }

    holder.kill()?;
    holder.wait()?;
    until("all processes to end", LIMIT, || {
        let left = processes_of(&name)?;
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })?;
    // What it left on the disk goes with the next node.
    drop(Node::start(&Options::default())?);
    assert!(!scratch.exists());
    Ok(())
}

#[test]
fn helm_runs() -> Result<()> {
    let node = Node::start(&Options::default())?;
    let said = node.helm(&["version", "--short"])?;
    assert!(said.starts_with("v4."), "{said}");
    assert_eq!(node.helm(&["list", "--short", "--all-namespaces"])?, "");
    Ok(())
}
