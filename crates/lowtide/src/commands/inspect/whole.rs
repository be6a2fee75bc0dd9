//! One operator with all that is known of it, for people.

use std::fmt::Write as _;

use super::text::{by_kind, clean, share};
use crate::human;
use crate::inspected::{Inspected, Operator, Spread};
use crate::style::STRONG;
use crate::table::Table;

/// The operators that were chosen, one after the other.
pub(super) fn operators(inspected: &Inspected) -> String {
    let all = inspected.operators.iter();
    let all = all.map(|it| operator(it, inspected.state_bytes));
    all.collect::<Vec<_>>().join("\n")
}

fn operator(operator: &Operator, total: u64) -> String {
    let mut text = format!("{STRONG}{}{STRONG:#}\n", clean(operator.label()));
    for (what, told) in facts(operator, total) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {what:<12}{told}");
    }
    if let Some(why) = &operator.keyed_states_unknown {
        let _ = writeln!(
            text,
            "  names of its keyed states are unknown: {}",
            clean(why)
        );
    }
    let states = states(operator);
    if !states.is_empty() {
        text.push('\n');
        text.push_str(&states.render());
    }
    text
}

fn facts(operator: &Operator, total: u64) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(uid) = &operator.uid {
        let from = match operator.uid_from {
            Some("list") => ", of the list of uids",
            _ => "",
        };
        facts.push(("uid", format!("{}{from}", clean(uid))));
    }
    if let Some(name) = &operator.name {
        facts.push(("name", clean(name)));
    }
    facts.push(("id", operator.id.clone()));
    let finished = if operator.finished { "; finished" } else { "" };
    let (now, most) = (operator.parallelism, operator.max_parallelism);
    facts.push(("parallelism", format!("{now} of at most {most}{finished}")));
    let bytes = operator.state_bytes;
    let mut state = human::bytes(bytes);
    if bytes > 0 {
        let kinds = by_kind(&operator.bytes.kinds());
        state = format!("{state}, {} of the snapshot: {kinds}", share(bytes, total));
    }
    facts.push(("state", state));
    if let Some(serializer) = &operator.key_serializer {
        facts.push(("keys", clean(serializer)));
    }
    if let Some(over) = &operator.over_subtasks {
        facts.push(("subtasks", spread(over, "subtask")));
    }
    match &operator.over_key_groups {
        Some(over) => facts.push(("key groups", spread(over, "key group"))),
        None if operator.bytes.keyed > 0 => facts.push((
            "key groups",
            "not told by `_metadata`: its files hold several each".to_owned(),
        )),
        None => {}
    }
    facts
}

fn spread(over: &Spread, place: &str) -> String {
    format!(
        "{} of {} hold some; the most in {place} {}: {}, {:.2} times the mean ({})",
        over.filled,
        over.places,
        over.largest,
        human::bytes(over.largest_bytes),
        over.skew,
        human::bytes(over.mean_bytes)
    )
}

fn states(operator: &Operator) -> Table {
    let mut table = Table::new(["state", "kind", "items", "size"]);
    for state in operator.keyed_states.iter().flatten() {
        table.row([
            clean(&state.name).into(),
            format!("keyed {}", state.kind).into(),
            "-".into(),
            "-".into(),
        ]);
    }
    for state in &operator.operator_states {
        table.row([
            clean(&state.name).into(),
            format!("operator {}", state.mode).into(),
            state.items.to_string().into(),
            human::bytes(state.bytes).into(),
        ]);
    }
    table
}
