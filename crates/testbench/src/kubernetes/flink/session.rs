//! One session cluster in native Kubernetes mode.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::image::{self, IMAGE, RELEASE, USER};
use crate::control::Control;
use crate::flink::{JobHandle, JobSpec, SavepointDirectory, Target, lock, savepoint_directories};
use crate::kubernetes::{Forward, Node};
use crate::{http, java, process, say};

const CLIENT: &str = "org.apache.flink.kubernetes.cli.KubernetesSessionCli";

/// Where Flink's pods have the session's folder. Not where it lies on this machine: a savepoint's location
/// names a path that only Flink's pods have, as in any real cluster.
pub const VOLUME_PATH: &str = "/flink-data";

/// The service account of Flink's pods (the JobManager makes the TaskManagers' pods) and of its client.
const ACCOUNT: &str = "flink";

/// A JobManager's pod on a busy machine; alone it takes about eight seconds.
const START_TIMEOUT: Duration = Duration::from_mins(5);

/// What a session cluster is to be like.
#[derive(Debug, Clone)]
pub struct SessionSpec {
    namespace: String,
    cluster_id: String,
    config: BTreeMap<String, String>,
}

impl SessionSpec {
    /// One in the namespace `namespace`, which must be there, with the id `cluster_id`, which becomes the label
    /// `app` and the name of its objects.
    pub fn named(namespace: &str, cluster_id: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            cluster_id: cluster_id.to_owned(),
            config: BTreeMap::new(),
        }
    }

    /// Its JobManager's pod can be killed without losing its jobs: their graphs and checkpoints' places are kept
    /// in `ConfigMaps` and on the volume.
    #[must_use]
    pub fn high_availability(self) -> Self {
        let lease = "high-availability.kubernetes.leader-election";
        self.config("high-availability.type", "kubernetes")
            .config(
                "high-availability.storageDir",
                format!("file://{VOLUME_PATH}/ha"),
            )
            // A killed leader is followed when its lease ends: after 15 seconds by default. Shorter, yet longer
            // than a stall of a busy machine.
            .config(format!("{lease}.lease-duration"), "10 s")
            .config(format!("{lease}.renew-deadline"), "8 s")
            .config(format!("{lease}.retry-period"), "1 s")
    }

    /// One more configuration key, or another value for one of ours.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }

    /// Small pods that are allowed to be quick: the limit of the processor is ten times the request. Equal, as
    /// Flink has it by default, a JVM takes most of a minute to start.
    fn configuration(&self, kubeconfig: &Path, template: &Path) -> BTreeMap<String, String> {
        let mut keys: BTreeMap<String, String> = [
            ("kubernetes.cluster-id", &*self.cluster_id),
            ("kubernetes.namespace", &self.namespace),
            ("kubernetes.service-account", ACCOUNT),
            ("kubernetes.container.image.ref", IMAGE),
            ("kubernetes.container.image.pull-policy", "IfNotPresent"),
            ("kubernetes.rest-service.exposed.type", "ClusterIP"),
            ("kubernetes.jobmanager.cpu.amount", "0.2"),
            ("kubernetes.jobmanager.cpu.limit-factor", "10"),
            ("kubernetes.taskmanager.cpu.amount", "0.2"),
            ("kubernetes.taskmanager.cpu.limit-factor", "10"),
            ("execution.attached", "false"),
            ("jobmanager.memory.process.size", "704m"),
            ("jobmanager.memory.jvm-metaspace.size", "160m"),
            ("taskmanager.memory.process.size", "704m"),
            ("taskmanager.memory.jvm-metaspace.size", "160m"),
            ("taskmanager.memory.managed.size", "64m"),
            ("taskmanager.memory.network.min", "32m"),
            ("taskmanager.memory.network.max", "32m"),
            ("taskmanager.numberOfTaskSlots", "2"),
            ("cluster.registration.initial-timeout", "200"),
            ("cluster.registration.max-timeout", "2000"),
            ("cluster.registration.error-delay", "300"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let paths = [
            ("kubernetes.config.file", kubeconfig),
            ("kubernetes.pod-template-file.default", template),
        ];
        keys.extend(paths.map(|(key, path)| (key.to_owned(), path.display().to_string())));
        for (key, folder) in [
            ("state.savepoints.dir", "savepoints"),
            ("state.checkpoints.dir", "checkpoints"),
        ] {
            keys.insert(key.to_owned(), format!("file://{VOLUME_PATH}/{folder}"));
        }
        keys.extend(self.config.clone());
        keys
    }

    /// What every pod of Flink's has beside what Flink gives it: the volume, and what the restricted Pod
    /// Security Standard asks for.
    fn pod_template(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": "template" },
            "spec": {
                "securityContext": {
                    "runAsNonRoot": true,
                    "runAsUser": USER,
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "volumes": [{
                    "name": "data",
                    "persistentVolumeClaim": { "claimName": self.claim() },
                }],
                "containers": [{
                    // Flink looks for its container by this name.
                    "name": "flink-main-container",
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "capabilities": { "drop": ["ALL"] },
                    },
                    "volumeMounts": [{ "name": "data", "mountPath": VOLUME_PATH }],
                }],
            },
        })
    }

    fn claim(&self) -> String {
        format!("{}-data", self.cluster_id)
    }

    fn account(&self, node: &Node) -> Result<()> {
        node.apply(&json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": ACCOUNT, "namespace": self.namespace },
        }))?;
        node.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": { "name": ACCOUNT, "namespace": self.namespace },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit",
            },
            "subjects": [{ "kind": "ServiceAccount", "name": ACCOUNT }],
        }))
        .map(drop)
    }
}

/// A running session cluster. It ends with its node; the node must be dropped first, or [`Session::delete`]
/// called, as Flink's pods write into the session's folder.
#[derive(Debug)]
pub struct Session {
    url: String,
    namespace: String,
    cluster_id: String,
    uploaded: Mutex<Vec<(PathBuf, String)>>,
    _rest: Forward,
    folder: TempDir,
}

impl Session {
    /// Starts one through Flink's own client and waits until its REST API answers. TaskManagers come with jobs.
    ///
    /// # Errors
    /// The image cannot be made, the client fails, or the JobManager does not answer in time.
    pub fn start(node: &Node, spec: &SessionSpec) -> Result<Self> {
        node.import_image(&image::archive()?)?;
        let started = Instant::now();
        say::step(format!(
            "starting Flink's session cluster {}",
            spec.cluster_id
        ));
        let folder = tempfile::Builder::new()
            .prefix("lowtide-session-")
            .tempdir()?;
        let data = folder.path().join("data");
        for name in ["savepoints", "checkpoints", "ha", "control"] {
            open(&data.join(name))?;
        }
        spec.account(node)?;
        node.claimed_volume(&spec.namespace, &spec.claim(), &data)?;
        run_client(node, spec, &folder.path().join("client"))?;
        let rest = forward_rest(node, &spec.namespace, &spec.cluster_id)?;
        let session = Self {
            url: format!("http://{}", rest.addr),
            namespace: spec.namespace.clone(),
            cluster_id: spec.cluster_id.clone(),
            uploaded: Mutex::new(Vec::new()),
            _rest: rest,
            folder,
        };
        session.wait_ready(node)?;
        say::step(format!(
            "{} answers at {} after {:.1} s",
            session.cluster_id,
            session.url,
            started.elapsed().as_secs_f32()
        ));
        Ok(session)
    }

    /// The address of its REST API out here: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder of this machine that Flink's pods have at [`VOLUME_PATH`]: `savepoints`, `checkpoints`, `ha`.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// All directories `savepoint-…` beneath its savepoint directory, sorted, by their paths out here.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn savepoint_directories(&self) -> Result<Vec<SavepointDirectory>> {
        savepoint_directories(&self.data().join("savepoints"))
    }

    /// Submits a [`JobSpec`] and waits until all its tasks run, for which Flink makes a TaskManager's pod. A
    /// control folder of the spec's own is not supported: it must lie on the volume.
    ///
    /// # Errors
    /// The job does not compile, is refused, or does not run in time.
    pub fn submit(&self, spec: &JobSpec) -> Result<JobHandle> {
        let controls = self.data().join("control");
        let control = tempfile::Builder::new()
            .prefix(&format!("{}-", spec.name))
            .tempdir_in(controls)?
            .keep();
        open(&control)?;
        let name = control.file_name().unwrap_or_default();
        let seen_by_pods = Path::new(VOLUME_PATH).join("control").join(name);
        let distribution = RELEASE.ensure()?;
        let target = Target {
            url: &self.url,
            distribution: &distribution,
            uploaded: &self.uploaded,
        };
        let handle = target.run(spec, Control::new(control)?, &seen_by_pods)?;
        handle
            .wait_running()
            .with_context(|| format!("start job {}", spec.name))?;
        Ok(handle)
    }

    /// Waits until its REST API answers, again after its JobManager's pod was deleted.
    ///
    /// # Errors
    /// Time is up; the message holds the end of the JobManager's log.
    pub fn wait_ready(&self, node: &Node) -> Result<()> {
        let ready = node.wait("the JobManager's REST API", START_TIMEOUT, |_| {
            http::get(&self.url, "/overview").map(Some)
        });
        match ready {
            Ok(_) => Ok(()),
            Err(error) => Err(error.context(self.job_manager_log(node))),
        }
    }

    /// Deletes its Deployment, with which Kubernetes deletes the rest (but not the `ConfigMaps` of a highly
    /// available one), and waits until its pods are gone.
    ///
    /// # Errors
    /// The API server refuses, or time is up.
    pub fn delete(&self, node: &Node) -> Result<()> {
        let path = format!(
            "/apis/apps/v1/namespaces/{}/deployments/{}",
            self.namespace, self.cluster_id
        );
        node.admin().done("DELETE", &path, None)?;
        node.wait("Flink's pods to be gone", START_TIMEOUT, |node| {
            Ok(self.pods(node, "")?.is_empty().then_some(()))
        })
    }

    /// Deletes its JobManager's pod, which is killed after a second of grace, and waits until it is gone. The
    /// Deployment makes another: [`Session::wait_ready`] waits.
    ///
    /// # Errors
    /// There is none, the API server refuses, or time is up.
    pub fn delete_job_manager_pod(&self, node: &Node) -> Result<()> {
        let pods = self.pods(node, ",component=jobmanager")?;
        let pod = pods.first().context("there is no JobManager's pod")?;
        let path = format!("/api/v1/namespaces/{}/pods/{pod}", self.namespace);
        node.admin()
            // Not 0: then only the object goes at once, and the process whenever the kubelet comes to it.
            .done("DELETE", &format!("{path}?gracePeriodSeconds=1"), None)?;
        node.wait("the JobManager's pod to be gone", START_TIMEOUT, |node| {
            Ok((node.api("GET", &path, None)?.0 == 404).then_some(()))
        })?;
        // A new one has no jar of the old one.
        lock(&self.uploaded).clear();
        Ok(())
    }

    /// The names of its pods with these labels too, as in `,component=taskmanager`.
    fn pods(&self, node: &Node, labels: &str) -> Result<Vec<String>> {
        let path = format!(
            "/api/v1/namespaces/{}/pods?labelSelector=app={}{labels}",
            self.namespace, self.cluster_id
        );
        let list = node.admin().get(&path)?;
        let pods = list["items"].as_array().into_iter().flatten();
        let names = pods.filter_map(|pod| pod["metadata"]["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    fn job_manager_log(&self, node: &Node) -> String {
        const LINES: usize = 30;
        let pods = self.pods(node, ",component=jobmanager").unwrap_or_default();
        let log = pods.last().map(|pod| node.logs(&self.namespace, pod));
        let text = match log {
            None => "there is no JobManager's pod".to_owned(),
            Some(Ok(text)) => text,
            Some(Err(error)) => format!("{error:#}"),
        };
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

/// A folder for every user: Flink's pods run as one of their own.
fn open(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777))
        .with_context(|| format!("open {}", folder.display()))
}

/// The client runs out here, as a user's would: it needs nothing of the cluster but the API server. It comes
/// with a token, as its Kubernetes library cannot read keys of elliptic curves.
fn run_client(node: &Node, spec: &SessionSpec, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let template = folder.join("pod-template.yaml");
    fs::write(&template, spec.pod_template().to_string()).context("write the pod template")?;
    let kubeconfig = node.kubeconfig_for_service_account(&spec.namespace, ACCOUNT)?;
    let mut text = String::new();
    for (key, value) in spec.configuration(&kubeconfig, &template) {
        writeln!(text, "{key}: '{}'", value.replace('\'', "''"))
            .expect("writing to a string cannot fail");
    }
    fs::write(folder.join("config.yaml"), text).context("write config.yaml")?;
    fs::write(folder.join("log4j-console.properties"), LOGGING)
        .context("write log4j-console.properties")?;
    let mut command = java::command()?;
    command
        .arg(format!(
            "-Dlog4j.configurationFile=file:{}/log4j-console.properties",
            folder.display()
        ))
        .arg("-cp")
        .arg(RELEASE.ensure()?.class_path())
        .arg(CLIENT)
        .env("FLINK_CONF_DIR", folder)
        .current_dir(folder);
    process::output(command).context("Flink's client").map(drop)
}

fn forward_rest(node: &Node, namespace: &str, cluster_id: &str) -> Result<Forward> {
    let path = format!("/api/v1/namespaces/{namespace}/services/{cluster_id}-rest");
    let service = node.admin().get(&path)?;
    let address = service["spec"]["clusterIP"]
        .as_str()
        .with_context(|| format!("{cluster_id}-rest has no address"))?;
    node.forward_in(&format!("{address}:8081"))
}

/// For the client and for the pods: to the console, where Kubernetes keeps it.
const LOGGING: &str = "
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = Console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n
";
