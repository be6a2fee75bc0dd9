//! Catch-up as a table: what came, when it is looked at, and what becomes of it.

use jiff::{SignedDuration, Timestamp};
use lowtide_core::schedule::{
    Due, LOOKBACK_MAX, MISSED_ROWS_MAX, MissedReason, Pause, Schedule, due,
};

use crate::{at, cron, every};

const SIX_HOURS: SignedDuration = SignedDuration::from_hours(6);

fn look(schedule: &Schedule, considered_until: &str, now: &str) -> Due {
    due(schedule, at(considered_until), at(now), SIX_HOURS, &[])
}

fn collapsed(due: &Due) -> Vec<Timestamp> {
    let into = MissedReason::CollapsedInto(due.fire.unwrap());
    assert!(due.missed.iter().all(|slot| slot.reason == into), "{due:?}");
    due.missed.iter().map(|slot| slot.nominal).collect()
}

#[test]
fn nothing_came() {
    let due = look(
        &cron("0 1 * * *", "UTC"),
        "2026-06-05T01:00:00Z",
        "2026-06-05T23:00:00Z",
    );
    assert_eq!(due.fire, None);
    assert!(due.missed.is_empty());
    assert_eq!(due.considered_until, at("2026-06-05T23:00:00Z"));
    assert_eq!(due.next, Some(at("2026-06-06T01:00:00Z")));
    assert_eq!(due.uncounted_until, None);
}

#[test]
fn a_slot_on_time_fires_whatever_catch_up_says() {
    let schedule = cron("0 1 * * *", "UTC");
    let (before, now) = (at("2026-06-05T00:59:59Z"), at("2026-06-05T01:00:00.2Z"));
    let due_now = due(&schedule, before, now, SignedDuration::ZERO, &[]);
    assert_eq!(due_now.fire, Some(at("2026-06-05T01:00:00Z")));
    assert!(due_now.missed.is_empty());
    let later = due(
        &schedule,
        before,
        at("2026-06-05T01:00:31Z"),
        SignedDuration::ZERO,
        &[],
    );
    assert_eq!(later.fire, None, "31 s are late");
}

#[test]
fn a_slot_fires_once() {
    let schedule = cron("0 1 * * *", "UTC");
    let first = look(&schedule, "2026-06-05T00:00:00Z", "2026-06-05T01:00:00Z");
    assert_eq!(first.fire, Some(at("2026-06-05T01:00:00Z")));
    let again = due(
        &schedule,
        first.considered_until,
        at("2026-06-05T01:00:01Z"),
        SIX_HOURS,
        &[],
    );
    assert_eq!(again.fire, None);
    assert!(again.missed.is_empty());
}

#[test]
fn several_missed_slots_collapse_into_the_newest() {
    let due = look(
        &cron("0 1 * * *", "UTC"),
        "2026-06-02T12:00:00Z",
        "2026-06-05T06:59:00Z",
    );
    assert_eq!(due.fire, Some(at("2026-06-05T01:00:00Z")));
    assert_eq!(
        collapsed(&due),
        [at("2026-06-03T01:00:00Z"), at("2026-06-04T01:00:00Z")]
    );
    assert_eq!(
        due.missed[0].to_string(),
        "collapsed into the slot of 2026-06-05T01:00:00Z"
    );
}

#[test]
fn beyond_catch_up_all_are_missed() {
    let due = look(
        &cron("0 1 * * *", "UTC"),
        "2026-06-03T12:00:00Z",
        "2026-06-05T07:00:01Z",
    );
    assert_eq!(due.fire, None);
    let texts: Vec<String> = due.missed.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "Lowtide was not running: found 30h1s late, catch-up allows 6h",
            "Lowtide was not running: found 6h1s late, catch-up allows 6h"
        ]
    );
    assert_eq!(
        look(
            &cron("0 1 * * *", "UTC"),
            "2026-06-05T00:00:00Z",
            "2026-06-05T07:00:00Z"
        )
        .fire,
        Some(at("2026-06-05T01:00:00Z")),
        "exactly catch-up late still fires"
    );
}

#[test]
fn half_the_interval_that_the_slot_opens_caps_catch_up() {
    let hourly = cron("0 * * * *", "UTC");
    let fire = |schedule: &Schedule, now| look(schedule, "2026-06-05T00:30:00Z", now).fire;
    let one = Some(at("2026-06-05T01:00:00Z"));
    assert_eq!(fire(&hourly, "2026-06-05T01:30:00Z"), one);
    assert_eq!(fire(&hourly, "2026-06-05T01:31:00Z"), None);
    // 01:00 opens one hour, 02:00 opens 23.
    let twice = cron("0 1,2 * * *", "UTC");
    assert_eq!(fire(&twice, "2026-06-05T01:31:00Z"), None);
    assert_eq!(
        fire(&twice, "2026-06-05T07:59:00Z"),
        Some(at("2026-06-05T02:00:00Z"))
    );
}

/// The smallest period is within what is on time, so its newest slot always fires.
#[test]
fn the_fastest_schedule_never_starves() {
    let due = look(
        &every("10s"),
        "2026-06-05T00:00:00Z",
        "2026-06-05T00:00:39.9Z",
    );
    assert_eq!(due.fire, Some(at("2026-06-05T00:00:30Z")));
    assert_eq!(collapsed(&due).len(), 2);
}

#[test]
fn a_schedule_that_was_just_written_fires_nothing() {
    let first_seen = "2026-06-05T03:00:00Z";
    let due = look(
        &cron("0 1 * * *", "UTC"),
        first_seen,
        "2026-06-05T03:00:01Z",
    );
    assert_eq!(due.fire, None);
    assert!(due.missed.is_empty());
}

#[test]
fn a_clock_that_runs_backwards_fires_nothing_and_forgets_nothing() {
    let schedule = cron("0 1 * * *", "UTC");
    let due = look(&schedule, "2026-06-05T12:00:00Z", "2026-06-03T12:00:00Z");
    assert_eq!(due.fire, None);
    assert!(due.missed.is_empty());
    assert_eq!(due.considered_until, at("2026-06-05T12:00:00Z"));
    assert_eq!(due.next, Some(at("2026-06-06T01:00:00Z")));
}

fn pause(from: &str, until: Option<&str>) -> Pause {
    Pause {
        from: at(from),
        until: until.map(at),
    }
}

#[test]
fn paused_time_is_not_missed_and_unpausing_fires_nothing() {
    let schedule = cron("0 * * * *", "UTC");
    let pauses = [pause("2026-06-05T01:30:00Z", Some("2026-06-05T04:10:00Z"))];
    let look = |considered, now| due(&schedule, at(considered), at(now), SIX_HOURS, &pauses);
    let after = look("2026-06-05T01:30:00Z", "2026-06-05T04:10:01Z");
    assert_eq!(after.fire, None);
    assert!(after.missed.is_empty());
    assert_eq!(after.paused_count, 3);
    assert_eq!(after.next, Some(at("2026-06-05T05:00:00Z")));
    // The slot before the pause was missed, and unpausing does not bring it back.
    let before = look("2026-06-05T00:30:00Z", "2026-06-05T04:10:01Z");
    assert_eq!(before.fire, None);
    assert_eq!(before.missed.len(), 1);
    assert_eq!(before.missed[0].reason, MissedReason::PausedBeforeFiring);
    // The next slot after the pause fires as always; the one at its end does, too.
    assert_eq!(
        look("2026-06-05T00:30:00Z", "2026-06-05T05:00:00Z").fire,
        Some(at("2026-06-05T05:00:00Z"))
    );
    let edge = [pause("2026-06-05T01:30:00Z", Some("2026-06-05T04:00:00Z"))];
    let due = due(
        &schedule,
        at("2026-06-05T01:30:00Z"),
        at("2026-06-05T04:00:00Z"),
        SIX_HOURS,
        &edge,
    );
    assert_eq!(due.fire, Some(at("2026-06-05T04:00:00Z")));
    assert_eq!(due.paused_count, 2);
}

#[test]
fn nothing_fires_during_a_pause() {
    let schedule = cron("0 * * * *", "UTC");
    let pauses = [pause("2026-06-05T01:00:05Z", None)];
    let due = due(
        &schedule,
        at("2026-06-05T00:30:00Z"),
        at("2026-06-05T01:00:10Z"),
        SIX_HOURS,
        &pauses,
    );
    assert_eq!(
        due.fire, None,
        "came just before the pause, found just after it began"
    );
    assert_eq!(due.missed[0].reason, MissedReason::PausedBeforeFiring);
}

#[test]
fn rows_are_bounded_and_the_rest_is_counted() {
    // 10 s × 1,500: the newest fires, 1,000 rows, 499 counted.
    let due = look(
        &every("10s"),
        "2026-06-05T00:00:00Z",
        "2026-06-05T04:10:00Z",
    );
    assert!(due.fire.is_some());
    assert_eq!(due.missed.len(), MISSED_ROWS_MAX);
    assert_eq!(due.earlier_missed_count, 499);
    assert!(
        due.missed[0]
            .to_string()
            .ends_with("; so were 499 earlier slots")
    );
    assert_eq!(due.missed[1].earlier_count, 0);
    assert_eq!(
        due.missed.last().unwrap().nominal,
        at("2026-06-05T04:09:50Z")
    );
}

#[test]
fn rows_are_bounded_where_nothing_fires() {
    // Every minute for 20 h, found 31 s late, with no catch-up: 1,200 missed.
    let schedule = cron("* * * * *", "UTC");
    let (from, now) = (at("2026-06-05T00:00:00Z"), at("2026-06-05T20:00:31Z"));
    let due = due(&schedule, from, now, SignedDuration::ZERO, &[]);
    assert_eq!(due.fire, None);
    assert_eq!(due.missed.len(), MISSED_ROWS_MAX);
    assert_eq!(due.earlier_missed_count, 200);
}

#[test]
fn a_clock_that_jumps_by_centuries_costs_one_look_back() {
    let due = look(&every("1h"), "2026-06-05T00:00:00Z", "9000-01-01T00:00:00Z");
    assert_eq!(
        due.uncounted_until,
        Some(at("9000-01-01T00:00:00Z") - LOOKBACK_MAX)
    );
    let hours = u64::try_from(LOOKBACK_MAX.as_hours()).unwrap();
    assert_eq!(due.fire, Some(at("9000-01-01T00:00:00Z")));
    assert_eq!(
        1 + due.missed.len() as u64 + due.earlier_missed_count,
        hours
    );
}
