//! What `diff` prints.

use lowtide_core::compare::{self, Facts, OperatorDifference, StateDifference, StateName};
use serde::Serialize;

/// What `diff` prints.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// Where A lies.
    pub a: String,
    /// Where B lies, if it is a snapshot.
    pub b: Option<String>,
    /// The running job, if B is one.
    pub job: Option<Against>,
    /// What would come of a restore: `works`, `drops-state`, `cannot-tell` or `refused`.
    pub verdict: &'static str,
    /// Whether state that the job lacks may be dropped: Flink's `allowNonRestoredState`.
    pub may_drop: bool,
    /// Why, worst first; also what is worth knowing of a restore that works.
    pub reasons: Vec<Reason>,
    /// The operators that differ.
    pub operators: Vec<Operator>,
    /// How many operators are the same.
    pub same_operators: u64,
    /// How many states are the same.
    pub same_states: u64,
}

/// A running job.
#[derive(Debug, Serialize)]
pub struct Against {
    /// The platform's name in the configuration.
    pub platform: String,
    /// The application's name.
    pub application: String,
    /// The platform's id of the job.
    pub id: String,
}

/// A rule of Flink's that applies.
#[derive(Debug, Serialize)]
pub struct Reason {
    /// What this alone leads to, in the words of the verdict.
    pub leads_to: &'static str,
    /// Which rule, as a word of a closed set.
    pub rule: &'static str,
    /// The operator that it is about: 32 hexadecimal digits.
    pub operator: Option<String>,
    /// What people call the operator.
    pub label: Option<String>,
    /// What it means, for people.
    pub text: String,
}

/// An operator that differs.
#[derive(Debug, Serialize)]
pub struct Operator {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Its uid, else its name, else its id.
    pub label: String,
    /// `added`, `removed`, `changed` or `not seen`.
    pub change: &'static str,
    /// What it is in A.
    pub a: Option<Side>,
    /// What it is in B.
    pub b: Option<Side>,
    /// Its states that differ.
    pub states: Vec<State>,
}

/// What an operator is on one side.
#[derive(Debug, Serialize)]
pub struct Side {
    /// How many subtasks it has.
    pub parallelism: u32,
    /// Its number of key groups.
    pub max_parallelism: Option<u32>,
    /// Bytes of its state; a running job does not tell.
    pub state_bytes: Option<u64>,
}

/// A state that differs.
#[derive(Debug, Serialize)]
pub struct State {
    /// Its name.
    pub name: String,
    /// Whether a state backend keeps it by key.
    pub keyed: bool,
    /// What it is in A.
    pub a: Option<&'static str>,
    /// What it is in B.
    pub b: Option<&'static str>,
}

impl From<Facts> for Side {
    fn from(facts: Facts) -> Self {
        Self {
            parallelism: facts.parallelism,
            max_parallelism: facts.max_parallelism,
            state_bytes: facts.state_bytes,
        }
    }
}

impl From<&OperatorDifference> for Operator {
    fn from(it: &OperatorDifference) -> Self {
        Self {
            id: it.id.to_string(),
            label: it.label.clone(),
            change: it.change.name(),
            a: it.a.map(Side::from),
            b: it.b.map(Side::from),
            states: it.states.iter().map(State::from).collect(),
        }
    }
}

impl From<&StateDifference> for State {
    fn from(it: &StateDifference) -> Self {
        Self {
            name: it.name.as_str().to_owned(),
            keyed: matches!(it.name, StateName::Keyed(_)),
            a: it.a.map(compare::StateKind::name),
            b: it.b.map(compare::StateKind::name),
        }
    }
}
