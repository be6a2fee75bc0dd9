//! `cargo xtask test`: everything CI runs. `cargo xtask soak`: the same tests in larger counts.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use tempfile::TempDir;
use testbench::flink::Release;
use testbench::go::Caches;
use testbench::kubernetes;

use crate::lane::{self, Program};
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
/// The variable that tells tests of other packages where the program is: to ask cargo, they would wait until it has
/// compiled what it compiles beside them.
const PROGRAM: &str = "LOWTIDE_PROGRAM";
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

/// Test programs, by package and target, that need what is built from Go modules, or the image: they have a
/// lane of their own, and go in this order. What comes last waits for its server by itself, where that is
/// still being built.
const BUILT_FOR: [(&str, &str); 11] = [
    ("lowtide", "in_kubernetes"),
    ("lowtide-world", "kubernetes"),
    ("lowtide-world", "kubernetes_flink"),
    ("testbench", "kubernetes"),
    ("testbench", "kubernetes_flink"),
    ("xtask", "chart"),
    ("xtask", "image"),
    ("lowtide", "cli_scan"),
    ("lowtide", "stores"),
    ("lowtide-world", "s3"),
    ("lowtide-world", "stores"),
];

/// The test program with the most JVMs of its own, by package and target: it goes last, when the pods of the lane
/// beside it are gone. Together they had kept each other from starting for more than a minute.
const HEAVIEST: (&str, &str) = ("lowtide", "exactly_once");

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
    let (mut programs, mut lowtide) = (Vec::new(), PathBuf::new());
    stages.run("compile the tests", || {
        (programs, lowtide) = lane::compile(CRASH_POINTS)?;
        Ok(Counts::one(true))
    });
    stages.run("install Java, Flink and what runs containers", || {
        joined(download)
    });
    let environment = Environment::new(lowtide, containers);
    if let Ok(Environment {
        archive: Some(archive),
        ..
    }) = &environment
    {
        stages.run("the image", || {
            image::run(&image::Order::of_test(archive.clone(), IMAGE.0)).map(Counts::one)
        });
    }
    stages.run("build Kubernetes from its Go modules", || {
        joined(kubernetes)
    });
    match environment {
        Ok(environment) if !stages.failed() => {
            beside_each_other(&mut stages, programs, &environment);
        }
        Ok(_) => {}
        Err(wrong) => stages.run("a folder for temporary files", || Err(wrong)),
    }
    stages.close()
}

/// What tests find in their environment.
#[derive(Debug, Clone)]
struct Environment {
    /// The program that tests start.
    lowtide: PathBuf,
    /// The image's archive; without it, tests leave containers out.
    archive: Option<PathBuf>,
    /// For temporary files. What a test leaves behind, because it was killed or keeps a server to its end, goes
    /// with this folder.
    scratch: Arc<TempDir>,
}

impl Environment {
    fn new(lowtide: PathBuf, containers: bool) -> Result<Self> {
        // A short name: paths of sockets end at 108 bytes.
        let scratch = tempfile::Builder::new().prefix("lt-").tempdir()?;
        Ok(Self {
            lowtide,
            archive: containers.then(|| cargo::root().join("target/lowtide-test-image.tar")),
            scratch: Arc::new(scratch),
        })
    }

    fn complete(&self, command: &mut Command) {
        command
            .env("TMPDIR", self.scratch.path())
            .env(PROGRAM, &self.lowtide);
        match &self.archive {
            Some(archive) => command.env(IMAGE.1, archive),
            None => command.env(WITHOUT, "containers"),
        };
    }

    fn lane(&self, programs: &[Program]) -> Result<Counts> {
        lane::run(programs, |command| {
            self.complete(command.args(["--skip", PATIENT]));
        })
    }
}

/// Tests wait for Flink and Kubernetes more than they compute. So two lanes of them run beside each other, and
/// beside both what else is to be compiled.
fn beside_each_other(stages: &mut Stages, mut programs: Vec<Program>, environment: &Environment) {
    let patient = {
        let (command, environment) = (patient(&programs), environment.clone());
        thread::spawn(move || wait_patiently(command?, &environment))
    };
    let later: Vec<Program> = programs
        .extract_if(.., |it| built_for(it).is_some())
        .collect();
    let second = {
        let environment = environment.clone();
        thread::spawn(move || second_lane(later, &environment))
    };
    let idle = thread::spawn(compile_idly);
    programs.sort_by_key(|it| it.name() == HEAVIEST);
    stages.run("tests", || environment.lane(&programs));
    stages.run(
        "clippy, and what else was compiled beside the tests",
        || joined(idle),
    );
    stages.run("planted bugs", || stage::tests(&mut planted()));
    stages.run(&format!("simulation of {TEST_SEEDS} seeds"), || {
        sim::sweep(1, TEST_SEEDS)
    });
    stages.run("fuzz", || fuzz::run(TEST_FUZZ));
    stages.run(
        "tests with Kubernetes or an object store, beside all these",
        || joined(second),
    );
    stages.run("tests that wait, beside all these", || joined(patient));
    // After every test that runs the program: the demo puts one without crash points in its place.
    stages.run("the demo, once", || demo::run(true, false).map(Counts::one));
    stages.run("examples in the documentation", || {
        stage::tests(&mut workspace_tests(&["--doc"]))
    });
}

fn joined(thread: JoinHandle<Result<Counts>>) -> Result<Counts> {
    thread.join().ok().context("it panicked")?
}

/// The place in [`BUILT_FOR`].
fn built_for(program: &Program) -> Option<usize> {
    BUILT_FOR.iter().position(|it| *it == program.name())
}

fn second_lane(mut programs: Vec<Program>, environment: &Environment) -> Result<Counts> {
    ensure!(
        programs.len() == BUILT_FOR.len(),
        "BUILT_FOR names a test program that is not there"
    );
    programs.sort_by_key(built_for);
    let stores = thread::spawn(build_stores);
    let mut counts = environment.lane(&programs)?;
    counts += joined(stores)?;
    Ok(counts)
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

/// The tests that do little but wait.
fn patient(programs: &[Program]) -> Result<Command> {
    let mut command = programs
        .iter()
        .find(|it| it.name() == ("lowtide", "trouble"))
        .context("there is no test program `trouble`")?
        .command();
    command.arg(PATIENT);
    Ok(command)
}

fn wait_patiently(mut command: Command, environment: &Environment) -> Result<Counts> {
    environment.complete(&mut command);
    let counts = stage::tests(&mut command)?;
    ensure!(
        counts.passed + counts.failed > 0,
        "no test begins with {PATIENT}"
    );
    Ok(counts)
}

/// What the tests do not need is compiled while they wait for Flink and Kubernetes.
fn compile_idly() -> Result<Counts> {
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
    let library = cargo::command_beside(&cargo::TO_TRY_BUT_FOR_LINKING);
    let mut planted = cargo::command_beside(&PLANTED);
    with_planted_bugs(planted.arg("--no-run"));
    let mut counts = Counts::default();
    for mut command in [clippy, library, planted] {
        counts += stage::check(&mut command)?;
    }
    Ok(counts)
}

fn workspace_tests(arguments: &[&str]) -> Command {
    let mut command = cargo::command(&["test", "--workspace", "--features", CRASH_POINTS]);
    command.args(arguments);
    command
}

/// The tests that each planted bug is caught; with the features of all tests, which have compiled the dependencies.
const PLANTED: [&str; 6] = [
    "test",
    "--workspace",
    "--features",
    CRASH_POINTS,
    "--test",
    "planted",
];

fn planted() -> Command {
    let mut command = cargo::command(&PLANTED);
    with_planted_bugs(&mut command);
    command
}

/// A compiler flag for the crates of the workspace alone: as `RUSTFLAGS` it would have every dependency compiled once
/// more.
fn with_planted_bugs(command: &mut Command) {
    let compiler = cargo::root().join("xtask/with-planted-bugs.sh");
    command.env("RUSTC_WORKSPACE_WRAPPER", compiler);
}

/// Beside the compiler: both keep two cores busy, but each waits for the network and for its last unit.
fn build_kubernetes() -> Result<Counts> {
    let started = Instant::now();
    let _shared = Caches::hold()?;
    kubernetes::binaries()?;
    kubernetes::inside()?;
    kubernetes::helm()?;
    let seconds = started.elapsed().as_secs_f32();
    stage::say(&format!(
        "Kubernetes and Helm are there after {seconds:.1} s"
    ));
    Ok(Counts::one(true))
}

/// Servers of S3 and of Google Cloud Storage.
fn build_stores() -> Result<Counts> {
    let _shared = Caches::hold()?;
    testbench::s3::program()?;
    testbench::gcs::program()?;
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
