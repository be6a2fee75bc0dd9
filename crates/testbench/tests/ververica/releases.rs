//! What each release has, and how it is addressed.

use std::collections::BTreeSet;
use std::net::TcpListener;

use serde_json::{Value, json};
use testbench::http::{self, request_with, until};
use testbench::ververica::{DeploymentSpec, Origin, Profile};

use crate::common::{
    DEPLOYMENTS, LIMIT, QUICK, SAVEPOINTS, ask, emulator, get, items, post, quick, simulated, take,
};

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
fn it_answers_on_every_listener_it_is_given() {
    let (emulator, _orders) = quick();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let second = format!("http://{}", listener.local_addr().unwrap());
    emulator.listen_on(listener).unwrap();
    let listed = http::get(&second, DEPLOYMENTS).unwrap();
    assert_eq!(listed["items"][0]["metadata"]["name"], "orders");
}
