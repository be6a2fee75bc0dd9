//! Addresses inside a node's own network. Nothing out here has them.

use std::net::Ipv4Addr;

/// The node: its bridge, its API server, its DNS, and the pods' gateway.
pub(super) const NODE_IP: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

/// [`NODE_IP`] as text.
pub(super) const NODE: &str = "10.244.0.1";

/// Pods; one node needs no more than a /24.
pub(super) const PODS: &str = "10.244.0.0/24";

/// The bridge's own address, with the width of [`PODS`].
pub(super) const BRIDGE: &str = "10.244.0.1/24";

/// Services.
pub(super) const SERVICES: &str = "10.0.0.0/24";

/// The Service `kubernetes`: always the first of [`SERVICES`].
pub(super) const API_SERVICE: &str = "10.0.0.1";

/// The ports of the parts in a network of their own.
pub(super) const API_PORT: u16 = 6443;
/// etcd, for its clients.
pub(super) const ETCD_PORT: u16 = 2379;
/// etcd, for its peers, of which there are none.
pub(super) const ETCD_PEER_PORT: u16 = 2380;
