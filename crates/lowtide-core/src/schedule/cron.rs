//! A cron pattern as sets of minutes, hours, days and months, and its matches on the civil line:
//! the calendar and the clock on the wall, without a zone. Zones come in with `slots`.
//!
//! The search goes month by month, then day by day, then takes the first hour and minute: a
//! pattern that matches once in decades costs some hundred steps, never a walk through minutes.
//!
//! **Days.** Vixie cron's rule: if the day of month or the day of week begins with `*`, a day
//! must be in both sets; otherwise it is enough to be in one. `0 0 13 * FRI` is every 13th and
//! every Friday; `0 0 */2 * FRI` is only the Fridays with an odd date.
//!
//! **Wildcard or fixed-time.** A pattern is *wildcard* when its minute or its hour field begins
//! with `*`. `H` is drawn once and then is a number, so it does not count as `*`; `H/15` is a
//! step from a drawn offset, and does not either.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime};

use super::cron_error::CronError;
use super::hash::HashSeed;
use super::parse;

/// 28 consecutive years without a skipped leap year contain all 14 kinds of year (by their first
/// weekday and by length), so what matches in none of them never matches.
const ALL_KINDS_OF_YEAR: std::ops::RangeInclusive<i16> = 2001..=2028;

/// A five-field cron pattern, with `H` already drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    /// Bit m: minute m.
    pub(super) minutes: u64,
    /// Bit h: hour h.
    pub(super) hours: u32,
    pub(super) month_days: MonthDays,
    /// Bit m: month m, 1 to 12.
    pub(super) months: u16,
    pub(super) week_days: WeekDays,
    pub(super) wildcard: bool,
}

/// The day-of-month field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct MonthDays {
    /// Bit d: day d, 1 to 31.
    pub plain: u32,
    /// Bit n: n days before the last day (`L` is bit 0, `L-3` bit 3).
    pub before_last: u32,
    /// Bit d: the weekday nearest to day d (`15W`), in the same month.
    pub nearest_weekday: u32,
    /// `LW`: the last weekday of the month.
    pub last_weekday: bool,
    /// Whether the field begins with `*`.
    pub star: bool,
}

/// The day-of-week field; Sunday is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WeekDays {
    /// Bit w: every such weekday.
    pub plain: u8,
    /// Bit w: the last such weekday of the month (`5L`).
    pub last: u8,
    /// By weekday, bit n: the n-th of the month (`5#2`), 1 to 5.
    pub nth: [u8; 7],
    /// Whether the field begins with `*`.
    pub star: bool,
}

/// Length and first weekday of one month: all that a day rule asks for.
#[derive(Debug, Clone, Copy)]
struct MonthShape {
    /// 28 to 31.
    length: u8,
    /// Weekday of day 1, Sunday is 0.
    first: u8,
}

impl MonthShape {
    fn of(year: i16, month: i8) -> Option<Self> {
        let first = Date::new(year, month, 1).ok()?;
        Some(Self {
            length: first.days_in_month().unsigned_abs(),
            first: first.weekday().to_sunday_zero_offset().unsigned_abs(),
        })
    }

    fn weekday(self, day: u8) -> u8 {
        (self.first + day - 1) % 7
    }

    /// The working day nearest to `day` without leaving the month.
    fn nearest_weekday(self, day: u8) -> u8 {
        match self.weekday(day) {
            6 if day == 1 => 3,
            6 => day - 1,
            0 if day == self.length => day - 2,
            0 => day + 1,
            _ => day,
        }
    }

    /// The last working day of the month.
    fn last_weekday(self) -> u8 {
        match self.weekday(self.length) {
            6 => self.length - 1,
            0 => self.length - 2,
            _ => self.length,
        }
    }
}

impl MonthDays {
    /// The days of a month in this set, bit d for day d.
    fn days(self, shape: MonthShape) -> u32 {
        let mut days = self.plain;
        for day in 1..=shape.length {
            if self.before_last & (1 << (shape.length - day)) != 0 {
                days |= 1 << day;
            }
            if self.nearest_weekday & (1 << day) != 0 {
                days |= 1 << shape.nearest_weekday(day);
            }
        }
        if self.last_weekday {
            days |= 1 << shape.last_weekday();
        }
        days & all_days(shape.length)
    }
}

impl WeekDays {
    /// The days of a month in this set, bit d for day d.
    fn days(self, shape: MonthShape) -> u32 {
        let mut days = 0;
        for day in 1..=shape.length {
            let weekday = shape.weekday(day);
            let ordinal = (day - 1) / 7 + 1;
            let in_set = self.plain & (1 << weekday) != 0
                || (self.last & (1 << weekday) != 0 && day + 7 > shape.length)
                || self.nth[usize::from(weekday)] & (1 << ordinal) != 0;
            if in_set {
                days |= 1 << day;
            }
        }
        days
    }
}

/// Bits 1 to `length`.
fn all_days(length: u8) -> u32 {
    (u32::MAX >> (31 - length)) & !1
}

impl Cron {
    /// Reads a pattern of five fields or one of the `@` names, and draws its `H` values.
    ///
    /// # Errors
    /// [`CronError`] with the bytes that are wrong and, nearly always, a hint.
    pub fn parse(text: &str, seed: &HashSeed<'_>) -> Result<Self, CronError> {
        parse::cron(text, seed)
    }

    /// Whether the pattern follows elapsed time (its minute or hour field begins with `*`)
    /// rather than naming times of day.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The days of a month that match, bit d for day d; none if the month is not in the set.
    fn days_of(&self, year: i16, month: i8) -> u32 {
        if self.months & (1 << month) == 0 {
            return 0;
        }
        let Some(shape) = MonthShape::of(year, month) else {
            return 0;
        };
        let by_date = self.month_days.days(shape);
        let by_weekday = self.week_days.days(shape);
        if self.month_days.star || self.week_days.star {
            by_date & by_weekday
        } else {
            by_date | by_weekday
        }
    }

    /// The first matching day from `from` to `last`, both included.
    fn first_day(&self, from: Date, last: Date) -> Option<Date> {
        let (mut year, mut month) = (from.year(), from.month());
        let mut wanted = u32::MAX << from.day();
        while (year, month) <= (last.year(), last.month()) {
            let days = self.days_of(year, month) & wanted;
            if days != 0 {
                let day = i8::try_from(days.trailing_zeros()).ok()?;
                return Date::new(year, month, day).ok().filter(|day| *day <= last);
            }
            wanted = u32::MAX;
            (year, month) = if month == 12 {
                (year + 1, 1)
            } else {
                (year, month + 1)
            };
        }
        None
    }

    /// The first matching time of day at or after this one.
    fn first_time(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        let this_hour = self.hours & (1 << hour) != 0;
        let minutes = self.minutes & (u64::MAX << minute);
        if this_hour && minutes != 0 {
            return Some((hour, lowest(minutes)));
        }
        let hours = u64::from(self.hours) & (u64::MAX << (hour + 1));
        (hours != 0).then(|| (lowest(hours), lowest(self.minutes)))
    }

    /// The first civil minute at or after `from` that matches, up to the end of `last_day`.
    pub(super) fn first_match(&self, from: DateTime, last_day: Date) -> Option<DateTime> {
        let from = round_up_to_minute(from)?;
        if from.date() > last_day {
            return None;
        }
        let today = self.days_of(from.year(), from.month()) & (1 << from.day()) != 0;
        if today && let Some((hour, minute)) = self.first_time(from.hour(), from.minute()) {
            return Some(from.date().at(hour, minute, 0, 0));
        }
        let day = self.first_day(from.date().tomorrow().ok()?, last_day)?;
        Some(day.at(lowest(self.hours.into()), lowest(self.minutes), 0, 0))
    }

    /// Whether any day of any year matches.
    pub(super) fn is_possible(&self) -> bool {
        ALL_KINDS_OF_YEAR
            .flat_map(|year| (1..=12).map(move |month| (year, month)))
            .any(|(year, month)| self.days_of(year, month) != 0)
    }

    /// The shortest time between two matches on the civil line, changes of the clock left out.
    pub(super) fn shortest_interval(&self) -> SignedDuration {
        let mut first = None;
        let mut before: Option<i64> = None;
        let mut shortest = i64::MAX;
        for hour in (0..24).filter(|hour| self.hours & (1 << hour) != 0) {
            for minute in (0..60).filter(|minute| self.minutes & (1 << minute) != 0) {
                let time = hour * 60 + minute;
                first.get_or_insert(time);
                if let Some(before) = before {
                    shortest = shortest.min(time - before);
                }
                before = Some(time);
            }
        }
        let span_of_day = before.unwrap_or(0) - first.unwrap_or(0);
        let overnight = self.fewest_days_between() * 24 * 60 - span_of_day;
        SignedDuration::from_mins(shortest.min(overnight))
    }

    /// The fewest days from one matching day to the next.
    fn fewest_days_between(&self) -> i64 {
        let mut fewest = i64::from(ALL_KINDS_OF_YEAR.end() - ALL_KINDS_OF_YEAR.start() + 1) * 365;
        let mut before: Option<i64> = None;
        let mut month_start = 0;
        for year in ALL_KINDS_OF_YEAR {
            for month in 1..=12 {
                let days = self.days_of(year, month);
                for day in (1..=31).filter(|day| days & (1 << day) != 0) {
                    let this = month_start + day;
                    if let Some(before) = before {
                        fewest = fewest.min(this - before);
                    }
                    before = Some(this);
                }
                month_start += MonthShape::of(year, month).map_or(0, |m| i64::from(m.length));
            }
            if fewest == 1 {
                break;
            }
        }
        fewest
    }
}

/// The number of the lowest bit of a set that is not empty.
fn lowest(set: u64) -> i8 {
    i8::try_from(set.trailing_zeros()).expect("a u64 has 64 bits")
}

fn round_up_to_minute(from: DateTime) -> Option<DateTime> {
    let floor = from.date().at(from.hour(), from.minute(), 0, 0);
    if floor == from {
        Some(from)
    } else {
        floor.checked_add(SignedDuration::from_mins(1)).ok()
    }
}
