//! One server for the tests of this binary, and the hands that reach it.

use std::sync::{Arc, OnceLock};

use lowtide_core::baseline::Deep;
use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use lowtide_core::verify::Reading;
use lowtide_world::store::deep::Pace;
use lowtide_world::store::settings::{S3, StoreSettings};
use lowtide_world::store::{Paths, Stores};
use testbench::s3::{ACCESS_KEY, S3Server, SECRET_KEY};

/// The server; it ends with the process.
pub fn server() -> &'static S3Server {
    static SERVER: OnceLock<S3Server> = OnceLock::new();
    SERVER.get_or_init(|| S3Server::start().unwrap())
}

/// What a configuration would say of a server at `url`.
pub fn settings(url: &str) -> S3 {
    S3 {
        endpoint: Some(url.parse().unwrap()),
        keys: Some((ACCESS_KEY.into(), SECRET_KEY.into())),
        ..S3::default()
    }
}

/// The stores of a configuration that says this.
pub fn stores(settings: S3) -> Arc<Stores> {
    Arc::new(Stores::new(vec![StoreSettings::S3(settings)]))
}

/// Waits for something async, on a runtime of its own.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

/// Reads a location by level 2, after level 1.
pub fn read_deep(location: &str, settings: S3, pace: &Pace) -> Result<Deep, Fault> {
    let (location, stores) = (Location::new(location), stores(settings));
    wait(async {
        let paths = Paths::new(&[], stores);
        let reading = paths.read(&location).await?;
        paths.read_deep(&location, &reading, pace).await
    })
}

/// Reads a location by level 1.
pub fn read(location: &str, settings: S3) -> Result<Reading, Fault> {
    wait(lowtide_world::read(
        &Location::new(location),
        stores(settings),
    ))
}
