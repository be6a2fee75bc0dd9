//! The JSON Schema: that the file in the repository is the generated one, and that schema and
//! reader agree on which keys there are and what is required.
#![allow(clippy::unwrap_used, missing_docs)]

mod schema_walk;

use std::path::Path;

use lowtide::config::{self, SecretSource};
use proptest::prelude::*;
use schema_walk::{objections, text_keys};
use secrecy::SecretString;
use serde_json::{Value, json};

fn accepted(file: &Value) -> Result<(), String> {
    // JSON is YAML.
    let secrets = |_: &SecretSource| Ok(SecretString::from("s3cret"));
    config::parse("lowtide.yaml", &file.to_string(), &secrets)
        .map(|_| ())
        .map_err(|error| error.render(false))
}

#[test]
fn the_schema_in_the_repository_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lowtide.schema.json");
    let generated = format!("{:#}\n", config::schema());
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        stored == generated,
        "lowtide.schema.json is stale: run `cargo xtask gen`"
    );
}

/// A file with every key there is.
fn full() -> Value {
    let rules = json!({
        "platform": "session", "schedule": "H 1 * * *", "timezone": "Europe/Berlin",
        "format": "native", "target": "s3://state/savepoints", "deadline": "2h", "attempts": 2,
        "patience": "10m", "absent_for": "15m", "catch_up": "0s", "never": ["Mon-Fri 08:00-18:00"],
    });
    let mut application = rules.clone();
    application["name"] = json!("payments");
    application["job"] = json!("Payments (v2)");
    json!({
        "timezone": "UTC",
        "read_every": "7d",
        "read_limit": "100MiB",
        "platforms": {
            "session": { "flink": {
                "url": "https://proxy/flink", "ca": "ca.pem", "timeout": "5s", "concurrency": 4,
                "auth": { "basic": { "user": "me", "password": "${env:A}" } },
                "client_cert": { "cert": "a.pem", "key": "a.key" },
                "paths": { "file:/opt/flink/state": "/mnt/state" },
            } },
            "other": { "flink": { "url": "http://other:8081", "auth": { "bearer": "${file:/t}" } } },
            "vvp": { "ververica": {
                "url": "https://vvp", "namespace": "team", "token": "${env:A}", "resolve": "pods",
                "kubernetes": { "namespace": "flink", "context": "prod", "kubeconfig": "/k" },
                "native_field": "spec.formatType", "ca": "ca.pem", "timeout": "5s",
                "client_cert": { "cert": "a.pem", "key": "a.key" }, "concurrency": 4,
                "paths": { "file:/opt/flink/state": "/mnt/state" },
            } },
            "fleet": { "kubernetes": {
                "namespace": "flink", "context": "prod", "kubeconfig": "/k", "reach": "proxy",
                "timeout": "5s", "concurrency": 4, "paths": { "file:/opt": "/mnt" },
            } },
        },
        "stores": {
            "state": { "s3": {
                "buckets": ["state"], "endpoint": "http://minio:9000", "path_style": true,
                "region": "r", "access_key": "${env:A}", "secret_key": "${env:A}",
                "session_token": "${env:A}", "anonymous": false, "ca": "ca.pem",
            } },
            "aws": { "s3": {
                "buckets": ["aws"], "endpoint": "http://minio:9000", "path_style": true,
                "region": "r", "profile": "p", "anonymous": false, "ca": "ca.pem",
            } },
            "google": { "gcs": {
                "buckets": ["state"], "endpoint": "http://gcs:1", "credentials": "key.json",
                "anonymous": false,
            } },
            "azure": { "azure": {
                "accounts": ["a"], "endpoint": "http://azurite:1", "account_key": "${env:A}",
            } },
            "sas": { "azure": {
                "accounts": ["b"], "endpoint": "http://azurite:1", "sas_token": "${env:A}",
            } },
            "ali": { "oss": {
                "buckets": ["state"], "endpoint": "https://oss", "access_key": "${env:A}",
                "secret_key": "${env:A}",
            } },
            "hadoop": { "hdfs": {
                "namenodes": ["nn:8020"], "url": "http://nn:9870", "user": "flink",
                "delegation_token": "${env:A}",
            } },
        },
        "defaults": rules,
        "applications": ["orders", application],
        "catalog": { "sqlite": "/var/lib/lowtide/catalog.db" },
    })
}

#[test]
fn a_file_with_every_key_is_valid_in_both() {
    let schema = config::schema();
    assert_eq!(objections(&schema, &full()), Vec::<String>::new());
    accepted(&full()).unwrap();
    for example in schema["examples"].as_array().unwrap() {
        assert_eq!(objections(&schema, example), Vec::<String>::new());
        accepted(example).unwrap();
    }
}

#[test]
fn the_full_file_has_every_key_of_the_schema_but_the_other_form_of_a_schedule() {
    let mut missing = schema_walk::keys_not_in(&config::schema(), &full());
    missing.sort();
    missing.dedup();
    assert_eq!(missing, ["every", "schedule"]);
    // `schedule` is only missing at the top, where it would contradict `defaults`.
    assert!(full()["defaults"]["schedule"].is_string());
}

#[test]
fn what_one_refuses_the_other_refuses() {
    let schema = config::schema();
    for (pointer, value) in [
        ("/unknown", json!(1)),
        ("/platforms/session/flink/unknown", json!(1)),
        ("/platforms/session/unknown", json!(1)),
        ("/defaults/job", json!("a")),
        ("/defaults/attempts", json!(0)),
        ("/defaults/attempts", json!(11)),
        ("/defaults/attempts", json!("two")),
        ("/defaults/format", json!("Native")),
        ("/defaults/never", json!("Sun")),
        ("/defaults/schedule", Value::Null),
        ("/applications/1/quiet", json!({})),
        ("/applications", json!({})),
        ("/applications/0", json!([])),
        ("/applications/0", json!("")),
        ("/applications/1/job", json!("")),
        ("/platforms/session/flink/concurrency", json!(0)),
        ("/platforms/session/flink/auth", json!({})),
        (
            "/platforms/session/flink/auth/basic/password",
            json!("plain"),
        ),
        ("/platforms/session/flink/auth/bearer", json!("${env:A}")),
        (
            "/platforms/session/flink/client_cert",
            json!({ "cert": "a" }),
        ),
        ("/catalog", json!({})),
        ("/stores/state/unknown", json!({})),
        ("/stores/state/s3/bucket", json!("state")),
        ("/stores/state/s3/path_style", json!("yes please")),
        ("/stores/state/s3/secret_key", json!("plain")),
        ("/stores/state/gcs", json!({})),
    ] {
        let mut file = full();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match file.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
            object => object[key] = value,
        }
        assert!(!objections(&schema, &file).is_empty(), "schema: {pointer}");
        accepted(&file).expect_err(pointer);
    }
}

#[test]
fn references_are_refused_in_every_text_but_secrets() {
    let full = full();
    let pointers = text_keys(&full);
    assert!(pointers.len() > 25, "{pointers:?}");
    for pointer in pointers {
        let mut file = full.clone();
        let value = file.pointer_mut(&pointer).unwrap();
        let is_one_of = |keys: &[&str]| keys.iter().any(|key| pointer.ends_with(key));
        let secret = is_one_of(&["/password", "/bearer", "token", "_key"]);
        *value = json!("${env:A}");
        let shown = accepted(&file);
        if secret {
            shown.unwrap();
        } else if is_one_of(&["/format", "/resolve", "/reach"]) {
            shown.expect_err("a closed set of words");
        } else if pointer.starts_with("/applications/0") {
            assert!(shown.unwrap_err().contains("cannot stand in a name"));
        } else {
            let shown = shown.unwrap_err();
            assert!(
                shown.contains("`${…}` cannot stand here"),
                "{pointer}: {shown}"
            );
        }
    }
}

/// Files that are mostly right.
fn any_file() -> impl Strategy<Value = Value> {
    let text = |choices: &'static [&'static str]| {
        proptest::option::of(prop::sample::select(choices).prop_map(|text| json!(text)))
    };
    let rules = (
        text(&["0 1 * * *", "H * * * *", "@daily", "61 * * * *"]),
        text(&["6h", "30m", "1s"]),
        text(&["UTC", "Asia/Tokyo"]),
        text(&["canonical", "native"]),
        text(&["/mnt/a", "s3://b/c"]),
        text(&["2m", "3h"]),
        text(&["1m", "4h"]),
        proptest::option::of((0_u32..12).prop_map(|number| json!(number))),
    );
    let rules = rules.prop_map(|values| {
        let (schedule, every, timezone, format, target, deadline, patience, attempts) = values;
        let entries = [
            ("schedule", schedule),
            ("every", every),
            ("timezone", timezone),
            ("format", format),
            ("target", target),
            ("deadline", deadline),
            ("patience", patience),
            ("attempts", attempts),
        ];
        entries
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect::<serde_json::Map<String, Value>>()
    });
    let applications = prop::collection::vec(("[a-d]{1,2}", rules.clone()), 0..4);
    (rules, applications).prop_map(|(defaults, applications)| {
        let applications: Vec<Value> = applications
            .into_iter()
            .map(|(name, mut rules)| {
                rules.insert("name".to_owned(), json!(name));
                Value::Object(rules)
            })
            .collect();
        json!({
            "platforms": { "a": { "flink": { "url": "http://a" } } },
            "defaults": defaults,
            "applications": applications,
        })
    })
}

proptest! {
    #[test]
    fn what_is_read_is_valid(file in any_file()) {
        if accepted(&file).is_ok() {
            prop_assert_eq!(objections(&config::schema(), &file), Vec::<String>::new());
        }
    }
}
