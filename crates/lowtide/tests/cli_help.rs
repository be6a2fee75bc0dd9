//! Every help has a snapshot, and each has been read as a new user would.
#![allow(clippy::unwrap_used)]

mod shared;

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Command, CommandFactory};
use lowtide::cli::Cli;

/// Every command and what is beneath it, as it would be typed after `lowtide`.
fn commands(command: &Command, typed: &[String], all: &mut Vec<Vec<String>>) {
    all.push(typed.to_vec());
    for below in command.get_subcommands() {
        let mut longer = typed.to_vec();
        longer.push(below.get_name().to_owned());
        commands(below, &longer, all);
    }
}

fn all_commands() -> Vec<Vec<String>> {
    let mut all = Vec::new();
    commands(&Cli::command(), &[], &mut all);
    all
}

fn snapshot_name(typed: &[String]) -> String {
    let mut name = "help".to_owned();
    for word in typed {
        name.push('_');
        name.push_str(word);
    }
    name
}

#[test]
fn every_help_has_a_snapshot() {
    let place = shared::Place::new("");
    for typed in all_commands() {
        let mut args: Vec<&str> = typed.iter().map(String::as_str).collect();
        args.push("--help");
        let ended = place.run(&args);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{typed:?}");
        insta::assert_snapshot!(snapshot_name(&typed), ended.stdout);
    }
}

#[test]
fn no_snapshot_is_left_of_a_command_that_is_gone() {
    let wanted: BTreeSet<String> = all_commands()
        .iter()
        .map(|typed| format!("cli_help__{}.snap", snapshot_name(typed)))
        .collect();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let there: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("cli_help__help"))
        .collect();
    assert_eq!(there, wanted);
}

#[test]
fn every_command_has_an_example() {
    for command in Cli::command().get_subcommands() {
        let help = command.clone().render_long_help().to_string();
        let example = format!("lowtide {}", command.get_name());
        assert!(
            help.contains("Examples:") && help.contains(&example),
            "{help}"
        );
    }
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}
