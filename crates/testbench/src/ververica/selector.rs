//! Label selectors, as `labelSelector` takes them: `a=b,c!=d,e in (f,g),h,!i`.

use std::collections::BTreeMap;

/// Whether `labels` fulfil `selector`; `None` where it cannot be read.
pub(super) fn matches(selector: &str, labels: &BTreeMap<String, String>) -> Option<bool> {
    let mut all = true;
    for requirement in split(selector) {
        all &= fulfils(requirement.trim(), labels)?;
    }
    Some(all)
}

/// The requirements: what stands between commas outside of parentheses.
fn split(selector: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    selector
        .split(move |letter| {
            match letter {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            letter == ',' && depth == 0
        })
        .filter(|requirement| !requirement.trim().is_empty())
}

fn fulfils(requirement: &str, labels: &BTreeMap<String, String>) -> Option<bool> {
    let value = |key: &str| labels.get(key.trim()).map(String::as_str);
    for (operator, wanted) in [(" notin ", false), (" in ", true)] {
        if let Some((key, set)) = requirement.split_once(operator) {
            let set = set.trim().strip_prefix('(')?.strip_suffix(')')?;
            let inside =
                value(key).is_some_and(|value| set.split(',').any(|it| it.trim() == value));
            return Some(inside == wanted);
        }
    }
    for (operator, wanted) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, other)) = requirement.split_once(operator) {
            return Some((value(key) == Some(other.trim())) == wanted);
        }
    }
    if requirement.contains(|letter: char| letter.is_whitespace() || "()".contains(letter)) {
        return None;
    }
    Some(match requirement.strip_prefix('!') {
        Some(key) => value(key).is_none(),
        None => value(requirement).is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_kubernetes_reads_them() {
        let labels = BTreeMap::from([("team".to_owned(), "pay".to_owned())]);
        for (selector, expected) in [
            ("", Some(true)),
            ("team=pay", Some(true)),
            ("team == pay, !tier", Some(true)),
            ("team!=pay", Some(false)),
            ("tier!=x", Some(true)),
            ("team in (a,pay),team", Some(true)),
            ("team notin (a,pay)", Some(false)),
            ("tier", Some(false)),
            ("team in pay", None),
            ("team pay", None),
        ] {
            assert_eq!(matches(selector, &labels), expected, "{selector}");
        }
    }
}
