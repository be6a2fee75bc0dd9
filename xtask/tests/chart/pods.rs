//! The chart, installed by Helm into a real Kubernetes whose pods really run, from the image of `cargo xtask image`,
//! in namespaces that enforce the `restricted` Pod Security Standard.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testbench::kubernetes::{Node, Options, PodSecurity, left_out};

use crate::helm::chart;

/// For a pod to be scheduled, started and to say something, on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// The image under test.
const TAG: &str = "lowtide:test";
/// Where its archive is, if the caller has built it.
const IMAGE: &str = "LOWTIDE_IMAGE";

/// An application on a cluster that nobody needs to reach: it is never due.
const VALUES: &str = "
applications: [orders]
schedule: \"0 0 1 1 *\"
catalog: { kind: volume }
image: { repository: lowtide, tag: test, pullPolicy: Never }
config: { platforms: { session: { flink: { url: \"http://jobmanager.invalid:8081\" } } } }
";

fn image(folder: &Path) -> PathBuf {
    if let Some(archive) = std::env::var_os(IMAGE) {
        return archive.into();
    }
    let archive = folder.join("image.tar");
    let status = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["image", "--profile", "image-test", "--tag", TAG, "--output"])
        .arg(&archive)
        .status()
        .unwrap();
    assert!(status.success(), "the image is not built");
    archive
}

/// One installation of the chart.
struct Release<'a> {
    node: &'a Node,
    namespace: &'a str,
    values: PathBuf,
}

impl<'a> Release<'a> {
    fn new(node: &'a Node, namespace: &'a str, folder: &Path) -> Self {
        node.namespace(namespace, PodSecurity::Restricted).unwrap();
        let values = folder.join("values.yaml");
        fs::write(&values, VALUES).unwrap();
        Self {
            node,
            namespace,
            values,
        }
    }

    fn helm(&self, verb: &str, sets: &[&str]) {
        let mut arguments = vec![verb.to_owned(), "lowtide".to_owned()];
        arguments.push(chart().display().to_string());
        arguments.extend(["--namespace".to_owned(), self.namespace.to_owned()]);
        arguments.extend(["--values".to_owned(), self.values.display().to_string()]);
        for set in sets {
            arguments.extend(["--set-json".to_owned(), (*set).to_owned()]);
        }
        self.node.helm(&arguments).unwrap();
    }

    fn get(&self, path: &str) -> Value {
        let path = path.replace("NAMESPACE", self.namespace);
        self.node.admin().get(&path).unwrap()
    }

    fn pods(&self) -> Vec<Value> {
        let list = self.get("/api/v1/namespaces/NAMESPACE/pods");
        list["items"].as_array().unwrap().clone()
    }

    /// The only pod there is, once it has said this.
    fn pod_that_says(&self, words: &str) -> String {
        let what = format!("a pod in {} that says {words:?}", self.namespace);
        self.node
            .wait(&what, LIMIT, |node| {
                let [pod] = &self.pods()[..] else {
                    return Ok(None);
                };
                let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
                let said = node.logs(self.namespace, &name).unwrap_or_default();
                Ok(said.contains(words).then_some(name))
            })
            .unwrap()
    }
}

#[test]
fn what_the_chart_installs_runs() {
    if left_out("what_the_chart_installs_runs") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&Options {
        containers: true,
        images: vec![image(folder.path())],
        ..Options::default()
    })
    .unwrap();
    a_changed_configuration_replaces_the_daemon(&node, folder.path());
    a_wrong_configuration_fails_the_job_at_once(&node, folder.path());
}

fn a_changed_configuration_replaces_the_daemon(node: &Node, folder: &Path) {
    let release = Release::new(node, "daemon", folder);
    let volume = folder.join("catalog");
    node.volume("daemon", "lowtide-catalog", &volume, "ReadWriteOncePod")
        .unwrap();
    release.helm("install", &[r#"mode="serve""#]);
    let before = release.pod_that_says("serving");
    let catalog = fs::metadata(volume.join("catalog.db")).unwrap();
    assert_eq!((catalog.uid(), catalog.gid()), (65_532, 65_532));

    release.helm(
        "upgrade",
        &[r#"mode="serve""#, r#"timeZone="Europe/Berlin""#],
    );
    node.wait("the old pod to be gone", LIMIT, |_| {
        let names = release.pods();
        let there = names.iter().any(|it| it["metadata"]["name"] == *before);
        Ok((!there).then_some(()))
    })
    .unwrap();
    release.pod_that_says("serving");

    // Nothing here asks the API server, so the pod has no token to ask it with.
    let asked = node.audit().unwrap().into_iter();
    let asked: Vec<_> = asked
        .filter(|it| it.user == "system:serviceaccount:daemon:lowtide")
        .collect();
    assert!(asked.is_empty(), "{asked:?}");
}

/// Exit code 2: another pod would end the same way.
fn a_wrong_configuration_fails_the_job_at_once(node: &Node, folder: &Path) {
    let release = Release::new(node, "nightly", folder);
    node.volume(
        "nightly",
        "lowtide-catalog",
        &folder.join("nightly"),
        "ReadWriteOncePod",
    )
    .unwrap();
    let wrong = r#"config={"defaults":{"deadline":"soon"},"platforms":{"session":{"flink":{"url":"http://jobmanager.invalid:8081"}}}}"#;
    release.helm("install", &[wrong]);
    let cronjob = release.get("/apis/batch/v1/namespaces/NAMESPACE/cronjobs/lowtide");
    node.apply(&json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": "now", "namespace": "nightly" },
        "spec": cronjob["spec"]["jobTemplate"]["spec"],
    }))
    .unwrap();
    let conditions = node
        .wait("the Job to fail", LIMIT, |_| {
            let job = release.get("/apis/batch/v1/namespaces/NAMESPACE/jobs/now");
            let failed = job["status"]["failed"] == 1;
            let conditions = job["status"]["conditions"].as_array().cloned();
            let last = conditions.filter(|it| failed && it.iter().any(|it| it["type"] == "Failed"));
            Ok(last)
        })
        .unwrap();
    let failed = conditions.iter().find(|it| it["type"] == "Failed").unwrap();
    assert_eq!(failed["reason"], "PodFailurePolicy", "{failed}");
    let pods = release.pods();
    assert_eq!(pods.len(), 1, "it was tried again");
    let ended = &pods[0]["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(ended["exitCode"], 2, "{ended}");
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    let said = node.logs("nightly", name).unwrap();
    assert!(
        said.contains("/etc/lowtide/lowtide.yaml") && said.contains("soon"),
        "{said}"
    );
}
