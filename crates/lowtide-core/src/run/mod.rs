//! A run: the row that fills a slot, and everything that may be seen of it.
//!
//! ```text
//! due → resolving → waiting (gate) → triggering → following → verifying → done
//! ```
//!
//! [`next`] says which single piece of I/O the phase asks for; [`advance`] turns what was seen
//! into the next step. Both are pure. Nothing but the committed row decides what happens next,
//! so a crash between any two steps is harmless: whoever takes the row over asks [`next`].

mod advance;
mod look;
mod pace;
mod seen;

pub use advance::{advance, next};
pub use look::{LOOKS_AFTER, look};
pub use pace::{backoff, poll_delay};
pub use seen::{
    CONTEXT_SAVEPOINTS, Context, Found, Listed, ListedState, Next, Operation, Reply, Searched,
    Seen, Step, Usual,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use std::collections::BTreeSet;

use crate::name::{AppKey, JobId, Location, OwnerId, RunId, SavepointId, TriggerId};
use crate::policy::Policy;
use crate::savepoint::Format;

/// How long an owner's claim on a run lasts without renewal.
pub const OWNERSHIP: SignedDuration = SignedDuration::from_secs(30);
/// How often an owner renews its claim.
pub const RENEW_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// How far apart the wall clocks of two processes on one catalog may be. Versions keep the catalog
/// right whatever clocks show; this is what calls and proofs bear.
pub const CLOCKS_APART_MAX: SignedDuration = SignedDuration::from_secs(20);
/// How soon after its claim was renewed an owner must make a granted call: later, another process
/// whose clock is ahead may take the claim for lapsed.
pub const CALL_WITHIN: SignedDuration =
    SignedDuration::from_secs(OWNERSHIP.as_secs() - CLOCKS_APART_MAX.as_secs());
/// How long after its grant a request may still arrive, by anybody's clock: until the owner must
/// have made it, plus its time on the way ([`REPEAT_MARGIN`]), plus the difference of two clocks.
pub const ARRIVES_WITHIN: SignedDuration = SignedDuration::from_secs(
    CALL_WITHIN.as_secs() + REPEAT_MARGIN.as_secs() + CLOCKS_APART_MAX.as_secs(),
);
/// How much of the cluster's memory of trigger ids is left unused when a request is repeated: the
/// request itself may take this long to arrive.
pub const REPEAT_MARGIN: SignedDuration = SignedDuration::from_secs(30);
/// How long a cluster remembers results under a trigger id by default
/// (`rest.async.store-duration`).
pub const STORE_DURATION: SignedDuration = SignedDuration::from_mins(5);
/// How long after the job's own limit a savepoint may still turn up before sight is lost.
pub const FOLLOW_MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// How long to follow where the job's own limit cannot be read.
pub const FOLLOW_BLIND: SignedDuration = SignedDuration::from_hours(1);
/// How far apart two looks into an empty directory must lie to prove anything.
pub const EMPTY_TWICE_APART: SignedDuration = SignedDuration::from_secs(10);
/// How often a completed savepoint that cannot be read is tried before the run ends
/// `unverified`.
pub const READS_MAX: u32 = 3;

/// Why a run exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "origin")]
pub enum Origin {
    /// A due point of the schedule.
    Slot {
        /// Its nominal time.
        nominal: Timestamp,
    },
    /// `lowtide take`: now, whatever the schedule and its windows say.
    Take,
    /// `lowtide run` without a slot: ignores the schedule, honours its windows.
    Run,
}

/// What a person asked for otherwise than the configuration says. It belongs to the row: another
/// process that takes the run over must do as was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The format.
    pub format: Option<Format>,
    /// The directory, as typed.
    pub target: Option<String>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Claimed; an earlier run of the application may still be under way.
    Due,
    /// Looking for the job behind the name.
    Resolving,
    /// At the gate.
    Waiting,
    /// The attempt is frozen, or sent and not yet known to be accepted.
    Triggering,
    /// Accepted; waiting for its end.
    Following,
    /// Complete; being proven.
    Verifying,
    /// Ended, in exactly one outcome.
    Done,
}

impl Phase {
    /// As users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Resolving => "resolving",
            Self::Waiting => "waiting",
            Self::Triggering => "triggering",
            Self::Following => "following",
            Self::Verifying => "verifying",
            Self::Done => "done",
        }
    }
}

/// The closed set of causes of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
    /// No job of this name runs.
    NotRunning,
    /// Several jobs of this name run.
    Ambiguous,
    /// Neither the cluster nor the application has a savepoint directory.
    NoSavepointDirectory,
    /// The job's state backend cannot write the format.
    UnsupportedFormat,
    /// The platform could not be reached until the deadline.
    Unreachable,
    /// The platform refuses Lowtide: token, certificate, rights.
    Denied,
    /// The platform refused the request itself.
    Refused,
    /// The job was not fit for a savepoint until the deadline.
    NotReady,
    /// Flink could not write to the target.
    Target,
    /// A task failed during the savepoint; the job restarted or may have.
    TaskFailed,
    /// The savepoint took longer than the job allows.
    Expired,
    /// Flink says that the savepoint failed, for another reason.
    SavepointFailed,
    /// Complete, but proven not to be restorable.
    Broken,
    /// Nothing came of the request, and nothing can come of it any more.
    Lost,
    /// What came of the request could not be found out.
    LostSight,
    /// The answer to the one request was lost, and the platform lists no savepoint that could
    /// have come of it.
    LostReply,
}

impl CauseKind {
    /// As users read it, in `failed(…)`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotRunning => "not running",
            Self::Ambiguous => "ambiguous",
            Self::NoSavepointDirectory => "no savepoint directory",
            Self::UnsupportedFormat => "unsupported format",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::NotReady => "not ready",
            Self::Target => "target",
            Self::TaskFailed => "task failed",
            Self::Expired => "expired",
            Self::SavepointFailed => "savepoint failed",
            Self::Broken => "broken",
            Self::Lost => "lost",
            Self::LostSight => "lost sight",
            Self::LostReply => "lost reply",
        }
    }
}

/// Why something failed, for people: the kind, what happened, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Which of the closed set.
    pub kind: CauseKind,
    /// What happened.
    pub text: String,
    /// What a person can do.
    pub hint: Option<String>,
}

impl Cause {
    /// A cause without advice.
    pub fn new(kind: CauseKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            hint: None,
        }
    }

    /// The same cause with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Why a slot was left out by rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// The job has finished.
    Finished,
    /// The job was cancelled.
    Cancelled,
    /// A never-window held it past its deadline.
    Never,
    /// An earlier run of the application was under way until its deadline.
    Overlap,
}

impl SkipReason {
    /// As users read it, in `skipped(…)`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Never => "never-window",
            Self::Overlap => "overlap",
        }
    }
}

/// The end of a run; exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub enum Outcome {
    /// Taken and proven.
    Kept {
        /// Where it lies.
        location: Location,
    },
    /// Taken, but Lowtide could not read it.
    Unverified {
        /// Where it lies.
        location: Location,
        /// Why it could not be read.
        reason: String,
        /// What a person can do.
        hint: Option<String>,
    },
    /// Not taken, or not restorable.
    Failed {
        /// Why.
        cause: Cause,
    },
    /// Left out by rule.
    Skipped {
        /// Which rule.
        reason: SkipReason,
        /// The circumstances.
        text: String,
    },
    /// Never claimed while it was due.
    Missed {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// The first word of it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Kept { .. } => "kept",
            Self::Unverified { .. } => "unverified",
            Self::Failed { .. } => "failed",
            Self::Skipped { .. } => "skipped",
            Self::Missed { .. } => "missed",
        }
    }

    /// The word and its reason in short, as in `failed(lost sight)`.
    pub fn short(&self) -> String {
        match self {
            Self::Failed { cause } => format!("failed({})", cause.kind.as_str()),
            Self::Skipped { reason, .. } => format!("skipped({})", reason.as_str()),
            Self::Kept { .. } | Self::Unverified { .. } | Self::Missed { .. } => {
                self.word().to_owned()
            }
        }
    }
}

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "end")]
pub enum AttemptEnd {
    /// It left the savepoint that the run ends with.
    Completed,
    /// It was never delivered: the connection was refused before anything was sent.
    NotSent {
        /// What happened.
        text: String,
    },
    /// The platform refused it, or said that it failed.
    Failed {
        /// Why.
        cause: Cause,
    },
    /// Proven lost: nothing came of it and nothing can.
    Lost {
        /// The proof.
        text: String,
    },
    /// What came of it could not be found out until the follow deadline.
    LostSight,
}

/// A directory that nobody but one attempt writes to; or, where nothing is remembered
/// ([`Run::look_first_from`]), but the attempts of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnDirectory {
    /// The directory.
    pub target: Location,
    /// The one under which it lies, which must be there for an absent `target` to prove anything.
    pub base: Location,
}

/// On a platform that takes no trigger id: which of the savepoints that it lists is the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The savepoints that it listed before the request: none of them is.
    pub before: BTreeSet<SavepointId>,
    /// The one that fills the slot, once known.
    pub savepoint: Option<SavepointId>,
    /// Those that were taken for it and proved broken, while nothing said that they are ours.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub broken: BTreeSet<SavepointId>,
    /// Whether [`Self::savepoint`] is someone else's: it carries no mark of ours, and no reply to us named
    /// it.
    pub foreign: bool,
}

/// One request to the platform; frozen before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counts from 1 within the run.
    pub number: u32,
    /// The job that the name resolved to.
    pub job: JobId,
    /// When that job's incarnation began.
    pub job_started_at: Timestamp,
    /// The key of the request.
    pub trigger_id: TriggerId,
    /// A directory of its own, where the platform lets us choose one.
    #[serde(flatten)]
    pub directory: Option<OwnDirectory>,
    /// What tells its savepoint from others, where the platform takes no trigger id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<Listing>,
    /// The format asked for.
    pub format: Format,
    /// The job's own limit for a savepoint, where it can be read.
    pub checkpoint_timeout: Option<SignedDuration>,
    /// How many failed checkpoints the job tolerates, where it can be read.
    pub tolerable_failures: Option<u32>,
    /// How long the cluster remembers the trigger id.
    pub store_duration: SignedDuration,
    /// When it was frozen.
    pub frozen_at: Timestamp,
    /// When the one call was granted; the first one, if it was repeated.
    pub sent_at: Option<Timestamp>,
    /// How many calls were granted.
    pub calls: u32,
    /// When the platform was first seen to have accepted it.
    pub accepted_at: Option<Timestamp>,
    /// When its directory was first seen without a savepoint after sight was lost.
    pub empty_at: Option<Timestamp>,
    /// Where its savepoint lies, once known.
    pub location: Option<Location>,
    /// Whether the platform itself named the location; otherwise it was found by looking.
    pub named_by_platform: bool,
    /// When its savepoint was first seen complete.
    pub completed_at: Option<Timestamp>,
    /// How often reading its savepoint was tried in vain.
    pub reads: u32,
    /// How it ended.
    pub end: Option<AttemptEnd>,
}

impl Attempt {
    /// Whether the savepoint that it ends with is someone else's.
    pub fn is_foreign(&self) -> bool {
        self.listing.as_ref().is_some_and(|listing| listing.foreign)
    }

    /// One that is just being frozen: nothing is sent, seen or known of the job's limits yet.
    pub fn frozen(
        number: u32,
        job: JobId,
        job_started_at: Timestamp,
        trigger_id: TriggerId,
        format: Format,
        frozen_at: Timestamp,
    ) -> Self {
        Self {
            number,
            job,
            job_started_at,
            trigger_id,
            directory: None,
            listing: None,
            format,
            checkpoint_timeout: None,
            tolerable_failures: None,
            store_duration: STORE_DURATION,
            frozen_at,
            sent_at: None,
            calls: 0,
            accepted_at: None,
            empty_at: None,
            location: None,
            named_by_platform: false,
            completed_at: None,
            reads: 0,
            end: None,
        }
    }

    /// Since when the platform has been at work: the request may have waited on its way, and the
    /// reply says that it has arrived.
    pub(crate) fn began_at(&self) -> Option<Timestamp> {
        self.accepted_at.or(self.sent_at)
    }

    /// Until when a 404 for the trigger id proves that nothing was accepted.
    pub fn repeat_until(&self) -> Option<Timestamp> {
        self.sent_at
            .map(|sent_at| self.surely_remembered_until(sent_at))
    }

    /// Until when the cluster surely remembers a request made at this time, if it accepted it.
    pub(crate) fn surely_remembered_until(&self, asked_at: Timestamp) -> Timestamp {
        // A store duration below a second means "for ever" to Flink; what Flink keeps by default
        // is promise enough.
        let kept = if self.store_duration < SignedDuration::from_secs(1) {
            STORE_DURATION
        } else {
            self.store_duration
        };
        asked_at + (kept - REPEAT_MARGIN)
    }

    /// Whether a request that was granted may still be on its way to the platform. Until it is
    /// not, nothing that the platform or the directory shows proves an end: a proxy or a
    /// `JobManager` that stood still may deliver it after the client gave up, also to an
    /// incarnation that began meanwhile.
    pub fn may_be_on_its_way(&self, now: Timestamp) -> bool {
        let last_grant = if self.calls > 1 {
            // No request is repeated later than that; when exactly is not remembered.
            self.repeat_until()
        } else {
            self.sent_at.filter(|_| self.accepted_at.is_none())
        };
        last_grant.is_some_and(|granted| now < granted + ARRIVES_WITHIN)
    }

    /// When sight of it is lost for good.
    pub fn follow_deadline(&self) -> Option<Timestamp> {
        let limit = self
            .checkpoint_timeout
            .map_or(FOLLOW_BLIND, |limit| limit + FOLLOW_MARGIN);
        Some(self.sent_at? + limit)
    }
}

/// Sight is lost: what happened to the attempt is not known just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
    /// When it ends as `failed(lost sight)` at the latest.
    pub until: Timestamp,
}

/// What kind of thing holds a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldKind {
    /// An earlier run of the application.
    Overlap,
    /// A never-window.
    Never,
    /// No job of the name.
    Absent,
    /// The job's health.
    Gate,
    /// Enough savepoints under way on the platform: this never makes a slot fail.
    Cap,
    /// The platform does not answer, or the last attempt failed: waiting to try again.
    Backoff,
}

/// Why a run does not go on just now; stored, logged once per change, and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What kind of thing holds it.
    pub kind: HoldKind,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
}

/// Who walks a run, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Which process.
    pub who: OwnerId,
    /// When its claim lapses without renewal.
    pub until: Timestamp,
}

/// The row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Derived for a slot, fresh for a request.
    pub id: RunId,
    /// Which application.
    pub application: AppKey,
    /// Why it exists.
    #[serde(flatten)]
    pub origin: Origin,
    /// What was asked for otherwise than configured.
    pub asked: Asked,
    /// When it was claimed or asked for.
    pub created_at: Timestamp,
    /// From when deadlines count.
    pub effective_start: Timestamp,
    /// Until when an attempt may begin.
    pub trigger_deadline: Timestamp,
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub phase_since: Timestamp,
    /// When its name was first looked for.
    pub resolving_since: Option<Timestamp>,
    /// When it first stood at the gate.
    pub gate_since: Option<Timestamp>,
    /// The job that the name resolved to.
    pub job: Option<JobId>,
    /// Set where nothing is remembered of what an earlier process may have asked for the same
    /// slot: no call before this time, and none without a look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_first_from: Option<Timestamp>,
    /// Its requests.
    pub attempts: Vec<Attempt>,
    /// Set while sight is lost.
    pub unknown: Option<Unknown>,
    /// Why it does not go on just now.
    pub hold: Option<Hold>,
    /// Faults in a row, for the backoff.
    pub faults: u32,
    /// What people should know.
    pub warnings: Vec<String>,
    /// When the directories of its attempts are looked into again, after its end.
    pub look_at: Option<Timestamp>,
    /// How often they were looked into after its end.
    pub looks: u32,
    /// Its end.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who walks it.
    pub owner: Option<Owner>,
    /// Counts commits; a commit names the version that it saw.
    pub version: u64,
}

impl Run {
    /// The run of a slot. `next_slot` ends its time to trigger, if that comes before its
    /// deadline.
    pub fn of_slot(
        application: AppKey,
        nominal: Timestamp,
        next_slot: Option<Timestamp>,
        now: Timestamp,
        policy: &Policy,
    ) -> Self {
        // A slot that is made up for later has its deadline counted from when it really starts.
        let effective_start = nominal.max(now);
        let deadline = effective_start + policy.deadline;
        // Likewise the slot that ends its time is the first one still ahead.
        let next_slot = next_slot.filter(|next| *next > effective_start);
        Self {
            trigger_deadline: next_slot.map_or(deadline, |next| deadline.min(next)),
            effective_start,
            ..Self::blank(
                RunId::of_slot(&application, nominal),
                application,
                Origin::Slot { nominal },
                now,
                policy,
            )
        }
    }

    /// A run that a person asked for; `id` is fresh randomness.
    pub fn of_request(
        application: AppKey,
        id: RunId,
        origin: Origin,
        now: Timestamp,
        policy: &Policy,
    ) -> Self {
        Self::blank(id, application, origin, now, policy)
    }

    /// The record of a slot that never ran.
    pub fn of_missed(
        application: AppKey,
        nominal: Timestamp,
        reason: String,
        now: Timestamp,
        policy: &Policy,
    ) -> Self {
        let mut run = Self::of_slot(application, nominal, None, now, policy);
        run.phase = Phase::Done;
        run.outcome = Some(Outcome::Missed { reason });
        run.ended_at = Some(now);
        run
    }

    fn blank(
        id: RunId,
        application: AppKey,
        origin: Origin,
        now: Timestamp,
        policy: &Policy,
    ) -> Self {
        Self {
            id,
            application,
            origin,
            asked: Asked::default(),
            created_at: now,
            effective_start: now,
            trigger_deadline: now + policy.deadline,
            phase: Phase::Due,
            phase_since: now,
            resolving_since: None,
            gate_since: None,
            job: None,
            look_first_from: None,
            attempts: Vec::new(),
            unknown: None,
            hold: None,
            faults: 0,
            warnings: Vec::new(),
            look_at: None,
            looks: 0,
            outcome: None,
            ended_at: None,
            owner: None,
            version: 0,
        }
    }

    /// The attempt that is under way or was the last.
    pub fn attempt(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The slot's nominal time, if the run fills one.
    pub fn nominal(&self) -> Option<Timestamp> {
        match self.origin {
            Origin::Slot { nominal } => Some(nominal),
            Origin::Take | Origin::Run => None,
        }
    }

    /// Whether this process may walk it at this moment.
    pub fn is_owned_by(&self, who: &OwnerId, now: Timestamp) -> bool {
        self.owner
            .as_ref()
            .is_some_and(|owner| owner.who == *who && owner.until > now)
    }

    /// Whether its savepoint is waited for: what counts against the cap of its platform.
    pub fn is_triggered(&self) -> bool {
        matches!(self.phase, Phase::Triggering | Phase::Following)
    }

    /// Whether somebody's claim on it stands at this moment.
    pub fn has_live_owner(&self, now: Timestamp) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.until > now)
    }

    /// The name of an attempt's own directory: the slot or the request, and the number.
    pub fn directory_name(&self, number: u32) -> String {
        match self.origin {
            Origin::Slot { nominal } => format!("{}-{number}", nominal.strftime("%Y%m%dT%H%M%SZ")),
            Origin::Take | Origin::Run => {
                let id = self.id.to_string();
                format!("request-{}-{number}", &id[..12])
            }
        }
    }
}
