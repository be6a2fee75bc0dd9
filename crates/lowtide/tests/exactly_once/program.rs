//! The program from outside: a configuration, processes, signals.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testbench::http::until;
use testbench::process::{Bound, bound};

/// The one platform's name.
pub const PLATFORM: &str = "flink";

/// A folder with one catalog, any number of configurations, and what the processes said.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    processes: AtomicU32,
    /// The last slot of each application, in seconds since the Unix epoch.
    slots: Mutex<BTreeMap<String, i64>>,
}

/// What a configuration says of one application.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    /// Its name and its job's.
    pub name: &'a str,
    /// Its interval; none: no schedule.
    pub every: Option<&'a str>,
}

impl Home {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("lowtide-once-").tempdir()?;
        fs::create_dir(folder.path().join("said"))?;
        Ok(Self {
            folder,
            processes: AtomicU32::new(0),
            slots: Mutex::new(BTreeMap::new()),
        })
    }

    /// Where the catalog is.
    pub fn catalog(&self) -> PathBuf {
        self.folder.path().join("catalog.db")
    }

    /// Keeps the folder, for whoever looks into a failure.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// Writes a configuration over the one catalog. The gate is told not to be patient: jobs here
    /// are always young, and a restart minutes ago is what these tests are about.
    pub fn config(&self, file: &str, url: &str, applications: &[Listed<'_>]) -> Result<PathBuf> {
        let mut text = format!(
            "catalog: {{ sqlite: \"{}\" }}\n\
             platforms:\n  {PLATFORM}: {{ flink: {{ url: \"{url}\", concurrency: 1000 }} }}\n\
             defaults: {{ patience: 1s }}\n\
             applications:\n",
            self.catalog().display(),
        );
        for Listed { name, every } in applications {
            let every = every.map_or_else(String::new, |every| format!(", every: {every}"));
            writeln!(text, "  - {{ name: {name}{every} }}")?;
        }
        let path = self.folder.path().join(format!("{file}.yaml"));
        fs::write(&path, text)?;
        Ok(path)
    }

    /// A slot that the application did not have yet: about now, in whole seconds.
    pub fn next_slot(&self, application: &str) -> Result<String> {
        let mut slots = self.slots.lock().expect("no thread panics with it");
        let last = slots.entry(application.to_owned()).or_default();
        *last = Timestamp::now().as_second().max(*last + 1);
        Ok(Timestamp::from_second(*last)?.to_string())
    }

    /// Starts the program.
    pub fn start(
        &self,
        config: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Process> {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let said = self.folder.path().join("said").join(format!(
            "{number:04}-{}-{}",
            arguments[0],
            config.file_stem().unwrap_or_default().display()
        ));
        let out = File::create(&said)?;
        let mut command: Command = bound(env!("CARGO_BIN_EXE_lowtide"));
        command
            .arg("--config")
            .arg(config)
            .arg("-v")
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(self.folder.path())
            .stdout(out.try_clone()?)
            .stderr(out);
        Ok(Process {
            child: Bound::start(command)?,
            said,
        })
    }

    /// Starts the program and waits for its end.
    pub fn run(
        &self,
        config: &Path,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<(ExitStatus, Process)> {
        let mut process = self.start(config, arguments, &[])?;
        Ok((process.wait(limit)?, process))
    }
}

/// A process of the program.
#[derive(Debug)]
pub struct Process {
    child: Bound,
    said: PathBuf,
}

impl Process {
    /// Waits for its end, however it comes.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let said = self.said.clone();
        until("the program to end", limit, || self.child.ended())
            .with_context(|| format!("it said:\n{}", read(&said)))
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> Result<bool> {
        Ok(self.child.ended()?.is_some())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        signal_to(self.id(), signal)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the kernel has stopped it.
    pub fn wait_stopped(&mut self, limit: Duration) -> Result<()> {
        let path = format!("/proc/{}/stat", self.id());
        until("the program to be stopped", limit, || {
            if self.ended()? {
                bail!("it ended instead:\n{}", self.said());
            }
            let stat = fs::read_to_string(&path)?;
            // The state is the first field after the name, which stands in parentheses.
            let state = stat.rsplit(')').next().map(str::trim_start);
            Ok(state
                .is_some_and(|state| state.starts_with('T'))
                .then_some(()))
        })
    }

    /// Whether it holds SQLite's write lock: byte 120 of the WAL index, by the file format's
    /// description of `WAL_WRITE_LOCK`.
    pub fn is_committing(&self) -> Result<bool> {
        const WAL_WRITE_LOCK: u64 = 120;
        let id = self.id().to_string();
        let locks = fs::read_to_string("/proc/locks")?;
        // "7: POSIX  ADVISORY  WRITE 4711 fe:00:1234 120 120"
        Ok(locks.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let number = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
            fields.get(3) == Some(&"WRITE")
                && fields.get(4) == Some(&id.as_str())
                && number(6).is_some_and(|from| from <= WAL_WRITE_LOCK)
                && number(7).is_some_and(|to| to >= WAL_WRITE_LOCK)
        }))
    }

    /// The end of what it wrote.
    pub fn said(&self) -> String {
        read(&self.said)
    }
}

/// The end of a file, as much as a message holds.
fn read(path: &Path) -> String {
    const LINES: usize = 30;
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Sends a signal to a process that this test started.
pub fn signal_to(id: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(id)
        .ok()
        .and_then(Pid::from_raw)
        .context("a process id")?;
    kill_process(pid, signal).context("send a signal")
}

/// Whether it was SIGKILL that ended a process.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}
