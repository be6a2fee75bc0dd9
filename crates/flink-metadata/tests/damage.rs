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

/// Each byte inverted, and each replaced by the value that makes counts largest.
#[test]
fn no_damaged_byte_does_harm() {
    for fixture in fixtures()
        .into_iter()
        .filter(|fixture| fixture.bytes.len() < 12_000)
    {
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
