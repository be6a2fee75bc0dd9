//! Objects of one kind in one namespace, from a list or from a watch.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::{Api, Resource};
use lowtide_core::fault::Fault;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::access::ApiServer;
use super::fault::Request;
use super::watch::Watched;
use super::{Source, list};
use crate::shared::Shared;

/// Which objects.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// The resource, as RBAC calls it.
    pub(crate) resource: &'static str,
    /// A label selector.
    pub(crate) labels: String,
    /// A field selector.
    pub(crate) fields: Option<&'static str>,
}

/// Objects of the core API group in the namespace of the API server's access.
#[derive(Debug)]
pub(crate) struct Objects<K>
where
    K: Resource + 'static,
    K::DynamicType: Eq + Hash,
{
    server: Arc<ApiServer>,
    selection: Selection,
    source: Source,
    listed: Shared<Arc<Vec<Arc<K>>>>,
    watched: OnceCell<Watched<K>>,
}

impl<K> Objects<K>
where
    K: Resource<Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    /// Nothing is sent before the first reading.
    pub(crate) fn new(server: Arc<ApiServer>, selection: Selection, source: Source) -> Self {
        Self {
            server,
            selection,
            source,
            listed: Shared::default(),
            watched: OnceCell::new(),
        }
    }

    /// Every object: from the watch, or from a list that is at most `age_max` old.
    pub(crate) async fn read(&self, age_max: Duration) -> Result<Arc<Vec<Arc<K>>>, Fault> {
        match self.source {
            Source::List => self.listed.ask_within(age_max, || self.list()).await,
            Source::Watch => {
                let watched = self.watched.get_or_try_init(|| self.watch()).await?;
                let objects = watched.read(self.server.timeout()).await?;
                if let Some(at) = watched.in_step_at() {
                    tracing::trace!(
                        resource = self.selection.resource,
                        objects = objects.len(),
                        last_event_ms = at.elapsed().as_millis(),
                        "read from the watch"
                    );
                }
                Ok(Arc::new(objects))
            }
        }
    }

    async fn list(&self) -> Result<Arc<Vec<Arc<K>>>, Fault> {
        let (api, namespace) = self.api().await?;
        let mut params = ListParams::default().labels(&self.selection.labels);
        if let Some(fields) = self.selection.fields {
            params = params.fields(fields);
        }
        let request = self.request("list", namespace);
        let objects = list::all(&api, &params, &request, self.server.timeout()).await?;
        Ok(Arc::new(objects.into_iter().map(Arc::new).collect()))
    }

    async fn watch(&self) -> Result<Watched<K>, Fault> {
        let (api, namespace) = self.api().await?;
        let Selection { labels, fields, .. } = &self.selection;
        let request = self.request("watch", namespace);
        Ok(Watched::begin(api, labels, *fields, &request))
    }

    async fn api(&self) -> Result<(Api<K>, &str), Fault> {
        let connected = self.server.connected().await?;
        let api = Api::namespaced(connected.client.clone(), &connected.namespace);
        Ok((api, &connected.namespace))
    }

    fn request<'a>(&self, verb: &'static str, namespace: &'a str) -> Request<'a> {
        Request {
            verb,
            group: "",
            resource: self.selection.resource,
            namespace,
        }
    }
}
