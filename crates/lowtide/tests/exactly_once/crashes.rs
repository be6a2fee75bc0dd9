//! Lowtide killed between any two steps, and started again.
//!
//! A first, undisturbed run of each kind writes down the points that it passes; then each point is
//! given a process that dies there. Applications have a job each and work through the cases side
//! by side, since a claim that died with its owner takes half a minute to lapse.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lowtide_core::name::RunId;
use rand::Rng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rustix::process::Signal;
use testbench::flink::{Cluster, JobSpec};
use testbench::http::until;
use testbench::proxy::{Gate, Proxy, Rule};
use testbench::say;

use crate::books::{self, Ledger, Scope, Tally};
use crate::program::{Home, Listed, Process, signal_to, was_killed};
use crate::size::{draws, size};

/// Applications that work side by side.
pub const APPLICATIONS: usize = 24;

/// The longest that a slot may take: a claim lapses after 30 s, and the machine is busy.
const LIMIT: Duration = Duration::from_mins(6);

/// The interval of the applications that `serve` keeps: the shortest there is.
const EVERY: &str = "10s";

/// Where a process is to end.
#[derive(Debug, Clone)]
enum Death {
    /// At the first passing of a point.
    Point(String),
    /// At the first passing of a point that only somebody passes who waits for Flink's answer.
    Waiting(&'static str),
    /// From outside, so many milliseconds after its start.
    After(u64),
    /// From outside, when its request has arrived at a proxy, which passes it on.
    Request,
    /// From outside, when Flink has replied and the reply has not got through.
    Reply,
}

/// What is committed only while Flink's answer is waited for; else it goes to the disk with what
/// follows.
const WAITING_POINTS: [&str; 4] = [
    "commit:resolving:before",
    "commit:resolving:after",
    "commit:waiting:before",
    "commit:waiting:after",
];

/// Which command is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `run --slot TIME`, the same again until it ends by itself.
    Run,
    /// `take`, and another one.
    Take,
    /// `serve`, and another one.
    Serve,
}

/// One slot to be disturbed.
#[derive(Debug, Clone)]
struct Case {
    way: Way,
    /// The deaths of the first process, the second, …; the one after them lives.
    deaths: Vec<Death>,
    /// The first process does not die at the point but stands still until another one has filled
    /// the slot, and then goes on.
    stops: bool,
}

/// An application with a job and a catalog of its own, so that nobody else ends its runs.
struct Player {
    name: String,
    scope: Scope,
    home: Home,
}

/// What the cases did.
#[derive(Debug, Default)]
struct Done {
    /// Kills by point, or by what else they were.
    kills: BTreeMap<String, u32>,
    stops: u32,
    /// Points that a run did not pass this time (a poll too many, for instance).
    not_passed: u32,
}

struct Field<'c> {
    cluster: &'c Cluster,
    cases: Mutex<VecDeque<Case>>,
    done: Mutex<Done>,
    failures: Mutex<Vec<String>>,
}

/// Runs all of it on a cluster with a slot for each application.
pub fn killed_anywhere(cluster: &Cluster) -> Result<()> {
    let mut draw = draws("killed anywhere");
    let mut players = Vec::new();
    for index in 0..APPLICATIONS {
        let name = format!("crash-{index:02}");
        let job = JobSpec {
            rate: 10,
            keys: 10,
            ..JobSpec::named(&name)
        };
        let mut scope = Scope::default();
        scope.add(&cluster.submit_without_waiting(&job)?);
        players.push(Player {
            name,
            scope,
            home: Home::new()?,
        });
    }
    wait_all_running(cluster, &players)?;
    let points = trace(cluster, &players[0])?;
    let cases = plan(&points, &mut draw);
    say::step(format!(
        "killed anywhere: {} points, {} cases",
        points.len(),
        cases.len()
    ));
    let field = Field {
        cluster,
        cases: Mutex::new(cases.into()),
        done: Mutex::default(),
        failures: Mutex::default(),
    };
    thread::scope(|threads| {
        for player in &players {
            let field = &field;
            threads.spawn(move || field.work(player));
        }
    });
    field.judge(&players, &points)
}

fn wait_all_running(cluster: &Cluster, players: &[Player]) -> Result<()> {
    until("all jobs to run", LIMIT, || {
        let overview = cluster.get("/jobs/overview")?;
        let jobs = overview["jobs"].as_array().into_iter().flatten();
        let running = jobs.filter(|job| {
            let is_ours = |player: &Player| job["name"] == player.name.as_str();
            job["state"] == "RUNNING"
                && job["tasks"]["running"] == job["tasks"]["total"]
                && players.iter().any(is_ours)
        });
        Ok((running.count() == players.len()).then_some(()))
    })
}

/// The points that an undisturbed `run` passes, each once, in their order. Without those of steps
/// that stay where they are (a claim renewed, a gate held) or that are committed while a reading
/// takes long: only a slow machine passes them.
fn trace(cluster: &Cluster, player: &Player) -> Result<Vec<String>> {
    let config = player.config(None, cluster.url())?;
    let file = config.with_extension("points");
    let home = &player.home;
    let slot = home.next_slot(&player.name)?;
    let environment = [("LOWTIDE_POINTS", file.to_str().context("a path in UTF-8")?)];
    let mut process = home.start(&config, &["run", "--slot", &slot], &environment)?;
    let status = process.wait(LIMIT)?;
    ensure!(
        status.success(),
        "the undisturbed run: {status}\n{}",
        process.said()
    );
    let mut seen = BTreeSet::new();
    let points = fs::read_to_string(file)
        .context("the program wrote no points: it was built without the feature `crash-points`")?;
    let only_if_slow = |point: &str| {
        point.contains("-again:")
            || point.starts_with("commit:verifying:")
            || WAITING_POINTS.contains(&point)
    };
    Ok(points
        .lines()
        .filter(|point| !only_if_slow(point) && seen.insert(*point))
        .map(str::to_owned)
        .collect())
}

/// Whether a point stands beside something that changes the world or the catalog.
fn changes(point: &str) -> bool {
    ["claim:", "commit:", "call:"]
        .iter()
        .any(|prefix| point.starts_with(prefix))
}

/// The cases, the slow ones first, so that none is left alone at the end.
fn plan(points: &[String], draw: &mut SmallRng) -> Vec<Case> {
    let at = |point: &str| Death::Point(point.to_owned());
    let (changing, reading): (Vec<&String>, Vec<&String>) =
        points.iter().partition(|point| changes(point));
    let mut cases = Vec::new();
    let mut add = |way, deaths: Vec<Death>, stops| cases.push(Case { way, deaths, stops });

    // Every point in `run`: those that change something five times, those that read twice.
    for point in size(vec![&changing], vec![&changing; 5])
        .into_iter()
        .flatten()
    {
        add(Way::Run, vec![at(point)], false);
    }
    for point in sample(&reading, size(4, reading.len() * 2), draw) {
        add(Way::Run, vec![at(point)], false);
    }
    for point in size(vec![WAITING_POINTS], vec![WAITING_POINTS; 5])
        .into_iter()
        .flatten()
    {
        add(Way::Run, vec![Death::Waiting(point)], false);
    }
    // Whoever takes over dies, too: in the taking over, and wherever it goes on.
    for _ in 0..size(1, 5) {
        for point in [
            "commit:take-over:before",
            "commit:take-over:after",
            "call:before",
        ] {
            let first = ["commit:sent:after", "commit:sent:before"];
            let first = if point == "call:before" {
                first[0]
            } else {
                first[draw.random_range(0..2)]
            };
            add(Way::Run, vec![at(first), at(point)], false);
        }
    }
    for _ in 0..size(1, 10) {
        let pair = vec![pick(&changing, draw), pick(points, draw)];
        add(Way::Run, pair, false);
    }
    // `take` and `serve` take the same path; a few of their points are enough.
    for (way, count) in [(Way::Take, size(3, 20)), (Way::Serve, size(4, 24))] {
        for point in sample(&changing, count, draw) {
            add(way, vec![at(point)], false);
        }
    }
    // Held up instead of killed, wherever being late could hurt.
    for point in [
        "commit:sent:before",
        "commit:sent:after",
        "call:before",
        "call:after",
        "commit:following:before",
    ] {
        for _ in 0..size(1, 3) {
            add(Way::Run, vec![at(point)], true);
        }
    }
    for _ in 0..size(4, 60) {
        add(
            Way::Run,
            vec![Death::After(draw.random_range(0..600))],
            false,
        );
    }
    for _ in 0..size(1, 8) {
        add(Way::Run, vec![Death::Request], false);
        add(Way::Run, vec![Death::Reply], false);
    }
    cases.shuffle(draw);
    cases.sort_by_key(|case| {
        std::cmp::Reverse(case.deaths.len() + usize::from(case.stops || case.way != Way::Run))
    });
    cases
}

/// `count` of these: each as often as any other, give or take one.
fn sample<'p>(points: &[&'p String], count: usize, draw: &mut SmallRng) -> Vec<&'p String> {
    let mut chosen = Vec::new();
    while chosen.len() < count && !points.is_empty() {
        let mut round = points.to_vec();
        round.shuffle(draw);
        round.truncate(count - chosen.len());
        chosen.extend(round);
    }
    chosen
}

fn pick(points: &[impl AsRef<str>], draw: &mut SmallRng) -> Death {
    Death::Point(
        points[draw.random_range(0..points.len())]
            .as_ref()
            .to_owned(),
    )
}

impl Player {
    fn config(&self, every: Option<&str>, url: &str) -> Result<PathBuf> {
        self.home.config(
            "lowtide",
            url,
            &[Listed {
                name: &self.name,
                every,
            }],
        )
    }

    /// Starts a process that is to die at the first passing of a point.
    fn dies_at(&self, config: &Path, arguments: &[&str], point: &str) -> Result<Process> {
        let order = format!("{point}#1");
        let environment = [("LOWTIDE_CRASH_AT", order.as_str())];
        self.home.start(config, arguments, &environment)
    }

    fn ledger(&self) -> Result<Ledger> {
        Ledger::read(&self.home.catalog())
    }

    /// Runs that have not ended.
    fn open_runs(&self) -> Result<Vec<RunId>> {
        let mut runs = self.ledger()?.runs;
        runs.retain(|run| run.outcome.is_none());
        Ok(runs.into_iter().map(|run| run.id).collect())
    }

    /// How many have.
    fn ended_runs(&self) -> Result<usize> {
        let runs = self.ledger()?.runs;
        Ok(runs.iter().filter(|run| run.outcome.is_some()).count())
    }
}

impl Field<'_> {
    /// One application works through cases until there is none left.
    fn work(&self, player: &Player) {
        loop {
            let Some(case) = lock(&self.cases).pop_front() else {
                return;
            };
            if let Err(error) = self.play(player, &case) {
                lock(&self.failures).push(format!("{case:?} on {}: {error:#}", player.name));
            }
        }
    }

    fn play(&self, player: &Player, case: &Case) -> Result<()> {
        match case.way {
            Way::Run if case.stops => self.play_stopped(player, case),
            Way::Run => self.play_run(player, case),
            Way::Take => self.play_take(player, case),
            Way::Serve => self.play_serve(player, case),
        }
    }

    /// The same command again and again, until it is not killed any more.
    fn play_run(&self, player: &Player, case: &Case) -> Result<()> {
        let slot = player.home.next_slot(&player.name)?;
        let arguments = ["run", "--slot", &slot];
        for death in &case.deaths {
            self.start_and_kill(player, None, &arguments, death)?;
        }
        self.ends_well(player, &arguments)
    }

    /// Another `take` finds what the killed one left behind, and has it ended.
    fn play_take(&self, player: &Player, case: &Case) -> Result<()> {
        let arguments = ["take", &player.name];
        for death in &case.deaths {
            self.start_and_kill(player, None, &arguments, death)?;
        }
        self.ends_well(player, &arguments)?;
        self.end_what_is_left(player)
    }

    /// Another `serve` goes on where the killed one stopped.
    fn play_serve(&self, player: &Player, case: &Case) -> Result<()> {
        for death in &case.deaths {
            self.start_and_kill(player, Some(EVERY), &["serve"], death)?;
        }
        let (left, before) = (player.open_runs()?, player.ended_runs()?);
        let config = player.config(Some(EVERY), self.cluster.url())?;
        let mut process = player.home.start(&config, &["serve"], &[])?;
        until("a slot, and what was left behind, to end", LIMIT, || {
            ensure!(
                !process.ended()?,
                "the second `serve` ended:\n{}",
                process.said()
            );
            let open = player.open_runs()?;
            let done = left.iter().all(|run| !open.contains(run));
            Ok((done && player.ended_runs()? > before).then_some(()))
        })
        .with_context(|| process.said())?;
        process.signal(Signal::TERM)?;
        let status = process.wait(LIMIT)?;
        ensure!(
            status.success(),
            "`serve` told to stop: {status}\n{}",
            process.said()
        );
        // What it gave back is ended by whoever comes next.
        let slot = player.home.next_slot(&player.name)?;
        self.ends_well(player, &["run", "--slot", &slot])?;
        self.end_what_is_left(player)
    }

    /// The first process stands still until another one has filled the slot; then it goes on with
    /// whatever it was about to do.
    fn play_stopped(&self, player: &Player, case: &Case) -> Result<()> {
        let slot = player.home.next_slot(&player.name)?;
        let arguments = ["run", "--slot", &slot];
        let Some(Death::Point(point)) = case.deaths.first() else {
            bail!("a stop needs a point");
        };
        let config = player.config(None, self.cluster.url())?;
        let order = format!("{point}#1");
        let mut held = player
            .home
            .start(&config, &arguments, &[("LOWTIDE_STOP_AT", &order)])?;
        held.wait_stopped(LIMIT)?;
        lock(&self.done).stops += 1;
        self.ends_well(player, &arguments)?;
        held.signal(Signal::CONT)?;
        let status = held.wait(LIMIT)?;
        ensure!(
            status.success(),
            "the one that woke up: {status}\n{}",
            held.said()
        );
        Ok(())
    }

    /// What was claimed and had not begun stands in nobody's way: it is ended by whoever looks when
    /// the dead process's claim has lapsed, here a `serve`.
    fn end_what_is_left(&self, player: &Player) -> Result<()> {
        if player.open_runs()?.is_empty() {
            return Ok(());
        }
        let config = player.config(None, self.cluster.url())?;
        let mut process = player.home.start(&config, &["serve"], &[])?;
        until("what is left to end", LIMIT, || {
            Ok(player.open_runs()?.is_empty().then_some(()))
        })
        .with_context(|| process.said())?;
        process.signal(Signal::TERM)?;
        let status = process.wait(LIMIT)?;
        ensure!(
            status.success(),
            "`serve` told to stop: {status}\n{}",
            process.said()
        );
        Ok(())
    }

    fn ends_well(&self, player: &Player, arguments: &[&str]) -> Result<()> {
        let config = player.config(None, self.cluster.url())?;
        let (status, process) = player.home.run(&config, arguments, LIMIT)?;
        ensure!(
            status.success(),
            "{arguments:?}: {status}\n{}",
            process.said()
        );
        Ok(())
    }

    /// Starts a process and sees it die.
    fn start_and_kill(
        &self,
        player: &Player,
        every: Option<&str>,
        arguments: &[&str],
        death: &Death,
    ) -> Result<()> {
        let config = player.config(every, self.cluster.url())?;
        let (mut process, what) = match death {
            Death::Waiting(point) => return self.kill_while_it_waits(player, arguments, point),
            Death::Point(point) => {
                let process = player.dies_at(&config, arguments, point)?;
                (process, point.as_str())
            }
            Death::After(ms) => {
                let process = player.home.start(&config, arguments, &[])?;
                // The moment is what was drawn; nothing is waited for.
                thread::sleep(Duration::from_millis(*ms));
                process.signal(Signal::KILL)?;
                (process, "a random moment")
            }
            Death::Request | Death::Reply => {
                return self.kill_on_the_wire(player, arguments, death);
            }
        };
        self.has_died(&mut process, what)
    }

    /// Holds the answer to what the phase at `point` asks for until the process is dead: however slow the
    /// machine is, it passes the point.
    fn kill_while_it_waits(
        &self,
        player: &Player,
        arguments: &[&str],
        point: &'static str,
    ) -> Result<()> {
        let proxy = Proxy::start(self.cluster.url())?;
        let held = Gate::new();
        let jobs = Rule::on("GET", "/jobs/overview");
        if point.starts_with("commit:resolving:") {
            proxy.rule(jobs.hold_reply(&held));
        } else {
            proxy.rule(jobs);
            proxy.rule(Rule::on("GET", "/jobs/*").hold_reply(&held));
        }
        let config = player.config(None, proxy.url())?;
        let mut process = player.dies_at(&config, arguments, point)?;
        let died = self.has_died(&mut process, point);
        held.open();
        died
    }

    fn kill_on_the_wire(&self, player: &Player, arguments: &[&str], death: &Death) -> Result<()> {
        let proxy = Proxy::start(self.cluster.url())?;
        let victim = Arc::new(OnceLock::new());
        let kill = {
            let victim = Arc::clone(&victim);
            move || {
                let id: &u32 = victim.wait();
                signal_to(*id, Signal::KILL).expect("the process waits for this very reply");
            }
        };
        let rule = Rule::on("POST", "/jobs/*/savepoints").times(1);
        let (rule, what) = match death {
            Death::Reply => (rule.after(move |_, _| kill()), "its reply on the way"),
            _ => (rule.before(move |_| kill()), "its request on the way"),
        };
        proxy.rule(rule);
        let config = player.config(None, proxy.url())?;
        let mut process = player.home.start(&config, arguments, &[])?;
        victim.set(process.id()).expect("it was set nowhere else");
        self.has_died(&mut process, what)?;
        // The request itself is still under way; the proxy must not go before it.
        until("the request to be done with", LIMIT, || {
            let seen = proxy.requests();
            let done = seen
                .iter()
                .any(|seen| seen.method == "POST" && seen.took.is_some());
            Ok(done.then_some(()))
        })
    }

    fn has_died(&self, process: &mut Process, what: &str) -> Result<()> {
        let status = process.wait(LIMIT)?;
        let mut done = lock(&self.done);
        if was_killed(status) {
            *done.kills.entry(what.to_owned()).or_default() += 1;
        } else {
            ensure!(
                status.success(),
                "neither killed nor well: {status}\n{}",
                process.said()
            );
            done.not_passed += 1;
        }
        Ok(())
    }

    /// Compares the books, and the counts with what was to be done.
    fn judge(self, players: &[Player], points: &[String]) -> Result<()> {
        let done = self.done.into_inner().expect("no thread panics with it");
        let mut failures = self
            .failures
            .into_inner()
            .expect("no thread panics with it");
        let mut tally = Tally::default();
        for player in players {
            match books::settled(self.cluster, &player.home, &player.scope) {
                Ok(one) => tally += one,
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
        let kills: u32 = done.kills.values().sum();
        say::step(format!(
            "killed anywhere: {kills} kills at {} points ({} not passed), {} held up; {tally}",
            done.kills.len(),
            done.not_passed,
            done.stops,
        ));
        ensure!(failures.is_empty(), "{}", failures.join("\n"));
        let each = size(1, 5);
        let wanted = points
            .iter()
            .map(String::as_str)
            .filter(|point| changes(point));
        let others = ["commit:take-over:before", "commit:take-over:after"];
        for point in wanted.chain(others).chain(WAITING_POINTS) {
            let count = done.kills.get(point).copied().unwrap_or(0);
            ensure!(count >= each, "only {count} kills at {point}");
        }
        ensure!(kills >= size(30, 200), "only {kills} kills");
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics with it")
}
