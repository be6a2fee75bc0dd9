//! `check`: is the configuration right, and with `--online`: would it work?

use std::collections::BTreeSet;
use std::sync::Arc;

use lowtide_core::engine::Application;
use lowtide_core::name::Location;
use lowtide_core::ports::Clock;
use lowtide_core::schedule::Schedule;
use lowtide_world::kubernetes::Source;
use lowtide_world::store;

use crate::asking::{self, Rehearsed};
use crate::cli::{Check, Common};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::setup::Setup;
use crate::shape::{self, Told};
use crate::style;
use crate::table::{Cell, Table};
use crate::trouble::Trouble;
use crate::wall_clock::WallClock;

/// `lowtide check`
pub async fn check(common: &Common, args: &Check, printer: Printer) -> Result<Exit, Trouble> {
    let setup = Setup::read(common)?;
    let (online, exit) = if args.online {
        let (online, exit) = ask(&setup).await?;
        (Some(online), exit)
    } else {
        (None, Exit::Fine)
    };
    let config = setup.config.path.display().to_string();
    let checked = shape::Checked {
        config: config.clone(),
        catalog: setup.config.catalog.to_string(),
        applications: setup.config.applications.iter().map(understood).collect(),
        online,
        warnings: unproven(&setup.config.applications),
    };
    printer.result(&checked, || match &checked.online {
        Some(online) => online_table(online).render(),
        None => table(&checked).render(),
    })?;
    printer.say(&format!(
        "{config} is right: {} on {}; the catalog is {}\n",
        counted(setup.config.applications.len(), "application"),
        counted(setup.config.platforms.len(), "platform"),
        checked.catalog,
    ));
    for warning in &checked.warnings {
        printer.say(&format!("warning: {warning}\n"));
    }
    for hint in checked
        .online
        .iter()
        .flatten()
        .flat_map(|online| &online.hints)
        .collect::<BTreeSet<_>>()
    {
        printer.say(&style::hint(hint));
    }
    Ok(exit)
}

/// Targets in stores that no test of Lowtide was ever run against.
fn unproven(applications: &[Application]) -> Vec<String> {
    let targets = applications.iter().filter_map(|application| {
        let target = application.policy.target.as_deref()?;
        let warning = never_tried(&Location::new(target))?;
        Some(format!("{}: {warning}", application.key))
    });
    targets.collect()
}

fn never_tried(location: &Location) -> Option<String> {
    let store = store::unproven(location)?;
    Some(format!(
        "{location}: Lowtide was never tried with a real {store}; take a savepoint and verify it before you rely on it"
    ))
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn understood(application: &Application) -> shape::CheckedApplication {
    let Application { key, policy } = application;
    shape::CheckedApplication {
        platform: key.platform.to_string(),
        application: key.application.to_string(),
        job: policy.job.clone(),
        schedule: policy.schedule.as_ref().map(Schedule::describe),
        format: shape::format(policy.format),
        target: policy.target.clone(),
    }
}

fn table(checked: &shape::Checked) -> Table {
    let mut table = Table::new(["name", "job", "format", "target", "schedule"]);
    for one in &checked.applications {
        table.row([
            format!("{}/{}", one.platform, one.application).into(),
            one.job.clone().into(),
            one.format.into(),
            one.target
                .clone()
                .unwrap_or_else(|| "the cluster's own".to_owned())
                .into(),
            one.schedule
                .clone()
                .unwrap_or_else(|| "none: only taken by hand".to_owned())
                .into(),
        ]);
    }
    table
}

async fn ask(setup: &Setup) -> Result<(Vec<shape::Online>, Exit), Trouble> {
    let applications = &setup.config.applications;
    let platforms: BTreeSet<_> = applications
        .iter()
        .map(|application| &application.key.platform)
        .collect();
    let hands = Arc::new(setup.hands(&platforms, Source::List)?);
    let all: Vec<_> = applications.iter().collect();
    let jobs = asking::jobs(&hands, &all).await;
    let mut exit = Exit::Fine;
    let mut online = Vec::with_capacity(applications.len());
    for application in applications {
        let rehearsed = match jobs.get(&application.key) {
            Some(jobs) => asking::rehearse(&*hands, application, jobs, WallClock.now()).await,
            None => continue,
        };
        let (one, its_exit) = judged(application, &rehearsed);
        exit = exit.worse(its_exit);
        online.push(one);
    }
    Ok((online, exit))
}

fn judged(application: &Application, rehearsed: &Rehearsed) -> (shape::Online, Exit) {
    let mut notes: Vec<String> = Vec::new();
    let mut hints: Vec<String> = Vec::new();
    let exit = match rehearsed {
        Rehearsed::Ready { .. } => Exit::Fine,
        Rehearsed::Blind { fault, .. } => {
            notes.push(format!("a savepoint would end unverified: {}", fault.text));
            hints.extend(fault.hint.clone());
            Exit::Unverified
        }
        Rehearsed::Unreachable(fault) => {
            notes.push(fault.text.clone());
            hints.extend(fault.hint.clone());
            Exit::Failed
        }
        Rehearsed::Held { run } => {
            if let Some(outcome) = &run.outcome {
                let told = Told::of(outcome);
                notes.extend(told.reason);
                hints.extend(told.hint);
                Exit::Failed
            } else {
                let why = run.hold.as_ref().map(|hold| &hold.why);
                notes.extend(why.map(|why| format!("would wait just now: {why}")));
                Exit::Fine
            }
        }
    };
    let run = rehearsed.run();
    notes.extend(run.into_iter().flat_map(|run| run.warnings.clone()));
    // One that the configuration does not name is the cluster's own.
    let reported = run.and_then(|run| run.attempt()?.directory.as_ref());
    if let (Some(directory), None) = (reported, &application.policy.target) {
        notes.extend(never_tried(&directory.base));
    }
    let online = shape::Online {
        platform: application.key.platform.to_string(),
        application: application.key.application.to_string(),
        ok: exit == Exit::Fine,
        job: run
            .and_then(|run| run.job.as_ref())
            .map(ToString::to_string),
        notes,
        hints,
    };
    (online, exit)
}

fn online_table(online: &[shape::Online]) -> Table {
    let mut table = Table::new(["name", "ready", "job", "notes"]);
    for one in online {
        let ready = if one.ok {
            Cell::styled("yes", style::GOOD)
        } else {
            Cell::styled("no", style::BAD)
        };
        table.row([
            format!("{}/{}", one.platform, one.application).into(),
            ready,
            one.job.clone().unwrap_or_else(|| "-".to_owned()).into(),
            one.notes.join("; ").into(),
        ]);
    }
    table
}
