//! The clean run, and that a seed is a seed.

use lowtide_sim::{run, sweep};

#[test]
fn the_same_seed_twice_is_the_same_story() {
    for seed in [1, 7, 42] {
        let (first, second) = (run(seed, false, None), run(seed, true, None));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.tally, second.tally, "seed {seed}");
    }
}

#[test]
fn other_seeds_are_other_stories() {
    assert_ne!(run(1, false, None).hash, run(2, false, None).hash);
}

#[test]
fn no_invariant_breaks_and_every_kind_of_fault_comes() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let summary = sweep(1, 120, threads, |_| {});
    assert!(summary.is_clean(), "{summary}");
}
