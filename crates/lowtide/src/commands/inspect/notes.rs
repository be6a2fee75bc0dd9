//! What is worth a look in a snapshot that may be perfectly whole: the things that make a restore, a
//! rescale or an upgrade harder than it need be.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::text::{LINE_COLUMNS, clean, count, listed};
use super::tree::{SKEW_NOTED, by_size};
use crate::human;
use crate::inspected::{Inspected, Operator, Spread};
use crate::style;

/// Most skewed operators told one by one: with more, the column in the tree shows them.
const SKEWED_MAX: usize = 5;
/// An operator whose skew is told holds at least this part of all bytes, in hundredths: three keys in
/// a small one are always skewed.
const SKEWED_SHARE_MIN: u64 = 1;
/// Most reasons told why names are unknown: a store that is gone has one for each operator.
const REASONS_MAX: usize = 3;
/// From this version on the metadata holds uids and names (Flink 2.0).
const VERSION_WITH_UIDS: u32 = 5;

/// The notes, or nothing.
pub(super) fn notes(inspected: &Inspected) -> String {
    let operators = by_size(inspected);
    let mut notes = skewed(&operators, inspected.state_bytes);
    notes.extend(without_uid(&operators, inspected.metadata_version));
    notes.extend(at_their_max(&operators));
    notes.extend(without_names(&operators));
    let mut text = String::new();
    // Writing to a String cannot fail.
    if !notes.is_empty() {
        text.push_str("\nworth a look:\n");
    }
    for note in notes {
        let _ = writeln!(text, "  {note}");
    }
    let is_old = inspected.metadata_version < Some(VERSION_WITH_UIDS);
    let is_nameless = |it: &&Operator| it.uid.is_none() && it.state_bytes > 0;
    if is_old && operators.iter().any(is_nameless) {
        text.push_str(&style::hint(
            "this release writes no names of operators; `--uids FILE` names them by a list of their uids",
        ));
    }
    text
}

fn skewed(operators: &[&Operator], total: u64) -> Vec<String> {
    let skewed = operators.iter().filter_map(|operator| {
        let over = operator.over_subtasks?;
        let is_large = u128::from(operator.state_bytes) * 100
            >= u128::from(total) * u128::from(SKEWED_SHARE_MIN);
        (is_large && over.skew >= SKEW_NOTED).then_some((operator, over))
    });
    skewed
        .take(SKEWED_MAX)
        .map(|(operator, over)| {
            format!(
                "`{}`: subtask {} holds {}, {:.1} times the mean{}",
                clean(operator.label()),
                over.largest,
                human::bytes(over.largest_bytes),
                over.skew,
                one_key_group(operator.over_key_groups, over)
            )
        })
        .collect()
}

/// Whether it is one key group that makes the subtask large: then no parallelism helps.
fn one_key_group(over_key_groups: Option<Spread>, over_subtasks: Spread) -> String {
    let is_most = |group: &Spread| group.largest_bytes > over_subtasks.largest_bytes / 2;
    over_key_groups
        .filter(is_most)
        .map(|group| {
            format!(
                "; key group {} alone {}",
                group.largest,
                human::bytes(group.largest_bytes)
            )
        })
        .unwrap_or_default()
}

fn without_uid(operators: &[&Operator], version: Option<u32>) -> Option<String> {
    if version < Some(VERSION_WITH_UIDS) {
        return None;
    }
    about(
        operators,
        |it| it.state_bytes > 0 && it.uid.is_none(),
        "without a uid, whose state a changed job loses",
    )
}

fn at_their_max(operators: &[&Operator]) -> Option<String> {
    about(
        operators,
        |it| it.bytes.keyed > 0 && it.parallelism == it.max_parallelism,
        "at the max parallelism, with no room to scale up",
    )
}

/// One reason a line, with those whom it concerns.
fn without_names(operators: &[&Operator]) -> Vec<String> {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for operator in operators {
        if let Some(why) = &operator.keyed_states_unknown {
            let concerned = reasons.entry(why.as_str()).or_default();
            concerned.push(clean(operator.label()));
        }
    }
    let more = reasons.len().saturating_sub(REASONS_MAX) as u64;
    let lines = reasons.into_iter().take(REASONS_MAX);
    let lines = lines.map(|(why, concerned)| {
        format!(
            "names of keyed states unknown of {}:\n    {}",
            listed(&concerned, LINE_COLUMNS / 2),
            clean(why)
        )
    });
    let more = (more > 0).then(|| format!("and for {} more", count(more, "reason")));
    lines.chain(more).collect()
}

/// How many operators something holds for, and their names.
fn about(operators: &[&Operator], holds: impl Fn(&Operator) -> bool, what: &str) -> Option<String> {
    let concerned: Vec<String> = operators
        .iter()
        .filter(|operator| holds(operator))
        .map(|operator| clean(operator.label()))
        .collect();
    if concerned.is_empty() {
        return None;
    }
    let what = format!("{} {what}: ", count(concerned.len() as u64, "operator"));
    let room = LINE_COLUMNS - 2 - what.len();
    Some(what + &listed(&concerned, room))
}
