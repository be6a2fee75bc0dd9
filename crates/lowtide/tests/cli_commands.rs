//! The commands from outside, with no Flink: nothing listens where the configuration points.
#![allow(clippy::unwrap_used)]

mod shared;

use shared::{Place, TWO};

/// A fuller configuration, whose plan and check are worth reading.
const FULL: &str = "\
timezone: Europe/Berlin
catalog: { sqlite: catalog.db }
platforms:
  east: { flink: { url: \"http://127.0.0.1:9\" } }
  west: { flink: { url: \"http://127.0.0.1:9/flink\" } }
defaults:
  platform: east
  schedule: \"30 2 * * *\"
applications:
  - orders
  - { name: orders, platform: west, schedule: \"0 */6 * * *\", target: \"s3://state/orders\" }
  - { name: fraud, format: native, never: [\"Mon-Sun 02:00-04:00\"] }
";

#[test]
fn check_says_what_was_understood() {
    insta::assert_snapshot!(Place::new(FULL).run(&["check"]).text());
}

#[test]
fn check_refuses_with_place_and_hint() {
    let place = Place::new(&TWO.replace("0 1 * * *", "61 1 * * *"));
    let ended = place.run(&["check"]);
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("lowtide.yaml:4:"), "{}", ended.text());
    assert!(ended.stderr.contains('^'), "{}", ended.text());
}

#[test]
fn check_online_says_what_cannot_be_reached() {
    let ended = Place::new(TWO).run(&["check", "--online"]);
    insta::assert_snapshot!(ended.text());
}

#[test]
fn check_is_stable_for_programs() {
    let place = Place::new(FULL);
    let json = place.run(&["check", "--output", "json"]);
    insta::assert_snapshot!(json.stdout);
    let yaml = place.run(&["check", "--output", "yaml"]);
    assert!(yaml.stdout.contains("- platform: east"), "{}", yaml.stdout);
}

#[test]
fn plan_follows_the_clock_change_and_the_windows() {
    let place = Place::new(FULL);
    let plan = place.run(&["plan", "--next", "400", "-o", "json"]).json();
    let slots = plan["slots"].as_array().unwrap();
    assert_eq!(slots.len(), 1_200);
    let local = |application: &str, platform: &str| -> Vec<String> {
        slots
            .iter()
            .filter(|slot| slot["application"] == application && slot["platform"] == platform)
            .map(|slot| slot["local"].as_str().unwrap().to_owned())
            .collect()
    };
    // 02:30 does not exist on the night of the change: then it is 03:00.
    let odd: Vec<String> = local("orders", "east")
        .into_iter()
        .filter(|at| !at.contains("T02:30:00"))
        .collect();
    assert!(
        !odd.is_empty() && odd.iter().all(|at| at.contains("T03:00:00+02:00")),
        "{odd:?}"
    );
    assert!(slots.iter().all(|slot| {
        let held = !slot["held_until"].is_null();
        held == (slot["application"] == "fraud")
    }));
}

#[test]
fn plan_ends_where_it_is_told() {
    let place = Place::new(TWO);
    let soon = place.run(&["plan", "--until", "1ms"]);
    assert_eq!(
        (soon.code, soon.stdout.as_str()),
        (0, "no slots in this time\n")
    );
    let week = place.run(&[
        "plan", "orders", "--until", "7d", "--next", "100", "-o", "json",
    ]);
    assert_eq!(week.json()["slots"].as_array().unwrap().len(), 7);
}

#[test]
fn names_must_be_unique_or_have_their_platform() {
    let place = Place::new(FULL);
    insta::assert_snapshot!(place.run(&["plan", "orders"]).text());
    assert_eq!(place.run(&["plan", "west/orders"]).code, 0);
    let wrong = place.run(&["plan", "wets/orders"]);
    assert_eq!(wrong.code, 2);
    assert!(
        wrong.stderr.contains("did you mean `west/orders`"),
        "{}",
        wrong.text()
    );
}

#[test]
fn resolve_says_what_cannot_be_reached() {
    let ended = Place::new(TWO).run(&["resolve", "orders", "-o", "json"]);
    assert_eq!(ended.code, 1);
    let one = &ended.json()["applications"][0];
    assert_eq!(one["means"], "unreachable");
    assert_eq!(one["application"], "orders");
}

#[test]
fn an_empty_catalog_answers() {
    let place = Place::new(TWO);
    let list = place.run(&["list"]);
    assert_eq!(
        (list.code, list.stdout.as_str()),
        (0, "no savepoints yet\n")
    );
    let json = place.run(&["list", "--all", "-o", "json"]).json();
    assert_eq!(json, serde_json::json!({ "running": [], "savepoints": [] }));
    insta::assert_snapshot!(place.run(&["latest", "orders"]).text());
    assert_eq!(place.run(&["show", "orders"]).code, 1);
    assert_eq!(place.run(&["show", "/savepoints/x"]).code, 1);
    // Who only reads makes no catalog.
    assert!(!place.path("catalog.db").exists());
}

#[test]
fn pause_and_unpause_say_what_changed() {
    let place = Place::new(TWO);
    let told = |args: &[&str]| {
        let ended = place.run(args);
        assert_eq!(ended.code, 0, "{}", ended.text());
        ended.stdout.lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(told(&["pause", "orders"]), "session/orders  paused");
    assert_eq!(
        told(&["pause", "orders"]),
        "session/orders  was paused already"
    );
    let plan = place.run(&["plan", "--next", "1", "-o", "json"]).json();
    let paused: Vec<bool> = plan["slots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slot| slot["paused"].as_bool().unwrap())
        .collect();
    assert_eq!(paused, [true, false]);
    assert_eq!(
        told(&["unpause", "orders"]),
        "session/orders  goes on with its next slot"
    );
    assert_eq!(
        told(&["unpause", "orders"]),
        "session/orders  was not paused"
    );
}

#[test]
fn take_fails_loudly_where_nothing_listens() {
    let place = Place::new(TWO);
    let ended = place.run(&[
        "take",
        "orders",
        "payments",
        "--deadline",
        "1s",
        "-o",
        "json",
    ]);
    assert_eq!(ended.code, 1, "{}", ended.text());
    let runs = ended.json();
    for (run, name) in runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .zip(["orders", "payments"])
    {
        assert_eq!(run["application"], name);
        assert_eq!(run["outcome"], "failed");
        assert_eq!(run["cause"], "unreachable");
        assert_eq!(run["attempts"], serde_json::json!([]));
        assert!(!run["hint"].is_null());
    }
    assert!(
        ended.stderr.contains("session/orders: failed(unreachable)"),
        "{}",
        ended.text()
    );
    assert!(ended.stderr.contains("hint: "), "{}", ended.text());

    // It is remembered, under its id, its first digits and its name.
    let id = runs["runs"][0]["id"].as_str().unwrap();
    for what in [id, &id[..8], "orders"] {
        let shown = place.run(&["show", what, "-o", "json"]).json();
        assert_eq!(shown["id"], id);
    }
    let page = place.run(&["show", "orders"]).stdout;
    assert!(
        page.contains("failed(unreachable)") && page.contains("asked by:     lowtide take"),
        "{page}"
    );
}

#[test]
fn a_slot_is_filled_once() {
    let place =
        Place::new(&TWO.replace("applications:", "defaults: { deadline: 1s }\napplications:"));
    let slot = [
        "run",
        "orders",
        "--slot",
        "2026-11-22T02:00:00.0004+01:00",
        "-o",
        "json",
    ];
    let first = place.run(&slot);
    assert_eq!(first.code, 1, "{}", first.text());
    let again = place.run(&slot);
    // The same row, its outcome and its exit code: nothing new was tried.
    assert_eq!(again.code, 1, "{}", again.text());
    assert_eq!(again.json(), first.json());
    let run = &first.json()["runs"][0];
    assert_eq!(
        (&run["origin"], &run["slot"]),
        (&"slot".into(), &"2026-11-22T01:00:00Z".into())
    );
    let request = place.run(&["run", "orders", "-o", "json"]);
    assert_ne!(request.json()["runs"][0]["id"], run["id"]);
}

#[test]
fn waiting_can_be_given_up() {
    let place = Place::new(TWO);
    let ended = place.run(&["take", "orders", "--wait", "300ms", "-o", "json"]);
    assert_eq!(ended.code, 3, "{}", ended.text());
    let run = ended.json()["runs"][0].clone();
    assert!(run["outcome"].is_null());
    assert_eq!(
        run["hold"]["why"],
        "http://127.0.0.1:9: the connection was refused"
    );
    assert!(
        ended.stderr.contains("waiting was given up"),
        "{}",
        ended.text()
    );
    // It was given back, so the next process takes it over at once and walks it on. An earlier
    // run under way holds a later one of the same application.
    let next = place.run(&["take", "orders", "--wait", "300ms", "-o", "json"]);
    assert_eq!(next.code, 3, "{}", next.text());
    let list = place.run(&["list", "-o", "json"]).json();
    assert_eq!(list["running"].as_array().unwrap().len(), 2);
    assert_eq!(list["running"][0]["id"], run["id"]);
}

#[test]
fn generated_files_cover_everything() {
    let place = Place::new("");
    let schema = place.run(&["gen", "schema"]);
    assert_eq!(schema.code, 0);
    assert!(schema.json()["properties"]["applications"].is_object());
    for (what, files) in [
        ("man", ["lowtide.1", "lowtide-take.1"]),
        ("completions", ["lowtide.bash", "_lowtide"]),
    ] {
        let directory = place.path(what);
        let ended = place.run(&["gen", what, directory.to_str().unwrap()]);
        assert_eq!(ended.code, 0, "{}", ended.text());
        for file in files {
            assert!(
                directory.join(file).metadata().unwrap().len() > 100,
                "{file}"
            );
        }
        assert!(!directory.join("lowtide-gen.1").exists());
    }
}
