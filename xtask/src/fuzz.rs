//! Fuzz targets, run for a bounded time.
//!
//! They are those of `cargo fuzz`, built here by cargo alone: coverage is a pass that the stable compiler has,
//! and what else `cargo fuzz` brings, the address sanitizer of a nightly compiler, has nothing to find in code
//! without `unsafe`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testbench::process::bound;

use crate::cargo;
use crate::stage::{self, Counts, say};

/// Where the targets are, from the repository's root.
const FOLDER: &str = "crates/flink-metadata/fuzz";
/// The targets. Each has a folder of seeds of its name in `corpus`.
const TARGETS: [&str; 3] = ["parse", "events", "states"];

/// Coverage as libFuzzer needs it, in one unit per crate, with the checks of a test build.
const FLAGS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// The longest input that is tried: eight times the seeds.
const INPUT_BYTES_MAX: usize = 64 << 10;
/// An input that takes longer is a finding. The longest takes milliseconds.
const INPUT_SECONDS_MAX: u32 = 10;
/// What the fuzzer with its corpus may use: an input that makes a reader use much more than a hundred times
/// its length is a finding.
const MEMORY_MIB_MAX: u32 = 512;

/// Runs the targets beside each other, each for so long; a finding is kept in `target/fuzz` and fails.
pub fn run(each: Duration) -> Result<Counts> {
    let programs = build()?;
    say(&format!(
        "fuzzing {} for {} s",
        TARGETS.join(", "),
        each.as_secs()
    ));
    thread::scope(|threads| {
        let all: Vec<_> = TARGETS
            .iter()
            .zip(&programs)
            .map(|(target, program)| threads.spawn(move || one(target, program, each)))
            .collect();
        let mut counts = Counts::default();
        for one in all {
            counts += one.join().ok().context("a fuzzer's thread panicked")??;
        }
        Ok(counts)
    })
}

fn build_folder() -> PathBuf {
    cargo::root().join("target/fuzz")
}

/// Builds the targets. With a named target platform, what runs while building is not instrumented.
fn build() -> Result<Vec<PathBuf>> {
    let platform = platform()?;
    let folder = build_folder();
    let mut build = cargo::command(&["build", "--release", "--bins", "--target", &platform]);
    build
        .current_dir(cargo::root().join(FOLDER))
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .env("CARGO_TARGET_DIR", &folder);
    let built = stage::check(&mut build)?;
    ensure!(built.failed == 0, "the fuzz targets do not build");
    let programs = folder.join(platform).join("release");
    Ok(TARGETS.iter().map(|it| programs.join(it)).collect())
}

/// The platform that the compiler builds for by itself.
fn platform() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .current_dir(cargo::root())
        .stdin(Stdio::null())
        .output()
        .context("run rustc")?;
    let told = String::from_utf8_lossy(&output.stdout);
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc names no host")
}

/// Runs one target. It begins with the seeds and with what earlier runs found worth keeping; libFuzzer writes
/// into the first folder only.
fn one(target: &str, program: &Path, each: Duration) -> Result<Counts> {
    let kept = build_folder().join("corpus").join(target);
    let findings = build_folder().join("findings").join(target);
    for folder in [&kept, &findings] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let log = findings.join("log");
    let output = fs::File::create(&log).with_context(|| log.display().to_string())?;
    let mut command = bound(program);
    command
        .arg(format!("-max_total_time={}", each.as_secs()))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg(&kept)
        .arg(cargo::root().join(FOLDER).join("corpus").join(target))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output);
    let status = command
        .status()
        .with_context(|| format!("run {command:?}"))?;
    let told = fs::read(&log).context("read what the fuzzer said")?;
    let told = String::from_utf8_lossy(&told);
    let inputs = number_of_inputs(&told);
    if status.success() {
        let inputs = inputs.context("the fuzzer does not say how many inputs it tried")?;
        // One that tries nothing finds nothing.
        ensure!(inputs > 1_000, "{target} tried only {inputs} inputs");
        say(&format!("{target}: {inputs} inputs, no finding"));
    } else {
        let lines: Vec<&str> = told.lines().collect();
        let last = lines.len().saturating_sub(40);
        lines[last..].iter().for_each(|line| say(line));
        say(&format!("{target}: a finding, in {}", findings.display()));
    }
    Ok(Counts::one(status.success()))
}

/// libFuzzer's `stat::number_of_executed_units: 12345`.
fn number_of_inputs(told: &str) -> Option<u64> {
    let line = |line: &str| {
        let number = line.strip_prefix("stat::number_of_executed_units:")?;
        number.trim().parse().ok()
    };
    told.lines().find_map(line)
}

#[cfg(test)]
mod tests {
    use super::number_of_inputs;

    #[test]
    fn the_number_of_inputs_is_read_from_the_statistics() {
        let told =
            "Done 2097152 runs\nstat::number_of_executed_units: 2097152\nstat::peak_rss_mb: 41\n";
        assert_eq!(number_of_inputs(told), Some(2_097_152));
        assert_eq!(number_of_inputs("#2 INITED cov: 5"), None);
    }
}
