//! What Flink's own reader says about a `_metadata`: the oracle for ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Release;
use crate::{java, process};

const CLASS: &str = "MetadataDump";
const SOURCE: &str = include_str!("../../java/MetadataDump.java");

const LOAD_CLASS: &str = "MetadataLoad";
const LOAD_SOURCE: &str = include_str!("../../java/MetadataLoad.java");

/// A JVM that reads `path` with `Checkpoints.loadCheckpointMetadata` of `release`, once for each line it is given,
/// and prints nanoseconds and bytes of state each time (`java/MetadataLoad.java`). `flags` are those of the JVM,
/// which has no others.
///
/// # Errors
/// As [`Release::ensure`] and [`java::bin`]; the source does not compile.
pub fn load_metadata(release: Release, path: &Path, flags: &[&str]) -> Result<Command> {
    let distribution = release.ensure()?;
    let lib = distribution.lib();
    let jar = java::jar(release.version(), lib, LOAD_CLASS, LOAD_SOURCE)?;
    let class_path = std::env::join_paths([jar, distribution.class_path()])?;
    let mut command = process::bound(java::bin()?.join("java"));
    command.args(flags);
    command.args(["-Dlog4j2.disable.jmx=true", "-cp"]);
    command.arg(class_path).arg(LOAD_CLASS).arg(path);
    Ok(command)
}

/// Reads each `_metadata` file with `Checkpoints.loadCheckpointMetadata` of `release`, in one JVM, and
/// returns one JSON object per path, in order. `java/MetadataDump.java` says what is in it; a file that
/// Flink refuses gives `{"file": …, "error": …}`.
///
/// # Errors
/// As [`Release::ensure`] and [`java::bin`]; the JVM fails.
pub fn dump_metadata(release: Release, paths: &[impl AsRef<Path>]) -> Result<Vec<Value>> {
    let distribution = release.ensure()?;
    let jar = java::jar(release.version(), distribution.lib(), CLASS, SOURCE)?;
    let class_path = std::env::join_paths([jar, distribution.class_path()])?;
    let mut command = java::command()?;
    command
        .args(["-Xmx256m", "-Dlog4j2.disable.jmx=true", "-cp"])
        .arg(class_path)
        .arg(CLASS);
    command.args(paths.iter().map(|path| path.as_ref().as_os_str()));
    let printed = process::output(command)?;
    let dumps: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("parse {line}")))
        .collect::<Result<_>>()?;
    let asked: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
    ensure!(
        dumps.len() == asked.len(),
        "asked for {asked:?}, got {} lines",
        dumps.len()
    );
    Ok(dumps)
}
