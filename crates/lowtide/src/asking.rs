//! Asks platforms without changing anything: which jobs there are, and whether a savepoint would
//! work.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lowtide_core::engine::Application;
use lowtide_core::fault::Fault;
use lowtide_core::name::{AppKey, RunId};
use lowtide_core::ports::World;
use lowtide_core::resolve::JobSeen;
use lowtide_core::run::{self, Context, Next, Origin, Run, Seen};
use tokio::task::JoinSet;

/// What its platform lists for each application, or why it cannot be asked.
pub type Jobs = BTreeMap<AppKey, Result<Vec<JobSeen>, Fault>>;

/// Asks for all of these applications at once.
pub async fn jobs<W: World + 'static>(world: &Arc<W>, applications: &[&Application]) -> Jobs {
    let mut asking = JoinSet::new();
    let mut jobs = Jobs::new();
    for application in applications {
        let (key, name) = (application.key.clone(), application.policy.job.clone());
        // What stands here if asking panics.
        let silent = Fault::transient("asking ended by a defect of Lowtide");
        jobs.insert(key.clone(), Err(silent));
        let world = Arc::clone(world);
        asking.spawn(async move {
            let answer = world.jobs(&key.platform, &name).await;
            (key, answer)
        });
    }
    while let Some(asked) = asking.join_next().await {
        if let Ok((key, answer)) = asked {
            jobs.insert(key, answer);
        }
    }
    jobs
}

/// What a savepoint of an application would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rehearsed {
    /// It could be taken and proven from here; with what is worth knowing.
    Ready {
        /// The job.
        run: Box<Run>,
    },
    /// It would be asked for, but not proven from here.
    Blind {
        /// The row as it would be.
        run: Box<Run>,
        /// Why.
        fault: Fault,
    },
    /// It would wait, or end without a savepoint: the row says why.
    Held {
        /// The row as it would be.
        run: Box<Run>,
    },
    /// The platform cannot be asked.
    Unreachable(Fault),
}

/// Rehearses a run: the very decisions of a real one, with real observations, but nothing is
/// committed and the platform is asked for nothing.
pub async fn rehearse<W: World>(
    world: &W,
    application: &Application,
    jobs: &Result<Vec<JobSeen>, Fault>,
    now: Timestamp,
) -> Rehearsed {
    let mut policy = application.policy.clone();
    // What would pass by itself is not worth waiting for here.
    policy.patience = SignedDuration::ZERO;
    let jobs = match jobs {
        Ok(jobs) => jobs.clone(),
        Err(fault) => return Rehearsed::Unreachable(fault.clone()),
    };
    let advance = |run: &Run, seen| run::advance(run, seen, now, &policy, &Context::default()).run;
    let row = Run::of_request(
        application.key.clone(),
        RunId::from_bytes([0; 16]),
        Origin::Take,
        now,
        &policy,
    );
    let row = advance(&advance(&row, Seen::Nothing), Seen::Jobs(Ok(jobs)));
    let Next::Vitals(job) = run::next(&row) else {
        return Rehearsed::Held { run: Box::new(row) };
    };
    let platform = &application.key.platform;
    let vitals = match world.vitals(platform, &job).await {
        Ok(vitals) => vitals,
        Err(fault) => return Rehearsed::Unreachable(fault),
    };
    let row = advance(&row, Seen::Vitals(Ok(Box::new(vitals))));
    let Some(attempt) = row.attempt() else {
        return Rehearsed::Held { run: Box::new(row) };
    };
    match world.directories(platform, attempt).await {
        Ok(_) => Rehearsed::Ready { run: Box::new(row) },
        Err(fault) => Rehearsed::Blind {
            run: Box::new(row),
            fault,
        },
    }
}

impl Rehearsed {
    /// The row, as far as it came.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Ready { run } | Self::Blind { run, .. } | Self::Held { run } => Some(run),
            Self::Unreachable(_) => None,
        }
    }
}
