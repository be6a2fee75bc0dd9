//! Real Helm on our chart, with nothing of the machine's own: no cluster, no plug-ins, no caches.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The release's name in all renderings.
pub const RELEASE: &str = "lowtide";
/// The release's namespace, where a test has no other one.
pub const NAMESPACE: &str = "savepoints";
/// The Kubernetes that the chart is rendered for.
const KUBERNETES: &str = testbench::kubernetes::VERSION;

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository's root")
}

/// The chart.
pub fn chart() -> PathBuf {
    root().join("charts/lowtide")
}

/// The values files of the matrix, with their short names.
pub fn matrix() -> Vec<(String, PathBuf)> {
    let mut files: Vec<_> = fs::read_dir(chart().join("ci"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix("-values.yaml")?;
            Some((name.to_owned(), path.clone()))
        })
        .collect();
    files.sort();
    assert!(files.len() >= 5, "the matrix has shrunk to {files:?}");
    files
}

/// Runs Helm.
pub fn helm(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(testbench::kubernetes::helm().expect("Helm can be built"))
        .args(arguments)
        .env("HELM_CACHE_HOME", home.path())
        .env("HELM_CONFIG_HOME", home.path())
        .env("HELM_DATA_HOME", home.path())
        .env("KUBECONFIG", "/dev/null")
        .current_dir(root())
        .output()
        .expect("Helm runs")
}

/// What `helm template` prints for a values file and further `--set-json` assignments; `Err`: what it refuses with.
pub fn template(namespace: &str, values: &Path, sets: &[&str]) -> Result<String, String> {
    let mut arguments = vec![
        "template",
        RELEASE,
        "charts/lowtide",
        "--namespace",
        namespace,
        "--kube-version",
        KUBERNETES,
        "--values",
        values.to_str().unwrap(),
    ];
    for set in sets {
        arguments.extend(["--set-json", set]);
    }
    let output = helm(&arguments);
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// The objects that are rendered for a values file.
pub fn objects(namespace: &str, values: &Path, sets: &[&str]) -> Vec<Value> {
    let text = template(namespace, values, sets).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("Helm prints YAML");
    objects.into_iter().filter(|it| !it.is_null()).collect()
}

/// The objects of one kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|it| it["kind"] == kind).collect()
}

/// Lowtide's configuration file in what was rendered.
pub fn configuration(objects: &[Value]) -> &str {
    let maps = of_kind(objects, "ConfigMap");
    assert_eq!(maps.len(), 1);
    maps[0]["data"]["lowtide.yaml"].as_str().unwrap()
}
