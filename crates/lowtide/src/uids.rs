//! The list of uids that names the operators of old files: one uid a line, as in the program's
//! `uid("…")`.
//!
//! Blanks around it are left out, and so are empty lines and those that begin with `#`. What cannot be
//! a uid is refused with its line: a list that is half understood would leave operators without their
//! names, and nobody would know.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use lowtide_core::flink_metadata::OperatorId;

/// Most bytes of a list: some hundred thousand uids.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UidsError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[source] std::io::Error),
    /// It is no list of uids.
    #[error("it is larger than {LIST_BYTES_MAX} bytes")]
    TooLarge,
    /// A line that is not text.
    #[error("line {line} is not UTF-8")]
    NotText {
        /// Counts from 1.
        line: usize,
    },
    /// A line that holds something else than a uid.
    #[error("line {line}: {what}: {found:?}")]
    NotAUid {
        /// Counts from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
        /// The line.
        found: String,
    },
    /// A uid that stands there twice: in one job that is refused by Flink.
    #[error("line {line}: the uid `{uid}` already stands in line {first}")]
    Twice {
        /// Counts from 1.
        line: usize,
        /// Where it stood before.
        first: usize,
        /// The uid.
        uid: String,
    },
}

impl UidsError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable(_) => None,
            Self::TooLarge | Self::NotText { .. } | Self::NotAUid { .. } | Self::Twice { .. } => {
                Some(
                    "one uid a line, as in the program's `uid(\"...\")`; empty lines and lines that begin with # are passed over",
                )
            }
        }
    }
}

/// Reads a list: uids by the id that Flink makes of them.
pub fn read(path: &Path) -> Result<BTreeMap<OperatorId, String>, UidsError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(UidsError::Unreadable)?;
    if bytes.len() as u64 > LIST_BYTES_MAX {
        return Err(UidsError::TooLarge);
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<BTreeMap<OperatorId, String>, UidsError> {
    let mut uids: BTreeMap<OperatorId, (usize, String)> = BTreeMap::new();
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = std::str::from_utf8(bytes).map_err(|_| UidsError::NotText { line })?;
        let uid = text.trim();
        if uid.is_empty() || uid.starts_with('#') {
            continue;
        }
        if let Some(what) = wrong_with(uid) {
            let found = uid.to_owned();
            return Err(UidsError::NotAUid { line, what, found });
        }
        let uid = uid.to_owned();
        let id = OperatorId::from_uid(&uid);
        if let Some((first, uid)) = uids.insert(id, (line, uid)) {
            return Err(UidsError::Twice { line, first, uid });
        }
    }
    Ok(uids.into_iter().map(|(id, (_, uid))| (id, uid)).collect())
}

fn wrong_with(uid: &str) -> Option<&'static str> {
    if uid.chars().any(char::is_control) {
        // A tab: a table was given.
        return Some("control characters are in no uid; one uid a line is expected");
    }
    if uid.parse::<OperatorId>().is_ok() {
        return Some("this is an operator's id, not the uid that it is made of");
    }
    let is_quoted = uid.len() > 1
        && [('"', '"'), ('\'', '\'')].iter().any(|(open, close)| {
            uid.starts_with(*open) && uid.trim_end_matches(',').ends_with(*close)
        });
    is_quoted.then_some("write the uid without quotes")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_uid_a_line_and_what_people_write_beside_it() {
        let uids = parse("# of orders.jar\nsrc-uid\r\n\n  keyed uid ü \n".as_bytes()).unwrap();
        let mut names: Vec<&str> = uids.values().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["keyed uid ü", "src-uid"]);
        let id: OperatorId = "65eb651c08e51afc6b01b9ec8c609cba".parse().unwrap();
        assert_eq!(uids[&id], "src-uid");
    }

    #[test]
    fn what_is_no_uid_is_told_with_its_line() {
        for (list, told) in [
            (&b"a\nb\xff\n"[..], "line 2 is not UTF-8"),
            (
                b"a\n\nb\tc",
                "line 3: control characters are in no uid; one uid a line is expected: \"b\\tc\"",
            ),
            (
                b"\"a\",",
                "line 1: write the uid without quotes: \"\\\"a\\\",\"",
            ),
            (b"a\n#\na", "line 3: the uid `a` already stands in line 1"),
            (
                b"65eb651c08e51afc6b01b9ec8c609cba",
                "line 1: this is an operator's id, not the uid that it is made of: \"65eb651c08e51afc6b01b9ec8c609cba\"",
            ),
        ] {
            assert_eq!(parse(list).unwrap_err().to_string(), told);
        }
    }
}
