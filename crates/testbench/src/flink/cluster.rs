//! One cluster: a JobManager, TaskManagers, a scratch folder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::configuration::{self, Keys};
use super::warm::{self, ClassData};
use super::{Distribution, Release, ZooKeeper, plugin};
use crate::port::Port;
use crate::process::Bound;
use crate::s3::S3Server;
use crate::{http, java, say};

/// Two JVMs on two busy cores; alone they take about five seconds.
const START_TIMEOUT: Duration = Duration::from_mins(5);

/// A JVM's exit in good order, with writing its class data.
const STOP_TIMEOUT: Duration = Duration::from_mins(1);

/// A kind of process that a cluster has.
struct Role {
    /// The first part of its logs' names.
    name: &'static str,
    class: &'static str,
    memory: &'static [&'static str],
}

const JOB_MANAGER: Role = Role {
    name: "jobmanager",
    class: "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
    memory: &configuration::JOB_MANAGER_MEMORY,
};

const TASK_MANAGER: Role = Role {
    name: "taskmanager",
    class: "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
    memory: &configuration::TASK_MANAGER_MEMORY,
};

/// What a cluster is to be like; made by [`Cluster::builder`].
#[derive(Debug, Clone)]
pub struct Builder<'z> {
    release: Release,
    zookeeper: Option<&'z ZooKeeper>,
    task_managers: usize,
    slots: usize,
    keys: Keys,
    class_data: Option<ClassData>,
    plugins: bool,
    changelog_in_files: bool,
}

impl<'z> Builder<'z> {
    /// How many TaskManagers there are; 1 unless told.
    #[must_use]
    pub fn task_managers(mut self, count: usize) -> Self {
        self.task_managers = count;
        self
    }

    /// How many slots each TaskManager has; 4 unless told.
    #[must_use]
    pub fn slots(mut self, count: usize) -> Self {
        self.slots = count;
        self
    }

    /// Its JobManager can be killed and started again without losing its jobs. The ZooKeeper must outlive
    /// the cluster.
    #[must_use]
    pub fn high_availability(mut self, zookeeper: &'z ZooKeeper) -> Self {
        self.zookeeper = Some(zookeeper);
        self
    }

    /// The checkpoint timeout of all jobs that set none; Flink's own default is ten minutes.
    #[must_use]
    pub fn checkpoint_timeout(self, timeout: Duration) -> Self {
        self.config(
            "execution.checkpointing.timeout",
            format!("{} ms", timeout.as_millis()),
        )
    }

    /// State goes to files of its own however small it is. Flink's default keeps what is below 20 KB in
    /// `_metadata`, so that a small job's savepoint may have no other file.
    #[must_use]
    pub fn state_in_files(self) -> Self {
        self.state_in_files_from(0)
    }

    /// State goes to files of its own from this many kilobytes on; smaller state stays in `_metadata`.
    #[must_use]
    pub fn state_in_files_from(self, kilobytes: u32) -> Self {
        let key = configuration::inline_threshold_key(self.release);
        self.config(key, format!("{kilobytes} kb"))
    }

    /// Jobs that keep a changelog keep it in files of the scratch folder; Flink's default keeps it in memory.
    #[must_use]
    pub fn changelog_in_files(mut self) -> Self {
        self.changelog_in_files = true;
        self
    }

    /// The cluster knows no savepoint directory of its own: a request must name one.
    #[must_use]
    pub fn without_savepoint_directory(self) -> Self {
        let key = configuration::savepoint_directory_key(self.release);
        self.config(key, "")
    }

    /// It reaches this server as `s3://` and `s3a://`, by Flink's own S3 plugin. The server must outlive the
    /// cluster.
    #[must_use]
    pub fn s3(mut self, server: &S3Server) -> Self {
        self.plugins = true;
        self.keys.extend(server.flink_keys());
        self
    }

    /// The directory that the cluster reports for savepoints, where it is not one in its scratch folder.
    #[must_use]
    pub fn savepoints_in(self, location: &str) -> Self {
        let key = configuration::savepoint_directory_key(self.release);
        self.config(key, location)
    }

    /// One more configuration key, or another value for one of ours; an empty value removes the key.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.insert(key.into(), value.into());
        self
    }

    /// What its JVMs do about class data, where they are not to use the cached archive.
    pub(super) fn class_data(mut self, class_data: ClassData) -> Self {
        self.class_data = Some(class_data);
        self
    }

    /// Starts it and waits until all TaskManagers have registered.
    ///
    /// # Errors
    /// As [`Release::ensure`] and [`java::bin`]; a process ends, or the cluster is not ready in time. The
    /// message holds the end of the log.
    pub fn start(self) -> Result<Cluster> {
        let distribution = self.release.ensure()?;
        let class_data = match self.class_data {
            Some(told) => Some(told),
            None => warm::class_data(self.release)?,
        };
        let plugins = if self.plugins {
            Some(plugin::s3_plugin(self.release)?)
        } else {
            None
        };
        let started = Instant::now();
        say::step(format!("starting Flink {}", self.release.version()));
        let scratch = tempfile::Builder::new()
            .prefix("lowtide-flink-")
            .tempdir()?;
        for name in ["savepoints", "checkpoints", "log", "tmp", "upload"] {
            fs::create_dir(scratch.path().join(name))?;
        }
        let (rest_port, rpc_port) = (Port::reserve()?, Port::reserve()?);
        let mut keys = configuration::common(
            self.release,
            scratch.path(),
            rest_port.number(),
            rpc_port.number(),
        );
        if let Some(zookeeper) = self.zookeeper {
            let name = scratch
                .path()
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            keys.extend(zookeeper.keys(self.release, &name, rpc_port.number()));
        }
        keys.insert(
            "taskmanager.numberOfTaskSlots".into(),
            self.slots.to_string(),
        );
        if self.changelog_in_files {
            keys.extend(configuration::changelog(scratch.path()));
        }
        keys.extend(self.keys);
        keys.retain(|_, value| !value.is_empty());
        configuration::write(self.release, &scratch.path().join("conf"), &keys)?;
        let cluster = Cluster {
            url: format!("http://127.0.0.1:{}", rest_port.number()),
            distribution,
            class_data,
            plugins,
            slots: self.slots,
            running: Mutex::new(Running {
                job_manager: None,
                task_managers: (0..self.task_managers).map(|_| None).collect(),
                incarnations: 0,
            }),
            uploaded: Mutex::new(Vec::new()),
            scratch,
            _ports: [rest_port, rpc_port],
        };
        cluster.start_job_manager()?;
        for index in 0..self.task_managers {
            cluster.start_task_manager(index)?;
        }
        cluster.wait_ready()?;
        say::step(format!(
            "Flink {} answers at {} after {:.1} s",
            self.release.version(),
            cluster.url,
            started.elapsed().as_secs_f32()
        ));
        Ok(cluster)
    }
}

/// A running cluster. All methods take `&self`, so that a test's thread or a proxy's hook may kill what
/// another one uses. When it is dropped its processes are killed and its files removed.
#[derive(Debug)]
pub struct Cluster {
    pub(super) url: String,
    pub(super) distribution: Distribution,
    class_data: Option<ClassData>,
    plugins: Option<PathBuf>,
    slots: usize,
    // Before `scratch`: processes end first, then their files go.
    running: Mutex<Running>,
    /// Jar file and the id it has on the cluster.
    pub(super) uploaded: Mutex<Vec<(PathBuf, String)>>,
    scratch: TempDir,
    _ports: [Port; 2],
}

#[derive(Debug)]
struct Running {
    job_manager: Option<Bound>,
    task_managers: Vec<Option<Bound>>,
    incarnations: usize,
}

/// One line `Triggering checkpoint N (type=SavepointType…` of a JobManager's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavepointTrigger {
    /// The number Flink gave it.
    pub checkpoint_id: u64,
    /// The job.
    pub job_id: String,
    /// When it began it, in milliseconds since the Unix epoch, by its own clock.
    pub at_ms: u64,
    /// What is in the parentheses after `type=`.
    pub kind: String,
}

/// A directory `savepoint-…` beneath a cluster's savepoint root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SavepointDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it holds a `_metadata`: Flink's commit point.
    pub has_metadata: bool,
}

impl Cluster {
    /// What a cluster of `release` is to be like.
    pub fn builder(release: Release) -> Builder<'static> {
        Builder {
            zookeeper: None,
            release,
            task_managers: 1,
            slots: 4,
            keys: Keys::new(),
            class_data: None,
            plugins: false,
            changelog_in_files: false,
        }
    }

    /// The address of its REST API: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its release.
    pub fn release(&self) -> Release {
        self.distribution.release()
    }

    /// Its scratch folder: `savepoints`, `checkpoints`, `log`, `conf`.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The directories `chk-N` of a job's checkpoints that have a `_metadata`: those that Flink retains,
    /// lowest number first.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn retained_checkpoints(&self, job: &str) -> Result<Vec<PathBuf>> {
        let folder = self.scratch.path().join("checkpoints").join(job);
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number: Option<u64> = name.strip_prefix("chk-").and_then(|it| it.parse().ok());
            if let Some(number) = number
                && path.join("_metadata").is_file()
            {
                found.push((number, path));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// The folder that the cluster reports as its savepoint directory.
    pub fn savepoint_root(&self) -> PathBuf {
        self.scratch.path().join("savepoints")
    }

    /// Kills the JobManager with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn kill_job_manager(&self) -> Result<()> {
        if let Some(mut child) = self.running().job_manager.take() {
            child.kill()?;
        }
        // A new one has no jar of the old one.
        lock(&self.uploaded).clear();
        Ok(())
    }

    /// Starts the JobManager, again at the same address with the same configuration, and returns at once:
    /// [`Cluster::wait_ready`] waits.
    ///
    /// # Errors
    /// It runs already, or cannot be started.
    pub fn start_job_manager(&self) -> Result<()> {
        let mut running = self.running();
        ensure!(running.job_manager.is_none(), "the JobManager runs already");
        running.incarnations += 1;
        let name = format!("{}-{}", JOB_MANAGER.name, running.incarnations);
        running.job_manager = Some(self.spawn(&JOB_MANAGER, &name, &[])?);
        Ok(())
    }

    /// Ends all its processes in good order (SIGTERM), the JobManager last.
    pub(super) fn terminate(&self) -> Result<()> {
        let mut running = self.running();
        let task_managers: Vec<_> = running.task_managers.iter_mut().map(Option::take).collect();
        for child in task_managers
            .into_iter()
            .chain([running.job_manager.take()])
            .flatten()
        {
            child.terminate(STOP_TIMEOUT)?;
        }
        Ok(())
    }

    /// Kills one TaskManager (counted from 0) with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn kill_task_manager(&self, index: usize) -> Result<()> {
        if let Some(mut child) = self.running().task_managers[index].take() {
            child.kill()?;
        }
        Ok(())
    }

    /// Starts one TaskManager (counted from 0) and returns at once: [`Cluster::wait_ready`] waits.
    ///
    /// # Errors
    /// It runs already, or cannot be started.
    pub fn start_task_manager(&self, index: usize) -> Result<()> {
        let mut running = self.running();
        ensure!(
            running.task_managers[index].is_none(),
            "TaskManager {index} runs already"
        );
        running.incarnations += 1;
        let name = format!("{}-{index}-{}", TASK_MANAGER.name, running.incarnations);
        let id = format!("-Dtaskmanager.resource-id={name}");
        running.task_managers[index] = Some(self.spawn(&TASK_MANAGER, &name, &[id])?);
        Ok(())
    }

    /// Waits until REST answers and all TaskManagers that run have registered.
    ///
    /// # Errors
    /// A process ended or time is up; the message holds the end of the log.
    pub fn wait_ready(&self) -> Result<()> {
        let wanted = self.running().task_managers.iter().flatten().count();
        let ready = http::until("the cluster", START_TIMEOUT, || {
            if let Some(name) = self.ended()? {
                return Ok(Some(Err(name)));
            }
            let overview = http::get(&self.url, "/overview")?;
            let count = |key: &str| overview[key].as_u64().and_then(|n| usize::try_from(n).ok());
            let all = count("taskmanagers") == Some(wanted)
                && count("slots-total") == Some(wanted * self.slots);
            Ok(all.then_some(Ok(())))
        });
        match ready {
            Ok(Ok(())) => Ok(()),
            Ok(Err(name)) => bail!("the {name} ended by itself\n{}", self.log_tail()),
            Err(error) => Err(error.context(self.log_tail())),
        }
    }

    /// Every savepoint that a JobManager of this cluster has begun, over all its incarnations, in order:
    /// what really happened, whatever a client believes.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn savepoint_triggers(&self) -> Result<Vec<SavepointTrigger>> {
        let mut found = Vec::new();
        for path in self.logs("jobmanager-")? {
            let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            found.extend(String::from_utf8_lossy(&text).lines().filter_map(trigger));
        }
        Ok(found)
    }

    /// All directories `savepoint-…` beneath the savepoint root, sorted.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn savepoint_directories(&self) -> Result<Vec<SavepointDirectory>> {
        savepoint_directories(&self.savepoint_root())
    }

    /// The log files whose name begins with `prefix` (`jobmanager-`, `taskmanager-0-`), oldest first.
    ///
    /// # Errors
    /// The log folder cannot be read.
    pub fn logs(&self, prefix: &str) -> Result<Vec<PathBuf>> {
        let mut found: Vec<(usize, PathBuf)> = fs::read_dir(self.scratch.path().join("log"))?
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let stem = name.strip_suffix(".log")?;
                let incarnation = stem.rsplit('-').next()?.parse().ok()?;
                stem.starts_with(prefix)
                    .then(|| (incarnation, entry.path()))
            })
            .collect();
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// GET on the REST API.
    ///
    /// # Errors
    /// As [`http::get`].
    pub fn get(&self, path: &str) -> Result<Value> {
        http::get(&self.url, path)
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        lock(&self.running)
    }

    fn spawn(&self, role: &Role, name: &str, more: &[String]) -> Result<Bound> {
        let folder = self.scratch.path();
        let log = folder.join("log").join(format!("{name}.log"));
        let out = File::create(log.with_extension("out"))?;
        let mut command = java::command()?;
        command.args(role.memory);
        command.args(self.class_data.iter().map(|it| it.flag(role.name)));
        command.args(logging(folder, &log));
        command
            .arg("-cp")
            .arg(self.distribution.class_path())
            .arg(role.class);
        command
            .arg("--configDir")
            .arg(folder.join("conf"))
            .args(more);
        if let Some(plugins) = &self.plugins {
            command.env("FLINK_PLUGINS_DIR", plugins);
        }
        command.stdout(out.try_clone()?).stderr(out);
        command.current_dir(folder);
        Bound::start(command)
    }

    /// The name of a process that ended although nobody killed it.
    fn ended(&self) -> Result<Option<&'static str>> {
        let mut running = self.running();
        if let Some(child) = &mut running.job_manager
            && child.ended()?.is_some()
        {
            return Ok(Some("JobManager"));
        }
        for child in running.task_managers.iter_mut().flatten() {
            if child.ended()?.is_some() {
                return Ok(Some("TaskManager"));
            }
        }
        Ok(None)
    }

    fn log_tail(&self) -> String {
        const LINES: usize = 15;
        let mut text = String::new();
        for path in self.logs("").unwrap_or_default() {
            for path in [path.with_extension("out"), path] {
                let whole = fs::read(&path).unwrap_or_default();
                let whole = String::from_utf8_lossy(&whole);
                let lines: Vec<&str> = whole.lines().collect();
                let from = lines.len().saturating_sub(LINES);
                text = [
                    &text,
                    "---",
                    &path.to_string_lossy(),
                    &lines[from..].join("\n"),
                ]
                .join("\n");
            }
        }
        text
    }
}

/// The log line is the same in all releases:
/// `Triggering checkpoint 3 (type=SavepointType{name='Savepoint', …}) @ 1700000000000 for job 0123….`
fn trigger(line: &str) -> Option<SavepointTrigger> {
    let (_, rest) = line.split_once("Triggering checkpoint ")?;
    let (number, rest) = rest.split_once(" (type=SavepointType")?;
    let (kind, rest) = rest.split_once(") @ ")?;
    let (at_ms, job) = rest.split_once(" for job ")?;
    Some(SavepointTrigger {
        checkpoint_id: number.parse().ok()?,
        at_ms: at_ms.parse().ok()?,
        job_id: job.trim_end_matches('.').to_owned(),
        kind: format!("SavepointType{kind}"),
    })
}

/// All directories `savepoint-…` beneath `root`, sorted.
///
/// # Errors
/// A directory cannot be read.
pub fn savepoint_directories(root: &Path) -> Result<Vec<SavepointDirectory>> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let path = entry.path();
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with("savepoint-")
            {
                let has_metadata = path.join("_metadata").is_file();
                found.push(SavepointDirectory { path, has_metadata });
            } else {
                left.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The flags that send a JVM's log to `log`.
pub(super) fn logging(scratch: &Path, log: &Path) -> [OsString; 2] {
    let property = |name: &str, value: &Path| {
        let mut flag = OsString::from(name);
        flag.push(value);
        flag
    };
    [
        property("-Dlog.file=", log),
        property(
            "-Dlog4j.configurationFile=file:",
            &scratch.join("conf/log4j.properties"),
        ),
    ]
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked elsewhere must not hide its own message behind ours.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
