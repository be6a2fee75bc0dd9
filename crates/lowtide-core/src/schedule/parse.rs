//! Reads cron patterns. Everything that another cron would quietly read as something else is
//! refused here with the bytes it concerns and what to write instead.
//!
//! | field | values | `H` draws from | also |
//! |---|---|---|---|
//! | minute | 0-59 | 0-59 | |
//! | hour | 0-23 | 0-23 | |
//! | day of month | 1-31 | 1-28, days that every month has | `L`, `L-n`, `LW`, `nW` |
//! | month | 1-12, JAN-DEC | 1-12 | |
//! | day of week | 0-7 (0 and 7 are Sunday), SUN-SAT | 0-6 | `5L`, `5#2` |
//!
//! `H/n` is a drawn offset below n, then every n-th value of the `H` range; `H(a-b)` and
//! `H(a-b)/n` do the same within a to b. Several `H` of one field are the same draw.

use super::cron::{Cron, MonthDays, WeekDays};
use super::cron_error::{CRON_TEXT_BYTES_MAX, CronError, CronErrorKind};
use super::field::Field;
use super::hash::HashSeed;
use super::piece::Piece;

/// What each `@` name stands for, in Vixie cron and here.
const NAMED: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Reads a whole pattern.
pub(super) fn cron(text: &str, seed: &HashSeed<'_>) -> Result<Cron, CronError> {
    if text.len() > CRON_TEXT_BYTES_MAX {
        return Err(CronError::new(0..text.len(), CronErrorKind::TooLong));
    }
    let words = Piece::whole(text).words();
    let [minute, hour, month_day, month, week_day] = match words[..] {
        [] => return Err(empty(text)),
        [name] if name.text.starts_with('@') => {
            let pattern = named_pattern(name)?;
            return cron(pattern, seed);
        }
        [minute, hour, month_day, month, week_day] => [minute, hour, month_day, month, week_day],
        _ => return Err(wrong_count(&words)),
    };
    let minutes = plain_set(Field::Minute, minute, seed)?;
    let hours = plain_set(Field::Hour, hour, seed)?;
    let month_days = month_day_set(month_day, seed)?;
    let months = plain_set(Field::Month, month, seed)?;
    let week_days = week_day_set(week_day, seed)?;
    let cron = Cron {
        minutes,
        hours: u32::try_from(hours).expect("hours end at bit 23"),
        month_days,
        months: u16::try_from(months).expect("months end at bit 12"),
        week_days,
        wildcard: minute.text.starts_with('*') || hour.text.starts_with('*'),
    };
    if !cron.is_possible() {
        return Err(impossible(month_day, month, week_day));
    }
    Ok(cron)
}

fn empty(text: &str) -> CronError {
    CronError::new(0..text.len(), CronErrorKind::Empty)
        .with_hint("write five fields, such as `0 1 * * *` for 01:00 every day")
}

fn named_pattern(name: Piece<'_>) -> Result<&'static str, CronError> {
    let known = NAMED
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name.text));
    if let Some((_, pattern)) = known {
        return Ok(pattern);
    }
    let hint = match name.text.to_ascii_lowercase().as_str() {
        "@every" => "write `every: 6h` in place of `schedule:`",
        "@reboot" => "a start of Lowtide never fires a schedule; use `lowtide take`",
        _ => "there are @hourly, @daily, @midnight, @weekly, @monthly and @yearly",
    };
    let kind = CronErrorKind::UnknownName { name: name.owned() };
    Err(CronError::new(name.span(), kind).with_hint(hint))
}

fn wrong_count(words: &[Piece<'_>]) -> CronError {
    if let Some(name) = words.first().filter(|word| word.text.starts_with('@'))
        && let Err(error) = named_pattern(*name)
    {
        return error;
    }
    let all = words.first().map_or(0, |w| w.at)..words.last().map_or(0, |w| w.span().end);
    let (span, hint) = match words.len() {
        6 | 7 => (
            words[5].at..all.end,
            "there is no field for seconds or years: minute hour day-of-month month day-of-week",
        ),
        _ => (
            all,
            "the fields are minute hour day-of-month month day-of-week",
        ),
    };
    CronError::new(span, CronErrorKind::FieldCount { found: words.len() }).with_hint(hint)
}

fn impossible(month_day: Piece<'_>, month: Piece<'_>, week_day: Piece<'_>) -> CronError {
    let end = if week_day.text == "*" {
        month
    } else {
        week_day
    };
    CronError::new(month_day.at..end.span().end, CronErrorKind::Impossible).with_hint(
        "the day of month never comes in these months or on these weekdays; L is the last day",
    )
}

/// A field that has numbers, ranges, steps and `H` only.
fn plain_set(field: Field, text: Piece<'_>, seed: &HashSeed<'_>) -> Result<u64, CronError> {
    let mut set = 0;
    for item in text.split(',') {
        set |= plain_item(field, item, seed)?;
    }
    Ok(set)
}

fn month_day_set(text: Piece<'_>, seed: &HashSeed<'_>) -> Result<MonthDays, CronError> {
    const FIELD: Field = Field::DayOfMonth;
    let mut days = MonthDays {
        star: text.text.starts_with('*'),
        ..MonthDays::default()
    };
    for item in text.split(',') {
        if item.text.eq_ignore_ascii_case("L") {
            days.before_last |= 1;
        } else if item.text.eq_ignore_ascii_case("LW") || item.text.eq_ignore_ascii_case("WL") {
            days.last_weekday = true;
        } else if let Some(rest) = item.strip_letter_before('L') {
            days.before_last |= 1 << days_before_last(item, rest)?;
        } else if let Some(day) = item.strip_letter_after('W') {
            days.nearest_weekday |= 1 << single_value(FIELD, item, day)?;
        } else {
            days.plain |= u32::try_from(plain_item(FIELD, item, seed)?).expect("31 days");
        }
    }
    Ok(days)
}

/// The `3` of `L-3`: at most 30, for the first day of a month of 31.
fn days_before_last(item: Piece<'_>, rest: Piece<'_>) -> Result<u8, CronError> {
    const BEFORE_LAST_MAX: u8 = 30;
    let count = rest
        .text
        .strip_prefix('-')
        .and_then(|count| count.parse().ok());
    count
        .filter(|count| *count <= BEFORE_LAST_MAX)
        .ok_or_else(|| {
            misplaced(Field::DayOfMonth, item).with_hint("L-3 is three days before the last day")
        })
}

fn week_day_set(text: Piece<'_>, seed: &HashSeed<'_>) -> Result<WeekDays, CronError> {
    const FIELD: Field = Field::DayOfWeek;
    let mut days = WeekDays {
        star: text.text.starts_with('*'),
        ..WeekDays::default()
    };
    for item in text.split(',') {
        if let Some((day, ordinal)) = item.split_once('#') {
            let day = single_value(FIELD, item, day)? % 7;
            days.nth[usize::from(day)] |= 1 << ordinal_of_weekday(item, ordinal)?;
        } else if let Some(day) = item.strip_letter_after('L') {
            if day.text.is_empty() {
                let hint = "write 5L for the last Friday, or put L in the day of month";
                return Err(misplaced(FIELD, item).with_hint(hint));
            }
            days.last |= 1 << (single_value(FIELD, item, day)? % 7);
        } else {
            let set = plain_item(FIELD, item, seed)?;
            let sunday_once = (set | set >> 7) & 0b0111_1111;
            days.plain |= u8::try_from(sunday_once).expect("seven days");
        }
    }
    Ok(days)
}

/// The `2` of `5#2`.
fn ordinal_of_weekday(item: Piece<'_>, text: Piece<'_>) -> Result<u8, CronError> {
    text.text
        .parse()
        .ok()
        .filter(|ordinal| (1..=5).contains(ordinal))
        .ok_or_else(|| {
            misplaced(Field::DayOfWeek, item)
                .with_hint("5#2 is the second Friday; # goes from 1 to 5")
        })
}

/// The value of an item such as `15W` or `5L`, which must be a single one.
fn single_value(field: Field, item: Piece<'_>, text: Piece<'_>) -> Result<u8, CronError> {
    let not_single = |c: char| matches!(c, '-' | '/' | '*' | '(');
    if text.text.is_empty() || text.text.contains(not_single) {
        return Err(misplaced(field, item).with_hint("L, W and # go with one single day"));
    }
    value(field, text)
}

fn misplaced(field: Field, item: Piece<'_>) -> CronError {
    CronError::new(
        item.span(),
        CronErrorKind::Misplaced {
            field,
            text: item.owned(),
        },
    )
}

/// The set of one item of a list: `*`, a value, a range or `H`, with a step or without.
fn plain_item(field: Field, item: Piece<'_>, seed: &HashSeed<'_>) -> Result<u64, CronError> {
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(step)),
        None => (item, None),
    };
    if base.text.is_empty() {
        return Err(missing(field, base));
    }
    if let Some(range) = base.strip_letter_before('H') {
        return hashed(field, base, range, step, seed);
    }
    let (low, high) = if base.text == "*" {
        field.every()
    } else if let Some((from, to)) = base.split_once('-') {
        range(field, base, from, to)?
    } else {
        let only = value(field, base)?;
        if let Some(step) = step {
            let (_, high) = field.every();
            let hint = format!(
                "write {}-{high}/{}, or */{}",
                base.text, step.text, step.text
            );
            return Err(CronError::new(item.span(), CronErrorKind::StepAfterValue).with_hint(hint));
        }
        (only, only)
    };
    let step = match step {
        Some(step) => step_length(field, step, high - low + 1)?,
        None => 1,
    };
    Ok(every_nth(low, high, step))
}

/// Bits `low`, `low + step`, … up to `high`.
fn every_nth(low: u8, high: u8, step: u8) -> u64 {
    (low..=high)
        .step_by(usize::from(step))
        .fold(0, |set, value| set | 1 << value)
}

/// `H`, `H/n`, `H(a-b)` or `H(a-b)/n`; `range` is what stands after the `H`.
fn hashed(
    field: Field,
    item: Piece<'_>,
    range_text: Piece<'_>,
    step: Option<Piece<'_>>,
    seed: &HashSeed<'_>,
) -> Result<u64, CronError> {
    let (low, high) = if range_text.text.is_empty() {
        field.hash_bounds()
    } else {
        hash_range(field, item, range_text)?
    };
    let count = high - low + 1;
    let Some(step) = step else {
        return Ok(1 << (low + seed.draw(field.hash_name(), count)));
    };
    let step = step_length(field, step, count)?;
    Ok(every_nth(
        low + seed.draw(field.hash_name(), step),
        high,
        step,
    ))
}

/// The `(a-b)` of `H(a-b)`; `text` is what stands after the `H` of `item`.
fn hash_range(field: Field, item: Piece<'_>, text: Piece<'_>) -> Result<(u8, u8), CronError> {
    let refuse = || misplaced(field, item).with_hint("write H, H/n, H(a-b) or H(a-b)/n");
    let inner = text.strip_around('(', ')').ok_or_else(refuse)?;
    let (from, to) = inner.split_once('-').ok_or_else(refuse)?;
    range(field, inner, from, to).map_err(|error| match error.kind {
        CronErrorKind::Backwards { .. } => {
            let hint = format!("write H({}-{})", to.text, from.text);
            error.with_hint(hint)
        }
        _ => error,
    })
}

fn range(
    field: Field,
    whole: Piece<'_>,
    from: Piece<'_>,
    to: Piece<'_>,
) -> Result<(u8, u8), CronError> {
    let (mut low, mut high) = (value(field, from)?, value(field, to)?);
    if field == Field::DayOfWeek {
        // Sunday is 0 at the start of a range and 7 at its end, whichever was written.
        if high == 0 && low > 0 {
            high = 7;
        }
        if low == 7 && high < 7 {
            low = 0;
        }
    }
    if low <= high {
        return Ok((low, high));
    }
    let (first, last) = match field {
        Field::DayOfWeek => ("SUN".to_owned(), "SAT".to_owned()),
        _ => (field.every().0.to_string(), field.every().1.to_string()),
    };
    let hint = format!("write {}-{last},{first}-{}", from.text, to.text);
    let kind = CronErrorKind::Backwards {
        text: whole.owned(),
    };
    Err(CronError::new(whole.span(), kind).with_hint(hint))
}

fn step_length(field: Field, text: Piece<'_>, count: u8) -> Result<u8, CronError> {
    if text.text.is_empty() {
        return Err(missing(field, text));
    }
    if !text.text.bytes().all(|byte| byte.is_ascii_digit()) {
        let kind = CronErrorKind::NotAStep { text: text.owned() };
        return Err(CronError::new(text.span(), kind).with_hint("a step is a whole number"));
    }
    match text.text.parse::<u8>() {
        Ok(0) => {
            let hint = "leave the step out for every value";
            Err(CronError::new(text.span(), CronErrorKind::StepZero).with_hint(hint))
        }
        Ok(step) if step <= count => Ok(step),
        _ => {
            let kind = CronErrorKind::StepTooLong {
                step: text.owned(),
                count,
            };
            let hint = match field {
                Field::Minute => {
                    format!("write `every: {}m` in place of `schedule:`", text.text)
                }
                Field::Hour => format!("write `every: {}h` in place of `schedule:`", text.text),
                _ => "a step counts within its range and starts anew after it".to_owned(),
            };
            Err(CronError::new(text.span(), kind).with_hint(hint))
        }
    }
}

/// One number or name.
fn value(field: Field, text: Piece<'_>) -> Result<u8, CronError> {
    if text.text.is_empty() {
        return Err(missing(field, text));
    }
    if let Some(value) = field.named(text.text) {
        return Ok(value);
    }
    if !text.text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_a_value(field, text));
    }
    let (low, high) = field.bounds();
    text.text
        .parse()
        .ok()
        .filter(|value| (low..=high).contains(value))
        .ok_or_else(|| {
            let kind = CronErrorKind::OutOfRange {
                field,
                text: text.owned(),
                low,
                high,
            };
            CronError::new(text.span(), kind).with_hint(field.expected())
        })
}

fn not_a_value(field: Field, text: Piece<'_>) -> CronError {
    let special = |c: char| matches!(c.to_ascii_uppercase(), 'L' | 'W' | '#');
    let digits_too = text.text.contains(|c: char| c.is_ascii_digit()) || text.text.len() == 1;
    if digits_too && text.text.contains(special) {
        return misplaced(field, text).with_hint(field.expected());
    }
    let hint = match text.text {
        "?" => "write `*` instead of `?`",
        _ => field.expected(),
    };
    let kind = CronErrorKind::NotAValue {
        field,
        text: text.owned(),
    };
    CronError::new(text.span(), kind).with_hint(hint)
}

fn missing(field: Field, at: Piece<'_>) -> CronError {
    CronError::new(at.span(), CronErrorKind::MissingValue { field }).with_hint(field.expected())
}
