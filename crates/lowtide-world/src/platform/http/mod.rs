//! One request, one answer, and what kind of trouble lies between; for every platform that speaks
//! HTTP. What an answer means is the platform's own to say.
//!
//! Nothing is sent twice from here and no redirect is followed: whether a request may be made
//! again is the core's to decide. `HTTP/1.1` only, because a connection that carries one request
//! at a time leaves no doubt which request a cut connection cut.

mod settings;
mod tls;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use lowtide_core::fault::Fault;
use reqwest::{Method, RequestBuilder, header, redirect, retry};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use url::Url;

use crate::chain::causes;
use crate::kubernetes::{self, ServiceProxy};
use crate::text::one_line;
pub(super) use settings::redacted;
pub use settings::{Auth, Connection, SettingsError, TIMEOUT};

/// Questions on their way to one platform at once, as long as it is quick. When hundreds of savepoints
/// are due, a connection for each costs both sides more than the requests; over these, a platform
/// that answers within a millisecond is asked thousands of times a second.
const QUESTIONS_AT_ONCE: usize = 12;
/// The same of requests that act. They do not queue behind the questions of runs that are not as far: what was asked
/// for first can then be waited for, and read, while others are still asked for.
const ACTS_AT_ONCE: usize = 4;
/// How long a request waits for its turn among those. A platform that is slow, or hangs, is asked more at
/// once instead: what one request waits for must not hold the others up.
const TURN_MAX: Duration = Duration::from_millis(500);
/// How long to wait for a connection. Together with [`TURN_MAX`] and `DELIVERY_TIMEOUT` no more than what
/// must be left of an owner's claim when a call is granted (10 s): a request must not arrive when somebody
/// else owns the run.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the kernel goes on sending what is not acknowledged (`TCP_USER_TIMEOUT`); by default
/// it would for a quarter of an hour, even after the connection was given up here.
#[cfg(target_os = "linux")]
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for the answer to a request for a savepoint. It must stay below
/// [`REPEAT_MARGIN`](lowtide_core::run::REPEAT_MARGIN), within which a repeated request has to
/// arrive, and leave some of it for the commit between the decision to repeat and the request.
pub(super) const POST_TIMEOUT_MAX: Duration = Duration::from_secs(19);

/// What people call who answers at an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// Who it is.
    pub(super) name: &'static str,
    /// One of them, that stops.
    pub(super) one: &'static str,
    /// What the log calls it.
    pub(super) short: &'static str,
}

/// A platform's address, with a client that keeps connections to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    peer: Peer,
    /// Without a password and without a slash at its end, for messages.
    base: String,
    /// The same, read once: read for each request, it took a twentieth of the processor time of two hundred savepoints.
    url: Url,
    login: Login,
    client: reqwest::Client,
    timeout: Duration,
    questions: Semaphore,
    acts: Semaphore,
}

/// The TLS configuration of who is no platform: the system's roots, and those in a file.
pub(crate) fn tls_of(ca: Option<&Path>) -> Result<rustls::ClientConfig, SettingsError> {
    tls::trusting(ca, None)
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
    pub(super) fn new(connection: &Connection, peer: Peer) -> Result<Self, SettingsError> {
        let (url, auth) = connection.address()?;
        let tls = tls::config(connection)?;
        Self::build(
            reqwest::Client::builder().tls_backend_preconfigured(tls),
            url,
            auth.map_or(Login::Nobody, Login::Fixed),
            connection.timeout,
            peer,
        )
    }

    /// An endpoint behind the API server's proxy. The proxy variables of the environment do not
    /// concern it, as they do not concern any request to the API server.
    pub(super) fn through(
        proxy: ServiceProxy,
        timeout: Duration,
        peer: Peer,
    ) -> Result<Self, SettingsError> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(proxy.tls)
            .no_proxy();
        let login = Login::ApiServer(proxy.login);
        let url = Url::parse(&proxy.base).map_err(|_| SettingsError::Scheme(proxy.base))?;
        Self::build(builder, url, login, timeout, peer)
    }

    fn build(
        builder: reqwest::ClientBuilder,
        url: Url,
        login: Login,
        timeout: Duration,
        peer: Peer,
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
            peer,
            base: url.as_str().trim_end_matches('/').to_owned(),
            url,
            login,
            client,
            timeout,
            questions: Semaphore::new(QUESTIONS_AT_ONCE),
            acts: Semaphore::new(ACTS_AT_ONCE),
        })
    }

    pub(super) async fn get(&self, path: &str, bytes_max: usize) -> Result<Answer, Fault> {
        let request = self.request(Method::GET, path).await?.timeout(self.timeout);
        let _turn = turn(&self.questions).await;
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
        self.act(request, path, timeout, bytes_max).await
    }

    pub(super) async fn patch(
        &self,
        path: &str,
        body: &impl Serialize,
        bytes_max: usize,
    ) -> Result<Answer, Fault> {
        let request = self.request(Method::PATCH, path).await?.json(body);
        let request = request.timeout(self.timeout);
        Ok(self.act(request, path, self.timeout, bytes_max).await?)
    }

    pub(super) async fn delete(&self, path: &str, bytes_max: usize) -> Result<Answer, Fault> {
        let request = self.request(Method::DELETE, path).await?;
        let request = request.timeout(self.timeout);
        Ok(self.act(request, path, self.timeout, bytes_max).await?)
    }

    async fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Fault> {
        let request = self.client.request(method, self.at(path));
        Ok(match &self.login {
            Login::Nobody => request,
            Login::Fixed(Auth::Basic { user, password }) => {
                request.basic_auth(user, Some(password.expose_secret()))
            }
            Login::Fixed(Auth::Bearer(token)) => request.bearer_auth(token.expose_secret()),
            Login::ApiServer(login) => request.headers(login.headers().await?),
        })
    }

    /// The address of a path, which begins with a slash and may have a query.
    fn at(&self, path: &str) -> Url {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        url.set_query(query);
        url
    }

    async fn act(
        &self,
        request: RequestBuilder,
        path: &str,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Answer, Trouble> {
        let _turn = turn(&self.acts).await;
        self.send(request, path, timeout, bytes_max).await
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
            "asked {}",
            self.peer.short
        );
        Ok(Answer {
            status,
            base: self.base.clone(),
            login: match self.login {
                Login::Nobody => LoginKind::Nobody,
                Login::Fixed(_) => LoginKind::Fixed,
                Login::ApiServer(_) => LoginKind::ApiServer,
            },
            html: declared_html || body.trim_ascii_start().starts_with(b"<"),
            body,
        })
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
            return Fault::transient(format!("{base}: the connection was refused")).hint(format!(
                "is {} running, and is the port right?",
                self.peer.name
            ));
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
        .hint(format!("is `url:` right, `http://` or `https://` too? a proxy, a firewall or {} that stops also cuts connections", self.peer.one))
    }
}

/// Waits for a turn, which lasts until the answer is there; `None` after [`TURN_MAX`].
async fn turn(turns: &Semaphore) -> Option<SemaphorePermit<'_>> {
    let turn = timeout(TURN_MAX, turns.acquire()).await;
    turn.ok().and_then(Result::ok)
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

/// How the request logged in that an answer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginKind {
    /// Not at all.
    Nobody,
    /// With what the configuration says.
    Fixed,
    /// To the Kubernetes API server that passed it on.
    ApiServer,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Where from, for messages.
    pub(super) base: String,
    pub(super) login: LoginKind,
    /// Whether it is a web page, said to be one or not.
    pub(super) html: bool,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The title of a web page, for people.
    pub(super) fn title(&self) -> Option<String> {
        /// Titles stand near the beginning.
        const HEAD_BYTES: usize = 4_096;
        let head = String::from_utf8_lossy(&self.body[..self.body.len().min(HEAD_BYTES)]);
        let (_, rest) = head.split_once("<title>")?;
        let (title, _) = rest.split_once("</title>")?;
        let title = one_line(title);
        (!title.is_empty()).then_some(title)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use lowtide_core::run::{CALL_WITHIN, REPEAT_MARGIN};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinSet;

    use super::*;

    const ME: Peer = Peer {
        name: "a test",
        one: "a test",
        short: "a test",
    };

    #[test]
    fn a_path_is_below_the_base_with_its_query_and_its_escapes() {
        let at = |base: &str, path: &str| {
            let connection = Connection::new(base.parse().unwrap());
            Endpoint::new(&connection, ME).unwrap().at(path).to_string()
        };
        for base in ["http://host:8081", "http://host:8081/"] {
            assert_eq!(at(base, "/jobs"), "http://host:8081/jobs");
        }
        assert_eq!(
            at("https://host/a/b/", "/s%2Fx/c%20d?deploymentId=e&f=%26"),
            "https://host/a/b/s%2Fx/c%20d?deploymentId=e&f=%26"
        );
    }

    #[test]
    fn a_repeated_request_arrives_within_its_margin() {
        let margin = Duration::try_from(REPEAT_MARGIN).unwrap();
        let commit = Duration::from_secs(10);
        assert!(POST_TIMEOUT_MAX + TURN_MAX + commit <= margin);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_request_that_is_granted_arrives_while_the_run_is_owned() {
        let within = Duration::try_from(CALL_WITHIN).unwrap();
        assert!(TURN_MAX + CONNECT_TIMEOUT + DELIVERY_TIMEOUT <= within);
    }

    /// A server, and how many connections were made to it.
    async fn server(answers: bool) -> (Arc<Endpoint>, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connection = Connection::new(url.parse().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let made = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                made.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, answers));
            }
        });
        let endpoint = Endpoint::new(&connection, ME).unwrap();
        (Arc::new(endpoint), connections)
    }

    async fn serve(mut stream: TcpStream, answers: bool) {
        let mut request = [0; 4_096];
        // The requests have no body, and a connection carries one at a time.
        while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
            if answers {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(answer).await.unwrap();
            }
        }
    }

    fn ask(endpoint: &Arc<Endpoint>, count: usize) -> JoinSet<Result<Answer, Fault>> {
        (0..count)
            .map(|_| {
                let endpoint = Arc::clone(endpoint);
                async move { endpoint.get("/", 2).await }
            })
            .collect()
    }

    #[tokio::test]
    async fn many_requests_share_few_connections() {
        let (endpoint, connections) = server(true).await;
        for answer in ask(&endpoint, 20 * QUESTIONS_AT_ONCE).join_all().await {
            assert_eq!(answer.unwrap().status, 200);
        }
        assert!(connections.load(Ordering::Relaxed) <= QUESTIONS_AT_ONCE);
    }

    #[tokio::test]
    async fn who_acts_does_not_queue_behind_questions() {
        let (endpoint, _) = server(false).await;
        let asking = ask(&endpoint, 3 * QUESTIONS_AT_ONCE);
        while endpoint.questions.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(endpoint.acts.available_permits(), ACTS_AT_ONCE);
        drop(asking);
    }

    /// All of them are on their way in the end, whatever becomes of those before them.
    #[tokio::test]
    async fn a_platform_that_hangs_holds_no_request_up() {
        let (endpoint, connections) = server(false).await;
        let asking = ask(&endpoint, 3 * QUESTIONS_AT_ONCE);
        while connections.load(Ordering::Relaxed) < 3 * QUESTIONS_AT_ONCE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(asking);
    }
}
