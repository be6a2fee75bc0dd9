//! How old the metrics are that Flink answers from.
//!
//! The `JobManager` fetches metrics only while somebody asks, every 10 s at most
//! (`metrics.fetcher.update-interval`), and a question is answered from what is there while the
//! fetch that it set off is still under way. The answer tells when the last fetch began, not
//! whether it has come back. So it is believed only if a fetch is known that began long enough
//! ago to have come back, and not too long ago.

use std::sync::atomic::{AtomicI64, Ordering};

/// How long a fetch takes at most, as a rule, in milliseconds.
const FETCH_MS: i64 = 1_000;
/// How old metrics may be, in milliseconds.
const FRESH_MS: i64 = 20_000;

/// The last fetch that is known to have come back; of the cluster, for it fetches all at once.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    settled_ms: AtomicI64,
}

impl Freshness {
    /// Whether an answer at `now_ms` that names a fetch begun at `fetched_ms` is to be believed;
    /// both by the `JobManager`'s clock.
    pub(super) fn believes(&self, fetched_ms: i64, now_ms: i64) -> bool {
        let has_come_back = now_ms.saturating_sub(fetched_ms) >= FETCH_MS;
        let settled_ms = if has_come_back {
            let before = self.settled_ms.fetch_max(fetched_ms, Ordering::Relaxed);
            before.max(fetched_ms)
        } else {
            self.settled_ms.load(Ordering::Relaxed)
        };
        now_ms.saturating_sub(settled_ms) <= FRESH_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_that_has_just_begun_tells_nothing() {
        let freshness = Freshness::default();
        assert!(!freshness.believes(100_000, 100_010));
        assert!(freshness.believes(100_000, 101_000));
    }

    #[test]
    fn the_fetch_before_it_bridges_the_time() {
        let freshness = Freshness::default();
        assert!(freshness.believes(100_000, 109_000));
        assert!(freshness.believes(110_000, 110_010));
        assert!(!freshness.believes(130_000, 130_010));
    }

    #[test]
    fn what_was_fetched_long_ago_tells_nothing() {
        assert!(!Freshness::default().believes(100_000, 120_001));
    }
}
