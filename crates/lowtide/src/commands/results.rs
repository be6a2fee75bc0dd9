//! The table of what came of runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lowtide_catalog::Catalog;
use lowtide_core::name::RunId;
use lowtide_core::ports::Catalog as _;
use lowtide_core::run::{Outcome, Run};
use lowtide_core::savepoint::Savepoint;
use serde::{Serialize, Serializer};

use crate::exit::Exit;
use crate::human;
use crate::left::Left;
use crate::printer::Printer;
use crate::progress::Progress;
use crate::setup::Setup;
use crate::shape::{self, Told};
use crate::status;
use crate::style;
use crate::table::{Cell, Table};
use crate::trouble::{self, Trouble};

/// How many digits of a run's id are shown: as with commits, enough to be unique.
const ID_DIGITS: usize = 8;

/// The first digits of a run's id.
pub fn short_id(id: &RunId) -> String {
    let mut text = id.to_string();
    text.truncate(ID_DIGITS);
    text
}

/// Prints what came of the runs asked for: a table and, below it, why what is not kept is not.
/// A run without a result is shown as it stands.
pub async fn print(
    setup: &Setup,
    catalog: &Catalog,
    asked: &[RunId],
    results: &BTreeMap<RunId, Result<Run, Trouble>>,
    left: &Left,
    progress: &Progress,
    printer: Printer,
) -> Result<Exit, Trouble> {
    let mut exit = Exit::Fine;
    let mut rows = Vec::with_capacity(asked.len());
    let mut left = left_by(catalog, asked, results, left).await?;
    for id in asked {
        let run = match results.get(id) {
            Some(Ok(run)) => Some(run.clone()),
            Some(Err(wrong)) => {
                printer.say(&trouble::render(wrong, printer.colours_stderr()));
                exit = exit.worse(wrong.exit());
                None
            }
            None => catalog
                .run(*id)
                .await
                .map_err(Trouble::catalog("read the run"))?,
        };
        if let Some(run) = run {
            exit = exit.worse(Exit::of_run(&run));
            let left = left.remove(id).unwrap_or_default();
            rows.push((run, left));
        }
    }
    printer.table(
        &ForPrograms(&rows),
        &table(setup, &rows),
        "nothing was asked for",
    )?;
    let explained: String = (rows.iter())
        .map(|(run, _)| explain(run, progress.has_told(run)))
        .collect();
    printer.say(&explained);
    Ok(exit)
}

/// Rows as programs read them: made only for those.
struct ForPrograms<'a>(&'a [(Run, Vec<Savepoint>)]);

impl Serialize for ForPrograms<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.0.iter();
        let runs = rows.map(|(run, savepoints)| shape::Run::new(run, savepoints));
        shape::Runs {
            runs: runs.collect(),
        }
        .serialize(serializer)
    }
}

/// What each run left; the catalog is asked for those that this process did not see through.
async fn left_by(
    catalog: &Catalog,
    runs: &[RunId],
    results: &BTreeMap<RunId, Result<Run, Trouble>>,
    seen: &Left,
) -> Result<BTreeMap<RunId, Vec<Savepoint>>, Trouble> {
    let ended = |id: &RunId| results.get(id)?.as_ref().ok();
    let mut left: BTreeMap<RunId, Vec<Savepoint>> = runs
        .iter()
        .filter_map(|id| Some((*id, seen.by(ended(id)?)?)))
        .collect();
    let others: Vec<RunId> = (runs.iter().copied())
        .filter(|id| !left.contains_key(id))
        .collect();
    if others.is_empty() {
        return Ok(left);
    }
    let savepoints = catalog
        .savepoints_of_runs(&others)
        .await
        .map_err(Trouble::catalog("read what the runs left"))?;
    for savepoint in savepoints {
        if let Some(run) = savepoint.run() {
            left.entry(run).or_default().push(savepoint);
        }
    }
    Ok(left)
}

fn table(setup: &Setup, rows: &[(Run, Vec<Savepoint>)]) -> Table {
    let mut table = Table::new([
        "name", "outcome", "when", "took", "size", "verified", "where",
    ]);
    for (run, savepoints) in rows {
        let location = run
            .outcome
            .as_ref()
            .and_then(|outcome| Told::of(outcome).location);
        let savepoint = savepoints
            .iter()
            .find(|savepoint| Some(savepoint.location.as_str()) == location.as_deref());
        let report = savepoint.and_then(|savepoint| savepoint.verification.report());
        table.row([
            run.application.to_string().into(),
            outcome(run),
            human::time(
                run.nominal().unwrap_or(run.created_at),
                &setup.zone(&run.application),
            )
            .into(),
            shape::duration_ms(run)
                .map_or_else(|| "-".to_owned(), human::duration_ms)
                .into(),
            report
                .map_or_else(|| "-".to_owned(), |report| human::bytes(report.state_bytes))
                .into(),
            savepoint.map_or_else(|| "-".into(), verification),
            location.unwrap_or_else(|| "-".to_owned()).into(),
        ]);
    }
    table
}

/// The outcome of a run as a cell, or where it stands.
pub fn outcome(run: &Run) -> Cell {
    match &run.outcome {
        Some(outcome) => Cell::styled(outcome.short(), style::of_word(outcome.word())),
        None if run.unknown.is_some() => {
            Cell::styled(format!("{} (unknown)", run.phase.as_str()), style::FAIR)
        }
        None => Cell::styled(run.phase.as_str(), style::FAIR),
    }
}

/// How far a savepoint is proven, as a cell.
pub fn verification(savepoint: &Savepoint) -> Cell {
    let word = savepoint.verification.word();
    Cell::styled(word, style::of_word(word))
}

/// What the table has no room for: why, unless that was told already; warnings; what to do.
fn explain(run: &Run, told: bool) -> String {
    let mut text = String::new();
    let kept = matches!(run.outcome, Some(Outcome::Kept { .. }));
    // Writing to a String cannot fail.
    if !kept && !told {
        let _ = writeln!(text, "{}: {}", run.application, status::line(run));
    }
    for warning in &run.warnings {
        let _ = writeln!(text, "{}: warning: {warning}", run.application);
    }
    if let Some(hint) = run
        .outcome
        .as_ref()
        .and_then(|outcome| Told::of(outcome).hint)
    {
        text.push_str(&style::hint(&hint));
    }
    text
}
