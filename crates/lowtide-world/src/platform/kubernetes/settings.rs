//! What a configuration says of the Flink clusters in one Kubernetes namespace.

use std::time::Duration;

use crate::kubernetes::{Access, Source, TIMEOUT};

/// How Lowtide gets from the namespace to a cluster's REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Straight to its REST Service, by ClusterIP or by name. Works within the Kubernetes
    /// cluster.
    Service,
    /// Through the API server, which passes requests on to the Service. Works from wherever
    /// `kubectl` works; needs the verbs `get` and `create` on `services/proxy`.
    Proxy,
}

/// The Flink clusters of one Kubernetes namespace.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which Kubernetes, and which namespace.
    pub access: Access,
    /// How to get to the clusters; without it, [`Reach::Service`] in a pod of that Kubernetes and
    /// [`Reach::Proxy`] elsewhere.
    pub reach: Option<Reach>,
    /// How clusters are found: listed, or watched by a daemon.
    pub source: Source,
    /// How long one request may take as a whole.
    pub timeout: Duration,
    /// Where Lowtide reaches what the clusters call otherwise: beginnings of locations, from and
    /// to. The longest wins.
    pub paths: Vec<(String, String)>,
}

impl Settings {
    /// The settings of a namespace that needs nothing special.
    pub fn new(access: Access) -> Self {
        Self {
            access,
            reach: None,
            source: Source::default(),
            timeout: TIMEOUT,
            paths: Vec::new(),
        }
    }
}
