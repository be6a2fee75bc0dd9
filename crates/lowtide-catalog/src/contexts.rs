//! What is usual for applications, read together for those that wait for it at the same moment.
//!
//! Hundreds of runs whose requests go out at once each ask for it, and a statement of its own for each
//! would take the processor from those very requests.

use std::time::Duration;

use lowtide_core::name::AppKey;
use lowtide_core::ports::CatalogError;
use lowtide_core::run::{CONTEXT_SAVEPOINTS, Context};
use sqlx::{Pool, Sqlite};
use tokio::sync::{mpsc, oneshot};

use crate::rows::broken;
use crate::sql;

type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// Applications in one statement at most: it reads a few rows for each, in some tens of microseconds.
const TOGETHER_MAX: usize = 256;
/// After several at once the next are waited for, so that they share a statement: each counts all runs under way, and
/// nobody needs the answer before the savepoint may be complete.
const LINGER: Duration = Duration::from_millis(5);
/// Which application in the question, the durations of its savepoints in milliseconds, and their sizes in bytes.
type Measures = (usize, Vec<Option<u64>>, Vec<Option<u64>>);

/// What is being done, in errors.
const DOING: &str = "reading an application's medians";

/// Whoever reads them for this handle of the catalog.
#[derive(Debug, Clone)]
pub(crate) struct Contexts {
    queue: mpsc::Sender<Asked>,
}

/// An application and who waits.
#[derive(Debug)]
struct Asked {
    application: AppKey,
    reply: oneshot::Sender<Result<Context>>,
}

impl Contexts {
    /// Starts the task that reads; it ends with the last handle.
    pub(crate) fn through(readers: Pool<Sqlite>) -> Self {
        let (queue, waiting) = mpsc::channel(TOGETHER_MAX);
        tokio::spawn(read_all(readers, waiting));
        Self { queue }
    }

    pub(crate) async fn of(&self, application: &AppKey) -> Result<Context> {
        let gone = || CatalogError::Broken("whoever reads it has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        let application = application.clone();
        let asked = Asked { application, reply };
        self.queue.send(asked).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn read_all(readers: Pool<Sqlite>, mut waiting: mpsc::Receiver<Asked>) {
    let mut group = Vec::with_capacity(TOGETHER_MAX);
    let mut were_several = false;
    loop {
        if were_several {
            tokio::time::sleep(LINGER).await;
        }
        if waiting.recv_many(&mut group, TOGETHER_MAX).await == 0 {
            return;
        }
        were_several = group.len() > 1;
        match together(&readers, &group).await {
            Ok(contexts) => {
                for (asked, context) in group.drain(..).zip(contexts) {
                    // Who has stopped waiting needs none.
                    let _ = asked.reply.send(Ok(context));
                }
            }
            Err(error) => {
                for asked in group.drain(..) {
                    let _ = asked.reply.send(Err(error.clone()));
                }
            }
        }
    }
}

/// One for each, in their order.
async fn together(readers: &Pool<Sqlite>, group: &[Asked]) -> Result<Vec<Context>> {
    let keys: Vec<[&str; 2]> = group
        .iter()
        .map(|Asked { application, .. }| {
            [
                application.platform.as_str(),
                application.application.as_str(),
            ]
        })
        .collect();
    let text: String = sqlx::query_scalar(sql::MEASURES)
        .bind(serde_json::json!(keys).to_string())
        .bind(i64::try_from(CONTEXT_SAVEPOINTS).unwrap_or(i64::MAX))
        .fetch_one(readers)
        .await
        .map_err(broken(DOING))?;
    let unlike = |what: &str| CatalogError::Broken(format!("{DOING}: {what}"));
    let (company, measures): (u32, Vec<Measures>) =
        serde_json::from_str(&text).map_err(|error| unlike(&error.to_string()))?;
    let mut contexts = vec![None; group.len()];
    for (index, durations_ms, state_bytes) in measures {
        let known = |values: Vec<Option<u64>>| values.into_iter().flatten().collect();
        let context = Context::of_measures(known(durations_ms), known(state_bytes), company);
        if let Some(place) = contexts.get_mut(index) {
            *place = Some(context);
        }
    }
    let all: Option<Vec<Context>> = contexts.into_iter().collect();
    all.ok_or_else(|| unlike("not as many as were asked for"))
}
