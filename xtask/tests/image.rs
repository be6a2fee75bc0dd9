//! `cargo xtask image` builds an image whose only program is static, runs as nobody, and needs nothing else.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Unpacks a tar with the machine's own `tar`: other eyes than those that wrote it.
fn unpack(archive: &Path, folder: &Path) {
    fs::create_dir(folder).unwrap();
    let status = Command::new("tar")
        .args(["--no-same-owner", "-xpf"])
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .status()
        .unwrap();
    assert!(status.success());
}

fn build(output: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args([
            "image",
            "--profile",
            "image-test",
            "--tag",
            "lowtide:test",
            "--output",
        ])
        .arg(output)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn the_image_holds_a_static_program_and_nothing_that_it_does_not_need() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("image.tar");
    build(&archive);
    unpack(&archive, &folder.path().join("image"));
    let read = |name: &str| fs::read(folder.path().join("image").join(name)).unwrap();
    let manifest: Value = serde_json::from_slice(&read("manifest.json")).unwrap();
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["lowtide:test"]));
    let config: Value =
        serde_json::from_slice(&read(manifest[0]["Config"].as_str().unwrap())).unwrap();
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(
        config["config"]["Entrypoint"],
        serde_json::json!(["/lowtide"])
    );
    let layers = manifest[0]["Layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);

    let files = folder.path().join("files");
    let layer = folder
        .path()
        .join("image")
        .join(layers[0].as_str().unwrap());
    unpack(&layer, &files);
    let mut top: Vec<_> = fs::read_dir(&files)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    top.sort();
    assert_eq!(top, ["etc", "lowtide", "tmp"]);
    let mode = fs::metadata(files.join("tmp"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o1777);
    let roots = fs::read_to_string(files.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert!(roots.matches("BEGIN CERTIFICATE").count() > 50);

    // A program that needs a loader names it in its header; a static one starts without any file beside it.
    let program = files.join("lowtide");
    let bytes = fs::read(&program).unwrap();
    assert!(
        !bytes.windows(8).any(|it| it == b"ld-musl-"),
        "it asks for a loader"
    );
    let output = Command::new(&program).arg("--version").output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        concat!("lowtide ", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_same_program_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.tar", "two.tar"].map(|name| folder.path().join(name));
    build(&one);
    build(&two);
    assert!(fs::read(one).unwrap() == fs::read(two).unwrap());
}
