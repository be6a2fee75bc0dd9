//! The few colours there are. Words say the same without them.

use anstyle::{AnsiColor, Effects, Style};

/// Proven, kept.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Waiting, skipped, unverified.
pub const FAIR: Style = AnsiColor::Yellow.on_default();
/// Failed, broken.
pub const BAD: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
/// What the eye should find first.
pub const STRONG: Style = Style::new().bold();
/// What to do.
pub const HINT: Style = AnsiColor::Cyan.on_default();

/// A line that says what to do.
pub fn hint(text: &str) -> String {
    format!("{HINT}hint{HINT:#}: {text}\n")
}

/// The colour of an outcome or a verification, by its word.
pub fn of_word(word: &str) -> Style {
    match word {
        "kept" | "verified" | "whole" => GOOD,
        "failed" | "broken" | "missed" => BAD,
        _ => FAIR,
    }
}
