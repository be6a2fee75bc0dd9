//! What happens to platforms, jobs, processes and people while a seed is not quiet.
//!
//! Each source of trouble is a task of its own that waits, strikes and mends. Whatever it broke it
//! mends itself, also after the quiet period began: the quiet period has no new trouble.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use lowtide_core::engine::Application;
use lowtide_core::name::JobId;
use lowtide_core::resolve::JobState;
use rand::Rng;

use crate::fleet::{Job, Link, Store};
use crate::platform::{resources, restart_job};
use crate::scenario::{new_job, redraw_schedule};
use crate::state::{SKEW_MS_MAX, Sim};
use crate::trouble::{Spot, Trouble};

/// Mean time between two troubles of one platform, in seconds.
const PLATFORM_EVERY_S: u64 = 300;
/// Mean time between two troubles of one job, in seconds.
const JOB_EVERY_S: u64 = 900;
/// Mean time between two troubles of one process, in seconds.
const PROCESS_EVERY_S: u64 = 420;
/// Mean time between two edits by people, in seconds.
const PEOPLE_EVERY_S: u64 = 600;

/// Waits for some time around a mean; `false` when the quiet period has begun.
async fn wait(sim: &Sim, mean_s: u64) -> bool {
    let wait = sim.with(|state, _| state.ms(mean_s * 100, mean_s * 1_900));
    tokio::time::sleep(wait).await;
    !sim.is_quiet()
}

async fn sleep(sim: &Sim, from_s: u64, to_s: u64) {
    let wait = sim.with(|state, _| state.ms(from_s * 1_000, to_s * 1_000));
    tokio::time::sleep(wait).await;
}

/// Troubles of one platform.
pub async fn platform(sim: Arc<Sim>, ix: usize) {
    while wait(&sim, PLATFORM_EVERY_S).await {
        match sim.with(|state, _| state.rng.random_range(0..10)) {
            0..4 => job_manager_dies(&sim, ix).await,
            4..7 => link_breaks(&sim, ix, false).await,
            7 => link_breaks(&sim, ix, true).await,
            _ => store_goes(&sim, ix).await,
        }
    }
}

async fn job_manager_dies(sim: &Arc<Sim>, ix: usize) {
    let ha = sim.with(|state, now| {
        let ha = state.platforms[ix].ha;
        let trouble = if ha {
            Trouble::RestartWithHa
        } else {
            Trouble::RestartWithoutHa
        };
        let what = format!("platform {}", state.platforms[ix].name);
        state.trouble(now, trouble, None, &what);
        let platform = &mut state.platforms[ix];
        platform.up = false;
        platform.seen_well_since = now;
        state.lose_all(now, ix);
        ha
    });
    sleep(sim, 4, 40).await;
    let jobs = sim.with(|state, now| {
        let platform = &mut state.platforms[ix];
        platform.up = true;
        platform.up_since = now;
        platform.seen_well_since = now;
        platform.incarnation += 1;
        if ha {
            // Ended jobs are listed from the memory of the `JobManager` that saw them end.
            if platform.lister.is_none() {
                platform.jobs.retain(|_, job| !job.state.is_ended());
            }
            for job in platform
                .jobs
                .values_mut()
                .filter(|job| !job.state.is_ended())
            {
                job.started_at = now;
                job.restarted_at = None;
                job.state = JobState::Running;
                job.ready = false;
                job.savepoints.clear();
            }
            platform
                .jobs
                .iter()
                .filter(|(_, job)| !job.state.is_ended())
                .map(|(id, job)| (Some(id.clone()), job.clone()))
                .collect::<Vec<(Option<JobId>, Job)>>()
        } else {
            std::mem::take(&mut platform.jobs)
                .into_values()
                .filter(|job| !job.state.is_ended())
                .map(|job| (None, job))
                .collect()
        }
    });
    for (id, job) in jobs {
        let sim = Arc::clone(sim);
        tokio::spawn(async move {
            if let Some(id) = id {
                sleep(&sim, 3, 20).await;
                sim.with(|state, _| {
                    if let Some(job) = state.platforms[ix].jobs.get_mut(&id) {
                        job.ready = true;
                    }
                });
            } else {
                sleep(&sim, 5, 400).await;
                resubmit(&sim, ix, job.application);
            }
        });
    }
}

/// Submits an application's job again, unless it runs; where it is a deployment, that is started
/// again, and keeps its id.
fn resubmit(sim: &Sim, ix: usize, application: usize) {
    sim.with(|state, now| {
        if state.platforms[ix].live_job(application).is_some() {
            return;
        }
        let platform = &mut state.platforms[ix];
        let deployment = platform
            .jobs
            .values_mut()
            .find(|job| platform.lister.is_some() && job.application == application);
        match deployment {
            Some(job) => {
                job.state = JobState::Running;
                job.ready = true;
                job.started_at = now;
                job.restarted_at = None;
                job.savepoints.clear();
                let text = "the deployment starts again";
                state
                    .journal
                    .write(now, Some(application), format_args!("{text}"));
            }
            None => {
                new_job(state, now, application);
            }
        }
    });
}

async fn link_breaks(sim: &Sim, ix: usize, store_too: bool) {
    sim.with(|state, now| {
        let (link, trouble) = match state.rng.random_range(0..10) {
            0..4 => (Link::Refused, Trouble::ConnectionRefused),
            4..7 => (Link::ServerError, Trouble::ServerError),
            7..9 => (Link::Silent, Trouble::RequestLost),
            _ => (Link::Denied, Trouble::Denied),
        };
        let what = format!("platform {} is {link:?}", state.platforms[ix].name);
        state.trouble(now, trouble, None, &what);
        let platform = &mut state.platforms[ix];
        platform.link = link;
        if store_too && platform.store == Store::Readable {
            platform.store = Store::Away;
        }
        platform.seen_well_since = now;
        if store_too {
            state.trouble(now, Trouble::StoreAway, None, "with its platform");
        }
    });
    // With its store out of sight too, it is out of sight for longer than anything is followed.
    if store_too {
        sleep(sim, 60, 1_500).await;
    } else {
        sleep(sim, 2, 300).await;
    }
    mend(sim, ix);
}

async fn store_goes(sim: &Sim, ix: usize) {
    sim.with(|state, now| {
        if state.platforms[ix].store == Store::Readable {
            state.platforms[ix].store = Store::Away;
            state.platforms[ix].seen_well_since = now;
            let what = format!("platform {}", state.platforms[ix].name);
            state.trouble(now, Trouble::StoreAway, None, &what);
        }
    });
    sleep(sim, 5, 500).await;
    mend(sim, ix);
}

fn mend(sim: &Sim, ix: usize) {
    sim.with(|state, now| {
        let platform = &mut state.platforms[ix];
        platform.link = Link::Clear;
        if platform.store == Store::Away {
            platform.store = Store::Readable;
        }
        platform.seen_well_since = now;
        let text = format!("platform {} can be reached and read", platform.name);
        state.journal.write(now, None, format_args!("{text}"));
    });
}

/// Troubles of one application's job.
pub async fn job(sim: Arc<Sim>, application: usize) {
    while wait(&sim, JOB_EVERY_S).await {
        let Some((ix, id)) = sim.with(|state, _| {
            let ix = state.apps[application].platform;
            state.platforms[ix].live_job(application).map(|id| (ix, id))
        }) else {
            continue;
        };
        match sim.with(|state, _| state.rng.random_range(0..12)) {
            0..3 => {
                sim.trouble(Trouble::JobRestart, Some(application), id.as_str());
                restart_job(&sim, ix, &id);
            }
            3 => job_ends(&sim, ix, &id, application).await,
            // The names of deployments are unique.
            4 if sim.lock().platforms[ix].lister.is_none() => twin(&sim, ix, application).await,
            5..8 if sim.lock().platforms[ix].lister.is_some() => {
                others_at_work(&sim, ix, &id, application);
            }
            5..8 => foreign_savepoint(&sim, ix, &id, application).await,
            _ => busy(&sim, ix, &id, application),
        }
    }
}

async fn job_ends(sim: &Arc<Sim>, ix: usize, id: &JobId, application: usize) {
    sim.with(|state, now| {
        let (end, trouble) = if state.rng.random_bool(0.5) {
            (JobState::Finished, Trouble::JobFinished)
        } else {
            (JobState::Cancelled, Trouble::JobCancelled)
        };
        state.trouble(now, trouble, Some(application), id.as_str());
        state.fail_pending(now, ix, id, "the job has ended");
        if let Some(job) = state.platforms[ix].jobs.get_mut(id) {
            job.state = end;
            job.ready = false;
        }
    });
    sleep(sim, 20, 1_200).await;
    resubmit(sim, ix, application);
}

async fn twin(sim: &Sim, ix: usize, application: usize) {
    let twin = sim.with(|state, now| {
        state.trouble(now, Trouble::Ambiguous, Some(application), "");
        new_job(state, now, application)
    });
    sleep(sim, 30, 400).await;
    sim.with(|state, now| {
        state.fail_pending(now, ix, &twin, "the job was cancelled");
        if let Some(job) = state.platforms[ix].jobs.get_mut(&twin)
            && !job.state.is_ended()
        {
            job.state = JobState::Cancelled;
        }
    });
    resubmit(sim, ix, application);
}

async fn foreign_savepoint(sim: &Sim, ix: usize, id: &JobId, application: usize) {
    let began = sim.with(|state, now| {
        state.trouble(now, Trouble::ForeignSavepoint, Some(application), "");
        if let Some(job) = state.platforms[ix].jobs.get_mut(id) {
            job.savepoints.push((now, None));
        }
        now
    });
    sleep(sim, 5, 90).await;
    sim.with(|state, now| {
        if let Some(job) = state.platforms[ix].jobs.get_mut(id) {
            job.savepoint_ended(began, now);
        }
    });
}

/// Where savepoints are resources, others make and delete them.
fn others_at_work(sim: &Arc<Sim>, ix: usize, id: &JobId, application: usize) {
    let deletes = sim.with(|state, now| {
        let deletes = state.rng.random_bool(0.4);
        if deletes {
            state.delete_one(now, ix, id);
        } else {
            state.trouble(now, Trouble::ForeignSavepoint, Some(application), "");
        }
        deletes
    });
    if !deletes {
        resources::ask_for_foreign(sim, ix, id, application);
    }
}

fn busy(sim: &Sim, ix: usize, id: &JobId, application: usize) {
    sim.with(|state, now| {
        state.trouble(now, Trouble::JobBusy, Some(application), "");
        let lasts = SignedDuration::from_secs(state.rng.random_range(5..600));
        let checkpoint = state.rng.random_bool(0.5);
        if let Some(job) = state.platforms[ix].jobs.get_mut(id) {
            if checkpoint {
                job.checkpoint_until = Some(now + lasts);
            } else {
                job.pressed_until = Some(now + lasts);
            }
        }
    });
}

/// Troubles of one process.
pub async fn process(sim: Arc<Sim>, ix: usize) {
    while wait(&sim, PROCESS_EVERY_S).await {
        let kinds = if sim.lock().processes[ix].is_pod {
            2
        } else {
            4
        };
        sim.with(|state, now| match state.rng.random_range(0..kinds) {
            0 => state.kill(now, ix, Spot::AnyTime),
            1 => {
                let nap = Duration::from_millis(state.rng.random_range(5_000..90_000));
                state.stall(now, ix, nap);
            }
            _ => {
                let to = state.rng.random_range(-SKEW_MS_MAX..=SKEW_MS_MAX);
                let from = std::mem::replace(&mut state.processes[ix].offset_ms, to);
                let trouble = if to > from {
                    Trouble::ClockForward
                } else {
                    Trouble::ClockBack
                };
                let what = format!("process {ix}: {from} ms becomes {to} ms");
                state.trouble(now, trouble, None, &what);
            }
        });
    }
}

/// What people do: pauses and edits.
pub async fn people(sim: Arc<Sim>) {
    while wait(&sim, PEOPLE_EVERY_S).await {
        let application = sim.with(|state, _| state.rng.random_range(0..state.served));
        if sim.with(|state, _| state.rng.random_bool(0.5)) {
            tokio::spawn(pause(Arc::clone(&sim), application));
        } else {
            sim.with(|state, now| {
                let schedule = redraw_schedule(state, application);
                let what = schedule.identity();
                state.trouble(now, Trouble::Edit, Some(application), &what);
                let app = &mut state.apps[application];
                app.schedules.push(schedule.clone());
                let mut rules = Application::clone(&app.rules);
                rules.policy.schedule = Some(schedule);
                app.rules = Arc::new(rules);
            });
        }
    }
}

async fn pause(sim: Arc<Sim>, application: usize) {
    let paused = sim.with(|state, now| {
        let key = state.apps[application].rules.key.clone();
        let open = state
            .model
            .pauses
            .get(&key)
            .and_then(|pauses| pauses.last());
        if open.is_some_and(|pause| pause.until.is_none()) {
            return false;
        }
        state.trouble(now, Trouble::Pause, Some(application), "");
        state.model.pause(&key, now);
        state.witness.paused(&key, now, now);
        true
    });
    if !paused {
        return;
    }
    sleep(&sim, 200, 2_000).await;
    sim.with(|state, now| {
        if state.quiet {
            return;
        }
        let key = state.apps[application].rules.key.clone();
        state.model.unpause(&key, now);
        state.witness.unpaused(&key, now);
        state
            .journal
            .write(now, Some(application), format_args!("application unpaused"));
    });
}
