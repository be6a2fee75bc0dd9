//! A schedule as one short sentence. What `H` drew is in it, because that is what people look
//! for; sets that are too long for a sentence are counted instead of listed.

use super::cron::{Cron, MonthDays, WeekDays};
use super::field::{MONTH_NAMES, WEEKDAY_NAMES};
use super::{Rhythm, Schedule, format_duration};

/// Longer lists are counted: nobody reads twenty minutes out.
const LISTED_MAX: usize = 6;

/// See [`Schedule::describe`].
pub(super) fn sentence(schedule: &Schedule) -> String {
    match schedule.rhythm() {
        Rhythm::Every(period) => {
            format!(
                "every {}, counted from 1970-01-01 UTC",
                format_duration(period.duration())
            )
        }
        Rhythm::Cron(cron) => {
            let months = months(cron)
                .map(|months| format!(" in {months}"))
                .unwrap_or_default();
            format!(
                "{} {}{months} ({})",
                times(cron),
                days(cron),
                schedule.zone_name()
            )
        }
    }
}

fn times(cron: &Cron) -> String {
    let minutes = bits(cron.minutes);
    let hours = bits(cron.hours.into());
    match (minutes.len(), hours.len()) {
        (60, 24) => "every minute".to_owned(),
        (_, 24) => format!("at {} of every hour", numbers("minute", &minutes)),
        (60, _) => format!("every minute of {}", numbers("hour", &hours)),
        (m, h) if m * h <= LISTED_MAX => {
            let times: Vec<String> = hours
                .iter()
                .flat_map(|hour| {
                    minutes
                        .iter()
                        .map(move |minute| format!("{hour:02}:{minute:02}"))
                })
                .collect();
            format!("at {}", joined(&times))
        }
        _ => format!(
            "at {} of {}",
            numbers("minute", &minutes),
            numbers("hour", &hours)
        ),
    }
}

fn days(cron: &Cron) -> String {
    let by_date = month_days(&cron.month_days);
    let by_weekday = week_days(&cron.week_days);
    match (by_date, by_weekday) {
        (Some(dates), None) if both(cron) => format!("on {dates} of the month"),
        (None, Some(weekdays)) if both(cron) => format!("on {weekdays}"),
        (Some(dates), Some(weekdays)) if both(cron) => {
            format!("on {weekdays} that falls on {dates} of the month")
        }
        (Some(dates), Some(weekdays)) => format!("on {dates} of the month and on {weekdays}"),
        // Both sets are every day; or one is, and it is enough to be in one.
        _ => "every day".to_owned(),
    }
}

/// Whether a day must be in both sets.
fn both(cron: &Cron) -> bool {
    cron.month_days.star || cron.week_days.star
}

fn month_days(days: &MonthDays) -> Option<String> {
    let plain = bits(days.plain.into());
    if plain.len() == 31 {
        return None;
    }
    let mut parts: Vec<String> = Vec::new();
    if !plain.is_empty() {
        parts.push(numbers("day", &plain));
    }
    for before in bits(days.before_last.into()) {
        parts.push(match before {
            0 => "the last day".to_owned(),
            1 => "the day before the last".to_owned(),
            n => format!("the day {n} days before the last"),
        });
    }
    for day in bits(days.nearest_weekday.into()) {
        parts.push(format!("the working day nearest to day {day}"));
    }
    if days.last_weekday {
        parts.push("the last working day".to_owned());
    }
    Some(joined(&parts))
}

fn week_days(days: &WeekDays) -> Option<String> {
    let plain = bits(days.plain.into());
    if plain.len() == 7 {
        return None;
    }
    let name = |day: u8| WEEKDAY_NAMES[usize::from(day)];
    let mut parts: Vec<String> = plain.into_iter().map(|day| name(day).to_owned()).collect();
    for day in bits(days.last.into()) {
        parts.push(format!("the last {}", name(day)));
    }
    for (day, ordinals) in (0_u8..).zip(days.nth) {
        for ordinal in bits(ordinals.into()) {
            let ordinal = ["1st", "2nd", "3rd", "4th", "5th"][usize::from(ordinal - 1)];
            parts.push(format!("the {ordinal} {}", name(day)));
        }
    }
    Some(joined(&parts))
}

fn months(cron: &Cron) -> Option<String> {
    let months = bits(cron.months.into());
    let names: Vec<String> = months
        .iter()
        .map(|month| MONTH_NAMES[usize::from(*month - 1)].to_owned())
        .collect();
    (names.len() < 12).then(|| joined(&names))
}

/// `minute 5`, `minutes 0, 15, 30 and 45`, or `12 minutes (0 to 55)`.
fn numbers(noun: &str, values: &[u8]) -> String {
    match values {
        [one] => format!("{noun} {one}"),
        [first, .., last] if values.len() > LISTED_MAX => {
            format!("{} {noun}s ({first} to {last})", values.len())
        }
        _ => {
            let texts: Vec<String> = values.iter().map(u8::to_string).collect();
            format!("{noun}s {}", joined(&texts))
        }
    }
}

fn joined(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn bits(set: u64) -> Vec<u8> {
    (0..64).filter(|bit| set & (1 << bit) != 0).collect()
}
