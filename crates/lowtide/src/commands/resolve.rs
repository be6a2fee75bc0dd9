//! `resolve`: what each name means just now.

use std::collections::BTreeSet;
use std::sync::Arc;

use lowtide_core::engine::Application;
use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::resolve::{self, JobSeen, JobState, Resolution};
use lowtide_world::kubernetes::Source;

use crate::asking;
use crate::cli::{Common, Names};
use crate::exit::Exit;
use crate::human;
use crate::printer::Printer;
use crate::setup::Setup;
use crate::shape;
use crate::style;
use crate::table::{Cell, Table};
use crate::trouble::Trouble;

/// `lowtide resolve`
pub async fn resolve(common: &Common, args: &Names, printer: Printer) -> Result<Exit, Trouble> {
    let setup = Setup::read(common)?;
    let chosen = setup.chosen(&args.names)?;
    let platforms: BTreeSet<_> = chosen
        .iter()
        .map(|application| &application.key.platform)
        .collect();
    let hands = Arc::new(setup.hands(&platforms, Source::List)?);
    let jobs = asking::jobs(&hands, &chosen).await;
    let applications: Vec<shape::Resolution> = chosen
        .into_iter()
        .filter_map(|application| {
            let jobs = jobs.get(&application.key)?;
            Some(resolution(application, jobs))
        })
        .collect();
    let exit = if applications.iter().all(|one| one.means == "one") {
        Exit::Fine
    } else {
        Exit::Failed
    };
    let table = table(&applications);
    let hints: BTreeSet<String> = applications
        .iter()
        .filter_map(|one| one.hint.clone())
        .collect();
    let resolved = shape::Resolved { applications };
    printer.table(&resolved, &table, "no applications are configured")?;
    for hint in hints {
        printer.say(&style::hint(&hint));
    }
    Ok(exit)
}

/// What the name of an application means, by what its platform lists.
pub(super) fn resolution(
    application: &Application,
    jobs: &Result<Vec<JobSeen>, Fault>,
) -> shape::Resolution {
    let mut shape = shape::Resolution {
        platform: application.key.platform.to_string(),
        application: application.key.application.to_string(),
        means: "unreachable",
        jobs: Vec::new(),
        suggestions: Vec::new(),
        reason: None,
        hint: None,
    };
    let wanted = &application.policy.job;
    match jobs {
        Err(fault) => {
            if fault.kind == FaultKind::Gone {
                shape.means = "none";
            }
            shape.reason = Some(fault.text.clone());
            shape.hint.clone_from(&fault.hint);
        }
        Ok(jobs) => match resolve::resolve(wanted, jobs) {
            Resolution::One(job) => {
                shape.means = "one";
                shape.jobs.push(job_shape(job));
            }
            Resolution::Several(several) => {
                shape.means = "several";
                shape.reason = Some(format!(
                    "{} running jobs are named `{wanted}`",
                    several.len()
                ));
                shape.hint = Some(format!(
                    "give each job a name of its own, or cancel all but one of those named `{wanted}`"
                ));
                shape.jobs.extend(several.into_iter().map(job_shape));
            }
            Resolution::None { ended, suggestions } => {
                shape.means = "none";
                shape.reason = Some(format!("no running job is named `{wanted}`"));
                let suspended = ended
                    .as_ref()
                    .is_some_and(|job| job.state == JobState::Suspended);
                shape.hint = if suspended {
                    Some(format!(
                        "`{wanted}` is suspended, with its state saved; resume it, or take it off the list until then"
                    ))
                } else {
                    did_you_mean(wanted, &suggestions)
                };
                shape.jobs.extend(ended.map(job_shape));
                shape.suggestions = suggestions;
            }
        },
    }
    shape
}

fn did_you_mean(wanted: &str, suggestions: &[String]) -> Option<String> {
    if suggestions.is_empty() {
        return None;
    }
    let quoted: Vec<String> = suggestions.iter().map(|name| format!("`{name}`")).collect();
    Some(format!(
        "instead of `{wanted}` there is {}: did you mean that? `job:` gives an application's job another name",
        human::list(&quoted)
    ))
}

fn job_shape(job: JobSeen) -> shape::Job {
    shape::Job {
        id: job.id.to_string(),
        name: job.name,
        state: job.state.as_str(),
        started_at: job.started_at,
    }
}

fn table(applications: &[shape::Resolution]) -> Table {
    let mut table = Table::new(["name", "means", "job", "state", "since", "note"]);
    for one in applications {
        let name = format!("{}/{}", one.platform, one.application);
        let means = match one.means {
            "one" => Cell::styled("one job", style::GOOD),
            "several" => Cell::styled("several jobs", style::BAD),
            "none" => Cell::styled("no job", style::BAD),
            _ => Cell::styled("not known", style::FAIR),
        };
        let note = one.reason.clone().unwrap_or_default();
        if one.jobs.is_empty() {
            let blank = || Cell::from("-");
            table.row([name.into(), means, blank(), blank(), blank(), note.into()]);
            continue;
        }
        for job in &one.jobs {
            table.row([
                name.clone().into(),
                means.clone(),
                job.id.clone().into(),
                job.state.into(),
                human::time_utc(job.started_at).into(),
                note.clone().into(),
            ]);
        }
    }
    table
}
