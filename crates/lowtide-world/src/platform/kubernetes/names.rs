//! What names mean where there are many clusters.
//!
//! A name is a cluster's id, and then means the one job of that cluster; or it is a job's own
//! name, in whichever cluster. Both kinds of names are given to each job, so that the core's
//! [`resolve`](lowtide_core::resolve::resolve) says what it always says: one, none, or several.
//! A cluster id that several running jobs share is ambiguous, and so is a name that is one
//! cluster's id and the name of a job in another.
//!
//! Jobs of different clusters may have the same id (in application mode with high availability it
//! is all zeros), so ids are `<cluster id>/<Flink's id>`.

use std::collections::BTreeMap;

use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::name::JobId;
use lowtide_core::resolve::JobSeen;

/// The id of a job across clusters.
pub(super) fn join(cluster: &str, flink_id: &JobId) -> JobId {
    JobId::new(format!("{cluster}/{flink_id}"))
}

/// The cluster and Flink's own id. A cluster's id has no slash: it is the name of a Deployment.
pub(super) fn split(job: &JobId) -> Result<(&str, JobId), Fault> {
    match job.as_str().split_once('/') {
        Some((cluster, id)) if is_flink_id(id) => Ok((cluster, JobId::new(id))),
        _ => Err(Fault::gone(format!(
            "`{job}` is not `<cluster id>/<job id>`, as this platform names jobs"
        ))
        .hint("was the platform of another kind when this run began?")),
    }
}

/// Whether the text is 32 hexadecimal digits (`org.apache.flink.api.common.JobID`): it becomes a
/// part of a path.
fn is_flink_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What every cluster said when it was asked for its jobs.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// By cluster id; the jobs with ids of their own cluster.
    pub(super) clusters: BTreeMap<String, Result<Vec<JobSeen>, Fault>>,
}

impl Seen {
    /// Every job under its own name and under its cluster's id, as far as that is needed to
    /// resolve `name`. A cluster that did not answer is passed over if the name is found
    /// elsewhere, unless it is the very one that is named; else its fault is the answer, because
    /// "there is no such job" would be a guess.
    pub fn about(&self, name: &str) -> Result<Vec<JobSeen>, Fault> {
        if let Some(Err(fault)) = self.clusters.get(name) {
            return Err(passing(fault));
        }
        let jobs = self.jobs();
        let is_found = (jobs.iter()).any(|job| job.name == name && !job.state.is_ended());
        let silent = self.clusters.values().find_map(|jobs| jobs.as_ref().err());
        match silent {
            Some(fault) if !is_found => Err(passing(fault)),
            _ => Ok(jobs),
        }
    }

    fn jobs(&self) -> Vec<JobSeen> {
        let mut seen = Vec::new();
        for (cluster, jobs) in &self.clusters {
            for job in jobs.iter().flatten() {
                let job = JobSeen {
                    id: join(cluster, &job.id),
                    ..job.clone()
                };
                if job.name != *cluster {
                    seen.push(JobSeen {
                        name: cluster.clone(),
                        ..job.clone()
                    });
                }
                seen.push(job);
            }
        }
        seen
    }
}

/// A cluster that says 404 to `/jobs/overview` is none of Flink's or not ready: nothing that was
/// asked for is known to be gone.
fn passing(fault: &Fault) -> Fault {
    let mut fault = fault.clone();
    if fault.kind == FaultKind::Gone {
        fault.kind = FaultKind::Transient;
    }
    fault
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiff::Timestamp;
    use lowtide_core::resolve::{JobState, Resolution, resolve};

    use super::*;

    const ONE: &str = "00000000000000000000000000000001";
    const TWO: &str = "00000000000000000000000000000002";

    fn job(id: &str, name: &str, state: JobState) -> JobSeen {
        JobSeen {
            id: JobId::new(id),
            name: name.to_owned(),
            state,
            started_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn seen(clusters: &[(&str, Result<Vec<JobSeen>, Fault>)]) -> Seen {
        Seen {
            clusters: clusters
                .iter()
                .map(|(id, jobs)| ((*id).to_owned(), jobs.clone()))
                .collect(),
        }
    }

    /// What the core makes of a name: ids, or a word.
    fn meaning(seen: &Seen, name: &str) -> String {
        match seen.about(name).map(|jobs| resolve(name, &jobs)) {
            Ok(Resolution::One(job)) => job.id.to_string(),
            Ok(Resolution::Several(jobs)) => {
                let ids: Vec<String> = jobs.iter().map(|job| job.id.to_string()).collect();
                ids.join(" ")
            }
            Ok(Resolution::None { ended: Some(_), .. }) => "ended".to_owned(),
            Ok(Resolution::None {
                ended: None,
                suggestions,
            }) => {
                format!("none, {}", suggestions.join(" "))
            }
            Err(fault) => fault.text,
        }
    }

    #[test]
    fn a_cluster_s_id_means_its_one_job() {
        let seen = seen(&[
            (
                "orders",
                Ok(vec![
                    job(ONE, "Orders SQL", JobState::Running),
                    job(TWO, "Orders SQL", JobState::Finished),
                ]),
            ),
            (
                "session",
                Ok(vec![
                    job(ONE, "a", JobState::Running),
                    job(TWO, "b", JobState::Restarting),
                ]),
            ),
            ("idle", Ok(Vec::new())),
            ("done", Ok(vec![job(ONE, "x", JobState::Finished)])),
        ]);
        assert_eq!(meaning(&seen, "orders"), format!("orders/{ONE}"));
        assert_eq!(meaning(&seen, "Orders SQL"), format!("orders/{ONE}"));
        assert_eq!(meaning(&seen, "b"), format!("session/{TWO}"));
        let ambiguous = format!("session/{ONE} session/{TWO}");
        assert_eq!(meaning(&seen, "session"), ambiguous);
        assert_eq!(meaning(&seen, "idle"), "none, ");
        assert_eq!(meaning(&seen, "done"), "ended");
        assert_eq!(meaning(&seen, "order"), "none, Orders SQL orders");
    }

    #[test]
    fn one_name_for_a_cluster_and_for_a_job_elsewhere_is_ambiguous() {
        let elsewhere = seen(&[
            ("orders", Ok(vec![job(ONE, "main", JobState::Running)])),
            ("session", Ok(vec![job(TWO, "orders", JobState::Running)])),
        ]);
        assert_eq!(
            meaning(&elsewhere, "orders"),
            format!("orders/{ONE} session/{TWO}")
        );
        let same_job = seen(&[("orders", Ok(vec![job(ONE, "orders", JobState::Running)]))]);
        assert_eq!(meaning(&same_job, "orders"), format!("orders/{ONE}"));
        let twice = seen(&[
            ("c1", Ok(vec![job(ONE, "orders", JobState::Running)])),
            ("c2", Ok(vec![job(ONE, "orders", JobState::Running)])),
        ]);
        assert_eq!(meaning(&twice, "orders"), format!("c1/{ONE} c2/{ONE}"));
    }

    #[test]
    fn a_silent_cluster_hides_no_other_and_is_never_taken_for_an_empty_one() {
        let silent = Fault::gone("silent");
        let seen = seen(&[
            ("broken", Err(silent)),
            (
                "orders",
                Ok(vec![
                    job(ONE, "main", JobState::Running),
                    job(TWO, "old", JobState::Finished),
                ]),
            ),
            ("session", Ok(vec![job(TWO, "broken", JobState::Running)])),
        ]);
        assert_eq!(meaning(&seen, "orders"), format!("orders/{ONE}"));
        assert_eq!(meaning(&seen, "elsewhere"), "silent");
        assert_eq!(meaning(&seen, "old"), "silent");
        // A job elsewhere has the name, but so has the cluster that does not answer.
        assert_eq!(meaning(&seen, "broken"), "silent");
        assert_eq!(seen.about("old").unwrap_err().kind, FaultKind::Transient);
    }

    #[test]
    fn an_id_comes_back_as_it_went() {
        let id = join("orders", &JobId::new(ONE));
        assert_eq!(split(&id).unwrap(), ("orders", JobId::new(ONE)));
        for wrong in [
            ONE,
            "orders/",
            "orders/../config",
            "orders/x/00000000000000000000000000000001",
        ] {
            assert!(split(&JobId::new(wrong)).is_err(), "{wrong}");
        }
    }
}
