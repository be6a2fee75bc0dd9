//! Packages of `PyPI`, which carries more than Python.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use crate::{java, process};

/// Downloads the archive of one package into `folder`, without what it depends on.
///
/// For a source archive pip also runs the package's `setup.py` to learn its metadata. That takes a second
/// and a setuptools from the index, and is the price of pip finding the index as this machine is set up.
///
/// # Errors
/// No pip and no root to install it, no network, no such release.
pub(crate) fn download(package: &str, version: &str, folder: &Path) -> Result<PathBuf> {
    pip(
        &[
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--quiet",
            "--dest",
        ],
        folder,
        package,
        version,
    )?;
    std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .next()
        .ok_or_else(|| anyhow!("pip downloaded nothing"))
}

/// Installs one package into `folder`, without what it depends on: a wheel's files with their modes.
///
/// # Errors
/// As [`download`].
pub(crate) fn install(package: &str, version: &str, folder: &Path) -> Result<()> {
    pip(
        &[
            "install",
            "--no-deps",
            "--no-cache-dir",
            "--quiet",
            "--target",
        ],
        folder,
        package,
        version,
    )
}

fn pip(arguments: &[&str], folder: &Path, package: &str, version: &str) -> Result<()> {
    let mut probe = process::bound("python3");
    probe.args(["-m", "pip", "--version"]);
    if process::output(probe).is_err() {
        java::debian("python3-pip", "pip")?;
    }
    let mut pip = process::bound("python3");
    pip.args(["-m", "pip"]).args(arguments).arg(folder);
    pip.arg(format!("{package}=={version}"));
    process::output(pip)
        .with_context(|| format!("fetch {package} {version} (needs network)"))
        .map(drop)
}
