//! The world as a process sees it: the truth, and what goes wrong on the way there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lowtide_core::baseline;
use lowtide_core::fault::Fault;
use lowtide_core::flink_metadata::{
    KeyGroupRange, KeyGroupsHandle, KeyGroupsKind, KeyedStateHandle, Metadata, Operator,
    OperatorId, SizeRule, StreamHandle, Subtask, SubtaskState, parse,
};
use lowtide_core::gate::Vitals;
use lowtide_core::name::{JobId, Location, PlatformName, RunId, SavepointId};
use lowtide_core::ports::World;
use lowtide_core::resolve::JobSeen;
use lowtide_core::run::{Attempt, Cause, CauseKind, Found, Listed, Operation, Reply};
use lowtide_core::verify::{FileSeen, Reading};
use rand::Rng;
use tokio::task::JoinHandle;

use crate::fleet::{Directory, Fate, Files, Link, SOMEONE, STATISTICS_LAG, STORE_DURATION, Store};
use crate::planted::ModelBug;
use crate::platform::{arrive, resources};
use crate::points::pass;
use crate::state::{Sim, State};
use crate::trouble::{Spot, Trouble};

/// How long a client waits for an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may be on its way, in milliseconds: `REPEAT_MARGIN`, and no longer.
const DELAY_MS_MAX: u64 = 29_000;

/// The platforms and stores in the hands of one process.
pub struct Hands {
    /// The simulation.
    pub sim: Arc<Sim>,
    /// The process's index.
    pub process: usize,
}

/// A request on its way. Whether it arrives although the process dies is drawn beforehand.
struct Flight {
    sim: Arc<Sim>,
    arrives: JoinHandle<Reply>,
    survives: bool,
    of: (RunId, u32),
    serial: u64,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.survives && !self.arrives.is_finished() {
            self.arrives.abort();
            let (run, attempt) = self.of;
            let mut state = self.sim.lock();
            state
                .witness
                .truth(run, attempt)
                .in_flight
                .remove(&self.serial);
        }
    }
}

/// What happens to one request for a savepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passage {
    /// It is delivered, and answered.
    Fine,
    /// It is delivered; the answer is lost.
    ReplyLost,
    /// It is delivered; a proxy answers 5xx.
    ErrorThough,
    /// It is delivered; the answer takes longer than the client waits.
    ReplyLate,
    /// It takes longer than the client waits.
    Late,
    /// It is never delivered, and the client knows.
    NotSent,
    /// It is never delivered; a proxy answers 5xx.
    ErrorInstead,
    /// It is never delivered.
    Lost,
    /// The platform refuses it.
    Refused,
}

impl State {
    fn passage(&mut self, now: Timestamp, platform: usize) -> Passage {
        match self.platforms[platform].link {
            Link::Refused => return self.passes(now, Trouble::ConnectionRefused, Passage::NotSent),
            Link::ServerError => {
                return self.passes(now, Trouble::ServerError, Passage::ErrorInstead);
            }
            Link::Silent => return self.passes(now, Trouble::RequestLost, Passage::Lost),
            Link::Denied => return self.passes(now, Trouble::Denied, Passage::Refused),
            Link::Clear => {}
        }
        if self.quiet {
            return Passage::Fine;
        }
        match self.rng.random_range(0..100) {
            0..5 => self.passes(now, Trouble::ReplyLost, Passage::ReplyLost),
            5..9 => self.passes(now, Trouble::ServerError, Passage::ErrorThough),
            9..12 => self.passes(now, Trouble::ReplyLate, Passage::ReplyLate),
            12..15 => self.passes(now, Trouble::RequestDelayed, Passage::Late),
            15..17 => self.passes(now, Trouble::ConnectionRefused, Passage::NotSent),
            17..19 => self.passes(now, Trouble::ServerError, Passage::ErrorInstead),
            19..22 => self.passes(now, Trouble::RequestLost, Passage::Lost),
            22 => self.passes(now, Trouble::RequestRefused, Passage::Refused),
            _ => Passage::Fine,
        }
    }

    /// Counts what befalls a request where it is most delicate: no trigger id tells what came of it.
    fn count_unnamed(&mut self, platform: usize, passage: Passage) {
        if self.platforms[platform].lister.is_none() {
            return;
        }
        let trouble = match passage {
            Passage::ReplyLost | Passage::ErrorThough => Trouble::MadeReplyLost,
            Passage::ReplyLate => Trouble::MadeReplyLate,
            Passage::Late => Trouble::MadeLate,
            Passage::Refused => Trouble::MadeNotRefused,
            Passage::ErrorInstead => Trouble::MadeNotError,
            Passage::Fine | Passage::NotSent | Passage::Lost => return,
        };
        self.tally.count(trouble);
    }

    fn passes(&mut self, now: Timestamp, trouble: Trouble, passage: Passage) -> Passage {
        self.trouble(now, trouble, None, "a request");
        passage
    }
}

impl Hands {
    /// Sends a request on its way.
    fn launch(&self, platform: usize, attempt: &Attempt, wait: Duration, survives: bool) -> Flight {
        let (of, serial) = self.sim.with(|state, _| {
            state.serial += 1;
            let serial = state.serial;
            let of = state.witness.attempt_of(attempt).unwrap_or(SOMEONE);
            state.witness.truth(of.0, of.1).in_flight.insert(serial);
            (of, serial)
        });
        let called_at = self.sim.now();
        let sim = Arc::clone(&self.sim);
        let attempt = attempt.clone();
        let arrives = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            sim.lock()
                .witness
                .truth(of.0, of.1)
                .in_flight
                .remove(&serial);
            arrive(&sim, platform, &attempt, called_at)
        });
        Flight {
            sim: Arc::clone(&self.sim),
            arrives,
            survives,
            of,
            serial,
        }
    }

    /// One question and its answer, or what went wrong.
    async fn ask<T>(
        &self,
        platform: &PlatformName,
        read: impl FnOnce(&mut State, Timestamp, usize) -> Result<T, Fault> + Send,
    ) -> Result<T, Fault> {
        pass(&self.sim, self.process, Spot::BeforeQuestion, || {}).await;
        let (ix, link, before, after) = self.sim.with(|state, now| {
            let ix = state.platform_ix(platform);
            let mut link = state.platforms[ix].link;
            if link == Link::Clear && state.chance(6) {
                link = match state.rng.random_range(0..3) {
                    0 => Link::Refused,
                    1 => Link::ServerError,
                    _ => Link::Silent,
                };
            }
            let trouble = match link {
                Link::Clear => None,
                Link::Refused => Some(Trouble::ConnectionRefused),
                Link::ServerError => Some(Trouble::ServerError),
                Link::Silent => Some(Trouble::ReplyLost),
                Link::Denied => Some(Trouble::Denied),
            };
            if let Some(trouble) = trouble {
                state.trouble(now, trouble, None, "a question");
            }
            let slow = state.chance(20);
            let mut leg = |slow| {
                if slow {
                    state.ms(1, 4_000)
                } else {
                    Duration::from_millis(1)
                }
            };
            (ix, link, leg(slow), leg(slow))
        });
        tokio::time::sleep(before).await;
        match link {
            Link::Clear => {}
            Link::Refused => return Err(Fault::transient("connection refused")),
            Link::ServerError => return Err(Fault::transient("HTTP 503 from a proxy")),
            Link::Denied => return Err(Fault::permanent("HTTP 401")),
            Link::Silent => {
                tokio::time::sleep(CLIENT_TIMEOUT).await;
                return Err(Fault::transient("no answer within 10 s"));
            }
        }
        let answer = self.sim.with(|state, now| {
            if state.platforms[ix].up {
                read(state, now, ix)
            } else {
                Err(Fault::transient("connection refused"))
            }
        });
        tokio::time::sleep(after).await;
        pass(&self.sim, self.process, Spot::AfterQuestion, || {}).await;
        answer
    }

    /// One look into the store.
    async fn look<T>(
        &self,
        platform: &PlatformName,
        read: impl FnOnce(&mut State, Timestamp, usize) -> Result<T, Fault> + Send,
    ) -> Result<T, Fault> {
        pass(&self.sim, self.process, Spot::BeforeQuestion, || {}).await;
        let slow = self.sim.with(|state, _| {
            if state.chance(20) {
                state.ms(1, 4_000)
            } else {
                Duration::ZERO
            }
        });
        if slow > Duration::ZERO {
            tokio::time::sleep(slow).await;
        }
        let seen = self.sim.with(|state, now| {
            let ix = state.platform_ix(platform);
            match state.platforms[ix].store {
                Store::Readable => read(state, now, ix),
                Store::Away => Err(Fault::transient("stale file handle")),
                Store::Blind => Err(Fault::unsupported("this store cannot be read yet")),
            }
        });
        pass(&self.sim, self.process, Spot::AfterQuestion, || {}).await;
        seen
    }
}

impl World for Hands {
    async fn jobs(&self, platform: &PlatformName, _name: &str) -> Result<Vec<JobSeen>, Fault> {
        self.ask(platform, |state, _, ix| Ok(state.platforms[ix].jobs_seen()))
            .await
    }

    async fn vitals(&self, platform: &PlatformName, job: &JobId) -> Result<Vitals, Fault> {
        self.ask(platform, |state, now, ix| {
            let stale = state.platforms[ix]
                .jobs
                .get(job)
                .is_some_and(|job| job.busy_at(now) != job.busy_at(now - STATISTICS_LAG));
            if stale {
                state.tally.count(Trouble::StaleStatistics);
            }
            vitals(state, now, ix, job)
        })
        .await
    }

    async fn trigger(&self, platform: &PlatformName, attempt: &Attempt) -> Reply {
        let ix = self.sim.with(|state, now| {
            state.witness_call(now, self.process, attempt);
            state.platform_ix(platform)
        });
        let after_all = || {
            let mut flight = self.launch(ix, attempt, Duration::from_millis(5), true);
            flight.survives = true;
        };
        pass(&self.sim, self.process, Spot::BeforeTrigger, after_all).await;
        let (passage, mut wait, survives) = self.sim.with(|state, now| {
            let wait = if state.chance(200) {
                state.ms(100, 9_000)
            } else {
                state.ms(1, 20)
            };
            let passage = state.passage(now, ix);
            state.count_unnamed(ix, passage);
            if matches!(
                passage,
                Passage::ErrorInstead | Passage::Lost | Passage::Refused
            ) {
                state.witness_request(now, attempt);
            }
            (passage, wait, state.rng.random_bool(0.5))
        });
        self.others_ask_too(ix, attempt);
        match passage {
            Passage::Fine | Passage::ReplyLost | Passage::ErrorThough | Passage::ReplyLate => {}
            Passage::Late => {
                let timeout_ms = u64::try_from(CLIENT_TIMEOUT.as_millis()).unwrap_or(DELAY_MS_MAX);
                wait = self.sim.with(|state, _| state.ms(timeout_ms, DELAY_MS_MAX));
            }
            Passage::NotSent => return Reply::NotSent(Fault::transient("connection refused")),
            Passage::ErrorInstead => {
                return Reply::Unclear(Fault::transient("HTTP 503 from a proxy"));
            }
            Passage::Lost => {
                tokio::time::sleep(CLIENT_TIMEOUT).await;
                return self.unclear(Fault::transient("no answer within 10 s"));
            }
            Passage::Refused => {
                return Reply::Refused(Cause::new(CauseKind::Refused, "HTTP 400"));
            }
        }
        let mut flight = self.launch(ix, attempt, wait, survives);
        let reply = tokio::time::timeout(CLIENT_TIMEOUT, &mut flight.arrives).await;
        pass(&self.sim, self.process, Spot::AfterTrigger, || {}).await;
        let Ok(Ok(reply)) = reply else {
            // The client gave up; the request is on its way all the same.
            flight.survives = true;
            return self.unclear(Fault::transient("no answer within 10 s"));
        };
        match (passage, reply) {
            (Passage::ReplyLost, Reply::Accepted | Reply::Created(_)) => {
                self.unclear(Fault::transient("connection reset"))
            }
            (Passage::ErrorThough, Reply::Accepted | Reply::Created(_)) => {
                Reply::Unclear(Fault::transient("HTTP 502 from a proxy"))
            }
            (Passage::ReplyLate, Reply::Accepted | Reply::Created(_)) => {
                tokio::time::sleep(CLIENT_TIMEOUT).await;
                self.unclear(Fault::transient("no answer within 10 s"))
            }
            (_, Reply::Created(id)) => {
                self.sim.lock().witness.named(&id);
                Reply::Created(id)
            }
            (_, reply) => reply,
        }
    }

    async fn operation(
        &self,
        platform: &PlatformName,
        attempt: &Attempt,
    ) -> Result<Operation, Fault> {
        if let Some(listing) = &attempt.listing {
            return match &listing.savepoint {
                Some(id) => self.named(platform, attempt, id).await,
                None => self.listed(platform, attempt).await,
            };
        }
        let answer = self
            .ask(platform, |state, now, ix| {
                state.witness_question(now, attempt);
                let known = state.platforms[ix].remembered(&attempt.job, attempt.trigger_id, now);
                Ok(known.map(|operation| operation.fate.clone()))
            })
            .await?;
        if let Some(fate) = answer {
            return Ok(fate.into());
        }
        let old = self.sim.with(|state, now| {
            let ix = state.platform_ix(platform);
            let key = (attempt.job.clone(), attempt.trigger_id);
            let forgotten = state.platforms[ix].operations.contains_key(&key)
                || state
                    .witness
                    .attempt_of(attempt)
                    .is_some_and(|(run, number)| state.witness.truth(run, number).taken > 0);
            if forgotten {
                state.trouble(now, Trouble::TriggerForgotten, None, "");
            }
            state.has(ModelBug::OldIncarnation)
        });
        let job_started_at = self
            .ask(platform, |state, _, ix| {
                let job = state.platforms[ix].jobs.get(&attempt.job);
                Ok(job.map(|job| job.started_at))
            })
            .await?;
        Ok(Operation::NotFound {
            job_started_at: if old {
                Some(attempt.job_started_at)
            } else {
                job_started_at
            },
        })
    }

    async fn directories(
        &self,
        platform: &PlatformName,
        attempt: &Attempt,
    ) -> Result<Vec<Found>, Fault> {
        if attempt.listing.is_some() {
            // The platform tells where they lie, not the store.
            return self
                .ask(platform, |state, now, ix| {
                    Ok(state.platforms[ix].completed_since(attempt, now))
                })
                .await;
        }
        let seen = self
            .look(platform, |state, _, ix| {
                Ok(state.platforms[ix].directories_of(attempt))
            })
            .await;
        if seen.is_err() && self.sim.lock().has(ModelBug::BlindIsEmpty) {
            return Ok(Vec::new());
        }
        seen
    }

    async fn read(&self, platform: &PlatformName, location: &Location) -> Result<Reading, Fault> {
        self.look(platform, |state, now, ix| {
            let there = state.platforms[ix]
                .directories
                .get(location)
                .ok_or_else(|| Fault::gone("no such directory"))?;
            Ok(reading(location, there, now))
        })
        .await
    }
}

impl From<Fate> for Operation {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::InProgress => Self::InProgress,
            Fate::Completed(location) => Self::Completed(location),
            Fate::Failed(cause) => Self::Failed(cause),
        }
    }
}

impl Hands {
    /// What became of the savepoint that the platform named.
    async fn named(
        &self,
        platform: &PlatformName,
        attempt: &Attempt,
        id: &SavepointId,
    ) -> Result<Operation, Fault> {
        let (fate, job_started_at) = self
            .ask(platform, |state, now, ix| {
                state.witness_question(now, attempt);
                let there = &state.platforms[ix];
                let fate = there.resource(&attempt.job, id).map(|one| one.fate.clone());
                let job = there.jobs.get(&attempt.job);
                Ok((fate, job.map(|job| job.started_at)))
            })
            .await?;
        Ok(fate.map_or(Operation::NotFound { job_started_at }, Operation::from))
    }

    /// All that the platform lists of the job.
    async fn listed(&self, platform: &PlatformName, attempt: &Attempt) -> Result<Operation, Fault> {
        self.ask(platform, |state, now, ix| {
            state.witness_question(now, attempt);
            let mut listed = state.platforms[ix].listed(&attempt.job, now);
            if state.has(ModelBug::AnyMarkIsOurs) {
                for one in &mut listed {
                    one.mark = Some(attempt.trigger_id);
                }
            }
            Ok(Operation::Listed(listed))
        })
        .await
    }

    /// Where no trigger id tells savepoints apart, somebody else asks for one at the same time,
    /// now and then.
    fn others_ask_too(&self, platform: usize, attempt: &Attempt) {
        let begins = self.sim.with(|state, now| {
            if attempt.listing.is_none() || !state.chance(150) {
                return None;
            }
            let (trouble, wait) = match state.rng.random_range(0..3) {
                0 => (Trouble::ForeignBefore, Duration::ZERO),
                1 => (Trouble::ForeignBeside, state.ms(1, 8_000)),
                _ => (Trouble::ForeignAfter, state.ms(8_000, 60_000)),
            };
            let application = state.platforms[platform]
                .jobs
                .get(&attempt.job)
                .map(|job| job.application)?;
            state.trouble(now, trouble, Some(application), attempt.job.as_str());
            Some((wait, application))
        });
        let Some((wait, application)) = begins else {
            return;
        };
        let (sim, job) = (Arc::clone(&self.sim), attempt.job.clone());
        if wait.is_zero() {
            return resources::ask_for_foreign(&sim, platform, &job, application);
        }
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            resources::ask_for_foreign(&sim, platform, &job, application);
        });
    }

    fn unclear(&self, fault: Fault) -> Reply {
        if self.sim.lock().has(ModelBug::LostReplyIsNotSent) {
            Reply::NotSent(fault)
        } else {
            Reply::Unclear(fault)
        }
    }
}

fn vitals(state: &State, now: Timestamp, ix: usize, id: &JobId) -> Result<Vitals, Fault> {
    let platform = &state.platforms[ix];
    let job = platform
        .jobs
        .get(id)
        .ok_or_else(|| Fault::gone(format!("job {id} not found")))?;
    let lasts = |until: Option<Timestamp>| until.is_some_and(|until| now < until);
    Ok(Vitals {
        state: job.state,
        started_at: job.started_at,
        restarted_at: job.restarted_at,
        tasks_ready: if job.ready { 4 } else { 2 },
        tasks_total: 4,
        checkpoint_in_progress: lasts(job.checkpoint_until),
        savepoint_in_progress: job.busy_at(now - STATISTICS_LAG),
        back_pressured: Some(lasts(job.pressed_until)),
        checkpointing: true,
        checkpoint_timeout: job.timeout_told,
        tolerable_failures: job.tolerable_failures,
        canonical_possible: true,
        listed: platform.lister.map(|_| {
            let listed = platform.listed(id, now);
            // A broken adapter reads only the first page.
            let page = if state.has(ModelBug::FirstPageOnly) {
                1
            } else {
                usize::MAX
            };
            let one = |one: Listed| (one.id, one.created_at);
            listed.into_iter().take(page).map(one).collect()
        }),
        savepoint_directory: platform.lister.is_none().then(|| platform.base.clone()),
        default_scheme: None,
        store_duration: Some(STORE_DURATION),
    })
}

/// What is read of a directory: real metadata, one keyed state in a file of its own.
fn reading(location: &Location, there: &Directory, now: Timestamp) -> Reading {
    if !there.has_metadata {
        return Reading {
            metadata: None,
            files: Vec::new(),
            extra: vec!["data".to_owned()],
            listed: BTreeMap::new(),
        };
    }
    if there.files == Files::Cut || now < there.grows_until {
        return Reading {
            metadata: Some(parse(&[0x49, 0x60, 0x06, 0x72, 0, 0])),
            files: Vec::new(),
            extra: vec!["data".to_owned()],
            listed: BTreeMap::new(),
        };
    }
    let range = KeyGroupRange {
        start: 0,
        count: 128,
    };
    let stream = StreamHandle::Relative {
        path: "data".to_owned(),
        size: Some(there.bytes),
    };
    let keyed = KeyedStateHandle::KeyGroups(KeyGroupsHandle {
        kind: KeyGroupsKind::Savepoint,
        range,
        offsets: vec![0; 128],
        stream,
    });
    let subtask = Subtask {
        index: 0,
        state: Some(Box::new(SubtaskState {
            managed_keyed: Some(keyed),
            ..SubtaskState::default()
        })),
    };
    let metadata = Metadata {
        version: 4,
        checkpoint_id: there.checkpoint,
        master_states: Vec::new(),
        operators: vec![Operator {
            name: None,
            uid: None,
            id: OperatorId([7; 16]),
            parallelism: 1,
            max_parallelism: 128,
            coordinator: None,
            fully_finished: false,
            subtasks: vec![subtask],
        }],
        properties: None,
    };
    let found_bytes = match there.files {
        Files::Missing => None,
        Files::Short => Some(there.bytes / 2),
        Files::Whole | Files::Cut => Some(there.bytes),
    };
    let listed = found_bytes.map(|bytes| {
        let listed = baseline::Listed {
            bytes,
            ..baseline::Listed::default()
        };
        (location.join("data"), listed)
    });
    let listed = listed.into_iter().collect();
    Reading {
        metadata: Some(Ok(metadata)),
        files: vec![FileSeen {
            location: location.join("data"),
            rule: SizeRule::Exactly(there.bytes),
            found_bytes,
        }],
        extra: Vec::new(),
        listed,
    }
}
