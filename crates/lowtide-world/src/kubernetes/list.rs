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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http::{Request as HttpRequest, Response};
    use k8s_openapi::api::core::v1::Pod;
    use kube::Client;
    use kube::ResourceExt as _;
    use kube::client::Body;
    use kube::core::PartialObjectMeta;
    use lowtide_core::fault::FaultKind;
    use serde_json::{Value, json};

    use super::*;

    const REQUEST: Request<'_> = Request {
        verb: "list",
        group: "",
        resource: "pods",
        namespace: "flink",
    };

    type Asked = Arc<Mutex<Vec<HttpRequest<()>>>>;

    /// Gives these answers, one after the other, and keeps what was asked.
    fn api(answers: Vec<(u16, Value)>) -> (Api<PartialObjectMeta<Pod>>, Asked) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let asked_here = Arc::clone(&asked);
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let server = tower::service_fn(move |request: HttpRequest<Body>| {
            asked_here.lock().unwrap().push(request.map(|_| ()));
            let answer = answers.lock().unwrap().next();
            async move {
                let (status, body) = answer.unwrap_or((500, json!({})));
                let response = Response::builder().status(status);
                Ok::<_, Infallible>(
                    response
                        .body(Body::from(body.to_string().into_bytes()))
                        .unwrap(),
                )
            }
        });
        let client = Client::new(server, "flink");
        (Api::namespaced(client, "flink"), asked)
    }

    fn page(names: &[&str], next: Option<&str>) -> (u16, Value) {
        let items: Vec<Value> = names
            .iter()
            .map(|name| json!({"metadata": {"name": name}}))
            .collect();
        (
            200,
            json!({"metadata": {"resourceVersion": "7", "continue": next}, "items": items}),
        )
    }

    fn expired() -> (u16, Value) {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired",
            "message": "The provided continue parameter is too old", "code": 410,
        });
        (410, status)
    }

    async fn names(api: &Api<PartialObjectMeta<Pod>>) -> Result<Vec<String>, Fault> {
        let params = ListParams::default().labels("app=flink-job");
        let pods = all(api, &params, &REQUEST, Duration::from_secs(5)).await?;
        Ok(pods.iter().map(PartialObjectMeta::name_any).collect())
    }

    #[tokio::test]
    async fn pages_are_joined_and_only_metadata_is_asked_for() {
        let (api, asked) = api(vec![page(&["a", "b"], Some("t1")), page(&["c"], Some(""))]);
        assert_eq!(names(&api).await.unwrap(), ["a", "b", "c"]);
        let asked = asked.lock().unwrap();
        let accept = asked[0].headers()["accept"].to_str().unwrap();
        assert!(accept.contains("as=PartialObjectMetadataList"), "{accept}");
        let queries: Vec<&str> = asked
            .iter()
            .map(|request| request.uri().query().unwrap())
            .collect();
        assert!(queries[0].contains("limit=500") && !queries[0].contains("continue"));
        assert!(queries[1].contains("continue=t1"), "{}", queries[1]);
    }

    #[tokio::test]
    async fn a_list_that_expires_midway_begins_again_and_forgets_what_it_had() {
        let (api, asked) = api(vec![
            page(&["a", "gone"], Some("t1")),
            expired(),
            page(&["a"], Some("t2")),
            page(&["b"], None),
        ]);
        assert_eq!(names(&api).await.unwrap(), ["a", "b"]);
        assert!(
            !asked.lock().unwrap()[2]
                .uri()
                .query()
                .unwrap()
                .contains("continue")
        );
    }

    #[tokio::test]
    async fn a_list_that_always_expires_ends() {
        let answers = (0..BEGINNINGS_MAX).flat_map(|_| [page(&["a"], Some("t")), expired()]);
        let (api, asked) = api(answers.collect());
        assert_eq!(names(&api).await.unwrap_err().kind, FaultKind::Transient);
        assert_eq!(asked.lock().unwrap().len(), 2 * BEGINNINGS_MAX as usize);
    }
}
