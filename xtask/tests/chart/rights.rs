//! The Roles hold exactly what the README's table says, for every way to use the chart.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::helm::{NAMESPACE, chart, objects, of_kind};

/// Where Flink runs in these renderings.
const FLINK: &str = "flink";

/// One right: namespace, API group, resource, verb.
type Right = (String, String, String, String);

/// A row of the table, verbs taken apart.
struct Row {
    mode: String,
    purpose: String,
    place: String,
    group: String,
    resource: String,
    verbs: Vec<String>,
}

/// The table under "Rights".
fn table() -> Vec<Row> {
    let text = fs::read_to_string(chart().join("README.md")).unwrap();
    let section = text.split("\n## ").find(|it| it.starts_with("Rights\n"));
    let rows: Vec<Row> = section
        .expect("the README has a chapter on rights")
        .lines()
        .filter(|line| line.starts_with("| cronjob") || line.starts_with("| serve"))
        .map(|line| {
            let cells: Vec<String> = line
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect();
            let [mode, purpose, place, group, resource, verbs] = &cells[..] else {
                panic!("a row with other columns: {line}");
            };
            Row {
                mode: mode.clone(),
                purpose: purpose.clone(),
                place: place.clone(),
                group: group.clone(),
                resource: resource.clone(),
                verbs: verbs.split(", ").map(str::to_owned).collect(),
            }
        })
        .collect();
    assert!(rows.len() >= 5, "the table of rights is gone");
    rows
}

/// What the table grants.
fn promised(mode: &str, purposes: &[&str]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for row in table() {
        let applies = purposes.iter().any(|it| row.purpose.contains(it));
        if row.mode != mode || !(applies || row.purpose.starts_with("every run")) {
            continue;
        }
        let namespace = match row.place.as_str() {
            "the release" => NAMESPACE,
            "Flink's pods" | "the platform" => FLINK,
            other => panic!("the table names a namespace that is none: {other}"),
        };
        let group = if row.group == "core" { "" } else { &row.group };
        for verb in row.verbs {
            rights.insert((
                namespace.to_owned(),
                group.to_owned(),
                row.resource.clone(),
                verb,
            ));
        }
    }
    rights
}

fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().expect("a list");
    list.iter().map(|it| it.as_str().unwrap()).collect()
}

/// What the rendered Roles grant to the service account.
fn granted(objects: &[Value]) -> BTreeSet<Right> {
    assert!(
        of_kind(objects, "ClusterRole").is_empty()
            && of_kind(objects, "ClusterRoleBinding").is_empty()
    );
    let mut rights = BTreeSet::new();
    let bindings = of_kind(objects, "RoleBinding");
    for role in of_kind(objects, "Role") {
        let bound = bindings.iter().any(|it| {
            it["metadata"]["namespace"] == role["metadata"]["namespace"]
                && it["roleRef"]["name"] == role["metadata"]["name"]
                && it["subjects"][0]["name"] == "lowtide"
                && it["subjects"][0]["namespace"] == NAMESPACE
        });
        assert!(bound, "nobody is bound to {role}");
        for rule in role["rules"].as_array().unwrap() {
            assert_eq!(rule.as_object().unwrap().len(), 3, "{rule}");
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    for verb in texts(&rule["verbs"]) {
                        let right = [
                            role["metadata"]["namespace"].as_str().unwrap(),
                            group,
                            resource,
                            verb,
                        ];
                        let [a, b, c, d] = right.map(str::to_owned);
                        assert!(rights.insert((a, b, c, d)), "twice: {right:?}");
                    }
                }
            }
        }
    }
    rights
}

/// Whether the pod gets a token of its service account.
fn has_token(objects: &[Value]) -> bool {
    let pod = match (of_kind(objects, "CronJob"), of_kind(objects, "Deployment")) {
        (cronjobs, deployments) if cronjobs.len() == 1 && deployments.is_empty() => {
            &cronjobs[0]["spec"]["jobTemplate"]["spec"]["template"]
        }
        (cronjobs, deployments) if cronjobs.is_empty() && deployments.len() == 1 => {
            &deployments[0]["spec"]["template"]
        }
        _ => panic!("neither one CronJob nor one Deployment"),
    };
    pod["spec"]["automountServiceAccountToken"]
        .as_bool()
        .unwrap()
}

fn values(folder: &Path, platforms: &str) -> std::path::PathBuf {
    let path = folder.join("values.yaml");
    let text = format!(
        "applications: [orders]\ncatalog: {{ kind: volume }}\nconfig: {{ platforms: {{ {platforms} }} }}\n"
    );
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_roles_are_what_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let url = "url: \"http://vvp:8080\", namespace: default";
    let pods = format!(
        "vvp: {{ ververica: {{ {url}, resolve: pods, kubernetes: {{ namespace: {FLINK} }} }} }}"
    );
    let api = format!("vvp: {{ ververica: {{ {url}, resolve: api }} }}");
    let unsaid = format!("vvp: {{ ververica: {{ {url} }} }}");
    let fleet = format!("fleet: {{ kubernetes: {{ namespace: {FLINK} }} }}");
    let proxied = format!("fleet: {{ kubernetes: {{ namespace: {FLINK}, reach: proxy }} }}");
    let elsewhere =
        "fleet: { kubernetes: { namespace: flink, kubeconfig: /etc/other } }".to_owned();
    let flink = "session: { flink: { url: \"http://jobmanager:8081\" } }".to_owned();
    let both = format!("{pods}, {fleet}");
    let cases: [(&str, &[&str]); 8] = [
        (&api, &[]),
        (&unsaid, &[]),
        (&flink, &[]),
        (&elsewhere, &[]),
        (&pods, &["`resolve: pods`"]),
        (&fleet, &["`kubernetes` platform"]),
        (&proxied, &["`kubernetes` platform", "`reach: proxy`"]),
        (&both, &["`resolve: pods`", "`kubernetes` platform"]),
    ];
    for mode in ["cronjob", "serve"] {
        for (platforms, purposes) in cases {
            let set = format!("mode={mode:?}");
            let objects = objects(NAMESPACE, &values(folder.path(), platforms), &[&set]);
            let rights = granted(&objects);
            assert_eq!(rights, promised(mode, purposes), "{mode}, {platforms}");
            assert_eq!(
                has_token(&objects),
                !rights.is_empty(),
                "{mode}, {platforms}"
            );
        }
    }
}

#[test]
fn without_rbac_there_are_no_roles() {
    let folder = tempfile::tempdir().unwrap();
    let values = values(folder.path(), "fleet: { kubernetes: { namespace: flink } }");
    let objects = objects(NAMESPACE, &values, &["rbac.create=false"]);
    assert!(of_kind(&objects, "Role").is_empty() && of_kind(&objects, "RoleBinding").is_empty());
}
