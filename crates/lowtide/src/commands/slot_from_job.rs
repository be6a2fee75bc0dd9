//! `run --slot-from-job`: the slot that a pod of a CronJob is to fill.
//!
//! Kubernetes 1.28 and later says on the Job when it was scheduled for. The pod knows its Job from
//! its own label, which the downward API puts into its environment; so a pod that is retried, under
//! another name and at another time, fills the same slot.

use std::time::Duration;

use jiff::Timestamp;
use lowtide_core::fault::{Fault, FaultKind};
use lowtide_world::kubernetes::Access;
use lowtide_world::kubernetes::jobs::scheduled_time;

use crate::printer::Printer;
use crate::trouble::Trouble;

/// The name of the pod's own Job: its label `batch.kubernetes.io/job-name`.
const NAME: &str = "LOWTIDE_JOB_NAME";
/// The Job's namespace, which is the pod's; without it, that of the pod's account.
const NAMESPACE: &str = "LOWTIDE_JOB_NAMESPACE";

/// How often an API server that does not answer is asked: with the pauses between, it may be
/// away for a restart.
const ASKS_MAX: u32 = 10;
/// The pause between two questions.
const PAUSE: Duration = Duration::from_secs(3);

/// The slot; `None` for a Job that no schedule made, which is a request of its own.
pub(super) async fn slot(printer: Printer) -> Result<Option<Timestamp>, Trouble> {
    let name = variable(NAME).ok_or(Trouble::NoJobName { variable: NAME })?;
    let namespace = variable(NAMESPACE);
    let slot = patiently(namespace.as_deref(), &name)
        .await
        .map_err(|source| Trouble::NoSlot {
            job: name.clone(),
            source,
        })?;
    if slot.is_none() {
        printer.say(&format!(
            "no schedule made the Job `{name}`: this is a request of its own, and a retried pod asks anew\n"
        ));
    }
    Ok(slot)
}

/// Asks again while what is wrong may pass: nothing has been asked of any platform yet.
async fn patiently(namespace: Option<&str>, name: &str) -> Result<Option<Timestamp>, Fault> {
    for _ in 1..ASKS_MAX {
        match scheduled_time(&Access::default(), namespace, name).await {
            Err(fault) if fault.kind == FaultKind::Transient => {
                tracing::warn!("asking again for the slot of Job `{name}`: {fault}");
                tokio::time::sleep(PAUSE).await;
            }
            known => return known,
        }
    }
    scheduled_time(&Access::default(), namespace, name).await
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
