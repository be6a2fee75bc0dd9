//! The JobManager killed in the middle of savepoints.
//!
//! Without high availability its jobs are gone with it, and are submitted again under their names,
//! with new ids. With high availability they come back by themselves under their old ids, and only
//! their start time tells. One kill hits several applications, each at another moment of its
//! savepoint.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rand::Rng as _;
use rand::rngs::SmallRng;
use rustix::process::Signal;
use testbench::control::Part;
use testbench::flink::{Cluster, JobHandle, JobSpec};
use testbench::http::until;
use testbench::proxy::{Gate, Proxy, Rule};
use testbench::say;

use crate::books::{self, Scope};
use crate::program::{Home, Listed, Process};
use crate::size::{draws, size};

/// What can no longer complete must be proven so before the next attempt; a short limit of the
/// jobs makes that a matter of seconds.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(25);

/// The longest that a slot may take: the JobManager's return, the jobs' limit, two looks 10 s
/// apart, an attempt of its own; on a busy machine, and twice where it is killed twice.
const LIMIT: Duration = Duration::from_mins(8);

/// How long one step of a test's own may take.
const STEP: Duration = Duration::from_mins(3);

/// What the JobManager is doing for an application when it dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// A task writes its snapshot.
    Snapshot(Part),
    /// The request is on its way, and never arrives.
    Request,
    /// The request is on its way, and arrives when the JobManager is back.
    LateRequest,
    /// It has accepted the request; its reply is on its way, and never arrives.
    Reply,
    /// The savepoint is complete; nobody has been told.
    Complete,
}

const MOMENTS: [Moment; 6] = [
    Moment::Snapshot(Part::Async),
    Moment::Snapshot(Part::Sync),
    Moment::Request,
    Moment::LateRequest,
    Moment::Reply,
    Moment::Complete,
];

/// The slots that a cluster needs for this.
pub const SLOTS: usize = MOMENTS.len();

/// One application at its moment.
struct Player {
    name: String,
    moment: Moment,
    job: JobHandle,
    proxy: Proxy,
    config: PathBuf,
    gate: Gate,
    slot: String,
    /// Directories with a `_metadata` before this slot.
    whole_before: usize,
    process: Option<Process>,
}

/// How the jobs come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// Somebody submits them again.
    Submitted,
    /// By themselves.
    Recovered,
}

struct Stage<'c> {
    cluster: &'c Cluster,
    home: Home,
    back: Return,
    scope: Scope,
    players: Vec<Player>,
    kills: u32,
}

/// Kills the JobManager in so many rounds, in every third of them twice.
pub fn killed(cluster: &Cluster, title: &str, back: Return, rounds: u32) -> Result<()> {
    let mut draw = draws(title);
    let mut stage = Stage::set(cluster, back)?;
    let played = (0..rounds).try_for_each(|round| {
        stage
            .round(&mut draw, round % 3 == 2)
            .with_context(|| format!("round {round}"))
    });
    let compared = played.and_then(|()| books::settled(cluster, &stage.home, &stage.scope));
    match compared {
        Ok(tally) => {
            let kills = stage.kills;
            say::step(format!("{title}: {kills} kills of the JobManager; {tally}"));
            ensure!(kills >= size(1, 10), "only {kills} kills");
            Ok(())
        }
        Err(error) => Err(error.context(format!("see {}", stage.home.keep().display()))),
    }
}

fn spec(name: &str) -> JobSpec {
    JobSpec {
        rate: 20,
        keys: 20,
        checkpoint_timeout: Some(CHECKPOINT_TIMEOUT),
        ..JobSpec::named(name)
    }
}

impl<'c> Stage<'c> {
    fn set(cluster: &'c Cluster, back: Return) -> Result<Self> {
        let home = Home::new()?;
        let mut scope = Scope::default();
        let players = MOMENTS
            .iter()
            .enumerate()
            .map(|(index, moment)| {
                let name = format!("killed-{index}");
                let job = cluster.submit(&spec(&name))?;
                scope.add(&job);
                let proxy = Proxy::start(cluster.url())?;
                let config = home.config(
                    &name,
                    proxy.url(),
                    &[Listed {
                        name: &name,
                        every: None,
                    }],
                )?;
                Ok(Player {
                    name,
                    moment: *moment,
                    job,
                    proxy,
                    config,
                    gate: Gate::new(),
                    slot: String::new(),
                    whole_before: 0,
                    process: None,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            cluster,
            home,
            back,
            scope,
            players,
            kills: 0,
        })
    }

    /// One slot of each application, and one kill at the moment of each.
    fn round(&mut self, draw: &mut SmallRng, twice: bool) -> Result<()> {
        // Which application is at which moment changes from round to round.
        let shift = draw.random_range(0..self.players.len());
        for (index, player) in self.players.iter_mut().enumerate() {
            player.moment = MOMENTS[(index + shift) % MOMENTS.len()];
            player.begin(self.cluster, &self.home)?;
        }
        for player in &self.players {
            player.wait_moment(self.cluster)?;
        }
        self.cluster.kill_job_manager()?;
        self.kills += 1;
        // With everything gone at once, only the catalog and the disk are left.
        let unlucky = draw.random_range(0..self.players.len());
        self.players[unlucky].kill_process(&self.home)?;
        self.resume(twice)?;
        for player in &mut self.players {
            player.end_well()?;
        }
        Ok(())
    }

    /// Brings the JobManager and its jobs back, and lets go what was held; `twice`: to kill it once
    /// more.
    fn resume(&mut self, twice: bool) -> Result<()> {
        for player in &self.players {
            player.let_go(false)?;
        }
        self.come_back(twice)?;
        for player in &self.players {
            player.let_go(true)?;
        }
        if twice {
            // The first attempt that follows a lost one is caught as well, and the others wherever
            // they are then.
            until("a second attempt", LIMIT, || {
                let lost = self.players.iter().filter(|player| player.is_lost());
                let caught =
                    |player: &Player| player.job.control.wait_blocked(1, Duration::ZERO).is_ok();
                Ok(lost.into_iter().any(caught).then_some(()))
            })?;
            self.cluster.kill_job_manager()?;
            self.kills += 1;
            for player in &self.players {
                player.job.control.unblock()?;
            }
            self.come_back(false)?;
        }
        Ok(())
    }

    /// Starts the JobManager again and has the jobs run; `blocked`: the snapshots of those whose
    /// attempt is lost stop again.
    fn come_back(&mut self, blocked: bool) -> Result<()> {
        self.cluster.start_job_manager()?;
        self.cluster.wait_ready()?;
        for player in &mut self.players {
            if self.back == Return::Submitted {
                player.job = self.cluster.submit_without_waiting(&spec(&player.name))?;
                self.scope.add(&player.job);
            }
            if blocked && player.is_lost() {
                player.job.control.block(Part::Async)?;
            }
        }
        self.players
            .iter()
            .try_for_each(|player| player.job.wait_running())
    }
}

impl Player {
    fn begin(&mut self, cluster: &Cluster, home: &Home) -> Result<()> {
        const REQUEST: (&str, &str) = ("POST", "/jobs/*/savepoints");
        const STATUS: (&str, &str) = ("GET", "/jobs/*/savepoints/*");
        self.gate = Gate::new();
        let on = |(method, path): (&str, &str)| Rule::on(method, path);
        match self.moment {
            Moment::Snapshot(part) => self.job.control.block(part)?,
            Moment::Request | Moment::LateRequest => {
                self.proxy
                    .rule(on(REQUEST).times(1).hold_request(&self.gate));
            }
            Moment::Reply => {
                self.job.control.block(Part::Async)?;
                self.proxy
                    .rule(on(REQUEST).times(1).hold_reply(&self.gate).drop_reply());
            }
            Moment::Complete => self.proxy.rule(on(STATUS).hold_request(&self.gate)),
        }
        self.whole_before = self.whole(cluster)?;
        self.slot = home.next_slot(&self.name)?;
        self.start(home)
    }

    fn start(&mut self, home: &Home) -> Result<()> {
        let arguments = ["run", "--slot", &self.slot];
        self.process = Some(home.start(&self.config, &arguments, &[])?);
        Ok(())
    }

    /// Lowtide dies as well, and is started again.
    fn kill_process(&mut self, home: &Home) -> Result<()> {
        if let Some(process) = &mut self.process {
            process.signal(Signal::KILL)?;
            process.wait(STEP)?;
        }
        self.start(home)
    }

    fn wait_moment(&self, cluster: &Cluster) -> Result<()> {
        let reached = match self.moment {
            Moment::Snapshot(_) => self.job.control.wait_blocked(1, STEP).map(|_| ()),
            Moment::Request | Moment::LateRequest => self.gate.wait_arrived(1, STEP),
            Moment::Reply => {
                self.job.control.wait_blocked(1, STEP)?;
                self.gate.wait_arrived(1, STEP)
            }
            Moment::Complete => {
                self.gate.wait_arrived(1, STEP)?;
                until("the savepoint to be complete", STEP, || {
                    Ok((self.whole(cluster)? > self.whole_before).then_some(()))
                })
            }
        };
        reached.with_context(|| format!("{} at {:?}", self.name, self.moment))
    }

    /// How many directories of the application have a `_metadata`.
    fn whole(&self, cluster: &Cluster) -> Result<usize> {
        let beneath = cluster.savepoint_root().join(&self.name);
        let mut ours = cluster.savepoint_directories()?;
        ours.retain(|it| it.has_metadata && it.path.starts_with(&beneath));
        Ok(ours.len())
    }

    /// Lets go whatever was held; what is to arrive late only when the JobManager `is_back`.
    fn let_go(&self, is_back: bool) -> Result<()> {
        let is_late = matches!(self.moment, Moment::LateRequest);
        if is_late == is_back {
            self.gate.open();
            self.proxy.clear();
        }
        if is_back {
            return Ok(());
        }
        self.job.control.unblock()
    }

    /// Whether Flink began its savepoint and cannot have ended it.
    fn is_lost(&self) -> bool {
        matches!(self.moment, Moment::Snapshot(_) | Moment::Reply)
    }

    fn end_well(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else {
            bail!("{} plays no part", self.name);
        };
        let status = process
            .wait(LIMIT)
            .with_context(|| format!("{} at {:?}", self.name, self.moment))?;
        ensure!(
            status.success(),
            "{} at {:?}: {status}\n{}",
            self.name,
            self.moment,
            process.said()
        );
        Ok(())
    }
}
