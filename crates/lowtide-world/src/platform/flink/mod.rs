//! Apache Flink's REST API, releases 1.15 to 2.3.
//!
//! A Flink cluster says less than it seems to. HTTP 202 to a request for a savepoint only means
//! that the request was read; a failed savepoint is `COMPLETED` with a failure cause; a 404 for a
//! trigger id means "never heard of it, or forgotten". So every answer is taken for what it says
//! and no more, and whatever does not come from Flink itself (a proxy's page, a cut connection)
//! is a fault or, for the one request that must not happen twice, [`Reply::Unclear`].

mod answer;
mod failure;
mod metrics;
mod settings;
mod vitals;
mod wire;

use std::time::{Duration, Instant};

use lowtide_core::compare::{Plan, Vertex};
use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::gate::Vitals;
use lowtide_core::name::{JobId, Location};
use lowtide_core::resolve::{JobSeen, JobState};
use lowtide_core::run::{Attempt, Cause, CauseKind, Operation, Reply};
use tokio::sync::Mutex;

pub use super::http::{Auth, SettingsError, TIMEOUT};
use super::http::{Endpoint, POST_TIMEOUT_MAX, Peer, Trouble};
use crate::kubernetes::ServiceProxy;
use crate::shared::Shared;
use answer::Answer;
pub(super) use failure::classify;
use metrics::Freshness;
pub use settings::Settings;
use wire::Cluster;

/// Most bytes of `/jobs/overview`: a thousand jobs have about half a megabyte.
const JOBS_BYTES_MAX: usize = 32 << 20;
/// Most bytes of `/jobs/:id`: it holds the plan, and plans of SQL jobs have megabytes.
const JOB_BYTES_MAX: usize = 16 << 20;
/// Most bytes of an answer about a savepoint: failure causes have 30 to 200 KB.
const OPERATION_BYTES_MAX: usize = 4 << 20;
/// Most bytes of everything else.
const SMALL_BYTES_MAX: usize = 2 << 20;
/// How long `/jobmanager/config` is taken to be as it was read: it changes only with a new
/// process, and the gate asks once a second.
const CLUSTER_FRESH: Duration = Duration::from_mins(1);
/// Most source vertices whose back-pressure is asked for, one request each.
const SOURCES_MAX: usize = 8;

/// Who answers.
const PEER: Peer = Peer {
    name: "Flink's JobManager",
    one: "a JobManager",
    short: "Flink",
};

/// A client of one cluster.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    post_timeout: Duration,
    cluster: Mutex<Option<(Instant, Cluster)>>,
    metrics: Freshness,
    listing: Shared<Vec<JobSeen>>,
}

impl Client {
    /// Prepares a client; reads certificates and keys, sends nothing.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self::of(
            Endpoint::new(&settings.connection(), PEER)?,
            settings.timeout,
        ))
    }

    /// Prepares a client of a cluster that is reached through a Kubernetes API server; sends
    /// nothing.
    pub(crate) fn through(proxy: ServiceProxy, timeout: Duration) -> Result<Self, SettingsError> {
        Ok(Self::of(Endpoint::through(proxy, timeout, PEER)?, timeout))
    }

    fn of(endpoint: Endpoint, timeout: Duration) -> Self {
        Self {
            endpoint,
            post_timeout: timeout.min(POST_TIMEOUT_MAX),
            cluster: Mutex::new(None),
            metrics: Freshness::default(),
            listing: Shared::default(),
        }
    }

    /// Every job that the cluster lists, ended ones too; runs that ask at once share an answer.
    pub async fn jobs(&self) -> Result<Vec<JobSeen>, Fault> {
        self.jobs_within(Duration::ZERO).await
    }

    /// The same, for who would rather have an answer of this age than ask.
    pub(crate) async fn jobs_within(&self, age_max: Duration) -> Result<Vec<JobSeen>, Fault> {
        self.listing.ask_within(age_max, || self.list()).await
    }

    async fn list(&self) -> Result<Vec<JobSeen>, Fault> {
        let overview: wire::Overview = self.get("/jobs/overview", JOBS_BYTES_MAX).await?;
        overview.jobs.into_iter().map(job_seen).collect()
    }

    /// Reads the cluster's configuration for the first gate.
    pub async fn greet(&self) {
        // Who is at the gate asks again, and is told what is wrong.
        let _ = self.cluster().await;
    }

    /// What the job looks like just now: its details and then its source vertices, beside that
    /// its checkpoints and their configuration.
    pub async fn vitals(&self, job: &JobId) -> Result<Vitals, Fault> {
        let id = job.as_str();
        let (details, (checkpoints, config), cluster) =
            tokio::join!(self.details(id), self.checkpoints(id), self.cluster());
        let (job, back_pressured) = details?;
        let read = vitals::Read {
            checkpoints: unless_gone(checkpoints)?,
            config: unless_gone(config)?,
            cluster: cluster?,
            back_pressured,
            job,
        };
        vitals::vitals(&read)
    }

    /// The job's details, and whether a source of it is held back.
    async fn details(&self, id: &str) -> Result<(wire::Job, Option<bool>), Fault> {
        let job: wire::Job = self.get(&format!("/jobs/{id}"), JOB_BYTES_MAX).await?;
        let back_pressured = self.back_pressured(id, &job).await;
        Ok((job, back_pressured))
    }

    /// The job's checkpoints, then their configuration: over one connection, since another one
    /// costs more than the second answer.
    async fn checkpoints(
        &self,
        id: &str,
    ) -> (
        Result<wire::Checkpoints, Fault>,
        Result<wire::CheckpointConfig, Fault>,
    ) {
        let path = format!("/jobs/{id}/checkpoints");
        let checkpoints = self.get(&path, SMALL_BYTES_MAX).await;
        let config = self.get(&format!("{path}/config"), SMALL_BYTES_MAX).await;
        (checkpoints, config)
    }

    /// The job's plan: its vertices, each the first operator of a chain.
    pub async fn plan(&self, job: &JobId) -> Result<Plan, Fault> {
        let planned: wire::Planned = self.get(&format!("/jobs/{job}"), JOB_BYTES_MAX).await?;
        let vertices = planned.vertices.iter().map(vertex);
        Ok(Plan {
            vertices: vertices.collect::<Result<_, _>>()?,
        })
    }

    /// Asks for a savepoint, once.
    pub async fn trigger(&self, attempt: &Attempt) -> Reply {
        let Some(own) = &attempt.directory else {
            return Reply::NotSent(crate::no_directory());
        };
        let path = format!("/jobs/{}/savepoints", attempt.job);
        let trigger_id = attempt.trigger_id.to_string();
        let body = wire::Trigger {
            target_directory: own.target.as_str(),
            format_type: attempt.format.as_flink(),
            id: &trigger_id,
        };
        let answer = self
            .endpoint
            .post(&path, &body, self.post_timeout, SMALL_BYTES_MAX)
            .await;
        match answer {
            Ok(answer) => reply(&answer.into(), &trigger_id),
            Err(Trouble::NotSent(fault)) => Reply::NotSent(fault),
            Err(Trouble::Unclear(fault)) => Reply::Unclear(fault),
        }
    }

    /// Asks what became of the attempt's trigger id: one request, and one more after a 404.
    pub async fn operation(&self, attempt: &Attempt) -> Result<Operation, Fault> {
        let path = format!("/jobs/{}/savepoints/{}", attempt.job, attempt.trigger_id);
        let answer = Answer::from(self.endpoint.get(&path, OPERATION_BYTES_MAX).await?);
        if answer.status == 404 && answer.flink_error().is_some_and(is_unknown_trigger) {
            // Not `/jobs/:id`: that one comes from a cache of three seconds, in which an older
            // incarnation may live on, and "the same incarnation" allows the request to be
            // repeated.
            let jobs = self.list().await?;
            let job = jobs.into_iter().find(|job| job.id == attempt.job);
            return Ok(Operation::NotFound {
                job_started_at: job.map(|job| job.started_at),
            });
        }
        operation(answer.json()?)
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        bytes_max: usize,
    ) -> Result<T, Fault> {
        Answer::from(self.endpoint.get(path, bytes_max).await?).json()
    }

    /// The cluster's own configuration, as read within [`CLUSTER_FRESH`].
    async fn cluster(&self) -> Result<Cluster, Fault> {
        // Held while reading: several runs at the gate then share one request.
        let mut kept = self.cluster.lock().await;
        if let Some((at, cluster)) = &*kept
            && at.elapsed() < CLUSTER_FRESH
        {
            return Ok(cluster.clone());
        }
        let entries: Vec<wire::Entry> = self.get("/jobmanager/config", SMALL_BYTES_MAX).await?;
        let cluster = Cluster::of(&entries);
        *kept = Some((Instant::now(), cluster.clone()));
        Ok(cluster)
    }

    /// Whether a source is held back; `None` where that cannot be told: it never fails a gate.
    async fn back_pressured(&self, job: &str, details: &wire::Job) -> Option<bool> {
        let sources: Vec<&str> = details.sources().collect();
        let asked = sources.iter().take(SOURCES_MAX).map(|vertex| async move {
            let path = format!("/jobs/{job}/vertices/{vertex}/backpressure");
            let answer: wire::BackPressure = self.get(&path, SMALL_BYTES_MAX).await.ok()?;
            let fetched_ms = answer.fetched_ms()?;
            let believed = self.metrics.believes(fetched_ms, details.now);
            answer.is_high().filter(|_| believed)
        });
        let levels = futures_util::future::join_all(asked).await;
        if levels.contains(&Some(true)) {
            return Some(true);
        }
        let all_known = !levels.is_empty()
            && sources.len() <= SOURCES_MAX
            && levels.iter().all(Option::is_some);
        all_known.then_some(false)
    }
}

fn job_seen(job: wire::OverviewJob) -> Result<JobSeen, Fault> {
    // Ids become parts of paths.
    if !wire::is_id(&job.jid) {
        return Err(
            Fault::permanent("the platform lists a job whose id is none of Flink's")
                .hint("does `url:` lead to Flink's REST API?"),
        );
    }
    Ok(JobSeen {
        id: JobId::new(job.jid),
        name: job.name,
        state: state(&job.state),
        started_at: wire::timestamp(job.start_time)?,
    })
}

fn vertex(vertex: &wire::PlannedVertex) -> Result<Vertex, Fault> {
    let id = vertex.id.parse().map_err(|_| {
        Fault::permanent("the platform lists a vertex whose id is none of Flink's")
            .hint("does `url:` lead to Flink's REST API?")
    })?;
    let max_parallelism = vertex.max_parallelism;
    Ok(Vertex {
        id,
        name: crate::text::one_line(&vertex.name),
        parallelism: vertex.parallelism,
        max_parallelism: max_parallelism
            .and_then(|max| u32::try_from(max).ok())
            .filter(|max| *max > 0),
    })
}

/// What a word of Flink's `JobStatus` means.
fn state(word: &str) -> JobState {
    match word {
        "INITIALIZING" | "CREATED" | "RECONCILING" => JobState::Starting,
        "RUNNING" => JobState::Running,
        "RESTARTING" | "FAILING" => JobState::Restarting,
        "CANCELLING" | "SUSPENDED" => JobState::Stopping,
        "FINISHED" => JobState::Finished,
        "CANCELED" => JobState::Cancelled,
        "FAILED" => JobState::Failed,
        _ => JobState::Other,
    }
}

/// A part of the vitals that a job may lack: one that has just been submitted has no checkpoint
/// statistics yet, and Flink answers 404.
fn unless_gone<T>(part: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match part {
        Ok(part) => Ok(Some(part)),
        Err(fault) if fault.kind == FaultKind::Gone => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Whether a 404 is about the trigger id: `SavepointHandlers` since Flink 1.15, and
/// `AbstractAsynchronousOperationHandlers` before.
fn is_unknown_trigger(error: &str) -> bool {
    error.contains("There is no savepoint operation with triggerId")
        || error.contains("Operation not found under key")
}

fn reply(answer: &Answer, trigger_id: &str) -> Reply {
    match (answer.status, answer.flink_error()) {
        (202, _) => match answer.json::<wire::Triggered>() {
            Ok(triggered) if triggered.request_id == trigger_id => Reply::Accepted,
            Ok(_) => Reply::Unclear(
                Fault::transient("the platform accepted the request under another id")
                    .hint("Lowtide needs Flink 1.15 or later"),
            ),
            Err(fault) => Reply::Unclear(fault),
        },
        (400, Some(error)) => Reply::Refused(failure::refusal(error)),
        // The request has not been applied (RFC 9110, 15.5.2 and 15.5.4).
        (401 | 403, _) => {
            let fault = answer.fault();
            let cause = Cause::new(CauseKind::Denied, fault.text);
            Reply::Refused(match fault.hint {
                Some(hint) => cause.hint(hint),
                None => cause,
            })
        }
        _ => Reply::Unclear(answer.fault()),
    }
}

fn operation(answer: wire::Operation) -> Result<Operation, Fault> {
    let result = answer.result.unwrap_or_default();
    match (answer.status.id.as_str(), result) {
        ("IN_PROGRESS", _) => Ok(Operation::InProgress),
        (
            "COMPLETED",
            wire::OperationResult {
                failure_cause: Some(failure),
                ..
            },
        ) => Ok(Operation::Failed(failure::classify(&failure.stack_trace))),
        (
            "COMPLETED",
            wire::OperationResult {
                location: Some(location),
                ..
            },
        ) => Ok(Operation::Completed(Location::new(location))),
        ("COMPLETED", _) => Err(Fault::permanent(
            "the platform says that the savepoint completed, but neither where nor why it failed",
        )),
        (other, _) => Err(Fault::permanent(format!(
            "the platform says `{}` of the savepoint, which this release does not know",
            crate::text::one_line(other)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_flink_s_job_status_is_known() {
        // `org.apache.flink.api.common.JobStatus`, the same from 1.15 to 2.3.
        let words = [
            "INITIALIZING",
            "CREATED",
            "RUNNING",
            "FAILING",
            "FAILED",
            "CANCELLING",
            "CANCELED",
            "FINISHED",
            "RESTARTING",
            "SUSPENDED",
            "RECONCILING",
        ];
        for word in words {
            assert_ne!(state(word), JobState::Other, "{word}");
        }
        assert_eq!(state("running"), JobState::Other);
        assert!(state("CANCELED").is_ended() && !state("CANCELLING").is_ended());
    }
}
