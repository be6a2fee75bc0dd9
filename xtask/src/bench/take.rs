//! `cargo xtask bench take`: one savepoint, beside Lowtide's competitors, in one run, on one real cluster.
//!
//! Overhead is wall time less Flink's own `end_to_end_duration` of that very savepoint: what the tool
//! adds. The tools take turns, so that a machine whose speed drifts drifts for all; medians and ratios
//! are what to quote.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbench::flink::{Cluster, JobHandle, JobSpec, Release};
use testbench::http;
use testbench::process::{Bound, bound};
use testbench::proxy::Proxy;

use super::measure::{extremes, median, timed};
use super::slot;
use crate::stage::say;

/// How often each tool takes a savepoint in the comparison.
const ROUNDS: usize = 15;
/// Rounds before the comparison, not counted: caches fill, classes load.
const WARM_UP: usize = 2;
/// What the others are compared with.
const FLINK: &str = "flink savepoint";
/// The slots of `serve`: as many as may be.
const EVERY: &str = "every: 10s\n";
/// How often a cold start is timed.
const STARTS: usize = 30;
/// The savepoint times at which status requests are counted, in seconds, without `--ten-minutes`.
const SLOW_S: [u64; 3] = [0, 5, 30];
/// How long a savepoint's statistics may take to show: the REST API caches them for 3 s.
const STATISTICS_S_MAX: u64 = 10;
/// The most status requests a savepoint may cost.
const STATUS_REQUESTS_MAX: usize = 40;

/// Asks once a second, as such scripts do; `$1` the JobManager, `$2` the name, `$3` the target, `$4`
/// the pause.
const CURL_AND_JQ: &str = r#"set -eu
id=$(curl -sf "$1/jobs/overview" | jq -r --arg n "$2" '.jobs[] | select(.name == $n and .state == "RUNNING") | .jid')
trigger=$(curl -sf -X POST -H 'Content-Type: application/json' -d "{\"target-directory\":\"$3\"}" "$1/jobs/$id/savepoints" | jq -r '."request-id"')
while :; do
  reply=$(curl -sf "$1/jobs/$id/savepoints/$trigger")
  [ "$(printf %s "$reply" | jq -r .status.id)" = COMPLETED ] && break
  sleep "$4"
done
printf %s "$reply" | jq -r .operation.location
"#;

/// Runs all measurements. Says whether the promised bound on status requests held.
pub(super) fn run(lowtide: PathBuf, ten_minutes: bool) -> Result<bool> {
    testbench::java::bin()?;
    for program in ["curl", "jq"] {
        testbench::java::debian_program(program)?;
    }
    let cluster = Cluster::builder(Release::V2_3)
        .checkpoint_timeout(Duration::from_secs(3_600))
        .start()?;
    let job = cluster.submit(&JobSpec {
        keys: 2_000,
        value_bytes: 256,
        ..JobSpec::named("orders")
    })?;
    let bench = Bench {
        lowtide,
        cluster,
        job,
        folder: tempfile::tempdir()?,
    };
    bench.overhead()?;
    let held = bench.status_requests(ten_minutes)?;
    bench.cold_start()?;
    bench.idle_memory()?;
    Ok(held)
}

struct Bench {
    lowtide: PathBuf,
    cluster: Cluster,
    job: JobHandle,
    folder: tempfile::TempDir,
}

/// One tool of the comparison.
struct Tool<'a> {
    name: &'static str,
    take: Box<dyn Fn() -> Result<(Duration, String)> + 'a>,
    overheads_ms: Vec<f64>,
}

impl Bench {
    fn configuration(
        &self,
        name: &str,
        url: &str,
        schedule: &str,
        applications: usize,
    ) -> Result<PathBuf> {
        let path = self.folder.path().join(format!("{name}.yaml"));
        let catalog = self.folder.path().join(format!("{name}.db"));
        let mut text = format!(
            "platforms:\n  bench: {{ flink: {{ url: \"{url}\" }} }}\ncatalog: {{ sqlite: \"{}\" }}\n{schedule}applications:\n  - orders\n",
            catalog.display()
        );
        for number in 1..applications {
            writeln!(text, "  - application-{number}").context("write a configuration")?;
        }
        fs::write(&path, text).context("write a configuration")?;
        Ok(path)
    }

    // === overhead ===

    fn overhead(&self) -> Result<()> {
        let config = self.configuration("overhead", self.cluster.url(), "", 1)?;
        let slots = self.configuration("slots", self.cluster.url(), EVERY, 1)?;
        let mut tools = [
            Tool::new("lowtide take", || self.lowtide_take(&config)),
            Tool::new("lowtide serve, from the slot on", || {
                slot::first(&self.lowtide, &slots)
            }),
            Tool::new(FLINK, || self.flink_savepoint()),
            Tool::new("curl + jq, asking every second", || self.curl_and_jq("1")),
            Tool::new("curl + jq, asking without pause", || self.curl_and_jq("0")),
        ];
        for round in 0..WARM_UP + ROUNDS {
            for tool in &mut tools {
                let (wall, location) = (tool.take)()
                    .with_context(|| format!("take a savepoint with {}", tool.name))?;
                let own_ms = self.end_to_end_ms(&location)?;
                if round >= WARM_UP {
                    tool.overheads_ms
                        .push(wall.as_secs_f64() * 1_000.0 - own_ms);
                }
            }
        }
        say(&format!(
            "\noverhead of one savepoint, in ms: wall time less Flink's own; {ROUNDS} rounds, in turns"
        ));
        say(&format!(
            "{:>9} {:>9} {:>9} {:>9}  tool",
            "median", "min", "max", "less"
        ));
        let flinks = tools
            .iter()
            .find(|tool| tool.name == FLINK)
            .map_or(f64::NAN, |tool| median(&tool.overheads_ms));
        for tool in &tools {
            let (low, high) = extremes(&tool.overheads_ms);
            let middle = median(&tool.overheads_ms);
            say(&format!(
                "{middle:9.1} {low:9.1} {high:9.1} {:8.1}x  {}",
                flinks / middle,
                tool.name
            ));
        }
        say(&format!("less: how many times less than `{FLINK}`"));
        Ok(())
    }

    fn lowtide_take(&self, config: &Path) -> Result<(Duration, String)> {
        let mut command = Command::new(&self.lowtide);
        command
            .arg("--config")
            .arg(config)
            .args(["take", "orders", "--output", "json"]);
        let (wall, printed) = timed(&mut command)?;
        let taken: Value =
            serde_json::from_str(&printed).context("read what `lowtide take` prints")?;
        let location = taken["runs"][0]["location"]
            .as_str()
            .context("`lowtide take` names no location")?;
        Ok((wall, location.to_owned()))
    }

    fn flink_savepoint(&self) -> Result<(Duration, String)> {
        let (wall, printed) = self
            .cluster
            .cli_savepoint(&self.job.id, &self.cluster.savepoint_root())?;
        let location = printed
            .split_whitespace()
            .find(|word| word.contains("/savepoint-"))
            .with_context(|| format!("`flink savepoint` names no location: {printed}"))?;
        Ok((wall, location.to_owned()))
    }

    fn curl_and_jq(&self, pause: &str) -> Result<(Duration, String)> {
        let mut command = Command::new("sh");
        let target = self.cluster.savepoint_root();
        command
            .args(["-c", CURL_AND_JQ, "sh", self.cluster.url(), "orders"])
            .arg(target)
            .arg(pause);
        let (wall, printed) = timed(&mut command)?;
        Ok((wall, printed.trim().to_owned()))
    }

    /// What Flink itself measured for the savepoint at this place.
    fn end_to_end_ms(&self, location: &str) -> Result<f64> {
        let path = format!("/jobs/{}/checkpoints", self.job.id);
        http::until(
            "the savepoint's statistics",
            Duration::from_secs(STATISTICS_S_MAX),
            || {
                let latest = &self.cluster.get(&path)?["latest"]["savepoint"];
                let this = latest["external_path"].as_str() == Some(location);
                Ok(latest["end_to_end_duration"].as_f64().filter(|_| this))
            },
        )
    }

    // === status requests ===

    fn status_requests(&self, ten_minutes: bool) -> Result<bool> {
        let proxy = Proxy::start(self.cluster.url())?;
        let config = self.configuration("requests", proxy.url(), "", 1)?;
        say(
            "\nrequests of `lowtide take`, by how long the savepoint takes (a new application: no history)",
        );
        say(&format!(
            "{:>10} {:>8} {:>8} {:>12}",
            "savepoint", "status", "all", "late by"
        ));
        let mut held = true;
        for seconds in SLOW_S.into_iter().chain(ten_minutes.then_some(600)) {
            // Without history Lowtide cannot know how long it takes: the harder case.
            fs::remove_file(self.folder.path().join("requests.db")).ok();
            self.job.control.slow(Duration::from_secs(seconds))?;
            proxy.forget();
            let (wall, location) = self.lowtide_take(&config)?;
            let all = proxy.requests();
            let status = all
                .iter()
                .filter(|it| it.method == "GET" && it.path.contains("/savepoints/"))
                .count();
            held &= status <= STATUS_REQUESTS_MAX;
            let late = wall.as_secs_f64() - self.end_to_end_ms(&location)? / 1_000.0;
            say(&format!(
                "{seconds:8} s {status:8} {:8} {late:10.2} s",
                all.len()
            ));
        }
        self.job.control.slow(Duration::ZERO)?;
        say(&format!(
            "at most {STATUS_REQUESTS_MAX} status requests: {}",
            if held { "held" } else { "BROKEN" }
        ));
        Ok(held)
    }

    // === the program itself ===

    fn cold_start(&self) -> Result<()> {
        let config = self.configuration("start", self.cluster.url(), "", 1)?;
        let mut version = Vec::new();
        let mut check = Vec::new();
        for _ in 0..STARTS {
            version.push(
                timed(Command::new(&self.lowtide).arg("--version"))?
                    .0
                    .as_secs_f64()
                    * 1_000.0,
            );
            let mut command = Command::new(&self.lowtide);
            command.arg("--config").arg(&config).arg("check");
            check.push(timed(&mut command)?.0.as_secs_f64() * 1_000.0);
        }
        say(&format!("\ncold start, median of {STARTS}"));
        say(&format!("{:9.1} ms  lowtide --version", median(&version)));
        say(&format!("{:9.1} ms  lowtide check", median(&check)));
        let size = fs::metadata(&self.lowtide)
            .context("look at the program")?
            .len();
        say(&format!("{:9.1} MB  the program", size as f64 / 1e6));
        Ok(())
    }

    fn idle_memory(&self) -> Result<()> {
        say("\nresident memory of an idle `serve`");
        for applications in [1, 1_000] {
            let name = format!("idle-{applications}");
            let config = self.configuration(
                &name,
                self.cluster.url(),
                "schedule: \"0 0 1 1 *\"\n",
                applications,
            )?;
            let mut command = bound(&self.lowtide);
            command
                .arg("--config")
                .arg(&config)
                .arg("serve")
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut daemon = Bound::start(command)?;
            let kib = settled_kib(daemon.id())?;
            daemon.kill()?;
            say(&format!(
                "{:9.1} MB  with {applications} applications",
                kib as f64 / 1024.0
            ));
        }
        Ok(())
    }
}

impl<'a> Tool<'a> {
    fn new(name: &'static str, take: impl Fn() -> Result<(Duration, String)> + 'a) -> Self {
        Self {
            name,
            take: Box::new(take),
            overheads_ms: Vec::new(),
        }
    }
}

/// The resident memory of a process once it no longer changes from one second to the next.
fn settled_kib(pid: u32) -> Result<u64> {
    let mut last = 0;
    for _ in 0..30 {
        std::thread::sleep(Duration::from_secs(1));
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .context("read VmRSS")?;
        if kib == last {
            return Ok(kib);
        }
        last = kib;
    }
    ensure!(last > 0, "the process never settled");
    Ok(last)
}
