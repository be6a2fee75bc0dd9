//! The daemon's pod is deleted while runs are in every phase: each slot is still filled once.
//!
//! One application stands in each phase, held there from outside: `due` by a never-window, `resolving` and `triggering` by replies that do not come, `waiting` by a deployment in transition,
//! `following` by a snapshot that stands still, `verifying` by a file that does not open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use lowtide_core::run::Outcome;
use lowtide_core::savepoint::Standing;
use serde_json::{Value, json};
use testbench::control::Part;
use testbench::flink::JobHandle;
use testbench::kubernetes::left_out;
use testbench::lease::Lease;
use testbench::ververica::{Call, Deed, DeploymentSpec, Fault, SimulatedLocation};

use crate::release::{Release, soon};
use crate::rights;
use crate::scene::{LIMIT, Scene, scene};
use crate::vvp::Vvp;

/// The applications, each with the name of the phase that it stands in.
const PHASES: [&str; 6] = [
    "due",
    "resolving",
    "waiting",
    "triggering",
    "following",
    "verifying",
];

#[test]
fn a_daemon_whose_pod_is_deleted_in_every_phase_fills_each_slot_once() {
    if left_out("a_daemon_whose_pod_is_deleted_in_every_phase_fills_each_slot_once") {
        return;
    }
    let shared = scene();
    thread::scope(|scope| {
        scope.spawn(|| deleted(&shared, "killed", Release::kill));
        scope.spawn(|| deleted(&shared, "stopped", Release::delete));
    });
}

fn deleted<'s>(scene: &'s Scene, how: &str, ends: fn(&Release<'s>, &Value)) {
    let namespace = format!("serve-{how}");
    let release = Release::prepare(scene, &namespace, &scene.flink.savepoint_root());
    let held = Held::new(scene, how);
    let elsewhere = format!("{namespace}-flink");
    let deployments: Vec<String> = held.deployments.values().cloned().collect();
    held.vvp.show_pods(scene, &elsewhere, &deployments);
    held.hold();
    let mut platform = held.vvp.values(scene, &namespace, "pods");
    platform["podsNamespace"] = json!(elsewhere);

    let (slot, schedule) = soon();
    let mut applications = PHASES.map(|name| json!({ "name": name }));
    applications[0]["never"] = json!([never_in_the_minute_of(slot)]);
    release.install(json!({
        "mode": "serve",
        "applications": applications,
        "schedule": schedule,
        "logFormat": "json",
        "platform": platform,
        "catalog": { "kind": "volume" },
        "savepoints": { "paths": scene.paths() },
    }));

    let before = release.running_pod();
    release.wait("each application to stand in its phase", || {
        let said = Said::by(&release, &before);
        Ok(PHASES.iter().all(|name| said.stands(name)).then_some(()))
    });
    ends(&release, &before);
    held.let_go();

    let after = release.running_pod();
    release.wait("all runs to end", || {
        Ok((Said::by(&release, &after).ended() == PHASES.len()).then_some(()))
    });
    release.stop();
    let ledger = release.ledger();
    for name in PHASES {
        let deployment = &held.deployments[name];
        held.vvp.savepoints(deployment, 1);
        assert_eq!(held.vvp.asked(deployment).len(), 1, "{name}");
        let runs = ledger.runs_of(name);
        assert_eq!(runs.len(), 1, "{name}");
        assert_eq!(runs[0].nominal(), Some(slot), "{name}");
        let Some(Outcome::Kept { location }) = &runs[0].outcome else {
            panic!("{name}: {:?}", runs[0].outcome);
        };
        assert_eq!(ledger.standing(location.as_str()), Standing::Kept, "{name}");
    }
    rights::are_those_used(&release);
}

/// A never-window that holds a slot back for a minute.
fn never_in_the_minute_of(slot: Timestamp) -> String {
    let clock = |at: Timestamp| at.strftime("%H:%M").to_string();
    format!("{}-{}", clock(slot), clock(slot + 1.minute()))
}

/// A platform whose deployments hold runs in the phases that they are named after.
struct Held {
    vvp: Vvp,
    deployments: BTreeMap<&'static str, String>,
    following: JobHandle,
    verifying: Lease,
}

impl Held {
    fn new(scene: &Scene, how: &str) -> Self {
        let vvp = Vvp::start(scene);
        let following = scene.job(&format!("following-{how}"));
        let triggering = scene.job(&format!("triggering-{how}"));
        let (location, verifying) = unreadable(&scene.jobs[0].1);
        let deployments = PHASES.map(|name| {
            let (spec, job) = match name {
                "following" => &following,
                // A job has the pods of one deployment only.
                "due" => &scene.jobs[0],
                "resolving" => &scene.jobs[1],
                "waiting" => &scene.jobs[2],
                _ => &triggering,
            };
            let deployment = match name {
                "verifying" => DeploymentSpec::simulated(name, Duration::ZERO)
                    .location(SimulatedLocation::Fixed(location.clone())),
                _ => DeploymentSpec::flink(name, &scene.flink, spec, job),
            };
            (name, vvp.deploy(deployment))
        });
        Self {
            vvp,
            deployments: deployments.into(),
            following: following.1,
            verifying,
        }
    }

    fn hold(&self) {
        let emulator = &self.vvp.emulator;
        let late = |call| Fault::on(call, Deed::DelayReply(LIMIT));
        emulator.fault(
            late(Call::GetDeployment)
                .of(&self.deployments["resolving"])
                .always(),
        );
        emulator.fault(late(Call::CreateSavepoint).of(&self.deployments["triggering"]));
        emulator
            .hold_in_transition(&self.deployments["waiting"], LIMIT)
            .unwrap();
        self.following.control.block(Part::Sync).unwrap();
    }

    fn let_go(&self) {
        let emulator = &self.vvp.emulator;
        emulator.clear_faults();
        emulator
            .hold_in_transition(&self.deployments["waiting"], Duration::ZERO)
            .unwrap();
        self.following.control.unblock().unwrap();
        self.verifying.release();
    }
}

/// A savepoint, and a lease on its `_metadata`: whoever opens it waits until the lease is released.
fn unreadable(job: &JobHandle) -> (String, Lease) {
    let trigger = job.trigger_savepoint("CANONICAL").unwrap();
    let operation = job.wait_savepoint(&trigger, LIMIT).unwrap();
    let location = operation["location"].as_str().unwrap().to_owned();
    let folder = Path::new(location.strip_prefix("file:").unwrap());
    let lease = Lease::take(&folder.join("_metadata")).unwrap();
    (location, lease)
}

/// What a daemon has logged about runs: its lines, as JSON.
struct Said(Vec<Value>);

impl Said {
    fn by(release: &Release<'_>, pod: &Value) -> Self {
        let log = release.log(pod);
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let about_runs = |line: &Value| line["run"].is_string();
        Self(lines.filter(about_runs).collect())
    }

    fn of(&self, name: &str) -> impl DoubleEndedIterator<Item = &Value> {
        let application = format!("vvp/{name}");
        let its = move |line: &&Value| line["application"] == *application;
        self.0.iter().filter(its)
    }

    /// Whether an application has a run in the phase that it is named after. Every run is due at first: what
    /// counts is one that waits for its turn.
    fn stands(&self, phase: &str) -> bool {
        let last = self.of(phase).next_back();
        last.is_some_and(|line| line["phase"] == phase && line["message"] != "claimed")
    }

    /// How many runs have ended.
    fn ended(&self) -> usize {
        let ended = self.0.iter().filter(|line| line["outcome"].is_string());
        ended
            .map(|line| line["run"].to_string())
            .collect::<BTreeSet<_>>()
            .len()
    }
}
