//! From a place inside a value to its place in the file: a caret under the third field of a cron
//! pattern needs to know how the pattern was quoted.

use std::ops::Range;

/// The bytes of the file for a range of bytes of a scalar's value.
///
/// `span` is the scalar in the file, quotes included. Where the value is not written as it is
/// (block scalars, folded lines), the whole scalar is the answer.
pub(super) fn inside(
    file: &str,
    span: &Range<usize>,
    value: &str,
    range: &Range<usize>,
) -> Range<usize> {
    let Some(raw) = file.get(span.clone()) else {
        return span.clone();
    };
    let offsets = match raw.chars().next() {
        Some('"') => double_quoted(raw, value),
        Some('\'') => single_quoted(raw, value),
        _ => raw
            .starts_with(value)
            .then(|| (0..=value.len()).collect::<Vec<_>>()),
    };
    let place = offsets.and_then(|offsets| {
        let (start, end) = (*offsets.get(range.start)?, *offsets.get(range.end)?);
        Some(span.start + start..span.start + end)
    });
    place.unwrap_or_else(|| span.clone())
}

/// For each byte of the value, and its end, where it stands in `raw`; `None` if `raw` does not
/// spell the value on one line.
fn single_quoted(raw: &str, value: &str) -> Option<Vec<usize>> {
    let mut offsets = Vec::with_capacity(value.len() + 1);
    let mut at = 1;
    for wanted in value.chars() {
        let found = raw[at..].chars().next()?;
        if found != wanted {
            return None;
        }
        offsets.extend(std::iter::repeat_n(at, wanted.len_utf8()));
        at += if wanted == '\'' { 2 } else { wanted.len_utf8() };
    }
    offsets.push(at);
    (raw.get(at..)? == "'").then_some(offsets)
}

/// The same for double quotes, with their escapes (YAML 1.2, 5.7).
fn double_quoted(raw: &str, value: &str) -> Option<Vec<usize>> {
    let mut offsets = Vec::with_capacity(value.len() + 1);
    let mut at = 1;
    for wanted in value.chars() {
        offsets.extend(std::iter::repeat_n(at, wanted.len_utf8()));
        let (found, length) = character(raw.get(at..)?)?;
        if found != wanted {
            return None;
        }
        at += length;
    }
    offsets.push(at);
    (raw.get(at..)? == "\"").then_some(offsets)
}

/// The first character of a double-quoted text, and how many bytes spell it.
fn character(raw: &str) -> Option<(char, usize)> {
    let mut chars = raw.chars();
    let first = chars.next()?;
    if first != '\\' {
        return Some((first, first.len_utf8()));
    }
    let escape = chars.next()?;
    let hex = |digits: usize| {
        let code = u32::from_str_radix(raw.get(2..2 + digits)?, 16).ok()?;
        Some((char::from_u32(code)?, 2 + digits))
    };
    let plain = |c| Some((c, 2));
    match escape {
        'x' => hex(2),
        'u' => hex(4),
        'U' => hex(8),
        '0' => plain('\0'),
        'a' => plain('\u{7}'),
        'b' => plain('\u{8}'),
        't' | '\t' => plain('\t'),
        'n' => plain('\n'),
        'v' => plain('\u{b}'),
        'f' => plain('\u{c}'),
        'r' => plain('\r'),
        'e' => plain('\u{1b}'),
        ' ' | '"' | '/' | '\\' => plain(escape),
        'N' => plain('\u{85}'),
        '_' => plain('\u{a0}'),
        'L' => plain('\u{2028}'),
        'P' => plain('\u{2029}'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::inside;

    fn at(raw: &str, value: &str, part: &str) -> String {
        let file = format!("key: {raw} # end");
        let span = 5..5 + raw.len();
        let start = value.find(part).expect("part of the value");
        let place = inside(&file, &span, value, &(start..start + part.len()));
        file[place].to_owned()
    }

    #[test]
    fn every_quoting_leads_back_to_the_field() {
        assert_eq!(at("0 61 * * *", "0 61 * * *", "61"), "61");
        assert_eq!(at("'0 61 * * *'", "0 61 * * *", "61"), "61");
        assert_eq!(at("\"0 61 * * *\"", "0 61 * * *", "61"), "61");
        assert_eq!(at("'it''s 61'", "it's 61", "61"), "61");
        assert_eq!(at(r#""\x30\t61 \u00e9""#, "0\t61 é", "61"), "61");
        assert_eq!(at(r#""\x30\t61 \u00e9""#, "0\t61 é", "é"), r"\u00e9");
    }

    #[test]
    fn what_is_spelled_otherwise_is_shown_whole() {
        assert_eq!(at("|-\n  0 61", "0 61", "61"), "|-\n  0 61");
        assert_eq!(at("'0\n  61'", "0 61", "61"), "'0\n  61'");
        assert_eq!(at("\"0\n  61\"", "0 61", "61"), "\"0\n  61\"");
    }
}
