//! A seed's fleet: platforms, applications, schedules and rules, all drawn.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use lowtide_core::engine::Application;
use lowtide_core::name::{AppKey, ApplicationName, JobId, Location, PlatformName};
use lowtide_core::policy::Policy;
use lowtide_core::resolve::JobState;
use lowtide_core::savepoint::Format;
use lowtide_core::schedule::{HashSeed, Never, Schedule, Window, parse_zone};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::fleet::{Job, Link, Lister, Platform, Store};
use crate::journal::Journal;
use crate::model::{Lapses, Model};
use crate::planted::ModelBug;
use crate::state::{App, Process, SKEW_MS_MAX, State};
use crate::trouble::{Tally, Trouble};
use crate::witness::Witness;

/// How long slots come and faults strike.
pub const ACTIVE: SignedDuration = SignedDuration::from_mins(110);
/// Zones, and a change of the clock in each: a seed begins an hour before one of them.
const CLOCK_CHANGES: [(&str, &str); 6] = [
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("America/Santiago", "2026-09-06T04:00:00Z"),
];
/// Schedules of the cron form: at least five slots in [`ACTIVE`].
const CRONS: [&str; 6] = [
    "*/10 * * * *",
    "*/15 * * * *",
    "H/15 * * * *",
    "0,20,40 0-23 * * *",
    "5,25,45 * * * *",
    "7,17,27,37,47,57 0-23 * * *",
];
/// How many applications are taken care of by pods without a catalog.
const PODS: usize = 2;
/// Schedules of the other form.
const PERIODS: [&str; 4] = ["8m", "10m", "15m", "20m"];

/// Draws a seed's beginning: the time, and everything else.
pub fn draw(seed: u64, keep: bool, bug: Option<ModelBug>) -> (Timestamp, State) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let (zone, change) = CLOCK_CHANGES[rng.random_range(0..CLOCK_CHANGES.len())];
    let change: Timestamp = change.parse().expect("a constant of this module");
    let base = change - SignedDuration::from_secs(rng.random_range(1_800..4_500));
    let mut state = State {
        rng,
        journal: Journal::new(keep),
        tally: Tally::default(),
        quiet: false,
        bug,
        apps: Vec::new(),
        served: 0,
        pods_at_work: 0,
        by_key: BTreeMap::new(),
        platforms: Vec::new(),
        by_platform: BTreeMap::new(),
        model: Model::with_lapses(lapses(bug)),
        witness: Witness::default(),
        processes: Vec::new(),
        violation: None,
        serial: 0,
        zone: parse_zone(zone).expect("a constant of this module"),
    };
    let platforms = state.rng.random_range(2..=3);
    for ix in 0..platforms {
        let platform = platform(&mut state, base, ix);
        state.by_platform.insert(platform.name.clone(), ix);
        state.platforms.push(platform);
    }
    state.served = state.rng.random_range(20..=22);
    for ix in 0..state.served + PODS {
        application(&mut state, ix);
        new_job(&mut state, base, ix);
    }
    for _ in 0..state.rng.random_range(2..=3) {
        let process = Process {
            offset_ms: state.rng.random_range(-3_000..=3_000),
            drift_ppm: state.rng.random_range(-300..=300),
            ..Process::default()
        };
        state.processes.push(process);
    }
    for ix in state.served..state.served + PODS {
        pods_of(&mut state, ix);
    }
    state.tally.count(Trouble::ClockChange);
    (base, state)
}

fn lapses(bug: Option<ModelBug>) -> Lapses {
    let has = |one| bug == Some(one);
    Lapses {
        versions: has(ModelBug::CommitWithoutVersionCheck),
        cap: has(ModelBug::CapIgnored),
        savepoints: has(ModelBug::TornCommit),
        claims: has(ModelBug::ClaimReplaces),
        pauses: has(ModelBug::PausesForgotten),
    }
}

fn platform(state: &mut State, base: Timestamp, ix: usize) -> Platform {
    let blind = state.rng.random_ratio(1, 12);
    if blind {
        state.tally.count(Trouble::StoreBlind);
    }
    let lister = state.rng.random_ratio(1, 3).then(|| lister(state));
    Platform {
        name: PlatformName::new(format!("platform-{ix}")).expect("a plain name"),
        // A platform that lists savepoints keeps its deployments too.
        ha: state.rng.random_bool(0.5) || lister.is_some(),
        up: true,
        up_since: base,
        incarnation: 0,
        link: Link::Clear,
        store: if blind { Store::Blind } else { Store::Readable },
        seen_well_since: base,
        cap: state.rng.random_range(2..=6),
        base: Location::new(format!("/savepoints/{ix}")),
        lister,
        jobs: BTreeMap::new(),
        operations: BTreeMap::new(),
        directories: BTreeMap::new(),
    }
}

fn lister(state: &mut State) -> Lister {
    let keeps_marks = state.rng.random_bool(0.5);
    state.tally.count(if keeps_marks {
        Trouble::MarksKept
    } else {
        Trouble::MarksDropped
    });
    let skew_ms = state.rng.random_range(-SKEW_MS_MAX..=SKEW_MS_MAX);
    Lister {
        keeps_marks,
        skew: SignedDuration::from_millis(skew_ms),
    }
}

/// The pods of an application that nothing is remembered of: one at a time, so one process.
fn pods_of(state: &mut State, application: usize) {
    let app = &mut state.apps[application];
    let mut rules = Application::clone(&app.rules);
    // Its slots come from outside, and no process with a catalog sees a schedule.
    rules.policy.schedule = None;
    app.rules = Arc::new(rules);
    let process = Process {
        offset_ms: state.rng.random_range(-SKEW_MS_MAX..=SKEW_MS_MAX),
        is_pod: true,
        ..Process::default()
    };
    state.processes.push(process);
}

fn application(state: &mut State, ix: usize) {
    let platform = state.rng.random_range(0..state.platforms.len());
    let key = AppKey {
        platform: state.platforms[platform].name.clone(),
        application: ApplicationName::new(format!("application-{ix:02}")).expect("a plain name"),
    };
    let policy = Policy {
        job: key.application.to_string(),
        schedule: None,
        never: never(state),
        format: Format::Canonical,
        target: None,
        deadline: SignedDuration::from_mins(state.rng.random_range(5..60)),
        attempts: state.rng.random_range(1..=3),
        patience: SignedDuration::from_secs(state.rng.random_range(10..300)),
        absent_for: SignedDuration::from_secs(state.rng.random_range(30..600)),
        catch_up: SignedDuration::from_mins(state.rng.random_range(1..360)),
        concurrency: state.platforms[platform].cap,
    };
    let rules = Application {
        key: key.clone(),
        policy,
    };
    state.by_key.insert(key, ix);
    state.apps.push(App {
        rules: Arc::new(rules.clone()),
        platform,
        schedules: Vec::new(),
    });
    let schedule = redraw_schedule(state, ix);
    let app = &mut state.apps[ix];
    app.schedules.push(schedule.clone());
    let mut rules = rules;
    rules.policy.schedule = Some(schedule);
    app.rules = Arc::new(rules);
}

fn never(state: &mut State) -> Never {
    let zone = state.zone.clone();
    if !state.rng.random_ratio(1, 6) {
        return Never::new(Vec::new(), zone).expect("no windows are never too many");
    }
    let hour = state.rng.random_range(0..24);
    let text = format!(
        "{hour:02}:10-{hour:02}:{:02}",
        state.rng.random_range(15..55)
    );
    let window = Window::parse(&text).expect("a window of less than an hour");
    Never::new(vec![window], zone).expect("one window leaves most of the week open")
}

/// Draws another schedule for an application.
pub fn redraw_schedule(state: &mut State, application: usize) -> Schedule {
    let zone = state.zone.clone();
    if state.rng.random_ratio(1, 3) {
        let period = PERIODS[state.rng.random_range(0..PERIODS.len())];
        return Schedule::every(period, zone).expect("a constant of this module");
    }
    let cron = CRONS[state.rng.random_range(0..CRONS.len())];
    let key = &state.apps[application].rules.key;
    let seed = HashSeed {
        platform: key.platform.as_str(),
        application: key.application.as_str(),
    };
    Schedule::cron(cron, &seed, zone).expect("a constant of this module")
}

/// Starts a job of an application.
pub fn new_job(state: &mut State, now: Timestamp, application: usize) -> JobId {
    let id = state.job_id();
    let timeout = SignedDuration::from_secs(state.rng.random_range(60..400));
    let job = Job {
        application,
        name: state.apps[application].rules.policy.job.clone(),
        state: JobState::Running,
        started_at: now,
        restarted_at: None,
        ready: true,
        timeout_told: (!state.rng.random_ratio(1, 7)).then_some(timeout),
        timeout,
        tolerable_failures: state.rng.random_bool(0.5).then_some(3),
        checkpoint_until: None,
        pressed_until: None,
        savepoints: Vec::new(),
    };
    state
        .journal
        .write(now, Some(application), format_args!("job {id} starts"));
    let ix = state.apps[application].platform;
    state.platforms[ix].jobs.insert(id.clone(), job);
    id
}
