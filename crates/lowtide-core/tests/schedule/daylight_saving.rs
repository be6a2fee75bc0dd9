//! The rule of daylight saving, case by case, in civil times that can be checked by eye.

use jiff::SignedDuration;

use crate::{at, civil_slots, cron, every};

#[test]
fn a_skipped_time_fires_at_the_first_valid_instant() {
    let slots = |text| {
        civil_slots(
            text,
            "America/New_York",
            "2026-03-08T00:00",
            "2026-03-08T06:00",
        )
    };
    assert_eq!(slots("30 2 * * *"), ["03-08 03:00 -04:00"]);
    assert_eq!(
        slots("0,30 2 * * *"),
        ["03-08 03:00 -04:00"],
        "one gap, one slot"
    );
    assert_eq!(
        slots("0 2,3 * * *"),
        ["03-08 03:00 -04:00"],
        "the gap's end is the same slot"
    );
    assert_eq!(
        slots("0,30 2,3 * * *"),
        ["03-08 03:00 -04:00", "03-08 03:30 -04:00"]
    );
    assert_eq!(slots("59 1 * * *"), ["03-08 01:59 -05:00"]);
}

#[test]
fn a_wildcard_follows_elapsed_time() {
    let spring = |text| {
        civil_slots(
            text,
            "America/New_York",
            "2026-03-08T00:59",
            "2026-03-08T04:00",
        )
    };
    assert_eq!(
        spring("30 * * * *"),
        ["03-08 01:30 -05:00", "03-08 03:30 -04:00"],
        "an hour apart, nothing for the skipped one"
    );
    assert_eq!(spring("*/30 2 * * *"), Vec::<String>::new());

    let autumn = |text| {
        civil_slots(
            text,
            "America/New_York",
            "2026-11-01T00:59",
            "2026-11-01T02:00",
        )
    };
    assert_eq!(
        autumn("30 * * * *"),
        ["11-01 01:30 -04:00", "11-01 01:30 -05:00"]
    );
    assert_eq!(
        autumn("*/30 1 * * *"),
        [
            "11-01 01:00 -04:00",
            "11-01 01:30 -04:00",
            "11-01 01:00 -05:00",
            "11-01 01:30 -05:00"
        ]
    );
}

#[test]
fn a_repeated_time_fires_at_its_first_occurrence() {
    let slots = |text| {
        civil_slots(
            text,
            "America/New_York",
            "2026-11-01T00:00",
            "2026-11-01T06:00",
        )
    };
    assert_eq!(slots("30 1 * * *"), ["11-01 01:30 -04:00"]);
    assert_eq!(
        slots("0 1,2 * * *"),
        ["11-01 01:00 -04:00", "11-01 02:00 -05:00"]
    );
    assert_eq!(
        slots("0-1 1 * * *"),
        ["11-01 01:00 -04:00", "11-01 01:01 -04:00"]
    );
}

/// `H` is a number once it is drawn, and `H/15` steps from one: neither begins with `*`.
#[test]
fn h_is_fixed_time() {
    let autumn = |text| {
        civil_slots(
            text,
            "America/New_York",
            "2026-11-01T00:59",
            "2026-11-01T02:59",
        )
    };
    assert_eq!(autumn("H 1 * * *").len(), 1);
    assert_eq!(
        autumn("H/15 1 * * *").len(),
        4,
        "the repeated hour counts once"
    );
    assert_eq!(autumn("*/15 1 * * *").len(), 8);
    assert!(cron("H * * * *", "UTC").describe().starts_with("at minute"));
    assert_eq!(autumn("H * * * *").len(), 3, "the hour begins with `*`");
}

#[test]
fn a_list_that_only_holds_a_star_later_is_fixed_time() {
    let autumn = |text| {
        civil_slots(
            text,
            "America/New_York",
            "2026-11-01T00:59",
            "2026-11-01T01:59",
        )
    };
    assert_eq!(autumn("0,* 1 * * *").len(), 60);
    let both = civil_slots(
        "*,0 1 * * *",
        "America/New_York",
        "2026-11-01T00:59",
        "2026-11-01T03:00",
    );
    assert_eq!(both.len(), 120);
}

#[test]
fn a_gap_of_half_an_hour() {
    let slots = |text| {
        civil_slots(
            text,
            "Australia/Lord_Howe",
            "2026-10-04T00:00",
            "2026-10-04T04:00",
        )
    };
    assert_eq!(slots("0 2 * * *"), ["10-04 02:30 +11:00"]);
    assert_eq!(
        slots("0,15,30,45 2 * * *"),
        ["10-04 02:30 +11:00", "10-04 02:45 +11:00"]
    );
    assert_eq!(slots("45 2 * * *"), ["10-04 02:45 +11:00"]);
}

#[test]
fn a_gap_at_midnight() {
    let slots = |text| {
        civil_slots(
            text,
            "America/Santiago",
            "2026-09-05T12:00",
            "2026-09-06T12:00",
        )
    };
    assert_eq!(slots("0 0 * * *"), ["09-06 01:00 -03:00"]);
    assert_eq!(slots("@daily"), ["09-06 01:00 -03:00"]);
    assert_eq!(slots("0 0 6 * *"), ["09-06 01:00 -03:00"]);
    assert_eq!(slots("0 0 * * SUN"), ["09-06 01:00 -03:00"]);
    assert_eq!(slots("30 23 * * *"), ["09-05 23:30 -04:00"]);
}

/// Clocks go back at midnight: 23:00 to 24:00 of the day before comes twice.
#[test]
fn an_overlap_that_crosses_midnight() {
    let slots = |text| {
        civil_slots(
            text,
            "America/Santiago",
            "2026-04-04T12:00",
            "2026-04-05T12:00",
        )
    };
    assert_eq!(slots("30 23 * * *"), ["04-04 23:30 -03:00"]);
    assert_eq!(slots("0 0 * * *"), ["04-05 00:00 -04:00"]);
    assert_eq!(slots("30 * * * *").len(), 25, "the day has 25 hours");
}

/// At 00:01 the clock goes back to 23:01 of the day before: an end within the repeated hour is a
/// day before a slot that it includes.
#[test]
fn an_end_within_an_overlap_that_crosses_midnight() {
    let schedule = cron("0 0 * * *", "America/St_Johns");
    let midnight = at("2010-11-07T02:30:00Z");
    let slots: Vec<_> = schedule
        .slots_between(
            midnight - SignedDuration::from_hours(1),
            at("2010-11-07T02:40:00Z"),
        )
        .collect();
    assert_eq!(slots, [midnight]);
    assert_eq!(
        schedule.next_after(midnight),
        Some(at("2010-11-08T03:30:00Z"))
    );
}

#[test]
fn a_day_that_was_skipped_whole_is_a_gap() {
    let slots = |text| civil_slots(text, "Pacific/Apia", "2011-12-29T12:00", "2011-12-31T12:00");
    assert_eq!(
        slots("0 1 * * *"),
        ["12-31 00:00 +14:00", "12-31 01:00 +14:00"]
    );
    assert_eq!(
        slots("0 0 * * *"),
        ["12-31 00:00 +14:00"],
        "the 30th and the 31st are one instant"
    );
    assert_eq!(
        slots("0 1 30 * *"),
        ["12-31 00:00 +14:00"],
        "days are those of the skipped date"
    );
    assert_eq!(
        slots("0 1 * * FRI"),
        ["12-31 00:00 +14:00"],
        "the 30th was a Friday"
    );
    assert_eq!(slots("0 1 31 * *"), ["12-31 01:00 +14:00"]);
    assert_eq!(slots("0,30 0-23 30 12 *"), ["12-31 00:00 +14:00"]);
    assert_eq!(
        slots("0 * 30 12 *"),
        Vec::<String>::new(),
        "a wildcard follows elapsed time"
    );
    assert_eq!(
        slots("0 */6 * * *"),
        [
            "12-29 18:00 -10:00",
            "12-31 00:00 +14:00",
            "12-31 06:00 +14:00",
            "12-31 12:00 +14:00"
        ]
    );
}

#[test]
fn every_counts_from_the_epoch_and_knows_no_zone() {
    let schedule = every("6h");
    let slots = |after: &str, until: &str| -> Vec<String> {
        schedule
            .slots_between(at(after), at(until))
            .map(|slot| slot.to_string())
            .collect()
    };
    assert_eq!(
        slots("2026-03-08T00:00:00Z", "2026-03-08T12:00:00Z"),
        ["2026-03-08T06:00:00Z", "2026-03-08T12:00:00Z"],
        "the start is excluded, the end included"
    );
    assert_eq!(
        slots("1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00Z"),
        ["1970-01-01T00:00:00Z"]
    );
    assert_eq!(
        slots("1969-12-31T18:00:00Z", "1970-01-01T00:00:00Z"),
        ["1970-01-01T00:00:00Z"]
    );
    assert_eq!(
        slots("1969-12-31T17:59:59.9Z", "1969-12-31T19:00:00Z"),
        ["1969-12-31T18:00:00Z"]
    );
    let week = every("7d").next_after(at("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(week.as_second() % (7 * 86_400), 0);
}

#[test]
fn rare_days_are_found_without_walking() {
    let leap = cron("0 0 29 2 *", "UTC");
    assert_eq!(
        leap.next_after(at("2097-01-01T00:00:00Z")),
        Some(at("2104-02-29T00:00:00Z"))
    );
    // 29 February on a Sunday: 2088, then not before 2128, because 2100 is no leap year.
    let sunday = cron("0 0 29 2 */7", "UTC");
    assert_eq!(
        sunday.next_after(at("2060-02-29T00:00:00Z")),
        Some(at("2088-02-29T00:00:00Z"))
    );
    assert_eq!(
        sunday.next_after(at("2088-02-29T00:00:00Z")),
        Some(at("2128-02-29T00:00:00Z"))
    );
    assert_eq!(sunday.next_after(jiff::Timestamp::MAX), None);
    let end = jiff::Timestamp::MAX - SignedDuration::from_hours(24);
    assert!(
        cron("* * * * *", "UTC")
            .slots_between(end, jiff::Timestamp::MAX)
            .count()
            >= 1_439
    );
}

#[test]
fn the_ends_of_time_are_reached_quietly() {
    let (first, last) = (jiff::Timestamp::MIN, jiff::Timestamp::MAX);
    let two_days = SignedDuration::from_hours(48);
    for zone in ["UTC", "America/New_York", "Pacific/Apia"] {
        for text in ["30 2 * * *", "* 2 * * *"] {
            let schedule = cron(text, zone);
            assert!(schedule.next_after(first).is_some());
            assert!(
                schedule
                    .slots_between(last - two_days, last)
                    .next()
                    .is_some()
            );
            assert_eq!(schedule.next_after(last), None);
            assert_eq!(schedule.slots_between(last, first).next(), None);
        }
    }
    assert_eq!(every("6h").next_after(last), None);
    assert!(every("6h").next_after(first).is_some());
}

#[test]
fn days_of_all_kinds() {
    let days = |text: &str, month: &str| -> Vec<String> {
        let (after, until) = (format!("{month}-01T00:00"), format!("{month}-28T23:59"));
        let slots = civil_slots(&format!("1 0 {text}"), "UTC", &after, &until);
        slots.iter().map(|slot| slot[3..5].to_owned()).collect()
    };
    // February 2026 begins on a Sunday and ends on Saturday the 28th.
    assert_eq!(days("L * *", "2026-02"), ["28"]);
    assert_eq!(days("LW * *", "2026-02"), ["27"]);
    assert_eq!(days("L-27,L-3 * *", "2026-02"), ["01", "25"]);
    assert_eq!(days("1W,15W,28W * *", "2026-02"), ["02", "16", "27"]);
    assert_eq!(days("* * 5L", "2026-02"), ["27"]);
    assert_eq!(days("* * FRI#2,SUN#1", "2026-02"), ["01", "13"]);
    assert_eq!(days("13 * FRI", "2026-02"), ["06", "13", "20", "27"]);
    assert_eq!(
        days("5 * MON", "2026-02"),
        ["02", "05", "09", "16", "23"],
        "either is enough"
    );
    assert_eq!(
        days("*/2 * MON", "2026-02"),
        ["09", "23"],
        "begins with `*`: both"
    );
    assert_eq!(
        days("1-7 * */7", "2026-02"),
        ["01"],
        "begins with `*`: both"
    );
    assert_eq!(days("* * 7", "2026-02"), days("* * 0", "2026-02"));
    assert_eq!(days("* * FRI-SUN", "2026-02"), days("* * 0,5,6", "2026-02"));
}
