//! One program of a node, and where it runs.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process::{self, Bound};

/// How much of a log an error shows.
const TAIL_LINES: usize = 15;

/// Where the programs of a node run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// As any other process, on loopback.
    Here,
    /// In the network and the mounts of the process with this id.
    Inside(u32),
}

impl Place {
    /// A command that runs there and ends with us. Inside, it sees the node's network and mounts but is a
    /// process of ours: the kernel's wish to kill it with its parent survives the change of namespaces.
    pub(super) fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Here => process::bound(program),
            Self::Inside(target) => {
                let mut command = process::bound("nsenter");
                command.args(["--net", "--mount", "--target", &target.to_string(), "--"]);
                command.arg(program);
                command
            }
        }
    }

    /// The same, and in the node's process namespace: for what starts containers, which must all end with
    /// process 1. Killing the command kills `nsenter`, not the program.
    pub(super) fn contained(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Here => process::bound(program),
            Self::Inside(target) => {
                let mut command = process::bound("nsenter");
                let target = target.to_string();
                command.args(["--net", "--mount", "--pid", "--target", &target, "--"]);
                command.arg(program);
                command
            }
        }
    }
}

/// A running program, with its output in a log.
#[derive(Debug)]
pub(super) struct Part {
    name: &'static str,
    child: Bound,
    log: PathBuf,
}

impl Part {
    /// Starts it; its log goes into `folder`, after that of an earlier one of the same name.
    pub(super) fn start(name: &'static str, mut command: Command, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let log = folder.join(format!("{name}.log"));
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open {}", log.display()))?;
        command.stdout(out.try_clone()?).stderr(out);
        let child = Bound::start(command).with_context(|| format!("start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Its process id. Behind [`Place::contained`] that of `nsenter`.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill().map(drop)
    }

    /// An error where it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.ended()? {
            bail!("{} ended with {status}\n{}", self.name, tail(&self.log));
        }
        Ok(())
    }

    /// The end of its log.
    pub(super) fn tail(&self) -> String {
        tail(&self.log)
    }
}

fn tail(log: &Path) -> String {
    let whole = fs::read(log).unwrap_or_default();
    let whole = String::from_utf8_lossy(&whole);
    let lines: Vec<&str> = whole.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    format!("--- {}\n{}", log.display(), lines[from..].join("\n"))
}
