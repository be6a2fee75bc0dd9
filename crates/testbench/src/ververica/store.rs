//! All that the emulator remembers, with the indexes that its lists need.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::answer::Refusal;
use super::deployment::{Deployment, Job, State};
use super::id;
use super::profile::Profile;
use super::savepoint::{Failure, MadeBy, Origin, Phase, Savepoint};
use super::settings::{Annotations, Settings};

/// A savepoint that is about to be made.
#[derive(Debug, Clone)]
pub(super) struct NewSavepoint {
    pub deployment: String,
    pub origin: Origin,
    pub made_by: MadeBy,
    pub annotations: BTreeMap<String, String>,
    pub native: bool,
}

/// Namespaces, deployments, jobs, savepoints.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub namespaces: BTreeMap<String, Timestamp>,
    pub deployments: BTreeMap<String, Deployment>,
    pub jobs: BTreeMap<String, Job>,
    pub savepoints: BTreeMap<String, Savepoint>,
    pub settings: Settings,
}

impl Store {
    /// The settings for a deployment, or those for all.
    pub(super) fn settings(&self, deployment: Option<&str>) -> &Settings {
        let own = deployment
            .and_then(|id| self.deployments.get(id))
            .and_then(|deployment| deployment.settings.as_deref());
        own.unwrap_or(&self.settings)
    }

    /// The deployment that the last segment of a path means: by id, and where the release can, by name.
    pub(super) fn find(
        &self,
        profile: Profile,
        namespace: &str,
        key: &str,
    ) -> Result<&Deployment, Refusal> {
        let is_uuid = id::is_uuid(key);
        if !is_uuid && !profile.addresses_by_name() {
            let message = format!("Invalid UUID string: {key}");
            return Err(Refusal::new(self.settings.malformed_id_status, message));
        }
        let by_id = self.deployments.get(key);
        let by_name = || {
            let named = self
                .deployments
                .values()
                .find(|it| it.namespace == namespace && it.name == key);
            named.filter(|_| profile.addresses_by_name())
        };
        by_id
            .filter(|found| found.namespace == namespace)
            .or_else(by_name)
            .ok_or_else(|| Refusal::new(404, format!("Deployment {key} not found")))
    }

    /// The deployment with this id, in this namespace.
    pub(super) fn deployment(&self, namespace: &str, id: &str) -> Result<&Deployment, Refusal> {
        let found = self.deployments.get(id);
        found
            .filter(|it| it.namespace == namespace)
            .ok_or_else(|| Refusal::new(404, format!("Deployment {id} not found")))
    }

    /// The savepoint with this id, in this namespace.
    pub(super) fn savepoint(&self, namespace: &str, key: &str) -> Result<&Savepoint, Refusal> {
        if !id::is_uuid(key) {
            let message = format!("Invalid UUID string: {key}");
            return Err(Refusal::new(self.settings.malformed_id_status, message));
        }
        let found = self.savepoints.get(key);
        found
            .filter(|it| it.namespace == namespace)
            .ok_or_else(|| Refusal::new(404, format!("Savepoint {key} not found")))
    }

    /// Savepoints of a namespace, of one deployment or job where told, oldest first.
    pub(super) fn list(
        &self,
        namespace: &str,
        deployment: Option<&str>,
        job: Option<&str>,
    ) -> Vec<Savepoint> {
        let owner = deployment.or_else(|| {
            let of_job = job.and_then(|id| self.jobs.get(id));
            of_job.map(|job| job.deployment.as_str())
        });
        let mut found: Vec<Savepoint> = if let Some(owner) = owner {
            let ids = self.deployments.get(owner).map(|it| &it.savepoints);
            let ids = ids.into_iter().flatten();
            ids.filter_map(|id| self.savepoints.get(id))
                .cloned()
                .collect()
        } else if job.is_some() {
            Vec::new()
        } else {
            self.savepoints.values().cloned().collect()
        };
        found.retain(|it| {
            it.namespace == namespace && job.is_none_or(|id| it.job.as_deref() == Some(id))
        });
        found.sort_by_key(|it| it.created);
        found
    }

    /// Makes a savepoint that is under way, and returns its id; `None` where the deployment has gone.
    pub(super) fn begin(&mut self, new: NewSavepoint) -> Option<String> {
        let keeps = self.settings(Some(&new.deployment)).annotations == Annotations::Kept;
        let deployment = self.deployments.get_mut(&new.deployment)?;
        deployment.note("NEED_TO_TRIGGER_A_SAVEPOINT", "A savepoint was asked for");
        let now = Timestamp::now();
        let savepoint = Savepoint {
            id: id::uuid(),
            namespace: deployment.namespace.clone(),
            deployment: new.deployment,
            job: deployment.job.clone(),
            origin: new.origin,
            phase: Phase::Started,
            made_by: new.made_by,
            created: now,
            modified: now,
            annotations: if keeps {
                new.annotations.clone()
            } else {
                BTreeMap::new()
            },
            annotations_sent: new.annotations,
            native: new.native,
            location: None,
            flink_savepoint_id: None,
            failure: None,
            version: 1,
            data: None,
        };
        let id = savepoint.id.clone();
        deployment.savepoints.push(id.clone());
        self.savepoints.insert(id.clone(), savepoint);
        Some(id)
    }

    /// Ends a savepoint that was under way; it may have been deleted meanwhile.
    pub(super) fn fail(&mut self, id: &str, failure: Failure) {
        let Some(savepoint) = self.savepoints.get_mut(id) else {
            return;
        };
        if let Some(deployment) = self.deployments.get_mut(&savepoint.deployment) {
            let event = "AN_UNRECOVERABLE_FAILURE_WHILE_TAKING_A_SAVEPOINT";
            deployment.note(event, &failure.message);
        }
        // One that is to be deleted goes on to its deletion.
        if savepoint.phase == Phase::Started {
            savepoint.fail(Phase::Failed, failure);
        }
    }

    /// Notes that the job of a deployment has ended.
    pub(super) fn end_job(&mut self, deployment: &str) {
        let deployment = self.deployments.get_mut(deployment);
        let job = deployment.and_then(|deployment| deployment.job.take());
        if let Some(job) = job.and_then(|id| self.jobs.get_mut(&id)) {
            job.terminated = Some(Timestamp::now());
        }
    }

    /// Gives a deployment a new job, which runs.
    pub(super) fn begin_job(&mut self, job: Job) {
        if let Some(deployment) = self.deployments.get_mut(&job.deployment) {
            deployment.job = Some(job.id.clone());
            deployment.jobs.push(job.id.clone());
            deployment.become_state(State::Running);
        }
        self.jobs.insert(job.id.clone(), job);
    }

    /// Removes a savepoint resource.
    pub(super) fn remove_savepoint(&mut self, id: &str) -> Option<Savepoint> {
        let gone = self.savepoints.remove(id)?;
        if let Some(deployment) = self.deployments.get_mut(&gone.deployment) {
            deployment.savepoints.retain(|it| it != id);
        }
        Some(gone)
    }

    /// Removes a deployment with all that belongs to it.
    pub(super) fn remove_deployment(&mut self, id: &str) -> bool {
        let Some(gone) = self.deployments.remove(id) else {
            return false;
        };
        let (jobs, savepoints): (BTreeSet<_>, BTreeSet<_>) = (
            gone.jobs.into_iter().collect(),
            gone.savepoints.into_iter().collect(),
        );
        self.jobs.retain(|id, _| !jobs.contains(id));
        self.savepoints.retain(|id, _| !savepoints.contains(id));
        true
    }

    /// The newest completed savepoint of a deployment: what a restore strategy `LATEST_STATE` takes.
    pub(super) fn latest(&self, deployment: &str) -> Option<&Savepoint> {
        let ids = &self.deployments.get(deployment)?.savepoints;
        let completed = ids.iter().rev().filter_map(|id| self.savepoints.get(id));
        completed
            .into_iter()
            .find(|it| it.phase == Phase::Completed)
    }

    /// Whether another savepoint that is to stay points to the same files.
    pub(super) fn is_shared(&self, savepoint: &Savepoint) -> bool {
        savepoint.location.is_some()
            && self.savepoints.values().any(|other| {
                other.id != savepoint.id
                    && other.location == savepoint.location
                    && !other.is_going()
            })
    }
}
