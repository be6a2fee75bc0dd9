//! Calling cargo, and finding what it built.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository's root")
}

/// A cargo command in the repository's root, that never changes `Cargo.lock`.
pub fn command(arguments: &[&str]) -> Command {
    complete(Command::new(program()), arguments)
}

/// The same, for when nobody waits: it takes the processor only while nothing else wants it.
pub fn command_beside(arguments: &[&str]) -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"]).arg(program());
    complete(nice, arguments)
}

fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn complete(mut command: Command, arguments: &[&str]) -> Command {
    let (verb, rest) = arguments.split_first().expect("a cargo command has a verb");
    command.current_dir(root()).arg(verb);
    if *verb != "fmt" {
        command.arg("--locked");
    }
    command.args(rest);
    command
}

/// Builds the program for trying it. With the features that the whole workspace wants of its dependencies: so
/// the tests have compiled them already.
const TO_TRY: [&str; 4] = ["build", "--workspace", "--bin", "lowtide"];

/// Compiles what [`TO_TRY`] is linked from, and leaves the program alone that lies there: tests that run meanwhile
/// were built with one that has other features.
pub const TO_TRY_BUT_FOR_LINKING: [&str; 3] = ["build", "--workspace", "--lib"];

/// Builds the program for [trying it](TO_TRY) and returns where it lies.
pub fn lowtide_to_try() -> Result<PathBuf> {
    built("lowtide", &mut command(&TO_TRY))
}

/// Builds the program as it is shipped, with further arguments of `cargo build`, and returns where it lies.
pub fn lowtide_with(arguments: &[&str]) -> Result<PathBuf> {
    executable("lowtide", arguments)
}

/// Builds the package `name` and returns where its executable of the same name lies.
pub fn executable(name: &str, arguments: &[&str]) -> Result<PathBuf> {
    built(name, command(&["build", "--package", name]).args(arguments))
}

fn built(name: &str, build: &mut Command) -> Result<PathBuf> {
    program_in(&messages(build)?, name)
}

/// Where the program `name` lies, of all that messages of cargo tell of; its library and its tests have that name, too.
///
/// # Errors
/// They tell of no such program.
pub fn program_in(messages: &[Value], name: &str) -> Result<PathBuf> {
    messages
        .iter()
        .filter(|it| it["target"]["name"] == name && it["profile"]["test"] == false)
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .with_context(|| format!("cargo names no executable of the package `{name}`"))
}

/// Runs a command that builds something, and returns what cargo says of each thing that it built. What
/// compilers say goes to whoever looks on.
///
/// # Errors
/// Something does not compile.
pub fn messages(build: &mut Command) -> Result<Vec<Value>> {
    let output = build
        .args(["--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("run {build:?}"))?;
    if !output.status.success() {
        bail!("it does not compile: {build:?}");
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_program_is_told_from_its_own_tests_and_from_its_library() {
        let mut message = json!({
            "target": { "name": "lowtide", "kind": ["bin"] },
            "profile": { "test": false },
            "executable": "/repo/target/debug/lowtide",
        });
        let find = |message: &Value, name| program_in(std::slice::from_ref(message), name);
        let found = find(&message, "lowtide").unwrap();
        assert_eq!(found, Path::new("/repo/target/debug/lowtide"));
        assert!(find(&message, "xtask").is_err());
        message["profile"]["test"] = true.into();
        assert!(find(&message, "lowtide").is_err());
        message["profile"]["test"] = false.into();
        message["executable"] = Value::Null;
        assert!(find(&message, "lowtide").is_err());
    }
}
