//! Brings runs to their end, whoever walks them, as far as somebody waits for that.
//!
//! `take` and `run` wait; `serve` has a loop of its own. Waiting is a thing apart from the
//! savepoint: it may be interrupted or given up, then the runs are given back and the next
//! process goes on from the row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use lowtide_core::engine::{Engine, Walked};
use lowtide_core::name::RunId;
use lowtide_core::policy::Policy;
use lowtide_core::ports::{Catalog, CatalogError, Clock, World};
use lowtide_core::run::Run;
use lowtide_core::savepoint::Savepoint;
use tokio::task::{Id, JoinError, JoinSet};

use crate::signals::Signals;
use crate::trouble::Trouble;

/// How often the row of a run is read that another process walks: people wait, and reading it
/// costs next to nothing.
const FOLLOW_EVERY: SignedDuration = SignedDuration::from_millis(250);

/// How often runs are looked for that nobody walks. A claim lapses after 30 s, so this is little
/// more; one small query.
pub const SCAN_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// A run to be brought to its end.
#[derive(Debug, Clone)]
pub struct Job {
    /// The row as it was last seen.
    pub run: Run,
    /// The rules for it.
    pub policy: Policy,
    /// Whether this process owns it.
    pub mine: bool,
}

/// Why waiting ended before all runs had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// By a signal.
    Interrupted,
    /// After the time that the user gave.
    GivenUp,
}

/// How waiting ended.
#[derive(Debug)]
pub struct Waited {
    /// The rows that ended, or why a walk did not go on.
    pub results: BTreeMap<RunId, Result<Run, Trouble>>,
    /// Why not all of them are there.
    pub stopped: Option<Stopped>,
}

/// Waits for all of these at once.
///
/// Meanwhile it takes over what `in_the_way` has rules for once nobody walks it: an earlier run of
/// an application holds the later one back, and the process that walked it may have died a moment
/// before this one began.
pub async fn to_their_ends<W, C, K, O>(
    engine: &Arc<Engine<W, C, K, O>>,
    jobs: Vec<Job>,
    in_the_way: impl Fn(&Run) -> Option<Policy>,
    patience: Option<Duration>,
    signals: &mut Signals,
) -> Waited
where
    W: World + 'static,
    C: Catalog + 'static,
    K: Clock + 'static,
    O: Fn(&Run, Option<&[Savepoint]>) + Send + Sync + 'static,
{
    let mut walks = JoinSet::new();
    let mut open: BTreeMap<Id, Run> = BTreeMap::new();
    let start = |job: Job, walks: &mut JoinSet<_>| {
        let run = job.run.clone();
        let engine = Arc::clone(engine);
        let task = walks.spawn(async move { to_its_end(&engine, job).await });
        (task.id(), run)
    };
    open.extend(jobs.into_iter().map(|job| start(job, &mut walks)));
    let mut scan_at = engine.clock.now() + SCAN_EVERY;
    let mut results = BTreeMap::new();
    let mut out_of_patience = std::pin::pin!(async {
        match patience {
            Some(patience) => tokio::time::sleep(patience).await,
            None => std::future::pending().await,
        }
    });
    let stopped = loop {
        tokio::select! {
            joined = walks.join_next_with_id() => match joined {
                None => break None,
                Some(joined) => {
                    let (id, result) = untangle(joined, &open);
                    if let Some(run) = open.remove(&id) {
                        results.insert(run.id, result);
                    }
                }
            },
            () = engine.clock.sleep_until(scan_at) => {
                scan_at = engine.clock.now() + SCAN_EVERY;
                match take_over_lapsed(engine, &in_the_way).await {
                    Ok(left) => open.extend(left.into_iter().map(|job| start(job, &mut walks))),
                    Err(wrong) => tracing::warn!("cannot take over runs, trying again: {wrong}"),
                }
            }
            () = signals.next() => break Some(Stopped::Interrupted),
            () = &mut out_of_patience => break Some(Stopped::GivenUp),
        }
    };
    // A walk may be dropped at any await point; what it owned is given back.
    walks.shutdown().await;
    let released = async {
        for run in open.values() {
            if let Err(wrong) = engine.release(run).await {
                tracing::warn!(application = %run.application, "not given back, so it lapses by itself: {wrong}");
            }
        }
    };
    tokio::select! {
        () = released => {}
        // A second signal: whatever is not given back lapses by itself.
        () = signals.next() => {}
    }
    Waited { results, stopped }
}

type Joined = Result<(Id, Result<Run, CatalogError>), JoinError>;

fn untangle(joined: Joined, open: &BTreeMap<Id, Run>) -> (Id, Result<Run, Trouble>) {
    match joined {
        Ok((id, result)) => (id, result.map_err(Trouble::catalog("follow the run"))),
        Err(panicked) => {
            let id = panicked.id();
            let wrong = match open.get(&id) {
                Some(run) => Trouble::Defect {
                    application: run.application.clone(),
                    text: panic_text(panicked),
                },
                None => Trouble::Start {
                    doing: "follow the run",
                    source: std::io::Error::other(panicked),
                },
            };
            (id, Err(wrong))
        }
    }
}

/// What a panic said.
pub fn panic_text(panicked: JoinError) -> String {
    match panicked.try_into_panic() {
        Ok(payload) => payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| {
                payload
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
            })
            .unwrap_or_else(|| "it said nothing".to_owned()),
        Err(cancelled) => cancelled.to_string(),
    }
}

/// Brings one run to its end: walks it if it is this process's, else watches the process that
/// does, and takes over when that one dies.
async fn to_its_end<W, C, K, O>(engine: &Engine<W, C, K, O>, job: Job) -> Result<Run, CatalogError>
where
    W: World,
    C: Catalog,
    K: Clock,
    O: Fn(&Run, Option<&[Savepoint]>) + Send + Sync,
{
    let id = job.run.id;
    let mut mine = job.mine.then_some(job.run);
    loop {
        if let Some(run) = mine.take()
            && let Walked::Ended(run) = engine.walk(run, &job.policy).await?
        {
            return Ok(*run);
        }
        let Some(latest) = engine.catalog.run(id).await? else {
            return Err(CatalogError::Broken("the run is gone from it".to_owned()));
        };
        (engine.watch)(&latest, None);
        if latest.outcome.is_some() {
            return Ok(latest);
        }
        mine = engine.take_over(&latest).await?;
        if mine.is_none() {
            let soon = engine.clock.now() + FOLLOW_EVERY;
            engine.clock.sleep_until(soon).await;
        }
    }
}

/// The open runs that nobody walks and that this process has rules for; each is taken over.
pub async fn take_over_lapsed<W, C, K, O>(
    engine: &Engine<W, C, K, O>,
    policy: impl Fn(&Run) -> Option<Policy>,
) -> Result<Vec<Job>, CatalogError>
where
    W: World,
    C: Catalog,
    K: Clock,
    O: Fn(&Run, Option<&[Savepoint]>) + Send + Sync,
{
    let mut taken = Vec::new();
    for run in engine.catalog.open_runs().await? {
        let Some(policy) = policy(&run) else {
            continue;
        };
        if let Some(run) = engine.take_over(&run).await? {
            (engine.watch)(&run, None);
            taken.push(Job {
                run,
                policy,
                mine: true,
            });
        }
    }
    Ok(taken)
}
