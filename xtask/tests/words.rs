//! Every text that a user can meet is in a snapshot: a new or changed one fails this test until somebody has
//! read it as a new user would. The texts are those in the sources, with their placeholders; how whole errors look,
//! with causes and hints, is in the snapshots of the crates themselves.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The shipped sources. What the schedule and the configuration say has snapshots with carets; SQL is not for
/// users, nor is what only tests are built with.
const FOLDERS: [&str; 5] = [
    "crates/flink-metadata/src",
    "crates/lowtide-core/src",
    "crates/lowtide-catalog/src",
    "crates/lowtide-world/src",
    "crates/lowtide/src",
];
/// Files in them that hold no text for users.
const NOT_FOR_USERS: [&str; 7] = [
    "sql.rs",
    "conformance",
    "write.rs",
    "crash.rs",
    "snapshots",
    "planted.rs",
    "tests",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if NOT_FOR_USERS.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The string literals of Rust source, comments left out. Raw strings hold no escapes; both kinds may span lines.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let (before, from) = rest.split_at(at);
        rest = if let Some(comment) = from.strip_prefix("//") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(character) = from.strip_prefix('\'') {
            // `'"'` is a character; `'a` is a lifetime.
            ["\"'", "\\\"'", "/'"]
                .iter()
                .find_map(|quote| character.strip_prefix(quote))
                .unwrap_or(character)
        } else if let Some(text) = from.strip_prefix('"') {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let raw = before.trim_end_matches('#').ends_with('r')
                && (hashes > 0 || before.ends_with('r'));
            let length = if raw {
                text.find(&format!("\"{}", "#".repeat(hashes)))
            } else {
                end_of(text)
            };
            let (literal, after) = text.split_at(length.unwrap_or(text.len()));
            found.push(literal.to_owned());
            after.get(1..).unwrap_or_default()
        } else {
            &from[1..]
        };
    }
    found
}

/// Where a literal with escapes ends.
fn end_of(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends.then_some(at)
    })
}

/// Words for people: at least two of them, with letters.
fn is_prose(literal: &str) -> bool {
    let words = literal
        .split_whitespace()
        .filter(|word| word.chars().any(char::is_alphabetic));
    words.count() >= 2
}

#[test]
fn every_text_that_a_user_can_meet_has_a_snapshot() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("in the repository");
    let mut all = String::new();
    for folder in FOLDERS {
        let mut files = Vec::new();
        sources(&root.join(folder), &mut files);
        for file in files {
            let source = fs::read_to_string(&file).expect("readable");
            let tests = ["#[cfg(test)]\nmod ", "#[cfg(test)]\npub(crate) mod "];
            let ends = tests.iter().filter_map(|begins| source.find(begins));
            let shipped = &source[..ends.min().unwrap_or(source.len())];
            let texts: Vec<String> = literals(shipped)
                .into_iter()
                .filter(|literal| is_prose(literal))
                .collect();
            if texts.is_empty() {
                continue;
            }
            writeln!(
                all,
                "# {}",
                file.strip_prefix(root).expect("below it").display()
            )
            .expect("a string grows");
            for text in texts {
                let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
                writeln!(all, "{one_line}").expect("a string grows");
            }
        }
    }
    insta::assert_snapshot!(all);
}

#[test]
fn literals_are_found_and_comments_are_not() {
    let source = "// \"not this\"\nlet a = 'x'; let q = '\"'; f(\"one \\\"two\\\"\"); r#\"three \"four\"\"#; \"five six\"";
    assert_eq!(
        literals(source),
        ["one \\\"two\\\"", "three \"four\"", "five six"]
    );
}
