//! Exactly once, on a real Flink, with the real program.
//!
//! The promise is about what happens when things die: so they die here, the program at every step
//! that it takes, the JobManager in the middle of savepoints, processes beside each other. What
//! happened is read from Flink's own log and from the disk, and compared with what the catalog
//! says; see [`books`].
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod books;
mod crashes;
mod program;
mod size;

use anyhow::Result;
use testbench::flink::{Cluster, Release};

#[test]
fn lowtide_killed_anywhere() -> Result<()> {
    let cluster = Cluster::builder(Release::V2_3)
        .task_managers(2)
        .slots(crashes::APPLICATIONS / 2)
        .start()?;
    crashes::killed_anywhere(&cluster)
}
