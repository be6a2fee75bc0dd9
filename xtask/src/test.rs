//! `cargo xtask test`: everything CI runs. `cargo xtask soak`: the same tests in larger counts.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use testbench::flink::Release;
use testbench::kubernetes;

use crate::stage::{self, Counts, Stages};
use crate::{cargo, demo, fuzz, image, sim};

/// Seeds that `test` walks; `soak` walks [`SOAK_SEEDS`].
const TEST_SEEDS: u64 = 400;
/// Seeds that `soak` walks.
const SOAK_SEEDS: u64 = 4_000;
/// How long `test` runs each fuzz target.
const TEST_FUZZ: Duration = Duration::from_secs(30);
/// How long `soak` runs each fuzz target.
const SOAK_FUZZ: Duration = Duration::from_mins(10);
/// Set for the tests of `soak`: they then run in full.
const SOAK: &str = "LOWTIDE_SOAK";

/// The program under test stops itself at named points when told to; the shipped one has no such
/// points.
const CRASH_POINTS: &str = "lowtide/crash-points";

/// The image that tests run, and the variable that tells them where it is.
const IMAGE: (&str, &str) = ("lowtide:test", "LOWTIDE_IMAGE");
/// The variable that tells tests what to leave out.
const WITHOUT: &str = "LOWTIDE_WITHOUT";

/// Tests that do little but wait, for minutes: they run beside everything else.
const PATIENT: &str = "away::";

/// What a machine may be unable to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Without {
    /// Run containers: root, namespaces, control groups
    Containers,
}

/// Runs every test, but those that are to be left out. Each of these says so in a line of its own.
pub fn run(without: Option<Without>) -> bool {
    let mut stages = Stages::default();
    let containers = without != Some(Without::Containers);
    stages.run("format", || {
        stage::check(&mut cargo::command(&["fmt", "--all", "--check"]))
    });
    // Downloading and compiling do not need the same things: together they take as long as one.
    let download = thread::spawn(move || {
        install()?;
        if containers {
            kubernetes::packages()?;
        }
        Ok(Counts::one(true))
    });
    let kubernetes = thread::spawn(build_kubernetes);
    stages.run("compile the tests", || {
        stage::check(&mut workspace_tests(&["--no-run"]))
    });
    stages.run("install Java, Flink and what runs containers", || {
        download.join().ok().context("the download panicked")?
    });
    let patient = (!stages.failed()).then(|| thread::spawn(wait_patiently));
    stages.run(
        "build Kubernetes and an S3 server from their Go modules",
        || kubernetes.join().ok().context("the build panicked")?,
    );
    let archive = cargo::root().join("target/lowtide-test-image.tar");
    if containers {
        stages.run("the image", || {
            image::run(&image::Order::of_test(archive.clone(), IMAGE.0)).map(Counts::one)
        });
    }
    if !stages.failed() {
        let beside = thread::spawn(compile_beside);
        stages.run("tests", || {
            let mut tests = workspace_tests(&["--no-fail-fast", "--", "--skip", PATIENT]);
            if containers {
                tests.env(IMAGE.1, &archive);
            } else {
                tests.env(WITHOUT, "containers");
            }
            stage::tests(&mut tests)
        });
        stages.run(
            "clippy, and what else was compiled beside the tests",
            || beside.join().ok().context("the compiling panicked")?,
        );
        stages.run("planted bugs", || stage::tests(&mut planted()));
        stages.run(&format!("simulation of {TEST_SEEDS} seeds"), || {
            sim::sweep(1, TEST_SEEDS)
        });
        stages.run("fuzz", || fuzz::run(TEST_FUZZ));
        stages.run("the demo, once", || demo::run(true, false).map(Counts::one));
    }
    if let Some(patient) = patient {
        stages.run("tests that wait, beside all these", || {
            patient.join().ok().context("they panicked")?
        });
    }
    stages.close()
}

/// Runs the tests that have a size in full.
pub fn soak() -> bool {
    let mut stages = Stages::default();
    stages.run("install Java and Flink", install);
    stages.run("build an S3 server", || {
        testbench::s3::program().map(|_| Counts::one(true))
    });
    let sized = [
        ("cron against an oracle", "lowtide-core", "cron_oracle"),
        ("exactly once on a real Flink", "lowtide", "exactly_once"),
        ("savepoints in a real S3 server", "lowtide", "stores"),
        ("damage to fresh snapshots", "lowtide-world", "snapshots"),
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
    stages.run("fuzz", || fuzz::run(SOAK_FUZZ));
    stages.close()
}

fn wait_patiently() -> Result<Counts> {
    let counts = stage::tests(&mut workspace_tests(&["--test", "trouble", PATIENT]))?;
    ensure!(
        counts.passed + counts.failed > 0,
        "no test begins with {PATIENT}"
    );
    Ok(counts)
}

/// What the tests do not need is compiled while they wait for Flink and Kubernetes.
fn compile_beside() -> Result<Counts> {
    let clippy = cargo::command_beside(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        CRASH_POINTS,
        "--",
        "--deny",
        "warnings",
    ]);
    let program = cargo::command_beside(&["build", "--package", "lowtide"]);
    let mut planted = cargo::command_beside(&PLANTED);
    with_planted_bugs(planted.arg("--no-run"));
    let mut counts = Counts::default();
    for mut command in [clippy, program, planted] {
        counts += stage::check(&mut command)?;
    }
    Ok(counts)
}

fn workspace_tests(arguments: &[&str]) -> Command {
    let mut command = cargo::command(&["test", "--workspace", "--features", CRASH_POINTS]);
    command.args(arguments);
    command
}

/// The tests that each planted bug is caught.
const PLANTED: [&str; 5] = ["test", "--package", "lowtide-sim", "--test", "planted"];

fn planted() -> Command {
    let mut command = cargo::command(&PLANTED);
    with_planted_bugs(&mut command);
    command
}

fn with_planted_bugs(command: &mut Command) {
    command
        .env("RUSTFLAGS", "--cfg lowtide_planted_bugs")
        .env("CARGO_TARGET_DIR", cargo::root().join("target/planted"));
}

/// Beside the compiler: both keep two cores busy, but each waits for the network and for its last crate.
fn build_kubernetes() -> Result<Counts> {
    let started = Instant::now();
    kubernetes::binaries()?;
    kubernetes::helm()?;
    kubernetes::coredns()?;
    testbench::s3::program()?;
    testbench::gcs::program()?;
    let seconds = started.elapsed().as_secs_f32();
    stage::say(&format!(
        "Kubernetes, Helm, CoreDNS and an S3 server are there after {seconds:.1} s"
    ));
    Ok(Counts::one(true))
}

fn install() -> Result<Counts> {
    testbench::java::bin()?;
    for release in Release::ALL {
        release.ensure()?;
    }
    testbench::flink::s3_plugin(Release::V2_3)?;
    testbench::azure::program()?;
    testbench::hdfs::jars()?;
    Ok(Counts::one(true))
}
