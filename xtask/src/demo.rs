//! `cargo xtask demo`: the main job on a real Flink, for someone who has never seen it.

mod ververica;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbench::flink::{Cluster, JobSpec, Release};
use testbench::process::{Bound, bound};

use crate::cargo;
use crate::stage::say;

/// The applications of the demo: name, records per second, keys, bytes per key. Unlike each other, so
/// that their savepoints differ in size.
const APPLICATIONS: [(&str, u32, u32, u32); 3] = [
    ("orders", 400, 2_000, 256),
    ("payments", 200, 500, 128),
    ("fraud", 300, 5_000, 512),
];
/// How often the demo looks for new savepoints.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long `serve` may take to give its runs back.
const GOODBYE_S_MAX: u64 = 10;

/// Runs the demo; with `once`, one savepoint of each application.
pub fn run(once: bool, on_ververica: bool) -> Result<bool> {
    let interrupted = interruption()?;
    if !on_ververica {
        say("Lowtide's demo: a real Flink, three applications, savepoints by name.");
    }
    say(
        "It needs a JDK (Debian's OpenJDK 17) and Flink's jars (from PyPI); what is missing is installed now and kept in a cache.",
    );
    testbench::java::bin()?;
    Release::V2_3.ensure()?;
    if on_ververica {
        return ververica::run(once, &interrupted);
    }
    say("building lowtide");
    let lowtide = cargo::lowtide_to_try()?;
    let folder = fresh_folder(if once { "demo-once" } else { "demo" })?;
    let cluster = cluster(&folder.join("savepoints"))?;
    for application in APPLICATIONS {
        say(&format!("submitting {}", application.0));
        cluster.submit(&job(application))?;
    }
    let config = folder.join("demo.yaml");
    fs::write(&config, configuration(cluster.url(), &folder)).context("write demo.yaml")?;
    say(&format!("Flink's own page: {}", cluster.url()));
    say(&format!("the configuration: {}", config.display()));
    let program = Program {
        lowtide,
        config,
        env: Vec::new(),
    };
    if once {
        take_once(&program)
    } else {
        serve(&program, &interrupted)
    }
}

/// A Flink with a slot for each application, which puts savepoints here.
fn cluster(savepoints: &Path) -> Result<Cluster> {
    Cluster::builder(Release::V2_3)
        .slots(APPLICATIONS.len())
        .config(
            "execution.checkpointing.savepoint-dir",
            format!("file://{}", savepoints.display()),
        )
        .start()
}

fn job((name, rate, keys, value_bytes): (&str, u32, u32, u32)) -> JobSpec {
    JobSpec {
        rate,
        keys,
        value_bytes,
        checkpoint_interval: Some(Duration::from_secs(10)),
        ..JobSpec::named(name)
    }
}

/// Becomes ready when somebody types Ctrl-C.
fn interruption() -> Result<Receiver<()>> {
    let (tell, told) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    std::thread::Builder::new()
        .name("interruption".into())
        .spawn(move || {
            runtime.block_on(async {
                while tokio::signal::ctrl_c().await.is_ok() {
                    if tell.send(()).is_err() {
                        break;
                    }
                }
            });
        })?;
    Ok(told)
}

/// An empty folder for one demo. What an earlier one left belongs to a Flink that is gone.
fn fresh_folder(name: &str) -> Result<PathBuf> {
    let folder = cargo::root().join("target").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder.join("savepoints"))?;
    Ok(folder)
}

fn configuration(url: &str, folder: &Path) -> String {
    format!(
        "# Lowtide's configuration: a version-controlled list of application names.
# Try, in another terminal:   lowtide --config THIS_FILE plan
#                             lowtide --config THIS_FILE take orders
#                             lowtide --config THIS_FILE latest orders

timezone: UTC                       # governs schedules and windows; any IANA zone

platforms:
  demo:
    flink:
      url: {url}   # the JobManager's REST API

catalog:
  sqlite: {catalog}    # what Lowtide remembers

defaults:
  every: 20s                        # in earnest: schedule: \"H 1 * * *\"

applications:
  - orders                          # the job's exact name; its id is looked up when it is needed
  - {{ name: payments, format: native }}
  - {{ name: fraud, never: [\"Sun 03:00-03:30\"] }}
",
        catalog = folder.join("catalog.db").display()
    )
}

/// The program and its configuration.
struct Program {
    lowtide: PathBuf,
    config: PathBuf,
    /// Where the configuration finds its secrets.
    env: Vec<(String, String)>,
}

impl Program {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.lowtide);
        command
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    fn status(&self, arguments: &[&str]) -> Result<ExitStatus> {
        say(&format!("\n$ lowtide {}", arguments.join(" ")));
        self.command(arguments).status().context("run lowtide")
    }

    fn savepoints(&self) -> Result<Vec<Value>> {
        let output = self
            .command(&["list", "--output", "json"])
            .stderr(Stdio::inherit())
            .output()
            .context("run lowtide")?;
        let listed: Value =
            serde_json::from_slice(&output.stdout).context("read what `lowtide list` prints")?;
        let mut savepoints = listed["savepoints"]
            .as_array()
            .cloned()
            .context("`lowtide list` lists no savepoints")?;
        savepoints.sort_by_key(|savepoint| savepoint["taken_at"].as_str().map(str::to_owned));
        Ok(savepoints)
    }
}

fn take_once(program: &Program) -> Result<bool> {
    let names = APPLICATIONS.map(|(name, ..)| name);
    let taken = program.status(&["take", names[0], names[1], names[2]])?;
    ensure!(taken.success(), "`lowtide take` ended with {taken}");
    program.status(&["list"])?;
    let savepoints = program.savepoints()?;
    let good = savepoints
        .iter()
        .filter(|savepoint| is_there(savepoint))
        .count();
    say(&format!(
        "\n{good} of {} savepoints are verified and lie where they should",
        names.len()
    ));
    Ok(good == names.len())
}

/// Whether it is verified and its directory has Flink's commit point.
fn is_there(savepoint: &Value) -> bool {
    let place = savepoint["location"]
        .as_str()
        .and_then(|location| location.strip_prefix("file:"));
    savepoint["verification"] == "verified"
        && place.is_some_and(|place| Path::new(place).join("_metadata").is_file())
}

fn serve(program: &Program, interrupted: &Receiver<()>) -> Result<bool> {
    say("\n$ lowtide serve");
    say("a slot every 20 seconds; Ctrl-C ends everything\n");
    let mut command = bound(&program.lowtide);
    command.arg("--config").arg(&program.config).arg("serve");
    let log = program.config.with_file_name("serve.log");
    command.stderr(fs::File::create(&log).context("create serve.log")?);
    let mut daemon = Bound::start(command)?;
    say(&heading());
    let mut shown = BTreeSet::new();
    loop {
        match interrupted.recv_timeout(LOOK_EVERY) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(status) = daemon.ended()? {
            say(&format!(
                "`lowtide serve` ended with {status}; its log: {}",
                log.display()
            ));
            return Ok(false);
        }
        for savepoint in program.savepoints()? {
            if shown.insert(savepoint["location"].to_string()) {
                say(&row(&savepoint));
            }
        }
    }
    say("\nstopping");
    // Ctrl-C reached `serve` too: it gives its runs back and ends by itself.
    let until = Instant::now() + Duration::from_secs(GOODBYE_S_MAX);
    while daemon.ended()?.is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    say(&format!(
        "everything is stopped; configuration, catalog, log and savepoints stay in {}",
        log.with_file_name("").display()
    ));
    Ok(true)
}

fn heading() -> String {
    format!(
        "{:<10} {:<20} {:>8} {:>10} {:<10} where",
        "name", "when", "took", "size", "verified"
    )
}

fn row(savepoint: &Value) -> String {
    let text = |key: &str| savepoint[key].as_str().unwrap_or("-").to_owned();
    let took = savepoint["duration_ms"]
        .as_u64()
        .map_or("-".to_owned(), |ms| format!("{ms} ms"));
    let size = savepoint["state_bytes"]
        .as_u64()
        .map_or("-".to_owned(), |bytes| {
            format!("{} KiB", bytes.div_ceil(1024))
        });
    let when: String = text("taken_at").chars().take(19).collect();
    format!(
        "{:<10} {when:<20} {took:>8} {size:>10} {:<10} {}",
        text("application"),
        text("verification"),
        text("location")
    )
}
