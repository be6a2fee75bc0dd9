//! Holding a running job's savepoints still, without sleeps.
//!
//! `StatefulApp` looks for files in its control folder while it takes a snapshot: a test makes one, waits
//! until the job says that it stands there, does what it came for, and removes it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::http::until;

/// How long the asynchronous part of a snapshot takes.
const SLOW: &str = "slow-ms";
/// How long the keyed operator takes for a record.
const SLOW_RECORDS: &str = "slow-record-ms";

/// A part of a task's snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// On the task's own thread: a failure here fails the task.
    Sync,
    /// On the thread that writes the state: a failure here declines the checkpoint.
    Async,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

/// The control folder of one job.
#[derive(Debug, Clone)]
pub struct Control {
    folder: PathBuf,
}

impl Control {
    /// Uses `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on, every snapshot stops in this part until [`Control::unblock`].
    ///
    /// # Errors
    /// The folder cannot be written; so for all methods below.
    pub fn block(&self, part: Part) -> Result<()> {
        self.forget_blocked()?;
        self.make(&format!("block-{}", part.name()))
    }

    /// Lets all snapshots go on, and forgets who was blocked.
    pub fn unblock(&self) -> Result<()> {
        self.remove("block-sync")?;
        self.remove("block-async")?;
        self.forget_blocked()
    }

    /// Waits until `subtasks` subtasks stand blocked in one snapshot, and returns its checkpoint id.
    pub fn wait_blocked(&self, subtasks: usize, limit: Duration) -> Result<u64> {
        until(&format!("{subtasks} blocked subtasks"), limit, || {
            let mut ids = self.blocked()?;
            ids.sort_unstable();
            Ok(ids
                .chunk_by(|a, b| a == b)
                .find(|same| same.len() >= subtasks)
                .map(|same| same[0]))
        })
    }

    /// From now on, every snapshot fails in this part.
    pub fn fail(&self, part: Part) -> Result<()> {
        self.make(&format!("fail-{}", part.name()))
    }

    /// From now on, every task fails as soon as it runs.
    pub fn crash(&self) -> Result<()> {
        self.make("crash")
    }

    /// Ends [`Control::fail`], [`Control::crash`], [`Control::slow`] and [`Control::slow_records`].
    pub fn heal(&self) -> Result<()> {
        for name in ["fail-sync", "fail-async", "crash", SLOW, SLOW_RECORDS] {
            self.remove(name)?;
        }
        Ok(())
    }

    /// From now on, the asynchronous part of every subtask's snapshot takes this long.
    pub fn slow(&self, time: Duration) -> Result<()> {
        self.tell_ms(SLOW, time)
    }

    /// From now on, the keyed operator takes this long for each record. At a rate above that, what is in
    /// front of it fills up: back-pressure.
    pub fn slow_records(&self, time: Duration) -> Result<()> {
        self.tell_ms(SLOW_RECORDS, time)
    }

    fn tell_ms(&self, name: &str, time: Duration) -> Result<()> {
        // Renamed into place: the job may read at any moment.
        let written = self.folder.join(format!(".{name}"));
        fs::write(&written, time.as_millis().to_string())?;
        fs::rename(written, self.folder.join(name)).with_context(|| format!("rename {name}"))
    }

    /// The sources come to their end: the job ends as FINISHED.
    pub fn finish(&self) -> Result<()> {
        self.make("finish")
    }

    /// The checkpoint ids of `blocked-<checkpoint id>-<subtask>`.
    fn blocked(&self) -> Result<Vec<u64>> {
        Ok(self
            .blocked_files()?
            .iter()
            .filter_map(|name| name.split('-').nth(1)?.parse().ok())
            .collect())
    }

    fn forget_blocked(&self) -> Result<()> {
        self.blocked_files()?
            .iter()
            .try_for_each(|name| self.remove(name))
    }

    fn blocked_files(&self) -> Result<Vec<String>> {
        let names = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.file_name()));
        let names: Vec<_> = names.collect::<Result<_>>()?;
        let names = names.into_iter().filter_map(|name| name.into_string().ok());
        Ok(names.filter(|name| name.starts_with("blocked-")).collect())
    }

    fn make(&self, name: &str) -> Result<()> {
        fs::write(self.folder.join(name), "").with_context(|| format!("write {name}"))
    }

    fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {name}"))
            }
            _ => Ok(()),
        }
    }
}
