//! `plan`: the slots that come next.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lowtide_core::engine::Application;
use lowtide_core::name::AppKey;
use lowtide_core::ports::Clock;
use lowtide_core::schedule::Schedule;

use crate::cli::{Common, Plan};
use crate::exit::Exit;
use crate::human;
use crate::printer::Printer;
use crate::setup::Setup;
use crate::shape;
use crate::table::Table;
use crate::trouble::Trouble;
use crate::wall_clock::WallClock;

/// `lowtide plan`
pub async fn plan(common: &Common, args: &Plan, printer: Printer) -> Result<Exit, Trouble> {
    let setup = Setup::read(common)?;
    let chosen = setup.chosen(&args.names)?;
    let paused = paused(&setup).await?;
    let now = WallClock.now();
    let until = args.until.map(|until| until.time(now));
    let mut slots = Vec::new();
    let mut table = Table::new(["name", "slot", "utc", "in", "note"]);
    for application in chosen {
        let Some(schedule) = &application.policy.schedule else {
            let blank = "-".to_owned();
            table.row([
                application.key.to_string().into(),
                blank.clone().into(),
                blank.clone().into(),
                blank.into(),
                "no schedule: only taken by hand".into(),
            ]);
            continue;
        };
        let is_paused = paused.contains(&application.key);
        for at in upcoming(schedule, now, until, args.next) {
            let slot = slot(application, schedule, at, is_paused);
            table.row([
                application.key.to_string().into(),
                human::time(at, schedule.zone()).into(),
                human::time_utc(at).into(),
                human::duration(at.duration_since(now)).into(),
                note(&slot, schedule).into(),
            ]);
            slots.push(slot);
        }
    }
    printer.table(&shape::Plan { slots }, &table, "no slots in this time")?;
    Ok(Exit::Fine)
}

fn upcoming(
    schedule: &Schedule,
    now: Timestamp,
    until: Option<Timestamp>,
    next: u32,
) -> Vec<Timestamp> {
    let count = usize::try_from(next).unwrap_or(usize::MAX);
    match until {
        Some(until) => schedule.slots_between(now, until).take(count).collect(),
        None => std::iter::successors(schedule.next_after(now), |at| schedule.next_after(*at))
            .take(count)
            .collect(),
    }
}

fn slot(
    application: &Application,
    schedule: &Schedule,
    at: Timestamp,
    paused: bool,
) -> shape::Slot {
    shape::Slot {
        platform: application.key.platform.to_string(),
        application: application.key.application.to_string(),
        at,
        local: at.to_zoned(schedule.zone().clone()).to_string(),
        held_until: application.policy.never.held_until(at),
        paused,
    }
}

fn note(slot: &shape::Slot, schedule: &Schedule) -> String {
    let held = slot.held_until.map(|until| {
        format!(
            "a never-window holds it until {}",
            human::time(until, schedule.zone())
        )
    });
    let paused = slot.paused.then(|| "paused".to_owned());
    paused
        .into_iter()
        .chain(held)
        .collect::<Vec<_>>()
        .join("; ")
}

async fn paused(setup: &Setup) -> Result<BTreeSet<AppKey>, Trouble> {
    let Some(catalog) = setup.catalog_if_there().await? else {
        return Ok(BTreeSet::new());
    };
    let pauses = catalog
        .pauses()
        .await
        .map_err(Trouble::catalog("read what is paused"))?;
    Ok(pauses
        .into_iter()
        .map(|paused| paused.application)
        .collect())
}
