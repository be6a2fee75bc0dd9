//! `verify`: are these savepoints whole? Level 1 looks at what there is, level 2 reads every byte.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use lowtide_core::verify::{self, FINDINGS_MAX, Report};
use lowtide_world::store::deep::{self, Deep, Pace};
use lowtide_world::store::{self, Stores};

use super::inspect::place;
use crate::cli::{Common, Verify};
use crate::exit::Exit;
use crate::human;
use crate::printer::Printer;
use crate::progress::BytesRead;
use crate::setup::Setup;
use crate::shape;
use crate::style;
use crate::table::{Cell, Table};
use crate::trouble::Trouble;

/// `lowtide verify`
pub async fn verify(common: &Common, args: &Verify, printer: Printer) -> Result<Exit, Trouble> {
    let locations: Vec<Location> = args.locations.iter().map(|typed| place(typed)).collect();
    let stores = Setup::stores_if_there(common, &locations)?;
    let mut exit = Exit::Fine;
    let mut verified = Vec::with_capacity(locations.len());
    for location in &locations {
        let looked = look(location, &stores, args, printer).await;
        let one = match looked {
            Ok(looked) => looked.shape(location),
            Err(fault) => unreadable(location, &fault),
        };
        exit = exit.worse(match one.verdict {
            "whole" => Exit::Fine,
            "broken" => Exit::Failed,
            _ => Exit::Unverified,
        });
        verified.push(one);
    }
    let verified = shape::Verified {
        savepoints: verified,
    };
    printer.result(&verified, || table(&verified).render())?;
    printer.say(&notes(&verified));
    Ok(exit)
}

/// What was found of one savepoint.
struct Looked {
    report: Report,
    deep: Option<Deep>,
}

async fn look(
    location: &Location,
    stores: &Arc<Stores>,
    args: &Verify,
    printer: Printer,
) -> Result<Looked, Fault> {
    let reading = lowtide_world::read(location, Arc::clone(stores)).await?;
    let mut report = verify::judge(&reading, None);
    report.warnings.extend(unproven(location));
    // What is broken already is not read to its end.
    if !args.deep || !report.is_whole() {
        return Ok(Looked { report, deep: None });
    }
    let pace = Pace::new(args.limit);
    let progress = BytesRead::new(location, deep::bytes_of(&reading), printer);
    let stores = Arc::clone(stores);
    let reads = lowtide_world::read_deep(location, &reading, stores, &pace);
    let deep = progress
        .beside(reads, || pace.read_bytes.load(Ordering::Relaxed))
        .await?;
    report.findings_total += deep.findings.len() as u64;
    report
        .findings
        .extend(deep.findings.iter().take(FINDINGS_MAX).cloned());
    Ok(Looked {
        report,
        deep: Some(deep),
    })
}

/// What is to be said of a location in a store that Lowtide was never tried with.
pub(super) fn unproven(location: &Location) -> Option<String> {
    let store = store::unproven(location)?;
    Some(format!(
        "Lowtide was never tried with a real {store}: where it errs, please tell"
    ))
}

impl Looked {
    fn shape(self, location: &Location) -> shape::VerifiedOne {
        let report = self.report;
        shape::VerifiedOne {
            location: location.to_string(),
            verdict: if report.is_whole() { "whole" } else { "broken" },
            level: Some(if self.deep.is_some() { 2 } else { 1 }),
            files: Some(report.files),
            state_bytes: Some(report.state_bytes),
            read_bytes: self
                .deep
                .as_ref()
                .map(|deep| deep.checksums.iter().map(|it| it.bytes).sum()),
            checksums: self.deep.map(|deep| {
                let checksums = deep.checksums.iter();
                checksums.map(shape::Checksum::new).collect()
            }),
            findings: report.findings,
            findings_total: report.findings_total,
            warnings: report.warnings,
            reason: None,
            hint: None,
        }
    }
}

fn unreadable(location: &Location, fault: &Fault) -> shape::VerifiedOne {
    shape::VerifiedOne {
        location: location.to_string(),
        verdict: "unreadable",
        level: None,
        files: None,
        state_bytes: None,
        read_bytes: None,
        checksums: None,
        findings: Vec::new(),
        findings_total: 0,
        warnings: Vec::new(),
        reason: Some(fault.text.clone()),
        hint: fault.hint.clone(),
    }
}

fn table(verified: &shape::Verified) -> Table {
    let mut table = Table::new(["location", "verdict", "level", "files", "state", "read"]);
    for one in &verified.savepoints {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        table.row([
            one.location.clone().into(),
            Cell::styled(one.verdict, style::of_word(one.verdict)),
            or_dash(one.level.map(|level| level.to_string())).into(),
            or_dash(one.files.map(|files| files.to_string())).into(),
            or_dash(one.state_bytes.map(human::bytes)).into(),
            or_dash(one.read_bytes.map(human::bytes)).into(),
        ]);
    }
    table
}

/// What is wrong, worth a look, or to be done, savepoint by savepoint.
fn notes(verified: &shape::Verified) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for one in &verified.savepoints {
        let more = one.findings_total - one.findings.len() as u64;
        let silent = one.findings.is_empty() && one.warnings.is_empty() && one.reason.is_none();
        if silent {
            continue;
        }
        let style = style::of_word(one.verdict);
        let _ = writeln!(text, "{} is {style}{}{style:#}", one.location, one.verdict);
        for finding in one.findings.iter().chain(&one.reason) {
            let _ = writeln!(text, "  {finding}");
        }
        if more > 0 {
            let _ = writeln!(text, "  and {more} more");
        }
        for warning in &one.warnings {
            let _ = writeln!(text, "  warning: {warning}");
        }
        if let Some(hint) = &one.hint {
            text.push_str(&style::hint(hint));
        }
    }
    text
}
