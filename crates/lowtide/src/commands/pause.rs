//! `pause` and `unpause`.

use lowtide_core::ports::Clock;

use crate::cli::{Common, SomeNames};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::setup::Setup;
use crate::shape;
use crate::table::Table;
use crate::trouble::Trouble;
use crate::wall_clock::WallClock;

/// `lowtide pause` and `lowtide unpause`: `paused` is what the applications are to be.
pub async fn set(
    common: &Common,
    args: &SomeNames,
    paused: bool,
    printer: Printer,
) -> Result<Exit, Trouble> {
    let setup = Setup::read(common)?;
    setup.must_remember(if paused { "pause" } else { "unpause" })?;
    let chosen = setup.chosen(&args.names)?;
    let catalog = setup.catalog_briefly().await?;
    let mut applications = Vec::with_capacity(chosen.len());
    let mut table = Table::new(["name", "schedule"]);
    for application in chosen {
        let key = &application.key;
        let now = WallClock.now();
        let changed = if paused {
            catalog.pause(key, now).await
        } else {
            catalog.unpause(key, now).await
        }
        .map_err(Trouble::catalog("change the pause"))?;
        let words = match (paused, changed) {
            (true, true) => "paused",
            (true, false) => "was paused already",
            (false, true) => "goes on with its next slot",
            (false, false) => "was not paused",
        };
        table.row([key.to_string().into(), words.into()]);
        applications.push(shape::PausedApplication {
            platform: key.platform.to_string(),
            application: key.application.to_string(),
            paused,
            changed,
        });
    }
    printer.table(&shape::Paused { applications }, &table, "")?;
    Ok(Exit::Fine)
}
