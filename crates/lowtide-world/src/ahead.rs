//! Questions put ahead: a command knows the names before it has a claim on anything.
//!
//! Opening the catalog and claiming runs takes as long as finding the jobs of those names, so
//! both happen at once. An answer that was asked for ahead counts as one to a question put a moment
//! later, since it is not older than the command; after [`FRESH`], or where it is a fault, the
//! question is put again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lowtide_core::fault::Fault;
use lowtide_core::name::PlatformName;
use lowtide_core::resolve::JobSeen;
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

/// A question that is on its way, or answered.
#[derive(Debug)]
struct Question {
    put_at: Instant,
    answer: JoinHandle<Result<Vec<JobSeen>, Fault>>,
}

/// The questions put ahead whose answers nobody took.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    questions: Mutex<BTreeMap<Name, Question>>,
}

impl Ahead {
    /// Asks for the jobs of these names, the first [`AHEAD_MAX`] of them.
    pub(crate) fn ask(&self, names: impl IntoIterator<Item = (Arc<Platform>, Name)>) {
        let mut questions = self.lock();
        for (platform, name) in names.into_iter().take(AHEAD_MAX) {
            let job = name.1.clone();
            let question = Question {
                put_at: Instant::now(),
                answer: tokio::spawn(async move { platform.jobs(&job, FRESH).await }),
            };
            questions.insert(name, question);
        }
    }

    /// The answer, if the question was put a moment ago; once.
    pub(crate) async fn take(&self, platform: &PlatformName, job: &str) -> Option<Vec<JobSeen>> {
        let question = self.lock().remove(&(platform.clone(), job.to_owned()))?;
        if question.put_at.elapsed() > FRESH {
            question.answer.abort();
            return None;
        }
        question.answer.await.ok()?.ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Name, Question>> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
