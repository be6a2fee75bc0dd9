//! The invariants where the platform takes no trigger id, and where nothing is remembered.

use jiff::{SignedDuration, Timestamp};
use lowtide_core::name::{Location, SavepointId};
use lowtide_core::run::{Attempt, Outcome, Run};
use lowtide_core::savepoint::Standing;

use crate::fleet::Files;
use crate::law::Invariant;
use crate::model::Write;
use crate::state::State;
use crate::trouble::Trouble;
use crate::witness::{HELD_UP_MAX, Witness};

/// How long before a slot's time, in true time, a savepoint may have been made that counts for it
/// where nothing is remembered: the clocks of the pod and the platform are each up to 20 s from
/// one another, and 20 s are granted for that.
const BEFORE_SLOT_MAX: SignedDuration = SignedDuration::from_secs(40);

impl Witness {
    /// A reply to a process of ours named this savepoint.
    pub fn named(&mut self, id: &SavepointId) {
        self.named.insert(id.clone());
    }

    /// Somebody deleted what lay there.
    pub fn deleted(&mut self, location: &Location) {
        self.deleted.insert(location.clone());
    }

    /// Whether somebody deleted what lay there.
    pub fn is_deleted(&self, location: &Location) -> bool {
        self.deleted.contains(location)
    }

    /// The application of a run in a catalog that is gone.
    pub fn application_of(&self, run: lowtide_core::name::RunId) -> Option<usize> {
        self.pods.get(&run).copied()
    }
}

impl State {
    fn lists_savepoints(&self, run: &Run) -> bool {
        self.platforms[self.platform_ix(&run.application.platform)]
            .lister
            .is_some()
    }

    /// A request reaches the platform, or is lost so that its client cannot know that it did not.
    pub fn witness_request(&mut self, now: Timestamp, attempt: &Attempt) {
        let Some((run, _)) = self.witness.attempt_of(attempt) else {
            return;
        };
        if attempt.listing.is_none() || self.witness.application_of(run).is_some() {
            return;
        }
        let requests = self.witness.requests.entry(run).or_default();
        *requests += 1;
        if *requests > 1 {
            let text = format!("run {run} makes request {requests}");
            let app = self.by_run(run);
            self.violate(now, Invariant::OneRequest, app, text);
        }
    }

    /// A request arrives at a platform that is up.
    ///
    /// A process that has no clear reply may repeat its request, and then a `JobManager` may start
    /// anew before the first copy arrives: that is so with a catalog, too. What must not be is
    /// that another process asks.
    pub fn witness_arrival(
        &mut self,
        now: Timestamp,
        of: (lowtide_core::name::RunId, u32),
        granted_at: Option<Timestamp>,
    ) {
        let (run, number) = of;
        let Some(app) = self.witness.application_of(run) else {
            return;
        };
        let earlier = self
            .witness
            .attempts
            .range((run, 0)..=(run, u32::MAX))
            .filter(|(_, truth)| truth.in_progress > 0 || truth.whole_at.is_some())
            .find(|((_, other), truth)| {
                let is_copy = granted_at.is_some_and(|at| truth.granted_at.contains(&at));
                *other != number || !is_copy
            })
            .map(|((_, other), truth)| format!("attempt {other}: {truth:?}"));
        self.witness
            .truth(run, number)
            .granted_at
            .extend(granted_at);
        let platform = &self.platforms[self.apps[app].platform];
        let recognised = platform.operations.values().any(|one| {
            one.run == run
                && one.attempt == number
                && one.resource.is_none()
                && one.is_remembered(now)
        });
        if let Some(earlier) = earlier.filter(|_| !recognised) {
            let text = format!("run {run}: attempt {number} arrives beside {earlier}");
            self.violate(now, Invariant::OnceWithoutMemory, Some(app), text);
        }
    }

    /// A pod without a catalog commits a step to itself.
    pub fn witness_pod(&mut self, now: Timestamp, before: &Run, write: &Write) {
        let run = &write.run;
        let Some(app) = self.app_ix(&run.application) else {
            return;
        };
        self.witness.pods.insert(run.id, app);
        self.witness_attempts(now, before, run);
        self.witness_owned(now, write);
        let found = |attempt: &Attempt| attempt.sent_at.is_some() && attempt.calls == 1;
        let first_sent = before.attempt().is_some_and(|old| old.sent_at.is_none())
            && run.attempt().is_some_and(found);
        let taken = run
            .attempt()
            .is_some_and(|attempt| self.witness.truth(run.id, attempt.number).taken > 0);
        if first_sent && taken {
            self.tally.count(Trouble::PodFinds);
        }
        if let Some(outcome) = &run.outcome {
            *self.tally.outcomes.entry(outcome.short()).or_default() += 1;
            self.witness_pod_outcome(now, app, run, outcome);
        }
    }

    fn witness_pod_outcome(&mut self, now: Timestamp, app: usize, run: &Run, outcome: &Outcome) {
        if let Outcome::Kept { location } | Outcome::Unverified { location, .. } = outcome {
            let kept = matches!(outcome, Outcome::Kept { .. });
            let there = self.platforms[self.apps[app].platform]
                .directories
                .get(location)
                .is_some_and(|there| there.has_metadata && (!kept || there.files == Files::Whole));
            if !there && !self.witness.is_deleted(location) {
                let text = format!("run {} ends {} with {location}", run.id, outcome.word());
                self.violate(now, Invariant::KeptIsWhole, Some(app), text);
            }
            self.witness_filling(now, run, location);
        }
    }

    /// What is recorded as ours is known to be.
    pub fn witness_owned(&mut self, now: Timestamp, write: &Write) {
        if !self.lists_savepoints(&write.run) {
            return;
        }
        let app = self.app_ix(&write.run.application);
        let platform = &self.platforms[self.platform_ix(&write.run.application.platform)];
        let stranger = write
            .savepoints
            .iter()
            .filter(|one| one.standing != Standing::Foreign)
            .filter_map(|one| platform.resource_at(&one.location))
            .map(|(resource, _)| resource)
            .find(|resource| {
                let marked = write
                    .run
                    .attempts
                    .iter()
                    .any(|attempt| resource.mark == Some(attempt.trigger_id));
                !marked && !self.witness.named.contains(&resource.id)
            })
            .map(|resource| resource.id.clone());
        if let Some(id) = stranger {
            let text = format!("run {} records {id} as its own", write.run.id);
            self.violate(now, Invariant::OwnedIsOurs, app, text);
        }
    }

    /// A savepoint fills a slot: it is not one from before.
    pub fn witness_filling(&mut self, now: Timestamp, run: &Run, location: &Location) {
        let app = self.app_ix(&run.application);
        let platform = &self.platforms[self.platform_ix(&run.application.platform)];
        let Some((resource, truth)) = platform.resource_at(location) else {
            return;
        };
        let frozen_at = run
            .attempt()
            .and_then(|attempt| self.witness.frozen.get(&(run.id, attempt.number)))
            .copied();
        let old = match (run.look_first_from, run.nominal()) {
            (Some(_), Some(nominal)) => truth.began < nominal - BEFORE_SLOT_MAX,
            // What was there to see when the list before the request was read at the earliest.
            _ => frozen_at.is_some_and(|at| resource.listed_from < at - HELD_UP_MAX),
        };
        if old {
            let text = format!(
                "run {} is filled by {}, made at {}",
                run.id, resource.id, truth.began
            );
            self.violate(now, Invariant::OldNeverFills, app, text);
        }
    }
}
