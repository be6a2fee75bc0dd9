//! What retention, forks and restores are made of: savepoints deleted and registered, deployments
//! started and stopped. No command uses them yet.

use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::name::{JobId, Location, SavepointId};
use serde_json::json;

use super::{Client, SMALL_BYTES_MAX, answer, wire};

/// What a deployment is to be (`DeploymentSpec.state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesiredState {
    /// Started, from the state that its restore strategy names.
    Running,
    /// Stopped with a savepoint of origin `SUSPEND`.
    Suspended,
    /// Stopped without one.
    Cancelled,
}

impl DesiredState {
    fn word(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Suspended => "SUSPENDED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl Client {
    /// Asks the platform to delete a savepoint and its files, if it is eligible; with `force` the
    /// entry goes in any case, and whether the files go is not promised. Success means that the
    /// request was accepted, not that anything has gone yet.
    ///
    /// # Errors
    /// [`FaultKind::Gone`] for a savepoint that the platform does not know,
    /// [`FaultKind::Unsupported`] before release 2.5.
    pub async fn delete(&self, id: &SavepointId, force: bool) -> Result<(), Fault> {
        let path = self.savepoint_path(id)?;
        let path = if force {
            format!("{path}?force=true")
        } else {
            path
        };
        let answer = self.endpoint.delete(&path, SMALL_BYTES_MAX).await?;
        match answer.status {
            200..=299 if !answer.html => Ok(()),
            405 | 501 => Err(cannot_delete()),
            // Behind some gateways a release without the method answers so; then the savepoint
            // itself is still to be found.
            404 if !answer.html && self.savepoint_is_there(id).await? => Err(cannot_delete()),
            _ => Err(answer::fault(&answer)),
        }
    }

    async fn savepoint_is_there(&self, id: &SavepointId) -> Result<bool, Fault> {
        let path = self.savepoint_path(id)?;
        match self.get::<wire::Savepoint>(&path, SMALL_BYTES_MAX).await {
            Ok(_) => Ok(true),
            Err(fault) if fault.kind == FaultKind::Gone => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Makes an existing savepoint known as one of a deployment (origin `COPIED`), so that the
    /// deployment can be started from it. The files stay where they are and have two owners then.
    pub async fn register(
        &self,
        deployment: &JobId,
        location: &Location,
    ) -> Result<SavepointId, Fault> {
        let body = json!({
            "kind": "Savepoint",
            "apiVersion": "v1",
            "metadata": { "deploymentId": deployment.as_str(), "namespace": self.namespace },
            "spec": { "savepointLocation": location.as_str() },
        });
        let path = self.path("savepoints");
        let answer = self
            .endpoint
            .post(&path, &body, self.post_timeout, SMALL_BYTES_MAX)
            .await
            .map_err(Fault::from)?;
        let savepoint: wire::Savepoint = answer::json(&answer)?;
        Ok(SavepointId::new(savepoint.metadata.id))
    }

    /// Says what a deployment is to be; it becomes so eventually.
    pub async fn set_state(&self, deployment: &JobId, state: DesiredState) -> Result<(), Fault> {
        let path = self.deployment_path(deployment.as_str())?;
        let body = json!({ "spec": { "state": state.word() } });
        let answer = self.endpoint.patch(&path, &body, SMALL_BYTES_MAX).await?;
        let patched: wire::Deployment = answer::json(&answer)?;
        if patched.metadata.id == deployment.as_str() {
            return Ok(());
        }
        Err(Fault::permanent(format!(
            "the platform changed another deployment than {deployment}: {}",
            patched.metadata.id
        )))
    }
}

fn cannot_delete() -> Fault {
    Fault::unsupported(
        "this release of Ververica Platform cannot delete savepoints; 2.5 and later can",
    )
    .hint("delete the files in their store, and leave the entry on the platform")
}
