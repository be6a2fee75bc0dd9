//! Real snapshots, cut off and damaged.

#![allow(clippy::unwrap_used)]

mod common;

use common::fixtures;
use flink_metadata::{ParseErrorKind, parse};

#[test]
fn every_snapshot_cut_off_at_any_byte_is_refused() {
    for fixture in fixtures() {
        for end in 0..fixture.bytes.len() {
            let error = parse(&fixture.bytes[..end]).err();
            let error = error.unwrap_or_else(|| panic!("{} cut at {end} was read", fixture.name));
            assert!(error.at <= end, "{}: {error}", fixture.name);
            assert!(
                matches!(
                    error.kind,
                    ParseErrorKind::Truncated { .. } | ParseErrorKind::CountTooLarge { .. }
                ),
                "{} cut at {end}: {error}",
                fixture.name
            );
        }
    }
}

#[test]
fn a_byte_too_many_is_refused() {
    for fixture in fixtures() {
        let mut bytes = fixture.bytes.clone();
        bytes.push(0);
        let error = parse(&bytes).unwrap_err();
        assert_eq!(error.kind, ParseErrorKind::TrailingBytes { count: 1 });
        assert_eq!(error.at, fixture.bytes.len());
    }
}

/// One snapshot of each shape; all of them would take minutes.
const DAMAGED: [&str; 6] = [
    "1.14.6/hashmap-canonical",
    "1.20.5/unal-chk-8",
    "2.3.0/unal-chk-10",
    "2.3.0/chlog-chk-1",
    "2.3.0/merge-chk-1",
    "2.3.0/merge-native",
];

/// Each byte inverted, and each replaced by the value that makes counts largest.
#[test]
fn no_damaged_byte_does_harm() {
    let is_chosen = |name: &str| DAMAGED.contains(&name);
    let chosen: Vec<_> = fixtures()
        .into_iter()
        .filter(|found| is_chosen(&found.name))
        .collect();
    assert_eq!(chosen.len(), DAMAGED.len());
    for fixture in chosen {
        let mut bytes = fixture.bytes.clone();
        for at in 0..bytes.len() {
            let original = bytes[at];
            for damaged in [!original, 0x7f, 0xff] {
                bytes[at] = damaged;
                if let Ok(metadata) = parse(&bytes) {
                    metadata.files().for_each(drop);
                    let _ = (metadata.anomalies(), metadata.state_bytes());
                }
            }
            bytes[at] = original;
        }
    }
}

/// Replaces bytes of the same number in a snapshot, which must hold them exactly once.
fn with_properties(name: &str, from: &str, to: &str) -> ParseErrorKind {
    assert_eq!(from.len(), to.len());
    let fixture = fixtures()
        .into_iter()
        .find(|fixture| fixture.name == name)
        .unwrap();
    let mut bytes = fixture.bytes;
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter_map(|(at, window)| (window == from.as_bytes()).then_some(at))
        .collect();
    let [at] = places[..] else {
        panic!("{from} is there {} times", places.len())
    };
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    let error = parse(&bytes).unwrap_err();
    assert_eq!(error.path.to_string(), "checkpoint properties");
    error.kind
}

#[test]
fn properties_that_flink_does_not_write_are_refused() {
    for (name, from, to, reason) in [
        (
            "2.3.0/hashmap-canonical",
            "CANONICAL",
            "CANONICAX",
            "unknown formatType",
        ),
        (
            "2.3.0/hashmap-canonical",
            "NONE",
            "NINE",
            "a type that no release of Flink writes",
        ),
        (
            "2.3.0/hashmap-stop",
            "Suspend Savepoint",
            "Suspand Savepoint",
            "a type that no release of Flink writes",
        ),
        (
            "2.3.0/hashmap-stop",
            "SUSPEND",
            "SASPEND",
            "a type that no release of Flink writes",
        ),
        (
            "2.3.0/unal-chk-10",
            "FORWARD_",
            "FORWARD-",
            "a type that no release of Flink writes",
        ),
        (
            "2.3.0/unal-chk-10",
            "Ljava/lang/String;",
            "Ljava/lang/Strung;",
            "a class that no release of Flink writes",
        ),
        (
            "2.3.0/unal-chk-10",
            "java.lang.Enum",
            "java.lang.Enom",
            "a class that no release of Flink writes",
        ),
        (
            "2.3.0/unal-chk-10",
            "discardFailed",
            "discardFailes",
            "a flag is missing",
        ),
        (
            "2.3.0/unal-chk-10",
            "checkpointType",
            "checkpointTypo",
            "no checkpointType",
        ),
    ] {
        assert_eq!(
            with_properties(name, from, to),
            ParseErrorKind::BadProperties(reason)
        );
    }
    // The serial version follows the name: Java refuses another.
    let (name, other) = (
        "Properties\0\0\0\0\0\0\0\x02",
        "Properties\0\0\0\0\0\0\0\x03",
    );
    let kind = with_properties("2.3.0/unal-chk-10", name, other);
    let reason = "a class that no release of Flink writes";
    assert_eq!(kind, ParseErrorKind::BadProperties(reason));
    let class = "CheckpointProperties\0";
    let reason = "not an object of CheckpointProperties";
    let kind = with_properties("2.3.0/unal-chk-10", class, "CheckpointPropertiez\0");
    assert_eq!(kind, ParseErrorKind::BadProperties(reason));
}
