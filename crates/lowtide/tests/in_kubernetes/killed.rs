//! A pod that is killed or deleted between the request for a savepoint and its reply, and the Job's next pod.
//!
//! Three deployments show what can have become of the request: the platform accepted it and kept our mark on
//! the savepoint, it accepted it and dropped the mark, it accepts it later. The last one is where the promise
//! of a release without a catalog ends, and the test shows that it ends there and not before.

use std::thread;

use lowtide_core::run::Outcome;
use lowtide_core::savepoint::Standing;
use serde_json::{Value, json};
use testbench::http::request_with;
use testbench::kubernetes::left_out;
use testbench::ververica::{Annotations, Call, Deed, Fault, Savepoint};

use crate::release::{Release, soon};
use crate::rights;
use crate::scene::{LIMIT, NAMES, Scene, scene};
use crate::vvp::{Vvp, marks};

#[test]
fn a_pod_killed_before_the_reply_leaves_one_savepoint_whatever_is_remembered() {
    if left_out("a_pod_killed_before_the_reply_leaves_one_savepoint_whatever_is_remembered") {
        return;
    }
    let shared = scene();
    thread::scope(|scope| {
        scope.spawn(|| with_a_volume(&shared));
        scope.spawn(|| without_a_catalog(&shared));
    });
}

/// One release whose first pod died.
struct Killed<'s> {
    release: Release<'s>,
    vvp: Vvp,
    marked: String,
    unmarked: String,
    late: String,
}

impl<'s> Killed<'s> {
    /// Installs it, and has the first pod die when it has asked for all three savepoints; one request has
    /// vanished on the way, to arrive later.
    fn new(scene: &'s Scene, catalog: &str, how: fn(&Release<'s>, &Value)) -> Self {
        let vvp = Vvp::start(scene);
        let [marked, unmarked, late] = vvp.deploy_all(scene).try_into().unwrap();
        let emulator = &vvp.emulator;
        emulator
            .set_for(&unmarked, |it| it.annotations = Annotations::Dropped)
            .unwrap();
        for deployment in [&marked, &unmarked] {
            emulator
                .fault(Fault::on(Call::CreateSavepoint, Deed::DelayReply(LIMIT)).of(deployment));
        }
        emulator.fault(Fault::on(Call::CreateSavepoint, Deed::Refuse).of(&late));

        let namespace = format!("killed-{catalog}");
        let release = Release::prepare(scene, &namespace, &scene.flink.savepoint_root());
        let platform = vvp.values(scene, &namespace, "api");
        let (_, schedule) = soon();
        release.install(json!({
            "applications": NAMES,
            "schedule": schedule,
            "platform": platform,
            "catalog": { "kind": catalog },
            "savepoints": { "paths": scene.paths() },
        }));
        release.wait("three requests", || {
            let asked = |it: &String| vvp.asked(it).len();
            Ok((asked(&marked) + asked(&unmarked) + asked(&late) == 3).then_some(()))
        });
        how(&release, &release.running_pod());
        Self {
            release,
            vvp,
            marked,
            unmarked,
            late,
        }
    }

    /// The request that vanished arrives: the very bytes that the first pod sent.
    fn late_request_arrives(&self) {
        let request = &self.vvp.asked(&self.late)[0];
        let headers = [
            ("Content-Type", "application/json"),
            ("Authorization", &*self.vvp.authorization()),
        ];
        let url = self.vvp.emulator.url();
        let answer = request_with(url, "POST", &request.path, &headers, &request.body).unwrap();
        assert_eq!(answer.status, 201);
    }

    /// Waits until the second pod has listed the savepoints of the late deployment.
    fn second_pod_looks(&self) {
        let looked = |it: &Self| it.vvp.seen(Call::ListSavepoints, &it.late).len();
        let before = looked(self);
        self.release.wait("the second pod to look", || {
            Ok((looked(self) > before).then_some(()))
        });
    }

    /// The Job has succeeded with its second pod, and what was accepted in time is one savepoint each.
    fn ends_well(&self) {
        let job = self.release.first_job_done();
        assert_eq!(self.release.jobs().len(), 1);
        assert_eq!(job["status"]["failed"], 1, "{}", self.release.story());
        for deployment in [&self.marked, &self.unmarked] {
            self.vvp.savepoints(deployment, 1);
            assert_eq!(self.vvp.asked(deployment).len(), 1);
        }
        rights::are_those_used(&self.release);
    }
}

fn location(savepoint: &Savepoint) -> &str {
    savepoint.location.as_deref().unwrap()
}

/// The catalog knows that a request was sent: it is never sent again, whenever it arrives.
fn with_a_volume(scene: &Scene) {
    let killed = Killed::new(scene, "volume", Release::kill_program);
    killed.second_pod_looks();
    killed.late_request_arrives();
    killed.ends_well();
    let (release, vvp) = (&killed.release, &killed.vvp);
    assert_eq!(
        vvp.asked(&killed.late).len(),
        2,
        "the one that was sent, and its arrival"
    );
    let ledger = release.ledger();
    let expected = [
        (NAMES[0], &killed.marked, Standing::Kept),
        (NAMES[1], &killed.unmarked, Standing::Foreign),
        (NAMES[2], &killed.late, Standing::Kept),
    ];
    for (name, deployment, standing) in expected {
        let savepoints = vvp.savepoints(deployment, 1);
        let location = location(&savepoints[0]);
        assert_eq!(ledger.kept(name), [location]);
        assert_eq!(ledger.standing(location), standing, "{name}");
        let runs = ledger.runs_of(name);
        assert_eq!((runs.len(), runs[0].attempts.len()), (1, 1), "{name}");
        assert!(matches!(runs[0].outcome, Some(Outcome::Kept { .. })));
    }
}

/// Only the platform can be asked. What it does not show when the second pod looks, 30 s after that began, is
/// asked for again: two savepoints of one slot, with one mark.
fn without_a_catalog(scene: &Scene) {
    let killed = Killed::new(scene, "none", Release::delete);
    let again = || killed.vvp.asked(&killed.late).len() == 2;
    killed
        .release
        .wait("the second request", || Ok(again().then_some(())));
    killed.late_request_arrives();
    killed.ends_well();
    let two = killed.vvp.savepoints(&killed.late, 2);
    assert_eq!(marks(&two).len(), 1);
    assert_ne!(location(&two[0]), location(&two[1]));
}
