//! Bugs that a sweep is told to plant; see [`lowtide_core::Bug`] for those in decision and engine
//! code. Those here are in what the simulator stands in for: the catalog and the adapters.

/// A bug in the model of a catalog or an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModelBug {
    /// The catalog commits a step whatever version it replaces.
    CommitWithoutVersionCheck,
    /// The catalog replaces a row that is claimed again.
    ClaimReplaces,
    /// The catalog forgets its last commit when the process that made it crashes.
    CommitNotDurable,
    /// The catalog commits a run without its savepoints.
    TornCommit,
    /// The catalog does not count what is under way on the platform.
    CapIgnored,
    /// The adapter calls a store that it cannot read empty.
    BlindIsEmpty,
    /// The adapter answers a 404 with the job's old start time.
    OldIncarnation,
    /// The adapter calls a lost reply "not sent".
    LostReplyIsNotSent,
    /// The catalog does not remember pauses.
    PausesForgotten,
    /// The adapter takes every mark in a list for the attempt's own.
    AnyMarkIsOurs,
    /// The adapter reads only the first page of the list before the request.
    FirstPageOnly,
    /// A pod without a catalog calls at once, without a look.
    PodCallsBlindly,
}

impl ModelBug {
    /// Every one.
    pub const ALL: [ModelBug; 12] = [
        ModelBug::CommitWithoutVersionCheck,
        ModelBug::ClaimReplaces,
        ModelBug::CommitNotDurable,
        ModelBug::TornCommit,
        ModelBug::CapIgnored,
        ModelBug::BlindIsEmpty,
        ModelBug::OldIncarnation,
        ModelBug::LostReplyIsNotSent,
        ModelBug::PausesForgotten,
        ModelBug::AnyMarkIsOurs,
        ModelBug::FirstPageOnly,
        ModelBug::PodCallsBlindly,
    ];
}

/// What to plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// A bug in decision or engine code.
    Core(lowtide_core::Bug),
    /// A bug in a model.
    Model(ModelBug),
}
