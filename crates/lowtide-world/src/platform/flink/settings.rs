//! What a configuration says of one Flink cluster.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::platform::http::{Auth, Connection, TIMEOUT, redacted};

/// How to reach one Flink cluster.
#[derive(Clone)]
pub struct Settings {
    /// Where its REST API begins; a path is kept (`https://proxy/flink/`).
    pub url: Url,
    /// How Lowtide names itself to what stands before the cluster.
    pub auth: Option<Auth>,
    /// A PEM file of certificates to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of the certificate chain and the private key that Lowtide shows.
    pub client_cert: Option<(PathBuf, PathBuf)>,
    /// How long a request may take as a whole; see [`TIMEOUT`].
    pub timeout: Duration,
    /// Where Lowtide reaches what the cluster calls otherwise: beginnings of locations, from and
    /// to. The longest wins.
    pub paths: Vec<(String, String)>,
}

impl Settings {
    /// The settings of a cluster that needs nothing but its address.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            auth: None,
            ca: None,
            client_cert: None,
            timeout: TIMEOUT,
            paths: Vec::new(),
        }
    }

    pub(super) fn connection(&self) -> Connection {
        Connection {
            url: self.url.clone(),
            auth: self.auth.clone(),
            ca: self.ca.clone(),
            client_cert: self.client_cert.clone(),
            timeout: self.timeout,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &redacted(&self.url))
            .field("auth", &self.auth)
            .field("ca", &self.ca)
            .field("client_cert", &self.client_cert)
            .field("timeout", &self.timeout)
            .field("paths", &self.paths)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let shown = Settings::new("http://ann:tops3cret@host/flink/".parse().unwrap());
        let shown = format!("{shown:?}");
        assert!(
            shown.contains("host") && !shown.contains("tops3cret"),
            "{shown}"
        );
    }
}
