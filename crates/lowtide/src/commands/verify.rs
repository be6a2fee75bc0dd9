//! `verify`: are these savepoints whole? Level 1 looks at what there is, level 2 reads every byte.

use std::error::Error as _;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lowtide_catalog::{Catalog, ReadOutcome};
use lowtide_core::baseline::{self, Deep};
use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use lowtide_core::ports::{Catalog as _, Clock as _};
use lowtide_core::verify::{self, Reading, Report};
use lowtide_world::store::deep::{self, Pace};
use lowtide_world::store::{self, Paths, Stores};

use super::inspect::place;
use crate::cli::{Common, Verify};
use crate::config::ConfigError;
use crate::exit::Exit;
use crate::human;
use crate::printer::Printer;
use crate::progress::BytesRead;
use crate::setup::Setup;
use crate::shape;
use crate::style;
use crate::table::{Cell, Table};
use crate::trouble::Trouble;
use crate::wall_clock::WallClock;

/// `lowtide verify`
pub async fn verify(common: &Common, args: &Verify, printer: Printer) -> Result<Exit, Trouble> {
    let locations: Vec<Location> = args.locations.iter().map(|typed| place(typed)).collect();
    let stores = Setup::stores_if_there(common, &locations)?;
    let memory = if args.deep {
        Memory::open(common).await
    } else {
        Ok(None)
    };
    let looking = Looking {
        stores,
        memory,
        args,
        printer,
    };
    let mut exit = Exit::Fine;
    let mut verified = Vec::with_capacity(locations.len());
    for location in &locations {
        let one = match looking.at(location).await? {
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

/// The catalog, to compare with what it knows of a savepoint.
struct Memory {
    setup: Setup,
    catalog: Catalog,
}

impl Memory {
    /// Opens it, if there is one. A savepoint can be verified without: what is wrong with the
    /// configuration or the catalog is worth a warning.
    async fn open(common: &Common) -> Result<Option<Self>, String> {
        let setup = match Setup::read(common) {
            Ok(setup) => setup,
            Err(Trouble::Config(ConfigError::NotFound { .. })) => return Ok(None),
            Err(_) => {
                return Err("the configuration is wrong, see `lowtide check`".to_owned());
            }
        };
        let catalog = setup.catalog_if_there().await;
        let catalog = catalog.map_err(|wrong| match wrong.source() {
            Some(source) => format!("{wrong}: {source}"),
            None => wrong.to_string(),
        })?;
        Ok(catalog.map(|catalog| Self { setup, catalog }))
    }

    /// What it knows of a savepoint, and how that one's platform reaches its files.
    async fn known(&self, location: &Location) -> Result<Option<Known<'_>>, Trouble> {
        let savepoint = self
            .catalog
            .savepoint_by_location(location)
            .await
            .map_err(Trouble::catalog("look for the savepoint"))?;
        let Some(savepoint) = savepoint else {
            return Ok(None);
        };
        Ok(Some(Known {
            catalog: &self.catalog,
            paths: self.setup.paths(&savepoint.application.platform),
        }))
    }
}

/// A savepoint that the catalog knows.
struct Known<'a> {
    catalog: &'a Catalog,
    /// How the platform of its application reaches it.
    paths: Paths,
}

/// What is needed to look at savepoints.
struct Looking<'a> {
    stores: Arc<Stores>,
    /// The catalog, or why it cannot be asked.
    memory: Result<Option<Memory>, String>,
    args: &'a Verify,
    printer: Printer,
}

/// What was found of one savepoint.
struct Looked {
    report: Report,
    deep: Option<Deep>,
    compared: Option<shape::ComparedWith>,
}

impl Looking<'_> {
    async fn at(&self, location: &Location) -> Result<Result<Looked, Fault>, Trouble> {
        let known = match &self.memory {
            Ok(Some(memory)) => memory.known(location).await?,
            Ok(None) | Err(_) => None,
        };
        let plain = Paths::new(&[], Arc::clone(&self.stores));
        let paths = known.as_ref().map_or(&plain, |known| &known.paths);
        let reading = match paths.read(location).await {
            Ok(reading) => reading,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut report = verify::judge(&reading, None);
        report.warnings.extend(unproven(location));
        if let Err(why) = &self.memory {
            let warning = format!("not compared with an earlier reading: {why}");
            report.warnings.push(warning);
        }
        // What is broken already is not read to its end.
        if !self.args.deep || !report.is_whole() {
            if let Some(known) = known.filter(|_| self.args.deep) {
                let outcome = ReadOutcome {
                    at: WallClock.now(),
                    report: report.clone(),
                    every_byte: false,
                    first: None,
                };
                known.record(location, &outcome).await?;
            }
            return Ok(Ok(Looked {
                report,
                deep: None,
                compared: None,
            }));
        }
        let deep = match self.every_byte(location, &reading, paths).await {
            Ok(deep) => deep,
            Err(fault) => return Ok(Err(fault)),
        };
        let Some(known) = known else {
            let judged = baseline::judge(report, &reading, &deep, None, WallClock.now());
            return Ok(Ok(Looked {
                report: judged.report,
                deep: Some(deep),
                compared: None,
            }));
        };
        let (report, compared) = known.compare(location, report, &reading, &deep).await?;
        Ok(Ok(Looked {
            report,
            deep: Some(deep),
            compared: Some(compared),
        }))
    }

    async fn every_byte(
        &self,
        location: &Location,
        reading: &Reading,
        paths: &Paths,
    ) -> Result<Deep, Fault> {
        let pace = Pace::new(self.args.limit);
        let progress = BytesRead::new(location, deep::bytes_of(reading), self.printer);
        let reads = paths.read_deep(location, reading, &pace);
        progress
            .beside(reads, || pace.read_bytes.load(Ordering::Relaxed))
            .await
    }
}

impl Known<'_> {
    /// Compares with the baseline, and records what was found, as `serve` does.
    async fn compare(
        &self,
        location: &Location,
        report: Report,
        reading: &Reading,
        deep: &Deep,
    ) -> Result<(Report, shape::ComparedWith), Trouble> {
        let baseline = self
            .catalog
            .baseline(location)
            .await
            .map_err(Trouble::catalog("read what it was"))?;
        let now = WallClock.now();
        let judged = baseline::judge(report, reading, deep, baseline.as_ref(), now);
        let compared = shape::ComparedWith::new(&judged);
        let outcome = ReadOutcome {
            at: now,
            report: judged.report,
            every_byte: true,
            first: judged.first,
        };
        self.record(location, &outcome).await?;
        Ok((outcome.report, compared))
    }

    async fn record(&self, location: &Location, outcome: &ReadOutcome) -> Result<(), Trouble> {
        let recorded = self.catalog.end_reading(location, outcome).await;
        recorded.map_err(Trouble::catalog("record what was read"))?;
        Ok(())
    }
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
            read_bytes: self.deep.as_ref().map(Deep::bytes),
            checksums: self.deep.map(|deep| {
                let digests = deep.digests.iter();
                let checksums = digests.map(|(file, it)| shape::Checksum::new(file, it));
                checksums.collect()
            }),
            compared: self.compared,
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
        compared: None,
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
        let compared = one.compared.as_ref().filter(|_| one.verdict == "whole");
        let silent = one.findings.is_empty() && one.warnings.is_empty() && one.reason.is_none();
        if silent && compared.is_none() {
            continue;
        }
        let style = style::of_word(one.verdict);
        let _ = writeln!(text, "{} is {style}{}{style:#}", one.location, one.verdict);
        text.push_str(&human::findings(&one.findings, one.findings_total));
        if let Some(reason) = &one.reason {
            let _ = writeln!(text, "  {reason}");
        }
        if let Some(compared) = compared {
            let _ = writeln!(text, "  {}", said(compared));
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

/// What a whole savepoint was compared with.
fn said(compared: &shape::ComparedWith) -> String {
    let at = compared.at.map(human::time_utc).unwrap_or_default();
    match compared.with {
        "first-reading" => format!("every byte is as when it was first read, {at}"),
        "listing" => format!(
            "read for the first time since it was verified, {at}: its checksums are recorded"
        ),
        _ => "read for the first time: its checksums are recorded".to_owned(),
    }
}
