//! Every request that came, so that tests can count.

use std::time::{Duration, Instant};

use super::auth::Role;
use super::route::Call;

/// One request that reached the emulator.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it had arrived.
    pub at: Instant,
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The body.
    pub body: Vec<u8>,
    /// What it asked for; `None`: nothing that this release knows.
    pub call: Option<Call>,
    /// The id of the deployment that it is about, where there is one.
    pub deployment: Option<String>,
    /// The role of the token that it came with, where there is one.
    pub role: Option<Role>,
    /// The status that it was given; `None` while it waits, and for ever where its connection was cut.
    pub status: Option<u16>,
    /// From its arrival to its reply, or to the cut.
    pub took: Option<Duration>,
}
