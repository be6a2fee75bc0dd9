//! Short sleeps that end on time.
//!
//! A slot that is due waits for nothing but its timer, and so does a savepoint that is complete and not
//! asked about yet: two milliseconds late is a good part of what Lowtide adds to a savepoint.

use std::time::Duration;

#[cfg(target_os = "linux")]
use tokio::sync::Semaphore;

/// Fine sleeps at once at most. Each is a descriptor and wakes the runtime by itself, while the runtime's own
/// end together; and of hundreds of savepoints nobody waits for a single one.
#[cfg(target_os = "linux")]
const AT_ONCE_MAX: usize = 16;

/// The turns of those.
#[cfg(target_os = "linux")]
static TURNS: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// Sleeps for this long: late by some tens of microseconds on Linux, elsewhere and among many others by as
/// much as the runtime's timer is.
pub async fn sleep(left: Duration) {
    #[cfg(target_os = "linux")]
    if let Ok(_turn) = TURNS.try_acquire()
        && linux::sleep(left).await.is_ok()
    {
        return;
    }
    // No descriptor to be had, or not on Linux.
    tokio::time::sleep(left).await;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// By a descriptor that becomes readable (`timerfd_create(2)`): the runtime waits for it as for a
    /// socket. A length of zero would never end, so the least is a nanosecond.
    pub async fn sleep(left: Duration) -> io::Result<()> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(left.max(Duration::from_nanos(1)))
                .map_err(io::Error::other)?,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
        // Unsound only for what may close or replace its descriptor, which `OwnedFd` does not; what is
        // offered instead is unsafe for all.
        #[expect(deprecated)]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        timer.readable().await?.retain_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_sleep_is_never_short_and_none_ends_as_well() {
        for left in [0, 1, 700, 3_000].map(Duration::from_micros) {
            let begun = Instant::now();
            sleep(left).await;
            assert!(begun.elapsed() >= left, "{:?} < {left:?}", begun.elapsed());
        }
    }
}
