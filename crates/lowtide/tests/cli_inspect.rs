//! `inspect` on savepoints that real releases of Flink wrote. Their state files are made here,
//! sparse, with the sizes that they had.
#![allow(clippy::unwrap_used)]

mod shared;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use shared::Place;

fn some_state_file(directory: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap() != "_metadata")
        .collect();
    files.sort();
    files.swap_remove(0)
}

#[test]
fn whole_savepoints_of_every_release() {
    for fixture in [
        "1.16.3/hashmap-canonical",
        "1.18.1/hashmap-native",
        "1.20.5/hashmap-canonical",
        "2.3.0/hashmap-native",
        "2.3.0/rocks-native",
    ] {
        let place = Place::new("");
        let directory = place.savepoint(fixture);
        let ended = place.run(&["inspect", directory.to_str().unwrap()]);
        assert_eq!(ended.code, 0, "{fixture}: {}", ended.text());
    }
}

#[test]
fn a_whole_savepoint_reads_well() {
    let place = Place::new("");
    place.savepoint("2.3.0/hashmap-native");
    // A relative path, and the file instead of the directory.
    let ended = place.run(&["inspect", "savepoint-0102"]);
    insta::assert_snapshot!(place.text(&ended));
    let by_file = place.run(&["inspect", "savepoint-0102/_metadata"]);
    assert_eq!(by_file.text(), ended.text());
}

#[test]
fn it_is_stable_for_programs() {
    let place = Place::new("");
    place.savepoint("2.3.0/hashmap-native");
    let ended = place.run(&["inspect", "savepoint-0102", "-o", "json"]);
    insta::assert_snapshot!(place.text(&ended));
}

#[test]
fn a_missing_file_is_broken() {
    let place = Place::new("");
    let directory = place.savepoint("2.3.0/hashmap-native");
    fs::remove_file(some_state_file(&directory)).unwrap();
    let ended = place.run(&["inspect", "savepoint-0102"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.stderr.contains("is broken") && ended.stderr.contains("missing: "),
        "{}",
        ended.text()
    );
}

#[test]
fn a_short_file_is_broken() {
    let place = Place::new("");
    let directory = place.savepoint("2.3.0/hashmap-native");
    let file = File::options()
        .write(true)
        .open(some_state_file(&directory))
        .unwrap();
    file.set_len(10).unwrap();
    let ended = place.run(&["inspect", "savepoint-0102", "-o", "json"]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.json()["verdict"], "broken");
    assert!(
        ended.json()["findings"][0]
            .as_str()
            .unwrap()
            .starts_with("short: ")
    );
}

#[test]
fn truncated_metadata_is_broken() {
    let place = Place::new("");
    let directory = place.savepoint("2.3.0/hashmap-native");
    let file = File::options()
        .write(true)
        .open(directory.join("_metadata"))
        .unwrap();
    file.set_len(100).unwrap();
    let ended = place.run(&["inspect", "savepoint-0102"]);
    assert_eq!(ended.code, 1, "{}", ended.text());
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("`_metadata`: "), "{}", ended.text());
}

#[test]
fn what_cannot_be_read_is_not_broken() {
    let place = Place::new("");
    // No configuration is needed, and none says where the bucket is.
    fs::remove_file(place.path("lowtide.yaml")).unwrap();
    for location in ["nowhere", "s3://bucket/savepoint-0102"] {
        let ended = place.run(&["inspect", location]);
        assert_eq!(ended.code, 4, "{}", ended.text());
        assert!(
            ended.stderr.contains("error: cannot read"),
            "{}",
            ended.text()
        );
        assert!(!ended.stderr.contains("broken"), "{}", ended.text());
    }
}
