//! What `diff` says to people: the verdict, then why, then what differs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use lowtide_core::compare::{
    Change, Differences, Facts, OperatorDifference, Reason, Restore, Rule, StateDifference,
    StateKind, Verdict,
};

use crate::human;
use crate::style::{self, BAD, FAIR, GOOD};
use crate::table::{Cell, Table};

/// Most reasons shown: with more, nobody reads them, and `--output json` has all.
const REASONS_MAX: usize = 20;

/// Most operators named in one reason: so many fit on a line.
const LABELS_MAX: usize = 4;

/// How to speak of this comparison.
pub(super) struct Words {
    /// B is a running job.
    pub(super) is_job: bool,
    /// State may be dropped.
    pub(super) may_drop: bool,
}

impl Words {
    /// All that is said on stdout.
    pub(super) fn report(&self, differences: &Differences, restore: &Restore) -> String {
        let mut text = self.verdict(restore.verdict);
        // Writing to a String cannot fail.
        let reasons = self.grouped(&restore.reasons);
        for (labels, reason) in reasons.iter().take(REASONS_MAX) {
            let _ = match listed(labels) {
                Some(labels) => writeln!(text, "  {labels}: {reason}"),
                None => writeln!(text, "  {reason}"),
            };
        }
        let more = reasons.len().saturating_sub(REASONS_MAX);
        if more > 0 {
            let _ = writeln!(text, "  and {more} more, which --output json lists");
        }
        for table in [operators(differences), states(differences)] {
            if !table.is_empty() {
                let _ = write!(text, "\n{}", table.render());
            }
        }
        let _ = writeln!(text, "\n{}", self.same(differences));
        text
    }

    /// The reasons in their order, with the operators of which the same is to be said.
    fn grouped<'a>(&self, reasons: &'a [Reason]) -> Vec<(Vec<&'a str>, String)> {
        let mut groups: Vec<(Vec<&str>, String)> = Vec::new();
        for reason in reasons {
            let text = self.reason(reason);
            let label = reason.operator.as_ref().map(|(_, label)| label.as_str());
            match groups.iter_mut().find(|(_, other)| *other == text) {
                Some((labels, _)) => labels.extend(label),
                None => groups.push((Vec::from_iter(label), text)),
            }
        }
        groups
    }

    fn b(&self) -> &'static str {
        if self.is_job { "the job" } else { "B" }
    }

    fn verdict(&self, verdict: Verdict) -> String {
        let of = if self.is_job {
            "of the job from A"
        } else {
            "of B's job from A"
        };
        match verdict {
            Verdict::Works => format!("a restore {of} {GOOD}works{GOOD:#}\n"),
            Verdict::Drops => format!("a restore {of} works and {FAIR}drops state{FAIR:#}\n"),
            Verdict::Refused => format!("a restore {of} {BAD}is refused{BAD:#}\n"),
            Verdict::CannotTell => {
                format!("whether a restore {of} works {FAIR}cannot be told{FAIR:#}\n")
            }
        }
    }

    fn same(&self, differences: &Differences) -> String {
        let operators = counted(differences.same_operators, "operator");
        if self.is_job {
            return format!("the same: {operators}");
        }
        let states = counted(differences.same_states, "state");
        format!("the same: {operators}, {states}")
    }

    /// One reason, without its operator.
    pub(super) fn reason(&self, reason: &Reason) -> String {
        let b = self.b();
        let bytes = human::bytes;
        match &reason.rule {
            Rule::Broken(finding) => format!("A is broken: {finding}"),
            Rule::OperatorMissing { state_bytes } => match reason.leads_to {
                Verdict::Drops => format!("{b} lacks it; {} are dropped", bytes(*state_bytes)),
                _ => format!(
                    "{b} lacks it, and A has {} of its state",
                    bytes(*state_bytes)
                ),
            },
            Rule::OperatorUnseen { state_bytes } => format!(
                "within a chain of the job, or gone; A has {} of its state",
                bytes(*state_bytes)
            ),
            Rule::HookMissing(name) => {
                format!("A has state of the JobManager's hook `{name}`, and {b} lacks it")
            }
            Rule::ParallelismAboveMax {
                parallelism,
                max_parallelism,
            } => format!("{parallelism} subtasks, and A has {max_parallelism} key groups"),
            Rule::MaxParallelismDiffers { a, b } => format!(
                "max parallelism {a} → {b}: refused if the program sets {b}, else {a} is taken over"
            ),
            Rule::KindDiffers { state, a, b } => {
                let why = match reason.leads_to {
                    Verdict::Refused => "the operator fails at its start",
                    _ => "neither finds the other",
                };
                format!("`{}` changes from {a} to {b}: {why}", state.as_str())
            }
            Rule::KeySerializerDiffers { a, b } => {
                format!(
                    "keys are serialized by {} in A, by {} in B",
                    class(a),
                    class(b)
                )
            }
            Rule::KeyedUnknown { of_a, why } => {
                let side = if *of_a { "A" } else { "B" };
                format!("its keyed states in {side} are not known: {why}")
            }
            Rule::KeyedGone => {
                "keyed state in A and none in B: not yet asked for, or no longer kept".to_owned()
            }
            Rule::RawGone => "raw state in A and none in B: who would read it?".to_owned(),
            Rule::CoordinatorGone { state_bytes } => format!(
                "{} of its coordinator are dropped: B has none",
                bytes(*state_bytes)
            ),
            Rule::InFlightRescaled => {
                "records in flight are dealt out anew, which pointwise exchanges refuse".to_owned()
            }
            Rule::InFlightOtherOperators => format!(
                "A holds records in flight, and {b} has other operators: refused where exchanges are now chained"
            ),
            Rule::FinishedOtherOperators => format!(
                "subtasks of A had finished, and {b} has new operators: refused before what had finished"
            ),
            Rule::Unclaimed(state) => format!(
                "`{}` is not asked for in B: it is kept, unread",
                state.as_str()
            ),
        }
    }

    /// What to do, each once.
    pub(super) fn hints(&self, restore: &Restore) -> String {
        let hints: BTreeSet<&str> = restore
            .reasons
            .iter()
            .filter(|reason| reason.leads_to == restore.verdict)
            .filter_map(|reason| self.hint(&reason.rule))
            .collect();
        hints.into_iter().map(style::hint).collect()
    }

    fn hint(&self, rule: &Rule) -> Option<&'static str> {
        Some(match rule {
            Rule::OperatorMissing { .. } | Rule::HookMissing(_) if !self.may_drop => {
                "give a renamed operator its old uid, or see what --allow-non-restored-state, Flink's flag, would drop"
            }
            Rule::OperatorUnseen { .. } => {
                "Flink shows the first operator of each chain; a savepoint of the job has all: compare with that"
            }
            Rule::Broken(_) => "`lowtide verify` shows all that is wrong with it",
            Rule::ParallelismAboveMax { .. } => {
                "the number of key groups never changes: give the operator at most so many subtasks"
            }
            Rule::InFlightRescaled | Rule::InFlightOtherOperators => {
                "savepoints hold no records in flight: take one, and restore from that"
            }
            Rule::KindDiffers { .. } => "give the new state a name of its own",
            _ => return None,
        })
    }
}

/// The operators of which something is said, the first of them if there are many.
fn listed(labels: &[&str]) -> Option<String> {
    let (shown, more) = labels.split_at(labels.len().min(LABELS_MAX));
    let shown = shown.join(", ");
    match (labels, more) {
        ([], _) => None,
        (_, []) => Some(shown),
        (_, more) => Some(format!("{shown} and {} more", more.len())),
    }
}

fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// A class without its package.
fn class(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn change(change: Change) -> Cell {
    let style = match change {
        Change::Added => GOOD,
        Change::Removed => BAD,
        Change::Changed | Change::Unseen => FAIR,
    };
    Cell::styled(change.name(), style)
}

fn operators(differences: &Differences) -> Table {
    let mut table = Table::new(["operator", "change", "parallelism", "max", "state"]);
    for it in &differences.operators {
        table.row([
            it.label.clone().into(),
            change(it.change),
            sides(it, |facts| Some(facts.parallelism.to_string())).into(),
            sides(it, |facts| facts.max_parallelism.map(|max| max.to_string())).into(),
            sides(it, |facts| facts.state_bytes.map(human::bytes)).into(),
        ]);
    }
    table
}

/// What both sides say: `1 → 2`, or once what is the same or known of one side alone.
fn sides(it: &OperatorDifference, says: impl Fn(Facts) -> Option<String>) -> String {
    let (a, b) = (it.a.and_then(&says), it.b.and_then(&says));
    match (a, b) {
        (Some(a), Some(b)) if a != b => format!("{a} → {b}"),
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => "-".to_owned(),
    }
}

fn states(differences: &Differences) -> Table {
    let mut table = Table::new(["state", "of", "change", "kind"]);
    for operator in &differences.operators {
        for state in &operator.states {
            let (what, kind) = state_change(state);
            table.row([
                state.name.as_str().into(),
                operator.label.clone().into(),
                change(what),
                kind.into(),
            ]);
        }
    }
    table
}

fn state_change(state: &StateDifference) -> (Change, String) {
    let name = |kind: StateKind| kind.name().to_owned();
    match (state.a, state.b) {
        (Some(a), Some(b)) => (Change::Changed, format!("{a} → {b}")),
        (Some(a), None) => (Change::Removed, name(a)),
        (None, b) => (Change::Added, b.map(name).unwrap_or_default()),
    }
}
