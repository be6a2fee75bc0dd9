//! Looks at mounted file systems, which block, and may block for long.
//!
//! Hundreds of savepoints end at the same moment, and each look takes some tens of microseconds: less than to wake a
//! thread for it. So a thread that is awake takes one look after the other, and another one is woken only when too many
//! wait.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lowtide_core::fault::Fault;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::interrupted;

/// Threads at once, as long as they are quick.
const THREADS_MAX: usize = 8;
/// So many looks wait for each thread before there is another one.
const WAITING_PER_THREAD: usize = 4;
/// How long a look waits for one of those threads. A file system that hangs keeps them all: then it gets a thread of
/// its own.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// A look, until somebody takes it.
type Look = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// What waits, and how many threads are at work.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Look>,
    threads: usize,
}

/// Whoever looks.
#[derive(Clone, Default)]
pub(super) struct Looks(Arc<Mutex<Queue>>);

impl Looks {
    /// Does what blocks.
    ///
    /// # Errors
    /// Those of the work; a transient fault, if it was cut off.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (sender, mut answer) = oneshot::channel();
        let work = move || {
            // Who has stopped waiting needs no answer.
            let _ = sender.send(work());
        };
        let look: Look = Arc::new(Mutex::new(Some(Box::new(work))));
        self.put(Arc::clone(&look));
        let in_time = timeout(WAIT_MAX, &mut answer).await;
        if in_time.is_err()
            && let Some(work) = take(&look)
        {
            tokio::task::spawn_blocking(work);
            self.queue()
                .waiting
                .retain(|other| !Arc::ptr_eq(other, &look));
        }
        let answer = match in_time {
            Ok(answer) => answer,
            Err(_) => answer.await,
        };
        answer.unwrap_or_else(|_| Err(interrupted()))
    }

    fn put(&self, look: Look) {
        let mut queue = self.queue();
        queue.waiting.push_back(look);
        let is_enough = queue.waiting.len() <= queue.threads * WAITING_PER_THREAD;
        if !is_enough && queue.threads < THREADS_MAX {
            queue.threads += 1;
            let looks = self.clone();
            tokio::task::spawn_blocking(move || looks.look_at_all());
        }
    }

    /// Takes looks until none waits.
    fn look_at_all(&self) {
        while let Some(look) = self.next() {
            if let Some(work) = take(&look) {
                // The one who waits is told by the end of the sender.
                let _ = catch_unwind(AssertUnwindSafe(work));
            }
        }
    }

    /// The next look; without one, the thread that asks has ended.
    fn next(&self) -> Option<Look> {
        let mut queue = self.queue();
        let next = queue.waiting.pop_front();
        queue.threads -= usize::from(next.is_none());
        next
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(look: &Look) -> Option<Box<dyn FnOnce() + Send>> {
    look.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;
    use std::sync::mpsc;

    use futures_util::future::join_all;
    use tokio::task::JoinSet;

    use super::*;

    async fn until(is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_mins(1), waiting)
            .await
            .expect("it comes to that");
    }

    /// A thread answers before it ends.
    async fn ended(looks: &Looks) {
        until(|| looks.queue().threads == 0).await;
    }

    #[tokio::test]
    async fn many_looks_are_few_threads() {
        let looks = Looks::default();
        let many = (0..200).map(|number| {
            looks.look(move || {
                let name = std::thread::current().id();
                Ok((number, name))
            })
        });
        let seen: Vec<_> = join_all(many)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert!(seen.iter().map(|(number, _)| *number).eq(0..200));
        let mut threads: Vec<_> = seen
            .iter()
            .map(|(_, thread)| format!("{thread:?}"))
            .collect();
        threads.sort();
        threads.dedup();
        assert!(threads.len() <= THREADS_MAX, "{threads:?}");
        ended(&looks).await;
    }

    #[tokio::test]
    async fn what_hangs_holds_nobody_up() {
        let looks = Looks::default();
        let (go_on, hang) = mpsc::channel::<()>();
        let hang = Arc::new(Mutex::new(hang));
        let mut hanging = JoinSet::new();
        for _ in 0..2 * THREADS_MAX * WAITING_PER_THREAD {
            let (looks, hang) = (looks.clone(), Arc::clone(&hang));
            let look = move || {
                let _ = hang.lock().expect("nobody panics").recv();
                Ok(())
            };
            hanging.spawn(async move { looks.look(look).await });
        }
        until(|| looks.queue().threads == THREADS_MAX).await;
        assert!(looks.look(|| Ok("seen")).await.is_ok());
        // Each has a thread of its own by then, and none is left behind in the queue.
        until(|| looks.queue().waiting.is_empty()).await;
        drop(go_on);
        assert!(hanging.join_all().await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn a_look_that_panics_is_a_fault_and_costs_no_thread() {
        let looks = Looks::default();
        let faults =
            join_all((0..100).map(|_| {
                looks.look(|| -> Result<(), Fault> { resume_unwind(Box::new("a defect")) })
            }));
        assert!(faults.await.iter().all(Result::is_err));
        assert!(looks.look(|| Ok(())).await.is_ok());
        ended(&looks).await;
    }
}
