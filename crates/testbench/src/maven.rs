//! Artifacts of Maven's repositories, where no other registry carries them.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{java, process};

/// The goal that fetches one artifact, without any project.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy";

/// Fetches one artifact (`GROUP:NAME:VERSION`) into a folder, without what it depends on.
///
/// # Errors
/// No Maven and no root to install it, no network, no such artifact.
pub(crate) fn copy(artifact: &str, folder: &Path) -> Result<()> {
    let mut probe = process::bound("mvn");
    probe.arg("--version");
    if process::output(probe).is_err() {
        java::debian("maven", "mvn")?;
    }
    let mut maven = process::bound("mvn");
    maven.args(["--quiet", "--batch-mode", COPY]);
    maven.arg(format!("-Dartifact={artifact}"));
    maven.arg(format!("-DoutputDirectory={}", folder.display()));
    process::output(maven)
        .with_context(|| format!("fetch {artifact} (needs network)"))
        .map(drop)
}
