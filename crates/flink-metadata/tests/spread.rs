//! Sizes by kind and by place, of real snapshots.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::fixtures;
use flink_metadata::{OperatorId, Redistribution, parse};

#[test]
fn kinds_together_are_the_whole() {
    for fixture in fixtures() {
        let metadata = parse(&fixture.bytes).unwrap();
        let name = &fixture.name;
        assert_eq!(
            metadata.bytes_by_kind().total(),
            metadata.state_bytes(),
            "{name}"
        );
        for operator in &metadata.operators {
            let bytes = operator.bytes_by_kind();
            assert_eq!(bytes.total(), operator.state_bytes(), "{name}");
            let over = operator.spread_over_subtasks();
            let keyed = over.map_or(0, |over| over.bytes);
            assert_eq!(keyed, bytes.managed_keyed, "{name}");
        }
    }
}

/// Key groups are told by streams that have their offsets, and there they are all but a header.
#[test]
fn key_groups_are_told_where_each_begins() {
    let mut told: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for fixture in fixtures() {
        let metadata = parse(&fixture.bytes).unwrap();
        let keyed = OperatorId::from_uid("keyed-uid");
        let operator = metadata.operators.iter().find(|it| it.id == keyed).unwrap();
        let Some(over) = operator.spread_over_key_groups() else {
            told.entry("untold").or_default().push(fixture.name);
            continue;
        };
        assert_eq!(over.places, operator.max_parallelism, "{}", fixture.name);
        let all = operator.bytes_by_kind().managed_keyed;
        assert!(
            over.bytes < all && over.bytes > all / 2,
            "{}: {over:?}",
            fixture.name
        );
        told.entry("told").or_default().push(fixture.name);
    }
    // Files of LSM trees, and changelogs.
    let expected = [
        "1.20.5/merge-chk-3",
        "1.20.5/merge-chk-4",
        "1.20.5/merge-native",
        "2.3.0/chlog-chk-1",
        "2.3.0/chlog-chk-2",
        "2.3.0/chlog-native",
        "2.3.0/forst-native",
        "2.3.0/merge-chk-1",
        "2.3.0/merge-chk-2",
        "2.3.0/merge-native",
        "2.3.0/rocks-native",
    ];
    assert_eq!(told["untold"], expected);
    assert_eq!(told["told"].len(), 40 - expected.len());
}

#[test]
fn operator_states_have_their_items_and_bytes() {
    let mut told = String::new();
    for fixture in fixtures() {
        if fixture.name != "2.3.0/hashmap-canonical" {
            continue;
        }
        for operator in parse(&fixture.bytes).unwrap().operators {
            for (name, sum) in operator.operator_state_sums() {
                let union = sum.mode == Redistribution::Union;
                let _ = writeln!(
                    told,
                    "{name}: {} items, {} bytes, union {union}",
                    sum.items, sum.bytes
                );
            }
        }
    }
    assert_eq!(
        told,
        "SourceReaderState: 2 items, 62 bytes, union false\n\
         bcast: 2 items, 34 bytes, union false\n\
         split-list: 4 items, 32 bytes, union false\n\
         union-list: 2 items, 16 bytes, union true\n"
    );
}
