//! `cargo xtask bench resolve`: names among thousands of pods.
//!
//! Lowtide lists all pods once, in pages, and as a daemon watches them from then on; a script asks for each
//! name. The API server's own audit log counts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbench::http;
use testbench::process::{Bound, bound};
use testbench::ververica::{Call, SimulatedLocation};

use super::fleet::{Deployment, Fleet, KUBERNETES_NAMESPACE, LOWTIDE, SCRIPT, Savepoints};
use super::measure::{extremes, load, median, timed};
use super::script;
use crate::stage::say;

/// Deployments; each has two pods.
const DEPLOYMENTS: usize = 2_500;
/// Names that are resolved.
const NAMES: usize = 500;
/// Names that a script really asks for; it does the same for each, so its time for all is this one's times
/// ten.
const SAMPLE: usize = 50;
/// Objects on a page of Lowtide's list, which is kubectl's choice too.
const PAGE: usize = 500;
/// How often each tool resolves.
const ROUNDS: usize = 5;

/// How often the daemon takes a savepoint of each name.
const SERVE_EVERY: Duration = Duration::from_secs(15);
/// Slots of each name that it fills.
const SERVE_SLOTS: usize = 2;
/// How long it may take for them: two slots, and a busy machine.
const SERVE_TIMEOUT: Duration = Duration::from_mins(3);
/// How long it may take to end.
const SERVE_END_TIMEOUT: Duration = Duration::from_mins(1);

/// A way to resolve the names.
struct Tool<'a> {
    name: String,
    resolve: Box<dyn Fn() -> Result<Duration> + 'a>,
    walls_ms: Vec<f64>,
    /// How many times as many names there are as it really asks for.
    factor: f64,
}

/// Measures, and says whether Lowtide asked for one paged list.
pub fn run(lowtide: &Path) -> Result<bool> {
    for program in ["curl", "jq"] {
        testbench::java::debian_program(program)?;
    }
    let fleet = Fleet::start(
        DEPLOYMENTS,
        Savepoints {
            takes: Duration::ZERO,
            location: SimulatedLocation::Invented,
        },
    )?;
    let configuration = fleet.configuration("pods", NAMES)?;
    let once = requests_of_one(&fleet, lowtide, &configuration)?;
    compare(&fleet, lowtide, &configuration)?;
    let always = requests_of_serve(&fleet, lowtide)?;
    Ok(once && always)
}

/// Has the daemon take savepoints of all names again and again, and counts what the API server was asked.
fn requests_of_serve(fleet: &Fleet, lowtide: &Path) -> Result<bool> {
    let before = fleet.asked_by(LOWTIDE)?.len();
    fleet.emulator.forget();
    let every = json!({ "every": format!("{}s", SERVE_EVERY.as_secs()) });
    let configuration = fleet.configuration_with("pods", NAMES, &every)?;
    let mut command = bound(lowtide);
    command
        .arg("--config")
        .arg(configuration)
        .arg("serve")
        .env("VVP_TOKEN", &fleet.token)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let daemon = Bound::start(command)?;
    let resolved = SERVE_SLOTS * NAMES;
    http::until("the savepoints", SERVE_TIMEOUT, || {
        let taken = fleet.emulator.count(Call::CreateSavepoint);
        Ok((taken >= resolved).then_some(()))
    })?;
    daemon.terminate(SERVE_END_TIMEOUT)?;
    let asked = &fleet.asked_by(LOWTIDE)?[before..];
    let of = |verb: &str| asked.iter().filter(|event| event.verb == verb).count();
    let (lists, watches) = (of("list"), of("watch"));
    let held = lists == (2 * DEPLOYMENTS).div_ceil(PAGE) && lists + watches == asked.len();
    say(&format!(
        "\n`lowtide serve`, {resolved} names resolved in {SERVE_SLOTS} slots: {lists} pages of one list and {watches} watches: {}",
        if held { "held" } else { "BROKEN" }
    ));
    Ok(held)
}

/// Resolves once and counts what the API server was asked.
fn requests_of_one(fleet: &Fleet, lowtide: &Path, configuration: &Path) -> Result<bool> {
    fleet.emulator.forget();
    by_lowtide(fleet, lowtide, configuration)?;
    let asked = fleet.asked_by(LOWTIDE)?;
    let pods = 2 * DEPLOYMENTS;
    let one_list = asked.len() == pods.div_ceil(PAGE)
        && (asked.iter()).all(|event| event.verb == "list" && event.resource == "pods");
    say(&format!(
        "\n`lowtide resolve` of {NAMES} names among {pods} pods: {} requests to the API server, {} to Ververica Platform",
        asked.len(),
        fleet.emulator.requests().len(),
    ));
    say(&format!(
        "one list in pages of {PAGE}: {}",
        if one_list { "held" } else { "BROKEN" }
    ));
    Ok(one_list)
}

fn compare(fleet: &Fleet, lowtide: &Path, configuration: &Path) -> Result<()> {
    let ours = || by_lowtide(fleet, lowtide, configuration);
    let mut tools = vec![
        Tool::new("lowtide resolve", 1, ours),
        Tool::new("curl + jq a name", NAMES / SAMPLE, || {
            by_script(fleet, script::POD_LABEL)
        }),
    ];
    if has_kubectl() {
        let by_kubectl = || by_script(fleet, script::POD_LABEL_BY_KUBECTL);
        tools.push(Tool::new("kubectl a name", NAMES / SAMPLE, by_kubectl));
    } else {
        say("kubectl is not there: left out");
    }
    for _ in 0..ROUNDS {
        for tool in &mut tools {
            let wall = (tool.resolve)().with_context(|| format!("resolve by {}", tool.name))?;
            tool.walls_ms
                .push(wall.as_secs_f64() * 1_000.0 * tool.factor);
        }
    }
    say(&format!(
        "\n{NAMES} names, in ms; {ROUNDS} rounds, in turns; {}",
        load()
    ));
    say(&format!(
        "{:>10} {:>10} {:>10} {:>8}  tool",
        "median", "min", "max", "ratio"
    ));
    let ours = median(&tools[0].walls_ms);
    for tool in &tools {
        let (low, high) = extremes(&tool.walls_ms);
        let middle = median(&tool.walls_ms);
        let sampled = if tool.factor > 1.0 {
            format!(", {SAMPLE} measured and multiplied")
        } else {
            String::new()
        };
        say(&format!(
            "{middle:10.0} {low:10.0} {high:10.0} {:7.1}x  {}{sampled}",
            middle / ours,
            tool.name
        ));
    }
    Ok(())
}

/// Resolves all names and compares each id.
fn by_lowtide(fleet: &Fleet, lowtide: &Path, configuration: &Path) -> Result<Duration> {
    let mut command = bound(lowtide);
    command
        .arg("--config")
        .arg(configuration)
        .args(["resolve", "--output", "json"])
        .env("VVP_TOKEN", &fleet.token);
    let (wall, printed) = timed(&mut command)?;
    let resolved: Value =
        serde_json::from_str(&printed).context("read what `lowtide resolve` prints")?;
    let resolved = resolved["applications"]
        .as_array()
        .context("no applications")?;
    ensure!(resolved.len() == NAMES, "{} names", resolved.len());
    for (one, Deployment { name, id }) in resolved.iter().zip(&fleet.deployments) {
        let right = one["application"] == name.as_str()
            && one["means"] == "one"
            && one["jobs"][0]["id"] == id.as_str();
        ensure!(right, "{name} is {id}, not {one}");
    }
    Ok(wall)
}

/// Resolves a sample, name by name, and compares each id.
fn by_script(fleet: &Fleet, pod_label: &str) -> Result<Duration> {
    let sample = &fleet.deployments[..SAMPLE];
    let home: PathBuf = fleet.folder.path().join("home");
    let kubeconfig = fleet
        .node
        .kubeconfig_for_service_account(KUBERNETES_NAMESPACE, SCRIPT)?;
    let mut command = bound("sh");
    command
        .arg("-c")
        .arg(script::for_each(&["set -eu\n", pod_label], "pod_label"))
        .arg("sh")
        .args(sample.iter().map(|it| &it.name))
        .envs(fleet.environment()?)
        .env("KUBECONFIG", kubeconfig)
        // kubectl keeps what it discovers there.
        .env("HOME", home);
    let (wall, printed) = timed(&mut command)?;
    let ids: Vec<&str> = printed.lines().collect();
    let expected: Vec<&str> = sample.iter().map(|it| it.id.as_str()).collect();
    ensure!(ids == expected, "the script resolved to {ids:?}");
    Ok(wall)
}

fn has_kubectl() -> bool {
    let mut command = Command::new("kubectl");
    command.args(["version", "--client"]);
    timed(&mut command).is_ok()
}

impl<'a> Tool<'a> {
    fn new(name: &str, factor: usize, resolve: impl Fn() -> Result<Duration> + 'a) -> Self {
        Self {
            name: name.to_owned(),
            resolve: Box::new(resolve),
            walls_ms: Vec::new(),
            factor: factor as f64,
        }
    }
}
