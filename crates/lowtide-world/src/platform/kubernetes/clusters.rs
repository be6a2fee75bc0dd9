//! From labels to Flink clusters.
//!
//! Flink labels what it makes with `type`, `app` (the cluster's id) and, on pods, `component`
//! (`org.apache.flink.kubernetes.utils.Constants`; the Flink Kubernetes Operator does the same for
//! its standalone mode). Its Services have no `component`, but the REST Service has a port that
//! is called `rest` and is itself called `<cluster id>-rest` (`ExternalServiceDecorator`).
//!
//! Both are read, because they say different things: the pods, whether a JobManager runs at all;
//! the Service, where it answers. A cluster that was scaled to nothing keeps its Service, and
//! must not be waited for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;

/// What pods and Services of Flink clusters have in common.
pub(super) const FLINK: &str = "type in (flink-native-kubernetes, flink-standalone-kubernetes)";
/// The port of the REST Service (`Constants.REST_PORT_NAME`).
const REST_PORT: &str = "rest";

/// Where a cluster answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    /// The Service.
    pub(super) service: String,
    /// Its address; `None` for a headless Service.
    pub(super) cluster_ip: Option<IpAddr>,
    /// The number of the port `rest`.
    pub(super) port: u16,
}

impl Rest {
    /// The address within the Kubernetes cluster.
    pub(super) fn url(&self, namespace: &str) -> String {
        let port = self.port;
        match self.cluster_ip {
            Some(IpAddr::V4(ip)) => format!("http://{ip}:{port}/"),
            Some(IpAddr::V6(ip)) => format!("http://[{ip}]:{port}/"),
            None => format!("http://{}.{namespace}.svc:{port}/", self.service),
        }
    }
}

/// What becomes of a cluster's JobManager, as far as its pods tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum JobManager {
    /// No pod.
    None,
    /// Only pods that are being deleted.
    Leaving,
    /// A pod that is there to stay, started or not.
    Present,
}

impl fmt::Display for JobManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no JobManager pod",
            Self::Leaving => "only a JobManager pod that is being deleted",
            Self::Present => "a JobManager pod",
        })
    }
}

/// One Flink cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClusterSeen {
    pub(super) job_manager: JobManager,
    /// `None` while Flink has not made the Service yet.
    pub(super) rest: Option<Rest>,
}

/// Every cluster, by its id.
pub(super) fn clusters(
    pods: &[Arc<PartialObjectMeta<Pod>>],
    services: &[Arc<Service>],
) -> BTreeMap<String, ClusterSeen> {
    let mut clusters: BTreeMap<String, ClusterSeen> = BTreeMap::new();
    for pod in pods {
        let Some(id) = pod.labels().get("app") else {
            continue;
        };
        let job_manager = match pod.metadata.deletion_timestamp {
            Some(_) => JobManager::Leaving,
            None => JobManager::Present,
        };
        let cluster = entry(&mut clusters, id);
        cluster.job_manager = cluster.job_manager.max(job_manager);
    }
    for service in services {
        let (Some(id), Some(rest)) = (service.labels().get("app"), rest(service)) else {
            continue;
        };
        let cluster = entry(&mut clusters, id);
        let is_flink_s_own = rest.service == format!("{id}-rest");
        if cluster.rest.is_none() || is_flink_s_own {
            cluster.rest = Some(rest);
        }
    }
    clusters
}

fn entry<'a>(clusters: &'a mut BTreeMap<String, ClusterSeen>, id: &str) -> &'a mut ClusterSeen {
    clusters.entry(id.to_owned()).or_insert(ClusterSeen {
        job_manager: JobManager::None,
        rest: None,
    })
}

fn rest(service: &Service) -> Option<Rest> {
    let spec = service.spec.as_ref()?;
    let port =
        (spec.ports.iter().flatten()).find(|port| port.name.as_deref() == Some(REST_PORT))?;
    Some(Rest {
        service: service.name_any(),
        // `None` for a headless one, and none at all for an ExternalName.
        cluster_ip: spec.cluster_ip.as_ref().and_then(|ip| ip.parse().ok()),
        port: u16::try_from(port.port).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(app: &str, deleted_at: Option<&str>) -> Arc<PartialObjectMeta<Pod>> {
        let object = serde_json::json!({
            "metadata": { "name": "p", "labels": { "app": app }, "deletionTimestamp": deleted_at },
        });
        Arc::new(serde_json::from_value(object).expect("a pod"))
    }

    fn service(name: &str, app: &str, ip: &str, port: (&str, u16)) -> Arc<Service> {
        let object = serde_json::json!({
            "metadata": { "name": name, "labels": { "app": app } },
            "spec": { "clusterIP": ip, "ports": [{ "name": port.0, "port": port.1 }] },
        });
        Arc::new(serde_json::from_value(object).expect("a Service"))
    }

    #[test]
    fn what_flink_makes_is_one_cluster() {
        let found = clusters(
            &[pod("orders", None)],
            &[
                service("orders", "orders", "None", ("jobmanager-rpc", 6123)),
                service("orders-rest", "orders", "10.0.0.7", ("rest", 8081)),
            ],
        );
        let cluster = &found["orders"];
        assert_eq!(found.len(), 1);
        assert_eq!(cluster.job_manager, JobManager::Present);
        let rest = cluster.rest.as_ref().expect("a REST Service");
        assert_eq!(rest.url("flink"), "http://10.0.0.7:8081/");
    }

    #[test]
    fn a_headless_service_is_reached_by_name() {
        let found = clusters(
            &[],
            &[service("orders-rest", "orders", "None", ("rest", 8081))],
        );
        let rest = found["orders"].rest.as_ref().expect("a REST Service");
        assert_eq!(rest.url("flink"), "http://orders-rest.flink.svc:8081/");
        let ipv6 = Rest {
            cluster_ip: "fd00::7".parse().ok(),
            ..rest.clone()
        };
        assert_eq!(ipv6.url("flink"), "http://[fd00::7]:8081/");
    }

    #[test]
    fn flink_s_own_service_wins_over_one_that_somebody_added() {
        for order in [["a-copy", "orders-rest"], ["orders-rest", "z-copy"]] {
            let services: Vec<_> = order
                .iter()
                .map(|name| service(name, "orders", "10.0.0.7", ("rest", 8081)))
                .collect();
            let found = clusters(&[], &services);
            let rest = found["orders"].rest.as_ref().expect("a REST Service");
            assert_eq!(rest.service, "orders-rest");
        }
    }

    #[test]
    fn a_job_manager_is_as_present_as_its_best_pod() {
        let leaving = pod("orders", Some("2026-11-22T01:00:00Z"));
        let standing = |pods: &[Arc<_>]| clusters(pods, &[])["orders"].job_manager;
        assert_eq!(
            standing(std::slice::from_ref(&leaving)),
            JobManager::Leaving
        );
        assert_eq!(
            standing(&[pod("orders", None), leaving]),
            JobManager::Present
        );
        let scaled_down = clusters(
            &[],
            &[service("orders-rest", "orders", "10.0.0.7", ("rest", 8081))],
        );
        assert_eq!(scaled_down["orders"].job_manager, JobManager::None);
    }
}
