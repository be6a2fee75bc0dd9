//! One request, one answer, and what kind of trouble lies between.
//!
//! Nothing is sent twice from here and no redirect is followed: whether a request may be made
//! again is the core's to decide. `HTTP/1.1` only, because a connection that carries one request
//! at a time leaves no doubt which request a cut connection cut.

use std::io;
use std::time::{Duration, Instant};

use lowtide_core::fault::{Fault, FaultKind};
use reqwest::{Method, RequestBuilder, header, redirect, retry};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::settings::{Auth, Settings, SettingsError};
use super::{failure, tls, wire};
use crate::chain::causes;
use crate::kubernetes::{self, ServiceProxy};
use crate::text::one_line;

/// How long to wait for a connection. Together with `DELIVERY_TIMEOUT` no more than what must be
/// left of an owner's claim when a call is granted (10 s): a request must not arrive when somebody
/// else owns the run.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the kernel goes on sending what is not acknowledged (`TCP_USER_TIMEOUT`); by default
/// it would for a quarter of an hour, even after the connection was given up here.
#[cfg(target_os = "linux")]
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// A cluster's address, with a client that keeps connections to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Without a password and without a slash at its end.
    base: String,
    login: Login,
    client: reqwest::Client,
    timeout: Duration,
}

/// How requests log in.
#[derive(Debug)]
enum Login {
    Nobody,
    Fixed(Auth),
    /// As the kubeconfig says, to the API server that passes requests on.
    ApiServer(kubernetes::Login),
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No connection came about: nothing was delivered.
    NotSent(Fault),
    /// The request may have been delivered.
    Unclear(Fault),
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NotSent(fault) | Trouble::Unclear(fault) => fault,
        }
    }
}

impl Endpoint {
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let (url, auth) = settings.address()?;
        let builder = reqwest::Client::builder().tls_backend_preconfigured(tls::config(settings)?);
        Self::build(
            builder,
            url.as_str(),
            auth.map_or(Login::Nobody, Login::Fixed),
            settings.timeout,
        )
    }

    /// An endpoint behind the API server's proxy. The proxy variables of the environment do not
    /// concern it, as they do not concern any request to the API server.
    pub(super) fn through(proxy: ServiceProxy, timeout: Duration) -> Result<Self, SettingsError> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(proxy.tls)
            .no_proxy();
        Self::build(builder, &proxy.base, Login::ApiServer(proxy.login), timeout)
    }

    fn build(
        builder: reqwest::ClientBuilder,
        base: &str,
        login: Login,
        timeout: Duration,
    ) -> Result<Self, SettingsError> {
        #[cfg(target_os = "linux")]
        let builder = builder.tcp_user_timeout(DELIVERY_TIMEOUT);
        let client = builder
            .http1_only()
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .user_agent("lowtide")
            .build()
            .map_err(SettingsError::Client)?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            login,
            client,
            timeout,
        })
    }

    pub(super) async fn get(&self, path: &str, bytes_max: usize) -> Result<Answer, Fault> {
        let request = self.request(Method::GET, path).await?.timeout(self.timeout);
        Ok(self.send(request, path, self.timeout, bytes_max).await?)
    }

    pub(super) async fn post(
        &self,
        path: &str,
        body: &impl Serialize,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Answer, Trouble> {
        let request = (self
            .request(Method::POST, path)
            .await
            .map_err(Trouble::NotSent)?)
        .json(body)
        .timeout(timeout);
        self.send(request, path, timeout, bytes_max).await
    }

    async fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Fault> {
        let request = self.client.request(method, format!("{}{path}", self.base));
        Ok(match &self.login {
            Login::Nobody => request,
            Login::Fixed(Auth::Basic { user, password }) => {
                request.basic_auth(user, Some(password.expose_secret()))
            }
            Login::Fixed(Auth::Bearer(token)) => request.bearer_auth(token.expose_secret()),
            Login::ApiServer(login) => request.headers(login.headers().await?),
        })
    }

    async fn send(
        &self,
        request: RequestBuilder,
        path: &str,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Answer, Trouble> {
        let asked = Instant::now();
        let mut response = request.send().await.map_err(|error| {
            let fault = self.no_answer(&error, timeout);
            if error.is_connect() {
                Trouble::NotSent(fault)
            } else {
                Trouble::Unclear(fault)
            }
        })?;
        let status = response.status().as_u16();
        let declared_html = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.to_ascii_lowercase().contains("html"));
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| Trouble::Unclear(self.no_answer(&error, timeout)))?
        {
            if body.len() + chunk.len() > bytes_max {
                return Err(Trouble::Unclear(self.too_large(path, bytes_max)));
            }
            body.extend_from_slice(&chunk);
        }
        tracing::debug!(
            path,
            status,
            bytes = body.len(),
            elapsed_ms = asked.elapsed().as_millis(),
            "asked Flink"
        );
        Ok(Answer::new(self, status, declared_html, body))
    }

    fn too_large(&self, path: &str, bytes_max: usize) -> Fault {
        Fault::permanent(format!(
            "{}: the answer to {path} is larger than {bytes_max} bytes",
            self.base
        ))
    }

    /// Why there is no answer; never with the address as the client knows it, which may hold a
    /// password.
    fn no_answer(&self, error: &reqwest::Error, timeout: Duration) -> Fault {
        let base = &self.base;
        let causes = || causes(error);
        if let Some(tls) = causes().find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            return tls_fault(base, tls);
        }
        if error.is_connect() && error.is_timeout() {
            let seconds = CONNECT_TIMEOUT.min(self.timeout).as_secs_f32();
            return Fault::transient(format!("{base}: no connection within {seconds} s"))
                .hint("is the address right, and does the network let Lowtide through?");
        }
        if error.is_timeout() {
            let seconds = timeout.as_secs_f32();
            return Fault::transient(format!("{base}: no answer within {seconds} s"))
                .hint("`timeout:` of the platform says how long Lowtide waits");
        }
        let io_kind =
            causes().find_map(|cause| cause.downcast_ref::<io::Error>().map(io::Error::kind));
        if io_kind == Some(io::ErrorKind::ConnectionRefused) {
            return Fault::transient(format!("{base}: the connection was refused"))
                .hint("is Flink's JobManager running, and is the port right?");
        }
        let innermost = one_line(&causes().last().map(ToString::to_string).unwrap_or_default());
        if causes().any(|cause| cause.to_string() == "dns error") {
            return Fault::transient(format!("{base}: the host cannot be found ({innermost})"))
                .hint("is the host in `url` spelt right?");
        }
        if error.is_connect() {
            return Fault::transient(format!("{base}: no connection ({innermost})"))
                .hint("is the address right, and does the network let Lowtide through?");
        }
        Fault::transient(format!(
            "{base}: the connection was cut before the answer was complete ({innermost})"
        ))
        .hint("is `url:` right, `http://` or `https://` too? a proxy, a firewall or a JobManager that stops also cuts connections")
    }
}

fn tls_fault(base: &str, error: &rustls::Error) -> Fault {
    let text = format!("{base}: TLS: {}", one_line(&error.to_string()));
    let hint = match error {
        rustls::Error::InvalidCertificate(_) => {
            "is the server's certificate made out to this host, and its issuer in `ca:` or among the system's?"
        }
        rustls::Error::AlertReceived(_) => {
            "does the server ask for a client certificate (`client_cert:`), or for another one?"
        }
        rustls::Error::InvalidMessage(_) => "does the server speak TLS at all? try `http://`",
        _ => "look at `ca:` and `client_cert:` of the platform",
    };
    Fault::permanent(text).hint(hint)
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    base: String,
    logged_in: bool,
    html: bool,
    body: Vec<u8>,
    /// Flink's own words, if these are an error of Flink's.
    errors: Option<String>,
    /// The words of the Kubernetes API server, if these are an error of its own.
    api_server: Option<String>,
}

impl Answer {
    fn new(endpoint: &Endpoint, status: u16, declared_html: bool, body: Vec<u8>) -> Self {
        let begins_as_html = body.trim_ascii_start().starts_with(b"<");
        let errors = (status >= 400)
            .then(|| serde_json::from_slice::<wire::Errors>(&body).ok())
            .flatten()
            .map(|errors| errors.errors.join("\n"));
        let api_server = (status >= 400 && matches!(endpoint.login, Login::ApiServer(_)))
            .then(|| serde_json::from_slice::<wire::KubernetesStatus>(&body).ok())
            .flatten()
            .map(|status| one_line(&status.message));
        Self {
            status,
            base: endpoint.base.clone(),
            logged_in: !matches!(endpoint.login, Login::Nobody),
            html: declared_html || begins_as_html,
            body,
            errors,
            api_server,
        }
    }

    /// Flink's own words, if this is an error of Flink's.
    pub(super) fn flink_error(&self) -> Option<&str> {
        self.errors.as_deref()
    }

    /// What a successful answer holds.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        if self.html || !matches!(self.status, 200 | 202) {
            return Err(self.fault());
        }
        serde_json::from_slice(&self.body).map_err(|wrong| {
            let base = &self.base;
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
            text: format!("{}: {}", self.base, self.what()),
            hint: hint.map(str::to_owned),
        }
    }

    fn what(&self) -> String {
        let status = self.status;
        if let Some(said) = &self.api_server {
            return format!("the Kubernetes API server says: {said} (status {status})");
        }
        match (&self.errors, self.html) {
            (Some(errors), _) => format!("{} (status {status})", failure::message(errors)),
            (None, true) => match title(&self.body) {
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
            200..=299 if self.html => (
                FaultKind::Transient,
                Some("a login page, or a notice of a proxy? check `url:` and `auth:`"),
            ),
            300..=399 => (
                FaultKind::Permanent,
                Some(
                    "Lowtide follows no redirects: is this a login page? else write the final address as `url:`",
                ),
            ),
            401 | 403 if self.logged_in => (
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

/// The title of an HTML page, for people.
fn title(page: &[u8]) -> Option<String> {
    /// Titles stand near the beginning.
    const HEAD_BYTES: usize = 4_096;
    let head = String::from_utf8_lossy(&page[..page.len().min(HEAD_BYTES)]);
    let (_, rest) = head.split_once("<title>")?;
    let (title, _) = rest.split_once("</title>")?;
    let title = one_line(title);
    (!title.is_empty()).then_some(title)
}
