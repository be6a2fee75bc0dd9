//! Savepoint resources as the emulator keeps them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

/// `metadata.origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Asked for over the API or in the user interface.
    UserRequest,
    /// Taken when the deployment was suspended.
    Suspend,
    /// The same for an upgrade; told apart up to 2.4.3 only.
    SuspendAndUpgrade,
    /// Points to files that were there already.
    Copied,
    /// A checkpoint that a cancelled job left.
    RetainedCheckpoint,
}

impl Origin {
    /// As the API writes it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::UserRequest => "USER_REQUEST",
            Self::Suspend => "SUSPEND",
            Self::SuspendAndUpgrade => "SUSPEND_AND_UPGRADE",
            Self::Copied => "COPIED",
            Self::RetainedCheckpoint => "RETAINED_CHECKPOINT",
        }
    }
}

/// `status.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Under way.
    Started,
    /// Can be restored from.
    Completed,
    /// See the failure.
    Failed,
    /// Marked for deletion, which waits for its prerequisites.
    PendingDeletion,
    /// Being deleted.
    Deleting,
    /// The deletion failed; it may be asked for again.
    FailedDeletion,
}

impl Phase {
    /// As the API writes it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::PendingDeletion => "PENDING_DELETION",
            Self::Deleting => "DELETING",
            Self::FailedDeletion => "FAILED_DELETION",
        }
    }
}

/// Who had a savepoint made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeBy {
    /// A `POST` that reached the emulator.
    Request,
    /// [`super::Emulator::take_foreign`].
    Foreign,
    /// The platform itself, for a change of state.
    Platform,
}

/// `status.failure`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub reason: String,
    /// For people.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

impl Failure {
    pub(super) fn now(reason: &str, message: impl Into<String>) -> Self {
        Self {
            reason: reason.to_owned(),
            message: message.into(),
            at: Timestamp::now(),
        }
    }
}

/// One savepoint resource, as it really is: whatever the settings make of it on the wire.
#[derive(Debug, Clone)]
pub struct Savepoint {
    /// `metadata.id`.
    pub id: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.deploymentId`.
    pub deployment: String,
    /// `metadata.jobId`; `None` where no job ran.
    pub job: Option<String>,
    /// `metadata.origin`.
    pub origin: Origin,
    /// `status.state`.
    pub phase: Phase,
    /// Who had it made.
    pub made_by: MadeBy,
    /// When it was made, by our clock.
    pub created: Timestamp,
    /// When it last changed, by our clock.
    pub modified: Timestamp,
    /// The annotations that came with the request, also where the server drops them.
    pub annotations_sent: BTreeMap<String, String>,
    /// The annotations that it has.
    pub annotations: BTreeMap<String, String>,
    /// Whether it was asked for in Flink's native format.
    pub native: bool,
    /// `spec.savepointLocation`.
    pub location: Option<String>,
    /// `spec.flinkSavepointId`.
    pub flink_savepoint_id: Option<String>,
    /// `status.failure`.
    pub failure: Option<Failure>,
    /// `metadata.resourceVersion`.
    pub version: u32,
    /// The folder that is deleted with it.
    pub(super) data: Option<PathBuf>,
}

impl Savepoint {
    /// Whether it is on its way out.
    pub(super) fn is_going(&self) -> bool {
        matches!(self.phase, Phase::PendingDeletion | Phase::Deleting)
    }

    /// Changes the phase.
    pub(super) fn become_phase(&mut self, phase: Phase) {
        self.phase = phase;
        self.modified = Timestamp::now();
        self.version += 1;
    }

    /// Ends it in `phase` because of `failure`.
    pub(super) fn fail(&mut self, phase: Phase, failure: Failure) {
        self.failure = Some(failure);
        self.become_phase(phase);
    }
}
