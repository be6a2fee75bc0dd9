//! What holds for every schedule.

use jiff::{SignedDuration, Timestamp};
use lowtide_core::schedule::{Schedule, Window, due, format_duration, parse_duration, parse_zone};
use proptest::prelude::*;

use crate::{ORDERS, at};

fn schedules() -> impl Strategy<Value = Schedule> {
    let zones = prop::sample::select(vec![
        "UTC",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Santiago",
        "Pacific/Apia",
        "Antarctica/Troll",
        "America/St_Johns",
    ]);
    let patterns = prop::sample::select(vec![
        "*/7 * * * *",
        "30 2 * * *",
        "0,30 0-3 * * *",
        "H H * * *",
        "H/20 1-2 * * *",
        "*/15 2 * * SUN",
        "0 0 L * *",
        "59 23 LW * FRI",
        "15 1 15W * *",
        "0 3 * * 0#2",
        "@hourly",
        "every 45m",
        "every 7d",
    ]);
    (patterns, zones).prop_map(|(text, zone)| {
        let zone = parse_zone(zone).unwrap();
        match text.strip_prefix("every ") {
            Some(period) => Schedule::every(period, zone).unwrap(),
            None => Schedule::cron(text, &ORDERS, zone).unwrap(),
        }
    })
}

/// Instants from 2009 to 2027, fractions of a second included.
fn instants() -> impl Strategy<Value = Timestamp> {
    (1_230_768_000_000_i64..1_800_000_000_000)
        .prop_map(|millis| Timestamp::from_millisecond(millis).unwrap())
}

/// Up to forty days.
fn spans() -> impl Strategy<Value = SignedDuration> {
    (0_i64..40 * 86_400).prop_map(SignedDuration::from_secs)
}

fn settings() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(256)
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn slots_increase_and_stay_within(schedule in schedules(), a in instants(), span in spans()) {
        let until = a + span;
        let slots: Vec<Timestamp> = schedule.slots_between(a, until).collect();
        prop_assert!(slots.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(slots.iter().all(|slot| a < *slot && *slot <= until));
    }

    #[test]
    fn slots_compose(
        schedule in schedules(), a in instants(), first in spans(), second in spans(),
    ) {
        let (b, c) = (a + first, a + first + second);
        let mut parts: Vec<Timestamp> = schedule.slots_between(a, b).collect();
        parts.extend(schedule.slots_between(b, c));
        let whole: Vec<Timestamp> = schedule.slots_between(a, c).collect();
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn a_split_at_a_slot_loses_and_repeats_nothing(schedule in schedules(), a in instants()) {
        let slots: Vec<Timestamp> =
            schedule.slots_between(a, a + SignedDuration::from_hours(24 * 70)).collect();
        for pair in slots.windows(2).take(50) {
            prop_assert_eq!(schedule.next_after(pair[0]), Some(pair[1]));
        }
    }

    /// However often one looks, each slot fires or is recorded, once.
    #[test]
    fn looking_often_or_seldom_deals_with_every_slot_once(
        schedule in schedules(), a in instants(), steps in prop::collection::vec(0_i64..40_000, 1..20),
    ) {
        let mut considered = a;
        let mut dealt = Vec::new();
        let mut now = a;
        for step in steps {
            now += SignedDuration::from_secs(step);
            let found = due(&schedule, considered, now, SignedDuration::from_hours(6), &[]);
            prop_assert_eq!(found.earlier_missed_count, 0);
            dealt.extend(found.missed.iter().map(|slot| slot.nominal));
            dealt.extend(found.fire);
            considered = found.considered_until;
        }
        let all: Vec<Timestamp> = schedule.slots_between(a, now).collect();
        prop_assert_eq!(dealt, all);
    }

    #[test]
    fn durations_read_as_they_are_written(millis in 0_i64..300_000_000_000) {
        let duration = SignedDuration::from_millis(millis);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }

    /// Any text is read or refused with a place inside it; none panics.
    #[test]
    fn any_text_is_read_or_refused_with_its_place(
        text in "[-0-9*/,#LWHhlwa-z@ ()é?MONFRI:]{0,24}",
        fields in prop::collection::vec("[-0-9*/,#LWHé()]{1,5}|MON-[A-Z]{3}|[0-9]{1,2}[-/,#WL][0-9]{0,2}", 5),
    ) {
        for text in [text, fields.join(" ")] {
            let zone = parse_zone("UTC").unwrap();
            let spans = [
                Schedule::cron(&text, &ORDERS, zone).err().map(|error| error.span),
                parse_duration(&text).err().map(|error| error.span),
                Window::parse(&text).err().map(|error| error.span),
            ];
            for span in spans.into_iter().flatten() {
                prop_assert!(text.get(span.clone()).is_some(), "{:?} in `{}`", span, text);
            }
        }
    }
}

/// The stated shortest interval is the shortest there is where clocks do not change.
#[test]
fn shortest_intervals_are_those_of_the_slots() {
    for text in [
        "*/7 * * * *",
        "0 1 * * *",
        "0 1,2 * * *",
        "0 0,23 * * *",
        "0 0,23 1 * *",
        "0 12 * * MON,THU",
        "0 0 1 * *",
        "0 0 31 * *",
        "0 0 L,1 * *",
        "0 0 1 1 *",
        "59 23 1-7 * */7",
    ] {
        let schedule = crate::cron(text, "UTC");
        let slots: Vec<Timestamp> = schedule
            .slots_between(at("2001-01-01T00:00:00Z"), at("2029-01-01T00:00:00Z"))
            .collect();
        let shortest = slots
            .windows(2)
            .map(|pair| pair[1].duration_since(pair[0]))
            .min();
        assert_eq!(Some(schedule.shortest_interval()), shortest, "`{text}`");
    }
    assert_eq!(
        crate::every("90m").shortest_interval(),
        SignedDuration::from_mins(90)
    );
}
