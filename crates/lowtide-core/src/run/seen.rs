//! What the edge saw, and what the core answers.

use jiff::{SignedDuration, Timestamp};

use super::{Cause, Run};
use crate::baseline::Baseline;
use crate::fault::Fault;
use crate::gate::Vitals;
use crate::name::{JobId, Location, SavepointId, TriggerId};
use crate::resolve::JobSeen;
use crate::savepoint::Savepoint;
use crate::verify::Reading;

/// The single piece of I/O that a run asks for next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: ask [`super::advance`] with [`Seen::Nothing`].
    Step,
    /// List the platform's jobs.
    Jobs,
    /// Read the vitals of the run's job.
    Vitals(JobId),
    /// Ask what became of the attempt's trigger id.
    Operation,
    /// Sight is lost: ask for the trigger id, then look at the job, then into the attempt's own
    /// directory; in this order, so that a savepoint that completes in between is seen. Also the
    /// look before the request of a run that nothing is remembered of.
    Search,
    /// Read the savepoint.
    Read(Location),
    /// Nothing: the run has ended.
    End,
}

/// What the platform said to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It will be tried (HTTP 202): no success yet.
    Accepted,
    /// It will be tried, and this is what the platform calls the savepoint that may come of it.
    Created(SavepointId),
    /// It will not be tried: the platform itself said so.
    Refused(Cause),
    /// Nothing was delivered: the connection was refused.
    NotSent(Fault),
    /// Anything else: it may have been accepted.
    Unclear(Fault),
}

/// What became of a trigger id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Under way.
    InProgress,
    /// Completed, without a failure cause, with a location.
    Completed(Location),
    /// Completed with a failure cause, whatever its status says.
    Failed(Cause),
    /// The platform does not know the trigger id (HTTP 404).
    NotFound {
        /// When the job's incarnation began, read after the 404; `None` if the job is gone.
        job_started_at: Option<Timestamp>,
    },
    /// The platform takes no trigger id, and what it called the savepoint is not known: all that
    /// it lists of the job.
    Listed(Vec<Listed>),
}

/// A savepoint in a platform's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What the platform calls it.
    pub id: SavepointId,
    /// Whether somebody asked for it (VVP's origin `USER_REQUEST`); not a copy, nor a side
    /// effect of suspending.
    pub requested: bool,
    /// The mark that our requests carry, where the platform keeps it.
    pub mark: Option<TriggerId>,
    /// When the platform made it, by the platform's clock.
    pub created_at: Timestamp,
    /// How far it is.
    pub state: ListedState,
}

/// How far a listed savepoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedState {
    /// Under way.
    InProgress,
    /// Complete, and where it lies.
    Completed(Location),
    /// It failed, and why.
    Failed(Cause),
    /// On its way out, or in a state that this release does not know: not to be relied on.
    Other,
}

/// A directory in an attempt's target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it lies, as the platform calls it.
    pub location: Location,
    /// Whether it has a `_metadata`: Flink's commit point, written last.
    pub has_metadata: bool,
    /// Whether somebody else asked for it. In a directory of the attempt's own nobody did.
    pub foreign: bool,
}

/// What a search gave; the fields in the order of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searched {
    /// What became of the trigger id.
    pub operation: Result<Operation, Fault>,
    /// The job, `None` if it is gone, or why that cannot be told.
    pub job: Result<Option<Vitals>, Fault>,
    /// The directories in the attempt's own one, or why it cannot be read.
    pub directories: Result<Vec<Found>, Fault>,
}

/// What the edge saw.
#[derive(Debug, Clone)]
pub enum Seen {
    /// Nothing was asked.
    Nothing,
    /// The catalog refused to begin: another run of the application, or enough on the platform.
    Busy(String),
    /// The platform's jobs.
    Jobs(Result<Vec<JobSeen>, Fault>),
    /// The job's vitals.
    Vitals(Result<Box<Vitals>, Fault>),
    /// The answer to the one granted call.
    Replied(Reply),
    /// What became of the trigger id.
    Operation(Result<Operation, Fault>),
    /// The result of a search.
    Searched(Box<Searched>),
    /// The savepoint, and what else lies in the attempt's directory.
    Read {
        /// The savepoint.
        reading: Result<Box<Reading>, Fault>,
        /// All directories in the attempt's target, where it can be listed.
        beside: Vec<Found>,
    },
}

/// What the decision goes by besides the row and what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Context {
    /// How long the application's savepoints usually take.
    pub usual: Option<Usual>,
    /// The median state size of the application's good savepoints, in bytes.
    pub median_bytes: Option<u64>,
    /// How many runs had not ended when this was read, whoever walks them.
    pub company: u32,
}

/// How long an application's savepoints usually take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    /// One in ten was quicker.
    pub early: SignedDuration,
    /// Half of them were.
    pub middle: SignedDuration,
    /// How many savepoints tell so.
    pub known: usize,
}

/// How many of the application's latest good savepoints count for its medians: enough to level
/// one odd night, few enough to follow state that grows.
pub const CONTEXT_SAVEPOINTS: usize = 20;

impl Context {
    /// What is usual by the latest [`CONTEXT_SAVEPOINTS`] good kept savepoints: durations in
    /// milliseconds, where known, and state sizes in bytes. Quantiles are values that were
    /// really seen: of an even number, the median is the smaller of the two in the middle.
    /// With how many runs [have not ended](Self::company).
    pub fn of_measures(durations_ms: Vec<u64>, state_bytes: Vec<u64>, company: u32) -> Self {
        Self {
            usual: usual(durations_ms),
            median_bytes: median(state_bytes),
            company,
        }
    }
}

fn usual(mut durations_ms: Vec<u64>) -> Option<Usual> {
    durations_ms.sort_unstable();
    let last = durations_ms.len().checked_sub(1)?;
    let at = |index: usize| {
        let ms = durations_ms.get(index).copied()?;
        i64::try_from(ms).ok().map(SignedDuration::from_millis)
    };
    Some(Usual {
        early: at(last / 10)?,
        middle: at(last / 2)?,
        known: durations_ms.len(),
    })
}

fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}

/// What to commit, and what then.
#[derive(Debug, Clone)]
pub struct Step {
    /// The row after the step; equal to the row before if there is nothing to commit.
    pub run: Run,
    /// Savepoints to record in the same commit.
    pub savepoints: Vec<Savepoint>,
    /// What to compare later readings of one of them with. It is recorded beside the commit, and
    /// lost with a crash in between: then there is one comparison less.
    pub baseline: Option<(Location, Baseline)>,
    /// Whoever commits this step may make the attempt's one call, at once, and nobody else may.
    pub grants_call: bool,
    /// Nothing more before this time. Not stored: a process that takes over looks at once.
    pub rest_until: Option<Timestamp>,
}
