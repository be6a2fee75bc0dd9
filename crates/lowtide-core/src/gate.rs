//! Whether a savepoint may be triggered now.
//!
//! What must fail is refused with a hint. What would fail just now (a restart, tasks that do not
//! run, another savepoint) holds the run until its deadline. What only costs (a checkpoint in
//! progress, back-pressure, a restart minutes ago) holds it for the application's patience and
//! then gives way with a warning: a job that is always busy still gets its savepoint.

use jiff::{SignedDuration, Timestamp};

use crate::name::{Location, SavepointId};
use crate::resolve::JobState;
use crate::run::{Cause, CauseKind};
use crate::savepoint::Format;

/// How long after a restart a job is left alone: its sources are catching up and its meters
/// (averages over 60 s) still tell of the time before.
pub const SETTLE: SignedDuration = SignedDuration::from_mins(2);

/// What a job looks like just now.
#[derive(Debug, Clone, PartialEq, Eq)]
// Each is an observation of its own; no two of them make a state together.
#[expect(clippy::struct_excessive_bools)]
pub struct Vitals {
    /// Where it is in its life.
    pub state: JobState,
    /// When this incarnation began.
    pub started_at: Timestamp,
    /// When it last restarted, if it did since it started.
    pub restarted_at: Option<Timestamp>,
    /// Tasks that run or have finished.
    pub tasks_ready: u32,
    /// All tasks.
    pub tasks_total: u32,
    /// Whether a checkpoint is in progress.
    pub checkpoint_in_progress: bool,
    /// Whether a savepoint is in progress, whoever asked for it.
    pub savepoint_in_progress: bool,
    /// Whether a source is held back, where the platform can tell.
    pub back_pressured: Option<bool>,
    /// Whether periodic checkpoints are on.
    pub checkpointing: bool,
    /// The job's own limit for a checkpoint or savepoint, where it can be read.
    pub checkpoint_timeout: Option<SignedDuration>,
    /// How many failed checkpoints the job tolerates before it restarts, where it can be read.
    pub tolerable_failures: Option<u32>,
    /// Whether the state backend can write the canonical format (ForSt cannot).
    pub canonical_possible: bool,
    /// The savepoints that the platform lists of the job and when it made each, where it takes no
    /// trigger id and chooses the directory itself.
    pub listed: Option<Vec<(SavepointId, Timestamp)>>,
    /// Where the cluster puts savepoints by default, with its scheme.
    pub savepoint_directory: Option<Location>,
    /// The scheme of locations without one (`fs.default-scheme`), where the cluster has another
    /// than `file`; with its authority, as in `s3://bucket`.
    pub default_scheme: Option<String>,
    /// How long the cluster remembers the result under a trigger id.
    pub store_duration: Option<SignedDuration>,
}

/// What the gate goes by besides the job.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Now.
    pub now: Timestamp,
    /// When the run first stood at the gate.
    pub since: Timestamp,
    /// How long to wait for what passes by itself.
    pub patience: SignedDuration,
    /// The format asked for.
    pub format: Format,
    /// The target asked for.
    pub target: Option<&'a str>,
}

/// The gate's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Trigger now; with what people should know.
    Open(Vec<String>),
    /// Not now, because of this.
    Hold(String),
    /// Never: it must fail.
    Refuse(Cause),
}

/// Decides whether a savepoint of this job may be triggered now.
pub fn decide(vitals: &Vitals, asked: &Asked<'_>) -> Gate {
    if let Some(cause) = must_fail(vitals, asked) {
        return Gate::Refuse(cause);
    }
    if let Some(why) = would_fail_now(vitals) {
        return Gate::Hold(why);
    }
    let mut warnings = Vec::new();
    if let Some(why) = costs_now(vitals, asked.now) {
        let given_way = asked.now.duration_since(asked.since) >= asked.patience;
        if !given_way {
            return Gate::Hold(why);
        }
        warnings.push(format!(
            "{why}, and still so after {:#}: taken all the same",
            asked.patience
        ));
    }
    if !vitals.checkpointing {
        warnings.push(
            "checkpointing is disabled: a savepoint works, but the job loses all since then when it fails"
                .to_owned(),
        );
    }
    Gate::Open(warnings)
}

fn must_fail(vitals: &Vitals, asked: &Asked<'_>) -> Option<Cause> {
    let directory_known = asked.target.is_some() || vitals.savepoint_directory.is_some();
    if vitals.listed.is_none() && !directory_known {
        return Some(
            Cause::new(CauseKind::NoSavepointDirectory, "the cluster has no savepoint directory, and the application has no `target`")
                .hint("set `target:` for the application or for all under `defaults:`, or `execution.checkpointing.savepoint-dir` (`state.savepoints.dir` before Flink 1.20) in the cluster's configuration"),
        );
    }
    if asked.format == Format::Canonical && !vitals.canonical_possible {
        return Some(
            Cause::new(CauseKind::UnsupportedFormat, "the job's state backend, ForSt, cannot write canonical savepoints; asking would restart the job")
                .hint("set `format: native` for the application"),
        );
    }
    None
}

fn would_fail_now(vitals: &Vitals) -> Option<String> {
    match vitals.state {
        JobState::Running => {}
        other => return Some(format!("the job is {}", other.as_str())),
    }
    if vitals.tasks_ready < vitals.tasks_total {
        return Some(format!(
            "only {} of {} tasks run",
            vitals.tasks_ready, vitals.tasks_total
        ));
    }
    vitals
        .savepoint_in_progress
        .then(|| "another savepoint of the job is in progress".to_owned())
}

fn costs_now(vitals: &Vitals, now: Timestamp) -> Option<String> {
    if let Some(at) = vitals.restarted_at
        && now.duration_since(at) < SETTLE
    {
        return Some("the job restarted within the last minutes".to_owned());
    }
    if vitals.checkpoint_in_progress {
        return Some("a checkpoint is in progress".to_owned());
    }
    (vitals.back_pressured == Some(true)).then(|| "the job is under back-pressure".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Vitals {
        Vitals {
            state: JobState::Running,
            started_at: Timestamp::UNIX_EPOCH,
            restarted_at: None,
            tasks_ready: 4,
            tasks_total: 4,
            checkpoint_in_progress: false,
            savepoint_in_progress: false,
            back_pressured: Some(false),
            checkpointing: true,
            checkpoint_timeout: None,
            tolerable_failures: Some(0),
            canonical_possible: true,
            listed: None,
            savepoint_directory: Some(Location::new("/savepoints")),
            default_scheme: None,
            store_duration: None,
        }
    }

    fn at(seconds: i64) -> Asked<'static> {
        Asked {
            now: Timestamp::from_second(seconds).expect("in range"),
            since: Timestamp::UNIX_EPOCH,
            patience: SignedDuration::from_secs(300),
            format: Format::Canonical,
            target: None,
        }
    }

    #[test]
    fn a_healthy_job_passes() {
        assert_eq!(decide(&healthy(), &at(0)), Gate::Open(vec![]));
    }

    #[test]
    fn what_would_fail_holds_for_ever() {
        let restarting = Vitals {
            state: JobState::Restarting,
            ..healthy()
        };
        let starting = Vitals {
            tasks_ready: 3,
            ..healthy()
        };
        let busy = Vitals {
            savepoint_in_progress: true,
            ..healthy()
        };
        for vitals in [restarting, starting, busy] {
            assert!(
                matches!(decide(&vitals, &at(100_000)), Gate::Hold(_)),
                "{vitals:?}"
            );
        }
    }

    #[test]
    fn what_only_costs_gives_way_with_a_warning() {
        let checkpoint = Vitals {
            checkpoint_in_progress: true,
            ..healthy()
        };
        let pressed = Vitals {
            back_pressured: Some(true),
            ..healthy()
        };
        for vitals in [checkpoint, pressed] {
            assert!(matches!(decide(&vitals, &at(299)), Gate::Hold(_)));
            assert!(matches!(decide(&vitals, &at(300)), Gate::Open(w) if w.len() == 1));
        }
    }

    #[test]
    fn a_fresh_restart_settles_first() {
        let restarted = Vitals {
            restarted_at: Some(Timestamp::from_second(50).expect("in range")),
            ..healthy()
        };
        assert!(matches!(decide(&restarted, &at(60)), Gate::Hold(_)));
        assert_eq!(decide(&restarted, &at(170)), Gate::Open(vec![]));
    }

    #[test]
    fn what_must_fail_is_refused_with_a_hint() {
        let homeless = Vitals {
            savepoint_directory: None,
            ..healthy()
        };
        let forst = Vitals {
            canonical_possible: false,
            ..healthy()
        };
        for vitals in [homeless, forst.clone()] {
            assert!(matches!(decide(&vitals, &at(0)), Gate::Refuse(cause) if cause.hint.is_some()));
        }
        let native = Asked {
            format: Format::Native,
            ..at(0)
        };
        assert_eq!(decide(&forst, &native), Gate::Open(vec![]));
    }

    #[test]
    fn disabled_checkpointing_is_only_a_warning() {
        let none = Vitals {
            checkpointing: false,
            ..healthy()
        };
        assert!(matches!(decide(&none, &at(0)), Gate::Open(w) if w.len() == 1));
    }
}
