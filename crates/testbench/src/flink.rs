//! A real Flink of our own: releases, clusters, jobs.

mod cli;
mod cluster;
mod configuration;
mod distribution;
mod job;
mod metadata;
mod warm;
mod zookeeper;

pub(crate) use cluster::lock;
pub use cluster::{Builder, Cluster, SavepointDirectory, SavepointTrigger, savepoint_directories};
pub use distribution::{Distribution, Release};
pub(crate) use job::Target;
pub use job::{Backend, JobHandle, JobSpec};
pub use metadata::{dump_metadata, load_metadata};
pub use warm::warm_up;
pub use zookeeper::ZooKeeper;
