//! Named points at which a test may have the program die or stand still.
//!
//! "A crash between any two steps is harmless" is a claim about every step, and a test that kills
//! at random moments hits the long ones and misses the short ones. So this feature puts a point
//! before and after each method of the two ports through which everything happens, and the
//! environment says where to end:
//!
//! - `LOWTIDE_CRASH_AT=POINT#N`: at the N-th passing of the point the process gets SIGKILL, as an
//!   out-of-memory killer would do it: nothing is flushed, no destructor runs.
//! - `LOWTIDE_STOP_AT=POINT#N`: it gets SIGSTOP, until somebody sends SIGCONT: a process that is
//!   held up at the worst moment and wakes up when its claim has lapsed.
//! - `LOWTIDE_POINTS=FILE`: each point passed is appended to the file, one a line.
//!
//! A point is `call:before`, `operation:after`, `commit:frozen:before`; a commit is named by what
//! it leads to, see [`state`]. The feature `crash-points` is off by default and never in a
//! shipped binary; without it nothing of this exists.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use lowtide_core::baseline::Baseline;
use lowtide_core::fault::Fault;
use lowtide_core::gate::Vitals;
use lowtide_core::name::{AppKey, JobId, Location, PlatformName, RunId};
use lowtide_core::ports::{Catalog, CatalogError, Claim, Commit, ScheduleMemory, World};
use lowtide_core::resolve::JobSeen;
use lowtide_core::run::{Attempt, Context, Found, Operation, Phase, Reply, Run};
use lowtide_core::savepoint::Savepoint;
use lowtide_core::verify::Reading;
use rustix::process::{Signal, getpid, kill_process};

/// The point at which to die.
const CRASH_AT: &str = "LOWTIDE_CRASH_AT";
/// The point at which to stand still.
const STOP_AT: &str = "LOWTIDE_STOP_AT";
/// The file that gets the points passed.
const POINTS: &str = "LOWTIDE_POINTS";

/// The kernel may hand SIGSTOP to another thread first; this one must not get further before it
/// takes hold of all.
const UNTIL_STOPPED: Duration = Duration::from_millis(100);

/// What is to happen at one passing of one point.
#[derive(Debug)]
struct Order {
    point: String,
    passing: u32,
    signal: Signal,
}

/// The points passed so far, and what is to happen at which.
#[derive(Debug)]
struct Points {
    order: Option<Order>,
    trace: Option<File>,
    passed: Mutex<BTreeMap<String, u32>>,
}

impl Points {
    /// Reads the environment.
    ///
    /// # Panics
    /// What it says cannot be done: a test that would crash nothing must not pass.
    fn from_environment() -> Self {
        let ordered = |name: &str, signal| {
            std::env::var(name).ok().map(|text| {
                order(&text, signal).unwrap_or_else(|| panic!("{name}={text} is not POINT#N"))
            })
        };
        let trace = std::env::var_os(POINTS).map(|path| {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .unwrap_or_else(|error| panic!("{POINTS}: {error}"))
        });
        Self {
            order: ordered(CRASH_AT, Signal::KILL).or_else(|| ordered(STOP_AT, Signal::STOP)),
            trace,
            passed: Mutex::new(BTreeMap::new()),
        }
    }

    /// Does what was ordered for this passing of the point.
    fn pass(&self, point: &str) {
        let passing = {
            let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
            let count = passed.entry(point.to_owned()).or_default();
            *count += 1;
            *count
        };
        if let Some(mut trace) = self.trace.as_ref() {
            // One write per line: several processes may share the file.
            trace
                .write_all(format!("{point}\n").as_bytes())
                .expect("a trace that cannot be written proves nothing");
        }
        match &self.order {
            Some(order) if order.point == point && order.passing == passing => suffer(order.signal),
            _ => {}
        }
    }

    async fn around<T>(&self, point: &str, work: impl Future<Output = T>) -> T {
        self.pass(&format!("{point}:before"));
        // On the heap: the points must not make the engine's futures twice as large.
        let done = Box::pin(work).await;
        self.pass(&format!("{point}:after"));
        done
    }
}

fn order(text: &str, signal: Signal) -> Option<Order> {
    let (point, passing) = text.rsplit_once('#')?;
    Some(Order {
        point: point.to_owned(),
        passing: passing.parse().ok()?,
        signal,
    })
}

fn suffer(signal: Signal) {
    kill_process(getpid(), signal).expect("a process may signal itself");
    std::thread::sleep(UNTIL_STOPPED);
}

/// A port with points around each of its methods.
#[derive(Debug)]
pub struct Crashing<P> {
    port: P,
    points: Arc<Points>,
}

/// Puts points around both ports, as the environment says.
pub fn around<W, C>(world: W, catalog: C) -> (Crashing<W>, Crashing<C>) {
    let points = Arc::new(Points::from_environment());
    let world = Crashing {
        port: world,
        points: Arc::clone(&points),
    };
    let catalog = Crashing {
        port: catalog,
        points,
    };
    (world, catalog)
}

impl<P> Deref for Crashing<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.port
    }
}

impl<W: World> World for Crashing<W> {
    async fn jobs(&self, platform: &PlatformName, name: &str) -> Result<Vec<JobSeen>, Fault> {
        self.points
            .around("jobs", self.port.jobs(platform, name))
            .await
    }

    async fn vitals(&self, platform: &PlatformName, job: &JobId) -> Result<Vitals, Fault> {
        let work = self.port.vitals(platform, job);
        self.points.around("vitals", work).await
    }

    async fn first_vitals(&self, platform: &PlatformName, job: &JobId) -> Result<Vitals, Fault> {
        let work = self.port.first_vitals(platform, job);
        self.points.around("vitals", work).await
    }

    async fn trigger(&self, platform: &PlatformName, attempt: &Attempt) -> Reply {
        let work = self.port.trigger(platform, attempt);
        self.points.around("call", work).await
    }

    async fn operation(
        &self,
        platform: &PlatformName,
        attempt: &Attempt,
    ) -> Result<Operation, Fault> {
        let work = self.port.operation(platform, attempt);
        self.points.around("operation", work).await
    }

    async fn directories(
        &self,
        platform: &PlatformName,
        attempt: &Attempt,
    ) -> Result<Vec<Found>, Fault> {
        let work = self.port.directories(platform, attempt);
        self.points.around("directories", work).await
    }

    async fn read(&self, platform: &PlatformName, location: &Location) -> Result<Reading, Fault> {
        let work = self.port.read(platform, location);
        self.points.around("read", work).await
    }
}

impl<C: Catalog> Catalog for Crashing<C> {
    async fn claim(
        &self,
        runs: &[Run],
        considered: Option<(&AppKey, Timestamp)>,
    ) -> Result<Vec<Claim>, CatalogError> {
        let work = self.port.claim(runs, considered);
        self.points.around("claim", work).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<(), CatalogError> {
        let before = self.port.run(commit.run.id).await?;
        let point = match &before {
            Some(before) => format!("commit:{}", change(before, commit.run)),
            None => "commit:nothing".to_owned(),
        };
        self.points.around(&point, self.port.commit(commit)).await
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>, CatalogError> {
        self.points.around("run", self.port.run(id)).await
    }

    async fn open_runs(&self) -> Result<Vec<Run>, CatalogError> {
        self.points.around("open-runs", self.port.open_runs()).await
    }

    async fn looks_due(&self, now: Timestamp) -> Result<Vec<Run>, CatalogError> {
        self.points
            .around("looks-due", self.port.looks_due(now))
            .await
    }

    async fn reads_due(&self, now: Timestamp) -> Result<Vec<Savepoint>, CatalogError> {
        self.points
            .around("reads-due", self.port.reads_due(now))
            .await
    }

    async fn savepoints_of(&self, run: RunId) -> Result<Vec<Savepoint>, CatalogError> {
        let work = self.port.savepoints_of(run);
        self.points.around("savepoints-of", work).await
    }

    async fn amend(&self, before: &Savepoint, after: &Savepoint) -> Result<(), CatalogError> {
        let work = self.port.amend(before, after);
        self.points.around("amend", work).await
    }

    async fn baseline(&self, location: &Location) -> Result<Option<Baseline>, CatalogError> {
        let work = self.port.baseline(location);
        self.points.around("baseline", work).await
    }

    async fn record_baseline(
        &self,
        location: &Location,
        baseline: &Baseline,
    ) -> Result<(), CatalogError> {
        let work = self.port.record_baseline(location, baseline);
        self.points.around("record-baseline", work).await
    }

    async fn context(&self, application: &AppKey) -> Result<Context, CatalogError> {
        let work = self.port.context(application);
        self.points.around("context", work).await
    }

    async fn schedule(
        &self,
        application: &AppKey,
        text: &str,
        now: Timestamp,
    ) -> Result<ScheduleMemory, CatalogError> {
        let work = self.port.schedule(application, text, now);
        self.points.around("schedule", work).await
    }
}

/// What a commit leads to, or what else it is where the state stays the same. Where it comes from
/// is not said: on a fast platform several steps are committed as one.
fn change(before: &Run, after: &Run) -> String {
    let (from, to) = (state(before), state(after));
    let who = |run: &Run| run.owner.as_ref().map(|owner| owner.who.clone());
    if from != to {
        to.to_owned()
    } else if before.phase == Phase::Done {
        "look".to_owned()
    } else if who(after).is_none() {
        "release".to_owned()
    } else if who(before) != who(after) {
        "take-over".to_owned()
    } else {
        format!("{from}-again")
    }
}

/// The phase; `triggering` is told apart by what has been committed: the attempt `frozen`, or
/// `sent`. While sight is lost it is `unknown`.
fn state(run: &Run) -> &'static str {
    let sent = run
        .attempt()
        .is_some_and(|attempt| attempt.sent_at.is_some());
    match run.phase {
        Phase::Triggering | Phase::Following if run.unknown.is_some() => "unknown",
        Phase::Triggering if sent => "sent",
        Phase::Triggering => "frozen",
        Phase::Due
        | Phase::Resolving
        | Phase::Waiting
        | Phase::Following
        | Phase::Verifying
        | Phase::Done => run.phase.as_str(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_order_is_a_point_and_a_count() {
        let ordered = order("commit:frozen:before#2", Signal::KILL).unwrap();
        assert_eq!(ordered.point, "commit:frozen:before");
        assert_eq!(ordered.passing, 2);
        for text in ["call:before", "call:before#", "call:before#x", ""] {
            assert!(order(text, Signal::KILL).is_none(), "{text}");
        }
    }

    #[test]
    fn passings_are_counted_and_others_go_on() {
        let points = Points {
            order: order("call:before#3", Signal::KILL),
            trace: None,
            passed: Mutex::new(BTreeMap::new()),
        };
        for point in ["call:before", "call:after", "call:before", "jobs:before"] {
            points.pass(point);
        }
        let passed = points.passed.lock().unwrap();
        assert_eq!(passed["call:before"], 2);
        assert_eq!(passed["call:after"], 1);
    }
}
