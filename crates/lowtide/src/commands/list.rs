//! `list`: savepoints, newest first, and runs under way.

use std::collections::BTreeSet;

use lowtide_catalog::{Catalog, SavepointFilter};
use lowtide_core::name::AppKey;
use lowtide_core::ports::Catalog as _;
use lowtide_core::run::Run;
use lowtide_core::savepoint::{Savepoint, Standing};

use super::results;
use crate::cli::{Common, List};
use crate::exit::Exit;
use crate::human;
use crate::printer::Printer;
use crate::setup::Setup;
use crate::shape;
use crate::status;
use crate::table::Table;
use crate::trouble::Trouble;

/// `lowtide list`
pub async fn list(common: &Common, args: &List, printer: Printer) -> Result<Exit, Trouble> {
    let setup = Setup::read(common)?;
    setup.must_remember("list")?;
    let catalog = setup.catalog_if_there().await?;
    let wanted = wanted(&setup, catalog.as_ref(), args).await?;
    let (running, savepoints) = match &catalog {
        Some(catalog) => read(catalog, wanted, args).await?,
        None => (Vec::new(), Vec::new()),
    };
    let configured: BTreeSet<&AppKey> = setup.keys().collect();
    let shape = shape::List {
        running: running
            .iter()
            .map(|run| shape::Run::new(run, &[]))
            .collect(),
        savepoints: savepoints
            .iter()
            .map(|savepoint| shape::Listed {
                listed: configured.contains(&savepoint.application),
                savepoint: shape::Savepoint::new(savepoint),
            })
            .collect(),
    };
    printer.result(&shape, || {
        human_text(&setup, &configured, &running, &savepoints)
    })?;
    Ok(Exit::Fine)
}

/// Which applications; `None` for every one that the catalog knows.
async fn wanted(
    setup: &Setup,
    catalog: Option<&Catalog>,
    args: &List,
) -> Result<Option<Vec<AppKey>>, Trouble> {
    if !args.names.is_empty() {
        let mut keys = Vec::with_capacity(args.names.len());
        for name in &args.names {
            keys.push(setup.known(name, catalog).await?);
        }
        return Ok(Some(keys));
    }
    Ok((!args.all).then(|| setup.keys().cloned().collect()))
}

async fn read(
    catalog: &Catalog,
    wanted: Option<Vec<AppKey>>,
    args: &List,
) -> Result<(Vec<Run>, Vec<Savepoint>), Trouble> {
    let mut running = catalog
        .open_runs()
        .await
        .map_err(Trouble::catalog("read the runs under way"))?;
    if let Some(keys) = &wanted {
        running.retain(|run| keys.contains(&run.application));
    }
    let filter = SavepointFilter {
        applications: wanted,
        standings: (!args.all).then(|| vec![Standing::Kept, Standing::Foreign]),
        only_good: false,
        limit: args.limit,
    };
    let savepoints = catalog
        .savepoints(&filter)
        .await
        .map_err(Trouble::catalog("list savepoints"))?;
    Ok((running, savepoints))
}

fn human_text(
    setup: &Setup,
    configured: &BTreeSet<&AppKey>,
    running: &[Run],
    savepoints: &[Savepoint],
) -> String {
    let mut text = String::new();
    if !running.is_empty() {
        text.push_str(&running_table(setup, running).render());
        text.push('\n');
    }
    if savepoints.is_empty() {
        text.push_str("no savepoints yet\n");
    } else {
        text.push_str(&savepoint_table(setup, configured, savepoints).render());
    }
    text
}

fn running_table(setup: &Setup, running: &[Run]) -> Table {
    let mut table = Table::new(["running", "run", "since", "state"]);
    for run in running {
        table.row([
            run.application.to_string().into(),
            results::short_id(&run.id).into(),
            human::time(run.created_at, &setup.zone(&run.application)).into(),
            status::line(run).into(),
        ]);
    }
    table
}

fn savepoint_table(
    setup: &Setup,
    configured: &BTreeSet<&AppKey>,
    savepoints: &[Savepoint],
) -> Table {
    let mut table = Table::new([
        "name", "standing", "when", "took", "size", "verified", "where",
    ]);
    for savepoint in savepoints {
        let unlisted = if configured.contains(&savepoint.application) {
            ""
        } else {
            " (unlisted)"
        };
        let report = savepoint.verification.report();
        table.row([
            format!("{}{unlisted}", savepoint.application).into(),
            savepoint.standing.as_str().into(),
            human::time(savepoint.taken_at, &setup.zone(&savepoint.application)).into(),
            savepoint
                .duration_ms
                .map_or_else(|| "-".to_owned(), human::duration_ms)
                .into(),
            report
                .map_or_else(|| "-".to_owned(), |report| human::bytes(report.state_bytes))
                .into(),
            results::verification(savepoint),
            savepoint.location.to_string().into(),
        ]);
    }
    table
}
