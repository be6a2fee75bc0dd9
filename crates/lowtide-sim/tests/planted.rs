//! Every planted bug is caught, by an invariant that is on in the clean run too.
//!
//! `RUSTFLAGS="--cfg lowtide_planted_bugs" cargo test -p lowtide-sim --test planted`: without the
//! flag there are no bugs, and this file is empty. `cargo xtask test` gives it to the crates of the workspace alone.
#![cfg(lowtide_planted_bugs)]
#![allow(clippy::print_stdout)]

use lowtide_core::Bug;
use lowtide_sim::{ModelBug, Plant, sweep_planted};

/// How many seeds a bug may take to be caught.
const SEEDS: u64 = 200;

#[test]
fn every_planted_bug_is_caught_by_a_named_invariant() {
    let plants = Bug::ALL
        .into_iter()
        .map(Plant::Core)
        .chain(ModelBug::ALL.into_iter().map(Plant::Model));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut missed = Vec::new();
    for plant in plants {
        let summary = sweep_planted(1, SEEDS, threads, plant);
        match summary.broken.first() {
            Some(broken) => println!(
                "{plant:?}: {} in seed {}",
                broken.violation.invariant, broken.seed
            ),
            None => missed.push(plant),
        }
    }
    assert!(missed.is_empty(), "not caught in {SEEDS} seeds: {missed:?}");
}
