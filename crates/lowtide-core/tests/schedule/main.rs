//! The schedule from outside: what it accepts, what it says, and when it fires.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod catch_up;
mod daylight_saving;
mod hash;
mod never;
mod properties;
mod texts;

use jiff::Timestamp;
use lowtide_core::schedule::{HashSeed, Schedule, parse_zone};

const ORDERS: HashSeed<'static> = HashSeed {
    platform: "vvp",
    application: "orders",
};

fn cron(text: &str, zone: &str) -> Schedule {
    Schedule::cron(text, &ORDERS, parse_zone(zone).unwrap()).unwrap()
}

fn every(text: &str) -> Schedule {
    Schedule::every(text, parse_zone("UTC").unwrap()).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The slots of a pattern after one civil time and up to another, as civil times with offsets.
fn civil_slots(text: &str, zone: &str, after: &str, until: &str) -> Vec<String> {
    let schedule = cron(text, zone);
    let instant = |civil: &str| {
        let civil: jiff::civil::DateTime = civil.parse().unwrap();
        schedule
            .zone()
            .to_ambiguous_zoned(civil)
            .compatible()
            .unwrap()
            .timestamp()
    };
    let slots = schedule.slots_between(instant(after), instant(until));
    slots
        .map(|slot| {
            let zoned = slot.to_zoned(schedule.zone().clone());
            zoned.strftime("%m-%d %H:%M %:z").to_string()
        })
        .collect()
}
