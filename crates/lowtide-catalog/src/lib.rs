//! The memory of Lowtide: runs and savepoints in SQLite, all SQL, migrations.
//!
//! The whole record of a run or a savepoint is one JSON text, so that what comes back is exactly
//! what went in; beside it stand the few columns that questions are asked about. A commit is one
//! `BEGIN IMMEDIATE` transaction that checks the version, does its work and is on the disk when
//! it returns (`synchronous=FULL`): a request may be sent only after the row that says so
//! survives a power cut. Commits that wait at the same moment share a transaction.
//!
//! Several processes use one file. Each has one writing connection and a few reading ones; who
//! finds the file locked waits for [`BUSY_WAIT`] at most and then says so.
//!
//! The body's shape belongs to the schema version: whatever changes what an older release would
//! lose when it writes a record again comes with a new migration, and the older release refuses
//! the catalog.

mod adopt;
mod contexts;
mod group;
mod mounts;
mod open;
mod pauses;
mod port;
mod questions;
mod readings;
mod rows;
mod sql;

pub use open::{BUSY_WAIT, Catalog, OpenError};
pub use pauses::Paused;
pub use questions::{RUN_MATCHES_MAX, RunFilter, SavepointFilter};
pub use readings::ReadOutcome;

#[cfg(test)]
mod tests;
