//! What a person reads: refusals with their place and hint, and schedules as sentences. Each
//! refusal is laid out as the configuration shows it, so that a caret in the wrong place is seen.

use std::fmt::Display;

use jiff::SignedDuration;
use lowtide_core::schedule::{
    Cron, CronErrorKind, Period, Schedule, TextError, Window, format_duration, parse_duration,
    parse_zone,
};

use crate::{ORDERS, cron, every};

fn laid_out<K: Display>(text: &str, error: &TextError<K>) -> String {
    let before = text[..error.span.start].chars().count();
    let marked = text[error.span.clone()].chars().count().max(1);
    let hint = error
        .hint
        .as_ref()
        .map(|hint| format!("\nhint: {hint}"))
        .unwrap_or_default();
    format!(
        "{text}\n{}{} {}{hint}",
        " ".repeat(before),
        "^".repeat(marked),
        error.kind
    )
}

fn refused(text: &str) -> String {
    laid_out(text, &Cron::parse(text, &ORDERS).unwrap_err())
}

/// Compares with a row of a table, which leaves the text itself out.
fn check(text: &str, found: &str, wanted: &str) {
    assert_eq!(found, format!("{text}{wanted}"), "\n{found}\n");
}

#[test]
fn cron_refusals() {
    for (text, wanted) in CRON_REFUSALS {
        check(text, &refused(text), wanted);
    }
    let empty = Cron::parse("  ", &ORDERS).unwrap_err();
    assert_eq!((empty.kind, empty.span), (CronErrorKind::Empty, 0..2));
    let long = "0,".repeat(400);
    assert_eq!(
        Cron::parse(&long, &ORDERS).unwrap_err().kind,
        CronErrorKind::TooLong
    );
}

const CRON_REFUSALS: &[(&str, &str)] = &[
    (
        "0 1 * *",
        r"
^^^^^^^ a cron pattern has five fields, this one has 4
hint: the fields are minute hour day-of-month month day-of-week",
    ),
    (
        "0 0 1 * * *",
        r"
          ^ a cron pattern has five fields, this one has 6
hint: there is no field for seconds or years: minute hour day-of-month month day-of-week",
    ),
    (
        "0 0 1 * * * 2026",
        r"
          ^^^^^^ a cron pattern has five fields, this one has 7
hint: there is no field for seconds or years: minute hour day-of-month month day-of-week",
    ),
    (
        "@noon",
        r"
^^^^^ `@noon` is not a schedule that Lowtide knows
hint: there are @hourly, @daily, @midnight, @weekly, @monthly and @yearly",
    ),
    (
        "@every 6h",
        r"
^^^^^^ `@every` is not a schedule that Lowtide knows
hint: write `every: 6h` in place of `schedule:`",
    ),
    (
        "@reboot",
        r"
^^^^^^^ `@reboot` is not a schedule that Lowtide knows
hint: a start of Lowtide never fires a schedule; use `lowtide take`",
    ),
    (
        "60 1 * * *",
        r"
^^ 60 is out of range: the minute goes from 0 to 59
hint: write 0 to 59, `*`, a range such as 0-29, or H",
    ),
    (
        "0 24 * * *",
        r"
  ^^ 24 is out of range: the hour goes from 0 to 23
hint: write 0 to 23, `*`, a range such as 1-5, or H",
    ),
    (
        "0 1 0 * *",
        r"
    ^ 0 is out of range: the day of month goes from 1 to 31
hint: write 1 to 31, `*`, L, LW, L-3, 15W, or H",
    ),
    (
        "0 1 32 * *",
        r"
    ^^ 32 is out of range: the day of month goes from 1 to 31
hint: write 1 to 31, `*`, L, LW, L-3, 15W, or H",
    ),
    (
        "0 1 * 13 *",
        r"
      ^^ 13 is out of range: the month goes from 1 to 12
hint: write 1 to 12, JAN to DEC, `*`, or H",
    ),
    (
        "0 1 * * 8",
        r"
        ^ 8 is out of range: the day of week goes from 0 to 7
hint: write 0 to 7 (0 and 7 are Sunday), SUN to SAT, `*`, 5L, 5#2, or H",
    ),
    (
        "0 x1 * * *",
        r"
  ^^ `x1` is not a value for the hour
hint: write 0 to 23, `*`, a range such as 1-5, or H",
    ),
    (
        "0 1 ? * *",
        r"
    ^ `?` is not a value for the day of month
hint: write `*` instead of `?`",
    ),
    (
        "0 1 * MÄR *",
        r"
      ^^^ `MÄR` is not a value for the month
hint: write 1 to 12, JAN to DEC, `*`, or H",
    ),
    (
        "0 1 * * MONDAY",
        r"
        ^^^^^^ `MONDAY` is not a value for the day of week
hint: write 0 to 7 (0 and 7 are Sunday), SUN to SAT, `*`, 5L, 5#2, or H",
    ),
    (
        "1,,2 1 * * *",
        r"
  ^ a value is missing in the minute
hint: write 0 to 59, `*`, a range such as 0-29, or H",
    ),
    (
        "1, 1 * * *",
        r"
  ^ a value is missing in the minute
hint: write 0 to 59, `*`, a range such as 0-29, or H",
    ),
    (
        "5- 1 * * *",
        r"
  ^ a value is missing in the minute
hint: write 0 to 59, `*`, a range such as 0-29, or H",
    ),
    (
        "*/ 1 * * *",
        r"
  ^ a value is missing in the minute
hint: write 0 to 59, `*`, a range such as 0-29, or H",
    ),
    (
        "*/0 1 * * *",
        r"
  ^ a step of 0 goes nowhere
hint: leave the step out for every value",
    ),
    (
        "*/90 * * * *",
        r"
  ^^ a step of 90 is longer than the 60 values it steps through
hint: write `every: 90m` in place of `schedule:`",
    ),
    (
        "0 */48 * * *",
        r"
    ^^ a step of 48 is longer than the 24 values it steps through
hint: write `every: 48h` in place of `schedule:`",
    ),
    (
        "5/15 * * * *",
        r"
^^^^ a step needs `*`, a range or `H` before it
hint: write 5-59/15, or */15",
    ),
    (
        "*/x * * * *",
        r"
  ^ `x` is not a step
hint: a step is a whole number",
    ),
    (
        "30-10 1 * * *",
        r"
^^^^^ the range `30-10` runs backwards
hint: write 30-59,0-10",
    ),
    (
        "0 22-4 * * *",
        r"
  ^^^^ the range `22-4` runs backwards
hint: write 22-23,0-4",
    ),
    (
        "0 1 * * FRI-MON",
        r"
        ^^^^^^^ the range `FRI-MON` runs backwards
hint: write FRI-SAT,SUN-MON",
    ),
    (
        "0 15W * * *",
        r"
  ^^^ `15W` cannot be used in the hour
hint: write 0 to 23, `*`, a range such as 1-5, or H",
    ),
    (
        "L 1 * * *",
        r"
^ `L` cannot be used in the minute
hint: write 0 to 59, `*`, a range such as 0-29, or H",
    ),
    (
        "0 1 W * *",
        r"
    ^ `W` cannot be used in the day of month
hint: L, W and # go with one single day",
    ),
    (
        "0 1 1-5W * *",
        r"
    ^^^^ `1-5W` cannot be used in the day of month
hint: L, W and # go with one single day",
    ),
    (
        "0 1 L-31 * *",
        r"
    ^^^^ `L-31` cannot be used in the day of month
hint: L-3 is three days before the last day",
    ),
    (
        "0 1 Lx * *",
        r"
    ^^ `Lx` cannot be used in the day of month
hint: L-3 is three days before the last day",
    ),
    (
        "0 1 * * L",
        r"
        ^ `L` cannot be used in the day of week
hint: write 5L for the last Friday, or put L in the day of month",
    ),
    (
        "0 1 * * 5#6",
        r"
        ^^^ `5#6` cannot be used in the day of week
hint: 5#2 is the second Friday; # goes from 1 to 5",
    ),
    (
        "0 1 * * 5#",
        r"
        ^^ `5#` cannot be used in the day of week
hint: 5#2 is the second Friday; # goes from 1 to 5",
    ),
    (
        "0 1 * * 1-5L",
        r"
        ^^^^ `1-5L` cannot be used in the day of week
hint: L, W and # go with one single day",
    ),
    (
        "H( 1 * * *",
        r"
^^ `H(` cannot be used in the minute
hint: write H, H/n, H(a-b) or H(a-b)/n",
    ),
    (
        "H(5) 1 * * *",
        r"
^^^^ `H(5)` cannot be used in the minute
hint: write H, H/n, H(a-b) or H(a-b)/n",
    ),
    (
        "H(20-10) 1 * * *",
        r"
  ^^^^^ the range `20-10` runs backwards
hint: write H(10-20)",
    ),
    (
        "H/61 1 * * *",
        r"
  ^^ a step of 61 is longer than the 60 values it steps through
hint: write `every: 61m` in place of `schedule:`",
    ),
    (
        "-5 1 * * *",
        r"
^ a value is missing in the minute
hint: write 0 to 59, `*`, a range such as 0-29, or H",
    ),
    (
        "0 1 30 2 *",
        r"
    ^^^^ no day of any year matches
hint: the day of month never comes in these months or on these weekdays; L is the last day",
    ),
    (
        "0 1 30 FEB */2",
        r"
    ^^^^^^^^^^ no day of any year matches
hint: the day of month never comes in these months or on these weekdays; L is the last day",
    ),
    (
        "1 000000000256 * * *",
        r"
  ^^^^^^^^^^^^ 000000000256 is out of range: the hour goes from 0 to 23
hint: write 0 to 23, `*`, a range such as 1-5, or H",
    ),
];

/// Impossible days, in every disguise that is still impossible; and near ones that are not.
#[test]
fn impossible_days_are_refused_and_rare_ones_are_not() {
    for text in [
        "0 0 30 2 *",
        "0 0 31 FEB,APR,JUN,SEP,NOV *",
        "0 0 L-29 2 *",
        "0 0 31W 4 *",
        "0 0 */31 * 5#5",
        "0 0 H(30-31) 2 *",
        "0 0 30 2 */2",
    ] {
        let kind = Cron::parse(text, &ORDERS).map_err(|error| error.kind);
        assert_eq!(kind, Err(CronErrorKind::Impossible), "`{text}`");
    }
    for text in [
        "0 0 29 2 *",
        "0 0 29 2 */7",
        "0 0 30 2 MON",
        "0 0 31 * *",
        "0 0 L-28 2 *",
    ] {
        assert!(Cron::parse(text, &ORDERS).is_ok(), "`{text}`");
    }
}

#[test]
fn duration_refusals() {
    for (text, wanted) in DURATION_REFUSALS {
        check(
            text,
            &laid_out(text, &parse_duration(text).unwrap_err()),
            wanted,
        );
    }
    for (text, wanted) in PERIOD_REFUSALS {
        check(
            text,
            &laid_out(text, &Period::parse(text).unwrap_err()),
            wanted,
        );
    }
    assert_eq!(Period::parse("10s").unwrap().seconds(), 10);
}

const DURATION_REFUSALS: &[(&str, &str)] = &[
    (
        "",
        r"
^ the duration is empty
hint: write a number and a unit, such as 45m",
    ),
    (
        "90",
        r"
^^ the number 90 has no unit
hint: write 90s, 90m, 90h or 90d",
    ),
    (
        "1.5h",
        r"
^ the number 1 has no unit
hint: write whole numbers: 1h30m instead of 1.5h",
    ),
    (
        "1h 30m",
        r"
  ^ expected a whole number, found ` `
hint: write it without spaces, such as 1h30m",
    ),
    (
        "-5m",
        r"
^ expected a whole number, found `-`
hint: a duration has no sign",
    ),
    (
        "5min",
        r"
 ^^^ `min` is not a unit of time
hint: write m",
    ),
    (
        "3 hours",
        r"
^ the number 3 has no unit
hint: write it without spaces, such as 1h30m",
    ),
    (
        "30m1h",
        r"
    ^ units go from large to small, each once: `h` stands too late
hint: for example 1h30m",
    ),
    (
        "1h1h",
        r"
   ^ units go from large to small, each once: `h` stands too late
hint: for example 1h30m",
    ),
    (
        "h",
        r"
^ expected a whole number, found `h`
hint: write a number and a unit, such as 45m",
    ),
    (
        "9999999999999999999h",
        r"
^^^^^^^^^^^^^^^^^^^^ the duration is longer than ten years",
    ),
    (
        "4000d",
        r"
^^^^^ the duration is longer than ten years",
    ),
    (
        "5y",
        r"
 ^ `y` is not a unit of time
hint: the units are w, d, h, m (minutes), s and ms",
    ),
    (
        "١h",
        r"
^ expected a whole number, found `١`
hint: write a number and a unit, such as 45m",
    ),
    (
        "1hé",
        r"
 ^^ `hé` is not a unit of time
hint: the units are w, d, h, m (minutes), s and ms",
    ),
];

const PERIOD_REFUSALS: &[(&str, &str)] = &[
    (
        "9s",
        r"
^^ `every` is at least 10s",
    ),
    (
        "10s500ms",
        r"
^^^^^^^^ `every` counts whole seconds",
    ),
    (
        "5",
        r"
^ the number 5 has no unit
hint: write 5s, 5m, 5h or 5d",
    ),
];

#[test]
fn durations_and_how_they_are_written() {
    for (text, millis, written) in [
        ("0s", 0, "0s"),
        ("10s", 10_000, "10s"),
        ("45m", 2_700_000, "45m"),
        ("6h", 21_600_000, "6h"),
        ("1h30m", 5_400_000, "1h30m"),
        ("90m", 5_400_000, "1h30m"),
        ("24h", 86_400_000, "1d"),
        ("26h", 93_600_000, "26h"),
        ("80h", 288_000_000, "3d8h"),
        ("7d", 604_800_000, "7d"),
        ("1w2d3h4m5s6ms", 788_645_006, "9d3h4m5s6ms"),
        ("250ms", 250, "250ms"),
    ] {
        let duration = SignedDuration::from_millis(millis);
        assert_eq!(parse_duration(text), Ok(duration), "{text}");
        assert_eq!(format_duration(duration), written);
    }
    assert_eq!(format_duration(SignedDuration::from_secs(-90)), "-1m30s");
}

#[test]
fn window_refusals() {
    for (text, wanted) in WINDOW_REFUSALS {
        check(
            text,
            &laid_out(text, &Window::parse(text).unwrap_err()),
            wanted,
        );
    }
    assert_eq!(
        Window::parse("monday-FRI 8:00-18:00"),
        Window::parse("Mon-Fri 08:00-18:00")
    );
    assert_eq!(
        Window::parse("Sat,Sun"),
        Window::parse(" Sat-Sun  00:00-24:00 ")
    );
}

const WINDOW_REFUSALS: &[(&str, &str)] = &[
    (
        "",
        r"
^ the window is empty
hint: write a window such as Mon-Fri 08:00-18:00 or 22:00-04:00",
    ),
    (
        " ",
        r"
^ the window is empty
hint: write a window such as Mon-Fri 08:00-18:00 or 22:00-04:00",
    ),
    (
        "Mon-Frid 08:00-18:00",
        r"
    ^^^^ `Frid` is not a weekday
hint: the weekdays are Mon, Tue, Wed, Thu, Fri, Sat and Sun",
    ),
    (
        "Mon-Fri 08:00",
        r"
        ^^^^^ `08:00` is not a range of times
hint: write a window such as Mon-Fri 08:00-18:00 or 22:00-04:00",
    ),
    (
        "Mon-Fri 25:00-26:00",
        r"
        ^^^^^ `25:00` is not a time of day
hint: write a time from 00:00 to 24:00",
    ),
    (
        "08:00-08:00",
        r"
^^^^^^^^^^^ the window begins and ends at 08:00
hint: a whole day is 00:00-24:00",
    ),
    (
        "24:00-04:00",
        r"
^^^^^ `24:00` is not a time of day
hint: a day begins at 00:00",
    ),
    (
        "08:00-18:60",
        r"
      ^^^^^ `18:60` is not a time of day
hint: write a time from 00:00 to 24:00",
    ),
    (
        "Mon 08:00-18:00 UTC",
        r"
                ^^^ unexpected `UTC` after the times
hint: write a window such as Mon-Fri 08:00-18:00 or 22:00-04:00",
    ),
    (
        "Mon - Fri 08:00-18:00",
        r"
      ^^^ unexpected `Fri` after the times
hint: write a window such as Mon-Fri 08:00-18:00 or 22:00-04:00",
    ),
    (
        "8-18",
        r"
^ `8` is not a time of day
hint: write a time from 00:00 to 24:00",
    ),
    (
        "Mon-Wed-Fri",
        r"
    ^^^^^^^ `Wed-Fri` is not a weekday
hint: the weekdays are Mon, Tue, Wed, Thu, Fri, Sat and Sun",
    ),
    (
        "Mon,,Tue 8:00-9:00",
        r"
    ^ `` is not a weekday
hint: the weekdays are Mon, Tue, Wed, Thu, Fri, Sat and Sun",
    ),
    (
        "täglich",
        r"
^^^^^^^ `täglich` is not a weekday
hint: the weekdays are Mon, Tue, Wed, Thu, Fri, Sat and Sun",
    ),
];

#[test]
fn zone_refusals() {
    for (text, wanted) in ZONE_REFUSALS {
        check(
            text,
            &laid_out(text, &parse_zone(text).unwrap_err()),
            wanted,
        );
    }
    assert_eq!(
        parse_zone("europe/berlin").unwrap().iana_name(),
        Some("Europe/Berlin")
    );
}

const ZONE_REFUSALS: &[(&str, &str)] = &[
    (
        "",
        r"
^ `` is not an IANA time zone
hint: write a name such as Europe/Berlin, America/New_York or UTC",
    ),
    (
        "Europe/Berln",
        r"
^^^^^^^^^^^^ `Europe/Berln` is not an IANA time zone
hint: write a name such as Europe/Berlin, America/New_York or UTC",
    ),
    (
        "Berlin",
        r"
^^^^^^ `Berlin` is not an IANA time zone
hint: did you mean Europe/Berlin?",
    ),
    (
        "US/Berlin",
        r"
^^^^^^^^^ `US/Berlin` is not an IANA time zone
hint: did you mean Europe/Berlin?",
    ),
    (
        "CEST",
        r"
^^^^ `CEST` is not an IANA time zone
hint: write a name such as Europe/Berlin, America/New_York or UTC",
    ),
    (
        "Etc/Unknown",
        r"
^^^^^^^^^^^ `Etc/Unknown` is not an IANA time zone
hint: write a name such as Europe/Berlin, America/New_York or UTC",
    ),
];

#[test]
fn sentences() {
    for (text, wanted) in [
        ("0 1 * * *", "at 01:00 every day (Europe/Berlin)"),
        ("@weekly", "at 00:00 on Sun (Europe/Berlin)"),
        (
            "*/30 * * * *",
            "at minutes 0 and 30 of every hour every day (Europe/Berlin)",
        ),
        ("* * * * *", "every minute every day (Europe/Berlin)"),
        (
            "* 3 * * MON-FRI",
            "every minute of hour 3 on Mon, Tue, Wed, Thu and Fri (Europe/Berlin)",
        ),
        (
            "0 */2 * * *",
            "at minute 0 of 12 hours (0 to 22) every day (Europe/Berlin)",
        ),
        (
            "0,20 6,18 1,L 3 *",
            "at 06:00, 06:20, 18:00 and 18:20 on day 1 and the last day of the month in Mar (Europe/Berlin)",
        ),
        (
            "0 6 LW,15W,L-1,L-4 * *",
            "at 06:00 on the day before the last, the day 4 days before the last, the working day nearest to day 15 and the last working day of the month (Europe/Berlin)",
        ),
        (
            "0 6 13 * FRI",
            "at 06:00 on day 13 of the month and on Fri (Europe/Berlin)",
        ),
        (
            "0 6 */9 * 5#2,1L",
            "at 06:00 on the last Mon and the 2nd Fri that falls on days 1, 10, 19 and 28 of the month (Europe/Berlin)",
        ),
        ("0 6 13 * 0-7", "at 06:00 every day (Europe/Berlin)"),
    ] {
        assert_eq!(cron(text, "Europe/Berlin").describe(), wanted, "`{text}`");
    }
    assert_eq!(
        every("6h").describe(),
        "every 6h, counted from 1970-01-01 UTC"
    );
}

/// What the catalog remembers a schedule by: all that decides its slots, and nothing else.
#[test]
fn identities() {
    assert_eq!(
        cron("0  1 * * * ", "UTC").identity(),
        "cron 0 1 * * * in UTC"
    );
    assert_eq!(
        cron("0 1 * * *", "Europe/Berlin").identity(),
        "cron 0 1 * * * in Europe/Berlin"
    );
    let elsewhere = Schedule::every("6h", parse_zone("Europe/Berlin").unwrap()).unwrap();
    assert_eq!(elsewhere.identity(), every("6h").identity());
}

#[test]
fn names_stand_for_what_vixie_cron_says() {
    for (name, pattern) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@Weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ] {
        let parse = |text| Cron::parse(text, &ORDERS).unwrap();
        assert_eq!(parse(name), parse(pattern), "{name}");
    }
}
