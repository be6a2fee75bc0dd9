//! A watch that says whether it is in step.
//!
//! `kube`'s watcher resumes by itself after an error, and then says nothing until something
//! changes: nobody could tell a watch that has recovered from one that has not. So after an
//! error it begins again with a list, whose end is a proof, at the price of one paged list for
//! each cut connection or restart of the API server. What the watcher does silently (the request
//! that ends after [`WATCH_SECONDS`] and is made again, bookmarks) needs no proof: it fails
//! loudly.
//!
//! A store that is out of step is not read: a name that got a second owner meanwhile would
//! resolve to the first.

use std::fmt;
use std::fmt::Debug;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use lowtide_core::fault::{Fault, FaultKind};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::fault::{self, Request};
use super::list::PAGE_OBJECTS;

/// How long one watch request lasts. A connection that died without a word is noticed five
/// seconds after that, so this bounds how far behind a store in step can be; a request a minute
/// costs the API server nothing.
pub(super) const WATCH_SECONDS: u32 = 60;

/// Whether the store shows what the API server has.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    in_step: bool,
    /// When the store last was certain to be in step: the last event that came.
    in_step_at: Option<Instant>,
    /// Why it is out of step.
    fault: Option<Fault>,
}

impl Standing {
    /// Whether it is in step, or will not be without a person.
    fn is_settled(&self) -> bool {
        self.in_step
            || (self.fault.as_ref()).is_some_and(|fault| fault.kind == FaultKind::Permanent)
    }
}

/// Objects of one kind, kept in step by a task that ends with this value.
pub(super) struct Watched<K>
where
    K: Resource + 'static,
    K::DynamicType: Eq + Hash,
{
    store: Store<K>,
    standing: watch::Receiver<Standing>,
    task: AbortHandle,
    request: Owned,
}

/// The request that the watch stands for, kept for messages.
#[derive(Debug, Clone)]
struct Owned {
    group: &'static str,
    resource: &'static str,
    namespace: String,
}

impl Owned {
    fn request(&self, verb: &'static str) -> Request<'_> {
        Request {
            verb,
            group: self.group,
            resource: self.resource,
            namespace: &self.namespace,
        }
    }

    fn fault(&self, error: &watcher::Error) -> Fault {
        match error {
            watcher::Error::InitialListFailed(error) => fault::fault(error, &self.request("list")),
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
                fault::fault(error, &self.request("watch"))
            }
            watcher::Error::WatchError(status) => {
                let error = kube::Error::Api(status.clone());
                fault::fault(&error, &self.request("watch"))
            }
            watcher::Error::NoResourceVersion => {
                Fault::permanent("the Kubernetes API sent objects without a version")
            }
        }
    }
}

impl<K> Watched<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    /// Begins to watch; needs a runtime.
    pub(super) fn begin(
        api: Api<K>,
        labels: &str,
        fields: Option<&str>,
        request: &Request<'_>,
    ) -> Self {
        let mut config = watcher::Config::default()
            .labels(labels)
            .page_size(PAGE_OBJECTS)
            .timeout(WATCH_SECONDS);
        if let Some(fields) = fields {
            config = config.fields(fields);
        }
        let request = Owned {
            group: request.group,
            resource: request.resource,
            namespace: request.namespace.to_owned(),
        };
        let (store, writer) = reflector::store();
        let (tell, standing) = watch::channel(Standing {
            in_step: false,
            in_step_at: None,
            fault: None,
        });
        let task = tokio::spawn(keep_in_step(api, config, writer, tell, request.clone()));
        Self {
            store,
            standing,
            task: task.abort_handle(),
            request,
        }
    }

    /// Every object, as soon as the store is in step; what is in its way, if that will not pass
    /// or takes longer than `wait_max`.
    pub(super) async fn read(&self, wait_max: Duration) -> Result<Vec<Arc<K>>, Fault> {
        let mut standing = self.standing.clone();
        let settled = tokio::time::timeout(wait_max, standing.wait_for(Standing::is_settled)).await;
        let standing = match settled {
            Ok(Ok(standing)) => standing.clone(),
            Ok(Err(_)) | Err(_) => self.standing.borrow().clone(),
        };
        if standing.in_step {
            return Ok(self.store.state());
        }
        Err(standing
            .fault
            .unwrap_or_else(|| (self.request.request("watch")).timed_out(wait_max.as_secs_f32())))
    }

    /// When the store last was certain to be in step with the API server; `None` before the
    /// first list is complete.
    pub(super) fn in_step_at(&self) -> Option<Instant> {
        self.standing.borrow().in_step_at
    }
}

impl<K> Drop for Watched<K>
where
    K: Resource + 'static,
    K::DynamicType: Eq + Hash,
{
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K> Debug for Watched<K>
where
    K: Resource + 'static,
    K::DynamicType: Eq + Hash,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("request", &self.request)
            .field("standing", &*self.standing.borrow())
            .finish_non_exhaustive()
    }
}

async fn keep_in_step<K>(
    api: Api<K>,
    config: watcher::Config,
    mut writer: reflector::store::Writer<K>,
    tell: watch::Sender<Standing>,
    request: Owned,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    let mut pauses = DefaultBackoff::default();
    loop {
        let error = follow(&api, &config, &mut writer, &tell).await;
        let fault = request.fault(&error);
        tracing::info!(
            resource = request.resource,
            namespace = request.namespace,
            reason = %fault,
            "a watch is out of step and begins again"
        );
        tell.send_modify(|standing| {
            standing.in_step = false;
            standing.fault = Some(fault);
        });
        // The waits of `client-go`: from 0.8 s to 30 s, jittered.
        tokio::time::sleep(pauses.next().unwrap_or(PAUSE_MAX)).await;
    }
}

/// Should `kube`'s waits ever come to an end.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// One list and the watch after it, to its first error.
async fn follow<K>(
    api: &Api<K>,
    config: &watcher::Config,
    writer: &mut reflector::store::Writer<K>,
    tell: &watch::Sender<Standing>,
) -> watcher::Error
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    let mut events = pin!(watcher(api.clone(), config.clone()));
    loop {
        let event = match events.next().await {
            Some(Ok(event)) => event,
            Some(Err(error)) => return error,
            // `kube`'s stream has no end.
            None => return watcher::Error::NoResourceVersion,
        };
        // A third of the memory: who changed which field.
        let event = event.modify(|object| object.managed_fields_mut().clear());
        writer.apply_watcher_event(&event);
        let proof = match event {
            Event::InitDone | Event::Apply(_) | Event::Delete(_) => true,
            Event::Init | Event::InitApply(_) => false,
        };
        if proof {
            tell.send_modify(|standing| {
                standing.in_step = true;
                standing.in_step_at = Some(Instant::now());
                standing.fault = None;
            });
        }
    }
}
