//! Several processes, and signals. Nothing listens where the configuration points, so a run
//! stays open until its deadline.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod shared;

use std::net::TcpListener;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shared::running::Running;
use shared::{Place, TWO};

fn running(place: &Place) -> Vec<serde_json::Value> {
    let list = place.run(&["list", "--output", "json"]).json();
    list["running"].as_array().unwrap().clone()
}

#[test]
fn ctrl_c_stops_the_waiting_and_says_how_to_go_on() {
    let place = Place::new(TWO);
    let mut take = Running::start(&place, &["take", "orders"]);
    take.wait_for("trying again soon");
    take.signal("-INT");
    let ended = take.end();
    assert_eq!(ended.code, 130, "{}", ended.text());
    let run = running(&place).remove(0);
    let id = &run["id"].as_str().unwrap()[..8];
    assert!(
        ended.stderr.contains(&format!("lowtide show {id}")),
        "{}",
        ended.text()
    );
    // Given back, and not left to lapse.
    let page = place.run(&["show", id]).stdout;
    assert!(!page.contains("walked by"), "{page}");
}

#[test]
fn serve_takes_over_and_gives_back() {
    let place = Place::new(TWO);
    assert_eq!(place.run(&["take", "orders", "--wait", "200ms"]).code, 3);
    let mut serve = Running::start(&place, &["serve"]);
    serve.wait_for("taken over");
    let page = place.run(&["show", "orders"]).stdout;
    assert!(page.contains("walked by"), "{page}");
    serve.signal("-TERM");
    let ended = serve.end();
    assert_eq!(ended.code, 0, "{}", ended.text());
    assert_eq!(ended.stdout, "");
    let page = place.run(&["show", "orders"]).stdout;
    assert!(!page.contains("walked by"), "{page}");
    assert_eq!(running(&place).len(), 1);
}

#[test]
fn serve_claims_its_slots_and_logs_json() {
    let place = Place::new(&TWO.replace("schedule: \"0 1 * * *\"", "every: 10s"));
    let mut serve = Running::start(&place, &["serve", "--log-format", "json"]);
    serve.wait_for("\"message\":\"claimed\"");
    serve.wait_for("trying again soon");
    serve.signal("-TERM");
    let ended = serve.end();
    assert_eq!(ended.code, 0, "{}", ended.text());
    for line in ended.stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["message"].is_string());
    }
    let slot = running(&place).remove(0);
    assert_eq!(slot["origin"], "slot");
}

/// How long before the next slot of `every: 10s` the first question after a start of `serve` comes, to a
/// cluster that never answers.
fn asked_before_the_slot() -> Duration {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = TWO
        .replace("127.0.0.1:9", &silent.local_addr().unwrap().to_string())
        .replace("schedule: \"0 1 * * *\"", "every: 10s");
    let place = Place::new(&config);
    let _serve = Running::start(&place, &["serve"]);
    let _held = silent.accept().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let into_slot = now.as_millis() % 10_000;
    Duration::from_millis(10_000 - u64::try_from(into_slot).unwrap())
}

#[test]
fn serve_asks_for_jobs_half_a_second_before_their_slot() {
    // On a busy machine a process may sleep past the slot.
    let mut tries = (0..3).map(|_| asked_before_the_slot());
    assert!(tries.any(|before| before <= Duration::from_millis(500)));
}

#[test]
fn a_slot_that_another_process_walks_is_followed_to_its_end() {
    let place =
        Place::new(&TWO.replace("applications:", "defaults: { deadline: 3s }\napplications:"));
    let slot = [
        "run",
        "orders",
        "--slot",
        "2026-11-22T01:00:00Z",
        "-o",
        "json",
    ];
    let mut first = Running::start(&place, &slot);
    first.wait_for("trying again soon");
    let second = Running::start(&place, &slot).end();
    let first = first.end();
    assert_eq!(
        (first.code, second.code),
        (1, 1),
        "{}{}",
        first.text(),
        second.text()
    );
    assert_eq!(first.json(), second.json());
}

#[test]
fn a_run_whose_process_was_killed_is_taken_over() {
    let place =
        Place::new(&TWO.replace("applications:", "defaults: { deadline: 3s }\napplications:"));
    let slot = [
        "run",
        "orders",
        "--slot",
        "2026-11-22T01:00:00Z",
        "-o",
        "json",
    ];
    let mut first = Running::start(&place, &slot);
    first.wait_for("trying again soon");
    first.signal("-KILL");
    first.end();
    // The claim lapses within 30 s; then this process goes on from the row, whose deadline has
    // passed by then.
    let second = place.run(&slot);
    assert_eq!(second.code, 1, "{}", second.text());
    assert_eq!(second.json()["runs"][0]["cause"], "unreachable");
}
