//! The emulator keeps to the published facts of each release, and every setting and fault is seen on the wire.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbench::flink::{Cluster, JobHandle, JobSpec, Release};
use testbench::http::{self, Answer, request_with, until};
use testbench::ververica::{
    Annotations, Call, Deed, Deletion, DeploymentSpec, Emulator, ErrorBody, Fault,
    FlinkSavepointId, ListOrder, MadeBy, NotRunning, Origin, Phase, Profile, Role, SecondSavepoint,
    SimulatedLocation, State, Unauthenticated,
};

/// A busy machine, not a slow emulator.
const LIMIT: Duration = Duration::from_mins(1);

/// A simulated savepoint that is over at once.
const QUICK: Duration = Duration::from_millis(20);

/// A simulated savepoint that is still under way when the test has ended.
const SLOW: Duration = Duration::from_mins(10);

const SAVEPOINTS: &str = "/api/v1/namespaces/default/savepoints";
const DEPLOYMENTS: &str = "/api/v1/namespaces/default/deployments";

static CLUSTER: LazyLock<Arc<Cluster>> = LazyLock::new(|| {
    let started = Cluster::builder(Release::V1_20)
        .slots(8)
        .state_in_files()
        .start();
    Arc::new(started.unwrap())
});

fn emulator(profile: Profile) -> Emulator {
    Emulator::builder().profile(profile).start().unwrap()
}

fn simulated(emulator: &Emulator, name: &str, takes: Duration) -> String {
    emulator
        .deploy(DeploymentSpec::simulated(name, takes))
        .unwrap()
}

/// An emulator of 2.7 with one quick deployment.
fn quick() -> (Emulator, String) {
    let emulator = emulator(Profile::V2_7);
    let orders = simulated(&emulator, "orders", QUICK);
    (emulator, orders)
}

fn real(emulator: &Emulator, name: &str) -> (String, JobHandle) {
    let spec = JobSpec::named(name);
    let job = CLUSTER.submit(&spec).unwrap();
    let deployment = DeploymentSpec::flink(name, &CLUSTER, &spec, &job);
    (emulator.deploy(deployment).unwrap(), job)
}

fn ask(emulator: &Emulator, method: &str, path: &str, body: &Value) -> Answer {
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

fn get(emulator: &Emulator, path: &str) -> Answer {
    ask(emulator, "GET", path, &Value::Null)
}

fn request_for(deployment: &str) -> Value {
    json!({
        "kind": "Savepoint", "apiVersion": "v1",
        "metadata": { "deploymentId": deployment, "annotations": { "lowtide": "run-1" } },
    })
}

fn post(emulator: &Emulator, deployment: &str) -> Answer {
    ask(emulator, "POST", SAVEPOINTS, &request_for(deployment))
}

fn one(emulator: &Emulator, id: &Value) -> Value {
    get(emulator, &format!("{SAVEPOINTS}/{}", id.as_str().unwrap()))
        .json()
        .unwrap()
}

/// Takes a savepoint and waits for its end.
fn take(emulator: &Emulator, deployment: &str) -> Value {
    let made = post(emulator, deployment).json().unwrap();
    wait_ended(emulator, &made["metadata"]["id"])
}

fn wait_ended(emulator: &Emulator, id: &Value) -> Value {
    until("the savepoint to end", LIMIT, || {
        let seen = one(emulator, id);
        let state = &seen["status"]["state"];
        Ok((state == "COMPLETED" || state == "FAILED").then_some(seen))
    })
    .unwrap()
}

fn wait_gone(emulator: &Emulator, id: &str) {
    until("the savepoint to be gone", LIMIT, || {
        let status = get(emulator, &format!("{SAVEPOINTS}/{id}")).status;
        Ok((status == 404).then_some(()))
    })
    .unwrap();
}

fn items(answer: &Answer) -> Vec<Value> {
    answer.json().unwrap()["items"].as_array().unwrap().clone()
}

fn message(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["message"].as_str().unwrap().to_owned()
}

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
fn release_2_1_knows_ids_only_and_deletes_nothing() {
    let emulator = emulator(Profile::V2_1);
    let name = "SELECT * FROM orders";
    let (first, second) = (
        simulated(&emulator, name, QUICK),
        simulated(&emulator, name, QUICK),
    );
    assert_ne!(first, second);
    let listed = items(&get(&emulator, DEPLOYMENTS));
    assert!(listed.len() == 2 && listed.iter().all(|it| it["metadata"]["name"] == name));
    assert!(listed[0]["metadata"].get("displayName").is_none());
    assert_eq!(get(&emulator, &format!("{DEPLOYMENTS}/orders")).status, 400);
    assert_eq!(
        get(&emulator, &format!("{DEPLOYMENTS}/{first}")).status,
        200
    );

    let ended = take(&emulator, &first);
    assert!(ended["metadata"].get("type").is_none(), "{ended}");
    let path = format!("{SAVEPOINTS}/{}", ended["metadata"]["id"].as_str().unwrap());
    for status in [405, 404] {
        emulator.set(|it| it.absent_method_status = status);
        assert_eq!(ask(&emulator, "DELETE", &path, &Value::Null).status, status);
    }
    assert_eq!(get(&emulator, &path).status, 200);

    emulator.upgrade(&second);
    until("an upgrade's savepoint", LIMIT, || {
        let found = emulator.savepoints(&second);
        Ok(found
            .iter()
            .any(|it| it.origin == Origin::SuspendAndUpgrade)
            .then_some(()))
    })
    .unwrap();
    emulator.rename(&first, "other").unwrap();
    let renamed = get(&emulator, &format!("{DEPLOYMENTS}/{first}"))
        .json()
        .unwrap();
    assert_eq!(renamed["metadata"]["name"], "other");
}

#[test]
fn later_releases_know_names_after_ids() {
    for profile in [Profile::V2_7, Profile::V2_15] {
        let emulator = emulator(profile);
        let orders = simulated(&emulator, "orders", QUICK);
        // A name that is another one's id: the id wins.
        let confusing = simulated(&emulator, &orders, QUICK);
        for key in [&orders, &"orders".to_owned()] {
            let found = get(&emulator, &format!("{DEPLOYMENTS}/{key}"))
                .json()
                .unwrap();
            assert_eq!(found["metadata"]["id"], orders.as_str());
        }
        emulator.remove(&orders).unwrap();
        let found = get(&emulator, &format!("{DEPLOYMENTS}/{orders}"))
            .json()
            .unwrap();
        assert_eq!(found["metadata"]["id"], confusing.as_str());
        assert_eq!(get(&emulator, &format!("{DEPLOYMENTS}/orders")).status, 404);
        assert!(
            emulator
                .deploy(DeploymentSpec::simulated("Two Words", QUICK))
                .is_err()
        );
        assert!(
            emulator
                .deploy(DeploymentSpec::simulated(&orders, QUICK))
                .is_err()
        );
        assert!(emulator.rename(&confusing, "plain").is_err());
        assert_eq!(take(&emulator, &confusing)["metadata"]["type"], "FULL");
        let info = get(&emulator, "/api/v1/status/system-info").json().unwrap();
        let version = &info["status"]["revisionInformation"]["buildVersion"];
        assert_eq!(version, profile.version());
        assert_eq!(get(&emulator, "/api/v1/status").status, 200);
    }
}

#[test]
fn deployments_are_listed_by_label_and_savepoints_by_owner() {
    let emulator = emulator(Profile::V2_7);
    let deploy = |name: &str, team: &str| {
        let spec = DeploymentSpec::simulated(name, QUICK).label("team", team);
        emulator.deploy(spec).unwrap()
    };
    let (orders, _payments) = (deploy("orders", "a"), deploy("payments", "b"));
    let names = |query: &str| -> Vec<String> {
        let found = items(&get(&emulator, &format!("{DEPLOYMENTS}{query}")));
        found
            .iter()
            .map(|it| it["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(""), ["orders", "payments"]);
    assert_eq!(names("?labelSelector=team%3Db"), ["payments"]);
    assert_eq!(
        names("?labelSelector=team%20in%20(a,b),team!=b"),
        ["orders"]
    );
    assert_eq!(
        get(&emulator, &format!("{DEPLOYMENTS}?labelSelector=a%20b")).status,
        400
    );

    let taken = take(&emulator, &orders);
    let job = taken["metadata"]["jobId"].as_str().unwrap();
    for (query, expected) in [
        (String::new(), 1),
        (format!("?deploymentId={orders}"), 1),
        (format!("?jobId={job}"), 1),
        (format!("?deploymentId={job}"), 0),
        (format!("?jobId={orders}"), 0),
    ] {
        let found = items(&get(&emulator, &format!("{SAVEPOINTS}{query}")));
        assert_eq!(found.len(), expected, "{query}");
    }
    assert_eq!(
        get(&emulator, &format!("{SAVEPOINTS}?deploymentId=x")).status,
        400
    );
    let events = items(&get(
        &emulator,
        &format!("/api/v1/namespaces/default/events?jobId={job}"),
    ));
    let names: BTreeSet<_> = events
        .iter()
        .filter_map(|it| it["metadata"]["name"].as_str())
        .collect();
    assert!(names.contains("TRANSITIONED_TO_COMPLETED"), "{names:?}");
    let shown = get(&emulator, &format!("/api/v1/namespaces/default/jobs/{job}"))
        .json()
        .unwrap();
    assert_eq!(shown["metadata"]["deploymentName"], "orders");
    assert_eq!(
        get(&emulator, "/api/v1/namespaces/other/savepoints").status,
        404
    );
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let (emulator, orders) = quick();
    let refused = |body: &Value| ask(&emulator, "POST", SAVEPOINTS, body).status;
    assert_eq!(refused(&json!({})), 400);
    assert_eq!(
        refused(&json!({ "metadata": { "deploymentId": "orders" } })),
        400
    );
    let other = "00000000-0000-4000-8000-000000000000";
    assert_eq!(post(&emulator, other).status, 404);
    let broken = request_with(
        emulator.url(),
        "POST",
        SAVEPOINTS,
        &[("Content-Type", "application/json")],
        b"{",
    );
    assert_eq!(broken.unwrap().status, 400);
    let untyped = request_with(emulator.url(), "POST", SAVEPOINTS, &[], b"{}");
    assert_eq!(untyped.unwrap().status, 415);
    let path = format!("{DEPLOYMENTS}/orders");
    let body = json!({ "spec": { "state": "TRANSITIONING" } });
    assert_eq!(ask(&emulator, "PATCH", &path, &body).status, 400);
    assert_eq!(get(&emulator, "/api/v3/orders").status, 404);
    assert!(emulator.savepoints(&orders).is_empty());
}

#[test]
fn tokens_are_of_a_namespace_and_a_role() {
    let emulator = Emulator::builder()
        .bearer()
        .namespace("prod")
        .start()
        .unwrap();
    let orders = simulated(&emulator, "orders", QUICK);
    let viewer = emulator.token("default", Role::Viewer).unwrap();
    let editor = emulator.token("default", Role::Editor).unwrap();
    let owner = emulator.token("default", Role::Owner).unwrap();
    let stranger = emulator.token("prod", Role::Owner).unwrap();
    let call = |secret: Option<&str>, method: &str, path: &str, body: &Value| {
        let bearer = secret.map(|secret| format!("Bearer {secret}"));
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
        request_with(
            emulator.url(),
            method,
            path,
            &headers,
            body.to_string().as_bytes(),
        )
        .unwrap()
    };
    for (secret, read, write) in [
        (None, 401, 401),
        (Some("wrong"), 401, 401),
        (Some(viewer.as_str()), 200, 403),
        (Some(editor.as_str()), 200, 201),
        (Some(owner.as_str()), 200, 201),
        (Some(stranger.as_str()), 403, 403),
    ] {
        assert_eq!(call(secret, "GET", DEPLOYMENTS, &Value::Null).status, read);
        let posted = call(secret, "POST", SAVEPOINTS, &request_for(&orders));
        assert_eq!(posted.status, write);
    }
    assert_eq!(emulator.savepoints(&orders).len(), 2);
    let roles: Vec<_> = emulator.requests().iter().map(|seen| seen.role).collect();
    assert_eq!(
        roles[4..8],
        [Some(Role::Viewer); 2]
            .into_iter()
            .chain([Some(Role::Editor); 2])
            .collect::<Vec<_>>()
    );

    let tokens = "/apitokens/v1/namespaces/default/apitokens";
    let body = json!({ "name": "namespaces/default/apitokens/ci", "role": "viewer" });
    assert_eq!(call(Some(&editor), "POST", tokens, &body).status, 403);
    let made = call(Some(&owner), "POST", tokens, &body).json().unwrap();
    let secret = made["apiToken"]["secret"].as_str().unwrap();
    assert_eq!(
        call(Some(secret), "GET", DEPLOYMENTS, &Value::Null).status,
        200
    );
    let listed = call(Some(&owner), "GET", tokens, &Value::Null);
    assert!(!String::from_utf8_lossy(&listed.body).contains(secret));
    let path = format!("{tokens}/ci");
    assert_eq!(call(Some(&owner), "GET", &path, &Value::Null).status, 200);
    assert_eq!(
        call(Some(&owner), "DELETE", &path, &Value::Null).status,
        200
    );
    assert_eq!(
        call(Some(secret), "GET", DEPLOYMENTS, &Value::Null).status,
        401
    );
    emulator.revoke(&editor);
    assert_eq!(
        call(Some(&editor), "GET", DEPLOYMENTS, &Value::Null).status,
        401
    );
    let namespaces = call(
        Some(&owner),
        "GET",
        "/namespaces/v1/namespaces",
        &Value::Null,
    )
    .json()
    .unwrap();
    assert_eq!(namespaces["namespaces"].as_array().unwrap().len(), 2);
}

#[test]
fn a_gateway_may_send_strangers_to_a_login_page() {
    let emulator = Emulator::builder().bearer().start().unwrap();
    for (way, status) in [
        (Unauthenticated::Json, 401),
        (Unauthenticated::RedirectToLogin, 302),
        (Unauthenticated::LoginPage, 200),
    ] {
        emulator.set(|it| it.unauthenticated = way);
        let answer = get(&emulator, DEPLOYMENTS);
        assert_eq!(answer.status, status);
        let html = answer.body.starts_with(b"<!DOCTYPE html>");
        assert_eq!(html, way != Unauthenticated::Json);
    }
    assert_eq!(get(&emulator, "/login").status, 200);
}

#[test]
fn the_community_edition_has_one_namespace_and_no_tokens() {
    let (emulator, _orders) = quick();
    assert_eq!(
        get(&emulator, "/apitokens/v1/namespaces/default/apitokens").status,
        404
    );
    let listed = get(&emulator, "/namespaces/v1/namespaces").json().unwrap();
    assert_eq!(listed["namespaces"][0]["name"], "namespaces/default");
    assert!(emulator.token("default", Role::Viewer).is_err());
    assert!(Emulator::builder().namespace("prod").start().is_err());
}

#[test]
fn faults_before_creation_make_nothing() {
    let (emulator, orders) = quick();
    for deed in [400, 404, 409, 500, 503]
        .map(Deed::Answer)
        .into_iter()
        .chain([Deed::Html(502)])
    {
        let (status, html) = match deed {
            Deed::Answer(status) => (status, false),
            Deed::Html(status) => (status, true),
            _ => unreachable!("only these two are in the list"),
        };
        let fired = emulator.fault(Fault::on(Call::CreateSavepoint, deed).of(&orders));
        let answer = post(&emulator, &orders);
        assert_eq!((answer.status, fired.count()), (status, 1));
        assert_eq!(answer.body.starts_with(b"<!DOCTYPE html>"), html);
    }
    emulator.fault(Fault::on(Call::CreateSavepoint, Deed::Refuse));
    assert!(http::send(emulator.url(), "POST", SAVEPOINTS, &request_for(&orders)).is_err());
    assert!(emulator.savepoints(&orders).is_empty());
    assert_eq!(post(&emulator, &orders).status, 201);
    assert_eq!(emulator.count(Call::CreateSavepoint), 8);
}

#[test]
fn faults_after_creation_leave_a_savepoint() {
    let (emulator, orders) = quick();
    let send = || http::send(emulator.url(), "POST", SAVEPOINTS, &request_for(&orders));
    emulator.fault(Fault::on(Call::CreateSavepoint, Deed::LoseReply).skip(1));
    assert!(send().is_ok());
    let lost = send().unwrap_err();
    assert!(
        format!("{lost:#}").contains("closed") || format!("{lost:#}").contains("reset"),
        "{lost:#}"
    );
    assert_eq!(emulator.savepoints(&orders).len(), 2);
    assert_eq!(emulator.requests().last().unwrap().status, None);

    emulator.fault(Fault::on(Call::CreateSavepoint, Deed::AnswerAfter(504)));
    assert_eq!(post(&emulator, &orders).status, 504);
    assert_eq!(emulator.savepoints(&orders).len(), 3);

    let late = Duration::from_millis(300);
    emulator.fault(Fault::on(Call::CreateSavepoint, Deed::AcceptLate(late)));
    let started = Instant::now();
    assert!(send().is_err());
    assert_eq!(emulator.savepoints(&orders).len(), 3);
    until("the late savepoint", LIMIT, || {
        Ok((emulator.savepoints(&orders).len() == 4).then_some(()))
    })
    .unwrap();
    assert!(started.elapsed() >= late);
}

#[test]
fn a_delayed_reply_comes_after_its_savepoint() {
    let (emulator, orders) = quick();
    let delay = Duration::from_secs(2);
    let fired = emulator.fault(Fault::on(Call::CreateSavepoint, Deed::DelayReply(delay)));
    let started = Instant::now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| post(&emulator, &orders).status);
        until("the savepoint to complete", LIMIT, || {
            let found = emulator.savepoints(&orders);
            Ok(found
                .iter()
                .any(|it| it.phase == Phase::Completed)
                .then_some(()))
        })
        .unwrap();
        assert_eq!((waiting.join().unwrap(), fired.count()), (201, 1));
    });
    assert!(started.elapsed() >= delay);
    assert!(emulator.requests()[0].took.unwrap() >= delay);
}

#[test]
fn faults_concern_the_call_and_the_deployment_they_are_told() {
    let emulator = emulator(Profile::V2_7);
    let (orders, payments) = (
        simulated(&emulator, "orders", QUICK),
        simulated(&emulator, "payments", QUICK),
    );
    let fired = emulator.fault(
        Fault::on(Call::GetDeployment, Deed::Answer(500))
            .of(&orders)
            .times(2),
    );
    let status = |key: &str| get(&emulator, &format!("{DEPLOYMENTS}/{key}")).status;
    assert_eq!(
        [
            status("payments"),
            status("orders"),
            status(&orders),
            status(&orders)
        ],
        [200, 500, 500, 200]
    );
    assert_eq!(fired.count(), 2);
    emulator.fault(Fault::on_any(Deed::Html(200)).always());
    assert!(
        get(&emulator, SAVEPOINTS)
            .body
            .starts_with(b"<!DOCTYPE html>")
    );
    emulator.clear_faults();
    assert_eq!(post(&emulator, &payments).status, 201);
}

#[test]
fn a_savepoint_may_get_stuck_or_fail() {
    let (emulator, orders) = quick();
    let (reason, message) = ("Checkpoint".to_owned(), "expired".to_owned());
    emulator.fault(Fault::on(
        Call::CreateSavepoint,
        Deed::Fail { reason, message },
    ));
    let failed = take(&emulator, &orders);
    assert_eq!(failed["status"]["state"], "FAILED");
    assert_eq!(failed["status"]["failure"]["reason"], "Checkpoint");
    assert!(failed["spec"].get("savepointLocation").is_none());

    // A lost reply and a stuck savepoint meet in one request.
    emulator.fault(Fault::on(Call::CreateSavepoint, Deed::Stick));
    emulator.fault(Fault::on(Call::CreateSavepoint, Deed::LoseReply));
    assert!(http::send(emulator.url(), "POST", SAVEPOINTS, &request_for(&orders)).is_err());
    let stuck = emulator.savepoints(&orders).pop().unwrap();
    take(&emulator, &orders);
    let still = &one(&emulator, &json!(stuck.id));
    assert_eq!(still["status"]["state"], "STARTED");
}

#[test]
fn a_deployment_that_does_not_run_refuses_or_fails() {
    let emulator = emulator(Profile::V2_7);
    let spec = DeploymentSpec::simulated("orders", QUICK).state(State::Suspended);
    let orders = emulator.deploy(spec).unwrap();
    let failed = take(&emulator, &orders);
    assert_eq!(failed["status"]["state"], "FAILED");
    assert_eq!(failed["metadata"]["jobId"], Value::Null);
    emulator.set(|it| it.not_running = NotRunning::Refused);
    let refused = post(&emulator, &orders);
    assert_eq!(refused.status, 400);
    assert!(message(&refused).contains("SUSPENDED"));
    assert_eq!(emulator.savepoints(&orders).len(), 1);

    emulator.force_state(&orders, State::Running).unwrap();
    emulator.hold_in_transition(&orders, SLOW).unwrap();
    let shown = get(&emulator, &format!("{DEPLOYMENTS}/orders"))
        .json()
        .unwrap();
    assert_eq!(shown["status"], json!({ "state": "TRANSITIONING" }));
    assert_eq!(post(&emulator, &orders).status, 400);
    emulator
        .hold_in_transition(&orders, Duration::ZERO)
        .unwrap();
    assert_eq!(take(&emulator, &orders)["status"]["state"], "COMPLETED");
    emulator.force_state(&orders, State::Failed).unwrap();
    assert_eq!(emulator.state(&orders).unwrap(), State::Failed);
    assert_eq!(post(&emulator, &orders).status, 400);
}

#[test]
fn a_second_savepoint_is_accepted_refused_or_queued() {
    let emulator = emulator(Profile::V2_7);
    let takes = Duration::from_millis(200);
    let both = |second: SecondSavepoint| {
        let name = format!("{second:?}").to_lowercase();
        let id = simulated(&emulator, &name, takes);
        emulator
            .set_for(&id, |it| it.second_savepoint = second)
            .unwrap();
        let started = Instant::now();
        let (_, answer) = (post(&emulator, &id), post(&emulator, &id));
        until("both to end", LIMIT, || {
            let found = emulator.savepoints(&id);
            Ok(found
                .iter()
                .all(|it| it.phase == Phase::Completed)
                .then_some(()))
        })
        .unwrap();
        (
            answer.status,
            emulator.savepoints(&id).len(),
            started.elapsed(),
        )
    };
    assert_eq!(both(SecondSavepoint::Refused).0, 409);
    let (status, count, took) = both(SecondSavepoint::Queued);
    assert_eq!((status, count), (201, 2));
    assert!(took >= 2 * takes, "{took:?}");
    assert_eq!(both(SecondSavepoint::Accepted).1, 2);
}

#[test]
fn deletion_has_prerequisites_and_force_has_none() {
    let scratch = tempfile::tempdir().unwrap();
    let (template, into) = (scratch.path().join("template"), scratch.path().join("into"));
    std::fs::create_dir(&template).unwrap();
    std::fs::write(template.join("_metadata"), "x").unwrap();
    let emulator = emulator(Profile::V2_7);
    let location = SimulatedLocation::CopyOf { template, into };
    let spec = DeploymentSpec::simulated("orders", QUICK).location(location);
    let orders = emulator.deploy(spec).unwrap();
    let make = || {
        let made = take(&emulator, &orders);
        let place = made["spec"]["savepointLocation"]
            .as_str()
            .unwrap()
            .to_owned();
        (made["metadata"]["id"].as_str().unwrap().to_owned(), place)
    };
    let delete = |id: &str, force: bool| {
        let query = if force { "?force=true" } else { "" };
        ask(
            &emulator,
            "DELETE",
            &format!("{SAVEPOINTS}/{id}{query}"),
            &Value::Null,
        )
        .status
    };
    let exists = |place: &str| std::path::Path::new(&place["file:".len()..]).exists();
    let wait_phase = |id: &str, phase: Phase| {
        until("the phase", LIMIT, || {
            let found = emulator.savepoints(&orders);
            Ok(found
                .iter()
                .any(|it| it.id == id && it.phase == phase)
                .then_some(()))
        })
        .unwrap();
    };

    // A failed deletion may be asked for again.
    let (first, place) = make();
    emulator.set(|it| it.deletion = Deletion::Fails);
    emulator.set(|it| it.deleted_status = 204);
    assert_eq!(delete(&first, false), 204);
    wait_phase(&first, Phase::FailedDeletion);
    assert!(one(&emulator, &json!(first))["status"]["failure"]["message"].is_string());
    emulator.set(|it| it.deletion = Deletion::Goes);
    delete(&first, false);
    wait_gone(&emulator, &first);
    assert!(!exists(&place));

    // What another savepoint points to stays until that one goes.
    let (second, place) = make();
    let mut body = request_for(&orders);
    body["spec"] = json!({ "savepointLocation": place });
    let copy = ask(&emulator, "POST", SAVEPOINTS, &body).json().unwrap();
    assert_eq!(copy["metadata"]["origin"], "COPIED");
    assert_eq!(copy["status"]["state"], "COMPLETED");
    delete(&second, false);
    wait_phase(&second, Phase::PendingDeletion);
    assert!(exists(&place));
    delete(copy["metadata"]["id"].as_str().unwrap(), false);
    wait_gone(&emulator, &second);
    wait_gone(&emulator, copy["metadata"]["id"].as_str().unwrap());
    assert!(!exists(&place));

    // Not eligible, until it is; or with force.
    emulator.set(|it| it.deletion = Deletion::StaysPending);
    let ((third, _), (fourth, place)) = (make(), make());
    delete(&third, false);
    wait_phase(&third, Phase::PendingDeletion);
    emulator.set(|it| it.force_leaves_data = true);
    delete(&fourth, true);
    assert_eq!(
        get(&emulator, &format!("{SAVEPOINTS}/{fourth}")).status,
        404
    );
    assert!(exists(&place));
    emulator.set(|it| it.deletion = Deletion::Goes);
    wait_gone(&emulator, &third);
    assert_eq!(delete(&third, false), 404);
}

#[test]
fn errors_have_the_shape_that_the_setting_says() {
    let (emulator, _orders) = quick();
    let shape = |body: ErrorBody| {
        emulator.set(|it| it.error_body = body);
        let answer = get(&emulator, &format!("{DEPLOYMENTS}/none"));
        assert_eq!(answer.status, 404);
        String::from_utf8(answer.body).unwrap()
    };
    assert_eq!(
        shape(ErrorBody::Message),
        "{\"message\":\"Deployment none not found\"}"
    );
    assert!(shape(ErrorBody::MessageAndDetails).contains("\"details\":[]"));
    assert_eq!(shape(ErrorBody::Text), "Deployment none not found");
    assert_eq!(shape(ErrorBody::Empty), "");
}

#[test]
fn what_a_client_cannot_know_is_everywhere_when_told() {
    let (emulator, orders) = quick();
    emulator.set(|it| {
        it.unknown_fields = true;
        it.unknown_values = true;
        it.flink_savepoint_id = FlinkSavepointId::Object;
        it.created_status = 200;
    });
    let slow = simulated(&emulator, "slow", SLOW);
    let answer = post(&emulator, &slow);
    let made = answer.json().unwrap();
    assert_eq!(
        (answer.status, &made["status"]["state"]),
        (200, &json!("PREPARING"))
    );
    assert_eq!(made["unheardOf"]["kind"], "SURPRISE");
    assert_eq!(
        made["metadata"]["annotations"],
        json!({ "lowtide": "run-1" })
    );
    let ended = take(&emulator, &orders);
    assert_eq!(ended["metadata"]["type"], "SEGMENTED");
    assert!(
        ended["spec"]["flinkSavepointId"]["uuid"].is_string(),
        "{ended}"
    );
    let listed = items(&get(
        &emulator,
        &format!("{SAVEPOINTS}?deploymentId={orders}"),
    ));
    assert!(
        listed
            .iter()
            .any(|it| it["metadata"]["origin"] == "SCHEDULED"),
        "{listed:?}"
    );
    assert_eq!(emulator.savepoints(&orders).len(), 1);
}

#[test]
fn annotations_may_be_dropped_and_lists_shuffled() {
    let (emulator, orders) = quick();
    emulator.set(|it| it.annotations = Annotations::Dropped);
    let made = post(&emulator, &orders).json().unwrap();
    assert_eq!(made["metadata"]["annotations"], json!({}));
    let kept = emulator.savepoints(&orders);
    assert_eq!(kept[0].annotations_sent["lowtide"], "run-1");
    let foreign = emulator.take_foreign(&orders).unwrap();
    let found = emulator.savepoints(&orders);
    assert!(found[1].id == foreign && found[1].made_by == MadeBy::Foreign);

    for _ in 0..8 {
        post(&emulator, &orders);
    }
    let listed = || -> Vec<String> {
        let found = items(&get(&emulator, SAVEPOINTS));
        found
            .iter()
            .map(|it| it["metadata"]["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let oldest_first = listed();
    emulator.set(|it| it.list_order = ListOrder::Newest);
    assert!(listed().iter().eq(oldest_first.iter().rev()));
    emulator.set(|it| it.list_order = ListOrder::Shuffled);
    until("another order", LIMIT, || {
        Ok((listed() != oldest_first).then_some(()))
    })
    .unwrap();
    let mut sorted = listed();
    let mut expected = oldest_first.clone();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
}

#[test]
fn the_clock_may_differ_from_ours() {
    let (emulator, orders) = quick();
    emulator.set(|it| it.clock_ahead_ms = -86_400_000);
    let made = post(&emulator, &orders).json().unwrap();
    let created: jiff::Timestamp = made["metadata"]["createdAt"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let behind = jiff::Timestamp::now().duration_since(created);
    assert!((86_400..86_460).contains(&behind.as_secs()), "{behind:?}");
}

#[test]
fn a_cancelled_job_may_leave_a_checkpoint() {
    let (emulator, orders) = quick();
    emulator.set(|it| it.retained_checkpoint = Some("file:/checkpoints/chk-7".to_owned()));
    let body = json!({ "spec": { "state": "CANCELLED" } });
    ask(&emulator, "PATCH", &format!("{DEPLOYMENTS}/orders"), &body);
    emulator
        .wait_state(&orders, State::Cancelled, LIMIT)
        .unwrap();
    let left = emulator.savepoints(&orders).pop().unwrap();
    assert_eq!(
        (left.origin, left.phase),
        (Origin::RetainedCheckpoint, Phase::Completed)
    );
}

#[test]
fn pods_carry_the_labels_and_two_generations_carry_two_jobs() {
    let emulator = emulator(Profile::V2_1);
    let name = "My Deployment Name";
    let mine = simulated(&emulator, name, QUICK);
    let before = emulator.job_id(&mine).unwrap();
    emulator.upgrade(&mine);
    until("the new job", LIMIT, || {
        let job = emulator.job_id(&mine);
        Ok((job.is_some_and(|job| job != before)).then_some(()))
    })
    .unwrap();
    let pods = emulator.pods(&mine);
    assert_eq!(pods.len(), 2);
    let labels = &pods[0]["metadata"]["labels"];
    assert_eq!(labels["deploymentName"], "my-deployment-name");
    assert_eq!(labels["deploymentId"], mine.as_str());
    let both = emulator.pods_in_upgrade(&mine);
    let jobs: BTreeSet<_> = both
        .iter()
        .filter_map(|pod| pod["metadata"]["labels"]["jobId"].as_str())
        .collect();
    assert!(
        both.len() == 4 && jobs.len() == 2 && jobs.contains(before.as_str()),
        "{jobs:?}"
    );
    let spec = DeploymentSpec::simulated("in-session", QUICK).session_cluster("shared");
    let session = emulator.deploy(spec).unwrap();
    let pods = emulator.pods(&session);
    assert!(pods.len() == 2 && pods[0]["metadata"]["labels"].get("deploymentId").is_none());
}

#[test]
fn two_hundred_clients_are_not_held_up() {
    const CLIENTS: usize = 200;
    let takes = Duration::from_millis(200);
    let emulator = emulator(Profile::V2_7);
    let ids: Vec<String> = (0..CLIENTS)
        .map(|n| simulated(&emulator, &format!("app-{n}"), takes))
        .collect();
    let started = Instant::now();
    thread::scope(|scope| {
        for id in &ids {
            scope.spawn(|| assert_eq!(take(&emulator, id)["status"]["state"], "COMPLETED"));
        }
    });
    // One after the other they would take 40 s.
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(emulator.count(Call::CreateSavepoint), CLIENTS);
}

#[test]
fn it_ends_when_it_is_dropped() {
    let (emulator, orders) = quick();
    let url = emulator.url().to_owned();
    emulator.fault(Fault::on(Call::CreateSavepoint, Deed::DelayReply(SLOW)));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| http::send(&url, "POST", SAVEPOINTS, &request_for(&orders)));
        until("the request", LIMIT, || {
            Ok((emulator.count(Call::CreateSavepoint) == 1).then_some(()))
        })
        .unwrap();
        drop(emulator);
        assert!(waiting.join().unwrap().is_err());
    });
    assert!(http::get(&url, SAVEPOINTS).is_err());
}
