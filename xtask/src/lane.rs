//! Test programs in lanes beside each other: most of them wait more than they compute, and some have to
//! wait for what is still being built.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::Value;
use testbench::process::bound;

use crate::cargo;
use crate::stage::{self, Counts};

/// A compiled test program.
#[derive(Debug)]
pub struct Program {
    /// Its package.
    pub package: String,
    /// Its target, as in `cargo test --test TARGET`.
    pub target: String,
    executable: PathBuf,
    /// The package's folder, where cargo would run it.
    folder: PathBuf,
}

/// Compiles the tests of the workspace with `features`, and returns them in the order of their names; and where
/// the program lies that they start, built with the same features.
///
/// # Errors
/// They do not compile.
pub fn compile(features: &str) -> Result<(Vec<Program>, PathBuf)> {
    let mut build = cargo::command(&["test", "--workspace", "--features", features, "--no-run"]);
    let messages = cargo::messages(&mut build)?;
    let lowtide = cargo::program_in(&messages, "lowtide")?;
    let mut programs: Vec<Program> = messages.iter().filter_map(program).collect();
    if programs.is_empty() {
        bail!("cargo names no test program");
    }
    // Cargo names them in the order in which their compilers ended.
    programs.sort_by(|a, b| (&a.package, &a.target).cmp(&(&b.package, &b.target)));
    Ok((programs, lowtide))
}

/// The test program that a message of cargo tells of.
fn program(message: &Value) -> Option<Program> {
    if message["profile"]["test"] != true {
        return None;
    }
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    Some(Program {
        package: folder.file_name()?.to_str()?.to_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        executable: PathBuf::from(message["executable"].as_str()?),
        folder: folder.to_owned(),
    })
}

impl Program {
    /// Its package and its target.
    pub fn name(&self) -> (&str, &str) {
        (&self.package, &self.target)
    }

    /// The command that runs it, where cargo would; it ends with the thread that starts it.
    pub fn command(&self) -> Command {
        let mut command = bound(&self.executable);
        command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// Runs one program after the other, completed by `complete`, and prints of each what it says once it has
/// ended: whole, however many lanes there are.
///
/// # Errors
/// A program cannot be started. What fails in it is in the counts.
pub fn run(programs: &[Program], complete: impl Fn(&mut Command)) -> Result<Counts> {
    let mut counts = Counts::default();
    for program in programs {
        let mut command = program.command();
        complete(&mut command);
        let started = Instant::now();
        let mut said = String::new();
        let one = stage::tests_into(&mut command, |line| {
            // Writing to a String cannot fail.
            let _ = writeln!(said, "{line}");
        })?;
        stage::say(&format!(
            "\n--- {} {}: {} passed, {} failed, {:.1} s\n{said}",
            program.package,
            program.target,
            one.passed,
            one.failed,
            started.elapsed().as_secs_f64()
        ));
        counts += one;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_test_program_is_told_from_what_else_cargo_builds() {
        let mut message = json!({
            "reason": "compiler-artifact",
            "manifest_path": "/repo/crates/lowtide/Cargo.toml",
            "target": { "name": "stores", "kind": ["test"] },
            "profile": { "test": true },
            "executable": "/repo/target/debug/deps/stores-1",
        });
        let found = program(&message).unwrap();
        assert_eq!((&*found.package, &*found.target), ("lowtide", "stores"));
        assert_eq!(found.folder, Path::new("/repo/crates/lowtide"));
        message["profile"]["test"] = false.into();
        assert!(program(&message).is_none());
    }
}
