//! A real Flink of our own: releases, clusters, jobs.

mod cluster;
mod configuration;
mod distribution;
mod job;

pub use cluster::{Builder, Cluster, SavepointDirectory, SavepointTrigger};
pub use distribution::{Distribution, Release};
pub use job::{Backend, JobHandle, JobSpec};
