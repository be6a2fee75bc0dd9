//! Savepoints behind Azure's Blob API, on the vendor's own emulator.
#![allow(clippy::unwrap_used)]

#[path = "s3/metadata.rs"]
mod metadata;

use std::sync::Arc;

use lowtide_core::fault::FaultKind;
use lowtide_core::name::Location;
use lowtide_core::verify;
use lowtide_world::store::Stores;
use lowtide_world::store::deep::Pace;
use lowtide_world::store::settings::{Azure, StoreSettings};
use metadata::{file, metadata};
use testbench::azure::{AzureServer, KEY};

#[test]
fn both_levels_read_what_the_api_gives() {
    let server = AzureServer::start().unwrap();
    server.create_container("state").unwrap();
    let whole = metadata(vec![file("a", 3)]);
    let broken = metadata(vec![file("a", 3), file("missing", 3)]);
    for (key, bytes) in [
        ("sp/one/_metadata", whole.as_slice()),
        ("sp/one/a", b"abc"),
        ("sp/two/_metadata", &broken),
        ("sp/two/a", b"abc"),
    ] {
        server.put("state", key, bytes).unwrap();
    }
    let settings = |key: &str| {
        let azure = Azure {
            endpoint: Some(server.url().parse().unwrap()),
            account_key: Some(key.into()),
            ..Azure::default()
        };
        Arc::new(Stores::new(vec![StoreSettings::Azure(azure)]))
    };
    let stores = settings(KEY);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        for root in [
            "abfss://state@devstoreaccount1.dfs.core.windows.net",
            "wasb://state@devstoreaccount1.blob.core.windows.net",
        ] {
            let one = Location::new(format!("{root}/sp/one"));
            let reading = lowtide_world::read(&one, stores.clone()).await.unwrap();
            let report = verify::judge(&reading, None);
            assert!(report.is_whole(), "{:?}", report.findings);
            let pace = Pace::new(None);
            let deep = lowtide_world::read_deep(&one, &reading, stores.clone(), &pace);
            let deep = deep.await.unwrap();
            let sizes: Vec<u64> = deep.digests.values().map(|it| it.bytes).collect();
            assert_eq!(sizes, [whole.len() as u64, 3]);
            let two = Location::new(format!("{root}/sp/two"));
            let reading = lowtide_world::read(&two, stores.clone()).await.unwrap();
            assert_eq!(
                verify::judge(&reading, None).findings,
                [format!("missing: {root}/sp/two/missing")]
            );
        }
        let one = Location::new("wasb://state@devstoreaccount1/sp/one");
        let wrong = settings("d3Jvbmcga2V5");
        let fault = lowtide_world::read(&one, wrong).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Permanent, "{fault}");
    });
}
