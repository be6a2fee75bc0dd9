//! What Flink would do if B's job were restored from A.
//!
//! The rules are those of Flink 1.15 to 2.3, each named with the class that has it:
//!
//! | rule | class |
//! |---|---|
//! | state of an operator that the job lacks: refused, or with `allowNonRestoredState` dropped | `Checkpoints.loadAndValidateCheckpoint` |
//! | another max parallelism: refused if the program sets it, else taken over | the same, and `ExecutionJobVertex.canRescaleMaxParallelism` |
//! | parallelism above the max parallelism of the state: refused | `StateAssignmentOperation.checkParallelismPreconditions` |
//! | records in flight, and exchanges that are now chained: refused | `StateAssignmentOperation.checkForUnsupportedToplogyChanges` |
//! | records in flight, another parallelism, a pointwise exchange: refused | `SubtaskStateMapper.UNSUPPORTED` |
//! | subtasks that had finished, and new operators before them: refused | `VertexFinishedStateChecker` |
//! | state of a hook that the job lacks: refused, or dropped | `MasterHooks.restoreMasterHooks` |
//! | state of a coordinator that the operator lacks: dropped | `CheckpointCoordinator.restoreStateToCoordinators` |
//! | a keyed state of another kind: fails when the program asks for it | `RegisteredKeyValueStateBackendMetaInfo.checkStateMetaInfo` |
//! | a list that is dealt out otherwise: fails when the program asks for it | `DefaultOperatorStateBackend.getListState` |
//! | a state that the program does not ask for: kept, unread, in later snapshots too | `OperatorStateRestoreOperation`, `HeapRestoreOperation`, `RocksDBFullRestoreOperation` |
//!
//! When the parallelism changes, Flink deals lists out anew, gives union lists and broadcast state
//! whole to every subtask (`RoundRobinOperatorStateRepartitioner`), and cuts keyed state by key
//! groups: none of that is a reason against a restore.
//!
//! Not to be seen from outside, and so not among the rules: whether serializers of values fit, and
//! what the program itself does.

use std::collections::{BTreeMap, BTreeSet};

use flink_metadata::{Operator, OperatorId};

use super::side::{
    B, Plan, Snapshot, StateKind, StateName, Vertex, has_finished, has_in_flight, has_keyed,
    has_raw, has_state, labels, same_keyed_files,
};

/// What would come of a restore, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing that can be seen stands against it.
    Works,
    /// It works, and state of A is lost.
    Drops,
    /// It depends on what cannot be seen.
    CannotTell,
    /// Flink refuses it, or fails at its start.
    Refused,
}

impl Verdict {
    /// For programs: `works`, `drops-state`, `cannot-tell` or `refused`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Drops => "drops-state",
            Self::CannotTell => "cannot-tell",
            Self::Refused => "refused",
        }
    }
}

/// A rule that applies, with what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// A itself is not whole: what is wrong with it.
    Broken(String),
    /// The job lacks the operator, which has state.
    OperatorMissing {
        /// Bytes of its state.
        state_bytes: u64,
    },
    /// The plan does not show the operator, which has state.
    OperatorUnseen {
        /// Bytes of its state.
        state_bytes: u64,
    },
    /// The job lacks the hook of the `JobManager`, which has state.
    HookMissing(String),
    /// The job has more subtasks than the state has key groups.
    ParallelismAboveMax {
        /// Subtasks in the job.
        parallelism: u32,
        /// Key groups of the state.
        max_parallelism: u32,
    },
    /// The numbers of key groups differ.
    MaxParallelismDiffers {
        /// In A.
        a: u32,
        /// In B.
        b: u32,
    },
    /// A state of this name is something else in the job.
    KindDiffers {
        /// The state.
        state: StateName,
        /// In A.
        a: StateKind,
        /// In B.
        b: StateKind,
    },
    /// Keys are serialized by another class.
    KeySerializerDiffers {
        /// In A.
        a: String,
        /// In B.
        b: String,
    },
    /// The keyed states of one side are not known by name.
    KeyedUnknown {
        /// Of A, or else of B.
        of_a: bool,
        /// Why.
        why: String,
    },
    /// The operator has keyed state in A, and none in B: not yet, or not any more.
    KeyedGone,
    /// The operator wrote state in a form of its own in A, and none in B.
    RawGone,
    /// The operator's coordinator has state in A, and the job's has none.
    CoordinatorGone {
        /// Bytes of its state.
        state_bytes: u64,
    },
    /// Records are in flight, and the operator has another parallelism.
    InFlightRescaled,
    /// Records are in flight, and the job has other operators.
    InFlightOtherOperators,
    /// Subtasks had finished, and the job has operators that A lacks.
    FinishedOtherOperators,
    /// The program of B did not ask for the state.
    Unclaimed(StateName),
}

impl Rule {
    /// For programs: a word of a closed set.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Broken(_) => "broken",
            Self::OperatorMissing { .. } => "operator-missing",
            Self::OperatorUnseen { .. } => "operator-not-seen",
            Self::HookMissing(_) => "hook-missing",
            Self::ParallelismAboveMax { .. } => "parallelism-above-max",
            Self::MaxParallelismDiffers { .. } => "max-parallelism-differs",
            Self::KindDiffers { .. } => "state-kind-differs",
            Self::KeySerializerDiffers { .. } => "key-serializer-differs",
            Self::KeyedUnknown { .. } => "keyed-states-unknown",
            Self::KeyedGone => "keyed-state-gone",
            Self::RawGone => "raw-state-gone",
            Self::CoordinatorGone { .. } => "coordinator-gone",
            Self::InFlightRescaled => "in-flight-rescaled",
            Self::InFlightOtherOperators => "in-flight-other-operators",
            Self::FinishedOtherOperators => "finished-other-operators",
            Self::Unclaimed(_) => "state-unclaimed",
        }
    }
}

/// Why a restore would come to what it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What this alone leads to.
    pub leads_to: Verdict,
    /// The operator that it is about, and what people call it.
    pub operator: Option<(OperatorId, String)>,
    /// The rule.
    pub rule: Rule,
}

/// What would come of a restore, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// The worst of all reasons.
    pub verdict: Verdict,
    /// Worst first. [`Verdict::Works`] among them is what is worth knowing nevertheless.
    pub reasons: Vec<Reason>,
}

/// Applies Flink's rules. `may_drop` is Flink's `allowNonRestoredState`.
pub fn restore(a: &Snapshot<'_>, b: &B<'_>, may_drop: bool) -> Restore {
    let mut rules = Rules {
        reasons: Vec::new(),
        labels: labels(a, b),
        missing: if may_drop {
            Verdict::Drops
        } else {
            Verdict::Refused
        },
    };
    for finding in &a.findings {
        rules.of_all(Verdict::Refused, Rule::Broken(finding.clone()));
    }
    match b {
        B::Snapshot(b) => rules.snapshot(a, b),
        B::Plan(plan) => rules.plan(a, plan),
    }
    let mut reasons = rules.reasons;
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.leads_to));
    Restore {
        verdict: reasons.first().map_or(Verdict::Works, |it| it.leads_to),
        reasons,
    }
}

struct Rules {
    reasons: Vec<Reason>,
    labels: BTreeMap<OperatorId, String>,
    /// What becomes of state that nobody takes.
    missing: Verdict,
}

impl Rules {
    fn of_all(&mut self, leads_to: Verdict, rule: Rule) {
        self.reasons.push(Reason {
            leads_to,
            operator: None,
            rule,
        });
    }

    fn of(&mut self, operator: &Operator, leads_to: Verdict, rule: Rule) {
        let label = self.labels.get(&operator.id).cloned();
        self.reasons.push(Reason {
            leads_to,
            operator: Some((operator.id, label.unwrap_or_default())),
            rule,
        });
    }

    fn snapshot(&mut self, a: &Snapshot<'_>, b: &Snapshot<'_>) {
        let (in_a, in_b) = (a.operators(), b.operators());
        for (id, operator) in &in_a {
            match in_b.get(id) {
                Some(other) => self.operator((a, operator), (b, other)),
                None => self.operator_missing(operator),
            }
        }
        self.hooks(a, b);
        let is_new = |id: &OperatorId| !in_a.contains_key(id);
        let has_new = in_b.keys().any(is_new);
        let has_others = has_new || in_a.keys().any(|id| !in_b.contains_key(id));
        self.topology(&in_a, has_new, has_others);
    }

    fn operator_missing(&mut self, operator: &Operator) {
        if has_state(operator) {
            let state_bytes = operator.state_bytes();
            self.of(
                operator,
                self.missing,
                Rule::OperatorMissing { state_bytes },
            );
        }
    }

    fn hooks(&mut self, a: &Snapshot<'_>, b: &Snapshot<'_>) {
        let there: BTreeSet<&str> = b
            .metadata
            .master_states
            .iter()
            .map(|it| &*it.name)
            .collect();
        let states = a.metadata.master_states.iter();
        for state in states.filter(|state| !there.contains(state.name.as_str())) {
            self.of_all(self.missing, Rule::HookMissing(state.name.clone()));
        }
    }

    fn operator(&mut self, a: (&Snapshot<'_>, &Operator), b: (&Snapshot<'_>, &Operator)) {
        let (one, other) = (a.1, b.1);
        self.parallelism(one, other.parallelism, Some(other.max_parallelism));
        // What has finished in B has given its state up.
        if other.fully_finished {
            return;
        }
        if one.coordinator.is_some() && other.coordinator.is_none() {
            let state_bytes = one.coordinator_bytes();
            self.of(one, Verdict::Drops, Rule::CoordinatorGone { state_bytes });
        }
        if has_raw(one) && !has_raw(other) {
            self.of(one, Verdict::CannotTell, Rule::RawGone);
        }
        if has_keyed(one) && !has_keyed(other) {
            self.of(one, Verdict::CannotTell, Rule::KeyedGone);
        } else if has_keyed(one) && !same_keyed_files(one, other) {
            self.keyed(a, b);
        }
        self.states(a, b);
    }

    fn parallelism(&mut self, one: &Operator, parallelism: u32, max_parallelism: Option<u32>) {
        if has_state(one) && parallelism > one.max_parallelism {
            let rule = Rule::ParallelismAboveMax {
                parallelism,
                max_parallelism: one.max_parallelism,
            };
            return self.of(one, Verdict::Refused, rule);
        }
        // That B has another one does not say who chose it: the program, Flink by the parallelism, or
        // an earlier restore.
        if let Some(b) = max_parallelism.filter(|max| *max != one.max_parallelism) {
            let a = one.max_parallelism;
            self.of(
                one,
                Verdict::CannotTell,
                Rule::MaxParallelismDiffers { a, b },
            );
        }
        if has_in_flight(one) && parallelism != one.parallelism {
            self.of(one, Verdict::CannotTell, Rule::InFlightRescaled);
        }
    }

    /// What only the headers of both sides' files tell.
    fn keyed(&mut self, a: (&Snapshot<'_>, &Operator), b: (&Snapshot<'_>, &Operator)) {
        for (of_a, (side, operator)) in [(true, a), (false, b)] {
            if let Some(why) = side.unknown_keyed(operator) {
                self.of(a.1, Verdict::CannotTell, Rule::KeyedUnknown { of_a, why });
            }
        }
        let serializer = |(side, operator): (&Snapshot<'_>, &Operator)| {
            let told = side.keyed.get(&operator.id)?.as_ref().ok()?;
            told.key_serializer.clone()
        };
        if let (Some(in_a), Some(in_b)) = (serializer(a), serializer(b))
            && in_a != in_b
        {
            let rule = Rule::KeySerializerDiffers { a: in_a, b: in_b };
            self.of(a.1, Verdict::CannotTell, rule);
        }
    }

    fn states(&mut self, a: (&Snapshot<'_>, &Operator), b: (&Snapshot<'_>, &Operator)) {
        let in_b = b.0.states(b.1);
        let b_keyed_told = has_keyed(b.1) && b.0.unknown_keyed(b.1).is_none();
        for (state, kind) in a.0.states(a.1) {
            match in_b.get(&state) {
                Some(other) if *other == kind => {}
                Some(other) => self.kind_differs(a.1, state, kind, *other),
                // Said of all of them at once.
                None if matches!(state, StateName::Keyed(_)) && !b_keyed_told => {}
                None => self.of(a.1, Verdict::Works, Rule::Unclaimed(state)),
            }
        }
    }

    fn kind_differs(&mut self, operator: &Operator, state: StateName, a: StateKind, b: StateKind) {
        use flink_metadata::KeyedStateKind::Unknown;
        // A backend that did not tell the kind is not asked to compare it.
        if [a, b].contains(&StateKind::Keyed(Unknown)) {
            return;
        }
        // Lists and broadcast state are registered apart, so neither finds the other.
        let leads_to = if (a == StateKind::Broadcast) == (b == StateKind::Broadcast) {
            Verdict::Refused
        } else {
            Verdict::CannotTell
        };
        self.of(operator, leads_to, Rule::KindDiffers { state, a, b });
    }

    fn plan(&mut self, a: &Snapshot<'_>, plan: &Plan) {
        let vertices = plan.vertices.iter();
        let vertices: BTreeMap<OperatorId, &Vertex> = vertices.map(|it| (it.id, it)).collect();
        let in_a = a.operators();
        for (id, operator) in &in_a {
            match vertices.get(id) {
                Some(vertex) => {
                    self.parallelism(operator, vertex.parallelism, vertex.max_parallelism);
                }
                None if has_state(operator) => {
                    let state_bytes = operator.state_bytes();
                    let rule = Rule::OperatorUnseen { state_bytes };
                    self.of(operator, Verdict::CannotTell, rule);
                }
                None => {}
            }
        }
        let has_new = vertices.keys().any(|id| !in_a.contains_key(id));
        let has_others = has_new || in_a.keys().any(|id| !vertices.contains_key(id));
        self.topology(&in_a, has_new, has_others);
    }

    /// What depends on which operator follows which, which no snapshot tells.
    fn topology(
        &mut self,
        in_a: &BTreeMap<OperatorId, &Operator>,
        has_new: bool,
        has_others: bool,
    ) {
        if has_others && in_a.values().any(|operator| has_in_flight(operator)) {
            self.of_all(Verdict::CannotTell, Rule::InFlightOtherOperators);
        }
        if has_new && in_a.values().any(|operator| has_finished(operator)) {
            self.of_all(Verdict::CannotTell, Rule::FinishedOtherOperators);
        }
    }
}
