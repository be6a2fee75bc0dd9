//! How much of everything: `test` runs a part that is drawn from a seed, `soak` all of it.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use testbench::say;

/// Whether everything is to be run.
pub fn is_soak() -> bool {
    std::env::var_os("LOWTIDE_SOAK").is_some()
}

/// One count for `test`, another for `soak`.
pub fn size<T>(test: T, soak: T) -> T {
    if is_soak() { soak } else { test }
}

/// Random draws for a test: from `LOWTIDE_SEED`, or fresh; the seed is printed.
pub fn draws(test: &str) -> SmallRng {
    let seed = match std::env::var("LOWTIDE_SEED") {
        Ok(text) => text.parse().expect("LOWTIDE_SEED is a whole number"),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::from(since.subsec_nanos())),
    };
    say::step(format!("{test}: LOWTIDE_SEED={seed}"));
    SmallRng::seed_from_u64(seed)
}
