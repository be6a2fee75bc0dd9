//! Newtypes for everything that has a name or an id: no bare strings in the domain.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Longest platform or application name, in bytes: it becomes a directory name and a label, and
/// file systems end at 255.
pub const NAME_BYTES_MAX: usize = 128;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// Over [`NAME_BYTES_MAX`].
    #[error("the name has {0} bytes, more than {NAME_BYTES_MAX}")]
    Long(usize),
    /// A character that cannot stand in a directory name everywhere.
    #[error(
        "`{0}` cannot stand in a name: letters, digits, `.`, `_` and `-` can, and the first is a letter or digit"
    )]
    Character(char),
}

fn check_name(text: &str) -> Result<(), NameError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::Long(text.len()));
    }
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::Character(first));
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        Some(wrong) => Err(NameError::Character(wrong)),
        None => Ok(()),
    }
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and takes a name.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check_name(&text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name! {
    /// What a configuration calls one place where applications run.
    PlatformName
}
checked_name! {
    /// What a user calls an application.
    ApplicationName
}

/// An application's identity: the same name on two platforms is two applications.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppKey {
    /// Where it runs.
    pub platform: PlatformName,
    /// What it is called.
    pub application: ApplicationName,
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.platform, self.application)
    }
}

macro_rules! plain_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as the platform gave it.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

plain_text! {
    /// A job's id on its platform (Flink: 32 hexadecimal digits). New at every start without
    /// high availability, so never configuration.
    JobId
}
plain_text! {
    /// A savepoint's id on a platform that keeps savepoints as things of their own (VVP: a UUID).
    SavepointId
}
plain_text! {
    /// Who walks runs: one process of Lowtide, unique for its lifetime.
    OwnerId
}

/// Where a savepoint lies, as the platform calls it: a URI, or a path without a scheme.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Location(String);

impl Location {
    /// Takes a location and brings the spellings of one local path (`/x`, `file:/x`,
    /// `file:///x`) to Flink's own, `file:/x`, without trailing slashes: a location is a key in
    /// the catalog, so one place must have one spelling.
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let local = if text.starts_with('/') {
            Some(text)
        } else {
            text.strip_prefix("file:").map(|rest| {
                rest.strip_prefix("//localhost")
                    .unwrap_or_else(|| rest.strip_prefix("//").unwrap_or(rest))
            })
        };
        let whole = match local {
            Some(path) => format!("file:/{}", path.trim_matches('/')),
            None => text.trim_end_matches('/').to_owned(),
        };
        Self(whole)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scheme before the first colon, in lower case (`file`, `s3`, …).
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// One level down.
    #[must_use]
    pub fn join(&self, child: &str) -> Self {
        let base = self.0.trim_end_matches('/');
        Self::new(format!("{base}/{}", child.trim_matches('/')))
    }

    /// The last part of the path.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl From<String> for Location {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<Location> for String {
    fn from(location: Location) -> String {
        location.0
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! sixteen_bytes {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = hex::FromHexError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                let mut bytes = [0; 16];
                hex::decode_to_slice(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }

        impl std::str::FromStr for $name {
            type Err = hex::FromHexError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }
    };
}

sixteen_bytes! {
    /// A run's id; 32 hexadecimal digits as text.
    RunId
}
sixteen_bytes! {
    /// The key under which Flink remembers one savepoint request (`triggerId`, since 1.15);
    /// exactly 16 bytes (Flink's `TriggerId`).
    TriggerId
}

impl RunId {
    /// The run of a slot: derived, so that whoever ticks names the same run.
    pub fn of_slot(key: &AppKey, nominal: Timestamp) -> Self {
        let mut hash = Sha256::new();
        // Lengths keep ("a", "bc") and ("ab", "c") apart.
        for part in [key.platform.as_str(), key.application.as_str()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(nominal.as_millisecond().to_be_bytes());
        Self(first_16(hash))
    }
}

impl TriggerId {
    /// The trigger id of a run's attempt: the first 16 bytes of SHA-256 over run id and number.
    pub fn of_attempt(run: RunId, number: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(run.0);
        hash.update(number.to_be_bytes());
        Self(first_16(hash))
    }
}

fn first_16(hash: Sha256) -> [u8; 16] {
    let whole = hash.finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&whole[..16]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_spelling() {
        for text in [
            "/a/b",
            "/a/b/",
            "file:/a/b",
            "file:///a/b",
            "file://localhost/a/b",
        ] {
            assert_eq!(Location::new(text).as_str(), "file:/a/b", "{text}");
        }
        assert_eq!(Location::new("s3://bucket/a/").as_str(), "s3://bucket/a");
        assert_eq!(
            Location::new("s3://bucket").join("a/").as_str(),
            "s3://bucket/a"
        );
        assert_eq!(Location::new("/").join("a").as_str(), "file:/a");
    }

    #[test]
    fn names_are_checked() {
        assert!(ApplicationName::new("orders-v2.1_x").is_ok());
        assert_eq!(ApplicationName::new(""), Err(NameError::Empty));
        assert_eq!(ApplicationName::new("a b"), Err(NameError::Character(' ')));
        assert_eq!(ApplicationName::new("../x"), Err(NameError::Character('.')));
        assert_eq!(
            ApplicationName::new("x".repeat(129)),
            Err(NameError::Long(129))
        );
    }

    #[test]
    fn ids_are_derived_and_never_change() {
        let key = |platform: &str, application: &str| AppKey {
            platform: PlatformName::new(platform).expect("valid"),
            application: ApplicationName::new(application).expect("valid"),
        };
        let at = Timestamp::from_second(1_800_000_000).expect("in range");
        let run = RunId::of_slot(&key("flink", "orders"), at);
        // Golden: a change here would make an upgraded Lowtide fill filled slots again.
        assert_eq!(run.to_string(), "cc69af894701e7a706f58510a33d1c48");
        assert_eq!(
            TriggerId::of_attempt(run, 1).to_string(),
            "c00ba38a4223d85af6a358a9c650897f"
        );
        assert_ne!(TriggerId::of_attempt(run, 1), TriggerId::of_attempt(run, 2));
        assert_ne!(
            RunId::of_slot(&key("ab", "c"), at),
            RunId::of_slot(&key("a", "bc"), at)
        );
    }
}
