//! Kubernetes: what Lowtide reads from an API server, and how.
//!
//! All use of the `kube` crate lies below this module: it breaks three times a year, and then
//! one folder has to be mended. Outside, there are plain structs and [`Fault`]s.
//!
//! Objects are read in one of two ways, chosen by [`Source`]: a paged list for a process that
//! asks a few times and ends, a watch for one that stays. Either way many questions at once cost
//! one answer.
//!
//! What the ServiceAccount needs, and nothing beyond it:
//!
//! | who asks | API group | resource | verbs |
//! |---|---|---|---|
//! | [`pods`]: names of Ververica Platform, `resolve: pods` | core | `pods` | `list`; with [`Source::Watch`] also `watch` |
//! | [`jobs`]: the slot of a CronJob's pod | `batch` | `jobs` | `get` |
//! | the `kubernetes` platform | core | `pods`, `services` | `list`; with [`Source::Watch`] also `watch` |
//! | the same with `reach: proxy` | core | `services/proxy` | `get`, `create` |
//!
//! Each in the one namespace that the configuration names, so a Role will do; only
//! `services/proxy` may be narrowed further, by `resourceNames`. Requests for metadata alone and
//! field selectors need no verbs of their own.

mod access;
mod fault;
pub mod jobs;
mod list;
mod objects;
pub mod pods;
mod proxy;
mod watch;

use std::time::Duration;

#[cfg(doc)]
use lowtide_core::fault::Fault;

pub(crate) use access::Connected;
pub use access::{Access, ApiServer};
pub(crate) use objects::{Objects, Selection};
pub(crate) use proxy::{Login, ServiceProxy};

/// Default for how long the API server may take for one reading.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How old a listing may be and still answer. Names are resolved one by one: a run over 500
/// applications must not list 500 times. One second is less than a pod needs to start, so nobody
/// who looks can tell such an answer from one that was asked for.
pub const LISTING_FRESH: Duration = Duration::from_secs(1);

/// How objects are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// A paged list when somebody asks: for commands that end.
    #[default]
    List,
    /// A list once, then a watch: for a daemon.
    Watch,
}
