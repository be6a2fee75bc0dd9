//! What all these tests use.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::{Value, json};
use testbench::flink::{Cluster, JobHandle, JobSpec, Release};
use testbench::http::{Answer, request_with, until};
use testbench::ververica::{DeploymentSpec, Emulator, Profile};

/// A busy machine, not a slow emulator.
pub const LIMIT: Duration = Duration::from_mins(3);

/// A simulated savepoint that is over at once.
pub const QUICK: Duration = Duration::from_millis(20);

/// A simulated savepoint that is still under way when the test has ended.
pub const SLOW: Duration = Duration::from_mins(10);

pub const SAVEPOINTS: &str = "/api/v1/namespaces/default/savepoints";
pub const DEPLOYMENTS: &str = "/api/v1/namespaces/default/deployments";

pub static CLUSTER: LazyLock<Arc<Cluster>> = LazyLock::new(|| {
    let started = Cluster::builder(Release::V1_20)
        .slots(8)
        .state_in_files()
        .start();
    Arc::new(started.unwrap())
});

pub fn emulator(profile: Profile) -> Emulator {
    Emulator::builder().profile(profile).start().unwrap()
}

pub fn simulated(emulator: &Emulator, name: &str, takes: Duration) -> String {
    emulator
        .deploy(DeploymentSpec::simulated(name, takes))
        .unwrap()
}

/// An emulator of 2.7 with one quick deployment.
pub fn quick() -> (Emulator, String) {
    let emulator = emulator(Profile::V2_7);
    let orders = simulated(&emulator, "orders", QUICK);
    (emulator, orders)
}

pub fn real(emulator: &Emulator, name: &str) -> (String, JobHandle) {
    let spec = JobSpec::named(name);
    let job = CLUSTER.submit(&spec).unwrap();
    let deployment = DeploymentSpec::flink(name, &CLUSTER, &spec, &job);
    (emulator.deploy(deployment).unwrap(), job)
}

pub fn ask(emulator: &Emulator, method: &str, path: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/json")];
    request_with(
        emulator.url(),
        method,
        path,
        &headers,
        body.to_string().as_bytes(),
    )
    .unwrap()
}

pub fn get(emulator: &Emulator, path: &str) -> Answer {
    ask(emulator, "GET", path, &Value::Null)
}

pub fn request_for(deployment: &str) -> Value {
    json!({
        "kind": "Savepoint", "apiVersion": "v1",
        "metadata": { "deploymentId": deployment, "annotations": { "lowtide": "run-1" } },
    })
}

pub fn post(emulator: &Emulator, deployment: &str) -> Answer {
    ask(emulator, "POST", SAVEPOINTS, &request_for(deployment))
}

pub fn one(emulator: &Emulator, id: &Value) -> Value {
    get(emulator, &format!("{SAVEPOINTS}/{}", id.as_str().unwrap()))
        .json()
        .unwrap()
}

/// Takes a savepoint and waits for its end.
pub fn take(emulator: &Emulator, deployment: &str) -> Value {
    let made = post(emulator, deployment).json().unwrap();
    wait_ended(emulator, &made["metadata"]["id"])
}

pub fn wait_ended(emulator: &Emulator, id: &Value) -> Value {
    until("the savepoint to end", LIMIT, || {
        let seen = one(emulator, id);
        let state = &seen["status"]["state"];
        Ok((state == "COMPLETED" || state == "FAILED").then_some(seen))
    })
    .unwrap()
}

pub fn wait_gone(emulator: &Emulator, id: &str) {
    until("the savepoint to be gone", LIMIT, || {
        let status = get(emulator, &format!("{SAVEPOINTS}/{id}")).status;
        Ok((status == 404).then_some(()))
    })
    .unwrap();
}

pub fn items(answer: &Answer) -> Vec<Value> {
    answer.json().unwrap()["items"].as_array().unwrap().clone()
}

pub fn message(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["message"].as_str().unwrap().to_owned()
}
