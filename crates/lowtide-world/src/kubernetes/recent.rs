//! One answer for all who ask at about the same time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lowtide_core::fault::Fault;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// An answer that was asked for once, and may still serve others.
///
/// Whoever comes while it is on its way waits for it, and a fault is shared just so: else 500
/// callers would wait, one after the other, for the same silent server.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    kept: Mutex<Option<Kept<T>>>,
}

#[derive(Debug)]
struct Kept<T> {
    asked_at: Instant,
    answer: Result<Arc<T>, Fault>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            kept: Mutex::new(None),
        }
    }
}

impl<T> Recent<T> {
    /// The kept answer, if it was asked for at most `age_max` before this call, or after it; else
    /// what `ask` gives. `ask` does nothing unless it is needed.
    pub(crate) async fn get(
        &self,
        age_max: Duration,
        ask: impl Future<Output = Result<T, Fault>>,
    ) -> Result<Arc<T>, Fault> {
        let wanted_at = Instant::now();
        // Held while asking: this is what makes the others wait.
        let mut kept = self.kept.lock().await;
        if let Some(kept) = &*kept
            && wanted_at.saturating_duration_since(kept.asked_at) <= age_max
        {
            return kept.answer.clone();
        }
        let asked_at = Instant::now();
        let answer = ask.await.map(Arc::new);
        *kept = Some(Kept {
            asked_at,
            answer: answer.clone(),
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const FRESH: Duration = Duration::from_secs(1);

    struct Counted {
        recent: Recent<u32>,
        asked: AtomicU32,
    }

    impl Counted {
        fn new() -> Self {
            Self {
                recent: Recent::default(),
                asked: AtomicU32::new(0),
            }
        }

        /// An answer that takes longer than it stays fresh.
        async fn get(&self) -> Result<Arc<u32>, Fault> {
            let ask = async {
                tokio::time::sleep(FRESH * 5).await;
                let number = self.asked.fetch_add(1, Ordering::Relaxed);
                if number == 1 {
                    return Err(Fault::transient("the second one fails"));
                }
                Ok(number)
            };
            self.recent.get(FRESH, ask).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_share_one_answer_however_long_it_takes() {
        let counted = Counted::new();
        let answers = futures_util::future::join_all((0..500).map(|_| counted.get())).await;
        assert!(answers.iter().all(|answer| **answer.as_ref().unwrap() == 0));
        assert_eq!(counted.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_is_shared_too_and_does_not_last() {
        let counted = Counted::new();
        assert_eq!(*counted.get().await.unwrap(), 0);
        let answers = futures_util::future::join_all((0..500).map(|_| counted.get())).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(counted.asked.load(Ordering::Relaxed), 2);
        assert_eq!(*counted.get().await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_gives_up_does_not_take_the_answer_from_the_others() {
        let counted = Counted::new();
        let first = tokio::time::timeout(FRESH, counted.get());
        let (first, second) = tokio::join!(first, counted.get());
        assert!(first.is_err());
        assert_eq!(*second.unwrap(), 0);
    }
}
