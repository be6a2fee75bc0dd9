//! What goes wrong on the way, many clients, and the end.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use testbench::http::{self, until};
use testbench::ververica::{Call, Deed, Fault, Phase, Profile};

use crate::common::{
    DEPLOYMENTS, LIMIT, QUICK, SAVEPOINTS, SLOW, emulator, get, one, post, quick, request_for,
    simulated, take,
};

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
