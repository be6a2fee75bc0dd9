//! What must be true, by name.

use std::fmt;

use jiff::Timestamp;

macro_rules! invariants {
    ($($(#[$doc:meta])* $name:ident => $label:literal,)*) => {
        /// A statement of the design that every step of every seed is held to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Invariant {
            $($(#[$doc])* $name,)*
        }

        impl Invariant {
            /// Every invariant.
            pub const ALL: &'static [Invariant] = &[$(Invariant::$name,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Invariant::$name => $label,)*
                }
            }
        }
    };
}

invariants! {
    /// No run has two savepoints that are kept.
    OneKept => "one-kept-per-slot",
    /// By the end of the quiet period every run has its outcome, and ticks go on.
    NothingWaitsForEver => "nothing-waits-for-ever",
    /// An outcome, once set, never changes.
    OutcomeIsFinal => "outcome-is-final",
    /// A slot's row is inserted once and never replaced by a claim.
    ClaimedOnce => "claimed-once",
    /// A slot that has been considered and was not paused has a row.
    DueSlotHasRow => "due-slot-has-row",
    /// No slot fires that lies before its schedule's text was first seen.
    NotBeforeFirstSeen => "no-slot-before-first-seen",
    /// No slot fires that lies in a pause or before its end.
    NotInPause => "no-slot-in-a-pause",
    /// No attempt's request is taken up while an earlier one of the run could still complete, or
    /// has completed.
    ProvenEndFirst => "proven-end-before-next-attempt",
    /// No platform is brought to take two savepoints under one trigger id by a request that was
    /// made after it had forgotten the first.
    RepeatedInWindow => "repeated-only-in-the-window",
    /// No call without a committed grant: `sent` is in the catalog, one call for each.
    CallNeedsSent => "call-needs-committed-sent",
    /// Only the owner, as committed, calls.
    OnlyOwnerCalls => "only-the-owner-calls",
    /// What an attempt was frozen with never changes, and no attempt disappears.
    AttemptIsFrozen => "attempt-is-frozen",
    /// By the end every directory in an attempt's target is in the catalog as what it is.
    EveryDirectoryKnown => "every-directory-is-known",
    /// What is kept is whole and lies in an attempt's own directory.
    KeptIsWhole => "kept-is-whole",
    /// An outcome that names a savepoint was committed together with its record.
    OutcomeHasRecord => "outcome-has-its-record",
    /// `failed` is never said of a run that the platform completed a savepoint for, or still may.
    UnknownIsNotFailed => "unknown-is-not-failed",
    /// `failed(broken)` is said only of what is broken.
    UnreadableIsNotBroken => "unreadable-is-not-broken",
    /// At most one run of an application is between due and done.
    OneRunAtATime => "one-run-at-a-time",
    /// No more runs of a platform trigger or follow than the cap says.
    CapRespected => "cap-respected",
    /// A run that waited for the cap past its deadline does not fail for that.
    CapNeverFails => "cap-never-fails-a-run",
    /// A run's version grows by one with each commit.
    VersionGrowsByOne => "version-grows-by-one",
    /// Where the platform takes no trigger id, a run makes one request, but for those that were
    /// certainly never delivered.
    OneRequest => "one-request-without-a-trigger-id",
    /// Nothing is recorded as ours that carries no mark of ours and that no reply to us named.
    OwnedIsOurs => "owned-is-ours",
    /// What was listed before a request, or made before a slot's time, never fills the slot.
    OldNeverFills => "nothing-older-fills-a-slot",
    /// Where nothing is remembered, no request is taken up while an earlier one of the slot could
    /// still complete, or has completed.
    OnceWithoutMemory => "once-per-slot-without-memory",
    /// Commits, calls and questions of a run are bounded.
    BoundedWork => "bounded-work",
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, in true time.
    pub at: Timestamp,
    /// The application.
    pub application: Option<usize>,
    /// What was seen.
    pub text: String,
}
