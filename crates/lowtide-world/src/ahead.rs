//! Questions put ahead: a command knows the names before it has a claim on anything.
//!
//! Opening the catalog and claiming runs takes as long as finding the jobs of those names and
//! looking at their health, so all that happens at once. An answer that was asked for ahead counts
//! as one to a question put a moment later, since it is not older than the command; after
//! [`FRESH`], or where it is a fault, the question is put again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lowtide_core::fault::Fault;
use lowtide_core::gate::Vitals;
use lowtide_core::name::{JobId, PlatformName};
use lowtide_core::resolve::{JobSeen, Resolution, resolve};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::kubernetes::LISTING_FRESH;
use crate::platform::Platform;

/// How old a question may be whose answer is taken: as old as a listing of Kubernetes.
const FRESH: Duration = LISTING_FRESH;
/// How many questions are put ahead: a platform where each name is a request of its own gets these
/// at once, as it gets requests for as many savepoints.
const AHEAD_MAX: usize = 256;

/// A name on a platform.
pub(crate) type Name = (PlatformName, String);

/// A job on a platform.
type Job = (PlatformName, JobId);

/// A question that is on its way, or answered.
#[derive(Debug)]
struct Question<T> {
    put_at: Instant,
    answer: JoinHandle<Result<T, Fault>>,
}

impl<T: Send + 'static> Question<T> {
    fn put(asking: impl Future<Output = Result<T, Fault>> + Send + 'static) -> Self {
        Self {
            put_at: Instant::now(),
            answer: tokio::spawn(asking),
        }
    }

    /// The answer, if the question was put a moment ago.
    async fn answer(self) -> Option<T> {
        if self.put_at.elapsed() > FRESH {
            self.answer.abort();
            return None;
        }
        self.answer.await.ok()?.ok()
    }
}

/// Questions that nobody took the answers of.
type Questions<K, T> = Mutex<BTreeMap<K, Question<T>>>;

fn take<K: Ord, T>(questions: &Questions<K, T>, about: &K) -> Option<Question<T>> {
    lock(questions).remove(about)
}

fn lock<K, T>(questions: &Questions<K, T>) -> MutexGuard<'_, BTreeMap<K, Question<T>>> {
    questions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The questions put ahead.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    jobs: Questions<Name, Vec<JobSeen>>,
    vitals: Arc<Questions<Job, Vitals>>,
}

impl Ahead {
    /// Asks for the jobs of these names, the first [`AHEAD_MAX`] of them, and then for the vitals of
    /// each job that is the only one of its name.
    pub(crate) fn ask(&self, names: impl IntoIterator<Item = (Arc<Platform>, Name)>) {
        let mut questions = lock(&self.jobs);
        for (platform, name) in names.into_iter().take(AHEAD_MAX) {
            let vitals = Arc::clone(&self.vitals);
            let asking = ask_one(platform, name.clone(), vitals);
            questions.insert(name, Question::put(asking));
        }
    }

    /// The jobs of this name, if they were asked for a moment ago; once.
    pub(crate) async fn take_jobs(
        &self,
        platform: &PlatformName,
        job: &str,
    ) -> Option<Vec<JobSeen>> {
        let question = take(&self.jobs, &(platform.clone(), job.to_owned()))?;
        question.answer().await
    }

    /// The vitals of this job, if they were asked for a moment ago; once.
    pub(crate) async fn take_vitals(&self, platform: &PlatformName, job: &JobId) -> Option<Vitals> {
        let question = take(&self.vitals, &(platform.clone(), job.clone()))?;
        question.answer().await
    }
}

async fn ask_one(
    platform: Arc<Platform>,
    (of, name): Name,
    vitals: Arc<Questions<Job, Vitals>>,
) -> Result<Vec<JobSeen>, Fault> {
    let jobs = platform.jobs(&name, FRESH).await?;
    if platform.vitals_may_be_asked_ahead()
        && let Resolution::One(job) = resolve(&name, &jobs)
    {
        let id = job.id.clone();
        let question = Question::put(async move { platform.vitals(&id).await });
        lock(&vitals).insert((of, job.id), question);
    }
    Ok(jobs)
}
