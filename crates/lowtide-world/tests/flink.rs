//! The hands against a real Flink: what they report is what Flink did.
//!
//! One cluster for each release, one after the other; each step takes a savepoint or provokes
//! one refusal.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::name::{JobId, Location, PlatformName, RunId, TriggerId};
use lowtide_core::ports::World;
use lowtide_core::resolve::JobState;
use lowtide_core::run::{Attempt, CauseKind, Operation, OwnDirectory, Reply};
use lowtide_core::savepoint::Format;
use lowtide_core::verify;
use lowtide_world::Hands;
use lowtide_world::flink::Settings;
use lowtide_world::platform::PlatformSettings;
use testbench::control::Part;
use testbench::flink::{Backend, Cluster, JobHandle, JobSpec, Release};

/// For everything that a small job does.
const LIMIT: Duration = Duration::from_mins(3);
/// Two clusters at once would only wait for each other on two cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn flink_2_3() -> Result<()> {
    all(Release::V2_3)
}

#[test]
fn flink_1_15() -> Result<()> {
    all(Release::V1_15)
}

fn all(release: Release) -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::builder(release)
        .config("rest.async.store-duration", "90 s")
        .start()?;
    let job = cluster.submit(&JobSpec {
        parallelism: 2,
        checkpoint_interval: Some(Duration::from_mins(10)),
        tolerable_failures: Some(3),
        ..JobSpec::named("orders")
    })?;
    let bench = Bench {
        hands: hands(cluster.url())?,
        platform: PlatformName::new("flink")?,
        cluster,
        attempts: Mutex::new(0),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            bench.jobs_and_vitals(&job).await.context("vitals")?;
            bench.savepoints(&job).await.context("savepoints")?;
            bench.unknown_ids(&job).await.context("unknown ids")?;
            bench.bad_targets(&job).await.context("bad targets")?;
            bench.failing_tasks(&job).await.context("failing tasks")?;
            bench.expiry().await.context("expiry")?;
            if release == Release::V2_3 {
                bench.for_st().await.context("ForSt")?;
            }
            bench.wrong_base_path().await.context("wrong base path")
        })
}

fn hands(url: &str) -> Result<Hands> {
    let mut settings = Settings::new(url.parse()?);
    settings.timeout = Duration::from_secs(20);
    let platforms = BTreeMap::from([(
        PlatformName::new("flink")?,
        PlatformSettings::Flink(settings),
    )]);
    Ok(Hands::new(platforms)?)
}

struct Bench {
    cluster: Cluster,
    hands: Hands,
    platform: PlatformName,
    attempts: Mutex<u32>,
}

impl Bench {
    /// A new attempt, with a directory of its own below `base`.
    fn attempt(&self, job: &str, base: &Location, format: Format) -> Attempt {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        *attempts += 1;
        let now = Timestamp::now();
        let trigger_id = TriggerId::of_attempt(RunId::from_bytes([7; 16]), *attempts);
        Attempt {
            directory: Some(OwnDirectory {
                target: base.join("orders").join(&format!("request-{attempts}")),
                base: base.clone(),
            }),
            sent_at: Some(now),
            calls: 1,
            ..Attempt::frozen(*attempts, JobId::new(job), now, trigger_id, format, now)
        }
    }

    fn root(&self) -> Location {
        Location::new(self.cluster.savepoint_root().to_string_lossy())
    }

    async fn accepted(&self, attempt: &Attempt) -> Result<()> {
        let reply = self.hands.trigger(&self.platform, attempt).await;
        ensure!(reply == Reply::Accepted, "{reply:?}");
        Ok(())
    }

    /// What became of an attempt, once it is no longer in progress.
    async fn end_of(&self, attempt: &Attempt) -> Result<Operation> {
        let asked = Instant::now();
        while asked.elapsed() < LIMIT {
            match self.hands.operation(&self.platform, attempt).await? {
                Operation::InProgress => tokio::time::sleep(Duration::from_millis(20)).await,
                ended => return Ok(ended),
            }
        }
        bail!("still in progress after {LIMIT:?}")
    }

    /// Asks, and expects a failure of this kind that says this.
    async fn fails(&self, attempt: &Attempt, kind: CauseKind, said: &str) -> Result<()> {
        self.accepted(attempt).await?;
        let Operation::Failed(cause) = self.end_of(attempt).await? else {
            bail!("no failure");
        };
        ensure!(cause.kind == kind && cause.hint.is_some(), "{cause:?}");
        ensure!(cause.text.contains(said), "{cause:?}");
        Ok(())
    }

    async fn jobs_and_vitals(&self, job: &JobHandle) -> Result<()> {
        let quiet = self.cluster.submit(&JobSpec::named("quiet"))?;
        let jobs = self.hands.jobs(&self.platform, "orders").await?;
        ensure!(jobs.len() == 2, "{jobs:?}");
        let seen = jobs
            .iter()
            .find(|seen| seen.name == "orders")
            .context("no orders")?;
        ensure!(seen.id.as_str() == job.id && seen.state == JobState::Running);

        let vitals = self.hands.vitals(&self.platform, &seen.id).await?;
        ensure!(vitals.state == JobState::Running);
        ensure!(vitals.started_at == seen.started_at);
        ensure!(vitals.restarted_at.is_none());
        ensure!(vitals.tasks_total >= 2 && vitals.tasks_ready == vitals.tasks_total);
        ensure!(vitals.checkpointing && vitals.canonical_possible);
        ensure!(vitals.checkpoint_timeout == Some(SignedDuration::from_mins(10)));
        ensure!(vitals.tolerable_failures == Some(3));
        ensure!(vitals.savepoint_directory == Some(self.root()));
        ensure!(vitals.default_scheme.is_none());
        ensure!(vitals.store_duration == Some(SignedDuration::from_secs(90)));
        ensure!(!vitals.savepoint_in_progress);

        let vitals = self
            .hands
            .vitals(&self.platform, &JobId::new(quiet.id.clone()))
            .await?;
        ensure!(!vitals.checkpointing, "{vitals:?}");
        quiet.cancel()?;
        let jobs = self.hands.jobs(&self.platform, "orders").await?;
        ensure!(
            jobs.iter()
                .any(|seen| seen.name == "quiet" && seen.state == JobState::Cancelled)
        );
        self.back_pressure_becomes_known(&seen.id).await
    }

    async fn back_pressure_becomes_known(&self, job: &JobId) -> Result<()> {
        let asked = Instant::now();
        while asked.elapsed() < LIMIT {
            let vitals = self.hands.vitals(&self.platform, job).await?;
            if let Some(pressed) = vitals.back_pressured {
                ensure!(!pressed, "200 records a second press nobody");
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("back-pressure is not known after {LIMIT:?}")
    }

    async fn savepoints(&self, job: &JobHandle) -> Result<()> {
        for format in [Format::Canonical, Format::Native] {
            let attempt = self.attempt(&job.id, &self.root(), format);
            ensure!(self.directories(&attempt).await?.is_empty());

            job.control.block(Part::Async)?;
            self.accepted(&attempt).await?;
            job.control.wait_blocked(2, LIMIT)?;
            let under_way = self.hands.operation(&self.platform, &attempt).await?;
            ensure!(under_way == Operation::InProgress, "{under_way:?}");
            ensure!(self.directories(&attempt).await? == [false]);
            self.shown_in_progress(&attempt.job).await?;
            job.control.unblock()?;

            let Operation::Completed(location) = self.end_of(&attempt).await? else {
                bail!("not completed");
            };
            let own = attempt.directory.as_ref().context("no directory")?;
            ensure!(
                location.as_str().starts_with(own.target.as_str()),
                "{location}"
            );
            ensure!(self.directories(&attempt).await? == [true]);
            let reading = self.hands.read(&self.platform, &location).await?;
            let report = verify::judge(&reading, None);
            ensure!(
                report.is_whole() && report.warnings.is_empty(),
                "{report:?}"
            );
            ensure!(report.state_bytes > 0 && !report.operators.is_empty());

            // The same request again is answered from memory.
            self.accepted(&attempt).await?;
            ensure!(self.end_of(&attempt).await? == Operation::Completed(location));
            ensure!(self.directories(&attempt).await? == [true]);
        }
        ensure!(self.cluster.savepoint_triggers()?.len() == 2);
        Ok(())
    }

    /// `/jobs/:id/checkpoints` is up to three seconds old.
    async fn shown_in_progress(&self, job: &JobId) -> Result<()> {
        let asked = Instant::now();
        while asked.elapsed() < LIMIT {
            let vitals = self.hands.vitals(&self.platform, job).await?;
            if vitals.savepoint_in_progress {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("no savepoint in progress")
    }

    /// For each directory of an attempt, whether it has a `_metadata`.
    async fn directories(&self, attempt: &Attempt) -> Result<Vec<bool>, Fault> {
        let found = self.hands.directories(&self.platform, attempt).await?;
        Ok(found.iter().map(|found| found.has_metadata).collect())
    }

    async fn unknown_ids(&self, job: &JobHandle) -> Result<()> {
        let never_sent = self.attempt(&job.id, &self.root(), Format::Canonical);
        let started_at = self.hands.jobs(&self.platform, "orders").await?;
        let started_at = started_at
            .iter()
            .find(|seen| seen.id == never_sent.job)
            .map(|seen| seen.started_at);
        ensure!(started_at.is_some());
        let operation = self.hands.operation(&self.platform, &never_sent).await?;
        ensure!(
            operation
                == Operation::NotFound {
                    job_started_at: started_at
                }
        );

        let stranger = "0123456789abcdef0123456789abcdef";
        let fault = self
            .hands
            .vitals(&self.platform, &JobId::new(stranger))
            .await
            .err()
            .context("no such job")?;
        ensure!(fault.kind == FaultKind::Gone, "{fault:?}");
        let attempt = self.attempt(stranger, &self.root(), Format::Canonical);
        let operation = self.hands.operation(&self.platform, &attempt).await?;
        ensure!(
            operation
                == Operation::NotFound {
                    job_started_at: None
                }
        );
        // Flink accepts it all the same.
        let said = format!("Could not find Flink job ({stranger})");
        self.fails(&attempt, CauseKind::NotRunning, &said).await
    }

    async fn bad_targets(&self, job: &JobHandle) -> Result<()> {
        let file = self.cluster.scratch().join("a-file");
        fs::write(&file, "in the way")?;
        for (base, said) in [
            (
                Location::new(file.to_string_lossy()),
                "Failed to create savepoint directory at file:/",
            ),
            (
                Location::new("nosuch://bucket/savepoints"),
                "Could not find a file system implementation for scheme 'nosuch'",
            ),
        ] {
            let attempt = self.attempt(&job.id, &base, Format::Canonical);
            self.fails(&attempt, CauseKind::Target, said).await?;
            ensure!(
                self.hands
                    .directories(&self.platform, &attempt)
                    .await
                    .is_err()
            );
        }
        Ok(())
    }

    async fn failing_tasks(&self, job: &JobHandle) -> Result<()> {
        for (part, said) in [
            (
                Part::Async,
                "Asynchronous task checkpoint failed: told to fail in the async part",
            ),
            (Part::Sync, "Task has failed: told to fail in the sync part"),
        ] {
            job.wait_running()?;
            job.control.fail(part)?;
            let attempt = self.attempt(&job.id, &self.root(), Format::Canonical);
            self.fails(&attempt, CauseKind::TaskFailed, said).await?;
            job.control.heal()?;
        }
        job.control.crash()?;
        job.wait_state("RESTARTING", LIMIT)?;
        let attempt = self.attempt(&job.id, &self.root(), Format::Canonical);
        let said = "Not all required tasks are currently running";
        self.fails(&attempt, CauseKind::NotReady, said).await?;
        job.control.heal()?;
        job.wait_running()?;
        let asked = Instant::now();
        while asked.elapsed() < LIMIT {
            let vitals = self.hands.vitals(&self.platform, &attempt.job).await?;
            if vitals.restarted_at.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("the restart does not show")
    }

    async fn expiry(&self) -> Result<()> {
        let job = self.cluster.submit(&JobSpec {
            checkpoint_timeout: Some(Duration::from_millis(500)),
            ..JobSpec::named("slow")
        })?;
        job.control.block(Part::Async)?;
        let attempt = self.attempt(&job.id, &self.root(), Format::Canonical);
        let said = "Checkpoint expired before completing";
        self.fails(&attempt, CauseKind::Expired, said).await?;
        job.control.unblock()?;
        job.cancel()
    }

    /// A canonical savepoint of it would restart the job, so this must show beforehand.
    async fn for_st(&self) -> Result<()> {
        let job = self.cluster.submit(&JobSpec {
            backend: Backend::ForSt,
            ..JobSpec::named("forst")
        })?;
        let id = JobId::new(job.id.clone());
        let vitals = self.hands.vitals(&self.platform, &id).await?;
        ensure!(!vitals.canonical_possible, "{vitals:?}");
        job.cancel()
    }

    async fn wrong_base_path(&self) -> Result<()> {
        let lost = hands(&format!("{}/flink/", self.cluster.url()))?;
        let fault = lost
            .jobs(&self.platform, "orders")
            .await
            .err()
            .context("no API there")?;
        ensure!(
            fault.kind == FaultKind::Permanent && fault.hint.is_some(),
            "{fault:?}"
        );
        let attempt = self.attempt(
            "0123456789abcdef0123456789abcdef",
            &self.root(),
            Format::Native,
        );
        let reply = lost.trigger(&self.platform, &attempt).await;
        ensure!(matches!(reply, Reply::Unclear(_)), "{reply:?}");
        Ok(())
    }
}
