//! One node: starting it, talking to it, ending it.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::api::Api;
use super::audit::{self, AuditEvent};
use super::cgroup::Cgroup;
use super::control_plane::{Addresses, ControlPlane};
use super::credentials::{ADMIN, Credentials};
use super::door::{Exposed, Forward};
use super::namespace::Namespace;
use super::part::{Part, Place};
use super::scratch::Scratch;
use super::worker::{self, DNS_READY, NODE_NAME, Worker};
use super::{address, binaries, packages};
use crate::http::{self, until};
use crate::{process, say};

/// The API server answers after 2.5 s on an idle machine.
const START_TIMEOUT: Duration = Duration::from_mins(3);

/// The controller manager makes a service account and binds a claim within a second.
const CONTROLLER_TIMEOUT: Duration = Duration::from_mins(3);

/// The name of the program in the list of parts.
const API_SERVER: &str = "kube-apiserver";

/// What a volume says of its size. Nothing enforces it.
const VOLUME_SIZE: &str = "1Gi";

/// What a node is to be like.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether pods run. If not, there are etcd, the API server and the controller manager, on loopback, and
    /// neither root nor namespaces are needed.
    pub containers: bool,
    /// More flags of the API server, as in `--min-request-timeout=5`.
    pub api_flags: Vec<String>,
    /// Archives of images that the node has from the start. See [`crate::image`].
    pub images: Vec<PathBuf>,
}

/// What pods of a namespace may do: the levels of Kubernetes' Pod Security Standards, enforced on admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodSecurity {
    /// Everything.
    Privileged,
    /// No known ways to gain privileges.
    Baseline,
    /// Current hardening practice: not root, no capabilities, a seccomp profile.
    Restricted,
}

impl PodSecurity {
    fn label(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// A running Kubernetes of one node, or its control plane alone. Everything is killed and removed when it is
/// dropped; when the process that holds it is killed, everything is killed, and removed by whoever starts the
/// next one.
#[derive(Debug)]
pub struct Node {
    api: Api,
    kubeconfig: PathBuf,
    /// The API server, as it is reached from out here.
    address: SocketAddr,
    // From here on in the order of ending: programs first, their files last.
    parts: Mutex<Vec<Part>>,
    inside: Option<Inside>,
    control_plane: ControlPlane,
    credentials: Credentials,
    scratch: Scratch,
}

/// What only a node with containers has.
#[derive(Debug)]
struct Inside {
    api: Forward,
    namespace: Namespace,
    cgroup: Cgroup,
    cni: PathBuf,
    imported: Mutex<BTreeSet<PathBuf>>,
}

impl Node {
    /// Starts one and waits until it is ready: until the API server is and, with containers, a pod can run.
    ///
    /// # Errors
    /// A program cannot be built or installed, ends by itself, or is not ready in time; the message holds the
    /// end of its log.
    pub fn start(options: &Options) -> Result<Self> {
        // First of all: whoever may not run containers need not build what runs in them.
        let cni = options.containers.then(packages::ensure).transpose()?;
        let programs = binaries::kubernetes()?;
        let started = Instant::now();
        say::step(format!("starting Kubernetes {}", binaries::VERSION));
        let scratch = Scratch::make()?;
        let credentials = Credentials::make(scratch.path().join("credentials"))?;
        let inside = cni.map(|cni| Inside::make(&scratch, cni)).transpose()?;
        let (place, addresses) = match &inside {
            Some(inside) => (inside.namespace.place(), Addresses::inside()),
            None => (Place::Here, Addresses::here()?),
        };
        let address = inside.as_ref().map_or(addresses.api, |it| it.api.addr);
        let kubeconfig = credentials.kubeconfig(ADMIN, address)?;
        let identity = credentials.user(ADMIN)?;
        let node = Self {
            api: Api::new(address, &credentials.authority_pem(), &identity)?,
            kubeconfig,
            address,
            parts: Mutex::new(Vec::new()),
            control_plane: ControlPlane {
                programs,
                scratch: scratch.path().to_owned(),
                place,
                addresses,
                api_flags: options.api_flags.clone(),
            },
            credentials,
            inside,
            scratch,
        };
        node.start_parts(&options.images)?;
        say::step(format!(
            "Kubernetes answers at {address} after {:.1} s",
            started.elapsed().as_secs_f32()
        ));
        Ok(node)
    }

    /// Containerd takes in the images while the API server starts.
    fn start_parts(&self, images: &[PathBuf]) -> Result<()> {
        let worker = self.inside.as_ref().map(|inside| Worker {
            control_plane: &self.control_plane,
            credentials: &self.credentials,
            cni: &inside.cni,
            cgroup: inside.cgroup.name(),
        });
        self.keep(self.control_plane.etcd()?);
        self.keep(self.control_plane.api_server(&self.credentials)?);
        if let Some(worker) = &worker {
            self.keep(worker.containerd()?);
            for image in images {
                self.import_image(image)?;
            }
        }
        self.wait_api_server()?;
        self.keep(self.control_plane.controller_manager(&self.credentials)?);
        let Some(worker) = &worker else {
            return Ok(());
        };
        self.keep(worker.scheduler()?);
        self.keep(worker.kubelet()?);
        self.keep(worker.proxy()?);
        self.keep(worker.dns()?);
        self.wait_node()
    }

    fn keep(&self, part: Part) {
        self.parts().push(part);
    }

    fn wait_api_server(&self) -> Result<()> {
        self.wait("the API server", START_TIMEOUT, |node| {
            Ok((node.api.send("GET", "/readyz", None)?.0 == 200).then_some(()))
        })
    }

    fn wait_node(&self) -> Result<()> {
        let path = format!("/api/v1/nodes/{NODE_NAME}");
        self.wait("the node to be Ready", START_TIMEOUT, |node| {
            let seen = node.api.get(&path)?;
            let conditions = seen["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten();
            let ready = conditions
                .into_iter()
                .any(|it| it["type"] == "Ready" && it["status"] == "True");
            Ok(ready.then_some(()))
        })?;
        let dns = self.forward_in(DNS_READY)?;
        let base = format!("http://{}", dns.addr);
        self.wait("DNS", START_TIMEOUT, |_| {
            let answer = http::request(&base, "GET", "/ready", None, b"")?;
            Ok((answer.status == 200).then_some(()))
        })
    }

    /// Starts the API server, which was killed, at the same address, and waits until it is ready. What it knew
    /// is in etcd; watches and their memory of the past are gone.
    ///
    /// # Errors
    /// It runs already, ends by itself, or is not ready in time.
    pub fn start_api_server(&self) -> Result<()> {
        ensure!(
            !self.parts().iter().any(|it| it.name() == API_SERVER),
            "the API server runs already"
        );
        self.keep(self.control_plane.api_server(&self.credentials)?);
        self.wait_api_server()
    }

    /// Kills the API server with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// It does not run, or the kernel refuses.
    pub fn kill_api_server(&self) -> Result<()> {
        let mut parts = self.parts();
        let found = parts.iter().position(|it| it.name() == API_SERVER);
        let index = found.ok_or_else(|| anyhow!("the API server does not run"))?;
        parts.remove(index).kill()
    }

    /// The API server, as the administrator.
    pub fn admin(&self) -> &Api {
        &self.api
    }

    /// One request as the administrator: status and body. See [`Api::send`].
    ///
    /// # Errors
    /// As [`Api::send`].
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        self.api.send(method, path, body)
    }

    /// Server-side apply as the administrator. See [`Api::apply`].
    ///
    /// # Errors
    /// As [`Api::apply`].
    pub fn apply(&self, object: &Value) -> Result<Value> {
        self.api.apply(object)
    }

    /// The API server's address out here: `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The authority that signed the API server's certificate, PEM.
    pub fn authority_pem(&self) -> String {
        self.credentials.authority_pem()
    }

    /// A fresh token of a service account, as a pod would get it.
    ///
    /// # Errors
    /// There is no such account.
    pub fn service_account_token(&self, namespace: &str, account: &str) -> Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {},
        });
        let answer = self.api.done("POST", &path, Some(&request))?;
        let token = answer["status"]["token"].as_str();
        token
            .map(str::to_owned)
            .ok_or_else(|| anyhow!("no token for {namespace}/{account}"))
    }

    /// A kubeconfig with a fresh token of a service account; its context selects the account's namespace.
    ///
    /// # Errors
    /// As [`Node::service_account_token`].
    pub fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        account: &str,
    ) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, account)?;
        let name = format!("account-{namespace}-{account}");
        self.credentials
            .kubeconfig_for_token(&name, self.address, &token, namespace)
    }

    /// The API server as a service account sees it.
    ///
    /// # Errors
    /// As [`Node::service_account_token`].
    pub fn as_service_account(&self, namespace: &str, account: &str) -> Result<Api> {
        let token = self.service_account_token(namespace, account)?;
        Api::with_token(self.address, &self.authority_pem(), token)
    }

    /// Makes a namespace and waits until its `default` service account is there, without which no pod can be
    /// made in it.
    ///
    /// # Errors
    /// The API server refuses, or time is up.
    pub fn namespace(&self, name: &str, security: PodSecurity) -> Result<()> {
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": { "name": name, "labels": {
                "pod-security.kubernetes.io/enforce": security.label(),
            }},
        }))?;
        let path = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        self.wait("a service account", CONTROLLER_TIMEOUT, |node| {
            Ok((node.api.send("GET", &path, None)?.0 == 200).then_some(()))
        })
    }

    /// Looks again and again until `look` returns something, at most `limit` long.
    ///
    /// # Errors
    /// Time is up (the message names `what` was waited for and what was seen last), or a program of the node
    /// has ended.
    pub fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        look: impl Fn(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let found = until(what, limit, || {
            for part in self.parts().iter_mut() {
                if let Err(error) = part.check() {
                    return Ok(Some(Err(error)));
                }
            }
            Ok(look(self)?.map(Ok))
        });
        found.and_then(|it| it).map_err(|error| {
            let tails: Vec<_> = self.parts().iter().map(Part::tail).collect();
            error.context(tails.join("\n"))
        })
    }

    /// What the API server wrote down about every request until now. A request is in it a moment after its
    /// answer.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn audit(&self) -> Result<Vec<AuditEvent>> {
        audit::read(&self.control_plane.audit_log())
    }

    /// Leads a loopback port out here to an address inside: a pod's, a Service's, the node's own.
    ///
    /// # Errors
    /// The node runs no containers: it has no inside.
    pub fn forward_in(&self, target: &str) -> Result<Forward> {
        self.inside()?.namespace.door().forward(target)
    }

    /// Leads `10.244.0.1:PORT` inside to `127.0.0.1:PORT` out here, so that pods reach a server of the test.
    ///
    /// # Errors
    /// The node runs no containers, or the port is taken inside.
    pub fn expose(&self, port: u16) -> Result<Exposed> {
        self.inside()?.namespace.door().expose(port)
    }

    /// Gives an image to the node, once, under the name that its archive has. Pods must not pull it:
    /// `imagePullPolicy: IfNotPresent` or `Never`.
    ///
    /// # Errors
    /// The node runs no containers, or the archive is none.
    pub fn import_image(&self, archive: &Path) -> Result<()> {
        let mut imported = lock(&self.inside()?.imported);
        if !imported.contains(archive) {
            worker::import(&self.control_plane, archive)?;
            imported.insert(archive.to_owned());
        }
        Ok(())
    }

    /// What a pod's only container has printed so far.
    ///
    /// # Errors
    /// There is no such pod, or it has not started.
    pub fn logs(&self, namespace: &str, pod: &str) -> Result<String> {
        self.api
            .text(&format!("/api/v1/namespaces/{namespace}/pods/{pod}/log"))
    }

    /// A volume for the claim `claim` of a namespace, whoever makes that claim: the folder `path` of this
    /// machine, made where it is missing, and made writable for every user, as pods run as any. It must not lie
    /// in `/run` or `/var/log`, which a node has of its own. `access` is an access mode, as in `ReadWriteMany`.
    ///
    /// # Errors
    /// The folder cannot be made, or the API server refuses.
    pub fn volume(&self, namespace: &str, claim: &str, path: &Path, access: &str) -> Result<()> {
        fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": { "name": format!("{namespace}-{claim}") },
            "spec": {
                "accessModes": [access],
                "capacity": { "storage": VOLUME_SIZE },
                "claimRef": { "namespace": namespace, "name": claim },
                "hostPath": { "path": path, "type": "Directory" },
                "persistentVolumeReclaimPolicy": "Retain",
            },
        }))
        .map(drop)
    }

    /// [`Node::volume`] for `ReadWriteMany`, and the claim; waits until the two are bound, as the scheduler looks
    /// only now and then whether a pod's claims are.
    ///
    /// # Errors
    /// As [`Node::volume`]; time is up.
    pub fn claimed_volume(&self, namespace: &str, claim: &str, path: &Path) -> Result<()> {
        self.volume(namespace, claim, path, "ReadWriteMany")?;
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": claim, "namespace": namespace },
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": { "requests": { "storage": VOLUME_SIZE } },
                "storageClassName": "",
                "volumeName": format!("{namespace}-{claim}"),
            },
        }))?;
        let path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}");
        self.wait("a claim to be bound", CONTROLLER_TIMEOUT, |node| {
            let seen = node.api.get(&path)?;
            Ok((seen["status"]["phase"] == "Bound").then_some(()))
        })
    }

    /// Runs Helm as the administrator and returns what it printed.
    ///
    /// # Errors
    /// Helm cannot be built, or ends other than with success: the message holds what it printed.
    pub fn helm<A: AsRef<std::ffi::OsStr>>(&self, arguments: &[A]) -> Result<String> {
        let mut command = process::bound(binaries::helm()?);
        let home = self.scratch.path().join("helm");
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"));
        process::output(command).context("helm")
    }

    /// The folder of the programs' logs, one file each.
    pub fn logs_folder(&self) -> PathBuf {
        self.control_plane.logs()
    }

    fn inside(&self) -> Result<&Inside> {
        self.inside
            .as_ref()
            .ok_or_else(|| anyhow!("this node was started without containers"))
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        lock(&self.parts)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked elsewhere must not hide its own message behind ours.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inside {
    fn make(scratch: &Scratch, cni: PathBuf) -> Result<Self> {
        let init = binaries::inside()?.join("init");
        let cgroup = Cgroup::make(scratch.name())?;
        let namespace = Namespace::start(&init, scratch.path())?;
        let api = format!("{}:{}", address::NODE, address::API_PORT);
        Ok(Self {
            api: namespace.door().forward(&api)?,
            namespace,
            cgroup,
            cni,
            imported: Mutex::default(),
        })
    }
}
