//! What SQLite adds to the port: files, several handles and processes, crashes.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod adopted;
mod conformance;
mod group;
mod opening;
mod processes;
mod property;
mod questions;
mod readings;
pub(crate) mod records;
mod statements;

use std::path::Path;

use crate::Catalog;

/// The catalog in a directory of a test.
async fn open_in(directory: &Path) -> Catalog {
    Catalog::open(directory.join("catalog.db")).await.unwrap()
}
