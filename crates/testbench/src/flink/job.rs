//! Jobs: our `StatefulApp`, submitted over REST as a user would.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};

use super::cluster::{Cluster, lock};
use super::{Distribution, Release};
use crate::control::Control;
use crate::http::{self, until};
use crate::{java, say};

const CLASS: &str = "StatefulApp";
const SOURCE: &str = include_str!("../../java/StatefulApp.java");

/// From the request to the last running task; one to two seconds on an idle machine.
const START_TIMEOUT: Duration = Duration::from_mins(5);

/// The states that no job leaves.
const ENDED: [&str; 3] = ["FINISHED", "CANCELED", "FAILED"];

/// A state backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// On the heap.
    HashMap,
    /// `RocksDB`.
    RocksDb,
    /// `ForSt`, from 2.0 on: it has no canonical savepoints.
    ForSt,
}

/// What a job is to be like. [`JobSpec::named`] gives a small one.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// The job's name.
    pub name: String,
    /// Records per second, over all subtasks.
    pub rate: u32,
    /// Parallelism of every operator.
    pub parallelism: u32,
    /// Checkpoint interval; `None`: no checkpointing.
    pub checkpoint_interval: Option<Duration>,
    /// Checkpoint timeout, also of savepoints; `None`: the cluster's.
    pub checkpoint_timeout: Option<Duration>,
    /// How many failed checkpoints in a row the job survives; `None`: Flink's default, 0.
    pub tolerable_failures: Option<u32>,
    /// How often it is restarted after a failure (fixed delay of 500 ms); 0: never.
    pub restarts: u32,
    /// State backend.
    pub backend: Backend,
    /// How many keys the keyed state holds.
    pub keys: u32,
    /// Bytes of value state per key.
    pub value_bytes: u32,
    /// The control folder; `None`: a fresh one in the cluster's scratch folder.
    pub control: Option<PathBuf>,
    /// Restore from this savepoint.
    pub restore: Option<String>,
    /// What it restores from becomes Flink's own, to be deleted when it is no longer needed. From 1.15 on.
    pub claim: bool,
    /// State of what it restores from that it has no operator for is dropped instead of refused.
    pub allow_non_restored_state: bool,
    /// More arguments of the program, by name (`StatefulApp.java` lists them).
    pub arguments: Vec<(&'static str, String)>,
    /// More Flink configuration of the job.
    pub config: Vec<(String, String)>,
}

impl JobSpec {
    /// A small job: 200 records per second, parallelism 1, no checkpointing, many restarts, heap state.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            rate: 200,
            parallelism: 1,
            checkpoint_interval: None,
            checkpoint_timeout: None,
            tolerable_failures: None,
            restarts: 1_000,
            backend: Backend::HashMap,
            keys: 100,
            value_bytes: 64,
            control: None,
            restore: None,
            claim: false,
            allow_non_restored_state: false,
            arguments: Vec::new(),
            config: Vec::new(),
        }
    }

    fn arguments(&self, control: &Path) -> Vec<String> {
        let mut arguments = vec![
            ("name", self.name.clone()),
            ("rate", self.rate.to_string()),
            ("parallelism", self.parallelism.to_string()),
            ("keys", self.keys.to_string()),
            ("value-bytes", self.value_bytes.to_string()),
            ("control", control.display().to_string()),
        ]
        .into_iter()
        .chain(self.arguments.iter().cloned())
        .flat_map(|(key, value)| [format!("--{key}"), value])
        .collect::<Vec<_>>();
        for (key, value) in self.configuration() {
            arguments.extend(["--conf".to_owned(), format!("{key}={value}")]);
        }
        arguments
    }

    /// Keys that were renamed are given under both names: each release takes the one it knows.
    fn configuration(&self) -> Vec<(String, String)> {
        let ms = |time: Duration| format!("{} ms", time.as_millis());
        let backend = match self.backend {
            Backend::HashMap => "hashmap",
            Backend::RocksDb => "rocksdb",
            Backend::ForSt => "forst",
        };
        let strategy = if self.restarts == 0 {
            "none"
        } else {
            "fixed-delay"
        };
        let mut keys = vec![
            ("state.backend", backend.to_owned()),
            ("state.backend.type", backend.to_owned()),
            ("restart-strategy", strategy.to_owned()),
            ("restart-strategy.type", strategy.to_owned()),
        ];
        if self.restarts > 0 {
            keys.push((
                "restart-strategy.fixed-delay.attempts",
                self.restarts.to_string(),
            ));
            keys.push(("restart-strategy.fixed-delay.delay", "500 ms".to_owned()));
        }
        if let Some(interval) = self.checkpoint_interval {
            keys.push(("execution.checkpointing.interval", ms(interval)));
        }
        if let Some(timeout) = self.checkpoint_timeout {
            keys.push(("execution.checkpointing.timeout", ms(timeout)));
        }
        if let Some(count) = self.tolerable_failures {
            keys.push((
                "execution.checkpointing.tolerable-failed-checkpoints",
                count.to_string(),
            ));
        }
        let keys = keys.into_iter().map(|(key, value)| (key.to_owned(), value));
        keys.chain(self.config.iter().cloned()).collect()
    }
}

/// A submitted job.
#[derive(Debug, Clone)]
pub struct JobHandle {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its control folder.
    pub control: Control,
    url: String,
}

impl Cluster {
    /// Submits a [`JobSpec`] and waits until all its tasks run.
    ///
    /// # Errors
    /// The job does not compile, is refused, or does not run in time.
    pub fn submit(&self, spec: &JobSpec) -> Result<JobHandle> {
        let handle = self.submit_without_waiting(spec)?;
        handle
            .wait_running()
            .with_context(|| format!("start job {}", spec.name))?;
        Ok(handle)
    }

    /// Submits a [`JobSpec`] and returns as soon as it is accepted.
    ///
    /// # Errors
    /// The job does not compile, or is refused.
    pub fn submit_without_waiting(&self, spec: &JobSpec) -> Result<JobHandle> {
        let control = match &spec.control {
            Some(folder) => Control::new(folder)?,
            None => self.fresh_control(&spec.name)?,
        };
        let target = Target {
            url: &self.url,
            distribution: &self.distribution,
            uploaded: &self.uploaded,
        };
        let folder = control.folder().to_owned();
        target.run(spec, control, &folder)
    }

    /// The handle of a job that this cluster runs anyhow, for instance after a failover.
    pub fn job(&self, id: &str, name: &str, control: Control) -> JobHandle {
        JobHandle {
            id: id.to_owned(),
            name: name.to_owned(),
            control,
            url: self.url.clone(),
        }
    }

    /// A job that is submitted again must not meet the files of the one before it.
    fn fresh_control(&self, name: &str) -> Result<Control> {
        let parent = self.scratch().join("control");
        std::fs::create_dir_all(&parent)?;
        let folder = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(parent)?;
        Control::new(folder.keep())
    }
}

/// A REST API that takes jobs, wherever its cluster runs.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// `http://127.0.0.1:PORT`.
    pub url: &'a str,
    /// What its jars are to be compiled against.
    pub distribution: &'a Distribution,
    /// Jar file and the id it has on the cluster.
    pub uploaded: &'a Mutex<Vec<(PathBuf, String)>>,
}

impl Target<'_> {
    /// Submits a job whose control folder is `control` out here and `seen_by_job` where it runs.
    pub(crate) fn run(
        &self,
        spec: &JobSpec,
        control: Control,
        seen_by_job: &Path,
    ) -> Result<JobHandle> {
        let started = Instant::now();
        let jar = java::jar(
            self.distribution.release().version(),
            self.distribution.lib(),
            CLASS,
            SOURCE,
        )?;
        let jar = self.upload(&jar)?;
        let mut request = json!({
            "entryClass": CLASS,
            "programArgsList": spec.arguments(seen_by_job),
        });
        if let Some(path) = &spec.restore {
            request["savepointPath"] = json!(path);
        }
        if spec.allow_non_restored_state {
            request["allowNonRestoredState"] = json!(true);
        }
        if spec.claim {
            request[claim_field(self.distribution.release())] = json!("CLAIM");
        }
        let answer = http::send(self.url, "POST", &format!("/jars/{jar}/run"), &request)?;
        let id = text(&answer, "jobid")?;
        say::step(format!(
            "job {} is {id} ({:.1} s)",
            spec.name,
            started.elapsed().as_secs_f32()
        ));
        Ok(JobHandle {
            id,
            name: spec.name.clone(),
            control,
            url: self.url.to_owned(),
        })
    }

    /// Uploads a jar once, and returns the cluster's id for it.
    fn upload(&self, jar: &Path) -> Result<String> {
        let mut uploaded = lock(self.uploaded);
        if let Some((_, id)) = uploaded.iter().find(|(path, _)| path == jar) {
            return Ok(id.clone());
        }
        let answer = http::upload(self.url, "/jars/upload", "jarfile", jar)?;
        let file = text(&answer, "filename")?;
        let id = file.rsplit('/').next().unwrap_or(&file).to_owned();
        uploaded.push((jar.to_owned(), id.clone()));
        Ok(id)
    }
}

impl JobHandle {
    /// Its entry in `/jobs/overview`, which is fresher than `/jobs/<id>`.
    ///
    /// # Errors
    /// The cluster does not answer, or does not know the job.
    pub fn overview(&self) -> Result<Value> {
        let overview = http::get(&self.url, "/jobs/overview")?;
        let jobs = overview["jobs"].as_array().into_iter().flatten();
        jobs.into_iter()
            .find(|job| job["jid"] == self.id.as_str())
            .cloned()
            .ok_or_else(|| anyhow!("no job {}", self.id))
    }

    /// Its state, as in `RUNNING`.
    ///
    /// # Errors
    /// As [`JobHandle::overview`].
    pub fn state(&self) -> Result<String> {
        text(&self.overview()?, "state")
    }

    /// Waits until it and all its tasks run.
    ///
    /// # Errors
    /// It ended, or time is up; the message holds what last failed the job.
    pub fn wait_running(&self) -> Result<()> {
        let state = until("all tasks to run", START_TIMEOUT, || {
            let job = self.overview()?;
            let state = text(&job, "state")?;
            let all = job["tasks"]["running"] == job["tasks"]["total"];
            let decided = ENDED.contains(&state.as_str()) || (state == "RUNNING" && all);
            Ok(decided.then_some(state))
        })
        .map_err(|error| error.context(self.last_failure()))?;
        ensure!(
            state == "RUNNING",
            "job {} is {state}: {}",
            self.name,
            self.last_failure()
        );
        Ok(())
    }

    /// The stack trace of what last failed the job.
    pub fn last_failure(&self) -> String {
        let failures = http::get(&self.url, &format!("/jobs/{}/exceptions", self.id));
        let failures = failures.unwrap_or_default();
        let last = &failures["exceptionHistory"]["entries"][0]["stacktrace"];
        // A job that did not get as far as to have a history has the other.
        let last = last.as_str().or(failures["root-exception"].as_str());
        last.unwrap_or("no failure is known").to_owned()
    }

    /// Waits until it is in `state`.
    ///
    /// # Errors
    /// Time is up.
    pub fn wait_state(&self, state: &str, limit: Duration) -> Result<()> {
        until(&format!("job {} to be {state}", self.name), limit, || {
            Ok((self.state()? == state).then_some(()))
        })
    }

    /// Cancels it and waits until it is CANCELED.
    ///
    /// # Errors
    /// The cluster refuses, or time is up.
    pub fn cancel(&self) -> Result<()> {
        http::send(
            &self.url,
            "PATCH",
            &format!("/jobs/{}?mode=cancel", self.id),
            &json!({}),
        )?;
        self.wait_state("CANCELED", START_TIMEOUT)
    }

    /// Asks Flink for a savepoint by hand, in its own savepoint directory, and returns the trigger id.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn trigger_savepoint(&self, format: &str) -> Result<String> {
        let path = format!("/jobs/{}/savepoints", self.id);
        text(
            &http::send(&self.url, "POST", &path, &json!({ "formatType": format }))?,
            "request-id",
        )
    }

    /// Asks Flink to stop the job with a savepoint, in its own savepoint directory, and returns the trigger
    /// id, which [`JobHandle::wait_savepoint`] takes. A drained job is not meant to go on later.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn trigger_stop(&self, format: &str, drain: bool) -> Result<String> {
        let path = format!("/jobs/{}/stop", self.id);
        text(
            &http::send(
                &self.url,
                "POST",
                &path,
                &json!({ "formatType": format, "drain": drain }),
            )?,
            "request-id",
        )
    }

    /// Takes one checkpoint now, besides those of the interval, and returns its number. From Flink 1.17
    /// on.
    ///
    /// # Errors
    /// The cluster refuses, the checkpoint fails, or time is up.
    pub fn checkpoint(&self, limit: Duration) -> Result<u64> {
        let path = format!("/jobs/{}/checkpoints", self.id);
        let order = json!({ "checkpointType": "CONFIGURED" });
        let trigger = text(&http::send(&self.url, "POST", &path, &order)?, "request-id")?;
        let operation = until("the checkpoint", limit, || {
            let answer = http::get(&self.url, &format!("{path}/{trigger}"))?;
            Ok((answer["status"]["id"] == "COMPLETED").then(|| answer["operation"].clone()))
        })?;
        operation["checkpointId"]
            .as_u64()
            .ok_or_else(|| anyhow!("the checkpoint failed: {}", first_lines(&operation)))
    }

    /// Waits until the operation under `trigger` has completed, and returns Flink's `operation`: with
    /// `location`, or with `failure-cause`.
    ///
    /// # Errors
    /// The cluster does not answer with success, or time is up.
    pub fn wait_savepoint(&self, trigger: &str, limit: Duration) -> Result<Value> {
        let path = format!("/jobs/{}/savepoints/{trigger}", self.id);
        until("the savepoint", limit, || {
            let answer = http::get(&self.url, &path)?;
            Ok((answer["status"]["id"] == "COMPLETED").then(|| answer["operation"].clone()))
        })
    }
}

/// The field of a run request that says who owns what the job is restored from: renamed in 1.20.
fn claim_field(release: Release) -> &'static str {
    match release {
        Release::V1_15 | Release::V1_17 => "restoreMode",
        Release::V1_20 | Release::V2_0 | Release::V2_3 => "claimMode",
    }
}

/// The beginning of what Flink says of a failed operation; the whole is tens of kilobytes.
fn first_lines(operation: &Value) -> String {
    const LINES: usize = 40;
    let trace = operation["failure-cause"]["stack-trace"].as_str();
    let lines = trace.unwrap_or("no cause").lines().take(LINES);
    lines.collect::<Vec<_>>().join("\n")
}

fn text(value: &Value, key: &str) -> Result<String> {
    value[key]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| anyhow!("no {key} in {value}"))
}
