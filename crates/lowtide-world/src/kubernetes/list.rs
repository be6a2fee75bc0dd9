//! A list in pages.
//!
//! A list of 5,000 pods in one answer is 50 MB that the API server has to hold at once; in pages
//! it is a few hundred kilobytes at a time. The pages belong to one moment, and the server may
//! forget that moment between two of them (410 Expired): then the list begins again.

use std::fmt::Debug;
use std::time::Duration;

use kube::Api;
use kube::api::ListParams;
use lowtide_core::fault::Fault;
use serde::de::DeserializeOwned;

use super::fault::{self, Request};

/// Objects on a page, which is also what `kubectl` asks for.
pub(super) const PAGE_OBJECTS: u32 = 500;
/// How often a list may begin again after 410: the moment that pages belong to lasts five minutes
/// by default (`--etcd-compaction-interval`), so even the second time is strange.
const BEGINNINGS_MAX: u32 = 3;
/// Most objects of a list: Kubernetes is made for 150,000 pods in a cluster, and no more of them
/// can be in one namespace.
const OBJECTS_MAX: usize = 150_000;

/// Every object of the list.
pub(super) async fn all<K>(
    api: &Api<K>,
    params: &ListParams,
    request: &Request<'_>,
    timeout: Duration,
) -> Result<Vec<K>, Fault>
where
    K: Clone + Debug + DeserializeOwned,
{
    tokio::time::timeout(timeout, pages(api, params, request))
        .await
        .unwrap_or_else(|_| Err(request.timed_out(timeout.as_secs_f32())))
}

async fn pages<K>(api: &Api<K>, params: &ListParams, request: &Request<'_>) -> Result<Vec<K>, Fault>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut beginnings = 0;
    let mut objects = Vec::new();
    let mut page = params.clone().limit(PAGE_OBJECTS);
    loop {
        let list = match api.list(&page).await {
            Ok(list) => list,
            Err(kube::Error::Api(status))
                if status.code == 410 && beginnings + 1 < BEGINNINGS_MAX =>
            {
                tracing::debug!(
                    resource = request.resource,
                    "a list expired between two pages"
                );
                beginnings += 1;
                objects.clear();
                page.continue_token = None;
                continue;
            }
            Err(error) => return Err(fault::fault(&error, request)),
        };
        objects.extend(list.items);
        if objects.len() > OBJECTS_MAX {
            return Err(Fault::permanent(format!(
                "there are more than {OBJECTS_MAX} {} in namespace `{}`",
                request.resource, request.namespace
            )));
        }
        page.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
        if page.continue_token.is_none() {
            return Ok(objects);
        }
    }
}
