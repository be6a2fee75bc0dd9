//! What is not known of VVP, as settings.
//!
//! No running platform was at hand when this was written. Each field is a question that the published facts
//! leave open, or a choice that a server is free to make; its default is the likeliest answer.

use std::time::Duration;

/// How the server behaves. [`super::Emulator::set`] changes it for all, [`super::Emulator::set_for`] for one
/// deployment, at any time.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The status of a `POST` that made a savepoint: 201, as of the sibling resource, or 200.
    pub created_status: u16,
    /// The status of a `DELETE` that was accepted: 200 or 204, both are in the swagger.
    pub deleted_status: u16,
    /// What an error looks like.
    pub error_body: ErrorBody,
    /// What a savepoint of a deployment that does not run comes to.
    pub not_running: NotRunning,
    /// What a second savepoint comes to while one is `STARTED`.
    pub second_savepoint: SecondSavepoint,
    /// Whether the annotations of a `POST` that takes a savepoint are kept.
    pub annotations: Annotations,
    /// What becomes of a savepoint that is deleted without `force`.
    pub deletion: Deletion,
    /// How long it stays `DELETING`.
    pub deletion_takes: Duration,
    /// Whether `force` leaves the files where they are; the documentation guarantees neither.
    pub force_leaves_data: bool,
    /// In which order lists come.
    pub list_order: ListOrder,
    /// Every object has a field more that no client knows.
    pub unknown_fields: bool,
    /// Enums have values that no client knows: a savepoint under way says `PREPARING`, types and strategies
    /// are new ones, and lists hold a savepoint of an unknown origin in an unknown state.
    pub unknown_values: bool,
    /// How `spec.flinkSavepointId` is written.
    pub flink_savepoint_id: FlinkSavepointId,
    /// Where in a `POST` 2.15 looks for `"NATIVE"`, as a JSON pointer; the real name is not known.
    pub native_field: String,
    /// The status for a method that a known path does not have: 405, or 404 behind some gateways.
    pub absent_method_status: u16,
    /// The status for an id that is no UUID.
    pub malformed_id_status: u16,
    /// How long a simulated deployment is `TRANSITIONING` when its state is changed.
    pub transition_takes: Duration,
    /// Where a cancelled job leaves a checkpoint, which is then listed as `RETAINED_CHECKPOINT`.
    pub retained_checkpoint: Option<String>,
    /// How far the server's clock is ahead of ours (behind, where negative), in milliseconds.
    pub clock_ahead_ms: i64,
    /// How the name of a deployment becomes a label. Read from the settings for all.
    pub slug: SlugRule,
    /// What someone without credentials is told. Read from the settings for all.
    pub unauthenticated: Unauthenticated,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            created_status: 201,
            deleted_status: 200,
            error_body: ErrorBody::Message,
            not_running: NotRunning::Fails,
            second_savepoint: SecondSavepoint::Accepted,
            annotations: Annotations::Kept,
            deletion: Deletion::Goes,
            deletion_takes: Duration::from_millis(100),
            force_leaves_data: false,
            list_order: ListOrder::Created,
            unknown_fields: false,
            unknown_values: false,
            flink_savepoint_id: FlinkSavepointId::Text,
            native_field: "/spec/formatType".to_owned(),
            absent_method_status: 405,
            malformed_id_status: 400,
            transition_takes: Duration::from_millis(100),
            retained_checkpoint: None,
            clock_ahead_ms: 0,
            slug: SlugRule::Dashes,
            unauthenticated: Unauthenticated::Json,
        }
    }
}

/// What an error looks like. Only `message` is known, from a client that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorBody {
    /// `{"message": …}`.
    Message,
    /// `{"message": …, "details": …, "status": …}`, as Spring would.
    MessageAndDetails,
    /// Plain text.
    Text,
    /// Nothing.
    Empty,
}

/// What a savepoint of a deployment that does not run comes to. Events such as
/// `TRANSITIONING_TO_FAILED_STATE_BECAUSE_OF_A_MISSING_JOB` speak for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRunning {
    /// The savepoint is made and goes to `FAILED`.
    Fails,
    /// 400, and no savepoint.
    Refused,
}

/// What a second savepoint comes to while one is `STARTED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondSavepoint {
    /// Both are taken at once, as Flink can.
    Accepted,
    /// 409, and no savepoint.
    Refused,
    /// It is `STARTED`, and taken when the one before it has ended.
    Queued,
}

/// Whether annotations of the client survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotations {
    /// They do.
    Kept,
    /// They do not.
    Dropped,
}

/// What becomes of a savepoint that is deleted without `force`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is eligible: `DELETING`, then gone with its files. One whose files another savepoint points to
    /// is not, and stays `PENDING_DELETION` until that one has gone.
    Goes,
    /// It stays `PENDING_DELETION`.
    StaysPending,
    /// It goes to `FAILED_DELETION`; asking again is allowed.
    Fails,
}

/// In which order lists come; no order is documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOrder {
    /// Oldest first.
    Created,
    /// Newest first.
    Newest,
    /// Another one for every request.
    Shuffled,
}

/// How `spec.flinkSavepointId` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlinkSavepointId {
    /// As a string (2.1.0 and later).
    Text,
    /// As `{"uuid": …}` (2.0.1).
    Object,
}

/// How the name of a deployment becomes the value of its pods' label `deploymentName`. Documented is one
/// example: `My Deployment Name` becomes `my-deployment-name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlugRule {
    /// Lower case; every other character becomes a dash.
    Dashes,
    /// As [`SlugRule::Dashes`], and several dashes become one.
    DashesCollapsed,
    /// As [`SlugRule::Dashes`], but `.` and `_`, which a label may hold, stay.
    DotsKept,
}

/// What someone without credentials is told, where credentials are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unauthenticated {
    /// 401 and an error.
    Json,
    /// 302 to a login page.
    RedirectToLogin,
    /// 200 and a login page.
    LoginPage,
}
