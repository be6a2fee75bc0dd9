//! `cargo xtask sim`: many seeds of the simulator.

use anyhow::Result;

use crate::stage::{Counts, say};

/// Walks seeds, or prints the story of one.
pub fn run(first: u64, seeds: u64, replay: Option<u64>) -> Result<bool> {
    if let Some(seed) = replay {
        say(&lowtide_sim::replay(seed));
        return Ok(true);
    }
    Ok(sweep(first, seeds)?.failed == 0)
}

/// Walks seeds and prints what happened in them.
pub fn sweep(first: u64, seeds: u64) -> Result<Counts> {
    let threads = std::thread::available_parallelism()?.get();
    let summary = lowtide_sim::sweep(first, seeds, threads, |done| {
        if done % 100 == 0 {
            say(&format!("{done} of {seeds} seeds"));
        }
    });
    say(&summary.to_string());
    Ok(Counts::one(summary.is_clean()))
}
