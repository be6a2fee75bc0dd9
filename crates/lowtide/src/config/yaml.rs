//! The one place that knows the YAML library: text in, raw types or a problem with its place out.
//!
//! Limits stand here, because a file may come from a repository that others write to: a few lines
//! of aliases can unfold to gigabytes.

use std::ops::Range;

use serde_saphyr::{Error, Location};

use super::did_you_mean::did_you_mean;
use super::problem::Problem;
use super::raw::File;

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
            max_documents: 1,
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

/// Keys that the documentation names and this release lacks, and what to do about it.
const LATER: [(&str, &str); 9] = [
    ("quiet", "waiting for a quiet moment"),
    ("keep", "deleting savepoints by rules; all are kept"),
    ("promise", "watching over the age of savepoints"),
    ("postgres", "a PostgreSQL catalog; `sqlite` is there"),
    ("ververica", PLATFORM_KINDS),
    ("kubernetes", PLATFORM_KINDS),
    ("operator", PLATFORM_KINDS),
    ("notify", "sending notices"),
    ("read_every", "reading kept savepoints again"),
];

/// What stands for a platform kind in [`LATER`].
const PLATFORM_KINDS: &str = "platforms of this kind; the kinds it has: `flink`";

/// Keys and where they belong, for those who write them elsewhere.
const HOMES: [(&[&str], &str); 5] = [
    (
        &[
            "timezone",
            "platforms",
            "defaults",
            "applications",
            "catalog",
        ],
        "at the top of the file",
    ),
    (&["sqlite"], "under `catalog:`"),
    (&["flink"], "under the name of a platform"),
    (
        &[
            "url",
            "auth",
            "ca",
            "client_cert",
            "timeout",
            "concurrency",
            "paths",
        ],
        "under `flink:` of a platform",
    ),
    (
        &[
            "name",
            "job",
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
        "to an application or, but for `name` and `job`, to `defaults:`",
    ),
];

fn problem(text: &str, error: &Error) -> Problem {
    let error = error.without_snippet();
    if let Error::AliasError { error, .. } = error {
        return problem(text, error);
    }
    let place = error.location().map_or(0..0, bytes_of);
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
            Problem::new(first_line(text, place), format!("expected {expected}"))
        }
        Error::NullIntoString { .. } => {
            Problem::new(place, "there is no value here").hint("write one, or remove the key")
        }
        Error::Eof { .. } => Problem::new(place, "the file is empty")
            .hint("the smallest file has `platforms:` and `applications:`"),
        Error::MultipleDocuments { .. } => {
            Problem::new(place, "there is more than one YAML document in the file")
                .hint("remove the line `---` and what follows")
        }
        other => Problem::new(first_line(text, place), plain_message(other)),
    }
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
        return Problem::new(
            place,
            format!("`{key}` is not in this release of Lowtide: it does not have {what}"),
        )
        .hint("remove the key");
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
