//! Who is who in one cluster: its authority, certificates, kubeconfig files, service-account keys.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::proxy::{Authority, Identity};

/// Names and addresses under which the API server is reached, from within the cluster and from without.
const API_SERVER_NAMES: [&str; 8] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    super::address::API_SERVICE,
    super::address::NODE,
];

/// The name of the only context, cluster and user of every kubeconfig here.
pub(super) const CONTEXT: &str = "lowtide-test";

/// A user that a certificate names: `CN` is the user, `O` its groups, as Kubernetes' X.509 authentication
/// reads them.
#[derive(Debug, Clone, Copy)]
pub(super) struct User {
    /// The name of the files.
    pub file: &'static str,
    common_name: &'static str,
    groups: &'static [&'static str],
}

pub(super) const ADMIN: User = User {
    file: "admin",
    common_name: "lowtide-test-admin",
    groups: &["system:masters"],
};

pub(super) const CONTROLLER_MANAGER: User = User {
    file: "controller-manager",
    common_name: "system:kube-controller-manager",
    groups: &[],
};

pub(super) const SCHEDULER: User = User {
    file: "scheduler",
    common_name: "system:kube-scheduler",
    groups: &[],
};

pub(super) const KUBELET: User = User {
    file: "kubelet",
    common_name: "system:node:node1",
    groups: &["system:nodes"],
};

pub(super) const PROXY: User = User {
    file: "proxy",
    common_name: "system:kube-proxy",
    groups: &[],
};

/// For what acts as nobody in particular; rights come from a binding to this group.
pub(super) const DNS: User = User {
    file: "dns",
    common_name: "lowtide-test-dns",
    groups: &["system:masters"],
};

/// The credentials of one cluster, as files in one folder.
#[derive(Debug)]
pub(super) struct Credentials {
    folder: PathBuf,
    authority: Authority,
}

impl Credentials {
    /// Makes the authority, the API server's certificate and the key pair that signs service-account tokens.
    pub(super) fn make(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let credentials = Self {
            folder,
            authority: Authority::new()?,
        };
        credentials.write("ca.crt", &credentials.authority.certificate_pem())?;
        let names = API_SERVER_NAMES.map(str::to_owned).to_vec();
        credentials.keep(
            "api-server",
            &credentials.authority.issue("kube-apiserver", &[], names)?,
        )?;
        let tokens = KeyPair::generate().context("make the key of service accounts")?;
        credentials.write("service-accounts.key", &tokens.serialize_pem())?;
        credentials.write("service-accounts.pub", &tokens.public_key_pem())?;
        Ok(credentials)
    }

    /// The path of one file: `ca.crt`, `api-server.crt`, `admin.key`, …
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The authority's certificate, PEM.
    pub(super) fn authority_pem(&self) -> String {
        self.authority.certificate_pem()
    }

    /// Certificate and key of a user, also kept as `NAME.crt` and `NAME.key`.
    pub(super) fn user(&self, user: User) -> Result<Identity> {
        let identity = self
            .authority
            .issue(user.common_name, user.groups, Vec::new())?;
        self.keep(user.file, &identity)?;
        Ok(identity)
    }

    /// Writes a kubeconfig for a user, who talks to the API server at `address`.
    pub(super) fn kubeconfig(&self, user: User, address: SocketAddr) -> Result<PathBuf> {
        let identity = self.user(user)?;
        let who = json!({
            "client-certificate-data": STANDARD.encode(identity.certificate_pem),
            "client-key-data": STANDARD.encode(identity.key_pem),
        });
        let path = self.path(&format!("{}.kubeconfig", user.file));
        self.write_kubeconfig(&path, address, &who, "default")?;
        Ok(path)
    }

    /// Writes a kubeconfig for whoever has `token`.
    pub(super) fn kubeconfig_for_token(
        &self,
        name: &str,
        address: SocketAddr,
        token: &str,
        namespace: &str,
    ) -> Result<PathBuf> {
        let path = self.path(&format!("{name}.kubeconfig"));
        self.write_kubeconfig(&path, address, &json!({ "token": token }), namespace)?;
        Ok(path)
    }

    /// JSON is YAML, and every reader of kubeconfig files takes it.
    fn write_kubeconfig(
        &self,
        path: &Path,
        address: SocketAddr,
        user: &Value,
        namespace: &str,
    ) -> Result<()> {
        let name = CONTEXT;
        let whole = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": name, "cluster": {
                "server": format!("https://{address}"),
                "certificate-authority-data": STANDARD.encode(self.authority_pem()),
            }}],
            "users": [{ "name": name, "user": user }],
            "contexts": [{ "name": name, "context": {
                "cluster": name, "user": name, "namespace": namespace,
            }}],
            "current-context": name,
        });
        let text = serde_json::to_string_pretty(&whole).expect("a value can always be written");
        write_private(path, &text)
    }

    fn keep(&self, name: &str, identity: &Identity) -> Result<()> {
        self.write(&format!("{name}.crt"), &identity.certificate_pem)?;
        self.write(&format!("{name}.key"), &identity.key_pem)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        write_private(&self.path(name), text)
    }
}

/// kubectl and Helm complain about a kubeconfig that others can read.
fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("create {}", path.display()))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("write {}", path.display()))
}
