//! What a platform does with a request, and what happens to what it took up.

pub mod resources;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lowtide_core::fault::Fault;
use lowtide_core::name::{JobId, Location, RunId, TriggerId};
use lowtide_core::resolve::JobState;
use lowtide_core::run::{Attempt, Cause, CauseKind, Reply};
use rand::Rng;

use crate::fleet::{Directory, Fate, Files, OperationTruth};
use crate::state::{Sim, State};
use crate::trouble::Trouble;

/// How long the tasks of a restarted job take to run again, in milliseconds.
pub const RESTART_MS: (u64, u64) = (3_000, 40_000);
/// How long a `_metadata` is visible before it is whole, in milliseconds.
const GROWS_MS: (u64, u64) = (500, 5_000);

/// What is to become of a request that was taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Complete(Files),
    Grow,
    Fail(CauseKind),
    FailYetComplete,
}

/// A request that was taken up: whose, and as what.
#[derive(Debug, Clone)]
struct Taken {
    platform: usize,
    job: JobId,
    id: TriggerId,
    incarnation: u64,
    began: Timestamp,
    plan: Plan,
    lasts: Duration,
}

/// A request arrives.
pub fn arrive(sim: &Arc<Sim>, platform: usize, attempt: &Attempt, called_at: Timestamp) -> Reply {
    let (reply, taken) = sim.with(|state, now| state.take_up(now, platform, attempt, called_at));
    if let Some(taken) = taken {
        tokio::spawn(follow(Arc::clone(sim), taken));
    }
    reply
}

async fn follow(sim: Arc<Sim>, taken: Taken) {
    if taken.plan == Plan::Grow {
        let grows = sim.with(|state, _| state.ms(GROWS_MS.0, GROWS_MS.1));
        tokio::time::sleep(taken.lasts).await;
        let goes_on = sim.with(|state, now| state.begin_to_grow(now, &taken, grows));
        if !goes_on {
            return;
        }
        tokio::time::sleep(grows).await;
    } else {
        tokio::time::sleep(taken.lasts).await;
    }
    let restarts = sim.with(|state, now| state.finish(now, &taken));
    resources::deleted_soon(&sim, &taken);
    if restarts {
        restart_job(&sim, taken.platform, &taken.job);
    }
}

/// A job restarts: its pending savepoints fail, and its tasks run again after a while.
pub fn restart_job(sim: &Arc<Sim>, platform: usize, job: &JobId) {
    let wait = sim.with(|state, now| {
        state.fail_pending(now, platform, job, "FailoverRegion is restarting.");
        let wait = state.ms(RESTART_MS.0, RESTART_MS.1);
        let job = state.platforms[platform].jobs.get_mut(job)?;
        if job.state != JobState::Running {
            return None;
        }
        job.ready = false;
        job.restarted_at = Some(now);
        // For a moment the job's own state tells, then only its tasks do.
        job.state = JobState::Restarting;
        Some((wait, job.started_at))
    });
    let Some((wait, incarnation)) = wait else {
        return;
    };
    let sim = Arc::clone(sim);
    let id = job.clone();
    tokio::spawn(async move {
        for half in [true, false] {
            tokio::time::sleep(wait / 2).await;
            sim.with(|state, _| {
                if let Some(job) = state.platforms[platform].jobs.get_mut(&id)
                    && job.started_at == incarnation
                    && matches!(job.state, JobState::Restarting | JobState::Running)
                {
                    job.state = JobState::Running;
                    job.ready = !half;
                }
            });
        }
    });
}

impl State {
    fn take_up(
        &mut self,
        now: Timestamp,
        platform: usize,
        attempt: &Attempt,
        called_at: Timestamp,
    ) -> (Reply, Option<Taken>) {
        let Some((run, number)) = self.witness.attempt_of(attempt) else {
            return (Reply::Accepted, None);
        };
        self.tally.triggers += 1;
        let app = self.by_run(run);
        let there = &self.platforms[platform];
        if !there.up {
            let fault = Fault::transient("connection refused");
            return (Reply::NotSent(fault), None);
        }
        self.witness_arrival(now, (run, number), attempt.sent_at);
        if lists_savepoints(self, platform) {
            self.witness_request(now, attempt);
            return self.create(now, platform, attempt, called_at);
        }
        let there = &self.platforms[platform];
        let key = (attempt.job.clone(), attempt.trigger_id);
        let remembered = there
            .remembered(&attempt.job, attempt.trigger_id, now)
            .is_some();
        let expired = there.operations.contains_key(&key) && !remembered;
        let (up_since, incarnation) = (there.up_since, there.incarnation);
        if remembered {
            self.trouble(now, Trouble::RequestRecognised, app, "");
            return (Reply::Accepted, None);
        }
        let location = self.new_location(attempt);
        let plan = self.plan(platform, attempt);
        let refused_at_once = self.platforms[platform]
            .jobs
            .get(&attempt.job)
            .is_none_or(|job| job.state != JobState::Running || !job.ready);
        let mut operation = OperationTruth {
            run,
            attempt: number,
            incarnation,
            began: now,
            location: location.clone(),
            fate: Fate::InProgress,
            ended: None,
            resource: None,
        };
        if refused_at_once {
            let cause = Cause::new(
                CauseKind::NotReady,
                "Not all required tasks are currently running.",
            );
            operation.fate = Fate::Failed(cause);
            operation.ended = Some(now);
            self.platforms[platform].operations.insert(key, operation);
            return (Reply::Accepted, None);
        }
        self.witness_taken(now, (run, number), called_at, up_since, expired);
        self.witness.truth(run, number).in_progress += 1;
        let (plan, lasts) = plan;
        self.journal.write(
            now,
            app,
            format_args!(
                "the platform takes up attempt {number} of run {run}: {plan:?} after {} ms",
                lasts.as_millis()
            ),
        );
        let there = &mut self.platforms[platform];
        there.operations.insert(key, operation);
        self.serial += 1;
        there.directories.insert(
            location,
            Directory {
                application: app.unwrap_or_default(),
                of: (run, number),
                has_metadata: false,
                files: Files::Whole,
                grows_until: now,
                checkpoint: self.serial,
                bytes: self.rng.random_range(1_000..4_000),
            },
        );
        if let Some(job) = there.jobs.get_mut(&attempt.job) {
            job.savepoints.push((now, None));
        }
        let taken = Taken {
            platform,
            job: attempt.job.clone(),
            id: attempt.trigger_id,
            incarnation,
            began: now,
            plan,
            lasts,
        };
        (Reply::Accepted, Some(taken))
    }

    /// The application of a run.
    pub fn by_run(&self, run: RunId) -> Option<usize> {
        let row = self.model.runs.get(&run);
        row.and_then(|row| self.app_ix(&row.application))
            .or_else(|| self.witness.application_of(run))
    }

    fn new_location(&mut self, attempt: &Attempt) -> Location {
        self.serial += 1;
        let job: String = attempt.job.as_str().chars().take(6).collect();
        let name = format!("savepoint-{job}-{:012x}", self.serial);
        match &attempt.directory {
            Some(own) => own.target.join(&name),
            None => Location::new("/").join(&name),
        }
    }

    /// Draws what is to become of a request.
    fn plan(&mut self, platform: usize, attempt: &Attempt) -> (Plan, Duration) {
        let timeout = self.platforms[platform]
            .jobs
            .get(&attempt.job)
            .map_or(SignedDuration::from_mins(10), |job| job.timeout);
        let timeout = Duration::try_from(timeout).unwrap_or(Duration::from_mins(10));
        if self.quiet {
            return (Plan::Complete(Files::Whole), self.ms(50, 3_000));
        }
        let lasts = match self.rng.random_range(0..100) {
            0..70 => self.ms(50, 8_000),
            70..95 => {
                self.tally.count(Trouble::Slow);
                self.ms(10_000, 90_000)
            }
            _ => timeout + Duration::from_secs(1),
        };
        if lasts >= timeout {
            return (Plan::Fail(CauseKind::Expired), timeout);
        }
        let plan = match self.rng.random_range(0..100) {
            0..6 => Plan::Fail(CauseKind::SavepointFailed),
            6..9 => Plan::Fail(CauseKind::TaskFailed),
            9..10 => Plan::Complete(Files::Missing),
            10..11 => Plan::Complete(Files::Short),
            11..12 => Plan::Complete(Files::Cut),
            12..14 => Plan::FailYetComplete,
            14..22 => Plan::Grow,
            _ => Plan::Complete(Files::Whole),
        };
        (plan, lasts)
    }

    fn pending(&mut self, taken: &Taken) -> Option<&mut OperationTruth> {
        self.platforms[taken.platform]
            .operations
            .get_mut(&(taken.job.clone(), taken.id))
            .filter(|one| {
                one.incarnation == taken.incarnation
                    && one.began == taken.began
                    && matches!(one.fate, Fate::InProgress)
            })
    }

    fn begin_to_grow(&mut self, now: Timestamp, taken: &Taken, grows: Duration) -> bool {
        let Some(operation) = self.pending(taken) else {
            return false;
        };
        let location = operation.location.clone();
        let run = operation.run;
        if let Some(there) = self.platforms[taken.platform]
            .directories
            .get_mut(&location)
        {
            there.has_metadata = true;
            there.grows_until =
                now + SignedDuration::try_from(grows).unwrap_or(SignedDuration::ZERO);
        }
        let app = self.by_run(run);
        self.trouble(now, Trouble::Growing, app, location.as_str());
        true
    }

    /// What was taken up ends as planned, unless it has ended meanwhile. Says whether the job
    /// restarts over it.
    fn finish(&mut self, now: Timestamp, taken: &Taken) -> bool {
        let Some(operation) = self.pending(taken) else {
            return false;
        };
        operation.ended = Some(now);
        let (run, attempt) = (operation.run, operation.attempt);
        let location = operation.location.clone();
        let (fate, complete, trouble) = match taken.plan {
            Plan::Complete(Files::Whole) | Plan::Grow => {
                (Fate::Completed(location.clone()), Some(Files::Whole), None)
            }
            Plan::Complete(files) => (
                Fate::Completed(location.clone()),
                Some(files),
                Some(Trouble::WrittenBroken),
            ),
            Plan::FailYetComplete => (
                failed(
                    CauseKind::SavepointFailed,
                    "Checkpoint Coordinator is suspending.",
                ),
                Some(Files::Whole),
                Some(Trouble::FailedYetComplete),
            ),
            Plan::Fail(kind) => (
                failed(kind, "the savepoint failed"),
                None,
                Some(match kind {
                    CauseKind::TaskFailed => Trouble::TaskFails,
                    CauseKind::Expired => Trouble::Expires,
                    _ => Trouble::SavepointFails,
                }),
            ),
        };
        let told_failed = matches!(fate, Fate::Failed(_));
        operation.fate = fate;
        let leaves_orphan = self.rng.random_bool(0.3) && !lists_savepoints(self, taken.platform);
        let platform = &mut self.platforms[taken.platform];
        match (complete, platform.directories.get_mut(&location)) {
            (Some(files), Some(there)) => {
                there.has_metadata = true;
                there.files = files;
                there.grows_until = now;
            }
            (None, _) if !leaves_orphan => {
                platform.directories.remove(&location);
            }
            _ => {}
        }
        if let Some(job) = platform.jobs.get_mut(&taken.job) {
            job.savepoint_ended(taken.began, now);
        }
        let truth = self.witness.truth(run, attempt);
        truth.in_progress = truth.in_progress.saturating_sub(1);
        if complete == Some(Files::Whole) && !told_failed {
            truth.whole_at.get_or_insert(now);
        }
        let app = self.by_run(run);
        if let Some(trouble) = trouble {
            self.trouble(now, trouble, app, location.as_str());
        }
        self.journal.write(
            now,
            app,
            format_args!("attempt {attempt} of run {run} ends: {:?}", taken.plan),
        );
        taken.plan == Plan::Fail(CauseKind::TaskFailed)
    }

    /// The pending savepoints of a job fail.
    pub fn fail_pending(&mut self, now: Timestamp, platform: usize, job: &JobId, why: &str) {
        let mut ended = Vec::new();
        for ((of, _), operation) in &mut self.platforms[platform].operations {
            if of == job && matches!(operation.fate, Fate::InProgress) {
                operation.fate = failed(CauseKind::TaskFailed, why);
                operation.ended = Some(now);
                ended.push(operation.clone());
            }
        }
        for operation in ended {
            self.pending_ended(now, platform, job, &operation, false);
        }
    }

    /// The `JobManager` dies: it forgets all requests and loses all that is pending.
    pub fn lose_all(&mut self, now: Timestamp, platform: usize) {
        if lists_savepoints(self, platform) {
            // Only its clusters die; the platform itself knows what it listed.
            let jobs: Vec<JobId> = self.platforms[platform].jobs.keys().cloned().collect();
            for job in jobs {
                self.fail_pending(now, platform, &job, "the cluster is gone");
            }
            return;
        }
        let operations = std::mem::take(&mut self.platforms[platform].operations);
        for ((job, _), operation) in operations {
            if !matches!(operation.fate, Fate::InProgress) {
                continue;
            }
            let completes = self.rng.random_ratio(1, 4);
            self.pending_ended(now, platform, &job, &operation, completes);
        }
    }

    fn pending_ended(
        &mut self,
        now: Timestamp,
        platform: usize,
        job: &JobId,
        operation: &OperationTruth,
        completes: bool,
    ) {
        let (run, attempt) = (operation.run, operation.attempt);
        let app = self.by_run(run);
        let leaves_orphan = self.rng.random_bool(0.5);
        let there = &mut self.platforms[platform];
        let lists = there.lister.is_some();
        if let Some(job) = there.jobs.get_mut(job) {
            job.savepoint_ended(operation.began, now);
        }
        let truth = self.witness.truth(run, attempt);
        truth.in_progress = truth.in_progress.saturating_sub(1);
        let trouble = match there.directories.get_mut(&operation.location) {
            Some(directory) if directory.has_metadata && !lists => {
                // It was just being written.
                directory.files = Files::Cut;
                Trouble::PendingOrphaned
            }
            Some(directory) if completes => {
                directory.has_metadata = true;
                truth.whole_at.get_or_insert(now);
                Trouble::CompletedAtKill
            }
            Some(_) if leaves_orphan && !lists => Trouble::PendingOrphaned,
            _ => {
                there.directories.remove(&operation.location);
                Trouble::PendingVanished
            }
        };
        self.trouble(now, trouble, app, operation.location.as_str());
    }
}

fn lists_savepoints(state: &State, platform: usize) -> bool {
    state.platforms[platform].lister.is_some()
}

fn failed(kind: CauseKind, text: &str) -> Fate {
    Fate::Failed(Cause::new(kind, text))
}
