//! Stages: a name, what it runs, how long it took, what passed and what failed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::AddAssign;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Prints one line for people.
pub fn say(line: &str) {
    // A closed output is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// What passed and what failed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// How many passed.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
}

impl Counts {
    /// One check that passed or failed.
    pub fn one(passed: bool) -> Self {
        Self {
            passed: u64::from(passed),
            failed: u64::from(!passed),
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// The stages run so far.
#[derive(Debug, Default)]
pub struct Stages {
    done: Vec<(String, Duration, Counts)>,
}

impl Stages {
    /// Runs a stage; an error counts as one failure and does not stop the others.
    pub fn run(&mut self, name: &str, act: impl FnOnce() -> Result<Counts>) {
        say(&format!("\n=== {name}"));
        let start = Instant::now();
        let counts = act().unwrap_or_else(|error| {
            say(&format!("error: {error:#}"));
            Counts::one(false)
        });
        self.done.push((name.to_owned(), start.elapsed(), counts));
    }

    /// Whether anything failed so far.
    pub fn failed(&self) -> bool {
        self.done.iter().any(|(_, _, counts)| counts.failed > 0)
    }

    /// Prints seconds per stage and the closing line; says whether all passed.
    pub fn close(self) -> bool {
        say("\nseconds  passed  failed  stage");
        let mut total = Counts::default();
        for (name, took, counts) in &self.done {
            say(&format!(
                "{:7.1} {:7} {:7}  {name}",
                took.as_secs_f64(),
                counts.passed,
                counts.failed
            ));
            total += *counts;
        }
        let seconds: f64 = self
            .done
            .iter()
            .map(|(_, took, _)| took.as_secs_f64())
            .sum();
        say(&format!("{seconds:7.1} in all"));
        say(&format!("{} passed, {} failed", total.passed, total.failed));
        total.failed == 0 && total.passed > 0
    }
}

/// Runs a command that either succeeds or not.
pub fn check(command: &mut Command) -> Result<Counts> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("run {command:?}"))?;
    Ok(Counts::one(status.success()))
}

/// Runs `cargo test …` and counts from libtest's closing lines. A run that fails without a failed
/// test (it did not compile, or a test process died) counts as one failure.
pub fn tests(command: &mut Command) -> Result<Counts> {
    tests_into(command, say)
}

/// The same; what is worth reading goes to `tell`, a line each.
pub fn tests_into(command: &mut Command, mut tell: impl FnMut(&str)) -> Result<Counts> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {command:?}"))?;
    let mut counts = Counts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.context("read the tests' output")?;
            if let Some((passed, failed)) = closing_line(&line) {
                counts.passed += passed;
                counts.failed += failed;
            }
            // Hundreds of passed tests hide the one that did not.
            if !line.ends_with("... ok") && !line.trim().is_empty() {
                tell(&line);
            }
        }
    }
    if !child.wait().context("wait for the tests")?.success() && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}

/// `test result: ok. 3 passed; 1 failed; …`
fn closing_line(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let count = |word: &str| {
        let before = rest.split(word).next()?;
        before
            .rsplit(|c: char| !c.is_ascii_digit())
            .find(|digits| !digits.is_empty())?
            .parse()
            .ok()
    };
    Some((count(" passed")?, count(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::closing_line;

    #[test]
    fn libtests_closing_line_is_read() {
        let line = "test result: FAILED. 16 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.13s";
        assert_eq!(closing_line(line), Some((16, 2)));
        assert_eq!(closing_line("running 3 tests"), None);
    }
}
