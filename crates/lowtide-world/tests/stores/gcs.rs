//! Google Cloud Storage's API.

use lowtide_world::store::settings::{Gcs, StoreSettings};
use testbench::gcs::GcsServer;

use super::{blocked, both_levels, objects};

#[test]
fn both_levels_read_what_the_api_gives() {
    let objects = objects();
    let held: Vec<_> = objects
        .iter()
        .map(|(key, bytes)| ("state", *key, bytes.as_slice()))
        .collect();
    let server = GcsServer::start(&held).unwrap();
    let settings = StoreSettings::Gcs(Gcs {
        endpoint: Some(server.url().parse().unwrap()),
        anonymous: true,
        ..Gcs::default()
    });
    blocked(both_levels(settings, "gs://state"));
}
