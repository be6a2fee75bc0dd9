//! Every open question, with each of its answers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbench::http::until;
use testbench::ververica::{
    Annotations, Deletion, DeploymentSpec, ErrorBody, FlinkSavepointId, ListOrder, MadeBy,
    NotRunning, Origin, Phase, Profile, SecondSavepoint, SimulatedLocation, State,
};

use crate::common::{
    DEPLOYMENTS, LIMIT, QUICK, SAVEPOINTS, SLOW, ask, emulator, get, items, message, one, post,
    quick, request_for, simulated, take, wait_gone,
};

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
