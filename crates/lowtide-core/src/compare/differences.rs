//! What differs between A and B.

use std::collections::{BTreeMap, BTreeSet};

use flink_metadata::{Operator, OperatorId};

use super::side::{B, Plan, Snapshot, StateKind, StateName, Vertex, labels};

/// What differs, and how much does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences {
    /// The operators that differ, by change and label.
    pub operators: Vec<OperatorDifference>,
    /// How many operators are the same.
    pub same_operators: u64,
    /// How many states of operators on both sides are the same.
    pub same_states: u64,
}

/// How an operator differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorDifference {
    /// Its id.
    pub id: OperatorId,
    /// What people call it.
    pub label: String,
    /// How it differs.
    pub change: Change,
    /// What it is in A.
    pub a: Option<Facts>,
    /// What it is in B.
    pub b: Option<Facts>,
    /// Its states that differ, by name.
    pub states: Vec<StateDifference>,
}

/// How an operator differs: what may cost state first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Only A has it.
    Removed,
    /// A has it, and B is a plan that does not show it: it may be within a chain, or gone.
    Unseen,
    /// Both have it.
    Changed,
    /// Only B has it.
    Added,
}

impl Change {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Unseen => "not seen",
        }
    }
}

/// What an operator is on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// How many subtasks it has.
    pub parallelism: u32,
    /// Its number of key groups; `None` where a plan does not tell.
    pub max_parallelism: Option<u32>,
    /// Bytes of its state; `None` in a plan.
    pub state_bytes: Option<u64>,
}

/// How a state differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDifference {
    /// Its name.
    pub name: StateName,
    /// What it is in A.
    pub a: Option<StateKind>,
    /// What it is in B.
    pub b: Option<StateKind>,
}

impl Facts {
    fn of(operator: &Operator) -> Self {
        Self {
            parallelism: operator.parallelism,
            max_parallelism: Some(operator.max_parallelism),
            state_bytes: Some(operator.state_bytes()),
        }
    }

    fn of_vertex(vertex: &Vertex) -> Self {
        Self {
            parallelism: vertex.parallelism,
            max_parallelism: vertex.max_parallelism,
            state_bytes: None,
        }
    }

    /// Whether what both sides know is the same.
    fn agrees(self, other: Self) -> bool {
        fn same<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
            a.zip(b).is_none_or(|(a, b)| a == b)
        }
        self.parallelism == other.parallelism
            && same(self.max_parallelism, other.max_parallelism)
            && same(self.state_bytes, other.state_bytes)
    }
}

/// Finds what differs.
pub fn differences(a: &Snapshot<'_>, b: &B<'_>) -> Differences {
    let mut labels = labels(a, b);
    let label = move |id: &OperatorId| labels.remove(id).unwrap_or_default();
    let mut found = match b {
        B::Snapshot(b) => between(a, b, label),
        B::Plan(plan) => from_plan(a, plan, label),
    };
    let order = |it: &OperatorDifference| (it.change, it.label.clone(), it.id);
    found.operators.sort_by_key(order);
    found
}

fn between(
    a: &Snapshot<'_>,
    b: &Snapshot<'_>,
    mut label: impl FnMut(&OperatorId) -> String,
) -> Differences {
    let (in_a, in_b) = (a.operators(), b.operators());
    let ids: BTreeSet<OperatorId> = in_a.keys().chain(in_b.keys()).copied().collect();
    let mut found = Differences::default();
    for id in ids {
        let (one, other) = (in_a.get(&id).copied(), in_b.get(&id).copied());
        let change = match (one, other) {
            (Some(_), Some(_)) => Change::Changed,
            (Some(_), None) => Change::Removed,
            (None, _) => Change::Added,
        };
        let states_a = one.map(|operator| a.states(operator)).unwrap_or_default();
        let states_b = other.map(|operator| b.states(operator)).unwrap_or_default();
        // Names that one side cannot tell are no difference.
        let both_told = |name: &StateName| {
            let is_told = |side: &Snapshot<'_>, operator: Option<&Operator>| {
                operator.is_none_or(|it| side.unknown_keyed(it).is_none())
            };
            matches!(name, StateName::Operator(_)) || (is_told(a, one) && is_told(b, other))
        };
        let (states, same) = of_states(&states_a, &states_b, both_told);
        let facts = (one.map(Facts::of), other.map(Facts::of));
        let agrees = facts.0.zip(facts.1).is_some_and(|(a, b)| a.agrees(b));
        found.same_states += same;
        if agrees && states.is_empty() {
            found.same_operators += 1;
            continue;
        }
        found.operators.push(OperatorDifference {
            id,
            label: label(&id),
            change,
            a: facts.0,
            b: facts.1,
            states,
        });
    }
    found
}

fn of_states(
    a: &BTreeMap<StateName, StateKind>,
    b: &BTreeMap<StateName, StateKind>,
    comparable: impl Fn(&StateName) -> bool,
) -> (Vec<StateDifference>, u64) {
    let names: BTreeSet<&StateName> = a.keys().chain(b.keys()).collect();
    let (mut different, mut same) = (Vec::new(), 0);
    for name in names.into_iter().filter(|name| comparable(name)) {
        let (kind_a, kind_b) = (a.get(name).copied(), b.get(name).copied());
        if kind_a == kind_b {
            same += 1;
            continue;
        }
        different.push(StateDifference {
            name: name.clone(),
            a: kind_a,
            b: kind_b,
        });
    }
    (different, same)
}

fn from_plan(
    a: &Snapshot<'_>,
    plan: &Plan,
    mut label: impl FnMut(&OperatorId) -> String,
) -> Differences {
    let in_a = a.operators();
    let vertices = plan.vertices.iter();
    let in_b: BTreeMap<OperatorId, &Vertex> = vertices.map(|it| (it.id, it)).collect();
    let ids: BTreeSet<OperatorId> = in_a.keys().chain(in_b.keys()).copied().collect();
    let mut found = Differences::default();
    for id in ids {
        let (operator, vertex) = (in_a.get(&id).copied(), in_b.get(&id).copied());
        let facts = (operator.map(Facts::of), vertex.map(Facts::of_vertex));
        if facts.0.zip(facts.1).is_some_and(|(a, b)| a.agrees(b)) {
            found.same_operators += 1;
            continue;
        }
        found.operators.push(OperatorDifference {
            id,
            label: label(&id),
            change: match (operator, vertex) {
                (Some(_), Some(_)) => Change::Changed,
                (Some(_), None) => Change::Unseen,
                (None, _) => Change::Added,
            },
            a: facts.0,
            b: facts.1,
            states: Vec::new(),
        });
    }
    found
}
