//! `latest`: the path of the newest verified savepoint, for scripts.

use jiff::Timestamp;
use lowtide_core::ports::Clock;
use lowtide_core::savepoint::Savepoint;

use crate::cli::{Common, Latest};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::setup::Setup;
use crate::shape;
use crate::trouble::Trouble;
use crate::wall_clock::WallClock;

/// `lowtide latest`
pub async fn latest(common: &Common, args: &Latest, printer: Printer) -> Result<Exit, Trouble> {
    let setup = Setup::read(common)?;
    setup.must_remember("latest")?;
    let catalog = setup.catalog_if_there().await?;
    let key = setup.known(&args.name, catalog.as_ref()).await?;
    let savepoint = match &catalog {
        Some(catalog) => catalog
            .latest_good(&key)
            .await
            .map_err(Trouble::catalog("look for the latest savepoint"))?,
        None => None,
    };
    let savepoint = savepoint.ok_or(Trouble::NoneVerified { application: key })?;
    let now = WallClock.now();
    refuse_older(args, &savepoint, now)?;
    let age = now.duration_since(savepoint.taken_at);
    let shape = shape::Latest {
        age_ms: u64::try_from(age.as_millis()).unwrap_or(0),
        savepoint: shape::Detailed::new(&savepoint),
    };
    printer.result(&shape, || format!("{}\n", savepoint.location))?;
    Ok(Exit::Fine)
}

fn refuse_older(args: &Latest, savepoint: &Savepoint, now: Timestamp) -> Result<(), Trouble> {
    let age = now.duration_since(savepoint.taken_at);
    match args.max_age {
        Some(age_max) if age > age_max => Err(Trouble::TooOld {
            application: savepoint.application.clone(),
            location: savepoint.location.clone(),
            age,
            age_max,
        }),
        _ => Ok(()),
    }
}
