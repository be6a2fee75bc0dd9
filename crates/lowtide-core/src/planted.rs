//! Planted bugs: faults that the simulator must catch, compiled in only under
//! `--cfg lowtide_planted_bugs`, a compiler flag and not a feature, so that none can reach the
//! shipped binary. A checker that cannot fail proves nothing.

/// The bugs planted in decision and engine code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// Repeats a request although the cluster may have forgotten its trigger id.
    RepeatAfterWindow,
    /// Begins a new attempt as soon as sight is lost, without a proven end.
    AttemptWithoutProof,
    /// Ends a run as failed at the first answer that is not known.
    UnknownIsFailed,
    /// Fires the slots that a new schedule text would have had in the past.
    CatchUpOnEdit,
    /// Calls the platform although the ownership has lapsed meanwhile.
    LapsedOwnerCalls,
    /// Calls the platform before `sent` is committed.
    CallBeforeSent,
    /// Takes a completed operation with a failure cause for a success.
    CompletedIsSuccess,
    /// Begins a run while another one of the application is under way.
    IgnoreOverlap,
    /// Never looks again into the directory of an attempt that ended without a savepoint.
    ForgetLate,
    /// Keeps a savepoint that verification proved broken.
    KeepBroken,
    /// Asks again where the platform takes no trigger id and the reply was lost.
    PostAgain,
    /// Takes a request whose reply did not come in time for one that was never made.
    LateReplyIsRefusal,
    /// Forgets which savepoints were listed before the request.
    ForgetListed,
    /// Takes a savepoint without our mark for ours.
    OwnUnmarked,
    /// Where nothing is remembered, calls whatever the look before the call saw.
    CallWithoutLook,
}

#[cfg(lowtide_planted_bugs)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

#[cfg(lowtide_planted_bugs)]
impl Bug {
    /// Every bug of this kind.
    pub const ALL: [Bug; 15] = [
        Bug::RepeatAfterWindow,
        Bug::AttemptWithoutProof,
        Bug::UnknownIsFailed,
        Bug::CatchUpOnEdit,
        Bug::LapsedOwnerCalls,
        Bug::CallBeforeSent,
        Bug::CompletedIsSuccess,
        Bug::IgnoreOverlap,
        Bug::ForgetLate,
        Bug::KeepBroken,
        Bug::PostAgain,
        Bug::LateReplyIsRefusal,
        Bug::ForgetListed,
        Bug::OwnUnmarked,
        Bug::CallWithoutLook,
    ];

    /// Plants a bug for the current thread, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }
}

/// Whether this bug is planted here and now; always `false` in a shipped binary.
#[cfg(lowtide_planted_bugs)]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this bug is planted here and now; always `false` in a shipped binary.
#[cfg(not(lowtide_planted_bugs))]
pub(crate) const fn planted(_bug: Bug) -> bool {
    false
}
