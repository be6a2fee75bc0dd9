//! The domain of Lowtide: decides everything, does nothing.
//!
//! A savepoint attempt is a row that walks through phases. The edge does one piece of I/O and
//! reports what it saw ([`run::Seen`]); [`run::advance`] decides the next step from values alone;
//! the catalog commits that step under a version check. One-shot, daemon, crash recovery and a
//! second process all take this path, so there is one place to be right in.
//!
//! Nothing here reads a clock, a file, the environment or randomness: `clippy.toml` disallows it.

pub mod adopt;
pub mod baseline;
pub mod compare;
pub mod engine;
pub mod fault;
pub mod gate;
pub mod headers;
pub mod name;
mod planted;
pub mod policy;
pub mod ports;
pub mod resolve;
pub mod rotation;
pub mod run;
pub mod savepoint;
pub mod scan;
pub mod schedule;
pub mod structure;
pub mod verify;

pub use flink_metadata;
pub use planted::Bug;
