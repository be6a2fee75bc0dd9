//! `cargo xtask bench oneshot`: what a `CronJob` does at one in the morning, for 200 applications.
//!
//! Deployments on Ververica Platform's emulator, whose savepoints take a fixed time and leave a copy of a real
//! one. Lowtide runs with its default settings, with its catalog, and verifies each savepoint. Beside it: a
//! script as people have it today, the same script for 32 names at once, and a load generator that sends the
//! same requests and does nothing else. Before each turn everything is made anew on the platform; Lowtide
//! keeps its catalog, as it does from one night to the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use testbench::flink::{Cluster, JobSpec, Release};
use testbench::process::bound;
use testbench::ververica::{Seen, SimulatedLocation};

use super::fleet::{Fleet, Savepoints};
use super::measure::{extremes, load, median, timed};
use super::script;
use crate::stage::say;

/// Applications.
const APPLICATIONS: usize = 200;
/// How long each savepoint takes.
const TAKES: Duration = Duration::from_millis(200);
/// How many names the parallel script has in work.
const PARALLEL: &str = "32";
/// Rounds that count, after one that does not.
const ROUNDS: usize = 9;
/// The script takes minutes: it has a turn in every third round.
const SCRIPT_EVERY: usize = 3;
/// At least this many times faster than the script.
const FASTER_THAN_SCRIPT_MIN: f64 = 50.0;
/// At most this many times as slow as the load generator.
const OVER_LOAD_MAX: f64 = 1.2;
/// How long Flink may take for the savepoint that the others are copies of.
const TEMPLATE_TAKES_MAX: Duration = Duration::from_mins(1);

/// One way to take all savepoints.
struct Tool {
    name: &'static str,
    command: Box<dyn Fn() -> Command>,
    /// It has a turn in every so many rounds.
    every: usize,
    walls_ms: Vec<f64>,
}

/// Measures; says whether the goals were reached.
pub fn run(lowtide: &Path) -> Result<bool> {
    testbench::java::bin()?;
    for program in ["curl", "jq"] {
        testbench::java::debian_program(program)?;
    }
    let folder = store()?;
    let template = template(folder.path())?;
    let into = folder.path().join("savepoints");
    fs::create_dir(&into).context("make the folder of savepoints")?;
    let fleet = Fleet::start(
        APPLICATIONS,
        Savepoints {
            takes: TAKES,
            location: SimulatedLocation::CopyOf { template, into },
        },
    )?;
    let mut tools = tools(&fleet, lowtide)?;
    for round in 0..=ROUNDS {
        for tool in &mut tools {
            tool.turn(&fleet, round)
                .with_context(|| format!("take savepoints with {}", tool.name))?;
        }
    }
    Ok(tell(&tools))
}

/// Where the savepoints lie: in memory, where there is a place for that. A platform's store is not the disk that
/// Lowtide's catalog waits for; on one disk, each commit would hold up the savepoints of Lowtide alone.
fn store() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .context("make a folder for savepoints")
}

/// A real savepoint, with files of its own beside `_metadata`.
fn template(folder: &Path) -> Result<PathBuf> {
    let cluster = Cluster::builder(Release::V2_3).state_in_files().start()?;
    let job = cluster.submit(&JobSpec::named("template"))?;
    let taken = job.wait_savepoint(&job.trigger_savepoint("CANONICAL")?, TEMPLATE_TAKES_MAX)?;
    let location = taken["location"].as_str().context("no location")?;
    let location = location.strip_prefix("file:").context("no local path")?;
    let template = folder.join("template");
    fs::create_dir(&template).context("make a folder")?;
    let mut bytes = 0;
    for entry in fs::read_dir(location).with_context(|| format!("read {location}"))? {
        let entry = entry.context("read the savepoint")?;
        bytes += fs::copy(entry.path(), template.join(entry.file_name()))
            .context("copy the savepoint")?;
    }
    ensure!(bytes > 0, "the savepoint at {location} is empty");
    Ok(template)
}

fn tools(fleet: &Fleet, lowtide: &Path) -> Result<Vec<Tool>> {
    let names = fleet.names_file()?;
    let environment = fleet.environment()?;
    let script = fleet.write(
        "script.sh",
        &script::for_each(&[script::TAKE, script::POD_LABEL], "take"),
    )?;
    let all: Vec<String> = fleet.deployments.iter().map(|it| it.name.clone()).collect();
    let mut tools = Vec::new();
    for (resolve, name) in [
        ("pods", "lowtide run, names by pods"),
        ("api", "lowtide run, names by API"),
    ] {
        let configuration = fleet.configuration(resolve, APPLICATIONS)?;
        let (lowtide, token) = (lowtide.to_owned(), fleet.token.clone());
        tools.push(Tool::new(name, 1, move || {
            let mut command = bound(&lowtide);
            command.arg("--config").arg(&configuration).arg("run");
            command.env("VVP_TOKEN", &token);
            command
        }));
    }
    let this = std::env::current_exe().context("find this program")?;
    for (resolve, name) in [
        ("pods", "load generator, names by pods"),
        ("api", "load generator, names by API"),
    ] {
        let (this, names, environment) = (this.clone(), names.clone(), environment.clone());
        tools.push(Tool::new(name, 1, move || {
            let mut command = bound(&this);
            command.args(["load", "--resolve", resolve, "--names"]);
            command.arg(&names);
            command.arg("--takes-ms").arg(TAKES.as_millis().to_string());
            command.envs(environment.clone());
            command
        }));
    }
    let (script_too, environment_too) = (script.clone(), environment.clone());
    tools.push(Tool::new("curl + jq, xargs -P 32", 1, move || {
        let mut command = bound("xargs");
        command.arg("-a").arg(&names);
        command.args(["-P", PARALLEL, "-n", "1", "sh"]);
        command.arg(&script_too).envs(environment_too.clone());
        command
    }));
    tools.push(Tool::new(
        "curl + jq, one by one",
        SCRIPT_EVERY,
        move || {
            let mut command = bound("sh");
            command.arg(&script).args(&all).envs(environment.clone());
            command
        },
    ));
    Ok(tools)
}

impl Tool {
    fn new(name: &'static str, every: usize, command: impl Fn() -> Command + 'static) -> Self {
        Self {
            name,
            command: Box::new(command),
            every,
            walls_ms: Vec::new(),
        }
    }

    /// Takes its turn, and looks that each deployment has its one savepoint.
    fn turn(&mut self, fleet: &Fleet, round: usize) -> Result<()> {
        if !(round + 1).is_multiple_of(self.every) {
            return Ok(());
        }
        fleet.begin_anew()?;
        let begun = Instant::now();
        let (wall, _) = timed(&mut (self.command)())?;
        fleet.one_savepoint_each()?;
        let wall_ms = wall.as_secs_f64() * 1_000.0;
        let requests = fleet.emulator.requests();
        say(&format!(
            "{wall_ms:10.0} ms {:6} requests  {} ({})",
            requests.len(),
            self.name,
            phases(begun, &requests)
        ));
        // In the first round caches fill, and Lowtide has no history.
        if round > 0 {
            self.walls_ms.push(wall_ms);
        }
        Ok(())
    }

    fn median(&self) -> f64 {
        median(&self.walls_ms)
    }
}

/// When requests came: where the time goes.
fn phases(begun: Instant, requests: &[Seen]) -> String {
    let ms = |seen: &Seen| seen.at.duration_since(begun).as_millis();
    let all = || requests.iter();
    let posts = || all().filter(|seen| seen.method == "POST");
    let span = |first: Option<&Seen>, last: Option<&Seen>| match (first, last) {
        (Some(first), Some(last)) => format!("{} to {} ms", ms(first), ms(last)),
        _ => "none".to_owned(),
    };
    format!(
        "requests: {}; those for savepoints: {}",
        span(all().next(), all().next_back()),
        span(posts().next(), posts().next_back())
    )
}

/// Prints all times and ratios; says whether the goals were reached.
fn tell(tools: &[Tool]) -> bool {
    say(&format!(
        "\n{APPLICATIONS} applications, a savepoint takes {} ms; wall time in ms; {ROUNDS} rounds, in turns; {}",
        TAKES.as_millis(),
        load()
    ));
    say(&format!(
        "{:>10} {:>10} {:>10} {:>8}  tool",
        "median", "min", "max", "ratio"
    ));
    let [pods, api, load_pods, load_api, parallel, script] = tools else {
        unreachable!("six tools were made")
    };
    for tool in tools {
        let (low, high) = extremes(&tool.walls_ms);
        say(&format!(
            "{:10.0} {low:10.0} {high:10.0} {:7.2}x  {}",
            tool.median(),
            tool.median() / pods.median(),
            tool.name
        ));
    }
    let mut held = true;
    let mut goal = |what: &str, ratio: f64, reached: bool| {
        held &= reached;
        let word = if reached { "held" } else { "BROKEN" };
        say(&format!("{what}: {ratio:.2}, {word}"));
    };
    for (ours, load) in [(pods, load_pods), (api, load_api)] {
        let over_script = script.median() / ours.median();
        let over_parallel = parallel.median() / ours.median();
        let over_load = ours.median() / load.median();
        say(&format!("\n{}", ours.name));
        goal(
            "times faster than the script, at least 50",
            over_script,
            over_script >= FASTER_THAN_SCRIPT_MIN,
        );
        goal(
            "times faster than the parallel script, more than 1",
            over_parallel,
            over_parallel > 1.0,
        );
        goal(
            "times the load generator, at most 1.2",
            over_load,
            over_load <= OVER_LOAD_MAX,
        );
    }
    held
}
