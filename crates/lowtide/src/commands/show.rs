//! `show`: everything that is known of one run, or of a savepoint that no run left.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lowtide_catalog::Catalog;
use lowtide_core::name::Location;
use lowtide_core::ports::Catalog as _;
use lowtide_core::run::{Attempt, AttemptEnd, Origin, Run};
use lowtide_core::savepoint::{Provenance, Savepoint, Verification};

use crate::cli::{Common, Show};
use crate::exit::Exit;
use crate::human;
use crate::printer::Printer;
use crate::setup::Setup;
use crate::shape::{self, Told};
use crate::status;
use crate::style;
use crate::trouble::Trouble;

/// Fewest digits of a run's id that count as one: shorter ones are rather a name.
const DIGITS_MIN: usize = 4;

/// `lowtide show`
pub async fn show(common: &Common, args: &Show, printer: Printer) -> Result<Exit, Trouble> {
    let setup = Setup::read(common)?;
    setup.must_remember("show")?;
    let catalog = setup.catalog_if_there().await?;
    let run = match find(&setup, catalog.as_ref(), &args.what).await? {
        Known::Run(run) => run,
        Known::Adopted(savepoint) => return adopted(&setup, &savepoint, printer),
    };
    let savepoints = match &catalog {
        Some(catalog) => catalog
            .savepoints_of(run.id)
            .await
            .map_err(Trouble::catalog("read what the run left"))?,
        None => Vec::new(),
    };
    let zone = setup.zone(&run.application);
    printer.result(&shape::Run::new(&run, &savepoints), || {
        text(&run, &savepoints, &zone)
    })?;
    Ok(Exit::Fine)
}

/// What can be shown.
enum Known {
    Run(Box<Run>),
    /// A savepoint that no run left.
    Adopted(Box<Savepoint>),
}

fn adopted(setup: &Setup, savepoint: &Savepoint, printer: Printer) -> Result<Exit, Trouble> {
    let zone = setup.zone(&savepoint.application);
    printer.result(&shape::Detailed::new(savepoint), || {
        let strong = style::STRONG;
        let mut page = Page {
            text: format!("{strong}{}{strong:#}\n", savepoint.application),
            zone: &zone,
        };
        page.savepoint(savepoint);
        page.text
    })?;
    Ok(Exit::Fine)
}

/// A location has a slash at its beginning or after a scheme; a name comes before digits, so that
/// an application called `cafe` can be shown.
async fn find(setup: &Setup, catalog: Option<&Catalog>, what: &str) -> Result<Known, Trouble> {
    let nothing = |suggestions| Trouble::NothingKnown {
        what: what.to_owned(),
        suggestions,
    };
    if what.starts_with('/') || what.contains(":/") {
        let known = match catalog {
            Some(catalog) => by_location(catalog, what).await?,
            None => None,
        };
        return known.ok_or_else(|| nothing(Vec::new()));
    }
    let wrong = match setup.known(what, catalog).await {
        Ok(key) => {
            let run = match catalog {
                Some(catalog) => catalog
                    .last_run(&key)
                    .await
                    .map_err(Trouble::catalog("look for the newest run"))?,
                None => None,
            };
            let run = run.ok_or(Trouble::NoRuns { application: key })?;
            return Ok(Known::Run(Box::new(run)));
        }
        Err(wrong) => wrong,
    };
    let found = match catalog {
        Some(catalog) if what.len() >= DIGITS_MIN => by_digits(catalog, what).await?,
        _ => None,
    };
    match (found, wrong) {
        (Some(run), _) => Ok(Known::Run(Box::new(run))),
        (None, Trouble::UnknownName { suggestions, .. }) => Err(nothing(suggestions)),
        (None, other) => Err(other),
    }
}

async fn by_location(catalog: &Catalog, what: &str) -> Result<Option<Known>, Trouble> {
    let savepoint = catalog
        .savepoint_by_location(&Location::new(what))
        .await
        .map_err(Trouble::catalog("look for the savepoint"))?;
    let Some(savepoint) = savepoint else {
        return Ok(None);
    };
    let Some(run) = savepoint.run() else {
        return Ok(Some(Known::Adopted(Box::new(savepoint))));
    };
    let run = catalog.run(run).await;
    let run = run.map_err(Trouble::catalog("read its run"))?;
    Ok(run.map(|run| Known::Run(Box::new(run))))
}

async fn by_digits(catalog: &Catalog, digits: &str) -> Result<Option<Run>, Trouble> {
    let mut runs = catalog
        .runs_by_prefix(digits)
        .await
        .map_err(Trouble::catalog("look for the run"))?;
    if runs.len() > 1 {
        return Err(Trouble::AmbiguousRun {
            digits: digits.to_owned(),
            candidates: runs.iter().map(|run| run.id.to_string()).collect(),
        });
    }
    Ok(runs.pop())
}

fn text(run: &Run, savepoints: &[Savepoint], zone: &TimeZone) -> String {
    let mut page = Page {
        text: String::new(),
        zone,
    };
    page.head(run);
    for attempt in &run.attempts {
        page.attempt(attempt);
    }
    for savepoint in savepoints {
        page.savepoint(savepoint);
    }
    for warning in &run.warnings {
        page.line(0, "warning", warning);
    }
    if let Some(hint) = run
        .outcome
        .as_ref()
        .and_then(|outcome| Told::of(outcome).hint)
    {
        page.text.push_str(&style::hint(&hint));
    }
    page.text
}

/// A page of `key: value` lines, later parts indented under their heads.
struct Page<'a> {
    text: String,
    zone: &'a TimeZone,
}

impl Page<'_> {
    fn line(&mut self, indent: usize, key: &str, value: &str) {
        let pad = " ".repeat(indent);
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{pad}{:<14}{value}", format!("{key}:"));
    }

    fn time(&mut self, indent: usize, key: &str, at: Option<Timestamp>) {
        if let Some(at) = at {
            let text = human::time(at, self.zone);
            self.line(indent, key, &text);
        }
    }

    fn head(&mut self, run: &Run) {
        let strong = style::STRONG;
        let _ = writeln!(self.text, "{strong}{}{strong:#}", run.application);
        self.line(0, "run", &run.id.to_string());
        self.line(0, "state", &status::line(run));
        match run.origin {
            Origin::Slot { nominal } => self.time(0, "slot", Some(nominal)),
            Origin::Take => self.line(0, "asked by", "lowtide take"),
            Origin::Run => self.line(0, "asked by", "lowtide run"),
        }
        self.time(0, "claimed", Some(run.created_at));
        self.time(0, "deadline", Some(run.trigger_deadline));
        if run.outcome.is_none() {
            self.time(0, "phase since", Some(run.phase_since));
        }
        if let Some(owner) = &run.owner {
            let until = human::time(owner.until, self.zone);
            self.line(
                0,
                "walked by",
                &format!("{}, until {until} if it does not renew", owner.who),
            );
        }
        self.time(0, "ended", run.ended_at);
        if let Some(took) = shape::duration_ms(run) {
            self.line(0, "took", &human::duration_ms(took));
        }
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let _ = writeln!(self.text, "\nattempt {}", attempt.number);
        self.line(2, "job", &attempt.job.to_string());
        self.time(2, "job started", Some(attempt.job_started_at));
        self.line(2, "format", shape::format(attempt.format));
        if let Some(own) = &attempt.directory {
            self.line(2, "target", &own.target.to_string());
        }
        match &attempt.listing {
            None => self.line(2, "trigger id", &attempt.trigger_id.to_string()),
            Some(listing) => {
                self.line(2, "mark", &attempt.trigger_id.to_string());
                if let Some(savepoint) = &listing.savepoint {
                    self.line(2, "platform's id", &savepoint.to_string());
                }
            }
        }
        self.time(2, "prepared", Some(attempt.frozen_at));
        self.time(2, "sent", attempt.sent_at);
        self.time(2, "accepted", attempt.accepted_at);
        self.time(2, "complete", attempt.completed_at);
        if let Some(end) = &attempt.end {
            self.line(2, "end", &end_text(end));
        }
    }

    fn savepoint(&mut self, savepoint: &Savepoint) {
        let standing = savepoint.standing.as_str();
        let (of, adopted_at) = match &savepoint.provenance {
            Provenance::Run { attempt, .. } => (format!("savepoint of attempt {attempt}"), None),
            Provenance::Adopted { adopted_at } => {
                ("adopted savepoint".to_owned(), Some(*adopted_at))
            }
        };
        let _ = writeln!(self.text, "\n{of}: {standing}");
        self.line(2, "where", &savepoint.location.to_string());
        if adopted_at.is_some() {
            self.time(2, "taken", Some(savepoint.taken_at));
            self.line(2, "format", shape::format(savepoint.format));
            self.time(2, "adopted", adopted_at);
        }
        match &savepoint.verification {
            Verification::Verified { at, .. } => {
                let at = human::time(*at, self.zone);
                self.line(2, "verified", &format!("whole, at {at}"));
            }
            Verification::Unverified { reason, tries, .. } => {
                self.line(2, "unverified", &format!("{reason} (tried {tries} times)"));
            }
            Verification::Broken { at, .. } => {
                let at = human::time(*at, self.zone);
                self.line(2, "broken", &format!("found at {at}"));
            }
            Verification::Nothing => self.line(2, "verified", "there is nothing to verify"),
        }
        if let Some(at) = savepoint.read_at {
            let at = human::time(at, self.zone);
            self.line(2, "read", &format!("every byte, at {at}"));
        }
        let Some(report) = savepoint.verification.report() else {
            return;
        };
        self.line(
            2,
            "size",
            &format!(
                "{} of state in {} files, {} operators",
                human::bytes(report.state_bytes),
                report.files,
                report.operators.len()
            ),
        );
        for finding in &report.findings {
            self.line(2, "finding", finding);
        }
        let more = report.findings_total - report.findings.len() as u64;
        if more > 0 {
            self.line(2, "finding", &format!("and {more} more"));
        }
        for warning in &report.warnings {
            self.line(2, "warning", warning);
        }
    }
}

fn end_text(end: &AttemptEnd) -> String {
    match end {
        AttemptEnd::Completed => "completed".to_owned(),
        AttemptEnd::NotSent { text } => format!("never sent: {text}"),
        AttemptEnd::Failed { cause } => format!("failed({}): {}", cause.kind.as_str(), cause.text),
        AttemptEnd::Lost { text } => format!("proven lost: {text}"),
        AttemptEnd::LostSight => "sight of it was lost".to_owned(),
    }
}
