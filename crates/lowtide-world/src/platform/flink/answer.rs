//! What an answer from where Flink should be means: it is Flink's own, or a proxy's.

use lowtide_core::fault::{Fault, FaultKind};
use serde::de::DeserializeOwned;

use super::{failure, wire};
use crate::platform::http::{self, LoginKind};
use crate::text::one_line;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    raw: http::Answer,
    /// Flink's own words, if these are an error of Flink's.
    errors: Option<String>,
    /// The words of the Kubernetes API server, if these are an error of its own.
    api_server: Option<String>,
}

impl From<http::Answer> for Answer {
    fn from(raw: http::Answer) -> Self {
        let errors = (raw.status >= 400)
            .then(|| serde_json::from_slice::<wire::Errors>(&raw.body).ok())
            .flatten()
            .map(|errors| errors.errors.join("\n"));
        let api_server = (raw.status >= 400 && raw.login == LoginKind::ApiServer)
            .then(|| serde_json::from_slice::<wire::KubernetesStatus>(&raw.body).ok())
            .flatten()
            .map(|status| one_line(&status.message));
        Self {
            status: raw.status,
            raw,
            errors,
            api_server,
        }
    }
}

impl Answer {
    /// Flink's own words, if this is an error of Flink's.
    pub(super) fn flink_error(&self) -> Option<&str> {
        self.errors.as_deref()
    }

    /// What a successful answer holds.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        if self.raw.html || !matches!(self.status, 200 | 202) {
            return Err(self.fault());
        }
        serde_json::from_slice(&self.raw.body).map_err(|wrong| {
            let base = &self.raw.base;
            if wrong.is_data() {
                Fault::permanent(format!("{base}: JSON, but not as Flink writes it: {wrong}"))
                    .hint("does `url:` lead to Flink's REST API, release 1.15 to 2.3?")
            } else {
                Fault::transient(format!("{base}: not the JSON that Flink writes: {wrong}"))
                    .hint("does a proxy stand before Flink?")
            }
        })
    }

    /// What kind of fault this answer is.
    pub(super) fn fault(&self) -> Fault {
        let (kind, hint) = self.kind();
        Fault {
            kind,
            text: format!("{}: {}", self.raw.base, self.what()),
            hint: hint.map(str::to_owned),
        }
    }

    fn what(&self) -> String {
        let status = self.status;
        if let Some(said) = &self.api_server {
            return format!("the Kubernetes API server says: {said} (status {status})");
        }
        match (&self.errors, self.raw.html) {
            (Some(errors), _) => format!("{} (status {status})", failure::message(errors)),
            (None, true) => match self.raw.title() {
                Some(title) => format!("HTML from a proxy, “{title}” (status {status})"),
                None => format!("HTML from a proxy (status {status})"),
            },
            (None, false) => format!("status {status}, and not from Flink"),
        }
    }

    fn kind(&self) -> (FaultKind, Option<&'static str>) {
        if self.api_server.is_some() {
            return kind_of_proxy(self.status);
        }
        match self.status {
            200..=299 if self.raw.html => (
                FaultKind::Transient,
                Some("a login page, or a notice of a proxy? check `url:` and `auth:`"),
            ),
            300..=399 => (
                FaultKind::Permanent,
                Some(
                    "Lowtide follows no redirects: is this a login page? else write the final address as `url:`",
                ),
            ),
            401 | 403 if self.raw.login != LoginKind::Nobody => (
                FaultKind::Permanent,
                Some("the login in `auth:` is not accepted, or has no right to do this"),
            ),
            401 | 403 => (
                FaultKind::Permanent,
                Some("set `auth:` (`basic` or `bearer`) for the platform"),
            ),
            404 => self.kind_of_404(),
            407 => (
                FaultKind::Permanent,
                Some("the proxy in `HTTP_PROXY` or `HTTPS_PROXY` wants a login"),
            ),
            // 5xx is also what a gateway says while what is behind it starts.
            500..=599 if self.errors.is_none() => (
                FaultKind::Transient,
                Some(
                    "this comes from a proxy: is Flink's JobManager running, and can the proxy reach it?",
                ),
            ),
            503 => (
                FaultKind::Transient,
                Some("the JobManager is starting, or electing a leader"),
            ),
            500..=599 => (
                FaultKind::Transient,
                Some("the whole of it is in the JobManager's log"),
            ),
            200..=299 | 408 | 425 | 429 => (FaultKind::Transient, None),
            _ => (FaultKind::Permanent, None),
        }
    }

    /// Flink says 404 of a path it does not know (`Router`, `StaticFileServerHandler`) and of a
    /// job it does not know.
    fn kind_of_404(&self) -> (FaultKind, Option<&'static str>) {
        let unknown_path = |errors: &String| {
            errors.contains("Not found: /") || errors.contains("Unable to load requested file")
        };
        match &self.errors {
            Some(errors) if !unknown_path(errors) => (FaultKind::Gone, None),
            _ => (
                FaultKind::Permanent,
                Some(
                    "is the path in `url:` right? Flink's own API begins at `/`, behind a proxy often below a prefix",
                ),
            ),
        }
    }
}

/// What an error of the API server means, that was to pass a request on.
fn kind_of_proxy(status: u16) -> (FaultKind, Option<&'static str>) {
    match status {
        401 => (
            FaultKind::Permanent,
            Some("the API server does not accept the login: has the token expired?"),
        ),
        403 => (
            FaultKind::Permanent,
            Some(
                "`reach: proxy` needs a Role with `{ apiGroups: [\"\"], resources: [services/proxy], verbs: [get, create] }`",
            ),
        ),
        // Its own word for a Service that is being made anew, or that nobody stands behind.
        _ => (
            FaultKind::Transient,
            Some("does the cluster's JobManager run, and does its REST Service lead to it?"),
        ),
    }
}
