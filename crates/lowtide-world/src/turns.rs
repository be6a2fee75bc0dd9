//! Few at once, as long as that is quick.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How long anybody waits for a turn. What is slow, or hangs, is then asked more at once instead: what one waits
/// for must not hold the others up.
pub(crate) const TURN_MAX: Duration = Duration::from_millis(500);

/// Turns at something that does not get quicker by being asked more at once.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Turns {
    /// For so many at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self(Semaphore::new(at_once))
    }

    /// Waits for a turn, [`TURN_MAX`] at most.
    pub(crate) async fn take(&self) -> Turn<'_> {
        let permit = match self.0.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => timeout(TURN_MAX, self.0.acquire())
                .await
                .ok()
                .and_then(Result::ok),
        };
        Turn { _permit: permit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_waited_for_but_not_for_ever() {
        let turns = Turns::new(1);
        let first = turns.take().await;
        let begun = tokio::time::Instant::now();
        let second = turns.take().await;
        assert_eq!(begun.elapsed(), TURN_MAX, "the first one hangs");
        drop((first, second));
        turns.take().await;
        assert_eq!(begun.elapsed(), TURN_MAX);
    }
}
