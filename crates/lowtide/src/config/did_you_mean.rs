//! The known word that a person probably meant.

/// How alike two words must be, from 0 to 1: `schedul` and `schedule` are, `name` and `never` are
/// not.
const ALIKE_MIN: f64 = 0.8;

/// The most similar of the known words, if one is similar enough.
pub(super) fn did_you_mean<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', '_'], "");
    let written = plain(written);
    known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(&written, &plain(word)), word))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn typing_mistakes_are_found_and_other_words_are_not() {
        let known = [
            "schedule",
            "every",
            "absent_for",
            "applications",
            "platform",
        ];
        let cases = [
            ("schedul", Some("schedule")),
            ("absentFor", Some("absent_for")),
            ("absent-for", Some("absent_for")),
            ("aplications", Some("applications")),
            ("Platform", Some("platform")),
            ("retries", None),
            ("x", None),
        ];
        for (written, meant) in cases {
            assert_eq!(did_you_mean(written, known), meant, "{written}");
        }
    }
}
