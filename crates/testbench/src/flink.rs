//! A real Flink of our own: releases, clusters, jobs.

mod cli;
mod cluster;
mod configuration;
mod distribution;
mod job;
mod metadata;
mod zookeeper;

pub use cluster::{Builder, Cluster, SavepointDirectory, SavepointTrigger};
pub use distribution::{Distribution, Release};
pub use job::{Backend, JobHandle, JobSpec};
pub use metadata::dump_metadata;
pub use zookeeper::ZooKeeper;
