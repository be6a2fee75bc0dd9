//! What goes wrong in a simulation, by kind, and how often it did.
//!
//! A fault that is never injected proves nothing about the code that would have to bear it, so a
//! sweep counts every kind and fails where one stays at zero.

use std::collections::BTreeMap;

use lowtide_core::run::Phase;

macro_rules! troubles {
    ($($(#[$doc:meta])* $name:ident => $label:literal,)*) => {
        /// A kind of fault, or of ordinary trouble made by people.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Trouble {
            $($(#[$doc])* $name,)*
        }

        impl Trouble {
            /// Every kind.
            pub const ALL: &'static [Trouble] = &[$(Trouble::$name,)*];

            /// For tables.
            pub fn label(self) -> &'static str {
                match self {
                    $(Trouble::$name => $label,)*
                }
            }
        }
    };
}

troubles! {
    /// The `JobManager` dies and comes back with its jobs under their old ids.
    RestartWithHa => "JobManager restarts, highly available",
    /// The `JobManager` dies and comes back without jobs.
    RestartWithoutHa => "JobManager restarts, jobs gone",
    /// A pending savepoint dies with the `JobManager` and leaves nothing.
    PendingVanished => "pending savepoint vanishes",
    /// A pending savepoint dies and leaves files without `_metadata`.
    PendingOrphaned => "pending savepoint leaves an orphan",
    /// A pending savepoint is complete just as the `JobManager` dies.
    CompletedAtKill => "savepoint complete at the kill",
    /// A job restarts; not all of its tasks run for a while.
    JobRestart => "job restarts",
    /// A job finishes and is submitted again later.
    JobFinished => "job finishes",
    /// A job is cancelled and submitted again later.
    JobCancelled => "job cancelled",
    /// A second job of the same name runs for a while.
    Ambiguous => "two jobs of one name",
    /// Somebody else takes a savepoint.
    ForeignSavepoint => "somebody else's savepoint",
    /// A checkpoint or back-pressure for a while.
    JobBusy => "job busy",
    /// The statistics still show what is over, or not yet what is.
    StaleStatistics => "statistics lag",
    /// Flink says that a savepoint failed.
    SavepointFails => "savepoint fails",
    /// A savepoint fails a task, and the job restarts.
    TaskFails => "savepoint fails a task",
    /// A savepoint takes longer than the job allows.
    Expires => "savepoint expires",
    /// A savepoint takes tens of seconds.
    Slow => "savepoint slow",
    /// Flink says complete, and a file is missing, short, or the `_metadata` cut.
    WrittenBroken => "savepoint broken",
    /// Flink says failed, and the directory is complete.
    FailedYetComplete => "failed, yet complete",
    /// The `_metadata` is visible before it is whole.
    Growing => "_metadata still growing",
    /// The same trigger id comes again and is recognised.
    RequestRecognised => "repeated request recognised",
    /// Asked for a trigger id that the platform has forgotten.
    TriggerForgotten => "trigger id forgotten",
    /// The platform itself refuses a request.
    RequestRefused => "request refused",
    /// The connection is refused.
    ConnectionRefused => "connection refused",
    /// A proxy answers 5xx.
    ServerError => "5xx",
    /// The platform refuses Lowtide's token for a while.
    Denied => "access denied",
    /// A request never arrives.
    RequestLost => "request lost",
    /// A request takes effect, its reply never arrives.
    ReplyLost => "reply lost",
    /// A request takes effect at once, its reply comes when the client has given up.
    ReplyLate => "reply late",
    /// A request arrives after the client gave up.
    RequestDelayed => "request arrives late",
    /// A platform without trigger ids keeps the marks of requests.
    MarksKept => "no trigger id, marks kept",
    /// A platform without trigger ids drops the marks of requests.
    MarksDropped => "no trigger id, marks dropped",
    /// No trigger id: a savepoint was made, the reply never arrives.
    MadeReplyLost => "no trigger id, made, reply lost",
    /// No trigger id: a savepoint was made, the reply comes when the client has given up.
    MadeReplyLate => "no trigger id, made, reply late",
    /// No trigger id: the savepoint is made after the client gave up.
    MadeLate => "no trigger id, made late",
    /// No trigger id: the platform refuses the request.
    MadeNotRefused => "no trigger id, refused",
    /// No trigger id: a proxy answers 5xx, and nothing was made.
    MadeNotError => "no trigger id, 5xx, nothing made",
    /// No trigger id: somebody else's savepoint is made just before ours.
    ForeignBefore => "somebody else's just before ours",
    /// No trigger id: somebody else's savepoint is made while ours is.
    ForeignBeside => "somebody else's beside ours",
    /// No trigger id: somebody else's savepoint is made after ours.
    ForeignAfter => "somebody else's after ours",
    /// A savepoint is in no list for a moment.
    Unlisted => "savepoint not listed yet",
    /// Somebody deletes a savepoint.
    Deleted => "savepoint deleted by somebody",
    /// A pod without a catalog dies, and another one is started for the same slot.
    PodAgain => "pod without a catalog started again",
    /// A pod without a catalog comes upon what an earlier one asked for.
    PodFinds => "pod without a catalog finds a savepoint",
    /// The store cannot be read for a while.
    StoreAway => "store away",
    /// Lowtide has no hands for the store.
    StoreBlind => "store never readable",
    /// The catalog fails before it does anything.
    CatalogBroken => "catalog broken",
    /// The catalog commits, and says that it failed.
    CatalogReplyLost => "commit's reply lost",
    /// The catalog takes its time.
    CatalogSlow => "catalog slow",
    /// A process's wall clock jumps forward.
    ClockForward => "clock jumps forward",
    /// A process's wall clock jumps back.
    ClockBack => "clock jumps back",
    /// A process makes no progress for a while.
    Stall => "process stalls",
    /// A process dies.
    Crash => "process crashes",
    /// A crash, and the call in flight takes effect.
    CallSurvives => "call survives a crash",
    /// A crash, and the call in flight does not take effect.
    CallDies => "call dies with a crash",
    /// A run is taken over from somebody else.
    TakenOver => "run taken over",
    /// A schedule's text is edited.
    Edit => "schedule edited",
    /// An application is paused.
    Pause => "application paused",
    /// A person asks for a savepoint now.
    Take => "take",
    /// A zone's clock changes while slots are due.
    ClockChange => "daylight saving crossed",
}

/// Where in its work a process crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spot {
    /// A write to the catalog was about to be made.
    BeforeCommit,
    /// The catalog had the write; the process did not hear of it.
    AfterCommit,
    /// A savepoint was about to be asked for.
    BeforeTrigger,
    /// It had been asked for; the process did not hear the answer.
    AfterTrigger,
    /// Something else was about to be asked.
    BeforeQuestion,
    /// Something else had been answered.
    AfterQuestion,
    /// At some moment of the clock.
    AnyTime,
}

impl Spot {
    /// Every spot.
    pub const ALL: [Spot; 7] = [
        Spot::BeforeCommit,
        Spot::AfterCommit,
        Spot::BeforeTrigger,
        Spot::AfterTrigger,
        Spot::BeforeQuestion,
        Spot::AfterQuestion,
        Spot::AnyTime,
    ];

    /// For tables.
    pub fn label(self) -> &'static str {
        match self {
            Spot::BeforeCommit => "before a commit",
            Spot::AfterCommit => "after a commit",
            Spot::BeforeTrigger => "before the request",
            Spot::AfterTrigger => "after the request",
            Spot::BeforeQuestion => "before a question",
            Spot::AfterQuestion => "after a question",
            Spot::AnyTime => "at any moment",
        }
    }
}

/// The phases in which a run can be when the process that walks it crashes.
pub const CRASH_PHASES: [Phase; 6] = [
    Phase::Due,
    Phase::Resolving,
    Phase::Waiting,
    Phase::Triggering,
    Phase::Following,
    Phase::Verifying,
];

/// Counts over one seed or many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Per kind of fault.
    pub troubles: BTreeMap<Trouble, u64>,
    /// Per phase of a run whose process crashed.
    pub crashed_phases: BTreeMap<Phase, u64>,
    /// Per spot at which a process crashed.
    pub crashed_spots: BTreeMap<Spot, u64>,
    /// Per outcome, in short.
    pub outcomes: BTreeMap<String, u64>,
    /// Slots that have a row.
    pub slots: u64,
    /// Requests made by people.
    pub requests: u64,
    /// Savepoints in the catalog, per standing.
    pub standings: BTreeMap<&'static str, u64>,
    /// Commits.
    pub commits: u64,
    /// Requests for savepoints that reached a platform.
    pub triggers: u64,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, trouble: Trouble) {
        *self.troubles.entry(trouble).or_default() += 1;
    }

    /// Adds another seed's counts.
    pub fn add(&mut self, other: &Tally) {
        merge(&mut self.troubles, &other.troubles);
        merge(&mut self.crashed_phases, &other.crashed_phases);
        merge(&mut self.crashed_spots, &other.crashed_spots);
        merge(&mut self.outcomes, &other.outcomes);
        merge(&mut self.standings, &other.standings);
        self.slots += other.slots;
        self.requests += other.requests;
        self.commits += other.commits;
        self.triggers += other.triggers;
    }

    /// Names of all that should have happened and never did.
    pub fn missing(&self) -> Vec<&'static str> {
        let troubles = Trouble::ALL
            .iter()
            .filter(|kind| !self.troubles.contains_key(kind))
            .map(|kind| kind.label());
        let phases = CRASH_PHASES
            .iter()
            .filter(|phase| !self.crashed_phases.contains_key(phase))
            .map(|phase| phase.as_str());
        let spots = Spot::ALL
            .iter()
            .filter(|spot| !self.crashed_spots.contains_key(spot))
            .map(|spot| spot.label());
        troubles.chain(phases).chain(spots).collect()
    }
}

fn merge<K: Ord + Clone>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(key.clone()).or_default() += count;
    }
}
