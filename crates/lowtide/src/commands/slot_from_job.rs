//! `run --slot-from-job`: the slot that a pod of a CronJob is to fill.
//!
//! Kubernetes 1.28 and later says on the Job when it was scheduled for. The pod knows its Job from
//! its own label, which the downward API puts into its environment; so a pod that is retried, under
//! another name and at another time, fills the same slot.

use jiff::Timestamp;
use lowtide_world::kubernetes::Access;
use lowtide_world::kubernetes::jobs::scheduled_time;

use crate::printer::Printer;
use crate::trouble::Trouble;

/// The name of the pod's own Job: its label `batch.kubernetes.io/job-name`.
const NAME: &str = "LOWTIDE_JOB_NAME";
/// The Job's namespace, which is the pod's; without it, that of the pod's account.
const NAMESPACE: &str = "LOWTIDE_JOB_NAMESPACE";

/// The slot; `None` for a Job that no schedule made, which is a request of its own.
pub(super) async fn slot(printer: Printer) -> Result<Option<Timestamp>, Trouble> {
    let name = variable(NAME).ok_or(Trouble::NoJobName { variable: NAME })?;
    let namespace = variable(NAMESPACE);
    let slot = scheduled_time(&Access::default(), namespace.as_deref(), &name)
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

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
