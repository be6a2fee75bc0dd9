//! How trouble ends, against a real Flink: each row of the table that says so, and every way to lose, damage
//! or refuse a savepoint that we could think of.
//!
//! The program is used as people use it: a YAML file, a command, its exit code, what it prints. Each message
//! must name the cause and say what to do. What really happened is read from Flink (the JobManager's log,
//! the directories), not from Lowtide. Nothing sleeps: jobs are held by files, replies by a proxy.

#![allow(clippy::unwrap_used)]

mod access;
mod away;
mod bench;
mod names;
mod network;
mod proof;
mod releases;
mod targets;
mod tasks;
