//! Durations as people write them in the configuration: `10s`, `45m`, `6h`, `1h30m`, `7d`.
//!
//! Whole numbers with units, largest unit first, each unit at most once, no sign and no spaces.
//! A day is 24 hours and a week seven such days: a duration is elapsed time and knows no zone.
//! What other tools accept besides (`1.5h`, `90`, `5min`) is refused with what to write instead:
//! a bare `90` has been read as seconds, minutes and milliseconds by somebody before.

use jiff::SignedDuration;

use super::text_error::TextError;

/// The longest duration that is accepted. Far beyond any sensible setting, and small enough that
/// adding it to any date that a clock shows cannot overflow.
pub const DURATION_MAX: SignedDuration = SignedDuration::from_hours(24 * 3_660);

/// A duration that cannot be read.
pub type DurationError = TextError<DurationErrorKind>;

/// What is wrong with a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationErrorKind {
    /// Nothing was written.
    #[error("the duration is empty")]
    Empty,
    /// A number was expected.
    #[error("expected a whole number, found `{found}`")]
    NotANumber {
        /// What stands there.
        found: String,
    },
    /// A number has no unit after it.
    #[error("the number {number} has no unit")]
    NoUnit {
        /// The digits as written.
        number: String,
    },
    /// The unit is not known.
    #[error("`{unit}` is not a unit of time")]
    UnknownUnit {
        /// The unit as written.
        unit: String,
    },
    /// A unit stands after one that is as small or smaller.
    #[error("units go from large to small, each once: `{unit}` stands too late")]
    UnitOrder {
        /// The unit as written.
        unit: String,
    },
    /// Longer than [`DURATION_MAX`].
    #[error("the duration is longer than ten years")]
    TooLong,
    /// `every` below its minimum.
    #[error("`every` is at least {minimum}")]
    TooShortForEvery {
        /// The minimum, formatted.
        minimum: String,
    },
    /// `every` with a fraction of a second.
    #[error("`every` counts whole seconds")]
    NotWholeSeconds,
}

/// The units, largest first: name and length in milliseconds.
const UNITS: [(&str, i64); 6] = [
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Spellings of other tools, for the hint.
const OTHER_SPELLINGS: [(&[&str], &str); 6] = [
    (&["week", "weeks", "wk"], "w"),
    (&["day", "days"], "d"),
    (&["hour", "hours", "hr", "hrs"], "h"),
    (&["min", "mins", "minute", "minutes"], "m"),
    (&["sec", "secs", "second", "seconds"], "s"),
    (&["milli", "millis", "msec", "milliseconds"], "ms"),
];

/// Reads a duration such as `1h30m`.
pub fn parse_duration(text: &str) -> Result<SignedDuration, DurationError> {
    if text.is_empty() {
        let error = DurationError::new(0..0, DurationErrorKind::Empty);
        return Err(error.with_hint("write a number and a unit, such as 45m"));
    }
    let mut total_ms: i64 = 0;
    let mut units_left = &UNITS[..];
    let mut at = 0;
    while at < text.len() {
        let digits = leading(&text[at..], |c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(not_a_number(text, at));
        }
        let unit_at = at + digits.len();
        let unit = leading(&text[unit_at..], char::is_alphabetic);
        if unit.is_empty() {
            return Err(no_unit(text, at, digits));
        }
        let unit_ms = take_unit(&mut units_left, unit, unit_at)?;
        let end = unit_at + unit.len();
        total_ms = digits
            .parse::<i64>()
            .ok()
            .and_then(|number| number.checked_mul(unit_ms))
            .and_then(|part| part.checked_add(total_ms))
            .filter(|sum| i128::from(*sum) <= DURATION_MAX.as_millis())
            .ok_or_else(|| DurationError::new(0..end, DurationErrorKind::TooLong))?;
        at = end;
    }
    Ok(SignedDuration::from_millis(total_ms))
}

/// The longest prefix of `text` of characters that `wanted` accepts.
fn leading(text: &str, wanted: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    &text[..end]
}

/// Looks a unit up and leaves only the smaller ones for what follows.
fn take_unit(
    left: &mut &'static [(&'static str, i64)],
    unit: &str,
    at: usize,
) -> Result<i64, DurationError> {
    let span = at..at + unit.len();
    if let Some(index) = left.iter().position(|(name, _)| *name == unit) {
        let length_ms = left[index].1;
        *left = &left[index + 1..];
        return Ok(length_ms);
    }
    if UNITS.iter().any(|(name, _)| *name == unit) {
        let kind = DurationErrorKind::UnitOrder {
            unit: unit.to_owned(),
        };
        return Err(DurationError::new(span, kind).with_hint("for example 1h30m"));
    }
    let meant = OTHER_SPELLINGS
        .iter()
        .find(|(spellings, _)| spellings.contains(&unit.to_lowercase().as_str()))
        .map_or_else(
            || "the units are w, d, h, m (minutes), s and ms".to_owned(),
            |(_, name)| format!("write {name}"),
        );
    let kind = DurationErrorKind::UnknownUnit {
        unit: unit.to_owned(),
    };
    Err(DurationError::new(span, kind).with_hint(meant))
}

fn not_a_number(text: &str, at: usize) -> DurationError {
    let found: String = text[at..].chars().take(1).collect();
    let hint = match found.as_str() {
        "-" | "+" => "a duration has no sign",
        " " => "write it without spaces, such as 1h30m",
        _ => "write a number and a unit, such as 45m",
    };
    let span = at..at + found.len();
    DurationError::new(span, DurationErrorKind::NotANumber { found }).with_hint(hint)
}

fn no_unit(text: &str, at: usize, digits: &str) -> DurationError {
    let end = at + digits.len();
    let hint = match text[end..].chars().next() {
        Some('.' | ',') => "write whole numbers: 1h30m instead of 1.5h".to_owned(),
        Some(' ') => "write it without spaces, such as 1h30m".to_owned(),
        _ if digits.len() <= 4 => format!("write {digits}s, {digits}m, {digits}h or {digits}d"),
        _ => "the units are w, d, h, m (minutes), s and ms".to_owned(),
    };
    let kind = DurationErrorKind::NoUnit {
        number: digits.to_owned(),
    };
    DurationError::new(at..end, kind).with_hint(hint)
}

/// Days are only written from here on, unless the duration is whole days: `26h` reads better
/// than `1d2h`, and `80h` worse than `3d8h`.
const HOURS_BEFORE_DAYS: u64 = 72;

/// Writes a duration the way [`parse_duration`] reads it: `1h30m`, `26h`, `7d`, `0s`.
/// A negative one gets a `-` in front; fractions of a millisecond are dropped.
pub fn format_duration(duration: SignedDuration) -> String {
    let sign = if duration.is_negative() { "-" } else { "" };
    let millis = u64::try_from(duration.as_millis().unsigned_abs()).unwrap_or(u64::MAX);
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (mut hours, minutes) = (minutes / 60, minutes % 60);
    let whole_days = minutes == 0 && seconds == 0 && millis == 0 && hours % 24 == 0;
    let mut days = 0;
    if whole_days || hours >= HOURS_BEFORE_DAYS {
        (days, hours) = (hours / 24, hours % 24);
    }
    let parts = [
        (days, "d"),
        (hours, "h"),
        (minutes, "m"),
        (seconds, "s"),
        (millis, "ms"),
    ];
    let written: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if written.is_empty() {
        "0s".to_owned()
    } else {
        format!("{sign}{}", written.concat())
    }
}
