//! A real S3 server: `MinIO`, built once from its Go module and kept in the cache.
//!
//! `MinIO` is a program that tests start (it is under the AGPL); nothing of it is linked or shipped. Servers
//! that map objects to files of the same name do not do: Flink's S3 client deletes the marker objects of
//! parent directories, which such a server refuses.
//!
//! Objects are put and looked at here by `OpenDAL`, as by Lowtide itself; that what it does is right, Flink's
//! own client proves, which writes and reads the same buckets.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use opendal::{HttpTransporter, OperationContext, Operator, services};
use opendal_http_transport_reqwest::ReqwestTransport;
use tokio::runtime::Runtime;

use crate::go::Go;
use crate::port::Port;
use crate::process;
use crate::server::{Place, Server};
use crate::{cache, say};

const PACKAGE: &str = "github.com/minio/minio";
const VERSION: &str = "v0.0.0-20260212201848-7aac2a2c5b7c";

/// The access key of the server; its own, and no secret.
pub const ACCESS_KEY: &str = "testbench";
/// The secret key of the server.
pub const SECRET_KEY: &str = "testbench-secret";
/// The region it says it is in.
pub const REGION: &str = "us-east-1";

/// Says 200 once objects, buckets and users are loaded (`ClusterCheckHandler`); `/minio/health/ready` says so
/// as soon as the server listens.
const READY: &str = "/minio/health/cluster";
/// What it keeps, in its folder.
const DATA: &str = "data";
/// Requests under way at once, where many objects are made.
const AT_ONCE: usize = 24;

/// A running server on loopback; when it is dropped it is killed, and its files are removed.
#[derive(Debug)]
pub struct S3Server {
    server: Server,
    runtime: Runtime,
    _console: Port,
}

impl S3Server {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// It is not in the cache and cannot be built (no Go, no network), or does not answer in time.
    pub fn start() -> Result<Self> {
        let program = program()?;
        say::step("starting an S3 server");
        let (place, console) = (Place::new("lowtide-s3-")?, Port::reserve()?);
        let folder = place.folder();
        fs::create_dir(folder.join(DATA))?;
        let mut command = process::bound(program);
        command.args(["server", "--quiet"]).arg(folder.join(DATA));
        command.args(["--address", &place.address()]);
        command.args([
            "--console-address",
            &format!("127.0.0.1:{}", console.number()),
        ]);
        command.arg("--certs-dir").arg(folder.join("certs"));
        command
            .env("MINIO_ROOT_USER", ACCESS_KEY)
            .env("MINIO_ROOT_PASSWORD", SECRET_KEY)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            .env("HOME", folder);
        let is_ready = |status| status == 200;
        Ok(Self {
            server: Server::start(place, command, READY, is_ready)?,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?,
            _console: console,
        })
    }

    /// Its address: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Makes a bucket: the server takes each folder of its drive for one.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn create_bucket(&self, name: &str) -> Result<()> {
        let folder = self.server.folder().join(DATA).join(name);
        fs::create_dir(&folder).with_context(|| format!("create {}", folder.display()))
    }

    /// Puts an object, or replaces it.
    ///
    /// # Errors
    /// The server refuses.
    pub fn put(&self, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<()> {
        let operator = self.operator(bucket)?;
        let putting = operator.write(key, bytes);
        self.runtime
            .block_on(putting)
            .map(drop)
            .with_context(|| format!("put {key}"))
    }

    /// Puts many small objects.
    ///
    /// # Errors
    /// The server refuses one.
    pub fn put_all(&self, bucket: &str, objects: Vec<(String, Vec<u8>)>) -> Result<()> {
        let operator = self.operator(bucket)?;
        let putting = stream::iter(objects)
            .map(|(key, bytes)| {
                let operator = operator.clone();
                async move { operator.write(&key, bytes).await }
            })
            .buffer_unordered(AT_ONCE)
            .try_for_each(|_| async { Ok(()) });
        self.runtime.block_on(putting).context("put objects")
    }

    /// Puts an object of `count` times `chunk`, never holding more than some of them.
    ///
    /// # Errors
    /// The server refuses.
    pub fn put_large(&self, bucket: &str, key: &str, chunk: &[u8], count: usize) -> Result<()> {
        let operator = self.operator(bucket)?;
        let putting = async {
            let mut writer = operator.writer(key).await?;
            for _ in 0..count {
                writer.write(chunk.to_vec()).await?;
            }
            writer.close().await
        };
        self.runtime
            .block_on(putting)
            .map(drop)
            .with_context(|| format!("put {key}"))
    }

    /// The bytes of an object.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, bucket: &str, key: &str) -> Result<Vec<u8>> {
        let operator = self.operator(bucket)?;
        let bytes = self.runtime.block_on(operator.read(key));
        Ok(bytes.with_context(|| format!("get {key}"))?.to_vec())
    }

    /// Removes an object.
    ///
    /// # Errors
    /// The server refuses.
    pub fn remove(&self, bucket: &str, key: &str) -> Result<()> {
        let operator = self.operator(bucket)?;
        self.runtime
            .block_on(operator.delete(key))
            .with_context(|| format!("remove {key}"))
    }

    /// The keys of all objects beneath `prefix`, sorted; without markers of directories.
    ///
    /// # Errors
    /// The server refuses.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Result<Vec<String>> {
        let operator = self.operator(bucket)?;
        let listing = operator.list_with(prefix).recursive(true);
        let entries = self
            .runtime
            .block_on(async { listing.await })
            .context("list")?;
        let files = entries
            .into_iter()
            .filter(|entry| entry.metadata().is_file());
        let mut keys: Vec<String> = files.map(|entry| entry.path().to_owned()).collect();
        keys.sort();
        Ok(keys)
    }

    /// Copies all objects beneath `prefix` to the same keys of another bucket.
    ///
    /// # Errors
    /// The server refuses.
    pub fn copy_all(&self, from: &str, prefix: &str, to: &str) -> Result<()> {
        for key in self.keys(from, prefix)? {
            self.put(to, &key, self.get(from, &key)?)?;
        }
        Ok(())
    }

    /// What Flink's S3 plugins are told to reach it.
    pub(crate) fn flink_keys(&self) -> [(String, String); 4] {
        [
            ("s3.endpoint".to_owned(), self.url().to_owned()),
            ("s3.path.style.access".to_owned(), "true".to_owned()),
            ("s3.access-key".to_owned(), ACCESS_KEY.to_owned()),
            ("s3.secret-key".to_owned(), SECRET_KEY.to_owned()),
        ]
    }

    fn operator(&self, bucket: &str) -> Result<Operator> {
        let builder = services::S3::default()
            .bucket(bucket)
            .endpoint(self.url())
            .region(REGION)
            .access_key_id(ACCESS_KEY)
            .secret_access_key(SECRET_KEY)
            .disable_config_load();
        let transport = HttpTransporter::new(ReqwestTransport::new(client()?));
        let context = OperationContext::new().with_http_transport(transport);
        Ok(Operator::new(builder)?.with_context(context))
    }
}

/// Everything goes to loopback over plain HTTP, so no certificate is ever looked at.
fn client() -> Result<reqwest::Client> {
    static TLS: OnceLock<rustls::ClientConfig> = OnceLock::new();
    let tls = TLS.get_or_init(|| {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth()
    });
    let builder = reqwest::Client::builder().no_proxy();
    Ok(builder.tls_backend_preconfigured(tls.clone()).build()?)
}

/// The server's program, from the cache or built into it.
///
/// # Errors
/// It is not in the cache and cannot be built: no Go, no network.
pub fn program() -> Result<PathBuf> {
    let folder = cache::entry(&format!("s3/minio-{VERSION}"), |folder| {
        say::step("building an S3 server (MinIO): once, about two minutes on two cores");
        Go::ensure()?.install(&format!("{PACKAGE}@{VERSION}"), folder)
    })?;
    Ok(folder.join("minio"))
}
