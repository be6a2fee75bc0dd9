#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flink_metadata::{
    Channel, ChannelState, IncrementalHandle, KeyGroupRange, KeyedState, KeyedStateHandle,
    KeyedStateKind, KeyedStates, MasterState, Metadata, Operator, OperatorId, OperatorState,
    OperatorStateHandle, Redistribution, StreamHandle, Subtask, SubtaskState, parse,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn inline(bytes: usize) -> StreamHandle {
    StreamHandle::Inline {
        name: "inline".to_owned(),
        bytes: vec![0; bytes],
    }
}

fn keyed_files(bytes: usize) -> KeyedStateHandle {
    KeyedStateHandle::Incremental(IncrementalHandle {
        checkpoint_id: 1,
        backend_id: String::new(),
        range: KeyGroupRange { start: 0, count: 1 },
        meta: inline(bytes),
        shared: Vec::new(),
        private: Vec::new(),
        details: None,
    })
}

fn lists(names: &[(&str, Redistribution)]) -> OperatorStateHandle {
    let states = names.iter().map(|(name, mode)| OperatorState {
        name: (*name).to_owned(),
        mode: *mode,
        offsets: vec![0],
    });
    OperatorStateHandle {
        states: states.collect(),
        stream: inline(8),
        merging: None,
    }
}

fn in_flight() -> Vec<ChannelState> {
    vec![ChannelState::Single {
        subtask: 0,
        channel: Channel { gate: 0, index: 0 },
        offsets: vec![0],
        size: 8,
        stream: inline(8),
    }]
}

/// An operator of two subtasks, of which one has this state.
fn operator(uid: &str, state: SubtaskState) -> Operator {
    Operator {
        name: None,
        uid: Some(uid.to_owned()),
        id: OperatorId::from_uid(uid),
        parallelism: 2,
        max_parallelism: 128,
        coordinator: None,
        fully_finished: false,
        subtasks: vec![Subtask {
            index: 0,
            state: Some(Box::new(state)),
        }],
    }
}

/// An operator with keyed state.
fn keyed(uid: &str, bytes: usize) -> Operator {
    let state = SubtaskState {
        managed_keyed: Some(keyed_files(bytes)),
        ..SubtaskState::default()
    };
    operator(uid, state)
}

fn listed(uid: &str, names: &[(&str, Redistribution)]) -> Operator {
    let state = SubtaskState {
        managed_operator: Some(lists(names)),
        ..SubtaskState::default()
    };
    operator(uid, state)
}

fn stateless(uid: &str) -> Operator {
    operator(uid, SubtaskState::default())
}

fn metadata(operators: Vec<Operator>) -> Metadata {
    Metadata {
        version: 5,
        checkpoint_id: 1,
        master_states: Vec::new(),
        operators,
        properties: None,
    }
}

fn states(of: &[(&str, KeyedStateKind)]) -> KeyedStates {
    let states = of.iter().map(|(name, kind)| KeyedState {
        name: (*name).to_owned(),
        kind: *kind,
    });
    KeyedStates {
        key_serializer: Some("LongSerializer".to_owned()),
        is_compressed: false,
        states: states.collect(),
    }
}

fn snapshot(metadata: &Metadata) -> Snapshot<'_> {
    Snapshot {
        metadata,
        keyed: BTreeMap::new(),
        findings: Vec::new(),
    }
}

/// With headers that were read.
fn told<'a>(metadata: &'a Metadata, headers: &[(&str, Keyed)]) -> Snapshot<'a> {
    let keyed = headers.iter();
    Snapshot {
        keyed: keyed
            .map(|(uid, keyed)| (OperatorId::from_uid(uid), keyed.clone()))
            .collect(),
        ..snapshot(metadata)
    }
}

/// The verdict, and the words of the rules.
fn verdict(a: &Snapshot<'_>, b: &Snapshot<'_>, may_drop: bool) -> (Verdict, Vec<&'static str>) {
    words(&restore(a, &B::Snapshot(b.clone()), may_drop))
}

fn words(restore: &Restore) -> (Verdict, Vec<&'static str>) {
    let rules = restore.reasons.iter().map(|reason| reason.rule.word());
    (restore.verdict, rules.collect())
}

/// The same of operators alone.
fn of(a: Vec<Operator>, b: Vec<Operator>) -> (Verdict, Vec<&'static str>) {
    let (a, b) = (metadata(a), metadata(b));
    verdict(&snapshot(&a), &snapshot(&b), false)
}

#[test]
fn state_without_an_operator_is_refused_or_dropped() {
    use Redistribution::SplitDistribute;
    let (a, b) = (
        metadata(vec![
            listed("gone", &[("x", SplitDistribute)]),
            stateless("too"),
        ]),
        metadata(vec![stateless("new")]),
    );
    let (a, b) = (snapshot(&a), snapshot(&b));
    let missing = vec!["operator-missing"];
    assert_eq!(verdict(&a, &b, false), (Verdict::Refused, missing.clone()));
    assert_eq!(verdict(&a, &b, true), (Verdict::Drops, missing));
}

#[test]
fn a_coordinator_counts_as_state() {
    let source = || Operator {
        coordinator: Some(inline(3)),
        subtasks: Vec::new(),
        ..stateless("source")
    };
    assert_eq!(
        of(vec![source()], vec![]),
        (Verdict::Refused, vec!["operator-missing"])
    );
    assert_eq!(
        of(vec![source()], vec![stateless("source")]),
        (Verdict::Drops, vec!["coordinator-gone"])
    );
    let finished = Operator {
        fully_finished: true,
        ..stateless("source")
    };
    assert_eq!(of(vec![source()], vec![finished]), (Verdict::Works, vec![]));
}

#[test]
fn a_hook_of_the_job_manager_counts_too() {
    let a = Metadata {
        master_states: vec![MasterState {
            version: 1,
            name: "hook".to_owned(),
            bytes: vec![1],
        }],
        ..metadata(vec![])
    };
    let b = metadata(vec![]);
    let (of_a, of_b) = (snapshot(&a), snapshot(&b));
    assert_eq!(
        verdict(&of_a, &of_b, false),
        (Verdict::Refused, vec!["hook-missing"])
    );
    assert_eq!(verdict(&of_b, &of_a, false), (Verdict::Works, vec![]));
}

#[test]
fn subtasks_need_a_key_group_each() {
    let (few, many) = (
        Operator {
            max_parallelism: 4,
            ..keyed("op", 1)
        },
        Operator {
            parallelism: 5,
            ..keyed("op", 1)
        },
    );
    let above = (Verdict::Refused, vec!["parallelism-above-max"]);
    let (a, b) = (metadata(vec![few.clone()]), metadata(vec![many.clone()]));
    assert_eq!(verdict(&snapshot(&a), &snapshot(&b), true), above);
    // As many as there are is not too many; whether the other number was set, nobody knows.
    let just = Operator {
        parallelism: 4,
        ..many
    };
    let differs = (Verdict::CannotTell, vec!["max-parallelism-differs"]);
    assert_eq!(of(vec![few.clone()], vec![just]), differs);
    // Without state no key group is needed.
    let none = |it: &Operator| Operator {
        subtasks: Vec::new(),
        ..it.clone()
    };
    assert_eq!(of(vec![none(&few)], vec![none(&b.operators[0])]), differs);
}

#[test]
fn other_parallelism_alone_is_no_obstacle() {
    use Redistribution::{Broadcast, SplitDistribute, Union};
    let modes = [("a", SplitDistribute), ("b", Union), ("c", Broadcast)];
    for parallelism in [1, 7, 128] {
        let other = Operator {
            parallelism,
            ..listed("op", &modes)
        };
        assert_eq!(
            of(vec![listed("op", &modes)], vec![other]),
            (Verdict::Works, vec![])
        );
    }
}

#[test]
fn kinds_are_compared_where_they_are_known() {
    use KeyedStateKind::{List, Map, Unknown, Value};
    let (a, b) = (
        metadata(vec![keyed("op", 1)]),
        metadata(vec![keyed("op", 2)]),
    );
    let with = |kind_a, kind_b| {
        let (of_a, of_b) = (states(&[("x", kind_a)]), states(&[("x", kind_b)]));
        verdict(
            &told(&a, &[("op", Ok(of_a))]),
            &told(&b, &[("op", Ok(of_b))]),
            true,
        )
    };
    assert_eq!(with(Value, Value), (Verdict::Works, vec![]));
    assert_eq!(
        with(Value, Map),
        (Verdict::Refused, vec!["state-kind-differs"])
    );
    assert_eq!(with(Unknown, Map), (Verdict::Works, vec![]));
    assert_eq!(with(List, Unknown), (Verdict::Works, vec![]));
}

#[test]
fn lists_are_dealt_out_as_they_were_or_not_at_all() {
    use Redistribution::{Broadcast, SplitDistribute, Union};
    let with = |mode_a, mode_b| {
        of(
            vec![listed("op", &[("x", mode_a)])],
            vec![listed("op", &[("x", mode_b)])],
        )
    };
    let differs = vec!["state-kind-differs"];
    assert_eq!(with(Union, Union), (Verdict::Works, vec![]));
    assert_eq!(
        with(SplitDistribute, Union),
        (Verdict::Refused, differs.clone())
    );
    assert_eq!(with(Broadcast, Union), (Verdict::CannotTell, differs));
}

#[test]
fn what_nobody_asks_for_is_worth_knowing_and_no_obstacle() {
    use Redistribution::Union;
    let gone = of(vec![listed("op", &[("x", Union)])], vec![stateless("op")]);
    assert_eq!(gone, (Verdict::Works, vec!["state-unclaimed"]));
    let (a, b) = (
        metadata(vec![keyed("op", 1)]),
        metadata(vec![keyed("op", 2)]),
    );
    let of_a = states(&[("x", KeyedStateKind::Map), ("y", KeyedStateKind::Map)]);
    let of_b = states(&[("y", KeyedStateKind::Map), ("z", KeyedStateKind::Map)]);
    let found = verdict(
        &told(&a, &[("op", Ok(of_a))]),
        &told(&b, &[("op", Ok(of_b))]),
        false,
    );
    assert_eq!(found, (Verdict::Works, vec!["state-unclaimed"]));
}

#[test]
fn names_that_are_not_known_leave_it_open_unless_the_files_are_the_same() {
    let (a, b) = (
        metadata(vec![keyed("op", 1)]),
        metadata(vec![keyed("op", 2)]),
    );
    let unknown = || Err("no such file".to_owned());
    let known = states(&[("x", KeyedStateKind::Map)]);
    let one = verdict(
        &told(&a, &[("op", unknown())]),
        &told(&b, &[("op", Ok(known))]),
        false,
    );
    assert_eq!(one, (Verdict::CannotTell, vec!["keyed-states-unknown"]));
    let same = verdict(
        &told(&a, &[("op", unknown())]),
        &told(&a, &[("op", unknown())]),
        false,
    );
    assert_eq!(same, (Verdict::Works, vec![]));
    assert_eq!(
        of(vec![keyed("op", 1)], vec![stateless("op")]),
        (Verdict::CannotTell, vec!["keyed-state-gone"])
    );
}

#[test]
fn another_serializer_of_keys_leaves_it_open() {
    let (a, b) = (
        metadata(vec![keyed("op", 1)]),
        metadata(vec![keyed("op", 2)]),
    );
    let long = states(&[]);
    let text = KeyedStates {
        key_serializer: Some("StringSerializer".to_owned()),
        ..long.clone()
    };
    let found = verdict(
        &told(&a, &[("op", Ok(long))]),
        &told(&b, &[("op", Ok(text))]),
        false,
    );
    assert_eq!(found, (Verdict::CannotTell, vec!["key-serializer-differs"]));
}

#[test]
fn raw_state_is_read_by_who_wrote_it_or_by_nobody_known() {
    use Redistribution::SplitDistribute;
    let raw = || {
        let state = SubtaskState {
            raw_operator: Some(lists(&[("_default_", SplitDistribute)])),
            ..SubtaskState::default()
        };
        operator("op", state)
    };
    assert_eq!(of(vec![raw()], vec![raw()]), (Verdict::Works, vec![]));
    assert_eq!(
        of(vec![raw()], vec![stateless("op")]),
        (Verdict::CannotTell, vec!["raw-state-gone"])
    );
}

#[test]
fn records_in_flight_want_the_same_topology() {
    let flying = || {
        let state = SubtaskState {
            input_channels: in_flight(),
            ..SubtaskState::default()
        };
        operator("op", state)
    };
    assert_eq!(
        of(vec![flying()], vec![stateless("op")]),
        (Verdict::Works, vec![])
    );
    let more = Operator {
        parallelism: 3,
        ..stateless("op")
    };
    assert_eq!(
        of(vec![flying()], vec![more]),
        (Verdict::CannotTell, vec!["in-flight-rescaled"])
    );
    assert_eq!(
        of(vec![flying()], vec![stateless("op"), stateless("new")]),
        (Verdict::CannotTell, vec!["in-flight-other-operators"])
    );
}

#[test]
fn nothing_new_may_come_before_what_has_finished() {
    let finished = || Operator {
        fully_finished: true,
        subtasks: Vec::new(),
        ..stateless("op")
    };
    assert_eq!(
        of(vec![finished()], vec![stateless("op")]),
        (Verdict::Works, vec![])
    );
    assert_eq!(
        of(vec![finished()], vec![stateless("op"), stateless("new")]),
        (Verdict::CannotTell, vec!["finished-other-operators"])
    );
}

#[test]
fn what_is_broken_works_nowhere() {
    let a = metadata(vec![]);
    let broken = Snapshot {
        findings: vec!["missing: file:/a".to_owned()],
        ..snapshot(&a)
    };
    assert_eq!(
        verdict(&broken, &snapshot(&a), true),
        (Verdict::Refused, vec!["broken"])
    );
    assert_eq!(
        verdict(&snapshot(&a), &broken, true),
        (Verdict::Works, vec![])
    );
}

#[test]
fn a_plan_shows_heads_of_chains_only() {
    let vertex = |uid: &str, parallelism, max_parallelism| Vertex {
        id: OperatorId::from_uid(uid),
        name: format!("{uid} -> more"),
        parallelism,
        max_parallelism,
    };
    let a = metadata(vec![
        keyed("head", 1),
        keyed("chained", 1),
        stateless("bare"),
    ]);
    let found = |vertices| {
        let plan = B::Plan(Plan { vertices });
        let found = words(&restore(&snapshot(&a), &plan, true));
        (found, differences(&snapshot(&a), &plan))
    };
    let (rules, differ) = found(vec![vertex("head", 2, Some(128)), vertex("new", 1, None)]);
    assert_eq!(rules, (Verdict::CannotTell, vec!["operator-not-seen"]));
    let changes = differ.operators.iter();
    let mut changes: Vec<_> = changes
        .map(|it| (it.label.as_str(), it.change.name()))
        .collect();
    changes.sort_unstable();
    let expected = [
        ("bare", "not seen"),
        ("chained", "not seen"),
        ("new -> more", "added"),
    ];
    assert_eq!(changes, expected);
    assert_eq!(differ.same_operators, 1);
    let (rules, _) = found(vec![
        vertex("head", 129, Some(256)),
        vertex("chained", 2, None),
    ]);
    assert_eq!(rules, (Verdict::Refused, vec!["parallelism-above-max"]));
    let (rules, _) = found(vec![vertex("head", 4, None), vertex("chained", 2, None)]);
    assert_eq!(rules, (Verdict::Works, vec![]));
}

#[test]
fn an_operator_borrows_its_name_from_the_other_side() {
    let old = metadata(vec![Operator {
        uid: None,
        ..keyed("op", 1)
    }]);
    let new = metadata(vec![keyed("op", 2)]);
    let labels = |a: &Metadata, b: &Metadata| {
        let found = differences(&snapshot(a), &B::Snapshot(snapshot(b)));
        found.operators[0].label.clone()
    };
    assert_eq!(labels(&old, &new), "op");
    assert_eq!(labels(&new, &old), "op");
    assert_eq!(
        labels(&old, &metadata(vec![])),
        old.operators[0].id.to_string()
    );
}

/// Any snapshot of a few operators, so that two of them have some in common.
#[derive(Debug, Clone)]
struct Drawn {
    metadata: Metadata,
    keyed: BTreeMap<OperatorId, Keyed>,
}

impl Drawn {
    fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            metadata: &self.metadata,
            keyed: self.keyed.clone(),
            findings: Vec::new(),
        }
    }
}

fn drawn_operator() -> impl Strategy<Value = (Operator, Option<Keyed>)> {
    use Redistribution::{Broadcast, SplitDistribute, Union};
    let kinds = vec![
        KeyedStateKind::Value,
        KeyedStateKind::List,
        KeyedStateKind::Unknown,
    ];
    let names = || select(vec!["x", "y", "z"]);
    let lists_of = btree_map(
        names(),
        select(vec![SplitDistribute, Union, Broadcast]),
        0..3,
    );
    let header = prop_oneof![
        vec((names(), select(kinds)), 0..3).prop_map(|of| Ok(states(&of))),
        Just(Err("unreadable".to_owned())),
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let numbers = select(vec![(1, 2), (2, 2), (2, 128), (3, 128)]);
    (
        numbers,
        flags,
        option::of(lists_of),
        option::of((1..3_usize, header)),
    )
        .prop_map(
            |(
                (parallelism, max_parallelism),
                (coordinator, finished, flying),
                lists_of,
                header,
            )| {
                let lists_of: Option<Vec<_>> = lists_of.map(|it| it.into_iter().collect());
                let state = SubtaskState {
                    managed_operator: lists_of.map(|it| lists(&it)),
                    managed_keyed: header.as_ref().map(|(bytes, _)| keyed_files(*bytes)),
                    output_channels: if flying { in_flight() } else { Vec::new() },
                    ..SubtaskState::default()
                };
                let operator = Operator {
                    parallelism,
                    max_parallelism,
                    coordinator: coordinator.then(|| inline(4)),
                    fully_finished: finished,
                    ..operator("", state)
                };
                (operator, header.map(|(_, keyed)| keyed))
            },
        )
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let uids = select(vec!["a", "b", "c", "d"]);
    btree_map(uids, drawn_operator(), 0..4).prop_map(|drawn| {
        let mut keyed = BTreeMap::new();
        let operators = drawn.into_iter().map(|(uid, (operator, header))| {
            let id = OperatorId::from_uid(uid);
            keyed.extend(header.map(|header| (id, header)));
            let uid = Some(uid.to_owned());
            Operator {
                id,
                uid,
                ..operator
            }
        });
        let operators = operators.collect();
        Drawn {
            metadata: metadata(operators),
            keyed,
        }
    })
}

/// A difference as seen from the other side.
fn mirrored(it: OperatorDifference) -> OperatorDifference {
    OperatorDifference {
        change: match it.change {
            Change::Added => Change::Removed,
            Change::Removed => Change::Added,
            other => other,
        },
        a: it.b,
        b: it.a,
        states: it
            .states
            .into_iter()
            .map(|state| StateDifference {
                a: state.b,
                b: state.a,
                ..state
            })
            .collect(),
        ..it
    }
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(drawn in drawn()) {
        let (a, b) = (drawn.snapshot(), B::Snapshot(drawn.snapshot()));
        let found = differences(&a, &b);
        prop_assert_eq!(&found.operators, &[]);
        prop_assert_eq!(found.same_operators, drawn.metadata.operators.len() as u64);
        let restore = restore(&a, &b, false);
        prop_assert_eq!(restore.verdict, Verdict::Works);
        prop_assert_eq!(restore.reasons, vec![]);
    }

    #[test]
    fn what_is_added_in_one_direction_is_removed_in_the_other(a in drawn(), b in drawn()) {
        let there = differences(&a.snapshot(), &B::Snapshot(b.snapshot()));
        let back = differences(&b.snapshot(), &B::Snapshot(a.snapshot()));
        let mut mirrored = back.operators.into_iter().map(mirrored).collect::<Vec<_>>();
        mirrored.sort_by_key(|it| (it.change, it.label.clone()));
        prop_assert_eq!(there.operators, mirrored);
        prop_assert_eq!(there.same_operators, back.same_operators);
        prop_assert_eq!(there.same_states, back.same_states);
    }

    #[test]
    fn every_operator_is_counted_once(a in drawn(), b in drawn()) {
        let found = differences(&a.snapshot(), &B::Snapshot(b.snapshot()));
        let ids: std::collections::BTreeSet<OperatorId> =
            a.metadata.operators.iter().chain(&b.metadata.operators).map(|it| it.id).collect();
        prop_assert_eq!(found.operators.len() as u64 + found.same_operators, ids.len() as u64);
    }

    #[test]
    fn allowing_more_never_makes_it_worse(a in drawn(), b in drawn()) {
        let with = |may_drop| restore(&a.snapshot(), &B::Snapshot(b.snapshot()), may_drop);
        let (strict, lenient) = (with(false), with(true));
        prop_assert!(lenient.verdict <= strict.verdict);
        prop_assert_eq!(lenient.reasons.len(), strict.reasons.len());
        prop_assert!(strict.reasons.is_sorted_by(|one, next| one.leads_to >= next.leads_to));
    }

    #[test]
    fn state_that_nobody_takes_is_never_passed_over(a in drawn(), b in drawn()) {
        let taken = |id: &OperatorId| b.metadata.operators.iter().any(|it| it.id == *id);
        let orphans = a.metadata.operators.iter().filter(|it| {
            let flying = it.subtasks.iter().any(|it| {
                let state = it.state.as_deref().unwrap();
                state != &SubtaskState::default()
            });
            !taken(&it.id) && (it.coordinator.is_some() || flying)
        });
        let restore = restore(&a.snapshot(), &B::Snapshot(b.snapshot()), false);
        let missing = restore.reasons.iter().filter(|it| it.rule.word() == "operator-missing");
        prop_assert_eq!(missing.count(), orphans.count());
    }
}

/// Every snapshot that Flink left for the metadata reader's tests.
fn fixtures() -> Vec<(PathBuf, Metadata)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flink-metadata/tests/fixtures");
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("_metadata") {
                found.push((path.clone(), parse(&bytes_of(&path)).unwrap()));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[expect(clippy::disallowed_methods, reason = "a test reads its fixtures")]
fn bytes_of(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn snapshots_that_flink_wrote_are_the_same_as_themselves_and_as_others_of_the_job() {
    let fixtures = fixtures();
    assert_eq!(fixtures.len(), 40);
    for (path, metadata) in &fixtures {
        let (a, b) = (snapshot(metadata), B::Snapshot(snapshot(metadata)));
        assert_eq!(differences(&a, &b).operators, [], "{}", path.display());
        assert_eq!(words(&restore(&a, &b, false)), (Verdict::Works, vec![]));
    }
}

#[test]
fn a_job_keeps_its_operators_from_release_to_release() {
    // One program wrote these, except for those of the kind `finished`.
    let fixtures = fixtures();
    let usual: Vec<_> = fixtures
        .iter()
        .filter(|(path, _)| !path.to_str().unwrap().contains("finished"))
        .collect();
    for (path_a, a) in &usual {
        for (path_b, b) in &usual {
            let found = restore(&snapshot(a), &B::Snapshot(snapshot(b)), false);
            let missing = found
                .reasons
                .iter()
                .find(|it| it.leads_to == Verdict::Refused);
            assert_eq!(
                missing,
                None,
                "{} -> {}",
                path_a.display(),
                path_b.display()
            );
        }
    }
}
