//! `cargo xtask test`: everything CI runs. `cargo xtask soak`: the same tests in larger counts.

use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result};
use testbench::flink::Release;

use crate::stage::{self, Counts, Stages};
use crate::{cargo, demo, sim};

/// Seeds that `test` walks; `soak` walks [`SOAK_SEEDS`].
const TEST_SEEDS: u64 = 400;
/// Seeds that `soak` walks.
const SOAK_SEEDS: u64 = 4_000;
/// Set for the tests of `soak`: they then run in full.
const SOAK: &str = "LOWTIDE_SOAK";

/// The program under test stops itself at named points when told to; the shipped one has no such
/// points.
const CRASH_POINTS: &str = "lowtide/crash-points";

/// Runs every test.
pub fn run() -> bool {
    let mut stages = Stages::default();
    stages.run("format", || {
        stage::check(&mut cargo::command(&["fmt", "--all", "--check"]))
    });
    // Downloading and compiling do not need the same things: together they take as long as one.
    let download = thread::spawn(install);
    stages.run("compile the tests", || {
        stage::check(&mut workspace_tests(&["--no-run"]))
    });
    stages.run("install Java and Flink", || {
        download.join().ok().context("the download panicked")?
    });
    stages.run("clippy", || {
        let lints = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            CRASH_POINTS,
            "--",
            "--deny",
            "warnings",
        ];
        stage::check(&mut cargo::command(&lints))
    });
    if !stages.failed() {
        stages.run("tests", || {
            stage::tests(&mut workspace_tests(&["--no-fail-fast"]))
        });
        stages.run("planted bugs", || stage::tests(&mut planted()));
        stages.run(&format!("simulation of {TEST_SEEDS} seeds"), || {
            sim::sweep(1, TEST_SEEDS)
        });
        stages.run("the demo, once", || demo::run(true, false).map(Counts::one));
    }
    stages.close()
}

/// Runs the tests that have a size in full.
pub fn soak() -> bool {
    let mut stages = Stages::default();
    stages.run("install Java and Flink", install);
    let sized = [
        ("cron against an oracle", "lowtide-core", "cron_oracle"),
        ("exactly once on a real Flink", "lowtide", "exactly_once"),
    ];
    for (name, package, test) in sized {
        stages.run(name, || {
            let mut command = cargo::command(&[
                "test",
                "--package",
                package,
                "--test",
                test,
                "--no-fail-fast",
            ]);
            if package == "lowtide" {
                command.args(["--features", CRASH_POINTS]);
            }
            command.args(["--", "--nocapture"]).env(SOAK, "1");
            stage::tests(&mut command)
        });
    }
    stages.run("planted bugs", || stage::tests(&mut planted()));
    stages.run(&format!("simulation of {SOAK_SEEDS} seeds"), || {
        sim::sweep(1, SOAK_SEEDS)
    });
    stages.close()
}

fn workspace_tests(arguments: &[&str]) -> Command {
    let mut command = cargo::command(&["test", "--workspace", "--features", CRASH_POINTS]);
    command.args(arguments);
    command
}

fn planted() -> Command {
    let mut command = cargo::command(&["test", "--package", "lowtide-sim", "--test", "planted"]);
    command
        .env("RUSTFLAGS", "--cfg lowtide_planted_bugs")
        .env("CARGO_TARGET_DIR", cargo::root().join("target/planted"));
    command
}

fn install() -> Result<Counts> {
    testbench::java::bin()?;
    for release in Release::ALL {
        release.ensure()?;
    }
    Ok(Counts::one(true))
}
