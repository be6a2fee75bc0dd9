//! Durations as Flink's configuration writes them (`TimeUtils.parseDuration`): a number and a
//! unit, milliseconds without one, or ISO 8601.

use jiff::SignedDuration;

/// Reads a duration; `None` if it is none, or negative.
pub(super) fn parse(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        let iso: SignedDuration = text.parse().ok()?;
        return text
            .starts_with(['P', 'p'])
            .then_some(iso)
            .filter(|iso| !iso.is_negative());
    }
    let (number, unit) = text.split_at(digits);
    let number: i64 = number.parse().ok()?;
    let seconds = |each: i64| Some(SignedDuration::from_secs(number.checked_mul(each)?));
    match unit.trim().to_ascii_lowercase().as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => {
            Some(SignedDuration::from_millis(number))
        }
        "s" | "sec" | "secs" | "second" | "seconds" => seconds(1),
        "m" | "min" | "mins" | "minute" | "minutes" => seconds(60),
        "h" | "hour" | "hours" => seconds(3_600),
        "d" | "day" | "days" => seconds(86_400),
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => {
            Some(SignedDuration::from_nanos(number))
        }
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => {
            Some(SignedDuration::from_micros(number))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let five = Some(SignedDuration::from_mins(5));
        for text in [
            "5 min",
            "5m",
            "300 s",
            "300000",
            "300000 ms",
            "PT5M",
            "PT300S",
            " 5 MIN ",
        ] {
            assert_eq!(parse(text), five, "{text}");
        }
        assert_eq!(parse("0 ms"), Some(SignedDuration::ZERO));
        assert_eq!(parse("2 d"), Some(SignedDuration::from_hours(48)));
        assert_eq!(parse("1 h"), Some(SignedDuration::from_hours(1)));
        for text in [
            "",
            "min",
            "-5 s",
            "5 parsecs",
            "99999999999999999999",
            "-PT5M",
            "1h 5m",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("9223372036854775807 d"), None);
    }
}
