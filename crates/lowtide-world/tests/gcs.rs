//! Savepoints behind Google Cloud Storage's API, on a server that is not Google's.
#![allow(clippy::unwrap_used)]

#[path = "s3/metadata.rs"]
mod metadata;

use std::sync::Arc;

use lowtide_core::fault::FaultKind;
use lowtide_core::name::Location;
use lowtide_core::verify;
use lowtide_world::store::Stores;
use lowtide_world::store::deep::Pace;
use lowtide_world::store::settings::{Gcs, StoreSettings};
use metadata::{file, metadata};
use testbench::gcs::GcsServer;

#[test]
fn both_levels_read_what_the_api_gives() {
    let bytes = metadata(vec![file("a", 3), file("missing", 3)]);
    let whole = metadata(vec![file("a", 3)]);
    let server = GcsServer::start(&[
        ("state", "sp/one/_metadata", &whole),
        ("state", "sp/one/a", b"abc"),
        ("state", "sp/two/_metadata", &bytes),
        ("state", "sp/two/a", b"abc"),
    ])
    .unwrap();
    let settings = Gcs {
        endpoint: Some(server.url().parse().unwrap()),
        anonymous: true,
        ..Gcs::default()
    };
    let stores = Arc::new(Stores::new(vec![StoreSettings::Gcs(settings)]));
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let one = Location::new("gs://state/sp/one");
        let reading = lowtide_world::read(&one, stores.clone()).await.unwrap();
        let report = verify::judge(&reading, None);
        assert!(report.is_whole(), "{:?}", report.findings);
        let pace = Pace::new(None);
        let deep = lowtide_world::read_deep(&one, &reading, stores.clone(), &pace);
        let deep = deep.await.unwrap();
        let sizes: Vec<u64> = deep.digests.values().map(|it| it.bytes).collect();
        assert_eq!(sizes, [whole.len() as u64, 3]);
        let two = Location::new("gs://state/sp/two");
        let reading = lowtide_world::read(&two, stores.clone()).await.unwrap();
        assert_eq!(
            verify::judge(&reading, None).findings,
            ["missing: gs://state/sp/two/missing"]
        );
        let three = Location::new("gs://state/sp/three");
        let fault = lowtide_world::read(&three, stores.clone())
            .await
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::Gone, "{fault}");
    });
}
