//! Exactly once, on a real Flink, with the real program.
//!
//! The promise is about what happens when things die: so they die here, the program at every step
//! that it takes, the JobManager in the middle of savepoints, processes beside each other. What
//! happened is read from Flink's own log and from the disk, and compared with what the catalog
//! says; see [`books`]. *In the middle* is an operator that stands still until a file is gone, or a
//! request that a proxy holds: nothing here depends on how fast anything is.
//!
//! `LOWTIDE_SOAK=1` runs all of it; without it a part runs that is drawn from a printed seed, and
//! `LOWTIDE_SEED` draws it again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod books;
mod crashes;
mod job_manager;
mod program;
mod size;
mod two_serves;

use std::thread;

use anyhow::{Result, anyhow};
use job_manager::Return;
use size::size;
use testbench::flink::{Cluster, Release, ZooKeeper};

/// Of one TaskManager: what its memory holds.
const SLOTS_MAX: usize = 15;

#[test]
fn lowtide_killed_anywhere_and_two_of_it_side_by_side() -> Result<()> {
    let slots = crashes::APPLICATIONS + two_serves::SLOTS;
    let cluster = Cluster::builder(Release::V2_3)
        .task_managers(slots.div_ceil(SLOTS_MAX))
        .slots(SLOTS_MAX)
        .start()?;
    // On one cluster at the same time: both mostly wait for claims to lapse.
    thread::scope(|threads| {
        let killed = threads.spawn(|| crashes::killed_anywhere(&cluster));
        let two = two_serves::on_one_catalog(&cluster);
        both(killed.join().expect("it says itself why it panicked"), two)
    })
}

#[test]
fn the_job_manager_killed_without_and_with_high_availability() -> Result<()> {
    thread::scope(|threads| {
        let without = threads.spawn(killed_without);
        let with = killed_with();
        both(
            without.join().expect("it says itself why it panicked"),
            with,
        )
    })
}

/// Neither failure hides the other.
fn both(one: Result<()>, other: Result<()>) -> Result<()> {
    match (one, other) {
        (Err(one), Err(other)) => Err(anyhow!("{one:#}\n{other:#}")),
        (one, other) => one.and(other),
    }
}

fn killed_without() -> Result<()> {
    let cluster = Cluster::builder(Release::V2_3)
        .slots(job_manager::SLOTS)
        .start()?;
    let title = "the JobManager killed";
    job_manager::killed(&cluster, title, Return::Submitted, size(1, 8))
}

fn killed_with() -> Result<()> {
    let zookeeper = ZooKeeper::start(Release::V2_3)?;
    let cluster = Cluster::builder(Release::V2_3)
        .slots(job_manager::SLOTS)
        .high_availability(&zookeeper)
        .start()?;
    let title = "the JobManager killed, with high availability";
    job_manager::killed(&cluster, title, Return::Recovered, size(1, 8))
}
