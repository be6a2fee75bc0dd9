//! `take` and `run`: ask for runs, bring them to their end, print what came of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use jiff::{SignedDuration, Timestamp};
use lowtide_core::engine::Application;
use lowtide_core::name::{AppKey, PlatformName, RunId};
use lowtide_core::policy::Policy;
use lowtide_core::ports::{Catalog as _, Claim, Clock};
use lowtide_core::run::{Asked, Origin, Run};
use lowtide_core::savepoint::Savepoint;
use lowtide_world::kubernetes::Source;
use lowtide_world::platform::PlatformSettings;

use super::{results, slot_from_job};
use crate::cli::{Common, RunSlot, Take};
use crate::exit::Exit;
use crate::identity;
use crate::left::Left;
use crate::printer::Printer;
use crate::progress::Progress;
use crate::setup::{self, RealEngine, Setup};
use crate::signals::Signals;
use crate::trouble::Trouble;
use crate::walking::{self, Job, Stopped};
use crate::wall_clock::WallClock;

/// How far ahead a slot may lie: the clocks of a `CronJob`'s controller and of its pod differ.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(1);

/// How many names are asked for before the catalog is opened: enough to make the connections. Hundreds would hold up
/// the claims, for which the catalog needs longer than a platform for the names; so the others are asked for
/// beside those.
const ASKED_FIRST: usize = 16;

/// How long a run of a slot waits, where nothing is remembered of an earlier process, before it
/// looks for what that one may have asked for: as long as a request may take to arrive and to be
/// listed.
const LOOK_FIRST_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// `lowtide take`
pub async fn take(common: &Common, args: &Take, printer: Printer) -> Result<Exit, Trouble> {
    let setup = Setup::read(common)?;
    let wanted: Vec<Application> = setup
        .chosen(&args.names)?
        .into_iter()
        .cloned()
        .map(|mut application| {
            // The deadline becomes part of the row when the row is made.
            application.policy.deadline = args.deadline.unwrap_or(application.policy.deadline);
            application
        })
        .collect();
    refuse_target(&setup, args, &wanted)?;
    let request = |application: &Application| {
        let mut run = Run::of_request(
            application.key.clone(),
            identity::fresh_run_id()?,
            Origin::Take,
            WallClock.now(),
            &application.policy,
        );
        run.asked = Asked {
            format: args.format,
            target: args.target.clone(),
        };
        Ok(run)
    };
    fill(&setup, wanted, request, args.wait, printer).await
}

/// `lowtide run`
pub async fn run(common: &Common, args: &RunSlot, printer: Printer) -> Result<Exit, Trouble> {
    let setup = Setup::read(common)?;
    let wanted: Vec<Application> = setup.chosen(&args.names)?.into_iter().cloned().collect();
    let look_first_from = WallClock.now() + LOOK_FIRST_AFTER;
    let slot = if args.slot_from_job {
        slot_from_job::slot(printer).await?
    } else {
        args.slot
    };
    if let Some(slot) = slot {
        refuse_far_ahead(slot, WallClock.now())?;
    }
    let row = |application: &Application| {
        let now = WallClock.now();
        let (key, policy) = (application.key.clone(), &application.policy);
        Ok(match slot {
            Some(nominal) => {
                let next = policy
                    .schedule
                    .as_ref()
                    .and_then(|schedule| schedule.next_after(nominal.max(now)));
                let mut run = Run::of_slot(key, nominal, next, now, policy);
                run.look_first_from = setup.forgets().then_some(look_first_from);
                run
            }
            None => Run::of_request(key, identity::fresh_run_id()?, Origin::Run, now, policy),
        })
    };
    fill(&setup, wanted, row, args.wait, printer).await
}

fn refuse_target(setup: &Setup, args: &Take, wanted: &[Application]) -> Result<(), Trouble> {
    if args.target.is_none() {
        return Ok(());
    }
    let chooses = |application: &&Application| {
        let platform = setup.config.platforms.get(&application.key.platform);
        platform.is_some_and(PlatformSettings::chooses_directory)
    };
    match wanted.iter().find(chooses) {
        Some(application) => Err(Trouble::NoTarget {
            application: application.key.clone(),
        }),
        None => Ok(()),
    }
}

fn refuse_far_ahead(slot: Timestamp, now: Timestamp) -> Result<(), Trouble> {
    let away = slot.duration_since(now);
    if away > AHEAD_MAX {
        return Err(Trouble::SlotAhead { slot, away });
    }
    Ok(())
}

/// Takes over what was left behind, claims a row for each application, waits, prints.
async fn fill(
    setup: &Setup,
    wanted: Vec<Application>,
    row: impl Fn(&Application) -> Result<Run, Trouble>,
    wait: Option<SignedDuration>,
    printer: Printer,
) -> Result<Exit, Trouble> {
    let mut signals = Signals::listen().map_err(|source| Trouble::Start {
        doing: "listen for signals",
        source,
    })?;
    let progress = Progress::for_people(printer);
    let left = Arc::new(Left::default());
    let watch = {
        let (progress, left) = (Arc::clone(&progress), Arc::clone(&left));
        move |run: &Run, savepoints: Option<&[Savepoint]>| {
            progress.saw(run);
            left.saw(run, savepoints);
        }
    };
    let (engine, platforms) = open(setup, &wanted, watch).await?;
    let engine = Arc::new(engine);
    let mut jobs = walking::take_over_lapsed(&engine, |run| {
        // A run that came up meanwhile may be on a platform that there is no client for.
        platforms
            .contains(&run.application.platform)
            .then(|| setup.policy(run, WallClock.now()))?
    })
    .await
    .map_err(Trouble::catalog("take over what was left behind"))?;
    let keys: BTreeSet<AppKey> = wanted
        .iter()
        .map(|application| application.key.clone())
        .collect();
    let mut asked: Vec<RunId> = Vec::with_capacity(wanted.len());
    let left_behind: BTreeSet<RunId> = jobs.iter().map(|job| job.run.id).collect();
    let mut new = Vec::with_capacity(wanted.len());
    for application in &wanted {
        let run = row(application)?;
        asked.push(run.id);
        // A slot that was left behind is being walked already.
        if !left_behind.contains(&run.id) {
            new.push((run, application.policy.clone()));
        }
    }
    let ask_for_others = || {
        let others = wanted.iter().skip(ASKED_FIRST);
        engine.world.ask_ahead(others.map(job));
    };
    jobs.extend(claim(&engine, new, ask_for_others).await?);
    let patience = wait.map(|wait| Duration::try_from(wait).unwrap_or(Duration::MAX));
    let in_the_way = |run: &Run| {
        keys.contains(&run.application)
            .then(|| setup.policy(run, WallClock.now()))?
    };
    let waited = walking::to_their_ends(&engine, jobs, in_the_way, patience, &mut signals).await;
    progress.end();
    let mut exit = results::print(
        setup,
        &engine.catalog,
        &asked,
        &waited.results,
        &left,
        &progress,
        printer,
    )
    .await?;
    match waited.stopped {
        Some(stopped) => {
            exit = exit.worse(say_how_to_resume(setup, stopped, &asked, &waited, printer));
        }
        // Where there is no `serve`, nobody else finds a savepoint that came late to an earlier run.
        // Last, because a store that hangs must not hold a savepoint up.
        None => engine
            .look_back(|application| platforms.contains(&application.platform))
            .await
            .map_err(Trouble::catalog("look back at ended runs"))?,
    }
    engine.catalog.leave().await;
    Ok(exit)
}

/// Opens the catalog, and clients for the platforms of the applications wanted and of the runs
/// that may have to be taken over. The platforms are asked for their jobs
/// meanwhile.
async fn open(
    setup: &Setup,
    wanted: &[Application],
    watch: impl Fn(&Run, Option<&[Savepoint]>) + Send + Sync + 'static,
) -> Result<(RealEngine, BTreeSet<PlatformName>), Trouble> {
    let of_wanted: BTreeSet<_> = wanted
        .iter()
        .map(|application| &application.key.platform)
        .collect();
    let hands = setup.hands(&of_wanted, Source::List)?;
    hands.ask_ahead(wanted.iter().take(ASKED_FIRST).map(job));
    let catalog = setup.catalog_briefly().await?;
    let open = catalog
        .open_runs()
        .await
        .map_err(Trouble::catalog("read the runs under way"))?;
    let of_open = open.iter().map(|run| &run.application.platform);
    let platforms: BTreeSet<_> = of_wanted.iter().copied().chain(of_open).collect();
    let hands = if platforms == of_wanted {
        hands
    } else {
        setup.hands(&platforms, Source::List)?
    };
    let engine = setup::engine(catalog, hands, watch)?;
    Ok((engine, platforms.into_iter().cloned().collect()))
}

/// The job of an application.
fn job(application: &Application) -> (&PlatformName, &str) {
    (&application.key.platform, &application.policy.job)
}

/// Claims them in one step: hundreds would wait for the disk one by one. `meanwhile` is done while the catalog is at
/// it.
async fn claim(
    engine: &RealEngine,
    runs: Vec<(Run, Policy)>,
    meanwhile: impl FnOnce(),
) -> Result<Vec<Job>, Trouble> {
    let (runs, policies): (Vec<Run>, Vec<Policy>) = runs.into_iter().unzip();
    // In this order: the catalog is asked first.
    let (claims, ()) = join(engine.claim_all(runs), async { meanwhile() }).await;
    let claims = claims.map_err(Trouble::catalog("claim the runs"))?;
    let jobs = claims.into_iter().zip(policies);
    Ok(jobs
        .map(|((run, claim), policy)| match claim {
            Claim::Claimed => Job {
                run,
                policy,
                mine: true,
            },
            Claim::Taken(run) => Job {
                run: *run,
                policy,
                mine: false,
            },
        })
        .collect())
}

fn say_how_to_resume(
    setup: &Setup,
    stopped: Stopped,
    asked: &[RunId],
    waited: &walking::Waited,
    printer: Printer,
) -> Exit {
    let open: Vec<&RunId> = asked
        .iter()
        .filter(|id| !waited.results.contains_key(id))
        .collect();
    let (what, exit) = match stopped {
        Stopped::Interrupted => ("interrupted", Exit::Interrupted),
        Stopped::GivenUp => ("waiting was given up", Exit::Unknown),
    };
    let mut text =
        format!("{what}: only the waiting has ended, what was asked of the platform goes on\n");
    if setup.forgets() {
        text.push_str(&crate::style::hint(
            "there is no catalog: `lowtide run` with the same `--slot` looks on the platform for what came of it",
        ));
        printer.say(&text);
        return exit;
    }
    for id in open {
        text.push_str(&crate::style::hint(&format!(
            "how it stands: lowtide show {}",
            results::short_id(id)
        )));
    }
    text.push_str(&crate::style::hint(
        "a running `lowtide serve`, or the next `lowtide run` or `lowtide take`, walks it to its end",
    ));
    printer.say(&text);
    exit
}
