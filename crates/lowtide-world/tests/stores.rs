//! Savepoints behind the protocols of other stores than S3, on servers that are not the vendors'
//! own: they prove that requests are well formed and answers read.
#![allow(clippy::unwrap_used)]

#[path = "stores/azure.rs"]
mod azure;
#[path = "stores/gcs.rs"]
mod gcs;
#[path = "stores/hdfs.rs"]
mod hdfs;
#[path = "s3/metadata.rs"]
mod metadata;

use std::sync::Arc;

use lowtide_core::fault::FaultKind;
use lowtide_core::name::Location;
use lowtide_core::verify;
use lowtide_world::store::deep::Pace;
use lowtide_world::store::settings::StoreSettings;
use lowtide_world::store::{Paths, Stores};
use metadata::{file, metadata};

/// What lies in a store: a savepoint that is whole, and one that lacks a file; each with its path.
fn objects() -> [(&'static str, Vec<u8>); 4] {
    [
        ("sp/one/_metadata", metadata(vec![file("a", 3)])),
        ("sp/one/a", b"abc".to_vec()),
        (
            "sp/two/_metadata",
            metadata(vec![file("a", 3), file("missing", 3)]),
        ),
        ("sp/two/a", b"abc".to_vec()),
    ]
}

/// Reads what [`objects`] put under this root, at both levels.
async fn both_levels(settings: StoreSettings, root: &str) {
    let stores = Arc::new(Stores::new(vec![settings]));
    let one = Location::new(format!("{root}/sp/one"));
    let reading = lowtide_world::read(&one, stores.clone()).await.unwrap();
    let report = verify::judge(&reading, None);
    assert!(report.is_whole(), "{:?}", report.findings);
    let pace = Pace::new(None);
    let paths = Paths::new(&[], stores.clone());
    let deep = paths.read_deep(&one, &reading, &pace).await.unwrap();
    let sizes: Vec<u64> = deep.digests.values().map(|it| it.bytes).collect();
    let [(_, whole), ..] = objects();
    assert_eq!(sizes, [whole.len() as u64, 3]);

    let two = Location::new(format!("{root}/sp/two"));
    let reading = lowtide_world::read(&two, stores.clone()).await.unwrap();
    let missing = format!("missing: {root}/sp/two/missing");
    assert_eq!(verify::judge(&reading, None).findings, [missing]);

    let three = Location::new(format!("{root}/sp/three"));
    let fault = lowtide_world::read(&three, stores).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Gone, "{fault}");
}

/// Runs to its end what reads.
fn blocked(work: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work);
}
