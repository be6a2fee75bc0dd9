//! What the invariants remember, and where each of them is held against what happens.
//!
//! Checks compare what the catalog says with what is true of the fleet, which no process can
//! know. They are statements of the design, so each one leaves out exactly what the design leaves
//! open: `failed(lost sight)` may be wrong where nothing could be seen, and a request that was
//! repeated lawfully may meet a `JobManager` that has just started anew.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use lowtide_core::gate::SETTLE;
use lowtide_core::name::{AppKey, Location, RunId, SavepointId, TriggerId};
use lowtide_core::ports::Claim;
use lowtide_core::resolve::JobState;
use lowtide_core::run::{Attempt, CauseKind, HoldKind, Outcome, Phase, Run};
use lowtide_core::savepoint::{Standing, Verification};
use lowtide_core::schedule::Pause;

use crate::fleet::{AttemptTruth, Files, Link, SOMEONE, Store};
use crate::law::Invariant;
use crate::model::Write;
use crate::state::State;

/// Most commits of one run: an owner renews its claim every 10 s, for hours at the worst.
const COMMITS_MAX: u64 = 2_500;
/// Most questions about one run: the gate asks once a second, for an hour at the worst.
const QUESTIONS_MAX: u64 = 12_000;
/// How long a process may sit on what it read: it stalls for no longer than 90 s, and the catalog
/// is slow for no longer than seconds. What is older than this must have been seen.
pub const HELD_UP_MAX: SignedDuration = SignedDuration::from_secs(150);
/// How far apart two processes' clocks may be.
const SKEW: SignedDuration = SignedDuration::from_secs(20);
/// How old a new incarnation is when a request to the old one has no excuse any more: the answer
/// that allowed it, the commit and the way there take this long together at the worst.
const INCARNATION_SEEN_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// How long something must have been there to see, for not having seen it to be a fault.
const SEEN_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// What the invariants remember.
#[derive(Debug, Default)]
pub struct Witness {
    by_trigger: BTreeMap<TriggerId, RunId>,
    /// When each attempt was first committed.
    pub frozen: BTreeMap<(RunId, u32), Timestamp>,
    /// Requests of runs on platforms without trigger ids that may have been delivered.
    pub requests: BTreeMap<RunId, u32>,
    /// Savepoints that a reply named to us.
    pub named: BTreeSet<SavepointId>,
    /// Where savepoints lay that somebody deleted.
    pub deleted: BTreeSet<Location>,
    /// Runs of pods without a catalog, and their applications.
    pub pods: BTreeMap<RunId, usize>,
    /// What is true of each attempt.
    pub attempts: BTreeMap<(RunId, u32), AttemptTruth>,
    commits: BTreeMap<RunId, u64>,
    questions: BTreeMap<RunId, u64>,
    /// Each text of a schedule, and when the catalog first saw it.
    texts: BTreeMap<AppKey, Vec<(String, Timestamp)>>,
    /// Pauses, and when each became known.
    pauses: BTreeMap<AppKey, Vec<(Pause, Timestamp)>>,
}

impl Witness {
    /// The run and the number of an attempt that was committed.
    pub fn attempt_of(&self, attempt: &Attempt) -> Option<(RunId, u32)> {
        let run = self.by_trigger.get(&attempt.trigger_id)?;
        Some((*run, attempt.number))
    }

    /// What is true of an attempt.
    pub fn truth(&mut self, run: RunId, attempt: u32) -> &mut AttemptTruth {
        self.attempts.entry((run, attempt)).or_default()
    }

    /// A text was remembered from then on.
    pub fn text_seen(&mut self, key: &AppKey, text: &str, at: Timestamp) {
        let texts = self.texts.entry(key.clone()).or_default();
        if texts.last().is_none_or(|(last, _)| last != text) {
            texts.push((text.to_owned(), at));
        }
    }

    /// An application was paused.
    pub fn paused(&mut self, key: &AppKey, from: Timestamp, now: Timestamp) {
        let pause = Pause { from, until: None };
        self.pauses
            .entry(key.clone())
            .or_default()
            .push((pause, now));
    }

    /// Its pause ended.
    pub fn unpaused(&mut self, key: &AppKey, until: Timestamp) {
        if let Some((pause, _)) = self
            .pauses
            .get_mut(key)
            .and_then(|pauses| pauses.last_mut())
        {
            pause.until.get_or_insert(until);
        }
    }
}

impl State {
    /// A process asks something about a run.
    pub fn witness_question(&mut self, now: Timestamp, attempt: &Attempt) {
        let Some((run, _)) = self.witness.attempt_of(attempt) else {
            return;
        };
        let count = self.witness.questions.entry(run).or_default();
        *count += 1;
        if *count == QUESTIONS_MAX {
            let text = format!("{QUESTIONS_MAX} questions about run {run}");
            self.violate(now, Invariant::BoundedWork, None, text);
        }
    }

    /// Runs were claimed.
    pub fn witness_claim(
        &mut self,
        now: Timestamp,
        rows: &[(Run, Option<Run>)],
        claims: &[Claim],
        considered: Option<(&AppKey, Timestamp)>,
    ) {
        for ((run, before), claim) in rows.iter().zip(claims) {
            if *claim != Claim::Claimed {
                continue;
            }
            let app = self.app_ix(&run.application);
            if before.is_some() {
                let text = format!("run {} was claimed a second time", run.id);
                self.violate(now, Invariant::ClaimedOnce, app, text);
            }
            if run.outcome.is_none() {
                self.witness_fired(now, run);
            }
        }
        if let Some((key, until)) = considered {
            self.witness_considered(now, key, until);
        }
    }

    fn witness_fired(&mut self, now: Timestamp, run: &Run) {
        let Some(nominal) = run.nominal() else { return };
        let app = self.app_ix(&run.application);
        let Some(ix) = app else { return };
        let texts = self.witness.texts.get(&run.application);
        let lawful = texts.into_iter().flatten().any(|(text, seen)| {
            nominal > *seen
                && self.apps[ix].schedules.iter().any(|schedule| {
                    schedule.identity() == *text
                        && schedule
                            .slots_between(nominal - SignedDuration::from_secs(1), nominal)
                            .next()
                            .is_some()
                })
        });
        if !lawful {
            let text = format!("slot {nominal} fires, and its text was first seen later");
            self.violate(now, Invariant::NotBeforeFirstSeen, app, text);
        }
        let pauses = self.witness.pauses.get(&run.application);
        let paused = pauses.into_iter().flatten().any(|(pause, known)| {
            now.duration_since(*known) > HELD_UP_MAX
                && pause.until.is_none_or(|until| nominal < until)
                && {
                    // A pause that is over concerns the slots before its end that had not fired.
                    pause.from <= nominal || pause.until.is_none()
                }
        });
        if paused {
            let text = format!("slot {nominal} fires, and the application was paused");
            self.violate(now, Invariant::NotInPause, app, text);
        }
    }

    fn witness_considered(&mut self, now: Timestamp, key: &AppKey, until: Timestamp) {
        let Some(ix) = self.app_ix(key) else { return };
        if self.quiet {
            // All are paused.
            return;
        }
        let Some((text, seen)) = self.witness.texts.get(key).and_then(|texts| texts.last()) else {
            return;
        };
        let Some(schedule) = self.apps[ix]
            .schedules
            .iter()
            .find(|one| one.identity() == *text)
        else {
            return;
        };
        // Older slots were checked when they were new.
        let from = (*seen + SKEW).max(until - SignedDuration::from_mins(45));
        let silent = schedule.slots_between(from, until).find(|slot| {
            let paused = self
                .witness
                .pauses
                .get(key)
                .into_iter()
                .flatten()
                .any(|(pause, _)| {
                    pause.from <= *slot && pause.until.is_none_or(|until| *slot < until + SKEW)
                });
            !paused && !self.model.runs.contains_key(&RunId::of_slot(key, *slot))
        });
        if let Some(slot) = silent {
            let text = format!("slot {slot} has no row, and slots up to {until} are considered");
            self.violate(now, Invariant::DueSlotHasRow, Some(ix), text);
        }
    }

    /// A step was committed; `before` is the row that it replaced.
    pub fn witness_commit(&mut self, now: Timestamp, before: &Run, write: &Write) {
        let run = &write.run;
        let app = self.app_ix(&run.application);
        if run.version != before.version + 1 {
            let text = format!(
                "run {}: version {} replaces {}",
                run.id, run.version, before.version
            );
            self.violate(now, Invariant::VersionGrowsByOne, app, text);
        }
        if before.outcome.is_some() && before.outcome != run.outcome {
            let text = format!(
                "run {}: {:?} becomes {:?}",
                run.id, before.outcome, run.outcome
            );
            self.violate(now, Invariant::OutcomeIsFinal, app, text);
        }
        self.witness_attempts(now, before, run);
        self.witness_owned(now, write);
        self.witness_overlap(now, before, run);
        if before.outcome.is_none() && run.outcome.is_some() {
            self.witness_outcome(now, before, run);
        }
        let count = self.witness.commits.entry(run.id).or_default();
        *count += 1;
        if *count == COMMITS_MAX {
            let text = format!("{COMMITS_MAX} commits of run {}", run.id);
            self.violate(now, Invariant::BoundedWork, app, text);
        }
    }

    /// What an attempt was frozen with stays.
    pub fn witness_attempts(&mut self, now: Timestamp, before: &Run, run: &Run) {
        for attempt in &run.attempts {
            self.witness
                .by_trigger
                .entry(attempt.trigger_id)
                .or_insert(run.id);
            self.witness
                .frozen
                .entry((run.id, attempt.number))
                .or_insert(now);
        }
        let changed = before.attempts.iter().enumerate().any(|(ix, old)| {
            run.attempts.get(ix).is_none_or(|new| {
                frozen(new) != frozen(old) || old.sent_at.is_some() && new.sent_at != old.sent_at
            })
        });
        if changed {
            let app = self.app_ix(&run.application);
            let text = format!("run {}: an attempt changed after it was frozen", run.id);
            self.violate(now, Invariant::AttemptIsFrozen, app, text);
        }
    }

    fn witness_overlap(&mut self, now: Timestamp, before: &Run, run: &Run) {
        let app = self.app_ix(&run.application);
        if before.phase == Phase::Due && run.phase != Phase::Due && run.phase != Phase::Done {
            let begun = self
                .model
                .open()
                .filter(|one| one.application == run.application && one.phase > Phase::Due)
                .count();
            if begun > 1 {
                let text = format!("{begun} runs of the application are under way");
                self.violate(now, Invariant::OneRunAtATime, app, text);
            }
        }
        // What was read and is none of its own savepoint leads back to looking for that, which
        // was asked for under the cap.
        if run.is_triggered() && !before.is_triggered() && before.phase != Phase::Verifying {
            let ix = self.platform_ix(&run.application.platform);
            let under_way = self.model.under_way(&run.application.platform, run.id) + 1;
            if under_way > self.platforms[ix].cap as usize {
                let text = format!("{under_way} runs trigger or follow");
                self.violate(now, Invariant::CapRespected, app, text);
            }
        }
    }

    fn witness_outcome(&mut self, now: Timestamp, before: &Run, run: &Run) {
        let app = self.app_ix(&run.application);
        let Some(outcome) = &run.outcome else { return };
        *self.tally.outcomes.entry(outcome.short()).or_default() += 1;
        match outcome {
            Outcome::Kept { location } | Outcome::Unverified { location, .. } => {
                let kept = matches!(outcome, Outcome::Kept { .. });
                let ix = self.platform_ix(&run.application.platform);
                let own = run
                    .attempts
                    .iter()
                    .filter_map(|attempt| attempt.directory.as_ref())
                    .any(|own| location.as_str().starts_with(own.target.as_str()));
                // Where the platform chooses, it lists what it chose.
                let deleted = self.witness.is_deleted(location);
                let own = own || deleted || self.platforms[ix].resource_at(location).is_some();
                let whole = self.platforms[ix]
                    .directories
                    .get(location)
                    .is_some_and(|there| {
                        there.has_metadata && (!kept || there.files == Files::Whole)
                    });
                self.witness_filling(now, run, location);
                if !own || !whole && !deleted {
                    let text = format!("run {} ends {} with {location}", run.id, outcome.word());
                    self.violate(now, Invariant::KeptIsWhole, app, text);
                }
                let foreign = run.attempt().is_some_and(Attempt::is_foreign);
                let recorded = self.model.savepoints.get(location).is_some_and(|record| {
                    foreign || record.run() == Some(run.id) && record.standing == Standing::Kept
                });
                if !recorded {
                    let text = format!("run {}: {location} is not in the catalog", run.id);
                    self.violate(now, Invariant::OutcomeHasRecord, app, text);
                }
                let kept = self.model.savepoints_of(run.id);
                if kept
                    .iter()
                    .filter(|one| one.standing == Standing::Kept)
                    .count()
                    > 1
                {
                    let text = format!("run {} has several", run.id);
                    self.violate(now, Invariant::OneKept, app, text);
                }
            }
            Outcome::Failed { cause } => {
                self.witness_failed(now, run, cause.kind);
                if cause.kind == CauseKind::NotReady {
                    self.witness_capped(now, before, run);
                }
            }
            Outcome::Skipped { .. } => self.witness_failed(now, run, CauseKind::NotReady),
            Outcome::Missed { .. } => {}
        }
    }

    fn witness_failed(&mut self, now: Timestamp, run: &Run, kind: CauseKind) {
        let app = self.app_ix(&run.application);
        let platform = &self.platforms[self.platform_ix(&run.application.platform)];
        // Without a directory of its own, an attempt's savepoint shows only by the platform's word.
        let told = platform.lister.is_none() || platform.link == Link::Clear;
        let visible_since = (platform.up && told && platform.store == Store::Readable)
            .then_some(platform.seen_well_since);
        let mut wrong = None;
        for attempt in &run.attempts {
            let arrives = self.arrives_anew(now, run.id, attempt.number);
            let Some(truth) = self.witness.attempts.get(&(run.id, attempt.number)) else {
                continue;
            };
            let lost_sight = kind == CauseKind::LostSight;
            let whole = truth.whole_at.is_some_and(|at| {
                !lost_sight
                    || visible_since
                        .is_some_and(|since| now.duration_since(at.max(since)) > SEEN_AFTER)
            });
            let alive = !lost_sight && (truth.in_progress > 0 || arrives);
            if whole || alive {
                wrong = Some(format!(
                    "run {} ends failed({}), and attempt {} {}",
                    run.id,
                    kind.as_str(),
                    attempt.number,
                    if whole {
                        "is complete"
                    } else {
                        "may still complete"
                    }
                ));
            }
        }
        if let Some(text) = wrong {
            self.violate(now, Invariant::UnknownIsNotFailed, app, text);
        }
        if kind == CauseKind::Broken {
            let whole = run
                .attempt()
                .and_then(|attempt| attempt.location.as_ref())
                .and_then(|location| platform_directory(self, run, location))
                .is_some_and(|files| files == Files::Whole);
            if whole {
                let text = format!("run {} ends failed(broken), and it is whole", run.id);
                self.violate(now, Invariant::UnreadableIsNotBroken, app, text);
            }
        }
    }

    /// Whether a request is on its way that the platform, as it is now, would not recognise.
    fn arrives_anew(&self, now: Timestamp, run: RunId, attempt: u32) -> bool {
        let truth = self.witness.attempts.get(&(run, attempt));
        let platform = self
            .by_run(run)
            .map(|app| &self.platforms[self.apps[app].platform]);
        let recognised = platform.is_some_and(|platform| {
            platform
                .operations
                .values()
                .any(|one| one.run == run && one.attempt == attempt && one.is_remembered(now))
        });
        !recognised && truth.is_some_and(|truth| !truth.in_flight.is_empty())
    }

    fn witness_capped(&mut self, now: Timestamp, before: &Run, run: &Run) {
        let capped = before
            .hold
            .as_ref()
            .is_some_and(|hold| hold.kind == HoldKind::Cap)
            || before.phase == Phase::Waiting
                && run.attempts.len() == before.attempts.len()
                && before.attempt().is_some_and(|attempt| {
                    attempt.sent_at.is_none() && attempt.frozen_at > run.trigger_deadline
                });
        let Some(app) = self.app_ix(&run.application) else {
            return;
        };
        let platform = &self.platforms[self.apps[app].platform];
        let fit = platform
            .live_job(app)
            .and_then(|id| platform.jobs.get(&id))
            .is_some_and(|job| {
                // All the while in which it may have been looked at for this decision.
                let past = |at: Timestamp| now.duration_since(at) > HELD_UP_MAX;
                job.state == JobState::Running
                    && job.ready
                    && past(job.started_at)
                    && job.restarted_at.is_none_or(|at| past(at + SETTLE))
                    && job.checkpoint_until.is_none_or(past)
                    && job.pressed_until.is_none_or(past)
                    && job
                        .savepoints
                        .iter()
                        .all(|(_, until)| until.is_some_and(past))
            });
        if capped && fit {
            let text = format!(
                "run {} waited for the cap and then failed for being late",
                run.id
            );
            self.violate(now, Invariant::CapNeverFails, Some(app), text);
        }
    }

    /// A process begins to call.
    pub fn witness_call(&mut self, now: Timestamp, process: usize, attempt: &Attempt) {
        let Some((id, number)) = self.witness.attempt_of(attempt) else {
            let text = format!("trigger id {} is in no row", attempt.trigger_id);
            return self.violate(now, Invariant::CallNeedsSent, None, text);
        };
        let Some(row) = self.model.runs.get(&id) else {
            return;
        };
        let app = self.app_ix(&row.application);
        let owner = row.owner.as_ref().map(|owner| owner.who.clone());
        let granted = row
            .attempts
            .iter()
            .find(|one| one.number == number && one.sent_at.is_some())
            .map_or(0, |one| one.calls);
        let truth = self.witness.truth(id, number);
        truth.calls += 1;
        let calls = truth.calls;
        if owner.is_none() || owner != self.processes[process].owner {
            let text = format!("run {id}: process {process} calls, and {owner:?} owns the run");
            self.violate(now, Invariant::OnlyOwnerCalls, app, text);
        }
        if calls > granted {
            let text = format!("run {id}: call {calls} of attempt {number}, {granted} granted");
            self.violate(now, Invariant::CallNeedsSent, app, text);
        }
    }

    /// A platform takes a request up, as a savepoint of its own. `remembers` says whether this
    /// incarnation took one up before under the same trigger id and has forgotten it since.
    pub fn witness_taken(
        &mut self,
        now: Timestamp,
        (run, number): (RunId, u32),
        called_at: Timestamp,
        up_since: Timestamp,
        expired: bool,
    ) {
        if self.witness.application_of(run).is_some() {
            // Where nothing is remembered, what the arrival meets counts, not what pods thought.
            self.witness.truth(run, number).taken += 1;
            return;
        }
        let app = self.by_run(run);
        let others: Vec<(u32, AttemptTruth)> = self
            .witness
            .attempts
            .range((run, 0)..=(run, u32::MAX))
            .filter(|((_, other), _)| *other != number)
            .map(|((_, other), truth)| (*other, truth.clone()))
            .collect();
        for (other, truth) in others {
            let earlier = other < number
                && (truth.in_progress > 0
                    || self.arrives_anew(now, run, other)
                    || truth.whole_at.is_some());
            let later = other > number && truth.taken > 0;
            if earlier || later {
                let text = format!(
                    "run {run}: attempt {number} is taken up beside attempt {other}: {truth:?}"
                );
                self.violate(now, Invariant::ProvenEndFirst, app, text);
            }
        }
        let truth = self.witness.truth(run, number);
        truth.taken += 1;
        let again = truth.taken > 1;
        if again && (expired || called_at.duration_since(up_since) > INCARNATION_SEEN_AFTER) {
            let text = format!("run {run}: attempt {number} was taken up twice");
            self.violate(now, Invariant::RepeatedInWindow, app, text);
        }
    }

    /// The quiet period is over.
    pub fn witness_end(&mut self, now: Timestamp) {
        let waiting: Vec<(Option<usize>, String)> = self
            .model
            .open()
            .map(|run| {
                let text = format!("run {} is {}", run.id, run.phase.as_str());
                (self.app_ix(&run.application), text)
            })
            .collect();
        for (app, text) in waiting {
            self.violate(now, Invariant::NothingWaitsForEver, app, text);
        }
        let asleep: Vec<(Option<usize>, String)> = self
            .model
            .schedules
            .iter()
            .filter(|(_, memory)| {
                now.duration_since(memory.considered_until) > SignedDuration::from_hours(6)
            })
            .map(|(key, memory)| {
                let text = format!("no tick since {}", memory.considered_until);
                (self.app_ix(key), text)
            })
            .collect();
        for (app, text) in asleep {
            self.violate(now, Invariant::NothingWaitsForEver, app, text);
        }
        if self.pods_at_work > 0 {
            let text = format!("{} pods are at work", self.pods_at_work);
            self.violate(now, Invariant::NothingWaitsForEver, None, text);
        }
        self.witness_directories(now);
        let mut kept: BTreeSet<RunId> = BTreeSet::new();
        let twice: Vec<(Option<usize>, RunId)> = self
            .model
            .savepoints
            .values()
            .filter(|one| one.standing == Standing::Kept)
            .filter_map(|one| Some((self.app_ix(&one.application), one.run()?)))
            .filter(|(_, run)| !kept.insert(*run))
            .collect();
        for (app, run) in twice {
            self.violate(
                now,
                Invariant::OneKept,
                app,
                format!("run {run} has several"),
            );
        }
        for one in self.model.savepoints.values() {
            *self
                .tally
                .standings
                .entry(one.standing.as_str())
                .or_default() += 1;
        }
    }

    fn witness_directories(&mut self, now: Timestamp) {
        let mut wrong = Vec::new();
        for platform in &self.platforms {
            if platform.store == Store::Blind {
                // What cannot be listed cannot be known.
                continue;
            }
            for (location, there) in &platform.directories {
                if there.application >= self.served {
                    // The catalogs of pods are gone.
                    continue;
                }
                let Some(record) = self.model.savepoints.get(location) else {
                    if there.of == SOMEONE {
                        continue;
                    }
                    wrong.push((
                        there.application,
                        format!("{location} is not in the catalog"),
                    ));
                    continue;
                };
                let whole = there.has_metadata && there.files == Files::Whole;
                let ours = there.of != SOMEONE;
                let well = match record.standing {
                    Standing::Kept | Standing::Late | Standing::Foreign => {
                        let is_foreign = record.standing == Standing::Foreign;
                        // Without trigger ids nobody may be able to tell that it is ours.
                        let stands = is_foreign && platform.lister.is_some() || ours != is_foreign;
                        stands
                            && there.has_metadata
                            && match record.verification {
                                Verification::Verified { .. } => whole,
                                Verification::Broken { .. } => !whole,
                                Verification::Unverified { .. } => true,
                                Verification::Nothing => false,
                            }
                    }
                    Standing::Orphan => ours && !whole,
                };
                if !well {
                    let text = format!(
                        "{location} is {}, {} in the catalog: {there:?}",
                        record.standing.as_str(),
                        record.verification.word()
                    );
                    wrong.push((there.application, text));
                }
            }
        }
        for (app, text) in wrong {
            self.violate(now, Invariant::EveryDirectoryKnown, Some(app), text);
        }
    }
}

fn platform_directory(state: &State, run: &Run, location: &Location) -> Option<Files> {
    let platform = &state.platforms[state.platform_ix(&run.application.platform)];
    platform
        .directories
        .get(location)
        .filter(|there| there.has_metadata)
        .map(|there| there.files)
}

/// What must not change after an attempt is frozen.
fn frozen(attempt: &Attempt) -> impl PartialEq + '_ {
    (
        attempt.number,
        &attempt.job,
        attempt.job_started_at,
        attempt.trigger_id,
        &attempt.directory,
        attempt.listing.as_ref().map(|listing| &listing.before),
        attempt.format,
        attempt.frozen_at,
    )
}
