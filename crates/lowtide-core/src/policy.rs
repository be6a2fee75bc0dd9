//! What a user asked for, for one application: values only.

use jiff::SignedDuration;

use crate::savepoint::Format;
use crate::schedule::{Never, Schedule};

/// Default for how long after its effective start a run may still begin an attempt.
pub const DEADLINE: SignedDuration = SignedDuration::from_hours(1);
/// Default for how many attempts a run may make.
pub const ATTEMPTS: u32 = 3;
/// Default for how long the gate holds for what passes by itself.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(5);
/// Default for how long a name may resolve to nothing before that is a failure.
pub const ABSENT_FOR: SignedDuration = SignedDuration::from_mins(10);
/// Default for how long ago a slot may lie that is still made up for.
pub const CATCH_UP: SignedDuration = SignedDuration::from_hours(6);
/// Default for how many savepoints of one platform may be under way at once: a savepoint costs
/// the cluster most when many write at the same time.
pub const CONCURRENCY: u32 = 16;
/// The same where each application has a cluster of its own, as on Ververica Platform: one
/// savepoint does not slow the next one's cluster down. What they share is the platform's gateway,
/// to which a savepoint is a handful of requests, and the store that they write to.
pub const CONCURRENCY_APART: u32 = 256;

/// The rules for one application.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The job's exact name on the platform.
    pub job: String,
    /// When slots are due; `None` for an application that is only ever taken by hand.
    pub schedule: Option<Schedule>,
    /// When no slot may trigger.
    pub never: Never,
    /// The format to ask for.
    pub format: Format,
    /// Where to put savepoints, as configured; `None` for the cluster's own directory. Kept as
    /// text: what a path without a scheme means is the cluster's to say (`fs.default-scheme`).
    pub target: Option<String>,
    /// How long after its effective start a run may still begin an attempt.
    pub deadline: SignedDuration,
    /// How many attempts a run may make.
    pub attempts: u32,
    /// How long the gate holds for what passes by itself.
    pub patience: SignedDuration,
    /// How long the name may resolve to nothing.
    pub absent_for: SignedDuration,
    /// How long ago a slot may lie that is still made up for.
    pub catch_up: SignedDuration,
    /// How many savepoints of the platform may be under way at once.
    pub concurrency: u32,
}
