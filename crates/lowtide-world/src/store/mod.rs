//! Where savepoints lie.
//!
//! A platform's name for a place is not always Lowtide's: what Flink calls `file:/opt/state` may
//! be mounted at `/mnt/state` here. [`Paths`] translates, and everything that is reported back
//! keeps the platform's names, so that the catalog has one name for one place.

mod local;

use std::path::PathBuf;

use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use lowtide_core::run::Found;
use lowtide_core::verify::Reading;

/// Where to find a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Store {
    /// On a local or mounted file system.
    Local(PathBuf),
    /// Nowhere that this release can read.
    Unsupported(String),
}

impl Store {
    fn unsupported(scheme: &str, location: &Location) -> Fault {
        let text = if scheme.is_empty() {
            format!("{location} is neither an absolute path nor a location with a scheme")
        } else {
            format!(
                "{location}: Lowtide cannot read `{scheme}:` yet; object stores come with a later release"
            )
        };
        Fault::unsupported(text)
            .hint("where it is also mounted as a file system, name the mount under `paths:` of the platform")
    }
}

/// Beginnings of locations, and where Lowtide reaches them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paths {
    /// Longest first.
    pairs: Vec<(Location, Location)>,
}

impl Paths {
    pub(crate) fn new(pairs: &[(String, String)]) -> Self {
        let mut pairs: Vec<_> = pairs
            .iter()
            .map(|(from, to)| (Location::new(from), Location::new(to)))
            .collect();
        pairs.sort_by_key(|(from, _)| std::cmp::Reverse(from.as_str().len()));
        Self { pairs }
    }

    /// Where Lowtide reaches a location.
    pub(crate) fn store(&self, location: &Location) -> Store {
        let reached = self
            .pairs
            .iter()
            .find_map(|(from, to)| {
                let below = below(location.as_str(), from.as_str())?;
                Some(if below.is_empty() {
                    to.clone()
                } else {
                    to.join(below)
                })
            })
            .unwrap_or_else(|| location.clone());
        match reached.as_str().strip_prefix("file:") {
            Some(path) => Store::Local(PathBuf::from(path)),
            None => Store::Unsupported(reached.scheme().to_owned()),
        }
    }

    /// Reads a savepoint's `_metadata` and the sizes of all that it references.
    pub(crate) async fn read(&self, location: &Location) -> Result<Reading, Fault> {
        // The file itself may be named as well as the directory, as Flink allows.
        let directory = match location.as_str().strip_suffix("/_metadata") {
            Some(directory) => Location::new(directory),
            None => location.clone(),
        };
        match self.store(&directory) {
            Store::Local(path) => {
                let paths = self.clone();
                blocking(move || local::read(&paths, &directory, &path)).await
            }
            Store::Unsupported(scheme) => Err(Store::unsupported(&scheme, &directory)),
        }
    }

    /// Lists the directories in `target`, which lies somewhere below `base`.
    pub(crate) async fn directories(
        &self,
        target: &Location,
        base: &Location,
    ) -> Result<Vec<Found>, Fault> {
        match (self.store(target), self.store(base)) {
            (Store::Local(path), Store::Local(base)) => {
                let target = target.clone();
                blocking(move || local::directories(&target, &path, &base)).await
            }
            (Store::Unsupported(scheme), _) => Err(Store::unsupported(&scheme, target)),
            (_, Store::Unsupported(scheme)) => Err(Store::unsupported(&scheme, base)),
        }
    }
}

/// File systems block, and mounted ones may block for long.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Fault::transient("reading was interrupted")))
}

/// What is left of a location below a beginning that ends where a part of the path ends.
fn below<'a>(location: &'a str, from: &str) -> Option<&'a str> {
    let rest = location.strip_prefix(from)?;
    if rest.is_empty() || from.ends_with('/') {
        return Some(rest);
    }
    rest.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(pairs: &[(&str, &str)], location: &str) -> Store {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
            .collect();
        Paths::new(&pairs).store(&Location::new(location))
    }

    fn local(path: &str) -> Store {
        Store::Local(PathBuf::from(path))
    }

    #[test]
    fn the_longest_beginning_wins_at_the_end_of_a_part() {
        let pairs = [
            ("file:///opt/flink", "/mnt/flink/"),
            ("/opt/flink/state/", "/state"),
            ("s3://bucket/a", "file:/mnt/s3"),
        ];
        for (location, reached) in [
            ("/opt/flink/x", "/mnt/flink/x"),
            ("file:///opt/flink", "/mnt/flink"),
            ("/opt/flink/state/x/y", "/state/x/y"),
            ("/opt/flink/stateful", "/mnt/flink/stateful"),
            ("/opt/flinks", "/opt/flinks"),
            ("s3://bucket/a/b", "/mnt/s3/b"),
        ] {
            assert_eq!(store(&pairs, location), local(reached), "{location}");
        }
        assert_eq!(
            store(&pairs, "s3://bucket/ab"),
            Store::Unsupported("s3".into())
        );
    }

    #[test]
    fn the_root_can_be_mapped() {
        assert_eq!(store(&[("/", "/host")], "/a/b"), local("/host/a/b"));
        assert_eq!(store(&[("/a", "/")], "/a/b"), local("/b"));
    }

    #[test]
    fn what_has_no_scheme_is_unsupported() {
        assert_eq!(store(&[], "relative/x"), Store::Unsupported(String::new()));
    }
}
