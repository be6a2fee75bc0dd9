//! A process of Lowtide: the loop of `lowtide serve`, and a body that can stall and die.
//!
//! The loop mirrors the program's: tick every application when its next slot is due, take over
//! runs that nobody walks, walk runs side by side, look back regularly. It has no state that
//! matters: a new life begins with the catalog alone.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::{SignedDuration, Timestamp};
use lowtide_core::engine::{Application, Engine};
use lowtide_core::name::{AppKey, OwnerId, RunId};
use lowtide_core::ports::{Catalog, Claim, Clock};
use lowtide_core::run::{Origin, Run};
use lowtide_core::savepoint::Savepoint;
use rand::Rng;
use tokio::time::{Instant, Sleep};

use crate::hands::Hands;
use crate::memory::Memory;
use crate::state::Sim;
use crate::trouble::{Spot, Trouble};
use crate::wall::Wall;

/// How long a round waits for the next one at most, while something is to be done.
const ROUND_MAX: SignedDuration = SignedDuration::from_secs(5);
/// How long a round waits at most in the quiet period, when all runs have ended.
const IDLE_ROUND: SignedDuration = SignedDuration::from_mins(30);
/// How long a tick may wait for the next one: an edit may bring a slot forward.
const TICK_MAX: SignedDuration = SignedDuration::from_mins(5);
/// The same in the quiet period, when nobody edits.
const IDLE_TICK: SignedDuration = SignedDuration::from_hours(4);
/// How soon a tick that failed is tried again.
const TICK_AGAIN: SignedDuration = SignedDuration::from_secs(2);

type Lowtide = Engine<Hands, Memory, Wall, fn(&Run, Option<&[Savepoint]>)>;
type Work<'a> = Pin<Box<dyn Future<Output = Did> + Send + 'a>>;

/// What a piece of work came to.
enum Did {
    Round {
        next_ticks: BTreeMap<AppKey, Timestamp>,
        runs: Vec<Run>,
    },
    Walked(RunId),
    LookedBack,
}

/// A life of a process: polled until it is struck dead, never while it stalls.
pub struct Body<F> {
    sim: Arc<Sim>,
    process: usize,
    inner: Pin<Box<F>>,
    nap: Option<Pin<Box<Sleep>>>,
}

impl<F> Body<F> {
    /// A new life: as whom, and doing what is to be done as such.
    pub fn begin(sim: &Arc<Sim>, process: usize, work: impl FnOnce(OwnerId) -> F) -> Self {
        let me = sim.with(|state, _| {
            let one = &mut state.processes[process];
            one.life += 1;
            one.crash = None;
            one.stalled_until = None;
            let me = OwnerId::new(format!("process-{process}-{}", one.life));
            one.owner = Some(me.clone());
            me
        });
        Self {
            sim: Arc::clone(sim),
            process,
            inner: Box::pin(work(me)),
            nap: None,
        }
    }
}

impl<F: Future<Output = ()>> Future for Body<F> {
    type Output = Spot;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Spot> {
        loop {
            let stalled_until = {
                let mut state = self.sim.lock();
                let process = &mut state.processes[self.process];
                process.waker = Some(cx.waker().clone());
                if let Some(spot) = process.crash.take() {
                    return Poll::Ready(spot);
                }
                process
                    .stalled_until
                    .filter(|until| *until > Instant::now())
            };
            if let Some(until) = stalled_until {
                let nap = self
                    .nap
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                nap.as_mut().reset(until);
                if nap.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            if self.inner.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Spot::AnyTime);
            }
            let state = self.sim.lock();
            let process = &state.processes[self.process];
            let struck = process.crash.is_some()
                || process
                    .stalled_until
                    .is_some_and(|until| until > Instant::now());
            if !struck {
                return Poll::Pending;
            }
        }
    }
}

/// Lives of one process, one after the other, for ever.
pub async fn live(sim: Arc<Sim>, process: usize) {
    loop {
        let serve = |me| serve(Arc::clone(&sim), process, me);
        Body::begin(&sim, process, serve).await;
        let down = sim.with(|state, _| {
            if let Some(row) = state.processes[process].last_commit.take() {
                state.model.put(row);
            }
            // Now and then it is down for longer than anything waits.
            if state.rng.random_ratio(1, 12) {
                state.ms(300_000, 1_200_000)
            } else {
                state.ms(500, 90_000)
            }
        });
        tokio::time::sleep(down).await;
    }
}

async fn serve(sim: Arc<Sim>, process: usize, me: OwnerId) {
    let engine: Lowtide = Engine {
        world: Hands {
            sim: Arc::clone(&sim),
            process,
        },
        catalog: Memory {
            sim: Arc::clone(&sim),
            process,
        },
        clock: Wall {
            sim: Arc::clone(&sim),
            process,
        },
        me,
        watch: |_, _| {},
    };
    let engine = &engine;
    let mut mine = BTreeSet::new();
    let mut work: FuturesUnordered<Work<'_>> = FuturesUnordered::new();
    work.push(Box::pin(round(
        engine,
        BTreeMap::new(),
        BTreeSet::new(),
        true,
    )));
    work.push(Box::pin(look_back(engine)));
    while let Some(did) = work.next().await {
        match did {
            Did::Round { next_ticks, runs } => {
                for run in runs {
                    if mine.insert(run.id) {
                        work.push(Box::pin(walk(engine, run)));
                    }
                }
                work.push(Box::pin(round(engine, next_ticks, mine.clone(), false)));
            }
            Did::Walked(run) => {
                mine.remove(&run);
            }
            Did::LookedBack => work.push(Box::pin(look_back(engine))),
        }
    }
}

async fn walk(engine: &Lowtide, run: Run) -> Did {
    let id = run.id;
    let rules = rules(engine, &run.application);
    if let Some(rules) = rules {
        // What goes wrong with the catalog ends the walk; the run is taken over when the claim
        // lapses.
        let _ = engine.walk(run, &rules.policy).await;
    }
    Did::Walked(id)
}

async fn look_back(engine: &Lowtide) -> Did {
    let pause = pause(engine);
    engine.clock.sleep_until(engine.clock.now() + pause).await;
    let _ = engine.look_back(|_| true).await;
    Did::LookedBack
}

/// How long to wait while nothing happens.
fn pause(engine: &Lowtide) -> SignedDuration {
    let sim = &engine.world.sim;
    let state = sim.lock();
    if state.quiet && state.model.open().next().is_none() {
        IDLE_ROUND
    } else {
        ROUND_MAX
    }
}

async fn round(
    engine: &Lowtide,
    mut next_ticks: BTreeMap<AppKey, Timestamp>,
    mine: BTreeSet<RunId>,
    first: bool,
) -> Did {
    if !first {
        let pause = pause(engine);
        let latest = engine.clock.now() + pause;
        let next = next_ticks.values().min().copied().unwrap_or(latest);
        engine.clock.sleep_until(next.min(latest)).await;
        // A slot that is due at once must not keep the loop from its other work.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut runs = Vec::new();
    let tick_max = if engine.world.sim.is_quiet() {
        IDLE_TICK
    } else {
        TICK_MAX
    };
    let began = engine.clock.now();
    for application in applications(engine) {
        let due = next_ticks
            .get(&application.key)
            .is_none_or(|at| *at <= began);
        if !due {
            continue;
        }
        let now = engine.clock.now();
        let next = match engine.tick(&application).await {
            Ok(ticked) => {
                runs.extend(ticked.claimed);
                let latest = now + tick_max;
                ticked.next.map_or(latest, |next| next.min(latest))
            }
            Err(_) => now + TICK_AGAIN,
        };
        next_ticks.insert(application.key.clone(), next);
    }
    if let Ok(open) = engine.catalog.open_runs().await {
        for run in open.iter().filter(|run| !mine.contains(&run.id)) {
            if let Ok(Some(run)) = engine.take_over(run).await {
                runs.push(run);
            }
        }
    }
    runs.extend(take(engine).await);
    Did::Round { next_ticks, runs }
}

/// Now and then a person asks for a savepoint.
async fn take(engine: &Lowtide) -> Option<Run> {
    let sim = &engine.world.sim;
    let (application, id) = sim.with(|state, now| {
        if !state.chance(6) {
            return None;
        }
        let ix = state.rng.random_range(0..state.served);
        state.trouble(now, Trouble::Take, Some(ix), "");
        let id = RunId::from_bytes(state.rng.random());
        Some((Arc::clone(&state.apps[ix].rules), id))
    })?;
    let now = engine.clock.now();
    let key = application.key.clone();
    let run = Run::of_request(key, id, Origin::Take, now, &application.policy);
    match engine.claim(run).await {
        Ok((run, Claim::Claimed)) => Some(run),
        _ => None,
    }
}

fn applications(engine: &Lowtide) -> Vec<Arc<Application>> {
    let state = engine.world.sim.lock();
    state
        .apps
        .iter()
        .take(state.served)
        .map(|app| Arc::clone(&app.rules))
        .collect()
}

fn rules(engine: &Lowtide, key: &AppKey) -> Option<Arc<Application>> {
    let state = engine.world.sim.lock();
    let ix = state.app_ix(key)?;
    Some(Arc::clone(&state.apps[ix].rules))
}
