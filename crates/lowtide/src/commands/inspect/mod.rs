//! `inspect`: any savepoint, by itself.

mod notes;
mod text;
mod tree;
mod whole;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use lowtide_core::name::Location;
use lowtide_core::resolve::suggestions;
use lowtide_core::verify::{self, Report};
use lowtide_world::store::headers::StateNames;
use text::{LINE_COLUMNS, clean, listed};

use super::verify::unproven;
use crate::cli::{Common, Inspect};
use crate::exit::Exit;
use crate::human;
use crate::inspected::{Inspected, Operator};
use crate::printer::Printer;
use crate::setup::Setup;
use crate::style;
use crate::trouble::Trouble;
use crate::uids;

/// Fewest digits that stand for an id: fewer would be a word by accident.
const ID_DIGITS_MIN: usize = 4;

/// `lowtide inspect`
pub async fn inspect(common: &Common, args: &Inspect, printer: Printer) -> Result<Exit, Trouble> {
    let labels = match &args.uids {
        Some(path) => uids::read(path).map_err(|source| Trouble::Uids {
            path: path.clone(),
            source,
        })?,
        None => BTreeMap::new(),
    };
    let location = place(&args.location);
    let stores = Setup::stores_if_there(common, std::slice::from_ref(&location))?;
    let reading = lowtide_world::read(&location, Arc::clone(&stores))
        .await
        .map_err(|source| Trouble::Unreadable {
            location: location.clone(),
            source,
        })?;
    let mut report = verify::judge(&reading, None);
    report.warnings.extend(unproven(&location));
    let names = match &reading.metadata {
        Some(Ok(metadata)) => lowtide_world::keyed_states(&location, metadata, stores).await,
        Some(Err(_)) | None => StateNames::new(),
    };
    let exit = exit(&report);
    let mut inspected = Inspected::new(&location, &reading, report, &names, &labels);
    // Where nothing could be read there is nothing to choose from: the summary says why.
    if let Some(typed) = &args.operator
        && inspected.metadata_version.is_some()
    {
        choose(&mut inspected, typed)?;
    }
    printer.result(&inspected, || match &args.operator {
        _ if inspected.metadata_version.is_none() => String::new(),
        Some(_) => whole::operators(&inspected),
        None => tree::tree(&inspected, args.all) + &notes::notes(&inspected),
    })?;
    printer.say(&summary(&inspected));
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

/// Leaves only the operators that are meant; several, if they share a name.
fn choose(inspected: &mut Inspected, typed: &str) -> Result<(), Trouble> {
    let is_named = |operator: &Operator| {
        let names = [&operator.uid, &operator.name].into_iter().flatten();
        operator.id == typed.to_ascii_lowercase() || names.into_iter().any(|name| name == typed)
    };
    let digits = typed.to_ascii_lowercase();
    let begins =
        |operator: &Operator| digits.len() >= ID_DIGITS_MIN && operator.id.starts_with(&digits);
    let operators = &mut inspected.operators;
    if operators.iter().any(is_named) {
        operators.retain(is_named);
    } else if operators.iter().any(begins) {
        operators.retain(begins);
    } else {
        let known = operators.iter().map(Operator::label);
        return Err(Trouble::NoOperator {
            operator: typed.to_owned(),
            suggestions: suggestions(typed, known),
        });
    }
    Ok(())
}

fn exit(report: &Report) -> Exit {
    if report.is_whole() {
        Exit::Fine
    } else {
        Exit::Failed
    }
}

fn summary(inspected: &Inspected) -> String {
    let (location, verdict) = (&inspected.location, inspected.verdict);
    let style = style::of_word(verdict);
    let mut text = format!("{location} is {style}{verdict}{style:#}");
    // Writing to a String cannot fail.
    if let (Some(id), Some(version)) = (inspected.checkpoint_id, inspected.metadata_version) {
        let _ = write!(
            text,
            ": checkpoint {id}, metadata version {version}, {} of state in {} files",
            human::bytes(inspected.state_bytes),
            inspected.files
        );
    }
    text.push('\n');
    text.push_str(&human::findings(
        &inspected.findings,
        inspected.findings_total,
    ));
    for warning in &inspected.warnings {
        let _ = writeln!(text, "  warning: {warning}");
    }
    if !inspected.uids_unmatched.is_empty() {
        let what = "  warning: no operator here has these uids of the list: ";
        let uids: Vec<String> = inspected
            .uids_unmatched
            .iter()
            .map(|it| clean(it))
            .collect();
        let listed = listed(&uids, LINE_COLUMNS - what.len());
        let _ = writeln!(text, "{what}{listed}");
    }
    text
}
