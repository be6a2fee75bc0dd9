//! A process's own wall clock over the runtime's paused time.
//!
//! It drifts and is set forward and back, and stays within [`crate::state::SKEW_MS_MAX`] of true
//! time. Waiting is measured by the runtime's monotonic clock, as in the program: a clock that is
//! set while somebody waits is noticed when the wait is over.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lowtide_core::ports::Clock;

use crate::state::Sim;

/// The clock of one process.
pub struct Wall {
    /// The simulation.
    pub sim: Arc<Sim>,
    /// The process's index.
    pub process: usize,
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        self.sim.wall(self.process)
    }

    async fn sleep_until(&self, at: Timestamp) {
        while let Some(wait) = Duration::try_from(at.duration_since(self.now()))
            .ok()
            .filter(|wait| !wait.is_zero())
        {
            // The timer counts milliseconds: less than one would end at once, again and again.
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    }
}
