//! `diff`: what differs between two snapshots, or a snapshot and a running job, and what would
//! come of restoring the one's state in the other's job.

mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use lowtide_core::compare::{self, B, Differences, Plan, Restore, Snapshot, Verdict};
use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::name::{AppKey, JobId, Location};
use lowtide_core::verify::{self, Metadata, ParseError, Reading};
use lowtide_world::kubernetes::Source;
use lowtide_world::store::Stores;

use super::inspect::place;
use super::resolve;
use crate::asking;
use crate::cli::{Common, Diff};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::setup::Setup;
use crate::shape::diff as shape;
use crate::trouble::Trouble;
use words::Words;

/// `lowtide diff`
pub async fn diff(common: &Common, args: &Diff, printer: Printer) -> Result<Exit, Trouble> {
    let a = place(&args.a);
    let b = args.b.as_deref().map(place);
    let locations: Vec<Location> = std::iter::once(&a).chain(&b).cloned().collect();
    let stores = Setup::stores_if_there(common, &locations)?;
    let reading_a = read(&a, &stores).await?;
    let metadata_a = understood(&a, reading_a.metadata.as_ref())?;
    let mut of_a = snapshot(&a, metadata_a, &stores).await;
    of_a.findings = verify::judge(&reading_a, None).findings;
    let metadata_b;
    let (of_b, job) = if let Some(b) = &b {
        metadata_b = read_metadata(b, &stores).await?;
        let metadata = understood(b, metadata_b.as_ref())?;
        (B::Snapshot(snapshot(b, metadata, &stores).await), None)
    } else {
        // Without B, the command line has the other.
        let name = args.against_job.as_deref().unwrap_or_default();
        let (plan, job) = plan(common, name).await?;
        (B::Plan(plan), Some(job))
    };
    let differences = compare::differences(&of_a, &of_b);
    let restore = compare::restore(&of_a, &of_b, args.allow_non_restored_state);
    let words = Words {
        is_job: job.is_some(),
        may_drop: args.allow_non_restored_state,
    };
    let shape = shape(&words, (&a, b.as_ref()), job, &differences, &restore);
    printer.result(&shape, || words.report(&differences, &restore))?;
    printer.say(&words.hints(&restore));
    Ok(exit(restore.verdict, args.allow_non_restored_state))
}

/// Whoever allows that state is dropped is told, but not stopped.
fn exit(verdict: Verdict, may_drop: bool) -> Exit {
    match verdict {
        Verdict::Works => Exit::Fine,
        Verdict::Drops if may_drop => Exit::Fine,
        Verdict::Drops | Verdict::Refused => Exit::Failed,
        Verdict::CannotTell => Exit::Unknown,
    }
}

/// A is to be restored from, so it must be whole.
async fn read(location: &Location, stores: &Arc<Stores>) -> Result<Reading, Trouble> {
    let read = lowtide_world::read(location, Arc::clone(stores)).await;
    read.map_err(unreadable(location))
}

/// Of B nothing is restored: whether its files are still there does not matter.
async fn read_metadata(
    location: &Location,
    stores: &Arc<Stores>,
) -> Result<Option<Result<Metadata, ParseError>>, Trouble> {
    let read = lowtide_world::read_metadata(location, Arc::clone(stores)).await;
    read.map_err(unreadable(location))
}

fn unreadable(location: &Location) -> impl FnOnce(Fault) -> Trouble {
    move |source| Trouble::Unreadable {
        location: location.clone(),
        source,
    }
}

/// What cannot be parsed cannot be compared, and that it is broken is all there is to say.
fn understood<'a>(
    location: &Location,
    metadata: Option<&'a Result<Metadata, ParseError>>,
) -> Result<&'a Metadata, Trouble> {
    let what = match metadata {
        Some(Ok(metadata)) => return Ok(metadata),
        Some(Err(wrong)) => format!("`_metadata`: {wrong}"),
        None => "the directory has no `_metadata`".to_owned(),
    };
    Err(Trouble::Broken {
        location: location.clone(),
        what,
    })
}

async fn snapshot<'a>(
    location: &Location,
    metadata: &'a Metadata,
    stores: &Arc<Stores>,
) -> Snapshot<'a> {
    let names = lowtide_world::keyed_states(location, metadata, Arc::clone(stores)).await;
    let keyed = names.into_iter();
    Snapshot {
        metadata,
        keyed: keyed
            .map(|(id, told)| (id, told.map_err(|unknown| unknown.to_string())))
            .collect(),
        findings: Vec::new(),
    }
}

/// Finds the job that a name means just now, and asks for its plan.
async fn plan(common: &Common, name: &str) -> Result<(Plan, shape::Against), Trouble> {
    let setup = Setup::read(common)?;
    let chosen = setup.chosen(&[name.to_owned()])?;
    let key = &chosen[0].key;
    let hands = Arc::new(setup.hands(&BTreeSet::from([&key.platform]), Source::List)?);
    let jobs = asking::jobs(&hands, &chosen).await;
    if let Err(fault) = &jobs[key]
        && fault.kind != FaultKind::Gone
    {
        return Err(no_plan(key)(fault.clone()));
    }
    let means = resolve::resolution(chosen[0], &jobs[key]);
    let job = match means.jobs.as_slice() {
        [job] if means.means == "one" => job,
        _ => {
            return Err(Trouble::NoJob {
                application: key.clone(),
                reason: means.reason.unwrap_or_default(),
                hint: means.hint,
            });
        }
    };
    let asked = hands.plan(&key.platform, &JobId::new(job.id.clone())).await;
    let plan = asked.map_err(no_plan(key))?;
    let against = shape::Against {
        platform: key.platform.to_string(),
        application: key.application.to_string(),
        id: job.id.clone(),
    };
    Ok((plan, against))
}

fn no_plan(application: &AppKey) -> impl FnOnce(Fault) -> Trouble {
    move |source| Trouble::NoPlan {
        application: application.clone(),
        source,
    }
}

fn shape(
    words: &Words,
    (a, b): (&Location, Option<&Location>),
    job: Option<shape::Against>,
    differences: &Differences,
    restore: &Restore,
) -> shape::Compared {
    let reasons = restore.reasons.iter().map(|reason| shape::Reason {
        leads_to: reason.leads_to.word(),
        rule: reason.rule.word(),
        operator: reason.operator.as_ref().map(|(id, _)| id.to_string()),
        label: reason.operator.as_ref().map(|(_, label)| label.clone()),
        text: words.reason(reason),
    });
    shape::Compared {
        a: a.to_string(),
        b: b.map(ToString::to_string),
        verdict: restore.verdict.word(),
        may_drop: words.may_drop,
        reasons: reasons.collect(),
        operators: differences.operators.iter().map(Into::into).collect(),
        same_operators: differences.same_operators,
        same_states: differences.same_states,
        job,
    }
}
