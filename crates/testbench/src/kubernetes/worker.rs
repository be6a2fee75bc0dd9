//! What makes a control plane a node: containerd, the scheduler, the kubelet, kube-proxy, DNS.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::control_plane::{ControlPlane, flag};
use super::credentials::{CONTEXT, Credentials, DNS, KUBELET, PROXY, SCHEDULER, User};
use super::namespace::BRIDGE;
use super::part::Part;
use super::{address, binaries, packages};
use crate::http::until;
use crate::image::{Archive, Layer};
use crate::process;

/// The node's name.
pub(super) const NODE_NAME: &str = "node1";

/// The image of the process that holds a pod's namespaces; it waits for SIGTERM. Every node has it.
pub const PAUSE_IMAGE: &str = "lowtide.invalid/pause:1";

/// Where `CoreDNS` says whether it has read the cluster's services.
pub(super) const DNS_READY: &str = "127.0.0.1:8181";

const CONTAINERD_TIMEOUT: Duration = Duration::from_mins(3);

/// The namespace of containerd in which the kubelet's images are.
const CONTAINERD_NAMESPACE: &str = "k8s.io";

/// Starts the parts of a node beside its control plane.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    pub control_plane: &'a ControlPlane,
    pub credentials: &'a Credentials,
    /// The folder of the CNI plugins.
    pub cni: &'a Path,
    /// The control group that all pods lie beneath.
    pub cgroup: &'a str,
}

impl Worker<'_> {
    /// Starts containerd and gives it the pause image. It needs nothing else of the cluster.
    pub(super) fn containerd(&self) -> Result<Part> {
        let scratch = &self.control_plane.scratch;
        let networks = scratch.join("cni");
        fs::create_dir_all(&networks)?;
        fs::write(networks.join("10-lowtide.conflist"), self.network())?;
        let config = scratch.join("containerd.toml");
        fs::write(&config, self.containerd_config(&networks)).context("write containerd.toml")?;
        let mut command = self.control_plane.place.contained("containerd");
        command
            .arg("--config")
            .arg(&config)
            .env("PATH", packages::path());
        let mut part = self.control_plane.start("containerd", command)?;
        until("containerd", CONTAINERD_TIMEOUT, || {
            if let Err(error) = part.check() {
                return Ok(Some(Err(error)));
            }
            process::output(ctr(self.control_plane, &["version"])).map(|_| Some(Ok(())))
        })??;
        let pause = scratch.join("pause.tar");
        let program = binaries::inside()?.join("pause");
        Archive::new()
            .layer(Layer::new().file("/pause", program, 0o755))
            .entrypoint(["/pause"])
            .user("65535:65535")
            .write(&pause, PAUSE_IMAGE)?;
        import(self.control_plane, &pause)?;
        Ok(part)
    }

    pub(super) fn scheduler(&self) -> Result<Part> {
        let mut command = self.control_plane.program("kube-scheduler");
        command
            .args(["--leader-elect=false", "--secure-port=0"])
            .arg(self.kubeconfig(SCHEDULER)?);
        self.control_plane.start("kube-scheduler", command)
    }

    /// Starts the kubelet among the containers: it follows their processes.
    pub(super) fn kubelet(&self) -> Result<Part> {
        let scratch = &self.control_plane.scratch;
        let config = scratch.join("kubelet.json");
        fs::write(&config, self.kubelet_config()).context("write kubelet.json")?;
        let program = self.control_plane.programs.join("kubelet");
        let mut command = self.control_plane.place.contained(program);
        command
            .arg(flag("config", &config))
            .arg(flag("root-dir", &scratch.join("kubelet")))
            .arg(flag("cert-dir", &scratch.join("kubelet-certificates")))
            .arg(self.kubeconfig(KUBELET)?)
            .arg(format!("--node-ip={}", address::NODE))
            .arg(format!("--hostname-override={NODE_NAME}"))
            .env("PATH", packages::path());
        self.control_plane.start("kubelet", command)
    }

    /// Starts kube-proxy. It hides the sender of all that goes to a Service: an answer between two pods of one
    /// bridge would otherwise not come back through the node, which must translate it.
    pub(super) fn proxy(&self) -> Result<Part> {
        let mut command = self.control_plane.program("kube-proxy");
        command
            .args(["--proxy-mode=iptables", "--masquerade-all"])
            // The limit is the machine's, not the namespace's.
            .args(["--conntrack-max-per-core=0"])
            .args(["--healthz-bind-address=127.0.0.1:10256"])
            .args(["--metrics-bind-address=127.0.0.1:10249"])
            .arg(format!("--hostname-override={NODE_NAME}"))
            .arg(self.kubeconfig(PROXY)?)
            .env("PATH", packages::path());
        self.control_plane.start("kube-proxy", command)
    }

    /// Starts DNS for the names of services; it knows no others, and asks nobody.
    pub(super) fn dns(&self) -> Result<Part> {
        let scratch = &self.control_plane.scratch;
        let kubeconfig = self.kubeconfig_path(DNS)?;
        let text = format!(
            ".:53 {{\n  bind {node}\n  errors\n  ready {DNS_READY}\n  \
             kubernetes cluster.local in-addr.arpa {{\n    kubeconfig {file} {CONTEXT}\n    \
             pods insecure\n    ttl 5\n  }}\n}}\n",
            node = address::NODE,
            file = kubeconfig.display(),
        );
        let file = scratch.join("Corefile");
        fs::write(&file, text).context("write the Corefile")?;
        let mut command = self.control_plane.program("coredns");
        command.arg("-conf").arg(&file);
        self.control_plane.start("coredns", command)
    }

    fn kubeconfig(&self, user: User) -> Result<String> {
        Ok(flag("kubeconfig", &self.kubeconfig_path(user)?))
    }

    fn kubeconfig_path(&self, user: User) -> Result<PathBuf> {
        let api = SocketAddr::new(address::NODE_IP.into(), address::API_PORT);
        self.credentials.kubeconfig(user, api)
    }

    fn network(&self) -> String {
        let scratch = &self.control_plane.scratch;
        json!({
            "cniVersion": "0.4.0",
            "name": "lowtide",
            "plugins": [{
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": scratch.join("addresses"),
                    "ranges": [[{ "subnet": address::PODS, "gateway": address::NODE }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            }],
        })
        .to_string()
    }

    /// Without the capability `SYS_RESOURCE`, which most containers lack, nobody may lower `oom_score_adj`, and
    /// runc would end at once: so it is restricted.
    fn containerd_config(&self, networks: &Path) -> String {
        let scratch = &self.control_plane.scratch;
        format!(
            r#"version = 2
root = "{scratch}/containerd"
state = "{scratch}/containerd-state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{scratch}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE_IMAGE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#,
            scratch = scratch.display(),
            socket = containerd_socket(self.control_plane).display(),
            cni = self.cni.display(),
            networks = networks.display(),
        )
    }

    fn kubelet_config(&self) -> String {
        let scratch = &self.control_plane.scratch;
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": { "enabled": false },
                "webhook": { "enabled": false },
                "x509": { "clientCAFile": self.credentials.path("ca.crt") },
            },
            "authorization": { "mode": "AlwaysAllow" },
            "address": address::NODE,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{}", self.cgroup),
            "clusterDNS": [address::NODE],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint":
                format!("unix://{}", containerd_socket(self.control_plane).display()),
            // Nothing of the machine's own: neither its names nor its full disk nor its swap.
            "resolvConf": "",
            "evictionHard": {},
            "imageGCHighThresholdPercent": 100,
            "localStorageCapacityIsolation": false,
            "failSwapOn": false,
            "failCgroupV1": false,
            "enforceNodeAllocatable": [],
            "podLogsDir": scratch.join("pod-logs"),
            "volumePluginDir": scratch.join("volume-plugins"),
            "staticPodPath": "",
            // Tests wait for what pods do; the defaults spare a large cluster's API server.
            "nodeStatusUpdateFrequency": "2s",
            "syncFrequency": "5s",
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            "serializeImagePulls": false,
        })
        .to_string()
    }
}

/// Gives an image to containerd, under the name that its archive has.
pub(super) fn import(control_plane: &ControlPlane, archive: &Path) -> Result<()> {
    let mut command = ctr(
        control_plane,
        &["--namespace", CONTAINERD_NAMESPACE, "images", "import"],
    );
    command.arg(archive);
    process::output(command)
        .with_context(|| format!("import {}", archive.display()))
        .map(drop)
}

fn containerd_socket(control_plane: &ControlPlane) -> PathBuf {
    control_plane.scratch.join("containerd.sock")
}

fn ctr(control_plane: &ControlPlane, arguments: &[&str]) -> Command {
    let mut command = control_plane.place.contained("ctr");
    command
        .arg("--address")
        .arg(containerd_socket(control_plane))
        .args(arguments)
        .env("PATH", packages::path());
    command
}
