//! An emulator of Ververica Platform's `AppManager` API (VVP 2.1, 2.7, 2.15).
//!
//! VVP is sold, so no test can start it. This is a real HTTP server that follows what the vendor has
//! published (the swaggers of 2.1.0 and 2.7.1, the documentation), and its deployments may be real jobs on a
//! real Flink: then its savepoints are real files that Flink wrote. Where the published facts end, nothing is
//! guessed: every open question is a field of [`Settings`], and a client must pass with each of its values.
//! What goes wrong on the way is a [`Fault`].
//!
//! The server has threads of its own; the API here is blocking, like the rest of the testbench. It listens on
//! loopback and ends when the [`Emulator`] is dropped.

mod answer;
mod auth;
mod builder;
mod connection;
mod deployment;
mod drive;
mod emulator;
mod fault;
mod flink;
mod handle;
mod id;
mod log;
mod pods;
mod profile;
mod render;
mod route;
mod savepoint;
mod selector;
mod serve;
mod settings;
mod shared;
mod store;

pub use auth::Role;
pub use builder::Builder;
pub use deployment::{DeploymentSpec, SimulatedLocation, State};
pub use emulator::Emulator;
pub use fault::{Deed, Fault, Fired};
pub use log::Seen;
pub use pods::slug;
pub use profile::Profile;
pub use route::Call;
pub use savepoint::{Failure, MadeBy, Origin, Phase, Savepoint};
pub use settings::{
    Annotations, Deletion, ErrorBody, FlinkSavepointId, ListOrder, NotRunning, SecondSavepoint,
    Settings, SlugRule, Unauthenticated,
};
