//! A place where requests wait until the test lets them go.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

#[derive(Debug, Default)]
struct State {
    arrived: usize,
    open: bool,
}

/// Shared by a test and the rules it gave it to. Closed at first.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until `count` requests in all have arrived here.
    ///
    /// # Errors
    /// Time is up.
    pub fn wait_arrived(&self, count: usize, limit: Duration) -> Result<()> {
        let (state, changed) = &*self.shared;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = changed
            .wait_timeout_while(state, limit, |state| state.arrived < count)
            .unwrap_or_else(PoisonError::into_inner);
        ensure!(
            state.arrived >= count,
            "{} of {count} requests arrived",
            state.arrived
        );
        Ok(())
    }

    /// Lets everyone through who waits, and everyone after.
    pub fn open(&self) {
        let (state, changed) = &*self.shared;
        state.lock().unwrap_or_else(PoisonError::into_inner).open = true;
        changed.notify_all();
    }

    /// Waits for the gate to open, at most `limit`: a test that failed must not leave threads for ever.
    pub fn pass(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let (state, changed) = &*self.shared;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.arrived += 1;
        changed.notify_all();
        while !state.open {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return;
            };
            (state, _) = changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
