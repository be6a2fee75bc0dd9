//! `inspect`: any savepoint, by itself.

use std::fmt::Write as _;

use lowtide_core::name::Location;
use lowtide_core::verify::{self, Report};

use crate::cli::{Common, Inspect};
use crate::exit::Exit;
use crate::human;
use crate::printer::Printer;
use crate::setup::Setup;
use crate::shape;
use crate::style;
use crate::table::Table;
use crate::trouble::Trouble;

/// `lowtide inspect`
pub async fn inspect(common: &Common, args: &Inspect, printer: Printer) -> Result<Exit, Trouble> {
    let location = place(&args.location);
    let stores = Setup::stores_if_there(common, std::slice::from_ref(&location))?;
    let reading = lowtide_world::read(&location, stores)
        .await
        .map_err(|source| Trouble::Unreadable {
            location: location.clone(),
            source,
        })?;
    let report = verify::judge(&reading, None);
    let (verdict, exit) = if report.is_whole() {
        ("whole", Exit::Fine)
    } else {
        ("broken", Exit::Failed)
    };
    let shape = shape::Inspected {
        location: location.to_string(),
        verdict,
        found: shape::Found::new(&report),
    };
    // Without operators there is nothing to tabulate: the summary says why.
    printer.result(&shape, || match report.operators.as_slice() {
        [] => String::new(),
        _ => table(&report).render(),
    })?;
    printer.say(&summary(&location, verdict, &report));
    Ok(exit)
}

/// The directory that is meant: relative paths count from here, and `_metadata` stands for the
/// directory that it lies in.
pub(super) fn place(typed: &str) -> Location {
    let has_scheme = typed.contains(":/");
    let whole = if has_scheme {
        typed.to_owned()
    } else {
        std::path::absolute(typed)
            .map_or_else(|_| typed.to_owned(), |path| path.display().to_string())
    };
    let location = Location::new(&whole);
    match location.as_str().strip_suffix("/_metadata") {
        Some(directory) => Location::new(directory),
        None => location,
    }
}

fn table(report: &Report) -> Table {
    let mut table = Table::new(["operator", "uid", "name", "parallelism", "max", "state"]);
    for operator in &report.operators {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            operator.id.clone().into(),
            or_dash(&operator.uid).into(),
            or_dash(&operator.name).into(),
            operator.parallelism.to_string().into(),
            operator.max_parallelism.to_string().into(),
            human::bytes(operator.state_bytes).into(),
        ]);
    }
    table
}

fn summary(location: &Location, verdict: &str, report: &Report) -> String {
    let style = style::of_word(verdict);
    let mut text = format!("{location} is {style}{verdict}{style:#}");
    // Writing to a String cannot fail.
    if let (Some(id), Some(version)) = (report.checkpoint_id, report.version) {
        let _ = write!(
            text,
            ": checkpoint {id}, metadata version {version}, {} of state in {} files",
            human::bytes(report.state_bytes),
            report.files
        );
    }
    text.push('\n');
    for finding in &report.findings {
        let _ = writeln!(text, "  {finding}");
    }
    let more = report.findings_total - report.findings.len() as u64;
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "  warning: {warning}");
    }
    text
}
