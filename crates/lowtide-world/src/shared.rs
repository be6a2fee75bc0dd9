//! One answer for all who ask at the same time.
//!
//! Hundreds of runs look for their names in the same second, and a platform's list is the same
//! for all of them. A fault is shared just so: else 500 callers would wait, one after the other,
//! for the same silent server.

use std::time::Duration;

use lowtide_core::fault::Fault;
use tokio::sync::Mutex;
use tokio::time::Instant;

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
    /// Puts the question, unless somebody put it after this call began. Nobody gets an answer to
    /// a question that was put before they asked: the list of a moment ago may lack the job that
    /// has just started.
    pub(crate) async fn ask<F>(&self, question: impl FnOnce() -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        self.ask_within(Duration::ZERO, question).await
    }

    /// Puts the question, unless somebody put it at most `age_max` before this call, or after it
    /// began: for who would rather have an old answer than put a question.
    pub(crate) async fn ask_within<F>(
        &self,
        age_max: Duration,
        question: impl FnOnce() -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let asked_at = Instant::now();
        // Held while asking: those who come meanwhile wait for the next answer, and share it.
        let mut latest = self.latest.lock().await;
        if let Some((put_at, answer)) = &*latest
            && asked_at.saturating_duration_since(*put_at) <= age_max
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

    use futures_util::future::join_all;
    use tokio::time::{advance, sleep, timeout};

    use super::*;

    /// Counts its questions; each takes five seconds, and the second one fails.
    #[derive(Default)]
    struct Counted {
        shared: Shared<u32>,
        count: AtomicU32,
    }

    const TAKES: Duration = Duration::from_secs(5);

    impl Counted {
        async fn ask(&self, age_max: Duration) -> Result<u32, Fault> {
            let question = || async {
                sleep(TAKES).await;
                match self.count.fetch_add(1, Ordering::Relaxed) + 1 {
                    2 => Err(Fault::transient("the second one fails")),
                    number => Ok(number),
                }
            };
            self.shared.ask_within(age_max, question).await
        }

        async fn many(&self) -> Vec<Result<u32, Fault>> {
            join_all((0..500).map(|_| self.ask(Duration::ZERO))).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_put_one_question_however_long_it_takes() {
        let counted = Counted::default();
        assert!(counted.many().await.iter().all(|answer| *answer == Ok(1)));
        assert!(counted.many().await.iter().all(Result::is_err));
        assert_eq!(counted.ask(Duration::ZERO).await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_is_only_for_who_wants_it() {
        let counted = Counted::default();
        assert_eq!(counted.ask(Duration::ZERO).await, Ok(1));
        // Its age counts from the question.
        assert_eq!(counted.ask(TAKES).await, Ok(1));
        advance(Duration::from_millis(1)).await;
        assert!(counted.ask(TAKES).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_gives_up_does_not_take_the_answer_from_the_others() {
        let counted = Counted::default();
        let impatient = timeout(TAKES / 5, counted.ask(Duration::ZERO));
        let (given_up, waited) = tokio::join!(impatient, counted.ask(Duration::ZERO));
        assert!(given_up.is_err());
        assert_eq!(waited, Ok(1));
    }
}
