//! The points at which a process can be struck: just before and just after each thing that it
//! does outside itself.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lowtide_core::run::Phase;
use rand::Rng;
use tokio::time::Instant;

use crate::state::{Sim, State};
use crate::trouble::{Spot, Trouble};

/// How long a process stalls at the most: three times as long as a claim on a run lasts.
const STALL_MS: (u64, u64) = (2_000, 90_000);

/// One chance in so many that a process dies there.
fn crash_odds(spot: Spot) -> u32 {
    match spot {
        Spot::BeforeTrigger | Spot::AfterTrigger => 40,
        Spot::BeforeCommit | Spot::AfterCommit => 700,
        Spot::BeforeQuestion | Spot::AfterQuestion => 5_000,
        Spot::AnyTime => u32::MAX,
    }
}

/// How much likelier pods without a catalog die: their lives are short, and each death tests what
/// the next one finds.
const POD_CRASH_ODDS: u32 = 5;

/// One chance in so many that a process stalls there.
fn stall_odds(spot: Spot) -> u32 {
    match spot {
        Spot::AfterCommit => 150,
        Spot::AfterTrigger => 60,
        _ => 5_000,
    }
}

/// What strikes a process at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// Nothing.
    None,
    /// It dies; what it was about to do happens all the same.
    CrashAfterAll,
    /// It dies.
    Crash,
    /// It stalls.
    Stall,
}

impl State {
    fn strike(&mut self, now: Timestamp, process: usize, spot: Spot) -> Strike {
        // Other work of the same process may be polled before its death or stall is noticed.
        if self.processes[process].crash.is_some() {
            return Strike::Crash;
        }
        if self.processes[process]
            .stalled_until
            .is_some_and(|until| until > Instant::now())
        {
            return Strike::Stall;
        }
        if self.quiet {
            return Strike::None;
        }
        let odds = match crash_odds(spot) {
            u32::MAX => u32::MAX,
            odds if self.processes[process].is_pod => odds / POD_CRASH_ODDS,
            odds => odds,
        };
        if self.rng.random_ratio(1, odds) {
            self.kill(now, process, spot);
            let before = matches!(
                spot,
                Spot::BeforeTrigger | Spot::BeforeCommit | Spot::BeforeQuestion
            );
            if !before {
                return Strike::Crash;
            }
            let survives = self.rng.random_bool(0.5);
            let (trouble, strike) = if survives {
                (Trouble::CallSurvives, Strike::CrashAfterAll)
            } else {
                (Trouble::CallDies, Strike::Crash)
            };
            self.trouble(now, trouble, None, spot.label());
            return strike;
        }
        if self.rng.random_ratio(1, stall_odds(spot)) {
            let nap = self.ms(STALL_MS.0, STALL_MS.1);
            self.stall(now, process, nap);
            return Strike::Stall;
        }
        Strike::None
    }

    /// Marks a process as dying, and counts the phases of the runs that it walked.
    pub fn kill(&mut self, now: Timestamp, process: usize, spot: Spot) {
        let owner = self.processes[process].owner.clone();
        let phases: Vec<Phase> = self
            .model
            .open()
            .filter(|run| run.owner.as_ref().map(|owner| &owner.who) == owner.as_ref())
            .map(|run| run.phase)
            .collect();
        for phase in phases {
            *self.tally.crashed_phases.entry(phase).or_default() += 1;
        }
        *self.tally.crashed_spots.entry(spot).or_default() += 1;
        let what = format!("process {process}, {}", spot.label());
        self.trouble(now, Trouble::Crash, None, &what);
        self.processes[process].crash = Some(spot);
        if let Some(waker) = self.processes[process].waker.take() {
            waker.wake();
        }
    }

    /// Makes a process stand still for a while.
    pub fn stall(&mut self, now: Timestamp, process: usize, nap: Duration) {
        let what = format!("process {process} for {} ms", nap.as_millis());
        self.trouble(now, Trouble::Stall, None, &what);
        self.processes[process].stalled_until = Some(Instant::now() + nap);
        if let Some(waker) = self.processes[process].waker.take() {
            waker.wake();
        }
    }
}

/// Passes a point. Never returns if the process dies there; `after_all` is done if the process
/// dies and what it was about to do happens all the same.
pub async fn pass(sim: &Arc<Sim>, process: usize, spot: Spot, after_all: impl FnOnce() + Send) {
    match sim.with(|state, now| state.strike(now, process, spot)) {
        Strike::None => {}
        Strike::Stall => tokio::task::yield_now().await,
        Strike::Crash => pending().await,
        Strike::CrashAfterAll => {
            after_all();
            pending::<()>().await;
        }
    }
}
