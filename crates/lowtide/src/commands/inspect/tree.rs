//! What is in a snapshot, for people: totals on top, operators below, the largest first. One screen
//! or two, however many operators there are; `--all` is for the rest.

use std::cmp::Reverse;
use std::fmt::Write as _;

use anstyle::Style;

use super::text::{LINE_COLUMNS, by_kind, clean, count, cut, label, listed, pad, share, width};
use crate::human;
use crate::inspected::{Inspected, KeyedState, Operator};
use crate::style::{FAIR, STRONG};

/// Operators shown one by one: with their states two screens, and in real jobs nearly all bytes.
const SHOWN_MAX: usize = 20;
/// Columns of an operator's label: what is left beside the numbers.
const LABEL_COLUMNS_MAX: usize = 48;
/// From which skew on an operator stands out: key groups dealt unevenly make less.
pub(super) const SKEW_NOTED: f64 = 2.0;
/// Columns of sizes, such as `1023.9 KiB`.
const SIZE_COLUMNS: usize = 10;
/// Columns of shares, such as `100.0 %`.
const SHARE_COLUMNS: usize = 7;
/// The kind of states that are queues of timers.
const TIMERS: &str = "timers";

/// The tree.
pub(super) fn tree(inspected: &Inspected, all: bool) -> String {
    let mut text = head(inspected);
    let branches = branches(inspected, all);
    if branches.is_empty() {
        return text;
    }
    let columns = Columns::of(&branches);
    text.push('\n');
    columns.head(&mut text);
    let last = branches.len() - 1;
    for (at, branch) in branches.iter().enumerate() {
        columns.branch(&mut text, branch, at == last);
    }
    text
}

/// What it is, how much it is, how many operators it has: one line each.
fn head(inspected: &Inspected) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{STRONG}{}{STRONG:#}", what(inspected));
    let _ = writeln!(text, "{}", how_much(inspected));
    let operators = &inspected.operators;
    let without = operators.iter().filter(|it| it.state_bytes == 0).count();
    let _ = write!(text, "{}", count(operators.len() as u64, "operator"));
    if without > 0 && without < operators.len() {
        let _ = write!(text, ", {without} without state");
    }
    if !operators.is_empty() {
        let _ = write!(
            text,
            "; parallelism {}, max parallelism {}",
            span(operators.iter().map(|it| it.parallelism)),
            span(operators.iter().map(|it| it.max_parallelism)),
        );
    }
    text.push('\n');
    text
}

fn what(inspected: &Inspected) -> String {
    let format = inspected.format.map(|it| format!("{it} "));
    let format = format.unwrap_or_default();
    let id = inspected.checkpoint_id.unwrap_or(0);
    let of = inspected.written_by.unwrap_or("?");
    let (kind, then) = match inspected.kind.as_deref() {
        Some("suspend-savepoint") => ("savepoint", ", with which the job was stopped"),
        Some("terminate-savepoint") => ("savepoint", ", with which the job was drained"),
        Some("full-checkpoint") => ("full checkpoint", ""),
        Some("checkpoint") => ("checkpoint", ""),
        Some(_) => ("savepoint", ""),
        None => ("savepoint or checkpoint", ""),
    };
    format!("{format}{kind} {id} of Flink {of}{then}")
}

fn how_much(inspected: &Inspected) -> String {
    let whole = human::bytes(inspected.state_bytes);
    let files = match inspected.files {
        0 => ", all in `_metadata`".to_owned(),
        files => format!(" in {}", count(files, "file")),
    };
    let kinds = inspected.bytes.map(|bytes| by_kind(&bytes.kinds()));
    let whole = format!("{whole} of state{files}");
    match kinds.filter(|kinds| !kinds.is_empty()) {
        None => whole,
        Some(kinds) if width(&whole) + 2 + width(&kinds) <= LINE_COLUMNS => {
            format!("{whole}: {kinds}")
        }
        Some(kinds) => format!("{whole}:\n  {kinds}"),
    }
}

/// `2`, or `2 to 64`.
fn span(numbers: impl Iterator<Item = u32> + Clone) -> String {
    let least = numbers.clone().min().unwrap_or(0);
    let most = numbers.max().unwrap_or(0);
    if least == most {
        least.to_string()
    } else {
        format!("{least} to {most}")
    }
}

/// Operators by size, the largest first.
pub(super) fn by_size(inspected: &Inspected) -> Vec<&Operator> {
    let mut operators: Vec<&Operator> = inspected.operators.iter().collect();
    operators.sort_by_key(|it| (Reverse(it.state_bytes), it.label()));
    operators
}

/// What hangs at the root: an operator, or several in one.
struct Branch {
    size: String,
    share: String,
    label: String,
    /// Whether it is one operator, which stands out.
    is_one: bool,
    parallelism: String,
    skew: Option<f64>,
    twigs: Vec<Twig>,
}

/// One kind of an operator's state.
struct Twig {
    size: Option<String>,
    kind: &'static str,
    names: Vec<String>,
}

fn branches(inspected: &Inspected, all: bool) -> Vec<Branch> {
    let total = inspected.state_bytes;
    let operators = by_size(inspected);
    if all {
        let one = |operator: &&Operator| Branch::one(operator, total);
        return operators.iter().map(one).collect();
    }
    let with = operators.partition_point(|it| it.state_bytes > 0);
    let (with, without) = operators.split_at(with);
    // One more would only take the line of what stands for it.
    let shown = if with.len() > SHOWN_MAX + 1 {
        SHOWN_MAX
    } else {
        with.len()
    };
    let mut branches: Vec<Branch> = with[..shown]
        .iter()
        .map(|operator| Branch::one(operator, total))
        .collect();
    branches.extend(Branch::more(&with[shown..], total));
    branches.extend(Branch::without(without));
    branches
}

impl Branch {
    fn one(operator: &Operator, total: u64) -> Self {
        let mut label = cut(&label(operator), LABEL_COLUMNS_MAX);
        if operator.finished {
            label.push_str(", finished");
        }
        Self {
            size: human::bytes(operator.state_bytes),
            share: share(operator.state_bytes, total),
            label,
            is_one: true,
            parallelism: format!("{} of {}", operator.parallelism, operator.max_parallelism),
            // A single subtask holds what there is.
            skew: operator
                .over_subtasks
                .filter(|over| over.places > 1)
                .map(|over| over.skew),
            twigs: twigs(operator),
        }
    }

    /// Those with state that are not shown.
    fn more(operators: &[&Operator], total: u64) -> Option<Self> {
        let largest = operators.first()?;
        let bytes = operators
            .iter()
            .fold(0_u64, |sum, it| sum.saturating_add(it.state_bytes));
        Some(Self {
            size: human::bytes(bytes),
            share: share(bytes, total),
            label: format!(
                "{} more operators, none larger than {}",
                operators.len(),
                human::bytes(largest.state_bytes)
            ),
            is_one: false,
            parallelism: String::new(),
            skew: None,
            twigs: Vec::new(),
        })
    }

    fn without(operators: &[&Operator]) -> Option<Self> {
        let name = |it: &&Operator| {
            let finished = if it.finished { " (finished)" } else { "" };
            clean(it.label()) + finished
        };
        let names: Vec<String> = operators.iter().map(name).collect();
        let what = match names.len() {
            0 => return None,
            1 => "without state: ".to_owned(),
            several => format!("{several} without state: "),
        };
        let room = LINE_COLUMNS - LEFT_COLUMNS - BRANCH_COLUMNS - width(&what);
        Some(Self {
            size: human::bytes(0),
            share: String::new(),
            label: what + &listed(&names, room),
            is_one: false,
            parallelism: String::new(),
            skew: None,
            twigs: Vec::new(),
        })
    }
}

/// The kinds of state that an operator has, with the names of its states.
fn twigs(operator: &Operator) -> Vec<Twig> {
    let keyed = operator
        .keyed_states
        .as_ref()
        .map_or_else(|| vec!["names unknown".to_owned()], |it| keyed_names(it));
    let states = operator.operator_states.iter().map(|state| {
        let name = clean(&state.name);
        match (state.mode, state.items) {
            ("split-distribute", 1) => format!("{name} (1 item)"),
            ("split-distribute", items) => format!("{name} ({items} items)"),
            (mode, _) => format!("{name} ({mode})"),
        }
    });
    let mut names = [keyed, states.collect(), vec![], vec![], vec![], vec![]].into_iter();
    let kinds = operator.bytes.kinds().into_iter();
    let kinds = kinds.map(|(kind, bytes)| (kind, bytes, names.next().unwrap_or_default()));
    kinds
        .filter(|(_, bytes, _)| *bytes > 0)
        .map(|(kind, bytes, names)| Twig {
            // Of a single kind the operator's own line says it.
            size: (bytes < operator.state_bytes).then(|| human::bytes(bytes)),
            kind,
            names,
        })
        .collect()
}

/// The states of the program by name, and whether there are timers: what Flink calls these queues
/// tells little.
fn keyed_names(states: &[KeyedState]) -> Vec<String> {
    let (timers, others): (Vec<_>, Vec<_>) = states.iter().partition(|it| it.kind == TIMERS);
    let mut names: Vec<String> = others
        .into_iter()
        .map(|state| format!("{} ({})", clean(&state.name), state.kind))
        .collect();
    names.extend((!timers.is_empty()).then(|| TIMERS.to_owned()));
    names
}

/// Columns before the tree: a size, a share, and two blanks after each.
const LEFT_COLUMNS: usize = SIZE_COLUMNS + 2 + SHARE_COLUMNS + 2;
/// Columns of what joins a branch to the one above it.
const BRANCH_COLUMNS: usize = 3;

/// How wide the columns are that depend on what is in them.
struct Columns {
    label: usize,
    parallelism: usize,
    kind: usize,
    has_skew: bool,
}

const PARALLELISM: &str = "PARALLELISM";

impl Columns {
    fn of(branches: &[Branch]) -> Self {
        let widest = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or(0);
        let ones = || branches.iter().filter(|it| it.is_one);
        let twigs = || branches.iter().flat_map(|it| &it.twigs);
        Self {
            label: widest(&mut ones().map(|it| width(&it.label))),
            parallelism: widest(&mut ones().map(|it| it.parallelism.len())).max(PARALLELISM.len()),
            kind: widest(&mut twigs().map(|it| it.kind.len())),
            has_skew: branches.iter().any(|it| it.skew.is_some()),
        }
    }

    fn head(&self, text: &mut String) {
        let dim = Style::new().dimmed();
        let label = pad("OPERATOR", self.label + BRANCH_COLUMNS);
        let wide = self.parallelism;
        let skew = if self.has_skew { "  SKEW" } else { "" };
        let _ = writeln!(
            text,
            "{dim}{:>SIZE_COLUMNS$}  {:>SHARE_COLUMNS$}  {label}  {PARALLELISM:>wide$}{skew}{dim:#}",
            "STATE", "SHARE",
        );
    }

    fn branch(&self, text: &mut String, branch: &Branch, is_last: bool) {
        let (joint, below) = if is_last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let _ = write!(
            text,
            "{:>SIZE_COLUMNS$}  {:>SHARE_COLUMNS$}  {joint}",
            branch.size, branch.share
        );
        if branch.is_one {
            let label = pad(&branch.label, self.label);
            let wide = self.parallelism;
            let _ = write!(
                text,
                "{STRONG}{label}{STRONG:#}  {:>wide$}",
                branch.parallelism
            );
            if let Some(skew) = branch.skew {
                let style = if skew >= SKEW_NOTED {
                    FAIR
                } else {
                    Style::new()
                };
                let _ = write!(text, "  {style}{skew:.2}{style:#}");
            }
        } else {
            text.push_str(&branch.label);
        }
        text.push('\n');
        let last = branch.twigs.len().saturating_sub(1);
        for (at, twig) in branch.twigs.iter().enumerate() {
            self.twig(text, twig, below, at == last);
        }
    }

    fn twig(&self, text: &mut String, twig: &Twig, below: &str, is_last: bool) {
        let joint = if is_last { "└─ " } else { "├─ " };
        let kind = pad(twig.kind, self.kind);
        let room = LINE_COLUMNS - LEFT_COLUMNS - 2 * BRANCH_COLUMNS - self.kind - 2;
        let names = listed(&twig.names, room);
        let line = format!(
            "{:>SIZE_COLUMNS$}  {:SHARE_COLUMNS$}  {below}{joint}{kind}  {names}",
            twig.size.as_deref().unwrap_or_default(),
            ""
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
}
