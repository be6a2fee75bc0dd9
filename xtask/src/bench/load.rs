//! The load generator: the requests of `lowtide run` on Ververica Platform, and nothing else.
//!
//! No catalog, no verification, no decisions, every request as soon as those that it depends on are answered and
//! it is its turn among those on their way.
//! It knows how long a savepoint takes and asks for the first time right then, which no real client can. It is
//! a process of its own, as Lowtide is, so that both pay for starting.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::JoinSet;

/// Requests at once to Ververica Platform: more are no quicker, as each is a connection to be made.
const AT_ONCE: usize = 16;
/// Between two questions about a savepoint that should be complete.
const ASK_EVERY: Duration = Duration::from_millis(2);

/// What to do; where the servers are comes from the environment, as for the scripts.
#[derive(Debug, Args)]
pub struct Order {
    /// The names, one a line
    #[arg(long)]
    names: PathBuf,
    /// List pods once, or ask Ververica Platform for each name
    #[arg(long, value_parser = ["pods", "api"])]
    resolve: String,
    /// How long a savepoint takes
    #[arg(long)]
    takes_ms: u64,
    #[arg(long, env = "VVP_URL")]
    vvp_url: String,
    #[arg(long, env = "VVP_TOKEN", hide_env_values = true)]
    vvp_token: Secret,
    #[arg(long, env = "KUBE_URL")]
    kube_url: String,
    #[arg(long, env = "KUBE_CA")]
    kube_ca: PathBuf,
    #[arg(long, env = "KUBE_TOKEN", hide_env_values = true)]
    kube_token: Secret,
    #[arg(long, env = "KUBE_NAMESPACE")]
    kube_namespace: String,
}

/// A token, never shown.
#[derive(Clone)]
struct Secret(String);

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Takes a savepoint of each name, all at once.
pub fn run(order: &Order) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start")?;
    runtime.block_on(all(order))?;
    Ok(true)
}

async fn all(order: &Order) -> Result<()> {
    let names = fs::read_to_string(&order.names).context("read the names")?;
    let servers = Arc::new(Servers::new(order)?);
    let mut takes = JoinSet::new();
    for name in names.lines() {
        let (servers, name) = (Arc::clone(&servers), name.to_owned());
        takes.spawn(async move {
            let taken = take(&servers, &name).await;
            taken.with_context(|| name)
        });
    }
    while let Some(taken) = takes.join_next().await {
        taken.context("a task panicked")??;
    }
    Ok(())
}

async fn take(servers: &Servers, name: &str) -> Result<()> {
    let id = servers.resolve(name).await?;
    let deployment = format!("/deployments/{id}");
    let savepoints = format!("/savepoints?deploymentId={id}");
    tokio::try_join!(servers.get(&deployment), servers.get(&savepoints))?;
    let made = servers.make_savepoint(&id).await?;
    let savepoint = made["metadata"]["id"].as_str().context("no id")?;
    tokio::time::sleep(servers.takes).await;
    loop {
        let shown = servers.get(&format!("/savepoints/{savepoint}")).await?;
        match shown["status"]["state"].as_str() {
            Some("COMPLETED") => return Ok(()),
            Some("STARTED") => tokio::time::sleep(ASK_EVERY).await,
            other => bail!("the savepoint is {other:?}"),
        }
    }
}

/// Both servers.
struct Servers {
    http: reqwest::Client,
    /// Of the one namespace of Ververica Platform.
    vvp: String,
    vvp_token: Secret,
    takes: Duration,
    turns: Semaphore,
    pods: Option<Pods>,
}

/// The pods, listed once.
struct Pods {
    http: reqwest::Client,
    url: String,
    token: Secret,
    list: OnceCell<Value>,
}

impl Servers {
    fn new(order: &Order) -> Result<Self> {
        // Said once for the process, before a client is made. It fails if somebody was faster, who then chose
        // the same: there is no other.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let pods = (order.resolve == "pods").then(|| Pods::new(order));
        Ok(Self {
            http: plain()?,
            vvp: format!("{}/api/v1/namespaces/default", order.vvp_url),
            vvp_token: order.vvp_token.clone(),
            takes: Duration::from_millis(order.takes_ms),
            turns: Semaphore::new(AT_ONCE),
            pods: pods.transpose()?,
        })
    }

    async fn resolve(&self, name: &str) -> Result<String> {
        // A label may be a slug of another name: what the deployment is really called is asked.
        let key = match &self.pods {
            Some(pods) => pods.resolve(name).await?,
            None => name.to_owned(),
        };
        let deployment = self.get(&format!("/deployments/{key}")).await?;
        let id = deployment["metadata"]["id"].as_str();
        id.map(str::to_owned).context("no id")
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let request = self.http.get(format!("{}{path}", self.vvp));
        self.answer(request).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let _turn = self.turns.acquire().await?;
        answer(request, &self.vvp_token).await
    }

    async fn make_savepoint(&self, deployment: &str) -> Result<Value> {
        let body = json!({
            "kind": "Savepoint",
            "apiVersion": "v1",
            "metadata": { "deploymentId": deployment, "namespace": "default" },
        });
        let request = self
            .http
            .post(format!("{}/savepoints", self.vvp))
            .json(&body);
        self.answer(request).await
    }
}

impl Pods {
    fn new(order: &Order) -> Result<Self> {
        let authority = fs::read(&order.kube_ca).context("read the authority")?;
        let authority = reqwest::Certificate::from_pem(&authority).context("read the authority")?;
        let http = reqwest::Client::builder()
            .tls_certs_only([authority])
            .no_proxy()
            .build()
            .context("make a client")?;
        Ok(Self {
            http,
            url: format!(
                "{}/api/v1/namespaces/{}/pods?limit=500&labelSelector=system%3Dververica-platform%2Capp%3Dflink-job%2CvvpNamespace%3Ddefault",
                order.kube_url, order.kube_namespace
            ),
            token: order.kube_token.clone(),
            list: OnceCell::new(),
        })
    }

    async fn resolve(&self, name: &str) -> Result<String> {
        let list = self.list.get_or_try_init(|| self.ask()).await?;
        let found = (list["items"].as_array().into_iter().flatten())
            .map(|pod| &pod["metadata"]["labels"])
            .find(|labels| labels["deploymentName"] == name)
            .and_then(|labels| labels["deploymentId"].as_str());
        found.map(str::to_owned).context("no pod")
    }

    /// The first page; there are fewer pods than fit on it.
    async fn ask(&self) -> Result<Value> {
        // Metadata alone, as Lowtide asks.
        let metadata =
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json";
        let request = self.http.get(&self.url).header("Accept", metadata);
        answer(request, &self.token).await
    }
}

fn plain() -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder().no_proxy();
    // Plain HTTP needs no roots, and reading the system's takes time.
    builder.tls_certs_only([]).build().context("make a client")
}

async fn answer(request: reqwest::RequestBuilder, token: &Secret) -> Result<Value> {
    let answer = request.bearer_auth(&token.0).send().await?;
    Ok(answer.error_for_status()?.json().await?)
}
