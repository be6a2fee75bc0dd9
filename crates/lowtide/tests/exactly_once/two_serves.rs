//! Two `serve` processes on one catalog, both on time; one is killed, the other one is held up
//! until its claims have lapsed, and wakes up.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand::Rng as _;
use rand::rngs::SmallRng;
use rustix::process::Signal;
use testbench::control::Part;
use testbench::flink::{Cluster, JobHandle, JobSpec};
use testbench::http::until;
use testbench::say;

use crate::books::{self, Ledger, Scope};
use crate::program::{Home, Listed, Process};
use crate::size::{draws, size};

/// Applications, all due at the same moments.
const APPLICATIONS: usize = 6;

/// The slots that a cluster needs for this.
pub const SLOTS: usize = APPLICATIONS;

/// The shortest interval that there is.
const EVERY: &str = "10s";

/// The longest that any wait may take: a claim lapses after 30 s, slots come every 10 s.
const LIMIT: Duration = Duration::from_mins(5);

struct Pair<'c> {
    home: Home,
    config: PathBuf,
    jobs: Vec<JobHandle>,
    serves: [Process; 2],
    kills: u32,
    stops: u32,
    cluster: &'c Cluster,
}

/// Runs all of it.
pub fn on_one_catalog(cluster: &Cluster) -> Result<()> {
    let mut draw = draws("two serves");
    let mut scope = Scope::default();
    let names: Vec<String> = (0..APPLICATIONS)
        .map(|index| format!("twice-{index}"))
        .collect();
    let jobs = names
        .iter()
        .map(|name| {
            cluster.submit(&JobSpec {
                rate: 20,
                keys: 20,
                ..JobSpec::named(name)
            })
        })
        .collect::<Result<Vec<_>>>()?;
    for job in &jobs {
        scope.add(job);
    }
    let home = Home::new()?;
    let listed: Vec<Listed<'_>> = names
        .iter()
        .map(|name| Listed {
            name,
            every: Some(EVERY),
        })
        .collect();
    let config = home.config("twice", cluster.url(), &listed)?;
    let serves = [
        home.start(&config, &["serve"], &[])?,
        home.start(&config, &["serve"], &[])?,
    ];
    let mut pair = Pair {
        home,
        config,
        jobs,
        serves,
        kills: 0,
        stops: 0,
        cluster,
    };
    let played = pair.play(&mut draw);
    let compared = played.and_then(|()| books::settled(cluster, &pair.home, &scope));
    match compared {
        Ok(tally) => {
            say::step(format!(
                "two serves: {} kills, {} held up; {tally}",
                pair.kills, pair.stops
            ));
            Ok(())
        }
        Err(error) => Err(error.context(format!("see {}", pair.home.keep().display()))),
    }
}

impl Pair<'_> {
    fn play(&mut self, draw: &mut SmallRng) -> Result<()> {
        self.wait_kept(size(1, 3))?;
        for _ in 0..size(1, 6) {
            self.kill(draw)?;
            self.hold_up(draw)?;
        }
        self.stop()
    }

    /// Waits until so many more slots of each application are kept.
    fn wait_kept(&mut self, more: usize) -> Result<()> {
        let before = self.kept()?;
        until(
            "slots to be kept",
            LIMIT + Duration::from_secs(10) * u32::try_from(more)?,
            || {
                let now = self.kept()?;
                Ok(now
                    .iter()
                    .zip(&before)
                    .all(|(now, before)| *now >= before + more)
                    .then_some(()))
            },
        )
        .with_context(|| self.said())
    }

    fn kept(&self) -> Result<Vec<usize>> {
        let ledger = Ledger::read(&self.home.catalog())?;
        let of = |name: &str| {
            let mine = ledger
                .runs
                .iter()
                .filter(|run| run.application.application.as_str() == name);
            mine.filter(|run| run.outcome.as_ref().is_some_and(|it| it.word() == "kept"))
                .count()
        };
        Ok(self.jobs.iter().map(|job| of(&job.name)).collect())
    }

    /// Kills one of them while savepoints are held; the other one ends its runs. Then there are two
    /// again.
    fn kill(&mut self, draw: &mut SmallRng) -> Result<()> {
        let victim = draw.random_range(0..2);
        self.block_some(draw)?;
        self.serves[victim].signal(Signal::KILL)?;
        self.serves[victim].wait(LIMIT)?;
        self.kills += 1;
        self.unblock()?;
        self.serves[victim] = self.home.start(&self.config, &["serve"], &[])?;
        self.wait_kept(size(1, 2))
    }

    /// Holds one of them up, with runs under way, until the other one has taken them; then it goes
    /// on where it was.
    fn hold_up(&mut self, draw: &mut SmallRng) -> Result<()> {
        let victim = draw.random_range(0..2);
        self.block_some(draw)?;
        // One that is frozen in the middle of a commit holds the catalog's lock, and everybody waits
        // for it: nobody can take its runs. That is not what is looked for here.
        until("it to stand still between two commits", LIMIT, || {
            self.serves[victim].signal(Signal::STOP)?;
            self.serves[victim].wait_stopped(LIMIT)?;
            if self.serves[victim].is_committing()? {
                self.serves[victim].signal(Signal::CONT)?;
                return Ok(None);
            }
            Ok(Some(()))
        })?;
        self.stops += 1;
        let left: BTreeSet<_> = self.owned_by(self.serves[victim].id())?;
        self.unblock()?;
        let home = &self.home;
        until("the other one to end what was left", LIMIT, || {
            let ledger = Ledger::read(&home.catalog())?;
            let open = ledger.runs.iter().filter(|run| run.outcome.is_none());
            Ok((!open.into_iter().any(|run| left.contains(&run.id))).then_some(()))
        })
        .with_context(|| self.said())?;
        self.serves[victim].signal(Signal::CONT)?;
        self.wait_kept(size(1, 2))
    }

    /// Has the snapshots of some applications stop in the middle, and waits until they stand there.
    fn block_some(&mut self, draw: &mut SmallRng) -> Result<()> {
        let part = if draw.random_bool(0.5) {
            Part::Sync
        } else {
            Part::Async
        };
        let blocked: Vec<&JobHandle> = self.jobs.iter().filter(|_| draw.random_bool(0.7)).collect();
        blocked.iter().try_for_each(|job| job.control.block(part))?;
        blocked
            .iter()
            .try_for_each(|job| job.control.wait_blocked(1, LIMIT).map(|_| ()))
            .with_context(|| self.said())
    }

    fn unblock(&self) -> Result<()> {
        self.jobs.iter().try_for_each(|job| job.control.unblock())
    }

    /// The open runs of the process with this id.
    fn owned_by(&self, id: u32) -> Result<BTreeSet<lowtide_core::name::RunId>> {
        let owner = format!("-{id}-");
        let ledger = Ledger::read(&self.home.catalog())?;
        let open = ledger.runs.iter().filter(|run| run.outcome.is_none());
        let owned = open.filter(|run| {
            run.owner
                .as_ref()
                .is_some_and(|it| it.who.as_str().contains(&owner))
        });
        Ok(owned.map(|run| run.id).collect())
    }

    /// Tells both to stop. What they give back is ended by whoever comes next.
    fn stop(&mut self) -> Result<()> {
        for serve in &mut self.serves {
            serve.signal(Signal::TERM)?;
        }
        for serve in &mut self.serves {
            let status = serve.wait(LIMIT)?;
            ensure!(
                status.success(),
                "`serve` told to stop: {status}\n{}",
                serve.said()
            );
        }
        let listed: Vec<Listed<'_>> = self
            .jobs
            .iter()
            .map(|job| Listed {
                name: &job.name,
                every: None,
            })
            .collect();
        let config = self.home.config("last", self.cluster.url(), &listed)?;
        let slot = self.home.next_slot("last")?;
        let (status, process) = self.home.run(&config, &["run", "--slot", &slot], LIMIT)?;
        ensure!(
            status.success(),
            "the last slot: {status}\n{}",
            process.said()
        );
        Ok(())
    }

    fn said(&self) -> String {
        self.serves
            .iter()
            .map(Process::said)
            .collect::<Vec<_>>()
            .join("\n---\n")
    }
}
