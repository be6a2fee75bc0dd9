//! Flink's own command line, for comparison.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::cluster::{self, Cluster};
use crate::{java, process};

const CLASS: &str = "org.apache.flink.client.cli.CliFrontend";

impl Cluster {
    /// Runs `flink savepoint JOB_ID DIRECTORY` as the distribution's shell script would, with Java's default
    /// flags, and returns how long it took (wall time) and what it printed.
    ///
    /// # Errors
    /// It cannot be started, or reports a failure.
    pub fn cli_savepoint(&self, job_id: &str, directory: &Path) -> Result<(Duration, String)> {
        let folder = self.scratch();
        let mut command = process::bound(java::bin()?.join("java"));
        command
            .args(java::OPENED)
            .args(cluster::logging(folder, &folder.join("log/cli.log")));
        command
            .arg("-cp")
            .arg(self.distribution.class_path())
            .arg(CLASS);
        command.arg("savepoint").arg(job_id).arg(directory);
        command
            .env("FLINK_CONF_DIR", folder.join("conf"))
            .current_dir(folder);
        let started = Instant::now();
        let printed = process::output(command).context("flink savepoint")?;
        Ok((started.elapsed(), printed))
    }
}
