//! Foreign text, made fit for one line of ours.

/// Most characters of foreign text in a message: the rest is in the platform's own log.
const CHARS_MAX: usize = 300;

/// The text in one line without control characters, cut to a readable length.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        // A character has at most four bytes, so enough is enough well before the end of a
        // text of megabytes.
        if line.len() > 4 * CHARS_MAX {
            break;
        }
    }
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_becomes_one_short_line() {
        assert_eq!(one_line("  a\r\n\tb\u{1b}[31m c "), "a b [31m c");
        let long = one_line(&"ä".repeat(1_000));
        assert_eq!(long.chars().count(), CHARS_MAX + 1);
        assert!(long.ends_with('…'));
    }
}
