//! From a name and the jobs seen to exactly one job, or to the reason why not.
//!
//! Names are exact. A name that differs in case, or of which one begins with the other, is only
//! ever a suggestion: a savepoint of the wrong application is worse than none.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::JobId;

/// Most suggestions shown: more would not help anyone choose.
pub const SUGGESTIONS_MAX: usize = 5;

/// Where a job is in its life (Flink's `JobStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Not yet running: `INITIALIZING`, `CREATED`, `RECONCILING`.
    Starting,
    /// `RUNNING`; its tasks may still be starting.
    Running,
    /// `RESTARTING`, `FAILING`.
    Restarting,
    /// `CANCELLING`, `SUSPENDED`.
    Stopping,
    /// `FINISHED`.
    Finished,
    /// `CANCELED`.
    Cancelled,
    /// `FAILED`.
    Failed,
    /// On its way from one state to another, as the platform says (VVP: `TRANSITIONING`).
    InTransition,
    /// Stopped with its state saved, until somebody starts it again (VVP: `SUSPENDED`).
    Suspended,
    /// A word that this release does not know.
    Other,
}

impl JobState {
    /// Whether nothing runs any more.
    pub fn is_ended(self) -> bool {
        matches!(
            self,
            Self::Finished | Self::Cancelled | Self::Failed | Self::Suspended
        )
    }

    /// As users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::InTransition => "in transition",
            Self::Suspended => "suspended",
            Self::Other => "in a state that this release does not know",
        }
    }
}

/// A job as its platform lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSeen {
    /// Its id.
    pub id: JobId,
    /// Its name, as submitted.
    pub name: String,
    /// Where it is in its life.
    pub state: JobState,
    /// When this incarnation began (Flink: `start-time`; new after a failover of the
    /// JobManager).
    pub started_at: Timestamp,
}

/// What a name means just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Exactly one job.
    One(JobSeen),
    /// No job that has not ended.
    None {
        /// The newest ended job of exactly this name, if the platform still lists one.
        ended: Option<JobSeen>,
        /// Names that may have been meant.
        suggestions: Vec<String>,
    },
    /// Several jobs that have not ended: nobody can say which is meant.
    Several(Vec<JobSeen>),
}

/// Finds the job of exactly this name among those seen.
pub fn resolve(name: &str, jobs: &[JobSeen]) -> Resolution {
    let (ended, mut live): (Vec<&JobSeen>, Vec<&JobSeen>) = jobs
        .iter()
        .filter(|job| job.name == name)
        .partition(|job| job.state.is_ended());
    match (live.pop(), live.is_empty()) {
        (Some(job), true) => Resolution::One(job.clone()),
        (Some(job), false) => {
            live.push(job);
            let mut several: Vec<JobSeen> = live.into_iter().cloned().collect();
            several.sort_by(|a, b| a.id.cmp(&b.id));
            Resolution::Several(several)
        }
        (None, _) => Resolution::None {
            ended: ended.into_iter().max_by_key(|job| job.started_at).cloned(),
            suggestions: suggestions(name, jobs.iter().map(|job| job.name.as_str())),
        },
    }
}

/// Names close to the one asked for, best first: other case, one the beginning of the other, or
/// few letters apart.
pub fn suggestions<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let lower = name.to_lowercase();
    let mut ranked: Vec<(usize, &str)> = known
        .filter(|other| *other != name)
        .filter_map(|other| distance_rank(&lower, &other.to_lowercase()).map(|rank| (rank, other)))
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked
        .into_iter()
        .take(SUGGESTIONS_MAX)
        .map(|(_, other)| other.to_owned())
        .collect()
}

/// How far apart two lower-cased names are, if they are close enough to suggest one for the other.
fn distance_rank(a: &str, b: &str) -> Option<usize> {
    if a == b {
        return Some(0);
    }
    if !a.is_empty() && !b.is_empty() && (a.starts_with(b) || b.starts_with(a)) {
        return Some(1);
    }
    let distance = edit_distance(a, b);
    // A third of the letters may be wrong, as compilers allow in their suggestions.
    (distance <= a.chars().count().max(3) / 3).then_some(1 + distance)
}

/// Levenshtein's distance, in letters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, name: &str, state: JobState) -> JobSeen {
        JobSeen {
            id: JobId::new(id),
            name: name.into(),
            state,
            started_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn exactly_one() {
        let jobs = [
            job("1", "orders", JobState::Running),
            job("2", "orders", JobState::Finished),
        ];
        assert_eq!(resolve("orders", &jobs), Resolution::One(jobs[0].clone()));
    }

    #[test]
    fn several_are_refused_with_their_ids() {
        let jobs = [
            job("2", "orders", JobState::Running),
            job("1", "orders", JobState::Restarting),
        ];
        assert_eq!(
            resolve("orders", &jobs),
            Resolution::Several(vec![jobs[1].clone(), jobs[0].clone()])
        );
    }

    #[test]
    fn another_case_and_a_prefix_are_only_suggestions() {
        let jobs = [
            job("1", "Orders", JobState::Running),
            job("2", "orders-eu", JobState::Running),
        ];
        let Resolution::None { ended, suggestions } = resolve("orders", &jobs) else {
            panic!("resolved")
        };
        assert_eq!(ended, None);
        assert_eq!(suggestions, ["Orders", "orders-eu"]);
    }

    #[test]
    fn a_slip_of_the_finger_is_suggested_and_a_stranger_is_not() {
        let known = ["payments", "fraud"];
        assert_eq!(suggestions("paymnets", known.into_iter()), ["payments"]);
        assert!(suggestions("inventory", known.into_iter()).is_empty());
    }

    #[test]
    fn the_newest_ended_one_is_told() {
        let jobs = [job("1", "orders", JobState::Cancelled)];
        assert!(matches!(
            resolve("orders", &jobs),
            Resolution::None { ended: Some(job), .. } if job.state == JobState::Cancelled
        ));
    }
}
