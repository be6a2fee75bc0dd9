//! The hands against the emulator of Ververica Platform: each release, each open question, each
//! kind of trouble, and what is reported of it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use jiff::Timestamp;
use lowtide_core::fault::{Fault, FaultKind};
use lowtide_core::name::{JobId, Location, RunId, SavepointId, TriggerId};
use lowtide_core::resolve::{JobSeen, JobState};
use lowtide_core::run::{Attempt, CauseKind, Listed, ListedState, Listing, Operation, Reply};
use lowtide_core::savepoint::Format;
use lowtide_world::ververica::{Auth, Client, DesiredState, Settings};
use testbench::ververica::{
    Annotations, Call, Deed, Deletion, DeploymentSpec, Emulator, ErrorBody, Fault as Wrong,
    FlinkSavepointId, ListOrder, NotRunning, Origin, Phase, Profile, Role, SecondSavepoint, State,
    Unauthenticated,
};

/// How long a simulated savepoint takes.
const TAKES: Duration = Duration::from_millis(50);
/// For everything that the emulator does.
const LIMIT: Duration = Duration::from_mins(1);

fn client_with(emulator: &Emulator, change: impl FnOnce(&mut Settings)) -> Client {
    let mut settings = Settings::new(emulator.url().parse().unwrap());
    settings.connection.timeout = Duration::from_secs(5);
    change(&mut settings);
    Client::new(&settings).unwrap()
}

fn client(emulator: &Emulator) -> Client {
    client_with(emulator, |_| {})
}

fn with_token(emulator: &Emulator, token: &str) -> Client {
    client_with(emulator, |settings| {
        settings.connection.auth = Some(Auth::Bearer(token.into()));
    })
}

fn orders(emulator: &Emulator) -> JobId {
    let spec = DeploymentSpec::simulated("orders", TAKES);
    JobId::new(emulator.deploy(spec).unwrap())
}

fn attempt(job: &JobId, before: &[&str]) -> Attempt {
    let now = Timestamp::now();
    let trigger_id = TriggerId::of_attempt(RunId::from_bytes([7; 16]), 1);
    Attempt {
        listing: Some(Listing {
            before: before.iter().map(|id| SavepointId::new(*id)).collect(),
            ..Listing::default()
        }),
        sent_at: Some(now),
        calls: 1,
        ..Attempt::frozen(1, job.clone(), now, trigger_id, Format::Canonical, now)
    }
}

/// The attempt once its savepoint is known.
fn known(attempt: &Attempt, savepoint: SavepointId) -> Attempt {
    let mut known = attempt.clone();
    known.listing.as_mut().unwrap().savepoint = Some(savepoint);
    known
}

#[track_caller]
fn created(reply: Reply) -> SavepointId {
    match reply {
        Reply::Created(id) => id,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(reply: Reply) -> (CauseKind, String) {
    match reply {
        Reply::Refused(cause) => {
            assert!(cause.hint.is_some(), "{cause:?}");
            (cause.kind, cause.text)
        }
        other => panic!("{other:?}"),
    }
}

/// Asks until it is under way no more.
async fn ended(client: &Client, attempt: &Attempt) -> Operation {
    let limit = tokio::time::Instant::now() + LIMIT;
    loop {
        let operation = client.operation(attempt).await.unwrap();
        if operation != Operation::InProgress {
            return operation;
        }
        assert!(tokio::time::Instant::now() < limit, "never ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn listed(client: &Client, attempt: &Attempt) -> Vec<Listed> {
    match client.operation(attempt).await.unwrap() {
        Operation::Listed(listed) => listed,
        other => panic!("{other:?}"),
    }
}

/// Asks for the list until one of it has completed.
async fn completed(client: &Client, attempt: &Attempt) -> Vec<Listed> {
    let limit = tokio::time::Instant::now() + LIMIT;
    loop {
        let all = listed(client, attempt).await;
        if all
            .iter()
            .any(|one| matches!(one.state, ListedState::Completed(_)))
        {
            return all;
        }
        assert!(tokio::time::Instant::now() < limit, "never completed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn named<'a>(jobs: &'a [JobSeen], name: &str) -> Vec<&'a JobSeen> {
    jobs.iter().filter(|job| job.name == name).collect()
}

#[tokio::test]
async fn every_release_and_every_open_question() {
    for profile in Profile::ALL {
        for odd in [false, true] {
            let emulator = Emulator::builder().profile(profile).start().unwrap();
            if odd {
                emulator.set(|settings| {
                    settings.created_status = 200;
                    settings.unknown_fields = true;
                    settings.unknown_values = true;
                    settings.list_order = ListOrder::Shuffled;
                    settings.flink_savepoint_id = FlinkSavepointId::Object;
                    settings.annotations = Annotations::Dropped;
                    settings.clock_ahead_ms = -90_000;
                });
            }
            take_one(&emulator).await;
        }
    }
}

async fn take_one(emulator: &Emulator) {
    let id = orders(emulator);
    let client = client(emulator);
    let jobs = client.jobs("orders").await.unwrap();
    let [job] = named(&jobs, "orders")[..] else {
        panic!("{jobs:?}")
    };
    assert_eq!((&job.id, job.state), (&id, JobState::Running));
    let vitals = client.vitals(&id).await.unwrap();
    assert_eq!(vitals.state, JobState::Running);
    assert!(!vitals.savepoint_in_progress);
    let before: Vec<String> = vitals
        .listed
        .unwrap()
        .iter()
        .map(|(id, _)| id.to_string())
        .collect();
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let attempt = attempt(&id, &before);
    let savepoint = created(client.trigger(&attempt).await);
    let attempt = known(&attempt, savepoint.clone());
    let Operation::Completed(location) = ended(&client, &attempt).await else {
        panic!("not completed")
    };
    let there = emulator.savepoints(id.as_str());
    let ours = there
        .iter()
        .find(|one| one.id == savepoint.as_str())
        .unwrap();
    assert_eq!(ours.location.as_deref().map(Location::new), Some(location));
    assert_eq!(ours.origin, Origin::UserRequest);
    let mark = ours.annotations_sent.get("lowtide/mark");
    assert_eq!(mark, Some(&attempt.trigger_id.to_string()));
    assert_eq!(client.directories(&attempt).await.unwrap(), []);
    let listed = client.vitals(&id).await.unwrap().listed.unwrap();
    assert!(listed.iter().any(|(id, _)| *id == savepoint));
    assert_eq!(emulator.count(Call::CreateSavepoint), 1);
}

#[tokio::test]
async fn since_2_4_a_name_is_one_request() {
    let emulator = Emulator::builder().profile(Profile::V2_7).start().unwrap();
    let id = orders(&emulator);
    let client = client(&emulator);
    let jobs = client.jobs("orders").await.unwrap();
    assert_eq!(named(&jobs, "orders")[0].id, id);
    assert_eq!(emulator.count(Call::ListDeployments), 0);
    // An unknown name is looked for in the list, so that others can be suggested.
    let jobs = client.jobs("order").await.unwrap();
    assert!(named(&jobs, "order").is_empty() && named(&jobs, "orders").len() == 1);
    // An id is no name, though the server answers to it.
    let jobs = client.jobs(id.as_str()).await.unwrap();
    assert!(named(&jobs, id.as_str()).is_empty());
}

#[tokio::test]
async fn a_name_that_is_somebody_s_id_means_the_deployment_of_that_name() {
    let emulator = Emulator::builder().profile(Profile::V2_7).start().unwrap();
    let orders = orders(&emulator);
    let twin = DeploymentSpec::simulated(orders.as_str(), TAKES);
    let twin = emulator.deploy(twin).unwrap();
    let jobs = client(&emulator).jobs(orders.as_str()).await.unwrap();
    let [job] = named(&jobs, orders.as_str())[..] else {
        panic!("{jobs:?}")
    };
    assert_eq!(job.id.as_str(), twin);
}

#[tokio::test]
async fn before_2_4_names_are_free_text_and_may_repeat() {
    for malformed in [400, 404] {
        let emulator = Emulator::builder().profile(Profile::V2_1).start().unwrap();
        emulator.set(|settings| settings.malformed_id_status = malformed);
        let text = "INSERT INTO a/b SELECT ? FROM c";
        for name in [text, "twin", "twin"] {
            emulator
                .deploy(DeploymentSpec::simulated(name, TAKES))
                .unwrap();
        }
        let client = client(&emulator);
        for _ in 0..3 {
            assert_eq!(named(&client.jobs(text).await.unwrap(), text).len(), 1);
        }
        assert_eq!(
            emulator.count(Call::GetDeployment),
            1,
            "asked once that way"
        );
        assert_eq!(named(&client.jobs("twin").await.unwrap(), "twin").len(), 2);
    }
}

#[tokio::test]
async fn hundreds_of_names_share_a_list() {
    let emulator = Emulator::builder().profile(Profile::V2_1).start().unwrap();
    for n in 0..50 {
        let spec = DeploymentSpec::simulated(&format!("app {n}"), TAKES);
        emulator.deploy(spec).unwrap();
    }
    let client = client(&emulator);
    client.jobs("app 0").await.unwrap();
    emulator.forget();
    let names: Vec<String> = (0..50).map(|n| format!("app {n}")).collect();
    let asked = names.iter().map(|name| client.jobs(name));
    for (jobs, name) in futures_util::future::join_all(asked)
        .await
        .iter()
        .zip(&names)
    {
        assert_eq!(named(jobs.as_ref().unwrap(), name).len(), 1);
    }
    assert!(emulator.count(Call::ListDeployments) <= 2);
}

#[tokio::test]
async fn a_name_in_two_namespaces_means_the_one_in_ours() {
    let emulator = Emulator::builder()
        .bearer()
        .namespace("other")
        .start()
        .unwrap();
    let ours = orders(&emulator);
    let spec = DeploymentSpec::simulated("orders", TAKES).namespace("other");
    let theirs = emulator.deploy(spec).unwrap();
    let (mine, other) = (
        emulator.token("default", Role::Editor).unwrap(),
        emulator.token("other", Role::Editor).unwrap(),
    );
    let jobs = with_token(&emulator, &mine).jobs("orders").await.unwrap();
    assert_eq!(jobs.iter().map(|job| &job.id).collect::<Vec<_>>(), [&ours]);
    let there = client_with(&emulator, |settings| {
        settings.namespace = "other".into();
        settings.connection.auth = Some(Auth::Bearer(other.into()));
    });
    let jobs = there.jobs("orders").await.unwrap();
    assert_eq!(jobs[0].id.as_str(), theirs);
}

#[tokio::test]
async fn every_way_of_not_being_let_in() {
    let emulator = Emulator::builder()
        .bearer()
        .namespace("other")
        .start()
        .unwrap();
    let id = orders(&emulator);
    let viewer = emulator.token("default", Role::Viewer).unwrap();
    let other = emulator.token("other", Role::Owner).unwrap();
    let hinted = |fault: Fault| (fault.kind, fault.hint.unwrap_or_default());
    for (client, word) in [
        (client(&emulator), "set `token:`"),
        (with_token(&emulator, "nobody-s"), "is not accepted"),
        (with_token(&emulator, &other), "belongs to one namespace"),
    ] {
        let (kind, hint) = hinted(client.jobs("orders").await.unwrap_err());
        assert_eq!(kind, FaultKind::Permanent);
        assert!(hint.contains(word), "{hint}");
        let (kind, _) = refused(client.trigger(&attempt(&id, &[])).await);
        assert_eq!(kind, CauseKind::Denied);
    }
    let viewer = with_token(&emulator, &viewer);
    assert_eq!(viewer.jobs("orders").await.unwrap().len(), 1);
    let (kind, text) = refused(viewer.trigger(&attempt(&id, &[])).await);
    assert_eq!(kind, CauseKind::Denied, "{text}");
    assert!(emulator.savepoints(id.as_str()).is_empty());
}

#[tokio::test]
async fn a_login_page_is_told_for_what_it_is() {
    let emulator = Emulator::builder().bearer().start().unwrap();
    let id = orders(&emulator);
    let client = client(&emulator);
    for page in [Unauthenticated::LoginPage, Unauthenticated::RedirectToLogin] {
        emulator.set(|settings| settings.unauthenticated = page);
        let fault = client.jobs("orders").await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
        assert!(fault.text.contains("a web page"), "{fault}");
        assert!(fault.hint.unwrap().contains("set `token:`"));
        let reply = client.trigger(&attempt(&id, &[])).await;
        assert!(matches!(reply, Reply::Unclear(_)), "{reply:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_the_platform_s_words_whatever_its_shape() {
    let emulator = Emulator::builder().start().unwrap();
    let id = orders(&emulator);
    let client = client(&emulator);
    for (status, kind) in [
        (400, CauseKind::Refused),
        (404, CauseKind::NotRunning),
        (409, CauseKind::NotReady),
        (422, CauseKind::Refused),
    ] {
        for body in [
            ErrorBody::Message,
            ErrorBody::MessageAndDetails,
            ErrorBody::Text,
            ErrorBody::Empty,
        ] {
            emulator.set(|settings| settings.error_body = body);
            let fired = emulator.fault(Wrong::on(Call::CreateSavepoint, Deed::Answer(status)));
            let (told, text) = refused(client.trigger(&attempt(&id, &[])).await);
            assert_eq!(told, kind, "{text}");
            assert!(text.contains(&format!("status {status}")), "{text}");
            assert_eq!(fired.count(), 1);
        }
    }
    assert!(emulator.savepoints(id.as_str()).is_empty());
}

#[tokio::test]
async fn whatever_is_no_plain_answer_is_unclear() {
    let emulator = Emulator::builder().start().unwrap();
    let id = orders(&emulator);
    let client = client_with(&emulator, |settings| {
        settings.connection.timeout = Duration::from_secs(1);
    });
    for deed in [
        Deed::Answer(500),
        Deed::Answer(503),
        Deed::Answer(429),
        Deed::Html(200),
        Deed::Html(400),
        Deed::Html(404),
        Deed::Html(502),
        Deed::Refuse,
        Deed::LoseReply,
        Deed::AnswerAfter(500),
        Deed::DelayReply(Duration::from_secs(3)),
        Deed::AcceptLate(Duration::from_millis(10)),
    ] {
        let fired = emulator.fault(Wrong::on(Call::CreateSavepoint, deed.clone()));
        let reply = client.trigger(&attempt(&id, &[])).await;
        assert!(matches!(reply, Reply::Unclear(_)), "{deed:?}: {reply:?}");
        assert_eq!(fired.count(), 1);
    }
}

#[tokio::test]
async fn a_refused_connection_has_delivered_nothing() {
    let emulator = Emulator::builder().start().unwrap();
    let id = orders(&emulator);
    let client = client(&emulator);
    drop(emulator);
    let reply = client.trigger(&attempt(&id, &[])).await;
    assert!(
        matches!(&reply, Reply::NotSent(fault) if fault.hint.is_some()),
        "{reply:?}"
    );
    let fault = client.jobs("orders").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
}

#[tokio::test]
async fn after_a_lost_reply_the_mark_tells_ours_from_others() {
    for kept in [Annotations::Kept, Annotations::Dropped] {
        let emulator = Emulator::builder().start().unwrap();
        emulator.set(|settings| settings.annotations = kept);
        let id = orders(&emulator);
        let client = client(&emulator);
        let old = emulator.take_foreign(id.as_str()).unwrap();
        let attempt = attempt(&id, &[&old]);
        emulator.fault(Wrong::on(Call::CreateSavepoint, Deed::LoseReply));
        let reply = client.trigger(&attempt).await;
        assert!(matches!(reply, Reply::Unclear(_)));
        emulator.take_foreign(id.as_str()).unwrap();
        let ours = kept == Annotations::Kept;
        let all = listed(&client, &attempt).await;
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|one| one.requested));
        let marked = all
            .iter()
            .filter(|one| one.mark == Some(attempt.trigger_id))
            .count();
        assert_eq!(marked, usize::from(ours));
        let limit = tokio::time::Instant::now() + LIMIT;
        let found = loop {
            let found = client.directories(&attempt).await.unwrap();
            if found.len() == 2 {
                break found;
            }
            assert!(tokio::time::Instant::now() < limit, "{found:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let foreign = found.iter().filter(|one| one.foreign).count();
        assert_eq!(foreign, if ours { 1 } else { 2 });
        assert!(found.iter().all(|one| one.has_metadata));
    }
}

#[tokio::test]
async fn copies_and_suspensions_are_nobody_s_answer() {
    let emulator = Emulator::builder().start().unwrap();
    let id = orders(&emulator);
    let client = client(&emulator);
    let attempt = attempt(&id, &[]);
    let location = Location::new("file:/savepoints/old");
    let copy = client.register(&id, &location).await.unwrap();
    client
        .set_state(&id, DesiredState::Suspended)
        .await
        .unwrap();
    emulator
        .wait_state(id.as_str(), State::Suspended, LIMIT)
        .unwrap();
    let all = completed(&client, &attempt).await;
    assert!(all.len() >= 2, "{all:?}");
    assert!(all.iter().all(|one| !one.requested), "{all:?}");
    assert!(all.iter().any(|one| one.id == copy));
    assert_eq!(client.directories(&attempt).await.unwrap(), []);
    let there = emulator.savepoints(id.as_str());
    assert!(there.iter().any(|one| one.origin == Origin::Copied));
    assert_eq!(client.vitals(&id).await.unwrap().state, JobState::Suspended);
    client.set_state(&id, DesiredState::Running).await.unwrap();
    emulator
        .wait_state(id.as_str(), State::Running, LIMIT)
        .unwrap();
    client
        .set_state(&id, DesiredState::Cancelled)
        .await
        .unwrap();
    emulator
        .wait_state(id.as_str(), State::Cancelled, LIMIT)
        .unwrap();
}

#[tokio::test]
async fn a_failed_savepoint_has_its_reason() {
    let emulator = Emulator::builder().start().unwrap();
    let id = orders(&emulator);
    let client = client(&emulator);
    let deed = Deed::Fail {
        reason: "SavepointFailedInFlink".into(),
        message: "java.io.IOException: no space left on device".into(),
    };
    emulator.fault(Wrong::on(Call::CreateSavepoint, deed));
    let attempt = attempt(&id, &[]);
    let savepoint = created(client.trigger(&attempt).await);
    let Operation::Failed(cause) = ended(&client, &known(&attempt, savepoint)).await else {
        panic!("not failed")
    };
    assert!(
        cause.text.starts_with("SavepointFailedInFlink: "),
        "{cause:?}"
    );
    assert!(cause.text.contains("no space left on device") && cause.hint.is_some());
}

#[tokio::test]
async fn a_deployment_that_does_not_run_refuses_or_fails() {
    for not_running in [NotRunning::Refused, NotRunning::Fails] {
        let emulator = Emulator::builder().start().unwrap();
        emulator.set(|settings| settings.not_running = not_running);
        let id = orders(&emulator);
        emulator.force_state(id.as_str(), State::Suspended).unwrap();
        let client = client(&emulator);
        let attempt = attempt(&id, &[]);
        match (not_running, client.trigger(&attempt).await) {
            (NotRunning::Refused, Reply::Refused(cause)) => {
                assert_eq!(cause.kind, CauseKind::Refused);
            }
            (NotRunning::Fails, Reply::Created(savepoint)) => {
                let ended = ended(&client, &known(&attempt, savepoint)).await;
                assert!(matches!(ended, Operation::Failed(_)), "{ended:?}");
            }
            (_, reply) => panic!("{reply:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_under_way_is_seen_and_a_second_request_is_refused_or_waits() {
    for second in [
        SecondSavepoint::Accepted,
        SecondSavepoint::Refused,
        SecondSavepoint::Queued,
    ] {
        let emulator = Emulator::builder().start().unwrap();
        emulator.set(|settings| settings.second_savepoint = second);
        let id = orders(&emulator);
        let client = client(&emulator);
        let stuck = emulator.fault(Wrong::on(Call::CreateSavepoint, Deed::Stick));
        let first = attempt(&id, &[]);
        let savepoint = created(client.trigger(&first).await);
        assert_eq!(stuck.count(), 1);
        let following = client.operation(&known(&first, savepoint)).await;
        assert_eq!(following.unwrap(), Operation::InProgress);
        assert!(client.vitals(&id).await.unwrap().savepoint_in_progress);
        let reply = client.trigger(&attempt(&id, &[])).await;
        match second {
            SecondSavepoint::Refused => assert_eq!(refused(reply).0, CauseKind::NotReady),
            _ => drop(created(reply)),
        }
    }
}

#[tokio::test]
async fn every_state_of_a_deployment() {
    let emulator = Emulator::builder().start().unwrap();
    let id = orders(&emulator);
    let client = client(&emulator);
    for (state, seen) in [
        (State::Suspended, JobState::Suspended),
        (State::Cancelled, JobState::Cancelled),
        (State::Failed, JobState::Failed),
        (State::Finished, JobState::Finished),
        (State::Running, JobState::Running),
    ] {
        emulator.force_state(id.as_str(), state).unwrap();
        assert_eq!(client.jobs("orders").await.unwrap()[0].state, seen);
        assert_eq!(client.vitals(&id).await.unwrap().state, seen);
    }
    emulator.hold_in_transition(id.as_str(), LIMIT).unwrap();
    let vitals = client.vitals(&id).await.unwrap();
    assert_eq!(vitals.state, JobState::InTransition);
    emulator.remove(id.as_str()).unwrap();
    let gone = client.vitals(&id).await.unwrap_err();
    assert_eq!(gone.kind, FaultKind::Gone);
}

#[tokio::test]
async fn native_savepoints_need_the_name_of_the_field() {
    let emulator = Emulator::builder().profile(Profile::V2_15).start().unwrap();
    let id = orders(&emulator);
    let native = Attempt {
        format: Format::Native,
        ..attempt(&id, &[])
    };
    let reply = client(&emulator).trigger(&native).await;
    assert!(
        matches!(&reply, Reply::NotSent(fault) if fault.kind == FaultKind::Permanent),
        "{reply:?}"
    );
    let knowing = client_with(&emulator, |settings| {
        settings.native = Some("spec.formatType".parse().unwrap());
    });
    created(knowing.trigger(&native).await);
    assert!(emulator.savepoints(id.as_str())[0].native);
    assert_eq!(emulator.count(Call::CreateSavepoint), 1);
}

#[tokio::test]
async fn savepoints_are_deleted_where_the_release_can() {
    for status in [200, 204] {
        let emulator = Emulator::builder().start().unwrap();
        emulator.set(|settings| settings.deleted_status = status);
        let (id, client) = (orders(&emulator), client(&emulator));
        let attempt = attempt(&id, &[]);
        let savepoint = created(client.trigger(&attempt).await);
        let attempt = known(&attempt, savepoint.clone());
        ended(&client, &attempt).await;
        emulator.set(|settings| settings.deletion = Deletion::StaysPending);
        client.delete(&savepoint, false).await.unwrap();
        let phase = emulator.savepoints(id.as_str())[0].phase;
        assert_eq!(phase, Phase::PendingDeletion);
        let operation = client.operation(&attempt).await.unwrap();
        assert!(
            matches!(&operation, Operation::Failed(cause) if cause.text.contains("being deleted"))
        );
        client.delete(&savepoint, true).await.unwrap();
        let operation = client.operation(&attempt).await.unwrap();
        let gone = Operation::NotFound {
            job_started_at: None,
        };
        assert_eq!(operation, gone);
        let fault = client.delete(&savepoint, false).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Gone);
    }
}

#[tokio::test]
async fn before_2_5_deletion_is_told_to_be_impossible() {
    for absent in [404, 405] {
        let emulator = Emulator::builder().profile(Profile::V2_1).start().unwrap();
        emulator.set(|settings| settings.absent_method_status = absent);
        let (id, client) = (orders(&emulator), client(&emulator));
        let savepoint = created(client.trigger(&attempt(&id, &[])).await);
        let fault = client.delete(&savepoint, true).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Unsupported, "{fault}");
    }
}

#[tokio::test]
async fn a_wrong_address_or_namespace_is_told() {
    let emulator = Emulator::builder().start().unwrap();
    orders(&emulator);
    let elsewhere = client_with(&emulator, |settings| settings.namespace = "team".into());
    let fault = elsewhere.jobs("orders").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Permanent, "{fault}");
    assert!(fault.hint.unwrap().contains("namespace"));
    let down = emulator.fault(Wrong::on_any(Deed::Html(503)).always());
    let fault = client(&emulator).jobs("orders").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.hint.unwrap().contains("proxy") && down.count() > 0);
}
