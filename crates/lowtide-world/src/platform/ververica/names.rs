//! From a name to the deployments that it may mean.
//!
//! By the API, since 2.4: one request, as a name is unique within its namespace. The server tries
//! an id first, so what it answers must still be called as was asked. Before 2.4 names are free
//! text, may repeat, and are found by listing.
//!
//! By pods: the label `deploymentName` is the name *made fit for a label*, so several names may
//! share one, and the set of `deploymentId`s behind it is asked for their real names, as far as
//! the token allows. Pods of two generations, during an upgrade, carry one id.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::name::JobId;
use lowtide_core::resolve::{JobSeen, JobState, suggestions};

use super::{Client, LIST_BYTES_MAX, SMALL_BYTES_MAX, answer, state, wire};
use crate::kubernetes::pods::VvpPodReader;

/// Longest value of a label (Kubernetes' API conventions).
const LABEL_CHARS_MAX: usize = 63;
/// Longest id that is taken for one: a UUID has 36 characters.
const ID_BYTES_MAX: usize = 64;
/// What `resolve: pods` cannot see.
const BLIND: &str = "`resolve: pods` sees only deployments that have pods of their own: one that is suspended, cancelled or in a session cluster has none; `resolve: api` sees them all";

impl Client {
    pub(super) async fn by_name(&self, name: &str) -> Result<Vec<JobSeen>, Fault> {
        if !self.lists_names.load(Ordering::Relaxed)
            && let Some(found) = self.directly(name).await?
        {
            return Ok(vec![found]);
        }
        let all = self.listing.ask(|| self.list()).await?;
        if all.iter().any(|job| job.name == name) {
            self.lists_names.store(true, Ordering::Relaxed);
        }
        Ok(all)
    }

    /// The deployment of exactly this name, where the server can be asked for one.
    async fn directly(&self, name: &str) -> Result<Option<JobSeen>, Fault> {
        let Ok(path) = self.deployment_path(name) else {
            return Ok(None);
        };
        let answer = self.endpoint.get(&path, SMALL_BYTES_MAX).await?;
        // No deployment of that name, or a server before 2.4, to which a name is no id.
        if matches!(answer.status, 400 | 404 | 405) {
            return Ok(None);
        }
        let deployment: wire::Deployment = answer::json(&answer)?;
        let job = job_seen(&deployment)?;
        Ok((job.name == name).then_some(job))
    }

    async fn list(&self) -> Result<Vec<JobSeen>, Fault> {
        let path = self.path("deployments");
        let list: wire::List<wire::Deployment> =
            self.get(&path, LIST_BYTES_MAX).await.map_err(|fault| {
                if fault.kind != FaultKind::Gone {
                    return fault;
                }
                Fault::permanent(fault.text)
                    .hint("is there a namespace of that name on the platform? and is `url:` its gateway's address, without `/api`?")
            })?;
        list.items.iter().map(job_seen).collect()
    }

    pub(super) async fn by_pods(
        &self,
        reader: &VvpPodReader,
        name: &str,
    ) -> Result<Vec<JobSeen>, Fault> {
        let pods = reader.read().await?;
        let labels = labels(name);
        let ids: BTreeSet<&str> = labels
            .iter()
            .flat_map(|label| pods.deployment_ids(label))
            .collect();
        let mut seen = Vec::new();
        for id in ids {
            seen.extend(self.behind_label(id, name).await?);
        }
        if seen.iter().any(|job| job.name == name) {
            return Ok(seen);
        }
        let mut known: BTreeSet<String> = pods.labels().into_iter().map(str::to_owned).collect();
        known.extend(seen.iter().map(|job| job.name.clone()));
        Err(no_pods(name, &seen, &known))
    }

    /// The deployment of an id that a pod carries under the label of this name.
    async fn behind_label(&self, id: &str, name: &str) -> Result<Option<JobSeen>, Fault> {
        let Ok(path) = self.deployment_path(id) else {
            return Ok(None);
        };
        let answer = self.endpoint.get(&path, SMALL_BYTES_MAX).await?;
        match answer.status {
            // Its pods outlive it for a moment.
            404 if !answer.html => Ok(None),
            // What it is called is not for us to know: the label must do.
            401 | 403 => Ok(Some(JobSeen {
                id: JobId::new(id),
                name: name.to_owned(),
                state: JobState::Running,
                started_at: Timestamp::UNIX_EPOCH,
            })),
            _ => {
                let job = job_seen(&answer::json(&answer)?)?;
                Ok((job.id.as_str() == id).then_some(job))
            }
        }
    }
}

/// The labels that a name may have become: documented is one example (`My Deployment Name` becomes
/// `my-deployment-name`), so each rule that fits it counts.
fn labels(name: &str) -> BTreeSet<String> {
    let lower = name.to_lowercase();
    let dashed = |stays: &str| -> String {
        let fit = |c: char| c.is_ascii_alphanumeric() || stays.contains(c);
        lower
            .chars()
            .map(|c| if fit(c) { c } else { '-' })
            .collect()
    };
    let plain = dashed("-");
    let mut collapsed = plain.clone();
    while collapsed.contains("--") {
        collapsed = collapsed.replace("--", "-");
    }
    [name.to_owned(), plain, collapsed, dashed("-._")]
        .into_iter()
        .map(|label| {
            let cut: String = label.chars().take(LABEL_CHARS_MAX).collect();
            // A label begins and ends with a letter or a digit.
            cut.trim_matches(|c: char| !c.is_ascii_alphanumeric())
                .to_owned()
        })
        .filter(|label| !label.is_empty())
        .collect()
}

fn no_pods(name: &str, others: &[JobSeen], known: &BTreeSet<String>) -> Fault {
    let text = match others {
        [] => format!("no pods belong to a deployment named `{name}`"),
        others => {
            let names: Vec<String> = others.iter().map(|job| format!("`{}`", job.name)).collect();
            format!(
                "no pods belong to a deployment named `{name}`: those with its label are of {}",
                names.join(", ")
            )
        }
    };
    let close = suggestions(name, known.iter().map(String::as_str));
    let meant: Vec<String> = close.iter().map(|name| format!("`{name}`")).collect();
    Fault::gone(text).hint(match meant.as_slice() {
        [] => BLIND.to_owned(),
        meant => format!("did you mean {}? {BLIND}", meant.join(" or ")),
    })
}

fn job_seen(deployment: &wire::Deployment) -> Result<JobSeen, Fault> {
    let id = &deployment.metadata.id;
    // Ids become parts of paths and of requests.
    let is_id = !id.is_empty()
        && id.len() <= ID_BYTES_MAX
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_id {
        return Err(
            Fault::permanent("the platform lists a deployment whose id is no UUID")
                .hint("does `url:` lead to Ververica Platform?"),
        );
    }
    Ok(JobSeen {
        id: JobId::new(id),
        name: deployment.metadata.name.clone(),
        state: state(&deployment.status.state),
        started_at: deployment.started_at(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(name: &str) -> Vec<String> {
        labels(name).into_iter().collect()
    }

    #[test]
    fn a_name_that_fits_is_its_own_label() {
        assert_eq!(all("orders-2"), ["orders-2"]);
    }

    #[test]
    fn every_rule_that_fits_the_documented_example_counts() {
        assert_eq!(
            all("My Deployment Name"),
            ["My Deployment Name", "my-deployment-name"]
        );
        assert_eq!(all("a  b.c"), ["a  b.c", "a--b-c", "a--b.c", "a-b-c"]);
        let long = labels(&"x".repeat(80));
        assert!(long.iter().all(|label| label.len() == LABEL_CHARS_MAX));
        assert_eq!(all("é!"), [] as [&str; 0]);
    }

    #[test]
    fn a_name_without_pods_says_what_pods_cannot_show() {
        let known = BTreeSet::from(["orders".to_owned()]);
        let fault = no_pods("order", &[], &known);
        assert_eq!(fault.kind, FaultKind::Gone);
        let hint = fault.hint.unwrap_or_default();
        assert!(hint.starts_with("did you mean `orders`?") && hint.contains("resolve: api"));
    }
}
