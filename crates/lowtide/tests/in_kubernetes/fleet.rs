//! The `kubernetes` platform: a session cluster that Flink's own client started in native Kubernetes mode, and
//! no Ververica Platform at all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;

use jiff::Timestamp;
use lowtide_core::run::Outcome;
use serde_json::{Value, json};
use testbench::control::Part;
use testbench::flink::{JobHandle, JobSpec, savepoint_directories};
use testbench::kubernetes::flink::{Session, SessionSpec, VOLUME_PATH};
use testbench::kubernetes::{PodSecurity, left_out};

use crate::release::{MOUNTED, Release, slot, soon};
use crate::rights;
use crate::scene::{LIMIT, NAMES, Scene, scene};

/// The namespace of the session cluster.
const FLEET: &str = "fleet";

#[test]
fn jobs_of_a_native_session_get_one_savepoint_each_slot() {
    if left_out("jobs_of_a_native_session_get_one_savepoint_each_slot") {
        return;
    }
    let shared = scene();
    let node = &shared.node;
    node.namespace(FLEET, PodSecurity::Restricted).unwrap();
    let slots = NAMES.len() + 2;
    let spec = SessionSpec::named(FLEET, "lt-session")
        .config("taskmanager.numberOfTaskSlots", slots.to_string());
    let session = Session::start(node, &spec).unwrap();
    let job = |name| session.submit(&JobSpec::named(name)).unwrap();
    for name in NAMES {
        job(name);
    }
    let (blocked, forgotten) = (job("blocked"), job("forgotten"));
    thread::scope(|scope| {
        scope.spawn(|| on_schedule(&shared, &session, "service"));
        scope.spawn(|| on_schedule(&shared, &session, "proxy"));
        scope.spawn(|| served(&shared, &session, "proxy", &blocked));
        scope.spawn(|| killed_without_a_catalog(&shared, &session, &forgotten));
    });
    session.delete(node).unwrap();
}

/// What a release says of the session cluster: each has a savepoint directory of its own, and the platform a
/// name of its own, as several releases for one application would otherwise be one to Flink.
fn config(name: &str, reach: &str) -> Value {
    let paths = json!({ format!("file:{VOLUME_PATH}"): MOUNTED });
    json!({
        "platforms": { name: { "kubernetes": { "namespace": FLEET, "reach": reach, "paths": paths } } },
        "defaults": { "target": target(name) },
    })
}

fn target(name: &str) -> String {
    format!("file:{VOLUME_PATH}/savepoints/{name}")
}

/// Where that directory is out here.
fn folder(session: &Session, name: &str) -> PathBuf {
    session.data().join("savepoints").join(name)
}

/// The complete savepoints beneath a directory, by the locations that Flink gave them.
fn locations(session: &Session, name: &str, application: &str) -> BTreeSet<String> {
    let root = folder(session, name).join(application);
    // A directory that Flink is just making may be gone again when we look into it.
    let found = savepoint_directories(&root).unwrap_or_default();
    let location = |path: &Path| {
        let inner = path.strip_prefix(session.data()).unwrap();
        format!("file:{VOLUME_PATH}/{}", inner.display())
    };
    let complete = found.iter().filter(|it| it.has_metadata);
    complete.map(|it| location(&it.path)).collect()
}

fn on_schedule(scene: &Scene, session: &Session, reach: &str) {
    let name = format!("reach-{reach}");
    let release = Release::prepare(scene, &name, &session.data());
    let (_, schedule) = soon();
    release.install(json!({
        "applications": NAMES,
        "schedule": schedule,
        "catalog": { "kind": "volume" },
        "config": config(&name, reach),
    }));
    let job = release.first_job_done();
    let ledger = release.ledger();
    for application in NAMES {
        let runs = ledger.runs_of(application);
        assert_eq!(runs.len(), 1, "{application}");
        assert_eq!(runs[0].nominal(), Some(slot(&job)));
        let there = locations(session, &name, application);
        let kept: BTreeSet<_> = ledger.kept(application).into_iter().collect();
        assert_eq!((&kept, kept.len()), (&there, 1), "{application}");
    }
    rights::are_those_used(&release);
}

/// A Job's pod that is killed while a savepoint is under way, and nothing is remembered: Flink knows the trigger
/// id, which the slot determines, and the next pod follows the same savepoint.
fn killed_without_a_catalog(scene: &Scene, session: &Session, job: &JobHandle) {
    const NAME: &str = "forgetful";
    let release = Release::prepare(scene, NAME, &session.data());
    job.control.block(Part::Sync).unwrap();
    let (_, schedule) = soon();
    release.install(json!({
        "applications": [job.name],
        "schedule": schedule,
        "catalog": { "kind": "none" },
        "config": config(NAME, "service"),
    }));
    job.control.wait_blocked(1, LIMIT).unwrap();
    let first = release.running_pod();
    release.kill_program(&first);
    release.wait("the second pod to say something", || {
        let second = release.pods().into_iter().nth(1);
        Ok(second.filter(|pod| !release.log(pod).is_empty()).map(drop))
    });
    job.control.unblock().unwrap();
    let done = release.first_job_done();
    assert_eq!(done["status"]["failed"], 1, "{}", release.story());
    let root = folder(session, NAME).join(&job.name);
    let all = savepoint_directories(&root).unwrap();
    assert_eq!(all.len(), 1, "{all:?}\n{}", release.story());
    assert!(all[0].has_metadata);
    rights::are_those_used(&release);
}

/// A daemon with a fast schedule, whose pod is killed while a savepoint is under way: the next one follows that
/// savepoint to its end, and no slot has two.
fn served(scene: &Scene, session: &Session, reach: &str, job: &JobHandle) {
    const NAME: &str = "served";
    let release = Release::prepare(scene, NAME, &session.data());
    let mut config = config(NAME, reach);
    config["every"] = json!("20s");
    release.install(json!({
        "mode": "serve",
        "applications": [job.name],
        "schedule": "",
        "catalog": { "kind": "volume" },
        "config": config,
    }));
    // One slot without trouble first.
    let complete = || locations(session, NAME, &job.name).len();
    release.wait("a savepoint", || Ok((complete() >= 1).then_some(())));
    job.control.block(Part::Sync).unwrap();
    job.control.wait_blocked(1, LIMIT).unwrap();
    let blocked_at = Timestamp::now();
    let pod = release.running_pod();
    release.kill(&pod);
    job.control.unblock().unwrap();
    // The claim of the dead one lapses, its run is walked to its end, and a new slot is filled.
    release.wait("a savepoint of a later slot", || {
        Ok((complete() >= 3).then_some(()))
    });
    release.stop();

    let ledger = release.ledger();
    let runs = ledger.runs_of(&job.name);
    let slots: BTreeSet<_> = runs.iter().filter_map(|run| run.nominal()).collect();
    assert_eq!(slots.len(), runs.len(), "a slot with two runs");
    let blocked = runs.iter().find(|run| {
        let sent = run.attempts.first().and_then(|attempt| attempt.sent_at);
        sent.is_some_and(|at| at < blocked_at) && run.ended_at.is_some_and(|at| at > blocked_at)
    });
    let blocked = blocked.expect("a run that was under way when its pod was killed");
    assert!(
        matches!(blocked.outcome, Some(Outcome::Kept { .. })),
        "{blocked:?}"
    );
    assert!(runs.iter().all(|run| run.attempts.len() <= 1), "{runs:?}");
    let kept: BTreeSet<_> = ledger.kept(&job.name).into_iter().collect();
    let there = locations(session, NAME, &job.name);
    assert!(kept.is_subset(&there), "{kept:?} {there:?}");
    // The daemon may have been stopped between a savepoint and its proof; no other may lack a run that kept it.
    let open = runs.iter().filter(|run| run.outcome.is_none()).count();
    assert!(there.len() - kept.len() <= open, "{kept:?} {there:?}");
    rights::are_those_used(&release);
}
