//! Platforms that take no trigger ids: each request makes a savepoint resource of its own,
//! whoever makes it, and lists show it sooner or later.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lowtide_core::name::{JobId, RunId, SavepointId, TriggerId};
use lowtide_core::resolve::JobState;
use lowtide_core::run::{Attempt, CauseKind, Reply};
use rand::Rng;

use super::{Plan, Taken, follow};
use crate::fleet::{Directory, Fate, Files, OperationTruth, Resource, SOMEONE};
use crate::state::{Sim, State};
use crate::trouble::Trouble;

/// How long a list may lag behind, in milliseconds.
const LIST_LAG_MS: (u64, u64) = (1_000, 8_000);
/// How long after a call its savepoint is listed at the latest: `REPEAT_MARGIN`, in which a
/// request arrives or never does, less a second.
const LISTED_WITHIN: SignedDuration = SignedDuration::from_secs(29);
/// How long a savepoint that somebody else takes lasts, in milliseconds.
const FOREIGN_MS: (u64, u64) = (100, 90_000);
/// How soon a savepoint is deleted that somebody deletes at once, in milliseconds.
const DELETED_AFTER_MS: (u64, u64) = (1, 4_000);

/// A savepoint to be made.
struct Wanted {
    platform: usize,
    job: JobId,
    application: usize,
    of: (RunId, u32),
    mark: Option<TriggerId>,
    listed_from: Timestamp,
    plan: (Plan, Duration),
}

/// Somebody else asks for a savepoint of an application's job.
pub fn ask_for_foreign(sim: &Arc<Sim>, platform: usize, job: &JobId, application: usize) {
    let taken = sim.with(|state, now| {
        let fits = state.is_fit(platform, job);
        if !fits {
            return None;
        }
        let lasts = state.ms(FOREIGN_MS.0, FOREIGN_MS.1);
        let plan = match state.rng.random_range(0..10) {
            0 => Plan::Fail(CauseKind::SavepointFailed),
            1 => Plan::Complete(Files::Missing),
            _ => Plan::Complete(Files::Whole),
        };
        let listed_from = now + state.list_lag(now);
        Some(state.make(
            now,
            Wanted {
                platform,
                job: job.clone(),
                application,
                of: SOMEONE,
                mark: None,
                listed_from,
                plan: (plan, lasts),
            },
        ))
    });
    if let Some((_, taken)) = taken {
        tokio::spawn(follow(Arc::clone(sim), taken));
    }
}

/// Now and then a savepoint is deleted just after it was complete.
pub(super) fn deleted_soon(sim: &Arc<Sim>, taken: &Taken) {
    let wait = sim.with(|state, _| {
        let lists = state.platforms[taken.platform].lister.is_some();
        (lists && state.chance(10)).then(|| state.ms(DELETED_AFTER_MS.0, DELETED_AFTER_MS.1))
    });
    let Some(wait) = wait else { return };
    let sim = Arc::clone(sim);
    let (platform, job, key) = (taken.platform, taken.job.clone(), taken.id);
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        sim.with(|state, now| state.delete(now, platform, &(job, key)));
    });
}

impl State {
    /// A request of ours arrives: it makes a savepoint, whatever came before.
    pub(super) fn create(
        &mut self,
        now: Timestamp,
        platform: usize,
        attempt: &Attempt,
        called_at: Timestamp,
    ) -> (Reply, Option<Taken>) {
        let Some(of) = self.witness.attempt_of(attempt) else {
            return (Reply::Accepted, None);
        };
        let plan = match self.plan(platform, attempt) {
            _ if !self.is_fit(platform, &attempt.job) => {
                (Plan::Fail(CauseKind::NotReady), Duration::from_millis(100))
            }
            (Plan::FailYetComplete, lasts) => (Plan::Fail(CauseKind::SavepointFailed), lasts),
            plan => plan,
        };
        let keeps_marks = self.platforms[platform]
            .lister
            .is_some_and(|lister| lister.keeps_marks);
        let listed_from = (now + self.list_lag(now))
            .min(called_at + LISTED_WITHIN)
            .max(now);
        let (id, taken) = self.make(
            now,
            Wanted {
                platform,
                job: attempt.job.clone(),
                application: self.by_run(of.0).unwrap_or_default(),
                of,
                mark: keeps_marks.then_some(attempt.trigger_id),
                listed_from,
                plan,
            },
        );
        (Reply::Created(id), Some(taken))
    }

    fn is_fit(&self, platform: usize, job: &JobId) -> bool {
        self.platforms[platform]
            .jobs
            .get(job)
            .is_some_and(|job| job.state == JobState::Running && job.ready)
    }

    /// How long a new savepoint is in no list.
    fn list_lag(&mut self, now: Timestamp) -> SignedDuration {
        if !self.chance(100) {
            return SignedDuration::ZERO;
        }
        self.trouble(now, Trouble::Unlisted, None, "");
        let lag = self.ms(LIST_LAG_MS.0, LIST_LAG_MS.1);
        SignedDuration::try_from(lag).unwrap_or(SignedDuration::ZERO)
    }

    fn make(&mut self, now: Timestamp, wanted: Wanted) -> (SavepointId, Taken) {
        let Wanted {
            platform,
            job,
            application,
            of,
            mark,
            listed_from,
            plan: (plan, lasts),
        } = wanted;
        let key = TriggerId::from_bytes(self.rng.random());
        let id = SavepointId::new(format!("savepoint-{key}"));
        let (run, attempt) = of;
        self.journal.write(
            now,
            Some(application),
            format_args!(
                "{id} is made for attempt {attempt} of run {run}: {plan:?} after {} ms",
                lasts.as_millis()
            ),
        );
        self.serial += 1;
        let checkpoint = self.serial;
        let bytes = self.rng.random_range(1_000..4_000);
        let there = &mut self.platforms[platform];
        let location = there.base.join(id.as_str());
        let skew = there.lister.map_or(SignedDuration::ZERO, |one| one.skew);
        let incarnation = there.incarnation;
        there.operations.insert(
            (job.clone(), key),
            OperationTruth {
                run,
                attempt,
                incarnation,
                began: now,
                location: location.clone(),
                fate: Fate::InProgress,
                ended: None,
                resource: Some(Resource {
                    id: id.clone(),
                    mark,
                    created_at: now + skew,
                    listed_from,
                }),
            },
        );
        there.directories.insert(
            location,
            Directory {
                application,
                of,
                has_metadata: false,
                files: Files::Whole,
                grows_until: now,
                checkpoint,
                bytes,
            },
        );
        if let Some(job) = there.jobs.get_mut(&job) {
            job.savepoints.push((now, None));
        }
        self.witness.truth(run, attempt).taken += 1;
        self.witness.truth(run, attempt).in_progress += 1;
        let taken = Taken {
            platform,
            job,
            id: key,
            incarnation,
            began: now,
            plan,
            lasts,
        };
        (id, taken)
    }

    /// Somebody deletes one of a job's savepoints, its files too.
    pub fn delete_one(&mut self, now: Timestamp, platform: usize, job: &JobId) {
        let keys: Vec<TriggerId> = self.platforms[platform]
            .operations
            .iter()
            .filter(|((of, _), one)| of == job && one.ended.is_some())
            .map(|((_, key), _)| *key)
            .collect();
        if !keys.is_empty() {
            let key = keys[self.rng.random_range(0..keys.len())];
            self.delete(now, platform, &(job.clone(), key));
        }
    }

    fn delete(&mut self, now: Timestamp, platform: usize, key: &(JobId, TriggerId)) {
        let Some(gone) = self.platforms[platform].operations.remove(key) else {
            return;
        };
        self.platforms[platform].directories.remove(&gone.location);
        self.witness.truth(gone.run, gone.attempt).whole_at = None;
        self.witness.deleted(&gone.location);
        let app = self.by_run(gone.run);
        self.trouble(now, Trouble::Deleted, app, gone.location.as_str());
    }
}
