//! Two snapshots side by side, or a snapshot beside the plan of a running job: what differs, and
//! what Flink would do with the state of the first in the job of the second.
//!
//! The first is always called A, the second B. [`Snapshot`] and [`Plan`] say what is known of each;
//! [`differences`] finds what differs; [`restore`] applies Flink's own rules. Nothing is read here:
//! the names of keyed states, which lie in headers of state files, come in as values ([`headers`](crate::headers)
//! says where they are).
//!
//! A snapshot knows more than a plan. It holds the id of every operator with state, and from
//! version 5 on of every operator. Flink's REST API shows the vertices of a job, and the id of a
//! vertex is that of the first operator of its chain (`JobVertexID` and `OperatorID` are made of the
//! same 16 bytes in `StreamingJobGraphGenerator`): the others of the chain are not to be seen. What
//! cannot be seen is said to be so, and never guessed.

mod differences;
mod restore;
mod side;

pub use differences::{
    Change, Differences, Facts, OperatorDifference, StateDifference, differences,
};
pub use restore::{Reason, Restore, Rule, Verdict, restore};
pub use side::{B, Keyed, Plan, Snapshot, StateKind, StateName, Vertex};

#[cfg(test)]
mod tests;
