//! The house holds: dependencies run only along the arrows that `ARCHITECTURE.md` draws.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Who may depend on whom among our own crates, for normal and build dependencies.
const ARROWS: [(&str, &[&str]); 8] = [
    ("flink-metadata", &[]),
    ("lowtide-core", &["flink-metadata"]),
    ("lowtide-catalog", &["lowtide-core"]),
    ("lowtide-world", &["lowtide-core"]),
    ("lowtide-sim", &["lowtide-core"]),
    (
        "lowtide",
        &["lowtide-core", "lowtide-catalog", "lowtide-world"],
    ),
    ("testbench", &[]),
    ("xtask", &["flink-metadata", "lowtide-sim", "testbench"]),
];

/// Who may depend on whom for tests alone. Besides the testbench these are a crate's own features
/// (`flink-metadata`'s writer, the conformance suite of `lowtide-core`).
const TEST_ARROWS: [(&str, &[&str]); 8] = [
    ("flink-metadata", &["testbench", "flink-metadata"]),
    ("lowtide-core", &["flink-metadata"]),
    ("lowtide-catalog", &["testbench", "lowtide-core"]),
    (
        "lowtide-world",
        &["testbench", "lowtide-core", "flink-metadata"],
    ),
    ("lowtide-sim", &["lowtide-core", "flink-metadata"]),
    ("lowtide", &["testbench", "lowtide-core", "flink-metadata"]),
    ("testbench", &[]),
    ("xtask", &[]),
];

/// What must not be reachable from the core: whoever decides does nothing.
const NOT_IN_CORE: [&str; 6] = ["tokio", "sqlx", "reqwest", "hyper", "kube", "opendal"];

/// The platform that this machine compiles for. Crates of other platforms need not be here: a machine that only
/// ever built Lowtide has not downloaded them.
fn host() -> String {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .expect("rustc runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.expect("rustc names its host").to_owned()
}

fn metadata(arguments: &[&str]) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("in the repository");
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(arguments)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

#[test]
fn dependencies_run_along_the_arrows() {
    let metadata = metadata(&["--no-deps"]);
    let packages = list(&metadata["packages"]);
    let ours: BTreeSet<&str> = packages
        .iter()
        .map(|package| text(&package["name"]))
        .collect();
    assert_eq!(
        ours,
        ARROWS.iter().map(|(name, _)| *name).collect(),
        "a crate without arrows"
    );
    let (arrows, test_arrows) = (BTreeMap::from(ARROWS), BTreeMap::from(TEST_ARROWS));
    for package in packages {
        let name = text(&package["name"]);
        for dependency in list(&package["dependencies"]) {
            let target = text(&dependency["name"]);
            let for_tests = dependency["kind"] == "dev";
            let allowed = if for_tests {
                test_arrows[name]
            } else {
                arrows[name]
            };
            assert!(
                !ours.contains(target) || allowed.contains(&target),
                "{name} depends on {target}{}: no arrow is drawn there",
                if for_tests { " for its tests" } else { "" }
            );
        }
    }
}

#[test]
fn the_core_reaches_no_runtime_and_no_io() {
    let metadata = metadata(&["--filter-platform", &host()]);
    let names: BTreeMap<&str, &str> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let nodes: BTreeMap<&str, &Value> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| (text(&node["id"]), node))
        .collect();
    let (core, _) = names
        .iter()
        .find(|(_, name)| **name == "lowtide-core")
        .expect("the core is there");
    let mut reached = BTreeSet::new();
    let mut open = vec![*core];
    while let Some(id) = open.pop() {
        if !reached.insert(names[id]) {
            continue;
        }
        for dependency in list(&nodes[id]["deps"]) {
            // A kind of `null` is a normal dependency.
            if list(&dependency["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"].is_null())
            {
                open.push(text(&dependency["pkg"]));
            }
        }
    }
    assert!(reached.contains("jiff"), "the closure was not walked");
    for wrong in NOT_IN_CORE {
        assert!(!reached.contains(wrong), "lowtide-core reaches {wrong}");
    }
}

#[test]
fn every_crate_keeps_the_lints() {
    for package in list(&metadata(&["--no-deps"])["packages"]) {
        let manifest =
            std::fs::read_to_string(text(&package["manifest_path"])).expect("a manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} has lints of its own",
            text(&package["name"])
        );
    }
}
