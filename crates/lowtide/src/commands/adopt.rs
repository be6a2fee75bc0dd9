//! `adopt`: a savepoint that someone else took enters the catalog, once it is proven whole.

use jiff::Timestamp;
use lowtide_catalog::Catalog;
use lowtide_core::adopt::{self, Adopt as Ask, Adoption, Proven};
use lowtide_core::baseline::Baseline;
use lowtide_core::name::{AppKey, Location};
use lowtide_core::ports::{Catalog as _, CatalogError, Clock};
use lowtide_core::run::Outcome;
use lowtide_core::savepoint::{Savepoint, Standing};
use lowtide_core::verify;
use lowtide_world::store::Paths;

use super::inspect::place;
use super::results;
use super::verify::unproven;
use crate::cli::{Adopt, Common};
use crate::exit::Exit;
use crate::human;
use crate::printer::Printer;
use crate::setup::Setup;
use crate::shape;
use crate::table::Table;
use crate::trouble::Trouble;
use crate::wall_clock::WallClock;

/// How often a decision is made anew because another process changed the record meanwhile: who
/// loses so often is not alone with an accident.
const TRIES_MAX: u32 = 5;

/// `lowtide adopt`
pub async fn adopt(common: &Common, args: &Adopt, printer: Printer) -> Result<Exit, Trouble> {
    let setup = Setup::read(common)?;
    setup.must_remember("adopt")?;
    let there = setup.catalog_if_there().await?;
    let application = setup.known(&args.application, there.as_ref()).await?;
    let median_bytes = median_bytes(there.as_ref(), &application).await?;

    let paths = setup.paths(&application.platform);
    let typed = place(&args.location);
    let names = paths.names(&typed);
    let location = names.first().unwrap_or(&typed).clone();
    let now = WallClock.now();
    let (proven, baseline, mut warnings) = prove(&paths, location, median_bytes, args, now).await?;

    // Nothing is made for what is refused.
    let catalog = match there {
        Some(catalog) => catalog,
        None => setup.catalog_briefly().await?,
    };
    let ask = Ask {
        application,
        own: args.own,
        now,
    };
    let done = decide(&catalog, &ask, &proven, &names).await?;
    if let Some(baseline) = baseline {
        let recorded = catalog.record_baseline(&done.savepoint.location, &baseline);
        recorded
            .await
            .map_err(Trouble::catalog("record what its files are"))?;
    }
    if proven.is_checkpoint {
        warnings.push(
            "it is a checkpoint: a job that is restored from it in claim mode may delete it"
                .to_owned(),
        );
    }
    let shape = shape::Adopted {
        change: done.change(),
        savepoint: shape::Detailed::new(&done.savepoint),
        warnings,
    };
    printer.result(&shape, || table(&setup, &done.savepoint).render())?;
    printer.say(&format!("{}\n", done.sentence()));
    for warning in &shape.warnings {
        printer.say(&format!("warning: {warning}\n"));
    }
    Ok(Exit::Fine)
}

async fn median_bytes(
    catalog: Option<&Catalog>,
    application: &AppKey,
) -> Result<Option<u64>, Trouble> {
    let Some(catalog) = catalog else {
        return Ok(None);
    };
    let context = catalog.context(application).await;
    Ok(context
        .map_err(Trouble::catalog("read the application's history"))?
        .median_bytes)
}

/// Reads the savepoint; what is broken or cannot be read is refused. With what its files are, and what
/// is worth a look.
async fn prove(
    paths: &Paths,
    location: Location,
    median_bytes: Option<u64>,
    args: &Adopt,
    now: Timestamp,
) -> Result<(Proven, Option<Baseline>, Vec<String>), Trouble> {
    let unreadable = |source| Trouble::Unreadable {
        location: location.clone(),
        source,
    };
    let reading = paths.read(&location).await.map_err(unreadable)?;
    let report = verify::judge(&reading, median_bytes);
    let baseline = Baseline::of_listing(&reading, now);
    let metadata = match reading.metadata {
        Some(Ok(metadata)) if report.is_whole() => metadata,
        _ => {
            return Err(Trouble::NotWhole {
                location,
                report: Box::new(report),
            });
        }
    };
    let mut warnings = report.warnings.clone();
    warnings.extend(unproven(&location));
    let completed_at = match args.taken_at {
        Some(said) => Some(said),
        None => paths.completed_at(&location).await.map_err(unreadable)?,
    };
    if completed_at.is_none() {
        warnings.push(
            "the store does not say when it was written: it is dated now, unless --taken-at says otherwise"
                .to_owned(),
        );
    }
    let proven = Proven {
        is_checkpoint: adopt::is_checkpoint(&metadata, &location),
        format: adopt::format(&metadata, &location),
        location,
        // The clock of a store may be ahead.
        taken_at: completed_at.unwrap_or(now).min(now),
        report,
    };
    Ok((proven, baseline, warnings))
}

/// What became of it.
struct Done {
    before: Option<Savepoint>,
    savepoint: Savepoint,
}

/// Decides on what the catalog has, and again if that has changed meanwhile.
async fn decide(
    catalog: &Catalog,
    ask: &Ask,
    proven: &Proven,
    names: &[Location],
) -> Result<Done, Trouble> {
    let doing = "record the savepoint";
    for _ in 0..TRIES_MAX {
        let stored = catalog
            .savepoints_at(names)
            .await
            .map_err(Trouble::catalog("look for the savepoint"))?
            .into_iter()
            .next();
        let fills = match &stored {
            Some(stored) => fills(catalog, stored).await?,
            None => false,
        };
        let adoption = adopt::adopt(ask, proven.clone(), stored.as_ref(), fills);
        let adoption = adoption.map_err(|refusal| Trouble::NotAdopted {
            location: proven.location.clone(),
            source: refusal,
        })?;
        match (adoption, stored) {
            (Adoption::Enter(savepoint), _) => {
                let faster = catalog.adopt(&savepoint, names).await;
                if faster.map_err(Trouble::catalog(doing))?.is_none() {
                    return Ok(Done {
                        before: None,
                        savepoint,
                    });
                }
            }
            (Adoption::Amend(savepoint), Some(before)) => {
                match catalog.amend(&before, &savepoint).await {
                    Ok(()) => {
                        return Ok(Done {
                            before: Some(before),
                            savepoint,
                        });
                    }
                    Err(CatalogError::Stale) => {}
                    Err(source) => return Err(Trouble::Catalog { doing, source }),
                }
            }
            (Adoption::Nothing, Some(savepoint)) => {
                return Ok(Done {
                    before: Some(savepoint.clone()),
                    savepoint,
                });
            }
            // There is nothing to amend or to leave where nothing is stored.
            (Adoption::Amend(_) | Adoption::Nothing, None) => {}
        }
    }
    Err(Trouble::Catalog {
        doing,
        source: CatalogError::Stale,
    })
}

/// Whether it fills the slot of the run that left it.
async fn fills(catalog: &Catalog, stored: &Savepoint) -> Result<bool, Trouble> {
    let Some(id) = stored.run() else {
        return Ok(false);
    };
    let run = catalog
        .run(id)
        .await
        .map_err(Trouble::catalog("read its run"))?;
    Ok(match run.and_then(|run| run.outcome) {
        Some(Outcome::Kept { location } | Outcome::Unverified { location, .. }) => {
            location == stored.location
        }
        _ => false,
    })
}

impl Done {
    /// In one word, for programs.
    fn change(&self) -> &'static str {
        match &self.before {
            None => "entered",
            Some(before) if *before == self.savepoint => "none",
            Some(_) => "changed",
        }
    }

    /// For people.
    fn sentence(&self) -> String {
        let savepoint = &self.savepoint;
        let application = &savepoint.application;
        let is = match savepoint.standing {
            Standing::Foreign => "foreign: verified and listed, never deleted",
            Standing::Kept => "kept: Lowtide's own, and may be deleted by the rules",
            Standing::Late => "late: Lowtide's own, and fills no slot",
            Standing::Orphan => "an orphan",
        };
        let Some(before) = &self.before else {
            return format!("adopted for {application}, as {is}");
        };
        if before == savepoint {
            return format!("in the catalog already, for {application}, as {is}");
        }
        let was = if before.application == *application {
            before.standing.as_str().to_owned()
        } else {
            format!("{} of {}", before.standing.as_str(), before.application)
        };
        format!("was in the catalog, as {was}; now for {application}, as {is}")
    }
}

fn table(setup: &Setup, savepoint: &Savepoint) -> Table {
    let mut table = Table::new(["name", "standing", "when", "size", "verified", "where"]);
    let report = savepoint.verification.report();
    table.row([
        savepoint.application.to_string().into(),
        savepoint.standing.as_str().into(),
        human::time(savepoint.taken_at, &setup.zone(&savepoint.application)).into(),
        report
            .map_or_else(|| "-".to_owned(), |report| human::bytes(report.state_bytes))
            .into(),
        results::verification(savepoint),
        savepoint.location.to_string().into(),
    ]);
    table
}
