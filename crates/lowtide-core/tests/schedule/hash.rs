//! `H` is a contract: the golden values here were computed by another SHA-256, from the rule in
//! the module's header, and must never change.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use jiff::civil::date;
use jiff::tz::TimeZone;
use lowtide_core::schedule::{HashSeed, Schedule};

use crate::at;

fn sentence(platform: &str, application: &str, pattern: &str) -> String {
    let seed = HashSeed {
        platform,
        application,
    };
    Schedule::cron(pattern, &seed, TimeZone::UTC)
        .unwrap()
        .describe()
}

#[test]
fn draws_never_change() {
    let drawn = |platform, application| sentence(platform, application, "H H H H *");
    assert_eq!(
        drawn("vvp", "orders"),
        "at 02:26 on day 1 of the month in Oct (UTC)"
    );
    assert_eq!(
        drawn("vvp", "payments"),
        "at 00:25 on day 27 of the month in Jul (UTC)"
    );
    assert_eq!(
        drawn("session", "orders"),
        "at 12:22 on day 23 of the month in Jul (UTC)"
    );
    assert_eq!(
        drawn("vvp", "größe"),
        "at 04:48 on day 8 of the month in Jan (UTC)"
    );
    let orders = |pattern| sentence("vvp", "orders", pattern);
    assert_eq!(orders("0 0 * * H"), "at 00:00 on Thu (UTC)");
    assert_eq!(
        orders("H/15 3 * * *"),
        "at 03:11, 03:26, 03:41 and 03:56 every day (UTC)"
    );
    assert_eq!(orders("H(30-39) 3 * * *"), "at 03:36 every day (UTC)");
}

#[test]
fn ranges_and_steps_draw_within_their_range() {
    for number in 0..500 {
        let application = format!("app-{number}");
        let seed = HashSeed {
            platform: "vvp",
            application: &application,
        };
        let slots = |pattern: &str| -> Vec<(i8, i8)> {
            let schedule = Schedule::cron(pattern, &seed, TimeZone::UTC).unwrap();
            let day = (at("2026-03-01T00:00:00Z"), at("2026-03-01T23:59:00Z"));
            let before = day.0 - SignedDuration::from_secs(1);
            let slots = schedule.slots_between(before, day.1);
            slots
                .map(|slot| TimeZone::UTC.to_datetime(slot))
                .map(|civil| (civil.hour(), civil.minute()))
                .collect()
        };
        let ranged = slots("H(10-14) H(1-3) * * *");
        assert_eq!(ranged.len(), 1);
        assert!((1..=3).contains(&ranged[0].0) && (10..=14).contains(&ranged[0].1));

        let stepped = slots("H/15 5 * * *");
        assert_eq!(stepped.len(), 4, "{stepped:?}");
        assert!(stepped[0].1 < 15);
        assert!(stepped.windows(2).all(|pair| pair[1].1 - pair[0].1 == 15));

        let both = slots("H(20-39)/10 5 * * *");
        assert_eq!(both.len(), 2, "{both:?}");
        assert!((20..30).contains(&both[0].1) && both[1].1 == both[0].1 + 10);

        let twice = slots("H(0-29),H(30-59) 5 * * *");
        assert_eq!(twice[0].1 + 30, twice[1].1, "one draw for each field");
    }
}

/// A bare `H` in the day of month is a day that every month has.
#[test]
fn a_drawn_day_comes_every_month() {
    for number in 0..200 {
        let application = format!("app-{number}");
        let seed = HashSeed {
            platform: "vvp",
            application: &application,
        };
        let schedule = Schedule::cron("0 0 H * *", &seed, TimeZone::UTC).unwrap();
        let year = (date(2025, 1, 1), date(2025, 12, 31)).into_instants();
        assert_eq!(schedule.slots_between(year.0, year.1).count(), 12);
    }
}

trait IntoInstants {
    fn into_instants(self) -> (jiff::Timestamp, jiff::Timestamp);
}

impl IntoInstants for (jiff::civil::Date, jiff::civil::Date) {
    fn into_instants(self) -> (jiff::Timestamp, jiff::Timestamp) {
        let midnight = |day: jiff::civil::Date| day.to_zoned(TimeZone::UTC).unwrap().timestamp();
        (
            midnight(self.0) - SignedDuration::from_secs(1),
            midnight(self.1),
        )
    }
}

#[test]
fn most_of_the_day_is_reached_and_every_weekday() {
    let mut times = BTreeSet::new();
    let mut weekdays = BTreeSet::new();
    let mut minutes = [0_u32; 60];
    for number in 0..10_000 {
        let application = format!("application-{number}");
        let seed = HashSeed {
            platform: "vvp",
            application: &application,
        };
        let schedule = Schedule::cron("H H * * H", &seed, TimeZone::UTC).unwrap();
        let slot = schedule.next_after(at("2026-01-01T00:00:00Z")).unwrap();
        let civil = TimeZone::UTC.to_datetime(slot);
        times.insert((civil.hour(), civil.minute()));
        weekdays.insert(civil.weekday().to_sunday_zero_offset());
        minutes[usize::from(civil.minute().unsigned_abs())] += 1;
    }
    assert!(
        times.len() >= 1_440 * 95 / 100,
        "{} of 1,440 slots",
        times.len()
    );
    assert_eq!(weekdays.len(), 7);
    // 10,000 / 60 = 167, with a standard deviation of 13.
    assert!(
        minutes.iter().all(|count| (100..250).contains(count)),
        "{minutes:?}"
    );
}

/// Of all pairs of drawn values, about as many are seen as independent draws would show.
#[test]
fn fields_are_drawn_independently() {
    let mut pairs = BTreeSet::new();
    for number in 0..2_000 {
        let application = format!("application-{number}");
        let seed = HashSeed {
            platform: "vvp",
            application: &application,
        };
        let schedule = Schedule::cron("0 0 H H *", &seed, TimeZone::UTC).unwrap();
        let slot = schedule.next_after(at("2026-01-01T00:00:00Z")).unwrap();
        let civil = TimeZone::UTC.to_datetime(slot);
        pairs.insert((civil.month(), civil.day()));
    }
    // 336 pairs; one draw for both fields would reach 84, the least common multiple of 12 and 28.
    assert!(pairs.len() > 320, "{} of 336 pairs", pairs.len());
}

#[test]
fn platform_and_application_both_count() {
    let minute = |platform, application| sentence(platform, application, "H H H H *");
    assert_ne!(minute("vvp", "orders"), minute("session", "orders"));
    assert_ne!(minute("vvp", "orders"), minute("vvp", "payments"));
    assert_ne!(minute("a", "bc"), minute("ab", "c"));
}
