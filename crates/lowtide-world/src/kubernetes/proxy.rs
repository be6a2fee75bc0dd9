//! The API server's own proxy to Services, for whoever is outside the cluster.
//!
//! `kube`'s client could carry the requests, but it does not say whether a request that failed was
//! sent, and for a savepoint that is what matters. So Flink's requests stay with the HTTP client
//! that was made for them, and only the login comes from `kube`: token files that rotate, and
//! commands that fetch tokens, work the same for both.

use std::convert::Infallible;

use kube::Client;
use kube::client::{Body, ConfigExt as _};
use lowtide_core::fault::Fault;
use reqwest::header::HeaderMap;
use rustls::ClientConfig;
use tower::{BoxError, ServiceBuilder, service_fn};

use super::access::Connected;
use crate::text::one_line;

/// How to reach a Service through the API server.
#[derive(Debug, Clone)]
pub(crate) struct ServiceProxy {
    /// The address that stands for the Service's `/`, without a slash at its end.
    pub(crate) base: String,
    /// The CA and the client certificate of the kubeconfig.
    pub(crate) tls: ClientConfig,
    /// The headers of the login.
    pub(crate) login: Login,
}

impl ServiceProxy {
    /// The proxy to a port of a Service, by number or name.
    pub(crate) fn new(connected: &Connected, service: &str, port: &str) -> Result<Self, Fault> {
        let config = &connected.config;
        if config.tls_server_name.is_some() {
            return Err(Fault::permanent(
                "the kubeconfig has a `tls-server-name`, which `reach: proxy` cannot use",
            ));
        }
        let mut tls = config
            .rustls_client_config()
            .map_err(|error| unusable(&error))?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            base: base(
                &config.cluster_url.to_string(),
                &connected.namespace,
                service,
                port,
            ),
            tls,
            login: Login::new(connected)?,
        })
    }
}

/// `…/api/v1/namespaces/NAMESPACE/services/SERVICE:PORT/proxy` (Kubernetes' API reference, "Proxy
/// Operations" of Service).
fn base(server: &str, namespace: &str, service: &str, port: &str) -> String {
    let server = server.trim_end_matches('/');
    format!("{server}/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy")
}

/// Gives the headers that log in; tokens are fetched and renewed as the kubeconfig says.
#[derive(Clone)]
pub(crate) struct Login {
    /// A client whose server answers with the headers that it was sent.
    echo: Client,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Login {
    fn new(connected: &Connected) -> Result<Self, Fault> {
        let config = &connected.config;
        let auth = config.auth_layer().map_err(|error| unusable(&error))?;
        let extra = config
            .extra_headers_layer()
            .map_err(|error| unusable(&error))?;
        let echo = service_fn(|request: http::Request<Body>| async move {
            let mut response = http::Response::new(Body::empty());
            *response.headers_mut() = request.into_parts().0.headers;
            Ok::<_, Infallible>(response)
        });
        let service = ServiceBuilder::new()
            .option_layer(auth)
            .layer(extra)
            .map_err(BoxError::from)
            .service(echo);
        Ok(Self {
            echo: Client::new(service, connected.namespace.clone()),
        })
    }

    /// The headers to send with the next request.
    pub(crate) async fn headers(&self) -> Result<HeaderMap, Fault> {
        let answer = self.echo.send(http::Request::new(Body::empty())).await;
        let answer = answer.map_err(|_| {
            // Not its text: it may hold what a login command printed.
            Fault::permanent("the login that the kubeconfig describes fails")
                .hint("try the same with `kubectl`: a command that it runs, or a token file, may be missing here")
        })?;
        Ok(answer.into_parts().0.headers)
    }
}

fn unusable(error: &kube::Error) -> Fault {
    let text = match error {
        kube::Error::Auth(_) => "the login that the kubeconfig describes cannot be used".to_owned(),
        other => format!(
            "the kubeconfig cannot be used: {}",
            one_line(&other.to_string())
        ),
    };
    Fault::permanent(text).hint("try the same with `kubectl`, from where Lowtide runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_keeps_the_path_of_the_api_server() {
        assert_eq!(
            base("https://host:6443/", "flink", "orders-rest", "8081"),
            "https://host:6443/api/v1/namespaces/flink/services/orders-rest:8081/proxy"
        );
        assert_eq!(
            base(
                "https://host/k8s/clusters/c-1",
                "flink",
                "orders-rest",
                "rest"
            ),
            "https://host/k8s/clusters/c-1/api/v1/namespaces/flink/services/orders-rest:rest/proxy"
        );
    }
}
