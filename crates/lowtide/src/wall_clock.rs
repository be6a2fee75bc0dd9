//! The real clock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use lowtide_core::ports::Clock;

use crate::fine_timer;

/// Longest sleep before the wall clock is read again: it may be set, or the machine may have
/// been asleep, and timers know nothing of that.
const SLEEP_MAX: Duration = Duration::from_secs(3);
/// The last part of a sleep, which the finer timer does: the runtime's counts whole milliseconds, and
/// ends up to two of them late.
const FINE: Duration = Duration::from_millis(3);
/// Where more sleep at once than this, all leave it to the runtime's timer: of hundreds nobody waits for a single one,
/// and waking each of them twice costs more than the two milliseconds.
const FINE_SLEEPERS_MAX: usize = 64;

/// How many sleep.
static SLEEPERS: AtomicUsize = AtomicUsize::new(0);

/// Somebody who sleeps, until it is dropped.
struct Sleeper {
    /// How many do, with this one.
    count: usize,
}

impl Sleeper {
    fn new() -> Self {
        Self {
            count: SLEEPERS.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        SLEEPERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The machine's wall clock, in whole milliseconds.
///
/// Slots, rows and ids count whole milliseconds; finer times would compare unequal after a round
/// trip through the catalog.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        whole_milliseconds(Timestamp::now())
    }

    async fn sleep_until(&self, at: Timestamp) {
        loop {
            let left = at.duration_since(Timestamp::now());
            let Ok(left) = Duration::try_from(left) else {
                return;
            };
            if left.is_zero() {
                return;
            }
            let sleeper = Sleeper::new();
            let before = if sleeper.count > FINE_SLEEPERS_MAX {
                left
            } else {
                left.saturating_sub(FINE)
            };
            if before.is_zero() {
                fine_timer::sleep(left).await;
            } else {
                tokio::time::sleep(before.min(SLEEP_MAX)).await;
            }
        }
    }
}

/// Drops what is finer than a millisecond.
pub fn whole_milliseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_past_time_is_no_wait_and_a_near_one_is_met() {
        let clock = WallClock;
        clock.sleep_until(Timestamp::UNIX_EPOCH).await;
        let at = clock.now() + jiff::SignedDuration::from_millis(30);
        clock.sleep_until(at).await;
        assert!(Timestamp::now() >= at);
    }

    #[tokio::test]
    async fn in_a_crowd_none_ends_early() {
        let at = WallClock.now() + jiff::SignedDuration::from_millis(5);
        let crowd = (0..2 * FINE_SLEEPERS_MAX).map(|_| async move {
            WallClock.sleep_until(at).await;
            Timestamp::now() >= at
        });
        assert!(
            futures_util::future::join_all(crowd)
                .await
                .iter()
                .all(|is_late| *is_late)
        );
    }

    #[test]
    fn milliseconds_are_whole() {
        let at: Timestamp = "2026-07-01T01:17:00.1239Z".parse().unwrap();
        assert_eq!(
            whole_milliseconds(at).to_string(),
            "2026-07-01T01:17:00.123Z"
        );
    }
}
