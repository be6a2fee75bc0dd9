//! Cron slots against an oracle that shares no code with `lowtide_core::schedule`.
//!
//! The oracle is brute force. It walks every UTC minute, asks the zone database for the offset of
//! that minute, and applies the rule of the product to the civil minute it gets: wildcard
//! patterns fire whenever it matches, fixed-time ones at its first occurrence, and at the first
//! minute after a gap for whatever matches in the gap. It finds changes of the clock by comparing
//! neighbours, reads patterns with its own parser, and matches days by trying them one by one.
//!
//! `LOWTIDE_SOAK=1` runs the full count, `LOWTIDE_SEED` repeats a run.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(
    clippy::disallowed_macros,
    clippy::print_stdout,
    reason = "a test prints its seed"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test reads the environment and draws a seed"
)]
#![allow(
    clippy::disallowed_types,
    reason = "a test draws its seed from the clock"
)]

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;
use lowtide_core::schedule::{CronErrorKind, HashSeed, Schedule};

const ZONES: [&str; 16] = [
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "America/Santiago",
    "America/New_York",
    "Europe/Berlin",
    "Europe/Dublin",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Tehran",
    "Asia/Gaza",
    "Asia/Pyongyang",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Caracas",
    "America/Havana",
    "Antarctica/Troll",
];

const HOUR_MINUTES: i64 = 60;
const DAY_MINUTES: i64 = 1_440;
/// Walked before and after each change of the clock.
const AROUND_MINUTES: i64 = 48 * HOUR_MINUTES;
/// Walked before that, only to know which civil minutes have been seen already.
const LEAD_IN_MINUTES: i64 = 26 * HOUR_MINUTES;

/// The `SplitMix64` generator: small, seedable, and not the code under test.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

// ---------------------------------------------------------------- random patterns

/// A list of plain items: `*`, values, ranges, steps.
fn plain_field(draws: &mut Draws, low: u64, high: u64, star_percent: u64) -> String {
    if draws.chance(star_percent) {
        return match draws.below(3) {
            0 => format!("*/{}", draws.between(1, high.div_ceil(2))),
            _ => "*".to_owned(),
        };
    }
    let items = if draws.chance(60) {
        1
    } else {
        draws.between(2, 4)
    };
    let texts: Vec<String> = (0..items)
        .map(|_| {
            let from = draws.between(low, high);
            let to = draws.between(from, high);
            match draws.below(6) {
                0 => format!("{from}-{to}"),
                1 => format!("{from}-{to}/{}", draws.between(1, to - from + 1)),
                _ => from.to_string(),
            }
        })
        .collect();
    texts.join(",")
}

fn minute_field(draws: &mut Draws) -> String {
    match draws.below(4) {
        0 => draws
            .one(&["0", "30", "0,30", "15", "59", "1", "0-59", "*,7"])
            .to_owned(),
        _ => plain_field(draws, 0, 59, 20),
    }
}

/// Mostly the hours in which clocks change.
fn hour_field(draws: &mut Draws) -> String {
    match draws.below(8) {
        0 => draws
            .one(&["0-23", "22-23,0-4", "0,12", "23", "0"])
            .to_owned(),
        1..=4 => plain_field(draws, 0, 4, 0),
        _ => plain_field(draws, 0, 23, 40),
    }
}

fn month_day_field(draws: &mut Draws) -> String {
    match draws.below(10) {
        0..=4 => "*".to_owned(),
        5 => match draws.below(4) {
            0 => "L".to_owned(),
            1 => "LW".to_owned(),
            2 => format!("L-{}", draws.between(1, 6)),
            _ => format!("{}W", draws.between(1, 31)),
        },
        6 => format!("{},L,{}W", draws.between(1, 31), draws.between(1, 31)),
        _ => plain_field(draws, 1, 31, 30),
    }
}

fn month_field(draws: &mut Draws) -> String {
    match draws.below(10) {
        0..=6 => "*".to_owned(),
        7 => draws
            .one(&["MAR,NOV", "mar-apr,Oct-Nov", "DEC", "Jan"])
            .to_owned(),
        _ => plain_field(draws, 1, 12, 20),
    }
}

fn week_day_field(draws: &mut Draws) -> String {
    match draws.below(10) {
        0..=4 => "*".to_owned(),
        5 => draws
            .one(&["SUN", "7", "sat,sun", "Mon-Fri", "FRI-SUN", "5-7", "0-7"])
            .to_owned(),
        6 => format!("{}L", draws.between(0, 7)),
        7 => format!("{}#{}", draws.between(0, 7), draws.between(1, 5)),
        8 => format!("SUN#1,{}L,{}", draws.between(0, 6), draws.between(0, 6)),
        _ => plain_field(draws, 0, 6, 30),
    }
}

fn random_pattern(draws: &mut Draws) -> String {
    [
        minute_field(draws),
        hour_field(draws),
        month_day_field(draws),
        month_field(draws),
        week_day_field(draws),
    ]
    .join(" ")
}

// ---------------------------------------------------------------- the oracle's patterns

/// A pattern as the oracle reads it.
struct Oracle {
    /// By minute of the day.
    times: Vec<bool>,
    dates: Vec<DayItem>,
    months: BTreeSet<i8>,
    weekdays: Vec<DayItem>,
    /// Whether a day must match both its date and its weekday.
    both: bool,
    wildcard: bool,
}

enum DayItem {
    Date(i8),
    BeforeLast(i8),
    NearestWorkday(i8),
    LastWorkday,
    Weekday(i8),
    LastOf(i8),
    Nth(i8, i8),
}

/// The values of one item in plain syntax, spelled out.
fn spelled_out(item: &str, low: i8, high: i8, names: &[&str], first_name: i8) -> Vec<i8> {
    let value = |text: &str| -> i8 {
        let by_name = (first_name..)
            .zip(names)
            .find(|(_, name)| name.eq_ignore_ascii_case(text));
        by_name.map_or_else(|| text.parse().unwrap(), |(value, _)| value)
    };
    let (range, step) = item.split_once('/').unwrap_or((item, "1"));
    let (from, to) = match range.split_once('-') {
        _ if range == "*" => (low, high),
        Some((from, to)) => (value(from), value(to)),
        None => (value(range), value(range)),
    };
    // `FRI-SUN` and `5-7` both end on the Sunday after.
    let to = if to < from { to + 7 } else { to };
    let step: i8 = step.parse().unwrap();
    (from..=to)
        .filter(|value| (value - from) % step == 0)
        .collect()
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

fn date_items(item: &str) -> Vec<DayItem> {
    if item == "L" {
        vec![DayItem::BeforeLast(0)]
    } else if item == "LW" {
        vec![DayItem::LastWorkday]
    } else if let Some(before) = item.strip_prefix("L-") {
        vec![DayItem::BeforeLast(before.parse().unwrap())]
    } else if let Some(day) = item.strip_suffix('W') {
        vec![DayItem::NearestWorkday(day.parse().unwrap())]
    } else {
        spelled_out(item, 1, 31, &[], 0)
            .into_iter()
            .map(DayItem::Date)
            .collect()
    }
}

fn weekday_items(item: &str) -> Vec<DayItem> {
    let one = |text: &str| spelled_out(text, 0, 6, &WEEKDAYS, 0)[0] % 7;
    if let Some(day) = item.strip_suffix('L') {
        vec![DayItem::LastOf(one(day))]
    } else if let Some((day, nth)) = item.split_once('#') {
        vec![DayItem::Nth(one(day), nth.parse().unwrap())]
    } else {
        let days = spelled_out(item, 0, 6, &WEEKDAYS, 0).into_iter();
        days.map(|day| DayItem::Weekday(day % 7)).collect()
    }
}

fn is_workday(day: Date) -> bool {
    !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

fn same_month(day: Date, number: i8) -> Option<Date> {
    Date::new(day.year(), day.month(), number).ok()
}

impl DayItem {
    fn matches(&self, day: Date) -> bool {
        let weekday = day.weekday().to_sunday_zero_offset();
        let last = day.last_of_month();
        match *self {
            Self::Date(number) => day.day() == number,
            Self::BeforeLast(before) => day.day() + before == last.day(),
            Self::LastWorkday => {
                let latest = (1..=last.day()).rev().find_map(|number| {
                    same_month(day, number).filter(|candidate| is_workday(*candidate))
                });
                latest == Some(day)
            }
            Self::NearestWorkday(number) => {
                number <= last.day()
                    && (0..=2)
                        .flat_map(|distance| [number - distance, number + distance])
                        .filter_map(|candidate| same_month(day, candidate))
                        .find(|candidate| is_workday(*candidate))
                        == Some(day)
            }
            Self::Weekday(wanted) => weekday == wanted,
            Self::LastOf(wanted) => weekday == wanted && same_month(day, day.day() + 7).is_none(),
            Self::Nth(wanted, nth) => {
                let so_far = (1..=day.day())
                    .filter_map(|number| same_month(day, number))
                    .filter(|earlier| earlier.weekday() == day.weekday())
                    .count();
                weekday == wanted && so_far == usize::from(nth.unsigned_abs())
            }
        }
    }
}

impl Oracle {
    fn read(pattern: &str) -> Self {
        let fields: Vec<&str> = pattern.split(' ').collect();
        let list = |field: usize, low, high, names: &[&str], first_name| -> BTreeSet<i8> {
            let items = fields[field].split(',');
            items
                .flat_map(|item| spelled_out(item, low, high, names, first_name))
                .collect()
        };
        let minutes = list(0, 0, 59, &[], 0);
        let hours = list(1, 0, 23, &[], 0);
        let mut times = Vec::new();
        for hour in 0..24 {
            for minute in 0..60 {
                times.push(hours.contains(&hour) && minutes.contains(&minute));
            }
        }
        Self {
            times,
            dates: fields[2].split(',').flat_map(date_items).collect(),
            months: list(3, 1, 12, &MONTHS, 1),
            weekdays: fields[4].split(',').flat_map(weekday_items).collect(),
            both: fields[2].starts_with('*') || fields[4].starts_with('*'),
            wildcard: fields[0].starts_with('*') || fields[1].starts_with('*'),
        }
    }

    fn matches_day(&self, day: Date) -> bool {
        let by_date = self.dates.iter().any(|item| item.matches(day));
        let by_weekday = self.weekdays.iter().any(|item| item.matches(day));
        let in_sets = if self.both {
            by_date && by_weekday
        } else {
            by_date || by_weekday
        };
        in_sets && self.months.contains(&day.month())
    }
}

// ---------------------------------------------------------------- every minute

/// A civil minute, counted from 1970-01-01 00:00 on the wall.
type CivilMinute = i64;

/// One UTC minute of a zone.
struct Minute {
    day: u16,
    time: u16,
    /// The wall has shown this civil minute before.
    repeated: bool,
}

/// Every minute of a stretch of time in one zone.
struct Stretch {
    zone: usize,
    /// The first minute, counted from the Unix epoch.
    start: i64,
    minutes: Vec<Minute>,
    /// The civil minutes skipped just before the minute of that index.
    skipped: Vec<(usize, std::ops::Range<CivilMinute>)>,
}

/// The first civil day that any stretch touches, counted from 1970-01-01: 2005-12-20.
const FIRST_DAY: i64 = 13_137;
/// Up to 2038-01-12.
const DAYS: i64 = 11_712;

fn offset_minutes(zone: &TimeZone, minute: i64) -> i64 {
    let seconds = zone
        .to_offset(Timestamp::from_second(minute * 60).unwrap())
        .seconds();
    assert_eq!(seconds % 60, 0, "the oracle walks whole minutes");
    i64::from(seconds) / 60
}

fn day_and_time(civil: CivilMinute) -> (u16, u16) {
    let day = u16::try_from(civil.div_euclid(DAY_MINUTES) - FIRST_DAY).unwrap();
    (day, u16::try_from(civil.rem_euclid(DAY_MINUTES)).unwrap())
}

impl Stretch {
    fn walk(zone_index: usize, zone: &TimeZone, start: i64, end: i64) -> Self {
        let mut stretch = Stretch {
            zone: zone_index,
            start,
            minutes: Vec::new(),
            skipped: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        let mut previous = None;
        for minute in start - LEAD_IN_MINUTES..=end {
            let civil = minute + offset_minutes(zone, minute);
            let repeated = !seen.insert(civil);
            if minute >= start {
                let expected = previous.map_or(civil, |previous: i64| previous + 1);
                if civil > expected {
                    stretch
                        .skipped
                        .push((stretch.minutes.len(), expected..civil));
                }
                let (day, time) = day_and_time(civil);
                stretch.minutes.push(Minute {
                    day,
                    time,
                    repeated,
                });
            }
            previous = Some(civil);
        }
        stretch
    }

    fn end(&self) -> i64 {
        self.start + i64::try_from(self.minutes.len()).unwrap() - 1
    }

    /// The minutes at which the oracle says the pattern fires.
    fn fires(&self, oracle: &Oracle, days: &[bool]) -> Vec<i64> {
        let matches =
            |day: u16, time: u16| days[usize::from(day)] && oracle.times[usize::from(time)];
        let mut skipped = self.skipped.iter().peekable();
        let mut fires = Vec::new();
        for ((index, minute), at) in self.minutes.iter().enumerate().zip(self.start..) {
            let after_gap = skipped.next_if(|(after, _)| *after == index);
            let mut fire = matches(minute.day, minute.time);
            if !oracle.wildcard {
                fire &= !minute.repeated;
                if let Some((_, gap)) = after_gap {
                    fire |= gap.clone().any(|civil| {
                        let (day, time) = day_and_time(civil);
                        matches(day, time)
                    });
                }
            }
            if fire {
                fires.push(at);
            }
        }
        fires
    }
}

/// The minutes at which a zone's offset changes, from 2006 to 2037.
fn changes(zone: &TimeZone) -> Vec<i64> {
    let minute_of = |day: Date| day.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second() / 60;
    let (start, end) = (minute_of(date(2006, 1, 1)), minute_of(date(2038, 1, 1)));
    let mut changes = Vec::new();
    for hour in (start / HOUR_MINUTES)..(end / HOUR_MINUTES) {
        let (from, to) = (hour * HOUR_MINUTES, (hour + 1) * HOUR_MINUTES);
        if offset_minutes(zone, from) != offset_minutes(zone, to) {
            let before = offset_minutes(zone, from);
            changes.extend((from..=to).find(|minute| offset_minutes(zone, *minute) != before));
        }
    }
    changes
}

// ---------------------------------------------------------------- the comparison

struct Size {
    patterns: u64,
    /// Every how many stretches one is walked, another part for each pattern.
    stride: usize,
    year_patterns: u64,
}

const FULL: Size = Size {
    patterns: 2_000,
    stride: 1,
    year_patterns: 200,
};
const PART: Size = Size {
    patterns: 240,
    stride: 24,
    year_patterns: 6,
};

fn size() -> Size {
    if std::env::var("LOWTIDE_SOAK").is_ok_and(|value| value == "1") {
        FULL
    } else {
        PART
    }
}

fn seed() -> u64 {
    let seed = std::env::var("LOWTIDE_SEED").ok().map_or_else(
        || {
            let now = std::time::SystemTime::now();
            u64::from(
                now.duration_since(std::time::UNIX_EPOCH)
                    .unwrap()
                    .subsec_nanos(),
            )
        },
        |text| text.parse().expect("LOWTIDE_SEED is a number"),
    );
    println!("LOWTIDE_SEED={seed}");
    seed
}

/// A pattern that Lowtide accepts, with what the oracle makes of it. Those that Lowtide calls
/// impossible are checked on the way: the oracle must find no day for them either.
fn accepted_pattern(draws: &mut Draws) -> (String, Oracle, Vec<bool>) {
    const TRIES_MAX: u32 = 1_000;
    for _ in 0..TRIES_MAX {
        let pattern = random_pattern(draws);
        let oracle = Oracle::read(&pattern);
        let days: Vec<bool> = (0..DAYS)
            .map(|day| {
                let epoch = date(1970, 1, 1);
                let day = epoch
                    .checked_add(jiff::Span::new().days(FIRST_DAY + day))
                    .unwrap();
                oracle.matches_day(day)
            })
            .collect();
        match Schedule::cron(&pattern, &SEED, TimeZone::UTC) {
            Ok(_) => return (pattern, oracle, days),
            Err(error) => {
                assert_eq!(
                    error.kind,
                    CronErrorKind::Impossible,
                    "`{pattern}`: {error}"
                );
                assert!(!days.contains(&true), "`{pattern}` is called impossible");
            }
        }
    }
    panic!("no acceptable pattern in {TRIES_MAX} tries");
}

const SEED: HashSeed<'static> = HashSeed {
    platform: "p",
    application: "a",
};

fn compare(
    stretch: &Stretch,
    zone: &TimeZone,
    pattern: &str,
    oracle: &Oracle,
    days: &[bool],
) -> u64 {
    let schedule = Schedule::cron(pattern, &SEED, zone.clone()).unwrap();
    let after = Timestamp::from_second(stretch.start * 60 - 1).unwrap();
    let until = Timestamp::from_second(stretch.end() * 60).unwrap();
    let found: Vec<i64> = schedule
        .slots_between(after, until)
        .map(|slot| {
            assert_eq!(
                slot.as_second() % 60,
                0,
                "`{pattern}` fires within a minute: {slot}"
            );
            slot.as_second() / 60
        })
        .collect();
    let wanted = stretch.fires(oracle, days);
    if found != wanted {
        let shown = |minutes: &[i64], others: &[i64]| -> Vec<String> {
            let only = minutes
                .iter()
                .filter(|minute| !others.contains(minute))
                .take(5);
            only.map(|minute| {
                Timestamp::from_second(minute * 60)
                    .unwrap()
                    .to_zoned(zone.clone())
                    .to_string()
            })
            .collect()
        };
        panic!(
            "`{pattern}` in {}: only the schedule fires at {:?}, only the oracle at {:?}",
            ZONES[stretch.zone],
            shown(&found, &wanted),
            shown(&wanted, &found),
        );
    }
    wanted.len() as u64
}

/// Runs `work` for every index below `count` on two threads and adds up.
fn on_two_threads(count: u64, work: impl Fn(u64) -> u64 + Sync) -> u64 {
    let half = |parity: u64| {
        (0..count)
            .filter(|i| i % 2 == parity)
            .map(&work)
            .sum::<u64>()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        half(0)
            + other
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn zones() -> Vec<TimeZone> {
    ZONES
        .iter()
        .map(|name| TimeZone::get(name).unwrap())
        .collect()
}

#[test]
fn every_minute_around_each_change_of_the_clock() {
    let (size, seed, zones) = (size(), seed(), zones());
    let mut stretches = Vec::new();
    for (index, zone) in zones.iter().enumerate() {
        let changes = changes(zone);
        assert!(
            !changes.is_empty(),
            "{} has no change of the clock",
            ZONES[index]
        );
        for change in changes {
            let (start, end) = (change - AROUND_MINUTES, change + AROUND_MINUTES);
            stretches.push(Stretch::walk(index, zone, start, end));
        }
    }
    let slots = on_two_threads(size.patterns, |number| {
        let mut draws = Draws(seed.wrapping_add(number << 32));
        let (pattern, oracle, days) = accepted_pattern(&mut draws);
        let first = usize::try_from(number).unwrap() % size.stride;
        let part = stretches.iter().skip(first).step_by(size.stride);
        part.map(|s| compare(s, &zones[s.zone], &pattern, &oracle, &days))
            .sum()
    });
    println!(
        "{} patterns, {} zones, {} changes of the clock (1 of {} for each pattern), {slots} slots",
        size.patterns,
        zones.len(),
        stretches.len(),
        size.stride
    );
    assert!(
        slots > size.patterns,
        "patterns that never fire prove nothing"
    );
}

#[test]
fn every_minute_of_an_ordinary_year() {
    let (size, seed, zones) = (size(), seed(), zones());
    let start = date(2023, 1, 1)
        .to_zoned(TimeZone::UTC)
        .unwrap()
        .timestamp()
        .as_second()
        / 60;
    let walked: Vec<Stretch> = (0..zones
        .len()
        .min(usize::try_from(size.year_patterns).unwrap()))
        .map(|index| Stretch::walk(index, &zones[index], start, start + 365 * DAY_MINUTES - 1))
        .collect();
    let slots = on_two_threads(size.year_patterns, |number| {
        let mut draws = Draws(seed.wrapping_add(number << 32).wrapping_add(1));
        let (pattern, oracle, days) = accepted_pattern(&mut draws);
        let stretch = &walked[usize::try_from(number).unwrap() % walked.len()];
        compare(stretch, &zones[stretch.zone], &pattern, &oracle, &days)
    });
    println!("{} patterns, one year, {slots} slots", size.year_patterns);
    assert!(slots > 0);
}
