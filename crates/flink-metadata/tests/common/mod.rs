//! The snapshots that real releases of Flink wrote.

#![allow(dead_code, reason = "not every test binary uses all of it")]

pub mod arbitrary;

use std::fs;
use std::path::{Path, PathBuf};

/// A real snapshot.
pub struct Fixture {
    /// `<Flink release>/<kind>`, as in the expectations.
    pub name: String,
    /// The bytes of its `_metadata`.
    pub bytes: Vec<u8>,
    directory: PathBuf,
}

impl Fixture {
    /// The other files of its directory: name and size in bytes.
    pub fn files(&self) -> Vec<(String, u64)> {
        let table = fs::read_to_string(self.directory.join("files.tsv")).unwrap();
        table
            .lines()
            .map(|line| line.split_once('\t').unwrap())
            .map(|(size, name)| (name.to_owned(), size.parse().unwrap()))
            .filter(|(name, _)| name != "_metadata")
            .collect()
    }
}

/// All snapshots, sorted by name.
pub fn fixtures() -> Vec<Fixture> {
    let root = root();
    let mut fixtures = Vec::new();
    for release in directories(&root) {
        for directory in directories(&release) {
            let bytes = fs::read(directory.join("_metadata")).unwrap();
            let name = directory
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            fixtures.push(Fixture {
                name,
                bytes,
                directory,
            });
        }
    }
    fixtures.sort_by(|left, right| left.name.cmp(&right.name));
    assert_eq!(fixtures.len(), 40, "fixtures are missing");
    fixtures
}

/// The directory of the snapshots.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn directories(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect()
}
