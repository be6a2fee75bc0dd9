//! Who may ask.

use serde_json::{Value, json};
use testbench::http::request_with;
use testbench::ververica::{Emulator, Role, Unauthenticated};

use crate::common::{DEPLOYMENTS, QUICK, SAVEPOINTS, get, quick, request_for, simulated};

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
