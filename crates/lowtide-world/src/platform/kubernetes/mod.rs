//! Flink clusters in a Kubernetes namespace, found by the labels that Flink gives them.
//!
//! Nothing is configured of a single cluster: what Flink makes says where its JobManager answers,
//! and everything else is [`super::flink`]'s. One client is kept for each cluster, because
//! it remembers what the cluster says of itself; it goes when the cluster's address changes.

mod clusters;
mod names;
mod settings;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::core::PartialObjectMeta;
use lowtide_core::compare::Plan;
use lowtide_core::fault::Fault;
use lowtide_core::gate::Vitals;
use lowtide_core::name::JobId;
use lowtide_core::resolve::JobSeen;
use lowtide_core::run::{Attempt, Operation, Reply};

use super::flink;
use crate::kubernetes::pods::NOT_ENDED;
use crate::kubernetes::{ApiServer, Connected, LISTING_FRESH, Objects, Selection, ServiceProxy};
use crate::shared::Shared;
use clusters::{ClusterSeen, JobManager, Rest};
pub use names::Seen;
pub use settings::{Reach, Settings};

/// How many clusters are asked for their jobs at once.
const CLUSTERS_AT_ONCE: usize = 32;
/// How old a listing of pods and Services may be to find the cluster of a job whose cluster is
/// known by name: the gate asks once a second, and a Service's address changes only when somebody
/// makes it anew.
const ADDRESS_FRESH: Duration = Duration::from_secs(30);

/// A client of all Flink clusters in one namespace.
#[derive(Debug)]
pub struct Client {
    server: Arc<ApiServer>,
    pods: Objects<PartialObjectMeta<Pod>>,
    services: Objects<Service>,
    reach: Option<Reach>,
    timeout: Duration,
    /// By cluster id, with the address that each was made for.
    clients: Mutex<BTreeMap<String, (Rest, Arc<flink::Client>)>>,
    seen: Shared<Arc<Seen>>,
}

impl Client {
    /// Prepares a client; reads and sends nothing.
    pub fn new(settings: &Settings) -> Self {
        let server = Arc::new(ApiServer::new(settings.access.clone(), settings.timeout));
        let job_managers = Selection {
            resource: "pods",
            labels: format!("component=jobmanager,{}", clusters::FLINK),
            fields: Some(NOT_ENDED),
        };
        let services = Selection {
            resource: "services",
            labels: clusters::FLINK.to_owned(),
            fields: None,
        };
        Self {
            pods: Objects::new(Arc::clone(&server), job_managers, settings.source),
            services: Objects::new(Arc::clone(&server), services, settings.source),
            server,
            reach: settings.reach,
            timeout: settings.timeout,
            clients: Mutex::new(BTreeMap::new()),
            seen: Shared::default(),
        }
    }

    /// Asks every cluster that has a JobManager for its jobs.
    pub async fn look(&self) -> Result<Arc<Seen>, Fault> {
        // Boxed: twenty kilobytes of future, in each of 500 that ask at once.
        let ask = || Box::pin(self.ask_all());
        self.seen.ask_within(LISTING_FRESH, ask).await
    }

    /// What the job looks like just now.
    pub async fn vitals(&self, job: &JobId) -> Result<Vitals, Fault> {
        let (cluster, job) = names::split(job)?;
        self.running(cluster).await?.vitals(&job).await
    }

    /// The job's plan.
    pub async fn plan(&self, job: &JobId) -> Result<Plan, Fault> {
        let (cluster, job) = names::split(job)?;
        self.running(cluster).await?.plan(&job).await
    }

    /// Asks for a savepoint, once.
    pub async fn trigger(&self, attempt: &Attempt) -> Reply {
        let prepared = async {
            let (cluster, inner) = of_cluster(attempt)?;
            let client = self.client(cluster).await?.ok_or_else(|| {
                Fault::transient(format!("the Flink cluster `{cluster}` has no JobManager"))
            })?;
            Ok((client, inner))
        };
        match prepared.await {
            Ok((client, inner)) => client.trigger(&inner).await,
            Err(fault) => Reply::NotSent(fault),
        }
    }

    /// Asks what became of the attempt's trigger id. A cluster without any JobManager pod does
    /// nothing any more, so there is neither an operation nor a job.
    pub async fn operation(&self, attempt: &Attempt) -> Result<Operation, Fault> {
        let (cluster, inner) = of_cluster(attempt)?;
        match self.client(cluster).await? {
            Some(client) => client.operation(&inner).await,
            None => Ok(Operation::NotFound {
                job_started_at: None,
            }),
        }
    }

    async fn ask_all(&self) -> Result<Arc<Seen>, Fault> {
        let found = self.clusters(LISTING_FRESH).await?;
        self.forget_all_but(&found);
        let present =
            (found.into_iter()).filter(|(_, cluster)| cluster.job_manager == JobManager::Present);
        let clusters = stream::iter(present)
            .map(|(id, cluster)| async move {
                let jobs = self.jobs_of(&id, &cluster).await;
                (id, jobs)
            })
            .buffer_unordered(CLUSTERS_AT_ONCE)
            .collect()
            .await;
        Ok(Arc::new(Seen { clusters }))
    }

    async fn jobs_of(&self, id: &str, cluster: &ClusterSeen) -> Result<Vec<JobSeen>, Fault> {
        let client = self.client_of(id, cluster).await?;
        client.jobs().await.map_err(|mut fault| {
            fault.text = format!("the Flink cluster `{id}`: {}", fault.text);
            fault
        })
    }

    async fn clusters(&self, age_max: Duration) -> Result<BTreeMap<String, ClusterSeen>, Fault> {
        let (pods, services) =
            tokio::try_join!(self.pods.read(age_max), self.services.read(age_max))?;
        Ok(clusters::clusters(&pods, &services))
    }

    /// The client of a cluster, `None` if the cluster has no JobManager pod at all.
    async fn client(&self, id: &str) -> Result<Option<Arc<flink::Client>>, Fault> {
        let found = self.clusters(ADDRESS_FRESH).await?;
        match found.get(id) {
            Some(cluster) if cluster.job_manager > JobManager::None => {
                self.client_of(id, cluster).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The client of a cluster that must be there.
    async fn running(&self, id: &str) -> Result<Arc<flink::Client>, Fault> {
        let client = self.client(id).await?;
        client.ok_or_else(|| Fault::gone(format!("the Flink cluster `{id}` is gone")))
    }

    async fn client_of(
        &self,
        id: &str,
        cluster: &ClusterSeen,
    ) -> Result<Arc<flink::Client>, Fault> {
        let Some(rest) = &cluster.rest else {
            return Err(Fault::transient(format!(
                "the Flink cluster `{id}` has {}, and no Service with a port `rest`",
                cluster.job_manager
            ))
            .hint("Flink makes that Service a moment after the JobManager; was it deleted?"));
        };
        if let Some((address, client)) = self.lock().get(id)
            && address == rest
        {
            return Ok(Arc::clone(client));
        }
        let connected = self.server.connected().await?;
        let client = Arc::new(self.connect(connected, rest)?);
        self.lock()
            .insert(id.to_owned(), (rest.clone(), Arc::clone(&client)));
        Ok(client)
    }

    fn connect(&self, connected: &Connected, rest: &Rest) -> Result<flink::Client, Fault> {
        let default = if connected.in_cluster {
            Reach::Service
        } else {
            Reach::Proxy
        };
        match self.reach.unwrap_or(default) {
            Reach::Proxy => {
                let proxy = ServiceProxy::new(connected, &rest.service, &rest.port.to_string())?;
                flink::Client::through(proxy, self.timeout)
            }
            Reach::Service => {
                let url = rest.url(&connected.namespace);
                let url = url.parse().map_err(|_| {
                    Fault::permanent(format!("`{url}` is no address, though Kubernetes says so"))
                })?;
                let mut settings = flink::Settings::new(url);
                settings.timeout = self.timeout;
                flink::Client::new(&settings)
            }
        }
        .map_err(|wrong| Fault::permanent(wrong.to_string()).hint(wrong.hint()))
    }

    fn forget_all_but(&self, found: &BTreeMap<String, ClusterSeen>) {
        self.lock().retain(|id, _| found.contains_key(id));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Rest, Arc<flink::Client>)>> {
        // Nothing panics while it is held; and a map of clients is whole at any time.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The attempt as its cluster knows it.
fn of_cluster(attempt: &Attempt) -> Result<(&str, Attempt), Fault> {
    let (cluster, job) = names::split(&attempt.job)?;
    let inner = Attempt {
        job,
        ..attempt.clone()
    };
    Ok((cluster, inner))
}
