//! Trees as Flink leaves them, and what is said of each.
#![allow(clippy::unwrap_used)]

use flink_metadata::{
    BackendFile, IncrementalHandle, KeyGroupRange, KeyedStateHandle, Operator, OperatorId,
    StreamHandle, Subtask, SubtaskState,
};

use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn at(minutes_ago: i64) -> Timestamp {
    now() - SignedDuration::from_mins(minutes_ago)
}

fn tree(files: &[(&str, u64)]) -> Tree {
    let mut tree = Tree::default();
    for (path, bytes) in files {
        tree.file(path, *bytes, Some(at(60))).unwrap();
    }
    tree
}

fn prefix() -> Location {
    Location::new("s3://state/job")
}

fn below(location: &Location) -> Option<String> {
    location
        .as_str()
        .strip_prefix("s3://state/job/")
        .map(str::to_owned)
}

/// A `_metadata` that needs these files, each a location and its size.
fn needs(files: &[(&str, u64)]) -> Metadata {
    let shared = files
        .iter()
        .enumerate()
        .map(|(number, (uri, bytes))| BackendFile {
            local_path: format!("{number:06}.sst"),
            stream: StreamHandle::File {
                path: (*uri).to_owned(),
                size: Some(*bytes),
            },
        });
    let keyed = IncrementalHandle {
        checkpoint_id: 1,
        backend_id: "backend".to_owned(),
        range: KeyGroupRange {
            start: 0,
            count: 128,
        },
        meta: StreamHandle::Inline {
            name: "meta".to_owned(),
            bytes: vec![0],
        },
        shared: shared.collect(),
        private: Vec::new(),
        details: None,
    };
    let state = SubtaskState {
        managed_keyed: Some(KeyedStateHandle::Incremental(keyed)),
        ..SubtaskState::default()
    };
    Metadata {
        version: 3,
        checkpoint_id: 1,
        master_states: Vec::new(),
        operators: vec![Operator {
            name: None,
            uid: None,
            id: OperatorId([1; 16]),
            parallelism: 1,
            max_parallelism: 128,
            coordinator: None,
            fully_finished: false,
            subtasks: vec![Subtask {
                index: 0,
                state: Some(Box::new(state)),
            }],
        }],
        properties: None,
    }
}

/// Judges a snapshot from the listing alone.
fn judge(listed: &mut Listed, path: &str, metadata: Metadata) {
    let directory = prefix().join(path);
    let reading = listed.reading(metadata, &directory, below).unwrap();
    listed.judge(path, &Judged::of(reading, &directory), below);
}

fn broken(listed: &mut Listed, path: &str, file: &str) {
    let reading = Reading {
        metadata: Some(Ok(needs(&[(file, 5)]))),
        files: vec![FileSeen {
            location: Location::new(file),
            rule: verify::SizeRule::Exactly(5),
            found_bytes: Some(4),
        }],
        extra: Vec::new(),
        listed: std::collections::BTreeMap::new(),
    };
    listed.judge(path, &Judged::of(reading, &prefix().join(path)), below);
}

fn told(scan: &Scan) -> Vec<(&str, Verdict)> {
    scan.snapshots
        .iter()
        .map(|it| (it.path.as_str(), it.verdict))
        .collect()
}

fn orphans(scan: &Scan) -> Vec<&str> {
    let orphans = scan.orphans.as_ref().unwrap().iter();
    orphans.map(|orphan| orphan.path.as_str()).collect()
}

#[test]
fn what_retained_checkpoints_share_is_no_orphan() {
    let listed = tree(&[
        ("chk-7/_metadata", 100),
        ("chk-7/own", 10),
        ("chk-8/_metadata", 200),
        ("shared/both", 1_000),
        ("shared/left-over", 3),
        ("shared/seven", 20),
        ("taskowned/x", 4),
    ])
    .listed(&prefix());
    assert_eq!(
        listed.complete(),
        [("chk-7".to_owned(), 100), ("chk-8".to_owned(), 200)]
    );
    let mut listed = listed;
    let seven = [
        ("s3://state/job/chk-7/own", 10),
        ("s3://state/job/shared/both", 1_000),
        ("s3://state/job/shared/seven", 20),
    ];
    judge(&mut listed, "chk-7", needs(&seven));
    judge(
        &mut listed,
        "chk-8",
        needs(&[("s3://state/job/shared/both", 1_000)]),
    );
    let scan = listed.scan(now());
    assert_eq!(
        told(&scan),
        [("chk-7", Verdict::Whole), ("chk-8", Verdict::Whole)]
    );
    assert_eq!(orphans(&scan), ["shared/left-over", "taskowned/x"]);
    let sizes = |at: usize| {
        (
            scan.snapshots[at].own_bytes,
            scan.snapshots[at].elsewhere_bytes,
        )
    };
    assert_eq!((sizes(0), sizes(1)), ((110, 1_020), (200, 1_000)));
    // What both need counts once.
    assert_eq!(
        (scan.files, scan.bytes, scan.shared_bytes),
        (7, 1_337, 1_020)
    );
    assert!(scan.snapshots.iter().all(|it| it.is_checkpoint));
}

#[test]
fn a_broken_snapshot_keeps_nothing_elsewhere_from_being_an_orphan() {
    let mut listed = tree(&[
        ("chk-7/_metadata", 100),
        ("chk-7/own", 10),
        ("shared/short", 4),
    ])
    .listed(&prefix());
    broken(&mut listed, "chk-7", "s3://state/job/shared/short");
    let scan = listed.scan(now());
    assert_eq!(told(&scan), [("chk-7", Verdict::Broken)]);
    // What lies in its own directory is told with it.
    assert_eq!(orphans(&scan), ["shared/short"]);
    assert_eq!(scan.snapshots[0].findings_total, 1);
    assert_eq!((scan.snapshots[0].own_bytes, scan.shared_bytes), (110, 0));
}

#[test]
fn nothing_is_an_orphan_while_a_snapshot_cannot_be_read() {
    let mut listed = tree(&[("chk-7/_metadata", 100), ("shared/a", 4)]).listed(&prefix());
    listed.judge(
        "chk-7",
        &Judged::Unreadable("permission denied".to_owned()),
        below,
    );
    let scan = listed.scan(now());
    assert_eq!(told(&scan), [("chk-7", Verdict::Unreadable)]);
    assert_eq!(
        scan.snapshots[0].reason.as_deref(),
        Some("permission denied")
    );
    assert_eq!(scan.orphans, None);
    // Nor while one was not read at all.
    let unasked = tree(&[("chk-7/_metadata", 100), ("shared/a", 4)]).listed(&prefix());
    assert_eq!(unasked.scan(now()).orphans, None);
}

#[test]
fn without_metadata_it_is_aborted_or_unfinished() {
    let mut tree = tree(&[("savepoint-1/a/file", 7), ("notes/chk-x/file", 1)]);
    tree.directory("chk-5", Some(at(60)));
    tree.directory("chk-6", Some(at(60)));
    tree.file("chk-6/young", 2, Some(at(9))).unwrap();
    tree.directory("chk-7", Some(at(1)));
    let scan = tree.listed(&prefix()).scan(now());
    assert_eq!(
        told(&scan),
        [
            ("chk-5", Verdict::Aborted),
            ("chk-6", Verdict::Unfinished),
            ("chk-7", Verdict::Unfinished),
            ("savepoint-1", Verdict::Aborted)
        ]
    );
    let last = &scan.snapshots[3];
    assert_eq!(
        (last.files, last.own_bytes, last.written_at),
        (1, 7, Some(at(60)))
    );
    // Their files are told with them.
    assert_eq!(orphans(&scan), ["notes/chk-x/file"]);
}

#[test]
fn what_a_whole_snapshot_does_not_need_is_an_orphan_in_its_own_directory_too() {
    let mut listed = tree(&[
        ("savepoint-1/_metadata", 9),
        ("savepoint-1/extra", 5),
        ("savepoint-1/needed", 3),
    ])
    .listed(&prefix());
    judge(
        &mut listed,
        "savepoint-1",
        needs(&[("s3://state/job/savepoint-1/needed", 3)]),
    );
    assert_eq!(orphans(&listed.scan(now())), ["savepoint-1/extra"]);
}

#[test]
fn what_another_snapshot_names_was_not_aborted() {
    // Entropy in the paths of a savepoint, which is whole.
    let files = [
        ("ab12/savepoint-1/a", 50),
        ("cd34/savepoint-1/b", 60),
        ("plain/savepoint-1/_metadata", 9),
    ];
    let mut listed = tree(&files).listed(&prefix());
    let needed = [
        ("s3://state/job/ab12/savepoint-1/a", 50),
        ("s3://state/job/cd34/savepoint-1/b", 60),
    ];
    judge(&mut listed, "plain/savepoint-1", needs(&needed));
    let scan = listed.scan(now());
    assert_eq!(told(&scan), [("plain/savepoint-1", Verdict::Whole)]);
    assert_eq!(orphans(&scan), Vec::<&str>::new());
    let only = &scan.snapshots[0];
    assert_eq!((only.own_bytes, only.elsewhere_bytes), (9, 110));
    assert_eq!(scan.shared_bytes, 110);
    // One that is broken names its files as well; nothing needs them.
    let mut listed = tree(&files).listed(&prefix());
    broken(
        &mut listed,
        "plain/savepoint-1",
        "s3://state/job/ab12/savepoint-1/a",
    );
    let scan = listed.scan(now());
    let rest = ("cd34/savepoint-1", Verdict::Aborted);
    assert_eq!(told(&scan), [rest, ("plain/savepoint-1", Verdict::Broken)]);
    assert_eq!(orphans(&scan), ["ab12/savepoint-1/a"]);
}

#[test]
fn a_file_of_an_aborted_one_may_be_needed_by_another() {
    // A savepoint that a job claimed, and whose `_metadata` was deleted; something lies beside it.
    let files = [
        ("chk-8/_metadata", 9),
        ("savepoint-1/more", 1),
        ("savepoint-1/state", 50),
    ];
    let mut listed = tree(&files).listed(&prefix());
    let state = needs(&[("s3://state/job/savepoint-1/state", 50)]);
    judge(&mut listed, "chk-8", state);
    let scan = listed.scan(now());
    assert_eq!(told(&scan)[1], ("savepoint-1", Verdict::Aborted));
    assert_eq!(orphans(&scan), Vec::<&str>::new());
    assert_eq!(scan.snapshots[0].elsewhere_bytes, 50);
}

#[test]
fn the_listing_alone_does_only_where_it_shows_every_file() {
    let listed = tree(&[("chk-8/_metadata", 9), ("shared/a", 5)]).listed(&prefix());
    let directory = prefix().join("chk-8");
    let reading = |file, bytes| listed.reading(needs(&[(file, bytes)]), &directory, below);
    assert!(reading("s3://state/job/shared/a", 5).is_some());
    for (file, bytes) in [
        ("s3://state/job/shared/a", 6),
        ("s3://state/job/shared/b", 5),
        ("s3://elsewhere/a", 5),
    ] {
        assert_eq!(reading(file, bytes), None, "{file} {bytes}");
    }
}

#[test]
fn young_orphans_are_marked() {
    let mut tree = Tree::default();
    tree.file("shared/old", 1, Some(at(10))).unwrap();
    tree.file("shared/undated", 1, None).unwrap();
    tree.file("shared/young", 1, Some(at(9))).unwrap();
    let scan = tree.listed(&prefix()).scan(now());
    let marks: Vec<bool> = scan
        .orphans
        .unwrap()
        .iter()
        .map(|it| it.is_recent)
        .collect();
    assert_eq!(marks, [false, false, true]);
}

#[test]
fn the_prefix_may_be_a_snapshot_itself() {
    let whole = Location::new("s3://state/job/chk-3");
    let mut listed = tree(&[("_metadata", 9), ("a", 5)]).listed(&whole);
    assert_eq!(listed.complete(), [(String::new(), 9)]);
    let within = |location: &Location| {
        let path = location.as_str().strip_prefix("s3://state/job/chk-3/");
        path.map(str::to_owned)
    };
    let needed = needs(&[("s3://state/job/chk-3/a", 5)]);
    let reading = listed.reading(needed, &whole, within).unwrap();
    listed.judge("", &Judged::of(reading, &whole), within);
    let scan = listed.scan(now());
    assert_eq!(told(&scan), [("", Verdict::Whole)]);
    assert!(scan.snapshots[0].is_checkpoint);
    assert_eq!((orphans(&scan).len(), scan.snapshots[0].own_bytes), (0, 14));
    // And one without `_metadata` is known by the prefix's own name.
    let mut incomplete = tree(&[("a", 5)]);
    incomplete.file("-below/b", 5, Some(at(1))).unwrap();
    let scan = incomplete.listed(&whole).scan(now());
    assert_eq!(told(&scan), [("", Verdict::Unfinished)]);
    assert_eq!(scan.snapshots[0].written_at, Some(at(1)));
}

#[test]
fn more_than_can_be_held_is_refused() {
    let mut tree = Tree {
        files: FILES_MAX - 1,
        ..Tree::default()
    };
    assert_eq!(tree.file("a", 1, None), Ok(()));
    assert_eq!(tree.file("b", 1, None), Err(TooMany));
}

#[test]
fn a_shared_directory_is_known_by_its_name() {
    for (prefix, shared) in [
        ("s3://state/job/shared", true),
        ("/checkpoints/job/taskowned/", true),
        ("/checkpoints/job", false),
        ("/shared/checkpoints", false),
    ] {
        assert_eq!(is_shared(&Location::new(prefix)), shared, "{prefix}");
    }
}
