//! One answer for all who ask at the same time.
//!
//! Hundreds of runs look for their names in the same second, and a platform's list is the same
//! for all of them. Nobody gets an answer to a question that was put before they asked: the list
//! of a moment ago may lack the job that has just started.

use std::time::Instant;

use lowtide_core::fault::Fault;
use tokio::sync::Mutex;

/// The latest answer, and when its question was put.
#[derive(Debug)]
pub(crate) struct Shared<T> {
    latest: Mutex<Option<(Instant, Result<T, Fault>)>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            latest: Mutex::new(None),
        }
    }
}

impl<T: Clone> Shared<T> {
    /// Puts the question, unless somebody put it after this call began.
    pub(crate) async fn ask<F>(&self, question: impl FnOnce() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let asked_at = Instant::now();
        // Held while asking: those who come meanwhile wait for the next answer, and share it.
        let mut latest = self.latest.lock().await;
        if let Some((put_at, answer)) = &*latest
            && *put_at >= asked_at
        {
            return answer.clone();
        }
        let put_at = Instant::now();
        let answer = question().await;
        *latest = Some((put_at, answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::Shared;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_put_two_questions_and_nobody_gets_an_old_answer() {
        let shared = Shared::default();
        let count = AtomicU32::new(0);
        let question = || async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(count.fetch_add(1, Ordering::Relaxed) + 1)
        };
        let answers = join_all((0..100).map(|_| shared.ask(question))).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.as_ref().is_ok_and(|n| *n <= 2))
        );
        let last = count.load(Ordering::Relaxed);
        assert!(last <= 2, "{last} questions");
        assert_eq!(shared.ask(question).await, Ok(last + 1));
    }
}
