//! A small blocking client of the API server, so that tests need no kubectl and see the cluster with other
//! eyes than the client under test. One connection a request, unless told otherwise.

use std::fs;
use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::proxy::Identity;
use crate::wire::{self, Kind, Message};

/// The API server's own limit on requests that are no watches.
const TIMEOUT: Duration = Duration::from_mins(1);

/// What server-side apply books our fields under.
const FIELD_MANAGER: &str = "lowtide-testbench";

/// The API server, as one user sees it.
#[derive(Clone)]
pub struct Api {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    token: Option<String>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// The API server at `address`, whose certificate `authority_pem` has signed, for the holder of a
    /// certificate.
    pub(super) fn new(
        address: SocketAddr,
        authority_pem: &str,
        identity: &Identity,
    ) -> Result<Self> {
        let builder = trusting(authority_pem)?;
        let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes())
            .map_err(|_| anyhow!("the client certificate is no PEM"))?;
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
            .map_err(|_| anyhow!("the client key is no PEM"))?;
        let tls = builder.with_client_auth_cert(vec![certificate], key)?;
        Ok(Self {
            address,
            tls: Arc::new(tls),
            token: None,
        })
    }

    /// The same for the bearer of a token.
    pub(super) fn with_token(
        address: SocketAddr,
        authority_pem: &str,
        token: String,
    ) -> Result<Self> {
        Ok(Self {
            address,
            tls: Arc::new(trusting(authority_pem)?.with_no_client_auth()),
            token: Some(token),
        })
    }

    /// What a kubeconfig that a [`super::Node`] wrote leads to.
    ///
    /// # Errors
    /// It cannot be read, or is not one of ours.
    pub fn from_kubeconfig(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let whole: Value = serde_json::from_slice(&text)
            .map_err(|_| anyhow!("{} is not one of ours", path.display()))?;
        let field = |pointer: &str| {
            let value = whole.pointer(pointer).and_then(Value::as_str);
            value.ok_or_else(|| anyhow!("no {pointer} in {}", path.display()))
        };
        let pem = |pointer: &str| -> Result<String> {
            Ok(String::from_utf8(STANDARD.decode(field(pointer)?)?)?)
        };
        let server = field("/clusters/0/cluster/server")?;
        let address = server.trim_start_matches("https://").parse()?;
        let authority_pem = pem("/clusters/0/cluster/certificate-authority-data")?;
        if let Ok(token) = field("/users/0/user/token") {
            return Self::with_token(address, &authority_pem, token.to_owned());
        }
        let identity = Identity {
            certificate_pem: pem("/users/0/user/client-certificate-data")?,
            key_pem: pem("/users/0/user/client-key-data")?,
        };
        Self::new(address, &authority_pem, &identity)
    }

    /// Sends one request and returns status and body. A body that is no JSON (`/readyz`, a pod's log) comes as
    /// a JSON string.
    ///
    /// # Errors
    /// Nobody listens, or the connection breaks. A status such as 404 is no error.
    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        self.send_as(method, path, "application/json", body)
    }

    /// [`Api::send`] with a content type of its own: a PATCH needs one.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub fn send_as(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let (status, body) = self.exchange(method, path, content_type, body)?;
        Ok((status, value(&body)))
    }

    /// The body of a GET that must succeed, as it is: a pod's log.
    ///
    /// # Errors
    /// As [`Api::done`].
    pub fn text(&self, path: &str) -> Result<String> {
        let (status, body) = self.exchange("GET", path, "application/json", None)?;
        let text = String::from_utf8_lossy(&body).into_owned();
        ensure!(status == 200, "GET {path}: status {status}: {text}");
        Ok(text)
    }

    /// The body of a request that must succeed.
    ///
    /// # Errors
    /// As [`Api::send`]; a status other than 2xx, with what the server says.
    pub fn done(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        good(method, path, self.send(method, path, body)?)
    }

    /// GET.
    ///
    /// # Errors
    /// As [`Api::done`].
    pub fn get(&self, path: &str) -> Result<Value> {
        self.done("GET", path, None)
    }

    /// Server-side apply of one object, which must name its `apiVersion`, `kind` and `metadata.name`, and its
    /// namespace where it has one (`default` otherwise). Fields that others own are taken over. Returns the
    /// object.
    ///
    /// # Errors
    /// As [`Api::done`]; the server knows no such kind.
    pub fn apply(&self, object: &Value) -> Result<Value> {
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&force=true",
            self.path_of(object)?
        );
        let answer = self.send_as("PATCH", &path, "application/apply-patch+yaml", Some(object))?;
        good("apply", &path, answer)
    }

    /// The path of an object, as the server's own discovery has it.
    ///
    /// # Errors
    /// As [`Api::done`]; the server knows no such kind, or the object names none.
    pub fn path_of(&self, object: &Value) -> Result<String> {
        let text = |value: &Value, what: &str| {
            let text = value.as_str().map(str::to_owned);
            text.ok_or_else(|| anyhow!("no {what} in {object}"))
        };
        let version = text(&object["apiVersion"], "apiVersion")?;
        let kind = text(&object["kind"], "kind")?;
        let name = text(&object["metadata"]["name"], "metadata.name")?;
        let root = if version.contains('/') {
            format!("/apis/{version}")
        } else {
            format!("/api/{version}")
        };
        let known = self.get(&root)?;
        let resources = known["resources"].as_array().into_iter().flatten();
        let Some(resource) = resources.into_iter().find(|it| {
            it["kind"] == kind.as_str() && !it["name"].as_str().unwrap_or("/").contains('/')
        }) else {
            bail!("the API server knows no {kind} in {version}");
        };
        let plural = text(&resource["name"], "name")?;
        Ok(if resource["namespaced"] == true {
            let namespace = object["metadata"]["namespace"]
                .as_str()
                .unwrap_or("default");
            format!("{root}/namespaces/{namespace}/{plural}/{name}")
        } else {
            format!("{root}/{plural}/{name}")
        })
    }

    /// A connection for many requests, one after another: a tenth of the time where thousands of objects are to
    /// be made.
    ///
    /// # Errors
    /// Nobody listens. Certificates are looked at with the first request.
    pub fn connection(&self) -> Result<Connection> {
        let stream = TcpStream::connect(self.address)
            .with_context(|| format!("connect to {}", self.address))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let session = ClientConnection::new(Arc::clone(&self.tls), name)?;
        let mut headers = vec![("Host".to_owned(), self.address.to_string())];
        if let Some(token) = &self.token {
            headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        Ok(Connection {
            stream: BufReader::new(StreamOwned::new(session, stream)),
            headers,
        })
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Vec<u8>)> {
        let mut connection = self.connection()?;
        let close = ("Connection".to_owned(), "close".to_owned());
        connection.headers.push(close);
        connection.exchange(method, path, content_type, body)
    }
}

/// One open connection to the API server. After an error it is of no more use.
pub struct Connection {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    /// Those of every request; among them the token.
    headers: Vec<(String, String)>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// As [`Api::send`].
    ///
    /// # Errors
    /// The connection breaks. A status such as 404 is no error.
    pub fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let (status, body) = self.exchange(method, path, "application/json", body)?;
        Ok((status, value(&body)))
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Vec<u8>)> {
        let mut headers = self.headers.clone();
        headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        let request = Message {
            first: format!("{method} {path} HTTP/1.1"),
            headers,
            body: body.map_or_else(Vec::new, |it| it.to_string().into_bytes()),
        };
        let what = || format!("{method} {path}");
        wire::write(self.stream.get_mut(), &request).with_context(what)?;
        let answer = wire::read(&mut self.stream, Kind::Answer)
            .with_context(what)?
            .ok_or_else(|| anyhow!("{method} {path}: the connection was closed"))?;
        let status = answer.word(1).parse();
        let status = status.with_context(|| format!("status {:?}", answer.first))?;
        Ok((status, answer.body))
    }
}

/// JSON, or where it is none a JSON string.
fn value(body: &[u8]) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

fn trusting(
    authority_pem: &str,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority_pem.as_bytes())
        .map_err(|_| anyhow!("the authority's certificate is no PEM"))?;
    roots.add(authority)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

fn good(method: &str, path: &str, (status, body): (u16, Value)) -> Result<Value> {
    ensure!(
        (200..300).contains(&status),
        "{method} {path}: status {status}: {}",
        body["message"].as_str().unwrap_or(&body.to_string())
    );
    Ok(body)
}
