//! Every set of values that cannot work is refused when it is rendered, with the cause and what to do instead.

use std::fmt::Write as _;
use std::fs;

use insta::assert_snapshot;

use crate::helm::{NAMESPACE, template};

/// What all cases share; each assigns over it.
const GOOD: &str = "
applications: [orders]
schedule: \"0 1 * * *\"
platform: { url: \"http://vvp-gateway:8080\" }
catalog: { kind: volume }
";

/// Assignments as `--set-json` takes them, by what is wrong with them.
const CASES: &[(&str, &[&str])] = &[
    ("no platform", &[r#"platform.url="""#]),
    ("no applications", &["applications=[]"]),
    ("no choice of a catalog", &[r#"catalog.kind="""#]),
    (
        "the catalog in the configuration",
        &[r#"config={"catalog":"none"}"#],
    ),
    (
        "paths beside platforms",
        &[
            r#"savepoints.paths={"file:/flink":"/mnt"}"#,
            r#"config={"platforms":{"session":{"flink":{"url":"http://jobmanager:8081"}}}}"#,
        ],
    ),
    ("metrics", &["serviceMonitor.enabled=true"]),
    (
        "a daemon without a catalog",
        &[r#"mode="serve""#, r#"catalog.kind="none""#],
    ),
    (
        "a schedule of its own",
        &[r#"applications=["orders",{"name":"payments","schedule":"0 2 * * *"}]"#],
    ),
    (
        "an interval of its own",
        &[r#"applications=[{"name":"payments","every":"6h"}]"#],
    ),
    (
        "a zone of its own",
        &[r#"applications=[{"name":"payments","timezone":"Asia/Tokyo"}]"#],
    ),
    ("an interval for all", &[r#"config={"every":"6h"}"#]),
    (
        "an interval in the defaults",
        &[r#"config={"defaults":{"every":"30m"}}"#],
    ),
    ("no schedule", &[r#"schedule="""#]),
    ("H", &[r#"schedule="H 1 * * *""#]),
    ("H with a step", &[r#"schedule="H/15 * * * *""#]),
    ("a small h", &[r#"schedule="h 1 * * *""#]),
    ("L", &[r#"schedule="0 1 L * *""#]),
    ("L of a weekday", &[r#"schedule="0 1 * * FRIL""#]),
    ("W", &[r#"schedule="0 1 15W * *""#]),
    ("the second Friday", &[r#"schedule="0 1 * * 5#2""#]),
    (
        "H in the defaults",
        &[r#"config={"defaults":{"schedule":"H H * * *"}}"#],
    ),
    ("Sunday as 7", &[r#"schedule="0 1 * * 1-5,7""#]),
    ("a range to 7", &[r#"schedule="0 1 * * 5-7""#]),
    ("@every", &[r#"schedule="@every 6h""#]),
    ("four fields", &[r#"schedule="0 1 * *""#]),
    ("six fields", &[r#"schedule="0 0 1 * * *""#]),
    ("words", &[r#"schedule="every day at one o'clock""#]),
    ("a zone in the pattern", &[r#"schedule="TZ=UTC 1 * * *""#]),
    // What the schema refuses.
    ("an unknown value", &[r#"shedule="0 1 * * *""#]),
    (
        "an unknown key of the platform",
        &[r#"platform.uri="http://vvp""#],
    ),
    ("an unknown mode", &[r#"mode="daemon""#]),
    (
        "an unknown way to resolve",
        &[r#"platform.resolve="labels""#],
    ),
    (
        "an unknown key of the configuration",
        &[r#"config={"platform":{}}"#],
    ),
    ("an application that is a number", &["applications=[7]"]),
    (
        "an application without a name",
        &[r#"applications=[{"job":"Orders"}]"#],
    ),
    ("the node's own zone", &[r#"timeZone="Local""#]),
    (
        "a deadline that never starts",
        &["cronjob.startingDeadlineSeconds=5"],
    ),
];

#[test]
fn every_refusal_names_the_cause_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    fs::write(&values, GOOD).unwrap();
    template(NAMESPACE, &values, &[]).expect("what the cases start from is good");
    let mut all = String::new();
    for (name, sets) in CASES {
        let said = template(NAMESPACE, &values, sets)
            .expect_err(&format!("{name}: {sets:?} must be refused"));
        writeln!(all, "=== {name}: {}\n{}", sets.join(" "), said.trim_end()).unwrap();
    }
    assert_snapshot!(all);
}

#[test]
fn the_daemon_takes_what_a_cronjob_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    fs::write(&values, GOOD).unwrap();
    for schedule in ["H 1 * * *", "0 1 L * *", "0 1 15W * *", "0 1 * * 5#2", ""] {
        let set = format!("schedule={schedule:?}");
        template(NAMESPACE, &values, &[r#"mode="serve""#, &set]).unwrap();
    }
    for applications in [
        r#"applications=[{"name":"orders","schedule":"0 2 * * *"}]"#,
        r#"applications=[{"name":"orders","every":"6h"}]"#,
        r#"applications=[{"name":"orders","timezone":"Asia/Tokyo"}]"#,
    ] {
        template(NAMESPACE, &values, &[r#"mode="serve""#, applications]).unwrap();
    }
}
