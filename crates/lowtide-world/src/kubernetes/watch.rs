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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::sync::Mutex;

    use http::{Request as HttpRequest, Response};
    use k8s_openapi::api::core::v1::Pod;
    use kube::Client;
    use kube::client::Body;
    use kube::core::PartialObjectMeta;
    use serde_json::{Value, json};

    use super::*;

    const REQUEST: Request<'_> = Request {
        verb: "watch",
        group: "",
        resource: "pods",
        namespace: "flink",
    };
    const WAIT_MAX: Duration = Duration::from_mins(2);

    /// Gives each list and each watch the next of its answers; one that has no more is never
    /// answered.
    fn watched(
        lists: Vec<(u16, Value)>,
        watches: Vec<(u16, Value)>,
    ) -> Watched<PartialObjectMeta<Pod>> {
        let answers = Mutex::new((VecDeque::from(lists), VecDeque::from(watches)));
        let server = tower::service_fn(move |request: HttpRequest<Body>| {
            let query = request.uri().query().unwrap_or_default();
            let mut answers = answers.lock().unwrap();
            let answer = if query.contains("watch=true") {
                answers.1.pop_front()
            } else {
                answers.0.pop_front()
            };
            async move {
                let Some((status, body)) = answer else {
                    return std::future::pending().await;
                };
                let line = format!("{body}\n").into_bytes();
                let response = Response::builder().status(status);
                Ok::<_, Infallible>(response.body(Body::from(line)).unwrap())
            }
        });
        let api = Api::namespaced(Client::new(server, "flink"), "flink");
        Watched::begin(api, "app=flink-job", None, &REQUEST)
    }

    fn list(version: &str, name: &str) -> (u16, Value) {
        let pod = json!({ "metadata": { "name": name, "resourceVersion": version } });
        let list = json!({ "metadata": { "resourceVersion": version }, "items": [pod] });
        (200, list)
    }

    fn expired() -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired",
            "message": "too old resource version: 7 (9)", "code": 410,
        })
    }

    async fn names(watched: &Watched<PartialObjectMeta<Pod>>) -> Result<Vec<String>, Fault> {
        let pods = watched.read(WAIT_MAX).await?;
        Ok(pods.iter().map(|pod| pod.name_any()).collect())
    }

    /// Reads until the second list is in: the first one may be read before the watch after it
    /// fails.
    async fn becomes(watched: &Watched<PartialObjectMeta<Pod>>, wanted: &str) {
        let reads = async {
            while names(watched).await.unwrap() != [wanted] {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(WAIT_MAX, reads).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_version_that_is_too_old_leads_to_a_new_list() {
        let event = (200, json!({ "type": "ERROR", "object": expired() }));
        let watched = watched(vec![list("7", "a"), list("9", "b")], vec![event]);
        becomes(&watched, "b").await;
    }

    /// `kube`'s watcher alone would ask for the same old version for ever.
    #[tokio::test(start_paused = true)]
    async fn so_does_one_that_is_refused_at_once() {
        let watched = watched(vec![list("7", "a"), list("9", "b")], vec![(410, expired())]);
        becomes(&watched, "b").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_out_of_step_is_not_read() {
        let down = (500, json!({ "code": 500, "message": "etcd is down" }));
        let watched = watched(vec![list("7", "a")], vec![down]);
        let mut standing = watched.standing.clone();
        let is_out = |standing: &Standing| standing.fault.is_some();
        standing.wait_for(is_out).await.unwrap();
        let fault = names(&watched).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Transient);
        assert!(fault.text.contains("etcd is down"), "{fault}");
        assert!(watched.in_step_at().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_needs_a_person_is_told_at_once() {
        let refused = (403, json!({ "code": 403, "message": "no" }));
        let watched = watched(vec![refused], Vec::new());
        let asked_at = tokio::time::Instant::now();
        let fault = names(&watched).await.unwrap_err();
        assert_eq!(fault.text, "Lowtide may not list pods in namespace `flink`");
        assert!(asked_at.elapsed() < WAIT_MAX / 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_a_fault_after_a_while() {
        let watched = watched(Vec::new(), Vec::new());
        let fault = names(&watched).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Transient);
        assert!(fault.text.contains("no answer within 120 s"), "{fault}");
    }
}
