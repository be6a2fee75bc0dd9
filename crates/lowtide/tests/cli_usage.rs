//! Mistakes in what is typed: each is told with what to type instead, and exits 2.
#![allow(clippy::unwrap_used)]

mod shared;

use std::fmt::Write as _;

#[test]
fn mistakes_on_the_command_line_read_well() {
    let place = shared::Place::new(shared::TWO);
    let mut text = String::new();
    for typed in [
        "serv",
        "take",
        "take order",
        "take orders --format savepoint",
        "take orders --target somewhere",
        "take orders --deadline 90",
        "take orders --deadline 0s",
        "run --slot yesterday",
        "run --slot 2999-01-01T00:00:00Z",
        "plan --until soon",
        "plan --next 0",
        "list --limit none",
        "list --output xml",
        "latest",
        "latest orders payments",
        "latest order",
        "pause",
        "show",
        "inspect",
        "check --onlin",
        "gen",
    ] {
        let args: Vec<&str> = typed.split(' ').collect();
        let ended = place.run(&args);
        assert_eq!(ended.code, 2, "{typed}: {}", ended.text());
        assert_eq!(ended.stdout, "", "{typed}");
        // How far ahead the slot lies changes with the day.
        let told: String = ended
            .stderr
            .lines()
            .map(|line| line.split(": it is ").next().unwrap_or(line))
            .fold(String::new(), |told, line| told + line + "\n");
        let _ = writeln!(text, "$ lowtide {typed}\n{told}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn without_arguments_it_says_what_there_is() {
    let ended = shared::Place::new("").run(&[]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("Usage: lowtide"), "{}", ended.text());
}

#[test]
fn colours_come_only_when_asked_for() {
    let place = shared::Place::new(shared::TWO);
    let plain = place.run(&["latest", "orders"]);
    assert!(!plain.stderr.contains('\u{1b}'), "{}", plain.stderr);
    let coloured = place.run(&["latest", "orders", "--color", "always"]);
    assert!(coloured.stderr.contains("\u{1b}["), "{}", coloured.stderr);
    let stripped = anstream::adapter::strip_str(&coloured.stderr).to_string();
    assert_eq!(stripped, plain.stderr);
    let refused = place
        .command(&["latest", "orders", "--color", "never"])
        .env("CLICOLOR_FORCE", "1")
        .output()
        .unwrap();
    assert!(!refused.stderr.contains(&0x1b));
}

#[test]
fn the_configuration_is_found_where_it_is_said() {
    let place = shared::Place::new("not: right\n");
    let right = shared::Place::new(shared::TWO);
    let path = right.path("lowtide.yaml");
    assert_eq!(place.run(&["check"]).code, 2);
    let by_flag = place.run(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(by_flag.code, 0, "{}", by_flag.text());
    let by_variable = place
        .command(&["check"])
        .env("LOWTIDE_CONFIG", &path)
        .output()
        .unwrap();
    assert!(by_variable.status.success());
    let both = place
        .command(&["check", "--config", "lowtide.yaml"])
        .env("LOWTIDE_CONFIG", &path)
        .output()
        .unwrap();
    assert_eq!(both.status.code(), Some(2));
}
