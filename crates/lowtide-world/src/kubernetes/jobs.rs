//! The slot of a pod that a CronJob started.
//!
//! Kubernetes 1.28 and later writes the time that a Job was scheduled for on the Job, not on its
//! pods (feature `CronJobsScheduledAnnotation`). So a pod asks for its own Job, whose name it has
//! from the label `batch.kubernetes.io/job-name`. All pods of a Job, the retried ones too, find
//! the same time: they are the same slot.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::core::PartialObjectMeta;
use kube::{Api, ResourceExt as _};
use lowtide_core::fault::{Fault, FaultKind};

use super::access::{Access, ApiServer};
use super::fault::{self, Request};
use crate::text::one_line;

/// When the Job was due, in RFC 3339 with the offset of the CronJob's `timeZone`.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// When a CronJob scheduled this Job; `None` for a Job that somebody made by hand.
///
/// `namespace` is the Job's; without one, that of `access`, or the pod's own. Needs the verb `get`
/// on `jobs` of the group `batch`.
pub async fn scheduled_time(
    access: &Access,
    namespace: Option<&str>,
    job_name: &str,
) -> Result<Option<Timestamp>, Fault> {
    let server = ApiServer::new(access.clone(), super::TIMEOUT);
    let connected = server.connected().await?;
    let namespace = namespace.unwrap_or(&connected.namespace);
    let request = Request {
        verb: "get",
        group: "batch",
        resource: "jobs",
        namespace,
    };
    let api: Api<PartialObjectMeta<Job>> = Api::namespaced(connected.client.clone(), namespace);
    let job = tokio::time::timeout(super::TIMEOUT, api.get(job_name))
        .await
        .map_err(|_| request.timed_out(super::TIMEOUT.as_secs_f32()))?
        .map_err(|error| missing(fault::fault(&error, &request), namespace, job_name))?;
    match job.annotations().get(SCHEDULED) {
        None => Ok(None),
        Some(text) => parse(text, job_name).map(Some),
    }
}

fn parse(text: &str, job_name: &str) -> Result<Timestamp, Fault> {
    text.parse().map_err(|_| {
        let text = one_line(text);
        Fault::permanent(format!(
            "the Job `{job_name}` has the annotation `{SCHEDULED}: {text}`, which is no time"
        ))
        .hint("give the slot by hand: `--slot TIME`")
    })
}

fn missing(fault: Fault, namespace: &str, job_name: &str) -> Fault {
    if fault.kind != FaultKind::Gone {
        return fault;
    }
    Fault::gone(format!("there is no Job `{job_name}` in namespace `{namespace}`")).hint(
        "the name comes from the pod's label `batch.kubernetes.io/job-name`; is this pod part of a Job?",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_offset_of_the_cron_job_s_zone_is_part_of_the_time() {
        let time = parse("2026-11-22T01:00:00+01:00", "j").unwrap();
        assert_eq!(time.to_string(), "2026-11-22T00:00:00Z");
        assert_eq!(parse("2026-11-22T00:00:00Z", "j").unwrap(), time);
    }

    #[test]
    fn what_is_no_time_is_told() {
        let fault = parse("soon", "j").unwrap_err();
        assert!(fault.text.contains("soon"), "{fault}");
        assert!(fault.hint.is_some());
    }
}
