//! The file as it may be shown: what a person wrote where a secret belongs is masked, whether or
//! not it was accepted, and also while the file does not even parse.
//!
//! The mask goes by lines and keys rather than by the parsed structure, because errors show the
//! text of files that have none.

/// Keys whose value may be a secret, or hold one.
const SECRET_KEYS: [&str; 9] = [
    "password",
    "passwd",
    "bearer",
    "token",
    "secret",
    "auth",
    "basic",
    "access_key",
    "account_key",
];

/// The same text, byte for byte as long, with `*` in place of what may be secret. References
/// such as `${env:NAME}` stay.
pub(super) fn redact(text: &str) -> String {
    let mut masked = text.as_bytes().to_vec();
    for (at, line) in lines(text) {
        mask_values(line, at, &mut masked);
        mask_user_info(line, at, &mut masked);
    }
    mask_blocks(text, &mut masked);
    String::from_utf8(masked).expect("only whole scalars of whole characters are masked")
}

/// The lines of a text and where they begin.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line.trim_end_matches(['\n', '\r']))
    })
}

fn mask(masked: &mut [u8], from: usize, to: usize) {
    masked[from..to].fill(b'*');
}

/// Where the values of secret keys begin in a line.
fn secret_values(line: &str) -> impl Iterator<Item = usize> {
    line.match_indices(':').filter_map(|(colon, _)| {
        let key = line[..colon].trim_end().trim_end_matches(['"', '\'']);
        let start = key
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
            .map_or(0, |at| {
                at + key[at..].chars().next().map_or(1, char::len_utf8)
            });
        let key = key[start..].to_ascii_lowercase();
        let rest = &line[colon + 1..];
        let value = colon + 1 + (rest.len() - rest.trim_start().len());
        SECRET_KEYS
            .iter()
            .any(|secret| key.contains(secret))
            .then_some(value)
    })
}

/// Masks what stands on the line of its key.
fn mask_values(line: &str, at: usize, masked: &mut [u8]) {
    for start in secret_values(line) {
        let value = &line[start..];
        if is_structure(value) || is_reference(value) {
            continue;
        }
        // Within braces a plain scalar ends at the next comma or brace.
        let within_braces = line[..start].contains('{');
        let end = start + scalar_length(value, within_braces);
        mask(masked, at + start, at + end);
    }
}

/// A map, a list, or nothing yet: what is secret inside has a key of its own.
fn is_structure(value: &str) -> bool {
    value.is_empty() || value.starts_with(['{', '[', '#', '|', '>'])
}

fn is_reference(value: &str) -> bool {
    let inner = value.trim_start_matches(['"', '\'']);
    let Some(end) = inner.find('}') else {
        return false;
    };
    let plain = inner.starts_with("${env:") || inner.starts_with("${file:");
    let after = inner[end + 1..]
        .trim_start_matches(['"', '\''])
        .trim_start();
    plain && (after.is_empty() || after.starts_with(['}', ',', '#']))
}

/// How far a scalar reaches on its line; too far rather than not far enough.
fn scalar_length(value: &str, within_braces: bool) -> usize {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    match quote {
        Some(quote) => {
            let mut escaped = false;
            for (at, c) in value.char_indices().skip(1) {
                match c {
                    _ if escaped => escaped = false,
                    '\\' if quote == '"' => escaped = true,
                    '\'' if quote == '\'' && value[at + 1..].starts_with('\'') => escaped = true,
                    _ if c == quote => return at + 1,
                    _ => {}
                }
            }
            value.len()
        }
        None if within_braces => value.find([',', '}']).unwrap_or(value.len()),
        None => value.trim_end().len(),
    }
}

/// What may stand on the deeper lines below a secret key.
enum Below {
    /// The secret goes on there.
    Secret,
    /// A map, or the secret itself: told apart line by line.
    MapOrSecret,
}

/// Masks the lines below a secret key that are indented deeper and belong to its value: block
/// scalars, and scalars that begin or go on there.
fn mask_blocks(text: &str, masked: &mut [u8]) {
    let mut below: Option<(usize, Below)> = None;
    for (at, line) in lines(text) {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some((key_indent, what)) = &below
            && (content.is_empty() || indent > *key_indent)
        {
            let entry = content.ends_with(':') || content.contains(": ");
            match what {
                Below::MapOrSecret if entry => {}
                _ if is_reference(content) => continue,
                _ => {
                    mask(masked, at + indent, at + line.len());
                    continue;
                }
            }
        }
        below = secret_values(line).last().and_then(|start| {
            let what = match line[start..].chars().next() {
                Some('{' | '[') => return None,
                None | Some('#') => Below::MapOrSecret,
                Some(_) => Below::Secret,
            };
            Some((indent, what))
        });
    }
}

/// Masks `user:password@` in a URL.
fn mask_user_info(line: &str, at: usize, masked: &mut [u8]) {
    for (scheme, _) in line.match_indices("://") {
        let start = scheme + 3;
        let authority = &line[start..];
        let end = authority
            .find(|c: char| c == '/' || c.is_whitespace())
            .unwrap_or(authority.len());
        // The container of `abfs://container@account` is no secret.
        let always = line[..scheme].ends_with("http") || line[..scheme].ends_with("https");
        if let Some(user_info) = authority[..end].rfind('@')
            && (always || authority[..user_info].contains(':'))
        {
            mask(masked, at + start, at + start + user_info);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::redact;

    fn shown(text: &str) -> String {
        let redacted = redact(text);
        assert_eq!(redacted.len(), text.len(), "places must not move");
        redacted
    }

    #[test]
    fn no_way_of_writing_a_secret_is_shown() {
        for text in [
            "password: hunter2",
            "password: 'hunter2'",
            "password: \"hunter2\"",
            "password : hunter2",
            "\"password\": hunter2",
            "'bearer': 'it''s hunter2'",
            "auth: { basic: { user: a, password: hunter2 } }",
            "auth: { bearer: hunter2}",
            "auth: { bearer: hunter2, other: 1 }",
            "password: a, hunter2}",
            "auth: hunter2",
            "password: |\n  hunter2\n",
            "  bearer: >-\n    a\n\n    hunter2\nurl: x",
            "bearer:\n  hunter2",
            "bearer: \"a\n  hunter2\"",
            "url: http://admin:hunter2@host:1/x",
            "url: \"http://a:hunter2@host\"",
            "client_secret: hunter2",
            "passwort_password: hünter2hunter2",
            "password: ${env:A}hunter2",
            "password: &a hunter2",
            "s3: { access_key: hunter2, region: x }",
            "    account_key: hunter2",
            "sas_token: '?sv=1&sig=hunter2'",
            "password: !!str hunter2",
        ] {
            assert!(
                !shown(text).contains("hunter2"),
                "{text} -> {}",
                shown(text)
            );
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "password: ${env:FLINK_PASSWORD}",
            "auth: { basic: { user: \"${env:U}\", password: \"${env:P}\" } } # yes",
            "auth:\n  basic:\n    password: '${file:/run/secret}'\n",
            "url: http://jobmanager:8081/a@b",
            "schedule: \"0 1 * * *\"",
            "paths: { \"file:/a\": /b }",
            "target: abfs://container@account/a",
        ] {
            assert_eq!(shown(text), text);
        }
    }
}
