//! A faulty reverse proxy in front of the real server.
//!
//! Lost replies, HTML error pages and delays are what networks and proxies do, not Flink: so tests keep the
//! real Flink and put this in between. Rules are set while it runs; each decides what happens to the
//! requests it matches, and may call the test's own code at an exact moment (to kill a process between a
//! request's arrival and its reply, for instance). Everything that passes is recorded.
//!
//! One thread per connection, HTTP/1.1 only: a rule or a hook may block as long as it likes.

mod gate;
mod rule;
mod serve;
mod tls;

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use rustls::ServerConfig;

pub use gate::Gate;
pub use rule::{Reply, Request, Rule};
pub use tls::{Authority, Identity};

/// What a proxy is to be like; made by [`Proxy::builder`].
#[derive(Debug)]
pub struct Builder {
    upstream: String,
    base_path: String,
    authorization: Option<String>,
    tls: Option<Arc<ServerConfig>>,
    signed: bool,
}

impl Builder {
    /// Forwards `Host` and `Authorization` as they came: requests to S3 are signed, for the address that the
    /// client knows.
    #[must_use]
    pub fn signed(mut self) -> Self {
        self.signed = true;
        self
    }

    /// Serves below this prefix (`/flink`), which is taken off before forwarding; anything else is 404.
    #[must_use]
    pub fn base_path(mut self, prefix: &str) -> Self {
        prefix.trim_end_matches('/').clone_into(&mut self.base_path);
        self
    }

    /// Answers 401 to all who do not send these credentials.
    #[must_use]
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        self.authorization = Some(format!("Basic {pair}"));
        self
    }

    /// Answers 401 to all who do not send this token.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.authorization = Some(format!("Bearer {token}"));
        self
    }

    /// Serves HTTPS with a certificate of `authority`, for `127.0.0.1` and `localhost`.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub fn tls(mut self, authority: &Authority) -> Result<Self> {
        self.tls = Some(Arc::new(authority.server(false)?));
        Ok(self)
    }

    /// As [`Builder::tls`], and only clients with a certificate of the same authority get in.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub fn mutual_tls(mut self, authority: &Authority) -> Result<Self> {
        self.tls = Some(Arc::new(authority.server(true)?));
        Ok(self)
    }

    /// Starts it on a free loopback port.
    ///
    /// # Errors
    /// No port is free, or `upstream` is not `http://HOST:PORT`.
    pub fn start(self) -> Result<Proxy> {
        let upstream = self.upstream.strip_prefix("http://").map(str::to_owned);
        let upstream = upstream.ok_or_else(|| anyhow!("not http: {}", self.upstream))?;
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on loopback")?;
        let address = listener.local_addr()?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}{}", self.base_path);
        let shared = Arc::new(Shared {
            upstream,
            base_path: self.base_path,
            authorization: self.authorization,
            tls: self.tls,
            signed: self.signed,
            rules: Mutex::new(Vec::new()),
            seen: Mutex::new(Vec::new()),
            connections: Mutex::new(BTreeMap::new()),
            stopped: AtomicBool::new(false),
        });
        let accepts = Arc::clone(&shared);
        let accepting = thread::Builder::new()
            .name("proxy".into())
            .spawn(move || serve::accept(&listener, &accepts))?;
        Ok(Proxy {
            url,
            address,
            accepting: Some(accepting),
            shared,
        })
    }
}

/// A running proxy; when it is dropped it stops listening and cuts all connections.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// One request that reached the proxy.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it had arrived.
    pub at: Instant,
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query as the server sees them: without the base path.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
    /// The `Authorization` header it came with.
    pub authorization: Option<String>,
    /// Whether it was sent on to the server.
    pub forwarded: bool,
    /// The status the client was given; `None` while it waits, and for ever where it was given none.
    pub status: Option<u16>,
    /// From its arrival to its answer, or to the cut connection.
    pub took: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    base_path: String,
    authorization: Option<String>,
    tls: Option<Arc<ServerConfig>>,
    signed: bool,
    rules: Mutex<Vec<rule::Active>>,
    seen: Mutex<Vec<Seen>>,
    connections: Mutex<BTreeMap<SocketAddr, TcpStream>>,
    stopped: AtomicBool,
}

impl Proxy {
    /// What a proxy in front of `upstream` (`http://127.0.0.1:PORT`) is to be like.
    pub fn builder(upstream: &str) -> Builder {
        Builder {
            upstream: upstream.trim_end_matches('/').to_owned(),
            base_path: String::new(),
            authorization: None,
            tls: None,
            signed: false,
        }
    }

    /// Starts a plain one.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub fn start(upstream: &str) -> Result<Self> {
        Self::builder(upstream).start()
    }

    /// Its address, with the base path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Adds a rule. Of several that match a request, the one added first wins, until it is used up.
    pub fn rule(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule.into_active());
    }

    /// Removes all rules: everything passes.
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// How many requests of `method` to a path that [`Rule::on`] would match by `pattern` came so far.
    pub fn count(&self, method: &str, pattern: &str) -> usize {
        let seen = lock(&self.shared.seen);
        seen.iter()
            .filter(|it| it.method == method && rule::matches(pattern, &it.path))
            .count()
    }

    /// Forgets all requests so far.
    pub fn forget(&self) {
        lock(&self.shared.seen).clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; where that fails it has ended already. When it has, nobody listens.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
        for connection in lock(&self.shared.connections).values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A hook that panicked has said so on stderr; what it held is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
