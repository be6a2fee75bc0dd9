//! Never-windows: what they accept, and how long they hold.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lowtide_core::schedule::{Hold, Never, NeverError, WINDOWS_MAX, Window, parse_zone};

use crate::at;

fn never(windows: &[&str], zone: &str) -> Never {
    let windows = windows
        .iter()
        .map(|text| Window::parse(text).unwrap())
        .collect();
    Never::new(windows, parse_zone(zone).unwrap()).unwrap()
}

fn held(windows: &[&str], zone: &str, instant: &str) -> Option<Timestamp> {
    never(windows, zone).held_until(at(instant))
}

#[test]
fn a_window_holds_until_its_end_and_not_at_it() {
    // 2026-06-05 is a Friday; Berlin is two hours ahead.
    let office = &["Mon-Fri 08:00-18:00"][..];
    let until = |instant| held(office, "Europe/Berlin", instant);
    assert_eq!(until("2026-06-05T05:59:59Z"), None);
    assert_eq!(
        until("2026-06-05T06:00:00Z"),
        Some(at("2026-06-05T16:00:00Z"))
    );
    assert_eq!(
        until("2026-06-05T15:59:59Z"),
        Some(at("2026-06-05T16:00:00Z"))
    );
    assert_eq!(until("2026-06-05T16:00:00Z"), None);
    assert_eq!(until("2026-06-06T10:00:00Z"), None, "Saturday");
    assert_eq!(until("2026-06-07T10:00:00Z"), None, "Sunday");
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_it_begins() {
    let until = |text: &str, instant| held(&[text], "UTC", instant);
    let end = Some(at("2026-06-06T04:00:00Z"));
    assert_eq!(until("Fri 22:00-04:00", "2026-06-05T22:00:00Z"), end);
    assert_eq!(until("Fri 22:00-04:00", "2026-06-06T03:59:00Z"), end);
    assert_eq!(until("Fri 22:00-04:00", "2026-06-05T03:00:00Z"), None);
    assert_eq!(
        until("22:00-04:00", "2026-06-05T03:00:00Z"),
        Some(at("2026-06-05T04:00:00Z"))
    );
}

#[test]
fn touching_and_overlapping_windows_are_one() {
    let windows = &[
        "Fri 20:00-24:00",
        "Sat-Sun",
        "Mon 0:00-06:00",
        "Mon 05:00-07:00",
    ];
    assert_eq!(
        held(windows, "UTC", "2026-06-05T21:00:00Z"),
        Some(at("2026-06-08T07:00:00Z"))
    );
    assert_eq!(
        held(&["Sat-Mon 00:00-24:00"], "UTC", "2026-06-06T00:00:00Z"),
        Some(at("2026-06-09T00:00:00Z")),
        "days may run over the end of the week"
    );
}

/// All but one minute of the week, and the change of the clock swallows that minute.
#[test]
fn a_swallowed_opening_ends() {
    let windows = &["Sun 02:01-24:00", "Mon-Sat", "Sun 00:00-02:00"];
    let found = held(windows, "America/New_York", "2026-03-07T12:00:00Z");
    assert_eq!(
        found,
        Some(at("2026-03-15T06:00:00Z")),
        "02:00 of the next Sunday"
    );
}

#[test]
fn edges_and_changes_of_the_clock() {
    let until = |text: &str, zone, instant| held(&[text], zone, instant);
    // The end 02:30 is skipped: the window ends with the gap.
    let new_york = "America/New_York";
    let gap_end = Some(at("2026-03-08T07:00:00Z"));
    assert_eq!(
        until("01:00-02:30", new_york, "2026-03-08T06:30:00Z"),
        gap_end
    );
    // Both edges are skipped: nothing is left of the window.
    assert_eq!(until("02:00-02:30", new_york, "2026-03-08T07:00:00Z"), None);
    // 01:00 to 01:30 comes twice: from the first start to the second end.
    let second = Some(at("2026-11-01T06:30:00Z"));
    assert_eq!(
        until("01:00-01:30", new_york, "2026-11-01T05:00:00Z"),
        second
    );
    assert_eq!(
        until("01:00-01:30", new_york, "2026-11-01T06:29:00Z"),
        second
    );
    // It began on Sunday at 00:00; a minute later the clock went back to Saturday, 23:01.
    assert_eq!(
        until(
            "Sun 00:00-08:00",
            "America/St_Johns",
            "2010-11-07T02:40:00Z"
        ),
        Some(at("2010-11-07T11:30:00Z"))
    );
    // The skipped Friday of Apia: its windows shrink to the gap's end, and run on from there.
    let end = Some(at("2011-12-30T14:00:00Z"));
    assert_eq!(
        until("Fri 22:00-04:00", "Pacific/Apia", "2011-12-30T10:00:00Z"),
        end
    );
    assert_eq!(
        until("Fri 08:00-18:00", "Pacific/Apia", "2011-12-30T10:00:00Z"),
        None
    );
}

#[test]
fn the_deadline_decides_between_waiting_and_skipping() {
    let never = never(&["08:00-18:00"], "UTC");
    let (now, end) = (at("2026-06-05T17:00:00Z"), at("2026-06-05T18:00:00Z"));
    assert_eq!(never.hold(end, end), Hold::Open);
    assert_eq!(never.hold(now, end), Hold::Until(end));
    let deadline = at("2026-06-05T17:59:59Z");
    assert_eq!(never.hold(now, deadline), Hold::BeyondDeadline(end));
}

#[test]
fn a_whole_week_and_too_many_windows_are_refused() {
    let new = |texts: &[&str]| {
        let windows = texts
            .iter()
            .map(|text| Window::parse(text).unwrap())
            .collect();
        Never::new(windows, TimeZone::UTC).map(|_| ())
    };
    assert_eq!(new(&["00:00-24:00"]), Err(NeverError::WholeWeek));
    assert_eq!(
        new(&["08:00-20:00", "20:00-08:00"]),
        Err(NeverError::WholeWeek)
    );
    assert_eq!(new(&["Mon-Fri", "Sat,Sun"]), Err(NeverError::WholeWeek));
    assert_eq!(new(&["Mon-Fri", "Sat", "Sun 00:01-24:00"]), Ok(()));
    assert_eq!(new(&[]), Ok(()));
    let many = vec!["Mon 08:00-09:00"; WINDOWS_MAX + 1];
    assert_eq!(
        new(&many),
        Err(NeverError::TooMany {
            found: WINDOWS_MAX + 1
        })
    );
}
