//! What a run leaves, or a person adopts: a place, its standing and its verification.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::{AppKey, JobId, Location, RunId};
use crate::verify::Report;

/// The savepoint format that Flink is asked for (`SavepointFormatType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Restorable with any state backend.
    #[default]
    Canonical,
    /// The state backend's own files: fast for large state.
    Native,
}

impl Format {
    /// As Flink's REST API spells it.
    pub fn as_flink(self) -> &'static str {
        match self {
            Self::Canonical => "CANONICAL",
            Self::Native => "NATIVE",
        }
    }
}

/// What a directory is to its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Fills its slot; or no run took it, and it was adopted as our own.
    Kept,
    /// Complete, but its attempt had already ended, or another directory fills the slot.
    Late,
    /// Left behind without a `_metadata`, or proven broken: nothing to restore from.
    Orphan,
    /// Someone else's: listed, verified, never deleted.
    Foreign,
}

impl Standing {
    /// As users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Late => "late",
            Self::Orphan => "orphan",
            Self::Foreign => "foreign",
        }
    }
}

/// How far a savepoint has been proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Verification {
    /// Level 1 passed, and level 2 found nothing wrong if it was read since.
    Verified {
        /// When.
        at: Timestamp,
        /// What was found.
        report: Report,
    },
    /// It could not be read; that is not the same as broken.
    Unverified {
        /// Why.
        reason: String,
        /// When it was last tried.
        at: Timestamp,
        /// How often it was tried.
        tries: u32,
    },
    /// It was read and is wrong.
    Broken {
        /// When.
        at: Timestamp,
        /// What was found.
        report: Report,
    },
    /// There is nothing to verify (an orphan).
    Nothing,
}

impl Verification {
    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Verified { .. } => "verified",
            Self::Unverified { .. } => "unverified",
            Self::Broken { .. } => "broken",
            Self::Nothing => "-",
        }
    }

    /// How much is known, in order: nothing there to read, not read yet, tried in vain, read.
    fn knowledge(&self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Unverified { tries: 0, .. } => 1,
            Self::Unverified { .. } => 2,
            Self::Verified { .. } | Self::Broken { .. } => 3,
        }
    }

    /// What level 1 found, where it could read.
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::Verified { report, .. } | Self::Broken { report, .. } => Some(report),
            Self::Unverified { .. } | Self::Nothing => None,
        }
    }
}

/// How a savepoint came into the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Provenance {
    /// A run left it.
    Run {
        /// Which.
        run: RunId,
        /// The attempt within the run.
        attempt: u32,
        /// The job it was taken of.
        job: JobId,
    },
    /// A person named it ([`crate::adopt`]). Who took it, and of which job, is not known.
    Adopted {
        /// When.
        adopted_at: Timestamp,
    },
}

/// One savepoint directory that the catalog knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Savepoint {
    /// Where it lies; the key.
    pub location: Location,
    /// Whose it is.
    pub application: AppKey,
    /// How it came into the catalog.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// What it is to its slot.
    pub standing: Standing,
    /// The format that was asked for.
    pub format: Format,
    /// When it was asked for; of an adopted one, when it was complete.
    pub taken_at: Timestamp,
    /// From the reply to the request until Lowtide saw it complete, in milliseconds; unknown where
    /// it was found later.
    pub duration_ms: Option<u64>,
    /// How far it has been proven.
    pub verification: Verification,
    /// When an unverified one is tried again.
    pub verify_at: Option<Timestamp>,
    /// When every byte of it was last read (level 2).
    #[serde(default)]
    pub read_at: Option<Timestamp>,
}

impl Savepoint {
    /// Takes in what a reading at level 2 found, whether it came to every byte or stopped at what
    /// level 1 found. One that finds it whole again, perhaps after a file came back from a backup,
    /// counts as well as one that finds it broken.
    pub fn was_read(&mut self, report: &Report, every_byte: bool, at: Timestamp) {
        if every_byte {
            self.read_at = Some(at);
        }
        let report = report.clone();
        self.verify_at = None;
        if !report.is_whole() {
            self.verification = Verification::Broken { at, report };
        } else if !self.is_good() {
            self.verification = Verification::Verified { at, report };
        }
    }

    /// The run that left it; `None` if it was adopted.
    pub fn run(&self) -> Option<RunId> {
        match self.provenance {
            Provenance::Run { run, .. } => Some(run),
            Provenance::Adopted { .. } => None,
        }
    }

    /// Whether it may be restored from: proven whole.
    pub fn is_good(&self) -> bool {
        matches!(self.verification, Verification::Verified { .. })
    }

    /// Whether this record takes the place of another one of the same location when it is
    /// committed with a run. What knows less never covers what knows more:
    ///
    /// - `Kept` replaces everything: a run says so once, of the directory that fills its slot.
    /// - `Foreign` replaces only `Foreign`, unless less is known, and gives way only to `Kept`:
    ///   what is someone else's must not become ours, and ours not someone else's, by a look into
    ///   a directory.
    /// - `Late` and `Orphan` never replace `Kept` or `Foreign`; each other they replace unless
    ///   less is known: a directory just seen does not cover one that was read, and one without
    ///   `_metadata` does not cover one with it.
    ///
    /// To say otherwise on purpose is an amendment
    /// ([`Catalog::amend`](crate::ports::Catalog::amend)).
    pub fn replaces(&self, stored: &Savepoint) -> bool {
        match (stored.standing, self.standing) {
            (_, Standing::Kept) => true,
            (Standing::Foreign, Standing::Foreign)
            | (Standing::Late | Standing::Orphan, Standing::Late | Standing::Orphan) => {
                self.verification.knowledge() >= stored.verification.knowledge()
            }
            (Standing::Kept | Standing::Foreign, _) | (_, Standing::Foreign) => false,
        }
    }
}
