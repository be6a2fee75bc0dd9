//! Files that are too much: each is refused with a message, quickly, whatever it unfolds to.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write;

use lowtide::config::{self, ConfigError, FILE_BYTES_MAX};

const PLATFORMS: &str = "platforms: { a: { flink: { url: \"http://a\" } } }\n";

fn refused(text: &str) -> String {
    let error = config::parse("lowtide.yaml", text, &config::fetch).expect_err("too much");
    error.problems()[0].message.clone()
}

#[test]
fn ten_thousand_applications_and_no_more() {
    let list = |count: usize| {
        let mut text = format!("{PLATFORMS}schedule: \"H 1 * * *\"\napplications:\n");
        for number in 0..count {
            writeln!(text, "  - app-{number}").unwrap();
        }
        text
    };
    let config = config::parse("lowtide.yaml", &list(10_000), &config::fetch).unwrap();
    assert_eq!(config.applications.len(), 10_000);
    assert_eq!(
        refused(&list(10_001)),
        "there are 10001 applications, more than 10000"
    );
}

#[test]
fn aliases_that_multiply() {
    let mut text =
        format!("{PLATFORMS}applications:\n  - &a0 {{ name: a, never: &n0 [Sun, Sun] }}\n");
    writeln!(
        text,
        "  - {{ name: b, never: [{}] }}",
        "*n0, ".repeat(20_001)
    )
    .unwrap();
    assert_eq!(refused(&text), "expected a text");
    let text = format!(
        "{PLATFORMS}schedule: &s \"@daily\"\napplications: [&a {{ name: a, schedule: *s }}, {}]",
        "*a, ".repeat(200_000)
    );
    let message = refused(&text);
    assert!(message.ends_with("than Lowtide reads"), "{message}");
}

#[test]
fn depth_without_end() {
    for open in ["[", "{ a: ", "- "] {
        let text = format!("{PLATFORMS}applications:\n  - {}", open.repeat(50_000));
        assert!(!refused(&text).is_empty());
    }
}

#[test]
fn a_file_without_end() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let line = b"# nothing but comments, again and again and again\n";
    let count = usize::try_from(FILE_BYTES_MAX).unwrap() / line.len() + 1;
    std::io::Write::write_all(&mut file, &line.repeat(count)).unwrap();
    let error = config::load(file.path()).expect_err("too long");
    assert!(matches!(error, ConfigError::TooLong { .. }), "{error}");
    let shown = error
        .to_string()
        .replace(&*file.path().to_string_lossy(), "FILE");
    insta::assert_snapshot!("too_long", format!("{shown}\n{}", error.hints().join("\n")));
}
