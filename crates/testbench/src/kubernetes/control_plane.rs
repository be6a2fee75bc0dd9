//! etcd, the API server and the controller manager: a cluster in which nothing runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::credentials::{ADMIN, CONTROLLER_MANAGER, Credentials};
use super::part::{Part, Place};
use super::{address, audit};
use crate::port::Port;

/// Where the parts listen.
#[derive(Debug)]
pub(super) struct Addresses {
    /// The API server, as its own peers reach it.
    pub api: SocketAddr,
    etcd: u16,
    etcd_peer: u16,
    _ports: Vec<Port>,
}

impl Addresses {
    /// Free ports of this machine.
    pub(super) fn here() -> Result<Self> {
        let ports = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
        let [api, etcd, etcd_peer] = [0, 1, 2].map(|it: usize| ports[it].number());
        Ok(Self {
            api: (Ipv4Addr::LOCALHOST, api).into(),
            etcd,
            etcd_peer,
            _ports: ports.into(),
        })
    }

    /// The usual ports, in a network of one's own.
    pub(super) fn inside() -> Self {
        Self {
            api: (address::NODE_IP, address::API_PORT).into(),
            etcd: address::ETCD_PORT,
            etcd_peer: address::ETCD_PEER_PORT,
            _ports: Vec::new(),
        }
    }

    /// etcd's address for clients.
    pub(super) fn etcd(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd)
    }
}

/// What starts the parts, also a second time.
#[derive(Debug)]
pub(super) struct ControlPlane {
    pub programs: PathBuf,
    pub scratch: PathBuf,
    pub place: Place,
    pub addresses: Addresses,
    /// More flags of the API server.
    pub api_flags: Vec<String>,
}

impl ControlPlane {
    /// The API server's audit log.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.scratch.join("audit.log")
    }

    /// The folder of all logs.
    pub(super) fn logs(&self) -> PathBuf {
        self.scratch.join("log")
    }

    pub(super) fn start(&self, name: &'static str, command: Command) -> Result<Part> {
        Part::start(name, command, &self.logs())
    }

    pub(super) fn program(&self, name: &str) -> Command {
        self.place.command(self.programs.join(name))
    }

    /// Starts etcd. It writes nothing through to the disk: nobody needs the data after a power cut.
    pub(super) fn etcd(&self) -> Result<Part> {
        let client = self.addresses.etcd();
        let peer = format!("http://127.0.0.1:{}", self.addresses.etcd_peer);
        let mut command = self.program("etcd");
        command
            .args(["--name=node1", "--unsafe-no-fsync", "--log-level=warn"])
            .arg(flag("data-dir", &self.scratch.join("etcd")))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls={peer}"))
            .arg(format!("--initial-advertise-peer-urls={peer}"))
            .arg(format!("--initial-cluster=node1={peer}"));
        self.start("etcd", command)
    }

    /// Starts the API server. It tries until etcd answers.
    pub(super) fn api_server(&self, credentials: &Credentials) -> Result<Part> {
        let policy = self.scratch.join("audit-policy.yaml");
        std::fs::write(&policy, audit::POLICY).context("write the audit policy")?;
        let api = self.addresses.api;
        let bind = match self.place {
            Place::Here => Ipv4Addr::LOCALHOST,
            Place::Inside(_) => Ipv4Addr::UNSPECIFIED,
        };
        let file = |name: &str| credentials.path(name);
        let mut command = self.program("kube-apiserver");
        command
            .args(["--authorization-mode=Node,RBAC", "--allow-privileged"])
            .args(["--kubelet-preferred-address-types=InternalIP"])
            .args(["--service-account-issuer=https://kubernetes.default.svc.cluster.local"])
            .arg(format!("--etcd-servers={}", self.addresses.etcd()))
            .arg(format!("--bind-address={bind}"))
            .arg(format!("--advertise-address={}", api.ip()))
            .arg(format!("--secure-port={}", api.port()))
            .arg(format!("--service-cluster-ip-range={}", address::SERVICES))
            .arg(flag("tls-cert-file", &file("api-server.crt")))
            .arg(flag("tls-private-key-file", &file("api-server.key")))
            .arg(flag("client-ca-file", &file("ca.crt")))
            .arg(flag(
                "kubelet-client-certificate",
                &file(&format!("{}.crt", ADMIN.file)),
            ))
            .arg(flag(
                "kubelet-client-key",
                &file(&format!("{}.key", ADMIN.file)),
            ))
            .arg(flag(
                "service-account-key-file",
                &file("service-accounts.pub"),
            ))
            .arg(flag(
                "service-account-signing-key-file",
                &file("service-accounts.key"),
            ))
            .arg(flag("audit-policy-file", &policy))
            .arg(flag("audit-log-path", &self.audit_log()))
            // Otherwise it makes a certificate directory beneath /var/run.
            .arg(flag("cert-dir", &self.scratch.join("api-server")))
            .args(&self.api_flags);
        self.start("kube-apiserver", command)
    }

    /// Starts the controller manager: service accounts, Jobs, `CronJobs`, Deployments, garbage collection.
    pub(super) fn controller_manager(&self, credentials: &Credentials) -> Result<Part> {
        let kubeconfig = credentials.kubeconfig(CONTROLLER_MANAGER, self.addresses.api)?;
        let mut command = self.program("kube-controller-manager");
        command
            .args(["--leader-elect=false", "--secure-port=0"])
            .arg("--use-service-account-credentials")
            // A claim and its volume find each other at this period; 15 seconds by default.
            .arg("--pvclaimbinder-sync-period=1s")
            .arg(flag("kubeconfig", &kubeconfig))
            .arg(flag("root-ca-file", &credentials.path("ca.crt")))
            // Otherwise it makes a folder beneath /usr.
            .arg(flag(
                "flex-volume-plugin-dir",
                &self.scratch.join("volume-plugins"),
            ))
            .arg(flag(
                "service-account-private-key-file",
                &credentials.path("service-accounts.key"),
            ))
            .arg(format!("--service-cluster-ip-range={}", address::SERVICES));
        self.start("kube-controller-manager", command)
    }
}

/// `--NAME=PATH`.
pub(super) fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}
