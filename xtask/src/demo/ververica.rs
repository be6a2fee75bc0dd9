//! `cargo xtask demo --ververica`: the first users' job. Three deployments on Ververica Platform, a
//! `CronJob` from the Helm chart, names found through pod labels, savepoints taken and proven.
//!
//! Nobody can install the platform here, so an emulator of its API stands in front of a real Flink: its
//! deployments are real jobs and its savepoints real files. Kubernetes is a real one, in namespaces of its
//! own; where no container can run, the same command runs on this machine, by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbench::flink::Cluster;
use testbench::kubernetes::{Exposed, Node, Options, PodSecurity, left_out};
use testbench::ververica::{DeploymentSpec, Emulator, Phase, Profile, Role};

use super::{APPLICATIONS, LOOK_EVERY, Program, fresh_folder};
use crate::stage::say;
use crate::{cargo, image};

/// The Kubernetes namespace of the release, with the strictest Pod Security Standard.
const NAMESPACE: &str = "lowtide";
/// The namespace where the platform runs Flink's pods.
const PODS: &str = "flink";
/// Where the chart mounts the savepoints.
const MOUNT: &str = "/mnt/savepoints";
/// The image that the release runs.
const IMAGE: &str = "lowtide:demo";
/// How long the first savepoints may take: up to a minute until the schedule is due, and a pod's start.
const FIRST: Duration = Duration::from_mins(4);

/// Runs the demo; with `once`, until the first savepoint of each application is proven.
pub fn run(once: bool, interrupted: &Receiver<()>) -> Result<bool> {
    say("Lowtide's demo on Ververica Platform: an emulator of its API in front of a real Flink.");
    let folder = fresh_folder(if once { "demo-vvp-once" } else { "demo-vvp" })?;
    let savepoints = folder.join("savepoints");
    let cluster = Arc::new(super::cluster(&savepoints)?);
    let platform = Platform::start(&cluster)?;
    if left_out("the demo's Kubernetes") {
        return by_hand(&platform, &folder);
    }
    in_kubernetes(&platform, &folder, &savepoints, once, interrupted)
}

/// The emulator with one deployment for each application.
struct Platform {
    emulator: Emulator,
    deployments: BTreeMap<&'static str, String>,
    token: String,
}

impl Platform {
    fn start(cluster: &Arc<Cluster>) -> Result<Self> {
        let emulator = Emulator::builder()
            .profile(Profile::V2_15)
            .bearer()
            .start()?;
        let mut deployments = BTreeMap::new();
        for application in APPLICATIONS {
            say(&format!("deploying {}", application.0));
            let spec = super::job(application);
            let job = cluster.submit(&spec)?;
            let id = emulator.deploy(DeploymentSpec::flink(application.0, cluster, &spec, &job))?;
            deployments.insert(application.0, id);
        }
        let token = emulator.token("default", Role::Editor)?;
        say(&format!("the platform's API: {}", emulator.url()));
        Ok(Self {
            emulator,
            deployments,
            token,
        })
    }

    /// How many completed savepoints the platform knows, for each name.
    fn completed(&self) -> BTreeMap<&'static str, usize> {
        self.deployments
            .iter()
            .map(|(name, id)| {
                let all = self.emulator.savepoints(id);
                (
                    *name,
                    all.iter().filter(|it| it.phase == Phase::Completed).count(),
                )
            })
            .collect()
    }
}

// === without Kubernetes ===

fn by_hand(platform: &Platform, folder: &Path) -> Result<bool> {
    let config = folder.join("demo.yaml");
    let text = json!({
        "platforms": { "vvp": { "ververica": {
            "url": platform.emulator.url(),
            "namespace": "default",
            "token": "${env:VVP_TOKEN}",
        }}},
        "catalog": { "sqlite": folder.join("catalog.db") },
        "applications": platform.deployments.keys().collect::<Vec<_>>(),
    });
    fs::write(&config, format!("{text:#}\n")).context("write demo.yaml")?;
    say(&format!("the configuration: {}", config.display()));
    let program = Program {
        lowtide: cargo::lowtide_to_try()?,
        config,
        env: vec![("VVP_TOKEN".to_owned(), platform.token.clone())],
    };
    super::take_once(&program)
}

// === in Kubernetes ===

fn in_kubernetes(
    platform: &Platform,
    folder: &Path,
    savepoints: &Path,
    once: bool,
    interrupted: &Receiver<()>,
) -> Result<bool> {
    let archive = folder.join("image.tar");
    image::run(&image::Order::of_test(archive.clone(), IMAGE))?;
    let node = Node::start(&Options {
        containers: true,
        images: vec![archive],
        ..Options::default()
    })?;
    let exposed = prepare(&node, platform, folder, savepoints)?;
    let values = folder.join("values.yaml");
    fs::write(&values, values_yaml(&exposed, savepoints)).context("write values.yaml")?;
    say(&format!("the chart's values: {}", values.display()));
    say(&format!("KUBECONFIG={}", node.kubeconfig().display()));
    let chart = cargo::root().join("charts/lowtide");
    say(&format!(
        "\n$ helm install lowtide charts/lowtide --values {}",
        values.display()
    ));
    let notes = node.helm(&[
        "install".into(),
        "lowtide".into(),
        chart.into_os_string(),
        "--namespace".into(),
        NAMESPACE.into(),
        "--values".into(),
        values.into_os_string(),
    ])?;
    say(notes.trim_end());
    say("\na slot every minute; Ctrl-C ends everything\n");
    watch(&node, platform, once, interrupted)
}

/// Namespaces, the platform's pods, the token, the volumes, and a way for pods to reach the emulator.
fn prepare(node: &Node, platform: &Platform, folder: &Path, savepoints: &Path) -> Result<Exposed> {
    node.namespace(NAMESPACE, PodSecurity::Restricted)?;
    node.namespace(PODS, PodSecurity::Privileged)?;
    for id in platform.deployments.values() {
        for mut pod in platform.emulator.pods(id) {
            pod["metadata"]["namespace"] = PODS.into();
            node.apply(&pod)?;
        }
    }
    node.apply(&json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "vvp-token", "namespace": NAMESPACE },
        "stringData": { "token": platform.token },
    }))?;
    node.claimed_volume(NAMESPACE, "savepoints", savepoints)?;
    let catalog = folder.join("catalog");
    node.volume(NAMESPACE, "lowtide-catalog", &catalog, "ReadWriteOncePod")?;
    let port = platform.emulator.url().rsplit(':').next();
    let port = port.and_then(|it| it.trim_end_matches('/').parse().ok());
    node.expose(port.context("the emulator's url has no port")?)
}

fn values_yaml(exposed: &Exposed, savepoints: &Path) -> String {
    let (repository, tag) = IMAGE.split_once(':').expect("it has a tag");
    let names = APPLICATIONS.map(|(name, ..)| name).join(", ");
    format!(
        "# What the first users keep in version control: names, a schedule, a platform.
applications: [{names}]
schedule: \"*/1 * * * *\"
platform:
  url: http://{addr}
  tokenSecret: {{ name: vvp-token }}
  resolve: pods               # names become ids through the labels of Flink's pods
  podsNamespace: {PODS}
catalog:
  kind: volume
savepoints:                   # so that every savepoint can be read and proven
  claim: savepoints
  mountPath: {MOUNT}
  paths: {{ \"file:{savepoints}\": {MOUNT} }}
image: {{ repository: {repository}, tag: {tag}, pullPolicy: Never }}
",
        addr = exposed.addr,
        savepoints = savepoints.display(),
    )
}

/// Tells of each pod's end, with what it printed, until somebody stops the demo or, with `once`, the first
/// savepoints are there.
fn watch(node: &Node, platform: &Platform, once: bool, interrupted: &Receiver<()>) -> Result<bool> {
    let began = Instant::now();
    let mut told = BTreeSet::new();
    loop {
        match interrupted.recv_timeout(LOOK_EVERY) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(true),
            Err(RecvTimeoutError::Timeout) => {}
        }
        for pod in ended_pods(node)? {
            if told.insert(pod.name.clone()) {
                say(&format!("--- pod {}: {}", pod.name, pod.phase));
                say(node.logs(NAMESPACE, &pod.name)?.trim_end());
                say(&summary(platform));
            }
        }
        let each_has_one = platform.completed().values().all(|count| *count > 0);
        if once && !told.is_empty() {
            let succeeded = ended_pods(node)?.iter().all(|pod| pod.phase == "Succeeded");
            ensure!(succeeded, "the pod failed");
            ensure!(each_has_one, "a deployment has no completed savepoint");
            return Ok(true);
        }
        ensure!(
            !told.is_empty() || began.elapsed() < FIRST,
            "no pod has ended within {} s",
            FIRST.as_secs()
        );
    }
}

struct EndedPod {
    name: String,
    phase: String,
}

fn ended_pods(node: &Node) -> Result<Vec<EndedPod>> {
    let list = node
        .admin()
        .get(&format!("/api/v1/namespaces/{NAMESPACE}/pods"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pod| EndedPod {
            name: text(&pod["metadata"]["name"]),
            phase: text(&pod["status"]["phase"]),
        })
        .filter(|pod| matches!(pod.phase.as_str(), "Succeeded" | "Failed"))
        .collect())
}

fn summary(platform: &Platform) -> String {
    let counts: Vec<String> = platform
        .completed()
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    format!(
        "--- completed savepoints on the platform: {}\n",
        counts.join(", ")
    )
}
