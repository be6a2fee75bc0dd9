//! Deployments that are real jobs on a real Flink.

use std::sync::Arc;

use serde_json::{Value, json};
use testbench::flink::{Cluster, JobSpec, Release};
use testbench::http::until;
use testbench::ververica::{DeploymentSpec, Origin, Phase, Profile, State};

use crate::common::{
    CLUSTER, DEPLOYMENTS, LIMIT, SAVEPOINTS, ask, emulator, get, items, one, post, real,
    request_for, take, wait_ended, wait_gone,
};

#[test]
fn a_real_job_leaves_a_real_savepoint_and_loses_it_when_it_is_deleted() {
    let emulator = emulator(Profile::V2_7);
    let (orders, job) = real(&emulator, "emulated-orders");
    let answer = post(&emulator, &orders);
    assert_eq!(answer.status, 201);
    let made = answer.json().unwrap();
    assert_eq!(made["status"]["state"], "STARTED");
    assert_eq!(made["metadata"]["origin"], "USER_REQUEST");
    let job_id = made["metadata"]["jobId"].as_str().unwrap();
    assert_eq!(job_id.replace('-', ""), job.id);
    let ended = wait_ended(&emulator, &made["metadata"]["id"]);
    assert_eq!(ended["status"]["state"], "COMPLETED", "{ended}");
    let location = ended["spec"]["savepointLocation"].as_str().unwrap();
    let folder = std::path::Path::new(location.strip_prefix("file:").unwrap());
    assert!(folder.join("_metadata").is_file(), "{location}");
    assert!(
        CLUSTER
            .savepoint_triggers()
            .unwrap()
            .iter()
            .any(|seen| seen.job_id == job.id)
    );
    let id = ended["metadata"]["id"].as_str().unwrap();
    assert_eq!(
        ask(
            &emulator,
            "DELETE",
            &format!("{SAVEPOINTS}/{id}"),
            &Value::Null
        )
        .status,
        200
    );
    wait_gone(&emulator, id);
    assert!(!folder.exists(), "{location}");
}

#[test]
fn a_real_job_is_suspended_with_a_savepoint_and_resumed_from_it() {
    let emulator = emulator(Profile::V2_7);
    let (payments, job) = real(&emulator, "emulated-payments");
    let path = format!("{DEPLOYMENTS}/emulated-payments");
    let change = |state: &str| {
        ask(
            &emulator,
            "PATCH",
            &path,
            &json!({ "spec": { "state": state } }),
        )
    };
    let answer = change("SUSPENDED").json().unwrap();
    assert_eq!(answer["spec"]["state"], "SUSPENDED");
    emulator
        .wait_state(&payments, State::Suspended, LIMIT)
        .unwrap();
    job.wait_state("FINISHED", LIMIT).unwrap();
    let savepoints = emulator.savepoints(&payments);
    assert_eq!(
        (savepoints.len(), savepoints[0].origin),
        (1, Origin::Suspend)
    );
    assert_eq!(savepoints[0].phase, Phase::Completed);
    assert!(emulator.pods(&payments).is_empty());

    change("RUNNING");
    emulator
        .wait_state(&payments, State::Running, LIMIT)
        .unwrap();
    let again = emulator.job(&payments).unwrap();
    assert_ne!(again.id, job.id);
    let restored = CLUSTER
        .get(&format!("/jobs/{}/checkpoints", again.id))
        .unwrap();
    let from = &restored["latest"]["restored"]["external_path"];
    assert_eq!(from.as_str(), savepoints[0].location.as_deref());
    let jobs = items(&get(
        &emulator,
        &format!("/api/v1/namespaces/default/jobs?deploymentId={payments}"),
    ));
    let states: Vec<_> = jobs
        .iter()
        .map(|job| job["status"]["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["TERMINATED", "STARTED"]);

    change("CANCELLED");
    emulator
        .wait_state(&payments, State::Cancelled, LIMIT)
        .unwrap();
    again.wait_state("CANCELED", LIMIT).unwrap();
    assert_eq!(emulator.savepoints(&payments).len(), 1);
}

#[test]
fn a_savepoint_that_fails_in_flink_tells_flinks_cause() {
    let emulator = emulator(Profile::V2_7);
    let spec = JobSpec::named("emulated-nowhere");
    let job = CLUSTER.submit(&spec).unwrap();
    let deployment = DeploymentSpec::flink("emulated-nowhere", &CLUSTER, &spec, &job)
        .target_directory("file:///proc/none/at/all");
    let id = emulator.deploy(deployment).unwrap();
    let ended = take(&emulator, &id);
    assert_eq!(ended["status"]["state"], "FAILED");
    let failure = &ended["status"]["failure"];
    assert!(
        failure["message"]
            .as_str()
            .unwrap()
            .contains("Failed to create"),
        "{failure}"
    );
    assert!(failure["failedAt"].is_string());

    // Without a savepoint it is not suspended: its job goes on.
    let body = json!({ "spec": { "state": "SUSPENDED" } });
    let path = format!("{DEPLOYMENTS}/emulated-nowhere");
    ask(&emulator, "PATCH", &path, &body);
    until("the suspension to fail", LIMIT, || {
        let found = emulator.savepoints(&id);
        let failed = found
            .iter()
            .any(|it| it.origin == Origin::Suspend && it.phase == Phase::Failed);
        Ok(failed.then_some(()))
    })
    .unwrap();
    emulator.wait_state(&id, State::Running, LIMIT).unwrap();
    assert_eq!(job.state().unwrap(), "RUNNING");
}

#[test]
fn native_format_is_asked_for_where_the_setting_says() {
    let emulator = emulator(Profile::V2_15);
    emulator.set(|it| it.native_field = "/spec/format".to_owned());
    let (fraud, _job) = real(&emulator, "emulated-fraud");
    let mut body = request_for(&fraud);
    body["spec"] = json!({ "format": "NATIVE" });
    let made = ask(&emulator, "POST", SAVEPOINTS, &body).json().unwrap();
    assert_eq!(made["spec"]["format"], "NATIVE");
    let ended = wait_ended(&emulator, &made["metadata"]["id"]);
    assert_eq!(ended["status"]["state"], "COMPLETED", "{ended}");
    let job = emulator.job(&fraud).unwrap().id;
    let triggers = CLUSTER.savepoint_triggers().unwrap();
    let ours = triggers.iter().find(|seen| seen.job_id == job).unwrap();
    assert!(ours.kind.contains("NATIVE"), "{ours:?}");
}

#[test]
fn a_savepoint_outlasts_a_flink_that_is_away_and_fails_when_its_job_is_gone() {
    let cluster = Arc::new(Cluster::builder(Release::V1_20).start().unwrap());
    let emulator = emulator(Profile::V2_7);
    let spec = JobSpec::named("emulated-lost");
    let job = cluster.submit(&spec).unwrap();
    let deployment = DeploymentSpec::flink("emulated-lost", &cluster, &spec, &job);
    let lost = emulator.deploy(deployment).unwrap();
    cluster.kill_job_manager().unwrap();
    let made = post(&emulator, &lost).json().unwrap();
    let id = &made["metadata"]["id"];
    assert_eq!(one(&emulator, id)["status"]["state"], "STARTED");
    cluster.start_job_manager().unwrap();
    // Without high availability the new JobManager knows no job.
    let ended = wait_ended(&emulator, id);
    let message = ended["status"]["failure"]["message"].as_str().unwrap();
    assert!(message.contains("FlinkJobNotFoundException"), "{message}");
}
