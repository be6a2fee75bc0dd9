//! One ZooKeeper from Flink's own jars, so that a cluster can be highly available.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::configuration::Keys;
use super::{Release, cluster};
use crate::port::Port;
use crate::process::Bound;
use crate::{http, java, say};

const CLASS: &str = "org.apache.flink.runtime.zookeeper.FlinkZooKeeperQuorumPeer";
const START_TIMEOUT: Duration = Duration::from_mins(3);

/// ZooKeeper's unit of time. It allows sessions of 2 to 20 ticks.
const TICK_MS: u32 = 500;

/// How long a killed JobManager still counts as the leader: short, as every failover test waits for it, yet
/// longer than a stall of a busy machine.
const SESSION_TIMEOUT_MS: u32 = 4_000;

/// A running ZooKeeper. It must outlive the clusters that use it.
#[derive(Debug)]
pub struct ZooKeeper {
    // Before `scratch`: the process ends first, then its files go.
    _process: Bound,
    port: Port,
    scratch: TempDir,
}

impl ZooKeeper {
    /// Starts the one that comes with `release` and waits until it answers.
    ///
    /// # Errors
    /// As [`Release::ensure`] and [`java::bin`]; it does not answer in time.
    pub fn start(release: Release) -> Result<Self> {
        let distribution = release.ensure()?;
        say::step(format!(
            "starting ZooKeeper from Flink {}",
            release.version()
        ));
        let scratch = tempfile::Builder::new()
            .prefix("lowtide-zookeeper-")
            .tempdir()?;
        let port = Port::reserve()?;
        let folder = scratch.path();
        fs::create_dir(folder.join("conf"))?;
        fs::create_dir(folder.join("ha"))?;
        fs::write(
            folder.join("conf/log4j.properties"),
            super::configuration::LOGGING,
        )?;
        let text = format!(
            "tickTime={TICK_MS}\ndataDir={data}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\nserver.1=127.0.0.1:2888:3888\n",
            data = folder.join("data").display(),
            port = port.number(),
        );
        let file = folder.join("conf/zoo.cfg");
        fs::write(&file, text).context("write zoo.cfg")?;
        let log = folder.join("zookeeper.log");
        let mut command = java::command()?;
        command
            .args(["-Xmx64m", "-Xss512k"])
            .args(cluster::logging(folder, &log));
        command.arg("-cp").arg(distribution.class_path()).arg(CLASS);
        command
            .arg("--zkConfigFile")
            .arg(&file)
            .args(["--peerId", "1"]);
        let out = File::create(folder.join("zookeeper.out"))?;
        command
            .stdout(out.try_clone()?)
            .stderr(out)
            .current_dir(folder);
        let mut process = Bound::start(command)?;
        let answering = http::until("ZooKeeper", START_TIMEOUT, || {
            if process.ended()?.is_some() {
                return Ok(Some(false));
            }
            std::net::TcpStream::connect(("127.0.0.1", port.number()))?;
            Ok(Some(true))
        })?;
        if !answering {
            let said = fs::read_to_string(folder.join("zookeeper.out")).unwrap_or_default();
            bail!("ZooKeeper ended by itself: {said}");
        }
        Ok(Self {
            _process: process,
            port,
            scratch,
        })
    }

    /// What a cluster is told to use it; `name` tells clusters that share one apart.
    pub(super) fn keys(&self, release: Release, name: &str, rpc_port: u16) -> Keys {
        let kind = match release {
            Release::V1_15 => "high-availability",
            Release::V1_17 | Release::V1_20 | Release::V2_0 | Release::V2_3 => {
                "high-availability.type"
            }
        };
        let storage = format!("file://{}", self.storage().display());
        [
            (kind, "zookeeper".into()),
            (
                "high-availability.zookeeper.quorum",
                format!("127.0.0.1:{}", self.port.number()),
            ),
            ("high-availability.storageDir", storage),
            ("high-availability.cluster-id", format!("/{name}")),
            ("high-availability.jobmanager.port", rpc_port.to_string()),
            (
                "high-availability.zookeeper.client.session-timeout",
                SESSION_TIMEOUT_MS.to_string(),
            ),
            (
                "high-availability.zookeeper.client.retry-wait",
                "500".into(),
            ),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// The folder that holds what is too large for ZooKeeper: job graphs, checkpoint pointers.
    pub fn storage(&self) -> std::path::PathBuf {
        Path::join(self.scratch.path(), "ha")
    }
}
