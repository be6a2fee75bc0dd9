//! The one place that knows the YAML library: text in, raw types or a problem with its place out.
//!
//! Limits stand here, because a file may come from a repository that others write to: a few lines
//! of aliases can unfold to gigabytes.

use std::ops::Range;

use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, Location};

use super::did_you_mean::did_you_mean;
use super::problem::Problem;
use super::raw::{File, LISTED_EXPECTED};

/// The deepest nesting: the deepest key there is stands at depth 7.
const DEPTH_MAX: usize = 16;
/// The most nodes: 10,000 applications with every key there is.
const NODES_MAX: usize = 500_000;
/// The most uses of aliases (`*name`): one or two for each of 10,000 applications.
const ALIASES_MAX: usize = 20_000;
/// The most nodes that aliases may unfold to.
const UNFOLDED_MAX: usize = 500_000;

/// Reads the shape of a file.
pub(super) fn parse(text: &str) -> Result<File, Problem> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 3 * NODES_MAX,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
            // One more than allowed, so that the library says what is wrong rather than that there is too much.
            max_documents: 2,
            // A fleet may well share one anchor; what it unfolds to is limited below.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: UNFOLDED_MAX,
            max_alias_expansions_per_anchor: ALIASES_MAX,
        },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| problem(text, &error))
}

/// The bytes of a place; nothing where the library does not know.
pub(super) fn bytes_of(place: Location) -> Range<usize> {
    let to_usize = |at: Option<u64>| at.and_then(|at| usize::try_from(at).ok());
    let span = place.span();
    let start = to_usize(span.byte_offset()).unwrap_or(0);
    start..start + to_usize(span.byte_len()).unwrap_or(0)
}

/// The bytes of an error's place; the parser itself only tells line and column.
fn found_at(text: &str, place: Location) -> Range<usize> {
    if place.span().byte_offset().is_some() {
        return bytes_of(place);
    }
    let count = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let line_start: usize = text
        .split_inclusive('\n')
        .take(count(place.line()))
        .map(str::len)
        .sum();
    let column: usize = text[line_start..]
        .chars()
        .take(count(place.column()))
        .take_while(|c| *c != '\n')
        .map(char::len_utf8)
        .sum();
    line_start + column..line_start + column
}

/// Keys that the documentation names and this release lacks, and how things are without.
const LATER: [(&str, &str); 4] = [
    ("quiet", "waiting for a quiet moment comes later"),
    (
        "keep",
        "deleting savepoints by rules comes later; until then all are kept",
    ),
    ("promise", "watching over the age of savepoints comes later"),
    (
        "postgres",
        "a catalog in PostgreSQL comes later; there is `sqlite`",
    ),
];

/// Keys and where they belong, for those who write them elsewhere.
const HOMES: [(&[&str], &str); 9] = [
    (
        &[
            "timezone",
            "platforms",
            "defaults",
            "applications",
            "catalog",
            "read_every",
            "read_limit",
        ],
        "at the top of the file",
    ),
    (&["sqlite"], "under `catalog:`"),
    (&PLATFORM_KINDS, "under the name of a platform"),
    (
        &["url", "ca", "client_cert"],
        "under `flink:` or `ververica:` of a platform",
    ),
    (&["auth"], "under `flink:` of a platform"),
    (
        &["timeout", "concurrency", "paths"],
        "under the kind of a platform, such as `flink:`",
    ),
    (
        &["token", "resolve", "native_field"],
        "under `ververica:` of a platform",
    ),
    (&["name", "job"], "to an application"),
    (
        &[
            "format",
            "target",
            "deadline",
            "attempts",
            "patience",
            "absent_for",
            "catch_up",
            "never",
            "platform",
            "schedule",
            "every",
        ],
        "to an application, or to all under `defaults:`",
    ),
];

/// The keys of a platform, which are the kinds there are.
const PLATFORM_KINDS: [&str; 3] = ["flink", "ververica", "kubernetes"];

fn problem(text: &str, error: &Error) -> Problem {
    let error = error.without_snippet();
    if let Error::AliasError { error, .. } = error {
        return problem(text, error);
    }
    let place = error.location().map_or(0..0, |place| found_at(text, place));
    match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => unknown_key(widen(text, place, field), field, expected),
        Error::SerdeMissingField { field, .. } => Problem::new(
            first_line(text, place),
            format!("the key `{field}` is missing"),
        ),
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("…");
            Problem::new(
                widen(text, place, key),
                format!("the key `{key}` stands here twice"),
            )
            .hint("remove one of the two")
        }
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => {
            let problem = Problem::new(
                widen(text, place, variant),
                format!("`{variant}` is not one of {}", listed(expected)),
            );
            match did_you_mean(variant, expected.iter().copied()) {
                Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                None => problem,
            }
        }
        // What was found is left out: it may be a secret in the wrong place.
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            expected_thing(text, place, expected)
        }
        Error::Unexpected { expected, .. } => expected_thing(text, place, expected),
        Error::InvalidScalar { .. } => expected_thing(text, place, "a whole number"),
        Error::NullIntoString { .. } => no_value(place),
        Error::Budget { breach, .. } => too_much(place, breach),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Problem::new(
            place,
            "the aliases (`*name`) unfold to more than Lowtide reads",
        ),
        Error::Eof { .. } => Problem::new(place, "the file is empty")
            .hint("the smallest file has `platforms:` and `applications:`"),
        Error::MultipleDocuments { .. } => {
            Problem::new(place, "there is more than one YAML document in the file")
                .hint("remove the line `---` and what follows")
        }
        other => Problem::new(first_line(text, place), plain_message(other)),
    }
}

fn no_value(place: Range<usize>) -> Problem {
    Problem::new(place, "there is no value here").hint("write one, or remove the key")
}

/// Something else stands there; the library's words for shapes are those of its parser.
fn expected_thing(text: &str, place: Range<usize>, expected: &str) -> Problem {
    let expected = match expected {
        "mapping start" => "a map, such as `key: value`",
        "sequence start" => "a list, such as `[one, two]`",
        "string scalar" | "scalar" => "a text",
        other => other,
    };
    let place = first_line(text, place);
    let found = text.get(place.clone()).unwrap_or_default();
    if matches!(found, "" | ":" | "~" | "null") {
        return no_value(place);
    }
    let problem = Problem::new(place, format!("expected {expected}"));
    if expected == LISTED_EXPECTED && found.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return problem.hint("put a name that is also a number or a truth value into quotes");
    }
    problem
}

fn too_much(place: Range<usize>, breach: &BudgetBreach) -> Problem {
    let what = match breach {
        BudgetBreach::Depth { .. } => "is nested deeper",
        BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } => "has more aliases",
        _ => "is larger, with its aliases unfolded,",
    };
    Problem::new(place, format!("the file {what} than Lowtide reads")).hint("is it the right file?")
}

/// The library's own words, without the place that is shown anyway.
fn plain_message(error: &Error) -> String {
    let text = error.to_string();
    let end = [" at line ", "at line ", "\n"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min()
        .unwrap_or(text.len());
    text[..end].trim_end_matches([':', ',', ' ']).to_owned()
}

fn unknown_key(place: Range<usize>, key: &str, expected: &[&'static str]) -> Problem {
    if let Some((_, what)) = LATER.iter().find(|(later, _)| *later == key) {
        return Problem::new(place, format!("`{key}` is not in this release of Lowtide"))
            .hint(format!("{what}; remove the key for now"));
    }
    if expected == PLATFORM_KINDS {
        return unknown_kind(place, key);
    }
    let problem = Problem::new(place, format!("`{key}` is not a key that can stand here"));
    if let Some(meant) = did_you_mean(key, expected.iter().copied()) {
        return problem.hint(format!("did you mean `{meant}`?"));
    }
    let home = HOMES.iter().find(|(keys, _)| keys.contains(&key));
    if let Some((_, home)) = home {
        return problem.hint(format!("`{key}` belongs {home}"));
    }
    problem.hint(format!("the keys here are {}", listed(expected)))
}

fn unknown_kind(place: Range<usize>, kind: &str) -> Problem {
    let release = if kind == "operator" {
        " in this release of Lowtide"
    } else {
        ""
    };
    Problem::new(
        place,
        format!("`{kind}` is not a kind of platform{release}"),
    )
    .hint(format!("the kinds there are: {}", listed(&PLATFORM_KINDS)))
}

fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// The place of a word, where the library only gives its beginning.
fn widen(text: &str, place: Range<usize>, word: &str) -> Range<usize> {
    if !place.is_empty() {
        return place;
    }
    let end = place.start + word.len();
    if text.get(place.start..end) == Some(word) {
        place.start..end
    } else {
        place
    }
}

/// A place without what follows its first line.
fn first_line(text: &str, place: Range<usize>) -> Range<usize> {
    let line = text
        .get(place.start..)
        .and_then(|rest| rest.find('\n'))
        .map_or(text.len(), |at| place.start + at);
    let end = if place.is_empty() {
        line
    } else {
        place.end.min(line)
    };
    let trimmed = text
        .get(place.start..end)
        .map_or(0, |part| part.trim_end().len());
    place.start..place.start + trimmed
}
