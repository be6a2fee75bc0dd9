//! One installation of the chart, and what Kubernetes makes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use testbench::kubernetes::{Node, PodSecurity};

use crate::ledger::Ledger;
use crate::scene::{LIMIT, REPOSITORY, Scene, TAG};

/// The release's name, which its objects and its `ServiceAccount` have too.
pub const NAME: &str = "lowtide";

/// The claim for Flink's savepoints.
const SAVEPOINTS: &str = "flink-savepoints";
/// Where Lowtide's pods mount it: not where Flink has it.
pub const MOUNTED: &str = "/mnt/savepoints";

/// How long Kubernetes waits for a pod that was told to stop, unless the chart's values say otherwise.
const GRACE: Duration = Duration::from_secs(30);

/// For Helm to install a chart on a busy machine, with some to spare: a slot must not pass meanwhile.
const INSTALLED_WITHIN: SignedDuration = SignedDuration::from_secs(20);

/// A namespace for one release of the chart, and the release in it.
#[derive(Debug)]
pub struct Release<'s> {
    scene: &'s Scene,
    /// Its Kubernetes namespace.
    pub namespace: String,
    catalog: PathBuf,
}

impl<'s> Release<'s> {
    /// Makes a namespace that enforces the `restricted` standard, with a claim for `savepoints`, a folder of
    /// this machine, and a volume for a catalog.
    pub fn prepare(scene: &'s Scene, namespace: &str, savepoints: &Path) -> Self {
        let node = &scene.node;
        node.namespace(namespace, PodSecurity::Restricted).unwrap();
        node.claimed_volume(namespace, SAVEPOINTS, savepoints)
            .unwrap();
        let catalog = scene.catalog_folder(namespace);
        let claim = format!("{NAME}-catalog");
        node.volume(namespace, &claim, &catalog, "ReadWriteOncePod")
            .unwrap();
        Self {
            scene,
            namespace: namespace.to_owned(),
            catalog,
        }
    }

    /// The node.
    pub fn node(&self) -> &'s Node {
        &self.scene.node
    }

    /// Installs the chart with these values, beside the image and the claim for savepoints.
    pub fn install(&self, mut values: Value) {
        values["image"] = json!({ "repository": REPOSITORY, "tag": TAG, "pullPolicy": "Never" });
        values["savepoints"]["claim"] = json!(SAVEPOINTS);
        values["savepoints"]["mountPath"] = json!(MOUNTED);
        fs::create_dir_all(&self.catalog).unwrap();
        let file = self.catalog.with_extension("values.json");
        fs::write(&file, values.to_string()).unwrap();
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/lowtide");
        let words: [&std::ffi::OsStr; 7] = [
            "install".as_ref(),
            NAME.as_ref(),
            chart.as_ref(),
            "--namespace".as_ref(),
            self.namespace.as_ref(),
            "--values".as_ref(),
            file.as_ref(),
        ];
        self.node().helm(&words).unwrap();
    }

    /// What the catalog says. No pod may have it open.
    pub fn ledger(&self) -> Ledger {
        Ledger::read(&self.catalog)
    }

    /// The `CronJob`'s Jobs, oldest first.
    pub fn jobs(&self) -> Vec<Value> {
        let mut jobs = self.list("/apis/batch/v1/namespaces/NAMESPACE/jobs");
        jobs.sort_by_key(|job| job["metadata"]["name"].as_str().map(str::to_owned));
        jobs
    }

    /// The pods of the release, oldest first.
    pub fn pods(&self) -> Vec<Value> {
        let query = format!("labelSelector=app.kubernetes.io/instance={NAME}");
        let mut pods = self.list(&format!("/api/v1/namespaces/NAMESPACE/pods?{query}"));
        pods.sort_by_key(|pod| {
            pod["metadata"]["creationTimestamp"]
                .as_str()
                .map(str::to_owned)
        });
        pods
    }

    /// Waits until the only Job there is has succeeded, and returns it.
    ///
    /// # Panics
    /// It failed.
    pub fn first_job_done(&self) -> Value {
        self.wait("a Job to succeed", || {
            let Some(job) = self.jobs().into_iter().next() else {
                return Ok(None);
            };
            let failed = has_condition(&job, "Failed");
            assert!(!failed, "{}\n{}", job["status"], self.story());
            Ok(has_condition(&job, "Complete").then_some(job))
        })
    }

    /// Holds all further slots, and waits until no Job is under way.
    pub fn suspend(&self) {
        self.patch(
            "/apis/batch/v1/namespaces/NAMESPACE/cronjobs/lowtide",
            &json!({ "spec": { "suspend": true } }),
        );
        // The controller may have been about to make one.
        self.wait("all Jobs to end", || {
            let jobs = self.jobs();
            let ended =
                |job: &Value| has_condition(job, "Complete") || has_condition(job, "Failed");
            Ok(jobs.iter().all(ended).then_some(()))
        });
    }

    /// Ends the daemon and waits until its pod is gone.
    pub fn stop(&self) {
        self.patch(
            "/apis/apps/v1/namespaces/NAMESPACE/deployments/lowtide",
            &json!({ "spec": { "replicas": 0 } }),
        );
        self.wait("the daemon to end", || {
            Ok(self.pods().is_empty().then_some(()))
        });
    }

    /// The only pod that is not on its way out, once it runs.
    pub fn running_pod(&self) -> Value {
        self.wait("a pod to run", || {
            let pods = self.pods().into_iter();
            let mut there = pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
            Ok(there.find(|pod| pod["status"]["phase"] == "Running"))
        })
    }

    /// Deletes a pod, as a drained node would, and waits until it is gone.
    ///
    /// # Panics
    /// It does not end by itself when it is told to.
    pub fn delete(&self, pod: &Value) {
        let asked_at = Instant::now();
        self.ask_to_delete(pod, None);
        self.gone(pod);
        let took = asked_at.elapsed();
        assert!(
            took < GRACE,
            "it did not end by itself: gone after {took:?}"
        );
    }

    /// Kills the program in a pod, deletes the pod before it can be started again, and waits until it is gone.
    /// Without the first, a deletion without grace is a SIGTERM and a second to end in.
    pub fn kill(&self, pod: &Value) {
        self.kill_program(pod);
        self.ask_to_delete(pod, Some(0));
        self.gone(pod);
    }

    fn ask_to_delete(&self, pod: &Value, grace_s: Option<u32>) {
        let path = format!("/api/v1/namespaces/{}/pods/{}", self.namespace, name(pod));
        let options = grace_s.map(|seconds| json!({ "gracePeriodSeconds": seconds }));
        let admin = self.node().admin();
        admin.done("DELETE", &path, options.as_ref()).unwrap();
    }

    fn gone(&self, pod: &Value) {
        self.wait("a pod to be gone", || {
            let there = self.pods().iter().any(|it| name(it) == name(pod));
            Ok((!there).then_some(()))
        });
    }

    /// Kills the program in a pod with SIGKILL, as an out-of-memory killer would do it.
    pub fn kill_program(&self, pod: &Value) {
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        let process = self.wait("the pod's process", || process_of(uid));
        kill_process(process, Signal::KILL).unwrap();
    }

    /// What a pod has printed.
    pub fn log(&self, pod: &Value) -> String {
        self.node()
            .logs(&self.namespace, name(pod))
            .unwrap_or_default()
    }

    /// Waits for something, and tells the pods' story if it does not come.
    pub fn wait<T>(&self, what: &str, look: impl Fn() -> Result<Option<T>>) -> T {
        let found = self.node().wait(what, LIMIT, |_| look());
        found.unwrap_or_else(|error| panic!("{error:#}\n{}", self.story()))
    }

    /// All pods and what they printed, for people.
    pub fn story(&self) -> String {
        let pods = self.pods().into_iter().map(|pod| {
            let status = &pod["status"]["containerStatuses"][0]["state"];
            format!("--- {} {status}\n{}", name(&pod), self.log(&pod))
        });
        let events = self.list("/api/v1/namespaces/NAMESPACE/events").into_iter();
        let events = events.map(|it| format!("{}: {}", it["reason"], it["message"]));
        pods.chain(events).collect::<Vec<_>>().join("\n")
    }

    fn list(&self, path: &str) -> Vec<Value> {
        let path = path.replace("NAMESPACE", &self.namespace);
        let list = self.node().admin().get(&path).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    fn patch(&self, path: &str, change: &Value) {
        let path = path.replace("NAMESPACE", &self.namespace);
        let content = "application/merge-patch+json";
        let admin = self.node().admin();
        let (status, said) = admin
            .send_as("PATCH", &path, content, Some(change))
            .unwrap();
        assert_eq!(status, 200, "{said}");
    }
}

/// An object's name.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// The slot that a Job was made for.
pub fn slot(job: &Value) -> Timestamp {
    let annotation = "batch.kubernetes.io/cronjob-scheduled-timestamp";
    let text = job["metadata"]["annotations"][annotation].as_str();
    text.unwrap().parse().unwrap()
}

/// The first whole minute at which a release that is installed now is there, and the cron pattern that is due
/// then and not again for an hour.
pub fn soon() -> (Timestamp, String) {
    let ready = Timestamp::now() + INSTALLED_WITHIN;
    let minute = whole_minute_after(ready);
    let of_hour = minute.to_zoned(TimeZone::UTC).minute();
    (minute, format!("{of_hour} * * * *"))
}

fn whole_minute_after(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(60)).unwrap() + 1.minute()
}

fn has_condition(job: &Value, kind: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    let mut all = conditions.into_iter().flatten();
    all.any(|it| it["type"] == kind && it["status"] == "True")
}

/// The program in the pod with this id, by the id that its process has out here: a pod's processes are in a
/// control group that is named after it.
fn process_of(uid: &str) -> Result<Option<Pid>> {
    for entry in fs::read_dir("/proc")? {
        let folder = entry?.path();
        // Processes come and go while we look.
        let groups = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
        let program = fs::read_to_string(folder.join("comm")).unwrap_or_default();
        if groups.contains(uid) && program.trim() == NAME {
            let id = folder.file_name().and_then(|it| it.to_str()?.parse().ok());
            return Ok(id.and_then(Pid::from_raw));
        }
    }
    Ok(None)
}
