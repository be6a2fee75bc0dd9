//! What comes from Debian: containerd, runc, the CNI plugins, iptables.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::java;

/// A program or plugin, and the Debian package that has it.
const NEEDED: [(&str, &str); 6] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
];

const CNI_PACKAGE: &str = "containernetworking-plugins";

/// Debian's folder of CNI plugins, and the one that their own releases use.
const CNI_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

const CNI_PLUGINS: [&str; 3] = ["bridge", "host-local", "loopback"];

/// Where programs for root are, which a PATH may lack.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// The variable that leaves tests out, and the word for this kind.
const WITHOUT: (&str, &str) = ("LOWTIDE_WITHOUT", "containers");

/// Installs what is missing and returns the folder of the CNI plugins.
///
/// # Errors
/// We are not root, or something is missing and cannot be installed; the message holds the command to run.
pub fn ensure() -> Result<PathBuf> {
    require_root()?;
    let mut missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if cni_folder().is_none() {
        missing.push(CNI_PACKAGE);
    }
    missing.dedup();
    if !missing.is_empty() {
        java::debian(&missing.join(" "), "what runs containers")?;
    }
    for (program, package) in NEEDED {
        find(program).with_context(|| format!("{package} is installed, but has no {program}"))?;
    }
    cni_folder()
        .with_context(|| format!("{CNI_PACKAGE} is installed, but its plugins are not there"))
}

/// The PATH for programs that look for others.
pub(super) fn path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    let folders = own.split(':').chain(SYSTEM_FOLDERS);
    folders
        .filter(|it| !it.is_empty())
        .collect::<Vec<_>>()
        .join(":")
}

/// Whether tests that run containers are to be left out: `LOWTIDE_WITHOUT` holds the word `containers`. Says
/// in one line which test that is.
pub fn left_out(test: &str) -> bool {
    let without = std::env::var(WITHOUT.0).unwrap_or_default();
    let left_out = without.split(',').any(|word| word.trim() == WITHOUT.1);
    if left_out {
        crate::say::step(format!(
            "left out: {test} ({}={without}: this machine runs no containers)",
            WITHOUT.0
        ));
    }
    left_out
}

fn require_root() -> Result<()> {
    let id = Command::new("id")
        .arg("-u")
        .output()
        .context("ask who we are")?;
    if id.stdout.trim_ascii() != b"0" {
        bail!(
            "running pods needs root (namespaces, mounts, control groups); without it, set {}={} to \
             leave these tests out",
            WITHOUT.0,
            WITHOUT.1
        );
    }
    Ok(())
}

fn find(program: &str) -> Option<PathBuf> {
    let path = path();
    let mut places = path.split(':').map(|it| Path::new(it).join(program));
    places.find(|it| it.is_file())
}

fn cni_folder() -> Option<PathBuf> {
    let mut folders = CNI_FOLDERS.iter().map(PathBuf::from);
    folders.find(|it| CNI_PLUGINS.iter().all(|plugin| it.join(plugin).is_file()))
}
