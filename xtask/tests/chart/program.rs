//! The program takes the configuration that the chart renders.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::helm::{NAMESPACE, configuration, matrix, objects, root};

/// Where the chart mounts the platform's token.
const TOKEN: &str = "/var/run/secrets/lowtide/token";

/// Where the program is, if whoever runs the tests has built it.
const PROGRAM: &str = "LOWTIDE_PROGRAM";

fn lowtide() -> PathBuf {
    env::var_os(PROGRAM).map_or_else(built, PathBuf::from)
}

/// The program, built as the other tests of the workspace have it.
fn built() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["build", "--locked", "--package", "lowtide"])
        .args(["--features", "crash-points"])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "lowtide does not build");
    let messages = String::from_utf8(output.stdout).unwrap();
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "lowtide")
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .expect("cargo names the program")
}

#[test]
fn lowtide_check_takes_every_rendered_configuration() {
    let lowtide = lowtide();
    for (name, values) in matrix() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, "a-token").unwrap();
        let rendered = objects(NAMESPACE, &values, &[]);
        let text = configuration(&rendered).replace(TOKEN, token.to_str().unwrap());
        let file = folder.path().join("lowtide.yaml");
        fs::write(&file, &text).unwrap();
        let output = Command::new(&lowtide)
            .env("PRODUCTION_TOKEN", "a-token")
            .env("ANALYTICS_TOKEN", "another-token")
            .args(["check", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{name}:\n{text}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
