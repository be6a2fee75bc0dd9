//! Durations, sizes and times as people read them. Tables only: `json` and `yaml` carry raw
//! milliseconds, bytes and RFC 3339.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// `85 ms`, `1.2 s`, `3 min 05 s`, `2 h 07 min`, `3 d 4 h`.
pub fn duration(duration: SignedDuration) -> String {
    let ms = duration.as_millis().max(0);
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", seconds, ms % 1_000 / 100),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// The same for a count of milliseconds.
pub fn duration_ms(ms: u64) -> String {
    duration(SignedDuration::from_millis(
        i64::try_from(ms).unwrap_or(i64::MAX),
    ))
}

/// What is wrong, a line each, and how many more there are.
pub fn findings(findings: &[String], total: u64) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for finding in findings {
        let _ = writeln!(text, "  {finding}");
    }
    let more = total - findings.len() as u64;
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}

/// `412 B`, `1.3 MiB`: binary units, as Flink's own pages count.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    // Tenths of the current unit, in whole numbers: rounded down, so that no unit
    // ever shows 1024.0.
    let mut tenths = u128::from(bytes) * 10 / 1_024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1_024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A time in a zone, to the second, with the zone's abbreviation.
pub fn time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %Z")
        .to_string()
}

/// A time in UTC, to the second, in RFC 3339.
pub fn time_utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Joins names for a sentence: `a`, `a and b`, `a, b and c`.
pub fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_read_well() {
        for (ms, text) in [
            (0, "0 ms"),
            (85, "85 ms"),
            (999, "999 ms"),
            (1_250, "1.2 s"),
            (59_990, "59.9 s"),
            (185_000, "3 min 05 s"),
            (7_620_000, "2 h 07 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(duration_ms(ms), text);
        }
        assert_eq!(duration(SignedDuration::from_secs(-3)), "0 ms");
    }

    #[test]
    fn sizes_read_well() {
        for (count, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1_048_576, "1.0 MiB"),
            (1_400_000, "1.3 MiB"),
            (u64::MAX, "16383.9 PiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn times_carry_their_zone() {
        let at: Timestamp = "2026-07-01T01:17:00Z".parse().unwrap();
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(time(at, &berlin), "2026-07-01 03:17:00 CEST");
        assert_eq!(time_utc(at), "2026-07-01T01:17:00Z");
    }
}
