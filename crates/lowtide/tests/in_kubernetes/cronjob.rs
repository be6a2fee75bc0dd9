//! The first users' job, whole: three names, a schedule, a `CronJob` that fires by itself.

use std::collections::BTreeSet;
use std::thread;

use serde_json::json;
use testbench::kubernetes::left_out;

use crate::release::{MOUNTED, NAME, Release, slot};
use crate::rights;
use crate::scene::{NAMES, Scene, scene};
use crate::vvp::{Vvp, marks};

#[test]
fn three_names_get_one_savepoint_each_slot_whichever_way_they_resolve() {
    if left_out("three_names_get_one_savepoint_each_slot_whichever_way_they_resolve") {
        return;
    }
    let shared = scene();
    thread::scope(|scope| {
        scope.spawn(|| three_names(&shared, "pods"));
        scope.spawn(|| three_names(&shared, "api"));
    });
}

fn three_names(scene: &Scene, resolve: &str) {
    let vvp = Vvp::start(scene);
    let deployments = vvp.deploy_all(scene);
    let namespace = format!("cronjob-{resolve}");
    let release = Release::prepare(scene, &namespace, &scene.flink.savepoint_root());
    let mut platform = vvp.values(scene, &namespace, resolve);
    if resolve == "pods" {
        // Flink's pods need not be where Lowtide is.
        let elsewhere = format!("{namespace}-flink");
        vvp.show_pods(scene, &elsewhere, &deployments);
        platform["podsNamespace"] = json!(elsewhere);
    }
    release.install(json!({
        "applications": NAMES,
        "schedule": "*/1 * * * *",
        "platform": platform,
        "catalog": { "kind": "volume" },
        "savepoints": { "paths": scene.paths() },
    }));
    release.first_job_done();
    release.suspend();

    // Each Job is one slot, filled by the first pod, under the chart's own account.
    let jobs = release.jobs();
    let slots: BTreeSet<_> = jobs.iter().map(slot).collect();
    assert_eq!(slots.len(), jobs.len());
    let pods = release.pods();
    assert_eq!(pods.len(), jobs.len(), "{}", release.story());
    for pod in &pods {
        assert_eq!(pod["spec"]["serviceAccountName"], NAME);
        assert_eq!(pod["status"]["phase"], "Succeeded");
    }

    let ledger = release.ledger();
    for (name, deployment) in NAMES.iter().zip(&deployments) {
        let savepoints = vvp.savepoints(deployment, slots.len());
        assert_eq!(vvp.asked(deployment).len(), slots.len());
        assert_eq!(marks(&savepoints).len(), slots.len());
        // Kept means that the pod has read it, where it is mounted.
        let there: BTreeSet<_> = savepoints
            .iter()
            .filter_map(|it| it.location.clone())
            .collect();
        let kept: BTreeSet<_> = ledger.kept(name).into_iter().collect();
        assert_eq!(kept, there, "{name}, read beneath {MOUNTED}");
        let runs = ledger.runs_of(name);
        let filled: BTreeSet<_> = runs.iter().filter_map(|run| run.nominal()).collect();
        assert_eq!(filled, slots, "{name}");
    }
    rights::are_those_used(&release);
}
