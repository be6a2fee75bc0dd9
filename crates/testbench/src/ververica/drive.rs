//! The controllers: what VVP does by itself after a request was accepted.
//!
//! A savepoint is driven from `STARTED` to its end, a deployment towards its desired state, a savepoint that
//! is to be deleted to its deletion. Each is a task; whatever it works on may be gone when it comes back.

mod deletion;
mod savepoint;
mod transition;

pub(super) use deletion::{delete, go_on_deleting, remove_data};
pub(super) use savepoint::{Fate, savepoint};
pub(super) use transition::{transition, upgrade};
