//! Ververica Platform 2.1 to 2.15: the API of its `AppManager`.
//!
//! The platform keeps savepoints as things of their own, with ids that it draws. A request takes
//! no trigger id and is not idempotent, so the client never makes it twice, and a reply that is
//! anything but a savepoint or a plain refusal is [`Reply::Unclear`]. What tells our savepoint
//! from others is its id in the reply, or our mark among its annotations where the server keeps
//! them: whether it does is not documented.
//!
//! A deployment is the job of this platform: its id outlives restarts and upgrades. Names become
//! ids in one of two ways ([`Resolve`]).
//!
//! Facts are from the swaggers of `AppManager` 2.0.1, 2.1.0, 2.4.3 and 2.7.1 and the vendor's
//! documentation. Open questions (the shape of errors, the order of lists, what becomes of a
//! savepoint of a deployment that does not run) have no answer here: every one that is possible is
//! borne.

mod answer;
mod lifecycle;
mod names;
mod savepoints;
mod settings;
mod vitals;
mod wire;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::gate::Vitals;
use lowtide_core::name::{JobId, SavepointId};
use lowtide_core::resolve::{JobSeen, JobState};
use lowtide_core::run::{Attempt, Found, ListedState, Operation, Reply};
use lowtide_core::savepoint::Format;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::http::{Answer, Endpoint, POST_TIMEOUT_MAX, Peer, Trouble};
pub use super::http::{Auth, Connection, SettingsError, TIMEOUT};
use crate::kubernetes::ApiServer;
use crate::kubernetes::pods::VvpPodReader;
use crate::shared::Shared;
pub use lifecycle::DesiredState;
pub use settings::{NAMESPACE, NativeField, NativeFieldError, Resolve, Settings};

/// Who answers.
const PEER: Peer = Peer {
    name: "Ververica Platform's gateway",
    one: "a gateway",
    short: "Ververica Platform",
};
/// Most bytes of a list: there are no pages, a savepoint has about a kilobyte, a deployment with
/// its pod templates ten, and a namespace may have thousands of either.
const LIST_BYTES_MAX: usize = 128 << 20;
/// Most bytes of everything else; the largest is a deployment with its pod templates, and
/// Kubernetes would take no more than 1.5 MB of those.
const SMALL_BYTES_MAX: usize = 4 << 20;
/// The annotation that says which run asked for a savepoint; no other property of a savepoint can
/// be chosen by who asks.
const MARK: &str = "lowtide/mark";
/// What stays as it is in a part of a path: the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A client of one namespace.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    namespace: String,
    native: Option<NativeField>,
    post_timeout: Duration,
    /// The pods by whose labels names are resolved, where they are.
    pods: Option<VvpPodReader>,
    /// Whether a deployment was found by listing that the server did not find by its name: one
    /// before 2.4, which is not asked that way again.
    lists_names: AtomicBool,
    listing: Shared<Vec<JobSeen>>,
}

impl Client {
    /// Prepares a client; reads certificates and keys, sends nothing.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let timeout = settings.connection.timeout;
        let pods = match &settings.resolve {
            Resolve::Api => None,
            Resolve::Pods { access, source } => {
                let server = ApiServer::new(access.clone(), timeout).into();
                Some(VvpPodReader::new(
                    server,
                    Some(&settings.namespace),
                    *source,
                ))
            }
        };
        Ok(Self {
            endpoint: Endpoint::new(&settings.connection, PEER)?,
            namespace: settings.namespace.clone(),
            native: settings.native.clone(),
            post_timeout: timeout.min(POST_TIMEOUT_MAX),
            pods,
            lists_names: AtomicBool::new(false),
            listing: Shared::default(),
        })
    }

    /// The deployments that this name may mean, and others for suggestions.
    pub async fn jobs(&self, name: &str) -> Result<Vec<JobSeen>, Fault> {
        match &self.pods {
            None => self.by_name(name).await,
            Some(pods) => self.by_pods(pods, name).await,
        }
    }

    /// What the deployment looks like just now: two requests at once.
    pub async fn vitals(&self, job: &JobId) -> Result<Vitals, Fault> {
        let (deployment, listed) =
            tokio::join!(self.deployment(job.as_str()), self.savepoints(job));
        Ok(vitals::vitals(&deployment?, &listed?))
    }

    /// Asks for a savepoint, once.
    pub async fn trigger(&self, attempt: &Attempt) -> Reply {
        let body = match self.request(attempt) {
            Ok(body) => body,
            Err(fault) => return Reply::NotSent(fault),
        };
        let answer = self
            .endpoint
            .post(
                &self.path("savepoints"),
                &body,
                self.post_timeout,
                SMALL_BYTES_MAX,
            )
            .await;
        match answer {
            Ok(answer) => reply(&answer, attempt.job.as_str()),
            Err(Trouble::NotSent(fault)) => Reply::NotSent(fault),
            Err(Trouble::Unclear(fault)) => Reply::Unclear(fault),
        }
    }

    fn request(&self, attempt: &Attempt) -> Result<Value, Fault> {
        let mark = attempt.trigger_id.to_string();
        let mut body = json!({
            "kind": "Savepoint",
            "apiVersion": "v1",
            "metadata": {
                "deploymentId": attempt.job.as_str(),
                "namespace": self.namespace,
                "annotations": { MARK: mark },
            },
        });
        match (attempt.format, &self.native) {
            (Format::Canonical, _) => {}
            (Format::Native, Some(field)) => field.put(&mut body),
            (Format::Native, None) => {
                return Err(Fault::permanent(
                    "how this platform is asked for the native format is not known",
                )
                .hint("set `native_field:` of the platform, or use `format: canonical`"));
            }
        }
        Ok(body)
    }

    /// Asks what became of the request: of the savepoint, where it is known which one, else of
    /// all that the platform lists.
    pub async fn operation(&self, attempt: &Attempt) -> Result<Operation, Fault> {
        let known = attempt
            .listing
            .as_ref()
            .and_then(|listing| listing.savepoint.as_ref());
        let Some(id) = known else {
            let listed = self.savepoints(&attempt.job).await?;
            return Ok(Operation::Listed(
                listed.iter().map(savepoints::listed).collect(),
            ));
        };
        match self.get(&self.savepoint_path(id)?, SMALL_BYTES_MAX).await {
            Ok(savepoint) => Ok(savepoints::operation(&savepoint)),
            Err(fault) if fault.kind == FaultKind::Gone => Ok(Operation::NotFound {
                job_started_at: None,
            }),
            Err(fault) => Err(fault),
        }
    }

    /// Lists what somebody asked for and got since the request, as far as it may have come of it.
    /// Where the savepoint is known and ours, there is nothing else to find.
    pub async fn directories(&self, attempt: &Attempt) -> Result<Vec<Found>, Fault> {
        let listing = attempt.listing.clone().unwrap_or_default();
        if listing.savepoint.is_some() && !listing.foreign {
            return Ok(Vec::new());
        }
        let listed = self.savepoints(&attempt.job).await?;
        let since = listed
            .iter()
            .map(savepoints::listed)
            .filter(|one| one.requested && !listing.before.contains(&one.id))
            // Another run's own; it records it itself.
            .filter(|one| one.mark.is_none_or(|mark| mark == attempt.trigger_id));
        Ok(since
            .filter_map(|one| match one.state {
                ListedState::Completed(location) => Some(Found {
                    location,
                    has_metadata: true,
                    foreign: one.mark.is_none(),
                }),
                _ => None,
            })
            .collect())
    }

    async fn deployment(&self, id: &str) -> Result<wire::Deployment, Fault> {
        let deployment: wire::Deployment = self
            .get(&self.deployment_path(id)?, SMALL_BYTES_MAX)
            .await?;
        if deployment.metadata.id == id {
            return Ok(deployment);
        }
        // Since 2.4 an id that is nobody's may still be a name.
        Err(Fault::gone(format!("the deployment {id} is gone")))
    }

    /// All savepoints of a deployment; the order is documented nowhere.
    async fn savepoints(&self, deployment: &JobId) -> Result<Vec<wire::Savepoint>, Fault> {
        let id = segment(deployment.as_str())?;
        let path = format!("{}?deploymentId={id}", self.path("savepoints"));
        let list: wire::List<wire::Savepoint> = self.get(&path, LIST_BYTES_MAX).await?;
        Ok(list.items)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, bytes_max: usize) -> Result<T, Fault> {
        answer::json(&self.endpoint.get(path, bytes_max).await?)
    }

    fn path(&self, resource: &str) -> String {
        let namespace = utf8_percent_encode(&self.namespace, SEGMENT);
        format!("/api/v1/namespaces/{namespace}/{resource}")
    }

    fn deployment_path(&self, name: &str) -> Result<String, Fault> {
        Ok(format!("{}/{}", self.path("deployments"), segment(name)?))
    }

    fn savepoint_path(&self, id: &SavepointId) -> Result<String, Fault> {
        let id = segment(id.as_str())?;
        Ok(format!("{}/{id}", self.path("savepoints")))
    }
}

/// A name or an id as a part of a path.
fn segment(text: &str) -> Result<String, Fault> {
    // What these mean in a path cannot be escaped (RFC 3986, 5.2.4).
    if matches!(text, "" | "." | "..") {
        return Err(Fault::gone(format!("nothing can be called `{text}`")));
    }
    Ok(utf8_percent_encode(text, SEGMENT).to_string())
}

fn reply(answer: &Answer, deployment: &str) -> Reply {
    if let Some(cause) = answer::refusal(answer, deployment) {
        return Reply::Refused(cause);
    }
    match answer::json::<wire::Savepoint>(answer) {
        Ok(savepoint) => Reply::Created(SavepointId::new(savepoint.metadata.id)),
        Err(fault) => Reply::Unclear(fault),
    }
}

/// What a word of `DeploymentStatus.state` means.
fn state(word: &str) -> JobState {
    match word {
        "RUNNING" => JobState::Running,
        "TRANSITIONING" => JobState::InTransition,
        "SUSPENDED" => JobState::Suspended,
        // The documentation once has one `L`, the API two.
        "CANCELLED" | "CANCELED" => JobState::Cancelled,
        "FINISHED" => JobState::Finished,
        "FAILED" => JobState::Failed,
        _ => JobState::Other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_state_of_a_deployment_is_known() {
        for word in [
            "RUNNING",
            "SUSPENDED",
            "CANCELLED",
            "TRANSITIONING",
            "FAILED",
            "FINISHED",
        ] {
            assert_ne!(state(word), JobState::Other, "{word}");
        }
        assert_eq!(state("HIBERNATING"), JobState::Other);
        assert!(state("SUSPENDED").is_ended() && !state("TRANSITIONING").is_ended());
    }

    #[test]
    fn free_form_names_stay_within_their_part_of_the_path() {
        assert_eq!(segment("my-orders_1.2~x").unwrap(), "my-orders_1.2~x");
        assert_eq!(
            segment("INSERT a/b?c#d %").unwrap(),
            "INSERT%20a%2Fb%3Fc%23d%20%25"
        );
        for up in ["", ".", ".."] {
            assert_eq!(segment(up).unwrap_err().kind, FaultKind::Gone);
        }
    }
}
