//! Half of a JVM's start is loading classes; the next JVM need not do it again.
//!
//! When asked to, a cluster runs a job and a savepoint under JVMs that write what they loaded to a class data
//! archive when they exit. All later clusters of that release map the archive: measured on two cores, a
//! JobManager then answers after 1.3 s instead of 1.9 s, for two thirds of the processor time. A JVM that
//! finds the archive unfit (other jars, other Java) ignores it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::{Cluster, JobSpec, Release};
use crate::{cache, java, say};

/// One savepoint of a small job on a busy machine.
const SAVEPOINT_TIMEOUT: Duration = Duration::from_mins(3);

/// What a JVM does about its class data.
#[derive(Debug, Clone)]
pub(super) enum ClassData {
    /// Use the archive in this folder.
    Read(PathBuf),
    /// Write it there at exit.
    Write(PathBuf),
}

impl ClassData {
    /// The JVM flag for one role, `jobmanager` or `taskmanager`.
    pub(super) fn flag(&self, role: &str) -> String {
        let (option, folder) = match self {
            Self::Read(folder) => ("SharedArchiveFile", folder),
            Self::Write(folder) => ("ArchiveClassesAtExit", folder),
        };
        format!("-XX:{option}={}", file(folder, role).display())
    }
}

fn file(folder: &Path, role: &str) -> PathBuf {
    folder.join(format!("{role}.jsa"))
}

/// Makes the archives of `release` where they are not in the cache yet: ten to twenty seconds, worth it for
/// whoever starts many clusters.
///
/// # Errors
/// As [`super::Builder::start`] and [`Cluster::submit`].
pub fn warm_up(release: Release) -> Result<()> {
    cache::entry(&key(release)?, |folder| record(release, folder)).map(drop)
}

/// The archives of `release`, if somebody made them.
pub(super) fn class_data(release: Release) -> Result<Option<ClassData>> {
    Ok(cache::existing(&key(release)?)?.map(ClassData::Read))
}

/// An archive fits one release of Flink and one of Java.
fn key(release: Release) -> Result<String> {
    let about_java = java::home()?.join("release");
    let about_java = fs::read(&about_java).with_context(|| about_java.display().to_string())?;
    let java = hex::encode(&Sha256::digest(about_java)[..4]);
    Ok(format!("class-data/{}-{java}", release.version()))
}

fn record(release: Release, folder: &Path) -> Result<()> {
    let started = Instant::now();
    let version = release.version();
    say::step(format!(
        "recording class data of Flink {version}, so that later starts are quicker"
    ));
    let cluster = Cluster::builder(release)
        .class_data(ClassData::Write(folder.to_owned()))
        .start()?;
    let job = cluster.submit(&JobSpec::named("warm-up"))?;
    let trigger = job.trigger_savepoint("CANONICAL")?;
    job.wait_savepoint(&trigger, SAVEPOINT_TIMEOUT)?;
    cluster.terminate()?;
    for role in ["jobmanager", "taskmanager"] {
        ensure!(
            file(folder, role).is_file(),
            "no class data of the {role} was written"
        );
    }
    say::step(format!(
        "class data is there after {:.1} s",
        started.elapsed().as_secs_f32()
    ));
    Ok(())
}
