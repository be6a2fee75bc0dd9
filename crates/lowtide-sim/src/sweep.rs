//! Many seeds, and what is to be said of them.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::law::Violation;
use crate::planted::Plant;
use crate::seed::{Seen, run};
use crate::trouble::{CRASH_PHASES, Spot, Tally, Trouble};

/// The fewest applications' slots that a seed must have to count for anything.
pub const SLOTS_MIN: u64 = 100;
/// Most broken seeds that a sweep goes on for: one is enough to know.
const BROKEN_MAX: usize = 8;
/// How many seeds it takes until every kind of fault must have come.
const SEEDS_FOR_ALL_KINDS: u64 = 100;

/// A seed that broke an invariant.
#[derive(Debug, Clone)]
pub struct Broken {
    /// The seed.
    pub seed: u64,
    /// What it broke.
    pub violation: Violation,
}

/// What came of a sweep.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Seeds that ran.
    pub seeds: u64,
    /// Counts over all of them.
    pub tally: Tally,
    /// Seeds that broke an invariant, smallest first.
    pub broken: Vec<Broken>,
    /// Seeds with fewer than [`SLOTS_MIN`] slots.
    pub thin: Vec<u64>,
}

impl Summary {
    /// Whether no invariant broke, and nothing that had to happen never did.
    pub fn is_clean(&self) -> bool {
        self.broken.is_empty() && self.thin.is_empty() && self.missing().is_empty()
    }

    /// Kinds of faults, phases and spots at zero; a sweep of few seeds need not have all.
    pub fn missing(&self) -> Vec<&'static str> {
        if self.seeds < SEEDS_FOR_ALL_KINDS {
            return Vec::new();
        }
        self.tally.missing()
    }

    fn add(&mut self, seen: Seen) {
        self.seeds += 1;
        if seen.violation.is_none() && seen.tally.slots < SLOTS_MIN {
            self.thin.push(seen.seed);
        }
        self.tally.add(&seen.tally);
        if let Some(violation) = seen.violation {
            self.broken.push(Broken {
                seed: seen.seed,
                violation,
            });
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        writeln!(
            f,
            "{} seeds, {} slots, {} requests, {} commits, {} savepoints asked for",
            self.seeds, tally.slots, tally.requests, tally.commits, tally.triggers
        )?;
        table(
            f,
            "faults",
            Trouble::ALL.iter().map(|kind| {
                let count = tally.troubles.get(kind).copied().unwrap_or_default();
                (kind.label(), count)
            }),
        )?;
        table(
            f,
            "phase of a run when its process crashed",
            CRASH_PHASES.iter().map(|phase| {
                let count = tally.crashed_phases.get(phase).copied();
                (phase.as_str(), count.unwrap_or_default())
            }),
        )?;
        table(
            f,
            "where processes crashed",
            Spot::ALL.iter().map(|spot| {
                let count = tally.crashed_spots.get(spot).copied();
                (spot.label(), count.unwrap_or_default())
            }),
        )?;
        let outcomes = tally.outcomes.iter();
        table(
            f,
            "outcomes",
            outcomes.map(|(word, count)| (word.as_str(), *count)),
        )?;
        let standings = tally.standings.iter();
        table(
            f,
            "savepoints",
            standings.map(|(word, count)| (*word, *count)),
        )?;
        for label in self.missing() {
            writeln!(f, "never happened: {label}")?;
        }
        for seed in &self.thin {
            writeln!(f, "seed {seed} has fewer than {SLOTS_MIN} slots")?;
        }
        for broken in &self.broken {
            let Violation {
                invariant,
                text,
                at,
                ..
            } = &broken.violation;
            writeln!(f, "seed {} broke {invariant} at {at}: {text}", broken.seed)?;
            writeln!(
                f,
                "  again, with its story: cargo xtask sim --replay {}",
                broken.seed
            )?;
        }
        Ok(())
    }
}

fn table<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    rows: impl Iterator<Item = (&'a str, u64)>,
) -> fmt::Result {
    writeln!(f, "{title}")?;
    for (label, count) in rows {
        writeln!(f, "  {label:<40} {count:>10}")?;
    }
    Ok(())
}

/// Runs seeds from `first_seed` on, `count` of them, on some threads; `progress` is told how many
/// are done.
pub fn sweep(
    first_seed: u64,
    count: u64,
    threads: usize,
    progress: impl Fn(u64) + Sync,
) -> Summary {
    sweep_with(first_seed, count, threads, progress, None)
}

/// The same with a planted bug: ends at the first seed that catches it.
#[cfg(lowtide_planted_bugs)]
pub fn sweep_planted(first_seed: u64, count: u64, threads: usize, plant: Plant) -> Summary {
    sweep_with(first_seed, count, threads, |_| {}, Some(plant))
}

fn sweep_with(
    first_seed: u64,
    count: u64,
    threads: usize,
    progress: impl Fn(u64) + Sync,
    plant: Option<Plant>,
) -> Summary {
    let next = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    let broken_max = if plant.is_some() { 1 } else { BROKEN_MAX };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let ix = next.fetch_add(1, Ordering::Relaxed);
                    if ix >= count || enough.load(Ordering::Relaxed) {
                        break;
                    }
                    let seen = planted_run(first_seed + ix, plant);
                    let mut summary = summary
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    summary.add(seen);
                    enough.store(summary.broken.len() >= broken_max, Ordering::Relaxed);
                    progress(summary.seeds);
                }
            });
        }
    });
    let mut summary = summary
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    summary.broken.sort_by_key(|broken| broken.seed);
    summary.thin.sort_unstable();
    summary
}

fn planted_run(seed: u64, plant: Option<Plant>) -> Seen {
    #[cfg(lowtide_planted_bugs)]
    lowtide_core::Bug::plant(match plant {
        Some(Plant::Core(bug)) => Some(bug),
        _ => None,
    });
    let model = match plant {
        Some(Plant::Model(bug)) => Some(bug),
        _ => None,
    };
    run(seed, false, model)
}

/// Runs one seed again and tells its story: all of it, or that of the application for which an
/// invariant broke.
pub fn replay(seed: u64) -> String {
    let seen = run(seed, true, None);
    let mut story = String::new();
    for event in &seen.story {
        let who = event
            .application
            .map_or_else(|| "all".to_owned(), |ix| format!("{ix:02}"));
        // Writing to a `String` cannot fail.
        let _ = writeln!(story, "{} [{who}] {}", event.at, event.text);
    }
    let _ = match &seen.violation {
        Some(broken) => writeln!(
            story,
            "seed {seed} broke {} at {}: {}\nagain: cargo xtask sim --replay {seed}",
            broken.invariant, broken.at, broken.text
        ),
        None => writeln!(story, "seed {seed}: no invariant broken"),
    };
    let _ = writeln!(story, "event hash {:016x}", seen.hash);
    story
}
