//! What is rendered for each values file of the matrix, kept in snapshots and read in review.

use insta::assert_snapshot;

use crate::helm::{NAMESPACE, RELEASE, helm, matrix, objects, of_kind, template};

#[test]
fn every_values_file_renders_what_its_snapshot_shows() {
    for (name, values) in matrix() {
        assert_snapshot!(name, template(NAMESPACE, &values, &[]).unwrap());
    }
}

#[test]
fn the_notes_say_what_to_look_at() {
    for (name, values) in matrix() {
        let output = helm(&[
            "install",
            RELEASE,
            "charts/lowtide",
            "--namespace",
            NAMESPACE,
            "--dry-run=client",
            "--values",
            values.to_str().unwrap(),
        ]);
        let said = String::from_utf8(output.stdout).unwrap();
        let (_, notes) = said.split_once("\nNOTES:\n").expect(&name);
        assert_snapshot!(format!("notes_{name}"), notes);
    }
}

#[test]
fn the_linter_finds_nothing() {
    for (name, values) in matrix() {
        let output = helm(&[
            "lint",
            "--strict",
            "charts/lowtide",
            "--namespace",
            NAMESPACE,
            "--values",
            values.to_str().unwrap(),
        ]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && !said.contains("[WARNING]") && !said.contains("[ERROR]"),
            "{name}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn a_changed_configuration_restarts_the_daemon_and_nothing_else_does() {
    let (_, values) = matrix()
        .into_iter()
        .find(|(name, _)| name == "serve")
        .unwrap();
    let checksum = |set: &str| {
        let objects = objects(NAMESPACE, &values, &[set]);
        let deployment = of_kind(&objects, "Deployment")[0].clone();
        let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
        annotations["checksum/config"].as_str().unwrap().to_owned()
    };
    let before = checksum("timeZone=\"UTC\"");
    assert_ne!(before, checksum("timeZone=\"Europe/Berlin\""));
    assert_eq!(before, checksum("resources={}"));
}
