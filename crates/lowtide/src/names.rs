//! From what a person types to exactly one application.
//!
//! A bare name must be unique; `platform/name` always is. Names are exact: anything close is
//! only ever suggested.

use lowtide_core::name::AppKey;
use lowtide_core::resolve::suggestions;

use crate::trouble::Trouble;

/// Finds the application that is meant among the known ones.
pub fn find<'a>(
    typed: &str,
    known: impl Iterator<Item = &'a AppKey> + Clone,
) -> Result<&'a AppKey, Trouble> {
    let mut fitting = known.clone().filter(|key| fits(typed, key));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Trouble::AmbiguousName {
            name: typed.to_owned(),
            candidates: known
                .filter(|key| fits(typed, key))
                .map(ToString::to_string)
                .collect(),
        }),
        (None, _) => Err(unknown(typed, known)),
    }
}

/// All of those that are meant; all known ones if none is named. Each once, in the order typed.
pub fn find_all<'a>(
    typed: &[String],
    known: impl Iterator<Item = &'a AppKey> + Clone,
) -> Result<Vec<&'a AppKey>, Trouble> {
    if typed.is_empty() {
        return Ok(known.collect());
    }
    let mut found: Vec<&AppKey> = Vec::with_capacity(typed.len());
    for name in typed {
        let key = find(name, known.clone())?;
        if !found.contains(&key) {
            found.push(key);
        }
    }
    Ok(found)
}

fn fits(typed: &str, key: &AppKey) -> bool {
    match typed.split_once('/') {
        Some((platform, name)) => {
            key.platform.as_str() == platform && key.application.as_str() == name
        }
        None => key.application.as_str() == typed,
    }
}

fn unknown<'a>(typed: &str, known: impl Iterator<Item = &'a AppKey>) -> Trouble {
    let spelled: Vec<String> = if typed.contains('/') {
        known.map(ToString::to_string).collect()
    } else {
        known.map(|key| key.application.to_string()).collect()
    };
    Trouble::UnknownName {
        name: typed.to_owned(),
        suggestions: suggestions(typed, spelled.iter().map(String::as_str)),
        known: spelled.len(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use lowtide_core::name::{ApplicationName, PlatformName};

    fn key(text: &str) -> AppKey {
        let (platform, application) = text.split_once('/').unwrap();
        AppKey {
            platform: PlatformName::new(platform).unwrap(),
            application: ApplicationName::new(application).unwrap(),
        }
    }

    fn fleet() -> Vec<AppKey> {
        ["a/orders", "a/payments", "b/orders"].map(key).to_vec()
    }

    #[test]
    fn a_unique_name_is_enough() {
        let fleet = fleet();
        assert_eq!(find("payments", fleet.iter()).unwrap(), &fleet[1]);
        assert_eq!(find("b/orders", fleet.iter()).unwrap(), &fleet[2]);
    }

    #[test]
    fn a_name_on_two_platforms_needs_its_platform() {
        let fleet = fleet();
        let Trouble::AmbiguousName { candidates, .. } = find("orders", fleet.iter()).unwrap_err()
        else {
            panic!("not ambiguous")
        };
        assert_eq!(candidates, ["a/orders", "b/orders"]);
    }

    #[test]
    fn an_unknown_name_has_suggestions() {
        let fleet = fleet();
        for (typed, want) in [("Payments", "payments"), ("a/paymnts", "a/payments")] {
            let Trouble::UnknownName { suggestions, .. } = find(typed, fleet.iter()).unwrap_err()
            else {
                panic!("found")
            };
            assert_eq!(suggestions, [want]);
        }
    }

    #[test]
    fn none_named_is_all_and_twice_is_once() {
        let fleet = fleet();
        assert_eq!(find_all(&[], fleet.iter()).unwrap().len(), 3);
        let twice = ["payments".to_owned(), "a/payments".to_owned()];
        assert_eq!(find_all(&twice, fleet.iter()).unwrap(), [&fleet[1]]);
    }
}
