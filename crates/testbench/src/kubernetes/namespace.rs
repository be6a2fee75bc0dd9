//! A network, mounts and processes of one's own.
//!
//! Everything that a node does to a machine (interfaces, firewall rules, mounts, files beneath `/run`) it does
//! in here, and all of it is gone when process 1 ends: the kernel ends every process of the namespace, and
//! with the last of them the network and the mounts. Process 1 ends with `unshare`, which ends with us.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::door::Door;
use super::part::{Part, Place};
use super::{address, packages};
use crate::http::until;
use crate::process;

const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The kernel waits for all processes of the namespace before process 1 is gone.
const END_TIMEOUT: Duration = Duration::from_mins(1);

/// Where programs of a node write although nothing tells them to; the machine's own stay as they are.
const OWN_FOLDERS: [&str; 4] = ["/run", "/var/log", "/var/lib/cni", "/var/lib/kubelet"];

/// The bridge that joins the node and its pods.
pub(super) const BRIDGE: &str = "lt0";

/// Running namespaces; all in them ends when this is dropped.
#[derive(Debug)]
pub(super) struct Namespace {
    unshare: Part,
    /// Process 1, by the id it has out here.
    first: u32,
    door: Door,
}

impl Namespace {
    /// Starts `init` in namespaces of its own and sets up mounts and network.
    ///
    /// # Errors
    /// Namespaces are not permitted, or a command of the setup fails.
    pub(super) fn start(init: &Path, scratch: &Path) -> Result<Self> {
        for folder in OWN_FOLDERS {
            ensure!(
                !scratch.starts_with(folder),
                "{} lies in {folder}, which a node covers with its own: set TMPDIR to another folder",
                scratch.display()
            );
            fs::create_dir_all(folder).with_context(|| format!("create {folder}"))?;
        }
        let socket = scratch.join("door");
        let mut command = process::bound("unshare");
        command
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child"])
            .args(["--mount-proc", "--propagation", "private", "--"])
            .arg(init)
            .arg(&socket);
        let mut unshare = Part::start("namespace", command, &scratch.join("log"))?;
        let door = Door::new(socket);
        let first = until("process 1 of the node", START_TIMEOUT, || {
            if let Err(error) = unshare.check() {
                return Ok(Some(Err(
                    error.context("namespaces of one's own need root with CAP_SYS_ADMIN")
                )));
            }
            Ok(if door.is_open() {
                child(unshare.id())?.map(Ok)
            } else {
                None
            })
        })??;
        let namespace = Self {
            unshare,
            first,
            door,
        };
        namespace.mounts()?;
        namespace.network()?;
        Ok(namespace)
    }

    pub(super) fn place(&self) -> Place {
        Place::Inside(self.first)
    }

    pub(super) fn door(&self) -> &Door {
        &self.door
    }

    fn mounts(&self) -> Result<()> {
        OWN_FOLDERS.iter().try_for_each(|folder| {
            self.run(
                "mount",
                &["-t", "tmpfs", "-o", "mode=0755", "lowtide-node", folder],
            )
        })
    }

    fn network(&self) -> Result<()> {
        let ip = |arguments: &str| {
            let words: Vec<_> = arguments.split(' ').collect();
            self.run("ip", &words)
        };
        ip("link set lo up")?;
        ip(&format!("link add {BRIDGE} type bridge"))?;
        ip(&format!("addr add {} dev {BRIDGE}", address::BRIDGE))?;
        ip(&format!("link set {BRIDGE} up"))?;
        // kube-proxy and the kubelet want to see one. It leads nowhere.
        ip(&format!("route add default dev {BRIDGE}"))?;
        self.run("sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.place().contained(program);
        command.args(arguments).env("PATH", packages::path());
        process::output(command)
            .with_context(|| format!("{program} {}", arguments.join(" ")))
            .map(drop)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Process 1 first: only whoever waits for it knows when all others are gone, and that is `unshare`.
        let mut kill = process::bound("kill");
        kill.args(["-KILL", &self.first.to_string()]);
        let ended = process::output(kill).and_then(|_| {
            until("the node's processes to end", END_TIMEOUT, || {
                Ok(self.unshare.check().is_err().then_some(()))
            })
        });
        if let Err(error) = ended {
            crate::say::step(format!("end a node: {error:#}"));
        }
    }
}

/// The only child of a process, if it has one yet.
fn child(parent: u32) -> Result<Option<u32>> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let first = text.split_ascii_whitespace().next();
    first
        .map(|id| {
            id.parse()
                .map_err(|error| anyhow!("process id {id:?}: {error}"))
        })
        .transpose()
}
