//! The pods of Ververica Platform, by whose labels names become deployment ids.
//!
//! Labels are those of the vendor's page "Deployment Targets", section "Resource Labels". Only
//! metadata is asked for: a pod's labels have half a kilobyte, the whole of it has ten.
//!
//! Which pods count:
//! - Pods that have ended (`Succeeded`, `Failed`) do not; the server leaves them out. They stay
//!   for a while after a deployment was suspended, and prove nothing about what runs.
//! - Pods that are being deleted count only where a name has no others. During an upgrade two
//!   generations name the same deployment, so either will do; but a deployment that was deleted
//!   and made anew under its old name has another id, and for half a minute the old pods would
//!   make the name ambiguous. Where there is nothing but them, their id is still the best there
//!   is, and the platform itself then says what state the deployment is in.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use lowtide_core::fault::Fault;

use super::{ApiServer, LISTING_FRESH, Objects, Selection, Source};
use crate::shared::Shared;

/// Server side, so that an ended pod is not even sent; a watch sees it as deleted.
pub(crate) const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// One pod of a deployment, as its labels describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VvpPod {
    /// `deploymentName`: the deployment's name, made fit for a label (lower case, `-` for blanks,
    /// at most 63 characters), so different names may share one.
    pub deployment_name_label: String,
    /// `deploymentId`: what the name is to become.
    pub deployment_id: String,
    /// `vvpNamespace`: the platform's namespace, which is not Kubernetes' one.
    pub vvp_namespace: Option<String>,
    /// `jobId`: the platform's job, new at every start of the deployment.
    pub job_id: Option<String>,
    /// The pod's own name.
    pub pod_name: String,
    /// Whether the pod is being deleted.
    pub terminating: bool,
}

/// Every pod that counts, by label.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VvpPods {
    /// Sorted by `deployment_name_label`.
    pods: Vec<VvpPod>,
}

impl VvpPods {
    /// Keeps what has both a deployment's id and its name; a session cluster's pods have neither.
    fn of(objects: &[Arc<PartialObjectMeta<Pod>>]) -> Self {
        let mut pods: Vec<VvpPod> = objects.iter().filter_map(|pod| vvp_pod(pod)).collect();
        pods.sort_by(|a, b| {
            (&a.deployment_name_label, &a.pod_name).cmp(&(&b.deployment_name_label, &b.pod_name))
        });
        Self { pods }
    }

    /// All of them, sorted by label.
    pub fn all(&self) -> &[VvpPod] {
        &self.pods
    }

    /// Those with exactly this label.
    pub fn named(&self, deployment_name_label: &str) -> &[VvpPod] {
        let pods = &self.pods;
        let begin = pods.partition_point(|pod| *pod.deployment_name_label < *deployment_name_label);
        let end = pods.partition_point(|pod| *pod.deployment_name_label <= *deployment_name_label);
        &pods[begin..end]
    }

    /// The deployments that this label stands for: one is the answer, several are ambiguous.
    /// Pods that are being deleted are asked only where there are no others.
    pub fn deployment_ids(&self, deployment_name_label: &str) -> BTreeSet<&str> {
        let named = self.named(deployment_name_label);
        let all_terminating = named.iter().all(|pod| pod.terminating);
        named
            .iter()
            .filter(|pod| all_terminating || !pod.terminating)
            .map(|pod| pod.deployment_id.as_str())
            .collect()
    }

    /// Every label once: for suggestions.
    pub fn labels(&self) -> BTreeSet<&str> {
        (self.pods.iter())
            .map(|pod| pod.deployment_name_label.as_str())
            .collect()
    }
}

fn vvp_pod(pod: &PartialObjectMeta<Pod>) -> Option<VvpPod> {
    let label = |key: &str| {
        pod.labels()
            .get(key)
            .filter(|value| !value.is_empty())
            .cloned()
    };
    Some(VvpPod {
        deployment_name_label: label("deploymentName")?,
        deployment_id: label("deploymentId")?,
        vvp_namespace: label("vvpNamespace"),
        job_id: label("jobId"),
        pod_name: pod.name_any(),
        terminating: pod.metadata.deletion_timestamp.is_some(),
    })
}

/// Where the platform's pods are read.
#[derive(Debug)]
pub struct VvpPodReader {
    objects: Objects<PartialObjectMeta<Pod>>,
    recent: Shared<Arc<VvpPods>>,
}

impl VvpPodReader {
    /// Pods of one of the platform's namespaces, or of all of them, in the Kubernetes namespace
    /// of `server`. Sends nothing yet.
    pub fn new(server: Arc<ApiServer>, vvp_namespace: Option<&str>, source: Source) -> Self {
        let mut labels = "system=ververica-platform,app=flink-job".to_owned();
        if let Some(namespace) = vvp_namespace {
            labels.push_str(",vvpNamespace=");
            labels.push_str(namespace);
        }
        let selection = Selection {
            resource: "pods",
            labels,
            fields: Some(NOT_ENDED),
        };
        Self {
            objects: Objects::new(server, selection, source),
            recent: Shared::default(),
        }
    }

    /// The pods that count just now, [`LISTING_FRESH`] at most behind.
    pub async fn read(&self) -> Result<Arc<VvpPods>, Fault> {
        let ask = || async {
            let objects = self.objects.read(LISTING_FRESH).await?;
            Ok(Arc::new(VvpPods::of(&objects)))
        };
        self.recent.ask_within(LISTING_FRESH, ask).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, labels: &[(&str, &str)], terminating: bool) -> Arc<PartialObjectMeta<Pod>> {
        let labels: serde_json::Map<String, serde_json::Value> = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).into()))
            .collect();
        let deleted_at = terminating.then_some("2026-11-22T01:00:00Z");
        let object = serde_json::json!({
            "metadata": { "name": name, "labels": labels, "deletionTimestamp": deleted_at },
        });
        Arc::new(serde_json::from_value(object).expect("a pod"))
    }

    fn of_deployment(
        name: &str,
        label: &str,
        id: &str,
        terminating: bool,
    ) -> Arc<PartialObjectMeta<Pod>> {
        let labels = [
            ("deploymentName", label),
            ("deploymentId", id),
            ("jobId", name),
        ];
        pod(name, &labels, terminating)
    }

    fn ids(pods: &VvpPods, label: &str) -> Vec<String> {
        (pods.deployment_ids(label).into_iter())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn two_generations_of_pods_are_one_deployment() {
        let pods = VvpPods::of(&[
            of_deployment("new-jm", "orders", "d-1", false),
            of_deployment("old-jm", "orders", "d-1", true),
            of_deployment("other", "orders-2", "d-2", false),
        ]);
        assert_eq!(ids(&pods, "orders"), ["d-1"]);
        assert_eq!(pods.named("orders").len(), 2);
        assert_eq!(ids(&pods, "order"), Vec::<String>::new());
    }

    #[test]
    fn two_deployments_under_one_label_are_both_told() {
        let pods = VvpPods::of(&[
            of_deployment("a", "my-orders", "d-2", false),
            of_deployment("b", "my-orders", "d-1", false),
        ]);
        assert_eq!(ids(&pods, "my-orders"), ["d-1", "d-2"]);
    }

    #[test]
    fn pods_on_their_way_out_count_only_where_there_are_no_others() {
        let recreated = VvpPods::of(&[
            of_deployment("old", "orders", "d-old", true),
            of_deployment("new", "orders", "d-new", false),
        ]);
        assert_eq!(ids(&recreated, "orders"), ["d-new"]);
        let leaving = VvpPods::of(&[of_deployment("old", "orders", "d-old", true)]);
        assert_eq!(ids(&leaving, "orders"), ["d-old"]);
    }

    #[test]
    fn pods_without_an_id_or_a_name_say_nothing() {
        let pods = VvpPods::of(&[
            pod("session", &[("system", "ververica-platform")], false),
            pod("no-name", &[("deploymentId", "d-1")], false),
            pod(
                "empty",
                &[("deploymentName", "orders"), ("deploymentId", "")],
                false,
            ),
        ]);
        assert_eq!(pods, VvpPods::default());
    }
}
