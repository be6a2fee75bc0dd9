//! Ververica Platform's emulator, and the pods of its deployments in a real API server.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbench::kubernetes::{AuditEvent, Node, Options, PodSecurity};
use testbench::ververica::{DeploymentSpec, Emulator, Phase, Role, SimulatedLocation};

use crate::stage::say;

/// The Kubernetes namespace of the pods.
pub const KUBERNETES_NAMESPACE: &str = "flink";
/// Who Lowtide is, and who the scripts are: so the audit log tells them apart.
pub const LOWTIDE: &str = "lowtide";
/// See [`LOWTIDE`].
pub const SCRIPT: &str = "script";

/// Connections that make pods at once: the API server answers a creation when etcd has it on the disk, and
/// takes together what waits for that.
const MAKERS: usize = 16;
/// Looks at the audit log that must agree before it counts as complete: an event is in it a moment after its
/// answer.
const AUDIT_AGREES: usize = 3;
/// Time between two such looks.
const AUDIT_LOOK_EVERY: Duration = Duration::from_millis(200);

/// One deployment.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its name, which is also the label of its pods.
    pub name: String,
    /// Its id.
    pub id: String,
}

/// What a deployment's savepoint is.
pub struct Savepoints {
    /// How long one takes.
    pub takes: Duration,
    /// What it leaves.
    pub location: SimulatedLocation,
}

/// An emulator with deployments, their pods, and a folder for what the tools need.
pub struct Fleet {
    /// The emulator.
    pub emulator: Emulator,
    /// The API server.
    pub node: Node,
    /// The deployments, by name.
    pub deployments: Vec<Deployment>,
    /// For configurations, catalogs and credentials.
    pub folder: TempDir,
    /// An editor's token of the emulator.
    pub token: String,
    savepoints: Savepoints,
}

impl Fleet {
    /// Starts both servers and makes the deployments, each with two pods.
    pub fn start(count: usize, savepoints: Savepoints) -> Result<Self> {
        let node = Node::start(&Options::default())?;
        let emulator = Emulator::builder().bearer().start()?;
        let token = emulator.token("default", Role::Editor)?;
        let mut fleet = Self {
            emulator,
            node,
            deployments: Vec::new(),
            folder: tempfile::tempdir().context("make a scratch folder")?,
            token,
            savepoints,
        };
        for number in 0..count {
            let name = format!("application-{number:04}");
            let id = fleet.emulator.deploy(fleet.spec(&name))?;
            fleet.deployments.push(Deployment { name, id });
        }
        fleet.make_accounts()?;
        fleet.make_pods()?;
        Ok(fleet)
    }

    fn spec(&self, name: &str) -> DeploymentSpec {
        DeploymentSpec::simulated(name, self.savepoints.takes)
            .location(self.savepoints.location.clone())
    }

    /// Makes every deployment anew under its id: no savepoints, and no requests in the log.
    pub fn begin_anew(&self) -> Result<()> {
        for Deployment { name, id } in &self.deployments {
            self.emulator.remove(id)?;
            self.emulator.deploy(self.spec(name).id(id))?;
        }
        if let SimulatedLocation::CopyOf { into, .. } = &self.savepoints.location {
            fs::remove_dir_all(into).context("remove the savepoints of the round before")?;
            fs::create_dir(into).context("make the folder of savepoints")?;
        }
        self.emulator.forget();
        Ok(())
    }

    /// Whether every deployment has exactly one savepoint, which is complete.
    pub fn one_savepoint_each(&self) -> Result<()> {
        for Deployment { name, id } in &self.deployments {
            let phases: Vec<Phase> = (self.emulator.savepoints(id).iter())
                .map(|savepoint| savepoint.phase)
                .collect();
            ensure!(
                phases == [Phase::Completed],
                "{name} has these savepoints: {phases:?}"
            );
        }
        Ok(())
    }

    /// The names, one a line.
    pub fn names_file(&self) -> Result<PathBuf> {
        let names: Vec<&str> = (self.deployments.iter())
            .map(|it| it.name.as_str())
            .collect();
        self.write("names", &(names.join("\n") + "\n"))
    }

    /// A configuration of Lowtide for the first `count` deployments, with a catalog of its own.
    pub fn configuration(&self, resolve: &str, count: usize) -> Result<PathBuf> {
        self.configuration_with(resolve, count, &json!({}))
    }

    /// The same with more keys at its top.
    pub fn configuration_with(&self, resolve: &str, count: usize, more: &Value) -> Result<PathBuf> {
        let kubeconfig = self
            .node
            .kubeconfig_for_service_account(KUBERNETES_NAMESPACE, LOWTIDE)?;
        let catalog = self.folder.path().join(format!("{resolve}.db"));
        let mut platform = json!({
            "url": self.emulator.url(),
            "namespace": "default",
            "token": "${env:VVP_TOKEN}",
            "resolve": resolve,
        });
        if resolve == "pods" {
            platform["kubernetes"] = json!({
                "kubeconfig": kubeconfig,
                "namespace": KUBERNETES_NAMESPACE,
            });
        }
        let names: Vec<&str> = (self.deployments.iter().take(count))
            .map(|it| it.name.as_str())
            .collect();
        let mut whole = json!({
            "platforms": { "vvp": { "ververica": platform } },
            "catalog": { "sqlite": catalog },
            "applications": names,
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&whole).context("write a configuration")?;
        self.write(&format!("{resolve}.yaml"), &text)
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// What scripts and the load generator are told by their environment.
    pub fn environment(&self) -> Result<Vec<(&'static str, String)>> {
        let authority = self.write("ca.crt", &self.node.authority_pem())?;
        let token = self
            .node
            .service_account_token(KUBERNETES_NAMESPACE, SCRIPT)?;
        Ok(vec![
            ("KUBE_URL", format!("https://{}", self.node.address())),
            ("KUBE_CA", text(&authority)?),
            ("KUBE_TOKEN", token),
            ("KUBE_NAMESPACE", KUBERNETES_NAMESPACE.to_owned()),
            ("VVP_URL", self.emulator.url().to_owned()),
            ("VVP_TOKEN", self.token.clone()),
        ])
    }

    /// What one of the two accounts has asked the API server so far.
    pub fn asked_by(&self, account: &str) -> Result<Vec<AuditEvent>> {
        let user = format!("system:serviceaccount:{KUBERNETES_NAMESPACE}:{account}");
        let mut agreed = 0;
        let mut last = Vec::new();
        while agreed < AUDIT_AGREES {
            thread::sleep(AUDIT_LOOK_EVERY);
            let mut events = self.node.audit()?;
            events.retain(|event| event.user == user);
            agreed = if events == last { agreed + 1 } else { 0 };
            last = events;
        }
        Ok(last)
    }

    /// Two accounts that may list and watch pods in the namespace, and nothing else.
    fn make_accounts(&self) -> Result<()> {
        self.node
            .namespace(KUBERNETES_NAMESPACE, PodSecurity::Restricted)?;
        let rights = "rbac.authorization.k8s.io";
        let metadata = json!({ "name": "pods", "namespace": KUBERNETES_NAMESPACE });
        self.node.apply(&json!({
            "apiVersion": format!("{rights}/v1"), "kind": "Role", "metadata": metadata,
            "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"] }],
        }))?;
        let account = |name: &str| json!({ "kind": "ServiceAccount", "name": name, "namespace": KUBERNETES_NAMESPACE });
        for name in [LOWTIDE, SCRIPT] {
            self.node.apply(&json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": { "name": name, "namespace": KUBERNETES_NAMESPACE },
            }))?;
        }
        self.node.apply(&json!({
            "apiVersion": format!("{rights}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": { "apiGroup": rights, "kind": "Role", "name": "pods" },
            "subjects": [account(LOWTIDE), account(SCRIPT)],
        }))?;
        Ok(())
    }

    fn make_pods(&self) -> Result<()> {
        let pods: Vec<Value> = (self.deployments.iter())
            .flat_map(|it| self.emulator.pods(&it.id))
            .collect();
        let begun = Instant::now();
        let next = AtomicUsize::new(0);
        let path = format!("/api/v1/namespaces/{KUBERNETES_NAMESPACE}/pods");
        let make = || -> Result<()> {
            while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.node.admin().done("POST", &path, Some(pod))?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let makers: Vec<_> = (0..MAKERS).map(|_| scope.spawn(make)).collect();
            makers.into_iter().try_for_each(|maker| {
                maker
                    .join()
                    .map_err(|_| anyhow!("a maker of pods panicked"))?
            })
        })?;
        say(&format!(
            "{} pods made in {:.0} s",
            pods.len(),
            begun.elapsed().as_secs_f64()
        ));
        Ok(())
    }
}

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.with_context(|| format!("{} is no text", path.display()))
}
