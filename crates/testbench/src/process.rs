//! Child processes that cannot outlive us.
//!
//! A test that is killed runs no destructors, and a JVM left behind holds memory and ports. So each child
//! is started through `setpriv --pdeathsig KILL`, which asks the kernel to kill it with its parent. The
//! kernel ties that wish to the parent *thread*, and tests run on threads that end early: so one thread,
//! which lives as long as the process, starts all children.

use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::http::until;

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

fn spawner() -> &'static mpsc::Sender<Order> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for (mut command, reply) in inbox {
                    // Whoever asked waits for the answer; if it is gone, the child is dropped with it.
                    let _ = reply.send(command.spawn());
                }
            })
            .expect("a process that cannot start one thread cannot test anything");
        orders
    })
}

fn spawn(command: Command) -> Result<Child> {
    let what = format!("{command:?}");
    let (reply, answer) = mpsc::channel();
    spawner()
        .send((command, reply))
        .map_err(|_| anyhow!("the spawner thread is gone"))?;
    answer
        .recv()
        .map_err(|_| anyhow!("the spawner thread is gone"))?
        .with_context(|| format!("start {what}"))
}

/// A command that the kernel kills when this process dies, with nothing on its standard input.
pub fn bound(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .stdin(Stdio::null());
    command
}

/// A running child; killed and waited for when dropped.
#[derive(Debug)]
pub struct Bound {
    child: Child,
}

impl Bound {
    /// Starts a command made by [`bound`].
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(command: Command) -> Result<Self> {
        Ok(Self {
            child: spawn(command)?,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, where the command piped it; once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, where the command piped it; once.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Kills it with SIGKILL and waits until it is gone; returns how it ended.
    ///
    /// # Errors
    /// The kernel refuses the signal or the wait.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        // It may have ended by itself; the wait tells.
        let _ = self.child.kill();
        self.child.wait().context("wait for a killed child")
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// It has not ended within `limit`; it is killed then.
    pub fn terminate(mut self, limit: Duration) -> Result<()> {
        let mut ask = bound("kill");
        ask.args(["-TERM", &self.id().to_string()]);
        output(ask)?;
        until("a child to end", limit, || Ok(self.ended()?.map(|_| ())))
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// The kernel refuses the wait.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("look whether a child ended")
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// The kernel refuses the wait.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().context("wait for a child")
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Runs a command made by [`bound`] to its end and returns its standard output.
///
/// # Errors
/// It cannot be started, or ends other than with success: then the message holds what it printed.
pub fn output(mut command: Command) -> Result<String> {
    let what = format!("{:?}", command.get_args().skip(3).collect::<Vec<_>>());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawn(command)?
        .wait_with_output()
        .with_context(|| format!("wait for {what}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{what} ended with {}\n{}\n{}",
            output.status,
            stdout.trim(),
            stderr.trim()
        );
    }
    Ok(stdout)
}
