//! Which API server, as whom, and in which namespace.
//!
//! The order is that of what was said most clearly: `kubeconfig` or `context` of the
//! configuration, the variable `KUBECONFIG`, the pod that Lowtide runs in, `~/.kube/config`.
//! (`kubectl` looks for the pod last, too late for a container that has somebody's home mounted.)
//!
//! The proxy variables (`HTTPS_PROXY`) do not concern the API server: inside a cluster none stands
//! between, and outside the kubeconfig has an entry of its own for one (`proxy-url`), which this
//! release cannot follow and says so.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use lowtide_core::fault::Fault;
use tokio::sync::OnceCell;

use super::watch::WATCH_SECONDS;
use crate::text::one_line;

/// Where Kubernetes mounts what a pod needs to log in.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// How long a connection may be silent: longer than a watch on which nothing happens, with the
/// five seconds that it may be late and as much for the network.
const SILENCE_MAX: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);

/// How to reach one Kubernetes cluster. The default is what `kubectl` would do, or the cluster
/// that Lowtide runs in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig, instead of its current one.
    pub context: Option<String>,
    /// Where the objects are; else the context's or the pod's own namespace.
    pub namespace: Option<String>,
}

/// An API server that is connected to when it is first needed.
#[derive(Debug)]
pub struct ApiServer {
    access: Access,
    timeout: Duration,
    connected: OnceCell<Connected>,
}

/// What is known once the kubeconfig has been read.
pub(crate) struct Connected {
    pub(crate) client: Client,
    /// How to reach it by other means than `client`.
    pub(crate) config: Config,
    pub(crate) namespace: String,
    /// Whether Lowtide runs in a pod of this cluster.
    pub(crate) in_cluster: bool,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the config: it holds a login.
        f.debug_struct("Connected")
            .field("url", &self.config.cluster_url)
            .field("namespace", &self.namespace)
            .field("in_cluster", &self.in_cluster)
            .finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Reads nothing and sends nothing yet. `timeout` is for one reading as a whole.
    pub fn new(access: Access, timeout: Duration) -> Self {
        Self {
            access,
            timeout,
            connected: OnceCell::new(),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The client, made from the kubeconfig or the pod's own files at the first call. A failure
    /// is not remembered: a token may be mounted, or a file mended, meanwhile.
    pub(crate) async fn connected(&self) -> Result<&Connected, Fault> {
        self.connected
            .get_or_try_init(|| async { connect(&self.access).await })
            .await
    }
}

async fn connect(access: &Access) -> Result<Connected, Fault> {
    let (mut config, in_cluster) = match kubeconfig(access)? {
        Some(kubeconfig) => (of_kubeconfig(kubeconfig, access).await?, false),
        None => (
            Config::incluster().map_err(|error| not_in_cluster(&error))?,
            true,
        ),
    };
    // The core decides what is tried again.
    config.default_retry = false;
    config.read_timeout = Some(SILENCE_MAX);
    config.reset_reader_on_write = true;
    let namespace = (access.namespace.clone()).unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config.clone()).map_err(|error| no_client(&error))?;
    tracing::debug!(url = %config.cluster_url, namespace, in_cluster, "the Kubernetes API");
    Ok(Connected {
        client,
        config,
        namespace,
        in_cluster,
    })
}

/// The kubeconfig to use; `None` to use the pod's own files.
fn kubeconfig(access: &Access) -> Result<Option<Kubeconfig>, Fault> {
    if let Some(path) = &access.kubeconfig {
        let read = Kubeconfig::read_from(path);
        return read.map(Some).map_err(|error| unreadable(&error));
    }
    let named = env::var_os("KUBECONFIG").is_some_and(|paths| !paths.is_empty());
    if !named && access.context.is_none() && is_in_cluster() {
        return Ok(None);
    }
    Kubeconfig::read().map(Some).map_err(|error| match &error {
        KubeconfigError::FindPath | KubeconfigError::ReadConfig(..) if !named => no_cluster(),
        _ => unreadable(&error),
    })
}

/// As `client-go` decides (`inClusterClientConfig.Possible`).
fn is_in_cluster() -> bool {
    env::var_os("KUBERNETES_SERVICE_HOST").is_some() && Path::new(TOKEN).exists()
}

async fn of_kubeconfig(kubeconfig: Kubeconfig, access: &Access) -> Result<Config, Fault> {
    let contexts: Vec<String> = (kubeconfig.contexts.iter())
        .map(|context| one_line(&context.name))
        .collect();
    let proxied = kubeconfig.clusters.iter().any(|named| {
        let proxy = (named.cluster.as_ref()).and_then(|cluster| cluster.proxy_url.as_deref());
        proxy.is_some_and(|url| !url.is_empty())
    });
    let options = KubeConfigOptions {
        context: access.context.clone(),
        ..KubeConfigOptions::default()
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| no_context(&error, &contexts))?;
    if !proxied {
        // From `HTTPS_PROXY`.
        config.proxy_url = None;
    }
    Ok(config)
}

fn no_context(error: &KubeconfigError, contexts: &[String]) -> Fault {
    let known = match contexts {
        [] => "it has no contexts at all".to_owned(),
        contexts => format!("it has: {}", contexts.join(", ")),
    };
    match error {
        KubeconfigError::LoadContext(name) => Fault::permanent(format!(
            "the kubeconfig has no context `{}`",
            one_line(name)
        ))
        .hint(known),
        KubeconfigError::CurrentContextNotSet => {
            Fault::permanent("the kubeconfig has no current context")
                .hint(format!("name one as `context:`; {known}"))
        }
        _ => unreadable(error),
    }
}

/// Never with the text of a parser, which may show the line that it stumbled over.
fn unreadable(error: &KubeconfigError) -> Fault {
    let hint = "does `kubectl config view` read it, and may Lowtide read the files that it names?";
    let text = match error {
        KubeconfigError::Parse(_) => "the kubeconfig is not YAML of the right form".to_owned(),
        KubeconfigError::ReadConfig(cause, path) => {
            format!("cannot read the kubeconfig {}: {cause}", path.display())
        }
        other => format!("the kubeconfig: {}", one_line(&other.to_string())),
    };
    Fault::permanent(text).hint(hint)
}

fn no_cluster() -> Fault {
    let text = "no Kubernetes cluster: Lowtide does not run in a pod that may log in, and there is no kubeconfig";
    Fault::permanent(text).hint(
        "name a `kubeconfig:`, or set KUBECONFIG; in a pod, `automountServiceAccountToken` must not be false",
    )
}

fn not_in_cluster(error: &InClusterError) -> Fault {
    Fault::permanent(format!(
        "the files that let this pod log in to Kubernetes: {}",
        one_line(&error.to_string())
    ))
    .hint("look at the pod's ServiceAccount, and at `automountServiceAccountToken`")
}

fn no_client(error: &kube::Error) -> Fault {
    let fault = match error {
        kube::Error::ProxyProtocolDisabled { .. }
        | kube::Error::ProxyProtocolUnsupported { .. } => {
            Fault::permanent("the kubeconfig names a `proxy-url`, which Lowtide cannot go through")
        }
        kube::Error::Auth(_) => {
            Fault::permanent("the login that the kubeconfig describes cannot be used")
        }
        other => Fault::permanent(format!(
            "the kubeconfig cannot be used: {}",
            one_line(&other.to_string())
        )),
    };
    fault.hint("try the same with `kubectl`, from where Lowtide runs")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
clusters:
- { name: prod, cluster: { server: "https://prod.invalid:6443" } }
- { name: test, cluster: { server: "https://test.invalid:6443" } }
users:
- { name: ann, user: { token: tops3cret } }
contexts:
- { name: prod, context: { cluster: prod, user: ann } }
- { name: test, context: { cluster: test, user: ann, namespace: flink } }
current-context: prod
"#;

    async fn connected(kubeconfig: &str, context: Option<&str>) -> Result<Connected, Fault> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, kubeconfig).unwrap();
        let access = Access {
            kubeconfig: Some(path),
            context: context.map(str::to_owned),
            namespace: None,
        };
        connect(&access).await
    }

    #[tokio::test]
    async fn the_context_says_which_cluster_and_namespace() {
        let current = connected(KUBECONFIG, None).await.unwrap();
        assert_eq!(current.config.cluster_url.host(), Some("prod.invalid"));
        assert_eq!(current.namespace, "default");
        let selected = connected(KUBECONFIG, Some("test")).await.unwrap();
        assert_eq!(selected.config.cluster_url.host(), Some("test.invalid"));
        assert_eq!(selected.namespace, "flink");
        assert!(!selected.in_cluster);
        assert!(!format!("{selected:?}").contains("tops3cret"));
    }

    #[tokio::test]
    async fn an_unknown_context_is_told_with_those_there_are() {
        let fault = connected(KUBECONFIG, Some("tset")).await.unwrap_err();
        assert_eq!(fault.text, "the kubeconfig has no context `tset`");
        assert_eq!(fault.hint.as_deref(), Some("it has: prod, test"));
    }

    #[tokio::test]
    async fn a_kubeconfig_that_cannot_be_read_shows_nothing_of_itself() {
        let broken = KUBECONFIG.replace("{ token: tops3cret }", "{ token: [tops3cret }");
        let fault = connected(&broken, None).await.unwrap_err();
        assert!(!format!("{fault:?}").contains("tops3cret"), "{fault:?}");
        assert!(fault.hint.is_some());
        let missing = Access {
            kubeconfig: Some("/nonexistent/config".into()),
            ..Access::default()
        };
        let fault = connect(&missing).await.unwrap_err();
        assert!(fault.text.contains("/nonexistent/config"), "{fault}");
    }
}
