//! Reading the values of options. What is wrong with one is said as the configuration says it.

use jiff::{SignedDuration, Timestamp};
use lowtide_core::savepoint::Format;
use lowtide_core::schedule::parse_duration;

use crate::wall_clock::whole_milliseconds;

/// An end that a person gives as a time or as a distance from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// At this time.
    At(Timestamp),
    /// This long from now.
    In(SignedDuration),
}

impl Until {
    /// As a time.
    pub fn time(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::In(distance) => now + distance,
        }
    }
}

pub(super) fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration = parse_duration(text).map_err(|wrong| match &wrong.hint {
        Some(hint) => format!("{wrong}; {hint}"),
        None => wrong.to_string(),
    })?;
    if duration.is_zero() {
        return Err("the duration is nothing; write one such as 30m".to_owned());
    }
    Ok(duration)
}

/// A slot's nominal time, to the millisecond: finer times would be other slots that print alike.
pub(super) fn slot(text: &str) -> Result<Timestamp, String> {
    let at: Timestamp = text.parse().map_err(|_| {
        "expected a time with its offset in RFC 3339, such as 2026-11-22T01:00:00Z or 2026-11-22T02:00:00+01:00"
            .to_owned()
    })?;
    Ok(whole_milliseconds(at))
}

pub(super) fn until(text: &str) -> Result<Until, String> {
    if let Ok(at) = slot(text) {
        return Ok(Until::At(at));
    }
    duration(text).map(Until::In).map_err(|_| {
        "expected a time in RFC 3339, such as 2026-11-22T01:00:00Z, or a duration from now, such as 48h"
            .to_owned()
    })
}

/// A count from 1 to `MAX`.
pub(super) fn count<const MAX: u32>(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=MAX).contains(count))
        .ok_or_else(|| format!("expected a whole number from 1 to {MAX}"))
}

/// A whole number of bytes with a unit, such as `512KiB` or `50MB`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let expected = || "expected a whole number of bytes with a unit, such as 50MiB".to_owned();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    number
        .checked_mul(unit)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(expected)
}

pub(super) fn format(text: &str) -> Result<Format, String> {
    match text {
        "canonical" => Ok(Format::Canonical),
        "native" => Ok(Format::Native),
        _ => Err("expected canonical or native".to_owned()),
    }
}

pub(super) fn target(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() || !(trimmed.contains(":/") || trimmed.starts_with('/')) {
        return Err(
            "expected a directory as Flink names it, such as s3://bucket/savepoints or /savepoints"
                .to_owned(),
        );
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_have_a_unit() {
        for (text, bytes) in [
            ("1B", 1),
            ("2KiB", 2_048),
            ("50MB", 50_000_000),
            ("3 gib", 3 << 30),
        ] {
            assert_eq!(super::bytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "50",
            "MiB",
            "0MiB",
            "1.5GiB",
            "-1B",
            "99999999999GiB",
            "1x",
        ] {
            assert!(super::bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn slots_are_whole_milliseconds() {
        let at = slot("2026-11-22T02:00:00.0004+01:00").unwrap();
        assert_eq!(at.to_string(), "2026-11-22T01:00:00Z");
        for wrong in ["2026-11-22", "01:00", "2026-11-22T01:00:00", "tomorrow"] {
            assert!(slot(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_end_is_a_time_or_a_distance() {
        let now: Timestamp = "2026-11-22T01:00:00Z".parse().unwrap();
        assert_eq!(
            until("2h").unwrap().time(now).to_string(),
            "2026-11-22T03:00:00Z"
        );
        assert_eq!(
            until("2026-11-23T00:00:00Z").unwrap().time(now).to_string(),
            "2026-11-23T00:00:00Z"
        );
        assert!(until("soon").is_err());
    }

    #[test]
    fn nothing_is_no_duration() {
        assert!(duration("0s").is_err());
        assert!(duration("90").unwrap_err().contains("90s"));
    }

    #[test]
    fn targets_are_directories() {
        assert!(target("s3://bucket/x").is_ok());
        assert!(target("/x").is_ok());
        assert!(target("file:/x").is_ok());
        assert!(target("x").is_err());
        assert!(target(" ").is_err());
    }
}
