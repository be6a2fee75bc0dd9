//! One seed from beginning to end.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::chaos;
use crate::fleet::{Link, Store};
use crate::journal::Event;
use crate::law::Violation;
use crate::planted::ModelBug;
use crate::pod;
use crate::process::live;
use crate::scenario::{ACTIVE, draw};
use crate::state::Sim;
use crate::sweep::SLOTS_MIN;
use crate::trouble::Tally;

/// How long the quiet period lasts: the last look into a troubled run's directories comes a day
/// after its end, and the run may have been followed blindly for an hour.
const QUIET: SignedDuration = SignedDuration::from_hours(28);
/// What is added to the active period while a seed has too few slots.
const MORE: SignedDuration = SignedDuration::from_mins(30);
/// The longest active period: a seed whose schedules are rarer than that is drawn wrongly.
const ACTIVE_MAX: SignedDuration = SignedDuration::from_hours(48);
/// How often the simulation is asked whether it is broken or done.
const ASK_EVERY: Duration = Duration::from_mins(1);

/// What came of one seed.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The seed.
    pub seed: u64,
    /// Hash over all that happened.
    pub hash: u64,
    /// Counts.
    pub tally: Tally,
    /// The first broken invariant.
    pub violation: Option<Violation>,
    /// What happened, where it was kept: of the application concerned, if an invariant broke.
    pub story: Vec<Event>,
}

/// Runs one seed; `keep` says whether its story is wanted.
pub fn run(seed: u64, keep: bool, bug: Option<ModelBug>) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing from the system");
    let (base, state) = draw(seed, keep, bug);
    runtime.block_on(async move {
        let sim = Sim::new(base, state);
        start(&sim);
        let mut active = base + ACTIVE;
        wait_until(&sim, active, false).await;
        while needs_more_slots(&sim) && active < base + ACTIVE_MAX {
            active += MORE;
            wait_until(&sim, active, false).await;
        }
        begin_quiet(&sim);
        wait_until(&sim, active + QUIET, true).await;
        finish(&sim, seed)
    })
}

/// Whether it stays below the slots that a seed must have, and nothing is broken yet.
fn needs_more_slots(sim: &Sim) -> bool {
    let state = sim.lock();
    state.violation.is_none() && state.tally.slots < SLOTS_MIN
}

fn start(sim: &Arc<Sim>) {
    let (platforms, apps, processes) = {
        let state = sim.lock();
        (
            state.platforms.len(),
            state.apps.len(),
            state.processes.len(),
        )
    };
    for ix in 0..processes {
        let application = sim.lock().pod_application(ix);
        match application {
            Some(application) => tokio::spawn(pod::pods(Arc::clone(sim), ix, application)),
            None => tokio::spawn(live(Arc::clone(sim), ix)),
        };
        tokio::spawn(chaos::process(Arc::clone(sim), ix));
    }
    for ix in 0..platforms {
        tokio::spawn(chaos::platform(Arc::clone(sim), ix));
    }
    for ix in 0..apps {
        tokio::spawn(chaos::job(Arc::clone(sim), ix));
    }
    tokio::spawn(chaos::people(Arc::clone(sim)));
}

/// Waits until a time, or until an invariant is broken.
async fn wait_until(sim: &Sim, until: Timestamp, may_end: bool) {
    while sim.now() < until {
        let over = {
            let state = sim.lock();
            state.violation.is_some()
                || may_end
                    && state.pods_at_work == 0
                    && state.model.open().next().is_none()
                    && !state.model.looks_pending()
        };
        if over {
            return;
        }
        let pause = if may_end { ASK_EVERY * 10 } else { ASK_EVERY };
        tokio::time::sleep(pause).await;
    }
}

/// No more faults, and no more slots: all applications are paused for good.
fn begin_quiet(sim: &Sim) {
    sim.with(|state, now| {
        state.quiet = true;
        state.journal.write(now, None, format_args!("quiet"));
        for platform in &mut state.platforms {
            platform.link = Link::Clear;
            platform.seen_well_since = now;
            if platform.store == Store::Away {
                platform.store = Store::Readable;
            }
        }
        for ix in 0..state.served {
            let key = state.apps[ix].rules.key.clone();
            state.model.pause(&key, now);
            state.witness.paused(&key, now, now);
        }
    });
}

fn finish(sim: &Sim, seed: u64) -> Seen {
    sim.with(|state, now| {
        if state.violation.is_none() {
            state.witness_end(now);
        }
        let application = state
            .violation
            .as_ref()
            .and_then(|violation| violation.application);
        Seen {
            seed,
            hash: state.journal.hash(),
            tally: state.tally.clone(),
            violation: state.violation.clone(),
            story: state.journal.story(application),
        }
    })
}
