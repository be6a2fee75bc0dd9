//! What `--output json` and `--output yaml` print: shapes of their own, kept stable whatever the
//! domain's types become. Times are RFC 3339 in UTC, durations milliseconds, sizes bytes; a
//! field without a value is `null`, never left out. New fields may be added.

pub mod diff;

use std::fmt::Write as _;

use jiff::Timestamp;
use lowtide_core::baseline::{Compared, Digest, Judged};
use lowtide_core::name::Location;
use lowtide_core::run::{self, AttemptEnd, Outcome};
use lowtide_core::savepoint::{self, Format, Provenance, Standing, Verification};
use lowtide_core::scan;
use lowtide_core::verify::{OperatorReport, Report};
use serde::Serialize;

/// What `take` and `run` print.
#[derive(Debug, Serialize)]
pub struct Runs {
    /// One for each application asked for, in that order.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct Run {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The platform's name in the configuration.
    pub platform: String,
    /// The application's name.
    pub application: String,
    /// `slot`, `take` or `run`.
    pub origin: &'static str,
    /// The slot's nominal time.
    pub slot: Option<Timestamp>,
    /// When it was claimed or asked for.
    pub created_at: Timestamp,
    /// Until when a savepoint may begin.
    pub deadline: Timestamp,
    /// `due`, `resolving`, `waiting`, `triggering`, `following`, `verifying` or `done`.
    pub phase: &'static str,
    /// Since when.
    pub phase_since: Timestamp,
    /// Why it does not go on just now.
    pub hold: Option<Since>,
    /// Set while what became of the savepoint is not known.
    pub unknown: Option<Since>,
    /// `kept`, `unverified`, `failed`, `skipped` or `missed`, once it has ended.
    pub outcome: Option<&'static str>,
    /// In one or two words, of a closed set: `lost-sight`, `overlap`, …
    pub cause: Option<String>,
    /// What happened, for people.
    pub reason: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Where the savepoint lies that fills the slot.
    pub location: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// From the request to the end.
    pub duration_ms: Option<u64>,
    /// What people should know.
    pub warnings: Vec<String>,
    /// Its requests to the platform.
    pub attempts: Vec<Attempt>,
    /// What it left.
    pub savepoints: Vec<Detailed>,
}

/// Why, and since when.
#[derive(Debug, Serialize)]
pub struct Since {
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// One request to the platform.
#[derive(Debug, Serialize)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// The job that the name resolved to.
    pub job: String,
    /// When that job began.
    pub job_started_at: Timestamp,
    /// The key of the request.
    pub trigger_id: String,
    /// Its own directory, where the platform lets one be chosen.
    pub target: Option<String>,
    /// What the platform calls its savepoint, where it has ids of its own (VVP).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_id: Option<String>,
    /// `canonical` or `native`.
    pub format: &'static str,
    /// When it was prepared.
    pub frozen_at: Timestamp,
    /// When the platform was asked.
    pub sent_at: Option<Timestamp>,
    /// When the platform was seen to have accepted it.
    pub accepted_at: Option<Timestamp>,
    /// When its savepoint was seen complete.
    pub completed_at: Option<Timestamp>,
    /// Where its savepoint lies.
    pub location: Option<String>,
    /// `completed`, `not-sent`, `failed`, `lost` or `lost-sight`, once it has ended.
    pub end: Option<&'static str>,
    /// What happened, for people.
    pub reason: Option<String>,
}

/// One savepoint directory.
#[derive(Debug, Serialize)]
pub struct Savepoint {
    /// Where it lies, as the platform calls it.
    pub location: String,
    /// The platform's name in the configuration.
    pub platform: String,
    /// The application's name.
    pub application: String,
    /// The run that left it; `null` if it was adopted.
    pub run: Option<String>,
    /// The attempt within the run.
    pub attempt: Option<u32>,
    /// The job it was taken of.
    pub job: Option<String>,
    /// When it was adopted, if no run left it.
    pub adopted_at: Option<Timestamp>,
    /// `kept`, `late`, `orphan` or `foreign`.
    pub standing: &'static str,
    /// `canonical` or `native`.
    pub format: &'static str,
    /// When it was asked for.
    pub taken_at: Timestamp,
    /// From the request until it was seen complete.
    pub duration_ms: Option<u64>,
    /// `verified`, `unverified`, `broken` or `nothing`.
    pub verification: &'static str,
    /// When it was verified, or last tried.
    pub verified_at: Option<Timestamp>,
    /// When every byte of it was last read.
    pub read_at: Option<Timestamp>,
    /// Why it could not be read.
    pub unverified_reason: Option<String>,
    /// Bytes of state, where it could be read.
    pub state_bytes: Option<u64>,
}

/// A savepoint with all that is known of it.
#[derive(Debug, Serialize)]
pub struct Detailed {
    /// The savepoint.
    #[serde(flatten)]
    pub savepoint: Savepoint,
    /// What verification found.
    pub report: Option<Found>,
}

/// What `adopt` prints.
#[derive(Debug, Serialize)]
pub struct Adopted {
    /// `entered`, `changed` or `none`: what the catalog did.
    pub change: &'static str,
    /// The savepoint as it is there now.
    #[serde(flatten)]
    pub savepoint: Detailed,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// What `scan` prints.
#[derive(Debug, Serialize)]
pub struct Scanned {
    /// What was scanned.
    pub prefix: String,
    /// Files under it.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes outside of all snapshots' directories that whole ones need.
    pub shared_bytes: u64,
    /// Every snapshot, by location.
    pub snapshots: Vec<ScannedOne>,
    /// Bytes of all orphans.
    pub orphan_bytes: Option<u64>,
    /// Every file that no whole snapshot needs; `null` if a snapshot cannot be read.
    pub orphans: Option<Vec<Orphan>>,
}

/// One snapshot that `scan` found.
#[derive(Debug, Serialize)]
pub struct ScannedOne {
    /// Where it lies.
    pub location: String,
    /// `whole`, `broken`, `unreadable`, `aborted` or `unfinished`.
    pub verdict: &'static str,
    /// `savepoint` or `checkpoint`.
    pub kind: &'static str,
    /// `kept`, `late`, `orphan` or `foreign`, where there is a catalog.
    pub standing: Option<&'static str>,
    /// Its platform and application, if the catalog knows it.
    pub application: Option<String>,
    /// When its `_metadata` was written, or else its newest file.
    pub written_at: Option<Timestamp>,
    /// Files in its directory.
    pub files: u64,
    /// Bytes of them.
    pub own_bytes: u64,
    /// Bytes of the files elsewhere that it needs.
    pub elsewhere_bytes: u64,
    /// What is wrong; the first of them, if there are many.
    pub findings: Vec<String>,
    /// How many findings there are.
    pub findings_total: u64,
    /// Why it could not be read.
    pub reason: Option<String>,
}

/// A file that no whole snapshot needs.
#[derive(Debug, Serialize)]
pub struct Orphan {
    /// Where it lies.
    pub location: String,
    /// How large it is.
    pub bytes: u64,
    /// When it was last written.
    pub modified_at: Option<Timestamp>,
    /// Whether that is so lately that a running job may be about to need it.
    pub recent: bool,
}

impl ScannedOne {
    /// A snapshot at a location, with its standing where there is a catalog, and what that has of
    /// it.
    pub fn new(
        snapshot: &scan::Snapshot,
        location: &Location,
        standing: Option<Standing>,
        known: Option<&savepoint::Savepoint>,
    ) -> Self {
        Self {
            location: location.to_string(),
            verdict: snapshot.verdict.as_str(),
            kind: if snapshot.is_checkpoint {
                "checkpoint"
            } else {
                "savepoint"
            },
            standing: standing.map(Standing::as_str),
            application: known.map(|it| it.application.to_string()),
            written_at: snapshot.written_at,
            files: snapshot.files,
            own_bytes: snapshot.own_bytes,
            elsewhere_bytes: snapshot.elsewhere_bytes,
            findings: snapshot.findings.clone(),
            findings_total: snapshot.findings_total,
            reason: snapshot.reason.clone(),
        }
    }
}

impl Orphan {
    /// An orphan at a location.
    pub fn new(orphan: &scan::Orphan, location: &Location) -> Self {
        Self {
            location: location.to_string(),
            bytes: orphan.bytes,
            modified_at: orphan.modified_at,
            recent: orphan.is_recent,
        }
    }
}

/// What verification found.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The version of `_metadata`.
    pub metadata_version: Option<u32>,
    /// Flink's number for it.
    pub checkpoint_id: Option<u64>,
    /// How many files it needs.
    pub files: u64,
    /// Bytes of state.
    pub state_bytes: u64,
    /// Its operators.
    pub operators: Vec<Operator>,
    /// What is wrong; the first of them, if there are many.
    pub findings: Vec<String>,
    /// How many findings there are.
    pub findings_total: u64,
    /// What is worth a look, but not wrong.
    pub warnings: Vec<String>,
}

/// One operator.
#[derive(Debug, Serialize)]
pub struct Operator {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The user's uid, where the metadata has it (Flink 2.0 and later).
    pub uid: Option<String>,
    /// Its name, where the metadata has it.
    pub name: Option<String>,
    /// How many subtasks it had.
    pub parallelism: u32,
    /// Its number of key groups.
    pub max_parallelism: u32,
    /// Bytes of state.
    pub state_bytes: u64,
}

/// What `list` prints.
#[derive(Debug, Serialize)]
pub struct List {
    /// Runs that have not ended, oldest first.
    pub running: Vec<Run>,
    /// Savepoints, newest first.
    pub savepoints: Vec<Listed>,
}

/// A savepoint in a list.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// Whether its application is configured.
    pub listed: bool,
    /// The savepoint.
    #[serde(flatten)]
    pub savepoint: Savepoint,
}

/// What `verify` prints.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// In the order that they were named in.
    pub savepoints: Vec<VerifiedOne>,
}

/// What `verify` found of one savepoint.
#[derive(Debug, Serialize)]
pub struct VerifiedOne {
    /// In Flink's spelling.
    pub location: String,
    /// `whole`, `broken` or `unreadable`.
    pub verdict: &'static str,
    /// How far it was looked into: 1 or 2; absent where it could not be read.
    pub level: Option<u8>,
    /// How many files it needs.
    pub files: Option<u64>,
    /// Bytes of state.
    pub state_bytes: Option<u64>,
    /// Bytes that level 2 read.
    pub read_bytes: Option<u64>,
    /// The checksum of each file, by level 2.
    pub checksums: Option<Vec<Checksum>>,
    /// What level 2 compared with what the catalog knows.
    pub compared: Option<ComparedWith>,
    /// What is wrong; the first of them, if there are many.
    pub findings: Vec<String>,
    /// How many findings there are.
    pub findings_total: u64,
    /// What is worth a look, but not wrong.
    pub warnings: Vec<String>,
    /// Why it cannot be read.
    pub reason: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
}

/// What a deep reading was compared with.
#[derive(Debug, Serialize)]
pub struct ComparedWith {
    /// `first-reading`; `listing`, as it was seen when it was verified; `nothing`, as the catalog
    /// knows it and has neither.
    pub with: &'static str,
    /// When it was read or verified then.
    pub at: Option<Timestamp>,
    /// Whether the checksums were recorded, for later readings to be compared with.
    pub recorded: bool,
}

/// The checksum of one file.
#[derive(Debug, Serialize)]
pub struct Checksum {
    /// In Flink's spelling.
    pub location: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

impl ComparedWith {
    /// As judged.
    pub fn new(judged: &Judged) -> Self {
        let (with, at) = match judged.compared {
            Compared::First => ("nothing", None),
            Compared::Listing(at) => ("listing", Some(at)),
            Compared::Reading(at) => ("first-reading", Some(at)),
        };
        Self {
            with,
            at,
            recorded: judged.first.is_some(),
        }
    }
}

impl Checksum {
    /// As read.
    pub fn new(location: &Location, read: &Digest) -> Self {
        let sha256 = read.sha256.iter().fold(String::new(), |mut digits, byte| {
            // Writing to a String cannot fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        });
        Self {
            location: location.to_string(),
            bytes: read.bytes,
            sha256,
        }
    }
}

/// What `plan` prints.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// In order of time.
    pub slots: Vec<Slot>,
}

/// One slot.
#[derive(Debug, Serialize)]
pub struct Slot {
    /// The platform's name.
    pub platform: String,
    /// The application's name.
    pub application: String,
    /// The nominal time.
    pub at: Timestamp,
    /// The same in the schedule's zone, with offset and zone (RFC 9557).
    pub local: String,
    /// Until when a never-window holds it.
    pub held_until: Option<Timestamp>,
    /// Whether the application is paused: then the slot will not fire unless it is unpaused.
    pub paused: bool,
}

/// What `resolve` prints.
#[derive(Debug, Serialize)]
pub struct Resolved {
    /// One for each application.
    pub applications: Vec<Resolution>,
}

/// What one name means just now.
#[derive(Debug, Serialize)]
pub struct Resolution {
    /// The platform's name.
    pub platform: String,
    /// The application's name.
    pub application: String,
    /// `one`, `none`, `several` or `unreachable`.
    pub means: &'static str,
    /// The job, or the jobs; the newest ended one where none runs.
    pub jobs: Vec<Job>,
    /// Names that may have been meant.
    pub suggestions: Vec<String>,
    /// Why the platform could not be asked.
    pub reason: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// A job on a platform.
#[derive(Debug, Serialize)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub state: &'static str,
    /// When it began.
    pub started_at: Timestamp,
}

/// What `check` prints.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// The file.
    pub config: String,
    /// Where the catalog is.
    pub catalog: String,
    /// One for each application.
    pub applications: Vec<CheckedApplication>,
    /// With `--online`: one for each application.
    pub online: Option<Vec<Online>>,
    /// What is worth knowing, but not wrong.
    pub warnings: Vec<String>,
}

/// One application as it was understood.
#[derive(Debug, Serialize)]
pub struct CheckedApplication {
    /// The platform's name.
    pub platform: String,
    /// The application's name.
    pub application: String,
    /// The job's name on the platform.
    pub job: String,
    /// The schedule in words.
    pub schedule: Option<String>,
    /// `canonical` or `native`.
    pub format: &'static str,
    /// Where savepoints go; `null` for the cluster's own directory.
    pub target: Option<String>,
}

/// What asking the platform gave.
#[derive(Debug, Serialize)]
pub struct Online {
    /// The platform's name.
    pub platform: String,
    /// The application's name.
    pub application: String,
    /// Whether a savepoint could be taken and proven from here.
    pub ok: bool,
    /// The job's id.
    pub job: Option<String>,
    /// What is wrong, or worth knowing.
    pub notes: Vec<String>,
    /// What to do.
    pub hints: Vec<String>,
}

/// What `latest` prints.
#[derive(Debug, Serialize)]
pub struct Latest {
    /// How old it is.
    pub age_ms: u64,
    /// The savepoint.
    #[serde(flatten)]
    pub savepoint: Detailed,
}

/// What `pause` and `unpause` print.
#[derive(Debug, Serialize)]
pub struct Paused {
    /// One for each application named.
    pub applications: Vec<PausedApplication>,
}

/// Whether one application is paused now.
#[derive(Debug, Serialize)]
pub struct PausedApplication {
    /// The platform's name.
    pub platform: String,
    /// The application's name.
    pub application: String,
    /// Whether its schedule is held.
    pub paused: bool,
    /// Whether this command changed that.
    pub changed: bool,
}

/// A format's name in outputs.
pub fn format(format: Format) -> &'static str {
    match format {
        Format::Canonical => "canonical",
        Format::Native => "native",
    }
}

fn kebab(words: &str) -> String {
    words.replace(' ', "-")
}

impl Run {
    /// A run and what it left.
    pub fn new(run: &run::Run, savepoints: &[savepoint::Savepoint]) -> Self {
        let (origin, slot) = match run.origin {
            run::Origin::Slot { nominal } => ("slot", Some(nominal)),
            run::Origin::Take => ("take", None),
            run::Origin::Run => ("run", None),
        };
        let told = run.outcome.as_ref().map(Told::of);
        Self {
            id: run.id.to_string(),
            platform: run.application.platform.to_string(),
            application: run.application.application.to_string(),
            origin,
            slot,
            created_at: run.created_at,
            deadline: run.trigger_deadline,
            phase: run.phase.as_str(),
            phase_since: run.phase_since,
            hold: run.hold.as_ref().map(|hold| Since {
                why: hold.why.clone(),
                since: hold.since,
            }),
            unknown: run.unknown.as_ref().map(|unknown| Since {
                why: unknown.why.clone(),
                since: unknown.since,
            }),
            outcome: run.outcome.as_ref().map(Outcome::word),
            cause: told.as_ref().and_then(|told| told.cause.clone()),
            reason: told.as_ref().and_then(|told| told.reason.clone()),
            hint: told.as_ref().and_then(|told| told.hint.clone()),
            location: told.and_then(|told| told.location),
            ended_at: run.ended_at,
            duration_ms: duration_ms(run),
            warnings: run.warnings.clone(),
            attempts: run.attempts.iter().map(Attempt::new).collect(),
            savepoints: savepoints.iter().map(Detailed::new).collect(),
        }
    }
}

/// From when a run was claimed or asked for to its end.
pub fn duration_ms(run: &run::Run) -> Option<u64> {
    let took = run.ended_at?.duration_since(run.created_at);
    u64::try_from(took.as_millis()).ok()
}

/// An outcome taken apart.
#[derive(Debug, Default)]
pub struct Told {
    /// Of a closed set.
    pub cause: Option<String>,
    /// For people.
    pub reason: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Where the savepoint lies.
    pub location: Option<String>,
}

impl Told {
    /// Takes it apart.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Kept { location } => Self {
                location: Some(location.to_string()),
                ..Self::default()
            },
            Outcome::Unverified {
                location,
                reason,
                hint,
            } => Self {
                location: Some(location.to_string()),
                reason: Some(reason.clone()),
                hint: hint.clone(),
                ..Self::default()
            },
            Outcome::Failed { cause } => Self {
                cause: Some(kebab(cause.kind.as_str())),
                reason: Some(cause.text.clone()),
                hint: cause.hint.clone(),
                ..Self::default()
            },
            Outcome::Skipped { reason, text } => Self {
                cause: Some(kebab(reason.as_str())),
                reason: Some(text.clone()),
                ..Self::default()
            },
            Outcome::Missed { reason } => Self {
                reason: Some(reason.clone()),
                ..Self::default()
            },
        }
    }
}

impl Attempt {
    fn new(attempt: &run::Attempt) -> Self {
        let (end, reason) = match &attempt.end {
            None => (None, None),
            Some(AttemptEnd::Completed) => (Some("completed"), None),
            Some(AttemptEnd::NotSent { text }) => (Some("not-sent"), Some(text.clone())),
            Some(AttemptEnd::Failed { cause }) => (Some("failed"), Some(cause.text.clone())),
            Some(AttemptEnd::Lost { text }) => (Some("lost"), Some(text.clone())),
            Some(AttemptEnd::LostSight) => (Some("lost-sight"), None),
        };
        Self {
            number: attempt.number,
            job: attempt.job.to_string(),
            job_started_at: attempt.job_started_at,
            trigger_id: attempt.trigger_id.to_string(),
            target: attempt.directory.as_ref().map(|own| own.target.to_string()),
            platform_id: attempt
                .listing
                .as_ref()
                .and_then(|listing| listing.savepoint.as_ref())
                .map(ToString::to_string),
            format: format(attempt.format),
            frozen_at: attempt.frozen_at,
            sent_at: attempt.sent_at,
            accepted_at: attempt.accepted_at,
            completed_at: attempt.completed_at,
            location: attempt.location.as_ref().map(ToString::to_string),
            end,
            reason,
        }
    }
}

impl Savepoint {
    /// A savepoint as the catalog knows it.
    pub fn new(savepoint: &savepoint::Savepoint) -> Self {
        let (verification, verified_at, unverified_reason) = match &savepoint.verification {
            Verification::Verified { at, .. } => ("verified", Some(*at), None),
            Verification::Unverified { reason, at, .. } => {
                ("unverified", Some(*at), Some(reason.clone()))
            }
            Verification::Broken { at, .. } => ("broken", Some(*at), None),
            Verification::Nothing => ("nothing", None, None),
        };
        let (run, attempt, job, adopted_at) = match &savepoint.provenance {
            Provenance::Run { run, attempt, job } => (
                Some(run.to_string()),
                Some(*attempt),
                Some(job.to_string()),
                None,
            ),
            Provenance::Adopted { adopted_at } => (None, None, None, Some(*adopted_at)),
        };
        Self {
            location: savepoint.location.to_string(),
            platform: savepoint.application.platform.to_string(),
            application: savepoint.application.application.to_string(),
            run,
            attempt,
            job,
            adopted_at,
            standing: savepoint.standing.as_str(),
            format: format(savepoint.format),
            taken_at: savepoint.taken_at,
            duration_ms: savepoint.duration_ms,
            verification,
            verified_at,
            read_at: savepoint.read_at,
            unverified_reason,
            state_bytes: savepoint
                .verification
                .report()
                .map(|report| report.state_bytes),
        }
    }
}

impl Detailed {
    /// A savepoint as the catalog knows it, with the report.
    pub fn new(savepoint: &savepoint::Savepoint) -> Self {
        Self {
            savepoint: Savepoint::new(savepoint),
            report: savepoint.verification.report().map(Found::new),
        }
    }
}

impl Found {
    /// What level 1 found.
    pub fn new(report: &Report) -> Self {
        Self {
            metadata_version: report.version,
            checkpoint_id: report.checkpoint_id,
            files: report.files,
            state_bytes: report.state_bytes,
            operators: report.operators.iter().map(Operator::new).collect(),
            findings: report.findings.clone(),
            findings_total: report.findings_total,
            warnings: report.warnings.clone(),
        }
    }
}

impl Operator {
    fn new(operator: &OperatorReport) -> Self {
        Self {
            id: operator.id.clone(),
            uid: operator.uid.clone(),
            name: operator.name.clone(),
            parallelism: operator.parallelism,
            max_parallelism: operator.max_parallelism,
            state_bytes: operator.state_bytes,
        }
    }
}
