//! Pieces of text that fit: names come from a file that anybody may have written, and a line has an
//! end.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::human;
use crate::inspected::Operator;

/// Columns of a line: terminals have at least about so many, and longer lines are hard to read.
pub(super) const LINE_COLUMNS: usize = 100;

/// A name as it may be printed: what would move the cursor or change colours is replaced.
pub(super) fn clean(name: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().map(shown).collect()
}

/// What people know an operator by, with its name behind its uid where both are told.
pub(super) fn label(operator: &Operator) -> String {
    match (&operator.uid, &operator.name) {
        (Some(uid), Some(name)) if uid != name => clean(&format!("{uid} ({name})")),
        _ => clean(operator.label()),
    }
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// A text cut to so many columns, with a sign that it was cut.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut taken = 0;
    let mut short: String = text
        .chars()
        .take_while(|c| {
            taken += c.width().unwrap_or(0);
            taken < columns
        })
        .collect();
    short.push('…');
    short
}

/// A text filled with blanks up to so many columns.
pub(super) fn pad(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(blanks))
}

/// As many of the names as fit, and how many more there are: at least one, cut if need be.
pub(super) fn listed(names: &[String], columns: usize) -> String {
    let all = names.join(", ");
    if all.width() <= columns {
        return all;
    }
    for shown in (1..names.len()).rev() {
        let some = format!(
            "{} and {} more",
            names[..shown].join(", "),
            names.len() - shown
        );
        if some.width() <= columns || shown == 1 {
            return cut(&some, columns);
        }
    }
    cut(&all, columns)
}

/// A part of a whole in percent.
pub(super) fn share(bytes: u64, of: u64) -> String {
    let thousandths = u128::from(bytes) * 1_000 / u128::from(of.max(1));
    match thousandths {
        0 if bytes > 0 => "<0.1 %".to_owned(),
        _ => format!("{}.{} %", thousandths / 10, thousandths % 10),
    }
}

/// Several sizes in one phrase: `1.3 TiB keyed, 212.0 MiB operator`.
pub(super) fn by_kind(kinds: &[(&'static str, u64)]) -> String {
    let some = kinds.iter().filter(|(_, bytes)| *bytes > 0);
    let phrases = some.map(|(kind, bytes)| format!("{} {kind}", human::bytes(*bytes)));
    phrases.collect::<Vec<_>>().join(", ")
}

/// A count with its noun.
pub(super) fn count(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn as_many_as_fit() {
        let names = names(&["alpha", "beta", "gamma"]);
        assert_eq!(listed(&names, 18), "alpha, beta, gamma");
        assert_eq!(listed(&names, 17), "alpha and 2 more");
        assert_eq!(listed(&names, 12), "alpha and 2…");
        assert_eq!(listed(&names[..1], 4), "alp…");
        assert_eq!(listed(&[], 4), "");
    }

    #[test]
    fn wide_characters_are_cut_where_they_end() {
        assert_eq!(cut("ü😀x", 4), "ü😀x");
        assert_eq!(cut("ü😀xy", 4), "ü😀…");
        assert_eq!(cut("ü😀xy", 3), "ü…");
        assert_eq!(pad("😀", 4), "😀  ");
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn a_little_is_not_nothing() {
        assert_eq!(share(0, 0), "0.0 %");
        assert_eq!(share(1, 100_000), "<0.1 %");
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(u64::MAX, u64::MAX), "100.0 %");
    }
}
