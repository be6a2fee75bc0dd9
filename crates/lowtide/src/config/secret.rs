//! References to secrets: `${env:NAME}` and `${file:/path}`, and nothing else.

use std::env::VarError;
use std::io::Read;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

/// The longest secret in bytes; far more than a token needs, and less than what an HTTP server
/// takes as headers.
pub const SECRET_BYTES_MAX: usize = 8 * 1024;

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file.
    File(PathBuf),
}

/// Why a secret cannot be had. Nothing of the secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No such variable.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("the secret file {} cannot be read: {why}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Nothing there.
    #[error("the secret is empty")]
    Empty,
    /// Over [`SECRET_BYTES_MAX`].
    #[error("the secret is longer than {SECRET_BYTES_MAX} bytes")]
    TooLong,
    /// Not what an HTTP header can carry.
    #[error("the secret holds a line break or another control character, or is not UTF-8")]
    NotText,
}

/// Why a text is no reference to a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAReference {
    /// No `${…}` in it: probably the secret itself.
    Literal,
    /// `${…}` and something besides.
    Partial,
    /// `${…}` with another word than `env` and `file`.
    Unknown,
    /// Nothing after the colon, or no name of a variable.
    NoName,
}

/// Reads `${env:NAME}` or `${file:/path}`.
pub(super) fn reference(text: &str, directory: &Path) -> Result<SecretSource, NotAReference> {
    if !text.contains("${") {
        return Err(NotAReference::Literal);
    }
    let inner = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .filter(|inner| !inner.contains(['{', '}']))
        .ok_or(NotAReference::Partial)?;
    match inner.split_once(':') {
        Some(("env", name)) if is_variable(name) => Ok(SecretSource::Env(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(SecretSource::File(directory.join(path))),
        Some(("env" | "file", _)) => Err(NotAReference::NoName),
        _ => Err(NotAReference::Unknown),
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace)
}

/// Fetches a secret from the environment or a file of this process. One line break at the end of
/// a file is not part of it: editors and `kubectl` leave one there.
pub fn fetch(source: &SecretSource) -> Result<SecretString, SecretError> {
    let text = match source {
        SecretSource::Env(name) => match std::env::var(name) {
            Ok(value) => value,
            Err(VarError::NotPresent) => return Err(SecretError::NotSet(name.clone())),
            Err(VarError::NotUnicode(_)) => return Err(SecretError::NotText),
        },
        SecretSource::File(path) => read_file(path)?,
    };
    checked(text)
}

fn read_file(path: &Path) -> Result<String, SecretError> {
    let unreadable = |error: std::io::Error| SecretError::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // Two bytes more than the limit: a line break, and one that proves it is too long.
    let limit = SECRET_BYTES_MAX as u64 + 3;
    let mut bytes = Vec::new();
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let mut text = String::from_utf8(bytes).map_err(|_| SecretError::NotText)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn checked(text: String) -> Result<SecretString, SecretError> {
    if text.is_empty() {
        return Err(SecretError::Empty);
    }
    if text.len() > SECRET_BYTES_MAX {
        return Err(SecretError::TooLong);
    }
    if text.contains(char::is_control) {
        return Err(SecretError::NotText);
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;
    use std::path::Path;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn only_whole_references_are_references() {
        let read = |text| reference(text, Path::new("/etc/lowtide"));
        assert_eq!(read("${env:A_B}"), Ok(SecretSource::Env("A_B".into())));
        assert_eq!(read("${file:/a/b}"), Ok(SecretSource::File("/a/b".into())));
        assert_eq!(
            read("${file:b}"),
            Ok(SecretSource::File("/etc/lowtide/b".into()))
        );
        assert_eq!(read("hunter2"), Err(NotAReference::Literal));
        assert_eq!(read("a${env:A}"), Err(NotAReference::Partial));
        assert_eq!(read("${env:A}${env:B}"), Err(NotAReference::Partial));
        assert_eq!(read("${vault:a}"), Err(NotAReference::Unknown));
        assert_eq!(read("${A}"), Err(NotAReference::Unknown));
        assert_eq!(read("${env:}"), Err(NotAReference::NoName));
    }

    #[test]
    fn files_lose_one_line_break_and_nothing_else() {
        let fetched = |content: &[u8]| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(content).unwrap();
            fetch(&SecretSource::File(file.path().to_owned()))
                .map(|secret| secret.expose_secret().to_owned())
        };
        assert_eq!(fetched(b"abc\n").unwrap(), "abc");
        assert_eq!(fetched(b"abc\r\n").unwrap(), "abc");
        assert_eq!(fetched(b" a b ").unwrap(), " a b ");
        assert_eq!(fetched(b"abc\n\n").unwrap_err(), SecretError::NotText);
        assert_eq!(fetched(b"\n").unwrap_err(), SecretError::Empty);
        assert_eq!(fetched(b"a\xff").unwrap_err(), SecretError::NotText);
        let longest = vec![b'a'; SECRET_BYTES_MAX];
        assert_eq!(fetched(&longest).unwrap().len(), SECRET_BYTES_MAX);
        let longer = vec![b'a'; SECRET_BYTES_MAX + 1];
        assert_eq!(fetched(&longer).unwrap_err(), SecretError::TooLong);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let absent = SecretSource::File("/nonexistent/secret".into());
        assert!(matches!(
            fetch(&absent),
            Err(SecretError::Unreadable { .. })
        ));
        let unset = SecretSource::Env("LOWTIDE_TEST_SURELY_NOT_SET".into());
        assert!(matches!(fetch(&unset), Err(SecretError::NotSet(_))));
    }
}
