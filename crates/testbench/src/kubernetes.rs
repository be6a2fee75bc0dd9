//! A real Kubernetes of one node, or its control plane alone.
//!
//! Lowtide asks an API server for pods, watches it, and runs in it as a `CronJob`'s pod: what a fake would
//! answer is what we believe. So the tests start Kubernetes' own programs, built once from their Go modules.

mod address;
mod api;
mod audit;
mod binaries;
mod cgroup;
mod control_plane;
mod credentials;
mod door;
pub mod flink;
mod namespace;
mod node;
mod packages;
mod part;
mod scratch;
mod worker;

pub use api::{Api, Connection};
pub use audit::AuditEvent;
pub use binaries::{ASK_IMAGE, VERSION, ask_image, helm, inside, kubernetes as binaries};
pub use door::{Exposed, Forward};
pub use node::{Node, Options, PodSecurity};
pub use packages::{ensure as packages, left_out};
pub use worker::PAUSE_IMAGE;
