//! Azure's Blob API, on the vendor's own emulator.

use std::sync::Arc;

use lowtide_core::fault::FaultKind;
use lowtide_core::name::Location;
use lowtide_world::store::Stores;
use lowtide_world::store::settings::{Azure, StoreSettings};
use testbench::azure::{AzureServer, KEY};

use super::{blocked, both_levels, objects};

#[test]
fn both_levels_read_what_the_api_gives() {
    let server = AzureServer::start().unwrap();
    server.create_container("state").unwrap();
    for (key, bytes) in objects() {
        server.put("state", key, &bytes).unwrap();
    }
    let settings = |key: &str| {
        StoreSettings::Azure(Azure {
            endpoint: Some(server.url().parse().unwrap()),
            account_key: Some(key.into()),
            ..Azure::default()
        })
    };
    blocked(async {
        for root in [
            "abfss://state@devstoreaccount1.dfs.core.windows.net",
            "wasb://state@devstoreaccount1.blob.core.windows.net",
        ] {
            both_levels(settings(KEY), root).await;
        }
        let one = Location::new("wasb://state@devstoreaccount1/sp/one");
        let wrong = Arc::new(Stores::new(vec![settings("d3Jvbmcga2V5")]));
        let fault = lowtide_world::read(&one, wrong).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Permanent, "{fault}");
    });
}
