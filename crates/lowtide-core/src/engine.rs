//! Walks runs: one piece of I/O, one decision, one commit, again.
//!
//! There is no state here but the row. A walk may be dropped at any await point: whoever takes
//! the row over asks [`run::next`] and goes on. The one thing that must not happen twice, the
//! call to the platform, is made only by the process whose commit granted it, only while its
//! claim on the run stands.

use std::future::Future;
use std::pin::pin;

use futures_util::future::{Either, join, maybe_done, select};
use jiff::{SignedDuration, Timestamp};

use crate::Bug;
use crate::baseline::Baseline;
use crate::fault::FaultKind;
use crate::name::{AppKey, Location, OwnerId};
use crate::planted::planted;
use crate::policy::Policy;
use crate::ports::{Catalog, CatalogError, Claim, Clock, Commit, World};
use crate::run::{
    self, CLOCKS_APART_MAX, Context, Next, OWNERSHIP, Owner, Phase, RENEW_EVERY, Run, Searched,
    Seen, Step,
};
use crate::savepoint::{Savepoint, Verification};
use crate::schedule::{self, Due};
use crate::verify;

/// Longest time between two readings of a savepoint that cannot be read.
const READ_AGAIN_MAX: SignedDuration = SignedDuration::from_hours(24);
/// First time between two readings of a savepoint that cannot be read.
const READ_AGAIN_FIRST: SignedDuration = SignedDuration::from_mins(10);

/// How long a reading may take before the row says what is being read: people look at a phase only
/// when it lasts, and a platform that is well answers in milliseconds. Each commit that is saved is
/// one wait for the disk less between a due slot and its savepoint.
const SHOW_AFTER: SignedDuration = SignedDuration::from_secs(1);

/// How far a step has come.
enum Gone {
    /// It is on the disk; with what was read meanwhile.
    Committed(Step, Option<Seen>),
    /// It is not on the disk yet, and what it asked for has been read.
    Ahead(Step, Seen),
}

/// An application and its rules.
#[derive(Debug, Clone)]
pub struct Application {
    /// Which.
    pub key: AppKey,
    /// Its rules.
    pub policy: Policy,
}

/// How a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Walked {
    /// The run has its outcome.
    Ended(Box<Run>),
    /// Somebody else walks it now.
    Yielded,
}

/// What a tick did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ticked {
    /// A slot that this process claimed and has to walk.
    pub claimed: Option<Run>,
    /// When the next slot is due.
    pub next: Option<Timestamp>,
}

/// The engine: ports, who it is, and who wants to know of each committed step.
pub struct Engine<W, C, K, O> {
    /// Platforms and stores.
    pub world: W,
    /// The memory.
    pub catalog: C,
    /// The clock.
    pub clock: K,
    /// Who it is in the catalog.
    pub me: OwnerId,
    /// Called with each row that it committed, and the savepoints that were committed with it. Who merely reads
    /// rows calls it without savepoints.
    pub watch: O,
}

impl<W: World, C: Catalog, K: Clock, O: Fn(&Run, Option<&[Savepoint]>) + Send + Sync>
    Engine<W, C, K, O>
{
    // === due ===

    /// Claims the slot of one application that is due, and records those that were missed.
    pub async fn tick(&self, application: &Application) -> Result<Ticked, CatalogError> {
        let Some(schedule) = &application.policy.schedule else {
            return Ok(Ticked::default());
        };
        let key = &application.key;
        let now = self.clock.now();
        let memory = self
            .catalog
            .schedule(key, &schedule.identity(), now)
            .await?;
        let from = if planted(Bug::CatchUpOnEdit) {
            memory
                .considered_until
                .min(now - application.policy.catch_up)
        } else {
            memory.considered_until
        };
        let due = schedule::due(
            schedule,
            from,
            now,
            application.policy.catch_up,
            &memory.pauses,
        );
        let next = due.next;
        let rows = self.rows(application, &due, now);
        if rows.is_empty() && due.considered_until <= memory.considered_until {
            return Ok(Ticked {
                claimed: None,
                next,
            });
        }
        let claims = self
            .catalog
            .claim(&rows, Some((key, due.considered_until)))
            .await?;
        let claimed = rows
            .into_iter()
            .zip(claims)
            .filter_map(|(run, claim)| (claim == Claim::Claimed).then_some(run))
            .inspect(|run| (self.watch)(run, Some(&[])))
            .find(|run| run.phase != Phase::Done);
        Ok(Ticked { claimed, next })
    }

    fn rows(&self, application: &Application, due: &Due, now: Timestamp) -> Vec<Run> {
        let Application { key, policy } = application;
        let missed = due
            .missed
            .iter()
            .map(|slot| Run::of_missed(key.clone(), slot.nominal, slot.to_string(), now, policy));
        let fired = due.fire.map(|nominal| {
            let next = policy
                .schedule
                .as_ref()
                .and_then(|schedule| schedule.next_after(nominal.max(now)));
            self.owned(Run::of_slot(key.clone(), nominal, next, now, policy))
        });
        missed.chain(fired).collect()
    }

    /// Claims one run for this process: a slot that somebody named, or a request.
    pub async fn claim(&self, run: Run) -> Result<(Run, Claim), CatalogError> {
        let owned = self.owned(run);
        let claims = self.claim_all(vec![owned.clone()]).await?;
        Ok(claims.into_iter().next().unwrap_or((owned, Claim::Claimed)))
    }

    /// Claims many runs for this process, in one step: all are on the disk, or none.
    pub async fn claim_all(&self, runs: Vec<Run>) -> Result<Vec<(Run, Claim)>, CatalogError> {
        let owned: Vec<Run> = runs.into_iter().map(|run| self.owned(run)).collect();
        let claims = self.catalog.claim(&owned, None).await?;
        let claimed: Vec<(Run, Claim)> = owned.into_iter().zip(claims).collect();
        claimed
            .iter()
            .filter(|(_, claim)| *claim == Claim::Claimed)
            .for_each(|(run, _)| (self.watch)(run, Some(&[])));
        Ok(claimed)
    }

    fn owned(&self, mut run: Run) -> Run {
        run.owner = Some(Owner {
            who: self.me.clone(),
            until: self.clock.now() + OWNERSHIP,
        });
        run
    }

    // === ownership ===

    /// Takes a run over that nobody walks; `None` if somebody does, or was faster.
    pub async fn take_over(&self, run: &Run) -> Result<Option<Run>, CatalogError> {
        if run.phase == Phase::Done || run.has_live_owner(self.clock.now()) {
            return Ok(None);
        }
        let mut mine = self.owned(run.clone());
        mine.version += 1;
        self.commit_unless_stale(&mine)
            .await
            .map(|committed| committed.then_some(mine))
    }

    /// Gives a run back, so that the next process need not wait until the claim lapses.
    pub async fn release(&self, run: &Run) -> Result<(), CatalogError> {
        let Some(latest) = self.catalog.run(run.id).await? else {
            return Ok(());
        };
        if latest.phase == Phase::Done
            || latest
                .owner
                .as_ref()
                .is_none_or(|owner| owner.who != self.me)
        {
            return Ok(());
        }
        let mut free = latest;
        free.owner = None;
        free.version += 1;
        self.commit_unless_stale(&free).await.map(|_| ())
    }

    async fn renew(&self, run: &mut Run) -> Result<bool, CatalogError> {
        let mut renewed = self.owned(run.clone());
        renewed.version += 1;
        let committed = self.commit_unless_stale(&renewed).await?;
        if committed {
            *run = renewed;
        }
        Ok(committed)
    }

    async fn commit_unless_stale(&self, run: &Run) -> Result<bool, CatalogError> {
        match self
            .catalog
            .commit(Commit {
                run,
                savepoints: &[],
                begins: false,
                cap: None,
            })
            .await
        {
            Ok(()) => Ok(true),
            Err(CatalogError::Stale) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Waits for `work` and renews the claim meanwhile; `None` if the run is somebody else's now.
    async fn while_owning<T>(
        &self,
        run: &mut Run,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, CatalogError> {
        let mut work = pin!(work);
        loop {
            let lapses = run
                .owner
                .as_ref()
                .map_or(self.clock.now(), |owner| owner.until);
            let renewal = pin!(self.clock.sleep_until(lapses - OWNERSHIP + RENEW_EVERY));
            match select(work.as_mut(), renewal).await {
                Either::Left((seen, _)) => return Ok(Some(seen)),
                Either::Right(_) => {
                    if !self.renew(run).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    // === the walk ===

    /// Walks a run that this process owns to its end.
    pub async fn walk(&self, mut run: Run, policy: &Policy) -> Result<Walked, CatalogError> {
        let mut context: Option<Context> = None;
        let mut may_call = false;
        let mut rest_until: Option<Timestamp> = None;
        let mut ahead: Option<Run> = None;
        let mut seen_early: Option<Seen> = None;
        loop {
            if run.outcome.is_some() {
                return Ok(Walked::Ended(Box::new(run)));
            }
            if let Some(until) = rest_until.take()
                && self
                    .while_owning(&mut run, self.clock.sleep_until(until))
                    .await?
                    .is_none()
            {
                return Ok(Walked::Yielded);
            }
            // What is usual matters from the request on, and is read while the platform takes it.
            // A reading that fails is tried again, and costs no reply.
            let asks = context.is_none() && was_sent(&run);
            let application = run.application.clone();
            let reading = async {
                if asks {
                    self.catalog.context(&application).await.ok()
                } else {
                    None
                }
            };
            let looking = async {
                let seen = if std::mem::take(&mut may_call) {
                    self.call(&mut run).await
                } else if let Some(seen) = seen_early.take() {
                    Ok(Some(seen))
                } else {
                    let asked = run.clone();
                    self.while_owning(&mut run, self.observe(&asked, policy))
                        .await
                };
                // What is usual may come later, and has nothing to do with when it was seen.
                (seen, self.clock.now())
            };
            let ((seen, now), read) = join(looking, reading).await;
            let Some(seen) = seen? else {
                return Ok(Walked::Yielded);
            };
            context = context.or(read);
            let known = context.unwrap_or_default();
            let step = run::advance(ahead.as_ref().unwrap_or(&run), seen, now, policy, &known);
            let step = with_the_grant(step, now, policy, &known);
            let ahead_before = ahead.take();
            match self.go_on(&run, ahead_before, step, policy, &known).await? {
                None => return Ok(Walked::Yielded),
                Some(Gone::Ahead(step, seen)) => {
                    ahead = Some(step.run);
                    seen_early = Some(seen);
                }
                Some(Gone::Committed(step, seen)) => {
                    may_call = step.grants_call;
                    rest_until = step.rest_until;
                    run = step.run;
                    seen_early = seen;
                }
            }
        }
    }

    /// Commits a step. Where the reading that comes next [may be early](may_look_early), that is
    /// done first, and the step goes to the disk with the one that follows from it, unless the
    /// reading takes [long](SHOW_AFTER). `None` if somebody else was faster.
    async fn go_on(
        &self,
        row: &Run,
        ahead: Option<Run>,
        step: Step,
        policy: &Policy,
        context: &Context,
    ) -> Result<Option<Gone>, CatalogError> {
        if !may_look_early(ahead.as_ref().unwrap_or(row), &step) {
            let committed = self.commit(row, ahead, step, policy, context).await?;
            return Ok(committed.map(|step| Gone::Committed(step, None)));
        }
        let asked = step.run.clone();
        let mut looking = pin!(maybe_done(self.observe(&asked, policy)));
        let long = pin!(self.clock.sleep_until(self.clock.now() + SHOW_AFTER));
        select(looking.as_mut(), long).await;
        if let Some(seen) = looking.as_mut().take_output() {
            return Ok(Some(Gone::Ahead(step, seen)));
        }
        // On the heap, as it seldom comes to this: a walk is a task, and should be small.
        let commit = Box::pin(self.commit(row, ahead, step, policy, context));
        let committed = match select(commit, looking.as_mut()).await {
            Either::Left((committed, _)) => committed?,
            Either::Right(((), commit)) => commit.await?,
        };
        let Some(mut step) = committed else {
            return Ok(None);
        };
        // What was refused was decided anew, and asks for something else.
        if run::next(&step.run) != run::next(&asked) {
            return Ok(Some(Gone::Committed(step, None)));
        }
        let looked = self.while_owning(&mut step.run, looking.as_mut()).await?;
        Ok(looked.map(|()| Gone::Committed(step, looking.take_output())))
    }

    /// Makes the granted call, if the claim on the run still stands.
    async fn call(&self, run: &mut Run) -> Result<Option<Seen>, CatalogError> {
        let safe = run.is_owned_by(&self.me, self.clock.now() + CLOCKS_APART_MAX);
        if !safe && !planted(Bug::LapsedOwnerCalls) {
            // Too late to call. What was granted is not known to have been used: whoever walks
            // the run looks first, and so does this process if it still owns it.
            return Ok(self.renew(run).await?.then(|| {
                Seen::Replied(run::Reply::Unclear(crate::fault::Fault::transient(
                    "the process was held up before it could call",
                )))
            }));
        }
        let Some(attempt) = run.attempt().cloned() else {
            return Ok(Some(Seen::Nothing));
        };
        let platform = run.application.platform.clone();
        let reply = self
            .while_owning(run, self.world.trigger(&platform, &attempt))
            .await?;
        Ok(reply.map(Seen::Replied))
    }

    /// Does the one piece of I/O that the run asks for.
    async fn observe(&self, run: &Run, policy: &Policy) -> Seen {
        let platform = &run.application.platform;
        match (run::next(run), run.attempt()) {
            (Next::Jobs, _) => Seen::Jobs(self.world.jobs(platform, &policy.job).await),
            (Next::Vitals(job), _) => {
                let vitals = if run.hold.is_none() {
                    self.world.first_vitals(platform, &job).await
                } else {
                    self.world.vitals(platform, &job).await
                };
                Seen::Vitals(vitals.map(Box::new))
            }
            (Next::Operation, Some(attempt)) => {
                Seen::Operation(self.world.operation(platform, attempt).await)
            }
            (Next::Search, Some(attempt)) => {
                let operation = self.world.operation(platform, attempt).await;
                let job = match self.world.vitals(platform, &attempt.job).await {
                    Ok(vitals) => Ok(Some(vitals)),
                    Err(fault) if fault.kind == FaultKind::Gone => Ok(None),
                    Err(fault) => Err(fault),
                };
                let directories = self.world.directories(platform, attempt).await;
                Seen::Searched(Box::new(Searched {
                    operation,
                    job,
                    directories,
                }))
            }
            (Next::Read(location), Some(attempt)) => {
                // On the heap, as it comes once in a walk.
                let both = Box::pin(join(
                    self.world.read(platform, &location),
                    self.world.directories(platform, attempt),
                ));
                let (reading, beside) = both.await;
                Seen::Read {
                    reading: reading.map(Box::new),
                    beside: beside.unwrap_or_default(),
                }
            }
            (Next::Step | Next::End | Next::Operation | Next::Search | Next::Read(_), _) => {
                Seen::Nothing
            }
        }
    }

    /// Commits a step, and with it the one that this process is ahead of the row; `None` if
    /// somebody else was faster. What the catalog refuses as busy is decided anew from the row as
    /// it was.
    async fn commit(
        &self,
        row: &Run,
        ahead: Option<Run>,
        step: Step,
        policy: &Policy,
        context: &Context,
    ) -> Result<Option<Step>, CatalogError> {
        let Some(ahead) = ahead else {
            return self.commit_one(row, step, policy, context).await;
        };
        match self.commit_once(row, &ahead, step.clone(), policy).await {
            Err(CatalogError::Busy(_)) => {
                Box::pin(self.commit_one_by_one(row, ahead, step, policy, context)).await
            }
            committed => none_if_stale(committed),
        }
    }

    /// What was refused as one may not begin, or may not trigger: one after the other tells which.
    async fn commit_one_by_one(
        &self,
        row: &Run,
        ahead: Run,
        step: Step,
        policy: &Policy,
        context: &Context,
    ) -> Result<Option<Step>, CatalogError> {
        let reached = ahead.phase;
        let first = Step {
            run: ahead,
            savepoints: Vec::new(),
            baseline: None,
            grants_call: false,
            rest_until: None,
        };
        match self.commit_one(row, first, policy, context).await? {
            Some(first) if first.run.phase == reached => {
                self.commit_one(&first.run, step, policy, context).await
            }
            refused_or_stale => Ok(refused_or_stale),
        }
    }

    async fn commit_one(
        &self,
        row: &Run,
        step: Step,
        policy: &Policy,
        context: &Context,
    ) -> Result<Option<Step>, CatalogError> {
        let committed = match self.commit_once(row, row, step, policy).await {
            Err(CatalogError::Busy(why)) => {
                let now = self.clock.now();
                let step = run::advance(row, Seen::Busy(why), now, policy, context);
                self.commit_once(row, row, step, policy).await
            }
            committed => committed,
        };
        none_if_stale(committed)
    }

    /// Replaces the row by what a step made of `before`: of the row itself, or of what this
    /// process is ahead of it.
    async fn commit_once(
        &self,
        row: &Run,
        before: &Run,
        mut step: Step,
        policy: &Policy,
    ) -> Result<Step, CatalogError> {
        if step.run == *row && step.savepoints.is_empty() && !step.grants_call {
            return Ok(step);
        }
        if step.run.phase != Phase::Done {
            step.run = self.owned(step.run);
        }
        step.run.version = row.version + 1;
        let has_begun = |run: &Run| !matches!(run.phase, Phase::Due | Phase::Done);
        let begins = row.phase == Phase::Due && (has_begun(before) || has_begun(&step.run));
        let triggers = before.phase == Phase::Waiting && step.run.phase == Phase::Triggering;
        let commit = self.catalog.commit(Commit {
            run: &step.run,
            savepoints: &step.savepoints,
            begins: begins && !planted(Bug::IgnoreOverlap),
            cap: triggers.then_some(policy.concurrency),
        });
        // At the same moment, so that both wait for the disk once.
        match &step.baseline {
            Some((location, baseline)) => {
                // On the heap, as it comes once in a walk.
                let noting = Box::pin(self.note(location, baseline));
                let (committed, ()) = join(commit, noting).await;
                committed?;
            }
            None => commit.await?,
        }
        (self.watch)(&step.run, Some(&step.savepoints));
        Ok(step)
    }

    /// Records what level 1 saw of a savepoint. Without it the first deep reading has nothing to
    /// compare with: no reason for a run to fail.
    async fn note(&self, location: &Location, baseline: &Baseline) {
        let _ = self.catalog.record_baseline(location, baseline).await;
    }

    // === after the end ===

    /// Looks into the directories of ended runs and reads savepoints again, as far as due.
    /// `concerns` says whose: a platform that this process has no hands for is left to others.
    pub async fn look_back(
        &self,
        concerns: impl Fn(&AppKey) -> bool + Send,
    ) -> Result<(), CatalogError> {
        for run in self.catalog.looks_due(self.clock.now()).await? {
            if concerns(&run.application) {
                self.look(&run).await?;
            }
        }
        for savepoint in self.catalog.reads_due(self.clock.now()).await? {
            if concerns(&savepoint.application) {
                self.read_again(&savepoint).await?;
            }
        }
        Ok(())
    }

    async fn look(&self, run: &Run) -> Result<(), CatalogError> {
        let mut found = Vec::new();
        for attempt in run
            .attempts
            .iter()
            .filter(|attempt| attempt.sent_at.is_some())
        {
            found.push(
                self.world
                    .directories(&run.application.platform, attempt)
                    .await
                    .ok(),
            );
        }
        let known = self.catalog.savepoints_of(run.id).await?;
        let (mut after, savepoints) = run::look(run, &found, &known, self.clock.now());
        after.version += 1;
        match self
            .catalog
            .commit(Commit {
                run: &after,
                savepoints: &savepoints,
                begins: false,
                cap: None,
            })
            .await
        {
            // Another process looked at the same time; what it saw is as good.
            Ok(()) | Err(CatalogError::Stale) => Ok(()),
            Err(other) => Err(other),
        }
    }

    async fn read_again(&self, savepoint: &Savepoint) -> Result<(), CatalogError> {
        let context = self.catalog.context(&savepoint.application).await?;
        let reading = self
            .world
            .read(&savepoint.application.platform, &savepoint.location)
            .await;
        let at = self.clock.now();
        let mut after = savepoint.clone();
        after.verify_at = None;
        after.verification = match reading {
            Ok(reading) => {
                let report = verify::judge(&reading, context.median_bytes);
                if report.is_whole() {
                    if let Some(baseline) = Baseline::of_listing(&reading, at) {
                        self.note(&savepoint.location, &baseline).await;
                    }
                    Verification::Verified { at, report }
                } else {
                    Verification::Broken { at, report }
                }
            }
            Err(fault) => {
                let tries = match savepoint.verification {
                    Verification::Unverified { tries, .. } => tries.saturating_add(1),
                    _ => 1,
                };
                let wait = (READ_AGAIN_FIRST * (1 << tries.min(10))).min(READ_AGAIN_MAX);
                after.verify_at = Some(at + wait);
                Verification::Unverified {
                    reason: fault.text,
                    at,
                    tries,
                }
            }
        };
        match self.catalog.amend(savepoint, &after).await {
            Ok(()) | Err(CatalogError::Stale) => Ok(()),
            Err(other) => Err(other),
        }
    }
}

/// Whether what the step asks for next may be read before the step is on the disk: looking for the
/// name, at the job's health, into a complete savepoint. Reading changes nothing, so a crash in
/// between loses nothing but the answer. Where the time of an answer proves something, as after the
/// request, and before anything that acts, the row comes first. So it does for a run that is held,
/// which will probably be refused again: the platform is not to be asked for nothing each time.
fn may_look_early(before: &Run, step: &Step) -> bool {
    let reads = matches!(
        run::next(&step.run),
        Next::Jobs | Next::Vitals(_) | Next::Read(_)
    );
    let keeps_nothing = step.savepoints.is_empty() && !step.grants_call;
    // What goes back to an earlier phase could do so for ever without one commit.
    let goes_forward = before.phase < step.run.phase;
    reads && keeps_nothing && goes_forward && step.rest_until.is_none() && before.hold.is_none()
}

/// An attempt that has just been frozen waits for nothing: it goes to the disk together with the grant of its call.
/// The call is still made only by whoever committed that.
fn with_the_grant(frozen: Step, now: Timestamp, policy: &Policy, context: &Context) -> Step {
    let is_frozen = frozen.run.phase == Phase::Triggering && run::next(&frozen.run) == Next::Step;
    if !is_frozen || frozen.grants_call || !frozen.savepoints.is_empty() {
        return frozen;
    }
    run::advance(&frozen.run, Seen::Nothing, now, policy, context)
}

/// Whether the platform may have been asked for the savepoint.
fn was_sent(run: &Run) -> bool {
    run.attempt()
        .is_some_and(|attempt| attempt.sent_at.is_some())
}

fn none_if_stale(committed: Result<Step, CatalogError>) -> Result<Option<Step>, CatalogError> {
    match committed {
        Ok(step) => Ok(Some(step)),
        Err(CatalogError::Stale) => Ok(None),
        Err(other) => Err(other),
    }
}
