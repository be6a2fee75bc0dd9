//! `latest`: the path of the newest verified savepoint, for scripts.

use jiff::Timestamp;
use lowtide_catalog::{Catalog, SavepointFilter};
use lowtide_core::ports::Clock;
use lowtide_core::savepoint::{Savepoint, Standing, Verification};

use crate::cli::{Common, Latest};
use crate::exit::Exit;
use crate::human;
use crate::printer::Printer;
use crate::setup::Setup;
use crate::shape;
use crate::trouble::Trouble;
use crate::wall_clock::WallClock;

/// Newer savepoints that are looked at: who has more broken ones in a row has read of them before.
const PASSED_OVER_MAX: u32 = 10;

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
    say_what_is_passed_over(catalog.as_ref(), &savepoint, printer).await?;
    refuse_older(args, &savepoint, now)?;
    let age = now.duration_since(savepoint.taken_at);
    let shape = shape::Latest {
        age_ms: u64::try_from(age.as_millis()).unwrap_or(0),
        savepoint: shape::Detailed::new(&savepoint),
    };
    printer.result(&shape, || format!("{}\n", savepoint.location))?;
    Ok(Exit::Fine)
}

/// Says that a newer savepoint filled its slot and was found broken since: whoever restores from an
/// older one is to know.
async fn say_what_is_passed_over(
    catalog: Option<&Catalog>,
    savepoint: &Savepoint,
    printer: Printer,
) -> Result<(), Trouble> {
    let Some(catalog) = catalog else {
        return Ok(());
    };
    let filter = SavepointFilter {
        applications: Some(vec![savepoint.application.clone()]),
        standings: Some(vec![Standing::Kept, Standing::Foreign]),
        only_good: false,
        limit: PASSED_OVER_MAX,
    };
    let newest = catalog
        .savepoints(&filter)
        .await
        .map_err(Trouble::catalog("look for newer savepoints"))?;
    let newer = newest
        .iter()
        .take_while(|newer| newer.taken_at > savepoint.taken_at);
    for newer in newer {
        if let Verification::Broken { at, .. } = &newer.verification {
            let (location, at) = (&newer.location, human::time_utc(*at));
            printer.say(&format!("passed over, found broken at {at}: {location}\n"));
        }
    }
    Ok(())
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
