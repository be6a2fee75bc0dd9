//! The programs of a cluster, built once and kept.
//!
//! Nobody publishes Kubernetes' programs in a package registry, but their source is there as Go modules. Its
//! own module cannot be installed by name (it replaces its parts by folders of its repository), so a small
//! module of ours in `kube/` imports it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::go::{Go, STRIPPED};
use crate::image::{Archive, Layer};
use crate::{cache, say};

/// The Kubernetes release. From 1.36 on the kubelet no longer works with containerd 1.x, which is what
/// Debian 12 has.
pub const VERSION: &str = "1.35.4";

const HELM: &str = "helm.sh/helm/v4/cmd/helm@v4.3.1";

/// One module, because most of each program is what they all import. So `CoreDNS` is of a release that asks
/// for this Kubernetes' client.
const PROGRAMS: [&str; 7] = [
    "coredns",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
];

/// A file of a Go module: its path in the module, its text.
type Source = (&'static str, &'static str);

macro_rules! sources {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../", $folder, "/", $path)))),*]
    };
}

const KUBERNETES: &[Source] = sources!("kube":
    "go.mod",
    "go.sum",
    "coredns/main.go",
    "etcd/main.go",
    "kube-apiserver/main.go",
    "kube-controller-manager/main.go",
    "kube-proxy/main.go",
    "kube-scheduler/main.go",
    "kubelet/main.go",
);

const INSIDE: &[Source] = sources!("kube/inside":
    "ask/main.go",
    "go.mod",
    "init/main.go",
    "pause/main.go",
);

/// The folder that holds etcd, `CoreDNS` and the programs of Kubernetes, under their own names.
///
/// # Errors
/// They are not in the cache and cannot be built: no Go, no network.
pub fn kubernetes() -> Result<PathBuf> {
    let key = format!("kubernetes/{VERSION}-{}", hash(KUBERNETES));
    cache::entry(&key, |folder| {
        say::step(format!(
            "building Kubernetes {VERSION} from its Go modules: once, about five minutes on two cores"
        ));
        let version = format!("{STRIPPED} -X k8s.io/component-base/version.gitVersion=v{VERSION}");
        build(KUBERNETES, &PROGRAMS, &version, folder)
    })
}

/// The folder that holds our own: `init`, process 1 of a node, `pause`, process 1 of every pod, and `ask`.
///
/// # Errors
/// As [`kubernetes`].
pub fn inside() -> Result<PathBuf> {
    let key = format!("kubernetes/inside-{}", hash(INSIDE));
    cache::entry(&key, |folder| {
        build(INSIDE, &["init", "pause", "ask"], STRIPPED, folder)
    })
}

/// The name of the image that [`ask_image`] writes.
pub const ASK_IMAGE: &str = "lowtide.invalid/ask:1";

/// Writes the archive of [`ASK_IMAGE`]: a program that sends one GET to the address it is given and prints the
/// answer, to an `https` address with the token of its pod's service account.
///
/// # Errors
/// As [`kubernetes`]; the archive cannot be written.
pub fn ask_image(archive: &Path) -> Result<()> {
    let image = Archive::new()
        .layer(Layer::new().file("/ask", inside()?.join("ask"), 0o755))
        .entrypoint(["/ask"])
        .user("65532:65532");
    image.write(archive, ASK_IMAGE).map(drop)
}

/// Helm.
///
/// # Errors
/// As [`kubernetes`].
pub fn helm() -> Result<PathBuf> {
    let version = HELM.rsplit('@').next().unwrap_or(HELM);
    let folder = cache::entry(&format!("kubernetes/helm-{version}"), |folder| {
        say::step(format!(
            "building helm {version}: once, about two minutes on two cores"
        ));
        Go::ensure()?.install(HELM, folder)
    })?;
    Ok(folder.join("helm"))
}

fn build(sources: &[Source], programs: &[&str], flags: &str, folder: &Path) -> Result<()> {
    let go = Go::ensure()?;
    let module = tempfile::tempdir().context("scratch folder")?;
    for (path, text) in sources {
        let file = module.path().join(path);
        fs::create_dir_all(file.parent().unwrap_or(module.path()))?;
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    }
    go.build(module.path(), programs, flags, folder)
}

fn hash(sources: &[Source]) -> String {
    let mut hash = Sha256::new();
    for (path, text) in sources {
        for part in [path.as_bytes(), text.as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hex::encode(&hash.finalize()[..6])
}
