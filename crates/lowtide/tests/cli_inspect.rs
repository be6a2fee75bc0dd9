//! `inspect` on savepoints that real releases of Flink wrote. Their state files are made here,
//! sparse, with the sizes that they had.
#![allow(clippy::unwrap_used)]

mod shared;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use shared::{Ended, Place};

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
fn names_of_states_are_read_from_headers() {
    // Its headers lie in the metadata itself, so they are real.
    let place = Place::new("");
    place.savepoint("2.3.0/rocks-native");
    let ended = place.run(&["inspect", "savepoint-0102"]);
    insta::assert_snapshot!(place.text(&ended));
}

#[test]
fn records_in_flight_and_finished_operators_are_told() {
    for (fixture, name) in [
        ("1.20.5/unal-chk-8", "in_flight"),
        ("2.3.0/hashmap-finished", "finished"),
    ] {
        let place = Place::new("");
        place.savepoint(fixture);
        let ended = place.run(&["inspect", "savepoint-0102"]);
        insta::assert_snapshot!(name, place.text(&ended));
    }
}

#[test]
fn one_operator_is_shown_whole() {
    let place = Place::new("");
    place.savepoint("2.3.0/hashmap-canonical");
    let by_uid = place.run(&["inspect", "savepoint-0102", "--operator", "keyed-uid"]);
    insta::assert_snapshot!(place.text(&by_uid));
    for typed in [
        "keyed ümläut 😀",
        "0280cff30166c8fe8bb88cc69f845dc0",
        "0280CF",
    ] {
        let ended = place.run(&["inspect", "savepoint-0102", "--operator", typed]);
        assert_eq!(ended.text(), by_uid.text(), "{typed}");
    }
    let json = [
        "inspect",
        "savepoint-0102",
        "--operator",
        "keyed-uid",
        "-o",
        "json",
    ];
    let json = place.run(&json).json();
    assert_eq!(json["operators"].as_array().unwrap().len(), 1);
    assert_eq!(json["operators"][0]["over_key_groups"]["places"], 128);
}

/// Nothing was printed but what is wrong with how it was called.
#[track_caller]
fn assert_refused(ended: &Ended, told: &str) {
    assert_eq!(
        (ended.code, ended.stdout.as_str()),
        (2, ""),
        "{}",
        ended.text()
    );
    assert!(ended.stderr.contains(told), "{}", ended.text());
}

#[test]
fn an_operator_that_is_not_there_is_told() {
    let place = Place::new("");
    place.savepoint("2.3.0/hashmap-native");
    for (typed, told) in [
        ("keyed-id", "did you mean `keyed-uid`?"),
        ("028", "`lowtide inspect --all` lists"),
    ] {
        let ended = place.run(&["inspect", "savepoint-0102", "--operator", typed]);
        assert_refused(&ended, told);
    }
    let both = place.run(&["inspect", "savepoint-0102", "--operator", "x", "--all"]);
    assert_eq!(both.code, 2, "{}", both.text());
}

#[test]
fn a_list_of_uids_names_operators_of_old_releases() {
    let place = Place::new("");
    let directory = place.savepoint("1.20.5/hashmap-canonical");
    fs::write(
        place.path("uids"),
        "# of the job\nsrc-uid\nkeyed-uid\n\nopstate-uid\nlong-gone\n",
    )
    .unwrap();
    let ended = place.run(&["inspect", "savepoint-0102"]);
    insta::assert_snapshot!("without_uids", place.text(&ended));
    let ended = place.run(&["inspect", "savepoint-0102", "--uids", "uids"]);
    insta::assert_snapshot!("with_uids", place.text(&ended));
    let arguments = ["inspect", "savepoint-0102", "--uids", "uids", "-o", "json"];
    let json = place.run(&arguments).json();
    assert_eq!(json["uids_unmatched"][0], "long-gone");
    assert_eq!(json["operators"][0]["uid"], "keyed-uid");
    assert_eq!(json["operators"][0]["uid_from"], "list");
    // Also where there is less to see.
    let one = [
        "inspect",
        "savepoint-0102",
        "--uids",
        "uids",
        "--operator",
        "src-uid",
    ];
    let one = place.run(&one);
    assert!(one.stdout.starts_with("src-uid\n"), "{}", one.text());
    assert!(
        one.stderr.contains("uids of the list: long-gone"),
        "{}",
        one.text()
    );
    // Of what cannot be read no uid is missed.
    fs::write(directory.join("_metadata"), "damaged").unwrap();
    let ended = place.run(&["inspect", "savepoint-0102", "--uids", "uids"]);
    assert_eq!(ended.code, 1);
    assert!(!ended.stderr.contains("long-gone"), "{}", ended.text());
}

#[test]
fn a_bad_list_of_uids_is_refused_with_its_line() {
    let place = Place::new("");
    place.savepoint("1.20.5/hashmap-canonical");
    fs::write(place.path("uids"), "src-uid\n\"keyed-uid\",\n").unwrap();
    for (list, told) in [
        ("uids", "because: line 2: write the uid without quotes"),
        ("nowhere", "because: it cannot be read"),
    ] {
        let ended = place.run(&["inspect", "savepoint-0102", "--uids", list]);
        assert_refused(&ended, told);
    }
}

#[test]
fn a_header_that_cannot_be_read_fails_nothing() {
    let place = Place::new("");
    let directory = place.savepoint("2.3.0/hashmap-native");
    // Files of the right size, with nothing in them.
    let ended = place.run(&["inspect", "savepoint-0102", "-o", "json"]);
    assert_eq!(ended.code, 0, "{}", ended.text());
    let keyed = &ended.json()["operators"][0];
    assert!(keyed["keyed_states"].is_null());
    let why = keyed["keyed_states_unknown"].as_str().unwrap();
    assert!(why.starts_with("no header of keyed state"), "{why}");
    // None of them: the verdict is of the files, and the names are told to be unknown.
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("_metadata") {
            fs::remove_file(path).unwrap();
        }
    }
    let ended = place.run(&["inspect", "savepoint-0102", "-o", "json"]);
    assert_eq!(ended.code, 1, "{}", ended.text());
    let why = ended.json()["operators"][0]["keyed_states_unknown"].to_string();
    assert!(why.contains(" is missing"), "{why}");
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
