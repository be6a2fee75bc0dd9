//! The suite that the simulator's model passes as well.

use std::cell::Cell;

use jiff::Timestamp;
use lowtide_core::name::AppKey;
use lowtide_core::ports::CatalogError;
use lowtide_core::ports::conformance::{self, Pausing};

use super::open_in;
use crate::Catalog;

impl Pausing for Catalog {
    async fn pause(&self, application: &AppKey, now: Timestamp) -> Result<(), CatalogError> {
        Catalog::pause(self, application, now).await.map(|_| ())
    }

    async fn unpause(&self, application: &AppKey, now: Timestamp) -> Result<(), CatalogError> {
        Catalog::unpause(self, application, now).await.map(|_| ())
    }
}

#[tokio::test]
async fn sqlite_keeps_every_promise_of_the_port() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Cell::new(0);
    conformance::all(|| {
        opened.set(opened.get() + 1);
        let path = directory.path().join(format!("{}.db", opened.get()));
        async move { Catalog::open(path).await.unwrap() }
    })
    .await;
    assert!(opened.get() > 0);
}

#[tokio::test]
async fn a_catalog_in_memory_keeps_every_promise_while_it_lasts() {
    conformance::all(|| async { Catalog::in_memory().await.unwrap() }).await;
}

#[tokio::test]
async fn a_single_connection_keeps_them_too() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Cell::new(0);
    conformance::all(|| {
        opened.set(opened.get() + 1);
        let path = directory.path().join(format!("{}.db", opened.get()));
        async move { Catalog::open_briefly(path).await.unwrap() }
    })
    .await;
    let pauses = Catalog::open_briefly(directory.path().join("pauses.db")).await;
    conformance::pauses(&pauses.unwrap()).await;
}

#[tokio::test]
async fn sqlite_remembers_pauses() {
    let directory = tempfile::tempdir().unwrap();
    conformance::pauses(&open_in(directory.path()).await).await;
}
